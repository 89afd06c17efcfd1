"""Replications of splitting over the simulated cluster, and what they say together.

Cycles that begin with different kinds of causes are estimated apart (strata): how likely they lead to the event differs
by many powers of ten, and each has levels of its own. With `rate` the beginnings an hour of one kind while the cluster
is at rest, `p` the probability (or expected number of lost registrations) of a cycle that begins with it, and `busy`
the mean length of such a cycle, the renewal reward theorem gives the events an hour::

    sum(rate x p) / (1 + sum(rate x busy))

The divisor is that of the share of time at rest: a cycle begins with the end of the one before, and is first idle, on
average for 1 / sum(rate), then busy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed

from model.scenario import Scenario
from sim.disturbances import BOOST
from sim.rare_cycles import ClusterWalk
from sim.splitting import Estimate, choose_levels, split
from study.rare.causes import Group

Event = Literal["needless", "lost"]
Progress = Callable[[float, str], None]

BUSY_CYCLES = 300
"""Cycles from which their mean length is known: it matters where much is disturbed, and there it is. Kind: assumed."""

# Purposes of chance: never the same draws twice.
_PILOT, _SPLIT, _BUSY, _CRUDE = range(4)

BLOCK = 500
"""Crude cycles that one worker makes at a time. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked.

    Attributes
    ----------
    scenario : Scenario
        Without what nobody looks at.
    groups : sequence of Group
    event : {"needless", "lost"}
        Another server becomes primary; registrations lost by that.
    effort, seed : int
    """

    scenario: Scenario
    groups: Sequence[Group]
    event: Event
    effort: int
    seed: int


@dataclass(frozen=True, slots=True)
class Ready:
    """What the pilot found: levels and mean length in hours of cycles, for each group."""

    levels: tuple[tuple[int, ...], ...]
    busy_h: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Replication:
    """One estimate for each group, and what it took: hours of simulated time."""

    estimates: tuple[Estimate, ...]
    simulated_h: float


def prepare(study: Study, progress: Progress) -> Ready:
    """Choose levels, and see how long cycles are."""
    levels, busy_h = [], []
    for number in range(len(study.groups)):
        progress(number / len(study.groups), "pilot")
        walk, chance = _walk(study, number, _PILOT)
        levels.append(tuple(choose_levels(walk, study.effort, chance)))
        busy_h.append(_mean_busy_h(_walk(study, number, _BUSY)[0]))
    return Ready(tuple(levels), tuple(busy_h))


def _mean_busy_h(walk: ClusterWalk) -> float:
    total_us = 0.0
    for _ in range(BUSY_CYCLES):
        walk.begin()
        walk.climb(walk.goal)
        total_us += walk.age_us
    return total_us / BUSY_CYCLES / 3.6e9


def replications(study: Study, ready: Ready, count: int, jobs: int | None) -> Iterator[Replication]:
    """Independent replications, in order; the same for any number of processes."""
    tasks = [delayed(_replicate)(study, ready, number) for number in range(count)]
    yield from _carry_out(tasks, jobs)


def crude(study: Study, group: int, cycles: int, jobs: int | None) -> tuple[float, float]:
    """The same probability without levels, boost or weights: mean of the reward in a cycle, and its standard error."""
    blocks = [(number, min(BLOCK, cycles - number * BLOCK)) for number in range(math.ceil(cycles / BLOCK))]
    found = _carry_out([delayed(_crude_block)(study, group, *block) for block in blocks], jobs)
    sums = np.array(list(found)).sum(axis=0)
    mean = sums[0] / cycles
    return float(mean), float(math.sqrt(max(sums[1] / cycles - mean**2, 0.0) / cycles))


def _carry_out(tasks: list[Any], jobs: int | None) -> Iterator[Any]:
    """In this process, or in several."""
    workers = min(jobs or os.cpu_count() or 1, len(tasks))
    if workers > 1:
        yield from Parallel(n_jobs=workers, return_as="generator")(tasks)
        return
    for function, arguments, named in tasks:
        yield function(*arguments, **named)


def _replicate(study: Study, ready: Ready, number: int) -> Replication:
    estimates, simulated_us = [], 0.0
    for group, levels in enumerate(ready.levels):
        walk, chance = _walk(study, group, _SPLIT, number)
        estimates.append(split(walk, levels, study.effort, chance))
        simulated_us += walk.simulated_us
    return Replication(tuple(estimates), simulated_us / 3.6e9)


def _crude_block(study: Study, group: int, number: int, cycles: int) -> tuple[float, float]:
    """Sum of rewards, and of their squares."""
    walk, _ = _walk(study, group, _CRUDE, number)
    rewards = np.zeros(cycles)
    for index in range(cycles):
        walk.begin()
        if walk.climb(walk.goal) >= walk.goal:
            rewards[index] = walk.reward()
    return float(rewards.sum()), float((rewards**2).sum())


def _walk(study: Study, group: int, purpose: int, number: int = 0) -> tuple[ClusterWalk, np.random.Generator]:
    """Cycles that begin with causes of one group, and their chance."""
    key = np.random.SeedSequence(study.seed, spawn_key=(purpose, number, group))
    chance = np.random.default_rng(key)
    causes = [cause for each in study.groups for cause in each.causes]
    before = sum(len(each.causes) for each in study.groups[:group])
    first = range(before, before + len(study.groups[group].causes))
    boost = BOOST if purpose in (_PILOT, _SPLIT) else 0.0
    seed = int(key.generate_state(1, np.uint64)[0] >> 4)
    return ClusterWalk(study.scenario, causes, first, seed, chance, boost, study.event == "lost"), chance
