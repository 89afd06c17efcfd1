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

from model.scenario import Scenario
from reference_node.lab.network import Network

MASTER_NAME = "hastudy"
"""Name under which the sentinels watch the primary. Kind: assumed."""

REDIS_PORT, SENTINEL_PORT, SIP_PORT = 6379, 26379, 5060
"""Ports. Kind: vendor default, vendor default, specified (RFC 3261 section 19.1.2)."""

SIP_DOMAIN = "example.org"
"""Domain that the registrar nodes serve. Kind: specified (reserved for examples, RFC 2606)."""


def redis_conf(scenario: Scenario, network: Network, host: str) -> str:
    """Text of ``redis.conf`` for one host; the initial primary has no ``replicaof``."""
    section = scenario.server
    lines = [
        f"port {REDIS_PORT}",
        f"requirepass {section.password}",
        f"masterauth {section.password}",
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
        f"sentinel monitor {MASTER_NAME} {primary} {REDIS_PORT} {section.quorum}",
        f"sentinel down-after-milliseconds {MASTER_NAME} {section.down_after_ms}",
        f"sentinel failover-timeout {MASTER_NAME} {section.failover_timeout_ms}",
        f"sentinel parallel-syncs {MASTER_NAME} {section.parallel_syncs}",
        *(
            [f"sentinel master-reboot-down-after-period {MASTER_NAME} {section.reboot_down_after_ms}"]
            if section.reboot_down_after_ms
            else []
        ),
        f"sentinel auth-pass {MASTER_NAME} {scenario.server.password}",
    ]
    own = network.bind_address(host)
    if own:
        lines += [f"bind {own}", f"sentinel announce-ip {own}"]
    return "\n".join(lines) + "\n"


def node_json(scenario: Scenario, network: Network, host: str, log: str, seed: int) -> str:
    """Configuration of the registrar node of one host."""
    servers = [
        {"host": each.name, "ip": network.address(each.name), "port": REDIS_PORT} if each.redis else None
        for each in scenario.host
    ]
    return json.dumps(
        {
            "host": host,
            "host_index": scenario.host_names.index(host),
            "sip": {"ip": network.client_address(host), "port": SIP_PORT},
            "servers": servers,
            "first_server": scenario.host_names.index(scenario.server.primary),
            "password": scenario.server.password,
            "domain": SIP_DOMAIN,
            "registrar": scenario.registrar.model_dump(mode="json"),
            "log": log,
            "seed": seed,
        }
    )
