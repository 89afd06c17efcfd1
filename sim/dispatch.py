"""What happens when an event of the agenda is due. Both engines call `happen`, in order of (time, order).

A stopped program (SIGSTOP) gets nothing; what comes meanwhile waits and is handled when it goes on, messages in order
and timers last, as an event loop does. What comes while a program stands still in a flush comes when it is done.
"""

from __future__ import annotations

from model.effects import MAX_HOSTS
from sim import calls, expiry, faults, flows, network, prober, processes
from sim.state import (
    CALL,
    CLOSING,
    DATAGRAM,
    DELIVER,
    FAULT,
    KEEPALIVE,
    LOOK_UP,
    NO_ROUTE,
    REDIS,
    REGISTRAR,
    RETRANSMIT,
    SYN,
    TIMER,
    WRITE_BINDING,
    WRITE_CHECK,
    enqueue,
    is_flow,
    put,
    release,
)


def happen(world, place):
    """The event at `place` of the agenda is due."""
    event = world.event[place]
    world.now_us = event.t_us
    kind = event.kind
    if kind == FAULT:
        faults.strike(world, event.actor)
    elif kind == WRITE_CHECK:
        prober.check(world, event.actor)
    elif kind == LOOK_UP:
        expiry.look_up(world, event.actor)
    elif kind == WRITE_BINDING:
        expiry.write(world)
    elif kind == CALL:
        calls.call(world, event.actor, event.which)
    elif kind == SYN or kind == NO_ROUTE or kind == RETRANSMIT or kind == KEEPALIVE:
        _happen_to_connection(world, event)
    elif _is_valid(world, event):
        process = world.process[event.actor]
        if process.paused == 1:
            enqueue(world, process.held, place)
            return
        if process.busy_us > world.now_us:
            put(world, place, process.busy_us)
            return
        processes.handle(world, event)
        if event.actor // MAX_HOSTS == REGISTRAR:
            calls.follow(world, event.actor % MAX_HOSTS)
        elif event.actor // MAX_HOSTS == REDIS and (world.binding_life_s != 0 or world.clients != 0):
            expiry.follow(world, event.actor % MAX_HOSTS, event.message.kind if kind == DELIVER else 0)
    release(world, place)


def _happen_to_connection(world, event):
    """What kernels do on their own; not for a life of the connection that is over, nor at an instant given up since."""
    number = event.connection
    connection = world.connection[number]
    if event.generation != connection.generation:
        return
    if event.kind == SYN:
        network.try_connect(world, number, world.now_us)
    elif event.kind == NO_ROUTE:
        network.on_no_route(world, number, world.now_us)
    elif event.kind == KEEPALIVE:
        network.look_after(world, number, world.now_us)
    elif connection.retry_us[event.backwards] == event.t_us:
        network.send_held(world, number, event.backwards, world.now_us)


def _is_valid(world, event):
    """False for what concerns a dead program, a closed connection or a timer that was set anew."""
    if event.kind == DATAGRAM and is_flow(event.connection):
        return flows.is_heard(world, event)
    if world.process[event.actor].alive == 0:
        return False
    if event.kind == TIMER:
        return event.generation == world.process[event.actor].generation[event.which]
    if event.kind == DELIVER:
        connection = world.connection[event.connection]
        if event.generation != connection.generation:
            # What a client sent before it closed is still read by the node.
            return is_flow(event.connection) and event.backwards == 0
        return event.backwards == 1 or connection.state != CLOSING
    return True
