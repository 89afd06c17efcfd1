"""`hastudy rare` from the command line."""

from __future__ import annotations

import json

import pytest

from study.cli import main
from study.exits import ExitCode
from study.rare import estimate

SCENARIO = "scenarios/stalls/stall_1_2_times_the_delay.toml"
CONDITIONS = """schema = 1
[[stall]]
of = "redis"
law = "exponential"
per_year = 500
mean_ms = 250
[[stall]]
of = "link"
law = "lognormal"
per_year = 1000
median_ms = 300
sigma = 1
"""


pytestmark = pytest.mark.usefixtures("in_the_checkout")


def rare(conditions, *more):
    return main(["rare", SCENARIO, "--conditions", conditions, "--quiet", "--jobs", "1", "--effort", "20", *more])


def test_text_and_json(conditions, tmp_path, capsys):
    out = tmp_path / "out"
    assert rare(conditions, "--replications", "4", "--out", str(out)) in (ExitCode.OK, ExitCode.UNDECIDED)
    said = capsys.readouterr()
    assert said.err == ""
    for words in ("needless failovers: ", "an hour: ", "90 % interval", "nothing is disturbed ", "link host2, link",
                  "lognormal, median 300 ms", "failed over ", "simulated: "):  # fmt: skip
        assert words in said.out
    data = json.loads((out / "rare.json").read_text())
    assert data["schema"] == 1 and data["seed"] == 1 and data["replications"] == 4
    assert [cause["of"] for cause in data["causes"]] == ["redis", "link"]
    assert (out / "manifest.json").is_file()


def test_an_interrupt_keeps_what_is_over(conditions, monkeypatch, capsys):
    true = estimate._replicate

    def stops(study, ready, number):
        if number == 3:
            raise KeyboardInterrupt
        return true(study, ready, number)

    monkeypatch.setattr(estimate, "_replicate", stops)
    assert rare(conditions, "--replications", "9", "--json") == ExitCode.INTERRUPTED
    assert json.loads(capsys.readouterr().out)["replications"] == 3


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--conditions", "nowhere.toml"], ["nowhere.toml", "No such file"]),
        (["--replications", "1"], ["'1' is not allowed", "2 to 10000"]),
        (["--event", "lost"], ["--event lost", "registrar = true"]),
    ],
)
def test_wrong_use_is_explained(argv, words, capsys):
    assert main(["rare", SCENARIO, *argv]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ")
    for word in [*words, "hint:"]:
        assert word in said.err


@pytest.mark.parametrize("text", ["per_year = -1\nmean_ms = 3", "per_year = nan\nmean_ms = 3", "per_year = 5"])
def test_impossible_conditions_are_explained(text, tmp_path, capsys):
    path = tmp_path / "bad.toml"
    path.write_text(f'[[stall]]\nof = "link"\nlaw = "exponential"\n{text}\n')
    assert rare(str(path)) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}: stall") and "allowed: " in said


def test_what_is_hardly_ever_at_rest_is_refused(tmp_path, capsys):
    path = tmp_path / "busy.toml"
    path.write_text('[[stall]]\nof = "link"\nlaw = "exponential"\nper_year = 3e7\nmean_ms = 3000\n')
    assert rare(str(path)) == ExitCode.USAGE
    assert "nothing is rare there" in capsys.readouterr().err
