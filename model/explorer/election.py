"""All states of an election: the sentinel machine itself, stepped by choice instead of by time.

What is explored is `model.sentinel`, the very functions that the engines run: `act_on_primary` (start, vote for
oneself, count, abort), `on_ask` (vote), `on_ask_reply`, `ask_others` and `on_hello`. Here only the *order* is chosen.

Abstraction, and why "always" proved here holds in real time:

* The primary is objectively down for everyone from the start, so anybody may start an attempt at any moment that the
  machine itself allows. Real time only restricts when.
* An instant is *recent* or *long past*; any recent one may become long past at any moment (steps "waits" and
  "forgets"). What the machine decides by the age of an instant (time-out of an attempt, gate of the next, expiry of
  votes) can therefore happen in every order, the real ones included.
* There is no network. A sentinel that has ever started an attempt may be heard, at any moment, to ask for any epoch
  that it has reached; an answer may arrive at any moment and carry any vote that its sender has ever cast; a hello any
  epoch that anybody has reached. Every delay, loss, repetition and reordering of real messages is among these.

So more can happen here than in reality, never less. The sentinels are alike, so states that differ only by their names
are one state; step names in a path use the names that each state has. Bounds: attempts start only below `epochs`. An
elected leader stays: what it does with its win is not part of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import permutations
from typing import Any

from model import effects, sentinel
from model.effects import MESSAGE, OUT, REPORT, VOTE_FOR_LEADER
from model.explorer.search import Result, search

NOW_US = 1 << 40
"""The only instant there is; an instant before it by more than any limit is `LONG_PAST_US`."""
LONG_PAST_US = 1
_LIMIT_US = 1_000_000

OWN_FIELDS = ("current_epoch", "leader", "leader_epoch", "in_progress", "state", "failover_epoch")
"""What a state keeps of a sentinel, besides whether `start_us` is recent."""
_LEADER = OWN_FIELDS.index("leader")
PEER_FIELDS = ("leader", "leader_epoch")
"""What a state keeps of a sentinel's view of another one."""
FORGOTTEN_FIELDS = ("busy_us", "stream.count", "state_us", "answer_us", "watch.pending", "down")
"""What the machine changes here and a state does not keep. `answer_us` and `down` are put back before every step
(see above: nobody ever says that the primary is up); nothing in this part of the machine reads the others."""


def check_election(
    sentinels: int = 3,
    quorum: int = 2,
    epochs: int = 2,
    max_states: int = 2_000_000,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Explore every election of `sentinels` sentinels up to `epochs` epochs.

    Properties
    ----------
    always: one vote per sentinel and epoch; one leader per epoch
        Source: Redis Sentinel documentation, "configuration epochs".
    sometimes: a leader is elected; an attempt ends without one.
    """
    election = Election(sentinels, quorum, epochs)
    return search(election.first(), election.steps, election.violation, election.seen, max_states, progress)


class Election:
    """Codec and steps of the explored system.

    A state is the bytes of all sentinels' kept fields and of the votes that each has ever cast, by epoch.
    """

    def __init__(self, sentinels: int, quorum: int, epochs: int) -> None:
        self.sentinels, self.epochs = sentinels, epochs
        self.nodes = [_fresh(number, sentinels, quorum) for number in range(sentinels)]
        self.votes = [[0] * (epochs + 1) for _ in range(sentinels)]
        self.double_vote = False
        self._renamings = [(order, _names(order)) for order in permutations(range(sentinels))]
        self._out, self._message = OUT.new(), MESSAGE.new()

    def first(self) -> bytes:
        """Everybody sees the primary down, nobody has acted."""
        return self.encode()

    # --- steps

    def steps(self, state: bytes) -> Iterator[tuple[str, bytes]]:
        """Every step that is possible, and where it leads."""
        self.decode(state)
        highest = max(node.current_epoch for node in self.nodes)
        reached = [node.current_epoch if node.failover_epoch else 0 for node in self.nodes]
        votes = [list(row) for row in self.votes]
        for number in range(self.sentinels):
            yield from self._own_steps(state, number)
            for epoch in range(1, highest + 1):
                if self._at(state, number).current_epoch < epoch:
                    yield self._hear(number, epoch)
            for peer in range(self.sentinels):
                if peer == number:
                    continue
                for epoch in range(1, reached[peer] + 1):
                    yield self._ask(self._at(state, number), peer, epoch)
                for epoch in range(1, self.epochs + 1):
                    if votes[peer][epoch]:
                        yield self._answer(self._at(state, number), peer, epoch)

    def _own_steps(self, state: bytes, number: int) -> Iterator[tuple[str, bytes]]:
        node = self._at(state, number)
        if node.state == sentinel.SELECT:
            return
        if node.in_progress == 1 or (node.current_epoch < self.epochs and node.start_us == LONG_PAST_US):
            sentinel.act_on_primary(node, NOW_US, self._cleared())
            yield f"s{number + 1} acts", self._after(number)
        node = self._at(state, number)
        if node.start_us != LONG_PAST_US:
            node.start_us = LONG_PAST_US
            yield f"s{number + 1} waits", self.encode()
        for peer in range(self.sentinels):
            if self._at(state, number).peer[peer].leader != 0:
                self.nodes[number].peer[peer].answer_us = LONG_PAST_US
                sentinel.ask_others(self.nodes[number], NOW_US, False, self._cleared())
                yield f"s{number + 1} forgets the vote of s{peer + 1}", self._after(number)

    def _ask(self, node: Any, peer: int, epoch: int) -> tuple[str, bytes]:
        """Sentinel `node` is asked by `peer` for its vote."""
        self._new_message().epoch = epoch
        self._message.primary, self._message.sentinel = node.primary + 1, peer + 1
        sentinel.on_ask(node, NOW_US, peer, self._message, self._cleared())
        return f"s{peer + 1} asks s{node.me + 1} for its vote in epoch {epoch}", self._after(node.me)

    def _answer(self, node: Any, peer: int, epoch: int) -> tuple[str, bytes]:
        """Sentinel `node` learns of a vote that `peer` has cast."""
        self._new_message().epoch = epoch
        self._message.sentinel, self._message.down = self.votes[peer][epoch], 1
        sentinel.on_ask_reply(node.peer[peer], NOW_US, self._message)
        return f"s{node.me + 1} learns of the vote of s{peer + 1} in epoch {epoch}", self.encode()

    def _hear(self, number: int, epoch: int) -> tuple[str, bytes]:
        self._new_message().epoch = epoch
        sentinel.on_hello(self.nodes[number], NOW_US, self._message, self._cleared())
        return f"s{number + 1} hears of epoch {epoch}", self._after(number)

    def _new_message(self) -> Any:
        effects.clear(self._message)
        return self._message

    def _cleared(self) -> Any:
        self._out.n = 0
        return self._out

    def _after(self, number: int) -> bytes:
        """The state after a handler of sentinel `number`; a vote that it cast is remembered."""
        for effect in self._out.effects[: self._out.n]:
            if effect.kind == REPORT and effect.report == VOTE_FOR_LEADER:
                self.double_vote |= self.votes[number][effect.code] not in (0, effect.about)
                self.votes[number][effect.code] = effect.about
        return self.encode()

    # --- codec

    def encode(self) -> bytes:
        """The state that the sentinels are in, the same bytes for all that differ only by the sentinels' names."""
        rows = [self._row(node) for node in self.nodes]
        return min(self._renamed(rows, order, names) for order, names in self._renamings)

    def _row(self, node: Any) -> tuple[list[int], list[tuple[int, int]], bool]:
        """What is kept of a sentinel: own fields, what it knows of each peer's vote, whether its start is recent.

        What can never be read again is left out. A vote of a lower epoch than the current one never counts, since the
        current epoch only grows. Who is elected, or has no attempt and can start none, counts no votes any more.
        """
        is_done = node.state == sentinel.SELECT or (node.in_progress == 0 and node.current_epoch >= self.epochs)
        own = [getattr(node, name) for name in OWN_FIELDS]
        known = [
            (0, 0) if is_done or view.leader_epoch < node.current_epoch else (view.leader, view.leader_epoch)
            for view in node.peer[: self.sentinels]
        ]
        return own, known, not is_done and node.start_us != LONG_PAST_US

    def _renamed(self, rows: list, order: tuple[int, ...], names: tuple[int, ...]) -> bytes:
        """The bytes of a state in which sentinel number `order[k]` is called k."""
        values: list[int] = []
        for number in order:
            own, known, is_recent = rows[number]
            values.extend(own)
            values[-len(own) + _LEADER] = names[own[_LEADER]]
            values.append(int(is_recent))
            for peer in order:
                if peer != number:
                    values.append(names[known[peer][0]])
                    values.append(known[peer][1])
            values.extend(names[vote] for vote in self.votes[number][1:])
        values.append(int(self.double_vote))
        return bytes(values)

    def decode(self, state: bytes) -> None:
        """Put all sentinels into `state`; fields that a state does not keep get their fixed values again."""
        rest = iter(state)
        for number, node in enumerate(self.nodes):
            for name in OWN_FIELDS:
                setattr(node, name, next(rest))
            node.start_us = NOW_US if next(rest) else LONG_PAST_US
            node.busy_us, node.state_us, node.stream.count = 0, NOW_US, 0
            for peer in range(self.sentinels):
                if peer != number:
                    for name in PEER_FIELDS:
                        setattr(node.peer[peer], name, next(rest))
                    view = node.peer[peer]
                    view.answer_us, view.watch.pending, view.down = NOW_US, 0, 1
            self.votes[number][1:] = [next(rest) for _ in range(self.epochs)]
        self.double_vote = bool(next(rest))

    def _at(self, state: bytes, number: int) -> Any:
        """All sentinels put into `state`; returns one of them."""
        self.decode(state)
        return self.nodes[number]

    # --- properties

    def violation(self, state: bytes) -> str:
        """The "always" property that does not hold."""
        self.decode(state)
        if self.double_vote:
            return "one vote per sentinel and epoch"
        leaders = [node.failover_epoch for node in self.nodes if node.state == sentinel.SELECT]
        return "one leader per epoch" if len(leaders) != len(set(leaders)) else ""

    def seen(self, state: bytes) -> Iterable[str]:
        """The "sometimes" properties that hold."""
        self.decode(state)
        for node in self.nodes:
            if node.state == sentinel.SELECT:
                yield "a leader is elected"
            if node.in_progress == 0 and node.failover_epoch != 0:
                yield "an attempt ends without a leader"


def _fresh(number: int, sentinels: int, quorum: int) -> Any:
    """A sentinel that sees its primary down and has acted in no way yet."""
    node = sentinel.SENTINEL.new()
    node.me, node.hosts, node.quorum, node.parallel_syncs = number, sentinels, quorum, 1
    node.down_after_us, node.failover_timeout_us = _LIMIT_US, _LIMIT_US
    node.primary, node.o_down, node.start_us = 0, 1, LONG_PAST_US
    node.server[0].watch.known = node.server[0].watch.s_down = 1
    for peer in range(sentinels):
        if peer != number:
            watch = node.peer[peer].watch
            watch.known = watch.connected = watch.cc = 1
            node.peer[peer].down, node.peer[peer].answer_us = 1, NOW_US
    return node


def _names(order: tuple[int, ...]) -> tuple[int, ...]:
    """New values for fields that name a sentinel as 1 + its number, or nobody as 0."""
    return (0, *(1 + order.index(number) for number in range(len(order))))
