"""The hosts of a run and the wires between them.

Each host is a network namespace with two cards, as servers often have: the *cluster* network carries Redis, Sentinel
and what a registrar node asks its Redis; the *client* network carries SIP and the probers. The observer (this
process) sits in a namespace of its own on the client network, so it sees a host the way a client does::

      10.77.1.<n>  cluster ════╤═════════╤═════════╤═══     (or one for each side of a partition)
                             host1     host2     host3
      10.77.2.<n>  client  ════╧═════════╧═════════╧════╤═
                                                    observer .254

A fault of the network is a switch port that is pulled or moved, or packets that get lost or late on the way: nothing is
reset, nothing is refused, the host's programs live on and its card keeps its carrier. Packets simply end, address
resolution included, which is what decides how connections to a lost neighbour fail. `wires` has the cluster network
in two kinds; the client network is a kernel bridge and is never shaped.

Phones are no neighbours of the nodes: there are routers in between, and a lost host is silent for them, not
"unreachable". Where there are clients, the observer knows the hosts' hardware addresses once and for all.

`LoopbackNetwork` is for machines that refuse namespaces: hosts are addresses in 127.0.0.0/8. Programs can be killed and
stopped there, cables cannot be pulled.

Left out: routers between the hosts.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from model.errors import EnvironmentLacks
from reference_node.lab import kernel
from reference_node.lab.isolation import require_network_faults
from reference_node.lab.wires import SIDES, Bridges, BridgeWires, Shape, SwitchWires, Wires

CLUSTER, CLIENT = "cluster", "client"
"""The two networks; the second is the name of its bridge too."""

OBSERVER = 254
"""Last byte of the observer's address."""

OBSERVER_ARP_MS = 20
"""Pause between the observer's address queries, so that it sees a host return within about a slot of the probers and
not at the end of the kernel's 1000 ms. Hosts keep the kernel's value. Kind: assumed."""

MAX_LOOPBACK_RUNS = 200
"""Most runs at once on loopback addresses, 127.77.1.x to 127.77.200.x. Kind: assumed."""

DNS_PORT, UNPRIVILEGED_DNS_PORT = 53, 10_053
"""Ports of the name server on the observer; the second on loopback addresses for everybody but root.
Kind: specified (RFC 1035 section 4.2), assumed."""

LOCK_PORT = 6379
"""Port that marks a loopback range as taken. Kind: assumed."""

Env = Mapping[str, str]
"""Environment of a program."""


class Network(Protocol):
    """What a cluster needs to know of its network."""

    isolation: str

    def address(self, host: str) -> str:
        """Address of `host` among its peers."""

    def client_address(self, host: str) -> str:
        """Address of `host` for clients and for the observer."""

    def bind_address(self, host: str) -> str | None:
        """The only address that programs of `host` may listen on; None when all are its own."""

    @property
    def name_server(self) -> tuple[str, int]:
        """Address of the observer and the port for a name server there."""

    def spawn(self, host: str, argv: Sequence[str], folder: Path, log: Path, env: Env) -> subprocess.Popen:
        """Start a program on `host`; its output is appended to `log`."""

    def detach(self, host: str) -> None:
        """Pull both cables of `host`, if they are in."""

    def attach(self, host: str) -> None:
        """Plug both cables of `host` in again, if they are out."""

    def cut(self, host: str, side: int = 1) -> None:
        """Move `host` to a side of the split cluster network (all start on 0); all hosts there see each other."""

    def heal(self) -> None:
        """End all splits."""

    def drop(self, host: str, to: str, percent: int) -> None:
        """Lose so many of the packets from `host` to `to` (``*`` = every other host) on the cluster network."""

    def deliver(self, host: str, to: str) -> None:
        """Lose no more of them than the scenario's link does."""

    def delay(self, host: str, to: str, delay_us: int, jitter_us: int) -> None:
        """Delay packets from `host` to `to` (``*`` = every other host) on the cluster network, one way, from now on."""

    @property
    def late_us(self) -> int:
        """Most that a packet was later than its law, since the start or since `forget_lateness`."""

    def forget_lateness(self) -> None:
        """Count `late_us` from now on."""


class NamespaceNetwork:
    """Hosts as network namespaces. Makes them, and moves the caller into the observer's.

    Parameters
    ----------
    hosts : sequence of str
    shape : Shape or None
        Delay and loss on the cluster network; None for a bridge of the kernel, which cannot `drop` and `delay`.
    settings : mapping of str to int or None
        Kernel settings of all hosts and the observer, by their name below ``net.ipv4``.
    behind_routers : bool
        Whether the observer is too far away to notice by itself that a host is gone (see the module's head).
    """

    isolation = "namespaces"
    name_server = (f"10.77.2.{OBSERVER}", DNS_PORT)

    def __init__(
        self,
        hosts: Sequence[str],
        shape: Shape | None = None,
        settings: Mapping[str, int] | None = None,
        *,
        behind_routers: bool = False,
    ) -> None:
        self._settings, self._behind_routers = settings or {}, behind_routers
        self._number = {host: number for number, host in enumerate(hosts, start=1)}
        self._namespace: dict[str, int] = {}
        self._client_port: dict[str, int] = {}
        self._detached: set[str] = set()
        self._bridges = Bridges()
        self._wires = self._build(shape)

    def address(self, host: str) -> str:
        return f"10.77.1.{self._number[host]}"

    def client_address(self, host: str) -> str:
        return f"10.77.2.{self._number[host]}"

    def bind_address(self, host: str) -> str | None:
        return None

    def spawn(self, host: str, argv: Sequence[str], folder: Path, log: Path, env: Env) -> subprocess.Popen:
        with kernel.inside(self._namespace[host]):
            return _start(argv, folder, log, env)

    def detach(self, host: str) -> None:
        if host not in self._detached:
            self._detached.add(host)
            self._wires.unplug(host)
            self._bridges.remove(CLIENT, self._client_port[host])

    def attach(self, host: str) -> None:
        if host in self._detached:
            self._detached.remove(host)
            self._wires.plug(host)
            self._bridges.add(CLIENT, self._client_port[host])

    def cut(self, host: str, side: int = 1) -> None:
        self._wires.move(host, side)

    def heal(self) -> None:
        for host in self._number:
            self._wires.move(host, 0)

    def drop(self, host: str, to: str, percent: int) -> None:
        self._wires.drop(host, to, percent)

    def deliver(self, host: str, to: str) -> None:
        self._wires.deliver(host, to)

    def delay(self, host: str, to: str, delay_us: int, jitter_us: int) -> None:
        self._wires.delay(host, to, delay_us, jitter_us)

    @property
    def late_us(self) -> int:
        return self._wires.late_us

    def forget_lateness(self) -> None:
        self._wires.forget_lateness()

    def _build(self, shape: Shape | None) -> Wires:
        from pyroute2 import IPRoute  # here, because it takes most of a second and loopback runs do without

        cluster_port: dict[str, int] = {}
        hardware: dict[str, str] = {}
        with IPRoute() as link:
            for name in (CLIENT,) if shape else (CLIENT, *SIDES):
                self._bridges.make(link, name)
            for host, number in self._number.items():
                inner = self._namespace[host] = kernel.new_network()
                cluster_port[host] = _make_cable(link, IPRoute, f"{CLUSTER}{number}", inner, self.address(host))
                port = _make_cable(link, IPRoute, f"{CLIENT}{number}", inner, self.client_address(host))
                self._client_port[host] = port
                self._bridges.add(CLIENT, port)
                hardware[self.client_address(host)] = _hardware_address(IPRoute, inner, f"{CLIENT}{number}")
            observer = kernel.new_network()
            self._bridges.add(CLIENT, _make_cable(link, IPRoute, "observer", observer, f"10.77.2.{OBSERVER}"))
        wires = self._make_switch(shape) if shape else BridgeWires(self._bridges, cluster_port)
        kernel.enter_network(observer)
        with suppress(OSError):  # read-only in some containers: the observer is then as slow as everybody
            Path("/proc/sys/net/ipv4/neigh/observer/retrans_time_ms").write_text(str(OBSERVER_ARP_MS))
        if self._behind_routers:
            with IPRoute() as link:
                _know_for_ever(link, "observer", hardware)
        for namespace in (observer, *self._namespace.values()):
            with kernel.inside(namespace):
                for name, value in self._settings.items():
                    _set(name, value)
        return wires

    def _make_switch(self, shape: Shape) -> SwitchWires:
        cards = {host: f"{CLUSTER}{number}" for host, number in self._number.items()}
        for host, card in cards.items():
            with kernel.inside(self._namespace[host]):
                kernel.finish_checksums(card)  # the switch forwards what a wire would carry
        return SwitchWires(cards, shape)


class LoopbackNetwork:
    """Hosts as addresses 127.77.<k>.<n>, where k is the first range that no other run has taken.

    Parameters
    ----------
    hosts : sequence of str
    """

    isolation = "loopback"
    late_us = 0

    def __init__(self, hosts: Sequence[str]) -> None:
        self._range, self._lock = _take_range()
        self._number = {host: number for number, host in enumerate(hosts, start=1)}

    def address(self, host: str) -> str:
        return f"127.77.{self._range}.{self._number[host]}"

    client_address = address
    bind_address = address

    @property
    def name_server(self) -> tuple[str, int]:
        return f"127.77.{self._range}.{OBSERVER}", UNPRIVILEGED_DNS_PORT if os.geteuid() else DNS_PORT

    def spawn(self, host: str, argv: Sequence[str], folder: Path, log: Path, env: Env) -> subprocess.Popen:
        # Without a PID namespace every program is on a leash of its own.
        return _start(["setpriv", "--pdeathsig", "KILL", *argv], folder, log, env)

    def detach(self, host: str) -> None:
        require_network_faults(self.isolation, ["vanish"])

    def attach(self, host: str) -> None:
        require_network_faults(self.isolation, ["return"])

    def cut(self, host: str, side: int = 1) -> None:
        require_network_faults(self.isolation, ["partition"])

    def heal(self) -> None:
        require_network_faults(self.isolation, ["heal"])

    def drop(self, host: str, to: str, percent: int) -> None:
        require_network_faults(self.isolation, ["drop"])

    def deliver(self, host: str, to: str) -> None:
        require_network_faults(self.isolation, ["deliver"])

    def delay(self, host: str, to: str, delay_us: int, jitter_us: int) -> None:
        require_network_faults(self.isolation, ["delay"])

    def forget_lateness(self) -> None:
        """Nothing to forget."""


def _start(argv: Sequence[str], folder: Path, log: Path, env: Env) -> subprocess.Popen:
    with log.open("ab") as output:
        return subprocess.Popen(
            argv, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _make_cable(link, open_link, name: str, namespace: int, address: str) -> int:
    """A cable to a card with `address` in `namespace`; both ends are called `name`.

    Returns the index of this end.
    """
    link.link("add", ifname=name, kind="veth", peer={"ifname": name, "net_ns_fd": namespace})
    port = link.link_lookup(ifname=name)[0]
    link.link("set", index=port, state="up")
    with kernel.inside(namespace), open_link() as inner:
        card = inner.link_lookup(ifname=name)[0]
        inner.addr("add", index=card, address=address, prefixlen=24)
        for index in (card, inner.link_lookup(ifname="lo")[0]):
            inner.link("set", index=index, state="up")
    return port


def _hardware_address(open_link, namespace: int, card: str) -> str:
    with kernel.inside(namespace), open_link() as inner:
        return inner.get_links(inner.link_lookup(ifname=card)[0])[0].get_attr("IFLA_ADDRESS")


def _know_for_ever(link, card: str, hardware: Mapping[str, str]) -> None:
    """Address resolution that cannot fail."""
    index = link.link_lookup(ifname=card)[0]
    for address, each in hardware.items():
        link.neigh("replace", dst=address, lladdr=each, ifindex=index, state="permanent")


def _set(name: str, value: int) -> None:
    """Set a kernel setting of the current network namespace, unless it is so already."""
    path = Path("/proc/sys/net/ipv4") / name
    if int(path.read_text()) == value:
        return
    try:
        path.write_text(str(value))
    except OSError as error:
        raise EnvironmentLacks(
            f"cannot set net.ipv4.{name} = {value} in a network namespace: {error.strerror}\n\n"
            "hint: the scenario's network section asks for it; without a container it can be set"
        ) from None


def _take_range() -> tuple[int, socket.socket]:
    """The first free loopback range, and the listening socket that marks it as taken."""
    for number in range(1, MAX_LOOPBACK_RUNS + 1):
        lock = socket.socket()
        try:
            lock.bind((f"127.77.{number}.{OBSERVER}", LOCK_PORT))
            lock.listen(1)  # two sockets may be bound to an address, but only one can listen
            return number, lock
        except OSError:
            lock.close()
    raise EnvironmentLacks(
        f"none of the {MAX_LOOPBACK_RUNS} loopback ranges is free\n\nhint: is port {LOCK_PORT} taken on all addresses?"
    )
