"""What `availability` found, for people, from its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tabulate import tabulate

from study import folders

VERDICTS = {"kept": "kept", "exceeded": "not kept", "undecided": "undecided: the interval reaches beyond both"}


def text(data: dict[str, Any]) -> str:
    """All of it."""
    blocks = [_head(data), _answer(data), _table(data), _years(data), _notes(data)]
    return "\n\n".join(block for block in blocks if block)


def _head(data: dict[str, Any]) -> str:
    crashes, planned = data["conditions"]["crashes_per_year"], data["conditions"]["planned"]
    rates = ", ".join(f"{name} {crashes[name]:.3g}" for name in ("host", "redis", "frozen", "sentinel"))
    assumed = " (assumed: --conditions FILE says what is so)" if data["conditions_from"] == "assumed" else ""
    lines = [
        f"{data['scenario']}: how many nines? seed {data['seed']}, {data['runs']} runs of each event, "
        f"down-after-milliseconds {data['down_after_ms']}",
        f"out: {data['service_meaning']} ({data['service']})",
        f"crashes a year, of each host or process: {rates}{assumed}",
        f"away for: host {crashes['host_repair_h']:g} h, Redis {crashes['redis_repair_h']:g} h, "
        f"sentinel {crashes['repair_h']:g} h",
    ]
    if planned["work"] or planned["switchovers"]:
        lines.append(f"planned a year: {planned['work']:g} times work on each host, for {planned['work_h']:g} h; "
                     f"{planned['switchovers']:g} switchovers")  # fmt: skip
    lines += [f"stalls: {each['of']}, {each['per_year']:g} a year, {each['from']}" for each in data["stalls"]]
    return "\n".join(lines if data["stalls"] else [*lines, "stalls: none"])


def _answer(data: dict[str, Any]) -> str:
    percent, nines, level = data["availability_percent"], data["nines"], round(100 * data["level"])
    lines = [
        f"availability {percent['value']} % ({percent['low']}..{percent['high']}, {level} % interval)",
        f"{nines['value']:.2f} nines ({nines['low']:.2f}..{nines['high']:.2f}); "
        f"{_interval(data['minutes_a_year'])} minutes a year",
        f"of these {_interval(data['detection_minutes'])} minutes until a quorum suspects the primary "
        "(the delay, mostly)",
    ]
    objective = data["objective"]
    if objective:
        left = objective["left_minutes"]
        how = f"{left:g} minutes a year are left" if left >= 0 else f"exceeded by {-left:g} minutes a year"
        lines.append(f"objective {objective['percent']:g} %, {objective['allowed_minutes']:g} minutes a year: "
                     f"{VERDICTS[objective['verdict']]}; {how}")  # fmt: skip
    return "\n".join(lines)


def _table(data: dict[str, Any]) -> str:
    """The budget by cause."""
    head = ["cause", "a year", "outage, s", "minutes a year", "interval", "detection", "share"]
    rows = [
        [row["meaning"], _number(row["per_year"]), _number(row["outage_s"]), _number(row["minutes"]["value"]),
         f"{_number(row['minutes']['low'])}..{_number(row['minutes']['high'])}", _number(row["detection_minutes"]),
         f"{100 * row['share']:.1f} %"]
        for row in data["budget"]
    ]  # fmt: skip
    sides = ["left"] + ["right"] * (len(head) - 1)
    table = tabulate(rows, head, tablefmt="simple", disable_numparse=True, colalign=sides) if rows else "no outage"
    return "\n".join(line.rstrip() for line in table.splitlines())


def _years(data: dict[str, Any]) -> str:
    years = data["single_year_minutes"]
    line = "outage of single years, minutes: " + ", ".join(
        f"{name[1:]} % quantile {_number(value)}" for name, value in years.items()
    )
    if data["objective"]:
        line += f"; {100 * data['objective']['single_years_kept']:.1f} % of years keep the objective"
    return line


def _notes(data: dict[str, Any]) -> str:
    lines = [f"something is away, and the service runs all the same: {_number(data['degraded_hours'])} hours a year"]
    counted = [name for name in ("host", "redis", "frozen", "sentinel")
               if data["conditions"]["crashes_counted"][name] is not None]  # fmt: skip
    if not counted:
        lines.append("no crash was counted ([crashes_counted]): rates are taken at their word, and the interval is "
                     "that of simulation and measured stalls alone")  # fmt: skip
    if data["censored"]:
        lines.append(f"up to {100 * data['censored']:.1f} % of a crash's outages outlast their run and count with "
                     "what was seen: minutes are lower bounds")  # fmt: skip
    return "\n".join(lines)


def _interval(found: dict[str, float]) -> str:
    return f"{_number(found['value'])} ({_number(found['low'])}..{_number(found['high'])})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def write_tables(folder: Path, data: dict[str, Any]) -> None:
    """Write ``budget.csv``."""
    folders.write_csv(folder / "budget.csv", budget_rows(data))


def budget_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The budget as a flat table."""
    return [
        {"cause": row["cause"], "meaning": row["meaning"], "per_year": row["per_year"], "outage_s": row["outage_s"],
         "minutes": row["minutes"]["value"], "minutes_low": row["minutes"]["low"],
         "minutes_high": row["minutes"]["high"], "detection_minutes": row["detection_minutes"], "share": row["share"]}
        for row in data["budget"]
    ]  # fmt: skip
