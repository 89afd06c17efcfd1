"""The real client against nodes that do as they are told, found by a real name server; no cluster, no namespaces."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model import client_classes, sip_client
from model.scenario import Certificate
from reference_node.client.program import Client, ClientConfig
from reference_node.dns_server import SERVICES, NameServer, Zone, read_zone
from reference_node.lab.certificates import Authority
from reference_node.sip import message as sip
from reference_node.sip.fields import NameAddr
from reference_node.sip.framing import PING, PONG, Framer

ROOT = Path(__file__).parents[2]
DOMAIN = "example.org"
LIMIT_S = 30.0
NODES = ("host1", "host2")
CODES: dict[Certificate, int] = {"host-and-domain": 11, "host": 10, "domain": 9, "wildcard": 12, "expired": 3}
CODES["unknown-ca"] = 3
"""What the machine is told of each kind; tests/unit/test_certificates.py holds it."""


OPTIONS = (
    "OPTIONS sip:alice@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.3;rport;branch=z9hG4bK-1\r\n"
    "From: <sip:bob@example.org>;tag=1\r\n"
    "To: <sip:alice@example.org>\r\n"
    "Call-ID: 1\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)

pytestmark = pytest.mark.real


@dataclass
class Node:
    """A registrar that grants everything, on one transport.

    `status` is what it answers to REGISTER; None is silence. `seen` has every message.
    """

    host: str
    address: str
    status: int | None = 200
    extra: tuple[tuple[str, str], ...] = ()
    pong: bytes = PONG
    seen: list[bytes] = field(default_factory=list)
    writers: list[Callable[[bytes], None]] = field(default_factory=list)
    port: int = 0

    async def start(self, transport: str, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        if transport == "udp":
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self.address, self.port)
            )
            self.port = self._udp.get_extra_info("sockname")[1]
            return
        self._server = await loop.create_server(lambda: _Stream(self), self.address, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """As a killed process."""
        for each in (getattr(self, "_udp", None), getattr(self, "_server", None)):
            if each:
                each.close()
        for transport in self.streams:
            transport.abort()

    @property
    def streams(self) -> list[asyncio.Transport]:
        return [writer.__self__ for writer in self.writers if isinstance(writer.__self__, asyncio.Transport)]

    def take(self, data: bytes, source: sip.Address, write: Callable[[bytes], None]) -> None:
        self.seen.append(data)
        if not data.strip(b"\r\n"):
            write(self.pong)
        elif not sip.is_response(data) and self.status is not None:
            request = sip.read(data, source)
            contacts = [("Contact", value) for value in request.headers["contact"]] if self.status == 200 else []
            write(sip.answer(request.envelope, self.status, "Because", *contacts, *self.extra))

    def send_to(self, data: bytes, address: sip.Address) -> None:
        self._udp.sendto(data, address)

    def registers(self) -> list[sip.Request]:
        return [sip.read(data, ("127.0.0.1", 1)) for data in self.seen if data.startswith(b"REGISTER")]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, node: Node) -> None:
        self._node = node

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data, addr) -> None:
        self._node.take(data, addr, lambda answer: self._transport.sendto(answer, addr))


class _Stream(asyncio.Protocol):
    def __init__(self, node: Node) -> None:
        self._node, self._framer = node, Framer()

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._node.writers.append(transport.write)

    def data_received(self, data) -> None:
        peer = self._transport.get_extra_info("peername")
        for message in self._framer.feed(data):
            self._node.take(message, peer, self._transport.write)


class World:
    """Two nodes, a name server, and one client of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, Authority()
        (folder / "ca.pem").write_bytes(self.authority.pem)
        self.nodes = [Node(host, f"127.0.0.{2 + number}") for number, host in enumerate(NODES)]
        self.events: list[tuple[str, str, int, int]] = []
        self._news = asyncio.Event()

    async def start(self, transport: str, certificate: Certificate) -> None:
        for node in self.nodes:
            await node.start(transport, self._context(node, certificate) if transport == "tls" else None)
        service = SERVICES[transport][0]
        lines = ["@ 60 IN SOA ns hostmaster 1 3600 600 86400 30"]
        lines += [f"{service} 60 IN SRV {n} 100 {node.port} {node.host}" for n, node in enumerate(self.nodes)]
        lines += [f"{node.host} 60 IN A {node.address}" for node in self.nodes]
        path = self.folder / "zone"
        path.write_text(f"$ORIGIN {DOMAIN}.\n" + "\n".join(lines) + "\n")
        self.names = NameServer(Zone(read_zone(path)), "127.0.0.1", 0)
        self.names.start()

    def config(self, transport: str, class_: str, **more) -> ClientConfig:
        targets = tuple(f"{host}.{DOMAIN}" for host in NODES)
        server = {"ip": "127.0.0.1", "port": self.names.port}
        values = {"name": "alice", "domain": DOMAIN, "class": class_, "transport": transport, "targets": targets}
        values |= {"name_server": server, "authorities": str(self.folder / "ca.pem"), "expires_s": 600, **more}
        return ClientConfig.model_validate(values)

    def note(self, event: str, about: str, wall_us: int, detail_us: int, code: int) -> None:
        self.events.append((event, about.partition(".")[0], detail_us // 1_000_000, code))
        self._news.set()

    async def until(self, event: str, about: str, count: int = 1) -> tuple[str, str, int, int]:
        """Wait until the client has reported that so often."""

        def found() -> list[tuple[str, str, int, int]]:
            return [each for each in self.events if each[:2] == (event, about)]

        async with asyncio.timeout(LIMIT_S):
            while len(found()) < count:
                self._news.clear()
                await self._news.wait()
        return found()[count - 1]

    def _context(self, node: Node, kind: Certificate) -> ssl.SSLContext:
        path = self.folder / f"{node.host}.pem"
        path.write_bytes(self.authority.issue(kind, f"{node.host}.{DOMAIN}", DOMAIN))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def quick_outbound() -> client_classes.Behaviour:
    """RFC 5626 in a hurry, with one flow."""
    outbound = client_classes.CLASSES["outbound"]
    return dataclasses.replace(outbound, flows=1, ping_min_ms=100, ping_max_ms=100, pong_limit_ms=1_000)


@asynccontextmanager
async def world_with_client(
    folder: Path,
    transport: str,
    class_: str = "ideal",
    certificate: Certificate = "host-and-domain",
    age_s: float = 0.0,
    **more,
) -> AsyncIterator[tuple[World, Client]]:
    world = World(folder)
    await world.start(transport, certificate)
    client = Client(world.config(transport, class_, **more), 0, world.note)
    client.start(age_s)
    try:
        yield world, client
    finally:
        client.stop()
        world.names.close()
        for node in world.nodes:
            node.stop()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_client_finds_its_node_by_srv_and_registers(transport, tmp_path):
    async def play() -> None:
        async with world_with_client(tmp_path, transport) as (world, client):
            assert await world.until("registered", "host1") == ("registered", "host1", 600, 0)
            assert client.is_registered
            (request,) = world.nodes[0].registers()
            assert request.aor == f"alice@{DOMAIN}"
            (contact,) = (NameAddr.read(value) for value in request.headers["contact"])
            assert contact.parameter("expires") == "600"
            assert contact.parameter("+sip.instance").startswith('"<urn:uuid:')
            assert request.envelope.vias[0].startswith(f"SIP/2.0/{transport.upper()} 127.0.0.1:")

    asyncio.run(play())


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_client_whose_node_dies_registers_through_the_next(transport, tmp_path):
    async def play() -> None:
        async with world_with_client(tmp_path, transport) as (world, _):
            await world.until("registered", "host1")
            world.nodes[0].stop()
            await world.until("registered", "host2")
            assert ("flow-lost", "host1", 0, 1) in world.events

    asyncio.run(play())


def test_a_request_is_answered_over_the_flow_that_it_came_on(tmp_path):
    async def play() -> None:
        async with world_with_client(tmp_path, "tcp") as (world, _):
            await world.until("registered", "host1")
            node = world.nodes[0]
            for method in ("OPTIONS", "MESSAGE", "INVITE", "ACK"):
                lines = (
                    f"{method} sip:alice@127.0.0.1 SIP/2.0",
                    f"Via: SIP/2.0/TCP 127.0.0.2:{node.port};branch=z9hG4bK-{method}",
                    "From: <sip:bob@example.org>;tag=1",
                    "To: <sip:alice@example.org>",
                    f"Call-ID: {method}",
                    f"CSeq: 1 {method}",
                    "Content-Length: 0",
                )
                node.streams[0].write(("\r\n".join(lines) + "\r\n\r\n").encode())
            async with asyncio.timeout(LIMIT_S):
                while sum(sip.is_response(data) for data in node.seen) < 3:
                    await asyncio.sleep(0.01)
            answers = [sip.read_response(data) for data in node.seen if sip.is_response(data)]
            assert [(answer.method, answer.status) for answer in answers] == [
                ("OPTIONS", 200),
                ("MESSAGE", 200),
                ("INVITE", 405),
            ]

    asyncio.run(play())


def test_a_retransmission_is_the_same_bytes_and_a_refresh_is_not(tmp_path):
    async def play() -> None:
        async with world_with_client(tmp_path, "udp", expires_s=10, age_s=8.5) as (world, _):
            world.nodes[0].status = None
            async with asyncio.timeout(LIMIT_S):
                while len(world.nodes[0].seen) < 3:
                    await asyncio.sleep(0.01)
            assert len(set(world.nodes[0].seen)) == 1
            world.nodes[0].status = 200
            await world.until("registered", "host1", 2)
            first, *_, last = world.nodes[0].registers()
            assert first.envelope.call_id == last.envelope.call_id
            assert first.cseq + 1 == last.cseq
            asked = [NameAddr.read(each.headers["contact"][0]).parameter("expires") for each in (first, last)]
            assert asked == ["2", "10"], "the first one asks for what is left of an old registration"

    asyncio.run(play())


def test_an_icmp_error_is_noticed_by_the_class_that_looks(tmp_path):
    async def play(class_: str) -> list[tuple[str, str, int, int]]:
        async with world_with_client(tmp_path, "udp", class_, expires_s=10, age_s=8.5) as (world, _):
            await world.until("registered", "host1")
            world.nodes[0].stop()
            await world.until("attempt", "host1", 2)
            await asyncio.sleep(0.5)  # long enough for an error that comes at once, and for no time-out
            return world.events

    assert ("failed", "host1", 0, 0) in asyncio.run(play("ideal"))
    assert not [each for each in asyncio.run(play("linphone-5.4")) if each[0] == "failed"]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_node_that_does_not_answer_keep_alives_is_left(transport, tmp_path, monkeypatch):
    monkeypatch.setitem(client_classes.CLASSES, "outbound", quick_outbound())

    async def play() -> None:
        async with world_with_client(tmp_path, transport, "outbound") as (world, _):
            node = world.nodes[0]
            await world.until("registered", "host1")
            async with asyncio.timeout(LIMIT_S):
                while node.seen.count(PING) < 5:
                    await asyncio.sleep(0.01)
            assert not [each for each in world.events if each[0] == "flow-lost"], "it answered"
            node.pong = b""
            assert await world.until("flow-lost", "host1") == ("flow-lost", "host1", 0, 2)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("certificate", "class_", "is_trusted"),
    [
        ("host-and-domain", "ideal", True),
        ("host", "ideal", False),
        ("domain", "ideal", True),
        ("wildcard", "ideal", False),
        ("expired", "ideal", False),
        ("unknown-ca", "ideal", False),
        ("expired", "pjsua", True),
    ],
)
def test_the_machine_decides_about_certificates_as_in_a_simulation(certificate, class_, is_trusted, tmp_path):
    async def play() -> None:
        async with world_with_client(tmp_path, "tls", class_, certificate, starts_on=f"host1.{DOMAIN}") as (
            world,
            client,
        ):
            (_, _, _, code) = await world.until("attempt" if is_trusted else "untrusted", "host1")
            assert is_trusted == bool(sip_client.accepts(client._driver.state, CODES[certificate]))
            assert is_trusted or code == CODES[certificate]

    asyncio.run(play())


def test_a_challenge_is_answered_once_with_digest_credentials(tmp_path):
    async def play(password: str) -> World:
        async with world_with_client(tmp_path, "udp", password=password) as (world, _):
            challenge = f'Digest realm="{DOMAIN}", nonce="n", algorithm=SHA-256, qop="auth"'
            world.nodes[0].status, world.nodes[0].extra = 401, (("WWW-Authenticate", challenge),)
            await world.until("failed", "host1")
            return world

    first, second = asyncio.run(play("secret")).nodes[0].registers()
    assert "authorization" not in first.headers and second.cseq == first.cseq + 1
    assert f'Digest username="alice", realm="{DOMAIN}"' in second.headers["authorization"][0]
    assert "secret" not in str(second.headers)
    assert len(asyncio.run(play("")).nodes[0].registers()) == 1, "without password there is no second try"


def test_the_answer_to_a_keep_alive_counts_though_messages_come_with_it(tmp_path, monkeypatch):
    """Between two messages in one segment it is easily overlooked."""
    monkeypatch.setitem(client_classes.CLASSES, "outbound", quick_outbound())

    async def play() -> None:
        async with world_with_client(tmp_path, "tcp", "outbound") as (world, _):
            await world.until("registered", "host1")
            node, options = world.nodes[0], OPTIONS.encode()
            node.pong = options + PONG + options
            async with asyncio.timeout(LIMIT_S):  # three times as long as the client would wait for an answer
                while node.seen.count(PING) < 30:
                    await asyncio.sleep(0.01)
            assert not [each for each in world.events if each[0] == "flow-lost"]
            assert sum(sip.is_response(data) for data in node.seen) >= 30

    asyncio.run(play())


def test_requests_of_other_nodes_reach_a_udp_client_too(tmp_path):
    async def play() -> None:
        async with world_with_client(tmp_path, "udp") as (world, _):
            await world.until("registered", "host1")
            contact = NameAddr.read(world.nodes[0].registers()[0].headers["contact"][0]).uri
            port = int(contact.rpartition(":")[2])
            world.nodes[1].send_to(OPTIONS.encode(), ("127.0.0.1", port))
            async with asyncio.timeout(LIMIT_S):
                while not world.nodes[1].seen:
                    await asyncio.sleep(0.01)
            assert sip.read_response(world.nodes[1].seen[0]).status == 200

    asyncio.run(play())


# The program


@pytest.mark.parametrize(("number", "leaves"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_the_program_tells_what_happens_and_ends_cleanly(number, leaves, tmp_path):
    async def play() -> None:
        world = World(tmp_path)
        await world.start("tcp", "host-and-domain")
        command = [sys.executable, "-m", "reference_node.client", f"alice@{DOMAIN}", "--transport", "tcp", "--json"]
        command += ["--dns", f"127.0.0.1:{world.names.port}"]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=-1, stderr=-1)
        try:
            async with asyncio.timeout(LIMIT_S):
                lines = [json.loads(await process.stdout.readline()) for _ in range(3)]
                process.send_signal(number)
                _, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
            world.names.close()
            for node in world.nodes:
                node.stop()
        assert [line["event"] for line in lines] == ["resolved", "attempt", "registered"]
        assert lines[2]["about"] == f"host1.{DOMAIN}"
        assert (process.returncode, errors) == (0, b"")
        last = NameAddr.read(world.nodes[0].registers()[-1].headers["contact"][0])
        assert (last.parameter("expires") == "0") == leaves

    asyncio.run(play())


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"name": "a b", "domain": "x", "name_server": {"ip": "127.0.0.1"}}', "name"),
        ('{"name": "a", "domain": "x", "class": "none", "name_server": {"ip": "127.0.0.1"}}', "class"),
        ('{"name": "a", "domain": "x", "name_server": {"ip": "127.0.0.1"}, "starts_on": "h"}', "one of targets"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(values, what, tmp_path):
    path = tmp_path / "client.json"
    path.write_text(values)
    done = subprocess.run(
        [sys.executable, "-m", "reference_node.client", path], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}") and what in done.stderr
    assert len(done.stderr.splitlines()) == 1
