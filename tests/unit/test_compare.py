"""The statistics of the comparison, against scipy's and against cases worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from model.measures import Facts, measure
from model.trace import Event
from study.compare import (
    Sample,
    Verdict,
    compare,
    compare_row,
    critical_rank,
    dkw_band,
    hodges_lehmann,
    holm,
    judge,
    newcombe,
)


def sample(*values_ms: float, censored: int = 0) -> Sample:
    """The last `censored` values are bounds."""
    return Sample(np.array(values_ms), np.arange(len(values_ms)) >= len(values_ms) - censored)


def p_of_rank(u: int, n: int, m: int) -> float:
    """P(U <= u) by scipy, from two samples without ties that have this U."""
    y = np.arange(m, dtype=float)
    above = [min(m, max(0, u - number * m)) for number in range(n)]
    x = np.array(above) - 0.5 + np.arange(n) * 1e-6
    return stats.mannwhitneyu(x, y, alternative="less", method="exact").pvalue


@pytest.mark.parametrize(("n", "m"), [(3, 8), (5, 10), (5, 40), (6, 7), (1, 100)])
def test_critical_rank_is_scipys_exact_one(n, m):
    rank = critical_rank(n, m, 0.05)
    assert p_of_rank(rank - 1, n, m) <= 0.05 < p_of_rank(rank, n, m)


def test_there_is_no_interval_from_two_values_a_side():
    assert critical_rank(2, 2, 0.05) == 0
    assert hodges_lehmann(np.array([1.0, 2.0]), np.array([1.0, 2.0]))[1:] == (-math.inf, math.inf)


def test_the_normal_approximation_continues_the_exact_ranks():
    exact = critical_rank(20, 200, 0.05)
    centre, spread = 20 * 200 / 2, math.sqrt(20 * 200 * 221 / 12)
    assert exact == pytest.approx(centre + 0.5 + spread * stats.norm.ppf(0.05), abs=3)


def test_hodges_lehmann_by_hand():
    """Differences of (3, 5) and (0, 1): 2, 3, 4, 5."""
    estimate, *_ = hodges_lehmann(np.array([3.0, 5.0]), np.array([0.0, 1.0]))
    assert estimate == 3.5


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_newcombe_interval_of_his_own_example():
    """Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10: 56/70 - 48/80 is 0.0524 to 0.3339."""
    from model.measures import proportion

    difference = newcombe(proportion(56, 70), proportion(48, 80))
    assert (difference["low"], difference["high"]) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-99, 99, Verdict.AGREES),
        (-100, 100, Verdict.AGREES),
        (-101, 0, Verdict.UNDECIDED),
        (50, 150, Verdict.UNDECIDED),
        (101, 150, Verdict.DISAGREES),
        (-150, -101, Verdict.DISAGREES),
        (-math.inf, math.inf, Verdict.UNDECIDED),
    ],
)
def test_judge(low, high, expected):
    assert judge(low, high, 100) == expected


def test_quantiles_of_censored_values_are_kaplan_meiers():
    """Values 1, 2, 3+ and 4+: half are known to be at most 2, and nothing is known of the rest."""
    values = sample(1, 2, 3, 4, censored=2)
    assert values.quantile(0.5) == 2
    assert math.isnan(values.quantile(0.95))


def test_a_row_without_known_median_is_undecided():
    real = sample(*range(2), 10, 10, 10, censored=3)
    row = compare_row("x", real, sample(*range(100)), 1_000, np.random.default_rng(1))
    assert (row.verdict, row.median_difference_ms) == (Verdict.UNDECIDED, None)


def test_what_neither_arm_lived_to_see_is_no_data():
    row = compare_row("x", sample(9, censored=1), sample(9, 9, censored=2), 1_000, np.random.default_rng(1))
    assert row.verdict == Verdict.NO_DATA


def test_p95_needs_thirty_runs():
    rng = np.random.default_rng(1)
    few = compare_row("x", sample(*range(29)), sample(*range(100)), 200, rng)
    many = compare_row("x", sample(*range(30)), sample(*range(30)), 200, rng)
    assert "too few runs" in few.p95["note"]
    assert many.p95["verdict"] == Verdict.AGREES


def test_the_area_between_shifted_samples_is_the_shift():
    row = compare_row("x", sample(*range(10, 60)), sample(*range(50)), 200, np.random.default_rng(1))
    assert row.area["area_ms"] == pytest.approx(10)
    assert row.area["low_ms"] <= 10 <= row.area["high_ms"]


def test_dkw_band_has_the_width_of_massarts_constant():
    _, low, high = dkw_band(np.arange(100.0))
    half = math.sqrt(math.log(2 / 0.05) / 200)
    assert high[49] - low[49] == pytest.approx(2 * half)


def test_equal_arms_agree(scenario, make_trace):
    result = compare(scenario, [make_trace(n) for n in range(300)], [make_trace(n, arm="real") for n in range(5)])
    assert result.verdict == Verdict.AGREES
    assert {row.verdict for row in result.rows} == {Verdict.AGREES}
    json.dumps(result.to_json(), allow_nan=False)


def test_a_shifted_arm_disagrees_and_names_the_rows(scenario, make_trace):
    real = [make_trace(n, arm="real", shift_ms=3_000) for n in range(5)]
    result = compare(scenario, [make_trace(n) for n in range(300)], real)
    assert result.verdict == Verdict.DISAGREES
    assert "elected" in result.reason and "demoted" not in result.reason


def test_two_runs_are_too_few(scenario, make_trace):
    result = compare(scenario, [make_trace(n) for n in range(300)], [make_trace(n, arm="real") for n in range(2)])
    assert result.verdict == Verdict.UNDECIDED
    assert "at least 3" in result.reason


def test_stalled_runs_are_counted_and_left_out(scenario, make_trace):
    real = [make_trace(n, arm="real", shift_ms=3_000 * (n == 0)) for n in range(6)]
    real[0].stalled = True
    result = compare(scenario, [make_trace(n) for n in range(300)], real)
    assert (result.verdict, result.real_runs, result.stalled) == (Verdict.AGREES, 5, 1)


def test_a_course_that_only_real_runs_take_disagrees(scenario, make_trace):
    real = [make_trace(n, arm="real") for n in range(5)]
    for trace in real:
        trace.events.insert(0, Event(5, "host2", "sentinel", "-failover-abort-not-elected", "host1"))
    result = compare(scenario, [make_trace(n) for n in range(300)], real)
    lost = next(branch for branch in result.branches if branch.name == "lost_election")
    assert (result.verdict, lost.verdict) == (Verdict.DISAGREES, Verdict.DISAGREES)


def test_the_arms_names_play_no_part(scenario, make_trace):
    sim, real = [make_trace(n) for n in range(50)], [make_trace(n, arm="real") for n in range(5)]
    relabelled = [replace(trace, arm="real") for trace in sim], [replace(trace, arm="sim") for trace in real]
    assert compare(scenario, sim, real) == compare(scenario, *relabelled)


def test_facts_of_the_scenario(scenario, make_trace):
    facts = Facts.of(scenario)
    assert (facts.primary, facts.quorum, facts.sides) == ("host1", 2, ())
    assert measure(make_trace(), facts).branches["failover"]
