"""A small internet for one foreign SIP client: registrar hosts that do as they are told, a DNS server, a log.

Everything lives in one process inside namespaces of its own (`reference_node.lab.isolation`). The client runs in the
process's network namespace, the hosts are addresses of a second one behind a cable::

    phone 10.78.0.254, DNS on 127.0.0.1:53  ══════ cable ══════  hostA 10.78.0.1, hostB .2, hostC .3

The client finds the DNS server through an ``/etc/resolv.conf`` that only this mount namespace has. Each host serves
SIP over UDP, TCP and TLS, and answers REGISTER as its `answer` says. A host can die in three ways that a client must
tell apart: `Host.kill` closes its sockets (FIN, then RST and ICMP for whoever comes anew), `Host.refuse` closes its
listeners only, `Rig.vanish` takes its address away: packets then simply end, because neighbour entries are permanent.

`Rig.events` has everything that was seen, as dictionaries with a time: ``request``, ``opened``, ``closed``, ``ping``,
``query``, ``tls-failed``, ``step`` (something the experiment did) and ``knock``: a packet for a host that does not
serve it, seen on the wire (the first packet of a connection, or a datagram). Times are seconds since the rig was built.

Left out: IPv6, NAPTR (answered "no data"), authentication by digest beyond one challenge, everything but REGISTER.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import dnslib
import trustme

from reference_node.lab import kernel
from reference_node.node.registering import registration
from reference_node.sip import message as sip
from reference_node.sip.fields import NameAddr

DOMAIN = "example.org"
PHONE = "10.78.0.254"
ADDRESSES = {"hostA": "10.78.0.1", "hostB": "10.78.0.2", "hostC": "10.78.0.3"}
GATEWAY = "10.78.0.253"
"""Nobody is there: some clients take a machine without a default route for offline."""

PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}

CLOSE_LIMIT_S = 5.0
"""Longest time that closing connections may take. Kind: assumed."""

ETH_P_IP = 0x0800
"""Kind: specified (linux/if_ether.h)."""

TCP_SYN, TCP_ACK = 0x02, 0x10
"""Flags of a TCP header. Source: RFC 9293 section 3.1. Kind: specified."""

MEMORY_PLACES = ("/dev/shm", "/mnt")
"""Folders that a file system in memory may cover, seen by this run only."""

MEMORY_MB = 64
"""Its size. Kind: assumed (a client's log of 20 min has 10 MB)."""

Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer: status and further headers."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


AnswerLaw = Callable[[sip.Request], Answer | None]
"""What a host says to a REGISTER; None is silence."""


def grant(expiry_s: int, *headers: tuple[str, str]) -> AnswerLaw:
    """Accept, for this long."""

    def answer(request: sip.Request) -> Answer:
        bindings = tuple(("Contact", _granted(value, expiry_s)) for value in request.headers.get("contact", ()))
        return Answer(200, (*bindings, ("Expires", str(expiry_s)), *headers))

    return answer


def refuse(status: int, retry_after_s: int | None = None) -> AnswerLaw:
    """Refuse with a status."""
    headers = () if retry_after_s is None else (("Retry-After", str(retry_after_s)),)
    return lambda request: Answer(status, headers)


def silence(request: sip.Request) -> None:
    """Say nothing."""


def challenge(law: AnswerLaw) -> AnswerLaw:
    """Ask for credentials first, and take any."""
    demand = ("WWW-Authenticate", f'Digest realm="{DOMAIN}", nonce="6e6f6e6365", algorithm=MD5, qop="auth"')
    return lambda request: law(request) if "authorization" in request.headers else Answer(401, (demand,))


def at_least(min_s: int, law: AnswerLaw) -> AnswerLaw:
    """Refuse shorter expiries with 423."""
    return lambda request: law(request) if _asked_s(request) >= min_s else Answer(423, (("Min-Expires", str(min_s)),))


class Log:
    """What was seen, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begin = time.monotonic()
        self._news = asyncio.Event()

    def write(self, event: str, **fields: object) -> None:
        """Add an event; it gets the time."""
        self.events.append({"t": round(time.monotonic() - self.begin, 3), "event": event, **fields})
        self._news.set()

    async def wait(self) -> None:
        """Until something is added."""
        self._news.clear()
        await self._news.wait()


class Host:
    """One registrar host on UDP, TCP and TLS.

    Parameters
    ----------
    name : str
    namespace : int
        Network namespace that has its address.
    tls : ssl.SSLContext
    log : Log

    Attributes
    ----------
    answer : AnswerLaw
        What it says to a REGISTER from now on.
    pong : bool
        Whether it answers keep-alives (CRLF and STUN).
    serves : set of str
        Transports that it serves now.
    """

    def __init__(self, name: str, namespace: int, tls: ssl.SSLContext, log: Log) -> None:
        self.name, self.address = name, ADDRESSES[name]
        self.answer: AnswerLaw = grant(60)
        self.pong = True
        self.serves: set[str] = set()
        self._namespace, self._tls, self._log = namespace, tls, log
        self._listeners: list[asyncio.Server] = []
        self._datagrams: asyncio.DatagramTransport | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._copies: dict[tuple[str, ...], int] = {}

    async def start(self) -> None:
        """Serve on all transports."""
        loop = asyncio.get_running_loop()
        sock = self._bound(socket.SOCK_DGRAM, PORTS["udp"])
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)
        for transport in ("tcp", "tls"):
            sock = self._bound(socket.SOCK_STREAM, PORTS[transport])
            self._listeners.append(await asyncio.start_server(self._handler(transport), sock=sock))
        self.serves = set(PORTS)

    def kill(self) -> None:
        """Close everything, as the end of a process does."""
        self.refuse()
        if self._datagrams:
            self._datagrams.close()
        self.close_streams()
        self.serves = set()

    def refuse(self) -> None:
        """Close the listeners: new connections are refused, existing ones live on."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self.serves -= {"tcp", "tls"}

    def forget(self) -> None:
        """Take nothing that comes for a retransmission of what came before."""
        self._copies.clear()

    @property
    def is_connected(self) -> bool:
        """Whether any connection is open."""
        return bool(self._streams)

    def close_streams(self, *, reset: bool = False) -> None:
        """Close all connections, by FIN or by RST."""
        for writer in list(self._streams):
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    def take(self, data: bytes, source: tuple[str, int], transport: str) -> bytes | None:
        """The answer to what arrived, if any."""
        seen = {"host": self.name, "transport": transport, "port": source[1]}
        try:
            request = sip.read(data, source)
        except sip.Rejected as error:
            self._log.write("unreadable", **seen, why=str(error), head=data[:40].decode(errors="replace"))
            return None
        key = request.envelope.transaction
        copy = self._copies[key] = self._copies.get(key, -1) + 1
        law = self.answer if request.method == "REGISTER" else refuse(405)
        answer = law(request)
        self._log.write("request", **seen, copy=copy, answer=answer.status if answer else None, **_of_interest(request))
        if answer is None:
            return None
        return sip.answer(request.envelope, answer.status, f"Status {answer.status}", *answer.headers)

    def keep_alive(self, data: bytes, source: tuple[str, int], transport: str) -> bytes | None:
        """The answer to a keep-alive, if any."""
        is_stun = len(data) >= 20 and data[:2] == b"\0\1"
        kind = "stun" if is_stun else data.decode("latin-1").encode("unicode_escape").decode()
        self._log.write("ping", host=self.name, transport=transport, port=source[1], kind=kind)
        if not self.pong:
            return None
        if is_stun:
            return _stun_answer(data, source)
        return b"\r\n" if data == b"\r\n\r\n" and transport != "udp" else None

    def _bound(self, kind: socket.SocketKind, port: int) -> socket.socket:
        with kernel.inside(self._namespace):
            sock = socket.socket(socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, port))
        return sock

    def _handler(self, transport: str) -> Callable:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source = writer.get_extra_info("peername")
            seen = {"host": self.name, "transport": transport, "port": source[1]}
            self._log.write("opened", **seen)
            self._streams.add(writer)
            why = "end of stream"
            try:
                if transport == "tls":
                    await writer.start_tls(self._tls)
                    self._log.write("tls-ready", **seen)
                await self._read_stream(reader, writer, source, transport)
            except ssl.SSLError as error:
                self._log.write("tls-failed", **seen, why=error.reason or str(error))
                why = "TLS"
            except (OSError, asyncio.IncompleteReadError) as error:
                why = type(error).__name__
            finally:
                self._streams.discard(writer)
                self._log.write("closed", **seen, why=why)
                writer.close()

        return serve

    async def _read_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: tuple[str, int], transport: str
    ) -> None:
        buffer = b""
        while data := await reader.read(4096):
            buffer += data
            while True:
                stripped = buffer.lstrip(b"\r\n")
                if blank := buffer[: len(buffer) - len(stripped)]:
                    self._send(writer, self.keep_alive(blank, source, transport))
                message, buffer = _cut(stripped)
                if not message:
                    break
                self._send(writer, self.take(message, source, transport))

    @staticmethod
    def _send(writer: asyncio.StreamWriter, data: bytes | None) -> None:
        if data:
            writer.write(data)


class _Datagrams(asyncio.DatagramProtocol):
    """A host's SIP over UDP."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        is_message = data[:1].isalpha()
        answer = (self._host.take if is_message else self._host.keep_alive)(data, source, "udp")
        if answer:
            self._transport.sendto(answer, source)


@dataclass(slots=True)
class Zone:
    """What the DNS says about the domain.

    Attributes
    ----------
    order : list of (int, int, str)
        Priority, weight and host of each SRV record.
    ttl_s : int
    alive : bool
        Whether the DNS server answers at all.
    """

    order: list[tuple[int, int, str]] = field(default_factory=lambda: [(0, 50, "hostA"), (0, 50, "hostB")])
    ttl_s: int = 3600
    alive: bool = True

    def records(self, name: str, kind: str) -> Iterator[dnslib.RR]:
        """Records of a name and a type."""
        for transport, service in SERVICES.items():
            if (name, kind) == (f"{service}.{DOMAIN}", "SRV"):
                for priority, weight, host in self.order:
                    data = dnslib.SRV(priority, weight, PORTS[transport], f"{host}.{DOMAIN}")
                    yield dnslib.RR(name, dnslib.QTYPE.SRV, ttl=self.ttl_s, rdata=data)
        for host, address in ADDRESSES.items():
            if (name, kind) == (f"{host}.{DOMAIN}".lower(), "A"):
                yield dnslib.RR(name, dnslib.QTYPE.A, ttl=self.ttl_s, rdata=dnslib.A(address))


class _Resolver(asyncio.DatagramProtocol):
    """The DNS server."""

    def __init__(self, zone: Zone, log: Log) -> None:
        self._zone, self._log = zone, log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = dnslib.DNSRecord.parse(data)
        name, kind = str(query.q.qname).rstrip(".").lower(), dnslib.QTYPE[query.q.qtype]
        self._log.write("query", name=name, type=kind)
        if not self._zone.alive:
            return
        answer = query.reply()
        answer.add_answer(*self._zone.records(name, kind))
        if not answer.rr:
            soa = dnslib.SOA(f"ns.{DOMAIN}", f"admin.{DOMAIN}", (1, 3600, 600, 86400, self._zone.ttl_s))
            answer.add_auth(dnslib.RR(DOMAIN, dnslib.QTYPE.SOA, ttl=self._zone.ttl_s, rdata=soa))
        self._transport.sendto(answer.pack(), source)


class _Wire:
    """Sees packets for hosts that do not serve them.

    Parameters
    ----------
    namespace : int
        Network namespace of the hosts.
    hosts : dict of str to Host
    log : Log
    """

    def __init__(self, namespace: int, hosts: dict[str, Host], log: Log) -> None:
        self._hosts = {socket.inet_aton(host.address): host for host in hosts.values()}
        self._log = log
        self._copies: dict[bytes, int] = {}
        with kernel.inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        self._socket.setblocking(False)

    def watch(self) -> None:
        """Look on from now on."""
        asyncio.get_running_loop().add_reader(self._socket, self._look)

    def _look(self) -> None:
        packet = self._socket.recv(2048)
        host = self._hosts.get(packet[16:20])
        body = packet[(packet[0] & 15) * 4 :]
        port, service = struct.unpack("!HH", body[:4])
        if packet[9] == socket.IPPROTO_UDP:
            transport, key = "udp", body[8:]
        elif packet[9] == socket.IPPROTO_TCP and body[13] & (TCP_SYN | TCP_ACK) == TCP_SYN:
            transport, key = "tls" if service == PORTS["tls"] else "tcp", body[:8]
        else:
            return
        if host and transport not in host.serves:
            copy = self._copies[key] = self._copies.get(key, -1) + 1
            is_ping = transport == "udp" and not key[:1].isalpha()
            self._log.write("knock", host=host.name, transport=transport, port=port, copy=copy, ping=is_ping)


class Rig:
    """The hosts, the DNS, and one client.

    Parameters
    ----------
    identities : sequence of str
        Names in each host's certificate; ``{host}`` stands for the host's own.
    expired : bool
        Whether the certificates have expired.

    Attributes
    ----------
    hosts : dict of str to Host
    zone : Zone
    log : Log
    folder : Path
        The client's home, in memory.
    """

    def __init__(self, identities: Iterable[str] = (DOMAIN, "{host}"), *, expired: bool = False) -> None:
        self.folder = _own_files()
        self.log = Log()
        self.zone = Zone()
        self._namespace = _own_network()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.hosts = {
            name: Host(name, self._namespace, _server_tls(authority, name, identities, expired), self.log)
            for name in ADDRESSES
        }
        self._wire = _Wire(self._namespace, self.hosts, self.log)
        self._client: subprocess.Popen | None = None

    @property
    def events(self) -> list[Event]:
        """What was seen so far."""
        return self.log.events

    async def start(self) -> None:
        """Start the hosts and the DNS."""
        for host in self.hosts.values():
            await host.start()
        self._wire.watch()
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: _Resolver(self.zone, self.log), local_addr=("127.0.0.1", 53))

    def start_client(self, argv: list[str]) -> None:
        """Start the client."""
        self.step("start")
        for host in self.hosts.values():
            host.forget()  # a client whose Call-IDs are not random repeats itself when it is started again
        with (self.folder / "client.log").open("wb") as output:
            self._client = subprocess.Popen(
                argv,
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder)},
                stdin=subprocess.PIPE,  # kept open: consoles end with their input
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What the client has written."""
        return (self.folder / "client.log").read_text(errors="replace")

    @property
    def client_ended(self) -> bool:
        """Whether the client has ended by itself."""
        return self._client is not None and self._client.poll() is not None

    def stop_client(self) -> None:
        """End the client without letting it say goodbye."""
        if self._client:
            self._client.kill()
            self._client.wait()
            self._client = None

    async def stop(self) -> None:
        """End the client and close the hosts."""
        self.stop_client()
        for host in self.hosts.values():
            host.kill()
        await self.until(lambda: not any(host.is_connected for host in self.hosts.values()), CLOSE_LIMIT_S)

    def step(self, what: str, **fields: object) -> None:
        """Note something that the experiment does now."""
        self.log.write("step", what=what, **fields)

    async def vanish(self, host: str, *, resolved: bool = True) -> None:
        """Take a host off the network without a word to anybody.

        Parameters
        ----------
        host : str
        resolved : bool
            Whether the phone keeps the host's hardware address. Without it the phone's kernel reports the host
            unreachable after a few seconds, as it does for a lost neighbour on the same network.
        """
        self.step("vanish", host=host)
        self.hosts[host].serves = set()
        # A thread of its own: pyroute2 runs an event loop, and a thread has only one.
        await asyncio.to_thread(_take_address, self._namespace, ADDRESSES[host])
        if not resolved:
            await asyncio.to_thread(_forget_neighbour, ADDRESSES[host])

    def seen(self, event: str, **wanted: object) -> list[Event]:
        """Events of a kind with these fields, in order."""
        return [
            found
            for found in self.events
            if found["event"] == event and all(found.get(name) == value for name, value in wanted.items())
        ]

    async def until(self, condition: Callable[[], object], limit_s: float) -> bool:
        """Wait until a condition on the events holds.

        Returns
        -------
        bool
            Whether it came to hold before `limit_s`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not condition():
                    await self.log.wait()
        return bool(condition())

    async def accepted(self, count: int = 1, limit_s: float = 60.0) -> str:
        """Wait until the client's REGISTER was accepted `count` times; returns the name of the host that did last."""
        if not await self.until(lambda: len(self.seen("request", answer=200, copy=0)) >= count, limit_s):
            raise TimeoutError(f"not registered {count} times in {limit_s:g} s; the client wrote:\n{self.output}")
        return str(self.seen("request", answer=200, copy=0)[-1]["host"])


def _granted(contact: str, expiry_s: int) -> str:
    value = NameAddr.read(contact)
    rest = "".join(
        f";{name}" if text is None else f";{name}={text}"
        for name, text in value.parameters
        if name.lower() != "expires"
    )
    return f"<{value.uri}>{rest};expires={expiry_s}"


def _asked_s(request: sip.Request) -> int:
    """Expiry that a REGISTER asks for."""
    asked = registration(request, "")
    own = asked.contacts[0].parameter("expires") if asked.contacts else None
    return int(own) if own else asked.expires_s or 0


def _of_interest(request: sip.Request) -> Event:
    headers = {
        name: ", ".join(request.headers[name])
        for name in ("contact", "supported", "user-agent", "expires")
        if name in request.headers
    }
    return {
        "method": request.method,
        "call_id": request.envelope.call_id,
        "cseq": request.cseq,
        "credentials": "authorization" in request.headers,
        **headers,
    }


def _cut(buffer: bytes) -> tuple[bytes, bytes]:
    """The first whole message of a stream, and the rest."""
    head, end, rest = buffer.partition(b"\r\n\r\n")
    if not end:
        return b"", buffer
    length = re.search(rb"^(?:content-length|l)\s*:\s*(\d+)", head, re.IGNORECASE | re.MULTILINE)
    size = int(length[1]) if length else 0
    if len(rest) < size:
        return b"", buffer
    return head + end + rest[:size], rest[size:]


def _stun_answer(request: bytes, source: tuple[str, int]) -> bytes:
    """Binding success with XOR-MAPPED-ADDRESS (RFC 8489 sections 6.3.1 and 14.2)."""
    cookie = request[4:8]
    port = source[1] ^ int.from_bytes(cookie[:2])
    address = int.from_bytes(socket.inet_aton(source[0])) ^ int.from_bytes(cookie)
    attribute = struct.pack("!HHBBHI", 0x0020, 8, 0, 1, port, address)
    return struct.pack("!HH", 0x0101, len(attribute)) + request[4:20] + attribute


def _server_tls(authority: trustme.CA, host: str, identities: Iterable[str], expired: bool) -> ssl.SSLContext:
    now = datetime.datetime.now(datetime.UTC)
    days = datetime.timedelta(days=1)
    names = [name.format(host=f"{host}.{DOMAIN}".lower()) for name in identities]
    leaf = authority.issue_cert(*names, not_before=now - 9 * days, not_after=now + (-days if expired else 9 * days))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def _own_files() -> Path:
    """A folder in memory, and an /etc/resolv.conf that names our DNS server."""
    place = next(place for place in MEMORY_PLACES if Path(place).is_dir())
    kernel.mount_memory(place, MEMORY_MB)
    folder = Path(place)
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:5\n")
    subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
    return folder


def _own_network() -> int:
    """The cable from the phone, whose end we are on, to the hosts; returns the namespace of the latter."""
    from pyroute2 import IPRoute

    there = kernel.new_network()
    with IPRoute() as link:
        link.link("add", ifname="phone", kind="veth", peer={"ifname": "hosts", "net_ns_fd": there})
        phone = _card(link, "phone", [f"{PHONE}/24"])
        with kernel.inside(there), IPRoute() as inner:
            hosts = _card(inner, "hosts", [f"{address}/32" for address in ADDRESSES.values()])
            inner.route("add", dst="10.78.0.0/24", oif=hosts)
            _permanent(inner, hosts, [PHONE], _hardware(link, phone))
            hardware = _hardware(inner, hosts)
        link.route("add", dst="default", gateway=GATEWAY)
        _permanent(link, phone, [*ADDRESSES.values(), GATEWAY], hardware)
    return there


def _card(link, name: str, addresses: list[str]) -> int:
    index = link.link_lookup(ifname=name)[0]
    for address in addresses:
        bare, length = address.split("/")
        link.addr("add", index=index, address=bare, prefixlen=int(length))
    for up in (index, link.link_lookup(ifname="lo")[0]):
        link.link("set", index=up, state="up")
    return index


def _hardware(link, index: int) -> str:
    return link.get_links(index)[0].get_attr("IFLA_ADDRESS")


def _permanent(link, index: int, addresses: Iterable[str], hardware: str) -> None:
    """Address resolution that cannot fail: a lost host is silent, not unreachable."""
    for address in addresses:
        link.neigh("replace", dst=address, lladdr=hardware, ifindex=index, state="permanent")


def _take_address(namespace: int, address: str) -> None:
    from pyroute2 import IPRoute

    with kernel.inside(namespace), IPRoute() as link:
        link.addr("del", index=link.link_lookup(ifname="hosts")[0], address=address, prefixlen=32)


def _forget_neighbour(address: str) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as link:
        link.neigh("del", dst=address, ifindex=link.link_lookup(ifname="phone")[0])
