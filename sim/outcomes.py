"""What one simulated run showed, in integers: its milestones, outages and courses, without a trace.

A sweep over settings makes millions of runs and looks at few numbers of each. `measure` reads them off the reports that
a run has left in its world, so that no report ever becomes a Python object. It says exactly what `model.measures` says
of the trace of the same run, by the same rules, which are explained there: sentinels *in touch*, the first failover
away from the first primary, outages in the order of sending, what the horizon cut off. `model.measures` is the
reference; the differential tests hold the two together, run by run.

Times are µs after the first fault; -1 says that something did not happen, or that the run cannot tell (no prober, no
such node).

Left out, since only a trace tells them: the parts of outages, what was seen during an outage, blind and zombie time.
"""

from __future__ import annotations

from model.effects import MAX_HOSTS
from model.scenario.base import MAX_CLIENTS
from sim.courses import measure_courses, measure_cut_off, measure_failover, measure_return
from sim.outages import measure_client, measure_lost, measure_node, measure_writes
from sim.outcome_records import (
    ABSENT,
    DEMOTED,
    ELECTED,
    FIRST_WRITE,
    NOT_ASKED,
    PROMOTED,
    SWITCH_FIRST,
    SWITCH_LAST,
)


def measure(world, facts, work, outcome):
    """Fill `outcome` from the reports of a run that is over."""
    measure_failover(world, facts, work, outcome)
    measure_courses(world, facts, work, outcome)
    measure_return(world, facts, work, outcome)
    measure_cut_off(world, facts, work, outcome)
    measure_writes(world, facts, work, outcome)
    for host in range(MAX_HOSTS):
        measure_node(world, facts, work, outcome, host)
    for client in range(MAX_CLIENTS):
        measure_client(world, facts, work, outcome, client)
    measure_lost(world, work, outcome)


# --- a run that is ended early ---------------------------------------------------------------------------------------


def knows(world, facts, work, outcome, until):
    """True when the milestones asked for (bit n of `until`: the n-th) have happened, and nothing can change them.

    Later reports of sentinels must not bear an earlier time.
    """
    measure_failover(world, facts, work, outcome)
    measure_return(world, facts, work, outcome)
    return (
        _known(until, 0, outcome.sdown_first)
        and _known(until, 1, outcome.sdown_quorum)
        and _known(until, 2, outcome.odown_first)
        and (until >> ELECTED == 0 or work.is_announced == 1)
        and _known(until, ELECTED, outcome.elected)
        and _known(until, FIRST_WRITE, outcome.first_write)
        and _known(until, PROMOTED, outcome.promoted)
        and _known(until, SWITCH_FIRST, outcome.switch_first)
        and _known(until, SWITCH_LAST, outcome.switch_last)
        and ((until >> SWITCH_LAST) & 1 == 0 or work.waited_for == 0)
        and _known(until, DEMOTED, outcome.demoted)
        and ((until >> DEMOTED) & 1 == 0 or work.n_states == world.n_faults)
    )


def _known(until, milestone, t_us):
    return (until >> milestone) & 1 == 0 or t_us != ABSENT


def measure_asked(world, facts, work, outcome, until):
    """Fill in what is known of a run that may have ended early, the rest with NOT_ASKED."""
    measure_failover(world, facts, work, outcome)
    measure_courses(world, facts, work, outcome)
    measure_return(world, facts, work, outcome)
    measure_cut_off(world, facts, work, outcome)
    outcome.cut_off &= until
    outcome.sdown_first = _asked(until, 0, outcome.sdown_first)
    outcome.sdown_quorum = _asked(until, 1, outcome.sdown_quorum)
    outcome.odown_first = _asked(until, 2, outcome.odown_first)
    outcome.lost_election = _asked(until, ELECTED, outcome.lost_election)
    outcome.elected = _asked(until, ELECTED, outcome.elected)
    outcome.first_write = _asked(until, FIRST_WRITE, outcome.first_write)
    outcome.promoted = _asked(until, PROMOTED, outcome.promoted)
    outcome.switch_first = _asked(until, SWITCH_FIRST, outcome.switch_first)
    outcome.switch_last = _asked(until, SWITCH_LAST, outcome.switch_last)
    outcome.back = _asked(until, DEMOTED, outcome.back)
    outcome.demoted = _asked(until, DEMOTED, outcome.demoted)
    outcome.demotion = _asked(until, DEMOTED, outcome.demotion)
    if until >> ELECTED == 0:
        outcome.new_primary = NOT_ASKED
        outcome.failover = NOT_ASKED
    _forget_rest(outcome)


def _asked(until, milestone, value):
    return value if (until >> milestone) & 1 == 1 else NOT_ASKED


def _forget_rest(outcome):
    """What only a whole run tells."""
    outcome.needless_failover = NOT_ASKED
    outcome.second_failover = NOT_ASKED
    outcome.tilt = NOT_ASKED
    outcome.redis_write = NOT_ASKED
    outcome.redis_write_longest = NOT_ASKED
    outcome.redis_write_censored = NOT_ASKED
    outcome.two_writable = NOT_ASKED
    outcome.lost = NOT_ASKED
    for host in range(MAX_HOSTS):
        outcome.register[host] = NOT_ASKED
        outcome.register_longest[host] = NOT_ASKED
        outcome.register_censored[host] = NOT_ASKED
    for client in range(MAX_CLIENTS):
        outcome.client[client] = NOT_ASKED
        outcome.client_longest[client] = NOT_ASKED
        outcome.client_censored[client] = NOT_ASKED
        outcome.calls[client] = NOT_ASKED
        outcome.calls_failed[client] = NOT_ASKED
