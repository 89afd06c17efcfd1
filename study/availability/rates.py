"""How often everything happens: values, and draws of what is not known for sure.

Crashes that were counted, k in T host-years, have Jeffreys' posterior: gamma with shape k + 1/2 over T. Rates that are
given as such, and times of repair, are taken at their word.
"""

from __future__ import annotations

import numpy as np

from model.bounds import HOUR_MS, YEAR_MS
from model.laws import Floats
from study.availability.states import What
from study.tune.inputs import Conditions

DRAWS = 500
"""Draws of everything that is not known for sure. Kind: assumed."""

HOURS_A_YEAR = YEAR_MS / HOUR_MS


def rates(conditions: Conditions, seed: int) -> dict[str, Floats]:
    """Rates a year by name: first the value, then `DRAWS` draws.

    Of crashes (of one host or process), of repairs (``..._repair``, ``work_end``), and of what is planned.
    """
    crashes, counted, planned = conditions.crashes_per_year, conditions.crashes_counted, conditions.planned
    chance = np.random.default_rng([seed, 11])
    found = {name: np.full(DRAWS + 1, getattr(crashes, name)) for name in ("host", "redis", "frozen", "sentinel")}
    for name, count in counted.counts().items():
        found[name][1:] = chance.gamma(count + 0.5, 1 / counted.years, DRAWS)
    hours = {"host_repair": crashes.host_repair_h, "redis_repair": crashes.redis_repair_h,
             "repair": max(crashes.repair_h, 1e-6), "work_end": planned.work_h}  # fmt: skip
    found |= {name: np.full(DRAWS + 1, HOURS_A_YEAR / each) for name, each in hours.items()}
    return found | {"work": np.full(DRAWS + 1, planned.work), "switchover": np.full(DRAWS + 1, planned.switchovers)}


def events(conditions: Conditions) -> tuple[What, ...]:
    """What happens at all."""
    crashes, planned = conditions.crashes_per_year, conditions.planned
    happens = {"host": crashes.host, "redis": crashes.redis, "frozen": crashes.frozen, "sentinel": crashes.sentinel,
               "work": planned.work}  # fmt: skip
    return tuple(name for name, rate in happens.items() if rate > 0)
