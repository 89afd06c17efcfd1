"""What stalls of the primary that end by themselves bring about, and how well the detectors do.

Left out: stalls that overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.bounds.group import YEAR_MS, Group
from model.bounds.instants import start, suspicion
from model.laws import Floats, wait_for_tick


def p_suspected(group: Group, length_ms: float | Floats, index: int = 0) -> Floats:
    """Probability that a stall of this length makes one live sentinel say +sdown."""
    return suspicion(group, index).by(length_ms + group.back[index].middle_ms)


def p_agreed(group: Group, length_ms: float | Floats) -> Floats:
    """Probability that a stall of this length leads to +odown, which is also when a failover starts."""
    return start(group).by(length_ms)


def p_failover(group: Group, length_ms: float | Floats) -> Floats:
    """Probability that a stall of this length leads to a failover: once started, nothing but lost votes ends it."""
    return p_agreed(group, length_ms) * group.fails_over


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the detectors of a group do (Chen, Toueg, Aguilera). A mistake is a +sdown in a stall.

    Attributes
    ----------
    detection_mean_ms, detection_max_ms : float
        From a crash to +sdown of one sentinel.
    mistakes_per_year : float
        Of one sentinel.
    mistake_ms : float
        Mean length of a mistake, from +sdown to -sdown; infinite when stalls have no mean. A failover may cut it short.
    accuracy : float
        Probability that a sentinel, asked at a random instant while the primary has not crashed, says that it is up.
    agreements_per_year, failovers_per_year : float
        Needless +odown, and needless failovers, of the group.
    """

    detection_mean_ms: float
    detection_max_ms: float
    mistakes_per_year: float
    mistake_ms: float
    accuracy: float
    agreements_per_year: float
    failovers_per_year: float


def quality(group: Group, per_year: float, longer: Callable[[Floats], Floats], index: int = 0) -> Quality:
    """The metrics of one detector and of the group, for stalls that arrive at random.

    With D the time of +sdown of an endless stall, stalls that are longer than D - back are seen: the rate of mistakes
    is that of stalls times E[P(L > D - back)]. A mistake lasts from D until the tick after the answer, so its mean is
    E[(L + back - D)+] / P(seen) plus the wait for a tick. The same with `start` gives agreements.

    Parameters
    ----------
    group : Group
    per_year : float
        Stalls a year; small against a year / mean length.
    longer : callable
        P(L > t) of their length, t in ms.
    index : int
        Which live sentinel.
    """
    law = suspicion(group, index)
    seen_from = law.later(-group.back[index].middle_ms)
    seen = seen_from.expect(longer)
    excess_ms = seen_from.expect(lambda points: _mean_excess(longer, points))
    mistake_ms = excess_ms / seen + wait_for_tick().mean_ms if seen > 0 else 0.0
    agreed = start(group).expect(longer)
    return Quality(
        detection_mean_ms=law.mean_ms,
        detection_max_ms=float(law.points_ms[-1]),
        mistakes_per_year=per_year * seen,
        mistake_ms=mistake_ms,
        accuracy=max(0.0, 1 - per_year * seen * mistake_ms / YEAR_MS) if seen > 0 else 1.0,
        agreements_per_year=per_year * agreed,
        failovers_per_year=per_year * agreed * group.fails_over,
    )


def _mean_excess(longer: Callable[[Floats], Floats], points_ms: Floats) -> Floats:
    """E[(L - t)+] at each t: the integral of P(L > s) from t on, up to a year, by trapezes that widen with s."""
    first, last = points_ms[0], points_ms[-1]
    beyond = last + np.geomspace(1, YEAR_MS, 4000)
    tail = float(np.trapezoid(longer(beyond), beyond)) + float(longer(np.array([last]))[0])
    steps = np.arange(first, last + 1)
    below = longer(steps)
    inside = np.concatenate((np.cumsum(((below[1:] + below[:-1]) / 2)[::-1])[::-1], [0.0]))
    return np.interp(points_ms, steps, inside) + tail
