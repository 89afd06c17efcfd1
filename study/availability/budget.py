"""The error budget: minutes of outage a year by cause, with intervals; and what single years may look like.

Minutes of a cause are, by the renewal-reward theorem, how often it comes (share of time in a state, times the rate of
the event there) times what it costs on average (simulated), plus the time for which nobody can fail over. Whatever is
not known for sure is drawn anew `DRAWS` times: rates that were counted, runs (bootstrap), measured stalls; the process
is solved again for each draw.

A single year is a sum of a few outages: a Poisson number of each kind, each as long as one of the runs. Its quantiles
say what the mean hides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from model.laws import Floats
from model.semi_markov import race, shares
from study.availability.costs import Cost, Key
from study.availability.rates import DRAWS, HOURS_A_YEAR
from study.availability.stalls import ShortStalls
from study.availability.states import Cluster, Event, Jump, State, is_writable, primary_of, things

MINUTES_A_YEAR = 60 * HOURS_A_YEAR

YEARS = 20_000
"""Single years that are drawn. Kind: assumed."""

MANY = 2_000_000
"""Events of one kind in all drawn years; of more, each year gets the mean. Kind: assumed."""

CAUSES = {
    "host": "the primary's host is lost",
    "redis": "the primary is killed",
    "frozen": "the primary hangs for good",
    "other_host": "another host is lost",
    "other_redis": "a replica is killed",
    "other_frozen": "a replica hangs for good",
    "sentinel": "a sentinel dies",
    "work": "a host is taken down for work",
    "switchover": "a switchover is asked for",
    "no_sentinels": "too few sentinels are left to fail over",
    "no_replica": "no replica is left to promote",
    "needless": "needless failover: a stall was longer than the delay",
    "stall": "a stall too short for a failover",
}
"""What eats the budget, by name."""

_EXPONENTIAL = -np.log1p(-(np.arange(1000) + 0.5) / 1000)
"""Times of mean 1 that stand for the exponential law."""

_HELPLESS = {"sentinels": "no_sentinels", "replica": "no_replica"}


@dataclass(slots=True)
class Entry:
    """What one cause costs; arrays hold the value, then the draws.

    Attributes
    ----------
    per_year : array
        Events.
    minutes, detect : array
        Of outage a year, and the part of it until a quorum suspected the primary.
    samples : list of (float, array)
        For single years: events a year, and what one costs in s.
    """

    per_year: Floats = field(default_factory=lambda: np.zeros(DRAWS + 1))
    minutes: Floats = field(default_factory=lambda: np.zeros(DRAWS + 1))
    detect: Floats = field(default_factory=lambda: np.zeros(DRAWS + 1))
    samples: list[tuple[float, Floats]] = field(default_factory=list)

    def add(self, per_year: Floats, cost: Cost, weights: Weights) -> None:
        """Events of one kind."""
        outage_s, detect_s = weights.means(cost)
        self.per_year += per_year
        self.minutes += per_year * outage_s / 60
        self.detect += per_year * detect_s / 60
        self.samples.append((float(per_year[0]), cost.outage_s[cost.counts > 0]))


class Weights:
    """How often each run counts: first each once, then the draws of the bootstrap, the same for all simulations."""

    def __init__(self, runs: int, seed: int) -> None:
        chance = np.random.default_rng([seed, 12])
        self._counts = np.vstack((np.ones(runs), chance.multinomial(runs, np.full(runs, 1 / runs), DRAWS)))

    def means(self, cost: Cost) -> tuple[Floats, Floats]:
        """Mean outage and mean time to suspicion, in s."""
        weights = self._counts[:, : len(cost.counts)] * cost.counts
        total = np.maximum(weights.sum(axis=1), 1)
        return weights @ cost.outage_s / total, weights @ cost.detect_s / total


@dataclass(frozen=True, slots=True)
class Process:
    """The process over what is away.

    Attributes
    ----------
    cluster : Cluster
    states : list of State
    jumps : list of Jump
    share : array
        Of time in each state, a row for the value and one for each draw.
    """

    cluster: Cluster
    states: list[State]
    jumps: list[Jump]
    share: Floats

    @classmethod
    def of(cls, cluster: Cluster, states: list[State], jumps: list[Jump], rates: Mapping[str, Floats]) -> Process:
        """Solve it for all draws."""
        place = {state: number for number, state in enumerate(states)}
        matrix = np.zeros((DRAWS + 1, len(states), len(states)))
        for jump in jumps:
            rate = rates[jump.event.rate] * jump.probability
            matrix[:, place[jump.source], place[jump.target]] += rate
        share = shares(*race(matrix)) if len(states) > 1 else np.ones((DRAWS + 1, 1))
        return cls(cluster, states, jumps, share)

    def per_year(self, jump: Jump, rates: Mapping[str, Floats]) -> Floats:
        """How often a jump happens."""
        return self.share[:, self.states.index(jump.source)] * rates[jump.event.rate] * jump.probability

    def helpless(self, name: str) -> Floats:
        """Share of time without a primary, for this reason."""
        return self.share[:, [_without_primary(self.cluster, state) == name for state in self.states]].sum(axis=1)

    def degraded(self) -> Floats:
        """Share of time in which something is away and the primary takes writes."""
        return self.share[:, [bool(things(state)) and is_writable(state) for state in self.states]].sum(axis=1)


def compose(
    process: Process,
    rates: Mapping[str, Floats],
    costs: Mapping[Key, Cost],
    keys: Mapping[Jump, Key],
    weights: Weights,
) -> dict[str, Entry]:
    """Minutes a year of everything that the process holds, by cause."""
    found: dict[str, Entry] = defaultdict(Entry)
    begins: dict[str, Floats] = defaultdict(lambda: np.zeros(DRAWS + 1))
    for jump in process.jumps:
        per_year = process.per_year(jump, rates)
        if jump.effect == "helpless":
            begins[_without_primary(process.cluster, jump.target)] += per_year
        if jump in keys:
            is_back = jump.event.what == "back"
            name = _without_primary(process.cluster, jump.source) if is_back else cause(jump.source, jump.event)
            found[name].add(per_year, costs[keys[jump]], weights)
    _add_helpless(found, process, begins)
    return found


def _add_helpless(found: dict[str, Entry], process: Process, begins: Mapping[str, Floats]) -> None:
    """The time for which nobody can fail over; in single years it lasts as exponential times do."""
    lasting = {name: process.helpless(name) for name in _HELPLESS.values()}
    lasting_s = 60 * MINUTES_A_YEAR * sum(share[0] for share in lasting.values())
    per_year = sum(each[0] for each in begins.values())
    for name, share in lasting.items():
        if share.any():
            # Returns were added as events: how often it begins is what matters here.
            found[name].per_year = begins.get(name, np.zeros(DRAWS + 1))
            found[name].minutes += share * MINUTES_A_YEAR
            begun = float(found[name].per_year[0])
            found[name].samples.append((begun, lasting_s / per_year * _EXPONENTIAL))


def cause(state: State, event: Event) -> str:
    """Name of what crashes: the primary's host or server, or another."""
    is_other = event.what in ("host", "redis", "frozen") and event.host != primary_of(state)
    return f"other_{event.what}" if is_other else event.what


def _without_primary(cluster: Cluster, state: State) -> str:
    """Why nobody takes writes, by name of the cause; empty when somebody does."""
    return "" if is_writable(state) else _HELPLESS[cluster.lacks(state)]


def short(stalls: Sequence[ShortStalls], seed: int) -> Entry:
    """Stalls that end before a failover."""
    chance = np.random.default_rng([seed, 14])
    entry = Entry()
    for each in stalls:
        counts = each.outage_s > 0
        entry.per_year += each.per_year[counts].sum()
        entry.minutes += each.yearly_s(chance) / 60
        total = float(each.per_year[counts].sum())
        if total > 0:
            drawn = chance.choice(each.outage_s[counts], 1000, p=each.per_year[counts] / total)
            entry.samples.append((total, drawn))
    return entry


def single_years(entries: Mapping[str, Entry], seed: int) -> Floats:
    """Minutes of outage in each of `YEARS` years, the rates being what they are thought to be."""
    chance = np.random.default_rng([seed, 15])
    minutes = np.zeros(YEARS)
    for entry in entries.values():
        for per_year, outage_s in entry.samples:
            if not per_year or not len(outage_s):
                continue
            if per_year * YEARS > MANY:
                minutes += per_year * outage_s.mean() / 60
                continue
            times = chance.poisson(per_year, YEARS)
            drawn = chance.choice(outage_s, times.sum()) / 60
            np.add.at(minutes, np.repeat(np.arange(YEARS), times), drawn)
    return minutes
