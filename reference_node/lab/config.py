"""The configuration files of a run, as the deployment guide has them.

What differs from the guide and why:

* no ``bind`` in ``sentinel.conf`` unless hosts share an address space: Sentinel 6.2 takes the first bind address as
  source of its own connections, and with ``*`` reaches nobody;
* ``parallel-syncs``, ``replica-priority`` and the pause before a full resync come from the scenario; the resync goes
  without a file whatever the server's version, which is the default only from 7.0 on;
* on loopback addresses, programs announce theirs: the kernel may choose another source address;
* replication time-out and the replicas that a write needs come from the scenario.

Everything that the guide does not mention keeps the server's own default. Save points are among that: a server without
any never turns to MISCONF, and that they hardly ever come due within a run is no reason to take them away. What a
restarted server loads does not depend on them, see `snapshots`.
"""

from __future__ import annotations

import json
import random

from model.scenario import Scenario
from reference_node.lab.network import Network

MASTER_NAME = "hastudy"
"""Name under which the sentinels watch the primary. Kind: assumed."""

REDIS_PORT, SENTINEL_PORT, SIP_PORT, TLS_PORT = 6379, 26379, 5060, 5061
"""Ports. Kind: vendor default, vendor default, specified, specified (RFC 3261 section 19.1.2)."""

NODE_AGE_US = 3_600_000_000
"""Nodes behave as if they had been started within this time before, lest the rhythm of their questions start with the
run: it is a minute in Flexisip. Kind: assumed."""

INTERNAL_PORT = 5059
"""Where nodes listen for each other. Kind: vendor default (Flexisip, internal-transport)."""

_OPEN_TO_ALL = ["protected-mode no"]
"""Without a password a server would serve its own host only. Kind: specified (redis.conf)."""

SIP_DOMAIN = "example.org"
"""Domain that the registrar nodes serve. Kind: specified (reserved for examples, RFC 2606)."""


def full_name(host: str) -> str:
    """Name of a host in the DNS."""
    return f"{host}.{SIP_DOMAIN}"


def redis_conf(scenario: Scenario, network: Network, host: str) -> str:
    """Text of ``redis.conf`` for one host; the initial primary has no ``replicaof``."""
    section = scenario.server
    lines = [
        f"port {REDIS_PORT}",
        *([f"requirepass {section.password}", f"masterauth {section.password}"] if section.password else _OPEN_TO_ALL),
        f"replica-priority {scenario.host[scenario.host_names.index(host)].replica_priority}",
    ]
    delay_s = -(-section.diskless_sync_delay_ms // 1000)
    lines += ["repl-diskless-sync yes", f"repl-diskless-sync-delay {delay_s}"]
    lines += [
        f"repl-timeout {section.repl_timeout_s}",
        f"min-replicas-to-write {section.min_replicas_to_write}",
        f"min-replicas-max-lag {section.min_replicas_max_lag_s}",
    ]
    if host != section.primary:
        lines.append(f"replicaof {network.address(section.primary)} {REDIS_PORT}")
    own = network.bind_address(host)
    if own:
        lines += [f"bind {own}", f"replica-announce-ip {own}"]
    return "\n".join(lines) + "\n"


def sentinel_conf(scenario: Scenario, network: Network, host: str) -> str:
    """Text of ``sentinel.conf`` for one host, before the sentinel rewrites it."""
    section = scenario.sentinel
    primary = network.address(scenario.server.primary)
    lines = [
        f"port {SENTINEL_PORT}",
        "protected-mode no",
        *([f"requirepass {section.password}"] if section.password else []),
        f"sentinel monitor {MASTER_NAME} {primary} {REDIS_PORT} {section.quorum}",
        f"sentinel down-after-milliseconds {MASTER_NAME} {section.down_after_ms}",
        f"sentinel failover-timeout {MASTER_NAME} {section.failover_timeout_ms}",
        f"sentinel parallel-syncs {MASTER_NAME} {section.parallel_syncs}",
        *(
            [f"sentinel master-reboot-down-after-period {MASTER_NAME} {section.reboot_down_after_ms}"]
            if section.reboot_down_after_ms
            else []
        ),
        *([f"sentinel auth-pass {MASTER_NAME} {scenario.server.password}"] if scenario.server.password else []),
    ]
    own = network.bind_address(host)
    if own:
        lines += [f"bind {own}", f"sentinel announce-ip {own}"]
    return "\n".join(lines) + "\n"


def node_json(scenario: Scenario, network: Network, host: str, log: str, seed: int, certificate: str) -> str:
    """Configuration of the registrar node of one host.

    Parameters
    ----------
    scenario : Scenario
    network : Network
    host, log : str
    seed : int
    certificate : str
        File with its private key and certificate, if the node is to serve clients and not only probers.
    """
    servers = [
        {"host": each.name, "ip": network.address(each.name), "port": REDIS_PORT} if each.redis else None
        for each in scenario.host
    ]
    return json.dumps(
        {
            "host": host,
            "host_index": scenario.host_names.index(host),
            **(_sip_of_a_cluster(scenario, network, host, certificate) if certificate else _sip(network, host)),
            "servers": servers,
            "first_server": scenario.host_names.index(scenario.server.primary),
            "sentinels": [
                {"host": each.name, "ip": network.address(each.name), "port": SENTINEL_PORT} if each.sentinel else None
                for each in scenario.host
            ],
            "group": MASTER_NAME,
            "age_us": random.Random(f"age {seed}").randrange(NODE_AGE_US),
            "password": scenario.server.password,
            "domain": SIP_DOMAIN,
            "registrar": scenario.registrar.model_dump(mode="json"),
            "log": log,
            "seed": seed,
        }
    )


def hosts_file(scenario: Scenario, network: Network) -> str:
    """Text of a hosts(5) file with which nodes find each other by name."""
    lines = [f"{network.client_address(host)} {full_name(host)}" for host in scenario.host_names]
    return "\n".join(["127.0.0.1 localhost", *lines]) + "\n"


def _sip(network: Network, host: str) -> dict:
    """A node for probers alone."""
    return {"sip": {"ip": network.client_address(host), "port": SIP_PORT}}


def _sip_of_a_cluster(scenario: Scenario, network: Network, host: str, certificate: str) -> dict:
    """A node for clients: on all transports under its name, and with an internal transport on the cluster network."""
    ip = network.client_address(host)
    name = full_name(host) if network.isolation == "namespaces" else ip  # where others would not find the name
    transports = [f"sip:{name}:{SIP_PORT};maddr={ip}", f"sips:{name}:{TLS_PORT};maddr={ip}"]
    nodes = [network.address(each.name) for each in scenario.host if each.registrar]
    internal = f"sip:{network.address(host)}:{INTERNAL_PORT};transport=tcp"
    return {
        "transports": transports,
        "tls": {"certificate": certificate},
        "cluster": {"enabled": True, "nodes": nodes, "internal_transport": internal},
    }
