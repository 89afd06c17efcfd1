"""What Flexisip's versions do, row by row: INFO replies, losses, requests, and what better knobs change."""

from __future__ import annotations

from typing import get_args

import pytest

from model import effects, registrar
from model.effects import (
    AUTHENTICATE,
    AUTHENTICATED,
    CRLF_PING,
    DONE,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    QUERY,
    READONLY_REPLY,
    REASONS,
    REGISTER,
    REPLICA,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
    SWITCHED,
)
from model.policies import PolicyName, configure
from model.registrar import (
    REDIS_LINK,
    SENTINEL_LINK,
    SUBSCRIPTION_LINK,
    TIMER_ASK,
    TIMER_PING,
    TIMER_REDIS,
    TIMER_RETRY,
    TIMER_SENTINEL,
    TIMER_WRITE,
)
from model.scenario import RegistrarSection

SECOND = 1_000_000
LOST, FIRST, OTHER = 0, 1, 2
"""Numbers of the primary that is lost, and of its replicas in order."""
BOTH = (FIRST + 1) | (OTHER + 1) << 4
ONE = FIRST + 1
READONLY = REASONS + READONLY_REPLY
FLEXISIP = tuple(name for name in get_args(PolicyName) if name != "guide")
SINCE_2_4 = FLEXISIP[2:]
CLIENT = 500


class Node:
    """A node on its primary, and what it has done since."""

    def __init__(self, policy: str, replicas: int = BOTH, has_password: bool = True, **section) -> None:
        self.node, self.out = registrar.REGISTRAR.new(), effects.OUT.new()
        configure(self.node, RegistrarSection(policy=policy, **section), has_password)
        self.node.sentinels, self.now_us = 0b111, 1_000 * SECOND
        self.timers: dict[int, int] = {}
        self.asked = 0
        self.call(registrar.boot, LOST)
        self.open(REDIS_LINK)
        if self.node.subscription:
            self.open(SUBSCRIPTION_LINK)
        self.info(PRIMARY, replicas=replicas)
        self.done: list[tuple] = []
        self.now_us += 100 * SECOND

    def call(self, handler, *arguments) -> None:
        self.out.n = 0
        handler(self.node, *arguments, self.out)
        self.done = []
        for effect in self.out.effects[: self.out.n]:
            kind, target = effect.kind, effect.target
            if kind == effects.SET_TIMER:
                self.timers[target] = self.now_us + effect.delay_us
            elif kind == effects.CANCEL_TIMER:
                self.timers.pop(target, None)
            elif kind == effects.CONNECT:
                self.done.append(("connect", target, effect.server))
            elif kind == effects.SEND:
                self.done.append(("send", target, effect.message.kind))
            elif kind == effects.REPLY:
                self.done.append(("answer", effect.message.request, effect.message.code, effect.message.seconds))
        registrar.REGISTRAR.check(self.node)

    def hear(self, link: int, kind: int, **fields) -> list[tuple]:
        """Something arrives on a link; what the node does."""
        message = effects.MESSAGE.new()
        message.kind = kind
        for name, value in fields.items():
            setattr(message, name, value)
        self.call(registrar.on_message, self.now_us, link, message)
        return self.done

    def open(self, link: int) -> list[tuple]:
        """A connect succeeds, and the password, if there is one, with it."""
        self.hear(link, LINK_OPEN)
        sends_password = self.node.subscription and self.node.has_password
        return self.hear(link, AUTHENTICATED, code=DONE) if sends_password else self.done

    def lose(self, link: int) -> list[tuple]:
        return self.hear(link, LINK_CLOSED)

    def info(self, role: int, **fields) -> list[tuple]:
        return self.hear(REDIS_LINK, INFO_REPLY, role=role, **fields)

    def ring(self, which: int) -> list[tuple]:
        """A timer runs down, at its time."""
        self.now_us = max(self.now_us, self.timers.pop(which))
        self.call(registrar.on_timer, self.now_us, which)
        return self.done

    def register(self, kind: int = REGISTER, **fields) -> list[tuple]:
        self.asked += 1
        return self.hear(CLIENT, kind, request=self.asked, **fields)

    def found(self, code: int = DONE) -> list[tuple]:
        """Redis answers the newest look-up."""
        return self.hear(REDIS_LINK, LOOKUP_REPLY, job=self.node.jobs, code=code)

    def stored(self, code: int = DONE) -> list[tuple]:
        return self.hear(REDIS_LINK, STORE_REPLY, job=self.node.jobs, code=code)

    def connects(self) -> list[tuple[int, int]]:
        return [(link, server) for what, link, server in (each[:3] for each in self.done) if what == "connect"]

    def answers(self) -> list[int]:
        return [each[2] for each in self.done if each[0] == "answer"]

    def fall(self) -> Node:
        """The primary dies by a reset, and refuses from then on: ends where the first round leads to."""
        for link in (SUBSCRIPTION_LINK, REDIS_LINK):
            self.lose(link)
        return self


# --- INFO ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", FLEXISIP)
def test_a_replica_in_sync_sends_the_node_to_its_primary_at_once(policy):
    node = Node(policy)
    node.info(REPLICA, primary=OTHER + 1, link_up=1, heard_s=60)
    assert sorted(node.connects()) == [(SUBSCRIPTION_LINK, OTHER), (REDIS_LINK, OTHER)]


@pytest.mark.parametrize("policy", FLEXISIP)
def test_a_replica_without_link_keeps_the_node_until_the_next_tick(policy):
    node = Node(policy)
    tick_us = node.timers[TIMER_ASK]
    assert node.info(REPLICA, primary=OTHER + 1, link_up=0) == []
    assert (node.node.phase, node.timers[TIMER_ASK]) == (registrar.ON_REPLICA, tick_us)


@pytest.mark.parametrize("policy", FLEXISIP)
def test_the_rhythm_of_questions_is_that_of_the_first_answer(policy):
    node = Node(policy)
    begun_us = node.timers[TIMER_ASK] - 60 * SECOND
    node.now_us = begun_us + 30 * SECOND
    node.fall()
    node.ring(TIMER_ASK)
    assert node.now_us == begun_us + 60 * SECOND
    assert node.timers[TIMER_ASK] == node.now_us + 60 * SECOND


def test_a_program_that_behaves_as_an_older_one_asks_earlier():
    node = registrar.REGISTRAR.new()
    configure(node, RegistrarSection(policy="flexisip-2.6"))
    node.age_us = 130 * SECOND
    out = effects.OUT.new()
    registrar._on_info(node, 1, effects.MESSAGE.new(), out)
    ask = next(each for each in out.effects[: out.n] if each.kind == effects.SET_TIMER)
    assert (ask.target, ask.delay_us) == (TIMER_ASK, 50 * SECOND)


@pytest.mark.parametrize("policy", FLEXISIP)
def test_an_error_to_info_changes_nothing(policy):
    node = Node(policy)
    node.ring(TIMER_ASK)
    assert node.hear(REDIS_LINK, OK_REPLY) == []
    assert node.node.phase == registrar.ON_PRIMARY


def test_an_empty_list_of_replicas_replaces_the_old_one():
    node = Node("flexisip-2.6")
    node.info(PRIMARY, replicas=0)
    assert node.lose(REDIS_LINK)[0] == ("connect", REDIS_LINK, LOST)
    assert node.lose(REDIS_LINK) == []  # the only server was tried less than a second ago


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", SINCE_2_4)
def test_a_dead_primary_splits_the_two_connections(policy):
    """Its subscription ends first and tries it once more, the commands' goes to the first replica."""
    node = Node(policy)
    node.lose(SUBSCRIPTION_LINK)
    assert node.connects() == [(SUBSCRIPTION_LINK, LOST)]
    node.lose(REDIS_LINK)
    assert node.connects() == [(REDIS_LINK, FIRST)]
    node.lose(SUBSCRIPTION_LINK)
    assert node.connects() == [(SUBSCRIPTION_LINK, OTHER)]


def test_with_one_replica_the_pause_of_2_6_closes_the_door_for_a_second():
    """The commands' connection stands, but nothing is asked on it while the subscription waits."""
    node = Node("flexisip-2.6", ONE).fall()
    node.open(REDIS_LINK)
    node.lose(SUBSCRIPTION_LINK)
    assert node.connects() == []
    assert node.register() == [("answer", 1, 500, 0)]
    node.ring(TIMER_RETRY)
    assert node.connects() == [(SUBSCRIPTION_LINK, FIRST)]
    assert ("send", REDIS_LINK, LOOKUP) in node.register()


@pytest.mark.parametrize("policy", ["flexisip-2.4", "flexisip-2.5"])
def test_without_a_pause_refused_servers_are_tried_for_ever(policy):
    node = Node(policy).fall()
    tried = [node.lose(REDIS_LINK)[0][2] for _ in range(7)]
    assert tried == [*[OTHER, OTHER, FIRST] * 2, OTHER]
    assert TIMER_RETRY not in node.timers


def test_2_6_pauses_after_a_round_and_begins_with_the_server_tried_last():
    node = Node("flexisip-2.6").fall()
    assert node.lose(SUBSCRIPTION_LINK) == [("connect", SUBSCRIPTION_LINK, OTHER)]
    assert node.lose(REDIS_LINK) == []
    node.ring(TIMER_RETRY)
    assert node.connects() == [(REDIS_LINK, OTHER)]


def test_a_wall_clock_that_is_set_back_makes_the_pause_longer():
    node = Node("flexisip-2.6").fall()
    node.lose(SUBSCRIPTION_LINK)
    node.node.wall_ahead_us = -60 * SECOND
    node.lose(REDIS_LINK)
    assert node.ring(TIMER_RETRY) == []
    assert TIMER_RETRY not in node.timers  # from its own timer a pause is not begun anew
    node.now_us += 59 * SECOND
    assert node.register() == [("answer", 1, 500, 0)]
    node.now_us += 2 * SECOND
    node.register()
    assert node.connects() == [(REDIS_LINK, OTHER)]


@pytest.mark.parametrize("policy", ["flexisip-2.0", "flexisip-2.3"])
def test_until_2_3_a_lost_subscription_waits_for_the_other_connection(policy):
    node = Node(policy)
    assert node.lose(SUBSCRIPTION_LINK) == []
    node.lose(REDIS_LINK)
    target = LOST if policy == "flexisip-2.3" else OTHER
    assert sorted(node.connects()) == [(SUBSCRIPTION_LINK, target), (REDIS_LINK, target)]


@pytest.mark.parametrize(("policy", "target"), [("flexisip-2.0", OTHER), ("flexisip-2.3", OTHER)])
def test_until_2_3_a_refused_node_waits_for_a_request(policy, target):
    """Two steps of the round have been taken by then: one for each connection, whose password came back."""
    node = Node(policy).fall()
    assert node.lose(REDIS_LINK) == []
    node.register()
    assert sorted(node.connects()) == [(SUBSCRIPTION_LINK, target), (REDIS_LINK, target)]


def test_2_0_gives_up_without_replicas_until_a_request_comes():
    node = Node("flexisip-2.0", 0)
    assert node.lose(REDIS_LINK) == []
    node.register()
    assert (REDIS_LINK, LOST) in node.connects()


def test_the_password_closes_a_subscription_that_was_left_open():
    """CLIENT KILL TYPE normal on one server: the commands' connection comes back, and costs the other one."""
    node = Node("flexisip-2.6", 0)
    node.lose(REDIS_LINK)
    assert ("send", SUBSCRIPTION_LINK, AUTHENTICATE) in node.done
    node.open(REDIS_LINK)
    node.hear(SUBSCRIPTION_LINK, AUTHENTICATED, code=0)
    assert node.connects() == []
    assert node.register() == [("answer", 1, 500, 0)]


@pytest.mark.parametrize("policy", SINCE_2_4)
def test_without_a_password_the_subscription_stays_and_brings_no_second_look(policy):
    node = Node(policy, has_password=False)
    assert node.lose(REDIS_LINK) == [("connect", REDIS_LINK, LOST)]
    assert node.hear(REDIS_LINK, LINK_OPEN) == [("send", REDIS_LINK, INFO)]
    node.lose(SUBSCRIPTION_LINK)
    assert node.done == [("send", REDIS_LINK, INFO), ("connect", SUBSCRIPTION_LINK, FIRST)]
    assert node.hear(SUBSCRIPTION_LINK, LINK_OPEN) == []


@pytest.mark.parametrize("policy", FLEXISIP[:2])
def test_without_a_password_a_refused_connect_leads_to_the_next_server_at_once(policy):
    node = Node(policy, has_password=False)
    node.lose(REDIS_LINK)
    node.lose(REDIS_LINK)
    assert ("connect", REDIS_LINK, FIRST) in node.done


@pytest.mark.parametrize("policy", SINCE_2_4)
def test_a_reopened_subscription_asks_for_the_role_once_more(policy):
    node = Node(policy)
    node.lose(SUBSCRIPTION_LINK)
    node.hear(SUBSCRIPTION_LINK, LINK_OPEN)
    assert node.hear(SUBSCRIPTION_LINK, AUTHENTICATED, code=DONE) == [("send", REDIS_LINK, INFO)]


@pytest.mark.parametrize("policy", FLEXISIP)
def test_a_tick_without_connection_reconnects_since_2_5(policy):
    node = Node(policy, 0).fall()
    node.lose(REDIS_LINK)
    node.timers.pop(TIMER_RETRY, None)
    node.node.session[REDIS_LINK] = registrar.CLOSED
    node.now_us += 2 * SECOND
    node.ring(TIMER_ASK)
    assert bool(node.connects()) == (policy in ("flexisip-2.5", "flexisip-2.6"))


@pytest.mark.parametrize("policy", ["flexisip-2.5", "flexisip-2.6"])
def test_an_unanswered_ping_reopens_the_subscription_at_the_next_tick(policy):
    node = Node(policy)
    assert node.ring(TIMER_PING) == [("send", SUBSCRIPTION_LINK, PING)]
    node.hear(SUBSCRIPTION_LINK, PONG)
    assert node.ring(TIMER_PING) == [("send", SUBSCRIPTION_LINK, PING)]
    node.ring(TIMER_PING)
    assert node.connects() == [(SUBSCRIPTION_LINK, LOST)]


@pytest.mark.parametrize("policy", FLEXISIP)
def test_silence_is_not_noticed(policy):
    node = Node(policy)
    for _ in range(15):
        node.register()
        node.ring(TIMER_ASK)
        assert node.connects() == []
    assert (node.node.phase, TIMER_REDIS in node.timers) == (registrar.ON_PRIMARY, False)


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", FLEXISIP)
@pytest.mark.parametrize("reason", ["READONLY", "MISCONF", "NOREPLICAS"])
def test_a_refused_write_is_tried_after_5_and_10_s_and_then_refused(policy, reason):
    node = Node(policy)
    start_us = node.now_us
    node.register()
    assert node.found() == [("send", REDIS_LINK, STORE)]
    for after_s in (5, 10):
        assert node.stored(REASONS + effects.MISCONF_REPLY if reason == "MISCONF" else READONLY) == []
        assert node.ring(TIMER_WRITE) == [("send", REDIS_LINK, STORE)]
        assert node.now_us == start_us + after_s * SECOND
    assert node.stored(READONLY) == [("answer", 1, 500, 0)]


@pytest.mark.parametrize("policy", SINCE_2_4)
def test_a_write_is_tried_again_wherever_the_node_is_by_then(policy):
    node = Node(policy)
    node.register(seconds=3_600)
    node.found()
    node.stored(READONLY)
    node.info(REPLICA, primary=OTHER + 1, link_up=1)
    node.open(REDIS_LINK)
    node.ring(TIMER_WRITE)
    assert node.stored() == [("answer", 1, 200, 3_600)]


@pytest.mark.parametrize("policy", FLEXISIP)
def test_a_lost_write_is_tried_again_a_lost_look_up_is_not(policy):
    node = Node(policy)
    node.register()
    node.found()
    node.register()
    node.lose(SUBSCRIPTION_LINK)
    node.lose(REDIS_LINK)
    assert [each for each in node.done if each[0] == "answer"] == [("answer", 2, 500, 0)]
    assert node.timers[TIMER_WRITE] == node.now_us + 5 * SECOND


@pytest.mark.parametrize("policy", FLEXISIP)
def test_a_refused_look_up_is_500_at_once_or_nothing_stored(policy):
    node = Node(policy)
    node.register()
    is_old = policy in ("flexisip-2.0", "flexisip-2.3")
    done = node.found(REASONS + effects.LOADING_REPLY)
    assert done == ([("send", REDIS_LINK, STORE)] if is_old else [("answer", 1, 500, 0)])


@pytest.mark.parametrize("policy", FLEXISIP)
def test_requests_wait_for_a_connect_and_fail_with_it(policy):
    node = Node(policy)
    for link in (SUBSCRIPTION_LINK, REDIS_LINK):
        node.lose(link)
    node.register()
    assert ("send", REDIS_LINK, LOOKUP) in node.done
    node.lose(REDIS_LINK)
    assert node.answers() == [500]


@pytest.mark.parametrize("policy", FLEXISIP)
def test_queries_are_answered_by_a_replica(policy):
    node = Node(policy)
    node.info(REPLICA, primary=OTHER + 1)
    node.register(QUERY)
    assert node.found() == [("answer", 1, 200, 0)]


@pytest.mark.parametrize("policy", ["flexisip-2.0", "flexisip-2.3"])
def test_until_2_3_a_second_try_needs_a_connection_that_is_there(policy):
    node = Node(policy, 0)
    node.register()
    node.found()
    node.lose(REDIS_LINK)
    node.node.session[REDIS_LINK] = registrar.CLOSED
    assert node.ring(TIMER_WRITE) == [("answer", 1, 500, 0)]


# --- better ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", get_args(PolicyName))
def test_a_redis_timeout_ends_silence_for_any_policy(policy):
    node = Node(policy, redis_timeout_ms=1_500)
    node.register()
    node.ring(TIMER_REDIS)
    assert node.answers() == [500]
    assert [link for link, _ in node.connects()][:1] == [REDIS_LINK]


@pytest.mark.parametrize("policy", get_args(PolicyName))
def test_a_followed_sentinel_moves_the_node_at_once(policy):
    node = Node(policy, follow_sentinel=True)
    assert ("send", SENTINEL_LINK, SUBSCRIBE) in node.hear(SENTINEL_LINK, LINK_OPEN)
    node.hear(SENTINEL_LINK, SWITCHED, primary=LOST + 1, code=1)
    assert node.connects() == []
    node.hear(SENTINEL_LINK, SWITCHED, primary=OTHER + 1)
    assert (REDIS_LINK, OTHER) in node.connects()


def test_old_news_of_a_sentinel_move_nobody():
    node = Node("guide", follow_sentinel=True)
    node.hear(SENTINEL_LINK, LINK_OPEN)
    assert node.hear(SENTINEL_LINK, SWITCHED, primary=FIRST + 1, code=1) == []
    node.lose(REDIS_LINK)
    assert node.hear(SENTINEL_LINK, SWITCHED, primary=LOST + 1, code=1) == []


def test_the_own_sentinel_comes_first_then_the_others_in_turn():
    node = Node("guide", follow_sentinel=True)
    tried = []
    for _ in range(4):
        node.lose(SENTINEL_LINK)
        node.ring(TIMER_SENTINEL)
        tried += [server for _, server in node.connects()]
    assert tried == [1, 2, 0, 1]


def test_a_silent_sentinel_is_left():
    node = Node("guide", follow_sentinel=True)
    node.hear(SENTINEL_LINK, LINK_OPEN)
    assert node.ring(TIMER_SENTINEL) == [("send", SENTINEL_LINK, PING)]
    node.ring(TIMER_SENTINEL)
    assert node.connects() == [(SENTINEL_LINK, 0)]


@pytest.mark.parametrize("policy", get_args(PolicyName))
def test_the_answer_of_a_node_that_cannot_store_is_a_matter_of_taste(policy):
    node = Node(policy, unavailable_status=503, retry_after_s=5, pong_while_unavailable=False)
    assert len(node.hear(CLIENT, CRLF_PING) or [0]) == 1
    assert node.out.n == 1
    node.register()
    node.lose(REDIS_LINK)
    assert ("answer", 1, 503, 5) in node.done
    node.hear(CLIENT, CRLF_PING)
    assert node.out.n == 0


@pytest.mark.parametrize("asked_s", [0, 1, 3_600, 10**6])
def test_the_lifetime_of_a_contact_is_granted_as_it_is(asked_s):
    node = Node("guide")
    node.register(seconds=asked_s)
    node.found()
    assert node.stored() == [("answer", 1, 200, asked_s)]
