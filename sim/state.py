"""The state of one simulated cluster: processes, connections, the agenda of coming events, and what is reported.

These records, and the plain functions of `network`, `processes`, `faults` and `steady` that work on them, obey the
rules of the machines (integers, attributes, no clock, no library), because both engines run that same source: `world`
interprets it inside SimPy, `batch` compiles it.

Actors are numbered: four programs for each of `MAX_HOSTS` hosts (`actor`). A connection belongs to the actor that
opens it: connection number = actor * LINKS + its own link number.
"""

from __future__ import annotations

from model import draws, redis_server, registrar, sentinel, sip_client
from model.effects import MAX_HOSTS, MESSAGE, OUT, REPORTS
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, nested, number

# Programs of a host.
REDIS, SENTINEL, REGISTRAR, CLIENT = 0, 1, 2, 3
ACTORS = 4 * MAX_HOSTS

PROBER = 4
"""Not an actor: who reports what the write prober sees."""
INJECTOR = 5
"""Not an actor: who reports faults."""

CLIENT_SIDE = MAX_HOSTS
"""Place of the clients and probers: a host number of its own."""

LINKS = sentinel.LINKS
"""Links of an actor: a sentinel has the most."""
CONNECTIONS = ACTORS * LINKS

TIMERS = 3
"""Timers of an actor: a registrar has three."""

MAX_EVENTS = 6_000
"""Most events on the agenda; up to 100 unanswered commands wait on every link to a dead host. Kind: assumed."""
MAX_REPORTS = 4_000
"""Most reports of one run. Kind: assumed."""
MAX_REGISTRATIONS = 32_768
"""Most confirmed registrations of one run. Kind: assumed."""
MAX_BRANCHES = 256
"""Most histories of one run: range of `redis_server.REDIS.branch`."""

# Kinds of events.
TIMER, DELIVER, DATAGRAM, GONE, FAULT, WRITE_CHECK, NO_ROUTE = range(1, 8)

# States of a connection.
CLOSED, OPENING, OPEN, CLOSING = range(4)

# What the write prober sees.
ACCEPTED, REFUSED_WRITE, SILENT = 1, 2, 3

_ANY = FAR_FUTURE_US

EVENT = Record(
    "SimEvent",
    "Something that will happen.",
    [
        instant("t_us", "when"),
        number("order", "events of one instant happen in this order", 0, _ANY),
        number("kind", "TIMER .. NO_ROUTE", 0, 7),
        number("actor", "whom it concerns; FAULT: which one; WRITE_CHECK: which server", 0, ACTORS),
        number("which", "TIMER: its number", 0, TIMERS),
        number("generation", "TIMER, DELIVER, NO_ROUTE: valid only while this is current", 0, _ANY),
        number("connection", "on which it travels", 0, CONNECTIONS),
        flag("backwards", "it travels from the one who was connected to"),
        nested("message", "what is delivered", MESSAGE),
    ],
)

CONNECTION = Record(
    "Connection",
    "A TCP connection, or the flow of a client's datagrams.",
    [
        number("state", "CLOSED, OPENING, OPEN or CLOSING (closed by the target, who has not been heard yet)", 0, 3),
        number("generation", "counts its lives", 0, _ANY),
        number("target", "actor that it leads to", 0, ACTORS),
        instant("open_us", "earliest instant at which the owner's data leaves"),
        instant("syn_us", "start of a connect that no packet of has got through, 0 = none"),
        flag("no_route", "the connect is held up by neighbour discovery, not by lost SYNs"),
        instant("blocked_us", "first data that did not get through, per direction, 0 = none", 2),
        instant("free_us", "arrival of the latest data, per direction: nothing overtakes", 2),
    ],
)

PROCESS = Record(
    "Process",
    "A running program.",
    [
        flag("exists", "the host runs such a program"),
        flag("alive", "it runs now"),
        flag("paused", "it is stopped (SIGSTOP)"),
        instant("busy_us", "it stands still until then (flush)"),
        number("generation", "of its timers", 0, _ANY, count=TIMERS),
    ],
)

REPORT_ROW = Record(
    "Report",
    "One event of the trace.",
    [
        instant("t_us", "when"),
        number("host", "where, CLIENT_SIDE for the client side", 0, MAX_HOSTS),
        number("program", "REDIS .. INJECTOR", 0, 5),
        number("report", "index into REPORTS", 0, len(REPORTS) - 1),
        number("about", "1 + number of the host concerned, 0 = none", 0, MAX_HOSTS),
        duration("detail_us", "see model.trace.EVENTS"),
        number("code", "see model.trace.EVENTS", 0, _ANY),
    ],
)

FAULT_ROW = Record(
    "FaultRow",
    "One entry of the fault time line.",
    [
        number("report", "CRASH .. HEAL", 0, len(REPORTS) - 1),
        number("host", "the host it strikes", 0, MAX_HOSTS),
        number("program", "REDIS .. REGISTRAR, or ALL_PROGRAMS", 0, 4),
        instant("t_us", "when"),
    ],
)

WORLD = Record(
    "World",
    "One simulated cluster.",
    [
        number("hosts", "number of hosts", 1, MAX_HOSTS),
        instant("now_us", "now"),
        instant("origin_us", "instant of the first fault"),
        instant("end_us", "end of the run"),
        nested("stream", "draws of the network and of restarts", draws.STREAM),
        duration("delay_us", "one-way delay"),
        duration("write_period_us", "period of the write prober"),
        duration("write_phase_us", "its phase"),
        nested("redis", "Redis servers, by host", redis_server.REDIS, MAX_HOSTS),
        nested("sentinel", "sentinels, by host", sentinel.SENTINEL, MAX_HOSTS),
        nested("registrar", "registrar nodes, by host", registrar.REGISTRAR, MAX_HOSTS),
        nested("client", "clients, by the host of the node they use", sip_client.CLIENT, MAX_HOSTS),
        number("first_primary", "number of the server that is primary at first", 0, MAX_HOSTS),
        nested("process", "all programs, by actor", PROCESS, ACTORS),
        nested("connection", "all connections", CONNECTION, CONNECTIONS),
        number("side", "of a partition, by host", 0, MAX_HOSTS, count=MAX_HOSTS),
        number("attached", "1 = the host is on the network", 0, 1, count=MAX_HOSTS),
        instant("cut_us", "when it was cut off from its peers, 0 = it is not", MAX_HOSTS),
        duration("neighbour_us", "how long after that its neighbours give up on its link address"),
        nested("out", "output buffer of the machines", OUT),
        number("n_faults", "faults on the time line", 0, 16),
        nested("fault", "the time line", FAULT_ROW, 16),
        number("order", "events scheduled so far", 0, _ANY),
        number("n_free", "free places of the agenda", 0, MAX_EVENTS),
        number("free", "their numbers", 0, MAX_EVENTS, count=MAX_EVENTS),
        nested("event", "the agenda", EVENT, MAX_EVENTS),
        number("n_fresh", "events scheduled since the engine looked last", 0, MAX_EVENTS),
        number("fresh", "their places", 0, MAX_EVENTS, count=MAX_EVENTS),
        number("n_parked", "events that wait for a network or a process", 0, MAX_EVENTS),
        number("parked", "their places, in order", 0, MAX_EVENTS, count=MAX_EVENTS),
        number("n_reports", "reports so far", 0, MAX_REPORTS),
        nested("report", "the reports", REPORT_ROW, MAX_REPORTS),
        number("seen", "what the write prober saw last, by server, 0 = nothing yet", 0, 3, count=MAX_HOSTS),
        number("write_due", "1 = a check of the write prober is on the agenda", 0, 1, count=MAX_HOSTS),
        number("parent", "history that each history continues, 0 = none", 0, MAX_BRANCHES, count=MAX_BRANCHES),
        number("fork_offset", "up to which offset", 0, _ANY, count=MAX_BRANCHES),
        number("stored_branch", "history in which a request was stored, by host and request", 0, 255,
               count=MAX_HOSTS * sip_client.MAX_OPEN),
        number("stored_offset", "at which offset", 0, _ANY, count=MAX_HOSTS * sip_client.MAX_OPEN),
        number("n_registrations", "confirmed registrations", 0, MAX_REGISTRATIONS),
        number("registration_host", "their nodes", 0, MAX_HOSTS, count=MAX_REGISTRATIONS),
        number("registration_branch", "their histories", 0, 255, count=MAX_REGISTRATIONS),
        number("registration_offset", "and offsets", 0, _ANY, count=MAX_REGISTRATIONS),
        number("overflow", "1 = a bound of this record was too small: the run is void", 0, 1),
    ],
)  # fmt: skip


def actor(program, host):
    """Number of the actor that runs `program` on `host`."""
    return program * MAX_HOSTS + host


def schedule(world, t_us, kind, actor_):
    """Put an event on the agenda and return it."""
    if world.n_free == 0:
        world.overflow = 1
        world.n_free = 1
    world.n_free -= 1
    place = world.free[world.n_free]
    event = world.event[place]
    world.order += 1
    event.t_us = t_us
    event.order = world.order
    event.kind = kind
    event.actor = actor_
    event.which = 0
    event.generation = 0
    event.connection = 0
    event.backwards = 0
    world.fresh[world.n_fresh] = place
    world.n_fresh += 1
    return event


def schedule_again(world, place, t_us):
    """Put an event that was held up back on the agenda."""
    event = world.event[place]
    world.order += 1
    event.t_us = t_us
    event.order = world.order
    world.fresh[world.n_fresh] = place
    world.n_fresh += 1


def take_back(world):
    """Take the event that was scheduled last off the agenda, before an engine has seen it; returns its place."""
    world.n_fresh -= 1
    return world.fresh[world.n_fresh]


def release(world, place):
    """An event has happened (or never will): its place is free."""
    world.free[world.n_free] = place
    world.n_free += 1


def park(world, place):
    """An event waits until the network or its process is back."""
    world.parked[world.n_parked] = place
    world.n_parked += 1


def note(world, t_us, host, program, report, about, detail_us, code):
    """Add a row to the trace."""
    if world.n_reports == MAX_REPORTS:
        world.overflow = 1
        return
    row = world.report[world.n_reports]
    world.n_reports += 1
    row.t_us = t_us
    row.host = host
    row.program = program
    row.report = report
    row.about = about
    row.detail_us = detail_us
    row.code = code
