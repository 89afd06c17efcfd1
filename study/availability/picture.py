"""The picture of `availability`: who eats how much of the error budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from study import plots
from study.plots import BLUE, GREY, INK, ORANGE, PALE, RED, WIDTH_IN


def save(folder: Path, data: dict[str, Any]) -> None:
    """Write ``availability.png`` and ``availability.svg``."""
    plots.save(folder, "availability", draw(data))


def draw(data: dict[str, Any]) -> Figure:
    """The whole picture."""
    rows = len(data["budget"])
    figure = Figure(figsize=(WIDTH_IN, 2.4 + 0.55 * (rows + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    percent = data["availability_percent"]
    figure.suptitle(
        f"{data['scenario']}, {data['service']}: {percent['value']} % ({percent['low']}..{percent['high']})",
        x=0.01, ha="left", fontsize=14, weight="bold",
    )  # fmt: skip
    budget_panel(figure.subplots(), data)
    return figure


def budget_panel(ax: Axes, data: dict[str, Any]) -> Axes:
    """Minutes a year: one bar stacked by cause, then a bar for each cause; detection orange, the rest blue."""
    rows = data["budget"]
    start = 0.0
    for row in rows:
        start = _bar(ax, 0, start, row)
    total = data["minutes_a_year"]
    _whisker(ax, 0, total)
    start = 0.0
    for place, row in enumerate(rows, 1):
        _whisker(ax, -place, row["minutes"], start)
        start = _bar(ax, -place, start, row)
    ax.set(yticks=[-place for place in range(len(rows) + 1)], xlabel="minutes of outage a year",
           ylim=(-len(rows) - 0.6, 0.6), xlim=(0, 1.25 * max(total["high"], 1e-9)))  # fmt: skip
    ax.set_yticklabels(["all", *(row["meaning"] for row in rows)], fontsize=9)
    _objective(ax, data)
    ax.set_title("orange: until a quorum suspects the primary (the delay); blue: the rest; line: 90 % interval",
                 loc="left", fontsize=10)  # fmt: skip
    ax.grid(axis="x", color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _bar(ax: Axes, place: int, start: float, row: dict[str, Any]) -> float:
    """One cause from `start` on; returns its end."""
    detect, whole = row["detection_minutes"], row["minutes"]["value"]
    ax.barh(place, detect, left=start, height=0.55, color=ORANGE, edgecolor="white", linewidth=0.5)
    ax.barh(place, whole - detect, left=start + detect, height=0.55, color=BLUE, edgecolor="white", linewidth=0.5)
    return start + whole


def _whisker(ax: Axes, place: int, found: dict[str, float], start: float = 0.0) -> None:
    ax.plot([start + found["low"], start + found["high"]], [place, place], color=INK, linewidth=1.6, zorder=3)
    ax.annotate(f"{found['value']:.3g}", (start + found["high"], place), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=9)  # fmt: skip


def _objective(ax: Axes, data: dict[str, Any]) -> None:
    objective = data["objective"]
    if not objective:
        return
    allowed = objective["allowed_minutes"]
    if allowed <= ax.get_xlim()[1]:
        ax.axvline(allowed, color=RED, linewidth=1.4)
    where = f"{objective['percent']:g} % allow {allowed:.3g} minutes"
    ax.text(0.99, 0.03, where, transform=ax.transAxes, ha="right", fontsize=9,
            color=RED if allowed <= ax.get_xlim()[1] else GREY)  # fmt: skip
