"""The DNS as clients see it: one zone with an SRV record for each node, on a name server beside the clients.

A question is answered in one round trip, or, while the name server is stopped, not at all. Records come in the order of
the hosts; their order means nothing (RFC 2782), and clients draw from them.

Left out: resolvers between client and name server and their caches (clients keep what they are told themselves),
addresses (they come with the SRV records), lost datagrams.
"""

from __future__ import annotations

from model import sip_client
from model.effects import DNS_ADD, DNS_START, DNS_STOP, RESOLVED, clear
from sim import ways
from sim.state import DELIVER, LINKS, schedule


def publish(world, settings):
    """The zone as it is at first, and the certificates that go with its names."""
    world.ttl_s = settings.ttl_s
    world.negative_ttl_s = settings.negative_ttl_s
    world.dns_is_silent = 0
    for host in range(settings.hosts):
        record = world.zone[host]
        record.is_listed = settings.zone[host].is_listed
        record.priority = settings.zone[host].priority
        record.weight = settings.zone[host].weight
        world.certificate[host] = settings.certificate[host]


def ask(world, number, now_us):
    """A client asks on its link to the resolver."""
    if world.dns_is_silent == 1:
        return
    event = schedule(world, now_us + 2 * ways.UNSHAPED_US, DELIVER, number // LINKS)
    event.connection = number
    event.generation = world.connection[number].generation
    event.backwards = 1
    clear(event.message)
    event.message.kind = RESOLVED


def fill(world, client):
    """Put the answer into the state of a client; returns its code."""
    client.answer_count = 0
    for host in range(world.hosts):
        record = world.zone[host]
        if record.is_listed == 1:
            client.answer_host[client.answer_count] = host
            client.answer_priority[client.answer_count] = record.priority
            client.answer_weight[client.answer_count] = record.weight
            client.answer_count += 1
    if client.answer_count == 0:
        client.answer_ttl_s = world.negative_ttl_s
        return sip_client.NO_NAME
    client.answer_ttl_s = world.ttl_s
    return sip_client.FOUND


def strike(world, fault):
    """A fault of the name server, or of the zone."""
    if fault.report == DNS_STOP or fault.report == DNS_START:
        world.dns_is_silent = 1 if fault.report == DNS_STOP else 0
    else:
        world.zone[fault.host].is_listed = 1 if fault.report == DNS_ADD else 0
