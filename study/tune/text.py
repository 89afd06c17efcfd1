"""What `tune` found, for people, from its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from study import folders
from study.tune.curve import OUTAGES, QUANTITIES, UNIT

WORDS = {
    "outage_mean": "mean outage after a crash",
    "outage_p50": "median outage after a crash",
    "outage_p95": "95 % quantile of the outage",
    "outage_p99": "99 % quantile of the outage",
    "needless": "needless failovers",
    "lost": "registrations confirmed and lost",
    "cost": "cost, as weighted",
}


def text(data: dict[str, Any]) -> str:
    """All of it."""
    blocks = [_head(data), _answer(data), _table(data), _curve(data)]
    if data["knobs"]:
        blocks.append(_knobs(data))
    return "\n\n".join([*blocks, _notes(data)])


def _head(data: dict[str, Any]) -> str:
    crashes = data["conditions"]["crashes_per_year"]
    goal = data["goal"]
    limits = ", ".join(f"{name} <= {most:g} {UNIT[name]}" for name, most in goal["limits"].items()) or "none"
    lines = [
        f"{data['scenario']}: which down-after-milliseconds? seed {data['seed']}, {data['runs']} runs of each setting",
        f"outage: {data['service_meaning']} ({data['service']})",
        f"wanted: least {goal['objective']}; limits: {limits}{' (assumed)' if goal['are_assumed'] else ''}",
        "crashes a year: " + ", ".join(f"{name} {crashes[name]:g}" for name in ("host", "redis", "frozen", "sentinel"))
        + _assumed(data),
    ]  # fmt: skip
    lines += [f"stalls: {each['of']}, {each['per_year']:g} a year, {each['from']}" for each in data["stalls"]]
    return "\n".join(lines if data["stalls"] else [*lines, "stalls: none"])


def _assumed(data: dict[str, Any]) -> str:
    return " (assumed: --conditions FILE says what is so)" if data["conditions_from"] == "assumed" else ""


def _answer(data: dict[str, Any]) -> str:
    best = data["best"]
    if not best:
        return "\n".join(["no delay is admissible, because", *(f"  {line}" for line in data["infeasible"])])
    admissible, surely, nearly = data["admissible"], data["surely"], best["nearly"]
    sure = _span(surely) if surely else "none: the intervals reach beyond a limit everywhere"
    lines = [
        f"admissible: {_span(admissible)} of {data['range_ms'][0]}..{data['range_ms'][1]} ms; "
        f"with the upper ends of the intervals: {sure}",
        f"best: sentinel down-after-milliseconds {best['down_after_ms']} "
        f"({round(100 * data['level'])} % interval {best['low_ms']}..{best['high_ms']}); "
        f"nearly as good: {_span(nearly)}",
    ]
    edges = [f"the {edge} delay looked at is best: look further with --range" for edge in best["at_edge"]]
    return "\n".join([*lines, *edges])


def _span(span: dict[str, int]) -> str:
    return f"{span['low_ms']}..{span['high_ms']} ms"


def _table(data: dict[str, Any]) -> str:
    """All quantities at the best delay and at the one that is set now."""
    columns = [column for column in (data["at_best"], data["present"]) if column]
    head = ["", *(("best: " if column is data["at_best"] else "now: ") + f"{column['down_after_ms']} ms"
                  for column in columns), "from"]  # fmt: skip
    rows = [
        [f"{WORDS[name]}, {UNIT[name]}", *(_cell(column[name]) for column in columns), _method(data, name)]
        for name in QUANTITIES
    ]
    return _lines(head, rows, "l" + "r" * len(columns) + "l")


def _method(data: dict[str, Any], name: str) -> str:
    if name in OUTAGES:
        return "simulated"
    return {"needless": data["methods"]["needless"], "lost": "simulated", "cost": "of these"}[name]


def _cell(found: dict[str, float]) -> str:
    value, low, high = (_number(found[name]) for name in ("value", "low", "high"))
    return value if low == high else f"{value} ({low}..{high})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _curve(data: dict[str, Any]) -> str:
    """The simulated delays: quantities, and whether anything is better in both."""
    on_front = {point["down_after_ms"]: point["on_front"] for point in data["front"]}
    present = data["present"]["down_after_ms"]
    rows = [
        [f"{row['down_after_ms']}{' (now)' if row['down_after_ms'] == present else ''}",
         *(_number(row[name]["value"]) for name in QUANTITIES), "yes" if on_front[row["down_after_ms"]] else "no"]
        for row in data["curve"]
    ]  # fmt: skip
    head = ["delay, ms", "mean, s", "p50, s", "p95, s", "p99, s", "needless/a", "lost/a", "cost/a", "on front"]
    return _lines(head, rows, "r" * len(head))


def _knobs(data: dict[str, Any]) -> str:
    """What every other knob buys."""
    rows = [
        [row["knob"], row["present"], row["other"], ("<= " if row["censored"] > data["censored"] else "")
         + f"{row['gain_s']:+.2f}", f"{row['low_s']:+.2f}..{row['high_s']:+.2f}", f"{row['needless']:.3g}",
         f"{row['helpless']:.2g}"]
        for row in data["knobs"]
    ]  # fmt: skip
    statistic = next(name for name in OUTAGES if name in data["front"][0])
    head = ["other knobs, at the delay set now", "now", "other", f"gain in {statistic}, s", "90 % interval",
            "needless/a", "helpless/a"]  # fmt: skip
    return _lines(head, rows, "lllrrrr")


def _notes(data: dict[str, Any]) -> str:
    lines = [
        f"helpless: crashes a year that find too few sentinels left to fail over; now {data['helpless']:.2g}",
        f"outages and losses are simulated; needless failovers: {data['methods']['needless']}",
    ]
    if data["censored"]:
        share = 100 * data["censored"]
        lines.append(f"up to {share:.1f} % of outages outlast their run and count with what was seen: the mean, and "
                     f"quantiles above {100 - share:.1f} %, are lower bounds")  # fmt: skip
    return "\n".join(lines)


def _lines(head: Sequence[str], rows: Sequence[Sequence[Any]], alignment: str) -> str:
    sides = ["left" if letter == "l" else "right" for letter in alignment]
    table = tabulate(rows, head, tablefmt="simple", disable_numparse=True, colalign=sides)
    return "\n".join(line.rstrip() for line in table.splitlines())


def write_tables(folder: Path, data: dict[str, Any]) -> None:
    """Write ``curve.csv``, ``front.csv`` and ``knobs.csv``."""
    curve = [
        {"down_after_ms": row["down_after_ms"],
         **{f"{name}{end}": row[name][key] for name in QUANTITIES
            for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))}}
        for row in data["curve"]
    ]  # fmt: skip
    for name, rows in (("curve", curve), ("front", data["front"]), ("knobs", data["knobs"])):
        if rows:
            folders.write_csv(folder / f"{name}.csv", rows)
