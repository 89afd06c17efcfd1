"""What local states do, looked up: filled by running the machines, once for each local state and message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from model.explorer import expansion
from model.explorer.expansion import (
    IMPOSSIBLE,
    LOCAL_WIDTH,
    MOVE_WIDTH,
    MOVES,
    RECEPTION,
    RENAMED,
    SIMPLER,
    UNKNOWN,
)
from model.explorer.parts import Local, Message, Model, place

_FIRST_ROOM = 64
_ARRAYS = ("local", "move", "after", "answer", "simpler", "renamed")


class Tables:
    """Numbers for the local states and messages of a model, and what becomes of them.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.locals: list[tuple[int, Local]] = []
        """Part and local state, by number."""
        self.moves = 0
        """How many moves are in their table."""
        self.said: list[Message] = []
        """Messages, by number."""
        self._number: dict[tuple[int, Local], int] = {}
        self._message: dict[Message, int] = {}
        self.growths = 0
        """How often an array was replaced by a larger one."""
        self.renamings = len(model.renamings)
        self.local = np.zeros(_FIRST_ROOM * LOCAL_WIDTH, np.int64)
        self.move = np.zeros(_FIRST_ROOM * MOVE_WIDTH, np.int64)
        self.after = np.full((_FIRST_ROOM, _FIRST_ROOM), UNKNOWN, np.int32)
        self.answer = np.full((_FIRST_ROOM, _FIRST_ROOM), IMPOSSIBLE, np.int32)
        self.simpler = np.full(_FIRST_ROOM << model.read_bits, UNKNOWN, np.int32)
        self.renamed = np.full(_FIRST_ROOM * self.renamings, UNKNOWN, np.int32)
        parts = range(len(model.actors))
        self.places = np.array(
            [place(model, part, renaming) for renaming in model.renamings for part in parts], np.int64
        )
        self._back = [tuple(int(old) for old in np.argsort(renaming)) for renaming in model.renamings]

    @property
    def messages(self) -> int:
        """Width of the table of receptions."""
        return self.after.shape[1]

    @property
    def marks(self) -> np.ndarray:
        """Marks of all local states."""
        return self.local.reshape(-1, LOCAL_WIDTH)[:, expansion.MARKS]

    def number(self, part: int, local: Local) -> int:
        """The number of a local state; a new one if it was never seen."""
        key = (part, local)
        if key not in self._number:
            self._number[key] = len(self.locals)
            self.locals.append(key)
            self._grow()
            model = self.model
            row = (len(self.locals) - 1) * LOCAL_WIDTH
            self.local[row : row + LOCAL_WIDTH] = [
                model.marks(part, local), model.guards(part, local), model.reads(part, local),
                model.colour(part, local), int(model.is_urgent(part, local)), UNKNOWN, UNKNOWN,
            ]  # fmt: skip
        return self._number[key]

    def message(self, message: Message) -> int:
        """The number of a message."""
        if message not in self._message:
            self._message[message] = len(self.said)
            self.said.append(message)
            self._grow()
        return self._message[message]

    def fill(self, kind: int, of: int, what: int) -> None:
        """Find out an entry that is missing: see `expansion.SEARCH`."""
        part, local = self.locals[of]
        if kind == MOVES:
            self._fill_moves(of, part, local)
        elif kind == RECEPTION:
            got = self.model.receive(part, local, self.said[what])
            after = IMPOSSIBLE if got is None else self.number(part, got.after)
            answer = self.message(got.answer) if got is not None and got.answer else IMPOSSIBLE
            self.after[of, what], self.answer[of, what] = after, answer
        elif kind == SIMPLER:
            found = self.number(part, self.model.simplified(part, local, what))
            self.simpler[(of << self.model.read_bits) + what] = found
        elif kind == RENAMED:
            to = place(self.model, part, self._back[what])
            found = self.number(to, self.model.renamed(part, local, self.model.renamings[what]))
            self.renamed[of * self.renamings + what] = found

    def _fill_moves(self, of: int, part: int, local: Local) -> None:
        first = self.moves
        for move in self.model.moves(part, local):
            after = self.number(part, move.after)
            sends = self.message(move.message) if move.to >= 0 else 0
            row = self.moves * MOVE_WIDTH
            self.moves += 1
            self.move = self._lengthened(self.move, row + MOVE_WIDTH, 0)
            self.move[row : row + MOVE_WIDTH] = [after, move.to, sends, move.without, move.with_any, move.with_all]
        row = of * LOCAL_WIDTH
        self.local[row + expansion.FIRST_MOVE], self.local[row + expansion.END_MOVE] = first, self.moves

    def kept(self) -> dict[str, np.ndarray]:
        """All that was filled in, for `restore`."""
        names = json.dumps({"locals": self.locals, "messages": self.said, "moves": self.moves})
        return {"names": np.array(names), **{name: getattr(self, name) for name in _ARRAYS}}

    def restore(self, kept: dict[str, np.ndarray]) -> None:
        """Take over what other tables of the same model had filled in."""
        names = json.loads(str(kept["names"]))
        for part, local in names["locals"]:
            self.number(part, _as_tuples(local))
        for message in names["messages"]:
            self.message(_as_tuples(message))
        self.moves = names["moves"]
        for name in _ARRAYS:
            setattr(self, name, kept[name])
        self.growths += 1

    def _grow(self) -> None:
        """Room for as many local states and messages as there are."""
        count = len(self.locals)
        self.local = self._lengthened(self.local, count * LOCAL_WIDTH, 0)
        self.simpler = self._lengthened(self.simpler, count << self.model.read_bits, UNKNOWN)
        self.renamed = self._lengthened(self.renamed, count * self.renamings, UNKNOWN)
        if count > self.after.shape[0] or len(self.said) > self.after.shape[1]:
            shape = (_room(self.after.shape[0], count), _room(self.after.shape[1], len(self.said)))
            self.after, self.answer = _widened(self.after, shape, UNKNOWN), _widened(self.answer, shape, IMPOSSIBLE)
            self.growths += 1

    def _lengthened(self, array: np.ndarray, length: int, filler: int) -> np.ndarray:
        if len(array) >= length:
            return array
        self.growths += 1
        longer = np.full(_room(len(array), length), filler, array.dtype)
        longer[: len(array)] = array
        return longer


def _room(room: int, needed: int) -> int:
    return room if room >= needed else max(2 * room, needed)


def _widened(array: np.ndarray, shape: tuple[int, int], filler: int) -> np.ndarray:
    wider = np.full(shape, filler, array.dtype)
    wider[: array.shape[0], : array.shape[1]] = array
    return wider


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list) else value


def patterns_of(model: Model) -> np.ndarray:
    """The patterns of all properties, as the expansion reads them."""
    rows: list[Sequence[int]] = [
        (pattern.all_of, pattern.none_of, pattern.on_two, pattern.not_on_two, number)
        for number, each in enumerate(model.properties)
        if each.kind != "eventually"
        for pattern in each.patterns
    ]
    return np.array(rows, np.int64).reshape(-1)
