"""Paths of the explorer in every form that somebody may want to look at.

=================  ==================================================
file               what it is
=================  ==================================================
``path.txt``       numbered steps, for the terminal
``path.svg``       space-time diagram
``path.mmd``       Mermaid sequence diagram
``path.shiviz``    log with vector clocks, for ShiViz
=================  ==================================================
"""

from __future__ import annotations

from pathlib import Path as File

from model.explorer.paths import Path
from study.paths.mermaid import mermaid
from study.paths.shiviz import shiviz
from study.paths.space_time import space_time
from study.paths.text import text

__all__ = ["mermaid", "shiviz", "space_time", "text", "write"]

FORMS = {"txt": text, "svg": space_time, "mmd": mermaid, "shiviz": shiviz}
"""Ending of the file, and what writes it."""


def write(path: Path, folder: File, name: str = "path") -> list[File]:
    """Write a path in every form; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for ending, form in FORMS.items():
        files.append(folder / f"{name}.{ending}")
        files[-1].write_text(form(path), encoding="utf-8")
    return files
