"""What `incident` found, for people, from its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tabulate import tabulate

from model.conform.lines import clock
from model.trace import write_traces
from study import folders
from study.incident.options import Found

FAULT_WORDS = {
    ("crash", "redis"): "Redis of {host} dies",
    ("crash", "all"): "all programs of {host} die",
    ("crash", "sentinel"): "the sentinel of {host} dies",
    ("restart", "redis"): "Redis of {host} is started again",
    ("restart", "all"): "{host} is started again",
    ("restart", "sentinel"): "the sentinel of {host} is started again",
    ("vanish", "all"): "{host} is cut off",
    ("return", "all"): "{host} is reachable again",
    ("partition", "all"): "{host} is split off",
    ("heal", "all"): "the split ends",
    ("pause", "redis"): "Redis of {host} hangs",
    ("resume", "redis"): "Redis of {host} answers again",
    ("pause", "all"): "{host} is frozen",
    ("resume", "all"): "{host} goes on",
    ("pause", "sentinel"): "the sentinel of {host} is held up",
    ("resume", "sentinel"): "the sentinel of {host} goes on",
    ("busy", "redis"): "a script blocks Redis of {host}",
    ("fail-saves", "redis"): "Redis of {host} cannot save, and answers errors",
    ("drop", "all"): "{to} hears {host} no more",
    ("deliver", "all"): "{to} hears {host} again",
    ("step", "all"): "the clock of {host} is set by {step} s",
    ("failover", "all"): "a user asks the sentinel of {host} for a failover",
}
"""Kinds and programs of `study.incident.faults`."""

LEAD_MS = 1000
"""The timeline is shown from so long before the first fault on. Kind: assumed."""

ORDINARY = (5, 95)
"""Percentiles between which an incident is called ordinary. Kind: assumed."""


def text(data: dict[str, Any]) -> str:
    """All of it."""
    blocks = [_answer(data), _clocks(data), _contradictions(data), _settings(data), _faults(data), _timeline(data)]
    if data["likely"]:
        blocks += [_milestones(data["likely"]), _nodes(data["likely"])]
    return "\n\n".join(block for block in blocks if block)


def _answer(data: dict[str, Any]) -> str:
    if not data["faults"]:
        return "No fault shows in these lines."
    head = f"{_words(data['faults'][0])} at {clock(_middle(data['faults'][0]))}: {data['faults'][0]['why']}."
    found = data["likely"]
    if not found:
        lacks = data["scenario"]["why_not"]
        return head + (f"\nno scenario of it: {lacks}" if lacks else "")
    row = next((each for each in found["milestones"] if each["milestone"] == found["main"]), None)
    if row is None or row["p5_ms"] is None:
        return f"{head}\nNo failover was completed."
    lines = [
        head,
        f"It took {_s(row['measured_ms'])} s{_room(row)} until {row['meaning']}; of {row['n']} simulated runs with "
        f"these settings that went alike, 5..95 % take {_s(row['p5_ms'])}..{_s(row['p95_ms'])} s: {_rank(row)}.",
    ]
    for each in found["what_if"]:
        lines.append(f"With down-after-milliseconds {each['down_after_ms']} " + _otherwise(each))
    return "\n".join(lines)


def _otherwise(each: dict[str, Any]) -> str:
    if 2 * each["failovers"] < each["runs"]:
        return f"there would have been a failover in {each['failovers']} of {each['runs']} runs."
    return (f"it would have taken {_s(each['p5_ms'])}..{_s(each['p95_ms'])} s (failover in {each['failovers']} of "
            f"{each['runs']} runs).")  # fmt: skip


def _rank(row: dict[str, Any]) -> str:
    low, high = row["percentile_low"], row["percentile_high"]
    where = f"percentile {_percentiles(row)}"
    return f"{'ordinary' if high >= ORDINARY[0] and low <= ORDINARY[1] else 'extraordinary'} ({where})"


def _room(row: dict[str, Any]) -> str:
    return f" +- {_s(row['room_ms'])}" if row["room_ms"] else ""


def _clocks(data: dict[str, Any]) -> str:
    rows = []
    for each in data["clocks"]["offsets"]:
        files = [file["file"] for file in data["files"] if file["host"] == each["host"]]
        host = each["host"] + (f" (after it was set, {each['stretch']})" if each["stretch"] else "")
        low, high = ("?" if each[key] is None else f"{each[key] / 1000:+.3f}" for key in ("low_ms", "high_ms"))
        rows.append([host, f"{each['best_ms'] / 1000:+.3f}", f"{low}..{high}", " ".join(files)])
    head = [f"clock, s ahead of that of {data['clocks']['reference']}", "middle", "interval", "files"]
    return tabulate(rows, head, disable_numparse=True)


def _contradictions(data: dict[str, Any]) -> str:
    lines = []
    for cycle in data["clocks"]["contradictions"]:
        lines.append("no constant offsets of the clocks explain these lines together; the last pair was left out:")
        for pair in cycle:
            lines += [f"  {pair['cause']}: {pair['cause_text']}",
                      f"    comes before {pair['effect']}: {pair['effect_text']} ({pair['why']})"]  # fmt: skip
    return "\n".join(lines)


def _settings(data: dict[str, Any]) -> str:
    rows = []
    for name, each in data["settings"].items():
        sure = each["low"] == each["high"] or each["source"] == "assumed: no line tells"
        limits = "" if sure else f"{each['low']}..{each['high']}"
        rows.append([name, each["value"], limits, each["source"], ", ".join(each["lines"][:3])])
    return tabulate(rows, ["setting", "used", "limits", "from", "lines"], disable_numparse=True)


def _faults(data: dict[str, Any]) -> str:
    lines = ["inferred:"]
    for each in data["faults"]:
        half = (each["high_ms"] - each["low_ms"] + 1) // 2
        lines.append(f"  {clock(_middle(each))} +- {_s(half)} s  {_words(each)}")
        lines.append(f"    because {each['why']}")
        lines.append(f"    see {', '.join(each['lines'])}")
        lines += [f"    or: {other}" for other in each["otherwise"]]
    return "\n".join(lines) if data["faults"] else ""


def _timeline(data: dict[str, Any]) -> str:
    begin_ms = data["faults"][0]["low_ms"] - LEAD_MS if data["faults"] else 0
    shown = [each for each in data["timeline"] if each["at_ms"] >= begin_ms]
    rows = []
    for each in shown:
        half = "?" if each["half_ms"] is None else f"{each['half_ms'] / 1000:.3f}"
        rows.append([clock(each["at_ms"]), half, each["host"], each["actor"], each["text"], each["place"]])
    before = len(data["timeline"]) - len(shown)
    earlier = f"{before} earlier lines are in the timeline of --out and of --json\n\n" if before else ""
    return earlier + tabulate(rows, ["time", "+- s", "host", "who", "what", "line"], disable_numparse=True)


def _milestones(found: dict[str, Any]) -> str:
    rows = [
        [each["milestone"], each["meaning"], _s(each["measured_ms"]) + _room(each), _s(each["p5_ms"]),
         _s(each["p50_ms"]), _s(each["p95_ms"]), _percentiles(each)]
        for each in found["milestones"]
    ]  # fmt: skip
    told = ", ".join(found["conditions"]) or "no condition"
    title = f"{found['alike']} of {found['runs']} simulated runs went alike ({told})"
    head = ["s after the fault", "", "last night", "sim p5", "sim p50", "sim p95", "percentile"]
    return f"{title}\n\n{tabulate(rows, head, disable_numparse=True)}"


def _percentiles(row: dict[str, Any]) -> str:
    low, high = row["percentile_low"], row["percentile_high"]
    return "-" if low is None else f"{low:.0f}" if low == high else f"{low:.0f}..{high:.0f}"


def _nodes(found: dict[str, Any]) -> str:
    rows = [[name, *(_s(each.get(key)) for key in ("p5_ms", "p50_ms", "p95_ms"))]
            for name, each in found["outages"].items()]  # fmt: skip
    lost = found["losses"]
    words = f"median {lost['p50']:g}, p95 {lost['p95']:g} in a run" if lost["n"] else "not counted"
    return (tabulate(rows, ["likely outage, s", "p5", "p50", "p95"], disable_numparse=True)
            + f"\nregistrations acknowledged and lost (of probes every 200 ms to each node): {words}")  # fmt: skip


def _words(each: dict[str, Any]) -> str:
    pattern = FAULT_WORDS[each["kind"], each["process"]]
    return pattern.format(host=each["host"], to=each["to"], step=f"{each['step_ms'] / 1000:+.3f}")


def _middle(each: dict[str, Any]) -> int:
    return (each["low_ms"] + each["high_ms"]) // 2


def _s(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms / 1000:.3f}"


def write(folder: Path, found: Found) -> None:
    """Write scenario, trace and timeline, as far as there are any."""
    folder.mkdir(parents=True, exist_ok=True)
    if found.scenario:
        told = found.scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)
        head = "# Written by `hastudy incident`: what it understood of the logs.\n"
        (folder / "scenario.toml").write_text(head + folders.to_toml(told), encoding="utf-8")
    if found.trace:
        write_traces(folder / "real.ndjson", [found.trace])
    folders.write_csv(folder / "timeline.csv", found.data["timeline"])
