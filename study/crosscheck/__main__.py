"""Command line of the cross-check; see `study.crosscheck`."""

from __future__ import annotations

import argparse
import json
import sys

from tabulate import tabulate

from study.crosscheck.compare import Comparison, compare
from study.crosscheck.sizes import ALWAYS, SOUGHT, Size, Ways
from study.exits import ExitCode, exit_code_of


def main() -> int:
    """Compare, print, and say by the exit code whether all agree."""
    return exit_code_of(_work)


def _work() -> ExitCode:
    options = _parser().parse_args()
    found = compare(Size(options.sentinels, options.quorum, options.epochs, options.stalls), options.max_states)
    print(json.dumps(found.to_json(), indent=2) if options.json else _text(found))
    if not found.agrees:
        return ExitCode.FINDING
    return ExitCode.OK if len(found.skipped) < 2 else ExitCode.UNDECIDED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.crosscheck", description=__doc__)
    parser.add_argument("--sentinels", type=int, default=3, choices=range(2, 6))
    parser.add_argument("--quorum", type=int, default=2, choices=range(1, 6))
    parser.add_argument("--epochs", type=int, default=1, choices=range(1, 6))
    parser.add_argument("--stalls", action="store_true", help="messages may take, and sentinels stand still, any time")
    parser.add_argument("--max-states", type=int, default=2_000_000, help="count whole spaces up to so many states")
    parser.add_argument("--json", action="store_true")
    return parser


def _text(found: Comparison) -> str:
    rows = [
        [space, tool, f"{counts.states:,}", f"{counts.transitions:,}"]
        for space, by_tool in (("whole", found.whole), ("up to names", found.renamed))
        for tool, counts in by_tool.items()
    ]
    ways = [[tool, *(_length(tool, lengths, key) for key in SOUGHT)] for tool, lengths in found.ways.items()]
    skipped = [f"{tool}: skipped: {why}" for tool, why in found.skipped.items()]
    return "\n\n".join(
        (
            str(found.size),
            tabulate(rows, ["space", "tool", "states", "steps"], colalign=("left", "left", "right", "right"))
            if rows
            else "whole space: not counted, it is larger than --max-states",
            "Steps of a shortest path to where a property shows\n\n" + tabulate(ways, ["tool", *SOUGHT]),
            *skipped,
            "all agree" if found.agrees else "THEY DISAGREE",
        )
    )


def _length(tool: str, lengths: Ways, key: str) -> int | str:
    """Ours visits all states; the others end at the first violation, and so cannot say that another is impossible."""
    ended = tool != "ours" and key in ALWAYS and any(each in lengths for each in ALWAYS)
    return lengths.get(key, "not sooner" if ended else "never")


if __name__ == "__main__":
    sys.exit(main())
