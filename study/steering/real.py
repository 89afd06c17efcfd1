"""Real runs of steered scenarios, stored, and how often they go the simulation's way.

Runs of cases that belong to the matrix are those of the report on validity; all others lie in
``reports/steering/runs/``, in the same form (`study.stored`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from model.trace import Trace
from sim import simulate
from study import matrix, stored
from study.arms import Voice
from study.compare import newcombe
from study.steering.cases import Case
from study.steering.patterns import share

FOLDER = Path(__file__).resolve().parents[2] / "reports" / "steering"
RUNS = FOLDER / "runs"


def stored_runs(case: Case) -> list[Trace]:
    """Real runs of a case, stalled ones included."""
    scenario = case.real_scenario()
    return stored.runs(scenario, RUNS) or stored.runs(scenario)


def measure(cases: Sequence[Case], voice: Voice, parallel: int) -> None:
    """Make the real runs that are missing.

    Raises
    ------
    EnvironmentLacks
        They cannot be made here.
    """
    from study import collect

    cells = [_cell(case) for case in cases if not stored.path_of(case.real_scenario()).exists()]
    collect.collect(cells, collect.servers_by_family([]), RUNS, parallel, voice)


def _cell(case: Case) -> matrix.Cell:
    return matrix.Cell(case.name, case.real_scenario(), case.real_runs, main=False, fault_class=case.name, cause="")


def rows(cases: Sequence[Case], runs: int, seed: int) -> list[dict[str, Any]]:
    """For each case the share of simulated and of real runs, and their difference with its interval."""
    found = []
    for case in cases:
        sim = share(case.pattern, simulate(case.real_scenario(), runs, seed))
        traces = stored_runs(case)
        real = share(case.pattern, traces)
        found.append({
            "case": case.name, "sentence": case.sentence, "pattern": str(case.pattern), "sim": sim, "real": real,
            "stalled": sum(trace.stalled for trace in traces),
            "difference": newcombe(real, sim) if real["n"] else None,
        })  # fmt: skip
    return found


def to_text(found: Sequence[dict[str, Any]]) -> str:
    """A line a case."""
    table = [(each["case"], _words(each["sim"]), _words(each["real"]), each["stalled"], _span(each["difference"]))
             for each in found]  # fmt: skip
    return tabulate(table, ["case", "simulated", "real", "stalled", "real - simulated"], "github")


def _words(odds: dict[str, Any]) -> str:
    return f"{odds['k']}/{odds['n']} ({odds['low']:.2f} to {odds['high']:.2f})" if odds["n"] else "-"


def _span(difference: dict[str, float] | None) -> str:
    return f"{difference['low']:+.2f} to {difference['high']:+.2f}" if difference else "-"
