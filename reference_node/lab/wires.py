"""The wires of the cluster network: kernel bridges where nothing is shaped, a user-space switch where something is.

Both have the same faults: a cable is pulled and plugged in again, a host is moved to a side of the split network. The
bridges are the kernel's own, with nothing of ours in between. Only the switch knows the ways from host to host one by
one; it costs a wake-up for each frame, so a scenario gets it only if it shapes (see `isolation.shaping`).
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from model.errors import EnvironmentLacks
from model.scenario import MAX_HOSTS, Link, Scenario
from reference_node.lab.isolation import shaping

SIDES = tuple(f"side{number}" for number in range(MAX_HOSTS))
"""Names of the bridges, one for each side of the cluster network; all hosts start on the first."""

SWITCH_MODULE = "reference_node.lab.switch"
"""What runs as a switch."""

_ADD_PORT, _REMOVE_PORT = 0x89A2, 0x89A3  # SIOCBRADDIF, SIOCBRDELIF of linux/sockios.h
_BRIDGE_REQUEST = "16si20x"  # struct ifreq: name of the bridge, index of the port


@dataclass(frozen=True, slots=True)
class Law:
    """What happens to packets on the way from one host to another.

    Attributes
    ----------
    delay_us : int
        One-way delay.
    jitter_us : int
        Random delay on top, uniform from 0 to this.
    loss_percent : int
    """

    delay_us: int
    jitter_us: int = 0
    loss_percent: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """What a scenario asks of the ways between its hosts.

    Attributes
    ----------
    delay_us : int
        One-way delay of all ways that no link names.
    links : tuple of Link
        Ways that differ; a later one wins.
    seed : int
        Of losses and jitter.
    """

    delay_us: int
    links: tuple[Link, ...] = ()
    seed: int = 0

    @classmethod
    def of(cls, scenario: Scenario, seed: int) -> Shape | None:
        """The shape of a scenario, None when bridges will do."""
        return cls(scenario.network.delay_us, scenario.link, seed) if shaping(scenario) else None

    def laws(self, hosts: Sequence[str]) -> dict[tuple[str, str], Law]:
        """The law of each way."""
        laws = dict.fromkeys(ways(hosts), Law(self.delay_us))
        for link in self.links:
            for way in ways(hosts, link.from_, link.to):
                laws[way] = Law(link.delay_us, link.jitter_us, link.loss_percent)
        return laws


def ways(hosts: Sequence[str], source: str = "*", to: str = "*") -> Iterator[tuple[str, str]]:
    """All ways from `source` to `to`; ``*`` is every host."""
    for a in hosts:
        for b in hosts:
            if a != b and source in ("*", a) and to in ("*", b):
                yield a, b


class Wires(Protocol):
    """What the cluster network of a run can do. Each change is in force when its call returns."""

    def unplug(self, host: str) -> None:
        """Pull the cable of `host`."""

    def plug(self, host: str) -> None:
        """Plug it in again, on the side where the host is by then."""

    def move(self, host: str, side: int) -> None:
        """Put `host` on a side of the network."""

    def drop(self, host: str, to: str, percent: int) -> None:
        """Lose so many of the packets from `host` to `to`."""

    def deliver(self, host: str, to: str) -> None:
        """Lose no more of them than the scenario's link does."""

    def delay(self, host: str, to: str, delay_us: int, jitter_us: int) -> None:
        """Delay packets from `host` to `to`."""

    @property
    def late_us(self) -> int:
        """Most that a packet was later than its law."""

    def forget_lateness(self) -> None:
        """Count `late_us` from now on."""


class Bridges:
    """Kernel bridges of this network namespace, whatever namespace the caller moves to later."""

    def __init__(self) -> None:
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # stays with the bridges

    def make(self, link, name: str) -> None:
        """A bridge that forwards at once: no spanning tree, no learning pause."""
        link.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0)
        link.link("set", index=link.link_lookup(ifname=name)[0], state="up")

    def add(self, bridge: str, port: int) -> None:
        """Put a port, given by its index, into a bridge."""
        self._change(_ADD_PORT, bridge, port)

    def remove(self, bridge: str, port: int) -> None:
        """Take it out."""
        self._change(_REMOVE_PORT, bridge, port)

    def _change(self, request: int, bridge: str, port: int) -> None:
        # An ioctl and not a netlink message: it returns when the port has moved, so faults can be stamped exactly.
        fcntl.ioctl(self._control, request, struct.pack(_BRIDGE_REQUEST, bridge.encode(), port))


class BridgeWires:
    """One kernel bridge for each side.

    Parameters
    ----------
    bridges : Bridges
        With one of each name of `SIDES`.
    ports : mapping of str to int
        Index of each host's port.
    """

    late_us = 0

    def __init__(self, bridges: Bridges, ports: Mapping[str, int]) -> None:
        self._bridges, self._ports = bridges, dict(ports)
        self._side = dict.fromkeys(ports, 0)
        self._unplugged: set[str] = set(ports)
        for host in ports:
            self.plug(host)

    def unplug(self, host: str) -> None:
        self._unplugged.add(host)
        self._bridges.remove(SIDES[self._side[host]], self._ports[host])

    def plug(self, host: str) -> None:
        self._unplugged.remove(host)
        self._bridges.add(SIDES[self._side[host]], self._ports[host])

    def move(self, host: str, side: int) -> None:
        if host in self._unplugged or side == self._side[host]:
            self._side[host] = side
            return
        self.unplug(host)
        self._side[host] = side
        self.plug(host)

    def drop(self, host: str, to: str, percent: int) -> None:
        raise AssertionError("bridges do not shape; this network was made without a shape")

    def deliver(self, host: str, to: str) -> None:
        self.drop(host, to, 0)

    def delay(self, host: str, to: str, delay_us: int, jitter_us: int) -> None:
        self.drop(host, to, 0)

    def forget_lateness(self) -> None:
        """Nothing to forget."""


class SwitchWires:
    """A switch process; starts it here, in the caller's network namespace.

    Parameters
    ----------
    cards : mapping of str to str
        Name of the switch's end of each host's cable.
    shape : Shape

    Raises
    ------
    EnvironmentLacks
        The switch did not start. Any call raises it when the switch has ended.
    """

    def __init__(self, cards: Mapping[str, str], shape: Shape) -> None:
        self._port = {host: number for number, host in enumerate(cards)}
        self._laws = shape.laws(tuple(cards))
        self._drops: dict[tuple[str, str], int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", SWITCH_MODULE, str(shape.seed), *cards.values()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # its own share of the processors where they are shared out by session: less late
        )
        self._tell(self._laws)

    @property
    def pid(self) -> int:
        """Process id of the switch."""
        return self._process.pid

    def unplug(self, host: str) -> None:
        self._order(plugs=[[self._port[host], False]])

    def plug(self, host: str) -> None:
        self._order(plugs=[[self._port[host], True]])

    def move(self, host: str, side: int) -> None:
        self._order(sides=[[self._port[host], side]])

    def drop(self, host: str, to: str, percent: int) -> None:
        changed = list(ways(tuple(self._port), host, to))
        self._drops.update(dict.fromkeys(changed, percent))
        self._tell(changed)

    def deliver(self, host: str, to: str) -> None:
        changed = list(ways(tuple(self._port), host, to))
        for way in changed:
            self._drops.pop(way, None)
        self._tell(changed)

    def delay(self, host: str, to: str, delay_us: int, jitter_us: int) -> None:
        changed = list(ways(tuple(self._port), host, to))
        for way in changed:
            self._laws[way] = replace(self._laws[way], delay_us=delay_us, jitter_us=jitter_us)
        self._tell(changed)

    @property
    def late_us(self) -> int:
        return self._order()["late_us"]

    def forget_lateness(self) -> None:
        self._order(forget=True)

    def _tell(self, changed: Sequence[tuple[str, str]] | Mapping[tuple[str, str], Law]) -> None:
        """Give the switch the laws of some ways, all at once."""
        entries = []
        for way in changed:
            law, (source, to) = self._laws[way], way
            loss = self._drops.get(way, law.loss_percent)
            entries.append([self._port[source], self._port[to], law.delay_us, law.jitter_us, loss])
        self._order(ways=entries)

    def _order(self, **order) -> dict:
        """Give an order and wait until it is in force."""
        with suppress(BrokenPipeError):  # its answer is missing too
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise EnvironmentLacks(f"the switch of the cluster network ended (exit code {self._process.wait()})")
        return json.loads(answer)
