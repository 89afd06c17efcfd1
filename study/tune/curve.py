"""What each delay costs: outages after a crash (simulated), needless failovers and lost registrations a year.

Outages are simulated at the delays of a coarse grid, with the same runs at each, and are straight lines between them:
an outage is the delay and something that hardly depends on it. Needless failovers are reckoned at every delay of a fine
grid, where they follow from a closed form.

How well all that is known: runs are drawn anew, the same ones at all delays and for all kinds of crashes, and measured
stalls with them (bootstrap); what is best is looked for again in each such draw.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from model.laws import Floats
from model.scenario import Scenario
from study.tune.inputs import Conditions, Stalls
from study.tune.needless import LEVEL, Needless, Rate, stalled, with_delay
from study.tune.runs import DEMOTED_MS, Runs, Service, crashed, observe

DRAWS = 200
"""Bootstrap draws. Kind: assumed."""

COARSE, FINE = 10, 1_500
"""Delays that are simulated, and delays that are judged. Kind: assumed."""

NEAR = 0.1
"""What is so near to the present delay, as a share of it, is not simulated beside it. Kind: assumed."""

LENGTHS = 6
"""Lengths of stalls that needless failovers are simulated with. Kind: assumed."""

OUTAGES = ("outage_mean", "outage_p50", "outage_p95", "outage_p99")
QUANTITIES = (*OUTAGES, "needless", "lost", "cost")
"""What a delay is judged by, and what `--objective` and `--limit` may name."""

UNIT = {**dict.fromkeys(OUTAGES, "s"), "needless": "a year", "lost": "a year", "cost": "a year"}

_SHARES = {"outage_p50": 0.5, "outage_p95": 0.95, "outage_p99": 0.99}

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked: a scenario under conditions, and how much to simulate.

    Attributes
    ----------
    scenario : Scenario
        Its time line is replaced.
    conditions : Conditions
    stalls : list of Stalls
    service : str
        Whose outage counts.
    runs, seed : int
        Simulated runs of each setting and kind of crash.
    """

    scenario: Scenario
    conditions: Conditions
    stalls: list[Stalls]
    service: Service
    runs: int
    seed: int

    def observe(self, crash: Scenario) -> Runs:
        """Simulate a setting's crash."""
        return observe(crash, self.service, self.runs, self.seed)


class Setting:
    """Simulated crashes of one setting, and what follows from them in any draw of runs.

    Parameters
    ----------
    study : Study
    scenario : Scenario
        The setting.
    needless : Needless, optional
        Stalls that lead to needless failovers; without them no losses are simulated.
    """

    def __init__(self, study: Study, scenario: Scenario, needless: Needless | None = None) -> None:
        self.rates = study.conditions.crashes_per_year.by_kind()
        self._weights = study.conditions.weights
        self._registrations_per_s = study.conditions.registrations_per_s
        crashes = {kind: study.observe(crashed(scenario, kind)) for kind in self.rates}
        self.censored = sum(rate * crashes[kind].censored for kind, rate in self.rates.items()) / self.crashes_per_year
        self._outage_s, self._run, self._share = _flat(crashes, self.rates)
        self._lost_s = sum(rate * crashes[kind].lost_s for kind, rate in self.rates.items())
        self._failed_over = self._lost_by_needless_s = np.zeros(study.runs)
        if needless and self._registrations_per_s and any(host.registrar for host in scenario.host):
            self._simulate_needless(study, scenario, needless)

    @property
    def crashes_per_year(self) -> float:
        """Of all kinds together."""
        return sum(self.rates.values())

    def _simulate_needless(self, study: Study, scenario: Scenario, needless: Needless) -> None:
        """What needless failovers lose: a part of the runs for each typical length of a stall."""
        of, lengths_ms = needless.typical(scenario, LENGTHS)
        parts = [part for part in np.array_split(np.arange(study.runs), LENGTHS) if len(part)]
        found = [
            observe(stalled(scenario, of, length_ms, DEMOTED_MS), "redis_write", len(part), study.seed, int(part[0]))
            for part, length_ms in zip(parts, lengths_ms, strict=False)
        ]
        self._failed_over = np.concatenate([each.failed_over for each in found])
        self._lost_by_needless_s = np.concatenate([each.lost_s for each in found]) * self._failed_over

    def outages(self, counts: Floats) -> dict[str, Floats]:
        """Statistics of a crash's outage in s, for rows of how often each run counts."""
        weights = self._share * counts[:, self._run]
        reached = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        found = {"outage_mean": weights @ self._outage_s / weights.sum(axis=1)}
        for name, share in _SHARES.items():
            found[name] = self._outage_s[np.argmax(reached >= share - 1e-12, axis=1)]
        return found

    def lost(self, counts: Floats, needless: Floats) -> Floats:
        """Registrations lost a year, given needless failovers a year."""
        by_crashes = counts @ self._lost_s / counts.sum(axis=1)
        by_one = counts @ self._lost_by_needless_s / np.maximum(counts @ self._failed_over, 1)
        return self._registrations_per_s * (by_crashes + needless * by_one)

    def cost(self, found: dict[str, Floats]) -> Floats:
        """What a year costs."""
        weights = self._weights
        outage_s = self.crashes_per_year * found["outage_mean"]
        return weights.outage_s * outage_s + weights.needless * found["needless"] + weights.lost * found["lost"]


def _flat(crashes: dict[Any, Runs], rates: dict[Any, float]) -> tuple[Floats, Any, Floats]:
    """All outages in order, the run and the weight of each: how often its kind happens, and its member's share."""
    values = [each.outage_s for each in crashes.values()]
    runs = [np.broadcast_to(np.arange(len(value))[:, None], value.shape) for value in values]
    shares = [rates[kind] * np.broadcast_to(each.share, each.outage_s.shape) for kind, each in crashes.items()]
    flat, run, share = (np.concatenate([part.ravel() for part in parts]) for parts in (values, runs, shares))
    order = np.argsort(flat, kind="stable")
    return flat[order], run[order], share[order]


@dataclass(frozen=True, slots=True)
class Curve:
    """All quantities by delay.

    Attributes
    ----------
    delays_ms : array
        The fine grid.
    value, low, high : dict of str to array
        Estimates, and a 90 % interval of each.
    draws : dict of str to array
        Rows are bootstrap draws.
    censored : float
        Greatest share of outages that outlast their run, of any delay.
    simulated_ms : list of int
        The coarse grid.
    """

    delays_ms: Any
    value: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    draws: dict[str, Floats]
    censored: float
    simulated_ms: list[int]

    def at(self, name: str, delay_ms: float) -> tuple[float, float, float]:
        """Value and interval of a quantity at a delay."""
        rows = (self.value[name], self.low[name], self.high[name])
        value, low, high = (float(np.interp(delay_ms, self.delays_ms, row)) for row in rows)
        return value, low, high


def counts_of(study: Study) -> Floats:
    """How often each run counts: first each once, then the draws of the bootstrap."""
    chance = np.random.default_rng([study.seed, 1])
    drawn = chance.multinomial(study.runs, np.full(study.runs, 1 / study.runs), size=DRAWS)
    return np.vstack((np.ones(study.runs), drawn)).astype(float)


def many(
    study: Study,
    settings: Sequence[Scenario],
    progress: Progress,
    done: float,
    until: float,
    needless: Needless | None = None,
) -> list[Setting]:
    """Simulate several settings on all cores; `progress` goes from `done` to `until`."""
    found: list[Setting] = []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for setting in pool.map(partial(Setting, study, needless=needless), settings):
            found.append(setting)
            progress(done + (until - done) * len(found) / len(settings), f"{len(found)} of {len(settings)} settings")
    finally:
        # After an interrupt, what has not begun need not be waited for.
        pool.shutdown(cancel_futures=True)
    return found


def curve(study: Study, needless: Needless, low_ms: int, high_ms: int, progress: Progress) -> Curve:
    """Judge all delays from `low_ms` to `high_ms`; the scenario's own is among the simulated ones."""
    present = study.scenario.sentinel.down_after_ms
    others = [each for each in _geometric(low_ms, high_ms, COARSE, 50) if abs(each / present - 1) > NEAR]
    coarse = sorted({low_ms, high_ms, *others, present})
    fine = np.array(sorted({*_geometric(low_ms, high_ms, FINE, 10), *coarse}))
    needless.prepare(coarse, lambda share, text: progress(0.4 * share, text))
    settings = many(study, [with_delay(study.scenario, delay) for delay in coarse], progress, 0.4, 0.9, needless)
    counts = counts_of(study)
    rates = [needless.at(delay) for delay in fine.tolist()]
    failovers = _draw_rates(rates, study.seed)
    outages = [setting.outages(counts) for setting in settings]
    judged = {name: _between(coarse, fine, np.array([found[name] for found in outages])) for name in OUTAGES}
    judged["needless"] = failovers
    judged["lost"] = _lost(settings, coarse, fine, counts, failovers)
    judged["cost"] = settings[0].cost(judged)
    low, high = ({name: np.quantile(rows[1:], share, axis=0) for name, rows in judged.items()}
                 for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))  # fmt: skip
    low["needless"], high["needless"] = np.array([rate.interval() for rate in rates]).T
    return Curve(
        delays_ms=fine,
        value={name: rows[0] for name, rows in judged.items()},
        low=low,
        high=high,
        draws={name: rows[1:] for name, rows in judged.items()},
        censored=max(setting.censored for setting in settings),
        simulated_ms=coarse,
    )


def _lost(settings: list[Setting], coarse: list[int], fine: Any, counts: Floats, failovers: Floats) -> Floats:
    """Lost registrations: what one crash and one needless failover lose are straight lines between simulated delays."""
    none, one = np.zeros(len(counts)), np.ones(len(counts))
    by_crashes = np.array([setting.lost(counts, none) for setting in settings])
    by_one = np.array([setting.lost(counts, one) for setting in settings]) - by_crashes
    return _between(coarse, fine, by_crashes) + failovers * _between(coarse, fine, by_one)


def _draw_rates(rates: list[Rate], seed: int) -> Floats:
    """Needless failovers a year: the estimate, then draws where a measured stall counts a Poisson number of times."""
    chance = np.random.default_rng([seed, 2])
    weights = np.array([rate.weights for rate in rates])
    weights = weights[:, weights.any(axis=0)]  # most stalls are far too short to count
    certain = np.array([rate.certain for rate in rates])
    times = np.vstack((np.ones(weights.shape[1]), chance.poisson(1.0, (DRAWS, weights.shape[1]))))
    return certain + times @ weights.T


def _geometric(low: int, high: int, count: int, unit: int) -> list[int]:
    """Delays that grow by one factor, rounded, the ends exact."""
    inner = [unit * round(delay / unit) for delay in np.geomspace(low, high, count)]
    return sorted({low, high, *(delay for delay in inner if low < delay < high)})


def _between(coarse: Sequence[int], fine: Any, columns: Floats) -> Floats:
    """Straight lines between simulated delays (rows), for each column; returns one row a column."""
    return np.array([np.interp(fine, coarse, column) for column in columns.T])
