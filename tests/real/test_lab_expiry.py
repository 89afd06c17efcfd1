"""How long real servers with a wrong clock do not find a live binding, against the simulated ones.

Needs a redis-server, a C compiler and namespaces.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.measures import Facts, RunMeasures, measure
from model.scenario import load
from reference_node.lab import servers
from reference_node.lab.replay import replay
from sim import simulate

ROOT = Path(__file__).parents[2]
SEED = 8
SHORT = ("probe.expiry_s=10", "probe.expiry_refresh_s=8", "host.1.clock_offset_ms=5000", "run.horizon_ms=9000")
"""host2 is 5 s ahead and is promoted; written at -2.5 s and at 5.5 s."""
TOLERANCE_S = 0.75
"""For the instant of the promotion, and a machine that is busy with other things."""

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.usefixtures("clock_lab")]


@pytest.mark.parametrize("form", ["expireat", "expire"])
def test_servers_are_blind_for_as_long_as_simulated_ones(form: str) -> None:
    server = servers.choose()
    assert server.family, f"{server.flavour} {server.version} is of no family that is modelled"
    path = ROOT / "scenarios/clocks/expiry_time_to_live_6_2.toml"
    scenario = load(path, [*SHORT, f"probe.expiry_form={form}"]).on_version(server.family)
    facts = Facts.of(scenario)
    simulated = [measure(trace, facts) for trace in simulate(scenario, 12, SEED, engine="world", jobs=1)]
    (trace,) = replay(scenario, 1, SEED, server=str(server.path))
    real = measure(trace, facts)
    said = f"{server.version}, seed {SEED}, stalled {trace.stalled}: real {real.blind}"
    assert real.promoted == "host2", said
    assert set(real.blind) == {"host1", "host2", "host3"}, said
    for host in real.blind:
        low, high = _range_s(simulated, host)
        assert low - TOLERANCE_S <= real.blind[host] / 1e6 <= high + TOLERANCE_S, f"{said}, {host}: {low} to {high}"
    if server.family == "6.2" and form == "expire":
        assert not any(real.blind.values()), said


def _range_s(runs: list[RunMeasures], host: str) -> tuple[float, float]:
    found = [run.blind[host] / 1e6 for run in runs if run.promoted == "host2"]
    return min(found), max(found)
