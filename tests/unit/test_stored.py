"""Stored real runs: what is written comes back, and an archive of logs can be walked."""

import pytest

from model.errors import TraceError, UsageError
from model.scenario import load
from model.trace import Event, Trace, read_traces
from study import conforming, stored

SCENARIO = load("scenarios/baseline/process_killed.toml")
PHASES = [{"host": "host2", "kind": "server", "about": "host1", "t_us": -20_000, "pong_age_us": 412_000}]


def trace(run, digest=SCENARIO.digest):
    events = [Event(0, "host1", "fault", "crash", code=1), Event(2_051_000, "host2", "sentinel", "+sdown", "host1")]
    return Trace(SCENARIO.name, digest, "real", 7, run, 8_000_000, phases=PHASES, events=events)


def test_runs_come_back_in_order(tmp_path):
    stored.write_runs(SCENARIO, [trace(2), trace(0)], tmp_path)
    assert stored.runs(SCENARIO, tmp_path) == [trace(0), trace(2)]
    assert stored.runs(SCENARIO.on_version("8.2"), tmp_path) == []


def test_a_file_that_is_cut_is_one_clear_error(tmp_path):
    stored.write_runs(SCENARIO, [trace(0)], tmp_path)
    path = stored.path_of(SCENARIO, tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TraceError, match="not compressed as its name says"):
        list(read_traces(path))


def test_an_archive_has_the_settings_of_its_sentinels(tmp_path):
    log = "1:X 23 Nov 2026 09:00:00.000 # Sentinel ID is 0123456789012345678901234567890123456789"
    stored.write_logs(SCENARIO, [{"run": 0, "host": "host1", "program": "sentinel", "text": log}], tmp_path)
    archive = conforming.check_archive(stored.logs_path(SCENARIO, tmp_path), same_clock=False)
    assert (archive.runs, archive.refused) == (1, {})
    settings = next(stored.logs(stored.logs_path(SCENARIO, tmp_path)))
    assert "down-after-milliseconds hastudy 2000" in settings["text"]


def test_what_is_no_archive_is_one_clear_error(tmp_path):
    path = tmp_path / "x.logs.xz"
    path.write_bytes(conforming.XZ + b"nothing")
    with pytest.raises(UsageError, match="no archive of stored runs"):
        conforming.check_archive(path, same_clock=False)
