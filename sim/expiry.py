"""The expiry prober in virtual time: who finds a binding that is live, when clocks are wrong?

A client with a good clock writes one binding to every server that takes writes, each time anew before it ends, and
looks it up on every server at a fixed period; changes are reported. A lookup is also what makes a primary delete a
binding that has ended by its clock, for all its replicas.

What servers hold is kept in `sim.bindings`; here is also what makes a primary delete what has ended by its clock: a
lookup of the prober, and for the bindings of SIP clients whatever the server does next, which stands for Redis's expiry
cycle (ten times a second, and it finds few keys at once).

Left out: that cycle for the prober's binding, which it deletes a few ms to 0.1 s earlier than a lookup here does; the
60 us until a write arrives.
"""

from __future__ import annotations

from model import redis_server
from model.effects import BINDING_FOUND, BINDING_MISSING, BINDING_UNANSWERED, BINDING_WRITTEN
from sim import bindings, clocks, processes, ways
from sim.bindings import PROBED
from sim.prober import SILENT_AFTER_US
from sim.state import (
    CLIENT_SIDE,
    LOOK_UP,
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
    for host in range(world.hosts):
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
    _change(world, host, PROBED, until_ms)


def _change(world, host, key, until_ms):
    """A primary gets a new version of a binding, and passes it on; 0 = it is deleted."""
    world.out.n = 0
    redis_server.extend_history(world.redis[host], world.out)
    bindings.put(world, host, key, until_ms)
    processes.carry_out(world, actor(REDIS, host))


# --- what servers do on their own ------------------------------------------------------------------------------------


def follow(world, host, kind):
    """A server has handled a message of that kind (0 = it did something else)."""
    bindings.follow(world, host, kind)
    first_ms = world.first_end_ms[host]
    wall_us = clocks.wall_us(world, host)
    if first_ms == 0 or redis_server.deletes(world.redis[host], first_ms, wall_us) == 0:
        return
    for client in range(world.clients):
        key = bindings.key_of(client)
        until_ms = bindings.end_ms(world, host, key)
        if until_ms != 0 and redis_server.deletes(world.redis[host], until_ms, wall_us) == 1:
            _change(world, host, key, 0)


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
    until_ms = bindings.end_ms(world, host, PROBED)
    wall_us = clocks.wall_us(world, host)
    if until_ms == 0:
        return BINDING_MISSING
    if redis_server.deletes(server, until_ms, wall_us) == 1:
        _change(world, host, PROBED, 0)
    return BINDING_FOUND if redis_server.is_visible(server, until_ms, wall_us) == 1 else BINDING_MISSING
