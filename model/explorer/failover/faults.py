"""The network of a failover: hosts and processes that fail and return."""

from __future__ import annotations

from collections.abc import Iterator

from model.explorer.failover.masks import Bits
from model.explorer.failover.states import HOST_DOWN, HOST_UP, SERVER_IS_BACK, Network, Setting
from model.explorer.parts import Local, Message, Move, Received

_HAPPENS = {
    "kill-server": "server {} is killed",
    "freeze": "server {} freezes",
    "kill-sentinel": "sentinel {} is killed",
    "tilt": "the clock of sentinel {} steps: TILT",
    "kill-host": "host {} is lost",
    "cut": "host {} is cut off",
    "start-server": "server {} starts again",
    "start-sentinel": "sentinel {} starts again",
    "go-on": "server {} goes on",
    "heal": "host {} is connected again",
}


class Faults:
    """Moves, guards and marks of the network.

    Parameters
    ----------
    setting : Setting
    bits : Bits
    """

    def __init__(self, setting: Setting, bits: Bits) -> None:
        self.setting, self.bits, self.count = setting, bits, setting.sentinels

    def moves(self, me: int, local: Local) -> Iterator[Move]:
        """Faults while there are any left, and returns."""
        network = Network(*local)
        if SERVER_IS_BACK in network.hosts:
            yield from self._returns(network.hosts.index(SERVER_IS_BACK), network)
            return
        for host in range(self.count):
            if network.faults:
                spent = network._replace(faults=network.faults - 1)
                yield from self._faults(host, spent)
            if self.setting.restarts:
                yield from self._returns(host, network)

    def _faults(self, host: int, spent: Network) -> Iterator[Move]:
        server, is_up = self.count + host, spent.hosts[host] == HOST_UP
        if "server" in self.setting.kinds and is_up:
            yield Move("kill-server", spent, server, ("kill",), about=(host,))
        if "freeze" in self.setting.kinds and is_up:
            yield Move("freeze", spent, server, ("freeze",), about=(host,))
        if "sentinel" in self.setting.kinds and is_up:
            yield Move("kill-sentinel", spent, host, ("stop",), about=(host,))
        if "tilt" in self.setting.kinds and is_up:
            yield Move("tilt", spent, host, ("tilt",), about=(host,))
        if "host" in self.setting.kinds and is_up:
            yield Move("kill-host", spent._replace(hosts=_with(spent.hosts, host, HOST_DOWN)), about=(host,))
        if "cut" in self.setting.kinds and not spent.cut[host]:
            yield Move("cut", spent._replace(cut=_with(spent.cut, host, 1)), host, ("cut",), about=(host,))

    def _returns(self, host: int, network: Network) -> Iterator[Move]:
        server, bits = self.count + host, self.bits
        if network.hosts[host] == HOST_DOWN:
            after = network._replace(hosts=_with(network.hosts, host, SERVER_IS_BACK))
            yield Move("start-server", after, server, ("start",), about=(host,))
        elif network.hosts[host] == SERVER_IS_BACK:
            after = network._replace(hosts=_with(network.hosts, host, HOST_UP))
            yield Move("start-sentinel", after, host, ("start",), about=(host,))
        else:
            if "server" in self.setting.kinds:
                yield Move("start-server", network, server, ("start",), with_any=bits.killed(host), about=(host,))
            if "freeze" in self.setting.kinds:
                yield Move("go-on", network, server, ("go-on",), about=(host,))
            if "sentinel" in self.setting.kinds:
                yield Move(
                    "start-sentinel", network, host, ("start",), with_any=bits.sentinel_down(host), about=(host,)
                )
        if network.cut[host]:
            yield Move("heal", network._replace(cut=_with(network.cut, host, 0)), host, ("heal",), about=(host,))

    def receive(self, me: int, local: Local, message: Message) -> Received | None:
        """An order is held up: a fault as well."""
        network = Network(*local)
        return Received(network._replace(faults=network.faults - 1)) if network.faults else None

    def guards(self, me: int, local: Local) -> int:
        """Hosts that are off, or cut off."""
        network, guards = Network(*local), 0
        for host in range(self.count):
            guards |= self.bits.host_down(host) if network.hosts[host] != HOST_UP else 0
            guards |= self.bits.cut(host) if network.cut[host] else 0
        return guards

    def marks(self, me: int, local: Local) -> int:
        """Nothing is settled while a host is away."""
        network = Network(*local)
        marks = self.bits.all_astray if any(network.hosts) or any(network.cut) else 0
        for host in range(self.count):
            marks |= self.bits.off(host) if network.hosts[host] != HOST_UP else 0
        return marks

    def is_urgent(self, local: Local) -> bool:
        """A host that starts starts all that runs on it."""
        return SERVER_IS_BACK in Network(*local).hosts

    def colour(self, local: Local) -> int:
        """The network is none of the hosts."""
        return 0

    def renamed(self, local: Local, renaming: tuple[int, ...]) -> Local:
        """Under other names."""
        network = Network(*local)
        hosts, cut = (tuple(row[old] for old in renaming) for row in (network.hosts, network.cut))
        return network._replace(hosts=hosts, cut=cut)

    def say(self, me: str, to: str, move: Move) -> str:
        """A step in words."""
        return _HAPPENS[move.kind].format(1 + move.about[0])

    def note(self, before: Local, after: Local) -> str:
        """The step says it."""
        return ""


def _with(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return (*values[:at], value, *values[at + 1 :])
