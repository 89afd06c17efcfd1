"""All that is simulated for a page, each thing once."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from model.bounds import Range, bounds_of
from model.errors import UsageError
from model.scenario import Scenario
from study import arms
from study.arms import Progress, Voice
from study.folders import to_toml
from study.outcome import Arm, stored_runs
from study.review import circumstances

LIGHT_RUNS = 100
"""Most runs of each of the many settings that `tune` and `availability` try. Kind: assumed."""

SCENARIOS = "review_scenarios"
"""Folder beside the page that gets the scenarios of its figures."""


@dataclass(slots=True)
class Measured:
    """Stored real runs of the scenario as it was given."""

    scenario: Scenario
    sim: Arm
    real: Arm
    comparison: dict[str, Any]


@dataclass
class Study:
    """A set-up and what is known of it.

    Attributes
    ----------
    scenario : Scenario
    folder : Path
        Where its scenarios are written: commands name it.
    runs, seed : int
    away_ms : int or None
        How long what fails is away; None: as long as its own delay asks for. Two that are compared have the same.
    """

    scenario: Scenario
    folder: Path
    runs: int
    seed: int
    away_ms: int | None = None
    _arms: dict[str, Arm] = field(default_factory=dict)

    def has(self, circumstance: str) -> bool:
        """The set-up can be struck so."""
        return circumstances.is_possible(self.scenario, circumstance)

    def of(self, circumstance: str) -> Scenario:
        """The scenario of a circumstance."""
        return circumstances.of(self.scenario, circumstance, self.away_ms)

    def arm(self, circumstance: str) -> Arm:
        """Its simulated runs."""
        if circumstance not in self._arms:
            scenario = self.of(circumstance)
            traces = arms.simulate(scenario, self.runs, self.seed, Voice(quiet=True))
            self._arms[circumstance] = Arm.of(scenario, traces)
        return self._arms[circumstance]

    def summary(self, circumstance: str) -> dict[str, Any]:
        """What `hastudy simulate --json` prints of it."""
        return self.arm(circumstance).summary

    def path(self, circumstance: str) -> Path:
        """File of a circumstance's scenario."""
        return self.folder / f"{circumstance}.toml"

    def command(self, circumstance: str) -> str:
        """What makes its numbers again."""
        return f"hastudy simulate {self.path(circumstance)} --runs {self.runs} --seed {self.seed}"

    def worst_node(self, circumstance: str) -> str:
        """``register@HOST`` of the node that is out longest in the median, of those not struck; empty without one."""
        struck = {fault.host for fault in self.of(circumstance).fault if fault.process in ("all", "registrar")
                  and fault.kind not in ("partition", "failover")}  # fmt: skip
        outages = self.summary(circumstance)["outages"]
        nodes = [name for name in outages if name.startswith("register@") and name.partition("@")[2] not in struck]
        return max(nodes, key=lambda name: (outages[name].get("p50_ms", 0), name), default="")

    @cached_property
    def bounds(self) -> dict[str, Range]:
        """Closed forms for the loss of the primary's host; empty where there are none."""
        try:
            return bounds_of(self.of("host_vanishes"), "host").ranges
        except UsageError:  # it loses packets
            return {}

    @cached_property
    def service(self) -> str:
        """Whose outage counts: nodes where there are any, else Redis."""
        return "register" if any(host.registrar for host in self.scenario.host) else "redis_write"

    @cached_property
    def tuned(self) -> dict[str, Any]:
        """What `hastudy tune --json` prints, with half the delay besides."""
        from study.tune import options

        asked = options.read(_arguments(self.service, "outage_p95", self.light_runs))
        data, curve = options.run(self.scenario, asked, self.seed, _silent)
        half = max(options.LEAST_MS, self.scenario.sentinel.down_after_ms // 2)
        data["at_half"] = {name: curve.at(name, half)[0] for name in ("outage_p95", "needless")}
        return data

    @cached_property
    def available(self) -> dict[str, Any]:
        """What `hastudy availability --json` prints."""
        from study.availability import options

        return options.run(
            self.scenario, options.read(_arguments(self.service, None, self.light_runs)), self.seed, _silent
        )

    @property
    def light_runs(self) -> int:
        """Runs of each of many settings."""
        return min(self.runs, LIGHT_RUNS)

    @property
    def tune_command(self) -> str:
        """What makes the numbers about delays and knobs again."""
        return self._command("tune")

    @property
    def availability_command(self) -> str:
        """What makes the nines again."""
        return self._command("availability")

    def _command(self, verb: str) -> str:
        where = f"{self.path('host_vanishes')} --service {self.service}"
        return f"hastudy {verb} {where} --runs {self.light_runs} --seed {self.seed}"

    @cached_property
    def measured(self) -> Measured | None:
        """Stored real runs of the very scenario that was given, compared; None if there are none."""
        from study.compare import compare_measures

        try:
            scenario, traces = stored_runs(self.scenario, Voice(quiet=True))
        except UsageError:
            return None
        sim = Arm.of(scenario, arms.simulate(scenario, self.runs, self.seed, Voice(quiet=True)))
        real = Arm.of(scenario, traces)
        return Measured(scenario, sim, real, compare_measures(scenario, sim.runs, real.runs, self.seed, 0).to_json())

    def write(self) -> None:
        """Write the scenarios of all circumstances."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in circumstances.CIRCUMSTANCES:
            if self.has(name):
                told = self.of(name).model_dump(mode="json", by_alias=True, exclude_unset=True)
                self.path(name).write_text(to_toml(told), encoding="utf-8")

    def prepare(self, progress: Progress) -> None:
        """Simulate everything, and say how far it is."""
        wanted = [name for name in circumstances.CIRCUMSTANCES if self.has(name)]
        for number, name in enumerate(wanted):
            progress(0.4 * number / len(wanted), circumstances.CIRCUMSTANCES[name][0])
            self.arm(name)
        progress(0.4, "delays and other knobs")
        _ = self.tuned
        progress(0.8, "the nines")
        _ = self.available
        progress(0.95, "stored real runs")
        _ = self.measured


def _silent(share: float, text: str = "") -> None:
    """Progress is shown by the whole."""


def _arguments(service: str, objective: str | None, runs: int) -> argparse.Namespace:
    """What the command line of `tune` and `availability` would have given."""
    return argparse.Namespace(objective=objective, limit=[], conditions=None, stalls=[], service=service,
                              range="1000:60000", runs=runs, no_knobs=False)  # fmt: skip
