"""`hastudy availability` from the command line."""

from __future__ import annotations

import csv
import json

import pytest

from study.cli import main
from study.exits import ExitCode

VANISH = "scenarios/host_loss/primary_host_vanishes.toml"
QUICK = ["availability", VANISH, "--service", "redis_write", "--runs", "10", "--quiet"]

CONDITIONS = """
schema = 1
stall = []

[crashes_counted]
years = 15
host = 3
redis = 5

[planned]
work = 2
"""


pytestmark = pytest.mark.usefixtures("in_the_checkout")


def test_text_table_and_picture(tmp_path, conditions, capsys):
    out = tmp_path / "out"
    argv = [*QUICK, "--conditions", str(conditions), "--objective", "99.99", "--out", str(out)]
    assert main(argv) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""
    for words in ("availability 99.9999", "nines (", "minutes a year", "the primary's host is lost", "kept; ",
                  "objective 99.99 %", "too few sentinels are left", "outage of single years",
                  "until a quorum suspects"):  # fmt: skip
        assert words in said.out
    assert "taken at their word" not in said.out
    data = json.loads((out / "availability.json").read_text())
    rows = list(csv.DictReader((out / "budget.csv").open()))
    assert [row["cause"] for row in rows] == [row["cause"] for row in data["budget"]]
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=0.001)
    low, value, high = (data["minutes_a_year"][end] for end in ("low", "value", "high"))
    assert low < value < high
    assert {path.name for path in out.iterdir()} == {"availability.json", "availability.png", "availability.svg",
                                                     "budget.csv", "manifest.json", "blocks"}  # fmt: skip


def test_an_objective_that_is_missed_is_a_finding_and_a_close_one_undecided(conditions, capsys):
    argv = [*QUICK, "--conditions", str(conditions), "--json"]
    assert main([*argv, "--objective", "99.99999"]) == ExitCode.FINDING
    data = json.loads(capsys.readouterr().out)
    assert data["objective"]["verdict"] == "exceeded" and data["objective"]["left_minutes"] < 0
    close = data["availability_percent"]["value"]
    assert main([*argv, "--objective", str(close)]) == ExitCode.UNDECIDED
    assert json.loads(capsys.readouterr().out)["objective"]["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--objective", "100"], ["--objective is '100'", "above 0 and below 100"]),
        (["--objective", "nan"], ["--objective is 'nan'"]),
        (["--objective", "four nines"], ["--objective is 'four nines'"]),
        (["--runs", "3"], ["--runs is 3", "10 to 100000"]),
        (["--service", "client"], ["--service client", "no [[client]]"]),
        (["--conditions", "nowhere.toml"], ["nowhere.toml", "No such file"]),
        (["--stalls", "nowhere.csv"], ["nowhere.csv", "No such file"]),
    ],
)
def test_wrong_use_is_explained(argv, words, capsys):
    assert main(["availability", VANISH, *argv]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ")
    for word in [*words, "hint:"]:
        assert word in said.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = 1\n[crashes_per_year]\nhost = -1\n", ["crashes_per_year.host is -1"]),
        ("schema = 1\n[crashes_per_year]\nhost = nan\n", ["crashes_per_year.host is nan", "finite"]),
        ("schema = 1\n[crashes_counted]\nhost = 2\n", ["crashes_counted.years is missing"]),
        ("schema = [\n", ["not TOML"]),
    ],
)
def test_conditions_that_cannot_be_are_explained(text, words, tmp_path, capsys):
    path = tmp_path / "conditions.toml"
    path.write_text(text)
    assert main(["availability", VANISH, "--conditions", str(path)]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    for word in [*words, "hint:"]:
        assert word in said.err
