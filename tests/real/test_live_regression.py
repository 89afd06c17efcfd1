"""A cell of the regression run, live: real servers against the simulator, through the command that users give."""

import json
from pathlib import Path

import pytest

from study import matrix
from study.cli import main
from study.exits import ExitCode

SCENARIO = Path(__file__).parents[2] / "scenarios/baseline/process_killed.toml"
MATRIX = """
[[block]]
scenario = "process_killed"
real_runs = 8
variants = [{ "sentinel.down_after_ms" = 1000, "run.horizon_ms" = 4000 }]
"""


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cell_measured_now_agrees(tmp_path, capsys):
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / SCENARIO.name).write_text(SCENARIO.read_text())
    (folder / matrix.FILE).write_text(MATRIX)
    code = main(["compare", str(folder), "--runs", "500", "--out", str(tmp_path / "kept")])
    said = capsys.readouterr().out
    (cell,) = json.loads((tmp_path / "kept/regression.json").read_text())["cells"]
    if code == ExitCode.UNDECIDED and cell["real_runs"] < 8:
        pytest.skip(f"undecided: {cell['stalled']} runs stalled, a second round included")
    assert code == ExitCode.OK, said
    assert (cell["real_runs"], cell["verdict"]) == (8, "agrees")
    assert len(list((tmp_path / "kept/runs").glob("*.ndjson.xz"))) == 1
