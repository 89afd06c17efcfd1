"""Laws of the first instants of a failover: when sentinels suspect, agree, and what follows.

The head of the package has the derivation. Left out: what happens below a ms (`model.laws`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from model.bounds.group import LOCAL_MS, Group, Kind, group_of
from model.laws import MIXED_MS, Floats, Law, exactly, remainder, tick, tick_after, uniform, wait_for_tick
from model.scenario import Scenario
from model.sentinel import PING_PERIOD_US

_PING_MS = PING_PERIOD_US / 1000


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
