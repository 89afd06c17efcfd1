"""Faults in virtual time: the same time line that the lab carries out on real servers."""

from __future__ import annotations

from model import draws, redis_server, registrar, sentinel
from model.effects import CRASH, HEAL, MAX_HOSTS, PARTITION, PAUSE, RESTART, RESUME, RETURN, VANISH
from sim import network, prober, processes
from sim.state import (
    CLIENT,
    INJECTOR,
    REDIS,
    SENTINEL,
    TIMER,
    TIMERS,
    actor,
    note,
    schedule_again,
)

ALL_PROGRAMS = 4
"""A fault that strikes everything on its host."""

BOOT_US = 30_000
"""From starting redis-server, as server or as sentinel, until it listens. Kind: measured."""
NODE_BOOT_US = 1_500_000
"""From starting a registrar node until it works: a Python program. Kind: measured."""


def strike(world, index):
    """Fault number `index` of the time line happens now."""
    fault = world.fault[index]
    note(world, world.now_us, fault.host, INJECTOR, fault.report, 0, 0, 0)
    if fault.report == VANISH:
        world.attached[fault.host] = 0
        world.cut_us[fault.host] = world.now_us
    elif fault.report == PARTITION:
        world.side[fault.host] = 1
        world.cut_us[fault.host] = world.now_us
    elif fault.report == RETURN:
        world.attached[fault.host] = 1
        _reach_again(world, fault.host)
    elif fault.report == HEAL:
        for host in range(world.hosts):
            world.side[host] = 0
            _reach_again(world, host)
    else:
        for program in range(CLIENT):
            if fault.program == program or fault.program == ALL_PROGRAMS:
                _strike_program(world, actor(program, fault.host), fault.report)
    for host in range(world.hosts):
        prober.expect_change(world, host)


def _reach_again(world, host):
    if world.attached[host] == 1 and world.side[host] == 0:
        world.cut_us[host] = 0
    network.resume_connections(world, world.now_us)


def _strike_program(world, actor_, report):
    process = world.process[actor_]
    if process.exists == 0:
        return
    if report == CRASH:
        _crash(world, actor_)
    elif report == RESTART and process.alive == 0:
        _restart(world, actor_)
    elif report == PAUSE:
        process.paused = 1
    elif report == RESUME:
        process.paused = 0
        _wake(world, actor_)


def _crash(world, actor_):
    process = world.process[actor_]
    process.alive = 0
    process.paused = 0
    process.busy_us = 0
    for which in range(TIMERS):
        process.generation[which] += 1
    network.reset_all(world, actor_, world.now_us)


def _restart(world, actor_):
    """The program is started: from then on it is alive; its kernel accepts connections once it listens."""
    process = world.process[actor_]
    process.alive = 1
    host = actor_ % MAX_HOSTS
    program = actor_ // MAX_HOSTS
    world.out.n = 0
    if program == REDIS:
        process.busy_us = world.now_us + BOOT_US
        rank = 1 + draws.below(world.stream, 1 << 30)
        redis_server.boot(world.redis[host], world.now_us + BOOT_US, rank, world.out)
    elif program == SENTINEL:
        process.busy_us = world.now_us + BOOT_US
        sentinel.boot(world.sentinel[host], world.now_us + BOOT_US, world.out)
    else:
        process.busy_us = world.now_us + NODE_BOOT_US
        registrar.boot(world.registrar[host], world.first_primary, world.out)
    processes.carry_out(world, actor_)


def _wake(world, actor_):
    """What waited for a stopped program is handled now: messages in order, then its timers."""
    for timers in range(2):
        kept = 0
        for index in range(world.n_parked):
            place = world.parked[index]
            event = world.event[place]
            waits = event.t_us != 0 and event.actor == actor_
            if waits and (event.kind == TIMER) == (timers == 1):
                schedule_again(world, place, world.now_us)
            else:
                world.parked[kept] = place
                kept += 1
        world.n_parked = kept
