"""Times in which something was out, from changes of outcome; and plain arithmetic on spans of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

Span = tuple[int, int]
"""From when until when, µs."""

Change = tuple[str, int, int]
"""An outcome, when it began (the sending of the first request that fared so) and when it was known."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which something was out.

    Attributes
    ----------
    start_us, end_us : int
        µs since the first fault; the end is the horizon when `censored`.
    censored : bool
        The run ended before the outage did.
    outcomes : tuple of (outcome, start_us)
        What was seen meanwhile: ``refused``, ``unknown`` (client) or ``silent`` (write prober), each from when on.
    """

    start_us: int
    end_us: int
    censored: bool
    outcomes: tuple[tuple[str, int], ...]

    @property
    def length_us(self) -> int:
        """Length in µs; a lower bound when censored."""
        return self.end_us - self.start_us

    def outcome_at(self, t_us: int) -> str:
        """What was seen at an instant of the window."""
        return next(outcome for outcome, start_us in reversed(self.outcomes) if start_us <= t_us)

    def from_on(self, t_us: int) -> Window:
        """What is left of it from an instant before its end on."""
        if self.start_us >= t_us:
            return self
        later = tuple(seen for seen in self.outcomes if seen[1] > t_us)
        return Window(t_us, self.end_us, self.censored, ((self.outcome_at(t_us), t_us), *later))

    def time_by_outcome(self) -> dict[str, int]:
        """µs spent in each outcome; they add up to the length."""
        spent: dict[str, int] = defaultdict(int)
        ends = [start for _, start in self.outcomes[1:]] + [self.end_us]
        for (outcome, start), end in zip(self.outcomes, ends, strict=True):
            spent[outcome] += end - start
        return dict(spent)


def windows(changes: Iterable[Change], good: str, horizon_us: int) -> list[Window]:
    """Windows of outcomes other than `good` that reach past the first fault.

    `changes` are in order; a window lasts from the beginning of its first outcome to when the next good one is known.
    Before the first change all was good.
    """
    found = []
    outcomes: list[tuple[str, int]] = []
    for outcome, begun_us, known_us in changes:
        if outcome != good:
            if not outcomes or outcomes[-1][0] != outcome:
                outcomes.append((outcome, begun_us))
        elif outcomes:
            found.append(Window(outcomes[0][1], known_us, False, tuple(outcomes)))
            outcomes = []
    if outcomes:
        found.append(Window(outcomes[0][1], max(horizon_us, outcomes[-1][1]), True, tuple(outcomes)))
    return [window for window in found if window.end_us > 0]


def common(groups: Sequence[Sequence[Window]]) -> list[Window]:
    """Windows in which all of several things were out at once.

    What was seen meanwhile is ``refused`` while at least one of them was refused, for a caller who tries them all
    learns it at once, and else ``unknown``.
    """
    if not groups:
        return []
    bounds = sorted({bound for group in groups for window in group for bound in _bounds(window)})
    found: list[Window] = []
    for start_us, end_us in pairwise(bounds):
        open_ = [next((w for w in group if w.start_us <= start_us < w.end_us), None) for group in groups]
        seen = [window for window in open_ if window is not None]
        if len(seen) < len(groups):
            continue
        outcome = "refused" if any(w.outcome_at(start_us) == "refused" for w in seen) else "unknown"
        is_cut_off = any(window.censored and window.end_us == end_us for window in seen)
        if found and found[-1].end_us == start_us:
            before = found.pop()
            same = before.outcomes[-1][0] == outcome
            outcomes = before.outcomes if same else (*before.outcomes, (outcome, start_us))
            found.append(Window(before.start_us, end_us, is_cut_off, outcomes))
        else:
            found.append(Window(start_us, end_us, is_cut_off, ((outcome, start_us),)))
    return [window for window in found if window.end_us > 0]


def _bounds(window: Window) -> Iterable[int]:
    return (window.start_us, *(start_us for _, start_us in window.outcomes), window.end_us)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same instants as spans that do not touch, in order."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            start, end = found[-1][0], max(found.pop()[1], end)
        found.append((start, end))
    return found


def overlap_us(start_us: int, end_us: int, spans: Iterable[Span]) -> int:
    """How much of a stretch, as far as it lies after the first fault, is in one of the spans."""
    return sum(max(0, min(end_us, end) - max(start_us, start, 0)) for start, end in spans)
