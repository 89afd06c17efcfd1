"""Machines broken on purpose: a named property catches each, as it stands in the table at the end.

A mutant is a machine with one function replaced. Models run the machines interpreted, so nothing is compiled anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from model import redis_server, sentinel
from model.effects import PRIMARY, REPLICA, VOTE_FOR_LEADER
from model.explorer import Election, Failover, Search
from model.explorer.checking import verdicts_of
from model.explorer.parts import Model

_vote, _start, _hello, _boot = sentinel.vote, sentinel.start_failover, sentinel.on_hello, sentinel.boot
_elected, _see_promotion, _replicaof = sentinel.elected, sentinel._see_promotion, redis_server._replicaof


def _one_epoch() -> Model:
    return Election(epochs=1)


def _two_epochs() -> Model:
    return Election(epochs=2)


def _killed_server() -> Model:
    return Failover(epochs=1, kinds=("server",))


def _lost_host() -> Model:
    return Failover(epochs=1, kinds=("host",))


def _restarting_sentinel() -> Model:
    return Failover(epochs=1, faults=2, kinds=("server", "sentinel"))


# --- voting ----------------------------------------------------------------------------------------------------------


def votes_twice(node, now_us, epoch, candidate, out):
    node.leader_epoch = min(node.leader_epoch, epoch - 1)
    _vote(node, now_us, epoch, candidate, out)


def votes_for_old_epochs(node, now_us, epoch, candidate, out):
    _vote(node, now_us, epoch, candidate, out)
    if epoch < node.current_epoch and node.leader_epoch != epoch:
        node.leader, node.leader_epoch = candidate, epoch
        sentinel._tell(node, now_us, VOTE_FOR_LEADER, candidate, epoch, out)


def answers_before_the_flush(node, now_us, epoch, candidate, out):
    on_disk = node.file.leader_epoch
    _vote(node, now_us, epoch, candidate, out)
    node.file.leader_epoch = on_disk


def counts_half_for_a_majority(node, now_us, out):
    winner = _elected(node, now_us, out)
    if winner == 0 and node.leader_epoch == node.failover_epoch:
        known = 1 + sum(node.peer[number].watch.known for number in range(node.hosts))
        winner = node.leader if 1 + sentinel._votes_of_peers(node, node.leader) >= known // 2 else 0
    return winner


def counts_votes_for_anybody(node, now_us, out):
    _elected(node, now_us, out)
    cast = sum(node.peer[number].leader != 0 for number in range(node.hosts))
    return node.me + 1 if cast else 0


def takes_no_new_epoch(node, now_us, out):
    _start(node, now_us, out)
    node.current_epoch -= 1
    node.failover_epoch -= 1


# --- restarts --------------------------------------------------------------------------------------------------------


def forgets_its_vote(node, now_us, out):
    _boot(node, now_us, out)
    node.leader_epoch = 0


def forgets_its_epoch(node, now_us, out):
    _boot(node, now_us, out)
    node.current_epoch = node.leader_epoch = 0


# --- failover --------------------------------------------------------------------------------------------------------


def asks_nobody(node, now_us, out):
    node.o_down = node.server[node.primary].watch.s_down


def never_gives_up(node, now_us, event, out):
    pass


def keeps_the_old_configuration_epoch(node, now_us, out):
    before = node.config_epoch
    _see_promotion(node, now_us, out)
    node.config_epoch = before


def switches_to_the_old_primary(node, now_us, out):
    sentinel._change_primary(node, now_us, node.primary, out)


def takes_any_configuration(node, now_us, message, out):
    node.config_epoch = min(node.config_epoch, message.config_epoch)
    _hello(node, now_us, message, out)
    node.config_epoch = message.config_epoch


def corrects_nobody(node, now_us, number, out):
    pass


# --- servers ---------------------------------------------------------------------------------------------------------


def refuses_to_be_a_replica(node, now_us, primary, out):
    if primary == 0 or node.role == REPLICA:
        _replicaof(node, now_us, primary, out)


def refuses_to_be_primary(node, now_us, primary, out):
    if primary != 0:
        _replicaof(node, now_us, primary, out)


def never_changes_its_primary(node, now_us, primary, out):
    if primary == 0 or node.role == PRIMARY:
        _replicaof(node, now_us, primary, out)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A replaced function, where it shows, and which property catches it."""

    module: Any
    name: str
    broken: Callable
    model: Callable[[], Model]
    caught_by: str


MUTANTS = [
    Mutant(sentinel, "vote", votes_twice, _one_epoch, "one-vote"),
    Mutant(sentinel, "vote", votes_for_old_epochs, _two_epochs, "one-vote"),
    Mutant(sentinel, "vote", answers_before_the_flush, _restarting_sentinel, "one-vote"),
    Mutant(sentinel, "elected", counts_half_for_a_majority, _one_epoch, "one-leader"),
    Mutant(sentinel, "elected", counts_votes_for_anybody, _one_epoch, "one-leader"),
    Mutant(sentinel, "start_failover", takes_no_new_epoch, _one_epoch, "elected"),
    Mutant(sentinel, "boot", forgets_its_vote, _restarting_sentinel, "one-vote"),
    Mutant(sentinel, "boot", forgets_its_epoch, _restarting_sentinel, "one-leader"),
    Mutant(sentinel, "check_objectively_down", asks_nobody, _lost_host, "quorum"),
    Mutant(sentinel, "_abort", never_gives_up, _lost_host, "settles"),
    Mutant(sentinel, "_see_promotion", keeps_the_old_configuration_epoch, _lost_host, "fails-over"),
    Mutant(sentinel, "switch_to_promoted", switches_to_the_old_primary, _lost_host, "one-primary-per-configuration"),
    Mutant(sentinel, "on_hello", takes_any_configuration, _lost_host, "configuration-grows"),
    Mutant(sentinel, "_demote_if_rogue", corrects_nobody, _killed_server, "settles"),
    Mutant(redis_server, "_replicaof", refuses_to_be_a_replica, _killed_server, "settles"),
    Mutant(redis_server, "_replicaof", refuses_to_be_primary, _killed_server, "fails-over"),
    Mutant(redis_server, "_replicaof", never_changes_its_primary, _killed_server, "settles"),
]


def _violated(model: Model) -> str:
    """The property that is violated first, or, when all states were visited without, the first that does not hold."""
    search = Search(model)
    search.run(2_000_000)
    first = search.result().violation
    if first:
        return first
    assert search.is_finished, f"{model.title}: {search['states']} states and no end"
    return next((each.key for each in verdicts_of(search) if not each.holds), "")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.broken.__name__)
def test_a_named_property_catches_it(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant.module, mutant.name, mutant.broken)
    assert _violated(mutant.model()) == mutant.caught_by


@pytest.mark.parametrize("model", [_one_epoch, _two_epochs, _killed_server, _lost_host])
def test_the_machines_as_they_are_keep_every_property(model: Callable[[], Model]) -> None:
    assert _violated(model()) == ""
