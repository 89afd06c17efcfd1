"""SIP over UDP, TCP and TLS: listening, connecting, and knowing which connection a phone is on.

::

    UDP socket ------------------.
    TCP listener --> Connection --+--> receive(message, flow) ... flow.send(answer)
    TLS listener --> Connection --'
                     ^
    flow_to(transport, address) opens one, or finds it

A *flow* is the way back to whoever sent a message: the address it came from (UDP), or its connection. Connections have
a name that goes into records as ``fs-conn-id``, since a phone behind NAT can be reached over nothing else.

What strangers can make the node keep is bounded: by the size of a message, the time to complete it, idle time, the
number of connections, and what may be waiting to be sent to one of them.

Left out: WebSocket, SCTP, a limit of connections by peer, and SO_REUSEPORT (one process has one core).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from model.errors import EnvironmentLacks
from reference_node.sip.framing import PING, PONG, Framer, Unframed
from reference_node.sip.message import Address

Transport = Literal["udp", "tcp", "tls"]

MAX_CONNECTIONS = 10_000
"""Most connections at once; further ones are closed as they come. Kind: assumed (file descriptors are the limit)."""

IDLE_S = 3_600.0
"""A connection on which nothing arrives for this long is closed, s. Source: Flexisip, idle-timeout.
Kind: vendor default."""

MESSAGE_S = 32.0
"""A message that is not whole this long after it began ends its connection, s: whoever sent it has given up by then
(RFC 3261, Timer F). Kind: assumed."""

HANDSHAKE_S = 10.0
"""Longest TLS handshake, s. Kind: assumed."""

CONNECT_S = 10.0
"""Longest attempt to connect, s. Kind: assumed (Flexisip 2.7: 60 s; a caller has given up at 32 s)."""

MAX_UNSENT_BYTES = 1_048_576
"""A connection that lets this much wait to be sent is closed: its peer does not read. Kind: assumed."""

RECEIVE_BUFFER_BYTES = 4_194_304
"""Asked for each UDP socket, the kernel may give less: 2 s of 2,000 datagrams. Kind: assumed."""

MAX_DATAGRAMS_AT_ONCE = 16
"""Datagrams read before other sockets get their turn: Redis must answer in between, or a burst would fill all places
of the machine. Kind: assumed."""

LARGEST_DATAGRAM = 65_535
"""Bytes of a datagram of which nothing is cut off. Source: RFC 768. Kind: specified."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What connections may cost; see the constants of this module.

    Attributes
    ----------
    max_connections : int
    idle_s, message_s : float
    answers_ping : bool
        Whether a keep-alive (CRLF CRLF) is answered.
    """

    max_connections: int = MAX_CONNECTIONS
    idle_s: float = IDLE_S
    message_s: float = MESSAGE_S
    answers_ping: bool = True


@dataclass(frozen=True, slots=True)
class Point:
    """Where a node listens.

    Attributes
    ----------
    transport : Transport
    host : str
        Public name: what Record-Route, Path and Via say.
    ip : str
        Address to bind.
    port : int
        0 takes any free one.
    certificate, key, authorities : str
        Files for TLS: certificate chain, private key, trusted authorities.
    verifies_clients : bool
        Whether TLS clients must have a certificate.
    """

    transport: Transport
    host: str
    ip: str
    port: int
    certificate: str = ""
    key: str = ""
    authorities: str = ""
    verifies_clients: bool = False

    @property
    def is_reliable(self) -> bool:
        """True for connections."""
        return self.transport != "udp"

    @property
    def sent_by(self) -> str:
        """Protocol, host and port of a Via."""
        return f"SIP/2.0/{self.transport.upper()} {bracketed(self.host)}:{self.port}"

    @property
    def uri(self) -> str:
        """URI under which others reach the point, for Path and Record-Route (``sips`` for TLS, as Flexisip)."""
        if self.transport == "tls":
            return f"sips:{bracketed(self.host)}:{self.port};lr"
        return f"sip:{bracketed(self.host)}:{self.port};transport={self.transport};lr"


class Flow(Protocol):
    """The way back to whoever sent a message."""

    point: Point
    peer: Address
    id: str
    """Name of the connection; empty for UDP."""

    def send(self, data: bytes) -> bool:
        """Send a message; False when the connection is gone."""


class Receiver(Protocol):
    """Whom the transports tell what arrives."""

    def received(self, data: bytes, flow: Flow) -> None:
        """A message has come."""

    def unframed(self, error: Unframed, flow: Flow) -> None:
        """A stream could not be read on; its connection is closed afterwards."""

    def closed(self, flow: Flow) -> None:
        """A connection is gone."""

    def answers_ping(self) -> bool:
        """Whether keep-alives are answered now."""

    def noted(self, event: str, **values: Any) -> None:
        """Something happened that an operator may want to know."""


class Transports:
    """All sockets of a node that speak SIP.

    Parameters
    ----------
    receiver : Receiver
    limits : StreamLimits
    """

    def __init__(self, receiver: Receiver, limits: StreamLimits = StreamLimits()) -> None:
        self.points: list[Point] = []
        self.limits = limits
        self.receiver = receiver
        self.is_accepting = True
        self._datagrams: list[_Datagrams] = []
        self._servers: list[asyncio.Server] = []
        self._by_id: dict[str, Connection] = {}
        self._by_peer: dict[tuple[str, Address], Connection] = {}
        self._connecting: dict[tuple[str, Address], asyncio.Task[Connection]] = {}
        self._authorities = ""

    async def listen(self, point: Point) -> Point:
        """Bind a point; gives it with the port that it got.

        Raises
        ------
        EnvironmentLacks
            The address cannot be bound, or the certificate cannot be read.
        """
        try:
            bound = await (self._listen_stream(point) if point.is_reliable else self._listen_datagrams(point))
        except ssl.SSLError as error:
            raise EnvironmentLacks(f"cannot use the certificate {point.certificate}: {error}") from None
        except OSError as error:
            where = f"{point.transport.upper()} {point.ip}:{point.port}"
            raise EnvironmentLacks(f"cannot listen on {where}: {error.strerror or error}") from None
        self.points.append(bound)
        self._authorities = self._authorities or point.authorities
        return bound

    def stop_accepting(self) -> None:
        """Take no new connections; those there are live on."""
        self.is_accepting = False
        for server in self._servers:
            server.close()

    def close(self) -> None:
        """Close everything."""
        self.stop_accepting()
        for task in self._connecting.values():
            task.cancel()
        for datagrams in self._datagrams:
            datagrams.close()
        for connection in list(self._by_id.values()):
            connection.abort("shutdown")

    @property
    def n_connections(self) -> int:
        """Connections there are."""
        return len(self._by_id)

    def connection(self, name: str) -> Connection | None:
        """The connection of that name, if it lives."""
        return self._by_id.get(name)

    def flow_at_hand(self, transport: Transport, address: Address, point: Point | None = None) -> Flow | None:
        """The flow to an address, if no connection must be opened for it: over UDP, or one that is open.

        Parameters
        ----------
        transport : Transport
        address : Address
        point : Point or None
            The socket to send datagrams from; None for the first of the address's family.
        """
        if transport != "udp":
            return self._by_peer.get((transport, address))
        for datagrams in self._datagrams:
            if datagrams.point == point or (point is None and (":" in address[0]) == (":" in datagrams.point.ip)):
                return DatagramFlow(datagrams, address)
        return None

    async def flow_to(self, transport: Transport, address: Address, host: str, point: Point | None = None) -> Flow:
        """The flow to an address, after connecting where that is needed.

        Parameters
        ----------
        transport : Transport
        address : Address
        host : str
            Name that a TLS certificate must have.
        point : Point or None
            What stands in Via and Record-Route; None for the transport's first.

        Raises
        ------
        OSError
            It cannot be had.
        """
        there = self.flow_at_hand(transport, address, point)
        if there:
            return there
        if transport == "udp":
            raise OSError("no UDP socket of that family")
        task = self._connecting.get((transport, address))
        if task is None:
            task = asyncio.ensure_future(self._connect(transport, address, host, point))
            self._connecting[transport, address] = task
            task.add_done_callback(lambda _: self._connecting.pop((transport, address), None))
        return await asyncio.shield(task)

    def point_for(self, transport: Transport) -> Point:
        """The point that stands for a transport in Via and Record-Route."""
        found = [point for point in self.points if point.transport == transport]
        return found[0] if found else self.points[0]

    # For connections.

    def enter(self, connection: Connection) -> bool:
        """Note a connection; False when there are too many."""
        if not self.is_accepting or len(self._by_id) >= self.limits.max_connections:
            return False
        self._by_id[connection.id] = connection
        self._by_peer[connection.point.transport, connection.peer] = connection
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._by_id.pop(connection.id, None)
        key = (connection.point.transport, connection.peer)
        if self._by_peer.get(key) is connection:
            del self._by_peer[key]

    async def _listen_datagrams(self, point: Point) -> Point:
        datagrams = _Datagrams(self, point)
        self._datagrams.append(datagrams)
        return datagrams.point

    async def _listen_stream(self, point: Point) -> Point:
        context = server_context(point) if point.transport == "tls" else None
        holder: list[Point] = []
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self, holder[0]),
            point.ip,
            point.port,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_S if context else None,
            start_serving=False,
        )
        bound = _with_port(point, server.sockets[0].getsockname()[1])
        holder.append(bound)
        await server.start_serving()
        self._servers.append(server)
        return bound

    async def _connect(self, transport: Transport, address: Address, host: str, point: Point | None) -> Connection:
        point = point or self.point_for(transport)
        context = ssl.create_default_context(cafile=self._authorities or None) if transport == "tls" else None
        if context:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, point),
                    *address,
                    ssl=context,
                    server_hostname=host.strip("[]") if context else None,
                )
        except TimeoutError:
            raise OSError("no connection in time") from None
        return connection


@dataclass(frozen=True, slots=True)
class DatagramFlow:
    """The flow of a datagram."""

    datagrams: _Datagrams
    peer: Address
    id: str = ""

    @property
    def point(self) -> Point:
        """Where it came in."""
        return self.datagrams.point

    def send(self, data: bytes) -> bool:
        """Send a datagram; whether it arrives is for others to find out."""
        self.datagrams.send(data, self.peer)
        return True


class _Datagrams:
    """A UDP socket, read until it is empty: an event loop's own protocol reads one datagram a turn."""

    def __init__(self, transports: Transports, point: Point) -> None:
        family = socket.AF_INET6 if ":" in point.ip else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self._socket.bind((point.ip, point.port))
        except OSError:
            self._socket.close()
            raise
        self.point = _with_port(point, self._socket.getsockname()[1])
        self._receive = transports.receiver.received
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._drain)

    def send(self, data: bytes, address: Address) -> None:
        """Send; a full buffer or an unreachable host is a lost datagram, which SIP repeats."""
        with contextlib.suppress(OSError):
            self._socket.sendto(data, address)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _drain(self) -> None:
        for _ in range(MAX_DATAGRAMS_AT_ONCE):
            try:
                data, address = self._socket.recvfrom(LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error for something sent earlier
                continue
            self._receive(data, DatagramFlow(self, address[:2]))


class Connection(asyncio.Protocol):
    """A TCP or TLS connection, whoever opened it."""

    def __init__(self, transports: Transports, point: Point) -> None:
        self.point = point
        self.peer: Address = ("", 0)
        self.id = secrets.token_hex(8)
        self._transports, self._limits = transports, transports.limits
        self._framer = Framer()
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._heard_s = self._loop.time()
        self._idle: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def send(self, data: bytes) -> bool:
        """Send; False when the connection is gone, or its peer has not read for so long that it is closed now."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort("peer does not read")
            return False
        return True

    def abort(self, why: str) -> None:
        """Close without waiting for the peer."""
        self._transports.receiver.noted("connection-closed", peer=self.peer[0], why=why)
        if self._transport:
            self._transport.abort()

    # From asyncio.

    def connection_made(self, transport: Any) -> None:
        """The connection is up, TLS handshake included."""
        self._transport = transport
        self.peer = transport.get_extra_info("peername")[:2]
        if not self._transports.enter(self):
            return self.abort("too many connections")
        self._watch_idle()

    def data_received(self, data: bytes) -> None:
        """Something arrived."""
        self._heard_s = self._loop.time()
        try:
            for message in self._framer.feed(data):
                self._stop_deadline()
                if message is not PING:
                    self._transports.receiver.received(message, self)
                elif self._limits.answers_ping and self._transports.receiver.answers_ping():
                    self.send(PONG)
                if self._transport.is_closing():
                    return
        except Unframed as error:
            self._transports.receiver.unframed(error, self)
            self._transport.close()  # what was sent last still leaves
            return
        if not self._framer.is_inside:
            self._stop_deadline()
        elif self._deadline is None:
            self._deadline = self._loop.call_later(self._limits.message_s, self.abort, "message not completed in time")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._transports.leave(self)
        self._transports.receiver.closed(self)
        self._stop_deadline()
        if self._idle:
            self._idle.cancel()

    def _watch_idle(self) -> None:
        left_s = self._heard_s + self._limits.idle_s - self._loop.time()
        if left_s <= 0:
            return self.abort("idle")
        self._idle = self._loop.call_later(left_s, self._watch_idle)

    def _stop_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


def server_context(point: Point) -> ssl.SSLContext:
    """TLS as a server: 1.2 or later, with the point's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(point.certificate, point.key or None)
    if point.verifies_clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(point.authorities)
    return context


def bracketed(host: str) -> str:
    """A host as it stands in a URI."""
    return f"[{host}]" if ":" in host else host


def _with_port(point: Point, port: int) -> Point:
    return replace(point, port=port)


def local_address(peer: Address) -> str:
    """The address of this host from which another is reached; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(OSError):  # unreachable: no address is as good as any
            probe.connect(peer)
        return probe.getsockname()[0]
