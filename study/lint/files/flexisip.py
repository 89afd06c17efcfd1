"""flexisip.conf: sections in brackets, ``key=value`` lines, ``#`` comments; a backslash at the end goes on.

Times may carry a unit (``10min``); a bare number counts in the key's own unit.
"""

from __future__ import annotations

import re

from study.lint.deployment import Broken, FlexisipFile, Setting
from study.lint.findings import Place

_SECTION = re.compile(r"\s*\[([^\]]+)\]\s*$")
_SETTING = re.compile(r"\s*([A-Za-z][\w-]*)\s*=\s*(.*)$")


def is_mine(text: str) -> bool:
    """It has a section that Flexisip has."""
    return re.search(r"^\s*\[(global|cluster|module::\w+)\]", text, re.MULTILINE) is not None


def read(text: str, file: str, host: str) -> tuple[FlexisipFile, list[Broken]]:
    """All settings of a file."""
    section, settings, broken = "", [], []
    for number, line in _joined(text):
        if found := _SECTION.match(line):
            section = found[1].strip()
        elif found := _SETTING.match(line):
            settings.append(Setting(section, found[1], found[2].strip(), Place(file, number)))
        else:
            broken.append(Broken(line.strip(), "neither [section] nor key=value", Place(file, number)))
    return FlexisipFile(file, host, tuple(settings)), broken


def _joined(text: str) -> list[tuple[int, str]]:
    """Number and text of each line that says something, continued lines joined."""
    lines: list[tuple[int, str]] = []
    goes_on = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#") or not (line.strip() or goes_on):
            continue
        piece = line.rstrip().removesuffix("\\")
        if goes_on:
            lines[-1] = (lines[-1][0], f"{lines[-1][1].rstrip()} {piece.strip()}")
        else:
            lines.append((number, piece))
        goes_on = line.rstrip().endswith("\\")
    return lines
