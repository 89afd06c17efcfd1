"""Log files as entries: lines that say something about roles, connections, suspicions and failovers.

Files are told apart by their lines. Sentinels and servers are read by `model.conform.lines`; our own registrar nodes
write NDJSON; of Flexisip the few lines count that tell of its connection to Redis.

Left out: syslog's framing; everything a server says that concerns neither its role nor its replication.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from model.conform import Configuration, configuration
from model.conform.lines import Line, is_sentinel, read
from model.conform.servers import CONNECTS, TO_PRIMARY, TO_REPLICA
from model.errors import UsageError

GZIP = b"\x1f\x8b"

REDIS = (
    ("connects", CONNECTS),
    ("refused", re.compile(r"^Error condition on socket for SYNC: Connection refused")),
    ("unreachable", re.compile(r"^(?:Error condition on socket for SYNC: (?!Connection ref)|Timeout connecting to)")),
    ("silent", re.compile(r"^(?:MASTER|PRIMARY) timeout: no data nor PING received")),
    ("link-down", re.compile(r"^Connection with (?:master|primary) lost", re.IGNORECASE)),
    ("psync", re.compile(r"^(?:Trying a partial resynchronization|Partial resynchronization not possible)")),
    ("asked", re.compile(r"^Replica (?P<of>\S+:\d+) asks for synchronization")),
    ("synced", re.compile(r"^(?:Full resync from (?:master|primary):|Successful partial resynchronization)", re.I)),
    ("link-up", re.compile(r"sync: (?:(?:Master|Primary) accepted a Partial Res|Finished with success)", re.I)),
    ("role-primary", TO_PRIMARY),
    ("role-replica", TO_REPLICA),
    ("replica-lost", re.compile(r"^Connection with replica .*lost")),
    ("busy", re.compile(r"^(?:Lua )?[Ss]low script detected")),
    ("misconf", re.compile(r"^(?:MISCONF|Background saving error)")),
    ("ready", re.compile(r"^Ready to accept connections")),
)  # fmt: skip
"""Lines of servers: event, pattern. Source: replication.c and server.c of Redis 6.2 to 8.2, Valkey 8 and 9."""

FLEXISIP_LINE = re.compile(r"^(?P<day>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d)[:.,](?P<ms>\d{3}) (?P<text>.*)$")
"""Source: bctoolbox, bctbx_logv_out: local time with ms after a colon."""

FLEXISIP = (
    ("connects", re.compile(r"Connecting to Redis server (?:tcp|tls)://(?P<of>\S+:\d+)")),
    ("redis-lost", re.compile(r"Connection failed or lost to (?P<of>\S+:\d+)")),
    ("redis-lost", re.compile(r"\bDisconnected, was in state\b")),
    ("waiting", re.compile(r"redis instance is a slave of (?P<of>\S+:\d+)")),
    ("writable", re.compile(r"Redis server is a master\b")),
)
"""Lines of Flexisip about its Redis. Source: its RedisClient, as of 2.5 and later; some need level debug."""

REGISTRAR = ("redis-connected", "redis-lost", "waiting", "writable")
"""Events of our own node's log (`model.trace`)."""

ORDERER = re.compile(r"name=sentinel-(?P<id>[0-9a-f]{8})-cmd")
OWN = re.compile(r"\bladdr=(?P<own>[^\s:]+):\d+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that says something.

    Attributes
    ----------
    file, number : str, int
        Where it stands.
    at_ms : int
        Stamp, ms since the epoch by the log's own clock.
    actor, event : str
        ``sentinel``, ``redis`` or ``registrar``; the name of what it says.
    address : str
        ``IP:port`` that it is about, empty if none; of our own nodes the name of a host.
    words : tuple of str
        Of a sentinel's line, what follows the event; of a change of role who ordered it.
    text : str
    """

    file: str
    number: int
    at_ms: int
    actor: str
    event: str
    address: str
    words: tuple[str, ...]
    text: str
    is_sentinel: bool = False
    """It is about a sentinel, not a server."""
    role: str = ""
    """Letter of the process: X, M, S, C."""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.number}"


@dataclass(slots=True)
class Log:
    """One file.

    Attributes
    ----------
    name : str
    kind : str
        ``sentinel``, ``redis`` or ``registrar``.
    entries : list of Entry
    own : set of str
        Addresses (without port) that the file itself tells to be its own.
    id : str
        Of a sentinel.
    """

    name: str
    kind: str
    entries: list[Entry]
    own: set[str] = field(default_factory=set)
    id: str = ""


@dataclass(slots=True)
class Evidence:
    """All that was given: logs, and what ``sentinel.conf`` files say."""

    logs: list[Log]
    configurations: list[Configuration]


def load(paths: Iterable[Path]) -> Evidence:
    """Read files; of a folder those that say something.

    Raises
    ------
    UsageError
        A file cannot be read, or says nothing though it was named; there is no sentinel's log.
    """
    texts: dict[str, Sequence[str]] = {}
    for path in paths:
        if path.is_dir():
            inside = {str(each): _lines(each) for each in sorted(path.rglob("*")) if each.is_file()}
            texts |= {name: lines for name, lines in inside.items() if configuration(lines) or _says(name, lines)}
        else:
            texts[str(path)] = _lines(path)
    return evidence(texts)


def _lines(path: Path) -> Sequence[str]:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(GZIP) else data
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}\n\nhint: name the log files themselves") from None
    return data.decode(errors="replace").splitlines()


def evidence(texts: dict[str, Sequence[str]]) -> Evidence:
    """What lines of files say; parameters and errors as for `load`."""
    logs, configurations = [], []
    for name, lines in texts.items():
        found = configuration(lines)
        if found:
            configurations.append(found)
        else:
            logs.append(_log(name, lines))
    if not any(log.kind == "sentinel" for log in logs):
        raise UsageError("no sentinel's log among these files\n\nhint: name at least one; they tell most")
    return Evidence(logs, configurations)


def _log(name: str, raw: Sequence[str]) -> Log:
    found = _says(name, raw)
    if found is None:
        raise UsageError(
            f"{name}: no line of a Redis or Sentinel log, of a registrar node's or of Flexisip's\n"
            "  allowed: such logs, plain or gzip, and sentinel.conf\n\nhint: name the log files themselves"
        )
    return found


def _says(name: str, raw: Sequence[str]) -> Log | None:
    """The log that these lines are, if they are one."""
    lines = list(read(raw))
    if lines and is_sentinel(lines):
        ids = [line.words[0] for line in lines if line.event == "id"]
        return Log(name, "sentinel", [_of_sentinel(name, line) for line in lines if line.event], id=(ids or [""])[-1])
    if lines:
        own = {found["own"] for line in lines if (found := OWN.search(line.text))}
        return Log(name, "redis", list(_of_server(name, lines)), own)
    entries = list(_of_node(name, raw)) or list(_of_flexisip(name, raw))
    return Log(name, "registrar", entries) if entries else None


def _of_sentinel(name: str, line: Line) -> Entry:
    address, about_sentinel = "", False
    if line.subject:
        address, about_sentinel = line.subject.address, line.subject.kind == "sentinel"
    elif line.event == "+switch-master" and len(line.words) == 5:
        address = f"{line.words[3]}:{line.words[4]}"
    return Entry(name, line.number, line.at_ms, "sentinel", line.event, address, line.words, line.text,
                 about_sentinel, line.role)  # fmt: skip


def _of_server(name: str, lines: Iterable[Line]) -> Iterator[Entry]:
    for line in lines:
        if line.event == "start":
            yield Entry(name, line.number, line.at_ms, "redis", "start", "", (), line.text, role=line.role)
            continue
        if line.role not in "MS":
            continue
        for event, pattern in REDIS:
            found = pattern.search(line.text)
            if found:
                orderer = ORDERER.search(line.text)
                words = (orderer["id"],) if orderer else ()
                yield Entry(name, line.number, line.at_ms, "redis", event, found.groupdict().get("of") or "", words,
                            line.text, role=line.role)  # fmt: skip
                break


def _of_node(name: str, raw: Iterable[str]) -> Iterator[Entry]:
    for number, line in enumerate(raw, 1):
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(data, dict) and data.get("event") in REGISTRAR and isinstance(data.get("t_us"), int):
            yield Entry(name, number, data["t_us"] // 1000, "registrar", data["event"], str(data.get("about", "")),
                        (str(data.get("host", "")),), line.strip())  # fmt: skip


def _of_flexisip(name: str, raw: Iterable[str]) -> Iterator[Entry]:
    current = ""
    for number, line in enumerate(raw, 1):
        stamped = FLEXISIP_LINE.match(line.rstrip("\r\n"))
        found = _first(FLEXISIP, stamped["text"]) if stamped else None
        if not stamped or not found:
            continue
        event, match = found
        of = match.groupdict().get("of") or current
        if event == "connects":
            current, event = of, "redis-connected"
        yield Entry(name, number, _flexisip_ms(stamped), "registrar", event, of, (), stamped["text"])


def _first(patterns: Sequence[tuple[str, re.Pattern[str]]], text: str) -> tuple[str, re.Match[str]] | None:
    matches = ((event, pattern.search(text)) for event, pattern in patterns)
    return next(((event, match) for event, match in matches if match), None)


def _flexisip_ms(stamped: re.Match[str]) -> int:
    moment = datetime.strptime(f"{stamped['day']} {stamped['time']}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1000 + int(stamped["ms"])


def where(log: Log, *events: str, about: Callable[[Entry], bool] = lambda entry: True) -> list[Entry]:
    """Entries of these kinds."""
    return [entry for entry in log.entries if entry.event in events and about(entry)]
