"""Policies of a registrar node: how it follows the primary, as data for the one machine (`model.registrar`).

`guide` is what the deployment guide describes. The others are what Flexisip does, each named by the newest version that
it describes; read in its source at the tags named, and 2.4 to 2.6 measured by running that code against real servers.
A scenario may replace single numbers of a policy, as an operator would ask for them.

What a password does to Flexisip is part of its policies, as a Redis that can be reached from other hosts has one; a
scenario whose servers have none (`server.password`) leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from model.registrar import (
    LAST_FIRST,
    LOST_LAST,
    NO_SUBSCRIPTION,
    OPENED_ALONE,
    OPENED_TOGETHER,
    REPLICAS_ONLY,
)

PolicyName = Literal["guide", "flexisip-2.0", "flexisip-2.3", "flexisip-2.4", "flexisip-2.5", "flexisip-2.6"]

_ROUNDS = {"lost last": LOST_LAST, "last first": LAST_FIRST, "replicas only": REPLICAS_ONLY}
_SUBSCRIPTIONS = {"none": NO_SUBSCRIPTION, "together": OPENED_TOGETHER, "alone": OPENED_ALONE}

US_PER_MS = 1_000


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
    round : {"lost last", "last first", "replicas only"}
        Order in which known servers are tried: the replicas, then the lost primary; the server tried last, then the
        replicas; the replicas from the second on, for ever.
    subscription : {"none", "together", "alone"}
        A second connection: none; opened whenever the first one is; or kept open by itself, without which nothing is
        asked on the first one either.
    serves_anywhere : bool
        Requests are sent to whatever server the node is on, or is connecting to; else only a primary gets writes, and
        a known role is needed for reads. Without a connection, a request makes the node try to get one.
    write_retries, write_retry_ms : int
        How often, and when, a refused write is tried again.
    reads_errors_as_empty : bool
        A refused look-up counts as "nothing is stored", and the write is tried.
    believes_link : bool
        A replica whose link is up shows the primary, whatever the node lost before.
    keeps_phase : bool
        The question for the role keeps its phase from the first answer on; nothing but an opening adds one.
    tick_reconnects : bool
        A periodic question without a connection tries to get one.
    is_lazy : bool
        After a refused connect, the next server but one waits for the next request: the password that was to be sent
        comes back as an error and closes what has just been opened, for each of two connections.
    ping_period_ms : int
        How often the second connection is asked for a sign of life; without one until the next time it is opened anew.
        0 = never.
    """

    source: str
    redis_timeout_ms: int
    info_period_ms: int
    wait_poll_ms: int
    retry_pause_ms: int
    round: Literal["lost last", "last first", "replicas only"]
    subscription: Literal["none", "together", "alone"]
    serves_anywhere: bool
    write_retries: int
    write_retry_ms: int
    reads_errors_as_empty: bool
    believes_link: bool
    keeps_phase: bool
    tick_reconnects: bool
    is_lazy: bool
    ping_period_ms: int


def _flexisip(
    tags: str,
    *,
    pause_ms: int,
    order: Literal["last first", "replicas only"] = "last first",
    until_2_3: bool = False,
    ping_ms: int = 0,
) -> Policy:
    """What all versions have in common: no time-out, the role once a minute, writes wherever the node is."""
    return Policy(
        source=f"Flexisip, tags {tags}",
        redis_timeout_ms=0,
        info_period_ms=60_000,
        wait_poll_ms=60_000,
        retry_pause_ms=pause_ms,
        round=order,
        subscription="together" if until_2_3 else "alone",
        serves_anywhere=True,
        write_retries=2,
        write_retry_ms=5_000,
        reads_errors_as_empty=until_2_3,
        believes_link=True,
        keeps_phase=True,
        tick_reconnects=ping_ms > 0,
        is_lazy=until_2_3,
        ping_period_ms=ping_ms,
    )


POLICIES: dict[PolicyName, Policy] = {
    "guide": Policy(
        source="deployment guide, behaviour 1 to 4; numbers assumed where it has none",
        redis_timeout_ms=1_500,
        info_period_ms=10_000,
        wait_poll_ms=1_000,
        retry_pause_ms=1_000,
        round="lost last",
        subscription="none",
        serves_anywhere=False,
        write_retries=0,
        write_retry_ms=0,
        reads_errors_as_empty=False,
        believes_link=False,
        keeps_phase=False,
        tick_reconnects=False,
        is_lazy=False,
        ping_period_ms=0,
    ),
    "flexisip-2.0": _flexisip("1.0.13 and 2.0.9", pause_ms=0, order="replicas only", until_2_3=True),
    "flexisip-2.3": _flexisip("2.1.6 and 2.3.5", pause_ms=1_000, until_2_3=True),
    "flexisip-2.4": _flexisip("2.4.5", pause_ms=0),
    "flexisip-2.5": _flexisip("2.5.2", pause_ms=0, ping_ms=60_000),
    "flexisip-2.6": _flexisip("2.6.0-beta and 2.7.0-alpha", pause_ms=1_000, ping_ms=60_000),
}


def configure(knobs: Any, section: Any, has_password: bool = True) -> None:
    """Put what a scenario says of its nodes into the knobs of the machine.

    Parameters
    ----------
    knobs : model.registrar.KNOBS or REGISTRAR
        Whatever has these fields.
    section : model.scenario.RegistrarSection
    has_password : bool
        The servers ask for one.
    """
    policy = section.resolved
    knobs.redis_timeout_us = policy.redis_timeout_ms * US_PER_MS
    knobs.info_period_us = policy.info_period_ms * US_PER_MS
    knobs.wait_poll_us = policy.wait_poll_ms * US_PER_MS
    knobs.retry_pause_us = policy.retry_pause_ms * US_PER_MS
    knobs.round = _ROUNDS[policy.round]
    knobs.subscription = _SUBSCRIPTIONS[policy.subscription]
    knobs.serves_anywhere = int(policy.serves_anywhere)
    knobs.write_retries = policy.write_retries
    knobs.write_retry_us = policy.write_retry_ms * US_PER_MS
    knobs.reads_errors_as_empty = int(policy.reads_errors_as_empty)
    knobs.believes_link = int(policy.believes_link)
    knobs.keeps_phase = int(policy.keeps_phase)
    knobs.tick_reconnects = int(policy.tick_reconnects)
    knobs.is_lazy = int(policy.is_lazy)
    knobs.ping_period_us = policy.ping_period_ms * US_PER_MS
    knobs.has_password = int(has_password)
    knobs.follows_sentinel = int(section.follow_sentinel)
    knobs.unavailable_status = section.unavailable_status
    knobs.retry_after_s = section.retry_after_s
    knobs.pongs_while_unavailable = int(section.pong_while_unavailable)
