"""Does the simulator agree with real servers over a whole pre-registered matrix of cells?

One comparison says something of one scenario. A matrix of many cells asks more: that hardly any cell is called wrong by
mere chance, that a wrong simulator is found out in the cells that can show it, and how well the simulator predicts
altogether. All rules were fixed before looking, with the help of simulated runs only: see
``docs/decisions/0005-regression.md``.

A cell
    Every milestone and outage is a row, judged by the interval of its shift against the cell's margin (see
    `study.compare`). A row is only held against an exact simulator when the planned runs can tell: where even runs of
    the same law would often leave the margin (`resolution_ms`), an open row is *not contradicted*. How often each
    quantity happens at all, and each course, is compared by Fisher's exact test. All p values of the matrix are
    corrected together (Holm).
A class of faults
    The runs of all its cells together, each measured against the prediction for its own cell: bias and the difference
    of the 95 % quantiles of each milestone, against the margins that we claim to the outside; each course by an exact
    test over all cells.
The whole matrix
    How good are single predictions? Coverage of the simulated 5..95 % interval, values of the probability integral
    transform, and the continuous ranked probability score against the best that "delay + constant" could do.

Left out: outages of nodes are judged in cells and are not pooled, since cells differ in what a node waits for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from model.measures import BRANCHES, MILESTONES, Facts, RunMeasures, measure, proportion
from model.scenario import Scenario
from model.trace import Trace
from study import conditional
from study.compare import (
    BRANCH_ALPHA,
    CONFIDENCE,
    Branch,
    Row,
    Sample,
    Verdict,
    compare_branches,
    compare_row,
    holm,
    judge,
    newcombe,
    quantities,
    sample,
)
from study.exits import ExitCode
from study.matrix import Cell

SCHEMA = 1
"""Version of the JSON of a regression."""

MAIN_MARGIN_MS, CELL_MARGIN_MS = 250, 500
"""Margins of the rows of a main cell and of any other. Kind: assumed (docs/decisions/0005-regression.md)."""

MIN_CELL_RUNS = 8
"""Usable real runs below which a cell is undecided. Kind: assumed; with fewer, no row can be held against anything."""

RARE = 0.2
"""A quantity that happens in a smaller share of simulated runs is judged by how often it does. Kind: assumed."""

Z_RESOLUTION = 3.0
"""Standard errors by which the shift of an exact simulator may err. Kind: assumed; 0.3 % of rows err by more."""

POOLED_MARGIN_MS, POOLED_MARGIN_SHARE = 150.0, 0.02
"""Margin of a class: the larger of this and of this share of the mean delay. Kind: assumed; it is what we claim."""

MIN_POOLED = 30
"""Real values from which on a class is judged. Kind: assumed."""

MAX_CENSORED = 0.04
"""Share of censored values up to which a pooled 95 % quantile is told. Kind: assumed; below 5 % they lie above it."""

ENOUGH = 0.95
"""Share of cells that must agree. Kind: assumed."""

PIT_BINS = 10
"""Bars of the histogram of the probability integral transform. Kind: assumed."""

FROM_RETURN = ("demoted",)
"""Milestones that count from the return of a server, so that the delay says nothing of them."""


@dataclass(frozen=True, slots=True)
class CellRow:
    """One quantity in one cell.

    Attributes
    ----------
    row : Row
        As `compare` sees it, at the cell's margin.
    happens : Branch
        In how many runs it happened, in both arms.
    resolution_ms : float or None
        Shift that an exact simulator may show by chance with so many real runs, interval included; None when any.
    verdict : Verdict
    """

    row: Row
    happens: Branch
    resolution_ms: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Samples:
    """Both arms of one milestone in one cell, and the simulated median."""

    real: Sample
    sim: Sample

    @property
    def centred(self) -> tuple[np.ndarray, np.ndarray]:
        """Both arms in ms from the simulated median."""
        middle = np.median(self.sim.values_ms)
        return self.real.values_ms - middle, self.sim.values_ms - middle


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Both arms of one cell: all that the matrix needs to know of it.

    Attributes
    ----------
    planned : int
        Real runs that the matrix asks for.
    rows, courses
        Not yet corrected for the number of tests.
    samples : dict of str to Samples
        Milestones that both arms saw, and that are not rare.
    """

    name: str
    fault_class: str
    digest: str
    main: bool
    cause: str
    delay_ms: int
    margin_ms: int
    planned: int
    real_runs: int
    stalled: int
    sim_runs: int
    rows: tuple[CellRow, ...] = ()
    courses: tuple[Branch, ...] = ()
    samples: dict[str, Samples] | None = None


@dataclass(frozen=True, slots=True)
class CellResult:
    """A cell and its verdict; see `Evaluated` for what is not named here.

    Attributes
    ----------
    rows, courses
        With p values corrected over the whole matrix.
    coverage : dict
        Real milestones inside the simulated 5..95 % interval: ``k`` of ``n``, Wilson's interval.
    worst : str
        The row that lies worst, or the course that disagrees; empty when there is none.
    verdict, reason
    """

    name: str
    fault_class: str
    digest: str
    main: bool
    cause: str
    margin_ms: int
    planned: int
    real_runs: int
    stalled: int
    sim_runs: int
    rows: tuple[CellRow, ...]
    courses: tuple[Branch, ...]
    coverage: dict[str, Any]
    worst: str
    verdict: Verdict
    reason: str

    def told(self) -> list[str]:
        """Lines for people: the rows that say most against agreement, the worst first."""
        rows = [row for row in self.rows if row.verdict in (Verdict.DISAGREES, Verdict.UNDECIDED)]
        told = [
            f"{row.row.name}: {row.row.shift_ms} ms ({row.row.shift_low_ms} to {row.row.shift_high_ms}), "
            f"margin {self.margin_ms} ms, {row.verdict}"
            for row in sorted(rows, key=_reach, reverse=True)
        ]
        return told + [
            f"{test.name}: {test.real['k']} of {test.real['n']} real runs, "
            f"{test.sim['k']} of {test.sim['n']} simulated ones, corrected p {test.p_holm:.2g}"
            for test in _contradicted(self)
        ]


@dataclass(frozen=True, slots=True)
class PooledRow:
    """One milestone over all cells of a class of faults. Times in ms.

    Attributes
    ----------
    cells, n, censored : int
        Cells and real runs that had it.
    margin_ms : float
    bias_ms, low_ms, high_ms : float
        Shift of real runs against the predictions for their own cells, with its 90 % interval.
    p95 : dict
        Difference of the 95 % quantiles of what is left after subtracting each cell's simulated median:
        ``difference_ms``, ``low_ms``, ``high_ms``, ``verdict``; a ``note`` when it cannot be told.
    verdict : Verdict
        Of the bias.
    """

    fault_class: str
    name: str
    cells: int
    n: int
    censored: int
    margin_ms: float
    bias_ms: float
    low_ms: float
    high_ms: float
    p95: dict[str, Any]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class PooledCourse:
    """One course over all cells of a class; the simulated share is weighted as the real runs are."""

    fault_class: str
    name: str
    real: dict[str, Any]
    sim: dict[str, Any]
    difference: dict[str, float]
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Score:
    """How well single real values of one milestone are predicted, over the whole matrix.

    Attributes
    ----------
    coverage : dict
        Real values inside the simulated 5..95 % interval of their cell: ``k``, ``n``, Wilson's ``low`` and ``high``.
    crps_ms : float
        Mean continuous ranked probability score of the simulated runs.
    naive_ms, constant_ms : float
        Mean absolute error of "delay + constant", and that constant: the best one for these very real values.
    skill : float or None
        1 - crps / naive: 0 is as good as the naive one, 1 is perfect.
    pit_counts : list of int
        Histogram of `pit` in `PIT_BINS` equal bins: flat when spread and shape are right.
    pit : list of float
        Share of simulated values below each real one.
    """

    name: str
    n: int
    coverage: dict[str, Any]
    crps_ms: float
    naive_ms: float
    constant_ms: float
    skill: float | None
    pit_counts: list[int]
    pit: list[float]


@dataclass(frozen=True, slots=True)
class Regression:
    """The whole matrix."""

    cells: tuple[CellResult, ...]
    pooled: tuple[PooledRow, ...]
    courses: tuple[PooledCourse, ...]
    scores: tuple[Score, ...]
    agreeing: int
    verdict: Verdict
    reason: str

    @property
    def code(self) -> ExitCode:
        """Exit code: a cell that disagrees without a named cause is a finding."""
        codes = {Verdict.DISAGREES: ExitCode.FINDING, Verdict.UNDECIDED: ExitCode.UNDECIDED}
        return codes.get(self.verdict, ExitCode.OK)

    def to_json(self) -> dict[str, Any]:
        """Plain data; NaN does not occur."""
        return {"schema": SCHEMA, "confidence": CONFIDENCE, **asdict(self)}


RunsOf = Callable[[Scenario], Sequence[Trace]]
"""Real runs of a scenario, stalled ones included."""


def run(
    cells: Sequence[Cell],
    runs_of: RunsOf,
    sim_runs: int,
    seed: int = 1,
    engine: str = "batch",
    jobs: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Regression:
    """Simulate every cell, compare it with its real runs, and judge the matrix.

    Parameters
    ----------
    cells : sequence of study.matrix.Cell
    runs_of : callable
        Called in a worker process.
    sim_runs : int
        Simulated runs of each cell.
    seed : int
        Of all chance.
    engine : str
    jobs : int, optional
        Cells at once; default: one for each core.
    progress : callable, optional
        Called with the done fraction and the name of a cell that is done.
    """
    tasks = [partial(_evaluate, cell, runs_of, sim_runs, seed, engine) for cell in cells]
    return judge_matrix(list(_in_processes(tasks, cells, engine, jobs, progress)))


def predict_each(
    cells: Sequence[Cell],
    runs_of: RunsOf,
    seed: int = 1,
    engine: str = "batch",
    jobs: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Predict every real run from its own phases (`study.conditional`); parameters as for `run`. Plain data."""
    tasks = [partial(_predict_cell, cell, runs_of, seed, engine) for cell in cells]
    hits = [hit for found in _in_processes(tasks, cells, engine, jobs, progress) for hit in found]
    return conditional.to_json(conditional.summarise(hits), conditional.RUNS)


def _predict_cell(cell: Cell, runs_of: RunsOf, seed: int, engine: str) -> list[conditional.Hit]:
    real = runs_of(cell.scenario)
    return conditional.predict(cell.scenario, real, cell.fault_class, cell.name, seed=seed, engine=engine)


def _in_processes(
    tasks: Sequence[Callable[[], Any]],
    cells: Sequence[Cell],
    engine: str,
    jobs: int | None,
    progress: Callable[[float, str], None] | None,
) -> Iterator[Any]:
    """Yield the results of one task for each cell, in order."""
    from joblib import Parallel, delayed

    import sim

    sim.simulate(cells[0].scenario, 1, 1, engine, 1)  # compiles, lest each worker does
    results = Parallel(n_jobs=jobs or -1, return_as="generator")(delayed(task)() for task in tasks)
    for done, (cell, found) in enumerate(zip(cells, results, strict=True), start=1):
        if progress:
            progress(done / len(cells), cell.name)
        yield found


def _evaluate(cell: Cell, runs_of: RunsOf, sim_runs: int, seed: int, engine: str) -> Evaluated:
    """Everything about one cell that takes time."""
    import sim

    real = runs_of(cell.scenario)
    if not any(not trace.stalled for trace in real):
        return evaluate(cell, [], [], len(real))
    facts = Facts.of(cell.scenario)
    predicted = [measure(trace, facts) for trace in sim.simulate(cell.scenario, sim_runs, seed, engine, 1)]
    return evaluate(cell, predicted, [measure(trace, facts) for trace in real if not trace.stalled],
                    sum(trace.stalled for trace in real), seed)  # fmt: skip


def evaluate(
    cell: Cell, sim: Sequence[RunMeasures], real: Sequence[RunMeasures], stalled: int = 0, seed: int = 1
) -> Evaluated:
    """Compare both arms of one cell; `real` without stalled runs."""
    margin_ms = MAIN_MARGIN_MS if cell.main else CELL_MARGIN_MS
    known = Evaluated(
        cell.name, cell.fault_class, cell.scenario.digest, cell.main, cell.cause, cell.scenario.sentinel.down_after_ms,
        margin_ms, cell.real_runs, len(real), stalled, len(sim),
    )  # fmt: skip
    if not real:
        return known
    rng = np.random.default_rng(seed)
    arms = {name: Samples(sample(name, real), sample(name, sim)) for name in quantities([*sim, *real])}
    rows = tuple(_cell_row(name, both, known, rng) for name, both in arms.items())
    shared = {
        row.row.name: arms[row.row.name]
        for row in rows
        if row.row.name in MILESTONES and len(arms[row.row.name].real) and not _is_rare(row.happens)
    }
    return replace(known, rows=rows, courses=tuple(compare_branches(real, sim)), samples=shared)


def _cell_row(name: str, both: Samples, cell: Evaluated, rng: np.random.Generator) -> CellRow:
    row = compare_row(name, both.real, both.sim, cell.margin_ms, rng)
    happens = _happens(name, len(both.real), cell.real_runs, len(both.sim), cell.sim_runs)
    bound_ms = resolution_ms(both.sim.values_ms, len(both.real)) if len(both.sim) else math.inf
    verdict = row.verdict
    if len(both.real) and (_is_rare(happens) or (verdict == Verdict.UNDECIDED and bound_ms > cell.margin_ms)):
        verdict = Verdict.NOT_CONTRADICTED
    return CellRow(row, happens, round(bound_ms, 3) if math.isfinite(bound_ms) else None, verdict)


def _happens(name: str, k_real: int, n_real: int, k_sim: int, n_sim: int) -> Branch:
    """How often a quantity was seen at all (or was still waited for at the end) in both arms."""
    p = float(stats.fisher_exact([[k_real, n_real - k_real], [k_sim, n_sim - k_sim]]).pvalue)
    real, sim = proportion(k_real, n_real), proportion(k_sim, n_sim)
    return Branch(f"{name} happens", real, sim, newcombe(real, sim), p, p, Verdict.NOT_CONTRADICTED)


def _is_rare(happens: Branch) -> bool:
    return happens.sim["k"] < RARE * happens.sim["n"]


def resolution_ms(sim_ms: np.ndarray, n: int) -> float:
    """How far the interval of a shift may reach by chance when `n` real runs follow the simulated law.

    The interval's limits are quantiles of all differences between the arms (`study.compare.hodges_lehmann`). Under the
    same law these follow the differences of simulated runs among themselves, and the estimate errs by `Z_RESOLUTION`
    standard errors of the Mann-Whitney statistic in all but 0.3 % of cases.

    Returns
    -------
    float
        In ms; infinite when so few runs have no interval.
    """
    m = len(sim_ms)
    error = math.sqrt((n + m + 1) / (12 * n * m)) if n else math.inf
    reach = 0.5 + (Z_RESOLUTION + float(stats.norm.ppf((1 + CONFIDENCE) / 2))) * error
    if reach >= 1:
        return math.inf
    # 200 evenly spaced quantiles stand for the law: their 40 000 differences are enough for three digits.
    law = np.quantile(sim_ms, (np.arange(200) + 0.5) / 200)
    return float(np.quantile(np.subtract.outer(law, law), reach))


def judge_matrix(evaluated: Sequence[Evaluated]) -> Regression:
    """Correct all p values together, and judge cells, classes and the whole.

    A cell whose disagreement is explained says nothing about the rest of its class, and is not pooled.
    """
    cells = tuple(_judge_cell(each) for each in _correct(evaluated))
    explained = {cell.name for cell in cells if cell.verdict == Verdict.EXPLAINED}
    shared = [each for each in evaluated if each.samples is not None and each.name not in explained]
    pooled, courses = [], []
    for name in dict.fromkeys(each.fault_class for each in evaluated):
        of_class = [each for each in shared if each.fault_class == name]
        pooled += pool_rows(name, of_class)
        courses += pool_courses(name, of_class)
    agreeing = sum(cell.verdict == Verdict.AGREES for cell in cells)
    courses = list(_correct_courses(courses))
    verdict, reason = _judge_whole(cells, agreeing, _wrong_classes(pooled, courses))
    return Regression(cells, tuple(pooled), tuple(courses), tuple(scores(evaluated)), agreeing, verdict, reason)


def _correct(evaluated: Sequence[Evaluated]) -> list[Evaluated]:
    """Holm's correction over all tests of the matrix: courses and occurrences in one family, KS in another.

    A test that could not have come out below 1 (all runs of both arms the same) is none, and is not counted: that is
    known from the margins of its table alone.
    """
    tests = [test for each in evaluated for test in (*each.courses, *(row.happens for row in each.rows))]
    corrected = iter(_corrected_branches(tests))
    ks = iter(holm([row.row.ks_p for each in evaluated for row in each.rows if row.row.ks_p is not None]))
    found = []
    for each in evaluated:
        courses = tuple(next(corrected) for _ in each.courses)
        rows = []
        for row in each.rows:
            happens = next(corrected)
            plain = row.row if row.row.ks_p is None else replace(row.row, ks_p_holm=next(ks))
            rows.append(replace(row, row=plain, happens=happens))
        found.append(replace(each, courses=courses, rows=tuple(rows)))
    return found


def _corrected_branches(tests: Sequence[Branch]) -> list[Branch]:
    can_differ = [0 < test.real["k"] + test.sim["k"] < test.real["n"] + test.sim["n"] for test in tests]
    corrected = iter(holm([test.p for test, can in zip(tests, can_differ, strict=True) if can]))
    found = []
    for test, can in zip(tests, can_differ, strict=True):
        p = next(corrected) if can else 1.0
        found.append(replace(test, p_holm=p, verdict=_of_p(p)))
    return found


def _of_p(p_holm: float) -> Verdict:
    return Verdict.DISAGREES if p_holm < BRANCH_ALPHA else Verdict.NOT_CONTRADICTED


def _judge_cell(cell: Evaluated) -> CellResult:
    verdict, reason = _cell_verdict(cell)
    if cell.cause and verdict == Verdict.DISAGREES:
        verdict, reason = Verdict.EXPLAINED, f"{cell.cause} ({reason})"
    plain = {name: getattr(cell, name) for name in Evaluated.__slots__ if name in CellResult.__slots__}
    return CellResult(**plain, coverage=_coverage(list((cell.samples or {}).values())), worst=_worst(cell),
                      verdict=verdict, reason=reason)  # fmt: skip


def _cell_verdict(cell: Evaluated) -> tuple[Verdict, str]:
    if not cell.real_runs:
        return Verdict.NO_DATA, "no usable real runs"
    wrong = [row.row.name for row in cell.rows if row.verdict == Verdict.DISAGREES]
    wrong += [test.name for test in _contradicted(cell)]
    if wrong:
        return Verdict.DISAGREES, ", ".join(wrong)
    if cell.real_runs < MIN_CELL_RUNS:
        return Verdict.UNDECIDED, f"{cell.real_runs} usable real runs, at least {MIN_CELL_RUNS} are needed"
    for verdict in (Verdict.UNDECIDED, Verdict.AGREES):
        names = [row.row.name for row in cell.rows if row.verdict == verdict]
        if names:
            return verdict, ", ".join(names)
    if any(len(each.real) for each in (cell.samples or {}).values()):
        return Verdict.UNDECIDED, "no row can be told with so few runs"
    return Verdict.AGREES, "nothing happens in either arm"


def _contradicted(cell: Evaluated | CellResult) -> list[Branch]:
    """Courses and occurrences that differ."""
    tests = [*cell.courses, *(row.happens for row in cell.rows)]
    return [test for test in tests if test.verdict == Verdict.DISAGREES]


def _worst(cell: Evaluated) -> str:
    """The row whose interval reaches farthest of those that disagree, else a contradicted course, else any row."""
    wrong = [row for row in cell.rows if row.verdict == Verdict.DISAGREES]
    if not wrong and (tests := _contradicted(cell)):
        return tests[0].name
    judged = wrong or [row for row in cell.rows if row.verdict in (Verdict.UNDECIDED, Verdict.AGREES)]
    return max(judged, key=_reach).row.name if judged else ""


def _reach(row: CellRow) -> float:
    limits = (row.row.shift_low_ms, row.row.shift_high_ms)
    return max(math.inf if limit is None else abs(limit) for limit in limits)


def _coverage(samples: Sequence[Samples]) -> dict[str, Any]:
    inside = np.concatenate([_is_inside(each) for each in samples]) if samples else np.array([], bool)
    return proportion(int(inside.sum()), len(inside))


def _observed(values: Sample) -> np.ndarray:
    return values.values_ms[~values.is_censored]


def _is_inside(both: Samples) -> np.ndarray:
    """Which observed real values lie in the simulated 5..95 % interval."""
    low, high = np.quantile(both.sim.values_ms, [0.05, 0.95])
    real = _observed(both.real)
    return (low <= real) & (real <= high)


def _wrong_classes(pooled: Sequence[PooledRow], courses: Sequence[PooledCourse]) -> list[str]:
    """Classes of faults that disagree in bias, in a 95 % quantile or in a course."""
    rows = [row.fault_class for row in pooled if Verdict.DISAGREES in (row.verdict, row.p95.get("verdict"))]
    rows += [each.fault_class for each in courses if each.verdict == Verdict.DISAGREES]
    return list(dict.fromkeys(rows))


def _judge_whole(cells: Sequence[CellResult], agreeing: int, wrong_classes: Sequence[str]) -> tuple[Verdict, str]:
    counts = Counter(cell.verdict for cell in cells)
    reason = f"{agreeing} of {len(cells)} cells agree" + "".join(
        f", {counts[verdict]} {verdict}"
        for verdict in (Verdict.DISAGREES, Verdict.EXPLAINED, Verdict.UNDECIDED, Verdict.NO_DATA)
        if counts[verdict]
    )
    if wrong_classes:
        reason += f"; as a class disagree: {', '.join(wrong_classes)}"
    if counts[Verdict.DISAGREES] or wrong_classes:
        return Verdict.DISAGREES, reason
    return (Verdict.AGREES if agreeing >= ENOUGH * len(cells) else Verdict.UNDECIDED), reason


def pool_rows(fault_class: str, cells: Sequence[Evaluated]) -> Iterator[PooledRow]:
    """Bias and 95 % quantile of each milestone over the cells of a class."""
    for name in MILESTONES:
        having = [cell for cell in cells if name in cell.samples]
        if having:
            yield _pool_row(fault_class, name, having)


def _pool_row(fault_class: str, name: str, cells: Sequence[Evaluated]) -> PooledRow:
    samples = [cell.samples[name] for cell in cells]
    n = sum(len(each.real) for each in samples)
    censored = sum(each.real.censored for each in samples)
    delay_ms = sum(cell.delay_ms * len(each.real) for cell, each in zip(cells, samples, strict=True)) / n
    margin_ms = max(POOLED_MARGIN_MS, POOLED_MARGIN_SHARE * delay_ms)
    bias, low, high = stratified_shift([(each.real.values_ms, each.sim.values_ms) for each in samples])
    return PooledRow(
        fault_class, name, len(cells), n, censored, margin_ms, round(bias, 3), round(low, 3), round(high, 3),
        pooled_p95(samples, censored / n, margin_ms),
        judge(low, high, margin_ms) if n >= MIN_POOLED else Verdict.UNDECIDED,
    )  # fmt: skip


def stratified_shift(
    strata: Sequence[tuple[np.ndarray, np.ndarray]], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """One shift of the first arm against the second in several strata, and its interval.

    `hodges_lehmann` for strata: differences are taken within each stratum and weighted so that every value of the first
    arm counts the same; the interval inverts the weighted sum of the strata's Mann-Whitney statistics (van Elteren's
    test with these weights), in normal approximation.
    """
    differences = np.concatenate([np.subtract.outer(x, y).ravel() for x, y in strata])
    weights = np.concatenate([np.full(len(x) * len(y), 1 / len(y)) for x, y in strata])
    total = sum(len(x) for x, _ in strata)
    variance = sum(len(x) * (len(x) + len(y) + 1) / (12 * len(y)) for x, y in strata)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(variance) / total
    return tuple(float(value) for value in _weighted_quantiles(differences, weights, [0.5, 0.5 - half, 0.5 + half]))


def _weighted_quantiles(values: np.ndarray, weights: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    places = np.searchsorted(reached, np.clip(wanted, 0, 1) * reached[-1])
    return values[order][np.minimum(places, len(values) - 1)]


def pooled_p95(samples: Sequence[Samples], censored: float, margin_ms: float) -> dict[str, Any]:
    """Real against simulated 95 % quantile of the centred values.

    The interval is made of two order statistics of the real values: free of any law, exact for runs of one law and
    wider than needed for a mixture. Simulated runs are so many that their own error is left out.
    """
    centred = [each.centred for each in samples]
    real = np.sort(np.concatenate([x for x, _ in centred]))
    sim = np.concatenate([y for _, y in centred])
    weights = np.concatenate([np.full(len(y), len(x) / len(y)) for x, y in centred])
    predicted = float(_weighted_quantiles(sim, weights, [0.95])[0])
    tail = (1 - CONFIDENCE) / 2
    # P(B < rank) <= tail and P(B >= rank_high) <= tail, B being how many of n lie below the true quantile.
    low, high = (int(rank) for rank in stats.binom.ppf([tail, 1 - tail], len(real), 0.95))
    if high >= len(real):
        return {"verdict": Verdict.UNDECIDED, "note": f"too few runs ({len(real)})"}
    if censored > MAX_CENSORED:
        return {"verdict": Verdict.UNDECIDED, "note": "censored runs"}
    low_ms, high_ms = float(real[max(0, low - 1)] - predicted), float(real[high] - predicted)
    return {
        "difference_ms": round(float(np.quantile(real, 0.95)) - predicted, 3),
        "low_ms": round(low_ms, 3),
        "high_ms": round(high_ms, 3),
        "verdict": judge(low_ms, high_ms, margin_ms),
    }


def pool_courses(fault_class: str, cells: Sequence[Evaluated]) -> Iterator[PooledCourse]:
    """How often real runs of a class take each course, against the predictions for their own cells."""
    for name in BRANCHES:
        tables = [
            (course.real["k"], course.real["n"], course.sim["k"], course.sim["n"])
            for cell in cells
            for course in cell.courses
            if course.name == name
        ]
        if tables:
            yield _pool_course(fault_class, name, np.array(tables, float))


def _pool_course(fault_class: str, name: str, tables: np.ndarray) -> PooledCourse:
    k_real, n_real, k_sim, n_sim = tables.T
    real = proportion(int(k_real.sum()), int(n_real.sum()))
    share = float((k_sim / n_sim) @ n_real / n_real.sum())
    sim = proportion(round(share * n_sim.sum()), int(n_sim.sum()))
    return PooledCourse(fault_class, name, real, sim, newcombe(real, sim), mantel_haenszel(tables), 1.0,
                        Verdict.NOT_CONTRADICTED)  # fmt: skip


def mantel_haenszel(tables: np.ndarray) -> float:
    """p value of Cochran, Mantel and Haenszel that odds are equal in each of several 2 x 2 tables.

    Exact: the sum of the hypergeometric counts, two-sided as Fisher's test (all outcomes that are at most as likely).

    Parameters
    ----------
    tables : array
        Rows of k and n of the first arm, k and n of the second.
    """
    law = np.ones(1)
    offset = 0
    for k_real, n_real, k_sim, n_sim in tables.astype(int):
        k = k_real + k_sim
        lowest = max(0, k - n_sim)
        counts = np.arange(lowest, min(k, n_real) + 1)
        law = np.convolve(law, stats.hypergeom.pmf(counts, n_real + n_sim, k, n_real))
        offset += lowest
    seen = law[int(tables[:, 0].sum()) - offset]
    return float(min(1.0, law[law <= seen * (1 + 1e-7)].sum()))


def _correct_courses(courses: Sequence[PooledCourse]) -> Iterator[PooledCourse]:
    """Holm over all classes; these tests repeat those of the cells, with more power."""
    for course, p in zip(courses, holm([course.p for course in courses]), strict=True):
        yield replace(course, p_holm=p, verdict=_of_p(p))


def scores(evaluated: Sequence[Evaluated]) -> Iterator[Score]:
    """How well single values are predicted, for each milestone."""
    for name in MILESTONES:
        having = [each for each in evaluated if name in (each.samples or {})]
        having = [each for each in having if len(_observed(each.samples[name].real))]
        if having:
            yield _score(name, having)


def _score(name: str, cells: Sequence[Evaluated]) -> Score:
    samples = [cell.samples[name] for cell in cells]
    real = [_observed(each.real) for each in samples]
    crps_ms = np.concatenate([crps(x, each.sim.values_ms) for x, each in zip(real, samples, strict=True)])
    delays = [0 if name in FROM_RETURN else cell.delay_ms for cell in cells]
    beyond = np.concatenate([x - delay for x, delay in zip(real, delays, strict=True)])
    constant = float(np.median(beyond))
    naive = float(np.mean(np.abs(beyond - constant)))
    pit = np.concatenate([pit_values(x, each.sim.values_ms) for x, each in zip(real, samples, strict=True)])
    return Score(
        name=name,
        n=len(pit),
        coverage=_coverage(samples),
        crps_ms=round(float(crps_ms.mean()), 3),
        naive_ms=round(naive, 3),
        constant_ms=round(constant, 3),
        skill=round(1 - float(crps_ms.mean()) / naive, 4) if naive else None,
        pit_counts=np.histogram(pit, PIT_BINS, (0, 1))[0].tolist(),
        pit=[round(float(value), 4) for value in pit],
    )


def crps(values: np.ndarray, ensemble: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of an ensemble for each value: E|X - v| - E|X - X'| / 2.

    In the unit of the values. Of an ensemble with one member it is the absolute error.
    """
    ordered = np.sort(ensemble)
    m = len(ordered)
    # Sum over all pairs of |x - x'| from the order statistics.
    spread = 2 * float((2 * np.arange(1, m + 1) - m - 1) @ ordered) / m**2
    return np.abs(np.subtract.outer(values, ordered)).mean(axis=1) - spread / 2


def pit_values(values: np.ndarray, ensemble: np.ndarray) -> np.ndarray:
    """Share of the ensemble below each value, equal ones counted half."""
    ordered = np.sort(ensemble)
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return (below + upto) / (2 * len(ordered))
