"""A run in Chrome's trace event format, which ui.perfetto.dev opens.

A process is a host, a thread one of its actors: states are slices, events marks of 1 µs, and arrows lead from what
caused something to what it caused. Slices of one thread must nest, so a state that overlaps another one is shown on a
further thread of its actor. The format knows no negative times: all are shifted so that the first event is at 0, and
``otherData`` tells by how much.

The format is described in "Trace Event Format" of the Chromium project: phases ``M`` (names), ``X`` (slices), ``s`` and
``f`` (arrows); times in µs.

Left out: counters; the protobuf format, which Perfetto prefers for large traces (a run has some hundred events).
"""

from __future__ import annotations

from typing import Any

from model.trace import EVENTS, Event, Trace
from study.export.story import Message, Span, actors, messages, spans, words

MARK_US = 1
"""Length of an event: an arrow needs a slice to begin or end at. Kind: assumed, the least that the format has."""

LANES = 100
"""Thread numbers for each actor. Kind: assumed."""


def perfetto(trace: Trace) -> dict[str, Any]:
    """The file as data."""
    shift_us = -min([0, *(event.t_us for event in trace.events)])
    states = spans(trace)
    threads = _Threads(trace, states)
    events = [*threads.names(), *_slices(trace, states, threads, shift_us)]
    for number, message in enumerate(messages(trace.events)):
        events += _arrow(number, message, trace.events, threads, shift_us)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"scenario": trace.scenario, "digest": trace.digest, "arm": trace.arm, "seed": trace.seed,
                      "run": trace.run, "first_fault_at_us": shift_us},
    }  # fmt: skip


class _Threads:
    """Numbers of processes and threads, and the thread of each state."""

    def __init__(self, trace: Trace, states: list[Span]) -> None:
        everybody = actors(trace)
        hosts = list(dict.fromkeys(host for host, _ in everybody))
        self._process = {host: number for number, host in enumerate(hosts, 1)}
        self._first = {who: LANES * number for number, who in enumerate(everybody, 1)}
        self._ends: dict[tuple[str, str], list[list[Span]]] = {}
        self.lane = [self._lane(span) for span in states]

    def of(self, host: str, actor: str, lane: int = 0) -> dict[str, int]:
        """Process and thread of an actor."""
        return {"pid": self._process[host], "tid": self._first[host, actor] + lane}

    def _lane(self, span: Span) -> int:
        """The first lane in which a state lies inside what is there, or after it. States come in order of beginning."""
        lanes = self._ends.setdefault((span.host, span.actor), [])
        for number, stack in enumerate(lanes):
            while stack and stack[-1].end_us <= span.begin_us:
                stack.pop()
            if not stack or span.end_us <= stack[-1].end_us:
                stack.append(span)
                return number
        lanes.append([span])
        return len(lanes) - 1

    def names(self) -> list[dict[str, Any]]:
        """What each process and thread is called."""
        told = [_name("process_name", name=host, pid=pid) for host, pid in self._process.items()]
        for (host, actor), tid in self._first.items():
            for lane in range(max(1, len(self._ends.get((host, actor), ())))):
                name = actor if lane == 0 else f"{actor} ({lane + 1})"
                told.append(_name("thread_name", name=name, pid=self._process[host], tid=tid + lane))
        return told


def _name(kind: str, name: str, **where: int) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "args": {"name": name}, **where}


def _slices(trace: Trace, states: list[Span], threads: _Threads, shift_us: int) -> list[dict[str, Any]]:
    """States and events in order of time, what contains first."""
    slices = [
        {"ph": "X", "cat": "state", "name": span.name, "ts": span.begin_us + shift_us,
         "dur": span.end_us - span.begin_us, "args": {"open": span.open}, **threads.of(span.host, span.actor, lane)}
        for span, lane in zip(states, threads.lane, strict=True)
    ]  # fmt: skip
    slices += [
        {"ph": "X", "cat": "event", "name": words(event), "ts": event.t_us + shift_us, "dur": MARK_US,
         "args": {"meaning": EVENTS[event.event], **_details(event)}, **threads.of(event.host, event.actor)}
        for event in trace.events
    ]  # fmt: skip
    return sorted(slices, key=lambda each: (each["ts"], -each["dur"]))


def _details(event: Event) -> dict[str, Any]:
    told = {"about": event.about, "detail_us": event.detail_us, "code": event.code}
    return {key: value for key, value in told.items() if value}


def _arrow(
    number: int, message: Message, events: list[Event], threads: _Threads, shift_us: int
) -> list[dict[str, Any]]:
    cause, effect = events[message.cause], events[message.effect]
    common = {"cat": "message", "name": message.label, "id": number}
    return [
        {"ph": "s", "ts": cause.t_us + shift_us, **common, **threads.of(cause.host, cause.actor)},
        {"ph": "f", "bp": "e", "ts": effect.t_us + shift_us, **common, **threads.of(effect.host, effect.actor)},
    ]
