"""Which down-after-milliseconds for the deployment guide's set-up?

Writes ``reports/tuning_down_after/``:

=====================  =============================================================================
``report.md``          question, answer, tables, pictures, limits
``tables/*.csv``       curve, front, knobs, by_hand, quality, stalls: every number of the text
``tune.png``           what each delay costs, what stands against what, what other knobs buy
``quality.png``        the sentinels as failure detectors
``stalls.png``         the shortest delay that other stalls admit
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

Crashes, stalls and weights are assumed (`study.tune.inputs`); the notebook of the same name has sliders for them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from model.bounds import group_of, quality
from model.scenario import Scenario, load
from study import catalog, plots
from study.exits import ExitCode
from study.plots import BLUE, GREEN, INK, ORANGE, PALE, RED
from study.report import pages
from study.report.pages import Order, Row, Table, markdown, the, where
from study.tune import inputs, picture, tune
from study.tune.curve import Curve, Progress, Study
from study.tune.needless import LEVEL, SURE_STALL_MS, stalled, with_delay
from study.tune.prepared import OUTAGE, AllDelays, Position
from study.tune.runs import crashed, lean, observe, without_nodes

TITLE = "Which down-after-milliseconds for the deployment guide's set-up?"

RUNS = 400
"""Simulated runs of each setting and kind of crash. Kind: assumed."""

RANGE_MS = (1_000, 60_000)
"""Delays that are looked at, as `hastudy tune` does."""

LENGTHS = 28
"""Lengths of stalls that the closed form of needless failovers is checked with. Kind: assumed (50 ms apart)."""

QUALITY_MS = (1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000)
MEDIANS_MS, SIGMAS, PER_YEAR = (100.0, 300.0, 1_000.0), (0.5, 1.0, 1.5), (50.0, 500.0, 5_000.0)
"""Other stalls. Kind: assumed."""

CYCLE_S, WAIT_S, TICK_S = 1.037, 0.037, 0.072
"""Means: between two PINGs (a second, and the wait for a tick); from an instant to the next tick; between two ticks.
Kind: specified (`model.laws`)."""

STARTED_S = CYCLE_S / 2 + WAIT_S + TICK_S
"""From a stall to the start of a failover, besides the delay: second of three PINGs, suspicion, agreement."""

PROMOTED_TICKS = 4
"""From the quorum-th suspicion to the new primary: agreed, elected, chosen, promoted. Kind: specified."""


@dataclass(frozen=True, slots=True)
class Question:
    """The guide's set-up, and how much to simulate.

    Attributes
    ----------
    scenario : Scenario
    runs, seed : int
    """

    scenario: Scenario
    runs: int
    seed: int

    @property
    def study(self) -> Study:
        """For a node's outage, under assumed conditions."""
        conditions = Position().conditions()
        found = lean(self.scenario, "register", counts_losses=False)
        return Study(found, conditions, self.stalls, "register", self.runs, self.seed)

    @property
    def stalls(self) -> list[inputs.Stalls]:
        """As assumed; those of Redis come first."""
        return inputs.stalls_of(Position().conditions(), catalog.folder())

    @property
    def present_ms(self) -> int:
        """What the guide says."""
        return self.scenario.sentinel.down_after_ms


def question(runs: int, seed: int) -> Question:
    """The guide's three hosts, quorum of 2, and 10 s."""
    scenario = load(catalog.folder() / "host_loss/primary_host_vanishes.toml")
    return Question(scenario.model_copy(update={"name": "deployment_guide"}), runs, seed)


def make(order: Order) -> ExitCode:
    """Find the numbers, write tables, pictures and text."""
    asked = question(order.runs or RUNS, order.seed)
    with order.voice.progress("tuning") as progress:
        data, curve = tuned(asked, progress)
    order.voice.say("closed forms, by hand and simulated")
    tables = tables_of(asked, data)
    order.folder.mkdir(parents=True, exist_ok=True)
    pages.write_tables(order.folder, tables)
    pages.save(picture.draw(data, curve), order.folder / "tune.png")
    pages.save(quality_figure(tables["quality"]), order.folder / "quality.png")
    pages.save(stalls_figure(asked), order.folder / "stalls.png")
    pages.finish(order, TITLE, text(data, tables), asked.runs, [asked.scenario], {})
    return ExitCode.OK


def tuned(asked: Question, progress: Progress) -> tuple[dict[str, Any], Curve]:
    """What `hastudy tune` finds, other knobs included."""
    return tune(asked.study, Position().goal, *RANGE_MS, progress, knobs=True)


# --- numbers ---------------------------------------------------------------------------------------------------------


def tables_of(asked: Question, data: Mapping[str, Any]) -> dict[str, Table]:
    """All tables of the report."""
    return {
        "curve": [_flat(row) for row in data["curve"]],
        "front": data["front"],
        "knobs": data["knobs"],
        "by_hand": by_hand(asked),
        "quality": detector(asked),
        "stalls": other_stalls(asked),
    }


def _flat(row: Mapping[str, Any]) -> Row:
    """One delay of the curve; `lost` is not looked at here."""
    found: dict[str, Any] = {"down_after_ms": row["down_after_ms"]}
    for name in (OUTAGE, "outage_mean", "needless", "cost"):
        found |= {name: row[name]["value"], f"{name}_low": row[name]["low"], f"{name}_high": row[name]["high"]}
    return found


def shortest_by_hand_s(position: Position) -> float:
    """The delay at which one stall in so many as the limit allows is long enough: median x exp(sigma x z) - 0.63 s."""
    z = stats.norm.isf(position.needless_limit / position.stalls_per_year)
    return float(position.stall_median_ms / 1000 * np.exp(position.stall_sigma * z) - STARTED_S)


def by_hand(asked: Question) -> list[Row]:
    """What can be reckoned on a piece of paper, and what the simulator and `tune` say, each with its interval."""
    delay_s, redis = asked.present_ms / 1000, asked.stalls[0]
    rows = [
        ("Redis takes no writes after its host vanished, s", "delay + 2/3 x 1.037 + 0.037 + 4 x 0.072",
         delay_s + CYCLE_S * 2 / 3 + WAIT_S + PROMOTED_TICKS * TICK_S, *_outage_s(asked, "host")),
        ("Redis takes no writes after its process was killed, s", "delay + 2 x 0.037 + 4 x 0.072",
         delay_s + 2 * WAIT_S + PROMOTED_TICKS * TICK_S, *_outage_s(asked, "redis")),
        (f"needless failovers a year at {delay_s:g} s", "stalls a year x P(L > delay + 0.63 s)",
         redis.per_year * float(redis.longer(np.array((delay_s + STARTED_S) * 1000))), *_needless(asked)),
    ]  # fmt: skip
    return [
        {"quantity": quantity, "formula": formula, "by_hand": round(float(hand), 4), "found": round(found, 4),
         "low": round(low, 4), "high": round(high, 4), "inside": bool(low <= hand <= high)}
        for quantity, formula, hand, found, low, high in rows
    ]  # fmt: skip


def _outage_s(asked: Question, kind: Any) -> tuple[float, float, float]:
    """Mean outage of Redis after a crash at the guide's delay."""
    runs = observe(crashed(without_nodes(asked.scenario), kind), "redis_write", asked.runs, asked.seed)
    return _mean(runs.outage_s[:, 0])


def _needless(asked: Question) -> tuple[float, float, float]:
    """Needless failovers a year, simulated at many lengths of a stall: each run has a length from which on it fails.

    No stall below the delay counts, every one counts that is longer by `SURE_STALL_MS`.
    """
    redis = asked.stalls[0]
    edges_ms = asked.present_ms + np.linspace(0, SURE_STALL_MS, LENGTHS + 1)
    shares = -np.diff(redis.longer(edges_ms))
    scenario = without_nodes(asked.scenario)
    total = np.full(asked.runs, float(redis.longer(edges_ms[-1:])[0]))
    for length_ms, share in zip((edges_ms[1:] + edges_ms[:-1]) / 2, shares, strict=True):
        # Run number n is the same at every length, so its length of failing over is one number.
        total += share * observe(stalled(scenario, "redis", round(length_ms)), "redis_write", asked.runs,
                                 asked.seed).failed_over  # fmt: skip
    return _mean(redis.per_year * total)


def _mean(values: Any) -> tuple[float, float, float]:
    """Mean with a normal interval."""
    half = stats.norm.isf((1 - LEVEL) / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def detector(asked: Question) -> list[Row]:
    """The metrics of Chen, Toueg and Aguilera at each delay, for one sentinel and for the group by its quorum."""
    redis = asked.stalls[0]
    rows = []
    for delay_ms in QUALITY_MS:
        found = {quorum: quality(group_of(_setting(asked.scenario, delay_ms, quorum), "frozen"), redis.per_year,
                                 redis.longer) for quorum in (1, 2, 3)}  # fmt: skip
        one = found[1]
        rows.append({
            "down_after_ms": delay_ms, "detection_mean_s": round(one.detection_mean_ms / 1000, 3),
            "detection_max_s": round(one.detection_max_ms / 1000, 3), "mistakes_per_year": _told(one.mistakes_per_year),
            "mistake_s": round(one.mistake_ms / 1000, 3), "wrong_when_asked": _told(1 - one.accuracy),
            **{f"needless_quorum_{quorum}": _told(each.failovers_per_year) for quorum, each in found.items()},
        })  # fmt: skip
    return rows


def _setting(scenario: Scenario, delay_ms: int, quorum: int) -> Scenario:
    found = with_delay(scenario, delay_ms)
    return found.model_copy(update={"sentinel": found.sentinel.model_copy(update={"quorum": quorum})})


def _told(value: float) -> float:
    return float(f"{value:.4g}")


def other_stalls(asked: Question) -> list[Row]:
    """The shortest delay within the limit on needless failovers, for stalls of other laws."""
    return [
        {"median_ms": median, "sigma": sigma, "stalls_per_year": per_year,
         "shortest_ms": shortest_ms(asked, median, sigma, per_year)}
        for median, sigma, per_year in itertools.product(MEDIANS_MS, SIGMAS, PER_YEAR)
    ]  # fmt: skip


def shortest_ms(asked: Question, median_ms: float, sigma: float, per_year: float) -> int | None:
    """The shortest delay that keeps to the limit on needless failovers; None: none of those looked at does."""
    position = dataclasses.replace(Position(), stall_median_ms=median_ms, stall_sigma=sigma, stalls_per_year=per_year)
    rates = AllDelays(asked.scenario, inputs.stalls_of(position.conditions(), catalog.folder()), *RANGE_MS)
    kept = (delay for delay in range(*RANGE_MS, 10) if rates.at(delay).per_year <= position.needless_limit)
    return next(kept, None)


# --- pictures --------------------------------------------------------------------------------------------------------


def quality_figure(rows: Table) -> Figure:
    """How soon a sentinel notices, how often and for how long it is wrong, and what the quorum makes of it."""
    figure = Figure(figsize=(plots.WIDTH_IN, 4.4), layout="constrained")
    axes = figure.subplots(1, 4)
    _lines(axes[0], rows, "one sentinel notices a crash after, s",
           {"detection_max_s": (RED, "at most"), "detection_mean_s": (BLUE, "on average")})  # fmt: skip
    _lines(axes[1], rows, "one sentinel is wrong, times a year", {"mistakes_per_year": (BLUE, "")})
    _lines(axes[2], rows, "... and each time for, s", {"mistake_s": (BLUE, "")})
    by_quorum = {f"needless_quorum_{quorum}": (colour, f"quorum {quorum}") for quorum, colour in
                 ((1, RED), (2, BLUE), (3, GREEN))}  # fmt: skip
    _lines(axes[3], rows, "needless failovers a year", by_quorum)
    for ax, subs in ((axes[0], (1, 2, 5)), (axes[1], (1,)), (axes[3], (1,))):
        ax.set_yscale("log")
        _plain_ticks(ax.yaxis, subs)
    return figure


def _lines(ax: Axes, rows: Table, title: str, lines: Mapping[str, tuple[str, str]]) -> Axes:
    """Columns by delay."""
    delays_s = [row["down_after_ms"] / 1000 for row in rows]
    for name, (colour, words) in lines.items():
        ax.plot(delays_s, [row[name] for row in rows], "o-", color=colour, markersize=4, linewidth=1.4, label=words)
    if len(lines) > 1:
        ax.legend(frameon=False, fontsize=9)
    return _by_delay(ax, title)


def _by_delay(ax: Axes, title: str) -> Axes:
    ax.set(xscale="log", xlabel="down-after-milliseconds, s")
    _plain_ticks(ax.xaxis, (1, 2, 5))
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.grid(color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _plain_ticks(axis: Any, subs: tuple[int, ...]) -> None:
    """Logarithmic ticks at these multiples of powers of ten, as plain numbers."""
    axis.set_major_locator(ticker.LogLocator(subs=subs))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))


def stalls_figure(asked: Question, points: int = 13) -> Figure:
    """The shortest admissible delay by how often Redis stalls: a panel for each sigma, a line for each median."""
    figure = Figure(figsize=(plots.WIDTH_IN, 4.4), layout="constrained")
    rates = np.geomspace(10, 100_000, points)
    for sigma, ax in zip(SIGMAS, figure.subplots(1, len(SIGMAS), sharey=True), strict=True):
        for median_ms, colour in zip(MEDIANS_MS, (BLUE, ORANGE, RED), strict=True):
            found = [shortest_ms(asked, median_ms, sigma, float(rate)) for rate in rates]
            shown = [(rate, delay / 1000) for rate, delay in zip(rates, found, strict=True) if delay is not None]
            ax.plot(*zip(*shown, strict=True), "o-", color=colour, markersize=4, label=f"median {median_ms:g} ms")
        ax.axhline(asked.present_ms / 1000, color=INK, linewidth=0.8, linestyle="--")
        ax.annotate("set now", (1, asked.present_ms / 1000), xycoords=("axes fraction", "data"), xytext=(0, 3),
                    textcoords="offset points", ha="right", fontsize=9)  # fmt: skip
        _by_delay(ax, f"sigma {sigma:g}").set(xlabel="stalls of Redis a year", yscale="log")
        _plain_ticks(ax.xaxis, (1,))
        _plain_ticks(ax.yaxis, (1, 2, 5))
    figure.axes[0].set_ylabel(f"s, for {Position().needless_limit:g} needless failover a year")
    figure.axes[0].legend(frameon=False, fontsize=9)
    return figure


# --- words -----------------------------------------------------------------------------------------------------------


def text(data: Mapping[str, Any], tables: Mapping[str, Table]) -> list[str]:
    """The report, block by block; every number is read from what was found."""
    return [
        "## Answer\n\n" + "\n".join([*answer(data), *_checks(tables)]),
        "![what each delay costs](tune.png)",
        "## Assumed\n\n" + "\n".join(assumed(data)),
        "## All delays",
        markdown(tables["curve"], _CURVE),
        "90 % intervals; the whole table is [tables/curve.csv](tables/curve.csv). An interval of no width: the law of "
        "stalls is taken at its word.",
        "## By hand",
        _BY_HAND,
        markdown(tables["by_hand"], _HAND),
        f"The shortest delay with {Position().needless_limit:g} needless failover a year by hand, "
        f"median x exp(sigma x z) - 0.63 s with z for one stall in {Position().stalls_per_year:g}: "
        f"{shortest_by_hand_s(Position()):.2f} s; `tune` says {data['admissible']['low_ms'] / 1000:.2f} s.",
        "## The sentinels as failure detectors",
        _QUALITY,
        "![quality of the detector](quality.png)",
        markdown(tables["quality"]),
        "## With other stalls",
        f"The shortest delay that keeps needless failovers to {Position().needless_limit:g} a year. "
        "Empty: none up to 60 s does. Stalls of the host as assumed.",
        "![shortest admissible delay](stalls.png)",
        markdown(tables["stalls"]),
        "## Other knobs",
        f"What one change buys at {data['present']['down_after_ms']} ms: seconds of the {_WORDS[OUTAGE]}.",
        markdown([_knob(row, data["censored"]) for row in tables["knobs"]]),
        _LIMITS,
    ]


_WORDS = {OUTAGE: "95 % quantile of the outage"}


def answer(data: Mapping[str, Any]) -> list[str]:
    """The answer, from what `tune` found."""
    best, present = data["best"], data["present"]
    limits = data["goal"]["limits"]
    wanted = f"outages of at most {limits[OUTAGE]:g} s (95 %) and {limits['needless']:g} needless failover a year"
    if not best:
        return [f"- No delay admits {wanted}: {'; '.join(data['infeasible'])}."]
    low_s, high_s = (data["admissible"][end] / 1000 for end in ("low_ms", "high_ms"))
    chosen = data["at_best"]
    more = present["cost"]["value"] / chosen["cost"]["value"] - 1
    gain, loss = (end(data["knobs"], key=lambda row: row["gain_s"]) for end in (max, min))
    return [
        f"- **{best['down_after_ms'] / 1000:.1f} s** costs least among {low_s:.1f} to {high_s:.1f} s, which admit "
        f"{wanted}; the guide's {present['down_after_ms'] / 1000:g} s costs {more:.0%} more: it is {_verdict(data)}.",
        f"- At {present['down_after_ms'] / 1000:g} s a crash costs {present[OUTAGE]['value']:.1f} s (95 %), and "
        f"{present['needless']['value']:.2g} failovers a year are needless; at the best delay "
        f"{chosen[OUTAGE]['value']:.1f} s and {chosen['needless']['value']:.2g}.",
        f"- Of the other knobs, {gain['knob']} {gain['present']} to {gain['other']} buys most: {gain['gain_s']:.2f} s. "
        f"{loss['knob']} {loss['present']} to {loss['other']} costs most: {-loss['gain_s']:.1f} s"
        f"{' or more' if loss['censored'] > data['censored'] else ''}.",
    ]


def _checks(tables: Mapping[str, Table]) -> list[str]:
    """What the answer rests on most, and whether paper finds the same."""
    inside = where(tables["by_hand"], inside=True)
    return [
        f"- What it rests on is how long Redis stalls: with sigma 1.5 in place of 1 the shortest admissible delay is "
        f"{_shortest(tables, 1.5)} in place of {_shortest(tables, 1.0)}. Measure your own (docs/tune.md).",
        f"- {len(inside)} of {len(tables['by_hand'])} formulas for a piece of paper lie in the intervals of what was "
        "found.",
    ]


def _verdict(data: Mapping[str, Any]) -> str:
    present_ms, nearly, admitted = data["present"]["down_after_ms"], data["best"]["nearly"], data["admissible"]
    if nearly["low_ms"] <= present_ms <= nearly["high_ms"]:
        return "nearly as good (within 5 %)"
    return "admissible" if admitted["low_ms"] <= present_ms <= admitted["high_ms"] else "not admissible"


def _shortest(tables: Mapping[str, Table], sigma: float) -> str:
    position = Position()
    row = the(tables["stalls"], sigma=sigma, median_ms=position.stall_median_ms,
              stalls_per_year=position.stalls_per_year)  # fmt: skip
    return "more than 60 s" if row["shortest_ms"] is None else f"{row['shortest_ms'] / 1000:.1f} s"


def assumed(data: Mapping[str, Any]) -> list[str]:
    """What the answer rests on."""
    conditions = data["conditions"]
    crashes, weights = conditions["crashes_per_year"], conditions["weights"]
    return [
        f"- The guide's set-up: three hosts with Redis, Sentinel and a node each, quorum 2, delay "
        f"{data['present']['down_after_ms']} ms. Outage: {data['service_meaning']}.",
        f"- Crashes a year: host {crashes['host']:g}, process {crashes['redis']:g}, a process that hangs "
        f"{crashes['frozen']:g}.",
        *(f"- Stalls of {each['of']}: {each['per_year']:g} a year, {each['from']}." for each in data["stalls"]),
        f"- Cost: {weights['outage_s']:g} for a second of outage, {weights['needless']:g} for a needless failover.",
    ]


def _knob(row: Row, censored: float) -> Row:
    """One change; of outages that outlast their run it is known that they are at least so long."""
    beyond = "<= " if row["censored"] > censored else ""
    return {
        "knob": row["knob"], "now": row["present"], "other": row["other"], "gain, s": f"{beyond}{row['gain_s']:+.2f}",
        "90 % interval": f"{row['low_s']:+.2f}..{row['high_s']:+.2f}", "needless a year": row["needless"],
        "helpless crashes a year": row["helpless"],
    }  # fmt: skip


_CURVE = {
    "down_after_ms": "delay, ms", OUTAGE: "outage p95, s", f"{OUTAGE}_low": "from", f"{OUTAGE}_high": "to",
    "outage_mean": "outage mean, s", "needless": "needless a year", "cost": "cost a year", "cost_low": "from",
    "cost_high": "to",
}  # fmt: skip

_HAND = {"quantity": "quantity", "formula": "formula", "by_hand": "by hand", "found": "found", "low": "from",
         "high": "to", "inside": "inside"}  # fmt: skip

_BY_HAND = """A sentinel PINGs every 1.037 s (a second, and 0.037 s for the next tick) and ticks every 0.072 s. After a
fault the first unanswered PING leaves at random within a cycle; the delay counts from there, and the quorum-th sentinel
decides: the last of two that are left when the host is gone (2/3 of a cycle), the second of three when Redis stalls
(1/2). A kill is seen at once, at each sentinel's next tick. Then four ticks: agreed, elected, replica chosen, promoted.
Found: the mean of simulated runs of the same crash or stall, with its 90 % interval."""

_QUALITY = """The metrics of Chen, Toueg and Aguilera (2002) for the assumed stalls of Redis: closed forms of
`model.bounds`. A longer delay makes mistakes rarer, but each of them longer, since only long stalls are left. *wrong
when asked* is the probability that one sentinel, asked at random, calls a live primary down."""

_LIMITS = """## Limits

Rates of crashes, stalls and weights are guesses, not statistics of anybody's servers. Stalls arrive at random and never
overlap; stalls of the network, packet loss and lost registrations are left out here (`hastudy tune` knows them). Nodes
are asked every 200 ms, so quantiles of their outages come in steps of 0.2 s."""
