"""What Redis servers hold of bindings: that of the expiry prober (key 0), and that of each SIP client (1 + its number).

What is kept: the versions that any primary made (a deletion is one), each with its place in a history, and for each
server and key the newest version that its own history holds, with the instant at which that ends by its clock. That
instant is the primary's, or begins anew at the replica where a time to live is what travels; a full resync carries
instants. A server that follows a history has placed its versions up to some point: only what came since is looked at.

A registration is what the reference node and Flexisip write: `updatedAt` (whole seconds of the node's clock, taken when
it sends the transaction), the lifetime granted, EXPIREAT at the sum of both, the node, and the flow that the REGISTER
came by. An instant that has passed by the primary's clock deletes the binding in the same transaction: the client is
told 200 all the same. There is one for each client, as for a device with a unique id there (`+sip.instance`; `reg-id`
is passed over): that of another of its flows takes the place of the one before.

Left out: several devices of one address of record (docs/clocks.md says what they do to each other); that a restart from
a snapshot gives a replica back its own instant (here: the primary's).
"""

from __future__ import annotations

from model import redis_server, sip_client
from model.effects import CONTINUE, FULL_RESYNC, MAX_HOSTS, REGISTERED, REPLICATE
from model.registrar import MAX_REQUESTS
from sim import clocks, flows
from sim.state import KEYS, LINKS, MAX_BINDINGS, MAX_CLIENTS, REDIS, UA, actor, note

PROBED = 0
"""Key of the expiry prober's binding."""


def clear(world):
    """No server holds anything."""
    world.n_bindings = 0
    for index in range(MAX_HOSTS * MAX_CLIENTS):
        world.asked[index].job = 0
    for host in range(world.hosts):
        world.placed[host] = 0
        world.placed_branch[host] = 0
        world.placed_offset[host] = 0
        world.first_end_ms[host] = 0
        for key in range(1 + world.clients):
            _hold(world, host, key, 0, 0)


def key_of(client):
    """Key of the binding of a SIP client."""
    return 1 + client


# --- registrations ---------------------------------------------------------------------------------------------------


def settle(world, client):
    """At the start of a run: a settled client has registered over each of its flows, and all servers know the last."""
    ua = world.ua[client]
    for flow in range(ua.flows):
        if ua.flow[flow].is_registered == 1:
            # Callers have to know until when: as if it had asked for the rest of its lifetime now.
            left_us = ua.expires_s * 1_000_000 - (world.now_us - ua.flow[flow].registered_us)
            note(world, world.now_us, client, UA, REGISTERED, ua.flow[flow].host, left_us, flow)
    newest = sip_client.newest_flow(ua)
    _settle(world, client, newest, world.now_us - ua.flow[newest].registered_us)


def _settle(world, client, flow, age_us):
    """A client registered over a flow so long ago, and all servers know it."""
    key = key_of(client)
    primary = world.first_primary
    node = world.ua[client].flow[flow].host - 1
    life_s = world.ua[client].expires_s
    set_us = clocks.wall_us(world, primary) - age_us
    updated_s = (clocks.wall_us(world, node) - age_us) // 1_000_000
    number = actor(UA, client) * LINKS + flow
    until_ms = _until_ms(world, updated_s, set_us, life_s)
    if redis_server.is_visible(world.redis[primary], until_ms, clocks.wall_us(world, primary)) == 0:
        until_ms = 0
    put(world, primary, key, until_ms)
    _describe(world, updated_s, life_s, node, flows.source_of(number, world.connection[number].generation))
    world.binding[world.n_bindings - 1].set_us = set_us
    for host in range(world.hosts):
        if world.process[actor(REDIS, host)].exists == 1 and until_ms != 0:
            arrived_us = clocks.wall_us(world, host) - age_us
            is_relative = world.registrations_travel_relative if host != primary else 0
            its_own_ms = redis_server.expiry_at_replica(until_ms, is_relative, set_us, arrived_us)
            _hold(world, host, key, world.n_bindings, its_own_ms)


def ask(world, node, message):
    """A node sends a registration to its server: its life begins then, by the node's clock, however often it tries."""
    asked = world.asked[node * MAX_CLIENTS + message.client - 1]
    if asked.job == message.job:
        return
    asked.job = message.job
    asked.updated_s = clocks.wall_us(world, node) // 1_000_000
    registrar = world.registrar[node]
    for slot in range(MAX_REQUESTS):
        if registrar.job[slot] == message.job:
            asked.flow = registrar.source[slot]


def store(world, host, node, message):
    """A primary has accepted a registration (0 s: the client leaves) that a node sent."""
    asked = world.asked[node * MAX_CLIENTS + message.client - 1]
    wall_us = clocks.wall_us(world, host)
    until_ms = _until_ms(world, asked.updated_s, wall_us, message.seconds)
    if message.seconds == 0 or redis_server.is_visible(world.redis[host], until_ms, wall_us) == 0:
        until_ms = 0
    put(world, host, key_of(message.client - 1), until_ms)
    _describe(world, asked.updated_s, message.seconds, node, asked.flow)


def _until_ms(world, updated_s, set_us, life_s):
    """When the binding ends by the primary's clock: the instant that the node says, or so long after it was set."""
    if world.registrations_are_absolute == 1:
        return (updated_s + life_s) * 1000
    return set_us // 1000 + life_s * 1000


def _describe(world, updated_s, life_s, node, flow):
    version = world.binding[world.n_bindings - 1]
    version.updated_s = updated_s
    version.life_s = life_s
    version.node = node
    version.flow = flow


# --- versions --------------------------------------------------------------------------------------------------------


def put(world, host, key, until_ms):
    """A primary has made a new version, with the last step of its history; 0 = the binding is deleted."""
    if world.n_bindings == MAX_BINDINGS:
        world.overflow = 1
        world.n_bindings -= 1
    server = world.redis[host]
    version = world.binding[world.n_bindings]
    world.n_bindings += 1
    version.key = key
    version.branch = server.branch
    version.offset = server.offset
    version.until_ms = until_ms
    version.set_us = clocks.wall_us(world, host)
    _hold(world, host, key, world.n_bindings, until_ms)


def follow(world, host, kind):
    """A server has handled a message of that kind (0 = it did something else): its history may be another one now.

    So it is after a restart, of which the first cron tells.
    """
    server = world.redis[host]
    if kind == FULL_RESYNC or server.branch != world.placed_branch[host] or server.offset < world.placed_offset[host]:
        world.placed[host] = 0
        world.placed_branch[host] = server.branch
        for key in range(1 + world.clients):
            newest = _newest(world, server, key)
            if newest != held(world, host, key) or kind == FULL_RESYNC:
                _take_over(world, host, key, newest, kind)
    world.placed_offset[host] = server.offset
    while world.placed[host] < world.n_bindings:
        number = world.placed[host] + 1
        version = world.binding[number - 1]
        if version.branch == server.branch and version.offset > server.offset:
            break  # still on its way
        if number > held(world, host, version.key) and _has(world, server, number):
            _take_over(world, host, version.key, number, kind)
        world.placed[host] = number


def _newest(world, server, key):
    """1 + number of the newest version of a key that a server's history holds, 0 = none."""
    newest = world.n_bindings
    while newest != 0 and not (world.binding[newest - 1].key == key and _has(world, server, newest)):
        newest -= 1
    return newest


def _has(world, server, number):
    version = world.binding[number - 1]
    return holds(world, server.branch, server.offset, version.branch, version.offset)


def holds(world, branch, offset, wanted_branch, wanted_offset):
    """True when the history (branch, offset) contains the write (wanted_branch, wanted_offset)."""
    while branch != 0:
        if branch == wanted_branch:
            return wanted_offset <= offset
        offset = min(offset, world.fork_offset[branch])
        branch = world.parent[branch]
    return False


def _take_over(world, host, key, newest, kind):
    """A server holds another version of a key now; 0 = none."""
    _hold(world, host, key, newest, _until_here_ms(world, host, key, newest, kind) if newest != 0 else 0)


def _until_here_ms(world, host, key, newest, kind):
    """When a version that has just come to a server ends by its clock; 0 = it is a deletion."""
    version = world.binding[newest - 1]
    primary = world.redis[host].primary - 1
    if version.until_ms == 0:
        return 0
    if kind == FULL_RESYNC and held(world, primary, key) == newest:
        return end_ms(world, primary, key)
    travels_relative = world.binding_travels_relative if key == PROBED else world.registrations_travel_relative
    is_relative = travels_relative if kind == REPLICATE or kind == CONTINUE else 0
    return redis_server.expiry_at_replica(version.until_ms, is_relative, version.set_us, clocks.wall_us(world, host))


# --- what a server holds ---------------------------------------------------------------------------------------------


def held(world, host, key):
    """1 + number of the newest version that a server holds of a key, 0 = none."""
    return world.held_binding[host * KEYS + key]


def end_ms(world, host, key):
    """When that ends by the server's clock; 0 = it is deleted, or there is none."""
    return world.held_until_ms[host * KEYS + key]


def _hold(world, host, key, number, until_ms):
    world.held_binding[host * KEYS + key] = number
    world.held_until_ms[host * KEYS + key] = until_ms
    first_ms = 0
    for client in range(world.clients):
        ends_ms = end_ms(world, host, key_of(client))
        if ends_ms != 0 and (first_ms == 0 or ends_ms < first_ms):
            first_ms = ends_ms
    world.first_end_ms[host] = first_ms


def found(world, host, key):
    """1 + number of the version that a reader of this server gets now, 0 = none: absent, or hidden by its clock."""
    until_ms = end_ms(world, host, key)
    if until_ms == 0 or redis_server.is_visible(world.redis[host], until_ms, clocks.wall_us(world, host)) == 0:
        return 0
    return held(world, host, key)
