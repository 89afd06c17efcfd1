"""What one simulated run showed, in integers: the records of `sim.outcomes`.

Times are µs after the first fault; -1 says that something did not happen, or that the run cannot tell (no prober, no
such node).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.effects import MAX_HOSTS
from model.measures import MILESTONES, Facts
from model.records import FAR_FUTURE_US, Record, flag, nested, number
from model.scenario import Scenario
from model.scenario.base import MAX_CLIENTS
from sim.state import MAX_FAULTS, MAX_REPORTS

_ANY = FAR_FUTURE_US

ABSENT = -1
"""It did not happen, or the run cannot tell."""
NOT_ASKED = -2
"""The run was ended before this was known for good: see `sim.batch.outcomes`."""

NOBODY = MAX_HOSTS
"""Host of a split that the run itself chose."""


def _time(name: str, meaning: str, count: int = 0) -> Any:
    return number(name, meaning, NOT_ASKED, _ANY, "us", count)


def _answer(name: str, meaning: str, count: int = 0) -> Any:
    return number(name, f"1 = yes, 0 = no: {meaning}", NOT_ASKED, 1, count=count)


OUTCOME = Record(
    "Outcome",
    "What one run showed. Times in µs after the first fault, -1 = did not happen, or cannot be told.",
    [
        number("run", "its number", 0, _ANY),
        _time("sdown_first", "first sentinel suspects the primary"),
        _time("sdown_quorum", "a quorum suspects it"),
        _time("odown_first", "they agree"),
        _time("elected", "leader elected"),
        _time("first_write", "new primary takes writes"),
        _time("promoted", "leader has seen the promotion"),
        _time("switch_first", "first sentinel announces it"),
        _time("switch_last", "all sentinels announce it"),
        _time("demoted", "old primary told to replicate, counted from its return"),
        number("cut_off", "milestones that were waited for at the end: bit n is the n-th", NOT_ASKED, 511),
        _time("back", "the first primary's server was struck, and from now on was not"),
        number("new_primary", "1 + host that the first failover promoted, 0 = none", NOT_ASKED, MAX_HOSTS),
        _time("redis_write", "write outage, all windows together"),
        _time("redis_write_longest", "the longest of them"),
        _answer("redis_write_censored", "the last was open at the end"),
        _time("register", "outage of each node, by host, all windows together", MAX_HOSTS),
        _time("register_longest", "the longest of them", MAX_HOSTS),
        _answer("register_censored", "the last was open at the end", MAX_HOSTS),
        _time("client", "how long no call reached each client, all windows together", MAX_CLIENTS),
        _time("client_longest", "the longest of them", MAX_CLIENTS),
        _answer("client_censored", "the last was open at the end", MAX_CLIENTS),
        number("calls", "calls to each client that ended", NOT_ASKED, _ANY, count=MAX_CLIENTS),
        number("calls_failed", "of these, not answered", NOT_ASKED, _ANY, count=MAX_CLIENTS),
        _time("two_writable", "two servers or more took writes"),
        number("lost", "registrations confirmed and lost", NOT_ASKED, _ANY),
        _answer("failover", "a server was promoted"),
        _answer("lost_election", "an attempt failed before the first success"),
        _answer("needless_failover", "a sentinel left a primary that nothing had struck"),
        _answer("second_failover", "another failover followed"),
        _answer("demotion", "the first primary came back and was demoted"),
        _answer("tilt", "a sentinel was in TILT"),
        _time("ended", "end of the simulation: the horizon, or earlier if that was asked for"),
    ],
)  # fmt: skip

FACTS = Record(
    "Facts",
    "What `model.measures.Facts` tells of a scenario, in integers.",
    [
        number("hosts", "number of hosts", 1, MAX_HOSTS),
        number("clients", "number of SIP clients", 0, MAX_CLIENTS),
        number("primary", "host of the first primary", 0, MAX_HOSTS),
        number("quorum", "sentinels that must agree", 1, MAX_HOSTS),
        number("sentinels", "bit n: host n runs a sentinel", 0, 127),
        number("registrars", "bit n: host n runs a registrar node", 0, 127),
        number("rank", "place of each host's name among all names", 0, MAX_HOSTS, count=MAX_HOSTS),
        number("horizon_us", "end of the run", 0, _ANY, "us"),
        number("n_sides", "planned splits", 0, MAX_FAULTS),
        number("side_host", "host of each, NOBODY = the run chooses it", 0, NOBODY, count=MAX_FAULTS),
        number("side", "side that it is moved to", 0, MAX_HOSTS, count=MAX_FAULTS),
    ],
)  # fmt: skip


def told(until: Sequence[str]) -> tuple[str, ...]:
    """Fields of `OUTCOME` that are known of runs that end as soon as they have reached these milestones."""
    if not until:
        return tuple(field.name for field in OUTCOME.fields)
    also = ("lost_election",) if "elected" in until else ()
    also += ("back", "demotion") if "demoted" in until else ()
    also += ("failover", "new_primary") if set(until) & set(MILESTONES[3:]) else ()
    known = {"run", "cut_off", "ended", *until, *also}
    return tuple(field.name for field in OUTCOME.fields if field.name in known)


def facts_of(scenario: Scenario) -> Any:
    """The facts of a resolved scenario as a `FACTS` object."""
    told = Facts.of(scenario)
    facts = FACTS.new()
    facts.hosts, facts.clients = len(told.hosts), len(told.clients)
    facts.primary, facts.quorum = told.hosts.index(told.primary), told.quorum
    facts.sentinels = sum(1 << told.hosts.index(host) for host in told.sentinels)
    facts.registrars = sum(1 << told.hosts.index(host) for host in told.registrars)
    for place, host in enumerate(sorted(told.hosts)):
        facts.rank[told.hosts.index(host)] = place
    facts.horizon_us = scenario.run.horizon_ms * 1000
    facts.n_sides = len(told.sides)
    for index, (host, side) in enumerate(told.sides):
        facts.side_host[index] = told.hosts.index(host) if host in told.hosts else NOBODY
        facts.side[index] = side
    FACTS.check(facts)
    return facts


# Programs whose faults count, in this order in tables: as the bits of `_programs`.
FAULTY_PROGRAMS = 3
_STATES = MAX_FAULTS * FAULTY_PROGRAMS
_BOUNDS = MAX_REPORTS + 2 * MAX_HOSTS

ELECTED, FIRST_WRITE, PROMOTED, SWITCH_FIRST, SWITCH_LAST, DEMOTED = range(3, 9)
"""Places in `model.measures.MILESTONES`."""
END, BEGIN = 0, 1
"""Of what one instant brings, ends count first."""

ROW = Record(
    "OutcomeRow",
    "A report, by the time that counts for a question.",
    [
        number("t_us", "the time", -_ANY, _ANY, "us"),
        number("rank", "what goes first among those of the same time", 0, _ANY),
        number("place", "its number among the reports", 0, MAX_REPORTS),
    ],
)

WINDOW = Record(
    "OutcomeWindow",
    "A time in which something was out.",
    [
        number("start_us", "beginning", -_ANY, _ANY, "us"),
        number("end_us", "end", -_ANY, _ANY, "us"),
        flag("censored", "that is the end of the run"),
    ],
)

WORK = Record(
    "OutcomeWork",
    "What `measure` needs on the way.",
    [
        number("origin_us", "the first fault", 0, _ANY, "us"),
        number("n", "reports in order of time", 0, MAX_REPORTS),
        nested("row", "they", ROW, MAX_REPORTS),
        number("n_line", "reports that one question is about", 0, MAX_REPORTS),
        nested("line", "they", ROW, MAX_REPORTS),
        # Who was struck, and when: `model.measures._Struck` and `_Ill`.
        number("n_states", "faults that have struck", 0, MAX_FAULTS),
        number("state_us", "when", 0, _ANY, "us", MAX_FAULTS),
        number("struck", "hosts whose program was out of touch from then on: at fault * 3 + program", 0, 127,
               count=_STATES),
        number("redis_since", "when each host's server was struck first, -1 = never", -1, _ANY, "us", MAX_HOSTS),
        number("crashed", "hosts whose program is dead, by program", 0, 127, count=FAULTY_PROGRAMS),
        number("paused", "hosts whose program is stopped, by program", 0, 127, count=FAULTY_PROGRAMS),
        number("vanished", "hosts that are gone", 0, 127),
        number("side", "of a split, by host", 0, MAX_HOSTS, count=MAX_HOSTS),
        number("lossy", "hosts to which each host's packets are all lost", 0, 127, count=MAX_HOSTS),
        number("used_sides", "planned splits that have come: bit n is the n-th", 0, (1 << MAX_FAULTS) - 1),
        flag("is_announced", "a sentinel has announced a new primary"),
        number("waited_for", "sentinels that could still make the last switch a later one", 0, 127),
        # By host, for one question at a time.
        number("since", "a time of each host, -1 = none", -1, _ANY, "us", MAX_HOSTS),
        number("word", "a word of each host", 0, _ANY, count=MAX_HOSTS),
        # Outage windows of one thing.
        number("outcome", "what is wrong now, 0 = nothing", 0, _ANY),
        number("start_us", "since when", -_ANY, _ANY, "us"),
        number("outcome_us", "since when it is this", -_ANY, _ANY, "us"),
        number("total_us", "windows so far", 0, _ANY, "us"),
        number("longest_us", "the longest", 0, _ANY, "us"),
        number("censored", "1 = one was open at the end", 0, 1),
        number("n_windows", "windows so far", 0, MAX_REPORTS),
        nested("window", "they, in order of their beginnings", WINDOW, MAX_REPORTS),
        number("n_bounds", "beginnings and ends of all nodes' windows", 0, _BOUNDS),
        nested("bound", "they, rank BEGIN or END; place 1 = that is the end of the run", ROW, _BOUNDS),
    ],
)  # fmt: skip
