"""One connection to one Redis server, or to a sentinel, without a will of its own.

redis-py's client retries, reconnects and times out by itself; here the registrar machine decides all that. So only
its `Connection` is used, as a socket that speaks RESP: commands go out in the order asked, answers come back in that
order, and nobody is asked twice. What happens is told to a `Listener`:

::

    open() --+--> opened ---> answered, once for each ask(), in order ---> closed  (ended, or no Redis at all)
             +--> closed  (refused, unreachable)

`close` ends it silently: nothing of that connection is told any more, as the machine's CLOSE demands.

A connection that subscribes gets messages besides its answers: they go to `Listener.published`.

The kernel's patience can be limited (`Patience`): TCP keepalive, and TCP_USER_TIMEOUT, which the library can only set
together with keepalive; by itself it comes with the keepalive of two hours that is Linux's default.

AUTH is sent ahead of the first command without waiting for its answer, so that opening takes one round trip, as in
hiredis. A server that refuses it is as good as one that closed the connection.

A command that was handed to the kernel before `close` may still reach the server later: a closed socket is not a
withdrawn command. That is so for every Redis client, and one of the reasons why *refused* does not mean *not stored*.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Connection
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from model.effects import (
    BUSY_REPLY,
    LOADING_REPLY,
    MASTERDOWN_REPLY,
    MISCONF_REPLY,
    NOAUTH_REPLY,
    NOREPLICAS_REPLY,
    READONLY_REPLY,
)
from model.registrar import MAX_LISTED
from reference_node.node.bindings import Command
from reference_node.node.config import Server

INFO_COMMAND: Command = (b"INFO", b"replication")

KEEPALIVE_PROBES = 3
"""Probes of an idle connection without an answer after which it is lost. Kind: specified (tcp_keepalive_s)."""

LONG_IDLE_S = 7_200
"""Idle time before keepalive where nobody asked for it. Source: Linux, net.ipv4.tcp_keepalive_time. Kind: vendor
default."""

REASONS = {
    "LOADING": LOADING_REPLY,
    "MASTERDOWN": MASTERDOWN_REPLY,
    "MISCONF": MISCONF_REPLY,
    "BUSY": BUSY_REPLY,
    "NOAUTH": NOAUTH_REPLY,
    "READONLY": READONLY_REPLY,
    "NOREPLICAS": NOREPLICAS_REPLY,
}
"""Why Redis refuses, in the codes of the machines."""


@dataclass(frozen=True, slots=True)
class Patience:
    """When a kernel takes a connection for lost; 0 = as it does by itself.

    Attributes
    ----------
    keepalive_s : int
        Idle time before the first keepalive probe, and between probes.
    user_timeout_ms : int
        For how long data may stay unacknowledged.
    """

    keepalive_s: int = 0
    user_timeout_ms: int = 0

    @property
    def options(self) -> dict[int, int]:
        """Options of the socket."""
        idle_s = self.keepalive_s or LONG_IDLE_S
        options = {socket.TCP_KEEPIDLE: idle_s, socket.TCP_KEEPINTVL: idle_s, socket.TCP_KEEPCNT: KEEPALIVE_PROBES}
        if self.user_timeout_ms:
            options[socket.TCP_USER_TIMEOUT] = self.user_timeout_ms
        return options


@dataclass(frozen=True, slots=True)
class Replication:
    """What the registrar machine wants to know of ``INFO replication``, with servers as their numbers.

    Attributes
    ----------
    is_primary : bool
    primary : int
        1 + number of the server that a replica names as its primary, 0 = none or unknown.
    link_up : bool
        The replica is in sync with it.
    heard_s : int
        Seconds since the replica last heard from it.
    replicas : int
        The replicas that a primary knows, in order, 4 bits each, 1 + number.
    """

    is_primary: bool
    primary: int = 0
    link_up: bool = False
    heard_s: int = 0
    replicas: int = 0


class Listener(Protocol):
    """Whom a connection tells what happens. Called from the event loop, never from within `Store`'s own methods."""

    def opened(self) -> None:
        """The connection is open."""

    def closed(self) -> None:
        """It could not be opened, or is open no more."""

    def answered(self, tag: Any, replies: list[Any]) -> None:
        """The commands asked under `tag` are answered, one reply each; an error of Redis is a `RedisError`."""

    def published(self, channel: str, text: str) -> None:
        """A message has come on a channel that was subscribed to."""


class Store:
    """A connection of a registrar node.

    Parameters
    ----------
    servers : sequence of Server or None
        By number; None for a host without Redis.
    password : str
        Empty for none.
    listener : Listener
    patience : Patience
    subscribes : bool
        Whether messages may come.
    """

    def __init__(
        self,
        servers: Sequence[Server | None],
        password: str,
        listener: Listener,
        patience: Patience = Patience(),
        subscribes: bool = False,
    ) -> None:
        self._servers, self._password, self._listener = servers, password, listener
        self._patience, self._subscribes = patience, subscribes
        self._session: _Session | None = None

    def open(self, number: int) -> None:
        """Connect to a server, after closing what was open."""
        self.close()
        server = self._servers[number]
        assert server, f"host {number} has no Redis, so nobody can have named it"
        self._session = _Session(server, self._password, self._listener, self._patience, self._subscribes)

    def close(self) -> None:
        """Close, silently."""
        if self._session:
            self._session.end()
            self._session = None

    def ask(self, tag: Any, commands: Sequence[Command]) -> None:
        """Send commands in one go. Without an open connection they are dropped: `closed` is on its way."""
        if self._session:
            self._session.ask(tag, commands)


class _Session:
    """From one `open` to its end."""

    def __init__(self, server: Server, password: str, listener: Listener, patience: Patience, subscribes: bool) -> None:
        self._listener, self._subscribes = listener, subscribes
        self._asked: deque[tuple[Any, int]] = deque()
        self._outgoing: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self._silenced = False
        self._connection = Connection(
            host=server.ip,
            port=server.port,
            protocol=2,
            driver_info=None,  # no CLIENT SETINFO: its answer would be waited for before the connection counts as open
            socket_timeout=None,
            socket_connect_timeout=None,
            # Without a wish, as hiredis: a silent server is the business of the machine's time-out.
            socket_keepalive=patience != Patience(),
            socket_keepalive_options=patience.options,
        )
        if password:
            self._asked.append((_AUTH, 1))
            self._outgoing.put_nowait(self._connection.pack_command(b"AUTH", password.encode()))
        self._task = asyncio.get_running_loop().create_task(self._live())

    def ask(self, tag: Any, commands: Sequence[Command]) -> None:
        self._asked.append((tag, len(commands)))
        self._outgoing.put_nowait(self._connection.pack_commands(commands))

    def end(self) -> None:
        # Elsewhere, cancelling is enough; a listener that closes is called from within the task.
        self._silenced = True
        if asyncio.current_task() is not self._task:
            self._task.cancel()

    async def _live(self) -> None:
        writer = None
        try:
            await self._connection.connect()
            writer = asyncio.get_running_loop().create_task(self._write())
            self._listener.opened()
            while not self._silenced:
                await self._read()
        except (RedisError, OSError):
            pass  # the one answer to all of these is `closed`
        finally:
            if writer:
                writer.cancel()
            await self._connection.disconnect(nowait=True)
        if not self._silenced:
            self._listener.closed()

    async def _write(self) -> None:
        try:
            while True:
                await self._connection.send_packed_command(await self._outgoing.get(), check_health=False)
        except (RedisError, OSError):
            pass  # the reader meets the same end, and tells it

    async def _read(self) -> None:
        """Read the answer to the oldest question and tell it."""
        first = await self._reply()
        if self._subscribes and isinstance(first, list) and first[:1] == [b"message"]:
            self._listener.published(first[1].decode(errors="replace"), first[2].decode(errors="replace"))
            return
        if not self._asked:
            raise InvalidResponse(f"an answer that nobody asked for: {first!r}")
        tag, count = self._asked.popleft()
        replies = [first]
        while len(replies) < count:
            replies.append(await self._reply())
        if tag is _AUTH:
            if isinstance(first, RedisError):
                raise first
        else:
            self._listener.answered(tag, replies)

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except ValueError as error:
            raise InvalidResponse("not the protocol of Redis") from error
        except RedisError as error:
            # redis-py raises what Redis says, too, some of it (LOADING, NOAUTH) as an end of the connection.
            if isinstance(error, ResponseError) or error.status_code:
                return error
            raise


_AUTH = object()


def refusal(replies: Sequence[Any]) -> int:
    """Why Redis refused a command or a transaction: a code of the machines, 0 for a reason of another kind.

    Of a transaction, the first error tells: EXEC itself only says that there was one.
    """
    for reply in replies:
        if isinstance(reply, RedisError):
            return REASONS.get(reply.status_code or "", 0)
    return 0


def read_replication(reply: Any, servers: Sequence[Server | None]) -> Replication | None:
    """Read the answer to ``INFO replication``; None when it is an error or names no role.

    A server's address is compared with those configured, so servers must announce the addresses that nodes know.
    """
    if not isinstance(reply, bytes):
        return None
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    fields = {name: value for name, colon, value in lines if colon}
    numbers = {(server.ip, server.port): 1 + number for number, server in enumerate(servers) if server}
    if fields.get("role") == "master":
        return Replication(True, replicas=_replicas(fields, numbers))
    if fields.get("role") != "slave":
        return None
    return Replication(
        False,
        primary=numbers.get((fields.get("master_host", ""), _count(fields, "master_port")), 0),
        link_up=fields.get("master_link_status") == "up",
        heard_s=_count(fields, "master_last_io_seconds_ago"),
    )


def _replicas(fields: dict[str, str], numbers: dict[tuple[str, int], int]) -> int:
    known = []
    for index in range(_count(fields, "connected_slaves")):
        parts = dict(part.split("=", 1) for part in fields.get(f"slave{index}", "").split(",") if "=" in part)
        known.append(numbers.get((parts.get("ip", ""), _count(parts, "port")), 0))
    listed = 0
    for number in reversed([number for number in known if number][:MAX_LISTED]):
        listed = listed << 4 | number
    return listed


def _count(fields: dict[str, str], name: str) -> int:
    """A number of INFO; "-1", which it says for "not applicable", and anything unreadable are 0."""
    text = fields.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
