"""How do clients try again, how do they choose a node, and what becomes of a million of them?

Writes ``reports/client_retry_and_srv/``:

=====================  =============================================================================
``report.md``          question, answer, tables, pictures, limits
``tables/*.csv``       laws, choices, dead_records, names, storms: every number of the text
``laws.png``           when each class tries again after which answer, beside the software itself
``choices.png``        shares by SRV weight, failover by dead records, and by an outage of the DNS
``storms.png``         populations: who is out of service, and what nodes are asked
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

Single clients live in a scripted world (`study.report.scripted`), populations on the time line of a simulated cluster
(`sim.population`). What was measured on the software itself is read from ``tests/foreign/measured.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from model.client_classes import CLASSES
from model.effects import REGISTER, REGISTERED
from model.scenario import Client
from model.sip_client import TIMER_F_US
from sim.population import Capacity, Curves, simulate_population
from study import catalog, plots
from study.exits import ExitCode
from study.plots import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED, SKY
from study.report import pages
from study.report.measured import Case, case, simulate
from study.report.pages import Order, Row, Table, markdown, the, where
from study.report.scripted import REFUSES, SILENT, Answer, Record, ScriptedWorld, Step, first_choices

TITLE = "How do clients try again, how do they choose a node, and what becomes of a million of them?"

MEASURED = catalog.folder().parent / "tests" / "foreign" / "measured.json"
"""What was seen of the software itself."""

RUNS = 100
"""Clients of each kind where chance plays a part. Kind: assumed."""

DRAWS = 4_000
"""Clients that choose a node. Kind: assumed (shares are good to 1 %)."""

AGE_S = 5.0
"""Age of the registration when its node is struck, as in what was measured. Kind: assumed."""

WATCHED_S = 330.0
"""How long a client is watched, as in what was measured. Kind: assumed."""

CLIENTS = (("ideal", "udp"), ("linphone-5.1", "tcp"), ("baresip", "udp"), ("pjsua", "udp"), ("twinkle", "udp"))
"""Whose retry laws are shown."""

SOFTWARE = {"linphone-5.1": "linphone", "baresip": "baresip-python", "pjsua": "pjsua", "twinkle": "twinkle"}
"""What the software of a class is called in `MEASURED`."""

ANSWERS: dict[str, tuple[str, Answer | str]] = {
    "500": ("status-500", Answer(500, 0)),
    "500, Retry-After 5": ("status-500-retry-5", Answer(500, 5)),
    "503": ("status-503", Answer(503, 0)),
    "503, Retry-After 5": ("status-503-retry-5", Answer(503, 5)),
    "404": ("status-404", Answer(404, 0)),
    "403": ("status-403", Answer(403, 0)),
    "nothing": ("vanish", SILENT),
}
"""What the node of a client answers from 0 s on; the experiment with the software, and the node in the script."""

WEIGHTS = (75, 25)
"""SRV weights of two nodes whose shares are looked at."""

MAX_DEAD = 5
"""Most dead records before the first live one."""

DNS_OUTAGES_S = (0, 30, 60, 120, 240)
"""How long the name server is silent from the instant on at which a node is killed."""

TTLS_S = (0, 30, 300, 3600)
"""How long answers of the DNS may be kept."""

TIMER_F_S = TIMER_F_US / 1_000_000
"""A client waits no longer for an answer."""

NEAR_S = 12.0
"""Lines that end closer than this share their words. Kind: assumed."""

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Members of the populations of the mixed kind."""

ONE_KIND = 100_000
"""Members of the populations of one kind, and of those with other answers."""

KINDS = (("ideal", "tcp"), ("outbound", "tls"), ("linphone-5.4", "tls"), ("pjsua", "tcp"), ("twinkle", "tcp"),
         ("ideal", "udp"), ("linphone-5.4", "udp"))  # fmt: skip
"""Populations of one kind."""

REPLIES = {
    "500": (),
    "503": ("registrar.unavailable_status=503",),
    "503, Retry-After 5": ("registrar.unavailable_status=503", "registrar.retry_after_s=5"),
    "503, Retry-After 30": ("registrar.unavailable_status=503", "registrar.retry_after_s=30"),
}
"""What nodes answer that cannot store, for the mixed population."""

MIXED = "mixed"


def make(order: Order) -> ExitCode:
    """Find the numbers, write tables, pictures and text."""
    runs = order.runs or RUNS
    curves = storms(order, SIZES)
    tables = {
        "laws": laws(order.seed),
        "choices": choices(order.seed, DRAWS),
        "dead_records": dead_records(order.seed, runs),
        "names": [*dns_outages(order.seed, runs), *ttls(order.seed, runs)],
        "storms": [storm_row(name, each) for name, each in curves.items()],
    }
    order.folder.mkdir(parents=True, exist_ok=True)
    pages.write_tables(order.folder, tables)
    pages.save(laws_figure(tables["laws"]), order.folder / "laws.png")
    pages.save(choices_figure(tables), order.folder / "choices.png")
    pages.save(storms_figure(curves), order.folder / "storms.png")
    pages.finish(order, TITLE, text(tables), runs, [storm_case(*REPLIES[reply]).scenario for reply in REPLIES], {})
    return ExitCode.OK


# --- one client ------------------------------------------------------------------------------------------------------


def laws(seed: int) -> list[Row]:
    """When a client of each class registers, from the strike of its node on: model, and the software itself."""
    seen = foreign()
    rows = []
    for answer, (experiment, node) in ANSWERS.items():
        for class_, transport in CLIENTS:
            steps = lives_through(class_, transport, node, seed)
            tries = [(step.t_s, step.host == 0) for step in steps if step.what == REGISTER]
            measured = measured_tries(seen, SOFTWARE.get(class_, ""), transport, experiment)
            rows.append({
                "answer": answer, "class": class_, "transport": transport,
                "model_tries_s": _told(tries), "model_elsewhere_s": _elsewhere(tries),
                "measured_tries_s": _told(measured) if measured else None,
                "measured_elsewhere_s": _elsewhere(measured) if measured else None,
            })  # fmt: skip
    return rows


def lives_through(class_: str, transport: str, node: Answer | str, seed: int) -> Sequence[Step]:
    """A client whose node, the first of two, is struck at 0 s."""
    world = ScriptedWorld(
        class_, transport, lambda host, _: node if host == 0 else Answer(), _pair, seed, prefers_first(class_)
    )
    return world.settle(0, AGE_S).run(WATCHED_S)


def _pair(_: float) -> Sequence[Record]:
    return Record(0), Record(1)


def prefers_first(class_: str) -> int:
    """Number of a client whose own order, if its class has such a thing, begins with the first of two nodes."""
    if CLASSES[class_].srv_order != "hash":
        return 0
    return next(n for n, host in enumerate(first_choices(class_, _pair(0), 50, 0)) if host == 0)


def foreign() -> list[dict[str, Any]]:
    """What was measured on the software itself; empty if it is not there."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else []


def measured_tries(
    seen: Sequence[Mapping[str, Any]], client: str, transport: str, experiment: str
) -> list[tuple[float, bool]]:
    """Instant of every REGISTER of the first run of an experiment, and whether it went to the struck node."""
    for entry in seen:
        if (entry["client"], entry["transport"], entry["experiment"]) == (client, transport, experiment):
            run = entry["runs"][0]
            return [(t_s, host == run["struck"]) for t_s, host, _ in run["registers"] if t_s > 0]
    return []


def _told(tries: Sequence[tuple[float, bool]]) -> str:
    """The first of the tries: seconds, with a + for those that went to the other node."""
    return " ".join(f"{t_s:.0f}{'' if struck else '+'}" for t_s, struck in tries[:8]) or "none"


def _elsewhere(tries: Sequence[tuple[float, bool]]) -> float | None:
    """When the other node was asked first."""
    return next((round(t_s, 1) for t_s, struck in tries if not struck), None)


def choices(seed: int, draws: int) -> list[Row]:
    """Shares of two nodes by weight among many clients of each class, and among the starts of the software itself."""
    seen, rows = foreign(), []
    for name, _ in CLIENTS:
        chosen = first_choices(name, [Record(host, 0, weight) for host, weight in enumerate(WEIGHTS)], draws, seed)
        heavy = chosen.count(0)
        k, n = measured_starts(seen, SOFTWARE.get(name, ""))
        rows.append({
            "class": name, "order": CLASSES[name].srv_order, "clients": draws, "heavy_share": round(heavy / draws, 4),
            "chi_square_p": _chi_square_p(heavy, draws), "measured_k": k if n else None, "measured_n": n or None,
            "measured_share": round(k / n, 3) if n else None, "measured_p": _chi_square_p(k, n) if n else None,
        })  # fmt: skip
    return rows


def measured_starts(seen: Sequence[Mapping[str, Any]], client: str) -> tuple[int, int]:
    """How many starts of the software chose the heavy node, of how many."""
    hosts = [
        host
        for entry in seen
        if entry["client"] == client and entry["experiment"] == "starts"
        for run in entry["runs"]
        for _, host, _ in run["registers"]
    ]
    return hosts.count("hostA"), len(hosts)


def _chi_square_p(heavy: int, n: int) -> float:
    """Could so many have chosen the heavy node if weights were shares?"""
    expected = [n * weight / sum(WEIGHTS) for weight in WEIGHTS]
    return float(f"{stats.chisquare([heavy, n - heavy], expected).pvalue:.3g}")


def dead_records(seed: int, runs: int) -> list[Row]:
    """When a client that starts is registered, by the number of silent nodes that come first in the answer."""
    zone = tuple(Record(host, 10 * host) for host in range(MAX_DEAD + 1))
    kinds = [(name, "udp") for name in CLASSES if name != "outbound"] + [("linphone-5.4", "tcp"), ("baresip", "tcp")]
    return [
        {"class": class_, "transport": transport, "dead": dead, "clients": runs,
         **_quantiles(registered_s(class_, transport, lambda host, _, dead=dead: SILENT if host < dead else Answer(),
                                   lambda _: zone, seed, runs))}
        for class_, transport in kinds
        for dead in range(MAX_DEAD + 1)
    ]  # fmt: skip


def registered_s(
    class_: str, transport: str, node: Callable, zone: Callable, seed: int, clients: int, until_s: float = 600.0
) -> list[float]:
    """When each of some clients that start is registered; infinite if not by `until_s`."""
    found = []
    for number in range(clients):
        steps = ScriptedWorld(class_, transport, node, zone, seed, number).boot().run(until_s)
        found.append(next((step.t_s for step in steps if step.what == REGISTERED), np.inf))
    return found


def dns_outages(seed: int, runs: int) -> list[Row]:
    """When a client of a killed node is back, by how long the name server is silent from that instant on."""
    return [
        {"what": "DNS silent", "length_s": length_s, "class": class_, "transport": "tcp", "clients": runs,
         **_quantiles(back_s(class_, seed, runs, lambda t_s, end=length_s: None if t_s < end else _pair(t_s),
                             lambda host, t_s: REFUSES if host == 0 and t_s >= 0 else Answer(), 3600, close=True))}
        for class_ in ("ideal", "linphone-5.4", "baresip", "pjsua", "twinkle")
        for length_s in DNS_OUTAGES_S
    ]  # fmt: skip


def ttls(seed: int, runs: int) -> list[Row]:
    """When a client of a node that is silent, and gone from the zone, is back, by the TTL of its answer."""
    return [
        {"what": "record removed, TTL", "length_s": ttl_s, "class": class_, "transport": "udp", "clients": runs,
         **_quantiles(back_s(class_, seed, runs, lambda t_s: _pair(t_s) if t_s <= 0 else (Record(1),),
                             lambda host, t_s: SILENT if host == 0 and t_s >= 0 else Answer(), ttl_s))}
        for class_ in ("ideal", "linphone-5.4", "baresip", "pjsua", "twinkle")
        for ttl_s in TTLS_S
    ]  # fmt: skip


def back_s(
    class_: str, seed: int, clients: int, zone: Callable, node: Callable, ttl_s: int, close: bool = False
) -> list[float]:
    """When each of some clients of the first node, whose refreshes are spread over 54 s, is registered elsewhere."""
    transport = "tcp" if close else "udp"
    found = []
    for number in range(clients):
        # The answer that it has was given while all was well.
        world = ScriptedWorld(class_, transport, node, lambda t_s: _pair(t_s), seed, number, ttl_s)
        world.settle(0, 54 * (number + 0.5) / clients)
        world.zone = zone
        if close:
            world.end_idle_connections()
        steps = world.run(600.0)
        found.append(next((step.t_s for step in steps if step.what == REGISTERED and step.host == 1), np.inf))
    return found


def _quantiles(values_s: Sequence[float]) -> Row:
    """Quantiles; None where clients were not back by then."""
    found = np.quantile(values_s, [0.05, 0.5, 0.95], method="inverted_cdf")
    return {
        **{f"p{q}_s": round(float(value), 1) if np.isfinite(value) else None
           for q, value in zip((5, 50, 95), found, strict=True)},
        "never": round(float(np.mean(np.isinf(values_s))), 3),
    }  # fmt: skip


# --- populations -----------------------------------------------------------------------------------------------------


def storm_case(*changes: str) -> Case:
    """The cluster that populations live through."""
    return case("phone/phones_in_a_storm.toml", *changes)


def storms(order: Order, sizes: Sequence[int], one_kind: int = ONE_KIND) -> dict[str, Curves]:
    """Populations of several sizes, of one kind each, and with other answers of the nodes."""
    found = {}
    for reply, changes in REPLIES.items():
        each = storm_case(*changes)
        trace = simulate(each, 1, order.seed, order.voice)[0]

        def live(size: int, mix: Sequence[Client] | None = None, each: Case = each, trace=trace) -> Curves:
            order.voice.say(f"population of {size}")
            return simulate_population(each.scenario, trace, size, order.seed, mix=mix)

        if not changes:
            found |= {f"{MIXED}, {size:,} phones": live(size) for size in sizes}
            found |= {
                f"{class_}-{transport}": live(one_kind, [_kind(class_, transport)]) for class_, transport in KINDS
            }
        found[f"{MIXED}, {reply}"] = live(one_kind)
    return found


def _kind(class_: str, transport: str) -> Client:
    return Client.model_validate({"class": class_, "transport": transport})


def storm_row(name: str, curves: Curves) -> Row:
    """What a population's curves come to."""
    before, after = curves.asked_per_s[: -curves.start_s], curves.asked_per_s[-curves.start_s :]
    share = curves.share_out[-curves.start_s :]
    return {
        "population": name, "size": curves.size,
        "usual_asked_per_s": round(float(before.mean()), 1), "peak_asked_per_s": int(after.max()),
        "peak_at_s": int(after.argmax()), "capacity_per_s": capacity_per_s(2),
        "longest_wait_s": round(float(curves.longest_wait_s.max()), 2), "lost": int(curves.lost_per_s.sum()),
        "peak_out": round(float(share.max()), 4), "half_back_s": _half_back_s(share),
        "out_at_60_s": round(float(share[60]), 4), "out_at_end": round(float(share[-1]), 4),
        "calls_failed_per_million": round(curves.calls_failed_per_million),
    }  # fmt: skip


def capacity_per_s(nodes: int) -> int:
    """REGISTER that so many nodes can serve in a second."""
    return nodes * 1_000_000 // Capacity().service_us


def _half_back_s(share: np.ndarray) -> int | None:
    """Seconds after the fault at which at most half of the peak is still out; None if that never comes."""
    peak = int(share.argmax())
    below = np.flatnonzero(share[peak:] <= share[peak] / 2)
    return peak + int(below[0]) if len(below) else None


# --- pictures --------------------------------------------------------------------------------------------------------


def laws_figure(rows: Table) -> Figure:
    """A panel for each answer, a pair of lines for each class: tries of the model above those of the software."""
    figure = Figure(figsize=(plots.WIDTH_IN, 0.95 * len(ANSWERS) + 1.4), layout="constrained")
    axes = figure.subplots(-(-len(ANSWERS) // 2), 2, sharex=True).flat
    for answer, ax in zip(ANSWERS, axes, strict=False):
        laws_panel(ax, where(rows, answer=answer)).set_title(answer, loc="left", fontsize=10.5)
    for ax in figure.axes[len(ANSWERS) :]:
        ax.set_axis_off()
    figure.supxlabel("s", fontsize=10)
    figure.suptitle(
        "REGISTERs after the node of a client begins to answer this. Red: to that node; green: to the other, which is "
        "well. Upper of each pair: model; lower, open: the software", x=0.01, ha="left", fontsize=12, color=INK,
    )  # fmt: skip
    return figure


def laws_panel(ax: Axes, rows: Table) -> Axes:
    """One answer."""
    for number, row in enumerate(rows):
        ax.axhline(-number, color=PALE, linewidth=0.8, zorder=0)
        for key, shift, fill in (("model_tries_s", 0.17, True), ("measured_tries_s", -0.17, False)):
            for word in (row[key] or "none").split():
                if word != "none":
                    colour, size = (GREEN, 3.5) if word.endswith("+") else (RED, 7)
                    ax.plot(float(word.rstrip("+")), -number + shift, "o", markersize=size, markeredgecolor=colour,
                            markerfacecolor=colour if fill else "white")  # fmt: skip
    ax.set(xlim=(0, WATCHED_S), ylim=(-len(rows) + 0.4, 0.6))
    ax.set_yticks(range(0, -len(rows), -1), [f"{row['class']} {row['transport']}" for row in rows], fontsize=8.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    return ax


def choices_figure(tables: Mapping[str, Table]) -> Figure:
    """Shares by weight; failover by dead records; by an outage of the DNS."""
    figure = Figure(figsize=(plots.WIDTH_IN, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    shares_panel(left, tables["choices"])
    lines_panel(middle, tables["dead_records"], "dead", {"transport": "udp"})
    middle.set(xlabel="silent nodes before the first live one", ylabel="s until registered")
    middle.set_title("A phone starts, UDP: median by dead records", loc="left", fontsize=10.5)
    lines_panel(right, tables["names"], "length_s", {"what": "DNS silent"})
    right.set(xlabel="name server silent for, s", ylabel="s until registered elsewhere")
    right.set_title("Its node is killed, TCP: median by an outage of the DNS", loc="left", fontsize=10.5)
    return figure


def shares_panel(ax: Axes, rows: Table) -> Axes:
    """Share of the heavy node by class."""
    for number, row in enumerate(rows):
        ax.barh(-number, row["heavy_share"], height=0.5, color=SKY)
        ax.text(0.03, -number, f"{row['heavy_share']:.3f}", va="center", fontsize=8.5, color=INK)
        if row["measured_n"]:
            ax.plot(row["measured_share"], -number, "o", color=RED)
            ax.text(1.14, -number, f"{row['measured_k']} of {row['measured_n']}", va="center", ha="right",
                    fontsize=8.5, color=RED)  # fmt: skip
    ax.axvline(WEIGHTS[0] / sum(WEIGHTS), color=INK, linewidth=1)
    ax.set(xlim=(0, 1.15), ylim=(-len(rows) + 0.4, 0.6), xlabel="share of the node with weight 75 of 100")
    ax.set_yticks(range(0, -len(rows), -1), [f"{row['class']} ({row['order']})" for row in rows], fontsize=8.5)
    ax.set_title("SRV weights 75 and 25: blue model, red the software", loc="left", fontsize=10.5)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def lines_panel(ax: Axes, rows: Table, by: str, chosen: Row) -> Axes:
    """Medians by a number, a line for each class, labelled at its end."""
    colours = dict(zip(CLASSES, (INK, GREY, SKY, BLUE, GREEN, ORANGE, RED), strict=True))
    shown = where(rows, **chosen)
    ends: dict[tuple[float, float], list[str]] = {}
    for class_ in dict.fromkeys(row["class"] for row in shown):
        points = [(row[by], row["p50_s"]) for row in where(shown, **{"class": class_}) if row["p50_s"] is not None]
        if points:
            ax.plot(*zip(*points, strict=True), "o-", color=colours[class_], markersize=4, linewidth=1.4)
            near = (end for end in ends if end[0] == points[-1][0] and abs(end[1] - points[-1][1]) < NEAR_S)
            ends.setdefault(next(near, points[-1]), []).append(class_)
    for end, classes in ends.items():
        ax.annotate("\n".join(classes), end, xytext=(6, 0), textcoords="offset points", fontsize=8.5, va="center")
    ax.margins(x=0.2)
    ax.grid(axis="y", color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def storms_figure(curves: Mapping[str, Curves]) -> Figure:
    """Above: who is out of service over time; below: what the nodes are asked; by size, by kind, by answer."""
    figure = Figure(figsize=(plots.WIDTH_IN, 8.4), layout="constrained")
    many = f"{min(each.size for name, each in curves.items() if not name.startswith(MIXED)):,} phones"
    groups = {
        "by size, mixed classes": [name for name in curves if name.endswith("phones")],
        f"one class each, {many}": [name for name in curves if not name.startswith(MIXED)],
        f"by answer, mixed classes, {many}": [f"{MIXED}, {reply}" for reply in REPLIES],
    }
    upper, lower = figure.subplots(2, 3, sharex=True)
    for (words, names), above, below in zip(groups.items(), upper, lower, strict=True):
        out_panel(above, {name: curves[name] for name in names}).set_title(words, loc="left", fontsize=10.5)
        asked_panel(below, {name: curves[name] for name in names})
    upper[0].set_ylabel("share out of service")
    lower[0].set_ylabel("REGISTER per s")
    figure.suptitle("Everything on one of three hosts is killed at 0 s; Redis is back after some 11 s",
                    x=0.01, ha="left", fontsize=12, color=INK)  # fmt: skip
    return figure


_LINES = (BLUE, ORANGE, GREEN, RED, SKY, GREY, INK)


def out_panel(ax: Axes, curves: Mapping[str, Curves]) -> Axes:
    """Share out of service over time."""
    for (name, each), colour in zip(curves.items(), _LINES, strict=False):
        t_s = np.arange(len(each.share_out)) + each.start_s + 1
        ax.plot(t_s, each.share_out, color=colour, linewidth=1.4, label=name.removeprefix(f"{MIXED}, "))
    ax.set(xlim=(-2, 300), ylim=(0, 1.4 * max(each.share_out.max() for each in curves.values())))
    ax.legend(fontsize=8, frameon=False, loc="upper right", ncols=2)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def asked_panel(ax: Axes, curves: Mapping[str, Curves]) -> Axes:
    """What nodes are asked over time, beside what two nodes can serve."""
    for each, colour in zip(curves.values(), _LINES, strict=False):
        t_s = np.arange(len(each.asked_per_s)) + each.start_s + 0.5
        ax.step(t_s, np.maximum(each.asked_per_s, 0.5), color=colour, linewidth=1.0, where="mid")
    ax.axhline(capacity_per_s(2), color=INK, linewidth=0.8, linestyle="--")
    ax.text(298, capacity_per_s(2) * 1.15, "two nodes can serve this", ha="right", fontsize=8)
    ax.set(yscale="log", xlabel="s after the fault")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


# --- words -----------------------------------------------------------------------------------------------------------


def text(tables: Mapping[str, Table]) -> list[str]:
    """The report, block by block; every number is read from a table."""
    return [
        "## Answer\n\n" + "\n".join([
            *_law_words(tables["laws"]), *_choice_words(tables["choices"]), *_dead_words(tables["dead_records"]),
            *_name_words(tables["names"]), *_storm_words(tables["storms"]),
        ]),
        "All numbers are in [tables/](tables/laws.csv); each class and the source of each of its numbers is in "
        "[docs/clients.md](../../docs/clients.md).",
        "## When they try again", _LAWS, "![tries after each answer](laws.png)", markdown(tables["laws"]),
        "## Which node they choose", _CHOICES, "![shares, dead records, DNS](choices.png)",
        markdown(tables["choices"]), "### Dead records", _DEAD, markdown(tables["dead_records"]),
        "### Name server and TTL", _NAMES, markdown(tables["names"]),
        "## Storms", _storms_legend(), "![populations](storms.png)", markdown(tables["storms"]), _LIMITS,
    ]  # fmt: skip


def _storms_legend() -> str:
    nodes = Capacity()
    return _STORMS.format(service_ms=nodes.service_us / 1000, handshake_ms=nodes.handshake_us / 1000)


def _law_words(rows: Table) -> list[str]:
    """Who leaves a node that answers this, and who does not."""
    lines = []
    for answer in ANSWERS:
        rows_ = where(rows, answer=answer)
        leave = [row["class"] for row in rows_ if row["model_elsewhere_s"] is not None]
        stay = [row["class"] for row in rows_ if row["model_elsewhere_s"] is None]
        lines.append(f"- **{answer}**: the node is left within {WATCHED_S:.0f} s by {', '.join(leave) or 'nobody'}; "
                     f"not by {', '.join(stay) or 'anybody'}.")  # fmt: skip
    both = [row for row in rows if row["measured_tries_s"] is not None]
    same = [row for row in both if (row["model_elsewhere_s"] is None) == (row["measured_elsewhere_s"] is None)]
    lines.append(f"- The software itself does as its class in the model in {len(same)} of {len(both)} cases "
                 "(leaves or stays; where a class draws anew, chance decides).")  # fmt: skip
    return lines


def _choice_words(rows: Table) -> list[str]:
    wrong = [f"{row['class']} ({row['heavy_share']:.2f})" for row in rows if row["chi_square_p"] < 0.001]
    right = [f"{row['class']} ({row['heavy_share']:.2f})" for row in rows if row["chi_square_p"] >= 0.001]
    return [f"- **SRV weights** 75 and 25: the heavy node gets its share from {', '.join(right) or 'nobody'}; not from "
            f"{', '.join(wrong) or 'nobody'}."]  # fmt: skip


def _dead_words(rows: Table) -> list[str]:
    one, more = (the(rows, **{"class": "ideal", "transport": "udp", "dead": dead}) for dead in (1, MAX_DEAD))
    return [f"- **Dead records** ahead of a live one cost a phone that starts (ideal, UDP) {one['p50_s']:.0f} s for "
            f"one and {more['p50_s']:.0f} s for {MAX_DEAD}."]  # fmt: skip


def _name_words(rows: Table) -> list[str]:
    longest = where(rows, what="DNS silent", length_s=DNS_OUTAGES_S[-1])
    told = [
        f"{row['class']} {'never' if row['p50_s'] is None else format(row['p50_s'], '.0f') + ' s'}" for row in longest
    ]
    return [f"- **DNS silent** for {DNS_OUTAGES_S[-1]} s while a node is killed (TCP): back after {', '.join(told)} "
            "(medians)."]  # fmt: skip


def _storm_words(rows: Table) -> list[str]:
    sizes = [row for row in rows if row["population"].endswith("phones")]
    kinds = [row for row in rows if not row["population"].startswith(MIXED)]
    sharpest, flattest = (choose(kinds, key=lambda row: row["peak_asked_per_s"]) for choose in (max, min))
    lines = [
        f"- **{row['size']:,} phones**: {row['peak_asked_per_s']:,} REGISTER per s at most "
        f"({row['usual_asked_per_s']:g} as a rule, {row['capacity_per_s']:,} can be served), {row['peak_out']:.0%} "
        f"out, {row['out_at_60_s']:.0%} after a minute; {row['calls_failed_per_million']:,} of a million calls fail."
        for row in sizes
    ]
    lines.append(f"- The sharpest storm is that of {sharpest['population']} ({sharpest['peak_asked_per_s']:,} per s), "
                 f"the flattest of {flattest['population']} ({flattest['peak_asked_per_s']:,} per s).")  # fmt: skip
    stuck = [
        f"{row['population']} ({row['longest_wait_s']:.0f} s)" for row in rows if row["longest_wait_s"] > TIMER_F_S
    ]
    if stuck:
        lines.append("- **Storms that keep themselves going**: requests wait for a node longer than Timer F, so that "
                     f"clients give up and ask again, and nodes work for nobody: {', '.join(stuck)}.")  # fmt: skip
    replies = {reply: the(rows, population=f"{MIXED}, {reply}") for reply in REPLIES}
    told = [f"{row['calls_failed_per_million']:,} with {reply}" for reply, row in replies.items()]
    return [*lines, f"- What nodes without Redis answer decides more than the delay: of a million calls to the mixed "
                    f"population there fail {'; '.join(told)}."]  # fmt: skip


_LAWS = """A client asked for an hour, was granted 60 s, and registered 5 s before its node began to answer this; a
second node of equal weight is well. The lists name the REGISTERs that follow, in s; + marks those to the other node."""

_CHOICES = """Share of the node with weight 75 of 100 among many clients, each with its own chance and its own name;
p by a chi-square test against the weights. *measured*: starts of the software itself; baresip always takes the same
node because its order follows from its name."""

_DEAD = """A phone starts; so many nodes with smaller priority numbers are silent. Some classes drop records of a
priority that stands alone only if another priority has several; here each priority has one."""

_NAMES = """*DNS silent*: the node is killed at 0 s, and its connections are reset; the name server answers again
after this long. *Record removed*: the node is silent from 0 s on and leaves the zone at once, and answers may be
kept this long."""

_STORMS = """A third of all phones is on the host that is killed. *asked*: REGISTERs that reach nodes, *lost*: those
that found a full queue, *wait*: for a node's processor, *half back*: at most half of the peak is out. A node serves
a REGISTER in {service_ms:g} ms and a TLS handshake in {handshake_ms:g} ms. What spreads a storm is chance in the
client: the random half of RFC 5626's pauses, pjsua's 0 to 10 s; a fixed Retry-After sends all that were refused
together back together."""

_LIMITS = """## Limits

Scripted nodes answer at once. The software itself was measured once or a few times in each case; its own chance
shows in pauses that are drawn. Populations see one simulated run of the cluster."""
