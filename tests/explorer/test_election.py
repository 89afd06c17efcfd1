"""All states of an election of three sentinels, by stepping the sentinel machine itself."""

from __future__ import annotations

import random
from typing import Any

import pytest

from model import sentinel
from model.errors import UsageError
from model.explorer import check_election, kernel
from model.explorer.election import choices, describe, new_search, new_system, raw_words, renamings, successors
from model.explorer.election_steps import LONG_PAST_US, TWO_LEADERS, observed, step, tidy
from model.explorer.packing import FORGOTTEN_FIELDS, OWN_FIELDS, PEER_FIELDS, pack, unpack

BOTH_SEEN = {"a leader is elected": 4, "an attempt ends without a leader": 3}
SEED = 20261123


@pytest.mark.parametrize(
    ("epochs", "counts"), [(1, (1_936, 32_951, 13)), (2, (16_340, 348_206, 18)), (3, (48_843, 1_220_311, 22))]
)
def test_every_property_holds_in_every_state_while_all_are_timely(epochs: int, counts: tuple[int, int, int]) -> None:
    result = check_election(sentinels=3, quorum=2, epochs=epochs)
    assert result.finished
    assert result.violation == ""
    assert (result.states, result.transitions, result.depth) == counts
    assert result.witnesses == BOTH_SEEN


def test_only_one_leader_per_epoch_fails_when_some_may_be_late() -> None:
    result = check_election(sentinels=3, quorum=2, epochs=2, stalls=True, goes_on=True)
    assert result.finished
    assert (result.states, result.transitions, result.depth) == (49_176, 1_168_554, 18)
    assert result.violations == {"one leader per epoch": 11}
    assert result.witnesses == BOTH_SEEN


def test_the_shortest_way_to_two_leaders_is_the_known_flaw() -> None:
    """A vote of epoch 2 decides an attempt of epoch 1: redis pull request 2230, redis issue 11571."""
    result = check_election(sentinels=3, quorum=2, epochs=2, stalls=True)
    assert not result.finished
    assert result.violation == "one leader per epoch"
    assert result.path == [
        "s1 acts",
        "s2 acts",
        "s1 asks s3 for its vote in epoch 1",
        "s3 waits",
        "s3 acts",
        "s1 learns of the vote of s3 in epoch 1",
        "s2 hears of epoch 2",
        "s1 acts",
        "s2 asks s1 for its vote in epoch 2",
        "s2 learns of the vote of s1 in epoch 2",
        "s2 acts",
    ]


def test_among_five_sentinels_nobody_needs_to_wait_for_that() -> None:
    """The fifth has not voted, so it may start epoch 2 at once, while the attempt of s2 in epoch 1 goes on."""
    system = new_system(5, 3, 2)
    named = {describe(choice): choice for choice in choices(5, 2)}
    for name in (
        "s1 acts",
        "s2 acts",
        "s1 asks s3 for its vote in epoch 1",
        "s1 asks s4 for its vote in epoch 1",
        "s1 learns of the vote of s3 in epoch 1",
        "s1 learns of the vote of s4 in epoch 1",
        "s1 acts",
        "s5 hears of epoch 1",
        "s5 acts",
        "s2 hears of epoch 2",
        "s2 asks s3 for its vote in epoch 2",
        "s2 asks s4 for its vote in epoch 2",
        "s2 learns of the vote of s3 in epoch 2",
        "s2 learns of the vote of s4 in epoch 2",
    ):
        assert step(system, named[name]), name
        assert not observed(system) & TWO_LEADERS
    assert step(system, named["s2 acts"])
    assert observed(system) & TWO_LEADERS


def _votes_unless_overtaken(node, candidate):
    votes = 0
    for number in range(node.hosts):
        peer = node.peer[number]
        is_of_attempt = peer.leader_epoch == node.current_epoch and peer.leader_epoch == node.failover_epoch
        if peer.watch.known == 1 and peer.leader == candidate and is_of_attempt:
            votes += 1
    return votes


@pytest.mark.slow
def test_without_that_flaw_every_property_holds_however_late_some_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes that count in the epoch of the attempt only: the changed machine is compiled like the original."""
    monkeypatch.setattr(sentinel, "_votes_of_peers", _votes_unless_overtaken)
    result = check_election(sentinels=3, quorum=2, epochs=2, stalls=True)
    assert result.finished
    assert result.violations == {}
    assert result.witnesses == BOTH_SEEN


def test_a_limit_is_reported_as_not_finished() -> None:
    result = check_election(epochs=2, max_states=300)
    assert not result.finished
    assert result.frontier > 0
    assert 300 < result.states < 400


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    result = check_election(sentinels=2, epochs=2, progress=lambda states, frontier: told.append((states, frontier)))
    assert told[-1] == (result.states, 0)


def test_more_epochs_than_a_state_has_room_for_are_refused() -> None:
    with pytest.raises(UsageError, match="7 sentinels can be explored for at most 3 epochs, not 4"):
        check_election(sentinels=7, quorum=4, epochs=4)


# --- a broken machine is found out -----------------------------------------------------------------------------------


def test_a_broken_vote_is_found_with_a_shortest_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentinel that votes for whoever asked last breaks the property, and the search says how."""
    honest = sentinel.vote

    def fickle(node, now_us, epoch, candidate, out):
        node.leader_epoch = min(node.leader_epoch, epoch - 1)
        honest(node, now_us, epoch, candidate, out)

    monkeypatch.setattr(sentinel, "vote", fickle)
    result = check_election(epochs=1, interpreted=True)
    assert result.violation == "one vote per sentinel and epoch"
    assert len(result.path) == result.violations[result.violation] == 3


def test_a_count_without_majority_elects_two_leaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentinels that take one vote for enough break the other property."""
    monkeypatch.setattr(sentinel, "elected", lambda node, now_us, out: node.me + 1)
    result = check_election(epochs=1, interpreted=True)
    assert result.violation == "one leader per epoch"
    assert result.path == ["s1 acts", "s2 acts"]


# --- the compiled search is the interpreted one ----------------------------------------------------------------------


@pytest.mark.parametrize(("sentinels", "epochs"), [(3, 1), (2, 2)])
def test_compiled_and_interpreted_find_the_same_states_in_the_same_order(sentinels: int, epochs: int) -> None:
    one, other = (
        new_search(sentinels, 2, epochs, stalls=True, goes_on=True, interpreted=interpreted)
        for interpreted in (True, False)
    )
    one.run(100_000)
    other.run(100_000)
    assert other["transitions"] == one["transitions"]
    assert other.steps_to() == one.steps_to()
    assert _states(other) == _states(one)


def _states(search: Any) -> list[tuple[int, ...]]:
    return [tuple(search.words_of(number)) for number in range(search["states"])]


# --- what makes states fewer is sound --------------------------------------------------------------------------------


@pytest.mark.parametrize("stalls", [False, True])
def test_states_merged_by_tidying_are_exactly_those_of_the_whole_space(
    monkeypatch: pytest.MonkeyPatch, stalls: bool
) -> None:
    """All states found without leaving anything out, tidied afterwards, are the states found with it."""
    tidied = new_search(2, 2, 2, stalls=stalls, goes_on=True, interpreted=True)
    tidied.run(100_000)
    monkeypatch.setattr(kernel, "tidy", lambda system: None)
    whole = new_search(2, 2, 2, stalls=stalls, goes_on=True, interpreted=True)
    whole.run(100_000)
    assert whole["states"] > 5 * tidied["states"]
    assert whole.steps_to() == tidied.steps_to()
    system, merged = new_system(2, 2, 2, stalls), set()
    for number in range(whole["states"]):
        unpack(system, whole.words_of(number), 0)
        tidy(system)
        merged.add(_packed(system, raw_words(system)))
    assert merged == set(_states(tidied))


def _walk(steps: int) -> list[list[int]]:
    """States of a random walk, as the sentinels are called."""
    chance, system = random.Random(SEED), new_system(3, 2, 2, stalls=True)
    walked = [raw_words(system)]
    for _ in range(steps):
        found = [after for _, after, _, _ in successors(system, walked[-1])]
        walked.append(chance.choice(found) if found else walked[0])
    return walked


def test_what_a_state_forgets_is_only_what_is_listed() -> None:
    """Whatever a step changes is kept in the state, or is listed as forgotten, with the reason there."""
    system, names = new_system(3, 2, 2, stalls=True), set()
    for words in _walk(60):
        unpack(system, words, 0)
        before = _leaves(system)
        for choice in choices(3, 2):
            unpack(system, words, 0)
            if step(system, choice):
                after = _leaves(system)
                changed = [path for number, path in before if before[number, path] != after[number, path]]
                names |= {path.partition("].")[2] or path for path in changed}
    assert names <= {*OWN_FIELDS, "start_us", *PEER_FIELDS, *FORGOTTEN_FIELDS}
    assert {"leader", "start_us", *FORGOTTEN_FIELDS} <= names


def _leaves(system: Any) -> dict[tuple[int, str], int]:
    return {
        (number, path): holder[index] if isinstance(index, int) else getattr(holder, index)
        for number in range(system.sentinels)
        for path, _, holder, index in sentinel.SENTINEL.leaves(system.node[number])
    }


def test_a_state_survives_its_codec() -> None:
    system = new_system(3, 2, 2, stalls=True)
    for words in _walk(100):
        unpack(system, words, 0)
        assert raw_words(system) == words, f"seed {SEED}"
        assert system.node[0].peer[1].answer_us > LONG_PAST_US


def test_states_that_differ_by_names_only_are_one_and_lead_to_the_same_states() -> None:
    system, names = new_system(3, 2, 2, stalls=True), renamings(3)
    for words in _walk(100)[::4]:
        unpack(system, words, 0)
        renamed = [raw_words(system, renaming) for renaming in names]
        assert len({_packed(system, each) for each in renamed}) == 1, f"seed {SEED}"
        led_to = [{tuple(packed) for _, _, packed, _ in successors(system, each)} for each in renamed]
        assert led_to == led_to[:1] * len(names), f"seed {SEED}"


def _packed(system: Any, words: list[int]) -> tuple[int, ...]:
    unpack(system, words, 0)
    pack(system, renamings(system.sentinels))
    return tuple(system.packed[: system.sentinels])


def test_nothing_is_observed_before_anything_has_happened() -> None:
    assert observed(new_system(3, 2, 2, stalls=True)) == 0
