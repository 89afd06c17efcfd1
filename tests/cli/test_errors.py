"""What a user reads after a mistake: where, what was given, what is allowed, what next. Never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from study.cli import VERBS, main
from study.exits import ExitCode, worst

ROOT = Path(__file__).parents[2]
VANISH = str(ROOT / "scenarios/host_loss/primary_host_vanishes.toml")
PHONES = str(ROOT / "scenarios/phone/phones_host_vanishes.toml")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["a verb is missing", "simulate", "hint:"]),
        (["simulat", "x"], ["unknown verb 'simulat'", "allowed: scenarios, simulate", "did you mean `simulate`?"]),
        (["simulate"], ["SCENARIO", "hint: `hastudy simulate --help`"]),
        (["simulate", VANISH, "--runs", "0"], ["--runs", "'0'", "allowed: 1 to"]),
        (["simulate", VANISH, "--seed", "-1"], ["--seed", "allowed: 0 to"]),
        (["simulate", VANISH, "--engine", "steam"], ["--engine", "steam", "batch", "world"]),
        (["simulate", VANISH, "--colour"], ["--colour", "hint:"]),
        (["simulate", "nowhere.toml"], ["nowhere.toml", "No such file", "hint: `hastudy scenarios`"]),
        (["simulate", "primary_host_vanish"], ["did you mean `primary_host_vanishes`?"]),
        (["simulate", VANISH, "--set", "sentinel.quorum=5"],
         ["primary_host_vanishes.toml", "sentinel.quorum is 5", "allowed: 1 to 3", "hint: set"]),
        (["simulate", VANISH, "--set", "sentinel.qourum=2"],
         ["sentinel.qourum is unknown", "quorum", "did you mean `quorum`?"]),
        (["simulate", VANISH, "--set", "fault.0.host=host9"], ["fault.0.host", "host9", "one of host1, host2, host3"]),
        (["simulate", VANISH, "--set", "fault.0.at_ms=-5"], ["fault.0.at_ms is -5", "allowed: 0 to"]),
        (["simulate", PHONES, "--runs", "1", "--set", "run.horizon_ms=3600000"],
         ["phones_host_vanishes, seed 1, run 0", "more happens in this run than there is room for", "hint: a shorter"]),
        (["compare", VANISH, "nowhere.toml"], ["nowhere.toml"]),
        (["tune", VANISH, "--objective", "p95"], ["--objective is 'p95'", "outage_p95", "hint: for example"]),
    ],
)  # fmt: skip
def test_wrong_use_is_explained(argv, words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(argv) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    for word in words:
        assert word in said.err


def test_broken_toml_names_the_line(tmp_path, capsys):
    broken = tmp_path / "broken.toml"
    broken.write_text("schema = 1\nname = \n", encoding="utf-8")
    assert main(["simulate", str(broken)]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "broken.toml" in said and "line 2" in said and "hint: mend" in said


def test_a_folder_without_scenarios(tmp_path, capsys):
    assert main(["compare", str(tmp_path)]) == ExitCode.USAGE
    assert "no scenario" in capsys.readouterr().err


def test_the_module_is_the_same_program_and_shows_no_traceback():
    done = subprocess.run([sys.executable, "-m", "study", "simulate", VANISH, "--set", "sentinel.quorum=5"],
                          cwd=ROOT, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == ExitCode.USAGE
    assert "sentinel.quorum is 5" in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_closes_early_is_no_error():
    done = subprocess.run(f"{sys.executable} -m study scenarios | true", shell=True, cwd=ROOT, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert done.stderr == ""


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_has_an_example_that_parses(verb, capsys):
    from study.cli import parser

    with pytest.raises(SystemExit) as stop:
        parser().parse_args([verb, "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert f"example:\n  hastudy {verb}" in said
    args, rest = parser().parse_known_args(VERBS[verb].example.split()[1:])
    assert args.verb == verb
    assert not rest or VERBS[verb].run is None


def test_a_finding_outweighs_what_could_not_be_found_out():
    codes = [ExitCode.OK, ExitCode.UNDECIDED, ExitCode.ENVIRONMENT, ExitCode.FINDING]
    assert worst(codes) == ExitCode.FINDING
    assert worst(codes[:3]) == ExitCode.ENVIRONMENT
    assert worst(codes[:2]) == ExitCode.UNDECIDED
    assert worst([]) == ExitCode.OK
