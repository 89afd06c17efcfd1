"""The batch engine never indexes outside an array: compiled with checks, over every scenario."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.compiled import compile_function, one_to_numpy
from model.scenario import load
from sim import heap, kernel
from sim.settings import settings_of
from sim.state import MAX_REPORTS, REPORT_ROW, WORLD
from sim.steady import SETTINGS
from study import catalog

SEED = 20_261_123
LONGEST_MS = 400_000
"""Longer runs do the same more often."""


@pytest.mark.slow
def test_no_index_of_the_engine_is_outside() -> None:
    checked = compile_function(kernel.batch, checks=True)
    world, queue = np.zeros((), WORLD.dtype), np.zeros(kernel.HEAP_LENGTH, heap.ENTRY.dtype)
    rows, counts = np.zeros(MAX_REPORTS, REPORT_ROW.dtype), np.zeros(1, np.int64)
    looked_at = 0
    for path in catalog.files(Path("scenarios")):
        scenario = load(path)
        if scenario.run.horizon_ms <= LONGEST_MS:
            looked_at += 1
            try:
                checked(world, one_to_numpy(SETTINGS, settings_of(scenario)), queue, SEED, 0, 1, rows, counts)
            except IndexError as error:
                pytest.fail(f"{scenario.name}, seed {SEED}: {error}")
    assert looked_at > 100
