"""Detection in time: one or two sentinels, the machines themselves, watch a primary that falls silent or dies.

The fault may come at any moment. Between two events of the cluster nothing tells when it came, and what it leads to
comes the sooner after it the later it was; so it is enough that it comes right after any event and right before the
next. Every phase of the sentinels' PINGs and of their ticks to each other is reached by letting time pass before it.

* One sentinel: exact time, in µs. A tick takes some of the machine's ten lengths (`rates`), with
  the least and the greatest lateness. PINGs and answers take the shortest or the longest way.
* Two: a third one has died with the host of the primary and still counts as a voter. Times are rounded to grains;
  a grain of 20.24 ms makes the longest tick 5 and the shortest 3 (60.7 instead of 52.2 ms). The way takes no time.

Left out of a sentinel's state is what does not matter here: INFO and hellos (never due), the age of links (too young to
be cut for silence), how many commands are pending, its file. Nobody is judged but the primary: PINGs of peers are left
out.

`spans` gives the least and greatest time from the fault to each milestone: exhaustive for these ticks and ways, to be
compared with `model.bounds.milestones`, which holds for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from model import sentinel
from model.effects import (
    ASK,
    ASK_REPLY,
    CONNECT,
    LINK_CLOSED,
    ODOWN,
    PING,
    PONG,
    PRIMARY,
    REPLY,
    REPORT,
    SDOWN,
    SEND,
    set_timer,
)
from model.explorer.clocked import NOW_US, PASS, Choices, Graph, Move, Outcome, Part, copy_of, explore
from model.explorer.paths import Exchange, Step
from model.sentinel import COMMANDS, PUBSUB, SENTINEL, TICK

Fault = Literal["host", "redis"]
"""The primary's host vanishes; or its process is killed, and its kernel resets what was open."""

MILESTONES = ("sdown_first", "sdown_quorum", "odown_first")
"""Names as in `model.bounds`."""

_PRIMARY_HOST = 0
_PEER_LINKS = 2 * sentinel.MAX_HOSTS
_FROM_PEER = 1_000
"""Where a peer's requests come from: a number that is no own link. Kind: assumed."""
_NONE, _SUSPECTED, _SUSPECTED_BY_ALL, _AGREED = range(4)
"""How far the cluster is."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Who watches, and how.

    Attributes
    ----------
    fault : str
    sentinels : int
        That live on: 1 (quorum 1) or 2 (of 3, quorum 2).
    down_after_ms : int
    ways_us : tuple of int
        How long a message may take each way.
    grain_us : int
    """

    fault: Fault = "host"
    sentinels: int = 1
    down_after_ms: int = 200
    ways_us: tuple[int, ...] = (0,)
    grain_us: int = 1
    rates: tuple[int, ...] = (0, 4, 9)


_WATCH = "server[0].watch."
_PLAIN = ("current_epoch", "leader", "leader_epoch", "in_progress", "state", "failover_epoch", "o_down",
          "file.current_epoch", "file.leader_epoch")  # fmt: skip
_OF_PEER = ("down", "leader", "leader_epoch")


class DetectionWorld:
    """A state is (each sentinel's, whether the primary is gone, how far the cluster is, what is under way).

    Under way is (time left, to whom: a sentinel, or -1 the primary; from whom; a kind of message; its fields).

    Parameters
    ----------
    setting : Setting
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._ways = tuple(way // setting.grain_us for way in setting.ways_us)
        is_exact = setting.grain_us == 1
        draws_ = Choices(
            lambda limit: setting.rates if limit == sentinel.BASE_HZ else (0, limit - 1) if is_exact else (0,)
        )
        self.machine = copy_of(sentinel, draws=draws_)
        self.live = range(1, 1 + setting.sentinels)
        self.parts = [self._part(me, draws_) for me in self.live]
        self.actors = ("server", *(f"sentinel {1 + me}" for me in self.live))
        self.name = f"{setting.sentinels} live sentinels, down-after {setting.down_after_ms} ms, {setting.fault}"

    def _part(self, me: int, choices: Choices) -> Part:
        down_us = self.setting.down_after_ms * 1000
        peers = [] if self.setting.sentinels == 1 else [number for number in (0, *self.live) if number != me]
        kept: dict[str, int | None] = {
            **dict.fromkeys(_PLAIN),
            **{f"{_WATCH}{name}": None for name in ("connected", "cc", "pc", "s_down")},
            f"{_WATCH}ping_us": down_us,
            f"{_WATCH}last_ping_us": min(down_us, sentinel.PING_PERIOD_US),
            f"{_WATCH}pong_us": min(down_us, sentinel.PING_PERIOD_US),
            f"{_WATCH}avail_us": down_us,
            f"{_WATCH}reconnect_us": sentinel.PING_PERIOD_US,
            "start_us": 0,
            **{f"peer[{peer}].{name}": None for peer in peers for name in _OF_PEER},
            **{f"peer[{peer}].answer_us": 5 * sentinel.ASK_PERIOD_US for peer in peers},
        }
        node = self._node(me, peers)
        return Part(
            self.machine,
            node,
            SENTINEL,
            kept,
            1,
            self.setting.grain_us,
            choices,
            _tidy,
            rounds=self.setting.grain_us > 1,
        )

    def _node(self, me: int, peers: list[int]) -> Any:
        node = SENTINEL.new()
        node.me, node.hosts, node.primary = me, 3, _PRIMARY_HOST
        node.quorum = self.setting.sentinels
        node.down_after_us = self.setting.down_after_ms * 1000
        node.failover_timeout_us = 10_000_000
        node.parallel_syncs = 1
        long_ago_us = NOW_US - 60_000_000
        for peer in peers:
            self.machine.create_peer(node.peer[peer], long_ago_us)
            node.peer[peer].watch.known = node.peer[peer].watch.connected = node.peer[peer].watch.cc = 1
        watch = node.server[_PRIMARY_HOST].watch
        self.machine.create_server(node.server[_PRIMARY_HOST], NOW_US)
        node.server[_PRIMARY_HOST].role = PRIMARY
        watch.known = watch.connected = watch.cc = watch.pc = 1
        watch.ping_us = 0
        watch.reconnect_us = long_ago_us
        _tidy(node)
        return node

    # --- what may happen ---------------------------------------------------------------------------------------------

    def first(self) -> Iterable[tuple]:
        """All links are up, the primary has just answered, and everybody's first tick is due."""
        parts = []
        for part in self.parts:
            (outcome,) = part.call(part.take(), ("begin",), lambda _, out: set_timer(out, TICK, 0))
            parts.append(outcome.after)
        yield tuple(parts), 0, _NONE, ()

    def moves(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        """The fault, ticks, what arrives, and time; nothing after the last milestone."""
        parts, is_gone, stage, under_way = state
        if stage == (_SUSPECTED_BY_ALL if len(self.parts) == 1 else _AGREED):
            return
        if not is_gone:
            yield from self._faults(state)
        is_due = False
        for place, part in enumerate(self.parts):
            if part.left(parts[place])[TICK] == 0:
                is_due = True
                for outcome in part.on_timer(parts[place], TICK):
                    for after in self._after(state, place, outcome):
                        yield Move("tick", place), after
        for index, message in enumerate(under_way):
            if message[0] == 0:
                is_due = True
                rest = (parts, is_gone, stage, under_way[:index] + under_way[index + 1 :])
                for after in self._arrived(rest, message):
                    yield Move("arrive", index), after
        if not is_due:
            yield self._pass(state)

    def _pass(self, state: tuple) -> tuple[Move, tuple]:
        parts, is_gone, stage, under_way = state
        waits = [part.left(number)[TICK] for part, number in zip(self.parts, parts, strict=True)]
        length = min([*waits, *(message[0] for message in under_way)])
        later = tuple(part.later(number, length) for part, number in zip(self.parts, parts, strict=True))
        moved = tuple(sorted((left - length, *rest) for left, *rest in under_way))
        return Move(PASS, 0, length), (later, is_gone, stage, moved)

    def _faults(self, state: tuple) -> Iterator[tuple[Move, tuple]]:
        """The primary's host vanishes, or its process dies."""
        states = [(state[0], 1, state[2], state[3])]
        if self.setting.fault == "redis":
            for place in range(len(self.parts)):
                states = [after for before in states for after in self._reset(before, place)]
        for after in states:
            yield Move("fault"), after

    def _reset(self, state: tuple, place: int) -> Iterator[tuple]:
        """Both connections of a sentinel are reset or refused: together, unless their ways may differ."""
        channels = ((COMMANDS, PUBSUB),) if len(self._ways) == 1 else ((COMMANDS,), (PUBSUB,))
        states = [state]
        for each in channels:
            states = [after for before in states for after in self._sent(before, (place, -1, LINK_CLOSED, each))]
        yield from states

    def _sent(self, state: tuple, message: tuple) -> Iterator[tuple]:
        """A message takes any of the ways; what was sent before it between the same two comes before it."""
        parts, is_gone, stage, under_way = state
        is_other = message[2] == LINK_CLOSED and message[3] == (PUBSUB,)
        last = 0 if is_other else max((each[0] for each in under_way if each[1:3] == message[:2]), default=0)
        for left in sorted({max(way, last) for way in self._ways}):
            yield parts, is_gone, stage, tuple(sorted((*under_way, (left, *message))))

    def _arrived(self, state: tuple, message: tuple) -> Iterator[tuple]:
        _, to, sender, kind, said = message
        if to == -1:
            yield from self._at_primary(state, sender, kind)
            return
        if kind == LINK_CLOSED:
            for channel in said:
                ((state,),) = [
                    tuple(self._after(state, to, outcome))
                    for outcome in self.parts[to].on_message(state[0][to], 2 * _PRIMARY_HOST + channel, kind=kind)
                ]
            yield state
            return
        source = 2 * _PRIMARY_HOST + COMMANDS
        if sender != -1:
            source = _FROM_PEER + sender if kind == ASK else _PEER_LINKS + 2 * self.live[sender]
        for outcome in self.parts[to].on_message(state[0][to], source, kind=kind, **dict(said)):
            yield from self._after(state, to, outcome)

    def _at_primary(self, state: tuple, sender: int, kind: int) -> Iterator[tuple]:
        """It answers as long as it is there; its kernel refuses connects as long as its host is."""
        if not state[1] and kind == PING:
            yield from self._sent(state, (sender, -1, PONG, ()))
        elif state[1] and self.setting.fault == "redis" and kind == CONNECT:
            yield from self._reset(state, sender)
        else:
            yield state

    def _after(self, state: tuple, place: int, outcome: Outcome) -> Iterator[tuple]:
        """Carry out what a sentinel wants; only what is about the primary, and questions of peers, count."""
        parts, is_gone, stage, under_way = state
        parts = (*parts[:place], outcome.after, *parts[place + 1 :])
        states = [(parts, is_gone, self._stage(parts, stage, outcome), under_way)]
        for effect in outcome.effects:
            message = self._message(place, effect)
            if message:
                states = [after for before in states for after in self._sent(before, message)]
        yield from states

    def _message(self, place: int, effect: tuple) -> tuple | None:
        kind, target = effect[0], effect[1]
        if kind == CONNECT and target == 2 * _PRIMARY_HOST:
            return -1, place, CONNECT, ()
        if kind == SEND and target == 2 * _PRIMARY_HOST and ("kind", PING) in effect[2]:
            return -1, place, PING, ()
        said = dict(effect[2]) if kind in (SEND, REPLY) else {}
        if said.get("kind") == ASK and (target - _PEER_LINKS) // 2 in self.live:
            return self.live.index((target - _PEER_LINKS) // 2), place, ASK, _fields(said)
        if said.get("kind") == ASK_REPLY:
            return target - _FROM_PEER, place, ASK_REPLY, _fields(said)
        return None

    def _stage(self, parts: tuple, stage: int, outcome: Outcome) -> int:
        reports = {effect[3] for effect in outcome.effects if effect[0] == REPORT}
        if SDOWN in reports:
            down = sum(part.get(number, f"{_WATCH}s_down") for part, number in zip(self.parts, parts, strict=True))
            stage = max(stage, _SUSPECTED_BY_ALL if down == len(self.parts) else _SUSPECTED)
        if ODOWN in reports and len(self.parts) > 1:
            stage = _AGREED
        return stage

    # --- words -------------------------------------------------------------------------------------------------------

    def step(self, before: tuple, move: Move, after: tuple) -> Step:
        """A move in words."""
        notes = ()
        if after[2] != before[2]:
            notes = (("server", ("", "suspected", "suspected by all", "objectively down")[after[2]]),)
        if move.kind == PASS:
            return Step("server", PASS, f"{move.length * self.setting.grain_us / 1000:g} ms pass", (), notes)
        if move.kind == "fault":
            return Step(
                "server", "fault", "its host vanishes" if self.setting.fault == "host" else "is killed", (), notes
            )
        if move.kind == "tick":
            return Step(self.actors[1 + move.about], "tick", "looks at its clock", (), notes)
        _, to, sender, kind, _ = before[3][move.about]
        label = {PING: "PING", PONG: "PONG", ASK: "is it down?", ASK_REPLY: "answer", CONNECT: "connect"}
        exchange = Exchange(self.actors[1 + sender], self.actors[1 + to], label.get(kind, "reset"))
        return Step(self.actors[1 + to], "arrive", f"gets {exchange.label}", (exchange,), notes)


def spans(setting: Setting, max_states: int = 2_000_000) -> tuple[Graph, dict[str, tuple[float, float]]]:
    """Least and greatest time from the fault to each milestone.

    Parameters
    ----------
    setting : Setting
    max_states : int

    Returns
    -------
    Graph
    dict of str to (float, float)
        By milestone, in ms; empty when the search is not finished, or when a milestone may never come.
    """
    world = DetectionWorld(setting)
    graph = explore(world, max_states)
    if not graph.finished:
        return graph, {}
    is_gone = graph.mask(lambda state: state[1] == 1)
    begins = graph.mask(lambda state: state[1] == 0)
    struck = sorted({
        target
        for source, target in zip(graph.source, graph.target, strict=True)
        if begins[source] and is_gone[target]
    })  # fmt: skip
    found = {}
    for name, stage in list(zip(MILESTONES, (_SUSPECTED, _SUSPECTED_BY_ALL, _AGREED), strict=True))[
        : 1 if setting.sentinels == 1 else 3
    ]:
        good = graph.mask(lambda state, stage=stage: state[2] >= stage)
        way = graph.way_out(good, is_gone)
        if way.leads_there:
            times = [(way.shortest[way.component[each]], way.longest[way.component[each]]) for each in struck
                     if not good[each]]  # fmt: skip
            scale = setting.grain_us / 1000
            found[name] = (min(low for low, _ in times) * scale, max(high for _, high in times) * scale)
    return graph, found


def _fields(said: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((name, value) for name, value in said.items() if name != "kind")


def _tidy(node: Any) -> None:
    """Put what is left out of a state always the same way: never due, never old, nothing pending."""
    for server in node.server:
        server.info_us = NOW_US
        _rest(server.watch)
    node.previous_us = NOW_US
    for peer in node.peer:
        _rest(peer.watch)
        peer.watch.pong_us = peer.watch.last_ping_us = peer.watch.avail_us = NOW_US
        peer.watch.ping_us = peer.watch.s_down = 0
    node.start_us = NOW_US if node.start_us else 0
    node.state_us = NOW_US
    node.server[_PRIMARY_HOST].watch.s_down_us = NOW_US


def _rest(watch: Any) -> None:
    watch.publish_us = watch.heard_us = watch.cc_us = watch.pc_us = NOW_US
    watch.pending = 0
