"""Cycles of a simulated cluster, for splitting (`sim.splitting.Walk`): from a disturbance of a cluster at rest until it
is at rest again, or has failed over.

A cycle begins when something is disturbed while nothing is, and ends when nothing is any more and no sentinel waits for
the primary, suspects it, or is about to replace it. Its state is the whole engine's: the record `sim.state.WORLD` and
the heap. It is flat, so that a copy is a copy of bytes, of those that are in use.

Left out: that a cycle leaves the cluster with other phases than it found it (sentinels that waited for the same answer
PING in step for some minutes after), and with a sentinel in TILT, which judges nothing for 30 s. Both matter only when
cycles follow each other that closely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from model.compiled import compile_function, one_to_numpy
from model.laws import TICK_MS
from model.scenario import Scenario
from model.sentinel import PING_PERIOD_US
from sim import heap, kernel, rare_kernel
from sim.disturbances import YOUNG, Cause, Disturbances, Situation, Strike
from sim.rare_kernel import CALM, DEMOTED, FAILED_OVER, LAST, LEG, NOTHING, STEPS
from sim.settings import settings_of
from sim.state import WORLD, no_room
from sim.steady import SETTINGS

ALWAYS = 1 << 60
"""A level that is never reached."""

DAY_US = 86_400_000_000
"""Horizon that the engine is given: nothing ends a cycle from outside. Kind: assumed."""

MOST_DEMOTION_US = 300_000_000
"""So long after a failover the old primary is waited for, at most. Kind: assumed (it is demoted 10 to 12 s after its
return)."""
SETTLE_US = 2_000_000
"""From its demotion until losses are counted: what is under way arrives. Kind: assumed."""

STRIDES = 10
"""There are at least about so many levels. Kind: assumed."""

_LIVE = {"free": "n_free", "event": "n_places", "fresh": "n_fresh", "connection": "connections", "process": "actors",
         "registration_host": "n_registrations", "registration_branch": "n_registrations",
         "registration_offset": "n_registrations", "binding": "n_bindings", "ua": "clients"}  # fmt: skip
"""Arrays of which only the first so many places are in use."""
_UNUSED = ("report", "out")
"""What no event finds of an earlier one."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A state: pieces of the world with their places, the heap, the surroundings."""

    pieces: tuple[tuple[int, np.ndarray], ...]
    heap: np.ndarray
    situation: Situation


class ClusterWalk:
    """Cycles of one scenario that begin with certain causes.

    Parameters
    ----------
    scenario : Scenario
        Without faults of its own.
    causes : sequence of Cause
        All that there are.
    first : sequence of int
        With which of them cycles begin, in proportion to their rates.
    seed : int
        Of the engine's draws, below 2**62.
    chance : Generator
        For everything else.
    boost : float
        See `sim.disturbances`; 0: everything as it is in truth.
    counts : bool
        The reward of a failover is the number of registrations that it loses, else 1.

    Attributes
    ----------
    goal : int
        Score of a failover.
    stride : int
        See `sim.splitting.Walk`.
    simulated_us : float
        Simulated so far, in all.
    """

    goal = FAILED_OVER

    def __init__(
        self, scenario: Scenario, causes: Sequence[Cause], first: Sequence[int], seed: int,
        chance: np.random.Generator, boost: float, counts: bool = False,
    ) -> None:  # fmt: skip
        horizon = scenario.run.model_copy(update={"horizon_ms": DAY_US // 1000})
        self._settings = one_to_numpy(SETTINGS, settings_of(scenario.model_copy(update={"fault": (), "run": horizon})))
        self.stride = most_score(scenario.sentinel.quorum) // STRIDES
        self._name, self._first, self._counts = scenario.name, first, counts
        rates = np.array([causes[each].per_hour for each in first])
        self._shares = rates / rates.sum()
        self._chance = chance
        delay_us = scenario.sentinel.down_after_ms * 1e3
        young_us = YOUNG * (delay_us + min(delay_us, PING_PERIOD_US))
        self._disturbances = Disturbances(causes, young_us, chance, boost)
        self._lead_us = int(self._settings["lead_us"])
        self._world = np.zeros((), WORLD.dtype)
        self._bytes = self._world.reshape(1).view(np.uint8)
        self._heap = np.zeros(kernel.HEAP_LENGTH, heap.ENTRY.dtype)
        self._leg = np.zeros((), LEG.dtype)
        self._leg["seed"], self._leg["enough_us"] = seed, 1e3 * enough_ms(scenario)
        self._run = 0
        self.simulated_us = 0.0

    # --- what splitting asks for -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A cluster at rest, and the first disturbance."""
        self._advance(is_first=1)
        cause = int(self._chance.choice(self._first, p=self._shares))
        self._plan(self._disturbances.begin(self._now_us, cause))

    def climb(self, level: int) -> int:
        """Go on until the score is `level` or the cycle is over; returns the highest score seen."""
        highest = 0
        while True:
            quiet = self._disturbances.is_quiet
            leg = self._advance(self._disturbances.next_us, level, CALM if quiet else NOTHING)
            highest = max(highest, int(leg["highest"]))
            if highest >= level or leg["has_stopped"] == 1:
                return highest
            self._plan(self._disturbances.change())

    def save(self) -> Saved:
        """The state now."""
        pieces = tuple((start, self._bytes[start:end].copy()) for start, end in self._pieces())
        return Saved(pieces, self._heap[: int(self._leg["waiting"])].copy(), self._disturbances.situation.copy())

    def resume(self, state: Saved) -> None:
        """Go on from a state, with chance of its own from there."""
        for start, piece in state.pieces:
            self._bytes[start : start + len(piece)] = piece
        self._heap[: len(state.heap)] = state.heap
        self._leg["waiting"], self._leg["strikes"] = len(state.heap), 0
        self._leg["parts"] = 1
        self._disturbances.situation = state.situation.copy()
        self._disturbances.draw_anew(self._now_us)

    @property
    def weight(self) -> float:
        """Likelihood ratio of the path so far."""
        return self._disturbances.weight(self._now_us)

    @property
    def age_us(self) -> float:
        """Since the cycle began."""
        return self._now_us - self._disturbances.situation.start_us

    @property
    def jumps(self) -> int:
        """Disturbances after the first."""
        return self._disturbances.situation.begun

    def reward(self) -> float:
        """What the failover that has just happened counts."""
        return self._count() if self._counts else 1.0

    # --- losses ------------------------------------------------------------------------------------------------------

    def _count(self) -> float:
        """Registrations lost: what is disturbed goes on to its end, nothing new begins, the old primary is demoted."""
        disturbances, end_us = self._disturbances, self._now_us + MOST_DEMOTION_US
        while disturbances.next_end_us < end_us:
            self._advance(disturbances.next_end_us)
            self._plan(disturbances.end())
        self._advance(end_us, stop=DEMOTED)
        return float(self._advance(self._now_us + SETTLE_US, counts=1)["lost"])

    # --- the engine --------------------------------------------------------------------------------------------------

    @property
    def _now_us(self) -> int:
        return int(self._world["now_us"])

    def _plan(self, strikes: Sequence[Strike]) -> None:
        """The next leg begins with these, at its start: where the last one ended."""
        for row, strike in zip(self._world["fault"], strikes, strict=False):
            row["report"], row["host"], row["program"] = strike.report, strike.host, strike.program
            row["to"], row["value"] = strike.to, strike.value
        self._leg["strikes"] = len(strikes)

    def _advance(
        self, until_us: float = 0, level: int = ALWAYS, stop: int = NOTHING, is_first: int = 0, counts: int = 0
    ) -> np.ndarray:
        leg, before_us = self._leg, self._now_us
        if is_first or leg["parts"]:
            self._run += 1
            leg["number"] = self._run
        leg["is_first"], leg["until_us"], leg["level"], leg["stop"] = is_first, until_us, level, stop
        leg["counts"], leg["strikes_us"] = counts, before_us
        failed = _compiled()(self._world, self._settings, self._heap, leg)
        if failed:
            raise no_room(self._name, int(leg["seed"]), self._run)
        leg["parts"], leg["strikes"] = 0, 0
        self.simulated_us += self._lead_us if is_first else self._now_us - before_us
        return leg

    def _pieces(self) -> list[tuple[int, int]]:
        """First and last byte of all that is in use."""
        growing = ((start, size * int(self._world[used])) for start, size, used in _growing_pieces())
        return _fixed_pieces() + [(start, start + length) for start, length in growing if length]


def most_score(quorum: int) -> int:
    """Score when the quorum must suspect."""
    return STEPS * (quorum - 1 + LAST)


def enough_ms(scenario: Scenario) -> float:
    """Silence of the primary after which a sentinel surely suspects it."""
    return scenario.sentinel.down_after_ms + TICK_MS[1]


@cache
def _compiled() -> Any:
    return compile_function(rare_kernel.advance)


@cache
def _fixed_pieces() -> list[tuple[int, int]]:
    """What is in use whole, neighbours put together."""
    found: list[tuple[int, int]] = []
    for name, (kind, start, *_) in (WORLD.dtype.fields or {}).items():
        if name in _LIVE or name in _UNUSED:
            continue
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, WORLD.dtype.fields[name][1] + kind.itemsize))
    return found


@cache
def _growing_pieces() -> list[tuple[int, int, str]]:
    """Start and size of a place of the other arrays, and the field that says how many are in use."""
    fields = WORLD.dtype.fields or {}
    return [(fields[name][1], fields[name][0].base.itemsize, used) for name, used in _LIVE.items()]
