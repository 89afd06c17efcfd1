"""Outages of a run, from its reports: of writes, of registrar nodes, of SIP clients; and what was lost.

`model.measures`, `model.windows` and `model.reachability` explain the rules.
"""

from __future__ import annotations

from model.effects import (
    CALL_ANSWERED,
    CALL_UNANSWERED,
    CONFIRMED,
    COUNT_CALLS,
    COUNT_CALLS_FAILED,
    COUNT_LOST,
    UNKNOWN,
    WRITE_ACCEPTED,
    WRITE_SILENT,
)
from sim.outcome_records import ABSENT, BEGIN, END
from sim.reports import insert
from sim.state import CALLER, PROBE_CLIENT


def _begin_windows(work):
    work.outcome = 0
    work.total_us = 0
    work.longest_us = 0
    work.censored = 0
    work.n_windows = 0


def _see(work, outcome, begun_us, known_us):
    """The next change of outcome, 0 = good."""
    if outcome == 0:
        if work.outcome != 0:
            _end_window(work, known_us, 0)
    elif outcome != work.outcome:
        if work.outcome == 0:
            work.start_us = begun_us
        work.outcome = outcome
        work.outcome_us = begun_us


def _end_window(work, end_us, censored):
    """Windows count that reach past the first fault."""
    work.outcome = 0
    if end_us > 0:
        window = work.window[work.n_windows]
        work.n_windows += 1
        window.start_us = work.start_us
        window.end_us = end_us
        window.censored = censored
        work.total_us += end_us - work.start_us
        work.longest_us = max(work.longest_us, end_us - work.start_us)
        work.censored |= censored


def _end_windows(facts, work):
    if work.outcome != 0:
        _end_window(work, max(facts.horizon_us, work.outcome_us), 1)


def measure_writes(world, facts, work, outcome):
    """Write outage and time with two writable servers, from the write prober."""
    outcome.redis_write = ABSENT
    outcome.redis_write_longest = ABSENT
    outcome.redis_write_censored = ABSENT
    outcome.two_writable = ABSENT
    work.n_line = 0
    for index in range(work.n):
        row = work.row[index]
        kind = world.report[row.place].report
        if WRITE_ACCEPTED <= kind <= WRITE_SILENT:
            insert(work.line, work.n_line, row.t_us, kind, row.place)
            work.n_line += 1
    if work.n_line == 0:
        return
    _begin_windows(work)
    accepting = 1 << facts.primary
    two_us = 0
    before_us = 0
    for index in range(work.n_line):
        row = work.line[index]
        if accepting & (accepting - 1) != 0:
            two_us += max(row.t_us, 0) - before_us
        before_us = max(row.t_us, 0)
        bit = 1 << (world.report[row.place].about - 1)
        accepting = accepting | bit if row.rank == WRITE_ACCEPTED else accepting & ~bit
        _see(work, 0 if accepting != 0 else row.rank, row.t_us, row.t_us)
    if accepting & (accepting - 1) != 0:
        two_us += facts.horizon_us - before_us
    _end_windows(facts, work)
    outcome.redis_write = work.total_us
    outcome.redis_write_longest = work.longest_us
    outcome.redis_write_censored = work.censored
    outcome.two_writable = two_us


def measure_node(world, facts, work, outcome, host):
    """Outage of one registrar node, from its prober, in the order of sending."""
    outcome.register[host] = ABSENT
    outcome.register_longest[host] = ABSENT
    outcome.register_censored[host] = ABSENT
    if (facts.registrars >> host) & 1 == 0:
        return
    work.n_line = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        if report.program == PROBE_CLIENT and report.host == host and CONFIRMED <= report.report <= UNKNOWN:
            insert(work.line, work.n_line, row.t_us - report.detail_us, report.report, row.place)
            work.n_line += 1
    if work.n_line == 0:
        return
    _begin_windows(work)
    for index in range(work.n_line):
        row = work.line[index]
        known_us = world.report[row.place].t_us - work.origin_us
        _see(work, 0 if row.rank == CONFIRMED else row.rank, row.t_us, known_us)
    _end_windows(facts, work)
    outcome.register[host] = work.total_us
    outcome.register_longest[host] = work.longest_us
    outcome.register_censored[host] = work.censored


def measure_client(world, facts, work, outcome, client):
    """How long no call through any node reached a client, and how its calls ended."""
    outcome.client[client] = ABSENT
    outcome.client_longest[client] = ABSENT
    outcome.client_censored[client] = ABSENT
    outcome.calls[client] = ABSENT
    outcome.calls_failed[client] = ABSENT
    if client >= facts.clients or not _count_calls(world, work, outcome, client):
        return
    work.n_bounds = 0
    nodes = 0
    for host in range(facts.hosts):
        nodes += _bound_calls(world, facts, work, client, host)
    _measure_common(work, nodes)
    outcome.client[client] = work.total_us
    outcome.client_longest[client] = work.longest_us
    outcome.client_censored[client] = work.censored


def _count_calls(world, work, outcome, client):
    """Sum up the calls to a client; False when nobody has called it."""
    was_called = False
    for index in range(work.n):
        report = world.report[work.row[index].place]
        if report.program == CALLER and report.host == client:
            if not was_called:
                outcome.calls[client] = 0
                outcome.calls_failed[client] = 0
            was_called = True
            if report.report == COUNT_CALLS:
                outcome.calls[client] += report.code
            elif report.report == COUNT_CALLS_FAILED:
                outcome.calls_failed[client] += report.code
    return was_called


def _bound_calls(world, facts, work, client, host):
    """Put the bounds of windows of calls through one node to the others; 1 when there were calls."""
    work.n_line = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        is_call = report.program == CALLER and report.host == client and report.about == host + 1
        if is_call and CALL_ANSWERED <= report.report <= CALL_UNANSWERED:
            insert(work.line, work.n_line, row.t_us - report.detail_us, 0, row.place)
            work.n_line += 1
    if work.n_line == 0:
        return 0
    _begin_windows(work)
    for index in range(work.n_line):
        row = work.line[index]
        report = world.report[row.place]
        _see(work, 0 if report.report == CALL_ANSWERED else report.report, row.t_us, report.t_us - work.origin_us)
    _end_windows(facts, work)
    _put_bounds(work)
    return 1


def _put_bounds(work):
    """Windows of one node that overlap or touch (an answer may be late) are one."""
    first = 0
    while first < work.n_windows:
        start_us = work.window[first].start_us
        end_us = work.window[first].end_us
        censored = work.window[first].censored
        first += 1
        while first < work.n_windows and work.window[first].start_us <= end_us:
            if work.window[first].end_us > end_us:
                end_us = work.window[first].end_us
                censored = work.window[first].censored
            first += 1
        insert(work.bound, work.n_bounds, start_us, BEGIN, 0)
        insert(work.bound, work.n_bounds + 1, end_us, END, censored)
        work.n_bounds += 2


def _measure_common(work, nodes):
    """Sum up the time after the first fault in which something is out at all nodes."""
    _begin_windows(work)
    out = 0
    start_us = 0
    for index in range(work.n_bounds):
        row = work.bound[index]
        if row.rank == BEGIN:
            out += 1
            start_us = max(row.t_us, 0)
            continue
        if out == nodes:
            work.total_us += row.t_us - start_us
            work.longest_us = max(work.longest_us, row.t_us - start_us)
            work.censored |= _is_cut_off(work, index)
        out -= 1


def _is_cut_off(work, index):
    """1 when the run ends at this bound, for whichever node."""
    censored = 0
    at = index
    while at < work.n_bounds and work.bound[at].t_us == work.bound[index].t_us:
        censored |= work.bound[at].place
        at += 1
    return censored


def measure_lost(world, work, outcome):
    outcome.lost = ABSENT
    for index in range(work.n):
        report = world.report[work.row[index].place]
        if report.report == COUNT_LOST:
            outcome.lost = max(outcome.lost, 0) + report.code
