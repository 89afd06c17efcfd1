"""The sentinel machine against everything that servers, other sentinels, operators and clocks may do, in any order.

The rules below play the driver: links that open, close and keep their order, answers only to what was sent, a wall
clock that jumps. Within that, what the others say is arbitrary.
"""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model import effects, sentinel
from model.effects import (
    ASK,
    ASK_REPLY,
    HELLO,
    INFO,
    INFO_REPLY,
    LINK_CLOSED,
    MAX_HOSTS,
    OK_REPLY,
    PING,
    PONG,
    PRIMARY,
    PUBLISH,
    PUBLISH_REPLY,
    PUBSUB,
    REPLICA,
    REPLICAOF,
    SCRIPT_KILL,
)

HOSTS = 4
ELSEWHERE = 99
ANSWER_TO = {PING: PONG, PUBLISH: PUBLISH_REPLY, INFO: INFO_REPLY, ASK: ASK_REPLY, REPLICAOF: OK_REPLY,
             SCRIPT_KILL: OK_REPLY}  # fmt: skip
ONE_OF_ALL = st.integers(1, HOSTS)
OTHER = st.integers(2, HOSTS)  # another sentinel than ours, which is the first
EPOCH = st.integers(0, 9)


def message(kind, **fields):
    made = effects.MESSAGE.new()
    made.kind = kind
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Sentinel(RuleBasedStateMachine):
    """Sentinel 0 and its world."""

    def __init__(self):
        super().__init__()
        self.node, self.out = sentinel.SENTINEL.new(), effects.OUT.new()
        self.now_us = 1 << 40
        self.links = {}  # own link -> kinds of the messages without an answer
        self.votes = {}  # epoch -> who got the vote, over restarts
        self.epochs = (0, 0)  # current and configuration epoch before
        self.is_ticking = False

    # The driver's side

    def call(self, handler, *arguments):
        self.out.n = 0
        handler(self.node, self.now_us, *arguments, self.out)
        assert self.out.n <= effects.MAX_EFFECTS
        for effect in self.out.effects[: self.out.n]:
            effects.EFFECT.check(effect)
            self.carry_out(effect)

    def carry_out(self, effect):
        link, kind = effect.target, effect.kind
        if kind == effects.CONNECT:
            assert link not in self.links, "a second connection on a link"
            self.links[link] = deque()
        elif kind == effects.CLOSE:
            del self.links[link]
        elif kind == effects.SEND:
            assert link in self.links, "a message on a link that does not exist"
            if link % 2 != PUBSUB or link >= 2 * MAX_HOSTS:
                self.links[link].append(effect.message.kind)
        elif kind == effects.SET_TIMER:
            self.is_ticking = True
        elif kind == effects.BLOCK:
            self.now_us += effect.delay_us
        elif kind == effects.REPORT and effect.report == effects.VOTE_FOR_LEADER:
            before = self.votes.setdefault(effect.code, effect.about)
            assert before == effect.about, f"two votes in epoch {effect.code}"
        else:
            assert kind in (effects.REPORT, effects.REPLY)

    def deliver(self, source, kind, **fields):
        self.call(sentinel.on_message, source, message(kind, **fields))

    def tick(self):
        self.now_us += 70_000
        self.call(sentinel.on_timer, sentinel.TICK)

    # What may happen

    @initialize(
        quorum=st.integers(1, HOSTS),
        flush_us=st.sampled_from([0, 500, 3_000_000]),
        parallel_syncs=st.integers(1, HOSTS),
        reboot_us=st.sampled_from([0, 5_000_000]),
        count=st.integers(1, HOSTS),
    )
    def the_process_starts(self, quorum, flush_us, parallel_syncs, reboot_us, count):
        node = self.node
        node.hosts, node.quorum, node.flush_us, node.parallel_syncs = HOSTS, quorum, flush_us, parallel_syncs
        node.down_after_us, node.failover_timeout_us, node.reboot_down_after_us = 2_000_000, 5_000_000, reboot_us
        node.file.knows_server[:count] = [1] * count
        node.file.knows_peer[1:count] = [1] * (count - 1)
        self.call(sentinel.boot)

    @rule(times=st.integers(1, 40))
    def it_ticks(self, times):
        for _ in range(times):
            self.tick()

    @rule(step_us=st.integers(-90_000_000, 90_000_000))
    def the_clock_is_set(self, step_us):
        self.now_us += step_us

    @rule(data=st.data(), times=st.integers(1, 30))
    def answers_arrive(self, data, times):
        for _ in range(times):
            waiting = sorted(link for link, sent in self.links.items() if sent)
            if waiting:
                link = data.draw(st.sampled_from(waiting))
                kind = ANSWER_TO[self.links[link].popleft()]
                fields = data.draw(self.what_they_say(kind), label="says")
                self.deliver(link, kind, **fields)

    @staticmethod
    def what_they_say(kind):
        if kind == PONG:
            return st.fixed_dictionaries({"code": st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5])})
        if kind == ASK_REPLY:
            return st.fixed_dictionaries({"down": st.integers(0, 1), "sentinel": st.integers(0, HOSTS), "epoch": EPOCH})
        if kind == INFO_REPLY:
            return st.fixed_dictionaries(
                {
                    "code": st.sampled_from([0, 0, 0, 1]),
                    "role": st.sampled_from([PRIMARY, REPLICA]),
                    "primary": ONE_OF_ALL,
                    "link_up": st.integers(0, 1),
                    "down_s": st.sampled_from([-1, 0, 0, 3, 1_000]),
                    "offset": st.integers(0, 2),
                    "run_rank": st.integers(1, 5),
                    "replica_priority": st.sampled_from([0, 100, 100]),
                    "replicas": st.sampled_from([0, 0x2, 0x32, 0x432]),
                }
            )
        return st.fixed_dictionaries({"code": st.sampled_from([0, 0, 1])})

    @rule(times=st.integers(20, 120), primary_answers=st.booleans(), obeys=st.booleans())
    def the_others_go_along(self, times, primary_answers, obeys):
        """For a while all but the primary answer and agree, so that failovers get far enough to be disturbed."""
        for _ in range(times):
            self.tick()
            for link in sorted(self.links):
                while self.links.get(link) and (primary_answers or link // 2 != self.node.primary):
                    kind = ANSWER_TO[self.links[link].popleft()]
                    self.deliver(link, kind, **self.what_pleases(kind, link // 2, obeys))

    def what_pleases(self, kind, host, obeys):
        node = self.node
        if kind == ASK_REPLY:
            return {"down": 1, "sentinel": 1, "epoch": node.current_epoch}
        if kind != INFO_REPLY:
            return {}
        leads = host == (node.promoted - 1 if obeys and node.state >= sentinel.WAIT_PROMOTION else node.primary)
        return {
            "role": PRIMARY if leads else REPLICA,
            "primary": 0 if leads else node.promoted or node.primary + 1,
            "link_up": 1 - leads,
            "run_rank": 1 + host,
            "replica_priority": 100,
        }

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def a_link_closes(self, data):
        link = data.draw(st.sampled_from(sorted(self.links)))
        del self.links[link]
        self.deliver(link, LINK_CLOSED)

    @rule(sender=OTHER, epoch=EPOCH, primary=ONE_OF_ALL, config_epoch=EPOCH, on_channel=st.booleans())
    def a_hello_comes(self, sender, epoch, primary, config_epoch, on_channel):
        """A configuration is never newer than the sender's current epoch."""
        kind, source = (HELLO, PUBSUB) if on_channel else (PUBLISH, ELSEWHERE)
        epoch = max(epoch, config_epoch)
        self.deliver(source, kind, sentinel=sender, epoch=epoch, primary=primary, config_epoch=config_epoch)

    @rule(candidate=OTHER, epoch=EPOCH, primary=ONE_OF_ALL, wants_vote=st.booleans())
    def another_asks(self, candidate, epoch, primary, wants_vote):
        self.deliver(ELSEWHERE, ASK, sentinel=candidate if wants_vote else 0, epoch=epoch, primary=primary)

    @rule()
    def an_operator_asks_for_a_failover(self):
        self.call(sentinel.force_failover)

    @rule()
    def an_operator_resets(self):
        self.call(sentinel.reset)

    @rule()
    def the_process_restarts(self):
        self.links.clear()
        self.call(sentinel.boot)
        self.epochs = (0, 0)

    # What must hold

    @invariant()
    def every_field_is_in_its_range(self):
        if self.is_ticking:
            sentinel.SENTINEL.check(self.node)

    @invariant()
    def epochs_only_grow(self):
        epochs = (self.node.current_epoch, self.node.config_epoch)
        assert all(now >= before for now, before in zip(epochs, self.epochs, strict=True))
        self.epochs = epochs

    @invariant()
    def the_last_vote_is_in_the_file(self):
        assert self.node.file.leader_epoch == self.node.leader_epoch

    @invariant()
    def the_primary_is_known_and_no_stranger_is_chosen(self):
        node = self.node
        if self.is_ticking:
            assert node.server[node.primary].watch.known == 1
        if node.promoted:
            assert node.promoted - 1 != node.primary
            assert node.server[node.promoted - 1].watch.known == 1

    @invariant()
    def a_failover_is_all_there_or_not_at_all(self):
        node = self.node
        assert (node.state != sentinel.NONE) == (node.in_progress == 1)
        assert (node.promoted != 0) == (node.state >= sentinel.SEND_NO_ONE)
        assert node.state != sentinel.UPDATE_CONFIG, "it lasts for the rest of a tick"
        assert node.forced <= node.in_progress

    @invariant()
    def links_are_as_it_believes(self):
        for host in range(HOSTS):
            server, peer = self.node.server[host].watch, self.node.peer[host].watch
            for watch, base in ((server, 2 * host), (peer, 2 * (MAX_HOSTS + host))):
                assert (base in self.links) == (watch.cc == 1)
                assert (base + PUBSUB in self.links) == (watch.pc == 1)
                assert watch.pending == len(self.links.get(base, ()))


Sentinel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_world = Sentinel.TestCase
