"""Lines that cannot be read, and lines that were never filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from study.lint.figures import certain
from study.lint.findings import Place, Severity
from study.lint.rules.registry import Case, Fault, rule

_PLACEHOLDER = re.compile(r"<[^<>]*>")


@rule("unreadable-line", Severity.ERROR, "A line cannot be read as what its file is.", "the programs' own readers")
def unreadable(case: Case) -> Iterator[Fault]:
    """Redis and Sentinel do not start with such a line; a name server refuses the zone."""
    for each in case.deployment.broken:
        yield Fault(
            each.place,
            f"`{each.text}`: {each.why}. The program refuses the file, or leaves the line out.",
            certain("0 of 1 programs does what the line says", "the line itself"),
            "write the line as the program's documentation has it",
        )


@rule("placeholder", Severity.ERROR, "A placeholder of a sample file was not filled in.", "deployment guide, samples")
def placeholder(case: Case) -> Iterator[Fault]:
    """``<master ip>`` is no address."""
    for place, text in _values(case):
        if found := _PLACEHOLDER.search(text):
            yield Fault(
                place,
                f"`{found[0]}` stands where a value belongs: the program does not start, or looks for a host of that "
                "name and finds none.",
                certain("0 of 1: no connection is ever made to it", "the line itself", 0.0),
                "write the value itself",
            )


def _values(case: Case) -> Iterator[tuple[Place, str]]:
    for file in (*case.deployment.redis, *case.deployment.sentinels):
        for directive in file.directives:
            yield directive.place, " ".join(directive.words)
    for conf in case.deployment.flexisip:
        for setting in conf.settings:
            yield setting.place, setting.value
