"""The hands of the registrar machine: the one place where its links become connections to Redis.

The machine knows nothing of contacts: for it, a request is a look-up and perhaps a write that succeed or fail. So the
node gives it *jobs*, and these hands carry the machine's messages to the store and the answers back::

    ask(job) --> machine --LOOKUP--> HGETALL --> job.found(record): commands, or None
                    |    <--LOOKUP_REPLY-------------'
                    |    --STORE---> those commands
                    |    <--STORE_REPLY--
                    '--RESPONSE----> job.end(status)

`found` may refuse what SIP, not Redis, forbids (a replayed CSeq): for the machine that is a look-up that failed.
A query ends after the look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.exceptions import RedisError

from model import registrar
from model.effects import (
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    MESSAGE,
    PRIMARY,
    QUERY,
    REGISTER,
    REPLICA,
    STORE,
    STORE_REPLY,
)
from model.scenario import RegistrarSection
from reference_node import bindings
from reference_node.bindings import Binding, Command
from reference_node.config import Server
from reference_node.driver import Driver, Hands
from reference_node.store import INFO_COMMAND, Store, read_replication

US_PER_MS = 1_000

_IGNORED = None
"""Tag of a command whose answer nobody waits for."""

Report = Callable[[str, str, int, int], None]
"""Takes an event, the host that it is about (or ""), its time in µs since the Unix epoch, and its code."""


class Job(Protocol):
    """A request of a SIP client, as far as it concerns Redis."""

    aor: str
    is_query: bool

    def found(self, record: list[Binding]) -> Sequence[Command] | None:
        """Take what is stored, expired bindings included; give the commands to send (none for a query).

        None when the request cannot be carried out.
        """

    def end(self, status: int) -> None:
        """The machine has decided: 200 or 500. Must not ask the machine for anything before it returns."""


@dataclass(slots=True)
class _Open:
    """A job that the machine works on, and what it wants to write."""

    job: Job
    commands: Sequence[Command] = ()


class RegistrarHands(Hands):
    """The registrar machine, its driver and its store.

    Parameters
    ----------
    servers : sequence of Server or None
        By number; None for a host without Redis.
    password : str
        Of Redis; empty for none.
    section : RegistrarSection
        Settings of the machine.
    report : Report
        Is told what the machine reports.
    """

    def __init__(
        self, servers: Sequence[Server | None], password: str, section: RegistrarSection, report: Report
    ) -> None:
        self._servers, self._report = servers, report
        self._open: dict[int, _Open] = {}
        self._requests = 0
        self._store = Store(servers, password, self)
        self._driver = Driver(registrar, machine_state(section), self)
        self.on_expired: Callable[[str], None] = lambda aor: None
        """Is told the address of record of a key that Redis has dropped (needs the subscription connection)."""

    # For the node.

    def start(self, first_server: int) -> None:
        """Connect to a server."""
        self._driver.call(registrar.boot, first_server)

    def stop(self) -> None:
        """Let go of everything, without a word to anybody (as Flexisip does on SIGTERM)."""
        self._driver.stop()
        self._store.close()

    def ask(self, job: Job) -> None:
        """Give a job to the machine; `job.end` is called once, perhaps before this returns."""
        self._requests += 1
        self._open[self._requests] = _Open(job)
        self._deliver(QUERY if job.is_query else REGISTER, request=self._requests)

    def publish(self, topic: str, text: str) -> None:
        """Publish on the command connection; nobody waits for the answer."""
        self._store.ask(_IGNORED, [(b"PUBLISH", topic.encode(), text.encode())])

    @property
    def is_writable(self) -> bool:
        """True while the machine takes registrations."""
        return self._driver.state.phase == registrar.ON_PRIMARY

    @property
    def phase(self) -> str:
        """What the machine is doing, in words."""
        return ("down", "connecting", "on-primary", "on-replica")[self._driver.state.phase]

    @property
    def open_jobs(self) -> int:
        """Jobs that the machine works on."""
        return len(self._open)

    # The machine's hands.

    def send(self, link: int, message: Any) -> None:
        """Carry a message of the machine to Redis."""
        kind, request = message.kind, message.request
        if kind == INFO:
            self._store.ask((kind, request), [INFO_COMMAND])
        elif kind == LOOKUP:
            self._store.ask((kind, request), [(b"HGETALL", bindings.key(self._open[request].job.aor))])
        else:
            assert kind == STORE, "a registrar sends nothing else"
            self._store.ask((kind, request), self._open[request].commands)

    def reply(self, source: int, message: Any) -> None:
        """Carry a RESPONSE of the machine to the job that it is about."""
        self._open.pop(message.request).job.end(message.code)

    def connect(self, link: int, host: int) -> None:
        """Open the connection to Redis."""
        self._store.open(host)

    def close(self, link: int) -> None:
        """Close the connection to Redis."""
        self._store.close()

    def report(self, event: str, about: int, wall_us: int, detail_us: int, code: int) -> None:
        """Pass a report on."""
        server = self._servers[about - 1] if about else None
        self._report(event, server.host if server else "", wall_us, code)

    # From Redis.

    def opened(self) -> None:
        """The connection is open."""
        self._deliver(LINK_OPEN)

    def closed(self) -> None:
        """The connection is closed or was refused."""
        self._deliver(LINK_CLOSED)

    def answered(self, tag: tuple[int, int] | None, replies: list[Any]) -> None:
        """Redis has answered what `send` asked."""
        if tag is _IGNORED:
            return
        kind, request = tag
        if kind == INFO:
            self._on_info(replies[0])
        elif kind == LOOKUP:
            self._deliver(LOOKUP_REPLY, request=request, code=int(self._found(request, replies[0])))
        else:
            self._deliver(STORE_REPLY, request=request, code=int(_is_done(replies[-1])))

    def _on_info(self, reply: Any) -> None:
        replication = read_replication(reply, self._servers)
        if replication is None:
            # A server that does not say what it is (NOAUTH, NOPERM) is of no more use than one that is gone.
            self._store.close()
            return self._deliver(LINK_CLOSED)
        self._deliver(
            INFO_REPLY,
            role=PRIMARY if replication.is_primary else REPLICA,
            primary=replication.primary,
            link_up=int(replication.link_up),
            heard_s=replication.heard_s,
            replicas=replication.replicas,
        )

    def _found(self, request: int, reply: Any) -> bool:
        """Show a job what is stored; False when it cannot be carried out."""
        if isinstance(reply, RedisError):
            return False
        entry = self._open[request]
        commands = entry.job.found(bindings.decode_record(reply))
        if commands is None:
            return False
        entry.commands = commands
        return True

    def _deliver(self, kind: int, **values: int) -> None:
        message = MESSAGE.new()
        message.kind = kind
        for name, value in values.items():
            setattr(message, name, value)
        # One number serves the link to Redis and all clients: answers to these find their way by request.
        self._driver.deliver(registrar.REDIS_LINK, message)


def machine_state(section: RegistrarSection) -> Any:
    """The registrar machine's state with the settings of a scenario."""
    state, policy = registrar.REGISTRAR.new(), section.resolved
    state.redis_timeout_us = policy.redis_timeout_ms * US_PER_MS
    state.info_period_us = policy.info_period_ms * US_PER_MS
    state.wait_poll_us = policy.wait_poll_ms * US_PER_MS
    state.retry_pause_us = policy.retry_pause_ms * US_PER_MS
    return state


def _is_done(reply: Any) -> bool:
    """True when Redis carried a write out: EXEC ran without an error inside, or DEL ran."""
    if isinstance(reply, list):
        return not any(isinstance(part, RedisError) for part in reply)
    return isinstance(reply, int)
