"""Two configurations of one epoch after failing back: the simulation shows it, and so do the stored real runs."""

from __future__ import annotations

import pytest

from model.scenario import load
from model.trace import Trace
from sim import simulate
from study import failing_back, stored

SEED = 7
RUNS = 60


@pytest.fixture(scope="module")
def simulated() -> list[Trace]:
    return list(simulate(failing_back.real_scenario(), RUNS, SEED))


def test_the_simulation_shows_it(simulated: list[Trace]) -> None:
    found = failing_back.summary(simulated)
    assert found["clash"]["k"] >= RUNS - 1, f"seed {SEED}: {found}"
    assert found["two_writable_s"]["p50"] > 5 and found["nobody_writable_s"]["p50"] > 25


def test_the_late_sentinel_names_the_promoted_one_and_the_others_the_one_that_came_back(simulated: list[Trace]) -> None:
    clash = failing_back.clash_of(simulated[0])
    assert clash and (clash.named, clash.other) == ("host2", "host1"), f"seed {SEED}"


def test_real_runs_are_stored_and_agree_with_the_simulation(simulated: list[Trace]) -> None:
    real = failing_back.summary(stored.runs(failing_back.real_scenario(), failing_back.RUNS))
    sim = failing_back.summary(simulated)
    assert real["clash"]["n"] >= 5
    assert real["clash"]["high"] >= sim["clash"]["low"], f"seed {SEED}: {real['clash']} {sim['clash']}"
    assert real["clash"]["k"] >= 0.9 * real["clash"]["n"]
    assert real["two_writable_s"]["p50"] == pytest.approx(sim["two_writable_s"]["p50"], abs=2)
    assert real["nobody_writable_s"]["p50"] == pytest.approx(sim["nobody_writable_s"]["p50"], abs=6)


def test_no_clash_when_the_second_server_dies_after_the_first_failover_has_ended() -> None:
    scenario = load(failing_back.SCENARIO, ["server.diskless_sync_delay_ms=0", "fault.4.at_ms=16000"])
    assert failing_back.summary(simulate(scenario, 20, SEED))["clash"]["k"] == 0


@pytest.mark.parametrize("variant", failing_back.VARIANTS)
def test_every_stored_variant_shows_it(variant: str) -> None:
    real = failing_back.summary(stored.runs(failing_back.real_scenario(variant), failing_back.RUNS))
    assert real["clash"]["n"] >= 2 and real["clash"]["k"] == real["clash"]["n"], real


def test_the_quiet_one_stays_and_demotes_nobody() -> None:
    found = failing_back.summary(simulate(failing_back.real_scenario("quiet"), 20, SEED))
    assert found["healed"]["k"] == 0 and found["demoted"] == {"nobody": found["clash"]["k"]}, f"seed {SEED}: {found}"
