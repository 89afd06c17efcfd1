"""Reads logs for `model.conform` and words its verdict.

Files are told apart by what is in them: logs of sentinels, logs of Redis servers, ``sentinel.conf``; gzip is read too.
An archive of stored runs (`study.stored`) holds the logs of many runs, each of which is walked by itself.
"""

from __future__ import annotations

import gzip
import lzma
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.conform import Configuration, Finding, Verdict, Walk, configuration, conform
from model.errors import UsageError
from study import stored

GZIP = b"\x1f\x8b"
XZ = b"\xfd7zXZ\x00"


@dataclass(slots=True)
class Archive:
    """What became of the runs of one archive.

    Attributes
    ----------
    name : str
        Of the file.
    runs, walked : int
        Runs, and lines of them that were walked.
    refused : dict of int to Verdict
        Runs with an impossible line.
    """

    name: str
    runs: int = 0
    walked: int = 0
    refused: dict[int, Verdict] = field(default_factory=dict)


def is_archive(path: Path) -> bool:
    """True for a file of stored runs."""
    try:
        with path.open("rb") as file:
            return file.read(len(XZ)) == XZ
    except OSError:
        return False


def check_archive(path: Path, same_clock: bool) -> Archive:
    """Walk every run of an archive.

    Raises
    ------
    UsageError
        It is none.
    """
    logs: dict[int, dict[str, list[str]]] = defaultdict(dict)
    configurations: list[Configuration] = []
    try:
        for entry in stored.logs(path):
            lines = entry["text"].splitlines()
            if entry["program"] == stored.SETTINGS:
                configurations = [found for found in [configuration(lines)] if found]
            else:
                logs[entry["run"]][f"{path}: run {entry['run']}: {entry['host']} {entry['program']}"] = lines
    except (OSError, EOFError, ValueError, KeyError, TypeError, lzma.LZMAError) as error:
        raise UsageError(f"{path}: no archive of stored runs: {error}") from error
    archive = Archive(str(path))
    for run, files in sorted(logs.items()):
        verdict = conform(files, configurations, same_clock)
        archive.runs += 1
        archive.walked += sum(walk.walked for walk in verdict.walks.values())
        if not verdict.conforms:
            archive.refused[run] = verdict
    return archive


def archives_to_json(archives: Sequence[Archive]) -> dict[str, Any]:
    """The verdicts on archives as data."""
    files = [{"file": each.name, "runs": each.runs, "walked": each.walked,
              "refused": {str(run): to_json(verdict) for run, verdict in each.refused.items()}}
             for each in archives]  # fmt: skip
    return {"schema": 1, "conforms": not any(each.refused for each in archives), "archives": files}


def archives_to_text(archives: Sequence[Archive]) -> str:
    """A line an archive, then the first impossible line of each run that has one."""
    lines = []
    for each in archives:
        words = "conform" if not each.refused else f"of which {len(each.refused)} do not conform"
        lines.append(f"{each.name}: {each.runs} runs {words}, {each.walked} lines walked")
        for verdict in each.refused.values():
            findings = [(name, walk.finding) for name, walk in verdict.walks.items() if walk.finding]
            lines += [_finding_text(name, found, "impossible") for name, found in [*findings, *verdict.across]]
    lines.append(f"{sum(each.runs for each in archives)} runs, {sum(each.walked for each in archives)} lines walked, "
                 f"{sum(len(each.refused) for each in archives)} runs do not conform")  # fmt: skip
    return "\n".join(lines)


def check(paths: Iterable[Path], same_clock: bool) -> Verdict:
    """Walk all logs among these files.

    Raises
    ------
    UsageError
        A file that cannot be read or is neither a log nor a ``sentinel.conf``, or no sentinel's log at all.
    """
    logs: dict[str, list[str]] = {}
    configurations: list[Configuration] = []
    for path in paths:
        lines = _lines(path)
        found = configuration(lines)
        if found:
            configurations.append(found)
        else:
            logs[str(path)] = lines
    verdict = conform(logs, configurations, same_clock)
    _refuse_useless(verdict)
    return verdict


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        if data.startswith(GZIP):
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}") from error
    return data.decode(errors="replace").splitlines()


def _refuse_useless(verdict: Verdict) -> None:
    for name, walk in verdict.walks.items():
        if walk.walked + walk.ignored == 0 and walk.finding is None:
            raise UsageError(
                f"{name}: no line of a Redis or Sentinel log\n  allowed: lines such as "
                "`12:X 01 Jan 2025 10:00:00.123 # +sdown master NAME IP PORT`, and sentinel.conf\n\n"
                "hint: name the log files themselves"
            )
    if not any(walk.kind == "sentinel" for walk in verdict.walks.values()):
        raise UsageError("no sentinel's log among these files\n\nhint: name at least one")


def to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as data; the keys are a contract."""
    files = [_file_json(name, walk) for name, walk in verdict.walks.items()]
    across = [{"file": name, **_finding_json(found)} for name, found in verdict.across]
    return {"schema": 1, "conforms": verdict.conforms, "files": files, "across": across}


def _file_json(name: str, walk: Walk) -> dict[str, Any]:
    return {"file": name, "kind": walk.kind, "conforms": walk.finding is None, "walked": walk.walked,
            "ignored": walk.ignored, "not_checked": walk.off,
            "finding": _finding_json(walk.finding) if walk.finding else None}  # fmt: skip


def _finding_json(found: Finding) -> dict[str, Any]:
    return asdict(found)


def to_text(verdict: Verdict) -> str:
    """The verdict for people: a line a file, or the first impossible line with what could stand there."""
    parts = [_file_text(name, walk) for name, walk in verdict.walks.items()]
    parts += [_finding_text(name, found, "contradicts another log") for name, found in verdict.across]
    return "\n".join(parts)


def _file_text(name: str, walk: Walk) -> str:
    off = [f"  not checked: {each}" for each in walk.off]
    if walk.finding is None:
        return "\n".join([f"{name}: conforms, {walk.walked} lines walked, {walk.ignored} ignored", *off])
    return "\n".join([_finding_text(name, walk.finding, f"impossible after {walk.walked} lines walked"), *off])


def _finding_text(name: str, found: Finding, what: str) -> str:
    lines = [f"{name}:{found.line}: {what}", f"  {found.text}", f"  why: {found.why}", f"  rule: {found.source}"]
    lines += [f"  {key}: {value}" for key, value in found.state.items()]
    if found.instead:
        lines.append("  possible instead:")
        lines += [f"    {each}" for each in found.instead]
    return "\n".join(lines)
