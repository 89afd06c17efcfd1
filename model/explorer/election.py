"""All states of an election: the sentinel machine itself, stepped by choice instead of by time.

What is explored is `model.sentinel`, the very functions that the engines run: `act_on_primary` (start, vote for
oneself, count, abort), `on_ask` (vote), `on_ask_reply`, `ask_others` and `on_hello`. Here only the *order* is chosen.

Abstraction, and why "always" proved here holds in real time:

* The primary is objectively down for everyone from the start, so anybody may start an attempt at any moment that the
  machine itself allows. Real time only restricts when.
* An instant is *recent* or *long past*; any recent one may become long past at any moment (steps "waits" and
  "forgets"). What the machine decides by the age of an instant (time-out of an attempt, gate of the next, expiry of
  votes) can therefore happen in every order, the real ones included. One order that time forbids is left out. Who has
  voted in an epoch waits for 2 x failover-timeout before it starts the next; an attempt ends failover-timeout (10 s at
  most) plus 1.1 s after its start; and who has heard of an epoch starts none of that epoch. So attempts of that epoch
  or older are over by then, *if* every message arrives within failover-timeout less 1.1 s and no sentinel stands still
  for so long (paused, or in TILT). `stalls` drops that assumption.
* There is no network. A sentinel that has ever started an attempt may be heard, at any moment, to ask for any epoch
  that it has reached; an answer may arrive at any moment and carry any vote that its sender has ever cast; a hello any
  epoch that its sender has reached. Every delay, loss, repetition and reordering of real messages is among these.

So more can happen here than in reality, never less: what holds here holds, and what does not must still be possible in
time. The sentinels are alike, so states that differ only by their names are one state. States that differ only by what
can never be read again are one as well (`Election._settled`, `Election.simplified`; a test compares with the whole
space).
Bounds: attempts start only below `epochs`. An elected leader stays: what it does with its win is the subject of
`model.explorer.failover`. Left out: several groups, which would share the current epoch.

What it shows for three sentinels and a quorum of two:

* Timely messages: every property holds, in all states of one (1,936), two (16,340) and three epochs (48,843).
* Messages that take, or sentinels that stand still for, any time: two sentinels can be elected for the same epoch
  after 11 steps, in all states of two epochs (49,176). It is a known flaw of Redis (pull request 2230, issue 11571):
  votes of the current epoch, together with the own vote of an older one, decide an attempt of the older one. Without
  that flaw every property holds there, too. With five sentinels nobody needs to be late.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any, NamedTuple

from model import sentinel
from model.effects import MAX_HOSTS, MESSAGE, OUT, REPORT, VOTE_FOR_LEADER, clear
from model.errors import UsageError
from model.explorer.exploration import Progress, Result, explore
from model.explorer.parts import Local, Message, Move, Pattern, Property, Received

MAX_EPOCHS = 7
"""Most epochs: a mask has so many bits for them. Kind: assumed."""

_NOW_US = 1 << 40
"""The only instant there is; an instant before it by more than any limit is `_LONG_PAST_US`."""
_LONG_PAST_US = 1
_LIMIT_US = 1_000_000
"""Every time limit of the explored sentinels: only recent and long past are told apart."""

_SOURCE = "Redis Sentinel documentation, configuration epochs"

# Marks: leaders by epoch from bit 0, then the rest.
_IS_ELECTED, _HAS_FAILED, _VOTED_TWICE = (1 << MAX_EPOCHS + 1 + bit for bit in range(3))


def _properties(sentinels: int, epochs: int, reduced: bool) -> tuple[Property, ...]:
    """A majority can be counted among three, and while no vote is forgotten."""
    found = [
        Property("one-vote", "always", "a sentinel votes at most once in an epoch", _SOURCE,
                 (Pattern(all_of=_VOTED_TWICE),)),
        Property("one-leader", "always", "an epoch has at most one leader", _SOURCE,
                 (Pattern(on_two=(1 << MAX_EPOCHS + 1) - 1),)),
        Property("elected", "sometimes", "a leader is elected", _SOURCE, (Pattern(all_of=_IS_ELECTED),)),
        Property("not-elected", "sometimes", "an attempt ends without a leader",
                 "sentinel.c, sentinelFailoverWaitStart", (Pattern(all_of=_HAS_FAILED),)),
    ]  # fmt: skip
    if sentinels == 3 and not reduced:
        alone = (
            Pattern(all_of=_led(epoch, number), not_on_two=_voted(epoch, number))
            for epoch in range(1, epochs + 1)
            for number in range(sentinels)
        )
        found.append(Property("majority", "always", "a leader has the votes of a majority of the known sentinels",
                              "Redis Sentinel documentation, quorum", tuple(alone)))  # fmt: skip
    return tuple(found)


def _voted(epoch: int, number: int) -> int:
    """Mark of a vote, among three sentinels."""
    return 1 << MAX_EPOCHS + 4 + 6 * epoch + number


def _led(epoch: int, number: int) -> int:
    """Mark of a leader, among three sentinels."""
    return _voted(epoch, number) << 3


class Voter(NamedTuple):
    """What a state keeps of a sentinel: fields of the machine, and which votes it has ever cast.

    `cast`, `views` hold for each epoch from 1, and each sentinel: the vote (1 + number, 0 = none), and for views its
    epoch.
    """

    current_epoch: int
    leader_epoch: int
    failover_epoch: int
    state: int
    in_progress: int
    is_recent: int
    leader: int
    voted_twice: int
    cast: tuple[int, ...]
    views: tuple[tuple[int, int], ...]


class Election:
    """Elections among `sentinels` sentinels up to `epochs` epochs; a `model.explorer.parts.Model`.

    Parameters
    ----------
    sentinels, quorum, epochs : int
    stalls : bool
        Messages may take, and sentinels stand still, for longer than failover-timeout.
    reduced : bool
        States that differ only by names, or by what can never be read again, are one.

    Raises
    ------
    UsageError
        More sentinels or epochs than there is room for.
    """

    def __init__(
        self, sentinels: int = 3, quorum: int = 2, epochs: int = 2, stalls: bool = False, reduced: bool = True
    ) -> None:
        if not 1 <= epochs <= MAX_EPOCHS:
            raise UsageError(f"elections can be explored for 1 to {MAX_EPOCHS} epochs, not {epochs}")
        if not 2 <= sentinels <= MAX_HOSTS:
            raise UsageError(f"elections can be explored for 2 to {MAX_HOSTS} sentinels, not {sentinels}")
        self.sentinels, self.quorum, self.epochs = sentinels, quorum, epochs
        self.stalls, self.reduced = stalls, reduced
        late = ", all may be late" if stalls else ""
        whole = "" if reduced else ", nothing merged"
        upto = "1 epoch" if epochs == 1 else f"up to {epochs} epochs"
        self.title = f"election of {sentinels} sentinels, quorum {quorum}, {upto}{late}{whole}"
        self.actors = tuple(f"sentinel {number + 1}" for number in range(sentinels))
        self.hosts = sentinels
        self.read_bits = epochs + 1 if reduced else 0
        self.renamings = tuple(permutations(range(sentinels))) if reduced else (tuple(range(sentinels)),)
        self.properties = _properties(sentinels, epochs, reduced)
        self.bound: tuple[Pattern, ...] = ()
        self._counts_majority = sentinels == 3 and not reduced
        self._node = [_new_node(number, sentinels, quorum) for number in range(sentinels)]
        self._out, self._message = OUT.new(), MESSAGE.new()
        nobody = Voter(0, 0, 0, sentinel.NONE, 0, 0, 0, 0, (0,) * epochs, ((0, 0),) * sentinels)
        self.first: tuple[Local, ...] = (nobody,) * sentinels

    # --- steps ---

    def moves(self, part: int, local: Local) -> Iterator[Move]:
        """The acting half of a tick, two instants that become long past, and all that others may hear."""
        voter = Voter(*local)
        if voter.state != sentinel.SELECT:
            yield from self._acts(part, voter)
            if voter.is_recent:
                yield Move("wait", self._settled(voter._replace(is_recent=0)))
            for peer, (leader, _) in enumerate(voter.views):
                if leader:
                    yield Move("forget", self._after_forgetting(part, voter, peer), about=(peer,))
        for to in range(self.sentinels):
            if to != part:
                for message in self._heard(voter, part):
                    yield Move(str(message[0]), voter, to, message)

    def _acts(self, part: int, voter: Voter) -> Iterator[Move]:
        """An attempt starts only below the last epoch, and by then older ones are over."""
        if voter.in_progress:
            yield Move("act", self._after_acting(part, voter))
        elif voter.current_epoch < self.epochs and not voter.is_recent:
            over = 0 if self.stalls else 1 << voter.leader_epoch
            yield Move("act", self._after_acting(part, voter), without=over)

    def _after_acting(self, part: int, voter: Voter) -> Voter:
        node = self._restored(part, voter)
        sentinel.act_on_primary(node, _NOW_US, self._out)
        return self._kept(part, voter)

    def _after_forgetting(self, part: int, voter: Voter, peer: int) -> Voter:
        node = self._restored(part, voter)
        node.peer[peer].answer_us = _LONG_PAST_US
        sentinel.ask_others(node, _NOW_US, False, self._out)
        return self._kept(part, voter)

    def _heard(self, voter: Voter, part: int) -> Iterator[Message]:
        """All that may be on its way from a sentinel: who asks has started an attempt."""
        for epoch in range(1, voter.current_epoch + 1):
            yield "hello", part, epoch
            if voter.failover_epoch:
                yield "ask", part, epoch
        for epoch, vote in enumerate(voter.cast, start=1):
            if vote:
                yield "vote", part, epoch, vote

    def receive(self, part: int, local: Local, message: Message) -> Received | None:
        """A hello, a request, an answer; a hello that brings nothing new is none."""
        voter = Voter(*local)
        kind, sender, epoch = message[0], int(message[1]), int(message[2])
        if kind == "hello" and epoch <= voter.current_epoch:
            return None
        node, letter = self._restored(part, voter), self._message
        clear(letter)
        letter.epoch = epoch
        letter.sentinel = int(message[3]) if kind == "vote" else sender + 1
        if kind == "hello":
            sentinel.on_hello(node, _NOW_US, letter, self._out)
        elif kind == "ask":
            letter.primary = node.primary + 1
            sentinel.on_ask(node, _NOW_US, sender, letter, self._out)
        else:
            letter.down = 1
            sentinel.on_ask_reply(node.peer[sender], _NOW_US, letter)
        return Received(self._kept(part, voter))

    # --- between the machine and what is kept of it ---

    def _restored(self, part: int, voter: Voter) -> Any:
        """The machine in this state. What a state does not keep has fixed values: nobody says that the primary is up,
        and nobody restarts from his file."""
        node = self._node[part]
        self._out.n = 0
        node.stream.count = 0
        node.current_epoch, node.leader_epoch = voter.current_epoch, voter.leader_epoch
        node.failover_epoch, node.state = voter.failover_epoch, voter.state
        node.in_progress, node.leader = voter.in_progress, voter.leader
        node.start_us = _NOW_US if voter.is_recent else _LONG_PAST_US
        for peer, (leader, epoch) in enumerate(voter.views):
            view = node.peer[peer]
            view.leader, view.leader_epoch, view.answer_us, view.down = leader, epoch, _NOW_US, 1
            view.watch.pending = 0
        return node

    def _kept(self, part: int, before: Voter) -> Voter:
        """What is kept of the machine after a step, and the votes that it has cast."""
        node = self._node[part]
        cast, voted_twice = list(before.cast), before.voted_twice
        for index in range(self._out.n):
            effect = self._out.effects[index]
            if effect.kind == REPORT and effect.report == VOTE_FOR_LEADER:
                voted_twice |= int(cast[effect.code - 1] not in (0, effect.about))
                cast[effect.code - 1] = effect.about
        views = tuple((node.peer[peer].leader, node.peer[peer].leader_epoch) for peer in range(self.sentinels))
        is_recent = int(node.start_us != _LONG_PAST_US)
        return self._settled(Voter(
            node.current_epoch, node.leader_epoch, node.failover_epoch, node.state, node.in_progress, is_recent,
            node.leader, voted_twice, tuple(cast), views,
        ))  # fmt: skip

    # --- what can never be read again: a current epoch only grows, and so does the epoch of the last vote ---

    def _settled(self, voter: Voter) -> Voter:
        """Without what no later step of the sentinel can read.

        Start and epoch of an attempt matter while it lasts; the own vote is counted in an attempt of its epoch only.
        Besides that, the epoch of the last vote bars votes in the current epoch, and an ended attempt shows that there
        was one. A peer's vote counts in the current epoch; where an attempt must start first, in a later one.
        """
        if not self.reduced:
            return voter
        if not self._counts_votes(voter):
            voter = voter._replace(is_recent=0)
        if voter.state != sentinel.WAIT_START or voter.leader_epoch != voter.failover_epoch:
            waits_for_others = not self.stalls and voter.current_epoch < self.epochs
            is_over = voter.leader_epoch < voter.current_epoch and not waits_for_others
            voter = voter._replace(leader=0, leader_epoch=0 if is_over else voter.leader_epoch)
        if not voter.in_progress:
            voter = voter._replace(failover_epoch=min(voter.failover_epoch, 1))
        views = (view if view[0] and self._can_count(voter, view[1]) else (0, 0) for view in voter.views)
        return voter._replace(views=tuple(views))

    def _counts_votes(self, voter: Voter) -> bool:
        """False for who is elected, or has no attempt and can start none: it counts no votes any more."""
        can_start = not voter.in_progress and voter.current_epoch < self.epochs
        return voter.state == sentinel.WAIT_START or can_start

    def _can_count(self, voter: Voter, epoch: int) -> bool:
        """A vote of a peer in this epoch can count, now or later."""
        return self._counts_votes(voter) and epoch >= voter.current_epoch + 1 - voter.in_progress

    def reads(self, part: int, local: Local) -> int:
        """Epochs whose votes the sentinel can still count, as bits."""
        voter = Voter(*local)
        return sum(1 << epoch for epoch in range(1, self.epochs + 1) if self._can_count(voter, epoch))

    def simplified(self, part: int, local: Local, read: int) -> Local:
        """Votes of past epochs that nobody counts any more are forgotten."""
        voter = Voter(*local)
        cast = (
            vote if epoch >= voter.current_epoch or read >> epoch & 1 else 0
            for epoch, vote in enumerate(voter.cast, start=1)
        )  # fmt: skip
        return voter._replace(cast=tuple(cast))

    # --- masks, names, words ---

    def marks(self, part: int, local: Local) -> int:
        """Leader of an epoch, and what else is looked for."""
        voter = Voter(*local)
        marks = _VOTED_TWICE * voter.voted_twice
        if voter.state == sentinel.SELECT:
            marks |= _IS_ELECTED | 1 << voter.failover_epoch
        if voter.failover_epoch and not voter.in_progress:
            marks |= _HAS_FAILED
        return marks | self._marks_of_majority(part, voter) if self._counts_majority else marks

    def _marks_of_majority(self, part: int, voter: Voter) -> int:
        marks = _led(voter.failover_epoch, part) if voter.state == sentinel.SELECT else 0
        for epoch, vote in enumerate(voter.cast, start=1):
            marks |= _voted(epoch, vote - 1) if vote else 0
        return marks

    def guards(self, part: int, local: Local) -> int:
        """For each epoch: an attempt of it or an older one is not over, or the sentinel has not heard of it."""
        voter = Voter(*local)
        asks = voter.state == sentinel.WAIT_START
        return sum(
            1 << epoch
            for epoch in range(self.epochs + 1)
            if voter.current_epoch < epoch or (asks and voter.failover_epoch <= epoch)
        )

    def is_urgent(self, part: int, local: Local) -> bool:
        """Nobody is."""
        return False

    def colour(self, part: int, local: Local) -> int:
        """All that names nobody."""
        number = 0
        for value in Voter(*local)[:6]:
            number = number << 3 | value
        return number

    def renamed(self, part: int, local: Local, renaming: tuple[int, ...]) -> Local:
        """Under other names: 1 + number wherever a sentinel is named."""
        voter = Voter(*local)
        name = [0, *(1 + renaming.index(old) for old in range(self.sentinels))]
        return voter._replace(
            leader=name[voter.leader],
            cast=tuple(name[vote] for vote in voter.cast),
            views=tuple((name[voter.views[old][0]], voter.views[old][1]) for old in renaming),
        )

    def say(self, part: int, local: Local, move: Move) -> str:
        """The step in words."""
        me = self.actors[part]
        if move.kind == "wait":
            return f"{me} waits"
        if move.kind == "act":
            return f"{me} counts votes" if Voter(*local).in_progress else f"{me} starts an attempt"
        if move.kind == "forget":
            return f"{me} forgets the vote of {self.actors[move.about[0]]}"
        to, epoch = self.actors[move.to], move.message[2]
        if move.kind == "hello":
            return f"{to} hears of epoch {epoch} from {me}"
        if move.kind == "ask":
            return f"{me} asks {to} for its vote in epoch {epoch}"
        return f"{to} learns of the vote of {me} in epoch {epoch}"

    def note(self, part: int, before: Local, after: Local) -> str:
        """An attempt's begin and end, and a vote."""
        old, new = Voter(*before), Voter(*after)
        notes = []
        if new.state == sentinel.SELECT and old.state != new.state:
            notes.append(f"elected for epoch {new.failover_epoch}")
        elif new.in_progress > old.in_progress:
            notes.append(f"starts an attempt in epoch {new.failover_epoch}")
        elif new.in_progress < old.in_progress:
            notes.append("gives up")
        for epoch, (vote, earlier) in enumerate(zip(new.cast, old.cast, strict=True), start=1):
            if vote and vote != earlier:
                notes.append(f"votes for {self.actors[vote - 1]} in epoch {epoch}")
        if new.current_epoch > old.current_epoch and not new.in_progress > old.in_progress:
            notes.insert(0, f"is in epoch {new.current_epoch}")
        return ", ".join(notes)

    def label(self, message: Message) -> str:
        """A message in a few words."""
        kind, epoch = message[0], message[2]
        if kind == "vote":
            return f"my vote in epoch {epoch}: {self.actors[int(message[3]) - 1]}"
        return f"epoch {epoch}" if kind == "hello" else f"your vote in epoch {epoch}?"


def _new_node(number: int, sentinels: int, quorum: int) -> Any:
    """A sentinel that sees the primary down, and so do all others."""
    node = sentinel.SENTINEL.new()
    node.me, node.hosts, node.quorum, node.parallel_syncs = number, sentinels, quorum, 1
    node.down_after_us = node.failover_timeout_us = _LIMIT_US
    node.o_down, node.state_us = 1, _NOW_US
    node.server[0].watch.known = node.server[0].watch.s_down = 1
    for peer in range(sentinels):
        if peer != number:
            watch = node.peer[peer].watch
            watch.known = watch.connected = watch.cc = 1
    sentinel.write_file(node)
    return node


def check_election(
    sentinels: int = 3,
    quorum: int = 2,
    epochs: int = 2,
    max_states: int = 5_000_000,
    progress: Progress | None = None,
    stalls: bool = False,
    goes_on: bool = False,
    reduced: bool = True,
) -> Result:
    """Explore every election of `sentinels` sentinels up to `epochs` epochs: see `Election` and `explore`."""
    return explore(Election(sentinels, quorum, epochs, stalls, reduced), max_states, progress, goes_on)
