"""A simulator with one wrong rule must be found out by stored real runs, and the right one must not.

Sentinels ping once a second. Of a sentinel that would ping every two seconds a vanished host would be suspected half a
second later on average, and only that: a subtle mistake, and a shift that no single run could show.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from model import sentinel
from model.measures import Facts, measure
from study import matrix, stored
from study.compare import Verdict
from study.regression import evaluate, judge_matrix

CELL = "host_vanishes[6.2]"
SIM_RUNS, SEED = 60, 3


@pytest.fixture(scope="module")
def registered():
    """A main cell and its measured usable runs."""
    folder = Path(__file__).parents[2] / "scenarios"
    cell = next(each for each in matrix.load(folder) if each.name == CELL)
    facts = Facts.of(cell.scenario)
    real = [measure(trace, facts) for trace in stored.runs(cell.scenario) if not trace.stalled]
    if len(real) < cell.real_runs:
        pytest.skip(f"{len(real)} of {cell.real_runs} real runs are stored")
    return cell, real


def judged(cell, real):
    """Verdict of the cell, with the interpreted engine: it takes machines as they are now."""
    facts = Facts.of(cell.scenario)
    predicted = [measure(trace, facts) for trace in sim.simulate(cell.scenario, SIM_RUNS, SEED, "world", 1)]
    (found,) = judge_matrix([evaluate(cell, predicted, real)]).cells
    return found


@pytest.mark.slow
def test_the_simulator_as_it_is_does_not_disagree(registered):
    found = judged(*registered)
    assert found.verdict != Verdict.DISAGREES, (found.reason, f"seed {SEED}")


@pytest.mark.slow
def test_a_ping_period_of_two_seconds_disagrees(registered, monkeypatch):
    monkeypatch.setattr(sentinel, "PING_PERIOD_US", 2 * sentinel.PING_PERIOD_US)
    found = judged(*registered)
    assert found.verdict == Verdict.DISAGREES, (found.reason, f"seed {SEED}")
    assert "sdown_quorum" in found.reason
