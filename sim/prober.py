"""The write prober in virtual time: a write goes to every Redis server at a fixed period; changes are reported.

The lab's prober sends every write. Here only those are looked at before which something has changed: all others would
see the same as the one before them.
"""

from __future__ import annotations

from model import redis_server
from model.effects import WRITE_ACCEPTED, WRITE_REFUSED, WRITE_SILENT
from sim import clocks, ways
from sim.state import ACCEPTED, CLIENT_SIDE, PROBER, REFUSED_WRITE, SILENT, WRITE_CHECK, note, schedule

SILENT_AFTER_US = 1_000_000
"""Silence is what lasts longer than this. Kind: specified (by the lab's prober)."""


def expect_change(world, host):
    """A server may answer writes differently now: look at the prober's next write."""
    _look_from(world, host, world.now_us)


def follow(world, host):
    """A server has done something: look at the prober's next write if it will fare otherwise than the last."""
    if _outcome(world, host) != world.seen[host]:
        _look_from(world, host, world.now_us)


def _look_from(world, host, t_us):
    if world.process[host].exists == 0 or world.write_due[host] == 1:
        return
    periods = (t_us - world.write_phase_us + world.write_period_us - 1) // world.write_period_us
    schedule(world, world.write_phase_us + periods * world.write_period_us, WRITE_CHECK, host)
    world.write_due[host] = 1


def check(world, host):
    """A write goes to this server now: report if it fares otherwise than the last one."""
    world.write_due[host] = 0
    if world.process[host].busy_us > world.now_us:
        _look_from(world, host, world.process[host].busy_us)
    outcome = _outcome(world, host)
    if world.seen[host] != SILENT and _is_long_silent(world, host, outcome):
        world.seen[host] = SILENT
        note(world, world.silent_since_us[host], CLIENT_SIDE, PROBER, WRITE_SILENT, host + 1, 0, 0)
    if outcome == SILENT:
        if world.seen[host] != SILENT:
            _look_from(world, host, world.now_us + 1)
        return
    world.silent_since_us[host] = 0
    if outcome == world.seen[host]:
        return
    world.seen[host] = outcome
    answered_us = world.now_us + 2 * ways.UNSHAPED_US
    if outcome == ACCEPTED:
        note(world, answered_us, CLIENT_SIDE, PROBER, WRITE_ACCEPTED, host + 1, 0, 0)
    else:
        note(world, answered_us, CLIENT_SIDE, PROBER, WRITE_REFUSED, host + 1, 0, 0)


def _is_long_silent(world, host, outcome):
    """Silence is what lasts; it counts from the first write without an answer, and up to the first answer."""
    if outcome == SILENT and world.silent_since_us[host] == 0:
        world.silent_since_us[host] = world.now_us
    since_us = world.silent_since_us[host]
    return since_us != 0 and world.now_us - since_us > SILENT_AFTER_US


def _outcome(world, host):
    """How a write fares now. A server that has just been started does not listen yet: the connection is refused."""
    process = world.process[host]
    if ways.way_between(world, CLIENT_SIDE, host).dead_us != 0 or (process.alive == 1 and process.paused == 1):
        return SILENT
    if process.alive == 0:
        return REFUSED_WRITE
    answer = redis_server.answers_write(world.redis[host], clocks.wall_us(world, host))
    if answer == redis_server.NO_ANSWER:
        return SILENT
    if answer == redis_server.REFUSED_WRITE or process.listens_us > world.now_us:
        return REFUSED_WRITE
    return ACCEPTED
