"""Walks the log of a Redis server: its role changes only with a line that says so, and its letter follows.

Left out: everything but the role; a log alone shows little more. Who ordered a change is a fact for `across`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from model.conform.lines import Line
from model.conform.walk import Fact, Finding, Walk

TO_PRIMARY = re.compile(r"^(?:MASTER|PRIMARY) MODE enabled")
TO_REPLICA = re.compile(r"^(?:REPLICA|SLAVE)OF (?P<of>\S+:\d+) enabled")
CONNECTS = re.compile(r"^(?:Connecting|Reconnecting) to (?:MASTER|PRIMARY) (?P<of>\S+:\d+)")
ORDERED = re.compile(r"laddr=(?P<own>\S+) .*\bname=sentinel-(?P<id>[0-9a-f]{8})-cmd\b")
"""Who ordered a change of role: the sentinel names its connection by the first eight digits of its id (sentinel.c
sentinelSetClientName). Valkey 9 leaves that out of its log."""
AT_ONCE_MS = 1000
"""A change of role is told within this after its first sign. Kind: assumed."""
TAIL = 10
"""Lines at the end of a log that may lack the one that tells a change. Kind: assumed."""


def walk_server(lines: Sequence[Line]) -> Walk:
    """Walk all lines of a server's log; parameters and result as for `model.conform.walk.walk`."""
    result = Walk("redis")
    role, follows = "", ""
    for index, line in enumerate(lines):
        if line.event == "start":
            role, follows = "", ""
        if line.role not in "MS":
            result.ignored += 1
            continue
        why = _impossible(lines, index, role, follows)
        if why:
            result.finding = Finding(line.number, line.text, why, "replicaofCommand", {"role": _name(role)}, ())
            return result
        counts = TO_PRIMARY.match(line.text) or TO_REPLICA.match(line.text) or CONNECTS.match(line.text)
        result.walked += bool(counts)
        result.ignored += not counts
        follows = _follows(line, follows)
        role = line.role
        _note(result, line)
    result.whole = bool(lines) and any(line.event == "start" for line in lines)
    return result


def _impossible(lines: Sequence[Line], index: int, role: str, follows: str) -> str:
    line = lines[index]
    change = TO_REPLICA.match(line.text)
    if TO_PRIMARY.match(line.text) and line.role != "M":
        return "a server that has just become primary logs as M"
    if change and line.role != "S":
        return "a server that has just become replica logs as S"
    connects = CONNECTS.match(line.text)
    if connects and follows and connects["of"] != follows and not _next_is_replica_of(lines, index, connects["of"]):
        return f"it was told to follow {follows}"
    if role and line.role != role and not _said(lines, index):
        return f"it was a {_name(role)}, and no line tells a change of its role"
    if TO_PRIMARY.match(line.text) and role == "M" and not _turned(lines, index):
        return "it was a primary already"
    return ""


def _said(lines: Sequence[Line], index: int) -> bool:
    """The line that tells the change comes at once, but after a few others: the letter may even flicker in between."""
    for line in lines[index:]:
        if line.event == "start" or line.at_ms > lines[index].at_ms + AT_ONCE_MS:
            return False
        if TO_REPLICA.match(line.text) or (TO_PRIMARY.match(line.text) and lines[index].role == "M"):
            return True
    return index + TAIL > len(lines)


def _turned(lines: Sequence[Line], index: int) -> bool:
    """Some line before it, back to the last change, was of a replica."""
    for line in reversed(lines[:index]):
        if line.event == "start" or TO_PRIMARY.match(line.text):
            return False
        if line.role == "S":
            return True
    return True


def _next_is_replica_of(lines: Sequence[Line], index: int, of: str) -> bool:
    """REPLICAOF connects first and is logged then."""
    following = next((found["of"] for line in lines[index:] if (found := TO_REPLICA.match(line.text))), "")
    return following == of


def _follows(line: Line, follows: str) -> str:
    change = TO_REPLICA.match(line.text)
    if change:
        return change["of"]
    return "" if TO_PRIMARY.match(line.text) else follows


def _note(result: Walk, line: Line) -> None:
    kind = "primary" if TO_PRIMARY.match(line.text) else "replica" if TO_REPLICA.match(line.text) else ""
    order = ORDERED.search(line.text)
    if kind and order:
        result.facts.append(Fact(line.number, line.at_ms, kind, (order["own"], order["id"])))


def _name(role: str) -> str:
    return {"M": "primary", "S": "replica"}.get(role, "unknown")
