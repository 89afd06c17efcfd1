"""A path as a log that ShiViz draws: events of each actor with their vector clocks.

A message is two events, one where it is sent and one where it arrives; every other step is one event. What is true of
an actor from then on stands with its last event of the step. The file's first line is the regular expression by which
ShiViz reads the rest, its second, which would separate several runs, is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from model.explorer.paths import Path, Step
from study.paths.kinds import FAULTS, struck

PARSER = r"(?<step>\d+) (?<event>.*)\n(?<host>\S+) (?<clock>\{.*\})"
"""How ShiViz finds the parts of an event: two lines, the step besides what it asks for."""


def shiviz(path: Path) -> str:
    """The log, with a line's end at its end."""
    clocks: dict[str, dict[str, int]] = {actor: {} for actor in path.actors}
    lines = [PARSER, ""]
    for number, step in enumerate(path.steps):
        ahead = "(from here on, for ever) " if number == path.loop else ""
        for actor, words, source in _events(step, path.actors):
            clock = clocks[actor]
            if source:
                for other, ticks in clocks[source].items():
                    clock[other] = max(clock.get(other, 0), ticks)
            clock[actor] = clock.get(actor, 0) + 1
            lines += [f"{number + 1} {ahead}{words}", f"{_host(actor)} {_written(clock)}"]
            ahead = ""
    return "\n".join(lines) + "\n"


def _events(step: Step, actors: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (actor, words, who sent what arrives; empty if nothing does), notes with the actor's last event."""
    events = []
    is_fault = step.kind in FAULTS
    if is_fault:
        events += [(actor, f"{step.text} (from outside)", "") for actor in struck(step, actors)]
    elif not step.exchanges:
        events.append((step.actor, step.text, ""))
    for exchange in () if is_fault else step.exchanges:
        events.append((exchange.source, f"to {exchange.to}: {exchange.label}", ""))
        events.append((exchange.to, f"from {exchange.source}: {exchange.label}", exchange.source))
    last = {actor: number for number, (actor, _, _) in enumerate(events)}
    for number, (actor, words, source) in enumerate(events):
        notes = [note for whom, note in step.notes if whom == actor and number == last[actor]]
        yield actor, _one_line(" | ".join([words, *notes])), source
    for actor, note in step.notes:
        if actor not in last:
            yield actor, _one_line(note), ""


def _host(actor: str) -> str:
    """ShiViz's names have no spaces."""
    return "-".join(actor.split())


def _written(clock: dict[str, int]) -> str:
    return json.dumps({_host(actor): ticks for actor, ticks in clock.items()})


def _one_line(words: str) -> str:
    return " ".join(words.split())
