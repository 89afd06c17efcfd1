"""All states of an election of three sentinels, by stepping the sentinel machine itself."""

from __future__ import annotations

import random

import pytest

from model import sentinel
from model.explorer import check_election
from model.explorer.election import FORGOTTEN_FIELDS, LONG_PAST_US, OWN_FIELDS, PEER_FIELDS, Election


@pytest.mark.slow
def test_one_leader_per_epoch_in_every_state_of_one_epoch() -> None:
    result = check_election(sentinels=3, quorum=2, epochs=1)
    assert result.finished
    assert result.violation == ""
    assert result.states == 10_702
    assert set(result.witnesses) == {"a leader is elected", "an attempt ends without a leader"}


def test_a_limit_is_reported_as_not_finished() -> None:
    result = check_election(epochs=2, max_states=300)
    assert not result.finished
    assert result.frontier > 0


def test_a_broken_vote_is_found_with_a_shortest_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentinel that votes for whoever asked last breaks the property, and the search says how."""
    honest = sentinel.vote

    def fickle(node, now_us, epoch, candidate, out):
        node.leader_epoch = min(node.leader_epoch, epoch - 1)
        honest(node, now_us, epoch, candidate, out)

    monkeypatch.setattr(sentinel, "vote", fickle)
    result = check_election(epochs=1)
    assert result.violation == "one vote per sentinel and epoch"
    assert 0 < len(result.path) <= 6


def test_a_count_without_majority_elects_two_leaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentinels that take one vote for enough break the other property."""
    monkeypatch.setattr(sentinel, "elected", lambda node, now_us, out: node.me + 1)
    result = check_election(epochs=1)
    assert result.violation == "one leader per epoch"


def test_what_a_state_forgets_is_only_what_is_listed() -> None:
    """Whatever a step changes is kept in the state, or is listed as forgotten, with the reason there."""
    election = Election(3, 2, 2)
    kept = {*OWN_FIELDS, "start_us"} | set(FORGOTTEN_FIELDS)
    state, chance, changed = election.first(), random.Random(1), set()
    for _ in range(300):
        election.decode(state)
        before = [_leaves(node) for node in election.nodes]
        steps = []
        for step in election.steps(state):
            after = [_leaves(node) for node in election.nodes]
            for old, new in zip(before, after, strict=True):
                changed |= {path for path in old if old[path] != new[path]}
            steps.append(step)
        if not steps:
            break
        state = chance.choice(steps)[1]
    names = {path.partition("].")[2] or path for path in changed}
    assert names <= kept | set(PEER_FIELDS)
    assert "leader" in names


def _leaves(node) -> dict[str, int]:
    return {
        path: holder[index] if isinstance(index, int) else getattr(holder, index)
        for path, _, holder, index in sentinel.SENTINEL.leaves(node)
    }


def test_a_state_survives_its_codec() -> None:
    election = Election(3, 2, 2)
    for _, state in election.steps(election.first()):
        election.decode(state)
        assert election.encode() == state
        assert LONG_PAST_US < election.nodes[0].peer[1].answer_us
