"""One run, second by second: who is in which state, and why nothing has happened yet.

The run is the one whose outage is the median. States follow from the events of its trace alone; what is still to come
is bounded by closed forms (`model.bounds`) where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from model.bounds import Range, bounds_of, fault_of
from model.errors import UsageError
from model.measures import RunMeasures
from model.scenario import Scenario
from model.trace import EVENTS, Event, Trace

BEFORE_S = 3
"""Seconds shown before the fault. Kind: assumed."""

STATES = {
    "+sdown": "suspects", "-sdown": "watches", "+odown": "agreed", "-odown": "suspects",
    "+try-failover": "asks for votes", "+elected-leader": "leads", "+selected-slave": "leads",
    "+promoted-slave": "leads: promoted",
    "+switch-master": "announces", "+config-update-from": "has learnt", "+failover-end": "watches", "+tilt": "tilt",
    "-tilt": "watches", "+vote-for-leader": "has voted", "-failover-abort-not-elected": "pauses",
    "role-primary": "primary", "role-replica": "replica", "link-down": "replica, link down", "link-up": "replica",
    "writable": "writable", "waiting": "waits on a replica", "redis-lost": "no Redis", "redis-connected": "asks Redis",
    "registered": "registered", "failed": "tries", "attempt": "tries", "flow-lost": "knows",
    "call-answered": "reachable", "call-refused": "calls refused", "call-unanswered": "calls unanswered",
}  # fmt: skip
"""State of an actor after an event."""

WAITS = (
    (
        "sdown_first",
        "Sentinels ask the primary once a second and get no answer. None suspects before the delay is over.",
    ),
    ("sdown_quorum", "One sentinel suspects. A quorum must: the next one asked up to a second later."),
    ("odown_first", "Enough sentinels suspect, and ask each other whether they do."),
    ("elected", "They agree. Each that noticed asks for votes; a majority elects one to do it."),
    ("first_write", "A leader is elected, picks the best replica, and tells it to be the primary."),
    ("promoted", "The new primary takes writes. The leader learns it from the next INFO, once a second."),
    ("switch_first", "The leader has seen it, and turns the other replicas before it announces."),
    ("switch_last", "The first sentinel names the new primary; the others hear it with a hello, every two seconds."),
    (
        "demoted",
        "All name the new primary. A returned old one is told to replicate: seen in two INFOs, ten seconds apart.",
    ),
)
"""Until each milestone, in order: what is being waited for."""


@dataclass(slots=True)
class Moment:
    """What is so at an instant."""

    t_s: float
    states: dict[str, str]
    said: list[str]
    why: str
    until: str
    key: bool = False


@dataclass(slots=True)
class Timeline:
    """A run in moments.

    Attributes
    ----------
    run, seed : int
    actors : list of str
        ``sentinel host1``, ...
    lanes : dict of str to list of [from s, to s, state]
        For the drawing.
    moments : list of Moment
        Every second, and every event.
    """

    run: int
    seed: int
    actors: list[str]
    lanes: dict[str, list[tuple[float, float, str]]] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)


def median_run(traces: Sequence[Trace], runs: Sequence[RunMeasures]) -> tuple[Trace, RunMeasures]:
    """The run whose first write comes at the median (without one: whose outage is the median)."""
    times = [run.milestones.get("first_write", run.outage_us("redis_write")) for run in runs]
    order = sorted(range(len(runs)), key=lambda number: (times[number], number))
    chosen = order[len(order) // 2]
    return traces[chosen], runs[chosen]


def timeline(scenario: Scenario, trace: Trace, run: RunMeasures) -> Timeline:
    """All moments of a run."""
    events = [event for event in trace.events if not event.event.startswith("count-") and event.actor in _LANES]
    states = _actors(scenario)
    found = Timeline(trace.run, trace.seed, list(states))
    bounds = _bounds(scenario)
    end_s = trace.horizon_us / 1e6
    instants = {float(second) for second in range(-BEFORE_S, int(end_s) + 1)}
    instants |= {round(event.t_us / 1e6, 3) for event in events if event.t_us >= -BEFORE_S * 1e6}
    waiting, began, struck = list(events), dict.fromkeys(states, -float(BEFORE_S)), set[str]()
    for instant in sorted(instants):
        said = []
        while waiting and round(waiting[0].t_us / 1e6, 3) <= instant:
            event = waiting.pop(0)
            for actor, state in _changes(event):
                if event.actor == "fault":
                    (struck.add if state in DOWN else struck.discard)(actor)
                elif actor in struck:
                    continue  # what it does now, nobody sees
                if actor in states and states[actor] != state:
                    _lane(found, actor, states[actor], began[actor], instant)
                    states[actor], began[actor] = state, instant
            if event.t_us >= -BEFORE_S * 1e6:
                said.append(in_words(event))
        why, until = _waiting_for(instant, run, bounds)
        found.moments.append(Moment(instant, dict(states), said, why, until))
    for actor, state in states.items():
        _lane(found, actor, state, began[actor], end_s)
    _mark_key_moments(found, run)
    return found


_LANES = ("fault", "sentinel", "redis", "registrar", "ua", "caller")


DOWN = ("dead", "unreachable", "frozen", "cut off")
"""States that a fault brings about, and that last until its end."""


def _actors(scenario: Scenario) -> dict[str, str]:
    """Everybody, with the state that all is well."""
    primary = scenario.server.primary
    told = {f"sentinel {host.name}": "watches" for host in scenario.host if host.sentinel}
    told |= {
        f"redis {host.name}": "primary" if host.name == primary else "replica" for host in scenario.host if host.redis
    }
    told |= {f"node {host.name}": "writable" for host in scenario.host if host.registrar}
    return told | {f"phone {client.name}": "registered" for client in scenario.client}


_PREFIX = {"sentinel": "sentinel", "redis": "redis", "registrar": "node", "ua": "phone", "caller": "phone"}
_PROGRAMS = {0: ("sentinel", "redis", "node"), 1: ("redis",), 2: ("sentinel",), 3: ("node",)}


def _changes(event: Event) -> list[tuple[str, str]]:
    """Actors whose state an event changes, with the new state."""
    if event.actor == "fault":
        programs = (
            _PROGRAMS.get(event.code, ()) if event.event in ("crash", "restart", "pause", "resume") else _PROGRAMS[0]
        )
        state = {"crash": "dead", "vanish": "unreachable", "pause": "frozen", "partition": "cut off"}.get(
            event.event, ""
        )
        if event.event in ("restart", "return", "resume", "heal") or state:
            return [(f"{program} {event.host}", state) for program in programs]
        return []
    if event.event in ("+sdown", "-sdown") and event.code == 1:
        return []
    if event.actor == "caller" and event.event not in ("call-answered", "call-refused", "call-unanswered"):
        return []
    state = STATES.get(event.event)
    return [(f"{_PREFIX[event.actor]} {event.host}", state)] if state is not None else []


def _lane(found: Timeline, actor: str, state: str, began: float, ends: float) -> None:
    if state and ends > began:
        found.lanes.setdefault(actor, []).append((began, ends, state))


def in_words(event: Event) -> str:
    """An event as a sentence."""
    about = f" ({event.about})" if event.about else ""
    meaning = EVENTS[event.event].partition(";")[0]
    who = "fault" if event.actor == "fault" else _PREFIX[event.actor]
    return f"{event.t_us / 1e6:.3f} s: {who} {event.host}: {event.event}{about}: {meaning}"


def _bounds(scenario: Scenario) -> dict[str, Range]:
    fault = fault_of(scenario)
    try:
        return bounds_of(scenario, fault[0]).ranges if fault else {}
    except UsageError:  # the scenario loses packets
        return {}


def _waiting_for(instant: float, run: RunMeasures, bounds: dict[str, Range]) -> tuple[str, str]:
    """What is being waited for, and how long that may last."""
    if instant < 0:
        return "All is well: the primary answers every sentinel once a second, and takes the nodes' writes.", ""
    for name, words in WAITS:
        at_us = run.milestones.get(name)
        if name == "demoted" and at_us is not None:
            break
        if at_us is None or at_us / 1e6 <= instant:
            continue
        found = bounds.get(name)
        until = f"{name} comes at {at_us / 1e6:.3f} s in this run"
        if found:
            until += f"; in every run between {found.low_ms / 1_000:.3g} and {found.high_ms / 1_000:.3g} s"
        return words, until
    return "The failover is over, as far as this run has one; what is still out waits for something else.", ""


def _mark_key_moments(found: Timeline, run: RunMeasures) -> None:
    """Those that a printed page shows."""
    wanted = [0.0, *(at_us / 1e6 for name, at_us in run.milestones.items() if name != "demoted")]
    for instant in wanted:
        nearest = min(found.moments, key=lambda moment: abs(moment.t_s - instant))
        nearest.key = True


def moment_to_json(moment: Moment) -> dict[str, Any]:
    """For a printed page."""
    return {"t_s": moment.t_s, "said": moment.said, "why": moment.why, "until": moment.until}


def to_json(found: Timeline) -> dict[str, Any]:
    """What the page's script reads."""
    return {
        "run": found.run,
        "seed": found.seed,
        "actors": found.actors,
        "moments": [
            {"t_s": each.t_s, "states": [each.states[actor] for actor in found.actors], "said": each.said,
             "why": each.why, "until": each.until}
            for each in found.moments
        ],
    }  # fmt: skip
