"""Stored real runs: committed data of the regression run, so that it needs no servers.

``reports/validity/runs/`` has for each scenario (told apart by its digest) two files, compressed by xz:

* ``NAME-DIGEST.ndjson.xz``: the traces, stalled ones too, in the schema of `model.trace`;
* ``NAME-DIGEST.logs.xz``: the raw logs of its servers and sentinels, one JSON object a line with ``run``, ``host``,
  ``program`` and ``text``;

and ``manifest.json`` says by which command, on what machine and with which servers they were made.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from model.scenario import Scenario
from model.trace import Trace, read_traces, write_traces

FOLDER = Path(__file__).resolve().parents[1] / "reports" / "validity" / "runs"
"""Where the runs of the matrix are committed."""


def path_of(scenario: Scenario, folder: Path = FOLDER) -> Path:
    """File of the traces of a scenario."""
    return folder / f"{scenario.name}-{scenario.digest}.ndjson.xz"


def runs(scenario: Scenario, folder: Path = FOLDER) -> list[Trace]:
    """Stored real runs of exactly this scenario in order of their numbers, stalled ones included."""
    path = path_of(scenario, folder)
    return list(read_traces(path)) if path.exists() else []


def write_runs(scenario: Scenario, traces: Iterable[Trace], folder: Path = FOLDER) -> None:
    """Replace the stored runs of a scenario; an interrupt leaves the old file or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(scenario, folder)
    fresh = path.with_name(f".{path.name}")
    write_traces(fresh, sorted(traces, key=lambda trace: trace.run))
    fresh.replace(path)


def logs_path(scenario: Scenario, folder: Path = FOLDER) -> Path:
    """File of the logs of a scenario."""
    return folder / f"{scenario.name}-{scenario.digest}.logs.xz"


def logs(path: Path) -> Iterator[dict[str, Any]]:
    """Yield ``run``, ``host``, ``program`` and ``text`` of each stored log."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def write_logs(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Replace a file of logs."""
    fresh = path.with_name(f".{path.name}")
    with lzma.open(fresh, "wt", encoding="utf-8", preset=9) as file:
        for entry in entries:
            file.write(json.dumps(entry) + "\n")
    fresh.replace(path)
