"""What `check` found, for people, from its JSON; paths as `study.paths` has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path as File
from typing import Any

from tabulate import tabulate

from study import folders, paths
from study.check.run import FAILS, SEEN, Found

_SENTENCE_WIDTH = 48
"""Columns for a property. Kind: assumed."""


def text(found: Found) -> str:
    """Tables, conditions, what was left unfinished, counterexamples."""
    searches = {each["name"]: each for each in found.data["searches"]}
    blocks = [
        "\n\n".join([title, _table(list(rows))])
        for title, rows in groupby(found.data["properties"], lambda row: searches[row["search"]]["title"])
    ]
    blocks += ["\n".join(lines) for lines in (list(_conditions(found)), list(_unfinished(found))) if lines]
    blocks += [_counterexample(found, row) for row in found.data["properties"] if row["verdict"] == FAILS]
    return "\n\n".join([*blocks, _sum(found)])


def _table(rows: list[dict[str, Any]]) -> str:
    """A sentence stands once for all rows in a row that have it."""
    cells = [
        [row["key"], "" if row["sentence"] == before["sentence"] else row["sentence"], row["kind"], _verdict(row),
         f"{row['states']:,}", "yes" if row["finished"] else "no"]
        for row, before in zip(rows, [{"sentence": ""}, *rows], strict=False)
    ]  # fmt: skip
    table = tabulate(
        cells, ["key", "property", "kind", "verdict", "states", "finished"], tablefmt="simple", disable_numparse=True,
        colalign=("left", "left", "left", "left", "right", "left"),
        maxcolwidths=[None, _SENTENCE_WIDTH, None, None, None, None],
    )  # fmt: skip
    return "\n".join(line.rstrip() for line in table.splitlines())


def _verdict(row: dict[str, Any]) -> str:
    if row["verdict"] == SEEN:
        return f"seen after {row['steps']} steps"
    if row["verdict"] == FAILS and row["steps"] is not None:
        return f"does not hold: {row['steps']} steps"
    return row["verdict"]


def _conditions(found: Found) -> Iterator[str]:
    rows = [row for row in found.data["properties"] if row["condition"]]
    if rows:
        yield "conditions:"
    yield from (f"  {_where(row)}: {row['condition']}" for row in rows)


def _where(row: dict[str, Any]) -> str:
    return row["key"] if row["key"] == row["search"] else f"{row['search']}, {row['key']}"


def _unfinished(found: Found) -> Iterator[str]:
    unfinished = [each for each in found.data["searches"] if not each["finished"]]
    for each in unfinished:
        frontier = "" if each["frontier"] is None else f", frontier {each['frontier']:,}"
        yield f"not finished: {each['name']}: {each['states']:,} states{frontier}"
    if unfinished:
        yield "hint: --max-states N and --memory-mib N say how far a search may go"
    if any(each["frontier"] for each in unfinished):
        yield "hint: --resume FILE keeps a search of the election or of failovers, to go on with later"


def _counterexample(found: Found, row: dict[str, Any]) -> str:
    name = row["key"] if row["key"] == row["search"] else f"{row['search']}-{row['key']}"
    return paths.text(found.paths[name]).rstrip() if name in found.paths else f"{_where(row)}: {row['sentence']}: fails"


def _sum(found: Found) -> str:
    rows = found.data["properties"]
    counts = Counter(row["verdict"] for row in rows)
    return f"{len(rows)} {'property' if len(rows) == 1 else 'properties'}: " + ", ".join(
        f"{word}: {count}" for word, count in counts.items()
    )


def write(found: Found, folder: File) -> None:
    """Write ``summary.json``, and all paths in every form in ``paths/``."""
    folder.mkdir(parents=True, exist_ok=True)
    folders.dump(folder / "summary.json", found.data)
    for name, path in found.paths.items():
        paths.write(path, folder / "paths", name)
