"""`hastudy conform`: what a user sees, and the exit code."""

import gzip
import json
from pathlib import Path

import pytest

from study.cli import main
from study.exits import ExitCode

RUN = Path(__file__).parents[1] / "data/logs/redis-6.2.14-crashes"


@pytest.fixture
def broken(tmp_path):
    """A real log without its +selected-slave."""
    lines = gzip.decompress((RUN / "host1-sentinel.log.gz").read_bytes()).decode().splitlines(keepends=True)
    path = tmp_path / "sentinel.log"
    path.write_text("".join(line for line in lines if "+selected-slave" not in line))
    return path


def test_real_logs_conform(capsys):
    assert main(["conform", "--same-clock", *map(str, sorted(RUN.iterdir()))]) == ExitCode.OK
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6
    assert all(": conforms, " in line and " lines walked, " in line for line in printed)


def test_the_first_impossible_line_is_shown_with_what_was_possible(broken, capsys):
    assert main(["conform", str(broken), str(RUN / "sentinel.conf")]) == ExitCode.FINDING
    printed = capsys.readouterr().out
    assert f"{broken}:21: impossible after" in printed
    assert "  +failover-state-send-slaveof-noone slave" in printed
    assert "why: needs state SEND_NO_ONE, and it is SELECT" in printed
    assert "rule: sentinelFailoverSelectSlave" in printed
    assert "possible instead:\n" in printed
    assert "    +selected-slave 10.77.1." in printed


def test_json_has_the_same(broken, capsys):
    assert main(["conform", "--json", str(broken)]) == ExitCode.FINDING
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["conforms"], data["across"]) == (1, False, [])
    (file,) = data["files"]
    assert file["finding"]["line"] == 21
    assert file["finding"]["instead"]
    assert "failover-timeout" in file["not_checked"][0]


def test_the_verdict_goes_to_the_folder_too(tmp_path, capsys):
    assert main(["conform", str(RUN / "host1-sentinel.log.gz"), "--out", str(tmp_path / "out")]) == ExitCode.OK
    assert json.loads((tmp_path / "out/conform.json").read_text())["conforms"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.log", None, "cannot be read: No such file"),
        ("notes.txt", b"hello\n", "no line of a Redis or Sentinel log"),
        ("half.gz", b"\x1f\x8b\x08\x00garbage", "cannot be read"),
        ("redis.log", b"1:M 01 Jan 2025 10:00:00.000 * Ready to accept connections\n", "no sentinel's log"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, capsys, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["conform", str(tmp_path / name)]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
