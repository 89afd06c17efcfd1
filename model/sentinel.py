"""A Redis Sentinel that watches one group: monitoring, election, failover.

What it models: `sentinel.c` of Redis 7.0.15, function by function; docstrings name the function. Compared line by line
with 6.2.16, 7.2.6, 7.4.1 and 8.0-m01: as far as modelled here they differ only in the fsyncs of one rewrite of the
configuration file (part of `flush_us`) and in master-reboot-down-after-period, which 6.2 does not have (0 here).

Why the easy way ("detect after the delay, then elect") is wrong:

* everything is decided at ticks of 52 to 100 ms, each drawn anew, and all comparisons are strict;
* the clock of a silent instance starts at the first *unanswered PING*, up to a second after the fault; that of an
  instance whose connections were reset at the first *reconnect*;
* an earlier detector asks the others only once a second, so the quorum-th detector usually leads;
* one state of the failover a tick, and the promotion is seen only through INFO.

One tick (`sentinelTimer`): clock check; then for the primary, each replica and each other sentinel: reconnect, send
PING / INFO / hello as they are due, check subjectively down; for the primary, before the others, also objectively
down, start of a failover, one step of the failover, and asking the others. Everything else happens between ticks, when
an answer, a hello or a request arrives.

Failover of the leader, one state a tick::

    NONE -> WAIT_START -> SELECT -> SEND_NO_ONE -> WAIT_PROMOTION -> RECONF -> UPDATE_CONFIG -> NONE
              |             |           |              |    (exit by INFO of the promoted replica)
              +-------------+-----------+--------------+--> NONE   (aborts; next attempt after 2 x failover-timeout)

An operator's failover (`force_failover`) enters WAIT_START, too, and leaves it without a majority.

Time. `now_us` is the *wall clock* of the host: it may jump forward and backward, and nothing here assumes that it
grows. A gap between two ticks that is negative or above 2 s starts TILT: for 30 s everything is still sent, answered
and stored, but no instance is judged and no failover begins or goes on. A rewrite of the configuration file (`_flush`)
stops the process: later parts of the same handler see a later clock (`_now`), and what the handler sends leaves when
it is over. What the file holds is all that a restart keeps: `FILE`.

A registrar node may follow a sentinel (SUBSCRIBE): it is told the primary at once, as SENTINEL
GET-MASTER-ADDR-BY-NAME would, and every switch from then on.

Left out: instants are not cut to whole ms; of equal counts of votes the lower host number wins, and replicas are
pointed to the new primary in a cyclic order of host numbers (in Redis both follow the order of a hash table); CLIENT
SETNAME, AUTH and the parts of a transaction are not counted as commands of their own among the 100 that may be pending.
Several groups (they would share the current epoch and the links between sentinels), scripts, hostnames, sentinels that
change address or id, a file that cannot be written, SENTINEL SET / MONITOR / REMOVE.
"""

from __future__ import annotations

from model import draws
from model.effects import (
    ABORT_NO_GOOD_SLAVE,
    ABORT_NOT_ELECTED,
    ABORT_SLAVE_TIMEOUT,
    ALIVE,
    ASK,
    ASK_REPLY,
    BUSY_REPLY,
    COMMANDS,
    CONFIG_UPDATE_FROM,
    CONVERT_TO_SLAVE,
    ELECTED_LEADER,
    FAILOVER_END,
    FAILOVER_END_FOR_TIMEOUT,
    FIX_SLAVE_CONFIG,
    HELLO,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOADING_REPLY,
    MASTERDOWN_REPLY,
    MAX_HOSTS,
    NEW_EPOCH,
    ODOWN,
    ODOWN_END,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    PROMOTED_SLAVE,
    PUBLISH,
    PUBLISH_REPLY,
    PUBSUB,
    REBOOT,
    RECONF_DONE,
    RECONF_INPROG,
    RECONF_SENT,
    RECONF_SENT_BEST_EFFORT,
    RECONF_SENT_TIMEOUT,
    REPLICA,
    REPLICAOF,
    SCRIPT_KILL,
    SDOWN,
    SDOWN_END,
    SELECTED_SLAVE,
    SUBSCRIBE,
    SWITCH_MASTER,
    SWITCHED,
    TILT,
    TILT_END,
    TRY_FAILOVER,
    VOTE_FOR_LEADER,
    block,
    close,
    connect,
    reply,
    report,
    send,
    set_timer,
)
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, nested, number

PING_PERIOD_US = 1_000_000
"""PING period, and least time between two reconnects. sentinel.c SENTINEL_PING_PERIOD. Kind: vendor default."""
INFO_PERIOD_US = 10_000_000
"""INFO period. sentinel.c sentinel_info_period. Kind: vendor default."""
FAST_INFO_PERIOD_US = 1_000_000
"""INFO period of replicas while their primary is down or replaced, or their link is. Kind: vendor default."""
ASK_PERIOD_US = 1_000_000
"""Least time between two answers of a peer; five times this is their validity. Kind: vendor default."""
PUBLISH_PERIOD_US = 2_000_000
"""Hello period. sentinel.c sentinel_publish_period. Kind: vendor default."""
TILT_TRIGGER_US = 2_000_000
"""Gap between two ticks that starts TILT. sentinel.c sentinel_tilt_trigger. Kind: vendor default."""
TILT_PERIOD_US = 30_000_000
"""Length of TILT. sentinel.c sentinel_tilt_period. Kind: vendor default."""
RECONF_TIMEOUT_US = 10_000_000
"""Longest stay of a replica in state SENT. sentinel.c sentinel_slave_reconf_timeout. Kind: vendor default."""
MIN_LINK_AGE_US = 15_000_000
"""Least age of a link that is cut for silence. sentinel_min_link_reconnect_period. Kind: vendor default."""
ELECTION_TIMEOUT_US = 10_000_000
"""Longest wait for votes, if failover-timeout is not shorter. sentinel_election_timeout. Kind: vendor default."""
MAX_DESYNC_MS = 1000
"""Bound of the random part of a failover's start time. SENTINEL_MAX_DESYNC. Kind: vendor default."""
MAX_PENDING = 100
"""Unanswered commands of a link above which nothing periodic is queued. Kind: vendor default."""
FIRST_TICK_US = 1_000
"""From the start of the process to its first tick. server.c initServer. Kind: vendor default."""
BASE_HZ = 10
"""The tick rate is drawn from 10..19 Hz at every tick. server.h CONFIG_DEFAULT_HZ. Kind: vendor default."""
TICK_OVERHEAD_MIN_US, TICK_OVERHEAD_SPREAD_US = 200, 1_000
"""A tick comes this much late: handler, and rounding of the poll time-out up to a whole ms. Kind: measured."""

# States of a failover.
NONE, WAIT_START, SELECT, SEND_NO_ONE, WAIT_PROMOTION, RECONF, UPDATE_CONFIG = range(7)
# Progress of a replica that is pointed to the new primary: flags, as a replica given up (DONE) may be sent to again.
RECONF_NOT, RECONF_IS_SENT, RECONF_IS_INPROG, RECONF_IS_DONE = 0, 1, 2, 4
_RECONF_UNDER_WAY = RECONF_IS_SENT | RECONF_IS_INPROG

TICK = 0
"""The only timer."""

_PEER_LINKS = 2 * MAX_HOSTS
LINKS = 4 * MAX_HOSTS
"""Links of a sentinel: two to each server, one (and a spare number) to each peer."""

WATCH = Record(
    "Watch",
    "What a sentinel keeps about any instance, and about its link to it.",
    [
        flag("known", "the instance exists"),
        flag("connected", "all connections of the link were started and none was lost"),
        flag("cc", "the command connection exists"),
        flag("pc", "the pub/sub connection exists (servers only)"),
        number("pending", "commands without an answer", 0, 1 << 20),
        instant("ping_us", "first PING that is not answered (act_ping_time), 0 = none"),
        instant("last_ping_us", "last PING sent"),
        instant("pong_us", "last answer to a PING"),
        instant("avail_us", "last valid answer to a PING"),
        instant("reconnect_us", "last attempt to connect"),
        instant("cc_us", "start of the command connection"),
        instant("pc_us", "start of the pub/sub connection"),
        instant("heard_us", "last message on the pub/sub connection"),
        instant("publish_us", "last accepted hello (last_pub_time)"),
        flag("s_down", "subjectively down"),
        instant("s_down_us", "when it became so, 0 = never"),
        flag("kill_sent", "SCRIPT KILL was sent since it is down"),
        flag("rebooted", "a primary with a new run id that has not answered PONG yet (SRI_MASTER_REBOOT)"),
        instant("rebooted_us", "when the new run id was seen"),
    ],
)

SERVER = Record(
    "WatchedServer",
    "What a sentinel keeps about a Redis server.",
    [
        nested("watch", "the instance and its link", WATCH),
        instant("info_us", "last INFO, 0 = never"),
        number("role", "role that it reports", 0, 2),
        instant("role_us", "since when it reports that role"),
        instant("conf_us", "when the primary that it names changed last"),
        number("names", "1 + number of the primary it names, 0 = none", 0, MAX_HOSTS),
        flag("link_up", "it reports to be in sync with its primary"),
        number("link_down_us", "how long its link has been down, as it reports", -1_000_000, FAR_FUTURE_US, "us"),
        number("priority", "its priority for promotion", 0, 1000),
        number("offset", "its replication offset", 0, FAR_FUTURE_US),
        number("run_rank", "rank of its run id, 0 = not known", 0, FAR_FUTURE_US),
        number("reconf", "RECONF_NOT, or flags RECONF_IS_SENT .. RECONF_IS_DONE", 0, 7),
        instant("reconf_us", "when REPLICAOF was sent to it in this failover"),
    ],
)

PEER = Record(
    "WatchedSentinel",
    "What a sentinel keeps about another one.",
    [
        nested("watch", "the instance and its link", WATCH),
        flag("down", "it said that the primary is down"),
        number("leader", "1 + number of the sentinel it voted for, 0 = none", 0, MAX_HOSTS),
        number("leader_epoch", "epoch of that vote", 0, 1 << 30),
        instant("answer_us", "its last answer to ASK"),
    ],
)

FILE = Record(
    "SentinelFile",
    "What a sentinel's configuration file holds: all that it knows after a restart.",
    [
        number("current_epoch", "current epoch", 0, 1 << 30),
        number("config_epoch", "epoch of the configuration", 0, 1 << 30),
        number("leader_epoch", "epoch of the last vote; for whom it was is not kept", 0, 1 << 30),
        number("primary", "number of the primary; of the promoted one as soon as its promotion was seen", 0, MAX_HOSTS),
        number("knows_server", "1 for each known server, by host number", 0, 1, count=MAX_HOSTS),
        number("knows_peer", "1 for each known sentinel, by host number", 0, 1, count=MAX_HOSTS),
    ],
)

SENTINEL = Record(
    "Sentinel",
    "A sentinel and its view of the group.",
    [
        number("me", "number of its host", 0, MAX_HOSTS),
        number("hosts", "number of hosts in the scenario", 0, MAX_HOSTS),
        number("first", "where its table of replicas begins: the order of a hash table", 0, MAX_HOSTS),
        number("quorum", "sentinels that must agree", 1, MAX_HOSTS),
        duration("down_after_us", "down-after-milliseconds"),
        duration("failover_timeout_us", "failover-timeout"),
        duration("reboot_down_after_us", "master-reboot-down-after-period (7.0 on), 0 = off"),
        number("parallel_syncs", "replicas pointed to the new primary at once", 1, MAX_HOSTS),
        duration("flush_us", "one rewrite of the configuration file"),
        nested("stream", "its random numbers", draws.STREAM),
        duration("busy_us", "time that this handler has spent in flushes so far"),
        instant("previous_us", "last tick, 0 = none yet"),
        flag("tilt", "in TILT"),
        instant("tilt_us", "start of TILT"),
        number("current_epoch", "current epoch", 0, 1 << 30),
        number("config_epoch", "epoch of the configuration", 0, 1 << 30),
        number("primary", "number of the server that is configured as primary", 0, MAX_HOSTS),
        flag("o_down", "the primary is objectively down"),
        number("leader", "1 + number of the sentinel that this one voted for, 0 = none", 0, MAX_HOSTS),
        number("leader_epoch", "epoch of that vote", 0, 1 << 30),
        flag("in_progress", "a failover of ours is in progress"),
        flag("forced", "an operator asked for it: it needs no majority"),
        number("state", "its state, NONE .. UPDATE_CONFIG", 0, 6),
        number("failover_epoch", "its epoch", 0, 1 << 30),
        instant("start_us", "its start, or of the last vote for another, random part included; 0 = none yet"),
        instant("state_us", "when its state changed"),
        number("promoted", "1 + number of the chosen replica, 0 = none", 0, MAX_HOSTS),
        number("follower", "1 + connection of each subscribed registrar node", 0, FAR_FUTURE_US, count=MAX_HOSTS),
        nested("file", "its configuration file", FILE),
        nested("server", "the Redis servers, by host number", SERVER, MAX_HOSTS),
        nested("peer", "the other sentinels, by host number", PEER, MAX_HOSTS),
    ],
)


# --- driver's entry points -------------------------------------------------------------------------------------------


def on_timer(node, now_us, which, out):
    """One tick (sentinelTimer)."""
    node.busy_us = 0
    _check_tilt(node, now_us, out)
    _visit_server(node, now_us, node.primary, out)
    if node.tilt == 0:
        check_objectively_down(node, now_us, out)
        act_on_primary(node, now_us, out)
    for number_ in range(node.hosts):
        if _follows(node, number_):
            _visit_server(node, _now(node, now_us), number_, out)
    for number_ in range(node.hosts):
        if node.peer[number_].watch.known == 1:
            _visit_peer(node, _now(node, now_us), number_, out)
    if node.state == UPDATE_CONFIG:
        switch_to_promoted(node, now_us, out)
    hz = BASE_HZ + draws.below(node.stream, BASE_HZ)
    late_us = TICK_OVERHEAD_MIN_US + draws.below(node.stream, TICK_OVERHEAD_SPREAD_US)
    set_timer(out, TICK, 1000 // hz * 1000 + late_us)


def on_message(node, now_us, source, message, out):
    """Something arrived, on an own link or from another sentinel."""
    node.busy_us = 0
    kind = message.kind
    if kind == PING:
        reply(out, source, PONG)
    elif kind == PUBLISH:
        on_hello(node, now_us, message, out)
        reply(out, source, PUBLISH_REPLY)
    elif kind == ASK:
        on_ask(node, now_us, source, message, out)
    elif kind == SUBSCRIBE:
        node.follower[message.sentinel - 1] = source + 1
        answer = reply(out, source, SWITCHED)
        answer.primary = current_primary(node) + 1
        answer.code = 1
    elif source < _PEER_LINKS:
        _on_server_message(node, now_us, source, message, out)
    elif kind == ASK_REPLY:
        peer = node.peer[(source - _PEER_LINKS) // 2]
        peer.watch.pending -= 1
        on_ask_reply(peer, now_us, message)
    else:
        _on_answer(node.peer[(source - _PEER_LINKS) // 2].watch, now_us, source, message, out)


def force_failover(node, now_us, out):
    """SENTINEL FAILOVER: begin a failover that needs no majority. True if it was accepted.

    Refused while a failover is in progress and when no replica is good. It takes an epoch that nobody has voted for,
    so two operators at two sentinels can take the same.
    """
    node.busy_us = 0
    if node.in_progress == 1 or best_replica(node, now_us) == 0:
        return False
    start_failover(node, now_us, out)
    node.forced = 1
    return True


def believe(node, now_us, is_hello, sender, epoch, about, out):
    """A message that no sentinel has sent: a hello with a newer primary, or a question for a vote.

    Sentinels cannot tell it from their peers' (6.2.14 to 9.1.2); who may send it, the driver has to know. `about` is
    the number of the host that is named as primary, or whose sentinel the vote is for.
    """
    node.busy_us = 0
    if is_hello == 1:
        take_hello(node, now_us, sender, epoch, about, epoch, out)
    else:
        vote(node, now_us, epoch, about + 1, out)


def reset(node, now_us, out):
    """SENTINEL RESET: forget all replicas and sentinels, and a failover in progress.

    They are found again by INFO of the primary and by hellos, one rewrite of the file each; until the first of these
    the file still knows them.
    """
    node.busy_us = 0
    _renew_primary(node, now_us, node.primary, out)
    for number_ in range(node.hosts):
        peer = node.peer[number_]
        if peer.watch.known == 1:
            _close_connections(peer.watch, _PEER_LINKS + 2 * number_, out)
        peer.watch.known = 0
        if number_ != node.primary:
            node.server[number_].watch.known = 0


def boot(node, now_us, out):
    """The process has started again: what its configuration file holds is known, the rest is forgotten."""
    node.busy_us = 0
    node.previous_us = now_us
    node.tilt = 0
    node.tilt_us = 0
    node.current_epoch = node.file.current_epoch
    node.config_epoch = node.file.config_epoch
    node.leader_epoch = node.file.leader_epoch
    node.primary = node.file.primary
    node.failover_epoch = 0
    _forget_failover(node)
    for number_ in range(node.hosts):
        create_server(node.server[number_], now_us)
        node.server[number_].watch.known = node.file.knows_server[number_]
        create_peer(node.peer[number_], now_us)
        node.peer[number_].watch.known = node.file.knows_peer[number_]
        node.follower[number_] = 0
    node.server[node.primary].role = PRIMARY
    set_timer(out, TICK, FIRST_TICK_US)


def write_file(node):
    """Write all that a restart keeps to the configuration file; at no cost of time (`_flush` has it)."""
    node.file.current_epoch = node.current_epoch
    node.file.config_epoch = node.config_epoch
    node.file.leader_epoch = node.leader_epoch
    node.file.primary = current_primary(node)
    for number_ in range(node.hosts):
        node.file.knows_server[number_] = node.server[number_].watch.known
        node.file.knows_peer[number_] = node.peer[number_].watch.known


# --- answers ---------------------------------------------------------------------------------------------------------


def _on_server_message(node, now_us, source, message, out):
    server = node.server[source // 2]
    kind = message.kind
    if kind == HELLO:
        server.watch.heard_us = now_us
        if message.sentinel != node.me + 1:
            on_hello(node, now_us, message, out)
    elif kind == INFO_REPLY:
        server.watch.pending -= 1
        if message.code == 0:
            on_info(node, now_us, source // 2, message, out)
    elif kind == LINK_OPEN and source % 2 == PUBSUB:
        # Stands for the confirmation of SUBSCRIBE, which comes a round trip later and counts as a sign of life.
        server.watch.heard_us = now_us
    else:
        _on_answer(server.watch, now_us, source, message, out)


def _on_answer(watch, now_us, link, message, out):
    """Answers that change only the link: PONG, PUBLISH_REPLY, OK_REPLY; and the loss of a connection."""
    kind = message.kind
    if kind == LINK_CLOSED:
        _drop(watch, link % 2)
    elif kind == PONG:
        _on_pong(watch, now_us, link, message.code, out)
    elif kind == PUBLISH_REPLY:
        watch.pending -= 1
        if message.code == 0:
            watch.publish_us = now_us
    elif kind == OK_REPLY:
        watch.pending -= 1


def _on_pong(watch, now_us, link, code, out):
    """sentinelPingReplyCallback: any answer keeps the link, only some are a sign of life."""
    watch.pending -= 1
    watch.pong_us = now_us
    if code in (ALIVE, LOADING_REPLY, MASTERDOWN_REPLY):
        watch.avail_us = now_us
        watch.ping_us = 0
        if code == ALIVE:
            watch.rebooted = 0
    elif code == BUSY_REPLY and watch.s_down == 1 and watch.kill_sent == 0:
        send(out, link, SCRIPT_KILL)
        watch.pending += 1
        watch.kill_sent = 1


# --- monitoring: links and periodic commands -------------------------------------------------------------------------


def _check_tilt(node, now_us, out):
    """sentinelCheckTiltCondition: every gap starts the 30 s anew."""
    if node.previous_us > 0:
        gap_us = now_us - node.previous_us
        if gap_us < 0 or gap_us > TILT_TRIGGER_US:
            node.tilt = 1
            node.tilt_us = now_us
            report(out, TILT, 0, now_us, 0)
    node.previous_us = now_us


def _visit_server(node, now_us, number_, out):
    """sentinelHandleRedisInstance for the primary or a replica, as far as both have it in common."""
    watch = node.server[number_].watch
    _reconnect_server(node, watch, now_us, number_, out)
    _send_periodic(node, now_us, number_, out)
    if _is_tilted(node, now_us, out):
        return
    is_down = _silence_us(watch, now_us) > node.down_after_us or _is_no_primary(node, now_us, number_)
    _cut_silent(node, watch, now_us, 2 * number_, out)
    mark(watch, now_us, number_, 0, is_down, out)


def _visit_peer(node, now_us, number_, out):
    """sentinelHandleRedisInstance for another sentinel."""
    watch = node.peer[number_].watch
    link = _PEER_LINKS + 2 * number_
    if watch.connected == 0 and now_us - watch.reconnect_us >= PING_PERIOD_US:
        watch.reconnect_us = now_us
        _open_commands(watch, now_us, link, number_, out)
        watch.connected = 1
    if watch.connected == 1 and watch.pending < MAX_PENDING:
        _ping_if_due(node, watch, now_us, link, out)
        _hello_if_due(node, watch, now_us, link, out)
    if _is_tilted(node, now_us, out):
        return
    is_down = _silence_us(watch, now_us) > node.down_after_us
    _cut_silent(node, watch, now_us, link, out)
    mark(watch, now_us, number_, 1, is_down, out)


def _is_tilted(node, now_us, out):
    """True while TILT lasts; the first instance visited after 30 s ends it, in the middle of a tick."""
    if node.tilt == 1 and now_us - node.tilt_us >= TILT_PERIOD_US:
        node.tilt = 0
        report(out, TILT_END, 0, now_us, 0)
    return node.tilt == 1


def _reconnect_server(node, watch, now_us, number_, out):
    """sentinelReconnectInstance: both missing connections, at most once a second."""
    if watch.connected == 1 or now_us - watch.reconnect_us < PING_PERIOD_US:
        return
    watch.reconnect_us = now_us
    link = 2 * number_
    _open_commands(watch, now_us, link, number_, out)
    if watch.pc == 0:
        connect(out, link + PUBSUB, number_)
        watch.pc = 1
        watch.pc_us = now_us
        send(out, link + PUBSUB, SUBSCRIBE).sentinel = node.me + 1
    watch.connected = 1


def _open_commands(watch, now_us, link, number_, out):
    if watch.cc == 0:
        connect(out, link, number_)
        watch.cc = 1
        watch.cc_us = now_us
        watch.pending = 0
        _send_ping(watch, now_us, link, out)


def _drop(watch, channel):
    """instanceLinkCloseConnection: a connection is gone, so the link is not connected."""
    if channel == COMMANDS:
        watch.cc = 0
        watch.pending = 0
    else:
        watch.pc = 0
    watch.connected = 0


def _close_connections(watch, link, out):
    """Close what is open of a link."""
    if watch.cc == 1:
        close(out, link)
        _drop(watch, COMMANDS)
    if watch.pc == 1:
        close(out, link + PUBSUB)
        _drop(watch, PUBSUB)


def _send_ping(watch, now_us, link, out):
    """sentinelSendPing: only a first unanswered PING starts the clock."""
    send(out, link, PING)
    watch.pending += 1
    watch.last_ping_us = now_us
    if watch.ping_us == 0:
        watch.ping_us = now_us


def _send_periodic(node, now_us, number_, out):
    """sentinelSendPeriodicCommands for a server."""
    server = node.server[number_]
    watch = server.watch
    if watch.connected == 0 or watch.pending >= MAX_PENDING:
        return
    period_us = INFO_PERIOD_US
    if number_ != node.primary and (node.o_down == 1 or node.in_progress == 1 or server.link_down_us != 0):
        period_us = FAST_INFO_PERIOD_US
    if server.info_us == 0 or now_us - server.info_us > period_us:
        send(out, 2 * number_, INFO)
        watch.pending += 1
    _ping_if_due(node, watch, now_us, 2 * number_, out)
    _hello_if_due(node, watch, now_us, 2 * number_, out)


def _ping_if_due(node, watch, now_us, link, out):
    period_us = min(node.down_after_us, PING_PERIOD_US)
    if now_us - watch.pong_us > period_us and now_us - watch.last_ping_us > period_us // 2:
        _send_ping(watch, now_us, link, out)


def _hello_if_due(node, watch, now_us, link, out):
    """sentinelSendHello, two seconds after the last one that was accepted."""
    if now_us - watch.publish_us > PUBLISH_PERIOD_US:
        hello = send(out, link, PUBLISH)
        hello.sentinel = node.me + 1
        hello.epoch = node.current_epoch
        hello.primary = current_primary(node) + 1
        hello.config_epoch = node.config_epoch
        watch.pending += 1


def current_primary(node):
    """sentinelGetCurrentMasterAddress: the promoted server already counts once its promotion was seen."""
    if node.in_progress == 1 and node.promoted != 0 and node.state >= RECONF:
        return node.promoted - 1
    return node.primary


def _force_hello(node):
    """sentinelForceHelloUpdateForMaster: the next tick sends a hello to everyone."""
    for number_ in range(node.hosts):
        _make_hello_due(node.server[number_].watch)
        _make_hello_due(node.peer[number_].watch)


def _make_hello_due(watch):
    if watch.publish_us >= PUBLISH_PERIOD_US + 1_000:
        watch.publish_us -= PUBLISH_PERIOD_US + 1_000


# --- monitoring: down states -----------------------------------------------------------------------------------------


def _silence_us(watch, now_us):
    """For how long an instance has owed an answer (sentinelCheckSubjectivelyDown)."""
    if watch.ping_us != 0:
        return now_us - watch.ping_us
    if watch.connected == 0:
        return now_us - watch.avail_us
    return 0


def _is_no_primary(node, now_us, number_):
    """The server is configured as primary but says it is none, or it restarted and still loads."""
    server = node.server[number_]
    if server.watch.rebooted == 1 and now_us - server.watch.rebooted_us > node.reboot_down_after_us:
        return True
    limit_us = node.down_after_us + 2 * INFO_PERIOD_US
    return number_ == node.primary and server.role == REPLICA and now_us - server.role_us > limit_us


def _cut_silent(node, watch, now_us, link, out):
    """Cut connections that are old and silent (sentinelCheckSubjectivelyDown)."""
    half_us = node.down_after_us // 2
    if (
        watch.cc == 1
        and now_us - watch.cc_us > MIN_LINK_AGE_US
        and watch.ping_us != 0
        and now_us - watch.ping_us > half_us
        and now_us - watch.pong_us > half_us
    ):
        close(out, link)
        _drop(watch, COMMANDS)
    if watch.pc == 1 and now_us - watch.pc_us > MIN_LINK_AGE_US and now_us - watch.heard_us > 3 * PUBLISH_PERIOD_US:
        close(out, link + PUBSUB)
        _drop(watch, PUBSUB)


def mark(watch, now_us, number_, is_sentinel, is_down, out):
    """Set or clear "subjectively down"; when that began stays known afterwards."""
    if is_down and watch.s_down == 0:
        watch.s_down = 1
        watch.s_down_us = now_us
        report(out, SDOWN, number_ + 1, now_us, is_sentinel)
    elif not is_down and watch.s_down == 1:
        watch.s_down = 0
        watch.kill_sent = 0
        report(out, SDOWN_END, number_ + 1, now_us, is_sentinel)


def check_objectively_down(node, now_us, out):
    """sentinelCheckObjectivelyDown: what others said up to 5 s ago counts, whatever its order."""
    down = False
    if node.server[node.primary].watch.s_down == 1:
        agreeing = 1
        for number_ in range(node.hosts):
            agreeing += node.peer[number_].watch.known * node.peer[number_].down
        down = agreeing >= node.quorum
    if down and node.o_down == 0:
        node.o_down = 1
        report(out, ODOWN, node.primary + 1, now_us, 0)
    elif not down and node.o_down == 1:
        node.o_down = 0
        report(out, ODOWN_END, node.primary + 1, now_us, 0)


def act_on_primary(node, now_us, out):
    """The acting half of a tick: start a failover if one may start, take it one step on, ask the others."""
    if may_start_failover(node, now_us):
        start_failover(node, now_us, out)
        ask_others(node, now_us, True, out)
    step_failover(node, now_us, out)
    ask_others(node, now_us, False, out)


def ask_others(node, now_us, forced, out):
    """sentinelAskMasterStateToOtherSentinels. Only answers are timed: who does not answer is asked at every tick."""
    for number_ in range(node.hosts):
        peer = node.peer[number_]
        if peer.watch.known == 0:
            continue
        age_us = _since(node, now_us, peer.answer_us)
        if age_us > 5 * ASK_PERIOD_US:
            peer.down = 0
            peer.leader = 0
        if node.server[node.primary].watch.s_down == 0 or peer.watch.connected == 0:
            continue
        if not forced and age_us < ASK_PERIOD_US:
            continue
        ask = send(out, _PEER_LINKS + 2 * number_, ASK)
        ask.primary = node.primary + 1
        ask.epoch = node.current_epoch
        ask.sentinel = node.me + 1 if node.state > NONE else 0
        peer.watch.pending += 1


def on_ask(node, now_us, source, message, out):
    """SENTINEL is-master-down-by-addr: say whether the primary is down, and vote if asked to.

    A vote needs nothing but the same primary: neither is it down for this sentinel, nor does TILT matter.
    """
    same = message.primary == node.primary + 1
    answer_down = 1 if same and node.tilt == 0 and node.server[node.primary].watch.s_down == 1 else 0
    leader = 0
    epoch = 0
    if same and message.sentinel != 0:
        vote(node, now_us, message.epoch, message.sentinel, out)
        leader = node.leader
        epoch = node.leader_epoch
    answer = reply(out, source, ASK_REPLY)
    answer.down = answer_down
    answer.sentinel = leader
    answer.epoch = epoch


def on_ask_reply(peer, now_us, message):
    """sentinelReceiveIsMasterDownReply. A vote is stored even when it is an old one."""
    peer.answer_us = now_us
    peer.down = message.down
    if message.sentinel != 0:
        peer.leader = message.sentinel
        peer.leader_epoch = message.epoch


# --- election --------------------------------------------------------------------------------------------------------


def may_start_failover(node, now_us):
    """sentinelStartFailoverIfNeeded: objectively down, none in progress, the last one long enough ago."""
    if node.o_down == 0 or node.in_progress == 1:
        return False
    return node.start_us == 0 or now_us - node.start_us >= 2 * node.failover_timeout_us


def start_failover(node, now_us, out):
    """sentinelStartFailover. The random part of the start time delays nothing but the abort and the next attempt."""
    node.state = WAIT_START
    node.in_progress = 1
    node.current_epoch += 1
    node.failover_epoch = node.current_epoch
    _tell(node, now_us, NEW_EPOCH, 0, node.current_epoch, out)
    _tell(node, now_us, TRY_FAILOVER, node.primary + 1, 0, out)
    node.start_us = _jittered(node, now_us)
    node.state_us = now_us


def _jittered(node, now_us):
    return _now(node, now_us) + draws.below(node.stream, MAX_DESYNC_MS) * 1000


def vote(node, now_us, epoch, candidate, out):
    """sentinelVoteLeader: one vote an epoch, first come first served. `candidate` is 1 + its number."""
    if epoch > node.current_epoch:
        _adopt_epoch(node, now_us, epoch, out)
    if node.leader_epoch < epoch and node.current_epoch <= epoch:
        node.leader = candidate
        node.leader_epoch = node.current_epoch
        _flush(node, out)
        _tell(node, now_us, VOTE_FOR_LEADER, candidate, node.leader_epoch, out)
        if candidate != node.me + 1:
            node.start_us = _jittered(node, now_us)


def _adopt_epoch(node, now_us, epoch, out):
    node.current_epoch = epoch
    _flush(node, out)
    _tell(node, now_us, NEW_EPOCH, 0, epoch, out)


def elected(node, now_us, out):
    """sentinelGetLeader for the failover epoch: 1 + number of the winner, 0 = none.

    All sentinels ever seen count as voters, dead or not. Votes of peers count when their epoch is the *current* epoch,
    the own vote when its epoch is the *failover* epoch: that difference is Redis's, and a known flaw (redis issue
    11571).
    """
    winner = 0
    most = 0
    for candidate in range(1, node.hosts + 1):
        votes = _votes_of_peers(node, candidate)
        if votes > most:
            most = votes
            winner = candidate
    vote(node, now_us, node.failover_epoch, winner if winner != 0 else node.me + 1, out)
    if node.leader != 0 and node.leader_epoch == node.failover_epoch:
        votes = _votes_of_peers(node, node.leader) + 1
        if votes > most:
            most = votes
            winner = node.leader
    voters = 1
    for number_ in range(node.hosts):
        voters += node.peer[number_].watch.known
    if most < voters // 2 + 1 or most < node.quorum:
        return 0
    return winner


def _votes_of_peers(node, candidate):
    votes = 0
    for number_ in range(node.hosts):
        peer = node.peer[number_]
        if peer.watch.known == 1 and peer.leader == candidate and peer.leader_epoch == node.current_epoch:
            votes += 1
    return votes


# --- failover of the leader ------------------------------------------------------------------------------------------


def step_failover(node, now_us, out):
    """sentinelFailoverStateMachine: at most one state a tick."""
    if node.in_progress == 0:
        return
    if node.state == WAIT_START:
        _wait_start(node, now_us, out)
    elif node.state == SELECT:
        _select(node, now_us, out)
    elif node.state == SEND_NO_ONE:
        _send_no_one(node, now_us, out)
    elif node.state == WAIT_PROMOTION:
        _abort_if_late(node, now_us, out)
    elif node.state == RECONF:
        _reconf_next(node, now_us, out)
        _detect_end(node, now_us, out)


def _enter(node, now_us, state):
    node.state = state
    node.state_us = _now(node, now_us)


def _abort(node, now_us, event, out):
    """sentinelAbortFailover."""
    _tell(node, now_us, event, node.primary + 1, 0, out)
    node.in_progress = 0
    node.forced = 0
    node.promoted = 0
    _enter(node, now_us, NONE)


def _abort_if_late(node, now_us, out):
    """The promotion takes longer than failover-timeout, to be ordered or to be seen."""
    if now_us - node.state_us > node.failover_timeout_us:
        _abort(node, now_us, ABORT_SLAVE_TIMEOUT, out)


def _wait_start(node, now_us, out):
    """sentinelFailoverWaitStart."""
    is_leader = elected(node, now_us, out) == node.me + 1
    if is_leader or node.forced == 1:
        _tell(node, now_us, ELECTED_LEADER, node.primary + 1, node.failover_epoch, out)
        _enter(node, now_us, SELECT)
    elif _since(node, now_us, node.start_us) > min(ELECTION_TIMEOUT_US, node.failover_timeout_us):
        _abort(node, now_us, ABORT_NOT_ELECTED, out)


def _select(node, now_us, out):
    """sentinelFailoverSelectSlave."""
    best = best_replica(node, now_us)
    if best == 0:
        _abort(node, now_us, ABORT_NO_GOOD_SLAVE, out)
    else:
        node.promoted = best
        _tell(node, now_us, SELECTED_SLAVE, best, 0, out)
        _enter(node, now_us, SEND_NO_ONE)


def best_replica(node, now_us):
    """sentinelSelectSlave: 1 + number of the replica to promote, 0 = none is good."""
    best = 0
    for number_ in range(node.hosts):
        if not _follows(node, number_) or not _is_good(node, now_us, node.server[number_]):
            continue
        if best == 0 or _is_better(node.server[number_], node.server[best - 1]):
            best = number_ + 1
    return best


def _is_good(node, now_us, server):
    """A replica is up, answers, has been heard by INFO and has not been away from its primary for too long.

    Whether it ever was in sync is not looked at: a link that never was up counts as down for -1 s (6.2.2 on). One that
    says it is a primary is good as well.
    """
    primary = node.server[node.primary].watch
    link_limit_us = 10 * node.down_after_us
    info_limit_us = 3 * INFO_PERIOD_US
    if primary.s_down == 1:
        link_limit_us += now_us - primary.s_down_us
        info_limit_us = 5 * PING_PERIOD_US
    return (
        server.watch.s_down == 0
        and server.watch.connected == 1
        and now_us - server.watch.avail_us <= 5 * PING_PERIOD_US
        and server.priority != 0
        and now_us - server.info_us <= info_limit_us
        and server.link_down_us <= link_limit_us
    )


def _is_better(server, other):
    """compareSlavesForPromotion: priority, then offset, then run id (an unknown one comes last)."""
    if server.priority != other.priority:
        return server.priority < other.priority
    if server.offset != other.offset:
        return server.offset > other.offset
    if server.run_rank == 0 or other.run_rank == 0:
        return other.run_rank == 0 and server.run_rank != 0
    return server.run_rank < other.run_rank


def _send_no_one(node, now_us, out):
    """sentinelFailoverSendSlaveOfNoOne."""
    if node.server[node.promoted - 1].watch.connected == 1:
        _send_replicaof(node, node.promoted - 1, 0, out)
        _enter(node, now_us, WAIT_PROMOTION)
    else:
        _abort_if_late(node, now_us, out)


def _send_replicaof(node, number_, primary, out):
    """sentinelSendSlaveOf: one transaction of six commands. `primary` is 1 + its number, 0 = NO ONE."""
    send(out, 2 * number_, REPLICAOF).primary = primary
    node.server[number_].watch.pending += 1


def _reconf_next(node, now_us, out):
    """sentinelFailoverReconfNextSlave: point replicas to the new primary, `parallel_syncs` at once.

    Redis looks for one that makes no progress only while another could be begun: with parallel-syncs 1 it is not given
    up before the failover times out.
    """
    under_way = 0
    for number_ in range(node.hosts):
        if _follows(node, number_) and node.server[number_].reconf & _RECONF_UNDER_WAY != 0:
            under_way += 1
    for step in range(node.hosts):
        if under_way >= node.parallel_syncs:
            break
        number_ = (node.first + step) % node.hosts
        server = node.server[number_]
        if not _follows(node, number_) or _is_reconfigured(node, number_):
            continue
        if server.reconf & RECONF_IS_SENT != 0 and now_us - server.reconf_us > RECONF_TIMEOUT_US:
            # It counts as done from here on, and yet is sent REPLICAOF once more, now, as in Redis.
            _tell(node, now_us, RECONF_SENT_TIMEOUT, number_ + 1, 0, out)
            server.reconf = RECONF_IS_DONE
        if server.reconf & _RECONF_UNDER_WAY == 0 and server.watch.connected == 1:
            _send_replicaof(node, number_, node.promoted, out)
            server.reconf |= RECONF_IS_SENT
            server.reconf_us = now_us
            _tell(node, now_us, RECONF_SENT, number_ + 1, 0, out)
            under_way += 1


def _follows(node, number_):
    """True for a known server that is configured as replica."""
    return number_ != node.primary and node.server[number_].watch.known == 1


def _is_reconfigured(node, number_):
    """The replica is the promoted one, or is done with."""
    return number_ + 1 == node.promoted or node.server[number_].reconf & RECONF_IS_DONE != 0


def _detect_end(node, now_us, out):
    """sentinelFailoverDetectEnd: there is none while the promoted server is down."""
    if node.promoted == 0 or node.server[node.promoted - 1].watch.s_down == 1:
        return
    left = 0
    for number_ in range(node.hosts):
        is_up = _follows(node, number_) and node.server[number_].watch.s_down == 0
        if is_up and not _is_reconfigured(node, number_):
            left += 1
    timed_out = now_us - node.state_us > node.failover_timeout_us
    if timed_out:
        _tell(node, now_us, FAILOVER_END_FOR_TIMEOUT, node.primary + 1, 0, out)
    if timed_out or left == 0:
        _tell(node, now_us, FAILOVER_END, node.primary + 1, 0, out)
        _enter(node, now_us, UPDATE_CONFIG)
    if timed_out:
        _reconf_best_effort(node, now_us, out)


def _reconf_best_effort(node, now_us, out):
    for number_ in range(node.hosts):
        server = node.server[number_]
        if not _follows(node, number_) or _is_reconfigured(node, number_) or server.reconf & RECONF_IS_SENT != 0:
            continue
        if server.watch.connected == 1:
            _send_replicaof(node, number_, node.promoted, out)
            server.reconf |= RECONF_IS_SENT
            _tell(node, now_us, RECONF_SENT_BEST_EFFORT, number_ + 1, 0, out)


def switch_to_promoted(node, now_us, out):
    """sentinelFailoverSwitchToPromotedSlave."""
    target = node.promoted - 1 if node.promoted != 0 else node.primary
    _announce_switch(node, now_us, target + 1, out)
    _change_primary(node, now_us, target, out)


# --- instances come and go -------------------------------------------------------------------------------------------


def create_peer(peer, now_us):
    """createSentinelRedisInstance for another sentinel."""
    _create_watch(peer.watch, now_us)
    peer.down = 0
    peer.leader = 0
    peer.leader_epoch = 0
    peer.answer_us = now_us


def create_server(server, now_us):
    """createSentinelRedisInstance for a replica: it is down in `down_after` if it never answers."""
    _create_watch(server.watch, now_us)
    server.info_us = 0
    server.role = REPLICA
    server.role_us = now_us
    server.conf_us = now_us
    server.names = 0
    server.link_up = 0
    server.link_down_us = 0
    server.priority = 100
    server.offset = 0
    server.run_rank = 0
    server.reconf = RECONF_NOT
    server.reconf_us = 0


def _create_watch(watch, now_us):
    watch.known = 1
    watch.connected = 0
    watch.cc = 0
    watch.pc = 0
    watch.pending = 0
    watch.ping_us = now_us
    watch.last_ping_us = 0
    watch.pong_us = now_us
    watch.avail_us = now_us
    watch.reconnect_us = 0
    watch.cc_us = 0
    watch.pc_us = 0
    watch.heard_us = 0
    watch.publish_us = now_us
    watch.s_down = 0
    watch.s_down_us = 0
    watch.kill_sent = 0
    watch.rebooted = 0
    watch.rebooted_us = 0


def _change_primary(node, now_us, target, out):
    """sentinelResetMasterAndChangeAddress: all replicas are forgotten and found again, the old primary among them."""
    _renew_primary(node, now_us, target, out)
    for number_ in range(node.hosts):
        if _follows(node, number_):
            create_server(node.server[number_], _now(node, now_us))
    _flush(node, out)


def _renew_primary(node, now_us, target, out):
    """sentinelResetMaster: hang up on all servers, forget what is known of the primary; from now on it is `target`.

    Redis keeps the primary's object and changes its address, so three of its instants survive even a change.
    """
    for number_ in range(node.hosts):
        if node.server[number_].watch.known == 1:
            _close_connections(node.server[number_].watch, 2 * number_, out)
    info_us = node.server[node.primary].info_us
    reconnect_us = node.server[node.primary].watch.reconnect_us
    publish_us = node.server[node.primary].watch.publish_us
    node.primary = target
    primary = node.server[target]
    create_server(primary, _now(node, now_us))
    primary.role = PRIMARY
    primary.info_us = info_us
    primary.watch.reconnect_us = reconnect_us
    primary.watch.publish_us = publish_us
    _forget_failover(node)


def _forget_failover(node):
    """No failover, no vote that could be repeated, none that bars the next attempt."""
    node.o_down = 0
    node.in_progress = 0
    node.forced = 0
    node.state = NONE
    node.state_us = 0
    node.start_us = 0
    node.promoted = 0
    node.leader = 0


# --- what INFO and hellos bring --------------------------------------------------------------------------------------


def on_info(node, now_us, number_, message, out):
    """sentinelRefreshInstanceInfo. What it says is always stored; what follows from it waits for the end of TILT."""
    server = node.server[number_]
    _note_run_id(node, now_us, number_, message.run_rank, out)
    if number_ == node.primary:
        _discover_replicas(node, now_us, message.replicas, out)
    _store_info(server, _now(node, now_us), message)
    if node.tilt == 1 or number_ == node.primary:
        return
    if message.role == PRIMARY:
        if node.promoted == number_ + 1 and node.in_progress == 1 and node.state == WAIT_PROMOTION:
            _see_promotion(node, now_us, out)
        else:
            _demote_if_rogue(node, now_us, number_, out)
        return
    if server.names != node.primary + 1:
        _fix_if_astray(node, now_us, number_, out)
    if server.reconf & RECONF_IS_SENT != 0 and server.names == node.promoted:
        server.reconf = server.reconf & RECONF_IS_DONE | RECONF_IS_INPROG
        _tell(node, now_us, RECONF_INPROG, number_ + 1, 0, out)
    if server.reconf & RECONF_IS_INPROG != 0 and server.link_up == 1:
        server.reconf = RECONF_IS_DONE
        _tell(node, now_us, RECONF_DONE, number_ + 1, 0, out)


def _note_run_id(node, now_us, number_, run_rank, out):
    """A new run id means a restart; a primary's starts the clock of master-reboot-down-after-period."""
    server = node.server[number_]
    if server.run_rank != 0 and server.run_rank != run_rank:
        _tell(node, now_us, REBOOT, number_ + 1, 0, out)
        if number_ == node.primary and node.reboot_down_after_us != 0:
            server.watch.rebooted = 1
            server.watch.rebooted_us = now_us
    server.run_rank = run_rank


def _discover_replicas(node, now_us, listed, out):
    """Every replica that the primary names and that is not known yet costs one rewrite of the file."""
    while listed != 0:
        replica = node.server[(listed & 15) - 1]
        if replica.watch.known == 0:
            create_server(replica, _now(node, now_us))
            _flush(node, out)
        listed >>= 4


def _store_info(server, now_us, message):
    server.link_down_us = message.down_s * 1_000_000
    if message.role == REPLICA:
        if server.names != message.primary:
            server.names = message.primary
            server.conf_us = now_us
        server.link_up = message.link_up
        server.priority = message.replica_priority
        server.offset = message.offset
    server.info_us = now_us
    if message.role != server.role:
        server.role = message.role
        server.role_us = now_us
        if message.role == REPLICA:
            server.conf_us = now_us


def _see_promotion(node, now_us, out):
    """The chosen replica reports to be primary: from here on the failover cannot be aborted."""
    node.config_epoch = node.failover_epoch
    _enter(node, now_us, RECONF)
    _flush(node, out)
    _tell(node, now_us, PROMOTED_SLAVE, node.promoted, 0, out)
    _force_hello(node)


def _looks_sane(node, now_us):
    """sentinelMasterLooksSane."""
    primary = node.server[node.primary]
    if primary.role != PRIMARY or primary.watch.s_down == 1 or node.o_down == 1:
        return False
    return now_us - primary.info_us < 2 * INFO_PERIOD_US


def _not_down_for(watch, now_us, wait_us):
    """sentinelRedisInstanceNoDownFor: it did not *become* down within the last `wait_us`."""
    return watch.s_down_us == 0 or now_us - watch.s_down_us > wait_us


def _demote_if_rogue(node, now_us, number_, out):
    """A replica that says it is primary is told to follow ours, when that has been so for 8 s."""
    server = node.server[number_]
    wait_us = 4 * PUBLISH_PERIOD_US
    if (
        node.promoted != number_ + 1
        and _looks_sane(node, now_us)
        and _not_down_for(server.watch, now_us, wait_us)
        and now_us - server.role_us > wait_us
    ):
        _send_replicaof(node, number_, node.primary + 1, out)
        _tell(node, now_us, CONVERT_TO_SLAVE, number_ + 1, 0, out)


def _fix_if_astray(node, now_us, number_, out):
    """A replica of another primary is told to follow ours, when that has been so for failover-timeout."""
    server = node.server[number_]
    wait_us = node.failover_timeout_us
    if _looks_sane(node, now_us) and _not_down_for(server.watch, now_us, wait_us) and now_us - server.conf_us > wait_us:
        _send_replicaof(node, number_, node.primary + 1, out)
        _tell(node, now_us, FIX_SLAVE_CONFIG, number_ + 1, 0, out)


def on_hello(node, now_us, message, out):
    """A hello: by a server's channel, or from another sentinel itself."""
    take_hello(node, now_us, message.sentinel - 1, message.epoch, message.primary - 1, message.config_epoch, out)


def take_hello(node, now_us, sender, epoch, primary, config_epoch, out):
    """sentinelProcessHelloMessage: an unknown sender is added, a higher epoch adopted, a newer configuration too.

    Newer means strictly newer: two configurations of one epoch never meet. A newer epoch of the same primary is not
    written to the file before the next occasion.
    """
    peer = node.peer[sender]
    if peer.watch.known == 0:
        create_peer(peer, now_us)
        _flush(node, out)
    if epoch > node.current_epoch:
        _adopt_epoch(node, now_us, epoch, out)
    if node.config_epoch < config_epoch:
        node.config_epoch = config_epoch
        if primary != node.primary:
            _tell(node, now_us, CONFIG_UPDATE_FROM, sender + 1, 0, out)
            _announce_switch(node, now_us, primary + 1, out)
            _change_primary(node, now_us, primary, out)


# --- small things ----------------------------------------------------------------------------------------------------


def _now(node, now_us):
    """What the clock shows by now: the handler began at `now_us` and has stood still in flushes since."""
    return now_us + node.busy_us


def _announce_switch(node, now_us, primary, out):
    """+switch-master, in the log and to whoever has subscribed to it; it leaves with the rest, after the flush."""
    _tell(node, now_us, SWITCH_MASTER, primary, 0, out)
    for number_ in range(node.hosts):
        if node.follower[number_] != 0:
            reply(out, node.follower[number_] - 1, SWITCHED).primary = primary


def _since(node, now_us, then_us):
    return _now(node, now_us) - then_us


def _tell(node, now_us, event, about, code, out):
    """Report an event, at the instant that the clock shows by now."""
    report(out, event, about, _now(node, now_us), code)


def _flush(node, out):
    """sentinelFlushConfig: the process stands still; what was queued leaves only after the handler.

    Called for: an epoch adopted, a vote, a promotion seen, another primary, a replica or a sentinel found. Not called
    for: an epoch taken (its vote follows in the same tick), a newer configuration epoch of the same primary, RESET.
    """
    write_file(node)
    node.busy_us += node.flush_us
    block(out, node.flush_us)
