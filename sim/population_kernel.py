"""A population of SIP clients on the time line of a cluster: the compiled loop, and the state it works on.

Every member runs the client machine (`model.sip_client`) by itself. What members share is the nodes: each is a server
with one queue (`Node.free_us`), so a storm of registrations lengthens answers, and long answers bring retransmissions
and give-ups. Nodes behave as `sim.timeline` says.

The agenda is a calendar: one list of events for each `SLOT_US`, and a small heap for the slot that is now, because a
million timers in one heap would spend their time in cache misses.

A member is *in service* while its binding is alive: its node can be reached, the flow it came by lives (TCP, TLS: a
node that dies takes them along), and it has not expired. There is one for each member, whatever its flows: the last one
(see `sim.bindings`). Whether calls also find it is a matter of Redis: nodes that hang are counted apart.

Left out: what members do to each other's flows; lost datagrams; the handshake of TCP beyond one round trip; TLS 1.2;
retransmission of TCP segments to a host that comes back (they arrive at its return).
"""

from __future__ import annotations

from model import draws, sip_client
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
from sim.timeline import DEAD, FROZEN, HANGS, REFUSES, SERVES, SILENT

COUNTS_US = 1_000_000
"""Width of a slot of the curves. Kind: assumed."""

SLOT_US = 10_000
"""Width of a slot of the calendar. Kind: assumed (a few events each in a storm of a thousand a second)."""

# Kinds of events: those ...
# ... that reach a node,
SYN, HELLO, REQUEST, PING = 1, 2, 3, 4
# ... a member,
OPENED, CLOSED, ANSWER, PONG, NAMES, TIMER = 5, 6, 7, 8, 9, 10
# ... or what they share.
EXPIRY, CHANGE = 11, 12

_ANY = FAR_FUTURE_US

EVENT = Record(
    "PopulationEvent",
    "Something that will happen.",
    [
        instant("t_us", "when"),
        number("order", "events of one instant happen in this order", 0, _ANY),
        number("kind", "SYN .. CHANGE", 0, 12),
        number("member", "whom it concerns; CHANGE: which stretch", 0, _ANY),
        number("which", "timer, or flow", 0, sip_client.TIMERS),
        number("life", "of the timer, flow or binding: valid only while this is current", 0, _ANY),
        number("request", "REQUEST, ANSWER: number of the transaction", 0, _ANY),
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
        number("priority", "of its SRV record", 0, 65_535),
        number("weight", "of its SRV record", 0, 65_535),
        number("certificate", "what its certificate is", 0, 15),
    ],
)

FLOW = Record(
    "Flow",
    "A member's end of a flow.",
    [
        number("host", "1 + host of its node, 0 = none", 0, MAX_HOSTS),
        number("life", "counts its lives", 0, _ANY),
    ],
)

MEMBER = Record(
    "Member",
    "One client and what is known about it.",
    [
        nested("client", "its machine", sip_client.CLIENT),
        nested("flow", "its flows", FLOW, sip_client.MAX_FLOWS),
        number("timer_life", "of its timers", 0, _ANY, count=sip_client.TIMERS),
        number("kind", "which part of the mix it belongs to", 0, 255),
        number("asked_node", "1 + host of the node that its latest request reached, 0 = none", 0, MAX_HOSTS),
        number("asked", "number of that request", 0, _ANY),
        instant("answered_us", "when it is answered, 0 = never"),
        number("answer_code", "with what", 0, 999),
        number("answer_seconds", "its `seconds`", 0, _ANY, "s"),
        number("bound_host", "1 + host of the node of its binding, 0 = none that lives", 0, MAX_HOSTS),
        number("bound_flow", "the flow that its binding came by", 0, sip_client.MAX_FLOWS - 1),
        number("binding_life", "counts its bindings", 0, _ANY),
        flag("is_out", "it is out of service"),
        instant("out_since_us", "since when"),
        instant("first_out_us", "when it first was, 0 = never"),
        instant("back_us", "when it was last back in service"),
        duration("out_us", "time out of service so far"),
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
        number("ttl_s", "how long SRV records may be kept", 0, 604_800, "s"),
        instant("dns_stops_us", "when the name server falls silent"),
        instant("dns_starts_us", "when it answers again"),
        duration("give_up_us", "kernels give up unacknowledged data after this"),
        duration("connect_give_up_us", "and an unanswered connect after this"),
        nested("node", "nodes, by host", NODE, MAX_HOSTS),
        number("hosts", "number of hosts", 0, MAX_HOSTS),
        number("seconds", "length of the curves", 0, _ANY, "s"),
        nested("out", "output buffer of the machine", OUT),
        nested("message", "what is handed to the machine", MESSAGE),
        number("order", "events scheduled so far", 0, _ANY),
        number("free", "1 + first free place of the agenda", 0, _ANY),
        number("heap_length", "events of the slot that is now", 0, _ANY),
        number("happened", "events that happened", 0, _ANY),
        number("overflow", "1 = the agenda was too small: the run is void", 0, 1),
    ],
)


_BEHAVIOUR = 3
"""Purpose of a member's stream."""

# Rows of the counts.
OUT_OF_SERVICE, UNANSWERABLE, ARRIVED, CONFIRMED, LOST, LONGEST_WAIT = 0, 1, 2, 3, 4, 5
ROWS_BEFORE_KINDS = 6


def run(population, members, stretches, events, slots, heap, counts, seed):
    """Run the population from its start to its end.

    Parameters
    ----------
    population : POPULATION
    members : array of MEMBER
    stretches : array of STRETCH
        In order of time.
    events, slots, heap : arrays
        Places of the agenda (`EVENT`), 1 + first event of each slot, and the heap (`sim.heap`) of the slot that is now.
    counts : array of int64
        Filled, row by row of `seconds` each: those of this module, then one for each kind. See `sim.population.Curves`.
    seed : int
        Master seed of all draws.
    """
    _begin(population, members, stretches, events, slots, counts, seed)
    for slot in range(len(slots)):
        _take_slot(population, events, slots, heap, slot)
        while population.heap_length > 0 and population.overflow == 0:
            place = heap[0].place
            population.heap_length = pop(heap, population.heap_length)
            event = events[place]
            population.now_us = event.t_us
            population.happened += 1
            _happen(population, members, stretches, events, slots, counts, event)
            events[place].next = population.free
            population.free = place + 1
            _take_slot(population, events, slots, heap, slot)
        if (slot + 1) * SLOT_US % COUNTS_US == 0:
            _sample(population, stretches, counts, (slot + 1) * SLOT_US // COUNTS_US - 1)
    for index in range(len(members)):
        if members[index].is_out == 1:
            members[index].out_us += population.end_us - members[index].out_since_us


# --- the start -------------------------------------------------------------------------------------------------------


def _begin(population, members, stretches, events, slots, counts, seed):
    """Empty the agenda, put the nodes' lines on it, and every member somewhere in its refresh period."""
    population.now_us = population.start_us
    population.order = 0
    population.heap_length = 0
    population.happened = 0
    population.overflow = 0
    population.free = 1
    for place in range(len(events)):
        events[place].next = place + 2 if place + 1 < len(events) else 0
    for slot in range(len(slots)):
        slots[slot] = 0
    for index in range(len(stretches)):
        if stretches[index].t_us <= population.start_us:
            population.node[stretches[index].node].stretch = index + 1
        else:
            _schedule(population, events, slots, stretches[index].t_us, CHANGE, index)
    for index in range(len(members)):
        _settle(population, members[index], stretches, events, slots, counts, seed, index)


def _settle(population, member, stretches, events, slots, counts, seed, index):
    """A member that has long been there, registered through the node that it drew."""
    client = member.client
    draws.start(client.stream, seed, 0, index, _BEHAVIOUR)
    _fill_answer(population, client)
    population.out.n = 0
    age_us = sip_client.steady_age_us(client)
    sip_client.settle(client, population.now_us, sip_client.AS_DRAWN, age_us, population.out)
    for flow in range(client.flows):
        member.flow[flow].host = client.flow[flow].host
    _carry_out(population, member, stretches, events, slots, counts, index)
    newest = sip_client.newest_flow(client)
    lives_us = client.expires_s * 1_000_000 - age_us
    host = client.flow[newest].host - 1
    _bind(population, member, stretches, events, slots, counts, index, newest, host, lives_us)


def _fill_answer(population, client):
    client.answer_count = 0
    for host in range(population.hosts):
        if population.node[host].stretch != 0:
            client.answer_host[client.answer_count] = host
            client.answer_priority[client.answer_count] = population.node[host].priority
            client.answer_weight[client.answer_count] = population.node[host].weight
            client.answer_count += 1
    client.answer_ttl_s = population.ttl_s


# --- the calendar ----------------------------------------------------------------------------------------------------


def _schedule(population, events, slots, t_us, kind, member):
    """Put an event on the agenda and return it. What comes after the end goes to a place that never happens."""
    place = max(population.free - 1, 0)
    if events[place].next == 0:
        population.overflow = 1
    population.free = events[place].next
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
    event.next = 0
    slot = (t_us - population.start_us) // SLOT_US
    if slot < len(slots):
        event.next = slots[slot]
        slots[slot] = place + 1
    else:
        # Beyond the end: the place is free again at once.
        event.next = population.free
        population.free = place + 1
    return event


def _take_slot(population, events, slots, heap, slot):
    """Move the events of a slot into the heap."""
    listed = slots[slot]
    slots[slot] = 0
    while listed != 0:
        place = listed - 1
        event = events[place]
        listed = event.next
        push(heap, population.heap_length, event.t_us, event.order, place)
        population.heap_length += 1


# --- events ----------------------------------------------------------------------------------------------------------


def _happen(population, members, stretches, events, slots, counts, event):
    """An event is due."""
    kind = event.kind
    if kind == CHANGE:
        _change(population, members, stretches, events, slots, counts, event.member)
        return
    member = members[event.member]
    if kind == TIMER:
        if event.life == member.timer_life[event.which]:
            population.out.n = 0
            sip_client.on_timer(member.client, population.now_us, event.which, population.out)
            _carry_out(population, member, stretches, events, slots, counts, event.member)
    elif kind == EXPIRY:
        if event.life == member.binding_life:
            _unbind(population, member, stretches, counts)
    elif kind == NAMES:
        if not population.dns_stops_us <= population.now_us < population.dns_starts_us:
            _fill_answer(population, member.client)
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
            _arm(population, member, events, slots, index, effect.target, effect.delay_us)
        elif kind == CANCEL_TIMER:
            member.timer_life[effect.target] += 1
        elif kind == SEND:
            _send(population, member, events, slots, index, effect)
        elif kind == CONNECT:
            _connect(population, member, stretches, events, slots, counts, index, effect.target, effect.server)
        elif kind == CLOSE and effect.target < sip_client.MAX_FLOWS:
            _end_flow(population, member, stretches, counts, effect.target)
        elif kind == REPORT and effect.report == REGISTERED:
            _bind(
                population,
                member,
                stretches,
                events,
                slots,
                counts,
                index,
                effect.code,
                effect.about - 1,
                effect.detail_us,
            )


def _arm(population, member, events, slots, index, which, delay_us):
    member.timer_life[which] += 1
    event = _schedule(population, events, slots, population.now_us + delay_us, TIMER, index)
    event.which = which
    event.life = member.timer_life[which]


def _send(population, member, events, slots, index, effect):
    kind = effect.message.kind
    if kind == RESOLVE:
        _schedule(population, events, slots, population.now_us + population.round_trip_us, NAMES, index)
        return
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


# --- at a node -------------------------------------------------------------------------------------------------------


def _arrive(population, member, stretches, events, slots, counts, event):
    """Something that a member sent is at the host of its node."""
    node = population.node[member.flow[event.which].host - 1]
    stretch = stretches[node.stretch - 1]
    kind = event.kind
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
        _repeat(population, member, events, slots, event, stretch.end_us)
    elif kind == HELLO:
        wait_us = _occupy(population, node, population.handshake_us)
        _answer(population, member, events, slots, event, OPENED, wait_us).code = node.certificate
    elif kind == PING:
        if stretch.state == SERVES or population.answers_ping == 1:
            _answer(population, member, events, slots, event, PONG, 0)
    else:
        _serve(population, member, stretch, node, events, slots, counts, event)


def _answer(population, member, events, slots, event, kind, wait_us):
    """A node, or its kernel, answers on the flow that something came by."""
    back_us = population.now_us + wait_us + population.round_trip_us // 2
    answer = _for_flow(population, member, events, slots, back_us, kind, event.member, event.which)
    answer.request = event.request
    return answer


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


def _bind(population, member, stretches, events, slots, counts, index, flow, host, lives_us):
    """A member's binding is at this node now, for so long: a registrar keeps one for each device."""
    _release_binding(population, member)
    member.binding_life += 1
    if lives_us > 0:
        member.bound_host = host + 1
        member.bound_flow = flow
        population.node[host].bound += 1
        event = _schedule(population, events, slots, population.now_us + lives_us, EXPIRY, index)
        event.life = member.binding_life
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
        if member.first_out_us == 0:
            member.first_out_us = population.now_us
    else:
        member.back_us = population.now_us
        member.out_us += population.now_us - member.out_since_us


def _change(population, members, stretches, events, slots, counts, number_):
    """The next stretch of a node begins."""
    stretch = stretches[number_]
    node = population.node[stretch.node]
    was_away = is_away(stretches[node.stretch - 1].state)
    node.stretch = number_ + 1
    node.free_us = max(node.free_us, population.now_us)
    for index in range(len(members)):
        member = members[index]
        if stretch.state == DEAD and member.client.transport != sip_client.UDP:
            _reset_flows(population, member, stretches, events, slots, counts, index, stretch.node)
        if was_away != is_away(stretch.state):
            _review(population, member, stretches, counts)


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
