"""What `rare` found, for people, from its JSON."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

EVENTS = {
    "needless": ("needless failovers", "another server becomes primary although the first one lives"),
    "lost": ("registrations lost", "confirmed by the old primary and missing on the new one after a needless failover"),
}


def text(data: dict[str, Any]) -> str:
    """All of it."""
    return "\n\n".join([_head(data), _causes(data), _levels(data), _work(data)])


def _head(data: dict[str, Any]) -> str:
    name, meaning = EVENTS[data["event"]]
    hour, year = data["per_hour"], data["per_year"]
    sure = round(100 * data["level"])
    lines = [
        f"{data['scenario']}: how often rare things happen; seed {data['seed']}, {data['replications']} replications, "
        f"{data['effort']} walks a level",
        f"{name}: {meaning}",
        f"an hour: {_number(hour['value'])} ({sure} % interval {_span(hour)}); "
        f"a year: {_number(year['value'])} ({_span(year)})",
    ]  # fmt: skip
    if data["event"] == "needless" and year["value"] > 0:
        lines.append(f"that is one in {_number(1 / year['value'])} years")
    else:
        lines += [f"with {data['registrations_per_s']:g} registrations a second"] * (data["event"] == "lost")
    if hour["low"] == 0:
        lines.append("too little was seen: more --replications, or more --effort, would tell")
    return "\n".join([*lines, f"nothing is disturbed {100 * data['rest']:.4g} % of the time"])


def _causes(data: dict[str, Any]) -> str:
    whole = data["per_hour"]["value"] or 1.0
    rows = [
        [", ".join(each["causes"]), each["from"], _number(each["beginnings_per_hour"]), f"{each['busy_s']:.3g}",
         _number(each["in_a_cycle"]["value"]), _number(each["per_hour"]["value"]), _span(each["per_hour"]),
         f"{100 * each['per_hour']['value'] / whole:.0f} %"]
        for each in data["causes"]
    ]  # fmt: skip
    head = ["begins with", "length", "begins/h", "until calm, s", "in a cycle", "an hour", "interval", "share"]
    return _lines(head, rows, "llrrrrrr")


def _levels(data: dict[str, Any]) -> str:
    """How likely it is to come from each level to the next."""
    blocks = ["levels (100 %: a quorum must suspect), and the share of simulated walks that came so far:"]
    for each in data["causes"]:
        steps = [f"{level['score']} {_share(level['reached'])}" for level in each["levels"]]
        blocks.append(f"  {each['of']}: " + ", ".join(steps))
    return "\n".join(blocks)


def _share(reached: float | None) -> str:
    return "-" if reached is None else f"{reached:.3g}"


def _work(data: dict[str, Any]) -> str:
    work = data["work"]
    line = f"simulated: {work['simulated_h']:.3g} h of the cluster"
    if work["crude_h"] is None:
        return line
    return (
        f"{line}; to know it as well, crude simulation needs {_number(work['crude_h'])} h, or "
        f"{_number(work['crude_cycles'])} disturbances if it leaves out the time between them"
    )


def _span(found: dict[str, float]) -> str:
    return f"{_number(found['low'])}..{_number(found['high'])}"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _lines(head: list[str], rows: list[list[str]], alignment: str) -> str:
    sides = ["left" if letter == "l" else "right" for letter in alignment]
    table = tabulate(rows, head, tablefmt="simple", disable_numparse=True, colalign=sides)
    return "\n".join(line.rstrip() for line in table.splitlines())
