"""`hastudy export` and `hastudy incident` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from model import scenario as scenarios
from model.trace import read_traces
from study import cli

pytestmark = pytest.mark.usefixtures("in_the_checkout")
FOLDER = "reports/host_loss/primary_host_vanishes"


@pytest.fixture
def logs(request) -> list[str]:
    return [str(path) for path in sorted((request.config.rootpath / "tests/data/incidents/cut_off").rglob("*.log"))]


@pytest.mark.parametrize(
    ("form", "begins"),
    [("perfetto", '{"traceEvents": ['), ("shiviz", "(?<step>"), ("mermaid", "sequenceDiagram"),
     ("csv", "scenario,digest,arm,seed,run,stalled,t_us,"), ("junit", "<?xml version")],
)  # fmt: skip
def test_a_format_without_out_is_printed(capsys, form, begins):
    assert cli.main(["export", FOLDER, "--format", form]) == 0
    assert capsys.readouterr().out.startswith(begins)


def test_out_names_the_file(capsys, tmp_path):
    out = tmp_path / "new" / "verdicts.xml"
    assert cli.main(["export", FOLDER, "--format", "junit", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert ElementTree.parse(out).getroot().tag == "testsuite"


def test_tables_have_all_runs_and_milestones_find_their_scenario(capsys):
    assert cli.main(["export", FOLDER, "--format", "csv", "--table", "milestones", "--arm", "real"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.split(",")[4] for line in lines[1:]}) == 10
    assert cli.main(["export", FOLDER, "--format", "csv", "--table", "milestones", "--run", "3"]) == 0
    assert {line.split(",")[4] for line in capsys.readouterr().out.splitlines()[1:]} == {"3"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["no/such.ndjson", "--format", "csv"], "cannot be read"),
     ([FOLDER, "--format", "perfetto", "--run", "99"], "--run is 99\n  allowed: 0 to 9"),
     ([FOLDER, "--format", "parquet"], "parquet is no text\n\nhint: --out FILE"),
     ([FOLDER, "--format", "csv", "--out", "reports"], "reports: is a folder"),
     ([FOLDER, "--format", "xml"], "invalid choice"),
     (["README.md", "--format", "junit"], "cannot be read: not JSON")],
)  # fmt: skip
def test_a_wrong_export_is_explained(capsys, arguments, says):
    assert cli.main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error


def test_an_incident_leaves_scenario_trace_and_timeline(capsys, tmp_path, logs):
    assert cli.main(["incident", *logs, "--no-simulation", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("host1 is cut off at 09:43:48.")
    assert "host2" in out and "+2.499..+2.501" in out
    built = scenarios.load(tmp_path / "scenario.toml")
    assert [fault.kind for fault in built.fault] == ["vanish", "return"]
    [trace] = read_traces(tmp_path / "real.ndjson")
    assert trace.digest == built.digest
    data = json.loads((tmp_path / "incident.json").read_text())
    assert [each["kind"] for each in data["faults"]] == ["vanish", "return"] and data["likely"] is None
    assert len((tmp_path / "timeline.csv").read_text().splitlines()) == len(data["timeline"]) + 1
    assert cli.main(["export", str(tmp_path), "--format", "csv", "--table", "milestones"]) == 0
    assert "switch_last" in capsys.readouterr().out


def test_an_incident_is_held_against_simulated_runs(capsys, logs):
    assert cli.main(["incident", *logs, "--runs", "60", "--what-if", "4000", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["likely"]["runs"] == 60
    assert [each["down_after_ms"] for each in data["likely"]["what_if"]] == [4000]


def test_logs_without_a_fault_are_undecided(capsys, logs, tmp_path):
    quiet = []
    for path in logs:
        lines = [line for line in Path(path).read_text().splitlines() if "sdown" not in line and "lost" not in line]
        quiet.append(tmp_path / Path(path).parent.name / Path(path).name)
        quiet[-1].parent.mkdir(exist_ok=True)
        quiet[-1].write_text("\n".join(lines))
    assert cli.main(["incident", *map(str, quiet)]) == 3
    assert capsys.readouterr().out.startswith("No fault shows in these lines.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["README.md"], "README.md: no line of a Redis or Sentinel log"), (["no/such.log"], "cannot be read"),
     (["tests/data/incidents/cut_off/host1/redis.log"], "no sentinel's log among these files")],
)  # fmt: skip
def test_a_wrong_incident_is_explained(capsys, arguments, says):
    assert cli.main(["incident", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error
