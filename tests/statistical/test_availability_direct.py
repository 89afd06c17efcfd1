"""The composition against long courses of crashes and repairs, simulated whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.bounds import YEAR_MS
from model.scenario import load
from study.availability import entries_of
from study.availability.budget import MINUTES_A_YEAR, Process
from study.availability.direct import simulate
from study.availability.rates import rates
from study.availability.states import Cluster, explore
from study.tune.curve import Study
from study.tune.inputs import check
from study.tune.runs import without_nodes

FILE = Path(__file__).parents[2] / "scenarios/baseline/host_vanishes.toml"

CYCLES, SEED = 900, 20_261_123
LEVEL = 0.998
"""A right composition fails one such test of 500 by chance."""

BETWEEN_S, REPAIR_S = 2_500, 150
"""Mean time between crashes of each thing, and until it is back: six in a hundred are away at any time."""

KINDS = ("host", "redis", "sentinel")
DEPTH = 4


@pytest.fixture(scope="module")
def study():
    """Three hosts; failovers are short against repairs, though these are short themselves."""
    scenario = without_nodes(load(FILE))
    sentinel = scenario.sentinel.model_copy(update={"down_after_ms": 1000, "failover_timeout_ms": 3000})
    probe = scenario.probe.model_copy(update={"write_period_ms": 200})
    crashes = dict.fromkeys(KINDS, YEAR_MS / 1000 / BETWEEN_S)
    repairs = dict.fromkeys(("host_repair_h", "redis_repair_h", "repair_h"), REPAIR_S / 3600)
    conditions = check({"crashes_per_year": {**crashes, **repairs}, "stall": []}, "conditions.toml")
    hasty = scenario.model_copy(update={"sentinel": sentinel, "probe": probe})
    return Study(hasty, conditions, [], "redis_write", 80, SEED)


@pytest.fixture(scope="module")
def composed(study):
    entries, _, _ = entries_of(study, lambda share, text: None, DEPTH)
    return sum(entry.minutes[0] for entry in entries.values()) / MINUTES_A_YEAR


@pytest.mark.slow
@pytest.mark.parametrize("is_fixed", [False, True], ids=["exponential repairs", "fixed repairs"])
def test_composed_and_simulated_unavailability_agree(is_fixed, study, composed):
    """The law of a repair's time matters by its mean alone, so both are as the one composition says."""
    direct = simulate(study.scenario, study.conditions.crashes_per_year, CYCLES, SEED, is_fixed)
    value, low, high = direct.unavailability(LEVEL, SEED)
    assert direct.too_long <= CYCLES / 100 and direct.overlaps > 0.2
    assert low < composed < high, (SEED, composed, value, low, high)
    # It would be noticed if one sentinel more, or less, were needed.
    cluster = Cluster.of(study.scenario)
    assert cluster.votes == 2
    for votes in (1, 3):
        without_primary = helpless(study, replace(cluster, votes=votes))
        assert not low < without_primary < high, (SEED, votes, without_primary)


def helpless(study: Study, cluster: Cluster) -> float:
    """Share of time without a primary."""
    found = Process.of(cluster, *explore(cluster, KINDS, DEPTH), rates(study.conditions, SEED))
    return sum(found.helpless(name)[0] for name in ("no_sentinels", "no_replica"))
