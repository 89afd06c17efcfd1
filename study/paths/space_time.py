"""A path as a space-time diagram (SVG): a line for each actor, time by step number from top to bottom.

Every step has a stripe of its own, and within it every message a row of its own: so labels never meet. Boxes are what
an actor does alone, arrows messages that are delivered, leaves with a folded corner what is true of an actor from then
on. A fault's box has cut corners and another colour, and the line of an actor that is down is dashed. The last step,
which shows the property, has its own ground and a mark.

The layout is measured before anything is drawn (`_Stripe`, `_Piece`): every box is as high as its wrapped words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from model.explorer.paths import Exchange, Path, Step
from study.paths.kinds import FAULTS, SILENCING, WAKING, struck
from study.paths.svg import LINE, Drawing, width_of, wrapped
from study.paths.text import ending

SIZE = 11.5
"""Of the words in boxes and on arrows, in pixels."""

GUTTER, EDGE = 52, 18
"""Room for the step numbers on the left, and on the right."""

LANE_MIN, LANE_MAX, WIDE = 128, 230, 1100
"""Distance of two actors' lines: what shares `WIDE` evenly among them, within these."""

PAD, GAP, SLANT = 5, 7, 11
"""Inside boxes; between boxes and around stripes; how far an arrow falls on its way."""

REPEATED = 10
"""Diagrams with more steps have the actors' names at their foot, too."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A box or an arrow, `top` below its stripe's top."""

    what: Step | Exchange | str
    actor: str
    top: float
    height: float
    lines: Sequence[str]


@dataclass(slots=True)
class _Stripe:
    """All of a step."""

    number: int
    step: Step
    top: float
    height: float = 0
    pieces: list[_Piece] = field(default_factory=list)


class _Layout:
    """Where everything is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        actors = max(len(path.actors), 1)
        self.lane = min(max(WIDE / actors, LANE_MIN), LANE_MAX)
        self.width = GUTTER + self.lane * actors + EDGE
        self.x = {actor: GUTTER + self.lane * (number + 0.5) for number, actor in enumerate(path.actors)}
        self.box = self.lane - 2 * GAP
        self.title = wrapped(path.sentence, self.width - 2 * EDGE, 16, is_bold=True)
        self.subtitle = wrapped(f"{path.verdict}; {path.model}", self.width - 2 * EDGE, SIZE)
        self.heads = {actor: wrapped(actor, self.box - 2 * PAD, 12.5, is_bold=True) for actor in path.actors}
        self.head_height = _text_height(max(map(len, self.heads.values()), default=1), 12.5) + 2 * PAD
        self.head_top = EDGE + _text_height(len(self.title), 16) + _text_height(len(self.subtitle), SIZE) + 2 * GAP
        self.start = self.head_top + self.head_height + GAP
        self.stripes: list[_Stripe] = []
        at = self.start
        for number, step in enumerate(path.steps):
            self.stripes.append(self._stripe(path, number, step, at))
            at += self.stripes[-1].height
        self.end = at + GAP
        self.ending = wrapped(ending(path), self.width - 2 * EDGE - GUTTER, 13, is_bold=True)
        self.foot = self.head_height + GAP if len(path.steps) > REPEATED else 0
        self.height = self.end + self.foot + GAP + _text_height(len(self.ending), 13) + EDGE

    def _stripe(self, path: Path, number: int, step: Step, top: float) -> _Stripe:
        stripe, at = _Stripe(number, step, top), GAP
        is_fault = step.kind in FAULTS
        if is_fault:
            at = max(self._put(stripe, step, actor, at, _without(actor, step)) for actor in struck(step, path.actors))
        elif not step.exchanges:
            at = self._put(stripe, step, step.actor, at, _without(step.actor, step))
        for exchange in () if is_fault else step.exchanges:
            reach = abs(self.x[exchange.source] - self.x[exchange.to]) - 2 * GAP
            lines = wrapped(exchange.label, max(reach, self.lane - 2 * GAP), SIZE)
            height = _text_height(len(lines), SIZE) + SLANT + 4
            stripe.pieces.append(_Piece(exchange, exchange.to, at, height, lines))
            at += height + GAP
        below = dict.fromkeys(self.path.actors, at)
        for actor, note in step.notes:
            below[actor] = self._put(stripe, note, actor, below[actor], note)
        stripe.height = max(below.values(), default=at)
        return stripe

    def _put(self, stripe: _Stripe, what: Step | str, actor: str, at: float, words: str) -> float:
        """A box with words; returns where the next one begins."""
        lines = wrapped(words, self.box - 2 * PAD, SIZE)
        height = _text_height(len(lines), SIZE) + 2 * PAD
        stripe.pieces.append(_Piece(what, actor, at, height, lines))
        return at + height + GAP


def _without(actor: str, step: Step) -> str:
    """The step's words; whose line it is on need not be said again."""
    return step.text.removeprefix(f"{actor} ") or step.text


def _text_height(lines: int, size: float) -> float:
    return size * LINE * lines


def space_time(path: Path) -> str:
    """The diagram."""
    layout, drawing = _Layout(path), Drawing()
    drawing.text(EDGE, EDGE, layout.title, "ink bold", 16)
    drawing.text(EDGE, EDGE + _text_height(len(layout.title), 16) + 4, layout.subtitle, "soft", SIZE)
    _draw_grounds(drawing, layout)
    for actor in path.actors:
        _draw_lifeline(drawing, layout, actor)
        for top in (layout.head_top, *([layout.end] if layout.foot else [])):
            _draw_head(drawing, layout, actor, top)
    for stripe in layout.stripes:
        _draw_stripe(drawing, layout, stripe)
    if path.loop >= 0:
        _draw_loop(drawing, layout)
    is_bad = path.verdict == "counterexample"
    foot = layout.end + layout.foot + GAP
    _draw_mark(drawing, EDGE + 8, foot + 8, is_bad)
    drawing.text(EDGE + 24, foot, layout.ending, "bad bold" if is_bad else "good bold", 13)
    return drawing.document(layout.width, layout.height, path.sentence, _description(path))


def _description(path: Path) -> str:
    steps = ". ".join(f"{number}: {step.text}" for number, step in enumerate(path.steps, start=1))
    return f"Space-time diagram of a {path.verdict} in {path.model}. {steps}. Then {ending(path)}."


def _draw_grounds(drawing: Drawing, layout: _Layout) -> None:
    for stripe in layout.stripes:
        drawing.rect(0, stripe.top, layout.width, stripe.height, _ground(layout.path, stripe.number))


def _draw_head(drawing: Drawing, layout: _Layout, actor: str, top: float) -> None:
    lines = layout.heads[actor]
    drawing.rect(layout.x[actor] - layout.box / 2, top, layout.box, layout.head_height, "head", 4)
    middle = top + (layout.head_height - _text_height(len(lines), 12.5)) / 2
    drawing.text(layout.x[actor], middle, lines, "ink bold", 12.5, "middle")


def _draw_lifeline(drawing: Drawing, layout: _Layout, actor: str) -> None:
    """Whole while the actor is up, dashed while it is down."""
    x, at, is_down = layout.x[actor], layout.head_top + layout.head_height, False
    for stripe in layout.stripes:
        turning = WAKING if is_down else SILENCING
        if stripe.step.kind in turning and actor in struck(stripe.step, layout.path.actors):
            turn = stripe.top + stripe.pieces[0].height / 2 + GAP
            _draw_phase(drawing, x, at, turn, is_down)
            at, is_down = turn, not is_down
    _draw_phase(drawing, x, at, layout.end, is_down)


def _draw_phase(drawing: Drawing, x: float, start: float, end: float, is_down: bool) -> None:
    drawing.line([(x, start), (x, end)], "fault-edge" if is_down else "lifeline", 1.6 if is_down else 1.2, is_down)


def _draw_stripe(drawing: Drawing, layout: _Layout, stripe: _Stripe) -> None:
    drawing.begin(f"{stripe.number + 1}. {stripe.step.text}")
    is_last = stripe is layout.stripes[-1]
    colour = ("bad bold" if layout.path.verdict == "counterexample" else "good bold") if is_last else "soft"
    drawing.text(GUTTER - 14, stripe.top + GAP + PAD / 2, [str(stripe.number + 1)], colour, 13, "end")
    for piece in stripe.pieces:
        top = stripe.top + piece.top
        if isinstance(piece.what, Exchange):
            _draw_arrow(drawing, layout, piece, top, _ground(layout.path, stripe.number))
        else:
            _draw_box(drawing, layout, piece, top)
    drawing.end()


def _draw_box(drawing: Drawing, layout: _Layout, piece: _Piece, top: float) -> None:
    """An act, a fault or a note: each has its own shape."""
    words_width = max(width_of(line, SIZE) for line in piece.lines) if piece.lines else 0
    width = min(words_width + 2 * PAD + 4, layout.box)
    left, right, bottom = layout.x[piece.actor] - width / 2, layout.x[piece.actor] + width / 2, top + piece.height
    if isinstance(piece.what, str):
        fold = 7
        corners = [(left, top), (right - fold, top), (right, top + fold), (right, bottom), (left, bottom)]
        drawing.polygon(corners, "note note-edge")
        drawing.line([(right - fold, top), (right - fold, top + fold), (right, top + fold)], "note-edge")
    elif piece.what.kind in FAULTS:
        drawing.polygon(_cut_corners(left - 3, top, right + 3, bottom, 6), "fault fault-edge")
    else:
        drawing.rect(left, top, width, piece.height, "act act-edge", 4)
    drawing.text(layout.x[piece.actor], top + PAD, piece.lines, "ink", SIZE, "middle")


def _cut_corners(left: float, top: float, right: float, bottom: float, cut: float) -> list[tuple[float, float]]:
    return [
        (left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut),
        (right - cut, bottom), (left + cut, bottom), (left, bottom - cut), (left, top + cut),
    ]  # fmt: skip


def _draw_arrow(drawing: Drawing, layout: _Layout, piece: _Piece, top: float, ground: str) -> None:
    """From line to line, a little downwards; the label above it, on its ground so that no line runs through it."""
    assert isinstance(piece.what, Exchange)
    source, to = layout.x[piece.what.source], layout.x[piece.what.to]
    start = top + _text_height(len(piece.lines), SIZE) + 3
    words_width = max(width_of(line, SIZE) for line in piece.lines) + 6
    middle = (source + to) / 2
    drawing.rect(middle - words_width / 2, top, words_width, start - top - 2, ground)
    drawing.text(middle, top, piece.lines, "said", SIZE, "middle")
    drawing.line([(source, start), (to, start + SLANT)], "arrow", 1.6)
    drawing.circle(source, start, 2.6, "tip")
    drawing.polygon(_tip(source, start, to, start + SLANT), "tip")


def _ground(path: Path, number: int) -> str:
    """The colour of a stripe: every second one is tinted, the last one shows the property."""
    if number == len(path.steps) - 1:
        return "bad-band" if path.verdict == "counterexample" else "good-band"
    return "stripe" if number % 2 else "paper"


def _tip(x: float, y: float, to_x: float, to_y: float, length: float = 9) -> Iterator[tuple[float, float]]:
    """The arrow's head, a triangle that ends in its target."""
    size = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5 or 1.0
    along, across = (to_x - x) / size * length, (to_y - y) / size * length
    yield to_x, to_y
    for side in (0.42, -0.42):
        yield to_x - along - side * across, to_y - across + side * along


def _draw_loop(drawing: Drawing, layout: _Layout) -> None:
    """A bracket with an arrow back to where the loop begins."""
    top = layout.stripes[layout.path.loop].top + GAP
    bottom = layout.end - GAP - 4
    drawing.begin(f"steps {layout.path.loop + 1} to {len(layout.stripes)}, for ever")
    drawing.line([(16, bottom), (6, bottom), (6, top), (12, top)], "fault-edge", 2)
    drawing.polygon([(18, top), (11, top - 4.5), (11, top + 4.5)], "bad")
    drawing.end()


def _draw_mark(drawing: Drawing, x: float, y: float, is_bad: bool) -> None:
    """A cross or a tick."""
    if is_bad:
        drawing.line([(x - 6, y - 6), (x + 6, y + 6)], "fault-edge", 2.6)
        drawing.line([(x - 6, y + 6), (x + 6, y - 6)], "fault-edge", 2.6)
    else:
        drawing.line([(x - 6, y), (x - 1, y + 6), (x + 7, y - 6)], "good-edge", 2.6)
