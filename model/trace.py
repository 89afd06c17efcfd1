"""What a run leaves behind: one schema for simulated and for real runs.

A trace file is NDJSON. Its first line is a header, every further line one event::

    {"schema": 1, "scenario": "…", "digest": "…", "arm": "sim", "seed": 1, "run": 0, "versions": {…}, …}
    {"t_us": 10401233, "host": "host2", "actor": "sentinel", "event": "+sdown", "about": "host1"}

Times are integer microseconds since the first fault of the scenario (negative before it). Event names follow
Sentinel's own where there is one. `about` names the host that the event speaks of. `detail_us` and `code` carry what
an event needs beyond that, as `EVENTS` says for each. `measures` reads nothing else.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from model.errors import TraceError

_T = TypeVar("_T")

SCHEMA = 1
"""Version of the trace schema that this code writes and reads."""

ACTORS = ("fault", "sentinel", "redis", "registrar", "client", "prober", "ua", "caller")
"""Who may speak: the fault injector, the three programs of a host, the register prober of a node, the Redis probers, a
SIP client of the scenario (user agent), and who calls that client through every node."""

EVENTS: dict[str, str] = {
    # faults (actor "fault", host = the host it strikes, about = the receiving host of a way between two;
    # code of crash, restart, pause, resume: 0 = all programs, 1 = Redis, 2 = sentinel, 3 = registrar)
    "crash": "process or host killed",
    "restart": "process or host started again",
    "pause": "process or host stopped (SIGSTOP)",
    "resume": "process or host continued (SIGCONT)",
    "vanish": "host unreachable, no RST, no FIN",
    "return": "host reachable again",
    "partition": "host moved to another side of a split",
    "heal": "all splits ended",
    "drop": "packets from host to `about` (none named: to all) are lost; code = percent",
    "deliver": "they are delivered again",
    "delay": "packets from host to `about` (none named: to all) are delayed; detail_us = delay",
    "step": "the host's wall clock was set; detail_us = by how much, code 1 = backward",
    "drift": "the host's wall clock runs at another rate from now on; code = ppm too fast, detail_us 1 = too slow",
    "slow-disk": "each rewrite of its configuration file blocks the sentinel; detail_us = for how long",
    "fast-disk": "it no longer does",
    "fail-saves": "snapshots of the Redis server fail (MISCONF)",
    "mend-saves": "snapshots succeed again",
    "busy": "a script blocks the Redis server; detail_us = for how long, if nobody kills it",
    "dns-stop": "the name server answers no more (host = dns)",
    "dns-start": "it answers again",
    "dns-remove": "the SRV records of the host are removed",
    "dns-add": "they are back",
    "failover": "an operator asked this sentinel for a failover",
    "forge-hello": "somebody who is no sentinel told this one, or all through this Redis server, of a newer primary, "
    "`about`; code as for crash; noted whether or not it was let in",
    "forge-vote": "somebody who is no sentinel asked this one to vote for the sentinel of `about`; noted likewise",
    # sentinel (about = the instance, or the server that is concerned)
    "+sdown": "instance subjectively down; code 0 = the Redis server of `about`, 1 = its sentinel",
    "-sdown": "instance no longer subjectively down; code as for +sdown",
    "+odown": "primary objectively down",
    "-odown": "primary no longer objectively down",
    "+new-epoch": "current epoch raised; code = epoch",
    "+try-failover": "failover attempt started",
    "+vote-for-leader": "vote given; about = host of the sentinel voted for, code = epoch",
    "+elected-leader": "this sentinel won the election",
    "+selected-slave": "replica chosen for promotion",
    "+promoted-slave": "promotion seen in INFO",
    "+slave-reconf-sent": "REPLICAOF sent to another replica",
    "+slave-reconf-inprog": "other replica reports the new primary",
    "+slave-reconf-done": "other replica is in sync with the new primary",
    "-slave-reconf-sent-timeout": "no progress of another replica, given up",
    "+slave-reconf-sent-be": "best-effort REPLICAOF at the end by time-out",
    "+failover-end": "all reachable replicas follow",
    "+failover-end-for-timeout": "failover ended by failover-timeout",
    "-failover-abort-not-elected": "no election win in time",
    "-failover-abort-no-good-slave": "no eligible replica",
    "-failover-abort-slave-timeout": "chosen replica did not turn in time",
    "+switch-master": "this sentinel's configuration now names another primary; about = the new one",
    "+config-update-from": "newer configuration taken from another sentinel",
    "+convert-to-slave": "a returned primary was told to replicate",
    "+fix-slave-config": "a replica of the wrong primary was told to replicate",
    "+reboot": "instance has a new run id",
    "+tilt": "clock gap, acting suspended",
    "-tilt": "acting resumed",
    # redis
    "role-primary": "server became a primary",
    "role-replica": "server became a replica; about = its primary",
    "link-up": "replica in sync with its primary; about = the primary, code 1 = full resync, 0 = partial",
    "link-down": "replica lost its primary",
    # redis write prober (actor "prober", host = the client side, about = the server probed)
    "write-accepted": "first accepted write after none; t_us = the answer",
    "write-refused": "first refused write after another outcome",
    "write-silent": "first unanswered write after another outcome; t_us = when it was sent",
    # registrar (about = the Redis server concerned)
    "redis-connected": "connection to a server is open",
    "redis-lost": "connection closed, refused or unanswered",
    "waiting": "on a replica, waiting for a new primary",
    "writable": "on a primary, registrations are accepted",
    # client (host = the registrar node probed). Outcomes in the order of sending, only when the outcome changes.
    "confirmed": "2xx; t_us = the answer, detail_us = age of the request then, code = status",
    "refused": "final answer other than 2xx; t_us = the answer, detail_us = age of the request, code = status",
    "unknown": "no final answer in time; t_us = when it was given up, detail_us = age of the request",
    # SIP client of the scenario (actor "ua", host = its name, about = the node concerned)
    "attempt": "a REGISTER sent as a new transaction; code = number of the flow",
    "registered": "2xx; detail_us = granted lifetime, code = number of the flow",
    "failed": "an attempt failed; code = SIP status, 408 = no final answer in time, 0 = no connection",
    "flow-lost": "the client has noticed that its flow is gone; code 1 = closed, 2 = no pong, 3 = ICMP error",
    "untrusted": "certificate not accepted; code = what it is (model.sip_client)",
    "resolved": "the DNS has answered; code = number of records",
    "unresolved": "the DNS did not answer, or with an error",
    # calls to a client (actor "caller", host = the client's name, about = the node asked). Only changes.
    "call-answered": "the client answered; t_us = the answer, detail_us = age of the call then, code = status",
    "call-refused": "final answer of a node; t_us = the answer, detail_us = age of the call, code = status",
    "call-unanswered": "no final answer in time; t_us = when it was given up, detail_us = age of the call",
    "count-calls": "at the end of a run: code = calls through this node",
    "count-calls-failed": "at the end of a run: code = those that the client did not answer",
    # counted at the end of a run (actor "client", host = the node)
    "count-confirmed": "code = confirmed registrations",
    "count-refused": "code = refused registrations",
    "count-unknown": "code = registrations without a final answer",
    "count-lost": "code = confirmed registrations that the last primary does not hold",
    # redis expiry prober (actor "prober", host = the client side, about = the server). Of lookups only changes.
    "binding-written": "a server took the binding; t_us = when it was sent, detail_us = how long it lives from then",
    "binding-found": "lookup finds the binding",
    "binding-missing": "lookup does not find the binding; t_us = the answer",
    "binding-unanswered": "lookup gets an error or no answer; without one, t_us = when it was sent",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes
    ----------
    t_us : int
        Instant in µs since the first fault.
    host : str
        Where; ``client`` for the client side; the name of a SIP client for `ua` and `caller`.
    actor : str
        One of `ACTORS`.
    event : str
        A key of `EVENTS`.
    about : str
        Host of the instance concerned, empty when none.
    detail_us, code : int
        See `EVENTS`.
    """

    t_us: int
    host: str
    actor: str
    event: str
    about: str = ""
    detail_us: int = 0
    code: int = 0


@dataclass(slots=True)
class Trace:
    """The events of one run in order of time, and what is needed to make it again.

    Attributes
    ----------
    scenario, digest : str
        Name and digest of the resolved scenario.
    arm : str
        ``sim`` or ``real``.
    seed, run : int
        Master seed and number of the run.
    horizon_us : int
        End of observation, µs since the first fault.
    stalled : bool
        The machine was late by more than the lab's limit: the run is kept, but marked.
    stall_reason : str
        Why.
    versions : dict
        Server and package versions.
    phases : list of dict
        Real runs: what the sentinels themselves said about their timers just before the first fault; see
        `reference_node.lab.phases`.
    events : list of Event
    """

    scenario: str
    digest: str
    arm: str
    seed: int
    run: int
    horizon_us: int
    stalled: bool = False
    stall_reason: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def header(self) -> dict[str, Any]:
        """The first line of the file."""
        head = asdict(self)
        del head["events"]
        return {"schema": SCHEMA, **head}


def event_to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object; empty parts are left out."""
    line: dict[str, Any] = {"t_us": event.t_us, "host": event.host, "actor": event.actor, "event": event.event}
    if event.about:
        line["about"] = event.about
    if event.detail_us:
        line["detail_us"] = event.detail_us
    if event.code:
        line["code"] = event.code
    return line


def write_traces(path: Path, traces: Iterable[Trace]) -> None:
    """Write traces one after the other, each beginning with its header line; compressed if the name ends in .xz."""
    with lzma.open(path, "wt", encoding="utf-8") if path.suffix == ".xz" else path.open("w", encoding="utf-8") as file:
        for trace in traces:
            file.write(json.dumps(trace.header(), sort_keys=True) + "\n")
            for event in trace.events:
                file.write(json.dumps(event_to_json(event), sort_keys=True) + "\n")


def read_traces(path: Path) -> Iterator[Trace]:
    """Yield the traces of a file.

    Raises
    ------
    TraceError
        The file cannot be read, a line is not a JSON object, a header is missing or of another schema, an event is
        unknown.
    """
    trace: Trace | None = None
    for where, data in _lines(path):
        if "schema" in data:
            if trace:
                yield trace
            if data.pop("schema") != SCHEMA:
                raise TraceError(f"{where}: only trace schema {SCHEMA} can be read")
            trace = _build(Trace, data, where)
        elif trace is None:
            raise TraceError(f"{where}: an event comes before the header")
        else:
            trace.events.append(_event_from_json(data, where))
    if trace:
        yield trace


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name of the line for messages, its object)."""
    try:
        data = path.read_bytes()
        text = (lzma.decompress(data) if path.suffix == ".xz" else data).decode()
    except (OSError, UnicodeDecodeError, lzma.LZMAError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text, or not compressed as its name says"
        raise TraceError(f"{path}: cannot be read: {reason}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{path}: line {number}"
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise TraceError(f"{where} is not JSON: {error.msg}") from None
        if not isinstance(data, dict):
            raise TraceError(f"{where} is not a JSON object")
        yield where, data


def _event_from_json(data: dict[str, Any], where: str) -> Event:
    if data.get("event") not in EVENTS or data.get("actor") not in ACTORS:
        raise TraceError(f"{where}: unknown actor or event: {data.get('actor')} {data.get('event')}")
    event = _build(Event, data, where)
    if not type(event.t_us) is type(event.detail_us) is type(event.code) is int:
        raise TraceError(f"{where}: times and codes are integers")
    return event


def _build(kind: type[_T], data: dict[str, Any], where: str) -> _T:
    try:
        return kind(**data)
    except TypeError as error:
        raise TraceError(f"{where}: {str(error).removeprefix(f'{kind.__name__}.__init__() ')}") from None
