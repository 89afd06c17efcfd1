"""The batch engine: the same machines compiled, thousands of runs a call.

Runs are independent and numbered, and each draws from streams keyed by (seed, run, entity, purpose): any split over
processes gives the same traces.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from model.compiled import compile_function, is_cached, one_to_numpy
from model.scenario import Scenario
from model.trace import Trace
from sim import heap, kernel
from sim.settings import settings_of, trace_of
from sim.state import MAX_REPORTS, REPORT_ROW, WORLD
from sim.steady import SETTINGS

CHUNK = 50
"""Runs of one call into compiled code: an interrupt waits at most for so many. Kind: assumed."""


def iter_batch(
    scenario: Scenario, seed: int, first: int, count: int, phases: Sequence[dict[str, Any]] | None = None
) -> Iterator[Trace]:
    """Simulate runs `first` .. `first + count - 1` and yield their traces in order."""
    engine = _Engine(scenario, phases)
    for start in range(first, first + count, CHUNK):
        yield from engine.traces(seed, start, min(CHUNK, first + count - start))


def warm_up(scenario: Scenario) -> None:
    """Compile the engine by one run, or load it from the cache: before workers start, lest each of them compile.

    Says so on a terminal, because it takes a minute or two, once for each version of the machines.
    """
    if sys.stderr.isatty() and not is_cached(kernel.batch):
        print("compiling the batch engine (once for this version, a minute or two) ...", file=sys.stderr)
    list(iter_batch(scenario, seed=0, first=0, count=1))


@cache
def _compiled() -> Any:
    return compile_function(kernel.batch)


class _Engine:
    """Compiled state and buffers for one scenario."""

    def __init__(self, scenario: Scenario, phases: Sequence[dict[str, Any]] | None) -> None:
        self._scenario = scenario
        self._settings = one_to_numpy(SETTINGS, settings_of(scenario, phases))
        self._world = np.zeros((), WORLD.dtype)
        self._heap = np.zeros(kernel.HEAP_LENGTH, heap.ENTRY.dtype)
        self._rows = np.zeros(CHUNK * MAX_REPORTS, REPORT_ROW.dtype)

    def traces(self, seed: int, first: int, count: int) -> Iterator[Trace]:
        counts = np.zeros(count, np.int64)
        filled = _compiled()(self._world, self._settings, self._heap, seed, first, count, self._rows, counts)
        assert filled >= 0, f"a bound of sim.state was too small: seed {seed}, run {first - 1 - filled}"
        rows = self._rows[:filled].tolist()
        start = 0
        for index in range(count):
            end = start + int(counts[index])
            yield trace_of(self._scenario, seed, first + index, rows[start:end])
            start = end
