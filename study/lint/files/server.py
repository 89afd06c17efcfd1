"""redis.conf and sentinel.conf: one directive a line, quoted as Redis quotes.

Source: redis 7.0.15, config.c (loadServerConfigFromString) and sds.c (sdssplitargs): blank lines and lines that begin
with ``#`` are skipped; words are separated by white space; double quotes know ``\\n``, ``\\xHH`` and so on, single
quotes know ``\\'`` only; quotes may begin within a word, and a closing quote must be followed by white space. A
directive without a value is refused (tried with Redis 6.2 and 8.2, Valkey 8.1 and 9.1); ``save`` alone is not.
"""

from __future__ import annotations

import re

from study.lint.deployment import Broken, Directive, ServerFile
from study.lint.findings import Place

_BLANKS = " \t\r"
_WORD = re.compile(r"""[ \t\r]*+([^ \t\r"']*)(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\'|\\(?!'))*)')?(?=[ \t\r]|$)""")
_NAME = re.compile(r"(?:sentinel\s+)?[\w-]*", re.IGNORECASE)
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\(.)")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_KNOWN = {
    "bind", "port", "requirepass", "masterauth", "masteruser", "slaveof", "replicaof", "protected-mode", "save", "dir",
    "appendonly", "maxmemory", "tcp-keepalive", "daemonize", "logfile", "loglevel", "databases", "user", "include",
    "notify-keyspace-events", "replica-priority", "slave-priority", "min-replicas-to-write", "min-slaves-to-write",
}  # fmt: skip
"""Directives that tell a redis.conf from other files of words."""

_ALONE = ("save",)
"""Directives that Redis takes without a value."""


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
    for number, line in enumerate(text.split("\n"), start=1):
        place = Place(file, number)
        if not line.strip(_BLANKS) or line.lstrip(_BLANKS).startswith("#"):
            continue
        words = split(line)
        if words is None:
            broken.append(Broken(_shown(line), "quotes are not closed, or not followed by a space", place))
        elif len(words) == 1 + (words[0].lower() == "sentinel") and words[0].lower() not in _ALONE:
            broken.append(Broken(_shown(line), "it lacks a value", place))
        elif words[0].lower() == "sentinel" and len(words) > 1:
            directives.append(Directive(words[1].lower(), tuple(words[2:]), place))
        else:
            directives.append(Directive(words[0].lower(), tuple(words[1:]), place))
    return ServerFile(file, host, tuple(directives)), broken


def split(line: str) -> list[str] | None:
    """Words of a line; None if quotes are unbalanced."""
    words, at, line = [], 0, line.strip(_BLANKS)
    while at < len(line):
        found = _WORD.match(line, at)
        if not found:
            return None
        bare, double, single = found.groups()
        words.append(bare + _unescaped(double or "") + (single or "").replace("\\'", "'"))
        at = found.end()
    return words


def _shown(line: str) -> str:
    """What may be shown of a line that cannot be read: a directive's name. Any other word may be a password."""
    found = _NAME.match(line.strip())
    name = found[0] if found else ""
    is_name = name.lower() in _KNOWN or name.lower().startswith("sentinel")
    return f"{name} ..." if is_name and name != line.strip() else name if is_name else "..."


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _LETTERS.get(found[2], found[2]), text)
