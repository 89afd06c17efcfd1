"""The pre-registered matrix of the regression run: ``matrix.toml`` in a folder of scenarios.

::

    [[block]]
    scenario = "host_vanishes"          # name of a scenario in the folder
    real_runs = 30                      # usable real runs wanted for each cell
    main = true                         # a main cell: judged by the smaller margin
    variants = [{ "sentinel.down_after_ms" = 1000 }, {}]
    versions = ["6.2", "7.0"]           # families of servers; each variant with each
    cause = ""                          # a known reason why these cells disagree, shown beside the verdict

A block has as many cells as variants times versions.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from model.errors import ScenarioError
from model.scenario import Scenario
from model.scenario import load as load_scenario
from model.versions import Version

FILE = "matrix.toml"

FAMILY = "6.2"
"""Family of servers of blocks that name none: that of the server that comes with the kit. Kind: assumed."""

_KEYS = {"scenario": str, "real_runs": int, "main": bool, "variants": list, "versions": list, "cause": str}
_UNNAMED = ("run.horizon_ms", "sentinel.failover_timeout_ms")
"""Settings that follow from others and would only lengthen the names of cells."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix.

    Attributes
    ----------
    name : str
        Unique, such as ``host_vanishes[down_after_ms=1000,6.2]``.
    scenario : Scenario
        Resolved, its server version included.
    real_runs : int
        Usable real runs wanted.
    main : bool
        Judged by the smaller margin.
    fault_class : str
        Name of the scenario.
    cause : str
        A known reason why it disagrees, or empty.
    """

    name: str
    scenario: Scenario
    real_runs: int
    main: bool
    fault_class: str
    cause: str


def has_matrix(folder: Path) -> bool:
    """True when a folder of scenarios has a matrix."""
    return (folder / FILE).is_file()


def load(folder: Path) -> list[Cell]:
    """All cells of the matrix of a folder, in order.

    Raises
    ------
    ScenarioError
        The file or one of its cells says something that cannot be.
    """
    path = folder / FILE
    try:
        blocks = tomllib.loads(path.read_text(encoding="utf-8")).get("block", [])
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(str(path), "", f"not TOML: {error}", "TOML 1.0", "mend the line that is named") from None
    files = {file.stem: file for file in folder.rglob("*.toml")}
    cells = [cell for number, block in enumerate(blocks) for cell in _cells(path, files, f"block.{number}", block)]
    for cell in cells:
        if [other.name for other in cells].count(cell.name) > 1:
            raise ScenarioError(str(path), cell.name, "twice", "different cells", "remove one of them")
    return cells


def _cells(path: Path, files: dict[str, Path], key: str, block: dict[str, Any]) -> list[Cell]:
    for name, value in block.items():
        if name not in _KEYS or type(value) is not _KEYS[name]:
            wanted = ", ".join(f"{known} ({kind.__name__})" for known, kind in _KEYS.items())
            raise ScenarioError(
                str(path), f"{key}.{name}", json.dumps(value), wanted, "see the head of study/matrix.py"
            )
    scenario = block.get("scenario", "")
    if scenario not in files:
        raise ScenarioError(
            str(path), f"{key}.scenario", repr(scenario), "the name of a scenario in this folder", "`hastudy scenarios`"
        )
    versions = block.get("versions", [FAMILY])
    for version in versions:
        if version not in get_args(Version):
            allowed = ", ".join(get_args(Version))
            raise ScenarioError(str(path), f"{key}.versions", repr(version), allowed, "name a family of servers")
    return [
        _cell(files[scenario], block, variant, version)
        for variant in block.get("variants", [{}])
        for version in versions
    ]


def _cell(file: Path, block: dict[str, Any], variant: dict[str, Any], version: str) -> Cell:
    changes = [f"{key}={json.dumps(value)}" for key, value in variant.items()]
    scenario = load_scenario(file, [*changes, f'server.version="{version}"'])
    told = [f"{_short(key)}={value}" for key, value in variant.items() if key not in _UNNAMED]
    return Cell(
        f"{scenario.name}[{','.join([*told, version])}]",
        scenario,
        block.get("real_runs", 10),
        block.get("main", False),
        scenario.name,
        block.get("cause", ""),
    )


def _short(key: str) -> str:
    """A dotted key without its first part."""
    return key.partition(".")[2]
