"""The other way: from a scenario the configuration files that it describes, one folder a host, and a zone file.

The same scenario gives the same bytes, so passwords are not made up here: they come from the caller, who reads them
from a file or draws them. What the scenario leaves open is chosen so that `lint` finds nothing: passwords on servers
and sentinels, a firewall, a short period of questions, kernels that give up soon, durable servers.

Left out: certificates (a private key is nobody's but the host's), TLS to Redis, and Flexisip's settings for anything
but registrations.
"""

from __future__ import annotations

import re
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

LINUX_RETRIES, LINUX_SYN_RETRIES = 15, 6
"""What a scenario has that does not say. Kind: vendor default."""

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

    def sip(self, host: Host) -> str:
        """Its address as a SIP URI has it."""
        address = self.addresses[host.name]
        return f"[{address}]" if ":" in address else address

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
        A host has no address, or that of another; no domain; two families of addresses.
    """
    given = addresses or {host.name: f"{FIRST_ADDRESS}{number}" for number, host in enumerate(scenario.host, start=11)}
    _check(scenario, domain, given)
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


def _check(scenario: Scenario, domain: str, addresses: dict[str, str]) -> None:
    names = scenario.host_names
    if missing := [name for name in names if name not in addresses]:
        raise UsageError(f"--address: none for {', '.join(missing)}\n\nhint: --address HOST=ADDRESS for each host")
    if unknown := [name for name in addresses if name not in names]:
        raise UsageError(f"--address: no host is called {', '.join(unknown)}\n  allowed: {', '.join(names)}\n\n"
                         "hint: names are those of the scenario")  # fmt: skip
    if len(set(addresses.values())) < len(addresses) or len({":" in each for each in addresses.values()}) > 1:
        raise UsageError("--address: two hosts with one address, or addresses of IPv4 and of IPv6\n\n"
                         "hint: an address of its own for each host, all of one kind")  # fmt: skip
    if not re.fullmatch(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*", domain):
        raise UsageError(f"--domain is {domain!r}\n  allowed: labels of a-z, 0-9 and hyphens, dots between them\n\n"
                         "hint: for example --domain example.org")  # fmt: skip


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
        f"repl-diskless-sync-delay {_whole_seconds(server.diskless_sync_delay_ms)}",
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
    if sentinel.reboot_down_after_ms:
        lines.append(f"sentinel master-reboot-down-after-period {NAME} {sentinel.reboot_down_after_ms}")
    return _lines(lines)


def _flexisip(site: _Site, host: Host) -> str:
    name, address, sip = f"{host.name}.{site.domain}", site.addresses[host.name], site.sip(host)
    period_ms = site.scenario.registrar.info_period_ms or SHORT_PERIOD_MS
    lines = [
        f"# Flexisip of {host.name}: /etc/flexisip/flexisip.conf",
        "[global]",
        f"transports=sip:{name}:{SIP_PORT};maddr={sip} sips:{name}:{SIPS_PORT};maddr={sip}",
        f"aliases={site.domain}",
        "",
        "[module::Registrar]",
        "enabled=true",
        f"reg-domains={site.domain}",
        "db-implementation=redis",
        f"redis-server-domain={address if host.redis else site.primary}",
        f"redis-server-port={REDIS_PORT}",
        f"redis-auth-password={site.secrets.redis}",
        f"redis-slave-check-period={_whole_seconds(period_ms)}",
        "redis-use-slaves-as-backup=true",
        "",
        "[cluster]",
        "enabled=true",
        f"nodes={' '.join(site.addresses[each.name] for each in site.nodes)}",
        f"internal-transport=sip:{sip}:{INTERNAL_PORT};transport=tcp",
    ]
    return _lines(lines)


def _sysctl(site: _Site) -> str:
    network = site.scenario.network
    retries = RETRIES if network.tcp_retries2 == LINUX_RETRIES else network.tcp_retries2
    syn_retries = SYN_RETRIES if network.tcp_syn_retries == LINUX_SYN_RETRIES else network.tcp_syn_retries
    return _lines([
        "# /etc/sysctl.d: a Redis host that vanished is given up after seconds, not after a quarter of an hour",
        f"net.ipv4.tcp_retries2 = {retries}",
        f"net.ipv4.tcp_syn_retries = {syn_retries}",
    ])  # fmt: skip


def _nftables(site: _Site, host: Host) -> str:
    family = "ip6" if ":" in site.primary else "ip"
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
        f"        {family} saddr {{ {others} }} tcp dport {{ {inside} }} accept\n"
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
    kind = "AAAA" if ":" in site.primary else "A"
    lines = [
        f"$ORIGIN {site.domain}.",
        f"$TTL {TTL_S}",
        f"@ IN SOA ns.{site.domain}. hostmaster.{site.domain}. 1 7200 900 1209600 300",
        f"@ IN NS ns.{site.domain}.",
        f"ns IN {kind} {site.addresses[site.nodes[0].name]}",
        *(f"{host.name} IN {kind} {site.addresses[host.name]}" for host in site.scenario.host),
    ]
    for service, port in (("_sip._udp", SIP_PORT), ("_sip._tcp", SIP_PORT), ("_sips._tcp", SIPS_PORT)):
        lines += [
            f"{service} IN SRV {host.srv_priority} {host.srv_weight} {port} {host.name}.{site.domain}."
            for host in site.nodes
        ]
    return _lines(lines)


def _whole_seconds(time_ms: int) -> int:
    """What the programs take: rounded up."""
    return -(-time_ms // 1_000)


def _lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
