"""Every number that a scenario file expects, in 300 simulated runs.

The claims were derived from the rules of Sentinel and from closed forms, not from the simulator. One that fails means
that the claim, the scenario or the simulator is wrong: none of them is to be bent to the others without a reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.measures import Facts, measure
from model.scenario import load
from sim import simulate
from study.claims import evaluate

RUNS, SEED = 300, 20_260_101
FILES = sorted(Path(__file__).parents[2].glob("scenarios/*/*.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_claims_hold(path: Path) -> None:
    scenario = load(path)
    facts = Facts.of(scenario)
    findings = evaluate(scenario.claim, [measure(trace, facts) for trace in simulate(scenario, RUNS, SEED, jobs=1)])
    wrong = [str(finding) for finding in findings if not finding.holds]
    assert not wrong, f"{RUNS} runs, seed {SEED}: {'; '.join(wrong)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_claims_something_that_can_be_evaluated(path: Path) -> None:
    scenario = load(path)
    assert scenario.claim
    assert len(evaluate(scenario.claim, [])) == len(scenario.claim)
