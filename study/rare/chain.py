"""A Markov chain that is like the cluster in what makes failovers rare, and small enough to be solved exactly.

Each of some sentinels has a link to the primary. Links are cut, each for itself, at a constant rate, and mended at
another. A sentinel whose link is cut comes closer to its suspicion by `stages` exponential steps (an Erlang law, as the
delay is nearly constant), and forgets all when the link is mended. The event is that a quorum suspects at once. A cycle
begins when one link is cut while all are up, and ends when all are up, or with the event.

Three ways to the same number: `solve` (equations of the chain lumped by how many sentinels are at which stage), Storm
(`study.rare.storm`: the chain as it is, exact arithmetic), and splitting over `ChainWalk`, which knows of neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, identity
from scipy.sparse.linalg import splu

State = tuple[int, ...]
"""How many sentinels are at stage 0 (link up), 1, ..., stages + 1 (suspects)."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain.

    Attributes
    ----------
    sentinels, quorum : int
    cut_per_h : float
        Of each link.
    mended_per_s : float
        Of each link that is cut.
    stages : int
        Steps to a suspicion.
    delay_s : float
        What they take together, on average.
    """

    sentinels: int
    quorum: int
    cut_per_h: float
    mended_per_s: float
    stages: int
    delay_s: float

    @property
    def cut_per_s(self) -> float:
        """Of each link."""
        return self.cut_per_h / 3600

    @property
    def step_per_s(self) -> float:
        """Of each sentinel whose link is cut."""
        return self.stages / self.delay_s

    @property
    def first(self) -> State:
        """One link has just been cut."""
        return (self.sentinels - 1, 1) + (0,) * self.stages

    def is_event(self, state: State) -> bool:
        """A quorum suspects."""
        return state[-1] >= self.quorum

    def moves(self, state: State) -> Iterator[tuple[float, int, int]]:
        """Rate a second, and from which stage to which one sentinel goes."""
        if state[0]:
            yield state[0] * self.cut_per_s, 0, 1
        for stage in range(1, len(state)):
            if state[stage]:
                yield state[stage] * self.mended_per_s, stage, 0
                if stage < len(state) - 1:
                    yield state[stage] * self.step_per_s, stage, stage + 1

    def after(self, state: State, source: int, to: int) -> State:
        """The state when one sentinel has moved."""
        counts = list(state)
        counts[source] -= 1
        counts[to] += 1
        return tuple(counts)


@dataclass(frozen=True, slots=True)
class Solution:
    """Probability of the event in a cycle, mean length of a cycle, and events an hour."""

    probability: float
    busy_s: float
    per_hour: float


def solve(chain: Chain) -> Solution:
    """First-step equations: with jump probabilities P among states of a cycle, (I - P) x = what the next step gives."""
    places = {state: place for place, state in enumerate(_states(chain))}
    rows, columns, values = [], [], []
    event, stay_s = np.zeros(len(places)), np.zeros(len(places))
    for state, place in places.items():
        moves = list(chain.moves(state))
        total = sum(rate for rate, _, _ in moves)
        stay_s[place] = 1 / total
        for rate, source, to in moves:
            after = chain.after(state, source, to)
            if chain.is_event(after):
                event[place] += rate / total
            elif after in places:
                rows.append(place)
                columns.append(places[after])
                values.append(rate / total)
    jumps = csc_matrix((values, (rows, columns)), shape=(len(places), len(places)))
    solver = splu((identity(len(places), format="csc") - jumps).tocsc())
    first = places[chain.first]
    probability, busy_s = float(solver.solve(event)[first]), float(solver.solve(stay_s)[first])
    begins_per_s = chain.sentinels * chain.cut_per_s
    return Solution(probability, busy_s, 3600 * begins_per_s * probability / (1 + begins_per_s * busy_s))


def _states(chain: Chain) -> list[State]:
    """All states of a cycle: those that can be reached from its first."""
    found, open_ = {chain.first}, [chain.first]
    while open_:
        state = open_.pop()
        for _, source, to in chain.moves(state):
            after = chain.after(state, source, to)
            if after not in found and after[0] < chain.sentinels and not chain.is_event(after):
                found.add(after)
                open_.append(after)
    return sorted(found)


class ChainWalk:
    """Cycles of a chain, for splitting. See `sim.splitting.Walk`.

    The jumps alone are simulated: how long the chain stays in a state decides nothing.

    Parameters
    ----------
    chain : Chain
    chance : Generator
    boost : float
        Cuts too many while a cycle goes on, of all links together, in a mean delay.
    """

    stride = 1 << 20

    def __init__(self, chain: Chain, chance: np.random.Generator, boost: float = 0.3) -> None:
        self._chain, self._chance = chain, chance
        self._surplus_per_s = boost / chain.delay_s / chain.sentinels
        self.goal = chain.quorum * (chain.stages + 1)
        self.begin()

    def begin(self) -> None:
        """One link has just been cut."""
        self._stages = [1] + [0] * (self._chain.sentinels - 1)
        self.weight, self.jumps = 1.0, 0

    def climb(self, level: int) -> int:
        """See `sim.splitting.Walk`."""
        highest = self._score()
        while highest < level and any(self._stages):
            self._jump()
            highest = max(highest, self._score())
        return highest

    def save(self) -> tuple[list[int], float, int]:
        """The state now."""
        return self._stages.copy(), self.weight, self.jumps

    def resume(self, state: tuple[list[int], float, int]) -> None:
        """Go on from a state."""
        stages, self.weight, self.jumps = state
        self._stages = stages.copy()

    def reward(self) -> float:
        """The event counts once."""
        return 1.0

    def _score(self) -> int:
        """Stages of the quorum's foremost, added up."""
        return sum(sorted(self._stages)[-self._chain.quorum :])

    def _jump(self) -> None:
        chain, stages = self._chain, self._stages
        up = stages.count(0)
        down = len(stages) - up
        stepping = down - stages.count(chain.stages + 1)
        others = down * chain.mended_per_s + stepping * chain.step_per_s
        cut = up * (chain.cut_per_s + self._surplus_per_s)
        drawn = self._chance.random() * (others + cut)
        true_total = others + up * chain.cut_per_s
        if drawn < cut:
            self.weight *= up * chain.cut_per_s / true_total * (others + cut) / cut
            self.jumps += 1
            stages[self._any(lambda stage: stage == 0)] = 1
            return
        self.weight *= (others + cut) / true_total
        if drawn < cut + down * chain.mended_per_s:
            stages[self._any(lambda stage: stage > 0)] = 0
        else:
            stages[self._any(lambda stage: 0 < stage <= chain.stages)] += 1

    def _any(self, fits: Callable[[int], bool]) -> int:
        """One of the sentinels whose stage fits."""
        found = [number for number, stage in enumerate(self._stages) if fits(stage)]
        return found[int(self._chance.random() * len(found))]
