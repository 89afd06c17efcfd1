"""The Redis machine, driven by hand: what it answers in trouble, and what it does with its replicas and its history."""

from __future__ import annotations

import pytest

from model import effects, redis_server
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
    LINK_OPEN,
    LOADING_REPLY,
    LOOKUP,
    LOOKUP_REPLY,
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
    SCRIPT_KILL,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
)
from model.redis_server import ACCEPTED_WRITE, CRON, NO_ANSWER, REFUSED_WRITE, TRANSFER

SECOND = 1_000_000
NOW = 5_000 * SECOND + 400_000
CLIENT, FIRST, OTHER = 100, 101, 102
"""Connections: of a client, of the replica on host 1, of the one on host 2."""


class Server:
    """One server on host 0, and what it did in the last call."""

    def __init__(self, role=PRIMARY, **settings):
        self.node = redis_server.REDIS.new()
        self.node.hosts = 3
        self.node.role = role
        self.node.primary = 0 if role == PRIMARY else 3
        self.node.sync_delay_us = 5 * SECOND
        self.node.repl_timeout_s = 60
        self.node.min_replicas_max_lag_s = 10
        for name, value in settings.items():
            setattr(self.node, name, value)
        self.now_us = NOW
        self.out = effects.OUT.new()
        self.boot()

    def boot(self, keeps_data=0, load_us=0):
        self.call(redis_server.boot, self.now_us, 1, keeps_data, load_us)
        return self

    def call(self, handler, *arguments):
        self.out.n = 0
        handler(self.node, *arguments, self.out)
        self.done = [(each.kind, each.target, each.message.kind) for each in self.out.effects[: self.out.n]]
        redis_server.REDIS.check(self.node)

    def hear(self, kind, source=CLIENT, **fields):
        """The messages that one message makes it send."""
        message = effects.MESSAGE.new()
        message.kind = kind
        for name, value in fields.items():
            setattr(message, name, value)
        self.call(redis_server.on_message, self.now_us, source, message)
        return self.sent()

    def sent(self):
        sends = [each for each in self.out.effects[: self.out.n] if each.kind in (effects.SEND, effects.REPLY)]
        return [each.message for each in sends]

    def answer(self, kind, **fields):
        """Kind and code of the one answer to a client's command."""
        (answer,) = self.hear(kind, **fields)
        return answer.kind, answer.code

    def cron(self, after_us=SECOND):
        self.now_us += after_us
        self.call(redis_server.on_timer, self.now_us, CRON)
        return self.sent()

    def timer_us(self, which):
        """When a timer that the last call armed runs down, from now."""
        effects_ = self.out.effects[: self.out.n]
        blocked_us = sum(each.delay_us for each in effects_ if each.kind == effects.BLOCK)
        (timer,) = [each for each in effects_ if each.kind == effects.SET_TIMER and each.target == which]
        return blocked_us + timer.delay_us

    def write(self):
        return redis_server.answers_write(self.node, self.now_us)

    def fault(self, event, amount_us=0):
        self.call(redis_server.on_fault, self.now_us, event, amount_us)

    def follow(self, host=1, source=FIRST, **position):
        """A replica asks for synchronization; what it gets."""
        branch, offset = position.get("branch", self.node.branch), position.get("offset", self.node.offset)
        return [each.kind for each in self.hear(PSYNC, source, sentinel=host + 1, branch=branch, offset=offset)]

    def ack(self, host=1, source=FIRST):
        assert not self.hear(ACK, source, sentinel=host + 1)


def replica_in_sync(**settings):
    """A replica of host 2, at offset 50 of branch 3."""
    server = Server(REPLICA, **settings)
    server.cron()
    server.hear(LINK_OPEN, redis_server.REPLICATION_LINK)
    server.hear(HANDSHAKE_REPLY, redis_server.REPLICATION_LINK, code=1)
    server.hear(HANDSHAKE_REPLY, redis_server.REPLICATION_LINK, code=2)
    server.hear(FULL_RESYNC, redis_server.REPLICATION_LINK, branch=3, offset=50)
    return server


# --- start and LOADING -----------------------------------------------------------------------------------------------


def test_a_started_server_works_and_runs_its_cron_at_once():
    server = Server()
    assert server.timer_us(CRON) == redis_server.FIRST_CRON_US
    assert server.answer(PING) == (PONG, ALIVE)
    assert server.write() == ACCEPTED_WRITE


def test_its_role_at_the_start_is_no_event():
    server = Server()
    assert all(kind != effects.REPORT for kind, _, _ in server.done)


def test_a_replica_connects_as_soon_as_it_has_loaded():
    server = Server(REPLICA).boot(keeps_data=1, load_us=8 * SECOND)
    assert server.timer_us(CRON) == 8 * SECOND + redis_server.FIRST_CRON_US
    server.cron(8 * SECOND + 1_000)
    assert (effects.CONNECT, redis_server.REPLICATION_LINK) in [each[:2] for each in server.done]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (PING, (PONG, LOADING_REPLY)),
        (INFO, (INFO_REPLY, 0)),
        (PUBLISH, (PUBLISH_REPLY, 0)),
        (LOOKUP, (LOOKUP_REPLY, REASONS + LOADING_REPLY)),
        (STORE, (STORE_REPLY, REASONS + LOADING_REPLY)),
        (AUTHENTICATE, (AUTHENTICATED, DONE)),
        (SCRIPT_KILL, (OK_REPLY, 0)),
    ],
)
def test_what_a_loading_server_answers(command, answer):
    assert Server().boot(keeps_data=1, load_us=SECOND).answer(command) == answer


def test_a_loading_server_refuses_writes_until_its_first_cron():
    server = Server().boot(keeps_data=1, load_us=SECOND)
    assert server.write() == REFUSED_WRITE
    server.cron()
    assert server.write() == ACCEPTED_WRITE
    assert server.answer(PING) == (PONG, ALIVE)


def test_a_loading_server_refuses_replicaof_and_keeps_its_clients():
    server = Server().boot(keeps_data=1, load_us=SECOND)
    assert server.answer(REPLICAOF, primary=2) == (OK_REPLY, 0)
    assert server.node.role == PRIMARY
    assert effects.KILL_CLIENTS not in [kind for kind, _, _ in server.done]


def test_a_loading_server_shakes_hands_but_refuses_psync():
    server = Server().boot(keeps_data=1, load_us=SECOND)
    assert [each.code for each in server.hear(HANDSHAKE, FIRST, code=1)] == [1]
    (refusal,) = server.hear(PSYNC, FIRST, sentinel=2)
    assert (refusal.kind, refusal.code) == (HANDSHAKE_REPLY, 0)
    assert server.node.replicas == 0


def test_a_replica_refuses_writes_and_answers_reads():
    server = Server(REPLICA)
    assert server.answer(STORE) == (STORE_REPLY, REASONS + READONLY_REPLY)
    assert server.answer(LOOKUP) == (LOOKUP_REPLY, DONE)


def test_a_password_is_out_of_place_on_a_subscribed_connection():
    assert Server().answer(AUTHENTICATE) == (AUTHENTICATED, DONE)
    assert Server().answer(AUTHENTICATE, code=1) == (AUTHENTICATED, IMPOSSIBLE)


# --- MISCONF and BUSY ------------------------------------------------------------------------------------------------


def test_failing_saves_refuse_pings_and_writes_until_they_are_mended():
    server = Server()
    server.fault(FAIL_SAVES)
    assert server.answer(PING) == (PONG, MISCONF_REPLY)
    assert server.answer(STORE) == (STORE_REPLY, REASONS + MISCONF_REPLY)
    assert server.answer(PUBLISH) == (PUBLISH_REPLY, 0)
    assert server.answer(LOOKUP) == (LOOKUP_REPLY, DONE)
    server.fault(MEND_SAVES)
    assert server.answer(PING) == (PONG, ALIVE)
    assert server.write() == ACCEPTED_WRITE


@pytest.mark.parametrize(("spares", "code"), [(0, MISCONF_REPLY), (1, ALIVE)])
def test_failing_saves_of_a_replica(spares, code):
    server = Server(REPLICA, misconf_spares_replicas=spares)
    server.fault(FAIL_SAVES)
    assert server.answer(PING) == (PONG, code)


def test_a_new_process_does_not_know_of_failed_saves():
    server = Server()
    server.fault(FAIL_SAVES)
    assert server.boot().answer(PING) == (PONG, ALIVE)


def test_a_script_is_silent_first_and_busy_then():
    server = Server()
    server.fault(BUSY, 20 * SECOND)
    assert (effects.BLOCK, 5 * SECOND) in [(each.kind, each.delay_us) for each in server.out.effects]
    assert server.timer_us(CRON) == 20 * SECOND
    assert server.write() == NO_ANSWER
    server.now_us += 5 * SECOND - 1
    assert server.write() == NO_ANSWER
    server.now_us += 1
    assert server.write() == REFUSED_WRITE
    assert server.answer(PING) == (PONG, BUSY_REPLY)


def test_a_short_script_is_only_silent():
    server = Server()
    server.fault(BUSY, 3 * SECOND)
    assert server.node.is_silent_until_us == NOW + 3 * SECOND
    assert server.timer_us(CRON) == 3 * SECOND


def busy_server(**settings):
    server = Server(**settings)
    server.fault(BUSY, 20 * SECOND)
    server.now_us += 6 * SECOND
    return server


@pytest.mark.parametrize(
    ("command", "answer"),
    [(INFO, OK_REPLY), (PUBLISH, OK_REPLY), (REPLICAOF, OK_REPLY), (LOOKUP, LOOKUP_REPLY), (STORE, STORE_REPLY)],
)
def test_a_busy_server_carries_nothing_out(command, answer):
    server = busy_server()
    offset = server.node.offset
    code = REASONS + BUSY_REPLY if command in (LOOKUP, STORE) else 0
    assert server.answer(command, primary=2, sentinel=1) == (answer, code)
    assert (server.node.role, server.node.offset) == (PRIMARY, offset)


def test_a_busy_server_takes_no_subscriber_and_no_replica():
    server = busy_server()
    assert not server.hear(SUBSCRIBE, sentinel=1)
    assert server.node.subscriber[0] == 0
    assert server.follow() == [HANDSHAKE_REPLY]
    assert server.node.replicas == 0


def test_script_kill_ends_it():
    server = busy_server()
    assert server.answer(SCRIPT_KILL) == (OK_REPLY, 0)
    assert server.timer_us(CRON) == redis_server.FIRST_CRON_US
    assert server.answer(PING) == (PONG, ALIVE)
    assert server.write() == ACCEPTED_WRITE


def test_the_cron_shows_that_a_script_is_over():
    server = busy_server()
    server.cron(14 * SECOND)
    assert server.answer(PING) == (PONG, ALIVE)


def test_a_second_script_is_refused():
    server = busy_server()
    server.fault(BUSY, 60 * SECOND)
    assert not server.done


def test_a_loading_server_starts_no_script():
    server = Server().boot(keeps_data=1, load_us=SECOND)
    server.fault(BUSY, 20 * SECOND)
    assert not server.done


def test_a_script_holds_up_the_end_of_a_transfer():
    server = Server(sync_delay_us=0)
    server.follow(branch=99)
    server.fault(BUSY, 20 * SECOND)
    server.now_us += 5 * SECOND
    server.call(redis_server.on_timer, server.now_us, TRANSFER)
    assert not server.sent()
    assert server.timer_us(TRANSFER) > 0


# --- min-replicas-to-write -------------------------------------------------------------------------------------------


def primary_with_two(**settings):
    server = Server(min_replicas_to_write=1, **settings)
    server.follow(1, FIRST)
    server.follow(2, OTHER)
    return server


def test_too_few_good_replicas_refuse_writes_not_publications():
    server = Server(min_replicas_to_write=1)
    assert server.answer(STORE) == (STORE_REPLY, REASONS + NOREPLICAS_REPLY)
    assert server.answer(PUBLISH) == (PUBLISH_REPLY, 0)
    server.follow()
    assert STORE_REPLY in [each.kind for each in server.hear(STORE) if each.code == 1]


def test_a_max_lag_of_0_switches_the_rule_off():
    assert Server(min_replicas_to_write=1, min_replicas_max_lag_s=0).write() == ACCEPTED_WRITE


def test_a_silent_replica_counts_until_its_lag_is_over_the_limit_in_whole_seconds():
    server = primary_with_two()
    for _ in range(10):
        server.cron()
        assert server.write() == ACCEPTED_WRITE
    server.cron()
    assert server.write() == REFUSED_WRITE
    server.ack()
    assert server.write() == REFUSED_WRITE, "counted by the cron, not by the ACK"
    server.cron()
    assert server.write() == ACCEPTED_WRITE


def test_a_replica_that_goes_is_not_counted_any_more():
    server = primary_with_two()
    server.node.min_replicas_to_write = 2
    assert server.write() == ACCEPTED_WRITE
    redis_server.on_replica_gone(server.node, 3)
    assert server.write() == REFUSED_WRITE


def test_a_replica_in_a_full_resync_does_not_count():
    server = Server(min_replicas_to_write=1)
    server.follow(branch=99)
    server.cron()
    assert server.write() == REFUSED_WRITE
    server.cron(5 * SECOND)
    server.now_us += redis_server.TRANSFER_US
    server.call(redis_server.on_timer, server.now_us, TRANSFER)
    assert [each.kind for each in server.sent()] == [FULL_RESYNC]
    assert server.write() == ACCEPTED_WRITE


def test_an_ack_on_a_connection_of_the_past_does_not_count():
    server = primary_with_two()
    acked_s = server.node.acked_s[1]
    server.now_us += 5 * SECOND
    server.ack(1, OTHER)
    assert server.node.acked_s[1] == acked_s


def test_a_promoted_server_waits_for_its_replicas():
    server = replica_in_sync(min_replicas_to_write=1)
    server.follow()
    server.hear(REPLICAOF, primary=0)
    assert server.write() == REFUSED_WRITE
    assert server.follow(branch=3, offset=50) == [CONTINUE]
    assert server.write() == ACCEPTED_WRITE


# --- replicas that fall silent, and silent primaries -----------------------------------------------------------------


def test_a_primary_drops_a_replica_after_more_than_repl_timeout():
    server = primary_with_two()
    for _ in range(60):
        server.cron()
        server.ack(2, OTHER)
    assert server.node.replicas == 0x32
    server.cron()
    assert (effects.DROP, FIRST) in [each[:2] for each in server.done]
    assert server.node.replicas == 0x3


def test_a_step_of_the_clock_drops_all_replicas_at_once():
    server = primary_with_two()
    server.cron(61 * SECOND)
    assert server.node.replicas == 0


def test_a_step_backward_keeps_a_silent_replica_for_longer():
    server = primary_with_two()
    server.cron(-100 * SECOND)
    server.cron(150 * SECOND)
    assert server.node.replicas == 0x32


def test_a_replica_acknowledges_every_second_while_its_link_is_up():
    server = replica_in_sync()
    (ack,) = server.cron()
    assert (ack.kind, ack.sentinel) == (ACK, 1)
    server.hear(LINK_CLOSED, redis_server.REPLICATION_LINK)
    assert not server.cron()


@pytest.mark.parametrize(("silent_s", "is_up"), [(60, True), (61, False)])
def test_a_replica_gives_up_a_silent_primary(silent_s, is_up):
    server = replica_in_sync()
    server.cron(silent_s * SECOND)
    assert (server.node.link == redis_server.LINK_IS_UP) is is_up


def test_whole_seconds_count_not_the_time_between():
    """60.2 s that begin at the end of a second are 61 seconds of the clock."""
    server = replica_in_sync()
    server.now_us = NOW // SECOND * SECOND + 900_000
    server.hear(REPLICATE, redis_server.REPLICATION_LINK, offset=51)
    server.cron(60 * SECOND + 200_000)
    assert server.node.link != redis_server.LINK_IS_UP


def test_a_shorter_repl_timeout_holds_too():
    server = replica_in_sync(repl_timeout_s=5)
    server.cron(6 * SECOND)
    assert server.node.link != redis_server.LINK_IS_UP


def test_info_after_a_step_backward():
    server = replica_in_sync()
    server.now_us -= 3_000 * SECOND
    (info,) = server.hear(INFO)
    assert (info.link_up, info.heard_s) == (1, 0)
    server.now_us += 3_000 * SECOND
    server.hear(LINK_CLOSED, redis_server.REPLICATION_LINK)
    server.now_us -= 3_000 * SECOND
    (info,) = server.hear(INFO)
    assert (info.link_up, info.down_s) == (0, -1)
    effects.MESSAGE.check(info)


# --- full resync -----------------------------------------------------------------------------------------------------


def test_a_full_resync_waits_whole_seconds_of_the_clock():
    """Asked for at .4, begun at the first cron in the fifth second after: 4 to 6 s later."""
    server = Server()
    assert server.follow(branch=99) == []
    server.cron(4_500_000)
    assert server.node.transferring == 0
    server.cron(100_000)
    assert server.node.transferring == 1
    assert server.timer_us(TRANSFER) == redis_server.TRANSFER_US


def test_replicas_that_wait_share_a_transfer():
    server = Server()
    server.follow(1, FIRST, branch=99)
    server.cron(3 * SECOND)
    server.follow(2, OTHER, branch=99)
    server.cron(2 * SECOND)
    server.call(redis_server.on_timer, server.now_us, TRANSFER)
    assert [each.kind for each in server.sent()] == [FULL_RESYNC, FULL_RESYNC]


def test_the_wait_counts_from_the_first_replica_that_still_waits():
    server = Server()
    server.follow(1, FIRST, branch=99)
    server.cron(3 * SECOND)
    server.follow(2, OTHER, branch=99)
    redis_server.on_replica_gone(server.node, 2)
    server.cron(2 * SECOND)
    assert server.node.transferring == 0
    server.cron(3 * SECOND)
    assert server.node.transferring == 1


def test_waiting_replicas_are_kept_patient():
    server = Server(sync_delay_us=60 * SECOND)
    server.follow(branch=99)
    assert [each.kind for each in server.cron()] == [KEEP_ALIVE]


def test_keep_alives_keep_a_replica_from_giving_up():
    server = Server(REPLICA, repl_timeout_s=3)
    server.cron()
    server.hear(LINK_OPEN, redis_server.REPLICATION_LINK)
    server.hear(HANDSHAKE_REPLY, redis_server.REPLICATION_LINK, code=2)
    for _ in range(5):
        server.cron()
        server.hear(KEEP_ALIVE, redis_server.REPLICATION_LINK)
    assert server.node.link == redis_server.LINK_SYNC
    server.cron(4 * SECOND)
    assert server.node.link == redis_server.LINK_CONNECTING


def test_a_replica_keeps_its_data_until_the_new_ones_are_there():
    server = replica_in_sync()
    server.hear(REPLICAOF, primary=2)
    server.hear(LINK_OPEN, redis_server.REPLICATION_LINK)
    server.hear(HANDSHAKE_REPLY, redis_server.REPLICATION_LINK, code=2)
    assert (server.node.branch, server.node.offset) == (3, 50)
    server.hear(FULL_RESYNC, redis_server.REPLICATION_LINK, branch=2, offset=7)
    assert (server.node.branch, server.node.offset) == (2, 7)


@pytest.mark.parametrize(
    ("kind", "branch", "keeps"), [(CONTINUE, 3, True), (CONTINUE, 11, False), (FULL_RESYNC, 3, False)]
)
def test_replicas_of_a_replica_must_ask_anew_when_its_history_is_another(kind, branch, keeps):
    server = replica_in_sync()
    server.follow()
    server.hear(kind, redis_server.REPLICATION_LINK, branch=branch, offset=60)
    assert (server.node.replicas == 2) is keeps


def test_a_replica_that_waits_is_sent_no_changes():
    server = Server()
    server.follow(branch=99)
    assert [each.kind for each in server.hear(STORE)] == [STORE_REPLY]


def test_a_replica_without_a_link_refuses_replicas():
    server = Server(REPLICA)
    (refusal,) = server.hear(PSYNC, FIRST, sentinel=2)
    assert (refusal.kind, refusal.code) == (HANDSHAKE_REPLY, 0)


def test_a_refused_replica_tries_again_at_its_next_cron():
    server = Server(REPLICA)
    server.cron()
    server.hear(LINK_OPEN, redis_server.REPLICATION_LINK)
    server.hear(HANDSHAKE_REPLY, redis_server.REPLICATION_LINK, code=2)
    server.hear(HANDSHAKE_REPLY, redis_server.REPLICATION_LINK, code=0)
    assert server.node.link == redis_server.LINK_WAIT
    server.cron()
    assert server.node.link == redis_server.LINK_CONNECTING


# --- histories -------------------------------------------------------------------------------------------------------


def promoted_at_50():
    server = replica_in_sync()
    server.hear(REPLICAOF, primary=0)
    server.hear(STORE)
    return server


@pytest.mark.parametrize(("offset", "answer"), [(50, [CONTINUE]), (51, [])])
def test_a_promoted_server_continues_those_that_have_no_more_of_the_old_history(offset, answer):
    """The old primary, which lived on, has more: it waits for a full resync."""
    assert promoted_at_50().follow(branch=3, offset=offset) == answer


@pytest.mark.parametrize(("ahead", "answer"), [(0, [CONTINUE]), (1, [])])
def test_a_replica_that_is_ahead_of_its_new_primary_cannot_go_on(ahead, answer):
    """Two replicas of one primary, the one that has less is now the other's primary."""
    assert replica_in_sync().follow(branch=3, offset=50 + ahead) == answer


def test_what_a_full_resync_brought_is_the_begin_of_the_backlog():
    server = promoted_at_50()
    assert server.follow(branch=3, offset=49) == []


def test_a_full_resync_ends_the_right_to_continue_an_older_history():
    server = promoted_at_50()
    server.hear(REPLICAOF, primary=2)
    server.hear(FULL_RESYNC, redis_server.REPLICATION_LINK, branch=2, offset=50)
    assert server.follow(branch=3, offset=50) == []


def test_a_partial_resync_passes_the_right_to_continue_on():
    server = replica_in_sync()
    server.hear(LINK_CLOSED, redis_server.REPLICATION_LINK)
    server.hear(CONTINUE, redis_server.REPLICATION_LINK, branch=11, offset=52)
    assert server.follow(branch=3, offset=50) == [CONTINUE]
    assert server.follow(branch=3, offset=51) == []


def restarted(keeps_data, role=PRIMARY, **settings):
    """A server whose snapshot was made at offset 50 of branch 1."""
    server = Server(role, **settings)
    server.node.branch, server.node.offset = 1, 50
    return server.boot(keeps_data)


@pytest.mark.parametrize(("offset", "answer"), [(49, []), (50, [CONTINUE]), (51, [])])
def test_after_a_restart_from_its_snapshot_a_primary_continues_those_that_stand_there(offset, answer):
    server = restarted(1)
    assert server.node.branch != 1
    assert server.follow(branch=1, offset=offset) == answer


@pytest.mark.parametrize("offset", [0, 49, 50, 51])
def test_redis_6_2_forgets_the_history_of_its_snapshot(offset):
    server = restarted(1, restart_forgets_history=1)
    assert server.follow(branch=1, offset=offset) == []
    assert (server.node.old_branch, server.node.old_offset) == (1, 50), "what it holds is still to be seen"


def test_an_empty_restart_continues_nobody():
    server = restarted(0)
    assert (server.node.offset, server.node.old_branch) == (0, 0)
    assert server.follow(branch=1, offset=0) == []


@pytest.mark.parametrize("forgets", [0, 1])
def test_a_replica_goes_on_from_its_snapshot(forgets):
    server = restarted(1, REPLICA, restart_forgets_history=forgets)
    server.cron()
    server.hear(LINK_OPEN, redis_server.REPLICATION_LINK)
    (psync,) = server.hear(HANDSHAKE_REPLY, redis_server.REPLICATION_LINK, code=2)
    assert (psync.kind, psync.branch, psync.offset) == (PSYNC, 1, 50)


def test_a_replica_that_restarts_knows_only_the_history_of_its_snapshot():
    server = replica_in_sync()
    server.hear(REPLICAOF, primary=0)
    server.node.role, server.node.primary = REPLICA, 3
    server.boot(keeps_data=1)
    server.hear(CONTINUE, redis_server.REPLICATION_LINK, branch=server.node.branch, offset=50)
    assert server.follow(offset=50) == [CONTINUE]
    assert server.follow(branch=3, offset=50) == []


@pytest.mark.parametrize("drops", [0, 1])
def test_what_a_demoted_server_does_with_its_replicas(drops):
    server = Server(demotion_drops_replicas=drops)
    server.follow()
    server.hear(REPLICAOF, primary=3)
    assert server.node.replicas == (0 if drops else 2)
    assert ((effects.DROP, FIRST) in [each[:2] for each in server.done]) == bool(drops)


def test_a_write_counts_and_reaches_the_replicas_a_refused_one_does_not():
    server = primary_with_two()
    offset = server.node.offset
    messages = server.hear(STORE)
    assert [each.offset for each in messages if each.kind == REPLICATE] == [offset + 1, offset + 1]
    server.fault(FAIL_SAVES)
    assert [each.kind for each in server.hear(STORE)] == [STORE_REPLY]
    assert server.node.offset == offset + 1


def test_a_hello_reaches_subscribers_and_replicas():
    server = primary_with_two()
    server.hear(SUBSCRIBE, sentinel=1)
    kinds = [each.kind for each in server.hear(PUBLISH, OTHER + 1, sentinel=2)]
    assert sorted(kinds) == sorted([HELLO, REPLICATE, REPLICATE, PUBLISH_REPLY])


# --- expiry ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_us", "visible"), [(0, 1), (999, 1), (1_000, 0)])
def test_a_key_is_visible_until_its_millisecond_is_over(late_us, visible):
    server = Server()
    assert redis_server.is_visible(server.node, NOW // 1000, NOW + late_us) == visible


def test_only_a_primary_deletes():
    assert redis_server.deletes(Server().node, NOW // 1000, NOW + SECOND) == 1
    assert redis_server.deletes(Server().node, NOW // 1000, NOW) == 0
    assert redis_server.deletes(Server(REPLICA).node, NOW // 1000, NOW + SECOND) == 0


@pytest.mark.parametrize(("is_relative", "expires_s"), [(0, 60), (1, 160)])
def test_a_time_to_live_begins_anew_on_the_clock_of_the_replica(is_relative, expires_s):
    """Set for 60 s on the primary; the replica's clock is 100 s ahead."""
    arrived_us = NOW + 100 * SECOND
    expiry_ms = redis_server.expiry_at_replica(NOW // 1000 + 60_000, is_relative, NOW, arrived_us)
    assert expiry_ms - NOW // 1000 == expires_s * 1000
