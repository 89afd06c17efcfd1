"""The command line of `export`: its arguments, and a file from what was given. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from model.errors import UsageError
from study.export import FORMATS, TABLES


def add(parser: argparse.ArgumentParser, whole_number: Callable[[int, int], Callable[[str], int]]) -> None:
    """Declare the arguments."""
    parser.add_argument("trace", metavar="TRACE|FOLDER", type=Path,
                        help="a trace file, or a folder that simulate, replay or compare has written")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, required=True, help="what to write (docs/export.md)")
    parser.add_argument("--run", type=whole_number(0, 2**31 - 1), metavar="N",
                        help="this run (default: the first one; tables: all)")  # fmt: skip
    parser.add_argument("--arm", choices=("sim", "real"), help="of a folder with both (default: real; tables: both)")
    parser.add_argument("--table", choices=TABLES, default="events",
                        help="what csv and parquet hold (default %(default)s)")  # fmt: skip
    parser.add_argument(
        "--scenario",
        metavar="SCENARIO",
        help="what the traces were made with, for milestones and outages (default: found)",
    )


def run(args: argparse.Namespace) -> str | None:
    """Write ``--out``; without it, the text that is to be printed.

    Raises
    ------
    UsageError, TraceError, ScenarioError, EnvironmentLacks
        Something is missing or cannot be read or written.
    """
    if args.out and args.out.is_dir():
        raise UsageError(f"{args.out}: is a folder\n\nhint: for export, --out FILE names a file")
    if args.format == "parquet":
        return _parquet(args)
    text = _text(args)
    if args.out is None:
        return text
    _written(args.out, lambda: args.out.write_text(text, encoding="utf-8"))
    return None


def _parquet(args: argparse.Namespace) -> None:
    from study.export import tidy

    if args.out is None:
        raise UsageError("parquet is no text\n\nhint: --out FILE names the file to write")
    found = _rows(args)
    _written(args.out, lambda: tidy.write_parquet(args.out, args.table, found))


def _text(args: argparse.Namespace) -> str:
    from study.export import drawn, sources, tidy
    from study.export.perfetto import perfetto

    if args.format == "junit":
        from study import junit

        return junit.comparison_text(sources.comparison(args.trace))
    if args.format == "csv":
        return tidy.to_csv(args.table, _rows(args))
    trace = sources.one(sources.traces(args.trace, args.arm), args.run)
    if args.format == "perfetto":
        return json.dumps(perfetto(trace)) + "\n"
    return drawn.shiviz(trace) if args.format == "shiviz" else drawn.mermaid(trace)


def _rows(args: argparse.Namespace) -> list[dict]:
    from model.measures import Facts
    from study.export import sources, tidy

    found = sources.traces(args.trace, args.arm)
    if args.run is not None:
        sources.one(found, args.run)
        found = [trace for trace in found if trace.run == args.run]
    facts = None
    if args.table != "events":
        facts = Facts.of(sources.scenario(args.trace, found[0], args.scenario, args.set))
    return tidy.rows(args.table, found, facts)


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}\n\nhint: --out FILE names another") from None
