"""Foreign SIP clients do what our client classes say: they find a registrar by SRV, refresh in time, and leave it.

Each test is one run of the experiment ``acceptance``: a client registers for 20 s and refreshes once; then its host
stops serving, in the one way that moves every client. How the clients differ in all other ways is in
``measured.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import EnvironmentLacks
from reference_node.lab import isolation

ROOT = Path(__file__).parents[2]
EXPERIMENTS = Path(__file__).with_name("experiments.py")
SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
GRANTED_S = 20
LAWS_S = {
    "half": 0.5 * GRANTED_S,
    "nine tenths": 0.9 * GRANTED_S,
    "five seconds before": GRANTED_S - 5,
    "at the end": GRANTED_S,
}
"""Instants of a refresh that clients are known to choose; a test tells them apart."""

CLIENTS = {
    "linphone": ("nine tenths", ("udp", "tcp", "tls")),
    "baresip": ("nine tenths", ("udp", "tcp", "tls")),
    "baresip-python": ("nine tenths", ("udp", "tcp", "tls")),
    "pjsua": ("five seconds before", ("tcp", "tls")),  # over UDP it moves at any refresh
    "twinkle": ("five seconds before", ("udp", "tcp")),
}
CASES = [(name, transport) for name, (_, transports) in CLIENTS.items() for transport in transports]

pytestmark = pytest.mark.real


def events_of(client: str, transport: str) -> list[dict]:
    """What the rig sees of a client; skips where there is no such client or no namespaces."""
    try:
        isolation.resolve("namespaces")
    except EnvironmentLacks as error:
        pytest.skip(str(error))
    what = [sys.executable, str(EXPERIMENTS), client, transport, "acceptance"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = isolation.worker_command("namespaces", what)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    about, *events = map(json.loads, done.stdout.splitlines())
    if "missing" in about:
        pytest.skip(about["missing"])
    return events


@pytest.mark.parametrize(("client", "transport"), CASES)
def test_a_client_registers_by_srv_refreshes_in_time_and_leaves_a_host_that_stops_serving(client, transport):
    events = events_of(client, transport)
    registers = [event for event in events if event.get("method") == "REGISTER" and event["copy"] == 0]
    first, second = registers[:2]
    fault = next(event for event in events if event.get("what") == "acceptance")

    looked_up = [event["name"] for event in events if event["event"] == "query" and event["t"] <= first["t"]]
    assert f"{SERVICES[transport]}.example.org" in looked_up
    assert first["transport"] == transport

    assert second["call_id"] == first["call_id"] and second["cseq"] == first["cseq"] + 1
    interval_s = second["t"] - first["t"]
    assert min(LAWS_S, key=lambda law: abs(LAWS_S[law] - interval_s)) == CLIENTS[client][0], interval_s

    assert registers[-1]["answer"] == 200 and registers[-1]["host"] != fault["host"], registers[2:]
