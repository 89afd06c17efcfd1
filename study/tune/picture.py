"""The picture of `tune`: what each delay costs, what stands against what, and what the other knobs buy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from study import plots
from study.plots import BLUE, GREEN, GREY, INK, PALE, RED, SKY, WIDTH_IN
from study.tune.curve import OUTAGES, UNIT, Curve
from study.tune.text import WORDS

KNOBS_SHOWN = 12
"""Changes with the greatest effect. Kind: assumed."""


def save(folder: Path, data: dict[str, Any], curve: Curve) -> None:
    """Write ``tune.png`` and ``tune.svg``."""
    plots.save(folder, "tune", draw(data, curve))


def draw(data: dict[str, Any], curve: Curve) -> Figure:
    """The whole picture."""
    rows = 2 if data["knobs"] else 1
    figure = Figure(figsize=(WIDTH_IN, 5.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    best = data["best"]
    answer = f"best: {best['down_after_ms']} ms" if best else "no delay is admissible"
    figure.suptitle(f"{data['scenario']}: which down-after-milliseconds? {answer}", x=0.01, ha="left", fontsize=14,
                    weight="bold")  # fmt: skip
    halves = figure.subfigures(rows, 1, squeeze=False)[:, 0]
    axes = halves[0].subplots(1, 3)
    outage = next(name for name in OUTAGES if name in data["front"][0])
    curve_panel(axes[0], data, curve, outage)
    objective = data["goal"]["objective"]
    curve_panel(axes[1], data, curve, "cost" if objective in OUTAGES else objective)
    front_panel(axes[2], data, outage)
    if data["knobs"]:
        knobs_panel(halves[1].subplots(), data, outage)
    return figure


def curve_panel(ax: Axes, data: dict[str, Any], curve: Curve, name: str) -> Axes:
    """A quantity by delay with its interval; what is admissible, what is best, what is set now."""
    delays = curve.delays_ms / 1000
    if data["admissible"]:
        span = data["admissible"]
        ax.axvspan(span["low_ms"] / 1000, span["high_ms"] / 1000, color=GREEN, alpha=0.1, linewidth=0)
        ax.text(0.98, 0.02, "green: admissible", transform=ax.transAxes, color=GREEN, fontsize=9, ha="right")
    ax.fill_between(delays, curve.low[name], curve.high[name], color=SKY, alpha=0.5, linewidth=0)
    ax.plot(delays, curve.value[name], color=BLUE, linewidth=1.8)
    longest = max(data[key]["down_after_ms"] for key in ("at_best", "present") if data[key])
    for key, colour, words, rise in (("at_best", GREEN, "best", -14), ("present", RED, "now", 8)):
        if data[key]:
            at_s, value = data[key]["down_after_ms"] / 1000, data[key][name]["value"]
            is_right = data[key]["down_after_ms"] == longest
            ax.plot([at_s], [value], "o", color=colour, markersize=8, markeredgecolor="white", zorder=5)
            ax.annotate(words, (at_s, value), xytext=(6 if is_right else -6, rise), textcoords="offset points",
                        ha="left" if is_right else "right", color=colour, fontsize=10)  # fmt: skip
    ax.set(xscale="log", xlabel="down-after-milliseconds, s", title=f"{WORDS[name]}, {UNIT[name]}")
    if curve.value[name].min() > 0:
        ax.set_yscale("log")
    return _tidy(ax)


def front_panel(ax: Axes, data: dict[str, Any], outage: str) -> Axes:
    """Outage against needless failovers, a dot for each simulated delay."""
    points = [point for point in data["front"] if point["needless"] > 0]
    for is_on, colour in ((True, BLUE), (False, GREY)):
        some = [point for point in points if point["on_front"] == is_on]
        ax.plot([point["needless"] for point in some], [point[outage] for point in some],
                "o-" if is_on else "o", color=colour, markersize=5, linewidth=1)  # fmt: skip
    for point in points:
        is_present = point["is_present"]
        if is_present:
            ax.plot([point["needless"]], [point[outage]], "o", color=RED, markersize=9, markeredgecolor="white")
        ax.annotate(f"{point['down_after_ms'] / 1000:g} s{' (now)' if is_present else ''}",
                    (point["needless"], point[outage]), xytext=(6, 2), textcoords="offset points", fontsize=8,
                    color=RED if is_present else INK)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="needless failovers a year", ylabel=f"{WORDS[outage]}, s",
           title="What stands against what (Pareto front)")  # fmt: skip
    return _tidy(ax)


def knobs_panel(ax: Axes, data: dict[str, Any], outage: str) -> Axes:
    """Tornado: seconds that each change gains (right) or costs (left)."""
    rows = data["knobs"][:KNOBS_SHOWN]
    reach = max(abs(row["gain_s"]) for row in rows) or 1.0
    for number, row in enumerate(rows):
        gain = row["gain_s"]
        ax.barh(-number, gain, height=0.6, color=GREEN if gain > 0 else RED, alpha=0.7)
        ax.plot([row["low_s"], row["high_s"]], [-number, -number], color=INK, linewidth=1.4)
        beyond = " or worse" if gain < 0 and row["censored"] > data["censored"] else ""
        ax.annotate(f"{gain:+.2f} s{beyond}", (max(gain, row["high_s"], 0), -number), xytext=(6, 0),
                    textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    ax.set(yticks=[-number for number in range(len(rows))], xlim=(-1.05 * reach, 1.05 * reach),
           title=f"What other knobs buy at {data['present']['down_after_ms']} ms: {WORDS[outage]}, s less")  # fmt: skip
    ax.set_xscale("symlog", linthresh=1.0)
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_yticklabels([f"{row['knob']}: {row['present']} to {row['other']}" for row in rows], fontsize=9)
    ax.axvline(0, color=GREY, linewidth=1)
    return _tidy(ax)


def _tidy(ax: Axes) -> Axes:
    ax.title.set_fontsize(10.5)
    ax.grid(color=PALE)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    for axis, scale in ((ax.xaxis, ax.get_xscale()), (ax.yaxis, ax.get_yscale())):
        if scale == "log":
            axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(ticker.LogFormatter(minor_thresholds=(1.5, 0.5)))
    return ax
