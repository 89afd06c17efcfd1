"""Where a line stands: in which tick, or between two.

A tick visits each group in turn, and in each the primary, the replicas, the other sentinels; each instance once. So
lines that would come out of this order belong to different ticks, and those are at least 52 ms apart.
"""

from __future__ import annotations

from model.conform.guards import MIN_TICK_MS, At, Refusal
from model.conform.rules import Phase, Rule
from model.conform.state import Process, Tick
from model.sentinel import UPDATE_CONFIG

ONCE = {Phase.SDOWN: "sdown", Phase.ODOWN: "odown"}
"""Phases in which an instance says at most one thing."""


def phase_of(rule: Rule, at: At) -> Phase:
    """Where in a tick this line is written."""
    by_user = at.group is not None and at.group.forced
    if rule.event == "+try-failover" and by_user:
        return Phase.BETWEEN
    if rule.phase == Phase.SDOWN and at.group is not None and at.who is not at.group.primary:
        return Phase.SENTINELS if at.key in at.group.sentinels else Phase.REPLICAS
    if rule.phase != Phase.ANY:
        return rule.phase
    if rule.event == "+new-epoch":
        return Phase.START if at.own_start and not by_user else Phase.BETWEEN
    if rule.event == "+switch-master":
        by_hello = at.process.last_event == "+config-update-from" or (at.process.cut and not at.process.last_event)
        return Phase.BETWEEN if by_hello else Phase.SWITCH
    if at.own_start:
        return Phase.STEP
    process = at.process
    open_ = (
        process.cut
        and (at.group is None or at.group.state is None)
        and process.id in (None, at.line and at.line.words[0])
    )
    return Phase.ANY if open_ else Phase.BETWEEN


def refuse(rule: Rule, at: At) -> Refusal | None:
    """Why the line cannot stand here, or None."""
    phase, tick = phase_of(rule, at), at.process.tick
    due = _switch_due(at, phase, rule.event)
    if (
        due
        or phase in (Phase.BETWEEN, Phase.ANY)
        or tick is None
        or rule.event == "+tilt"
        or _fits(tick, at, phase, rule.event)
    ):
        return due
    first_ms = tick.last_ms + MIN_TICK_MS
    if at.now_ms >= first_ms:
        return None
    return Refusal("it cannot be of the same tick as the line before, and ticks are 52 ms or more apart", first_ms)


def place(rule: Rule, at: At) -> None:
    """Note where the line stands."""
    process, phase = at.process, phase_of(rule, at)
    if phase == Phase.ANY:
        return
    if phase == Phase.BETWEEN:
        if process.tick:
            process.tick.open = False
        return
    tick = process.tick
    if tick is None or rule.event == "+tilt" or not _fits(tick, at, phase, rule.event):
        tick = process.tick = Tick(at.now_ms, at.now_ms)
    name = at.group.name if at.group else ""
    if name and name != tick.group:
        tick.groups_done.add(tick.group)
        tick.group, tick.phase = name, 0
        tick.seen.clear()
    tick.phase, tick.last_ms = phase, at.now_ms
    tick.seen.add(_mark(at, phase, rule.event))


def _mark(at: At, phase: Phase, event: str) -> tuple[str, str]:
    return ONCE.get(phase, event if phase in (Phase.START, Phase.STEP) else "sdown"), at.key


def _fits(tick: Tick, at: At, phase: Phase, event: str) -> bool:
    """Whether the line can be of the same tick as the last one."""
    gap_ms = at.now_ms - tick.last_ms
    # A rewrite of the configuration file stands between an attempt and the vote for itself, however long it takes.
    flushed = at.own_start and event == "+vote-for-leader"
    if not tick.open or gap_ms < 0 or (gap_ms >= MIN_TICK_MS and not flushed):
        return False
    name = at.group.name if at.group else ""
    if phase == Phase.SWITCH or (name and name != tick.group and name not in tick.groups_done):
        return True
    if not name:
        return tick.phase <= phase
    if name != tick.group:
        return False
    return phase > tick.phase or (phase == tick.phase and _mark(at, phase, event) not in tick.seen)


def _switch_due(at: At, phase: Phase, event: str) -> Refusal | None:
    """After +failover-end only what ends the same tick can come before +switch-master."""
    due = _in_update(at.process)
    if len(due) != 1 or phase == Phase.SWITCH:
        return None
    same = at.group is due[0]
    ends_tick = phase in (Phase.REPLICAS, Phase.SENTINELS) or event == "+slave-reconf-sent-be"
    if (same and ends_tick) or (not same and at.group is not None and phase != Phase.BETWEEN):
        return None
    return Refusal("after +failover-end, +switch-master comes in the same tick")


def _in_update(process: Process) -> list:
    return [group for group in process.groups.values() if group.state == UPDATE_CONFIG]
