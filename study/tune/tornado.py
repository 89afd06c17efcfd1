"""What every other knob would buy, in seconds of outage: one change at a time, at the delay that is set now.

The same runs are simulated with and without the change, so the difference is known much better than either outage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np

from model.bounds import group_of
from model.policies import PolicyName
from model.scenario import MAX_HOSTS, Host, Scenario
from study.tune.choice import Goal
from study.tune.curve import Progress, Setting, Study, counts_of, many
from study.tune.inputs import Crashes
from study.tune.needless import LEVEL, Needless

SECTIONS = {
    "sentinel.failover_timeout_ms": (0.25, 1, 9), "registrar.info_period_ms": (0.1, 1, 6),
    "registrar.wait_poll_ms": (0.1, 1, 10),
}  # fmt: skip
"""Factors that a time is changed by: assumed."""

VALUES = {"server.min_replicas_to_write": (0, 1), "dns.ttl_s": (60, 3600), "registrar.follow_sentinel": (False, True),
          "registrar.policy": get_args(PolicyName)}  # fmt: skip
"""Values that are tried: assumed."""


_ASKS_SENTINELS = ("sentinel.quorum", "sentinels")
"""Knobs that change what a stall leads to."""


def variants(scenario: Scenario) -> Iterator[tuple[str, Any, Any, Scenario]]:
    """Yield (key, present value, other value, scenario) for every change of one knob."""
    sentinels = len(scenario.sentinel_hosts)
    for quorum in range(1, sentinels + 1):
        yield from _changed(scenario, "sentinel.quorum", quorum)
    for key, factors in SECTIONS.items():
        for factor in factors:
            yield from _changed(scenario, key, max(100, round(factor * _value(scenario, key))))
    for key, values in VALUES.items():
        for value in values:
            yield from _changed(scenario, key, value)
    if len(scenario.host) + 2 <= MAX_HOSTS:
        more = tuple(Host(name=f"witness{n}", redis=False, registrar=False) for n in (1, 2))
        wider = scenario.model_copy(update={"host": (*scenario.host, *more)})
        yield "sentinels", sentinels, sentinels + 2, wider
        yield from _majority(wider, sentinels)


def _majority(wider: Scenario, before: int) -> Iterator[tuple[str, Any, Any, Scenario]]:
    """More sentinels with the quorum raised to their majority."""
    count = len(wider.sentinel_hosts)
    quorum = count // 2 + 1
    for _, _, _, scenario in _changed(wider, "sentinel.quorum", quorum):
        yield "sentinels", before, f"{count}, quorum {quorum}", scenario


def _value(scenario: Scenario, key: str) -> Any:
    section, name = key.split(".")
    found = getattr(scenario, section)
    return getattr(found.resolved if section == "registrar" and hasattr(found.resolved, name) else found, name)


def _changed(scenario: Scenario, key: str, value: Any) -> Iterator[tuple[str, Any, Any, Scenario]]:
    section, name = key.split(".")
    present = scenario.registrar.policy if key == "registrar.policy" else _value(scenario, key)
    if value != present and _is_heard(scenario, section):
        changed = getattr(scenario, section).model_copy(update={name: value})
        yield key, present, value, scenario.model_copy(update={section: changed})


def _is_heard(scenario: Scenario, section: str) -> bool:
    """A registrar's settings do nothing without nodes, the zone's nothing without phones."""
    if section == "dns":
        return bool(scenario.client)
    return section != "registrar" or any(host.registrar for host in scenario.host)


def tornado(study: Study, goal: Goal, needless: Needless, progress: Progress, done: float) -> list[dict[str, Any]]:
    """All changes, those first that change the outage most.

    Parameters
    ----------
    study : Study
    goal : Goal
    needless : Needless
        Of the scenario as it is.
    progress : callable
    done : float
        Where progress stands.

    Returns
    -------
    list of dict
        ``knob``, ``present``, ``other``; ``gain_s`` (above 0: a shorter outage) with ``low_s`` and ``high_s``;
        ``needless`` a year; ``helpless``: crashes a year that nobody would be left to
        fail over from; ``censored``.
    """
    changes = list(variants(study.scenario))
    settings = many(study, [study.scenario, *(scenario for *_, scenario in changes)], progress, done, 1.0)
    counts = counts_of(study)
    before = settings[0].outages(counts)[goal.outage]
    pairs = zip(changes, settings[1:], strict=True)
    rows = [_row(study, goal, change, setting, before, counts, needless) for change, setting in pairs]
    return sorted(rows, key=lambda row: -abs(row["gain_s"]))


def _row(study: Study, goal: Goal, change: tuple[str, Any, Any, Scenario], setting: Setting, before: Any,
         counts: Any, needless: Needless) -> dict[str, Any]:  # fmt: skip
    knob, present, other, scenario = change
    gains = before - setting.outages(counts)[goal.outage]
    low, high = np.quantile(gains[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if knob in _ASKS_SENTINELS:
        needless = Needless(scenario, study.stalls, study.runs, study.seed)
    rate = needless.at(scenario.sentinel.down_after_ms)
    return {
        "knob": knob,
        "present": present,
        "other": other,
        "gain_s": round(float(gains[0]), 3),
        "low_s": round(float(min(low, gains[0])), 3),
        "high_s": round(float(max(high, gains[0])), 3),
        "needless": float(f"{rate.per_year:.4g}"),
        "helpless": float(f"{helpless(scenario, study.conditions.crashes_per_year):.4g}"),
        "censored": round(setting.censored, 4),
    }


def helpless(scenario: Scenario, crashes: Crashes) -> float:
    """Crashes a year that come while too few sentinels are left to fail over.

    Each sentinel is dead, on its own, for a share of time: its crashes a year times the time of repair. The crash takes
    the one on the primary's host with it when it takes the host.
    """
    dead = min(1.0, crashes.sentinel * crashes.repair_h / 8766)
    return sum(rate * _too_few(group_of(scenario, kind), dead) for kind, rate in crashes.by_kind().items())


def _too_few(group: Any, dead: float) -> float:
    from scipy import stats

    return float(stats.binom.cdf(group.votes - 1, group.live, 1 - dead))
