"""What happens from outside: which kinds of steps it is, whom it strikes, and who is silent from then on.

Kinds are words of the model that was explored. Those of faults are the scenario's own (`model.scenario.faults`), and
those of models that are coarser, or finer, than a scenario.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from model.explorer.paths import Step
from model.scenario.faults import FaultKind

SILENCING = frozenset({
    "crash", "pause", "vanish", "kill", "kill-server", "kill-sentinel", "kill-host", "freeze",
})  # fmt: skip
"""Kinds after which who is struck does nothing."""

WAKING = frozenset({"restart", "resume", "return", "start-server", "start-sentinel", "start-host", "go-on"})
"""Kinds that end that."""

FAULTS = frozenset(get_args(FaultKind)) | SILENCING | WAKING | {"cut", "tilt", "reboot", "boot", "break", "fault"}
"""Kinds of what happens from outside: faults, and what undoes them."""

_HOST = re.compile(r"\bhost (\d+)\b")


def struck(step: Step, actors: Sequence[str]) -> list[str]:
    """Whom a step from outside strikes: all of the host that it names, or who is told of it, or its actor.

    In models where the network or the world outside is an actor, a fault is "said" by it to whom it strikes; that is
    no message, and is not drawn as one.
    """
    host = _HOST.search(step.text)
    of_host = [actor for actor in actors if host and actor.endswith(f" {host[1]}")]
    told = list(dict.fromkeys(exchange.to for exchange in step.exchanges))
    return of_host or told or [step.actor]
