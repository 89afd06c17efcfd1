"""Answers to "and if it were otherwise?" within a moment: what takes long is done before the first question.

An outage depends on the delay, the quorum and the kind of crash. All combinations are simulated once, with the same
chance in each. How often each kind happens only weighs these runs anew, and stalls enter by a closed form; so every
answer is the very one that `hastudy tune` gives, by the same code, a hundred times faster.

Left out: lost registrations, whose simulation depends on the law of the stalls; measured stalls, and stalls of the
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from model.bounds import Quality, group_of, quality, start
from model.laws import MIXED_MS
from model.scenario import Scenario
from study.tune import inputs
from study.tune.choice import Goal, at_delay, choose, front
from study.tune.curve import Curve, Progress, Study, curve
from study.tune.inputs import KIND_OF, Conditions, Stalls
from study.tune.needless import Needless, Rate, with_delay
from study.tune.runs import Runs, Service, lean

OUTAGE = "outage_p95"
"""The statistic of the outage that is limited. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Position:
    """One question: where all sliders stand.

    Attributes
    ----------
    down_after_ms : int
        The delay that is set now.
    quorum : int
    host, redis, frozen : float
        Crashes a year, by kind.
    stalls_per_year, stall_median_ms, stall_sigma : float
        Stalls of Redis, lognormal. Those of the host are as `inputs.ASSUMED_STALLS` says.
    outage_limit_s, needless_limit : float
        The most that `OUTAGE` and needless failovers a year may be.
    outage_weight, needless_weight : float
        What a second of outage, and a needless failover, cost.
    """

    down_after_ms: int = 10_000
    quorum: int = 2
    host: float = 1.0
    redis: float = 1.0
    frozen: float = 0.0
    stalls_per_year: float = 500.0
    stall_median_ms: float = 300.0
    stall_sigma: float = 1.0
    outage_limit_s: float = 15.0
    needless_limit: float = 1.0
    outage_weight: float = 1.0
    needless_weight: float = 30.0

    def conditions(self) -> Conditions:
        """The same as a conditions file would say it.

        Raises
        ------
        ScenarioError
            Nothing ever crashes.
        """
        redis = {"of": "redis", "law": "lognormal", "per_year": self.stalls_per_year,
                 "median_ms": self.stall_median_ms, "sigma": self.stall_sigma}  # fmt: skip
        others = [each.model_dump(exclude_none=True) for each in inputs.ASSUMED_STALLS if each.of != "redis"]
        return inputs.check({
            "crashes_per_year": {"host": self.host, "redis": self.redis, "frozen": self.frozen},
            "stall": [redis, *others],
            "weights": {"outage_s": self.outage_weight, "needless": self.needless_weight},
            "registrations_per_s": 0.0,
        }, "sliders")  # fmt: skip

    @property
    def goal(self) -> Goal:
        """Least cost within both limits."""
        return Goal("cost", {OUTAGE: self.outage_limit_s, "needless": self.needless_limit})


@dataclass(frozen=True, slots=True)
class Answer:
    """What follows.

    Attributes
    ----------
    data : dict
        As the JSON of `hastudy tune`: ``admissible``, ``best``, ``at_best``, ``present``, ``front``, ``infeasible``.
    curve : Curve
    quality : Quality
        Of one sentinel and of the group, at the delay that is set now, for the stalls of Redis.
    """

    data: dict[str, Any]
    curve: Curve
    quality: Quality


@dataclass(frozen=True, slots=True)
class RememberingStudy(Study):
    """A study that simulates each crash once."""

    seen: dict[Scenario, Runs] = field(default_factory=dict, compare=False)

    def observe(self, crash: Scenario) -> Runs:
        """Simulated runs, or those that there are."""
        if crash not in self.seen:
            # Zero arguments of super() do not work in a dataclass with slots.
            self.seen[crash] = Study.observe(self, crash)
        return self.seen[crash]


class AllDelays(Needless):
    """Needless failovers at all delays of a range, reckoned at once.

    A longer delay does nothing to the law of a start but shift it (`model.bounds.start`, delays from `MIXED_MS` on).
    So the rates at all delays are one correlation of that law with P(length > t).

    Parameters
    ----------
    scenario : Scenario
    stalls : sequence of Stalls
        Of Redis or of a host, each with a law.
    low_ms, high_ms : int
    """

    def __init__(self, scenario: Scenario, stalls: Sequence[Stalls], low_ms: int, high_ms: int) -> None:
        super().__init__(scenario, stalls, runs=0, seed=0)
        assert low_ms >= MIXED_MS, "below, the law changes its shape"
        self._low_ms, self._span_ms = low_ms, high_ms - low_ms
        self._per_year = sum((self._rates(with_delay(scenario, low_ms), each) for each in stalls), np.zeros(1))

    def _rates(self, scenario: Scenario, stalls: Stalls) -> Any:
        assert stalls.of != "network" and not stalls.is_measured, "needs a closed form and a law"
        group = group_of(scenario, KIND_OF[stalls.of])
        if not group.fails_over:
            return np.zeros(self._span_ms + 1)
        law = start(group)
        lengths_ms = law.start_ms + np.arange(len(law.mass) + self._span_ms)
        return stalls.per_year * np.correlate(stalls.longer(lengths_ms), law.mass, "valid")

    def at(self, down_after_ms: int) -> Rate:
        """The rate with this delay."""
        return Rate(float(self._per_year[down_after_ms - self._low_ms]), np.zeros(0), 0.0)


class Prepared:
    """A scenario that is simulated once, and answers for any `Position` then.

    Parameters
    ----------
    scenario : Scenario
        Its own delay is one of those simulated.
    service : str
        Whose outage counts.
    runs, seed : int
        Runs of each delay, quorum and kind of crash.
    low_ms, high_ms : int
        Delays that are looked at.
    """

    def __init__(
        self, scenario: Scenario, service: Service, runs: int, seed: int, low_ms: int = 1_000, high_ms: int = 60_000
    ) -> None:
        self._scenario, self.range_ms = lean(scenario, service, counts_losses=False), (low_ms, high_ms)
        self._service, self._runs, self._seed = service, runs, seed
        self._seen: dict[Scenario, Runs] = {}

    @property
    def quorums(self) -> range:
        """Quorums that can be asked about."""
        return range(1, len(self._scenario.sentinel_hosts) + 1)

    @property
    def simulated(self) -> int:
        """Simulated runs so far."""
        return len(self._seen) * self._runs

    def prepare(self, progress: Progress) -> None:
        """Simulate all that any question may need."""
        for number, quorum in enumerate(self.quorums):
            self._curve(Position(quorum=quorum, frozen=1.0))
            progress((number + 1) / len(self.quorums), f"quorum {quorum}")

    def answer(self, position: Position) -> Answer:
        """Find what is admissible and best.

        Raises
        ------
        ScenarioError
            Nothing ever crashes.
        """
        found, stalls = self._curve(position)
        chosen = choose(found, position.goal)
        data = {
            "goal": {"objective": position.goal.objective, "limits": position.goal.limits},
            **chosen,
            "at_best": at_delay(found, chosen["best"]["down_after_ms"]) if chosen["best"] else None,
            "present": at_delay(found, position.down_after_ms),
            "front": front(found, position.goal, position.down_after_ms),
        }
        group = group_of(with_delay(self._with_quorum(position.quorum), position.down_after_ms), "frozen")
        return Answer(data, found, quality(group, stalls.per_year, stalls.longer))

    def _curve(self, position: Position) -> tuple[Curve, Stalls]:
        conditions = position.conditions()
        stalls = inputs.stalls_of(conditions, inputs.Path())
        scenario = self._with_quorum(position.quorum)
        study = RememberingStudy(scenario, conditions, stalls, self._service, self._runs, self._seed, self._seen)
        return curve(study, AllDelays(scenario, stalls, *self.range_ms), *self.range_ms, lambda *_: None), stalls[0]

    def _with_quorum(self, quorum: int) -> Scenario:
        sentinel = self._scenario.sentinel.model_copy(update={"quorum": quorum})
        return self._scenario.model_copy(update={"sentinel": sentinel})
