"""What is found out about a property, whatever was searched for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model.explorer.paths import Path

Kind = Literal["always", "sometimes", "eventually"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A property with its verdict.

    Attributes
    ----------
    key : str
        Short name, for tables and for the command line: ``registrar-guide``.
    kind : {"always", "sometimes", "eventually"}
    sentence : str
        The property, as a sentence.
    source : str
        Who claims it.
    holds : bool
        In all that was searched, under the condition, if there is one.
    condition : str
        "true when ...": what it takes, and bounds that were found; empty for a plain verdict.
    states, transitions : int
        Size of the search.
    finished : bool
        All reachable states were visited.
    path : Path or None
        A shortest counterexample, or a witness.
    """

    key: str
    kind: Kind
    sentence: str
    source: str
    holds: bool
    condition: str
    states: int
    transitions: int
    finished: bool
    path: Path | None = None
