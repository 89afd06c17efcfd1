"""Five ways to run the cluster of ``workload.py``: compiled, C, heapq, SimPy with callbacks, SimPy with processes.

Each takes (seed, first run, number of runs) and returns the same totals.
"""

from __future__ import annotations

import ctypes
import functools
import heapq
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simpy
import workload

from model.compiled import compile_function
from model.errors import EnvironmentLacks
from sim import heap

SOURCE = Path(__file__).with_name("kernel.c")
OPTIONS = ("-O3", "-march=native", "-shared", "-fPIC")
"""What the yardstick is compiled with."""


class Totals(NamedTuple):
    """What a batch came to: `workload.TOTALS`, as plain integers."""

    events: int
    missed: int
    outage_us: int
    digest: int


Driver = Callable[[int, int, int], Totals]


def compiled(seed: int, first: int, count: int) -> Totals:
    """The machine source, compiled by `model.compiled`."""
    cluster = np.zeros((), workload.CLUSTER.dtype)
    agenda = np.zeros(workload.MAX_EVENTS + 1, heap.ENTRY.dtype)
    totals = np.zeros((), workload.TOTALS.dtype)
    _root()(cluster, agenda, totals, seed, first, count)
    return Totals(*(int(totals[name]) for name in Totals._fields))


def c(seed: int, first: int, count: int) -> Totals:
    """``kernel.c``.

    Raises
    ------
    EnvironmentLacks
        There is no C compiler.
    """
    totals = (ctypes.c_int64 * len(Totals._fields))()
    _library().batch(totals, *map(ctypes.c_int64, (seed, first, count)))
    return Totals(*totals)


def heapq_loop(seed: int, first: int, count: int) -> Totals:
    """The machine source, interpreted, with an event queue of the standard library."""
    return _interpret(_run_heapq, seed, first, count)


def simpy_callbacks(seed: int, first: int, count: int) -> Totals:
    """The machine source, interpreted; every event is a SimPy time-out with a callback, as in `sim.world`."""
    return _interpret(_run_callbacks, seed, first, count)


def simpy_processes(seed: int, first: int, count: int) -> Totals:
    """The machine source, interpreted; every event is a SimPy process that waits and acts."""
    return _interpret(_run_processes, seed, first, count)


DRIVERS: dict[str, Driver] = {
    "C (cc -O3 -march=native)": c,
    "compiled": compiled,
    "interpreted, heapq": heapq_loop,
    "interpreted, SimPy callbacks": simpy_callbacks,
    "interpreted, SimPy processes": simpy_processes,
}


@functools.cache
def _root() -> Any:
    return compile_function(workload.batch)


@functools.cache
def _library() -> ctypes.CDLL:
    compiler = shutil.which("cc")
    if compiler is None:
        raise EnvironmentLacks("no C compiler (cc) on the path")
    with tempfile.TemporaryDirectory(prefix="hastudy-kernel-") as folder:
        library = Path(folder) / "kernel.so"
        subprocess.run([compiler, *OPTIONS, "-o", str(library), str(SOURCE)], check=True)
        return ctypes.CDLL(str(library))


def _interpret(run_once: Callable[[Any], None], seed: int, first: int, count: int) -> Totals:
    cluster, totals = workload.CLUSTER.new(), workload.TOTALS.new()
    for run in range(first, first + count):
        workload.prepare(cluster, seed, run)
        run_once(cluster)
        workload.note(cluster, totals)
    return Totals(*(getattr(totals, name) for name in Totals._fields))


def _fresh(cluster: Any) -> Iterator[tuple[int, int, int]]:
    """Time, order and place of the newly scheduled events; they are forgotten afterwards."""
    for place in cluster.fresh[: cluster.n_fresh]:
        yield cluster.event[place].t_us, cluster.event[place].order, place
    cluster.n_fresh = 0


def _run_heapq(cluster: Any) -> None:
    agenda = list(_fresh(cluster))
    heapq.heapify(agenda)
    while agenda[0][0] < workload.END_US:
        workload.happen(cluster, heapq.heappop(agenda)[2])
        for entry in _fresh(cluster):
            heapq.heappush(agenda, entry)


def _run_callbacks(cluster: Any) -> None:
    env = simpy.Environment()

    def take_up() -> None:
        for t_us, _, place in _fresh(cluster):
            env.timeout(t_us - env.now, place).callbacks.append(due)

    def due(timeout: simpy.Event) -> None:
        workload.happen(cluster, timeout.value)
        take_up()

    take_up()
    env.run(until=workload.END_US)


def _run_processes(cluster: Any) -> None:
    env = simpy.Environment()

    def wait_and_act(t_us: int, place: int) -> Iterator[simpy.Event]:
        yield env.timeout(t_us - env.now)
        workload.happen(cluster, place)
        take_up()

    def take_up() -> None:
        for t_us, _, place in _fresh(cluster):
            env.process(wait_and_act(t_us, place))

    take_up()
    env.run(until=workload.END_US)
