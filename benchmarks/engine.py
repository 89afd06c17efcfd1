"""How fast the engines are, as ratios within one run: this machine's other work moves all rows alike.

    python benchmarks/engine.py                                    # five minutes of processor time
    python benchmarks/engine.py --only workload --repetitions 9    # the compiler against C, a quarter of a minute
    python benchmarks/engine.py --json --out benchmarks/results/engine.json

Three questions. *workload*: what does the compiler leave on the table? A small cluster, written once in the machines'
language and once by hand in C; same events in the same order, or the benchmark stops. *engine*: how many runs a second
does the batch engine make on one core, against the same machines in SimPy? *growth*: how does a run's time grow with
runs, hosts, SIP clients and the horizon?

What is measured is processor time, user and system, of this process; rows take turns (A B A B ...), so that a slow
spell of the machine hits all of them. A row gives the median of its repetitions and their range.

Exit codes: 0; 1 when engines disagree.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import drivers
from tabulate import tabulate

from model import scenario as scenarios
from model.errors import EnvironmentLacks
from model.measures import MILESTONES
from model.scenario import Scenario
from sim import batch
from sim.world import World

SCENARIO = Path(__file__).parents[1] / "scenarios" / "host_loss" / "primary_host_vanishes.toml"
SEED = 1
CHECKED_RUNS = 3
"""Runs of the workload that all engines must agree on before any is timed. Kind: assumed."""
SPELL_S = 0.5
"""Processor time of one repetition of one row, about. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was timed.

    Attributes
    ----------
    name : str
    runs_per_s, low, high : float
        Median of the repetitions, slowest, fastest; per second of processor time.
    events_per_s : float
    ratio : float
        Of the medians: how many times faster than the first of those that took turns with it.
    """

    name: str
    runs_per_s: float
    low: float
    high: float
    events_per_s: float
    ratio: float


Make = Callable[[int], Any]
"""Makes so many runs."""


def cpu_s(make: Make, runs: int) -> float:
    """Processor time of so many runs, s."""
    before = time.process_time()
    make(runs)
    return time.process_time() - before


def timed(cases: dict[str, tuple[Make, float]], repetitions: int) -> list[Row]:
    """Time all in turns; the first is what the others are compared with.

    Parameters
    ----------
    cases : dict
        By name: what makes runs, and events of one run.
    repetitions : int
    """
    runs = {name: _runs_of_a_spell(make) for name, (make, _) in cases.items()}
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repetitions):
        for name, (make, _) in cases.items():
            rates[name].append(runs[name] / cpu_s(make, runs[name]))
    first = median(next(iter(rates.values())))
    return [
        Row(name, median(each), min(each), max(each), cases[name][1] * median(each), median(each) / first)
        for name, each in rates.items()
    ]


def _runs_of_a_spell(make: Make) -> int:
    """How many runs take about `SPELL_S`; warms up, too."""
    make(1)
    runs, took_s = 1, cpu_s(make, 1)
    while took_s < SPELL_S / 8:
        runs *= 4
        took_s = cpu_s(make, runs)
    return max(1, round(runs * SPELL_S / took_s))


# --- the workload ----------------------------------------------------------------------------------------------------


class Disagreement(Exception):
    """Two engines made different events of the same runs."""


def workload_rows(repetitions: int) -> tuple[list[Row], list[str]]:
    """The rows, C first where there is a compiler; and what was left out, with the reason."""
    found, left_out = {}, []
    for name, driver in drivers.DRIVERS.items():
        try:
            found[name] = driver(SEED, 0, CHECKED_RUNS)
        except EnvironmentLacks as lack:
            left_out.append(f"{name}: {lack}")
    if len(set(found.values())) != 1:
        raise Disagreement(f"seed {SEED}, runs 0 to {CHECKED_RUNS - 1}: {found}")
    events = next(iter(found.values())).events / CHECKED_RUNS
    return timed({name: (_driver(drivers.DRIVERS[name]), events) for name in found}, repetitions), left_out


def _driver(driver: drivers.Driver) -> Make:
    return lambda runs: driver(SEED, 0, runs)


# --- the whole engine ------------------------------------------------------------------------------------------------


def cluster(hosts: int = 3, clients: int = 0, horizon_ms: int = 12_500, registrars: bool = True) -> Scenario:
    """A cluster whose primary's host vanishes and stays away.

    Parameters
    ----------
    hosts, clients : int
    horizon_ms : int
        Simulated time after that.
    registrars : bool
        Whether hosts run registrar nodes, each under its register prober.
    """
    node = "true" if registrars else "false"
    parts = [_HEAD.format(horizon_ms=horizon_ms, quorum=hosts // 2 + 1)]
    parts += [f'[[host]]\nname = "host{number + 1}"\nregistrar = {node}' for number in range(hosts)]
    parts += [_CLIENT.format(number=number + 1) for number in range(clients)]
    return scenarios.parse("\n".join(parts))


_HEAD = """schema = 1
name = "benchmark"
question = "How fast is the engine?"
[server]
primary = "host1"
[sentinel]
quorum = {quorum}
down_after_ms = 10000
failover_timeout_ms = 20000
[[fault]]
kind = "vanish"
host = "host1"
at_ms = 0
[run]
horizon_ms = {horizon_ms}
"""
_CLIENT = '[[client]]\nname = "phone{number}"\nclass = "baresip"\ntransport = "udp"\nexpires_s = 60'


def engine_rows(repetitions: int) -> list[Row]:
    """The batch engine on the default scenario and on lighter ones, each against the SimPy world on the same."""
    rows = []
    for name, scenario, milestones in (
        ("as it is, 58 s", scenarios.load(SCENARIO), MILESTONES),
        ("one fault, 12.5 s", cluster(), MILESTONES[:-1]),  # nobody returns to be demoted
        ("one fault, 12.5 s, no registrars", cluster(registrars=False), MILESTONES[:-1]),
    ):
        events = _events(scenario)
        unknown = float("nan")  # nobody counts the events of runs that end early
        cases = {
            "SimPy world": (_world(scenario), events),
            "SimPy world, building its state": (_build(scenario), unknown),
            "batch": (_batch(scenario), events),
            "batch, up to the last milestone": (_batch(scenario, milestones), unknown),
            "batch, up to the first write": (_batch(scenario, ["first_write"]), unknown),
        }
        rows += timed({f"{name}: {engine}": case for engine, case in cases.items()}, repetitions)
    return rows


def _batch(scenario: Scenario, until: Sequence[str] = ()) -> Make:
    return lambda runs: batch.outcomes(scenario, SEED, 0, runs, until)


def _world(scenario: Scenario) -> Make:
    return lambda runs: [_through(scenario, run) for run in range(runs)]


def _build(scenario: Scenario) -> Make:
    return lambda runs: [World(scenario, SEED, run) for run in range(runs)]


def _through(scenario: Scenario, run: int) -> World:
    world = World(scenario, SEED, run)
    world.run_until(scenario.run.horizon_ms * 1000)
    return world


def _events(scenario: Scenario) -> float:
    """Events of a run, on average."""
    return sum(_through(scenario, run).happened for run in range(CHECKED_RUNS)) / CHECKED_RUNS


# --- growth and start ------------------------------------------------------------------------------------------------


def growth_rows(repetitions: int) -> list[dict[str, Any]]:
    """Processor time against one thing at a time, each compared with the first of its kind."""
    found = []
    for what, sizes in SIZES.items():
        cases = {size: _case(what, size) for size in sizes}
        took_s: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(repetitions):
            for size, (scenario, runs) in cases.items():
                took_s[size].append(cpu_s(_batch(scenario), runs))
        for size, (scenario, runs) in cases.items():
            us_a_run, events = 1e6 * median(took_s[size]) / runs, _events(scenario)
            ratio = median(took_s[size]) / median(took_s[sizes[0]])
            row = {"events": events, "us_a_run": us_a_run, "ns_an_event": 1e3 * us_a_run / events, "ratio": ratio}
            found.append({"what": what, "size": size, **row})
    return found


def _case(what: str, size: int) -> tuple[Scenario, int]:
    """A scenario and how many runs of it."""
    if what == "runs":
        return cluster(), size
    return cluster(**{what: size}), GROWTH_RUNS  # type: ignore[arg-type]


SIZES: dict[str, tuple[int, ...]] = {
    "runs": (250, 500, 1_000, 2_000),
    "hosts": (3, 4, 5, 6, 7),
    "clients": (0, 1, 4, 8, 16),
    "horizon_ms": (12_500, 25_000, 50_000, 100_000, 200_000),
}
"""What grows, one fault throughout; elsewhere 3 hosts with registrars, no clients, 12.5 s. 16 clients are the most of a
scenario (crowds are `sim.population`'s, on a time line of one run). Kind: assumed."""
POPULATIONS = (10_000, 100_000, 1_000_000)
"""Kind: assumed."""
GROWTH_RUNS = 200
"""Runs of one measurement, where it is not the runs that grow. Kind: assumed."""

_START = """
import time
from model import scenario
from sim import batch
before = time.process_time()
batch.outcomes(scenario.load({path!r}), 1, 0, 1)
print(before, time.process_time())
"""


def start_rows() -> list[dict[str, Any]]:
    """Processor time of a process up to its first result: with an empty cache, and with what that left there."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="hastudy-start-") as cache:
        for name in ("compiles", "loads what an earlier one compiled"):
            command = [sys.executable, "-c", _START.format(path=str(SCENARIO))]
            environment = {**os.environ, "HASTUDY_CACHE": cache}
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            imported, ended = map(float, done.stdout.split())
            rows.append({"process": name, "imports_s": imported, "first_run_s": ended - imported})
    return rows


# --- a population ----------------------------------------------------------------------------------------------------

_POPULATION = """
import resource, time
from model.scenario import parse
from sim.population import simulate_population
from sim.runs import simulate
scenario = parse({text!r})
bare = scenario.model_copy(update={{"client": ()}})
trace = simulate(bare, runs=1, seed={seed})[0]
simulate_population(scenario, trace, 100, {seed})
before_kb, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
curves = simulate_population(scenario, trace, {size}, {seed})
ended, after_kb = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(ended - begun, before_kb, after_kb, int(curves.asked_per_s.sum()))
"""
_CROWD = "".join(
    f'[[client]]\nname = "phone{number}"\nclass = "{of_class}"\ntransport = "{transport}"\nexpires_s = 3600\n'
    for number, (of_class, transport) in enumerate(
        (("ideal", "udp"), ("ideal", "tcp"), ("ideal", "tls"), ("baresip", "udp"), ("baresip", "tcp"))
    )
)
"""Clients without keep-alives. Kind: assumed."""


def population_rows() -> list[dict[str, Any]]:
    """A host with a node vanishes, and the hour after: processor time and memory, each size in a process of its own."""
    text = _HEAD.format(horizon_ms=3_600_000, quorum=2) + '[[host]]\nname = "host1"\n[[host]]\nname = "host2"\n'
    text += '[[host]]\nname = "host3"\n[probe]\nregister_period_ms = 1000\n' + _CROWD
    rows = []
    for size in POPULATIONS:
        program = _POPULATION.format(text=text, size=size, seed=SEED)
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        took_s, before_kb, after_kb, asked = (float(word) for word in done.stdout.split())
        rows.append(
            {"clients": size, "cpu_s": took_s, "us_a_client": 1e6 * took_s / size, "registers": asked,
             "before_mb": before_kb / 1024, "most_mb": after_kb / 1024}
        )  # fmt: skip
    return rows


# --- the report ------------------------------------------------------------------------------------------------------


def measure(only: str, repetitions: int) -> dict[str, Any]:
    """All that is asked for, ready for JSON.

    Raises
    ------
    Disagreement
    """
    result: dict[str, Any] = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "repetitions": repetitions,
    }
    if only in ("all", "workload"):
        rows, left_out = workload_rows(repetitions)
        result |= {"workload": [asdict(row) for row in rows], "left_out": left_out}
    if only in ("all", "engine"):
        result["engine"] = [asdict(row) for row in engine_rows(repetitions)]
    if only in ("all", "growth"):
        result["growth"] = growth_rows(repetitions)
    if only in ("all", "start"):
        result["start"] = start_rows()
    if only in ("all", "population"):
        result["population"] = population_rows()
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the script; the exit code."""
    parser = argparse.ArgumentParser(description="How fast the engines are, as ratios within one run.")
    parser.add_argument("--only", choices=("all", "workload", "engine", "growth", "start", "population"), default="all")
    parser.add_argument("--repetitions", type=int, default=5, help="of every row (5)")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    parser.add_argument("--out", type=Path, help="write the JSON to this file, too")
    asked = parser.parse_args(arguments)
    try:
        result = measure(asked.only, asked.repetitions)
    except Disagreement as disagreement:
        print(f"error: the engines disagree: {disagreement}", file=sys.stderr)
        return 1
    text = json.dumps(result, indent=2).replace("NaN", "null")
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    print(text if asked.json else _report(result))
    return 0


def _report(result: dict[str, Any]) -> str:
    parts = []
    for table in ("workload", "engine"):
        if table in result:
            rows = [_cells(row) for row in result[table]]
            headers = [table, "runs/s of CPU", "range", "M events/s", "ratio"]
            parts.append(tabulate(rows, headers, disable_numparse=True, tablefmt="github"))
    parts += [f"Left out: {reason}" for reason in result.get("left_out", ())]
    for table in ("growth", "start", "population"):
        if table in result:
            parts.append(tabulate(result[table], "keys", floatfmt=".2f", tablefmt="github"))
    return "\n\n".join(parts)


def _cells(row: dict[str, Any]) -> list[str]:
    events = row["events_per_s"]
    return [
        row["name"],
        f"{row['runs_per_s']:,.1f}",
        f"{row['low']:,.1f} to {row['high']:,.1f}",
        f"{events / 1e6:.3f}" if events == events else "",
        f"{row['ratio']:,.{3 if row['ratio'] < 1 else 1}f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
