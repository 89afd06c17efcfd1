"""All tools on one size, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from model.errors import EnvironmentLacks
from study.crosscheck import by_spin, by_tlc
from study.crosscheck.ours import our_counts, our_ways
from study.crosscheck.sizes import SOUGHT, Counts, Size, Ways


@dataclass(slots=True)
class Comparison:
    """What all tools have found about one size.

    Attributes
    ----------
    whole, renamed : dict
        By tool: the whole space, and where states that differ by names only are one; empty for too large a space.
    ways : dict
        By tool: length of a shortest path for each property that shows.
    skipped : dict
        By tool that did not run: why.
    """

    size: Size
    whole: dict[str, Counts] = field(default_factory=dict)
    renamed: dict[str, Counts] = field(default_factory=dict)
    ways: dict[str, Ways] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Same states and steps in the whole space, same states up to names, and paths of the same lengths.

        Up to names only states are compared: where several candidates lead with as many votes, TLC with symmetry has a
        step for each, we have one.
        """
        found = (
            list(self.whole.values()),
            [counts.states for counts in self.renamed.values()],
            [[ways.get(key) for key in SOUGHT] for ways in self.ways.values()],
        )
        return all(each == kind[0] for kind in found for each in kind)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "agrees": self.agrees}


def compare(size: Size, most: int = 2_000_000) -> Comparison:
    """Run all tools that are there; whole spaces only up to `most` states."""
    found = Comparison(size)
    found.ways["ours"] = our_ways(size)
    whole, renamed = our_counts(size, most=most), our_counts(size, renamed=True, most=most)
    if whole:
        found.whole["ours"] = whole
    if renamed:
        found.renamed["ours"] = renamed
    _try(found, "Spin", lambda: _add_spin(found))
    _try(found, "TLC", lambda: _add_tlc(found))
    return found


def _add_spin(found: Comparison) -> None:
    found.ways["Spin"] = by_spin.ways(found.size)
    if found.whole:
        found.whole["Spin"] = by_spin.counts(found.size)


def _add_tlc(found: Comparison) -> None:
    found.ways["TLC"] = by_tlc.ways(found.size)
    if found.whole:
        found.whole["TLC"] = by_tlc.counts(found.size)
    if found.renamed:
        found.renamed["TLC"] = by_tlc.counts(found.size, symmetric=True)


def _try(found: Comparison, tool: str, work: Callable[[], None]) -> None:
    try:
        work()
    except EnvironmentLacks as error:
        found.skipped[tool] = str(error)
