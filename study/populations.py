"""What a population of clients lives through, as data and as text for the command line."""

from __future__ import annotations

from typing import Any

import numpy as np
from tabulate import tabulate

from model.errors import UsageError
from model.scenario import Scenario
from model.trace import Trace
from sim.population import Curves, simulate_population


def summary(scenario: Scenario, trace: Trace, size: int, seed: int) -> dict[str, Any]:
    """Let a population with the scenario's mix of clients live through one run.

    Returns
    -------
    dict
        ``size``, ``run``, ``calls_failed_per_million``, ``peak_share_out``; ``kinds``: how long members of each were
        out of service; ``storm``: what nodes were asked at worst; ``curve``: one row a second.

    Raises
    ------
    UsageError
        The scenario has no clients.
    """
    if not scenario.client:
        raise UsageError(
            f"{scenario.name}: a population needs clients, and the scenario has none\n\n"
            "hint: add a [[client]] with `class`, `transport` and `share`, see docs/scenario.md"
        )
    curves = simulate_population(scenario, trace, size, seed)
    return {
        "size": size,
        "run": trace.run,
        "calls_failed_per_million": round(curves.calls_failed_per_million),
        "peak_share_out": round(float(curves.share_out.max()), 6),
        "kinds": {name: _kind(curves, number) for number, name in enumerate(curves.kinds)},
        "storm": {
            "asked_per_s": int(curves.asked_per_s.max()),
            "confirmed_per_s": int(curves.confirmed_per_s.max()),
            "longest_wait_s": float(curves.longest_wait_s.max()),
            "lost": int(curves.lost_per_s.sum()),
        },
        "curve": _curve(curves),
    }


def _kind(curves: Curves, number: int) -> dict[str, Any]:
    of_kind = curves.kind_of == number
    outage_s = curves.outage_s[of_kind]
    hit = outage_s[outage_s > 0]
    quantiles = np.quantile(hit, [0.5, 0.95, 1.0]) if len(hit) else [0.0, 0.0, 0.0]
    still_out = int((np.isnan(curves.back_s[of_kind]) & (outage_s > 0)).sum())
    found = dict(zip(("p50_s", "p95_s", "max_s"), (round(float(value), 3) for value in quantiles), strict=True))
    return {"n": int(of_kind.sum()), "out": len(hit), "still_out": still_out, **found}


def _curve(curves: Curves) -> list[dict[str, Any]]:
    columns = (curves.share_out, curves.asked_per_s, curves.confirmed_per_s, curves.longest_wait_s)
    names = ("share_out", "asked", "confirmed", "longest_wait_s")
    return [
        {"t_s": curves.start_s + 1 + second, **{name: value.item() for name, value in zip(names, row, strict=True)}}
        for second, row in enumerate(zip(*columns, strict=True))
    ]


def text(data: dict[str, Any]) -> str:
    """The summary for people."""
    rows = [
        [name, kind["n"], kind["out"], kind["still_out"], kind["p50_s"], kind["p95_s"], kind["max_s"]]
        for name, kind in data["kinds"].items()
    ]
    headers = ["client", "members", "out", "still out", "p50", "p95", "max"]
    storm = data["storm"]
    return "\n".join(
        (
            f"population of {data['size']} on the time line of run {data['run']}; time out of service in s",
            "",
            tabulate(rows, headers, floatfmt=".1f", disable_numparse=False),
            "",
            f"most out at once: {100 * data['peak_share_out']:.1f} %; "
            f"calls that fail: {data['calls_failed_per_million']} in a million",
            f"storm: {storm['asked_per_s']} REGISTER/s asked, {storm['confirmed_per_s']} confirmed, "
            f"longest wait {storm['longest_wait_s']:.2f} s, {storm['lost']} datagrams lost",
        )
    )
