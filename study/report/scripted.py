"""One SIP client among nodes and a name server that do as a script says: the plainest driver of the client machine.

For questions about the client alone, such as when it tries again after which answer. There is no cluster, no network
delay but a fixed one, and no call. Nothing here is compiled: a client lives through ten minutes in some milliseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model import draws, effects, sip_client, srv
from model.client_classes import CLASSES, configure
from model.effects import CRLF_PONG, FAILED, LINK_CLOSED, LINK_OPEN, REGISTER, REGISTERED, RESOLVED, RESPONSE
from model.sip_client import DNS_LINK, FOUND, ICMP_ERROR, IS_VALID, NAMES_DOMAIN, TCP, TLS, UDP

TRANSPORTS = {"udp": UDP, "tcp": TCP, "tls": TLS}

ONE_WAY_US = 1_000
"""Between the client and anybody. Kind: assumed."""

START_US = 1_000_000_000
"""Instant of 0 s. Kind: assumed (far enough from 0 for what happened before)."""

SILENT, REFUSES = "silent", "refuses"
"""What a node can be besides one that answers: gone without a word, or without its process."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Final answer of a node to a REGISTER: status, and granted lifetime or Retry-After in s."""

    status: int = 200
    seconds: int = 60


@dataclass(frozen=True, slots=True)
class Record:
    """One SRV record: number of the host, priority, weight."""

    host: int
    priority: int = 0
    weight: int = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a client did: instant in s, what (`REGISTER`, `REGISTERED`, `FAILED`), host, code."""

    t_s: float
    what: int
    host: int
    code: int


Node = Callable[[int, float], Answer | str]
"""What the node of a host is or answers at an instant in s."""

Zone = Callable[[float], Sequence[Record] | None]
"""Records at an instant in s; None = the name server is silent."""


class ScriptedWorld:
    """A client, its nodes, its name server.

    Parameters
    ----------
    class_, transport : str
    node : Node
    zone : Zone
    seed, number : int
        Of its chance; of the client.
    ttl_s, expires_s : int

    Attributes
    ----------
    steps : list of Step
        What it has done so far.
    zone : Zone
        May be replaced at any time.
    """

    def __init__(
        self, class_: str, transport: str, node: Node, zone: Zone, seed: int = 1, number: int = 0, ttl_s: int = 3600,
        expires_s: int = 60,
    ) -> None:  # fmt: skip
        self.steps: list[Step] = []
        self._node, self.zone, self._ttl_s = node, zone, ttl_s
        self._transport = TRANSPORTS[transport]
        self._now_us = START_US
        self._client, self._out = sip_client.CLIENT.new(), effects.OUT.new()
        configure(self._client, CLASSES[class_], self._transport, expires_s, number % 255, 0)
        self._client.hash_key = draws_key(number)
        draws.start(self._client.stream, seed, number, 0, 0)
        self._timers: dict[int, int] = {}
        self._links: dict[int, tuple[int, int]] = {}  # flow: host and serial number
        self._queue: list[tuple[int, int, int, int, dict[str, int]]] = []
        self._serial = 0

    def settle(self, host: int, age_s: float) -> ScriptedWorld:
        """The client is registered through a host since `age_s`."""
        self._answer_names()
        sip_client.settle(self._client, self._now_us, host, round(age_s * 1e6), self._out)
        for flow in range(self._client.flows):
            state = self._client.flow[flow]
            if state.phase == sip_client.IDLE:
                self._links[flow] = state.host - 1, self._next()
        self._carry_out()
        return self

    def boot(self) -> ScriptedWorld:
        """The client's program starts."""
        sip_client.boot(self._client, self._now_us, 0, self._out)
        self._carry_out()
        return self

    def end_idle_connections(self) -> None:
        """The connections to nodes that are not there end now (process killed)."""
        for flow, (host, serial) in list(self._links.items()):
            if self._transport != UDP and self._state(host) == REFUSES:
                self._later(ONE_WAY_US, flow, serial, LINK_CLOSED)

    def run(self, until_s: float) -> list[Step]:
        """What the client does until an instant."""
        end_us = START_US + round(until_s * 1e6)
        while due := self._due():
            at_us, which = due
            if at_us > end_us:
                break
            self._now_us = at_us
            if which >= 0:
                del self._timers[which]
                sip_client.on_timer(self._client, at_us, which, self._out)
            else:
                self._receive(*heapq.heappop(self._queue)[2:])
            self._carry_out()
        return self.steps

    @property
    def now_s(self) -> float:
        """Instant in s."""
        return (self._now_us - START_US) / 1e6

    def _due(self) -> tuple[int, int] | None:
        """Instant of what comes next, and its timer (-1: a message)."""
        due = [(at_us, which) for which, at_us in self._timers.items()]
        if self._queue:
            due.append((self._queue[0][0], -1))
        return min(due, default=None)

    def _state(self, host: int) -> Answer | str:
        return self._node(host, self.now_s)

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _later(self, delay_us: int, source: int, serial: int, kind: int, **fields: int) -> None:
        entry = (self._now_us + delay_us, self._next(), source, serial, {"kind": kind, **fields})
        heapq.heappush(self._queue, entry)

    def _carry_out(self) -> None:
        """Carry out what the machine asked for; handlers below fill the queue, not the buffer."""
        for effect in self._out.effects[: self._out.n]:
            if effect.kind == effects.SET_TIMER:
                self._timers[effect.target] = self._now_us + effect.delay_us
            elif effect.kind == effects.CANCEL_TIMER:
                self._timers.pop(effect.target, None)
            elif effect.kind == effects.REPORT:
                self._note(effect.report, effect.about - 1, effect.code)
            elif effect.kind == effects.CONNECT:
                self._connect(effect.target, effect.server)
            elif effect.kind == effects.CLOSE:
                self._links.pop(effect.target, None)
            elif effect.target == DNS_LINK:
                if self.zone(self.now_s) is not None:
                    self._later(2 * ONE_WAY_US, DNS_LINK, 0, RESOLVED, code=FOUND)
            else:
                self._deliver(effect.target, effect.message)
        self._out.n = 0

    def _note(self, what: int, host: int, code: int) -> None:
        if what in (REGISTERED, FAILED):
            self.steps.append(Step(self.now_s, what, host, code))

    def _connect(self, flow: int, host: int) -> None:
        serial = self._next()
        self._links[flow] = host, serial
        if self._transport == UDP:
            self._later(0, flow, serial, LINK_OPEN)
        elif self._state(host) == REFUSES:
            self._later(2 * ONE_WAY_US, flow, serial, LINK_CLOSED)
        elif self._state(host) != SILENT:
            code = NAMES_DOMAIN | IS_VALID if self._transport == TLS else 0
            self._later(2 * ONE_WAY_US, flow, serial, LINK_OPEN, code=code)

    def _deliver(self, flow: int, message: Any) -> None:
        host, serial = self._links[flow]
        state = self._state(host)
        if message.kind == REGISTER and message.request != self._last_request(flow):
            self.steps.append(Step(self.now_s, REGISTER, host, message.request))
        if state == REFUSES and self._transport == UDP:
            self._later(2 * ONE_WAY_US, flow, serial, LINK_CLOSED, code=ICMP_ERROR)
        elif isinstance(state, Answer):
            if message.kind != REGISTER:
                if self._transport != UDP:
                    self._later(2 * ONE_WAY_US, flow, serial, CRLF_PONG)
                return
            seconds = min(state.seconds, message.seconds) if state.status == 200 else state.seconds
            self._later(2 * ONE_WAY_US, flow, serial, RESPONSE, request=message.request, code=state.status,
                        seconds=seconds)  # fmt: skip

    def _last_request(self, flow: int) -> int:
        """Number of the last transaction: copies of a REGISTER are no step."""
        sent = [step.code for step in self.steps if step.what == REGISTER]
        return sent[-1] if sent else -1

    def _receive(self, source: int, serial: int, fields: dict[str, int]) -> None:
        if source == DNS_LINK:
            self._answer_names()
        elif self._links.get(source, (0, 0))[1] != serial:
            return
        elif fields["kind"] == LINK_CLOSED and fields.get("code") != ICMP_ERROR:
            del self._links[source]
        message = effects.MESSAGE.new()
        for name, value in fields.items():
            setattr(message, name, value)
        sip_client.on_message(self._client, self._now_us, source, message, self._out)

    def _answer_names(self) -> None:
        records = self.zone(self.now_s) or ()
        self._client.answer_count, self._client.answer_ttl_s = len(records), self._ttl_s
        for at, record in enumerate(records):
            self._client.answer_host[at] = record.host
            self._client.answer_priority[at] = record.priority
            self._client.answer_weight[at] = record.weight


def draws_key(number: int) -> int:
    """Key of a client's SRV order, for the class that orders by a hash of its own name."""
    return srv.hash_of(number)


def first_choices(class_: str, records: Sequence[Record], clients: int, seed: int) -> list[int]:
    """First host of the order that each of many clients makes of an SRV answer."""
    client = sip_client.CLIENT.new()
    chosen = []
    for number in range(clients):
        configure(client, CLASSES[class_], UDP, 60, number % 255, 0)
        client.hash_key = draws_key(number)
        draws.start(client.stream, seed, number, 0, 0)
        client.answer_count = len(records)
        for at, record in enumerate(records):
            client.answer_host[at] = record.host
            client.answer_priority[at], client.answer_weight[at] = record.priority, record.weight
        srv.order(client)
        chosen.append(client.list_host[0])
    return chosen
