"""The rules of the matrix, on cells made by hand, and its statistics against scipy's and cases worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from model.measures import RunMeasures, proportion
from study import conditional, regression, tables
from study.compare import Sample, Verdict, hodges_lehmann
from study.conditional import Hit
from study.exits import ExitCode
from study.regression import (
    MIN_CELL_RUNS,
    Samples,
    crps,
    evaluate,
    judge_matrix,
    mantel_haenszel,
    pit_values,
    resolution_ms,
    stratified_shift,
)

SPREAD_MS = 100
SIM_RUNS, REAL_RUNS = 400, 12


def cell(name="cell", *, real_runs=REAL_RUNS, main=False, fault_class="class", cause="", delay_ms=2000):
    """As much of a cell as the statistics look at."""
    scenario = SimpleNamespace(digest="0" * 16, sentinel=SimpleNamespace(down_after_ms=delay_ms))
    return SimpleNamespace(name=name, scenario=scenario, real_runs=real_runs, main=main, fault_class=fault_class,
                           cause=cause)  # fmt: skip


def runs(count, seed, *, shift_ms=0, spread_ms=SPREAD_MS, elected=1.0, failover=1.0, delay_ms=2000):
    """Measured runs: detection after the delay, and an election in a share of them."""
    rng = np.random.default_rng(seed)
    found = []
    for number, late_ms in enumerate(rng.normal(shift_ms + 700, spread_ms, count)):
        quorum_us = round(1000 * (delay_ms + late_ms))
        milestones = {"sdown_quorum": quorum_us}
        if rng.random() < elected:
            milestones["elected"] = quorum_us + 100_000
        found.append(RunMeasures(number, False, 10**7, milestones=milestones,
                                 branches={"failover": bool(rng.random() < failover)}))  # fmt: skip
    return found


def evaluated(seed=1, *, of=None, sim=None, count=REAL_RUNS, **real):
    return evaluate(of or cell(), runs(SIM_RUNS, 1000 + seed, **(sim or {})), runs(count, seed, **real))


def only(result):
    (found,) = result.cells
    return found


def test_a_cell_of_the_same_law_agrees():
    result = judge_matrix([evaluated()])
    assert (only(result).verdict, result.verdict, result.code) == (Verdict.AGREES, Verdict.AGREES, ExitCode.OK)
    assert result.reason == "1 of 1 cells agree"
    json.dumps(result.to_json(), allow_nan=False)


def test_a_shifted_cell_disagrees_and_names_its_rows():
    result = judge_matrix([evaluated(), evaluated(2, of=cell("late"), shift_ms=800)])
    late = result.cells[1]
    assert (late.verdict, result.verdict, result.code) == (Verdict.DISAGREES, Verdict.DISAGREES, ExitCode.FINDING)
    assert late.reason == "sdown_quorum, elected" and late.worst in ("sdown_quorum", "elected")
    assert late.told()[0].endswith("margin 500 ms, disagrees")


def test_a_main_cell_is_held_to_the_smaller_margin():
    wide, close = (only(judge_matrix([evaluated(of=cell(main=main), shift_ms=380)])) for main in (False, True))
    assert (wide.margin_ms, wide.verdict) == (500, Verdict.AGREES)
    assert (close.margin_ms, close.verdict) == (250, Verdict.DISAGREES)


def test_a_disagreement_with_a_named_cause_is_explained_and_does_not_agree():
    late = evaluated(2, of=cell("late", cause="known bug"), shift_ms=800)
    result = judge_matrix([evaluated(), late])
    assert result.cells[1].verdict == Verdict.EXPLAINED
    assert result.cells[1].reason == "known bug (sdown_quorum, elected)"
    assert (result.agreeing, result.verdict, result.code) == (1, Verdict.UNDECIDED, ExitCode.UNDECIDED)
    assert result.reason == "1 of 2 cells agree, 1 explained"


def test_a_named_cause_does_not_touch_a_cell_that_agrees():
    assert only(judge_matrix([evaluated(of=cell(cause="known bug"))])).verdict == Verdict.AGREES


def test_a_named_cause_does_not_excuse_missing_runs():
    few = evaluated(of=cell(cause="known bug"), count=MIN_CELL_RUNS - 1)
    none = evaluate(cell(cause="known bug"), [], [])
    assert [each.verdict for each in judge_matrix([few, none]).cells] == [Verdict.UNDECIDED, Verdict.NO_DATA]


def test_without_real_runs_there_is_no_data_and_too_few_are_undecided():
    none, few = evaluate(cell(), [], [], stalled=3), evaluated(count=MIN_CELL_RUNS - 1)
    result = judge_matrix([none, few])
    assert [each.verdict for each in result.cells] == [Verdict.NO_DATA, Verdict.UNDECIDED]
    assert result.cells[0].stalled == 3
    assert (result.reason, result.code) == ("0 of 2 cells agree, 1 undecided, 1 no data", ExitCode.UNDECIDED)


@pytest.mark.parametrize(("good", "verdict"), [(19, Verdict.AGREES), (18, Verdict.UNDECIDED)])
def test_the_whole_agrees_when_95_percent_of_the_cells_do(good, verdict):
    cells = [evaluated(seed) for seed in range(good)] + [evaluated(99, count=3)] * (20 - good)
    assert judge_matrix(cells).verdict == verdict


def test_a_rare_quantity_is_judged_by_how_often_it_happens():
    """An election in a tenth of the simulated runs, a second late in two real ones: the two say nothing of its time."""
    sim = runs(SIM_RUNS, 1, elected=0.1)
    real = runs(REAL_RUNS, 2, elected=0)
    for run in real[:2]:
        run.milestones["elected"] = 4_000_000
    found = only(judge_matrix([evaluate(cell(), sim, real)]))
    assert found.verdict == Verdict.AGREES
    assert {row.row.name: row.verdict for row in found.rows}["elected"] == Verdict.NOT_CONTRADICTED
    for run in real:
        run.milestones["elected"] = run.milestones["sdown_quorum"] + 100_000
    found = only(judge_matrix([evaluate(cell(), sim, real)]))
    assert (found.verdict, found.reason, found.worst) == (Verdict.DISAGREES, "elected happens", "elected happens")


def test_what_all_simulated_runs_do_and_no_real_one_disagrees():
    found = only(judge_matrix([evaluated(elected=0)]))
    assert (found.verdict, found.reason) == (Verdict.DISAGREES, "elected happens")


def test_a_course_that_only_real_runs_take_disagrees():
    found = only(judge_matrix([evaluated(sim={"failover": 0.0})]))
    assert (found.verdict, found.reason) == (Verdict.DISAGREES, "failover")


def test_a_cell_in_which_nothing_happens_agrees():
    nothing = [RunMeasures(number, False, 10**7, branches={"failover": False}) for number in range(SIM_RUNS)]
    found = only(judge_matrix([evaluate(cell(), nothing, nothing[:REAL_RUNS])]))
    assert (found.verdict, found.reason) == (Verdict.AGREES, "nothing happens in either arm")


def test_a_row_too_wide_for_its_runs_is_not_held_against_the_cell_unless_it_lies_outside():
    wide = {"spread_ms": 2_000, "elected": 0.0}
    found = only(judge_matrix([evaluated(3, sim=wide, **wide)]))
    (row,) = (row for row in found.rows if row.row.name == "sdown_quorum")
    assert row.resolution_ms > found.margin_ms and row.row.verdict == Verdict.UNDECIDED
    assert (row.verdict, found.verdict) == (Verdict.NOT_CONTRADICTED, Verdict.UNDECIDED)
    far = only(judge_matrix([evaluated(3, sim=wide, shift_ms=9_000, **wide)]))
    assert far.verdict == Verdict.DISAGREES


def test_the_more_cells_the_more_a_course_must_differ():
    """4 of 12 against 5 % has p = 0.005: a finding alone, and none among twenty."""
    sim = runs(SIM_RUNS, 1)
    for number, run in enumerate(sim):
        run.branches["failover"] = number % 20 == 0
    real = [replace(run, branches={"failover": number < 4}) for number, run in enumerate(runs(REAL_RUNS, 2))]
    odd = evaluate(cell(), sim, real)
    ordinary = evaluate(
        cell(), sim, [replace(run, branches={"failover": number == 0}) for number, run in enumerate(real)]
    )
    assert only(judge_matrix([odd])).verdict == Verdict.DISAGREES
    assert judge_matrix([odd, *[ordinary] * 19]).cells[0].verdict == Verdict.AGREES


def test_tests_that_could_not_differ_are_not_counted():
    """All take the course in both arms: nineteen such cells cost the twentieth nothing."""
    odd, sure = evaluated(sim={"failover": 0.0}), evaluated(2)
    alone, among = only(judge_matrix([odd])), judge_matrix([odd, *[sure] * 19]).cells[0]
    assert alone.courses == among.courses


# The resolution of a row


def test_resolution_of_a_normal_law():
    """Differences have sqrt(2) times the spread; the quantile reached is 1/2 + (3 + 1.645) standard errors."""
    values = np.random.default_rng(1).normal(0, 100, 20_000)
    n, m = 12, len(values)
    reach = 0.5 + (3 + stats.norm.ppf(0.95)) * math.sqrt((n + m + 1) / (12 * n * m))
    assert resolution_ms(values, n) == pytest.approx(math.sqrt(2) * 100 * stats.norm.ppf(reach), rel=0.02)


def test_few_runs_resolve_nothing():
    values = np.arange(1000.0)
    assert resolution_ms(values, 0) == resolution_ms(values, 5) == math.inf
    assert resolution_ms(values, 40) < resolution_ms(values, 12) < math.inf


# Pooling


def test_one_stratum_is_hodges_and_lehmann():
    rng = np.random.default_rng(5)
    x, y = rng.normal(3, 1, 40), rng.normal(0, 1, 300)
    assert stratified_shift([(x, y)]) == pytest.approx(hodges_lehmann(x, y), abs=0.02)


def test_strata_may_lie_anywhere():
    rng = np.random.default_rng(6)
    strata = [(rng.normal(middle + 2, 1, 15), rng.normal(middle, 1, 300)) for middle in (0, 1_000, -500)]
    estimate, low, high = stratified_shift(strata)
    assert low < 2 < high and high - low < 1.5 and estimate == pytest.approx(2, abs=0.5)


def test_every_real_value_weighs_the_same_however_many_were_simulated():
    """Three real values fit and two are 10 late; the stratum of the two has a hundred times the simulated runs."""
    few, many = (np.zeros(3), np.zeros(10)), (np.full(2, 10.0), np.zeros(1000))
    assert stratified_shift([few, many])[0] == 0


def pooled_of(shift_ms=0, cells=4, count=REAL_RUNS, **real):
    found = [
        evaluated(seed, of=cell(f"{seed}", delay_ms=1000 * seed), sim={"delay_ms": 1000 * seed}, count=count,
                  shift_ms=shift_ms, delay_ms=1000 * seed, **real)
        for seed in range(1, cells + 1)
    ]  # fmt: skip
    return judge_matrix(found)


def test_a_class_pools_cells_of_different_delays():
    (row, _) = pooled_of(cells=8).pooled
    assert (row.name, row.cells, row.n, row.verdict) == ("sdown_quorum", 8, 96, Verdict.AGREES)
    assert abs(row.bias_ms) < 50 and row.p95["verdict"] == Verdict.AGREES
    assert row.margin_ms == 150


def test_a_class_finds_a_bias_that_its_cells_let_pass():
    result = pooled_of(shift_ms=300)
    assert {each.verdict for each in result.cells} == {Verdict.AGREES}
    assert {row.verdict for row in result.pooled} == {Verdict.DISAGREES}
    assert result.pooled[0].bias_ms == pytest.approx(300, abs=50)


def test_a_class_finds_a_tail_that_is_too_long():
    result = pooled_of(cells=8, spread_ms=5 * SPREAD_MS)
    assert result.pooled[0].verdict == Verdict.AGREES
    assert result.pooled[0].p95["verdict"] == Verdict.DISAGREES


def test_p95_of_a_class_needs_59_runs():
    """0.95^58 > 5 %: the largest of 58 values is not yet surely above the 95 % quantile."""
    assert "note" in pooled_of(cells=1, count=58).pooled[0].p95
    assert "note" not in pooled_of(cells=1, count=59).pooled[0].p95


def test_the_margin_of_a_class_grows_with_the_delay():
    slow = evaluated(of=cell(delay_ms=10_000), sim={"delay_ms": 10_000}, delay_ms=10_000)
    assert judge_matrix([slow]).pooled[0].margin_ms == 200


def test_one_table_of_mantel_and_haenszel_is_fishers():
    for table in ([3, 10, 40, 400], [0, 12, 30, 500], [12, 12, 470, 500]):
        k_real, n_real, k_sim, n_sim = table
        fisher = stats.fisher_exact([[k_real, n_real - k_real], [k_sim, n_sim - k_sim]]).pvalue
        assert mantel_haenszel(np.array([table])) == pytest.approx(fisher)


def test_many_small_differences_add_up():
    table = [3, 12, 30, 600]
    assert mantel_haenszel(np.array([table])) > 0.01
    assert mantel_haenszel(np.array([table] * 5)) < 0.0001


def test_a_class_compares_courses_cell_by_cell():
    """A third of cells always fail over, the others never, in both arms: no difference, whatever the weights."""
    found = [
        evaluated(seed, of=cell(str(seed), real_runs=count), count=count, failover=share, sim={"failover": share})
        for seed, (count, share) in enumerate([(30, 1.0), (12, 0.0), (12, 0.0)])
    ]
    course = next(each for each in judge_matrix(found).courses if each.name == "failover")
    assert course.real == proportion(30, 54)
    assert course.difference["estimate"] == pytest.approx(0, abs=1e-3)
    assert course.verdict == Verdict.NOT_CONTRADICTED


# Scores


def test_crps_of_an_ensemble_by_hand():
    """Members 0 and 2, value 1: mean distance 1, half the mean distance among members 1/2."""
    assert crps(np.array([1.0]), np.array([0.0, 2.0])) == pytest.approx([0.5])
    assert crps(np.array([1.0, 7.0]), np.array([3.0])) == pytest.approx([2, 4])


def test_crps_of_a_normal_law_is_gneitings():
    """Gneiting and Raftery 2007: sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))."""
    ensemble = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    for z in (0.0, 1.3, -2.0):
        exact = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi)
        assert crps(np.array([z]), ensemble)[0] == pytest.approx(exact, abs=1e-3)


def test_pit_values_by_hand():
    assert pit_values(np.array([0.0, 2.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])).tolist() == [0, 0.375, 0.5, 1]


def test_the_naive_prediction_gets_its_best_constant():
    """Two delays, hardly any spread: delay + 700 ms is as good as anything can be, and no skill is left."""
    (score, _) = pooled_of(cells=2, spread_ms=1).scores
    assert score.constant_ms == pytest.approx(700, abs=2)
    assert score.naive_ms < 2 and score.skill < 0


def test_the_skill_shows_what_a_constant_cannot_know():
    """Cells of two kinds, 400 ms apart at the same delay."""
    found = [
        evaluated(seed, of=cell(str(seed)), sim={"shift_ms": shift_ms}, shift_ms=shift_ms)
        for seed, shift_ms in enumerate([0, 400, 0, 400])
    ]
    score = judge_matrix(found).scores[0]
    assert score.naive_ms == pytest.approx(200, abs=40)
    assert 0.6 < score.skill < 0.8
    assert sum(score.pit_counts) == score.n == len(score.pit) == 48
    assert score.coverage["n"] == 48 and score.coverage["k"] > 36


def test_return_milestones_have_a_constant_without_delay():
    found = evaluated()
    demoted = Samples(
        Sample(np.full(9, 10_400.0), np.zeros(9, bool)), Sample(np.arange(10_000.0, 11_000), np.zeros(1000, bool))
    )
    (score,) = regression.scores([replace(found, samples={"demoted": demoted})])
    assert score.constant_ms == 10_400


def test_censored_values_are_bounds_and_are_not_scored():
    censored = np.array([False] * 8 + [True] * 2)
    real = Sample(np.append(np.full(8, 500.0), [9_000, 9_000]), censored)
    both = Samples(real, Sample(np.arange(1000.0), np.zeros(1000, bool)))
    (score,) = regression.scores([replace(evaluated(), samples={"elected": both})])
    assert (score.n, score.coverage["k"]) == (8, 8)


# Conditional predictions


def hit(measured_ms, predicted_ms, cell_="c"):
    return Hit("g", cell_, "elected", measured_ms, predicted_ms, predicted_ms - 60, predicted_ms + 60)


def test_conditional_errors_are_set_beside_the_spread_within_cells():
    hits = [hit(1_000, 990), hit(1_400, 1_380), hit(9_000, 8_970, "d"), hit(9_400, 9_500, "d")]
    (row,) = conditional.summarise(hits)
    assert (row.n, row.mean_ms) == (4, -10)
    assert row.sd_ms == pytest.approx(np.std([10, 20, 30, -100], ddof=1), abs=0.001)
    assert row.measured_sd_ms == pytest.approx(math.sqrt(4 * 200**2 / 2), abs=0.001)
    assert row.coverage["k"] == 3


def test_milestones_that_few_simulated_runs_reach_are_not_predicted():
    real, simulated = runs(1, 1)[0], runs(10, 2, elected=0.0)
    simulated[0].milestones["elected"] = 1
    assert [each.milestone for each in conditional.hits_of(real, simulated, "g", "c")] == ["sdown_quorum"]


def test_one_hit_has_no_spread():
    (row,) = conditional.summarise([hit(5, 4)])
    assert (row.sd_ms, row.measured_sd_ms) == (None, None)


# What people see


def test_table_of_a_matrix():
    late = evaluated(2, of=cell("late", cause="known bug"), shift_ms=800)
    data = judge_matrix([evaluated(), late, evaluate(cell("missing"), [], [])]).to_json()
    data["conditional"] = conditional.to_json(conditional.summarise([hit(5, 4)]), 200)
    lines = tables.regression_text(data).splitlines()
    assert lines[-1] == "verdict: UNDECIDED - 1 of 3 cells agree, 1 explained, 1 no data"
    assert any(line.startswith("late") and line.endswith("explained") for line in lines)
    assert any(line.startswith("missing") and "0 of 12" in line and line.endswith("no data") for line in lines)
    assert "  late: explained, known bug (sdown_quorum, elected)" in lines
