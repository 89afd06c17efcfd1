"""The two engines run the same source: same scenario, seed and run number give the same trace, event by event."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from model.scenario import PAIRS, Scenario, load, parse
from sim import simulate

HOST_LOSS = "scenarios/host_loss/primary_host_vanishes.toml"


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any legal scenario of up to five hosts, with up to three faults and what undoes them."""
    names = [f"host{number}" for number in range(1, 1 + draw(st.integers(2, 5)))]
    hosts = [{"name": name, "redis": True, "sentinel": True, "registrar": draw(st.booleans())} for name in names]
    faults = []
    for at_ms in [0, *draw(st.lists(st.integers(0, 6_000), max_size=2))]:
        kind = draw(st.sampled_from(sorted(PAIRS)))
        entry = {"kind": kind, "host": draw(st.sampled_from(names)), "at_ms": at_ms}
        if kind in ("crash", "pause"):
            entry["process"] = draw(st.sampled_from(["all", "redis", "sentinel"]))
        undo = {**entry, "kind": PAIRS[kind], "at_ms": at_ms + draw(st.integers(1, 9_000))}
        faults += [entry, undo] if draw(st.booleans()) else [entry]
    data = {
        "schema": 1,
        "name": "drawn",
        "question": "do the engines agree?",
        "host": hosts,
        "fault": faults,
        "server": {"diskless_sync_delay_ms": draw(st.sampled_from([0, 1_000, 5_000]))},
        "sentinel": {
            "quorum": draw(st.integers(1, len(names))),
            "down_after_ms": draw(st.integers(200, 3_000)),
            "failover_timeout_ms": draw(st.integers(500, 6_000)),
            "parallel_syncs": draw(st.integers(1, 3)),
            "flush_us": draw(st.sampled_from([0, 500, 20_000])),
        },
        "network": {"delay_us": draw(st.sampled_from([1, 60, 5_000, 30_000]))},
        "run": {"horizon_ms": 16_000},
    }
    return parse(_toml(data))


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


def test_number_of_workers_does_not_matter() -> None:
    scenario = load(HOST_LOSS, ["run.horizon_ms=12500", "fault.1.at_ms=12000"])
    assert simulate(scenario, 520, 3, jobs=1) == simulate(scenario, 520, 3, jobs=2)


def test_another_seed_or_run_gives_another_trace() -> None:
    scenario = load(HOST_LOSS)
    first, second = simulate(scenario, 2, 1, jobs=1)
    (other,) = simulate(scenario, 1, 2, jobs=1)
    assert first.events != second.events
    assert first.events != other.events
