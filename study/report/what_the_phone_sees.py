"""A host or a process is lost: for how long can a phone not be called, and what would make it shorter?

Writes ``reports/what_the_phone_sees/``:

=====================  =============================================================================
``report.md``          question, answer, tables, pictures, limits
``tables/*.csv``       outages, parts, answers, refusals, policies: every number of the text
``runs/``              real runs (`study.stored`)
``outages.png``        the outage of each phone, cut into its parts, simulated beside measured
``answers.png``        what each answer of a node that cannot store costs each phone
``policies.png``       how long a node is out by policy, and by a single change to it
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

The phone's outage is from the first call that fails through every node to the next good one. The parts of it, and how
two samples are compared, are those of `model.reachability` and `study.compare`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from model.measures import Facts, RunMeasures, measure
from model.reachability import CLIENT_PARTS
from model.trace import Trace
from study import plots
from study.compare import Row as Comparison
from study.compare import Sample, compare_row, sample
from study.exits import ExitCode, worst
from study.plots import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED, SKY
from study.report import pages
from study.report.measured import Case, case, real_runs, simulate, usable
from study.report.pages import Order, Row, Table, markdown, seconds, the, where

TITLE = "A host or a process is lost: for how long can a phone not be called?"

RUNS = 400
"""Simulated runs of each case. Kind: assumed (medians are good to 1 s where refreshes are spread over 54 s)."""

POLICY_RUNS = 100
"""Simulated runs of each policy. Kind: assumed (a node's outage spreads by a second or two)."""

FAULTS = {
    "phones_host_vanishes": "host silent",
    "phones_host_killed": "host killed",
    "phones_node_killed": "node killed",
    "phones_node_freezes": "node hangs",
    "phones_redis_killed": "Redis killed, delay 30 s",
}
"""Scenarios whose outages are measured, and what happens in them."""

ANSWERS = {
    "500": (),
    "500, Retry-After 5": ("registrar.retry_after_s=5",),
    "503": ("registrar.unavailable_status=503",),
    "503, Retry-After 5": ("registrar.unavailable_status=503", "registrar.retry_after_s=5"),
}
"""What a node can answer that cannot store a registration."""

NOTHING = "nothing"
"""The answer of a node that hangs."""

CHANGES = {
    "as it is": (),
    "redis_timeout 1.5 s": ("registrar.redis_timeout_ms=1500",),
    "tcp_user_timeout 5 s": ("registrar.tcp_user_timeout_ms=5000",),
    "keepalive 5 s": ("registrar.tcp_keepalive_s=5",),
    "follows Sentinel": ("registrar.follow_sentinel=true",),
    "INFO every 5 s": ("registrar.info_period_ms=5000", "registrar.wait_poll_ms=5000"),
    "503, Retry-After 5": ("registrar.unavailable_status=503", "registrar.retry_after_s=5"),
    "no pong": ("registrar.pong_while_unavailable=false",),
}
"""Single changes to the newest policy."""

POLICIES = ("guide", "flexisip-2.0", "flexisip-2.3", "flexisip-2.4", "flexisip-2.5", "flexisip-2.6")
NEWEST = POLICIES[-1]
"""The policy that single changes are made to."""

LOSSES = {
    "host silent": (),
    "Redis killed": ("fault.0.kind=crash", "fault.0.process=redis"),
}
"""What happens to the primary of nodes with a policy."""

NODE = "register@host2"
"""The node whose policy is judged: one that lives on."""

MARGIN_AFTER_NOTICE_MS = 2_000
"""Margin of what follows once the phone has noticed: two call periods. Kind: assumed."""

OUT_IN_BOTH = "out in both"
"""Verdict of an outage that no run of either arm saw the end of."""

COLOURS = {"unaware": PALE, "give_up": ORANGE, "elsewhere": SKY, "refused": RED, "done": GREEN}

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Runs:
    """Both arms of a case, measured."""

    case: Case
    sim: Sequence[RunMeasures]
    real: Sequence[RunMeasures]
    sim_back: Mapping[str, Sample]
    real_back: Mapping[str, Sample]

    @property
    def clients(self) -> tuple[str, ...]:
        """Names of the phones."""
        return Facts.of(self.case.scenario).clients


def make(order: Order) -> ExitCode:
    """Find the numbers, write tables, pictures and text."""
    runs, cases = order.runs or RUNS, [*fault_cases(order.real), *answer_cases(order.real)]
    real = real_runs(cases, order)
    found = {each.name: runs_of(each, order, runs, usable(real, each)) for each in cases}
    refused = {each.name: runs_of(each, order, runs, ()) for each in refusal_cases()}
    judged = {each.name: runs_of(each, order, min(runs, POLICY_RUNS), ()) for each in policy_cases()}
    tables = {
        "outages": outages(found, order.seed),
        "parts": parts(found),
        "answers": answers(found),
        "refusals": refusals(refused | {f"refused {next(iter(ANSWERS))}": found["phones_redis_killed"]}),
        "policies": policies(judged),
    }
    order.folder.mkdir(parents=True, exist_ok=True)
    pages.write_tables(order.folder, tables)
    pages.save(outages_figure(tables["parts"], tables["outages"]), order.folder / "outages.png")
    pages.save(answers_figure(tables["answers"]), order.folder / "answers.png")
    pages.save(policies_figure(tables["policies"]), order.folder / "policies.png")
    scenarios = [each.case.scenario for each in (*found.values(), *refused.values(), *judged.values())]
    pages.finish(order, TITLE, text(tables), runs, scenarios, real)
    return worst([ExitCode.FINDING for row in tables["outages"] if row["verdict"] == "disagrees"])


# --- cases -----------------------------------------------------------------------------------------------------------


def fault_cases(real: int) -> list[Case]:
    """One scenario a fault, all classes in each."""
    return [case(f"phone/{name}.toml", real_runs=real) for name in FAULTS]


def answer_cases(real: int) -> list[Case]:
    """A node that is cut off and answers this or that."""
    return [
        case("phone/phones_node_cut_off.toml", *changes, name=f"cut off {answer}", real_runs=real)
        for answer, changes in ANSWERS.items()
    ]


def refusal_cases() -> list[Case]:
    """All nodes without a primary, with the answers that the faults leave out."""
    return [
        case("phone/phones_redis_killed.toml", *changes, name=f"refused {answer}")
        for answer, changes in ANSWERS.items()
        if changes
    ]


def policy_cases() -> list[Case]:
    """Every policy, and every single change to the newest one, for each loss."""
    plans = [(policy, "as it is", ()) for policy in POLICIES]
    plans += [(NEWEST, change, keys) for change, keys in CHANGES.items() if keys]
    return [
        case("phone/phones_on_another_node.toml", f"registrar.policy={policy}", *keys, *loss,
             name=f"{words}/{policy}/{change}")
        for words, loss in LOSSES.items()
        for policy, change, keys in plans
    ]  # fmt: skip


def runs_of(case: Case, order: Order, runs: int, real: Sequence[Trace]) -> Runs:
    """Simulate a case and measure both arms; traces are not kept."""
    facts = Facts.of(case.scenario)
    simulated = simulate(case, runs, order.seed, order.voice)
    arms = [simulated, real]
    sim_back, real_back = ({name: back(name, traces) for name in facts.clients} for traces in arms)
    sim, measured = ([measure(trace, facts) for trace in traces] for traces in arms)
    return Runs(case, sim, measured, sim_back, real_back)


def back(client: str, traces: Iterable[Trace]) -> Sample:
    """When a client was first registered through a host that no fault struck; bounds where it was not."""
    values, is_censored = [], []
    for trace in traces:
        struck = {event.host for event in trace.events if event.actor == "fault"}
        found = [
            event.t_us
            for event in trace.events
            if event.actor == "ua" and event.host == client and event.event == "registered" and event.t_us > 0
            and event.about not in struck
        ]  # fmt: skip
        values.append(min(found, default=trace.horizon_us) / 1000)
        is_censored.append(not found)
    return Sample(np.array(values, float), np.array(is_censored, bool))


# --- numbers ---------------------------------------------------------------------------------------------------------


def outages(found: Mapping[str, Runs], seed: int) -> list[Row]:
    """Outage of each phone in each fault: both arms, shift and verdict; then what follows once it has noticed."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, words in FAULTS.items():
        runs = found[name]
        margin_ms = runs.case.scenario.margin_of("client:")
        for client in runs.clients:
            quantity = f"client:{client}"
            row = compare_row(quantity, sample(quantity, runs.real), sample(quantity, runs.sim), margin_ms, rng)
            later = compare_row(
                client, after_notice(client, runs.real), after_notice(client, runs.sim), MARGIN_AFTER_NOTICE_MS, rng
            )
            rows.append({
                "fault": words, "client": client,
                **_arm("sim", row.sim), **_arm("real", row.real),
                "shift_s": seconds(row.shift_ms), "low_s": seconds(row.shift_low_ms),
                "high_s": seconds(row.shift_high_ms), "margin_s": margin_ms / 1000, "verdict": _verdict(row),
                "noticed_sim_p50_s": seconds(later.sim.get("p50_ms")),
                "noticed_real_p50_s": seconds(later.real.get("p50_ms")),
                "noticed_shift_s": seconds(later.shift_ms), "noticed_low_s": seconds(later.shift_low_ms),
                "noticed_high_s": seconds(later.shift_high_ms), "noticed_verdict": _verdict(later),
            })  # fmt: skip
    return rows


def _verdict(row: Comparison) -> str:
    """The comparison's, and a word for what never ended in any run of either arm."""
    ended = [arm["n"] - arm["censored"] for arm in (row.real, row.sim)]
    return OUT_IN_BOTH if row.real["n"] and row.sim["n"] and not any(ended) else str(row.verdict)


def _arm(arm: str, described: Mapping[str, float]) -> Row:
    """Quantiles of one arm, and how many of its values are bounds."""
    quantiles = {f"{arm}_{name}_s": seconds(described.get(f"{name}_ms")) for name in ("p5", "p50", "p95")}
    return {f"{arm}_n": described["n"], f"{arm}_cut_off": described["censored"], **quantiles}


def after_notice(client: str, runs: Sequence[RunMeasures]) -> Sample:
    """Longest outage of a client without its part *unaware*, where it had one."""
    name, values, is_censored = f"client:{client}", [], []
    for run in runs:
        cut = run.clients[client].parts if client in run.clients else {}
        if cut:
            values.append((sum(cut.values()) - cut["unaware"]) / 1000)
            is_censored.append(run.outage_is_censored(name))
    return Sample(np.array(values, float), np.array(is_censored, bool))


def parts(found: Mapping[str, Runs]) -> list[Row]:
    """Mean of each part of each phone's longest outage; runs without an outage count as 0, so parts add up."""
    return [
        {"fault": words, "client": client, "part": part,
         "sim_mean_s": _mean_s(found[name].sim, client, part), "real_mean_s": _mean_s(found[name].real, client, part)}
        for name, words in FAULTS.items()
        for client in found[name].clients
        for part in CLIENT_PARTS
    ]  # fmt: skip


def _mean_s(runs: Sequence[RunMeasures], client: str, part: str) -> float | None:
    values = [run.clients[client].parts.get(part, 0) for run in runs if client in run.clients]
    return round(float(np.mean(values)) / _US_PER_S, 3) if values else None


def answers(found: Mapping[str, Runs]) -> list[Row]:
    """When phones are registered through another node, by what theirs answers while it is cut off."""
    told = {**{answer: found[f"cut off {answer}"] for answer in ANSWERS}, NOTHING: found["phones_node_freezes"]}
    return [
        {"answer": answer, "client": client,
         **_back("sim", runs.sim_back[client]), "sim_calls_failed": _failed(runs.sim, client),
         **_back("real", runs.real_back[client]), "real_calls_failed": _failed(runs.real, client)}
        for answer, runs in told.items()
        for client in runs.clients
    ]  # fmt: skip


def _back(arm: str, values: Sample) -> Row:
    """When a phone was back: quantiles, and the share that was not by the end."""
    n = len(values)
    quantiles = {
        f"{arm}_p{q}_s": _told(values.quantile(q / 100)) if n and values.censored < n else None for q in (5, 50, 95)
    }
    return {f"{arm}_n": n, f"{arm}_never": round(values.censored / n, 3) if n else None, **quantiles}


def _told(value_ms: float) -> float | None:
    return None if np.isnan(value_ms) else round(value_ms / 1000, 1)


def _failed(runs: Sequence[RunMeasures], client: str) -> float | None:
    """Share of the calls that failed."""
    seen = [run.clients[client] for run in runs if client in run.clients]
    calls = sum(each.calls for each in seen)
    return round(sum(each.failed for each in seen) / calls, 3) if calls else None


def refusals(refused: Mapping[str, Runs]) -> list[Row]:
    """Outages of phones that ask for a refresh while no node can store, by what the nodes answer."""
    return [
        {"answer": answer, "client": client, **_hit(refused[f"refused {answer}"], client)}
        for answer in ANSWERS
        for client in refused[f"refused {answer}"].clients
    ]


def _hit(runs: Runs, client: str) -> Row:
    """Share of the phones that could not be called for a while, and for how long those could not."""
    values = sample(f"client:{client}", runs.sim)
    out = values.values_ms > 0
    hit = Sample(values.values_ms[out], values.is_censored[out])
    return {
        "sim_n": len(values),
        "sim_out": round(float(out.mean()), 3),
        "sim_never": round(hit.censored / len(values), 3),
        "sim_p50_s": _told(hit.quantile(0.5)) if len(hit) else None,
        "sim_p95_s": _told(hit.quantile(0.95)) if len(hit) else None,
        "sim_calls_failed": _failed(runs.sim, client),
    }


def policies(judged: Mapping[str, Runs]) -> list[Row]:
    """How long a node that lives on stores nothing, and how long its phones cannot be called, by policy and change."""
    rows: list[Row] = []
    for name, runs in judged.items():
        words, policy, change = name.split("/")
        node = sample(NODE, runs.sim)
        phones = {client: sample(f"client:{client}", runs.sim) for client in runs.clients}
        rows.append({
            "loss": words, "policy": policy, "change": change, "sim_n": len(node), "cut_off": node.censored,
            **{f"node_p{q}_s": _told(node.quantile(q / 100)) for q in (5, 50, 95)},
            **{f"{client}_mean_s": round(float(values.values_ms.mean()) / 1000, 1)
               for client, values in phones.items()},
        })  # fmt: skip
    for row in rows:
        own = the(rows, loss=row["loss"], policy=row["policy"], change="as it is")["node_p50_s"]
        mine = row["node_p50_s"]
        row["bought_s"] = None if own is None or mine is None else round(own - mine, 1)
    return rows


# --- pictures --------------------------------------------------------------------------------------------------------


def outages_figure(cut: Table, whole: Table) -> Figure:
    """A panel for each fault, a row for each phone: mean outage cut into parts, simulated above measured."""
    clients = list(dict.fromkeys(row["client"] for row in cut))
    faults = [words for words in FAULTS.values() if where(cut, fault=words)]
    figure = Figure(figsize=(plots.WIDTH_IN, 0.5 * len(clients) + 1.6), layout="constrained")
    axes = figure.subplots(1, len(faults), sharey=True, squeeze=False)[0]
    for fault, ax in zip(faults, axes, strict=True):
        outages_panel(ax, fault, clients, where(cut, fault=fault), where(whole, fault=fault))
    axes[0].set_yticks(range(0, -len(clients), -1), clients, fontsize=9)
    figure.legend(handles=[Patch(color=colour, label=part) for part, colour in COLOURS.items()], ncols=5,
                  loc="outside lower left", frameon=False, fontsize=9)  # fmt: skip
    figure.suptitle("How long a phone cannot be called: mean, cut into its parts. Upper bar of each pair: simulated; "
                    "lower, framed: measured. Numbers: medians, blue simulated, red measured",
                    x=0.01, ha="left", fontsize=12, color=INK)  # fmt: skip
    return figure


def outages_panel(ax: Axes, fault: str, clients: Sequence[str], cut: Table, whole: Table) -> Axes:
    """One fault."""
    for number, client in enumerate(clients):
        if not where(cut, client=client):
            ax.text(1, -number, "not in this scenario", fontsize=7.5, color=GREY, va="center")
            continue
        ends = [
            _stack(ax, -number + shift, where(cut, client=client), arm) for arm, shift in (("sim", 0.2), ("real", -0.2))
        ]
        row = the(whole, client=client)
        for arm, shift, colour, end in (("sim", 0.2, BLUE, ends[0]), ("real", -0.2, RED, ends[1])):
            if row[f"{arm}_p50_s"] is not None:
                many = ">" if row[f"{arm}_cut_off"] * 2 > row[f"{arm}_n"] else ""
                ax.text(end + 1, -number + shift, f"{many}{row[f'{arm}_p50_s']:.0f}", color=colour, fontsize=7.5,
                        va="center")  # fmt: skip
    ax.set(xlim=(0, 165), ylim=(-len(clients) + 0.4, 0.6), xlabel="s")
    ax.set_title(fault, loc="left", fontsize=10.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    return ax


def _stack(ax: Axes, y: float, cut: Table, arm: str) -> float:
    """One bar; returns where it ends."""
    left = 0.0
    for row in cut:
        width = row[f"{arm}_mean_s"] or 0.0
        ax.barh(y, width, left=left, height=0.34, color=COLOURS[row["part"]],
                edgecolor=INK if arm == "real" else "white", linewidth=0.5)  # fmt: skip
        left += width
    return left


def answers_figure(rows: Table) -> Figure:
    """A panel for each answer: which share of the phones of each class is registered elsewhere, and when."""
    told = list(dict.fromkeys(row["answer"] for row in rows))
    clients = list(dict.fromkeys(row["client"] for row in rows))
    figure = Figure(figsize=(plots.WIDTH_IN, 0.36 * len(clients) + 1.5), layout="constrained")
    axes = figure.subplots(1, len(told), sharey=True, squeeze=False)[0]
    for answer, ax in zip(told, axes, strict=True):
        for number, client in enumerate(clients):
            _draw_back(ax, -number, the(rows, answer=answer, client=client))
        ax.set(xlim=(0, 125), ylim=(-len(clients) + 0.4, 0.6), xlabel="s after the fault")
        ax.set_title(answer, loc="left", fontsize=10.5)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "left", "right"]].set_visible(False)
    axes[0].set_yticks(range(0, -len(clients), -1), clients, fontsize=9)
    figure.suptitle("A node cannot store: when its phones are registered through another one, by what it answers. "
                    "Bar: simulated p5 to p95; dot: measured median; words: share that never is",
                    x=0.01, ha="left", fontsize=12, color=INK)  # fmt: skip
    return figure


def _draw_back(ax: Axes, y: float, row: Row) -> None:
    low, high = row["sim_p5_s"], row["sim_p95_s"] or (125 if row["sim_p5_s"] is not None else None)
    if low is not None:
        ax.barh(y, high - low, left=low, height=0.5, color=SKY, alpha=0.7)
    if row["sim_p50_s"] is not None:
        ax.plot([row["sim_p50_s"]] * 2, [y - 0.32, y + 0.32], color=BLUE, linewidth=2.2)
    if row["real_p50_s"] is not None:
        ax.plot(row["real_p50_s"], y, "o", color=RED, markersize=5)
    if row["sim_never"]:
        measured = "" if row["real_never"] is None else f" ({row['real_never']:.0%} measured)"
        ax.text(124, y, f"never: {row['sim_never']:.0%}{measured}", ha="right", va="center", fontsize=7.5, color=RED,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8})  # fmt: skip


def policies_figure(rows: Table) -> Figure:
    """A panel for each loss, a row for each policy and change: the node's outage, and its phones'."""
    figure = Figure(figsize=(plots.WIDTH_IN, 0.4 * len(rows) / 2 + 1.6), layout="constrained")
    axes = figure.subplots(1, len(LOSSES), sharey=True)
    for loss, ax in zip(LOSSES, axes, strict=True):
        policies_panel(ax, where(rows, loss=loss)).set_title(f"{loss}, delay 10 s", loc="left", fontsize=10.5)
    figure.suptitle(
        "How long a node that lives on stores nothing (bar: p5 to p95, number: median), and for how long phones on it "
        "cannot be called (rings: means)", x=0.01, ha="left", fontsize=12, color=INK,
    )  # fmt: skip
    return figure


def policies_panel(ax: Axes, rows: Table) -> Axes:
    """One loss, on a logarithmic axis."""
    phones = [name for name in rows[0] if name.endswith("_mean_s")]
    for number, row in enumerate(rows):
        low, high = row["node_p5_s"] or 0.1, row["node_p95_s"] or row["node_p5_s"] or 0.1
        ax.barh(-number, max(high - low, 0.02 * low), left=low, height=0.55,
                color=ORANGE if row["change"] == "as it is" else SKY)  # fmt: skip
        ax.plot([row[name] for name in phones if row[name] > 0], [-number] * sum(row[name] > 0 for name in phones),
                "o", markersize=5, markerfacecolor="none", markeredgecolor=BLUE)  # fmt: skip
        if row["node_p50_s"] is not None:
            ax.text(1.01, -number, f"{row['node_p50_s']:.0f} s", transform=ax.get_yaxis_transform(), va="center",
                    fontsize=8.5, color=INK)  # fmt: skip
    labels = [row["policy"] if row["change"] == "as it is" else f"{row['policy']}, {row['change']}" for row in rows]
    ax.set(xscale="log", xlim=(1, 1500), ylim=(-len(rows) + 0.4, 0.6), xlabel="s")
    ax.set_yticks(range(0, -len(rows), -1), labels, fontsize=9)
    ax.set_xticks([1, 10, 60, 900], ["1", "10", "60", "900"])
    ax.grid(axis="x", color=PALE)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    return ax


# --- words -----------------------------------------------------------------------------------------------------------


def text(tables: Mapping[str, Table]) -> list[str]:
    """The report, block by block; every number is read from a table."""
    whole, told, judged = tables["outages"], tables["answers"], tables["policies"]
    return [
        "## Answer\n\n" + "\n".join([*_outage_words(whole), *_answer_words(told), *_policy_words(judged)]),
        "All numbers are in [tables/](tables/outages.csv); how a phone behaves is in "
        "[docs/clients.md](../../docs/clients.md), what a node does in [docs/node.md](../../docs/node.md).",
        "## For how long each phone cannot be called",
        _OUTAGES,
        "![outages cut into parts](outages.png)",
        *[f"### {fault}\n\n{markdown(where(whole, fault=fault), OUTAGE_COLUMNS)}" for fault in FAULTS.values()],
        "## What each answer costs",
        _ANSWERS,
        "![when phones are back, by answer](answers.png)",
        markdown(told, _ANSWER_COLUMNS),
        _REFUSALS,
        markdown(tables["refusals"], _REFUSAL_COLUMNS),
        "## What each policy and each single change buys",
        _POLICIES,
        "![outage of a node by policy](policies.png)",
        markdown(judged),
        _LIMITS,
    ]


def _outage_words(whole: Table) -> list[str]:
    """One line for each fault: the best and the worst phone."""
    lines = []
    for fault in FAULTS.values():
        rows = where(whole, fault=fault)
        ended = [row for row in rows if row["sim_p50_s"] is not None]
        lasting = [row["client"] for row in rows if row["sim_p50_s"] is None]
        best, last = (choose(ended, key=lambda row: row["sim_p50_s"]) for choose in (min, max))
        words = f"; {', '.join(lasting)}: most are out to the end" if lasting else ""
        lines.append(f"- **{fault}**: from {_median(best)} to {_median(last)}{words}. {_agreement(rows)}")
    return lines


def _agreement(rows: Table) -> str:
    """How many phones' real runs are as simulated, as a whole and from the notice on."""
    measured = [row for row in rows if row["real_n"]]
    if not measured:
        return "Not measured."
    good = ("agrees", OUT_IN_BOTH)
    whole, later = (
        [sum(row[name] in good for row in measured), sum(row[name] == "disagrees" for row in measured)]
        for name in ("verdict", "noticed_verdict")
    )
    return (
        f"Real runs ({min(row['real_n'] for row in measured)} or more): {whole[0]} of {len(measured)} phones agree, "
        f"{whole[1]} disagree, the others are undecided; from the notice on {later[0]} agree, {later[1]} disagree."
    )


def _median(row: Row) -> str:
    measured = "" if row["real_p50_s"] is None else f", measured {row['real_p50_s']:.1f} s"
    return f"{row['sim_p50_s']:.1f} s ({row['client']}{measured})"


def _answer_words(told: Table) -> list[str]:
    lines = []
    for answer in dict.fromkeys(row["answer"] for row in told):
        rows = where(told, answer=answer)
        stuck = [row["client"] for row in rows if row["sim_never"] > 0.5]
        words = f"{len(stuck)} of {len(rows)} phones are not back at the end" if stuck else "all phones are back"
        lines.append(f"- A node that is cut off and answers **{answer}**: {words}"
                     + (f" ({', '.join(stuck)})." if 0 < len(stuck) < len(rows) else "."))  # fmt: skip
    return lines


def _policy_words(judged: Table) -> list[str]:
    lines = []
    for loss in LOSSES:
        own = the(judged, loss=loss, policy=NEWEST, change="as it is")
        changes = [row for row in where(judged, loss=loss, policy=NEWEST) if row["bought_s"]]
        best = max(changes, key=lambda row: row["bought_s"], default=None)
        if own["node_p50_s"] is not None and best:
            lines.append(f"- **{loss}**: a node with {NEWEST} stores nothing for {own['node_p50_s']:.0f} s; *"
                         f"{best['change']}* buys {best['bought_s']:.0f} s of that.")  # fmt: skip
    return lines


OUTAGE_COLUMNS = {
    "client": "phone", "sim_p5_s": "sim p5, s", "sim_p50_s": "sim p50", "sim_p95_s": "sim p95", "real_n": "real runs",
    "real_p5_s": "real p5", "real_p50_s": "real p50", "real_p95_s": "real p95", "shift_s": "real - sim",
    "low_s": "90 % from", "high_s": "to", "verdict": "verdict", "noticed_sim_p50_s": "after notice: sim",
    "noticed_real_p50_s": "real", "noticed_low_s": "90 % from", "noticed_high_s": "to",
    "noticed_verdict": "verdict",
}  # fmt: skip

_ANSWER_COLUMNS = {
    "answer": "answer", "client": "phone", "sim_p50_s": "back: sim p50, s", "sim_p95_s": "p95",
    "sim_never": "never", "sim_calls_failed": "calls failed", "real_n": "real runs", "real_p50_s": "real p50, s",
    "real_never": "never", "real_calls_failed": "calls failed",
}  # fmt: skip

_REFUSAL_COLUMNS = {
    "answer": "answer", "client": "phone", "sim_out": "share out", "sim_never": "still at the end",
    "sim_p50_s": "p50, s", "sim_p95_s": "p95", "sim_calls_failed": "calls failed",
}  # fmt: skip

_OUTAGES = """All phones ask for 60 s and are registered through the node that is struck; the zone prefers it and has
the others at lower priorities. *unaware*: nobody can call the phone, and it takes itself for registered; *give_up*:
its attempt waits for an answer; *elsewhere*: pauses, connects and look-ups after a silence; *refused*: the same after
an answer of a node; *done*: it is registered, and the nodes do not show it yet. What comes before the phone notices
depends on when its refresh is due, and spreads over 54 s; what follows does not, so it is compared by itself, within
2 s. Values of runs that end inside an outage are bounds."""

_ANSWERS = """A node is cut off from the other hosts, not from its phones; it waits on its own replica and cannot
store. *Nothing* is a node that is stopped. Shown is when each phone is first registered through another node. Calls
to it through the other nodes fail from the fault on; through its own node they still arrive until its binding ends."""

_REFUSALS = """When *every* node is without a primary (Redis killed, delay 30 s), no answer can move a phone to a
better one; then it counts how soon it tries again. Simulated, except for the bare 500, whose measured outages stand
above."""

_POLICIES = """Nodes of host2 and host3 after the loss of the primary on host1, delay 10 s. Phones are registered
through host2. *bought*: how much shorter the node's outage is than with the same policy as it is. Simulated; what
single policies do was measured on Flexisip's own code elsewhere ([docs/node.md](../../docs/node.md))."""

_LIMITS = """## Limits

One zone (host1 preferred): with equal weights, clients that draw anew for each request (pjsua, baresip, twinkle)
leave a dead node by chance. Lifetimes of 60 s keep real runs short; *unaware* grows with the lifetime, by up to 0.9
of it. Real phones are the kit's client machine with each software's behaviour; how that was measured on the software
itself is in [docs/clients.md](../../docs/clients.md). Few real runs: medians are known to several s where refreshes
are spread."""
