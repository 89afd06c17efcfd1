"""A Redis server: its role, its replication link, and what others see of them.

What it models: `replication.c` and INFO of Redis 7.0.15. A server is a primary, or a replica of one; its *history* is
a branch number (the replication id) and an offset. What counts for a failover is how INFO speaks of the link: reset
connections show at once, a silently vanished primary only after `repl-timeout` (60 s); seconds in INFO are differences
of whole wall-clock seconds.

::

    replica's link:   WAIT --cron/at once--> CONNECTING --open--> HANDSHAKE --> UP        (partial resync)
                       ^                         |                    |  \\--> SYNC --> UP (full resync)
                       +------- refused, lost ---+--------------------+-------+-------+

A role change on Sentinel's order (REPLICAOF in a transaction with CLIENT KILL) closes all client connections but the
sender's. A promotion also disconnects the replicas; they come back by partial resync. Becoming a replica keeps the
dataset until the full resync is loaded.

Left out, for now: the dataset itself (the driver follows branches and offsets), ACKs and so `min-replicas-to-write`
and a primary's dropping of silent replicas, LOADING, memory and disk errors, expiry, the size of the backlog (a partial
resync never fails for lack of it).
"""

from __future__ import annotations

from model.effects import (
    CONTINUE,
    FULL_RESYNC,
    HANDSHAKE,
    HANDSHAKE_REPLY,
    HELLO,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_DOWN,
    LINK_OPEN,
    LINK_UP,
    LOOKUP,
    LOOKUP_REPLY,
    MAX_HOSTS,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    PSYNC,
    PUBLISH,
    PUBLISH_REPLY,
    REPLICA,
    REPLICAOF,
    REPLICATE,
    ROLE_PRIMARY,
    ROLE_REPLICA,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
    close,
    connect,
    drop,
    kill_clients,
    reply,
    report,
    send,
    set_timer,
)
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, number

CRON_PERIOD_US = 1_000_000
"""Period of replicationCron. Kind: vendor default."""
REPL_TIMEOUT_S = 60
"""repl-timeout, in whole wall-clock seconds. Kind: vendor default."""
REPL_PING_PERIOD = 10
"""repl-ping-replica-period, in runs of the cron. Kind: vendor default."""
TRANSFER_US = 100_000
"""Time of a full resync of a small dataset once it has begun: fork, transfer, load. Kind: measured."""

REPLICATION_LINK = 0
"""A server's only own link: to its primary."""

# States of the replication link.
LINK_NONE, LINK_WAIT, LINK_CONNECTING, LINK_HANDSHAKE, LINK_SYNC, LINK_IS_UP = range(6)

# Timers.
CRON, TRANSFER = 0, 1

HANDSHAKE_STEPS = 2
"""Round trips between connect and PSYNC: PING, then AUTH with REPLCONF in one go (7.0). Kind: vendor default."""

REDIS = Record(
    "Redis",
    "A Redis server.",
    [
        number("me", "number of its host", 0, MAX_HOSTS),
        number("hosts", "number of hosts in the scenario", 0, MAX_HOSTS),
        number("priority", "replica-priority", 0, 1000),
        duration("sync_delay_us", "repl-diskless-sync-delay"),
        number("role", "PRIMARY or REPLICA", 0, 2),
        number("primary", "1 + number of the primary it follows, 0 = none", 0, MAX_HOSTS),
        number("link", "state of the replication link", 0, 5),
        instant("link_io_us", "last progress of a connect or handshake"),
        number("down_since_s", "wall-clock second in which the link went down, 0 = never", 0, FAR_FUTURE_US, "s"),
        instant("heard_us", "last data from the primary"),
        number("run_rank", "order of its run id among all; drawn at every start of the process", 0, FAR_FUTURE_US),
        number("births", "histories begun by this server", 0, 31),
        number("branch", "current history (replication id)", 0, 255),
        number("offset", "writes and publications in it", 0, FAR_FUTURE_US),
        number("old_branch", "history that this one continued at a promotion (secondary id), 0 = none", 0, 255),
        number("old_offset", "up to which offset", 0, FAR_FUTURE_US),
        number("cron_runs", "runs of the cron", 0, FAR_FUTURE_US),
        number("replicas", "attached replicas in order, 4 bits each, 1 + number", 0, FAR_FUTURE_US),
        number("replica_source", "connection of each attached replica", 0, FAR_FUTURE_US, count=MAX_HOSTS),
        number("replica_waits", "1: waits for a full resync, 2: is being sent one", 0, 2, count=MAX_HOSTS),
        instant("waits_since_us", "when the first of the waiting replicas came, 0 = none waits"),
        flag("transferring", "a full resync is under way"),
        number("subscriber", "1 + connection of each subscribed sentinel, 0 = none", 0, FAR_FUTURE_US, count=MAX_HOSTS),
    ],
)


def boot(node, now_us, run_rank, out):
    """The process has started, empty; role and primary are those of its configuration file."""
    node.run_rank = run_rank
    node.replicas = 0
    node.waits_since_us = 0
    node.transferring = 0
    for number_ in range(node.hosts):
        node.subscriber[number_] = 0
        node.replica_waits[number_] = 0
    node.down_since_s = 0
    node.heard_us = 0
    node.old_branch = 0
    _new_history(node)
    node.offset = 0
    if node.role == PRIMARY:
        node.link = LINK_NONE
        report(out, ROLE_PRIMARY, 0, now_us, 0)
    else:
        node.link = LINK_WAIT
        report(out, ROLE_REPLICA, node.primary, now_us, 0)
    set_timer(out, CRON, CRON_PERIOD_US)


def on_timer(node, now_us, which, out):
    """A timer of this server has run down."""
    if which == CRON:
        _cron(node, now_us, out)
    elif which == TRANSFER:
        _end_transfer(node, out)


def on_message(node, now_us, source, message, out):
    """A command, or something on the replication link."""
    kind = message.kind
    if kind == PING:
        reply(out, source, PONG)
    elif kind == INFO:
        _info(node, now_us, reply(out, source, INFO_REPLY))
    elif kind == PUBLISH:
        _publish(node, message, out)
        reply(out, source, PUBLISH_REPLY)
    elif kind == SUBSCRIBE:
        node.subscriber[message.sentinel - 1] = source + 1
    elif kind == LOOKUP:
        _answer_data(message, LOOKUP_REPLY, 1, source, out)
    elif kind == STORE:
        _answer_data(message, STORE_REPLY, _store(node, message, out), source, out)
    elif kind == REPLICAOF:
        _replicaof(node, now_us, message.primary, out)
        reply(out, source, OK_REPLY)
        kill_clients(out, source)
        for number_ in range(node.hosts):
            node.subscriber[number_] = 0
    elif kind == HANDSHAKE:
        _on_handshake(node, source, message.code, out)
    elif kind == PSYNC:
        _on_psync(node, now_us, source, message, out)
    else:
        _on_replication(node, now_us, message, out)


def _answer_data(message, kind, code, source, out):
    answer = reply(out, source, kind)
    answer.request = message.request
    answer.code = code


def _info(node, now_us, answer):
    """INFO, as far as Sentinel and registrars read it."""
    answer.role = node.role
    answer.run_rank = node.run_rank
    answer.offset = node.offset
    answer.branch = node.branch
    answer.replica_priority = node.priority
    answer.replicas = node.replicas
    if node.role == REPLICA:
        now_s = now_us // 1_000_000
        answer.primary = node.primary
        answer.link_up = 1 if node.link == LINK_IS_UP else 0
        answer.heard_s = now_s - node.heard_us // 1_000_000
        if node.link != LINK_IS_UP:
            answer.down_s = now_s - node.down_since_s if node.down_since_s != 0 else -1


# --- role ------------------------------------------------------------------------------------------------------------


def _replicaof(node, now_us, primary, out):
    """REPLICAOF: `primary` is 1 + its number, 0 = NO ONE. The present role asked for again changes nothing."""
    if primary == 0 and node.role == REPLICA:
        _become_primary(node, now_us, out)
    elif primary != 0 and (node.role == PRIMARY or node.primary != primary):
        _become_replica(node, now_us, primary, out)


def _become_primary(node, now_us, out):
    """replicationUnsetMaster: a new history begins where the old one stands; replicas must come back."""
    close(out, REPLICATION_LINK)
    node.role = PRIMARY
    node.primary = 0
    node.link = LINK_NONE
    node.down_since_s = 0
    node.old_branch = node.branch
    node.old_offset = node.offset
    _new_history(node)
    _detach_all(node, out)
    report(out, ROLE_PRIMARY, 0, now_us, 0)


def _become_replica(node, now_us, primary, out):
    """replicationSetMaster: connects at once, keeps its data until it is in sync."""
    if node.link == LINK_IS_UP:
        _go_down(node, now_us, out)
    node.role = REPLICA
    node.primary = primary
    close(out, REPLICATION_LINK)
    report(out, ROLE_REPLICA, primary, now_us, 0)
    _connect(node, now_us, out)


def _new_history(node):
    node.births += 1
    node.branch = node.me + 1 + (MAX_HOSTS + 1) * node.births


# --- as a replica ----------------------------------------------------------------------------------------------------


def _connect(node, now_us, out):
    node.link = LINK_CONNECTING
    node.link_io_us = now_us
    connect(out, REPLICATION_LINK, node.primary - 1)


def _go_down(node, now_us, out):
    node.down_since_s = now_us // 1_000_000
    report(out, LINK_DOWN, node.primary, now_us, 0)


def _on_replication(node, now_us, message, out):
    """What arrives on the link to the primary."""
    kind = message.kind
    node.link_io_us = now_us
    if kind == LINK_OPEN:
        node.link = LINK_HANDSHAKE
        send(out, REPLICATION_LINK, HANDSHAKE).code = 1
    elif kind == LINK_CLOSED:
        _on_link_closed(node, now_us, out)
    elif kind == HANDSHAKE_REPLY:
        _go_on_with_handshake(node, message.code, out)
    elif kind == CONTINUE or kind == FULL_RESYNC:
        _sync(node, now_us, message, out)
    elif kind == REPLICATE:
        node.heard_us = now_us
        node.offset = message.offset
        _spread(node, message, out)


def _on_link_closed(node, now_us, out):
    """replicationHandleMasterDisconnection: after a loss at once, after a refused attempt at the next cron."""
    if node.link == LINK_IS_UP:
        _go_down(node, now_us, out)
        _connect(node, now_us, out)
    else:
        node.link = LINK_WAIT


def _go_on_with_handshake(node, step, out):
    if step == 0:
        # -NOMASTERLINK: the server asked is itself a replica without a link; try again at the next cron.
        close(out, REPLICATION_LINK)
        node.link = LINK_WAIT
    elif step < HANDSHAKE_STEPS:
        send(out, REPLICATION_LINK, HANDSHAKE).code = step + 1
    else:
        psync = send(out, REPLICATION_LINK, PSYNC)
        psync.branch = node.branch
        psync.offset = node.offset
        psync.sentinel = node.me + 1
        node.link = LINK_SYNC


def _sync(node, now_us, message, out):
    """The primary continues our history, or has sent a whole new dataset."""
    full = 1 if message.kind == FULL_RESYNC else 0
    if node.branch != message.branch or full == 1:
        _detach_all(node, out)
    node.branch = message.branch
    node.offset = message.offset
    node.link = LINK_IS_UP
    node.heard_us = now_us
    node.down_since_s = 0
    report(out, LINK_UP, node.primary, now_us, full)


# --- as a primary (or a replica with replicas of its own) ------------------------------------------------------------


def _on_handshake(node, source, step, out):
    has_data = node.role == PRIMARY or node.link == LINK_IS_UP
    reply(out, source, HANDSHAKE_REPLY).code = step if has_data else 0


def _on_psync(node, now_us, source, message, out):
    """masterTryPartialResync, else a full resync."""
    replica = message.sentinel
    _detach(node, replica)
    attach(node, replica, source)
    continues = message.branch == node.branch and message.offset <= node.offset
    continued = node.old_branch != 0 and message.branch == node.old_branch and message.offset <= node.old_offset
    if continues or continued:
        _send_state(node, replica, CONTINUE, out)
        return
    node.replica_waits[replica - 1] = 1
    if node.waits_since_us == 0:
        node.waits_since_us = now_us
    if node.sync_delay_us == 0:
        _begin_transfer(node, out)


def _begin_transfer(node, out):
    """Fork one child for all replicas that wait now; later ones wait for the next."""
    if node.transferring == 1:
        return
    node.transferring = 1
    node.waits_since_us = 0
    for number_ in range(node.hosts):
        if node.replica_waits[number_] == 1:
            node.replica_waits[number_] = 2
    set_timer(out, TRANSFER, TRANSFER_US)


def _end_transfer(node, out):
    node.transferring = 0
    for number_ in range(node.hosts):
        if node.replica_waits[number_] == 2:
            node.replica_waits[number_] = 0
            _send_state(node, number_ + 1, FULL_RESYNC, out)
    if node.waits_since_us != 0 and node.sync_delay_us == 0:
        _begin_transfer(node, out)


def _send_state(node, replica, kind, out):
    message = reply(out, node.replica_source[replica - 1], kind)
    message.branch = node.branch
    message.offset = node.offset


def attach(node, replica, source):
    """Append a replica (1 + number) to the list."""
    shift = 0
    while (node.replicas >> shift) & 15 != 0:
        shift += 4
    node.replicas |= replica << shift
    node.replica_source[replica - 1] = source


def _detach(node, replica):
    """Take a replica out of the list; the order of the others stays."""
    kept = 0
    shift = 0
    listed = node.replicas
    while listed != 0:
        if listed & 15 != replica:
            kept |= (listed & 15) << shift
            shift += 4
        listed >>= 4
    node.replicas = kept
    node.replica_waits[replica - 1] = 0


def on_replica_gone(node, replica):
    """The driver noticed that the connection of a replica (1 + number) is gone."""
    _detach(node, replica)


def _detach_all(node, out):
    """disconnectSlaves."""
    listed = node.replicas
    while listed != 0:
        drop(out, node.replica_source[(listed & 15) - 1])
        node.replica_waits[(listed & 15) - 1] = 0
        listed >>= 4
    node.replicas = 0
    node.waits_since_us = 0


def _publish(node, message, out):
    """PUBLISH on a primary is part of the history; on a replica it reaches only the replica's own subscribers."""
    if node.role == PRIMARY:
        node.offset += 1
        _spread(node, message, out)
    else:
        _tell_subscribers(node, message, out)


def _store(node, message, out):
    """A write of a registrar: 1 if accepted, 0 on a replica (READONLY)."""
    if node.role == REPLICA:
        return 0
    node.offset += 1
    _spread(node, message, out)
    return 1


def _spread(node, message, out):
    """Pass a change of the history on to all replicas in sync and, if it is a hello, to the subscribers."""
    _tell_subscribers(node, message, out)
    listed = node.replicas
    while listed != 0:
        replica = listed & 15
        if node.replica_waits[replica - 1] == 0:
            copy = reply(out, node.replica_source[replica - 1], REPLICATE)
            copy.offset = node.offset
            _copy_hello(message, copy)
        listed >>= 4


def _tell_subscribers(node, message, out):
    """Only hellos name a sentinel; all other changes go past the subscribers."""
    if message.sentinel == 0:
        return
    for number_ in range(node.hosts):
        if node.subscriber[number_] != 0:
            _copy_hello(message, reply(out, node.subscriber[number_] - 1, HELLO))


def _copy_hello(message, copy):
    copy.sentinel = message.sentinel
    copy.epoch = message.epoch
    copy.primary = message.primary
    copy.config_epoch = message.config_epoch


# --- the cron --------------------------------------------------------------------------------------------------------


def _cron(node, now_us, out):
    """replicationCron, once a second."""
    now_s = now_us // 1_000_000
    if node.role == REPLICA:
        silent_s = now_s - node.link_io_us // 1_000_000
        if node.link in (LINK_CONNECTING, LINK_HANDSHAKE, LINK_SYNC) and silent_s > REPL_TIMEOUT_S:
            close(out, REPLICATION_LINK)
            node.link = LINK_WAIT
        if node.link == LINK_IS_UP and now_s - node.heard_us // 1_000_000 > REPL_TIMEOUT_S:
            close(out, REPLICATION_LINK)
            _on_link_closed(node, now_us, out)
        if node.link == LINK_WAIT:
            _connect(node, now_us, out)
    elif node.cron_runs % REPL_PING_PERIOD == 0 and node.replicas != 0:
        _ping_replicas(node, out)
    waited_us = now_us - node.waits_since_us
    if node.waits_since_us != 0 and waited_us >= node.sync_delay_us:
        _begin_transfer(node, out)
    node.cron_runs += 1
    set_timer(out, CRON, CRON_PERIOD_US)


def _ping_replicas(node, out):
    """The primary's PING to its replicas is part of the history, too."""
    node.offset += 1
    listed = node.replicas
    while listed != 0:
        if node.replica_waits[(listed & 15) - 1] == 0:
            reply(out, node.replica_source[(listed & 15) - 1], REPLICATE).offset = node.offset
        listed >>= 4
