"""Tables for people, from the JSON of a summary or of a comparison. Times are shown in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from model.measures import MILESTONES, PARTS
from model.reachability import CLIENT_PARTS

MEANING = {
    "sdown_first": "first sentinel suspects",
    "sdown_quorum": "a quorum suspects",
    "odown_first": "they agree",
    "elected": "leader elected",
    "first_write": "new primary takes writes",
    "promoted": "leader has seen the promotion",
    "switch_first": "first sentinel announces it",
    "switch_last": "all sentinels announce it",
    "demoted": "old primary demoted, from its return on",
}
"""What a milestone is, in a few words."""

PART_MEANING = {
    "detect": "until a quorum suspects",
    "agree": "until they agree",
    "elect": "until a leader is elected",
    "promote": "until the replica is primary",
    "announce": "until it is announced",
    "discover": "until the node is there",
    "retry": "until the next registration",
}

QUANTILES = ("p5_ms", "p50_ms", "p95_ms", "p99_ms")


def summary_text(summary: dict[str, Any]) -> str:
    """One arm: milestones, outages, parts, probabilities, losses."""
    blocks = [summary_title(summary), milestones_table(summary), outages_table(summary), parts_table(summary)]
    if summary["calls"]:
        blocks += [client_parts_table(summary), calls_table(summary)]
    return "\n\n".join([*blocks, odds_table(summary), _losses_lines(summary)])


def summary_title(summary: dict[str, Any]) -> str:
    """One line: what, how often, from which seed."""
    arm = {"sim": "simulated", "real": "measured on real servers"}.get(summary["arm"], summary["arm"])
    notes = [f"{summary['runs']} runs", f"seed {summary['seed']}"]
    notes += [f"{summary[key]} {key}" for key in ("stalled", "censored") if summary[key]]
    return f"{summary['scenario']}: {arm}, {', '.join(notes)}"


def milestones_table(summary: dict[str, Any]) -> str:
    """When what happened."""
    rows = [[name, MEANING[name], *_quantile_cells(summary["milestones"][name])] for name in MILESTONES]
    return _table(["milestone, s after the fault", "", "n", "p5", "p50", "p95", "p99"], rows)


def outages_table(summary: dict[str, Any]) -> str:
    """How long what was out, and whether it refused or kept silent."""
    rows = []
    for name, described in summary["outages"].items():
        spent = summary["outage_outcomes"][name]
        medians = [_seconds(spent[outcome].get("p50_ms")) for outcome in spent]
        rows.append([name, "", *_quantile_cells(described), *medians])
    return _table(["outage, s in a run", "", "n", "p5", "p50", "p95", "p99", "refused", "no answer"], rows)


def parts_table(summary: dict[str, Any]) -> str:
    """Where the time of the longest outage went, on the node that recovers last."""
    rows = [[name, PART_MEANING[name], *_quantile_cells(summary["parts"][name])] for name in PARTS]
    return _table(["part of the last node's outage, s", "", "n", "p5", "p50", "p95", "p99"], rows)


def client_parts_table(summary: dict[str, Any]) -> str:
    """Where the time of each client's longest outage went."""
    rows = [
        [name, parts[CLIENT_PARTS[0]]["n"], *(_seconds(parts[part].get("p50_ms")) for part in CLIENT_PARTS)]
        for name, parts in summary["client_parts"].items()
    ]
    return _table(["parts of a client's outage, median s", "n", *CLIENT_PARTS], rows)


def calls_table(summary: dict[str, Any]) -> str:
    """How many calls failed, and for how long which node answered 404 for a live registration or kept a dead one."""
    rows = [
        [name, calls["n"], calls["failed"], "-" if calls["per_million"] is None else calls["per_million"],
         _medians(calls["blind_ms"]), _medians(calls["zombie_ms"])]
        for name, calls in summary["calls"].items()
    ]  # fmt: skip
    head = ["calls to a client", "n", "failed", "per million", "404 while live, median s", "followed after its end"]
    return _table(head, rows)


def _medians(by_node: dict[str, dict[str, Any]]) -> str:
    """Nodes with more than nothing."""
    times = {node: described["p50_ms"] for node, described in by_node.items() if described["p50_ms"]}
    return ", ".join(f"{node} {_seconds(time_ms)}" for node, time_ms in times.items()) or "-"


def odds_table(summary: dict[str, Any]) -> str:
    """How often what happened."""
    rows = [
        [name.replace("_", " "), f"{odds['k']} of {odds['n']}", _interval(odds)]
        for name, odds in summary["probabilities"].items()
    ]
    return _table(["probability", "runs", "95 % interval"], rows)


def _losses_lines(summary: dict[str, Any]) -> str:
    losses = summary["losses"]
    lost, two, blind = losses["acknowledged_lost"], losses["two_writable_ms"], losses["blind_ms"]
    by_server = ", ".join(f"{host} {_seconds(it['p50_ms'])} s" for host, it in losses["blind_by_server_ms"].items())
    return "\n".join(
        [
            "registrations acknowledged and lost: "
            + (f"median {lost['p50']:g}, p95 {lost['p95']:g} in a run" if lost["n"] else "not counted"),
            "two servers writable at once: "
            + (f"median {_seconds(two['p50_ms'])} s, p95 {_seconds(two['p95_ms'])} s" if two["n"] else "not measured"),
            "live binding not found, all servers together: "
            + (f"median {_seconds(blind['p50_ms'])} s; {by_server}" if blind["n"] else "not measured"),
        ]
    )


def comparison_text(comparison: dict[str, Any], sim: dict[str, Any], real: dict[str, Any]) -> str:
    """Both arms side by side, the verdict of each row, and of the whole."""
    blocks = [
        f"{summary_title(sim)}\n{summary_title(real)}",
        rows_table(comparison["rows"]),
        both_parts_table(sim, real),
        branches_table(comparison["branches"]),
    ]
    if sim["calls"]:
        blocks.append(both_calls_table(sim, real))
    stalled = comparison["stalled"]
    if stalled:
        blocks.append(f"{stalled} stalled real run{'s' * (stalled > 1)} kept in the folder, left out of the statistics")
    blocks.append(verdict_line(comparison))
    return "\n\n".join(blocks)


def verdict_line(comparison: dict[str, Any]) -> str:
    """The verdict of the whole, and why."""
    return f"verdict: {comparison['verdict'].upper()} - {comparison['reason']}"


def rows_table(rows: Iterable[dict[str, Any]]) -> str:
    """Milestones and outages compared."""
    cells = [
        [row["name"], row["real"]["n"], _seconds(row["real"].get("p50_ms")), _seconds(row["sim"].get("p50_ms")),
         _range(row["sim"]), _shift(row), _shift_interval(row), f"+-{row['margin_ms'] / 1000:g}",
         _p95(row["p95"]), row["verdict"]]
        for row in rows
    ]  # fmt: skip
    head = ["s after the fault; outages: s in a run", "n", "real p50", "sim p50", "sim p5..p95", "real - sim",
            "90 % interval", "margin", "p95", "within margin?"]  # fmt: skip
    return _table(head, cells)


def both_parts_table(sim: dict[str, Any], real: dict[str, Any]) -> str:
    """Medians of the parts in both arms."""
    rows = [
        [name, PART_MEANING[name], *(_seconds(arm["parts"][name].get("p50_ms")) for arm in (real, sim))]
        for name in PARTS
    ]
    return _table(["part of the last node's outage, median s", "", "real", "sim"], rows)


def both_calls_table(sim: dict[str, Any], real: dict[str, Any]) -> str:
    """Failed calls in a million, and medians of the parts of each client's outage, in both arms."""
    rows = []
    for name, calls in sim["calls"].items():
        arms = [real["calls"].get(name, {"per_million": None}), calls]
        rows.append(
            [name, "failed calls in a million", *("-" if a["per_million"] is None else a["per_million"] for a in arms)]
        )
        for part in CLIENT_PARTS:
            medians = [arm["client_parts"].get(name, {}).get(part, {}).get("p50_ms") for arm in (real, sim)]
            rows.append(["", f"{part}, median s of its longest outage", *map(_seconds, medians)])
    return _table(["client", "", "real", "sim"], rows)


def branches_table(branches: Iterable[dict[str, Any]]) -> str:
    """Courses compared."""
    rows = [
        [branch["name"].replace("_", " "), f"{branch['real']['k']} of {branch['real']['n']}",
         f"{branch['sim']['k']} of {branch['sim']['n']}", _interval(branch["difference"]), branch["verdict"]]
        for branch in branches
    ]  # fmt: skip
    return _table(["course", "real", "sim", "95 % interval of the difference", ""], rows)


def conditional_text(conditional: dict[str, Any]) -> str:
    """How closely single real runs were predicted from their own phases."""
    cells = [
        [row["group"], row["milestone"], row["n"], _plain_ms(row["mean_ms"]), _plain_ms(row["sd_ms"]),
         _plain_ms(row["robust_sd_ms"]), _plain_ms(row["measured_sd_ms"]),
         f"{row['coverage']['k']} of {row['coverage']['n']}",
         _interval(row["coverage"])]
        for row in conditional["rows"]
    ]  # fmt: skip
    head = ["single runs, predicted from their phases, ms", "milestone", "n", "mean error", "sd of errors",
            "robust sd", "sd of measured", "in 5..95 %", "95 % interval"]  # fmt: skip
    return _table(head, cells)


def regression_text(regression: dict[str, Any]) -> str:
    """A matrix: one line a cell, then classes, scores and totals."""
    blocks = [cells_table(regression["cells"]), pooled_table(regression["pooled"])]
    varied = [course for course in regression["courses"] if _varies(course)]
    if varied:
        blocks.append(pooled_courses_table(varied))
    blocks.append(scores_table(regression["scores"]))
    if regression["conditional"]:
        blocks.append(conditional_text(regression["conditional"]))
    blocks.append(_totals(regression))
    return "\n\n".join(blocks)


def cells_table(cells: Iterable[dict[str, Any]]) -> str:
    """One line a cell, with the row that lies worst."""
    lines = []
    for cell in cells:
        row = next((each["row"] for each in cell["rows"] if each["row"]["name"] == cell["worst"]), None)
        coverage = cell["coverage"]
        lines.append(
            [cell["name"], f"{cell['real_runs']} of {cell['planned']}", cell["worst"] or "-",
             _shift(row) if row else "-", _shift_interval(row) if row else "-", f"+-{cell['margin_ms'] / 1000:g}",
             _seconds(row["area"].get("area_ms")) if row else "-", f"{coverage['k']}/{coverage['n']}", cell["verdict"]]
        )  # fmt: skip
    head = ["cell", "real runs", "worst row", "real - sim, s", "90 % interval", "margin", "area, s", "in 5..95 %",
            "within margin?"]  # fmt: skip
    return _table(head, lines)


def pooled_table(rows: Iterable[dict[str, Any]]) -> str:
    """Bias and 95 % quantile of each milestone in each class of faults."""
    cells = [
        [row["fault_class"], row["name"], row["cells"], row["n"], f"{row['bias_ms'] / 1000:+.3f}",
         f"{row['low_ms'] / 1000:+.3f}..{row['high_ms'] / 1000:+.3f}", row["verdict"], _pooled_p95(row["p95"]),
         row["p95"]["verdict"], f"+-{row['margin_ms'] / 1000:g}"]
        for row in rows
    ]  # fmt: skip
    head = ["class, s", "milestone", "cells", "n", "bias", "90 % interval", "within margin?", "p95 difference",
            "within margin? ", "margin"]  # fmt: skip
    return _table(head, cells)


def pooled_courses_table(courses: Iterable[dict[str, Any]]) -> str:
    """Courses over all cells of a class."""
    rows = [
        [course["fault_class"], course["name"].replace("_", " "), f"{course['real']['k']} of {course['real']['n']}",
         f"{course['real']['n'] * course['sim']['k'] / course['sim']['n']:.1f}", _interval(course["difference"]),
         course["verdict"]]
        for course in courses
    ]  # fmt: skip
    return _table(["class", "course", "real", "expected", "95 % interval of the difference", ""], rows)


def scores_table(scores: Iterable[dict[str, Any]]) -> str:
    """How well single values are predicted, against the best that delay + constant could do."""
    rows = [
        [score["name"], score["n"], f"{score['coverage']['k']} of {score['coverage']['n']}",
         _interval(score["coverage"]), _plain_ms(score["crps_ms"]), _plain_ms(score["naive_ms"]),
         "-" if score["skill"] is None else f"{score['skill']:.3f}", " ".join(map(str, score["pit_counts"]))]
        for score in scores
    ]  # fmt: skip
    head = ["milestone, whole matrix", "n", "in 5..95 %", "95 % interval", "CRPS, ms", "naive, ms", "skill",
            "PIT, tenths"]  # fmt: skip
    return _table(head, rows)


def _totals(regression: dict[str, Any]) -> str:
    counts = {
        what: Counter(verdicts)
        for what, verdicts in (
            ("bias", [row["verdict"] for row in regression["pooled"]]),
            ("p95", [row["p95"]["verdict"] for row in regression["pooled"]]),
        )
    }
    classes = "; ".join(
        f"{what} within its margin in {found['agrees']} rows, outside in {found['disagrees']}, "
        f"open in {found['undecided']}"
        for what, found in counts.items()
    )
    reasons = [
        f"  {cell['name']}: {cell['verdict']}, {cell['reason']}" for cell in regression["cells"] if _needs_reason(cell)
    ]
    return "\n".join(
        [*reasons,
         f"classes of faults: {classes} (most of them for want of runs)",
         f"verdict: {regression['verdict'].upper()} - {regression['reason']}"]
    )  # fmt: skip


def _needs_reason(cell: dict[str, Any]) -> bool:
    return cell["verdict"] not in ("agrees", "no data")


def _varies(course: dict[str, Any]) -> bool:
    """True when not all runs of both arms took, or all left, a course."""
    both = (course["real"], course["sim"])
    return 0 < sum(arm["k"] for arm in both) < sum(arm["n"] for arm in both)


def _pooled_p95(compared: dict[str, Any]) -> str:
    if "note" in compared:
        return compared["note"]
    low, high = compared["low_ms"] / 1000, compared["high_ms"] / 1000
    return f"{compared['difference_ms'] / 1000:+.3f} ({low:+.3f}..{high:+.3f})"


def _plain_ms(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = tabulate(rows, head, tablefmt="simple", disable_numparse=True, colalign=_alignment(head))
    return "\n".join(line.rstrip() for line in text.splitlines())


def _alignment(head: Sequence[str]) -> list[str]:
    """Words to the left, numbers to the right."""
    words = {"", "95 % interval", "95 % interval of the difference", "milestone", "worst row", "PIT, tenths",
             "404 while live, median s", "followed after its end"}  # fmt: skip
    return ["left" if index == 0 or name in words or name.startswith("within") else "right"
            for index, name in enumerate(head)]  # fmt: skip


def _quantile_cells(described: dict[str, Any]) -> list[str]:
    return [str(described["n"]), *(_seconds(described.get(name)) for name in QUANTILES)]


def _seconds(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms / 1000:.3f}"


def _range(described: dict[str, Any]) -> str:
    if described.get("p5_ms") is None:
        return "-"
    return f"{_seconds(described['p5_ms'])}..{_seconds(described['p95_ms'])}"


def _interval(limits: dict[str, float]) -> str:
    return f"{limits['low']:.3f}..{limits['high']:.3f}"


def _shift(row: dict[str, Any]) -> str:
    return "-" if row["shift_ms"] is None else f"{row['shift_ms'] / 1000:+.3f}"


def _shift_interval(row: dict[str, Any]) -> str:
    if row["shift_low_ms"] is None or row["shift_high_ms"] is None:
        return "-"
    return f"{row['shift_low_ms'] / 1000:+.3f}..{row['shift_high_ms'] / 1000:+.3f}"


def _p95(compared: dict[str, Any]) -> str:
    if not compared:
        return "-"
    return "few runs" if "note" in compared else f"{compared['difference_ms'] / 1000:+.3f} {compared['verdict']}"
