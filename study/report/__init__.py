"""Makes a report folder: ``python -m study.report NAME`` writes ``reports/NAME/``.

One module a report; each has a function ``make(order)`` that finds the numbers, writes the tables, draws the pictures
and writes the text, which quotes the tables and nothing else. What they share stands in `study.report.pages` and
`study.report.measured`.

Real runs that a report lacks are measured; with ``--stored`` those are used that are there. So a text can be made again
without servers, and a report that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from study.arms import Voice
from study.cli import MAX_RUNS, whole_number
from study.exits import ExitCode, exit_code_of
from study.report.pages import Order

REPORTS = {
    "host_loss": "the primary is lost: how long is nobody registered, and what decides it?",
    "what_the_phone_sees": "a host or a process is lost: for how long can a phone not be called?",
    "clock_skew_and_404": "when does a wrong clock hide a registered phone?",
    "client_retry_and_srv": "how do clients try again, and what becomes of a million of them?",
    "tuning_down_after": "which down-after-milliseconds for the deployment guide's set-up?",
    "quorum_and_cluster_size": "how many sentinels, and which quorum?",
    "lost_elections_over_wan": "sentinels at several sites: how often is an election lost, at what cost?",
    "availability": "how many nines does which set-up give, and what eats the error budget?",
    "proofs": "what can happen in a failover, and what cannot?",
    "rare_events": "how often does a cluster fail over needlessly, when that is too rare to simulate?",
}
"""What there is, each a module of this package, and its question."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make one report; returns the exit code of the worst comparison."""
    given = list(sys.argv[1:] if argv is None else argv)
    return exit_code_of(lambda: _make(given))


def _make(given: list[str]) -> ExitCode:
    args = _parser().parse_args(given)
    # The command that makes the report on a machine that has nothing yet.
    command = ["python", "-m", "study.report", *(word for word in given if word not in ("--stored", "--quiet"))]
    order = Order(args.name, args.runs, args.real, args.seed, args.stored, args.server, tuple(command),
                  Voice(args.quiet))  # fmt: skip
    code = importlib.import_module(f"study.report.{args.name}").make(order)
    print(f"folder: {order.folder}")
    return ExitCode(code)


def _parser() -> argparse.ArgumentParser:
    told = "\n".join(f"  {name:22} {question}" for name, question in REPORTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m study.report",
        description=f"Make a report:\n\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", choices=REPORTS, help="one of these")
    parser.add_argument(
        "--runs", type=whole_number(1, MAX_RUNS), help="simulated runs of each case (default: as the report says)"
    )
    parser.add_argument("--real", type=whole_number(1, 1000), default=10, help="real runs (default %(default)s)")
    parser.add_argument(
        "--seed", type=whole_number(0, 2**63 - 1), default=1, help="of all chance (default %(default)s)"
    )
    parser.add_argument("--stored", action="store_true", help="use the real runs that the report has already")
    parser.add_argument("--server", help="which server, see `hastudy servers`")
    parser.add_argument("--quiet", action="store_true", help="no progress, no talk")
    return parser
