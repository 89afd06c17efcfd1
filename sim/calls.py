"""Calls to SIP clients in virtual time: an OPTIONS for each client goes through every node at a fixed period.

What happens to a call is what happens in the reference node (docs/node.md) and in Flexisip:

==============================================================  ======================================================
the node                                                        the caller gets
==============================================================  ======================================================
its process or its host is gone                                 nothing
has no session with a Redis server, or that server an error     500
waits for its server                                            nothing yet: what the server or the lost session brings
finds no binding: absent, hidden from a replica's readers,      404
or ended by the node's own clock (whole seconds)
finds one that came through itself                              what the client's flow brings
finds one that came through another node that listens           the same, by way of that node
... whose process is gone, its host answers                     503
... that is silent                                              nothing: 408 would come after 32 s
the flow: datagrams; an open connection                         200 of the client
the flow is closed, or another life of it                       503
==============================================================  ======================================================

Each call is looked at when it is sent. That is cheaper than asking after each event of the cluster whether the next
call would fare otherwise: there are many events between two calls. Calls that wait for a server are looked at again
whenever their node does something.

Left out: random loss of packets; what is on its way to another node when that dies (no answer; here 503); answers of a
stopped node to calls forwarded to it, after it goes on (they count as unanswered), and the 503 to those that were sent
when neighbour discovery has nearly given up on its host; that a call, as any request, makes a node without a session
try to get one (the register probers do that).
"""

from __future__ import annotations

from model import draws, registrar, sip_client
from model.effects import CALL_ANSWERED, CALL_REFUSED, CALL_UNANSWERED, COUNT_CALLS, COUNT_CALLS_FAILED, MAX_HOSTS
from sim import bindings, clocks, flows, ways
from sim.state import CALL, CALLER, CLIENT_SIDE, CONNECTIONS, LINKS, OPEN, REDIS, REGISTRAR, actor, note, schedule

OK, NOT_FOUND, NO_REDIS, NO_WAY = 200, 404, 500, 503
"""What a caller gets. Kind: specified (docs/node.md; Flexisip, module-router.cc and fork.cc)."""
UNANSWERED, WAITS, ASKS = 0, 1, 2
"""No status: nothing will come; nothing has come yet; the node's server answers."""


def begin(world):
    """Put the first call to each client through each node on the agenda."""
    for client in range(world.clients):
        for host in range(world.hosts):
            calls = _calls(world, client, host)
            calls.seen = 0
            calls.code = 0
            calls.first_us = 0
            calls.last_us = 0
            calls.ended = 0
            calls.failed = 0
            if world.process[actor(REGISTRAR, host)].exists == 1:
                _call_at(world, client, host, world.now_us + draws.below(world.stream, world.call_period_us))


def _calls(world, client, host):
    return world.calls[client * MAX_HOSTS + host]


def _call_at(world, client, host, t_us):
    schedule(world, t_us, CALL, client).which = host


def call(world, client, host):
    """Somebody calls a client now, through the node of a host."""
    _call_at(world, client, host, world.now_us + world.call_period_us)
    _end_waiting(world, client, host)
    fate = _fate(world, client, host)
    if fate == WAITS:
        _wait(world, client, host)
    else:
        _end(world, client, host, world.now_us, fate)


def follow(world, host):
    """A node has done something: calls that wait for its server may have an answer now."""
    for client in range(world.clients):
        _end_waiting(world, client, host)


def count(world):
    """The run is over: report how many calls ended, and how many of them the client did not answer."""
    for client in range(world.clients):
        for host in range(world.hosts):
            if world.process[actor(REGISTRAR, host)].exists == 1:
                calls = _calls(world, client, host)
                note(world, world.end_us, client, CALLER, COUNT_CALLS, host + 1, 0, calls.ended)
                note(world, world.end_us, client, CALLER, COUNT_CALLS_FAILED, host + 1, 0, calls.failed)


# --- calls that wait -------------------------------------------------------------------------------------------------


def _wait(world, client, host):
    calls = _calls(world, client, host)
    if calls.first_us == 0:
        calls.first_us = world.now_us
        calls.session = _session(world, host)
    calls.last_us = world.now_us


def _session(world, host):
    """Which life of its connection to Redis a node is in."""
    return world.connection[actor(REGISTRAR, host) * LINKS + registrar.REDIS_LINK].generation


def _end_waiting(world, client, host):
    """Calls that waited for too long are given up; the others end with what there is now, if there is anything."""
    calls = _calls(world, client, host)
    while calls.first_us != 0 and world.now_us - calls.first_us >= world.call_timeout_us:
        _end_first(world, client, host, UNANSWERED)
    if calls.first_us == 0:
        return
    fate = _fate(world, client, host) if calls.session == _session(world, host) else NO_REDIS
    while calls.first_us != 0 and fate != WAITS:
        _end_first(world, client, host, fate)


def _end_first(world, client, host, code):
    calls = _calls(world, client, host)
    sent_us = calls.first_us
    calls.first_us = 0 if sent_us == calls.last_us else sent_us + world.call_period_us
    _end(world, client, host, sent_us, code)


def _end(world, client, host, sent_us, code):
    """A call ends: count it if that is within the run, report it if it fared otherwise than the one before."""
    ended_us = world.now_us + _rest_us(world, client, host, code)
    if code == UNANSWERED or ended_us - sent_us >= world.call_timeout_us:
        ended_us = sent_us + world.call_timeout_us
        code = UNANSWERED
    if ended_us > world.end_us:
        return
    calls = _calls(world, client, host)
    outcome = CALL_REFUSED
    if code == OK:
        outcome = CALL_ANSWERED
    elif code == UNANSWERED:
        outcome = CALL_UNANSWERED
    calls.ended += 1
    calls.failed += 0 if outcome == CALL_ANSWERED else 1
    if outcome != calls.seen or code != calls.code:
        calls.seen = outcome
        calls.code = code
        note(world, ended_us, client, CALLER, outcome, host + 1, ended_us - sent_us, code)


def _rest_us(world, client, host, code):
    """How long a call through a node takes to get that answer."""
    rest_us = 2 * ways.UNSHAPED_US
    if code == UNANSWERED or code == NO_REDIS:
        return rest_us
    server = world.registrar[host].current
    rest_us += _round_trip_us(world, host, server)
    if code == NOT_FOUND:
        return rest_us
    through = world.binding[bindings.held(world, server, bindings.key_of(client)) - 1].node
    if through != host:
        rest_us += _round_trip_us(world, host, through)
    return rest_us + 2 * ways.UNSHAPED_US if code == OK else rest_us


def _round_trip_us(world, host, other):
    return ways.way_between(world, host, other).delay_us + ways.way_between(world, other, host).delay_us


# --- what a call gets ------------------------------------------------------------------------------------------------


def _fate(world, client, host):
    """The status that a call through a node gets now; or UNANSWERED, or WAITS."""
    node = world.process[actor(REGISTRAR, host)]
    if ways.way_between(world, CLIENT_SIDE, host).dead_us != 0 or node.alive == 0 or node.listens_us > world.now_us:
        return UNANSWERED
    if node.paused == 1:
        return WAITS
    asking = _asks(world, host)
    if asking != ASKS:
        return asking
    number = bindings.found(world, world.registrar[host].current, bindings.key_of(client))
    if number == 0:
        return NOT_FOUND
    version = world.binding[number - 1]
    if version.updated_s + version.life_s <= clocks.wall_us(world, host) // 1_000_000:
        return NOT_FOUND
    return _deliver(world, client, host, version)


def _asks(world, host):
    """How a node's lookup fares: ASKS (it is answered), WAITS, or NO_REDIS."""
    node = world.registrar[host]
    session = node.session[registrar.REDIS_LINK]
    knows_role = node.phase == registrar.ON_PRIMARY or node.phase == registrar.ON_REPLICA
    if session == registrar.CLOSED or node.is_pausing == 1 or (node.serves_anywhere == 0 and not knows_role):
        return NO_REDIS
    if session == registrar.OPENING:
        return WAITS
    connection = world.connection[actor(REGISTRAR, host) * LINKS + registrar.REDIS_LINK]
    server = world.redis[node.current]
    process = world.process[actor(REDIS, node.current)]
    if _is_cut(world, host, node.current) or connection.retry_us[0] != 0 or connection.retry_us[1] != 0:
        return WAITS
    if process.alive == 0:
        return NO_REDIS
    if process.paused == 1 or process.busy_us > world.now_us:
        return WAITS
    if server.script == 1 and clocks.wall_us(world, node.current) < server.is_silent_until_us:
        return WAITS
    return NO_REDIS if server.loading == 1 or server.script == 1 else ASKS


def _is_cut(world, a, b):
    return ways.way_between(world, a, b).dead_us != 0 or ways.way_between(world, b, a).dead_us != 0


def _deliver(world, client, host, version):
    """What becomes of a call that a node sends to where the client registered."""
    if version.node != host:
        if _is_cut(world, host, version.node):
            return UNANSWERED
        process = world.process[actor(REGISTRAR, version.node)]
        if process.alive == 0 or process.listens_us > world.now_us:
            return NO_WAY
        if process.paused == 1:
            return UNANSWERED
    if world.ua[client].transport == sip_client.UDP:
        return OK
    is_open = world.connection[version.flow % CONNECTIONS].state == OPEN and not flows.is_over(world, version.flow)
    return OK if is_open else NO_WAY
