"""What machines say to each other and to their driver.

A machine never acts: it fills an output buffer with *effects*, and its driver carries them out, in order. A *message*
is what travels between machines; one record serves all kinds, unused fields are 0.

Handlers of every machine have these two forms::

    on_timer(node, now_us, which, out)
    on_message(node, now_us, source, message, out)

`source` is the machine's own link number for what arrives on a link that it opened itself, else an opaque
connection number of the driver, to which an answer goes back with `reply`.
"""

from __future__ import annotations

from model.records import FAR_FUTURE_US, Record, flag, instant, nested, number

MAX_HOSTS = 7
"""Most hosts, and so most servers and sentinels. Kind: assumed."""

MAX_EFFECTS = 320
"""Most effects of one handler: a registrar node that loses its Redis refuses 256 requests at once, and a tick of a
sentinel has up to 6 for each of 7 servers and 6 peers. Kind: assumed."""

# Kinds of effects.
SEND, REPLY, CONNECT, CLOSE, SET_TIMER, CANCEL_TIMER, REPORT, BLOCK, KILL_CLIENTS, DROP, FORGET = range(1, 12)

# Kinds of messages: from the driver
LINK_OPEN, LINK_CLOSED = 1, 2
# to a Redis server
# (AUTHENTICATE with code 1 is an AUTH on a connection that is subscribed, where it is out of place)
PING, INFO, PUBLISH, SUBSCRIBE, REPLICAOF, LOOKUP, STORE, SCRIPT_KILL, AUTHENTICATE = range(10, 19)
# from a Redis server (OK_REPLY also stands for an error that the asker only counts: LOADING, BUSY)
PONG, INFO_REPLY, PUBLISH_REPLY, HELLO, LOOKUP_REPLY, STORE_REPLY, OK_REPLY, AUTHENTICATED = range(20, 28)
# between sentinels (besides PING, PONG, PUBLISH, PUBLISH_REPLY)
ASK, ASK_REPLY = 30, 31
# from a sentinel to a registrar node that has sent it SUBSCRIBE: the primary, at once and at every +switch-master
SWITCHED = 32
# between Redis servers
HANDSHAKE, HANDSHAKE_REPLY, PSYNC, CONTINUE, FULL_RESYNC, REPLICATE, ACK, KEEP_ALIVE = 40, 41, 42, 43, 44, 45, 46, 47
# SIP
REGISTER, QUERY, RESPONSE = 50, 51, 52
# keep-alive of a SIP flow (RFC 5626 section 3.5.1)
CRLF_PING, CRLF_PONG = 53, 54
# between a SIP client and the DNS; with RESOLVED the driver has put the records into the client's state
RESOLVE, RESOLVED = 60, 61

# Codes of PONG: what a server answers to PING. Sentinel takes the first three for a sign of life.
ALIVE, LOADING_REPLY, MASTERDOWN_REPLY, MISCONF_REPLY, BUSY_REPLY, NOAUTH_REPLY = range(6)

# Codes of LOOKUP_REPLY, STORE_REPLY, AUTHENTICATED: done; not possible, whatever Redis says; or 10 + why Redis refused.
# That is a code of PONG, or one of two that only writes get; of a transaction, why its first command was refused.
IMPOSSIBLE, DONE, REASONS = 0, 1, 10
READONLY_REPLY, NOREPLICAS_REPLY = 6, 7

# Roles of a Redis server.
PRIMARY, REPLICA = 1, 2

# Purposes of SUBSCRIBE-like links: a sentinel has two connections to each server.
COMMANDS, PUBSUB = 0, 1

# Reports, numbered: the names are those of model.trace.
REPORTS = (
    "",
    "+sdown", "-sdown", "+odown", "-odown", "+new-epoch", "+try-failover", "+vote-for-leader", "+elected-leader",
    "+selected-slave", "+promoted-slave", "+slave-reconf-sent", "+slave-reconf-inprog", "+slave-reconf-done",
    "-slave-reconf-sent-timeout", "+slave-reconf-sent-be", "+failover-end", "+failover-end-for-timeout",
    "-failover-abort-not-elected", "-failover-abort-no-good-slave", "-failover-abort-slave-timeout",
    "+switch-master", "+config-update-from", "+convert-to-slave", "+fix-slave-config", "+reboot", "+tilt", "-tilt",
    "role-primary", "role-replica", "link-up", "link-down",
    "redis-connected", "redis-lost", "waiting", "writable",
    "confirmed", "refused", "unknown",
    "write-accepted", "write-refused", "write-silent",
    "crash", "restart", "pause", "resume", "vanish", "return", "partition", "heal",
    "drop", "deliver", "delay", "step", "drift", "slow-disk", "fast-disk", "fail-saves", "mend-saves", "busy",
    "failover",
    "count-confirmed", "count-refused", "count-unknown", "count-lost",
    "binding-written", "binding-found", "binding-missing", "binding-unanswered",
    "dns-stop", "dns-start", "dns-remove", "dns-add",
    "attempt", "registered", "failed", "flow-lost", "untrusted", "resolved", "unresolved",
    "call-answered", "call-refused", "call-unanswered", "count-calls", "count-calls-failed",
    "forge-hello", "forge-vote",
)  # fmt: skip
(
    _NONE,
    SDOWN, SDOWN_END, ODOWN, ODOWN_END, NEW_EPOCH, TRY_FAILOVER, VOTE_FOR_LEADER, ELECTED_LEADER,
    SELECTED_SLAVE, PROMOTED_SLAVE, RECONF_SENT, RECONF_INPROG, RECONF_DONE,
    RECONF_SENT_TIMEOUT, RECONF_SENT_BEST_EFFORT, FAILOVER_END, FAILOVER_END_FOR_TIMEOUT,
    ABORT_NOT_ELECTED, ABORT_NO_GOOD_SLAVE, ABORT_SLAVE_TIMEOUT,
    SWITCH_MASTER, CONFIG_UPDATE_FROM, CONVERT_TO_SLAVE, FIX_SLAVE_CONFIG, REBOOT, TILT, TILT_END,
    ROLE_PRIMARY, ROLE_REPLICA, LINK_UP, LINK_DOWN,
    REDIS_CONNECTED, REDIS_LOST, WAITING, WRITABLE,
    CONFIRMED, REFUSED, UNKNOWN,
    WRITE_ACCEPTED, WRITE_REFUSED, WRITE_SILENT,
    CRASH, RESTART, PAUSE, RESUME, VANISH, RETURN, PARTITION, HEAL,
    DROP_PACKETS, DELIVER_PACKETS, DELAY, STEP, DRIFT, SLOW_DISK, FAST_DISK, FAIL_SAVES, MEND_SAVES, BUSY,
    MANUAL_FAILOVER,
    COUNT_CONFIRMED, COUNT_REFUSED, COUNT_UNKNOWN, COUNT_LOST,
    BINDING_WRITTEN, BINDING_FOUND, BINDING_MISSING, BINDING_UNANSWERED,
    DNS_STOP, DNS_START, DNS_REMOVE, DNS_ADD,
    ATTEMPT, REGISTERED, FAILED, FLOW_LOST, UNTRUSTED, NAMES_RESOLVED, NAMES_UNRESOLVED,
    CALL_ANSWERED, CALL_REFUSED, CALL_UNANSWERED, COUNT_CALLS, COUNT_CALLS_FAILED,
    FORGE_HELLO, FORGE_VOTE,
) = range(len(REPORTS))  # fmt: skip

_ANY = FAR_FUTURE_US

MESSAGE = Record(
    "Message",
    "What travels between machines.",
    [
        number("kind", "one of the message kinds above", 0, 255),
        number("request", "number of a SIP request, given back in the answer", 0, _ANY),
        number("job", "a registrar's own number of a SIP request, in what it asks of Redis; given back in the answer",
               0, _ANY),
        number("client", "1 + number of the client that a SIP request is from, 0 = a prober", 0, 255),
        number("seconds", "Expires of a REGISTER (0 = leave) and of its 200; Retry-After or Min-Expires of other "
               "answers, 0 = none", 0, _ANY, "s"),
        number("code", "SIP status; DONE or why not, by Redis; step of a handshake; LINK_OPEN with TLS: "
               "what the certificate is (model.sip_client)", 0, 999),
        number("role", "role that INFO reports", 0, 2),
        number("primary", "1 + number of the server that is named as primary, 0 = none", 0, MAX_HOSTS),
        flag("link_up", "INFO: the replica is in sync with its primary"),
        number("down_s", "INFO: seconds since the replica's link went down, 0 while up, -1 = never was", -1, _ANY, "s"),
        number("heard_s", "INFO: seconds since the replica last heard from its primary", 0, _ANY, "s"),
        number("offset", "replication offset: writes and publications applied", 0, _ANY),
        number("branch", "history that `offset` belongs to: changes with every promotion and empty start", 0, 255),
        number("run_rank", "order of the server's run id among all", 0, _ANY),
        number("replica_priority", "INFO: priority for promotion", 0, 1000),
        number("replicas", "INFO: the primary's replicas in order, 4 bits each, 1 + number", 0, _ANY),
        number("epoch", "current epoch of the sender; epoch of a vote", 0, _ANY),
        number("config_epoch", "epoch of the configuration that `primary` belongs to", 0, _ANY),
        number("sentinel", "1 + number of a sentinel: sender of a hello, candidate, who got the vote; or of a replica: "
               "sender of PSYNC, ACK", 0, MAX_HOSTS),
        flag("down", "the sentinel asked sees the primary down"),
    ],
)  # fmt: skip

EFFECT = Record(
    "Effect",
    "One thing a machine wants done.",
    [
        number("kind", "SEND .. FORGET", 0, 15),
        number("target", "own link (SEND, CONNECT, CLOSE), timer, or connection (others)", 0, _ANY),
        number("server", "CONNECT: number of the host to connect to", 0, MAX_HOSTS),
        number("delay_us", "SET_TIMER, BLOCK: how long", 0, _ANY, "us"),
        number("report", "REPORT: index into REPORTS", 0, len(REPORTS) - 1),
        number("about", "REPORT: 1 + number of the host concerned, 0 = none", 0, MAX_HOSTS),
        instant("at_us", "REPORT: instant of the event, on the machine's clock"),
        number("detail_us", "REPORT: see model.trace.EVENTS", 0, _ANY, "us"),
        number("code", "REPORT: see model.trace.EVENTS", 0, _ANY),
        nested("message", "SEND, REPLY: what to send", MESSAGE),
    ],
)

OUT = Record(
    "Out",
    "Output buffer of a handler; the driver empties it after every call.",
    [
        number("n", "effects in the buffer", 0, MAX_EFFECTS),
        nested("effects", "the effects, in order", EFFECT, MAX_EFFECTS),
    ],
)


def clear(message):
    """Set all fields of a message to 0."""
    message.kind = 0
    message.request = 0
    message.job = 0
    message.client = 0
    message.seconds = 0
    message.code = 0
    message.role = 0
    message.primary = 0
    message.link_up = 0
    message.down_s = 0
    message.heard_s = 0
    message.offset = 0
    message.branch = 0
    message.run_rank = 0
    message.replica_priority = 0
    message.replicas = 0
    message.epoch = 0
    message.config_epoch = 0
    message.sentinel = 0
    message.down = 0


def add(out, kind, target):
    """Append an effect and return it."""
    effect = out.effects[out.n]
    out.n += 1
    effect.kind = kind
    effect.target = target
    return effect


def send(out, link, kind):
    """Append a message on an own link; return it, for its fields to be filled."""
    message = add(out, SEND, link).message
    clear(message)
    message.kind = kind
    return message


def reply(out, source, kind):
    """Append an answer on the connection that a message came from; return it."""
    message = add(out, REPLY, source).message
    clear(message)
    message.kind = kind
    return message


def connect(out, link, host):
    """Open an own link to a host; the driver answers LINK_OPEN or LINK_CLOSED."""
    effect = add(out, CONNECT, link)
    effect.server = host


def close(out, link):
    """Close an own link; nothing of it arrives any more, and no LINK_CLOSED comes."""
    add(out, CLOSE, link)


def set_timer(out, which, delay_us):
    """(Re-)arm a timer."""
    effect = add(out, SET_TIMER, which)
    effect.delay_us = delay_us


def cancel_timer(out, which):
    """Disarm a timer."""
    add(out, CANCEL_TIMER, which)


def report(out, event, about, now_us, code):
    """Report an event of the trace."""
    effect = add(out, REPORT, 0)
    effect.report = event
    effect.about = about
    effect.at_us = now_us
    effect.detail_us = 0
    effect.code = code
    return effect


def block(out, delay_us):
    """The machine's process stands still for a while; what this handler sends leaves, and its timers run, from then."""
    effect = add(out, BLOCK, 0)
    effect.delay_us = delay_us


def kill_clients(out, spared):
    """Close all client and pub/sub connections to this server except one."""
    add(out, KILL_CLIENTS, spared)


def drop(out, source):
    """Close a connection that somebody else opened; he is told LINK_CLOSED."""
    add(out, DROP, source)


def forget(out, source, request):
    """A request gets no answer: a driver that keeps something for it may let that go."""
    message = add(out, FORGET, source).message
    clear(message)
    message.request = request
