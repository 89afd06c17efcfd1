"""Finds what is to be exported: the traces of a file or folder, and the scenario that they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from model import scenario as scenarios
from model.errors import ScenarioError, UsageError
from model.scenario import Scenario
from model.trace import Trace, read_traces
from model.versions import Version
from study import catalog

FILES = {"real": "real.ndjson", "sim": "sim.ndjson"}
"""Traces in a folder that a verb has written, the arm that is shown first first."""

COMPARISON = "comparison.json"
VERDICTS = {"agrees", "disagrees", "undecided"}


def traces(path: Path, arm: str | None = None) -> list[Trace]:
    """All traces of a file, or of a folder that ``simulate``, ``replay`` or ``compare`` has written.

    Parameters
    ----------
    path : Path
    arm : str, optional
        ``sim`` or ``real``: only these.

    Raises
    ------
    UsageError
        There are none.
    TraceError
        A file cannot be read.
    """
    files = [path / name for name in FILES.values() if (path / name).exists()] if path.is_dir() else [path]
    found = [trace for file in files for trace in read_traces(file) if arm in (None, trace.arm)]
    if not found:
        what = f"traces of arm {arm}" if arm else "traces"
        raise UsageError(
            f"{path}: no {what}\n  allowed: a trace file, or a folder with {' or '.join(FILES.values())}\n\n"
            "hint: `hastudy simulate SCENARIO --out DIR` writes one"
        )
    return found


def one(found: Sequence[Trace], run: int | None) -> Trace:
    """The trace of a run; without a number the first that is not stalled.

    Raises
    ------
    UsageError
        There is no such run.
    """
    if run is None:
        return next((trace for trace in found if not trace.stalled), found[0])
    for trace in found:
        if trace.run == run:
            return trace
    known = sorted({trace.run for trace in found})
    raise UsageError(f"--run is {run}\n  allowed: {_spans(known)}\n\nhint: without --run the first run is taken")


def _spans(numbers: Sequence[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) == numbers[-1] - numbers[0] + 1 else str(numbers)[1:-1]


def scenario(path: Path, trace: Trace, given: str | None, changes: Sequence[str]) -> Scenario:
    """The scenario of a trace: the one that is given, else that beside it, else the one of the kit that it names.

    Raises
    ------
    UsageError
        None has the digest of the trace.
    """
    beside = (path if path.is_dir() else path.parent) / "scenario.toml"
    for candidate in [given] if given else [str(beside), trace.scenario]:
        if candidate == str(beside) and not beside.exists():
            continue
        try:
            found = scenarios.load(candidate) if candidate == str(beside) else catalog.load_one(candidate, changes)
        except (UsageError, ScenarioError):
            if given:
                raise
            continue
        for each in (found, *(found.on_version(version) for version in get_args(Version))):
            if each.digest == trace.digest:
                return each
    raise UsageError(
        f"{path}: no scenario with the digest of these traces, {trace.digest} ({trace.scenario})\n"
        "  allowed: the scenario file that they were made with\n\n"
        "hint: --scenario FILE names it, --set KEY=VALUE changes it as it was changed then"
    )


def comparison(path: Path) -> dict[str, Any]:
    """A stored comparison: the file, or ``comparison.json`` of a folder.

    Raises
    ------
    UsageError
        It cannot be read, or is none.
    """
    file = path / COMPARISON if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not JSON"
        raise UsageError(f"{file}: cannot be read: {reason}\n\nhint: `hastudy compare SCENARIO` writes one") from None
    if not isinstance(data, dict) or data.get("schema") != 1 or data.get("verdict") not in VERDICTS:
        raise UsageError(f"{file}: no comparison\n\nhint: `hastudy compare SCENARIO --out DIR` writes {COMPARISON}")
    return data
