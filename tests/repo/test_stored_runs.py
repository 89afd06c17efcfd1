"""The committed real runs: complete as the matrix asks, and possible line by line."""

import json
from pathlib import Path

import pytest

from study import conforming, matrix, stored

ROOT = Path(__file__).parents[2]
CELLS = matrix.load(ROOT / "scenarios")
ARCHIVES = sorted(stored.FOLDER.glob("*.logs.xz"))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_has_its_runs(cell):
    runs = stored.runs(cell.scenario)
    assert sum(not trace.stalled for trace in runs) >= cell.real_runs
    assert {trace.digest for trace in runs} == {cell.scenario.digest}
    assert len({trace.run for trace in runs}) == len(runs)
    assert all(trace.arm == "real" and trace.versions["redis"] for trace in runs)


def test_the_manifest_names_all_of_them_and_nothing_else_is_there():
    manifest = json.loads((stored.FOLDER / "manifest.json").read_text())
    wanted = {path.name for cell in CELLS for path in (stored.path_of(cell.scenario), stored.logs_path(cell.scenario))}
    assert {path.name for path in stored.FOLDER.glob("*.xz")} == wanted
    assert {each["file"] for each in manifest["cells"]} == {name for name in wanted if name.endswith(".ndjson.xz")}


@pytest.mark.slow
@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_all_stored_logs_conform(path):
    archive = conforming.check_archive(path, same_clock=False)
    assert archive.runs
    assert not archive.refused, conforming.archives_to_text([archive])
