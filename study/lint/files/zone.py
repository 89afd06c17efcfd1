"""Zone files (RFC 1035 section 5), and loose lines of them. Their data is read by dnspython.

Line by line, since a broken record must not hide the others. Left out: ``$INCLUDE`` and ``$GENERATE`` (`Broken`). The
origin of a file that does not tell it (BIND keeps it in named.conf) is taken from its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import dns.ttl

from study.lint.deployment import Broken, Record, Zone
from study.lint.findings import Place

_FIELDS = re.compile(
    r"\s+((?P<ttl>\d[\dsmhdw]*)\s+)?(IN\s+)?((?P<late_ttl>\d[\dsmhdw]*)\s+)?(?P<type>[A-Z][A-Z0-9-]*)\s+(?P<data>\S.*)$",
    re.IGNORECASE,
)
"""What follows the owner: time to live and class may come in either order (RFC 1035 section 5.1)."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|\\.|;|[()]|[^"\\;()]+|\\')
_SOA = re.compile(r"^(\S+)\s[^;\n]*\bSOA\b", re.MULTILINE | re.IGNORECASE)
_NAMED = re.compile(r"(?:db\.|named\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)+?)(?:\.zone|\.db|\.hosts|\.txt)?")
"""Usual names of zone files: ``example.org.zone``, ``db.example.org``."""

_RECORD = re.compile(
    r"^(\S+)?\s+(\d\w*\s+)?(IN\s+)?(\d\w*\s+)?"
    r"(SRV\s+\d|SOA\s+\S+\s+\S|A\s+\d|AAAA\s+[\da-fA-F:]|NS\s+\S|CNAME\s+\S|NAPTR\s+\d)"
)
"""A record beyond doubt: prose has words like A and NS as well."""


def is_mine(text: str) -> bool:
    """A line of it is a record."""
    return any(_RECORD.match(line) for line in text.splitlines() if not line.startswith(("#", ";")))


@dataclass(slots=True)
class _State:
    origin: str = ""
    ttl_s: int | None = None
    owner: str = ""
    records: list[Record] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


def origin_by_name(text: str, file: str) -> str:
    """The origin, where nothing but the file's name tells it; else empty."""
    soa = _SOA.search(text)
    if not soa or soa[1] != "@" or re.search(r"^\$ORIGIN\s", text[: soa.start()], re.MULTILINE | re.IGNORECASE):
        return ""
    named = _NAMED.fullmatch(PurePath(file).name.lower())
    return named[1] if named else ""


def read(text: str, file: str) -> tuple[Zone, list[Broken]]:
    """All records of a file; relative names are completed by ``$ORIGIN`` or the owner of the SOA record."""
    soa = _SOA.search(text)
    told = soa[1].rstrip(".").lower() if soa and soa[1] != "@" else ""
    state = _State(origin=told or origin_by_name(text, file))
    for number, line in _logical_lines(text):
        place = Place(file, number)
        words = line.split()
        if words[0].startswith("$"):
            _follow(state, words, line, place)
        else:
            _read_record(state, line, place)
    return Zone(file, state.origin, tuple(state.records)), state.broken


def _follow(state: _State, words: list[str], line: str, place: Place) -> None:
    """``$ORIGIN`` and ``$TTL``."""
    try:
        if words[0].upper() == "$ORIGIN" and len(words) == 2:
            state.origin = _plain(dns.name.from_text(words[1], dns.name.from_text(state.origin or ".")))
        elif words[0].upper() == "$TTL" and len(words) == 2:
            state.ttl_s = dns.ttl.from_text(words[1])
        else:
            state.broken.append(Broken(line.strip(), f"{words[0]} is not followed", place))
    except dns.exception.DNSException as error:
        state.broken.append(Broken(line.strip(), f"{words[0]} cannot be read: {error}", place))


def _read_record(state: _State, line: str, place: Place) -> None:
    owner, rest = ("", line) if line[0].isspace() else (line.split()[0], line.partition(line.split()[0])[2])
    state.owner = owner or state.owner
    fields = _FIELDS.match(rest)
    if not fields or not state.owner:
        state.broken.append(Broken(line.strip(), "not a record: owner, time to live, class, type, data", place))
        return
    try:
        origin = dns.name.from_text(state.origin or ".")
        rdata = dns.rdata.from_text("IN", fields["type"], fields["data"], origin, relativize=False)
        name = dns.name.from_text(state.owner, origin) if state.owner != "@" else origin
        ttl_s = dns.ttl.from_text(fields["ttl"] or fields["late_ttl"]) if fields["ttl"] or fields["late_ttl"] else None
    except (dns.exception.DNSException, ValueError) as error:
        state.broken.append(Broken(line.strip(), f"{fields['type'].upper()} data cannot be read: {error}", place))
        return
    kind = dns.rdatatype.to_text(rdata.rdtype)
    said = ttl_s if ttl_s is not None else state.ttl_s
    state.records.append(Record(_plain(name), state.owner, said, kind, _words(kind, rdata.to_text()), place))


def _words(kind: str, text: str) -> tuple[str, ...]:
    """Words of the data; a name at its end without the last dot."""
    words = text.split()
    if kind in ("SRV", "CNAME", "NS"):
        words[-1] = words[-1].rstrip(".").lower() or "."
    return tuple(words)


def _plain(name: dns.name.Name) -> str:
    return name.to_text().rstrip(".").lower()


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Number and text of each record, comments removed, those in parentheses joined."""
    lines: list[tuple[int, str]] = []
    depth = 0
    for number, line in enumerate(text.split("\n"), start=1):
        said, opened = _without_comment(line)
        if not said.strip() or said.startswith("#"):
            continue
        if depth > 0:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {said.strip()}")
        else:
            lines.append((number, said))
        depth += opened
    return lines


def _without_comment(line: str) -> tuple[str, int]:
    """A line without comment and parentheses, and how many more were opened than closed; quotes protect both."""
    kept, opened = "", 0
    for found in _PIECE.finditer(line):
        piece = found[0]
        if piece.startswith(";"):
            break
        opened += (piece == "(") - (piece == ")")
        kept += " " if piece in "()" else piece
    return kept.rstrip(), opened
