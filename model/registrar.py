"""A registrar node: how it follows the primary, and what it answers to REGISTER meanwhile.

Policy `guide` is the behaviour 1 to 4 of the deployment guide, made precise where it is silent:

1. While the connection to the primary works, the node asks it periodically for its replicas.
2. The connection is lost when it is closed, refused, or a command stays unanswered for the Redis time-out. Then the
   known replicas are tried in turn, the lost primary last; after a round in vain the node pauses.
3. On a replica the node waits and asks it once a second. A new primary *shows* when the replica has become primary
   itself, names another primary than the lost one, or has heard from the lost one after the node lost it. Link status
   alone does not do: a replica of a vanished primary says "up" for up to 60 s (Redis `repl-timeout`).
4. The node moves there. Only on a primary registrations are accepted; until then a REGISTER is refused with 500 at
   once, and a query (REGISTER without Contact) is answered by the replica.

When a server closes the connection of a waiting node (as Sentinel makes it do on a role change), the node first comes
back to the same server: that is the quickest way to learn the new role.

::

              CONNECT             LINK_OPEN, INFO
    (DOWN) ----------> CONNECTING ----------------> ON_PRIMARY   role primary
       ^                |  ^   |                        |
       |  round in vain |  |   | role replica           | lost, or role replica
       +----------------+  |   v                        v
                           +-- ON_REPLICA <---- next candidate

Left out: what Flexisip's versions really do (no time-out at all, INFO once a minute, READONLY retries); these are
further policies. Two Redis connections (commands and subscription): only the command connection decides here.
"""

from __future__ import annotations

from model.effects import (
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    MAX_HOSTS,
    OK_REPLY,
    PRIMARY,
    QUERY,
    REDIS_CONNECTED,
    REDIS_LOST,
    REGISTER,
    RESPONSE,
    STORE,
    STORE_REPLY,
    WAITING,
    WRITABLE,
    cancel_timer,
    close,
    connect,
    reply,
    report,
    send,
    set_timer,
)
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, number

MAX_REQUESTS = 64
"""Most SIP requests that a node has open with Redis; more are refused with 500. Kind: assumed."""

MAX_LISTED = 15
"""Most replicas that fit into a message; a replica stands there twice while an old link of it lingers.

Kind: assumed (4 bits each)."""

REDIS_LINK = 0
"""The node's only link."""

# Phases.
DOWN, CONNECTING, ON_PRIMARY, ON_REPLICA = 0, 1, 2, 3

# Timers.
TIMER_REDIS, TIMER_ASK, TIMER_RETRY = 0, 1, 2

REGISTRAR = Record(
    "Registrar",
    "A registrar node.",
    [
        duration("redis_timeout_us", "an unanswered command counts as a lost connection after this"),
        duration("info_period_us", "how often the primary is asked for its replicas"),
        duration("wait_poll_us", "how often a replica is asked for the primary"),
        duration("retry_pause_us", "pause after a round in vain"),
        number("phase", "DOWN, CONNECTING, ON_PRIMARY or ON_REPLICA", 0, 3),
        number("configured", "number of the server that the node starts with", 0, MAX_HOSTS),
        number("current", "number of the server that the link goes to", 0, MAX_HOSTS),
        number("replicas", "known replicas in order, 4 bits each, 1 + number", 0, FAR_FUTURE_US),
        number("cursor", "candidates of this round tried so far", 0, MAX_LISTED + 1),
        number("lost_primary", "1 + number of the primary that was lost last, 0 = none", 0, MAX_HOSTS),
        instant("lost_us", "when it was lost"),
        number("moves", "moves since the last time-out of TIMER_ASK: guards against servers that name each other",
               0, MAX_HOSTS),
        flag("came_back", "a waiting node has already come back to the server that closed its connection"),
        number("unanswered", "commands sent and not answered", 0, FAR_FUTURE_US),
        number("open_requests", "SIP requests open with Redis", 0, MAX_REQUESTS),
        number("request", "their numbers, 1 + the driver's; 0 = free", 0, FAR_FUTURE_US, count=MAX_REQUESTS),
        number("source", "where their answers go", 0, FAR_FUTURE_US, count=MAX_REQUESTS),
        number("is_query", "1 for a REGISTER without Contact", 0, 1, count=MAX_REQUESTS),
    ],
)  # fmt: skip


def boot(node, first_server, out):
    """The process has started: it knows only the configured server (the guide: "the current Redis instance")."""
    for slot in range(MAX_REQUESTS):
        node.request[slot] = 0  # the requests of an earlier life are nobody's: they get no answer
    _disconnect(node, out)
    node.configured = first_server
    node.replicas = 0
    node.cursor = 0
    node.lost_primary = 0
    node.moves = 0
    node.came_back = 0
    _connect(node, first_server, out)


def on_timer(node, now_us, which, out):
    """A timer of this node has run down."""
    if which == TIMER_REDIS:
        _lose(node, now_us, out)
    elif which == TIMER_ASK:
        node.moves = 0
        _command(node, out)
        send(out, REDIS_LINK, INFO)
        set_timer(out, TIMER_ASK, node.info_period_us if node.phase == ON_PRIMARY else node.wait_poll_us)
    elif which == TIMER_RETRY:
        _try_next(node, out)


def on_message(node, now_us, source, message, out):
    """Something arrived: from Redis, about the link, or from a SIP client."""
    kind = message.kind
    if kind == REGISTER or kind == QUERY:
        _on_request(node, source, message, out)
    elif kind == LINK_OPEN:
        report(out, REDIS_CONNECTED, node.current + 1, now_us, 0)
        _answered(node, out)
        _command(node, out)
        send(out, REDIS_LINK, INFO)
    elif kind == LINK_CLOSED or kind == OK_REPLY:  # a server held up by a script answers INFO with an error
        _lose(node, now_us, out)
    elif kind == INFO_REPLY:
        _answered(node, out)
        _on_info(node, now_us, message, out)
    elif kind == LOOKUP_REPLY or kind == STORE_REPLY:
        _answered(node, out)
        _on_data(node, message, out)


def _on_info(node, now_us, message, out):
    if message.role == PRIMARY:
        node.replicas = message.replicas
        node.came_back = 0
        if node.phase != ON_PRIMARY:
            node.phase = ON_PRIMARY
            report(out, WRITABLE, node.current + 1, now_us, 0)
            set_timer(out, TIMER_ASK, node.info_period_us)
        return
    if node.phase == ON_PRIMARY:
        _remember_loss(node, now_us)
    if _shows_primary(node, now_us, message) and node.moves < MAX_HOSTS:
        node.moves += 1
        _disconnect(node, out)
        _connect(node, message.primary - 1, out)
    elif node.phase != ON_REPLICA:
        node.phase = ON_REPLICA
        node.came_back = 0
        report(out, WAITING, node.current + 1, now_us, 0)
        set_timer(out, TIMER_ASK, node.wait_poll_us)


def _shows_primary(node, now_us, message):
    """True when the replica we are on names a primary worth moving to (behaviour 3)."""
    named = message.primary
    if named == 0 or named == node.current + 1:
        return False
    if named != node.lost_primary:
        return True
    return message.link_up == 1 and now_us - node.lost_us >= (message.heard_s + 1) * 1_000_000


def _on_request(node, source, message, out):
    """A REGISTER or a query from a SIP client."""
    is_query = message.kind == QUERY
    served = node.phase == ON_PRIMARY or (is_query and node.phase == ON_REPLICA)
    if not served or node.open_requests == MAX_REQUESTS:
        _respond(out, source, message.request, 500)
        return
    slot = 0
    while node.request[slot] != 0:
        slot += 1
    node.request[slot] = message.request + 1
    node.source[slot] = source
    node.is_query[slot] = 1 if is_query else 0
    node.open_requests += 1
    _command(node, out)
    send(out, REDIS_LINK, LOOKUP).request = message.request


def _on_data(node, message, out):
    """Redis answered the LOOKUP or the STORE of a SIP request; code 1 = accepted."""
    slot = 0
    while slot < MAX_REQUESTS and node.request[slot] != message.request + 1:
        slot += 1
    if slot == MAX_REQUESTS:
        return
    if message.kind == LOOKUP_REPLY and message.code == 1 and node.is_query[slot] == 0:
        _command(node, out)
        send(out, REDIS_LINK, STORE).request = message.request
        return
    _respond(out, node.source[slot], message.request, 200 if message.code == 1 else 500)
    node.request[slot] = 0
    node.open_requests -= 1
    if message.kind == STORE_REPLY and message.code == 0:
        # A refused write: the server may be a primary no longer. Ask at once instead of at the next period.
        _command(node, out)
        send(out, REDIS_LINK, INFO)


def _respond(out, source, request, status):
    message = reply(out, source, RESPONSE)
    message.request = request
    message.code = status


def _command(node, out):
    """Book one command to Redis; the first unanswered one starts the Redis time-out."""
    node.unanswered += 1
    if node.unanswered == 1:
        set_timer(out, TIMER_REDIS, node.redis_timeout_us)


def _answered(node, out):
    """Book one answer; Redis answers in order, so each answer shows that the connection lives."""
    node.unanswered -= 1
    if node.unanswered == 0:
        cancel_timer(out, TIMER_REDIS)
    else:
        set_timer(out, TIMER_REDIS, node.redis_timeout_us)


def _connect(node, server, out):
    node.phase = CONNECTING
    node.current = server
    _command(node, out)
    connect(out, REDIS_LINK, server)


def _disconnect(node, out):
    """Drop the link; what is open with Redis is refused (the client cannot know whether it was stored)."""
    close(out, REDIS_LINK)
    cancel_timer(out, TIMER_REDIS)
    cancel_timer(out, TIMER_ASK)
    node.unanswered = 0
    for slot in range(MAX_REQUESTS):
        if node.request[slot] != 0:
            _respond(out, node.source[slot], node.request[slot] - 1, 500)
            node.request[slot] = 0
    node.open_requests = 0


def _lose(node, now_us, out):
    """The connection is closed, refused or silent (behaviour 2)."""
    report(out, REDIS_LOST, node.current + 1, now_us, 0)
    phase = node.phase
    _disconnect(node, out)
    if phase == ON_PRIMARY:
        _remember_loss(node, now_us)
    if phase == ON_REPLICA and node.came_back == 0:
        node.came_back = 1
        node.cursor = 0
        _connect(node, node.current, out)
    else:
        _try_next(node, out)


def _remember_loss(node, now_us):
    node.lost_primary = node.current + 1
    node.lost_us = now_us
    node.cursor = 0


def _try_next(node, out):
    """Connect to the next candidate of this round: the known replicas in order, then the lost primary."""
    candidate = _candidate(node, node.cursor)
    if candidate == 0:
        node.phase = DOWN
        node.cursor = 0
        set_timer(out, TIMER_RETRY, node.retry_pause_us)
    else:
        node.cursor += 1
        _connect(node, candidate - 1, out)


def _candidate(node, position):
    """1 + number of the candidate at a position of the round; 0 past the end."""
    listed = node.replicas
    while position > 0 and listed != 0:
        listed >>= 4
        position -= 1
    if listed != 0:
        return listed & 15
    if position == 0:
        # While no primary was ever seen, the configured server is the only one we know.
        return node.lost_primary if node.lost_primary != 0 else node.configured + 1
    return 0
