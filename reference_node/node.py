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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from redis.exceptions import RedisError

from model import registrar
from model.effects import (
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    MESSAGE,
    PRIMARY,
    QUERY,
    REGISTER,
    REPLICA,
    STORE,
    STORE_REPLY,
)
from model.errors import EnvironmentLacks, HastudyError
from model.scenario import RegistrarSection
from reference_node import bindings, sip
from reference_node.config import NodeConfig, read_config
from reference_node.driver import Driver, Hands
from reference_node.store import INFO_COMMAND, Store, read_replication
from reference_node.transactions import Transactions

SUPPORTED = ("path",)
"""SIP extensions that a request may require. Source: RFC 3327."""

US_PER_MS = 1_000

Report = Callable[[str, str, int, int], None]
"""Takes an event, the host that it is about (or ""), its time in µs since the Unix epoch, and its code."""


@dataclass(slots=True)
class _Pending:
    """A REGISTER that the machine works on, and what has come of it so far."""

    envelope: sip.Envelope
    registration: bindings.Registration
    change: bindings.Change | None = None
    contacts: Sequence[bindings.Binding] = ()
    refusal: bindings.Refused | None = None


class Node(asyncio.DatagramProtocol, Hands):
    """The node without its process: a datagram protocol that is also its machine's hands and its store's listener.

    Parameters
    ----------
    config : NodeConfig
    report : Report
        Is told what the machine reports.
    """

    def __init__(self, config: NodeConfig, report: Report) -> None:
        self._config, self._report = config, report
        self._random = random.Random(config.seed)
        self._pending: dict[int, _Pending] = {}
        self._requests = 0
        self._transactions = Transactions()
        self._store = Store(config.servers, config.password, self)
        self._driver = Driver(registrar, machine_state(config.registrar), self)

    def start(self) -> None:
        """Connect to the first server."""
        self._driver.call(registrar.boot, self._config.first_server)

    def stop(self) -> None:
        """Let go of everything, without a word to anybody (as Flexisip does on SIGTERM)."""
        self._driver.stop()
        self._store.close()

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
            self._requests += 1
            self._pending[self._requests] = _Pending(envelope, registration)
            self._deliver(QUERY if registration.is_query else REGISTER, request=self._requests)
        elif answer:
            self._send(envelope, answer)

    def _send(self, envelope: sip.Envelope, answer: bytes) -> None:
        self._transport.sendto(answer, envelope.destination)

    # The machine's hands.

    def send(self, link: int, message: Any) -> None:
        """Carry a message of the machine to Redis."""
        kind, request = message.kind, message.request
        if kind == INFO:
            return self._store.ask((kind, request), [INFO_COMMAND])
        pending = self._pending[request]
        aor = pending.registration.aor
        if kind == LOOKUP:
            self._store.ask((kind, request), [(b"HGETALL", bindings.key(aor))])
        else:
            assert kind == STORE and pending.change, "a STORE follows a LOOKUP"
            self._store.ask((kind, request), bindings.commands(aor, pending.change))

    def reply(self, source: int, message: Any) -> None:
        """Carry a RESPONSE of the machine to the client."""
        pending = self._pending.pop(message.request)
        envelope = pending.envelope
        if pending.refusal:
            answer = sip.answer(envelope, pending.refusal.status, pending.refusal.reason)
        elif message.code == 200:
            now_s = int(time.time())
            contacts = [("Contact", bindings.contact_header(binding, now_s)) for binding in pending.contacts]
            answer = sip.answer(envelope, 200, "", *contacts, sip.date_header())
        else:
            answer = sip.answer(envelope, message.code)
        self._transactions.end(envelope.transaction, answer, time.monotonic())
        self._send(envelope, answer)

    def connect(self, link: int, host: int) -> None:
        """Open the connection to Redis."""
        self._store.open(host)

    def close(self, link: int) -> None:
        """Close the connection to Redis."""
        self._store.close()

    def report(self, event: str, about: int, wall_us: int, detail_us: int, code: int) -> None:
        """Pass a report on."""
        server = self._config.servers[about - 1] if about else None
        self._report(event, server.host if server else "", wall_us, code)

    # From Redis.

    def opened(self) -> None:
        """The connection is open."""
        self._deliver(LINK_OPEN)

    def closed(self) -> None:
        """The connection is closed or was refused."""
        self._deliver(LINK_CLOSED)

    def answered(self, tag: tuple[int, int], replies: list[Any]) -> None:
        """Redis has answered what `send` asked."""
        kind, request = tag
        if kind == INFO:
            self._on_info(replies[0])
        elif kind == LOOKUP:
            self._deliver(LOOKUP_REPLY, request=request, code=self._look_up(self._pending[request], replies[0]))
        else:
            self._deliver(STORE_REPLY, request=request, code=int(_is_done(replies[-1])))

    def _on_info(self, reply: Any) -> None:
        replication = read_replication(reply, self._config.servers)
        if replication is None:
            # A server that does not say what it is (NOAUTH, NOPERM) is of no more use than one that is gone.
            self._store.close()
            return self._deliver(LINK_CLOSED)
        self._deliver(
            INFO_REPLY,
            role=PRIMARY if replication.is_primary else REPLICA,
            primary=replication.primary,
            link_up=int(replication.link_up),
            heard_s=replication.heard_s,
            replicas=replication.replicas,
        )

    def _look_up(self, pending: _Pending, reply: Any) -> int:
        """Work out what a REGISTER changes; 1, or 0 when it cannot be carried out."""
        if isinstance(reply, RedisError):
            return 0
        now_s = int(time.time())
        record = bindings.decode_record(reply)
        if pending.registration.is_query:
            pending.contacts = bindings.live(record, now_s)
            return 1
        try:
            pending.change = bindings.change_set(record, pending.registration, now_s, self._new_field)
        except bindings.Refused as refusal:
            pending.refusal = refusal
            return 0
        pending.contacts = pending.change.remaining
        return 1

    def _new_field(self) -> str:
        return bindings.generated_field(self._random)

    def _deliver(self, kind: int, **values: int) -> None:
        message = MESSAGE.new()
        message.kind = kind
        for name, value in values.items():
            setattr(message, name, value)
        # One number serves the link to Redis and all clients: answers to these find their way by request.
        self._driver.deliver(registrar.REDIS_LINK, message)


def machine_state(section: RegistrarSection) -> Any:
    """The registrar machine's state with the settings of a scenario."""
    state = registrar.REGISTRAR.new()
    state.redis_timeout_us = section.redis_timeout_ms * US_PER_MS
    state.info_period_us = section.info_period_ms * US_PER_MS
    state.wait_poll_us = section.wait_poll_ms * US_PER_MS
    state.retry_pause_us = section.retry_pause_ms * US_PER_MS
    return state


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


def _is_done(reply: Any) -> bool:
    """True when Redis carried a write out: EXEC ran without an error inside, or DEL ran."""
    if isinstance(reply, list):
        return not any(isinstance(part, RedisError) for part in reply)
    return isinstance(reply, int)


if __name__ == "__main__":
    sys.exit(main())
