"""Search in time: one machine, run on a coarse clock, in an environment that may do all that it is allowed to.

A *part* is a machine with its timers. It is interpreted once for each of its states and inputs; what came of that is
kept, so a world that is made of parts and of plain numbers is searched at the speed of look-ups.

Time, and why this keeps what a part can still do. Machines read an instant only as a difference to the time that they
are told (`model.records`: "is a time"). So every handler is called at the same instant, `NOW_US`, and instead of the
clock all instants move: an instant is kept as its *age*. Of an age above the largest limit that the machine compares it
with, no handler can tell how far it is above; so ages stop there, and time that passes makes finitely many states.
"Never" (0) stays what it is. Timers are kept as the time that is left.

Random draws become choices: a handler is run once for each combination of a few representatives of what it draws.

A world says where it begins and what may happen next. `explore` visits everything, breadth first, so ways are shortest.
`Graph.way_out` decides "eventually": from every state of a set, *each* way leads to a good state, if only time goes on.
A way that avoids the good states for ever ends in a strongly connected component without them; one in which no time
passes is nobody's (a real program needs time for every step). Without such a component, the longest way is the bound.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from model.effects import CANCEL_TIMER, MESSAGE, OUT, REPLY, SEND, SET_TIMER, clear
from model.explorer.paths import Path, Step
from model.explorer.verdicts import Verdict
from model.records import Record

NOW_US = 1 << 50
"""When every handler is called. Kind: assumed (35 years: no instant of a machine becomes negative)."""

_UNSET = -1
_MESSAGE_FIELDS = tuple(each.name for each in MESSAGE.fields)

State = Hashable
Bools = NDArray[np.bool_]


# --- machines --------------------------------------------------------------------------------------------------------


def copy_of(machine: ModuleType, **names: Any) -> ModuleType:
    """A copy of a machine's module in which some names stand for something else: other draws, a smaller array."""
    spec = importlib.util.find_spec(machine.__name__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    for name, value in names.items():
        assert hasattr(copy, name), f"{machine.__name__} has no {name}"
        setattr(copy, name, value)
    return copy


class Choices:
    """Stands for `model.draws` in a copy of a machine: every draw has each of a few outcomes, one after the other.

    Parameters
    ----------
    representatives : callable
        Outcomes to try of a draw below a limit; the least, the middle and the greatest by default.
    """

    def __init__(self, representatives: Callable[[int], Iterable[int]] | None = None) -> None:
        self._representatives = representatives or (lambda limit: (0, limit // 2, limit - 1))
        self._script: list[int] = []
        self._options: list[list[int]] = []

    def below(self, stream: Any, limit: int) -> int:
        """The next draw."""
        options = sorted(set(self._representatives(limit)))
        if len(self._options) == len(self._script):
            self._script.append(0)
        self._options.append(options)
        return options[self._script[len(self._options) - 1]]

    def every(self) -> Iterator[None]:
        """Go round once for each combination of outcomes; run the same handler, from the same state, in each turn."""
        self._script = []
        while True:
            self._options = []
            yield
            while self._script and self._script[-1] + 1 == len(self._options[len(self._script) - 1]):
                self._script.pop()
            if not self._script:
                return
            self._script[-1] += 1


class Outcome(NamedTuple):
    """What came of a handler: number of the state after it, and its effects but timers, in order.

    SEND and REPLY are (kind, target, fields of the message that are not 0); others (kind, target, server, report,
    about, code).
    """

    after: int
    effects: tuple[tuple, ...]


class Part:
    """A machine in time: states numbered as they are found, each input of each state run once.

    Parameters
    ----------
    machine : module
        With `on_timer` and `on_message`.
    node : object
        Its state, set up; what `kept` does not name stays as it is here.
    record : Record
        Of `node`.
    kept : dict
        What a state keeps: path of a field -> None, or for an instant the largest limit that the machine compares its
        age with, in µs.
    timers : int
    grain_us : int
        Unit of ages and of what is left of a timer; asking for something in between fails.
    choices : Choices, optional
        Those of the machine's copy.
    tidy : callable, optional
        Called with `node` after each handler: puts what makes no difference always the same way.
    rounds : bool
        What does not fit the clock is rounded to the next grain.
    """

    def __init__(
        self,
        machine: ModuleType,
        node: Any,
        record: Record,
        kept: dict[str, int | None],
        timers: int,
        grain_us: int,
        choices: Choices | None = None,
        tidy: Callable[[Any], None] | None = None,
        rounds: bool = False,
    ) -> None:
        self.machine, self.node, self.grain_us, self.timers = machine, node, grain_us, timers
        self._choices, self._tidy, self._rounds = choices or Choices(), tidy, rounds
        places = {path: (holder, index) for path, _, holder, index in record.leaves(node)}
        self._places = [(*places[path], limit) for path, limit in kept.items()]
        self._at = {path: place for place, path in enumerate(kept)}
        self._left_out = [(path, *place) for path, place in places.items() if path not in kept]
        self._out, self._message = OUT.new(), MESSAGE.new()
        self._states: list[tuple] = []
        self._numbers: dict[tuple, int] = {}
        self._done: dict[tuple, tuple[Outcome, ...]] = {}
        self._later: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._states)

    def get(self, number: int, path: str) -> int | None:
        """A kept field of a state: an instant as its age in grains, None = never."""
        return self._states[number][self._at[path]]

    def left(self, number: int) -> tuple[int, ...]:
        """What is left of each timer in grains, -1 = not set."""
        return self._states[number][len(self._places) :]

    def take(self) -> int:
        """The number of the state that `node` is in, no timer set."""
        return self._number(self._fields() + (_UNSET,) * self.timers)

    def on_timer(self, number: int, which: int) -> tuple[Outcome, ...]:
        """What comes of a timer that runs down."""
        return self.call(
            number, ("timer", which), lambda node, out: self.machine.on_timer(node, NOW_US, which, out), which
        )

    def on_message(self, number: int, source: int, **said: int) -> tuple[Outcome, ...]:
        """What comes of a message."""
        return self.call(number, (source, *said.items()), lambda node, out: self._hand_over(node, source, said, out))

    def _hand_over(self, node: Any, source: int, said: dict[str, int], out: Any) -> None:
        clear(self._message)
        for name, value in said.items():
            setattr(self._message, name, value)
        self.machine.on_message(node, NOW_US, source, self._message, out)

    def call(
        self, number: int, key: tuple, handler: Callable[[Any, Any], Any], rings: int = _UNSET
    ) -> tuple[Outcome, ...]:
        """What comes of any other call into the machine; `key` stands for it."""
        found = self._done.get((number, key))
        if found is None:
            found = self._done[number, key] = tuple(dict.fromkeys(self._run(number, handler, rings)))
        return found

    def _run(self, number: int, handler: Callable[[Any, Any], Any], rings: int) -> Iterator[Outcome]:
        for _ in self._choices.every():
            timers = self._restore(number)
            if rings != _UNSET:
                timers[rings] = _UNSET
            self._out.n = 0
            handler(self.node, self._out)
            effects = tuple(self._carry_out(timers))
            if self._tidy:
                self._tidy(self.node)
            yield Outcome(self._number(self._fields() + tuple(timers)), effects)

    def _carry_out(self, timers: list[int]) -> Iterator[tuple]:
        for effect in self._out.effects[: self._out.n]:
            if effect.kind == SET_TIMER:
                timers[effect.target] = self._grains(effect.delay_us)
            elif effect.kind == CANCEL_TIMER:
                timers[effect.target] = _UNSET
            elif effect.kind in (SEND, REPLY):
                said = tuple((name, value) for name in _MESSAGE_FIELDS if (value := getattr(effect.message, name)))
                yield effect.kind, effect.target, said
            else:
                yield effect.kind, effect.target, effect.server, effect.report, effect.about, effect.code

    def _grains(self, length_us: int) -> int:
        grains, rest = divmod(length_us, self.grain_us)
        if self._rounds:
            return grains + (2 * rest >= self.grain_us)
        assert rest == 0, f"{length_us} µs do not fit a clock of {self.grain_us} µs"
        return grains

    def later(self, number: int, grains: int) -> int:
        """The state after some time in which no timer rings."""
        found = self._later.get((number, grains))
        if found is None:
            state = self._states[number]
            aged = tuple(
                value if limit is None or value is None else min(value + grains, limit // self.grain_us + 1)
                for value, (_, _, limit) in zip(state, self._places, strict=False)
            )
            timers = tuple(left if left == _UNSET else left - grains for left in self.left(number))
            assert all(left >= _UNSET for left in timers), "a timer is late"
            found = self._later[number, grains] = self._number(aged + timers)
        return found

    def _number(self, state: tuple) -> int:
        found = self._numbers.setdefault(state, len(self._states))
        if found == len(self._states):
            self._states.append(state)
        return found

    def _fields(self) -> tuple:
        return tuple(
            _read(holder, index) if limit is None else self._age(_read(holder, index), limit)
            for holder, index, limit in self._places
        )

    def _age(self, instant_us: int, limit_us: int) -> int | None:
        if instant_us == 0:
            return None
        return min(self._grains(NOW_US - instant_us), limit_us // self.grain_us + 1)

    def _restore(self, number: int) -> list[int]:
        """Put `node` into a state; returns its timers."""
        state = self._states[number]
        for value, (holder, index, limit) in zip(state, self._places, strict=False):
            if limit is not None:
                value = 0 if value is None else NOW_US - value * self.grain_us
            _write(holder, index, value)
        return list(state[len(self._places) :])

    def left_out(self) -> dict[str, int]:
        """What `node` holds in the fields that no state keeps: for the test that nothing is lost with them."""
        return {path: _read(holder, index) for path, holder, index in self._left_out}


def _read(holder: Any, index: int | str) -> int:
    return holder[index] if isinstance(index, int) else getattr(holder, index)


def _write(holder: Any, index: int | str, value: int) -> None:
    if isinstance(index, int):
        holder[index] = value
    else:
        setattr(holder, index, value)


# --- worlds ----------------------------------------------------------------------------------------------------------


class Move(NamedTuple):
    """Something that may happen next.

    Attributes
    ----------
    kind : str
        A word of the world's own.
    about : int
        Host, link or timer.
    length : int
        Time that passes, in the world's unit.
    weight : int
        What else is counted on the way: attempts.
    """

    kind: str
    about: int = 0
    length: int = 0
    weight: int = 0


class World(Protocol):
    """What can be explored."""

    name: str
    actors: tuple[str, ...]

    def first(self) -> Iterable[State]:
        """States to begin with."""

    def moves(self, state: State) -> Iterable[tuple[Move, State]]:
        """All that may happen next, and where it leads."""

    def step(self, before: State, move: Move, after: State) -> Step:
        """A move in words."""


@dataclass
class Graph:
    """Everything that was found.

    Attributes
    ----------
    world : World
    states : list
        In the order in which they were found.
    source, target, length, weight : array
        Of each transition: numbers of its states, time, and what else is counted.
    expanded : int
        States whose moves are all there.
    """

    world: World
    states: list[State] = field(default_factory=list)
    source: array = field(default_factory=lambda: array("i"))
    target: array = field(default_factory=lambda: array("i"))
    length: array = field(default_factory=lambda: array("q"))
    weight: array = field(default_factory=lambda: array("i"))
    expanded: int = 0
    _parent: array = field(default_factory=lambda: array("i"))

    @property
    def finished(self) -> bool:
        """Nothing is missing."""
        return self.expanded == len(self.states)

    def mask(self, predicate: Callable[[Any], bool]) -> Bools:
        """For each state whether something is true of it."""
        return np.fromiter((predicate(state) for state in self.states), bool, len(self.states))

    def way_to(self, number: int) -> list[int]:
        """Numbers of the states of a shortest way from the beginning."""
        way = [number]
        while self._parent[way[-1]] >= 0:
            way.append(self._parent[way[-1]])
        return way[::-1]

    def steps(self, way: Sequence[int]) -> tuple[Step, ...]:
        """A way in words; time that passes in several moves is one step."""
        return tuple(self._told(way))

    def _told(self, way: Sequence[int]) -> Iterator[Step]:
        begins, passed = way[0], 0
        for before, after in zip(way, way[1:], strict=False):
            move = self._move(before, after)
            if move.kind == PASS:
                passed += move.length
                continue
            if passed:
                yield self.world.step(self.states[begins], Move(PASS, 0, passed), self.states[before])
            yield self.world.step(self.states[before], move, self.states[after])
            begins, passed = after, 0
        if passed:
            yield self.world.step(self.states[begins], Move(PASS, 0, passed), self.states[way[-1]])

    def _move(self, before: int, after: int) -> Move:
        wanted = self.states[after]
        return next(move for move, there in self.world.moves(self.states[before]) if there == wanted)

    def path(self, sentence: str, way: Sequence[int], round_: Sequence[int] = ()) -> Path:
        """A counterexample: a way, and what goes round for ever at its end."""
        steps = self.steps(way)
        loop = self.steps(round_) if round_ else ()
        return Path(
            self.world.name, sentence, "counterexample", self.world.actors, steps + loop, len(steps) if loop else -1
        )

    def way_out(self, good: Bools, among: Bools) -> WayOut:
        """Whether every way from every state of a set leads to a good state, and how long it takes.

        Parameters
        ----------
        good, among : array of bool
            The good states; the set, which nothing leaves but to a good state.
        """
        open_ = among & ~good
        source, target, length, weight = (np.asarray(each) for each in self._transitions())
        inside = open_[source] & open_[target]
        number_of, component = connected_components(
            coo_array((np.ones(inside.sum(), np.int8), (source[inside], target[inside])), shape=(len(open_),) * 2),
            connection="strong",
        )
        stays = inside & (component[source] == component[target])
        turns = np.zeros(number_of, bool)
        turns[component[source[stays & (length > 0)]]] = True
        has_exit = np.zeros(number_of, bool)
        has_exit[component[source[~stays]]] = True
        is_expanded = np.arange(len(open_)) < self.expanded
        found = WayOut(
            trapped=np.flatnonzero(open_ & turns[component]),
            stuck=np.flatnonzero(open_ & is_expanded & ~turns[component] & ~has_exit[component]),
            lost=np.flatnonzero(open_ & ~_reaching(source, target, good) & self.finished),
        )
        if found.leads_there:
            leaves = open_[source] & ~stays
            found.longest, found.shortest = _lengths(component, number_of, source, target, length, leaves, good)
            found.heaviest, _ = _lengths(component, number_of, source, target, weight, leaves, good)
            found.component = component
        return found

    def _transitions(self) -> tuple[array, array, array, array]:
        return self.source, self.target, self.length, self.weight

    def round_from(self, number: int, inside: Bools) -> list[int]:
        """A shortest way from a state back to itself through some states, on which time passes."""
        onward: dict[int, list[tuple[int, int]]] = {}
        for source, target, length in zip(self.source, self.target, self.length, strict=True):
            if inside[source] and inside[target]:
                onward.setdefault(source, []).append((target, int(length > 0)))
        first, last = (number, 0), (number, 1)
        parent: dict[tuple[int, int], tuple[int, int]] = {first: first}
        queue = deque([first])
        while queue and last not in parent:
            here = queue.popleft()
            for target, passes in onward.get(here[0], ()):
                there = (target, here[1] | passes)
                if there not in parent:
                    parent[there] = here
                    queue.append(there)
        way = [last]
        while way[-1] != first:
            way.append(parent[way[-1]])
        return [number for number, _ in reversed(way)]


@dataclass
class WayOut:
    """Whether, and how, some states are left for good ones.

    Attributes
    ----------
    trapped : array
        States from which one can go round for ever without a good state.
    stuck : array
        States after which nothing happens any more, or only what takes no time.
    lost : array
        States from which no good state can be reached; known only of a finished search.
    longest, shortest, heaviest : array
        For each component: time to a good state at most, at least; and what else is counted, at most.
    component : array
        Of each state.
    """

    trapped: NDArray[np.intp]
    stuck: NDArray[np.intp]
    lost: NDArray[np.intp]
    longest: NDArray[np.int64] | None = None
    shortest: NDArray[np.int64] | None = None
    heaviest: NDArray[np.int64] | None = None
    component: NDArray[np.int32] | None = None

    @property
    def leads_there(self) -> bool:
        """True when no way avoids the good states for ever."""
        return len(self.trapped) == 0 and len(self.stuck) == 0


def _reaching(source: NDArray, target: NDArray, good: Bools) -> Bools:
    """For each state whether a good one can be reached from it: backwards, from a node behind all good ones."""
    ends = np.flatnonzero(good)
    backwards = coo_array(
        (
            np.ones(len(source) + len(ends), np.int8),
            (np.append(target, np.full(len(ends), len(good))), np.append(source, ends)),
        ),
        shape=(len(good) + 1,) * 2,
    )
    found = np.zeros(len(good) + 1, bool)
    found[breadth_first_order(backwards.tocsr(), len(good), return_predecessors=False)] = True
    return found[:-1]


def _lengths(component, number_of, source, target, length, leaves, good):
    """Longest and shortest way from each component to a good state; components go round only without time."""
    onward: list[list[tuple[int, int]]] = [[] for _ in range(number_of)]
    before: list[list[int]] = [[] for _ in range(number_of)]
    awaited = [0] * number_of
    longest, shortest = [0] * number_of, [0] * number_of
    edges = zip(
        component[source[leaves]].tolist(),
        component[target[leaves]].tolist(),
        length[leaves].tolist(),
        good[target[leaves]].tolist(),
        strict=True,
    )
    for here, there, passes, arrives in edges:
        onward[here].append((_UNSET if arrives else there, passes))
        if not arrives:
            before[there].append(here)
            awaited[here] += 1
    ready = deque(place for place in range(number_of) if awaited[place] == 0 and onward[place])
    while ready:
        here = ready.popleft()
        ways = [(passes if there == _UNSET else passes + longest[there]) for there, passes in onward[here]]
        longest[here] = max(ways)
        shortest[here] = min(passes if there == _UNSET else passes + shortest[there] for there, passes in onward[here])
        for place in before[here]:
            awaited[place] -= 1
            if awaited[place] == 0:
                ready.append(place)
    return np.array(longest), np.array(shortest)


PASS = "pass"
"""Kind of a move in which nothing but time happens."""


def explore(world: World, max_states: int = 1_000_000, progress: Callable[[int, int], None] | None = None) -> Graph:
    """Visit every state of a world, breadth first.

    Parameters
    ----------
    world : World
    max_states : int
        With more, the search ends unfinished.
    progress : callable, optional
        Told states found and states not yet expanded, now and then.
    """
    graph = Graph(world)
    numbers: dict[State, int] = {}
    for state in world.first():
        if numbers.setdefault(state, len(numbers)) == len(graph.states):
            graph.states.append(state)
            graph._parent.append(-1)
    while not graph.finished and len(graph.states) <= max_states:
        here = graph.expanded
        for move, state in world.moves(graph.states[here]):
            there = numbers.setdefault(state, len(numbers))
            if there == len(graph.states):
                graph.states.append(state)
                graph._parent.append(here)
            graph.source.append(here)
            graph.target.append(there)
            graph.length.append(move.length)
            graph.weight.append(move.weight)
        graph.expanded += 1
        if progress and graph.expanded % 10_000 == 0:
            progress(len(graph.states), len(graph.states) - graph.expanded)
    return graph


def decide(graph: Graph, key: str, sentence: str, source: str, good: Bools, among: Bools, by_chance: bool) -> Verdict:
    """The verdict on an *eventually*.

    Parameters
    ----------
    graph : Graph
    key, sentence, source : str
        As in `Verdict`.
    good, among : array of bool
        As in `Graph.way_out`.
    by_chance : bool
        What is left open among these states are draws, so that only a good state out of reach is a counterexample:
        a cycle that a draw can leave is left with probability one.
    """
    found = graph.way_out(good, among)
    bad = found.lost if by_chance else np.union1d(found.trapped, found.stuck)
    holds, path = len(bad) == 0, None
    if not holds:
        turns = np.isin(np.arange(len(good)), np.intersect1d(found.trapped, bad))
        begins = int(min(np.intersect1d(np.union1d(found.trapped, found.stuck), bad)))
        path = graph.path(sentence, graph.way_to(begins), graph.round_from(begins, turns) if turns[begins] else ())
    if not holds:
        condition = ""
    elif found.leads_there:
        waits = found.component[among & ~good]
        longest = max(found.longest[waits], default=0) / 1000
        condition = f"within {longest:g} s"
        heaviest = max(found.heaviest[waits], default=0)
        condition += f" and {heaviest} tries" if heaviest else ""
    else:
        condition = "with probability one, but without a bound"
    if holds and not graph.finished:
        condition = f"as far as was searched: {condition}"
    return Verdict(
        key,
        "eventually",
        sentence,
        source,
        holds,
        condition,
        len(graph.states),
        len(graph.source),
        graph.finished,
        path,
    )
