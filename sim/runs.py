"""Many runs of one scenario, on either engine, over the local cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from joblib import Parallel, delayed

from model.scenario import Scenario
from model.trace import Trace
from sim import batch
from sim.world import World

Engine = Literal["batch", "world"]

_BLOCK = {"batch": 250, "world": 5}
"""Runs that one worker gets at a time. Kind: assumed."""


def simulate(
    scenario: Scenario,
    runs: int,
    seed: int,
    engine: Engine = "batch",
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    phases: Sequence[dict[str, Any]] | None = None,
) -> list[Trace]:
    """Simulate a scenario.

    Parameters
    ----------
    scenario : Scenario
    runs : int
        How many runs, numbered from 0.
    seed : int
        Master seed: same scenario, seed and number give the same trace on either engine, for any `jobs`.
    engine : {"batch", "world"}
    jobs : int, optional
        Processes; default: all cores for 500 runs or more on the batch engine, else one.
    progress : callable, optional
        Called as ``progress(done, runs)``.
    phases : sequence of dict, optional
        As in `model.trace.Trace.phases`: all runs start from the phases of that one real run instead of drawn ones.

    Returns
    -------
    list of Trace
        In order of run number.
    """
    if jobs is None:
        jobs = os.cpu_count() or 1 if runs >= 500 or engine == "world" else 1
    if engine == "batch":
        batch.warm_up(scenario)
    traces: list[Trace] = []
    for block in _blocks(scenario, runs, seed, engine, min(jobs, runs), phases):
        traces.extend(block)
        if progress:
            progress(len(traces), runs)
    return traces


def _blocks(
    scenario: Scenario, runs: int, seed: int, engine: Engine, jobs: int, phases: Sequence[dict[str, Any]] | None
) -> Iterator[list[Trace]]:
    size = _BLOCK[engine]
    blocks = [(start, min(size, runs - start)) for start in range(0, runs, size)]
    if jobs <= 1:
        for first, count in blocks:
            yield _block(scenario, seed, engine, first, count, phases)
        return
    tasks = (delayed(_block)(scenario, seed, engine, first, count, phases) for first, count in blocks)
    yield from Parallel(n_jobs=jobs, return_as="generator")(tasks)


def _block(
    scenario: Scenario, seed: int, engine: Engine, first: int, count: int, phases: Sequence[dict[str, Any]] | None
) -> list[Trace]:
    if engine == "batch":
        return list(batch.iter_batch(scenario, seed, first, count, phases))
    return [World(scenario, seed, first + index, phases=phases).trace() for index in range(count)]
