"""redis.conf and sentinel.conf: one directive a line, quoted as Redis quotes.

Source: redis 7.0.15, config.c (loadServerConfigFromString) and sds.c (sdssplitargs): blank lines and lines that begin
with ``#`` are skipped; words are separated by white space; double quotes know ``\\n``, ``\\xHH`` and so on, single
quotes know ``\\'`` only; a closing quote must be followed by white space.
"""

from __future__ import annotations

import re

from study.lint.deployment import Broken, Directive, ServerFile
from study.lint.findings import Place

_WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\'|\\)*)'|([^\s"']\S*))(?=\s|$)""")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\(.)")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_KNOWN = {
    "bind", "port", "requirepass", "masterauth", "masteruser", "slaveof", "replicaof", "protected-mode", "save", "dir",
    "appendonly", "maxmemory", "tcp-keepalive", "daemonize", "logfile", "loglevel", "databases", "user", "include",
    "notify-keyspace-events", "replica-priority", "slave-priority", "min-replicas-to-write", "min-slaves-to-write",
}  # fmt: skip
"""Directives that tell a redis.conf from other files of words."""


def is_sentinel(text: str) -> bool:
    """Any line is a directive of Sentinel."""
    return re.search(r"^\s*sentinel\s+[a-z-]+\s", text, re.MULTILINE | re.IGNORECASE) is not None


def is_redis(text: str) -> bool:
    """Some line begins with a directive that every redis.conf has."""
    lines = (line.split() for line in text.splitlines())
    return any(len(words) > 1 and words[0].lower() in _KNOWN and words[1] != "=" for words in lines)


def read(text: str, file: str, host: str) -> tuple[ServerFile, list[Broken]]:
    """All directives of a file."""
    directives, broken = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        place = Place(file, number)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = split(line)
        if words is None:
            broken.append(Broken(line.strip(), "quotes are not closed, or not followed by a space", place))
        elif words[0].lower() == "sentinel" and len(words) > 1:
            directives.append(Directive(words[1].lower(), tuple(words[2:]), place))
        else:
            directives.append(Directive(words[0].lower(), tuple(words[1:]), place))
    return ServerFile(file, host, tuple(directives)), broken


def split(line: str) -> list[str] | None:
    """Words of a line; None if quotes are unbalanced."""
    words, at, line = [], 0, line.rstrip()
    while at < len(line):
        found = _WORD.match(line, at)
        if not found:
            return None
        double, single, bare = found.groups()
        words.append(_unescaped(double) if double is not None else
                     single.replace("\\'", "'") if single is not None else bare)  # fmt: skip
        at = found.end()
    return words


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _LETTERS.get(found[2], found[2]), text)
