"""A run for ShiViz and as a Mermaid sequence diagram, in the forms that paths of the explorer have (`study.paths`).

ShiViz orders events by vector clocks alone: an event knows of all before it on its own actor, and of what its messages
told it (`study.export.story.messages`); times stand in the words. In the diagram an arrow is drawn where a message has
its effect.
"""

from __future__ import annotations

import json
from collections import defaultdict

from model.explorer.paths import Exchange, Path, Step
from model.trace import Event, Trace
from study.export.story import Message, actors, at, messages, words
from study.paths import mermaid as drawn
from study.paths.shiviz import PARSER

ARMS = {"sim": "simulated", "real": "on real servers"}


def shiviz(trace: Trace) -> str:
    """The log, with a line's end at its end; read by the same expression as the explorer's paths."""
    clocks: dict[str, dict[str, int]] = defaultdict(dict)
    known: list[dict[str, int]] = []
    told = _by_effect(trace)
    lines = [PARSER, ""]
    for number, event in enumerate(trace.events):
        who = _who(event)
        clock = clocks[who]
        for message in told[number]:
            for other, ticks in known[message.cause].items():
                clock[other] = max(clock.get(other, 0), ticks)
        clock[who] = clock.get(who, 0) + 1
        known.append(dict(clock))
        lines += [f"{number + 1} {at(event.t_us)} {words(event)}", f"{who} {json.dumps(clock)}"]
    return "\n".join(lines) + "\n"


def mermaid(trace: Trace) -> str:
    """The diagram, without a fence around it."""
    return drawn(as_path(trace))


def as_path(trace: Trace) -> Path:
    """The run as a path, a step an event."""
    told = _by_effect(trace)
    steps = [_step(event, told[number], trace.events) for number, event in enumerate(trace.events)]
    sentence = f"run {trace.run} of {trace.scenario}, {ARMS.get(trace.arm, trace.arm)}"
    everybody = tuple(f"{host}-{actor}" for host, actor in actors(trace))
    return Path("times in s after the first fault", sentence, "witness", everybody, tuple(steps))


def _step(event: Event, told: list[Message], events: list[Event]) -> Step:
    who, what = _who(event), f"{at(event.t_us)} {words(event)}"
    sent = tuple(Exchange(_who(events[each.cause]), who, each.label) for each in told)
    notes = ((who, what),) if sent else ()
    return Step(who, event.event if event.actor == "fault" else "event", what, sent, notes)


def _by_effect(trace: Trace) -> dict[int, list[Message]]:
    found: dict[int, list[Message]] = defaultdict(list)
    for message in messages(trace.events):
        found[message.effect].append(message)
    return found


def _who(event: Event) -> str:
    return f"{event.host}-{event.actor}"
