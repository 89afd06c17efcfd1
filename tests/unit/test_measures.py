"""Milestones, windows and parts of traces written by hand."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from model.measures import MILESTONES, PARTS, Facts, Window, cut, measure, proportion, statistics, summarise
from model.scenario import PROCESSES, load, parse
from model.trace import Event, Trace

FACTS = Facts(
    hosts=("host1", "host2", "host3"),
    sentinels=("host1", "host2", "host3"),
    registrars=("host1", "host2", "host3"),
    primary="host1",
    quorum=2,
)


def run_of(*events: Event, horizon_us: int = 60_000_000, stalled: bool = False) -> Trace:
    ordered = sorted(events, key=lambda event: event.t_us)
    return Trace("by_hand", "0" * 16, "sim", 1, 0, horizon_us, stalled, events=ordered)


def sentinel(t_ms: int, host: str, event: str, about: str = "host1", code: int = 0) -> Event:
    return Event(t_ms * 1000, host, "sentinel", event, about, code=code)


def fault(t_ms: int, event: str, host: str = "host1", program: str = "all", about: str = "", code: int = 0) -> Event:
    return Event(t_ms * 1000, host, "fault", event, about, code=code or PROCESSES.index(program))


def client(t_ms: int, host: str, outcome: str, age_ms: int) -> Event:
    return Event(t_ms * 1000, host, "client", outcome, host, age_ms * 1000)


def probe(t_ms: int, outcome: str, about: str) -> Event:
    return Event(t_ms * 1000, "client", "prober", f"write-{outcome}", about)


def test_milestones_of_a_usual_host_loss(make_trace):
    found = measure(make_trace(spread_ms=0), FACTS).milestones
    assert found == {
        "sdown_first": 10_400_000,
        "sdown_quorum": 10_700_000,
        "odown_first": 10_770_000,
        "elected": 10_840_000,
        "first_write": 10_990_000,
        "promoted": 11_700_000,
        "switch_first": 11_780_000,
        "switch_last": 12_800_000,
        "demoted": 10_500_000,
    }


def test_the_arm_makes_no_difference(make_trace):
    trace = make_trace()
    other = replace(trace, arm="real", seed=99)
    assert measure(trace, FACTS) == measure(other, FACTS)


def test_a_cut_off_sentinel_does_not_count():
    trace = run_of(
        fault(0, "vanish"), sentinel(5, "host1", "+sdown"), sentinel(10, "host2", "+sdown"),
        sentinel(12, "host1", "+odown"),
    )  # fmt: skip
    assert measure(trace, FACTS).milestones == {"sdown_first": 10_000}


@pytest.mark.parametrize("moved", [["host1"], ["host2", "host3"]])
def test_the_larger_side_of_a_split_counts_whichever_side_was_moved(moved):
    facts = replace(FACTS, sides=tuple((host, 1) for host in moved))
    trace = run_of(
        *(fault(0, "partition", host) for host in moved),
        sentinel(5, "host1", "+sdown", "host2"), sentinel(6, "host1", "+sdown"),
        sentinel(10, "host2", "+sdown"), sentinel(11, "host3", "+sdown"),
        sentinel(20, "host2", "+switch-master", "host3"),
    )  # fmt: skip
    run = measure(trace, facts)
    assert run.milestones["sdown_first"] == 10_000
    assert run.milestones["sdown_quorum"] == 11_000
    assert not run.branches["needless_failover"]


def test_a_killed_redis_leaves_the_sentinel_of_its_host_counting():
    trace = run_of(
        fault(0, "crash", program="redis"), sentinel(5, "host1", "+sdown"), sentinel(7, "host2", "+sdown")
    )  # fmt: skip
    assert measure(trace, FACTS).milestones == {"sdown_first": 5_000, "sdown_quorum": 7_000}


def test_of_three_sides_the_largest_counts_and_of_equal_ones_the_one_that_stayed():
    """Hosts 1 and 2 stay, 3 and 4 go aside together, 5 alone; then 2 goes too, and the other pair is the largest."""
    hosts = tuple(f"host{number}" for number in range(1, 6))
    sides = (("host3", 1), ("host4", 1), ("host5", 2), ("host2", 3))
    facts = Facts(hosts, hosts, hosts, "host1", 2, sides)
    trace = run_of(
        *(fault(0, "partition", host) for host in ("host3", "host4", "host5")),
        sentinel(5, "host3", "+sdown"), sentinel(6, "host5", "+sdown"), sentinel(7, "host2", "+sdown"),
        fault(10, "partition", "host2"),
        sentinel(15, "host1", "+sdown"), sentinel(16, "host4", "+sdown"),
        fault(20, "heal", "host2"), sentinel(25, "host1", "+odown"),
    )  # fmt: skip
    assert measure(trace, facts).milestones == {"sdown_first": 7_000, "sdown_quorum": 16_000, "odown_first": 25_000}


def test_a_host_whose_packets_are_all_lost_both_ways_is_out_of_touch_until_one_way_works_again():
    lost = [fault(0, "drop", "host1", code=100), fault(0, "drop", "host2", about="host1", code=100)]
    last = fault(10, "drop", "host3", about="host1", code=100)
    heard = [sentinel(5, "host1", "+sdown", "host1"), sentinel(15, "host1", "+odown"), sentinel(16, "host2", "+odown")]
    assert measure(run_of(*lost, last, *heard), FACTS).milestones == {"sdown_first": 5_000, "odown_first": 16_000}
    again = fault(12, "deliver", "host2", about="host1")
    found = measure(run_of(*lost, last, again, *heard), FACTS).milestones
    assert found["odown_first"] == 15_000


@pytest.mark.parametrize("kind", ["delay", "step", "drift", "slow-disk", "fail-saves", "busy", "failover"])
def test_faults_that_only_slow_or_confuse_strike_nothing(kind):
    trace = run_of(
        fault(0, kind, code=1), sentinel(5, "host1", "+sdown"), sentinel(20, "host2", "+switch-master", "host2")
    )
    run = measure(trace, FACTS)
    assert run.milestones["sdown_first"] == 5_000
    assert run.branches["needless_failover"]


def test_sides_come_from_the_scenario_in_order_of_time(request):
    path = request.config.rootpath / "scenarios/partition/primary_cut_off.toml"
    assert Facts.of(load(path)).sides == (("host1", 1),)
    split = "".join(f'[[fault]]\nkind = "partition"\nhost = "{host}"\nat_ms = {at}\nside = {side}\n'
                    for host, at, side in (("host3", 9, 2), ("host2", 0, 1)))  # fmt: skip
    hosts = "".join(f'[[host]]\nname = "host{number}"\n' for number in (1, 2, 3))
    scenario = parse(f'schema = 1\nname = "by_hand"\nquestion = "?"\nexpects = "!"\n{hosts}{split}')
    assert Facts.of(scenario).sides == (("host2", 1), ("host3", 2))


def test_a_promoted_server_that_dies_unannounced_is_a_failed_attempt():
    """Host 2 is promoted and dies; a minute later host 3 is elected for, promoted and announced."""
    trace = run_of(
        fault(0, "vanish"), sentinel(9, "host2", "+odown"), sentinel(10, "host2", "+elected-leader"),
        Event(11_000, "host2", "redis", "role-primary"), probe(12, "accepted", "host2"),
        fault(13, "crash", "host2", "redis"), probe(14, "silent", "host2"),
        sentinel(60, "host3", "+elected-leader"), Event(61_000, "host3", "redis", "role-primary"),
        probe(62, "accepted", "host3"), sentinel(63, "host3", "+promoted-slave", "host3"),
        sentinel(64, "host3", "+switch-master", "host3"), sentinel(65, "host2", "+switch-master", "host3"),
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert run.promoted == "host3"
    assert run.milestones == {
        "odown_first": 9_000, "elected": 60_000, "first_write": 62_000, "promoted": 63_000, "switch_first": 64_000,
        "switch_last": 65_000,
    }  # fmt: skip
    assert not run.cut_off


def test_a_promoted_server_that_dies_announced_was_the_first_failover():
    trace = run_of(
        fault(0, "vanish"), sentinel(10, "host2", "+elected-leader"), probe(12, "accepted", "host2"),
        sentinel(13, "host2", "+switch-master", "host2"), sentinel(14, "host3", "+switch-master", "host2"),
        fault(15, "crash", "host2", "redis"), sentinel(50, "host3", "+elected-leader", "host2"),
        sentinel(60, "host3", "+switch-master", "host3"), sentinel(61, "host2", "+switch-master", "host3"),
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert (run.promoted, run.milestones["elected"], run.milestones["switch_last"]) == ("host2", 10_000, 14_000)
    assert run.branches["second_failover"] and not run.branches["needless_failover"]


def test_a_leader_that_dies_leaves_its_milestones_to_the_next_one_and_waits_for_nothing():
    """Host 2 wins and dies at once. Host 3 wins later; nobody waits for the switch of a dead sentinel."""
    trace = run_of(
        fault(0, "vanish"), sentinel(9, "host2", "+odown"), sentinel(10, "host2", "+elected-leader"),
        fault(11, "crash", "host2", "sentinel"),
        sentinel(50, "host3", "+elected-leader"), sentinel(60, "host3", "+switch-master", "host2"),
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert run.milestones["elected"] == 50_000
    assert (run.milestones["switch_first"], run.milestones["switch_last"]) == (60_000, 60_000)


def test_the_word_of_a_sentinel_that_died_is_nothing_under_way():
    trace = run_of(fault(0, "vanish"), sentinel(9, "host2", "+odown"), fault(11, "crash", "host2", "sentinel"))
    assert not measure(trace, FACTS).cut_off


def test_a_sentinel_struck_between_the_first_switch_and_its_own_is_not_waited_for():
    trace = run_of(
        fault(0, "crash", program="redis"), sentinel(20, "host2", "+switch-master", "host2"),
        sentinel(21, "host3", "+switch-master", "host2"), fault(22, "crash", "host1", "sentinel"),
    )  # fmt: skip
    assert measure(trace, FACTS).milestones["switch_last"] == 21_000


def test_tilt_is_a_course_when_it_comes_after_the_fault():
    early, late = sentinel(-5, "host2", "+tilt", ""), sentinel(5, "host2", "+tilt", "")
    assert not measure(run_of(early, fault(0, "step", "host2")), FACTS).branches["tilt"]
    assert measure(run_of(fault(0, "step", "host2"), late), FACTS).branches["tilt"]


def test_a_silent_sentinel_on_the_primarys_host_is_not_the_primary():
    trace = run_of(
        fault(0, "vanish"), sentinel(10, "host2", "+sdown", code=1), sentinel(12, "host2", "+sdown"),
        sentinel(13, "host3", "+sdown", code=1), sentinel(15, "host3", "+sdown"),
    )  # fmt: skip
    assert measure(trace, FACTS).milestones == {"sdown_first": 12_000, "sdown_quorum": 15_000}


def test_events_before_the_fault_are_no_milestones():
    trace = run_of(sentinel(-5, "host2", "+sdown"), fault(0, "vanish"), sentinel(9, "host3", "+sdown"))
    assert measure(trace, FACTS).milestones == {"sdown_first": 9_000}


def test_a_second_failover_is_counted_and_leaves_the_first_ones_milestones_alone():
    trace = run_of(
        fault(0, "vanish"),
        sentinel(10, "host2", "+elected-leader"), sentinel(20, "host2", "+switch-master", "host2"),
        sentinel(21, "host3", "+switch-master", "host2"),
        sentinel(30, "host3", "+elected-leader", "host2"), sentinel(40, "host3", "+switch-master", "host3"),
        sentinel(41, "host2", "+switch-master", "host3"),
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert run.branches["second_failover"]
    assert run.branches["needless_failover"], "host2 was struck by nothing"
    assert (run.milestones["elected"], run.milestones["switch_last"]) == (10_000, 21_000)


def test_a_failover_from_a_healthy_primary_is_needless():
    trace = run_of(fault(0, "vanish", "host3"), sentinel(20, "host2", "+switch-master", "host2"))
    assert measure(trace, FACTS).branches["needless_failover"]


def test_a_failover_from_the_struck_primary_is_not_needless(make_trace):
    branches = measure(make_trace(), FACTS).branches
    assert branches == {
        "failover": True, "lost_election": False, "needless_failover": False, "second_failover": False,
        "demoted": True, "tilt": False,
    }  # fmt: skip


def test_an_attempt_given_up_before_the_success_is_a_lost_election():
    trace = run_of(
        fault(0, "vanish"),
        sentinel(10, "host2", "+try-failover"), sentinel(20, "host2", "-failover-abort-not-elected"),
        sentinel(50, "host2", "+try-failover"), sentinel(51, "host2", "+elected-leader"),
    )  # fmt: skip
    assert measure(trace, FACTS).branches["lost_election"]


def test_two_attempts_at_once_of_which_one_wins_are_no_lost_election():
    trace = run_of(
        fault(0, "vanish"),
        sentinel(10, "host2", "+try-failover"), sentinel(11, "host3", "+try-failover"),
        sentinel(12, "host2", "+elected-leader"), sentinel(90, "host3", "-failover-abort-not-elected"),
    )  # fmt: skip
    assert not measure(trace, FACTS).branches["lost_election"]


def test_the_election_that_led_to_the_promotion_is_the_milestone():
    trace = run_of(
        fault(0, "vanish"),
        sentinel(10, "host2", "+elected-leader"), sentinel(20, "host2", "-failover-abort-no-good-slave"),
        sentinel(50, "host3", "+elected-leader"), sentinel(60, "host3", "+promoted-slave", "host2"),
    )  # fmt: skip
    assert measure(trace, FACTS).milestones["elected"] == 50_000


def test_without_failover_there_is_no_first_write():
    trace = run_of(fault(0, "vanish"), probe(1, "silent", "host1"), probe(900, "accepted", "host1"))
    run = measure(trace, FACTS)
    assert run.milestones == {}
    assert not run.branches["failover"]
    assert [window.length_us for window in run.windows["redis_write"]] == [899_000]


def test_a_run_that_ends_during_a_failover_is_censored_not_without():
    trace = run_of(fault(0, "vanish"), sentinel(10, "host2", "+odown"), horizon_us=50_000)
    run = measure(trace, FACTS)
    assert run.censored
    assert run.cut_off == dict.fromkeys(["elected", "first_write", "promoted", "switch_first", "switch_last"], 50_000)


def test_a_failover_that_was_called_off_is_not_censored():
    trace = run_of(fault(0, "vanish"), sentinel(10, "host2", "+odown"), sentinel(20, "host2", "-odown"))
    assert not measure(trace, FACTS).censored


def test_the_last_switch_is_missing_while_a_sentinel_in_touch_has_not_switched():
    trace = run_of(fault(0, "vanish"), sentinel(20, "host2", "+switch-master", "host2"))
    found = measure(trace, FACTS).milestones
    assert "switch_first" in found and "switch_last" not in found


def test_time_with_two_writable_servers():
    trace = run_of(
        fault(0, "vanish"), probe(1, "silent", "host1"), probe(100, "accepted", "host2"),
        probe(400, "accepted", "host1"), probe(650, "refused", "host1"),
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert run.two_writable_us == 250_000
    assert [(w.start_us, w.end_us) for w in run.windows["redis_write"]] == [(1_000, 100_000)]


def test_two_servers_still_writable_at_the_horizon():
    trace = run_of(fault(0, "vanish"), probe(100, "accepted", "host2"), horizon_us=1_000_000)
    assert measure(trace, FACTS).two_writable_us == 900_000


def test_a_register_window_runs_from_sending_to_the_next_confirmed_answer():
    trace = run_of(
        fault(0, "vanish"), client(-5, "host2", "confirmed", 2), client(1_600, "host2", "refused", 1_510),
        client(2_100, "host2", "unknown", 200), client(3_000, "host2", "confirmed", 3),
    )  # fmt: skip
    (window,) = measure(trace, FACTS).windows["register@host2"]
    assert (window.start_us, window.end_us, window.censored) == (90_000, 3_000_000, False)
    assert window.time_by_outcome() == {"refused": 1_810_000, "unknown": 1_100_000}


def test_a_late_verdict_on_an_early_request_does_not_undo_a_confirmed_one():
    """Sent at 0 and given up at 2000; sent at 200 and confirmed at 210: the outage is over."""
    trace = run_of(fault(0, "vanish"), client(210, "host2", "confirmed", 10), client(2_000, "host2", "unknown", 2_000))
    (window,) = measure(trace, FACTS).windows["register@host2"]
    assert (window.start_us, window.end_us, window.censored) == (0, 210_000, False)


def test_an_open_window_is_censored_at_the_horizon():
    trace = run_of(fault(0, "vanish"), client(1_600, "host2", "refused", 1_600), horizon_us=5_000_000)
    run = measure(trace, FACTS)
    (window,) = run.windows["register@host2"]
    assert (window.length_us, window.censored, run.censored) == (5_000_000, True, True)


def test_an_outage_over_before_the_fault_is_not_counted():
    trace = run_of(
        client(-900, "host2", "refused", 5), client(-500, "host2", "confirmed", 5), fault(0, "vanish"),
    )  # fmt: skip
    assert measure(trace, FACTS).windows["register@host2"] == []


def test_parts_are_those_of_the_nodes_that_no_fault_struck(make_trace):
    run = measure(make_trace(spread_ms=0), FACTS)
    assert set(run.parts) == {"host2", "host3"}
    assert run.last_node == "host3"
    assert run.parts["host2"] == {
        "detect": 10_691_000, "agree": 70_000, "elect": 70_000, "promote": 140_000, "announce": 0,
        "discover": 120_000, "retry": 100_000,
    }  # fmt: skip


def test_parts_in_the_usual_order():
    parts = cut(Window(0, 100, False, ()), [10, 20, 30, 40, 60, 90])
    assert list(parts.values()) == [10, 10, 10, 10, 20, 30, 10]


@pytest.mark.parametrize(
    ("boundaries", "expected"),
    [
        ([10, 20, 30, 40, 95, 50], [10, 10, 10, 10, 0, 10, 50]),  # found before it was announced
        ([None] * 6, [100, 0, 0, 0, 0, 0, 0]),  # nothing but silence
        ([10, None, None, None, None, None], [10, 90, 0, 0, 0, 0, 0]),  # never agreed
        ([10, 120, 130, 140, 150, None], [10, 90, 0, 0, 0, 0, 0]),  # over before they agreed
        ([-5, 20, 30, 40, 60, 90], [0, 20, 10, 10, 20, 30, 10]),  # before the window
    ],
)
def test_parts_in_other_orders(boundaries, expected):
    assert list(cut(Window(0, 100, False, ()), boundaries).values()) == expected


def binding(t_ms: int, what: str, about: str, life_ms: int = 0) -> Event:
    return Event(t_ms * 1000, "client", "prober", f"binding-{what}", about, life_ms * 1000)


def test_a_server_is_blind_while_it_misses_a_live_binding():
    trace = run_of(
        binding(-2_000, "written", "host1", 60_000),
        binding(-1_900, "missing", "host2"), binding(1_500, "found", "host2"),  # 1.5 s of it after the fault
        binding(-1_900, "found", "host1"), binding(59_000, "missing", "host1"),  # 1 s of it after the end of the run
        horizon_us=58_000_000,
    )  # fmt: skip
    assert measure(trace, FACTS).blind == {"host1": 0, "host2": 1_500_000}


def test_what_has_ended_by_true_time_is_not_missed():
    trace = run_of(
        binding(0, "written", "host1", 10_000), binding(100, "found", "host1"), binding(8_000, "missing", "host1"),
        binding(20_000, "written", "host2", 10_000), binding(21_000, "found", "host1"),
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert run.blind == {"host1": 3_000_000}
    assert run.blind_us == 3_000_000


def test_lives_that_overlap_are_one_life():
    trace = run_of(
        *(binding(t_ms, "written", host, 10_000) for t_ms, host in [(0, "host1"), (5_000, "host1"), (5_000, "host2")]),
        binding(1_000, "missing", "host3"), binding(40_000, "found", "host3"),
    )  # fmt: skip
    assert measure(trace, FACTS).blind == {"host3": 14_000_000}


def test_a_server_that_does_not_answer_is_not_blind():
    trace = run_of(
        binding(0, "written", "host1", 60_000), binding(1_000, "missing", "host2"),
        binding(3_000, "unanswered", "host2"), binding(9_000, "missing", "host2"),
        horizon_us=10_000_000,
    )  # fmt: skip
    run = measure(trace, FACTS)
    assert run.blind == {"host2": 3_000_000}
    losses = summarise([trace], [run])["losses"]
    assert losses["blind_ms"]["p50_ms"] == losses["blind_by_server_ms"]["host2"]["p50_ms"] == 3_000


def test_without_expiry_prober_nothing_is_said_of_blindness(make_trace):
    run = measure(make_trace(), FACTS)
    assert (run.blind, run.blind_us) == ({}, None)


def test_parts_always_add_up():
    seed = 20
    chance = random.Random(seed)
    for case in range(2_000):
        window = Window(chance.randint(-20, 20), chance.randint(21, 120), False, ())
        boundaries = [chance.choice([None, chance.randint(-50, 150)]) for _ in PARTS[:-1]]
        parts = cut(window, boundaries)
        assert min(parts.values()) >= 0, (seed, case)
        assert sum(parts.values()) == window.length_us, (seed, case)


def test_summary_leaves_stalled_runs_out_and_says_so(make_trace):
    traces = [make_trace(run) for run in range(4)]
    traces[2].stalled = True
    summary = summarise(traces, [measure(trace, FACTS) for trace in traces])
    assert (summary["runs"], summary["stalled"], summary["milestones"]["elected"]["n"]) == (4, 1, 3)
    assert tuple(summary["milestones"]) == MILESTONES
    assert tuple(summary["parts"]) == PARTS
    assert list(summary["outages"]) == ["redis_write", "register@host1", "register@host2", "register@host3"]
    assert summary["probabilities"]["demoted"]["k"] == 3
    assert summary["losses"]["acknowledged_lost"]["p50"] == 40
    assert summary["losses"]["blind_ms"] == {"n": 0}


def test_refused_and_unknown_stay_apart_in_the_summary(make_trace):
    traces = [make_trace(spread_ms=0)]
    outcomes = summarise(traces, [measure(trace, FACTS) for trace in traces])["outage_outcomes"]
    assert outcomes["register@host1"]["refused"]["p50_ms"] == 0
    assert outcomes["register@host1"]["unknown"]["p50_ms"] > 38_000
    assert outcomes["register@host2"]["unknown"]["p50_ms"] == 0


def test_statistics_of_nothing_and_of_something():
    assert statistics([]) == {"n": 0}
    assert statistics([1, 2, 3])["p50"] == 2


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 7), (1, 1000), (999, 1000)])
def test_wilson_interval_is_that_of_scipy(k, n):
    interval, reference = proportion(k, n), binomtest(k, n).proportion_ci(method="wilson")
    assert (interval["low"], interval["high"]) == pytest.approx((reference.low, reference.high), abs=1e-6)


def test_a_proportion_of_nothing_can_be_anything():
    assert proportion(0, 0) == {"k": 0, "n": 0, "low": 0.0, "high": 1.0}
