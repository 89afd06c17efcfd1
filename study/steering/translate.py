"""A path of the explorer as a scenario: its faults on a time line, its orders as ways that are near, late or far.

The explorer chooses orders; a real network has delays. An order is steered by making what must come later travel
longer than the spread of what must come first (ticks of a tenth of a second, hellos every two seconds, requests once a
second):

* A fault of a host, a server, a sentinel is the same fault; `Room.gap_ms` before faults of another kind. Without any
  (elections), the primary's Redis process dies.
* Attempts in one epoch: ways between the candidates, and all ways of the later elected ones, are *late*: none hears of
  another before it has voted for itself.
* Who begins a later epoch is asked for no vote before: ways to it are *far*. It learns late that somebody agrees, and
  hears of the epoch from hellos. Its own requests are not delivered in the path: its ways are *away* from the first
  election on, but for hellos through the preferred replica.
* Who only votes finds the fault after the others: its ways from the primary are *far*.
* Several leaders: the first has a server of its own and does not reach the preferred one. From its election on its ways
  are *apart*: nobody hears of its promotion before the other leader has promoted.
* In the end all ways are as they were: what has gone wrong has time to mend.

The numbers behind late, far, away and apart are free: `study.steering.search` finds better ones by simulation.

Sentinels of an election run on hosts of their own, the primary and the preferred replica too: a request and a hello
take different ways, as they must where a path lets a hello through and no request. Faults that wait for the first
election find its host by themselves (``@leader``), so a run in which the tie falls the other way is no loss.

Left out: orders of steps of a failover (a path that has them names faults that wait for events), clocks in paths of
elections, paths in which somebody waits for twice the failover-timeout while an older attempt goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.errors import UsageError
from model.explorer.paths import Path, Step
from model.scenario import MAX_HOSTS, Scenario, Section, parse
from study.folders import to_toml
from study.steering.patterns import Mark, Pattern, at_least, at_odds, happens, never, two_leaders

Table = dict[str, Any]

PRIMARY, REPLICA = "primary", "replica"
"""Hosts that run a Redis server and nothing else."""

ATTEMPT = re.compile(r"starts an attempt in epoch (\d+)")
ELECTED = re.compile(r"elected for epoch (\d+)")
REQUEST = re.compile(r"your vote in epoch (\d+)\?")
"""How the explorer's election says these things."""

FAULTS = {
    "crash": "crash", "return": "restart", "vanish": "vanish", "come back": "return", "cut": "partition",
    "heal": "heal", "lose": "drop", "deliver": "deliver", "pause": "pause", "resume": "resume", "manual": "failover",
}  # fmt: skip
"""Kinds of steps that are faults, and what the scenario calls them."""

ONLY_HOSTS = ("vanish", "return", "partition", "heal", "drop", "deliver", "failover")
"""Faults that strike a host and none of its programs."""


@dataclass(frozen=True, slots=True)
class Room:
    """Free numbers to begin with, in ms. Kind: assumed; `steer` improves the delays.

    Attributes
    ----------
    late_ms : int
        Longer than the spread of two sentinels' attempts.
    far_ms : int
        Longer than two late ways and the spread. With the way back it must stay below 3 s: real kernels ask three times
        for a neighbour's address, a second apart, and then say that there is no route.
    away_ms : int
        Longer than a hello period, a request period and a late way together; only after the first election.
    apart_ms : int
        Longer than an election with votes that come late, and a promotion.
    gap_ms : int
        From one fault of a path to the next, where the path does not say.
    mended_ms : int
        When all ways are as they were, after the time in which the primary is given up.
    """

    late_ms: int = 500
    far_ms: int = 2_500
    away_ms: int = 4_000
    apart_ms: int = 8_000
    gap_ms: int = 8_000
    mended_ms: int = 15_000


@dataclass(slots=True)
class Orders:
    """What a path of an election says about orders. Sentinels are told by their numbers, from 1.

    Attributes
    ----------
    sentinels : list of int
    tried : dict of int to int
        Epoch of each sentinel's attempt, in the order of the attempts.
    elected : list of int
        In order.
    asked : set of (int, int, int)
        Who asked whom, and for which epoch, if it is delivered.
    """

    sentinels: list[int]
    tried: dict[int, int] = field(default_factory=dict)
    elected: list[int] = field(default_factory=list)
    asked: set[tuple[int, int, int]] = field(default_factory=set)

    @classmethod
    def of(cls, path: Path) -> Orders:
        """Read the steps."""
        orders = cls([number_of(actor) for actor in path.actors if actor.startswith("sentinel ")])
        for step in path.steps:
            orders._note(step)
            for each in step.exchanges:
                if found := REQUEST.search(each.label):
                    orders.asked.add((number_of(each.source), number_of(each.to), int(found[1])))
        return orders

    def _note(self, step: Step) -> None:
        for actor, note in step.notes:
            if found := ATTEMPT.search(note):
                self.tried[number_of(actor)] = int(found[1])
            if ELECTED.search(note):
                self.elected.append(number_of(actor))

    @property
    def first_epoch(self) -> int:
        """Epoch of the first attempt."""
        return next(iter(self.tried.values()), 0)

    @property
    def rivals(self) -> list[int]:
        """Who tries in the first epoch."""
        return [number for number, epoch in self.tried.items() if epoch == self.first_epoch]

    @property
    def later(self) -> list[int]:
        """Who tries in a later epoch first."""
        return [number for number in self.tried if number not in self.rivals]

    @property
    def voters(self) -> list[int]:
        """Who never tries."""
        return [number for number in self.sentinels if number not in self.tried]


def number_of(actor: str) -> int:
    """``sentinel 2`` is 2."""
    return int(actor.rpartition(" ")[2])


def scenario_of(path: Path, base: Scenario, room: Room | None = None) -> tuple[Scenario, Pattern]:
    """A scenario that may go the way of a path, and the pattern by which one sees that it did.

    Parameters
    ----------
    path : Path
    base : Scenario
        Settings. For a path with faults its hosts too: ``server 2``, ``sentinel 2`` are those of its second host.
    room : Room, optional

    Raises
    ------
    UsageError
        The path has neither attempts nor faults, or needs more hosts than there are.
    """
    room, orders = room or Room(), Orders.of(path)
    struck = [step for step in path.steps if step.kind in FAULTS]
    if not struck and not orders.tried:
        raise UsageError(f"{path.model}: this path has neither an attempt nor a fault: nothing to steer")
    changed = _faults(path, base, struck, room) if struck else _election(orders, base, room)
    told = {key: value for key, value in base.model_dump(mode="json", by_alias=True, exclude_unset=True).items()
            if key not in ("claim", "link", "client")}  # fmt: skip
    return parse(to_toml({**told, **changed}), path.model), pattern_of(orders)


def pattern_of(orders: Orders) -> Pattern:
    """What the attempts and elections of a path look like from outside."""
    marks: list[Mark] = []
    if len(orders.elected) > 1:
        marks += [two_leaders(), at_odds()] if len(set(orders.elected)) > 1 else []
    elif orders.elected:
        marks += [happens("+elected-leader")]
    elif orders.tried:
        count = len(orders.tried)
        marks += [at_least(count, "+try-failover"), at_least(count, "-failover-abort-not-elected")]
    return Pattern(tuple(marks) or (never("+switch-master"),))


# --- faults of a path ------------------------------------------------------------------------------------------------


def _faults(path: Path, base: Scenario, struck: Sequence[Step], room: Room) -> Table:
    """Each fault of the path, one after the other; the rest is the base's."""
    times = _times(struck, room.gap_ms)
    faults = [_fault(base, step, at_ms) for step, at_ms in zip(struck, times, strict=True)]
    return {"fault": faults, "link": [_plain(link) for link in base.link]}


def _times(struck: Sequence[Step], gap_ms: int) -> Iterator[int]:
    """Faults of one kind that follow each other are one event; a gap comes before those of another kind."""
    at_ms = 0
    for before, step in zip([None, *struck], struck, strict=False):
        at_ms += gap_ms if before and before.kind != step.kind else 0
        yield at_ms


def _fault(base: Scenario, step: Step, at_ms: int) -> Table:
    what, kind = step.actor.rpartition(" ")[0], FAULTS[step.kind]
    fault: Table = {"kind": kind, "host": base.host_names[number_of(step.actor) - 1], "at_ms": at_ms}
    if step.exchanges:
        fault["to"] = base.host_names[number_of(step.exchanges[0].to) - 1]
    if kind not in ONLY_HOSTS:
        fault["process"] = {"server": "redis", "sentinel": "sentinel"}.get(what, "all")
    return fault


# --- orders of an election -------------------------------------------------------------------------------------------


def _election(orders: Orders, base: Scenario, room: Room) -> Table:
    hosts = len(orders.sentinels) + 2
    if hosts > MAX_HOSTS:
        raise UsageError(f"{len(orders.sentinels)} sentinels: at most {MAX_HOSTS - 2} can be steered, each on a host")
    return {
        "host": list(_hosts(orders)),
        "link": [_way(*way) for way in _ways(orders, room)],
        "fault": list(_turns(orders, base, room)),
        "server": {**_plain(base.server), "primary": PRIMARY},
    }


def name_of(number: int) -> str:
    """Host of a sentinel."""
    return f"host{number}"


def _hosts(orders: Orders) -> Iterator[Table]:
    plain = {"registrar": False}
    yield {"name": PRIMARY, "sentinel": False, **plain}
    for number in orders.sentinels:
        yield {"name": name_of(number), "redis": number in orders.elected[:1], **plain}
    yield {"name": REPLICA, "sentinel": False, "replica_priority": 50, **plain}


def _ways(orders: Orders, room: Room) -> Iterator[tuple[str, str, int]]:
    """From, to, ms; a later entry wins."""
    first = orders.elected[0] if orders.elected else 0
    for number in orders.rivals:
        if number != first:
            yield name_of(number), "*", room.late_ms
        yield from ((name_of(number), name_of(other), room.late_ms) for other in orders.rivals if other != number)
        for other in orders.later:
            yield name_of(number), name_of(other), room.far_ms if number != first else room.far_ms * 4 // 5
    for number in orders.voters:
        yield PRIMARY, name_of(number), room.far_ms


def _turns(orders: Orders, base: Scenario, room: Room) -> Iterator[Table]:
    """The primary dies; ways change with the first election, and are as they were at the end."""
    mended_ms = base.sentinel.down_after_ms + room.mended_ms
    near_us = base.network.delay_us
    yield {"kind": "crash", "host": PRIMARY, "process": "redis", "at_ms": 0}
    if len(orders.elected) > 1:
        first = name_of(orders.elected[0])
        yield {"kind": "drop", "host": first, "to": REPLICA, "at_ms": 0}
        yield {"kind": "deliver", "host": first, "to": REPLICA, "at_ms": mended_ms}
        yield from _turn(first, room.apart_ms, near_us, mended_ms)
    for number in orders.later if orders.elected else ():
        yield from _turn(name_of(number), room.away_ms, near_us, mended_ms)
        yield {**_delay(name_of(number), near_us, 0, REPLICA), "after": "+elected-leader"}


def _turn(host: str, away_ms: int, near_us: int, mended_ms: int) -> Iterator[Table]:
    yield {**_delay(host, away_ms * 1000, 0), "after": "+elected-leader"}
    yield _delay(host, near_us, mended_ms)


def _delay(host: str, delay_us: int, at_ms: int, to: str = "*") -> Table:
    return {"kind": "delay", "host": host, "to": to, "delay_us": delay_us, "at_ms": at_ms}


def _way(source: str, to: str, delay_ms: int) -> Table:
    return {"from": source, "to": to, "delay_us": delay_ms * 1000}


def _plain(section: Section) -> Table:
    return section.model_dump(mode="json", by_alias=True, exclude_unset=True)
