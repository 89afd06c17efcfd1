"""What wrong clocks do to calls through real nodes and real Redis servers, against the law of docs/clocks.md.

Needs a redis-server, a C compiler and namespaces.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.measures import Facts, measure
from model.scenario import load
from reference_node.lab import servers
from reference_node.lab.replay import replay

CLOCKS = Path(__file__).parents[2] / "scenarios/clocks"
SEED = 8
ALWAYS_S = 54.0
"""The runs last one refresh period of the phone."""
GAP_S = 34.5
"""54 - (60 - 40) s, and half a second that EXPIREAT drops on average."""
TOLERANCE_S = 1.5
"""The other half of that second, a call period (0.5 s) at each end, and a machine that is busy with other things."""

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.usefixtures("clock_lab")]


@pytest.mark.parametrize(
    ("name", "blind_s"),
    [
        ("calls_primary_ahead_by_40s", {"host1": GAP_S, "host2": GAP_S, "host3": GAP_S}),
        ("calls_primary_ahead_by_100s", {"host1": ALWAYS_S, "host2": ALWAYS_S, "host3": ALWAYS_S}),
        ("calls_node_ahead_by_40s", {"host1": 0, "host2": 0, "host3": GAP_S}),
        ("calls_expire_in_place_of_expireat", {"host1": ALWAYS_S, "host2": 0, "host3": 0}),
    ],
)
def test_real_nodes_answer_404_for_as_long_as_the_law_says(name: str, blind_s: dict[str, float]) -> None:
    scenario = load(CLOCKS / f"{name}.toml")
    (trace,) = replay(scenario, 1, SEED, server=str(servers.choose().path))
    seen = measure(trace, Facts.of(scenario)).clients["phone"]
    said = f"seed {SEED}, stalled {trace.stalled} {trace.stall_reason}: {seen}"
    assert set(seen.blind) == set(blind_s), said
    for host, expected_s in blind_s.items():
        assert seen.blind[host] / 1e6 == pytest.approx(expected_s, abs=TOLERANCE_S), said
