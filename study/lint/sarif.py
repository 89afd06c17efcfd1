"""Findings as SARIF 2.1.0 (OASIS), which code hosts and editors show beside the lines."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from study.lint.deployment import Report
from study.lint.findings import Finding, Place, Severity
from study.lint.rules import RULES

SCHEMA_URI = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def sarif(report: Report) -> dict[str, Any]:
    """The report as one run of one tool."""
    names = list(RULES)
    rules = [
        {"id": each.name, "shortDescription": {"text": each.subject}, "help": {"text": f"Source: {each.source}"},
         "defaultConfiguration": {"level": LEVELS[each.severity]}}
        for each in RULES.values()
    ]  # fmt: skip
    driver = {"name": "hastudy", "version": metadata.version("hastudy"), "rules": rules}
    results = [_result(each, names) for each in report.findings]
    return {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(finding: Finding, names: list[str]) -> dict[str, Any]:
    figure = finding.figure
    words = f"{finding.what_happens} {figure.text} ({figure.kind}; {figure.command}). Change: {finding.change}"
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": names.index(finding.rule),
        "level": LEVELS[finding.severity],
        "message": {"text": words},
        "locations": [_location(finding.place)],
        "properties": {"value": figure.value, "unit": figure.unit, "low": figure.low, "high": figure.high},
    }
    if finding.related:
        result["relatedLocations"] = [_location(place) for place in finding.related]
    return result


def _location(place: Place) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": place.file}}
    if place.line:
        physical["region"] = {"startLine": place.line}
    return {"physicalLocation": physical}
