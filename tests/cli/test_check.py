"""`hastudy check` from the command line, on small bounds."""

from __future__ import annotations

import json
import signal

import pytest

from model.explorer.verdicts import Verdict
from study.check import detection, plan, run
from study.check.options import Asked
from study.cli import main
from study.exits import ExitCode

VANISH = "scenarios/host_loss/primary_host_vanishes.toml"
ELECTION = ["check", "--part", "election", "--quiet"]
KILLED = ["check", "--part", "failover", "--kinds", "server", "--quiet"]
LOST = ["check", "--part", "failover", "--kinds", "host", "--quiet"]

pytestmark = pytest.mark.usefixtures("in_the_checkout")


def checked(capsys, *argv):
    """Exit code, and JSON."""
    code = main([*argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def verdicts(data):
    return {(row["search"], row["key"]): (row["verdict"], row["steps"]) for row in data["properties"]}


def test_every_property_of_a_timely_election_is_decided(capsys):
    code, data = checked(capsys, *ELECTION)
    assert code == ExitCode.OK
    assert verdicts(data) == {
        ("election", "one-vote"): ("holds", None),
        ("election", "one-leader"): ("holds", None),
        ("election", "elected"): ("seen", 4),
        ("election", "not-elected"): ("seen", 3),
    }
    (search,) = data["searches"]
    assert (search["states"], search["depth"], search["frontier"], search["finished"]) == (16_340, 18, 0, True)


def test_stalls_show_two_leaders_of_one_epoch_in_eleven_steps(capsys, tmp_path):
    out = tmp_path / "out"
    assert main([*ELECTION, "--stalls", "--out", str(out)]) == ExitCode.FINDING
    said = capsys.readouterr()
    assert said.err == ""
    assert "does not hold: 11 steps" in said.out
    assert "counterexample: an epoch has at most one leader" in said.out
    assert "after step 11: does not hold" in said.out
    assert "4 properties: holds: 1, does not hold: 1, seen: 2" in said.out
    written = {path.name for path in (out / "paths").iterdir()}
    forms = ("txt", "svg", "mmd", "shiviz")
    keys = ("one-leader", "elected", "not-elected")
    assert written == {f"election-{key}.{form}" for key in keys for form in forms}
    assert json.loads((out / "summary.json").read_text())["schema"] == 2


def test_quorum_and_sentinels_are_those_of_the_scenario(capsys, tmp_path):
    code, data = checked(capsys, *ELECTION, VANISH, "--set", "sentinel.quorum=3", "--epochs", "1", "--out",
                         str(tmp_path))  # fmt: skip
    assert code == ExitCode.OK
    assert (data["sentinels"], data["quorum"]) == (3, 3)
    assert "3 sentinels, quorum 3" in data["searches"][0]["title"]
    assert (tmp_path / "manifest.json").is_file()


def test_a_limit_leaves_properties_undecided(capsys):
    assert main([*KILLED, "--max-states", "5000"]) == ExitCode.UNDECIDED
    said = capsys.readouterr().out
    assert "not finished: failover-server: 5,000 states, frontier" in said
    assert "--resume" in said
    code, data = checked(capsys, *KILLED, "--max-states", "5000")
    assert code == ExitCode.UNDECIDED
    told = verdicts(data)
    assert told["failover-server", "settles"] == told["failover-server", "one-leader"] == ("undecided", None)


def test_what_never_happens_although_it_should_is_a_finding(capsys):
    code, data = checked(capsys, *KILLED, "--faults", "0", "--property", "fails-over", "--property", "settles")
    assert code == ExitCode.FINDING
    assert verdicts(data) == {
        ("failover-server", "settles"): ("holds", None),
        ("failover-server", "fails-over"): ("never seen", None),
    }


def test_memory_is_a_limit_of_states():
    (job,) = plan.jobs(Asked(parts=("election",), memory_mib=1))
    assert job.max_states == 2**20 // (20 + 3 * 4)
    (job,) = plan.jobs(Asked(parts=("election",), memory_mib=1, max_states=10))
    assert job.max_states == 10


@pytest.mark.parametrize("argv", [[*ELECTION, "--stalls"], LOST], ids=["election", "failover"])
def test_an_interrupted_search_goes_on_and_finds_the_same(argv, capsys, tmp_path, monkeypatch):
    code, whole = checked(capsys, *argv)
    file, share, interrupted_at = tmp_path / "kept" / "search", run._share, []

    def interrupting(progress, number, count, name):
        show = share(progress, number, count, name)

        def shown(states, frontier):
            if states > 5_000 and not interrupted_at:
                interrupted_at.append(states)
                signal.raise_signal(signal.SIGINT)
            show(states, frontier)

        return shown

    with monkeypatch.context() as patched:
        patched.setattr(run, "_share", interrupting)
        stopped, half = checked(capsys, *argv, "--resume", str(file))
    assert stopped == ExitCode.INTERRUPTED
    assert half["interrupted"] and not half["searches"][0]["finished"]
    assert half["searches"][0]["states"] == interrupted_at[0] < whole["searches"][0]["states"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    no_further, kept = checked(capsys, *argv, "--resume", str(file), "--max-states", "1")
    assert (no_further, kept["searches"]) == (ExitCode.UNDECIDED, half["searches"])
    for _ in "on", "once more":
        assert checked(capsys, *argv, "--resume", str(file)) == (code, whole)


def test_an_interrupt_between_searches_keeps_those_that_are_over(capsys, monkeypatch):
    def interrupted(*_args, **_keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "check_registrar", interrupted)
    code, data = checked(capsys, "check", "--part", "election", "--part", "registrar", "--epochs", "1", "--quiet")
    assert code == ExitCode.INTERRUPTED
    assert [each["name"] for each in data["searches"]] == ["election"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--property", "one-laeder"], "there are for example one-leader"),
        (["--part", "client", "--property", "one-leader"], "no search that was asked for has it"),
        (["--resume", "x"], "--resume keeps one search"),
        (["--part", "failover", "--resume", "x"], "asked for: 2"),
        (["--part", "registrar", "--property", "registrar-guide-idle", "--resume", "x"], "--resume keeps one search"),
        (["--kinds", "server,sever"], "'sever'\n  allowed: server, sentinel"),
        (["--part", "failover", "--epochs", "7"], "1 to 4 epochs"),
        (["--part", "election", "--resume", "README.md"], "README.md: holds no search"),
        (["--part", "election", "--resume", "README.md/x"], "README.md/x: cannot be written"),
        (["--max-states", "0"], "'0' is not allowed"),
    ],
)
def test_wrong_use_is_said(argv, says, capsys):
    assert main(["check", *argv, "--quiet"]) == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_a_property_is_found_though_it_is_not_among_the_usual(capsys):
    code, data = checked(capsys, "check", "--quiet", "--property", "registrar-flexisip-2.0-idle",
                         "--property", "client-ideal-udp-answers-500")  # fmt: skip
    assert code == ExitCode.FINDING
    told = verdicts(data)
    assert {verdict for verdict, _ in told.values()} == {"does not hold"}
    assert {search for search, _ in told} == {key for _, key in told}
    assert all(row["path"]["loop"] >= 0 for row in data["properties"])


@pytest.mark.parametrize("part", ["registrar", "client"])
def test_a_search_in_time_is_named_as_its_verdict(part):
    for job in plan.jobs(Asked(parts=(part,))):
        assert job.decide(50).key == job.name


@pytest.mark.parametrize("key", detection.CASES)
def test_detection_is_held_against_the_bounds(key, monkeypatch):
    found = detection.check(key, 50_000)
    assert found.finished and found.holds
    assert "sdown_first after" in found.condition
    spans = detection.spans

    def later(setting, most):
        graph, times = spans(setting, most)
        return graph, {name: (low, high + 200) for name, (low, high) in times.items()}

    monkeypatch.setattr(detection, "spans", later)
    assert not detection.check(key, 50_000).holds
    monkeypatch.setattr(detection, "spans", lambda setting, most: (spans(setting, most)[0], {}))
    assert not detection.check(key, 50_000).holds


@pytest.mark.parametrize(
    ("kind", "holds", "finished", "word"),
    [
        ("always", True, True, "holds"),
        ("always", True, False, "undecided"),
        ("always", False, True, "does not hold"),
        ("eventually", True, False, "undecided"),
        ("sometimes", True, False, "seen"),
        ("sometimes", False, True, "never seen"),
        ("sometimes", False, False, "undecided"),
    ],
)
def test_words_of_verdicts(kind, holds, finished, word):
    assert run._word(Verdict("key", kind, "", "", holds, "", 1, 1, finished)) == word
