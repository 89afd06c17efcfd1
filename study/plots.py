"""Pictures: the time line of a run with predicted and measured milestones, and distribution functions of both arms.

The time line has two halves. Above, one run as it went, a lane for each actor, grouped by host; the time axis is cut
where nothing happens. Below, for all runs, predicted ranges as bars and measured runs as dots, first the milestones,
then the outages. Everything is labelled where it is; colours (Okabe and Ito's, safe for the colour-blind) only help.

Functions named ``*_panel`` draw on axes that they are given and return them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from model.bounds import Range, ranges_of
from model.measures import MILESTONES, Facts, RunMeasures
from model.scenario import PROCESSES, STRIKES_PROCESS, Scenario
from model.trace import Event, Trace
from study.tables import MEANING

if TYPE_CHECKING:
    from study.outcome import Arm

BLUE, SKY, GREEN, ORANGE, RED = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"
GREY, PALE, INK = "#8A8A8A", "#E6E6E6", "#222222"
SAND = "#F9F2DC"
"""Of the band between the least and the greatest possible value."""

WIDTH_IN, DPI = 16.0, 100
"""1600 pixels wide."""

LEFT, RIGHT, EDGE = 0.215, 0.985, 0.01
"""Where axes begin and end, and where words at the left edge begin, as shares of the width."""

TITLE_X = (EDGE - LEFT) / (RIGHT - LEFT)

ROOM = 0.6
"""By how much an axis grows at each side to show where bounds end, as share of its length. Kind: assumed."""

BAND: dict[str, Any] = {"facecolor": SAND, "edgecolor": "none", "zorder": 0}

GAP_S = 2.0
"""The time axis is cut where nothing happens for longer than this. Kind: assumed."""

MARGIN_S = 0.35
"""Time shown before the first and after the last mark between two cuts. Kind: assumed."""

LABELLED = {
    "+sdown": "+sdown",
    "+odown": "+odown",
    "+elected-leader": "+elected-leader",
    "-failover-abort-not-elected": "not elected",
    "+promoted-slave": "+promoted-slave",
    "+switch-master": "+switch-master",
    "+convert-to-slave": "+convert-to-slave",
}
"""Sentinel's lines that are shown; the others are steps between them."""

FAULT_WORDS = {
    "crash": "killed", "restart": "started again", "pause": "frozen", "resume": "runs on", "vanish": "host vanishes",
    "return": "host is back", "partition": "cut off", "heal": "split healed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time in a lane."""

    start_s: float
    end_s: float
    colour: str
    text: str
    is_dark: bool = False
    hatch: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant in a lane."""

    t_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One actor of one host."""

    host: str
    actor: str
    bands: Sequence[Band] = ()
    marks: Sequence[Mark] = ()


def save_timeline(folder: Path, scenario: Scenario, sim: Arm | None, real: Arm | None) -> None:
    """Write ``timeline.png`` and ``timeline.svg``."""
    save(folder, "timeline", timeline(scenario, sim, real))


def save(folder: Path, name: str, figure: Figure) -> None:
    """Write a picture as PNG and as SVG."""
    # Without these the SVG would differ from run to run.
    with matplotlib.rc_context({"svg.hashsalt": "hastudy", "svg.fonttype": "none"}):
        figure.savefig(folder / f"{name}.png", dpi=DPI)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def timeline(scenario: Scenario, sim: Arm | None, real: Arm | None) -> Figure:
    """The whole picture; one of the arms may be missing."""
    shown = real or sim
    assert shown is not None, "there is a run to show"
    trace, measured = typical_run(shown)
    facts = Facts.of(scenario)
    lanes = lanes_of(trace, measured, facts)
    names = [
        name for name in MILESTONES if any(name in run.milestones for arm in (sim, real) if arm for run in arm.runs)
    ]
    outages = sorted({name for arm in (sim, real) if arm for run in arm.runs for name in run.windows})
    heights = [0.42 * len(lanes) + 0.7, 0.42 * len(names) + 0.5, 0.42 * len(outages) + 0.5]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 2.6), layout="none")
    FigureCanvasAgg(figure)
    rows = figure.add_gridspec(
        3,
        1,
        height_ratios=heights,
        left=LEFT,
        right=RIGHT,
        top=1 - 0.85 / figure.get_figheight(),
        bottom=0.55 / figure.get_figheight(),
        hspace=0.85 * 3 / sum(heights),
    )
    spans = spans_of(trace, lanes)
    columns = rows[0].subgridspec(1, len(spans), width_ratios=[weight(span, lanes) for span in spans], wspace=0.025)
    axes = [figure.add_subplot(columns[0, number]) for number in range(len(spans))]
    lanes_panel(axes, spans, lanes, faults_of(trace))
    arm = "One real run" if real else "One simulated run"
    figure.text(EDGE, 1 - 0.3 / figure.get_figheight(), scenario.question, fontsize=14, weight="bold", va="center")
    figure.text(
        EDGE,
        1 - 0.62 / figure.get_figheight(),
        f"{arm}, actor by actor (run {trace.run}, seed {trace.seed}; "
        "seconds after the fault; the axis is cut where nothing happens)",
        fontsize=10.5,
        va="center",
    )
    possible = ranges_of(scenario)
    ranges_panel(figure.add_subplot(rows[1]), [(name, MEANING[name]) for name in names], _milestones_s(sim),
                 _milestones_s(real), possible
                 ).set_title(_title("When it happened, seconds after the fault", sim, real, possible.keys() & names),
                             loc="left", x=TITLE_X, fontsize=10.5)  # fmt: skip
    ranges_panel(figure.add_subplot(rows[2]), [(name, _outage_words(name)) for name in outages], _outages_s(sim),
                 _outages_s(real), possible
                 ).set_title(_title("How long it was out, seconds in a run", sim, real, possible.keys() & outages),
                             loc="left", x=TITLE_X, fontsize=10.5)  # fmt: skip
    return figure


def typical_run(arm: Arm) -> tuple[Trace, RunMeasures]:
    """The middle run, by the outage of the node that recovered last; a stalled one only if there are no others."""
    pairs = list(zip(arm.traces, arm.runs, strict=True))
    usable = [pair for pair in pairs if not pair[1].stalled] or pairs

    def length(pair: tuple[Trace, RunMeasures]) -> int:
        return sum(pair[1].parts[pair[1].last_node].values()) if pair[1].last_node else 0

    return sorted(usable, key=length)[len(usable) // 2]


def lanes_of(trace: Trace, measured: RunMeasures, facts: Facts) -> list[Lane]:
    """The lanes of a run, from top to bottom."""
    end_s = trace.horizon_us / 1e6
    lanes = []
    for host in facts.hosts:
        lanes.append(Lane(host, "redis", _redis_bands(trace.events, host, facts, end_s)))
        if host in facts.sentinels:
            lanes.append(Lane(host, "sentinel", marks=_sentinel_marks(trace.events, host)))
        if host in facts.registrars:
            lanes.append(Lane(host, "registrar", _registrar_bands(trace.events, host, facts, end_s)))
            lanes.append(Lane(host, "client", _client_bands(measured, host, end_s)))
    return lanes


def _redis_bands(events: Iterable[Event], host: str, facts: Facts, end_s: float) -> list[Band]:
    looks = {
        "write-accepted": (BLUE, "takes writes", True, ""),
        "write-refused": (PALE, "refuses writes", False, ""),
        "write-silent": ("white", "no answer", False, "///"),
    }
    changes = [(e.t_us / 1e6, looks[e.event]) for e in events if e.event in looks and e.about == host]
    first = looks["write-accepted" if host == facts.primary else "write-refused"]
    return _bands(changes, first, end_s)


def _registrar_bands(events: Iterable[Event], host: str, facts: Facts, end_s: float) -> list[Band]:
    def look(event: Event) -> tuple[str, str, bool, str]:
        if event.event == "writable":
            return (GREEN, f"on {event.about}", True, "")
        if event.event == "waiting":
            return (SKY, f"waits on {event.about}", False, "")
        return (PALE, "seeks", False, "")

    kinds = ("writable", "waiting", "redis-lost")
    changes = [
        (e.t_us / 1e6, look(e)) for e in events if e.actor == "registrar" and e.host == host and e.event in kinds
    ]
    return _bands(changes, (GREEN, f"on {facts.primary}", True, ""), end_s)


def _bands(changes: list[tuple[float, tuple[str, str, bool, str]]], first: tuple, end_s: float) -> list[Band]:
    """Bands between changes, from well before the fault on."""
    changes = [(-1e3, first), *changes]
    ends = [t_s for t_s, _ in changes[1:]] + [end_s]
    bands: list[Band] = []
    for (start_s, (colour, text, is_dark, hatch)), until_s in zip(changes, ends, strict=True):
        if bands and bands[-1].text == text:
            start_s = bands.pop().start_s
        bands.append(Band(start_s, until_s, colour, text, is_dark, hatch))
    return bands


def _client_bands(measured: RunMeasures, host: str, end_s: float) -> list[Band]:
    """Outage windows; between them registrations are confirmed."""
    bands, at_s = [], -1e3
    for window in measured.windows.get(f"register@{host}", ()):
        words = "cannot register, " + " then ".join(_outcome_words(outcome) for outcome, _ in window.outcomes)
        start_s, stop_s = window.start_us / 1e6, window.end_us / 1e6
        bands.append(Band(at_s, start_s, "white", "registers"))
        bands.append(Band(start_s, stop_s, ORANGE, f"{words}: {window.length_us / 1e6:.1f} s"))
        at_s = stop_s
    return [*bands, Band(at_s, end_s, "white", "registers")]


def _outcome_words(outcome: str) -> str:
    return {"refused": "refused", "unknown": "no answer"}[outcome]


def _sentinel_marks(events: Iterable[Event], host: str) -> list[Mark]:
    """Labelled marks; what one sentinel says several times of the same is shown once."""
    marks, said = [], set()
    for event in events:
        said_here = event.actor == "sentinel" and event.host == host and event.t_us >= 0
        of_sentinel = event.event == "+sdown" and event.code == 1
        if said_here and event.event in LABELLED and not of_sentinel and (event.event, event.about) not in said:
            said.add((event.event, event.about))
            about = f" {event.about}" if event.event in ("+sdown", "+switch-master") else ""
            marks.append(Mark(event.t_us / 1e6, LABELLED[event.event] + about))
    return marks


def faults_of(trace: Trace) -> list[tuple[float, str, str, str]]:
    """(time in s, host, program or ``all``, words) of each fault event."""
    found = []
    for event in trace.events:
        if event.actor == "fault":
            process = PROCESSES[event.code] if event.event in STRIKES_PROCESS else "all"
            words = FAULT_WORDS.get(event.event, event.event)
            words = words if process == "all" else f"{process} {words}"
            found.append((event.t_us / 1e6, event.host, process, words))
    return found


def spans_of(trace: Trace, lanes: Sequence[Lane]) -> list[tuple[float, float]]:
    """Stretches of time in which something happens, in s."""
    times = [event.t_us / 1e6 for event in trace.events if event.actor == "fault"]
    times += [mark.t_s for lane in lanes for mark in lane.marks]
    times += [band.start_s for lane in lanes for band in lane.bands]
    times = sorted(t_s for t_s in times if -0.1 <= t_s < trace.horizon_us / 1e6) or [0.0]
    spans = [[times[0], times[0]]]
    for t_s in times[1:]:
        if t_s - spans[-1][1] > GAP_S:
            spans.append([t_s, t_s])
        spans[-1][1] = t_s
    return [(start_s - MARGIN_S, end_s + 3 * MARGIN_S) for start_s, end_s in spans]


def weight(span: tuple[float, float], lanes: Sequence[Lane]) -> float:
    """Relative width of a stretch: what is crowded gets room."""
    inside = sum(span[0] <= mark.t_s <= span[1] for lane in lanes for mark in lane.marks)
    return 2.8 + 1.2 * inside


def lanes_panel(
    axes: Sequence[Axes],
    spans: Sequence[tuple[float, float]],
    lanes: Sequence[Lane],
    faults: Sequence[tuple[float, str, str, str]],
) -> Sequence[Axes]:
    """Draw the lanes, one axes for each stretch of time."""
    hosts = list(dict.fromkeys(lane.host for lane in lanes))
    gap = 0.6
    places = [(lane, -(number + gap * hosts.index(lane.host))) for number, lane in enumerate(lanes)]
    bottom = min(y for _, y in places) - 0.6
    for number, (ax, span) in enumerate(zip(axes, spans, strict=True)):
        ax.set(xlim=span, ylim=(bottom, 1.15), yticks=[], facecolor="none")
        for lane, y in places:
            _draw_lane(ax, lane, y, span)
        for fault in faults:
            _draw_fault(ax, fault, places, span)
        ax.tick_params(labelsize=9)
        ax.spines[["top", "left", "right"]].set_visible(False)
        if number:
            ax.text(0, 0, "//", transform=ax.transAxes, ha="center", va="center", fontsize=11, color=GREY)
    for lane, y in places:
        axes[0].text(
            -0.012, y, lane.actor, transform=axes[0].get_yaxis_transform(), ha="right", va="center", fontsize=9.5
        )
    for host in hosts:
        middle = np.mean([y for lane, y in places if lane.host == host])
        axes[0].annotate(host, (EDGE, middle), xycoords=("figure fraction", "data"), ha="left", va="center",
                         fontsize=12, weight="bold", annotation_clip=False)  # fmt: skip
    return axes


def _draw_lane(ax: Axes, lane: Lane, y: float, span: tuple[float, float]) -> None:
    ax.axhline(y, color=PALE, linewidth=1, zorder=0)
    for band in lane.bands:
        start_s, end_s = max(band.start_s, span[0]), min(band.end_s, span[1])
        if start_s >= end_s:
            continue
        ax.barh(y, end_s - start_s, left=start_s, height=0.62, color=band.colour, edgecolor=GREY, linewidth=0.5,
                hatch=band.hatch, zorder=2)  # fmt: skip
        _fit_text(ax, band, start_s, end_s, y, span)
    _draw_marks(ax, [mark for mark in lane.marks if span[0] <= mark.t_s <= span[1]], y)


def _fit_text(ax: Axes, band: Band, start_s: float, end_s: float, y: float, span: tuple[float, float]) -> None:
    """The band's text where there is room for it: whole, its first words, or not at all."""
    width_in = ax.get_position().width * WIDTH_IN * (end_s - start_s) / (span[1] - span[0])
    for text in (band.text, band.text.split(",")[0], band.text.split(":")[-1].strip()):
        if len(text) * 0.078 + 0.1 <= width_in:
            ax.text((start_s + end_s) / 2, y, text, ha="center", va="center", fontsize=8.5, zorder=4,
                    color="white" if band.is_dark else INK,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if band.hatch else None)  # fmt: skip
            return


def _draw_marks(ax: Axes, marks: Sequence[Mark], y: float) -> None:
    """Marks, each with its words where there is room: right or left of it, above or below the lane's line.

    From right to left: the last of a crowd gets the free space on its right, the first one that on its left.
    """
    taken: list[tuple[bool, float, float]] = []
    room = ax.get_position().width * WIDTH_IN
    for mark in reversed(marks):
        at = _inches(ax, mark.t_s - ax.get_xlim()[0])
        width = 0.07 * len(mark.text) + 0.15
        places = [(above, at + side * width) for side in (1, -1) for above in (True, False)]
        free = [p for p in places if 0 <= p[1] <= room and not _meets(taken, p[0], at, p[1])]
        above, end = (free or places)[0]
        taken.append((above, min(at, end), max(at, end)))
        ax.plot([mark.t_s], [y], marker="o", markersize=5, color=RED, zorder=5)
        ax.annotate(
            mark.text,
            (mark.t_s, y),
            xytext=(6 if end > at else -6, 2.5 if above else -2.5),
            textcoords="offset points",
            fontsize=8.2,
            zorder=6,
            color=INK,
            ha="left" if end > at else "right",
            va="bottom" if above else "top",
        )


def _meets(taken: Sequence[tuple[bool, float, float]], above: bool, start: float, end: float) -> bool:
    """True when words from `start` to `end` would meet others."""
    low, high = min(start, end), max(start, end)
    return any(above == level and low < right and left < high for level, left, right in taken)


def _inches(ax: Axes, seconds: float) -> float:
    low, high = ax.get_xlim()
    return ax.get_position().width * WIDTH_IN * seconds / (high - low)


def _draw_fault(
    ax: Axes, fault: tuple[float, str, str, str], places: Sequence[tuple[Lane, float]], span: tuple[float, float]
) -> None:
    """A line through the lanes that the fault strikes, with its words above them."""
    t_s, host, process, words = fault
    struck = [y for lane, y in places if lane.host == host and process in ("all", lane.actor)]
    if span[0] <= t_s <= span[1] and struck:
        ax.plot([t_s, t_s], [min(struck) - 0.42, max(struck) + 0.5], color=RED, linewidth=2.4, zorder=7)
        ax.text(t_s, max(struck) + 0.52, words, color=RED, fontsize=10, weight="bold", va="bottom", zorder=7,
                ha="left", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip


def ranges_panel(
    ax: Axes,
    rows: Sequence[tuple[str, str]],
    sim: dict[str, np.ndarray],
    real: dict[str, np.ndarray],
    possible: Mapping[str, Range] | None = None,
) -> Axes:
    """Predicted ranges (bar from p5 to p95, line at the median) under measured runs (dots), a row for each quantity.

    Behind them, as far as values go, what is possible at all when the first election is won.

    Parameters
    ----------
    ax : Axes
    rows : sequence of (name, meaning)
    sim, real : dict of str to array
        Values in s; a name may be missing.
    possible : mapping of str to Range, optional
        Bounds; a name may be missing.
    """
    for number, (name, _) in enumerate(rows):
        predicted, measured = sim.get(name, ()), real.get(name, ())
        if len(predicted):
            low, middle, high = np.percentile(predicted, [5, 50, 95])
            ax.barh(-number, high - low, left=low, height=0.6, color=SKY, alpha=0.6, zorder=1)
            ax.plot([middle, middle], [-number - 0.36, -number + 0.36], color=BLUE, linewidth=2.2, zorder=2)
        if len(measured):
            ax.plot(measured, np.full(len(measured), -number), "o", markersize=6, color=RED, alpha=0.75,
                    markeredgecolor="white", markeredgewidth=0.6, zorder=3)  # fmt: skip
        _write_medians(ax, -number, predicted, measured)
    ax.set(ylim=(-len(rows) + 0.4, 0.6), yticks=[-number for number in range(len(rows))])
    ax.set_yticklabels([f"{meaning} ({name})" if meaning else name for name, meaning in rows], fontsize=9)
    ax.use_sticky_edges = False
    ax.margins(x=0.09)
    ax.autoscale_view()
    for number, (name, _) in enumerate(rows):
        if possible and name in possible:
            _shade(ax, possible[name], lambda *x, y=-number: ax.fill_betweenx([y - 0.42, y + 0.42], *x, **BAND))
    ax.grid(axis="x", color=PALE)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=9, length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    return ax


def _shade(ax: Axes, possible: Range, fill: Callable[[float, float], Any]) -> None:
    """Draw a band between bounds as far as the axis goes: far ends would squeeze everything else."""
    left_s, right_s = ax.get_xlim()
    low_s, high_s = max(possible.low_ms / 1000, left_s), min(possible.high_ms / 1000, right_s)
    if low_s < high_s:
        fill(low_s, high_s)
    ax.set_xlim(left_s, right_s)


def _write_medians(ax: Axes, y: float, predicted: np.ndarray, measured: np.ndarray) -> None:
    """Medians of both arms, right of the row's last mark."""
    ends = [float(np.percentile(predicted, 95))] if len(predicted) else []
    ends += [float(max(measured))] if len(measured) else []
    offset = 8
    for values, colour in ((predicted, BLUE), (measured, RED)):
        if len(values):
            ax.annotate(
                f"{np.median(values):.2f}",
                (max(ends), y),
                xytext=(offset, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=colour,
            )
            offset += 36


def ecdf_panel(
    ax: Axes, name: str, sim_s: np.ndarray, real_s: np.ndarray, possible: Mapping[str, Range] | None = None
) -> Axes:
    """Distribution functions of both arms, the real one with its 95 % band (Dvoretzky, Kiefer, Wolfowitz).

    Behind them the band from the least to the greatest possible value, given that the first election is won.

    Parameters
    ----------
    ax : Axes
    name : str
        Title.
    sim_s, real_s : array
        Values in s; either may be empty.
    possible : mapping of str to Range, optional
        Bounds (`model.bounds.ranges_of`); the name may be missing.
    """
    from study.compare import dkw_band

    for values, colour, label, height in ((sim_s, BLUE, "predicted", 0.92), (real_s, RED, "measured", 0.84)):
        if not len(values):
            continue
        x, low, high = dkw_band(np.asarray(values))
        ax.ecdf(values, color=colour, linewidth=1.8)
        if label == "measured":
            # Left of the smallest value the band reaches from 0 to what is still possible there.
            edge = float(high[0] - 1 / len(x))
            left = min(float(np.min(sim_s)) if len(sim_s) else x[0], x[0])
            ax.fill_between([left, *x], [0, *low], [edge, *high], step="post", color=colour, alpha=0.14, linewidth=0)
        ax.text(0.03, height, f"{label} ({len(values)} runs)", transform=ax.transAxes, color=colour, fontsize=9)
    if possible and name in possible:
        _shade_with_room(ax, possible[name])
        ax.text(0.97, 0.03, "possible", transform=ax.transAxes, color=GREY, fontsize=9, ha="right")
    ax.set(title=name, xlabel="s", ylabel="share of runs", ylim=(0, 1.02))
    ax.locator_params(axis="x", nbins=6)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _shade_with_room(ax: Axes, possible: Range) -> None:
    """A band between bounds; the axis grows by up to `ROOM` of its length on each side to show where it ends."""
    left_s, right_s = ax.get_xlim()
    room_s = ROOM * (right_s - left_s)
    margin_s = 0.03 * (right_s - left_s)
    ax.set_xlim(max(left_s - room_s, min(left_s, possible.low_ms / 1000 - margin_s)),
                min(right_s + room_s, max(right_s, possible.high_ms / 1000 + margin_s)))  # fmt: skip
    _shade(ax, possible, lambda low_s, high_s: ax.axvspan(low_s, high_s, **BAND))


def values_s(runs: Sequence[RunMeasures], name: str) -> np.ndarray:
    """Values of a milestone or of an outage in s, stalled runs left out."""
    usable = [run for run in runs if not run.stalled]
    found = [run.milestones[name] for run in usable if name in run.milestones]
    found += [run.outage_us(name) for run in usable if name in run.windows]
    return np.array(found, float) / 1e6


def _milestones_s(arm: Arm | None) -> dict[str, np.ndarray]:
    return {name: values_s(arm.runs, name) for name in MILESTONES} if arm else {}


def _outages_s(arm: Arm | None) -> dict[str, np.ndarray]:
    return {name: values_s(arm.runs, name) for name in {n for run in arm.runs for n in run.windows}} if arm else {}


def _outage_words(name: str) -> str:
    if name == "redis_write":
        return "no Redis takes writes"
    kind, _, client = name.partition(":")
    return f"{client} is out of reach" if kind == "client" else f"{name.split('@')[1]} registers nobody"


def _title(what: str, sim: Arm | None, real: Arm | None, bounded: Iterable[str]) -> str:
    """What the panel shows, and how to read it."""
    parts = []
    if sim:
        parts.append(f"blue: {len(sim.runs)} simulated runs (bar from p5 to p95, line at the median)")
    if real:
        parts.append(f"red: {len(real.runs)} real runs (a dot each)")
    if any(bounded):
        parts.append("sand: possible (first election won)")
    return f"{what}. " + "; ".join([*parts, "numbers: medians"])
