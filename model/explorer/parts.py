"""A model as a product of parts: what a part may do, what it answers, what is asked of the whole.

A *part* is a sentinel, a server, the network. Its *local state* is a tuple of integers. It moves by itself, or sends a
message that another part receives in the same step, and may answer in it. What the parts do is said by running the
machines, interpreted; but each local state and message only once, whatever the others do meanwhile: the search looks
the outcome up in tables (`model.explorer.tables`) and works on tuples of numbers, compiled
(`model.explorer.expansion`). Some thousand runs of a machine so explore many million states.

What more than two parts decide together goes through *masks*, 62 bits whose meaning the model fixes:

* `Model.guards` of all parts, joined: a move may ask that none of certain bits is there (`without`), at least one
  (`with_any`), or all (`with_all`): hosts that are cut off, attempts that must be over first, others that agree;
* `Model.marks` of all parts: what properties speak of;
* `Model.reads` of the other parts: what they may still read of a part, so that `Model.simplified` can drop the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Local = tuple[int, ...]
"""A local state."""
Message = tuple[int | str, ...]
"""A message: its kind, then integers."""


class Move(NamedTuple):
    """A step that a local state offers.

    Attributes
    ----------
    kind : str
        A word of the model: ``act``, ``ask``, ``crash``.
    after : Local
        The part's local state after it.
    to : int
        Number of the part that receives the message; -1 when there is none.
    message : Message
    without, with_any, with_all : int
        Masks over the guards of all parts: none of `without`, at least one of `with_any` (0: no condition), all of
        `with_all`.
    about : tuple of int
        What is needed to say the step in words, besides kind and message.
    """

    kind: str
    after: Local
    to: int = -1
    message: Message = ()
    without: int = 0
    with_any: int = 0
    with_all: int = 0
    about: tuple[int, ...] = ()


class Received(NamedTuple):
    """What a message does to who receives it: the local state after it, and the answer that goes back at once."""

    after: Local
    answer: Message = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A condition on the marks of all parts.

    Attributes
    ----------
    all_of, none_of : int
        All of these are there, none of those.
    on_two, not_on_two : int
        At least one of these is there on two parts or more, none of those is.
    """

    all_of: int = 0
    none_of: int = 0
    on_two: int = 0
    not_on_two: int = 0

    def shows(self, joined: int, doubled: int) -> bool:
        """True if it holds; `joined` are marks of any part, `doubled` those of at least two."""
        is_so = joined & self.all_of == self.all_of and not joined & self.none_of
        return is_so and (not self.on_two or doubled & self.on_two != 0) and not doubled & self.not_on_two


@dataclass(frozen=True, slots=True)
class Property:
    """A named sentence about all runs.

    Attributes
    ----------
    key : str
    kind : {"always", "sometimes", "eventually"}
        *always*: `patterns` show in no state. *sometimes*: they show in some state, lest the rest be empty truths.
        *eventually*: from everywhere, a fair run ends where they show for ever.
    sentence, source : str
        In words, and who says so.
    patterns : tuple of Pattern
        Any of them.
    """

    key: str
    kind: Literal["always", "sometimes", "eventually"]
    sentence: str
    source: str
    patterns: tuple[Pattern, ...]


class Model(Protocol):
    """What is explored.

    Attributes
    ----------
    title : str
        What it is, with its bounds: ``election of 3 sentinels, quorum 2, up to 2 epochs``.
    actors : tuple of str
        Names of the parts.
    first : tuple of Local
    hosts : int
        Parts come in rows of `hosts` that are alike (sentinel 1 .., then server 1 ..), then those that are single.
    read_bits : int
        How many bits `reads` has; 0 when nothing is simplified.
    renamings : tuple of tuple of int
        Which hosts may change names: for each renaming, the old number of the host that gets number 0, 1, ..
    properties : tuple of Property
    bound : tuple of Pattern
        Where a bound of the model keeps somebody from a step that he would take.
    """

    title: str
    actors: tuple[str, ...]
    first: tuple[Local, ...]
    hosts: int
    read_bits: int
    renamings: tuple[tuple[int, ...], ...]
    properties: tuple[Property, ...]
    bound: tuple[Pattern, ...]

    def moves(self, part: int, local: Local) -> Iterable[Move]:
        """All that a part may do in a local state."""

    def receive(self, part: int, local: Local, message: Message) -> Received | None:
        """What a message, or an answer, does to a part; None when it cannot be received now."""

    def marks(self, part: int, local: Local) -> int:
        """What properties speak of."""

    def guards(self, part: int, local: Local) -> int:
        """What moves of others depend on."""

    def reads(self, part: int, local: Local) -> int:
        """What the part may still read of others. Must not depend on what `simplified` drops."""

    def simplified(self, part: int, local: Local, read: int) -> Local:
        """The local state without what nobody will read: `read` is what the others may."""

    def is_urgent(self, part: int, local: Local) -> bool:
        """True if this part moves next, before anybody else does anything."""

    def colour(self, part: int, local: Local) -> int:
        """A number that no renaming changes: of equal hosts, the one with the smaller sum of colours comes first."""

    def renamed(self, part: int, local: Local, renaming: tuple[int, ...]) -> Local:
        """The local state under other names of the hosts."""

    def say(self, part: int, local: Local, move: Move) -> str:
        """The step in words."""

    def note(self, part: int, before: Local, after: Local) -> str:
        """What a step has changed of a part, as far as a reader wants to know it; empty if nothing."""

    def label(self, message: Message) -> str:
        """A message in a few words."""


def place(model: Model, part: int, renaming: tuple[int, ...]) -> int:
    """Number of the part that takes place `part` under a renaming."""
    row, column = divmod(part, model.hosts)
    in_rows = (len(model.actors) // model.hosts) * model.hosts
    return row * model.hosts + renaming[column] if part < in_rows else part
