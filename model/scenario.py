"""What a scenario is, its defaults with their sources, and its checks.

A scenario is one TOML file: hosts and what runs on them, settings of Sentinel and of the registrar, the network,
faults on a time line, what to probe and for how long. Both arms read the same resolved `Scenario`.

Keys carry their units; engines convert to integer microseconds once, on loading. Every default says its *kind*:
``specified`` (by a standard or by the program's documentation), ``vendor default``, ``recommended``, ``measured`` or
``assumed``. `assumptions` collects them for ``docs/assumptions.md``.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic
from pydantic import BaseModel, ConfigDict

from model.errors import ScenarioError
from model.sip_client import MAX_OPEN
from model.versions import Version

SCHEMA = 1
"""Version of the scenario schema."""

MAX_HOSTS = 7
"""Most hosts of a scenario: bound of all arrays in the machines. Kind: assumed."""

MAX_FAULTS = 16
"""Most faults of a scenario. Kind: assumed."""

MAX_BINDINGS = 256
"""Most writes of the expiry prober in a run, by all servers together. Kind: assumed."""

MAX_LINKS = 64
"""Most entries for links of a scenario. Kind: assumed."""

Kind = Literal["specified", "vendor default", "recommended", "measured", "assumed"]
FaultKind = Literal[
    "crash", "restart", "pause", "resume", "vanish", "return", "partition", "heal",
    "drop", "deliver", "delay", "step", "drift", "slow-disk", "fast-disk", "fail-saves", "mend-saves", "busy",
    "failover",
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

_NOT_IN_DIGEST = ("question", "expects", "compare", "claim")

PAIRS = {
    "crash": "restart", "pause": "resume", "vanish": "return", "partition": "heal", "drop": "deliver",
    "slow-disk": "fast-disk", "fail-saves": "mend-saves",
}  # fmt: skip
"""Each fault and what undoes it."""

STRIKES_PROCESS = ("crash", "restart", "pause", "resume")
"""Faults that may name one program of the host."""

STRIKES_NETWORK = ("vanish", "return", "partition", "heal", "drop", "deliver", "delay")
"""Faults of the network."""

FAULT_KEYS = {
    "restart": ("data", "load_ms"), "partition": ("side",), "drop": ("to", "percent"), "deliver": ("to",),
    "delay": ("to", "delay_us", "jitter_us"), "step": ("step_ms",), "drift": ("drift_ppm",),
    "slow-disk": ("flush_ms",), "busy": ("busy_ms",),
}  # fmt: skip
"""Keys that only these kinds of faults have."""

NEEDED_KEYS = {"step": "step_ms", "slow-disk": "flush_ms", "busy": "busy_ms"}
"""Kinds of faults that do nothing without this key."""

NAMES_PROMOTED: tuple[Trigger, ...] = ("role-primary", "+selected-slave", "+promoted-slave", "+switch-master")
"""Triggers that are about the server that is promoted; the others are about the old primary."""


def setting(default: Any, meaning: str, *, kind: Kind, source: str, unit: str = "", **limits: Any) -> Any:
    """Declare one key: its default, meaning, unit, limits, and where the default comes from."""
    extra = {"kind": kind, "source": source, "unit": unit}
    return pydantic.Field(default, description=meaning, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """Base of all tables of a scenario file: unknown keys are refused, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
        "requirepass and masterauth of all servers (a lab password)",
        kind="assumed",
        source="the deployment guide asks for equal passwords",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
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


class RegistrarSection(Section):
    """Settings of all registrar nodes."""

    policy: Literal["guide"] = setting(
        "guide",
        "how a node follows the primary; `guide` is the deployment guide's behaviour 1 to 4",
        kind="specified",
        source="deployment guide",
    )
    redis_timeout_ms: int = setting(
        1_500,
        "an unanswered Redis command counts as a lost connection after this",
        unit="ms",
        kind="vendor default",
        source="Flexisip redis-server-timeout (documented there, without effect there)",
        ge=10,
        le=3_600_000,
    )
    info_period_ms: int = setting(
        10_000,
        "how often a node asks its primary for the replicas",
        unit="ms",
        kind="assumed",
        source="the deployment guide says `periodically`; Flexisip's default is 60 s",
        ge=100,
        le=3_600_000,
    )
    wait_poll_ms: int = setting(
        1_000,
        "how often a node that waits on a replica asks it for the primary",
        unit="ms",
        kind="assumed",
        source="the deployment guide says `wait`",
        ge=50,
        le=600_000,
    )
    retry_pause_ms: int = setting(
        1_000,
        "pause after all known servers were tried in vain",
        unit="ms",
        kind="vendor default",
        source="Flexisip 2.6, connectionRetryTimeout",
        ge=10,
        le=600_000,
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


class Fault(Section):
    """One event on the time line."""

    kind: FaultKind = pydantic.Field(description="what happens")
    host: str = pydantic.Field(
        description=f"the host; with `after` also {LEADER} (that reported the event) or {PROMOTED} (that it is about)"
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
        "all", "which program of the host, for crash/restart and pause/resume", kind="assumed", source="the whole host"
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
        "*", "drop, deliver, delay: the receiving host, `*` = every other host", kind="assumed", source="all ways"
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


class Scenario(Section):
    """One resolved scenario; immutable.

    Build it with `load` or `parse`, which turn every fault in a file into one clear `ScenarioError`.
    """

    schema_: int = pydantic.Field(alias="schema", description="version of this file's schema", ge=SCHEMA, le=SCHEMA)
    name: str = pydantic.Field(description="unique name", pattern=r"^[a-z][a-z0-9_]{0,60}$")
    question: str = pydantic.Field(description="the question this scenario answers", min_length=1)
    expects: str = pydantic.Field("", description="what is expected, and why")
    host: tuple[Host, ...] = pydantic.Field(description="the hosts", min_length=1, max_length=MAX_HOSTS)
    fault: tuple[Fault, ...] = pydantic.Field((), description="the time line", max_length=MAX_FAULTS)
    link: tuple[Link, ...] = pydantic.Field(
        (), description="ways between hosts that differ from [network]; a later entry wins", max_length=MAX_LINKS
    )
    claim: tuple[Claim, ...] = pydantic.Field((), description="what `expects` says, in numbers")
    server: ServerSection = ServerSection()
    sentinel: SentinelSection = SentinelSection()
    registrar: RegistrarSection = RegistrarSection()
    network: NetworkSection = NetworkSection()
    probe: ProbeSection = ProbeSection()
    run: RunSection = RunSection()
    compare: CompareSection = CompareSection()

    def canonical(self) -> dict[str, Any]:
        """The resolved scenario as plain data, defaults filled in."""
        return self.model_dump(by_alias=True, mode="json")

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of all that a run depends on: not of words, nor of margins.

        Values that equal their default are left out, so that stored runs stay valid when a key is added. A default is
        therefore part of the schema: whoever changes one raises `SCHEMA`.
        """
        plain = self.model_dump(by_alias=True, mode="json", exclude_defaults=True)
        told = {key: value for key, value in plain.items() if key not in _NOT_IN_DIGEST}
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def on_version(self, version: Version) -> Scenario:
        """The same scenario on servers of another family."""
        return self.model_copy(update={"server": self.server.model_copy(update={"version": version})})

    @property
    def host_names(self) -> tuple[str, ...]:
        """Names in order; an index into this is a host's number everywhere."""
        return tuple(host.name for host in self.host)

    @property
    def sentinel_hosts(self) -> tuple[str, ...]:
        """Hosts that run a sentinel."""
        return tuple(host.name for host in self.host if host.sentinel)

    @property
    def margin_ms(self) -> int:
        """Margin of equivalence in ms: the file's, else max(150 ms, 2 % of the delay)."""
        return self.compare.margin_ms or max(150, self.sentinel.down_after_ms // 50)

    def margin_of(self, quantity: str) -> int:
        """Margin of equivalence of a milestone or an outage, in ms."""
        if quantity.startswith("register@"):
            return self.compare.register_margin_ms or self.margin_ms
        return self.margin_ms


def load(path: str | Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario file.

    Parameters
    ----------
    path : path
    overrides : sequence of str
        ``key=value`` with a dotted key (``sentinel.down_after_ms=2000``, ``fault.0.kind=vanish``). The value is read
        as TOML, or as a bare string where it is not TOML or the key holds text.

    Raises
    ------
    ScenarioError
        The file is missing, is not TOML, or says something that cannot be.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ScenarioError(
            str(path),
            "",
            f"cannot be read: {reason}",
            "a readable TOML file",
            "`hastudy scenarios` lists the ones that come with the kit",
        ) from None
    return parse(text, str(path), overrides)


def parse(text: str, where: str = "<text>", overrides: Sequence[str] = ()) -> Scenario:
    """Like `load`, from a string; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(where, "", f"not TOML: {error}", "TOML 1.0", "mend the line that is named") from None
    for override in overrides:
        where = _apply(data, override, where)
    try:
        scenario = Scenario.model_validate_json(json.dumps(data, default=str))
    except pydantic.ValidationError as error:
        raise _translate(error, where) from None
    _check_together(scenario, where)
    return scenario


def warnings(scenario: Scenario) -> list[str]:
    """Settings that are legal and dangerous, each with its consequence."""
    found = []
    sentinels = len(scenario.sentinel_hosts)
    if sentinels > 1 and scenario.sentinel.quorum == sentinels:
        found.append("sentinel.quorum equals the number of sentinels: one lost sentinel and nothing fails over")
    if sentinels == 2:
        found.append("with two sentinels the majority is 2: when either host is lost, nothing fails over")
    if scenario.probe.register_timeout_ms <= scenario.registrar.redis_timeout_ms:
        found.append(
            "probe.register_timeout_ms is not above registrar.redis_timeout_ms: a 500 would come too late "
            "to be seen, and counts as unknown"
        )
    if 0 < scenario.probe.expiry_s < scenario.probe.expiry_refresh_s:
        found.append("probe.expiry_refresh_s is above probe.expiry_s: the binding ends before it is written anew")
    servers = [host for host in scenario.host if host.redis]
    if scenario.server.min_replicas_to_write >= len(servers):
        found.append("server.min_replicas_to_write is above the number of replicas: no primary ever takes a write")
    if scenario.server.min_replicas_to_write and _lag_outlasts_delay(scenario):
        found.append(
            "server.min_replicas_max_lag_s is not below sentinel.down_after_ms: a cut-off primary takes writes "
            "beside the new one"
        )
    if len(servers) > 1 and not any(h.replica_priority for h in servers if h.name != scenario.server.primary):
        found.append("replica_priority is 0 on all replicas: nobody can be promoted")
    return found


def _lag_outlasts_delay(scenario: Scenario) -> bool:
    return scenario.server.min_replicas_max_lag_s * 1000 >= scenario.sentinel.down_after_ms


def assumptions() -> Iterator[tuple[str, Any, str, str, str, str]]:
    """Yield (key, default, unit, kind, source, meaning) of every setting that has a sourced default."""
    for section, model in {"host": Host, "fault": Fault, "link": Link, **_sections()}.items():
        for name, info in model.model_fields.items():
            extra = info.json_schema_extra
            if isinstance(extra, dict):
                yield (
                    f"{section}.{name}",
                    info.default,
                    str(extra["unit"]),
                    str(extra["kind"]),
                    str(extra["source"]),
                    info.description or "",
                )


def _sections() -> dict[str, type[Section]]:
    return {
        name: info.annotation
        for name, info in Scenario.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }


def _apply(data: dict[str, Any], override: str, where: str) -> str:
    """Put one ``key=value`` into `data`; return the new name of the source."""
    key, sign, raw = override.partition("=")
    source = f"--set {override}"
    if not sign or not key:
        raise ScenarioError(
            source, "", "not of the form key=value", "key=value", "for example --set sentinel.down_after_ms=2000"
        )
    value = _value_of(key, raw)
    target: Any = data
    *parents, last = key.split(".")
    for part in parents:
        target = _step(target, part, source, key)
    if isinstance(target, list):
        target[_index(target, last, source, key)] = value
    else:
        target[last] = value
    return f"{where} with --set" if " with --set" not in where else where


def _value_of(key: str, raw: str) -> Any:
    """`raw` as TOML; as it stands where it is not TOML, or where the key holds text (a version 7.0 is no number)."""
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
    info = _field_at([part for part in key.split(".") if not part.isdecimal()])
    words = get_args(info.annotation) if info else ()
    holds_text = bool(info) and (info.annotation is str or (bool(words) and isinstance(words[0], str)))
    return raw if holds_text and not isinstance(value, str) else value


def _step(target: Any, part: str, source: str, key: str) -> Any:
    if isinstance(target, list):
        return target[_index(target, part, source, key)]
    inner = target.setdefault(part, {})
    if not isinstance(inner, (dict, list)):
        raise ScenarioError(
            source, key, "inside a plain value", "the path of a table's key", f"`{part}` has no keys of its own"
        )
    return inner


def _index(target: list, part: str, source: str, key: str) -> int:
    if part.isdecimal() and int(part) < len(target):
        return int(part)
    raise ScenarioError(
        source,
        key,
        f"entry {part!r} of a list",
        f"0 to {len(target) - 1}",
        "count the entries in the file, the first is 0",
    )


def _translate(error: pydantic.ValidationError, where: str) -> ScenarioError:
    """The first fault that pydantic found, in the words of a scenario file."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    given, context = fault["input"], fault.get("ctx", {})
    if fault["type"] == "extra_forbidden":
        known = _known_keys(fault["loc"][:-1])
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, 1)
        hint = f"did you mean `{close[0]}`?" if close else "remove it"
        return ScenarioError(where, key, f"unknown (value {_show(given)})", "one of " + ", ".join(known), hint)
    if fault["type"] == "missing":
        return ScenarioError(where, key, "missing", "a value", _describe(fault["loc"]))
    if fault["type"] in ("greater_than_equal", "less_than_equal"):
        low, high = _limits(fault["loc"])
        return ScenarioError(where, key, _show(given), f"{low} to {high}", _describe(fault["loc"]))
    if fault["type"] == "literal_error":
        quotes = not isinstance(given, str) and f"'{given}'" in context["expected"]
        hint = f'write it in quotes: "{given}"' if quotes else _describe(fault["loc"])
        return ScenarioError(where, key, _show(given), context["expected"], hint)
    return ScenarioError(where, key, _show(given), fault["msg"], _describe(fault["loc"]))


def _show(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _field_at(loc: Sequence[int | str]) -> Any:
    """The pydantic field (or model) that a location speaks of."""
    model: Any = Scenario
    info: Any = None
    for part in loc:
        if isinstance(part, int):
            continue
        info = next((i for n, i in model.model_fields.items() if part in (n, i.alias)), None)
        if info is None:
            return None
        inner = get_args(info.annotation)
        model = inner[0] if inner and isinstance(inner[0], type) else info.annotation
    return info


def _known_keys(loc: Sequence[int | str]) -> list[str]:
    info = _field_at(loc)
    model: Any = Scenario
    if info is not None:
        inner = get_args(info.annotation)
        model = inner[0] if inner else info.annotation
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]


def _limits(loc: Sequence[int | str]) -> tuple[Any, Any]:
    low: Any = "any"
    high: Any = "any"
    for constraint in getattr(_field_at(loc), "metadata", ()):
        low = getattr(constraint, "ge", low)
        high = getattr(constraint, "le", high)
    return low, high


def _describe(loc: Sequence[int | str]) -> str:
    info = _field_at(loc)
    if info is None or not info.description:
        return "see docs/scenario.md"
    unit = (info.json_schema_extra or {}).get("unit", "") if isinstance(info.json_schema_extra, dict) else ""
    return info.description + (f", in {unit}" if unit else "")


def _check_together(scenario: Scenario, where: str) -> None:
    """Contradictions between keys."""
    names = scenario.host_names
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(where, "host", f"{name} twice", "different names", "rename one of them")
    servers = [host.name for host in scenario.host if host.redis]
    if scenario.server.primary not in servers:
        raise ScenarioError(
            where,
            "server.primary",
            _show(scenario.server.primary),
            "one of " + ", ".join(servers or ["(no host has redis = true)"]),
            "name a host that runs Redis",
        )
    sentinels = len(scenario.sentinel_hosts)
    if scenario.sentinel.quorum > sentinels:
        raise ScenarioError(
            where,
            "sentinel.quorum",
            f"{scenario.sentinel.quorum}, but only {sentinels} sentinels are defined",
            f"1 to {sentinels} (a quorum counts sentinels)",
            f"set `sentinel.quorum = {sentinels // 2 + 1}`, or add hosts with `sentinel = true`",
        )
    if scenario.sentinel.reboot_down_after_ms and scenario.server.version == "6.2":
        raise ScenarioError(
            where,
            "sentinel.reboot_down_after_ms",
            str(scenario.sentinel.reboot_down_after_ms),
            '0 with server.version = "6.2"',
            "master-reboot-down-after-period came with 7.0",
        )
    longest_ms = scenario.probe.register_period_ms * (MAX_OPEN - 2)
    if scenario.probe.register_timeout_ms > longest_ms:
        raise ScenarioError(
            where,
            "probe.register_timeout_ms",
            str(scenario.probe.register_timeout_ms),
            f"at most {longest_ms} ({MAX_OPEN - 2} open requests)",
            "probe less often: raise `probe.register_period_ms`",
        )
    _check_expiry(scenario, where)
    for number, link in enumerate(scenario.link):
        if link.from_ != "*":
            _check_host(scenario, where, f"link.{number}.from", link.from_)
        _check_receiver(scenario, where, f"link.{number}.to", link.from_, link.to)
    for number, claim in enumerate(scenario.claim):
        _check_claim(where, f"claim.{number}", claim)
    for number, fault in enumerate(scenario.fault):
        _check_fault(scenario, where, number, fault)
    if scenario.fault and min((fault.at_ms for fault in scenario.fault if not fault.after), default=1) != 0:
        raise ScenarioError(
            where,
            "fault",
            "without an entry at 0",
            "times that start at 0",
            "at_ms counts from the first fault: give that one `at_ms = 0`",
        )


def _check_expiry(scenario: Scenario, where: str) -> None:
    """Refuse more writes of the probed binding than the simulator has room for: each server may take each of them."""
    probe = scenario.probe
    horizon_s, hosts = scenario.run.horizon_ms // 1000, len(scenario.host)
    if probe.expiry_s and (horizon_s // probe.expiry_refresh_s + 2) * hosts > MAX_BINDINGS:
        raise ScenarioError(
            where,
            "probe.expiry_refresh_s",
            str(probe.expiry_refresh_s),
            f"at least {horizon_s // (MAX_BINDINGS // hosts - 2) + 1} with this horizon and so many hosts",
            "write the binding less often, or shorten run.horizon_ms",
        )


def _check_host(scenario: Scenario, where: str, key: str, name: str) -> None:
    names = scenario.host_names
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        raise ScenarioError(
            where,
            key,
            _show(name),
            "one of " + ", ".join(names),
            f"did you mean `{close[0]}`?" if close else "name a host of this scenario",
        )


def _check_receiver(scenario: Scenario, where: str, key: str, sender: str, receiver: str) -> None:
    """Refuse a way that does not lead to another host."""
    if receiver == "*":
        return
    _check_host(scenario, where, key, receiver)
    if receiver == sender:
        raise ScenarioError(
            where, key, _show(receiver), "another host than the sending one", "a way leads from one host to another"
        )


def _check_claim(where: str, key: str, claim: Claim) -> None:
    if not claim.low <= claim.high:
        raise ScenarioError(
            where, f"{key}.low", f"{claim.low:g}", f"at most its `high`, {claim.high:g}", "swap them, if that is meant"
        )


def _check_fault(scenario: Scenario, where: str, number: int, fault: Fault) -> None:
    key = f"fault.{number}"
    if fault.host in (LEADER, PROMOTED):
        _check_trigger(where, key, fault)
    else:
        _check_host(scenario, where, f"{key}.host", fault.host)
        _check_runs(scenario, where, key, fault)
    _check_keys(where, key, fault)
    _check_receiver(scenario, where, f"{key}.to", fault.host, fault.to)
    if fault.at_ms > scenario.run.horizon_ms:
        raise ScenarioError(
            where, f"{key}.at_ms", str(fault.at_ms), f"0 to {scenario.run.horizon_ms}", "the run ends at run.horizon_ms"
        )
    _check_undoes(scenario, where, key, fault)


def _check_trigger(where: str, key: str, fault: Fault) -> None:
    """Refuse a host that only an event can name, where no event does."""
    allowed = [trigger for trigger in get_args(Trigger) if trigger]
    if fault.host == PROMOTED:
        allowed = [trigger for trigger in allowed if trigger in NAMES_PROMOTED]
    if fault.after not in allowed:
        after = f"`after` = {_show(fault.after)}" if fault.after else "without `after`"
        raise ScenarioError(
            where,
            f"{key}.host",
            f"{_show(fault.host)} {after}",
            f"{_show(fault.host)} with `after` = {', '.join(allowed)}",
            "name a host, or an event that tells which one",
        )


def _check_keys(where: str, key: str, fault: Fault) -> None:
    """Refuse keys that this kind of fault does not have."""
    if not fault.strikes_process and fault.process != "all":
        raise ScenarioError(
            where,
            f"{key}.process",
            _show(fault.process),
            "no `process` for this kind of fault",
            f"`{fault.kind}` concerns the host as a whole",
        )
    own = FAULT_KEYS.get(fault.kind, ())
    for name in sorted({name for names in FAULT_KEYS.values() for name in names} - set(own)):
        value = getattr(fault, name)
        if value != type(fault).model_fields[name].default:
            kinds = ", ".join(kind for kind, names in FAULT_KEYS.items() if name in names)
            raise ScenarioError(
                where,
                f"{key}.{name}",
                _show(value),
                f"`{name}` only with kind = {kinds}",
                f"remove it, or change the kind `{fault.kind}`",
            )
    needed = NEEDED_KEYS.get(fault.kind)
    if needed and not getattr(fault, needed):
        raise ScenarioError(where, f"{key}.{needed}", "0", "another value", _describe(("fault", needed)))
    if fault.kind == "restart" and fault.process not in ("all", "redis") and (fault.data != "empty" or fault.load_ms):
        raise ScenarioError(
            where,
            f"{key}.process",
            _show(fault.process),
            "all, redis with `data` or `load_ms`",
            "only a Redis server has a dataset",
        )


def _check_runs(scenario: Scenario, where: str, key: str, fault: Fault) -> None:
    """Refuse a fault of a program that the host does not run."""
    host = scenario.host[scenario.host_names.index(fault.host)]
    if fault.process != "all" and not getattr(host, fault.process):
        runs = [name for name in PROCESSES[1:] if getattr(host, name)]
        raise ScenarioError(
            where,
            f"{key}.process",
            _show(fault.process),
            "one of " + ", ".join(["all", *runs]),
            f"{host.name} does not run it",
        )
    needs = {"slow-disk": "sentinel", "failover": "sentinel", "fail-saves": "redis", "busy": "redis"}.get(fault.kind)
    if needs and not getattr(host, needs):
        raise ScenarioError(
            where, f"{key}.host", _show(fault.host), f"a host that runs a {needs}", f"{host.name} does not run it"
        )


def _check_undoes(scenario: Scenario, where: str, key: str, fault: Fault) -> None:
    """Refuse an end of something that never began."""
    undoes = {undo: do for do, undo in PAIRS.items()}.get(fault.kind)
    if undoes and not any(
        other.kind == undoes
        and (other.at_ms <= fault.at_ms or bool(other.after) != bool(fault.after))
        and (other.kind == "partition" or (other.host == fault.host and other.process == fault.process))
        and (other.to == fault.to or "*" in (other.to, fault.to))
        for other in scenario.fault
    ):
        raise ScenarioError(
            where,
            f"{key}.kind",
            _show(fault.kind),
            f"after a `{undoes}` of the same host and process",
            f'add a [[fault]] with kind = "{undoes}" before it, or remove this one',
        )
