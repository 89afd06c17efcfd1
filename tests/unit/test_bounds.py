"""Closed forms against what can be checked by hand: means, extremes, small cases, and a plain simulation of ticks."""

import math
import random

import numpy as np
import pytest

from model.bounds import (
    KINDS,
    YEAR_MS,
    cut_off,
    group_of,
    laws,
    milestones,
    p_failover,
    p_suspected,
    quality,
    start,
    suspicion,
)
from model.errors import UsageError
from model.laws import MIXED_MS, TICKS_MS, exactly, remainder, tick, tick_after, uniform, wait_for_tick
from model.scenario import Link

SEED = 20_261_123


def changed(scenario, **sentinel):
    return scenario.model_copy(update={"sentinel": scenario.sentinel.model_copy(update=sentinel)})


# --- ticks -----------------------------------------------------------------------------------------------------------


def test_a_tick_is_as_long_as_its_ten_lengths_and_0_7_ms():
    assert tick().probability == pytest.approx(1)
    assert tick().mean_ms == pytest.approx(sum(TICKS_MS) / 10 + 0.7)


def test_the_wait_for_a_tick_is_the_textbook_value():
    squares = sum(length**2 for length in (each + 0.7 for each in TICKS_MS)) / 10
    assert wait_for_tick().mean_ms == pytest.approx(squares / (2 * tick().mean_ms), abs=0.05)


@pytest.mark.parametrize("t_ms", [0, 60, 200, 737, 1000.12])
def test_the_first_tick_after_a_time_is_that_of_a_plain_simulation(t_ms):
    chance = random.Random(SEED)

    def first():
        at = 0.0
        while at <= t_ms:
            at += chance.choice(TICKS_MS) + 0.2 + chance.random()
        return at

    drawn = np.array([first() for _ in range(20_000)])
    law = tick_after(t_ms)
    assert law.mean_ms == pytest.approx(drawn.mean(), abs=4 * drawn.std() / math.sqrt(len(drawn))), f"seed {SEED}"
    for share in (0.1, 0.5, 0.9):
        below = (drawn <= law.quantile_ms(share)).mean()
        # Lengths are few: a lattice point more or less is up to 3 %.
        assert below == pytest.approx(share, abs=0.03), f"seed {SEED}, share {share}"


def test_ticks_have_forgotten_their_beginning_where_the_law_says_so():
    exact, mixed = tick_after(MIXED_MS - 1), tick_after(MIXED_MS)
    assert exact.mean_ms + 1 == pytest.approx(mixed.mean_ms, abs=0.01)


def test_the_rest_of_a_fixed_period_is_uniform():
    rest = remainder(exactly(100))
    assert rest.mean_ms == pytest.approx(50)
    assert rest.by(25.0) == pytest.approx(0.25, abs=0.006)


def test_sums_and_shifts_add_up():
    both = uniform(100).later(3) + tick()
    assert both.mean_ms == pytest.approx(53 + tick().mean_ms)
    assert both.by(3.0) == pytest.approx(0, abs=1e-9)
    assert both.by(1e6) == pytest.approx(1)


# --- milestones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_laws_lie_within_the_bounds(scenario, kind):
    ranges = milestones(scenario, kind)
    for name, law in laws(scenario, kind).items():
        assert law.probability == pytest.approx(1)
        low, high = ranges[name].low_ms, ranges[name].high_ms
        # A ms of the lattice each for the sums of up to five times.
        assert law.quantile_ms(0) >= low - 5 and law.quantile_ms(1 - 1e-9) <= high + 5, name


def test_the_guides_own_case_by_hand(scenario):
    """Host lost, two of three sentinels live: (2/3) x 1037 to the later first PING, a tick, a tick, ..."""
    found = laws(scenario, "host")
    later_ping = 2 / 3 * 1037.7
    assert found["sdown_quorum"].mean_ms == pytest.approx(10_000 + later_ping + 37.6, abs=8)
    assert found["odown_first"].mean_ms == pytest.approx(found["sdown_quorum"].mean_ms + 72, abs=2)
    assert found["first_write"].mean_ms == pytest.approx(found["odown_first"].mean_ms + 3 * 72 + 10, abs=2)


def test_a_killed_process_is_suspected_by_the_delay_and_two_waits_for_a_tick(scenario):
    assert suspicion(group_of(scenario, "redis")).mean_ms == pytest.approx(10_000 + 2 * 37.6, abs=0.5)


def test_without_enough_sentinels_nothing_follows(scenario):
    lonely = changed(scenario, quorum=3)
    assert set(milestones(lonely, "host")) == {"sdown_first"}
    assert p_failover(group_of(lonely, "host"), 1e9) == 0
    minority = scenario.model_copy(update={"host": scenario.host[:2]})
    without_majority = milestones(changed(minority, quorum=1), "host")
    assert "odown_first" in without_majority and "elected" not in without_majority


def test_lost_packets_have_no_closed_form(scenario):
    lossy = Link.model_validate({"from": "*", "to": "*", "loss_percent": 1})
    with pytest.raises(UsageError, match="loss_percent"):
        milestones(scenario.model_copy(update={"link": (lossy,)}), "host")


# --- stalls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quorum", [1, 2, 3])
def test_a_stall_shorter_than_the_delay_is_never_seen_and_a_long_one_always(scenario, quorum):
    group = group_of(changed(scenario, quorum=quorum, down_after_ms=2000), "frozen")
    assert p_suspected(group, 1999.0) < 1e-3 and p_failover(group, 1999.0) < 1e-3
    assert p_failover(group, 3400.0) == pytest.approx(1, abs=1e-6)
    rising = p_failover(group, np.arange(1900.0, 3500.0))
    assert (np.diff(rising) >= -1e-12).all()


def test_the_rule_of_thumb_of_the_stall_scenarios(scenario):
    """1.2 times a delay of 2 s: p = (400 - 109) / 1037, and two of three must: 3 p^2 - 2 p^3."""
    share = (400 - 109) / 1037
    group = group_of(changed(scenario, down_after_ms=2000), "frozen")
    assert p_failover(group, 2400.0) == pytest.approx(3 * share**2 - 2 * share**3, abs=0.02)


def test_one_lone_sentinel_needs_nobody(scenario):
    lone = tuple(host.model_copy(update={"sentinel": host.name == "host2"}) for host in scenario.host)
    group = group_of(changed(scenario.model_copy(update={"host": lone}), quorum=1), "frozen")
    lengths = np.arange(10_000.0, 11_300.0, 50)
    assert p_failover(group, lengths) == pytest.approx(p_suspected(group, lengths), abs=2e-3)


def test_higher_quorums_start_later(scenario):
    means = [start(group_of(changed(scenario, quorum=quorum), "frozen")).mean_ms for quorum in (1, 2, 3)]
    assert means == sorted(means) and means[2] - means[0] > 400


def test_the_delay_only_shifts(scenario):
    one, other = (start(group_of(changed(scenario, down_after_ms=delay), "frozen")) for delay in (3000, 30_000))
    assert other.mean_ms - one.mean_ms == pytest.approx(27_000)


# --- quality of service ----------------------------------------------------------------------------------------------


def test_quality_for_stalls_of_one_length(scenario):
    """All stalls last 3 s, the delay is 1 s: every one is seen, for 3 s less the detection, and the wait for a tick."""
    group = group_of(changed(scenario, down_after_ms=1000), "frozen")
    found = quality(group, 100.0, lambda t_ms: (t_ms < 3000).astype(float))
    assert found.mistakes_per_year == pytest.approx(100)
    assert found.failovers_per_year == pytest.approx(100)
    assert found.mistake_ms == pytest.approx(3000 - found.detection_mean_ms + 37.6, abs=3)
    assert found.accuracy == pytest.approx(1 - 100 * found.mistake_ms / YEAR_MS)


def test_quality_for_exponential_stalls(scenario):
    """Memoryless: what is left of a stall that was seen has the same mean as all of it."""
    group = group_of(scenario, "frozen")
    found = quality(group, 1000.0, lambda t_ms: np.exp(-np.maximum(t_ms, 0) / 2000))
    expected = 1000 * suspicion(group).expect(lambda points: np.exp(-points / 2000))
    assert found.mistakes_per_year == pytest.approx(expected, rel=1e-3)
    assert found.mistake_ms == pytest.approx(2000 + 37.6, rel=0.01)
    assert found.failovers_per_year < found.mistakes_per_year


def test_a_detector_without_stalls_makes_no_mistake(scenario):
    found = quality(group_of(scenario, "frozen"), 0.0, lambda t_ms: np.zeros_like(t_ms))
    assert (found.mistakes_per_year, found.mistake_ms, found.accuracy) == (0.0, 0.0, 1.0)


# --- two primaries ---------------------------------------------------------------------------------------------------


def test_cut_off_with_its_clients_the_old_primary_is_writable_for_as_long_as_that_lasts(scenario):
    while_cut_ms, after_ms = cut_off(scenario)
    assert while_cut_ms == math.inf
    assert 10_000 < after_ms < 15_000


@pytest.mark.parametrize(("lag_s", "overlap_ms"), [(10, 12_000 - 10_260), (8, 0)])
def test_too_few_replicas_stop_the_old_primary_in_time_if_the_lag_is_two_seconds_below_the_delay(
    scenario, lag_s, overlap_ms
):
    server = scenario.server.model_copy(update={"min_replicas_to_write": 1, "min_replicas_max_lag_s": lag_s})
    assert cut_off(scenario.model_copy(update={"server": server})) == pytest.approx((overlap_ms, 0), abs=60)


def test_each_lost_attempt_costs_two_timeouts_and_up_to_a_second(scenario):
    won, lost = milestones(scenario, "host"), milestones(scenario, "host", lost=2)
    assert lost["odown_first"] == won["odown_first"]
    assert lost["elected"].low_ms - won["elected"].low_ms == 4 * scenario.sentinel.failover_timeout_ms
    more_ms = lost["switch_last"].high_ms - won["switch_last"].high_ms
    assert more_ms == pytest.approx(4 * scenario.sentinel.failover_timeout_ms + 2 * 1_100, abs=10)
