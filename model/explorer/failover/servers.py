"""Redis servers of a failover: REPLICAOF and INFO by the machine; a resync is one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model import redis_server
from model.effects import INFO, INFO_REPLY, MESSAGE, OUT, PRIMARY, REPLICA, REPLICAOF, clear
from model.explorer.failover.masks import Bits
from model.explorer.failover.states import DOWN, FROZEN, NOW_US, UP, Server, Setting
from model.explorer.parts import Local, Message, Move, Received


class Servers:
    """Moves, receptions, guards and marks of the servers.

    Parameters
    ----------
    setting : Setting
    bits : Bits
    """

    def __init__(self, setting: Setting, bits: Bits) -> None:
        self.setting, self.bits, self.count = setting, bits, setting.sentinels
        self._redis = [_new_server(number, self.count) for number in range(self.count)]
        self._out, self._message = OUT.new(), MESSAGE.new()

    def moves(self, me: int, local: Local) -> Iterator[Move]:
        """A replica gets in sync with its primary."""
        server = Server(*local)
        if server.process != UP or server.role != REPLICA:
            return
        primary = server.primary - 1
        silent = self.bits.server_down(primary) | self.bits.host_down(primary)
        silent |= self.bits.cut(me) | self.bits.cut(primary)
        here = self.bits.host_down(me)
        yield Move("sync", server, self.count + primary, ("sync?", me), without=silent | here)

    def receive(self, me: int, local: Local, message: Message) -> Received | None:
        """What a command, a resync or a fault does to it."""
        server = Server(*local)
        kind = message[0]
        if kind == "kill":
            return Received(server._replace(process=DOWN, is_linked=0)) if server.process == UP else None
        if kind == "freeze":
            return Received(server._replace(process=FROZEN)) if server.process == UP else None
        if kind == "go-on":
            return Received(server._replace(process=UP)) if server.process == FROZEN else None
        if kind == "start":
            has_data = server.has_data if self.setting.keeps_data else 0
            return Received(server._replace(process=UP, is_linked=0, has_data=has_data))
        if kind == "synced":
            return Received(server._replace(is_linked=1, has_data=int(message[1])))
        if server.process != UP:
            return None
        if kind == "sync?":
            offers = server.role == PRIMARY or server.is_linked
            return Received(server, ("synced", server.has_data)) if offers else None
        return self._serves(me, server, message)

    def _serves(self, me: int, server: Server, message: Message) -> Received:
        """INFO and REPLICAOF, by the machine."""
        node, letter, out = self._redis[me], self._message, self._out
        clear(letter)
        out.n = 0
        node.role, node.primary, node.down_since_s = server.role, server.primary, 0
        node.link = redis_server.LINK_IS_UP if server.is_linked else redis_server.LINK_WAIT
        letter.kind = INFO if message[0] == "info?" else REPLICAOF
        letter.primary = 0 if letter.kind == INFO else int(message[1])
        redis_server.on_message(node, NOW_US, 0, letter, out)
        if letter.kind == INFO:
            told = next(each.message for each in self._out.effects[: self._out.n] if each.message.kind == INFO_REPLY)
            return Received(server, ("info", me, told.role, told.primary, told.link_up, message[2]))
        linked = int(node.link == redis_server.LINK_IS_UP)
        return Received(server._replace(role=node.role, primary=node.primary, is_linked=linked))

    def marks(self, me: int, local: Local) -> int:
        """What properties speak of."""
        server = Server(*local)
        bits = self.bits
        follows = server.primary - 1 if server.role == REPLICA else me
        settled = server.process == UP and (server.role == PRIMARY or server.is_linked)
        marks = bits.all_astray & ~bits.astray(follows) if settled else bits.all_astray
        marks |= bits.writable(me) if server.process == UP and server.role == PRIMARY else 0
        return marks | (0 if server.has_data else bits.lacks(me))

    def guards(self, me: int, local: Local) -> int:
        """Whether it answers, and whether it runs."""
        process = Server(*local).process
        guards = self.bits.server_down(me) if process != UP else 0
        return guards | (self.bits.killed(me) if process == DOWN else 0)

    def is_urgent(self, local: Local) -> bool:
        """Never."""
        return False

    def colour(self, local: Local) -> int:
        """All that names nobody."""
        server = Server(*local)
        return server.process << 4 | server.role << 2 | server.is_linked << 1 | server.has_data

    def renamed(self, local: Local, renaming: tuple[int, ...]) -> Local:
        """Under other names."""
        server = Server(*local)
        return server._replace(primary=1 + renaming.index(server.primary - 1) if server.primary else 0)

    def say(self, me: str, to: str, move: Move) -> str:
        """A step in words."""
        return f"{me} gets in sync with {to}"

    def note(self, before: Local, after: Local) -> str:
        """What a reader wants to know of a change."""
        old, new = Server(*before), Server(*after)
        if new.role == PRIMARY:
            return "is primary" if old.role != PRIMARY else ""
        return f"follows server {new.primary}" if new.primary != old.primary else ""


def _new_server(number: int, hosts: int) -> Any:
    node = redis_server.REDIS.new()
    node.me, node.hosts, node.priority = number, hosts, 100
    return node
