"""Laws of random times on a lattice of 1 ms, and those that a sentinel's ticks give rise to.

A tick comes 52 to 100 ms after the one before, drawn anew each time (`model.sentinel`): ticks are a *renewal process*.
From it follows, exactly, when a PING goes out after a fault and when somebody looks at a clock. A normal law or a
constant in its place would be wrong by tens of ms, and that decides whether a stall just above the delay is seen.

Left out: what happens below 1 ms. A time between two points of the lattice is put on both, so that means are exact; a
probability is off by at most what 1 ms changes, which is 0.1 % for periods of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.sentinel import BASE_HZ, TICK_OVERHEAD_MIN_US, TICK_OVERHEAD_SPREAD_US

Floats = NDArray[np.float64]

TICKS_MS = tuple(1000 // (BASE_HZ + step) for step in range(BASE_HZ))
"""The ten lengths of a tick, without its lateness."""
LATENESS_MS = (TICK_OVERHEAD_MIN_US / 1000, (TICK_OVERHEAD_MIN_US + TICK_OVERHEAD_SPREAD_US) / 1000)
"""Least and greatest lateness of a tick."""
TICK_MS = (min(TICKS_MS) + LATENESS_MS[0], max(TICKS_MS) + LATENESS_MS[1])
"""Least and greatest time between two ticks."""

MIXED_MS = 1_000
"""After so long (14 ticks) a tick's wait no longer depends on when the first tick was: the part of the renewal density
that still swings shrinks to 0.41 of itself with each tick, and is below 1e-5. Kind: specified (from the ten lengths).
"""


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """The law of a time.

    Attributes
    ----------
    start_ms : float
        The first point.
    mass : array
        Probabilities of the points, 1 ms apart. They may add up to less than 1: it may never happen.
    """

    start_ms: float
    mass: Floats

    @property
    def points_ms(self) -> Floats:
        """The points."""
        return self.start_ms + np.arange(len(self.mass))

    @property
    def probability(self) -> float:
        """That it happens at all."""
        return float(self.mass.sum())

    @property
    def mean_ms(self) -> float:
        """The mean, given that it happens."""
        return float(self.points_ms @ self.mass / self.mass.sum())

    def by(self, t_ms: float | Floats) -> Floats:
        """Probability that it has happened by then; a point's mass is spread over the ms around it."""
        edges = self.start_ms - 0.5 + np.arange(len(self.mass) + 1)
        return np.interp(t_ms, edges, np.concatenate(([0.0], np.cumsum(self.mass))))

    def quantile_ms(self, share: float) -> float:
        """By when it has happened in this share of cases, given that it happens."""
        edges = self.start_ms - 0.5 + np.arange(len(self.mass) + 1)
        return float(np.interp(share * self.probability, np.concatenate(([0.0], np.cumsum(self.mass))), edges))

    def expect(self, function: Callable[[Floats], Floats]) -> float:
        """Mean of a function of it, 0 where it does not happen."""
        return float(self.mass @ function(self.points_ms))

    def later(self, by_ms: float) -> Law:
        """The law of a time so much later."""
        return Law(self.start_ms + by_ms, self.mass)

    def __add__(self, other: Law) -> Law:
        """The law of the sum of two independent times."""
        return Law(self.start_ms + other.start_ms, np.convolve(self.mass, other.mass))


def exactly(t_ms: float) -> Law:
    """A time that is certain."""
    return Law(t_ms, np.ones(1))


def uniform(length_ms: int) -> Law:
    """Evenly spread from 0 to a whole number of ms."""
    mass = np.full(length_ms + 1, 1 / length_ms)
    mass[[0, -1]] /= 2
    return Law(0, mass)


def mixture(laws: Sequence[Law], weights: Sequence[float]) -> Law:
    """One of several laws, drawn with these probabilities. Their points must be whole ms apart."""
    start_ms = min(law.start_ms for law in laws)
    ends = [round(law.start_ms - start_ms) + len(law.mass) for law in laws]
    mass = np.zeros(max(ends))
    for law, weight, end in zip(laws, weights, ends, strict=True):
        mass[end - len(law.mass) : end] += weight * law.mass
    return Law(start_ms, mass)


# --- ticks -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def tick() -> Law:
    """Time from a tick to the next: one of the ten lengths, and its lateness (put on two points, its mean kept)."""
    mass = np.zeros(max(TICKS_MS) + 2)
    late = sum(LATENESS_MS) / 2
    for length in TICKS_MS:
        mass[length] += (1 - late) / len(TICKS_MS)
        mass[length + 1] += late / len(TICKS_MS)
    return Law(0, mass)


@lru_cache(maxsize=1)
def _renewal_density() -> Floats:
    """Expected number of ticks at each ms after a tick, itself included: u = 1 at 0, u_k = sum of T_j u_(k-j)."""
    length = tick().mass
    found = np.zeros(MIXED_MS + 1)
    found[0] = 1.0
    for k in range(1, len(found)):
        reach = min(k, len(length) - 1)
        found[k] = length[1 : reach + 1] @ found[k - reach : k][::-1]
    return found


def wait_for_tick() -> Law:
    """From a random instant to the next tick: P(wait > t) is proportional to the mean of max(T - t, 0)."""
    return remainder(tick())


def remainder(period: Law) -> Law:
    """From a random instant to the end of the period that it falls into: density P(period > t) / mean."""
    assert period.start_ms >= 0, "a period is positive"
    ends = np.concatenate((np.zeros(round(period.start_ms)), period.mass))
    longer = 1 - np.cumsum(ends)
    density = np.clip(longer, 0, None) / np.clip(longer, 0, None).sum()
    mass = np.zeros(len(density) + 1)
    mass[:-1] += density / 2
    mass[1:] += density / 2
    return Law(0, mass)


def tick_after(t_ms: float) -> Law:
    """The first tick more than `t_ms` after a tick, counted from that tick."""
    whole = int(t_ms)
    share = t_ms - whole
    if share == 0:
        return _tick_after(whole)
    return mixture([_tick_after(whole), _tick_after(whole + 1)], [1 - share, share])


@lru_cache(maxsize=64)
def _tick_after(t_ms: int) -> Law:
    """The last tick before t is at k with density u_k, and the one that follows it comes after t.

    A tick of the lattice exactly at t stands for one just before and one just after: half of each.
    """
    if t_ms >= MIXED_MS:
        return wait_for_tick().later(t_ms)
    length = tick().mass
    density = _renewal_density()[: t_ms + 1].copy()
    mass = np.zeros(len(length))
    if t_ms > 0:
        density[-1] /= 2
        mass[0] = density[-1]
    for back in range(min(t_ms, len(length) - 1) + 1):
        rest = length[back + 1 :]
        mass[1 : 1 + len(rest)] += density[t_ms - back] * rest
    return Law(t_ms, mass)
