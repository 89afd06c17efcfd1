"""The start of a run for clients: register probers and SIP clients, in steady state.

A SIP client has long been registered, through a node of its own choice or the one that the scenario says, and is at a
random point of its refresh period and of that of its keep-alives (`model.sip_client.settle`); all servers hold the
registration. A client that trusts no node, or finds none listed, starts trying.

Each client draws from a stream of its own: one more changes nothing for the others.

Left out: flows of a second kind (RFC 5626) go to the next node of the list, trusted or not; what a client may have lost
and got back before.
"""

from __future__ import annotations

from model import draws, register_prober, sip_client
from model.effects import MAX_HOSTS
from sim import bindings, dns, transactions
from sim.processes import carry_out, set_timer
from sim.standing import begin, join
from sim.state import PROBE_CLIENT, REGISTRAR, UA, actor

CLIENT = 3
"""Purpose of a client's stream."""


def start_prober(world, settings, host):
    """The register prober of a node, somewhere in its period."""
    begin(world, PROBE_CLIENT, host)
    client = world.probe_client[host]
    client.period_us = settings.register_period_us
    client.timeout_us = settings.register_timeout_us
    client.node = host
    client.sent = 0
    client.settled = 0
    client.last = 0
    client.confirmed = 0
    client.refused = 0
    client.unknown = 0
    owner = actor(PROBE_CLIENT, host)
    number_ = join(world, owner, register_prober.NODE_LINK, actor(REGISTRAR, host))
    world.connection[number_].is_datagrams = 1
    wait_us = draws.below(world.stream, settings.register_period_us)
    set_timer(world, owner, register_prober.TIMER_SEND, world.now_us + wait_us)


def start(world, settings, me, seed, run):
    """A client that has long been there, somewhere in its refresh period; one that finds no node starts trying."""
    begin(world, UA, me)
    client = world.ua[me]
    _furnish(client, settings.ua[me], me)
    draws.start(client.stream, seed, run, actor(UA, me), CLIENT)
    for host in range(settings.hosts):
        transactions.forget(world.transaction[me * MAX_HOSTS + host])
    dns.fill(world, client)
    host = _first_node(world, client, settings.ua[me].starts_on - 1)
    world.out.n = 0
    if host < 0:
        sip_client.boot(client, world.now_us, 0, world.out)
    else:
        sip_client.settle(client, world.now_us, host, sip_client.steady_age_us(client), world.out)
        for flow in range(client.flows):
            if client.flow[flow].phase == sip_client.IDLE:
                _open_flow(world, me, flow)
        bindings.settle(world, me)
    carry_out(world, actor(UA, me))


def _first_node(world, client, wanted):
    """The node through which a client has registered: the one wanted, or the first of its own order; -1 = none.

    Over TLS it must be one that the client trusts.
    """
    sip_client.settle(client, world.now_us, wanted, 0, world.out)
    for position in range(client.list_count):
        host = client.list_host[position]
        if client.transport != sip_client.TLS or sip_client.accepts(client, world.certificate[host]):
            return host
    return -1


def _furnish(client, source, me):
    """What the scenario says of a client."""
    client.me = me
    client.transport = source.transport
    client.expires_s = source.expires_s
    client.starts_on = 0
    client.flows = source.flows
    client.has_credentials = source.has_credentials
    client.hash_key = source.hash_key
    client.behaviour = source.behaviour
    client.transactions = 0


def _open_flow(world, me, flow):
    """A flow of a settled client stands."""
    client = world.ua[me]
    number_ = join(world, actor(UA, me), flow, actor(REGISTRAR, client.flow[flow].host - 1))
    connection = world.connection[number_]
    connection.is_datagrams = 1 if client.transport == sip_client.UDP else 0
    connection.is_tls = 1 if client.transport == sip_client.TLS else 0
