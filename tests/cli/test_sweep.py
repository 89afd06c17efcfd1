"""`hastudy sweep`: grids, random designs, tables, files, and what it says about wrong use."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from study.cli import main
from study.sweep_words import read_settings

QUICK = ["primary_host_vanishes", "--runs", "40", "--set", "run.horizon_ms=6000", "--set", "fault.1.at_ms=5000"]
KEY = "sentinel.down_after_ms"


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ([f"{KEY}=1000:4000:4"], [{KEY: 1000}, {KEY: 2000}, {KEY: 3000}, {KEY: 4000}]),
        ([f"{KEY}=1000,1500"], [{KEY: 1000}, {KEY: 1500}]),
        (["server.version=7.0", "host.1.registrar=true,false"],
         [{"server.version": 7.0, "host.1.registrar": True}, {"server.version": 7.0, "host.1.registrar": False}]),
        (["registrar.policy=guide"], [{"registrar.policy": "guide"}]),
    ],
)  # fmt: skip
def test_grids(axes: list[str], expected: list[dict]) -> None:
    assert read_settings(axes, None, 1) == expected


def test_a_random_design_lies_in_its_ranges() -> None:
    design = read_settings([f"{KEY}=1000:2000", "sentinel.quorum=1:3"], 30, 1)
    assert len(design) == 30
    assert {each["sentinel.quorum"] for each in design} == {1, 2, 3}
    assert all(1000 <= each[KEY] <= 2000 for each in design)


def test_a_sweep_prints_a_table_and_writes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["sweep", *QUICK, "--grid", f"{KEY}=500:1500:2", "--until", "switch_last", "--out", str(tmp_path)]
    assert main(wanted) == 0
    printed = capsys.readouterr().out
    assert "2 settings" in printed
    assert "switch_last p95" in printed
    assert "40 of 40" in printed
    with (tmp_path / "settings.csv").open() as file:
        assert [row[KEY] for row in csv.DictReader(file)] == ["500", "1500"]
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 81
    assert json.loads((tmp_path / "sweep.json").read_text())["until"] == ["switch_last"]
    assert main(wanted) == 0
    assert capsys.readouterr().out == printed


def test_json_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *QUICK, "--grid", f"{KEY}=1000,2000", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    first, second = (each["quantities"]["first_write"]["p50_ms"] for each in data["settings"])
    assert second - first == pytest.approx(1000, abs=100)
    assert data["settings"][0]["counts"]["lost"]["n"] == 40
    assert data["settings"][0]["probabilities"]["failover"]["k"] == 40


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--grid", KEY], "--grid sentinel.down_after_ms cannot be read"),
        (["--grid", f"{KEY}=1:2"], "cannot be read"),
        (["--grid", f"{KEY}=5:2:3"], "cannot be read"),
        (["--grid", f"{KEY}=1,2", "--random", "3"], "cannot be read"),
        (["--grid", "sentinel.up_after_ms=1,2"], "sentinel.up_after_ms is unknown"),
        (["--grid", f"{KEY}=0,2"], "sentinel.down_after_ms is 0"),
        (["--grid", f"{KEY}=500", "--until", "the_end"], "invalid choice"),
        (["--grid", f"{KEY}=500", "--width", "first_write"], "--width first_write cannot be read"),
        (["--grid", f"{KEY}=500", "--width", "elected:0:1"], "--width elected:0:1 cannot be read"),
        (["--grid", f"{KEY}=500", "--width", "calls:5:1"], "width is of calls"),
        (["--grid", f"{KEY}=500", "--on", "mars"], "on is mars"),
    ],
)
def test_wrong_use_is_said(extra: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *QUICK, *extra]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "hint" in said
