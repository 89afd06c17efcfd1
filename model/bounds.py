"""Closed forms: when the milestones of a failover may come, and what a stall that ends by itself brings about.

They rest on the constants of `model.sentinel` and on nothing else that the machines share: the simulator can be
checked against them, and they answer in microseconds what takes the simulator thousands of runs.

One sentinel, one silent primary
--------------------------------
The sentinel PINGs at the first tick more than a period (1 s, or the delay if that is less) after the last answer. So
the time between two PINGs is C = tick_after(period + round trip), and a fault falls into it at random: the first PING
that finds nobody arrives V = remainder(C) after the fault. That PING left `forth` earlier, at a tick, and from then on
the clock runs: +sdown comes at the first tick more than the delay later::

    D = V - forth + tick_after(delay)              silent: host vanished, process or machine frozen
    D = forth + wait_for_tick + tick_after(delay)  reset: process killed; the clock starts at the refused reconnect

A stall of length L ends with an answer that arrives at L + back, so +sdown comes if and only if D < L + back. It does
not depend on the delay but by L - delay, once the delay is some ticks long.

A quorum of q among n
---------------------
A sentinel that suspects asks the others in that tick. When the q-th one asks, q - 1 others say yes, and it starts a
failover at its first tick after their answers, X = D + tick_after(round trip). A later one may look at its clock
earlier. So the first start is the least X among all whose D is the q-th or later: `start` has its law. From there on
nothing aborts: a primary that answers again is replaced all the same. After the start: elected a tick later, promoted
two ticks after that.

The failure detector
--------------------
Stalls that end by themselves make a detector err. With stalls arriving at random (a Poisson process) at a rate small
against 1 / length, `quality` gives the metrics of Chen, Toueg and Aguilera ("On the quality of service of failure
detectors", IEEE Trans. Computers 51, 2002): detection time, mistake rate, mistake duration, query accuracy.

Left out: packet loss and the retransmissions after a cut (a network stall looks longer than it is: at least what is
given here, and it is simulated where it counts); an earlier detector that asks once more a second later, just before
the q-th one's answers come (below 1 % of starts, by less than a tick); split votes; answers between sentinels that take
longer than 100 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from model.errors import UsageError
from model.laws import MIXED_MS, TICK_MS, Floats, Law, exactly, remainder, tick, tick_after, uniform, wait_for_tick
from model.scenario import Fault, Scenario
from model.sentinel import FAST_INFO_PERIOD_US, PING_PERIOD_US, PUBLISH_PERIOD_US

Kind = Literal["host", "redis", "frozen", "host-killed", "host-frozen"]
"""What happens to the primary: its host vanishes, its process is killed, its process freezes, all programs of its host
are killed, or freeze."""

KINDS: tuple[Kind, ...] = get_args(Kind)

YEAR_MS = 365.25 * 86_400_000
HOUR_MS = 3_600_000

LOCAL_MS = 0.06
"""One way within a host. Kind: measured (lab, namespaces)."""

_FAULTS = {
    "host": ("vanish", "all"), "redis": ("crash", "redis"), "frozen": ("pause", "redis"),
    "host-killed": ("crash", "all"), "host-frozen": ("pause", "all"),
}  # fmt: skip
_PING_MS, _FAST_INFO_MS, _HELLO_MS = PING_PERIOD_US / 1000, FAST_INFO_PERIOD_US / 1000, PUBLISH_PERIOD_US / 1000


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest possible value, in ms."""

    low_ms: float
    high_ms: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low_ms + other.low_ms, self.high_ms + other.high_ms)

    def holds(self, t_ms: float) -> bool:
        """True when a value lies within."""
        return self.low_ms <= t_ms <= self.high_ms

    @property
    def middle_ms(self) -> float:
        """Half-way."""
        return (self.low_ms + self.high_ms) / 2


@dataclass(frozen=True, slots=True)
class Group:
    """What decides about a detection: a scenario as seen by the sentinels that a fault leaves.

    Attributes
    ----------
    down_after_ms : float
    quorum, voters : int
        Voters are all sentinels, dead ones too.
    forth, back : tuple of Range
        One way between each live sentinel and the primary, in ms.
    between : Range
        One way between two live sentinels.
    flush_ms : float
        One rewrite of a sentinel's configuration file.
    is_reset : bool
        The fault resets connections: somebody's kernel is still there to do so.
    """

    down_after_ms: float
    quorum: int
    voters: int
    forth: tuple[Range, ...]
    back: tuple[Range, ...]
    between: Range
    flush_ms: float
    is_reset: bool

    @property
    def live(self) -> int:
        """Sentinels that the fault leaves."""
        return len(self.forth)

    @property
    def votes(self) -> int:
        """Votes that a leader needs."""
        return max(self.quorum, self.voters // 2 + 1)

    @property
    def fails_over(self) -> bool:
        """True when the sentinels left are enough."""
        return self.live >= self.votes

    def round_trip(self, index: int) -> Range:
        """From a live sentinel to the primary and back."""
        return self.forth[index] + self.back[index]


def struck(scenario: Scenario, kind: Kind, length_ms: int | None = None) -> Scenario:
    """The scenario with one fault of its primary in place of its own time line; with a length it ends by itself.

    Parameters
    ----------
    scenario : Scenario
    kind : Kind
    length_ms : int, optional
        What is frozen runs on after so long, a vanished host returns; what is killed is not started again.
    """
    does, process = _FAULTS[kind]
    host = scenario.server.primary
    faults = [Fault(kind=does, host=host, at_ms=0, process=process)]
    undo = {"pause": "resume", "vanish": "return"}.get(does)
    if length_ms is not None and undo:
        faults.append(Fault(kind=undo, host=host, at_ms=length_ms, process=process))
    return scenario.model_copy(update={"fault": tuple(faults), "claim": ()})


def group_of(scenario: Scenario, kind: Kind) -> Group:
    """What a fault of this kind leaves of the scenario's sentinels.

    Raises
    ------
    UsageError
        Packets are lost at random: then no closed form holds.
    """
    if any(link.loss_percent for link in scenario.link):
        raise UsageError(
            f"{scenario.name}: link.loss_percent is not 0, and closed forms know no lost packets\n\n"
            "hint: simulate it, or set the loss to 0"
        )
    primary = scenario.server.primary
    hosts = [host for host in scenario.sentinel_hosts if host != primary or kind in ("redis", "frozen")]
    pairs = [_way(scenario, a, b) for a in hosts for b in hosts if a != b] or [Range(0, 0)]
    return Group(
        down_after_ms=scenario.sentinel.down_after_ms,
        quorum=scenario.sentinel.quorum,
        voters=len(scenario.sentinel_hosts),
        forth=tuple(_way(scenario, host, primary) for host in hosts),
        back=tuple(_way(scenario, primary, host) for host in hosts),
        between=Range(min(each.low_ms for each in pairs), max(each.high_ms for each in pairs)),
        flush_ms=scenario.sentinel.flush_us / 1000,
        is_reset=kind in ("redis", "host-killed"),
    )


def _way(scenario: Scenario, source: str, to: str) -> Range:
    """One way between two hosts: a later link wins; within a host nothing is shaped."""
    if source == to:
        return Range(LOCAL_MS, LOCAL_MS)
    found = Range(scenario.network.delay_us / 1000, scenario.network.delay_us / 1000)
    for link in scenario.link:
        if link.from_ in ("*", source) and link.to in ("*", to):
            found = Range(link.delay_us / 1000, (link.delay_us + link.jitter_us) / 1000)
    return found


# --- bounds ----------------------------------------------------------------------------------------------------------


def milestones(scenario: Scenario, kind: Kind) -> dict[str, Range]:
    """Least and greatest time of each milestone after the fault, as `model.measures` names them.

    They hold for every run whose first election is won (`lost_election` false). Milestones that cannot happen are
    absent: without a majority, all after ``odown_first``; ``promoted`` and later without a replica. ``switch_last``
    and ``demoted`` wait for resyncs and returns, and have no simple bound.

    Derivation, with T = 52.2..101.2 ms the time between two ticks, F one flush and d a way between sentinels:

    * ``sdown``: silent: the clock starts at the first PING that finds nobody, -forth to -forth + period + round trip +
      T after the fault, +sdown up to T after the delay; reset: it starts at a PING under way (-round trip) at the
      earliest, at the tick after the reset at the latest. With jitter, the resets of a sentinel's two connections can
      come before and after a tick: then the second one waits for the next reconnect, a second and a tick later;
    * ``odown_first``: in the tick of +sdown with quorum 1; else the q-th asks and looks at its next tick, T later, or
      the one after the answers; an earlier one can have asked d before the q-th suspected;
    * ``elected``: at once if one vote will do, else a tick after own flush, request, two flushes of the voter, answer;
      a sentinel that starts before it hears of the first one may win in its place, which delays all by d, F, and the
      votes that queue behind each other;
    * ``promoted``: one state a tick: REPLICAOF NO ONE two ticks after ``elected``; ``first_write`` is the first write
      of the prober after that; the leader sees it by INFO, in that tick at the earliest, a fast INFO period later at
      the latest;
    * ``switch_first``: the hello leaves at the leader's next tick, and the others switch when it arrives; when one was
      under way as the promotion was seen, its answer puts the next one off by the hello period.

    Parameters
    ----------
    scenario : Scenario
    kind : Kind

    Raises
    ------
    UsageError
        The scenario loses packets.
    """
    group = group_of(scenario, kind)
    if group.live < group.quorum:
        return {"sdown_first": _suspicion(group)} if group.live else {}
    found = dict.fromkeys(("sdown_first", "sdown_quorum"), _suspicion(group))
    found["odown_first"] = found["sdown_quorum"] + _agreement(group)
    servers = [host for host in scenario.host if host.redis and host.name != scenario.server.primary]
    if not group.fails_over:
        return found
    found["elected"] = found["odown_first"] + _election(group)
    if not any(host.replica_priority for host in servers):
        return found
    ways = [_way(scenario, a, host.name) for a in scenario.sentinel_hosts for host in servers]
    way = Range(min(each.low_ms for each in ways), max(each.high_ms for each in ways))
    turned = found["elected"] + Range(2 * TICK_MS[0], 2 * TICK_MS[1]) + way
    found["first_write"] = turned + Range(0, scenario.probe.write_period_ms + 2 * LOCAL_MS)
    flush_ms = group.flush_ms
    found["promoted"] = turned + Range(way.low_ms, _FAST_INFO_MS + 3 * way.high_ms + TICK_MS[1] + flush_ms)
    if group.live > 1:
        wait = Range(max(0, TICK_MS[0] - 2 * way.high_ms - flush_ms), _HELLO_MS + TICK_MS[1] + 3 * flush_ms)
        found["switch_first"] = found["promoted"] + wait + Range(0, 3 * group.between.high_ms)
    return found


def _suspicion(group: Group) -> Range:
    """+sdown of any live sentinel."""
    forth = max(way.high_ms for way in group.forth)
    round_trip = max(group.round_trip(index).high_ms for index in range(group.live))
    if group.is_reset:
        jitters = any(way.low_ms < way.high_ms for way in group.back)
        again_ms = _PING_MS + TICK_MS[1] if jitters else 0
        first_ping = Range(-round_trip, max(way.high_ms for way in group.back) + TICK_MS[1] + again_ms)
    else:
        nearest = min(way.low_ms for way in group.forth)
        first_ping = Range(-forth, min(group.down_after_ms, _PING_MS) + round_trip + TICK_MS[1] - nearest)
    return first_ping + Range(group.down_after_ms, group.down_after_ms + TICK_MS[1])


def _agreement(group: Group) -> Range:
    """From the quorum-th +sdown to the first +odown."""
    if group.quorum == 1:
        return Range(0, 0)
    way = group.between
    return Range(TICK_MS[0] - way.high_ms, 2 * way.high_ms + TICK_MS[1])


def _election(group: Group) -> Range:
    """From the first +odown to the first +elected-leader."""
    flush = group.flush_ms
    if group.votes == 1:
        return Range(0, flush)
    way = group.between
    rival_ms = way.high_ms + 3 * flush
    return Range(TICK_MS[0], rival_ms + 2 * way.high_ms + (1 + 2 * group.live) * flush + TICK_MS[1])


# --- laws ------------------------------------------------------------------------------------------------------------


def ping_period(group: Group, index: int = 0) -> Law:
    """Time between two PINGs of a live sentinel to a healthy primary: 1037 ms and the round trip on average."""
    return tick_after(min(group.down_after_ms, _PING_MS) + group.round_trip(index).middle_ms)


@lru_cache(maxsize=256)
def suspicion(group: Group, index: int = 0) -> Law:
    """When one live sentinel says +sdown, after a fault that does not end: D of the module's head."""
    forth_ms = group.forth[index].middle_ms
    if group.is_reset:
        return wait_for_tick().later(group.back[index].middle_ms) + tick_after(group.down_after_ms)
    return remainder(ping_period(group, index)).later(-forth_ms) + tick_after(group.down_after_ms)


@lru_cache(maxsize=256)
def quorum_suspicion(group: Group, rank: int) -> Law:
    """When the `rank`-th live sentinel says +sdown: sentinels are independent, so it is an order statistic."""
    laws = [suspicion(group, index) for index in range(group.live)]
    points = _points(laws)
    counts = _counts([law.by(points) for law in laws], [1 - law.by(points) for law in laws], rank)
    return Law(float(points[0]) + 0.5, np.diff(1 - sum(counts)))


def _points(laws: list[Law]) -> Floats:
    """Whole ms that hold all mass of some laws between them."""
    low_ms, high_ms = min(law.start_ms for law in laws), max(law.points_ms[-1] for law in laws)
    return np.arange(math.floor(low_ms) - 1, math.ceil(high_ms) + 2, dtype=float)


def _counts(yes: list[Floats], no: list[Floats], below: int) -> list[Floats]:
    """Weights of 0 .. `below` - 1 among independent events being `yes` and the others `no` (Poisson binomial)."""
    found = [np.ones(1), *([np.zeros(1)] * (below - 1))]
    for is_so, is_not in zip(yes, no, strict=True):
        found = [count * is_not + (found[number - 1] * is_so if number else 0.0) for number, count in enumerate(found)]
    return found


@lru_cache(maxsize=128)
def start(group: Group) -> Law:
    """When the first sentinel starts a failover, relative to when the primary's next answer would reach it.

    That is +odown and +try-failover, less the way of the answer, so that a stall of length L leads to a failover if and
    only if this is below L. It never happens with fewer live sentinels than the quorum.

    Derivation. With X = D + tick_after(round trip) for each sentinel, the first start comes by x if and only if, of
    those with X <= x, the one with the latest D has at least q - 1 others with an earlier D. Over that one, i, at
    D_i = t: each other sentinel has D <= t, or D > t and X > x; and at least q - 1 have D <= t. With quorum 1, X = D:
    nobody is asked.
    """
    if group.live < group.quorum:
        return Law(group.down_after_ms, np.zeros(1))
    if group.down_after_ms > MIXED_MS:
        return start(replace(group, down_after_ms=MIXED_MS)).later(group.down_after_ms - MIXED_MS)
    laws = [suspicion(group, index).later(-group.back[index].middle_ms) for index in range(group.live)]
    if group.quorum == 1:
        points = _points(laws)
        return Law(float(points[0]) + 0.5, np.diff(1 - np.prod([1 - law.by(points) for law in laws], axis=0)))
    return _first_start(laws, tick_after(2 * group.between.middle_ms), group.quorum)


def _first_start(laws: list[Law], wait: Law, quorum: int) -> Law:
    """The least X among those whose D is the `quorum`-th or later; laws of D are shifted by less than a ms each."""
    low_ms = math.floor(min(law.start_ms for law in laws))
    length = math.ceil(max(law.points_ms[-1] for law in laws)) - low_ms + 2
    t_ms = low_ms + np.arange(length, dtype=float)
    x_ms = np.concatenate((t_ms, t_ms[-1] + 1 + np.arange(math.ceil(wait.points_ms[-1]) + 2)))
    waited = wait.by(x_ms[None, :] - t_ms[:, None])
    masses = [np.diff(law.by(np.append(t_ms, t_ms[-1] + 1) - 0.5)) for law in laws]
    by = np.zeros(len(x_ms))
    for mass, count in _distinct(masses):
        others = list(masses)
        others.pop(next(number for number, each in enumerate(masses) if each is mass))
        yes = [np.cumsum(each)[:, None] - each[:, None] / 2 for each in others]
        no = [1 - is_so - _later_starts(each, waited) for is_so, each in zip(yes, others, strict=True)]
        everybody = np.prod([a + b for a, b in zip(yes, no, strict=True)], axis=0) if others else 1.0
        enough = everybody - sum(_counts(yes, no, quorum - 1))
        by += count * (mass[:, None] * waited * enough).sum(axis=0)
    # Three D in one ms count a little less than they should, by halves: below 0.01 % in all, put right here.
    return Law(float(x_ms[0]) + 0.5, np.diff(by / by[-1]))


def _later_starts(mass: Floats, waited: Floats) -> Floats:
    """P(D > t and X <= x) for each t (rows) and x (columns); half of those with D = t."""
    both = mass[:, None] * waited
    return both[::-1].cumsum(axis=0)[::-1] - both / 2


def _distinct(masses: list[Floats]) -> list[tuple[Floats, int]]:
    """Each different law once, with how many sentinels have it."""
    found: list[tuple[Floats, int]] = []
    for mass in masses:
        for number, (other, count) in enumerate(found):
            if np.array_equal(mass, other):
                found[number] = (other, count + 1)
                break
        else:
            found.append((mass, 1))
    return found


def laws(scenario: Scenario, kind: Kind) -> dict[str, Law]:
    """Laws of the milestones of a first election that is won, up to ``first_write``; in a network without jitter.

    ``elected`` is a flush and a tick after the start, the new primary takes writes two ticks later, and the prober's
    next write finds that out.
    """
    group = group_of(scenario, kind)
    if group.live < group.quorum:
        return {"sdown_first": quorum_suspicion(group, 1)} if group.live else {}
    back_ms = sum(way.middle_ms for way in group.back) / group.live
    found = {
        "sdown_first": quorum_suspicion(group, 1),
        "sdown_quorum": quorum_suspicion(group, group.quorum),
        "odown_first": start(group).later(back_ms),
    }
    if group.fails_over:
        votes = 2 * group.between.middle_ms + 2 * group.flush_ms
        counted = tick_after(votes).later(group.flush_ms) if group.votes > 1 else exactly(group.flush_ms)
        found["elected"] = found["odown_first"] + counted
        probed = uniform(scenario.probe.write_period_ms).later(group.between.middle_ms + 2 * LOCAL_MS)
        found["first_write"] = found["elected"] + tick() + tick() + probed
    return found


# --- stalls ----------------------------------------------------------------------------------------------------------


def p_suspected(group: Group, length_ms: float | Floats, index: int = 0) -> Floats:
    """Probability that a stall of this length makes one live sentinel say +sdown."""
    return suspicion(group, index).by(length_ms + group.back[index].middle_ms)


def p_agreed(group: Group, length_ms: float | Floats) -> Floats:
    """Probability that a stall of this length leads to +odown, which is also when a failover starts."""
    return start(group).by(length_ms)


def p_failover(group: Group, length_ms: float | Floats) -> Floats:
    """Probability that a stall of this length leads to a failover: once started, nothing but lost votes ends it."""
    return p_agreed(group, length_ms) * group.fails_over


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the detectors of a group do (Chen, Toueg, Aguilera). A mistake is a +sdown in a stall.

    Attributes
    ----------
    detection_mean_ms, detection_max_ms : float
        From a crash to +sdown of one sentinel.
    mistakes_per_year : float
        Of one sentinel.
    mistake_ms : float
        Mean length of a mistake, from +sdown to -sdown; infinite when stalls have no mean. A failover may cut it short.
    accuracy : float
        Probability that a sentinel, asked at a random instant while the primary has not crashed, says that it is up.
    agreements_per_year, failovers_per_year : float
        Needless +odown, and needless failovers, of the group.
    """

    detection_mean_ms: float
    detection_max_ms: float
    mistakes_per_year: float
    mistake_ms: float
    accuracy: float
    agreements_per_year: float
    failovers_per_year: float


def quality(group: Group, per_year: float, longer: Callable[[Floats], Floats], index: int = 0) -> Quality:
    """The metrics of one detector and of the group, for stalls that arrive at random.

    With D the time of +sdown of an endless stall, stalls that are longer than D - back are seen: the rate of mistakes
    is that of stalls times E[P(L > D - back)]. A mistake lasts from D until the tick after the answer, so its mean is
    E[(L + back - D)+] / P(seen) plus the wait for a tick. The same with `start` gives agreements.

    Parameters
    ----------
    group : Group
    per_year : float
        Stalls a year; small against a year / mean length.
    longer : callable
        P(L > t) of their length, t in ms.
    index : int
        Which live sentinel.
    """
    law = suspicion(group, index)
    seen_from = law.later(-group.back[index].middle_ms)
    seen = seen_from.expect(longer)
    excess_ms = seen_from.expect(lambda points: _mean_excess(longer, points))
    mistake_ms = excess_ms / seen + wait_for_tick().mean_ms if seen > 0 else 0.0
    agreed = start(group).expect(longer)
    return Quality(
        detection_mean_ms=law.mean_ms,
        detection_max_ms=float(law.points_ms[-1]),
        mistakes_per_year=per_year * seen,
        mistake_ms=mistake_ms,
        accuracy=max(0.0, 1 - per_year * seen * mistake_ms / YEAR_MS) if seen > 0 else 1.0,
        agreements_per_year=per_year * agreed,
        failovers_per_year=per_year * agreed * group.fails_over,
    )


def _mean_excess(longer: Callable[[Floats], Floats], points_ms: Floats) -> Floats:
    """E[(L - t)+] at each t: the integral of P(L > s) from t on, up to a year, by trapezes that widen with s."""
    first, last = points_ms[0], points_ms[-1]
    beyond = last + np.geomspace(1, YEAR_MS, 4000)
    tail = float(np.trapezoid(longer(beyond), beyond)) + float(longer(np.array([last]))[0])
    steps = np.arange(first, last + 1)
    below = longer(steps)
    inside = np.concatenate((np.cumsum(((below[1:] + below[:-1]) / 2)[::-1])[::-1], [0.0]))
    return np.interp(points_ms, steps, inside) + tail
