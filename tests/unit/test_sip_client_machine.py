"""The SIP client machine, class by class, in a scripted world: one test for every rule that decides a failover."""

import heapq
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from model import draws, effects, sip_client, srv
from model.client_classes import CLASSES, FACTS, Behaviour, configure, knobs
from model.effects import (
    ATTEMPT,
    CRLF_PING,
    CRLF_PONG,
    FAILED,
    FLOW_LOST,
    LINK_CLOSED,
    LINK_OPEN,
    NAMES_RESOLVED,
    NAMES_UNRESOLVED,
    REGISTER,
    REGISTERED,
    RESOLVED,
    RESPONSE,
    UNTRUSTED,
)
from model.sip_client import (
    CLOSED,
    DNS_FAILURE,
    DNS_LINK,
    FLOW,
    FOUND,
    GAVE_UP,
    ICMP_ERROR,
    IDLE,
    IS_VALID,
    NAMES_BY_WILDCARD,
    NAMES_DOMAIN,
    NAMES_HOST,
    NO_ANSWER,
    NO_NAME,
    NO_PONG,
    SECOND_FLOW,
    TCP,
    TIMER_ATTEMPT,
    TLS,
    UDP,
    WAITING,
)

SEED = 20251123
MS, S = 1_000, 1_000_000
OUT = effects.OUT.new()  # one for all: it is empty between any two calls, and large
GRANTED_S = 60
REFRESH_S = 54  # 0.9 of it


@dataclass
class Node:
    """One registrar node as a client sees it."""

    state: str = "up"  # up, silent (vanished or hung), refuses (process gone: RST, ICMP)
    status: int = 200
    seconds: int = GRANTED_S  # lifetime, Retry-After or Min-Expires
    pongs: bool = True
    challenges: int = 0  # how many of the next requests are answered 401
    certificate: int = NAMES_DOMAIN | NAMES_HOST | IS_VALID
    priority: int = 0
    weight: int = 100


@dataclass
class World:
    """A client, its nodes and its name server; the plainest driver there can be. Answers take 1 ms."""

    behaviour: Behaviour
    transport: int = UDP
    hosts: int = 2
    seed: int = SEED
    expires_s: int = 3_600
    starts_on: int = 1
    ttl_s: int = 3_600
    negative_ttl_s: int = 300
    dns: str = "up"  # up, silent, failing, absent
    now_us: int = 1_000 * S
    start_us: int = 1_000 * S
    sent: list = field(default_factory=list)  # (s since start, host, message kind, request, seconds, challenge)
    reports: list = field(default_factory=list)  # (s since start, report, host, code)
    timers: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)  # flow -> [host, serial number, is open]

    def __post_init__(self):
        self.nodes = [Node() for _ in range(self.hosts)]
        self.client, self.out = sip_client.CLIENT.new(), OUT
        configure(self.client, self.behaviour, self.transport, self.expires_s, 0, self.starts_on)
        draws.start(self.client.stream, self.seed, 0, 0, 0)
        self.client.hash_key = srv.hash_of(0) ^ (srv.HASH_KEYS - 1)  # prefers host 0
        self.queue, self.serial = [], 0

    # driver

    def boot(self, age_s=0):
        sip_client.boot(self.client, self.now_us, age_s * S, self.out)
        self.carry_out()
        return self

    def settle(self, host=0, age_s=0):
        self.answer_names()
        sip_client.settle(self.client, self.now_us, host, age_s * S, self.out)
        for flow in range(self.client.flows):
            state = self.client.flow[flow]
            if state.phase == IDLE:
                self.links[flow] = [state.host - 1, self.next_serial(), True]
        self.carry_out()
        return self

    def next_serial(self):
        self.serial += 1
        return self.serial

    def later(self, delay_us, source, serial, kind, **fields):
        heapq.heappush(self.queue, (self.now_us + delay_us, self.next_serial(), source, serial, kind, fields))

    def carry_out(self):
        made = [self.copy(effect) for effect in self.out.effects[: self.out.n]]
        self.out.n = 0
        assert len(made) < 40, "one event has few effects"
        for kind, target, effect, message in made:
            if kind == effects.SET_TIMER:
                self.timers[target] = self.now_us + effect["delay_us"]
            elif kind == effects.CANCEL_TIMER:
                self.timers.pop(target, None)
            elif kind == effects.REPORT:
                self.reports.append((self.seconds(), effect["report"], effect["about"] - 1, effect["code"]))
            elif kind == effects.CONNECT:
                self.connect(target, effect["server"])
            elif kind == effects.CLOSE:
                assert target in self.links, "closed a link that is not there"
                del self.links[target]
            elif target == DNS_LINK:
                self.resolve()
            else:
                self.deliver(target, message)

    @staticmethod
    def copy(effect):
        def plain(record, of):
            return {each.name: getattr(of, each.name) for each in record.fields if not each.record}

        return effect.kind, effect.target, plain(effects.EFFECT, effect), plain(effects.MESSAGE, effect.message)

    def seconds(self):
        return round((self.now_us - self.start_us) / S, 3)

    def connect(self, flow, host):
        assert flow not in self.links, "two links of one flow"
        self.links[flow] = [host, self.next_serial(), False]
        serial, node = self.links[flow][1], self.nodes[host]
        if self.transport == UDP:
            self.later(0, flow, serial, LINK_OPEN)
        elif node.state == "up":
            self.later(MS, flow, serial, LINK_OPEN, code=node.certificate if self.transport == TLS else 0)
        elif node.state == "refuses":
            self.later(MS, flow, serial, LINK_CLOSED)

    def deliver(self, flow, message):
        host, serial, is_open = self.links[flow]
        assert is_open, "sent on a link that is not open"
        node = self.nodes[host]
        self.sent.append((self.seconds(), host, *(message[key] for key in ("kind", "request", "seconds", "code"))))
        if node.state == "refuses" and self.transport == UDP:
            self.later(MS, flow, serial, LINK_CLOSED, code=ICMP_ERROR)
        elif node.state == "up" and message["kind"] == CRLF_PING:
            if node.pongs and self.transport != UDP:
                self.later(MS, flow, serial, CRLF_PONG)
        elif node.state == "up":
            status, seconds = node.status, node.seconds
            if node.challenges > 0 and message["code"] == 0:
                node.challenges, status, seconds = node.challenges - 1, 401, 0
            elif status == 200:
                seconds = min(seconds, message["seconds"])
            elif status == 423 and message["seconds"] >= seconds:
                status = 200
            self.later(MS, flow, serial, RESPONSE, request=message["request"], code=status, seconds=seconds)

    def answer_names(self):
        records = [(host, node) for host, node in enumerate(self.nodes) if node.priority >= 0]
        self.client.answer_count, self.client.answer_ttl_s = len(records), self.ttl_s
        for at, (host, node) in enumerate(records):
            self.client.answer_host[at] = host
            self.client.answer_priority[at], self.client.answer_weight[at] = node.priority, node.weight

    def resolve(self):
        if self.dns == "silent":
            return
        code = {"up": FOUND, "failing": DNS_FAILURE, "absent": NO_NAME}[self.dns]
        self.later(MS, DNS_LINK, 0, RESOLVED, code=code)

    def step(self):
        """The next thing that happens."""
        due = [(at_us, 0, which) for which, at_us in self.timers.items()]
        if self.queue:
            due.append((self.queue[0][0], 1, 0))
        self.now_us, is_message, which = min(due)
        if not is_message:
            del self.timers[which]
            sip_client.on_timer(self.client, self.now_us, which, self.out)
        else:
            _, _, source, serial, kind, fields = heapq.heappop(self.queue)
            self.receive(source, serial, kind, fields)
        self.carry_out()

    def receive(self, source, serial, kind, fields):
        if source == DNS_LINK:
            self.answer_names()
            if fields["code"] != FOUND:
                self.client.answer_count, self.client.answer_ttl_s = 0, self.negative_ttl_s
        else:
            if source not in self.links or self.links[source][1] != serial:
                return
            if kind == LINK_OPEN:
                self.links[source][2] = True
            elif kind == LINK_CLOSED and fields.get("code") != ICMP_ERROR:
                del self.links[source]
        message = effects.MESSAGE.new()
        message.kind = kind
        for name, value in fields.items():
            setattr(message, name, value)
        sip_client.on_message(self.client, self.now_us, source, message, self.out)

    def run(self, until_s):
        end_us = self.start_us + int(until_s * S)
        while self.timers or self.queue:
            if min([*self.timers.values(), *(entry[0] for entry in self.queue[:1])]) > end_us:
                break
            self.step()
        self.now_us = end_us
        sip_client.CLIENT.check(self.client)
        return self

    # faults

    def kill(self, host):
        """The process ends: its connections are closed by the kernel, its port refuses."""
        self.nodes[host].state = "refuses"
        for flow, (at, serial, is_open) in self.links.items():
            if at == host and is_open and self.transport != UDP:
                self.later(MS, flow, serial, LINK_CLOSED)

    def vanish(self, host):
        self.nodes[host].state = "silent"

    # what was seen

    def seen(self, *wanted):
        return [each for each in self.reports if each[1] in wanted]

    def attempts(self, after_s=-1):
        return [(at_s, host) for at_s, _, host, _ in self.seen(ATTEMPT) if at_s > after_s]

    def registered(self, after_s=-1):
        return [(at_s, host) for at_s, _, host, _ in self.seen(REGISTERED) if at_s > after_s]

    def pauses(self):
        """Seconds from each failure to the attempt after it."""
        found, since = [], None
        for at_s, report, _, _ in self.seen(ATTEMPT, FAILED):
            if report == ATTEMPT and since is not None:
                found.append(at_s - since)
            since = at_s if report == FAILED else None
        return found


def world(name, transport=UDP, **kwargs):
    return World(CLASSES[name], transport, **kwargs)


def near(value, tolerance=0.02):
    return pytest.approx(value, abs=tolerance)


ALL = sorted(CLASSES)
SINGLE = [name for name in ALL if CLASSES[name].flows == 1]
WITH_TLS = [name for name in ALL if "tls" in CLASSES[name].transports]


# --- registering -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [UDP, TCP])
@pytest.mark.parametrize("name", ALL)
def test_every_class_registers_and_refreshes_in_time(name, transport):
    """Over ten lifetimes there is never more than one lifetime between two 2xx of a flow."""
    seen = world(name, transport).boot().run(600).registered()
    assert seen[0] == (near(0), 0)
    per_host = [[at for at, host in seen if host == of] for of in range(2)]
    if CLASSES[name].flows == 2:
        assert all(later - at <= GRANTED_S for times in per_host for at, later in zip(times, times[1:], strict=False))
    else:
        times = [at for at, _ in seen]
        assert all(later - at <= GRANTED_S for at, later in zip(times, times[1:], strict=False))
        assert 600 - times[-1] <= GRANTED_S


@pytest.mark.parametrize(
    ("name", "granted_s", "refresh_s"),
    [("ideal", 60, 54), ("linphone-5.1", 60, 54), ("baresip", 60, 54), ("pjsua", 60, 55), ("twinkle", 60, 55),
     ("ideal", 3600, 3240), ("pjsua", 3600, 3595)],
)  # fmt: skip
def test_the_refresh_comes_where_the_class_has_it(name, granted_s, refresh_s):
    made = world(name)
    for node in made.nodes:
        node.seconds = granted_s
    first, second = made.boot().run(granted_s + 1).attempts()[:2]
    assert second[0] - first[0] == near(refresh_s)


def test_udp_sends_eleven_copies_and_gives_up_after_32_s():
    made = world("pjsua")
    made.vanish(0)
    made.vanish(1)
    made.boot().run(40)
    copies = [(at_s, request) for at_s, _, kind, request, _, _ in made.sent if kind == REGISTER][:11]
    assert [at for at, _ in copies] == [near(t) for t in (0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)]
    assert {request for _, request in copies} == {1}, "copies carry the number of their transaction"
    assert made.seen(FAILED)[0] == (near(32), FAILED, 0, 408)


@pytest.mark.parametrize("transport", [TCP, TLS])
def test_a_connection_carries_one_copy(transport):
    made = world("ideal", transport).boot().run(1)
    made.nodes[0].state = made.nodes[1].state = "silent"
    made.run(REFRESH_S + 31)
    assert [at for at, _, kind, *_ in made.sent if kind == REGISTER] == [near(0), near(54)]


def test_an_answer_to_an_earlier_transaction_is_ignored():
    made = world("pjsua")
    made.vanish(0)
    made.boot().run(1)
    serial = made.links[FLOW][1]
    made.later(0, FLOW, serial, RESPONSE, request=7, code=200, seconds=60)
    made.run(2)
    assert made.registered() == []
    assert made.client.flow[FLOW].transaction == 1


def test_a_provisional_answer_slows_the_copies_down_and_does_not_end_the_transaction():
    made = world("ideal")
    made.vanish(0)
    made.boot().run(0.1)
    made.later(0, FLOW, made.links[FLOW][1], RESPONSE, request=1, code=100)
    made.run(31)
    times = [at for at, host, kind, *_ in made.sent if kind == REGISTER and host == 0]
    assert times == [near(t) for t in (0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5)]


# --- answers -----------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_challenge_costs_one_more_round_trip(name):
    made = world(name)
    made.nodes[0].challenges = 1
    made.boot().run(1)
    requests = [(request, code) for _, host, kind, request, _, code in made.sent if kind == REGISTER and host == 0]
    assert [code for _, code in requests] == [0, 401]
    assert requests[0][0] != requests[1][0], "a new transaction"
    assert (near(0.01), 0) in made.registered()


def test_a_second_challenge_in_a_row_is_a_refusal():
    made = world("linphone-5.1")
    for node in made.nodes:
        node.status, node.seconds = 401, 0
    made.boot().run(59)
    assert len(made.attempts()) == 2
    made.run(61)
    assert len(made.attempts()) == 4


def test_without_credentials_a_challenge_is_a_refusal():
    made = world("linphone-5.1")
    made.client.has_credentials = 0
    made.nodes[0].challenges = 1
    assert len(made.boot().run(59).attempts()) == 1


@pytest.mark.parametrize("name", ALL)
def test_423_is_answered_at_once_with_what_was_asked_for(name):
    made = world(name, expires_s=60)
    for node in made.nodes:
        node.status, node.seconds = 423, 90
    made.boot().run(1)
    asked = [seconds for _, host, kind, _, seconds, _ in made.sent if kind == REGISTER and host == 0]
    assert asked == [60, 90]
    assert made.registered()[0] == (near(0.01), 0)


def test_423_without_a_longer_lifetime_is_a_refusal():
    made = world("twinkle")
    for node in made.nodes:
        node.status, node.seconds = 423, 0
    assert len(made.boot().run(29).attempts()) == 1


REFUSALS = [
    # class, status, Retry-After, pause (None = never within two hours), moves
    ("linphone-5.1", 403, 0, 60, False),
    ("linphone-5.1", 408, 0, 60, False),
    ("linphone-5.1", 404, 0, None, False),
    ("linphone-5.1", 480, 0, None, False),
    ("linphone-5.1", 480, 7, 7, False),
    ("linphone-5.1", 404, 7, 7, False),
    ("linphone-5.1", 500, 0, None, True),
    ("linphone-5.1", 500, 7, 7, True),
    ("linphone-5.1", 503, 0, None, True),
    ("linphone-5.1", 503, 7, 7, True),
    ("linphone-5.1", 600, 0, None, False),
    ("linphone-5.1", 501, 0, None, False),
    ("baresip", 503, 7, 0, True),
    ("twinkle", 503, 7, 0, True),
    ("twinkle", 500, 0, 30, False),
    ("twinkle", 500, 7, 30, False),
    ("twinkle", 403, 0, 30, False),
    ("twinkle", 404, 0, 30, False),
    ("twinkle", 480, 0, 30, False),
    ("pjsua", 403, 0, None, False),
    ("ideal", 503, 7, 0, True),
    ("ideal", 503, 0, 0, True),
    ("ideal", 500, 7, 7, False),
    ("ideal", 403, 0, None, False),
    ("ideal", 603, 0, None, False),
]


@pytest.mark.parametrize(("name", "status", "retry_after_s", "pause_s", "moves"), REFUSALS)
def test_what_follows_a_refusal(name, status, retry_after_s, pause_s, moves):
    """The node refuses from the first refresh on; the other one would accept."""
    made = world(name).boot().run(1)
    made.nodes[0].status, made.nodes[0].seconds = status, retry_after_s
    made.run(7_200)
    refused_s, _, _, code = made.seen(FAILED)[0]
    assert code == status
    after = [(at, host) for at, host in made.attempts() if at >= refused_s and made.seen(FAILED)[0][0] <= at]
    if pause_s is None:
        assert after == []
    else:
        assert after[0] == (near(refused_s + pause_s), 1 if moves else 0)


@pytest.mark.parametrize("status", [500, 480, 404, 403])
def test_baresip_pauses_longer_and_longer_at_the_same_node(status):
    made = world("baresip").boot().run(1)
    made.nodes[0].status, made.nodes[0].seconds = status, 0
    made.run(6_000)
    pauses = made.pauses()
    windows = [60, 120, 240, 480, 960, 1_800]
    assert len(pauses) >= len(windows)
    assert all(window / 2 <= pause <= window for pause, window in zip(pauses, windows, strict=False))
    assert {host for _, host in made.attempts(1)} == {0}


def test_pjsua_draws_again_after_a_503_and_pauses_long_after_the_second():
    """U(0,10) s, then 300 +-10 s as long as the draw says the node that refuses (seeds where it does)."""
    firsts, seconds = [], []
    for seed in range(60):
        made = world("pjsua", seed=seed).boot().run(1)
        for node in made.nodes:
            node.status, node.seconds = 503, 0
        pauses = made.run(420).pauses()
        firsts.append(pauses[0])
        seconds.append(pauses[1])
    assert 0 <= min(firsts) < 2 < 8 < max(firsts) <= 10.01
    assert 290 <= min(seconds) < 294 < 306 < max(seconds) <= 310.01


# --- the retry law ---------------------------------------------------------------------------------------------------


def test_pauses_follow_the_table_of_rfc_5626():
    """Section 4.5, all flows down: 15-30, 30-60, 60-120 ... 900-1800, 900-1800 s; over many seeds the whole range."""
    windows = [30, 60, 120, 240, 480, 960, 1_800, 1_800]
    found = [[] for _ in windows]
    for seed in range(30):
        made = world("ideal", TCP, seed=seed, hosts=1)
        made.kill(0)
        made.boot().run(12_000)
        gave_up = [at for at, _, _, _ in made.seen(FAILED)]
        pauses = [later - at for at, later in zip(gave_up, gave_up[1:], strict=False)]
        for at, pause in enumerate(pauses[: len(windows)]):
            found[at].append(pause)
    for window, pauses in zip(windows, found, strict=True):
        assert window / 2 <= min(pauses) < 0.65 * window, f"window {window} s"
        assert 0.85 * window < max(pauses) <= window + 0.01, f"window {window} s"


def test_a_success_begins_the_table_anew():
    made = world("ideal", TCP, hosts=1)
    made.kill(0)
    made.boot().run(400)
    assert made.client.flow[FLOW].failures >= 3
    made.nodes[0].state = "up"
    made.run(2_500)
    assert made.client.flow[FLOW].failures == 0
    assert made.registered()


def test_with_both_nodes_dead_linphone_tries_once_a_minute_plus_the_connect_limits():
    """Check 6: two connect limits of 15 s and a pause of 60 s, after a first retry at once."""
    made = world("linphone-5.4", TCP)
    made.vanish(0)
    made.vanish(1)
    made.boot().run(1_000)
    failures = [at for at, _, _, _ in made.seen(FAILED)]
    gaps = [later - at for at, later in zip(failures, failures[1:], strict=False)]
    assert gaps[:7] == [near(15), near(15), near(15), near(75), near(15), near(75), near(15)]


def test_with_both_nodes_silent_a_round_of_linphone_over_udp_takes_126_s():
    """Measured: 32 + 2 + 32 + 60 s; the very first retry comes at once."""
    made = world("linphone-5.1")
    made.vanish(0)
    made.vanish(1)
    made.boot().run(700)
    failures = [at for at, _, _, _ in made.seen(FAILED)]
    gaps = [later - at for at, later in zip(failures, failures[1:], strict=False)]
    assert gaps[:6] == [near(32), near(92), near(34), near(92), near(34), near(92)]


# --- losing a node ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "noticed_s"),
    [("ideal", 0), ("linphone-5.1", 0), ("linphone-5.4", 0), ("baresip", None)],
)
def test_a_process_kill_over_tcp_is_noticed_at_once_or_at_the_refresh(name, noticed_s):
    """Check 5, first half."""
    made = world(name, TCP).boot().run(10)
    made.kill(0)
    made.run(100)
    back_s = next(at for at, host in made.registered(10) if host == 1)
    assert back_s == near(REFRESH_S if noticed_s is None else 10 + noticed_s, 0.05)


def test_twinkle_notices_a_close_at_its_next_ping():
    made = world("twinkle", TCP).boot().run(10)
    made.kill(0)
    made.run(100)
    assert made.seen(FLOW_LOST) == [(near(30), FLOW_LOST, 0, CLOSED)]
    assert next(at for at, host in made.registered(10) if host == 1) == near(30, 0.05)


def test_pjsua_comes_back_within_ten_seconds_of_a_close():
    pauses = []
    for seed in range(60):
        made = world("pjsua", TCP, seed=seed).boot().run(10)
        made.kill(0)
        made.run(30)
        pauses.append(made.registered(10)[0][0] - 10)
    assert 0 <= min(pauses) < 2 < 8 < max(pauses) <= 10.05


@pytest.mark.parametrize("name", ["ideal", "linphone-5.1", "linphone-5.4", "baresip"])
def test_a_silent_node_over_udp_costs_the_refresh_and_timer_f(name):
    """Check 5, second half, and row "silent host" of B5: r + 32."""
    made = world(name).boot().run(10)
    made.vanish(0)
    made.run(100)
    assert made.registered(10)[0] == (near(REFRESH_S + 32, 0.05), 1)


@pytest.mark.parametrize("name", ["linphone-5.1", "baresip"])
def test_an_icmp_error_is_not_seen_by_most(name):
    made = world(name)
    made.boot().run(10)
    made.kill(0)
    made.run(200)
    assert made.registered(10)[0][0] >= REFRESH_S + 32
    assert not made.seen(FLOW_LOST)


@pytest.mark.parametrize("name", ["ideal", "twinkle"])
def test_an_icmp_error_moves_those_that_see_it_at_once(name):
    made = world(name).boot().run(10)
    made.kill(0)
    made.run(100)
    refresh_s = 55 if name == "twinkle" else REFRESH_S
    assert made.registered(10)[0] == (near(refresh_s, 0.05), 1)


def test_linphone_keeps_a_flow_that_was_heard_of_within_a_minute():
    """B5: hung but answering pings: a try every 34 s at the same node, for good."""
    made = world("linphone-5.1", TCP).boot().run(10)
    made.nodes[0].status = 100  # pongs, and never a final answer
    made.run(600)
    assert {host for _, host in made.attempts()} == {0}
    times = [at for at, _ in made.attempts()]
    assert [later - at for at, later in zip(times[1:], times[2:], strict=False)] == [near(34)] * (len(times) - 2)


def test_linphone_with_a_short_lifetime_needs_a_second_timer_f():
    """B5: flow silent for less than 60 s when Timer F fires: r + 32 + 2 + 32."""
    made = world("linphone-5.1")
    made.nodes[0].seconds = 20
    made.boot().run(10)
    made.vanish(0)
    made.run(200)
    assert made.registered(10)[0] == (near(18 + 32 + 2 + 32, 0.05), 1)


def test_over_udp_nothing_counts_as_a_pong():
    """An answer to CRLF over UDP would be another server's habit: it must not delay what silence decides."""
    made = world("linphone-5.4").boot().run(50)
    made.later(0, FLOW, made.links[FLOW][1], CRLF_PONG)
    made.run(51)
    assert made.client.flow[FLOW].heard_us < made.start_us + S


def test_linphone_on_the_last_node_of_its_list_looks_up_anew():
    """B5: r + 32 + 2, then a new draw."""
    made = world("linphone-5.1", starts_on=2)
    made.nodes[1].priority = 1
    made.client.starts_on = 0
    made.nodes[0].state = "refuses"
    made.vanish(0)
    made.boot().run(80)
    assert made.registered() == [(near(32, 0.05), 1)]
    made.nodes[0].state, made.nodes[1].state = "up", "silent"
    looked_up = len(made.seen(NAMES_RESOLVED))
    made.run(300)
    assert made.registered(80)[0] == (near(32 + REFRESH_S + 32 + 2, 0.1), 0)
    assert len(made.seen(NAMES_RESOLVED)) == looked_up + 1


def test_linphone_5_4_notices_missing_pongs_after_ten_seconds():
    made = world("linphone-5.4", TCP).boot().run(35)
    made.vanish(0)
    made.run(100)
    assert made.seen(FLOW_LOST)[0] == (near(70), FLOW_LOST, 0, NO_PONG)
    assert made.client.flow[FLOW].host != 0


def test_linphone_5_4_needs_no_pong_of_a_node_that_never_sent_one():
    made = world("linphone-5.4", TCP)
    made.nodes[0].pongs = False
    assert not made.boot().run(300).seen(FLOW_LOST)


def test_a_pong_of_the_last_node_says_nothing_of_the_next():
    made = world("linphone-5.4", TCP)
    made.nodes[1].pongs = False
    made.boot().run(40)
    made.kill(0)
    made.run(300)
    assert made.client.flow[FLOW].host == 2
    assert [code for _, _, _, code in made.seen(FLOW_LOST)] == [CLOSED]


@pytest.mark.parametrize("transport", [UDP, TCP])
def test_twinkle_never_leaves_a_silent_node(transport):
    """Measured: a retry every 62 s at the same host."""
    made = world("twinkle", transport).boot().run(10)
    made.vanish(0)
    made.run(700)
    assert {host for _, host in made.attempts()} == {0}
    times = [at for at, _, _, code in made.seen(FAILED) if code == 408]
    assert [later - at for at, later in zip(times, times[1:], strict=False)] == [near(62)] * (len(times) - 1)
    assert len(times) >= 10


def test_baresip_meets_a_dead_preferred_node_again_at_every_refresh():
    """Measured with E = 60: 81.0, 167.0, 253.0 s and so on: a period of 54 + 32 s."""
    made = world("baresip")
    made.vanish(0)
    times = [at for at, host in made.boot().run(400).registered() if host == 1]
    assert [later - at for at, later in zip(times, times[1:], strict=False)] == [near(86, 0.05)] * (len(times) - 1)
    assert len(times) >= 4


# --- going back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "goes_back"), [("ideal", False), ("linphone-5.1", False), ("baresip", True)])
def test_whether_a_client_returns_to_the_preferred_node(name, goes_back):
    """Check 7."""
    made = world(name, TCP)
    made.nodes[1].priority = 1
    made.boot().run(10)
    made.kill(0)
    made.run(70)
    assert made.registered(10)[0][1] == 1
    made.nodes[0].state = "up"
    made.run(1_000)
    assert (0 in {host for _, host in made.registered(70)}) == goes_back


def test_a_client_moves_from_503_and_stays_with_500():
    """Check 4, by the book."""
    for status, host in ((503, 1), (500, 0)):
        made = world("ideal", TCP).boot().run(10)
        made.nodes[0].status, made.nodes[0].seconds = status, 0
        made.run(400)
        assert {at for _, at in made.attempts(REFRESH_S + 0.1)} == {host}


def test_a_node_that_asked_to_be_left_alone_is_left_alone():
    """RFC 3261 section 21.5.4: 503 with Retry-After, and the other node fails meanwhile."""
    made = world("ideal", TCP).boot().run(10)
    made.nodes[0].status, made.nodes[0].seconds = 503, 600
    made.run(60)
    assert made.client.flow[FLOW].host == 2
    made.kill(1)
    made.run(653)
    assert all(host == 1 for _, host in made.attempts(55))
    made.nodes[0].status, made.nodes[0].seconds = 200, 60
    made.run(1_500)
    assert made.registered(600)[0][1] == 0
    assert made.client.avoid_until_us[0] == 0, "a 2xx ends it"


# --- names -----------------------------------------------------------------------------------------------------------


def shares(name, weights, clients=150):
    first = 0
    for number in range(clients):
        made = world(name, seed=number, starts_on=0)
        for node, weight in zip(made.nodes, weights, strict=True):
            node.weight = weight
        first += made.boot().run(0.1).attempts()[0][1] == 0
    return first / clients


def test_first_choices_follow_the_weights():
    """Check 1, for the classes that draw: 0.75 within four standard errors of 150 clients."""
    for name in ("ideal", "linphone-5.1", "pjsua"):
        assert shares(name, (75, 25)) == pytest.approx(0.75, abs=4 * 0.0354), f"{name}, seeds 0..149"


def test_one_baresip_always_chooses_the_same_node():
    """Check 1, for the hash: exactly 0 or 1."""
    assert shares("baresip", (75, 25), clients=40) in (0, 1)


def lookups(made):
    return len(made.seen(NAMES_RESOLVED, NAMES_UNRESOLVED))


@pytest.mark.parametrize(
    ("name", "ttl_s", "expected"),
    [
        ("ideal", 3_600, 1),
        ("ideal", 100, 6),  # at 0 and at each second refresh
        ("linphone-5.1", 3_600, 1),
        ("linphone-5.1", 0, 1),  # no timer without a TTL
        ("linphone-5.1", 100, 6),
        ("baresip", 3_600, 1),
        ("baresip", 0, 12),
        ("pjsua", 3_600, 2),  # kept for 300 s at most
        ("twinkle", 3_600, 11),
    ],
)
def test_how_often_the_dns_is_asked(name, ttl_s, expected):
    assert lookups(world(name, ttl_s=ttl_s).boot().run(600)) == expected


def test_a_client_that_keeps_its_node_keeps_it_through_a_new_answer():
    made = world("linphone-5.1", TCP, ttl_s=60)
    made.boot().run(3_000)
    assert lookups(made) > 20
    assert {host for _, host in made.attempts()} == {0}


def test_a_node_that_leaves_the_zone_is_left_once_the_ttl_has_ended():
    made = world("linphone-5.1", TCP, ttl_s=100).boot().run(10)
    made.nodes[0].priority = -1
    made.run(120)
    assert [host for _, host in made.attempts(10)] == [0, 1]


def test_pjsua_draws_at_every_refresh():
    made = world("pjsua", TCP).boot().run(6_000)
    hosts = [host for _, host in made.registered()]
    moves = sum(at != later for at, later in zip(hosts, hosts[1:], strict=False))
    assert 0.3 < moves / len(hosts) < 0.7, f"seed {SEED}: {moves} of {len(hosts)}"


@pytest.mark.parametrize("name", SINGLE)
def test_a_silent_name_server_costs_the_dns_time_out(name):
    made = world(name)
    made.dns = "silent"
    made.boot().run(CLASSES[name].dns_timeout_ms / 1_000 + 0.1)
    assert made.seen(NAMES_UNRESOLVED) == [
        (near(CLASSES[name].dns_timeout_ms / 1_000), NAMES_UNRESOLVED, -1, NO_ANSWER)
    ]
    made.dns = "up"
    made.run(400)
    assert made.registered()


def test_an_answer_that_comes_too_late_is_ignored():
    made = world("ideal")
    made.dns = "silent"
    made.boot().run(10.5)
    made.later(0, DNS_LINK, 0, RESOLVED, code=FOUND)
    made.run(11)
    assert not made.seen(NAMES_RESOLVED)
    assert made.client.flow[FLOW].phase == WAITING


@pytest.mark.parametrize("dns", ["silent", "failing"])
def test_stale_names_serve_those_that_keep_them(dns):
    for name, is_served in (("ideal", True), ("linphone-5.1", False)):
        made = world(name, TCP, ttl_s=30).boot().run(10)
        made.dns = dns
        made.run(75)
        assert bool(made.registered(10)) == is_served


def test_the_absence_of_records_is_remembered_by_those_that_do():
    for name, looks in (("ideal", 1), ("twinkle", 7)):
        made = world(name, TCP, negative_ttl_s=200)
        made.dns = "absent"
        made.boot().run(199)
        assert lookups(made) == looks
        assert made.seen(NAMES_UNRESOLVED)[0][3] == NO_NAME
        made.dns = "up"
        made.run(900)
        assert made.registered()


# --- certificates ----------------------------------------------------------------------------------------------------


CERTIFICATES = {
    "domain": NAMES_DOMAIN | IS_VALID,
    "host": NAMES_HOST | IS_VALID,
    "wildcard": NAMES_BY_WILDCARD | IS_VALID,
    "expired": NAMES_DOMAIN | NAMES_HOST,
}


@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("name", WITH_TLS)
def test_which_certificates_are_taken(name, certificate):
    is_taken = not CLASSES[name].checks_certificate or certificate == "domain"
    made = world(name, TLS)
    made.nodes[0].certificate = CERTIFICATES[certificate]
    made.boot().run(1)
    assert bool(made.seen(UNTRUSTED)) != is_taken
    assert ((near(0.01), 0) in made.registered()) == is_taken
    if not is_taken and CLASSES[name].flows == 1:
        assert made.registered()[0][1] == 1, "to the next node at once"


# --- two flows (RFC 5626) --------------------------------------------------------------------------------------------


def test_outbound_keeps_two_flows_to_different_nodes():
    made = world("outbound", TCP, hosts=3).boot().run(300)
    assert sorted({host for _, host in made.registered()}) == sorted(link[0] for link in made.links.values())
    assert len({link[0] for link in made.links.values()}) == 2
    assert {code for _, _, _, code in made.seen(REGISTERED)} == {FLOW, SECOND_FLOW}


def test_outbound_sends_keep_alives_and_misses_them_after_ten_seconds():
    made = world("outbound", TCP)
    made.nodes[0].seconds = made.nodes[1].seconds = 3_600
    made.boot().run(10)
    made.vanish(0)
    made.run(200)
    ping_s = next(at for at, host, kind, *_ in made.sent if kind == CRLF_PING and host == 0)
    assert 95 <= ping_s <= 120
    assert made.seen(FLOW_LOST) == [(near(ping_s + 10), FLOW_LOST, 0, NO_PONG)]


def test_outbound_recovers_a_flow_slowly_while_the_other_is_up():
    """RFC 5626 section 4.5: base 90 s with a flow up: 45-90, 90-180, 180-360 ..., 900-1800 s."""
    windows = [90, 180, 360, 720, 1_440, 1_800]
    found = [[] for _ in windows]
    for seed in range(20):
        made = world("outbound", TCP, seed=seed).boot().run(10)
        made.kill(0)
        made.run(6_000)
        lost_s = made.seen(FLOW_LOST)[0][0]
        tries = [lost_s, *(at for at, _, host, _ in made.seen(FAILED) if host == 0)]
        pauses = [later - at for at, later in zip(tries, tries[1:], strict=False)]
        for at, pause in enumerate(pauses[: len(windows)]):
            found[at].append(pause)
        assert {host for _, host in made.registered(20)} == {1}, f"seed {seed}: the other flow goes on"
    for window, pauses in zip(windows, found, strict=True):
        assert window / 2 <= min(pauses) <= max(pauses) <= window + 0.01, f"window {window} s"


def test_outbound_with_every_flow_down_is_back_within_thirty_seconds():
    for seed in range(20):
        made = world("outbound", TCP, seed=seed).boot().run(10)
        made.kill(0)
        made.kill(1)
        made.run(11)
        made.nodes[0].state = made.nodes[1].state = "up"
        made.run(41)
        assert 10 + 15 <= made.registered(10)[0][0] <= 10 + 30.1, f"seed {seed}"


def test_two_nodes_of_which_one_is_lost_never_get_both_flows():
    made = world("outbound", TCP).boot().run(10)
    made.kill(0)
    made.run(3_000)
    assert {host for _, host in made.attempts(20)} <= {1}


# --- starting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("starts_on", [1, 2, 3])
def test_the_first_node_can_be_given(starts_on):
    made = world("linphone-5.1", hosts=3, starts_on=starts_on).boot().run(1)
    assert made.attempts() == [(near(0), starts_on - 1)]


def test_an_aged_client_asks_for_the_rest_and_refreshes_when_the_old_registration_would():
    made = world("linphone-5.1", expires_s=3_600)
    for node in made.nodes:
        node.seconds = 3_600
    made.boot(age_s=3_000).run(4_000)
    register = [(at, seconds) for at, _, kind, _, seconds, _ in made.sent if kind == REGISTER]
    assert register == [(near(0), 600), (near(3_240 - 3_000), 3_600), (near(240 + 3_240), 3_600)]


@pytest.mark.parametrize("transport", [UDP, TCP])
@pytest.mark.parametrize("name", ALL)
def test_a_settled_client_goes_on_like_one_that_registered_then(name, transport):
    made = world(name, transport, expires_s=GRANTED_S, starts_on=0).settle(host=1, age_s=20)
    sip_client.CLIENT.check(made.client)
    assert made.links[FLOW][0] == 1
    made.run(100)
    refresh_s = {"pjsua": 55, "twinkle": 55}.get(name, 54)
    assert made.attempts()[0][0] == near(refresh_s - 20)
    if CLASSES[name].flows == 2:
        assert made.links[SECOND_FLOW][0] == 0


@pytest.mark.parametrize("age_s", [0, 5, 13])
def test_a_client_that_has_long_been_there_has_had_a_pong_however_young_its_registration(age_s):
    """The lab waits for that, too: a flow is older than its last refresh."""
    made = world("linphone-5.4", TCP, expires_s=GRANTED_S, starts_on=0).settle(host=0, age_s=age_s)
    made.nodes[0].state = "silent"
    made.run(41)
    assert made.seen(FLOW_LOST)[0][3] == NO_PONG
    assert world("linphone-5.4", UDP).settle().client.flow[0].had_pong == 0


def test_of_two_flows_either_may_have_registered_last():
    newest = []
    for seed in range(100):
        client = world("outbound", TCP, seed=seed).settle(age_s=20).client
        newest.append(sip_client.newest_flow(client))
        gap_us = client.flow[newest[-1]].registered_us - client.flow[1 - newest[-1]].registered_us
        assert gap_us == sip_client.FLOW_SPACING_US
    assert 10 < sum(newest) < 40


# --- the stationary law ----------------------------------------------------------------------------------------------

DRAWS = 1_500


def knob(low_percent, ping_min_s=0, ping_max_s=0):
    """A client that refreshes after 10 s to 100 s or the like."""
    return replace(
        CLASSES["outbound"], refresh_low_percent=low_percent, refresh_high_percent=100, flows=1,
        ping_min_ms=ping_min_s * 1_000, ping_max_ms=ping_max_s * 1_000,
    )  # fmt: skip


def settled(behaviour, number):
    """(age, time to the refresh, time to the next ping), s, of a settled client."""
    made = World(behaviour, TCP, seed=number, expires_s=100)
    made.answer_names()
    made.settle(0, sip_client.steady_age_us(made.client) // S)
    age_s = (made.now_us - made.client.flow[0].registered_us) / S
    timers = [made.timers.get(timer, made.now_us) for timer in (sip_client.TIMER_ATTEMPT, sip_client.TIMER_PING)]
    return age_s, *[(at_us - made.now_us) / S for at_us in timers]


@pytest.mark.parametrize("low_percent", [10, 60, 100])
def test_a_settled_client_is_somewhere_in_its_refresh_period(low_percent):
    """Age and rest have one law: density (share of periods longer than that) / (mean period); mean E[T^2] / 2 E[T]."""
    drawn = np.array([settled(knob(low_percent), number) for number in range(DRAWS)])
    low, high = float(low_percent), 100.0
    second_moment = (low * low + low * high + high * high) / 3
    mean = second_moment / (low + high)
    deviation = 60 / DRAWS**0.5
    assert drawn[:, 0].mean() == pytest.approx(mean - 0.5, abs=4 * deviation)  # whole seconds
    assert drawn[:, 1].mean() == pytest.approx(mean + 0.5, abs=4 * deviation)
    length = drawn[:, 0] + drawn[:, 1]
    assert low <= length.min() and length.max() <= high
    assert length.mean() == pytest.approx(2 * mean, abs=4 * deviation)


def test_so_is_it_in_that_of_its_pings():
    rest_s = np.array([settled(knob(90, 20, 120), number)[2] for number in range(DRAWS)])
    assert rest_s.max() <= 120
    assert rest_s.mean() == pytest.approx((400 + 2_400 + 14_400) / 3 / 140, abs=4 * 35 / DRAWS**0.5)


def test_booting_again_forgets_the_earlier_life():
    made = world("outbound", TCP).boot().run(200)
    made.boot().run(201)
    assert sorted(link[0] for link in made.links.values()) == [0, 1]
    assert all(flow.phase == IDLE for flow in made.client.flow)


# --- classes as data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_knob_has_a_value_a_kind_and_a_source(name):
    assert set(FACTS[name]) == {knob for knob, _ in knobs()}
    for knob, fact in FACTS[name].items():
        assert fact.kind == "assumed" or fact.source, knob


@pytest.mark.parametrize("name", ALL)
def test_a_retry_law_never_stands_still(name):
    """Without a pause that grows or stays above 0 a client would try for ever in no time."""
    behaviour = CLASSES[name]
    assert behaviour.retry_next_ms > 0
    assert behaviour.retry_limit_ms >= behaviour.retry_next_ms
    assert behaviour.retry_low_percent > 0


@pytest.mark.parametrize("transport", [UDP, TCP, TLS])
@pytest.mark.parametrize("name", ALL)
def test_configure_fills_a_legal_state(name, transport):
    state = sip_client.CLIENT.new()
    configure(state, CLASSES[name], transport, 3_600, 3, 2)
    sip_client.CLIENT.check(state)
    assert (state.me, state.transport, state.expires_s, state.starts_on) == (3, transport, 3_600, 2)


def test_giving_up_leaves_no_timer():
    made = world("linphone-5.1").boot().run(1)
    made.nodes[0].status, made.nodes[0].seconds = 404, 0
    made.run(100)
    assert made.client.flow[FLOW].phase == GAVE_UP
    assert TIMER_ATTEMPT not in made.timers
