"""Drives the search: gives it memory, shows progress, and reads paths back. Breadth first, so paths are shortest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from model.compiled import compile_function, one_to_numpy, to_numpy
from model.explorer import kernel
from model.explorer.election_steps import CHOICE, FORBIDDEN, LOOKED_FOR, SYSTEM
from model.explorer.packing import RENAMING, pack

CHUNK = 20_000
"""States expanded by one call into the kernel: an interrupt waits at most for so many. Kind: assumed."""
_FIRST_ROOM = 1 << 12
"""States that the first growth makes room for."""


class Search:
    """States found so far, in plain Python: the kernel runs as it stands, some hundred times slower than compiled.

    Parameters
    ----------
    system, choices, renamings
        Slotted objects: the system in its first state (`election_steps.SYSTEM`), all steps, all renamings.
    goes_on : bool
        Something forbidden does not end the search.
    """

    expand: Callable = staticmethod(kernel.expand)

    def __init__(self, system: Any, choices: list[Any], renamings: list[Any], goes_on: bool) -> None:
        self.width, self.branching = system.sentinels, len(choices)
        self.system, self.choices, self.renamings = system, choices, renamings
        self.found = kernel.SEARCH.new()
        self.found.states = self.found.layer_end = 1
        self.found.goes_on = int(goes_on)
        pack(system, renamings)
        self.words: Any = system.packed[: self.width]
        self.parent: Any = [-1]
        self.table: Any = []

    def __getitem__(self, name: str) -> Any:
        """A field of `kernel.SEARCH`."""
        return getattr(self.found, name)

    def grow(self, room: int) -> None:
        """Make room for so many states."""
        self.words += [0] * (room * self.width - len(self.words))
        self.parent += [0] * (room - len(self.parent))
        self.table = [0] * _table_length(room)
        self.found.filed = 0

    def run(self, max_states: int, progress: Callable[[int, int], None] | None = None) -> None:
        """Expand states until all are, something forbidden is seen, or more than `max_states` are known."""
        most = max_states + self.branching
        while self["expanded"] < self["states"] and (not self["seen"] & FORBIDDEN or self["goes_on"]):
            room = len(self.parent)
            if self["states"] + self.branching > room:
                if room >= most:
                    return
                self.grow(min(max(2 * room, _FIRST_ROOM), most))
            self.expand(
                self.system, self.found, self.choices, self.renamings, self.words, self.parent, self.table, CHUNK
            )
            if progress:
                progress(self["states"], self["states"] - self["expanded"])

    def steps_to(self) -> dict[int, int]:
        """For each bit that was seen: steps to where it was seen first."""
        return {1 << bit: self["steps_to"][bit] for bit in range(LOOKED_FOR) if self["seen"] >> bit & 1}

    def path_to(self, number: int) -> list[int]:
        """Numbers of the states from the first one to `number`."""
        path = [number]
        while path[-1] != 0:
            path.append(int(self.parent[path[-1]]))
        return path[::-1]

    def words_of(self, number: int) -> list[int]:
        """The words of a state."""
        return [int(word) for word in self.words[number * self.width : (number + 1) * self.width]]


class CompiledSearch(Search):
    """The same in NumPy arrays, with the compiled kernel: 8 bytes a sentinel and 12 to 20 more for each state."""

    def __init__(self, system: Any, choices: list[Any], renamings: list[Any], goes_on: bool) -> None:
        super().__init__(system, choices, renamings, goes_on)
        self.expand = compile_function(kernel.expand)
        self.system = one_to_numpy(SYSTEM, system)
        self.found = one_to_numpy(kernel.SEARCH, self.found)
        self.choices, self.renamings = to_numpy(CHOICE, choices), to_numpy(RENAMING, renamings)
        self.words, self.parent = np.array(self.words, np.int64), np.array(self.parent, np.int32)

    def __getitem__(self, name: str) -> Any:
        return self.found[name].tolist()

    def grow(self, room: int) -> None:
        self.words = _lengthened(self.words, room * self.width)
        self.parent = _lengthened(self.parent, room)
        self.table = np.zeros(_table_length(room), np.int32)
        self.found["filed"] = 0


def _table_length(room: int) -> int:
    """A power of two, more than half of it free."""
    return 1 << (2 * room).bit_length()


def _lengthened(array: np.ndarray, length: int) -> np.ndarray:
    longer = np.zeros(length, array.dtype)
    longer[: len(array)] = array
    return longer
