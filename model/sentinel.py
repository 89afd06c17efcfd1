"""A Redis Sentinel that watches one group: monitoring, election, failover.

What it models: `sentinel.c` of Redis 7.0.15, read step by step; 6.2 to 8.0 and Valkey 7.2 to 9 differ only in the
number of fsyncs of one configuration flush (a setting here) and in parts that are left out below. Sources in
docstrings name its functions.

Why the easy way ("detect after the delay, then elect") is wrong:

* everything is decided at ticks of 52 to 100 ms, each drawn anew, and all comparisons are strict;
* the clock of a silent instance starts at the first *unanswered PING*, up to a second after the fault; that of an
  instance whose connections were reset at the first *reconnect*;
* an earlier detector asks the others only once a second, so the quorum-th detector usually leads;
* one state of the failover a tick, and the promotion is seen only through INFO.

One tick (`sentinelTimer`): clock check; then for the primary, each replica and each other sentinel: reconnect, send
PING / INFO / hello as they are due, check subjectively down; for the primary also objectively down, start of a
failover, one step of the failover, and asking the others.

Failover of the leader, one state a tick::

    NONE -> WAIT_START -> SELECT -> SEND_NO_ONE -> WAIT_PROMOTION -> RECONF -> UPDATE_CONFIG -> NONE
              |             |           |              |    (exit by INFO of the promoted replica)
              +-------------+-----------+--------------+--> NONE   (aborts; next attempt after 2 x failover-timeout)

Left out, for now: TILT's effect on acting beyond suspension, SCRIPT KILL, master-reboot-down-after-period, manual
failover, several groups, restart of a sentinel, discovery of unknown sentinels and replicas (all are known at the
start, as in steady state), scripts, hostnames.
"""

from __future__ import annotations

from model import draws
from model.effects import (
    ABORT_NO_GOOD_SLAVE,
    ABORT_NOT_ELECTED,
    ABORT_SLAVE_TIMEOUT,
    ASK,
    ASK_REPLY,
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
    SDOWN,
    SDOWN_END,
    SELECTED_SLAVE,
    SUBSCRIBE,
    SWITCH_MASTER,
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
BASE_HZ = 10
"""The tick rate is drawn from 10..19 Hz at every tick. server.h CONFIG_DEFAULT_HZ. Kind: vendor default."""
TICK_OVERHEAD_MIN_US, TICK_OVERHEAD_SPREAD_US = 200, 1_000
"""A tick comes this much late: handler, and rounding of the poll time-out up to a whole ms. Kind: measured."""

# States of a failover.
NONE, WAIT_START, SELECT, SEND_NO_ONE, WAIT_PROMOTION, RECONF, UPDATE_CONFIG = range(7)
# Progress of a replica that is pointed to the new primary.
RECONF_NOT, RECONF_IS_SENT, RECONF_IS_INPROG, RECONF_IS_DONE = range(4)

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
        number("reconf", "RECONF_NOT .. RECONF_IS_DONE", 0, 3),
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

SENTINEL = Record(
    "Sentinel",
    "A sentinel and its view of the group.",
    [
        number("me", "number of its host", 0, MAX_HOSTS),
        number("hosts", "number of hosts in the scenario", 0, MAX_HOSTS),
        number("quorum", "sentinels that must agree", 1, MAX_HOSTS),
        duration("down_after_us", "down-after-milliseconds"),
        duration("failover_timeout_us", "failover-timeout"),
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
        number("state", "its state, NONE .. UPDATE_CONFIG", 0, 6),
        number("failover_epoch", "its epoch", 0, 1 << 30),
        instant("start_us", "its start, random part included; opens the next attempt after 2 x failover-timeout"),
        instant("state_us", "when its state changed"),
        number("promoted", "1 + number of the chosen replica, 0 = none", 0, MAX_HOSTS),
        nested("server", "the Redis servers, by host number", SERVER, MAX_HOSTS),
        nested("peer", "the other sentinels, by host number", PEER, MAX_HOSTS),
    ],
)


# --- driver's entry points -------------------------------------------------------------------------------------------


def on_timer(node, now_us, which, out):
    """One tick (sentinelTimer)."""
    node.busy_us = 0
    _check_tilt(node, now_us, out)
    _handle_server(node, now_us, node.primary, out)
    primary = node.primary
    for number_ in range(node.hosts):
        if number_ != primary and node.server[number_].watch.known == 1:
            _handle_server(node, now_us, number_, out)
    for number_ in range(node.hosts):
        if node.peer[number_].watch.known == 1:
            _handle_peer(node, now_us, number_, out)
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
    elif source < _PEER_LINKS:
        _on_server_message(node, now_us, source // 2, source % 2, message, out)
    elif kind == ASK_REPLY:
        node.peer[(source - _PEER_LINKS) // 2].watch.pending -= 1
        on_ask_reply(node.peer[(source - _PEER_LINKS) // 2], now_us, message)
    else:
        _on_answer(node.peer[(source - _PEER_LINKS) // 2].watch, now_us, COMMANDS, kind)


def _on_server_message(node, now_us, number_, channel, message, out):
    server = node.server[number_]
    if message.kind == HELLO:
        server.watch.heard_us = now_us
        if message.sentinel != node.me + 1:
            on_hello(node, now_us, message, out)
    elif message.kind == INFO_REPLY:
        server.watch.pending -= 1
        on_info(node, now_us, number_, message, out)
    else:
        _on_answer(server.watch, now_us, channel, message.kind)


def _on_answer(watch, now_us, channel, kind):
    """Answers that change only the link: PONG, PUBLISH_REPLY, OK_REPLY; and the loss of a connection."""
    if kind == LINK_CLOSED:
        _drop(watch, channel)
    elif kind == PONG:
        watch.pending -= 1
        watch.avail_us = now_us
        watch.ping_us = 0
        watch.pong_us = now_us
    elif kind == PUBLISH_REPLY:
        watch.pending -= 1
        watch.publish_us = now_us
    elif kind == OK_REPLY:
        watch.pending -= 1


# --- monitoring: links and periodic commands -------------------------------------------------------------------------


def _check_tilt(node, now_us, out):
    """sentinelCheckTiltCondition."""
    if node.previous_us > 0:
        gap_us = now_us - node.previous_us
        if gap_us < 0 or gap_us > TILT_TRIGGER_US:
            node.tilt = 1
            node.tilt_us = now_us
            report(out, TILT, 0, now_us, 0)
    node.previous_us = now_us


def _handle_server(node, now_us, number_, out):
    """sentinelHandleRedisInstance for the primary or a replica."""
    server = node.server[number_]
    watch = server.watch
    _reconnect_server(node, watch, now_us, number_, out)
    _send_periodic(node, now_us, number_, out)
    if _still_tilted(node, now_us, out):
        return
    _check_link(node, watch, now_us, 2 * number_, out)
    is_primary = number_ == node.primary
    stale_role = (
        is_primary and server.role == REPLICA and now_us - server.role_us > node.down_after_us + 2 * INFO_PERIOD_US
    )
    _check_subjectively_down(node, watch, now_us, number_, 0, stale_role, out)
    if is_primary:
        check_objectively_down(node, now_us, out)
        act_on_primary(node, now_us, out)


def act_on_primary(node, now_us, out):
    """The acting half of a tick: start a failover if one may start, take it one step on, ask the others."""
    if may_start_failover(node, now_us):
        start_failover(node, now_us, out)
        ask_others(node, now_us, True, out)
    step_failover(node, now_us, out)
    ask_others(node, now_us, False, out)


def _handle_peer(node, now_us, number_, out):
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
    if _still_tilted(node, now_us, out):
        return
    _check_link(node, watch, now_us, link, out)
    _check_subjectively_down(node, watch, now_us, number_, 1, False, out)


def _still_tilted(node, now_us, out):
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
    if watch.cc == 0:
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
    watch.publish_us = max(0, watch.publish_us - PUBLISH_PERIOD_US - 1_000)


# --- monitoring: down states -----------------------------------------------------------------------------------------


def _check_link(node, watch, now_us, link, out):
    """First half of sentinelCheckSubjectivelyDown: cut connections that are old and silent."""
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


def _check_subjectively_down(node, watch, now_us, number_, is_sentinel, stale_role, out):
    """Second half of sentinelCheckSubjectivelyDown."""
    elapsed_us = 0
    if watch.ping_us != 0:
        elapsed_us = now_us - watch.ping_us
    elif watch.connected == 0:
        elapsed_us = now_us - watch.avail_us
    if elapsed_us > node.down_after_us or stale_role:
        if watch.s_down == 0:
            watch.s_down = 1
            watch.s_down_us = now_us
            report(out, SDOWN, number_ + 1, now_us, is_sentinel)
    elif watch.s_down == 1:
        watch.s_down = 0
        report(out, SDOWN_END, number_ + 1, now_us, is_sentinel)


def check_objectively_down(node, now_us, out):
    """sentinelCheckObjectivelyDown."""
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


def ask_others(node, now_us, forced, out):
    """sentinelAskMasterStateToOtherSentinels."""
    for number_ in range(node.hosts):
        peer = node.peer[number_]
        if peer.watch.known == 0:
            continue
        age_us = now_us - peer.answer_us
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
    """SENTINEL is-master-down-by-addr: say whether the primary is down, and vote if asked to."""
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
    return now_us - node.start_us >= 2 * node.failover_timeout_us


def start_failover(node, now_us, out):
    """sentinelStartFailover. The random part of the start time delays nothing but the abort and the next attempt."""
    node.state = WAIT_START
    node.in_progress = 1
    node.current_epoch += 1
    node.failover_epoch = node.current_epoch
    _tell(node, now_us, NEW_EPOCH, 0, node.current_epoch, out)
    _tell(node, now_us, TRY_FAILOVER, node.primary + 1, 0, out)
    node.start_us = now_us + draws.below(node.stream, MAX_DESYNC_MS) * 1000
    node.state_us = now_us


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
            node.start_us = now_us + draws.below(node.stream, MAX_DESYNC_MS) * 1000


def _adopt_epoch(node, now_us, epoch, out):
    node.current_epoch = epoch
    _flush(node, out)
    _tell(node, now_us, NEW_EPOCH, 0, epoch, out)


def elected(node, now_us, out):
    """sentinelGetLeader for the failover epoch: 1 + number of the winner, 0 = none.

    Votes of peers count when their epoch is the *current* epoch, the own vote when its epoch is the *failover* epoch:
    that difference is Redis's, and a known flaw (redis issue 11571).
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
        if now_us - node.state_us > node.failover_timeout_us:
            _abort(node, now_us, ABORT_SLAVE_TIMEOUT, out)
    elif node.state == RECONF:
        _reconf_next(node, now_us, out)


def _enter(node, now_us, state):
    node.state = state
    node.state_us = now_us


def _abort(node, now_us, event, out):
    """sentinelAbortFailover."""
    _tell(node, now_us, event, node.primary + 1, 0, out)
    node.in_progress = 0
    node.promoted = 0
    _enter(node, now_us, NONE)


def _wait_start(node, now_us, out):
    """sentinelFailoverWaitStart."""
    if elected(node, now_us, out) == node.me + 1:
        _tell(node, now_us, ELECTED_LEADER, node.primary + 1, node.failover_epoch, out)
        _enter(node, now_us, SELECT)
    elif now_us - node.start_us > min(ELECTION_TIMEOUT_US, node.failover_timeout_us):
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
    """sentinelSelectSlave: 1 + number of the replica to promote, 0 = none is eligible."""
    primary = node.server[node.primary].watch
    limit_us = 10 * node.down_after_us
    info_limit_us = 3 * INFO_PERIOD_US
    if primary.s_down == 1:
        limit_us += now_us - primary.s_down_us
        info_limit_us = 5 * PING_PERIOD_US
    best = 0
    for number_ in range(node.hosts):
        server = node.server[number_]
        watch = server.watch
        if number_ == node.primary or watch.known == 0 or watch.s_down == 1 or watch.connected == 0:
            continue
        if now_us - watch.avail_us > 5 * PING_PERIOD_US or now_us - server.info_us > info_limit_us:
            continue
        if server.priority == 0 or server.link_down_us > limit_us:
            continue
        if best == 0 or _is_better(server, node.server[best - 1]):
            best = number_ + 1
    return best


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
    watch = node.server[node.promoted - 1].watch
    if watch.connected == 1:
        _send_replicaof(node, node.promoted - 1, 0, out)
        _enter(node, now_us, WAIT_PROMOTION)
    elif now_us - node.state_us > node.failover_timeout_us:
        _abort(node, now_us, ABORT_SLAVE_TIMEOUT, out)


def _send_replicaof(node, number_, primary, out):
    """sentinelSendSlaveOf: one transaction of six commands. `primary` is 1 + its number, 0 = NO ONE."""
    send(out, 2 * number_, REPLICAOF).primary = primary
    node.server[number_].watch.pending += 1


def _reconf_next(node, now_us, out):
    """sentinelFailoverReconfNextSlave, then sentinelFailoverDetectEnd."""
    under_way = 0
    for number_ in range(node.hosts):
        if _follows(node, number_) and node.server[number_].reconf in (RECONF_IS_SENT, RECONF_IS_INPROG):
            under_way += 1
    for number_ in range(node.hosts):
        if under_way >= node.parallel_syncs:
            break
        server = node.server[number_]
        if not _follows(node, number_) or number_ + 1 == node.promoted or server.reconf == RECONF_IS_DONE:
            continue
        if server.reconf == RECONF_IS_SENT and now_us - server.reconf_us > RECONF_TIMEOUT_US:
            _tell(node, now_us, RECONF_SENT_TIMEOUT, number_ + 1, 0, out)
            server.reconf = RECONF_IS_DONE
        if server.reconf in (RECONF_IS_SENT, RECONF_IS_INPROG) or server.watch.connected == 0:
            continue
        _send_replicaof(node, number_, node.promoted, out)
        server.reconf = RECONF_IS_SENT
        server.reconf_us = now_us
        _tell(node, now_us, RECONF_SENT, number_ + 1, 0, out)
        under_way += 1
    _detect_end(node, now_us, out)


def _follows(node, number_):
    """True for a known server that is configured as replica."""
    return number_ != node.primary and node.server[number_].watch.known == 1


def _detect_end(node, now_us, out):
    """sentinelFailoverDetectEnd."""
    if node.promoted == 0 or node.server[node.promoted - 1].watch.s_down == 1:
        return
    left = 0
    for number_ in range(node.hosts):
        server = node.server[number_]
        done = number_ + 1 == node.promoted or server.reconf == RECONF_IS_DONE or server.watch.s_down == 1
        if _follows(node, number_) and not done:
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
        if not _follows(node, number_) or number_ + 1 == node.promoted or server.watch.connected == 0:
            continue
        if server.reconf not in (RECONF_IS_SENT, RECONF_IS_DONE):
            _send_replicaof(node, number_, node.promoted, out)
            server.reconf = RECONF_IS_SENT
            _tell(node, now_us, RECONF_SENT_BEST_EFFORT, number_ + 1, 0, out)


def switch_to_promoted(node, now_us, out):
    """sentinelFailoverSwitchToPromotedSlave."""
    target = node.promoted - 1 if node.promoted != 0 else node.primary
    _tell(node, now_us, SWITCH_MASTER, target + 1, 0, out)
    _reset(node, now_us, target, out)


def _reset(node, now_us, target, out):
    """sentinelResetMasterAndChangeAddress: forget everything about the servers, the old primary becomes a replica.

    The primary's object survives with its last reconnect and its last INFO; the replicas' objects are new.
    """
    kept_reconnect_us = node.server[node.primary].watch.reconnect_us
    kept_info_us = node.server[node.primary].info_us
    kept_publish_us = node.server[node.primary].watch.publish_us
    for number_ in range(node.hosts):
        watch = node.server[number_].watch
        if watch.known == 0:
            continue
        if watch.cc == 1:
            close(out, 2 * number_)
        if watch.pc == 1:
            close(out, 2 * number_ + PUBSUB)
        create_server(node.server[number_], now_us)
    node.primary = target
    primary = node.server[target]
    primary.role = PRIMARY
    primary.info_us = kept_info_us
    primary.watch.reconnect_us = kept_reconnect_us
    primary.watch.publish_us = kept_publish_us
    node.o_down = 0
    node.in_progress = 0
    node.state = NONE
    node.state_us = 0
    node.start_us = 0
    node.promoted = 0
    node.leader = 0
    _flush(node, out)


def boot(node, now_us, out):
    """The process has started again: what its configuration file keeps is kept, the rest is forgotten.

    Kept: address and epoch of the configuration, current epoch, epoch of the last vote, known instances.
    """
    node.previous_us = 0
    node.tilt = 0
    node.o_down = 0
    node.leader = 0
    node.in_progress = 0
    node.state = NONE
    node.start_us = 0
    node.promoted = 0
    for number_ in range(node.hosts):
        if node.server[number_].watch.known == 1:
            create_server(node.server[number_], now_us)
        if node.peer[number_].watch.known == 1:
            create_peer(node.peer[number_], now_us)
    node.server[node.primary].role = PRIMARY
    set_timer(out, TICK, 1000 // BASE_HZ * 1000)


def create_peer(peer, now_us):
    """createSentinelRedisInstance for another sentinel."""
    _create_watch(peer.watch, now_us)
    peer.down = 0
    peer.leader = 0
    peer.leader_epoch = 0
    peer.answer_us = now_us


def create_server(server, now_us):
    """createSentinelRedisInstance for a server: it is down in `down_after` if it never answers."""
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


# --- what INFO and hellos bring --------------------------------------------------------------------------------------


def on_info(node, now_us, number_, message, out):
    """sentinelRefreshInstanceInfo."""
    server = node.server[number_]
    _store_info(server, now_us, number_, message, out)
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
    if server.reconf == RECONF_IS_SENT and node.promoted != 0 and server.names == node.promoted:
        server.reconf = RECONF_IS_INPROG
        _tell(node, now_us, RECONF_INPROG, number_ + 1, 0, out)
    if server.reconf == RECONF_IS_INPROG and server.link_up == 1:
        server.reconf = RECONF_IS_DONE
        _tell(node, now_us, RECONF_DONE, number_ + 1, 0, out)


def _store_info(server, now_us, number_, message, out):
    if server.run_rank != 0 and server.run_rank != message.run_rank:
        report(out, REBOOT, number_ + 1, now_us, 0)
    server.run_rank = message.run_rank
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
    """sentinelProcessHelloMessage: a higher epoch is adopted, a strictly newer configuration too."""
    if message.epoch > node.current_epoch:
        _adopt_epoch(node, now_us, message.epoch, out)
    if node.config_epoch < message.config_epoch:
        node.config_epoch = message.config_epoch
        if message.primary != node.primary + 1:
            _tell(node, now_us, CONFIG_UPDATE_FROM, message.sentinel, 0, out)
            _tell(node, now_us, SWITCH_MASTER, message.primary, 0, out)
            _reset(node, now_us, message.primary - 1, out)


# --- small things ----------------------------------------------------------------------------------------------------


def _tell(node, now_us, event, about, code, out):
    """Report an event; the flushes of this handler have taken their time."""
    report(out, event, about, now_us + node.busy_us, code)


def _flush(node, out):
    """sentinelFlushConfig: the process stands still; what was queued leaves only after the handler."""
    node.busy_us += node.flush_us
    block(out, node.flush_us)
