"""Availability: states follow Sentinel's rules, budgets are those made by hand, doubt is what counts leave."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from model.errors import ScenarioError
from model.scenario import load
from study.availability import availability, budget
from study.availability.budget import MINUTES_A_YEAR, Entry, Process, Weights, compose
from study.availability.costs import Cost, Key, Simulator, see
from study.availability.rates import DRAWS, HOURS_A_YEAR, rates
from study.availability.stalls import ShortStalls, short_stalls
from study.availability.states import (
    DEAD,
    LOST,
    MUTE,
    PRIMARY,
    Cluster,
    Event,
    explore,
    is_writable,
    jumps_from,
    recurrent,
    things,
)
from study.tune.curve import Study
from study.tune.inputs import check, stalls_of
from study.tune.needless import with_delay
from study.tune.runs import crashed, observe, without_nodes

SEED = 3
ROOT = Path(__file__).parents[2]


def scenario(name: str):
    return load(ROOT / f"scenarios/{name}.toml")


def silent(share: float, text: str) -> None:
    """Progress that nobody sees."""


THREE = Cluster.of(scenario("host_loss/primary_host_vanishes"))


# --- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "event", "effect", "target"),
    [
        # The primary's host: two sentinels of three are enough, and a replica takes over.
        ((PRIMARY, 0, 0), Event("host", 0), "failover", (PRIMARY, LOST, 0)),
        # With another sentinel dead they are not.
        ((PRIMARY, MUTE, 0), Event("host", 0), "helpless", (PRIMARY | LOST, MUTE, 0)),
        # Of a killed process the sentinel beside it lives on.
        ((PRIMARY | MUTE, 0, 0), Event("redis", 0), "failover", (PRIMARY, DEAD | MUTE, 0)),
        ((PRIMARY | MUTE, MUTE, 0), Event("redis", 0), "helpless", (PRIMARY | MUTE | DEAD, MUTE, 0)),
        # Enough sentinels, and nobody to promote.
        ((PRIMARY, DEAD, DEAD), Event("frozen", 0), "helpless", (PRIMARY | DEAD, DEAD, DEAD)),
        # Another host: nothing happens to the primary.
        ((PRIMARY, 0, 0), Event("host", 2), "", (PRIMARY, LOST, 0)),
        # The lost host comes back to a primary that nobody could replace: the failover comes now.
        ((PRIMARY | LOST, LOST, 0), Event("back", 1, LOST), "failover", (PRIMARY, LOST, 0)),
        ((PRIMARY | LOST, LOST, 0), Event("back", 0, LOST), "resumed", (PRIMARY, LOST, 0)),
    ],
)
def test_jumps_follow_the_rules_of_sentinel(state, event, effect, target):
    found = [jump for jump in jumps_from(THREE, state, ("host", "redis", "frozen", "sentinel")) if jump.event == event]
    assert {(jump.effect, jump.target) for jump in found} == {(effect, THREE.ordered(target))}
    assert sum(jump.probability for jump in found) == pytest.approx(1)


def test_an_arbiter_is_not_promoted_and_priority_decides():
    arbiter = Cluster.of(scenario("topology/arbiter_host_vanishes"))
    assert arbiter.candidates(arbiter.whole) == [1 - next(h for h, b in enumerate(arbiter.whole) if b & PRIMARY)]
    whole = scenario("host_loss/primary_host_vanishes")
    hosts = (whole.host[0], whole.host[1].model_copy(update={"replica_priority": 0}), whole.host[2])
    cluster = Cluster.of(whole.model_copy(update={"host": hosts}))
    assert cluster.candidates(cluster.whole) == [2]
    assert cluster.alike == (0, 1, 0)
    hosts = (whole.host[0], whole.host[1].model_copy(update={"replica_priority": 50}), whole.host[2])
    cluster = Cluster.of(whole.model_copy(update={"host": hosts}))
    assert cluster.candidates(cluster.whole) == [1]


def test_of_two_sentinels_none_may_be_missing():
    two = Cluster.of(scenario("baseline/two_host_vanishes"))
    effects = {jump.event.what: jump.effect for jump in jumps_from(two, two.whole, ("host", "redis"))
               if jump.event.host == 0}  # fmt: skip
    assert effects == {"host": "helpless", "redis": "failover"}


def test_states_that_are_never_seen_again_are_left_out():
    whole = scenario("host_loss/primary_host_vanishes")
    hosts = (whole.host[0].model_copy(update={"replica_priority": 0}), *whole.host[1:])
    cluster = Cluster.of(whole.model_copy(update={"host": hosts}))
    states, jumps = recurrent(*explore(cluster, ("redis",)))
    assert cluster.whole not in states and all(not state[0] & PRIMARY for state in states if is_writable(state))
    assert {jump.source for jump in jumps} <= set(states)


def test_work_is_begun_only_while_nothing_is_away():
    _, jumps = explore(THREE, ("host", "work"))
    assert all(not things(jump.source) for jump in jumps if jump.event.what == "work")
    assert {jump.effect for jump in jumps if jump.event.what == "work"} == {"switchover", ""}


# --- composition -----------------------------------------------------------------------------------------------------


def composed(conditions: dict, cost_s: float, kinds: tuple[str, ...]) -> tuple[dict[str, Entry], Process]:
    """All events cost the same; nothing is simulated."""
    checked = check({**conditions, "stall": []}, "conditions.toml")
    how_often = rates(checked, SEED)
    process = Process.of(THREE, *recurrent(*explore(THREE, kinds)), how_often)
    keys = {jump: key for jump in process.jumps if (key := Key.of(THREE, jump, "redis_write"))}
    same = np.full(10, cost_s)
    cost = Cost(same, same * 0.9, 0.0, np.ones(10))
    costs = {key: cost if key.event.what != "back" else cost.less(cost_s) for key in keys.values()}
    return compose(process, how_often, costs, keys, Weights(10, SEED)), process


def test_one_kind_of_crash_is_one_minus_rate_times_outage():
    """Processes are back within a second: never two at a time, so U = r m."""
    given = {"crashes_per_year": {"host": 0, "redis": 12, "sentinel": 0, "redis_repair_h": 1 / 3600}}
    entries, _ = composed(given, 7.5, ("redis",))
    assert entries["redis"].minutes[0] == pytest.approx(12 * 7.5 / 60, rel=1e-5)
    assert entries["redis"].detect[0] == pytest.approx(0.9 * 12 * 7.5 / 60, rel=1e-5)


def test_two_lost_hosts_of_three_are_helpless_as_long_as_two_of_three_says():
    """Of three hosts, each away for a share a of time, two are away for 3 a^2 (1 - a), three for a^3.

    The primary is on one of the two that are up before the second crash: half of that time is helpless for small a.
    """
    given = {"crashes_per_year": {"host": 0.5, "redis": 0, "sentinel": 0, "host_repair_h": 24}}
    entries, process = composed(given, 0.0, ("host",))
    odds = 0.5 * 24 / HOURS_A_YEAR
    away = odds / (1 + odds)
    counts = np.array([len(things(state)) for state in process.states])
    for count in range(4):
        expected = math.comb(3, count) * away**count * (1 - away) ** (3 - count)
        assert process.share[0, counts == count].sum() == pytest.approx(expected, rel=1e-9)
    assert entries["no_sentinels"].minutes[0] / MINUTES_A_YEAR == pytest.approx(1.5 * away**2, rel=0.01)


def test_rates_that_were_counted_are_drawn_and_others_are_not():
    checked = check({"crashes_counted": {"years": 15, "host": 3}}, "conditions.toml")
    found = rates(checked, SEED)
    assert found["host"][0] == pytest.approx(3.5 / 15)
    assert stats.kstest(found["host"][1:], stats.gamma(3.5, scale=1 / 15).cdf).pvalue > 0.01, SEED
    assert np.ptp(found["redis"]) == 0 and len(found["redis"]) == DRAWS + 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"crashes_counted": {"host": 3}}, ["crashes_counted.years is missing", "3 hosts watched for 5 years are 15"]),
        ({"crashes_counted": {"years": 5, "host": -1}}, ["crashes_counted.host is -1"]),
        ({"crashes_counted": {"years": math.nan}}, ["crashes_counted.years is nan"]),
        ({"crashes_counted": {"years": 5, "host": 1}, "crashes_per_year": {"host": 1}}, ["given beside"]),
        ({"crashes_per_year": {"host_repair_h": 0}}, ["host_repair_h is 0", "greater than 0"]),
        ({"planned": {"work": -1}}, ["planned.work is -1"]),
        ({"planned": {"holiday": 1}}, ["planned.holiday is unknown"]),
    ],
)
def test_conditions_that_cannot_be_are_refused(data, words):
    with pytest.raises(ScenarioError) as refused:
        check(data, "conditions.toml")
    for word in ["conditions.toml", "hint:", *words]:
        assert word in str(refused.value)


def test_single_years_are_a_compound_poisson_sum():
    """Ten a year, of 30 s or 90 s alike often: mean 10 minutes, variance 10 E[S^2]."""
    entry = Entry(samples=[(10.0, np.array([30.0, 90.0]))])
    years = budget.single_years({"redis": entry}, SEED)
    assert years.mean() == pytest.approx(10.0, abs=4 * math.sqrt(10 * 1.25 / len(years)))
    assert years.var() == pytest.approx(10 * 1.25, rel=0.05)
    rare = budget.single_years({"redis": Entry(samples=[(0.02, np.array([600.0]))])}, SEED)
    assert np.quantile(rare, 0.95) == 0 and np.quantile(rare, 0.99) == 10


def test_short_stalls_add_up():
    """A hundred a year of 2 s and one of 5 s: 205 s; measured ones come in a Poisson number."""
    stalls = ShortStalls(np.array([100.0, 1.0]), np.array([2.0, 5.0]), is_measured=False)
    entry = budget.short([stalls], SEED)
    assert entry.minutes[0] == pytest.approx(205 / 60) and np.ptp(entry.minutes) == 0
    assert entry.per_year[0] == 101
    drawn = ShortStalls(np.ones(50), np.full(50, 6.0), is_measured=True).yearly_s(np.random.default_rng(SEED))
    assert drawn[0] == 300 and drawn[1:].std() == pytest.approx(6 * math.sqrt(50), rel=0.15)


# --- with the engine -------------------------------------------------------------------------------------------------


def study_of(conditions: dict, runs: int = 20, name: str = "baseline/host_vanishes") -> Study:
    checked = check(conditions, "conditions.toml")
    return Study(without_nodes(scenario(name)), checked, [], "redis_write", runs, SEED)


ONE_KIND = {"crashes_per_year": {"host": 0, "redis": 2, "sentinel": 0, "redis_repair_h": 0.1}, "stall": []}


def test_the_budget_of_one_kind_of_crash_is_what_tune_simulates():
    study = study_of(ONE_KIND)
    data = availability(study, 99.99, silent)
    mean_s = observe(crashed(study.scenario, "redis"), "redis_write", 20, SEED).outage_s.mean()
    assert data["minutes_a_year"]["value"] == pytest.approx(2 * mean_s / 60, rel=0.001)
    assert data["availability_percent"]["value"] == pytest.approx(
        100 * (1 - 2 * mean_s / 60 / MINUTES_A_YEAR), abs=1e-6
    )
    assert [row["cause"] for row in data["budget"]][0] == "redis"
    assert 0.8 < data["detection_minutes"]["value"] / data["minutes_a_year"]["value"] < 0.95
    assert data["objective"]["verdict"] == "kept" and data["objective"]["single_years_kept"] == 1


@pytest.mark.parametrize(("percent", "verdict"), [(99.9999, "exceeded"), (99.99, "kept"), (99.9997, "undecided")])
def test_an_objective_is_kept_exceeded_or_undecided(percent, verdict):
    """15 kills in half a host-year, 2.4 s each: 0.9 to 1.8 minutes a year, where 99.9997 % allow 1.6."""
    counted = {"crashes_per_year": {"host": 0, "sentinel": 0, "redis_repair_h": 0.1},
               "crashes_counted": {"years": 0.5, "redis": 15}, "stall": []}  # fmt: skip
    assert availability(study_of(counted), percent, silent)["objective"]["verdict"] == verdict


def test_the_same_seed_gives_the_same_bytes():
    first, again = (availability(study_of(ONE_KIND, runs=10), None, silent) for _ in range(2))
    assert first == again


def test_a_process_that_is_started_again_at_once_costs_its_restart():
    """Back within a second, long before the delay of 2 s: no failover, and nothing stays away."""
    given = {"crashes_per_year": {"host": 0, "redis": 2, "sentinel": 0, "redis_repair_h": 1 / 3600}, "stall": []}
    data = availability(study_of(given), None, silent)
    assert data["states"] == 1
    (row,) = data["budget"]
    assert row["cause"] == "redis" and row["outage_s"] == pytest.approx(1.0, abs=0.1)


def test_stalls_are_out_once_they_outlast_a_clients_patience():
    """A write is waited for for 1 s and what the prober's period adds: then all of the stall is out."""
    bare = with_delay(without_nodes(scenario("host_loss/primary_host_vanishes")), 5_000)
    (stalls, *_) = stalls_of(check({}, "x"), Path())
    law = stats.lognorm(s=1.0, scale=300.0)
    short = short_stalls(bare, "redis_write", stalls, 10, SEED)
    low, high = (500 * law.expect(lambda ms: ms / 1000, lb=least, ub=5_500) for least in (1_100, 1_000))
    assert low < (short.per_year * short.outage_s).sum() < high


def test_a_host_that_comes_back_costs_its_node_something_and_redis_nothing():
    """The node that was cut off still waits on its old connection: it has to find the new primary."""
    whole = scenario("host_loss/primary_host_vanishes").model_copy(update={"client": ()})
    conditions = check({"stall": []}, "x")
    key = Key((PRIMARY, 0, 0), Event("host", 0))
    nodes, redis = (
        Simulator(whole, service, conditions, 10, SEED).cost(key) for service in ("register", "redis_write")
    )
    while_away = observe(crashed(whole, "host"), "register", 10, SEED).outage_s.mean()
    assert nodes.outage_s.mean() >= while_away
    assert redis.outage_s.mean() == pytest.approx(
        observe(crashed(whole, "host"), "redis_write", 10, SEED).outage_s.mean(), abs=1e-9
    )
    other = Simulator(whole, "register", conditions, 10, SEED).cost(Key((PRIMARY, 0, 0), Event("host", 1)))
    assert other.outage_s.min() > 0 and other.detect_s.max() == 0


def test_phones_count_by_their_share():
    whole = scenario("clients/udp_node_host_vanishes")
    seen = see(whole, "client", 3, SEED)
    assert seen.outage_s.shape == (3,) and (seen.outage_s > 0).all()
    twice = tuple(client.model_copy(update={"share": 7}) for client in whole.client)
    assert see(whole.model_copy(update={"client": twice}), "client", 3, SEED).outage_s == pytest.approx(seen.outage_s)


def test_what_is_away_before_is_away_in_the_run():
    """Two sentinels dead of five, a quorum of two: the third one's vote is still enough, and no sooner."""
    simulator = Simulator(study_of(ONE_KIND, name="baseline/five_host_vanishes").scenario, "redis_write",
                          check(ONE_KIND, "x"), 20, SEED)  # fmt: skip
    alone = simulator.cost(Key((PRIMARY, 0, 0, 0, 0), Event("host", 0)))
    fewer = simulator.cost(Key((PRIMARY, MUTE, 0, 0, 0), Event("host", 0)))
    assert 2.0 < alone.outage_s.mean() < fewer.outage_s.mean() < 3.5
    helpless = simulator.cost(Key((PRIMARY, LOST, LOST, 0, 0), Event("host", 0)))
    assert helpless.censored == 1


@pytest.mark.parametrize("page", ["tune.md", "availability.md"])
def test_examples_in_the_documentation_are_legal(page):
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)[1]
    assert check(tomllib.loads(example), page).planned.work == 2
