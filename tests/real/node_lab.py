"""What tests of the node share: servers, nodes as processes, and phones on sockets.

Imported by its file name from beside the tests, which are no package.
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sipmessage
from ports import free_port
from redis import Redis
from redis.exceptions import RedisError

from reference_node.lab.servers import choose
from reference_node.sip.framing import Framer

LIMIT_S = 30.0
PASSWORD = "test-secret"


def wait_for(what: Callable[[], object], said: str) -> object:
    """The first true value of `what`."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"not within {LIMIT_S:.0f} s: {said}")


class Server:
    """A Redis server of our own on loopback, with an append-only file that is synced before each answer."""

    def __init__(self, folder: Path, primary: Server | None = None) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self._options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._options += ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--loglevel", "warning"]
        self._options += ["--appendonly", "yes", "--appendfsync", "always"]
        if primary:
            self._options += ["--replicaof", "127.0.0.1", str(primary.port)]
        self.client = Redis(port=self.port, password=PASSWORD, socket_timeout=5)
        self.start()

    def start(self) -> None:
        program = [str(choose().path), *self._options]
        self.process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, "Redis answers")

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def entry(self) -> dict:
        return {"host": f"redis{self.port}", "ip": "127.0.0.1", "port": self.port}


class NodeProcess:
    """A node, and a phone that talks to it.

    Parameters
    ----------
    folder : Path
        Made, for its files.
    servers : list of Server
    changes : dict
        Keys of its configuration; what is None is left out.
    conf : Path or None
        Configuration to use instead.
    **registrar : int
        Settings of the machine.
    """

    def __init__(
        self,
        folder: Path,
        servers: list[Server],
        changes: dict[str, Any],
        conf: Path | None = None,
        **registrar: int,
    ) -> None:
        folder.mkdir()
        self.port = free_port()
        self.log, self.errors, self.program_log = (folder / name for name in ("events.ndjson", "stderr", "log.ndjson"))
        config = {
            "host": "host1",
            "host_index": 0,
            "sip": {"ip": "127.0.0.1", "port": self.port},
            "servers": [server.entry() for server in servers] + [None],
            "first_server": 0,
            "password": PASSWORD,
            "domain": "example.org",
            "registrar": {"wait_poll_ms": 200, "retry_pause_ms": 200, **registrar},
            "log": str(self.log),
            "program_log": str(self.program_log),
            "seed": 1,
            **changes,
        }
        config = {key: value for key, value in config.items() if value is not None}
        path = conf or folder / "node.json"
        if conf is None:
            path.write_text(json.dumps(config))
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen([sys.executable, "-m", "reference_node.node", str(path)], stderr=errors)
        self._sent = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(1.0)

    def events(self) -> list[tuple[str, str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(event["event"], event["about"]) for event in map(json.loads, lines)]

    def wait_until_writable(self, server: Server, since: int = 0) -> None:
        event = ("writable", server.entry()["host"])
        wait_for(lambda: event in self.events()[since:], f"{event} in {self.events()}")

    def request(self, user: str, *headers: str, method: str = "REGISTER", cseq: int | None = None) -> bytes:
        """A request of `user`, each a transaction of its own."""
        self._sent += 1
        cseq = self._sent if cseq is None else cseq
        lines = (
            f"{method} sip:example.org SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.socket.getsockname()[1]};rport;branch=z9hG4bK{self.port}-{self._sent}",
            f"From: <sip:{user}@example.org>;tag=t",
            f"To: <sip:{user}@example.org>",
            f"Call-ID: {user}@test",
            f"CSeq: {cseq} {method}",
            *headers,
            "Content-Length: 0",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, ("127.0.0.1", self.port))

    def receive(self) -> sipmessage.Response | None:
        """The next final answer."""
        while True:
            try:
                answer = sipmessage.Message.parse(self.socket.recv(65_535))
            except TimeoutError:
                return None
            assert isinstance(answer, sipmessage.Response)
            if answer.code >= 200:
                return answer

    def ask(self, data: bytes) -> sipmessage.Response:
        """The answer to a datagram, which is sent again until there is one."""

        def attempt() -> sipmessage.Response | None:
            self.send(data)
            return self.receive()

        answer = wait_for(attempt, f"an answer to {data[:40]!r}")
        assert isinstance(answer, sipmessage.Response)
        return answer

    def register(self, user: str, *headers: str) -> sipmessage.Response:
        contact = f'Contact: <sip:{user}@127.0.0.1:9>;+sip.instance="<urn:uuid:{user}>"'
        return self.ask(self.request(user, *(headers or (contact, "Expires: 3600"))))

    def register_until_confirmed(self, user: str) -> None:
        wait_for(lambda: self.register(user).code == 200, f"{user} is registered")

    def contacts(self, user: str) -> list[str]:
        """What a query says of a user."""
        answer = wait_for(lambda: self._queried(user), "a query is answered with 200")
        assert isinstance(answer, sipmessage.Response)
        return answer.headers.getlist("Contact")

    def _queried(self, user: str) -> sipmessage.Response | None:
        answer = self.ask(self.request(user))
        return answer if answer.code == 200 else None

    def stop(self) -> None:
        self.socket.close()
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(LIMIT_S) == 0
        assert "Traceback" not in self.errors.read_text()


def writes(server: Server) -> int:
    """Registrations that a server has written."""
    return server.client.info("commandstats").get("cmdstat_hmset", {"calls": 0})["calls"]


class Lab:
    """Servers and nodes of a test; `close` ends them and checks that nodes end well."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[Server] = []
        self._nodes: list[NodeProcess] = []

    def server(self, primary: Server | None = None) -> Server:
        self._servers.append(Server(self._folder / f"redis{len(self._servers)}", primary))
        return self._servers[-1]

    def node(self, servers: list[Server], changes: dict[str, Any] | None = None, **registrar: int) -> NodeProcess:
        folder = self._folder / f"node{len(self._nodes)}"
        self._nodes.append(NodeProcess(folder, servers, changes or {}, **registrar))
        return self._nodes[-1]

    def node_of(self, conf: Path) -> NodeProcess:
        """A node with a configuration of its own."""
        self._nodes.append(NodeProcess(self._folder / f"node{len(self._nodes)}", [], {}, conf))
        return self._nodes[-1]

    def close(self) -> None:
        for server in self._servers:
            server.client.close()
            server.process.send_signal(signal.SIGCONT)
            server.kill()
        for node in self._nodes:
            node.stop()


class Phone:
    """A phone on a socket of its own: UDP, TCP or TLS.

    Parameters
    ----------
    user : str
    port : int
        Of the node.
    transport : str
    context : ssl.SSLContext or None
        For TLS.
    """

    def __init__(self, user: str, port: int, transport: str = "udp", context: ssl.SSLContext | None = None) -> None:
        self.user, self.transport, self._target = user, transport, ("127.0.0.1", port)
        self._sent = 0
        self._framer, self._arrived = Framer(), [b""][:0]
        if transport == "udp":
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(("127.0.0.1", 0))
        else:
            self.socket = socket.create_connection(self._target, timeout=LIMIT_S)
            if context:
                self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.settimeout(LIMIT_S)
        self.here = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.contact = f"sip:{user}@{self.here}" + ("" if transport == "udp" else f";transport={transport}")

    def send(self, data: bytes) -> None:
        if self.transport == "udp":
            self.socket.sendto(data, self._target)
        else:
            self.socket.sendall(data)

    def request(self, method: str, uri: str, *headers: str, body: bytes = b"", to: str = "", **changes: str) -> bytes:
        """A request; `cseq` and `branch` may be given."""
        self._sent += 1
        branch = changes.get("branch", f"z9hG4bK-{self.user}-{self.here}-{self._sent}")
        lines = (
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport.upper()} {self.here};rport;branch={branch}",
            "Max-Forwards: 70",
            f"From: <sip:{self.user}@example.org>;tag={self.user}",
            f"To: {to or f'<{uri}>'}",
            f"Call-ID: {changes.get('call_id', self.user)}",
            f"CSeq: {changes.get('cseq', self._sent)} {method}",
            *headers,
            f"Content-Length: {len(body)}",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    def receive(self) -> sipmessage.Message:
        """The next message."""
        if self.transport == "udp":
            return sipmessage.Message.parse(self.socket.recv(65_535))
        while not self._arrived:
            data = self.socket.recv(65_535)
            assert data, "the node has closed the connection"
            self._arrived += self._framer.feed(data)
        return sipmessage.Message.parse(self._arrived.pop(0))

    def final(self) -> sipmessage.Response:
        """The next answer that is final."""
        while True:
            answer = self.receive()
            assert isinstance(answer, sipmessage.Response), bytes(answer)
            if answer.code >= 200:
                return answer

    def ask(self, data: bytes) -> sipmessage.Response:
        self.send(data)
        return self.final()

    def register(self, *headers: str, contact: str = "") -> sipmessage.Response:
        """Register, or with other headers do something like it."""
        contact = contact or f'<{self.contact}>;+sip.instance="<urn:uuid:{self.user}-{self.here}>"'
        headers = headers or (f"Contact: {contact}", "Expires: 600")
        uri = f"sip:{self.user}@example.org"
        return self.ask(self.request("REGISTER", "sip:example.org", *headers, to=f"<{uri}>"))

    def asked(self) -> sipmessage.Request:
        """The next request."""
        request = self.receive()
        assert isinstance(request, sipmessage.Request), bytes(request)
        return request

    def answer(self, request: sipmessage.Request, status: int, *headers: str, tag: str = "") -> None:
        """Answer a request."""
        to = request.headers["To"]
        if "tag=" not in to and status > 100:
            to += f";tag={tag or self.user}"
        lines = (
            f"SIP/2.0 {status} x",
            *(f"Via: {via}" for via in request.headers.getlist("Via")),
            *(f"Record-Route: {route}" for route in request.headers.getlist("Record-Route")),
            f"From: {request.headers['From']}",
            f"To: {to}",
            f"Call-ID: {request.headers['Call-ID']}",
            f"CSeq: {request.headers['CSeq']}",
            f"Contact: <{self.contact}>",
            *headers,
            "Content-Length: 0",
        )
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def close(self) -> None:
        self.socket.close()
