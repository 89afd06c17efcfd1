"""A registrar node: the registrar machine of `model` on a UDP socket and a real Redis.

Run it with ``python -m reference_node.node CONFIG.json``. It answers REGISTER and OPTIONS, keeps registrations in
Redis as Flexisip does (`bindings`), follows the primary as its machine says, and writes what the machine reports as
NDJSON to its log. SIGTERM and SIGINT end it.

::

    datagram --> sip --> machine --LOOKUP--> store --> HGETALL --> change set
                            |    <---------------------------------'
                            |    --STORE---> store --> MULTI .. EXEC
                            |    <---------------------------'
    datagram <-- sip <------'    RESPONSE 200 or 500; 400 and 403 where SIP, not Redis, says no

The machine knows nothing of contacts: for it, a REGISTER is a look-up and a write that succeed or fail. What SIP
refuses between the two reaches it as a failed look-up, and its 500 goes out as the status that fits.

Unlike Flexisip, for which a retransmitted REGISTER is a new one, the node has server transactions (`transactions`): one
request is carried out once, so that a count of answers is a count of registrations.

Left out: authentication, the proxy and its routing, PUBLISH after a registration, TCP and TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from model.errors import EnvironmentLacks, HastudyError
from reference_node import bindings, sip
from reference_node.bindings import Binding, Command
from reference_node.config import NodeConfig, read_config
from reference_node.registrar_hands import RegistrarHands, Report
from reference_node.transactions import Transactions

SUPPORTED = ("path",)
"""SIP extensions that a request may require. Source: RFC 3327."""


class _Register:
    """A REGISTER that the machine works on, and what has come of it so far: see `registrar_hands.Job`."""

    def __init__(self, node: Node, envelope: sip.Envelope, registration: bindings.Registration) -> None:
        self._node, self._envelope, self._registration = node, envelope, registration
        self._contacts: Sequence[Binding] = ()
        self._refusal: bindings.Refused | None = None
        self.aor, self.is_query = registration.aor, registration.is_query

    def found(self, record: list[Binding]) -> Sequence[Command] | None:
        """Work out what the REGISTER changes."""
        now_s = int(time.time())
        if self.is_query:
            self._contacts = bindings.live(record, now_s)
            return ()
        try:
            change = bindings.change_set(record, self._registration, now_s, self._node.new_field)
        except bindings.Refused as refusal:
            self._refusal = refusal
            return None
        self._contacts = change.remaining
        return bindings.commands(self.aor, change)

    def end(self, status: int) -> None:
        """Answer the client."""
        self._node.finish(self._envelope, self._answer(status))

    def _answer(self, status: int) -> bytes:
        if self._refusal:
            return sip.answer(self._envelope, self._refusal.status, self._refusal.reason)
        if status != 200:
            return sip.answer(self._envelope, status)
        now_s = int(time.time())
        contacts = [("Contact", bindings.contact_header(binding, now_s)) for binding in self._contacts]
        return sip.answer(self._envelope, 200, "", *contacts, sip.date_header())


class Node(asyncio.DatagramProtocol):
    """The node without its process.

    Parameters
    ----------
    config : NodeConfig
    report : Report
        Is told what the machine reports.
    """

    def __init__(self, config: NodeConfig, report: Report) -> None:
        self._config = config
        self._random = random.Random(config.seed)
        self._transactions = Transactions()
        self._hands = RegistrarHands(config.servers, config.password, config.registrar, report)

    def start(self) -> None:
        """Connect to the first server."""
        self._hands.start(self._config.first_server)

    def stop(self) -> None:
        """Let go of everything."""
        self._hands.stop()

    def new_field(self) -> str:
        """A field for a device without unique id."""
        return bindings.generated_field(self._random)

    def finish(self, envelope: sip.Envelope, answer: bytes) -> None:
        """End a transaction with its answer."""
        self._transactions.end(envelope.transaction, answer, time.monotonic())
        self._send(envelope, answer)

    # From the socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is bound."""
        self._transport: Any = transport
        ip, port = transport.get_extra_info("sockname")[:2]
        host = f"[{ip}]" if ":" in ip else ip
        self._path = f"sip:{host}:{port};transport=udp;lr"

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Serve a datagram."""
        try:
            self._serve(sip.read(data, (addr[0], addr[1])))
        except sip.Rejected as rejected:
            if rejected.envelope:
                self._send(rejected.envelope, rejected.answer())

    def _serve(self, request: sip.Request) -> None:
        method, envelope = request.method, request.envelope
        if method == "OPTIONS":
            extra = (("Allow", sip.ALLOW), ("Supported", ", ".join(SUPPORTED)))
            self._send(envelope, sip.answer(envelope, 200, "", *extra))
        elif method == "CANCEL":
            # RFC 3261 section 9.2: what there was to cancel has been answered.
            self._send(envelope, sip.answer(envelope, 481))
        elif method != "REGISTER":
            status = 405 if method in sip.KNOWN_METHODS else 501
            self._send(envelope, sip.answer(envelope, status, "", ("Allow", sip.ALLOW)))
        else:
            self._register(request)

    def _register(self, request: sip.Request) -> None:
        envelope = request.envelope
        unsupported = sip.required(request) - set(SUPPORTED)
        if unsupported:
            extra = ("Unsupported", ", ".join(sorted(unsupported)))
            return self._send(envelope, sip.answer(envelope, 420, "", extra))
        if request.aor.rpartition("@")[2] != self._config.domain.lower():
            return self._send(envelope, sip.answer(envelope, 404))
        registration = sip.registration(request, self._path)
        is_new, answer = self._transactions.begin(envelope.transaction, time.monotonic())
        if is_new:
            self._hands.ask(_Register(self, envelope, registration))
        elif answer:
            self._send(envelope, answer)

    def _send(self, envelope: sip.Envelope, answer: bytes) -> None:
        self._transport.sendto(answer, envelope.destination)


async def run(config: NodeConfig, report: Report, stop: asyncio.Event, ready: Callable[[str, int], None]) -> None:
    """Run a node until `stop` is set.

    Parameters
    ----------
    config : NodeConfig
    report : Report
    stop : asyncio.Event
    ready : callable
        Is told the address and port that the node listens on.

    Raises
    ------
    EnvironmentLacks
        The address cannot be bound.
    """
    node = Node(config, report)
    where = (config.sip.ip, config.sip.port)
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: node, local_addr=where)
    except OSError as error:
        raise EnvironmentLacks(f"cannot listen on UDP {where[0]}:{where[1]}: {error.strerror or error}") from None
    try:
        node.start()
        ready(*transport.get_extra_info("sockname")[:2])
        await stop.wait()
    finally:
        node.stop()
        transport.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m reference_node.node``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reference_node.node",
        description="A registrar node for the lab: answers SIP REGISTER over UDP, keeps contacts in Redis.",
        epilog="example: python -m reference_node.node host1.json",
    )
    parser.add_argument("config", type=Path, help="configuration, a JSON file (see docs/node.md)")
    try:
        config = read_config(parser.parse_args(arguments).config)
        with _open_log(config.log) as log:
            asyncio.run(_run_until_signal(config, log))
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _open_log(path: str) -> TextIO:
    try:
        return open(path, "a", buffering=1, encoding="utf-8")
    except OSError as error:
        raise EnvironmentLacks(f"cannot write the log {path}: {error.strerror}") from None


async def _run_until_signal(config: NodeConfig, log: TextIO) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def report(event: str, about: str, wall_us: int, code: int) -> None:
        print(json.dumps({"t_us": wall_us, "event": event, "about": about, "code": code}), file=log)

    def ready(ip: str, port: int) -> None:
        print(f"{config.host}: listening on {ip}:{port}", file=sys.stderr)

    await run(config, report, stop, ready)


if __name__ == "__main__":
    sys.exit(main())
