"""What each jump costs: outages of a service, simulated on the batch engine with everything away that is away.

What is away before is a fault at time 0; when the cluster has settled comes the crash. A host or process that comes
back has a price as well (phones and nodes go back, an old primary is demoted); its run begins like that of the crash,
with the same chance, and only what is more than there counts. Run number n of every simulation meets the same chance.

Simulated are crashes with at most one thing away before, and returns to a cluster without primary; deeper states cost
as these do. Crashes that do not touch the primary, and all that phones see, are simulated while nothing else is away:
a phone takes minutes to get over what was away before. What the return of an old primary costs Redis itself is nothing:
two servers take writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.bounds import HOUR_MS
from model.laws import Floats
from model.scenario import PAIRS, Fault, Scenario
from study import kept
from study.availability.states import (
    DEAD,
    LOST,
    MUTE,
    WORK,
    Cluster,
    Event,
    Jump,
    State,
    is_writable,
    primary_of,
    things,
)
from study.tune.inputs import Conditions
from study.tune.runs import DEMOTED_MS, TAIL_MS, Service, outages_of

SETTLED_MS = 5_000
"""After the delay, what is away is known to be away. Kind: assumed."""

LONG_MS = 1_000_000
"""Watched when nodes are still out at the end: a kernel gives a connection up after 924 s. Kind: specified."""

LONG_PERIOD_MS = 1_000
"""Between registrations of a prober in such long runs. Kind: assumed."""

FAULT = {"host": ("vanish", "all"), "redis": ("crash", "redis"), "frozen": ("pause", "redis"),
         "sentinel": ("crash", "sentinel"), "work": ("crash", "all")}  # fmt: skip
"""What happens to the host of each event."""

RARER = 4
"""Returns to a cluster without primary, and each length of a stall, are simulated so many times less often.
Kind: assumed."""

_STANDS_FOR = {LOST: "host", DEAD: "redis", MUTE: "sentinel", WORK: "work"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of event costs, run by run.

    Attributes
    ----------
    outage_s : array
        Of the service: mean over nodes or phones.
    detect_s : array
        Part of it until a quorum suspected the primary.
    censored : float
        Share of outages that the end of the run cut off; they count with what was seen.
    counts : array
        1 for each run that is one of these events, else 0.
    """

    outage_s: Floats
    detect_s: Floats
    censored: float
    counts: Floats

    def with_more(self, more_s: Floats) -> Cost:
        """The same and what its end costs besides."""
        return replace(self, outage_s=self.outage_s + np.maximum(more_s, 0))

    def less(self, waited_s: float) -> Cost:
        """The same without a time that is counted elsewhere, and nothing of it to detect."""
        return replace(self, outage_s=np.maximum(self.outage_s - waited_s, 0), detect_s=np.zeros(len(self.detect_s)))


@dataclass(frozen=True, slots=True)
class Key:
    """What is simulated once: an event in a state."""

    state: State
    event: Event

    @classmethod
    def of(cls, cluster: Cluster, jump: Jump, service: Service, is_brief: bool = False) -> Key | None:
        """What stands for a jump; None when it costs nothing but the time until something comes back."""
        event = jump.event
        if event.what == "back":
            return cls(_reduced(cluster, jump), event) if jump.effect and service != "client" else None
        if (jump.effect == "helpless" and not is_brief) or (not jump.effect and service == "redis_write"):
            return None
        is_deep = jump.effect and service != "client"
        state = _with_one_away(jump) if is_deep else _only_primary(jump.source)
        return cls(state, _first_alike(cluster, state, event))


def _only_primary(state: State) -> State:
    host = primary_of(state)
    return tuple(bits & ~sum(_STANDS_FOR) if each == host else 0 for each, bits in enumerate(state))


def _with_one_away(jump: Jump) -> State:
    """The state with nothing away but the first thing that is not on the struck host."""
    state = _only_primary(jump.source)
    for host, bit in things(jump.source):
        if not (host == jump.event.host and jump.event.what in ("host", "work")):
            return tuple(bits | bit if each == host else bits for each, bits in enumerate(state))
    return state


def _first_alike(cluster: Cluster, state: State, event: Event) -> Event:
    """The same event on the first host that is like the struck one."""
    looks = list(zip(cluster.alike, state, strict=True))
    return Event(event.what, looks.index(looks[event.host]))


def _reduced(cluster: Cluster, jump: Jump) -> State:
    """The helpless state without what is away besides: as long as it stays helpless, and the return ends that."""
    state, host, bit = jump.source, jump.event.host, jump.event.bit
    for other, away in things(state):
        less = tuple(bits & ~away if each == other else bits for each, bits in enumerate(state))
        after = tuple(bits & ~bit if each == host else bits for each, bits in enumerate(less))
        ends = is_writable(after) or not cluster.lacks(after)
        if (other, away) != (host, bit) and not is_writable(less) and cluster.lacks(less) and ends:
            state = less
    return state


class Simulator:
    """Simulates events of a scenario. May be used from several threads at once.

    Parameters
    ----------
    scenario : Scenario
        Its time line is replaced.
    service : str
    conditions : Conditions
        How long what crashed stays away.
    runs, seed : int
        Of each event.
    """

    def __init__(self, scenario: Scenario, service: Service, conditions: Conditions, runs: int, seed: int) -> None:
        self.scenario, self._service, self._runs, self._seed = scenario, service, runs, seed
        crashes = conditions.crashes_per_year
        hours = {"host": crashes.host_repair_h, "redis": crashes.redis_repair_h, "frozen": crashes.redis_repair_h,
                 "sentinel": crashes.repair_h, "work": conditions.planned.work_h}  # fmt: skip
        self._away_ms = {what: round(each * HOUR_MS) for what, each in hours.items()}
        policy = scenario.registrar.resolved
        self._delay_ms = scenario.sentinel.down_after_ms
        tail_ms = TAIL_MS + max(policy.info_period_ms, policy.wait_poll_ms)
        if service == "client":
            tail_ms = max(tail_ms, scenario.run.horizon_ms)
        self._watched_ms = self._delay_ms + tail_ms

    def is_brief(self, what: str) -> bool:
        """What goes is back before anybody would stop watching: one run holds all of it, and no state is left."""
        return self._away_ms[what] <= self._watched_ms

    def cost(self, key: Key) -> Cost:
        """Simulate an event."""
        what = key.event.what
        before = [self._fault(host, _STANDS_FOR[bit], 0) for host, bit in things(key.state)]
        at_ms = self._settled_ms if before else 0
        if what == "back":
            return self._release(key)
        if what == "work":
            return self._work(key)
        struck = self._fault(key.event.host, what, at_ms)
        scenario = self._with([*before, struck], at_ms + self._watched_ms, primary_of(key.state))
        if self.is_brief(what):
            return self._brief(scenario, at_ms, self._away_ms[what])
        seen = self._see(scenario)
        if seen.censored and self._service == "register":
            scenario = _long(scenario, at_ms)
            seen = self._see(scenario)
        cost = seen.cost(at_ms)
        if before or self._service == "redis_write":
            return cost
        return cost.with_more(self._more_by_return(scenario))

    def switchover(self) -> Cost:
        """An operator asks a sentinel for a failover."""
        asked = Fault(kind="failover", host=self.scenario.sentinel_hosts[0], at_ms=0)
        primary = self.scenario.host_names.index(self.scenario.server.primary)
        return self._see(self._with([asked], DEMOTED_MS + self._watched_ms, primary)).cost().less(0.0)

    @property
    def _settled_ms(self) -> int:
        return self._delay_ms + SETTLED_MS

    def _see(self, scenario: Scenario, everybody: bool = False) -> Seen:
        return see(scenario, self._service, self._runs, self._seed, everybody=everybody)

    def _fault(self, host: int, what: str, at_ms: int) -> Fault:
        kind, process = FAULT[what]
        return Fault(kind=kind, host=self.scenario.host_names[host], at_ms=at_ms, process=process)

    def _with(self, faults: Sequence[Fault], end_ms: int, primary: int) -> Scenario:
        scenario = self.scenario
        return scenario.model_copy(update={
            "fault": tuple(faults),
            "claim": (),
            "server": scenario.server.model_copy(update={"primary": scenario.host_names[primary]}),
            "run": scenario.run.model_copy(update={"horizon_ms": end_ms}),
        })  # fmt: skip

    def _brief(self, scenario: Scenario, at_ms: int, away_ms: int) -> Cost:
        """A crash whose end is in the same run."""
        end_ms = at_ms + away_ms + DEMOTED_MS + self._watched_ms
        scenario = _undone(scenario, at_ms + away_ms, end_ms)
        return self._see(scenario).cost(at_ms)

    def _more_by_return(self, scenario: Scenario) -> Floats:
        """What the return adds to the outage of all, its own node and phones too."""
        end_ms = scenario.run.horizon_ms
        after = _undone(scenario, end_ms, end_ms + DEMOTED_MS + self._watched_ms)
        return self._see(after, everybody=True).outage_s - self._see(scenario, everybody=True).outage_s

    def _work(self, key: Key) -> Cost:
        """The primary is moved away if it is there, then all programs of the host are ended."""
        primary = primary_of(key.state)
        asked = Fault(kind="failover", host=self.scenario.sentinel_hosts[0], at_ms=0)
        moved = [asked] if primary == key.event.host else []
        at_ms = DEMOTED_MS if moved else 0
        taken = self._fault(key.event.host, "work", at_ms)
        return self._see(self._with([*moved, taken], at_ms + self._watched_ms, primary)).cost().less(0.0)

    def _release(self, key: Key) -> Cost:
        """Something comes back to a cluster without primary: how long it is out from then on."""
        primary, back = primary_of(key.state), key.event
        away = things(key.state)
        # The server that took writes goes last, when it is known what else is away.
        crash_ms, at_ms = self._settled_ms if len(away) > 1 else 0, 2 * self._settled_ms
        faults = [
            self._fault(host, _STANDS_FOR[bit], crash_ms if host == primary and bit != MUTE else 0)
            for host, bit in away
        ]
        undone = _undo(faults[away.index((back.host, back.bit))], at_ms)
        # A sentinel that has tried in vain waits for twice its failover-timeout.
        end_ms = at_ms + 2 * self.scenario.sentinel.failover_timeout_ms + self._watched_ms
        scenario = self._with([*faults, undone], end_ms, primary)
        seen = see(scenario, self._service, max(self._runs // RARER, 1), self._seed)
        return seen.cost().less((at_ms - crash_ms) / 1000)


def _undo(fault: Fault, at_ms: int) -> Fault:
    return fault.model_copy(update={"kind": PAIRS[fault.kind], "at_ms": at_ms})


def _undone(scenario: Scenario, at_ms: int, end_ms: int) -> Scenario:
    """The last fault of the scenario ends."""
    return scenario.model_copy(update={
        "fault": (*scenario.fault, _undo(scenario.fault[-1], at_ms)),
        "run": scenario.run.model_copy(update={"horizon_ms": end_ms}),
    })  # fmt: skip


def _long(scenario: Scenario, at_ms: int) -> Scenario:
    """The same, watched until every kernel has given up."""
    return scenario.model_copy(update={
        "run": scenario.run.model_copy(update={"horizon_ms": at_ms + LONG_MS}),
        "probe": scenario.probe.model_copy(update={"register_period_ms": LONG_PERIOD_MS}),
    })  # fmt: skip


# --- what runs showed ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What runs of a scenario showed, one by one.

    Attributes
    ----------
    outage_s : array
        Of the service, mean over its nodes or phones.
    suspected_s : array
        After the first fault a quorum suspected the primary; -1 = never.
    failed_over : array of bool
    censored : float
        Share of outages that the end of the run cut off.
    """

    outage_s: Floats
    suspected_s: Floats
    failed_over: Floats
    censored: float

    def cost(self, at_ms: int = 0) -> Cost:
        """All of it as the cost of an event at this time."""
        detect_s = np.clip(self.suspected_s - at_ms / 1000, 0, self.outage_s)
        return Cost(self.outage_s, detect_s, self.censored, np.ones(len(self.outage_s)))


def see(scenario: Scenario, service: Service, runs: int, seed: int, first: int = 0, everybody: bool = False) -> Seen:
    """Simulate runs from number `first` on.

    Parameters
    ----------
    scenario : Scenario
    service : str
    runs, seed, first : int
    everybody : bool
        Nodes on hosts that are lost count too.
    """
    found = kept.outcomes(scenario, seed, first, runs)
    outage_us, share, censored = outages_of(found, scenario, service, everybody)
    return Seen(
        outage_s=outage_us @ share / 1e6,
        suspected_s=found["sdown_quorum"] / 1e6,
        failed_over=found["failover"] == 1,
        censored=censored,
    )
