"""Lines of a log: what they say, and whose log it is.

Events keep the names that Sentinel gives them. A few lines that are no events but change or show the state get a name
here: ``start``, ``version``, ``id``, ``saved``, ``delay``, ``voted``, ``forced``. Wording and order of the words are
the same in Redis 6.2 to 8.2 and Valkey 8 and 9 (seen in real logs of all of them).

Left out: the time and line formats that Valkey 8.1 and later can be configured to use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

LINE = re.compile(
    r"^(?P<pid>\d+):(?P<role>[XMSC]) (?P<stamp>\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) (?P<level>[.\-*#]) (?P<text>.*)$"
)
"""Process, role (X sentinel, M primary, S replica, C child or not yet running), stamp, level, text."""

EVENT = re.compile(r"^[+-][a-z][a-z-]*$")
ID = "[0-9a-f]{40}"
PLAIN = (
    ("start", re.compile(r"oO0OoO0OoO0Oo \w+ is starting")),
    ("version", re.compile(r"^(?P<name>Redis|Valkey) version=(?P<major>\d+)\.")),
    ("id", re.compile(rf"^Sentinel ID is (?P<id>{ID})$")),
    ("saved", re.compile(r"^Sentinel new configuration saved on disk$")),
    ("saved", re.compile(r"^WARNING: Sentinel was not able to save the new configuration")),
    ("delay", re.compile(r"^Next failover delay: I will not start a failover before (?P<until>.+)$")),
    ("voted", re.compile(rf"^(?P<id>{ID}) voted for (?P<leader>{ID}) (?P<epoch>\d+)$")),
    ("forced", re.compile(r"^Executing user requested .*FAILOVER of '(?P<name>.*)'")),
)
"""Lines that are no events and still matter. Kind: specified (sentinel.c, server.c)."""

NAMELESS = ("+new-epoch", "+vote-for-leader", "+tilt", "-tilt", "+switch-master")
"""Events whose words do not begin with an instance."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The instance that a line is about.

    ``kind`` is ``master``, ``slave`` or ``sentinel``; ``name`` its name in the log (of a sentinel: its id); ``address``
    its own; ``group`` and ``primary`` the name and address of its master; ``rest`` the words after it.
    """

    kind: str
    name: str
    address: str
    group: str
    primary: str
    rest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log: number (from 1), stamp in ms since the epoch (of the log's own clock), level, role, text.

    ``event`` is empty for lines that say nothing about the machine. ``words`` are those after the event's name.
    """

    number: int
    at_ms: int
    level: str
    role: str
    text: str
    event: str = ""
    words: tuple[str, ...] = ()
    subject: Subject | None = None


def read(lines: Iterable[str]) -> Iterator[Line]:
    """The stamped lines of a log, in order; others (banners) are skipped."""
    for number, raw in enumerate(lines, 1):
        match = LINE.match(raw.rstrip("\r\n"))
        if match:
            event, words = _meaning(match["text"])
            yield Line(number, _stamp_ms(match["stamp"]), match["level"], match["role"], match["text"], event, words,
                       _subject(event, words))  # fmt: skip


def is_sentinel(lines: Iterable[Line]) -> bool:
    """Whether these are lines of a sentinel."""
    return any(line.role == "X" for line in lines)


def until_ms(text: str) -> int | None:
    """A time as C's ``ctime`` writes it, in ms; None when it is something else."""
    try:
        return round(datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None


def clock(at_ms: int) -> str:
    """Time of day of a stamp."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S.") + f"{at_ms % 1000:03}"


def _stamp_ms(stamp: str) -> int:
    whole, _, part = stamp.partition(".")
    moment = datetime.strptime(whole, "%d %b %Y %H:%M:%S").replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1000 + int(part)


def _meaning(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, rest = text.partition(" ")
    if EVENT.match(name):
        return name, tuple(rest.split())
    for event, pattern in PLAIN:
        match = pattern.search(text)
        if match:
            return event, match.groups()
    return "", ()


def _subject(event: str, words: tuple[str, ...]) -> Subject | None:
    if event[:1] not in "+-" or event in NAMELESS or len(words) < 4 or not words[3].isdecimal():
        return None
    kind, name, ip, port, *rest = words
    address = f"{ip}:{port}"
    if kind == "master":
        return Subject(kind, name, address, name, address, tuple(rest))
    if kind in ("slave", "sentinel") and len(rest) >= 4 and rest[0] == "@":
        return Subject(kind, name, address, rest[1], f"{rest[2]}:{rest[3]}", tuple(rest[4:]))
    return None
