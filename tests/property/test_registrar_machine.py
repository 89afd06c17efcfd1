"""The registrar machine against everything that Redis, the network and SIP clients may do, in any order.

The rules below play the driver: one link, answers in the order of the commands, timers that fire no earlier than
asked, and nothing from a link that was closed. Within that, what the peers say is arbitrary.
"""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model import effects, registrar
from model.effects import INFO, INFO_REPLY, LINK_CLOSED, LINK_OPEN, LOOKUP, LOOKUP_REPLY, QUERY, REGISTER, STORE
from model.effects import STORE_REPLY as STORED
from model.registrar import MAX_LISTED

REPLY_TO = {INFO: INFO_REPLY, LOOKUP: LOOKUP_REPLY, STORE: STORED}
SERVERS = st.integers(1, effects.MAX_HOSTS)
REDIS_TIMEOUT_US, INFO_PERIOD_US, WAIT_POLL_US, RETRY_PAUSE_US = 1_500_000, 10_000_000, 1_000_000, 1_000_000


def new_node():
    node = registrar.REGISTRAR.new()
    node.redis_timeout_us, node.info_period_us = REDIS_TIMEOUT_US, INFO_PERIOD_US
    node.wait_poll_us, node.retry_pause_us = WAIT_POLL_US, RETRY_PAUSE_US
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
        self.node, self.out = new_node(), effects.OUT.new()
        self.now_us = 1
        self.timers = {}  # which -> instant
        self.link = None  # server that the link goes to, from CONNECT to its end
        self.is_open = False
        self.commands = deque()  # unanswered messages on the link
        self.waiting = {}  # SIP request without an answer -> its kind
        self.answers = {}  # SIP request -> status
        self.sent = self.forgotten = 0
        self.last_report = ""

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
            assert self.link is None, "a second link"
            self.link = effect.server
        elif effect.kind == effects.CLOSE:
            self.end_link()
        elif effect.kind == effects.SEND:
            assert self.is_open, "a command on a link that is not open"
            self.commands.append((effect.message.kind, effect.message.request))
        elif effect.kind == effects.REPLY:
            self.answer(effect)
        elif effect.kind == effects.REPORT:
            self.last_report = effects.REPORTS[effect.report]
        else:
            raise AssertionError(f"effect {effect.kind} is none of a registrar's")

    def answer(self, effect):
        request, status = effect.message.request, effect.message.code
        assert effect.message.kind == effects.RESPONSE
        assert effect.target == 1000 + request, "an answer to somebody else"
        assert request in self.waiting, "a second answer"
        assert status in (200, 500)
        if status == 200:
            assert self.stored or self.waiting[request] == QUERY, "a registration confirmed that Redis did not accept"
        del self.waiting[request]
        self.answers[request] = status

    def end_link(self):
        self.link, self.is_open = None, False
        self.commands.clear()

    def deliver(self, kind, **fields):
        self.stored = kind == STORED and fields["code"] == 1
        self.call(registrar.on_message, self.now_us, registrar.REDIS_LINK, message(kind, **fields))

    # What may happen

    @initialize(first=st.integers(0, effects.MAX_HOSTS - 1))
    def the_process_starts(self, first):
        self.call(registrar.boot, first)

    @rule(step_us=st.integers(0, 70_000_000))
    def time_passes(self, step_us):
        """Time passes, at most to the next timer."""
        self.now_us = min([self.now_us + step_us, *self.timers.values()])

    @rule()
    def next_timer_fires(self):
        which = min(self.timers, key=self.timers.get)
        self.now_us = max(self.now_us, self.timers.pop(which))
        self.call(registrar.on_timer, self.now_us, which)

    @rule(is_query=st.booleans())
    def a_client_asks(self, is_query):
        number, kind = self.sent, QUERY if is_query else REGISTER
        self.sent += 1
        self.waiting[number] = kind
        phase = self.node.phase
        self.stored = False
        self.call(registrar.on_message, self.now_us, 1000 + number, message(kind, request=number))
        if phase != registrar.ON_PRIMARY and kind == REGISTER:
            assert self.answers[number] == 500, "a registration was taken without a primary"

    @rule(first=st.integers(0, effects.MAX_HOSTS - 1))
    def the_process_is_started_again(self, first):
        """A crash takes what was open with it: those clients hear nothing."""
        self.forgotten += len(self.waiting)
        self.waiting.clear()
        self.end_link()
        self.timers.clear()
        self.call(registrar.boot, first)

    @precondition(lambda self: self.link is not None and not self.is_open)
    @rule()
    def link_opens(self):
        self.is_open = True
        self.deliver(LINK_OPEN)

    @precondition(lambda self: self.link is not None)
    @rule()
    def link_is_closed_or_refused(self):
        self.end_link()
        self.deliver(LINK_CLOSED)

    @precondition(lambda self: self.link is not None)
    @rule()
    def no_server_can_be_reached(self):
        """Every candidate refuses: the round ends, the node pauses and begins again."""
        tried = 0
        while self.link is not None:
            tried += 1
            assert tried <= 2 * (MAX_LISTED + 2), "the round does not end"
            self.link_is_closed_or_refused()
            self.every_field_is_in_its_range()

    @precondition(lambda self: self.commands)
    @rule(
        code=st.integers(0, 1),
        role=st.sampled_from([effects.PRIMARY, effects.REPLICA]),
        primary=st.integers(0, effects.MAX_HOSTS),
        link_up=st.integers(0, 1),
        heard_s=st.integers(0, 100),
        replicas=st.lists(SERVERS, max_size=MAX_LISTED),
    )
    def redis_answers(self, code, replicas, **info):
        kind, request = self.commands.popleft()
        if kind == INFO:
            self.deliver(INFO_REPLY, replicas=listed(replicas), **info)
        else:
            self.deliver(REPLY_TO[kind], request=request, code=code)

    @precondition(lambda self: self.link is not None)
    @rule(replicas=st.lists(SERVERS, max_size=3), requests=st.integers(0, 5))
    def a_primary_serves(self, replicas, requests):
        """All goes well for a while: without this, few runs would see a registration through."""
        if not self.is_open:
            self.link_opens()
        for _ in range(requests):
            self.a_client_asks(is_query=False)
        while self.commands:
            self.redis_answers(1, replicas, role=effects.PRIMARY)

    # What always holds

    @invariant()
    def every_field_is_in_its_range(self):
        registrar.REGISTRAR.check(self.node)

    @invariant()
    def the_books_are_right(self):
        assert self.node.open_requests == len(self.waiting)
        assert self.node.unanswered == len(self.commands) + (self.link is not None and not self.is_open)

    @invariant()
    def its_reports_say_where_it_stands(self):
        if self.node.phase in (registrar.ON_PRIMARY, registrar.ON_REPLICA):
            assert self.last_report == ("writable" if self.node.phase == registrar.ON_PRIMARY else "waiting")

    @invariant()
    def it_never_waits_for_ever(self):
        """Whatever stays silent from now on, a timer brings the node on."""
        assert self.timers, "no timer is set"
        assert (registrar.TIMER_REDIS in self.timers) == (self.node.unanswered > 0)
        if self.node.phase in (registrar.ON_PRIMARY, registrar.ON_REPLICA):
            assert registrar.TIMER_ASK in self.timers

    def teardown(self):
        """Once the server falls silent, everything that is open is answered: each request once, none forgotten."""
        if self.link is not None:
            self.end_link()
            self.deliver(LINK_CLOSED)
        assert not self.waiting
        assert len(self.answers) + self.forgotten == self.sent


TestRegistrar = Registrar.TestCase
TestRegistrar.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_questions_may_pile_up_for_as_long_as_the_redis_timeout_allows():
    """With a time-out of an hour and a question every 50 ms a silent server leaves very many unanswered."""
    node, out = new_node(), effects.OUT.new()
    registrar.boot(node, 0, out)
    registrar.on_message(node, 1, registrar.REDIS_LINK, message(LINK_OPEN), out)
    registrar.on_message(node, 1, registrar.REDIS_LINK, message(INFO_REPLY, role=effects.PRIMARY), out)
    for _ in range(3600 * 20):
        out.n = 0
        registrar.on_timer(node, 1, registrar.TIMER_ASK, out)
    registrar.REGISTRAR.check(node)


def test_a_node_that_never_saw_a_primary_comes_back_to_its_configured_server():
    """Its server names a primary that is dead. The node must not stay with the dead one for good."""
    node, out = new_node(), effects.OUT.new()
    registrar.boot(node, 0, out)
    registrar.on_message(node, 1, registrar.REDIS_LINK, message(LINK_OPEN), out)
    registrar.on_message(node, 1, registrar.REDIS_LINK, message(INFO_REPLY, role=effects.REPLICA, primary=3), out)
    assert (node.phase, node.current) == (registrar.CONNECTING, 2)
    registrar.on_message(node, 1, registrar.REDIS_LINK, message(LINK_CLOSED), out)
    assert (node.phase, node.current) == (registrar.CONNECTING, 0)
