"""One connection to one Redis server, without a will of its own.

redis-py's client retries, reconnects and times out by itself; here the registrar machine decides all that. So only
its `Connection` is used, as a socket that speaks RESP: commands go out in the order asked, answers come back in that
order, and nobody is asked twice. What happens is told to a `Listener`:

::

    open() --+--> opened ---> answered, once for each ask(), in order ---> closed  (ended, or no Redis at all)
             +--> closed  (refused, unreachable)

`close` ends it silently: nothing of that connection is told any more, as the machine's CLOSE demands.

AUTH is sent ahead of the first command without waiting for its answer, so that opening takes one round trip, as in
hiredis. A server that refuses it is as good as one that closed the connection.

A command that was handed to the kernel before `close` may still reach the server later: a closed socket is not a
withdrawn command. That is so for every Redis client, and one of the reasons why *refused* does not mean *not stored*.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Connection
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from model.registrar import MAX_LISTED
from reference_node.bindings import Command
from reference_node.config import Server

INFO_COMMAND: Command = (b"INFO", b"replication")


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


class Store:
    """The connection of a registrar node.

    Parameters
    ----------
    servers : sequence of Server or None
        By number; None for a host without Redis.
    password : str
        Empty for none.
    listener : Listener
    """

    def __init__(self, servers: Sequence[Server | None], password: str, listener: Listener) -> None:
        self._servers, self._password, self._listener = servers, password, listener
        self._session: _Session | None = None

    def open(self, number: int) -> None:
        """Connect to a server, after closing what was open."""
        self.close()
        server = self._servers[number]
        assert server, f"host {number} has no Redis, so nobody can have named it"
        self._session = _Session(server, self._password, self._listener)

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

    def __init__(self, server: Server, password: str, listener: Listener) -> None:
        self._listener = listener
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
            socket_keepalive=False,  # as hiredis: a silent server is the business of the machine's time-out
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
