"""All states of an election, by stepping the sentinel machine itself."""

from __future__ import annotations

import random

import pytest

from model import sentinel
from model.errors import UsageError
from model.explorer import Election, check_election
from model.explorer.parts import Local
from model.explorer.walk import State, are_alike, guards, is_open, simplified, successors, under

BOTH_SEEN = {"elected": 4, "not-elected": 3}
SEED = 20261123


@pytest.mark.parametrize(("epochs", "counts"), [(1, (1_936, 13)), (2, (16_340, 18)), (3, (48_843, 22))])
def test_every_property_holds_in_every_state_while_all_are_timely(epochs: int, counts: tuple[int, int]) -> None:
    result = check_election(sentinels=3, quorum=2, epochs=epochs)
    assert result.finished
    assert result.violations == {}
    assert (result.states, result.depth) == counts
    assert result.witnesses == BOTH_SEEN


def test_only_one_leader_per_epoch_fails_when_some_may_be_late() -> None:
    result = check_election(sentinels=3, quorum=2, epochs=2, stalls=True, goes_on=True)
    assert result.finished
    assert (result.states, result.depth) == (49_176, 18)
    assert result.violations == {"one-leader": 11}
    assert result.witnesses == BOTH_SEEN


def test_the_shortest_way_to_two_leaders_is_the_known_flaw() -> None:
    """A vote of epoch 2 decides an attempt of epoch 1: redis pull request 2230, redis issue 11571."""
    result = check_election(sentinels=3, quorum=2, epochs=2, stalls=True)
    assert not result.finished
    assert result.violation == "one-leader"
    assert [step.text for step in result.paths["one-leader"].steps] == [
        "sentinel 1 starts an attempt",
        "sentinel 2 starts an attempt",
        "sentinel 1 asks sentinel 3 for its vote in epoch 1",
        "sentinel 3 waits",
        "sentinel 3 starts an attempt",
        "sentinel 2 hears of epoch 2 from sentinel 3",
        "sentinel 1 learns of the vote of sentinel 3 in epoch 1",
        "sentinel 1 counts votes",
        "sentinel 2 asks sentinel 1 for its vote in epoch 2",
        "sentinel 2 learns of the vote of sentinel 1 in epoch 2",
        "sentinel 2 counts votes",
    ]


def test_among_five_sentinels_nobody_needs_to_wait_for_that() -> None:
    """The fifth has not voted, so it may start epoch 2 at once, while the attempt of the second in epoch 1 goes on."""
    state, model = Election(5, 3, 2).first, Election(5, 3, 2, reduced=False)
    for wanted in (
        "sentinel 1 starts an attempt",
        "sentinel 2 starts an attempt",
        "sentinel 1 asks sentinel 3 for its vote in epoch 1",
        "sentinel 1 asks sentinel 4 for its vote in epoch 1",
        "sentinel 1 learns of the vote of sentinel 3 in epoch 1",
        "sentinel 1 learns of the vote of sentinel 4 in epoch 1",
        "sentinel 1 counts votes",
        "sentinel 5 hears of epoch 1 from sentinel 1",
        "sentinel 5 starts an attempt",
        "sentinel 2 hears of epoch 2 from sentinel 5",
        "sentinel 2 asks sentinel 3 for its vote in epoch 2",
        "sentinel 2 asks sentinel 4 for its vote in epoch 2",
        "sentinel 2 learns of the vote of sentinel 3 in epoch 2",
        "sentinel 2 learns of the vote of sentinel 4 in epoch 2",
        "sentinel 2 counts votes",
    ):
        state = _after(model, state, wanted)
    assert state[0].state == state[1].state == sentinel.SELECT
    assert state[0].failover_epoch == state[1].failover_epoch == 1


def _after(model: Election, state: State, wanted: str) -> State:
    for part, move, _, after in successors(model, state):
        if model.say(part, state[part], move) == wanted:
            return after
    raise AssertionError(f"not possible: {wanted}")


def _votes_unless_overtaken(node, candidate):
    votes = 0
    for number in range(node.hosts):
        peer = node.peer[number]
        is_of_attempt = peer.leader_epoch == node.current_epoch and peer.leader_epoch == node.failover_epoch
        if peer.watch.known == 1 and peer.leader == candidate and is_of_attempt:
            votes += 1
    return votes


def test_without_that_flaw_every_property_holds_however_late_some_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes that count in the epoch of the attempt only."""
    monkeypatch.setattr(sentinel, "_votes_of_peers", _votes_unless_overtaken)
    result = check_election(sentinels=3, quorum=2, epochs=2, stalls=True)
    assert result.finished
    assert result.violations == {}
    assert result.witnesses == BOTH_SEEN


def test_a_leader_has_the_votes_of_a_majority() -> None:
    """Counted where no vote is forgotten: in the whole space, nothing merged."""
    result = check_election(sentinels=3, quorum=2, epochs=1, reduced=False)
    assert (result.finished, result.states, result.violations) == (True, 487_054, {})


def test_a_limit_is_reported_as_not_finished() -> None:
    result = check_election(epochs=2, max_states=5_000)
    assert not result.finished
    assert result.frontier > 0
    assert result.states == 5_000


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    result = check_election(sentinels=2, epochs=2, progress=lambda states, frontier: told.append((states, frontier)))
    assert told[-1] == (result.states, 0)


@pytest.mark.parametrize(
    ("sentinels", "epochs", "says"), [(3, 8, "1 to 7 epochs, not 8"), (9, 1, "2 to 7 sentinels, not 9")]
)
def test_more_than_there_is_room_for_is_refused(sentinels: int, epochs: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_election(sentinels=sentinels, epochs=epochs)


# --- what makes states fewer is sound --------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "stalls"), [(1, False), (2, True)])
def test_merged_states_are_exactly_those_of_the_whole_space(epochs: int, stalls: bool) -> None:
    """All states found without leaving anything out, merged afterwards, are the states found with it."""
    model = Election(2, 2, epochs, stalls)
    merged, whole = _reached(model), _reached(Election(2, 2, epochs, stalls, reduced=False))
    assert len(whole) > 2 * len(merged)
    assert {_smallest(model, _settled(model, state)) for state in whole} == merged


def _reached(model: Election) -> set[State]:
    """All states, by a search of its own: plain Python, the smallest of all renamings."""
    first = _smallest(model, model.first)
    found, waiting = {first}, [first]
    while waiting:
        for _, _, _, after in successors(model, waiting.pop()):
            smallest = _smallest(model, after)
            if smallest not in found:
                found.add(smallest)
                waiting.append(smallest)
    return found


def _smallest(model: Election, state: State) -> State:
    return min(under(model, state, renaming) for renaming in model.renamings)


def _settled(model: Election, state: State) -> State:
    return simplified(model, tuple(model._settled(local) for local in state))


def _walk(model: Election, steps: int) -> list[State]:
    chance, walked = random.Random(SEED), [model.first]
    for _ in range(steps):
        found = [after for _, _, _, after in successors(model, walked[-1])]
        walked.append(chance.choice(found) if found else walked[0])
    return walked


def test_states_that_differ_by_names_only_lead_to_states_that_do() -> None:
    model = Election(3, 2, 2, stalls=True)
    for state in _walk(model, 100)[::4]:
        led_to = {
            frozenset(_smallest(model, after) for _, _, _, after in successors(model, under(model, state, renaming)))
            for renaming in model.renamings
        }
        assert len(led_to) == 1, f"seed {SEED}"
        assert are_alike(model, state, under(model, state, model.renamings[-1]))


def test_what_is_kept_of_a_sentinel_is_what_is_put_back() -> None:
    model = Election(3, 2, 2, stalls=True, reduced=False)
    locals_: set[Local] = {local for state in _walk(model, 200) for local in state}
    assert len(locals_) > 50
    for local in locals_:
        model._restored(0, local)
        assert model._kept(0, local) == local, f"seed {SEED}"


def test_no_attempt_begins_while_an_older_one_is_not_over() -> None:
    """The guard that time gives: whoever has voted waits until all have heard, and older attempts have ended."""
    model = Election(3, 2, 2)
    state = model.first
    for wanted in (
        "sentinel 1 starts an attempt",
        "sentinel 1 asks sentinel 2 for its vote in epoch 1",
        "sentinel 2 waits",
    ):
        state = _after(model, state, wanted)
    acts = [move for move in model.moves(1, state[1]) if move.kind == "act"]
    assert acts
    assert not any(is_open(move, guards(model, state)) for move in acts)
    late = Election(3, 2, 2, stalls=True)
    assert any(move.kind == "act" and is_open(move, guards(late, state)) for move in late.moves(1, state[1]))
