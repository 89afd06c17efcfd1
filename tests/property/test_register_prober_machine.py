"""The SIP client machine against answers that come early, late, twice, out of order or never."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from model import effects, register_prober
from model.effects import CONFIRMED, REFUSED, UNKNOWN
from model.register_prober import TIMER_GIVE_UP, TIMER_SEND

FINAL = st.integers(200, 699)  # provisional answers never reach the machine: its driver waits for the final one


class Client(RuleBasedStateMachine):
    """One client and its world, with a second book kept in the plainest way."""

    def __init__(self):
        super().__init__()
        self.node, self.out = register_prober.CLIENT.new(), effects.OUT.new()
        self.now_us = 1
        self.timers = {}  # which -> instant
        self.sent_us = []  # per request
        self.outcome = {}  # request -> (outcome, status, instant), as soon as it is known
        self.reports = []  # (outcome, instant, age, status)

    def call(self, handler, *arguments):
        handler(self.node, self.now_us, *arguments, self.out)
        for effect in self.out.effects[: self.out.n]:
            effects.EFFECT.check(effect)
            if effect.kind == effects.SET_TIMER:
                self.timers[effect.target] = self.now_us + effect.delay_us
            elif effect.kind == effects.SEND:
                assert effect.message.request == len(self.sent_us), "requests are numbered in order"
                self.sent_us.append(self.now_us)
            elif effect.kind == effects.REPORT:
                self.reports.append((effect.report, effect.at_us, effect.detail_us, effect.code))
            else:
                raise AssertionError(f"effect {effect.kind} is none of a client's")
        self.out.n = 0

    # What may happen

    @initialize(
        period_us=st.integers(20_000, 2_000_000),
        open_at_once=st.integers(0, register_prober.MAX_OPEN - 2),
        more_us=st.integers(1, 20_000),
    )
    def begin(self, period_us, open_at_once, more_us):
        self.node.period_us, self.node.timeout_us = period_us, open_at_once * period_us + more_us
        self.timers[TIMER_SEND] = self.now_us

    @rule(times=st.integers(1, 80))
    def timers_fire(self, times):
        for _ in range(times):
            which = min(self.timers, key=lambda timer: (self.timers[timer], timer))
            self.now_us = max(self.now_us, self.timers.pop(which))
            if which == TIMER_GIVE_UP:
                self.give_up()
            self.call(register_prober.on_timer, which)

    def give_up(self):
        for request, sent_us in enumerate(self.sent_us):
            if self.now_us - sent_us >= self.node.timeout_us:
                self.outcome.setdefault(request, (UNKNOWN, 0, self.now_us))

    @rule(step_us=st.integers(0, 3_000_000))
    def time_passes(self, step_us):
        """Time passes, at most to the next timer."""
        self.now_us = min([self.now_us + step_us, *self.timers.values()])

    @rule(offset=st.one_of(st.integers(-2, 3), st.just(-register_prober.MAX_OPEN)), code=FINAL)
    def an_answer_comes(self, offset, code):
        """Of a request near the oldest open one, or of one so old that its slot is in use again."""
        self.answer(max(0, self.node.settled + offset), code)

    @rule(code=FINAL, newest_first=st.booleans())
    def all_open_requests_are_answered(self, code, newest_first):
        for request in sorted(set(range(len(self.sent_us))) - set(self.outcome), reverse=newest_first):
            self.answer(request, code)

    def answer(self, request, code):
        if request < len(self.sent_us):
            self.outcome.setdefault(request, (CONFIRMED if code < 300 else REFUSED, code, self.now_us))
        message = effects.MESSAGE.new()
        message.kind, message.request, message.code = effects.RESPONSE, request, code
        self.call(register_prober.on_message, register_prober.NODE_LINK, message)

    # What always holds

    @invariant()
    def all_is_in_its_range(self):
        register_prober.CLIENT.check(self.node)

    @invariant()
    def outcomes_add_up(self):
        node = self.node
        assert node.sent == len(self.sent_us)
        assert node.confirmed + node.refused + node.unknown == node.settled <= node.sent
        assert node.sent - node.settled <= register_prober.MAX_OPEN

    @invariant()
    def requests_are_settled_in_order_as_far_as_they_are_known(self):
        """Settled is exactly the unbroken row of known outcomes from the first request on; the counts are theirs."""
        settled = 0
        while settled in self.outcome:
            settled += 1
        assert self.node.settled == settled
        counts = [0] * len(effects.REPORTS)
        for request in range(settled):
            counts[self.outcome[request][0]] += 1
        assert (self.node.confirmed, self.node.refused, self.node.unknown) == (
            counts[CONFIRMED], counts[REFUSED], counts[UNKNOWN],
        )  # fmt: skip

    @invariant()
    def a_report_is_a_change_of_outcome(self):
        """One report for every change along the row, with the instant, age and status of the first of its kind."""
        expected, last = [], None
        for request in range(self.node.settled):
            outcome, status, at_us = self.outcome[request]
            if outcome != last:
                expected.append((outcome, at_us, at_us - self.sent_us[request], status))
            last = outcome
        assert self.reports == expected

    @invariant()
    def it_goes_on(self):
        assert TIMER_SEND in self.timers
        if self.node.settled < self.node.sent:
            assert self.timers[TIMER_GIVE_UP] <= self.sent_us[self.node.settled] + self.node.timeout_us


TestClient = Client.TestCase
TestClient.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
