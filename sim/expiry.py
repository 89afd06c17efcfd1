"""The expiry prober in virtual time: who finds a binding that is live, when clocks are wrong?

A client with a good clock writes one binding to every server that takes writes, each time anew before it ends, and
looks it up on every server at a fixed period; changes are reported. A lookup is also what makes a primary delete a
binding that has ended by its clock, for all its replicas.

What is kept: the versions of the binding that any primary made (a deletion is one), each with its place in a history,
and for each server the newest version that its own history holds, with the instant at which that ends by its clock.
That instant is the primary's, or begins anew at the replica where a time to live is what travels; a full resync
carries instants.

Left out: the active expiry cycle of a primary, which deletes a few ms to 0.1 s earlier than a lookup here does; that a
restart from a snapshot gives a replica back its own instant (here: the primary's); the 60 us until a write arrives.
"""

from __future__ import annotations

from model import redis_server
from model.effects import (
    BINDING_FOUND,
    BINDING_MISSING,
    BINDING_UNANSWERED,
    BINDING_WRITTEN,
    CONTINUE,
    FULL_RESYNC,
    REPLICATE,
)
from sim import clocks, harvest, processes, ways
from sim.prober import SILENT_AFTER_US
from sim.state import (
    CLIENT_SIDE,
    LOOK_UP,
    MAX_BINDINGS,
    PROBER,
    REDIS,
    WRITE_BINDING,
    actor,
    note,
    schedule,
)

LEAD_US = 2_500_000
"""From the first write to the first fault. Kind: assumed (the lab does the same)."""
LOOKUP_PERIOD_US = 50_000
"""Between two lookups on one server; the first comes half of it after the first write. Kind: assumed (the lab does the
same)."""

# How a server meets a client: it serves him, answers with an error or by refusing the connection, says nothing.
_READY, _ERROR, _SILENCE = range(3)


def begin(world):
    """Put the first write and the first lookups on the agenda, if the scenario asks for them."""
    world.n_bindings = 0
    for host in range(world.hosts):
        world.held_binding[host] = 0
        world.held_until_ms[host] = 0
        world.looked_up[host] = 0
        world.unheard_us[host] = 0
    if world.binding_life_s == 0:
        return
    schedule(world, max(world.now_us, world.origin_us - LEAD_US), WRITE_BINDING, 0)
    half_us = LOOKUP_PERIOD_US // 2
    for host in range(world.hosts):
        if world.process[actor(REDIS, host)].exists == 1:
            schedule(world, _next_us(world, half_us, LOOKUP_PERIOD_US), LOOK_UP, host)


def _next_us(world, phase_us, period_us):
    """The next instant, later than now, that is some periods and a phase after the prober's start."""
    start_us = world.origin_us - LEAD_US + phase_us
    periods = (world.now_us - start_us) // period_us + 1
    return start_us + max(periods, 0) * period_us


# --- writes ----------------------------------------------------------------------------------------------------------


def write(world):
    """The client sends the binding to every server; those that take writes take it."""
    schedule(world, _next_us(world, 0, world.binding_refresh_us), WRITE_BINDING, 0)
    for host in range(world.hosts):
        if world.process[actor(REDIS, host)].exists == 1 and _takes_writes(world, host) == 1:
            _write_to(world, host)


def _takes_writes(world, host):
    answer = redis_server.answers_write(world.redis[host], clocks.wall_us(world, host))
    return 1 if _contact(world, host) == _READY and answer == redis_server.ACCEPTED_WRITE else 0


def _write_to(world, host):
    wall_ms = clocks.wall_us(world, host) // 1000
    life_ms = world.binding_life_s * 1000
    life_us = life_ms * 1000
    until_ms = wall_ms + life_ms
    if world.binding_is_absolute == 1:
        until_ms = (world.now_us // 1_000_000 + world.binding_life_s) * 1000
        life_us = until_ms * 1000 - world.now_us
    if redis_server.is_visible(world.redis[host], until_ms, clocks.wall_us(world, host)) == 0:
        # EXPIREAT in the past: deleted at once.
        until_ms = 0
    note(world, world.now_us, CLIENT_SIDE, PROBER, BINDING_WRITTEN, host + 1, life_us, 0)
    _change(world, host, until_ms)


def _change(world, host, until_ms):
    """A primary gets a new version of the binding, and passes it on; 0 = it is deleted."""
    if world.n_bindings == MAX_BINDINGS:
        world.overflow = 1
        return
    server = world.redis[host]
    world.out.n = 0
    redis_server.extend_history(server, world.out)
    version = world.binding[world.n_bindings]
    world.n_bindings += 1
    version.branch = server.branch
    version.offset = server.offset
    version.until_ms = until_ms
    version.set_us = clocks.wall_us(world, host)
    world.held_binding[host] = world.n_bindings
    world.held_until_ms[host] = until_ms
    processes.carry_out(world, actor(REDIS, host))


# --- what servers hold -----------------------------------------------------------------------------------------------


def follow(world, host, kind):
    """A server has handled a message of that kind (0 = it did something else): its history may be another one now.

    So it is after a restart, of which the first cron tells.
    """
    newest = _newest(world, world.redis[host])
    if newest == world.held_binding[host] and kind != FULL_RESYNC:
        return
    world.held_binding[host] = newest
    world.held_until_ms[host] = _until_ms(world, host, newest, kind) if newest != 0 else 0


def _newest(world, server):
    """1 + number of the newest version that a server's history holds, 0 = none."""
    newest = world.n_bindings
    while newest != 0:
        version = world.binding[newest - 1]
        if harvest.holds(world, server.branch, server.offset, version.branch, version.offset):
            break
        newest -= 1
    return newest


def _until_ms(world, host, newest, kind):
    """When a version that has just come to a server ends by its clock; 0 = it is a deletion."""
    version = world.binding[newest - 1]
    primary = world.redis[host].primary - 1
    if version.until_ms == 0:
        return 0
    if kind == FULL_RESYNC and world.held_binding[primary] == newest:
        return world.held_until_ms[primary]
    is_relative = world.binding_travels_relative if kind == REPLICATE or kind == CONTINUE else 0
    wall_us = clocks.wall_us(world, host)
    return redis_server.expiry_at_replica(version.until_ms, is_relative, version.set_us, wall_us)


# --- lookups ---------------------------------------------------------------------------------------------------------


def look_up(world, host):
    """The client looks the binding up on this server now: report if it fares otherwise than the last time."""
    schedule(world, world.now_us + LOOKUP_PERIOD_US, LOOK_UP, host)
    contact = _contact(world, host)
    if contact == _SILENCE:
        if world.unheard_us[host] == 0:
            world.unheard_us[host] = world.now_us
        if world.now_us - world.unheard_us[host] > SILENT_AFTER_US:
            _report(world, host, world.unheard_us[host], BINDING_UNANSWERED)
        return
    world.unheard_us[host] = 0
    answer = _find(world, host) if contact == _READY else BINDING_UNANSWERED
    _report(world, host, world.now_us + 2 * ways.UNSHAPED_US, answer)


def _report(world, host, t_us, answer):
    if answer != world.looked_up[host]:
        world.looked_up[host] = answer
        note(world, t_us, CLIENT_SIDE, PROBER, answer, host + 1, 0, 0)


def _contact(world, host):
    """How the server meets a client now; in a script, silently at first."""
    process = world.process[actor(REDIS, host)]
    server = world.redis[host]
    if ways.way_between(world, CLIENT_SIDE, host).dead_us != 0 or process.paused == 1:
        return _SILENCE
    if server.script == 1 and process.alive == 1 and clocks.wall_us(world, host) < server.is_silent_until_us:
        return _SILENCE
    is_up = process.alive == 1 and process.listens_us <= world.now_us
    return _READY if is_up and server.loading == 0 and server.script == 0 else _ERROR


def _find(world, host):
    """Whether the server finds it; a primary that finds it ended deletes it."""
    server = world.redis[host]
    until_ms = world.held_until_ms[host]
    wall_us = clocks.wall_us(world, host)
    if until_ms == 0:
        return BINDING_MISSING
    if redis_server.deletes(server, until_ms, wall_us) == 1:
        _change(world, host, 0)
    return BINDING_FOUND if redis_server.is_visible(server, until_ms, wall_us) == 1 else BINDING_MISSING
