"""What a rule is, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from study.lint.deployment import Deployment
from study.lint.figures import Figures
from study.lint.findings import Figure, Finding, Place, Severity


class Fault(NamedTuple):
    """A finding but for what its rule says."""

    place: Place
    what_happens: str
    figure: Figure
    change: str
    related: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What rules judge."""

    deployment: Deployment
    figures: Figures


Judge = Callable[[Case], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong.

    Attributes
    ----------
    name : str
        For good: other programs know it by this.
    severity : Severity
    subject : str
        In one sentence.
    source : str
        Who says that it is so.
    judge : callable
    """

    name: str
    severity: Severity
    subject: str
    source: str
    judge: Judge

    def findings(self, case: Case) -> Iterator[Finding]:
        """All that it has to say."""
        for fault in self.judge(case):
            yield Finding(self.name, self.severity, *fault)


RULES: dict[str, Rule] = {}
"""By name; modules of this package fill it."""


def rule(name: str, severity: Severity, subject: str, source: str) -> Callable[[Judge], Judge]:
    """Enter a function into `RULES`."""

    def enter(judge: Judge) -> Judge:
        assert name not in RULES, name
        RULES[name] = Rule(name, severity, subject, source, judge)
        return judge

    return enter
