"""Cases of a report: scenarios and variants of them, with their simulated and their stored real runs.

Stored runs lie in ``runs/`` of the report's folder, as those of the matrix do (`study.stored`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.scenario import Scenario, load
from model.trace import Trace
from study import arms, catalog, matrix, stored
from study.arms import Voice
from study.report.pages import Order

CLUSTERS_AT_ONCE = 4
"""Kind: assumed (two cores, up to 15 clients in each cluster)."""

ROUND = 5
"""Real runs of each case that are made before those of the next round, so that an interrupt leaves some of each. Kind:
assumed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario, or one variant of it.

    Attributes
    ----------
    name : str
        Unique in its report.
    scenario : Scenario
    real_runs : int
        Usable real runs wanted; 0 = only simulated.
    """

    name: str
    scenario: Scenario
    real_runs: int = 0


def case(file: str, *changes: str, name: str = "", real_runs: int = 0) -> Case:
    """A case from a file below ``scenarios/``, with some keys set."""
    scenario = load(catalog.folder() / file, [*changes, f'server.version="{matrix.FAMILY}"'])
    return Case(name or scenario.name, scenario, real_runs)


def runs_folder(order: Order) -> Path:
    """Where the report's real runs are stored."""
    return order.folder / "runs"


def real_runs(cases: Sequence[Case], order: Order) -> dict[str, list[Trace]]:
    """Real runs of each case by the digest of its scenario; missing ones are measured unless stored ones are asked for.

    Raises
    ------
    EnvironmentLacks
        They cannot be measured here.
    """
    wanted = [each for each in cases if each.real_runs]
    if not order.stored:
        _measure(wanted, order)
    return {each.scenario.digest: stored.runs(each.scenario, runs_folder(order)) for each in wanted}


def _measure(cases: Sequence[Case], order: Order) -> None:
    from study import collect

    servers = collect.servers_by_family([order.server] if order.server else [])
    goal = max((each.real_runs for each in cases), default=0)
    for so_far in range(ROUND, goal + ROUND, ROUND):
        cells = [_cell(each, min(so_far, each.real_runs)) for each in cases]
        collect.collect(cells, servers, runs_folder(order), CLUSTERS_AT_ONCE, order.voice)


def _cell(case: Case, real_runs: int) -> matrix.Cell:
    return matrix.Cell(case.name, case.scenario, real_runs, main=False, fault_class=case.name, cause="")


def simulate(case: Case, runs: int, seed: int, voice: Voice) -> list[Trace]:
    """Simulated runs of a case."""
    voice.say(f"{case.name}: {runs} simulated runs")
    return arms.simulate(case.scenario, runs, seed, voice)


def with_runs(cases: Sequence[Case], real_runs: int) -> list[Case]:
    """The same cases with another number of real runs."""
    return [dataclasses.replace(each, real_runs=real_runs) for each in cases]


def usable(traces: Mapping[str, Sequence[Trace]], case: Case) -> list[Trace]:
    """Real runs of a case that did not stall."""
    return [trace for trace in traces.get(case.scenario.digest, ()) if not trace.stalled]
