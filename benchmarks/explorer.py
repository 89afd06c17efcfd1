"""How fast is the search through all states, and how much memory does a state take: against Spin and TLC, in one run.

    python benchmarks/explorer.py                                             # some ten minutes, most of it TLC's
    python benchmarks/explorer.py --sentinels 3 --epochs 1 --repetitions 5
    python benchmarks/explorer.py --json --out benchmarks/results/explorer.json

The same election for all (docs/crosscheck.md), nothing merged; each row must find the same states and steps, or the
benchmark stops. Rows take turns. *states/s* is by the clock on the wall, and by processor time: TLC's machine collects
garbage and compiles in threads of its own even with one worker. Building is not counted: neither our compilation
(cached) nor Spin's. *Peak* is the largest resident set of the process, that of the same process on a tiny model
subtracted; *table* is what the tool says its states take.

Exit codes: 0; 1 when two rows disagree.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from tabulate import tabulate

from model.errors import EnvironmentLacks
from study.crosscheck import by_spin, by_tlc, programs
from study.crosscheck.ours import our_counts
from study.crosscheck.sizes import Counts, Size

TINY = Size(2, 2, 1)
ROOT = Path(__file__).parents[1]
DEEPEST, HASH_BITS = 10_000_000, 24
"""Spin: longest path; size of its table as a power of two, so large that it is not resized. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One tool with its flags.

    Attributes
    ----------
    name : str
    states, transitions : int
    wall_per_s, cpu_per_s : float
        States per second, medians.
    ratio : float
        `wall_per_s` of the first row, which is ours, over that of this one.
    peak_bytes, table_bytes : float
        A state; table 0: not said.
    """

    name: str
    states: int
    transitions: int
    wall_per_s: float
    cpu_per_s: float
    ratio: float
    peak_bytes: float
    table_bytes: float


def ours(size: Size) -> Counts:
    """Our search, in a process of its own, for its memory."""
    arguments = [str(each) for each in (size.sentinels, size.quorum, size.epochs, int(size.stalls))]
    done = programs.run((sys.executable, __file__, "--child", *arguments), ROOT)
    return Counts(**json.loads(done.text.splitlines()[-1]))


def _child(arguments: list[int]) -> None:
    """Compile first; then search, and print what was found."""
    sentinels, quorum, epochs, stalls = arguments
    our_counts(TINY)
    found = our_counts(Size(sentinels, quorum, epochs, bool(stalls)))
    assert found
    peak = programs.peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
    print(json.dumps(asdict(replace(found, peak_bytes=peak))))


def spin(*flags: str) -> Callable[[Size], Counts]:
    """Spin with these flags of its search."""
    return lambda size: by_spin.counts(size, ("-DSAFETY", *flags), DEEPEST, HASH_BITS)


CASES: dict[str, Callable[[Size], Counts]] = {
    "ours": ours,
    "Spin, no reduction": spin("-DNOREDUCE"),
    "Spin, as it comes": spin(),
    "Spin, states compressed": spin("-DNOREDUCE", "-DCOLLAPSE"),
    "TLC, 1 worker": lambda size: by_tlc.counts(size),
    "TLC, 2 workers": lambda size: by_tlc.counts(size, workers=2),
}


def measured(size: Size, repetitions: int) -> tuple[list[Row], dict[str, str]]:
    """All rows, in turns; and those that are missing, with the reason."""
    cases, skipped = dict(CASES), {}
    floors: dict[str, int] = {}
    for name, case in CASES.items():
        try:
            floors[name] = case(TINY).peak_bytes
        except EnvironmentLacks as error:
            skipped[name] = str(error)
            del cases[name]
    found: dict[str, list[Counts]] = {name: [] for name in cases}
    for _ in range(repetitions):
        for name, case in cases.items():
            print(f"{size}: {name}", file=sys.stderr)
            found[name].append(case(size))
            if found[name][-1] != found["ours"][0]:
                raise SystemExit(f"{name}: {found[name][-1]}; ours: {found['ours'][0]}")
    first = median(each.wall_s for each in found["ours"])
    return [_row(name, each, floors[name], first) for name, each in found.items()], skipped


def _row(name: str, found: list[Counts], floor: int, first_s: float) -> Row:
    states = found[0].states
    wall_s, cpu_s = median(each.wall_s for each in found), median(each.cpu_s for each in found)
    peak = median(each.peak_bytes for each in found) - floor
    table = median(each.table_bytes for each in found)
    return Row(
        name, states, found[0].transitions, states / wall_s, states / cpu_s, wall_s / first_s, peak / states,
        table / states,
    )  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentinels", type=int, default=3)
    parser.add_argument("--quorum", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--timely", action="store_true", help="nobody may be late")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="write the JSON to this file")
    parser.add_argument("--child", type=int, nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return _child(options.child)
    size = Size(options.sentinels, options.quorum, options.epochs, not options.timely)
    rows, skipped = measured(size, options.repetitions)
    told = json.dumps(
        {"size": asdict(size), "machine": platform.platform(), "repetitions": options.repetitions,
         "rows": [asdict(row) for row in rows], "skipped": skipped}, indent=2,
    )  # fmt: skip
    if options.out:
        options.out.write_text(told + "\n")
    print(told if options.json else _text(size, rows, skipped))


def _text(size: Size, rows: list[Row], skipped: dict[str, str]) -> str:
    heads = ["", "states", "steps", "states/s", "by CPU", "times ours", "peak B/state", "table B/state"]
    table = tabulate([list(asdict(row).values()) for row in rows], heads, floatfmt=",.1f", intfmt=",")
    return "\n\n".join((str(size), table, *(f"{name}: skipped: {why}" for name, why in skipped.items())))


if __name__ == "__main__":
    main()
