"""What an event needs: small conditions, each of which refuses with a reason or lets pass.

A guard gets a moment (`At`) and answers None or a `Refusal`. One that refuses only because it is too early says from
when on it would not. Whatever is unknown lets pass: a guard refuses only what no run of the machine could have logged.

Bounds in time lean on the order in which Sentinel reads its clock and writes its lines: the stamp of a line is not
earlier than the clock that its condition read, so "not before" is exact where the other end was read *after* its line
was written; elsewhere `HELD_UP_MS` is allowed. "Not later than" is only as tight as the longest gap between ticks that
does not start TILT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model import sentinel
from model.conform.lines import Line
from model.conform.state import RECONF_IS_DONE, RECONF_IS_INPROG, RECONF_IS_SENT, STATES, Group, Instance, Process

MIN_TICK_MS = 1000 // (2 * sentinel.BASE_HZ - 1) - 1
"""Least time from the last line of a tick to the first one of the next; 1 ms is left to slewed clocks."""
MAX_TICK_MS = 1000 // sentinel.BASE_HZ + 1
"""Longest usual time between two ticks."""
HELD_UP_MS = 100
"""A program may be held up this long between reading its clock and writing the line about it. Kind: assumed."""
TILT_TRIGGER_MS = sentinel.TILT_TRIGGER_US // 1000
TILT_MS = sentinel.TILT_PERIOD_US // 1000
LATE_MS = 2 * TILT_TRIGGER_MS
"""Two ticks look at the same thing at most this far apart, or there is TILT."""
ANSWERS_HOLD_MS = 5 * sentinel.ASK_PERIOD_US // 1000 + TILT_TRIGGER_MS
"""A peer's answer is forgotten after this."""
ROGUE_MS = 4 * sentinel.PUBLISH_PERIOD_US // 1000
RECONF_TIMEOUT_MS = sentinel.RECONF_TIMEOUT_US // 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something cannot be, and from when on (ms) it could; None: not by waiting."""

    why: str
    from_ms: int | None = None


@dataclass(slots=True)
class At:
    """A moment of a walk: the sentinel, the group and instance concerned, and the line (None: a possibility)."""

    process: Process
    now_ms: int
    group: Group | None = None
    who: Instance | None = None
    key: str = ""
    """Address of a replica, id of a sentinel."""
    line: Line | None = None
    own_start: bool = False
    """The line is a +new-epoch that begins an own attempt."""


Guard = Callable[[At], Refusal | None]


def refuse_if(condition: bool, why: str) -> Refusal | None:
    """A refusal that waiting does not cure."""
    return Refusal(why) if condition else None


def not_before(at: At, limit_ms: int | None, why: str) -> Refusal | None:
    """Refuses before `limit_ms`; None: not known."""
    return Refusal(why, limit_ms) if limit_ms is not None and at.now_ms < limit_ms else None


# --- the sentinel -----------------------------------------------------------------------------------------------------


def not_tilted(at: At) -> Refusal | None:
    """In TILT nothing is decided."""
    if not at.process.tilt:
        return None
    return Refusal("the sentinel is in TILT and decides nothing", (at.process.tilt_ms or 0) + TILT_MS)


def tilted_long_enough(at: At) -> Refusal | None:
    """TILT has its length."""
    if at.process.tilt is False:
        return Refusal("the sentinel is not in TILT")
    if at.process.tilt_ms is None:
        return None
    return not_before(at, at.process.tilt_ms + TILT_MS - HELD_UP_MS, f"TILT lasts {TILT_MS // 1000} s")


def gap_between_ticks(at: At) -> Refusal | None:
    """TILT starts when the clock went back or more than 2 s passed since the last tick."""
    tick = at.process.tick
    if tick is None or at.now_ms < tick.last_ms:
        return None
    return not_before(
        at,
        tick.first_ms + TILT_TRIGGER_MS - HELD_UP_MS,
        "TILT needs a clock that went back or a gap of more than 2 s since the last tick",
    )


# --- down states ----------------------------------------------------------------------------------------------------


def is_up(at: At) -> Refusal | None:
    return refuse_if(at.who.s_down is True, "it is subjectively down already")


def is_down(at: At) -> Refusal | None:
    return refuse_if(at.who.s_down is False, "it is not subjectively down")


def silent_long_enough(at: At) -> Refusal | None:
    """down-after has passed since it came into being, or since it answered."""
    wait_ms = at.group.settings.down_after
    if wait_ms is None or at.who.rebooted or (at.key in at.group.sentinels and not at.process.single):
        return None
    early = not_before(
        at,
        at.who.created_ms and at.who.created_ms + wait_ms - HELD_UP_MS,
        f"it is known for less than down-after-milliseconds ({wait_ms} ms)",
    )
    return early or not_before(
        at,
        at.who.up_ms and at.who.up_ms + wait_ms - MAX_TICK_MS - HELD_UP_MS,
        f"it answered less than down-after-milliseconds ({wait_ms} ms) ago",
    )


def primary_is_down(at: At) -> Refusal | None:
    return refuse_if(at.group.primary.s_down is False, "the primary is not subjectively down here")


def not_objectively_down(at: At) -> Refusal | None:
    return refuse_if(at.group.o_down is True, "the primary is objectively down already")


def objectively_down(at: At) -> Refusal | None:
    return refuse_if(at.group.o_down is False, "the primary is not objectively down")


def peers_could_answer(at: At) -> Refusal | None:
    """Peers are asked only once the primary is down here: their answers count from the next tick on."""
    group = at.group
    if group.settings.quorum in (None, 1) or group.primary.s_down_ms is None or at.process.cut:
        return None
    earlier_ms = group.last_down_ms
    if earlier_ms is not None and (at.process.keeps_answers or group.primary.s_down_ms - earlier_ms < ANSWERS_HOLD_MS):
        return None
    return not_before(
        at,
        group.primary.s_down_ms + MIN_TICK_MS,
        "the others are asked from the tick of +sdown on, and count in the next",
    )


def primary_looks_sane(at: At) -> Refusal | None:
    """sentinelMasterLooksSane, as far as a log shows it."""
    group = at.group
    return refuse_if(group.primary.s_down is True or group.o_down is True, "the primary is down")


def no_down_for(at: At, wait_ms: int | None, what: str) -> Refusal | None:
    """The replica neither came into being nor went down within `wait_ms`."""
    if wait_ms is None:
        return None
    for since, did in ((at.who.created_ms, "is known"), (at.who.s_down_ms, "went down")):
        early = not_before(at, since and since + wait_ms - HELD_UP_MS, f"it {did} for less than {what} ({wait_ms} ms)")
        if early:
            return early
    return None


def quiet_for_rogue(at: At) -> Refusal | None:
    return no_down_for(at, ROGUE_MS, "four hello periods")


def quiet_for_fix(at: At) -> Refusal | None:
    return no_down_for(at, at.group.settings.failover_timeout, "failover-timeout")


# --- start of a failover ----------------------------------------------------------------------------------------------


def in_state(*states: int) -> Guard:
    """The failover is in one of these states."""

    def guard(at: At) -> Refusal | None:
        state = at.group.state
        wanted = " or ".join(STATES[each] for each in states)
        return refuse_if(
            state is not None and state not in states, f"needs state {wanted}, and it is {STATES[state or 0]}"
        )

    return guard


def gate_open(at: At) -> Refusal | None:
    """2 x failover-timeout since the last attempt or vote."""
    group, wait_ms = at.group, at.group.settings.failover_timeout
    by_user = group.forced or not at.process.shows_notice
    if not group.start_low or wait_ms is None or by_user:
        return None
    return not_before(
        at,
        group.start_low + 2 * wait_ms,
        f"the last attempt or vote is less than 2 x failover-timeout ({2 * wait_ms} ms) ago",
    )


def gate_shut(at: At) -> Refusal | None:
    """Said only while the gate is shut, once for each attempt or vote."""
    group, wait_ms = at.group, at.group.settings.failover_timeout
    if group.start_high == 0:
        return Refusal("no attempt or vote before: nothing is to be waited for")
    if group.delay_logged:
        return Refusal("it was said for this attempt or vote already")
    if group.start_high is None or wait_ms is None:
        return None
    end_ms = group.start_high + 2 * wait_ms
    return refuse_if(at.now_ms > end_ms + HELD_UP_MS, "the last attempt or vote is long enough ago")


def demanded(at: At) -> Refusal | None:
    """Objectively down, or asked for by a user (which is a notice in Redis 7.2 and later)."""
    return None if at.group.forced or not at.process.shows_notice else objectively_down(at)


def just_new_epoch(at: At) -> Refusal | None:
    unseen = at.process.cut and not at.process.last_event
    return refuse_if(not unseen and at.process.last_event != "+new-epoch", "+new-epoch stands directly before it")


# --- election ---------------------------------------------------------------------------------------------------------


def enough_votes(at: At) -> Refusal | None:
    """A majority of the known sentinels and the quorum, by the votes that this log shows."""
    group, process = at.group, at.process
    if group.forced or process.cut or process.id is None or not process.shows_notice:
        return None
    voters = len(group.sentinels) + 1
    needed = max(voters // 2 + 1, group.settings.quorum or 1)
    mine = (process.id, process.current_epoch)
    votes = sum(mine in said for said in process.votes.values()) + int(group.voted)
    return refuse_if(votes < needed, f"{votes} votes for it were seen, and it needs {needed}")


def waited_for_votes(at: At) -> Refusal | None:
    """min(10 s, failover-timeout) since the start, whose random part may be 0."""
    wait_ms = at.group.settings.failover_timeout
    if wait_ms is None or not at.group.start_low:
        return None
    limit_ms = min(sentinel.ELECTION_TIMEOUT_US // 1000, wait_ms)
    return not_before(at, at.group.start_low + limit_ms, f"candidates wait {limit_ms} ms for votes")


# --- failover of the leader -------------------------------------------------------------------------------------------


def next_tick(at: At) -> Refusal | None:
    """One state a tick."""
    group = at.group
    if group.moved_ms is None:
        return None
    return not_before(at, group.moved_ms + MIN_TICK_MS, "one state a tick, and ticks are 52 ms or more apart")


def votes_need_a_tick(at: At) -> Refusal | None:
    """Votes of others arrive between ticks; a user's failover needs none, and a lone sentinel has its own."""
    return None if at.group.forced or not at.group.sentinels else next_tick(at)


def is_the_promoted(at: At) -> Refusal | None:
    promoted = at.group.promoted
    return refuse_if(promoted is not None and at.key != promoted, f"the chosen replica is {promoted}")


def not_the_promoted(at: At) -> Refusal | None:
    return refuse_if(at.group.promoted is not None and at.key == at.group.promoted, "it is the promoted replica")


def state_timed_out(slack_ms: int) -> Guard:
    """failover-timeout in this state."""

    def guard(at: At) -> Refusal | None:
        wait_ms, since_ms = at.group.settings.failover_timeout, at.group.state_ms
        if wait_ms is None or since_ms is None:
            return None
        return not_before(
            at, since_ms + wait_ms - slack_ms, f"it is in this state for less than failover-timeout ({wait_ms} ms)"
        )

    return guard


def reconf(*wanted: int) -> Guard:
    """The replica's reconfiguration is that far."""
    names = ("not begun", "sent", "in progress", "done")
    needed = " or ".join(names[each] for each in wanted)

    def guard(at: At) -> Refusal | None:
        is_now = at.who.reconf
        return refuse_if(
            is_now is not None and is_now not in wanted,
            f"the replica's reconfiguration is {names[is_now or 0]}, and it must be {needed}",
        )

    return guard


def free_slot(at: At) -> Refusal | None:
    """At most parallel-syncs at once."""
    limit = at.group.settings.parallel_syncs
    busy = (RECONF_IS_SENT, RECONF_IS_INPROG)
    under_way = sum(each.reconf in busy for each in at.group.replicas.values())
    return refuse_if(
        limit is not None and under_way >= limit, f"{under_way} replicas are under way, and parallel-syncs is {limit}"
    )


def not_given_up(at: At) -> Refusal | None:
    """A replica that was given up is sent the command once more, directly after that line."""
    again = at.process.last_event == "-slave-reconf-sent-timeout"
    return refuse_if(at.who.given_up and not again, "the replica was given up")


def sent_long_ago(at: At) -> Refusal | None:
    """RECONF_SENT has its limit."""
    limit_ms = at.who.reconf_ms and at.who.reconf_ms + RECONF_TIMEOUT_MS - HELD_UP_MS
    return not_before(at, limit_ms, f"the command was sent less than {RECONF_TIMEOUT_MS // 1000} s ago")


def promoted_is_up(at: At) -> Refusal | None:
    promoted = at.group.replicas.get(at.group.promoted or "")
    return refuse_if(promoted is not None and promoted.s_down is True, "the promoted replica is subjectively down")


def all_replicas_done(at: At) -> Refusal | None:
    """Every replica but the promoted one is done or down, or the time is over."""
    group = at.group
    if at.process.last_event == "+failover-end-for-timeout" or not at.process.shows_notice:
        return None
    left = [
        address
        for address, each in group.replicas.items()
        if address != group.promoted and each.reconf != RECONF_IS_DONE and not each.given_up and each.s_down is False
    ]
    return refuse_if(bool(left), f"replica {', '.join(left)} is neither reconfigured nor down")


# --- lists ------------------------------------------------------------------------------------------------------------


def newer_configuration_possible(at: At) -> Refusal | None:
    """A configuration epoch is never above the current epoch, and it must be above the one known."""
    epoch = at.process.current_epoch
    return refuse_if(
        epoch is not None and epoch <= at.group.config_epoch,
        f"no newer configuration can be: current epoch {epoch}, configuration epoch {at.group.config_epoch} or more",
    )
