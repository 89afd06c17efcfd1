"""`hastudy availability`: how many nines does a set-up give, how well is that known, and what eats the error budget?

`states` says what may be away at one time and what comes next; `costs` simulates what each jump costs and `stalls` what
stalls cost; `rates` holds how often everything happens, `budget` puts it all together, `text` and `picture` show it.
`direct` simulates long courses of crashes and repairs as they come, to hold the composition against.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from model.laws import Floats
from study.availability import budget
from study.availability.budget import CAUSES, MINUTES_A_YEAR, Entry, Process, Weights
from study.availability.costs import RARER, Key, Simulator
from study.availability.rates import events, rates
from study.availability.stalls import needless_cost, needless_rate, short_stalls
from study.availability.states import DEPTH, Cluster, What, explore, jumps_from, recurrent
from study.tune.curve import Progress, Study
from study.tune.needless import LEVEL, Needless
from study.tune.runs import MEANING

SCHEMA = 1
"""Version of the JSON."""

SHOWN = (5, 50, 95, 99)
"""Quantiles of single years, in percent."""


def availability(study: Study, objective: float | None, progress: Progress, source: str = "assumed") -> dict[str, Any]:
    """Reckon the availability of a service.

    Parameters
    ----------
    study : Study
    objective : float, optional
        Wanted availability in percent.
    progress : callable
        Called with the done fraction and a short text.
    source : str
        Where the conditions are from.

    Returns
    -------
    dict
        All of it as JSON.
    """
    entries, process, censored = entries_of(study, progress)
    total = sum(entry.minutes for entry in entries.values())
    years = budget.single_years(entries, study.seed)
    return {
        "schema": SCHEMA,
        "scenario": study.scenario.name,
        "digest": study.scenario.digest,
        "seed": study.seed,
        "runs": study.runs,
        "level": LEVEL,
        "service": study.service,
        "service_meaning": MEANING[study.service],
        "down_after_ms": study.scenario.sentinel.down_after_ms,
        "conditions_from": source,
        "conditions": study.conditions.model_dump(by_alias=True, mode="json", exclude={"stall", "weights"}),
        "stalls": [{"of": each.of, "from": each.words, "per_year": round(each.per_year, 3)} for each in study.stalls],
        "availability_percent": _percent(total),
        "nines": _nines(total),
        "minutes_a_year": _row(total),
        "detection_minutes": _row(sum(entry.detect for entry in entries.values())),
        "budget": _budget(entries, total),
        "single_year_minutes": {f"p{q}": _round(np.quantile(years, q / 100, method="inverted_cdf")) for q in SHOWN},
        "degraded_hours": _round(float(process.degraded()[0]) * MINUTES_A_YEAR / 60),
        "states": len(process.states),
        "censored": round(censored, 4),
        "objective": _objective(objective, total, years),
    }


def entries_of(study: Study, progress: Progress, depth: int = DEPTH) -> tuple[dict[str, Entry], Process, float]:
    """The budget by cause, the process behind it, and the greatest share of outages that outlast their run."""
    simulator = Simulator(study.scenario, study.service, study.conditions, study.runs, study.seed)
    how_often = rates(study.conditions, study.seed)
    lasting = tuple(what for what in events(study.conditions) if not simulator.is_brief(what))
    cluster = Cluster.of(study.scenario)
    process = Process.of(cluster, *recurrent(*explore(cluster, lasting, depth)), how_often)
    keys = {jump: key for jump in process.jumps if (key := Key.of(cluster, jump, study.service))}
    blips = _blips(study, simulator, cluster)
    needless = Needless(study.scenario, study.stalls, study.runs, study.seed)
    wanted = (*keys.values(), *(key for _, key in blips))
    done = _all({key: partial(simulator.cost, key) for key in wanted} | _others(study, simulator, needless), progress)
    weights = Weights(study.runs, study.seed)
    entries = budget.compose(process, how_often, done, keys, weights)
    for what, key in blips:
        name = budget.cause(key.state, key.event)
        entries.setdefault(name, Entry()).add(how_often[what], done[key], weights)
    chance = np.random.default_rng([study.seed, 16])
    failovers = needless_rate(needless, study.scenario.sentinel.down_after_ms, chance)
    for name, per_year in (("switchover", how_often["switchover"]), ("needless", failovers)):
        entries.setdefault(name, Entry()).add(per_year, done[name], weights)
    entries["stall"] = budget.short([done[number] for number in range(len(study.stalls))], study.seed)
    censored = max((done[key].censored for key in wanted if key.event.what != "back"), default=0.0)
    return entries, process, censored


def _others(study: Study, simulator: Simulator, needless: Needless) -> dict[Any, Callable[[], Any]]:
    """What is simulated besides the jumps of the process: short stalls by their number, and two costs by their name."""
    scenario, service, runs, seed = study.scenario, study.service, study.runs, study.seed
    tasks: dict[Any, Callable[[], Any]] = {
        number: partial(short_stalls, scenario, service, stalls, runs // RARER, seed)
        for number, stalls in enumerate(study.stalls)
    }
    return tasks | {
        "switchover": simulator.switchover,
        "needless": partial(needless_cost, scenario, service, needless, runs, seed),
    }


def _blips(study: Study, simulator: Simulator, cluster: Cluster) -> list[tuple[What, Key]]:
    """Crashes that are over before anybody would call them one: what, and what stands for it, for each host."""
    found: list[tuple[What, Key]] = []
    for what in events(study.conditions):
        if simulator.is_brief(what):
            jumps = jumps_from(cluster, cluster.whole, (what,))
            keys = {jump.event: Key.of(cluster, jump, study.service, is_brief=True) for jump in jumps}
            found += [(what, key) for key in keys.values() if key]
    return found


def _all(tasks: Mapping[Any, Callable[[], Any]], progress: Progress) -> dict[Any, Any]:
    """Do everything on all cores."""
    done: dict[Any, Any] = {}
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for key, found in zip(tasks, pool.map(lambda task: task(), tasks.values()), strict=True):
            done[key] = found
            progress(len(done) / len(tasks), f"{len(done)} of {len(tasks)} simulations")
    finally:
        # After an interrupt, what has not begun need not be waited for.
        pool.shutdown(cancel_futures=True)
    return done


# --- as JSON ---------------------------------------------------------------------------------------------------------


def _budget(entries: Mapping[str, Entry], total: Floats) -> list[dict[str, Any]]:
    """A row for each cause that costs anything, the worst first."""
    rows = [
        {
            "cause": name,
            "meaning": CAUSES[name],
            "per_year": _round(entry.per_year[0]),
            "outage_s": _round(60 * entry.minutes[0] / entry.per_year[0]) if entry.per_year[0] else 0.0,
            "minutes": _row(entry.minutes),
            "detection_minutes": _round(entry.detect[0]),
            "share": _round(entry.minutes[0] / total[0]) if total[0] else 0.0,
        }
        for name, entry in entries.items()
        if entry.minutes.any()
    ]
    return sorted(rows, key=lambda row: -row["minutes"]["value"])


def _ends(draws: Floats) -> tuple[float, float]:
    """The interval; the value itself is always in it."""
    low, high = np.quantile(draws[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), float(draws[0])), max(float(high), float(draws[0]))


def _row(draws: Floats) -> dict[str, float]:
    low, high = _ends(draws)
    return {"value": _round(draws[0]), "low": _round(low), "high": _round(high)}


def _percent(minutes: Floats) -> dict[str, float]:
    low, high = _ends(minutes)
    value, least, most = (100 * (1 - each / MINUTES_A_YEAR) for each in (float(minutes[0]), high, low))
    return {"value": round(value, 7), "low": round(least, 7), "high": round(most, 7)}


def _nines(minutes: Floats) -> dict[str, float]:
    """-log10 of the unavailability: 4 is 99.99 %."""
    low, high = _ends(minutes)
    value, least, most = (-math.log10(max(each, 1e-9) / MINUTES_A_YEAR) for each in (float(minutes[0]), high, low))
    return {"value": round(value, 3), "low": round(least, 3), "high": round(most, 3)}


def _objective(percent: float | None, total: Floats, years: Floats) -> dict[str, Any] | None:
    """Whether the objective is kept: surely, surely not, or undecided."""
    if percent is None:
        return None
    allowed = (1 - percent / 100) * MINUTES_A_YEAR
    low, high = _ends(total)
    verdict = "kept" if high <= allowed else "exceeded" if low > allowed else "undecided"
    return {
        "percent": percent,
        "allowed_minutes": _round(allowed),
        "left_minutes": _round(allowed - float(total[0])),
        "verdict": verdict,
        "single_years_kept": _round(float((years <= allowed).mean())),
    }


def _round(value: Any) -> float:
    return float(f"{float(value):.4g}")
