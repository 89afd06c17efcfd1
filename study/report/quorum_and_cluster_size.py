"""How many sentinels, and which quorum?

Writes ``reports/quorum_and_cluster_size/``:

=====================  =============================================================================
``report.md``          question, answer, tables, pictures, limits
``tables/*.csv``       sizes, dead, cut_off, measured: every number of the text
``outages.png``        how long Redis takes no writes, besides the delay; simulated and measured
``safety.png``         dead sentinels that are borne; helpless crashes; needless failovers
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

Real runs are those of the matrix (`study.matrix`). Two numbers decide: a failover *starts* when as many sentinels as
the quorum suspect, and is *led* by whoever has the votes of a majority of all sentinels, dead ones too, and of no fewer
than the quorum.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.bounds import group_of, struck
from model.measures import Facts, measure
from model.scenario import Fault, Host, Scenario
from sim import batch
from study import catalog, matrix, plots, stored
from study.compare import compare_row, sample
from study.exits import ExitCode, worst
from study.plots import BLUE, GREEN, INK, ORANGE, PALE, RED
from study.report import pages
from study.report.measured import case
from study.report.pages import Order, Row, Table, markdown, seconds, the, where
from study.samples import odds_of, sample_of
from study.sweep import sweep
from study.tune import inputs
from study.tune.needless import Needless
from study.tune.tornado import helpless

TITLE = "How many sentinels, and which quorum?"

RUNS = 2_000
"""Simulated runs of each setting. Kind: assumed."""

RULE_RUNS = 20
"""Simulated runs of each combination that a rule decides: it happens always or never. Kind: assumed."""

HORIZON_MS = 30_000
"""Long enough for a second attempt. Kind: assumed."""

BEFORE_MS = 5_000
"""From the death of sentinels to the crash that they miss. Kind: assumed (longer than the delay)."""

GUIDE_MS = 10_000
"""The delay that needless failovers are told for. Kind: recommended (deployment guide)."""

Fails = Literal["redis", "host"]
FAILS: dict[Fails, str] = {"redis": "process killed", "host": "host vanished"}
"""What happens to the primary, and its words."""

SHOWN = ("first_write", "elected")


@dataclass(frozen=True, slots=True)
class Size:
    """A cluster.

    Attributes
    ----------
    name : str
    sentinels, servers : int
        How many hosts run a sentinel, and how many of them a Redis server.
    """

    name: str
    sentinels: int
    servers: int


SIZES = (Size("2", 2, 2), Size("3", 3, 3), Size("3 (Redis on 2)", 3, 2), Size("5", 5, 5), Size("7", 7, 7))
COLOURS = dict(zip((size.name for size in SIZES), (RED, BLUE, plots.SKY, GREEN, ORANGE), strict=True))


def cluster(size: Size, quorum: int = 1) -> Scenario:
    """A cluster without nodes; its time line is that of `struck`."""
    base = case("baseline/process_killed.toml", f"run.horizon_ms={HORIZON_MS}").scenario
    sentinel = base.sentinel.model_copy(update={"quorum": quorum})
    hosts = [Host(name=f"host{n + 1}", redis=n < size.servers, registrar=False) for n in range(size.sentinels)]
    return base.model_copy(update={"name": f"cluster_of_{size.sentinels}", "host": tuple(hosts), "sentinel": sentinel})


def make(order: Order) -> ExitCode:
    """Find the numbers, write tables, pictures and text."""
    runs = order.runs or RUNS
    tables = {
        "sizes": sizes(runs, order.seed, order.voice.say),
        "dead": dead(order.seed),
        "cut_off": cut_off(order.seed),
        "measured": measured(runs, order.seed),
    }
    order.folder.mkdir(parents=True, exist_ok=True)
    pages.write_tables(order.folder, tables)
    pages.save(outages_figure(tables), order.folder / "outages.png")
    pages.save(safety_figure(tables), order.folder / "safety.png")
    scenarios = [*(cluster(size) for size in SIZES), *(cell.scenario for cell in cells())]
    real = {cell.scenario.digest: stored.runs(cell.scenario) for cell in cells()}
    pages.finish(order, TITLE, text(tables), runs, scenarios, real)
    return worst([ExitCode.FINDING for row in tables["measured"] if row["verdict"] == "disagrees"])


# --- numbers ---------------------------------------------------------------------------------------------------------


def sizes(runs: int, seed: int, say: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Each size, quorum and crash: outage of Redis besides the delay, lost elections, needless failovers."""
    rows: list[Row] = []
    for size, fails in itertools.product(SIZES, FAILS):
        say(f"{size.name} sentinels, {FAILS[fails]}: {runs} simulated runs of each quorum")
        scenario = struck(cluster(size), fails)
        quorums = list(range(1, size.sentinels + 1))
        found = sweep(scenario, {"sentinel.quorum": quorums}, runs=runs, seed=seed, until=SHOWN)
        rows += [_size(size, fails, quorum, entry) for quorum, entry in zip(quorums, found.summary(), strict=True)]
    return rows


def _size(size: Size, fails: Fails, quorum: int, entry: Mapping[str, Any]) -> Row:
    scenario = cluster(size, quorum)
    group = group_of(scenario, fails)
    write, odds = entry["quantities"]["first_write"], entry["probabilities"]
    delay_s = scenario.sentinel.down_after_ms / 1000
    return {
        "size": size.name, "quorum": quorum, "fails": FAILS[fails], "votes": group.votes, "live": group.live,
        "failover": odds["failover"]["k"] / odds["failover"]["n"],
        **{f"p{q}_s": _besides(write.get(f"p{q}_ms"), delay_s) for q in (5, 50, 95, 99)},
        "p50_low_s": _besides(write.get("p50_low_ms"), delay_s),
        "p50_high_s": _besides(write.get("p50_high_ms"), delay_s),
        "lost": odds["lost_election"]["k"] / odds["lost_election"]["n"],
        "lost_low": odds["lost_election"]["low"], "lost_high": odds["lost_election"]["high"],
        "needless_per_year": _needless(scenario), "survives": group.live - group.votes,
        "helpless_per_year": float(f"{helpless(scenario, inputs.Crashes()):.3g}"),
    }  # fmt: skip


def _besides(value_ms: float | None, delay_s: float) -> float | None:
    return None if value_ms is None else round(value_ms / 1000 - delay_s, 3)


def _needless(scenario: Scenario) -> float:
    """Needless failovers a year at the guide's delay, with assumed stalls: a closed form."""
    stalls = inputs.stalls_of(inputs.Conditions(), catalog.folder())
    return float(f"{Needless(scenario, stalls, 1, 1).at(GUIDE_MS).per_year:.4g}")


def dead(seed: int) -> list[Row]:
    """Every size, quorum and number of sentinels that died before: does it fail over? By the rule, and simulated."""
    return [
        _dead(size, quorum, fails, number, seed)
        for size, fails in itertools.product(SIZES, FAILS)
        for quorum in range(1, size.sentinels + 1)
        for number in range(size.sentinels)
    ]


def _dead(size: Size, quorum: int, fails: Fails, number: int, seed: int) -> Row:
    scenario = cluster(size, quorum)
    # The last ones die, so that a replica is left to promote.
    gone = scenario.sentinel_hosts[size.sentinels - number :]
    crash = struck(scenario, fails).fault[0]
    if gone:
        crash = crash.model_copy(update={"at_ms": BEFORE_MS})
    faults = [*(Fault(kind="crash", host=host, at_ms=0, process="sentinel") for host in gone), crash]
    # Sorted by time as a file would have them.
    found = batch.outcomes(scenario.model_copy(update={"fault": tuple(faults)}), seed, 0, RULE_RUNS, ("first_write",))
    group = group_of(scenario, fails)
    return {
        "size": size.name, "quorum": quorum, "fails": FAILS[fails], "dead": number,
        "rule": group.live - number >= group.votes, "failover": float((found["failover"] == 1).mean()),
    }  # fmt: skip


def cut_off(seed: int) -> list[Row]:
    """Every size and quorum: does a healthy primary lose its place when so many sentinels lose their way to its host?

    The sentinel beside the primary is out of their reach as well: it does not vote.
    """
    return [
        _cut_off(size, quorum, number, seed)
        for size in SIZES
        for quorum in range(1, size.sentinels + 1)
        for number in range(1, size.sentinels)
    ]


def _cut_off(size: Size, quorum: int, number: int, seed: int) -> Row:
    scenario = cluster(size, quorum)
    blind = [host for host in scenario.sentinel_hosts if host != scenario.server.primary][:number]
    faults = tuple(Fault(kind="drop", host=host, to=scenario.server.primary, at_ms=0) for host in blind)
    found = batch.outcomes(scenario.model_copy(update={"fault": faults}), seed, 0, RULE_RUNS)
    return {
        "size": size.name, "quorum": quorum, "cut_off": number,
        "rule": number >= quorum and size.sentinels - 1 >= group_of(scenario, "redis").votes,
        "failover": float((found["needless_failover"] == 1).mean()),
    }  # fmt: skip


def cells() -> list[matrix.Cell]:
    """Cells of the matrix that differ in nothing but size and quorum."""
    wanted = [f"{size}{fault}" for size in ("", "two_", "five_") for fault in ("process_killed", "host_vanishes")]
    return [
        cell
        for cell in matrix.load(catalog.folder())
        if cell.fault_class in (*wanted, "four_sentinels_host_vanishes")
        and cell.scenario.server.version == matrix.FAMILY
        and cell.scenario.sentinel.down_after_ms == 2_000
        and cell.scenario.network == type(cell.scenario.network)()
    ]


def measured(runs: int, seed: int) -> list[Row]:
    """Stored real runs beside simulated ones of the same scenario."""
    return [_measured(cell, runs, seed) for cell in cells()]


def _measured(cell: matrix.Cell, runs: int, seed: int) -> Row:
    scenario = cell.scenario
    facts = Facts.of(scenario)
    real = [measure(trace, facts) for trace in stored.runs(scenario) if not trace.stalled]
    found = batch.outcomes(scenario, seed, 0, runs, SHOWN)
    arms = sample("first_write", real), sample_of(scenario, "first_write", {name: found[name] for name in
                                                                             ("first_write", "cut_off")})  # fmt: skip
    row = compare_row("first_write", *arms, scenario.margin_of("first_write"), np.random.default_rng(seed))
    delay_s = scenario.sentinel.down_after_ms / 1000
    failovers = sum(run.branches["failover"] for run in real)
    simulated = odds_of(found["failover"])
    never = failovers == simulated["k"] == 0
    return {
        "size": str(len(scenario.sentinel_hosts)), "quorum": scenario.sentinel.quorum,
        "fails": FAILS["redis" if scenario.fault[0].process == "redis" else "host"], "real_n": len(real),
        "failovers": failovers, "sim_failover": simulated["k"] / simulated["n"],
        "lost": sum(run.branches["lost_election"] for run in real),
        **{f"real_p{q}_s": _besides(row.real.get(f"p{q}_ms"), delay_s) for q in (5, 50, 95)},
        "sim_p50_s": _besides(row.sim.get("p50_ms"), delay_s),
        "low_s": seconds(row.shift_low_ms), "high_s": seconds(row.shift_high_ms), "margin_s": row.margin_ms / 1000,
        "verdict": "agrees" if never else str(row.verdict), "scenario": cell.name,
    }  # fmt: skip


# --- pictures --------------------------------------------------------------------------------------------------------


def outages_figure(tables: Mapping[str, Table]) -> Figure:
    """Time without writes besides the delay, by quorum: a panel for each crash."""
    figure = Figure(figsize=(plots.WIDTH_IN, 5.0), layout="constrained")
    for words, ax in zip(FAILS.values(), figure.subplots(1, 2, sharey=True), strict=True):
        for number, size in enumerate(SIZES):
            rows = [row for row in where(tables["sizes"], size=size.name, fails=words) if row["p50_s"] is not None]
            at = [row["quorum"] + 0.09 * (number - 2) for row in rows]
            ax.plot(at, [row["p50_s"] for row in rows], "-", color=COLOURS[size.name], linewidth=1.2)
            for x, row in zip(at, rows, strict=True):
                ax.plot([x, x], [row["p5_s"], row["p95_s"]], color=COLOURS[size.name], linewidth=4, alpha=0.45)
                ax.plot(x, row["p50_s"], "o", color=COLOURS[size.name], markersize=5)
            ax.plot([], [], "o-", color=COLOURS[size.name], label=f"sentinels: {size.name}")
            _dots(ax, where(tables["measured"], size=size.name, fails=words), 0.09 * (number - 2))
        ax.plot([], [], "D", color=INK, markersize=4.5, label="measured")
        _tidy(ax, f"{words}: Redis takes no writes for the delay and so many s")
        ax.set(xlabel="quorum", xlim=(0.5, 7.5), ylim=(0, None))
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle("Dots: median; bars: p5 to p95 of simulated runs. Where there is no dot, there is no failover.",
                    x=0.01, ha="left", fontsize=11)  # fmt: skip
    return figure


def _dots(ax: Axes, rows: Table, aside: float) -> None:
    """Medians of real runs with p5 to p95."""
    for row in rows:
        if row["real_p50_s"] is not None:
            x = row["quorum"] + aside + 0.045
            ax.plot([x, x], [row["real_p5_s"], row["real_p95_s"]], color=INK, linewidth=1.0)
            ax.plot(x, row["real_p50_s"], "D", color=INK, markersize=4.5)


def safety_figure(tables: Mapping[str, Table]) -> Figure:
    """What a quorum costs and buys besides time."""
    figure = Figure(figsize=(plots.WIDTH_IN, 5.0), layout="constrained")
    axes = figure.subplots(1, 4)
    rows = tables["sizes"]
    for ax, fails in zip(axes, FAILS.values(), strict=False):
        _by_quorum(ax, where(rows, fails=fails), "survives", f"{fails}: so many dead are borne")
        ax.axhspan(-1.5, -0.5, color=RED, alpha=0.08, linewidth=0)
        ax.text(0.98, 0.03, "below 0: never a failover", transform=ax.transAxes, color=RED, fontsize=9, ha="right")
        ax.set_ylim(-1.5, 3.5)
        ax.yaxis.set_major_locator(ticker.MultipleLocator(1))
    killed = where(rows, fails=FAILS["redis"])
    _by_quorum(axes[2], killed, "helpless_per_year", "crashes a year that find too few sentinels")
    axes[2].set_yscale("log")
    _by_quorum(axes[3], killed, "needless_per_year", f"needless failovers a year at {GUIDE_MS / 1000:g} s")
    axes[3].set_ylim(0, None)
    axes[3].legend(frameon=False, fontsize=9, loc="lower left")
    return figure


def _by_quorum(ax: Axes, rows: Table, name: str, title: str) -> None:
    for number, size in enumerate(SIZES):
        some = where(rows, size=size.name)
        at = [row["quorum"] + 0.07 * (number - 2) for row in some]
        ax.plot(at, [row[name] for row in some], "o-", color=COLOURS[size.name], markersize=5, linewidth=1.2,
                label=f"sentinels: {size.name}")  # fmt: skip
    _tidy(ax, title)
    ax.set_xlabel("quorum")


def _tidy(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.xaxis.set_major_locator(ticker.MultipleLocator(1))
    ax.grid(color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


# --- words -----------------------------------------------------------------------------------------------------------


def text(tables: Mapping[str, Table]) -> list[str]:
    """The report, block by block; every number is read from a table."""
    return [
        "## Answer\n\n" + "\n".join(answer(tables)),
        "![outage by quorum](outages.png)",
        "![what else a quorum does](safety.png)",
        "## All sizes and quorums",
        _SIZES,
        markdown(tables["sizes"], SIZE_COLUMNS),
        "## Which dead sentinels it survives",
        _rule(tables["dead"], "a failover comes if and only if the sentinels left are no fewer than the votes needed",
              "sentinels that died before"),
        "P(no failover) when so many sentinels died before the primary's host vanished:",
        markdown(_by_dead(tables["dead"])),
        "## When sentinels lose their way to a primary that is well",
        _rule(tables["cut_off"], "the primary is replaced if and only if as many sentinels as the quorum lost their "
              "way to its host, and all but the one on that host are votes enough", "sentinels that are cut off"),
        "## Measured",
        f"Stored real runs of the matrix (Redis {matrix.FAMILY}), delay 2 s: time without writes besides the delay.",
        markdown(tables["measured"], MEASURED_COLUMNS),
        _LIMITS,
    ]  # fmt: skip


def _find(tables: Mapping[str, Table], size: str, quorum: int, fails: Fails) -> Row:
    return the(tables["sizes"], size=size, quorum=quorum, fails=FAILS[fails])


def answer(tables: Mapping[str, Table]) -> list[str]:
    """The answer, from the tables."""
    three, five, seven = (_find(tables, size, quorum, "host") for size, quorum in (("3", 2), ("5", 3), ("7", 4)))
    all_of_three, one = _find(tables, "3", 3, "host"), _find(tables, "3", 1, "host")
    killed = _find(tables, "3", 2, "redis")
    two = where(tables["sizes"], size="2", fails=FAILS["host"])
    wrong = [row for name in ("dead", "cut_off") for row in tables[name] if row["rule"] != (row["failover"] > 0.5)]
    verdicts = [row["verdict"] for row in tables["measured"]]
    lost = max((row for row in tables["sizes"] if row["failover"] > 0), key=lambda row: row["lost"])
    combinations = len(tables["dead"]) + len(tables["cut_off"])
    return [
        "- **Three sentinels and a quorum of 2** are enough to lose any one host: Redis takes writes again "
        f"{three['p50_s']:.1f} s after the delay (p50; {killed['p50_s']:.1f} s if only its process is killed). Five "
        f"with a quorum of 3 also bear {_number(five['survives'])} dead besides ({five['p50_s']:.1f} s), seven with 4 "
        f"{_number(seven['survives'])} ({seven['p50_s']:.1f} s).",
        f"- **Two** sentinels never replace a lost host: {sum(row['failover'] > 0 for row in two)} of {len(two)} "
        "quorums do. The majority of two is two.",
        f"- A quorum of **all** is a deadlock when a host goes (3 of 3: {all_of_three['failover']:.0%} of runs fail "
        f"over); a quorum of **1** is {three['p50_s'] - one['p50_s']:.1f} s faster than 2, and lets one sentinel that "
        "loses its way replace a primary that is well.",
        f"- For needless failovers after stalls the quorum matters little: {one['needless_per_year']:.3g}, "
        f"{three['needless_per_year']:.3g} and {all_of_three['needless_per_year']:.3g} a year for 1, 2 and 3 of 3 at "
        f"{GUIDE_MS / 1000:g} s.",
        f"- On one site first elections are lost in {100 * lost['lost']:.1f} % at most ({lost['size']} sentinels, "
        f"quorum {lost['quorum']}, {lost['fails']}).",
        f"- Both rules hold in {combinations - len(wrong)} of {combinations} simulated combinations; real runs agree "
        f"in {verdicts.count('agrees')} of {len(verdicts)} cells.",
    ]


def _number(count: int) -> str:
    return {1: "one", 2: "two"}.get(count, str(count))


def _rule(rows: Table, rule: str, what: str) -> str:
    wrong = [row for row in rows if row["rule"] != (row["failover"] > 0.5)]
    mixed = [row for row in rows if 0 < row["failover"] < 1]
    return (
        f"By the rule {rule}. Simulated for every size, quorum and number of {what}, {RULE_RUNS} runs each: "
        f"{len(rows) - len(wrong)} of {len(rows)} combinations obey, {len(mixed)} of them not in every run."
    )


def _by_dead(rows: Table) -> Table:
    """A row for each size and quorum, a column for each number of dead sentinels."""
    most = max(row["dead"] for row in rows)
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in where(rows, fails=FAILS["host"]):
        key = (row["size"], row["quorum"])
        blank = {"sentinels": key[0], "quorum": key[1], **{f"{n} dead": None for n in range(most + 1)}}
        found.setdefault(key, blank)[f"{row['dead']} dead"] = round(1 - row["failover"], 3)
    return list(found.values())


SIZE_COLUMNS = {
    "size": "sentinels", "quorum": "quorum", "fails": "primary's", "votes": "votes needed", "live": "left",
    "failover": "fails over", "p50_s": "p50, s", "p50_low_s": "from", "p50_high_s": "to", "p95_s": "p95, s",
    "p99_s": "p99, s", "lost": "P(lost election)", "lost_low": "from", "lost_high": "to", "survives": "survives dead",
    "needless_per_year": "needless a year", "helpless_per_year": "helpless crashes a year",
}  # fmt: skip

MEASURED_COLUMNS = {
    "size": "sentinels", "quorum": "quorum", "fails": "primary's", "real_n": "real runs", "failovers": "failovers",
    "sim_failover": "sim share", "lost": "lost elections", "real_p50_s": "real p50, s", "sim_p50_s": "sim p50, s",
    "low_s": "real - sim from", "high_s": "to", "margin_s": "margin", "verdict": "verdict",
}  # fmt: skip

_SIZES = f"""Times are those to the first write after the crash, less the delay (2 s). *votes needed*: the majority of
all sentinels, or the quorum if that is more. *survives dead*: so many more sentinels may be dead; below 0 there is
never a failover. *needless a year*: at {GUIDE_MS / 1000:g} s with the assumed stalls of `hastudy tune`. *helpless*:
crashes a year that find too few sentinels left, if each dies once a year for 4 hours. 95 % intervals."""

_LIMITS = """## Limits

One site, an idle network and disks: how distance changes elections is in
[lost_elections_over_wan](../lost_elections_over_wan/report.md). Stalls and crashes are assumed. Sentinels die on their
own; a fault that takes several at once (a rack, a site, a wrong configuration) is not among these."""
