"""The hosts of a run and the wires between them.

Each host is a network namespace with two cards, as servers often have: the *cluster* network carries Redis, Sentinel
and what a registrar node asks its Redis; the *client* network carries SIP and the probers. The observer (this
process) sits in a namespace of its own on the client network, so it sees a host the way a client does::

      10.77.1.<n>  cluster ════╤═════════╤═════════╤═══     (other side ═══, for partitions)
                             host1     host2     host3
      10.77.2.<n>  client  ════╧═════════╧═════════╧════╤═
                                                    observer .254

All faults of the network are switch ports that are taken out of a bridge or moved to another one: nothing is reset,
nothing is refused, the host's programs live on and its card keeps its carrier. Packets simply end, address resolution
included, which is what decides how connections to a lost neighbour fail.

`LoopbackNetwork` is for machines that refuse namespaces: hosts are addresses in 127.0.0.0/8. Programs can be killed and
stopped there, cables cannot be pulled.

Left out: delay and loss on the wires (``tc netem`` is missing in many kernels), routers between the hosts.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from model.errors import EnvironmentLacks
from reference_node.lab import kernel
from reference_node.lab.isolation import require_network_faults

CLUSTER, CLIENT, OTHER_SIDE = "cluster", "client", "otherside"
"""Names of the bridges."""

OBSERVER = 254
"""Last byte of the observer's address."""

OBSERVER_ARP_MS = 20
"""Pause between the observer's address queries, so that it sees a host return within about a slot of the probers and
not at the end of the kernel's 1000 ms. Hosts keep the kernel's value. Kind: assumed."""

MAX_LOOPBACK_RUNS = 200
"""Most runs at once on loopback addresses, 127.77.1.x to 127.77.200.x. Kind: assumed."""

LOCK_PORT = 6379
"""Port that marks a loopback range as taken. Kind: assumed."""

Env = Mapping[str, str]
"""Environment of a program."""

_ADD_PORT, _REMOVE_PORT = 0x89A2, 0x89A3  # SIOCBRADDIF, SIOCBRDELIF of linux/sockios.h
_BRIDGE_REQUEST = "16si20x"  # struct ifreq: name of the bridge, index of the port


class Network(Protocol):
    """What a cluster needs to know of its network."""

    isolation: str

    def address(self, host: str) -> str:
        """Address of `host` among its peers."""

    def client_address(self, host: str) -> str:
        """Address of `host` for clients and for the observer."""

    def bind_address(self, host: str) -> str | None:
        """The only address that programs of `host` may listen on; None when all are its own."""

    def spawn(self, host: str, argv: Sequence[str], folder: Path, log: Path, env: Env) -> subprocess.Popen:
        """Start a program on `host`; its output is appended to `log`."""

    def detach(self, host: str) -> None:
        """Pull both cables of `host`, if they are in."""

    def attach(self, host: str) -> None:
        """Plug both cables of `host` in again, if they are out."""

    def cut(self, host: str) -> None:
        """Move `host` to the other side of the split cluster network; all hosts there see each other."""

    def heal(self) -> None:
        """End all splits."""


class NamespaceNetwork:
    """Hosts as network namespaces. Makes them, and moves the caller into the observer's.

    Parameters
    ----------
    hosts : sequence of str
    """

    isolation = "namespaces"

    def __init__(self, hosts: Sequence[str]) -> None:
        self._number = {host: number for number, host in enumerate(hosts, start=1)}
        self._namespace: dict[str, int] = {}
        self._ports: dict[tuple[str, str], int] = {}
        self._side = dict.fromkeys(hosts, CLUSTER)
        self._detached: set[str] = set()
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # stays with the bridges
        self._build()

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
            self._unplug(host, self._side[host])
            self._unplug(host, CLIENT)

    def attach(self, host: str) -> None:
        if host in self._detached:
            self._detached.remove(host)
            self._plug(host, self._side[host])
            self._plug(host, CLIENT)

    def cut(self, host: str) -> None:
        self._move(host, OTHER_SIDE)

    def heal(self) -> None:
        for host in self._number:
            self._move(host, CLUSTER)

    def _move(self, host: str, side: str) -> None:
        """Move the cluster cable; that of a host without cables is moved when it is plugged in again."""
        if side != self._side[host] and host not in self._detached:
            self._unplug(host, self._side[host])
            self._plug(host, side)
        self._side[host] = side

    def _plug(self, host: str, bridge: str) -> None:
        self._change(_ADD_PORT, host, bridge)

    def _unplug(self, host: str, bridge: str) -> None:
        self._change(_REMOVE_PORT, host, bridge)

    def _change(self, request: int, host: str, bridge: str) -> None:
        # An ioctl and not a netlink message: it returns when the port has moved, so faults can be stamped exactly.
        port = self._ports[host, CLIENT if bridge == CLIENT else CLUSTER]
        fcntl.ioctl(self._control, request, struct.pack(_BRIDGE_REQUEST, bridge.encode(), port))

    def _build(self) -> None:
        from pyroute2 import IPRoute  # here, because it takes most of a second and loopback runs do without

        with IPRoute() as link:
            bridges = {name: _make_bridge(link, name) for name in (CLUSTER, CLIENT, OTHER_SIDE)}
            for host, number in self._number.items():
                self._namespace[host] = kernel.new_network()
                for network, byte in ((CLUSTER, 1), (CLIENT, 2)):
                    port = _make_cable(
                        link,
                        IPRoute,
                        bridges[network],
                        f"{network}{number}",
                        self._namespace[host],
                        f"10.77.{byte}.{number}",
                    )
                    self._ports[host, network] = port
            observer = kernel.new_network()
            _make_cable(link, IPRoute, bridges[CLIENT], "observer", observer, f"10.77.2.{OBSERVER}")
        kernel.enter_network(observer)
        with suppress(OSError):  # read-only in some containers: the observer is then as slow as everybody
            Path("/proc/sys/net/ipv4/neigh/observer/retrans_time_ms").write_text(str(OBSERVER_ARP_MS))


class LoopbackNetwork:
    """Hosts as addresses 127.77.<k>.<n>, where k is the first range that no other run has taken.

    Parameters
    ----------
    hosts : sequence of str
    """

    isolation = "loopback"

    def __init__(self, hosts: Sequence[str]) -> None:
        self._range, self._lock = _take_range()
        self._number = {host: number for number, host in enumerate(hosts, start=1)}

    def address(self, host: str) -> str:
        return f"127.77.{self._range}.{self._number[host]}"

    client_address = address
    bind_address = address

    def spawn(self, host: str, argv: Sequence[str], folder: Path, log: Path, env: Env) -> subprocess.Popen:
        # Without a PID namespace every program is on a leash of its own.
        return _start(["setpriv", "--pdeathsig", "KILL", *argv], folder, log, env)

    def detach(self, host: str) -> None:
        require_network_faults(self.isolation, ["vanish"])

    def attach(self, host: str) -> None:
        require_network_faults(self.isolation, ["return"])

    def cut(self, host: str) -> None:
        require_network_faults(self.isolation, ["partition"])

    def heal(self) -> None:
        require_network_faults(self.isolation, ["heal"])


def _start(argv: Sequence[str], folder: Path, log: Path, env: Env) -> subprocess.Popen:
    with log.open("ab") as output:
        return subprocess.Popen(
            argv, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _make_bridge(link, name: str) -> int:
    """A bridge that forwards at once: no spanning tree, no learning pause."""
    link.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0)
    index = link.link_lookup(ifname=name)[0]
    link.link("set", index=index, state="up")
    return index


def _make_cable(link, open_link, bridge: int, name: str, namespace: int, address: str) -> int:
    """A cable from `bridge` to a card with `address` in `namespace`; both ends are called `name`.

    Returns the index of the bridge's end.
    """
    link.link("add", ifname=name, kind="veth", peer={"ifname": name, "net_ns_fd": namespace})
    port = link.link_lookup(ifname=name)[0]
    link.link("set", index=port, master=bridge, state="up")
    with kernel.inside(namespace), open_link() as inner:
        card = inner.link_lookup(ifname=name)[0]
        inner.addr("add", index=card, address=address, prefixlen=24)
        for index in (card, inner.link_lookup(ifname="lo")[0]):
            inner.link("set", index=index, state="up")
    return port


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
