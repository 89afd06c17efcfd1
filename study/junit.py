"""Verdicts as JUnit XML, which CI systems show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from study.outcome import Outcome


def write(path: Path, outcomes: Iterable[Outcome]) -> None:
    """One test case a scenario: a disagreement fails, an undecided one is skipped, a missing server is an error."""
    suite = ElementTree.Element("testsuite", name="hastudy compare")
    for outcome in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname="hastudy.compare", name=outcome.scenario.name)
        if outcome.lacks:
            ElementTree.SubElement(case, "error", message=str(outcome.lacks))
        elif outcome.comparison and outcome.comparison["verdict"] != "agrees":
            tag = "failure" if outcome.comparison["verdict"] == "disagrees" else "skipped"
            ElementTree.SubElement(case, tag, message=outcome.comparison["reason"])
    suite.set("tests", str(len(suite)))
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    ElementTree.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)
