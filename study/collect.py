"""Makes the stored real runs of the matrix: ``python -m study.collect``.

It runs what is still missing, several clusters at once, and stores each run as it ends; so it can be interrupted and
started again at any time, and goes on where it was. Stalled runs are stored, marked, and made up for, at most once
again as many as are wanted. A run that could not be carried out is reported and left out.

Cells whose family of servers is not on this machine are named and skipped; ``--server`` adds one by its path.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.errors import EnvironmentLacks, HastudyError
from model.scenario import Scenario
from model.trace import Trace
from reference_node.lab import isolation, replay, servers
from reference_node.lab.servers import Server
from reference_node.lab.task import Task
from study import catalog, matrix, stored
from study.arms import Voice

SEED = 20_261_123
"""Master seed of all stored runs. Kind: assumed (the day on which the matrix was registered)."""

LOGGED = ("redis", "sentinel")
"""Programs whose logs are stored."""


class Shelf:
    """The stored runs of one cell while more of them are made."""

    def __init__(self, cell: matrix.Cell, folder: Path) -> None:
        self.cell, self._folder = cell, folder
        self._traces = stored.runs(cell.scenario, folder)
        path = stored.logs_path(cell.scenario, folder)
        kept = stored.logs(path) if path.exists() else ()
        self._logs = [entry for entry in kept if entry["program"] in LOGGED]

    @property
    def missing(self) -> int:
        """Usable runs that are still to be made."""
        return max(0, self.cell.real_runs - sum(not trace.stalled for trace in self._traces))

    @property
    def numbers(self) -> range:
        """Numbers of the runs to make, which also decide when their programs start and their faults strike."""
        first = 1 + max((trace.run for trace in self._traces), default=-1)
        return range(first, first + self.missing)

    def put(self, trace: Trace, logs: list[dict[str, Any]]) -> None:
        """Store one more run."""
        self._traces.append(trace)
        self._logs += logs
        stored.write_runs(self.cell.scenario, self._traces, self._folder)
        order = sorted(self._logs, key=lambda entry: (entry["run"], entry["host"], entry["program"]))
        stored.write_logs(self.cell.scenario, order, self._folder)


def collect(
    cells: Sequence[matrix.Cell], found: dict[str, Server], folder: Path, parallel: int, voice: Voice
) -> dict[str, int]:
    """Make the runs that are missing.

    Parameters
    ----------
    cells : sequence of Cell
    found : dict
        A server for each family.
    folder : Path
    parallel : int
        Clusters at once.
    voice : Voice

    Returns
    -------
    dict
        For each cell the usable runs that are still missing.
    """
    shelves = {cell.scenario.digest: Shelf(cell, folder) for cell in cells if cell.scenario.server.version in found}
    for _ in range(2):  # what stalled is made up for once
        with tempfile.TemporaryDirectory(prefix="hastudy-logs-") as logs:
            _collect_once(shelves, found, Path(logs), parallel, voice)
    return {
        cell.name: shelves[cell.scenario.digest].missing if cell.scenario.digest in shelves else cell.real_runs
        for cell in cells
    }


def _collect_once(shelves: dict[str, Shelf], found: dict[str, Server], logs: Path, parallel: int, voice: Voice) -> None:
    resolved = isolation.resolve("namespaces")
    tasks = [
        task
        for digest, shelf in shelves.items()
        for task in replay.make_tasks(
            shelf.cell.scenario, shelf.numbers, SEED, found[shelf.cell.scenario.server.version], resolved, logs / digest
        )
    ]
    if not tasks:
        return
    voice.say(f"{len(tasks)} runs to make, {parallel} at once")
    begin = time.monotonic()

    def on_error(task: Task, error: HastudyError) -> None:
        voice.say(f"{task.scenario['name']} run {task.run} could not be made: {error}")

    for done, (task, trace) in enumerate(replay.iter_tasks(tasks, parallel, on_error=on_error), start=1):
        shelf = shelves[trace.digest]
        shelf.put(trace, list(_read_logs(Path(task.keep_logs or ""), task.run)))
        left_s = (time.monotonic() - begin) / done * (len(tasks) - done)
        state = f"stalled: {trace.stall_reason}" if trace.stalled else "usable"
        voice.say(f"{done}/{len(tasks)} {shelf.cell.name} run {task.run} {state}; about {left_s / 60:.0f} min left")


def _read_logs(folder: Path, run: int) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*/*/*.log")):
        program, host = path.parts[-2], path.parts[-3]
        if program in LOGGED:
            text = path.read_text(encoding="utf-8", errors="replace")
            yield {"run": run, "host": host, "program": program, "text": text}


def servers_by_family(paths: Sequence[str]) -> dict[str, Server]:
    """The first server of each family: those given by path, then those found.

    Raises
    ------
    EnvironmentLacks
        A path is no server, or its version is not known to `model.versions`.
    """
    given = [servers.choose(path) for path in paths]
    for server in given:
        if server.family is None:
            raise EnvironmentLacks(f"{server.path}: {server.flavour} {server.version} is of no family that is modelled")
    families: dict[str, Server] = {}
    for server in [*given, *servers.available()]:
        if server.family:
            families.setdefault(server.family, server)
    return families


def _write_manifest(folder: Path, cells: Sequence[matrix.Cell], found: dict[str, Server], parallel: int) -> None:
    used = sorted({cell.scenario.server.version for cell in cells} & found.keys())
    entries = [
        {"cell": cell.name, "file": stored.path_of(cell.scenario).name, **_counts(cell.scenario, folder)}
        for cell in cells
    ]
    data = {
        "command": shlex.join(["python", "-m", "study.collect"]),
        "seed": SEED,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "parallel": parallel,
        "servers": {family: f"{found[family].flavour} {found[family].version}" for family in used},
        "machine": {"system": platform.system(), "kernel": platform.release(), "processor": platform.machine(),
                    "cores": os.cpu_count(), "python": platform.python_version()},
        "cells": entries,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _counts(scenario: Scenario, folder: Path) -> dict[str, int]:
    traces = stored.runs(scenario, folder)
    return {"runs": len(traces), "stalled": sum(trace.stalled for trace in traces)}


def main() -> int:
    """Command line of the collection."""
    parser = argparse.ArgumentParser(prog="python -m study.collect", description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=Path, default=catalog.folder(), metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=stored.FOLDER, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="TEXT", help="cells whose name contains this")
    parser.add_argument(
        "--parallel", type=int, default=replay.default_parallel(), help="clusters at once (default %(default)s)"
    )
    parser.add_argument("--server", action="append", default=[], metavar="PATH", help="one more server; repeatable")
    args = parser.parse_args()
    voice = Voice()
    try:
        cells = matrix.load(args.scenarios)
        found = servers_by_family(args.server)
        missing = collect([cell for cell in cells if args.only in cell.name], found, args.out, args.parallel, voice)
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was made is stored", file=sys.stderr)
        return 130
    _write_manifest(args.out, cells, found, args.parallel)
    for name, count in missing.items():
        if count:
            print(f"{name}: {count} runs missing")
    return 3 if any(missing.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
