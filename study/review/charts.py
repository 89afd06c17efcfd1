"""The charts of the page, in SVG that follows the reader's light or dark page. Each comes with its numbers as a table.

Charts here are small and many, and are read by people who search and select their words; so they are made of text and
lines (`study.paths.svg`), not of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from study.paths.svg import Drawing, width_of

WIDTH = 720.0
LEFT, RIGHT, TOP, BOTTOM = 150.0, 24.0, 14.0, 40.0
"""Margins, px."""

SIZE = 12.5
"""Of words, px."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its numbers.

    Attributes
    ----------
    svg : str
    heads : tuple of str
    rows : tuple of tuple of str
        The numbers, for who cannot see the drawing, and for copying.
    """

    svg: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class Axis:
    """From values to pixels, along x."""

    low: float
    high: float
    is_log: bool = False
    left: float = LEFT
    width: float = WIDTH - LEFT - RIGHT
    ticks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ticks = _log_ticks(self.low, self.high) if self.is_log else _ticks(self.low, self.high)

    def x(self, value: float) -> float:
        """Where a value is, within the axis."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.left + share * self.width

    def draw(self, drawing: Drawing, top: float, bottom: float, words: str) -> None:
        """Grid lines with numbers below, and what they are."""
        for tick in self.ticks:
            drawing.line([(self.x(tick), top), (self.x(tick), bottom)], "hair")
            drawing.text(self.x(tick), bottom + 4, [f"{tick:g}"], "soft", 11, "middle")
        drawing.text(self.left + self.width / 2, bottom + 20, [words], "soft", 11.5, "middle")


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 2))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 7:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [round(step * number, 9) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high]


def waterfall(parts: Sequence[tuple[str, str, dict[str, Any]]], key: str) -> Chart:
    """An outage cut into its parts, one below the other: medians, with 5 and 95 % quantiles as whiskers.

    Parameters
    ----------
    parts : sequence of (name, words, quantiles in ms)
    key : str
    """
    known = [(name, words, found) for name, words, found in parts if found.get("n")]
    total = sum(found["p50_ms"] for *_, found in known) / 1_000
    reach = max([total, *(found["p95_ms"] / 1_000 for *_, found in known)]) * 1.05 or 1.0
    axis = Axis(0.0, reach)
    drawing, height = Drawing(), 34.0
    bottom = TOP + height * len(known)
    axis.draw(drawing, TOP, bottom, "s after the fault, medians on top of each other")
    at, rows = 0.0, []
    for number, (name, words, found) in enumerate(known):
        low, middle, high = (found[f"{each}_ms"] / 1_000 for each in ("p5", "p50", "p95"))
        y = TOP + height * number
        drawing.begin(f"{name}: {words}, {middle:.3g} s ({low:.3g} to {high:.3g})")
        drawing.text(LEFT - 10, y + 8, [name], "ink bold", SIZE, "end")
        width = max(axis.x(at + middle) - axis.x(at), 1.5)
        drawing.rect(axis.x(at), y + 6, width, height - 14, "bar" if number % 2 == 0 else "bar-soft", 2)
        whisker = y + height / 2 - 1
        drawing.line([(axis.x(at + low), whisker), (axis.x(at + high), whisker)], "ink-edge", 1.5)
        label = f"{middle:.3g} s"
        right = max(axis.x(at + middle), axis.x(at + high)) + 8
        is_left = right + width_of(label, SIZE) > WIDTH - 4
        drawing.text(axis.x(at) - 8 if is_left else right, y + 8, [label], "ink", SIZE, "end" if is_left else "start")
        drawing.end()
        rows.append((name, words, f"{low:.3f}", f"{middle:.3f}", f"{high:.3f}"))
        at += middle
    words = ", ".join(f"{row[0]} {row[3]} s" for row in rows)
    svg = drawing.part(WIDTH, bottom + BOTTOM, "Parts of the outage", words, key)
    return Chart(svg, ("part", "meaning", "5 %, s", "median, s", "95 %, s"), tuple(rows))


@dataclass(frozen=True, slots=True)
class Curve:
    """One distribution."""

    words: str
    values_s: np.ndarray
    kind: str
    is_dashed: bool = False


def ecdf(curves: Sequence[Curve], bounds_s: tuple[float, float] | None, what: str, key: str) -> Chart:
    """Shares of runs that were over by a time; the band is what a closed form allows."""
    shown = [each for each in curves if len(each.values_s)]
    ends = [float(end) for each in shown for end in (each.values_s.min(), each.values_s.max())]
    ends += bounds_s or ()
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = max((high - low) * 0.06, 0.05)
    axis = Axis(max(0.0, low - margin), high + margin, left=60.0, width=WIDTH - 60.0 - RIGHT)
    drawing, height = Drawing(), 220.0
    bottom = TOP + height
    if bounds_s:
        drawing.begin(f"closed form: never before {bounds_s[0]:.3g} s nor after {bounds_s[1]:.3g} s")
        drawing.rect(axis.x(bounds_s[0]), TOP, axis.x(bounds_s[1]) - axis.x(bounds_s[0]), height, "good-band")
        drawing.end()
    axis.draw(drawing, TOP, bottom, f"{what}, s after the fault")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - share * height
        drawing.line([(axis.left, y), (axis.left + axis.width, y)], "hair")
        drawing.text(axis.left - 8, y - 7, [f"{share:.0%}"], "soft", 11, "end")
    rows = []
    for number, each in enumerate(shown):
        ordered = np.sort(each.values_s)
        points = [(axis.left, bottom)]
        for rank, value in enumerate(ordered):
            points += [(axis.x(value), bottom - rank / len(ordered) * height),
                       (axis.x(value), bottom - (rank + 1) / len(ordered) * height)]  # fmt: skip
        points.append((axis.left + axis.width, TOP))
        drawing.begin(each.words)
        drawing.line(_thinned(points), each.kind, 2.2, each.is_dashed)
        drawing.end()
        y = TOP + 14 + 20 * number
        drawing.line([(axis.left + 14, y + 7), (axis.left + 44, y + 7)], each.kind, 2.2, each.is_dashed)
        drawing.text(axis.left + 52, y, [each.words], "ink", SIZE)
        rows.append((each.words, str(len(ordered)), *(f"{np.quantile(ordered, q):.3f}" for q in (0.05, 0.5, 0.95))))
    words = "; ".join(f"{row[0]}: median {row[3]} s of {row[1]} runs" for row in rows)
    svg = drawing.part(WIDTH, bottom + BOTTOM, f"Distribution of: {what}", words, key)
    return Chart(svg, ("curve", "runs", "5 %, s", "median, s", "95 %, s"), tuple(rows))


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without points that lie on the same pixel."""
    kept = [points[0]]
    for point in points[1:]:
        if abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) >= 0.5:
            kept.append(point)
    return [*kept, points[-1]]


def bars(rows: Sequence[tuple[str, float, float, float, str]], axis_words: str, title: str, key: str) -> Chart:
    """Gains and losses to either side of nothing: (words, value, low, high, note)."""
    ends = [0.0, *(each for row in rows for each in row[1:4])]
    reach = max(abs(min(ends)), abs(max(ends))) or 1.0
    left = 260.0
    axis = Axis(-reach * 1.1 if min(ends) < 0 else 0.0, reach * 1.1, left=left, width=WIDTH - left - RIGHT)
    drawing, height = Drawing(), 30.0
    bottom = TOP + height * len(rows)
    axis.draw(drawing, TOP, bottom, axis_words)
    for number, (words, value, low, high, note) in enumerate(rows):
        y = TOP + height * number
        x, zero = axis.x(value), axis.x(0.0)
        drawing.begin(f"{words}: {value:+.3g} s ({low:+.3g} to {high:+.3g}); {note}")
        drawing.text(left - 10, y + 7, [words], "ink", SIZE, "end")
        drawing.rect(min(x, zero), y + 7, max(abs(x - zero), 1.5), height - 15, "good" if value >= 0 else "bad", 2)
        drawing.line([(axis.x(low), y + 15), (axis.x(high), y + 15)], "ink-edge", 1.5)
        drawing.end()
    drawing.line([(axis.x(0.0), TOP), (axis.x(0.0), bottom)], "ink-edge", 1.2)
    table = tuple(
        (words, *(f"{each:+.3f}" for each in (value, low, high)), note) for words, value, low, high, note in rows
    )
    svg = drawing.part(WIDTH, bottom + BOTTOM, title, "; ".join(f"{r[0]}: {r[1]} s" for r in table), key)
    return Chart(svg, ("change", "gain, s", "low", "high", "besides"), table)


def pareto(points: Sequence[dict[str, Any]], present_ms: int, best_ms: int | None, outage: str, key: str) -> Chart:
    """Outage against needless failovers, one point a delay; the present one and the best one are named."""
    ordered = sorted(points, key=lambda point: point["down_after_ms"])
    values = [
        (point["down_after_ms"], point[outage]["value"], max(point["needless"]["value"], 1e-6)) for point in ordered
    ]
    xs, ys = [value[1] for value in values], [value[2] for value in values]
    axis = Axis(0.0, max(xs) * 1.05, left=70.0, width=WIDTH - 70.0 - RIGHT)
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    drawing, height = Drawing(), 240.0
    bottom = TOP + height
    axis.draw(drawing, TOP, bottom, "outage after a crash, s (95 % quantile)")

    def y(rate: float) -> float:
        return bottom - (math.log10(rate) - low) / max(high - low, 1) * height

    for power in range(low, high + 1):
        drawing.line([(axis.left, y(10.0**power)), (axis.left + axis.width, y(10.0**power))], "hair")
        drawing.text(axis.left - 8, y(10.0**power) - 7, [f"{10.0**power:g}"], "soft", 11, "end")
    drawing.line([(axis.x(x), y(rate)) for _, x, rate in values], "arrow", 1.5)
    drawing.text(axis.left + 6, TOP - 12, ["needless failovers a year"], "soft", 11.5)
    for delay_ms, x, rate in values:
        is_named = delay_ms in (present_ms, best_ms)
        drawing.begin(f"{delay_ms} ms: {x:.3g} s, {rate:.2g} needless failovers a year")
        drawing.circle(axis.x(x), y(rate), 6 if is_named else 3.5, "bad" if delay_ms == present_ms else
                       "good" if delay_ms == best_ms else "tip")  # fmt: skip
        drawing.end()
        if is_named:
            words = "now" if delay_ms == present_ms else "best"
            drawing.text(axis.x(x) + 11, y(rate) - 14, [f"{words}: {delay_ms} ms"], "ink bold", SIZE)
    rows = tuple((str(delay), f"{x:.2f}", f"{rate:.3g}") for delay, x, rate in values)
    words = "; ".join(f"{row[0]} ms: {row[1]} s, {row[2]} a year" for row in rows)
    svg = drawing.part(WIDTH, bottom + BOTTOM, "Outage against needless failovers, by delay", words, key)
    return Chart(svg, ("delay, ms", "outage, s", "needless a year"), rows)


LANE_KINDS = {
    "dead": "fault", "unreachable": "fault", "frozen": "fault", "cut off": "fault", "suspects": "note",
    "agreed": "note", "asks for votes": "note", "has voted": "note", "leads": "act", "leads: promoted": "act",
    "announces": "good-band", "primary": "good-band", "writable": "good-band", "reachable": "good-band",
    "registered": "good-band", "waits on a replica": "note", "no Redis": "fault", "asks Redis": "note",
    "calls unanswered": "fault", "calls refused": "fault", "tries": "note", "tilt": "fault",
}  # fmt: skip
"""Colours of states; any other is plain."""

LANE = 24.0
"""Height of an actor's lane, px."""


def lanes(found: Any, key: str) -> str:
    """Who was in which state when: a lane for each actor, with words where there is room."""
    moments = found.moments
    axis = Axis(moments[0].t_s, moments[-1].t_s, left=LEFT, width=WIDTH - LEFT - RIGHT)
    drawing = Drawing()
    bottom = TOP + LANE * len(found.actors)
    axis.draw(drawing, TOP, bottom, "s after the fault")
    for number, actor in enumerate(found.actors):
        y = TOP + LANE * number
        drawing.text(LEFT - 10, y + 4, [actor], "ink", 11.5, "end")
        for began, ends, state in found.lanes.get(actor, []):
            x, width = axis.x(began), max(axis.x(ends) - axis.x(began), 1.0)
            drawing.begin(f"{actor}: {state}, {began:.3f} to {ends:.3f} s")
            drawing.rect(x, y + 2, width, LANE - 4, LANE_KINDS.get(state, "stripe"), 2)
            if width_of(state, 10.5) + 8 < width:
                drawing.text(x + 5, y + 5, [state], "ink", 10.5)
            drawing.end()
    words = (
        f"States of {len(found.actors)} actors from {moments[0].t_s:g} to {moments[-1].t_s:g} s; the table has them."
    )
    return drawing.part(WIDTH, bottom + BOTTOM, "One run, actor by actor", words, key)
