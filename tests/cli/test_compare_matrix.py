"""`hastudy compare FOLDER` on a small matrix, on short runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import sim
from study import conditional, matrix, stored
from study.arms import RealRuns, Voice
from study.cli import main
from study.exits import ExitCode

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios/baseline/process_killed.toml"
MATRIX = """
[[block]]
scenario = "process_killed"
real_runs = 8
variants = [{ "sentinel.down_after_ms" = 1000, "run.horizon_ms" = 4000 }]

[[block]]
scenario = "process_killed"
real_runs = 8
cause = "the second cell is made wrong"
variants = [{ "sentinel.down_after_ms" = 1200, "run.horizon_ms" = 4000 }]
"""
RUN = ["--stored", "--jobs", "1", "--runs", "100"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A folder with a matrix of two cells, and runs for each: made by the simulator with another seed."""
    folder = tmp_path_factory.mktemp("matrix")
    (folder / SCENARIO.name).write_text(SCENARIO.read_text())
    (folder / matrix.FILE).write_text(MATRIX)
    cells = matrix.load(folder)
    return folder, {cell: [replace(each, arm="real") for each in sim.simulate(cell.scenario, 8, 99, jobs=1)]
                    for cell in cells}  # fmt: skip


@pytest.fixture
def registered(simulated, tmp_path, monkeypatch):
    """The folder of the matrix, its cells with their runs, and a way to store runs."""
    folder, runs = simulated
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stored, "FOLDER", tmp_path / "stored")

    def store(cell, traces):
        stored.write_runs(cell.scenario, traces, tmp_path / "stored")

    return folder, list(runs.items()), store


def late(trace, by_ms):
    """The same run with all that sentinels and servers did later."""
    events = [event if event.actor == "fault" or event.t_us < 0 else replace(event, t_us=event.t_us + 1000 * by_ms)
              for event in trace.events]  # fmt: skip
    return replace(trace, events=events)


def test_cells_of_the_same_law_agree(registered, capsys, tmp_path):
    folder, cells, store = registered
    for cell, runs in cells:
        store(cell, runs)
    code = main(["compare", str(folder), *RUN, "--junit", "junit.xml", "--out", "kept"])
    said = capsys.readouterr().out
    assert code == ExitCode.OK, said
    assert "verdict: AGREES - 2 of 2 cells agree" in said
    kept = json.loads((tmp_path / "kept/regression.json").read_text())
    assert [each["verdict"] for each in kept["cells"]] == ["agrees", "agrees"]
    suite = ElementTree.parse("junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "0", "0")
    assert suite[0].get("name") == cells[0][0].name


def test_a_late_cell_is_a_finding_unless_its_cause_is_named(registered, capsys):
    folder, cells, store = registered
    for number, (cell, runs) in enumerate(cells):
        store(cell, [late(run, 900 if number == 1 else 0) for run in runs])
    assert main(["compare", str(folder), *RUN, "--junit", "junit.xml"]) == ExitCode.UNDECIDED
    said = capsys.readouterr().out
    assert "1 of 2 cells agree, 1 explained" in said and "the second cell is made wrong" in said
    assert ElementTree.parse("junit.xml").getroot().get("skipped") == "1"
    store(cells[0][0], [late(run, 900) for run in cells[0][1]])
    assert main(["compare", str(folder), *RUN, "--json", "--junit", "junit.xml"]) == ExitCode.FINDING
    data = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in data["cells"]] == ["disagrees", "explained"]
    (failure,) = ElementTree.parse("junit.xml").getroot().findall("testcase/failure")
    assert failure.get("message").startswith("disagrees: sdown_first") and "margin 500 ms" in failure.text


def test_without_stored_runs_nothing_is_claimed(registered, capsys):
    folder, cells, store = registered
    store(cells[0][0], [replace(run, stalled=True) for run in cells[0][1]])
    assert main(["compare", str(folder), *RUN]) == ExitCode.UNDECIDED
    assert "verdict: UNDECIDED - 0 of 2 cells agree, 2 no data" in capsys.readouterr().out


def test_any_number_of_processes_gives_the_same_result(registered, capsys):
    folder, cells, store = registered
    for cell, runs in cells:
        store(cell, runs)
    said = []
    for jobs in ("1", "2"):
        main(["compare", str(folder), *RUN, "--engine", "world", "--runs", "2", "--jobs", jobs, "--json"])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


@pytest.mark.parametrize("more", [["--set", "sentinel.quorum=3"], [str(SCENARIO)]])
def test_a_matrix_is_compared_alone_and_unchanged(registered, capsys, more):
    assert main(["compare", str(registered[0]), *more, "--stored"]) == ExitCode.USAGE
    assert "as it is registered" in capsys.readouterr().err


def test_runs_are_predicted_from_their_own_phases(registered, capsys, monkeypatch):
    """What is asked of the simulator: as many runs as promised, from these phases, with another seed for each run."""
    folder, cells, store = registered
    cell, runs = cells[0]
    told = [replace(run, phases=[{"host": f"phase of run {run.run}"}]) for run in runs[:3]]
    store(cell, [*told, replace(runs[3], stalled=True, phases=told[0].phases), *runs[4:]])
    simulate, asked = sim.simulate, []

    def conditioned(scenario, count, seed, engine, jobs, progress=None, phases=None):
        if phases:
            asked.append((count, seed, phases[0]["host"]))
        return simulate(scenario, count, seed, engine, jobs, progress)

    monkeypatch.setattr(sim, "simulate", conditioned)
    main(["compare", str(folder), *RUN, "--conditional", "--json"])
    rows = json.loads(capsys.readouterr().out)["conditional"]["rows"]
    assert asked == [(conditional.RUNS, 1 + number, f"phase of run {number}") for number in range(3)]
    assert (rows[0]["n"], rows[0]["milestone"]) == (3, "sdown_first")
    main(["compare", str(folder), *RUN, "--conditional"])
    assert "single runs, predicted from their phases" in capsys.readouterr().out


@pytest.mark.parametrize(("stalls", "made", "usable"), [((1, 3), 7, 5), ((1, 3, 5, 6), 9, 5), (range(20), 10, 0)])
def test_stalled_real_runs_are_made_up_for_but_not_for_ever(registered, monkeypatch, stalls, made, usable):
    """Five are asked for; those with these numbers stall."""
    from reference_node.lab import replay, servers

    (cell, runs), _ = registered[1]

    def iter_replay(scenario, count, seed, server, progress, first):
        return (replace(runs[0], run=number, stalled=number in stalls) for number in range(first, first + count))

    monkeypatch.setattr(replay, "iter_replay", iter_replay)
    monkeypatch.setattr(servers, "choose", lambda name: servers.Server)
    monkeypatch.setattr(servers.Server, "flavour", "redis", raising=False)
    monkeypatch.setattr(servers.Server, "version", "0", raising=False)
    real = RealRuns([])
    real.measure(cell.scenario, 5, 1, Voice(quiet=True), make_up=True)
    assert [trace.run for trace in real.traces] == list(range(made))
    assert sum(not trace.stalled for trace in real.traces) == usable
