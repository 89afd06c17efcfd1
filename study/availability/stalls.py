"""What stalls cost: needless failovers, and outages of their own when they are longer than anybody's patience.

The rate of needless failovers is that of `study.tune.needless`; what one costs is simulated at typical lengths. A stall
that ends before a failover is an outage by itself once clients no longer wait for it: simulated at a row of lengths,
straight lines between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.bounds import YEAR_MS
from model.laws import Floats
from model.scenario import Scenario
from study.availability.costs import Cost, see
from study.availability.rates import DRAWS
from study.tune.inputs import Stalls
from study.tune.needless import SURE_STALL_MS, Needless, stalled
from study.tune.runs import DEMOTED_MS, Service

PATIENCE_MS = (800, 2_600, 100)
"""Lengths that are simulated where clients stop waiting: from, to, step. The write prober waits for 1 s, the register
prober for 2 s: there the outage jumps from nothing to all of the stall. Kind: specified (`sim.prober`)."""

SHORTEST_MS = 400
"""Nobody's patience is shorter; a stall of the network looks up to twice as long as it is. Kind: assumed."""

BELOW, ABOVE = 6, 10
"""Further lengths that are simulated below the delay, and from there to a sure failover. Kind: assumed."""

LENGTHS = 6
"""Lengths of stalls that needless failovers are simulated with. Kind: assumed."""

BINS = 4_000
"""Of the law of a stall's length. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class ShortStalls:
    """Stalls that end before a failover, of one kind.

    Attributes
    ----------
    per_year : array
        By length.
    outage_s : array
        What one of each length costs, times the probability that no failover comes first.
    is_measured : bool
        Each was seen once; else a law is given.
    """

    per_year: Floats
    outage_s: Floats
    is_measured: bool

    def yearly_s(self, chance: np.random.Generator) -> Floats:
        """Seconds a year: the value, then draws in which each stall seen counts a Poisson number of times."""
        each_s = (self.per_year * self.outage_s)[self.outage_s > 0]
        if not self.is_measured:
            return np.full(DRAWS + 1, each_s.sum())
        drawn = chance.poisson(1.0, (DRAWS, len(each_s))) @ each_s
        return np.concatenate(([each_s.sum()], drawn))


def short_stalls(scenario: Scenario, service: Service, stalls: Stalls, runs: int, seed: int) -> ShortStalls:
    """Simulate stalls of one kind and weight them by how often there are so long ones."""
    delay_ms = scenario.sentinel.down_after_ms
    below = np.geomspace(min(SHORTEST_MS, delay_ms / 2), delay_ms, BELOW, endpoint=False)
    above = delay_ms + np.linspace(0, SURE_STALL_MS, ABOVE)
    patience = [each for each in range(*PATIENCE_MS) if each < delay_ms]
    tried_ms = np.unique(np.concatenate((below, patience, above)))
    costs = [_alone(scenario, service, stalls, round(float(each)), runs, seed) for each in tried_ms]
    outage_s, alone = np.array(costs).T
    lengths_ms, per_year = _lengths(stalls, tried_ms)
    # Longer ones, where nobody can fail over, last as long as they last.
    longer_s = np.maximum(lengths_ms - tried_ms[-1], 0) / 1000
    each_s = np.interp(lengths_ms, tried_ms, outage_s, left=0.0) + longer_s * (outage_s[-1] > 0)
    return ShortStalls(per_year, each_s * np.interp(lengths_ms, tried_ms, alone), stalls.is_measured)


def _alone(scenario: Scenario, service: Service, stalls: Stalls, length_ms: int, runs: int,
           seed: int) -> tuple[float, float]:  # fmt: skip
    """Mean outage of runs without failover, and their share; where all fail over, what it would be."""
    seen = see(stalled(scenario, stalls.of, length_ms, DEMOTED_MS), service, runs, seed)
    alone = ~seen.failed_over
    return float(seen.outage_s[alone].mean()) if alone.any() else length_ms / 1000, float(alone.mean())


def _lengths(stalls: Stalls, tried_ms: Floats) -> tuple[Floats, Floats]:
    """Lengths, and how many a year there are of each."""
    if stalls.is_measured:
        return stalls.lengths_ms, np.full(len(stalls.lengths_ms), YEAR_MS / stalls.observed_ms)
    edges = np.concatenate(
        (np.linspace(tried_ms[0], tried_ms[-1], BINS), tried_ms[-1] * np.geomspace(1.001, 1e4, BINS))
    )
    return (edges[1:] + edges[:-1]) / 2, stalls.per_year * -np.diff(stalls.longer(edges))


def needless_rate(needless: Needless, delay_ms: int, chance: np.random.Generator) -> Floats:
    """Needless failovers a year: the value, then draws in which each stall seen stands for a gamma(1) number of them.

    One that was not seen stands for gamma(1/2): after none in T years it is not never, as with Jeffreys' posterior.
    """
    rate = needless.at(delay_ms)
    if rate.heaviest == 0:
        return np.full(DRAWS + 1, rate.certain)
    drawn = chance.gamma(1.0, 1.0, (DRAWS, len(rate.weights))) @ rate.weights
    unseen = rate.heaviest * chance.gamma(0.5, 1.0, DRAWS)
    return np.concatenate(([rate.per_year], rate.certain + drawn + unseen))


def needless_cost(scenario: Scenario, service: Service, needless: Needless, runs: int, seed: int) -> Cost:
    """What one needless failover costs: simulated with stalls of typical lengths, a part of the runs for each."""
    of, lengths_ms = needless.typical(scenario, LENGTHS)
    parts = [part for part in np.array_split(np.arange(runs), LENGTHS) if len(part)]
    seen = [
        see(stalled(scenario, of, length_ms, 2 * DEMOTED_MS), service, len(part), seed, int(part[0]))
        for part, length_ms in zip(parts, lengths_ms, strict=False)
    ]
    costs = [each.cost() for each in seen]
    return Cost(
        outage_s=np.concatenate([each.outage_s for each in costs]),
        detect_s=np.concatenate([each.detect_s for each in costs]),
        censored=float(np.mean([each.censored for each in costs])),
        counts=np.concatenate([each.failed_over for each in seen]).astype(float),
    )
