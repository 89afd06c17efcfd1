"""Outcomes of runs as columns with names, and as samples with quantiles and intervals.

A column is a field of `sim.outcome_records.OUTCOME`; of a field that is an array each place that the scenario has, with
the name of the node (``register@host2``) or of the client (``client:phone``). A *quantity* is a column of times.

Intervals: quantiles by two order statistics, free of any law; probabilities by Wilson. What the horizon cut off counts
as a lower bound (docs/statistics.md, "Censoring").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from model.measures import MILESTONES, proportion
from model.scenario import Scenario
from sim.outcome_records import ABSENT, OUTCOME, told
from study.compare import Sample

CONFIDENCE = 0.95
QUANTILES = (5, 50, 95, 99)
"""Percentiles that are shown."""

COURSES = ("failover", "lost_election", "needless_failover", "second_failover", "demotion", "tilt")
OUTAGES = ("redis_write", "register", "client")
"""Fields of `OUTCOME` with `_longest` and `_censored` beside them."""
COUNTS = ("lost", "calls", "calls_failed")
_NO_TIMES = (*COUNTS, *COURSES, "run", "cut_off", "new_primary")


def columns_of(scenario: Scenario, until: Sequence[str]) -> dict[str, tuple[str, int | None]]:
    """Name of each column that is known of a run to its field of `OUTCOME` and the place in it."""
    found: dict[str, tuple[str, int | None]] = {}
    known = told(until)
    for each in OUTCOME.fields:
        if each.name not in known:
            continue
        if each.name.startswith("register"):
            found |= {
                f"{each.name}@{host.name}": (each.name, n) for n, host in enumerate(scenario.host) if host.registrar
            }
        elif each.count:
            found |= {f"{each.name}:{client.name}": (each.name, n) for n, client in enumerate(scenario.client)}
        else:
            found[each.name] = (each.name, None)
    return found


def _stem(column: str) -> str:
    """The field that a column belongs to."""
    return column.partition("@")[0].partition(":")[0]


def is_count(column: str) -> bool:
    """True for numbers of things."""
    return _stem(column) in COUNTS


def is_time(column: str) -> bool:
    """True for columns in µs."""
    stem = _stem(column)
    return stem not in _NO_TIMES and not stem.endswith("_censored")


def is_quantity(column: str) -> bool:
    """True for what `sample_of` takes: milestones, outages, and the time with two writable servers."""
    return is_time(column) and column not in ("ended", "back")


def parts_of(quantity: str) -> list[str]:
    """Columns that `sample_of` reads."""
    if quantity in MILESTONES:
        return [quantity, "cut_off", *(["back"] if quantity == "demoted" else [])]
    return [quantity, mark] if (mark := _mark_of(quantity)) else [quantity]


def _mark_of(quantity: str) -> str:
    """Column that says whether an outage was cut off, empty for what is no outage."""
    stem = _stem(quantity)
    field_ = stem.removesuffix("_longest")
    return f"{field_}_censored{quantity[len(stem) :]}" if field_ in OUTAGES else ""


def sample_of(scenario: Scenario, name: str, table: Mapping[str, np.ndarray]) -> Sample:
    """Values of a quantity in ms. What was under way at the end counts with the time that it had been waited for."""
    values = table[name]
    is_censored = np.zeros(len(values), bool)
    if name in MILESTONES:
        is_censored = (table["cut_off"] >> MILESTONES.index(name)) & 1 == 1
        begun_us = table["back"] if name == "demoted" else 0
        values = np.where(is_censored, scenario.run.horizon_ms * 1000 - begun_us, values)
    elif mark := _mark_of(name):
        is_censored = table[mark] == 1
    happened = values != ABSENT
    return Sample(values[happened] / 1000, is_censored[happened])


def told_of(values: np.ndarray) -> np.ndarray:
    """Those that a run could tell."""
    return values[values != ABSENT]


def to_ms(values: np.ndarray) -> np.ndarray:
    """µs as ms, NaN for what did not happen."""
    return np.where(values == ABSENT, np.nan, values / 1000)


def odds_of(answers: np.ndarray) -> dict[str, Any]:
    """How often the answer was yes, of the runs that could tell, with Wilson's 95 % interval."""
    told_ = told_of(answers)
    return proportion(int(told_.sum()), len(told_))


def describe(values: Sample) -> dict[str, Any]:
    """n, censored, and the quantiles of `QUANTILES` with their 95 % intervals in ms; None where it cannot be said."""
    described: dict[str, Any] = {"n": len(values), "censored": values.censored}
    for percent in QUANTILES if len(values) else ():
        low, high = quantile_interval(values, percent / 100)
        estimate = values.quantile(percent / 100)
        described |= {f"p{percent}_ms": None if np.isnan(estimate) else round(estimate, 3),
                      f"p{percent}_low_ms": low, f"p{percent}_high_ms": high}  # fmt: skip
    return described


def quantile_interval(values: Sample, q: float, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """An interval for a quantile in ms from two order statistics: it covers the quantile whatever the law is.

    None: there are too few values for a limit, or the limit is a value that was cut off (a lower bound).
    """
    order = np.lexsort((values.is_censored, values.values_ms))
    tail = (1 - confidence) / 2
    # P(B < low) <= tail and P(B > high) <= tail, B being how many of n lie below the true quantile.
    low, high = (int(rank) for rank in stats.binom.ppf([tail, 1 - tail], len(order), q))
    return _limit(values, order, low - 1), _limit(values, order, high)


def _limit(values: Sample, order: np.ndarray, rank: int) -> float | None:
    if not 0 <= rank < len(order) or values.is_censored[order[rank]]:
        return None
    return float(values.values_ms[order[rank]])
