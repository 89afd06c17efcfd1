"""The batch engine: the same machines compiled, thousands of runs a call.

Runs are independent and numbered, and each draws from streams keyed by (seed, run, entity, purpose): any split over
processes or threads gives the same.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from model.compiled import compile_function, one_to_numpy, source_of
from model.measures import MILESTONES
from model.scenario import Scenario
from model.trace import Trace
from sim import heap, kernel
from sim.outcome_records import FACTS, OUTCOME, WORK, facts_of
from sim.settings import settings_of, trace_of
from sim.state import MAX_REPORTS, REPORT_ROW, WORLD, no_room
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
    """Compile the engine or load it from the cache, by a call for no run: before workers start, lest each compile."""
    list(_Engine(scenario, None).traces(seed=0, first=0, count=0))


def outcomes(scenario: Scenario, seed: int, first: int, count: int, until: Sequence[str] = ()) -> np.ndarray:
    """What runs `first` .. `first + count - 1` showed: one record a run, and no traces.

    May be called from several threads at once.

    Parameters
    ----------
    scenario : Scenario
    seed, first, count : int
    until : sequence of str, optional
        Names of `model.measures.MILESTONES`. A run then ends as soon as these have all happened and nothing to come can
        change them. Known are then, exactly as of whole runs: these milestones and their bits of ``cut_off``; with
        ``elected`` also ``lost_election``; with ``demoted`` also ``back`` and ``demotion``; with any from ``elected``
        on also ``failover`` and ``new_primary``. All else is -2, in runs that went on to the horizon too.

    Returns
    -------
    structured array
        Of `sim.outcome_records.OUTCOME`, all 64-bit integers: times in µs after the first fault, -1 = did not happen,
        or cannot be told.
    """
    asked = sum(1 << MILESTONES.index(name) for name in set(until))
    settings = one_to_numpy(SETTINGS, settings_of(scenario))
    facts = one_to_numpy(FACTS, facts_of(scenario))
    room = _room()
    found = np.zeros(count, OUTCOME.dtype)
    root = _compiled(kernel.outcomes)
    for start in range(0, count, CHUNK):
        part = found[start : start + CHUNK]
        failed = root(room.world, settings, room.heap, facts, room.work, seed, first + start, len(part), asked, part)
        if failed != 0:
            raise no_room(scenario.name, seed, first + start - 1 - failed)
    return found


@cache
def fingerprint() -> str:
    """16 hex digits that name all source which `outcomes` depends on: stored ones of another are not ours."""
    return hashlib.sha256(source_of(outcomes).encode()).hexdigest()[:16]


class _Room(threading.local):
    """What one thread's runs happen in, one after the other."""

    def __init__(self) -> None:
        self.world = np.zeros((), WORLD.dtype)
        self.heap = np.zeros(kernel.HEAP_LENGTH, heap.ENTRY.dtype)
        self.work = np.zeros((), WORK.dtype)


@cache
def _room() -> _Room:
    return _Room()


@cache
def _compiled(root: Any) -> Any:
    return compile_function(root)


class _Engine:
    """One scenario, and room for the reports of its runs."""

    def __init__(self, scenario: Scenario, phases: Sequence[dict[str, Any]] | None) -> None:
        self._scenario = scenario
        self._settings = one_to_numpy(SETTINGS, settings_of(scenario, phases))
        self._rows = np.zeros(CHUNK * MAX_REPORTS, REPORT_ROW.dtype)

    def traces(self, seed: int, first: int, count: int) -> Iterator[Trace]:
        counts = np.zeros(count, np.int64)
        room = _room()
        filled = _compiled(kernel.batch)(room.world, self._settings, room.heap, seed, first, count, self._rows, counts)
        if filled < 0:
            raise no_room(self._scenario.name, seed, first - 1 - filled)
        rows = self._rows[:filled].tolist()
        start = 0
        for index in range(count):
            end = start + int(counts[index])
            yield trace_of(self._scenario, seed, first + index, rows[start:end])
            start = end
