"""The verbs end to end, on short runs of the interpreted engine."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from model.errors import EnvironmentLacks
from model.measures import MILESTONES, PARTS
from model.scenario import load
from model.trace import read_traces, write_traces
from sim import simulate
from study import arms
from study.cli import main
from study.exits import ExitCode

ROOT = Path(__file__).parents[2]
CRASH = str(ROOT / "scenarios/host_loss/primary_process_crashes.toml")
SHORT = ["sentinel.down_after_ms=1000", "fault.1.at_ms=4000", "run.horizon_ms=8000", "compare.margin_ms=1500"]
SETTINGS = [word for override in SHORT for word in ("--set", override)]
SMALL = [CRASH, "--runs", "3", "--engine", "world", "--jobs", "1", *SETTINGS]


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A working directory with stored real runs of the short scenario, and their path.

    They come from the simulator with another seed, so that the outcome is known.
    """
    monkeypatch.chdir(tmp_path)
    traces = [replace(trace, arm="real") for trace in simulate(load(CRASH, SHORT), 5, 99, "world", 1)]
    path = tmp_path / "runs" / "primary_process_crashes" / "earlier" / "real.ndjson"
    path.parent.mkdir(parents=True)
    write_traces(path, traces)
    return path


def test_scenarios_lists_names_and_questions(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["scenarios"]) == ExitCode.OK
    assert re.search(r"^primary_host_vanishes +9 claims  The primary's host disappears", capsys.readouterr().out, re.M)
    assert main(["scenarios", "--json"]) == ExitCode.OK
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert listed["primary_host_vanishes"]["claims"] == 9
    assert "primary_process_crashes" in listed


def test_scenarios_are_found_from_elsewhere(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["scenarios"]) == ExitCode.OK
    assert "primary_host_vanishes" in capsys.readouterr().out


def test_simulate_prints_the_promised_json_and_nothing_else(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", *SMALL, "--json"]) == ExitCode.OK
    summary = json.loads(capsys.readouterr().out)
    assert list(summary) == [
        "schema", "scenario", "digest", "arm", "seed", "runs", "stalled", "censored", "versions", "milestones",
        "outages", "outage_outcomes", "parts", "parts_by_node", "probabilities", "losses", "calls", "client_parts",
    ]  # fmt: skip
    assert (summary["arm"], summary["seed"], summary["runs"]) == ("sim", 1, 3)
    assert tuple(summary["milestones"]) == MILESTONES and tuple(summary["parts"]) == PARTS
    assert summary["probabilities"]["failover"]["k"] == 3
    assert 1_000 < summary["milestones"]["first_write"]["p50_ms"] < 2_000
    assert list(tmp_path.iterdir()) == []


def test_simulate_lets_a_population_live_through_the_first_run(capsys):
    clients = "scenarios/clients/tcp_node_crashes.toml"
    assert main(["simulate", clients, "--runs", "1", "--population", "500", "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)["population"]
    assert found["size"] == 500 and sum(kind["n"] for kind in found["kinds"].values()) == 500
    assert 0 < found["peak_share_out"] < 1 and found["storm"]["asked_per_s"] > 0


def test_a_population_needs_clients(capsys):
    assert main(["simulate", *SMALL, "--population", "10"]) == ExitCode.USAGE
    assert "[[client]]" in capsys.readouterr().err


def test_simulate_twice_gives_the_same_bytes_and_another_seed_others(capsys):
    outputs = []
    for seed in ("4", "4", "5"):
        assert main(["simulate", *SMALL, "--json", "--seed", seed]) == ExitCode.OK
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_simulate_shows_tables_and_the_seed(capsys):
    assert main(["simulate", *SMALL, "--seed", "7"]) == ExitCode.OK
    said = capsys.readouterr().out
    for words in ("3 runs, seed 7", "new primary takes writes", "register@host2", "until a quorum suspects",
                  "lost election", "two servers writable"):  # fmt: skip
        assert words in said


def test_simulate_keeps_a_folder_that_can_be_run_again(capsys, tmp_path):
    assert main(["simulate", *SMALL, "--out", str(tmp_path / "kept")]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[-1] == f"folder: {tmp_path / 'kept'}"
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept == {"scenario.toml", "sim.ndjson", "measures.csv", "sim.json", "manifest.json", "timeline.png",
                    "timeline.svg"}  # fmt: skip
    assert load(tmp_path / "kept" / "scenario.toml").digest == load(CRASH, SHORT).digest
    assert len(list(read_traces(tmp_path / "kept" / "sim.ndjson"))) == 3
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text())
    assert manifest["command"].startswith("hastudy simulate ") and manifest["seed"] == 1


def test_dangerous_settings_are_warned_of_unless_quiet(capsys):
    dangerous = [*SMALL, "--set", "sentinel.quorum=3", "--json"]
    main(["simulate", *dangerous])
    assert "warning: primary_process_crashes: sentinel.quorum equals" in capsys.readouterr().err
    main(["simulate", *dangerous, "--quiet"])
    assert capsys.readouterr().err == ""


def test_compare_with_stored_runs_of_the_same_law_agrees(stored, capsys):
    junit = stored.parent / "junit.xml"
    code = main(["compare", *SMALL, "--runs", "12", "--stored", "--junit", str(junit)])
    said = capsys.readouterr().out
    assert code == ExitCode.OK, said
    assert "verdict: AGREES" in said and "real - sim" in said
    folder = Path(said.splitlines()[-1].removeprefix("folder: "))
    assert {"comparison.json", "real.ndjson", "sim.ndjson", "measures.csv"} <= {path.name for path in folder.iterdir()}
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")


def test_stored_runs_of_other_settings_are_not_taken(stored, capsys):
    assert main(["compare", *SMALL, "--stored", "--set", "sentinel.quorum=3"]) == ExitCode.USAGE
    assert "no stored real runs" in capsys.readouterr().err


def test_compare_finds_a_disagreement(stored, capsys):
    shifted = []
    for trace in read_traces(stored):
        late = [replace(event, t_us=event.t_us + 2_000_000) if event.actor == "sentinel" else event
                for event in trace.events]  # fmt: skip
        shifted.append(replace(trace, events=late))
    write_traces(stored, shifted)
    code = main(["compare", *SMALL, "--runs", "12", "--stored", "--json", "--quiet"])
    result = json.loads(capsys.readouterr().out)
    assert code == ExitCode.FINDING
    assert result["comparison"]["verdict"] == "disagrees"
    assert result["sim"]["arm"] == "sim" and result["real"]["arm"] == "real"


def test_compare_with_two_real_runs_is_undecided(stored, capsys):
    write_traces(stored, list(read_traces(stored))[:2])
    assert main(["compare", *SMALL, "--stored", "--quiet"]) == ExitCode.UNDECIDED
    assert "verdict: UNDECIDED - 2 usable real runs" in capsys.readouterr().out


def test_compare_without_servers_still_predicts(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def lacking(*_args, **_keywords):
        raise EnvironmentLacks("this machine refuses namespaces")

    monkeypatch.setattr(arms.RealRuns, "measure", lacking)
    assert main(["compare", *SMALL]) == ExitCode.ENVIRONMENT
    said = capsys.readouterr()
    assert "new primary takes writes" in said.out
    assert "error: this machine refuses namespaces" in said.err


@pytest.mark.parametrize("verb", ["replay", "compare"])
def test_an_interrupt_keeps_what_is_done(verb, stored, monkeypatch, capsys):
    done = list(read_traces(stored))[:3]

    def interrupted(self, *_args, **_keywords):
        self.traces += done
        raise KeyboardInterrupt

    monkeypatch.setattr(arms.RealRuns, "measure", interrupted)
    words = SMALL if verb == "compare" else [CRASH, *SETTINGS]
    assert main([verb, *words, "--out", "kept", "--quiet"]) == ExitCode.INTERRUPTED
    assert "3 runs" in capsys.readouterr().out
    assert len(list(read_traces(Path("kept/real.ndjson")))) == 3


def test_servers_says_what_it_found(capsys):
    code = main(["servers", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (ExitCode.OK if found["servers"] else ExitCode.ENVIRONMENT)
    assert any(each["name"] == "user namespace" for each in found["machine"])
