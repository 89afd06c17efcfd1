"""Sliders over `study.tune.prepared`, for notebooks: each move answers within a moment.

Without a kernel sliders stand still, so a notebook also shows `draw` of the default position as a picture.
"""

from __future__ import annotations

import html
import io
import time
from dataclasses import replace
from typing import Any

import ipywidgets
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from model.errors import HastudyError
from study.plots import INK, RED
from study.tune.curve import UNIT
from study.tune.picture import curve_panel, front_panel
from study.tune.prepared import OUTAGE, Answer, Position, Prepared
from study.tune.text import WORDS

SIZE_IN, DPI = (15.0, 4.4), 72
"""Of the picture: smaller than elsewhere, since drawing it is what takes longest. Kind: assumed."""

LOG = {
    "down_after_ms": ("set now: down-after, ms", 3, 4.75), "host": ("host vanishes, a year", -2, 3),
    "redis": ("process is killed, a year", -2, 3), "frozen": ("process hangs for good, a year", -2, 3),
    "stalls_per_year": ("stalls of Redis a year", 0, 6), "stall_median_ms": ("their median, ms", 0, 4),
    "outage_limit_s": ("outage p95 at most, s", 0.2, 2), "needless_limit": ("needless failovers a year at most", -3, 2),
    "outage_weight": ("cost of a second of outage", -2, 3), "needless_weight": ("cost of a needless failover", -2, 5),
}  # fmt: skip
"""Sliders with a logarithmic scale: words, and decimal logarithms of both ends. Kind: assumed."""

CAN_BE_NEVER = ("host", "redis", "frozen", "stalls_per_year")
"""Rates whose slider says 0 at its left end: a logarithmic scale has no 0."""

SIGMA = (0.1, 3.0)
"""Ends of the slider of the stalls' sigma. Kind: assumed."""


class Sliders:
    """All sliders, the picture and the words of one `Prepared`.

    Attributes
    ----------
    controls : dict of str to widget
        One for each attribute of `Position`.
    picture : ipywidgets.Image
    words : ipywidgets.HTML
    answer : Answer or None
        To the present question; None when it had none.
    seconds : list of float
        How long each answer took, its picture included.
    """

    def __init__(self, prepared: Prepared, position: Position | None = None) -> None:
        self._prepared = prepared
        self.answer: Answer | None = None
        self.seconds: list[float] = []
        start = position or Position()
        self.controls = {name: _logarithmic(name, getattr(start, name)) for name in LOG}
        self.controls["stall_sigma"] = ipywidgets.FloatSlider(
            value=start.stall_sigma, min=SIGMA[0], max=SIGMA[1], step=0.05, description="their sigma", **_LOOKS
        )
        self.controls["quorum"] = ipywidgets.IntSlider(
            value=start.quorum, min=prepared.quorums[0], max=prepared.quorums[-1], description="quorum", **_LOOKS
        )
        self.picture, self.words = ipywidgets.Image(format="png"), ipywidgets.HTML()
        self._start = {name: control.value for name, control in self.controls.items()}
        self._again = ipywidgets.Button(description="start again")
        self._again.on_click(lambda _: self.reset())
        self.reset()

    def reset(self) -> None:
        """Put all sliders back to where they stood at first."""
        for name, control in self.controls.items():
            control.unobserve_all(name="value")
            control.value = self._start[name]
            control.observe(self._moved, names="value")
        self._moved()

    @property
    def position(self) -> Position:
        """Where the sliders stand; the delay is rounded to whole ms."""
        values: dict[str, Any] = {name: control.value for name, control in self.controls.items()}
        values |= {name: 0.0 for name in CAN_BE_NEVER if values[name] <= 10 ** LOG[name][1]}
        return replace(Position(), **values | {"down_after_ms": round(values["down_after_ms"])})

    @property
    def box(self) -> ipywidgets.Widget:
        """All of it, to display."""
        rows = ipywidgets.GridBox([self.controls[name] for name in _ORDER],
                                  layout=ipywidgets.Layout(grid_template_columns="repeat(3, 33%)"))  # fmt: skip
        return ipywidgets.VBox([rows, self._again, self.words, self.picture])

    def _moved(self, _change: Any = None) -> None:
        began = time.perf_counter()
        try:
            self.answer = self._prepared.answer(self.position)
        except HastudyError as error:
            self.answer, self.words.value = None, _preformatted(str(error))
            return
        self.words.value = _preformatted(words(self.answer))
        self.picture.value = png(draw(self.answer))
        self.seconds.append(time.perf_counter() - began)


_LOOKS: dict[str, Any] = {
    "style": {"description_width": "210px"}, "layout": {"width": "98%"}, "continuous_update": False,
}  # fmt: skip
_ORDER = ("down_after_ms", "quorum", "host", "redis", "frozen", "stalls_per_year", "stall_median_ms", "stall_sigma",
          "outage_limit_s", "needless_limit", "outage_weight", "needless_weight")  # fmt: skip


def _preformatted(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def _logarithmic(name: str, value: float) -> ipywidgets.FloatLogSlider:
    told, low, high = LOG[name]
    return ipywidgets.FloatLogSlider(value=max(value, 10**low), min=low, max=high, step=0.01, description=told,
                                     readout_format=".4g", **_LOOKS)  # fmt: skip


def words(answer: Answer) -> str:
    """The answer in a few lines."""
    data = answer.data
    best, quality = data["best"], answer.quality
    detector = (f"one sentinel, as set now: notices a crash after {quality.detection_mean_ms / 1000:.2f} s on average "
                f"and {quality.detection_max_ms / 1000:.2f} s at most; wrong {quality.mistakes_per_year:.3g} times a "
                f"year for {quality.mistake_ms / 1000:.2f} s each")  # fmt: skip
    now = [f"now {data['present']['down_after_ms']} ms: {_told(data['present'])}", detector]
    if answer.curve.censored:
        now.append(
            f"up to {answer.curve.censored:.0%} of outages outlast their run: they and the cost are lower bounds"
        )
    if not best:
        return "\n".join(["no delay is admissible, because", *data["infeasible"], *now])
    admissible, nearly = data["admissible"], best["nearly"]
    found = (f"best {best['down_after_ms']} ms (nearly as good: {nearly['low_ms']}..{nearly['high_ms']}), admissible "
             f"{admissible['low_ms']}..{admissible['high_ms']} ms: {_told(data['at_best'])}")  # fmt: skip
    return "\n".join([found, *now])


def _told(at: dict[str, Any]) -> str:
    """What one delay costs."""
    return (f"{WORDS[OUTAGE]} {at[OUTAGE]['value']:.3g} s, {at['needless']['value']:.3g} {WORDS['needless']} a year, "
            f"cost {at['cost']['value']:.4g}")  # fmt: skip


def draw(answer: Answer) -> Figure:
    """Outage, cost, and what stands against what."""
    data, curve = answer.data, answer.curve
    figure = Figure(figsize=SIZE_IN)
    FigureCanvasAgg(figure)
    # A layout that is fitted to the words would take as long as all the rest.
    figure.subplots_adjust(left=0.03, right=0.985, bottom=0.14, top=0.91, wspace=0.2)
    axes = figure.subplots(1, 4)
    for ax, name in zip(axes, (OUTAGE, "needless", "cost"), strict=False):
        curve_panel(ax, data, curve, name)
        if name in data["goal"]["limits"]:
            _limit(ax, data["goal"]["limits"][name], name)
    front_panel(axes[3], data, OUTAGE)
    _present(axes[3], data["present"])
    for ax in axes:
        _few_ticks(ax)
    return figure


def _few_ticks(ax: Axes) -> None:
    """1, 2, 5, 10 on short axes, powers of ten on long ones: each tick costs time."""
    for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        if axis.get_scale() == "log":
            subs = (1, 2, 5) if limits[1] < 1000 * limits[0] else (1,)
            axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=8))
            axis.set_minor_locator(ticker.NullLocator())


def _limit(ax: Axes, most: float, name: str) -> None:
    ax.axhline(most, color=INK, linewidth=0.8, linestyle="--")
    ax.annotate(f"at most {most:.3g} {UNIT[name]}", (0.98, most), xycoords=("axes fraction", "data"), xytext=(0, 3),
                textcoords="offset points", ha="right", fontsize=9)  # fmt: skip


def _present(ax: Axes, present: dict[str, Any]) -> None:
    """What is set now, which need not be a delay that was simulated."""
    ax.plot([present["needless"]["value"]], [present[OUTAGE]["value"]], "o", color=RED, markersize=9,
            markeredgecolor="white", zorder=6)  # fmt: skip


def png(figure: Figure) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()
