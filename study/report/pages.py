"""What all reports share: the order to make one, tables as rows of plain values, pictures, words on method.

A table is a list of rows, a row a mapping of column to value; `write_tables` puts it into ``tables/NAME.csv``, and
`markdown` shows it. Times are in s and end in ``_s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tabulate import tabulate

from model.scenario import Scenario
from model.trace import Trace
from study import folders, plots
from study.arms import Voice

Row = Mapping[str, Any]
Table = Sequence[Row]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a report.

    Attributes
    ----------
    name : str
    runs : int or None
        Simulated runs of each case; None = as many as the report finds right.
    real : int
        Real runs of each case.
    seed : int
        Of all chance.
    stored : bool
        Measure nothing, use the real runs that are there.
    server : str or None
        Which server measures.
    command : tuple of str
        The command that makes the report on a machine that has nothing yet.
    voice : Voice
    reports : Path
        Folder of all reports.
    """

    name: str
    runs: int | None = None
    real: int = 10
    seed: int = 1
    stored: bool = True
    server: str | None = None
    command: tuple[str, ...] = ()
    voice: Voice = Voice(quiet=True)
    reports: Path = Path("reports")

    @property
    def folder(self) -> Path:
        """Where the report is written."""
        return self.reports / self.name


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write each table as CSV."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        folders.write_csv(folder / "tables" / f"{name}.csv", rows)


def save(figure: Figure, path: Path) -> None:
    """Write a picture."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=plots.DPI)


def markdown(rows: Table, columns: Mapping[str, str] | None = None) -> str:
    """A table for people; `columns` chooses columns and gives them their heads."""
    if not rows:
        return "(none)"
    columns = columns or {name: name.replace("_", " ") for name in rows[0]}
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    return tabulate(cells, list(columns.values()), tablefmt="pipe", disable_numparse=True,
                    colalign=[_side([row[name] for row in rows]) for name in columns])  # fmt: skip


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _side(values: Iterable[Any]) -> str:
    """Numbers to the right."""
    return "right" if all(value is None or isinstance(value, (int, float)) for value in values) else "left"


def seconds(value_ms: float | None) -> float | None:
    """ms as s, rounded to what is told."""
    return None if value_ms is None else round(value_ms / 1000, 3)


def where(rows: Table, **wanted: Any) -> list[Row]:
    """Rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def the(rows: Table, **wanted: Any) -> Row:
    """The one row that has these values."""
    (row,) = where(rows, **wanted)
    return row


def finish(
    order: Order,
    title: str,
    blocks: Sequence[str],
    runs: int,
    scenarios: Sequence[Scenario],
    real: Mapping[str, Sequence[Trace]],
) -> None:
    """Write ``report.md`` and ``manifest.json``.

    Parameters
    ----------
    order : Order
    title : str
    blocks : sequence of str
        The text, block by block.
    runs : int
        Simulated runs of each case.
    scenarios : sequence of Scenario
        All that were simulated.
    real : mapping of digest to sequence of Trace
        Real runs of them.
    """
    manifests = [
        folders.manifest(each, order.seed, order.command, real.get(each.digest, ()))
        | {"real_runs": len(real.get(each.digest, ())), "stalled": sum(t.stalled for t in real.get(each.digest, ()))}
        for each in scenarios
    ]
    command = " ".join(order.command)
    folders.dump(order.folder / "manifest.json", {"command": command, "scenarios": manifests})
    is_measured = any(each["real_runs"] for each in manifests)
    text = "\n\n".join([f"# {title}", *blocks, _machine(order.seed, runs, manifests), _again(command, is_measured)])
    (order.folder / "report.md").write_text(text + "\n", encoding="utf-8")


def _machine(seed: int, simulated: int, manifests: Sequence[dict[str, Any]]) -> str:
    """On what, from which seed, how often."""
    measured = [each for each in manifests if each["real_runs"]]
    machine, versions = manifests[0]["machine"], manifests[0]["versions"]
    programs = sorted({f"{m['servers'].get('flavour', 'redis')} {m['servers'].get('redis', '')}" for m in measured})
    runs = sum(each["real_runs"] for each in measured)
    stalled = sum(each["stalled"] for each in measured)
    lines = [
        "## Made with\n",
        f"- **Simulated**: {simulated} runs of each case if no other number is told, seed {seed}, from steady state; "
        f"hastudy {versions.get('hastudy', '')}, Python {versions['python']}, llvmlite {versions.get('llvmlite', '')}.",
        f"- **Measured**: {runs} runs of {len(measured)} cases on {', '.join(programs) or 'no server'}, {stalled} of "
        "them stalled and left out; hosts are network namespaces of one machine. Each case's number of runs stands in "
        "its table.",
        f"- **Machine**: {machine['system']} {machine['kernel']}, {machine['processor']}, {machine['cores']} cores.",
        "- **Statistics**: fixed beforehand, see [docs/statistics.md](../../docs/statistics.md); where every default "
        "comes from is in [docs/assumptions.md](../../docs/assumptions.md).",
    ]  # fmt: skip
    return "\n".join(line for line in lines if measured or not line.startswith("- **Measured**"))


def _again(command: str, is_measured: bool) -> str:
    told = f"## Make it again\n\n```sh\n{command}\n```"
    stored = "\n\nThat measures what is missing; with `--stored`, the real runs that are there are used."
    return told + stored * is_measured
