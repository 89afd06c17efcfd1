"""A SIP client in time, among nodes some of which never accept it, while at least one does.

The client is `model.sip_client` with the behaviour of a class. First its environment may do a few times what it likes
(`Setting.faults`): any node may behave as a bad one, a connection may break. From any moment on, every node keeps to
its own *manner*. The DNS answers. The promise is that from there the client is
registered through a node that accepts after finitely many tries; and how many, and how long, at most.

Time is exact here, and passes from one timer to the next: nothing but the client's own acts happens in between, since
what a node does is chosen when the client speaks to it. Random draws (order of an SRV answer, pauses) have two or three
outcomes each, the ends and the middle: the ends of pauses make the ends of times; of equal weights, three outcomes
reach each of three records.

Left out: answers that take time, certificates that are not trusted, keep-alives that get lost, several second thoughts
of the DNS about who is there, nodes that change their manner for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from model import client_classes, sip_client, srv
from model.client_classes import CLASSES, ClassName, Transport
from model.effects import CLOSE as CLOSE_LINK
from model.effects import (
    CONNECT,
    CRLF_PING,
    CRLF_PONG,
    FAILED,
    LINK_CLOSED,
    LINK_OPEN,
    REGISTER,
    REGISTERED,
    REPORT,
    RESOLVED,
    RESPONSE,
    SEND,
)
from model.explorer.clocked import NOW_US, PASS, Choices, Move, Outcome, Part, copy_of, decide, explore
from model.explorer.paths import Exchange, Step
from model.explorer.verdicts import Verdict
from model.sip_client import (
    CLIENT,
    DNS_LINK,
    FOUND,
    ICMP_ERROR,
    IDLE,
    IS_VALID,
    LINKS,
    MAX_FLOWS,
    NAMES_DOMAIN,
    NAMES_HOST,
    OPEN,
    TIMERS,
    TLS,
    UDP,
)

Manner = Literal["accepts", "refuses", "is silent", "answers 500", "answers 503", "answers 503 with Retry-After"]
"""What a node does: accepts; its process is gone (refused, reset, ICMP error); its host is gone; it says no."""

MANNERS: tuple[Manner, ...] = get_args(Manner)
RETRY_AFTER_S = 30
"""Kind: assumed."""
_NAMES = 4
"""Clients whose order of nodes follows from their name; among so many, each of two nodes is somebody's first. Kind:
assumed (a test looks)."""
_STATUS = {"accepts": 200, "answers 500": 500, "answers 503": 503, "answers 503 with Retry-After": 503}
_CERTIFICATE = IS_VALID | NAMES_DOMAIN | NAMES_HOST


@dataclass(frozen=True, slots=True)
class Setting:
    """A client and its nodes.

    Attributes
    ----------
    class_name, transport : str
        Of `model.client_classes`.
    manners : tuple of str
        What each node does in the end; at least one accepts.
    priorities : tuple of int
        Of their SRV records; the weights are equal.
    faults : int
        What may go wrong before, in all.
    expires_s, ttl_s : int
        Lifetime of a registration, and of an answer of the DNS. Short ones make small spaces.
    keeps_alive : bool
        The client sends the keep-alives of its class.
    """

    class_name: ClassName
    transport: Transport = "udp"
    manners: tuple[Manner, ...] = ("is silent", "accepts")
    priorities: tuple[int, ...] = (10, 10)
    faults: int = 2
    expires_s: int = 60
    ttl_s: int = 60
    keeps_alive: bool = True


_FLOW_FIELDS = ("phase", "link", "host", "position", "transaction", "interval_us", "asked_s", "challenge", "failures",
                "granted_s", "is_registered", "pings", "awaits_pong", "had_pong")  # fmt: skip


class ClientWorld:
    """A client and its environment: see the module's head. A state is (the client's, whether all keep to their manner
    by now, faults left, what is about to arrive on each link).

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.transport = get_args(Transport).index(setting.transport)
        choices = Choices(lambda limit: (0, limit - 1) if limit > srv.QUERY_NUMBERS else (0, limit // 2, limit - 1))
        self.behaviour = CLASSES[setting.class_name]
        self.machine = copy_of(
            sip_client,
            draws=choices,
            srv=copy_of(srv, draws=choices),
            MAX_FAILURES=_failures_that_count(self.behaviour),
        )
        if not setting.keeps_alive:
            none = dict.fromkeys(("ping_min_ms", "ping_max_ms", "udp_ping_min_ms", "udp_ping_max_ms"), 0)
            self.behaviour = replace(self.behaviour, **none)
        self.part = Part(self.machine, self._node(), CLIENT, self._kept(), TIMERS, 1_000, choices, _tidy)
        nodes = tuple(f"node {1 + number}" for number in range(len(setting.manners)))
        self.actors = ("client", *nodes, "DNS")
        last = ", ".join(f"{node} {manner}" for node, manner in zip(nodes, setting.manners, strict=True))
        self.name = f"client of class {setting.class_name} over {setting.transport}; in the end {last}"

    def _node(self) -> Any:
        node = CLIENT.new()
        client_classes.configure(node, self.behaviour, self.transport, self.setting.expires_s, 0, 0)
        node.answer_count = len(self.setting.manners)
        for record, priority in enumerate(self.setting.priorities):
            node.answer_host[record], node.answer_priority[record] = record, priority
            node.answer_weight[record] = 100
        node.answer_ttl_s = self.setting.ttl_s
        return node

    def _kept(self) -> dict[str, int | None]:
        hosts = range(len(self.setting.manners))
        flows = [f"flow[{flow}]." for flow in range(MAX_FLOWS)]
        return {
            **dict.fromkeys(("hash_key", "is_resolving", "list_count")),
            **{f"list_host[{host}]": None for host in hosts},
            **{f"{flow}{name}": None for flow in flows for name in _FLOW_FIELDS},
            **{f"{flow}heard_us": self.behaviour.silence_ms * 1000 for flow in flows},
            **{f"avoid_until_us[{host}]": 0 for host in hosts},
            "list_until_us": 0,
            "absent_until_us": 0,
        }

    # --- what may happen ---------------------------------------------------------------------------------------------

    def first(self) -> Iterable[tuple]:
        """The client starts."""
        is_fixed = self.behaviour.srv_order == "hash"
        for me in range(_NAMES if is_fixed else 1):
            self.part.node.hash_key = srv.hash_of(me)
            for outcome in self.part.call(
                self.part.take(), ("boot",), lambda node, out: self.machine.boot(node, NOW_US, 0, out)
            ):
                yield self._after((0, 0, self.setting.faults, ((),) * LINKS), outcome)[1]

    def moves(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        """What arrives, what is due, what goes wrong, and time; nothing once the promise is kept."""
        part, is_calm, faults, links = state
        if is_calm and self.is_good(state):
            return
        arrives = next((link for link in range(LINKS) if links[link]), None)
        if arrives is not None:
            yield from self._arrivals(state, arrives)
            return
        left = self.part.left(part)
        due = [which for which in range(TIMERS) if left[which] == 0]
        for which in due:
            for outcome in self.part.on_timer(part, which):
                yield self._move("timer", which, self._after(state, outcome))
        if due:
            return
        if not is_calm:
            yield Move("calm"), self._calmed(state)
            if faults and self.transport != UDP:
                yield from self._breaks(state)
        waits = [each for each in left if each > 0]
        if waits:
            yield Move(PASS, 0, min(waits)), (self.part.later(part, min(waits)), *state[1:])

    def _move(self, kind: str, about: int, found: tuple[int, tuple]) -> tuple[Move, tuple]:
        tries, state = found
        return Move(kind, about, 0, tries), state

    def _calmed(self, state: tuple) -> tuple:
        """Who is gone by now has reset the client's open connections."""
        links = list(state[3])
        if self.transport != UDP:
            for flow in self._open_flows(state[0]):
                if self.setting.manners[self._host(state[0], flow)] == "refuses":
                    links[flow] = (("closed", 0),)
        return (state[0], 1, 0, tuple(links))

    def _open_flows(self, part: int) -> list[int]:
        return [flow for flow in range(MAX_FLOWS) if self.part.get(part, f"flow[{flow}].link") == OPEN]

    def _host(self, part: int, flow: int) -> int:
        return self.part.get(part, f"flow[{flow}].host") - 1

    def _breaks(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        for flow in self._open_flows(state[0]):
            links = list(state[3])
            links[flow] = (("closed", 0),)
            yield Move("break", flow), (state[0], 0, state[2] - 1, tuple(links))

    def _arrivals(self, state: tuple, link: int) -> Iterator[tuple[Move, tuple]]:
        """The first thing on a link, for each manner in which the other end may deal with it now."""
        part, is_calm, faults, links = state
        rest = (*links[:link], links[link][1:], *links[link + 1 :])
        for manner in self._manners(state, link):
            left = faults - (1 if not is_calm and manner != "accepts" else 0)
            said = self._answer(links[link][0], manner, link)
            kind = f"deliver {MANNERS.index(manner)}"
            if said is None:
                yield Move(kind, link), (part, is_calm, left, rest)
                continue
            for outcome in self.part.on_message(part, link, **said):
                yield self._move(kind, link, self._after((part, is_calm, left, rest), outcome))

    def _manners(self, state: tuple, link: int) -> Sequence[Manner]:
        part, is_calm, faults, links = state
        if links[link][0][0] == "closed":
            return ("accepts",)
        if is_calm:
            return (self.setting.manners[self._host(part, link)],) if link != DNS_LINK else ("accepts",)
        return tuple(dict.fromkeys(("accepts", *self.setting.manners))) if faults and link != DNS_LINK else ("accepts",)

    def _answer(self, item: tuple[str, int], manner: Manner, link: int) -> dict[str, int] | None:
        """What a node or the DNS makes of something; None = nothing comes."""
        kind, number = item
        if kind == "closed":
            return {"kind": LINK_CLOSED}
        if link == DNS_LINK:
            return {"kind": RESOLVED, "code": FOUND}
        if kind == "connect" and self.transport == UDP:
            return {"kind": LINK_OPEN}
        if manner == "is silent" or (kind == "ping" and self.transport == UDP):
            return None
        if manner == "refuses":
            return {"kind": LINK_CLOSED, "code": ICMP_ERROR if self.transport == UDP else 0}
        if kind == "connect":
            return {"kind": LINK_OPEN, "code": _CERTIFICATE if self.transport == TLS else 0}
        if kind == "ping":
            return {"kind": CRLF_PONG}
        seconds = {"accepts": self.setting.expires_s, "answers 503 with Retry-After": RETRY_AFTER_S}.get(manner, 0)
        return {"kind": RESPONSE, "request": number, "code": _STATUS[manner], "seconds": seconds}

    def _after(self, state: tuple, outcome: Outcome) -> tuple[int, tuple]:
        """Number of tries that ended, and the state."""
        links, tries = list(state[3]), 0
        for effect in outcome.effects:
            kind, link = effect[0], effect[1]
            if kind == CONNECT:
                links[link] = (("connect", 0),)
            elif kind == CLOSE_LINK:
                links[link] = ()
            elif kind == SEND:
                links[link] = (*links[link], _item(dict(effect[2])))
            elif kind == REPORT and effect[3] in (FAILED, REGISTERED):
                tries += 1
        return tries, (outcome.after, state[1], state[2], tuple(links))

    # --- properties --------------------------------------------------------------------------------------------------

    def is_calm(self, state: tuple) -> bool:
        """Every node keeps to its manner by now."""
        return state[1] == 1

    def is_good(self, state: tuple) -> bool:
        """Registered through a node that accepts."""
        return any(
            self.part.get(state[0], f"flow[{flow}].phase") == IDLE
            and self.part.get(state[0], f"flow[{flow}].is_registered")
            and self.setting.manners[self._host(state[0], flow)] == "accepts"
            for flow in range(self.behaviour.flows)
        )

    # --- words -------------------------------------------------------------------------------------------------------

    def step(self, before: tuple, move: Move, after: tuple) -> Step:
        """A move in words."""
        notes = tuple(("client", text) for text in [self._standing(after)] if text != self._standing(before))
        if move.kind == PASS:
            return Step("client", PASS, f"{move.length / 1000:g} s pass", (), notes)
        if move.kind == "calm":
            manners = zip(self.actors[1:], self.setting.manners, strict=False)
            return Step("client", "calm", "from now on " + ", ".join(map(" ".join, manners)), (), notes)
        if move.kind == "timer":
            return Step("client", "timer", f"its {_timer(move.about)} is due", (), notes)
        if move.kind == "break":
            return Step("client", "break", "its connection breaks", (), notes)
        return self._delivery(before, move, notes)

    def _delivery(self, before: tuple, move: Move, notes: tuple) -> Step:
        part, _, _, links = before
        manner = MANNERS[int(move.kind.split()[1])]
        item = links[move.about][0]
        peer = "DNS" if move.about == DNS_LINK else f"node {1 + self._host(part, move.about)}"
        asked = (Exchange("client", peer, _ASKED[item[0]]),) if item[0] in _ASKED else ()
        said = self._answer(item, manner, move.about)
        if said is None:
            return Step(peer, "answer", f"does not answer to {_ASKED[item[0]]}", asked, notes)
        text = _words(said)
        return Step(peer, "answer", text[0], (*asked, Exchange(peer, "client", text[1])), notes)

    def _standing(self, state: tuple) -> str:
        flows = [
            (self.part.get(state[0], f"flow[{flow}].phase"), self._host(state[0], flow))
            for flow in range(self.behaviour.flows)
        ]
        return "; ".join(_PHASES[phase] + (f" at node {1 + host}" if host >= 0 else "") for phase, host in flows)


SENTENCE = "a client is registered through a node that accepts it after finitely many tries, if there is one"
SOURCE = "RFC 3263 section 4.3, RFC 5626 section 4.5; deployment guide: clients can try alternate routes"


def check_client(class_name: ClassName, transport: Transport, manner: Manner, max_states: int = 200_000) -> Verdict:
    """Decide whether a client finds the one of two nodes that accepts, for each place of it in the records.

    Of classes with two flows, or with keep-alives at random that need no answer, keep-alives are left out (they only
    show sooner what the next refresh shows), and nothing goes wrong before.

    Parameters
    ----------
    class_name, transport : str
        Of `model.client_classes`.
    manner : str
        What the other node does.
    max_states : int
    """
    is_wide = class_name in ("outbound", "pjsua")
    setting = Setting(
        class_name,
        transport,
        (manner, "accepts"),
        faults=0 if is_wide else 1,
        keeps_alive=not is_wide,
        ttl_s=60 if CLASSES[class_name].keeps_ttl_0 else 0,
    )
    world = ClientWorld(setting)
    graph = explore(world, max_states)
    key = "-".join(["client", class_name, transport, manner.replace(" ", "-")])
    good, calm = graph.mask(world.is_good), graph.mask(world.is_calm)
    return decide(graph, key, SENTENCE, SOURCE, good, calm, by_chance=True)


def _failures_that_count(behaviour: client_classes.Behaviour) -> int:
    """So many failures in a row make the longest pause of the retry law; the machine counts on, to no effect."""
    failures = 1
    while failures < sip_client.MAX_FAILURES and (
        behaviour.retry_next_ms << (failures - 1) < behaviour.retry_limit_ms
        or (behaviour.flows > 1 and behaviour.retry_beside_ms << failures < behaviour.retry_limit_ms)
    ):
        failures += 1
    return failures


_PHASES = ("off", "looks up names", "connects", "registers", "registered", "waits", "gave up")
_ASKED = {"connect": "connect", "register": "REGISTER", "ping": "keep-alive", "resolve": "SRV?"}
_TIMER_WORDS = ("next request", "next copy", "limit", "keep-alive", "keep-alive's answer")


def _timer(which: int) -> str:
    return "wait for the DNS" if which == sip_client.TIMER_RESOLVE else _TIMER_WORDS[which % sip_client.TIMERS_PER_FLOW]


def _words(said: dict[str, int]) -> tuple[str, str]:
    """As a sentence and as a label."""
    kind, code = said["kind"], said.get("code", 0)
    if kind == RESPONSE:
        after = f", Retry-After {said['seconds']}" if code == 503 and said["seconds"] else ""
        return f"answers {code}{after}", f"{code}{after}"
    if kind == RESOLVED:
        return "names the nodes", "records"
    return {LINK_OPEN: ("opens the connection", "open"), LINK_CLOSED: ("refuses or resets", "refused"),
            CRLF_PONG: ("answers the keep-alive", "keep-alive")}[kind]  # fmt: skip


def _item(said: dict[str, int]) -> tuple[str, int]:
    kind = said["kind"]
    if kind == REGISTER:
        return ("register", 1)
    return ("ping", 0) if kind == CRLF_PING else ("resolve", 0)


def _tidy(node: Any) -> None:
    """Of a flow's transactions only the open one counts, and what is sent belongs to it: it is number 1 of its flow."""
    node.transactions = 0
    for flow in node.flow:
        flow.transaction = 1 if flow.transaction else 0
