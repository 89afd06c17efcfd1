"""A SIP client (a phone) that registers through one of several nodes and fails over among them.

One machine serves all classes of clients: what a class does its own way is data, the `BEHAVIOUR` in its state
(`model.client_classes` fills it in).

A *request* is one wish to register; it takes one *transaction* (a REGISTER to one node, Timers E and F of RFC 3261
section 17.1.2) or several. Phases of a flow are in capitals; "request" and "node" are points of choice::

                  look-up due              names             flow open
    boot--> request --------> RESOLVING ----------> node ----------------> REGISTERING ---2xx---> IDLE
            ^  ^  |               |                 ^ ^ |                   ^     |               |  |
            |  |  +--names known--|-----------------+ | +--> CONNECTING ----+     |               |  |
            |  |                  |                   |          |     open,      |               |  |
            |  |                  |                   |          |     trusted    |               |  |
            |  |                  |                   |          v                v               |  |
            |  |                  |                   +--next----+-----failed-----+               |  |
            |  |                  | no names             at once | else                           |  |
            |  |                  v                              v                      flow lost |  |
            |  +--pause over-- WAITING <-------------------------+--------------------------------+  |
            |                                                                                        |
            +-----------------------------------refresh----------------------------------------------+

There may be answers after which a class never tries again: GAVE_UP. A flow that is lost without being noticed stays
IDLE. With RFC 5626 there are two such flows, to different nodes.

Contract with the driver

* Links: FLOW and SECOND_FLOW (only with `flows` = 2) go to a node by the client's transport; DNS_LINK is the resolver.
* CONNECT on a flow: the driver answers LINK_OPEN (UDP: at once; TLS: after the handshake, `code` = what the certificate
  is) or LINK_CLOSED. After CLOSE nothing of the flow arrives any more.
* LINK_CLOSED: code 0 = refused, unreachable, closed or reset: the flow is gone. Code ICMP_ERROR, UDP only: the flow
  stays open unless the machine closes it.
* SEND on a flow: REGISTER with `request` = number of the transaction (copies carry the same), `client` = 1 + me,
  `seconds` = lifetime asked for, `code` = status of the challenge that it answers (401, 407; 0 = none); or CRLF_PING.
  Answers are RESPONSE with the same `request`, and CRLF_PONG (over UDP it is ignored: there no server answers CRLF).
* SEND of RESOLVE on DNS_LINK: the driver fills `answer_count`, `answer_host`, `answer_priority`, `answer_weight` and
  `answer_ttl_s`, then answers RESOLVED with code FOUND, NO_NAME (`answer_ttl_s` = how long that may be kept) or
  DNS_FAILURE. A single record "." is NO_NAME. Silence is the machine's business.

Left out: NAPTR and the fall-back to address records (one zone, SRV only), several addresses of one name, redirection,
STUN, keep-alives of dialogs, Timer K (answers to a transaction that is over are ignored anyway), and network changes of
the phone's own.
"""

from __future__ import annotations

from model import draws, srv
from model.effects import (
    ATTEMPT,
    CRLF_PING,
    CRLF_PONG,
    FAILED,
    FLOW_LOST,
    LINK_CLOSED,
    LINK_OPEN,
    MAX_HOSTS,
    NAMES_RESOLVED,
    NAMES_UNRESOLVED,
    REGISTER,
    REGISTERED,
    RESOLVE,
    RESOLVED,
    RESPONSE,
    UNTRUSTED,
    cancel_timer,
    close,
    connect,
    report,
    send,
    set_timer,
)
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, nested, number

# Transports.
UDP, TCP, TLS = 0, 1, 2

# Links.
FLOW, SECOND_FLOW, DNS_LINK = 0, 1, 2
LINKS = 3

MAX_FLOWS = 2
"""Most flows to nodes at once. Kind: assumed (RFC 5626 section 4.2 asks for two or more)."""

FLOW_SPACING_US = 1_000
"""Of two flows of a client that has long been there, one registers so much later than the other, in µs.

Kind: assumed (52 real pairs in the lab: 0.2 ms to 0.9 s; the order of a pair stays as it is, since each flow refreshes
so long after its own answer)."""

FIRST_FLOW_LAST_PERCENT = 75
"""How often it is the first flow that registered last. Kind: measured (39 of 52 real pairs; the lab's phones prefer the
node of their first flow, and a busier node answers later)."""

# What a certificate is, added up: `code` of LINK_OPEN of a TLS flow.
NAMES_DOMAIN, NAMES_HOST, NAMES_BY_WILDCARD, IS_VALID = 1, 2, 4, 8

# Codes of FLOW_LOST; the last one of LINK_CLOSED too.
CLOSED, NO_PONG, ICMP_ERROR = 1, 2, 3

# Codes of RESOLVED and of NAMES_UNRESOLVED.
FOUND, NO_NAME, DNS_FAILURE, NO_ANSWER = 0, 1, 2, 3

# Phases of a flow. IDLE = registered, as far as the client knows, until the next refresh.
OFF, RESOLVING, CONNECTING, REGISTERING, IDLE, WAITING, GAVE_UP = 0, 1, 2, 3, 4, 5, 6

# Timers: these for each flow (number = flow * TIMERS_PER_FLOW + timer), and one of the resolver.
TIMER_ATTEMPT, TIMER_RETRANSMIT, TIMER_LIMIT, TIMER_PING, TIMER_PONG = 0, 1, 2, 3, 4
TIMERS_PER_FLOW = 5
TIMER_RESOLVE = 10
TIMERS = 11

T1_US = 500_000
"""First interval between two copies of a request over UDP, in µs. Kind: specified (RFC 3261 section 17.1.2.1)."""

T2_US = 4_000_000
"""Longest such interval, in µs. Kind: specified (RFC 3261 section 17.1.2.1)."""

TIMER_F_US = 64 * T1_US
"""A transaction without a final answer ends after this, in µs. Kind: specified (RFC 3261 section 17.1.2.1)."""

MAX_LIFETIME_S = (1 << 32) - 1
"""Longest lifetime of a registration, in s. Kind: specified (RFC 3261 section 20.19)."""

MAX_FAILURES = 30
"""Failures in a row are counted up to here: every pause has reached its limit by then. Kind: assumed."""

# When a class asks the DNS (or its cache) and draws anew: for a new flow, or for each request.
PER_FLOW, PER_REQUEST = 0, 1

# What follows when a node has failed: the same node after a pause, the next of the list after a pause or at once, or
# after a pause whatever a new draw says.
STAY, NEXT_LATER, NEXT_AT_ONCE, AFRESH = 0, 1, 2, 3

# Whether a flow without an answer to its ping is dead.
NO_PONG_NEEDED, NEEDED_ONCE_SEEN, PONG_NEEDED = 0, 1, 2

# When the end of an idle connection is noticed.
NOT, AT_ONCE, AT_PING = 0, 1, 2

# Pauses that are no lengths.
BY_RETRY_LAW, NEVER = -1, -2

# State of a link. BROKEN = its end will be noticed at the next keep-alive.
NO_LINK, OPENING, OPEN, BROKEN = 0, 1, 2, 3

AS_DRAWN = -1
"""Stands for the host that comes first in the client's own order (`settle`)."""

_NOWHERE = -1


BEHAVIOUR = Record(
    "Behaviour",
    "What a class of SIP clients does its own way, by its transport.",
    [
        number("srv_order", "order of an SRV answer: see model.srv", srv.RFC2782, srv.FIRST),
        duration("dns_timeout_us", "the DNS is given up after this"),
        number("draws_anew", "PER_FLOW or PER_REQUEST", PER_FLOW, PER_REQUEST),
        flag("caches", "an answer serves new flows and requests until its TTL ends"),
        duration("cache_limit_us", "an answer is kept no longer than this"),
        flag("keeps_ttl_0", "a TTL of 0 means that the answer never gets old"),
        duration("absence_limit_us", "the absence of records is known no longer than this, 0 = not kept"),
        flag("uses_stale", "an answer whose TTL has ended still serves when the DNS fails"),
        flag("keeps_node", "a new look-up does not move it from its node as long as that is listed"),
        number("on_timeout", "what follows Timer F: STAY .. AFRESH", STAY, AFRESH),
        number(
            "on_no_connection",
            "what follows a failed connection (also: certificate, ICMP error): STAY .. AFRESH",
            STAY,
            AFRESH,
        ),
        number(
            "on_closed",
            "what follows the end of an open connection in a transaction; AFRESH: of an idle one, too: STAY .. AFRESH",
            STAY,
            AFRESH,
        ),
        number("on_unavailable", "what follows a 503: STAY .. AFRESH", STAY, AFRESH),
        number("on_server_error", "what follows a 500: STAY .. AFRESH", STAY, AFRESH),
        duration("connect_limit_us", "a connection that is not open by then has failed; 0 = Timer F covers it, too"),
        flag("checks_certificate", "a certificate must be valid and name the node in one of the accepted ways"),
        number("accepted_names", "those ways: NAMES_DOMAIN, NAMES_HOST, NAMES_BY_WILDCARD, added up", 0, 7),
        number(
            "notices_close", "the end of an idle connection makes it register anew: NOT, AT_ONCE, AT_PING", NOT, AT_PING
        ),
        flag("notices_icmp", "an ICMP error on a UDP flow is noticed"),
        duration("ping_min_us", "shortest pause between two keep-alives"),
        duration("ping_max_us", "longest pause between them, 0 = none are sent"),
        duration("pong_limit_us", "an answer to a keep-alive is overdue after this"),
        number("pong_rule", "NO_PONG_NEEDED, NEEDED_ONCE_SEEN or PONG_NEEDED", NO_PONG_NEEDED, PONG_NEEDED),
        duration("silence_us", "Timer F counts against the node only if nothing at all came from it for this long"),
        number("refresh_low_percent", "part of the lifetime after which it refreshes, at least", 1, 100, "%"),
        number("refresh_high_percent", "the same, at most; the part is uniform in between", 1, 100, "%"),
        duration("refresh_margin_us", "and this much earlier"),
        duration("retry_first_us", "retry law: longest pause after the first failure in a row"),
        duration("retry_next_us", "after the second one; doubled for each further one"),
        duration("retry_limit_us", "up to this"),
        duration("retry_beside_us", "after the first one while the other flow is up; doubled for each further one"),
        number("retry_low_percent", "shortest pause, as a part of the longest; uniform in between", 0, 100, "%"),
        duration("retry_spread_us", "the range reaches this much further on both sides"),
        number(
            "lost_flow_pause_us",
            "pause after the loss of an idle flow, or BY_RETRY_LAW, NEVER",
            NEVER,
            FAR_FUTURE_US,
            "us",
        ),
        number(
            "timeout_pause_us",
            "pause after Timer F (for NEXT_LATER see _on_timeout), or BY_RETRY_LAW, NEVER",
            NEVER,
            FAR_FUTURE_US,
            "us",
        ),
        number(
            "unavailable_pause_us",
            "pause after a 503 without Retry-After, or BY_RETRY_LAW, NEVER",
            NEVER,
            FAR_FUTURE_US,
            "us",
        ),
        number(
            "error_pause_us",
            "pause after 404, 480 or 500 without Retry-After, or BY_RETRY_LAW, NEVER",
            NEVER,
            FAR_FUTURE_US,
            "us",
        ),
        number(
            "refused_pause_us", "pause after any other final answer, or BY_RETRY_LAW, NEVER", NEVER, FAR_FUTURE_US, "us"
        ),
        number("global_pause_us", "pause after 501, 505 and 6xx, or BY_RETRY_LAW, NEVER", NEVER, FAR_FUTURE_US, "us"),
        flag("obeys_retry_after", "Retry-After of 404, 480, 500 and 503 is the pause"),
        flag("avoids_unavailable", "a node that answers 503 is left out for as long as Retry-After says"),
    ],
)

FLOW_STATE = Record(
    "Flow",
    "A flow to a node.",
    [
        number("phase", "OFF .. GAVE_UP", OFF, GAVE_UP),
        number("link", "NO_LINK, OPENING, OPEN or BROKEN, as far as the client knows", NO_LINK, BROKEN),
        number("host", "1 + number of the host of its node, 0 = none chosen", 0, MAX_HOSTS),
        number("position", "where that stood in the list when it was chosen", 0, MAX_HOSTS),
        number("transaction", "number of the open transaction, 0 = none", 0, FAR_FUTURE_US),
        duration("interval_us", "time to its next copy"),
        number("asked_s", "lifetime that it asks for", 0, MAX_LIFETIME_S, "s"),
        duration("age_us", "how old its first registration passes for; 0 after that"),
        number("challenge", "status of the challenge that it answers, 0 = none", 0, 699),
        number("failures", "failures in a row that the retry law counts", 0, MAX_FAILURES),
        number("granted_s", "lifetime granted last", 0, MAX_LIFETIME_S, "s"),
        instant("registered_us", "when that was"),
        instant("heard_us", "when its node was heard last, 0 = not yet"),
        flag("is_registered", "registered over the open flow"),
        flag("pings", "the keep-alive timer runs"),
        flag("awaits_pong", "a keep-alive is unanswered"),
        flag("had_pong", "one was answered on this flow"),
    ],
)

CLIENT = Record(
    "SipClient",
    "A SIP client that fails over among the nodes of an SRV answer.",
    [
        number("me", "its number", 0, 254),
        number("transport", "UDP, TCP or TLS", UDP, TLS),
        number("expires_s", "lifetime that it asks for", 1, MAX_LIFETIME_S, "s"),
        number("starts_on", "1 + number of the host that the first selection takes, 0 = as drawn", 0, MAX_HOSTS),
        number("flows", "flows to different nodes at once", 1, MAX_FLOWS),
        flag("has_credentials", "it can answer a challenge (the driver can)"),
        nested("behaviour", "what its class does its own way", BEHAVIOUR),
        nested("stream", "its random numbers", draws.STREAM),
        number("hash_key", "key of its SRV order (model.srv.HASH)", 0, srv.HASH_KEYS - 1),
        number("min_expires_s", "largest Min-Expires that it was told", 0, MAX_LIFETIME_S, "s"),
        flag("is_resolving", "a query is open"),
        number("answer_count", "records of the last answer of the DNS", 0, MAX_HOSTS),
        number("answer_host", "their targets: numbers of hosts", 0, MAX_HOSTS - 1, count=MAX_HOSTS),
        number("answer_priority", "their priorities", 0, 65_535, count=MAX_HOSTS),
        number("answer_weight", "their weights", 0, 65_535, count=MAX_HOSTS),
        number("answer_taken", "1 = already in the order that is being made", 0, 1, count=MAX_HOSTS),
        number("answer_ttl_s", "how long the answer may be kept", 0, MAX_LIFETIME_S, "s"),
        number("list_count", "length of the ordered list", 0, MAX_HOSTS),
        number("list_host", "numbers of its hosts", 0, MAX_HOSTS - 1, count=MAX_HOSTS),
        instant("list_until_us", "when its TTL ends"),
        instant("absent_until_us", "until then the absence of records is known"),
        instant("avoid_until_us", "until then a host is left out", MAX_HOSTS),
        number("transactions", "transactions so far", 0, FAR_FUTURE_US),
        nested("flow", "its flows", FLOW_STATE, MAX_FLOWS),
    ],
)


# --- driver's entry points -------------------------------------------------------------------------------------------


def boot(node, now_us, age_us, out):
    """The program starts (anew). With `age_us` > 0 it behaves as one that registered that long ago.

    Its first REGISTER then asks for the rest of the lifetime, and its first refresh comes when that of the old
    registration would.
    """
    for flow in range(MAX_FLOWS):
        _close_link(node, flow, out)
        for timer in range(TIMERS_PER_FLOW):
            cancel_timer(out, flow * TIMERS_PER_FLOW + timer)
    cancel_timer(out, TIMER_RESOLVE)
    _forget(node)
    for flow in range(node.flows):
        node.flow[flow].age_us = age_us
        _begin_request(node, flow, now_us, out)


def steady_age_us(node):
    """How old the registration of a client that has long been there is at a random instant, in µs (drawn)."""
    return _steady_age_us(node, _refresh_low_us(node, node.expires_s), _refresh_high_us(node, node.expires_s))


def settle(node, now_us, host, age_us, out):
    """Put the state as of a client that has long been there; it registered last `age_us` ago, through `host`.

    The look-up for that was made then. Its flow is open, and its timers start. The driver has filled the answer of the
    DNS before, and takes the flows that are IDLE now for open. The second flow (if any) goes to the first other node of
    the list. Two flows register one after the other, in an order that is drawn: a registrar may know of the last one
    only (`newest_flow`).

    A flow carries keep-alives from its beginning on, at a rhythm of their own, and has had answers to them. (Of classes
    that may move at each refresh, it may be too young for that; they do without answers.)
    """
    _forget(node)
    node.starts_on = 0
    _take_answer(node, max(now_us - age_us, 0))
    _put_first(node, host)
    newest = FLOW
    if node.flows > 1 and draws.below(node.stream, 100) >= FIRST_FLOW_LAST_PERCENT:
        newest = SECOND_FLOW
    for flow in range(node.flows):
        position = _usable_from(node, flow, 0, now_us)
        if position != _NOWHERE:
            state = node.flow[flow]
            state.host = node.list_host[position] + 1
            state.position = position
            _settle_flow(node, flow, now_us, age_us if flow == newest else age_us + FLOW_SPACING_US, out)


def _settle_flow(node, flow, now_us, age_us, out):
    state = node.flow[flow]
    state.phase = IDLE
    state.link = OPEN
    state.asked_s = node.expires_s
    state.granted_s = node.expires_s
    state.registered_us = max(now_us - age_us, 0)
    state.heard_us = state.registered_us
    state.is_registered = 1
    _await_refresh(node, flow, node.expires_s, age_us, out)
    _settle_pings(node, flow, now_us, out)


def _settle_pings(node, flow, now_us, out):
    how, state = node.behaviour, node.flow[flow]
    if how.ping_max_us == 0:
        return
    age_us = _steady_age_us(node, how.ping_min_us, how.ping_max_us)
    state.pings = 1
    _await_ping(node, flow, age_us, out)
    if node.transport != UDP:
        state.had_pong = 1
        state.heard_us = max(state.registered_us, now_us - age_us)


def newest_flow(node):
    """The flow that registered last: its binding is the one of a device that may have only one."""
    first, second = node.flow[FLOW], node.flow[SECOND_FLOW]
    return SECOND_FLOW if second.is_registered == 1 and second.registered_us > first.registered_us else FLOW


def on_timer(node, now_us, which, out):
    """A timer of this client has run down."""
    if which == TIMER_RESOLVE:
        _on_no_names(node, now_us, NO_ANSWER, out)
        return
    flow, timer = which // TIMERS_PER_FLOW, which % TIMERS_PER_FLOW
    phase = node.flow[flow].phase
    if timer == TIMER_ATTEMPT and (phase == IDLE or phase == WAITING):
        _begin_request(node, flow, now_us, out)
    elif timer == TIMER_RETRANSMIT and phase == REGISTERING:
        _send_register(node, flow, out)
        _await_next_copy(node, flow, min(2 * node.flow[flow].interval_us, T2_US), out)
    elif timer == TIMER_LIMIT and phase == CONNECTING and node.behaviour.connect_limit_us > 0:
        _on_no_connection(node, flow, now_us, out)
    elif timer == TIMER_LIMIT and (phase == CONNECTING or phase == REGISTERING):
        _on_timeout(node, flow, now_us, out)
    elif timer == TIMER_PING and node.flow[flow].link == BROKEN:
        _link_is_gone(node, flow, out)
        _on_flow_lost(node, flow, now_us, CLOSED, out)
    elif timer == TIMER_PING:
        _ping(node, flow, out)
    elif timer == TIMER_PONG and node.flow[flow].awaits_pong == 1:
        _close_link(node, flow, out)
        _on_flow_lost(node, flow, now_us, NO_PONG, out)


def on_message(node, now_us, source, message, out):
    """Something arrived: from a node, about a flow, or from the DNS."""
    kind = message.kind
    if kind == RESOLVED:
        _on_resolved(node, now_us, message, out)
    elif node.flow[source].link == NO_LINK or node.flow[source].link == BROKEN:
        return  # it crossed the end of the flow
    elif kind == LINK_OPEN:
        _on_open(node, source, now_us, message, out)
    elif kind == LINK_CLOSED and message.code == ICMP_ERROR:
        _on_icmp_error(node, source, now_us, out)
    elif kind == LINK_CLOSED:
        _on_closed(node, source, now_us, out)
    elif kind == RESPONSE:
        node.flow[source].heard_us = now_us
        _on_response(node, source, now_us, message, out)
    elif kind == CRLF_PONG and node.transport != UDP:
        node.flow[source].heard_us = now_us
        _on_pong(node, source, out)


# --- names -----------------------------------------------------------------------------------------------------------


def _begin_request(node, flow, now_us, out):
    """A request begins: the first one, a refresh or a retry. Look up and draw anew if that is due."""
    state = node.flow[flow]
    state.challenge = 0
    is_fresh = node.behaviour.draws_anew == PER_REQUEST or state.host == 0
    if node.absent_until_us > now_us:
        _drop_flow(node, flow, out)
        _wait(node, flow, now_us, BY_RETRY_LAW, out)
    elif node.list_until_us <= now_us or (is_fresh and node.behaviour.caches == 0):
        _look_up(node, flow, out)
    else:
        if is_fresh:
            srv.order(node)
        _select(node, flow, now_us, out)


def _look_up(node, flow, out):
    node.flow[flow].phase = RESOLVING
    if node.is_resolving == 0:
        node.is_resolving = 1
        set_timer(out, TIMER_RESOLVE, node.behaviour.dns_timeout_us)
        send(out, DNS_LINK, RESOLVE)


def _on_resolved(node, now_us, message, out):
    if node.is_resolving == 0:
        return  # it comes too late
    if message.code == FOUND and node.answer_count > 0:
        node.is_resolving = 0
        cancel_timer(out, TIMER_RESOLVE)
        report(out, NAMES_RESOLVED, 0, now_us, node.answer_count)
        _take_answer(node, now_us)
        _go_on(node, now_us, out)
    else:
        _on_no_names(node, now_us, max(message.code, NO_NAME), out)


def _take_answer(node, now_us):
    """An answer that was had at `now_us` becomes the list."""
    srv.order(node)
    node.list_until_us = now_us + min(node.answer_ttl_s * 1_000_000, node.behaviour.cache_limit_us)
    if node.answer_ttl_s == 0 and node.behaviour.keeps_ttl_0 == 1:
        node.list_until_us = FAR_FUTURE_US
    node.absent_until_us = 0


def _on_no_names(node, now_us, why, out):
    """The DNS says that there are no records, or fails, or does not answer."""
    node.is_resolving = 0
    cancel_timer(out, TIMER_RESOLVE)
    report(out, NAMES_UNRESOLVED, 0, now_us, why)
    if why == NO_NAME or node.behaviour.uses_stale == 0:
        node.list_count = 0
        node.list_until_us = 0
    if why == NO_NAME:
        node.absent_until_us = now_us + min(node.answer_ttl_s * 1_000_000, node.behaviour.absence_limit_us)
    _go_on(node, now_us, out)


def _go_on(node, now_us, out):
    """The flows that waited for names go on."""
    for flow in range(node.flows):
        if node.flow[flow].phase == RESOLVING:
            _select(node, flow, now_us, out)


# --- selection -------------------------------------------------------------------------------------------------------


def _select(node, flow, now_us, out):
    """Go to the node of the list that a new request takes."""
    state = node.flow[flow]
    if node.starts_on != 0 and flow == FLOW:
        _put_first(node, node.starts_on - 1)
        node.starts_on = 0
    position = _NOWHERE
    if node.behaviour.keeps_node == 1 and state.host != 0:
        position = _position_of(node, state.host - 1)
    if position == _NOWHERE or not _is_usable(node, flow, state.host - 1, now_us):
        position = _usable_from(node, flow, 0, now_us)
    if position == _NOWHERE:
        _drop_flow(node, flow, out)
        _wait(node, flow, now_us, BY_RETRY_LAW, out)
    else:
        _go_to(node, flow, position, now_us, out)


def _position_of(node, host):
    for position in range(node.list_count):
        if node.list_host[position] == host:
            return position
    return _NOWHERE


def _usable_from(node, flow, start, now_us):
    """First position from `start` on whose node is neither to be avoided nor that of the other flow."""
    for position in range(start, node.list_count):
        if _is_usable(node, flow, node.list_host[position], now_us):
            return position
    return _NOWHERE


def _has_next(node, flow, now_us):
    return _usable_from(node, flow, node.flow[flow].position + 1, now_us) != _NOWHERE


def _is_usable(node, flow, host, now_us):
    return node.avoid_until_us[host] <= now_us and node.flow[1 - flow].host != host + 1


def _put_first(node, host):
    """Move a host, if it is listed, to the front; the others keep their order."""
    for position in range(_position_of(node, host), 0, -1):
        node.list_host[position] = node.list_host[position - 1]
        node.list_host[position - 1] = host


def _go_to(node, flow, position, now_us, out):
    """Register through the node at a position of the list: over the open flow if it goes there."""
    state = node.flow[flow]
    host = node.list_host[position]
    state.position = position
    if state.link == OPEN and state.host == host + 1:
        _set_limit(flow, TIMER_F_US, out)
        _begin_transaction(node, flow, now_us, out)
    else:
        _drop_flow(node, flow, out)
        state.host = host + 1
        state.phase = CONNECTING
        state.link = OPENING
        limit_us = node.behaviour.connect_limit_us
        _set_limit(flow, limit_us if limit_us > 0 else TIMER_F_US, out)
        connect(out, flow, host)


def _react(node, flow, now_us, reaction, pause_us, out):
    """A node has failed: go on as the class does."""
    state = node.flow[flow]
    moves = reaction == NEXT_LATER or reaction == NEXT_AT_ONCE
    position = _usable_from(node, flow, state.position + 1, now_us) if moves else _NOWHERE
    if reaction == NEXT_AT_ONCE and position != _NOWHERE:
        _go_to(node, flow, position, now_us, out)
        return
    if reaction != STAY:
        _drop_flow(node, flow, out)
    if position != _NOWHERE:
        state.position = position
        state.host = node.list_host[position] + 1
    _wait(node, flow, now_us, pause_us, out)


# --- flows -----------------------------------------------------------------------------------------------------------


def _drop_flow(node, flow, out):
    """Leave the node."""
    _close_link(node, flow, out)
    node.flow[flow].host = 0
    node.flow[flow].heard_us = 0


def _close_link(node, flow, out):
    link = node.flow[flow].link
    if link == OPENING or link == OPEN:
        close(out, flow)
    _link_is_gone(node, flow, out)


def _link_is_gone(node, flow, out):
    """Forget what was true of the link only."""
    state = node.flow[flow]
    if state.link == OPENING:
        cancel_timer(out, flow * TIMERS_PER_FLOW + TIMER_LIMIT)
    if state.pings == 1:
        cancel_timer(out, flow * TIMERS_PER_FLOW + TIMER_PING)
        cancel_timer(out, flow * TIMERS_PER_FLOW + TIMER_PONG)
    state.link = NO_LINK
    state.is_registered = 0
    state.pings = 0
    state.awaits_pong = 0
    state.had_pong = 0


def _on_open(node, flow, now_us, message, out):
    state = node.flow[flow]
    if node.transport == TLS and not accepts(node, message.code):
        report(out, UNTRUSTED, state.host, now_us, message.code)
        _on_no_connection(node, flow, now_us, out)
    else:
        if node.behaviour.connect_limit_us > 0:
            _set_limit(flow, TIMER_F_US, out)
        state.link = OPEN
        _begin_transaction(node, flow, now_us, out)


def accepts(node, certificate):
    """Whether this class takes a node with such a certificate for one of its domain (RFC 5922 section 7)."""
    how = node.behaviour
    return how.checks_certificate == 0 or (certificate & IS_VALID != 0 and certificate & how.accepted_names != 0)


def _on_no_connection(node, flow, now_us, out):
    """The connection was not made: refused, unreachable, too slow, not trusted; or ICMP said no."""
    _close_link(node, flow, out)
    report(out, FAILED, node.flow[flow].host, now_us, 0)
    _react(node, flow, now_us, node.behaviour.on_no_connection, BY_RETRY_LAW, out)


def _on_icmp_error(node, flow, now_us, out):
    phase = node.flow[flow].phase
    if node.behaviour.notices_icmp == 0:
        return
    if phase == REGISTERING:
        _end_transaction(node, flow, out)
    if phase == REGISTERING or phase == CONNECTING:
        _on_no_connection(node, flow, now_us, out)
    else:
        _close_link(node, flow, out)
        _on_flow_lost(node, flow, now_us, ICMP_ERROR, out)


def _on_closed(node, flow, now_us, out):
    """The link was refused, closed or reset."""
    phase, notices = node.flow[flow].phase, node.behaviour.notices_close
    if phase == IDLE and notices == AT_PING and node.flow[flow].pings == 1:
        node.flow[flow].link = BROKEN
        return
    _link_is_gone(node, flow, out)
    if phase == CONNECTING:
        _on_no_connection(node, flow, now_us, out)
    elif phase == REGISTERING or notices != NOT:
        _on_flow_lost(node, flow, now_us, CLOSED, out)


def _on_flow_lost(node, flow, now_us, why, out):
    """The client notices that the link is gone, which was open until now."""
    phase, reaction = node.flow[flow].phase, node.behaviour.on_closed
    report(out, FLOW_LOST, node.flow[flow].host, now_us, why)
    if phase == REGISTERING:
        _end_transaction(node, flow, out)
        report(out, FAILED, node.flow[flow].host, now_us, 0)
        _react(node, flow, now_us, reaction, BY_RETRY_LAW, out)
    elif phase == IDLE:
        pause_us = node.behaviour.lost_flow_pause_us
        _react(node, flow, now_us, AFRESH if reaction == AFRESH else STAY, pause_us, out)


def _start_pings(node, flow, out):
    state = node.flow[flow]
    if node.behaviour.ping_max_us > 0 and state.pings == 0:
        state.pings = 1
        _await_ping(node, flow, 0, out)


def _await_ping(node, flow, age_us, out):
    """The next keep-alive comes in time, counted from one that was sent so long ago."""
    how = node.behaviour
    wait_us = _rest_us(node, how.ping_min_us, how.ping_max_us, age_us)
    set_timer(out, flow * TIMERS_PER_FLOW + TIMER_PING, wait_us)


def _ping(node, flow, out):
    state = node.flow[flow]
    if state.pings == 0:
        return
    send(out, flow, CRLF_PING)
    rule = node.behaviour.pong_rule
    needs_pong = rule == PONG_NEEDED or (rule == NEEDED_ONCE_SEEN and state.had_pong == 1)
    if needs_pong and state.awaits_pong == 0:
        state.awaits_pong = 1
        set_timer(out, flow * TIMERS_PER_FLOW + TIMER_PONG, node.behaviour.pong_limit_us)
    _await_ping(node, flow, 0, out)


def _on_pong(node, flow, out):
    state = node.flow[flow]
    state.had_pong = 1
    if state.awaits_pong == 1:
        state.awaits_pong = 0
        cancel_timer(out, flow * TIMERS_PER_FLOW + TIMER_PONG)


# --- transactions ----------------------------------------------------------------------------------------------------


def _set_limit(flow, limit_us, out):
    set_timer(out, flow * TIMERS_PER_FLOW + TIMER_LIMIT, limit_us)


def _begin_transaction(node, flow, now_us, out):
    """Send a REGISTER as a new transaction over the open flow."""
    state = node.flow[flow]
    node.transactions += 1
    state.transaction = node.transactions
    state.phase = REGISTERING
    state.asked_s = max(node.expires_s - state.age_us // 1_000_000, node.min_expires_s, 1)
    report(out, ATTEMPT, state.host, now_us, flow)
    if node.transport == UDP:
        _await_next_copy(node, flow, T1_US, out)
    _send_register(node, flow, out)


def _send_register(node, flow, out):
    state = node.flow[flow]
    message = send(out, flow, REGISTER)
    message.request = state.transaction
    message.client = 1 + node.me
    message.seconds = state.asked_s
    message.code = state.challenge


def _await_next_copy(node, flow, interval_us, out):
    """Timer E."""
    node.flow[flow].interval_us = interval_us
    set_timer(out, flow * TIMERS_PER_FLOW + TIMER_RETRANSMIT, interval_us)


def _end_transaction(node, flow, out):
    node.flow[flow].transaction = 0
    cancel_timer(out, flow * TIMERS_PER_FLOW + TIMER_LIMIT)
    if node.transport == UDP:
        cancel_timer(out, flow * TIMERS_PER_FLOW + TIMER_RETRANSMIT)


def _on_timeout(node, flow, now_us, out):
    """Timer F: no final answer, or not even a connection.

    belle-sip counts it as an I/O error, too: the first one that leaves a next node, and a later one that leaves none,
    are followed by the pause of the retry law (measured: 32 + 2 + 32 + 60 s a round with two silent nodes over UDP).
    """
    how, state = node.behaviour, node.flow[flow]
    if state.phase == CONNECTING:
        _close_link(node, flow, out)
    else:
        _end_transaction(node, flow, out)
    report(out, FAILED, state.host, now_us, 408)
    if now_us - state.heard_us < how.silence_us:
        _wait(node, flow, now_us, how.timeout_pause_us, out)
    else:
        by_law = how.on_timeout == NEXT_LATER and _has_next(node, flow, now_us) == (state.failures == 0)
        _react(node, flow, now_us, how.on_timeout, BY_RETRY_LAW if by_law else how.timeout_pause_us, out)


def _on_response(node, flow, now_us, message, out):
    state = node.flow[flow]
    code = message.code
    if state.transaction == 0 or message.request != state.transaction:
        return  # an answer to a transaction that is over
    if code < 200:
        state.interval_us = T2_US  # the next copy but one: Timer E runs
        return
    _end_transaction(node, flow, out)
    if code < 300:
        _on_registered(node, flow, now_us, message, out)
    elif (code == 401 or code == 407) and state.challenge == 0 and node.has_credentials == 1:
        state.challenge = code
        _set_limit(flow, TIMER_F_US, out)
        _begin_transaction(node, flow, now_us, out)
    elif code == 423 and state.asked_s < message.seconds <= MAX_LIFETIME_S:
        node.min_expires_s = message.seconds
        _set_limit(flow, TIMER_F_US, out)
        _begin_transaction(node, flow, now_us, out)
    else:
        report(out, FAILED, state.host, now_us, code)
        _on_refused(node, flow, now_us, message, out)


def _on_registered(node, flow, now_us, message, out):
    state = node.flow[flow]
    state.phase = IDLE
    state.failures = 0
    state.is_registered = 1
    state.granted_s = message.seconds if 0 < message.seconds <= MAX_LIFETIME_S else state.asked_s
    state.registered_us = now_us
    node.avoid_until_us[state.host - 1] = 0
    effect = report(out, REGISTERED, state.host, now_us, flow)
    effect.detail_us = state.granted_s * 1_000_000
    _await_refresh(node, flow, state.granted_s + state.age_us // 1_000_000, state.age_us, out)
    state.age_us = 0
    _start_pings(node, flow, out)


def _await_refresh(node, flow, lifetime_s, age_us, out):
    """The refresh comes in time, counted from a 2xx that came so long ago."""
    low_us, high_us = _refresh_low_us(node, lifetime_s), _refresh_high_us(node, lifetime_s)
    set_timer(out, flow * TIMERS_PER_FLOW + TIMER_ATTEMPT, _rest_us(node, low_us, high_us, age_us))


def _refresh_low_us(node, lifetime_s):
    """Shortest time from a 2xx to the refresh."""
    how = node.behaviour
    return max(lifetime_s * how.refresh_low_percent * 10_000 - how.refresh_margin_us, 0)


def _refresh_high_us(node, lifetime_s):
    how = node.behaviour
    return max(lifetime_s * how.refresh_high_percent * 10_000 - how.refresh_margin_us, 0)


def _on_refused(node, flow, now_us, message, out):
    """A final answer that is no 2xx, no challenge that can be met and no 423 that can be met."""
    how, code, retry_after_us = node.behaviour, message.code, min(message.seconds, MAX_LIFETIME_S) * 1_000_000
    is_told = retry_after_us > 0 and how.obeys_retry_after == 1
    if code == 503:
        if how.avoids_unavailable == 1:
            node.avoid_until_us[node.flow[flow].host - 1] = now_us + retry_after_us
        _react(node, flow, now_us, how.on_unavailable, retry_after_us if is_told else how.unavailable_pause_us, out)
    elif code == 404 or code == 480 or code == 500:
        reaction = how.on_server_error if code == 500 else STAY
        _react(node, flow, now_us, reaction, retry_after_us if is_told else how.error_pause_us, out)
    elif code == 501 or code == 505 or code >= 600:
        _react(node, flow, now_us, STAY, how.global_pause_us, out)
    else:
        _react(node, flow, now_us, STAY, how.refused_pause_us, out)


# --- pauses ----------------------------------------------------------------------------------------------------------


def _wait(node, flow, now_us, pause_us, out):
    """The request has failed: the next one begins after a pause, or never."""
    state = node.flow[flow]
    if pause_us == NEVER:
        state.phase = GAVE_UP
        return
    if pause_us == BY_RETRY_LAW:
        pause_us = _retry_pause_us(node, flow)
        state.failures = min(state.failures + 1, MAX_FAILURES)
    state.phase = WAITING
    set_timer(out, flow * TIMERS_PER_FLOW + TIMER_ATTEMPT, pause_us)


def _retry_pause_us(node, flow):
    """The retry law: RFC 5626 section 4.5 in general, fixed pauses as special cases."""
    how, failures = node.behaviour, node.flow[flow].failures
    if node.flow[1 - flow].is_registered == 1:
        longest_us = how.retry_beside_us
        doublings = failures
    else:
        longest_us = how.retry_first_us if failures == 0 else how.retry_next_us
        doublings = max(failures - 1, 0)
    for _ in range(doublings):
        longest_us = min(2 * longest_us, how.retry_limit_us)
    longest_us = min(longest_us, how.retry_limit_us)
    low_us = max(longest_us * how.retry_low_percent // 100 - how.retry_spread_us, 0)
    return low_us + _below_us(node, longest_us + how.retry_spread_us - low_us)


# --- little helpers --------------------------------------------------------------------------------------------------


def _below_us(node, limit_us):
    """A length drawn from 0 .. limit, to the millisecond (a stream draws below 2^31); no draw for 0."""
    return draws.below(node.stream, limit_us // 1_000 + 1) * 1_000 if limit_us > 0 else 0


def _rest_us(node, low_us, high_us, age_us):
    """What is left of a period that has lasted `age_us`; its length is uniform between two bounds."""
    low_us = max(low_us, age_us)
    return low_us + _below_us(node, high_us - low_us) - age_us


def _steady_age_us(node, low_us, high_us):
    """How long such a period has lasted at a random instant.

    The instant falls anywhere into a period, and into a long one more often than into a short one: drawn until it fits.
    """
    age_us = _below_us(node, high_us)
    while age_us > low_us + _below_us(node, high_us - low_us):
        age_us = _below_us(node, high_us)
    return age_us


def _forget(node):
    """As a program that has just started."""
    node.min_expires_s = 0
    node.is_resolving = 0
    node.list_count = 0
    node.list_until_us = 0
    node.absent_until_us = 0
    for host in range(MAX_HOSTS):
        node.avoid_until_us[host] = 0
    for flow in range(MAX_FLOWS):
        state = node.flow[flow]
        state.phase = OFF
        state.link = NO_LINK
        state.host = 0
        state.position = 0
        state.transaction = 0
        state.interval_us = 0
        state.age_us = 0
        state.challenge = 0
        state.failures = 0
        state.granted_s = 0
        state.registered_us = 0
        state.heard_us = 0
        state.is_registered = 0
        state.pings = 0
        state.awaits_pong = 0
        state.had_pong = 0
