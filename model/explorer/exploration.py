"""The search through all states of a model: breadth first, with the shortest way to each state.

Memory: 4 bytes for each part of a state, 4 for where it came from, 8 to 16 in the table that finds it.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

import numpy as np

from model.compiled import compile_function, one_to_numpy
from model.errors import UsageError
from model.explorer import expansion
from model.explorer.expansion import ROOM, SEARCH
from model.explorer.parts import Local, Model
from model.explorer.paths import Path
from model.explorer.tables import Tables, patterns_of
from model.explorer.walk import path_through

CHUNK = 50_000
"""States expanded by one call into the compiled loop: an interrupt waits at most for so many. Kind: assumed."""
_FIRST_ROOM = 1 << 12
_EDGES = 1 << 20
"""Steps listed by one call: far more than any state has."""

Progress = Callable[[int, int], None]


@dataclass
class Result:
    """What a search has found.

    Attributes
    ----------
    title : str
        What was explored, with its bounds.
    finished : bool
        All reachable states were visited; False when a limit or a violation stopped the search.
    states, transitions, depth, frontier : int
        Distinct states, steps out of them, length of the longest shortest path, states not yet expanded.
    violations, witnesses : dict
        For each property (its key) that does not hold, and for each *sometimes* that was seen: the number of steps of a
        shortest path to where it shows.
    paths : dict
        Those paths.
    """

    title: str
    finished: bool
    states: int
    transitions: int
    depth: int
    frontier: int
    violations: dict[str, int] = field(default_factory=dict)
    witnesses: dict[str, int] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)

    @property
    def violation(self) -> str:
        """The property that is violated after the fewest steps; empty when all hold as far as was searched."""
        return min(self.violations, key=lambda key: self.violations[key], default="")


class Search:
    """States found so far.

    Parameters
    ----------
    model : Model
    goes_on : bool
        Something that must never be does not end the search.
    checks : bool
        Check every index: for tests.
    """

    def __init__(self, model: Model, goes_on: bool = False, checks: bool = False) -> None:
        self.model, self.tables = model, Tables(model)
        self._patterns = patterns_of(model)
        self._expand = compile_function(expansion.expand, checks)
        self._list_successors = compile_function(expansion.list_successors, checks)
        found = SEARCH.new()
        found.parts, found.hosts = len(model.actors), model.hosts
        found.renamings, found.read_bits = len(model.renamings), model.read_bits
        forbidden = [number for number, each in enumerate(model.properties) if each.kind == "always"]
        found.forbidden = 0 if goes_on else sum(1 << number for number in forbidden)
        self._found = one_to_numpy(SEARCH, found)
        self.states, self.parent = np.zeros(0, np.int32), np.zeros(0, np.int32)
        self.table = np.zeros(0, np.int32)
        self._grow(_FIRST_ROOM)
        self._file_first(compile_function(expansion.file_first, checks))

    def __getitem__(self, name: str) -> Any:
        """A field of `expansion.SEARCH`."""
        return self._found[name].tolist()

    def _file_first(self, file_first: Callable) -> None:
        first = [self.tables.number(part, local) for part, local in enumerate(self.model.first)]
        while self["states"] == 0:
            self._found["next"][: len(first)] = first
            tables = self.tables
            file_first(self._found, tables.local, tables.renamed, tables.places, self._patterns, self.states,
                       self.parent, self.table)  # fmt: skip
            self._supply(_FIRST_ROOM)
        self.parent[0] = -1
        self._found["layer_end"], self._found["deepest"] = 1, 0
        self._found["steps_to"] = 0

    def run(self, max_states: int, progress: Progress | None = None) -> None:
        """Expand states until all are, something forbidden is seen, or more than `max_states` would be known."""
        expand = self._bound()
        while self["expanded"] < self["states"] and not self["seen"] & self["forbidden"]:
            expand()
            missing = self["missing"]
            if missing and self._lacks_room() and self["states"] >= max_states:
                return
            if missing and self._supply(max_states):
                expand = self._bound()
            if progress and (not missing or self._lacks_room()):
                progress(self["states"], self["states"] - self["expanded"])

    def _lacks_room(self) -> bool:
        """What is missing is room for more states."""
        return self["kind"][self["missing"] - 1] == ROOM

    def _bound(self) -> Callable[[], int]:
        """The compiled loop on the arrays as they are."""
        tables = self.tables
        self._found["messages"] = tables.messages
        return self._expand.bind(
            self._found, tables.local, tables.move, tables.after.ravel(), tables.answer.ravel(), tables.simpler,
            tables.renamed, tables.places, self._patterns, self.states, self.parent, self.table, CHUNK,
        )  # fmt: skip

    def _supply(self, max_states: int) -> bool:
        """Provide what the compiled loop misses; True if an array lies elsewhere now."""
        growths = self.tables.growths
        for number in range(self["missing"]):
            kind, of, what = (self._found[name][number].item() for name in ("kind", "of", "what"))
            if kind == ROOM:
                self._grow(min(2 * len(self.parent), max_states))
                return True
            self.tables.fill(kind, of, what)
        return self.tables.growths != growths

    def _grow(self, room: int) -> None:
        """Make room for so many states, and one that is being looked for."""
        self.states = _lengthened(self.states, (room + 1) * len(self.model.actors))
        self.parent = _lengthened(self.parent, room)
        self.table = np.zeros(1 << (2 * room - 1).bit_length(), np.int32)
        self._found["filed"] = 0

    @property
    def is_finished(self) -> bool:
        """All states were expanded."""
        return self["expanded"] == self["states"]

    def row(self, number: int) -> list[int]:
        """Numbers of the local states of a state."""
        parts = len(self.model.actors)
        return self.states[number * parts : (number + 1) * parts].tolist()

    def locals_of(self, number: int) -> tuple[Local, ...]:
        """The local states of a state, under the names that it is kept with."""
        return tuple(self.tables.locals[each][1] for each in self.row(number))

    def rows(self) -> np.ndarray:
        """All states: an array with one row for each."""
        parts = len(self.model.actors)
        return self.states[: self["states"] * parts].reshape(-1, parts)

    def way_to(self, number: int) -> list[int]:
        """Numbers of the states from the first one to `number`."""
        way = [number]
        while way[-1] != 0:
            way.append(int(self.parent[way[-1]]))
        return way[::-1]

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """All steps out of expanded states that change something, in compressed rows.

        Returns
        -------
        tuple of ndarray
            ``starts``, one more than states; ``targets``, so that those of state n are ``targets[starts[n] :
            starts[n + 1]]``.
        """
        if self["filed"] < self["states"]:
            self._bound()()  # loaded, with nothing left to expand: this only puts all states into the table
        tables, found, ends = self.tables, np.zeros(_EDGES, np.int32), np.zeros(_EDGES, np.int32)
        starts, targets, count = [np.zeros(1, np.int64)], [], 0
        while len(starts) == 1 or count < self["expanded"]:
            done = self._list_successors(
                self._found, tables.local, tables.move, tables.after.ravel(), tables.answer.ravel(), tables.simpler,
                tables.renamed, tables.places, self.states, self.table, count, found, ends,
            )  # fmt: skip
            starts.append(starts[-1][-1] + ends[:done])
            targets.append(found[: ends[done - 1] if done else 0].copy())
            count += done
        return np.concatenate(starts), np.concatenate(targets)

    def result(self) -> Result:
        """What has been found so far, with the shortest paths."""
        found = Result(
            self.model.title, self.is_finished, self["states"], self["transitions"], self["deepest"],
            self["states"] - self["expanded"],
        )  # fmt: skip
        for number, each in enumerate(self.model.properties):
            if self["seen"] >> number & 1:
                into = found.violations if each.kind == "always" else found.witnesses
                into[each.key] = self["steps_to"][number]
                way = [self.locals_of(at) for at in self.way_to(self["seen_at"][number])]
                found.paths[each.key] = path_through(self.model, way, each)
        return found

    # --- interrupted and gone on with ---

    def save(self, file: File) -> None:
        """Keep what was found in a file, so that another process can go on."""
        count = self["states"]
        temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as stream:
            np.savez(
                stream, title=np.array(self.model.title), program=np.array(_program()), **self.tables.kept(),
                found=self._found.reshape(1).view(np.int64),
                states=self.states[: count * len(self.model.actors)], parent=self.parent[:count],
            )  # fmt: skip
        temporary.replace(file)

    def load(self, file: File) -> None:
        """Go on where a saved search of the same model stopped.

        Raises
        ------
        UsageError
            The file is of another model, or holds no search.
        """
        try:
            with np.load(file, allow_pickle=False) as stream:
                arrays = dict(stream)
            title, program = str(arrays["title"]), str(arrays["program"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(f"{file}: holds no search that could be gone on with ({error})") from error
        if title != self.model.title:
            raise UsageError(f"{file}: holds a search of: {title}; wanted: {self.model.title}")
        if program != _program():
            raise UsageError(f"{file}: was written by another version of the machines or of the explorer")
        self.tables = Tables(self.model)
        self.tables.restore(arrays)
        self._found = arrays["found"].view(SEARCH.dtype).reshape(())
        self.states, self.parent = arrays["states"], arrays["parent"]
        self._grow(max(len(self.parent), _FIRST_ROOM))


def _program() -> str:
    """What a saved search depends on: the machines and the explorer."""
    here = File(__file__).parent
    sources = sorted([*here.parent.glob("*.py"), *here.rglob("*.py")])
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _lengthened(array: np.ndarray, length: int) -> np.ndarray:
    longer = np.zeros(length, array.dtype)
    longer[: len(array)] = array
    return longer


def explore(
    model: Model,
    max_states: int = 20_000_000,
    progress: Progress | None = None,
    goes_on: bool = False,
) -> Result:
    """Visit all states of a model; a violation ends it unless it `goes_on`."""
    search = Search(model, goes_on)
    search.run(max_states, progress)
    return search.result()
