"""The command line of `review`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UsageError
from model.scenario import Scenario
from study.arms import Progress

if TYPE_CHECKING:
    from study.lint.deployment import Report

RUNS = 300
"""Simulated runs of each circumstance: medians of outages are known to 0.05 s. Kind: assumed."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from study.lint.options import add_versions

    parser.add_argument("target", metavar="SCENARIO|FILE", nargs="+",
                        help="a scenario; or configuration files, or a folder of them, as for `lint`")  # fmt: skip
    parser.add_argument("--against", metavar="SCENARIO", help="another set-up: what would be different, and how surely")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each circumstance (default %(default)s)")
    add_versions(parser)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, checked.

    Attributes
    ----------
    scenario : Scenario
    report : Report or None
        Of `lint`, where configuration files were given.
    against : Scenario or None
    page : Path
        The file of the page; its scenarios go beside it.
    """

    scenario: Scenario
    report: Report | None
    against: Scenario | None
    page: Path


def read(args: argparse.Namespace, progress: Progress) -> Asked:
    """Check the arguments and read what they name.

    Raises
    ------
    UsageError, ScenarioError
        Something is not allowed.
    """
    from study import catalog

    if not args.out:
        raise UsageError("review writes a page\n\nhint: --out review.html names it")
    page = args.out if args.out.suffix == ".html" else args.out / "review.html"
    against = catalog.load_one(args.against, args.set) if args.against else None
    if _is_scenario(args.target):
        _check_runs(args.runs)
        return Asked(catalog.load_one(args.target[0], args.set), None, against, page)
    scenario, report = _from_files(args, page, progress)
    return Asked(scenario, report, against, page)


def _is_scenario(target: list[str]) -> bool:
    """One word that is a scenario's file, or the name of one that comes with the kit."""
    return len(target) == 1 and (target[0].endswith(".toml") or not Path(target[0]).exists())


def _check_runs(runs: int) -> None:
    if not 20 <= runs <= 100_000:
        raise UsageError(f"--runs is {runs}\n  allowed: 20 to 100000\n\nhint: {RUNS} is enough for most")


def _from_files(args: argparse.Namespace, page: Path, progress: Progress) -> tuple[Scenario, Report]:
    """The scenario that configuration files describe, and what is wrong with them."""
    from study.lint import check
    from study.lint.options import check_versions
    from study.review.study import SCENARIOS

    check_versions(args)
    paths = [Path(each) for each in args.target]
    report = check.lint(paths, args.server_version, args.flexisip_version, args.runs, args.seed,
                        page.parent / SCENARIOS, lambda share, text: progress(0.2 * share, text))  # fmt: skip
    if report.scenario is None:
        raise UsageError("the files contradict each other too much for a review\n\n"
                         "hint: `hastudy lint` says what is wrong with them")  # fmt: skip
    return report.scenario, report


def run(asked: Asked, runs: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Study, gather, and write page, scenarios and data; returns the data."""
    from study import folders
    from study.lint import understood
    from study.lint.figures import SCENARIO_FILE
    from study.review import gather, render
    from study.review.circumstances import back_ms
    from study.review.study import SCENARIOS, Study

    folder = asked.page.parent / SCENARIOS
    # Two that are compared suffer the same faults: as long as the slower one needs.
    away_ms = max(map(back_ms, filter(None, (asked.scenario, asked.against))))
    study = Study(asked.scenario, folder, runs, seed, away_ms)
    other = Study(asked.against, folder / "against", runs, seed, away_ms) if asked.against else None
    share = 0.5 if other else 0.8
    study.prepare(lambda done, text="": progress(0.2 + share * done, text))
    data = gather.gather(study, asked.report)
    if other:
        data["against"] = gather.compared(study, other)
    for each in filter(None, (study, other)):
        each.write()
    if asked.report:
        (folder / SCENARIO_FILE).write_text(understood.to_toml(asked.scenario), encoding="utf-8")
    asked.page.write_text(render.page(data), encoding="utf-8")
    plain = render.data_without_drawings(data)
    folders.dump(asked.page.with_suffix(".json"), plain)
    return plain
