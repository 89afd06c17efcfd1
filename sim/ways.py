"""The network between two places, one direction at a time: does a packet arrive, and when.

A *way* is dead while a cable is out, while its ends are on different sides of a split, or while it loses everything.
A dead way is one that loses each packet: nothing else in the simulated network knows about cuts.

The client side has a network of its own: only a host that vanishes is lost to it. Programs of one host reach each other
whatever happens to the network. Both have the delay of an unshaped network, because the lab shapes neither.

Left out: what is on its way when a way dies still arrives; bandwidth, queues, duplicates.
"""

from __future__ import annotations

from model import draws
from sim.state import CLIENT_SIDE, MAX_HOSTS, PLACES

UNSHAPED_US = 60
"""One-way delay within a host and on the client side, programs' wake-up included. Kind: measured (lab, namespaces)."""


def way_between(world, a, b):
    """The way from place a to place b."""
    return world.way[a * PLACES + b]


def loses(world, way):
    """True when the next packet on a way does not arrive."""
    if way.dead_us != 0:
        return True
    return way.loss_percent != 0 and draws.below(world.stream, 100) < way.loss_percent


def transit_us(world, way):
    """How long the next packet on a way takes."""
    if way.jitter_us == 0:
        return way.delay_us
    return way.delay_us + draws.below(world.stream, way.jitter_us + 1)


def given_up_us(world, a, b):
    """When neighbour discovery gives up (or gave up) on the other end, 0 = never: a query or its answer is lost.

    Phones are behind routers: they have no neighbours to discover.
    """
    if a == CLIENT_SIDE or b == CLIENT_SIDE:
        return 0
    forth_us = way_between(world, a, b).dead_us
    back_us = way_between(world, b, a).dead_us
    if forth_us == 0 or (back_us != 0 and back_us < forth_us):
        forth_us = back_us
    return forth_us + world.neighbour_us if forth_us != 0 else 0


def notice_deaths(world):
    """Something has changed: note which ways are dead, and since when."""
    for a in range(PLACES):
        for b in range(PLACES):
            way = way_between(world, a, b)
            if not _is_dead(world, way, a, b):
                way.dead_us = 0
            elif way.dead_us == 0:
                way.dead_us = world.now_us


def _is_dead(world, way, a, b):
    if a == b:
        return False
    if a == CLIENT_SIDE or b == CLIENT_SIDE:
        return world.attached[min(a, b)] == 0
    unplugged = world.attached[a] == 0 or world.attached[b] == 0
    return unplugged or world.side[a] != world.side[b] or way.loss_percent == 100


# --- changes; `to` is 1 + the receiving host, 0 = every other host --------------------------------------------------


def drop(world, host, to, percent):
    """Packets from a host are lost."""
    for other in range(MAX_HOSTS):
        if _is_meant(host, to, other):
            way_between(world, host, other).loss_percent = percent


def deliver(world, host, to):
    """Packets from a host are lost no more than they usually are."""
    for other in range(MAX_HOSTS):
        if _is_meant(host, to, other):
            way = way_between(world, host, other)
            way.loss_percent = way.usual_percent


def delay(world, host, to, delay_us, jitter_us):
    """Packets from a host take so long from now on."""
    for other in range(MAX_HOSTS):
        if _is_meant(host, to, other):
            way = way_between(world, host, other)
            way.delay_us = delay_us
            way.jitter_us = jitter_us


def _is_meant(host, to, other):
    return other != host and (to == 0 or to == other + 1)
