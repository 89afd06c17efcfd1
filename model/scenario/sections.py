"""The tables of a scenario file that concern hosts, Redis, Sentinel, the network, and how a run is watched."""

from __future__ import annotations

from typing import Literal

import pydantic
from pydantic import ConfigDict

from model.scenario.base import MAX_HOSTS, Section, setting
from model.versions import Version

Certificate = Literal["host-and-domain", "host", "domain", "wildcard", "expired", "unknown-ca"]
"""Certificates of a node: the names that it has; or all of them, but out of date, or by an authority nobody knows."""


class Host(Section):
    """One machine and the programs on it."""

    name: str = pydantic.Field(description="name used in faults and results", pattern=r"^[a-z][a-z0-9-]{0,30}$")
    redis: bool = setting(True, "runs a Redis server", kind="recommended", source="deployment guide")
    sentinel: bool = setting(True, "runs a Sentinel", kind="recommended", source="deployment guide")
    registrar: bool = setting(True, "runs a registrar node", kind="recommended", source="deployment guide")
    replica_priority: int = setting(
        100,
        "order of promotion, lower first, 0 = never",
        kind="vendor default",
        source="redis.conf 7.0",
        ge=0,
        le=1000,
    )
    certificate: Certificate = setting(
        "host-and-domain",
        "names in the TLS certificate of its registrar node, or what is wrong with it",
        kind="specified",
        source="deployment guide; RFC 5922",
    )
    srv_priority: int = setting(
        0,
        "priority of its node in the SRV records, lower first",
        kind="recommended",
        source="deployment guide",
        ge=0,
        le=65_535,
    )
    srv_weight: int = setting(
        100,
        "weight of its node among those of the same priority",
        kind="recommended",
        source="deployment guide",
        ge=0,
        le=65_535,
    )
    clock_offset_ms: int = setting(
        0,
        "by how much its wall clock is ahead of true time",
        unit="ms",
        kind="recommended",
        source="deployment guide: clocks are kept by NTP",
        ge=-86_400_000,
        le=86_400_000,
    )
    clock_drift_ppm: int = setting(
        0,
        "by how much its wall clock runs too fast",
        unit="ppm",
        kind="recommended",
        source="deployment guide: clocks are kept by NTP",
        ge=-100_000,
        le=100_000,
    )


class ServerSection(Section):
    """What all Redis servers share."""

    version: Version = setting(
        "7.0",
        "family of the servers and sentinels; what it changes is in model/versions.py (`--server` picks real ones)",
        kind="assumed",
        source="the reference sources were read in 7.0.15",
    )
    primary: str = setting(
        "host1", "host whose Redis is primary at first", kind="recommended", source="deployment guide"
    )
    password: str = setting(
        "hastudy-lab",
        "requirepass and masterauth of all servers (a lab password), empty = none",
        kind="assumed",
        source="the deployment guide asks for equal passwords",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
    )
    diskless_sync_delay_ms: int = setting(
        5_000,
        "wait of a primary before a full resync starts (the lab sets it on every server)",
        unit="ms",
        kind="vendor default",
        source="redis.conf 7.0, repl-diskless-sync-delay",
        ge=0,
        le=60_000,
    )
    min_replicas_to_write: int = setting(
        0,
        "a primary with fewer good replicas refuses writes (NOREPLICAS), 0 = off",
        kind="vendor default",
        source="redis.conf 7.0, min-replicas-to-write",
        ge=0,
        le=MAX_HOSTS,
    )
    min_replicas_max_lag_s: int = setting(
        10,
        "a replica is good if its last acknowledgement is at most this old",
        unit="s",
        kind="vendor default",
        source="redis.conf 7.0, min-replicas-max-lag",
        ge=0,
        le=3_600,
    )
    repl_timeout_s: int = setting(
        60,
        "silence after which a replication link counts as lost",
        unit="s",
        kind="vendor default",
        source="redis.conf 7.0, repl-timeout",
        ge=1,
        le=3_600,
    )


class SentinelSection(Section):
    """Settings of all Sentinels."""

    quorum: int = setting(
        2,
        "sentinels that must agree before an election is tried",
        kind="recommended",
        source="deployment guide",
        ge=1,
        le=MAX_HOSTS,
    )
    down_after_ms: int = setting(
        10_000,
        "silence after which a sentinel alone calls an instance down",
        unit="ms",
        kind="recommended",
        source="deployment guide (Redis's own default is 30 000)",
        ge=100,
        le=600_000,
    )
    failover_timeout_ms: int = setting(
        20_000,
        "twice this is the pause between attempts; limit of each failover state",
        unit="ms",
        kind="recommended",
        source="deployment guide (Redis's own default is 180 000)",
        ge=100,
        le=3_600_000,
    )
    reboot_down_after_ms: int = setting(
        0,
        "a primary that loads its dataset for longer than this after a restart counts as down, 0 = never (from 7.0 on)",
        unit="ms",
        kind="vendor default",
        source="sentinel.c 7.0, master-reboot-down-after-period",
        ge=0,
        le=3_600_000,
    )
    parallel_syncs: int = setting(
        1,
        "replicas pointed to the new primary at once",
        kind="vendor default",
        source="sentinel.c, SENTINEL_DEFAULT_PARALLEL_SYNCS",
        ge=1,
        le=MAX_HOSTS,
    )
    flush_us: int = setting(
        500,
        "time for which one rewrite of its configuration file blocks a sentinel",
        unit="us",
        kind="measured",
        source="lab, folder in memory; on a busy disk 10 to 1000 times as much",
        ge=0,
        le=5_000_000,
    )
    password: str = setting(
        "",
        "requirepass of all sentinels, with which they also talk to each other (a lab password), empty = none",
        kind="recommended",
        source="deployment guide: sentinels are set up without; since 5.0.1 they understand requirepass, in both "
        "directions, since 6.2 sentinel-pass",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
    )


class NetworkSection(Section):
    """The network between the hosts."""

    delay_us: int = setting(
        60,
        "one-way delay between two hosts, programs' wake-up included",
        unit="us",
        kind="measured",
        source="lab, namespaces on one machine",
        ge=1,
        le=10_000_000,
    )
    tcp_retries2: int = setting(
        15,
        "retransmissions after which a kernel gives up a connection with unacknowledged data (hosts and clients)",
        kind="vendor default",
        source="Linux, net.ipv4.tcp_retries2: 924.6 s and more",
        ge=3,
        le=30,
    )
    tcp_syn_retries: int = setting(
        6,
        "retransmissions after which a kernel gives up a connect (hosts and clients)",
        kind="vendor default",
        source="Linux, net.ipv4.tcp_syn_retries",
        ge=1,
        le=10,
    )


class Link(Section):
    """The way from one host to another on the network between the hosts; one direction."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    from_: str = pydantic.Field(alias="from", description="host that sends, `*` = every host")
    to: str = pydantic.Field(description="host that receives, `*` = every other host")
    delay_us: int = setting(
        60,
        "one-way delay; replaces network.delay_us on this way",
        unit="us",
        kind="measured",
        source="lab, namespaces on one machine",
        ge=1,
        le=10_000_000,
    )
    jitter_us: int = setting(
        0,
        "random delay on top, uniform from 0 to this; nothing is overtaken",
        unit="us",
        kind="assumed",
        source="an idle network",
        ge=0,
        le=10_000_000,
    )
    loss_percent: int = setting(
        0, "packets that are lost at random", unit="%", kind="assumed", source="an idle network", ge=0, le=100
    )


class ProbeSection(Section):
    """How outages are observed. Both arms probe alike, so both see the same resolution."""

    register_period_ms: int = setting(
        200,
        "a REGISTER goes to every node this often",
        unit="ms",
        kind="assumed",
        source="resolution of the outage windows",
        ge=20,
        le=60_000,
    )
    register_timeout_ms: int = setting(
        2_000,
        "a REGISTER without final answer counts as unknown after this",
        unit="ms",
        kind="assumed",
        source="longer than registrar.redis_timeout_ms",
        ge=20,
        le=32_000,
    )
    write_period_ms: int = setting(
        20,
        "a write goes to every Redis server this often",
        unit="ms",
        kind="assumed",
        source="resolution of first_write",
        ge=5,
        le=10_000,
    )
    expiry_s: int = setting(
        0,
        "life of a binding that is written to every server that takes writes and looked up on all, 0 = none",
        unit="s",
        kind="assumed",
        source="most scenarios do not ask about expiry",
        ge=0,
        le=86_400,
    )
    expiry_refresh_s: int = setting(
        30,
        "it is written anew this often, as a phone registers again",
        unit="s",
        kind="assumed",
        source="half of a life of 60 s",
        ge=1,
        le=86_400,
    )
    expiry_form: Literal["expireat", "expire"] = setting(
        "expireat",
        "how its end is said: `expireat` is the instant by the true time of the client, in whole s; `expire` a time to "
        "live, which the primary turns into an instant by its own clock",
        kind="vendor default",
        source="Flexisip writes EXPIREAT",
    )
    call_period_ms: int = setting(
        500,
        "every client is called (OPTIONS) through every node this often, if there are clients",
        unit="ms",
        kind="assumed",
        source="resolution of the outage windows of clients",
        ge=100,
        le=60_000,
    )
    call_timeout_ms: int = setting(
        2_000,
        "a call without final answer counts as unanswered after this",
        unit="ms",
        kind="assumed",
        source="longer than a lookup takes",
        ge=100,
        le=32_000,
    )


class RunSection(Section):
    """How long a run is watched."""

    horizon_ms: int = setting(
        60_000,
        "end of observation after the first fault",
        unit="ms",
        kind="assumed",
        source="long enough for the return",
        ge=100,
        le=86_400_000,
    )


class CompareSection(Section):
    """What counts as agreement of simulated and real runs. Fixed before looking."""

    margin_ms: int = setting(
        0,
        "largest difference of medians (and of p95) that counts as equal; 0 = max(150 ms, 2 % of down_after_ms)",
        unit="ms",
        kind="assumed",
        source="docs/decisions/0002-margins.md",
        ge=0,
        le=60_000,
    )
    register_margin_ms: int = setting(
        0,
        "the same for the outage of a node, which has two humps a second apart; 0 = as margin_ms",
        unit="ms",
        kind="assumed",
        source="docs/decisions/0002-margins.md",
        ge=0,
        le=60_000,
    )


class Claim(Section):
    """One thing that the scenario expects of the prediction, in numbers."""

    quantity: str = pydantic.Field(
        description="a milestone, an outage, `lost`, `two_writable`, `blind`, or a course (failover, ...)"
    )
    statistic: Literal["p5", "p50", "p95", "min", "max", "mean", "probability", "n"] = pydantic.Field(
        description="of its values in s (of a count for `lost`), or the share of runs"
    )
    low: float = pydantic.Field(description="least value expected")
    high: float = pydantic.Field(description="greatest value expected")
