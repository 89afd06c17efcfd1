"""A registrar node: the registrar machine of `model` on real sockets and a real Redis, and a proxy beside it.

Run it with ``python -m reference_node.node CONFIG.json`` (or a ``flexisip.conf``). It keeps registrations in Redis as
Flexisip does (`bindings`), follows the primary as its machine says, passes other requests on (`proxy`), and writes what
the machine reports as NDJSON to its log. SIGTERM and SIGINT end it.

::

    message --> transports --> sip --> node --+--> registering --> machine --LOOKUP--> HGETALL --> change set
                                              |                       |  <-------------------------'
                                              |                       |  --STORE---> MULTI .. EXEC
                                              |    200 or 500 <-------'  <-----------'
                                              '--> proxy --QUERY--> machine --> contacts --> forks

Unlike Flexisip, for which a retransmitted REGISTER is a new one, the node has server transactions (`transactions`): one
request is carried out once, so that a count of answers is a count of registrations.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from model.errors import HastudyError, UsageError
from reference_node import config_file
from reference_node.node import registering
from reference_node.node.config import NodeConfig
from reference_node.node.flexisip_conf import read_flexisip_conf
from reference_node.node.proxy import Proxy
from reference_node.node.registering import Registering
from reference_node.node.registrar_hands import Job, RegistrarHands, Report
from reference_node.node.telemetry import Health, Journal, Metrics, open_log
from reference_node.sip import message as sip
from reference_node.sip.digest import Digest, may_write
from reference_node.sip.fields import match_uri
from reference_node.sip.framing import Unframed
from reference_node.sip.message import Envelope, Request
from reference_node.sip.transactions import Transactions
from reference_node.sip.transports import DatagramFlow, Flow, Point, Transports, bracketed

DRAIN_POLL_S = 0.05
"""How often a node that shuts down looks whether all is done, s. Kind: assumed."""


class Node:
    """The node without its process: knows its domains and its names, and who takes which request.

    Parameters
    ----------
    config : NodeConfig
    report : Report
        Is told what the machine reports.
    journal : Journal
    """

    def __init__(self, config: NodeConfig, report: Report, journal: Journal) -> None:
        self._config, self._journal = config, journal
        self._domains = config.domain_names()
        self._peers = frozenset(config.cluster.nodes) if config.cluster.enabled else frozenset()
        self._internal: Point | None = None
        self._names: frozenset[tuple[str, int]] = frozenset()
        self._transactions = Transactions()
        self._is_draining = False
        self._digest = _digest(config)
        self.hands = RegistrarHands(
            config.servers,
            config.password,
            config.registrar,
            report,
            learns_servers=config.learns_servers,
            me=config.host_index,
            sentinels=config.sentinels,
            group=config.group,
            age_us=config.age_us,
        )
        self.hands.on_expired = lambda aor: self.noted("expired", aor=aor)
        self.transports = Transports(self, config.streams.limits())
        self._registering = Registering(
            self,
            config.limits.limits(),
            random.Random(config.seed),
            config.publish,
            config.registrar.expiry_form == "expire",
        )
        self._proxy = Proxy(self, config.router.settings())
        self.metrics = Metrics(
            {
                "writable": ("1 while registrations are taken.", lambda: float(self.hands.is_writable)),
                "open_jobs": ("Requests that wait for Redis.", lambda: self.hands.open_jobs),
                "open_proxied": ("Requests passed on that wait for an answer.", lambda: self._proxy.n_open),
                "connections": ("SIP connections.", lambda: self.transports.n_connections),
                "kept_answers": ("Answers kept for retransmissions.", lambda: len(self._transactions)),
            }
        )
        self._health = Health(self.metrics, self.why_unhealthy)

    async def start(self) -> None:
        """Bind all sockets, and connect to the first server.

        Raises
        ------
        EnvironmentLacks
            An address cannot be bound.
        """
        port = 0
        for point in self._config.points():
            # Where any port will do for UDP, TCP takes the same.
            port = (await self.transports.listen(replace(point, port=point.port or port))).port
        internal = self._config.internal_point()
        if internal:
            self._internal = await self.transports.listen(internal)
        names = {(host.lower(), point.port) for point in self.transports.points for host in (point.host, point.ip)}
        ports = {point.port for point in self.transports.points}
        self._names = frozenset(names | {(alias.lower(), port) for alias in self._config.aliases for port in ports})
        if self._config.http:
            port = await self._health.listen(self._config.http.ip, self._config.http.port)
            self.noted("http-listening", ip=self._config.http.ip, port=port)
        for point in self.transports.points:
            self.noted("listening", transport=point.transport, ip=point.ip, port=point.port)
        self.hands.start(self._config.first_server)

    async def drain(self) -> None:
        """Take nothing new, and wait for what is open, as the configuration says."""
        if self._config.shutdown.mode == "immediate":
            return
        self._is_draining = True
        self.transports.stop_accepting()
        until_s = time.monotonic() + self._config.shutdown.drain_s
        while time.monotonic() < until_s and (self.hands.open_jobs or self._proxy.n_open):
            await asyncio.sleep(DRAIN_POLL_S)

    def stop(self) -> None:
        """Let go of everything."""
        self.noted("stopped")
        self._health.close()
        self._proxy.stop()
        self.hands.stop()
        self.transports.close()

    def why_unhealthy(self) -> str:
        """Why registrations are not taken, in words; empty when they are."""
        if self._is_draining:
            return "shutting down"
        return "" if self.hands.is_writable else f"no writable Redis: {self.hands.phase}"

    # From the transports.

    def received(self, data: bytes, flow: Flow) -> None:
        """Serve a message."""
        if sip.is_response(data):
            response = sip.read_response(data)
            if response:
                self._proxy.respond(response)
            return
        try:
            request = sip.read(data, flow.peer)
        except sip.Rejected as rejected:
            self.metrics.rejected(rejected.status if rejected.envelope else 0)
            if rejected.envelope:
                self.transmit(rejected.envelope, flow, rejected.answer())
            return
        self.metrics.request(request.method)
        try:
            self._serve(request, flow)
        except sip.Rejected as rejected:
            if request.method != "ACK":
                self.finish(request.envelope, flow, rejected.status, rejected.answer())

    def unframed(self, error: Unframed, flow: Flow) -> None:
        """A stream cannot be read on: answer what broke it, if that can be."""
        self.metrics.rejected(error.status)
        self.noted("connection-closed", peer=flow.peer[0], why=error.why)
        try:
            envelope = sip.read(error.head + b"\r\n\r\n", flow.peer).envelope
        except sip.Rejected as rejected:
            if rejected.envelope is None:
                return
            envelope = rejected.envelope
        if envelope.method != "ACK":
            flow.send(sip.Rejected(error.status, error.why, envelope).answer())

    def closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._proxy.lost(flow)

    def answers_ping(self) -> bool:
        """Whether keep-alives are answered: for the machine to say."""
        return self.hands.answers_ping

    def noted(self, event: str, **values: Any) -> None:
        """Log and count an event."""
        self.metrics.event(event)
        self._journal.note(event, **values)

    def _serve(self, request: Request, flow: Flow) -> None:
        method, envelope = request.method, request.envelope
        if method == "ACK":
            return self._proxy.acknowledge(request, flow)
        if method == "INVITE":
            if self._proxy.is_known(request):
                return
        else:
            is_new, answer = self._transactions.begin(envelope.transaction, time.monotonic())
            if not is_new:
                if answer:
                    self.transmit(envelope, flow, answer)
                return
        if method == "CANCEL":
            return self._proxy.cancel(request, flow)
        if self._is_draining and not request.in_dialog:
            return self._refuse_late(request, flow)
        self._check_sender(request, flow)
        if method == "REGISTER":
            self._registering.register(request, flow)
        elif method == "OPTIONS" and self._is_for_us(request):
            extra = (("Allow", sip.ALLOW), ("Supported", ", ".join(registering.SUPPORTED)))
            self.finish(envelope, flow, 200, sip.answer(envelope, 200, "", *extra))
        else:
            self._proxy.forward(request, flow)

    def _is_for_us(self, request: Request) -> bool:
        """True for a request to the node itself: no user, and no other hop before us (as Flexisip)."""
        match = match_uri(request.uri)
        assert match, "a request's URI was checked"
        if match["user"] or any(not self.owns(route) for route in request.uris("route")):
            return False
        return self.owns(request.uri) or self.serves(request.uri)

    def _refuse_late(self, request: Request, flow: Flow) -> None:
        """What comes during shutdown."""
        settings = self._config.shutdown
        if settings.mode == "refuse":
            extra = ("Retry-After", str(settings.retry_after_s))
            answer = sip.answer(request.envelope, 503, "", extra)
            self.finish(request.envelope, flow, 503, answer)

    def _check_sender(self, request: Request, flow: Flow) -> None:
        """Let through who has shown who he is, where that is asked for.

        Raises
        ------
        Rejected
            401 and 407 challenge, 403 refuses to write or speak for another user.
        """
        is_register = request.method == "REGISTER"
        if self._digest is None or flow.peer[0] in self._peers:
            return
        if not is_register and not self.serves(request.sender.uri):
            return  # a stranger, who speaks for himself
        now_s = int(time.time())
        lines = request.headers.get("authorization" if is_register else "proxy-authorization", [])
        verdict = self._digest.check(lines, request.method, now_s)
        if not verdict.user:
            if lines and not verdict.is_stale:
                self.noted("credentials-refused", aor=request.aor, peer=flow.peer[0])
            name = "WWW-Authenticate" if is_register else "Proxy-Authenticate"
            challenges = [(name, value) for value in self._digest.challenges(now_s, verdict.is_stale)]
            raise sip.Rejected(401 if is_register else 407, "credentials", request.envelope, *challenges)
        if not may_write(verdict.user, request.sender.uri):
            self.noted("user-refused", aor=request.aor, user=verdict.user, peer=flow.peer[0])
            raise sip.Rejected(403, "another user's address of record", request.envelope)

    # For the registrar and the proxy.

    def ask(self, job: Job) -> None:
        """Give a job to the registrar machine."""
        self.hands.ask(job)

    def owns(self, uri: str) -> bool:
        """Whether a URI names this node."""
        match = match_uri(uri)
        if match is None:
            return False
        port = int(match["port"] or (sip.DEFAULT_TLS_PORT if match["scheme"].lower() == "sips" else sip.DEFAULT_PORT))
        return (match["host"].strip("[]").lower(), port) in self._names

    def serves(self, uri: str) -> bool:
        """Whether a URI's host is a domain of the registrar; an address only if it is our own (as Flexisip)."""
        match = match_uri(uri)
        if match is None:
            return False
        host = match["host"].lower()
        if host not in self._domains and "*" not in self._domains:
            return False
        return not _is_numeric(host) or self.owns(uri)

    def is_peer(self, host: str) -> bool:
        """Whether an address is that of another node of the cluster."""
        return host in self._peers

    def point_towards(self, host: str) -> Point | None:
        """The internal transport, for other nodes of the cluster."""
        return self._internal if host in self._peers else None

    def path(self, flow: Flow) -> str:
        """URI under which the holder of a flow is reached through this node (FX 7)."""
        return self._internal.uri.removesuffix(";lr") if self._internal else flow.point.uri

    def finish(self, envelope: Envelope, flow: Flow, status: int, answer: bytes) -> None:
        """End a transaction with its answer, and keep that for retransmissions."""
        self.answered(envelope.method, status)
        if envelope.method != "INVITE":
            key, is_reliable = envelope.transaction, flow.point.is_reliable
            self._transactions.end(key, answer, time.monotonic(), is_reliable)
        self.transmit(envelope, flow, answer)

    def transmit(self, envelope: Envelope, flow: Flow, answer: bytes) -> None:
        """Send an answer: on the connection of the request, or to the address that it came from."""
        if isinstance(flow, DatagramFlow):
            flow.datagrams.send(answer, envelope.destination)
        else:
            flow.send(answer)

    def answered(self, method: str, status: int) -> None:
        """Count an answer."""
        self.metrics.answer(method, status)

    def registered(self, seconds: float) -> None:
        """Note how long a REGISTER took."""
        self.metrics.registered(seconds)


async def run(
    config: NodeConfig,
    report: Report,
    stop: asyncio.Event,
    ready: Callable[[Sequence[Point]], None],
    journal: Journal,
) -> None:
    """Run a node until `stop` is set.

    Parameters
    ----------
    config : NodeConfig
    report : Report
    stop : asyncio.Event
    ready : callable
        Is told where the node listens.
    journal : Journal

    Raises
    ------
    EnvironmentLacks
        An address cannot be bound.
    """
    node = Node(config, report, journal)
    try:
        await node.start()
        ready(node.transports.points)
        await stop.wait()
        await node.drain()
    finally:
        node.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m reference_node.node``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reference_node.node",
        description="A SIP registrar and proxy that keeps registrations in Redis, as Flexisip does.",
        epilog="example: python -m reference_node.node host1.json",
    )
    parser.add_argument("config", type=Path, help="configuration: JSON, or a flexisip.conf (see docs/node.md)")
    try:
        config, remarks = _read(parser.parse_args(arguments).config)
        for remark in remarks:
            print(f"warning: {remark}", file=sys.stderr)
        journal = Journal(config.program_log, config.host)
        with open_log(config.log or "/dev/null") as log:
            asyncio.run(_run_until_signal(config, log, journal))
        journal.close()
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _read(path: Path) -> tuple[NodeConfig, list[str]]:
    """A configuration in either syntax, and what is to be said about it."""
    try:
        is_json = path.suffix == ".json" or path.read_bytes().lstrip()[:1] == b"{"
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    return (config_file.read(NodeConfig, path), []) if is_json else read_flexisip_conf(path)


async def _run_until_signal(config: NodeConfig, log: TextIO, journal: Journal) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def report(event: str, about: str, wall_us: int, code: int) -> None:
        print(json.dumps({"t_us": wall_us, "event": event, "about": about, "code": code}), file=log)
        journal.note(event, about=about, code=code)

    def ready(points: Sequence[Point]) -> None:
        for point in points:
            where = f"{bracketed(point.ip)}:{point.port}"
            print(f"{config.host}: listening on {where} ({point.transport})", file=sys.stderr)

    await run(config, report, stop, ready, journal)


def _digest(config: NodeConfig) -> Digest | None:
    auth = config.auth
    if not auth.enabled:
        return None
    return Digest(auth.realm or config.domain, config.users(), auth.algorithms, auth.nonce_s)


@lru_cache(maxsize=1_024)
def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
