"""What is shown about an impossible line: the state there, and the nearest legal continuations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from model.conform import ticks
from model.conform.guards import At, Refusal
from model.conform.lines import Line, clock
from model.conform.rules import RULES, Phase, Rule
from model.conform.state import STATES, Process
from model.sentinel import NONE

ANY_TIME = ("+set", "+monitor", "-monitor", "+reset-master", "+reboot", "+role-change", "-role-change", "forced",
            "+sentinel-invalid-addr", "+sentinel-address-switch", "+sentinel-address-update")  # fmt: skip
"""Events that users or the outside may cause at any time: not listed among the continuations."""
STEPS = (Phase.START, Phase.STEP, Phase.SWITCH)
"""Phases of the failover itself: its steps are listed before others of the same time."""
SHOWN = 8
"""Continuations that are listed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The first impossible line: where, what, why, by which rule, the state there, what could stand there instead."""

    line: int
    text: str
    why: str
    source: str
    state: dict[str, str] = field(default_factory=dict)
    instead: tuple[str, ...] = ()


def finding(process: Process, line: Line, refusal: Refusal, source: str) -> Finding:
    """What is shown about the line that was refused."""
    why = refusal.why
    if refusal.from_ms is not None:
        why += f"; possible from {clock(refusal.from_ms)} on"
    return Finding(line.number, line.text, why, source, _state(process), tuple(_instead(process, line)))


def _state(process: Process) -> dict[str, str]:
    """The state of the machine in words."""
    shown = {"current epoch": _word(process.current_epoch), "tilt": _word(process.tilt)}
    for group in process.groups.values():
        state = "unknown" if group.state is None else STATES[group.state]
        shown[group.name] = (
            f"primary {group.address}, subjectively down {_word(group.primary.s_down)}, "
            f"objectively down {_word(group.o_down)}, failover {state}, {len(group.replicas)} replicas, "
            f"{len(group.sentinels)} other sentinels"
        )
    return shown


def _instead(process: Process, line: Line) -> list[str]:
    """The nearest legal continuations, each with its earliest time."""
    if process.expected:
        return [" or ".join(process.expected.events)]
    if process.roll_call and process.roll_call.expected - process.roll_call.called:
        return [f"+slave {address}" for address in sorted(process.roll_call.expected - process.roll_call.called)]
    found: list[tuple[int, bool, str]] = []
    for rule in RULES.values():
        if rule.event in ANY_TIME or (rule.notice and not process.shows_notice):
            continue
        for at in _moments(process, rule, line.at_ms):
            when = _earliest(rule, at)
            if when is not None:
                about = at.key or (at.group.name if at.group else "")
                found.append((when, rule.phase not in STEPS, f"{rule.event} {about}".strip()))
    found.sort(key=lambda each: each[:2])
    return [f"{text} from {clock(when)} on" if when > line.at_ms else text for when, _, text in found[:SHOWN]]


def _moments(process: Process, rule: Rule, now_ms: int) -> Iterable[At]:
    """A moment for each instance that an event could be about."""
    if "none" in rule.about:
        groups = process.groups.values() if rule.event in ("delay", "+switch-master") else [None]
        for group in groups:
            if rule.event != "+switch-master" or (group.state not in (None, NONE) and ticks._in_update(process)):
                yield At(process, now_ms, group, group.primary if group else None)
        return
    for group in process.groups.values():
        if "master" in rule.about:
            yield At(process, now_ms, group, group.primary)
        for kind, listed in (("slave", group.replicas), ("sentinel", group.sentinels)):
            if kind in rule.about and rule.event not in ("+slave", "+sentinel"):
                for key, who in listed.items():
                    yield At(process, now_ms, group, who, key)


def _earliest(rule: Rule, at: At) -> int | None:
    """From when on this event would be legal; None: not by waiting."""
    for _ in range(5):
        checks = [ticks.refuse(rule, at), *(guard(at) for guard in rule.needs)]
        refusals = [each for each in checks if each]
        if not refusals:
            return at.now_ms
        times = [each.from_ms for each in refusals]
        if None in times:
            return None
        at.now_ms = max(*times, at.now_ms + 1)
    return None


def _word(value: int | bool | None) -> str:
    if value is None:
        return "unknown"
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"
