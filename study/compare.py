"""Do simulated and real runs agree? Statistics that were fixed before looking.

The easy way, "the p value is large, so they agree", rewards having few runs. Here the burden lies the other way round:
a quantity *agrees* only when the data show that the two arms differ by less than the scenario's margin.

For each milestone and each outage, with n real runs against m simulated ones:

* the shift between the arms is estimated by Hodges and Lehmann's median of all n * m differences, with a 90 % interval
  from inverting the Mann-Whitney test. Its null distribution is exact, so it holds for n = 5. A 90 % interval inside
  the margin is an equivalence test at 5 % in both directions (two one-sided tests);
* the 95 % quantiles are compared by bootstrap, from 30 real runs on;
* the area between the two empirical distribution functions says how far they are apart altogether, in ms;
* Kolmogorov-Smirnov p values, corrected by Holm over all rows, are shown and decide nothing: with enough runs every
  model is found out.

Courses that a run may take or not (a lost election, say) are compared by Fisher's exact test, Holm again.

Runs that the horizon cut off count with the bound that was seen. That is sound for ranks as long as the bound is the
largest value; medians of such rows are those of Kaplan and Meier. Stalled real runs are left out of all of this and
counted.

See ``docs/statistics.md`` for the reasons, ``docs/decisions/0002-margins.md`` for the margins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats

from model.measures import BRANCHES, MILESTONES, Facts, RunMeasures, measure, proportion
from model.scenario import Scenario
from model.trace import Trace

SCHEMA = 1
"""Version of the JSON of a comparison."""

CONFIDENCE = 0.90
"""Of the interval of a shift: equivalence at 5 % in both directions. Kind: assumed (docs/statistics.md)."""

MIN_REAL_RUNS = 3
"""With fewer usable real runs the whole is undecided. Kind: assumed."""

MIN_FOR_P95 = 30
"""Real runs from which on the 95 % quantile is compared: below, it hangs on the largest value. Kind: assumed."""

BRANCH_ALPHA = 0.01
"""A course is contradicted below this corrected p value. Kind: assumed."""

RESAMPLES = 500
"""Bootstrap repetitions. Kind: assumed; the intervals of areas and of p95 are good to about 5 % of their length."""

BLOCK = 100_000
"""Values of resamples that are handled at once. Kind: measured (fastest between 50 000 and 500 000)."""

EXACT_UP_TO = 20
"""Real runs up to which the Mann-Whitney distribution is computed exactly. Kind: assumed; the normal approximation is
off by less than one rank in a thousand beyond."""


class Verdict(StrEnum):
    """Outcome of a row or of the whole."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNDECIDED = "undecided"
    EXPLAINED = "explained"
    NOT_CONTRADICTED = "not contradicted"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one quantity in one arm.

    Attributes
    ----------
    values_ms : array
        Observed values and bounds of censored ones.
    is_censored : array of bool
    """

    values_ms: np.ndarray
    is_censored: np.ndarray

    def __len__(self) -> int:
        return len(self.values_ms)

    @property
    def censored(self) -> int:
        """How many values are only bounds."""
        return int(self.is_censored.sum())

    def quantile(self, q: float) -> float:
        """Quantile in ms; Kaplan and Meier's when values are censored, NaN where it was not reached."""
        if not self.censored:
            return float(np.quantile(self.values_ms, q))
        observed = stats.CensoredData.right_censored(self.values_ms, self.is_censored)
        distribution = stats.ecdf(observed).cdf
        reached = distribution.quantiles[distribution.probabilities >= q - 1e-12]
        return float(reached[0]) if len(reached) else math.nan


@dataclass(frozen=True, slots=True)
class Row:
    """One milestone or outage, compared. Times in ms, None where it cannot be said.

    Attributes
    ----------
    name : str
    real, sim : dict
        ``n``, ``censored``, ``p5_ms``, ``p50_ms``, ``p95_ms``.
    shift_ms, shift_low_ms, shift_high_ms : float
        By how much real runs are later, with its 90 % interval.
    median_difference_ms : float
    p95 : dict
        ``difference_ms``, ``low_ms``, ``high_ms``, ``verdict``. With too few runs: `undecided` with
        a ``note``, and no say in the whole.
    area : dict
        ``area_ms`` between the distribution functions, ``low_ms``, ``high_ms`` (90 %, bootstrap).
    ks_p, ks_p_holm : float
    margin_ms : int
    verdict : Verdict
        Of the shift.
    """

    name: str
    real: dict[str, Any]
    sim: dict[str, Any]
    margin_ms: int
    shift_ms: float | None = None
    shift_low_ms: float | None = None
    shift_high_ms: float | None = None
    median_difference_ms: float | None = None
    p95: dict[str, Any] = field(default_factory=dict)
    area: dict[str, Any] = field(default_factory=dict)
    ks_p: float | None = None
    ks_p_holm: float | None = None
    verdict: Verdict = Verdict.NO_DATA


@dataclass(frozen=True, slots=True)
class Branch:
    """A course that runs take or do not take, compared."""

    name: str
    real: dict[str, Any]
    sim: dict[str, Any]
    difference: dict[str, float]
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, all branches and what follows from them."""

    scenario: str
    digest: str
    margin_ms: int
    real_runs: int
    stalled: int
    sim_runs: int
    rows: tuple[Row, ...]
    branches: tuple[Branch, ...]
    verdict: Verdict
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain data; NaN does not occur."""
        return {"schema": SCHEMA, "confidence": CONFIDENCE, **asdict(self)}


def compare(scenario: Scenario, sim: Sequence[Trace], real: Sequence[Trace], seed: int = 1) -> Comparison:
    """Compare two lists of traces of one scenario.

    Parameters
    ----------
    scenario : Scenario
    sim, real : sequence of Trace
    seed : int
        Of the bootstrap.
    """
    facts = Facts.of(scenario)
    return compare_measures(
        scenario, [measure(trace, facts) for trace in sim], [measure(trace, facts) for trace in real], seed
    )


def compare_measures(
    scenario: Scenario,
    sim: Sequence[RunMeasures],
    real: Sequence[RunMeasures],
    seed: int = 1,
    wanted: int = MIN_REAL_RUNS,
) -> Comparison:
    """Like `compare`, for runs that were measured already; `wanted` usable real runs are needed to agree."""
    usable = [run for run in real if not run.stalled]
    rng = np.random.default_rng(seed)
    names = quantities([*sim, *usable])
    rows = [compare_row(name, sample(name, usable), sample(name, sim), scenario.margin_of(name), rng) for name in names]
    rows = _with_holm(rows)
    branches = compare_branches(usable, sim)
    verdict, reason = overall(rows, branches, len(usable), max(wanted, MIN_REAL_RUNS))
    return Comparison(
        scenario.name, scenario.digest, scenario.margin_ms, len(usable), len(real) - len(usable), len(sim),
        tuple(rows), tuple(branches), verdict, reason,
    )  # fmt: skip


def quantities(runs: Sequence[RunMeasures]) -> list[str]:
    """Names of all milestones, and of the outages that were watched."""
    return [*MILESTONES, *sorted({name for run in runs for name in run.windows})]


def sample(name: str, runs: Sequence[RunMeasures]) -> Sample:
    """Values of a milestone, or of an outage's total length, over runs."""
    values: list[int] = []
    is_censored: list[bool] = []
    for run in runs:
        if name in run.milestones:
            values.append(run.milestones[name])
            is_censored.append(False)
        elif name in run.cut_off:
            values.append(run.cut_off[name])
            is_censored.append(True)
        elif name in run.windows:
            values.append(run.outage_us(name))
            is_censored.append(run.outage_is_censored(name))
    return Sample(np.array(values, float) / 1000, np.array(is_censored, bool))


def compare_row(name: str, real: Sample, sim: Sample, margin_ms: int, rng: np.random.Generator) -> Row:
    """Compare one quantity."""
    described = {"name": name, "real": _describe(real), "sim": _describe(sim), "margin_ms": margin_ms}
    if len(real) == real.censored and len(sim) == sim.censored:
        return Row(**described)
    if not len(real) or not len(sim):
        return Row(**described, verdict=Verdict.UNDECIDED if len(real) else Verdict.NO_DATA)
    shift, low, high = hodges_lehmann(real.values_ms, sim.values_ms)
    medians = real.quantile(0.5) - sim.quantile(0.5)
    return Row(
        **described,
        shift_ms=round(shift, 3),
        shift_low_ms=_finite(low),
        shift_high_ms=_finite(high),
        median_difference_ms=_finite(medians),
        p95=_compare_p95(real, sim, margin_ms, rng),
        area=_area(real.values_ms, sim.values_ms, rng),
        ks_p=float(stats.ks_2samp(real.values_ms, sim.values_ms).pvalue),
        verdict=Verdict.UNDECIDED if math.isnan(medians) else judge(low, high, margin_ms),
    )


def judge(low_ms: float, high_ms: float, margin_ms: float) -> Verdict:
    """Verdict of an interval against a margin: inside, wholly outside, or neither."""
    if -margin_ms <= low_ms and high_ms <= margin_ms:
        return Verdict.AGREES
    if low_ms > margin_ms or high_ms < -margin_ms:
        return Verdict.DISAGREES
    return Verdict.UNDECIDED


def hodges_lehmann(x: np.ndarray, y: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Shift of `x` against `y` and its interval, by inverting the two-sided Mann-Whitney test.

    Returns
    -------
    estimate, low, high : float
        The limits are infinite when there are too few values for any interval.
    """
    differences = np.sort(np.subtract.outer(x, y), axis=None)
    rank = critical_rank(len(x), len(y), (1 - confidence) / 2)
    if rank == 0:
        return float(np.median(differences)), -math.inf, math.inf
    return float(np.median(differences)), float(differences[rank - 1]), float(differences[-rank])


@lru_cache(maxsize=256)
def critical_rank(n: int, m: int, alpha: float) -> int:
    """Largest c with P(U < c) <= alpha, U being Mann-Whitney's statistic of n and m values; 0 when there is none.

    The c-th smallest and c-th largest of the n * m differences bound an interval with confidence 1 - 2 * alpha.
    """
    if min(n, m) > EXACT_UP_TO:
        centre, spread = n * m / 2, math.sqrt(n * m * (n + m + 1) / 12)
        return max(0, math.floor(centre + 0.5 + spread * float(stats.norm.ppf(alpha))))
    ways = _mann_whitney_counts(min(n, m), max(n, m))
    limit, below = alpha * math.comb(n + m, n), 0
    for rank, count in enumerate(ways):
        below += count
        if below > limit:
            return rank
    raise AssertionError("the counts add up to all orders")


def _mann_whitney_counts(n: int, m: int) -> list[int]:
    """In how many orders of n and m values U takes each of 0 .. n * m // 2: the Gaussian binomial coefficient.

    It is the product over i = 1 .. n of (1 - q^(m + i)) / (1 - q^i), multiplied out with whole numbers.
    """
    counts = [1] + [0] * (n * m // 2)
    for i in range(1, n + 1):
        for power in range(len(counts) - 1, m + i - 1, -1):
            counts[power] -= counts[power - m - i]
        for power in range(i, len(counts)):
            counts[power] += counts[power - i]
    return counts


def _compare_p95(real: Sample, sim: Sample, margin_ms: int, rng: np.random.Generator) -> dict[str, Any]:
    if min(len(real), len(sim)) < MIN_FOR_P95 or real.censored or sim.censored:
        note = "censored runs" if real.censored or sim.censored else f"too few runs (fewer than {MIN_FOR_P95})"
        return {"verdict": Verdict.UNDECIDED, "note": note}
    x, y = real.values_ms, sim.values_ms
    differences = np.quantile(_resample(x, rng), 0.95, axis=1) - np.quantile(_resample(y, rng), 0.95, axis=1)
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {
        "difference_ms": round(float(np.quantile(x, 0.95) - np.quantile(y, 0.95)), 3),
        "low_ms": round(float(low), 3),
        "high_ms": round(float(high), 3),
        "verdict": judge(low, high, margin_ms),
    }


def _area(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Area between two empirical distribution functions in ms: the Wasserstein distance.

    Resampling few values alone makes areas larger, so the bootstrap interval is moved back by that bias, down to 0.
    """
    area = float(stats.wasserstein_distance(x, y))
    areas = np.concatenate(list(_resampled_areas(x, y, rng)))
    low, high = np.quantile(areas, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) - (np.mean(areas) - area)
    return {
        "area_ms": round(area, 3),
        "low_ms": round(max(0.0, float(low)), 3),
        "high_ms": round(max(0.0, float(high)), 3),
    }


def _resampled_areas(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Areas after resampling, in blocks that fit into the processor's cache: how often a value was drawn is its weight,
    so all repetitions share one sorted axis."""
    values = np.concatenate([x, y])
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])
    at_once = max(1, min(RESAMPLES, BLOCK // len(values)))
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        steps = np.concatenate([_weights(len(x), rows, rng), -_weights(len(y), rows, rng)], axis=1)
        yield np.abs(np.cumsum(steps[:, order], axis=1)[:, :-1]) @ gaps


def _weights(n: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Shares that each of `n` values has in `rows` resamples."""
    drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n) / n


def _resample(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(values, (RESAMPLES, len(values)))


def compare_branches(real: Sequence[RunMeasures], sim: Sequence[RunMeasures]) -> list[Branch]:
    """Compare how often runs take each course."""
    found = []
    for name in BRANCHES:
        k_real, n_real = _count(real, name)
        k_sim, n_sim = _count(sim, name)
        if n_real and n_sim:
            p = float(stats.fisher_exact([[k_real, n_real - k_real], [k_sim, n_sim - k_sim]]).pvalue)
            found.append((name, proportion(k_real, n_real), proportion(k_sim, n_sim), p))
    corrected = holm([p for *_, p in found])
    return [
        Branch(name, real_, sim_, newcombe(real_, sim_), p, p_holm,
               Verdict.DISAGREES if p_holm < BRANCH_ALPHA else Verdict.NOT_CONTRADICTED)
        for (name, real_, sim_, p), p_holm in zip(found, corrected, strict=True)
    ]  # fmt: skip


def _count(runs: Sequence[RunMeasures], name: str) -> tuple[int, int]:
    answers = [run.branches[name] for run in runs if name in run.branches]
    return sum(answers), len(answers)


def newcombe(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float]:
    """Difference of two proportions with Newcombe's 95 % interval (his method 10, from two Wilson intervals)."""
    p, q = first["k"] / first["n"], second["k"] / second["n"]
    below = math.hypot(p - first["low"], second["high"] - q)
    above = math.hypot(first["high"] - p, q - second["low"])
    return {"estimate": round(p - q, 6), "low": round(p - q - below, 6), "high": round(p - q + above, 6)}


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm's step-down method), in the given order."""
    corrected = [0.0] * len(p_values)
    so_far = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = so_far
    return corrected


def _with_holm(rows: list[Row]) -> list[Row]:
    tested = [row.ks_p for row in rows if row.ks_p is not None]
    corrected = iter(holm(tested))
    return [replace(row, ks_p_holm=next(corrected)) if row.ks_p is not None else row for row in rows]


def overall(
    rows: Sequence[Row], branches: Sequence[Branch], real_runs: int, wanted: int = MIN_REAL_RUNS
) -> tuple[Verdict, str]:
    """The verdict of the whole, and why."""
    judged = [(row.name, row.verdict) for row in rows if row.verdict != Verdict.NO_DATA]
    judged += [
        (f"p95 of {row.name}", row.p95["verdict"]) for row in rows if row.p95 and "note" not in row.p95
    ]  # fmt: skip
    judged += [(branch.name, branch.verdict) for branch in branches]
    for verdict in (Verdict.DISAGREES, Verdict.UNDECIDED):
        names = [name for name, given in judged if given == verdict]
        if verdict == Verdict.UNDECIDED and real_runs < wanted:
            return verdict, f"{real_runs} usable real runs, at least {wanted} are needed"
        if names:
            return verdict, ", ".join(names)
    return Verdict.AGREES, f"all {sum(given == Verdict.AGREES for _, given in judged)} quantities lie within the margin"


def dkw_band(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Empirical distribution function with the band of Dvoretzky, Kiefer and Wolfowitz (Massart's constant).

    Returns
    -------
    x, low, high : array
        Sorted values, and the band's limits at and right of each.
    """
    n = len(values)
    half = math.sqrt(math.log(2 / (1 - confidence)) / (2 * n))
    heights = np.arange(1, n + 1) / n
    return np.sort(values), np.clip(heights - half, 0, 1), np.clip(heights + half, 0, 1)


def _describe(values: Sample) -> dict[str, Any]:
    described: dict[str, Any] = {"n": len(values), "censored": values.censored}
    if len(values):
        described |= {f"p{q}_ms": _finite(values.quantile(q / 100)) for q in (5, 50, 95)}
    return described


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
