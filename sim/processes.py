"""Calls the right machine when something is due for a program, and carries out the machine's effects.

A program that rewrites its file (a sentinel's flush, a server's CONFIG REWRITE) stands still until that is done: what
its handler sends leaves only then, and its timers run from then. A connect that was begun before goes on meanwhile.

A machine is given the wall clock of its host, and what it reports is noted in true time.
"""

from __future__ import annotations

from model import redis_server, register_prober, registrar, sentinel, sip_client
from model.effects import (
    BLOCK,
    CANCEL_TIMER,
    CLOSE,
    CONNECT,
    DROP,
    FORGET,
    KILL_CLIENTS,
    LINK_CLOSED,
    LINK_OPEN,
    MAX_HOSTS,
    PRIMARY,
    REPLY,
    REPORT,
    RESOLVE,
    RESOLVED,
    RESPONSE,
    SEND,
    SET_TIMER,
    STORE,
)
from sim import bindings, clocks, dns, flows, network, prober
from sim.state import (
    CONNECTIONS,
    GONE,
    LINKS,
    MAX_BRANCHES,
    MAX_REGISTRATIONS,
    OPEN,
    OPENING,
    PROBE_CLIENT,
    REDIS,
    REGISTRAR,
    SENTINEL,
    TIMER,
    UA,
    is_flow,
    note,
    number_of,
    place_of,
    program_of,
    schedule,
)


def handle(world, event):
    """Call the machine of a running program."""
    world.out.n = 0
    if event.kind == TIMER:
        _call_timer(world, event.actor, event.which)
    elif event.kind == GONE:
        redis_server.on_replica_gone(world.redis[event.actor % MAX_HOSTS], event.connection // LINKS % MAX_HOSTS + 1)
    else:
        _follow_connection(world, event)
        if flows.absorbs(world, event) == 0:
            _call_message(world, event.actor, _source_of(world, event), event.message)
    carry_out(world, event.actor)
    if event.actor // MAX_HOSTS == REDIS:
        prober.follow(world, event.actor)


def _follow_connection(world, event):
    """The kernel's view of a connection changes when the program hears of it. An ICMP error closes nothing."""
    connection = world.connection[event.connection]
    if event.message.kind == LINK_OPEN and connection.state == OPENING:
        connection.state = OPEN
    elif event.message.kind == LINK_CLOSED and connection.is_datagrams == 0:
        network.end_life(world, event.connection)


def _source_of(world, event):
    """How the program that gets a message knows where it is from: its own link, else what it may answer to."""
    number = event.connection
    if event.backwards == 1:
        return number % LINKS
    return flows.source_of(number, event.generation) if is_flow(number) else number


def _call_timer(world, actor_, which):
    host = number_of(actor_)
    program = program_of(actor_)
    now_us = clocks.wall_us(world, place_of(actor_))
    if program == SENTINEL:
        sentinel.on_timer(world.sentinel[host], now_us, which, world.out)
    elif program == REDIS:
        redis_server.on_timer(world.redis[host], now_us, which, world.out)
    elif program == REGISTRAR:
        registrar.on_timer(world.registrar[host], now_us, which, world.out)
    elif program == PROBE_CLIENT:
        register_prober.on_timer(world.probe_client[host], now_us, which, world.out)
    else:
        sip_client.on_timer(world.ua[host], now_us, which, world.out)


def _call_message(world, actor_, source, message):
    host = number_of(actor_)
    program = program_of(actor_)
    now_us = clocks.wall_us(world, place_of(actor_))
    if program == SENTINEL:
        sentinel.on_message(world.sentinel[host], now_us, source, message, world.out)
    elif program == REDIS:
        _call_redis(world, host, now_us, source, message)
    elif program == REGISTRAR:
        registrar.on_message(world.registrar[host], now_us, source, message, world.out)
    elif program == PROBE_CLIENT:
        if message.kind == RESPONSE:
            _follow_confirmation(world, host, message)
        register_prober.on_message(world.probe_client[host], now_us, source, message, world.out)
    else:
        if message.kind == RESOLVED:
            message.code = dns.fill(world, world.ua[host])
        sip_client.on_message(world.ua[host], now_us, source, message, world.out)


def _call_redis(world, host, now_us, source, message):
    """A Redis server, and the books about where requests were stored."""
    server = world.redis[host]
    branch = server.branch
    offset = server.offset
    redis_server.on_message(server, now_us, source, message, world.out)
    follow_history(world, server, branch)
    if message.kind == STORE and server.offset > offset:
        _book(world, host, source // LINKS % MAX_HOSTS, message)


def _book(world, host, node, message):
    """A primary has stored what a node sent: a client's registration, or a prober's request."""
    if message.client != 0:
        bindings.store(world, host, node, message)
        return
    slot = node * register_prober.MAX_OPEN + message.request % register_prober.MAX_OPEN
    world.stored_branch[slot] = world.redis[host].branch
    world.stored_offset[slot] = world.redis[host].offset


def follow_history(world, server, branch):
    """Keep the books about histories: a server that was in history `branch` may have begun one that continues it."""
    if server.branch >= MAX_BRANCHES:
        world.overflow = 1
    elif server.branch != branch and server.role == PRIMARY:
        world.parent[server.branch] = server.old_branch
        world.fork_offset[server.branch] = server.old_offset


def _follow_confirmation(world, host, message):
    """Book a confirmed registration, in time: the client forgets it once it is settled."""
    client = world.probe_client[host]
    slot = message.request % register_prober.MAX_OPEN
    is_open = client.settled <= message.request < client.sent and client.ended_us[slot] == 0
    if not is_open or message.code != 200:
        return
    if world.n_registrations == MAX_REGISTRATIONS:
        world.overflow = 1
        return
    stored = host * register_prober.MAX_OPEN + slot
    world.registration_host[world.n_registrations] = host
    world.registration_branch[world.n_registrations] = world.stored_branch[stored]
    world.registration_offset[world.n_registrations] = world.stored_offset[stored]
    world.n_registrations += 1


# --- effects ---------------------------------------------------------------------------------------------------------


def carry_out(world, actor_):
    """Carry out the effects in the output buffer, in order; what is sent leaves when the program is free again."""
    out = world.out
    begins_us = max(world.now_us, world.process[actor_].busy_us)
    leaves_us = begins_us
    for index in range(out.n):
        if out.effects[index].kind == BLOCK:
            leaves_us += out.effects[index].delay_us
    world.process[actor_].busy_us = leaves_us
    for index in range(out.n):
        effect = out.effects[index]
        if effect.kind == BLOCK:
            begins_us += effect.delay_us
        _carry_out_one(world, actor_, effect, begins_us if effect.kind == CONNECT else leaves_us)


def _carry_out_one(world, actor_, effect, leaves_us):
    """Carry out one effect. An answer on a connection that is over or leads elsewhere by now goes nowhere."""
    kind = effect.kind
    if kind == SEND:
        if effect.message.kind == STORE and effect.message.client != 0:
            bindings.ask(world, actor_ % MAX_HOSTS, effect.message)
        _send(world, actor_ * LINKS + effect.target, 0, effect.message, leaves_us)
    elif kind == REPLY:
        if _leads_to(world, effect.target, actor_):
            _send(world, effect.target % CONNECTIONS, 1, effect.message, leaves_us)
    elif kind == SET_TIMER:
        set_timer(world, actor_, effect.target, leaves_us + effect.delay_us)
    elif kind == CANCEL_TIMER:
        world.process[actor_].generation[effect.target] += 1
    elif kind == CONNECT and program_of(actor_) == UA:
        flows.connect(world, actor_ * LINKS + effect.target, effect.server, leaves_us)
    elif kind == CONNECT:
        target = network.target_of(actor_, effect.target, effect.server)
        network.open_connection(world, actor_ * LINKS + effect.target, target, leaves_us)
    elif kind == CLOSE:
        network.close_by_owner(world, actor_ * LINKS + effect.target, leaves_us)
    elif kind == REPORT:
        _report(world, actor_, effect)
    elif kind == KILL_CLIENTS:
        network.kill_clients(world, actor_, effect.target, leaves_us)
    elif kind == FORGET:
        flows.let_go(world, effect.target, actor_ % MAX_HOSTS, effect.message.request)
    elif kind == DROP and _leads_to(world, effect.target, actor_):
        network.close_by_target(world, effect.target % CONNECTIONS, leaves_us)


def _leads_to(world, source, actor_):
    """True while the connection that a program knows as `source` leads to it."""
    return world.connection[source % CONNECTIONS].target == actor_ and not flows.is_over(world, source)


def _send(world, number, backwards, message, leaves_us):
    if message.kind == RESOLVE:
        dns.ask(world, number, leaves_us)
        return
    if world.connection[number].is_datagrams == 1:
        if backwards == 1:
            flows.keep_answer(world, number, message)
        event = network.send_datagram(world, number, backwards, leaves_us)
    elif network.carries(world, number, backwards):
        event = network.send_data(world, number, backwards, leaves_us)
    else:
        return
    copy_message(message, event.message)


def copy_message(message, copy):
    """Copy all fields of a message."""
    copy.kind = message.kind
    copy.request = message.request
    copy.job = message.job
    copy.client = message.client
    copy.seconds = message.seconds
    copy.code = message.code
    copy.role = message.role
    copy.primary = message.primary
    copy.link_up = message.link_up
    copy.down_s = message.down_s
    copy.heard_s = message.heard_s
    copy.offset = message.offset
    copy.branch = message.branch
    copy.run_rank = message.run_rank
    copy.replica_priority = message.replica_priority
    copy.replicas = message.replicas
    copy.epoch = message.epoch
    copy.config_epoch = message.config_epoch
    copy.sentinel = message.sentinel
    copy.down = message.down


def set_timer(world, actor_, which, t_us):
    """(Re-)arm a timer of a program."""
    process = world.process[actor_]
    process.generation[which] += 1
    event = schedule(world, t_us, TIMER, actor_)
    event.which = which
    event.generation = process.generation[which]


def _report(world, actor_, effect):
    place = place_of(actor_)
    t_us = clocks.true_us(world, place, effect.at_us)
    note(world, t_us, number_of(actor_), program_of(actor_), effect.report, effect.about, effect.detail_us, effect.code)
