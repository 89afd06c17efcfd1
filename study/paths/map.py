"""A map of all elections in one epoch, for people: every course of votes is a way through it from left to right.

All states would be a hairball. What a person wants to know of a state is who asks, who is elected, who gave up, and
who voted for whom; states that agree in that, up to names, are one picture (`Course`). What is folded together: which
votes the candidates have heard of already, which sentinels have heard of the epoch, and how old things are.

Every step between two pictures casts one vote or ends one attempt, so with pictures in columns by the number of both,
every arrow leads exactly one column further: `columns` asserts it. A picture's colour says what is still possible,
asked of the whole graph of states, not of the pictures: green, a sentinel is elected; blue, one can still be;
vermilion, none ever will be. Where that depends on what is folded, part of the rim is vermilion.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from model import sentinel
from model.errors import UsageError
from model.explorer.election import Election, Voter
from model.explorer.graph import Walked, ancestors_of, state_graph
from model.explorer.walk import State
from study.paths.svg import Drawing, wrapped

IDLE, VOTED, ASKS, ELECTED, GAVE_UP = range(5)
"""What a sentinel is doing."""

WORDS = {
    IDLE: "has not voted", VOTED: "has voted, asks nobody", ASKS: "asks for votes", ELECTED: "elected",
    GAVE_UP: "gave up",
}  # fmt: skip

OPEN, WON, LOST = "open", "won", "lost"
"""What can come of a state."""

RADIUS, DOT, ORBIT = 30, 7.5, 16.5
"""Of a picture, of a sentinel in it, of the circle on which the sentinels stand; in pixels."""
COLUMN, ROW, EDGE = 200, 78, 24
MOST = 4
"""Sentinels: with more, pictures are too many and too small. Kind: assumed."""


class Seat(NamedTuple):
    """A sentinel in a picture: what it is doing, and for whom it voted (1 + seat, 0 = nobody)."""

    role: int
    vote: int


Course = tuple[Seat, ...]
"""What a picture shows: the same for all states that differ by names or by what is folded only."""


@dataclass(slots=True)
class Picture:
    """All states of a course.

    Attributes
    ----------
    course : Course
    outcomes : Counter
        How many states are `OPEN`, `WON`, `LOST`.
    column, row : int, float
    """

    course: Course
    outcomes: Counter[str]
    column: int
    row: float = 0

    @property
    def states(self) -> int:
        """How many states are folded into it."""
        return self.outcomes.total()


@dataclass(frozen=True, slots=True)
class Map:
    """Pictures, and how many steps lead from one to another.

    Attributes
    ----------
    title : str
        What was explored.
    pictures : dict of Course to Picture
    arrows : Counter of (Course, Course)
    states, steps : int
        All states, and all steps between them: those within a picture included.
    """

    title: str
    pictures: dict[Course, Picture]
    arrows: Counter[tuple[Course, Course]]
    states: int
    steps: int


def course_of(state: State) -> Course:
    """What a state's picture shows: of all names the smallest."""
    voters = [Voter(*local) for local in state]
    roles = [_role(voter) for voter in voters]
    found = []
    for order in permutations(range(len(voters))):
        seat = [0, *(1 + order.index(old) for old in range(len(voters)))]
        found.append(tuple(Seat(roles[old], seat[voters[old].cast[0]]) for old in order))
    return max(found)


def _role(voter: Voter) -> int:
    if voter.state == sentinel.SELECT:
        return ELECTED
    if voter.in_progress:
        return ASKS
    if voter.failover_epoch:
        return GAVE_UP
    return VOTED if voter.cast[0] else IDLE


def column_of(course: Course) -> int:
    """Votes that are cast, and attempts that have ended."""
    return sum(seat.vote > 0 for seat in course) + sum(seat.role in (ELECTED, GAVE_UP) for seat in course)


def fold(walked: Walked) -> Map:
    """The map of an election of one epoch.

    Raises
    ------
    UsageError
        More than one epoch, or too many sentinels for pictures.
    """
    model = walked.model
    assert isinstance(model, Election)
    if model.epochs != 1 or model.sentinels > MOST:
        raise UsageError(f"a map is drawn of one epoch and up to {MOST} sentinels, not of: {model.title}")
    courses = [course_of(state) for state in walked.states]
    won = [n for n, course in enumerate(courses) if any(seat.role == ELECTED for seat in course)]
    can_be_won = ancestors_of(state_graph(walked), won)
    winners = set(won)
    outcomes: dict[Course, Counter[str]] = defaultdict(Counter)
    for number, course in enumerate(courses):
        outcomes[course][WON if number in winners else OPEN if number in can_be_won else LOST] += 1
    arrows: Counter[tuple[Course, Course]] = Counter()
    steps = 0
    for source, target, _ in walked.edges():
        steps += 1
        if courses[source] != courses[target]:
            arrows[courses[source], courses[target]] += 1
    pictures = {course: Picture(course, found, column_of(course)) for course, found in outcomes.items()}
    made = Map(model.title, pictures, arrows, len(courses), steps)
    _place(made)
    return made


def columns(made: Map) -> list[list[Picture]]:
    """Pictures column by column; every arrow leads one column further."""
    for source, target in made.arrows:
        assert column_of(target) == column_of(source) + 1, "an arrow skips a column"
    found: list[list[Picture]] = [[] for _ in range(1 + max(each.column for each in made.pictures.values()))]
    for picture in made.pictures.values():
        found[picture.column].append(picture)
    return found


def _place(made: Map) -> None:
    """Rows: elected above, lost below, and among each the order in which the arrows cross least (barycentres)."""
    rank = {WON: 0, OPEN: 1, LOST: 2}
    levels = columns(made)
    for level in levels:
        level.sort(key=lambda each: (rank[_main(each)], each.course))
        _centre(level)
    for _ in range(12):
        for ordered in (levels, levels[::-1]):
            for level in ordered:
                wanted = {each.course: _barycentre(made, each) for each in level}
                level.sort(key=lambda each: (rank[_main(each)], wanted[each.course]))
                _centre(level)


def _centre(level: Sequence[Picture]) -> None:
    for number, picture in enumerate(level):
        picture.row = number - (len(level) - 1) / 2


def _barycentre(made: Map, picture: Picture) -> float:
    """The mean row of all pictures that arrows join with this one."""
    rows = [made.pictures[target].row for source, target in made.arrows if source == picture.course]
    rows += [made.pictures[source].row for source, target in made.arrows if target == picture.course]
    return sum(rows) / len(rows) if rows else picture.row


def _main(picture: Picture) -> str:
    return max(picture.outcomes, key=lambda outcome: picture.outcomes[outcome])


# --- drawing ---------------------------------------------------------------------------------------------------------


def draw(made: Map) -> str:
    """The map as SVG."""
    drawing = Drawing()
    levels = columns(made)
    tallest = max(map(len, levels))
    width = 2 * EDGE + COLUMN * len(levels)
    caption = wrapped(caption_of(made), width - 2 * EDGE, 13)
    top = EDGE + 34 + 13 * 1.25 * len(caption) + 70
    height = top + ROW * tallest + EDGE
    middle = top + ROW * tallest / 2
    at = {each.course: (EDGE + COLUMN * (each.column + 0.5), middle + ROW * each.row)
          for each in made.pictures.values()}  # fmt: skip
    title = f"Every way an election can go: {made.title}"
    drawing.text(EDGE, EDGE - 4, [title], "ink bold", 18)
    drawing.text(EDGE, EDGE + 26, caption, "soft", 13)
    _draw_legend(drawing, EDGE, EDGE + 34 + 13 * 1.25 * len(caption))
    for number in range(len(levels)):
        drawing.text(EDGE + COLUMN * (number + 0.5), top - 30, [f"{number}"], "soft bold", 13, "middle")
    drawing.text(EDGE, top - 48, ["votes cast and attempts ended"], "soft", 12)
    most = max(made.arrows.values())
    for (source, target), steps in sorted(made.arrows.items(), key=lambda each: -each[1]):
        _draw_way(drawing, at[source], at[target], steps, most, made.pictures[target])
    for picture in made.pictures.values():
        _draw_picture(drawing, picture, *at[picture.course])
    return drawing.document(width, height, title, caption_of(made))


def caption_of(made: Map) -> str:
    """How to read it, what is folded, how much."""
    totals = sum((each.outcomes for each in made.pictures.values()), Counter())
    inside = made.steps - sum(made.arrows.values())
    return (
        f"{len(made.pictures)} pictures of {made.states:,} states, the number under each; "
        f"{len(made.arrows)} arrows, the wider the more of the {made.steps:,} steps ({inside:,} stay within a "
        "picture). "
        "Folded together: names, which votes a candidate has heard of, who has heard of the epoch, how old things are. "
        "Each arrow casts one vote or ends one attempt; columns count both. "
        f"Nobody leads yet, but can: {totals[OPEN]:,} states; one is elected: {totals[WON]:,}; "
        f"nobody will ever be, in this epoch: {totals[LOST]:,}."
    )


_FILL = {OPEN: "act act-edge", WON: "good-band good-edge", LOST: "fault fault-edge"}
_STROKE = {OPEN: "act-edge", WON: "good-edge", LOST: "fault-edge"}


def _draw_way(
    drawing: Drawing, start: tuple[float, float], end: tuple[float, float], steps: int, most: int, target: Picture
) -> None:
    """A curve whose width tells how many steps it stands for, in the colour of where it leads."""
    (x, y), (to_x, to_y) = start, end
    x, to_x = x + RADIUS, to_x - RADIUS - 5
    bend = (to_x - x) * 0.5
    path = f"M{x:.1f},{y:.1f} C{x + bend:.1f},{y:.1f} {to_x - bend:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}"
    drawing.begin(f"{steps} steps")
    drawing.curve(path, f"{_STROKE[_main(target)]} way", 0.8 + 6 * math.log(steps) / max(math.log(most), 1))
    drawing.end()


def _draw_picture(drawing: Drawing, picture: Picture, x: float, y: float) -> None:
    drawing.begin(words_of(picture))
    drawing.circle(x, y, RADIUS, "paper")
    drawing.circle(x, y, RADIUS, _FILL[_main(picture)])
    if len(picture.outcomes) > 1:
        _draw_share(drawing, x, y, picture.outcomes[LOST] / picture.states)
    _draw_course(drawing, picture.course, x, y)
    drawing.text(x, y + RADIUS + 1, [f"{picture.states:,}"], "soft", 10.5, "middle")
    drawing.end()


def _draw_share(drawing: Drawing, x: float, y: float, share: float) -> None:
    """The part of the rim that stands for states from where nobody can be elected."""
    angle = 2 * math.pi * share
    end_x, end_y = x + RADIUS * math.sin(angle), y - RADIUS * math.cos(angle)
    path = f"M{x:.1f},{y - RADIUS:.1f} A{RADIUS},{RADIUS} 0 {int(share > 0.5)} 1 {end_x:.1f},{end_y:.1f}"
    drawing.curve(path, "fault-edge", 4)


def words_of(picture: Picture) -> str:
    """A picture in words."""
    said = []
    for number, seat in enumerate(picture.course):
        vote = f", voted for {'itself' if seat.vote == number + 1 else 'ABCD'[seat.vote - 1]}" if seat.vote else ""
        said.append(f"{'ABCD'[number]} {WORDS[seat.role]}{vote}")
    return f"{'; '.join(said)} ({picture.states:,} states)"


def _draw_course(drawing: Drawing, course: Course, x: float, y: float) -> None:
    """Sentinels on a circle, each vote for another one an arrow; a vote for oneself is a ring."""
    places = []
    for number in range(len(course)):
        angle = 2 * math.pi * number / len(course)
        places.append((x + ORBIT * math.sin(angle), y - ORBIT * math.cos(angle)))
    for number, seat in enumerate(course):
        if seat.vote and seat.vote != number + 1:
            _draw_vote(drawing, places[number], places[seat.vote - 1])
    for number, (seat, place) in enumerate(zip(course, places, strict=True)):
        _draw_seat(drawing, seat.role, seat.vote == number + 1, *place)


def _draw_vote(drawing: Drawing, start: tuple[float, float], end: tuple[float, float]) -> None:
    size = math.dist(start, end)
    along = ((end[0] - start[0]) / size, (end[1] - start[1]) / size)
    tip = (end[0] - along[0] * (DOT + 1), end[1] - along[1] * (DOT + 1))
    drawing.line([start, (tip[0] - along[0] * 4, tip[1] - along[1] * 4)], "ink-edge", 1.5)
    sides = [(tip[0] - along[0] * 5.5 - side * along[1] * 3, tip[1] - along[1] * 5.5 + side * along[0] * 3)
             for side in (1, -1)]  # fmt: skip
    drawing.polygon([tip, *sides], "ink")


def _draw_seat(drawing: Drawing, role: int, is_own: bool, x: float, y: float) -> None:
    """A disc: empty, grey, blue, green with a star, or crossed out; in a ring if it voted for itself."""
    fill = {IDLE: "paper", VOTED: "grey", ASKS: "tip", ELECTED: "good", GAVE_UP: "paper"}[role]
    if is_own:
        drawing.circle(x, y, DOT, "paper ink-edge")
    drawing.circle(x, y, DOT - 2.5, f"{fill} soft-edge")
    if role == ELECTED:
        drawing.polygon(_star(x, y), "paper")
    if role == GAVE_UP:
        for side in (1, -1):
            drawing.line([(x - 3.2, y - 3.2 * side), (x + 3.2, y + 3.2 * side)], "fault-edge", 1.8)


def _star(x: float, y: float) -> Iterable[tuple[float, float]]:
    for number in range(10):
        radius, angle = (4.2 if number % 2 == 0 else 1.8), math.pi * number / 5
        yield x + radius * math.sin(angle), y - radius * math.cos(angle)


def _draw_legend(drawing: Drawing, x: float, y: float) -> None:
    """What the signs mean, in a row."""
    for role, words in WORDS.items():
        _draw_seat(drawing, role, False, x + 8, y + 9)
        drawing.text(x + 20, y + 2, [words], "ink", 12)
        x += 34 + 7.6 * len(words)
    _draw_seat(drawing, ASKS, True, x + 8, y + 9)
    drawing.text(x + 22, y + 2, ["voted for itself"], "ink", 12)
    x += 150
    _draw_seat(drawing, VOTED, False, x + 6, y + 9)
    _draw_vote(drawing, (x + 6, y + 9), (x + 40, y + 9))
    _draw_seat(drawing, ASKS, False, x + 40, y + 9)
    drawing.text(x + 54, y + 2, ["a vote"], "ink", 12)
