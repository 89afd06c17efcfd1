"""The scenario of an incident, and what the simulation says of such a night.

The scenario has the hosts, settings and faults that were inferred; the first fault is its instant 0. All runs of it are
held against the incident, and then those alone that went as the incident did, as far as the logs show it: failover or
none, an election lost or not, the same replica promoted. What the incident took has a percentile among these, and an
interval of percentiles where the instant of its fault is not known exactly.

Left out: the phases of the sentinels' timers, which no log shows (`study.conditional` uses them where a lab has asked
for them); phones, unless somebody adds them to the scenario: what a node's registrations would have fared is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from model.conform.lines import EVENT
from model.errors import ScenarioError
from model.measures import MILESTONES, Facts, RunMeasures, measure, quantiles, summarise
from model.scenario import PAIRS, Scenario, parse
from model.scenario.base import MAX_HOSTS
from model.trace import EVENTS, Event, Trace
from model.versions import Version, family_of
from study.folders import to_toml
from study.incident.faults import Inferred, Scene
from study.incident.logs import Entry
from study.incident.settings import Known
from study.tables import MEANING

TAIL_MS = 5_000
"""The scenario goes on for so long after the last line. Kind: assumed."""

MOST_MS = 600_000
"""And lasts at most so long. Kind: assumed: a failover is over by then."""

ENOUGH = 30
"""Runs like the incident that are enough to speak of 5 and 95 %. Kind: assumed, as study.compare has it."""

SAYS_VERSION = re.compile(r"^(?P<name>Redis|Valkey) version=(?P<version>[\d.]+)")
SHORT = ("failover", "lost_election")

Progress = Callable[[float], None]


def scenario(scene: Scene, known: dict[str, Known], inferred: Sequence[Inferred]) -> tuple[Scenario | None, str]:
    """The scenario, and why there is none if there is none."""
    if not inferred:
        return None, "no fault was inferred"
    hosts = scene.cluster.hosts
    if not 1 < len(hosts) <= MAX_HOSTS or not scene.cluster.primary:
        return None, f"{len(hosts)} hosts, first primary {scene.cluster.primary or 'unknown'}"
    origin_ms = inferred[0].at_ms
    tables = {
        "schema": 1,
        "name": "incident",
        "question": "What happened, as inferred from the logs, and how it might have gone.",
        "host": [_host(scene, host) for host in hosts],
        "server": {"primary": _name(scene.cluster.primary), "version": _version(scene)},
        "sentinel": {name: each.value for name, each in known.items()},
        "fault": [_fault(each, origin_ms) for each in _once(inferred)],
        "run": {"horizon_ms": _horizon_ms(scene, origin_ms, known)},
    }
    try:
        return parse(to_toml(tables), "the scenario of the incident"), ""
    except ScenarioError as error:
        return None, str(error).partition("\n")[0]


def _name(host: str) -> str:
    """As a scenario may name it."""
    plain = re.sub(r"[^a-z0-9-]", "-", host.lower())
    return (plain if plain[:1].isalpha() else f"h-{plain}")[:31]


def _host(scene: Scene, host: str) -> dict[str, Any]:
    told = {log.kind for log in scene.evidence.logs if scene.cluster.host_of_file[log.name] == host}
    servers = {scene.cluster.about(entry) for log in scene.logs("sentinel") for entry in log.entries
               if entry.address and not entry.is_sentinel}  # fmt: skip
    sentinels = set(scene.cluster.host_of_id.values())
    nodes = bool(scene.logs("registrar"))
    return {
        "name": _name(host),
        "redis": "redis" in told or host in servers,
        "sentinel": "sentinel" in told or host in sentinels,
        "registrar": "registrar" in told or not nodes,
    }


def _version(scene: Scene) -> Version:
    for log in scene.logs("sentinel"):
        for entry in log.entries:
            found = SAYS_VERSION.match(entry.text)
            family = family_of(found["name"].lower(), found["version"]) if found else None
            if family:
                return family
    return "7.0"


def _once(inferred: Sequence[Inferred]) -> list[Inferred]:
    """Each kind once for a program of a host: repeated suspicions are one fault here."""
    return list({(each.kind, each.host, each.process): each for each in reversed(inferred)}.values())[::-1]


def _fault(each: Inferred, origin_ms: int) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": each.kind, "host": _name(each.host), "at_ms": max(0, each.at_ms - origin_ms)}
    match each.kind:
        case "crash" | "restart" | "pause" | "resume":
            told["process"] = each.process
        case "partition":
            told["side"] = each.side
        case "drop" | "deliver":
            told["to"] = _name(each.to) if each.to != "*" else "*"
        case "step":
            told["step_ms"] = each.step_ms
        case "busy":
            told["busy_ms"] = max(each.step_ms, 1)
    return told


def _horizon_ms(scene: Scene, origin_ms: int, known: dict[str, Known]) -> int:
    last_ms = max(scene.clocks.true_ms(log.entries[-1]) for log in scene.evidence.logs if log.entries)
    least_ms = known["down_after_ms"].value + 2 * TAIL_MS
    return min(max(last_ms - origin_ms + TAIL_MS, least_ms), max(MOST_MS, least_ms))


# What was measured


def trace(scene: Scene, built: Scenario, inferred: Sequence[Inferred]) -> Trace:
    """The incident as a trace, by the reference clock."""
    origin_ms = inferred[0].at_ms
    events = [_event(scene, entry, origin_ms) for log in scene.evidence.logs for entry in log.entries
              if entry.event in EVENTS and _counts(entry)]  # fmt: skip
    events += [Event(1000 * fault.at_ms, fault.host, "fault", fault.kind, "" if fault.to == "*" else fault.to, 0,
                     ("all", "redis", "sentinel", "registrar").index(fault.process))
               for fault in built.fault]  # fmt: skip
    last_us = max(event.t_us for event in events)
    return Trace(built.name, built.digest, "real", 0, 0, max(last_us, 0) + 1,
                 events=sorted(events, key=lambda event: event.t_us))  # fmt: skip


def _counts(entry: Entry) -> bool:
    return entry.actor != "sentinel" or bool(EVENT.match(entry.event))


def _event(scene: Scene, entry: Entry, origin_ms: int) -> Event:
    about, code = scene.cluster.about(entry), 0
    match entry.event:
        case "+new-epoch":
            code = int(entry.words[0])
        case "+vote-for-leader":
            about, code = scene.cluster.host_of_id.get(entry.words[0], ""), int(entry.words[1])
        case "+sdown" | "-sdown":
            code = int(entry.is_sentinel)
    return Event(1000 * (scene.clocks.true_ms(entry) - origin_ms), _name(scene.cluster.of(entry)), entry.actor,
                 entry.event, _name(about) if about else "", 0, code)  # fmt: skip


# What was likely


def likely(
    built: Scenario,
    incident: Trace,
    inferred: Sequence[Inferred],
    what_if_ms: Sequence[int],
    runs: int,
    seed: int,
    engine: str,
    jobs: int | None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Simulate, and hold the incident against it.

    Parameters
    ----------
    built : Scenario
    incident : Trace
    inferred : sequence of Inferred
        The instant of the first is 0; its interval makes the incident's times uncertain (the return's that of
        ``demoted``, which counts from there).
    what_if_ms : sequence of int
        Other delays (down-after) to try.
    runs, seed, engine, jobs
        As for `sim.simulate`.
    """
    facts = Facts.of(built)
    real = measure(incident, facts)
    steps = 1 + len(what_if_ms)
    traces, all_ = _simulated(built, facts, runs, seed, engine, jobs)
    alike, conditions = _alike(real, all_)
    summary = summarise([traces[run.run] for run in alike], alike)
    back = next((each for each in inferred if each.kind in PAIRS.values()), inferred[0])
    rows = [_row(name, real, alike, _room_ms(back if name == "demoted" else inferred[0]))
            for name in MILESTONES if name in real.milestones]  # fmt: skip
    main = next((name for name in ("switch_last", "switch_first", "promoted") if name in real.milestones), "")
    other = []
    for number, delay_ms in enumerate(what_if_ms, 1):
        if progress:
            progress(number / steps)
        changed = _with_delay(built, delay_ms)
        _, found = _simulated(changed, Facts.of(changed), runs, seed, engine, jobs)
        failovers = sum(run.branches.get("failover", False) for run in found)
        other.append({"down_after_ms": delay_ms, **_spread(main or "switch_last", found),
                      "failovers": failovers, "runs": len(found)})  # fmt: skip
    return {"runs": len(all_), "alike": len(alike), "conditions": conditions, "milestones": rows, "main": main,
            "what_if": other, "outages": summary["outages"], "losses": summary["losses"]["acknowledged_lost"],
            "promoted": real.promoted}  # fmt: skip


def _simulated(
    built: Scenario, facts: Facts, runs: int, seed: int, engine: str, jobs: int | None
) -> tuple[list[Trace], list[RunMeasures]]:
    import sim

    traces = sim.simulate(built, runs, seed, engine, jobs)
    return traces, [measure(each, facts) for each in traces]


def _alike(real: RunMeasures, runs: Sequence[RunMeasures]) -> tuple[list[RunMeasures], list[str]]:
    """Runs that went as the incident did: as many conditions as leave enough of them."""
    wanted: list[tuple[str, Callable[[RunMeasures], bool]]] = [
        (f"{name.replace('_', ' ')}: {'yes' if real.branches[name] else 'no'}",
         lambda run, name=name: run.branches.get(name) == real.branches[name])
        for name in SHORT if name in real.branches
    ]  # fmt: skip
    if real.promoted:
        wanted.append((f"promoted: {real.promoted}", lambda run: run.promoted == real.promoted))
    left, kept = list(runs), []
    for words, holds in wanted:
        fewer = [run for run in left if holds(run)]
        if len(fewer) >= min(ENOUGH, len(runs) // 4):
            left, kept = fewer, [*kept, words]
    return left, kept


def _room_ms(each: Inferred) -> int:
    """Half of the interval in which it was."""
    return (each.high_ms - each.low_ms + 1) // 2


def _row(name: str, real: RunMeasures, runs: Sequence[RunMeasures], room_ms: int) -> dict[str, Any]:
    measured_ms = real.milestones[name] / 1000
    values = np.sort([run.milestones[name] / 1000 for run in runs if name in run.milestones])
    low, high = (np.searchsorted(values, measured_ms + sign * room_ms) for sign in (-1, 1))
    share = (lambda rank: round(100 * float(rank) / len(values), 1)) if len(values) else lambda rank: None
    return {"milestone": name, "meaning": MEANING[name], "measured_ms": round(measured_ms, 1), "room_ms": room_ms,
            **_spread(name, runs), "percentile_low": share(low), "percentile_high": share(high)}  # fmt: skip


def _spread(name: str, runs: Sequence[RunMeasures]) -> dict[str, Any]:
    found = quantiles([run.milestones[name] for run in runs if name in run.milestones])
    return {"n": found["n"], **{key: found.get(key) for key in ("p5_ms", "p50_ms", "p95_ms")}}


def _with_delay(built: Scenario, delay_ms: int) -> Scenario:
    longer_ms = max(0, delay_ms - built.sentinel.down_after_ms)
    return built.model_copy(update={
        "sentinel": built.sentinel.model_copy(update={"down_after_ms": delay_ms}),
        "run": built.run.model_copy(update={"horizon_ms": built.run.horizon_ms + longer_ms}),
    })  # fmt: skip
