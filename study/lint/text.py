"""Findings for people."""

from __future__ import annotations

import textwrap
from collections import Counter

from study.lint.deployment import Report
from study.lint.findings import Finding

WIDTH = 110
"""Of the text, characters."""


def text(report: Report) -> str:
    """All findings, the worst first; then what was taken for granted, and a count."""
    parts = [_finding(each) for each in report.findings]
    if report.deployment.assumptions:
        parts.append("taken for granted:\n" + "\n".join(f"  - {each}" for each in report.deployment.assumptions))
    if report.scenario is None:
        parts.append("no scenario can be made of these files (the reason is above): figures are of the guide's own")
    parts.append(_count(report))
    return "\n\n".join(parts)


def _finding(finding: Finding) -> str:
    head = f"{finding.severity.name}  {finding.place}  [{finding.rule}]"
    lines = [
        head,
        *_wrapped("", finding.what_happens),
        *_wrapped("how much: ", f"{finding.figure.text} ({finding.figure.kind})"),
        f"  shown by: {finding.figure.command}",
        *_wrapped("change:   ", finding.change),
    ]
    if finding.related:
        lines += _wrapped("see also: ", ", ".join(map(str, finding.related)))
    return "\n".join(lines)


def _wrapped(head: str, said: str) -> list[str]:
    return textwrap.wrap(said, WIDTH, initial_indent=f"  {head}", subsequent_indent="  " + " " * len(head),
                         break_on_hyphens=False)  # fmt: skip


def _count(report: Report) -> str:
    if not report.findings:
        return "no finding"
    counted = Counter(each.severity for each in report.findings)
    return ", ".join(
        f"{number} {severity.name.lower()}{'s' if number > 1 else ''}"
        for severity, number in sorted(counted.items(), reverse=True)
    )
