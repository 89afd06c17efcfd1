"""Closed forms against the engine: no run outside the bounds, and probabilities within binomial error.

Closed forms and machines share constants and nothing else. A run outside its bounds, or a probability that is off,
means that the derivation or the machine is wrong.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from model.bounds import KINDS, group_of, laws, milestones, p_failover, p_suspected, struck
from model.measures import MILESTONES
from model.scenario import Link, Scenario
from sim import batch, simulate

RUNS, SEED = 400, 20_261_101
STALL_RUNS = 4_000
LEVEL = 1e-4
"""A right closed form fails one of so many cells by chance; there are some 40 of them."""

SETTINGS = [(1000, 2, 0, 0), (2000, 1, 0, 0), (10_000, 2, 0, 0), (30_000, 3, 0, 0), (5000, 2, 20_000, 0),
            (3000, 2, 5000, 10_000), (300, 2, 0, 0)]  # fmt: skip
"""Delay in ms, quorum, one-way delay and jitter in µs (0: as the file says)."""


def variant(scenario: Scenario, delay_ms: int, quorum: int, way_us: int = 0, jitter_us: int = 0) -> Scenario:
    """Another delay, quorum and network; no registrar nodes, which cost time and change nothing here."""
    hosts = tuple(host.model_copy(update={"registrar": False}) for host in scenario.host)
    sentinel = scenario.sentinel.model_copy(update={"down_after_ms": delay_ms, "quorum": quorum})
    links = (
        (Link.model_validate({"from": "*", "to": "*", "delay_us": way_us, "jitter_us": jitter_us}),) if way_us else ()
    )
    run = scenario.run.model_copy(update={"horizon_ms": delay_ms + 6_000})
    return scenario.model_copy(update={"host": hosts, "sentinel": sentinel, "link": links, "run": run})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_no_run_is_outside_its_bounds(scenario: Scenario, kind, setting) -> None:
    case = struck(variant(scenario, *setting), kind)
    found = batch.outcomes(case, SEED, 0, RUNS)
    won = found[found["lost_election"] == 0]
    assert len(won) > RUNS / 2
    ranges = milestones(case, kind)
    seen = {name for name in MILESTONES if (won[name] >= 0).any()}
    if "switch_last" not in ranges:
        seen -= {"switch_last"}  # the delay is too short
    assert seen == set(ranges)
    for name in seen:
        times = won[name][won[name] >= 0] / 1000
        outside = times[(times < ranges[name].low_ms) | (times > ranges[name].high_ms)]
        assert not len(outside), f"{name}: {outside[:5]} outside {ranges[name]}; seed {SEED}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quorum", [1, 2])
def test_means_are_those_of_the_laws(scenario: Scenario, kind, quorum) -> None:
    case = struck(variant(scenario, 3000, quorum), kind)
    found = batch.outcomes(case, SEED, 0, 2_000)
    won = found[found["lost_election"] == 0]
    for name, law in laws(case, kind).items():
        times = won[name][won[name] >= 0] / 1000
        error = stats.norm.isf(LEVEL / 2) * times.std() / np.sqrt(len(times))
        # Besides chance: up to 0.7 ms for each sum on the lattice, and the rivals that split votes take with them.
        assert times.mean() == pytest.approx(law.mean_ms, abs=error + 5), f"{name}, seed {SEED}"


STALLS = [("frozen", 2, 3), ("frozen", 3, 3), ("frozen", 1, 3), ("host-frozen", 2, 3), ("frozen", 3, 5),
          ("frozen", 4, 5)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", STALLS, ids=str)
@pytest.mark.parametrize("beyond_ms", [150, 400, 900])
def test_failovers_after_a_stall_are_as_frequent_as_the_closed_form_says(scenario: Scenario, case, beyond_ms) -> None:
    kind, quorum, sentinels = case
    more = tuple(
        scenario.host[-1].model_copy(update={"name": f"more{n}", "redis": False}) for n in range(sentinels - 3)
    )
    wide = scenario.model_copy(update={"host": (*scenario.host, *more)})
    stall = struck(variant(wide, 2000, quorum), kind, 2000 + beyond_ms)
    found = batch.outcomes(stall, SEED, 0, STALL_RUNS)
    count = int((found["failover"] == 1).sum())
    expected = float(p_failover(group_of(stall, kind), 2000.0 + beyond_ms))
    lost = int(found["lost_election"].sum())
    assert within(count + lost, STALL_RUNS, expected) or within(count, STALL_RUNS, expected), (
        f"{count} of {STALL_RUNS}, {lost} elections lost, expected {expected:.4f}; seed {SEED}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("way_us", [0, 15_000])
@pytest.mark.parametrize("beyond_ms", [60, 250, 700])
def test_a_stall_is_seen_by_as_many_sentinels_as_the_closed_form_says(scenario: Scenario, way_us, beyond_ms) -> None:
    """With a quorum of all, nobody fails over before the last one has had its chance to see the stall."""
    length_ms = 2000 + beyond_ms
    stall = struck(variant(scenario, 2000, 3, way_us), "frozen", length_ms)
    group = group_of(stall, "frozen")
    traces = simulate(stall, 1_500, SEED, jobs=1)
    for index, host in enumerate(stall.sentinel_hosts):
        count = sum(
            any(event.event == "+sdown" and event.host == host and event.about == "host1" for event in trace.events)
            for trace in traces
        )
        expected = float(p_suspected(group, float(length_ms), index))
        assert within(count, len(traces), expected), f"{host}: {count}, expected {expected:.4f}; seed {SEED}"


def within(count: int, n: int, share: float) -> bool:
    """True unless so many of n would be a rare chance; 0.002 for what the lattice does to a probability."""
    share = min(max(share, 0.0), 1.0)
    low = stats.binom.cdf(count, n, max(share - 0.002, 0.0))
    high = stats.binom.sf(count - 1, n, min(share + 0.002, 1.0))
    return min(low, high) > LEVEL / 2 or abs(count / n - share) <= 0.002
