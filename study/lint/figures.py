"""The numbers of findings: from simulations of the scenario understood, from closed forms, from what was measured.

A simulated figure names the command that shows it again. Each scenario is simulated once, whatever is asked of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.scenario import Scenario, load, parse
from study import arms, catalog
from study.arms import Voice
from study.folders import to_toml
from study.lint.findings import Figure
from study.outcome import Arm

RUNS = 200
"""Simulated runs of each circumstance: half a second of two cores. Kind: assumed."""

SCENARIO_FILE = "scenario.toml"
"""What `--out` calls the scenario understood."""

STANDS_IN = "scenarios/host_loss/primary_host_vanishes.toml"
"""Simulated where the files are too contradictory for a scenario of their own."""

Changes = tuple[tuple[str, Any], ...]
"""Keys of a scenario with other values: ``(("fault.0.kind", "crash"),)``."""


class Figures:
    """Makes figures for one scenario.

    Parameters
    ----------
    scenario : Scenario or None
        None: the guide's own case (`STANDS_IN`) is simulated in its place.
    folder : Path or None
        Where the scenario will be written: commands name it.
    runs, seed : int
    """

    def __init__(self, scenario: Scenario | None, folder: Path | None, runs: int = RUNS, seed: int = 1) -> None:
        self.runs, self.seed = runs, seed
        self._file = str((folder or Path()) / SCENARIO_FILE) if scenario else STANDS_IN
        self.scenario = scenario or load(catalog.folder().parent / STANDS_IN)
        self._seen: dict[str, dict[str, Any]] = {}

    def share(self, course: str, words: str, changes: Changes = (), committed: str = "") -> Figure:
        """How often something happens: ``failover``, ``needless_failover``, ..., with its 95 % Wilson interval."""
        found = self._summary(changes, committed)["probabilities"][course]
        text = f"{words} in {found['k']} of {found['n']} simulated runs"
        return Figure(text, found["k"] / found["n"], "probability", found["low"], found["high"], "simulated",
                      self._command(changes, committed))  # fmt: skip

    def outage(self, quantity: str, words: str, changes: Changes = (), committed: str = "") -> Figure:
        """Median outage in a run, with its 5 and 95 % quantiles: ``redis_write``, ``register@host2``, ..."""
        found = self._summary(changes, committed)["outages"][quantity]
        return self._quantiles(words, found, "s", self._command(changes, committed), 1_000, found.get("censored", 0))

    def last_node_back(self, words: str, changes: Changes = (), lost: str = "") -> Figure:
        """The longest of the median outages of nodes, that of the host `lost` left out."""
        outages = self._summary(changes)["outages"]
        nodes = [name for name in outages if name.startswith("register@") and name != f"register@{lost}"]
        worst = max(nodes, key=lambda name: outages[name]["p50_ms"], default="redis_write")
        return self.outage(worst, words, changes)

    def milestone(self, name: str, words: str, changes: Changes = (), committed: str = "") -> Figure:
        """Median time of a milestone after the fault, with its 5 and 95 % quantiles."""
        found = self._summary(changes, committed)["milestones"][name]
        return self._quantiles(words, found, "s", self._command(changes, committed), 1_000, 0)

    def lost(self, words: str, changes: Changes = (), committed: str = "") -> Figure:
        """Registrations that were confirmed and lost in a run: median with 5 and 95 % quantiles."""
        found = self._summary(changes, committed)["losses"]["acknowledged_lost"]
        named = {f"{name}_ms": found[name] for name in ("p5", "p50", "p95")}
        return self._quantiles(words, named, "registrations", self._command(changes, committed), 1, 0)

    def _quantiles(self, words: str, found: dict, unit: str, command: str, per: int, censored: int) -> Figure:
        low, middle, high = (found[f"{name}_ms"] / per for name in ("p5", "p50", "p95"))
        least = "at least " if censored else ""
        text = f"{words}: {least}{_short(middle)} {unit} ({_short(low)} to {_short(high)} in 90 % of simulated runs)"
        return Figure(text, middle, unit, low, high, "simulated", command)

    def command(self, verb: str, words: str) -> str:
        """Another command about the same scenario."""
        return f"hastudy {verb} {self._file} {words}"

    def _command(self, changes: Changes, committed: str) -> str:
        sets = "".join(f" --set {key}={_value(value)}" for key, value in changes)
        return f"hastudy simulate {committed or self._file} --runs {self.runs} --seed {self.seed}{sets}"

    def _summary(self, changes: Changes, committed: str = "") -> dict[str, Any]:
        overrides = [f"{key}={json.dumps(value)}" for key, value in changes]
        key = " ".join([committed, *overrides])
        if key not in self._seen:
            if committed:
                scenario = load(catalog.folder().parent / committed, overrides)
            else:
                scenario = parse(to_toml(self.scenario.canonical()), self._file, overrides)
            traces = arms.simulate(scenario, self.runs, self.seed, Voice(quiet=True))
            self._seen[key] = Arm.of(scenario, traces).summary
        return self._seen[key]


def certain(words: str, command: str, value: float = 1.0, unit: str = "probability", kind: str = "specified") -> Figure:
    """A figure that needs no simulation: what a source says, or what was tried; `command` names it."""
    return Figure(words, value, unit, None, None, kind, command)


def bound(words: str, value: float, unit: str, low: float | None, high: float | None, command: str) -> Figure:
    """A figure from a closed form."""
    return Figure(words, value, unit, low, high, "bound", command)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
