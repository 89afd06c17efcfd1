"""How well is one very run predicted, once it is known where its sentinels were in their periods?

A simulated ensemble answers for any run: a vanished host is noticed the delay plus anything up to a second later, for a
sentinel pings once a second. A real run that wrote down its phases just before the fault (`Trace.phases`) can be asked
for more: simulated runs that start from these very phases should hit *its* milestones to a tick or two. This is a far
sharper test of the model than comparing laws: a simulator can have the right spread for wrong reasons, and will then be
no better here than without the phases.

Each real run is predicted by the median of simulated runs from its phases, with their 5..95 % interval.

Left out: outages; milestones that fewer than half of the simulated runs reach are not predicted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from model.measures import MILESTONES, Facts, RunMeasures, measure, proportion
from model.scenario import Scenario
from model.trace import Trace

SCHEMA = 1
"""Version of the JSON of conditional predictions."""

RUNS = 200
"""Simulated runs for each real one. Kind: assumed; the median is known to a tenth of the spread."""

INTERVAL = (0.05, 0.95)
"""Quantiles that bound a prediction. Kind: assumed, as for the unconditional coverage."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One milestone of one real run and its prediction, in ms.

    Attributes
    ----------
    group : str
        What is summarised together, such as a class of faults.
    cell : str
        Runs of one law: the spread of what was measured is taken within it.
    """

    group: str
    cell: str
    milestone: str
    measured_ms: float
    predicted_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True, slots=True)
class Sharpness:
    """All predictions of one milestone in a group, in ms.

    Attributes
    ----------
    mean_ms, sd_ms : float
        Of measured - predicted; `sd_ms` is None for fewer than two.
    robust_sd_ms : float
        The same from the median absolute deviation: without the few runs in which a PING left between the question and
        the fault, which nothing in the phases can tell.
    measured_sd_ms : float or None
        Spread of the measured values within their cells: what is left to a prediction that knows no phases.
    coverage : dict
        Measured values inside the predicted interval: ``k``, ``n``, Wilson's ``low`` and ``high``.
    """

    group: str
    milestone: str
    n: int
    mean_ms: float
    sd_ms: float | None
    robust_sd_ms: float
    measured_sd_ms: float | None
    coverage: dict[str, Any]


def can_be_conditioned(trace: Trace) -> bool:
    """True for a usable run that tells its phases."""
    return bool(trace.phases) and not trace.stalled


def predict(
    scenario: Scenario,
    real: Sequence[Trace],
    group: str = "",
    cell: str = "",
    runs: int = RUNS,
    seed: int = 1,
    engine: str = "batch",
    progress: Callable[[float], None] | None = None,
) -> list[Hit]:
    """Predict each real run that tells its phases.

    Parameters
    ----------
    scenario : Scenario
    real : sequence of Trace
        Runs without phases and stalled ones are left out.
    group, cell : str
        Labels of the hits; default: the scenario's name.
    runs : int
        Simulated runs for each real one.
    seed : int
    engine : str
    progress : callable, optional
        Called with the done fraction.
    """
    import sim

    facts = Facts.of(scenario)
    usable = [trace for trace in real if can_be_conditioned(trace)]
    hits: list[Hit] = []
    for done, trace in enumerate(usable, start=1):
        # Another seed for each run: what phases leave open must not be the same luck in all predictions.
        simulated = sim.simulate(scenario, runs, seed + trace.run, engine, 1, phases=trace.phases)
        labels = group or scenario.name, cell or scenario.name
        hits += hits_of(measure(trace, facts), [measure(each, facts) for each in simulated], *labels)
        if progress:
            progress(done / len(usable))
    return hits


def hits_of(real: RunMeasures, simulated: Sequence[RunMeasures], group: str, cell: str) -> Iterable[Hit]:
    """Yield the milestones of one run that happened, and that at least half of its simulated runs reach."""
    for name in MILESTONES:
        values = [run.milestones[name] / 1000 for run in simulated if name in run.milestones]
        if name in real.milestones and 2 * len(values) >= len(simulated):
            low, middle, high = (float(value) for value in np.quantile(values, [INTERVAL[0], 0.5, INTERVAL[1]]))
            yield Hit(group, cell, name, real.milestones[name] / 1000, middle, low, high)


def summarise(hits: Sequence[Hit]) -> list[Sharpness]:
    """One line for each group and milestone, in order of appearance and of time."""
    by_place: dict[tuple[str, str], list[Hit]] = defaultdict(list)
    for hit in hits:
        by_place[hit.group, hit.milestone].append(hit)
    groups = dict.fromkeys(hit.group for hit in hits)
    places = [(group, name) for group in groups for name in MILESTONES if (group, name) in by_place]
    return [_sharpness(*place, by_place[place]) for place in places]


def _sharpness(group: str, milestone: str, hits: Sequence[Hit]) -> Sharpness:
    misses = np.array([hit.measured_ms - hit.predicted_ms for hit in hits])
    inside = sum(hit.low_ms <= hit.measured_ms <= hit.high_ms for hit in hits)
    return Sharpness(
        group,
        milestone,
        len(hits),
        round(float(misses.mean()), 3),
        round(float(misses.std(ddof=1)), 3) if len(hits) > 1 else None,
        round(float(stats.median_abs_deviation(misses, scale="normal")), 3),
        _sd_within(hits),
        proportion(inside, len(hits)),
    )


def _sd_within(hits: Sequence[Hit]) -> float | None:
    """Standard deviation of measured values around the means of their cells."""
    by_cell: dict[str, list[float]] = defaultdict(list)
    for hit in hits:
        by_cell[hit.cell].append(hit.measured_ms)
    squares = sum(float(((np.array(values) - np.mean(values)) ** 2).sum()) for values in by_cell.values())
    freedom = len(hits) - len(by_cell)
    return round((squares / freedom) ** 0.5, 3) if freedom else None


def to_json(summary: Sequence[Sharpness], runs: int) -> dict[str, Any]:
    """Plain data."""
    return {"schema": SCHEMA, "simulated_runs": runs, "rows": [asdict(each) for each in summary]}
