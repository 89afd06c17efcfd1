"""Stored real runs: committed data of the regression run, so that it needs no servers.

``reports/validity/runs/`` has for each scenario (told apart by its digest) two files, compressed by xz:

* ``NAME-DIGEST.ndjson.xz``: the traces, stalled ones too, in the schema of `model.trace`;
* ``NAME-DIGEST.logs.xz``: the raw logs of its servers and sentinels, one JSON object a line with ``run``, ``host``,
  ``program`` and ``text``; first the settings that all its sentinels were started with;

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
from reference_node.lab.config import MASTER_NAME, REDIS_PORT

SETTINGS = "settings"
"""Stands for a program in the entry of an archive that has the settings."""

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


def write_logs(scenario: Scenario, entries: Iterable[dict[str, Any]], folder: Path = FOLDER) -> None:
    """Replace the logs of a scenario."""
    path = logs_path(scenario, folder)
    fresh = path.with_name(f".{path.name}")
    with lzma.open(fresh, "wt", encoding="utf-8", preset=9) as file:
        for entry in [_settings(scenario), *entries]:
            file.write(json.dumps(entry) + "\n")
    fresh.replace(path)


def _settings(scenario: Scenario) -> dict[str, Any]:
    """What the ``sentinel.conf`` of every host says."""
    told = scenario.sentinel
    lines = [
        f"sentinel monitor {MASTER_NAME} {scenario.server.primary} {REDIS_PORT} {told.quorum}",
        f"sentinel down-after-milliseconds {MASTER_NAME} {told.down_after_ms}",
        f"sentinel failover-timeout {MASTER_NAME} {told.failover_timeout_ms}",
        f"sentinel parallel-syncs {MASTER_NAME} {told.parallel_syncs}",
    ]
    return {"run": -1, "host": "", "program": SETTINGS, "text": "\n".join(lines)}
