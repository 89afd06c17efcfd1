"""The two engines run the same source: same scenario, seed and run number give the same trace, event by event."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from model.client_classes import CLASSES, ClassName
from model.policies import PolicyName
from model.scenario import (
    DNS,
    LEADER,
    MAX_HOSTS,
    NAMES_PROMOTED,
    PAIRS,
    PROMOTED,
    Certificate,
    FaultKind,
    Scenario,
    Trigger,
    load,
    parse,
)
from model.scenario.faults import FORGES
from model.versions import Version
from sim import simulate

HOST_LOSS = "scenarios/host_loss/primary_host_vanishes.toml"


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any legal scenario of up to seven hosts: links, clocks, versions, clients, up to four faults with their ends."""
    names = [f"host{number}" for number in range(1, 1 + draw(st.integers(2, MAX_HOSTS)))]
    hosts = [_host(draw, name) for name in names]
    nodes = [host["name"] for host in hosts if host["registrar"]]
    clients = [_client(draw, number, nodes) for number in range(draw(st.integers(0, 4)) if nodes else 0)]
    faults = []
    for at_ms in [0, *draw(st.lists(st.integers(0, 6_000), max_size=3))]:
        entry = _fault(draw, names, nodes, at_ms)
        faults.append(entry)
        undo = PAIRS.get(entry["kind"])
        if undo and draw(st.booleans()):
            kept = {key: value for key, value in entry.items() if key in ("host", "process", "to", "after")}
            later_ms = entry["at_ms"] + draw(st.integers(1, 9_000))
            has_no_data = entry.get("process") in ("sentinel", "registrar")
            amounts = {} if has_no_data else _amounts(draw, undo)
            faults.append({**kept, **amounts, "kind": undo, "at_ms": later_ms})
    data = {
        "schema": 1,
        "name": "drawn",
        "question": "do the engines agree?",
        "host": hosts,
        "link": [_link(draw, names) for _ in range(draw(st.integers(0, 3)))],
        "client": clients,
        "dns": {"ttl_s": draw(st.sampled_from([0, 4, 3_600])), "negative_ttl_s": draw(st.sampled_from([0, 5]))},
        "registrar": {
            "policy": draw(st.sampled_from(get_args(PolicyName))),
            "redis_timeout_ms": draw(st.sampled_from([0, 300, 1_500])),
            "info_period_ms": draw(st.sampled_from([2_000, 60_000])),
            "retry_pause_ms": draw(st.sampled_from([200, 1_000])),  # without one, refusals come in tens of thousands
            "tcp_keepalive_s": draw(st.sampled_from([0, 1])),
            "tcp_user_timeout_ms": draw(st.sampled_from([0, 900])),
            "follow_sentinel": draw(st.booleans()),
            "unavailable_status": draw(st.sampled_from([500, 503])),
            "retry_after_s": draw(st.sampled_from([0, 2])),
            "pong_while_unavailable": draw(st.booleans()),
        },
        "fault": faults,
        "server": {
            "version": draw(st.sampled_from(get_args(Version))),
            "diskless_sync_delay_ms": draw(st.sampled_from([0, 1_000, 5_000])),
            "password": draw(st.sampled_from(["known", "known", ""])),
            "min_replicas_to_write": draw(st.integers(0, 2)),
            "min_replicas_max_lag_s": draw(st.integers(1, 3)),
            "repl_timeout_s": draw(st.sampled_from([2, 60])),
        },
        "sentinel": {
            "quorum": draw(st.integers(1, len(names))),
            "down_after_ms": draw(st.integers(200, 3_000)),
            "failover_timeout_ms": draw(st.integers(500, 6_000)),
            "parallel_syncs": draw(st.integers(1, 3)),
            "password": draw(st.sampled_from(["", "", "known"])),
            "flush_us": draw(st.sampled_from([0, 500, 20_000])),
        },
        "network": {
            "delay_us": draw(st.sampled_from([1, 60, 5_000, 30_000])),
            "tcp_retries2": draw(st.sampled_from([3, 15])),
            "tcp_syn_retries": draw(st.sampled_from([1, 6])),
        },
        "probe": {
            "expiry_s": draw(st.sampled_from([0, 3, 8])),
            "expiry_refresh_s": 3,
            "expiry_form": draw(st.sampled_from(["expireat", "expire"])),
        },
        "run": {"horizon_ms": 16_000},
    }
    return parse(_toml(data))


def _host(draw: st.DrawFn, name: str) -> dict:
    return {
        "name": name,
        "registrar": draw(st.booleans()),
        "clock_offset_ms": draw(st.sampled_from([0, 0, 999, 4_000, -86_400_000])),
        "clock_drift_ppm": draw(st.sampled_from([0, 0, 50, -100_000])),
        "certificate": draw(st.sampled_from(["domain", "host-and-domain", *get_args(Certificate)])),
        "srv_priority": draw(st.sampled_from([0, 0, 1])),
        "srv_weight": draw(st.sampled_from([0, 10, 100])),
    }


def _client(draw: st.DrawFn, number: int, nodes: list[str]) -> dict:
    class_ = draw(st.sampled_from(get_args(ClassName)))
    return {
        "name": f"phone{number}",
        "class": class_,
        "transport": draw(st.sampled_from(CLASSES[class_].transports)),
        "expires_s": draw(st.sampled_from([10, 15, 3_600])),
        "starts_on": draw(st.sampled_from(["", *nodes])),
    }


def _link(draw: st.DrawFn, names: list[str]) -> dict:
    sender = draw(st.sampled_from(["*", *names]))
    to = _receiver(draw, names, sender)
    return {"from": sender, "to": to, **_shape(draw), "loss_percent": draw(st.sampled_from([0, 2, 30]))}


def _receiver(draw: st.DrawFn, names: list[str], sender: str) -> str:
    return draw(st.sampled_from(["*", *(name for name in names if name != sender)]))


def _shape(draw: st.DrawFn) -> dict:
    return {
        "delay_us": draw(st.sampled_from([60, 2_000, 30_000])),
        "jitter_us": draw(st.sampled_from([0, 700, 50_000])),
    }


def _fault(draw: st.DrawFn, names: list[str], nodes: list[str], at_ms: int) -> dict:
    """A fault that begins something; all but the first may wait for an event."""
    kinds = set(get_args(FaultKind)) - set(PAIRS.values()) - ({"dns-remove"} if not nodes else set())
    kind = draw(st.sampled_from(sorted(kinds)))
    if kind in ("dns-stop", "dns-remove"):
        return {"kind": kind, "host": DNS if kind == "dns-stop" else draw(st.sampled_from(nodes)), "at_ms": at_ms}
    entry = {"kind": kind, "host": draw(st.sampled_from(names)), "at_ms": at_ms, **_amounts(draw, kind)}
    if at_ms > 0:
        entry["after"] = draw(st.sampled_from(["", *get_args(Trigger)]))
    if entry.get("after"):
        found = [LEADER, PROMOTED] if entry["after"] in NAMES_PROMOTED else [LEADER]
        entry["host"] = draw(st.sampled_from([*found, *names]))
        entry["at_ms"] = draw(st.sampled_from([0, 100, 2_000]))
    if kind in ("crash", "pause"):
        runs = ["registrar"] if entry["host"] in nodes else []
        entry["process"] = draw(st.sampled_from(["all", "redis", "sentinel", *runs]))
    if kind in FORGES:
        entry["to"] = draw(st.sampled_from([name for name in names if name != entry["host"]]))
        entry["process"] = draw(st.sampled_from(["all", *(["redis"] if kind == "forge-hello" else [])]))
    if kind in ("drop", "delay"):
        entry["to"] = _receiver(draw, names, entry["host"])
    return entry


def _amounts(draw: st.DrawFn, kind: str) -> dict:
    """The keys that only this kind of fault has."""
    amounts = {
        "restart": {"data": st.sampled_from(["empty", "old"]), "load_ms": st.sampled_from([0, 1_500])},
        "partition": {"side": st.integers(1, 3)},
        "drop": {"percent": st.sampled_from([10, 50, 100])},
        "step": {"step_ms": st.sampled_from([-86_400_000, -3_000, 1_500, 60_000])},
        "drift": {"drift_ppm": st.sampled_from([-100_000, 20, 100_000])},
        "slow-disk": {"flush_ms": st.sampled_from([20, 2_500])},
        "busy": {"busy_ms": st.sampled_from([300, 4_000, 12_000])},
    }.get(kind, {})
    drawn = {key: draw(values) for key, values in amounts.items()}
    return {**drawn, **_shape(draw)} if kind == "delay" else drawn


def _toml(data: dict) -> str:
    """Just enough TOML for a scenario: JSON's values are TOML's, tables need heads."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in data.items() if not isinstance(value, (dict, list))]
    for key, value in data.items():
        for table in value if isinstance(value, list) else [value] if isinstance(value, dict) else []:
            lines.append(f"[[{key}]]" if isinstance(value, list) else f"[{key}]")
            lines += [f"{inner} = {json.dumps(entry)}" for inner, entry in table.items()]
    return "\n".join(lines)


@given(scenario=scenarios(), seed=st.integers(0, 2**62))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
def test_same_seed_gives_same_trace_in_world_and_batch(scenario: Scenario, seed: int) -> None:
    note(f"seed {seed}, scenario {json.dumps(scenario.canonical())}")
    (compiled,) = simulate(scenario, 1, seed, engine="batch", jobs=1)
    (interpreted,) = simulate(scenario, 1, seed, engine="world", jobs=1)
    assert compiled.events == interpreted.events


@pytest.mark.parametrize("name", ["primary_host_vanishes", "primary_process_crashes", "primary_process_freezes"])
def test_host_loss_scenarios_agree(name: str) -> None:
    scenario = load(f"scenarios/host_loss/{name}.toml")
    assert simulate(scenario, 2, 7, "batch", 1) == simulate(scenario, 2, 7, "world", 1)


@pytest.mark.parametrize("name", ["forged_hello", "forged_hello_through_redis", "forged_votes"])
def test_forged_messages_agree(name: str) -> None:
    scenario = load(f"scenarios/security/{name}.toml")
    traces = simulate(scenario, 2, 7, "batch", 1)
    assert traces == simulate(scenario, 2, 7, "world", 1)
    assert all(any(each.event == "+vote-for-leader" for each in trace.events) for trace in traces)


def test_engines_agree_where_nothing_pauses() -> None:
    scenario = load("scenarios/registrar/tight_loop.toml", ["run.horizon_ms=1500"])
    assert simulate(scenario, 1, 7, "batch", 1) == simulate(scenario, 1, 7, "world", 1)


def test_engines_agree_on_a_start_from_told_phases() -> None:
    told = {"host": "host2", "kind": "server", "about": "host1", "t_us": -40_000, "pong_age_us": 300_000,
            "ok_age_us": 300_000, "ping_pending_us": 0, "info_age_us": 2_000_000}  # fmt: skip
    scenario = load(HOST_LOSS, ["run.horizon_ms=13000", "fault.1.at_ms=12000"])
    assert simulate(scenario, 2, 7, "batch", 1, phases=[told]) == simulate(scenario, 2, 7, "world", 1, phases=[told])


def test_number_of_workers_does_not_matter() -> None:
    scenario = load(HOST_LOSS, ["run.horizon_ms=12500", "fault.1.at_ms=12000"])
    assert simulate(scenario, 520, 3, jobs=1) == simulate(scenario, 520, 3, jobs=2)


def test_another_seed_or_run_gives_another_trace() -> None:
    scenario = load(HOST_LOSS)
    first, second = simulate(scenario, 2, 1, jobs=1)
    (other,) = simulate(scenario, 1, 2, jobs=1)
    assert first.events != second.events
    assert first.events != other.events
