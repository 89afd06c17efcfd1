"""What an event does to the state, and which line its function writes next."""

from __future__ import annotations

from collections.abc import Callable

from model.conform.guards import HELD_UP_MS, At
from model.conform.lines import until_ms
from model.conform.state import RECONF_IS_SENT, RECONF_NOT, Expected, Group, Instance, RollCall
from model.sentinel import (
    MAX_DESYNC_MS,
    NONE,
    RECONF,
    SELECT,
    SEND_NO_ONE,
    UPDATE_CONFIG,
    WAIT_PROMOTION,
    WAIT_START,
)

OPTIONS = {
    "quorum": "quorum",
    "down-after-milliseconds": "down_after",
    "failover-timeout": "failover_timeout",
    "parallel-syncs": "parallel_syncs",
}
"""Options of SENTINEL SET and sentinel.conf that the walk uses, and their names here. Kind: specified (sentinel.c)."""


def nothing(at: At) -> None:
    """No change that a log can show later."""


def expect(at: At, source: str, *events: str, about: str = "") -> None:
    """The next line that says anything is one of these."""
    at.process.expected = Expected(events, at.group.name if at.group else "", about, source)


# --- clock ------------------------------------------------------------------------------------------------------------


def tilt(at: At) -> None:
    at.process.tilt, at.process.tilt_ms = True, at.now_ms


def tilt_end(at: At) -> None:
    at.process.tilt, at.process.tilt_end_ms = False, at.now_ms


# --- down states ------------------------------------------------------------------------------------------------------


def s_down(at: At) -> None:
    group = at.group
    at.who.s_down, at.who.s_down_ms = True, at.now_ms
    if at.who is group.primary and group.settings.quorum == 1 and group.o_down is False:
        expect(at, "sentinelCheckObjectivelyDown", "+odown")


def s_up(at: At) -> None:
    group = at.group
    at.who.s_down, at.who.up_ms, at.who.rebooted = False, at.now_ms, False
    if at.who is group.primary:
        group.last_down_ms = at.now_ms
        if group.o_down:
            expect(at, "sentinelCheckObjectivelyDown", "-odown")


def o_down(at: At) -> None:
    group, wait_ms = at.group, at.group.settings.failover_timeout
    group.primary.s_down = group.o_down = True
    if group.state != NONE or group.start_high is None:
        return
    if group.start_high == 0 or (wait_ms is not None and at.now_ms > group.start_high + 2 * wait_ms + HELD_UP_MS):
        expect(at, "sentinelStartFailoverIfNeeded", "+new-epoch")
        return
    shut = wait_ms is not None and at.now_ms < group.start_low + 2 * wait_ms - HELD_UP_MS
    if shut and at.process.shows_notice and at.process.single and not group.delay_logged:
        expect(at, "sentinelStartFailoverIfNeeded", "delay")


def o_up(at: At) -> None:
    at.group.o_down = False


# --- start and election -----------------------------------------------------------------------------------------------


def forced(at: At) -> None:
    at.group.forced = True
    expect(at, "sentinelStartFailover", "+new-epoch")


def delay(at: At) -> None:
    group, wait_ms = at.group, at.group.settings.failover_timeout
    group.delay_logged = True
    until = until_ms(" ".join(at.line.words)) if at.line else None
    if until is not None and wait_ms is not None and group.start_low:
        group.start_low = max(group.start_low, until - 2 * wait_ms)
        group.start_high = min(group.start_high, until + 999 - 2 * wait_ms)


def new_epoch(at: At) -> None:
    at.process.current_epoch = int(at.line.words[0])
    if at.own_start and at.group is not None:
        expect(at, "sentinelStartFailover", "+try-failover")


def try_failover(at: At) -> None:
    group, process = at.group, at.process
    if not group.o_down and (process.cut or not process.shows_notice):
        group.forced = True  # perhaps by a user; the line about it is not shown
    by_user = group.forced
    group.enter(WAIT_START, at.now_ms, by_tick=not by_user)
    group.failover_epoch, group.voted = process.current_epoch, False
    process.tries.add(process.current_epoch)
    _starts(group, at.now_ms)
    if by_user:
        group.primary.s_down = None  # Valkey 9 marks it as down without a line. Kind: measured (9.1.2).
    else:
        group.o_down = group.primary.s_down = True
        expect(at, "sentinelGetLeader", "+vote-for-leader")


def _starts(group: Group, now_ms: int) -> None:
    """failover_start_time: now and a random part."""
    group.start_low, group.start_high = now_ms, now_ms + MAX_DESYNC_MS - 1 + HELD_UP_MS
    group.delay_logged = False


def vote(at: At) -> None:
    """The vote is for this sentinel itself or for another; which group it is about is sure only if there is one."""
    process, epoch = at.process, int(at.line.words[1])
    process.current_epoch = epoch
    if process.id is None and at.own_start:
        process.id = at.line.words[0]
    mine = at.line.words[0] == process.id
    if at.group is None:
        for group in process.groups.values():
            group.start_low = group.start_high = None
        return
    at.group.vote_epoch = epoch
    if mine:
        at.group.voted = True
        at.group.moved_ms = at.now_ms
    elif process.id is not None:
        _starts(at.group, at.now_ms)
    else:
        at.group.start_low = at.group.start_high = None


def voted(at: At) -> None:
    who, leader, epoch = at.line.words
    at.process.votes.setdefault(who, set()).add((leader, int(epoch)))


def elected(at: At) -> None:
    at.group.enter(SELECT, at.now_ms)
    expect(at, "sentinelFailoverWaitStart", "+failover-state-select-slave")


# --- failover of the leader -------------------------------------------------------------------------------------------


def aborted(at: At) -> None:
    at.group.end()


def selected(at: At) -> None:
    at.group.promoted = at.key
    at.group.enter(SEND_NO_ONE, at.now_ms)
    if at.process.shows_notice:
        expect(at, "sentinelFailoverSelectSlave", "+failover-state-send-slaveof-noone", about=at.key)
    else:
        at.group.state = None  # the next line of this failover is not shown


def wait_promotion(at: At) -> None:
    at.group.promoted = at.key
    at.group.enter(WAIT_PROMOTION, at.now_ms)


def promoted(at: At) -> None:
    group = at.group
    group.promoted = at.key
    group.enter(RECONF, at.now_ms, by_tick=False)
    group.config_epoch = max(group.config_epoch, group.failover_epoch or 0)
    expect(at, "sentinelRefreshInstanceInfo", "+failover-state-reconf-slaves")


def reconf_timeout(at: At) -> None:
    at.who.reconf, at.who.given_up = RECONF_NOT, True


def reconf_sent(at: At) -> None:
    at.who.reconf, at.who.reconf_ms = RECONF_IS_SENT, at.now_ms


def reconf_is(progress: int) -> Callable[[At], None]:
    """The replica's reconfiguration goes on to `progress`."""

    def effect(at: At) -> None:
        at.who.reconf = progress

    return effect


def end_for_timeout(at: At) -> None:
    expect(at, "sentinelFailoverDetectEnd", "+failover-end")


def failover_end(at: At) -> None:
    at.group.enter(UPDATE_CONFIG, at.now_ms)


# --- configuration ----------------------------------------------------------------------------------------------------


def config_update(at: At) -> None:
    at.group.config_epoch += 1
    expect(at, "sentinelProcessHelloMessage", "+switch-master")


def switch(at: At) -> None:
    """sentinelResetMasterAndChangeAddress: replicas are announced anew, the old primary among them."""
    group, now_ms = at.group, at.now_ms
    name, old_ip, old_port, ip, port = at.line.words
    new = f"{ip}:{port}"
    expected = {*group.replicas, f"{old_ip}:{old_port}"} - {new}
    complete = group.replicas_known
    if group.primary.s_down:
        group.last_down_ms = now_ms
    _clear(group, now_ms)
    group.address, group.primary = new, _instance(new, now_ms)
    if at.process.shows_notice:
        at.process.roll_call = RollCall(name, expected, complete, now_ms)
    else:
        group.replicas = {address: _instance(address, now_ms) for address in expected}


def _clear(group: Group, now_ms: int) -> None:
    """sentinelResetMaster."""
    group.end()
    group.replicas = {}
    group.o_down = False
    group.primary = _instance(group.address, now_ms)
    group.start_low = group.start_high = 0
    group.delay_logged = False


def _instance(address: str, now_ms: int) -> Instance:
    return Instance(address, created_ms=now_ms, s_down=False)


def reset(at: At) -> None:
    _clear(at.group, at.now_ms)
    at.group.sentinels, at.group.sentinels_known = {}, True
    at.group.replicas_known = True


def forget_peer(at: At) -> None:
    """Redis 6.2 keeps it without an address, later ones remove it from all groups."""
    for group in at.process.groups.values():
        group.sentinels_known = False
        group.sentinels.pop(at.key, None)


def known_peer(at: At) -> None:
    if at.process.shows_saved:
        expect(at, "sentinelProcessHelloMessage", "saved")


def known_replica(at: At) -> None:
    in_cut_roll = at.process.cut and at.process.last_event in ("", "+slave")
    if at.process.shows_saved and not in_cut_roll:
        expect(at, "sentinelRefreshInstanceInfo", "saved")


def moved_peer(at: At) -> None:
    """An address that changed: the walk no longer vouches for the list."""
    at.group.sentinels_known = False
    at.group.sentinels.pop(at.line.words[-1], None)


def reboot(at: At) -> None:
    at.who.rebooted = True


def monitor(at: At) -> None:
    if at.line.words[-2:-1] == ("quorum",):
        at.group.settings.quorum = int(at.line.words[-1])


def unmonitor(at: At) -> None:
    at.process.groups.pop(at.group.name, None)


def set_option(at: At) -> None:
    option, *value = at.line.subject.rest
    if option.lower() in OPTIONS and value and value[-1].isdecimal():
        setattr(at.group.settings, OPTIONS[option.lower()], int(value[-1]))
