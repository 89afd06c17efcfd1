"""Long-run shares of Markov renewal processes, against linear solves and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import linalg

from model.errors import UsageError
from model.semi_markov import race, shares

SEED = 5


def two_of_three(crash: float, repair: float) -> np.ndarray:
    """Rates between 0 to 3 broken parts, each repaired on its own."""
    rates = np.zeros((4, 4))
    for broken in range(3):
        rates[broken, broken + 1] = (3 - broken) * crash
        rates[broken + 1, broken] = (broken + 1) * repair
    return rates


@pytest.mark.parametrize("crash", [1e-7, 1e-3, 2.0])
def test_two_of_three_is_binomial_to_the_last_digit(crash):
    up = 1 / (1 + crash / 0.25)
    # By the odds of a broken part: 1 - up has lost digits of its own where crashes are rare.
    odds = crash / 0.25
    expected = [math.comb(3, broken) * odds**broken * up**3 for broken in range(4)]
    assert shares(*race(two_of_three(crash, 0.25))) == pytest.approx(expected, rel=1e-12)


def test_random_chains_balance_like_the_null_space_of_their_generator():
    chance = np.random.default_rng(SEED)
    rates = chance.random((5, 7, 7)) ** 6
    found = shares(*race(rates))
    for share, each in zip(found, rates, strict=True):
        generator = np.where(np.eye(7, dtype=bool), 0.0, each)
        generator -= np.diag(generator.sum(axis=1))
        kernel = linalg.null_space(generator.T)[:, 0]
        assert share == pytest.approx(kernel / kernel.sum(), rel=1e-7), SEED


def test_stays_count_by_their_means():
    """Up for 9 on average, then down for 1 (nine times of ten) or for 11."""
    jump = np.array([[0.0, 0.9, 0.1], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert shares(jump, np.array([9.0, 1.0, 11.0])) == pytest.approx([9 / 11, 0.9 / 11, 1.1 / 11])


@pytest.mark.parametrize(
    ("jump", "stay", "words"),
    [
        ([[0.0, 0.5], [1.0, 0.0]], [1.0, 1.0], "no probabilities"),
        ([[0.0, 1.0], [1.0, 0.0]], [1.0, 0.0], "no times"),
        ([[0.0, 1.0], [1.0, 0.0]], [1.0, math.nan], "no times"),
        ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [1.0, 1.0, 1.0], "depends on where it begins"),
    ],
)
def test_what_is_no_process_is_refused(jump, stay, words):
    with pytest.raises(UsageError, match=words):
        shares(np.array(jump), np.array(stay))


@pytest.mark.parametrize("rates", [[[0, -1.0], [1, 0]], [[0, math.nan], [1, 0]], [[0, 1.0], [0, 0]]])
def test_what_are_no_rates_is_refused(rates):
    with pytest.raises(UsageError, match="hint:"):
        race(np.array(rates, float))
