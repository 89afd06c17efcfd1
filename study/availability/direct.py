"""Long courses of crashes and repairs, simulated whole: what the composition is held against.

Crashes and repairs are drawn as they come, overlaps and all, and put on the time line of ordinary scenarios: one for
each *cycle*, from a crash of the whole cluster to when nothing is away any more. Then nothing remembers what was, and
the share of time without service is the outage of a cycle over its length, both on average (the regenerative method;
Crane and Lemoine, 1977). The wait for the next crash belongs to a cycle and is not simulated: its mean is known.

Nothing of the composition is used: not its states, not its rules about who can fail over, not its costs. Rates are
those of a cluster that breaks far more often than any real one, else nothing would ever overlap.

Left out: stalls, planned work; cycles with more faults than a scenario may hold are drawn again, and counted.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from model.bounds import HOUR_MS, YEAR_MS
from model.laws import Floats
from model.scenario import PAIRS, Fault, Scenario
from model.scenario.base import MAX_FAULTS
from study.availability.costs import FAULT, see
from study.availability.rates import DRAWS
from study.tune.inputs import Crashes
from study.tune.runs import TAIL_MS, without_nodes

REPAIR = {"host": "host_repair_h", "redis": "redis_repair_h", "frozen": "redis_repair_h", "sentinel": "repair_h"}
"""How long each stays away, by name in the conditions."""


@dataclass(frozen=True, slots=True)
class Direct:
    """Simulated cycles.

    Attributes
    ----------
    outage_s, busy_s : array
        Without service, and from the first crash to when nothing is away, of each cycle.
    idle_s : float
        Mean wait for the next crash.
    too_long : int
        Cycles that were drawn again.
    overlaps : float
        Share of cycles in which two things or more were away at one time.
    """

    outage_s: Floats
    busy_s: Floats
    idle_s: float
    too_long: int
    overlaps: float

    def unavailability(self, level: float, seed: int) -> tuple[float, float, float]:
        """Share of time without service, and its interval: cycles drawn anew (bootstrap)."""
        chance = np.random.default_rng([seed, 21])
        count = len(self.outage_s)
        drawn = chance.multinomial(count, np.full(count, 1 / count), 4 * DRAWS)
        weights = np.vstack((np.ones(count), drawn))
        shares = (weights @ self.outage_s) / (weights @ (self.busy_s + self.idle_s))
        low, high = np.quantile(shares[1:], [(1 - level) / 2, (1 + level) / 2])
        return float(shares[0]), float(low), float(high)


def simulate(scenario: Scenario, crashes: Crashes, cycles: int, seed: int, fixed: bool = False) -> Direct:
    """Simulate cycles of a cluster and look at writes to Redis.

    Parameters
    ----------
    scenario : Scenario
        All hosts alike; its time line is replaced.
    crashes : Crashes
    cycles, seed : int
    fixed : bool
        Repairs take their mean time, all of them; else exponential times.
    """
    bare = without_nodes(scenario)
    lines: list[_Cycle] = []
    too_long = 0
    chance = np.random.default_rng([seed, 20])
    while len(lines) < cycles:
        line = _Cycle.draw(bare, crashes, chance, fixed)
        if len(line.faults) > MAX_FAULTS:
            too_long += 1
        else:
            lines.append(line)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        numbered = range(cycles)
        seen = list(pool.map(lambda number: _outage_s(bare, lines[number], seed, number), numbered))
    return Direct(
        outage_s=np.array(seen),
        busy_s=np.array([line.busy_ms / 1000 for line in lines]),
        idle_s=YEAR_MS / 1000 / sum(rate for _, _, rate in _dangers(bare, crashes)),
        too_long=too_long,
        overlaps=float(np.mean([line.overlaps for line in lines])),
    )


def _outage_s(scenario: Scenario, line: _Cycle, seed: int, number: int) -> float:
    end_ms = line.busy_ms + 2 * scenario.sentinel.failover_timeout_ms + scenario.sentinel.down_after_ms + TAIL_MS
    run = scenario.run.model_copy(update={"horizon_ms": end_ms})
    whole = scenario.model_copy(update={"fault": tuple(line.faults), "claim": (), "run": run})
    return float(see(whole, "redis_write", 1, seed, number).outage_s[0])


def _dangers(scenario: Scenario, crashes: Crashes) -> Iterator[tuple[str, str, float]]:
    """What may crash while nothing is away: host, what of it, how often a year."""
    for host in scenario.host:
        rates = {"host": crashes.host, "redis": crashes.redis * host.redis, "frozen": crashes.frozen * host.redis,
                 "sentinel": crashes.sentinel * host.sentinel}  # fmt: skip
        for what, rate in rates.items():
            if rate > 0:
                yield host.name, what, rate


@dataclass(slots=True)
class _Cycle:
    """One cycle's time line, in ms after its first crash."""

    faults: list[Fault] = field(default_factory=list)
    busy_ms: int = 0
    overlaps: bool = False

    @classmethod
    def draw(cls, scenario: Scenario, crashes: Crashes, chance: np.random.Generator, fixed: bool) -> _Cycle:
        """Let crashes and repairs come as they come."""
        cycle = cls()
        dangers = list(_dangers(scenario, crashes))
        rates = np.array([rate for *_, rate in dangers]) / YEAR_MS
        returns: list[tuple[int, str, str]] = []
        away: set[tuple[str, str]] = set()
        now_ms = 0
        while now_ms == 0 or away:
            if now_ms or away:
                next_ms = now_ms + chance.exponential(1 / rates.sum())
                if returns and returns[0][0] <= next_ms:
                    now_ms, host, what = heapq.heappop(returns)
                    cycle._undo(now_ms, host, what, away)
                    continue
                now_ms = round(next_ms)
            host, what, _ = dangers[chance.choice(len(dangers), p=rates / rates.sum())]
            if _is_gone(host, what, away):
                continue
            mean_ms = getattr(crashes, REPAIR[what]) * HOUR_MS
            lasts_ms = mean_ms if fixed else chance.exponential(mean_ms)
            cycle._strike(now_ms, host, what, away)
            heapq.heappush(returns, (now_ms + max(1, round(lasts_ms)), host, what))
        cycle.busy_ms = now_ms
        return cycle

    def _strike(self, now_ms: int, host: str, what: str, away: set[tuple[str, str]]) -> None:
        kind, process = FAULT[what]
        self.faults.append(Fault(kind=kind, host=host, at_ms=now_ms, process=process))
        away.add((host, what))
        self.overlaps |= len(away) > 1

    def _undo(self, now_ms: int, host: str, what: str, away: set[tuple[str, str]]) -> None:
        if (host, what) not in away:
            return
        # A host that comes back brings all of it back.
        for each in [what] if what != "host" else [name for name in FAULT if (host, name) in away]:
            kind, process = FAULT[each]
            self.faults.append(Fault(kind=PAIRS[kind], host=host, at_ms=now_ms, process=process))
            away.discard((host, each))


def _is_gone(host: str, what: str, away: set[tuple[str, str]]) -> bool:
    """It, or what it runs on, is away already."""
    server = {"redis", "frozen"}
    same = server if what in server else {what}
    return (host, "host") in away or any((host, each) in away for each in same)
