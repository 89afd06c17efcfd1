"""What some replications say together, as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from model.bounds import HOUR_MS, YEAR_MS
from sim.rare_cycles import most_score
from sim.rare_kernel import FAILED_OVER, STARTED
from sim.splitting import LEVEL, Estimate, interval
from study.rare.estimate import Ready, Replication, Study

SCHEMA = 1
"""Version of the JSON."""

HOURS_A_YEAR = YEAR_MS / HOUR_MS


def summary(study: Study, ready: Ready, done: Sequence[Replication], registrations_per_s: float) -> dict[str, Any]:
    """All that some replications say, as JSON.

    Parameters
    ----------
    study : Study
    ready : Ready
    done : sequence of Replication
        Two at least.
    registrations_per_s : float
        Of all phones together; only losses depend on it.
    """
    rates = [group.per_hour for group in study.groups]
    rest = 1 / (1 + sum(rate * busy for rate, busy in zip(rates, ready.busy_h, strict=True)))
    scale = _per_prober(study, registrations_per_s)
    columns = [
        [rest * rate * scale * each.estimates[number].value for each in done] for number, rate in enumerate(rates)
    ]
    totals = [sum(row) for row in zip(*columns, strict=True)]
    per_hour = _told(totals)
    return {
        "schema": SCHEMA,
        "scenario": study.scenario.name,
        "digest": study.scenario.digest,
        "seed": study.seed,
        "event": study.event,
        "replications": len(done),
        "effort": study.effort,
        "level": LEVEL,
        "rest": rest,
        "registrations_per_s": registrations_per_s if study.event == "lost" else None,
        "per_hour": per_hour,
        "per_year": {key: value * HOURS_A_YEAR for key, value in per_hour.items()},
        "causes": [_cause(study, ready, done, number, columns[number]) for number in range(len(rates))],
        "work": _work(study, done, totals),
    }


def _per_prober(study: Study, registrations_per_s: float) -> float:
    """Registrations lost by all phones for each that the simulated probers lose."""
    if study.event == "needless":
        return 1.0
    nodes = sum(host.registrar for host in study.scenario.host)
    return registrations_per_s * study.scenario.probe.register_period_ms / 1000 / nodes


def _told(values: Sequence[float]) -> dict[str, float]:
    mean, low, high = interval(values)
    return {"value": mean, "low": low, "high": high}


def _cause(
    study: Study, ready: Ready, done: Sequence[Replication], number: int, column: Sequence[float]
) -> dict[str, Any]:
    group, estimates = study.groups[number], [each.estimates[number] for each in done]
    return {
        "of": group.of,
        "causes": [cause.name for cause in group.causes],
        "from": group.words,
        "beginnings_per_hour": group.per_hour,
        "busy_s": ready.busy_h[number] * 3600,
        "in_a_cycle": _told([each.value for each in estimates]),
        "per_hour": _told(column),
        "levels": [
            {"score": _score(study, level), "reached": _mean_share(estimates, at)}
            for at, level in enumerate(ready.levels[number])
        ],
    }


def _mean_share(estimates: Sequence[Estimate], at: int) -> float | None:
    """Of walks that reached a level, in the replications that came so far."""
    shares = [each.shares[at] for each in estimates if at < len(each.shares)]
    return sum(shares) / len(shares) if shares else None


def _score(study: Study, level: int) -> str:
    """What a level means: how far silences have come, or more."""
    if level >= FAILED_OVER:
        return "failed over"
    if level >= STARTED:
        return "started"
    return f"{100 * level / most_score(study.scenario.sentinel.quorum):.0f} %"


def _work(study: Study, done: Sequence[Replication], totals: Sequence[float]) -> dict[str, float | None]:
    """Hours simulated, and what crude simulation would need to know it as well.

    Its failovers are a Poisson process: a relative standard error of e takes 1 / e^2 of them. Losses come in bunches,
    and nothing is said of them.
    """
    error = float(np.std(totals, ddof=1)) / math.sqrt(len(totals))
    is_known = study.event == "needless" and error > 0
    hours = float(np.mean(totals)) / error**2 if is_known else None
    beginnings = sum(group.per_hour for group in study.groups)
    return {
        "simulated_h": sum(each.simulated_h for each in done),
        "crude_h": hours,
        "crude_cycles": hours * beginnings if hours is not None else None,
    }
