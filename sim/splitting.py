"""Probabilities of rare events by multilevel splitting with fixed effort.

A *walk* is a stochastic process in cycles, with a score that says how close it is to the event. Crude simulation of an
event of probability 1e-9 a cycle needs 1e11 cycles. Splitting puts *levels* on the way: of N walks from the beginning
some reach the first level; N walks from the states in which they did, with fresh chance, try for the second; and so
on. The estimate is the product of the shares that got through. It needs N walks a level: logarithmically many.

Why it is unbiased, whatever score and levels are (they only decide how well it does): let V(x) be the probability of
the event from state x. Each of the N first walks *stands for* 1/N. A state x that stands for s is continued n times,
n random with mean m > 0, and each continuation stands for s/m: on average they all together see the event with s V(x),
as x did by the Markov property at the instant of crossing. So by induction over levels the expected sum of what those
stand for that arrive is P. The walk must be Markov: what is saved must hold all that the future depends on, and the
continuation must draw its future given that (`sim.disturbances` draws what is left of a stall given its age). Levels
come from a pilot of its own, so that they do not depend on what is estimated.

M. Garvels, "The splitting method in rare event simulation" (thesis, Twente, 2000); P. L'Ecuyer, V. Demers, B. Tuffin,
"Rare events, splitting, and quasi-Monte Carlo", ACM TOMACS 17(2), 2007; P. L'Ecuyer, F. Le Gland, P. Lezaud,
B. Tuffin, "Splitting techniques", chapter 3 of G. Rubino, B. Tuffin (eds.), "Rare Event Simulation using Monte Carlo
Methods", Wiley, 2009. RESTART (M. and J. Villen-Altamirano) splits as it goes and needs ratios fixed beforehand; fixed
effort costs memory, but its population cannot explode.

A walk may be simulated under another law than the true one, in which certain jumps are more frequent: its *weight* is
the likelihood ratio of its path, and the same induction holds for what it stands for times its weight times its reward.
Which states are continued how often (m) goes by weight, but only among those with equally many of such jumps: one that
has had its jump weighs a thousandth of one that has not, and is the more promising of the two. Within such a class m is
in proportion to what a state counts, and a class as a whole keeps its share of the walks.

Walks of one estimate share ancestors, so that their number says nothing about the error. `interval` rests on
independent replications instead.

Left out: levels of several dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import stats

SHARE = 0.2
"""Share of walks that shall reach the next level: near the best, exp(-1.6), for the work it takes; it matters little.
Kind: recommended (L'Ecuyer et al. 2009, section 3.3.2)."""

LEVEL = 0.9
"""Of all intervals. Kind: assumed."""

MOST_LEVELS = 200
"""A pilot that needs more gives up. Kind: assumed."""


class Walk(Protocol):
    """A process in cycles."""

    goal: int
    """Score of the event."""

    stride: int
    """Levels are at most so far apart: a pilot that was lucky shall not set one that nobody reaches again."""

    @property
    def weight(self) -> float:
        """True over simulated likelihood of the path so far."""
        ...

    @property
    def jumps(self) -> int:
        """So many of the jumps that weights are for have happened."""
        ...

    def begin(self) -> None:
        """A new cycle."""
        ...

    def climb(self, level: int) -> int:
        """Go on until the score is `level` or more, or the cycle is over; returns the highest score on the way."""
        ...

    def save(self) -> Any:
        """The state now."""
        ...

    def resume(self, state: Any) -> None:
        """Go on from a saved state, with fresh chance."""
        ...

    def reward(self) -> float:
        """What the event that has just happened counts; may go on with the walk, which ends with it."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """One replication.

    Attributes
    ----------
    value : float
        Estimate of E[reward x 1{event}] in a cycle.
    shares : tuple of float
        Of walks that reached each level from the one before; ends with the first 0.
    """

    value: float
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A state in which a level was reached: what it stands for, and weighs, and its jumps. No state: the beginning."""

    state: Any
    stands_for: float
    weight: float = 1.0
    jumps: int = 0


_BEGINNING = [_Mark(None, 1.0)]


def split(walk: Walk, levels: Sequence[int], effort: int, chance: np.random.Generator) -> Estimate:
    """Estimate once.

    Parameters
    ----------
    walk : Walk
    levels : sequence of int
        Scores in rising order; the last is the goal. That alone is crude simulation.
    effort : int
        Walks from each level to the next.
    chance : Generator
        Decides which states are continued once more than others.
    """
    marks = _BEGINNING
    shares: list[float] = []
    for level in levels[:-1]:
        marks = _cross(walk, marks, level, effort, chance)
        shares.append(len(marks) / effort)
        if not marks:
            return Estimate(0.0, tuple(shares))
    value, arrived = 0.0, 0
    for mark in _chosen(marks, effort, chance):
        if _climb_from(walk, mark) >= walk.goal:
            counts = mark.stands_for * walk.weight
            value += counts * walk.reward()
            arrived += 1
    return Estimate(float(value), (*shares, arrived / effort))


def choose_levels(walk: Walk, effort: int, chance: np.random.Generator, share: float = SHARE) -> list[int]:
    """Levels of which about `share` of the walks reach the next: a pilot, from level to level.

    Where the score jumps, one level is reached by less.
    """
    marks = _BEGINNING
    levels: list[int] = []
    while len(levels) < MOST_LEVELS:
        highest = sorted((_climb_from(walk, mark) for mark in _chosen(marks, effort, chance)), reverse=True)
        level = _next_level(highest, round(share * effort), levels[-1] if levels else 0, walk.stride)
        if level is None or level >= walk.goal:
            break
        marks = _cross(walk, marks, level, effort, chance)
        if not marks:
            break
        levels.append(level)
    return [*levels, walk.goal]


def _next_level(highest: Sequence[int], rank: int, last: int, stride: int) -> int | None:
    """The score that so many reached, or one on the way if that is too far; None when nobody came further."""
    higher = [score for score in highest if score > last]
    if not higher:
        return None
    near = [score for score in higher if score <= last + stride] or [min(higher)]
    return min(max(highest[rank], min(higher)), max(near))


def _climb_from(walk: Walk, mark: _Mark, level: int | None = None) -> int:
    if mark.state is None:
        walk.begin()
    else:
        walk.resume(mark.state)
    return walk.climb(walk.goal if level is None else level)


def _cross(walk: Walk, marks: Sequence[_Mark], level: int, effort: int, chance: np.random.Generator) -> list[_Mark]:
    """States in which walks reach a level."""
    reached = []
    for mark in _chosen(marks, effort, chance):
        if _climb_from(walk, mark, level) >= level:
            reached.append(_Mark(walk.save(), mark.stands_for, walk.weight, walk.jumps))
    return reached


def _chosen(marks: Sequence[_Mark], effort: int, chance: np.random.Generator) -> list[_Mark]:
    """`effort` continuations: systematic sampling, each state in proportion to what it counts within its class."""
    counts = np.array([mark.stands_for * mark.weight for mark in marks])
    jumps = np.array([mark.jumps for mark in marks])
    means = np.zeros(len(marks))
    for each in np.unique(jumps):
        alike = jumps == each
        means[alike] = effort * alike.mean() * counts[alike] / counts[alike].sum()
    ends = np.cumsum(means)
    points = (np.arange(effort) + chance.random()) * ends[-1] / effort
    at = np.minimum(np.searchsorted(ends, points, side="right"), len(marks) - 1)
    return [replace(marks[index], stands_for=marks[index].stands_for / means[index]) for index in at]


def interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Mean of independent replications, and an interval of it, cut off at 0.

    Student's, put right for skewness by Hall's cubic ("On the removal of skewness by transformation", Journal of the
    Royal Statistical Society B 54, 1992): estimates lean to the right, and most means of few of them are too low.
    """
    found = np.asarray(values, float)
    count, mean, spread = len(found), float(found.mean()), float(found.std())
    if count < 2:
        return mean, 0.0, math.inf
    skewness = float(((found - mean) ** 3).mean()) / spread**3 if spread > 0 else 0.0
    reach = float(stats.t.ppf((1 + level) / 2, count - 1)) / math.sqrt(count)
    unit = spread * math.sqrt(count / (count - 1))
    low, high = (mean - unit * _unskewed(each, skewness, count) for each in (reach, -reach))
    return mean, max(low, 0.0), high


def _unskewed(reach: float, skewness: float, count: int) -> float:
    """Inverse of Hall's cubic x + g x^2 / 3 + g^2 x^3 / 27 + g / (6 n), g being the skewness."""
    if abs(skewness) < 1e-6:
        return reach
    return 3 / skewness * (float(np.cbrt(1 + skewness * (reach - skewness / (6 * count)))) - 1)
