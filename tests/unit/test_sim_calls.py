"""What a caller gets through each node of the simulated world."""

from __future__ import annotations

import json

import pytest

from model import registrar
from model.measures import Facts, measure
from model.scenario import Scenario, parse
from sim.state import REDIS, REGISTRAR, actor
from sim.world import World

SEED = 4
PERIOD_MS, TIMEOUT_MS = 100, 2_000
A_PERIOD_S = PERIOD_MS / 1000 + 0.05
HOSTS = {"a": {}, "b": {"redis": False, "sentinel": False}, "c": {"redis": False, "sentinel": False}}


def scenario(faults: list[tuple], transport: str = "tcp", horizon_s: float = 10, **more) -> Scenario:
    """Redis on a; nodes on a, b and c; a phone on b that registers for an hour, and notices a lost connection late."""
    data = {
        "schema": 1, "name": "calls", "question": "what does the caller get?",
        "server": {"primary": "a"}, "sentinel": {"quorum": 1, "down_after_ms": 60_000},
        "probe": {"register_period_ms": 200, "write_period_ms": 10_000, "call_period_ms": PERIOD_MS,
                  "call_timeout_ms": TIMEOUT_MS},
        "run": {"horizon_ms": round(horizon_s * 1000)},
        "host": [{"name": name, **keys} for name, keys in HOSTS.items()],
        "client": [{"class": "baresip", "transport": transport, "name": "phone", "expires_s": 3_600, "starts_on": "b"}],
        "fault": [{"kind": kind, "host": host, "at_ms": at_ms, **keys} for kind, host, at_ms, keys in faults],
        **more,
    }  # fmt: skip
    return parse("\n".join(f"{key} = {_toml(value)}" for key, value in data.items()))


def _toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def outcomes(wanted: Scenario, seed: int = SEED) -> dict[str, list[tuple[str, int]]]:
    """By node: the outcomes after the first fault, in order of sending, with their codes."""
    return {node: [(event, code) for event, code, _ in found] for node, found in _seen(wanted, seed).items()}


def instants(wanted: Scenario, node: str, seed: int = SEED) -> list[float]:
    """When the first call of each outcome through a node was sent, in s."""
    return [sent_s for *_, sent_s in _seen(wanted, seed)[node]]


def _seen(wanted: Scenario, seed: int) -> dict[str, list[tuple[str, int, float]]]:
    found: dict[str, list[tuple[str, int, float]]] = {node: [] for node in HOSTS}
    for event in sorted(World(wanted, seed).trace().events, key=lambda event: event.t_us - event.detail_us):
        sent_us = event.t_us - event.detail_us
        if event.actor == "caller" and event.event.startswith("call-") and sent_us >= 0:
            found[event.about].append((event.event.removeprefix("call-"), event.code, sent_us / 1e6))
    return found


REGISTRAR_ONLY, REDIS_ONLY = {"process": "registrar"}, {"process": "redis"}


def test_without_a_fault_every_call_is_answered_and_told_once():
    trace = World(scenario([]), SEED).trace()
    calls = [event for event in trace.events if event.actor == "caller"]
    told = [event for event in calls if event.event.startswith("call-")]
    assert sorted((event.about, event.event, event.code) for event in told) == [
        (node, "call-answered", 200) for node in "abc"
    ]
    counted = {(event.about, event.event): event.code for event in calls if event.event.startswith("count")}
    # From 2.5 s before the fault to 10 s after it.
    assert {counted[node, "count-calls"] for node in "abc"} == {125}
    assert {counted[node, "count-calls-failed"] for node in "abc"} == {0}


# --- nodes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["crash", "vanish"])
def test_a_node_that_is_gone_says_nothing(kind):
    fault = (kind, "c", 0, REGISTRAR_ONLY if kind == "crash" else {})
    found = outcomes(scenario([fault]))
    assert found == {"a": [], "b": [], "c": [("unanswered", 0)]}


def test_an_unanswered_call_is_told_when_it_is_given_up():
    trace = World(scenario([("vanish", "c", 0, {})]), SEED).trace()
    (event,) = [event for event in trace.events if event.event == "call-unanswered"]
    assert event.detail_us == TIMEOUT_MS * 1000
    assert 0 <= event.t_us - event.detail_us < PERIOD_MS * 1000


def test_a_stopped_node_answers_what_came_meanwhile_when_it_goes_on():
    faults = [("pause", "c", 0, REGISTRAR_ONLY), ("resume", "c", 1_000, REGISTRAR_ONLY)]
    assert outcomes(scenario(faults))["c"] == []
    late = [("pause", "c", 0, REGISTRAR_ONLY), ("resume", "c", 5_000, REGISTRAR_ONLY)]
    assert outcomes(scenario(late))["c"] == [("unanswered", 0), ("answered", 200)]
    unanswered_s, answered_s = instants(scenario(late), "c")
    assert unanswered_s < A_PERIOD_S
    assert 3.0 <= answered_s < 3.0 + A_PERIOD_S


# --- the way to the phone --------------------------------------------------------------------------------------------


def test_the_node_that_the_phone_is_on_is_gone_its_host_refuses():
    found = outcomes(scenario([("crash", "b", 0, REGISTRAR_ONLY)]))
    assert found == {"a": [("refused", 503)], "b": [("unanswered", 0)], "c": [("refused", 503)]}


@pytest.mark.parametrize("fault", [("vanish", "b", 0, {}), ("pause", "b", 0, REGISTRAR_ONLY)])
def test_the_node_that_the_phone_is_on_is_silent(fault):
    found = outcomes(scenario([fault]))
    assert found == {node: [("unanswered", 0)] for node in "abc"}


@pytest.mark.parametrize(("transport", "expected"), [("tcp", ("refused", 503)), ("tls", ("refused", 503)),
                                                     ("udp", ("answered", 200))])  # fmt: skip
def test_a_node_that_came_back_has_lost_its_connections_and_no_datagrams(transport, expected):
    faults = [("crash", "b", 0, REGISTRAR_ONLY), ("restart", "b", 100, REGISTRAR_ONLY)]
    found = outcomes(scenario(faults, transport))
    assert {node: seen[-1] for node, seen in found.items()} == dict.fromkeys("abc", expected)


def test_a_cut_between_the_nodes_leaves_the_node_that_the_phone_is_on():
    found = outcomes(scenario([("drop", "b", 0, {"to": "c", "percent": 100})]))
    assert found == {"a": [], "b": [], "c": [("unanswered", 0)]}


# --- Redis -----------------------------------------------------------------------------------------------------------


def test_without_redis_a_node_says_so_at_once():
    found = outcomes(scenario([("crash", "a", 0, REDIS_ONLY)]))
    assert found == {node: [("refused", 500)] for node in "abc"}


def test_calls_wait_for_a_silent_server_and_fail_when_its_session_is_given_up():
    """The node gives it up 1.5 s after the first command without an answer."""
    wanted = scenario([("pause", "a", 0, REDIS_ONLY)])
    assert outcomes(wanted) == {node: [("refused", 500)] for node in "abc"}
    events = [event for event in World(wanted, SEED).trace().events if event.event == "call-refused"]
    for event in events:
        assert 1.5 <= event.t_us / 1e6 < 1.5 + 0.2 + 0.05
        assert 1.5 - 0.1 <= event.detail_us / 1e6 < 1.5 + 0.2 + 0.05


def test_a_pause_of_the_server_that_nobody_gives_up_fails_no_call():
    faults = [("pause", "a", 0, REDIS_ONLY), ("resume", "a", 1_000, REDIS_ONLY)]
    assert outcomes(scenario(faults)) == {node: [] for node in "abc"}


def test_without_a_time_out_calls_wait_until_the_caller_has_enough():
    wanted = scenario([("pause", "a", 0, REDIS_ONLY)], registrar={"redis_timeout_ms": 0})
    assert outcomes(wanted) == {node: [("unanswered", 0)] for node in "abc"}


def test_an_empty_server_finds_nothing():
    faults = [("crash", "a", 0, REDIS_ONLY), ("restart", "a", 100, REDIS_ONLY)]
    found = outcomes(scenario(faults))
    assert all(seen[-1] == ("refused", 404) for seen in found.values())


def test_nodes_that_wait_on_a_replica_find_what_it_holds():
    hosts = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    wanted = scenario([("crash", "a", 0, REDIS_ONLY)], host=hosts, sentinel={"quorum": 2, "down_after_ms": 60_000})
    assert outcomes(wanted) == {"a": [], "b": [], "c": []}
    world = World(wanted, SEED)
    world.run_until(5_000_000)
    assert [world.state.registrar[host].phase for host in range(3)] == [registrar.ON_REPLICA] * 3


# --- bookkeeping -----------------------------------------------------------------------------------------------------


def test_counts_agree_with_what_was_told():
    """Calls through c fail from 0 to 10 s; those that are still open at the end do not count."""
    wanted = scenario([("vanish", "c", 0, {})])
    run = measure(World(wanted, SEED).trace(), Facts.of(wanted))
    assert run.clients["phone"].failed == (10_000 - TIMEOUT_MS) // PERIOD_MS
    assert run.clients["phone"].calls == 2 * 125 + 25 + (10_000 - TIMEOUT_MS) // PERIOD_MS
    assert run.windows["client:phone"] == []


def test_a_scenario_without_clients_has_no_callers():
    wanted = scenario([("vanish", "c", 0, {})], client=[])
    assert not [event for event in World(wanted, SEED).trace().events if event.actor in ("caller", "ua")]


def test_nothing_of_the_cluster_depends_on_callers():
    """Calls are looked at, not made: twice as many change no other event."""
    faults = [("crash", "a", 0, REDIS_ONLY), ("restart", "a", 100, REDIS_ONLY)]
    once, twice = (
        World(scenario(faults, probe={"call_period_ms": period_ms, "register_period_ms": 200}), SEED).trace()
        for period_ms in (200, 100)
    )
    told = [[event for event in trace.events if event.actor != "caller"] for trace in (once, twice)]
    assert told[0] == told[1]


def test_the_state_of_a_world_says_where_the_phone_is():
    world = World(scenario([]), SEED)
    version = world.state.binding[0]
    assert (version.node, version.life_s) == (1, 3_600)
    assert world.state.process[actor(REGISTRAR, 1)].exists == 1
    assert world.state.process[actor(REDIS, 1)].exists == 0
