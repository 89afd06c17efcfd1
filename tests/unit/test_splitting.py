"""Importance splitting on walks whose probabilities are known, and the laws that it draws from."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from sim.disturbances import Cause, Disturbances, Exponential, LogNormal, Pareto, Sample, Strike
from sim.splitting import choose_levels, interval, split
from study.rare.chain import Chain, ChainWalk, solve

ROOT = Path(__file__).parents[2]
SEED = 11
STORM = ROOT / "reports/rare_events/tables/storm.csv"


class Ruin:
    """From 1, a step up with probability `up`, else down; the event is to come to `goal` before 0."""

    stride = 1 << 20

    def __init__(self, goal, up, chance, simulated_up):
        self.goal, self._up, self._simulated_up, self._chance = goal, up, simulated_up, chance
        self.at, self.weight, self.jumps = 1, 1.0, 0

    def begin(self):
        self.at, self.weight = 1, 1.0

    def climb(self, level):
        highest = self.at
        while 0 < self.at < level:
            is_up = self._chance.random() < self._simulated_up
            true, simulated = (self._up, self._simulated_up) if is_up else (1 - self._up, 1 - self._simulated_up)
            self.weight *= true / simulated
            self.at += 1 if is_up else -1
            highest = max(highest, self.at)
        return highest

    def save(self):
        return self.at, self.weight

    def resume(self, state):
        self.at, self.weight = state

    def reward(self):
        return 3.0


@pytest.mark.parametrize("simulated_up", [0.2, 0.3])
def test_ruin_as_it_is_and_under_another_law(simulated_up):
    """Three times the probability of Huygens's formula, 1e-9."""
    goal, up = 15, 0.2
    odds = (1 - up) / up
    exact = 3 * (odds - 1) / (odds**goal - 1)
    chance = np.random.default_rng(SEED)
    walk = Ruin(goal, up, chance, simulated_up)
    levels = choose_levels(walk, 200, chance)
    assert levels[-1] == goal and levels == sorted(set(levels))
    mean, low, high = interval([split(walk, levels, 100, chance).value for _ in range(30)], 0.999)
    assert exact < 1e-8
    assert low < exact < high, f"seed {SEED}: {mean} in {low}..{high}, exact {exact}"


def test_what_is_never_reached_is_estimated_as_0():
    chance = np.random.default_rng(SEED)
    walk = Ruin(400, 0.05, chance, 0.05)
    estimate = split(walk, [2, 300, 400], 20, chance)
    assert estimate.value == 0 and estimate.shares[-1] == 0


def test_intervals():
    assert interval([1.0, 1.0, 1.0]) == (1, 1, 1)
    assert interval([2.0]) == (2, 0, math.inf)
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0])
    assert (mean, low, high) == pytest.approx((2.5, 2.5 - 2.3534 * 0.6455, 2.5 + 2.3534 * 0.6455), rel=1e-3)


def test_an_interval_of_skewed_values_reaches_further_up():
    mean, low, high = interval([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    assert low == 0 and high - mean > 1.5 * 1.8946 * 0.125
    mean, low, high = interval([1.0, 2.0, 2.0, 3.0, 3.0, 12.0])
    width = 2.0150 * np.std([1, 2, 2, 3, 3, 12], ddof=1) / math.sqrt(6)
    assert mean - low < width < high - mean


# --- lengths ---------------------------------------------------------------------------------------------------------

LAWS = {
    "exponential": (Exponential(300), lambda t: math.exp(-t / 300)),
    "lognormal": (LogNormal(300, 1.2), lambda t: 0.5 * math.erfc(math.log(t / 300) / 1.2 / math.sqrt(2))),
    "pareto": (Pareto(200, 1.5), lambda t: min(1, (200 / t) ** 1.5)),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("age_ms", [1, 150, 1000, 4000])
@pytest.mark.parametrize("share", [1.0, 0.5, 1e-6])
def test_what_is_left_has_the_law_given_the_age(name, age_ms, share):
    law, longer = LAWS[name]
    assert longer(age_ms + law.rest_ms(age_ms, share)) == pytest.approx(share * longer(age_ms), rel=1e-6)


def test_what_is_left_of_a_measured_length():
    law = Sample((100.0, 200.0, 200.0, 900.0))
    assert [law.rest_ms(150, share) for share in (0.01, 0.3, 0.5, 1.0)] == [750, 750, 50, 50]
    assert law.rest_ms(900, 0.5) == 0


# --- disturbances ----------------------------------------------------------------------------------------------------

PAUSE, RESUME, CUT, MEND = (Strike(number, 0) for number in range(4))


def causes(per_hour=360):
    """Both stop the same program."""
    return [
        Cause("redis", per_hour, Exponential(500), ((PAUSE, RESUME),)),
        Cause("host", per_hour / 4, Pareto(300, 3), ((PAUSE, RESUME), (CUT, MEND))),
    ]


def test_what_two_causes_do_alike_ends_with_the_last():
    both = Disturbances(causes(), 1e6, np.random.default_rng(SEED), 0)
    assert both.begin(0, 0) == [PAUSE]
    both.situation.next_us = [5e5, 3e5]
    assert both.change() == [CUT]
    both.situation.next_us = [5e5, 8e5]
    assert both.change() == []
    assert not both.is_quiet
    both.situation.next_us = [9e5, 8e5]
    assert both.change() == [RESUME, MEND]
    assert both.is_quiet


def counts_at(end_us, boost, chance):
    """Beginnings by `end_us`, and the weight."""
    each = Disturbances(causes(), 1e5, chance, boost)
    each.begin(0, 0)
    each.draw_anew(3e4)
    while each.next_us < end_us:
        each.change()
    return each.situation.begun, each.weight(end_us)


def test_weights_make_up_for_the_boost():
    """Means of 1 and of the number of beginnings, under both laws."""
    chance = np.random.default_rng(SEED)
    true = np.array([counts_at(1e6, 0, chance)[0] for _ in range(4000)])
    found, weights = np.array([counts_at(1e6, 1.0, chance) for _ in range(4000)]).T
    assert found.mean() > 5 * true.mean()
    for truth, values in ((1.0, weights), (true.mean(), weights * found)):
        error = values.std() / math.sqrt(len(values)) + (true.std() / math.sqrt(len(true)) if truth != 1 else 0)
        assert abs(values.mean() - truth) < 3.5 * error, f"seed {SEED}: {values.mean()}, {truth}"


# --- the chain -------------------------------------------------------------------------------------------------------


def test_one_sentinel_by_hand():
    """Each of k steps before the link is mended: (step / (step + mended))^k."""
    chain = Chain(sentinels=1, quorum=1, cut_per_h=2, mended_per_s=3, stages=4, delay_s=2)
    found = solve(chain)
    assert found.probability == pytest.approx((2 / 5) ** 4)
    assert found.per_hour == pytest.approx(2 * found.probability / (1 + 2 * found.busy_s / 3600))


def stored():
    """Chains and their probabilities by Storm."""
    kinds = {"sentinels": int, "quorum": int, "stages": int}
    with STORM.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            probability, _ = float(row.pop("probability")), row.pop("storm")
            yield Chain(**{name: kinds.get(name, float)(value) for name, value in row.items()}), probability


def test_the_equations_agree_with_storm():
    cases = list(stored())
    assert len(cases) >= 6 and min(probability for _, probability in cases) < 1e-10
    for chain, probability in cases:
        assert solve(chain).probability == pytest.approx(probability, rel=1e-12), chain


def test_storm_says_the_same_again():
    pytest.importorskip("stormpy")
    from study.rare import storm

    chain, probability = list(stored())[3]
    assert chain == storm.CASES[3]
    assert float(storm.check(chain)) == probability


@pytest.mark.parametrize("case", [1, 3, 6])
def test_splitting_agrees_with_storm(case):
    chain, exact = list(stored())[case]
    chance = np.random.default_rng(SEED)
    walk = ChainWalk(chain, chance)
    levels = choose_levels(walk, 200, chance)
    mean, low, high = interval([split(walk, levels, 200, chance).value for _ in range(20)], 0.998)
    assert low < exact < high, f"seed {SEED}: {mean} in {low}..{high}, exact {exact}"
