"""The sentinel machine rule by rule, against peers and servers that answer what a test tells them to.

Each rule is one of sentinel.c; docs/machines.md lists them with their places.
"""

from __future__ import annotations

import pytest

from model import effects, sentinel
from model.effects import (
    ALIVE,
    ASK,
    ASK_REPLY,
    BLOCK,
    BUSY_REPLY,
    CLOSE,
    CONNECT,
    HELLO,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOADING_REPLY,
    MASTERDOWN_REPLY,
    MAX_HOSTS,
    MISCONF_REPLY,
    NOAUTH_REPLY,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    PUBLISH,
    PUBLISH_REPLY,
    REPLICA,
    REPLICAOF,
    REPORT,
    REPORTS,
    SCRIPT_KILL,
    SEND,
    SET_TIMER,
)

MS, S = 1_000, 1_000_000
START_US = 1_000 * S
DOWN_AFTER_US, FAILOVER_TIMEOUT_US = 10 * S, 20 * S
TICK_US = 70 * MS
ELSEWHERE = 99  # a connection that somebody else opened


def link_to_peer(host):
    return 2 * MAX_HOSTS + 2 * host


class Bench:
    """Sentinel 0 of a few hosts; server 0 is the primary, and every server and sentinel answers at once.

    Attributes
    ----------
    silent : set of int
        Own links on which nobody answers.
    rank, pong : dict
        By server: its run id, code of its PONGs.
    followed : dict
        By server: 1 + number of the primary that it reports, 0 = it reports to be one.
    link_down_s : dict
        By server: seconds since its link went down, as INFO says.
    listed : list of int
        The replicas that the primary names.
    peer_says : dict
        By peer: whether it calls the primary down, 1 + number of the sentinel it voted for, epoch of that vote.
    asked, commands, told : list
        ASKs sent, (kind, host, primary) of REPLICAOF and SCRIPT_KILL, and (event, about) since `forget`.
    flushes : int
        Rewrites of the file since `forget`.
    """

    def __init__(self, hosts=3, sentinels=3, quorum=2, flush_us=0, **settings):
        self.node, self.out, self.now_us = sentinel.SENTINEL.new(), effects.OUT.new(), START_US
        node = self.node
        node.hosts, node.quorum, node.flush_us, node.parallel_syncs = hosts, quorum, flush_us, 1
        node.down_after_us, node.failover_timeout_us = DOWN_AFTER_US, FAILOVER_TIMEOUT_US
        for name, value in settings.items():
            setattr(node, name, value)
        node.file.knows_server[:hosts] = [1] * hosts
        node.file.knows_peer[:sentinels] = [0] + [1] * (sentinels - 1)
        self.silent, self.pong, self.rank, self.link_down_s, self.peer_says = set(), {}, {}, {}, {}
        self.followed = {host: 0 if host == 0 else 1 for host in range(hosts)}
        self.listed = list(range(1, hosts))
        self.forget()
        self.call(sentinel.boot)

    def forget(self):
        self.asked, self.commands, self.told, self.sent, self.flushes = [], [], [], [], 0

    def call(self, handler, *arguments):
        """Call a handler, carry out its effects, then answer what it sent."""
        self.out.n = 0
        result = handler(self.node, self.now_us, *arguments, self.out)
        assert self.out.n <= effects.MAX_EFFECTS
        self.blocked_us, self.replies, self.answers = 0, [], []
        for effect in self.out.effects[: self.out.n]:
            self._carry_out(effect)
        self.now_us += self.blocked_us
        for link, kind, fields in list(self.answers):
            self.deliver(link, kind, **fields)
        return result

    def _carry_out(self, effect):
        link = effect.target
        if effect.kind == SEND:
            self.sent.append((effect.message.kind, link))
            self._take(link, effect.message)
        elif effect.kind == effects.REPLY:
            said = effect.message
            self.replies.append((said.kind, said.down, said.sentinel, said.epoch))
        elif effect.kind == REPORT:
            self.told.append((REPORTS[effect.report], effect.about - 1))
            self.told_at_us = effect.at_us
        elif effect.kind == BLOCK:
            self.flushes += 1
            self.blocked_us += effect.delay_us
        elif effect.kind in (CONNECT, CLOSE):
            self.sent.append((effect.kind, link))
            self.answers = [answer for answer in self.answers if answer[0] != link]
        elif effect.kind == SET_TIMER:
            self.timer_us = effect.delay_us

    def _take(self, link, sent):
        """A server or a peer gets a message, and will answer unless it is silent."""
        is_peer = link >= 2 * MAX_HOSTS
        host = link // 2 - MAX_HOSTS if is_peer else link // 2
        if sent.kind == ASK:
            self.asked.append((host, sent.epoch, sent.sentinel))
        if sent.kind in (REPLICAOF, SCRIPT_KILL):
            self.commands.append((sent.kind, host, sent.primary))
        if link in self.silent or sent.kind == effects.SUBSCRIBE:
            return
        down, leader, epoch = self.peer_says.get(host, (0, 0, 0))
        self.answers.append((link, *{
            PING: (PONG, {"code": ALIVE if is_peer else self.pong.get(host, ALIVE)}),
            PUBLISH: (PUBLISH_REPLY, {}),
            INFO: (INFO_REPLY, self.said_in_info(host)),
            ASK: (ASK_REPLY, {"down": down, "sentinel": leader, "epoch": epoch}),
            REPLICAOF: (OK_REPLY, {}),
            SCRIPT_KILL: (OK_REPLY, {}),
        }[sent.kind]))  # fmt: skip

    def said_in_info(self, host):
        follows = self.followed[host]
        return {
            "role": REPLICA if follows else PRIMARY,
            "primary": follows,
            "link_up": int(bool(follows) and not self.link_down_s.get(host, 0)),
            "down_s": self.link_down_s.get(host, 0),
            "offset": 100,
            "run_rank": self.rank.get(host, host + 1),
            "replica_priority": 100,
            "replicas": 0 if follows else sum(1 + number << 4 * place for place, number in enumerate(self.listed)),
        }

    def info(self, host, **fields):
        """An answer to INFO arrives now."""
        self.node.server[host].watch.pending += 1
        self.deliver(2 * host, INFO_REPLY, **(self.said_in_info(host) | fields))

    def deliver(self, link, kind, **fields):
        self.call(sentinel.on_message, link, message(kind, **fields))

    def tick(self, after_us=TICK_US):
        self.now_us += after_us
        self.call(sentinel.on_timer, sentinel.TICK)

    def ticks(self, span_us):
        """Tick for a while; hellos of others keep the pub/sub links alive."""
        end_us = self.now_us + span_us
        while self.now_us < end_us:
            for server in self.node.server:
                server.watch.heard_us = self.now_us
            self.tick()
        sentinel.SENTINEL.check(self.node)

    def until(self, event, limit_us=120 * S):
        """Tick until an event is told."""
        end_us = self.now_us + limit_us
        while event not in self.events():
            assert self.now_us < end_us, f"no {event} in {self.told}"
            self.ticks(1)

    def events(self):
        return [event for event, _ in self.told]

    def silence(self, host):
        self.silent |= {2 * host, 2 * host + 1}

    def kill_primary(self):
        """The primary falls silent, peer 1 agrees and votes for us in any epoch that we ask for."""
        self.silence(0)
        self.peer_says[1] = (1, 1, self.node.current_epoch + 1)


def message(kind, **fields):
    made = effects.MESSAGE.new()
    made.kind = kind
    for name, value in fields.items():
        setattr(made, name, value)
    effects.MESSAGE.check(made)
    return made


def steady(**settings):
    """A bench on which all is known and well."""
    bench = Bench(**settings)
    bench.ticks(3 * S)
    assert "+sdown" not in bench.events()
    bench.forget()
    return bench


def promoting(**settings):
    """A bench in WAIT_PROMOTION: REPLICAOF NO ONE has been sent."""
    bench = steady(**settings)
    bench.kill_primary()
    bench.until("+selected-slave")
    bench.ticks(1)
    assert bench.node.state == sentinel.WAIT_PROMOTION
    return bench


def promoted(**settings):
    """A bench in RECONF: the promotion was seen."""
    bench = promoting(**settings)
    bench.followed[bench.node.promoted - 1] = 0
    bench.until("+promoted-slave")
    return bench


# --- TILT ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap_us", "tilts"), [(2 * S, False), (2 * S + 1, True), (60 * S, True), (0, False), (-1, True), (-60 * S, True)]
)
def test_only_a_negative_gap_or_one_above_two_seconds_starts_tilt(gap_us, tilts):
    bench = steady()
    bench.tick(gap_us)
    assert ("+tilt" in bench.events()) == tilts


def test_tilt_ends_thirty_seconds_after_the_last_gap():
    bench = steady()
    bench.tick(3 * S)
    bench.ticks(20 * S)
    bench.tick(3 * S)
    second_us = bench.now_us
    bench.until("-tilt")
    assert bench.events() == ["+tilt", "+tilt", "-tilt"]
    assert 0 <= bench.now_us - second_us - 30 * S <= TICK_US


def test_in_tilt_all_is_sent_and_nothing_is_judged():
    bench = steady()
    bench.tick(3 * S)
    bench.kill_primary()
    bench.forget()
    bench.ticks(29 * S)
    assert bench.told == []
    assert {kind for kind, _ in bench.sent} == {PING, INFO, PUBLISH}
    bench.ticks(2 * S)
    assert bench.events()[:2] == ["-tilt", "+sdown"]


def test_in_tilt_a_dropped_link_is_opened_again():
    bench = steady()
    bench.tick(3 * S)
    bench.deliver(0, LINK_CLOSED)
    bench.forget()
    bench.ticks(2 * S)
    assert (CONNECT, 0) in bench.sent
    assert (CONNECT, 1) not in bench.sent


def test_in_tilt_a_sentinel_votes_but_calls_nothing_down():
    bench = steady()
    bench.silence(0)
    bench.until("+sdown")
    bench.tick(3 * S)
    bench.deliver(ELSEWHERE, ASK, primary=1, epoch=7, sentinel=2)
    assert bench.replies == [(ASK_REPLY, 0, 2, 7)]


def test_in_tilt_info_is_stored_but_no_promotion_is_seen():
    bench = promoting()
    chosen = bench.node.promoted - 1
    bench.tick(3 * S)
    bench.info(chosen, role=PRIMARY, primary=0)
    assert bench.node.server[chosen].role == PRIMARY
    assert bench.node.state == sentinel.WAIT_PROMOTION


def test_in_tilt_flags_stay_as_they_are():
    bench = steady()
    bench.silence(1)
    bench.until("+sdown")
    bench.tick(3 * S)
    bench.silent.clear()
    bench.ticks(20 * S)
    assert "-sdown" not in bench.events()
    bench.until("-sdown")


def test_a_clock_set_back_stops_pings_until_it_has_caught_up():
    bench = steady()
    bench.tick(-60 * S)
    bench.forget()
    bench.ticks(58 * S)
    assert bench.sent == []
    bench.ticks(4 * S)
    assert (PING, 0) in bench.sent


# --- what answers mean -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "is_life"),
    [(ALIVE, True), (LOADING_REPLY, True), (MASTERDOWN_REPLY, True), (MISCONF_REPLY, False), (BUSY_REPLY, False),
     (NOAUTH_REPLY, False)],
)  # fmt: skip
def test_only_some_answers_to_ping_are_a_sign_of_life(code, is_life):
    bench = steady()
    bench.pong[1] = code
    bench.ticks(16 * S)
    assert (("+sdown", 1) in bench.told) != is_life
    assert (CLOSE, 2) not in bench.sent, "any answer keeps the link"


def test_a_busy_server_gets_one_script_kill_each_time_it_goes_down():
    bench = steady()
    for times in (1, 2):
        bench.pong[1] = BUSY_REPLY
        bench.ticks(20 * S)
        assert bench.commands == times * [(SCRIPT_KILL, 1, 0)]
        bench.pong[1] = ALIVE
        bench.ticks(2 * S)
        assert bench.events()[-1] == "-sdown"


def test_errors_for_info_and_hello_count_for_nothing_but_as_answers():
    bench = steady()
    watch, before_us = bench.node.server[1].watch, bench.node.server[1].info_us
    watch.pending = 2
    published_us = watch.publish_us
    bench.deliver(2, INFO_REPLY, code=1)
    bench.deliver(2, PUBLISH_REPLY, code=1)
    assert (watch.pending, watch.publish_us, bench.node.server[1].info_us) == (0, published_us, before_us)


# --- what is due when ------------------------------------------------------------------------------------------------


def sent_at_us(bench, kind, link, span_us):
    """When a message was sent within a span of time."""
    end_us, found = bench.now_us + span_us, []
    while bench.now_us < end_us:
        bench.forget()
        bench.ticks(1)
        found += [bench.now_us] * ((kind, link) in bench.sent)
    return found


def test_the_next_tick_comes_after_one_of_ten_drawn_times():
    bench, lengths = steady(), set()
    for _ in range(300):
        bench.tick()
        lengths.add((bench.timer_us - sentinel.TICK_OVERHEAD_MIN_US) // MS)
    drawn = {1000 // hz for hz in range(10, 20)}
    assert drawn <= lengths <= drawn | {length + 1 for length in drawn}


@pytest.mark.parametrize(
    ("kind", "down_after_us", "period_us"),
    [(PING, 10 * S, S), (PING, 400 * MS, 400 * MS), (PUBLISH, 10 * S, 2 * S), (INFO, 10 * S, 10 * S)],
)
def test_the_periods_of_what_is_answered(kind, down_after_us, period_us):
    bench = steady(down_after_us=down_after_us)
    sent_us = sent_at_us(bench, kind, 2, 4 * period_us)
    for before_us, after_us in zip(sent_us, sent_us[1:], strict=False):
        assert 0 < after_us - before_us - period_us <= TICK_US


def test_without_an_answer_a_ping_goes_out_every_half_second():
    bench = steady()
    bench.silence(1)
    bench.ticks(2 * S)
    before_us, after_us, *_ = sent_at_us(bench, PING, 2, 2 * S)
    assert 0 < after_us - before_us - 500 * MS <= TICK_US


def test_a_replica_whose_link_is_down_is_asked_every_second():
    bench = steady()
    bench.link_down_s[1] = -1
    bench.ticks(10 * S)
    before_us, after_us, *_ = sent_at_us(bench, INFO, 2, 4 * S)
    assert 0 < after_us - before_us - S <= TICK_US


def test_in_a_failover_replicas_are_asked_every_second_from_its_first_tick_on():
    bench = steady()
    bench.kill_primary()
    bench.until("+odown")
    asked_us = bench.node.server[1].info_us
    assert bench.now_us - asked_us <= S + TICK_US
    assert bench.node.server[2].info_us == asked_us


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_opened_again_a_second_after_the_last_attempt():
    bench = steady()
    bench.deliver(2, LINK_CLOSED)
    bench.tick()
    assert (CONNECT, 2) in bench.sent
    bench.forget()
    bench.deliver(2, LINK_CLOSED)
    bench.deliver(3, LINK_CLOSED)
    bench.ticks(S - TICK_US)
    assert (CONNECT, 2) not in bench.sent
    bench.ticks(2 * TICK_US)
    assert (CONNECT, 2) in bench.sent
    assert (CONNECT, 3) in bench.sent


def test_who_cannot_be_reached_is_down_from_the_first_attempt_on():
    bench = steady()
    bench.silence(1)
    bench.deliver(2, LINK_CLOSED)
    bench.tick()
    first_us = bench.now_us
    bench.until("+sdown")
    assert 0 < bench.now_us - first_us - DOWN_AFTER_US <= 2 * TICK_US


def test_a_hundred_commands_may_wait_and_no_more():
    bench = steady(down_after_us=300 * S)
    bench.silence(1)
    bench.ticks(60 * S)
    # The three of one tick are counted together.
    assert 0 <= bench.node.server[1].watch.pending - sentinel.MAX_PENDING < 3
    assert (CLOSE, 2) not in bench.sent


def test_a_silent_connection_is_cut_when_it_is_old_enough():
    bench = steady()
    bench.silence(1)
    bench.deliver(2, LINK_CLOSED)
    bench.tick()
    opened_us = bench.now_us
    bench.forget()
    while (CLOSE, 2) not in bench.sent:
        bench.ticks(1)
    assert 0 < bench.now_us - opened_us - 15 * S <= TICK_US


def test_a_subscription_without_hellos_is_cut_but_its_start_counts_as_one():
    bench = steady()
    for server in bench.node.server:
        server.watch.heard_us = bench.now_us
    start_us = bench.now_us
    bench.node.server[2].watch.pc_us -= 60 * S
    bench.node.server[1].watch.pc_us -= 60 * S
    while bench.now_us < start_us + 4 * S:
        bench.tick()
    bench.deliver(3, LINK_OPEN)
    while bench.now_us < start_us + 7 * S:
        bench.tick()
    assert (CLOSE, 5) in bench.sent
    assert (CLOSE, 3) not in bench.sent


# --- down ------------------------------------------------------------------------------------------------------------


def test_a_primary_that_says_it_is_none_is_down_after_two_more_infos():
    bench = steady()
    bench.followed[0] = 2
    bench.until("+sdown", 60 * S)
    since_us = bench.now_us - bench.node.server[0].role_us
    assert 0 < since_us - DOWN_AFTER_US - 20 * S <= TICK_US


@pytest.mark.parametrize(("limit_us", "is_down"), [(0, False), (5 * S, True)])
def test_a_restarted_primary_that_loads_is_down_only_by_its_own_setting(limit_us, is_down):
    bench = steady(reboot_down_after_us=limit_us)
    bench.pong[0], bench.rank[0] = LOADING_REPLY, 50
    bench.ticks(20 * S)
    assert ("+reboot", 0) in bench.told
    assert (("+sdown", 0) in bench.told) == is_down
    bench.pong[0] = ALIVE
    bench.ticks(2 * S)
    assert bench.node.server[0].watch.s_down == 0


def test_a_restarted_replica_is_never_down_for_loading():
    bench = steady(reboot_down_after_us=5 * S)
    bench.pong[1], bench.rank[1] = LOADING_REPLY, 50
    bench.ticks(30 * S)
    assert bench.told == [("+reboot", 1)]


def test_an_answer_of_a_peer_counts_for_five_seconds():
    bench = steady()
    bench.kill_primary()
    bench.peer_says[1] = (1, 0, 0)
    bench.until("+odown")
    bench.silent |= {link_to_peer(1), link_to_peer(2)}
    last_us = bench.node.peer[1].answer_us
    bench.until("-odown")
    assert 0 < bench.now_us - last_us - 5 * S <= 2 * TICK_US


def test_who_answers_is_asked_once_a_second_and_who_does_not_at_every_tick():
    bench = steady(quorum=3)
    bench.silence(0)
    bench.silent.add(link_to_peer(2))
    bench.until("+sdown")
    bench.forget()
    bench.ticks(3 * S)
    asked = [host for host, _, _ in bench.asked]
    assert asked.count(1) == 2
    assert asked.count(2) > 30
    assert {candidate for _, _, candidate in bench.asked} == {0}


def test_the_start_of_an_attempt_asks_also_who_has_just_answered():
    bench = steady()
    bench.kill_primary()
    bench.peer_says[2] = (1, 0, 0)
    bench.until("+try-failover")
    asked = [ask for ask in bench.asked if ask[2] == 1]
    assert asked == [(1, 1, 1), (2, 1, 1)]


# --- election --------------------------------------------------------------------------------------------------------


def test_a_vote_costs_two_rewrites_and_bars_an_attempt_from_their_end_on():
    waits_us = []
    for flush_us in (0, 300 * MS):
        bench = Bench(flush_us=flush_us)
        asked_us = bench.now_us
        bench.deliver(ELSEWHERE, ASK, primary=1, epoch=5, sentinel=3)
        waits_us.append(bench.node.start_us - asked_us)
    assert 0 <= waits_us[0] < S
    assert waits_us[1] - waits_us[0] == 600 * MS
    assert bench.told == [("+new-epoch", -1), ("+vote-for-leader", 2)]
    assert bench.flushes == 2
    assert bench.blocked_us == 600 * MS
    bench.deliver(ELSEWHERE, ASK, primary=1, epoch=5, sentinel=2)
    assert bench.replies == [(ASK_REPLY, 0, 3, 5)], "one vote an epoch"
    assert bench.flushes == 2


def test_a_sentinel_of_another_primary_gives_no_vote():
    bench = steady()
    bench.deliver(ELSEWHERE, ASK, primary=2, epoch=5, sentinel=3)
    assert bench.replies == [(ASK_REPLY, 0, 0, 0)]
    assert bench.node.current_epoch == 0


@pytest.mark.parametrize(("sentinels", "votes", "wins"), [(3, 1, True), (4, 1, False), (4, 2, True), (5, 1, False)])
def test_all_sentinels_ever_seen_count_for_the_majority(sentinels, votes, wins):
    bench = steady(hosts=5, sentinels=sentinels)
    bench.kill_primary()
    for host in range(2, votes + 1):
        bench.peer_says[host] = (1, 1, 1)
    bench.silent |= {link_to_peer(host) for host in range(votes + 1, sentinels)}
    bench.until("+try-failover")
    bench.ticks(S)
    assert ("+elected-leader" in bench.events()) == wins


def test_a_lost_election_ends_after_ten_seconds_and_the_next_begins_after_twice_the_timeout():
    bench = steady()
    bench.kill_primary()
    bench.peer_says[1] = (1, 0, 0)
    bench.until("-failover-abort-not-elected")
    start_us = bench.node.start_us
    assert 0 < bench.now_us - start_us - 10 * S <= TICK_US
    bench.forget()
    bench.until("+try-failover")
    assert 0 <= bench.now_us - start_us - 2 * FAILOVER_TIMEOUT_US <= TICK_US


def test_no_attempt_before_the_first_is_a_gate_however_long_the_timeout():
    bench = steady(failover_timeout_us=3_600 * S)
    bench.kill_primary()
    bench.until("+try-failover", 15 * S)


def test_what_follows_a_rewrite_in_a_tick_sees_a_later_clock():
    bench = steady(flush_us=600 * MS)
    bench.kill_primary()
    bench.ticks(8 * S)
    bench.silence(2)
    bench.until("+vote-for-leader")
    assert bench.flushes == 1
    assert bench.told_at_us == bench.now_us, "the tick and its one flush are over"
    assert bench.node.server[2].watch.last_ping_us == bench.now_us, "half a second without an answer went by in it"


# --- failover --------------------------------------------------------------------------------------------------------


def test_the_way_of_a_failover():
    bench = promoted()
    assert bench.node.config_epoch == 1
    bench.followed[2] = 2
    bench.ticks(3 * S)
    assert bench.events() == [
        "+sdown", "+odown", "+new-epoch", "+try-failover", "+vote-for-leader", "+elected-leader", "+selected-slave",
        "+promoted-slave", "+slave-reconf-sent", "+slave-reconf-inprog", "+slave-reconf-done", "+failover-end",
        "+switch-master",
    ]  # fmt: skip
    assert bench.commands == [(REPLICAOF, 1, 0), (REPLICAOF, 2, 2)]
    assert bench.flushes == 3
    assert (bench.node.primary, bench.node.server[1].role, bench.node.server[0].role) == (1, PRIMARY, REPLICA)
    assert (bench.node.state, bench.node.in_progress, bench.node.start_us) == (sentinel.NONE, 0, 0)


GOOD = {"priority": 100, "offset": 100, "run_rank": 3, "link_down_us": 0}


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        ({}, True),
        ({"priority": 0}, False),
        ({"link_down_us": -S}, True),
        ({"link_down_us": 10 * DOWN_AFTER_US + 7 * S}, True),
        ({"link_down_us": 10 * DOWN_AFTER_US + 7 * S + 1}, False),
        ({"info_age_us": 5 * S}, True),
        ({"info_age_us": 5 * S + 1}, False),
        ({"avail_age_us": 5 * S}, True),
        ({"avail_age_us": 5 * S + 1}, False),
        ({"s_down": 1}, False),
        ({"connected": 0}, False),
    ],
)
def test_which_replicas_may_be_promoted(change, is_good):
    bench = steady(hosts=2, sentinels=2)
    node, now_us = bench.node, bench.now_us
    node.server[0].watch.s_down, node.server[0].watch.s_down_us = 1, now_us - 7 * S
    server = node.server[1]
    server.info_us = now_us - change.pop("info_age_us", 0)
    server.watch.avail_us = now_us - change.pop("avail_age_us", 0)
    for name, value in change.items():
        setattr(server.watch if hasattr(server.watch, name) else server, name, value)
    assert sentinel.best_replica(node, now_us) == (2 if is_good else 0)


def test_while_the_primary_is_up_an_info_may_be_thirty_seconds_old():
    bench = steady(hosts=2, sentinels=2)
    bench.node.server[1].info_us = bench.now_us - 30 * S
    assert sentinel.best_replica(bench.node, bench.now_us) == 2
    assert sentinel.best_replica(bench.node, bench.now_us + 1) == 0


@pytest.mark.parametrize(
    ("one", "other", "best"),
    [
        ({"priority": 10}, {"offset": 999}, 2),
        ({"offset": 101}, {"run_rank": 1}, 2),
        ({"run_rank": 9}, {"run_rank": 8}, 3),
        ({"run_rank": 0}, {"run_rank": 8}, 3),
        ({"run_rank": 7}, {"run_rank": 0}, 2),
    ],
)
def test_which_replica_is_the_best(one, other, best):
    bench = steady()
    for number, change in ((1, one), (2, other)):
        for name, value in (GOOD | change).items():
            setattr(bench.node.server[number], name, value)
    assert sentinel.best_replica(bench.node, bench.now_us) == best


def test_no_good_replica_ends_the_failover_at_once():
    bench = steady()
    for server in bench.node.server:
        server.priority = 0
    bench.silent |= {2, 4}
    bench.kill_primary()
    bench.until("-failover-abort-no-good-slave")
    assert (bench.node.in_progress, bench.node.state) == (0, sentinel.NONE)
    assert bench.commands == []


def test_a_promotion_that_is_not_seen_in_time_is_given_up():
    bench = promoting()
    since_us = bench.node.state_us
    bench.until("-failover-abort-slave-timeout")
    assert 0 < bench.now_us - since_us - FAILOVER_TIMEOUT_US <= TICK_US
    assert bench.node.promoted == 0


def test_a_chosen_replica_that_cannot_be_reached_is_waited_for_and_given_up():
    bench = steady()
    bench.kill_primary()
    bench.until("+selected-slave")
    chosen = bench.node.promoted - 1
    bench.silent |= {2 * chosen, 2 * chosen + 1}
    limit_us = bench.now_us + FAILOVER_TIMEOUT_US + 2 * TICK_US
    while bench.now_us < limit_us:
        bench.node.server[chosen].watch.connected = 0
        bench.node.server[chosen].watch.reconnect_us = bench.now_us
        bench.ticks(1)
    assert "-failover-abort-slave-timeout" in bench.events()
    assert bench.commands == []


@pytest.mark.parametrize(("parallel_syncs", "at_once"), [(1, 1), (2, 2), (3, 3)])
def test_so_many_replicas_are_pointed_to_the_new_primary_at_once(parallel_syncs, at_once):
    bench = promoted(hosts=5, parallel_syncs=parallel_syncs)
    bench.ticks(5 * S)
    assert bench.events().count("+slave-reconf-sent") == at_once


def test_a_replica_without_progress_is_given_up_and_ordered_once_more():
    bench = promoted(parallel_syncs=2)
    bench.until("-slave-reconf-sent-timeout")
    assert bench.events()[-4:] == [
        "-slave-reconf-sent-timeout", "+slave-reconf-sent", "+failover-end", "+switch-master",
    ]  # fmt: skip
    assert bench.commands[1:] == [(REPLICAOF, 2, 2)] * 2


def test_a_replica_without_progress_is_not_given_up_while_no_other_could_be_begun():
    """Redis looks for time-outs only where it looks for the next replica: with parallel-syncs 1, never."""
    bench = promoted(parallel_syncs=1)
    bench.until("+switch-master")
    assert "-slave-reconf-sent-timeout" not in bench.events()
    assert "+failover-end-for-timeout" in bench.events()


def test_a_failover_without_end_is_ended_by_the_timeout_with_a_last_order_to_all():
    bench = promoted(hosts=4)
    bench.followed[2] = 2
    bench.link_down_s[2] = 5  # it obeys, but never gets in sync
    bench.until("+switch-master")
    assert bench.told[-5:] == [
        ("+failover-end-for-timeout", 0), ("+failover-end", 0), ("+slave-reconf-sent-be", 2),
        ("+slave-reconf-sent-be", 3), ("+switch-master", 1),
    ]  # fmt: skip


def test_a_failover_has_no_end_while_the_promoted_server_is_down():
    bench = promoted()
    bench.followed[2], bench.link_down_s[2] = 2, 5
    bench.silence(1)
    bench.ticks(12 * S)
    bench.link_down_s[2] = 0
    bench.ticks(3 * FAILOVER_TIMEOUT_US)
    assert bench.node.server[1].watch.s_down == 1
    assert bench.node.state == sentinel.RECONF
    bench.silent -= {2, 3}
    bench.until("+switch-master")


def test_a_dead_replica_does_not_hold_up_the_end():
    bench = steady(hosts=4)
    bench.silence(3)
    bench.kill_primary()
    bench.until("+selected-slave")
    bench.followed[1], bench.followed[2] = 0, 2
    bench.until("+switch-master", 5 * S)
    assert "+failover-end-for-timeout" not in bench.events()


def test_the_next_hello_after_a_promotion_is_due_at_once_and_names_it():
    bench = promoted()
    published = (PUBLISH, link_to_peer(1))
    bench.forget()
    bench.tick()
    assert published in bench.sent
    assert sentinel.current_primary(bench.node) == 1
    assert bench.node.primary == 0


# --- an operator's failover ------------------------------------------------------------------------------------------


def test_an_operators_failover_needs_no_votes_and_asks_nobody():
    bench = steady()
    assert bench.call(sentinel.force_failover)
    assert bench.flushes == 0
    bench.until("+selected-slave")
    assert bench.events() == [
        "+new-epoch", "+try-failover", "+vote-for-leader", "+elected-leader", "+selected-slave",
    ]  # fmt: skip
    assert bench.asked == []


def test_an_operators_failover_is_refused_while_one_is_in_progress():
    bench = steady()
    assert bench.call(sentinel.force_failover)
    assert not bench.call(sentinel.force_failover)
    assert bench.node.current_epoch == 1


def test_an_operators_failover_is_refused_without_a_good_replica():
    bench = steady()
    for server in bench.node.server:
        server.priority = 0
    assert not bench.call(sentinel.force_failover)
    assert (bench.told, bench.node.current_epoch) == ([], 0)


def test_after_an_operators_failover_an_election_needs_its_majority_again():
    bench = steady()
    bench.call(sentinel.force_failover)
    bench.until("-failover-abort-slave-timeout")
    assert bench.node.forced == 0


# --- servers that are not what they should be ------------------------------------------------------------------------


def test_a_second_primary_is_made_a_replica_when_it_has_been_one_for_eight_seconds():
    bench = steady()
    bench.followed[2] = 0
    bench.until("+convert-to-slave")
    assert 8 * S < bench.now_us - bench.node.server[2].role_us < 11 * S
    assert bench.commands == [(REPLICAOF, 2, 1)]


def test_a_second_primary_is_left_alone_while_the_first_is_not_sane():
    bench = steady(quorum=3)
    bench.followed[2] = 0
    bench.silence(0)
    bench.ticks(60 * S)
    assert "+convert-to-slave" not in bench.events()


def test_a_second_primary_that_has_just_been_down_is_left_alone():
    bench = steady()
    bench.node.server[2].watch.s_down_us = bench.now_us
    bench.node.server[2].role_us = bench.now_us - 60 * S
    bench.node.server[2].role = PRIMARY
    bench.info(2, role=PRIMARY, primary=0)
    assert bench.commands == []
    bench.now_us += 8 * S + 1
    bench.info(2, role=PRIMARY, primary=0)
    assert bench.commands == [(REPLICAOF, 2, 1)]


def test_a_replica_of_another_primary_is_put_right_after_failover_timeout():
    bench = steady()
    bench.followed[2] = 2
    bench.until("+fix-slave-config")
    assert FAILOVER_TIMEOUT_US < bench.now_us - bench.node.server[2].conf_us < FAILOVER_TIMEOUT_US + 11 * S
    assert bench.commands == [(REPLICAOF, 2, 1)]


# --- configurations of others ----------------------------------------------------------------------------------------


def hello(**fields):
    return message(HELLO, **({"sentinel": 2, "epoch": 0, "primary": 1, "config_epoch": 0} | fields))


def test_a_strictly_newer_configuration_is_taken():
    bench = steady()
    bench.call(sentinel.on_message, 3, hello(epoch=4, primary=3, config_epoch=4))
    assert bench.events() == ["+new-epoch", "+config-update-from", "+switch-master"]
    assert bench.flushes == 2
    assert (bench.node.primary, bench.node.config_epoch) == (2, 4)
    bench.call(sentinel.on_message, 3, hello(epoch=4, primary=2, config_epoch=4))
    assert bench.node.primary == 2, "one of the same epoch is not"


def test_a_newer_epoch_of_the_same_primary_is_taken_silently_and_not_written():
    bench = steady()
    bench.call(sentinel.on_message, 3, hello(config_epoch=4))
    assert (bench.told, bench.flushes, bench.node.config_epoch, bench.node.file.config_epoch) == ([], 0, 4, 0)


def test_a_configuration_may_name_a_server_that_nobody_knew():
    bench = steady()
    bench.node.server[2].watch.known = 0
    bench.call(sentinel.on_message, 3, hello(primary=3, config_epoch=4))
    assert (bench.node.primary, bench.node.server[2].watch.known) == (2, 1)
    bench.ticks(2 * S)
    assert (CONNECT, 4) in bench.sent


def test_own_hellos_say_nothing_but_that_the_channel_lives():
    bench = steady()
    bench.now_us += S
    bench.call(sentinel.on_message, 3, hello(sentinel=1, epoch=9, primary=3, config_epoch=9))
    assert bench.node.current_epoch == 0
    assert bench.node.server[1].watch.heard_us == bench.now_us


# --- instances come and go -------------------------------------------------------------------------------------------


def test_a_switch_forgets_the_servers_but_not_when_the_primary_was_heard():
    bench = steady()
    info_us, rank = bench.node.server[0].info_us, bench.node.server[2].run_rank
    assert rank != 0
    bench.call(sentinel.on_message, 3, hello(primary=3, config_epoch=4))
    assert {(CLOSE, link) for link in range(6)} <= set(bench.sent)
    assert bench.node.server[2].info_us == info_us
    assert bench.node.server[1].info_us == 0
    assert bench.node.server[2].run_rank == 0
    assert [peer.watch.connected for peer in bench.node.peer[1:3]] == [1, 1]


def test_reset_forgets_replicas_and_sentinels_and_they_are_found_again():
    bench = steady(flush_us=100 * MS)
    bench.call(sentinel.reset)
    assert bench.flushes == 0
    assert [server.watch.known for server in bench.node.server[:3]] == [1, 0, 0]
    assert [peer.watch.known for peer in bench.node.peer[:3]] == [0, 0, 0]
    assert (CLOSE, link_to_peer(1)) in bench.sent
    bench.ticks(12 * S)
    assert [server.watch.known for server in bench.node.server[:3]] == [1, 1, 1]
    assert bench.flushes == 2
    bench.deliver(ELSEWHERE, PUBLISH, sentinel=3, primary=1)
    assert bench.node.peer[2].watch.known == 1
    assert bench.flushes == 3


def test_reset_ends_a_failover():
    bench = promoting()
    bench.call(sentinel.reset)
    assert (bench.node.in_progress, bench.node.state, bench.node.promoted) == (0, sentinel.NONE, 0)
    assert (bench.node.o_down, bench.node.server[0].watch.s_down, bench.node.start_us) == (0, 0, 0)


# --- restart ---------------------------------------------------------------------------------------------------------


def test_a_restart_keeps_epochs_and_instances_and_forgets_the_rest():
    bench = steady()
    bench.silence(0)
    bench.until("+sdown")
    bench.deliver(ELSEWHERE, ASK, primary=1, epoch=5, sentinel=3)
    bench.call(sentinel.boot)
    node = bench.node
    assert (node.current_epoch, node.leader_epoch, node.leader, node.start_us) == (5, 5, 0, 0)
    assert node.server[0].watch.s_down == 0
    assert bench.timer_us == sentinel.FIRST_TICK_US
    bench.deliver(ELSEWHERE, ASK, primary=1, epoch=5, sentinel=2)
    assert bench.replies == [(ASK_REPLY, 0, 0, 5)], "no second vote in an epoch, and the first is not known any more"


def test_a_restarted_sentinel_calls_a_dead_primary_down_exactly_in_time():
    bench = steady()
    bench.silence(0)
    bench.call(sentinel.boot)
    boot_us = bench.now_us
    bench.until("+sdown")
    assert 0 < bench.now_us - boot_us - DOWN_AFTER_US <= TICK_US


def test_the_file_names_the_promoted_server_as_soon_as_its_promotion_is_seen():
    bench = promoted()
    assert bench.node.primary == 0
    bench.call(sentinel.boot)
    assert (bench.node.primary, bench.node.config_epoch, bench.node.in_progress) == (1, 1, 0)
    assert (bench.node.server[1].role, bench.node.server[0].role) == (PRIMARY, REPLICA)
    assert bench.node.server[0].watch.known == 1


def test_the_file_does_not_know_an_operators_failover_before_its_first_tick():
    bench = steady()
    bench.call(sentinel.force_failover)
    bench.call(sentinel.boot)
    assert bench.node.current_epoch == 0
