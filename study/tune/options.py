"""The command line of `tune`: its arguments, and a study from what was given. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UsageError
from model.scenario import Scenario

if TYPE_CHECKING:
    from study.tune.choice import Goal
    from study.tune.curve import Curve, Progress
    from study.tune.inputs import Conditions, Stalls

RUNS = 200
"""Simulated runs of each setting and kind of crash: about 10 ms of standard error of a mean outage. Kind: assumed."""

RANGE_MS = "1000:60000"
"""Delays that are looked at: from a PING period to twice Redis's own default. Kind: assumed."""

LEAST_MS, MOST_MS = 100, 600_000
"""What `sentinel.down_after_ms` may be."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--objective", default="outage_p95", metavar="QUANTITY",
                        help="what to make least: outage_mean, outage_p50, outage_p95, outage_p99, needless, lost or "
                        "cost (default %(default)s)")  # fmt: skip
    parser.add_argument("--limit", action="append", default=[], metavar="QUANTITY=MOST",
                        help="the most that a quantity may be, s or a year; repeatable")  # fmt: skip
    parser.add_argument("--conditions", type=Path, metavar="FILE",
                        help="how often what breaks and stalls, and what it costs (TOML, docs/tune.md)")  # fmt: skip
    parser.add_argument("--stalls", type=Path, action="append", default=[], metavar="FILE",
                        help="measured stalls of Redis: CSV, or LATENCY HISTORY; repeatable")  # fmt: skip
    parser.add_argument("--service", choices=("redis_write", "register", "client"),
                        help="whose outage counts (default: phones, else nodes, else Redis)")  # fmt: skip
    parser.add_argument("--range", default=RANGE_MS, metavar="LOW:HIGH", help="delays in ms (default %(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each setting (default %(default)s)")
    parser.add_argument("--no-knobs", action="store_true", help="leave the other knobs alone")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, checked."""

    goal: Goal
    conditions: Conditions
    source: str
    stalls: list[Stalls]
    service: Any
    low_ms: int
    high_ms: int
    runs: int
    knobs: bool


def read(args: argparse.Namespace) -> Asked:
    """Check the arguments and read the files that they name.

    Raises
    ------
    UsageError, ScenarioError
        Something is not allowed.
    """
    from study.tune import choice, inputs

    low_ms, high_ms = _range(args.range)
    if not 10 <= args.runs <= 100_000:
        raise UsageError(f"--runs is {args.runs}\n  allowed: 10 to 100000\n\nhint: {RUNS} is enough for most")
    conditions, source = inputs.load(args.conditions)
    inputs.check_tunable(conditions, source)
    return Asked(
        goal=choice.read_goal(args.objective, args.limit),
        conditions=conditions,
        source=source,
        stalls=inputs.stalls_of(conditions, args.conditions.parent if args.conditions else Path(), args.stalls),
        service=args.service,
        low_ms=low_ms,
        high_ms=high_ms,
        runs=args.runs,
        knobs=not args.no_knobs,
    )


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition(":")
    if not (low.isdecimal() and high.isdecimal() and LEAST_MS <= int(low) < int(high) <= MOST_MS):
        raise UsageError(f"--range is {text!r}\n  allowed: LOW:HIGH in ms, from {LEAST_MS} to {MOST_MS}\n\n"
                         f"hint: for example --range {RANGE_MS}")  # fmt: skip
    return int(low), int(high)


def run(scenario: Scenario, asked: Asked, seed: int, progress: Progress) -> tuple[dict[str, Any], Curve]:
    """Tune a scenario; see `study.tune.tune`."""
    from study import tune
    from study.tune import runs
    from study.tune.curve import Study

    service = asked.service or runs.service_of(scenario)
    runs.check_service(scenario, service)
    lean = runs.lean(scenario, service, asked.conditions.registrations_per_s > 0)
    study = Study(lean, asked.conditions, asked.stalls, service, asked.runs, seed)
    return tune.tune(study, asked.goal, asked.low_ms, asked.high_ms, progress, asked.knobs, asked.source)
