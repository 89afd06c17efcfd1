"""The command line of `availability`: its arguments, and a study from what was given. Imports nothing heavy before it
runs."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UsageError
from model.scenario import Scenario

if TYPE_CHECKING:
    from study.tune.curve import Progress
    from study.tune.inputs import Conditions, Stalls

RUNS = 200
"""Simulated runs of each event: about 20 ms of standard error of a mean outage. Kind: assumed."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--objective", metavar="PERCENT", help="wanted availability, such as 99.99: exit code 0 when "
                        "it is kept, 1 when not, 3 when the interval leaves that open")  # fmt: skip
    parser.add_argument("--conditions", type=Path, metavar="FILE",
                        help="how often what breaks and stalls, and for how long (TOML, docs/tune.md)")  # fmt: skip
    parser.add_argument("--stalls", type=Path, action="append", default=[], metavar="FILE",
                        help="measured stalls of Redis: CSV, or LATENCY HISTORY; repeatable")  # fmt: skip
    parser.add_argument("--service", choices=("redis_write", "register", "client"),
                        help="of which service (default: phones, else nodes, else Redis)")  # fmt: skip
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each event (default %(default)s)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, checked."""

    objective: float | None
    conditions: Conditions
    source: str
    stalls: list[Stalls]
    service: Any
    runs: int


def read(args: argparse.Namespace) -> Asked:
    """Check the arguments and read the files that they name.

    Raises
    ------
    UsageError, ScenarioError
        Something is not allowed.
    """
    from study.tune import inputs

    if not 10 <= args.runs <= 100_000:
        raise UsageError(f"--runs is {args.runs}\n  allowed: 10 to 100000\n\nhint: {RUNS} is enough for most")
    objective = _percent(args.objective)
    conditions, source = inputs.load(args.conditions)
    inputs.check_tunable(conditions, source)
    base = args.conditions.parent if args.conditions else Path()
    return Asked(
        objective=objective,
        conditions=conditions,
        source=source,
        stalls=inputs.stalls_of(conditions, base, args.stalls),
        service=args.service,
        runs=args.runs,
    )


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 100:
        raise UsageError(f"--objective is {text!r}\n  allowed: a share of time in percent, above 0 and below 100\n\n"
                         "hint: for example --objective 99.99")  # fmt: skip
    return value


def run(scenario: Scenario, asked: Asked, seed: int, progress: Progress) -> dict[str, Any]:
    """Reckon the availability of a scenario; see `study.availability.availability`."""
    from study import availability
    from study.tune import runs
    from study.tune.curve import Study

    service = asked.service or runs.service_of(scenario)
    runs.check_service(scenario, service)
    lean = runs.lean(scenario, service, counts_losses=False)
    study = Study(lean, asked.conditions, asked.stalls, service, asked.runs, seed)
    return availability.availability(study, asked.objective, progress, asked.source)
