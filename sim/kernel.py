"""The batch engine's loop: an event queue and nothing else. Compiled, never interpreted.

The queue is a binary heap over (time, order); heap entries carry the place of their event on the agenda.
"""

from __future__ import annotations

from sim.dispatch import happen
from sim.harvest import harvest
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
    start_us = world.now_us
    last = (world.end_us - start_us + 1) << ORDER_BITS
    n = _push_fresh(world, heap, 0, start_us)
    while n > 0 and world.overflow == 0 and heap[0].key < last:
        place = heap[0].place
        n = _pop(heap, n)
        happen(world, place)
        n = _push_fresh(world, heap, n, start_us)
    harvest(world)


def _copy_row(report, row, origin_us):
    row.t_us = report.t_us - origin_us
    row.host = report.host
    row.program = report.program
    row.report = report.report
    row.about = report.about
    row.detail_us = report.detail_us
    row.code = report.code


def _push_fresh(world, heap, n, start_us):
    for index in range(world.n_fresh):
        place = world.fresh[index]
        event = world.event[place]
        _push(heap, n, ((event.t_us - start_us) << ORDER_BITS) + event.order, place)
        n += 1
    world.n_fresh = 0
    return n


def _push(heap, n, key, place):
    while n > 0:
        up = (n - 1) >> 1
        if key > heap[up].key:
            break
        heap[n].key = heap[up].key
        heap[n].place = heap[up].place
        n = up
    heap[n].key = key
    heap[n].place = place


def _pop(heap, n):
    """Take the first entry off; returns the new length.

    The hole sinks to the bottom along the smaller children, then the last entry rises into it: one comparison a level,
    because what comes from the end of the heap belongs near it.
    """
    n -= 1
    key = heap[n].key
    place = heap[n].place
    at = 0
    down = 1
    while down + 1 < n:
        down += 1 if heap[down + 1].key < heap[down].key else 0
        heap[at].key = heap[down].key
        heap[at].place = heap[down].place
        at = down
        down = 2 * at + 1
    if down < n:
        heap[at].key = heap[down].key
        heap[at].place = heap[down].place
        at = down
    while at > 0:
        up = (at - 1) >> 1
        if key > heap[up].key:
            break
        heap[at].key = heap[up].key
        heap[at].place = heap[up].place
        at = up
    heap[at].key = key
    heap[at].place = place
    return n


ORDER_BITS = 24
"""Bits of an entry's key that hold the order of events of one instant; the time stands above them."""

HEAP_LENGTH = MAX_EVENTS + 1
"""Entries that the heap needs: every place of the agenda can be on it."""
