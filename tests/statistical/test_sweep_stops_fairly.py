"""Looking after every block and stopping at the first narrow interval costs little of its confidence."""

from __future__ import annotations

import numpy as np
from scipy import stats

from study.compare import Sample
from study.samples import quantile_interval
from study.sweep import BLOCK, Width

SEED = 17
TRIALS = 400


def test_intervals_that_stop_a_sweep_cover_the_quantile() -> None:
    rng = np.random.default_rng(SEED)
    width = Width("first_write", 95, 0.2)
    truth = stats.expon.ppf(0.95)
    hits = 0
    for _ in range(TRIALS):
        values = rng.exponential(size=BLOCK)
        while not width.is_reached(Sample(values, np.zeros(len(values), bool))):
            values = np.append(values, rng.exponential(size=BLOCK))
        low, high = quantile_interval(Sample(values, np.zeros(len(values), bool)), 0.95)
        hits += low <= truth <= high
    assert stats.binomtest(hits, TRIALS, 0.93, "less").pvalue > 0.01, f"seed {SEED}: {hits} of {TRIALS}"
