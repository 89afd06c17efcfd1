"""`hastudy lint` and `hastudy generate` from the command line, with real figures."""

from __future__ import annotations

import json
import shlex

import pytest

from model import scenario as scenarios
from study.cli import main
from study.exits import ExitCode

GUIDE = "tests/data/configuration/guide"
FEW = ["--runs", "20", "--quiet"]
CLEAN = ["primary_host_vanishes", "--set", "server.min_replicas_to_write=1", "--set", "server.min_replicas_max_lag_s=5"]

pytestmark = pytest.mark.usefixtures("in_the_checkout")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What is said of the guide's samples: exit code, JSON, the folder of ``--out``."""
    import contextlib
    import io
    from pathlib import Path

    folder = tmp_path_factory.mktemp("lint")
    said = io.StringIO()
    with contextlib.chdir(Path(__file__).parents[2]), contextlib.redirect_stdout(said):
        code = main(["lint", GUIDE, *FEW, "--json", "--out", str(folder), "--sarif", str(folder / "found.sarif")])
    return code, json.loads(said.getvalue()), folder


def test_every_known_fault_of_the_guides_samples_is_found_with_a_number(found):
    code, data, _ = found
    assert code == ExitCode.FINDING
    rules = {each["rule"] for each in data["findings"]}
    assert rules == {
        "monitor-malformed", "sentinel-open", "known-password", "placeholder", "owner-without-dot", "transport-missing",
        "node-not-in-dns", "registrations-not-shared", "silent-host", "no-min-replicas", "no-expiry-events",
        "clock-unknown"}  # fmt: skip
    for each in data["findings"]:
        assert isinstance(each["figure"]["value"], float | int) and each["figure"]["unit"] and each["figure"]["command"]
        assert each["place"]["file"].startswith(GUIDE)
    silent = next(each["figure"] for each in data["findings"] if each["rule"] == "silent-host")
    assert 900 < silent["value"] < 960, "the kernel's 15 minutes"


def test_the_command_of_a_figure_gives_its_number(found, capsys):
    _, data, folder = found
    figure = next(each["figure"] for each in data["findings"] if each["rule"] == "silent-host")
    program, *words = shlex.split(figure["command"])
    assert program == "hastudy" and str(folder / "scenario.toml") in words
    assert main([*words, "--json", "--quiet"]) == ExitCode.OK
    outages = json.loads(capsys.readouterr().out)["outages"]
    assert figure["value"] in [outages[name]["p50_ms"] / 1_000 for name in ("register@host2", "register@host3")]


def test_the_scenario_understood_is_written(found):
    _, _, folder = found
    scenario = scenarios.load(folder / "scenario.toml")
    assert (scenario.sentinel.quorum, scenario.sentinel.down_after_ms, len(scenario.host)) == (2, 10_000, 3)


def test_sarif_names_rule_file_and_line(found):
    _, data, folder = found
    sarif = json.loads((folder / "found.sarif").read_text())
    (run,) = sarif["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert sarif["version"] == "2.1.0" and len(run["results"]) == len(data["findings"])
    for each in run["results"]:
        assert rules[each["ruleIndex"]]["id"] == each["ruleId"]
        assert each["level"] in ("error", "warning", "note") and each["message"]["text"]
        (where,) = each["locations"]
        assert where["physicalLocation"]["artifactLocation"]["uri"].startswith(GUIDE)
    malformed = next(each for each in run["results"] if each["ruleId"] == "monitor-malformed")
    assert malformed["locations"][0]["physicalLocation"]["region"]["startLine"] == 2


def test_generated_files_have_no_fault(tmp_path, capsys):
    assert main(["generate", *CLEAN, "--out", str(tmp_path), "--quiet"]) == ExitCode.OK
    for path in tmp_path.rglob("*.conf"):
        assert path.stat().st_mode & 0o077 == 0, "passwords are in it"
    capsys.readouterr()
    assert main(["lint", str(tmp_path), *FEW]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[-1] == "no finding"


def test_the_same_secrets_give_the_same_bytes(tmp_path):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'redis = "{"a" * 32}"\nsentinel = "{"b" * 32}"\n')
    for name in ("one", "two"):
        out = str(tmp_path / name)
        assert main(["generate", *CLEAN, "--secrets", str(secrets), "--out", out, "--quiet", "--json"]) == ExitCode.OK
    one, two = ({p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
                for name in ("one", "two"))  # fmt: skip
    assert one == two and len(one) == 19


@pytest.mark.parametrize(
    ("argv", "said"),
    [(["lint", "pyproject.toml"], "neither redis.conf"), (["lint", "no-such.conf"], "No such file"),
     (["lint", GUIDE, "--server-version", "2.8"], "allowed: 6.2"), (["lint", GUIDE, "--runs", "1"], "allowed: 20"),
     (["lint", GUIDE, "--set", "sentinel.quorum=1"], "change the files"), (["lint"], "FILE"),
     (["generate", "primary_host_vanishes"], "--out DIR"),
     (["generate", "primary_host_vanishes", "--out", "x", "--address", "host1=here"], "HOST=ADDRESS"),
     (["generate", "primary_host_vanishes", "--out", "x", "--address", "host1=10.0.0.1"], "none for host2, host3"),
     (["generate", "primary_host_vanishes", "--out", "x", "--secrets", "pyproject.toml"], "not two passwords")],
)  # fmt: skip
def test_wrong_use_is_explained(argv, said, capsys, tmp_path):
    assert main(argv) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
