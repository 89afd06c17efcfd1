"""Files in, a `Report` out; and the report as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from study.lint import read, understood
from study.lint.deployment import Report
from study.lint.figures import RUNS, Figures
from study.lint.findings import Finding, Severity
from study.lint.rules import judge

SCHEMA = 1
"""Version of the JSON."""


def lint(
    paths: Sequence[Path],
    version: str | None = None,
    flexisip_version: str | None = None,
    runs: int = RUNS,
    seed: int = 1,
    folder: Path | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Report:
    """Judge a set of configuration files.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    version, flexisip_version : str or None
        Of the servers and of the nodes; None: assumed, and said.
    runs, seed : int
        Of each simulated circumstance.
    folder : Path or None
        Where the scenario understood will be written: commands name it.
    progress : callable or None
        Called with the done fraction and a short text.

    Raises
    ------
    UsageError
        A file cannot be read or is of no known kind.
    """
    deployment = read.deployment(paths, version, flexisip_version)
    scenario = understood.scenario(deployment)
    said = (*deployment.assumptions, *understood.left_out(deployment))
    deployment = replace(deployment, assumptions=said)
    return Report(deployment, scenario, judge(deployment, Figures(scenario, folder, runs, seed), progress))


def worst(report: Report) -> Severity | None:
    """The severity of the worst finding; None if there is none."""
    return max((each.severity for each in report.findings), default=None)


def to_json(report: Report) -> dict[str, Any]:
    """All of it as plain data. No password is in it."""
    deployment = report.deployment
    return {
        "schema": SCHEMA,
        "hosts": list(deployment.hosts),
        "sentinels": deployment.sentinel_count,
        "server_version": deployment.version,
        "flexisip_version": deployment.flexisip_version,
        "assumptions": list(deployment.assumptions),
        "scenario": report.scenario.digest if report.scenario else None,
        "findings": [finding_to_json(each) for each in report.findings],
    }


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """One finding as plain data."""
    return {**asdict(finding), "severity": finding.severity.name.lower()}
