"""The command line of `incident`: its arguments, and all that was found as plain data. Imports nothing heavy early."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import UsageError

if TYPE_CHECKING:
    from model.scenario import Scenario
    from model.trace import Trace
    from study.incident.faults import Inferred, Scene
    from study.incident.logs import Evidence
    from study.incident.settings import Known

RUNS = 200
"""Simulated runs: 5 and 95 % rest on ten runs each. Kind: assumed."""

SCHEMA = 1
LEAST_MS, MOST_MS = 100, 600_000
"""What `sentinel.down_after_ms` may be."""


@dataclass(slots=True)
class Found:
    """What came of it: plain data for ``--json``, and what is written besides."""

    data: dict[str, Any]
    scenario: Scenario | None
    trace: Trace | None


def add(parser: argparse.ArgumentParser, whole_number: Callable[[int, int], Callable[[str], int]]) -> None:
    """Declare the arguments."""
    parser.add_argument("log", metavar="LOG", type=Path, nargs="+",
                        help="logs of sentinels, Redis servers and registrar nodes, and sentinel.conf if there is one, "
                        "or a folder with a folder for each host")  # fmt: skip
    parser.add_argument("--reference", metavar="HOST", default="",
                        help="whose clock is the measure (default: that of the first leader)")  # fmt: skip
    parser.add_argument("--runs", type=whole_number(20, 100_000), default=RUNS,
                        help="simulated runs (default %(default)s)")  # fmt: skip
    parser.add_argument("--no-simulation", action="store_true", help="timeline and faults alone")
    parser.add_argument("--what-if", type=whole_number(LEAST_MS, MOST_MS), action="append", default=[], metavar="MS",
                        help="another down-after to try; repeatable (default: half and twice)")  # fmt: skip
    parser.add_argument("--engine", choices=("batch", "world"), default="batch",
                        help="compiled or interpreted (default %(default)s)")  # fmt: skip
    parser.add_argument("--jobs", type=whole_number(1, 1024), help="processes (default: one for each core)")


def run(args: argparse.Namespace, progress: Callable[[float], None] | None = None) -> Found:
    """Read, align, infer, and (unless told not to) simulate.

    Raises
    ------
    UsageError
        A file cannot be read, there is no sentinel's log, or no such host.
    """
    from study.incident import likely, logs
    from study.incident.faults import infer
    from study.incident.settings import settings

    found = scene(logs.load(args.log), args.reference)
    known = settings(found.evidence, found.cluster)
    inferred = infer(found)
    built, lacks = likely.scenario(found, known, inferred)
    data = {**_told(found, known, inferred), "scenario": {"built": built is not None, "why_not": lacks}, "likely": None}
    incident = likely.trace(found, built, inferred) if built else None
    if built and incident and not args.no_simulation:
        what_if = args.what_if or _half_and_twice(built.sentinel.down_after_ms)
        data["likely"] = likely.likely(built, incident, inferred, what_if, args.runs, args.seed, args.engine,
                                       args.jobs, progress)  # fmt: skip
    return Found(data, built, incident)


def scene(evidence: Evidence, reference: str = "") -> Scene:
    """Hosts, clocks and suspicions of what was read.

    Raises
    ------
    UsageError
        The reference is no host of these files.
    """
    from study.incident.clocks import align
    from study.incident.faults import Scene
    from study.incident.hosts import identify
    from study.incident.settings import settings

    cluster = identify(evidence)
    if reference and reference not in cluster.host_of_file.values():
        raise UsageError(
            f"--reference is {reference}\n  allowed: {', '.join(sorted(set(cluster.host_of_file.values())))}\n\n"
            "hint: without it the clock of the first leader counts"
        )
    clocks = align(evidence, cluster, reference)
    return Scene.of(evidence, cluster, clocks, settings(evidence, cluster)["down_after_ms"])


def _half_and_twice(delay_ms: int) -> list[int]:
    return [each for each in (delay_ms // 2, 2 * delay_ms) if LEAST_MS <= each <= MOST_MS]


def _told(scene: Scene, known: dict[str, Known], inferred: list[Inferred]) -> dict[str, Any]:
    """All but the simulation; the keys are a contract."""
    from study.incident.timeline import timeline

    clocks, cluster = scene.clocks, scene.cluster
    files = [
        {"file": log.name, "kind": log.kind, "host": cluster.host_of_file[log.name],
         "guessed": log.name in cluster.unknown, "lines": len(log.entries)}
        for log in scene.evidence.logs
    ]  # fmt: skip
    offsets = [
        {"host": host, "stretch": stretch, "low_ms": each.low_ms, "high_ms": each.high_ms, "best_ms": each.best_ms}
        for (host, stretch), each in sorted(clocks.offsets.items())
    ]
    contradictions = [
        [{"cause": pair.cause.place, "effect": pair.effect.place, "why": pair.why, "cause_text": pair.cause.text,
          "effect_text": pair.effect.text} for pair in cycle]
        for cycle in clocks.contradictions
    ]  # fmt: skip
    return {
        "schema": SCHEMA,
        "group": cluster.group,
        "primary": cluster.primary,
        "addresses": cluster.host_of_ip,
        "files": files,
        "clocks": {"reference": clocks.reference, "offsets": offsets, "contradictions": contradictions},
        "settings": {name: asdict(each) for name, each in known.items()},
        "faults": [asdict(each) for each in inferred],
        "timeline": [asdict(each) for each in timeline(scene.evidence, cluster, clocks)],
    }
