"""Each kind of fault does in a simulated run what the scenario language says of it."""

from __future__ import annotations

import pytest

from model.scenario import PROCESSES, parse
from model.trace import Event
from sim.state import TRIGGER_US
from sim.world import World

HEAD = """
schema = 1
name = "faults"
question = "what does it do?"
server.primary = "host1"
sentinel.down_after_ms = 1000
sentinel.failover_timeout_ms = 4000
run.horizon_ms = 20000
host = [{ name = "host1", registrar = false }, { name = "host2", registrar = false },
        { name = "host3", registrar = false }]
"""
CRASH = {"kind": "crash", "host": "host1", "process": "redis"}


def build(*faults: dict, head: str = HEAD) -> World:
    """A world that these faults will strike."""
    lines = []
    for fault in faults:
        lines.append("[[fault]]")
        lines += [f"{key} = {value if isinstance(value, int) else repr(value)}" for key, value in fault.items()]
        lines += [] if "at_ms" in fault else ["at_ms = 0"]
    return World(parse(head + "\n".join(lines)), seed=1)


def run(*faults: dict, head: str = HEAD) -> list[Event]:
    """What happens in such a world."""
    return build(*faults, head=head).trace().events


def those(trace: list[Event], name: str, about: str = "") -> list[Event]:
    """The events of one name (and about one host)."""
    return [event for event in trace if event.event == name and about in ("", event.about)]


def test_the_trace_says_what_struck_whom_and_how_much() -> None:
    trace = run(
        {"kind": "step", "host": "host2", "step_ms": -90_000},
        {"kind": "drift", "host": "host2", "drift_ppm": -300, "at_ms": 1},
        {"kind": "drop", "host": "host3", "to": "host1", "percent": 25, "at_ms": 2},
        {"kind": "deliver", "host": "host3", "to": "host1", "at_ms": 3},
        {"kind": "delay", "host": "host3", "delay_us": 900, "jitter_us": 7, "at_ms": 4},
        {"kind": "slow-disk", "host": "host2", "flush_ms": 15, "at_ms": 5},
        {"kind": "busy", "host": "host3", "busy_ms": 250, "at_ms": 6},
        {"kind": "crash", "host": "host3", "process": "sentinel", "at_ms": 7},
    )
    told = [
        (event.event, event.host, event.about, event.detail_us, event.code) for event in trace if event.actor == "fault"
    ]
    assert told == [
        ("step", "host2", "", 90_000_000, 1),
        ("drift", "host2", "", 1, 300),
        ("drop", "host3", "host1", 0, 25),
        ("deliver", "host3", "host1", 0, 0),
        ("delay", "host3", "", 900, 0),
        ("slow-disk", "host2", "", 15_000, 0),
        ("busy", "host3", "", 250_000, 0),
        ("crash", "host3", "", 0, PROCESSES.index("sentinel")),
    ]


@pytest.mark.parametrize(
    ("host", "find"),
    [("@leader", lambda event: event.host), ("@promoted", lambda event: event.about), ("host1", lambda _: "host1")],
)
def test_a_fault_waits_for_its_event_and_strikes_whom_that_names(host, find) -> None:
    late = {"kind": "vanish", "host": host, "after": "+promoted-slave", "at_ms": 40}
    trace = run(CRASH, late)
    trigger = next(event for event in trace if event.event == "+promoted-slave")
    struck = next(event for event in trace if event.event == "vanish")
    assert struck.t_us == trigger.t_us + 40_000
    assert struck.host == find(trigger)


def test_a_reaction_takes_its_time_and_happens_once() -> None:
    trace = run(CRASH, {"kind": "pause", "host": "@leader", "after": "role-primary"})
    trigger = next(event for event in trace if event.event == "role-primary" and event.t_us >= 0)
    paused = [event for event in trace if event.event == "pause"]
    assert [(event.t_us, event.host) for event in paused] == [(trigger.t_us + TRIGGER_US, trigger.host)]


def test_a_clock_that_jumps_holds_its_sentinel_off_for_30_s_and_the_trace_stays_in_true_time() -> None:
    head = HEAD.replace("20000", "45000")
    trace = run({"kind": "step", "host": "host2", "step_ms": 60_000},
                {"kind": "step", "host": "host3", "step_ms": 60_000}, {**CRASH, "at_ms": 200}, head=head)  # fmt: skip
    assert all(0 < event.t_us < 200_000 for event in those(trace, "+tilt"))
    assert {event.host for event in those(trace, "+tilt")} == {"host2", "host3"}
    (first, *_) = those(trace, "+try-failover")
    assert 29_900_000 < first.t_us < 31_500_000


def test_one_dead_way_stops_what_the_sentinel_hears_and_nobody_else() -> None:
    """From host1 to host2 nothing arrives: sentinel 2 misses server 1 and sentinel 1, who miss nothing but answers."""
    trace = run({"kind": "drop", "host": "host1", "to": "host2"})
    seen = {(event.host, event.about) for event in those(trace, "+sdown")}
    assert seen == {("host2", "host1"), ("host1", "host2")}


def test_old_data_comes_back_as_it_was_before_the_first_fault() -> None:
    crash = {"kind": "crash", "host": "host3", "process": "redis", "at_ms": 2_000}
    pause = {"kind": "pause", "host": "host1", "process": "sentinel"}
    for data, keeps in (("old", True), ("empty", False)):
        world = build(pause, crash, {**crash, "kind": "restart", "data": data, "at_ms": 2_500})
        world.run_until(-1)
        before = world.state.redis[2].offset
        world.run_until(2_500_000)
        assert (world.state.redis[2].offset == before) == keeps
        assert (world.state.redis[2].branch == world.state.redis[0].branch) == keeps


def test_a_slow_disk_delays_the_vote_and_a_fast_one_does_not() -> None:
    slow = [{"kind": "slow-disk", "host": host, "flush_ms": 400} for host in ("host1", "host2", "host3")]
    fast = [{"kind": "fast-disk", "host": host, "at_ms": 1} for host in ("host1", "host2", "host3")]
    plain_us = those(run(CRASH), "+vote-for-leader")[0].t_us
    assert those(run(*slow, *fast, {**CRASH, "at_ms": 2}), "+vote-for-leader")[0].t_us < plain_us + 200_000
    assert those(run(*slow, CRASH), "+vote-for-leader")[0].t_us == plain_us + 400_000 - 500


def test_writes_are_refused_while_saves_fail_and_silent_while_a_script_runs() -> None:
    trace = run(
        {"kind": "busy", "host": "host1", "busy_ms": 1_300},
        {"kind": "fail-saves", "host": "host1", "at_ms": 1_400},
        {"kind": "mend-saves", "host": "host1", "at_ms": 1_700},
    )
    told = [event for event in trace if event.actor == "prober" and event.about == "host1" and event.t_us > 0]
    assert [event.event for event in told] == ["write-silent", "write-accepted", "write-refused", "write-accepted"]
    for event, at_us in zip(told, (0, 1_300_000, 1_400_000, 1_700_000), strict=True):
        assert at_us <= event.t_us <= at_us + 20_200


def test_a_second_without_an_answer_is_not_yet_silence() -> None:
    trace = run({"kind": "busy", "host": "host1", "busy_ms": 900})
    assert not those(trace, "write-silent", "host1")


def test_writes_stop_when_too_few_replicas_acknowledge() -> None:
    head = HEAD + "server.min_replicas_to_write = 1\nserver.min_replicas_max_lag_s = 2\n"
    trace = run({"kind": "partition", "host": "host1"}, head=head)
    assert 1_000_000 < those(trace, "write-refused", "host1")[0].t_us < 5_000_000


def test_an_operators_failover_needs_nobody_to_be_down() -> None:
    trace = run({"kind": "failover", "host": "host2"})
    (start, *_) = those(trace, "+try-failover")
    assert (start.host, start.t_us) == ("host2", 0)
    (switch, *_) = those(trace, "+switch-master")
    assert switch.t_us < 3_000_000
    assert not [event for event in those(trace, "+sdown") if event.t_us < switch.t_us]


def test_a_second_side_of_a_split_is_on_its_own() -> None:
    """Three hosts on three sides: nobody has a majority."""
    trace = run({"kind": "partition", "host": "host1"}, {"kind": "partition", "host": "host2", "side": 2})
    assert not those(trace, "+switch-master")
    assert {event.host for event in those(trace, "+sdown")} == {"host1", "host2", "host3"}
