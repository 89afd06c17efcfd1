"""Advice that was interrupted goes on where it was, and says what it would have said."""

from pathlib import Path

import pytest

from study import kept
from study.cli import main
from study.exits import ExitCode

ROOT = Path(__file__).parents[2]
VANISH = str(ROOT / "scenarios/host_loss/primary_host_vanishes.toml")
TUNE = ["tune", VANISH, "--runs", "10", "--no-knobs", "--service", "redis_write", "--range", "1000:4000", "--json"]
AVAILABILITY = ["availability", VANISH, "--runs", "10", "--service", "redis_write", "--json"]
BEFORE = 4
"""Batches until the interrupt."""


@pytest.mark.parametrize("argv", [TUNE, AVAILABILITY])
def test_what_is_done_is_kept_and_the_answer_is_the_same(argv, tmp_path, monkeypatch, capsys):
    assert main(argv) in (ExitCode.OK, ExitCode.FINDING)
    uninterrupted = capsys.readouterr().out
    simulated = []
    simulate = kept.batch.outcomes

    def interrupted(*asked):
        if len(simulated) == BEFORE:
            raise KeyboardInterrupt
        simulated.append(asked)
        return simulate(*asked)

    monkeypatch.setattr(kept.batch, "outcomes", interrupted)
    kept_here = [*argv, "--out", str(tmp_path)]
    assert main(kept_here) == ExitCode.INTERRUPTED
    assert len(list((tmp_path / "blocks").glob("*.npz"))) == BEFORE
    capsys.readouterr()

    first, simulated = len(simulated), []
    monkeypatch.setattr(kept.batch, "outcomes", lambda *asked: simulated.append(asked) or simulate(*asked))
    assert main(kept_here) in (ExitCode.OK, ExitCode.FINDING)
    assert capsys.readouterr().out == uninterrupted
    again = len(simulated)
    assert len(list((tmp_path / "blocks").glob("*.npz"))) == first + again
    simulated.clear()
    assert main(kept_here) in (ExitCode.OK, ExitCode.FINDING)
    assert not simulated


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(TUNE) in (ExitCode.OK, ExitCode.FINDING)
    assert not list(tmp_path.rglob("*.npz"))
