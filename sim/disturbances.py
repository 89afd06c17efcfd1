"""What disturbs a cluster: things that stall at random and run on by themselves.

A *cause* is one thing that can be disturbed, such as the primary's Redis process: disturbances begin at a constant rate
while there is none, and each lasts for a random time. Causes are independent of each other and overlap as they like.

Three things make them fit for splitting (`sim.splitting`):

* nothing is drawn before it must be, and what was drawn may be drawn anew at any instant, *conditionally on the age* of
  what goes on: copies of one state part at once, and each is a true continuation of it;
* **boost**: in a cycle, things begin more often than they do in truth, all together by a rate of `BOOST` divided by the
  age of the cycle. Half of that is for all causes alike, half in proportion to their rates. Then two of them overlap
  in a share of cycles that can be simulated even if in truth they do once in a million years;
* the *weight* of a path is its likelihood ratio, true law over simulated law: exp(integral of the surplus) times true
  rate over simulated rate at every beginning (Girsanov's theorem for point processes; P. Brémaud, "Point Processes and
  Queues", 1981, chapter VI). The mean of weight times anything, simulated, is its true mean.

Splitting alone cannot do without the boost: it repeats what goes on, but the beginning of something else is a single
jump whose probability no level cuts in parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr, ndtri

BOOST = 0.3
"""Beginnings too many, of all causes together, in a cycle that is `YOUNG`, and whenever its age grows by a factor of e.
Kind: assumed (much less finds no overlaps, much more makes weights differ)."""

YOUNG = 0.1
"""Age up to which the surplus rate is constant, in what it takes until a sentinel suspects. Kind: assumed (things that
begin together are the likeliest to last together)."""

NEVER_US = 1e15
"""Longer than any cycle."""


NEVER_US = 1e15
"""Longer than any cycle."""


class Lengths(Protocol):
    """The law of a length."""

    def rest_ms(self, age_ms: float, share: float) -> float:
        """What is left of a length that is at least `age_ms`: exceeded with probability `share`."""
        ...


@dataclass(frozen=True, slots=True)
class Exponential:
    """Memoryless."""

    mean_ms: float

    def rest_ms(self, age_ms: float, share: float) -> float:
        """See `Lengths`."""
        return -self.mean_ms * math.log(share)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Its logarithm is normal."""

    median_ms: float
    sigma: float

    def rest_ms(self, age_ms: float, share: float) -> float:
        """See `Lengths`."""
        longer = float(ndtr(-math.log(age_ms / self.median_ms) / self.sigma)) if age_ms > 0 else 1.0
        return max(self.median_ms * math.exp(-self.sigma * float(ndtri(longer * share))) - age_ms, 0.0)


@dataclass(frozen=True, slots=True)
class Pareto:
    """Power law from `least_ms` on."""

    least_ms: float
    alpha: float

    def rest_ms(self, age_ms: float, share: float) -> float:
        """See `Lengths`."""
        return max(age_ms, self.least_ms) * share ** (-1 / self.alpha) - age_ms


@dataclass(frozen=True, slots=True)
class Sample:
    """One of some lengths that were measured, in rising order."""

    lengths_ms: tuple[float, ...]

    def rest_ms(self, age_ms: float, share: float) -> float:
        """See `Lengths`."""
        first = int(np.searchsorted(self.lengths_ms, age_ms, side="right"))
        left = len(self.lengths_ms) - first
        return self.lengths_ms[-math.ceil(share * left)] - age_ms if left else 0.0


@dataclass(frozen=True, slots=True)
class Strike:
    """What a disturbance does to one program or one way: the fields of `sim.state.FAULT_ROW`."""

    report: int
    host: int
    program: int = 0
    to: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that can be disturbed.

    Attributes
    ----------
    name : str
        What and where.
    per_hour : float
        Disturbances an hour, while there is none.
    lengths : Lengths
    pairs : tuple of (Strike, Strike)
        What happens when one begins, and when it ends. Causes that have a pair in common share it: it ends when the
        last of them does.
    """

    name: str
    per_hour: float
    lengths: Lengths
    pairs: tuple[tuple[Strike, Strike], ...]

    @property
    def per_us(self) -> float:
        """The rate a µs."""
        return self.per_hour / 3.6e9


@dataclass(slots=True)
class Situation:
    """Where a cycle stands.

    Attributes
    ----------
    start_us : float
    weighed_us, log_weight : float
        Up to when the weight is known, and its logarithm.
    begun : int
        Disturbances after the first.
    since_us : list of float or None
        For each cause, since when it is disturbed; None: it is not.
    next_us : list of float
        For each cause, when that changes.
    """

    start_us: float
    weighed_us: float
    log_weight: float
    begun: int
    since_us: list[float | None]
    next_us: list[float]

    def copy(self) -> Situation:
        """One that changes on its own."""
        return Situation(self.start_us, self.weighed_us, self.log_weight, self.begun, [*self.since_us], [*self.next_us])


class Disturbances:
    """Which causes are disturbed now, and when that changes next.

    Parameters
    ----------
    causes : sequence of Cause
        All with a rate above 0.
    young_us : float
        Age up to which the surplus is constant.
    chance : Generator
    boost : float
        0: everything as it is in truth.

    Attributes
    ----------
    situation : Situation
        To be copied, and put back.
    """

    def __init__(self, causes: Sequence[Cause], young_us: float, chance: np.random.Generator, boost: float) -> None:
        self._causes, self._young_us, self._chance = causes, young_us, chance
        # A single cause cannot overlap with anything.
        boost = boost if len(causes) > 1 else 0.0
        total = sum(cause.per_us for cause in causes)
        self._boost = [boost * (0.5 / len(causes) + 0.5 * cause.per_us / total) for cause in causes]
        self.situation = Situation(0.0, 0.0, 0.0, 0, [], [])

    def begin(self, now_us: float, cause: int) -> list[Strike]:
        """A cycle begins with a disturbance of this cause; returns what happens."""
        count = len(self._causes)
        self.situation = Situation(now_us, now_us, 0.0, 0, [None] * count, [NEVER_US] * count)
        strikes = self._toggle(now_us, cause)
        self.draw_anew(now_us)
        return strikes

    @property
    def is_quiet(self) -> bool:
        """True when nothing is disturbed."""
        return all(since is None for since in self.situation.since_us)

    @property
    def next_us(self) -> float:
        """When something begins or ends next."""
        return min(self.situation.next_us)

    def change(self) -> list[Strike]:
        """Let that happen; returns what it does to the cluster."""
        now_us = self.next_us
        cause = self.situation.next_us.index(now_us)
        self._weigh(now_us)
        if self.situation.since_us[cause] is None:
            true = self._causes[cause].per_us
            age_us = max(now_us - self.situation.start_us, self._young_us)
            self.situation.begun += 1
            self.situation.log_weight += math.log(true / (true + self._boost[cause] / age_us))
        strikes = self._toggle(now_us, cause)
        self._plan(now_us, cause)
        return strikes

    @property
    def next_end_us(self) -> float:
        """When the first of what is disturbed ends."""
        situation = self.situation
        ends = (at for at, since in zip(situation.next_us, situation.since_us, strict=True) if since is not None)
        return min(ends, default=NEVER_US)

    def end(self) -> list[Strike]:
        """Let that happen, whatever begins before."""
        at_us = self.next_end_us
        cause = self.situation.next_us.index(at_us)
        self.situation.next_us[cause] = NEVER_US
        return self._toggle(at_us, cause)

    def draw_anew(self, now_us: float) -> None:
        """Draw all that is to come again, given what has come."""
        self._weigh(now_us)
        for cause in range(len(self._causes)):
            self._plan(now_us, cause)

    def weight(self, now_us: float) -> float:
        """Likelihood ratio of the path so far."""
        self._weigh(now_us)
        return math.exp(self.situation.log_weight)

    def _toggle(self, now_us: float, cause: int) -> list[Strike]:
        """The cause is disturbed, or no longer; returns what no other cause has done already, or still does."""
        since_us = self.situation.since_us
        begins = since_us[cause] is None
        others = (n for n, since in enumerate(since_us) if since is not None and n != cause)
        held = {pair for other in others for pair in self._causes[other].pairs}
        since_us[cause] = now_us if begins else None
        return [pair[0 if begins else 1] for pair in self._causes[cause].pairs if pair not in held]

    def _plan(self, now_us: float, cause: int) -> None:
        since_us = self.situation.since_us[cause]
        if since_us is None:
            at_us = self._beginning_us(now_us, cause)
        else:
            share = 1 - self._chance.random()
            at_us = now_us + 1e3 * self._causes[cause].lengths.rest_ms((now_us - since_us) / 1e3, share)
        self.situation.next_us[cause] = min(at_us, NEVER_US)

    # --- beginnings, boosted -----------------------------------------------------------------------------------------

    def _beginning_us(self, now_us: float, cause: int) -> float:
        """The first of two independent Poisson processes: the true one, and the surplus."""
        at_us = now_us + self._chance.standard_exponential() / self._causes[cause].per_us
        if self._boost[cause] == 0:
            return at_us
        surplus = self._surplus(now_us) + self._chance.standard_exponential() / self._boost[cause]
        return min(at_us, self.situation.start_us + self._young_us * _inverse(surplus))

    def _surplus(self, now_us: float) -> float:
        """Integral of the surplus rate of one cause since the cycle began, over the boost."""
        age = (now_us - self.situation.start_us) / self._young_us
        return age if age < 1 else 1 + math.log(age)

    def _weigh(self, now_us: float) -> None:
        """Bring the weight up to now: nothing has begun since it was known."""
        situation = self.situation
        idle = sum(boost for boost, since in zip(self._boost, situation.since_us, strict=True) if since is None)
        gained = self._surplus(now_us) - self._surplus(situation.weighed_us)
        situation.log_weight += idle * gained
        situation.weighed_us = now_us


def _inverse(surplus: float) -> float:
    """The age, in units of `young_us`, at which the surplus is so much."""
    return surplus if surplus < 1 else math.exp(min(surplus - 1, 30.0))
