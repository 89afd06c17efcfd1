"""What is compared: an election of some size, and what a tool finds out about it."""

from __future__ import annotations

from dataclasses import dataclass, field

ALWAYS = ("one-vote", "one-leader")
SOUGHT = (*ALWAYS, "elected", "not-elected")
"""The properties that all tools look at: those that must always hold, and two that must be possible."""


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters of an election; see `model.explorer`."""

    sentinels: int = 3
    quorum: int = 2
    epochs: int = 1
    stalls: bool = False

    def __str__(self) -> str:
        late = ", all may be late" if self.stalls else ""
        return f"{self.sentinels} sentinels, quorum {self.quorum}, {self.epochs} epochs{late}"


@dataclass(frozen=True, slots=True)
class Counts:
    """A whole space.

    Attributes
    ----------
    states, transitions : int
        Distinct states, and steps out of them, those that change nothing included.
    wall_s, cpu_s : float
        Time by the clock on the wall, and processor time.
    peak_bytes : int
        Most memory that the process had at once; 0 where it was not measured.
    table_bytes : int
        What the tool itself says its states took; 0 where it does not say.
    """

    states: int
    transitions: int
    wall_s: float = field(default=0.0, compare=False)
    cpu_s: float = field(default=0.0, compare=False)
    peak_bytes: int = field(default=0, compare=False)
    table_bytes: int = field(default=0, compare=False)


Ways = dict[str, int]
"""For each property of `SOUGHT` that shows: steps of a shortest path to where it does."""
