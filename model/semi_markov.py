"""Markov renewal processes: long-run shares of time, from where a process jumps and how long it stays on average.

The process stays in a state for a random time of any law, then jumps to another by fixed probabilities. In the long run
the share of time in a state is the share of visits to it times its mean stay, over the sum of that for all states: the
laws of the stays matter by their means alone. With a reward (seconds of outage, say) for each jump or for each second
in a state, the long-run rate of all rewards follows (renewal-reward theorem; Ross, "Stochastic Processes", 1996, 4.8).

Where several exponential clocks run in a state, the first one ends it (`race`), and the process is a Markov chain in
continuous time. Leading axes of all arrays stand for as many processes, solved together.

Left out: how it gets there from a given state; processes with several classes of recurrent states, which are refused.
"""

from __future__ import annotations

import numpy as np

from model.errors import UsageError
from model.laws import Floats


def race(rates: Floats) -> tuple[Floats, Floats]:
    """Jump probabilities and mean stays where exponential clocks compete.

    Parameters
    ----------
    rates : array, ... x n x n
        From each state (rows) to each; the diagonal does not count. Any one unit of 1/time.

    Returns
    -------
    jump : array, ... x n x n
    stay : array, ... x n
        In the rates' unit of time.
    """
    moving = np.where(np.eye(rates.shape[-1], dtype=bool), 0.0, rates)
    total = moving.sum(axis=-1)
    if not (np.isfinite(moving).all() and (moving >= 0).all() and (total > 0).all()):
        raise UsageError("rates of a Markov process are negative, not finite, or a state has none\n"
                         "  allowed: numbers of 0 or more, one above 0 in each row\n\nhint: leave out states that "
                         "nothing leaves")  # fmt: skip
    return moving / total[..., None], 1 / total


def shares(jump: Floats, stay: Floats) -> Floats:
    """Long-run share of time in each state.

    Parameters
    ----------
    jump : array, ... x n x n
        Probability of the next state (columns), by state.
    stay : array, ... x n
        Mean time in each state.

    Returns
    -------
    array, ... x n
        They add up to 1.

    Raises
    ------
    UsageError
        Rows that are no probabilities, stays that are no times, or a long run that depends on the beginning.
    """
    is_law = (jump >= 0).all() and np.allclose(jump.sum(axis=-1), 1)
    if not (is_law and np.isfinite(stay).all() and (stay > 0).all()):
        raise UsageError("rows of a jump matrix that are no probabilities, or stays that are no times\n  allowed: "
                         "rows that add up to 1, stays above 0\n\nhint: `race` makes both of rates")  # fmt: skip
    time = _visits(jump) * stay
    return time / time.sum(axis=-1, keepdims=True)


def _visits(jump: Floats) -> Floats:
    """Share of visits to each state, by the elimination of Grassmann, Taksar and Heyman (Operations Research 33, 1985).

    It takes one state out after the other and never subtracts, so that the share of a state that is visited once in
    1e12 jumps is as exact as all others.
    """
    left = np.where(np.eye(jump.shape[-1], dtype=bool), 0.0, jump)
    count = left.shape[-1]
    for last in range(count - 1, 0, -1):
        leaves = left[..., last, :last].sum(axis=-1)
        if not (leaves > 0).all():
            raise UsageError("a process whose long run depends on where it begins\n  allowed: one that comes back "
                             "from every state\n\nhint: leave out states that it never comes back to")  # fmt: skip
        left[..., :last, last] /= leaves[..., None]
        left[..., :last, :last] += left[..., :last, last, None] * left[..., None, last, :last]
    visits = np.ones(left.shape[:-1])
    for state in range(1, count):
        visits[..., state] = (visits[..., :state] * left[..., :state, state]).sum(axis=-1)
    return visits / visits.sum(axis=-1, keepdims=True)
