"""TCP and datagrams between the programs, as far as failover feels them.

* A connection keeps its order. A program that is gone answers a connect with a reset; one that is stopped is connected
  to all the same, by its kernel.
* A packet is lost at random, or always on a dead way (`sim.ways`): a cut needs no rules of its own. A connect is tried
  again after 1, 2, 3, 4, 5, 7, 11, 19, ... s; data after 0.2, 0.4, 0.8, 1.6, ... s (multiples of a retransmission
  time-out: 200 ms and a round trip). So what arrives after a return arrives at the next of these instants.
* What is sent behind lost data waits with it, and tells the sender of the loss (fast recovery): unless it is lost, too,
  the lost data is sent again a round trip and a quarter later.
* A sender that hears nothing back, because only the way back is dead, sends nothing new from its first time-out on.
* A kernel gives up a connection whose data stays unacknowledged, a quarter of an hour after the first retransmission,
  and a connect after two minutes; both depend on the number of retransmissions that it is set to. Registrar nodes may
  ask it for less patience (TCP_USER_TIMEOUT), and to probe an idle connection (keepalive).
* On one local network a neighbour that cannot be asked for its address, one way or the other, is given up after a
  while; from then on a connect fails after about 3 s with "no route to host". One that hangs does with its next SYN.

Why the easy way, a lost packet comes 0.2 s later, is wrong: the pauses double, and everything on a connection waits
for the first.

Left out: congestion and windows, lost acknowledgements where the way back is not dead, tail loss probes before the
time-out (on a long way with several packets under way), the spread of round trips in the time-out, lost queries of
neighbour discovery, retransmitted SYN-ACKs and FINs; that who was connected to gives up as well (only a primary gives
up its replica), of which the other end would hear when it sends; the coarse timers of kernels (up to 5 % late).
"""

from __future__ import annotations

from model import draws
from model.effects import LINK_CLOSED, LINK_OPEN, MAX_HOSTS, clear
from model.registrar import REDIS_LINK, SENTINEL_LINK, SUBSCRIPTION_LINK
from sim import ways
from sim.state import (
    CLOSED,
    CLOSING,
    DATAGRAM,
    DELIVER,
    GONE,
    KEEPALIVE,
    LINKS,
    NO_ROUTE,
    OPEN,
    OPENING,
    REDIS,
    REGISTRAR,
    RETRANSMIT,
    SENTINEL,
    SYN,
    actor,
    dequeue,
    enqueue,
    is_flow,
    new_event,
    place_of,
    put,
    release,
    release_all,
    schedule,
)

RTO_US = 208_000
"""Retransmission time-out on top of the round trip: 200 ms minimum of its spread, and timer ticks.

Kind: measured (Linux 6.18, two namespaces, link address of the receiver made wrong: data was sent again 0.21, 0.42,
0.86, 1.69, 3.35 and 6.71 s after the first time)."""
MAX_RTO_US = 120_000_000
"""Longest pause between retransmissions (TCP_RTO_MAX). Kind: vendor default."""
SYN_PERIOD_US = 1_024_000
"""First retransmissions of a SYN are a second apart (TCP_TIMEOUT_INIT); 1.02 s seen in the lab. Kind: measured."""
SYN_LINEAR = 4
"""So many of them before the pauses double (net.ipv4.tcp_syn_linear_timeouts, Linux >= 6.5). Kind: vendor default."""
RTO_MIN_US = 200_000
"""Least retransmission time-out (TCP_RTO_MIN): the unit of the limits below. Kind: vendor default."""
DOUBLINGS = 9
"""So often the pause doubles before it is `MAX_RTO_US`, as Linux reckons (tcp_model_timeout). Kind: specified."""
KEEPALIVE_PROBES = 3
"""Probes of an idle connection without an answer after which it is lost. Kind: specified (tcp_keepalive_s)."""
MAX_HELD = 1_000
"""Most messages that wait for one retransmission; more are not sent, for their senders have given up. Kind: assumed."""
NO_ROUTE_US = 3_072_000
"""A connect to a neighbour that does not answer fails after this: three probes a second apart. Kind: measured."""
TURN_US = 80
"""Least time in which a program hears of a refusal: a turn of its event loop, which bounds how often it can try.

Kind: measured (Flexisip 2.4.5 and 2.5.2, which do not pause: 11,000 to 18,700 refused connects a second)."""
PROBE_PERIOD_US = 1_024_000
"""Pause between two probes of neighbour discovery. Kind: measured."""


def _way(world, number, backwards):
    """The way that data on a connection takes, to the target or back."""
    here = place_of(number // LINKS)
    there = place_of(world.connection[number].target)
    if backwards == 1:
        return ways.way_between(world, there, here)
    return ways.way_between(world, here, there)


def _is_cut(world, number):
    """True when packets get through between the ends in one direction at most."""
    return _way(world, number, 0).dead_us != 0 or _way(world, number, 1).dead_us != 0


def _round_trip_us(world, number):
    return _way(world, number, 0).delay_us + _way(world, number, 1).delay_us


def give_up_us(retries):
    """How long after the first retransmission by time-out a kernel gives up, with tcp_retries2 set to `retries`.

    It does so at the first time-out at or after this, and then sends nothing more: 924.6 s for 15.

    Kind: specified (tcp_write_timeout). Measured (Linux 6.18, two namespaces, receiver's link address made wrong), s
    after the data was sent: 6.67 for 3, 6.77 for 4, 13.46 for 5, 26.71 for 6, 54.62 for 7, 107.14 for 8, 939.5 for 15;
    this gives 6.66, 6.66, 13.31, 26.62, 53.25, 106.50, 933.0. TCP_USER_TIMEOUT of 0.5, 1, 2, 5, 10, 30 s: 0.92, 1.49,
    2.47, 5.57, 10.90, 30.66; this gives 0.42 more than what it is set to.
    """
    doubling = min(retries, DOUBLINGS)
    return ((2 << doubling) - 1) * RTO_MIN_US + (retries - doubling) * MAX_RTO_US


def syn_give_up_us(retries):
    """How long after the first SYN a kernel gives up a connect, with tcp_syn_retries set to `retries`.

    Kind: specified (tcp_write_timeout: so many retransmissions besides the linear ones, or the time that the doubling
    ones would take). Measured, s: 3.08 for 1, 7.12 for 2, 19.56 for 3, 133.5 for 6; this gives 3.07, 7.17, 19.5, 134.1.
    """
    least_us = ((2 << retries) - 1) * 1_000_000
    sent = 0
    t_us = next_syn_us(0, 1)
    while t_us < least_us and sent < retries + SYN_LINEAR:
        t_us = next_syn_us(0, t_us + 1)
        sent += 1
    return t_us


def blank(connection):
    """Closed, with nothing held up."""
    connection.state = CLOSED
    connection.is_datagrams = 0
    connection.is_tls = 0
    connection.open_us = 0
    connection.syn_us = 0
    connection.no_route = 0
    connection.probes = 0
    for direction in range(2):
        connection.free_us[direction] = 0
        connection.unheard_us[direction] = 0
        connection.blocked_us[direction] = 0
        connection.retry_us[direction] = 0
        connection.waiting[direction] = 0
        connection.held[direction].first = 0


# --- opening ---------------------------------------------------------------------------------------------------------


def open_connection(world, number, target, now_us):
    """The owner connects."""
    end_life(world, number)
    connection = world.connection[number]
    connection.state = OPENING
    connection.target = target
    connection.syn_us = now_us
    given_up_us = _given_up_us(world, number)
    connection.no_route = 1 if given_up_us != 0 and now_us >= given_up_us else 0
    try_connect(world, number, now_us)


def try_connect(world, number, now_us):
    """A SYN goes out (or a query for the neighbour, who must be known first): it is answered, or tried again later."""
    if ways.loses(world, _way(world, number, 0)) or ways.loses(world, _way(world, number, 1)):
        _plan_next_try(world, number, now_us)
    else:
        _finish_handshake(world, number, now_us)


def _plan_next_try(world, number, now_us):
    """A connect that hangs goes on when the neighbour is given up, unless its SYN is waiting for the address just then.

    Its next SYN joins the search for the address that others have begun, and fails with that.
    """
    connection = world.connection[number]
    given_up_us = _given_up_us(world, number)
    if connection.no_route == 0 and given_up_us != 0 and now_us >= given_up_us:
        connection.no_route = 1
        connection.syn_us = now_us - draws.below(world.stream, NO_ROUTE_US)
    if connection.no_route == 1:
        next_us = now_us + PROBE_PERIOD_US
        fails_us = connection.syn_us + NO_ROUTE_US
    else:
        next_us = next_syn_us(connection.syn_us, now_us + 1)
        fails_us = connection.syn_us + world.syn_give_up_us
        if given_up_us != 0 and now_us >= given_up_us - NO_ROUTE_US:
            fails_us = min(fails_us, given_up_us)
    if fails_us <= next_us:
        _schedule_own(world, number, max(fails_us, now_us), NO_ROUTE)
    else:
        _schedule_own(world, number, next_us, SYN)


def on_no_route(world, number, now_us):
    """A connect fails for want of a route, unless the way is back, or because the kernel gives it up."""
    connection = world.connection[number]
    if _is_cut(world, number) or now_us - connection.syn_us >= world.syn_give_up_us:
        connection.syn_us = 0
        _fail(world, number, now_us)
    elif connection.no_route == 1:
        try_connect(world, number, now_us)
    else:
        _schedule_own(world, number, next_syn_us(connection.syn_us, now_us), SYN)


def _fail(world, number, now_us):
    """The owner's kernel is done with the connection."""
    world.connection[number].state = CLOSING
    _notify(world, number, now_us, LINK_CLOSED)


def _given_up_us(world, number):
    return ways.given_up_us(world, place_of(number // LINKS), place_of(world.connection[number].target))


def _finish_handshake(world, number, now_us):
    """A SYN has got through, and so will its answer: the target's kernel accepts or resets."""
    connection = world.connection[number]
    connection.syn_us = 0
    there_us = now_us + ways.transit_us(world, _way(world, number, 0))
    answered_us = there_us + ways.transit_us(world, _way(world, number, 1))
    connection.open_us = answered_us
    target = world.process[connection.target]
    if target.alive == 1 and there_us >= target.listens_us:
        _notify(world, number, answered_us, LINK_OPEN)
        begin_keepalive(world, number, answered_us)
        if connection.held[0].first != 0:
            send_held(world, number, 0, answered_us)
    else:
        _fail(world, number, max(answered_us, now_us + TURN_US))


def _notify(world, number, t_us, kind):
    """The owner's kernel tells the owner something about the connection."""
    connection = world.connection[number]
    event = _schedule_own(world, number, t_us, DELIVER)
    event.backwards = 1
    clear(event.message)
    event.message.kind = kind
    connection.free_us[1] = max(connection.free_us[1], t_us)


def _schedule_own(world, number, t_us, kind):
    """Something that concerns this life of a connection and its owner."""
    event = schedule(world, t_us, kind, number // LINKS)
    event.connection = number
    event.generation = world.connection[number].generation
    return event


def next_syn_us(since_us, now_us):
    """First retransmission at or after `now_us` of a SYN first sent at `since_us`."""
    t_us = since_us
    pause_us = SYN_PERIOD_US
    sent = 0
    while t_us < now_us:
        t_us += pause_us
        sent += 1
        if sent > SYN_LINEAR:
            pause_us = min(2 * pause_us, MAX_RTO_US)
    return t_us


# --- closing ---------------------------------------------------------------------------------------------------------


def end_life(world, number):
    """The connection is closed and its next life may begin; what is under way or held up of this one is void."""
    connection = world.connection[number]
    connection.generation += 1
    for direction in range(2):
        release_all(world, connection.held[direction])
    _purge(world, number, number // LINKS)
    _purge(world, number, connection.target)
    blank(connection)


def _purge(world, number, actor_):
    """A stopped program will not have to look at what is void."""
    queue = world.process[actor_].held
    kept = queue.first
    queue.first = 0
    while kept != 0:
        place = kept - 1
        event = world.event[place]
        kept = event.next
        is_read_yet = is_flow(number) and event.backwards == 0  # by a node, although its client has closed
        if event.kind == DELIVER and event.connection == number and not is_read_yet:
            release(world, place)
        else:
            enqueue(world, queue, place)


def close_by_owner(world, number, now_us):
    """The owner closes: nothing of this life arrives any more. A primary notices that a replica is gone."""
    connection = world.connection[number]
    if connection.state == CLOSED:
        return
    target = connection.target
    if number // LINKS // MAX_HOSTS == REDIS and connection.state == OPEN and not _is_cut(world, number):
        event = schedule(world, now_us + ways.transit_us(world, _way(world, number, 0)), GONE, target)
        event.connection = number
        event.generation = connection.generation
    end_life(world, number)


def close_by_target(world, number, now_us):
    """The target closes what it has heard of: the owner hears it after all data that is under way."""
    connection = world.connection[number]
    if connection.state == CLOSED or connection.state == CLOSING or connection.syn_us != 0:
        return
    connection.state = CLOSING
    event = send_data(world, number, 1, now_us)
    event.message.kind = LINK_CLOSED


def reset_all(world, actor_, now_us):
    """A program has died: its kernel closes what it had open and resets what others had open to it."""
    for link in range(LINKS):
        close_by_owner(world, actor_ * LINKS + link, now_us)
    for number in range(world.connections):
        connection = world.connection[number]
        if connection.state != CLOSED and connection.target == actor_ and connection.is_datagrams == 0:
            close_by_target(world, number, now_us)


def kill_clients(world, actor_, spared, now_us):
    """CLIENT KILL TYPE normal, then pubsub: all connections of sentinels and registrars but one.

    So a registrar loses its commands first and its subscription last; the other way round than when a server dies.
    """
    for is_pubsub in range(2):
        for number in range(world.connections):
            owner = number // LINKS // MAX_HOSTS
            is_other = owner != REDIS and number != spared and world.connection[number].target == actor_
            if is_other and _is_pubsub(number) == is_pubsub:
                close_by_target(world, number, now_us)


def _is_pubsub(number):
    """1 for a registrar's subscription. (Sentinels do not care in which order they lose their two.)"""
    is_registrars = number // LINKS // MAX_HOSTS == REGISTRAR
    return 1 if is_registrars and number % LINKS == SUBSCRIPTION_LINK else 0


# --- data ------------------------------------------------------------------------------------------------------------


def carries(world, number, backwards):
    """True when data may be sent: to the target until it closed, back to the owner only on an open connection."""
    state = world.connection[number].state
    return state == OPEN or (state == OPENING and backwards == 0)


def send_data(world, number, backwards, now_us):
    """Send on a connection. Returns the event, for its message to be filled."""
    connection = world.connection[number]
    place = new_event(world, DELIVER, number // LINKS if backwards == 1 else connection.target)
    event = world.event[place]
    event.connection = number
    event.generation = connection.generation
    event.backwards = backwards
    clear(event.message)
    leaves_us = max(now_us, connection.open_us) if backwards == 0 else now_us
    if connection.syn_us != 0:
        enqueue(world, connection.held[backwards], place)
    elif connection.retry_us[backwards] != 0:
        _hold(world, number, backwards, place)
        _hasten(world, number, backwards, leaves_us)
    elif _gets_through(world, number, backwards, leaves_us):
        put(world, place, _arrival_us(world, number, backwards, leaves_us))
    else:
        _hold(world, number, backwards, place)
        _block(world, number, backwards, leaves_us)
    return event


def _hold(world, number, backwards, place):
    """A message waits behind data that is lost; what is too much is void."""
    connection = world.connection[number]
    if connection.waiting[backwards] == MAX_HELD:
        release(world, place)
    else:
        connection.waiting[backwards] += 1
        enqueue(world, connection.held[backwards], place)


def _gets_through(world, number, backwards, now_us):
    """True when a segment that is sent now arrives, and may be sent at all."""
    connection = world.connection[number]
    if _way(world, number, 1 - backwards).dead_us == 0:
        connection.unheard_us[backwards] = 0
    elif connection.unheard_us[backwards] == 0:
        connection.unheard_us[backwards] = now_us
    elif now_us - connection.unheard_us[backwards] >= RTO_US + _round_trip_us(world, number):
        return False
    return not ways.loses(world, _way(world, number, backwards))


def _arrival_us(world, number, backwards, leaves_us):
    """When a packet arrives that gets through: nothing overtakes."""
    connection = world.connection[number]
    arrives_us = leaves_us + ways.transit_us(world, _way(world, number, backwards))
    connection.free_us[backwards] = max(connection.free_us[backwards], arrives_us)
    return connection.free_us[backwards]


def _block(world, number, backwards, now_us):
    """Data is lost for the first time: from now on all that follows waits for its retransmission."""
    connection = world.connection[number]
    unheard_us = connection.unheard_us[backwards]
    connection.blocked_us[backwards] = unheard_us if unheard_us != 0 else now_us
    _plan_retransmission(world, number, backwards, now_us)


def _plan_retransmission(world, number, backwards, now_us):
    since_us = world.connection[number].blocked_us[backwards]
    at_us = next_retransmission_us(since_us, now_us + 1, RTO_US + _round_trip_us(world, number))
    if _has_user_timeout(world, number, backwards):
        # The kernel sets its clock so that it is not late for this.
        at_us = min(at_us, max(_lost_us(world, number, backwards), now_us + 1))
    _retransmit_at(world, number, backwards, at_us)


def _has_user_timeout(world, number, backwards):
    return world.user_timeout_us != 0 and backwards == 0 and is_redis_link(number)


def is_redis_link(number):
    """True for the connections of registrar nodes to Redis."""
    return number // LINKS // MAX_HOSTS == REGISTRAR and number % LINKS <= REDIS_LINK


def _lost_us(world, number, backwards):
    """From when on the sender's kernel takes the connection for lost at its next time-out."""
    patience_us = world.give_up_us
    if _has_user_timeout(world, number, backwards):
        patience_us = world.user_timeout_us
    # The first time-out only sends a probe: the first retransmission that counts is the second.
    return world.connection[number].blocked_us[backwards] + 2 * (RTO_US + _round_trip_us(world, number)) + patience_us


def _retransmit_at(world, number, backwards, at_us):
    world.connection[number].retry_us[backwards] = at_us
    _schedule_own(world, number, at_us, RETRANSMIT).backwards = backwards


def _hasten(world, number, backwards, now_us):
    """Fast recovery (RACK): what follows a loss within the first time-out and arrives tells the sender of it."""
    connection = world.connection[number]
    round_trip_us = _round_trip_us(world, number)
    if now_us - connection.blocked_us[backwards] >= RTO_US + round_trip_us or _is_cut(world, number):
        return
    at_us = now_us + round_trip_us + round_trip_us // 4
    if at_us < connection.retry_us[backwards] and not ways.loses(world, _way(world, number, backwards)):
        _retransmit_at(world, number, backwards, at_us)


def next_retransmission_us(since_us, now_us, timeout_us):
    """First retransmission at or after `now_us` of data first sent at `since_us`.

    The first is a tail loss probe, and does not double the pause: the instants do double.
    """
    t_us = since_us + timeout_us
    pause_us = timeout_us
    while t_us < now_us:
        t_us += pause_us
        pause_us = min(2 * pause_us, MAX_RTO_US)
    return t_us


def send_held(world, number, backwards, now_us):
    """Send what was held up, in one packet. More can only be sent when it is acknowledged."""
    connection = world.connection[number]
    if connection.retry_us[backwards] != 0 and now_us >= _lost_us(world, number, backwards):
        _give_up(world, number, backwards, now_us)
        return
    if _is_cut(world, number) or ways.loses(world, _way(world, number, backwards)):
        if connection.retry_us[backwards] == 0:
            connection.blocked_us[backwards] = now_us
        _plan_retransmission(world, number, backwards, now_us)
        return
    connection.retry_us[backwards] = 0
    connection.waiting[backwards] = 0
    connection.unheard_us[backwards] = 0
    arrives_us = _arrival_us(world, number, backwards, now_us)
    while connection.held[backwards].first != 0:
        put(world, dequeue(world, connection.held[backwards]), arrives_us)


def _give_up(world, number, backwards, now_us):
    """A sender's kernel has lost its patience. A primary is told that a replica is gone; nobody else who was connected
    to is told anything that he would act on."""
    connection = world.connection[number]
    if backwards == 0:
        _fail(world, number, now_us)
        return
    release_all(world, connection.held[1])
    connection.waiting[1] = 0
    connection.retry_us[1] = 0
    if number // LINKS // MAX_HOSTS == REDIS:
        event = schedule(world, now_us, GONE, connection.target)
        event.connection = number
        event.generation = connection.generation


# --- keepalive -------------------------------------------------------------------------------------------------------


def begin_keepalive(world, number, now_us):
    """A connection stands: if its owner has asked for it, the kernel looks after it when it has been idle."""
    if world.keepalive_us != 0 and is_redis_link(number):
        _schedule_own(world, number, now_us + world.keepalive_us, KEEPALIVE)


def look_after(world, number, now_us):
    """tcp_keepalive_timer: nothing while data is unacknowledged; else a probe once it is idle, and so many in a row.

    Kind: measured (Linux 6.18; keepalive after 2 s every 2 s, 3 probes: lost 8.08 s after the last data; after 3 s
    every 3 s: 12.28 s; with data in flight as without keepalive; 2 s and TCP_USER_TIMEOUT of 3 s: 4.02 s, at the second
    probe; of 9 s: 10.07 s, at the fifth).
    """
    if world.keepalive_us == 0:
        return  # switched off since
    connection = world.connection[number]
    due_us = _heard_us(world, number, now_us) + world.keepalive_us
    if connection.retry_us[0] != 0 or connection.unheard_us[0] != 0:
        due_us = now_us + world.keepalive_us
    if due_us > now_us:
        connection.probes = 0
        _schedule_own(world, number, due_us, KEEPALIVE)
    elif _is_out_of_patience(world, number, now_us):
        _fail(world, number, now_us)
    else:
        _probe(world, number, now_us)
        _schedule_own(world, number, now_us + world.keepalive_us, KEEPALIVE)


def _heard_us(world, number, now_us):
    """When the owner last heard from the other end: data, or the acknowledgement of its own."""
    connection = world.connection[number]
    acknowledged_us = connection.free_us[0] + _way(world, number, 1).delay_us
    heard_us = max(acknowledged_us, connection.free_us[1], connection.open_us)
    return min(heard_us, now_us)


def _is_out_of_patience(world, number, now_us):
    probes = world.connection[number].probes
    if world.user_timeout_us != 0:
        idle_us = now_us - _heard_us(world, number, now_us)
        return probes > 0 and idle_us >= world.user_timeout_us
    return probes == KEEPALIVE_PROBES


def _probe(world, number, now_us):
    connection = world.connection[number]
    if ways.loses(world, _way(world, number, 0)) or ways.loses(world, _way(world, number, 1)):
        connection.probes += 1
    else:
        connection.probes = 0
        connection.free_us[1] = max(connection.free_us[1], now_us + _round_trip_us(world, number))


# --- datagrams -------------------------------------------------------------------------------------------------------


def send_datagram(world, number, backwards, now_us):
    """Send a datagram, or lose it. Returns the event, for its message to be filled."""
    connection = world.connection[number]
    place = new_event(world, DATAGRAM, number // LINKS if backwards == 1 else connection.target)
    event = world.event[place]
    event.connection = number
    event.generation = connection.generation
    event.backwards = backwards
    clear(event.message)
    way = _way(world, number, backwards)
    if ways.loses(world, way):
        release(world, place)
    else:
        put(world, place, now_us + ways.transit_us(world, way))
    return event


def target_of(owner, link, host):
    """Actor that a link of an actor leads to, on a given host."""
    if owner // MAX_HOSTS == SENTINEL and link >= 2 * MAX_HOSTS:
        return actor(SENTINEL, host)
    if owner // MAX_HOSTS == REGISTRAR and link == SENTINEL_LINK:
        return actor(SENTINEL, host)
    return actor(REDIS, host)
