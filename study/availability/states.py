"""What may be away at one time, what comes next, and what that does to the primary: the states of the process.

A state says for each host what of it is away, and which server took writes last (`PRIMARY`). Hosts that are alike may
change places, so states that differ by no more are one. Crashes come at random, as often as they do while nothing else
is wrong; each thing that is away comes back after its own time, independently of all others.

A primary that is lost is replaced if enough sentinels are left to agree and to elect (the quorum, and a majority of all
that are known), and a replica that may be promoted. If not, nothing is until something comes back: the state is
*helpless*.

Left out: more than `DEPTH` things away at one time; a process that dies on a host that is lost already; a host that is
lost takes what else was away of it with it, and brings all back. Work is begun only while nothing is away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from model.scenario import Scenario

LOST, DEAD, MUTE, WORK, PRIMARY = 1, 2, 4, 8, 16
"""Bits of a host: it is lost, its Redis is dead, its sentinel is dead, it was taken down for work; it has the server
that took writes last."""

AWAY = (LOST, DEAD, MUTE, WORK)

DEPTH = 3
"""Things that may be away at one time. Kind: assumed (a fourth is away for seconds in a thousand years)."""

State = tuple[int, ...]
What = Literal["host", "redis", "frozen", "sentinel", "work", "back"]
Effect = Literal["", "failover", "switchover", "helpless", "resumed"]

BIT: dict[str, int] = {"host": LOST, "redis": DEAD, "frozen": DEAD, "sentinel": MUTE, "work": WORK}
"""What is away after each event."""

REPAIR = {LOST: "host_repair", DEAD: "redis_repair", MUTE: "repair", WORK: "work_end"}
"""Name of the rate at which each comes back."""

_NO_SERVER = LOST | DEAD | WORK
_NO_SENTINEL = LOST | MUTE | WORK


@dataclass(frozen=True, slots=True)
class Cluster:
    """What of a scenario decides about states.

    Attributes
    ----------
    alike : tuple of int
        Number of the class of hosts that each host is of.
    redis, sentinel : tuple of bool
        Whether each host runs one.
    priority : tuple of int
        For promotion, lower first, 0 = never.
    votes : int
        Sentinels that a failover takes.
    primary : int
        Host of the first primary.
    """

    alike: tuple[int, ...]
    redis: tuple[bool, ...]
    sentinel: tuple[bool, ...]
    priority: tuple[int, ...]
    votes: int
    primary: int

    @classmethod
    def of(cls, scenario: Scenario) -> Cluster:
        """The cluster of a scenario. A host that a link or a phone names is like no other."""
        named = {name for link in scenario.link for name in (link.from_, link.to)}
        named |= {client.starts_on for client in scenario.client}
        looks = [
            (host.name if host.name in named else "", *host.model_dump(exclude={"name"}).values())
            for host in scenario.host
        ]
        return cls(
            alike=tuple(looks.index(each) for each in looks),
            redis=tuple(host.redis for host in scenario.host),
            sentinel=tuple(host.sentinel for host in scenario.host),
            priority=tuple(host.replica_priority for host in scenario.host),
            votes=max(scenario.sentinel.quorum, len(scenario.sentinel_hosts) // 2 + 1),
            primary=scenario.host_names.index(scenario.server.primary),
        )

    @property
    def whole(self) -> State:
        """Nothing is away."""
        return self.ordered(tuple(PRIMARY if host == self.primary else 0 for host in range(len(self.alike))))

    def ordered(self, state: State) -> State:
        """The one of all states that are like this one."""
        found = list(state)
        for kind in set(self.alike):
            places = [host for host, each in enumerate(self.alike) if each == kind]
            for place, bits in zip(places, sorted((state[host] for host in places), reverse=True), strict=True):
                found[place] = bits
        return tuple(found)

    def lives(self, state: State) -> int:
        """Sentinels that are left."""
        return sum(has and not bits & _NO_SENTINEL for has, bits in zip(self.sentinel, state, strict=True))

    def candidates(self, state: State) -> list[int]:
        """Replicas that would be promoted: those of the best priority."""
        able = [host for host, bits in enumerate(state)
                if self.redis[host] and self.priority[host] and not bits & (_NO_SERVER | PRIMARY)]  # fmt: skip
        best = min((self.priority[host] for host in able), default=0)
        return [host for host in able if self.priority[host] == best]

    def lacks(self, state: State) -> str:
        """Why a failover is impossible: ``sentinels``, ``replica``, or empty when it is not."""
        if self.lives(state) < self.votes:
            return "sentinels"
        return "" if self.candidates(state) else "replica"


def primary_of(state: State) -> int:
    """Host of the server that took writes last."""
    return next(host for host, bits in enumerate(state) if bits & PRIMARY)


def is_writable(state: State) -> bool:
    """The primary takes writes."""
    return not state[primary_of(state)] & _NO_SERVER


def things(state: State) -> list[tuple[int, int]]:
    """What is away: (host, bit)."""
    return [(host, bit) for host, bits in enumerate(state) for bit in AWAY if bits & bit]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in a state.

    Attributes
    ----------
    what : str
        What goes, or ``back``.
    host : int
    bit : int
        What comes back.
    """

    what: What
    host: int
    bit: int = 0

    @property
    def rate(self) -> str:
        """Name of its rate."""
        return REPAIR[self.bit] if self.what == "back" else self.what


@dataclass(frozen=True, slots=True)
class Jump:
    """From a state to the next.

    Attributes
    ----------
    source, target : State
    event : Event
    effect : str
        On the primary: replaced by a failover, by a switchover, lost without one, back itself; or none.
    probability : float
        Of this target, given the event.
    """

    source: State
    target: State
    event: Event
    effect: Effect
    probability: float


def jumps_from(cluster: Cluster, state: State, events: tuple[What, ...]) -> Iterator[Jump]:
    """What may come next, given which events there are."""
    is_whole = not things(state)
    for host, bits in enumerate(state):
        for bit in AWAY:
            if bits & bit:
                yield from _settle(cluster, state, Event("back", host, bit), bits & ~bit)
        if bits & (LOST | WORK):
            continue
        for what in events:
            has = {"redis": cluster.redis, "frozen": cluster.redis, "sentinel": cluster.sentinel}.get(what)
            if (has is None or has[host]) and not bits & BIT[what] and (what != "work" or is_whole):
                left = bits & PRIMARY if what in ("host", "work") else bits
                yield from _settle(cluster, state, Event(what, host), left | BIT[what])


def _settle(cluster: Cluster, state: State, event: Event, bits: int) -> Iterator[Jump]:
    """Replace a primary that is away, if that is possible."""
    after = (*state[: event.host], bits, *state[event.host + 1 :])
    if is_writable(after):
        effect: Effect = "" if is_writable(state) else "resumed"
        yield Jump(state, cluster.ordered(after), event, effect, 1.0)
        return
    # Work is begun after an operator has moved the primary away: for that, no votes are needed.
    helpless = not cluster.candidates(after) if event.what == "work" else bool(cluster.lacks(after))
    if helpless:
        yield Jump(state, cluster.ordered(after), event, "helpless" if is_writable(state) else "", 1.0)
        return
    effect = "switchover" if event.what == "work" else "failover"
    candidates = cluster.candidates(after)
    for chosen in candidates:
        moved = tuple((bits & ~PRIMARY) | (PRIMARY if host == chosen else 0) for host, bits in enumerate(after))
        yield Jump(state, cluster.ordered(moved), event, effect, 1 / len(candidates))


def explore(cluster: Cluster, events: tuple[What, ...], depth: int = DEPTH) -> tuple[list[State], list[Jump]]:
    """All states that the whole cluster can come to, and all jumps between them."""
    states, jumps = [cluster.whole], []
    for state in states:
        for jump in jumps_from(cluster, state, events):
            if len(things(jump.target)) > depth:
                continue
            jumps.append(jump)
            if jump.target not in states:
                states.append(jump.target)
    return states, jumps


def recurrent(states: list[State], jumps: list[Jump]) -> tuple[list[State], list[Jump]]:
    """Those that the process comes back to again and again: a first primary that is never chosen again is left."""
    place = {state: number for number, state in enumerate(states)}
    ends = [(place[jump.source], place[jump.target]) for jump in jumps]
    links = sparse.coo_array((np.ones(len(ends)), np.array(ends).reshape(-1, 2).T), shape=(len(states),) * 2)
    _, part = csgraph.connected_components(links, connection="strong")
    left = {part[source] for source, target in ends if part[source] != part[target]}
    kept = [state for number, state in enumerate(states) if part[number] not in left]
    return kept, [jump for jump in jumps if jump.source in kept]
