"""The command line of `rare`: its arguments, and a study from what was given. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UsageError
from model.scenario import Scenario

if TYPE_CHECKING:
    from study.arms import Progress
    from study.rare.estimate import Ready, Replication, Study

REPLICATIONS = 20
"""Independent replications: enough for Student's interval to be of use. Kind: assumed."""

EFFORT = 200
"""Walks from level to level. With 10 levels, one replication errs by about 50 %, 20 of them by 12 %. Kind: assumed."""

MOST_BUSY = 0.5
"""Cycles that fill more of the time than this follow each other too closely. Kind: assumed."""


def add(parser: argparse.ArgumentParser, whole_number: Callable[[int, int], Callable[[str], int]]) -> None:
    """Declare the arguments."""
    parser.add_argument("--conditions", type=Path, metavar="FILE",
                        help="how often what stalls, and for how long (TOML, docs/rare.md)")  # fmt: skip
    parser.add_argument("--stalls", type=Path, action="append", default=[], metavar="FILE",
                        help="measured stalls of Redis: CSV, or LATENCY HISTORY; repeatable")  # fmt: skip
    parser.add_argument("--event", choices=("needless", "lost"), default="needless",
                        help="needless failovers, or registrations that they lose (default %(default)s)")  # fmt: skip
    parser.add_argument("--replications", type=whole_number(2, 10_000), default=REPLICATIONS, metavar="R",
                        help="independent estimates (default %(default)s)")  # fmt: skip
    parser.add_argument("--effort", type=whole_number(10, 2_000), default=EFFORT, metavar="N",
                        help="walks from level to level (default %(default)s)")  # fmt: skip
    parser.add_argument("--jobs", type=whole_number(1, 1024), help="processes (default: one for each core)")


@dataclass(slots=True)
class Found:
    """What came out, which may be less than what was asked for.

    Attributes
    ----------
    data : dict or None
        None: too little for anything.
    interrupted : bool
    """

    data: dict[str, Any] | None
    interrupted: bool


def run(scenario: Scenario, args: argparse.Namespace, progress: Progress) -> Found:
    """Estimate; an interrupt keeps the replications that are over.

    Raises
    ------
    UsageError, ScenarioError
        Something is not allowed.
    """
    from study.rare.causes import groups_of
    from study.rare.estimate import Study, prepare, replications
    from study.rare.summary import summary
    from study.tune import inputs

    conditions, _ = inputs.load(args.conditions)
    base = args.conditions.parent if args.conditions else Path()
    groups = groups_of(scenario, conditions, base, args.stalls)
    study = Study(_lean(scenario, args.event), groups, args.event, args.effort, args.seed)
    ready = prepare(study, lambda share, text: progress(0.1 * share, text))
    _check_rest(study, ready)
    done: list[Replication] = []
    interrupted = False
    try:
        for each in replications(study, ready, args.replications, args.jobs):
            done.append(each)
            progress(0.1 + 0.9 * len(done) / args.replications, f"{len(done)} replications")
    except KeyboardInterrupt:
        interrupted = True
    data = summary(study, ready, done, conditions.registrations_per_s) if len(done) > 1 else None
    return Found(data, interrupted)


def _lean(scenario: Scenario, event: str) -> Scenario:
    """The scenario without what nobody looks at."""
    from study.tune.runs import without_nodes

    if event == "needless":
        return without_nodes(scenario)
    if not any(host.registrar for host in scenario.host):
        raise UsageError(f"{scenario.name}: --event lost, but no host has registrar = true\n\nhint: add one")
    return scenario.model_copy(update={"client": ()})


def _check_rest(study: Study, ready: Ready) -> None:
    """Refuse clusters that are hardly ever at rest."""
    busy = sum(group.per_hour * each for group, each in zip(study.groups, ready.busy_h, strict=True))
    if busy > MOST_BUSY:
        raise UsageError(
            f"{study.scenario.name}: disturbances take {busy:.2g} times the time that they leave\n"
            f"  allowed: {MOST_BUSY}\n\n"
            "hint: nothing is rare there; `hastudy simulate` with faults of your own shows what happens"
        )
