"""Failovers that nobody needed, a year: stalls that end by themselves but last long enough for a quorum.

Stalls of the Redis process and of the whole host: the closed form of `model.bounds`. Stalls of the network: simulated,
since what arrives after a cut arrives at a retransmission, up to seconds later, and a stall looks longer than it was.

How well a rate is known follows from how many stalls were measured. It is a sum of weights, one for each stall seen:
the probability that it would have led to a failover, over the time of observation. Fay and Feuer's interval for such
sums ("Confidence intervals for directly standardized rates", Statistics in Medicine 16, 1997) holds when few or none
count, where a normal law or a bootstrap would say 0 +- 0. A law that is given is taken at its word.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import stats

from model.bounds import YEAR_MS, group_of, start, struck
from model.laws import Floats, Law
from model.scenario import Scenario
from study.tune.inputs import KIND_OF, StallOf, Stalls
from study.tune.runs import observe, without_nodes

LEVEL = 0.9
"""Of all intervals of `tune`. Kind: assumed."""

SURE_STALL_MS = 1_400
"""A stall so much longer than the delay ends in a failover: a PING period and three ticks. Kind: specified."""

NETWORK_STEPS = 24
"""Lengths of network stalls that are simulated for one delay. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Needless failovers a year, with an interval.

    Attributes
    ----------
    certain : float
        From stalls whose law is given.
    weights : array
        One for each measured stall.
    heaviest : float
        The most that one measured stall could count: a year over the time of observation; 0 without measured stalls.
    """

    certain: float
    weights: Floats
    heaviest: float

    @property
    def per_year(self) -> float:
        """The estimate."""
        return self.certain + float(self.weights.sum())

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Fay and Feuer's gamma interval; both ends equal when nothing was measured."""
        if self.heaviest == 0:
            return self.certain, self.certain
        total, variance = float(self.weights.sum()), float((self.weights**2).sum())
        low = stats.gamma.ppf((1 - level) / 2, total**2 / variance, scale=variance / total) if variance > 0 else 0.0
        total, variance = total + self.heaviest, variance + self.heaviest**2
        high = stats.gamma.ppf((1 + level) / 2, total**2 / variance, scale=variance / total)
        return self.certain + float(low), self.certain + float(high)


class Needless:
    """Rates of needless failovers of one scenario, by delay.

    Parameters
    ----------
    scenario : Scenario
    stalls : sequence of Stalls
    runs, seed : int
        Of each simulated length of a network stall.
    """

    def __init__(self, scenario: Scenario, stalls: Sequence[Stalls], runs: int, seed: int) -> None:
        self._scenario, self._stalls, self._runs, self._seed = scenario, stalls, runs, seed
        self._seen: dict[int, Rate] = {}
        self._shares: dict[int, Floats] = {}

    def at(self, down_after_ms: int) -> Rate:
        """The rate with this delay."""
        if down_after_ms not in self._seen:
            scenario = with_delay(self._scenario, down_after_ms)
            found = [self._of(scenario, each) for each in self._stalls]
            weights = np.concatenate([np.zeros(0), *(rate.weights for rate in found)])
            certain = sum(rate.certain for rate in found)
            self._seen[down_after_ms] = Rate(certain, weights, max((rate.heaviest for rate in found), default=0.0))
        return self._seen[down_after_ms]

    def _of(self, scenario: Scenario, stalls: Stalls) -> Rate:
        chance = self._chance(scenario, stalls)
        if not stalls.is_measured:
            # Integrated by parts: P(failover | L) is the law of a start, and rises from 0 to its probability.
            return Rate(stalls.per_year * chance.expect(stalls.longer), np.zeros(0), 0.0)
        heaviest = YEAR_MS / stalls.observed_ms
        return Rate(0.0, heaviest * chance.by(stalls.lengths_ms), heaviest)

    def _chance(self, scenario: Scenario, stalls: Stalls) -> Law:
        """From what length on a stall leads to a failover."""
        if stalls.of == "network":
            return self._network(scenario)
        group = group_of(scenario, KIND_OF[stalls.of])
        return start(group) if group.fails_over else Law(0.0, np.zeros(1))

    def typical(self, scenario: Scenario, count: int) -> tuple[StallOf, list[int]]:
        """Lengths of stalls that lead to needless failovers, in ms: so many quantiles of them, evenly spaced.

        Of the kind of stalls that leads to most; of those of the process when none leads to any.
        """
        chances = [self._chance(scenario, each) for each in self._stalls]
        rates = [each.per_year * chance.expect(each.longer) for each, chance in zip(self._stalls, chances, strict=True)]
        if not any(rates):
            return "redis", [scenario.sentinel.down_after_ms + SURE_STALL_MS] * count
        worst = int(np.argmax(rates))
        stalls, chance = self._stalls[worst], chances[worst]
        lengths_ms = np.concatenate((chance.points_ms, chance.points_ms[-1] * np.geomspace(1.0005, 100, 4000)))
        ended = -np.diff(stalls.longer(lengths_ms)) * chance.by((lengths_ms[1:] + lengths_ms[:-1]) / 2)
        shares = (np.arange(count) + 0.5) / count
        return stalls.of, [
            round(float(each)) for each in np.interp(shares, np.cumsum(ended) / ended.sum(), lengths_ms[1:])
        ]

    def _network(self, scenario: Scenario) -> Law:
        """The same for stalls of the network, simulated: straight lines between lengths and delays that were tried."""
        delay_ms = scenario.sentinel.down_after_ms
        if not self._shares or not min(self._shares) <= delay_ms <= max(self._shares):
            self.prepare([delay_ms], lambda share, text: None)
        tried = sorted(self._shares)
        columns = np.array([self._shares[each] for each in tried]).T
        shares = np.maximum.accumulate([np.interp(delay_ms, tried, column) for column in columns])
        lengths_ms = _network_lengths(delay_ms)
        points_ms = np.arange(lengths_ms[0], lengths_ms[-1] + 1)
        return Law(points_ms[0] + 0.5, np.diff(np.interp(points_ms, lengths_ms, shares)))

    def prepare(self, delays_ms: Sequence[int], progress: Callable[[float, str], None]) -> None:
        """Simulate stalls of the network with these delays, if there are any; those in between are interpolated."""
        if not any(each.of == "network" for each in self._stalls):
            return
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = zip(delays_ms, pool.map(self._simulate_network, delays_ms), strict=True)
            for number, (delay_ms, row) in enumerate(rows, 1):
                self._shares[delay_ms] = row
                progress(number / len(delays_ms), "stalls of the network")

    def _simulate_network(self, delay_ms: int) -> Floats:
        """Share of runs that fail over, for each length."""
        scenario = without_nodes(with_delay(self._scenario, delay_ms))
        lengths = [round(float(each)) for each in _network_lengths(delay_ms)]
        runs = [observe(stalled(scenario, "network", each), "redis_write", self._runs, self._seed) for each in lengths]
        return np.array([each.failed_over.mean() for each in runs])


def _network_lengths(delay_ms: float) -> Floats:
    """Lengths of network stalls that are tried, as many below the delay as above.

    Nothing shorter than 0.4 times the delay can matter: pauses between retransmissions at most double what has passed.
    """
    below = np.linspace(0.4 * delay_ms, delay_ms, NETWORK_STEPS // 2, endpoint=False)
    return np.concatenate((below, delay_ms + np.linspace(0, SURE_STALL_MS, NETWORK_STEPS - len(below))))


def with_delay(scenario: Scenario, down_after_ms: int) -> Scenario:
    """The scenario with another down-after-milliseconds."""
    return scenario.model_copy(
        update={"sentinel": scenario.sentinel.model_copy(update={"down_after_ms": down_after_ms})}
    )


def stalled(scenario: Scenario, of: StallOf, length_ms: int, after_ms: int = 3_000) -> Scenario:
    """The scenario with one stall of its primary, observed until a failover is over, and for so long."""
    found = struck(scenario, KIND_OF[of], length_ms)
    horizon_ms = max(length_ms, scenario.sentinel.down_after_ms) + after_ms
    return found.model_copy(update={"run": found.run.model_copy(update={"horizon_ms": horizon_ms})})
