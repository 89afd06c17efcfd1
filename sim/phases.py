"""Where in their periods the sentinels of one real run were, as the start of simulated runs.

`Trace.phases` holds what each sentinel said just before the first fault: how long ago each instance answered a PING and
sent its INFO. Sentinels are asked one after the other, within milliseconds; here all ages are brought to one instant,
that of the first answer.

Left out: a PING under way at that instant counts as answered then (nothing was wrong yet, its answer is a round trip
away); an answer that came between the first sentinel's words and the last one's is taken for the next of its cycle, and
put one mean period earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.effects import MAX_HOSTS
from model.sentinel import INFO_PERIOD_US, PING_PERIOD_US
from sim.steady import LEAD_US, MEAN_RESIDUAL_US


def condition(settings: Any, names: Sequence[str], phases: Sequence[dict[str, Any]] | None) -> None:
    """Fill in `lead_us` and `phase` of a `sim.steady.SETTINGS` object.

    Parameters
    ----------
    settings : SETTINGS
    names : sequence of str
        Names of the hosts, in order.
    phases : sequence of dict, optional
        As in `model.trace.Trace.phases`; None (or none at all): everything is drawn.
    """
    settings.lead_us = LEAD_US
    if not phases:
        return
    start_us = min(entry["t_us"] for entry in phases)
    settings.lead_us = max(-start_us, 0)
    for entry in phases:
        later_us = entry["t_us"] - start_us
        phase = settings.phase[names.index(entry["host"]) * MAX_HOSTS + names.index(entry["about"])]
        pong_us = 0 if entry["ping_pending_us"] else entry["pong_age_us"]
        if entry["kind"] == "server":
            phase.pong_us = _age_us(pong_us - later_us, PING_PERIOD_US)
            phase.info_us = _age_us(entry["info_age_us"] - later_us, INFO_PERIOD_US)
        else:
            phase.peer_pong_us = _age_us(pong_us - later_us, PING_PERIOD_US)


def _age_us(age_us: int, period_us: int) -> int:
    """The age at the start; 0 would mean that it is not known."""
    return max(age_us, 1) if age_us >= 0 else max(age_us + period_us + MEAN_RESIDUAL_US, 1)
