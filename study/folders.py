"""The folder that a run leaves behind: ``runs/<scenario>/<id>/``, or the one given with ``--out``.

==================  ================================================================================
``scenario.toml``   the scenario as resolved, defaults filled in; can be run again
``sim.ndjson``      the first `KEPT_TRACES` simulated traces
``real.ndjson``     all real traces, stalled ones too
``measures.csv``    every run of both arms: milestones, outages, parts, courses
``*.json``          summaries and comparison, as ``--json`` prints them
``timeline.*``      the picture
``manifest.json``   what is needed to make it again: command, seed, digest, versions, machine
==================  ================================================================================
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from model.errors import UsageError
from model.measures import BRANCHES, MILESTONES, PARTS, RunMeasures
from model.scenario import Scenario
from model.trace import Trace, read_traces, write_traces

KEPT_TRACES = 20
"""Simulated traces that are kept: enough to look at; all can be made again from the seed. Kind: assumed."""

PACKAGES = ("hastudy", "numpy", "scipy", "llvmlite", "simpy", "matplotlib")


def new_folder(scenario: Scenario, out: Path | None) -> Path:
    """Make the folder of a run.

    Raises
    ------
    UsageError
        It cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = out or Path("runs") / scenario.name / f"{stamp}-{scenario.digest[:6]}-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror}\n\nhint: --out DIR names another folder") from None
    return path


def dump(path: Path, data: Any) -> None:
    """Write JSON as it is printed."""
    path.write_text(to_json(data) + "\n", encoding="utf-8")


def to_json(data: Any) -> str:
    """JSON with keys in the order in which they were made, readable, the same bytes for the same data."""
    return json.dumps(data, indent=1, allow_nan=False)


def to_toml(resolved: dict[str, Any]) -> str:
    """A resolved scenario as TOML: plain keys, then tables, then lists of tables."""
    lines = [_toml_line(key, value) for key, value in resolved.items() if not isinstance(value, (dict, list))]
    for key, value in resolved.items():
        for table in value if isinstance(value, list) else [value] if isinstance(value, dict) else []:
            lines += ["", f"[[{key}]]" if isinstance(value, list) else f"[{key}]"]
            # TOML has no null: what the scenario does not set is left out, as in its file.
            lines += [_toml_line(name, inner) for name, inner in table.items() if inner is not None]
    return "\n".join(lines) + "\n"


def _toml_line(key: str, value: Any) -> str:
    # JSON's strings, whole numbers and truth values are TOML too.
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def write_inputs(folder: Path, scenario: Scenario, sim: Sequence[Trace], real: Sequence[Trace]) -> None:
    """Write scenario and traces."""
    (folder / "scenario.toml").write_text(to_toml(scenario.canonical()), encoding="utf-8")
    if sim:
        write_traces(folder / "sim.ndjson", sim[:KEPT_TRACES])
    if real:
        write_traces(folder / "real.ndjson", real)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table: the keys of its first row, then one line a row; None is empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_measures(path: Path, arms: dict[str, Sequence[RunMeasures]]) -> None:
    """One line a run; times in ms, empty where something did not happen."""
    runs = [(arm, run) for arm, measured in arms.items() for run in measured]
    outages = sorted({name for _, run in runs for name in run.windows})
    nodes = sorted({node for _, run in runs for node in run.parts})
    parts = [f"{part}@{node}" for node in nodes for part in PARTS]
    head = ["arm", "run", "stalled", "censored", *MILESTONES, *outages, *parts, *BRANCHES, "lost", "two_writable"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for arm, run in runs:
            writer.writerow([arm, run.run, int(run.stalled), int(run.censored), *_cells(run, outages, nodes)])


def _cells(run: RunMeasures, outages: Sequence[str], nodes: Sequence[str]) -> list[Any]:
    return [
        *(_ms(run.milestones.get(name)) for name in MILESTONES),
        *(_ms(run.outage_us(name) if name in run.windows else None) for name in outages),
        *(_ms(run.parts[node][part] if node in run.parts else None) for node in nodes for part in PARTS),
        *(int(run.branches[name]) if name in run.branches else "" for name in BRANCHES),
        "" if run.lost is None else run.lost,
        _ms(run.two_writable_us),
    ]


def _ms(value_us: int | None) -> Any:
    return "" if value_us is None else value_us / 1000


def manifest(scenario: Scenario, seed: int, command: Sequence[str], real: Sequence[Trace]) -> dict[str, Any]:
    """What is needed to make a folder again, and on what it was made."""
    return {
        "command": shlex.join(command),
        "scenario": scenario.name,
        "digest": scenario.digest,
        "seed": seed,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **_package_versions()},
        "servers": dict(sorted(real[0].versions.items())) if real else {},
        "machine": {"system": platform.system(), "kernel": platform.release(), "processor": platform.machine(),
                    "cores": os.cpu_count()},
    }  # fmt: skip


def _package_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The commit this runs from, empty outside a checkout."""
    here = Path(__file__).parent
    try:
        answer = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def stored_files() -> dict[str, Path]:
    """Files of stored real runs by the digest of their scenario: committed ones first, else the latest in ``runs``."""
    found: dict[str, Path] = {}
    for place in (Path("reports"), Path("runs")):
        for path in sorted(place.rglob("real*.ndjson"), reverse=True):
            first = next(read_traces(path), None)
            if first:
                found.setdefault(first.digest, path)
    return found
