"""Every stored real log is a path of the machines: a sample here, all by the command of docs/steering.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study import conforming, stored
from study.cli import main
from study.exits import ExitCode
from study.steering.cases import BY_NAME
from study.steering.patterns import share
from study.steering.real import FOLDER, RUNS, stored_runs

REPORTS = FOLDER.parent
SAMPLE = [
    min(found, key=lambda path: path.stat().st_size)
    for folder in sorted(REPORTS.glob("*/runs"))
    if (found := list(folder.glob("*.logs.xz")))
]


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.parts[-3])
def test_the_smallest_archive_of_each_report_conforms(path: Path) -> None:
    archive = conforming.check_archive(path, same_clock=False)
    assert archive.runs
    assert not archive.refused, conforming.archives_to_text([archive])


@pytest.mark.parametrize("name", ["two_leaders_of_one_epoch", "two_manual_failovers_at_once"])
def test_two_leaders_of_one_epoch_are_a_path(name: str) -> None:
    """By votes told to a candidate of epoch 1 that asks on in epoch 2, or because users ask for two failovers."""
    (path,) = RUNS.glob(f"{name}-*.logs.xz")
    archive = conforming.check_archive(path, same_clock=False)
    assert not archive.refused, conforming.archives_to_text([archive])
    assert share(BY_NAME[name].pattern, stored_runs(BY_NAME[name]))["k"] >= 5


def test_the_stored_verdict_is_about_the_archives_that_are_there() -> None:
    told = json.loads((FOLDER / "conform.json").read_text())
    assert told["conforms"]
    assert {Path(each["file"]).name for each in told["archives"]} == {
        path.name for path in REPORTS.glob("*/runs/*.logs.xz")
    }, "see docs/steering.md: the command that walks them all"


def test_a_forged_vote_is_still_refused(tmp_path: Path) -> None:
    """A vote for a candidate in an epoch that it has not heard of."""
    (path,) = RUNS.glob("two_leaders_of_one_epoch-*.logs.xz")
    entry = next(each for each in stored.logs(path) if each["program"] == "sentinel" and " voted for " in each["text"])
    settings = next(stored.logs(path))["text"]
    lines = entry["text"].splitlines()
    at = next(number for number, line in enumerate(lines) if " voted for " in line)
    lines[at] = lines[at].rpartition(" ")[0] + " 7"
    log, conf = tmp_path / "sentinel.log", tmp_path / "sentinel.conf"
    log.write_text("\n".join(lines))
    conf.write_text(settings)
    assert main(["conform", str(log), str(conf), "--quiet"]) == ExitCode.FINDING
