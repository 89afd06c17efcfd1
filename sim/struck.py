"""Which programs were out of touch, and when: `model.measures` explains the rules (`_Struck`, `_Ill`)."""

from __future__ import annotations

from model.effects import (
    CRASH,
    DELIVER_PACKETS,
    DROP_PACKETS,
    HEAL,
    MAX_HOSTS,
    PARTITION,
    PAUSE,
    RESTART,
    RESUME,
    RETURN,
    VANISH,
)
from sim.outcome_records import ABSENT, FAULTY_PROGRAMS, NOBODY
from sim.state import REDIS


def forget_faults(work):
    work.n_states = 0
    work.vanished = 0
    work.used_sides = 0
    for program in range(FAULTY_PROGRAMS):
        work.crashed[program] = 0
        work.paused[program] = 0
    for host in range(MAX_HOSTS):
        work.redis_since[host] = ABSENT
        work.side[host] = 0
        work.lossy[host] = 0


def strike(facts, work, report):
    """Apply one fault."""
    kind = report.report
    bit = 1 << report.host
    if kind == CRASH or kind == RESTART or kind == PAUSE or kind == RESUME:
        for program in range(FAULTY_PROGRAMS):
            if report.code == 0 or report.code == program + 1:
                _stop(work, kind, program, bit)
    elif kind == VANISH:
        work.vanished |= bit
    elif kind == RETURN:
        work.vanished &= ~bit
    elif kind == PARTITION:
        work.side[report.host] = _take_side(facts, work, report.host)
    elif kind == HEAL:
        for host in range(facts.hosts):
            work.side[host] = 0
    elif kind == DROP_PACKETS or kind == DELIVER_PACKETS:
        ways = 1 << (report.about - 1) if report.about != 0 else (1 << facts.hosts) - 1
        if kind == DROP_PACKETS and report.code == 100:
            work.lossy[report.host] |= ways & ~bit
        else:
            work.lossy[report.host] &= ~ways


def _stop(work, kind, program, bit):
    if kind == CRASH:
        work.crashed[program] |= bit
    elif kind == RESTART:
        work.crashed[program] &= ~bit
    elif kind == PAUSE:
        work.paused[program] |= bit
    else:
        work.paused[program] &= ~bit


def _take_side(facts, work, host):
    """Side of this host's next split; a host that was chosen in the run takes the next one so planned."""
    for wanted in range(2):
        for index in range(facts.n_sides):
            is_meant = facts.side_host[index] == (host if wanted == 0 else NOBODY)
            if is_meant and (work.used_sides >> index) & 1 == 0:
                work.used_sides |= 1 << index
                return facts.side[index]
    return 1


def remember(facts, work, t_us):
    away = _out_of_reach(facts, work)
    work.state_us[work.n_states] = t_us
    for program in range(FAULTY_PROGRAMS):
        work.struck[work.n_states * FAULTY_PROGRAMS + program] = work.crashed[program] | work.paused[program] | away
    work.n_states += 1
    for host in range(facts.hosts):
        if work.redis_since[host] == ABSENT and (_struck_at(work, work.n_states - 1, REDIS) >> host) & 1 == 1:
            work.redis_since[host] = t_us


def _out_of_reach(facts, work):
    """Hosts that the larger part of the others cannot talk to."""
    largest = _largest_side(facts, work)
    away = work.vanished
    for host in range(facts.hosts):
        if work.side[host] != largest or _is_mute_and_deaf(facts, work, host):
            away |= 1 << host
    return away


def _largest_side(facts, work):
    """Of equal ones, the first counts as the larger."""
    largest = 0
    most = 0
    for host in range(facts.hosts):
        size = 0
        for other in range(facts.hosts):
            size += 1 if work.side[other] == work.side[host] else 0
        if size > most or (size == most and work.side[host] < largest):
            most = size
            largest = work.side[host]
    return largest


def _is_mute_and_deaf(facts, work, host):
    others = 0
    for other in range(facts.hosts):
        if other != host:
            others += 1
            if (work.lossy[host] >> other) & 1 == 0 or (work.lossy[other] >> host) & 1 == 0:
                return False
    return others > 0


def _struck_at(work, index, program):
    """Hosts whose program is struck after so many faults and one."""
    return work.struck[index * FAULTY_PROGRAMS + program] if index >= 0 else 0


def _state_at(work, t_us):
    """Number of the last fault up to an instant, -1 = none."""
    index = work.n_states - 1
    while index >= 0 and work.state_us[index] > t_us:
        index -= 1
    return index


def struck(work, t_us, program):
    """Hosts whose program is struck at an instant."""
    return _struck_at(work, _state_at(work, t_us), program)


def struck_from_on(work, t_us, program):
    """Hosts whose program is struck at an instant or any time later."""
    first = _state_at(work, t_us)
    hosts = _struck_at(work, first, program)
    for index in range(first + 1, work.n_states):
        hosts |= _struck_at(work, index, program)
    return hosts


def back_us(work, program, host):
    """When a struck program was back for good, -1 when it never was struck or never came back."""
    back = ABSENT
    was_struck = 0
    for index in range(work.n_states):
        is_struck = (_struck_at(work, index, program) >> host) & 1
        if is_struck == 1:
            back = ABSENT
        elif was_struck == 1:
            back = work.state_us[index]
        was_struck = is_struck
    return back
