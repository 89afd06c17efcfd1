"""The state of one simulated cluster: processes, connections, the agenda of coming events, and what is reported.

These records, and the plain functions of the other modules that work on them, obey the rules of the machines (integers,
attributes, no clock, no library), because both engines run that same source: `world` interprets it inside SimPy,
`batch` compiles it.

Time here is true time. What waits stands in queues: data that a connection cannot deliver yet, and what has come for a
stopped program. Every other event is on the agenda; a place of the agenda belongs to one event wherever that waits.

Actors are numbered: four programs for each of `MAX_HOSTS` hosts, then the SIP clients (`actor`). A connection belongs
to the actor that opens it: connection number = actor * LINKS + its own link number. Arrays have room for all of them,
loops run over those that the scenario has (`actors`, `connections`).
"""

from __future__ import annotations

from model import draws, redis_server, register_prober, registrar, sentinel, sip_client
from model.effects import MAX_HOSTS, MESSAGE, OUT, REPORTS
from model.errors import HastudyError
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, nested, number
from model.scenario.base import MAX_CLIENTS
from sim.transactions import TRANSACTION

# Programs of a host; the last is the register prober of its node, on the client side.
REDIS, SENTINEL, REGISTRAR, PROBE_CLIENT = 0, 1, 2, 3
HOST_ACTORS = 4 * MAX_HOSTS
"""Actors that belong to a host. SIP clients are numbered after them."""
UA = 4
"""Program of a SIP client (user agent)."""
ACTORS = HOST_ACTORS + MAX_CLIENTS

PROBER = 5
"""Not an actor: who reports what the write prober sees."""
INJECTOR = 6
"""Not an actor: who reports faults."""
CALLER = 7
"""Not an actor: who reports how calls to a SIP client fare."""

CLIENT_SIDE = MAX_HOSTS
"""Place of the clients, probers and callers: a host number of its own."""
PLACES = MAX_HOSTS + 1
"""Hosts, and the client side. The way from place a to place b has number a * PLACES + b."""

AT_LEADER, AT_PROMOTED = MAX_HOSTS + 1, MAX_HOSTS + 2
"""Hosts of a fault that only its trigger tells: who reported it, and whom it is about."""
NAME_SERVER = MAX_HOSTS + 3
"""Host of the faults of the name server, which is on no host of the cluster."""

TRIGGER_US = 1_500
"""From a fault's trigger until it can be struck: somebody has to read the log first. Kind: measured (docs/lab.md)."""

LINKS = sentinel.LINKS
"""Links of an actor: a sentinel has the most."""
CONNECTIONS = ACTORS * LINKS

TIMERS = sip_client.TIMERS
"""Timers of an actor: a SIP client has the most."""

MAX_EVENTS = 16_000
"""Most events on the agenda and in queues; up to 100 unanswered commands wait on every link to a dead host.

Kind: assumed."""
SPARE_EVENTS = 1_000
"""With fewer free places the run is void: more than one event can bring about. Kind: assumed."""
MAX_FAULTS = 16
"""Most faults of a scenario."""
MAX_REPORTS = 16_000
"""Most reports of one run. Kind: assumed."""
MAX_REGISTRATIONS = 32_768
"""Most confirmed registrations of one run. Kind: assumed."""
MAX_BINDINGS = 4_096
"""Most versions of all bindings in one run, deletions included. Kind: assumed."""
KEYS = 1 + MAX_CLIENTS
"""Keys of bindings: that of the expiry prober, and one for each SIP client."""
MAX_BRANCHES = 256
"""Most histories of one run: range of `redis_server.REDIS.branch`."""

# Kinds of events.
TIMER, DELIVER, DATAGRAM, GONE, FAULT, WRITE_CHECK, SYN, NO_ROUTE, RETRANSMIT, LOOK_UP, WRITE_BINDING = range(1, 12)
CALL, KEEPALIVE = 12, 13

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
        number("kind", "TIMER .. KEEPALIVE", 0, 13),
        number("actor", "whom it concerns; FAULT: which one; WRITE_CHECK, LOOK_UP: which server", 0, ACTORS),
        number("which", "TIMER: its number; CALL: through which node", 0, TIMERS),
        number("generation", "of the timer or connection: valid only while this is current", 0, _ANY),
        number("connection", "on which it travels", 0, CONNECTIONS),
        flag("backwards", "it travels from the one who was connected to"),
        number("next", "1 + place of the event behind this one in a queue, 0 = none", 0, MAX_EVENTS),
        nested("message", "what is delivered", MESSAGE),
    ],
)

QUEUE = Record(
    "Queue",
    "Events that wait, in order.",
    [
        number("first", "1 + place of the first, 0 = empty", 0, MAX_EVENTS),
        number("last", "1 + place of the last", 0, MAX_EVENTS),
    ],
)

WAY = Record(
    "Way",
    "The network from one place to another, in one direction.",
    [
        duration("delay_us", "one-way delay"),
        duration("jitter_us", "random delay on top, from 0 to this"),
        number("loss_percent", "packets lost at random now", 0, 100),
        number("usual_percent", "and when no fault makes it lose more", 0, 100),
        instant("dead_us", "since when it carries nothing, 0 = it does"),
    ],
)

CLOCK = Record(
    "Clock",
    "The wall clock of a place: straight since it was last set.",
    [
        instant("base_true_us", "true time at which it was set or its rate changed"),
        instant("base_wall_us", "what it showed then"),
        number("ppm", "by how much it has run too fast since", -1_000_000, 1_000_000, "ppm"),
    ],
)

CONNECTION = Record(
    "Connection",
    "A TCP connection, or the flow of a client's datagrams.",
    [
        number("state", "CLOSED, OPENING, OPEN or CLOSING (closed by the target, who has not been heard yet)", 0, 3),
        number("generation", "counts its lives", 0, _ANY),
        number("target", "actor that it leads to", 0, ACTORS),
        flag("is_datagrams", "it carries datagrams: kernels know nothing of it"),
        flag("is_tls", "its ends shake hands before the owner is told that it is open"),
        instant("open_us", "earliest instant at which the owner's data leaves"),
        instant("syn_us", "start of a connect that has not been answered yet, 0 = none"),
        flag("no_route", "the connect is held up by neighbour discovery, not by lost SYNs"),
        instant("free_us", "arrival of the latest data, per direction: nothing overtakes", 2),
        instant("unheard_us", "first data that cannot be acknowledged, per direction, 0 = none", 2),
        instant("blocked_us", "first sending of data that did not get through, per direction, 0 = none", 2),
        instant("retry_us", "when it is sent next, per direction", 2),
        number("waiting", "how much of it waits, per direction", 0, MAX_EVENTS, count=2),
        number("probes", "keepalive probes without an answer", 0, 3),
        nested("held", "data that waits for that, or for the connect, per direction", QUEUE, 2),
    ],
)

PROCESS = Record(
    "Process",
    "A running program.",
    [
        flag("exists", "the host runs such a program"),
        flag("alive", "it runs now"),
        flag("paused", "it is stopped (SIGSTOP)"),
        nested("held", "what has come for it while it is stopped", QUEUE),
        instant("listens_us", "its kernel refuses connections before"),
        instant("busy_us", "it stands still until then (flush)"),
        number("generation", "of its timers", 0, _ANY, count=TIMERS),
    ],
)

REPORT_ROW = Record(
    "Report",
    "One event of the trace.",
    [
        instant("t_us", "when"),
        number("host", "where, CLIENT_SIDE for the client side; UA, CALLER: number of the client", 0, MAX_CLIENTS),
        number("program", "REDIS .. CALLER", 0, 7),
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
        number("report", "CRASH .. FORGE_VOTE", 0, len(REPORTS) - 1),
        number("after", "report that starts its clock, 0 = the first fault does, or did", 0, len(REPORTS) - 1),
        number("host", "host it strikes, or NAME_SERVER; AT_LEADER, AT_PROMOTED before the trigger", 0, NAME_SERVER),
        instant("t_us", "when; before the trigger: how long after it"),
        number("program", "REDIS .. REGISTRAR, or ALL_PROGRAMS", 0, 4),
        number("code", "number of the process in scenario.PROCESSES", 0, 3),
        number("to", "DROP_PACKETS, DELIVER_PACKETS, DELAY: 1 + receiving host, 0 = every other host", 0, MAX_HOSTS),
        number("amount_us", "RESTART: time of loading; DELAY, STEP, SLOW_DISK, BUSY: how much or how long",
               -_ANY, _ANY, "us"),
        duration("jitter_us", "DELAY: random delay on top, from 0 to this"),
        number("value", "RESTART: 1 = with old data; PARTITION: side; DROP_PACKETS: percent; DRIFT: ppm", -_ANY, _ANY),
    ],
)  # fmt: skip

SRV_RECORD = Record(
    "SrvRecord",
    "The SRV record of a node.",
    [
        flag("is_listed", "the zone has it now"),
        number("priority", "lower first", 0, 65_535),
        number("weight", "share among those of the same priority", 0, 65_535),
    ],
)

BINDING = Record(
    "Binding",
    "One version of a binding.",
    [
        number("key", "0 = the expiry prober's, else 1 + number of the SIP client", 0, KEYS),
        number("branch", "history in which a primary made it", 0, 255),
        number("offset", "at which offset", 0, _ANY),
        number("until_ms", "when it ends by the primary's clock, 0 = a deletion", 0, _ANY, "ms"),
        instant("set_us", "when it was made, by the primary's clock"),
        number("updated_s", "registration: when its lifetime began, by the node's clock", 0, _ANY, "s"),
        number("life_s", "lifetime granted", 0, _ANY, "s"),
        number("node", "host of the node that wrote it", 0, MAX_HOSTS),
        number("flow", "flow that the client's REGISTER came by (sim.flows.source_of)", 0, _ANY),
    ],
)

CALLS = Record(
    "Calls",
    "Calls to a SIP client through one node.",
    [
        number("seen", "outcome that was reported last: CALL_ANSWERED .. CALL_UNANSWERED, 0 = none",
               0, len(REPORTS) - 1),
        number("code", "its status", 0, 699),
        instant("first_us", "sending of the first call that waits for the node's server, 0 = none does"),
        instant("last_us", "sending of the last of them"),
        number("session", "life of the node's connection to that server", 0, _ANY),
        number("ended", "calls that ended", 0, _ANY),
        number("failed", "of these, without an answer of the client", 0, _ANY),
    ],
)  # fmt: skip

ASKED = Record(
    "Asked",
    "A registration that a node has sent to its server.",
    [
        number("job", "the node's own number of it", 0, _ANY),
        number("updated_s", "when its lifetime begins, by the node's clock", 0, _ANY, "s"),
        number("flow", "flow that the client's REGISTER came by (sim.flows.source_of)", 0, _ANY),
    ],
)

WORLD = Record(
    "World",
    "One simulated cluster.",
    [
        number("hosts", "number of hosts", 1, MAX_HOSTS),
        number("clients", "number of SIP clients", 0, MAX_CLIENTS),
        number("actors", "actors that may exist: those of hosts, and the clients", HOST_ACTORS, ACTORS),
        number("connections", "connections that may exist", 0, CONNECTIONS),
        instant("now_us", "now"),
        instant("origin_us", "instant of the first fault"),
        instant("end_us", "end of the run"),
        nested("stream", "draws of the network and of restarts", draws.STREAM),
        nested("way", "from each place to each", WAY, PLACES * PLACES),
        nested("clock", "wall clocks, by place", CLOCK, PLACES),
        duration("flush_us", "one flush of a sentinel's configuration on a good disk"),
        flag("redis_is_open", "whoever reaches a Redis server may use it: no password"),
        flag("sentinel_is_open", "whoever reaches a sentinel may use it: no password"),
        duration("give_up_us", "a kernel's patience with unacknowledged data: see sim.network"),
        duration("syn_give_up_us", "and with a connect"),
        duration("keepalive_us", "nodes' connections to Redis are probed when idle for so long, 0 = never"),
        duration("user_timeout_us", "and a kernel's patience with their data, 0 = as with all"),
        duration("write_period_us", "period of the write prober"),
        duration("write_phase_us", "its phase"),
        nested("redis", "Redis servers, by host", redis_server.REDIS, MAX_HOSTS),
        nested("sentinel", "sentinels, by host", sentinel.SENTINEL, MAX_HOSTS),
        nested("registrar", "registrar nodes, by host", registrar.REGISTRAR, MAX_HOSTS),
        nested("probe_client", "register probers, by the host of the node they use", register_prober.CLIENT, MAX_HOSTS),
        nested("ua", "SIP clients", sip_client.CLIENT, MAX_CLIENTS),
        number("first_primary", "number of the server that is primary at first", 0, MAX_HOSTS),
        nested("process", "all programs, by actor", PROCESS, ACTORS),
        nested("connection", "all connections", CONNECTION, CONNECTIONS),
        number("side", "of a partition, by host", 0, MAX_HOSTS, count=MAX_HOSTS),
        number("attached", "1 = the host is on the network", 0, 1, count=MAX_HOSTS),
        nested("transaction", "of each client with each node, at client * MAX_HOSTS + host", TRANSACTION,
               MAX_CLIENTS * MAX_HOSTS),
        nested("zone", "SRV records, by host", SRV_RECORD, MAX_HOSTS),
        number("ttl_s", "how long they may be kept", 0, 604_800, "s"),
        number("negative_ttl_s", "how long their absence may be kept", 0, 86_400, "s"),
        flag("dns_is_silent", "the name server does not answer"),
        number("certificate", "what the certificate of each node is (model.sip_client)", 0, 15, count=MAX_HOSTS),
        duration("neighbour_us", "how long after a way died neighbours give up on the link address"),
        number("snapshot_branch", "history of each server before the first fault, 0 = not taken yet", 0, 255,
               count=MAX_HOSTS),
        number("snapshot_offset", "its offset", 0, _ANY, count=MAX_HOSTS),
        nested("out", "output buffer of the machines", OUT),
        number("n_faults", "faults on the time line", 0, MAX_FAULTS),
        number("n_triggers", "of these, still without an instant", 0, MAX_FAULTS),
        nested("fault", "the time line", FAULT_ROW, MAX_FAULTS),
        number("order", "events scheduled so far", 0, _ANY),
        number("n_places", "places of the agenda that were ever used", 0, MAX_EVENTS),
        number("n_free", "of these, free ones", 0, MAX_EVENTS),
        number("free", "their numbers", 0, MAX_EVENTS, count=MAX_EVENTS),
        nested("event", "the agenda", EVENT, MAX_EVENTS),
        number("n_fresh", "events scheduled since the engine looked last", 0, MAX_EVENTS),
        number("fresh", "their places", 0, MAX_EVENTS, count=MAX_EVENTS),
        number("n_reports", "reports so far", 0, MAX_REPORTS),
        nested("report", "the reports", REPORT_ROW, MAX_REPORTS),
        number("seen", "what the write prober saw last, by server, 0 = nothing yet", 0, 3, count=MAX_HOSTS),
        instant("silent_since_us", "first write without an answer, by server, 0 = none", MAX_HOSTS),
        number("write_due", "1 = a check of the write prober is on the agenda", 0, 1, count=MAX_HOSTS),
        number("parent", "history that each history continues, 0 = none", 0, MAX_BRANCHES, count=MAX_BRANCHES),
        number("fork_offset", "up to which offset", 0, _ANY, count=MAX_BRANCHES),
        number("stored_branch", "history in which a request was stored, by host and request", 0, 255,
               count=MAX_HOSTS * register_prober.MAX_OPEN),
        number("stored_offset", "at which offset", 0, _ANY, count=MAX_HOSTS * register_prober.MAX_OPEN),
        number("n_registrations", "confirmed registrations", 0, MAX_REGISTRATIONS),
        number("registration_host", "their nodes", 0, MAX_HOSTS, count=MAX_REGISTRATIONS),
        number("registration_branch", "their histories", 0, 255, count=MAX_REGISTRATIONS),
        number("registration_offset", "and offsets", 0, _ANY, count=MAX_REGISTRATIONS),
        number("binding_life_s", "life of the expiry prober's binding, 0 = no such prober", 0, 86_400, "s"),
        duration("binding_refresh_us", "how often it is written"),
        flag("binding_is_absolute", "its end is said as an instant, by true time"),
        flag("binding_travels_relative", "to replicas it travels as a time to live"),
        flag("registrations_are_absolute", "nodes write EXPIREAT, else EXPIRE"),
        flag("registrations_travel_relative", "to replicas they travel as a time to live"),
        duration("call_period_us", "every client is called through every node this often"),
        duration("call_timeout_us", "a call without final answer is given up after this"),
        nested("calls", "by client and node, at client * MAX_HOSTS + host", CALLS, MAX_CLIENTS * MAX_HOSTS),
        nested("asked", "what nodes sent last, at node * MAX_CLIENTS + client", ASKED, MAX_HOSTS * MAX_CLIENTS),
        number("n_bindings", "versions of bindings so far", 0, MAX_BINDINGS),
        nested("binding", "the versions, of all primaries", BINDING, MAX_BINDINGS),
        number("held_binding", "1 + number of the newest version that each server holds of each key, 0 = none",
               0, MAX_BINDINGS, count=MAX_HOSTS * KEYS),
        number("held_until_ms", "when that ends by the server's clock, 0 = deleted or none", 0, _ANY, "ms",
               MAX_HOSTS * KEYS),
        number("first_end_ms", "when the first of the clients' bindings ends so, by server, 0 = none", 0, _ANY, "ms",
               MAX_HOSTS),
        number("placed", "versions whose place in the history of each server is known", 0, MAX_BINDINGS,
               count=MAX_HOSTS),
        number("placed_branch", "that history", 0, 255, count=MAX_HOSTS),
        number("placed_offset", "and how far the server had come", 0, _ANY, count=MAX_HOSTS),
        number("looked_up", "what the last lookup reported, by server, 0 = nothing yet", 0, len(REPORTS) - 1,
               count=MAX_HOSTS),
        instant("unheard_us", "first lookup without an answer, by server, 0 = none", MAX_HOSTS),
        number("overflow", "1 = a bound of this record was too small: the run is void", 0, 1),
    ],
)  # fmt: skip


def no_room(name: str, seed: int, run: int) -> HastudyError:
    """The error of a run that a bound of this module is too small for."""
    return HastudyError(
        f"{name}, seed {seed}, run {run}: more happens in this run than there is room for: {MAX_EVENTS - SPARE_EVENTS} "
        f"events under way, {MAX_REPORTS} reports, {MAX_REGISTRATIONS} confirmed registrations\n\n"
        "hint: a shorter run.horizon_ms, longer periods under [probe], or fewer clients"
    )


def actor(program, host):
    """Number of the actor that runs `program` on `host`; of a SIP client, by its own number."""
    return program * MAX_HOSTS + host


def program_of(actor_):
    """What an actor runs."""
    return min(actor_ // MAX_HOSTS, UA)


def number_of(actor_):
    """Its host; of a SIP client its own number."""
    return actor_ - HOST_ACTORS if actor_ >= HOST_ACTORS else actor_ % MAX_HOSTS


def place_of(actor_):
    """Where an actor is: a host, or the client side."""
    if actor_ // MAX_HOSTS >= PROBE_CLIENT:
        return CLIENT_SIDE
    return actor_ % MAX_HOSTS


def is_flow(number):
    """True for the connections of SIP clients."""
    return number >= HOST_ACTORS * LINKS


# --- the agenda ------------------------------------------------------------------------------------------------------


def new_event(world, kind, actor_):
    """A new event that is not on the agenda yet; returns its place."""
    place = _free_place(world)
    event = world.event[place]
    event.kind = kind
    event.actor = actor_
    event.which = 0
    event.generation = 0
    event.connection = 0
    event.backwards = 0
    event.next = 0
    return place


def _free_place(world):
    if world.n_free > 0:
        world.n_free -= 1
        return world.free[world.n_free]
    if world.n_places >= MAX_EVENTS - SPARE_EVENTS:
        world.overflow = 1
    world.n_places += 1
    return world.n_places - 1


def put(world, place, t_us):
    """Put an event on the agenda: it happens at `t_us`, after all that were put there before for the same instant."""
    event = world.event[place]
    world.order += 1
    event.t_us = t_us
    event.order = world.order
    world.fresh[world.n_fresh] = place
    world.n_fresh += 1


def schedule(world, t_us, kind, actor_):
    """Put a new event on the agenda and return it."""
    place = new_event(world, kind, actor_)
    put(world, place, t_us)
    return world.event[place]


def release(world, place):
    """An event has happened (or never will): its place is free."""
    world.free[world.n_free] = place
    world.n_free += 1


def enqueue(world, queue, place):
    """An event waits behind the others of a queue."""
    world.event[place].next = 0
    if queue.first == 0:
        queue.first = place + 1
    else:
        world.event[queue.last - 1].next = place + 1
    queue.last = place + 1


def dequeue(world, queue):
    """Take the first event out of a queue that has one; returns its place."""
    place = queue.first - 1
    queue.first = world.event[place].next
    return place


def release_all(world, queue):
    """Nothing in this queue will ever happen."""
    while queue.first != 0:
        release(world, dequeue(world, queue))


# --- the trace -------------------------------------------------------------------------------------------------------


def note(world, t_us, host, program, report, about, detail_us, code):
    """Add a row to the trace, at true time `t_us`; it may start the clocks of faults."""
    if world.n_triggers > 0 and t_us >= world.origin_us:
        _start_clocks(world, t_us, host, report, about)
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


def _start_clocks(world, t_us, host, report, about):
    """Faults that wait for this report get their instant, and their host where only the report tells it."""
    for index in range(world.n_faults):
        fault = world.fault[index]
        if fault.after != report:
            continue
        fault.after = 0
        fault.t_us = t_us + max(fault.t_us, TRIGGER_US)
        if fault.host == AT_LEADER or (fault.host == AT_PROMOTED and about == 0):
            fault.host = host
        elif fault.host == AT_PROMOTED:
            fault.host = about - 1
        world.n_triggers -= 1
        schedule(world, fault.t_us, FAULT, index)
