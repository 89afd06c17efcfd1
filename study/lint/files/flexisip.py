"""flexisip.conf: sections in brackets, ``key=value`` lines, ``#`` comments.

Source: Flexisip 2.6, lpconfig.cc, the same in all versions but for one thing. A line is a line: a backslash at its end
is part of the value, and what follows is another line. What has no ``=`` is skipped without a word. Upper and lower
case of names are alike. A key that stands twice in a section ends Flexisip from 2.4 on; earlier ones took the first.

Times may carry a unit (``10min``); a bare number counts in the key's own unit.
"""

from __future__ import annotations

import re

from study.lint.deployment import Broken, FlexisipFile, Setting
from study.lint.findings import Place

_SECTION = re.compile(r" *\[\s*([^\]\s]+)[^\]]*\]")
_SETTING = re.compile(r"\s*([^\s=]+)[^=]*=\s*(.*)$")


def is_mine(text: str) -> bool:
    """It has a section that Flexisip has."""
    return re.search(r"^ *\[(global|cluster|module::\w+)\]", text, re.MULTILINE | re.IGNORECASE) is not None


def read(text: str, file: str, host: str) -> tuple[FlexisipFile, list[Broken]]:
    """All settings of a file; of a key that stands twice the first."""
    section, broken = "", []
    settings: dict[tuple[str, str], Setting] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        place = Place(file, number)
        if not line.strip() or line.lstrip(" ").startswith("#"):
            continue
        if found := _SECTION.match(line):
            section = found[1]
        elif found := _SETTING.match(line):
            first = settings.setdefault((section.lower(), found[1].lower()),
                                        Setting(section, found[1], found[2].strip(), place))  # fmt: skip
            if first.place != place:
                broken.append(Broken(f"{found[1]}=...", f"the key stands in line {first.place.line} already", place))
        else:
            # Nothing of it is shown: it may be a password that was meant to go on here.
            broken.append(Broken("...", "neither [section] nor key=value: Flexisip skips it", place))
    return FlexisipFile(file, host, tuple(settings.values())), broken
