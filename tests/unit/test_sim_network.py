"""Connections and ways of the simulated network, one packet at a time."""

from __future__ import annotations

import pytest

from model.effects import LINK_CLOSED, PING
from model.registrar import REDIS_LINK
from model.scenario import parse
from sim import network, ways
from sim.dispatch import happen
from sim.settings import settings_of
from sim.state import CLOSED, OPEN, REDIS, REGISTRAR, SENTINEL, WORLD, actor
from sim.steady import prepare
from sim.world import World

DELAY_US = 5_000
RTO_US = network.RTO_US + 2 * DELAY_US
SCENARIO = """
schema = 1
name = "two"
question = "what does the network do?"
server.primary = "a"
sentinel.quorum = 1
network.delay_us = 5000
run.horizon_ms = 60000
host = [{ name = "a", sentinel = false, registrar = false }, { name = "b", redis = false, registrar = false }]
"""
LINK = actor(SENTINEL, 1) * network.LINKS
"""Number of the connection on which the sentinel of b sends commands to the server of a."""
A, B = 0, 1


_STATE = WORLD.new()
"""One for all tests: `prepare` makes it as new, and it takes a second to build."""


class Wire:
    """A world whose programs stand still: what arrives at them is held by the stopped process, with its time."""

    def __init__(self):
        self.state = _STATE
        prepare(self.state, settings_of(parse(SCENARIO)), 1, 0)
        self.state.n_fresh = 0
        for owner in (actor(REDIS, A), actor(SENTINEL, B)):
            self.state.process[owner].paused = 1
        self.pending = []
        self.arrived = []
        self.start_us = self.state.now_us

    def run_until(self, t_us):
        while self._next() and self.state.event[self._next()[1]].t_us <= self.start_us + t_us:
            _, place = self.pending.pop(0)
            event = self.state.event[place]
            if event.kind == network.DELIVER and event.generation == self.state.connection[event.connection].generation:
                self.arrived.append((event.t_us - self.start_us, event.backwards, event.message.kind))
            happen(self.state, place)
        self.state.now_us = self.start_us + t_us

    def _next(self):
        state = self.state
        for place in state.fresh[: state.n_fresh]:
            self.pending.append(((state.event[place].t_us, state.event[place].order), place))
        state.n_fresh = 0
        self.pending.sort()
        return self.pending[0] if self.pending else None

    def send(self, t_us, backwards=0):
        self.run_until(t_us)
        network.send_data(self.state, LINK, backwards, self.state.now_us).message.kind = PING

    def kill(self, t_us, from_, to):
        self.run_until(t_us)
        ways.drop(self.state, from_, 1 + to, 100)
        ways.notice_deaths(self.state)

    def mend(self, t_us, from_, to):
        self.run_until(t_us)
        ways.deliver(self.state, from_, 1 + to)
        ways.notice_deaths(self.state)

    def times(self, backwards=0):
        return [t_us for t_us, direction, _ in self.arrived if direction == backwards]


@pytest.fixture
def wire():
    return Wire()


def test_data_takes_the_delay_of_its_own_direction(wire):
    ways.delay(wire.state, A, 1 + B, 20_000, 0)
    wire.send(0)
    wire.send(0, backwards=1)
    wire.run_until(30_000)
    assert wire.times() == [DELAY_US]
    assert wire.times(backwards=1) == [20_000]


def test_a_connect_takes_both_directions(wire):
    ways.delay(wire.state, A, 1 + B, 20_000, 0)
    network.open_connection(wire.state, LINK, actor(REDIS, A), wire.state.now_us)
    wire.run_until(60_000)
    assert wire.times(backwards=1) == [25_000]


def test_nothing_overtakes(wire):
    ways.delay(wire.state, B, 1 + A, 30_000, 0)
    wire.send(0)
    ways.delay(wire.state, B, 1 + A, 1_000, 0)
    wire.send(10)
    wire.run_until(60_000)
    assert wire.times() == [30_000, 30_000]


def test_jitter_is_at_most_what_it_says_and_keeps_the_order(wire):
    ways.delay(wire.state, B, 1 + A, 1_000, 9_000)
    for number in range(50):
        wire.send(number * 1_000)
    wire.run_until(200_000)
    ages = [t_us - 1_000 * number for number, t_us in enumerate(wire.times())]
    assert len(ages) == 50
    assert all(1_000 <= age <= 10_000 for age in ages)
    assert len(set(ages)) > 10


def test_data_on_a_dead_way_arrives_at_the_next_retransmission_after_its_return(wire):
    wire.kill(0, B, A)
    wire.send(1_000)
    wire.send(300_000)
    wire.mend(1_000_000, B, A)
    wire.run_until(3_000_000)
    assert wire.times() == [1_000 + 8 * RTO_US + DELAY_US] * 2


def test_without_acknowledgements_a_sender_stops_at_its_first_time_out(wire):
    wire.kill(0, A, B)
    wire.send(1_000)
    wire.send(1_000 + RTO_US - 1)
    wire.send(1_000 + RTO_US)
    wire.run_until(600_000)
    assert wire.times() == [1_000 + DELAY_US, 1_000 + RTO_US - 1 + DELAY_US]
    wire.mend(1_000_000, A, B)
    wire.run_until(3_000_000)
    assert wire.times()[2:] == [1_000 + 8 * RTO_US + DELAY_US]


def test_a_connect_needs_both_ways_and_is_tried_again_by_the_law_of_syns(wire):
    wire.kill(0, A, B)
    network.open_connection(wire.state, LINK, actor(REDIS, A), wire.state.now_us)
    wire.send(500_000)
    wire.mend(1_500_000, A, B)
    wire.run_until(4_000_000)
    answered_us = 2 * network.SYN_PERIOD_US + 2 * DELAY_US
    assert wire.times(backwards=1) == [answered_us]
    assert wire.times() == [answered_us + DELAY_US]


def test_a_neighbour_that_cannot_answer_is_given_up_even_if_only_one_way_is_dead(wire):
    """A connect that hangs meanwhile fails with the search for the address that its next SYN joins."""
    wire.kill(0, A, B)
    network.open_connection(wire.state, LINK, actor(REDIS, A), wire.state.now_us)
    joins_us = network.next_syn_us(0, wire.state.neighbour_us)
    wire.run_until(joins_us + network.NO_ROUTE_US)
    (failed_us,) = wire.times(backwards=1)
    assert joins_us <= failed_us <= joins_us + network.NO_ROUTE_US


def test_a_syn_that_waits_for_the_address_fails_when_the_neighbour_is_given_up(wire):
    wire.kill(0, B, A)
    given_up_us = wire.state.neighbour_us
    wire.run_until(given_up_us - network.NO_ROUTE_US // 2)
    network.open_connection(wire.state, LINK, actor(REDIS, A), wire.state.now_us)
    wire.run_until(given_up_us + 10_000_000)
    assert wire.times(backwards=1) == [given_up_us]


def test_once_given_up_a_connect_fails_after_three_queries(wire):
    wire.kill(0, B, A)
    started_us = wire.state.neighbour_us + 5
    wire.run_until(started_us)
    network.open_connection(wire.state, LINK, actor(REDIS, A), wire.state.now_us)
    wire.run_until(started_us + 5_000_000)
    assert wire.times(backwards=1) == [started_us + network.NO_ROUTE_US]


def test_a_packet_that_is_lost_at_random_comes_with_a_retransmission(wire):
    period_us = 200_000_000
    ways.way_between(wire.state, B, A).loss_percent = 30
    for number in range(200):
        wire.send(number * period_us)
    wire.run_until(201 * period_us)
    ages = [t_us - number * period_us for number, t_us in enumerate(wire.times())]
    late = [age for age in ages if age > DELAY_US]
    assert 40 <= len(late) <= 80
    assert set(late) <= {DELAY_US + RTO_US * 2**tries for tries in range(9)}


def test_what_follows_a_loss_tells_of_it():
    """Fast recovery: a round trip and a quarter after the follower was sent, not a retransmission time-out."""
    wire = Wire()
    wire.kill(0, B, A)
    wire.send(1_000)
    wire.mend(2_000, B, A)
    wire.send(10_000)
    wire.run_until(1_000_000)
    assert wire.times() == [10_000 + 2 * DELAY_US * 5 // 4 + DELAY_US] * 2


MEASURED_S = (6.67, 6.77, 13.46, 26.71, 54.62, 107.14)
"""When a kernel gave up data that nobody acknowledged, with tcp_retries2 = 3 .. 8."""


def shorten(wire):
    """Make the way as short as that between two namespaces: which time-out is the last depends on its length."""
    for a, b in ((A, B), (B, A)):
        ways.delay(wire.state, a, 1 + b, 60, 0)


@pytest.mark.parametrize(("retries", "seconds"), list(zip(range(3, 9), MEASURED_S, strict=True)))
def test_unacknowledged_data_is_given_up_when_a_kernel_did_it(wire, retries, seconds):
    """Measured between two namespaces; kernels are up to 5 % late."""
    shorten(wire)
    wire.state.give_up_us = network.give_up_us(retries)
    wire.kill(0, B, A)
    wire.send(0)
    wire.run_until(200_000_000)
    (closed_us,) = wire.times(backwards=1)
    assert wire.arrived[-1][2] == LINK_CLOSED
    assert closed_us / 1e6 == pytest.approx(seconds, rel=0.05)
    assert wire.times() == []


def test_the_default_of_a_kernel_is_a_quarter_of_an_hour(wire):
    assert network.give_up_us(15) == 924_600_000
    wire.kill(0, B, A)
    wire.send(0)
    wire.run_until(1_000_000_000)
    assert 924_600_000 < wire.times(backwards=1)[0] < 980_000_000


def test_a_kernel_that_gives_up_does_so_although_the_way_is_back(wire):
    """It looks at its clock before it sends again."""
    wire.state.give_up_us = network.give_up_us(3)
    wire.kill(0, B, A)
    wire.send(0)
    wire.mend(6_000_000, B, A)
    wire.run_until(10_000_000)
    assert wire.times() == []
    assert wire.arrived[-1][2] == LINK_CLOSED


@pytest.mark.parametrize(("retries", "seconds"), [(1, 3.08), (2, 7.12), (3, 19.56), (6, 133.5)])
def test_a_connect_is_given_up_when_a_kernel_did_it(wire, retries, seconds):
    wire.state.syn_give_up_us = network.syn_give_up_us(retries)
    wire.state.neighbour_us = 1_000_000_000
    wire.kill(0, B, A)
    network.open_connection(wire.state, LINK, actor(REDIS, A), wire.state.now_us)
    wire.run_until(200_000_000)
    (closed_us,) = wire.times(backwards=1)
    assert closed_us / 1e6 == pytest.approx(seconds, rel=0.02)


NODE_LINK = actor(REGISTRAR, 1) * network.LINKS + REDIS_LINK
"""A connection of a node on b to the server of a."""


@pytest.fixture
def node_wire(wire):
    """The connection stands, and its node stands still."""
    state = wire.state
    state.process[actor(REGISTRAR, B)].alive = 1
    state.process[actor(REGISTRAR, B)].paused = 1
    state.keepalive_us = 2_000_000
    state.user_timeout_us = 0
    network.open_connection(state, NODE_LINK, actor(REDIS, A), state.now_us)
    wire.run_until(50_000)
    state.connection[NODE_LINK].state = OPEN
    return wire


def closed_after_s(wire, limit_s=60):
    wire.run_until(limit_s * 1_000_000)
    closed = [t_us for t_us, _, kind in wire.arrived if kind == LINK_CLOSED]
    return closed[0] / 1e6 if closed else None


def test_an_idle_connection_with_keepalive_is_lost_after_three_probes(node_wire):
    node_wire.kill(1_000_000, B, A)
    assert closed_after_s(node_wire) == pytest.approx(8.0, abs=0.1)


def test_an_idle_connection_whose_probes_are_answered_stays(node_wire):
    assert closed_after_s(node_wire) is None


def test_a_probe_that_is_answered_begins_the_count_anew(node_wire):
    node_wire.kill(1_000_000, B, A)
    node_wire.mend(5_000_000, B, A)
    node_wire.kill(7_000_000, B, A)
    assert closed_after_s(node_wire) == pytest.approx(14.0, abs=0.1)


def test_keepalive_is_no_help_while_data_is_on_its_way(node_wire):
    shorten(node_wire)
    node_wire.state.give_up_us = network.give_up_us(6)
    node_wire.kill(1_000_000, B, A)
    network.send_data(node_wire.state, NODE_LINK, 0, node_wire.state.now_us).message.kind = PING
    assert closed_after_s(node_wire) == pytest.approx(1 + 26.71, rel=0.05)


@pytest.mark.parametrize(("timeout_s", "seconds"), [(0.5, 0.92), (1, 1.49), (3, 3.62), (10, 10.9), (30, 30.66)])
def test_a_user_timeout_is_the_patience_with_data(node_wire, timeout_s, seconds):
    node_wire.state.user_timeout_us = int(timeout_s * 1e6)
    node_wire.state.keepalive_us = 0
    node_wire.kill(1_000_000, B, A)
    network.send_data(node_wire.state, NODE_LINK, 0, node_wire.state.now_us).message.kind = PING
    assert closed_after_s(node_wire) - 1 == pytest.approx(seconds, rel=0.06)


@pytest.mark.parametrize(("timeout_s", "seconds"), [(1, 4), (3, 4), (9, 10)])
def test_a_user_timeout_takes_the_place_of_the_count_of_probes(node_wire, timeout_s, seconds):
    node_wire.state.user_timeout_us = timeout_s * 1_000_000
    node_wire.kill(1_000_000, B, A)
    assert closed_after_s(node_wire) == pytest.approx(seconds, abs=0.1)


def test_what_waits_for_a_dead_way_has_a_limit(wire):
    taken = _taken(wire.state)
    wire.kill(0, B, A)
    for number in range(3 * network.MAX_HELD):
        wire.send(number)
    assert _taken(wire.state) - taken <= network.MAX_HELD + 20


def test_data_of_a_closed_connection_is_forgotten_wherever_it_waits(wire):
    taken = _taken(wire.state)
    wire.send(0)
    wire.run_until(100_000)
    wire.kill(100_000, B, A)
    wire.send(200_000)
    wire.send(300_000)
    assert _taken(wire.state) > taken
    network.close_by_owner(wire.state, LINK, wire.state.now_us)
    wire.run_until(10_000_000)
    assert wire.state.connection[LINK].state == CLOSED
    assert _taken(wire.state) == taken + _queued(wire.state)


def _taken(state):
    """Places of the agenda that events occupy."""
    return state.n_places - state.n_free


def _queued(state):
    """Events that stopped programs still hold: their own timers."""
    count = 0
    for process in state.process:
        at = process.held.first
        while at:
            count += 1
            at = state.event[at - 1].next
    return count


def test_a_vanished_host_loses_its_clients_and_a_split_one_does_not():
    state = Wire().state
    state.side[A] = 1
    ways.notice_deaths(state)
    assert ways.way_between(state, network.place_of(actor(REDIS, B)), A).dead_us != 0
    assert ways.way_between(state, ways.CLIENT_SIDE, A).dead_us == 0
    state.attached[A] = 0
    ways.notice_deaths(state)
    assert ways.way_between(state, ways.CLIENT_SIDE, A).dead_us != 0


def test_programs_of_one_host_keep_the_delay_of_an_unshaped_network():
    state = Wire().state
    ways.delay(state, A, 0, 70_000, 0)
    assert ways.way_between(state, A, A).delay_us == ways.UNSHAPED_US
    assert ways.way_between(state, ways.CLIENT_SIDE, A).delay_us == ways.UNSHAPED_US
    assert ways.way_between(state, A, B).delay_us == 70_000


def test_every_place_of_the_agenda_is_free_or_will_happen():
    """Nothing leaks: not where connections close, programs die or a network falls apart."""
    faults = [("pause", "host2", 0), ("vanish", "host1", 500), ("return", "host1", 9_000), ("resume", "host2", 14_000)]
    text = "\n".join(f'[[fault]]\nkind = "{kind}"\nhost = "{host}"\nat_ms = {at_ms}' for kind, host, at_ms in faults)
    head = 'schema = 1\nname = "leaks"\nquestion = "?"\nserver.primary = "host1"\nsentinel.down_after_ms = 1000\n'
    hosts = "\n".join(f'[[host]]\nname = "host{number}"' for number in range(1, 5))
    world = World(parse(f"{head}{hosts}\n{text}\n[run]\nhorizon_ms = 40000"), seed=3)
    world.trace()
    state = world.state
    due = state.order - world.happened
    held = sum(_length(state, connection.held[direction]) for connection in state.connection for direction in (0, 1))
    assert _taken(state) == due + held + _queued(state)
    assert state.connection[LINK].state in (CLOSED, OPEN)


def _length(state, queue):
    count, at = 0, queue.first
    while at:
        count, at = count + 1, state.event[at - 1].next
    return count
