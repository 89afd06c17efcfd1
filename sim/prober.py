"""The write prober in virtual time: a write goes to every Redis server at a fixed period; changes are reported.

The lab's prober sends every write. Here only those are looked at before which something has changed: all others would
see the same as the one before them.
"""

from __future__ import annotations

from model.effects import PRIMARY, WRITE_ACCEPTED, WRITE_REFUSED, WRITE_SILENT
from sim import network
from sim.state import ACCEPTED, CLIENT_SIDE, PROBER, REFUSED_WRITE, SILENT, WRITE_CHECK, note, schedule


def expect_change(world, host):
    """A server may answer writes differently now: look at the prober's next write."""
    if world.process[host].exists == 0 or world.write_due[host] == 1:
        return
    since_us = world.now_us - world.write_phase_us
    periods = (since_us + world.write_period_us - 1) // world.write_period_us
    schedule(world, world.write_phase_us + periods * world.write_period_us, WRITE_CHECK, host)
    world.write_due[host] = 1


def check(world, host):
    """A write goes to this server now: report if it fares otherwise than the last one."""
    world.write_due[host] = 0
    process = world.process[host]
    now_us = world.now_us
    answered_us = now_us + 2 * world.delay_us
    seen = world.seen[host]
    if not network.is_path_up(world, CLIENT_SIDE, host) or (process.alive == 1 and process.paused == 1):
        world.seen[host] = SILENT
    elif process.alive == 1 and world.redis[host].role == PRIMARY:
        world.seen[host] = ACCEPTED
    else:
        world.seen[host] = REFUSED_WRITE
    if world.seen[host] == seen:
        return
    if world.seen[host] == SILENT:
        note(world, now_us, CLIENT_SIDE, PROBER, WRITE_SILENT, host + 1, 0, 0)
    elif world.seen[host] == ACCEPTED:
        note(world, answered_us, CLIENT_SIDE, PROBER, WRITE_ACCEPTED, host + 1, 0, 0)
    else:
        note(world, answered_us, CLIENT_SIDE, PROBER, WRITE_REFUSED, host + 1, 0, 0)
