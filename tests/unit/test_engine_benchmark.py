"""The benchmark of the engines: all of them make the same events of its workload, else their speeds say nothing."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from model.errors import EnvironmentLacks

FOLDER = Path(__file__).parents[2] / "benchmarks"
SEED, FIRST, RUNS = 1 << 40, 7, 2


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch):
    """The drivers of the workload: benchmarks are no package."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("drivers")


@pytest.mark.parametrize("name", ["c", "compiled", "simpy_callbacks", "simpy_processes"])
def test_an_engine_makes_the_same_events_as_the_plain_loop(drivers, name: str):
    try:
        found = getattr(drivers, name)(SEED, FIRST, RUNS)
    except EnvironmentLacks as lack:
        pytest.skip(str(lack))
    assert found == drivers.heapq_loop(SEED, FIRST, RUNS), f"seed {SEED}, runs {FIRST} and {FIRST + 1}"
    assert found.events > 3_000 * RUNS and found.missed > 0 and found.outage_us > 4_000_000 * RUNS


def test_without_a_compiler_c_is_left_out_and_the_reason_is_said(drivers, monkeypatch: pytest.MonkeyPatch):
    engine = importlib.import_module("engine")
    drivers._library.cache_clear()
    monkeypatch.setattr(drivers.shutil, "which", lambda name: None)
    monkeypatch.setattr(engine, "SPELL_S", 0.01)
    rows, left_out = engine.workload_rows(1)
    assert rows[0].name == "compiled" and rows[0].ratio == 1.0
    assert left_out == ["C (cc -O3 -march=native): no C compiler (cc) on the path"]


def test_engines_that_disagree_are_not_timed(drivers, monkeypatch: pytest.MonkeyPatch, capsys):
    engine = importlib.import_module("engine")
    true = drivers.compiled
    monkeypatch.setitem(drivers.DRIVERS, "compiled", lambda *which: true(*which)._replace(digest=0))
    assert engine.main(["--only", "workload", "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "the engines disagree: seed 1, runs 0 to 2" in said.err


def test_the_report_is_json(drivers, monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path):
    engine = importlib.import_module("engine")
    monkeypatch.setattr(engine, "SPELL_S", 0.01)
    out = tmp_path / "engine.json"
    assert engine.main(["--only", "workload", "--repetitions", "1", "--json", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())
