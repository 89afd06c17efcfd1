"""Sweeps: settings, blocks, finished blocks, stopping, intervals, tables. What runs show is compared elsewhere."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from model.errors import EnvironmentLacks, HastudyError, ScenarioError, UsageError
from model.measures import MILESTONES, Facts, measure
from model.scenario import Scenario, load
from sim import batch, simulate
from study import blocks, compare
from study import sweep as sweeps
from study.compare import Sample
from study.samples import quantile_interval
from study.sweep import Sweep, Width, grid_of, latin_hypercube, sweep

KEY = "sentinel.down_after_ms"
QUICK = ["run.horizon_ms=6000", "fault.1.at_ms=5000", *(f"host.{number}.registrar=false" for number in range(3))]


@pytest.fixture
def quick() -> Scenario:
    return load("scenarios/host_loss/primary_host_vanishes.toml", QUICK)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "BLOCK", 20)


def tables(found: Sweep) -> list[dict[str, list[int]]]:
    return [{name: values.tolist() for name, values in found.load(n).items()} for n in range(len(found.settings))]


# --- settings --------------------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination() -> None:
    assert grid_of({"a": [1, 2], "b": [3, 4]}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]


def test_a_latin_hypercube_hits_every_part_of_every_range_once() -> None:
    design = latin_hypercube({"a": (0, 99), "b": (1000, 1009)}, 10, seed=3)
    assert sorted(each["a"] // 10 for each in design) == list(range(10))
    assert sorted(each["b"] for each in design) == list(range(1000, 1010))
    assert design == latin_hypercube({"a": (0, 99), "b": (1000, 1009)}, 10, seed=3)
    assert design != latin_hypercube({"a": (0, 99), "b": (1000, 1009)}, 10, seed=4)


def test_every_setting_meets_the_same_chance(quick: Scenario) -> None:
    """The draws of the steady state: a twin of the same setting is the same, one 1 ms later hardly differs."""
    found = sweep(quick, design=[{KEY: 1000}, {KEY: 1001}, {"sentinel.quorum": 2, KEY: 1000}], runs=40)
    first, near, twin = (found.column(number, "sdown_first") for number in range(3))
    assert (first == twin).all()
    assert np.corrcoef(first, near)[0, 1] > 0.95


def test_values_are_those_of_measures(quick: Scenario) -> None:
    """Samples are made of outcomes as `study.compare` makes them of traces, censored ones too."""
    scenario = load("scenarios/host_loss/primary_host_vanishes.toml", ["run.horizon_ms=11200", "fault.1.at_ms=11199"])
    found = sweep(scenario, design=[{}], runs=60, seed=5)
    runs = [measure(trace, Facts.of(scenario)) for trace in simulate(scenario, 60, 5, jobs=1)]
    for name in (*MILESTONES, "redis_write", "register@host2"):
        expected, got = compare.sample(name, runs), found.sample(0, name)
        assert got.values_ms.tolist() == expected.values_ms.tolist(), name
        assert got.is_censored.tolist() == expected.is_censored.tolist(), name
    assert 0 < found.sample(0, "first_write").censored < 60


def test_settings_may_have_other_nodes() -> None:
    scenario = load("scenarios/host_loss/primary_host_vanishes.toml", ["run.horizon_ms=6000", "fault.1.at_ms=5000"])
    found = sweep(scenario, {"host.1.registrar": [True, False]}, runs=20)
    assert len(found.sample(0, "register@host2")) == 20
    assert len(found.sample(1, "register@host2")) == 0
    assert found.to_json()["settings"][1]["quantities"]["register@host2"] == {"n": 0, "censored": 0}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "a grid or a design"),
        ({"grid": {KEY: [1000]}, "design": [{KEY: 1}]}, "a grid or a design"),
        ({"grid": {KEY: [1000]}, "until": ["the_end"]}, "until is the_end"),
        ({"grid": {KEY: [1000]}, "width": Width("lost_time", 95, 10)}, "width is of lost_time"),
        ({"grid": {KEY: [1000]}, "until": ["elected"], "width": Width("demoted", 95, 10)}, "width is of demoted"),
        ({"grid": {KEY: [1000]}, "on": "the moon"}, "on is the moon"),
        ({"grid": {KEY: []}}, "no setting"),
    ],
)
def test_what_cannot_be_is_said(quick: Scenario, wanted: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sweep(quick, **wanted)


def test_a_wrong_key_is_said_as_everywhere(quick: Scenario) -> None:
    with pytest.raises(ScenarioError, match="sentinel.down_before_ms is unknown"):
        sweep(quick, {"sentinel.down_before_ms": [1000]})


# --- workers, blocks, interrupts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [None, Width("first_write", 50, 80)])
def test_workers_do_not_matter(quick: Scenario, width: Width | None) -> None:
    alone = sweep(quick, {KEY: [500, 1500, 2500]}, runs=90, jobs=1, width=width)
    many = sweep(quick, {KEY: [500, 1500, 2500]}, runs=90, jobs=5, width=width)
    assert tables(alone) == tables(many)
    assert [each.runs for each in alone.settings] == [each.runs for each in many.settings]


def test_blocks_do_not_matter(quick: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tables(sweep(quick, {KEY: [500, 1500]}, runs=50))
    monkeypatch.setattr(sweeps, "BLOCK", 50)
    assert tables(sweep(quick, {KEY: [500, 1500]}, runs=50)) == small
    assert small[0]["run"] == list(range(50))


def test_finished_blocks_are_taken_up(quick: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sweep(quick, {KEY: [500]}, runs=40, folder=tmp_path)
    made: list[int] = []
    make = sweeps.make_block
    monkeypatch.setattr(sweeps, "make_block", lambda *told: made.append(told[2]) or make(*told))
    more = sweep(quick, {KEY: [500, 600]}, runs=60, folder=tmp_path, jobs=1)
    assert made == [0, 20, 40, 40] or sorted(made) == [0, 20, 40, 40]
    assert tables(more)[0]["first_write"][:40] == tables(before)[0]["first_write"]
    made.clear()
    assert tables(sweep(quick, {KEY: [500, 600]}, runs=60, folder=tmp_path)) == tables(more)
    assert not made


@pytest.mark.parametrize("change", [{"seed": 2}, {"until": ["elected"]}])
def test_blocks_of_something_else_are_not_taken_up(quick: Scenario, tmp_path: Path, change: dict) -> None:
    sweep(quick, {KEY: [500]}, runs=20, folder=tmp_path)
    found = sweep(quick, {KEY: [500]}, runs=20, folder=tmp_path, **change)
    assert tables(found) == tables(sweep(quick, {KEY: [500]}, runs=20, **change))


def test_blocks_of_another_source_are_not_taken_up(
    quick: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(quick, {KEY: [500]}, runs=20, folder=tmp_path)
    monkeypatch.setattr(batch, "fingerprint", lambda: "changed")
    sweep(quick, {KEY: [500]}, runs=20, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupt_keeps_finished_blocks(quick: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(quick, {KEY: [500, 600]}, runs=200, folder=tmp_path, progress=stop, jobs=1)
    kept = len(list(tmp_path.rglob("*-*.*")))
    assert 3 <= kept < 20
    made: list[int] = []
    make = sweeps.make_block
    monkeypatch.setattr(sweeps, "make_block", lambda *told: made.append(told[2]) or make(*told))
    found = sweep(quick, {KEY: [500, 600]}, runs=200, folder=tmp_path)
    assert len(made) == 20 - kept
    assert tables(found) == tables(sweep(quick, {KEY: [500, 600]}, runs=200))


@pytest.mark.parametrize("has_pyarrow", [True, False])
def test_blocks_are_kept_as_parquet_or_npz(
    quick: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pyarrow: bool
) -> None:
    if has_pyarrow:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    else:
        monkeypatch.setattr(blocks, "parquet_module", lambda: None)
    found = sweep(quick, {KEY: [500]}, runs=30, folder=tmp_path)
    kind = ".parquet" if has_pyarrow else ".npz"
    kept = [path.suffix for path in tmp_path.rglob("0*") if path.is_file()]  # folders are called by digests
    assert kept == [kind, kind]
    assert found.column(0, "run").tolist() == list(range(30))


# --- stopping --------------------------------------------------------------------------------------------------------


def test_a_setting_stops_at_the_first_block_whose_interval_is_narrow(quick: Scenario) -> None:
    width = Width("first_write", 50, 50)
    found = sweep(quick, {KEY: [500, 1500]}, runs=2000, until=["first_write"], width=width)
    for number, setting in enumerate(found.settings):
        values = found.column(number, "first_write") / 1000
        assert 20 < setting.runs < 2000
        reached = [width.is_reached(Sample(values[:n], np.zeros(n, bool))) for n in range(20, setting.runs + 1, 20)]
        assert reached == [False] * (len(reached) - 1) + [True]


def test_order_statistics_cover_the_quantile_of_any_law() -> None:
    rng = np.random.default_rng(7)
    for draw, truth in ((rng.exponential, stats.expon.ppf(0.9)), (rng.standard_cauchy, stats.cauchy.ppf(0.9))):
        hits = 0
        for _ in range(1000):
            low, high = quantile_interval(Sample(draw(size=200), np.zeros(200, bool)), 0.9)
            hits += low <= truth <= high
        assert stats.binomtest(hits, 1000, 0.95, "less").pvalue > 1e-4, hits


def test_an_interval_has_no_limit_where_values_end_or_were_cut_off() -> None:
    values = np.arange(100.0)
    assert quantile_interval(Sample(values[:5], np.zeros(5, bool)), 0.5) == (None, None)
    low, high = quantile_interval(Sample(values, values >= 52), 0.5)
    assert low == 39.0
    assert high is None


# --- tables ----------------------------------------------------------------------------------------------------------


def test_tables(quick: Scenario, tmp_path: Path) -> None:
    found = sweep(quick, {KEY: [500, 1500]}, runs=60)
    found.write_csv(tmp_path / "settings.csv")
    found.write_runs_csv(tmp_path / "runs.csv")
    with (tmp_path / "settings.csv").open() as file:
        settings = list(csv.DictReader(file))
    with (tmp_path / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [row[KEY] for row in settings] == ["500", "1500"]
    assert float(settings[0]["first_write_p50_ms"]) < float(settings[1]["first_write_p50_ms"])
    assert float(settings[0]["first_write_p50_low_ms"]) <= float(settings[0]["first_write_p50_ms"])
    assert settings[0]["failover_n"] == "60"
    assert len(runs) == 120
    assert [row["run"] for row in runs[60:62]] == ["0", "1"]
    assert float(runs[0]["first_write_ms"]) == found.column(0, "first_write")[0] / 1000
    assert runs[0]["demoted_ms"] == ""
    assert found.to_json()["settings"][1]["values"] == {KEY: 1500}


def test_data_frames(quick: Scenario) -> None:
    found = sweep(quick, {KEY: [500, 1500]}, runs=20)
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(EnvironmentLacks, match="pandas is not installed"):
            found.to_pandas()
        return
    assert len(found.to_pandas()) == 40
    assert found.to_pandas(runs=False)[KEY].tolist() == [500, 1500]
    assert found.to_pandas().groupby(KEY).first_write_ms.median().is_monotonic_increasing


# --- Dask ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path):
    """A scheduler and two workers, processes of their own on loopback; yields the address."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    started = [subprocess.Popen([*command, "--no-dashboard", "--scheduler-file", str(file)], stderr=subprocess.DEVNULL)]
    try:
        while not file.exists():
            assert started[0].poll() is None, "the scheduler ended"
            time.sleep(0.1)
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--no-dashboard"]
        started += [
            subprocess.Popen(
                [*worker, "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1"], stderr=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            yield client.scheduler.address.removeprefix("tcp://")
    finally:
        for process in reversed(started):  # workers sign off at their scheduler
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.slow
def test_a_cluster_makes_the_same(quick: Scenario, cluster: str) -> None:
    here = sweep(quick, {KEY: [500, 1500]}, runs=90)
    there = sweep(quick, {KEY: [500, 1500]}, runs=90, on=f"dask://{cluster}")
    assert tables(there) == tables(here)


def test_a_cluster_that_is_not_there_is_said(quick: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "DASK_PATIENCE_S", 1)
    with pytest.raises(HastudyError, match="Dask is not installed|no Dask scheduler answers at 127.0.0.1:9"):
        sweep(quick, {KEY: [500]}, on="dask://127.0.0.1:9")
