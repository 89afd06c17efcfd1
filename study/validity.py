"""Makes ``reports/validity/`` from the stored real runs of the matrix: ``python -m study.validity``.

How far can the simulator be trusted? Every cell of ``scenarios/matrix.toml`` is simulated and held against its stored
real runs by the rules of `study.regression`; every stored run is predicted once more from its own phases
(`study.conditional`). No servers are needed; ``python -m study.collect`` makes the runs.

=====================  ==============================================================================
``report.md``          verdict, tables, pictures, method, limits
``tables/*.csv``       cells, rows, pooled, courses, scores, conditional: every number of the text
``ecdf_*.png``         measured, predicted and naive distribution functions, one picture a kind of fault
``pit.png``            where measured values lie among the simulated ones
``shifts.png``         shift of the first write in every cell, with its interval
``conditional.png``    spread of the measured values, and what is left of it when the phases are known
``regression.json``    all of it, as ``hastudy compare scenarios/ --stored --json`` prints it
``manifest.json``      command, seed, versions, machine
=====================  ==============================================================================
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats
from tabulate import tabulate

from model.bounds import ranges_of
from model.errors import HastudyError, UsageError
from model.measures import MILESTONES, Facts, measure
from study import catalog, folders, matrix, plots, regression, stored
from study.arms import Voice
from study.cli import MAX_RUNS, whole_number
from study.compare import Verdict
from study.matrix import Cell
from study.plots import BLUE, GREY, INK, PALE, RED
from study.regression import CellResult, Regression

SHOWN = {
    "process_killed": "the primary's process is killed",
    "host_vanishes": "the primary's host vanishes",
    "process_frozen": "the primary's process freezes",
}
"""Scenarios whose distribution functions are drawn, at the settings of their files."""

SPREAD_SHOWN_MS = 320
"""Top of the picture of spreads; what is higher says how high."""

SHIFTED = "first_write"
"""The milestone of the picture of shifts."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the report says."""

    cells: Sequence[Cell]
    result: Regression
    single: dict[str, Any]
    sim_runs: int
    seed: int


def main(argv: Sequence[str] | None = None) -> int:
    """Make the report; returns the exit code of the regression."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m study.validity", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=whole_number(1, MAX_RUNS), default=1000, help="simulated runs of each cell")
    parser.add_argument("--seed", type=whole_number(0, 2**63 - 1), default=1, help="of all chance")
    parser.add_argument("--out", type=Path, default=stored.FOLDER.parent, metavar="DIR")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(given)
    voice = Voice(args.quiet)
    try:
        found = find(matrix.load(catalog.folder()), args.runs, args.seed, voice)
        write(args.out, found, ["python", "-m", "study.validity", *given])
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(args.out / "report.md")
    return int(found.result.code)


def find(cells: Sequence[Cell], sim_runs: int, seed: int, voice: Voice) -> Findings:
    """Simulate and compare everything.

    Raises
    ------
    UsageError
        There are no stored runs at all.
    """
    if not any(stored.path_of(cell.scenario).exists() for cell in cells):
        raise UsageError(f"no stored real runs in {stored.FOLDER.name}\n\nhint: `python -m study.collect` makes them")
    with voice.progress("comparing cells") as progress:
        result = regression.run(cells, stored.runs, sim_runs, seed, progress=progress)
    with voice.progress("predicting single runs") as progress:
        single = regression.predict_each(cells, stored.runs, seed, progress=progress)
    return Findings(cells, result, single, sim_runs, seed)


def write(out: Path, found: Findings, command: Sequence[str]) -> None:
    """Write the folder of the report."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for name, rows in _tables(found).items():
        folders.write_csv(out / "tables" / f"{name}.csv", rows)
    by_name = {cell.name: cell for cell in found.cells}
    naive = naive_constants_s(found.result)
    for name in SHOWN:
        cell = by_name.get(f"{name}[{matrix.FAMILY}]")
        if cell:
            _save(ecdf_figure(cell, naive, found.sim_runs, found.seed), out / f"ecdf_{name}.png")
    _save(pit_figure(found.result), out / "pit.png")
    _save(shifts_figure(found.result), out / "shifts.png")
    _save(conditional_figure(found.single), out / "conditional.png")
    folders.dump(out / "regression.json", {"regression": found.result.to_json(), "conditional": found.single})
    real = stored.runs(found.cells[0].scenario)
    folders.dump(out / "manifest.json", folders.manifest(found.cells[0].scenario, found.seed, command, real))
    (out / "report.md").write_text(report_text(found), encoding="utf-8")


# --- numbers ---------------------------------------------------------------------------------------------------------


def _tables(found: Findings) -> dict[str, list[dict[str, Any]]]:
    """Every table of the report as rows of plain values."""
    result = found.result
    return {
        "cells": [_cell_line(cell) for cell in result.cells],
        "rows": [line for cell in result.cells for line in _row_lines(cell)],
        "pooled": [
            {"class": row.fault_class, "milestone": row.name, "cells": row.cells, "n": row.n, "bias_ms": row.bias_ms,
             "low_ms": row.low_ms, "high_ms": row.high_ms, "margin_ms": row.margin_ms,
             "p95_difference_ms": row.p95.get("difference_ms"), "p95_low_ms": row.p95.get("low_ms"),
             "p95_high_ms": row.p95.get("high_ms"), "p95_verdict": row.p95.get("verdict"), "verdict": row.verdict}
            for row in result.pooled
        ],
        "courses": [
            {"class": each.fault_class, "course": each.name, "real_k": each.real["k"], "real_n": each.real["n"],
             "sim_share": round(each.sim["k"] / each.sim["n"], 4) if each.sim["n"] else None, "p_holm": each.p_holm,
             "verdict": each.verdict}
            for each in result.courses
        ],
        "scores": [
            {"milestone": each.name, "n": each.n, "covered": each.coverage["k"],
             "covered_low": each.coverage["low"], "covered_high": each.coverage["high"], "crps_ms": each.crps_ms,
             "naive_ms": each.naive_ms, "naive_constant_ms": each.constant_ms, "skill": each.skill}
            for each in result.scores
        ],
        "conditional": [
            {"class": row["group"], "milestone": row["milestone"], "n": row["n"], "covered": row["coverage"]["k"],
             **{key: row[key] for key in ("mean_ms", "sd_ms", "robust_sd_ms", "measured_sd_ms")}}
            for row in found.single["rows"]
        ],
    }  # fmt: skip


def _cell_line(cell: CellResult) -> dict[str, Any]:
    return {
        "cell": cell.name, "main": int(cell.main), "real_runs": cell.real_runs, "stalled": cell.stalled,
        "margin_ms": cell.margin_ms, "covered": cell.coverage.get("k"), "covered_of": cell.coverage.get("n"),
        "worst": cell.worst, "verdict": cell.verdict, "cause": cell.cause,
    }  # fmt: skip


def _row_lines(cell: CellResult) -> Iterable[dict[str, Any]]:
    for each in cell.rows:
        row = each.row
        arms = {
            f"{arm}_{key}": told.get(key)
            for arm, told in (("real", row.real), ("sim", row.sim))
            for key in ("n", "p5_ms", "p50_ms", "p95_ms")
        }
        area = {"area_ms": row.area.get("area_ms"), "area_low_ms": row.area.get("low_ms"),
                "area_high_ms": row.area.get("high_ms")}  # fmt: skip
        shift = {"shift_ms": row.shift_ms, "shift_low_ms": row.shift_low_ms, "shift_high_ms": row.shift_high_ms}
        yield {"cell": cell.name, "quantity": row.name, **arms, **shift, **area, "verdict": each.verdict}


# --- pictures --------------------------------------------------------------------------------------------------------


def ecdf_figure(cell: Cell, naive_s: dict[str, float], sim_runs: int, seed: int) -> Figure:
    """Distribution functions of all milestones of a cell: measured, predicted, and "delay + constant"."""
    import sim

    facts = Facts.of(cell.scenario)
    real = [measure(trace, facts) for trace in stored.runs(cell.scenario)]
    predicted = [measure(trace, facts) for trace in sim.simulate(cell.scenario, sim_runs, seed)]
    shown = [name for name in MILESTONES if len(plots.values_s(real, name))]
    possible = ranges_of(cell.scenario)
    figure = Figure(figsize=(16, 4.1 * -(-len(shown) // 4) + 0.6), dpi=plots.DPI, layout="constrained")
    for name, ax in zip(shown, figure.subplots(-(-len(shown) // 4), 4, squeeze=False).flat, strict=False):
        plots.ecdf_panel(ax, name, plots.values_s(predicted, name), plots.values_s(real, name), possible)
        if name in naive_s:
            at_s = cell.scenario.sentinel.down_after_ms / 1000 + naive_s[name]
            ax.axvline(at_s, color=GREY, linewidth=1.4, linestyle="--")
            ax.text(0.03, 0.76, "delay + constant", transform=ax.transAxes, color=GREY, fontsize=9)
    for ax in figure.axes[len(shown) :]:
        ax.set_axis_off()
    figure.suptitle(f"{SHOWN[cell.fault_class].capitalize()}: {cell.name}. Red band: 95 % (Dvoretzky, Kiefer, "
                    "Wolfowitz); sand: possible when the first election is won", x=0.01, ha="left", fontsize=12,
                    color=INK)  # fmt: skip
    return figure


def pit_figure(result: Regression) -> Figure:
    """Where measured values lie among simulated ones: flat within the band when the law is right."""
    figure = Figure(figsize=(16, 6.4), dpi=plots.DPI, layout="constrained")
    for score, ax in zip(result.scores, figure.subplots(2, 5, sharex=True).flat, strict=False):
        pit_panel(ax, score)
    for ax in figure.axes[len(result.scores) :]:
        ax.set_axis_off()
    figure.suptitle("Rank of each measured value among simulated ones of its cell. Grey: what 90 % of flat histograms "
                    "show in one bar", x=0.01, ha="left", fontsize=12, color=INK)  # fmt: skip
    return figure


def pit_panel(ax: Axes, score: regression.Score) -> Axes:
    """Histogram of one milestone's probability integral transform."""
    bins = len(score.pit_counts)
    low, high = stats.binom.interval(0.90, score.n, 1 / bins)
    ax.axhspan(low, high, color=PALE, zorder=0)
    ax.bar((np.arange(bins) + 0.5) / bins, score.pit_counts, width=0.92 / bins, color=BLUE, zorder=2)
    ax.set(title=f"{score.name} ({score.n})", xlim=(0, 1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def shifts_figure(result: Regression) -> Figure:
    """Shift of one milestone in every cell that has it, with its interval and the cell's margin."""
    found = [(cell, row.row) for cell in result.cells for row in cell.rows
             if row.row.name == SHIFTED and row.row.shift_low_ms is not None]  # fmt: skip
    figure = Figure(figsize=(12, 0.24 * len(found) + 1.2), dpi=plots.DPI, layout="constrained")
    ax = figure.subplots()
    for number, (cell, row) in enumerate(found):
        ax.plot([-cell.margin_ms, cell.margin_ms], [-number, -number], color=PALE, linewidth=7, solid_capstyle="butt")
        ax.plot([row.shift_low_ms, row.shift_high_ms], [-number, -number], color=RED, linewidth=1.6)
        ax.plot(row.shift_ms, -number, "o", color=RED, markersize=4)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.set(yticks=[-number for number in range(len(found))], ylim=(-len(found) + 0.4, 0.6), xlim=(-560, 560),
           xlabel=f"measured - predicted {SHIFTED}, ms (90 % interval; grey: margin of the cell)")  # fmt: skip
    ax.set_yticklabels([cell.name for cell, _ in found], fontsize=8)
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure


def conditional_figure(single: dict[str, Any]) -> Figure:
    """Spread of measured values beside that of their misses by predictions from the phases."""
    groups = [group for group in SHOWN if any(row["group"] == group for row in single["rows"])]
    figure = Figure(figsize=(16, 4.6), dpi=plots.DPI, layout="constrained")
    axes = figure.subplots(1, max(1, len(groups)), sharey=True, squeeze=False)[0]
    for group, ax in zip(groups, axes, strict=False):
        rows = [row for row in single["rows"] if row["group"] == group and row["sd_ms"] is not None]
        places = np.arange(len(rows))
        for shift, key, colour in (
            (-0.27, "measured_sd_ms", GREY),
            (0, "sd_ms", plots.SKY),
            (0.27, "robust_sd_ms", BLUE),
        ):
            heights = [row[key] or 0 for row in rows]
            ax.bar(places + shift, heights, 0.25, color=colour)
            for place, height in zip(places + shift, heights, strict=True):
                if height > SPREAD_SHOWN_MS:  # a lost election: seconds
                    ax.text(
                        place, 0.97 * SPREAD_SHOWN_MS, f"{height:.0f}", ha="center", va="top", fontsize=7, rotation=90
                    )
        ax.set_ylim(0, SPREAD_SHOWN_MS)
        ax.set_xticks(places, [row["milestone"] for row in rows], rotation=35, ha="right", fontsize=8)
        ax.set_title(f"{SHOWN[group]} ({max((row['n'] for row in rows), default=0)} runs)", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("standard deviation, ms")
    figure.suptitle("Grey: measured values within their cells. Light blue: measured - predicted from the phases just "
                    "before the fault. Blue: the same, robust", x=0.01, ha="left", fontsize=12, color=INK)  # fmt: skip
    return figure


def naive_constants_s(result: Regression) -> dict[str, float]:
    """What "delay + constant" adds for each milestone that counts from the fault, in s."""
    return {each.name: each.constant_ms / 1000 for each in result.scores if each.name not in regression.FROM_RETURN}


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path)


# --- words -----------------------------------------------------------------------------------------------------------


def report_text(found: Findings) -> str:
    """The report in Markdown."""
    result = found.result
    measured = [cell for cell in result.cells if cell.real_runs]
    covered = [(score.coverage["k"], score.coverage["n"]) for score in result.scores]
    k, n = sum(pair[0] for pair in covered), sum(pair[1] for pair in covered)
    return "\n\n".join([
        "# Do real servers give the numbers that the simulator gives?",
        f"The regression run says *{result.verdict}*: **{result.reason}.** "
        f"{sum(cell.real_runs for cell in measured)} usable real runs, "
        f"{sum(cell.stalled for cell in measured)} stalled ones left out; {found.sim_runs} simulated runs a cell. "
        f"The simulated 5 to 95 % intervals hold {k} of {n} measured milestones ({k / max(n, 1):.0%}).",
        "Made by `python -m study.validity` from the stored runs in [runs/](runs/manifest.json); checked without "
        "servers by `hastudy compare scenarios/ --stored`. The rules were fixed beforehand: "
        "[decision 0005](../../docs/decisions/0005-regression.md), [statistics](../../docs/statistics.md).",
        "## Cells", _markdown(_tables(found)["cells"]),
        *_disagreements(measured),
        f"![shift of {SHIFTED} in every cell](shifts.png)",
        "## Classes of faults: bias and 95 % quantile", _markdown(_tables(found)["pooled"]),
        "## Courses that runs take", _markdown(_tables(found)["courses"]),
        "## Single predictions", _SCORES, _markdown(_tables(found)["scores"]),
        "![ranks of measured values](pit.png)",
        *[f"![distribution functions, {words}](ecdf_{name}.png)" for name, words in SHOWN.items()],
        "## When the phases are known", _CONDITIONAL, _markdown(_tables(found)["conditional"]),
        "![spread with and without phases](conditional.png)",
        _LIMITS,
    ]) + "\n"  # fmt: skip


def _disagreements(cells: Sequence[CellResult]) -> list[str]:
    """What speaks against agreement, cell by cell."""
    open_ = [cell for cell in cells if cell.verdict != Verdict.AGREES]
    if not open_:
        return []
    lines = ["### Cells that do not agree"]
    for cell in open_:
        cause = f" Cause: {cell.cause}" if cell.cause else " No cause is known."
        lines.append(f"- **{cell.name}** ({cell.verdict}): {cell.reason}.{cause}")
        lines += [f"  - {told}" for told in cell.told()[:3]]
    return ["\n".join(lines)]


def _markdown(rows: Sequence[dict[str, Any]]) -> str:
    return tabulate(rows, headers="keys", tablefmt="pipe", missingval="", floatfmt=".4g") if rows else "(none)"


_SCORES = """CRPS: mean continuous ranked probability score of the simulated runs, in ms; it counts distance and spread.
The naive prediction is the delay plus the one constant that fits these very measurements best. Skill 0 would be no
better than that, 1 perfect."""

_CONDITIONAL = """Just before each fault the lab asked every sentinel for the ages of its last PING, PONG and INFO of
every instance. Each real run is predicted by 200 simulated runs that start from exactly these phases; the table shows
what is left, mean and standard deviation of measured minus predicted, beside the spread of the measured values. In a
few runs a PING left between the question and the fault (some tens of ms), and that sentinel's clock starts up to a
second later: the robust deviation (from the median absolute one) leaves them out, and is that of the ticks."""

_LIMITS = """## Limits

One machine with two cores, namespaces for hosts, datasets of a few keys. Up to twelve clusters ran at once beside other
work, so measured times are some 10 to 30 ms late (the right end of the rank histograms; most of all what follows a
burst of commands, such as the demotion of a server that was frozen). Sentinels and servers are real and uninstrumented;
delay and loss on the wires come from a switch in user space, wrong clocks and slow disks from a preloaded library.
Registrar nodes play no part in the matrix. Cells with a dozen runs say little about tails: tails are judged for whole
classes of faults."""

if __name__ == "__main__":
    sys.exit(main())
