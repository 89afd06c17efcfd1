"""Outages of clients, their parts, blind and zombie time, from events written by hand."""

from __future__ import annotations

import random

import pytest

from model.measures import Facts, measure, summarise
from model.reachability import CLIENT_PARTS, blind_us, client_parts, client_windows, lives, zombie_us
from model.trace import Event, Trace
from model.windows import Window

HORIZON_US = 60_000_000
FACTS = Facts(("host1", "host2"), ("host1", "host2"), ("host1", "host2"), "host1", 2, clients=("phone",))


def call(t_ms: int, outcome: str, node: str = "host1", code: int = 0, age_ms: int = 0) -> Event:
    return Event(t_ms * 1000, "phone", "caller", f"call-{outcome}", node, age_ms * 1000, code)


def answered(t_ms: int, node: str = "host1", age_ms: int = 0) -> Event:
    return call(t_ms, "answered", node, 200, age_ms)


def refused(t_ms: int, code: int, node: str = "host1") -> Event:
    return call(t_ms, "refused", node, code)


def unanswered(t_ms: int, node: str = "host1") -> Event:
    """Sent 2 s before."""
    return call(t_ms, "unanswered", node, 0, 2_000)


def step(t_ms: int, event: str, code: int = 0, node: str = "host1", life_s: int = 0) -> Event:
    return Event(t_ms * 1000, "phone", "ua", event, node, life_s * 1_000_000, code)


def spans(calls: list[Event]) -> list[tuple[float, float, bool]]:
    return [(w.start_us / 1e6, w.end_us / 1e6, w.censored) for w in client_windows(calls, HORIZON_US)]


def parts(start_ms: int, end_ms: int, *steps: Event) -> dict[str, float]:
    window = Window(start_ms * 1000, end_ms * 1000, False, (("refused", start_ms * 1000),))
    found = client_parts(window, sorted(steps, key=lambda each: each.t_us))
    assert sum(found.values()) == window.length_us
    return {name: time_us / 1e6 for name, time_us in found.items() if time_us}


# --- windows ---------------------------------------------------------------------------------------------------------


def test_a_client_is_out_only_while_calls_fail_through_every_node():
    calls = [
        answered(-2_000), answered(-2_000, "host2"),
        refused(1_000, 503), refused(4_000, 404, "host2"),
        answered(9_000), answered(12_000, "host2"),
    ]  # fmt: skip
    assert spans(calls) == [(4.0, 9.0, False)]


def test_a_window_begins_when_the_first_failing_call_was_sent_and_ends_with_an_answer():
    calls = [answered(-2_000), unanswered(5_000), answered(9_100, age_ms=600)]
    assert spans(calls) == [(3.0, 9.1, False)]


def test_a_dead_node_alone_is_no_outage():
    assert spans([answered(-1_000), answered(-1_000, "host2"), unanswered(5_000)]) == []


def test_without_an_end_it_is_censored_at_the_horizon():
    assert spans([refused(-2_000, 404), refused(7_000, 404, "host2")]) == [(7.0, 60.0, True)]


def test_what_lies_before_the_fault_is_cut_off():
    (window,) = client_windows(
        [refused(-2_000, 404), unanswered(1_000), refused(4_000, 404), answered(9_000)], HORIZON_US
    )
    assert (window.start_us, window.end_us) == (0, 9_000_000)
    assert window.time_by_outcome() == {"unknown": 4_000_000, "refused": 5_000_000}


def test_an_outage_over_before_the_fault_is_not_counted():
    assert spans([refused(-2_000, 404), answered(-1_000)]) == []


def test_somebody_who_asks_every_node_is_refused_if_one_of_them_answers():
    calls = [unanswered(3_000), unanswered(5_000, "host2"), refused(10_000, 503, "host2"), answered(20_000)]
    (window,) = client_windows(calls, HORIZON_US)
    assert window.time_by_outcome() == {"unknown": 7_000_000, "refused": 10_000_000}


# --- parts -----------------------------------------------------------------------------------------------------------


def test_parts_of_a_silent_host_udp():
    found = parts(
        1_000, 60_000,
        step(20_000, "attempt"), step(52_000, "failed", 408), step(54_000, "attempt", node="host2"),
        step(59_500, "registered", node="host2"),
    )  # fmt: skip
    assert found == {"unaware": 19.0, "give_up": 32.0, "elsewhere": 7.5, "done": 0.5}


def test_a_lost_flow_is_noticed_without_an_attempt():
    found = parts(0, 10_000, step(100, "flow-lost", 1), step(9_000, "attempt", node="host2"),
                  step(9_100, "registered", node="host2"))  # fmt: skip
    assert found == {"unaware": 0.1, "elsewhere": 9.0, "done": 0.9}


def test_a_node_that_lives_but_cannot_store_is_a_part_of_its_own():
    found = parts(
        0, 40_000,
        step(10_000, "attempt"), step(10_001, "failed", 500), step(20_000, "attempt"), step(20_001, "failed", 503),
        step(30_000, "attempt", node="host2"), step(30_500, "failed", 0, "host2"),
        step(35_000, "attempt"), step(35_001, "registered"),
    )  # fmt: skip
    assert found == {"unaware": 10.0, "give_up": 0.001, "refused": 20.499, "elsewhere": 4.501, "done": 4.999}


def test_a_client_that_never_fails_was_unaware_until_its_next_registration():
    found = parts(1_000, 30_000, step(25_000, "attempt"), step(25_001, "registered"))
    assert found == {"unaware": 24.001, "done": 4.999}


def test_an_attempt_that_was_under_way_at_the_start_leaves_nothing_unaware():
    found = parts(1_000, 20_000, step(0, "attempt"), step(15_000, "failed", 408), step(16_000, "registered"))
    assert found == {"give_up": 14.0, "elsewhere": 1.0, "done": 4.0}


def test_what_the_client_met_just_before_the_first_failing_call_counts():
    """Linphone, its host killed: reset, refused elsewhere, and waiting for a minute before anybody has called."""
    lost = (step(0, "flow-lost", 1), step(1, "attempt", node="host2"))
    refused_ = (*lost, step(2, "failed", 500, "host2"))
    again = (step(60_002, "attempt", node="host2"), step(60_004, "registered", node="host2"))
    assert parts(300, 60_300, *refused_, *again) == {"refused": 59.704, "done": 0.296}
    assert parts(300, 9_000, *lost, step(8_000, "registered", node="host2")) == {"elsewhere": 7.7, "done": 1.0}
    assert parts(300, 9_000, step(0, "attempt"), step(200, "failed", 408)) == {"elsewhere": 8.7}
    assert parts(300, 9_000, step(0, "attempt"), step(200, "unresolved")) == {"elsewhere": 8.7}


def test_a_client_that_was_registered_anew_before_the_first_failing_call_is_unaware():
    found = parts(300, 9_000, step(0, "flow-lost", 1), step(1, "attempt", node="host2"),
                  step(2, "registered", node="host2"), step(7_000, "flow-lost", 1, "host2"))  # fmt: skip
    assert found == {"unaware": 6.7, "elsewhere": 2.0}


def test_an_attempt_without_an_end_counts_as_failing():
    assert parts(0, 50_000, step(30_000, "attempt")) == {"unaware": 30.0, "give_up": 20.0}


def test_a_challenge_is_no_failure():
    found = parts(0, 10_000, step(5_000, "attempt"), step(5_001, "attempt"), step(5_002, "registered"))
    assert found == {"unaware": 5.002, "done": 4.998}


def test_parts_always_add_up():
    names = ("attempt", "registered", "failed", "flow-lost", "untrusted", "resolved", "unresolved")
    seed = 20_260_401
    chance = random.Random(seed)
    for _ in range(500):
        start_ms, end_ms = sorted(chance.sample(range(60_000), 2))
        steps = [
            step(chance.randrange(-5_000, 70_000), chance.choice(names), chance.choice((0, 408, 500, 503)),
                 chance.choice(("host1", "host2")))
            for _ in range(chance.randrange(12))
        ]  # fmt: skip
        found = parts(start_ms, end_ms, *steps)
        assert all(value > 0 for value in found.values()), f"seed {seed}"


# --- blind and zombie ------------------------------------------------------------------------------------------------


def test_a_node_is_blind_while_it_answers_404_for_a_live_registration():
    live = lives([step(-10_000, "registered", life_s=60)])
    calls = [answered(-2_000), refused(20_000, 404), answered(25_000), refused(40_000, 404), answered(0, "host2")]
    assert blind_us(calls, live, HORIZON_US) == {"host1": 15_000_000, "host2": 0}


def test_other_failures_and_ended_registrations_are_not_blindness():
    live = lives([step(-10_000, "registered", life_s=20)])
    calls = [refused(-1_000, 503), refused(5_000, 404), unanswered(30_000)]
    assert blind_us(calls, live, HORIZON_US) == {"host1": 5_000_000}
    assert blind_us([unanswered(2_000)], live, HORIZON_US) == {"host1": 0}


def test_registrations_follow_each_other_without_a_gap():
    assert lives([step(0, "registered", life_s=10), step(9_000, "registered", life_s=10)]) == [(0, 19_000_000)]


def test_outcomes_count_in_the_order_of_sending():
    """A call that got nothing is given up long after the next one was refused."""
    calls = [unanswered(2_100), refused(500, 503), refused(50_000, 404)]
    assert zombie_us(calls, [], HORIZON_US) == {"host1": 49_500_000}
    assert blind_us(calls, [(0, HORIZON_US)], HORIZON_US) == {"host1": 10_000_000}


def test_a_zombie_is_followed_after_its_end():
    live = lives([step(-10_000, "registered", life_s=20), step(50_000, "registered", life_s=60)])
    calls = [answered(-2_000), refused(5_000, 503), refused(30_000, 404), answered(51_000)]
    assert zombie_us(calls, live, HORIZON_US) == {"host1": 20_000_000}


@pytest.mark.parametrize("call_", [refused(0, 500), refused(0, 404), unanswered(2_000)])
def test_a_node_that_finds_nothing_asks_nobody_or_is_silent_holds_no_zombie(call_):
    assert zombie_us([call_], [], HORIZON_US) == {"host1": 0}


# --- through measures ------------------------------------------------------------------------------------------------


def run_of(*events: Event) -> Trace:
    return Trace("by_hand", "0" * 16, "sim", 1, 0, HORIZON_US, events=sorted(events, key=lambda each: each.t_us))


def counted(failed: int, ended: int, node: str = "host1") -> list[Event]:
    return [
        Event(HORIZON_US, "phone", "caller", "count-calls", node, code=ended),
        Event(HORIZON_US, "phone", "caller", "count-calls-failed", node, code=failed),
    ]


def test_a_run_has_windows_parts_and_counts_of_its_clients():
    trace = run_of(
        step(-1_000, "registered", life_s=60), answered(-500), refused(2_000, 503), step(3_000, "flow-lost", 1),
        step(5_000, "registered", node="host2", life_s=60), answered(6_000),
        *counted(8, 120), *counted(0, 120, "host2"),
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert run.outage_us("client:phone") == 4_000_000
    assert run.clients["phone"].parts == {"unaware": 1_000_000, "give_up": 0, "elsewhere": 2_000_000, "refused": 0,
                                          "done": 1_000_000}  # fmt: skip
    summary = summarise([trace], [run])
    assert summary["outages"]["client:phone"]["p50_ms"] == 4_000
    assert summary["calls"]["phone"]["n"] == 240
    assert summary["calls"]["phone"]["failed"] == 8
    assert summary["calls"]["phone"]["per_million"] == 33_333
    assert set(summary["client_parts"]["phone"]) == set(CLIENT_PARTS)


def test_without_callers_nothing_is_said_of_clients(make_trace):
    trace = make_trace()
    run = measure(trace, FACTS)
    assert run.clients == {}
    assert summarise([trace], [run])["calls"] == {}
