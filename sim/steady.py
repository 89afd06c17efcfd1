"""A cluster in steady state: where every run starts, so that no warm-up is simulated.

All links stand, all is known, nothing is wrong. What is random is *where in its period* everything is: ticks, PINGs,
INFOs and hellos of each sentinel, the servers' crons, the nodes' and clients' timers, the fraction of the wall-clock
second. They are drawn from their stationary laws. INFOs of one sentinel to its replicas have one common phase, because
all replicas are found in the same INFO reply of the primary.

The fault comes `LEAD_US` after the start: long enough for every PING and hello cycle to have gone round in the
machine itself, so that only the long INFO cycle rests on the drawn phase.
"""

from __future__ import annotations

from model import draws, redis_server, registrar, sentinel, sip_client
from model.effects import MAX_HOSTS, PRIMARY, REPLICA
from model.records import Record, duration, flag, nested, number
from sim import network, prober
from sim.processes import set_timer
from sim.state import (
    ACTORS,
    CLIENT,
    CONNECTIONS,
    FAULT,
    FAULT_ROW,
    LINKS,
    MAX_BRANCHES,
    MAX_EVENTS,
    OPEN,
    REDIS,
    REGISTRAR,
    SENTINEL,
    TIMERS,
    actor,
    schedule,
)

START_US = 1_000_000_000
"""The hosts' clocks at the start of a run: far enough from 0, which means "never". Kind: assumed."""
LEAD_US = 2_500_000
"""From the start of a run to its first fault. Kind: assumed."""
LONG_AGO_US = 600_000_000
"""Age of what has long been so: connections. Kind: assumed."""
MEAN_RESIDUAL_US = 37_000
"""Mean wait for a tick: by so much, periods of PING, INFO and hello are longer than nominal. Kind: specified
(E[T^2] / 2 E[T] of the ten tick lengths)."""
TICKS_MS = (100, 90, 83, 76, 71, 66, 62, 58, 55, 52)
"""The ten tick lengths, floor(1000 / hz) for hz = 10..19."""
TICKS_SUM_MS = 713

SETTINGS = Record(
    "Settings",
    "A scenario, in the integers that the engines work with.",
    [
        number("hosts", "number of hosts", 1, MAX_HOSTS),
        number("primary", "number of the first primary", 0, MAX_HOSTS),
        number("runs_redis", "by host", 0, 1, count=MAX_HOSTS),
        number("runs_sentinel", "by host", 0, 1, count=MAX_HOSTS),
        number("runs_registrar", "by host", 0, 1, count=MAX_HOSTS),
        number("priority", "replica-priority, by host", 0, 1000, count=MAX_HOSTS),
        duration("sync_delay_us", "repl-diskless-sync-delay"),
        number("quorum", "quorum", 1, MAX_HOSTS),
        duration("down_after_us", "down-after-milliseconds"),
        duration("failover_timeout_us", "failover-timeout"),
        number("parallel_syncs", "parallel-syncs", 1, MAX_HOSTS),
        duration("flush_us", "one flush of a sentinel's configuration"),
        duration("redis_timeout_us", "registrar.redis_timeout_ms"),
        duration("info_period_us", "registrar.info_period_ms"),
        duration("wait_poll_us", "registrar.wait_poll_ms"),
        duration("retry_pause_us", "registrar.retry_pause_ms"),
        duration("delay_us", "one-way delay"),
        duration("register_period_us", "probe.register_period_ms"),
        duration("register_timeout_us", "probe.register_timeout_ms"),
        duration("write_period_us", "probe.write_period_ms"),
        duration("horizon_us", "run.horizon_ms"),
        number("n_faults", "faults", 0, 16),
        nested("fault", "their time line; times are relative to the first", FAULT_ROW, 16),
        flag("probes_nodes", "1 = clients register; 0 = leave them out"),
    ],
)

# Purposes of streams.
_TICKS, _NETWORK = 1, 2
_NEIGHBOUR_MIN_US, _NEIGHBOUR_SPREAD_US = 26_400_000, 30_000_000
"""A silent neighbour is given up after 15 to 45 s (reachable time of Linux, drawn for each card) plus 5.1 s (delay
before probing) plus 6.3 s (three unicast and three broadcast probes). Kind: measured (docs/lab.md: 31 to 48 s)."""


def prepare(world, settings, seed, run):
    """Put `world` into the steady state that run number `run` starts from."""
    _clear(world)
    draws.start(world.stream, seed, run, 0, _NETWORK)
    world.now_us = START_US + draws.below(world.stream, 1_000_000)
    world.origin_us = world.now_us + LEAD_US
    world.end_us = world.origin_us + settings.horizon_us
    world.hosts = settings.hosts
    world.first_primary = settings.primary
    world.delay_us = settings.delay_us
    world.neighbour_us = _NEIGHBOUR_MIN_US + draws.below(world.stream, _NEIGHBOUR_SPREAD_US)
    world.write_period_us = settings.write_period_us
    world.write_phase_us = draws.below(world.stream, settings.write_period_us)
    for index in range(settings.n_faults):
        _plan_fault(world, settings, index)
    for host in range(settings.hosts):
        if settings.runs_redis[host] == 1:
            _steady_redis(world, settings, host)
    _attach_replicas(world, settings)
    for host in range(settings.hosts):
        if settings.runs_sentinel[host] == 1:
            _steady_sentinel(world, settings, host, seed, run)
        if settings.runs_registrar[host] == 1:
            _steady_registrar(world, settings, host)
            if settings.probes_nodes == 1:
                _steady_client(world, settings, host)
    for host in range(settings.hosts):
        prober.expect_change(world, host)


def _clear(world):
    world.order = 0
    world.n_free = MAX_EVENTS
    for place in range(MAX_EVENTS):
        world.free[place] = place
    world.n_fresh = 0
    world.n_parked = 0
    world.n_reports = 0
    world.n_registrations = 0
    world.overflow = 0
    world.n_faults = 0
    for actor_ in range(ACTORS):
        process = world.process[actor_]
        process.exists = 0
        process.alive = 0
        process.paused = 0
        process.busy_us = 0
        for which in range(TIMERS):
            process.generation[which] = 0
    for number_ in range(CONNECTIONS):
        world.connection[number_].generation = 0
        world.connection[number_].target = 0
        network.blank(world.connection[number_])
    for host in range(MAX_HOSTS):
        world.side[host] = 0
        world.attached[host] = 1
        world.cut_us[host] = 0
        world.seen[host] = 0
        world.write_due[host] = 0
    for branch in range(MAX_BRANCHES):
        world.parent[branch] = 0
        world.fork_offset[branch] = 0


def _plan_fault(world, settings, index):
    source = settings.fault[index]
    fault = world.fault[index]
    fault.report = source.report
    fault.host = source.host
    fault.program = source.program
    fault.t_us = world.origin_us + source.t_us
    world.n_faults += 1
    schedule(world, fault.t_us, FAULT, index)


def _begin(world, program, host):
    process = world.process[actor(program, host)]
    process.exists = 1
    process.alive = 1


def _join(world, owner, link, target):
    """A connection that has long been open; returns its number."""
    number_ = owner * LINKS + link
    connection = world.connection[number_]
    connection.state = OPEN
    connection.target = target
    connection.open_us = world.now_us - LONG_AGO_US
    return number_


def _ago(world, limit_us):
    """An instant uniformly within the last `limit_us`."""
    return world.now_us - draws.below(world.stream, limit_us)


# --- Redis -----------------------------------------------------------------------------------------------------------


def _steady_redis(world, settings, host):
    _begin(world, REDIS, host)
    server = world.redis[host]
    server.me = host
    server.hosts = settings.hosts
    server.priority = settings.priority[host]
    server.sync_delay_us = settings.sync_delay_us
    server.run_rank = 1 + draws.below(world.stream, 1 << 30)
    server.births = 0
    server.branch = settings.primary + 1
    server.offset = 1_000
    server.old_branch = 0
    server.old_offset = 0
    server.down_since_s = 0
    server.cron_runs = draws.below(world.stream, redis_server.REPL_PING_PERIOD)
    server.replicas = 0
    server.waits_since_us = 0
    server.transferring = 0
    server.link_io_us = world.now_us
    server.heard_us = world.now_us
    for other in range(settings.hosts):
        server.replica_source[other] = 0
        server.replica_waits[other] = 0
        server.subscriber[other] = 0
    if host == settings.primary:
        server.role = PRIMARY
        server.primary = 0
        server.link = redis_server.LINK_NONE
    else:
        server.role = REPLICA
        server.primary = settings.primary + 1
        server.link = redis_server.LINK_IS_UP
    wait_us = draws.below(world.stream, redis_server.CRON_PERIOD_US)
    set_timer(world, actor(REDIS, host), redis_server.CRON, world.now_us + wait_us)


def _attach_replicas(world, settings):
    """Replicas are listed in the order in which they once came: a random one."""
    primary = world.redis[settings.primary]
    first = draws.below(world.stream, settings.hosts)
    for step in range(settings.hosts):
        host = (first + step) % settings.hosts
        if settings.runs_redis[host] == 1 and host != settings.primary:
            target = actor(REDIS, settings.primary)
            number_ = _join(world, actor(REDIS, host), redis_server.REPLICATION_LINK, target)
            redis_server.attach(primary, host + 1, number_)


# --- Sentinel --------------------------------------------------------------------------------------------------------


def _steady_sentinel(world, settings, host, seed, run):
    _begin(world, SENTINEL, host)
    node = world.sentinel[host]
    owner = actor(SENTINEL, host)
    node.me = host
    node.hosts = settings.hosts
    node.quorum = settings.quorum
    node.down_after_us = settings.down_after_us
    node.failover_timeout_us = settings.failover_timeout_us
    node.parallel_syncs = settings.parallel_syncs
    node.flush_us = settings.flush_us
    draws.start(node.stream, seed, run, owner, _TICKS)
    _calm(node, settings.primary)
    replica_info_us = _ago(world, sentinel.INFO_PERIOD_US + MEAN_RESIDUAL_US)
    for other in range(settings.hosts):
        node.server[other].watch.known = settings.runs_redis[other]
        node.peer[other].watch.known = settings.runs_sentinel[other] if other != host else 0
        if settings.runs_redis[other] == 1:
            _watch_server(world, node, owner, other, replica_info_us)
        if node.peer[other].watch.known == 1:
            sentinel.create_peer(node.peer[other], world.now_us)
            _watch_steadily(world, node.peer[other].watch)
            _join(world, owner, 2 * MAX_HOSTS + 2 * other, actor(SENTINEL, other))
    set_timer(world, owner, sentinel.TICK, world.now_us + _tick_residual_us(world))


def _calm(node, primary):
    """No failover, first epochs."""
    node.previous_us = 0
    node.tilt = 0
    node.current_epoch = 0
    node.config_epoch = 0
    node.primary = primary
    node.o_down = 0
    node.leader = 0
    node.leader_epoch = 0
    node.in_progress = 0
    node.state = sentinel.NONE
    node.failover_epoch = 0
    node.start_us = 0
    node.state_us = 0
    node.promoted = 0


def _watch_server(world, node, owner, other, replica_info_us):
    server = node.server[other]
    redis = world.redis[other]
    sentinel.create_server(server, world.now_us)
    _watch_steadily(world, server.watch)
    server.watch.pc = 1
    server.watch.pc_us = world.now_us - LONG_AGO_US
    server.watch.heard_us = world.now_us
    server.role = redis.role
    server.role_us = world.now_us - LONG_AGO_US
    server.conf_us = world.now_us - LONG_AGO_US
    server.names = redis.primary
    server.link_up = 1 if redis.role == REPLICA else 0
    server.priority = redis.priority
    server.offset = redis.offset
    server.run_rank = redis.run_rank
    if redis.role == REPLICA:
        server.info_us = replica_info_us
    else:
        server.info_us = _ago(world, sentinel.INFO_PERIOD_US + MEAN_RESIDUAL_US)
    _join(world, owner, 2 * other, actor(REDIS, other))
    number_ = _join(world, owner, 2 * other + 1, actor(REDIS, other))
    redis.subscriber[node.me] = number_ + 1


def _watch_steadily(world, watch):
    """A link that has long stood; the last PING and the last hello are somewhere in their periods."""
    watch.connected = 1
    watch.cc = 1
    watch.cc_us = world.now_us - LONG_AGO_US
    watch.reconnect_us = world.now_us - LONG_AGO_US
    watch.ping_us = 0
    watch.pong_us = _ago(world, sentinel.PING_PERIOD_US + MEAN_RESIDUAL_US)
    watch.last_ping_us = watch.pong_us
    watch.avail_us = watch.pong_us
    watch.publish_us = _ago(world, sentinel.PUBLISH_PERIOD_US + MEAN_RESIDUAL_US)


def _tick_residual_us(world):
    """Wait from a random instant to the next tick: a long interval is hit more often than a short one."""
    hit_ms = draws.below(world.stream, TICKS_SUM_MS)
    index = 0
    while hit_ms >= TICKS_MS[index]:
        hit_ms -= TICKS_MS[index]
        index += 1
    return 1 + draws.below(world.stream, TICKS_MS[index] * 1_000)


# --- registrar nodes and clients -------------------------------------------------------------------------------------


def _steady_registrar(world, settings, host):
    _begin(world, REGISTRAR, host)
    node = world.registrar[host]
    node.redis_timeout_us = settings.redis_timeout_us
    node.info_period_us = settings.info_period_us
    node.wait_poll_us = settings.wait_poll_us
    node.retry_pause_us = settings.retry_pause_us
    node.phase = registrar.ON_PRIMARY
    node.configured = settings.primary
    node.current = settings.primary
    node.replicas = world.redis[settings.primary].replicas
    node.cursor = 0
    node.lost_primary = 0
    node.lost_us = 0
    node.moves = 0
    node.came_back = 0
    node.unanswered = 0
    node.open_requests = 0
    for slot in range(registrar.MAX_REQUESTS):
        node.request[slot] = 0
    owner = actor(REGISTRAR, host)
    _join(world, owner, registrar.REDIS_LINK, actor(REDIS, settings.primary))
    set_timer(world, owner, registrar.TIMER_ASK, world.now_us + draws.below(world.stream, settings.info_period_us))


def _steady_client(world, settings, host):
    _begin(world, CLIENT, host)
    client = world.client[host]
    client.period_us = settings.register_period_us
    client.timeout_us = settings.register_timeout_us
    client.node = host
    client.sent = 0
    client.settled = 0
    client.last = 0
    client.confirmed = 0
    client.refused = 0
    client.unknown = 0
    owner = actor(CLIENT, host)
    _join(world, owner, sip_client.NODE_LINK, actor(REGISTRAR, host))
    wait_us = draws.below(world.stream, settings.register_period_us)
    set_timer(world, owner, sip_client.TIMER_SEND, world.now_us + wait_us)
