"""Rules of `hastudy lint`, a module a subject. `judge` asks all of them; `table` is for the documentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from study.lint.deployment import Deployment
from study.lint.figures import Figures
from study.lint.findings import Finding
from study.lint.rules import certificates, clocks, dns, files, flexisip, redis, security, sentinel, together
from study.lint.rules.registry import RULES, Case, Rule

__all__ = ["RULES", "Rule", "judge", "table"]

_SUBJECTS = (files, sentinel, security, redis, together, flexisip, dns, certificates, clocks)
"""Imported for what they enter into `RULES`."""


def judge(
    deployment: Deployment, figures: Figures, progress: Callable[[float, str], None] | None = None
) -> tuple[Finding, ...]:
    """All findings, the worst first, then by place."""
    case = Case(deployment, figures)
    found: list[Finding] = []
    for number, rule in enumerate(RULES.values(), start=1):
        found += rule.findings(case)
        if progress:
            progress(number / len(RULES), rule.name)
    return tuple(sorted(_merged(found), key=lambda each: (-each.severity, each.place, each.rule)))


def _merged(found: list[Finding]) -> list[Finding]:
    """One finding for what several lines have in common: the first, with the others beside it."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for each in found:
        alike.setdefault((each.rule, each.what_happens, each.change), []).append(each)
    return [
        replace(first, related=tuple(dict.fromkeys((*first.related, *(each.place for each in others)))))
        for first, *others in alike.values()
    ]


def table() -> list[list[str]]:
    """Name, severity, subject and source of every rule."""
    return [[f"`{each.name}`", each.severity.name.lower(), each.subject, each.source] for each in RULES.values()]
