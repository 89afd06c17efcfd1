"""`hastudy tune` from the command line."""

from __future__ import annotations

import csv
import json

import pytest

from study.cli import main
from study.exits import ExitCode

VANISH = "scenarios/host_loss/primary_host_vanishes.toml"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def test_text_tables_and_picture(tmp_path, capsys):
    stalls = tmp_path / "stalls.csv"
    stalls.write_text("# observed_hours = 720\nlength_ms\n" + "900\n1500\n2400\n" * 4)
    out = tmp_path / "out"
    argv = ["tune", VANISH, "--service", "redis_write", "--runs", "20", "--range", "1000:8000", "--out", str(out),
            "--stalls", str(stalls), "--limit", "needless=40", "--set", "sentinel.down_after_ms=5000"]  # fmt: skip
    assert main([*argv, "--quiet"]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""
    for words in ("admissible: ", "best: sentinel down-after-milliseconds", "needless failovers", "closed form",
                  "5000 (now)", "other knobs", "sentinel.quorum", "stalls.csv: 12 in 720 h"):  # fmt: skip
        assert words in said.out
    data = json.loads((out / "tune.json").read_text())
    present = data["present"]
    assert present["down_after_ms"] == 5000
    # No stall of Redis was that long: next to none is expected, but two a month cannot be excluded.
    assert present["needless"]["value"] < 0.01 and present["needless"]["high"] > 24
    rows = list(csv.DictReader((out / "curve.csv").open()))
    assert [int(row["down_after_ms"]) for row in rows] == [row["down_after_ms"] for row in data["curve"]]
    assert {path.name for path in out.iterdir()} == {"tune.json", "curve.csv", "front.csv", "knobs.csv", "tune.png",
                                                     "tune.svg", "manifest.json", "blocks"}  # fmt: skip


def test_no_delay_is_a_finding(capsys):
    argv = ["tune", VANISH, "--service", "redis_write", "--runs", "10", "--no-knobs", "--quiet",
            "--limit", "outage_p95=2", "--limit", "needless=0.1"]  # fmt: skip
    assert main(argv) == ExitCode.FINDING
    assert "no delay is admissible, because" in capsys.readouterr().out
    assert main([*argv, "--json"]) == ExitCode.FINDING
    data = json.loads(capsys.readouterr().out)
    assert data["best"] is None and len(data["infeasible"]) >= 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--range", "5000:1000"], ["--range is '5000:1000'", "LOW:HIGH"]),
        (["--runs", "3"], ["--runs is 3", "10 to 100000"]),
        (["--limit", "needless=much"], ["--limit is 'needless=much'"]),
        (["--service", "client"], ["--service client", "no [[client]]"]),
        (["--conditions", "nowhere.toml"], ["nowhere.toml", "No such file"]),
        (["--stalls", "nowhere.csv"], ["nowhere.csv", "No such file"]),
    ],
)
def test_wrong_use_is_explained(argv, words, capsys):
    assert main(["tune", VANISH, *argv]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ")
    for word in [*words, "hint:"]:
        assert word in said.err
