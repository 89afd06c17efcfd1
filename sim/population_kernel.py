"""A population of SIP clients on the time line of a cluster: the compiled loop, and the state it works on.

Every member runs the client machine (`model.sip_client`) by itself. What members share is the nodes: each is a server
with one queue (`Node.free_us`), so a storm of registrations lengthens answers, and long answers bring retransmissions
and give-ups. Nodes behave as `sim.timeline` says.

Most members sleep (`sim.sleepers`): one is unpacked for each event of its own, and packed again. What is under way
between members and nodes, and who wakes next, is a calendar: lists for each `SLOT_US`, and a small heap for the slot
that is now, because a million timers in one heap would spend their time in cache misses.

A member is *in service* while its binding is alive: its node can be reached, the flow it came by lives (TCP, TLS: a
node that dies takes them along), and it has not expired. There is one for each member, whatever its flows: the last one
(see `sim.bindings`). Whether calls also find it is a matter of Redis: nodes that hang are counted apart.

Left out: what members do to each other's flows; lost datagrams; the handshake of TCP beyond one round trip; TLS 1.2;
retransmission of TCP segments to a host that comes back (they arrive at its return).
"""

from __future__ import annotations

from model import draws, sip_client, srv
from model.effects import (
    CANCEL_TIMER,
    CLOSE,
    CONNECT,
    CRLF_PING,
    CRLF_PONG,
    LINK_CLOSED,
    LINK_OPEN,
    MAX_HOSTS,
    MESSAGE,
    OUT,
    REGISTERED,
    REPORT,
    RESOLVE,
    RESOLVED,
    RESPONSE,
    SEND,
    SET_TIMER,
    clear,
)
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, nested, number
from sim.heap import pop, push
from sim.sleepers import STRING, file, kind_of, pack, unfile, unpack
from sim.timeline import DEAD, FROZEN, HANGS, REFUSES, SERVES, SILENT

COUNTS_US = 1_000_000
"""Width of a slot of the curves. Kind: assumed."""

SLOT_US = 10_000
"""Width of a slot of the calendar. Kind: assumed (a few events each in a storm of a thousand a second)."""

# Kinds of events: those ...
# ... that reach a node,
SYN, HELLO, REQUEST, PING = 1, 2, 3, 4
# ... a member,
OPENED, CLOSED, ANSWER, PONG, NAMES = 5, 6, 7, 8, 9
# ... or what they share.
CHANGE = 10

_ANY = FAR_FUTURE_US

EVENT = Record(
    "PopulationEvent",
    "Something that will happen.",
    [
        instant("t_us", "when"),
        number("order", "events of one instant happen in this order", 0, _ANY),
        number("kind", "SYN .. CHANGE", 0, 10),
        number("member", "whom it concerns; CHANGE: which stretch", 0, _ANY),
        number("which", "the flow", 0, sip_client.LINKS),
        number("life", "of the flow: valid only while this is current", 0, _ANY),
        number("request", "REQUEST, ANSWER: number of the transaction; PING: see `_joins`", 0, _ANY),
        number("code", "ANSWER: status; CLOSED: why; OPENED: certificate", 0, 999),
        number("seconds", "REQUEST, ANSWER: as in a message", 0, _ANY, "s"),
        number("next", "1 + place of the next one of the slot, or of the free list", 0, _ANY),
    ],
)

STRETCH = Record(
    "StretchRow",
    "One stretch of a node's time line (see sim.timeline).",
    [
        instant("t_us", "when it begins"),
        instant("end_us", "when the next one of this node begins"),
        number("node", "host", 0, MAX_HOSTS),
        number("state", "SERVES .. DEAD", 0, 5),
        number("code", "REFUSES: status", 0, 699),
        duration("delay_us", "REFUSES: how long the answer takes"),
        instant("ready_us", "SERVES: no answer before"),
    ],
)

NODE = Record(
    "Node",
    "A registrar node as a server with one queue.",
    [
        number("stretch", "1 + number of the stretch that it is in, 0 = the host has no node", 0, _ANY),
        instant("free_us", "when it is done with what it has"),
        number("bound", "bindings that are here, alive but for the node", 0, _ANY),
        number("held", "datagrams in the buffer of its socket while it is frozen", 0, _ANY),
        number("certificate", "what its certificate is", 0, 15),
    ],
)

FLOW = Record(
    "Flow",
    "A member's end of a flow.",
    [
        number("host", "1 + host of its node, 0 = none", 0, MAX_HOSTS),
        number("life", "counts its lives", 0, _ANY),
        flag("is_held", "a keep-alive waits for a host that is silent, or a node that is frozen"),
    ],
)

MEMBER = Record(
    "Member",
    "One client and what is known about it.",
    [
        nested("client", "its machine", sip_client.CLIENT),
        nested("flow", "its flows", FLOW, sip_client.MAX_FLOWS),
        instant("timer_us", "when its timers are due, 0 = not set", sip_client.TIMERS),
        number("kind", "which part of the mix it belongs to", 0, 255),
        number("asked_node", "1 + host of the node that its latest request reached, 0 = none", 0, MAX_HOSTS),
        number("asked", "number of that request", 0, _ANY),
        instant("answered_us", "when it is answered, 0 = never"),
        number("answer_code", "with what", 0, 999),
        number("answer_seconds", "its `seconds`", 0, _ANY, "s"),
        number("bound_host", "1 + host of the node of its binding, 0 = none that lives", 0, MAX_HOSTS),
        number("bound_flow", "the flow that its binding came by", 0, sip_client.MAX_FLOWS - 1),
        instant("bound_until_us", "when its binding ends, 0 = it has none that could"),
        flag("is_out", "it is out of service"),
        instant("out_since_us", "since when"),
        instant("back_us", "when it was last back in service, 0 = never"),
        duration("out_us", "time out of service so far"),
    ],
)

LIFE = Record(
    "Life",
    "What became of a member.",
    [
        duration("out_us", "its time out of service"),
        instant("back_us", "when it was last back in service, 0 = it never was out, or still is"),
    ],
)

POPULATION = Record(
    "Population",
    "What the members share.",
    [
        instant("start_us", "beginning"),
        instant("end_us", "end"),
        instant("now_us", "now"),
        duration("round_trip_us", "between a member and a node, or the name server"),
        duration("service_us", "processor time of a node for a REGISTER"),
        duration("handshake_us", "the same for a TLS handshake"),
        number("queue_limit", "requests by UDP that wait for a node; more are lost", 0, _ANY),
        number("retry_after_s", "Retry-After of a refusal, 0 = none", 0, _ANY, "s"),
        number("answers_ping", "1 = nodes answer keep-alives also while they refuse", 0, 1),
        instant("dns_stops_us", "when the name server falls silent"),
        instant("dns_starts_us", "when it answers again"),
        duration("give_up_us", "kernels give up unacknowledged data after this"),
        duration("connect_give_up_us", "and an unanswered connect after this"),
        nested("node", "nodes, by host", NODE, MAX_HOSTS),
        number("hosts", "number of hosts", 0, MAX_HOSTS),
        number("seconds", "length of the curves", 0, _ANY, "s"),
        nested("out", "output buffer of the machine", OUT),
        nested("message", "what is handed to the machine", MESSAGE),
        number("seed", "master seed of all draws", 0, _ANY),
        number("order", "events scheduled so far", 0, _ANY),
        number("free", "1 + first free place of the agenda that was used before", 0, _ANY),
        number("places", "places of the agenda ever used; the first one is nobody's", 0, _ANY),
        number("heap_length", "events of the slot that is now", 0, _ANY),
        nested("string", "of bits that a sleeper is made of", STRING),
        number("overflow", "1 = the agenda was too small: the run is void", 0, 1),
    ],
)


_BEHAVIOUR = 3
"""Purpose of a member's stream."""

# Rows of the counts.
OUT_OF_SERVICE, UNANSWERABLE, ARRIVED, CONFIRMED, LOST, LONGEST_WAIT = 0, 1, 2, 3, 4, 5
ROWS_BEFORE_KINDS = 6


def run(population, member, words, prototypes, sleepers, spill, stretches, events, slots, beds, heap, counts, lives):
    """Run the population from its start to its end.

    Parameters
    ----------
    population : POPULATION
    member, words : MEMBER, array of int64
        Room for the one member that is awake, and the same memory as integers.
    prototypes : array of int64
        What the members of each kind are made of.
    sleepers, spill : arrays of SLEEPER, SPILL
        The members, and room for what does not fit into one. `word[0]` holds the number of its kind.
    stretches : array of STRETCH
        In order of time.
    events, slots, beds, heap : arrays
        Places of the agenda (`EVENT`), 1 + first event of each slot, 1 + first sleeper that wakes in each, and the heap
        (`sim.heap`) of the slot that is now; there, places from ``len(events)`` on are sleepers.
    counts : array of int64
        Filled, row by row of `seconds` each: those of this module, then one for each kind. See `sim.population.Curves`.
    lives : array of LIFE
        Filled.
    """
    _begin(population, stretches, events, slots)
    for index in range(len(sleepers)):
        if population.overflow == 1:
            return
        _rise(population, member, words, prototypes, kind_of(sleepers[index]), index)
        _settle(population, member, stretches, events, slots, counts, index)
        _sleep(population, member, words, prototypes, sleepers, spill, beds, index)
    for slot in range(len(slots)):
        _take_slot(population, events, slots, sleepers, beds, heap, slot)
        while population.heap_length > 0 and population.overflow == 0:
            place = heap[0].place
            population.now_us = heap[0].t_us
            population.heap_length = pop(heap, population.heap_length)
            if place >= len(events):
                index = place - len(events)
                if sleepers[index].due_us == population.now_us:  # else it was woken since
                    sleepers[index].due_us = 0
                    _wake(population, member, words, prototypes, sleepers, spill, index)
                    _ring(population, member, stretches, events, slots, counts, index)
                    _sleep(population, member, words, prototypes, sleepers, spill, beds, index)
            elif events[place].kind == CHANGE:
                number_ = events[place].member
                _release(population, events, place)
                _change(
                    population, member, words, prototypes, sleepers, spill, stretches, events, slots, beds, counts,
                    number_,
                )  # fmt: skip
            else:
                index = events[place].member
                _wake(population, member, words, prototypes, sleepers, spill, index)
                _happen(population, member, stretches, events, slots, counts, events[place])
                _release(population, events, place)
                _sleep(population, member, words, prototypes, sleepers, spill, beds, index)
            _take_slot(population, events, slots, sleepers, beds, heap, slot)
        if (slot + 1) * SLOT_US % COUNTS_US == 0:
            _sample(population, stretches, counts, (slot + 1) * SLOT_US // COUNTS_US - 1)
    for index in range(len(sleepers)):
        if population.overflow == 1:
            return
        _wake(population, member, words, prototypes, sleepers, spill, index)
        _sum_up(population, member, lives[index])


# --- members ---------------------------------------------------------------------------------------------------------


def _rise(population, member, words, prototypes, kind, index):
    """Make `member` one that has just been made: its kind, and what is its own by its number."""
    for place in range(len(words)):
        words[place] = prototypes[kind * len(words) + place]
    member.client.me = index % 255
    # What a program draws once for all its life differs from member to member.
    member.client.hash_key = index * 2_654_435_761 % srv.HASH_KEYS
    draws.start(member.client.stream, population.seed, 0, index, _BEHAVIOUR)


def _wake(population, member, words, prototypes, sleepers, spill, index):
    """Make `member` the one that sleeps there."""
    _rise(population, member, words, prototypes, kind_of(sleepers[index]), index)
    unpack(population.string, sleepers[index], spill, words)


def _sleep(population, member, words, prototypes, sleepers, spill, beds, index):
    """Pack `member`, and file it by its next timer."""
    sleeper = sleepers[index]
    pack(population.string, sleeper, spill, words, prototypes, member.kind)
    population.overflow |= population.string.overflow
    due_us = _due_us(member)
    if due_us >= population.end_us:
        due_us = 0
    if due_us == sleeper.due_us:
        return
    unfile(sleepers, beds, index)
    sleeper.due_us = due_us
    if due_us != 0:
        file(sleepers, beds, index, (due_us - population.start_us) // SLOT_US)


def _due_us(member):
    """When something is due for a member by itself, 0 = never."""
    due_us = member.bound_until_us
    for which in range(sip_client.TIMERS):
        timer_us = member.timer_us[which]
        if timer_us != 0 and (due_us == 0 or timer_us < due_us):
            due_us = timer_us
    return due_us


def _ring(population, member, stretches, events, slots, counts, index):
    """What is due for a member: one timer, or the end of its binding."""
    if member.bound_until_us == population.now_us:
        member.bound_until_us = 0
        _unbind(population, member, stretches, counts)
        return
    which = 0
    while member.timer_us[which] != population.now_us:
        which += 1
    member.timer_us[which] = 0
    population.out.n = 0
    sip_client.on_timer(member.client, population.now_us, which, population.out)
    _carry_out(population, member, stretches, events, slots, counts, index)


def _sum_up(population, member, life):
    """What became of a member."""
    life.out_us = member.out_us
    life.back_us = member.back_us
    if member.is_out == 1:
        life.out_us += population.end_us - member.out_since_us
        life.back_us = 0


# --- the start -------------------------------------------------------------------------------------------------------


def _begin(population, stretches, events, slots):
    """Empty the agenda, and put the nodes' lines on it."""
    population.now_us = population.start_us
    population.places = 1
    population.string.origin_us = population.start_us
    for index in range(len(stretches)):
        if stretches[index].t_us <= population.start_us:
            population.node[stretches[index].node].stretch = index + 1
        else:
            _schedule(population, events, slots, stretches[index].t_us, CHANGE, index)


def _settle(population, member, stretches, events, slots, counts, index):
    """A member that has long been there, somewhere in its refresh period, registered through the node that it drew."""
    client = member.client
    population.out.n = 0
    age_us = sip_client.steady_age_us(client)
    sip_client.settle(client, population.now_us, sip_client.AS_DRAWN, age_us, population.out)
    for flow in range(client.flows):
        member.flow[flow].host = client.flow[flow].host
    _carry_out(population, member, stretches, events, slots, counts, index)
    newest = sip_client.newest_flow(client)
    lives_us = client.expires_s * 1_000_000 - age_us
    _bind(population, member, stretches, counts, newest, client.flow[newest].host - 1, lives_us)


# --- the calendar ----------------------------------------------------------------------------------------------------


def _schedule(population, events, slots, t_us, kind, member):
    """Put an event on the agenda and return it. What comes after the end is nowhere: its place is free again."""
    place = population.free - 1
    if place >= 0:
        population.free = events[place].next
    elif population.places < len(events):
        place = population.places
        population.places += 1
    else:
        population.overflow = 1
        return events[0]  # on no list: the run is void
    event = events[place]
    population.order += 1
    event.t_us = t_us
    event.order = population.order
    event.kind = kind
    event.member = member
    event.which = 0
    event.life = 0
    event.request = 0
    event.code = 0
    event.seconds = 0
    slot = (t_us - population.start_us) // SLOT_US
    if slot < len(slots):
        event.next = slots[slot]
        slots[slot] = place + 1
    else:
        _release(population, events, place)
    return event


def _release(population, events, place):
    """A place of the agenda is free."""
    events[place].next = population.free
    population.free = place + 1


def _take_slot(population, events, slots, sleepers, beds, heap, slot):
    """Move what a slot holds into the heap."""
    listed = slots[slot]
    slots[slot] = 0
    while listed != 0:
        event = events[listed - 1]
        push(heap, population.heap_length, event.t_us, event.order, listed - 1)
        population.heap_length += 1
        listed = event.next
    listed = beds[slot]
    beds[slot] = 0
    while listed != 0:
        sleeper = sleepers[listed - 1]
        population.order += 1
        push(heap, population.heap_length, sleeper.due_us, population.order, len(events) + listed - 1)
        population.heap_length += 1
        sleeper.back = 0
        listed = sleeper.next


# --- events ----------------------------------------------------------------------------------------------------------


def _happen(population, member, stretches, events, slots, counts, event):
    """An event is due that concerns a member."""
    kind = event.kind
    if kind == NAMES:
        if not population.dns_stops_us <= population.now_us < population.dns_starts_us:
            _tell(population, member, stretches, events, slots, counts, event, sip_client.DNS_LINK, RESOLVED)
    elif event.life != member.flow[event.which].life:
        return
    elif kind <= PING:
        _arrive(population, member, stretches, events, slots, counts, event)
    elif kind == OPENED:
        _tell(population, member, stretches, events, slots, counts, event, event.which, LINK_OPEN)
    elif kind == CLOSED:
        _tell(population, member, stretches, events, slots, counts, event, event.which, LINK_CLOSED)
    elif kind == ANSWER:
        _tell(population, member, stretches, events, slots, counts, event, event.which, RESPONSE)
    else:
        _tell(population, member, stretches, events, slots, counts, event, event.which, CRLF_PONG)


def _tell(population, member, stretches, events, slots, counts, event, link, kind):
    """Hand a message to a member's machine, and carry out what it wants."""
    message = population.message
    clear(message)
    message.kind = kind
    message.request = event.request
    message.code = event.code
    message.seconds = event.seconds
    population.out.n = 0
    sip_client.on_message(member.client, population.now_us, link, message, population.out)
    _carry_out(population, member, stretches, events, slots, counts, event.member)


def _carry_out(population, member, stretches, events, slots, counts, index):
    """Carry out the effects in the output buffer, in order."""
    for number_ in range(population.out.n):
        effect = population.out.effects[number_]
        kind = effect.kind
        if kind == SET_TIMER:
            member.timer_us[effect.target] = population.now_us + effect.delay_us
        elif kind == CANCEL_TIMER:
            member.timer_us[effect.target] = 0
        elif kind == SEND:
            _send(population, member, events, slots, index, effect)
        elif kind == CONNECT:
            _connect(population, member, stretches, events, slots, counts, index, effect.target, effect.server)
        elif kind == CLOSE and effect.target < sip_client.MAX_FLOWS:
            _end_flow(population, member, stretches, counts, effect.target)
        elif kind == REPORT and effect.report == REGISTERED:
            _bind(population, member, stretches, counts, effect.code, effect.about - 1, effect.detail_us)


def _send(population, member, events, slots, index, effect):
    kind = effect.message.kind
    if kind == RESOLVE:
        _schedule(population, events, slots, population.now_us + population.round_trip_us, NAMES, index)
        return
    if kind == CRLF_PING and member.client.transport == sip_client.UDP:
        return  # nobody answers it
    there_us = population.now_us + population.round_trip_us // 2
    event = _for_flow(
        population, member, events, slots, there_us, PING if kind == CRLF_PING else REQUEST, index, effect.target
    )
    event.request = effect.message.request
    event.seconds = effect.message.seconds


def _connect(population, member, stretches, events, slots, counts, index, flow, host):
    """A member opens a flow; nobody needs to be asked about a flow of datagrams."""
    _end_flow(population, member, stretches, counts, flow)
    member.flow[flow].host = host + 1
    if member.client.transport == sip_client.UDP:
        _for_flow(population, member, events, slots, population.now_us, OPENED, index, flow)
    else:
        there_us = population.now_us + population.round_trip_us // 2
        _for_flow(population, member, events, slots, there_us, SYN, index, flow)


def _for_flow(population, member, events, slots, t_us, kind, index, flow):
    """Schedule something that concerns this life of a flow."""
    event = _schedule(population, events, slots, t_us, kind, index)
    event.which = flow
    event.life = member.flow[flow].life
    return event


def _end_flow(population, member, stretches, counts, flow):
    """A flow is over; a binding that came by it cannot be reached any more, except by datagrams."""
    if member.client.transport != sip_client.UDP and member.bound_flow == flow:
        _unbind(population, member, stretches, counts)
    member.flow[flow].life += 1
    member.flow[flow].host = 0
    member.flow[flow].is_held = 0


# --- at a node -------------------------------------------------------------------------------------------------------


def _arrive(population, member, stretches, events, slots, counts, event):
    """Something that a member sent is at the host of its node."""
    node = population.node[member.flow[event.which].host - 1]
    stretch = stretches[node.stretch - 1]
    kind = event.kind
    if kind == PING and _joins(stretch, member.flow[event.which], event):
        return
    if stretch.state == SILENT:
        _fall_silent(population, member, events, slots, event, stretch.end_us)
    elif stretch.state == DEAD:
        code = sip_client.ICMP_ERROR if member.client.transport == sip_client.UDP else 0
        _answer(population, member, events, slots, event, CLOSED, 0).code = code
    elif kind == SYN:
        if member.client.transport == sip_client.TLS:
            there_us = population.now_us + population.round_trip_us
            _for_flow(population, member, events, slots, there_us, HELLO, event.member, event.which)
        else:
            _answer(population, member, events, slots, event, OPENED, 0)
    elif stretch.state == FROZEN:
        _wait(population, member, stretch, node, events, slots, counts, event)
    elif kind == HELLO:
        wait_us = _occupy(population, node, population.handshake_us)
        _answer(population, member, events, slots, event, OPENED, wait_us).code = node.certificate
    elif kind == PING:
        if stretch.state == SERVES or population.answers_ping == 1:
            _answer(population, member, events, slots, event, PONG, 0)
    else:
        _serve(population, member, stretch, node, events, slots, counts, event)


def _joins(stretch, flow, event):
    """True for a keep-alive that finds another one waiting for a silent host or a frozen node: that does for both.

    `request` of the one that waits is 1.
    """
    waits = 1 if stretch.state == FROZEN or stretch.state == SILENT else 0
    if waits == 1 and flow.is_held == 1 and event.request == 0:
        return True
    flow.is_held = waits
    event.request = waits
    return False


def _answer(population, member, events, slots, event, kind, wait_us):
    """A node, or its kernel, answers on the flow that something came by."""
    back_us = population.now_us + wait_us + population.round_trip_us // 2
    answer = _for_flow(population, member, events, slots, back_us, kind, event.member, event.which)
    answer.request = event.request
    return answer


def _wait(population, member, stretch, node, events, slots, counts, event):
    """What comes to a frozen node waits in its kernel; for datagrams there is not much room."""
    if member.client.transport == sip_client.UDP:
        if node.held >= population.queue_limit:
            counts[_cell(population, LOST, (population.now_us - population.start_us) // COUNTS_US)] += 1
            return
        node.held += 1
    _repeat(population, member, events, slots, event, stretch.end_us)


def _repeat(population, member, events, slots, event, t_us):
    """The same arrives (or is looked at) later."""
    copy = _for_flow(population, member, events, slots, t_us, event.kind, event.member, event.which)
    copy.request = event.request
    copy.seconds = event.seconds


def _fall_silent(population, member, events, slots, event, back_us):
    """A host that is gone: datagrams are lost, kernels go on sending segments until they give up."""
    if member.client.transport == sip_client.UDP:
        return
    limit_us = population.connect_give_up_us if event.kind == SYN else population.give_up_us
    if population.now_us + limit_us < back_us:
        _for_flow(population, member, events, slots, population.now_us + limit_us, CLOSED, event.member, event.which)
    else:
        _repeat(population, member, events, slots, event, back_us)


def _occupy(population, node, work_us):
    """Put work into a node's queue; returns how long it takes until it is done."""
    node.free_us = max(node.free_us, population.now_us) + work_us
    return node.free_us - population.now_us


def _cell(population, row, second):
    """Where a count of a second stands."""
    return row * population.seconds + second


def _serve(population, member, stretch, node, events, slots, counts, event):
    """A REGISTER at a node that runs. What a server transaction knows costs nothing more."""
    slot = (population.now_us - population.start_us) // COUNTS_US
    counts[_cell(population, ARRIVED, slot)] += 1
    if member.asked == event.request + 1 and member.asked_node == stretch.node + 1:
        if population.now_us >= member.answered_us > 0:
            _answer_register(population, member, events, slots, event, 0)
        return
    waiting_us = max(node.free_us - population.now_us, 0)
    if member.client.transport == sip_client.UDP and waiting_us > population.queue_limit * population.service_us:
        counts[_cell(population, LOST, slot)] += 1
        return
    counts[_cell(population, LONGEST_WAIT, slot)] = max(counts[_cell(population, LONGEST_WAIT, slot)], waiting_us)
    wait_us = _occupy(population, node, population.service_us)
    member.asked = event.request + 1
    member.asked_node = stretch.node + 1
    member.answered_us = 0
    if stretch.state == HANGS:
        return
    if stretch.state == REFUSES:
        wait_us += stretch.delay_us
        member.answer_code = stretch.code
        member.answer_seconds = population.retry_after_s
    else:
        wait_us = max(wait_us, stretch.ready_us - population.now_us)
        member.answer_code = 200
        member.answer_seconds = event.seconds
        counts[_cell(population, CONFIRMED, slot)] += 1
    member.answered_us = population.now_us + wait_us
    _answer_register(population, member, events, slots, event, wait_us)


def _answer_register(population, member, events, slots, event, wait_us):
    answer = _answer(population, member, events, slots, event, ANSWER, wait_us)
    answer.code = member.answer_code
    answer.seconds = member.answer_seconds


# --- service ---------------------------------------------------------------------------------------------------------


def _bind(population, member, stretches, counts, flow, host, lives_us):
    """A member's binding is at this node now, for so long: a registrar keeps one for each device."""
    _release_binding(population, member)
    member.bound_until_us = 0
    if lives_us > 0:
        member.bound_host = host + 1
        member.bound_flow = flow
        member.bound_until_us = population.now_us + lives_us
        population.node[host].bound += 1
    _review(population, member, stretches, counts)


def _unbind(population, member, stretches, counts):
    """A member's binding is worth nothing any more."""
    _release_binding(population, member)
    _review(population, member, stretches, counts)


def _release_binding(population, member):
    if member.bound_host != 0:
        population.node[member.bound_host - 1].bound -= 1
        member.bound_host = 0


def is_away(state):
    """True for a node that nobody can be reached through."""
    return state == FROZEN or state == SILENT or state == DEAD


def _review(population, member, stretches, counts):
    """Note when a member falls out of service, or is back."""
    is_out = 1
    if member.bound_host != 0:
        stretch = population.node[member.bound_host - 1].stretch
        is_out = 1 if is_away(stretches[stretch - 1].state) else 0
    if is_out == member.is_out:
        return
    member.is_out = is_out
    slot = min((population.now_us - population.start_us) // COUNTS_US, population.seconds - 1)
    change = 1 if is_out == 1 else -1
    counts[_cell(population, OUT_OF_SERVICE, slot)] += change
    counts[_cell(population, ROWS_BEFORE_KINDS + member.kind, slot)] += change
    if is_out == 1:
        member.out_since_us = population.now_us
    else:
        member.back_us = population.now_us
        member.out_us += population.now_us - member.out_since_us


def _change(population, member, words, prototypes, sleepers, spill, stretches, events, slots, beds, counts, number_):
    """The next stretch of a node begins."""
    stretch = stretches[number_]
    node = population.node[stretch.node]
    was_away = is_away(stretches[node.stretch - 1].state)
    node.stretch = number_ + 1
    node.held = 0
    node.free_us = max(node.free_us, population.now_us)
    if stretch.state != DEAD and was_away == is_away(stretch.state):
        return
    for index in range(len(sleepers)):
        if population.overflow == 1:
            return
        _wake(population, member, words, prototypes, sleepers, spill, index)
        if stretch.state == DEAD and member.client.transport != sip_client.UDP:
            _reset_flows(population, member, stretches, events, slots, counts, index, stretch.node)
        _review(population, member, stretches, counts)
        _sleep(population, member, words, prototypes, sleepers, spill, beds, index)


def _reset_flows(population, member, stretches, events, slots, counts, index, host):
    """The node has died: its kernel closes its connections."""
    for flow in range(sip_client.MAX_FLOWS):
        if member.flow[flow].host == host + 1:
            there_us = population.now_us + population.round_trip_us // 2
            _for_flow(population, member, events, slots, there_us, CLOSED, index, flow)
            if member.bound_flow == flow:
                _unbind(population, member, stretches, counts)


def _sample(population, stretches, counts, slot):
    """Count, at the end of a slot of the curves, the members whose node cannot look anybody up."""
    for host in range(population.hosts):
        node = population.node[host]
        if node.stretch != 0 and stretches[node.stretch - 1].state == HANGS:
            counts[_cell(population, UNANSWERABLE, slot)] += node.bound
