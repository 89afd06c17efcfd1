"""Verdicts as JUnit XML, which CI systems show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from study.outcome import Outcome
    from study.regression import CellResult


def write(path: Path, outcomes: Iterable[Outcome]) -> None:
    """One test case a scenario: a disagreement fails, an undecided one is skipped, a missing server is an error."""
    suite = _suite()
    for outcome in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname="hastudy.compare", name=outcome.scenario.name)
        if outcome.lacks:
            ElementTree.SubElement(case, "error", message=str(outcome.lacks))
        elif outcome.comparison and outcome.comparison["verdict"] != "agrees":
            tag = "failure" if outcome.comparison["verdict"] == "disagrees" else "skipped"
            ElementTree.SubElement(case, tag, message=outcome.comparison["reason"])
    _write(path, suite)


def write_cells(path: Path, cells: Iterable[CellResult]) -> None:
    """One test case a cell: a disagreement fails; what is explained, undecided or without real runs is skipped."""
    suite = _suite()
    for cell in cells:
        case = ElementTree.SubElement(suite, "testcase", classname=f"hastudy.{cell.fault_class}", name=cell.name)
        if cell.verdict != "agrees":
            tag = "failure" if cell.verdict == "disagrees" else "skipped"
            told = ElementTree.SubElement(case, tag, message=f"{cell.verdict}: {cell.reason}")
            told.text = "\n".join(cell.told())
    _write(path, suite)


def _suite() -> ElementTree.Element:
    return ElementTree.Element("testsuite", name="hastudy compare")


def _write(path: Path, suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite)))
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    ElementTree.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)
