"""Faults: what may happen to a host, its programs, the network, clocks, disks and the DNS, on the time line."""

from __future__ import annotations

from typing import Literal

import pydantic

from model.scenario.base import MAX_HOSTS, Section, setting

FaultKind = Literal[
    "crash", "restart", "pause", "resume", "vanish", "return", "partition", "heal",
    "drop", "deliver", "delay", "step", "drift", "slow-disk", "fast-disk", "fail-saves", "mend-saves", "busy",
    "failover", "dns-stop", "dns-start", "dns-remove", "dns-add", "forge-hello", "forge-vote",
]  # fmt: skip
Process = Literal["all", "redis", "sentinel", "registrar"]
Trigger = Literal[
    "", "+odown", "+try-failover", "+elected-leader", "+selected-slave", "role-primary", "+promoted-slave",
    "+switch-master",
]  # fmt: skip

LEADER, PROMOTED = "@leader", "@promoted"
"""Hosts that are known only in the run: who reported a fault's trigger, and whom that event was about."""

PROCESSES = ("all", "redis", "sentinel", "registrar")
"""In this order, the `code` of fault events in a trace."""

PAIRS = {
    "crash": "restart", "pause": "resume", "vanish": "return", "partition": "heal", "drop": "deliver",
    "slow-disk": "fast-disk", "fail-saves": "mend-saves", "dns-stop": "dns-start", "dns-remove": "dns-add",
}  # fmt: skip
"""Each fault and what undoes it."""

DNS = "dns"
"""Host of the faults `dns-stop` and `dns-start`: the name server, which is on no host of the cluster."""

STRIKES_PROCESS = ("crash", "restart", "pause", "resume")
"""Faults that may name one program of the host."""

STRIKES_NETWORK = ("vanish", "return", "partition", "heal", "drop", "deliver", "delay")
"""Faults of the network."""

FORGES = ("forge-hello", "forge-vote")
"""What somebody does who reaches a sentinel, or a Redis server, and is neither a sentinel nor an operator."""

FORGED_EPOCH_STEP = 1_000
"""The forged message of entry n of the time line, from 1 on, is of epoch n times this. Kind: assumed (newer than all
that sentinels come to by themselves, and than the one before)."""

FAULT_KEYS = {
    "restart": ("data", "load_ms"), "partition": ("side",), "drop": ("to", "percent"), "deliver": ("to",),
    "delay": ("to", "delay_us", "jitter_us"), "step": ("step_ms",), "drift": ("drift_ppm",),
    "slow-disk": ("flush_ms",), "busy": ("busy_ms",), "forge-hello": ("to",), "forge-vote": ("to",),
}  # fmt: skip
"""Keys that only these kinds of faults have."""

NEEDED_KEYS = {"step": "step_ms", "slow-disk": "flush_ms", "busy": "busy_ms"}
"""Kinds of faults that do nothing without this key."""

NAMES_PROMOTED: tuple[Trigger, ...] = ("role-primary", "+selected-slave", "+promoted-slave", "+switch-master")
"""Triggers that are about the server that is promoted; the others are about the old primary."""


class Fault(Section):
    """One event on the time line."""

    kind: FaultKind = pydantic.Field(description="what happens")
    host: str = pydantic.Field(
        description=f"the host; with `after` also {LEADER} (that reported the event) or {PROMOTED} (that it is about); "
        f"for dns-stop and dns-start {DNS}; for dns-remove and dns-add the host whose SRV records go and come"
    )
    at_ms: int = pydantic.Field(
        description="when, after the first fault; with `after`, so long after that event", ge=0, le=86_400_000
    )
    after: Trigger = setting(
        "",
        "the first such event after the first fault starts this entry's clock",
        kind="assumed",
        source="entries count from the first fault",
    )
    process: Process = setting(
        "all",
        "which program of the host, for crash/restart and pause/resume; forge-hello: `redis` tells all sentinels "
        "through the server's channel, else this host's sentinel is told",
        kind="assumed",
        source="the whole host",
    )
    data: Literal["empty", "old"] = setting(
        "empty",
        "restart: with what dataset a server comes back: none, or a snapshot made just before the first fault",
        kind="measured",
        source="a killed server without a snapshot on disk comes back empty",
    )
    load_ms: int = setting(
        0,
        "restart: how long a server loads its snapshot (LOADING)",
        unit="ms",
        kind="assumed",
        source="a small dataset",
        ge=0,
        le=600_000,
    )
    side: int = setting(
        1,
        "partition: number of the side that the host is moved to; all hosts start on side 0",
        kind="assumed",
        source="a split in two",
        ge=1,
        le=MAX_HOSTS - 1,
    )
    to: str = setting(
        "*",
        "drop, deliver, delay: the receiving host, `*` = every other host; forge-hello: the host that is named as "
        "primary; forge-vote: the host whose sentinel the vote is asked for",
        kind="assumed",
        source="all ways",
    )
    percent: int = setting(
        100, "drop: packets that are lost", unit="%", kind="assumed", source="one-way loss", ge=0, le=100
    )
    delay_us: int = setting(
        60,
        "delay: one-way delay from now on",
        unit="us",
        kind="measured",
        source="lab, namespaces on one machine",
        ge=1,
        le=10_000_000,
    )
    jitter_us: int = setting(
        0,
        "delay: random delay on top, uniform from 0 to this",
        unit="us",
        kind="assumed",
        source="an idle network",
        ge=0,
        le=10_000_000,
    )
    step_ms: int = setting(
        0,
        "step: by how much the wall clock of the host is set forward (backward when negative)",
        unit="ms",
        kind="assumed",
        source="no step",
        ge=-86_400_000,
        le=86_400_000,
    )
    drift_ppm: int = setting(
        0,
        "drift: by how much the wall clock runs too fast from now on",
        unit="ppm",
        kind="assumed",
        source="a good clock",
        ge=-100_000,
        le=100_000,
    )
    flush_ms: int = setting(
        0,
        "slow-disk: how long each rewrite of its configuration file blocks the host's sentinel from now on",
        unit="ms",
        kind="assumed",
        source="a good disk",
        ge=0,
        le=60_000,
    )
    busy_ms: int = setting(
        0,
        "busy: how long a script would run on the host's Redis if nobody kills it",
        unit="ms",
        kind="assumed",
        source="no script",
        ge=0,
        le=600_000,
    )

    @property
    def strikes_process(self) -> bool:
        """True when the fault concerns programs, not the network."""
        return self.kind in STRIKES_PROCESS

    @property
    def strikes_network(self) -> bool:
        """True when the fault concerns the network."""
        return self.kind in STRIKES_NETWORK
