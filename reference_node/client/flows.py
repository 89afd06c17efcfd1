"""How a SIP client reaches nodes: one UDP socket for all, or a TCP or TLS connection for each flow.

Unlike a node, a client is told at once when something is wrong with a flow, since that is what it fails over by: a
connection that is refused, reset or closed, and over UDP an ICMP error, which the kernel keeps for whoever asks
(IP_RECVERR, ip(7)). The UDP socket is not connected, as in most phones: requests may come from any node.

No limit of time is set to connects and handshakes here: the kernel's and the client machine's are those that count.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from cryptography import x509

from reference_node.sip import peer_certificate
from reference_node.sip.framing import Framer, Unframed
from reference_node.sip.message import Address
from reference_node.sip.transports import LARGEST_DATAGRAM, local_address

IP_RECVERR = 11
"""Option of ip(7) that the socket module does not name. Kind: specified (linux/in.h)."""

MSG_ERRQUEUE = 0x2000
"""Flag of recvmsg(2). Kind: specified (linux/socket.h)."""

ERROR_FROM_ICMP = 2
"""Origin of an error in the queue: it came from the network. Kind: specified (linux/errqueue.h)."""

HANDSHAKE_S = 3_600.0
"""Longest TLS handshake, s: in effect none, the machine's limits come first. Kind: assumed."""


class Owner(Protocol):
    """Whom a flow tells what happens to it."""

    def opened(self, flow: Flow, certificate: int) -> None:
        """It can be used; over TLS, what the certificate is (`peer_certificate.describe`)."""

    def received(self, flow: Flow, data: bytes) -> None:
        """A message has come, or line ends alone (a keep-alive's answer)."""

    def closed(self, flow: Flow, by_icmp: bool) -> None:
        """It was refused or ended; over UDP: an ICMP error came, and the flow lives on."""


class Flow(Protocol):
    """One way to one node; `link` is the client's number for it."""

    link: int
    local: Address
    peer: Address

    @property
    def is_open(self) -> bool:
        """True when messages can be sent over it."""

    def send(self, data: bytes) -> None:
        """Send a message, or a keep-alive; whether it arrives is for others to find out."""

    def close(self) -> None:
        """Let go of it. The owner may still be told what has just happened to it."""

    def abort(self) -> None:
        """Let go of it without a word to the node."""


class DatagramPort:
    """The UDP socket of a client.

    Parameters
    ----------
    stranger : callable
        Gets a datagram from an address that no flow leads to, and that address.
    """

    def __init__(self, stranger: Callable[[bytes, Address], None]) -> None:
        self._stranger = stranger
        self._flows: dict[Address, DatagramFlow] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("0.0.0.0", 0))
        self._socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        self.number: int = self._socket.getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._drain)

    def open(self, owner: Owner, link: int, peer: Address) -> DatagramFlow:
        """A flow to `peer`; its owner is told that it is open soon after."""
        flow = self._flows[peer] = DatagramFlow(self, owner, link, peer)
        self._loop.call_soon(owner.opened, flow, 0)
        return flow

    def leave(self, flow: DatagramFlow) -> None:
        """Forget a flow."""
        if self._flows.get(flow.peer) is flow:
            del self._flows[flow.peer]

    def send(self, data: bytes, peer: Address) -> None:
        """Send a datagram; the first attempt may only fetch the error of an earlier one."""
        for _ in range(2):
            try:
                self._socket.sendto(data, peer)
            except BlockingIOError:
                return
            except OSError:
                continue
            return

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _drain(self) -> None:
        self._read_errors()
        while self._socket.fileno() >= 0:  # whoever is told may close it
            try:
                data, peer = self._socket.recvfrom(LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                self._read_errors()
                continue
            flow = self._flows.get(peer)
            if flow:
                flow.owner.received(flow, data)
            else:
                self._stranger(data, peer)

    def _read_errors(self) -> None:
        """Tell flows of the ICMP errors that the kernel keeps."""
        while True:
            try:
                _, ancillary, _, peer = self._socket.recvmsg(0, 512, MSG_ERRQUEUE)
            except OSError:
                return
            flow = self._flows.get(peer)
            if flow and _is_from_icmp(ancillary):
                flow.owner.closed(flow, by_icmp=True)


def _is_from_icmp(ancillary: Sequence[tuple[int, int, bytes]]) -> bool:
    """True when an entry of the error queue is about an ICMP message (struct sock_extended_err)."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR):
            _, origin = struct.unpack_from("=IB", data)
            return origin == ERROR_FROM_ICMP
    return False


class DatagramFlow:
    """What a client calls a flow over UDP: its socket and a node's address."""

    is_open = True

    def __init__(self, port: DatagramPort, owner: Owner, link: int, peer: Address) -> None:
        self.owner, self.link, self.peer = owner, link, peer
        self.local: Address = (local_address(peer), port.number)
        self._port = port

    def send(self, data: bytes) -> None:
        self._port.send(data, self.peer)

    def close(self) -> None:
        self._port.leave(self)

    abort = close


class StreamFlow(asyncio.Protocol):
    """A TCP or TLS connection to a node.

    Parameters
    ----------
    owner : Owner
    link : int
    peer : Address
    host, domain : str
        Name of the node, and the SIP domain: what its certificate should be for.
    authorities : sequence of x509.Certificate or None
        Who is trusted; None for TCP without TLS.
    """

    def __init__(
        self,
        owner: Owner,
        link: int,
        peer: Address,
        host: str,
        domain: str,
        authorities: Sequence[x509.Certificate] | None,
    ) -> None:
        self.link, self.peer, self.local = link, peer, ("", 0)
        self._owner, self._host, self._domain, self._authorities = owner, host, domain, authorities
        self._framer = Framer(is_client=True)
        self._transport: Any = None
        self._opening = asyncio.create_task(self._open())

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._opening.cancel()
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        self._opening.cancel()
        if self._transport:
            self._transport.abort()

    async def _open(self) -> None:
        is_tls = self._authorities is not None
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self,
                *self.peer,
                ssl=peer_certificate.client_context() if is_tls else None,
                server_hostname=self._domain if is_tls else None,
                ssl_handshake_timeout=HANDSHAKE_S if is_tls else None,
            )
        except OSError:  # ssl.SSLError is one
            self._owner.closed(self, by_icmp=False)

    # From asyncio.

    def connection_made(self, transport: Any) -> None:
        """The connection is up, TLS handshake included."""
        self._transport = transport
        self.local = transport.get_extra_info("sockname")[:2]
        connection = transport.get_extra_info("ssl_object")
        self._owner.opened(self, self._describe(connection) if connection else 0)

    def data_received(self, data: bytes) -> None:
        """Something arrived. What cannot be cut into messages ends the flow."""
        try:
            for message in self._framer.feed(data):
                self._owner.received(self, message)
        except Unframed:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._owner.closed(self, by_icmp=False)

    def _describe(self, connection: ssl.SSLObject) -> int:
        chain = peer_certificate.chain_of(connection)
        return peer_certificate.describe(chain, self._authorities or (), self._domain, self._host, datetime.now(UTC))
