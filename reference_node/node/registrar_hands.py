"""The hands of the registrar machine: the one place where its links become connections to Redis and to a sentinel.

The machine knows nothing of contacts: for it, a request is a look-up and perhaps a write that succeed or fail. So the
node gives it *jobs*, and these hands carry the machine's messages to the store and the answers back::

    ask(job) --> machine --LOOKUP--> HGETALL --> job.found(record): commands, or None
                    |    <--LOOKUP_REPLY-------------'
                    |    --STORE---> those commands
                    |    <--STORE_REPLY--
                    '--RESPONSE----> job.end(status)

`found` may refuse what SIP, not Redis, forbids (a replayed CSeq): for the machine that is a look-up that failed.
A query ends after the look-up. A job may also be dropped: its client gets no answer.

A policy with a subscription listens to expired keys on it, from the first primary on; one that follows a sentinel asks
that for the primary, then listens to +switch-master.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.exceptions import RedisError

from model import effects, registrar
from model.effects import (
    AUTHENTICATE,
    AUTHENTICATED,
    DONE,
    IMPOSSIBLE,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    MAX_HOSTS,
    MESSAGE,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    QUERY,
    REASONS,
    REGISTER,
    REPLICA,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
    SWITCHED,
)
from model.policies import configure
from model.registrar import REDIS_LINK, SENTINEL_LINK, SUBSCRIPTION_LINK
from model.scenario import RegistrarSection
from reference_node.driver import Driver, Hands
from reference_node.node import bindings
from reference_node.node.bindings import Binding, Command
from reference_node.node.config import Server
from reference_node.node.store import INFO_COMMAND, Patience, Store, read_replication, refusal

EXPIRED_CHANNEL, SWITCH_CHANNEL = "__keyevent@0__:expired", "+switch-master"
"""Channels that are subscribed to: of Redis, of a sentinel. Kind: specified."""

_IGNORED = None
"""Tag of a command whose answer nobody waits for."""

_REPLICA = re.compile(r"^slave[0-9]+:ip=([^,\s]+),port=([0-9]{1,5})", re.MULTILINE | re.ASCII)
_PRIMARY = re.compile(r"^master_host:(\S+)\s+master_port:([0-9]{1,5})", re.MULTILINE | re.ASCII)

_Tag = tuple[int, int, int]
"""Kind, request and job of the machine's message."""

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

    def end(self, status: int, retry_after_s: int = 0) -> None:
        """The machine has decided: 200, or what is wrong. Must not ask the machine for anything before it returns."""

    def drop(self) -> None:
        """There will be no answer."""


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
    learns_servers : bool
        Whether servers that INFO names and nobody has configured are added, as Flexisip does.
    me : int
        Number of the node's own host.
    sentinels : sequence of Server or None
        By number; None for a host without sentinel.
    group : str
        Under which name they watch the primary.
    age_us : int
        The machine behaves as if it had been started so long before `start`.
    """

    def __init__(
        self,
        servers: Sequence[Server | None],
        password: str,
        section: RegistrarSection,
        report: Report,
        learns_servers: bool = False,
        me: int = 0,
        sentinels: Sequence[Server | None] = (),
        group: str = "",
        age_us: int = 0,
    ) -> None:
        self._servers, self._report, self._learns_servers = list(servers), report, learns_servers
        self._password, self._sentinels, self._group = password, sentinels, group
        self._open: dict[int, _Open] = {}
        self._requests = 0
        self._is_listening = False
        patience = Patience(section.tcp_keepalive_s, section.tcp_user_timeout_ms)
        self._commands = Store(self._servers, password, _Line(self, REDIS_LINK), patience)
        line = _Line(self, SUBSCRIPTION_LINK)
        self._stores = {
            REDIS_LINK: self._commands,
            SUBSCRIPTION_LINK: Store(self._servers, password, line, patience, subscribes=True),
            SENTINEL_LINK: Store(sentinels, "", _Line(self, SENTINEL_LINK), subscribes=True),
        }
        state = machine_state(section, password != "")
        state.me, state.age_us = me, age_us
        state.sentinels = sum(1 << number for number, sentinel in enumerate(sentinels) if sentinel)
        self._driver = Driver(registrar, state, self)
        self.on_expired: Callable[[str], None] = lambda aor: None
        """Is told the address of record of a key that Redis has dropped (needs the subscription connection)."""

    # For the node.

    def start(self, first_server: int) -> None:
        """Connect to a server."""
        self._driver.call(registrar.boot, first_server)

    def stop(self) -> None:
        """Let go of everything, without a word to anybody (as Flexisip does on SIGTERM)."""
        self._driver.stop()
        for store in self._stores.values():
            store.close()

    def ask(self, job: Job) -> None:
        """Give a job to the machine; `job.end` is called once, perhaps before this returns."""
        self._requests += 1
        self._open[self._requests] = _Open(job)
        self._deliver(QUERY if job.is_query else REGISTER, request=self._requests)

    def publish(self, topic: str, text: str) -> None:
        """Publish on the command connection; nobody waits for the answer."""
        self._commands.ask(_IGNORED, [(b"PUBLISH", topic.encode(), text.encode())])

    @property
    def is_writable(self) -> bool:
        """True while the machine takes registrations."""
        return self._driver.state.phase == registrar.ON_PRIMARY

    @property
    def answers_ping(self) -> bool:
        """Whether clients' keep-alives are answered."""
        return self.is_writable or bool(self._driver.state.pongs_while_unavailable)

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
        """Carry a message of the machine to Redis or to a sentinel."""
        tag = (message.kind, message.request, message.job)
        for commands in self._commands_of(message):
            self._stores[link].ask(tag, commands)

    def _commands_of(self, message: Any) -> Sequence[Sequence[Command]]:
        """What a message is in commands; each group is answered by itself."""
        match message.kind:
            case effects.INFO:
                return [[INFO_COMMAND]]
            case effects.LOOKUP:
                return [[(b"HGETALL", bindings.key(self._open[message.request].job.aor))]]
            case effects.STORE:
                return [self._open[message.request].commands]
            case effects.AUTHENTICATE:
                return [[(b"AUTH", self._password.encode())]]
            case effects.PING:
                return [[(b"PING",)]]
            case _:
                assert message.kind == SUBSCRIBE, "a registrar sends nothing else"
                address = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._group.encode())
                return [[address], [(b"SUBSCRIBE", SWITCH_CHANNEL.encode())]]

    def reply(self, source: int, message: Any) -> None:
        """Carry a RESPONSE of the machine to the job that it is about."""
        retry_after_s = message.seconds if message.code != 200 else 0
        self._open.pop(message.request).job.end(message.code, retry_after_s)

    def forget(self, source: int, message: Any) -> None:
        """Drop a job."""
        self._open.pop(message.request).job.drop()

    def connect(self, link: int, host: int) -> None:
        """Open a connection."""
        self._stores[link].open(host)

    def close(self, link: int) -> None:
        """Close a connection."""
        self._stores[link].close()

    def report(self, event: str, about: int, wall_us: int, detail_us: int, code: int) -> None:
        """Pass a report on."""
        server = self._servers[about - 1] if about else None
        self._report(event, server.host if server else "", wall_us, code)

    # From Redis and sentinels.

    def opened(self, link: int) -> None:
        """A connection is open."""
        self._deliver(LINK_OPEN, link)
        if link == SUBSCRIPTION_LINK:
            self._is_listening = False
            self._listen()

    def closed(self, link: int) -> None:
        """A connection is closed or was refused."""
        self._deliver(LINK_CLOSED, link)

    def published(self, link: int, channel: str, text: str) -> None:
        """A message has come on a channel."""
        if channel == EXPIRED_CHANNEL:
            self.on_expired(text.removeprefix("fs:"))
        elif channel == SWITCH_CHANNEL and (words := text.split())[:1] == [self._group] and len(words) == 5:
            self._deliver(SWITCHED, link, primary=self._number(words[3], words[4]))

    def answered(self, link: int, tag: _Tag | None, replies: list[Any]) -> None:
        """What `send` asked is answered."""
        if tag is _IGNORED:
            return
        kind, request, job = tag
        if kind == INFO:
            self._on_info(replies[0])
            self._listen()
        elif kind == LOOKUP:
            self._deliver(LOOKUP_REPLY, request=request, job=job, code=self._found(request, replies[0]))
        elif kind == STORE:
            code = DONE if _is_done(replies[-1]) else REASONS + refusal(replies)
            self._deliver(STORE_REPLY, request=request, job=job, code=code)
        elif kind == AUTHENTICATE:
            self._deliver(AUTHENTICATED, link, code=IMPOSSIBLE if isinstance(replies[0], RedisError) else DONE)
        elif kind == PING:
            self._deliver(PONG, link)
        elif isinstance(replies[0], list) and len(replies[0]) == 2:
            ip, port = (part.decode() for part in replies[0])
            self._deliver(SWITCHED, link, code=1, primary=self._number(ip, port))

    def _number(self, ip: str, port: str) -> int:
        """1 + number of the server with that address, 0 for one that nobody knows."""
        found = (n for n, server in enumerate(self._servers) if server and (server.ip, str(server.port)) == (ip, port))
        return 1 + next(found, -1)

    def _listen(self) -> None:
        """Subscribe to expired keys once a primary was seen."""
        state = self._driver.state
        if state.is_subscribed and state.session[SUBSCRIPTION_LINK] == registrar.OPEN and not self._is_listening:
            self._is_listening = True
            self._stores[SUBSCRIPTION_LINK].ask(_IGNORED, [(b"SUBSCRIBE", EXPIRED_CHANNEL.encode())])

    def _on_info(self, reply: Any) -> None:
        if self._learns_servers:
            learn_servers(reply, self._servers)
        replication = read_replication(reply, self._servers)
        if replication is None:
            return self._deliver(OK_REPLY)
        self._deliver(
            INFO_REPLY,
            role=PRIMARY if replication.is_primary else REPLICA,
            primary=replication.primary,
            link_up=int(replication.link_up),
            heard_s=replication.heard_s,
            replicas=replication.replicas,
        )

    def _found(self, request: int, reply: Any) -> int:
        """Show a job what is stored, nothing where Redis refuses; the machine's code for what came of it."""
        entry = self._open.get(request)
        is_refused = isinstance(reply, RedisError)
        if entry is None:
            return IMPOSSIBLE  # dropped meanwhile
        commands = entry.job.found([] if is_refused else bindings.decode_record(reply))
        if commands is None:
            return IMPOSSIBLE
        entry.commands = commands
        return REASONS + refusal([reply]) if is_refused else DONE

    def _deliver(self, kind: int, link: int = REDIS_LINK, **values: int) -> None:
        message = MESSAGE.new()
        message.kind = kind
        for name, value in values.items():
            setattr(message, name, value)
        # The number of a link also serves for all clients: answers to these find their way by request.
        self._driver.deliver(link, message)


@dataclass(frozen=True, slots=True)
class _Line:
    """The listener of one connection."""

    hands: RegistrarHands
    link: int

    def opened(self) -> None:
        self.hands.opened(self.link)

    def closed(self) -> None:
        self.hands.closed(self.link)

    def answered(self, tag: Any, replies: list[Any]) -> None:
        self.hands.answered(self.link, tag, replies)

    def published(self, channel: str, text: str) -> None:
        self.hands.published(self.link, channel, text)


def learn_servers(reply: Any, servers: list[Server | None]) -> None:
    """Add the servers that an answer to ``INFO replication`` names, as far as the machine can number them."""
    if not isinstance(reply, bytes):
        return
    text = reply.decode(errors="replace")
    named = _REPLICA.findall(text) + _PRIMARY.findall(text)
    known = {(server.ip, server.port) for server in servers if server}
    for ip, port in named:
        if (ip, int(port)) not in known and 0 < int(port) < 65_536 and len(servers) < MAX_HOSTS:
            known.add((ip, int(port)))
            servers.append(Server(host=f"{ip}:{port}", ip=ip, port=int(port)))


def machine_state(section: RegistrarSection, has_password: bool = True) -> Any:
    """The registrar machine's state with the settings of a scenario."""
    state = registrar.REGISTRAR.new()
    configure(state, section, has_password)
    return state


def _is_done(reply: Any) -> bool:
    """True when Redis carried a write out: EXEC ran without an error inside, or DEL ran."""
    if isinstance(reply, list):
        return not any(isinstance(part, RedisError) for part in reply)
    return isinstance(reply, int)
