"""Verdicts as JUnit XML, which CI systems show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
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


def comparison_text(comparison: dict[str, Any]) -> str:
    """A stored comparison, one test case a quantity: a disagreement fails, an undecided one is skipped."""
    suite = _suite()
    for row in comparison["rows"]:
        case = ElementTree.SubElement(suite, "testcase", classname=f"hastudy.{comparison['scenario']}",
                                      name=row["name"])  # fmt: skip
        if row["verdict"] != "agrees":
            told = f"{row['verdict']}: real - simulated {_ms(row['shift_low_ms'])} to {_ms(row['shift_high_ms'])}, " \
                   f"margin {_ms(row['margin_ms'])}"  # fmt: skip
            ElementTree.SubElement(case, "failure" if row["verdict"] == "disagrees" else "skipped", message=told)
    _count(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g} ms"


def _suite() -> ElementTree.Element:
    return ElementTree.Element("testsuite", name="hastudy compare")


def _count(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite)))
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))


def _write(path: Path, suite: ElementTree.Element) -> None:
    _count(suite)
    ElementTree.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)
