"""Faults in virtual time: the same time line that the lab carries out on real servers."""

from __future__ import annotations

from model import draws, redis_server, registrar, sentinel
from model.effects import (
    BUSY,
    CRASH,
    DELAY,
    DELIVER_PACKETS,
    DNS_ADD,
    DNS_STOP,
    DRIFT,
    DROP_PACKETS,
    FAIL_SAVES,
    FAST_DISK,
    FORGE_HELLO,
    FORGE_VOTE,
    HEAL,
    MANUAL_FAILOVER,
    MAX_HOSTS,
    MEND_SAVES,
    PARTITION,
    PAUSE,
    RESTART,
    RESUME,
    RETURN,
    SLOW_DISK,
    STEP,
    VANISH,
)
from model.scenario.faults import FORGED_EPOCH_STEP
from sim import clocks, dns, flows, network, prober, processes, ways
from sim.state import (
    DELIVER,
    INJECTOR,
    PROBE_CLIENT,
    REDIS,
    REGISTRAR,
    SENTINEL,
    TIMER,
    TIMERS,
    actor,
    dequeue,
    enqueue,
    note,
    program_of,
    put,
    release_all,
)

ALL_PROGRAMS = 4
"""A fault that strikes everything on its host."""

BOOT_US = 30_000
"""From starting redis-server, as server or as sentinel, until it listens. Kind: measured."""
SERVICE_US = 150
"""From one to the next of the messages that a stopped program finds when it goes on: hundreds of INFO. Kind: measured
(a frozen server is demoted 30 to 50 ms later than one that answers all at once)."""
NODE_BOOT_US = 1_500_000
"""From starting a registrar node until it works: a Python program. Kind: measured."""


def strike(world, index):
    """Fault number `index` of the time line happens now."""
    fault = world.fault[index]
    _take_snapshots(world)
    _note(world, fault)
    if fault.report == CRASH or fault.report == RESTART or fault.report == PAUSE or fault.report == RESUME:
        for program in range(PROBE_CLIENT):
            if fault.program == program or fault.program == ALL_PROGRAMS:
                _strike_program(world, fault, program)
    elif fault.report == STEP:
        clocks.step(world, fault.host, fault.amount_us)
    elif fault.report == DRIFT:
        clocks.drift(world, fault.host, fault.value)
    elif fault.report == SLOW_DISK:
        world.sentinel[fault.host].flush_us = fault.amount_us
    elif fault.report == FAST_DISK:
        world.sentinel[fault.host].flush_us = world.flush_us
    elif fault.report == MANUAL_FAILOVER:
        _force_failover(world, fault.host)
    elif fault.report == FORGE_HELLO or fault.report == FORGE_VOTE:
        _forge(world, fault, FORGED_EPOCH_STEP * (index + 1))
    elif fault.report == FAIL_SAVES or fault.report == MEND_SAVES or fault.report == BUSY:
        _trouble_redis(world, fault)
    elif DNS_STOP <= fault.report <= DNS_ADD:
        dns.strike(world, fault)
    else:
        _strike_network(world, fault)
    for host in range(world.hosts):
        prober.expect_change(world, host)


def _take_snapshots(world):
    """Before the first fault, every server saves its dataset: `restart` with old data comes back with that."""
    for host in range(world.hosts):
        if world.snapshot_branch[host] == 0:
            world.snapshot_branch[host] = world.redis[host].branch
            world.snapshot_offset[host] = world.redis[host].offset


def _note(world, fault):
    """The fault's line of the trace, as model.trace.EVENTS describes it for each kind."""
    report = fault.report
    detail_us = 0
    code = fault.code
    if report == DELAY or report == SLOW_DISK or report == BUSY:
        detail_us = fault.amount_us
    elif report == STEP:
        detail_us = abs(fault.amount_us)
        code = 1 if fault.amount_us < 0 else 0
    elif report == DRIFT:
        detail_us = 1 if fault.value < 0 else 0
        code = abs(fault.value)
    elif report == DROP_PACKETS:
        code = fault.value
    note(world, world.now_us, fault.host, INJECTOR, report, fault.to, detail_us, code)


# --- the network -----------------------------------------------------------------------------------------------------


def _strike_network(world, fault):
    host = fault.host
    if fault.report == VANISH:
        world.attached[host] = 0
    elif fault.report == RETURN:
        world.attached[host] = 1
    elif fault.report == PARTITION:
        world.side[host] = fault.value
    elif fault.report == HEAL:
        for each in range(world.hosts):
            world.side[each] = 0
    elif fault.report == DROP_PACKETS:
        ways.drop(world, host, fault.to, fault.value)
    elif fault.report == DELIVER_PACKETS:
        ways.deliver(world, host, fault.to)
    elif fault.report == DELAY:
        ways.delay(world, host, fault.to, fault.amount_us, fault.jitter_us)
    ways.notice_deaths(world)


# --- programs --------------------------------------------------------------------------------------------------------


def _strike_program(world, fault, program):
    actor_ = actor(program, fault.host)
    process = world.process[actor_]
    if process.exists == 0:
        return
    if fault.report == CRASH:
        _crash(world, actor_)
    elif fault.report == RESTART and process.alive == 0:
        _restart(world, actor_, fault)
    elif fault.report == PAUSE:
        process.paused = process.alive
    elif fault.report == RESUME and process.paused == 1:
        process.paused = 0
        _wake(world, process)


def _crash(world, actor_):
    process = world.process[actor_]
    process.alive = 0
    process.paused = 0
    process.busy_us = 0
    release_all(world, process.held)
    for which in range(TIMERS):
        process.generation[which] += 1
    network.reset_all(world, actor_, world.now_us)
    if program_of(actor_) == REGISTRAR:
        flows.forget_answers(world, actor_ % MAX_HOSTS)


def _restart(world, actor_, fault):
    """The program is started: from then on it is alive; its kernel accepts connections once it listens."""
    process = world.process[actor_]
    process.alive = 1
    host = actor_ % MAX_HOSTS
    program = actor_ // MAX_HOSTS
    listens_us = clocks.wall_us(world, host) + BOOT_US
    process.busy_us = world.now_us + BOOT_US
    world.out.n = 0
    if program == REDIS:
        _boot_redis(world, host, listens_us, fault)
    elif program == SENTINEL:
        sentinel.boot(world.sentinel[host], listens_us, world.out)
    else:
        process.busy_us = world.now_us + NODE_BOOT_US
        registrar.boot(world.registrar[host], world.first_primary, world.out)
    process.listens_us = process.busy_us
    processes.carry_out(world, actor_)


def _boot_redis(world, host, listens_us, fault):
    server = world.redis[host]
    rank = 1 + draws.below(world.stream, 1 << 30)
    if fault.value == 1:
        server.branch = world.snapshot_branch[host]
        server.offset = world.snapshot_offset[host]
    branch = server.branch
    redis_server.boot(server, listens_us, rank, fault.value, fault.amount_us, world.out)
    processes.follow_history(world, server, branch)


def _wake(world, process):
    """What waited for a stopped program is handled now: messages in order, then its timers, as an event loop does."""
    timers = process.held.first
    process.held.first = 0
    while timers != 0:
        place = timers - 1
        timers = world.event[place].next
        if world.event[place].kind == TIMER:
            enqueue(world, process.held, place)
        else:
            put(world, place, world.now_us)
    at_us = world.now_us
    while process.held.first != 0:
        place = dequeue(world, process.held)
        put(world, place, at_us)
        if world.event[place].kind == DELIVER:
            at_us += SERVICE_US


def _force_failover(world, host):
    if _reads(world, actor(SENTINEL, host)):
        world.out.n = 0
        sentinel.force_failover(world.sentinel[host], clocks.wall_us(world, host), world.out)
        processes.carry_out(world, actor(SENTINEL, host))


def _forge(world, fault, epoch):
    """A message that no sentinel has sent, if the program that it is for lets everybody in; it gets there at once.

    A server passes a hello on to the sentinels that listen to it.
    """
    if fault.program == REDIS:
        if world.redis_is_open == 1 and _reads(world, actor(REDIS, fault.host)):
            for host in range(world.hosts):
                if world.redis[fault.host].subscriber[host] != 0:
                    _believe(world, host, fault, epoch)
    elif world.sentinel_is_open == 1:
        _believe(world, fault.host, fault, epoch)


def _believe(world, host, fault, epoch):
    """A sentinel takes no notice of what looks as if it were its own."""
    actor_ = actor(SENTINEL, host)
    sender = 0
    while sender == fault.host or world.process[actor(SENTINEL, sender)].exists == 0:
        sender += 1
    if host != sender and _reads(world, actor_):
        world.out.n = 0
        is_hello = 1 if fault.report == FORGE_HELLO else 0
        now_us = clocks.wall_us(world, host)
        sentinel.believe(world.sentinel[host], now_us, is_hello, sender, epoch, fault.to - 1, world.out)
        processes.carry_out(world, actor_)


def _reads(world, actor_):
    """A program that is stopped does not get to read what it is sent."""
    return world.process[actor_].alive == 1 and world.process[actor_].paused == 0


def _trouble_redis(world, fault):
    if world.process[fault.host].alive == 1:
        world.out.n = 0
        now_us = clocks.wall_us(world, fault.host)
        redis_server.on_fault(world.redis[fault.host], now_us, fault.report, fault.amount_us, world.out)
        processes.carry_out(world, actor(REDIS, fault.host))
