"""redis.conf: durability, replication, who may be promoted."""

from __future__ import annotations

from collections.abc import Iterator

from study.lint.deployment import ServerFile
from study.lint.figures import bound, certain
from study.lint.findings import Severity
from study.lint.rules.registry import Case, Fault, rule
from study.lint.understood import host_of, monitor, sentinel_number

CUT_OFF = "scenarios/partition/primary_cut_off.toml"
EMPTY_RESTART = "scenarios/restart/empty_within_the_delay.toml"
NEEDED_COMMANDS = ("slaveof", "replicaof", "config", "info", "publish", "subscribe", "ping", "multi", "exec", "client")
"""What Sentinel sends to servers (redis 7.0.15, sentinel.c)."""


def _replicas(case: Case) -> int:
    return len(case.deployment.hosts) - 1


def _number(file: ServerFile, *names: str) -> int:
    found = file.last(*names)
    return int(found.words[0]) if found and found.words and found.words[0].isdecimal() else 0


@rule("no-min-replicas", Severity.WARNING, "A primary that is cut off goes on confirming registrations.",
      "docs/claims.md 33; redis.conf, min-replicas-to-write")  # fmt: skip
def no_min_replicas(case: Case) -> Iterator[Fault]:
    """All of them are lost when it comes back as a replica."""
    for file in case.deployment.redis:
        if not _number(file, "min-replicas-to-write", "min-slaves-to-write") and _replicas(case) > 1:
            yield Fault(
                file.place("min-replicas-to-write"),
                "A primary without its replicas takes writes as before; a node beside it confirms registrations that "
                "nobody else ever sees.",
                case.figures.lost("confirmed and lost while a primary is cut off, at five REGISTERs a second",
                                  committed=CUT_OFF),
                "min-replicas-to-write 1 and min-replicas-max-lag 10",
            )  # fmt: skip


@rule(
    "min-replicas-too-many", Severity.ERROR, "One lost replica stops all writes.", "redis.conf, min-replicas-to-write"
)
def min_replicas_too_many(case: Case) -> Iterator[Fault]:
    """After a failover there is one replica less."""
    for file in case.deployment.redis:
        wanted = _number(file, "min-replicas-to-write", "min-slaves-to-write")
        if wanted and wanted >= _replicas(case):
            yield Fault(
                file.place("min-replicas-to-write", "min-slaves-to-write"),
                f"There are {_replicas(case)} replicas, and {_replicas(case) - 1} once a host is lost: the new primary "
                "refuses every write (NOREPLICAS) until the host is back.",
                case.figures.outage("redis_write", "no write is accepted"),
                f"min-replicas-to-write {max(0, _replicas(case) - 1)}",
            )


@rule("min-replicas-late", Severity.WARNING, "A cut-off primary stops writing only after the new one has begun.",
      "redis.conf, min-replicas-max-lag; docs/bounds.md")  # fmt: skip
def min_replicas_late(case: Case) -> Iterator[Fault]:
    """It notices at the lag and up to a second (its own timer) after the cut."""
    delay_s = sentinel_number(case.deployment, "down-after-milliseconds", 30_000) / 1_000
    for file in case.deployment.redis:
        if not _number(file, "min-replicas-to-write", "min-slaves-to-write") or not case.deployment.sentinels:
            continue
        lag_s = _number(file, "min-replicas-max-lag", "min-slaves-max-lag") or 10
        if lag_s >= delay_s:
            overlap_s = lag_s + 1 - delay_s
            yield Fault(
                file.place("min-replicas-max-lag", "min-slaves-max-lag"),
                f"A primary that is cut off takes writes for {lag_s} to {lag_s + 1} s, and the new one begins after "
                f"{delay_s:g} s: what is confirmed in between is lost.",
                bound(f"two writable primaries for up to {overlap_s:g} s", overlap_s, "s", 0.0, overlap_s,
                      "docs/bounds.md"),
                f"min-replicas-max-lag {max(1, int(delay_s) // 2)}",
            )  # fmt: skip


@rule("restarts-empty", Severity.ERROR, "A killed server comes back empty, and the replicas copy that.",
      "docs/claims.md 39; redis 7.0.15, sentinel.c")  # fmt: skip
def restarts_empty(case: Case) -> Iterator[Fault]:
    """A service manager restarts it well within the delay."""
    for file in case.deployment.redis:
        saves = file.all("save")
        keeps_no_snapshot = bool(saves) and saves[-1].words in ((), ("",))
        appends = file.last("appendonly") and file.last("appendonly").words[:1] == ("yes",)
        if keeps_no_snapshot and not appends:
            yield Fault(
                saves[-1].place,
                "Nothing is kept on disk: a primary that is killed and started again before the delay is over is "
                "empty, no failover happens, and its replicas copy the emptiness.",
                case.figures.lost("registrations gone", committed=EMPTY_RESTART),
                "appendonly yes; or keep the default snapshots",
            )


@rule("no-replica-eligible", Severity.ERROR, "No replica may ever be promoted.", "redis 7.0.15, sentinel.c")
def no_replica_eligible(case: Case) -> Iterator[Fault]:
    """Priority 0 means never."""
    files = [file for file in case.deployment.redis if file.last("replicaof", "slaveof")]
    zero = [file for file in files if (found := file.last("replica-priority", "slave-priority"))
            and found.words[:1] == ("0",)]  # fmt: skip
    if files and len(zero) == len(files):
        yield Fault(
            zero[0].place("replica-priority", "slave-priority"),
            "Sentinels agree and elect a leader, who finds nobody to promote: the outage lasts until the primary is "
            "back.",
            case.figures.share("failover", "failed over"),
            "replica-priority 100",
            tuple(file.place("replica-priority", "slave-priority") for file in zero[1:]),
        )


@rule("replicates-itself", Severity.ERROR, "A server replicates itself, or one that is not watched.",
      "redis 7.0.15, sentinel.c")  # fmt: skip
def replicates_wrong(case: Case) -> Iterator[Fault]:
    """The chain must begin at the server that the sentinels watch."""
    watched = [found.words[1] for file in case.deployment.sentinels if (found := monitor(file))]
    for file in case.deployment.redis:
        found = file.last("replicaof", "slaveof")
        if not found or len(found.words) != 2 or found.words[0].lower() == "no":
            continue
        target = host_of(case.deployment, found.words[0])
        if file.host and target == file.host:
            yield Fault(
                found.place,
                "It replicates itself: its replication never comes up, and it is never promoted.",
                certain("0 of 1 replication links", "redis-cli info replication", 0.0, "links"),
                "replicaof <address of the primary> 6379",
            )
        elif watched and found.words[0] not in watched and target not in [host_of(case.deployment, w) for w in watched]:
            yield Fault(
                found.place,
                f"It replicates {found.words[0]}, and the sentinels watch {watched[0]}: they will find it on the wrong "
                "primary and turn it after their delay, and until then it copies the wrong data.",
                certain("all data is copied anew once it is turned", "redis 7.0.15, sentinel.c", 1.0, "full resyncs"),
                f"replicaof {watched[0]} 6379",
            )


@rule("commands-renamed", Severity.ERROR, "A command that Sentinel needs was renamed.", "redis 7.0.15, sentinel.c, 7.2")
def commands_renamed(case: Case) -> Iterator[Fault]:
    """Unless the sentinels are told the new name."""
    told = {words[1].lower() for file in case.deployment.sentinels for found in file.all("rename-command")
            if len(words := found.words) == 3}  # fmt: skip
    for file in case.deployment.redis:
        for found in file.all("rename-command"):
            name = found.words[0].lower() if found.words else ""
            if name in NEEDED_COMMANDS and name not in told:
                yield Fault(
                    found.place,
                    f"Sentinel sends {name.upper()} and gets an error: it cannot watch, or not promote.",
                    certain("0 of 1 failovers ends", "redis 7.0.15, sentinel.c", 0.0),
                    f"sentinel rename-command flexi1 {name} {' '.join(found.words[1:]) or '<new name>'} in "
                    "sentinel.conf; or leave the command alone",
                )


@rule("registrations-evicted", Severity.WARNING, "Redis may throw registrations away when memory is short.",
      "redis.conf, maxmemory-policy")  # fmt: skip
def evicted(case: Case) -> Iterator[Fault]:
    """Registrations have a time to live, so volatile-* takes them first."""
    for file in case.deployment.redis:
        found = file.last("maxmemory-policy")
        if found and file.last("maxmemory") and not found.words[0].lower().startswith("noeviction"):
            yield Fault(
                found.place,
                "When memory is full Redis deletes registrations that are live: callers get 404. With noeviction it "
                "refuses the new ones instead, and phones try again.",
                certain("each key beyond maxmemory costs 1 live registration", "redis.conf, maxmemory-policy", 1.0,
                        "registrations"),
                "maxmemory-policy noeviction",
            )  # fmt: skip


@rule("no-expiry-events", Severity.WARNING, "Nodes are not told when a registration expires.",
      "docs/flexisip.md: the administrator must set it")  # fmt: skip
def no_expiry_events(case: Case) -> Iterator[Fault]:
    """Flexisip subscribes to them and never sets them."""
    if not case.deployment.flexisip:
        return
    for file in case.deployment.redis:
        found = file.last("notify-keyspace-events")
        flags = found.words[0] if found and found.words else ""
        if "E" not in flags or not ("x" in flags or "A" in flags):
            yield Fault(
                file.place("notify-keyspace-events"),
                "A node that waits for a phone (late forking) is not woken when its registration ends.",
                certain("0 of 1 expirations is told", "docs/flexisip.md", 0.0, "events"),
                "notify-keyspace-events Ex",
            )
