"""What `lint` says: findings, each with its place, its figure, and what to change."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.IntEnum):
    """How bad a finding is; more is worse."""

    NOTE = 1
    """Worth knowing: legal, and dangerous in some circumstance that the files do not tell."""
    WARNING = 2
    """Works until a certain fault comes, and then costs what the figure says."""
    ERROR = 3
    """Does not start, never fails over, loses data in ordinary operation, or is open to anybody."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file, as it was named on the command line."""

    file: str
    line: int = 0
    """From 1; 0 is the file as a whole (something is missing from it)."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Figure:
    """How many seconds or how likely: a number that somebody can make again."""

    text: str
    """In a sentence of its own: "933 s until a node notices (p50 of 200 simulated runs, seed 1)"."""
    value: float
    unit: str
    """``s``, ``probability``, ``per year``, ``registrations``, or what is counted, such as ``hosts``."""
    low: float | None
    """Ends of the interval, where there is one: of confidence for a simulation, of possibility for a bound."""
    high: float | None
    kind: str
    """``simulated``, ``bound`` (a closed form, never exceeded), ``proved``, ``specified`` (by a source) or
    ``measured``."""
    command: str
    """What shows it: a command of this kit that runs as it stands, or a document's name and section."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    rule: str
    """Its name for good, in lower case with hyphens: ``quorum-equals-sentinels``."""
    severity: Severity
    place: Place
    what_happens: str
    """One or two sentences: the consequence for phones or data, not the rule."""
    figure: Figure
    change: str
    """What to write instead, as a line of the file where that can be said."""
    related: tuple[Place, ...] = ()
    """Other lines that the finding is about: the second of two passwords that differ."""
