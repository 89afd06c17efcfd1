"""Reports of quorum and distance: their clusters are what they say, rules hold in runs, text follows numbers."""

import numpy as np
import pytest

from model.bounds import group_of
from model.laws import Law, exactly, uniform
from study import matrix, stored
from study.report import lost_elections_over_wan as wan
from study.report import quorum_and_cluster_size as size
from study.report.pages import Order, the, where

SEED = 20_261_123
ORDER = Order("lost_elections_over_wan", seed=SEED)


# --- quorum and cluster size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", size.SIZES, ids=lambda each: each.name)
def test_a_cluster_has_the_sentinels_and_servers_that_it_says(cluster):
    scenario = size.cluster(cluster, quorum=2)
    assert len(scenario.sentinel_hosts) == cluster.sentinels
    assert sum(host.redis for host in scenario.host) == cluster.servers
    assert scenario.sentinel.quorum == 2
    assert not any(host.registrar for host in scenario.host)


@pytest.fixture(scope="module")
def sizes():
    return size.sizes(60, SEED)


def test_more_agreement_takes_longer_and_too_much_is_a_deadlock(sizes):
    found = {row["quorum"]: row for row in where(sizes, size="5", fails="host vanished")}
    assert [found[quorum]["failover"] for quorum in range(1, 6)] == [1, 1, 1, 1, 0], f"seed {SEED}"
    times = [found[quorum]["p50_s"] for quorum in range(1, 5)]
    assert times == sorted(times), f"seed {SEED}"
    assert found[5]["p50_s"] is None
    assert [found[quorum]["survives"] for quorum in range(1, 6)] == [1, 1, 1, 0, -1]
    assert found[1]["needless_per_year"] > found[5]["needless_per_year"]
    assert found[3]["helpless_per_year"] < found[4]["helpless_per_year"] < found[5]["helpless_per_year"] == 1


def test_two_sentinels_never_replace_a_lost_host(sizes):
    assert all(row["failover"] == 0 for row in where(sizes, size="2", fails="host vanished"))
    assert all(row["failover"] == 1 for row in where(sizes, size="2", fails="process killed"))


def test_redis_on_two_of_three_hosts_is_as_good(sizes):
    for fails in size.FAILS.values():
        some = [the(sizes, size=name, quorum=2, fails=fails) for name in ("3", "3 (Redis on 2)")]
        assert abs(some[0]["p50_s"] - some[1]["p50_s"]) < 0.25, f"seed {SEED}"


@pytest.mark.parametrize("name", ["dead", "cut_off"])
def test_rules_hold_in_every_combination(name, monkeypatch):
    monkeypatch.setattr(size, "SIZES", size.SIZES[:3])
    monkeypatch.setattr(size, "RULE_RUNS", 5)
    rows = getattr(size, name)(SEED)
    assert len(rows) == {"dead": 44, "cut_off": 14}[name]
    assert {row["rule"] for row in rows} == {True, False}
    assert not [row for row in rows if row["failover"] != row["rule"]], f"seed {SEED}"


def test_cells_differ_in_size_and_quorum_only():
    cells = size.cells()
    assert {(len(cell.scenario.sentinel_hosts), cell.scenario.sentinel.quorum) for cell in cells} == {
        (2, 2), (3, 1), (3, 2), (3, 3), (4, 2), (5, 2), (5, 3), (5, 5)
    }  # fmt: skip
    assert len({cell.scenario.digest for cell in cells}) == len(cells)


def test_stored_runs_agree_with_simulated_ones_or_too_few_tell():
    rows = size.measured(300, SEED)
    assert {row["verdict"] for row in rows} <= {"agrees", "undecided"}, f"seed {SEED}: {rows}"
    never = [row for row in rows if not row["failovers"]]
    assert [(row["size"], row["quorum"]) for row in never] == [("5", 5), ("3", 3), ("2", 2)]
    assert all(row["sim_failover"] == 0 and row["verdict"] == "agrees" for row in never)


def test_the_answer_about_sizes_quotes_the_tables(sizes):
    rule = {"rule": True, "failover": 1.0}
    tables = {"sizes": sizes, "dead": [rule], "cut_off": [rule, rule | {"failover": 0.0}],
              "measured": [{"verdict": "agrees"}, {"verdict": "undecided"}]}  # fmt: skip
    told = "\n".join(size.answer(tables))
    assert f"{the(sizes, size='3', quorum=2, fails='host vanished')['p50_s']:.1f} s after the delay" in told
    assert "2 of 3 simulated combinations; real runs agree in 1 of 2 cells" in told
    assert "0 of 2 quorums" in told


# --- lost elections --------------------------------------------------------------------------------------------------


def test_two_who_suspect_at_once_split_their_votes_when_they_start_within_half_a_round_trip():
    # Both suspect at the same instant; waits for a tick after the answers decide. By hand, for waits of d1 and d2 each.
    waits = wan.tick_after(20.0)
    apart = np.subtract.outer(waits.points_ms, waits.points_ms)
    joint = np.outer(waits.mass, waits.mass)
    by_hand = joint[np.abs(apart) < 10].sum() + joint[np.abs(apart) == 10].sum() / 2
    assert wan.split_vote(exactly(2_000.0), 20.0, 0.0) == pytest.approx(by_hand, abs=0.01)


def test_a_split_vote_gets_likelier_with_distance_and_slow_disks_and_rarer_with_spread():
    by_rtt = [wan.split_vote(uniform(100), rtt_ms, 0.5) for rtt_ms in (0.1, 5, 20, 50)]
    assert by_rtt == sorted(by_rtt)
    assert by_rtt[0] < 0.001
    assert wan.split_vote(uniform(100), 20, 10) > wan.split_vote(uniform(100), 20, 0.5)
    assert wan.split_vote(uniform(1000), 20, 0.5) < wan.split_vote(uniform(100), 20, 0.5)
    assert wan.split_vote(Law(0.0, np.ones(1)), 50, 1_000) == pytest.approx(1.0)


@pytest.mark.parametrize("layout", wan.LAYOUTS, ids=lambda each: each.key)
def test_a_layout_leaves_the_sentinels_that_its_words_say(layout):
    for fault in {fault for each, fault in wan.arms() if each is layout}:
        scenario = wan.scenario_of(layout, fault)
        lost = layout.lost if layout.process == "all" else ()
        left = len(scenario.sentinel_hosts) - len(lost)
        assert f"{left} left, {group_of(scenario, 'redis').votes} votes" in layout.words
        assert {each.host for each in scenario.fault} == set(layout.lost)


def test_hosts_of_one_site_are_near_and_sites_far_apart():
    scenario = wan.at_distance(wan.scenario_of(wan.LAYOUTS[2], "crash"), 80)
    assert scenario.network.delay_us == 40_000
    assert {(link.from_, link.to) for link in scenario.link} == {
        ("host1", "host2"), ("host2", "host1"), ("host3", "host4"), ("host4", "host3")
    }  # fmt: skip
    assert {link.delay_us for link in scenario.link} == {wan.LAN_US}


def test_points_of_the_curve_are_cells_of_the_matrix_so_that_their_runs_are_found():
    wanted = {"host_killed": (10, 40, 60), "host_vanishes": (10, 40, 60), "process_killed": (60,)}
    digests = {wan.at_distance(wan.scenario_of(*arm), rtt_ms).digest for arm in wan.arms() for rtt_ms in wan.RTTS_MS}
    for cell in matrix.load(size.catalog.folder()):
        is_far = cell.scenario.network.delay_us > 1_000
        if is_far and cell.fault_class in wanted and cell.scenario.server.version == matrix.FAMILY:
            assert cell.scenario.digest in digests, cell.name


def test_what_was_measured_for_the_report_is_stored():
    cases = wan.real_cases(1)
    assert len({each.scenario.digest for each in cases}) == len(cases) == 9
    for each in cases:
        assert stored.runs(each.scenario, wan.runs_folder(ORDER)), each.name


@pytest.fixture(scope="module")
def odds():
    return wan.odds(150, SEED)


def test_distance_loses_elections_and_silence_fewer(odds):
    for layout, fault in wan.arms():
        rows = where(odds, layout=layout.key, fault=fault)
        assert rows[0]["lost"] < 0.03 < rows[-1]["lost"], f"seed {SEED}: {layout.key} {fault}"
    reset, silence = (the(odds, layout="three", fault=fault, rtt_ms=60)["lost"] for fault in wan.FAULTS)
    assert reset > silence + 0.1, f"seed {SEED}"


def test_the_closed_form_lies_in_the_interval_of_simulated_runs(odds):
    for rtt_ms in (20, 40):
        found = wan.lost(wan.at_distance(wan.scenario_of(wan.THREE, "crash"), rtt_ms), 1_500, SEED)
        closed = the(odds, layout="three", fault="crash", rtt_ms=rtt_ms)["closed_form"]
        assert found["low"] < closed < found["high"], f"seed {SEED}: {rtt_ms} ms, {found}, {closed}"


def test_real_runs_do_not_contradict_the_odds_and_would_contradict_others(odds):
    assert all(row["verdict"] == "not contradicted" for row in wan.measured(ORDER, odds)), f"seed {SEED}"
    never = [row | {"k": 0, "lost": 0.0, "low": 0.0, "high": 0.03} for row in odds]
    assert any(row["verdict"] == "disagrees" for row in wan.measured(ORDER, never))


def test_a_lost_election_costs_twice_the_failover_timeout_and_up_to_a_second():
    for row in wan.cost(80, SEED):
        assert row["by_hand_low_s"] < row["p50_s"] < row["by_hand_high_s"], f"seed {SEED}: {row}"


def test_every_family_of_servers_is_told_and_more_syncs_lose_more():
    rows = wan.versions(1_000, SEED)
    assert {row["family"] for row in rows} == set(wan.DIFFERENCES)
    two, three = (next(row["lost"] for row in rows if row["syncs"] == syncs) for syncs in (2, 3))
    assert two < three, f"seed {SEED}"
