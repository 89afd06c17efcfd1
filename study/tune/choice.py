"""Which delay: what the limits admit, what is best among that, and why nothing is when nothing is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.errors import UsageError
from study.tune.curve import OUTAGES, QUANTITIES, UNIT, Curve
from study.tune.needless import LEVEL

NEAR = 0.05
"""A delay is nearly as good as the best when it is at most by this share worse. Kind: assumed."""

ASSUMED_LIMITS = {"outage": {"needless": 1.0}, "needless": {"outage_p95": 30.0}, "lost": {"outage_p95": 30.0},
                  "cost": {}}  # fmt: skip
"""Limits that are assumed where none are given: else the shortest, or the longest, delay would always be best."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted.

    Attributes
    ----------
    objective : str
        The quantity to make least.
    limits : dict of str to float
        The most that quantities may be.
    are_assumed : bool
        The limits were not asked for.
    """

    objective: str
    limits: dict[str, float]
    are_assumed: bool = False

    @property
    def outage(self) -> str:
        """The statistic of the outage that this is about."""
        named = [name for name in (self.objective, *self.limits) if name in OUTAGES]
        return named[0] if named else "outage_p95"


def read_goal(objective: str, limits: Sequence[str]) -> Goal:
    """A goal from the command line.

    Raises
    ------
    UsageError
        An unknown quantity, or a limit that is no number.
    """
    if objective not in QUANTITIES:
        raise _refuse("--objective", objective, ", ".join(QUANTITIES))
    found: dict[str, float] = {}
    for text in limits:
        name, sign, number = text.partition("=")
        if not sign or name not in QUANTITIES:
            raise _refuse("--limit", text, f"QUANTITY=MOST, with one of {', '.join(QUANTITIES)}")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise _refuse("--limit", text, f"a number of 0 or more ({UNIT[name]})")
        found[name] = value
    if found:
        return Goal(objective, found)
    assumed = ASSUMED_LIMITS[objective.partition("_")[0]]
    return Goal(objective, assumed, are_assumed=bool(assumed))


def _refuse(option: str, given: str, allowed: str) -> UsageError:
    return UsageError(f"{option} is {given!r}\n  allowed: {allowed}\n\nhint: for example "
                      "--objective outage_p95 --limit needless=1")  # fmt: skip


def choose(curve: Curve, goal: Goal) -> dict[str, Any]:
    """The admissible delays and the best among them, as JSON.

    Returns
    -------
    dict
        ``admissible`` (None when there is none) and ``surely``, the part of it where the upper ends of the intervals
        keep within the limits; ``best`` (None); ``infeasible``: reasons and what would have to change.
    """
    admitted = _admits(curve.value, goal)
    if not admitted.any():
        return {"admissible": None, "surely": None, "best": None, "infeasible": reasons(curve, goal)}
    return {
        "admissible": _span(curve, admitted),
        "surely": _span(curve, _admits(curve.high, goal)),
        "best": _best(curve, goal, admitted),
        "infeasible": [],
    }


def _admits(rows: dict[str, Any], goal: Goal) -> Any:
    kept = [rows[name] <= most for name, most in goal.limits.items()]
    return np.logical_and.reduce(kept) if kept else np.ones(rows["cost"].shape, bool)


def _span(curve: Curve, admitted: Any) -> dict[str, int] | None:
    delays = curve.delays_ms[admitted]
    return {"low_ms": int(delays[0]), "high_ms": int(delays[-1])} if len(delays) else None


def _best(curve: Curve, goal: Goal, admitted: Any) -> dict[str, Any]:
    worth = np.where(admitted, curve.value[goal.objective], np.inf)
    at = int(np.argmin(worth))
    near = worth <= worth[at] * (1 + NEAR)
    drawn = np.where(_admits(curve.draws, goal), curve.draws[goal.objective], np.inf)
    # A draw in which no delay is admissible says nothing about the best one.
    bests = curve.delays_ms[np.argmin(drawn, axis=1)[np.isfinite(drawn.min(axis=1))]]
    low, high = np.quantile(bests, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(bests) else (curve.delays_ms[at],) * 2
    return {
        "down_after_ms": int(curve.delays_ms[at]),
        "low_ms": min(round(float(low)), int(curve.delays_ms[at])),
        "high_ms": max(round(float(high)), int(curve.delays_ms[at])),
        "nearly": _span(curve, near),
        "at_edge": [edge for edge, index in (("shortest", 0), ("longest", len(worth) - 1)) if index == at],
    }


def reasons(curve: Curve, goal: Goal) -> list[str]:
    """Why no delay keeps within all limits, and what would have to change."""
    alone = {name: curve.value[name] <= most for name, most in goal.limits.items()}
    found = [_never(curve, name, goal.limits[name]) for name, kept in alone.items() if not kept.any()]
    if found:
        return found
    spans = {name: _span(curve, kept) for name, kept in alone.items()}
    for name, span in spans.items():
        side = _side(curve, span)
        found.append(f"{name} <= {goal.limits[name]:g} {UNIT[name]} needs {side}")
        for other, most in goal.limits.items():
            if other != name:
                edge_ms = span["high_ms"] if span["low_ms"] == curve.delays_ms[0] else span["low_ms"]
                value = curve.at(other, edge_ms)[0]
                found.append(f"  at {edge_ms} ms {other} is {value:.3g} {UNIT[other]}: {_change(other, value, most)}")
    return found


def _never(curve: Curve, name: str, most: float) -> str:
    at = int(np.argmin(curve.value[name]))
    least = float(curve.value[name][at])
    return (f"{name} <= {most:g} {UNIT[name]} cannot be had: the least is {least:.3g} {UNIT[name]}, "
            f"at {curve.delays_ms[at]} ms; {_change(name, least, most)}")  # fmt: skip


def _side(curve: Curve, span: dict[str, int]) -> str:
    if span["low_ms"] == curve.delays_ms[0]:
        return f"at most {span['high_ms']} ms"
    if span["high_ms"] == curve.delays_ms[-1]:
        return f"at least {span['low_ms']} ms"
    return f"{span['low_ms']} to {span['high_ms']} ms"


def _change(name: str, value: float, most: float) -> str:
    if name == "needless" and most > 0:
        return f"allow that, or make long stalls {value / most:.3g} times rarer"
    if name in OUTAGES:
        return f"allow that, or gain {value - most:.3g} s elsewhere (see what other knobs buy)"
    return "allow that, or change the conditions"


def front(curve: Curve, goal: Goal, present_ms: int) -> list[dict[str, Any]]:
    """Outage against needless failovers at each simulated delay: what is on the Pareto front, and what is set now."""
    points = [(delay, curve.at(goal.outage, delay)[0], curve.at("needless", delay)[0]) for delay in curve.simulated_ms]
    return [
        {
            "down_after_ms": delay,
            goal.outage: round(outage, 3),
            "needless": _rounded(needless),
            "on_front": not any(_beats(other[1:], (outage, needless)) for other in points),
            "is_present": delay == present_ms,
        }
        for delay, outage, needless in points
    ]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def at_delay(curve: Curve, delay_ms: int) -> dict[str, Any]:
    """All quantities at one delay, with their intervals."""
    found: dict[str, Any] = {"down_after_ms": int(delay_ms)}
    for name in QUANTITIES:
        value, low, high = curve.at(name, delay_ms)
        found[name] = {"value": _rounded(value), "low": _rounded(low), "high": _rounded(high)}
    return found
