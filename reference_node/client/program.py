"""A SIP client on real sockets: the client machine of `model.sip_client`, which registers and fails over by DNS SRV.

What the client decides is decided in the machine; this module gives it a resolver, UDP, TCP and TLS, SIP messages and
a clock. It keeps registered through one node (some classes: through two), and answers OPTIONS and MESSAGE 200 over
the flow that they come on, so that anybody can find out through which nodes it is reached.

Run it with ``python -m reference_node.client alice@example.org --class linphone-5.4 --transport tcp --dns
127.0.0.1:5353``, or with a configuration file in place of the options. It tells what happens, with ``--json`` as one
object a line in the names of `model.trace`. SIGTERM ends it as a crash would, SIGINT (Ctrl-C) lets it unregister first.

Hosts have numbers for the machine: those of the `targets` given, and further ones as the DNS names them. An address is
as good as the last answer of the DNS that named it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic

from model import client_classes, draws, sip_client
from model.client_classes import ClassName
from model.effects import (
    CRLF_PING,
    CRLF_PONG,
    LINK_CLOSED,
    LINK_OPEN,
    MAX_HOSTS,
    MESSAGE,
    REGISTER,
    RESOLVE,
    RESOLVED,
    RESPONSE,
)
from model.errors import HastudyError, UsageError
from reference_node import config_file
from reference_node.client import resolver
from reference_node.client.flows import DatagramPort, Flow, StreamFlow
from reference_node.client.user_agent import UserAgent, Wish
from reference_node.dns_server import DNS_PORT, address_and_port
from reference_node.driver import US_PER_S, Driver, Hands, monotonic_us
from reference_node.sip import message as sip
from reference_node.sip import peer_certificate
from reference_node.sip.framing import PING
from reference_node.sip.message import Address

Transport = Literal["udp", "tcp", "tls"]

TRANSPORTS = {"udp": sip_client.UDP, "tcp": sip_client.TCP, "tls": sip_client.TLS}
"""Number of each transport in the machine."""

OPEN_WISHES = 8
"""Latest REGISTER transactions that are remembered; a client has one for each flow. Kind: assumed."""

LEAVING = 0
"""Number of the transaction that ends the registration; the machine's own count from 1."""

LEAVE_LIMIT_S = 2.0
"""Longest wait for the answer to a REGISTER that ends the registration. Kind: assumed."""

Report = Callable[[str, str, int, int, int], None]
"""Takes an event, the host that it is about (or ""), its time in µs since the Unix epoch, detail in µs, and code."""


class NameServer(pydantic.BaseModel):
    """Whom to ask for names."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)

    ip: str
    port: int = pydantic.Field(DNS_PORT, ge=1, le=65_535)


class ClientConfig(pydantic.BaseModel):
    """Configuration of a client: what CONFIG.json may say.

    Attributes
    ----------
    name, domain : str
        Its address of record is ``name@domain``.
    class_ : str
        Whose behaviour it has (`model.client_classes`); ``class`` in a file.
    transport : str
        ``udp``, ``tcp`` or ``tls``.
    expires_s : int
        Lifetime that it asks for.
    name_server : NameServer
    authorities : str
        File with the certificates of trusted authorities; empty takes the system's.
    password : str
        For digest; its user name is `name`.
    targets : tuple of str
        Full names of hosts, in the order of their numbers.
    starts_on : str
        The one of them that its first selection takes; empty = as drawn.
    seed : int
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9._~!$&*+=-]+$")
    domain: str = pydantic.Field(pattern=r"^[A-Za-z0-9.-]+$")
    class_: ClassName = pydantic.Field("ideal", alias="class")
    transport: Transport = "udp"
    expires_s: int = pydantic.Field(3_600, ge=10, le=86_400)
    name_server: NameServer
    authorities: str = ""
    password: str = ""
    targets: tuple[str, ...] = pydantic.Field((), max_length=MAX_HOSTS)
    starts_on: str = ""
    seed: int = 1

    @pydantic.model_validator(mode="after")
    def _starts_on_a_target(self) -> ClientConfig:
        if self.starts_on and self.starts_on not in self.targets:
            raise ValueError("starts_on must be one of targets")
        return self


class Client(Hands):
    """A client without its process.

    Parameters
    ----------
    config : ClientConfig
    number : int
        Its number, for its random numbers.
    report : Report
        Is told what the machine reports.
    """

    def __init__(self, config: ClientConfig, number: int, report: Report) -> None:
        self.config = config
        self._report = report
        self._agent = UserAgent(
            config.name, config.domain, f"hastudy-client/{config.class_}", config.password, config.seed
        )
        self._authorities = _authorities(config) if config.transport == "tls" else None
        self._hosts: list[str] = [host.lower() for host in config.targets]
        self._address: dict[str, Address] = {}
        self._flows: dict[int, Flow] = {}
        self._wishes: dict[int, Wish] = {}
        self._copies: dict[int, bytes] = {}
        self._query: asyncio.Task[None] | None = None
        self._left = asyncio.Event()
        self._young: set[int] = set()
        self._random = random.Random(config.seed)
        self._port: DatagramPort | None = None
        self._driver = Driver(sip_client, _machine_state(config, number), self)

    @property
    def is_registered(self) -> bool:
        """True when the client believes itself registered."""
        return any(flow.is_registered for flow in self._driver.state.flow)

    @property
    def settling_s(self) -> float:
        """How long until a client of some age has had what one that was always there has had: an answered keep-alive.

        Only for classes that it makes a difference to.
        """
        how = self._driver.state.behaviour
        needs_it = how.pong_rule == sip_client.NEEDED_ONCE_SEEN or how.silence_us > 0
        return how.ping_max_us / US_PER_S if needs_it else 0.0

    @property
    def refresh_s(self) -> float:
        """How long after a registration for the whole lifetime the refresh comes, at the earliest."""
        how = self._driver.state.behaviour
        return self.config.expires_s * how.refresh_low_percent / 100 - how.refresh_margin_us / US_PER_S

    def start(self, age_s: float = 0.0) -> None:
        """Start the program.

        Parameters
        ----------
        age_s : float
            It passes for registered that long ago (`model.sip_client.boot`), and its keep-alives have any phase.
        """
        self._young = {sip_client.FLOW, sip_client.SECOND_FLOW} if age_s else set()
        if self.config.transport == "udp":
            self._port = DatagramPort(self._on_stranger)
        self._driver.call(sip_client.boot, monotonic_us(), round(age_s * US_PER_S))

    def stop(self) -> None:
        """End as a crash does: nobody is told."""
        self._driver.stop()
        if self._query:
            self._query.cancel()
        for flow in self._flows.values():
            flow.abort()
        self._flows.clear()
        if self._port:
            self._port.close()

    async def leave(self) -> None:
        """Unregister, if there is a flow to do it on, and wait a little for the answer."""
        self._driver.stop()
        for link, flow in self._flows.items():
            if not flow.is_open:
                continue
            wish = Wish(LEAVING, 0, flow.local, self.config.transport, self._reg_id(link))
            self._wishes = {LEAVING: wish}
            flow.send(self._agent.register(wish))
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_LIMIT_S):
                    await self._left.wait()

    # The machine's hands.

    def send(self, link: int, message: Any) -> None:
        """Ask the DNS, or send a REGISTER or a keep-alive."""
        if message.kind == RESOLVE:
            if self._query:
                self._query.cancel()
            self._query = asyncio.create_task(self._look_up())
            return
        flow = self._flows.get(link)
        if flow is None:
            return
        if message.kind == CRLF_PING:
            return flow.send(PING)
        assert message.kind == REGISTER, "a client sends nothing else"
        flow.send(self._copies.get(message.request) or self._new_copy(link, flow, message))

    def connect(self, link: int, host: int) -> None:
        """Open a flow to a node."""
        name = self._hosts[host]
        peer = self._address[name]
        if self._port:
            self._flows[link] = self._port.open(self, link, peer)
        else:
            self._flows[link] = StreamFlow(self, link, peer, name, self.config.domain, self._authorities)

    def close(self, link: int) -> None:
        """Close a flow."""
        flow = self._flows.pop(link, None)
        if flow:
            flow.close()

    def report(self, event: str, about: int, wall_us: int, detail_us: int, code: int) -> None:
        """Pass a report on."""
        if event == "registered" and code in self._young:
            self._young.remove(code)
            # After the machine has armed its timers: keep-alives get the phase of a client that has long been there.
            asyncio.get_running_loop().call_soon(self._spread_keep_alives, code)
        self._report(event, self._hosts[about - 1] if about else "", wall_us, detail_us, code)

    def _spread_keep_alives(self, link: int) -> None:
        period_us = self._driver.state.behaviour.ping_max_us
        if period_us:
            which = link * sip_client.TIMERS_PER_FLOW + sip_client.TIMER_PING
            self._driver.set_timer(which, self._random.randrange(period_us))

    def _new_copy(self, link: int, flow: Flow, message: Any) -> bytes:
        wish = Wish(
            message.request,
            message.seconds,
            flow.local,
            self.config.transport,
            self._reg_id(link),
            message.code,
        )
        self._wishes[wish.number] = wish
        self._copies[wish.number] = self._agent.register(wish)
        for old in sorted(self._wishes)[:-OPEN_WISHES]:
            del self._wishes[old], self._copies[old]
        return self._copies[wish.number]

    def _reg_id(self, link: int) -> int:
        """The `reg-id` of a flow; only clients with several of them have any."""
        return 1 + link if self._driver.state.flows > 1 else 0

    # From flows.

    def opened(self, flow: Flow, certificate: int) -> None:
        """A flow is open."""
        if self._has(flow):
            self._deliver(flow.link, LINK_OPEN, code=certificate)

    def received(self, flow: Flow, data: bytes) -> None:
        """Something came over a flow."""
        if not data or not self._has(flow):
            return
        if not data.strip(b"\r\n"):
            self._deliver(flow.link, CRLF_PONG)
        elif sip.is_response(data):
            self._take_response(flow, data)
        else:
            answer = self._agent.answer(data, flow.peer)
            if answer:
                flow.send(answer)

    def closed(self, flow: Flow, by_icmp: bool) -> None:
        """A flow was refused or ended, or an ICMP error came for it."""
        if not self._has(flow):
            return
        if not by_icmp:
            del self._flows[flow.link]
        self._deliver(flow.link, LINK_CLOSED, code=sip_client.ICMP_ERROR if by_icmp else 0)

    def _has(self, flow: Flow) -> bool:
        """True as long as the machine has not closed the flow."""
        return self._flows.get(flow.link) is flow

    def _take_response(self, flow: Flow, data: bytes) -> None:
        verdict = self._agent.verdict(data, self._wishes)
        if verdict and verdict.number == LEAVING:
            self._left.set()
        elif verdict:
            number, status, seconds = verdict.number, verdict.status, verdict.seconds
            self._deliver(flow.link, RESPONSE, request=number, code=status, seconds=seconds)

    def _on_stranger(self, data: bytes, source: Address) -> None:
        """A datagram from no node that the client is registered through: a request all the same."""
        if data.strip(b"\r\n") and not sip.is_response(data) and self._port:
            answer = self._agent.answer(data, source)
            if answer:
                self._port.send(answer, source)

    # From the DNS.

    async def _look_up(self) -> None:
        """Ask once; silence is never answered."""
        config, state = self.config, self._driver.state
        try:
            server = config.name_server
            answer = await resolver.look_up(config.domain, config.transport, server.ip, server.port)
        except resolver.Unanswered:
            return self._deliver(sip_client.DNS_LINK, RESOLVED, code=sip_client.DNS_FAILURE)
        known = [record for record in answer.records if self._learn(record)][:MAX_HOSTS]
        state.answer_count, state.answer_ttl_s = len(known), answer.ttl_s
        for place, record in enumerate(known):
            state.answer_host[place] = self._hosts.index(record.target)
            state.answer_priority[place], state.answer_weight[place] = record.priority, record.weight
        code = sip_client.FOUND if known else sip_client.NO_NAME
        self._deliver(sip_client.DNS_LINK, RESOLVED, code=code)

    def _learn(self, record: resolver.Record) -> bool:
        """Give a target its number and remember its address; False when there are too many."""
        if record.target not in self._hosts:
            if len(self._hosts) == MAX_HOSTS:
                return False
            self._hosts.append(record.target)
        self._address[record.target] = (record.address, record.port)
        return True

    def _deliver(self, link: int, kind: int, **values: int) -> None:
        message = MESSAGE.new()
        message.kind = kind
        for name, value in values.items():
            setattr(message, name, value)
        self._driver.deliver(link, message)


def _authorities(config: ClientConfig) -> list[Any]:
    path = config.authorities or ssl.get_default_verify_paths().cafile
    try:
        return peer_certificate.read_authorities(Path(path).read_bytes()) if path else []
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _machine_state(config: ClientConfig, number: int) -> Any:
    """The client machine's state, configured."""
    state = sip_client.CLIENT.new()
    behaviour, transport = client_classes.CLASSES[config.class_], TRANSPORTS[config.transport]
    starts_on = 1 + config.targets.index(config.starts_on) if config.starts_on else 0
    client_classes.configure(state, behaviour, transport, config.expires_s, number, starts_on)
    state.has_credentials = int(bool(config.password))
    draws.start(state.stream, config.seed, 0, number, 0)
    return state


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m reference_node.client``; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = _config_of(options)
        asyncio.run(_run_until_signal(config, _say_json if options.json else _say))
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reference_node.client",
        description="A SIP client: registers by DNS SRV, fails over as its class does, answers OPTIONS and MESSAGE.",
        epilog="example: python -m reference_node.client alice@example.org --transport tcp --dns 127.0.0.1:5353 --json",
    )
    parser.add_argument("who", help="address of record, or a configuration file that ends in .json")
    parser.add_argument("--class", dest="class_", default="ideal", choices=get_args(ClassName), help="whose behaviour")
    parser.add_argument("--transport", default="udp", choices=tuple(TRANSPORTS))
    parser.add_argument("--expires", type=int, default=3_600, metavar="S", help="lifetime to ask for, s (3600)")
    parser.add_argument("--dns", type=address_and_port, default=("127.0.0.1", DNS_PORT), metavar="IP:PORT")
    parser.add_argument("--ca", default="", metavar="PEM", help="trusted authorities (the system's)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _config_of(options: argparse.Namespace) -> ClientConfig:
    if options.who.endswith(".json"):
        return config_file.read(ClientConfig, Path(options.who))
    name, _, domain = options.who.removeprefix("sip:").partition("@")
    ip, port = options.dns
    values = {
        "name": name,
        "domain": domain,
        "class": options.class_,
        "transport": options.transport,
        "expires_s": options.expires,
        "name_server": {"ip": ip, "port": port},
        "authorities": options.ca,
        "seed": options.seed,
    }
    return config_file.check(ClientConfig, options.who, values)


async def _run_until_signal(config: ClientConfig, report: Report) -> None:
    loop, ended, leaves = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, lambda: (leaves.set(), ended.set()))
    client = Client(config, 0, report)
    client.start()
    await ended.wait()
    if leaves.is_set():
        await client.leave()
    client.stop()


def _say(event: str, about: str, wall_us: int, detail_us: int, code: int) -> None:
    time = datetime.fromtimestamp(wall_us / 1e6, UTC).strftime("%H:%M:%S.%f")
    length = f" {detail_us / 1e6:g} s" if detail_us else ""
    print(f"{time} {event} {about}{length}{f' ({code})' if code else ''}", flush=True)


def _say_json(event: str, about: str, wall_us: int, detail_us: int, code: int) -> None:
    line = {"t_us": wall_us, "event": event, "about": about, "detail_us": detail_us, "code": code}
    print(json.dumps(line), flush=True)
