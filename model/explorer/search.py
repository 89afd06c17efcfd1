"""Breadth-first search over states given as bytes, so that the first path to a violation is a shortest one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Successors = Callable[[bytes], Iterable[tuple[str, bytes]]]
"""Yields (what happens, next state) for every step that is possible in a state."""


@dataclass
class Result:
    """What a search has found.

    Attributes
    ----------
    finished : bool
        All reachable states were visited; False when a limit stopped the search.
    states, transitions, depth, frontier : int
        Distinct states, steps tried, length of the longest shortest path, states not yet expanded.
    violation : str
        The first property that does not hold, empty when all hold as far as was searched.
    path : list of str
        The steps that lead to the violation.
    witnesses : dict
        For each "sometimes" property that was seen: the number of steps of a shortest path to it.
    """

    finished: bool = True
    states: int = 0
    transitions: int = 0
    depth: int = 0
    frontier: int = 0
    violation: str = ""
    path: list[str] = field(default_factory=list)
    witnesses: dict[str, int] = field(default_factory=dict)


def search(
    first: bytes,
    successors: Successors,
    always: Callable[[bytes], str],
    sometimes: Callable[[bytes], Iterable[str]],
    max_states: int,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Visit every state that can be reached from `first`.

    Parameters
    ----------
    first : bytes
    successors : callable
    always : callable
        Name of the property that a state violates, or the empty string.
    sometimes : callable
        Names of the wanted properties that hold in a state: guards against empty truths.
    max_states : int
        Stop, unfinished, when so many states are known.
    progress : callable, optional
        Called as ``progress(states, frontier)`` after each layer.
    """
    parent: dict[bytes, tuple[bytes, str] | None] = {first: None}
    layer, result = [first], Result()
    while layer:
        following: list[bytes] = []
        for state in layer:
            for name in sometimes(state):
                result.witnesses.setdefault(name, result.depth)
            result.violation = always(state)
            if result.violation:
                result.path = _path(parent, state)
                return _closed(result, parent, following, finished=False)
            for step, successor in successors(state):
                result.transitions += 1
                if successor not in parent:
                    parent[successor] = (state, step)
                    following.append(successor)
        if len(parent) > max_states:
            return _closed(result, parent, following, finished=False)
        layer = following
        result.depth += 1 if layer else 0
        if progress:
            progress(len(parent), len(layer))
    return _closed(result, parent, [], finished=True)


def _closed(result: Result, parent: dict, frontier: list, finished: bool) -> Result:
    result.finished, result.states, result.frontier = finished, len(parent), len(frontier)
    return result


def _path(parent: dict[bytes, tuple[bytes, str] | None], state: bytes) -> list[str]:
    steps = []
    while (link := parent[state]) is not None:
        state, step = link
        steps.append(step)
    return steps[::-1]
