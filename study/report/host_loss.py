"""The primary is lost: how long is nobody registered, and what decides it?

Predicts and measures every scenario of ``scenarios/host_loss/`` and writes ``reports/host_loss/``:

=====================  =============================================================================
``report.md``          question, answer, tables, pictures, method, limits
``tables/*.csv``       the numbers; every number in the text is read from there
``<scenario>/``        real traces (stored runs of later comparisons), summaries, comparison, time line
``timeline.png``       the time line of the first scenario
``ecdf.png``           distribution functions of both arms
``manifest.json``      command, seed, versions, machine
=====================  =============================================================================

With ``--stored``, real runs of scenarios that have none yet are still measured.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from model.bounds import ranges_of
from model.measures import PARTS
from model.scenario import Scenario, load
from study import catalog, folders, plots, tables
from study.exits import ExitCode, worst
from study.outcome import Outcome, compare_one
from study.report.pages import Order

TITLE = "The primary is lost: how long is nobody registered, and what decides it?"

RUNS = 1000
"""Simulated runs of each scenario. Kind: assumed."""

SHOWN = ("sdown_quorum", "first_write", "switch_last")
"""Quantities whose distribution functions are drawn, besides the outage of the last node."""


def make(order: Order) -> ExitCode:
    """Run all scenarios of the folder and write the report."""
    scenarios = [load(path) for path in catalog.find(str(catalog.folder() / order.name))]
    folder = order.folder
    outcomes = []
    for scenario in scenarios:
        kept = folder / scenario.name / "real.ndjson"
        outcome = compare_one(scenario, _arguments(order, order.stored and kept.is_file()), order.voice)
        if outcome.interrupted:
            raise KeyboardInterrupt
        if outcome.lacks:
            raise outcome.lacks
        _write_scenario(folder / scenario.name, outcome)
        outcomes.append(outcome)
    (folder / "tables").mkdir(exist_ok=True)
    shutil.copy(folder / outcomes[0].scenario.name / "timeline.png", folder / "timeline.png")
    rows = write_tables(folder / "tables", outcomes)
    draw_ecdfs(folder / "ecdf.png", outcomes)
    manifests = [folders.manifest(each.scenario, order.seed, order.command, each.real.traces) for each in outcomes]
    folders.dump(folder / "manifest.json", {"command": " ".join(order.command), "scenarios": manifests})
    text = report_text(outcomes, rows, " ".join(order.command), manifests[0])
    (folder / "report.md").write_text(text, encoding="utf-8")
    return worst([outcome.code for outcome in outcomes])


def _arguments(order: Order, stored: bool) -> argparse.Namespace:
    return argparse.Namespace(
        runs=order.runs or RUNS, real=order.real, seed=order.seed, server=order.server, stored=stored,
        engine="batch", jobs=None, conditional=False,
    )  # fmt: skip


def _write_scenario(folder: Path, outcome: Outcome) -> None:
    """Real traces and results of one scenario. Simulated traces are left out: the seed brings them back."""
    folder.mkdir(parents=True, exist_ok=True)
    folders.write_inputs(folder, outcome.scenario, [], outcome.real.traces)
    for name, data in (
        ("sim", outcome.sim.summary),
        ("real", outcome.real.summary),
        ("comparison", outcome.comparison),
    ):
        folders.dump(folder / f"{name}.json", data)
    plots.save_timeline(folder, outcome.scenario, outcome.sim, outcome.real)


def write_tables(folder: Path, outcomes: Sequence[Outcome]) -> dict[str, dict[str, dict[str, Any]]]:
    """Write ``quantities.csv``, ``parts.csv`` and ``verdicts.csv``; returns the quantities by scenario and name."""
    quantities = [_quantity(each.scenario, row) for each in outcomes for row in each.comparison["rows"]]
    parts = [
        {"scenario": each.scenario.name, "part": part, "real_p50_s": _s(each.real.summary["parts"][part].get("p50_ms")),
         "sim_p50_s": _s(each.sim.summary["parts"][part].get("p50_ms"))}
        for each in outcomes for part in PARTS
    ]  # fmt: skip
    verdicts = [
        {"scenario": each.scenario.name, "real_runs": each.comparison["real_runs"],
         "stalled": each.comparison["stalled"], "sim_runs": each.comparison["sim_runs"],
         "margin_s": _s(each.comparison["margin_ms"]), "verdict": each.comparison["verdict"],
         "reason": each.comparison["reason"]}
        for each in outcomes
    ]  # fmt: skip
    for name, rows in (("quantities", quantities), ("parts", parts), ("verdicts", verdicts)):
        folders.write_csv(folder / f"{name}.csv", rows)
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for row in quantities:
        by_name.setdefault(row["scenario"], {})[row["quantity"]] = row
    return by_name


def _quantity(scenario: Scenario, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "quantity": row["name"],
        "real_n": row["real"]["n"],
        "real_p50_s": _s(row["real"].get("p50_ms")),
        **{f"sim_p{q}_s": _s(row["sim"].get(f"p{q}_ms")) for q in (5, 50, 95)},
        "shift_s": _s(row["shift_ms"]),
        "shift_low_s": _s(row["shift_low_ms"]),
        "shift_high_s": _s(row["shift_high_ms"]),
        "verdict": str(row["verdict"]),
    }


def _s(value_ms: float | None) -> str:
    return "" if value_ms is None else f"{value_ms / 1000:.3f}"


def draw_ecdfs(path: Path, outcomes: Sequence[Outcome]) -> None:
    """A row for each scenario: distribution functions of some quantities in both arms."""
    figure = Figure(figsize=(16, 3.4 * len(outcomes)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(outcomes), len(SHOWN) + 1, squeeze=False)
    for line, outcome in zip(axes, outcomes, strict=True):
        names = [*SHOWN, f"register@{_last_node(outcome)}"]
        for ax, name in zip(line, names, strict=True):
            values_s = (plots.values_s(arm.runs, name) for arm in (outcome.sim, outcome.real))
            plots.ecdf_panel(ax, name, *values_s, ranges_of(outcome.scenario))
        line[0].set_ylabel(f"{outcome.scenario.name}\nshare of runs")
    figure.savefig(path, dpi=plots.DPI)


def _last_node(outcome: Outcome) -> str:
    """The node that most often recovered last."""
    nodes = [run.last_node for run in outcome.sim.runs if run.last_node]
    return max(sorted(set(nodes)), key=nodes.count, default=outcome.scenario.host_names[-1])


def report_text(
    outcomes: Sequence[Outcome],
    rows: dict[str, dict[str, dict[str, Any]]],
    command: str,
    manifest: dict[str, Any],
) -> str:
    """The text of the report; its numbers are those of ``tables/``."""
    blocks = [f"# {TITLE}", _answer(outcomes, rows), "![time line](timeline.png)"]
    blocks += [_section(outcome, rows[outcome.scenario.name]) for outcome in outcomes]
    blocks += [
        "## Distributions\n\nBlue: predicted. Red: measured, with the 95 % band of Dvoretzky, Kiefer and "
        "Wolfowitz. Sand: what is possible when the first election is won.\n\n![distribution functions](ecdf.png)",
        _method(outcomes, manifest),
        _LIMITS,
        f"## Make it again\n\n```sh\n{command}\n```\n\n"
        "That measures anew; with `--stored`, the real runs of this folder are used.",
    ]
    return "\n\n".join(blocks) + "\n"


def _answer(outcomes: Sequence[Outcome], rows: dict[str, dict[str, dict[str, Any]]]) -> str:
    lines = ["## Answer\n"]
    for outcome in outcomes:
        found = rows[outcome.scenario.name]
        write, last = found.get("first_write"), found.get(f"register@{_last_node(outcome)}")
        lines.append(
            f"- **{outcome.scenario.name}** ({outcome.comparison['verdict']}): the new primary takes writes "
            f"{_both(write)} after the fault; the node that recovers last registers nobody for {_both(last)}."
        )
    lines.append("\nMedians; all of them are in [tables/quantities.csv](tables/quantities.csv), the verdicts in "
                 "[tables/verdicts.csv](tables/verdicts.csv).")  # fmt: skip
    return "\n".join(lines)


def _both(row: dict[str, Any] | None) -> str:
    if not row or not row["real_p50_s"] or not row["sim_p50_s"]:
        return "(not seen)"
    return f"{row['real_p50_s']} s (predicted {row['sim_p50_s']} s)"


def _section(outcome: Outcome, found: dict[str, dict[str, Any]]) -> str:
    name, compared = outcome.scenario.name, outcome.comparison
    head = "| quantity, s | real runs | real p50 | sim p5 | sim p50 | sim p95 | real - sim | 90 % interval | verdict |"
    lines = [head, "|---|" + "---:|" * 7 + "---|"]
    for row in found.values():
        interval = f"{row['shift_low_s']}..{row['shift_high_s']}" if row["shift_low_s"] else ""
        lines.append(
            f"| {row['quantity']} | {row['real_n']} | {row['real_p50_s']} | {row['sim_p5_s']} | {row['sim_p50_s']} "
            f"| {row['sim_p95_s']} | {row['shift_s']} | {interval} | {row['verdict']} |"
        )
    parts = ["| part of the last node's outage | until | real p50, s | sim p50, s |", "|---|---|---:|---:|"]
    for part in PARTS:
        medians = [_s(arm.summary["parts"][part].get("p50_ms")) for arm in (outcome.real, outcome.sim)]
        parts.append(f"| {part} | {tables.PART_MEANING[part].removeprefix('until ')} | {medians[0]} | {medians[1]} |")
    return "\n\n".join([
        f"## {name}", outcome.scenario.question,
        f"Expected beforehand: {' '.join(outcome.scenario.expects.split())}",
        f"**{compared['verdict']}**: {compared['reason']}. Margin of the milestones {compared['margin_ms']} ms.",
        "\n".join(lines), "\n".join(parts), f"![time line of {name}]({name}/timeline.png)",
    ])  # fmt: skip


def _method(outcomes: Sequence[Outcome], manifest: dict[str, Any]) -> str:
    compared, servers = outcomes[0].comparison, manifest["servers"]
    machine = manifest["machine"]
    program = f"{servers.get('flavour', 'redis')} {servers.get('redis', '')}".strip()
    return "\n".join([
        "## Method\n",
        "- **Purpose**: to see whether the prediction can be trusted where it was measured.",
        "- **Inputs**: the scenario files, resolved in each scenario's folder; where every default comes from is in "
        "[docs/assumptions.md](../../docs/assumptions.md).",
        f"- **Simulated**: {compared['sim_runs']} runs each, seed {manifest['seed']}, started in steady state.",
        f"- **Measured**: {outcomes[0].real.summary['runs']} runs each on {program}; hosts are network namespaces of "
        "one machine, the fault comes at a random time after steady state.",
        f"- **Machine**: {machine['system']} {machine['kernel']}, {machine['processor']}, {machine['cores']} cores.",
        "- **Statistics**: fixed beforehand, see [docs/statistics.md](../../docs/statistics.md) and "
        "[the decision on margins](../../docs/decisions/0002-margins.md).",
    ])  # fmt: skip


_LIMITS = """## Limits

Few real runs: agreement means that medians differ by less than the margin, and says little about the tails (p95 is
compared from 30 real runs on). One machine, an idle network, one server version; registrar and client are the kit's
own on both sides, so a common fault in them would not show here."""
