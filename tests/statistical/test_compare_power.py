"""Does the comparison find what it should, and only that? Normal laws, five real runs, the default margin.

The spread is that of a vanished host (sd 300 ms). Repetitions are seeded, so these tests cannot flicker; the tolerances
are far from what is seen (agreement in 99 % and more, no wrong agreement).
"""

from __future__ import annotations

import numpy as np
import pytest

from study.compare import Verdict, hodges_lehmann, judge

SEED, REPETITIONS = 8, 400
REAL_RUNS, SIM_RUNS = 5, 1000
SPREAD_MS, MARGIN_MS = 300.0, 750.0


def verdicts(shift_ms: float, n: int = REAL_RUNS) -> list[Verdict]:
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(REPETITIONS):
        real, sim = rng.normal(shift_ms, SPREAD_MS, n), rng.normal(0, SPREAD_MS, SIM_RUNS)
        _, low, high = hodges_lehmann(real, sim)
        found.append(judge(low, high, MARGIN_MS))
    return found


def test_five_runs_of_the_same_law_agree():
    assert verdicts(0).count(Verdict.AGREES) > 0.95 * REPETITIONS, f"seed {SEED}"


def test_a_shift_of_twice_the_margin_never_agrees_and_is_found():
    found = verdicts(2 * MARGIN_MS)
    assert found.count(Verdict.AGREES) == 0, f"seed {SEED}"
    assert found.count(Verdict.DISAGREES) > 0.95 * REPETITIONS, f"seed {SEED}"


def test_at_the_margin_wrong_agreement_is_as_rare_as_promised():
    """Size 5 %; 400 repetitions leave it below 7.5 % with probability 0.99 (binomial)."""
    assert verdicts(MARGIN_MS).count(Verdict.AGREES) < 0.075 * REPETITIONS, f"seed {SEED}"


@pytest.mark.parametrize("n", [3, 5, 30])
def test_the_interval_holds_the_true_shift_as_often_as_promised(n):
    """90 %; below 86 % in 400 repetitions has probability 0.006 (binomial)."""
    rng = np.random.default_rng(SEED)
    held = 0
    for _ in range(REPETITIONS):
        _, low, high = hodges_lehmann(rng.normal(100, SPREAD_MS, n), rng.normal(0, SPREAD_MS, 200))
        held += low <= 100 <= high
    assert held > 0.86 * REPETITIONS, f"seed {SEED}, n {n}: {held}"
