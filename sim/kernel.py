"""The batch engine's loop: an event queue (`sim.heap`) and nothing else. Compiled, never interpreted."""

from __future__ import annotations

from sim.dispatch import happen
from sim.harvest import harvest
from sim.heap import pop, push, replace
from sim.outcomes import knows, measure, measure_asked
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


def outcomes(world, settings, heap, facts, work, seed, first, count, until, rows):
    """Simulate runs `first` .. `first + count - 1`; put what each showed into `rows`.

    With `until` (bit n: the n-th milestone) a run ends as soon as these are known, and nothing else is told of it.
    Returns 0, or -1 - run when a bound was too small in that run.
    """
    for index in range(count):
        outcome = rows[index]
        if until == 0:
            run_once(world, settings, heap, seed, first + index)
        else:
            _run_until(world, settings, heap, facts, work, seed, first + index, until, outcome)
        if world.overflow == 1:
            return -1 - index
        if until == 0:
            measure(world, facts, work, outcome)
        else:
            measure_asked(world, facts, work, outcome, until)
        outcome.run = first + index
        outcome.ended = world.now_us - world.origin_us if until != 0 else facts.horizon_us
    return 0


def _run_until(world, settings, heap, facts, work, seed, run, until, outcome):
    """Simulate one run up to when the milestones asked for are known.

    A report may bear a later time than now (a sentinel stands still in a flush): what there is decides once that
    time has come.
    """
    prepare(world, settings, seed, run)
    n = push_fresh(world, heap, 0, 0)
    heard = 0
    latest_us = 0
    is_new = 0
    while _goes_on(world, heap, n):
        if is_new == 1 and heap[0].t_us > latest_us:
            is_new = 0
            if knows(world, facts, work, outcome, until):
                return
        n = step(world, heap, n)
        while heard < world.n_reports:
            latest_us = max(latest_us, world.report[heard].t_us)
            heard += 1
            is_new = 1
    world.now_us = world.end_us


def run_once(world, settings, heap, seed, run):
    """Simulate one run."""
    prepare(world, settings, seed, run)
    n = push_fresh(world, heap, 0, 0)
    while _goes_on(world, heap, n):
        n = step(world, heap, n)
    harvest(world)


def _goes_on(world, heap, n):
    """True while there is something to happen."""
    return n > 0 and world.overflow == 0 and heap[0].t_us <= world.end_us


def step(world, heap, n):
    """The next event happens; returns how many are to come.

    It leaves the heap only then: what it gives rise to mostly happens next, and then takes its place.
    """
    happen(world, heap[0].place)
    if world.n_fresh == 0:
        return pop(heap, n)
    place = world.fresh[0]
    event = world.event[place]
    replace(heap, n, event.t_us, event.order, place)
    return push_fresh(world, heap, n, 1)


def _copy_row(report, row, origin_us):
    row.t_us = report.t_us - origin_us
    row.host = report.host
    row.program = report.program
    row.report = report.report
    row.about = report.about
    row.detail_us = report.detail_us
    row.code = report.code


def push_fresh(world, heap, n, first):
    """Put what was scheduled since the last look, from number `first` on, on the heap of n; returns its length."""
    for index in range(first, world.n_fresh):
        place = world.fresh[index]
        event = world.event[place]
        push(heap, n, event.t_us, event.order, place)
        n += 1
    world.n_fresh = 0
    return n


HEAP_LENGTH = MAX_EVENTS + 1
"""Entries that the heap needs: every place of the agenda can be on it."""
