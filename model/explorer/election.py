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
  epoch that anybody has reached. Every delay, loss, repetition and reordering of real messages is among these.

So more can happen here than in reality, never less: what holds here holds, and what does not must still be possible in
time. The sentinels are alike, so states that differ only by their names are one state (`model.explorer.packing`).
States that differ only by what can never be read again are one as well (`tidy` in `model.explorer.election_steps`; a
test compares with the whole space). Bounds: attempts start only below `epochs`. An elected leader stays: what it does
with its win is not part of this. Left out: several groups, which would share the current epoch.

What it shows for three sentinels and a quorum of two:

* Timely messages: every property holds, in all states of one (1,936), two (16,340) and three epochs (48,843).
* Messages that take, or sentinels that stand still for, any time: two sentinels can be elected for the same epoch
  after 11 steps, in all states of two epochs (49,176). It is a known flaw of Redis (pull request 2230, issue 11571):
  votes of the current epoch, together with the own vote of an older one, decide an attempt of the older one. Without
  that flaw every property holds there, too. With five sentinels nobody needs to be late; a test walks that path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from model.errors import UsageError
from model.explorer.election_steps import (
    ACT,
    ASKED,
    CHOICE,
    FORBIDDEN,
    FORGET,
    HAS_FAILED,
    HEAR,
    IS_ELECTED,
    LEARN,
    SYSTEM,
    TWO_LEADERS,
    TWO_VOTES,
    WAIT,
    observed,
    set_up,
    step,
    tidy,
)
from model.explorer.packing import EPOCH_BITS, MAX_BITS, RENAMING, bits, pack, pack_as, unpack
from model.explorer.search import CompiledSearch, Search

_ALWAYS = {TWO_VOTES: "one vote per sentinel and epoch", TWO_LEADERS: "one leader per epoch"}
_SOMETIMES = {IS_ELECTED: "a leader is elected", HAS_FAILED: "an attempt ends without a leader"}


@dataclass
class Result:
    """What a search has found.

    Attributes
    ----------
    finished : bool
        All reachable states were visited; False when a limit or a violation stopped the search.
    states, transitions, depth, frontier : int
        Distinct states, steps tried, length of the longest shortest path, states not yet expanded.
    violation : str
        The first property that does not hold, empty when all hold as far as was searched.
    path : list of str
        The steps that lead to the violation.
    violations, witnesses : dict
        For each "always" property that does not hold, and for each "sometimes" property that was seen: the number of
        steps of a shortest path to where it shows.
    """

    finished: bool
    states: int
    transitions: int
    depth: int
    frontier: int
    violation: str = ""
    path: list[str] = field(default_factory=list)
    violations: dict[str, int] = field(default_factory=dict)
    witnesses: dict[str, int] = field(default_factory=dict)


def check_election(
    sentinels: int = 3,
    quorum: int = 2,
    epochs: int = 2,
    max_states: int = 5_000_000,
    progress: Callable[[int, int], None] | None = None,
    stalls: bool = False,
    goes_on: bool = False,
    interpreted: bool = False,
) -> Result:
    """Explore every election of `sentinels` sentinels up to `epochs` epochs.

    Properties
    ----------
    always: one vote per sentinel and epoch; one leader per epoch
        Source: Redis Sentinel documentation, "configuration epochs".
    sometimes: a leader is elected; an attempt ends without one.

    Parameters
    ----------
    sentinels, quorum, epochs : int
        Size of the group, and the bound of its attempts.
    max_states : int
        Stop, unfinished, when more states are known.
    progress : callable, optional
        Called as ``progress(states, frontier)`` now and then.
    stalls : bool
        Messages may take, and sentinels stand still, for longer than failover-timeout: see the module's head.
    goes_on : bool
        Visit all states even when a property does not hold, instead of stopping at the first violation.
    interpreted : bool
        Step plain Python instead of its compiled twin: slow, but open to a debugger, and to tests that break the
        machine in memory.

    Raises
    ------
    UsageError
        A state with so many sentinels and epochs has no room in its words.
    """
    search = new_search(sentinels, quorum, epochs, stalls, goes_on, interpreted)
    search.run(max_states, progress)
    steps_to = search.steps_to()
    violations = {name: steps_to[bit] for bit, name in _ALWAYS.items() if bit in steps_to}
    return Result(
        finished=search["expanded"] == search["states"],
        states=search["states"],
        transitions=search["transitions"],
        depth=search["deepest"],
        frontier=search["states"] - search["expanded"],
        violation=min(violations, key=lambda name: violations[name], default=""),
        path=_violating_path(search, new_system(sentinels, quorum, epochs, stalls)) if violations else [],
        violations=violations,
        witnesses={name: steps_to[bit] for bit, name in _SOMETIMES.items() if bit in steps_to},
    )


def new_search(
    sentinels: int, quorum: int, epochs: int, stalls: bool = False, goes_on: bool = False, interpreted: bool = False
) -> Search:
    """A search that has not begun; parameters as for `check_election`."""
    kind = Search if interpreted else CompiledSearch
    return kind(
        new_system(sentinels, quorum, epochs, stalls), choices(sentinels, epochs), renamings(sentinels), goes_on
    )


def new_system(sentinels: int, quorum: int, epochs: int, stalls: bool = False) -> Any:
    """The system in its first state, for interpreted drivers."""
    if bits(sentinels, epochs) > MAX_BITS:
        most = epochs + (MAX_BITS - bits(sentinels, epochs)) // EPOCH_BITS
        raise UsageError(f"{sentinels} sentinels can be explored for at most {most} epochs, not {epochs}")
    system = SYSTEM.new()
    set_up(system, sentinels, quorum, epochs, int(stalls))
    return system


def choices(sentinels: int, epochs: int) -> list[Any]:
    """Every step that may ever be possible."""
    made = []
    for number in range(sentinels):
        peers = [peer for peer in range(sentinels) if peer != number]
        made += [_choice(ACT, number), _choice(WAIT, number)]
        made += [_choice(FORGET, number, peer) for peer in peers]
        for epoch in range(1, epochs + 1):
            made.append(_choice(HEAR, number, number, epoch))
            made += [_choice(kind, number, peer, epoch) for kind in (ASKED, LEARN) for peer in peers]
    return made


def _choice(kind: int, number: int, peer: int = 0, epoch: int = 0) -> Any:
    choice = CHOICE.new()
    choice.kind, choice.number, choice.peer, choice.epoch = kind, number, peer, epoch
    return choice


def renamings(sentinels: int) -> list[Any]:
    """Every way to give the sentinels other names."""
    made = []
    for order in permutations(range(sentinels)):
        renaming = RENAMING.new()
        renaming.order[:sentinels] = order
        renaming.name[: sentinels + 1] = [0, *(1 + order.index(number) for number in range(sentinels))]
        made.append(renaming)
    return made


def describe(choice: Any) -> str:
    """What happens, in words."""
    name, peer, epoch = f"s{choice.number + 1}", f"s{choice.peer + 1}", choice.epoch
    return {
        ACT: f"{name} acts",
        WAIT: f"{name} waits",
        FORGET: f"{name} forgets the vote of {peer}",
        HEAR: f"{name} hears of epoch {epoch}",
        ASKED: f"{peer} asks {name} for its vote in epoch {epoch}",
        LEARN: f"{name} learns of the vote of {peer} in epoch {epoch}",
    }[choice.kind]


def _violating_path(search: Search, system: Any) -> list[str]:
    """The steps of the shortest path to the violation, walked again, interpreted; everybody keeps his name."""
    words, steps = raw_words(system), []
    for number in search.path_to(search["broken_at"])[1:]:
        target = search.words_of(number)
        choice, words = next(
            (choice, after) for choice, after, packed, _ in successors(system, words) if packed == target
        )
        steps.append(describe(choice))
    last = next(choice for choice, _, _, broken in successors(system, words) if broken)
    return [*steps, describe(last)]


def successors(system: Any, words: list[int]) -> Iterator[tuple[Any, list[int], list[int], bool]]:
    """Try every step, interpreted.

    Yields
    ------
    tuple
        The step; the words after it, as the sentinels are called; the words under the smallest renaming; True if
        something forbidden was seen.
    """
    names = renamings(system.sentinels)
    for choice in choices(system.sentinels, system.epochs):
        unpack(system, words, 0)
        if step(system, choice):
            broken = observed(system) & FORBIDDEN != 0
            tidy(system)
            pack(system, names)
            yield choice, raw_words(system, names[0]), system.packed[: system.sentinels], broken


def raw_words(system: Any, renaming: Any = None) -> list[int]:
    """The words of a state under one renaming, by default with the names that the sentinels have."""
    pack_as(system, renaming or renamings(system.sentinels)[0])
    return system.word[: system.sentinels]
