"""Command line: ``python -m study.steering``.

Without a name: how often the cases go their way, simulated and in stored real runs. With one: its path is made a
scenario, better delays are searched, and the file is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.errors import HastudyError, UsageError
from sim import simulate
from study import folders
from study.arms import Voice
from study.steering.cases import BY_NAME, CASES, Case
from study.steering.files import text_of
from study.steering.patterns import share
from study.steering.real import FOLDER, measure, rows, to_text
from study.steering.search import steer
from study.steering.translate import scenario_of

SEED = 20_261_123
"""Of the search; the claim is made with the next one, lest it be judged by the runs that it was chosen by. Kind:
assumed."""


def main(words: list[str] | None = None) -> int:
    """Run a command line."""
    args = _parser().parse_args(words)
    voice = Voice()
    try:
        if args.path:
            return _steer(args, voice)
        if args.measure:
            measure([case for case in CASES if args.only in case.name], voice, args.parallel)
        found = rows([case for case in CASES if args.only in case.name], args.runs, args.seed + 1)
        print(folders.to_json(found) if args.json else to_text(found))
        if args.measure and not args.only:
            folders.dump(FOLDER / "shares.json", found)
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was measured is stored", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.steering", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", nargs="?", metavar="PATHNAME", help="steer this path: " + ", ".join(_steerable()))
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="its scenario is written there (default: as committed)"
    )
    parser.add_argument("--trials", type=int, default=200, metavar="N", help="runs that judge each try of the search")
    parser.add_argument("--runs", type=int, default=2000, metavar="N", help="runs of the claim (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    parser.add_argument("--measure", action="store_true", help="make the real runs that are missing first")
    parser.add_argument("--parallel", type=int, default=2, metavar="N", help="clusters at once (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print data")
    return parser


def _steerable() -> list[str]:
    return [case.name for case in CASES if case.path]


def _case(name: str) -> Case:
    if name not in _steerable():
        raise UsageError(f"{name}: no path of that name\n\nhint: one of {', '.join(_steerable())}")
    return BY_NAME[name]


def _steer(args: argparse.Namespace, voice: Voice) -> int:
    """Write the scenario of a path; 1 if it does not go its way as often as is asked."""
    case = _case(args.path)
    assert case.path
    scenario, _ = scenario_of(case.path, case.base_scenario())
    with voice.progress("steering") as progress:
        best, _ = steer(scenario, case.pattern, args.trials, args.seed, progress)
    found = share(case.pattern, simulate(best, args.runs, args.seed + 1))
    out = args.out or case.file
    out.write_text(text_of(case, best, found, args.seed + 1), encoding="utf-8")
    print(f"{out}: {found['k']} of {found['n']} simulated runs go this way ({found['low']:.3f} to {found['high']:.3f})")
    return 0 if found["low"] >= case.low else 1


if __name__ == "__main__":
    sys.exit(main())
