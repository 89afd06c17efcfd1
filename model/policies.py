"""Policies of a registrar node: how it follows the primary, as data for the one machine (`model.registrar`).

`guide` is what the deployment guide describes. The others are what Flexisip does, each named by the newest version that
it describes. A scenario may replace single numbers of a policy, as an operator would ask for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PolicyName = Literal["guide", "flexisip-2.0", "flexisip-2.3", "flexisip-2.4", "flexisip-2.5", "flexisip-2.6"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy does its own way. Times in ms.

    Attributes
    ----------
    source : str
        Where this is from.
    redis_timeout_ms : int
        An unanswered Redis command counts as a lost connection after this, 0 = never.
    info_period_ms : int
        How often a node asks the server it is on for its role.
    wait_poll_ms : int
        The same while it waits on a replica.
    retry_pause_ms : int
        Pause after all known servers were tried in vain.
    """

    source: str
    redis_timeout_ms: int
    info_period_ms: int
    wait_poll_ms: int
    retry_pause_ms: int


POLICIES: dict[PolicyName, Policy] = {
    "guide": Policy(
        "deployment guide, behaviour 1 to 4; numbers assumed where it has none", 1_500, 10_000, 1_000, 1_000
    ),
    "flexisip-2.0": Policy("Flexisip 1.0.7 to 2.0", 0, 60_000, 60_000, 0),
    "flexisip-2.3": Policy("Flexisip 2.1 to 2.3", 0, 60_000, 60_000, 1_000),
    "flexisip-2.4": Policy("Flexisip 2.4", 0, 60_000, 60_000, 0),
    "flexisip-2.5": Policy("Flexisip 2.5", 0, 60_000, 60_000, 0),
    "flexisip-2.6": Policy("Flexisip 2.6", 0, 60_000, 60_000, 1_000),
}
