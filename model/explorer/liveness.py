"""What must come to pass: *eventually* properties of a search that has visited all states.

Fairness: a step that is possible again and again is taken at last (strong fairness; it holds with probability one
wherever each possible order of events has a probability above zero). Then a run ends in a set of states that all lead
to each other and nowhere else, and visits all of them for ever: a strongly connected component that nothing leaves.
So "good for ever, at last" holds if and only if every state of every such component is good.

Where a bound of the model (the highest epoch) keeps somebody from a step that he would take, a component is only the
edge of what was explored; it decides nothing, and is counted apart.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from model.explorer.exploration import Search
from model.explorer.parts import Pattern, Property
from model.explorer.paths import Path
from model.explorer.walk import path_through


@dataclass(frozen=True, slots=True)
class Ending:
    """How fair runs end.

    Attributes
    ----------
    holds : bool
        Every component that nothing leaves is good, or at the bound.
    good, bad, at_bound : int
        States of such components.
    can_be_put_off : bool
        There is a cycle outside the good states: an unfair run never gets there.
    path : Path or None
        The shortest way to a bad component.
    """

    holds: bool
    good: int
    bad: int
    at_bound: int
    can_be_put_off: bool
    path: Path | None


class Endings:
    """Where the fair runs of a search end; its steps are gone through once, for all properties.

    Parameters
    ----------
    search : Search
        Finished.

    Raises
    ------
    ValueError
        The search has not visited all states.
    """

    def __init__(self, search: Search) -> None:
        if not search.is_finished:
            raise ValueError(f"{search.model.title}: not all states were visited, so nothing is known about endings")
        self._search = search
        self._starts, self._targets = search.edges()
        self._sources = np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))
        self._component = component = _components(self._starts, self._targets)
        nothing_leaves = np.ones(component.max() + 1, bool)
        nothing_leaves[component[self._sources[component[self._sources] != component[self._targets]]]] = False
        touches_bound = np.zeros(len(nothing_leaves), bool)
        touches_bound[component[_shown(search, search.model.bound)]] = True
        self._at_bound = (nothing_leaves & touches_bound)[component]
        self._decides = (nothing_leaves & ~touches_bound)[component]

    def of(self, wanted: Property) -> Ending:
        """Whether an *eventually* property holds."""
        is_good = _shown(self._search, wanted.patterns)
        bad = self._decides & ~is_good
        return Ending(
            holds=not bad.any(),
            good=int((self._decides & is_good).sum()),
            bad=int(bad.sum()),
            at_bound=int(self._at_bound.sum()),
            can_be_put_off=_has_cycle(self._starts, self._targets, self._sources, ~is_good),
            path=self._path_to_one_of(bad, wanted) if bad.any() else None,
        )

    def _path_to_one_of(self, bad: np.ndarray, wanted: Property) -> Path:
        """The way to the state, of all that lie in a component with a bad one, that was found first."""
        is_in = np.zeros(self._component.max() + 1, bool)
        is_in[self._component[bad]] = True
        number = int(np.argmax(is_in[self._component]))
        return _path_into(self._search, wanted, number, self._starts, self._targets)


def _components(starts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Number of the strongly connected component of each state."""
    count = len(starts) - 1
    graph = csr_array((np.ones(len(targets), np.int8), targets, starts), (count, count))
    return connected_components(graph, connection="strong")[1]


def _has_cycle(starts: np.ndarray, targets: np.ndarray, sources: np.ndarray, within: np.ndarray) -> bool:
    """Some of these states lead to each other."""
    kept = within[sources] & within[targets]
    count = len(starts) - 1
    graph = csr_array((np.ones(int(kept.sum()), np.int8), (sources[kept], targets[kept])), (count, count))
    return connected_components(graph, connection="strong")[0] < count


def _shown(search: Search, patterns: tuple[Pattern, ...]) -> np.ndarray:
    """For each state, whether any pattern shows."""
    marks = search.tables.marks
    joined = np.zeros(search["states"], np.int64)
    doubled = np.zeros(search["states"], np.int64)
    for column in search.rows().T:
        doubled |= joined & marks[column]
        joined |= marks[column]
    shown = np.zeros(search["states"], bool)
    for pattern in patterns:
        is_so = (joined & pattern.all_of == pattern.all_of) & (joined & pattern.none_of == 0)
        if pattern.on_two:
            is_so &= doubled & pattern.on_two != 0
        shown |= is_so & (doubled & pattern.not_on_two == 0)
    return shown


def _path_into(search: Search, wanted: Property, number: int, starts: np.ndarray, targets: np.ndarray) -> Path:
    """The way to a state, and from there round to it again if it has successors."""
    way = search.way_to(number)
    round_ = _way_round(number, starts, targets)
    path = path_through(search.model, [search.locals_of(at) for at in way + round_], wanted)
    return replace(path, loop=len(way) - 1 if round_ else -1)


def _way_round(number: int, starts: np.ndarray, targets: np.ndarray) -> list[int]:
    """The shortest way from a state back to it, without the state itself at its beginning."""
    came_from: dict[int, int] = {}
    waiting = deque([number])
    while waiting:
        here = waiting.popleft()
        for target in targets[starts[here] : starts[here + 1]].tolist():
            if target == number:
                way = [number, here]
                while way[-1] != number:
                    way.append(came_from[way[-1]])
                return way[-2::-1] if here != number else [number]
            if target not in came_from:
                came_from[target] = here
                waiting.append(target)
    return []
