"""What the words of a line must agree with: epochs, votes, counts, addresses."""

from __future__ import annotations

from model.conform import guards
from model.conform.guards import HELD_UP_MS, At, Refusal, refuse_if
from model.conform.lines import until_ms
from model.sentinel import NONE, UPDATE_CONFIG


def check(at: At) -> Refusal | None:
    """Why the words of this line cannot be, or None."""
    checker = CHECKS.get(at.line.event)
    return checker(at) if checker else None


def _epoch(at: At) -> Refusal | None:
    known, epoch = at.process.current_epoch, int(at.line.words[0])
    if known is None:
        return None
    if at.own_start:
        return refuse_if(
            epoch != known + 1, f"an attempt takes the epoch after the current one, {known + 1}"
        ) or _start(at)
    return refuse_if(epoch <= known, f"epochs only grow, and the current one is {known}") or _saved(at)


def _start(at: At) -> Refusal | None:
    """What an attempt needs, at its first line."""
    if at.group is None:
        return None
    needed = (guards.demanded, guards.in_state(NONE), guards.gate_open)
    return next((found for guard in needed if (found := guard(at))), None)


def _saved(at: At) -> Refusal | None:
    """Since Redis 7.0 each save of the configuration is logged; here it comes first."""
    process = at.process
    missing = process.shows_saved and not process.just_saved and not (process.cut and not process.last_event)
    return refuse_if(missing, "the configuration is saved before this line is written, and no line says so")


def _vote(at: At) -> Refusal | None:
    process, group, leader, epoch = at.process, at.group, at.line.words[0], int(at.line.words[1])
    known = process.current_epoch
    if known is not None and epoch != known:
        return Refusal(f"votes are of the current epoch, {known}")
    if group is not None and group.vote_epoch is not None and epoch <= group.vote_epoch:
        return Refusal(f"it voted in epoch {group.vote_epoch} already")
    candidate = group is not None and group.waits and epoch == group.failover_epoch
    if group is not None and leader == process.id and not process.cut and not candidate:
        return Refusal("it is no candidate of this epoch, so it does not vote for itself")
    return _saved(at)


def _voted(at: At) -> Refusal | None:
    process, (who, leader, epoch) = at.process, at.line.words
    if int(epoch) < 1:
        return Refusal("epochs of votes begin at 1")
    if not process.cut and not process.tries:
        return Refusal("votes are told only to candidates, and this sentinel was none")
    # A candidate that hears of a newer epoch asks on in that one.
    if (
        process.fresh
        and leader == process.id
        and not any(tried <= int(epoch) <= process.current_epoch for tried in process.tries)
    ):
        return Refusal(f"it was no candidate of epoch {epoch}")
    if not process.single:
        return None
    others = [said for said, when in process.votes.get(who, ()) if when == int(epoch)]
    return refuse_if(bool(others), f"its vote of epoch {epoch} is known already")


def _quorum(at: At) -> Refusal | None:
    count, _, quorum = at.line.words[-1].partition("/")
    if not (count.isdecimal() and quorum.isdecimal()):
        return None
    group, agree, needed = at.group, int(count), int(quorum)
    if group.settings.quorum not in (None, needed):
        return Refusal(f"the quorum is {group.settings.quorum}")
    if agree < needed:
        return Refusal(f"{needed} sentinels must agree")
    voters = len(group.sentinels) + 1
    return refuse_if(group.sentinels_known and agree > voters, f"only {voters} sentinels are known")


def _delay(at: At) -> Refusal | None:
    group, wait_ms, until = at.group, at.group.settings.failover_timeout, until_ms(" ".join(at.line.words))
    if until is None or wait_ms is None or not group.start_low:
        return None
    low, high = group.start_low + 2 * wait_ms, group.start_high + 2 * wait_ms
    return refuse_if(
        not low // 1000 <= until // 1000 <= (high + HELD_UP_MS) // 1000,
        "it is not 2 x failover-timeout after the last attempt or vote",
    )


def _switch(at: At) -> Refusal | None:
    group = at.group
    _, old_ip, old_port, ip, port = at.line.words
    if f"{old_ip}:{old_port}" != group.address:
        return Refusal(f"the configured primary is {group.address}")
    if at.process.last_event == "+config-update-from":
        return refuse_if(f"{ip}:{port}" == group.address, "it is the configured primary already")
    if group.state not in (None, UPDATE_CONFIG):
        return Refusal("neither +failover-end nor +config-update-from stands before it")
    return refuse_if(group.promoted not in (None, f"{ip}:{port}"), f"the promoted replica is {group.promoted}")


def _monitor(at: At) -> Refusal | None:
    return refuse_if(not at.process.cut and at.process.id is None, "the sentinel tells its id first")


CHECKS = {
    "+new-epoch": _epoch,
    "+vote-for-leader": _vote,
    "voted": _voted,
    "+odown": _quorum,
    "delay": _delay,
    "+switch-master": _switch,
    "+promoted-slave": _saved,
    "+monitor": _monitor,
}
"""The check of each event whose words carry more than an instance."""
