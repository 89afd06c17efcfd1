"""The SIP client machine against any sequence of events: answers, losses, silence, late and needless timers."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from model import draws, effects, sip_client
from model.client_classes import CLASSES, configure
from model.effects import CRLF_PING, CRLF_PONG, LINK_CLOSED, LINK_OPEN, REGISTER, RESOLVE, RESOLVED, RESPONSE
from model.sip_client import (
    CONNECTING,
    DNS_LINK,
    FOUND,
    GAVE_UP,
    ICMP_ERROR,
    IDLE,
    NEVER,
    OPEN,
    OPENING,
    REGISTERING,
    RESOLVING,
    TIMER_ATTEMPT,
    TIMER_LIMIT,
    TIMER_PING,
    TIMER_PONG,
    TIMER_RESOLVE,
    TIMER_RETRANSMIT,
    TIMERS,
    TIMERS_PER_FLOW,
    UDP,
    WAITING,
)

HOSTS = 4
OUT = effects.OUT.new()  # one for all: it is empty between any two calls, and large
RECORDS = st.lists(
    st.tuples(st.integers(0, HOSTS - 1), st.sampled_from([0, 0, 5]), st.sampled_from([0, 1, 100])),
    max_size=HOSTS,
    unique_by=lambda record: record[0],
)
STATUS = st.sampled_from([100, 200, 200, 401, 403, 404, 408, 423, 480, 500, 501, 503, 503, 600, 699])
SECONDS = st.sampled_from([0, 1, 5, 60, 3_600, 1 << 33])


class Client(RuleBasedStateMachine):
    """One client; the books of what it has open are kept a second time, from its effects alone."""

    @initialize(
        name=st.sampled_from(sorted(CLASSES)),
        transport=st.integers(0, 2),
        seed=st.integers(0, 1_000),
        is_settled=st.booleans(),
        age_s=st.integers(0, 3_000),
        reactions=st.none() | st.tuples(*[st.integers(0, 3)] * 5),
        starts_on=st.integers(0, HOSTS),
        records=RECORDS,
        ttl_s=st.sampled_from([0, 30, 3_600]),
    )
    def begin(self, name, transport, seed, is_settled, age_s, reactions, starts_on, records, ttl_s):
        self.node, self.out = sip_client.CLIENT.new(), OUT
        self.out.n = 0
        self.now_us = 5_000_000_000
        self.timers, self.links, self.open_request = {}, {}, {}
        self.is_asked, self.newest, self.began = False, 0, 0
        self.booted_again = False
        configure(self.node, CLASSES[name], transport, 3_600, 7, starts_on)
        if reactions:
            knob = self.node.behaviour
            knob.on_timeout, knob.on_no_connection, knob.on_closed, knob.on_unavailable, knob.on_server_error = (
                reactions
            )
        draws.start(self.node.stream, seed, 0, 0, 0)
        if is_settled and records:
            self.put_records(records, ttl_s)
            self.call(sip_client.settle, records[0][0], age_s * 1_000_000)
            for flow in range(self.node.flows):
                if self.node.flow[flow].phase == IDLE:
                    self.links[flow] = (OPEN, self.node.flow[flow].host)
        else:
            self.call(sip_client.boot, age_s * 1_000_000)

    def call(self, handler, *arguments):
        began = self.node.transactions
        handler(self.node, self.now_us, *arguments, self.out)
        assert self.node.transactions - began <= self.node.flows, "one event, one new transaction on each flow"
        made, self.out.n = self.out.effects[: self.out.n], 0
        assert len(made) < 60, "one event has few effects"
        for effect in made:
            effects.EFFECT.check(effect)
            self.carry_out(effect)

    def carry_out(self, effect):
        kind, target = effect.kind, effect.target
        if kind == effects.SET_TIMER:
            assert 0 <= target < TIMERS
            self.timers[target] = self.now_us + effect.delay_us
        elif kind == effects.CANCEL_TIMER:
            self.timers.pop(target, None)
        elif kind == effects.CONNECT:
            assert target not in self.links
            assert target < self.node.flows
            self.links[target] = (OPENING, effect.server + 1)
        elif kind == effects.CLOSE:
            del self.links[target]
            self.open_request.pop(target, None)
        elif kind == effects.SEND:
            self.sent(target, effect.message)
        else:
            assert kind == effects.REPORT
            assert effect.at_us == self.now_us

    def sent(self, link, message):
        if link == DNS_LINK:
            assert message.kind == RESOLVE
            self.is_asked = True
            return
        assert self.links[link][0] == OPEN
        if message.kind == REGISTER:
            assert message.seconds >= 1
            assert message.client == 8
            if message.request != self.open_request.get(link):
                assert message.request > self.newest, "numbers are not used twice"
                self.newest = message.request
            else:
                assert self.node.transport == UDP, "a copy"
            self.open_request[link] = message.request
        else:
            assert message.kind == CRLF_PING

    def hear(self, source, kind, **fields):
        message = effects.MESSAGE.new()
        message.kind = kind
        for name, value in fields.items():
            setattr(message, name, value)
        self.call(sip_client.on_message, source, message)

    def put_records(self, records, ttl_s):
        self.node.answer_count, self.node.answer_ttl_s = len(records), ttl_s
        for at, (host, priority, weight) in enumerate(records):
            self.node.answer_host[at], self.node.answer_priority[at] = host, priority
            self.node.answer_weight[at] = weight

    # What may happen

    @rule(times=st.integers(1, 6))
    def timers_fire(self, times):
        for _ in range(times):
            if self.timers:
                which = min(self.timers, key=lambda timer: (self.timers[timer], timer))
                self.now_us = max(self.now_us, self.timers.pop(which))
                self.call(sip_client.on_timer, which)

    @rule(times=st.integers(1, 4), records=RECORDS.filter(bool))
    def all_goes_well(self, times, records):
        """What is asked is answered, what opens is open: the way to states that chance alone seldom finds."""
        for _ in range(times):
            opening = [flow for flow, (link, _) in self.links.items() if link == OPENING]
            if self.is_asked:
                self.the_dns_answers(records, 3_600, FOUND)
            elif opening:
                self.a_link_opens(opening[0], 15)
            elif self.open_request:
                flow, request = next(iter(self.open_request.items()))
                if request == self.node.flow[flow].transaction:
                    self.hear(flow, RESPONSE, request=request, code=200, seconds=60)

    @rule(step_us=st.integers(0, 40_000_000))
    def time_passes(self, step_us):
        """Time passes, at most to the next timer."""
        self.now_us = min([self.now_us + step_us, *self.timers.values()])

    @rule(records=RECORDS, ttl_s=st.sampled_from([0, 30, 3_600]), code=st.sampled_from([FOUND, FOUND, FOUND, 1, 2]))
    def the_dns_answers(self, records, ttl_s, code):
        if self.is_asked:
            self.is_asked = False
            self.put_records(records if code == FOUND else [], ttl_s)
            self.hear(DNS_LINK, RESOLVED, code=code)

    @rule(flow=st.integers(0, 1), code=st.integers(0, 15))
    def a_link_opens(self, flow, code):
        link, host = self.links.get(flow, (None, None))
        if link == OPENING:
            self.links[flow] = (OPEN, host)
            self.hear(flow, LINK_OPEN, code=code)

    @rule(flow=st.integers(0, 1), is_icmp=st.booleans())
    def a_link_ends(self, flow, is_icmp):
        if flow in self.links:
            if is_icmp and self.node.transport == UDP:
                self.hear(flow, LINK_CLOSED, code=ICMP_ERROR)
            else:
                del self.links[flow]
                self.open_request.pop(flow, None)
                self.hear(flow, LINK_CLOSED)

    @rule(flow=st.integers(0, 1), status=STATUS, seconds=SECONDS, offset=st.sampled_from([0, 0, 0, -1, 1]))
    def an_answer_comes(self, flow, status, seconds, offset):
        if self.links.get(flow, (None,))[0] == OPEN:
            request = max(self.open_request.get(flow, 0) + offset, 0)
            self.hear(flow, RESPONSE, request=request, code=status, seconds=seconds)

    @rule(flow=st.integers(0, 1))
    def a_pong_comes(self, flow):
        if self.links.get(flow, (None,))[0] == OPEN:
            self.hear(flow, CRLF_PONG)

    @rule(which=st.sampled_from([TIMER_RESOLVE, TIMER_RETRANSMIT, TIMER_LIMIT, TIMER_PING, TIMER_PONG]))
    def a_timer_that_is_due_fires_early(self, which):
        """Clocks step; drivers are late: a timer that is armed may fire at any time."""
        if which in self.timers:
            del self.timers[which]
            self.call(sip_client.on_timer, which)

    @rule(age_s=st.integers(0, 4_000))
    def the_program_starts_anew(self, age_s):
        if not self.booted_again:
            self.booted_again = True
            self.call(sip_client.boot, age_s * 1_000_000)

    # What always holds

    @invariant()
    def all_is_in_its_range(self):
        if self.has_begun():
            sip_client.CLIENT.check(self.node)

    def has_begun(self):
        return hasattr(self, "node")

    @invariant()
    def it_knows_its_links(self):
        """What the client takes for open is open; two flows never go to the same node."""
        if self.has_begun():
            for flow in range(2):
                state = self.node.flow[flow]
                believed = state.link if state.link in (OPENING, OPEN) else None
                assert self.links.get(flow, (None, None))[0] == believed
                if believed:
                    assert self.links[flow][1] == state.host
            hosts = [host for _, host in self.links.values()]
            assert len(set(hosts)) == len(hosts)

    @invariant()
    def at_most_one_transaction_is_open_on_each_flow(self):
        if self.has_begun():
            for flow in range(2):
                state = self.node.flow[flow]
                assert (state.transaction != 0) == (state.phase == REGISTERING)
                if state.phase == REGISTERING:
                    assert self.open_request[flow] == state.transaction

    @invariant()
    def it_always_waits_for_something(self):
        """A client never stands still for ever, unless its class says so."""
        if self.has_begun():
            knob = self.node.behaviour
            for flow in range(self.node.flows):
                phase, base = self.node.flow[flow].phase, flow * TIMERS_PER_FLOW
                if phase == RESOLVING:
                    assert TIMER_RESOLVE in self.timers
                elif phase in (CONNECTING, REGISTERING):
                    assert base + TIMER_LIMIT in self.timers
                elif phase in (IDLE, WAITING):
                    assert base + TIMER_ATTEMPT in self.timers
                elif phase == GAVE_UP:
                    assert NEVER in (knob.timeout_pause_us, knob.unavailable_pause_us, knob.error_pause_us,
                                     knob.refused_pause_us, knob.global_pause_us)  # fmt: skip
                if phase == REGISTERING and self.node.transport == UDP:
                    assert base + TIMER_RETRANSMIT in self.timers


TestClient = Client.TestCase
TestClient.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
