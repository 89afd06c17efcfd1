"""Redis machines that replicate from each other, against everything that may happen to them, in any order.

The rules below play the driver: connections keep their order, timers fire whenever they are armed, clocks jump,
processes die and come back with or without their snapshot. Beside each server goes the *dataset* that it would hold,
and how much of that came as a whole, so that it cannot be in a backlog. What must hold then: a position in a history
names one dataset, and a partial resync leaves no hole.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model import effects, redis_server
from model.effects import (
    BUSY,
    CONTINUE,
    FAIL_SAVES,
    FULL_RESYNC,
    LINK_CLOSED,
    LINK_OPEN,
    MEND_SAVES,
    PING,
    PONG,
    PRIMARY,
    PUBLISH,
    REPLICA,
    REPLICAOF,
    REPLICATE,
    SCRIPT_KILL,
    STORE,
    STORE_REPLY,
)
from model.redis_server import ACCEPTED_WRITE, CRON, REPLICATION_LINK

HOSTS = 3
HOST = st.integers(0, HOSTS - 1)
SECOND = 1_000_000
CLIENT, FIRST_REPLICA = 50, 100
"""Connections: of any client; of the replica on host n this plus n."""
MOST_BIRTHS = 30
MOST_IN_A_ROW = 12
"""Messages that one link carries before the next timer: enough for a whole handshake."""


@dataclass
class Link:
    """The connection of a replica to its primary, with what is under way on it."""

    target: int
    up: deque = field(default_factory=deque)
    down: deque = field(default_factory=deque)
    closing: bool = False


class Servers(RuleBasedStateMachine):
    """Three servers and their world."""

    def __init__(self):
        super().__init__()
        self.out = effects.OUT.new()
        self.nodes = [redis_server.REDIS.new() for _ in range(HOSTS)]
        self.now_us = [10_000 * SECOND] * HOSTS
        self.links: list[Link | None] = [None] * HOSTS
        self.timers: set[tuple[int, int]] = set()
        self.data: list[tuple] = [()] * HOSTS
        self.came_whole = [0] * HOSTS
        self.snapshots = [(0, 0, ())] * HOSTS
        self.named: dict[tuple[int, int], tuple] = {}
        self.changes = 0

    # The driver's side

    def call(self, host, handler, *arguments, brought=None):
        """Call a machine; `brought` is the dataset of a sender whose message makes it ours."""
        node = self.nodes[host]
        before = node.branch, node.offset
        self.out.n = 0
        handler(node, *arguments, self.out)
        redis_server.REDIS.check(node)
        if brought is not None:
            self.data[host] = brought
        elif node.role == PRIMARY and node.branch == before[0]:
            for _ in range(node.offset - before[1]):
                self.changes += 1
                self.data[host] += (self.changes,)
        answers = []
        for effect in self.out.effects[: self.out.n]:
            effects.EFFECT.check(effect)
            self.carry_out(host, effect, answers)
        return answers

    def carry_out(self, host, effect, answers):
        link = self.links[host]
        if effect.kind == effects.SET_TIMER:
            self.timers.add((host, effect.target))
        elif effect.kind == effects.CONNECT:
            assert link is None, "a second link"
            self.links[host] = Link(effect.server)
            self.links[host].down.append((message(LINK_OPEN), None))
        elif effect.kind == effects.CLOSE:
            self.close(host)
        elif effect.kind == effects.SEND and link and not link.closing:
            link.up.append((copy_of(effect.message), None))
        elif effect.kind == effects.REPLY and effect.target == CLIENT:
            answers.append(copy_of(effect.message))
        elif effect.kind == effects.REPLY:
            other = self.links[effect.target - FIRST_REPLICA]
            if other and other.target == host and not other.closing:
                other.down.append((copy_of(effect.message), (self.data[host], self.came_whole[host])))
        elif effect.kind == effects.DROP:
            self.close_by_target(effect.target - FIRST_REPLICA, host)

    def close(self, host):
        """A replica closes its link: its primary notices."""
        link = self.links[host]
        self.links[host] = None
        if link and not link.closing:
            redis_server.on_replica_gone(self.nodes[link.target], host + 1)

    def close_by_target(self, replica, host):
        link = self.links[replica]
        if link and link.target == host and not link.closing:
            link.closing = True
            link.up.clear()
            link.down.append((message(LINK_CLOSED), None))

    # What may happen

    @initialize(forgets=st.integers(0, 1), drops=st.integers(0, 1), delay_s=st.sampled_from([0, 0, 2]))
    def all_start_empty_and_get_in_sync(self, forgets, drops, delay_s):
        for host, node in enumerate(self.nodes):
            node.me, node.hosts = host, HOSTS
            node.role = PRIMARY if host == 0 else REPLICA
            node.primary = 0 if host == 0 else 1
            node.repl_timeout_s, node.min_replicas_max_lag_s = 60, 10
            node.restart_forgets_history, node.demotion_drops_replicas = forgets, drops
            node.sync_delay_us = delay_s * SECOND
            self.call(host, redis_server.boot, self.now_us[host], 1, 0, 0)
        self.nothing_happens_for_some_seconds(4)
        self.snapshots = [(node.branch, node.offset, data) for node, data in zip(self.nodes, self.data, strict=True)]

    @rule(kind=st.sampled_from([STORE, PUBLISH]))
    def clients_of_all_servers_change_something(self, kind):
        for host in range(HOSTS):
            self.a_client_changes_something(host, kind)

    @rule(host=HOST, kind=st.sampled_from([STORE, PUBLISH]))
    def a_client_changes_something(self, host, kind):
        expected = redis_server.answers_write(self.nodes[host], self.now_us[host])
        answers = self.call(host, redis_server.on_message, self.now_us[host], CLIENT, message(kind))
        assert len(answers) == 1
        if kind == STORE:
            assert answers[0].kind == STORE_REPLY
            assert (answers[0].code == effects.DONE) == (expected == ACCEPTED_WRITE)
            assert answers[0].code == effects.DONE or answers[0].code > effects.REASONS

    @rule(host=HOST)
    def a_client_pings(self, host):
        (answer,) = self.call(host, redis_server.on_message, self.now_us[host], CLIENT, message(PING))
        assert answer.kind == PONG

    @rule(host=HOST, steps=st.integers(1, 6))
    def messages_arrive(self, host, steps):
        """The next ones on the link of a replica, in either direction, in the order of each."""
        for _ in range(steps):
            self.one_message_arrives(host)

    def one_message_arrives(self, host):
        link = self.links[host]
        if link and link.up:
            sent, _ = link.up.popleft()
            self.call(link.target, redis_server.on_message, self.now_us[link.target], FIRST_REPLICA + host, sent)
        elif link and link.down:
            self.arrive_at_replica(host, *link.down.popleft())

    def arrive_at_replica(self, host, sent, of_sender):
        data, came_whole = of_sender or ((), 0)
        if sent.kind == LINK_CLOSED:
            self.links[host] = None
        if sent.kind == CONTINUE:
            assert data[: len(self.data[host])] == self.data[host], "a partial resync that leaves a hole"
            assert len(self.data[host]) >= came_whole, "a partial resync with changes that the sender never saw singly"
        if sent.kind == REPLICATE:
            assert data[:-1] == self.data[host], "a change that does not fit"
        brought = data if sent.kind in (CONTINUE, FULL_RESYNC, REPLICATE) else None
        if sent.kind == FULL_RESYNC:
            self.came_whole[host] = len(data)
        self.call(host, redis_server.on_message, self.now_us[host], REPLICATION_LINK, sent, brought=brought)

    @rule(data=st.data(), step_us=st.integers(0, 5 * SECOND))
    def a_timer_runs_down(self, data, step_us):
        host, which = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.discard((host, which))
        self.now_us[host] += step_us
        self.call(host, redis_server.on_timer, self.now_us[host], which)

    @rule(seconds=st.integers(1, 5))
    def nothing_happens_for_some_seconds(self, seconds):
        """All timers run down, all messages arrive: so far do servers get only undisturbed."""
        for _ in range(seconds):
            for host, which in sorted(self.timers):
                self.timers.discard((host, which))
                self.now_us[host] += SECOND if which == CRON else 0
                self.call(host, redis_server.on_timer, self.now_us[host], which)
                for replica in [*range(HOSTS)] * MOST_IN_A_ROW:
                    self.one_message_arrives(replica)

    @rule(host=HOST, step_s=st.integers(-120, 120))
    def a_clock_is_set(self, host, step_s):
        self.now_us[host] += step_s * SECOND

    @rule(host=HOST, other=HOST)
    def a_sentinel_orders(self, host, other):
        if self.nodes[host].births < MOST_BIRTHS:
            primary = 0 if host == other else other + 1
            order = message(REPLICAOF, primary=primary)
            self.call(host, redis_server.on_message, self.now_us[host], CLIENT, order)

    @rule(host=HOST, lost=st.integers(0, 2), new=st.integers(0, 2), undisturbed=st.booleans())
    def a_failover(self, host, lost, new, undisturbed):
        """The old primary takes writes that no replica gets, the new one others."""
        for _ in range(lost):
            self.clients_of_all_servers_change_something(STORE)
        for other in (host, *range(HOSTS)):
            self.a_sentinel_orders(other, host)
        for _ in range(new):
            self.clients_of_all_servers_change_something(STORE)
        if undisturbed:
            self.nothing_happens_for_some_seconds(2)

    @rule(host=HOST)
    def a_link_breaks(self, host):
        link = self.links[host]
        if link and not link.closing:
            redis_server.on_replica_gone(self.nodes[link.target], host + 1)
            self.close_by_target(host, link.target)

    @rule(host=HOST)
    def a_snapshot_is_made(self, host):
        self.snapshots[host] = self.nodes[host].branch, self.nodes[host].offset, self.data[host]

    @precondition(lambda self: all(node.births < MOST_BIRTHS for node in self.nodes))
    @rule(host=HOST, keeps=st.booleans(), load_us=st.sampled_from([0, SECOND]))
    def a_process_dies_and_is_started_again(self, host, keeps, load_us):
        self.close(host)
        self.timers = {timer for timer in self.timers if timer[0] != host}
        for replica in range(HOSTS):
            self.close_by_target(replica, host)
        node = self.nodes[host]
        self.data[host] = ()
        if keeps:
            node.branch, node.offset, self.data[host] = self.snapshots[host]
        brought = self.data[host]
        self.came_whole[host] = len(brought)
        self.call(host, redis_server.boot, self.now_us[host], 1, int(keeps), load_us, brought=brought)

    @rule(host=HOST, what=st.sampled_from([FAIL_SAVES, MEND_SAVES, BUSY]), amount_us=st.integers(1, 20 * SECOND))
    def trouble(self, host, what, amount_us):
        self.call(host, redis_server.on_fault, self.now_us[host], what, amount_us)

    @rule(host=HOST)
    def a_script_is_killed(self, host):
        self.call(host, redis_server.on_message, self.now_us[host], CLIENT, message(SCRIPT_KILL))

    # What must hold

    @invariant()
    def a_position_in_a_history_names_one_dataset(self):
        for node, data in zip(self.nodes, self.data, strict=True):
            if node.branch:
                assert self.named.setdefault((node.branch, node.offset), data) == data, "one name, two datasets"

    @invariant()
    def only_attached_replicas_are_good(self):
        for node in self.nodes:
            listed, attached = node.replicas, 0
            while listed:
                assert attached & 1 << ((listed & 15) - 1) == 0, "a replica is listed twice"
                attached |= 1 << ((listed & 15) - 1)
                listed >>= 4
            assert node.good_replicas & ~attached == 0


def message(kind: int, **fields: int) -> Any:
    made = effects.MESSAGE.new()
    made.kind = kind
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def copy_of(sent: Any) -> Any:
    return message(**{field.name: getattr(sent, field.name) for field in effects.MESSAGE.fields})


Servers.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestServers = Servers.TestCase
