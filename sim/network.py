"""TCP and datagrams between the programs, as far as failover feels them.

* A connection has a delay and keeps its order. A program that is gone answers a connect with a reset; one that is
  stopped is connected to all the same, by its kernel.
* A host that is cut off answers nothing. Data sent meanwhile is retransmitted after 0.2 s, 0.6 s, 1.4 s, ... (each
  pause twice the last); a connect after 1, 2, 3, 4, 5, 7, 11, 19, ... s. So what arrives after a return arrives at the
  next of these instants, not at once.
* On one local network a cut-off host is given up by neighbour discovery after a while; from then on a connect fails
  after about 3 s with "no route to host".

Left out: congestion, window, loss other than by cuts, kernel limits on retransmission (minutes), FIN handshakes.
"""

from __future__ import annotations

from model.effects import LINK_CLOSED, LINK_OPEN, MAX_HOSTS, clear
from sim.state import (
    CLIENT,
    CLIENT_SIDE,
    CLOSED,
    CLOSING,
    CONNECTIONS,
    DATAGRAM,
    DELIVER,
    GONE,
    LINKS,
    NO_ROUTE,
    OPEN,
    OPENING,
    REDIS,
    SENTINEL,
    actor,
    park,
    release,
    schedule,
    schedule_again,
    take_back,
)

RTO_US = 201_000
"""First retransmission time-out on a LAN: 200 ms minimum plus a little. tcp(7), Linux 6.18. Kind: measured."""
MAX_RTO_US = 120_000_000
"""Longest pause between retransmissions (TCP_RTO_MAX). Kind: vendor default."""
SYN_PERIOD_US = 1_024_000
"""First retransmissions of a SYN are a second apart (TCP_TIMEOUT_INIT); 1.02 s seen in the lab. Kind: measured."""
SYN_LINEAR = 4
"""So many of them before the pauses double (net.ipv4.tcp_syn_linear_timeouts, Linux >= 6.5). Kind: vendor default."""
NO_ROUTE_US = 3_072_000
"""A connect to a neighbour that does not answer fails after this: three probes a second apart. Kind: measured."""
PROBE_PERIOD_US = 1_024_000
"""Pause between two probes of neighbour discovery. Kind: measured."""


def place_of(actor_):
    """Host on whose network an actor is."""
    if actor_ // MAX_HOSTS == CLIENT:
        return CLIENT_SIDE
    return actor_ % MAX_HOSTS


def is_path_up(world, a, b):
    """True when packets get from host a to host b."""
    if a == b:
        return True
    if a == CLIENT_SIDE:
        return world.attached[b] == 1
    if b == CLIENT_SIDE:
        return world.attached[a] == 1
    return world.attached[a] == 1 and world.attached[b] == 1 and world.side[a] == world.side[b]


def is_connection_up(world, number):
    """True when packets get through between the ends of a connection."""
    return is_path_up(world, place_of(number // LINKS), place_of(world.connection[number].target))


def open_connection(world, number, target, now_us):
    """The owner connects."""
    connection = world.connection[number]
    _renew(connection)
    connection.state = OPENING
    connection.target = target
    if not is_connection_up(world, number):
        connection.syn_us = now_us
        _fail_without_route(world, number, now_us)
    else:
        _finish_handshake(world, number, now_us)


def _finish_handshake(world, number, now_us):
    """A SYN has got through at last: the target's kernel answers."""
    connection = world.connection[number]
    connection.syn_us = 0
    answered_us = now_us + 2 * world.delay_us
    connection.open_us = answered_us
    listens = world.process[connection.target].alive == 1
    _notify(world, number, answered_us, LINK_OPEN if listens else LINK_CLOSED)
    if not listens:
        connection.state = CLOSING


def _renew(connection):
    """The next life of a connection begins; what is under way of the last one is void."""
    connection.generation += 1
    blank(connection)


def blank(connection):
    """Closed, with nothing held up."""
    connection.state = CLOSED
    connection.open_us = 0
    connection.syn_us = 0
    connection.no_route = 0
    connection.blocked_us[0] = 0
    connection.blocked_us[1] = 0
    connection.free_us[0] = 0
    connection.free_us[1] = 0


def _notify(world, number, t_us, kind):
    """The owner's kernel tells the owner something about the connection."""
    connection = world.connection[number]
    event = schedule(world, t_us, DELIVER, number // LINKS)
    event.connection = number
    event.generation = connection.generation
    event.backwards = 1
    clear(event.message)
    event.message.kind = kind
    connection.free_us[1] = max(connection.free_us[1], t_us)


def close_by_owner(world, number, now_us):
    """The owner closes: nothing of this life arrives any more. A primary notices that a replica is gone."""
    connection = world.connection[number]
    if connection.state == CLOSED:
        return
    if number // LINKS // MAX_HOSTS == REDIS and connection.state == OPEN and is_connection_up(world, number):
        event = schedule(world, now_us + world.delay_us, GONE, connection.target)
        event.connection = number
        event.generation = connection.generation
    _renew(connection)


def close_by_target(world, number, now_us):
    """The target closes: the owner hears it after all data that is under way."""
    connection = world.connection[number]
    if connection.state == CLOSED or connection.state == CLOSING:
        return
    connection.state = CLOSING
    event = send_data(world, number, 1, now_us)
    event.message.kind = LINK_CLOSED


def carries(world, number, backwards):
    """True when data may be sent: to the target until it closed, back to the owner only on an open connection."""
    state = world.connection[number].state
    return state == OPEN or (state == OPENING and backwards == 0)


def send_data(world, number, backwards, now_us):
    """Send on a connection; it waits where there is no path. Returns the event, for its message to be filled."""
    connection = world.connection[number]
    receiver = number // LINKS if backwards == 1 else connection.target
    blocked = connection.syn_us != 0 or connection.blocked_us[backwards] != 0
    if blocked or not is_connection_up(world, number):
        if connection.blocked_us[backwards] == 0 and connection.syn_us == 0:
            connection.blocked_us[backwards] = now_us
        event = schedule(world, 0, DELIVER, receiver)
        park(world, take_back(world))
    else:
        leaves_us = max(now_us, connection.open_us) if backwards == 0 else now_us
        arrives_us = max(leaves_us + world.delay_us, connection.free_us[backwards])
        connection.free_us[backwards] = arrives_us
        event = schedule(world, arrives_us, DELIVER, receiver)
    event.connection = number
    event.generation = connection.generation
    event.backwards = backwards
    clear(event.message)
    return event


def send_datagram(world, number, backwards, now_us):
    """Send a datagram; it is lost where there is no path. Returns the event, for its message to be filled."""
    connection = world.connection[number]
    receiver = number // LINKS if backwards == 1 else connection.target
    event = schedule(world, now_us + world.delay_us, DATAGRAM, receiver)
    event.connection = number
    event.backwards = backwards
    clear(event.message)
    if not is_connection_up(world, number):
        release(world, take_back(world))
    return event


def reset_all(world, actor_, now_us):
    """A program has died: its kernel closes what it had open and resets what others had open to it."""
    for link in range(LINKS):
        close_by_owner(world, actor_ * LINKS + link, now_us)
    for number in range(CONNECTIONS):
        connection = world.connection[number]
        if connection.state != CLOSED and connection.target == actor_ and number // LINKS // MAX_HOSTS != CLIENT:
            close_by_target(world, number, now_us)


def kill_clients(world, actor_, spared, now_us):
    """CLIENT KILL TYPE normal and pubsub: all connections of sentinels and registrars but one."""
    for number in range(CONNECTIONS):
        owner = number // LINKS // MAX_HOSTS
        if owner != REDIS and owner != CLIENT and number != spared and world.connection[number].target == actor_:
            close_by_target(world, number, now_us)


# --- cuts and returns ------------------------------------------------------------------------------------------------


def _fail_without_route(world, number, now_us):
    """While neighbour discovery fails, or once it will have failed, a connect ends with an error."""
    given_up_us = _given_up_us(world, number)
    if given_up_us == 0:
        return
    connection = world.connection[number]
    if now_us >= given_up_us:
        connection.no_route = 1
        fails_us = now_us + NO_ROUTE_US
    else:
        fails_us = given_up_us
    event = schedule(world, fails_us, NO_ROUTE, number // LINKS)
    event.connection = number
    event.generation = connection.generation


def _given_up_us(world, number):
    """When the link address at the other end is (or was) given up, 0 = never."""
    here = place_of(number // LINKS)
    there = place_of(world.connection[number].target)
    cut_us = max(world.cut_us[here], world.cut_us[there]) if here != CLIENT_SIDE else 0
    return cut_us + world.neighbour_us if cut_us != 0 else 0


def on_no_route(world, number, now_us):
    """A connect has failed for want of a route, unless it got through meanwhile."""
    connection = world.connection[number]
    if connection.syn_us != 0:
        connection.syn_us = 0
        connection.state = CLOSING
        _notify(world, number, now_us, LINK_CLOSED)


def next_syn_us(since_us, now_us):
    """First retransmission at or after `now_us` of a SYN first sent at `since_us`."""
    t_us = since_us
    pause_us = SYN_PERIOD_US
    sent = 0
    while t_us < now_us:
        t_us += pause_us
        sent += 1
        if sent > SYN_LINEAR:
            pause_us *= 2
    return t_us


def next_retransmission_us(since_us, now_us):
    """First retransmission at or after `now_us` of data first sent at `since_us`."""
    t_us = since_us
    pause_us = RTO_US
    while t_us < now_us:
        t_us += pause_us
        pause_us = min(2 * pause_us, MAX_RTO_US)
    return t_us


def resume_connections(world, now_us):
    """Some path is up again: connects and data go on at their next retransmission."""
    for number in range(CONNECTIONS):
        connection = world.connection[number]
        if connection.state == CLOSED or not is_connection_up(world, number):
            continue
        if connection.syn_us != 0:
            _resume_connect(world, number, now_us)
        for direction in range(2):
            if connection.blocked_us[direction] != 0:
                at_us = next_retransmission_us(connection.blocked_us[direction], now_us)
                connection.blocked_us[direction] = 0
                connection.free_us[direction] = max(connection.free_us[direction], at_us + world.delay_us)
    _resume_parked(world, now_us)


def _resume_connect(world, number, now_us):
    connection = world.connection[number]
    if connection.no_route == 1:
        probes = (now_us - connection.syn_us + PROBE_PERIOD_US - 1) // PROBE_PERIOD_US
        _finish_handshake(world, number, connection.syn_us + probes * PROBE_PERIOD_US)
    else:
        _finish_handshake(world, number, next_syn_us(connection.syn_us, now_us))


def _resume_parked(world, now_us):
    """Put the data that waited for a path on the agenda, in order; forget what nobody waits for."""
    kept = 0
    for index in range(world.n_parked):
        place = world.parked[index]
        event = world.event[place]
        if event.kind != DELIVER or event.t_us != 0:
            world.parked[kept] = place
            kept += 1
            continue
        connection = world.connection[event.connection]
        if event.generation != connection.generation:
            release(world, place)
        elif is_connection_up(world, event.connection):
            earliest_us = connection.open_us + world.delay_us if event.backwards == 0 else 0
            at_us = max(now_us + world.delay_us, max(earliest_us, connection.free_us[event.backwards]))
            connection.free_us[event.backwards] = at_us
            schedule_again(world, place, at_us)
        else:
            world.parked[kept] = place
            kept += 1
    world.n_parked = kept


def target_of(owner, link, host):
    """Actor that a link of an actor leads to, on a given host."""
    if owner // MAX_HOSTS == SENTINEL and link >= 2 * MAX_HOSTS:
        return actor(SENTINEL, host)
    return actor(REDIS, host)
