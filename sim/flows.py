"""Flows of SIP clients to registrar nodes: datagrams, TCP connections, TLS on top of them.

* Datagrams: open at once, and never closed by anybody else. A host whose node does not listen answers one with an ICMP
  error; a host that is gone, or whose node is stopped, does not.
* TCP: as `sim.network` has it. The kernel of a node accepts, and resets, whatever its program does.
* TLS 1.3: once TCP stands, the ends shake hands in one round trip, for which the node must run. The client takes the
  flow for open, and looks at the certificate, when the node's part has come.

Clients are behind routers, so a host that is gone is silent to them: no neighbour says that there is no route.

Left out: TLS session resumption (a phone that comes to another node has no session there), the limit on ICMP errors to
one address (Linux: six at once, then one a second), path changes of NAT.
"""

from __future__ import annotations

from model import sip_client
from model.effects import LINK_CLOSED, LINK_OPEN, REGISTER, RESPONSE, clear
from sim import network, transactions, ways
from sim.state import (
    CLIENT_SIDE,
    CONNECTIONS,
    DATAGRAM,
    DELIVER,
    LINKS,
    MAX_HOSTS,
    OPENING,
    REGISTRAR,
    actor,
    is_flow,
    number_of,
    schedule,
)

CLIENT_HELLO, SERVER_HELLO = 200, 201
"""Kinds of messages below the machines: the two flights of a TLS handshake."""

NODE_SHAKES_US = 400
"""Processor time of a node for one TLS handshake. Kind: measured (OpenSSL 3 under Python 3.11, certificate of P-256:
median 0.39 ms)."""
CLIENT_SHAKES_US = 700
"""The same of a client, which checks the certificate. Kind: measured (median 0.70 ms)."""


def connect(world, number, host, now_us):
    """A client opens a flow to the node of a host."""
    target = actor(REGISTRAR, host)
    transport = world.ua[number_of(number // LINKS)].transport
    if transport == sip_client.UDP:
        network.end_life(world, number)
        connection = world.connection[number]
        connection.state = OPENING
        connection.target = target
        connection.is_datagrams = 1
        _tell(world, number, now_us, LINK_OPEN, 0)
    else:
        network.open_connection(world, number, target, now_us)
        world.connection[number].is_tls = 1 if transport == sip_client.TLS else 0


def _tell(world, number, t_us, kind, code):
    """The client's kernel will tell it something about a flow."""
    event = schedule(world, t_us, DELIVER, number // LINKS)
    event.connection = number
    event.generation = world.connection[number].generation
    event.backwards = 1
    clear(event.message)
    event.message.kind = kind
    event.message.code = code


def is_heard(world, event):
    """True when a datagram of a client's flow finds who it is for; else a kernel may have something to say to that."""
    is_current = event.generation == world.connection[event.connection].generation
    if event.backwards == 1:
        return is_current
    process = world.process[event.actor]
    if process.alive == 1 and process.listens_us <= world.now_us:
        return True
    if is_current:
        _bounce(world, event)
    return False


def _bounce(world, event):
    """Nobody listens: the host's kernel says so to the client."""
    way = ways.way_between(world, event.actor % MAX_HOSTS, CLIENT_SIDE)
    if not ways.loses(world, way):
        t_us = world.now_us + ways.transit_us(world, way)
        _tell(world, event.connection, t_us, LINK_CLOSED, sip_client.ICMP_ERROR)


# --- below the machines ----------------------------------------------------------------------------------------------


def absorbs(world, event):
    """A message of a client's flow may be nothing for a machine: a handshake, or a request that is sent again.

    Returns
    -------
    int
        1 if the machine shall not have it.
    """
    number = event.connection
    if not is_flow(number):
        return 0
    if event.kind == DATAGRAM and event.message.kind == REGISTER:
        source = source_of(number, event.generation)
        transaction = _transaction(world, number, event.actor % MAX_HOSTS)
        return transactions.absorbs(transaction, source, event.message, world.out)
    return _shake_hands(world, event)


def _transaction(world, number, host):
    """The one that the client of a flow has with the node of a host."""
    return world.transaction[number_of(number // LINKS) * MAX_HOSTS + host]


def keep_answer(world, number, message):
    """A node answers on a flow of datagrams."""
    if is_flow(number) and message.kind == RESPONSE:
        transactions.end(_transaction(world, number, world.connection[number].target % MAX_HOSTS), message)


def let_go(world, source, host, request):
    """A node will not answer a request: when it is sent again it is a new one."""
    number = source % CONNECTIONS
    if is_flow(number) and _transaction(world, number, host).request == request + 1:
        transactions.forget(_transaction(world, number, host))


def forget_answers(world, host):
    """A node has died, and with it its transactions."""
    for me in range(world.clients):
        transactions.forget(world.transaction[me * MAX_HOSTS + host])


def _shake_hands(world, event):
    """TLS: the client begins when TCP stands, the node answers, then the flow is open for the client's machine."""
    number = event.connection
    kind = event.message.kind
    if kind == LINK_OPEN and world.connection[number].is_tls == 1:
        network.send_data(world, number, 0, world.now_us).message.kind = CLIENT_HELLO
        return 1
    if kind == CLIENT_HELLO:
        _answer_hello(world, event)
        return 1
    if kind == SERVER_HELLO:
        event.message.kind = LINK_OPEN
    return 0


def _answer_hello(world, event):
    """The node's part keeps its processor busy; the client's comes on top, before its machine is told."""
    if event.generation != world.connection[event.connection].generation:
        return  # the client has not waited for it
    process = world.process[event.actor]
    process.busy_us = max(process.busy_us, world.now_us) + NODE_SHAKES_US
    message = network.send_data(world, event.connection, 1, process.busy_us + CLIENT_SHAKES_US).message
    message.kind = SERVER_HELLO
    message.code = world.certificate[event.actor % MAX_HOSTS]


# --- whom an answer goes to ------------------------------------------------------------------------------------------


def source_of(number, generation):
    """What a node knows a client's flow by: its number, and which of its lives."""
    return number + CONNECTIONS * generation


def is_over(world, source):
    """True when the flow that a node means has ended; its number may stand for a later one."""
    number = source % CONNECTIONS
    return is_flow(number) and source // CONNECTIONS != world.connection[number].generation
