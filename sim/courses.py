"""Milestones and courses of a run, from its reports: `model.measures` explains the rules."""

from __future__ import annotations

from model.effects import (
    ABORT_NOT_ELECTED,
    CONVERT_TO_SLAVE,
    ELECTED_LEADER,
    ODOWN,
    ODOWN_END,
    PROMOTED_SLAVE,
    ROLE_PRIMARY,
    SDOWN,
    SWITCH_MASTER,
    TILT,
    TRY_FAILOVER,
    WRITE_ACCEPTED,
)
from model.records import FAR_FUTURE_US
from sim.outcome_records import ABSENT, DEMOTED, ELECTED, FIRST_WRITE, PROMOTED, SWITCH_FIRST, SWITCH_LAST
from sim.reports import read_reports
from sim.state import REDIS, SENTINEL
from sim.struck import back_us, struck, struck_from_on


def measure_failover(world, facts, work, outcome):
    """Fill in the milestones up to the last +switch-master, as far as the run has come."""
    read_reports(world, facts, work)
    _measure_suspicion(world, facts, work, outcome)
    outcome.new_primary = _new_primary(world, facts, work)
    outcome.first_write = ABSENT
    outcome.promoted = ABSENT
    outcome.switch_first = ABSENT
    outcome.switch_last = ABSENT
    if outcome.new_primary != 0:
        _measure_promotion(world, facts, work, outcome)
        _measure_switches(world, facts, work, outcome)
    _measure_election(world, facts, work, outcome)


# --- the failover ----------------------------------------------------------------------------------------------------


def _speaks(work, row, report, kind, about):
    """True for a report after the first fault, by a sentinel that is in touch."""
    if report.report != kind or report.about != about or row.t_us < 0:
        return False
    return (struck(work, row.t_us, SENTINEL) >> report.host) & 1 == 0


def _first_of(world, work, kind, about):
    """First report of a kind by a sentinel that is in touch, -1 = none."""
    for index in range(work.n):
        row = work.row[index]
        if _speaks(work, row, world.report[row.place], kind, about):
            return row.t_us
    return ABSENT


def _measure_suspicion(world, facts, work, outcome):
    outcome.sdown_first = ABSENT
    outcome.sdown_quorum = ABSENT
    heard = 0
    suspecting = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        # Code 1 speaks of the sentinel on the primary's host.
        is_sdown = report.report == SDOWN and report.code == 0
        if is_sdown and (heard >> report.host) & 1 == 0 and _speaks(work, row, report, SDOWN, facts.primary + 1):
            heard |= 1 << report.host
            suspecting += 1
            if suspecting == 1:
                outcome.sdown_first = row.t_us
            if suspecting == facts.quorum:
                outcome.sdown_quorum = row.t_us
    outcome.odown_first = _first_of(world, work, ODOWN, facts.primary + 1)


def _new_primary(world, facts, work):
    """1 + host that the first failover promoted: the one announced first, else the first that showed a sign of it."""
    work.is_announced = 0
    announced = 0
    announced_us = 0
    shown = 0
    shown_us = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        host = _shown_primary(report)
        if row.t_us < 0 or host == 0 or host == facts.primary + 1:
            continue
        if report.report == SWITCH_MASTER:
            work.is_announced = 1
            if announced == 0 or (row.t_us == announced_us and _comes_before(facts, host, announced)):
                announced = host
                announced_us = row.t_us
        elif shown == 0 or (row.t_us == shown_us and _comes_before(facts, host, shown)):
            shown = host
            shown_us = row.t_us
    return announced if announced != 0 else shown


def _shown_primary(report):
    """1 + host that a report shows to be a primary, 0 = none."""
    if report.report == ROLE_PRIMARY:
        return report.host + 1
    if report.report == SWITCH_MASTER or report.report == PROMOTED_SLAVE or report.report == WRITE_ACCEPTED:
        return report.about
    return 0


def _comes_before(facts, host, other):
    """Of two signs at one instant the name decides."""
    return facts.rank[host - 1] < facts.rank[other - 1]


def _measure_promotion(world, facts, work, outcome):
    outcome.promoted = _first_of(world, work, PROMOTED_SLAVE, outcome.new_primary)
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        if report.report == WRITE_ACCEPTED and report.about == outcome.new_primary and row.t_us >= 0:
            outcome.first_write = row.t_us
            return


def _measure_switches(world, facts, work, outcome):
    """First and last switch, the last one only when every sentinel that could switch has."""
    switched = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        if _speaks(work, row, report, SWITCH_MASTER, outcome.new_primary) and (switched >> report.host) & 1 == 0:
            if switched == 0:
                outcome.switch_first = row.t_us
            switched |= 1 << report.host
            work.since[report.host] = row.t_us
    if switched == 0:
        return
    first_us = outcome.switch_first
    work.waited_for = facts.sentinels & ~switched & ~struck(work, first_us, SENTINEL)
    if facts.sentinels & ~switched & ~struck_from_on(work, first_us, SENTINEL) != 0:
        return
    counted = switched & ~struck(work, first_us, SENTINEL)
    for host in range(facts.hosts):
        if (counted >> host) & 1 == 1:
            outcome.switch_last = max(outcome.switch_last, work.since[host])


def _measure_election(world, facts, work, outcome):
    """The last election before the promotion was seen; the first one when nobody was promoted."""
    seen_us = FAR_FUTURE_US
    if outcome.first_write != ABSENT:
        seen_us = min(seen_us, outcome.first_write)
    if outcome.promoted != ABSENT:
        seen_us = min(seen_us, outcome.promoted)
    if outcome.switch_first != ABSENT:
        seen_us = min(seen_us, outcome.switch_first)
    outcome.elected = ABSENT
    for index in range(work.n):
        row = work.row[index]
        if _speaks(work, row, world.report[row.place], ELECTED_LEADER, facts.primary + 1):
            wins = seen_us != FAR_FUTURE_US and row.t_us <= seen_us
            if outcome.elected == ABSENT or wins:
                outcome.elected = row.t_us


# --- courses, return, what was under way -----------------------------------------------------------------------------


def measure_courses(world, facts, work, outcome):
    outcome.failover = 1 if outcome.new_primary != 0 else 0
    outcome.lost_election = _lost_election(world, facts, work, outcome)
    outcome.needless_failover = 0
    outcome.second_failover = 0
    outcome.tilt = 0
    for host in range(facts.hosts):
        work.word[host] = facts.primary + 1
        work.since[host] = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        if report.report == TILT and row.t_us >= 0:
            outcome.tilt = 1
        elif report.report == SWITCH_MASTER and report.about != work.word[report.host]:
            _follow_switch(work, outcome, report, row.t_us)


def _follow_switch(work, outcome, report, t_us):
    """A sentinel leaves the primary that it followed: `since` counts how often, `word` is whom it follows."""
    struck_us = work.redis_since[work.word[report.host] - 1]
    if struck_us == ABSENT or struck_us > t_us:
        outcome.needless_failover = 1
    work.word[report.host] = report.about
    work.since[report.host] += 1
    if work.since[report.host] > 1:
        outcome.second_failover = 1


def _lost_election(world, facts, work, outcome):
    """1 when an attempt failed before the first success."""
    until_us = outcome.elected if outcome.elected != ABSENT else facts.horizon_us
    for host in range(facts.hosts):
        work.word[host] = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        if row.t_us < 0 or row.t_us > until_us:
            continue
        if report.report == ABORT_NOT_ELECTED and row.t_us < until_us:
            return 1
        if report.report == TRY_FAILOVER and report.about == facts.primary + 1:
            work.word[report.host] += 1
            if work.word[report.host] > 1:
                return 1
    return 0


def measure_return(world, facts, work, outcome):
    """How long after its return the old primary was told to replicate."""
    outcome.demoted = ABSENT
    outcome.demotion = ABSENT
    outcome.back = back_us(work, REDIS, facts.primary)
    if outcome.back == ABSENT or outcome.new_primary == 0:
        return
    outcome.demotion = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        if report.report == CONVERT_TO_SLAVE and report.about == facts.primary + 1 and row.t_us >= outcome.back:
            outcome.demoted = row.t_us - outcome.back
            outcome.demotion = 1
            return


def measure_cut_off(world, facts, work, outcome):
    """What was under way at the end: a living sentinel's last word was +odown, and milestones are missing."""
    outcome.cut_off = 0
    gone = struck(work, facts.horizon_us, SENTINEL)
    for host in range(facts.hosts):
        work.since[host] = ABSENT
        work.word[host] = 0
    for index in range(work.n):
        row = work.row[index]
        report = world.report[row.place]
        is_odown = _speaks(work, row, report, ODOWN, facts.primary + 1)
        is_end = _speaks(work, row, report, ODOWN_END, facts.primary + 1)
        # At one instant the end comes last.
        if is_end or (is_odown and row.t_us > work.since[report.host]):
            work.since[report.host] = row.t_us
            work.word[report.host] = report.report
    for host in range(facts.hosts):
        if work.word[host] == ODOWN and (gone >> host) & 1 == 0:
            outcome.cut_off = _missing(outcome)
    if outcome.demotion == 0 and outcome.second_failover == 0:
        outcome.cut_off |= 1 << DEMOTED


def _missing(outcome):
    missing = 0
    missing |= 1 << ELECTED if outcome.elected == ABSENT else 0
    missing |= 1 << FIRST_WRITE if outcome.first_write == ABSENT else 0
    missing |= 1 << PROMOTED if outcome.promoted == ABSENT else 0
    missing |= 1 << SWITCH_FIRST if outcome.switch_first == ABSENT else 0
    missing |= 1 << SWITCH_LAST if outcome.switch_last == ABSENT else 0
    return missing
