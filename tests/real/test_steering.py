"""A path of the explorer on real servers: two sentinels with one configuration epoch."""

from __future__ import annotations

import pytest

from model.scenario import load
from reference_node.lab.replay import iter_replay
from study.steering import Pattern, share
from study.steering.cases import BY_NAME
from study.steering.patterns import two_configurations, two_leaders

SEED = 20_261_126


def test_two_manual_failovers_take_one_epoch_on_real_servers(namespaces: None) -> None:
    """Simulated runs miss it once in 28; two real ones both do once in 800."""
    file = BY_NAME["two_manual_failovers_at_once"].file
    scenario = load(file, ["run.horizon_ms=17000"])
    traces = list(iter_replay(scenario, 2, SEED, parallel=2, isolation="namespaces"))
    usable = [trace for trace in traces if not trace.stalled]
    if not usable:
        pytest.skip(f"both runs stalled: {traces[0].stall_reason}")
    found = share(Pattern((two_leaders(), two_configurations())), usable)
    assert found["k"], f"seed {SEED}: {[event for trace in usable for event in trace.events if event.t_us > 0]}"
