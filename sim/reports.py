"""The reports of a run in order of time: what `sim.outcomes` reads them by."""

from __future__ import annotations

from sim.state import INJECTOR
from sim.struck import forget_faults, remember, strike


def read_reports(world, facts, work):
    """Put the reports in order of time, and find out who was struck when."""
    work.origin_us = world.origin_us
    work.n = 0
    forget_faults(work)
    for number_ in range(world.n_reports):
        report = world.report[number_]
        insert(work.row, work.n, report.t_us - world.origin_us, 0, number_)
        work.n += 1
    for index in range(work.n):
        report = world.report[work.row[index].place]
        if report.program == INJECTOR:
            strike(facts, work, report)
            remember(facts, work, work.row[index].t_us)


def insert(rows, n, t_us, rank, place):
    """Put a row behind all that go first: nearly always at the end."""
    at = n
    while at > 0 and (rows[at - 1].t_us > t_us or (rows[at - 1].t_us == t_us and rows[at - 1].rank > rank)):
        rows[at].t_us = rows[at - 1].t_us
        rows[at].rank = rows[at - 1].rank
        rows[at].place = rows[at - 1].place
        at -= 1
    rows[at].t_us = t_us
    rows[at].rank = rank
    rows[at].place = place
