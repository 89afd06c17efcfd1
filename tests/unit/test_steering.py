"""Steering: patterns, from a path to a scenario, search, committed files."""

from __future__ import annotations

import pytest

from model.errors import UsageError
from model.explorer import Election
from model.explorer.paths import Exchange, Path, Step
from model.explorer.walk import shows, successors
from model.scenario import parse
from model.trace import Event, Trace
from study.steering import Pattern, known, scenario_of, share, steer
from study.steering.__main__ import main
from study.steering.cases import BY_NAME, CASES
from study.steering.patterns import (
    at_least,
    at_odds,
    happens,
    lost,
    never,
    two_configurations,
    two_leaders,
    two_writable,
)
from study.steering.search import MOST_STATIC_US, delays, with_delay
from study.steering.translate import Orders, Room

STEERED = [case for case in CASES if case.path]
TWO_LEADERS = BY_NAME["two_leaders_of_one_epoch"]


def trace(*events: tuple[int, str, str, str, int], stalled: bool = False) -> Trace:
    """Instant in ms, host, event, about, code."""
    told = [Event(at * 1000, host, _actor(event), event, about, 0, code) for at, host, event, about, code in events]
    return Trace("s", "d", "sim", 1, 0, 60_000_000, stalled=stalled, events=told)


def _actor(event: str) -> str:
    return "prober" if event.startswith("write-") else "client" if event.startswith("count-") else "sentinel"


def attempt(at: int, host: str, epoch: int) -> list[tuple[int, str, str, str, int]]:
    return [(at, host, "+new-epoch", "", epoch), (at, host, "+try-failover", "p", 0)]


# Patterns


def test_marks_must_come_in_their_order():
    both = trace((1, "a", "+odown", "p", 0), (2, "b", "+elected-leader", "p", 0))
    assert Pattern((happens("+odown"), happens("+elected-leader"))).shows(both)
    assert not Pattern((happens("+elected-leader"), happens("+odown"))).shows(both)


def test_a_leader_leads_the_epoch_of_its_attempt_whatever_it_has_heard_since():
    one = [*attempt(1, "a", 1), *attempt(1, "b", 1), (2, "a", "+elected-leader", "p", 0), (3, "b", "+new-epoch", "", 2)]
    twice = trace(*one, (4, "b", "+elected-leader", "p", 0))
    assert Pattern((two_leaders(),)).shows(twice)
    own = trace(*attempt(1, "a", 1), (2, "a", "+elected-leader", "p", 0), *attempt(3, "b", 2),
                (4, "b", "+elected-leader", "p", 0))  # fmt: skip
    assert not Pattern((two_leaders(),)).shows(own)


def test_two_configurations_need_two_servers():
    tried = [*attempt(1, "a", 1), *attempt(1, "b", 1), (2, "a", "+promoted-slave", "x", 0)]
    assert Pattern((two_configurations(),)).shows(trace(*tried, (3, "b", "+promoted-slave", "y", 0)))
    assert not Pattern((two_configurations(),)).shows(trace(*tried, (3, "b", "+promoted-slave", "x", 0)))


def test_two_servers_that_take_writes_do_so_for_a_while():
    """What is so when a later mark comes counts, although it began before."""
    run = trace((1, "c", "write-accepted", "x", 0), (2, "c", "write-accepted", "y", 0), (3, "a", "+odown", "p", 0),
                (4, "c", "write-refused", "x", 0))  # fmt: skip
    assert Pattern((happens("+odown"), two_writable())).shows(run)
    after = trace((1, "c", "write-accepted", "x", 0), (2, "c", "write-refused", "x", 0),
                  (2, "c", "write-accepted", "y", 0))  # fmt: skip
    assert not Pattern((two_writable(),)).shows(after)


@pytest.mark.parametrize(
    ("mark", "events", "shown"),
    [
        (never("+switch-master"), [(5, "a", "+odown", "p", 0)], True),
        (never("+odown"), [(5, "a", "+odown", "p", 0)], False),
        (never("+odown"), [(-5, "a", "+odown", "p", 0)], True),
        (at_least(2, "+odown"), [(5, "a", "+odown", "p", 0), (6, "a", "+odown", "p", 0)], False),
        (at_least(2, "+odown"), [(5, "a", "+odown", "p", 0), (6, "b", "+odown", "p", 0)], True),
        (at_odds(), [(5, "a", "+switch-master", "x", 0), (6, "b", "+switch-master", "y", 0)], True),
        (at_odds(), [(5, "a", "+switch-master", "x", 0), (6, "a", "+switch-master", "y", 0)], False),
        (lost(), [(60_000, "n", "count-lost", "", 0)], False),
        (lost(), [(60_000, "n", "count-lost", "", 3)], True),
        (happens("+odown", host="b"), [(5, "a", "+odown", "p", 0)], False),
        (happens("+odown", about="q"), [(5, "a", "+odown", "p", 0)], False),
    ],
)  # fmt: skip
def test_marks(mark, events, shown):
    assert Pattern((mark,)).shows(trace(*events)) is shown


def test_stalled_runs_do_not_count():
    runs = [trace((1, "a", "+odown", "p", 0)), trace(), trace((1, "a", "+odown", "p", 0), stalled=True)]
    found = share(Pattern((happens("+odown"),)), runs)
    assert (found["k"], found["n"]) == (1, 2)


# From a path to a scenario


@pytest.mark.parametrize(
    ("path", "epochs", "reaches"),
    [(known.TWO_LEADERS_OF_FIVE, 2, "one-leader"), (known.SPLIT_VOTE_OF_THREE, 1, "not-elected")],
)
def test_known_paths_are_paths_of_the_explorer(path, epochs, reaches):
    model = Election(len(path.actors), 2, epochs)
    state = model.first
    assert path.model == model.title
    for number, step in enumerate(path.steps):
        part, move, state_after = next(
            (part, move, after) for part, move, _, after in successors(model, state)
            if model.say(part, state[part], move) == step.text
        )  # fmt: skip
        told = [(model.actors[who], note) for who in dict.fromkeys((part, move.to))
                if who >= 0 and (note := model.note(who, state[who], state_after[who]))]  # fmt: skip
        assert list(step.notes) == told, f"step {number + 1}"
        state = state_after
    assert shows(model, state, next(each.patterns for each in model.properties if each.key == reaches))


def test_orders_are_read_off_a_path():
    orders = Orders.of(known.TWO_LEADERS_OF_FIVE)
    assert orders.tried == {1: 1, 2: 1, 5: 2}
    assert (orders.rivals, orders.later, orders.voters, orders.elected) == ([1, 2], [5], [3, 4], [1, 2])


def test_what_must_come_later_travels_longer():
    room = Room(late_ms=300, far_ms=2_000, away_ms=4_000, apart_ms=9_000)
    scenario, pattern = scenario_of(known.TWO_LEADERS_OF_FIVE, TWO_LEADERS.base_scenario(), room)
    ways = {(link.from_, link.to): link.delay_us // 1000 for link in scenario.link}
    assert ways["host2", "*"] == ways["host1", "host2"] == 300
    assert ways["host2", "host5"] == 2_000 > ways["host1", "host5"]
    assert ways["primary", "host3"] == ways["primary", "host4"] == 2_000
    turns = {(fault.host, fault.to): fault.delay_us // 1000 for fault in scenario.fault if fault.after}
    assert turns == {("host1", "*"): 9_000, ("host5", "*"): 4_000, ("host5", "replica"): 0}
    assert [mark.text for mark in pattern.marks] == [two_leaders().text, at_odds().text]


def test_faults_of_a_path_stand_on_the_time_line_in_their_order():
    scenario, _ = scenario_of(known.TWO_MANUAL_FAILOVERS, BY_NAME["two_manual_failovers_at_once"].base_scenario())
    told = [(fault.kind, fault.host, fault.at_ms) for fault in scenario.fault]
    assert told == [("drop", "host2", 0), ("drop", "host3", 0),
                    ("failover", "host2", 8000), ("failover", "host3", 8000),
                    ("deliver", "host2", 16000), ("deliver", "host3", 16000)]  # fmt: skip
    crash = Path("m", "s", "witness", ("server 2",), (Step("server 2", "crash", "server 2 dies"),))
    struck = scenario_of(crash, BY_NAME["two_manual_failovers_at_once"].base_scenario())[0].fault[0]
    assert (struck.kind, struck.host, struck.process) == ("crash", "host2", "redis")


def test_a_path_without_anything_to_steer_is_refused():
    idle = Path("m", "s", "witness", ("sentinel 1",), (Step("sentinel 1", "wait", "sentinel 1 waits"),))
    with pytest.raises(UsageError, match="neither an attempt nor a fault"):
        scenario_of(idle, TWO_LEADERS.base_scenario())
    six = Path("m", "s", "witness", tuple(f"sentinel {n}" for n in range(1, 7)), known.TWO_LEADERS_OF_FIVE.steps)
    with pytest.raises(UsageError, match="at most 5 can be steered"):
        scenario_of(six, TWO_LEADERS.base_scenario())


def test_requests_are_read_only_from_what_is_delivered():
    step = Step("sentinel 1", "ask", "?", (Exchange("sentinel 1", "sentinel 2", "your vote in epoch 3?"),))
    assert Orders.of(Path("m", "s", "witness", ("sentinel 1", "sentinel 2"), (step,))).asked == {(1, 2, 3)}


# Search and files


def test_the_search_never_ends_with_less_and_keeps_static_ways_short():
    case = BY_NAME["split_vote_of_three"]
    poor = scenario_of(case.path, case.base_scenario(), Room(late_ms=30))[0]
    start = share(case.pattern, [])
    better, found = steer(poor, Pattern((never("+no-such-event"),)), 1, 5, engine="world")
    assert (start["n"], found["k"], better) == (0, 1, poor), "nothing is better than all"
    assert max(delays(better)) <= MOST_STATIC_US


def test_equal_delays_are_one_number():
    case = BY_NAME["split_vote_of_three"]
    scenario = scenario_of(case.path, case.base_scenario(), Room(late_ms=400))[0]
    assert delays(scenario) == [400_000]
    assert delays(with_delay(scenario, 400_000, 700_000)) == [700_000]


@pytest.mark.parametrize("case", STEERED, ids=lambda case: case.name)
def test_a_committed_file_is_the_path_with_other_delays(case):
    """Hosts, faults, ways: all but the delays that the search has found."""
    made, _ = scenario_of(case.path, case.base_scenario())
    kept = case.scenario()

    def shape(scenario):
        data = scenario.model_dump(exclude={"question", "expects", "claim"})
        for table in (*data["link"], *data["fault"]):
            table["delay_us"] = min(table["delay_us"], 10_000)
        return data

    assert shape(kept) == shape(made)
    head = case.file.read_text().splitlines()
    assert all(any(step.text in line for line in head if line.startswith("#")) for step in case.path.steps)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_goes_its_way(case):
    """On the batch engine, in as many runs as its least share bears."""
    from sim import simulate

    found = share(case.pattern, simulate(case.scenario(), 60, 20_261_125, jobs=1))
    assert found["high"] >= case.low, f"{found}, seed 20261125"


def test_an_unknown_path_is_an_error_with_a_hint(capsys):
    assert main(["two_ledaers"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: two_ledaers: no path of that name")
    assert "two_leaders_of_one_epoch" in said


def test_the_file_that_is_written_can_be_read_again(tmp_path):
    from study.steering.files import text_of

    case = BY_NAME["two_manual_failovers_at_once"]
    scenario = scenario_of(case.path, case.base_scenario())[0]
    written = parse(text_of(case, scenario, share(case.pattern, []), 1), "written")
    assert written.digest == scenario.digest
    assert written.claim and written.name == case.name
