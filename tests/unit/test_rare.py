"""Rare events of the simulated cluster: what is disturbed, copies of its state, rates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model import scenario as scenarios
from model.bounds import group_of, start
from model.effects import DELIVER_PACKETS, DROP_PACKETS, PAUSE
from model.errors import ScenarioError, UsageError
from sim.disturbances import Cause, Exponential, Strike
from sim.rare_cycles import ClusterWalk, most_score
from sim.rare_kernel import FAILED_OVER
from sim.splitting import interval
from study.rare.causes import groups_of
from study.rare.estimate import Study, crude, prepare, replications
from study.rare.summary import summary
from study.tune.inputs import check, check_tunable
from study.tune.runs import without_nodes

ROOT = Path(__file__).parents[2]
SEED = 5
STALLS = scenarios.load(ROOT / "scenarios/stalls/stall_1_2_times_the_delay.toml")
WITH_NODES = scenarios.load(ROOT / "scenarios/host_loss/primary_host_vanishes.toml")


def conditions(*stalls):
    return check({"schema": 1, "stall": list(stalls)}, "test")


def exponential(of, per_year, mean_ms):
    return {"of": of, "law": "exponential", "per_year": per_year, "mean_ms": mean_ms}


def study(*stalls, event="needless", effort=60, scenario=STALLS):
    return Study(scenario, groups_of(scenario, conditions(*stalls), Path()), event, effort, SEED)


def silent(share, text):
    """No progress."""


def walk_of(*stalls):
    """Cycles that begin with any of these."""
    causes = [cause for group in study(*stalls).groups for cause in group.causes]
    return ClusterWalk(STALLS, causes, range(len(causes)), 1, np.random.default_rng(SEED), 0.3)


def saved_at(walk, level):
    """A state of the first cycle that gets so far."""
    walk.begin()
    while walk.climb(level) < level:
        walk.begin()
    return walk.save()


# --- causes ----------------------------------------------------------------------------------------------------------


def test_each_link_and_each_other_host_is_a_cause_of_its_own():
    stalls = (exponential("link", 8766, 300), exponential("other-host", 8766, 300), exponential("redis", 0, 300))
    link, other = study(*stalls).groups
    assert [cause.name for cause in link.causes] == ["link host2", "link host3"]
    assert link.per_hour == pytest.approx(2)
    begins, ends = link.causes[1].pairs[1]
    assert (begins.report, begins.host, begins.to, begins.value) == (DROP_PACKETS, 2, 1, 100)
    assert (ends.report, ends.host, ends.to) == (DELIVER_PACKETS, 2, 1)
    assert [(pair[0].report, pair[0].host) for pair in other.causes[0].pairs] == [(PAUSE, 1)] * 3


def test_nothing_to_disturb_is_refused():
    with pytest.raises(UsageError, match="nothing is ever disturbed"):
        study(exponential("redis", 0, 300))


def test_tune_refuses_what_has_no_closed_form():
    with pytest.raises(ScenarioError, match=r"stall.1.of is 'link'"):
        check_tunable(conditions(exponential("redis", 1, 1), exponential("link", 1, 1)), "file.toml")


def test_measured_stalls_replace_those_of_redis(tmp_path):
    (tmp_path / "stalls.csv").write_text("# observed_hours = 10\nlength_ms\n100\n300\n")
    given = conditions(exponential("redis", 500, 1), exponential("host", 1, 1))
    host, redis = groups_of(STALLS, given, tmp_path, [tmp_path / "stalls.csv"])
    assert (host.of, redis.of) == ("host", "redis")
    assert redis.per_hour == pytest.approx(0.2)
    assert redis.causes[0].lengths.rest_ms(150, 0.5) == 150


# --- cycles ----------------------------------------------------------------------------------------------------------


def test_a_copy_goes_on_the_same_in_another_world():
    """All that the future depends on is saved: what another cycle has left there does not matter."""
    first = walk_of(exponential("redis", 500, 3000), exponential("link", 500, 3000))
    saved = saved_at(first, 150)
    other = walk_of(exponential("redis", 500, 3000), exponential("link", 500, 3000))
    for _ in range(3):
        other.begin()
        other.climb(FAILED_OVER)
    ends = []
    for walk in (first, other, other):
        walk._run, walk._disturbances._chance = 1000, np.random.default_rng(9)
        walk.resume(saved)
        ends.append((walk.climb(FAILED_OVER), walk._now_us, walk.weight))
    assert ends[0] == ends[1] == ends[2]


def test_copies_part():
    walk = walk_of(exponential("redis", 500, 3000))
    saved, ends = saved_at(walk, 250), set()
    for _ in range(6):
        walk.resume(saved)
        walk.climb(FAILED_OVER)
        ends.add(walk._now_us)
    assert len(ends) > 3


def test_a_short_stall_leads_nowhere_and_an_endless_one_to_a_failover():
    for mean_ms, least, most in ((1, 0, 30), (1e9, FAILED_OVER, FAILED_OVER)):
        walk = walk_of(exponential("redis", 500, mean_ms))
        walk.begin()
        assert least <= walk.climb(FAILED_OVER) <= most


def test_levels_rise_to_the_goal():
    (levels,) = prepare(study(exponential("redis", 500, 300)), silent).levels
    assert list(levels) == sorted(set(levels)) and levels[-1] == FAILED_OVER
    assert levels[-2] <= most_score(2)


# --- rates -----------------------------------------------------------------------------------------------------------


def estimates(asked, count, group=0):
    ready = prepare(asked, silent)
    return [each.estimates[group].value for each in replications(asked, ready, count, 1)]


def test_one_kind_of_stall_against_the_closed_form():
    """A stall of 140 ms on average that outlasts a delay of 2 s: 1e-9 an hour."""
    mean_ms = 140
    exact = start(group_of(STALLS, "frozen")).expect(lambda points: np.exp(-points / mean_ms))
    mean, low, high = interval(estimates(study(exponential("redis", 500, mean_ms), effort=100), 15), 0.999)
    assert exact * 500 / 8766 < 2e-9
    assert low < exact < high, f"seed {SEED}: {mean} in {low}..{high}, exact {exact}"


def test_two_links_that_must_fail_together_against_crude_simulation():
    asked = study(exponential("link", 3e6, 1000), exponential("redis", 1e5, 200), effort=40)
    mean, low, high = interval(estimates(asked, 12), 0.99)
    found, error = crude(asked, 0, 4000, 1)
    assert found < 0.05 and error < found / 2, f"{found} +- {error}"
    assert low - 2.6 * error < found < high + 2.6 * error, f"seed {SEED}: {low}..{high}, crude {found} +- {error}"


def test_losses_against_crude_simulation():
    sentinel = WITH_NODES.sentinel.model_copy(update={"down_after_ms": 2000})
    scenario = WITH_NODES.model_copy(update={"client": (), "sentinel": sentinel})
    asked = study(exponential("redis", 500, 900), event="lost", scenario=scenario, effort=40)
    mean, low, high = interval(estimates(asked, 10), 0.99)
    found, error = crude(asked, 0, 1500, 1)
    assert error < found / 2, f"{found} +- {error}"
    assert low - 2.6 * error < found < high + 2.6 * error, f"seed {SEED}: {low}..{high}, crude {found} +- {error}"


def test_the_rate_is_that_of_alternating_rest_and_cycles():
    asked = replace(study(exponential("redis", 500, 2000)), scenario=without_nodes(STALLS))
    ready = prepare(asked, silent)
    done = list(replications(asked, ready, 3, 1))
    data = summary(asked, ready, done, 100.0)
    rate, busy_h = 500 / 8766, ready.busy_h[0]
    p = np.mean([each.estimates[0].value for each in done])
    assert data["rest"] == pytest.approx(1 / (1 + rate * busy_h))
    assert data["per_hour"]["value"] == pytest.approx(rate * p / (1 + rate * busy_h))
    assert data["per_year"]["high"] == pytest.approx(8766 * data["per_hour"]["high"])
    assert data["work"]["crude_h"] > 0
    assert data["causes"][0]["levels"][-1]["score"] == "failed over"


def test_any_number_of_processes_gives_the_same():
    asked = study(exponential("redis", 500, 500), effort=20)
    ready = prepare(asked, silent)
    assert list(replications(asked, ready, 4, 1)) == list(replications(asked, ready, 4, 2))


def test_causes_are_what_they_are_called():
    cause = Cause("x", 3600, Exponential(1), ((Strike(1, 0), Strike(2, 0)),))
    assert cause.per_us == pytest.approx(1e-6)
