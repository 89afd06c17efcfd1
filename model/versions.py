"""What differs between the versions of Redis and Valkey, as far as failover feels it.

A *family* is a range of versions that behave alike here. Detection, election and the failover itself are the same in
all of them; what differs is how a server restarts, what it answers in trouble, how it treats its replicas, and how
often a sentinel syncs its file. `Differences` names the place in the sources for each; there the families were compared
line by line or, where `kind` says so, taken to be like the last one that was.

Left out: what a family can do *more* (sharded publication, dual-channel full resyncs and coordinated failover of
Valkey 8 and 9 are off unless asked for), and everything about clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

Version = Literal["6.2", "7.0", "7.2", "7.4", "8.0", "8.2", "valkey-7.2", "valkey-8.0", "valkey-8.1", "valkey-9.0",
                  "valkey-9.1"]  # fmt: skip
"""The families that a scenario may name."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What a family does its own way.

    Attributes
    ----------
    source : str
        The release whose sources were read.
    kind : str
        ``vendor default``: read there. ``assumed``: that release is an earlier one; the family's own was not read.
    flush_syncs : int
        fsync calls of one rewrite of a sentinel's configuration file: of the file, of its folder (since 7.0), and of
        the file once more (up to 7.0). config.c `rewriteConfigOverwriteFile`, sentinel.c `sentinelFlushConfig`.
    relative_expiry : bool
        EXPIRE and SET EX travel to replicas as a time to live, not as an instant. expire.c, t_string.c; checked on
        real servers with wrong clocks.
    restart_forgets_history : bool
        A primary that restarts from its snapshot never continues the snapshot's history, so that all its replicas
        need a full resync. Since 7.0 a replica that stands exactly at the snapshot may go on. server.c
        `loadDataFromDisk`.
    misconf_spares_replicas : bool
        Only a primary answers PING with MISCONF when snapshots fail. Since 7.0 replicas do, too, and so become
        subjectively down. server.c `processCommand`.
    demotion_drops_replicas : bool
        A server that is told to replicate closes the connections of its own replicas at once. Since 7.0 it keeps them
        until it has another history to offer. replication.c `replicationSetMaster`.
    diskless_by_default : bool
        repl-diskless-sync, and with it the wait of 5 s before a full resync. config.c. (The lab sets it everywhere.)
    backlog_bytes : int
        repl-backlog-size: how far a replica may fall behind and still come back without a full resync. config.c.
    """

    source: str
    kind: Literal["vendor default", "assumed"] = "vendor default"
    flush_syncs: int = 2
    relative_expiry: bool = False
    restart_forgets_history: bool = False
    misconf_spares_replicas: bool = False
    demotion_drops_replicas: bool = False
    diskless_by_default: bool = True
    backlog_bytes: int = 1 << 20


_REDIS_6_2 = Differences(
    "Redis 6.2.16",
    relative_expiry=True,
    restart_forgets_history=True,
    misconf_spares_replicas=True,
    demotion_drops_replicas=True,
    diskless_by_default=False,
)
_REDIS_8_0 = Differences("Redis 8.0-m01")
_VALKEY_8_0 = Differences("Valkey 8.0.1", backlog_bytes=10 << 20)

DIFFERENCES: dict[Version, Differences] = {
    "6.2": _REDIS_6_2,
    "7.0": Differences("Redis 7.0.15", flush_syncs=3),
    "7.2": Differences("Redis 7.2.6"),
    "7.4": Differences("Redis 7.4.1"),
    "8.0": _REDIS_8_0,
    "8.2": replace(_REDIS_8_0, kind="assumed"),
    "valkey-7.2": Differences("Valkey 7.2.7"),
    "valkey-8.0": _VALKEY_8_0,
    "valkey-8.1": replace(_VALKEY_8_0, kind="assumed"),
    "valkey-9.0": replace(_VALKEY_8_0, kind="assumed"),
    "valkey-9.1": replace(_VALKEY_8_0, kind="assumed"),
}
"""What each family does its own way."""


def names_of_differences() -> list[str]:
    """Names of the attributes of `Differences` that hold a difference, in order."""
    return [field.name for field in fields(Differences) if field.name not in ("source", "kind")]


def family_of(flavour: str, version: str) -> Version | None:
    """Family of a server that says it is `flavour` (redis, valkey) `version` (7.0.15); None for an unknown one."""
    short = ".".join(version.split(".")[:2])
    name = short if flavour == "redis" else f"{flavour}-{short}"
    return name if name in get_args(Version) else None  # type: ignore[return-value]
