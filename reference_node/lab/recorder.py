"""Turns what a run wrote into the events of a trace.

Servers and sentinels are watched through their logs, which cost them nothing that they would not do anyway;
a subscription to a sentinel's channel would come later than the log line (the sentinel syncs its file first).

Log stamps are truncated to the millisecond: half of one is added, so that they are right on average. Programs run with
TZ=UTC. A program whose clock the scenario has made wrong stamps its lines wrong; they get their true time back by the
law that its clock followed when it wrote them.

Left out, because a trace names instances by their host only: what sentinels say about each other (``+sdown sentinel``)
and about masters other than the scenario's. The role that a server starts with is no event.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from model.scenario import PROCESSES, STRIKES_PROCESS
from model.trace import EVENTS, Event
from reference_node.lab.config import MASTER_NAME
from reference_node.lab.shim import Law

TRUNCATION_US = 500
"""Mean of what a stamp in ms lacks. Kind: specified (server.c prints tv_usec / 1000)."""

LINE = re.compile(r"^\d+:[A-Z] (?P<stamp>\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) [.\-*#] (?P<text>.*)$")
"""One log line: process and role, stamp, level, text."""

LINK = re.compile(r"Connecting to (?:MASTER|PRIMARY) (?P<address>[^\s:]+):\d+", re.IGNORECASE)
"""A replica opens its link; says whom a later ``link-up`` is about."""

REDIS_LINES = (
    (re.compile(r"^(?:MASTER|PRIMARY) MODE enabled", re.IGNORECASE), "role-primary", 0),
    (re.compile(r"^(?:REPLICA|SLAVE)OF (?P<address>[^\s:]+):\d+ enabled", re.IGNORECASE), "role-replica", 0),
    (re.compile(r"^Connection with (?:master|primary) lost", re.IGNORECASE), "link-down", 0),
    (re.compile(r"sync: (?:Master|Primary) accepted a Partial Resynchronization", re.IGNORECASE), "link-up", 0),
    (re.compile(r"(?:MASTER|PRIMARY) <-> REPLICA sync: Finished with success", re.IGNORECASE), "link-up", 1),
)
"""Lines of a server's log that are events: pattern, event, code. Kind: specified (replication.c of Redis 6.2 to 8.2
and Valkey 7.2 to 9)."""

MAY_TILT = ("pause", "resume", "crash", "restart", "step", "drift", "slow-disk")
"""Faults of its own after which a sentinel may say +tilt."""


def wall_us() -> int:
    """The wall clock in µs since the epoch."""
    return time.time_ns() // 1000


class Recorder:
    """Collects the events of one run, at first with wall time.

    Parameters
    ----------
    hosts : mapping
        Host of each address.
    """

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self._hosts = dict(hosts)
        self.events: list[Event] = []

    def add(
        self, t_us: int, host: str, actor: str, event: str, about: str = "", detail_us: int = 0, code: int = 0
    ) -> None:
        """Note one event at wall time `t_us`."""
        assert event in EVENTS, event
        self.events.append(Event(t_us, host, actor, event, about, detail_us, code))

    def read_log(
        self,
        host: str,
        kind: str,
        data: bytes,
        sentinel_ids: Mapping[str, str],
        laws: Sequence[tuple[int, Law]] = (),
    ) -> None:
        """Note the events in the log of one program.

        Parameters
        ----------
        host, kind : str
            Which program.
        data : bytes
            The whole log.
        sentinel_ids : mapping
            Host of each sentinel's id.
        laws : sequence of (int, Law)
            Of a wrong clock: each law and the number of bytes that the program had written before it.
        """
        lines = _Lines(data, laws)
        for event in self.events_in(host, kind, lines, sentinel_ids):
            self.events.append(replace(event, t_us=lines.true_us(event.t_us)))

    def events_in(self, host: str, kind: str, lines: Iterable[str], sentinel_ids: Mapping[str, str]) -> Iterator[Event]:
        """The events in some lines of one program, with the times that its clock showed."""
        match kind:
            case "sentinel":
                return sentinel_events(host, lines, self._hosts, sentinel_ids)
            case "redis":
                return redis_events(host, lines, self._hosts)
            case _:
                return registrar_events(host, lines)

    def trace_events(self, origin_us: int, horizon_us: int) -> list[Event]:
        """All events up to the horizon, in order of time, counted from `origin_us`."""
        moved = (replace(event, t_us=event.t_us - origin_us) for event in self.events)
        return sorted((event for event in moved if event.t_us <= horizon_us), key=lambda event: event.t_us)


class _Lines:
    """The lines of a log, one at a time, and the law of the clock that stamped the last one.

    Whoever reads them must turn each into events before taking the next.
    """

    def __init__(self, data: bytes, laws: Sequence[tuple[int, Law]]) -> None:
        self._lines = iter(data.splitlines(keepends=True))
        self._coming = list(laws)
        self._law: Law | None = None
        self._read = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        while self._coming and self._coming[0][0] <= self._read:
            self._law = self._coming.pop(0)[1]
        self._read += len(line)
        return line.decode(errors="replace").rstrip("\r\n")

    def true_us(self, shown_us: int) -> int:
        """When the clock showed that."""
        return self._law.true_us(shown_us) if self._law else shown_us


def sentinel_events(
    host: str, lines: Iterable[str], hosts: Mapping[str, str], sentinel_ids: Mapping[str, str]
) -> Iterator[Event]:
    """Events in a sentinel's log.

    Parameters
    ----------
    host : str
        Where the sentinel runs.
    lines : iterable of str
    hosts : mapping
        Host of each address.
    sentinel_ids : mapping
        Host of each sentinel's id.
    """
    for t_us, text in _stamped(lines):
        event, _, rest = text.partition(" ")
        if event not in EVENTS or event[0] not in "+-":
            continue
        words = rest.split()
        about, code = "", 0
        if event == "+new-epoch":
            code = int(words[0])
        elif event == "+vote-for-leader":
            about, code = sentinel_ids.get(words[0], ""), int(words[1])
        elif event == "+switch-master":
            if words[0] != MASTER_NAME:
                continue
            about = hosts[words[3]]
        elif event not in ("+tilt", "-tilt"):
            instance = _instance(words)
            if instance is None:
                continue
            about = hosts[instance[1]]
            code = int(instance[0] == "sentinel" and event in ("+sdown", "-sdown"))
        yield Event(t_us, host, "sentinel", event, about, 0, code)


def _instance(words: list[str]) -> tuple[str, str] | None:
    """Kind and address of the instance that a line names; None for instances of another master."""
    kind, name, *rest = words
    if kind == "master":
        return (kind, rest[0]) if name == MASTER_NAME else None
    # slave <name> <address> <port> @ <master> <address> <port>, and the same for sentinels
    return (kind, rest[0]) if rest[3] == MASTER_NAME else None


def redis_events(host: str, lines: Iterable[str], hosts: Mapping[str, str]) -> Iterator[Event]:
    """Changes of role and of the replication link in a server's log; parameters as for `sentinel_events`."""
    primary = ""
    for t_us, text in _stamped(lines):
        link = LINK.search(text)
        if link:
            primary = hosts.get(link["address"], "")
        for pattern, event, code in REDIS_LINES:
            match = pattern.search(text)
            if match:
                if event == "role-replica":
                    primary = hosts.get(match["address"], "")
                about = "" if event == "role-primary" else primary
                yield Event(t_us, host, "redis", event, about, 0, code)


def registrar_events(host: str, lines: Iterable[str]) -> Iterator[Event]:
    """Events in a registrar node's NDJSON log; a last line that was cut off by a kill is skipped."""
    for line in lines:
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            continue
        yield Event(
            data["t_us"],
            host,
            "registrar",
            data["event"],
            data.get("about", ""),
            data.get("detail_us", 0),
            data.get("code", 0),
        )


def _stamped(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Wall time in µs and text of each log line; banners and broken lines are skipped."""
    for line in lines:
        match = LINE.match(line)
        if match:
            stamp = datetime.strptime(match["stamp"], "%d %b %Y %H:%M:%S.%f").replace(tzinfo=UTC)
            yield round(stamp.timestamp() * 1e6) + TRUNCATION_US, match["text"]


def disturbed_hosts(events: Iterable[Event]) -> set[str]:
    """Hosts whose sentinel was hit on purpose, so that it may say +tilt."""
    sentinel = (PROCESSES.index("all"), PROCESSES.index("sentinel"))
    return {
        event.host
        for event in events
        if event.actor == "fault"
        and event.event in MAY_TILT
        and (event.event not in STRIKES_PROCESS or event.code in sentinel)
    }


def stall_reasons(
    late_us: Mapping[str, int], limit_us: int, events: Iterable[Event], disturbed: set[str], clock_shift_us: int
) -> list[str]:
    """Why a run must be called stalled; empty when it need not.

    Parameters
    ----------
    late_us : mapping
        Most that each of our own loops was late.
    limit_us : int
        What is allowed to them.
    events : iterable of Event
    disturbed : set of str
        Hosts whose sentinel may say +tilt, see `disturbed_hosts`.
    clock_shift_us : int
        By how much the wall clock moved against the monotonic one.
    """
    reasons = [f"{who} was late by {late // 1000} ms" for who, late in late_us.items() if late > limit_us]
    tilted = sorted({event.host for event in events if event.event == "+tilt"} - disturbed)
    reasons += [f"sentinel of {host} said +tilt" for host in tilted]
    if abs(clock_shift_us) > limit_us:
        reasons.append(f"the wall clock was set by {clock_shift_us // 1000} ms")
    return reasons
