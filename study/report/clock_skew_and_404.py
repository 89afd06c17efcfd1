"""When does a wrong clock hide a registered phone, and for how long?

Writes ``reports/clock_skew_and_404/``:

=====================  =============================================================================
``report.md``          question, answer, table of cases, picture, limits
``tables/*.csv``       cases, skews: every number of the text
``runs/``              real runs (`study.stored`)
``skew.png``           time in which calls get a 404 against the skew, law, simulated and measured
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

The law is that of ``docs/clocks.md``: a binding that a node W writes for E seconds is found through node F, which asks
Redis server S behind primary P, until it is E - max(d(P), d(S), d(F)) - f old, where d says by how much a clock is
ahead of that of W, and f, 0 to 1 s, is what whole seconds drop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.measures import Facts, RunMeasures, measure
from study import plots
from study.compare import Sample, compare_row, sample
from study.exits import ExitCode, worst
from study.plots import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED
from study.report import pages
from study.report.measured import Case, case, real_runs, simulate, usable
from study.report.pages import Order, Row, Table, markdown, seconds, the, where

TITLE = "When does a wrong clock hide a registered phone, and for how long?"

RUNS = 400
"""Simulated runs of each case. Kind: assumed."""

SWEEP_RUNS = 40
"""Simulated runs of each point of the picture. Kind: assumed (a run's blind time spreads by a second)."""

REAL = 5
"""Real runs of each case at most: what is watched is a law of nearly no spread. Kind: assumed."""

LIFETIME_S, REFRESH_S = 60.0, 54.0
"""Of the phone's registration, as in all scenarios here. Kind: assumed (an hour would make runs sixty times longer)."""

LOST_FRACTION_S = 0.5
"""Mean of what whole seconds drop. Kind: specified (EXPIREAT counts whole seconds)."""

SKEWS_S = (-100, -80, -60, -40, -20, -5, 0, 5, 10, 20, 30, 40, 50, 60, 80, 100)
"""Skews of the picture."""

PHONE = "phone"


def missed_s(ahead_s: float) -> float:
    """How long of each refresh period a binding is not found, by the law, for a clock that is ahead by so much."""
    return float(np.clip(REFRESH_S - (LIFETIME_S - ahead_s - LOST_FRACTION_S), 0.0, REFRESH_S))


def missed_when_drifting_s(rate: float = 0.1, watched_s: float = 108.0) -> float:
    """Median of what is missed of two refresh periods while the primary's clock gains `rate` s in a second."""
    first, fraction = np.meshgrid(np.linspace(0, REFRESH_S, 541), np.linspace(0, 1, 51))
    missed = np.zeros_like(first)
    for written in (first, first + REFRESH_S):
        ends = written + np.maximum(LIFETIME_S - fraction - rate * written, 0) / (1 + rate)
        missed += np.maximum(np.minimum(written + REFRESH_S, watched_s) - ends, 0)
    return float(np.median(missed))


def missed_after_step_s(ahead_s: float) -> float:
    """Median of what is missed when the primary's clock was ahead for an instant: until the next refresh."""
    return float(max(missed_s(ahead_s) - 0.5 * REFRESH_S, 0.0))


PROMOTED_S = 3.5
"""From the kill to the first node that follows, in the case with a promotion. Kind: assumed (2.4 s and a second)."""


@dataclass(frozen=True, slots=True)
class WrongClock:
    """One case: what is wrong, what the guide's warning makes of it, and what is predicted.

    Attributes
    ----------
    scenario : str
        File in ``scenarios/clocks/``.
    wrong : str
        Whose clock it is, and by how much.
    effect : str
        Who gets a 404.
    quantity : str
        What is measured: ``blind`` or ``zombie`` through a node, or the whole outage (``client``).
    node : str
        That node.
    predicted_s : float
        By the law, median.
    """

    scenario: str
    wrong: str
    effect: str
    quantity: str
    node: str
    predicted_s: float


WRONG_CLOCKS = (
    WrongClock("calls_primary_ahead_by_4s", "primary ahead by 4 s", "nobody", "blind", "host2", missed_s(4)),
    WrongClock("calls_primary_ahead_by_40s", "primary ahead by 40 s", "all callers", "blind", "host2", missed_s(40)),
    WrongClock(
        "calls_primary_ahead_by_100s", "primary ahead by 100 s", "all callers, always", "blind", "host2", missed_s(100)
    ),
    WrongClock(
        "calls_registering_node_behind_by_40s",
        "registering node behind by 40 s",
        "all callers, to its phones",
        "blind",
        "host1",
        missed_s(40),
    ),
    WrongClock(
        "calls_registering_node_behind_by_100s",
        "registering node behind by 100 s",
        "all callers, to its phones, always",
        "blind",
        "host1",
        missed_s(100),
    ),
    WrongClock(
        "calls_node_ahead_by_40s",
        "another node ahead by 40 s",
        "callers through that node",
        "blind",
        "host3",
        missed_s(40),
    ),
    WrongClock(
        "calls_node_ahead_by_40s", "another node ahead by 40 s", "nobody through the others", "blind", "host1", 0.0
    ),
    WrongClock(
        "calls_replica_ahead_is_left_alone", "replica without a node ahead by 1000 s", "nobody", "blind", "host2", 0.0
    ),
    WrongClock(
        "calls_replica_ahead_is_promoted",
        "replica ahead by 40 s is promoted",
        "all callers from then on",
        "blind",
        "host3",
        missed_s(40) * (108 - PROMOTED_S) / REFRESH_S,
    ),
    WrongClock(
        "calls_registering_node_ahead_dies",
        "registering node ahead by 40 s dies",
        "nobody; calls follow a binding that has ended",
        "zombie",
        "host1",
        REFRESH_S + 32 - LIFETIME_S,
    ),
    WrongClock(
        "calls_primary_steps_and_is_set_right",
        "primary ahead by 40 s for one second",
        "all callers, to phones with less than 40 s left, until their refresh",
        "blind",
        "host2",
        missed_after_step_s(40),
    ),
    WrongClock(
        "calls_primary_drifts",
        "primary gains 0.1 s in a second",
        "all callers, growing",
        "blind",
        "host2",
        missed_when_drifting_s(),
    ),
    WrongClock(
        "calls_expire_in_place_of_expireat",
        "primary ahead by 100 s, nodes write EXPIRE",
        "nobody through good nodes",
        "blind",
        "host2",
        0.0,
    ),
    WrongClock(
        "calls_expire_in_place_of_expireat",
        "primary ahead by 100 s, nodes write EXPIRE",
        "callers through the primary's own node",
        "blind",
        "host1",
        missed_s(100),
    ),
)
"""When the guide's warning is true, and when not."""

CURVES = {
    "primary": ("calls_primary_ahead_by_40s", 0, "host2", 1),
    "registering node": ("calls_registering_node_behind_by_40s", 2, "host1", -1),
    "another node": ("calls_node_ahead_by_40s", 2, "host3", 1),
    "replica that no node asks": ("calls_replica_ahead_is_left_alone", 2, "host2", 0),
}
"""Curves of the picture: scenario, number of the host whose clock is wrong, node that is called through, and whether
being ahead counts for it (1), against it (-1), or not at all."""

COLOURS = dict(zip(CURVES, (BLUE, RED, ORANGE, GREEN), strict=True))


def make(order: Order) -> ExitCode:
    """Find the numbers, write tables, picture and text."""
    runs = order.runs or RUNS
    cases = {wrong.scenario: case_of(wrong, min(order.real, REAL)) for wrong in WRONG_CLOCKS}
    real = real_runs(list(cases.values()), order)
    sim = {name: measured(each, simulate(each, runs, order.seed, order.voice)) for name, each in cases.items()}
    seen = {name: measured(each, usable(real, each)) for name, each in cases.items()}
    tables = {"cases": judge(cases, sim, seen, order.seed), "skews": sweep(order, min(runs, SWEEP_RUNS))}
    order.folder.mkdir(parents=True, exist_ok=True)
    pages.write_tables(order.folder, tables)
    pages.save(skew_figure(tables["skews"], tables["cases"]), order.folder / "skew.png")
    pages.finish(order, TITLE, text(tables), runs, [each.scenario for each in cases.values()], real)
    return worst([ExitCode.FINDING for row in tables["cases"] if row["verdict"] == "disagrees"])


def case_of(wrong: WrongClock, real: int = 0) -> Case:
    """The scenario of a wrong."""
    return case(f"clocks/{wrong.scenario}.toml", real_runs=real)


def measured(case: Case, traces: Sequence) -> list[RunMeasures]:
    """Measures of a case's runs."""
    facts = Facts.of(case.scenario)
    return [measure(trace, facts) for trace in traces]


# --- numbers ---------------------------------------------------------------------------------------------------------


def values(quantity: str, node: str, runs: Sequence[RunMeasures]) -> Sample:
    """Blind or zombie time of the phone through a node, or its whole outage, over runs."""
    if quantity == "client":
        return sample(f"client:{PHONE}", runs)
    seen = [getattr(run.clients[PHONE], quantity).get(node, 0) / 1000 for run in runs if PHONE in run.clients]
    return Sample(np.array(seen, float), np.zeros(len(seen), bool))


def judge(
    cases: Mapping[str, Case],
    sim: Mapping[str, Sequence[RunMeasures]],
    real: Mapping[str, Sequence[RunMeasures]],
    seed: int,
) -> list[Row]:
    """Each wrong clock: by the law, simulated, measured, and whether the two arms agree."""
    rng = np.random.default_rng(seed)
    rows = []
    for wrong in WRONG_CLOCKS:
        margin_ms = cases[wrong.scenario].scenario.margin_of(wrong.quantity)
        arms = [values(wrong.quantity, wrong.node, arm[wrong.scenario]) for arm in (real, sim)]
        row = compare_row(wrong.quantity, *arms, margin_ms, rng)
        rows.append({
            "wrong": wrong.wrong, "effect": wrong.effect, "quantity": f"{wrong.quantity} through {wrong.node}",
            "predicted_s": round(wrong.predicted_s, 1),
            "sim_n": row.sim["n"], **{f"sim_p{q}_s": seconds(row.sim.get(f"p{q}_ms")) for q in (5, 50, 95)},
            "real_n": row.real["n"], **{f"real_p{q}_s": seconds(row.real.get(f"p{q}_ms")) for q in (5, 50, 95)},
            "low_s": seconds(row.shift_low_ms), "high_s": seconds(row.shift_high_ms), "margin_s": margin_ms / 1000,
            "verdict": str(row.verdict), "scenario": wrong.scenario,
        })  # fmt: skip
    return rows


def sweep(order: Order, runs: int, skews_s: Sequence[int] = SKEWS_S) -> list[Row]:
    """Blind time of one refresh period against the skew of one clock, for each of `CURVES`."""
    return [_point(who, skew_s, order, runs) for who in CURVES for skew_s in skews_s]


def _point(who: str, skew_s: int, order: Order, runs: int) -> Row:
    file, host, node, sign = CURVES[who]
    each = case(f"clocks/{file}.toml", f"host.{host}.clock_offset_ms={skew_s * 1000}", name=f"{who} {skew_s:+} s")
    blind = values("blind", node, measured(each, simulate(each, runs, order.seed, order.voice)))
    quantiles = {f"sim_p{q}_s": seconds(blind.quantile(q / 100)) for q in (5, 50, 95)}
    law = missed_s(sign * skew_s) if sign else 0.0
    return {"who": who, "skew_s": skew_s, "law_s": round(law, 1), "sim_n": len(blind), **quantiles}


# --- pictures --------------------------------------------------------------------------------------------------------


def skew_figure(skews: Table, cases: Table) -> Figure:
    """Blind time against skew: a panel for each clock that can be wrong."""
    figure = Figure(figsize=(plots.WIDTH_IN, 4.6), layout="constrained")
    for who, ax in zip(CURVES, figure.subplots(1, len(CURVES), sharey=True), strict=True):
        skew_panel(ax, who, where(skews, who=who), cases)
    figure.axes[0].set_ylabel(f"s of each {REFRESH_S:.0f} s in which calls get a 404")
    figure.suptitle("A phone that is registered all the time: how long it is not found, by whose clock is wrong. Line: "
                    "the law; bar and ring: simulated p5 to p95 and median; dots: measured",
                    x=0.01, ha="left", fontsize=12, color=INK)  # fmt: skip
    return figure


def skew_panel(ax: Axes, who: str, rows: Table, cases: Table) -> Axes:
    """One clock: the law over all skews, simulated and measured points on it."""
    file, _, node, sign = CURVES[who]
    fine = np.linspace(min(row["skew_s"] for row in rows), max(row["skew_s"] for row in rows), 401)
    ax.plot(fine, [missed_s(sign * skew_s) if sign else 0.0 for skew_s in fine], color=COLOURS[who], linewidth=1.4)
    for row in rows:
        ax.plot([row["skew_s"]] * 2, [row["sim_p5_s"], row["sim_p95_s"]], color=COLOURS[who], linewidth=4, alpha=0.4)
        ax.plot(row["skew_s"], row["sim_p50_s"], "o", markersize=6, markerfacecolor="none",
                markeredgecolor=COLOURS[who])  # fmt: skip
    for skew_s, row in _measured_points(who, cases):
        ax.plot([skew_s] * 2, [row["real_p5_s"], row["real_p95_s"]], color=INK, linewidth=1.2)
        ax.plot(skew_s, row["real_p50_s"], "o", color=INK, markersize=4.5)
        ax.annotate(f"measured, {row['real_n']} runs: {row['real_p50_s']:.1f} s", (skew_s, row["real_p50_s"]),
                    xytext=(-8 if skew_s > 0 else 8, 8), textcoords="offset points", fontsize=8,
                    ha="right" if skew_s > 0 else "left")  # fmt: skip
    ax.axvline(0, color=GREY, linewidth=0.6)
    ax.set(ylim=(-2, 60), xlabel="clock ahead by, s")
    ax.set_title(who, loc="left", fontsize=10.5)
    ax.grid(axis="y", color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


MEASURED_SKEWS_S = {
    "primary": {"calls_primary_ahead_by_4s": 4, "calls_primary_ahead_by_40s": 40, "calls_primary_ahead_by_100s": 100},
    "registering node": {
        "calls_registering_node_behind_by_40s": -40, "calls_registering_node_behind_by_100s": -100
    },
    "another node": {"calls_node_ahead_by_40s": 40},
}  # fmt: skip
"""Scenarios with real runs that are points of a curve."""


def _measured_points(who: str, cases: Table) -> list[tuple[int, Row]]:
    quantity = f"blind through {CURVES[who][2]}"
    points = [
        (skew_s, the(cases, scenario=name, quantity=quantity)) for name, skew_s in MEASURED_SKEWS_S.get(who, {}).items()
    ]
    return [(skew_s, row) for skew_s, row in points if row["real_n"]]


# --- words -----------------------------------------------------------------------------------------------------------


def text(tables: Mapping[str, Table]) -> list[str]:
    """The report, block by block; every number is read from a table."""
    cases = tables["cases"]
    return [
        "## Answer\n\n" + "\n".join(_answer(cases)),
        "The law behind it, and who looks at which clock: [docs/clocks.md](../../docs/clocks.md). Numbers: "
        "[tables/cases.csv](tables/cases.csv), [tables/skews.csv](tables/skews.csv).",
        "![blind time against skew](skew.png)",
        "## Cases",
        _CASES,
        markdown(cases, COLUMNS),
        "## The law, simulated",
        _LAW,
        markdown(tables["skews"]),
        _LIMITS,
    ]


def _answer(cases: Table) -> list[str]:
    """When the guide's warning holds, and when not; and whether law, simulation and reality say the same."""
    true = [row for row in cases if row["predicted_s"] > 0 and row["quantity"].startswith("blind")]
    false = [row for row in cases if row["predicted_s"] == 0]
    off_s = max(abs(row["predicted_s"] - row["sim_p50_s"]) for row in cases)
    verdicts = [row["verdict"] for row in cases if row["real_n"]]
    return [
        "- The guide warns that *any* node with a wrong time breaks registrations. **True** here for: "
        f"{'; '.join(f'{_words(row)}' for row in true)}.",
        f"- **Not true** for: {'; '.join(f'{_words(row)}' for row in false)}.",
        f"- Law and simulation differ by at most {off_s:.1f} s (medians); simulated and real runs agree in "
        f"{verdicts.count('agrees')} of {len(verdicts)} rows that were measured.",
    ]


def _words(row: Row) -> str:
    measured = f", measured {row['real_p50_s']:.1f} s" if row["real_n"] else ""
    return f"{row['wrong']} ({row['effect']}: {row['sim_p50_s']:.1f} s{measured})"


COLUMNS = {
    "wrong": "clock", "effect": "who gets a 404", "quantity": "measured is", "predicted_s": "law, s",
    "sim_p50_s": "sim p50, s", "sim_p5_s": "p5", "sim_p95_s": "p95", "real_n": "real runs", "real_p50_s": "real p50, s",
    "real_p5_s": "p5", "real_p95_s": "p95", "low_s": "real - sim from", "high_s": "to", "margin_s": "margin",
    "verdict": "verdict",
}  # fmt: skip

_CASES = """*blind through* a node: time in which it answers 404 although the phone's last 200 covers the instant.
*zombie*: time in which it follows a registration that has ended. Times of a run: one refresh period of 54 s, or two
where the primary dies or drifts. The interval is the 90 % one of the shift, as in every comparison."""

_LAW = """Blind time of one refresh period (54 s of a lifetime of 60 s) by the skew of one clock. Being behind
matters for the node that a phone registers through, and for nobody else; being ahead for the primary and for the
node that is called through. What counts is the phone's reserve, lifetime less refresh: 6 s here, 360 s for an hour's
registration."""

_LIMITS = """## Limits

One device for each address of record. Real clocks are those of processes with a preloaded library that shifts what
they read; time itself is the machine's. Lifetimes of 60 s stand for longer ones: the law is linear in them."""
