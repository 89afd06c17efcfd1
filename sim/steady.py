"""A cluster in steady state: where every run starts, so that no warm-up is simulated.

All links stand, all is known, nothing is wrong. What is random is *where in its period* everything is: ticks, PINGs,
INFOs and hellos of each sentinel, the servers' crons, the nodes' and clients' timers, the fraction of the wall-clock
second. They are drawn from their stationary laws. INFOs of one sentinel to its replicas have one common phase, because
all replicas are found in the same INFO reply of the primary.

The fault comes `LEAD_US` after the start: long enough for every PING and hello cycle to have gone round in the
machine itself, so that only the long INFO cycle rests on the drawn phase.

A *conditional* start takes the PING and INFO phases of one real run, as its sentinels told them just before the first
fault (`sim.phases`), instead of drawing them, and starts where they were told. What sentinels do not tell is drawn:
their ticks and hellos, the servers' crons, the nodes and clients.

All this is prepared on each host's own clock.
"""

from __future__ import annotations

from model import draws, redis_server, registrar, sentinel, sip_client
from model.effects import MAX_HOSTS, PRIMARY, REPLICA
from model.records import FAR_FUTURE_US, Record, duration, flag, nested, number
from model.scenario.base import MAX_CLIENTS
from sim import bindings, calls, clocks, dns, expiry, network, prober, steady_clients, ways
from sim.processes import set_timer
from sim.standing import LONG_AGO_US, begin, join
from sim.state import (
    FAULT,
    FAULT_ROW,
    HOST_ACTORS,
    LINKS,
    MAX_BRANCHES,
    MAX_FAULTS,
    PLACES,
    REDIS,
    REGISTRAR,
    SENTINEL,
    SRV_RECORD,
    TIMERS,
    WAY,
    actor,
    schedule,
)

START_US = 2_000_000_000_000
"""True time at the start of a run: 23 days from 0, which means "never", for clocks that are set back. Kind: assumed."""
LEAD_US = 2_500_000
"""From the start of a run to its first fault. Kind: assumed."""
MEAN_RESIDUAL_US = 37_000
"""Mean wait for a tick: by so much, periods of PING, INFO and hello are longer than nominal. Kind: specified
(E[T^2] / 2 E[T] of the ten tick lengths)."""
TICKS_MS = (100, 90, 83, 76, 71, 66, 62, 58, 55, 52)
"""The ten tick lengths, floor(1000 / hz) for hz = 10..19."""
TICKS_SUM_MS = 713

_ANY = FAR_FUTURE_US

PHASE = Record(
    "Phase",
    "How long before the start a sentinel had the last signs of the two instances of a host; 0 = not told, draw.",
    [
        duration("pong_us", "age of the last answer of the server to a PING"),
        duration("info_us", "age of its last INFO"),
        duration("peer_pong_us", "age of the last answer of the sentinel to a PING"),
    ],
)

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
        number("repl_timeout_s", "repl-timeout", 0, 3_600, "s"),
        number("min_replicas_to_write", "min-replicas-to-write", 0, MAX_HOSTS),
        number("min_replicas_max_lag_s", "min-replicas-max-lag", 0, 3_600, "s"),
        flag("restart_forgets_history", "see model.versions"),
        flag("misconf_spares_replicas", "see model.versions"),
        flag("demotion_drops_replicas", "see model.versions"),
        number("quorum", "quorum", 1, MAX_HOSTS),
        duration("down_after_us", "down-after-milliseconds"),
        duration("failover_timeout_us", "failover-timeout"),
        duration("reboot_down_after_us", "master-reboot-down-after-period"),
        number("parallel_syncs", "parallel-syncs", 1, MAX_HOSTS),
        duration("flush_us", "one flush of a sentinel's configuration"),
        flag("redis_is_open", "Redis servers have no password"),
        flag("sentinel_is_open", "sentinels have no password"),
        nested("registrar", "what registrar nodes do their own way", registrar.KNOBS),
        duration("keepalive_us", "registrar.tcp_keepalive_s"),
        duration("user_timeout_us", "registrar.tcp_user_timeout_ms"),
        duration("give_up_us", "network.tcp_retries2: see sim.network"),
        duration("syn_give_up_us", "network.tcp_syn_retries: see sim.network"),
        nested("way", "from each place to each: delay, jitter and loss", WAY, PLACES * PLACES),
        number("clock_offset_us", "by how much each host's clock is ahead", -_ANY, _ANY, "us", MAX_HOSTS),
        number("clock_ppm", "by how much each host's clock runs too fast", -1_000_000, 1_000_000, "ppm", MAX_HOSTS),
        duration("register_period_us", "probe.register_period_ms"),
        duration("register_timeout_us", "probe.register_timeout_ms"),
        duration("write_period_us", "probe.write_period_ms"),
        number("expiry_s", "probe.expiry_s", 0, 86_400, "s"),
        duration("expiry_refresh_us", "probe.expiry_refresh_s"),
        flag("expiry_is_absolute", "probe.expiry_form is expireat"),
        flag("expiry_travels_relative", "it is not, and the family passes it on so: see model.versions"),
        flag("registrations_are_absolute", "registrar.expiry_form is expireat"),
        flag("registrations_travel_relative", "it is not, and the family passes them on so"),
        duration("call_period_us", "probe.call_period_ms"),
        duration("call_timeout_us", "probe.call_timeout_ms"),
        duration("horizon_us", "run.horizon_ms"),
        number("n_faults", "faults", 0, MAX_FAULTS),
        nested("fault", "their time line; times are relative to the first", FAULT_ROW, MAX_FAULTS),
        flag("probes_nodes", "1 = register probers register; 0 = leave them out"),
        nested("zone", "SRV records, by host", SRV_RECORD, MAX_HOSTS),
        number("ttl_s", "dns.ttl_s", 0, 604_800, "s"),
        number("negative_ttl_s", "dns.negative_ttl_s", 0, 86_400, "s"),
        number("certificate", "what the certificate of each node is (model.sip_client)", 0, 15, count=MAX_HOSTS),
        number("clients", "SIP clients", 0, MAX_CLIENTS),
        nested("ua", "what they are", sip_client.CLIENT, MAX_CLIENTS),
        duration("lead_us", "from the start to the first fault"),
        nested("phase", "what sentinels told: the one on host a of host b, at a * MAX_HOSTS + b",
               PHASE, MAX_HOSTS * MAX_HOSTS),
    ],
)  # fmt: skip

# Purposes of streams; that of clients is `steady_clients.CLIENT`.
_TICKS, _NETWORK = 1, 2
_NEIGHBOUR_MIN_US, _NEIGHBOUR_SPREAD_US = 26_400_000, 30_000_000
"""A silent neighbour is given up after 15 to 45 s (reachable time of Linux, drawn for each card) plus 5.1 s (delay
before probing) plus 6.3 s (three unicast and three broadcast probes). Kind: measured (docs/lab.md: 31 to 48 s)."""


def prepare(world, settings, seed, run):
    """Put `world` into the steady state that run number `run` starts from."""
    _clear(world, settings)
    draws.start(world.stream, seed, run, 0, _NETWORK)
    world.now_us = START_US + draws.below(world.stream, 1_000_000)
    world.origin_us = world.now_us + settings.lead_us
    world.end_us = world.origin_us + settings.horizon_us
    world.hosts = settings.hosts
    world.first_primary = settings.primary
    world.flush_us = settings.flush_us
    world.redis_is_open = settings.redis_is_open
    world.sentinel_is_open = settings.sentinel_is_open
    world.neighbour_us = _NEIGHBOUR_MIN_US + draws.below(world.stream, _NEIGHBOUR_SPREAD_US)
    world.keepalive_us = settings.keepalive_us
    world.user_timeout_us = settings.user_timeout_us
    world.give_up_us = settings.give_up_us
    world.syn_give_up_us = settings.syn_give_up_us
    world.write_period_us = settings.write_period_us
    world.binding_life_s = settings.expiry_s
    world.binding_refresh_us = settings.expiry_refresh_us
    world.binding_is_absolute = settings.expiry_is_absolute
    world.binding_travels_relative = settings.expiry_travels_relative
    world.registrations_are_absolute = settings.registrations_are_absolute
    world.registrations_travel_relative = settings.registrations_travel_relative
    world.call_period_us = settings.call_period_us
    world.call_timeout_us = settings.call_timeout_us
    world.write_phase_us = draws.below(world.stream, settings.write_period_us)
    for place in range(PLACES):
        clocks.set_clock(world, place, 0, 0)
    for host in range(settings.hosts):
        clocks.set_clock(world, host, settings.clock_offset_us[host], settings.clock_ppm[host])
    _lay_ways(world, settings)
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
                steady_clients.start_prober(world, settings, host)
    bindings.clear(world)
    dns.publish(world, settings)
    for me in range(settings.clients):
        steady_clients.start(world, settings, me, seed, run)
    for host in range(settings.hosts):
        prober.expect_change(world, host)
    expiry.begin(world)
    calls.begin(world)


def _clear(world, settings):
    world.clients = settings.clients
    world.actors = HOST_ACTORS + settings.clients
    world.connections = world.actors * LINKS
    world.order = 0
    world.n_places = 0
    world.n_free = 0
    world.n_fresh = 0
    world.n_reports = 0
    world.n_registrations = 0
    world.overflow = 0
    world.n_faults = 0
    world.n_triggers = 0
    for actor_ in range(world.actors):
        process = world.process[actor_]
        process.exists = 0
        process.alive = 0
        process.listens_us = 0
        process.paused = 0
        process.busy_us = 0
        process.held.first = 0
        for which in range(TIMERS):
            process.generation[which] = 0
    for number_ in range(world.connections):
        world.connection[number_].generation = 0
        world.connection[number_].target = 0
        network.blank(world.connection[number_])
    for host in range(MAX_HOSTS):
        world.side[host] = 0
        world.attached[host] = 1
        world.snapshot_branch[host] = 0
        world.snapshot_offset[host] = 0
        world.seen[host] = 0
        world.write_due[host] = 0
        world.silent_since_us[host] = 0
    for branch in range(MAX_BRANCHES):
        world.parent[branch] = 0
        world.fork_offset[branch] = 0


def _lay_ways(world, settings):
    for number_ in range(PLACES * PLACES):
        way = world.way[number_]
        way.delay_us = settings.way[number_].delay_us
        way.jitter_us = settings.way[number_].jitter_us
        way.loss_percent = settings.way[number_].loss_percent
        way.usual_percent = way.loss_percent
        way.dead_us = 0
    ways.notice_deaths(world)


def _plan_fault(world, settings, index):
    """A fault with a trigger gets its instant from that."""
    source = settings.fault[index]
    fault = world.fault[index]
    fault.report = source.report
    fault.after = source.after
    fault.host = source.host
    fault.program = source.program
    fault.code = source.code
    fault.to = source.to
    fault.amount_us = source.amount_us
    fault.jitter_us = source.jitter_us
    fault.value = source.value
    fault.t_us = source.t_us
    world.n_faults += 1
    if fault.after != 0:
        world.n_triggers += 1
    else:
        fault.t_us += world.origin_us
        schedule(world, fault.t_us, FAULT, index)


def _age_us(world, told_us, limit_us):
    """The age that was told, else one drawn uniformly below `limit_us`."""
    return told_us if told_us != 0 else draws.below(world.stream, limit_us)


# --- Redis -----------------------------------------------------------------------------------------------------------


def _steady_redis(world, settings, host):
    begin(world, REDIS, host)
    server = world.redis[host]
    now_us = clocks.wall_us(world, host)
    server.me = host
    server.hosts = settings.hosts
    server.priority = settings.priority[host]
    server.sync_delay_us = settings.sync_delay_us
    server.repl_timeout_s = settings.repl_timeout_s
    server.min_replicas_to_write = settings.min_replicas_to_write
    server.min_replicas_max_lag_s = settings.min_replicas_max_lag_s
    server.restart_forgets_history = settings.restart_forgets_history
    server.misconf_spares_replicas = settings.misconf_spares_replicas
    server.demotion_drops_replicas = settings.demotion_drops_replicas
    server.run_rank = 1 + draws.below(world.stream, 1 << 30)
    server.births = 0
    server.branch = settings.primary + 1
    server.offset = 1_000
    server.old_branch = 0
    server.old_offset = 0
    server.backlog_offset = 0
    server.down_since_s = 0
    server.cron_runs = draws.below(world.stream, redis_server.REPL_PING_PERIOD)
    server.replicas = 0
    server.good_replicas = 0
    server.transferring = 0
    server.loading = 0
    server.saves_fail = 0
    server.script = 0
    server.is_silent_until_us = 0
    server.link_io_us = now_us
    server.heard_us = now_us
    for other in range(settings.hosts):
        server.replica_source[other] = 0
        server.replica_waits[other] = 0
        server.acked_s[other] = 0
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
    now_us = clocks.wall_us(world, settings.primary)
    first = draws.below(world.stream, settings.hosts)
    for step in range(settings.hosts):
        host = (first + step) % settings.hosts
        if settings.runs_redis[host] == 1 and host != settings.primary:
            target = actor(REDIS, settings.primary)
            number_ = join(world, actor(REDIS, host), redis_server.REPLICATION_LINK, target)
            redis_server.attach(primary, now_us, host + 1, number_)


# --- Sentinel --------------------------------------------------------------------------------------------------------


def _steady_sentinel(world, settings, host, seed, run):
    begin(world, SENTINEL, host)
    node = world.sentinel[host]
    owner = actor(SENTINEL, host)
    node.me = host
    node.hosts = settings.hosts
    node.quorum = settings.quorum
    node.down_after_us = settings.down_after_us
    node.failover_timeout_us = settings.failover_timeout_us
    node.reboot_down_after_us = settings.reboot_down_after_us
    node.parallel_syncs = settings.parallel_syncs
    node.flush_us = settings.flush_us
    draws.start(node.stream, seed, run, owner, _TICKS)
    node.first = draws.below(world.stream, settings.hosts)
    _calm(node, settings.primary)
    now_us = clocks.wall_us(world, host)
    replica_info_us = draws.below(world.stream, sentinel.INFO_PERIOD_US + MEAN_RESIDUAL_US)
    for other in range(settings.hosts):
        phase = settings.phase[host * MAX_HOSTS + other]
        node.server[other].watch.known = settings.runs_redis[other]
        node.peer[other].watch.known = settings.runs_sentinel[other] if other != host else 0
        if settings.runs_redis[other] == 1:
            _watch_server(world, node, now_us, other, phase, replica_info_us)
        if node.peer[other].watch.known == 1:
            sentinel.create_peer(node.peer[other], now_us)
            _watch_steadily(world, node, node.peer[other].watch, now_us, phase.peer_pong_us)
            join(world, owner, 2 * MAX_HOSTS + 2 * other, actor(SENTINEL, other))
    sentinel.write_file(node)
    set_timer(world, owner, sentinel.TICK, world.now_us + _tick_residual_us(world))


def _calm(node, primary):
    """No failover, first epochs."""
    node.previous_us = 0
    node.busy_us = 0
    node.tilt = 0
    node.tilt_us = 0
    node.current_epoch = 0
    node.config_epoch = 0
    node.primary = primary
    node.o_down = 0
    node.leader = 0
    node.leader_epoch = 0
    node.in_progress = 0
    node.forced = 0
    node.state = sentinel.NONE
    node.failover_epoch = 0
    node.start_us = 0
    node.state_us = 0
    node.promoted = 0
    for number_ in range(MAX_HOSTS):
        node.follower[number_] = 0


def _watch_server(world, node, now_us, other, phase, replica_info_us):
    server = node.server[other]
    redis = world.redis[other]
    sentinel.create_server(server, now_us)
    _watch_steadily(world, node, server.watch, now_us, phase.pong_us)
    server.watch.pc = 1
    server.watch.pc_us = now_us - LONG_AGO_US
    server.watch.heard_us = now_us
    server.role = redis.role
    server.role_us = now_us - LONG_AGO_US
    server.conf_us = now_us - LONG_AGO_US
    server.names = redis.primary
    server.link_up = 1 if redis.role == REPLICA else 0
    server.priority = redis.priority
    server.offset = redis.offset
    server.run_rank = redis.run_rank
    if redis.role == REPLICA and phase.info_us == 0:
        server.info_us = now_us - replica_info_us
    else:
        server.info_us = now_us - _age_us(world, phase.info_us, sentinel.INFO_PERIOD_US + MEAN_RESIDUAL_US)
    owner = actor(SENTINEL, node.me)
    join(world, owner, 2 * other, actor(REDIS, other))
    number_ = join(world, owner, 2 * other + 1, actor(REDIS, other))
    redis.subscriber[node.me] = number_ + 1


def _watch_steadily(world, node, watch, now_us, pong_age_us):
    """A link that has long stood; the last PING and the last hello are somewhere in their periods."""
    ping_period_us = min(node.down_after_us, sentinel.PING_PERIOD_US)
    watch.connected = 1
    watch.cc = 1
    watch.cc_us = now_us - LONG_AGO_US
    watch.reconnect_us = now_us - LONG_AGO_US
    watch.ping_us = 0
    watch.pong_us = now_us - _age_us(world, pong_age_us, ping_period_us + MEAN_RESIDUAL_US)
    watch.last_ping_us = watch.pong_us
    watch.avail_us = watch.pong_us
    watch.publish_us = now_us - draws.below(world.stream, sentinel.PUBLISH_PERIOD_US + MEAN_RESIDUAL_US)


def _tick_residual_us(world):
    """Wait from a random instant to the next tick: a long interval is hit more often than a short one."""
    hit_ms = draws.below(world.stream, TICKS_SUM_MS)
    index = 0
    while hit_ms >= TICKS_MS[index]:
        hit_ms -= TICKS_MS[index]
        index += 1
    return 1 + draws.below(world.stream, TICKS_MS[index] * 1_000)


# --- registrar nodes, their probers ----------------------------------------------------------------------------------


def _steady_registrar(world, settings, host):
    begin(world, REGISTRAR, host)
    node = world.registrar[host]
    registrar.take_knobs(node, settings.registrar)
    registrar.begin(node, settings.primary)
    node.me = host
    node.jobs = 0
    node.sentinels = 0
    for other in range(settings.hosts):
        node.sentinels |= settings.runs_sentinel[other] << other
    node.phase = registrar.ON_PRIMARY
    node.replicas = world.redis[settings.primary].replicas
    owner = actor(REGISTRAR, host)
    _join_redis(world, settings, owner, registrar.REDIS_LINK)
    wait_us = draws.below(world.stream, node.info_period_us)
    set_timer(world, owner, registrar.TIMER_ASK, world.now_us + wait_us)
    if node.keeps_phase == 1:
        _settle_flexisip(world, settings, node, owner)
    if node.follows_sentinel == 1:
        _follow_steadily(world, settings, node, owner)


def _join_redis(world, settings, owner, link):
    """A connection of a node to the primary."""
    world.registrar[owner % MAX_HOSTS].session[link] = registrar.OPEN
    number_ = join(world, owner, link, actor(REDIS, settings.primary))
    network.begin_keepalive(world, number_, world.now_us)


def _settle_flexisip(world, settings, node, owner):
    """A node that has followed the primary for long: the round is over, the rhythm of its questions has begun."""
    node.is_asking = 1
    node.is_subscribed = 1
    if node.round == registrar.LAST_FIRST:
        node.cursor = registrar.count_of(node.replicas)
    if node.subscription != registrar.NO_SUBSCRIPTION:
        _join_redis(world, settings, owner, registrar.SUBSCRIPTION_LINK)
    if node.ping_period_us != 0:
        wait_us = draws.below(world.stream, node.ping_period_us)
        set_timer(world, owner, registrar.TIMER_PING, world.now_us + wait_us)


def _follow_steadily(world, settings, node, owner):
    """A node that has long listened to the first sentinel from its own host on."""
    for step in range(MAX_HOSTS):
        host = (node.me + step) % MAX_HOSTS
        if (node.sentinels >> host) & 1 == 1:
            node.session[registrar.SENTINEL_LINK] = registrar.OPEN
            number_ = join(world, owner, registrar.SENTINEL_LINK, actor(SENTINEL, host))
            world.sentinel[host].follower[node.me] = number_ + 1
            wait_us = draws.below(world.stream, registrar.SENTINEL_PERIOD_US)
            set_timer(world, owner, registrar.TIMER_SENTINEL, world.now_us + wait_us)
            return
