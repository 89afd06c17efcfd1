"""Where scenarios come from: files, folders, and the ones that come with the kit."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from model.errors import UsageError
from model.scenario import Scenario, load
from study import matrix


def folder() -> Path:
    """The folder ``scenarios``: of the working directory, else of the checkout that this program runs from."""
    here = Path("scenarios")
    return here if here.is_dir() else Path(__file__).resolve().parents[1] / "scenarios"


def files(within: Path) -> list[Path]:
    """All scenario files of a folder and its subfolders, in order of their names."""
    return sorted(path for path in within.rglob("*.toml") if path.name != matrix.FILE)


def find(wanted: str) -> list[Path]:
    """Scenario files meant by an argument: a file, all of a folder, or the name of one that comes with the kit.

    Raises
    ------
    UsageError
        A folder without scenarios, or an unknown name.
    """
    path = Path(wanted)
    if path.is_dir():
        found = files(path)
        if not found:
            raise UsageError(f"{wanted}: this folder has no scenario (*.toml)")
        return found
    if path.suffix or path.exists() or path.name != wanted:
        return [path]
    known = {file.stem: file for file in files(folder())}
    if wanted not in known:
        close = difflib.get_close_matches(wanted, known, 1)
        hint = f"did you mean `{close[0]}`?" if close else "`hastudy scenarios` lists them"
        raise UsageError(f"{wanted}: neither a file nor the name of a scenario\n\nhint: {hint}")
    return [known[wanted]]


def load_one(wanted: str, overrides: Sequence[str]) -> Scenario:
    """The one scenario meant by an argument."""
    found = find(wanted)
    if len(found) > 1:
        raise UsageError(
            f"{wanted}: a folder with {len(found)} scenarios, and this verb takes one\n\nhint: name a file"
        )
    return load(found[0], overrides)
