"""A Redis server: its role, its replication link, what it answers, and what others see of it.

What it models: `replication.c`, `processCommand` and INFO of Redis 7.0.15; where families of versions part, a flag of
the record (see `model.versions`). A server is a primary, or a replica of one; its *history* is a branch number (the
replication id) and an offset. What counts for a failover is how INFO speaks of the link: reset connections show at
once, a silently vanished primary only after repl-timeout.

::

    replica's link:   WAIT --cron/at once--> CONNECTING --open--> HANDSHAKE --> SYNC --> UP
                       ^                         |                    |           |       |
                       +------- refused, lost ---+--------------------+-----------+-------+

    primary, about a replica:   PSYNC --+-- its history is in the backlog: CONTINUE ------------------> online
                                        +-- else: waits for the diskless delay --> transfer ---------> online
                                        +-- loading, in a script, or without a link itself: refused (cron tries again)

**Time** is the wall clock of the host: it may jump. Redis compares whole seconds of it: repl-timeout (three uses), the
lag of a replica, the diskless delay, the ages in INFO. So a step forward by more than repl-timeout breaks the links of
the host, and one backward keeps a dead link up for longer; nothing here says so, it follows. Timers do not jump.

**Health.** What a client gets, first reason first:

============  ==========================================  ==================================================
reason        PING                                        everything else
============  ==========================================  ==================================================
saves fail    MISCONF (6.2: not from a replica)           writes refused
few replicas  PONG                                        writes refused (NOREPLICAS), on a primary only
replica       PONG                                        writes refused (READONLY)
loading       LOADING                                     INFO, PUBLISH, SUBSCRIBE work; all else refused
script        nothing for 5 s, then BUSY                  the same; SCRIPT KILL works
============  ==========================================  ==================================================

Registrars are told the reason, as a code of LOOKUP_REPLY and STORE_REPLY: of a transaction, that of its first command
(EXEC itself says EXECABORT). AUTH on a connection that is subscribed is refused: in RESP2 it is out of place there.

A refused REPLICAOF takes the CLIENT KILL of its transaction with it. Servers ask for a password, so the PING of a
replica's handshake gets NOAUTH whatever the health, AUTH and REPLCONF work always, and a refusal shows at PSYNC.

A role change on Sentinel's order (REPLICAOF in a transaction with CONFIG REWRITE and CLIENT KILL) closes all client
connections but the sender's, when the file is written; by then the connection to the new primary is often there: a
client that comes back at once and finds the link down has lost a race of a millisecond (docs/flexisip.md). A promotion
also disconnects the replicas; they come back by partial resync. Becoming a replica keeps the dataset until the full
resync is loaded (replica-serve-stale-data yes: reads go on).

Left out: the dataset itself (the driver follows branches and offsets; `is_visible` and its neighbours say what
expiry does to one key); the size of the backlog in bytes (where it *begins* is kept) and its end after an hour without
replicas; a loading time of replicas (part of `TRANSFER_US`); memory limits, AOF, disk errors other than of snapshots;
scripts that have written (they cannot be killed), and that a replica in a script applies its primary's stream late;
the client that retries with SYNC in a tight loop when PSYNC is answered with BUSY (here: at the next cron); replicas'
SYNC from a replica that is itself in a full resync.
"""

from __future__ import annotations

from model.effects import (
    ACK,
    ALIVE,
    AUTHENTICATE,
    AUTHENTICATED,
    BUSY,
    BUSY_REPLY,
    CONTINUE,
    DONE,
    FAIL_SAVES,
    FULL_RESYNC,
    HANDSHAKE,
    HANDSHAKE_REPLY,
    HELLO,
    IMPOSSIBLE,
    INFO,
    INFO_REPLY,
    KEEP_ALIVE,
    LINK_CLOSED,
    LINK_DOWN,
    LINK_OPEN,
    LINK_UP,
    LOADING_REPLY,
    LOOKUP,
    LOOKUP_REPLY,
    MAX_HOSTS,
    MEND_SAVES,
    MISCONF_REPLY,
    NOREPLICAS_REPLY,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    PSYNC,
    PUBLISH,
    PUBLISH_REPLY,
    READONLY_REPLY,
    REASONS,
    REPLICA,
    REPLICAOF,
    REPLICATE,
    ROLE_PRIMARY,
    ROLE_REPLICA,
    SCRIPT_KILL,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
    block,
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
FIRST_CRON_US = 1_000
"""From the end of loading to the first run of the cron. server.c initServer. Kind: vendor default."""
REPL_PING_PERIOD = 10
"""repl-ping-replica-period, in runs of the cron. Kind: vendor default."""
TRANSFER_US = 100_000
"""Time of a full resync of a small dataset once it has begun: fork, transfer, load. Kind: measured."""
REWRITE_US = 500
"""Time for which CONFIG REWRITE holds a server up, on a good disk. Kind: measured (lab, folder in memory: 0 or 1 ms
between the log lines of a re-pointed replica in 16 of 20; on a busy disk 2 to 20 times as much)."""
SCRIPT_PATIENCE_US = 5_000_000
"""So long a script holds up everything (busy-reply-threshold, before 7.0 lua-time-limit). Kind: vendor default."""

REPLICATION_LINK = 0
"""A server's only own link: to its primary."""

# States of the replication link.
LINK_NONE, LINK_WAIT, LINK_CONNECTING, LINK_HANDSHAKE, LINK_SYNC, LINK_IS_UP = range(6)

# Progress of an attached replica.
ONLINE, WAITS, IS_SENT = 0, 1, 2

# Answers to a write.
REFUSED_WRITE, ACCEPTED_WRITE, NO_ANSWER = 0, 1, 2

# Timers.
CRON, TRANSFER = 0, 1

HANDSHAKE_STEPS = 2
"""Round trips from connect to PSYNC: PING, then AUTH with REPLCONF in one go (since 6.2). Kind: vendor default."""

REDIS = Record(
    "Redis",
    "A Redis server.",
    [
        number("me", "number of its host", 0, MAX_HOSTS),
        number("hosts", "number of hosts in the scenario", 0, MAX_HOSTS),
        number("priority", "replica-priority", 0, 1000),
        duration("sync_delay_us", "repl-diskless-sync-delay"),
        number("repl_timeout_s", "repl-timeout", 0, 3_600, "s"),
        number("min_replicas_to_write", "min-replicas-to-write, 0 = off", 0, MAX_HOSTS),
        number("min_replicas_max_lag_s", "min-replicas-max-lag", 0, 3_600, "s"),
        flag("restart_forgets_history", "see model.versions"),
        flag("misconf_spares_replicas", "see model.versions"),
        flag("demotion_drops_replicas", "see model.versions"),
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
        number("old_branch", "history that this one continued (secondary id), 0 = none", 0, 255),
        number("old_offset", "up to which offset", 0, FAR_FUTURE_US),
        number("backlog_offset", "what came after this offset is in the backlog", 0, FAR_FUTURE_US),
        number("cron_runs", "runs of the cron", 0, FAR_FUTURE_US),
        number("replicas", "attached replicas in order, 4 bits each, 1 + number", 0, FAR_FUTURE_US),
        number("replica_source", "connection of each attached replica", 0, FAR_FUTURE_US, count=MAX_HOSTS),
        number("replica_waits", "ONLINE, WAITS for a full resync, or IS_SENT one", 0, 2, count=MAX_HOSTS),
        number("acked_s", "wall-clock second of its last ACK, or of its PSYNC", 0, FAR_FUTURE_US, "s", MAX_HOSTS),
        number("good_replicas", "online replicas with little lag, one bit each, as last counted", 0, 127),
        flag("transferring", "a full resync is under way"),
        flag("loading", "it reads its snapshot"),
        flag("saves_fail", "the last snapshot could not be written"),
        flag("script", "a script runs"),
        instant("is_silent_until_us", "nothing is answered before, 0 = never was so"),
        number("subscriber", "1 + connection of each subscribed sentinel, 0 = none", 0, FAR_FUTURE_US, count=MAX_HOSTS),
    ],
)


# --- driver's entry points -------------------------------------------------------------------------------------------


def boot(node, now_us, run_rank, keeps_data, load_us, out):
    """The process has started; role and primary are those of its configuration file, and are no event.

    With `keeps_data` it reads a snapshot for `load_us`; whose history that is, the driver has put into `branch` and
    `offset`. It answers from `now_us` on.
    """
    begin(node, now_us)
    node.run_rank = run_rank
    node.link = LINK_NONE if node.role == PRIMARY else LINK_WAIT
    node.loading = 1 if load_us > 0 else 0
    _take_up_history(node, keeps_data)
    set_timer(out, CRON, load_us + FIRST_CRON_US)


def begin(node, now_us):
    """A new process in good health: all that an earlier one knew of its connections and its state is void."""
    node.link_io_us = now_us
    node.heard_us = 0
    node.down_since_s = 0
    node.cron_runs = 0
    node.replicas = 0
    node.good_replicas = 0
    node.transferring = 0
    node.loading = 0
    node.saves_fail = 0
    node.script = 0
    node.is_silent_until_us = 0
    for number_ in range(node.hosts):
        node.replica_source[number_] = 0
        node.replica_waits[number_] = ONLINE
        node.acked_s[number_] = 0
        node.subscriber[number_] = 0


def on_fault(node, now_us, event, amount_us, out):
    """FAIL_SAVES, MEND_SAVES, or BUSY: a script starts that runs for `amount_us` unless it is killed."""
    if event == FAIL_SAVES:
        node.saves_fail = 1
    elif event == MEND_SAVES:
        node.saves_fail = 0
    elif event == BUSY and node.loading == 0 and node.script == 0:
        _run_script(node, now_us, amount_us, out)


def answers_write(node, now_us):
    """What a client's write gets now: ACCEPTED_WRITE, REFUSED_WRITE or NO_ANSWER.

    It may change with every call of a handler, with `on_replica_gone` and at `is_silent_until_us`, without a report.
    A driver must ask before it concludes anything from the BLOCK of a script: until that is over, NO_ANSWER.
    """
    if node.script == 1 and now_us < node.is_silent_until_us:
        return NO_ANSWER
    healthy = node.loading == 0 and node.script == 0 and node.saves_fail == 0
    return ACCEPTED_WRITE if node.role == PRIMARY and healthy and _has_good_replicas(node) else REFUSED_WRITE


def on_timer(node, now_us, which, out):
    """A timer of this server has run down."""
    if which == CRON:
        _cron(node, now_us, out)
    elif node.script == 1:
        # The end of the child process is noticed by the event loop.
        set_timer(out, TRANSFER, CRON_PERIOD_US)
    else:
        _end_transfer(node, now_us, out)


def on_message(node, now_us, source, message, out):
    """A client's command, something from a replica, or something on the replication link."""
    kind = message.kind
    if PING <= kind <= AUTHENTICATE:
        _on_command(node, now_us, source, message, out)
    elif kind == HANDSHAKE:
        reply(out, source, HANDSHAKE_REPLY).code = message.code
    elif kind == PSYNC:
        _on_psync(node, now_us, source, message, out)
    elif kind == ACK:
        if node.replica_source[message.sentinel - 1] == source:
            node.acked_s[message.sentinel - 1] = now_us // 1_000_000
    else:
        _on_replication(node, now_us, message, out)


def on_replica_gone(node, replica):
    """The driver noticed that the connection of a replica (1 + number) is gone."""
    _detach(node, replica)


# --- commands of clients ---------------------------------------------------------------------------------------------


def _on_command(node, now_us, source, message, out):
    """processCommand."""
    kind = message.kind
    held_up = node.loading == 1 or node.script == 1
    if kind == PING:
        reply(out, source, PONG).code = _health(node)
    elif kind == LOOKUP:
        _answer_data(message, LOOKUP_REPLY, REASONS + _hold_up(node) if held_up else DONE, source, out)
    elif kind == STORE:
        _answer_data(message, STORE_REPLY, _store(node, now_us, message, out), source, out)
    elif kind == AUTHENTICATE:
        reply(out, source, AUTHENTICATED).code = IMPOSSIBLE if message.code == 1 else DONE
    elif kind == SCRIPT_KILL:
        _kill_script(node, out)
        reply(out, source, OK_REPLY)
    elif kind == SUBSCRIBE:
        if node.script == 0:
            node.subscriber[message.sentinel - 1] = source + 1
    elif node.script == 1 or (kind == REPLICAOF and node.loading == 1):
        reply(out, source, OK_REPLY)
    elif kind == INFO:
        _info(node, now_us, reply(out, source, INFO_REPLY))
    elif kind == PUBLISH:
        _publish(node, message, out)
        reply(out, source, PUBLISH_REPLY)
    else:
        _replicaof(node, now_us, message.primary, out)
        block(out, REWRITE_US)
        reply(out, source, OK_REPLY)
        kill_clients(out, source)
        for number_ in range(node.hosts):
            node.subscriber[number_] = 0


def _health(node):
    """Code of the answer to PING."""
    if node.saves_fail == 1 and (node.role == PRIMARY or node.misconf_spares_replicas == 0):
        return MISCONF_REPLY
    return _hold_up(node)


def _hold_up(node):
    """What stands in the way of reads as well."""
    if node.loading == 1:
        return LOADING_REPLY
    return BUSY_REPLY if node.script == 1 else ALIVE


def _answer_data(message, kind, code, source, out):
    answer = reply(out, source, kind)
    answer.request = message.request
    answer.job = message.job
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
        if node.link == LINK_IS_UP:
            answer.link_up = 1
            answer.heard_s = max(0, now_s - node.heard_us // 1_000_000)
        else:
            # Negative after a step backward, too; to a reader, every negative number says the same.
            answer.down_s = max(-1, now_s - node.down_since_s) if node.down_since_s != 0 else -1


def _run_script(node, now_us, amount_us, out):
    """Everything stands still at first (the driver holds it up); the cron, too, waits for the end of the script."""
    silent_us = min(amount_us, SCRIPT_PATIENCE_US)
    node.script = 1
    node.is_silent_until_us = now_us + silent_us
    block(out, silent_us)
    set_timer(out, CRON, amount_us - silent_us)


def _kill_script(node, out):
    """SCRIPT KILL: the event loop goes on, and its cron is overdue."""
    if node.script == 1:
        node.script = 0
        set_timer(out, CRON, FIRST_CRON_US)


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
    _continue_as_new_history(node)
    _detach_all(node, out)
    report(out, ROLE_PRIMARY, 0, now_us, 0)


def _become_replica(node, now_us, primary, out):
    """replicationSetMaster: connects at once, keeps its data until it is in sync."""
    if node.link == LINK_IS_UP:
        _go_down(node, now_us, out)
    node.role = REPLICA
    node.primary = primary
    close(out, REPLICATION_LINK)
    if node.demotion_drops_replicas == 1:
        _detach_all(node, out)
    report(out, ROLE_REPLICA, primary, now_us, 0)
    _connect(node, now_us, out)


def _take_up_history(node, keeps_data):
    """loadDataFromDisk: a replica may go on in its snapshot's history; a primary begins one that continues it.

    `restart_forgets_history`: nobody may go on with such a primary, as if its backlog began later still. (6.2 counts
    the offset from 0 again; here it goes on, so that drivers can tell what a history holds.)
    """
    forgets = 0
    if keeps_data == 0:
        node.old_branch = 0
        node.offset = 0
        _new_history(node)
    elif node.role == REPLICA:
        node.old_branch = 0
    else:
        _continue_as_new_history(node)
        forgets = node.restart_forgets_history
    node.backlog_offset = node.offset + forgets


def _continue_as_new_history(node):
    """shiftReplicationId: who has the old history, and no more of it than we, may go on with us."""
    node.old_branch = node.branch
    node.old_offset = node.offset
    _new_history(node)


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
        # PSYNC refused (NOMASTERLINK, LOADING, BUSY): try again at the next cron.
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
    """The primary continues our history, or has sent a whole new dataset; ours was kept until now."""
    full = 1 if message.kind == FULL_RESYNC else 0
    if node.branch != message.branch or full == 1:
        _detach_all(node, out)
    if full == 1:
        node.old_branch = 0
        node.backlog_offset = message.offset
    elif node.branch != message.branch:
        node.old_branch = node.branch
        node.old_offset = node.offset
    node.branch = message.branch
    node.offset = message.offset
    node.link = LINK_IS_UP
    node.heard_us = now_us
    node.down_since_s = 0
    report(out, LINK_UP, node.primary, now_us, full)


# --- as a primary (or a replica with replicas of its own) ------------------------------------------------------------


def _on_psync(node, now_us, source, message, out):
    """syncCommand: refused, continued from the backlog, or a full resync."""
    replica = message.sentinel
    has_data = node.role == PRIMARY or node.link == LINK_IS_UP
    if not has_data or node.loading == 1 or node.script == 1:
        reply(out, source, HANDSHAKE_REPLY).code = 0
        return
    _detach(node, replica)
    _append(node, replica, source)
    if _continues(node, message.branch, message.offset):
        _mark_online(node, now_us, replica)
        _send_state(node, replica, CONTINUE, out)
        return
    node.replica_waits[replica - 1] = WAITS
    node.acked_s[replica - 1] = now_us // 1_000_000
    if node.sync_delay_us == 0:
        _begin_transfer(node, out)


def _continues(node, branch, offset):
    """masterTryPartialResynchronization: the history is ours, and what the replica lacks of it is in the backlog."""
    in_backlog = node.backlog_offset <= offset <= node.offset
    is_old = node.old_branch != 0 and branch == node.old_branch and offset <= node.old_offset
    return in_backlog and (branch == node.branch or is_old)


def _begin_transfer(node, out):
    """Fork one child for all replicas that wait now; later ones wait for the next."""
    if node.transferring == 1:
        return
    node.transferring = 1
    for number_ in range(node.hosts):
        if node.replica_waits[number_] == WAITS:
            node.replica_waits[number_] = IS_SENT
    set_timer(out, TRANSFER, TRANSFER_US)


def _end_transfer(node, now_us, out):
    node.transferring = 0
    for number_ in range(node.hosts):
        if node.replica_waits[number_] == IS_SENT:
            _mark_online(node, now_us, number_ + 1)
            _send_state(node, number_ + 1, FULL_RESYNC, out)
    if node.sync_delay_us == 0 and _longest_wait_s(node, now_us) >= 0:
        _begin_transfer(node, out)


def _longest_wait_s(node, now_us):
    """Whole seconds since the first of the waiting replicas asked; -1 when none waits."""
    longest_s = -1
    for number_ in range(node.hosts):
        if node.replica_waits[number_] == WAITS:
            longest_s = max(longest_s, now_us // 1_000_000 - node.acked_s[number_], 0)
    return longest_s


def _mark_online(node, now_us, replica):
    """The replica is in sync from here on, and good for min-replicas-to-write."""
    node.replica_waits[replica - 1] = ONLINE
    node.acked_s[replica - 1] = now_us // 1_000_000
    node.good_replicas |= 1 << (replica - 1)


def _send_state(node, replica, kind, out):
    message = reply(out, node.replica_source[replica - 1], kind)
    message.branch = node.branch
    message.offset = node.offset


def attach(node, now_us, replica, source):
    """Append a replica (1 + number) that is in sync."""
    _append(node, replica, source)
    _mark_online(node, now_us, replica)


def _append(node, replica, source):
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
    node.replica_waits[replica - 1] = ONLINE
    node.good_replicas &= ~(1 << (replica - 1))


def _detach_all(node, out):
    """disconnectSlaves."""
    listed = node.replicas
    while listed != 0:
        drop(out, node.replica_source[(listed & 15) - 1])
        node.replica_waits[(listed & 15) - 1] = ONLINE
        listed >>= 4
    node.replicas = 0
    node.good_replicas = 0


def _has_good_replicas(node):
    """checkGoodReplicasStatus, on a primary."""
    missing = node.min_replicas_to_write if node.min_replicas_max_lag_s > 0 else 0
    good = node.good_replicas
    while good != 0:
        missing -= good & 1
        good >>= 1
    return missing <= 0


def _publish(node, message, out):
    """PUBLISH on a primary is part of the history; on a replica it reaches only the replica's own subscribers."""
    if node.role == PRIMARY:
        node.offset += 1
        _spread(node, message, out)
    else:
        _tell_subscribers(node, message, out)


def _store(node, now_us, message, out):
    """A write of a registrar: DONE, or why it is refused."""
    if answers_write(node, now_us) != ACCEPTED_WRITE:
        return REASONS + _reason(node)
    node.offset += 1
    _spread(node, message, out)
    return DONE


def _reason(node):
    """Why a write is refused: the first reason of the table above."""
    if node.saves_fail == 1 and (node.role == PRIMARY or node.misconf_spares_replicas == 0):
        return MISCONF_REPLY
    if node.role == PRIMARY and not _has_good_replicas(node):
        return NOREPLICAS_REPLY
    if node.role == REPLICA:
        return READONLY_REPLY
    return _hold_up(node)


def _spread(node, message, out):
    """Pass a change of the history on to all replicas in sync and, if it is a hello, to the subscribers."""
    _tell_subscribers(node, message, out)
    listed = node.replicas
    while listed != 0:
        replica = listed & 15
        if node.replica_waits[replica - 1] == ONLINE:
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
    """replicationCron, once a second; that it runs shows that loading, or a script, is over."""
    node.loading = 0
    node.script = 0
    if node.role == REPLICA:
        _look_after_link(node, now_us, out)
    elif node.cron_runs % REPL_PING_PERIOD == 0 and node.replicas != 0:
        extend_history(node, out)
    _look_after_replicas(node, now_us, out)
    delay_s = (node.sync_delay_us + 999_999) // 1_000_000
    waited_s = _longest_wait_s(node, now_us)
    if waited_s >= 0 and waited_s >= delay_s:
        _begin_transfer(node, out)
    node.cron_runs += 1
    set_timer(out, CRON, CRON_PERIOD_US)


def _look_after_link(node, now_us, out):
    """Give up a silent primary, connect if there is no link, acknowledge what came."""
    now_s = now_us // 1_000_000
    if node.link == LINK_IS_UP:
        if now_s - node.heard_us // 1_000_000 > node.repl_timeout_s:
            close(out, REPLICATION_LINK)
            _on_link_closed(node, now_us, out)
    elif node.link != LINK_WAIT and now_s - node.link_io_us // 1_000_000 > node.repl_timeout_s:
        close(out, REPLICATION_LINK)
        node.link = LINK_WAIT
    if node.link == LINK_WAIT:
        _connect(node, now_us, out)
    elif node.link == LINK_IS_UP:
        send(out, REPLICATION_LINK, ACK).sentinel = node.me + 1


def _look_after_replicas(node, now_us, out):
    """Keep waiting replicas patient, drop those that are silent, count those with little lag."""
    now_s = now_us // 1_000_000
    listed = node.replicas
    node.good_replicas = 0
    while listed != 0:
        number_ = (listed & 15) - 1
        silent_s = now_s - node.acked_s[number_]
        if node.replica_waits[number_] == WAITS:
            reply(out, node.replica_source[number_], KEEP_ALIVE)
        elif node.replica_waits[number_] == ONLINE and silent_s > node.repl_timeout_s:
            drop(out, node.replica_source[number_])
            _detach(node, number_ + 1)
        elif node.replica_waits[number_] == ONLINE and silent_s <= node.min_replicas_max_lag_s:
            node.good_replicas |= 1 << number_
        listed >>= 4


def extend_history(node, out):
    """One more step of the history, for all replicas in sync: a PING to them, or a write that a driver makes."""
    node.offset += 1
    listed = node.replicas
    while listed != 0:
        if node.replica_waits[(listed & 15) - 1] == ONLINE:
            reply(out, node.replica_source[(listed & 15) - 1], REPLICATE).offset = node.offset
        listed >>= 4


# --- expiry of a key -------------------------------------------------------------------------------------------------


def is_visible(node, expires_at_ms, now_us):
    """1 if a reader of this server finds a key that it holds, by its own wall clock, whatever its role."""
    return 1 if now_us // 1000 <= expires_at_ms else 0


def deletes(node, expires_at_ms, now_us):
    """1 if this server removes the key for good (and from its replicas): only a primary does; a replica hides it."""
    return 1 if node.role == PRIMARY and is_visible(node, expires_at_ms, now_us) == 0 else 0


def expiry_at_replica(expires_at_ms, is_relative, sent_us, arrived_us):
    """When a replica takes the key to expire, in ms of its own clock, if the primary set it at `sent_us` of its own.

    `is_relative`: the expiry travels as a time to live (EXPIRE, SET EX where `Differences.relative_expiry` holds), so
    that it begins anew at the arrival; `arrived_us` is an instant of the replica's clock.
    """
    if is_relative == 1:
        return expires_at_ms - sent_us // 1000 + arrived_us // 1000
    return expires_at_ms
