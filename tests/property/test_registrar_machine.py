"""The registrar machine against everything that Redis, sentinels, the network and SIP clients may do, in any order.

The rules below play the driver: links, answers in the order of the commands, timers that fire no earlier than asked,
and nothing from a link that was closed. Within that, what the peers say is arbitrary. Every policy is drawn, and every
knob that a scenario may turn.
"""

from collections import deque
from typing import get_args

import pytest
from hypothesis import Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model import effects, registrar
from model.effects import (
    AUTHENTICATE,
    AUTHENTICATED,
    DONE,
    IMPOSSIBLE,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    LINK_OPEN,
    LOOKUP,
    LOOKUP_REPLY,
    OK_REPLY,
    PING,
    PONG,
    QUERY,
    REASONS,
    REGISTER,
    STORE,
    STORE_REPLY,
    SUBSCRIBE,
    SWITCHED,
)
from model.policies import PolicyName, configure
from model.registrar import (
    CLOSED,
    MAX_LISTED,
    MAX_REQUESTS,
    OPEN,
    OPENED_ALONE,
    OPENING,
    REDIS_LINK,
    SENTINEL_LINK,
    SUBSCRIPTION_LINK,
)
from model.scenario import RegistrarSection

SERVERS = st.integers(1, effects.MAX_HOSTS)
SECOND = 1_000_000
GUIDE = RegistrarSection()
CODES = st.sampled_from([DONE, DONE, DONE, IMPOSSIBLE, REASONS, REASONS + effects.READONLY_REPLY])
SECTIONS = st.builds(
    RegistrarSection,
    policy=st.sampled_from(get_args(PolicyName)),
    redis_timeout_ms=st.sampled_from([None, 0, 1, 1_500]),
    retry_pause_ms=st.sampled_from([None, 0, 1_000]),
    follow_sentinel=st.booleans(),
    unavailable_status=st.sampled_from([500, 503]),
    retry_after_s=st.sampled_from([0, 7]),
    pong_while_unavailable=st.booleans(),
)


def new_node(section=GUIDE, sentinels=0b111):
    node = registrar.REGISTRAR.new()
    configure(node, section)
    node.sentinels = sentinels
    return node


def message(kind, **fields):
    made = effects.MESSAGE.new()
    made.kind = kind
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def listed(servers):
    """Servers as INFO lists them: 4 bits each, the first one lowest."""
    return sum(server << 4 * position for position, server in enumerate(servers))


class Registrar(RuleBasedStateMachine):
    """One node and its world."""

    def __init__(self):
        super().__init__()
        self.out = effects.OUT.new()
        self.now_us = 3_600 * SECOND
        self.timers = {}  # which -> instant
        self.links = {}  # link -> OPENING or OPEN, from CONNECT to its end
        self.commands = {link: deque() for link in range(registrar.LINKS)}  # unanswered messages
        self.waiting = {}  # SIP request without an answer -> its kind
        self.answers = {}  # SIP request -> status
        self.sent = self.forgotten = self.connects = 0
        self.stored = False

    # The driver's side

    def call(self, handler, *arguments):
        handler(self.node, *arguments, self.out)
        for effect in self.out.effects[: self.out.n]:
            self.carry_out(effect)
        self.out.n = 0

    def carry_out(self, effect):
        effects.EFFECT.check(effect)
        if effect.kind == effects.SET_TIMER:
            self.timers[effect.target] = self.now_us + effect.delay_us
        elif effect.kind == effects.CANCEL_TIMER:
            self.timers.pop(effect.target, None)
        elif effect.kind == effects.CONNECT:
            assert effect.target not in self.links, "a second connection on a link"
            self.links[effect.target] = OPENING
            self.connects += 1
        elif effect.kind == effects.CLOSE:
            self.end_link(effect.target)
        elif effect.kind == effects.SEND:
            self.take_command(effect)
        elif effect.kind == effects.REPLY:
            self.answer(effect)
        elif effect.kind == effects.FORGET:
            del self.waiting[effect.message.request]
            self.forgotten += 1
            assert self.node.redis_timeout_us == 0, "a request was forgotten although it would have failed in time"
        else:
            assert effect.kind == effects.REPORT, f"effect {effect.kind} is none of a registrar's"

    def take_command(self, effect):
        link = effect.target
        may_queue = self.node.serves_anywhere == 1
        assert self.links.get(link) == OPEN or (link in self.links and may_queue), (
            "a command on a link that is not open"
        )
        self.commands[link].append((effect.message.kind, effect.message.request, effect.message.job))

    def answer(self, effect):
        request, status = effect.message.request, effect.message.code
        assert effect.message.kind == effects.RESPONSE
        assert effect.target == 1000 + request, "an answer to somebody else"
        assert request in self.waiting, "a second answer"
        assert status in (200, self.node.unavailable_status)
        if status == 200:
            assert self.stored or self.waiting[request] == QUERY, "a registration confirmed that Redis did not accept"
        else:
            assert effect.message.seconds == self.node.retry_after_s
        del self.waiting[request]
        self.answers[request] = status

    def end_link(self, link):
        self.links.pop(link, None)
        self.commands[link].clear()

    def deliver(self, link, kind, **fields):
        self.stored = kind == STORE_REPLY and fields["code"] == DONE
        self.call(registrar.on_message, self.now_us, link, message(kind, **fields))

    # What may happen

    @initialize(section=SECTIONS, first=st.integers(0, effects.MAX_HOSTS - 1), sentinels=st.integers(0, 127))
    def the_process_starts(self, section, first, sentinels):
        note(f"{section!r}")
        self.node = new_node(section, sentinels)
        self.call(registrar.boot, first)

    @rule(step_us=st.integers(0, 70 * SECOND))
    def time_passes(self, step_us):
        """Time passes, at most to the next timer."""
        self.now_us = min([self.now_us + step_us, *self.timers.values()])

    @rule(by_s=st.sampled_from([-60, -2, 2, 60]))
    def the_wall_clock_is_set(self, by_s):
        """A driver that tells another clock shows where the wall clock is."""
        self.node.wall_ahead_us += by_s * SECOND

    @precondition(lambda self: self.timers)
    @rule()
    def next_timer_fires(self):
        which = min(self.timers, key=self.timers.get)
        self.now_us = max(self.now_us, self.timers.pop(which))
        self.call(registrar.on_timer, self.now_us, which)

    @rule(is_query=st.booleans(), seconds=st.sampled_from([0, 1, 3_600]))
    def a_client_asks(self, is_query, seconds=0):
        number, kind = self.sent, QUERY if is_query else REGISTER
        self.sent += 1
        self.waiting[number] = kind
        phase = self.node.phase
        self.stored = False
        request = message(kind, request=number, seconds=seconds)
        self.call(registrar.on_message, self.now_us, 1000 + number, request)
        if phase != registrar.ON_PRIMARY and kind == REGISTER and not self.node.serves_anywhere:
            assert self.answers[number] == self.node.unavailable_status, "a registration was taken without a primary"

    @rule()
    def a_client_pings(self):
        self.node_is_asked_for_a_sign_of_life()

    def node_is_asked_for_a_sign_of_life(self):
        registrar.on_message(self.node, self.now_us, 1, message(effects.CRLF_PING), self.out)
        can_store = self.node.phase == registrar.ON_PRIMARY
        assert self.out.n == int(can_store or self.node.pongs_while_unavailable == 1)
        self.out.n = 0

    @rule(first=st.integers(0, effects.MAX_HOSTS - 1))
    def the_process_is_started_again(self, first):
        """A crash takes what was open with it: those clients hear nothing."""
        self.forgotten += len(self.waiting)
        self.waiting.clear()
        for link in range(registrar.LINKS):
            self.end_link(link)
        self.timers.clear()
        self.call(registrar.boot, first)

    @precondition(lambda self: OPENING in self.links.values())
    @rule(data=st.data())
    def a_link_opens(self, data):
        link = data.draw(st.sampled_from([link for link, state in self.links.items() if state == OPENING]))
        self.links[link] = OPEN
        self.deliver(link, LINK_OPEN)

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def a_link_is_closed_or_refused(self, data):
        self.lose(data.draw(st.sampled_from(sorted(self.links))))

    def lose(self, link):
        self.end_link(link)
        self.deliver(link, LINK_CLOSED)

    @precondition(lambda self: self.links)
    @rule()
    def no_server_can_be_reached(self):
        """Every candidate refuses: no handler connects more than twice, and a round with a pause ends in it."""
        has_pause = self.node.retry_pause_us > 0 or self.node.round == registrar.LOST_LAST
        for tried in range(4 * (MAX_LISTED + 2)):
            links = [link for link in sorted(self.links) if link != SENTINEL_LINK]
            if not links:
                return
            before = self.connects
            self.lose(links[tried % len(links)])
            assert self.connects - before <= 2, "a loop within one handler"
            self.every_field_is_in_its_range()
        assert not has_pause, "the round does not end"

    @precondition(lambda self: any(self.commands.values()))
    @rule(
        data=st.data(),
        code=CODES,
        role=st.sampled_from([effects.PRIMARY, effects.REPLICA]),
        primary=st.integers(0, effects.MAX_HOSTS),
        link_up=st.integers(0, 1),
        heard_s=st.integers(0, 100),
        replicas=st.lists(SERVERS, max_size=MAX_LISTED),
    )
    def a_peer_answers(self, data, code, replicas, **info):
        open_links = [link for link, asked in self.commands.items() if asked and self.links[link] == OPEN]
        if open_links:
            self.answer_on(data.draw(st.sampled_from(open_links)), code, replicas, **info)

    def answer_on(self, link, code, replicas=(), **info):
        kind, request, job = self.commands[link].popleft()
        if kind == INFO and code == IMPOSSIBLE:
            self.deliver(link, OK_REPLY)
        elif kind == INFO:
            self.deliver(link, INFO_REPLY, replicas=listed(replicas), **info)
        elif kind == PING:
            self.deliver(link, PONG)
        elif kind == AUTHENTICATE:
            self.deliver(link, AUTHENTICATED, code=DONE if link == REDIS_LINK else min(code, DONE))
        elif kind == SUBSCRIBE:
            self.deliver(link, SWITCHED, code=1, primary=info.get("primary", 0))
        else:
            assert kind in (LOOKUP, STORE)
            self.deliver(link, LOOKUP_REPLY if kind == LOOKUP else STORE_REPLY, request=request, job=job, code=code)

    @precondition(lambda self: self.links.get(SENTINEL_LINK) == OPEN)
    @rule(primary=SERVERS)
    def a_sentinel_switches(self, primary):
        self.deliver(SENTINEL_LINK, SWITCHED, primary=primary)
        if self.node.session[REDIS_LINK] != CLOSED:
            assert self.node.current == primary - 1

    @precondition(lambda self: REDIS_LINK in self.links)
    @rule(replicas=st.lists(SERVERS, max_size=3), requests=st.integers(0, 5))
    def a_primary_serves(self, replicas, requests):
        """All goes well for a while: without this, few runs would see a registration through."""
        for link in sorted(self.links):
            if self.links[link] == OPENING:
                self.links[link] = OPEN
                self.deliver(link, LINK_OPEN)
        for _ in range(requests):
            self.a_client_asks(is_query=False)
        while any(asked and self.links[link] == OPEN for link, asked in self.commands.items()):
            for link in range(registrar.LINKS):
                if self.commands[link] and self.links[link] == OPEN:
                    self.answer_on(link, DONE, replicas, role=effects.PRIMARY)

    # What always holds

    @invariant()
    def every_field_is_in_its_range(self):
        if hasattr(self, "node"):
            registrar.REGISTRAR.check(self.node)

    @invariant()
    def the_books_are_right(self):
        if not hasattr(self, "node"):
            return
        node = self.node
        assert node.open_requests == len(self.waiting) == sum(job != 0 for job in node.job)
        assert {link: state for link, state in enumerate(node.session) if state != CLOSED} == self.links
        assert node.unanswered == len(self.commands[REDIS_LINK]) + (self.links.get(REDIS_LINK) == OPENING)

    @invariant()
    def every_request_waits_for_a_reason(self):
        """Redis owes an answer about it, or it is tried again: then a timer is set, and not for later than that."""
        if not hasattr(self, "node"):
            return
        node = self.node
        owed = {job for kind, _, job in self.commands[REDIS_LINK] if kind in (LOOKUP, STORE)}
        late = [due_us for due_us in node.due_us if due_us]
        assert {job for job in node.job if job} == owed & set(node.job) | {
            job for job, due_us in zip(node.job, node.due_us, strict=True) if due_us
        }
        if late:
            assert registrar.TIMER_WRITE in self.timers

    @invariant()
    def it_never_waits_for_ever(self):
        """Whatever stays silent from now on, a timer brings the node on, where its policy has one for that."""
        if not hasattr(self, "node"):
            return
        node = self.node
        assert (registrar.TIMER_REDIS in self.timers) == (node.unanswered > 0 and node.redis_timeout_us > 0)
        if node.keeps_phase == 1:
            assert (registrar.TIMER_ASK in self.timers) == (node.is_asking == 1)
        elif node.phase in (registrar.ON_PRIMARY, registrar.ON_REPLICA):
            assert registrar.TIMER_ASK in self.timers
        if node.round == registrar.LOST_LAST and REDIS_LINK not in self.links:
            assert registrar.TIMER_RETRY in self.timers
        if node.follows_sentinel == 1 and node.sentinels & 127:
            assert registrar.TIMER_SENTINEL in self.timers

    def teardown(self):
        """Once no server answers any more, everything that is open is answered: each request once, none forgotten."""
        if not hasattr(self, "node"):
            return
        for _ in range(20):
            if not self.waiting:
                break
            if REDIS_LINK in self.links:
                self.lose(REDIS_LINK)
            if registrar.TIMER_WRITE in self.timers:
                self.now_us = max(self.now_us, self.timers.pop(registrar.TIMER_WRITE))
                self.call(registrar.on_timer, self.now_us, registrar.TIMER_WRITE)
        assert not self.waiting
        assert len(self.answers) + self.forgotten == self.sent


TestRegistrar = Registrar.TestCase
TestRegistrar.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, phases=set(Phase) - {Phase.explain}
)


def primary_of(section):
    """A node that has just found its primary, and the buffer of its effects."""
    node, out = new_node(section), effects.OUT.new()
    registrar.boot(node, 0, out)
    registrar.on_message(node, 1, REDIS_LINK, message(LINK_OPEN), out)
    if section.policy != "guide":
        registrar.on_message(node, 1, REDIS_LINK, message(AUTHENTICATED, code=DONE), out)
    registrar.on_message(node, 1, REDIS_LINK, message(INFO_REPLY, role=effects.PRIMARY), out)
    return node, out


def test_questions_may_pile_up_for_as_long_as_the_redis_timeout_allows():
    """With a time-out of an hour and a question every 50 ms a silent server leaves very many unanswered."""
    node, out = primary_of(RegistrarSection())
    for _ in range(3600 * 20):
        out.n = 0
        registrar.on_timer(node, 1, registrar.TIMER_ASK, out)
    registrar.REGISTRAR.check(node)


def test_a_node_that_never_saw_a_primary_comes_back_to_its_configured_server():
    """Its server names a primary that is dead. The node must not stay with the dead one for good."""
    node, out = new_node(), effects.OUT.new()
    registrar.boot(node, 0, out)
    registrar.on_message(node, 1, REDIS_LINK, message(LINK_OPEN), out)
    registrar.on_message(node, 1, REDIS_LINK, message(INFO_REPLY, role=effects.REPLICA, primary=3), out)
    assert (node.phase, node.current) == (registrar.CONNECTING, 2)
    registrar.on_message(node, 1, REDIS_LINK, message(LINK_CLOSED), out)
    assert (node.phase, node.current) == (registrar.CONNECTING, 0)


@pytest.mark.parametrize("policy", get_args(PolicyName))
def test_more_requests_than_there_is_room_for(policy):
    """With a time-out the newest are refused, without one the oldest are forgotten; and no buffer is too small."""
    node, out = primary_of(RegistrarSection(policy=policy))
    forgotten, refused = [], []
    for number in range(3 * MAX_REQUESTS):
        out.n = 0
        registrar.on_message(node, 2, 1_000, message(REGISTER, request=number), out)
        forgotten += [each.message.request for each in out.effects[: out.n] if each.kind == effects.FORGET]
        refused += [each.message.request for each in out.effects[: out.n] if each.kind == effects.REPLY]
    is_patient = node.redis_timeout_us == 0
    assert forgotten == (list(range(2 * MAX_REQUESTS)) if is_patient else [])
    assert refused == ([] if is_patient else list(range(MAX_REQUESTS, 3 * MAX_REQUESTS)))
    out.n = 0
    registrar.on_message(node, 3, REDIS_LINK, message(LINK_CLOSED), out)
    answered = [each.message.request for each in out.effects[: out.n] if each.kind == effects.REPLY]
    assert len(answered) == MAX_REQUESTS
    assert out.n <= effects.MAX_EFFECTS


def test_subscriptions_are_kept_by_the_policies_that_have_them():
    for policy in get_args(PolicyName):
        node, _ = primary_of(RegistrarSection(policy=policy))
        assert (node.session[SUBSCRIPTION_LINK] == CLOSED) == (policy == "guide")
        assert (node.subscription == OPENED_ALONE) == (policy in ("flexisip-2.4", "flexisip-2.5", "flexisip-2.6"))
