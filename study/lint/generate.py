"""The other way: from a scenario the configuration files that it describes, one folder a host, and a zone file.

The same scenario gives the same bytes, so passwords are not made up here: they come from the caller, who reads them
from a file or draws them. What the scenario leaves open is chosen so that `lint` finds nothing: passwords on servers
and sentinels, a firewall, a short period of questions, kernels that give up soon, durable servers.

Left out: certificates (a private key is nobody's but the host's), TLS to Redis, and Flexisip's settings for anything
but registrations.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.errors import UsageError
from model.scenario import Host, Scenario
from study.lint.rules.flexisip import SHORT_PERIOD_MS
from study.lint.rules.security import REDIS_PORT, SENTINEL_PORT

NAME = "flexi1"
"""Name of the primary at the sentinels. Kind: recommended (deployment guide)."""

SIP_PORT, SIPS_PORT, INTERNAL_PORT = 5060, 5061, 5059
"""Kind: specified (RFC 3261 section 19.1.2), and vendor default of Flexisip's internal transport."""

FIRST_ADDRESS = "192.0.2."
"""Documentation addresses (RFC 5737), where the caller gives none."""

TTL_S = 3_600
"""Kind: recommended (deployment guide)."""

RETRIES, SYN_RETRIES = 5, 1
"""Retransmissions after which a kernel gives up a dead connection (12.6 s) and a connect (3 s), in place of 15 and 6.
Kind: assumed; simulated: nodes follow a vanished primary 16 s after its loss in place of 933."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords of the set."""

    redis: str
    sentinel: str


@dataclass(frozen=True, slots=True)
class _Site:
    scenario: Scenario
    domain: str
    addresses: dict[str, str]
    secrets: Secrets

    @property
    def primary(self) -> str:
        return self.addresses[self.scenario.server.primary]

    @property
    def nodes(self) -> list[Host]:
        return [host for host in self.scenario.host if host.registrar]


def files(
    scenario: Scenario, secrets: Secrets, domain: str = "example.org", addresses: dict[str, str] | None = None
) -> dict[str, str]:
    """Text of every file by its path within the set.

    Parameters
    ----------
    scenario : Scenario
    secrets : Secrets
    domain : str
        The SIP domain.
    addresses : dict or None
        Address by host; None: documentation addresses.

    Raises
    ------
    UsageError
        A host has no address.
    """
    given = addresses or {host.name: f"{FIRST_ADDRESS}{number}" for number, host in enumerate(scenario.host, start=11)}
    missing = [host.name for host in scenario.host if host.name not in given]
    if missing:
        raise UsageError(f"--address: none for {', '.join(missing)}\n\nhint: --address HOST=ADDRESS for each host")
    site = _Site(scenario, domain, given, secrets)
    made: dict[str, str] = {}
    for host in scenario.host:
        if host.redis:
            made[f"{host.name}/redis.conf"] = _redis(site, host)
        if host.sentinel:
            made[f"{host.name}/sentinel.conf"] = _sentinel(site, host)
        if host.registrar:
            made[f"{host.name}/flexisip.conf"] = _flexisip(site, host)
            made[f"{host.name}/90-hastudy.sysctl.conf"] = _sysctl(site)
        made[f"{host.name}/nftables.conf"] = _nftables(site, host)
        made[f"{host.name}/chrony.conf"] = _CHRONY
    if site.nodes:
        made[f"{domain}.zone"] = _zone(site)
    return made


def _redis(site: _Site, host: Host) -> str:
    server = site.scenario.server
    lines = [
        f"# Redis of {host.name}: /etc/redis/redis.conf",
        f"bind {site.addresses[host.name]}",
        f"port {REDIS_PORT}",
        f"replica-announce-ip {site.addresses[host.name]}",
        "protected-mode yes",
        f"requirepass {site.secrets.redis}",
        f"masterauth {site.secrets.redis}",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        "notify-keyspace-events Ex",
        f"replica-priority {host.replica_priority}",
        f"repl-timeout {server.repl_timeout_s}",
        f"repl-diskless-sync-delay {server.diskless_sync_delay_ms // 1_000}",
        f"min-replicas-to-write {server.min_replicas_to_write}",
        f"min-replicas-max-lag {server.min_replicas_max_lag_s}",
    ]
    if host.name != server.primary:
        lines.append(f"replicaof {site.primary} {REDIS_PORT}")
    return _lines(lines)


def _sentinel(site: _Site, host: Host) -> str:
    sentinel = site.scenario.sentinel
    lines = [
        f"# Sentinel of {host.name}: /etc/redis/sentinel.conf, writable for Redis, in a folder that it may write to",
        f"port {SENTINEL_PORT}",
        "protected-mode no",
        f"requirepass {site.secrets.sentinel}",
        f"sentinel announce-ip {site.addresses[host.name]}",
        f"sentinel sentinel-pass {site.secrets.sentinel}",
        f"sentinel monitor {NAME} {site.primary} {REDIS_PORT} {sentinel.quorum}",
        f"sentinel auth-pass {NAME} {site.secrets.redis}",
        f"sentinel down-after-milliseconds {NAME} {sentinel.down_after_ms}",
        f"sentinel failover-timeout {NAME} {sentinel.failover_timeout_ms}",
        f"sentinel parallel-syncs {NAME} {sentinel.parallel_syncs}",
        "sentinel deny-scripts-reconfig yes",
    ]
    return _lines(lines)


def _flexisip(site: _Site, host: Host) -> str:
    name, address = f"{host.name}.{site.domain}", site.addresses[host.name]
    period_s = (site.scenario.registrar.info_period_ms or SHORT_PERIOD_MS) // 1_000
    lines = [
        f"# Flexisip of {host.name}: /etc/flexisip/flexisip.conf",
        "[global]",
        f"transports=sip:{name}:{SIP_PORT};maddr={address} sips:{name}:{SIPS_PORT};maddr={address}",
        f"aliases={site.domain}",
        "",
        "[module::Registrar]",
        "enabled=true",
        f"reg-domains={site.domain}",
        "db-implementation=redis",
        f"redis-server-domain={address if host.redis else site.primary}",
        f"redis-server-port={REDIS_PORT}",
        f"redis-auth-password={site.secrets.redis}",
        f"redis-slave-check-period={max(1, period_s)}",
        "redis-use-slaves-as-backup=true",
        "",
        "[cluster]",
        "enabled=true",
        f"nodes={' '.join(site.addresses[each.name] for each in site.nodes)}",
        f"internal-transport=sip:{address}:{INTERNAL_PORT};transport=tcp",
    ]
    return _lines(lines)


def _sysctl(site: _Site) -> str:
    network = site.scenario.network
    is_default = network.tcp_retries2 == 15
    retries = RETRIES if is_default else network.tcp_retries2
    syn_retries = SYN_RETRIES if is_default else network.tcp_syn_retries
    return _lines([
        "# /etc/sysctl.d: a Redis host that vanished is given up after seconds, not after a quarter of an hour",
        f"net.ipv4.tcp_retries2 = {retries}",
        f"net.ipv4.tcp_syn_retries = {syn_retries}",
    ])  # fmt: skip


def _nftables(site: _Site, host: Host) -> str:
    others = ", ".join(site.addresses[each.name] for each in site.scenario.host)
    inside = ", ".join(str(port) for port in (REDIS_PORT, SENTINEL_PORT, INTERNAL_PORT))
    phones = f"        tcp dport {{ {SIP_PORT}, {SIPS_PORT} }} accept\n        udp dport {SIP_PORT} accept\n"
    return (
        f"# Firewall of {host.name}: /etc/nftables.conf\n"
        "table inet hastudy {\n"
        "    chain input {\n"
        "        type filter hook input priority filter; policy drop;\n"
        "        iif lo accept\n"
        "        ct state established,related accept\n"
        "        meta l4proto { icmp, ipv6-icmp } accept\n"
        "        tcp dport 22 accept\n"
        f"        ip saddr {{ {others} }} tcp dport {{ {inside} }} accept\n"
        f"{phones if host.registrar else ''}"
        "    }\n"
        "}\n"
    )


_CHRONY = """# /etc/chrony/chrony.conf; look at `chronyc tracking`
pool 2.debian.pool.ntp.org iburst
makestep 1.0 3
rtcsync
"""


def _zone(site: _Site) -> str:
    lines = [
        f"$ORIGIN {site.domain}.",
        f"$TTL {TTL_S}",
        f"@ IN SOA ns.{site.domain}. hostmaster.{site.domain}. 1 7200 900 1209600 300",
        f"@ IN NS ns.{site.domain}.",
        f"ns IN A {site.addresses[site.nodes[0].name]}",
        *(f"{host.name} IN A {site.addresses[host.name]}" for host in site.scenario.host),
    ]
    for service, port in (("_sip._udp", SIP_PORT), ("_sip._tcp", SIP_PORT), ("_sips._tcp", SIPS_PORT)):
        lines += [
            f"{service} IN SRV {host.srv_priority} {host.srv_weight} {port} {host.name}.{site.domain}."
            for host in site.nodes
        ]
    return _lines(lines)


def _lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
