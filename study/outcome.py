"""What became of one scenario: its arms measured and summarised, their comparison, its exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from model.errors import EnvironmentLacks, UsageError
from model.measures import Facts, RunMeasures, measure, summarise
from model.scenario import Scenario
from model.trace import Trace, read_traces
from model.versions import Version
from study import arms, folders, stored, tables
from study.arms import RealRuns, Voice
from study.exits import ExitCode


@dataclass(frozen=True, slots=True)
class Arm:
    """Traces of one arm, measured and summarised."""

    traces: Sequence[Trace]
    runs: Sequence[RunMeasures]
    summary: dict[str, Any]

    @classmethod
    def of(cls, scenario: Scenario, traces: Sequence[Trace]) -> Arm:
        """Measure traces."""
        facts = Facts.of(scenario)
        runs = [measure(trace, facts) for trace in traces]
        return cls(traces, runs, summarise(traces, runs))


@dataclass(slots=True)
class Outcome:
    """What became of one scenario.

    Attributes
    ----------
    sim, real : Arm or None
    comparison : dict or None
        Its JSON; None when one arm is missing.
    conditional : dict or None
        JSON of the predictions of the single real runs, where they were asked for.
    lacks : EnvironmentLacks or None
        Why real runs are missing.
    interrupted : bool
    """

    scenario: Scenario
    sim: Arm | None
    real: Arm | None
    comparison: dict[str, Any] | None = None
    conditional: dict[str, Any] | None = None
    lacks: EnvironmentLacks | None = None
    interrupted: bool = False

    @property
    def code(self) -> ExitCode:
        """Exit code of this scenario alone."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.lacks:
            return ExitCode.ENVIRONMENT
        verdict = self.comparison["verdict"] if self.comparison else ""
        return {"disagrees": ExitCode.FINDING, "undecided": ExitCode.UNDECIDED}.get(verdict, ExitCode.OK)

    def text(self) -> str:
        """Tables for people."""
        blocks = [tables.summary_text(arm.summary) for arm in (self.sim, self.real) if arm]
        if self.comparison:
            blocks.append(tables.comparison_text(self.comparison, self.sim.summary, self.real.summary))
        if self.conditional:
            blocks.append(tables.conditional_text(self.conditional))
        return "\n\n".join(blocks)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        data = {
            "schema": 1,
            "scenario": self.scenario.name,
            "digest": self.scenario.digest,
            "sim": self.sim.summary if self.sim else None,
            "real": self.real.summary if self.real else None,
            "comparison": self.comparison,
        }
        if self.conditional:
            data["conditional"] = self.conditional
        return {**data, "lacks": str(self.lacks)} if self.lacks else data


def compare_one(scenario: Scenario, args: argparse.Namespace, voice: Voice) -> Outcome:
    """Both arms of one scenario, as far as they can be had; see `study.cli` for `args`."""
    voice.say(f"{scenario.name}: {scenario.question}")
    real = RealRuns([])
    server, lacks = "", None
    if args.stored:
        scenario, real.traces = stored_runs(scenario, voice)
    else:
        try:
            scenario, server = arms.on_real_server(scenario, args.server, voice)
        except EnvironmentLacks as error:
            lacks = error
    traces = arms.simulate(scenario, args.runs, args.seed, voice, args.engine, args.jobs)
    outcome = Outcome(scenario, Arm.of(scenario, traces), None, lacks=lacks)
    if server:
        try:
            real.measure(scenario, args.real, args.seed, voice, server, make_up=True)
        except EnvironmentLacks as error:
            outcome.lacks = error
        except KeyboardInterrupt:
            outcome.interrupted = True
    if real.traces:
        from study.compare import compare_measures

        outcome.real = Arm.of(scenario, real.traces)
        wanted = 0 if args.stored else args.real
        compared = compare_measures(scenario, outcome.sim.runs, outcome.real.runs, args.seed, wanted)
        outcome.comparison = compared.to_json()
        if args.conditional:
            outcome.conditional = _predict_each(scenario, real.traces, args, voice)
    return outcome


def stored_runs(scenario: Scenario, voice: Voice) -> tuple[Scenario, list[Trace]]:
    """Stored runs on servers of the scenario's own family, else of any other; the scenario becomes theirs."""
    own = scenario.server.version
    elsewhere = folders.stored_files()
    for version in (own, *(each for each in get_args(Version) if each != own)):
        candidate = scenario.on_version(version)
        committed = stored.path_of(candidate)
        path = committed if committed.exists() else elsewhere.get(candidate.digest)
        if path:
            voice.say(f"stored real runs: {path}, server.version {version}")
            return candidate, list(read_traces(path))
    raise UsageError(
        f"{scenario.name}: no stored real runs with digest {scenario.digest} in reports/ or runs/\n\n"
        "hint: `hastudy compare` without --stored measures and stores them"
    )


def _predict_each(
    scenario: Scenario, real: Sequence[Trace], args: argparse.Namespace, voice: Voice
) -> dict[str, Any] | None:
    """Predictions of the single real runs from their own phases; None when no run tells them."""
    from study import conditional

    if not any(conditional.can_be_conditioned(trace) for trace in real):
        voice.say(f"{scenario.name}: no usable real run tells the phases of its sentinels")
        return None
    with voice.progress("predicting single runs") as progress:
        hits = conditional.predict(scenario, real, seed=args.seed, engine=args.engine, progress=progress)
    return conditional.to_json(conditional.summarise(hits), conditional.RUNS)
