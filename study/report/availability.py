"""How many nines does which set-up give, and what eats the error budget?

Writes ``reports/availability/``:

=====================  =============================================================================
``report.md``          question, answer, tables, pictures, limits
``tables/*.csv``       setups, budget, checks: every number of the text
``setups.png``         the error budget of all set-ups by cause
``guide.png``          that of the deployment guide's set-up, cause by cause
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

How often what breaks is assumed, as somebody might have counted it. The composition is held against long courses of
crashes and repairs that are simulated whole (`study.availability.direct`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.bounds import YEAR_MS
from model.scenario import Scenario, load
from study import catalog
from study.availability import availability, entries_of, picture
from study.availability.budget import CAUSES, MINUTES_A_YEAR
from study.availability.direct import simulate
from study.availability.text import budget_rows
from study.exits import ExitCode
from study.plots import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED, SKY, WIDTH_IN
from study.report import pages
from study.report.pages import Order, Row, Table, markdown, the, where
from study.tune.curve import Progress, Study
from study.tune.inputs import Conditions, check, stalls_of
from study.tune.needless import LEVEL, with_delay
from study.tune.runs import Service, lean, without_nodes

TITLE = "How many nines does which set-up give, and what eats the error budget?"

RUNS = 200
"""Simulated runs of each event. Kind: assumed."""

OBJECTIVE = 99.999
"""Percent. Kind: assumed."""

GIVEN = {
    "crashes_per_year": {"host_repair_h": 4.0, "redis_repair_h": 0.5, "repair_h": 4.0},
    "crashes_counted": {"years": 30.0, "host": 6, "redis": 9, "frozen": 1, "sentinel": 6},
    "planned": {"work": 2.0, "work_h": 1.0},
}
"""What somebody may have counted on ten hosts in three years. Kind: assumed."""

CYCLES = 3_000
"""Simulated cycles of each check. Kind: assumed (a hundred or so of them without a primary)."""

REPAIR_S = 600
"""Away for so long in the checks: long against a failover, short enough to be simulated. Kind: assumed."""

COLOURS = {"stall": SKY, "needless": BLUE, "host": RED, "redis": ORANGE, "frozen": GREEN, "no_sentinels": INK,
           "no_replica": GREY}  # fmt: skip
"""Of causes; all others are pale."""


@dataclass(frozen=True, slots=True)
class SetUp:
    """One row of the table of set-ups."""

    name: str
    scenario: Scenario
    service: Service


def set_ups() -> list[SetUp]:
    """What is compared: one thing differs from the deployment guide's set-up at a time."""

    def of(name: str, delay_ms: int = 10_000) -> Scenario:
        scenario = with_delay(load(catalog.folder() / f"{name}.toml"), delay_ms)
        sentinel = scenario.sentinel.model_copy(update={"failover_timeout_ms": 20_000})
        return scenario.model_copy(update={"sentinel": sentinel})

    guide = of("host_loss/primary_host_vanishes")
    return [
        SetUp("guide: three hosts, 10 s", guide, "redis_write"),
        SetUp("guide, REGISTER", guide, "register"),
        SetUp("three hosts, 2 s", with_delay(guide, 2_000), "redis_write"),
        SetUp("three hosts, 30 s", with_delay(guide, 30_000), "redis_write"),
        SetUp("two hosts and an arbiter", of("topology/arbiter_host_vanishes"), "redis_write"),
        SetUp("two hosts", of("baseline/two_host_vanishes"), "redis_write"),
        SetUp("five hosts", of("baseline/five_host_vanishes"), "redis_write"),
    ]


def make(order: Order) -> ExitCode:
    """Reckon, check, draw and write."""
    runs = order.runs or RUNS
    compared = set_ups()
    with order.voice.progress("availability") as progress:
        found = {each.name: reckon(each, runs, order.seed, _part(progress, number, len(compared) + 3))
                 for number, each in enumerate(compared)}  # fmt: skip
        checks = [check_one(case, order.seed, _part(progress, len(compared) + number, len(compared) + 3))
                  for number, case in enumerate(CASES)]  # fmt: skip
    tables = {
        "setups": [setup_row(name, data) for name, data in found.items()],
        "budget": [{"set_up": name, **row} for name, data in found.items() for row in budget_rows(data)],
        "checks": checks,
    }
    pages.write_tables(order.folder, tables)
    figure = Figure(figsize=(WIDTH_IN, 2.0 + 0.6 * len(found)), layout="constrained")
    setups_panel(figure.subplots(), found)
    pages.save(figure, order.folder / "setups.png")
    pages.save(picture.draw(found[compared[0].name]), order.folder / "guide.png")
    scenarios = list({each.scenario.digest: each.scenario for each in compared}.values())
    pages.finish(order, TITLE, text(tables), runs, scenarios, {})
    return ExitCode.OK


def _part(progress: Progress, number: int, count: int) -> Progress:
    return lambda share, words: progress((number + share) / count, words)


def reckon(each: SetUp, runs: int, seed: int, progress: Progress) -> dict[str, Any]:
    """The availability of one set-up, as JSON."""
    conditions = check(GIVEN, "report")
    scenario = lean(each.scenario, each.service, counts_losses=False)
    stalls = stalls_of(conditions, catalog.folder())
    study = Study(scenario, conditions, stalls, each.service, runs, seed)
    return availability(study, OBJECTIVE, progress, "counted")


def setup_row(name: str, data: Mapping[str, Any]) -> Row:
    """One line of the table of set-ups."""
    minutes, nines = data["minutes_a_year"], data["nines"]
    without = sum(row["minutes"]["value"] for row in data["budget"] if row["cause"] not in ("stall", "needless"))
    worst = data["budget"][0]
    return {
        "set_up": name,
        "service": data["service"],
        "percent": data["availability_percent"]["value"],
        "nines": nines["value"],
        "nines_low": nines["low"],
        "nines_high": nines["high"],
        "minutes": minutes["value"],
        "minutes_low": minutes["low"],
        "minutes_high": minutes["high"],
        "detection_minutes": data["detection_minutes"]["value"],
        "crash_minutes": round(without, 4),
        "worst_cause": worst["cause"],
        "worst_share": worst["share"],
        "year_p5_minutes": data["single_year_minutes"]["p5"],
        "year_p95_minutes": data["single_year_minutes"]["p95"],
        "years_kept": data["objective"]["single_years_kept"],
        "objective": data["objective"]["verdict"],
    }


# --- checks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """A cluster that breaks often, to hold the composition against a simulation of all of it."""

    name: str
    file: str
    kinds: tuple[str, ...]
    between_s: float
    is_fixed: bool = False


CASES = (
    Case("three hosts, exponential repairs", "baseline/host_vanishes", ("host", "redis", "sentinel"), 10_000),
    Case("three hosts, repairs of one length", "baseline/host_vanishes", ("host", "redis", "sentinel"), 10_000, True),
    Case("five hosts, exponential repairs", "baseline/five_host_vanishes", ("host", "redis", "frozen"), 14_000),
)

CUT = 1.6
"""Bars are cut at so many times the middle one. Kind: assumed."""

CHECK_DEPTH = 5
"""Things away at one time in the checks, where three are not rare. Kind: assumed."""


def check_one(case: Case, seed: int, progress: Progress) -> Row:
    """Composed and simulated unavailability of one cluster."""
    scenario = without_nodes(load(catalog.folder() / f"{case.file}.toml"))
    probe = scenario.probe.model_copy(update={"write_period_ms": 200})
    scenario = scenario.model_copy(update={"probe": probe})
    conditions = hasty(case)
    study = Study(scenario, conditions, [], "redis_write", RUNS, seed)
    entries, process, _ = entries_of(study, lambda share, words: progress(share / 2, words), CHECK_DEPTH)
    composed = sum(entry.minutes[0] for entry in entries.values()) / MINUTES_A_YEAR
    direct = simulate(scenario, conditions.crashes_per_year, CYCLES, seed, case.is_fixed)
    value, low, high = direct.unavailability(LEVEL, seed)
    return {
        "case": case.name,
        "between_s": case.between_s,
        "repair_s": REPAIR_S,
        "cycles": CYCLES,
        "overlaps": round(direct.overlaps, 3),
        "drawn_again": direct.too_long,
        "composed": float(f"{composed:.4g}"),
        "simulated": float(f"{value:.4g}"),
        "low": float(f"{low:.4g}"),
        "high": float(f"{high:.4g}"),
        "is_inside": "yes" if low <= composed <= high else "no",
    }


def hasty(case: Case) -> Conditions:
    """Conditions under which everything breaks every few hours."""
    rate = YEAR_MS / 1000 / case.between_s
    rates = {kind: rate if kind in case.kinds else 0.0 for kind in ("host", "redis", "frozen", "sentinel")}
    repairs = dict.fromkeys(("host_repair_h", "redis_repair_h", "repair_h"), REPAIR_S / 3600)
    return check({"crashes_per_year": {**rates, **repairs}, "stall": []}, "report")


# --- picture and text ------------------------------------------------------------------------------------------------


def setups_panel(ax: Axes, found: Mapping[str, Mapping[str, Any]]) -> Axes:
    """A bar for each set-up, stacked by cause, with the interval of the whole; those that are far longer are cut."""
    ends = sorted(data["minutes_a_year"]["high"] for data in found.values())
    edge = CUT * ends[len(ends) // 2]
    named: set[str] = set()
    for place, data in enumerate(found.values()):
        start = 0.0
        for row in sorted(data["budget"], key=lambda row: list(CAUSES).index(row["cause"])):
            meaning = CAUSES[row["cause"]] if row["cause"] in COLOURS else "others"
            ax.barh(-place, row["minutes"]["value"], left=start, height=0.6, color=COLOURS.get(row["cause"], PALE),
                    label=None if meaning in named else meaning)  # fmt: skip
            named.add(meaning)
            start += row["minutes"]["value"]
        total, nines = data["minutes_a_year"], data["nines"]["value"]
        ax.plot([total["low"], total["high"]], [-place - 0.36, -place - 0.36], color=INK, linewidth=1.6)
        words = f"{total['value']:.3g} ({nines:.2f} nines)"
        is_cut = start > edge
        ax.annotate(f"goes on to {words}" if is_cut else words, (edge if is_cut else max(start, total["high"]), -place),
                    xytext=(-8 if is_cut else 8, 0), textcoords="offset points", va="center", fontsize=9,
                    ha="right" if is_cut else "left", color="white" if is_cut else INK)  # fmt: skip
    ax.set(yticks=[-place for place in range(len(found))], xlabel="minutes of outage a year", xlim=(0, edge))
    ax.set_yticklabels(list(found), fontsize=9)
    ax.grid(axis="x", color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, frameon=False)
    ax.set_title("Error budget by cause; below each bar the 90 % interval of the whole", loc="left", fontsize=10.5)
    return ax


def text(tables: Mapping[str, Table]) -> list[str]:
    """The report's blocks; numbers are those of the tables."""
    shown = {"set_up": "set-up", "service": "service", "percent": "%", "nines": "nines", "nines_low": "from",
             "nines_high": "to", "minutes": "minutes a year", "crash_minutes": "without stalls",
             "detection_minutes": "detection", "year_p5_minutes": "p5 of a year", "year_p95_minutes": "p95 of a year",
             "objective": f"{OBJECTIVE} %"}  # fmt: skip
    causes = {"meaning": "cause", "per_year": "a year", "outage_s": "outage, s", "minutes": "minutes a year",
              "minutes_low": "from", "minutes_high": "to", "detection_minutes": "detection",
              "share": "share"}  # fmt: skip
    rows = [{**row, "percent": f"{row['percent']:.5f}"} for row in tables["setups"]]
    guide = where(tables["budget"], set_up=tables["setups"][0]["set_up"])
    return [
        _answer(tables),
        "![error budget of all set-ups](setups.png)",
        f"## Set-ups\n\n{markdown(rows, shown)}\n\n{_SETUPS}",
        "## The guide's set-up, cause by cause\n\n![error budget of the guide's set-up](guide.png)\n\n"
        + markdown(guide, causes),
        f"## Composed against simulated whole\n\n{_CHECKS}\n\n{markdown(tables['checks'])}",
        _LIMITS,
    ]


def _answer(tables: Mapping[str, Table]) -> str:
    rows = tables["setups"]
    guide, short, two = (the(rows, set_up=name) for name in
                         ("guide: three hosts, 10 s", "three hosts, 2 s", "two hosts"))  # fmt: skip
    budget = where(tables["budget"], set_up=guide["set_up"])
    stalls = the(budget, cause="stall")
    helpless = the(budget, cause="no_sentinels")
    inside = sum(row["is_inside"] == "yes" for row in tables["checks"])
    return "\n".join([
        "## Answer\n",
        f"- The guide's set-up gives **{guide['nines']:.2f} nines** for Redis writes ({guide['nines_low']:.2f} to "
        f"{guide['nines_high']:.2f}): {guide['minutes']:.3g} minutes a year, with the crashes and stalls assumed here.",
        f"- {100 * stalls['share']:.0f} % of that are stalls of Redis that are longer than clients wait and shorter "
        f"than the delay; all crashes together cost {guide['crash_minutes']:.3g} minutes. The delay is in "
        f"{guide['detection_minutes']:.3g} minutes: with 2 s in place of 10 s the whole is {short['minutes']:.3g} "
        "minutes a year.",
        f"- Nobody is left to fail over for {helpless['minutes']:.3g} minutes a year: once in "
        f"{1 / helpless['per_year']:,.0f} years, then for {helpless['outage_s'] / 3600:.1f} h. A mean hides that: "
        f"5 % of years have more than {guide['year_p95_minutes']:.3g} minutes.",
        f"- **Two hosts** give {two['nines']:.2f} nines: neither can outvote the other.",
        f"- Composition and simulation of everything at once agree within the interval in {inside} of "
        f"{len(tables['checks'])} checks.",
    ])  # fmt: skip


_SETUPS = """*detection*: minutes until a quorum suspects the primary, most of it the delay. *p5*, *p95*: of single
years. Crashes are assumed as counted in 30 host-years (6 hosts, 9 killed and 1 hanging Redis, 6 sentinels), away for
4 h (Redis 0.5 h); each host is taken down twice a year for an hour; stalls as `hastudy tune` assumes them. Intervals
are of 90 %."""

_CHECKS = f"""Everything breaks every few hours and is away for {REPAIR_S} s, so that crashes overlap. *simulated*: all
of a course of crashes and repairs on the engine, from the first crash until nothing is away; the share of time without
a primary, with its 90 % interval from drawing cycles anew. *composed*: the same rates through `hastudy availability`.
With repairs of one length in place of exponential ones the composition is the same: only their mean matters."""

_LIMITS = """## Limits

Crashes are independent: no rack, power line or software fault takes two hosts at once, and one that does is worth more
than all rows here. What is assumed about stalls decides more than the cluster's settings: measure your own. A write
counts as out after 1 s without an answer, a REGISTER after 2 s. Left out: data that is lost, two servers that take
writes, stalls that follow a crash. See [docs/availability.md](../../docs/availability.md)."""
