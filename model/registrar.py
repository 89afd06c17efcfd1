"""A registrar node: how it follows the primary, and what it answers to REGISTER meanwhile.

One machine, whose *knobs* say what a policy does its own way (`model.policies`). Policy `guide` is the behaviour 1 to 4
of the deployment guide, made precise where it is silent:

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

Flexisip goes through the same phases, but knows neither a time-out nor when a primary shows, and serves in all of them:

* It has two connections, opened by one routine to one server; from 2.4 on, what is open is left alone, and requests
  need *both*. Each turn of the round serves whichever of them has ended, so the two may sit on different servers.
* A round begins with the server that was tried last; only the order of the replicas decides where a node goes. When its
  end was reached less than a second ago by the wall clock (from 2.6 on), a request finds no connection.
* The role is asked for at every opening and by a clock that the first answer started. A replica in sync sends the node
  to its primary at once; one that is not keeps it until something closes a connection, or until that clock rings.
* A request goes to the server that the node is on or is connecting to. A look-up that fails is a 500. A write that
  fails for whatever reason is tried again after 5 and 10 s, wherever the node is then.
* Lost in silence is not lost: requests wait for the kernel to give up, and get no answer.

Any policy can do better, by knobs of its own: a Redis time-out, `follows_sentinel` (the node hears +switch-master and
moves at once), another status than a bare 500, no answer to keep-alives while it cannot store.

Left out: `DEL` (Contact: ``*``), for which Flexisip has no second try; that up to 2.3 it lets the old server finish
what it was asked when it moves; host names that cannot be resolved and other connects that fail at once; NOAUTH. Where
Flexisip would keep any number of requests, the oldest of `MAX_REQUESTS` is forgotten: its client has long given up.
"""

from __future__ import annotations

from model.effects import (
    AUTHENTICATE,
    AUTHENTICATED,
    CRLF_PING,
    CRLF_PONG,
    DONE,
    IMPOSSIBLE,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    MAX_HOSTS,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    QUERY,
    REDIS_CONNECTED,
    REDIS_LOST,
    REGISTER,
    RESPONSE,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
    SWITCHED,
    WAITING,
    WRITABLE,
    cancel_timer,
    close,
    connect,
    forget,
    reply,
    report,
    send,
    set_timer,
)
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, number

MAX_REQUESTS = 256
"""Most SIP requests that a node has open; more are refused, or, without a Redis time-out, the oldest is forgotten.

A prober sends five a second, and a refused write waits for 10 s: 50 of them. Kind: assumed."""

MAX_LISTED = 15
"""Most replicas that fit into a message; a replica stands there twice while an old link of it lingers.

Kind: assumed (4 bits each)."""

SENTINEL_PERIOD_US = 1_000_000
"""How often a followed sentinel is asked for a sign of life, pause before another one is tried, and patience with a
connect. Source: Sentinel's own PING period. Kind: assumed."""

SUBSCRIPTION_LINK, REDIS_LINK, SENTINEL_LINK = 0, 1, 2
"""Links, in the order in which a server that dies ends them: Linux closes what was opened last first, and the
subscription is opened after the commands'. Kind: measured (Flexisip 2.0.9 to 2.7.0-alpha: 28 of 28)."""
LINKS = 3

# Phases.
DOWN, CONNECTING, ON_PRIMARY, ON_REPLICA = 0, 1, 2, 3

# States of a link.
CLOSED, OPENING, OPEN = 0, 1, 2

# Timers.
TIMER_REDIS, TIMER_ASK, TIMER_RETRY, TIMER_WRITE, TIMER_PING, TIMER_SENTINEL = range(6)
TIMERS = 6

# Knob `round`.
LOST_LAST, LAST_FIRST, REPLICAS_ONLY = 0, 1, 2

# Knob `subscription`.
NO_SUBSCRIPTION, OPENED_TOGETHER, OPENED_ALONE = 0, 1, 2

KNOBS = Record(
    "Knobs",
    "What a registrar node does its own way: see `model.policies`.",
    [
        duration("redis_timeout_us", "an unanswered command counts as a lost connection after this, 0 = never"),
        duration("info_period_us", "how often the primary is asked for its replicas"),
        duration("wait_poll_us", "how often a replica is asked for the primary"),
        duration("retry_pause_us", "pause after a round in vain"),
        number("round", "LOST_LAST, LAST_FIRST or REPLICAS_ONLY: order in which servers are tried", 0, 2),
        number("subscription", "NO_SUBSCRIPTION, OPENED_TOGETHER or OPENED_ALONE: the second connection", 0, 2),
        flag("serves_anywhere", "requests go to whatever server the node is on, or is connecting to"),
        number("write_retries", "how often a refused write is tried again", 0, 2),
        duration("write_retry_us", "when"),
        flag("reads_errors_as_empty", "a refused look-up counts as one that found nothing"),
        flag("believes_link", "a replica whose link is up shows the primary"),
        flag("keeps_phase", "the role is asked for in one rhythm that the first answer started"),
        flag("tick_reconnects", "a periodic question without a connection tries to get one"),
        flag("is_lazy", "after a refused connect with a password, the next server but one waits for a request"),
        duration("ping_period_us", "how often the subscription is asked for a sign of life, 0 = never"),
        flag("has_password", "Redis asks for one: with two connections, it is sent before the role is asked for"),
        flag("follows_sentinel", "the node listens to a sentinel"),
        number("unavailable_status", "what a request gets that Redis cannot serve", 0, 999),
        number("retry_after_s", "Retry-After of that, 0 = none", 0, 3_600, "s"),
        flag("pongs_while_unavailable", "keep-alives are answered even while the node cannot store"),
    ],
)

REGISTRAR = Record(
    "Registrar",
    "A registrar node.",
    [
        *KNOBS.fields,
        number("me", "number of its host", 0, MAX_HOSTS),
        number("sentinels", "hosts with a sentinel, one bit each", 0, (1 << MAX_HOSTS) - 1),
        number("wall_ahead_us", "by how much the wall clock is ahead of the clock that handlers are told; drivers that "
               "tell another one refresh it", -FAR_FUTURE_US, FAR_FUTURE_US, "us"),
        duration("age_us", "the program behaves as if it had been started so long before its boot"),
        number("phase", "DOWN, CONNECTING, ON_PRIMARY or ON_REPLICA", 0, 3),
        number("configured", "number of the server that the node starts with", 0, MAX_HOSTS),
        number("current", "number of the server that the link goes to", 0, MAX_HOSTS),
        number("target", "number of the server that any link was opened to last", 0, MAX_HOSTS),
        number("session", "CLOSED, OPENING or OPEN, by link", 0, 2, count=LINKS),
        number("replicas", "known replicas in order, 4 bits each, 1 + number", 0, FAR_FUTURE_US),
        number("cursor", "candidates of this round tried so far", 0, MAX_LISTED + 1),
        instant("rotated_us", "when the last one was tried, by the wall clock"),
        flag("is_pausing", "a timer is set for the end of the pause after that"),
        number("lost_primary", "1 + number of the primary that was lost last, 0 = none", 0, MAX_HOSTS),
        instant("lost_us", "when it was lost"),
        number("moves", "moves since the last time-out of TIMER_ASK: guards against servers that name each other",
               0, MAX_HOSTS),
        flag("came_back", "a waiting node has already come back to the server that closed its connection"),
        flag("is_asking", "the rhythm of `keeps_phase` has begun"),
        flag("is_subscribed", "it has seen a primary, and so subscribed to something"),
        flag("owes_pong", "the subscription has not answered a PING; its end does not change that"),
        number("unanswered", "commands sent and not answered", 0, FAR_FUTURE_US),
        number("sentinel", "sentinels of this turn tried so far, from the own host's on", 0, MAX_HOSTS),
        flag("sentinel_owes_pong", "the followed sentinel has not answered a PING"),
        number("jobs", "requests taken so far; each gets the next number, from 1 on", 0, FAR_FUTURE_US),
        number("open_requests", "SIP requests open", 0, MAX_REQUESTS),
        number("job", "their numbers, 0 = free", 0, FAR_FUTURE_US, count=MAX_REQUESTS),
        number("request", "1 + the client's number of it; 0 = free", 0, FAR_FUTURE_US, count=MAX_REQUESTS),
        number("client", "the client's own number, as in a message", 0, 255, count=MAX_REQUESTS),
        number("source", "where their answers go", 0, FAR_FUTURE_US, count=MAX_REQUESTS),
        number("is_query", "1 for a REGISTER without Contact", 0, 1, count=MAX_REQUESTS),
        number("seconds", "lifetime granted", 0, FAR_FUTURE_US, "s", MAX_REQUESTS),
        number("tries", "writes tried", 0, 3, count=MAX_REQUESTS),
        instant("due_us", "when a refused write is tried again, 0 = it is under way", MAX_REQUESTS),
    ],
)  # fmt: skip


def take_knobs(node, knobs):
    """Copy the knobs into a node."""
    node.redis_timeout_us = knobs.redis_timeout_us
    node.info_period_us = knobs.info_period_us
    node.wait_poll_us = knobs.wait_poll_us
    node.retry_pause_us = knobs.retry_pause_us
    node.round = knobs.round
    node.subscription = knobs.subscription
    node.serves_anywhere = knobs.serves_anywhere
    node.write_retries = knobs.write_retries
    node.write_retry_us = knobs.write_retry_us
    node.reads_errors_as_empty = knobs.reads_errors_as_empty
    node.believes_link = knobs.believes_link
    node.keeps_phase = knobs.keeps_phase
    node.tick_reconnects = knobs.tick_reconnects
    node.is_lazy = knobs.is_lazy
    node.ping_period_us = knobs.ping_period_us
    node.has_password = knobs.has_password
    node.follows_sentinel = knobs.follows_sentinel
    node.unavailable_status = knobs.unavailable_status
    node.retry_after_s = knobs.retry_after_s
    node.pongs_while_unavailable = knobs.pongs_while_unavailable


def begin(node, first_server):
    """A new process knows only the configured server (the guide: "the current Redis instance")."""
    node.phase = DOWN
    node.configured = first_server
    node.current = first_server
    node.target = first_server
    for link in range(LINKS):
        node.session[link] = CLOSED
    node.replicas = 0
    node.cursor = 0
    node.rotated_us = 0
    node.is_pausing = 0
    node.lost_primary = 0
    node.lost_us = 0
    node.moves = 0
    node.came_back = 0
    node.is_asking = 0
    node.is_subscribed = 0
    node.owes_pong = 0
    node.unanswered = 0
    node.sentinel = 0
    node.sentinel_owes_pong = 0
    node.open_requests = 0
    for slot in range(MAX_REQUESTS):
        _free(node, slot)  # the requests of an earlier life are nobody's: they get no answer


def boot(node, first_server, out):
    """The process has started."""
    begin(node, first_server)
    for link in range(LINKS):
        close(out, link)
    for timer in range(TIMERS):
        cancel_timer(out, timer)
    _connect(node, first_server, out)
    if node.follows_sentinel == 1:
        _try_next_sentinel(node, out)


def on_timer(node, now_us, which, out):
    """A timer of this node has run down."""
    if which == TIMER_REDIS:
        _lose(node, now_us, REDIS_LINK, out)
    elif which == TIMER_ASK:
        _on_ask_timer(node, now_us, out)
    elif which == TIMER_RETRY:
        _reconnect(node, now_us, out)
        node.is_pausing = 0  # only now: from its own timer a pause is not begun anew
    elif which == TIMER_WRITE:
        _retry_writes(node, now_us, out)
    elif which == TIMER_PING:
        _on_ping_timer(node, now_us, out)
    elif which == TIMER_SENTINEL:
        _on_sentinel_timer(node, out)


def on_message(node, now_us, source, message, out):
    """Something arrived: from a SIP client, or on a link or about it."""
    kind = message.kind
    if kind == REGISTER or kind == QUERY:
        _on_request(node, now_us, source, message, out)
    elif kind == CRLF_PING:
        if node.phase == ON_PRIMARY or node.pongs_while_unavailable == 1:
            reply(out, source, CRLF_PONG)
    elif source == SENTINEL_LINK:
        _on_sentinel(node, now_us, message, out)
    elif source == SUBSCRIPTION_LINK:
        _on_subscription(node, now_us, message, out)
    elif kind == LINK_OPEN:
        _on_open(node, now_us, out)
    elif kind == LINK_CLOSED:
        _lose(node, now_us, REDIS_LINK, out)
    elif kind == OK_REPLY:
        _on_refused_question(node, now_us, out)
    elif kind == AUTHENTICATED:
        _answered(node, out)
        _ask(node, out)
    elif kind == INFO_REPLY:
        _answered(node, out)
        _on_info(node, now_us, message, out)
    elif kind == LOOKUP_REPLY or kind == STORE_REPLY:
        _answered(node, out)
        _on_data(node, now_us, message, out)


def _on_open(node, now_us, out):
    """With a subscription, the role is asked for when a password was accepted, on either connection."""
    node.session[REDIS_LINK] = OPEN
    report(out, REDIS_CONNECTED, node.current + 1, now_us, 0)
    _answered(node, out)
    _begin_pings(node, out)
    _begin_questions(node, out)


# --- the role of the server ------------------------------------------------------------------------------------------


def _ask(node, out):
    _command(node, out)
    send(out, REDIS_LINK, INFO)


def _begin_questions(node, out):
    """The policy with one connection sends a password with its first question, and has no turn of its own for it."""
    if node.subscription == NO_SUBSCRIPTION or node.has_password == 0:
        _ask(node, out)
    else:
        _command(node, out)
        send(out, REDIS_LINK, AUTHENTICATE)


def _on_ask_timer(node, now_us, out):
    node.moves = 0
    if node.keeps_phase == 0:
        _ask(node, out)
        set_timer(out, TIMER_ASK, node.info_period_us if node.phase == ON_PRIMARY else node.wait_poll_us)
        return
    set_timer(out, TIMER_ASK, node.info_period_us)
    if node.tick_reconnects == 1:
        _reconnect(node, now_us, out)
    if node.session[REDIS_LINK] == OPEN:
        _ask(node, out)


def _on_refused_question(node, now_us, out):
    """A server held up by a script, say, answers INFO with an error."""
    if node.keeps_phase == 1:
        _answered(node, out)
    else:
        _lose(node, now_us, REDIS_LINK, out)


def _on_info(node, now_us, message, out):
    if node.keeps_phase == 1 and node.is_asking == 0:
        node.is_asking = 1
        set_timer(out, TIMER_ASK, node.info_period_us - node.age_us % node.info_period_us)
        node.age_us = 0
    if message.role == PRIMARY:
        _on_primary(node, now_us, message.replicas, out)
        return
    if node.phase == ON_PRIMARY:
        _remember_loss(node, now_us)
    if _shows_primary(node, now_us, message) and node.moves < MAX_HOSTS:
        node.moves += 1 - node.believes_link
        _move(node, now_us, message.primary - 1, out)
    elif node.phase != ON_REPLICA:
        node.phase = ON_REPLICA
        node.came_back = 0
        report(out, WAITING, node.current + 1, now_us, 0)
        if node.keeps_phase == 0:
            set_timer(out, TIMER_ASK, node.wait_poll_us)


def _on_primary(node, now_us, replicas, out):
    node.replicas = replicas
    node.came_back = 0
    node.is_subscribed = 1
    if node.round == LAST_FIRST:
        node.cursor = count_of(replicas)
    if node.phase != ON_PRIMARY:
        node.phase = ON_PRIMARY
        report(out, WRITABLE, node.current + 1, now_us, 0)
        if node.keeps_phase == 0:
            set_timer(out, TIMER_ASK, node.info_period_us)


def _shows_primary(node, now_us, message):
    """True when the replica we are on names a primary worth moving to (behaviour 3)."""
    named = message.primary
    if named == 0 or named == node.current + 1:
        return False
    if node.believes_link == 1:
        return message.link_up == 1
    if named != node.lost_primary:
        return True
    return message.link_up == 1 and now_us - node.lost_us >= (message.heard_s + 1) * 1_000_000


# --- requests of SIP clients -----------------------------------------------------------------------------------------


def _on_request(node, now_us, source, message, out):
    """A REGISTER or a query from a SIP client."""
    is_query = message.kind == QUERY
    if not _can_serve(node, now_us, is_query, out) or not _has_room(node, out):
        _respond(node, out, source, message.request, node.unavailable_status, node.retry_after_s)
        return
    slot = 0
    while node.job[slot] != 0:
        slot += 1
    node.jobs += 1
    node.job[slot] = node.jobs
    node.request[slot] = message.request + 1
    node.client[slot] = message.client
    node.source[slot] = source
    node.is_query[slot] = 1 if is_query else 0
    node.seconds[slot] = message.seconds  # a Contact's own `expires` is granted as it is, in Flexisip, too
    node.open_requests += 1
    _send_job(node, slot, LOOKUP, out)


def _can_serve(node, now_us, is_query, out):
    if node.serves_anywhere == 1:
        return _get_sessions(node, now_us, out)
    return node.phase == ON_PRIMARY or (is_query and node.phase == ON_REPLICA)


def _has_room(node, out):
    """True when one more request can be taken; where nothing else ends them, the oldest makes room."""
    if node.open_requests == MAX_REQUESTS and node.redis_timeout_us == 0:
        oldest = 0
        for slot in range(MAX_REQUESTS):
            if node.job[slot] < node.job[oldest]:
                oldest = slot
        forget(out, node.source[oldest], node.request[oldest] - 1)
        _free(node, oldest)
        node.open_requests -= 1
    return node.open_requests < MAX_REQUESTS


def _send_job(node, slot, kind, out):
    _command(node, out)
    message = send(out, REDIS_LINK, kind)
    message.request = node.request[slot] - 1
    message.job = node.job[slot]
    message.client = node.client[slot]
    message.seconds = node.seconds[slot]


def _on_data(node, now_us, message, out):
    """Redis answered the LOOKUP or the STORE of a SIP request."""
    slot = 0
    while slot < MAX_REQUESTS and node.job[slot] != message.job:
        slot += 1
    if slot == MAX_REQUESTS:
        return
    if message.kind == LOOKUP_REPLY:
        _on_found(node, now_us, slot, message.code, out)
    elif message.code == DONE:
        _end(node, slot, 200, node.seconds[slot], out)
    else:
        _on_refused_write(node, now_us, slot, out)
        if node.keeps_phase == 0:
            # The server may be a primary no longer. Ask at once instead of at the next period.
            _ask(node, out)


def _on_found(node, now_us, slot, code, out):
    is_empty = node.reads_errors_as_empty == 1 and code != IMPOSSIBLE
    if code != DONE and (node.is_query[slot] == 1 or not is_empty):
        _refuse(node, slot, out)
    elif node.is_query[slot] == 1:
        _end(node, slot, 200, 0, out)
    elif node.serves_anywhere == 0 or _get_sessions(node, now_us, out):
        _write(node, slot, out)
    else:
        _refuse(node, slot, out)


def _write(node, slot, out):
    node.tries[slot] += 1
    _send_job(node, slot, STORE, out)


def _on_refused_write(node, now_us, slot, out):
    """Redis refused it, or the connection is lost: tried again after a while, or given up."""
    if node.tries[slot] > node.write_retries:
        _refuse(node, slot, out)
    else:
        if _earliest_us(node) == 0:
            set_timer(out, TIMER_WRITE, node.write_retry_us)
        node.due_us[slot] = now_us + node.write_retry_us


def _retry_writes(node, now_us, out):
    """The earliest of the waiting writes is due, whatever the clock shows, and so are all that the clock says are."""
    due_us = max(now_us, _earliest_us(node))
    for slot in range(MAX_REQUESTS):
        if node.due_us[slot] == 0 or node.due_us[slot] > due_us:
            continue
        node.due_us[slot] = 0
        if node.session[REDIS_LINK] != CLOSED or _may_open_for_write(node, now_us, out):
            _write(node, slot, out)
        else:
            _refuse(node, slot, out)
    next_us = _earliest_us(node)
    if next_us != 0:
        set_timer(out, TIMER_WRITE, min(max(next_us - now_us, 0), node.write_retry_us))


def _may_open_for_write(node, now_us, out):
    return node.subscription == OPENED_ALONE and _get_sessions(node, now_us, out)


def _earliest_us(node):
    """When the first waiting write is due, 0 = none waits."""
    due_us = 0
    for slot in range(MAX_REQUESTS):
        if node.due_us[slot] != 0 and (due_us == 0 or node.due_us[slot] < due_us):
            due_us = node.due_us[slot]
    return due_us


def _fail_pending(node, now_us, out):
    """What is open with Redis has failed (the client cannot know whether it was stored)."""
    for slot in range(MAX_REQUESTS):
        if node.job[slot] != 0 and node.due_us[slot] == 0:
            if node.tries[slot] == 0:
                _refuse(node, slot, out)
            else:
                _on_refused_write(node, now_us, slot, out)


def _refuse(node, slot, out):
    _end(node, slot, node.unavailable_status, node.retry_after_s, out)


def _end(node, slot, status, seconds, out):
    _respond(node, out, node.source[slot], node.request[slot] - 1, status, seconds)
    _free(node, slot)
    node.open_requests -= 1


def _free(node, slot):
    node.job[slot] = 0
    node.request[slot] = 0
    node.tries[slot] = 0
    node.due_us[slot] = 0


def _respond(node, out, source, request, status, seconds):
    message = reply(out, source, RESPONSE)
    message.request = request
    message.code = status
    message.seconds = seconds


# --- connections -----------------------------------------------------------------------------------------------------


def _command(node, out):
    """Book one command to Redis; the first unanswered one starts the Redis time-out."""
    node.unanswered += 1
    if node.unanswered == 1 and node.redis_timeout_us != 0:
        set_timer(out, TIMER_REDIS, node.redis_timeout_us)


def _answered(node, out):
    """Book one answer; Redis answers in order, so each answer shows that the connection lives."""
    node.unanswered -= 1
    if node.unanswered == 0:
        cancel_timer(out, TIMER_REDIS)
    elif node.redis_timeout_us != 0:
        set_timer(out, TIMER_REDIS, node.redis_timeout_us)


def _connect(node, server, out):
    """Open what is closed, to one server. What is open stays where it is."""
    node.target = server
    if node.session[REDIS_LINK] == CLOSED:
        node.phase = CONNECTING
        node.current = server
        node.session[REDIS_LINK] = OPENING
        _command(node, out)
        connect(out, REDIS_LINK, server)
    elif node.session[REDIS_LINK] == OPEN:
        _begin_questions(node, out)
    if node.subscription != NO_SUBSCRIPTION:
        _open_subscription(node, server, out)


def _open_subscription(node, server, out):
    """If it is open its password is sent once more, which Redis does not want to see on what has subscribed."""
    if node.subscription == OPENED_TOGETHER:
        node.session[SUBSCRIPTION_LINK] = CLOSED
        close(out, SUBSCRIPTION_LINK)
    if node.session[SUBSCRIPTION_LINK] == CLOSED:
        node.session[SUBSCRIPTION_LINK] = OPENING
        connect(out, SUBSCRIPTION_LINK, server)
    elif node.session[SUBSCRIPTION_LINK] == OPEN and node.has_password == 1:
        send(out, SUBSCRIPTION_LINK, AUTHENTICATE).code = node.is_subscribed


def _close(node, now_us, link, out):
    """Close a link to Redis; with the commands' goes all that is under way on it."""
    node.session[link] = CLOSED
    close(out, link)
    if link == REDIS_LINK:
        node.phase = DOWN
        node.unanswered = 0
        cancel_timer(out, TIMER_REDIS)
        if node.keeps_phase == 0:
            cancel_timer(out, TIMER_ASK)
        _fail_pending(node, now_us, out)


def _move(node, now_us, server, out):
    """Leave for another server."""
    _close(node, now_us, REDIS_LINK, out)
    if node.subscription != NO_SUBSCRIPTION:
        _close(node, now_us, SUBSCRIPTION_LINK, out)
    _connect(node, server, out)


def _lose(node, now_us, link, out):
    """The connection is closed, refused or silent (behaviour 2)."""
    was_open = node.session[link] == OPEN
    phase = node.phase
    if link == REDIS_LINK and (was_open or node.round == LOST_LAST):
        # Refused connects are told only by the round with a pause of its own: others come in thousands.
        report(out, REDIS_LOST, node.current + 1, now_us, 0)
    _close(node, now_us, link, out)
    if link == REDIS_LINK and phase == ON_PRIMARY:
        _remember_loss(node, now_us)
    if node.round == LOST_LAST and phase == ON_REPLICA and node.came_back == 0:
        node.came_back = 1
        node.cursor = 0
        _connect(node, node.current, out)
    elif node.is_lazy == 1 and node.has_password == 1 and link == REDIS_LINK and not was_open:
        # The subscription was refused with it and takes a step of its own, as measured with Flexisip 2.3.5.
        _step(node, now_us, out)
        _step(node, now_us, out)
    else:
        _reconnect(node, now_us, out)


def _remember_loss(node, now_us):
    node.lost_primary = node.current + 1
    node.lost_us = now_us
    if node.round == LOST_LAST:
        node.cursor = 0


def _is_ready(node):
    """True when nothing is to be opened."""
    if node.session[REDIS_LINK] == CLOSED:
        return False
    return node.subscription != OPENED_ALONE or node.session[SUBSCRIPTION_LINK] != CLOSED


def _get_sessions(node, now_us, out):
    """True when a request can be sent, if only into the queue of a connect that this very request brings about."""
    if node.subscription == OPENED_TOGETHER and not _is_ready(node):
        _connect(node, node.target, out)
        return True
    return _reconnect(node, now_us, out)


def _reconnect(node, now_us, out):
    """Open what is closed to the next candidate of this round; True unless there is none now."""
    if _is_ready(node):
        return True
    if not _step(node, now_us, out):
        return False
    _connect(node, node.target, out)
    return True


def _step(node, now_us, out):
    """Make the next candidate of this round the target; False when there is none now."""
    if _is_in_pause(node, now_us):
        if node.is_pausing == 0:
            node.is_pausing = 1
            set_timer(out, TIMER_RETRY, node.retry_pause_us)
        return False
    candidate = _next_candidate(node, now_us)
    if candidate == 0:
        node.phase = DOWN
        if node.round == LOST_LAST:
            node.cursor = 0
            set_timer(out, TIMER_RETRY, node.retry_pause_us)
        return False
    node.target = candidate - 1
    return True


def _is_in_pause(node, now_us):
    """True shortly after the end of a round, by the wall clock: one that is set back makes it longer."""
    if node.round != LAST_FIRST or node.rotated_us == 0 or node.retry_pause_us == 0:
        return False
    return now_us + node.wall_ahead_us - node.rotated_us < node.retry_pause_us


def _next_candidate(node, now_us):
    """1 + number of the server to try next, 0 = none."""
    known = count_of(node.replicas)
    if node.round == REPLICAS_ONLY:
        if known == 0:
            return 0
        node.cursor = (node.cursor + 1) % known
        return _listed(node.replicas, node.cursor)
    if node.round == LOST_LAST:
        candidate = _candidate(node, known)
        node.cursor += 1
        return candidate
    candidate = node.target + 1
    if node.cursor >= known:
        node.cursor = 0
    else:
        candidate = _listed(node.replicas, node.cursor)
        node.cursor += 1
    if node.cursor == known:
        node.rotated_us = now_us + node.wall_ahead_us
    return candidate


def _candidate(node, known):
    """The replicas in order, then the lost primary; 0 past the end."""
    if node.cursor < known:
        return _listed(node.replicas, node.cursor)
    if node.cursor == known:
        # While no primary was ever seen, the configured server is the only one we know.
        return node.lost_primary if node.lost_primary != 0 else node.configured + 1
    return 0


def count_of(replicas):
    """How many servers a list holds."""
    known = 0
    while replicas != 0:
        replicas >>= 4
        known += 1
    return known


def _listed(replicas, position):
    return (replicas >> (4 * position)) & 15


# --- the subscription ------------------------------------------------------------------------------------------------


def _on_subscription(node, now_us, message, out):
    """Something arrived on the second connection. A refused password makes hiredis close it."""
    kind = message.kind
    if kind == LINK_OPEN:
        node.session[SUBSCRIPTION_LINK] = OPEN
        _begin_pings(node, out)
        if node.has_password == 1:
            send(out, SUBSCRIPTION_LINK, AUTHENTICATE)
    elif kind == AUTHENTICATED and message.code == DONE:
        if node.session[REDIS_LINK] == OPEN:
            _ask(node, out)
    elif kind == PONG:
        node.owes_pong = 0
    else:
        _lose(node, now_us, SUBSCRIPTION_LINK, out)


def _begin_pings(node, out):
    """Every connection that is opened begins the rhythm of PINGs anew (in Flexisip, every one that is begun)."""
    if node.ping_period_us != 0:
        set_timer(out, TIMER_PING, node.ping_period_us - node.age_us % node.ping_period_us)


def _on_ping_timer(node, now_us, out):
    """A sign of life is asked for; without one since the last time, the connection is opened anew."""
    set_timer(out, TIMER_PING, node.ping_period_us)
    if not _reconnect(node, now_us, out):
        return
    if node.owes_pong == 1:
        node.owes_pong = 0
        _close(node, now_us, SUBSCRIPTION_LINK, out)
        _connect(node, node.target, out)
    else:
        node.owes_pong = 1
        send(out, SUBSCRIPTION_LINK, PING)


# --- a sentinel that is followed -------------------------------------------------------------------------------------


def _try_next_sentinel(node, out):
    """Connect to the own host's sentinel, or to the next one after those that failed."""
    for _ in range(MAX_HOSTS):
        host = (node.me + node.sentinel) % MAX_HOSTS
        node.sentinel = (node.sentinel + 1) % MAX_HOSTS
        if (node.sentinels >> host) & 1 == 1:
            node.session[SENTINEL_LINK] = OPENING
            connect(out, SENTINEL_LINK, host)
            set_timer(out, TIMER_SENTINEL, SENTINEL_PERIOD_US)
            return


def _on_sentinel(node, now_us, message, out):
    kind = message.kind
    if kind == LINK_OPEN:
        node.session[SENTINEL_LINK] = OPEN
        node.sentinel = 0
        node.sentinel_owes_pong = 0
        send(out, SENTINEL_LINK, SUBSCRIBE).sentinel = node.me + 1
        set_timer(out, TIMER_SENTINEL, SENTINEL_PERIOD_US)
    elif kind == LINK_CLOSED:
        node.session[SENTINEL_LINK] = CLOSED
        set_timer(out, TIMER_SENTINEL, SENTINEL_PERIOD_US)
    elif kind == PONG:
        node.sentinel_owes_pong = 0
    elif kind == SWITCHED:
        _on_switched(node, now_us, message, out)


def _on_switched(node, now_us, message, out):
    """A sentinel names the primary: at a switch (code 0), or because we have just subscribed, which may be old news."""
    is_there = node.session[REDIS_LINK] != CLOSED and node.current + 1 == message.primary
    is_old = message.code == 1 and (node.phase == ON_PRIMARY or node.lost_primary == message.primary)
    if is_there:
        if node.session[REDIS_LINK] == OPEN and node.phase != ON_PRIMARY:
            _ask(node, out)
    elif not is_old and message.primary != 0:
        if node.phase == ON_PRIMARY:
            _remember_loss(node, now_us)
        _move(node, now_us, message.primary - 1, out)


def _on_sentinel_timer(node, out):
    """Time for a sign of life, for another sentinel after a pause, or to lose patience with this one."""
    if node.session[SENTINEL_LINK] == OPEN and node.sentinel_owes_pong == 0:
        node.sentinel_owes_pong = 1
        send(out, SENTINEL_LINK, PING)
        set_timer(out, TIMER_SENTINEL, SENTINEL_PERIOD_US)
    else:
        node.session[SENTINEL_LINK] = CLOSED
        close(out, SENTINEL_LINK)
        _try_next_sentinel(node, out)
