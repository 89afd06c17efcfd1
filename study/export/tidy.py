"""Tidy tables of traces: a row is an event, a milestone or an outage of a run; a column has one meaning and one unit.

What did not happen has no row; what the horizon cut off has one, marked `censored`, with a time that is a lower bound.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model.errors import EnvironmentLacks
from model.measures import Facts, RunMeasures, measure
from model.trace import Trace

Row = dict[str, Any]

COLUMNS: dict[str, dict[str, type]] = {
    "events": {"t_us": int, "host": str, "actor": str, "event": str, "about": str, "detail_us": int, "code": int},
    "milestones": {"milestone": str, "t_us": int, "censored": bool},
    "outages": {"outage": str, "number": int, "start_us": int, "end_us": int, "length_us": int, "censored": bool},
}
"""Columns besides those of `RUN`: µs since the first fault (the milestone `demoted`: since the return)."""

RUN: dict[str, type] = {"scenario": str, "digest": str, "arm": str, "seed": int, "run": int, "stalled": bool}
"""Columns that say which run a row is of."""


def rows(table: str, traces: Sequence[Trace], facts: Facts | None) -> list[Row]:
    """All rows of a table; `facts` of the scenario are needed for all but ``events``."""
    found: list[Row] = []
    for trace in traces:
        of_run = {name: getattr(trace, name) for name in RUN}
        own = _events(trace) if table == "events" else _measured(table, measure(trace, facts))
        found += [{**of_run, **row} for row in own]
    return found


def _events(trace: Trace) -> Iterator[Row]:
    for event in trace.events:
        yield {name: getattr(event, name) for name in COLUMNS["events"]}


def _measured(table: str, run: RunMeasures) -> Iterator[Row]:
    if table == "milestones":
        for censored, values in ((False, run.milestones), (True, run.cut_off)):
            for name, t_us in values.items():
                yield {"milestone": name, "t_us": t_us, "censored": censored}
    else:
        for name, windows in run.windows.items():
            for number, window in enumerate(windows, 1):
                yield {"outage": name, "number": number, "start_us": window.start_us, "end_us": window.end_us,
                       "length_us": window.length_us, "censored": window.censored}  # fmt: skip


def to_csv(table: str, found: Sequence[Row]) -> str:
    """The table with its head; truth values are 0 and 1."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*RUN, *COLUMNS[table]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: int(value) if isinstance(value, bool) else value for key, value in row.items()}
                     for row in found)  # fmt: skip
    return text.getvalue()


def write_parquet(path: Path, table: str, found: Sequence[Row]) -> None:
    """Write the table with typed columns.

    Raises
    ------
    EnvironmentLacks
        The package pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise EnvironmentLacks(
            "Parquet needs the package pyarrow, which is not installed\n\n"
            "hint: pip install 'hastudy[tables]', or --format csv"
        ) from None
    types = {int: pyarrow.int64(), str: pyarrow.string(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in {**RUN, **COLUMNS[table]}.items()])
    parquet.write_table(pyarrow.Table.from_pylist(list(found), schema), path)
