"""A path for the terminal: numbered steps, what is said under them, what is true from then on.

.. code-block:: text

    counterexample: an epoch has at most one leader
    election of 3 sentinels, quorum 2, up to 2 epochs

     1  sentinel 1 acts
          * sentinel 1: starts an attempt in epoch 1
     2  sentinel 1 asks sentinel 3 for its vote in epoch 1
          sentinel 1 -> sentinel 3: your vote in epoch 1?
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from model.explorer.paths import Path, Step
from study.paths.kinds import FAULTS

WIDTH = 100
"""Columns. Kind: assumed."""


def text(path: Path) -> str:
    """The path as text, with a line's end at its end."""
    digits = len(str(len(path.steps)))
    lines = [f"{path.verdict}: {path.sentence}", path.model, ""]
    for number, step in enumerate(path.steps):
        in_loop = 0 <= path.loop <= number
        if number == path.loop:
            lines.append("+- from here on, round and round")
        bar = "|" if in_loop else " "
        lines += [f"{bar} {line}" for line in _step_lines(number + 1, step, digits)]
    if path.loop >= 0:
        lines.append(f"+- back to step {path.loop + 1}, for ever")
    return "\n".join(line.rstrip() for line in [*lines, "", ending(path)]) + "\n"


def ending(path: Path) -> str:
    """What the last step shows, in a sentence."""
    where = f"after step {len(path.steps)}" if path.steps else "at the beginning"
    if path.loop >= 0:
        where = f"as steps {path.loop + 1} to {len(path.steps)} can go on for ever"
    return f"{where}: {'does not hold' if path.verdict == 'counterexample' else 'seen'}: {path.sentence}"


def _step_lines(number: int, step: Step, digits: int) -> Iterator[str]:
    yield from _wrapped(f"{number:{digits}}  ", _sentence(step))
    inner = " " * (digits + 4)
    for exchange in () if step.kind in FAULTS else step.exchanges:
        yield from _wrapped(inner, f"{exchange.source} -> {exchange.to}: {exchange.label}")
    for actor, note in step.notes:
        yield from _wrapped(f"{inner}* ", f"{actor}: {note}")


def _sentence(step: Step) -> str:
    """The step, with its actor in front where its text does not name him."""
    if step.kind in FAULTS:
        return f"{step.text} (from outside)"
    return step.text if step.actor in step.text else f"{step.actor}: {step.text}"


def _wrapped(lead: str, words: str) -> list[str]:
    return textwrap.wrap(words, WIDTH - 2, initial_indent=lead, subsequent_indent=" " * len(lead)) or [lead]
