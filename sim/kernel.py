"""The batch engine's loop: an event queue (`sim.heap`) and nothing else. Compiled, never interpreted."""

from __future__ import annotations

from sim.dispatch import happen
from sim.harvest import harvest
from sim.heap import pop, push
from sim.state import MAX_EVENTS
from sim.steady import prepare


def batch(world, settings, heap, seed, first, count, rows, row_counts):
    """Simulate runs `first` .. `first + count - 1`; put their reports into `rows`, one run after the other.

    Returns the number of rows, or -1 - run when a bound was too small in that run, or when `rows` is full.
    """
    filled = 0
    for index in range(count):
        run_once(world, settings, heap, seed, first + index)
        n_reports = world.n_reports
        if world.overflow == 1 or filled + n_reports > len(rows):
            return -1 - index
        for number in range(n_reports):
            _copy_row(world.report[number], rows[filled], world.origin_us)
            filled += 1
        row_counts[index] = n_reports
    return filled


def run_once(world, settings, heap, seed, run):
    """Simulate one run."""
    prepare(world, settings, seed, run)
    n = _push_fresh(world, heap, 0)
    while n > 0 and world.overflow == 0:
        if heap[0].t_us > world.end_us:
            break
        place = heap[0].place
        n = pop(heap, n)
        happen(world, place)
        n = _push_fresh(world, heap, n)
    harvest(world)


def _copy_row(report, row, origin_us):
    row.t_us = report.t_us - origin_us
    row.host = report.host
    row.program = report.program
    row.report = report.report
    row.about = report.about
    row.detail_us = report.detail_us
    row.code = report.code


def _push_fresh(world, heap, n):
    for index in range(world.n_fresh):
        place = world.fresh[index]
        event = world.event[place]
        push(heap, n, event.t_us, event.order, place)
        n += 1
    world.n_fresh = 0
    return n


HEAP_LENGTH = MAX_EVENTS + 1
"""Entries that the heap needs: every place of the agenda can be on it."""
