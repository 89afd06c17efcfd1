"""Sentinels at several sites: how often is the first election lost, and what does that cost?

Writes ``reports/lost_elections_over_wan/``:

=====================  =============================================================================
``report.md``          question, answer, tables, pictures, limits
``tables/*.csv``       odds, measured, jitter, cost, seconds, versions: every number of the text
``runs/``              real runs beyond those of the matrix (`study.stored`)
``odds.png``           P(lost election) against the round trip, simulated and measured
``cost.png``           what a lost election costs, by failover-timeout, and what all of them cost on average
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

An election is lost when two sentinels become candidates before either has heard of the other: each has voted for itself
then, and nobody has votes enough. Both wait twice the failover-timeout before they try again.

For two sentinels that are left there is a closed form, as long as the round trip is shorter than a tick (52 ms): each
must suspect before the other's question arrives, and start before the other's request for its vote does, which leaves
after a rewrite of its file. With a longer round trip a sentinel asks again before the first answer is back, which makes
it more likely that both learn that the other agrees: then only the simulator counts right.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from model.bounds import Kind, group_of, suspicion
from model.laws import Law, tick_after
from model.measures import Facts, RunMeasures, measure, proportion
from model.scenario import Fault, Link, Scenario
from model.sentinel import ASK_PERIOD_US, ELECTION_TIMEOUT_US, MAX_DESYNC_MS
from model.versions import DIFFERENCES
from sim import batch
from study import plots, stored
from study.compare import BRANCH_ALPHA, holm, newcombe
from study.exits import ExitCode, worst
from study.plots import BLUE, GREEN, INK, ORANGE, PALE, RED
from study.report import pages
from study.report.measured import Case, case, real_runs, runs_folder
from study.report.pages import Order, Row, Table, markdown, the, where
from study.samples import odds_of

TITLE = "Sentinels at several sites: how often is the first election lost, and what does that cost?"

RUNS = 4_000
"""Simulated runs of each point. Kind: assumed (a probability of a third to 1.5 %)."""

REAL = 20
"""Real runs of each case at most. Kind: assumed (a probability to 20 %)."""

RTTS_MS = (0, 5, 10, 20, 30, 40, 60, 80, 100, 130, 160, 200)
"""Round trips between sites; 0 stands for one site (0.12 ms). Kind: assumed."""

JITTERS_MS, JITTER_RTTS_MS = (0, 5, 10, 20, 50), (10, 30, 60)
"""Random delay on top of each way, and round trips without it. Kind: assumed."""

TIMEOUTS_MS = (1_000, 2_000, 4_000, 10_000, 20_000, 60_000, 180_000)
"""failover-timeout; the guide says 20 s, Redis's default is 180 s."""

COST_RTT_MS = 100
"""Round trip at which the cost of a lost election is looked at: many are lost. Kind: assumed."""

LAN_US = 60
"""One way within a site. Kind: measured (lab)."""

FAILOVER_TIMEOUT_MS, HORIZON_MS = 4_000, 16_000
"""Short, so that a second attempt is seen soon; whether the first is lost does not depend on it. As in the matrix."""

SYNC_MS, SYNC_RTT_MS = 5, 20
"""One fsync of an ordinary disk, and the round trip at which families are compared. Kind: assumed."""

REAL_RTTS_MS = {"three": (20, 100, 200), "five, host": (60, 100, 200), "five, site": (60, 100, 200)}
"""Round trips that are measured for this report; of three sites the matrix has 0, 10, 40 and 60 ms. Kind: assumed."""

SITES = (("host1", "host2"), ("host3", "host4"), ("host5",))
"""Five sentinels over three sites; the primary is at the first one, the last one has no Redis."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sentinels over three sites, and what is lost.

    Attributes
    ----------
    key, words : str
    lost : tuple of str
        Hosts.
    process : str
        What dies there.
    """

    key: str
    words: str
    lost: tuple[str, ...]
    process: str = "all"


LAYOUTS = (
    Layout("process", "1+1+1, Redis dies: 3 left, 2 votes", ("host1",), "redis"),
    Layout("three", "1+1+1, a host is lost: 2 left, 2 votes", ("host1",)),
    Layout("five, host", "2+2+1, a host is lost: 4 left, 3 votes", ("host1",)),
    Layout("five, site", "2+2+1, a site is lost: 3 left, 3 votes", ("host1", "host2")),
)
THREE = LAYOUTS[1]
COLOURS = dict(zip((layout.key for layout in LAYOUTS), (ORANGE, BLUE, GREEN, RED), strict=True))

FAULTS = {"crash": "killed: a reset", "vanish": "vanished: silence"}
KINDS: dict[str, Kind] = {"crash": "host-killed", "vanish": "host"}


@cache
def scenario_of(layout: Layout, fault: str) -> Scenario:
    """The layout at one site, struck by a fault."""
    if layout.process == "redis":
        return _scenario("baseline/process_killed.toml")
    if layout is THREE:
        return _scenario(f"baseline/{'host_killed' if fault == 'crash' else 'host_vanishes'}.toml")
    found = _scenario("baseline/five_host_vanishes.toml", "sentinel.quorum=3")
    last = found.host[-1].model_copy(update={"redis": False})
    return found.model_copy(update={
        "name": f"five_over_three_sites_{'site' if len(layout.lost) > 1 else 'host'}_{fault}",
        "host": (*found.host[:-1], last),
        "fault": tuple(Fault(kind=fault, host=host, at_ms=0) for host in layout.lost),
        "link": tuple(Link(from_=a, to=b, delay_us=LAN_US) for site in SITES for a in site for b in site if a != b),
    })  # fmt: skip


def _scenario(file: str, *changes: str) -> Scenario:
    more = (f"sentinel.failover_timeout_ms={FAILOVER_TIMEOUT_MS}", f"run.horizon_ms={HORIZON_MS}", *changes)
    return case(file, *more).scenario


def arms() -> list[tuple[Layout, str]]:
    """Each layout with each fault that it has."""
    return [(layout, fault) for fault in FAULTS for layout in LAYOUTS if fault == "crash" or layout.process == "all"]


def at_distance(scenario: Scenario, rtt_ms: float, jitter_ms: float = 0) -> Scenario:
    """The same with the sites so far apart; jitter comes on top of each way."""
    delay_us = round(rtt_ms * 500) or LAN_US
    if jitter_ms:
        link = Link(from_="*", to="*", delay_us=delay_us, jitter_us=round(jitter_ms * 1000))
        return scenario.model_copy(update={"link": (link,)})
    return scenario.model_copy(update={"network": scenario.network.model_copy(update={"delay_us": delay_us})})


def with_sentinel(scenario: Scenario, horizon_ms: int = HORIZON_MS, **settings: int) -> Scenario:
    """The same with other settings of Sentinel, watched for so long."""
    return scenario.model_copy(update={
        "sentinel": scenario.sentinel.model_copy(update=settings),
        "run": scenario.run.model_copy(update={"horizon_ms": horizon_ms}),
    })  # fmt: skip


def real_cases(real: int) -> list[Case]:
    """What is measured for this report: hosts and sites whose programs are killed."""
    return [
        Case(f"{layout.key} {rtt_ms} ms", at_distance(scenario_of(layout, "crash"), rtt_ms), real)
        for layout in LAYOUTS
        for rtt_ms in REAL_RTTS_MS.get(layout.key, ())
    ]


def make(order: Order) -> ExitCode:
    """Find the numbers, write tables, pictures and text."""
    runs, seed, say = order.runs or RUNS, order.seed, order.voice.say
    cases = real_cases(min(order.real, REAL))
    real_runs(cases, order)
    say(f"{len(arms()) * len(RTTS_MS)} points, {runs} simulated runs each")
    tables = {"odds": odds(runs, seed)}
    tables |= {
        "measured": measured(order, tables["odds"]),
        "jitter": jitter(runs, seed),
        "cost": cost(runs, seed),
        "seconds": mean_seconds(runs, seed),
        "versions": versions(runs, seed),
    }
    order.folder.mkdir(parents=True, exist_ok=True)
    pages.write_tables(order.folder, tables)
    pages.save(odds_figure(tables), order.folder / "odds.png")
    pages.save(cost_figure(tables), order.folder / "cost.png")
    scenarios = [at_distance(scenario_of(*arm), rtt_ms) for arm in arms() for rtt_ms in RTTS_MS]
    real = {scenario.digest: runs_of(scenario, order) for scenario in scenarios}
    pages.finish(order, TITLE, text(tables), runs, scenarios, real)
    return worst([ExitCode.FINDING for row in tables["measured"] if row["verdict"] == "disagrees"])


# --- numbers ---------------------------------------------------------------------------------------------------------


def lost(scenario: Scenario, runs: int, seed: int) -> dict[str, Any]:
    """How often the first election is lost, with Wilson's interval."""
    return odds_of(batch.outcomes(scenario, seed, 0, runs, ("elected",))["lost_election"])


def odds(runs: int, seed: int, rtts_ms: Sequence[int] = RTTS_MS) -> list[Row]:
    """P(lost election) against the round trip, for each layout and fault."""
    return [_odds(layout, fault, rtt_ms, runs, seed) for layout, fault in arms() for rtt_ms in rtts_ms]


def _odds(layout: Layout, fault: str, rtt_ms: int, runs: int, seed: int) -> Row:
    scenario = at_distance(scenario_of(layout, fault), rtt_ms)
    found = lost(scenario, runs, seed)
    return {
        "layout": layout.key, "fault": fault, "rtt_ms": rtt_ms, "n": found["n"], "k": found["k"],
        "lost": found["k"] / found["n"], "low": found["low"], "high": found["high"],
        "closed_form": _split(scenario, fault, rtt_ms) if layout is THREE else None, "digest": scenario.digest,
    }  # fmt: skip


def _split(scenario: Scenario, fault: str, rtt_ms: int) -> float | None:
    group = group_of(scenario, KINDS[fault])
    least_tick_ms = 52
    return round(split_vote(suspicion(group), max(rtt_ms, 2 * LAN_US / 1000), group.flush_ms), 5) if (
        rtt_ms < least_tick_ms) else None  # fmt: skip


def split_vote(suspected: Law, rtt_ms: float, flush_ms: float) -> float:
    """Probability that two sentinels vote for themselves; see the module's head.

    Parameters
    ----------
    suspected : Law
        When each of them suspects.
    rtt_ms : float
        Between them, shorter than a tick.
    flush_ms : float
        One rewrite of a configuration file.
    """
    apart, waits = _difference(suspected), _difference(tick_after(rtt_ms))
    both_learn = np.abs(apart.points_ms) < rtt_ms / 2
    points, mass, reach = apart.points_ms[both_learn], apart.mass[both_learn], rtt_ms / 2 + flush_ms
    return float(mass @ (waits.by(reach - points) - waits.by(-reach - points)))


def _difference(law: Law) -> Law:
    """Of two independent times with this law."""
    return Law(law.start_ms - float(law.points_ms[-1]), np.convolve(law.mass, law.mass[::-1]))


def runs_of(scenario: Scenario, order: Order) -> list[Any]:
    """Real runs of a scenario: those of the matrix and those of this report."""
    return [*stored.runs(scenario), *stored.runs(scenario, runs_folder(order))]


def measured(order: Order, simulated: Table) -> list[Row]:
    """Real runs beside the simulated point; Fisher's exact test, corrected for the number of points (Holm)."""
    rows: list[dict[str, Any]] = []
    for (layout, fault), rtt_ms in itertools.product(arms(), RTTS_MS):
        scenario = at_distance(scenario_of(layout, fault), rtt_ms)
        facts = Facts.of(scenario)
        found = [measure(trace, facts) for trace in runs_of(scenario, order) if not trace.stalled]
        if found:
            point = the(simulated, layout=layout.key, fault=fault, rtt_ms=rtt_ms)
            rows.append(_measured(found, point))
    corrected = holm([row["p"] for row in rows])
    for row, p in zip(rows, corrected, strict=True):
        row |= {"p_holm": float(f"{p:.3g}"), "verdict": "disagrees" if p < BRANCH_ALPHA else "not contradicted"}
    return rows


def _measured(found: Sequence[RunMeasures], point: Row) -> dict[str, Any]:
    real = proportion(sum(run.branches["lost_election"] for run in found), len(found))
    sim = {name: point[name] for name in ("k", "n", "low", "high")}
    p = stats.fisher_exact([[arm["k"], arm["n"] - arm["k"]] for arm in (real, sim)]).pvalue
    apart = newcombe(real, sim)
    return {
        "layout": point["layout"], "fault": point["fault"], "rtt_ms": point["rtt_ms"], "real_n": real["n"],
        "real_lost": real["k"], "low": real["low"], "high": real["high"], "sim": point["lost"],
        "apart_low": round(apart["low"], 3), "apart_high": round(apart["high"], 3),
        "extra_s": _extra_s(found), "p": float(f"{p:.3g}"),
    }  # fmt: skip


def _extra_s(found: Sequence[RunMeasures]) -> float | None:
    """Median election of the runs that lost their first one, less that of those that won it, in s."""
    times = [
        [run.milestones["elected"] / 1e6 for run in found
         if "elected" in run.milestones and run.branches["lost_election"] == is_lost]
        for is_lost in (True, False)
    ]  # fmt: skip
    return round(float(np.median(times[0]) - np.median(times[1])), 3) if all(times) else None


def jitter(runs: int, seed: int) -> list[Row]:
    """P(lost election) with a random delay on top of each way: 1+1+1 and a host that is lost."""
    rows = []
    for fault, rtt_ms, jitter_ms in itertools.product(FAULTS, JITTER_RTTS_MS, JITTERS_MS):
        found = lost(at_distance(scenario_of(THREE, fault), rtt_ms, jitter_ms), runs, seed)
        rows.append({"fault": fault, "rtt_ms": rtt_ms, "jitter_ms": jitter_ms, "lost": found["k"] / found["n"],
                     "low": found["low"], "high": found["high"]})  # fmt: skip
    return rows


def cost(runs: int, seed: int) -> list[Row]:
    """What a lost election costs by failover-timeout: election of runs that lost the first, less that of the others."""
    rows = []
    for timeout_ms in TIMEOUTS_MS:
        elected_s, is_lost = _elections(timeout_ms, COST_RTT_MS, runs, seed)
        extra_s = elected_s[is_lost] - np.median(elected_s[~is_lost])
        again_s = 2 * timeout_ms / 1000
        p5, p50, p95, p99 = np.quantile(extra_s, (0.05, 0.5, 0.95, 0.99))
        rows.append({
            "failover_timeout_ms": timeout_ms, "by_hand_low_s": again_s,
            "by_hand_high_s": again_s + MAX_DESYNC_MS / 1000, "lost": int(is_lost.sum()), "p5_s": round(p5, 3),
            "p50_s": round(p50, 3), "p95_s": round(p95, 3), "p99_s": round(p99, 3),
            "lost_again": round(float((extra_s > 1.5 * again_s + 1).mean()), 4),
        })  # fmt: skip
    return rows


def _elections(timeout_ms: int, rtt_ms: int, runs: int, seed: int) -> tuple[Any, Any]:
    """When a leader was elected, in s, and whether the first election was lost: 1+1+1, a host is killed.

    Runs are watched for ten attempts; one that has no leader by then counts with that time.
    """
    horizon_ms = 20 * timeout_ms + HORIZON_MS
    scenario = with_sentinel(at_distance(scenario_of(THREE, "crash"), rtt_ms), horizon_ms,
                             failover_timeout_ms=timeout_ms)  # fmt: skip
    found = batch.outcomes(scenario, seed, 0, runs, ("elected",))
    elected_s = np.where(found["elected"] < 0, horizon_ms / 1000, found["elected"] / 1e6)
    return elected_s, found["lost_election"] == 1


SHOWN_TIMEOUTS_MS = (4_000, 20_000, 180_000)


def mean_seconds(runs: int, seed: int, rtts_ms: Sequence[int] = RTTS_MS) -> list[Row]:
    """What lost elections cost on average over all losses of a host, by round trip and failover-timeout."""
    rows = []
    for timeout_ms, rtt_ms in itertools.product(SHOWN_TIMEOUTS_MS, rtts_ms):
        elected_s, is_lost = _elections(timeout_ms, rtt_ms, runs, seed)
        rows.append({"failover_timeout_ms": timeout_ms, "rtt_ms": rtt_ms,
                     "mean_s": round(float(elected_s.mean() - elected_s[~is_lost].mean()), 3)})  # fmt: skip
    return rows


def versions(runs: int, seed: int) -> list[Row]:
    """What families of servers do their own way in an election: how often a rewrite of the file is synced."""
    scenario = at_distance(scenario_of(THREE, "crash"), SYNC_RTT_MS)
    by_syncs = {
        syncs: lost(with_sentinel(scenario, flush_us=1000 * SYNC_MS * syncs), runs, seed)
        for syncs in {each.flush_syncs for each in DIFFERENCES.values()}
    }
    return [
        {"family": family, "read_in": each.source, "kind": each.kind, "syncs": each.flush_syncs,
         "lost": by_syncs[each.flush_syncs]["k"] / runs, "low": by_syncs[each.flush_syncs]["low"],
         "high": by_syncs[each.flush_syncs]["high"]}
        for family, each in DIFFERENCES.items()
    ]  # fmt: skip


# --- pictures --------------------------------------------------------------------------------------------------------


def odds_figure(tables: Mapping[str, Table]) -> Figure:
    """P(lost election) against the round trip, a panel for each fault, and against jitter."""
    figure = Figure(figsize=(plots.WIDTH_IN, 5.2), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(5, 4, 3))
    for number, (fault, ax) in enumerate(zip(FAULTS, axes, strict=False)):
        for layout in LAYOUTS:
            _curve(ax, where(tables["odds"], layout=layout.key, fault=fault), layout)
        for place, layout in enumerate(LAYOUTS):
            _dots(ax, where(tables["measured"], layout=layout.key, fault=fault), COLOURS[layout.key], 1.2 * (place - 1))
        _tidy(ax, f"{FAULTS[fault]}", "round trip between sites, ms", "P(first election lost), %")
        ax.set(ylim=(0, None))
        if not number:
            ax.plot([], [], "--", color=INK, linewidth=1.2, label="closed form, 2 left")
            ax.plot([], [], "D", color=INK, markersize=5, label="measured, Wilson's 95 % interval")
            ax.legend(frameon=False, fontsize=9, loc="upper left")
    _jitter_panel(axes[2], where(tables["jitter"], fault="crash"))
    return figure


def _jitter_panel(ax: Axes, rows: Table) -> None:
    for rtt_ms, colour in zip(JITTER_RTTS_MS, (GREEN, ORANGE, BLUE), strict=True):
        some = where(rows, rtt_ms=rtt_ms)
        at = [row["jitter_ms"] for row in some]
        ax.fill_between(at, *([100 * row[end] for row in some] for end in ("low", "high")), color=colour, alpha=0.25,
                        linewidth=0)  # fmt: skip
        ax.plot(at, [100 * row["lost"] for row in some], "o-", color=colour, markersize=4,
                label=f"round trip {rtt_ms} ms")  # fmt: skip
    _tidy(ax, "killed, 1+1+1: jitter", "random delay on each way: 0 to so many ms", "")
    ax.set(ylim=(0, None))
    ax.legend(frameon=False, fontsize=9, loc="upper left")


def _curve(ax: Axes, rows: Table, layout: Layout) -> None:
    """Simulated, with Wilson's interval as a band, and the closed form."""
    if not rows:
        return
    colour, rtts_ms = COLOURS[layout.key], [row["rtt_ms"] for row in rows]
    ax.fill_between(rtts_ms, *([100 * row[end] for row in rows] for end in ("low", "high")), color=colour, alpha=0.25,
                    linewidth=0)  # fmt: skip
    ax.plot(rtts_ms, [100 * row["lost"] for row in rows], color=colour, linewidth=1.6, label=layout.words)
    closed = [(row["rtt_ms"], 100 * row["closed_form"]) for row in rows if row["closed_form"] is not None]
    if closed:
        ax.plot(*zip(*closed, strict=True), "--", color=INK, linewidth=1.2)


def _dots(ax: Axes, rows: Table, colour: str, aside_ms: float) -> None:
    """Real runs with their intervals, a little beside each other."""
    for row in rows:
        x = row["rtt_ms"] + aside_ms
        ax.plot([x, x], [100 * row["low"], 100 * row["high"]], color=colour, linewidth=1.2)
        ax.plot(x, 100 * row["real_lost"] / row["real_n"], "D", color=colour, markersize=6, markeredgecolor=INK)


def cost_figure(tables: Mapping[str, Table]) -> Figure:
    """What one lost election costs, and what they cost on average."""
    figure = Figure(figsize=(plots.WIDTH_IN, 4.8), layout="constrained")
    axes = figure.subplots(1, 2)
    rows = tables["cost"]
    timeouts_s = [row["failover_timeout_ms"] / 1000 for row in rows]
    by_hand = [[row[f"by_hand_{end}_s"] for row in rows] for end in ("low", "high")]
    axes[0].fill_between(timeouts_s, *by_hand, color=GREEN, alpha=0.3, linewidth=0,
                         label="twice the failover-timeout + 0 to 1 s")  # fmt: skip
    for row, timeout_s in zip(rows, timeouts_s, strict=True):
        axes[0].plot([timeout_s] * 2, [row["p5_s"], row["p95_s"]], color=BLUE, linewidth=4, alpha=0.45)
    axes[0].plot(timeouts_s, [row["p50_s"] for row in rows], "o", color=BLUE, label="simulated: median, p5 to p95")
    seen = [row["extra_s"] for row in tables["measured"] if row["extra_s"] is not None]
    axes[0].plot([FAILOVER_TIMEOUT_MS / 1000] * len(seen), seen, "D", color=INK, markersize=4.5,
                 label="measured: medians of cases")  # fmt: skip
    _tidy(axes[0], f"A lost first election costs, s (round trip {COST_RTT_MS} ms)", "failover-timeout, s", "")
    axes[0].set(xscale="log", yscale="log")
    for axis in (axes[0].xaxis, axes[0].yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(ticker.NullLocator())
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes[0].legend(frameon=False, fontsize=9)
    for timeout_ms, colour in zip(SHOWN_TIMEOUTS_MS, (GREEN, BLUE, RED), strict=True):
        some = [row for row in where(tables["seconds"], failover_timeout_ms=timeout_ms) if row["mean_s"] > 0]
        axes[1].plot([row["rtt_ms"] for row in some], [row["mean_s"] for row in some], "o-", color=colour,
                     markersize=4, label=f"failover-timeout {timeout_ms / 1000:g} s")  # fmt: skip
    _tidy(axes[1], "All lost elections cost on average, s for each killed host (1+1+1)", "round trip between sites, ms",
          "")  # fmt: skip
    axes[1].set_yscale("log")
    axes[1].yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes[1].legend(frameon=False, fontsize=9)
    return figure


def _tidy(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.set(xlabel=x, ylabel=y)
    ax.grid(color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


# --- words -----------------------------------------------------------------------------------------------------------


def text(tables: Mapping[str, Table]) -> list[str]:
    """The report, block by block; every number is read from a table."""
    words = {layout.key: layout.words for layout in LAYOUTS}
    seen = [row | {"layout": words[row["layout"]], "fault": FAULTS[row["fault"]]} for row in tables["measured"]]
    return [
        "## Answer\n\n" + "\n".join(answer(tables)),
        "![P(lost election)](odds.png)",
        _WHY,
        "![what it costs](cost.png)",
        "## Odds",
        "P(first election lost); intervals are in [tables/odds.csv](tables/odds.csv).",
        *(markdown(_by_rtt(tables["odds"], fault)) for fault in FAULTS),
        "## Measured",
        "Real runs of this report (`runs/`) and of the matrix, with a failover-timeout of "
        f"{FAILOVER_TIMEOUT_MS / 1000:g} s. "
        "*apart*: measured less simulated, Newcombe's 95 % interval; p by Fisher's exact test, corrected by Holm. "
        "*extra*: median election of runs that lost the first one, less that of the others.",
        markdown(seen, MEASURED_COLUMNS),
        "## Jitter",
        "A random delay on top of each way, evenly from 0 to so many ms; 1+1+1 and a host that is lost.",
        markdown([row | {"fault": FAULTS[row["fault"]]} for row in tables["jitter"]]),
        "## Cost of a lost election",
        f"Seconds that the election is late, over runs that lost the first one: 1+1+1, host killed, round trip "
        f"{COST_RTT_MS} ms. *lost again*: share of them that lost the second one as well.",
        markdown(tables["cost"]),
        "On average over all losses of a host, seconds:",
        markdown([
            {"round trip, ms": rtt_ms, **{f"failover-timeout {row['failover_timeout_ms'] / 1000:g} s": row["mean_s"]
                                          for row in where(tables["seconds"], rtt_ms=rtt_ms)}}
            for rtt_ms in RTTS_MS
        ]),
        "## Versions",
        _versions(tables["versions"]),
        markdown(tables["versions"]),
        _LIMITS,
    ]  # fmt: skip


def answer(tables: Mapping[str, Table]) -> list[str]:
    """The answer, from the tables."""

    def share(layout: str, fault: str, rtt_ms: int) -> str:
        return f"{the(tables['odds'], layout=layout, fault=fault, rtt_ms=rtt_ms)['lost']:.1%}"

    guide, default = (the(tables["cost"], failover_timeout_ms=timeout) for timeout in (20_000, 180_000))
    average = the(tables["seconds"], failover_timeout_ms=20_000, rtt_ms=60)
    seen = tables["measured"]
    fine = [row for row in seen if row["verdict"] != "disagrees"]
    real = sum(row["real_n"] for row in seen)
    expected = sum(row["real_n"] * row["sim"] for row in seen)
    return [
        f"- **{share('three', 'crash', 20)}** of first elections are lost when sites are 20 ms apart, "
        f"**{share('three', 'crash', 60)}** at 60 ms, {share('three', 'crash', 200)} at 200 ms, when all programs of "
        f"the primary's host are killed (1+1+1); {share('three', 'crash', 0)} on one site.",
        f"- Silence is kinder than a reset: a vanished host loses {share('three', 'vanish', 60)} at 60 ms, because "
        "suspicions then spread over a second instead of a tenth.",
        f"- Five sentinels (2+2+1) are no cure: {share('five, host', 'crash', 60)} at 60 ms, and "
        f"{share('five, site', 'crash', 60)} when a whole site goes. What helps is a sentinel more than the votes "
        f"need: {share('process', 'crash', 60)} when only Redis dies and three are left to give two votes.",
        "- A lost election costs twice the failover-timeout and up to a second: "
        f"{guide['p50_s']:.1f} s with the guide's 20 s, {default['p50_s']:.0f} s with Redis's default of 180 s. At "
        f"60 ms and 20 s that is {average['mean_s']:.1f} s on average for every killed host, beside a delay of 10 s.",
        f"- {len(fine)} of {len(seen)} cases with real runs ({real} runs) do not contradict the simulated odds: "
        f"{sum(row['real_lost'] for row in seen)} elections were lost in all, {expected:.1f} are expected.",
    ]  # fmt: skip


def _versions(rows: Table) -> str:
    by_syncs = {row["syncs"]: row for row in rows}
    told = "; ".join(f"{syncs} syncs: {row['lost']:.1%}" for syncs, row in sorted(by_syncs.items()))
    return (
        "Alike in all families that are modelled: a candidate waits for votes for the failover-timeout, at most "
        f"{ELECTION_TIMEOUT_US / 1e6:g} s; the next attempt comes after twice the failover-timeout, counted from a "
        f"start that is put off by 0 to {MAX_DESYNC_MS} ms; peers are asked again {ASK_PERIOD_US / 1e6:g} s after "
        "their answer. What differs is how often one rewrite of the configuration file is synced, which widens the "
        f"window. With {SYNC_MS} ms for each sync and a round trip of {SYNC_RTT_MS} ms: {told}."
    )  # fmt: skip


def _by_rtt(rows: Table, fault: str) -> Table:
    """A row for each round trip, a column for each layout."""
    some = where(rows, fault=fault)
    shown = [layout for layout in LAYOUTS if where(some, layout=layout.key)]
    return [
        {f"{FAULTS[fault]}; round trip, ms": rtt_ms,
         **{layout.words: the(some, layout=layout.key, rtt_ms=rtt_ms)["lost"] for layout in shown},
         "closed form, 2 left": the(some, layout=THREE.key, rtt_ms=rtt_ms)["closed_form"]}
        for rtt_ms in RTTS_MS
    ]  # fmt: skip


MEASURED_COLUMNS = {
    "layout": "sites", "fault": "primary's host", "rtt_ms": "round trip, ms", "real_n": "real runs",
    "real_lost": "lost", "low": "from", "high": "to", "sim": "simulated", "apart_low": "apart from",
    "apart_high": "to", "p_holm": "p", "extra_s": "extra, s", "verdict": "verdict",
}  # fmt: skip

_WHY = """A reset reaches all sentinels at once, so they suspect within a tenth of a second; when two of them become
candidates within half a round trip, each has voted for itself before the other's request arrives. From a round trip of
a tick (52 to 100 ms) on it gets worse than by that: a sentinel then asks again before it has the first answer, so that
both know of the other's suspicion and start."""

_LIMITS = """## Limits

Sites are equally far from each other, ways are the same in both directions, nothing is lost. Real runs: one machine
whose user-space switch delays packets; sentinels' files are in memory. What else failover-timeout limits (replicas that
are slow to copy) was not looked at."""
