"""Spin and TLC find what our own search of the election finds: the same states, the same steps, as short paths."""

from __future__ import annotations

import pytest

from model.errors import EnvironmentLacks
from study.crosscheck import by_spin, by_tlc, programs
from study.crosscheck.compare import Comparison
from study.crosscheck.ours import our_counts, our_ways
from study.crosscheck.sizes import Counts, Size

LATE = Size(2, 2, 2, stalls=True)
BROAD = [Size(2, 1, 2), LATE, Size(3, 2, 1), Size(3, 3, 1)]
"""Together they tell a wrong majority, quorum, pause and expiry from the right ones."""
FLAW = Size(3, 2, 2, stalls=True)


@pytest.fixture
def spin() -> None:
    _skip_without(programs.spin)


@pytest.fixture
def tlc() -> None:
    _skip_without(programs.tlc)


def _skip_without(find) -> None:
    try:
        find()
    except EnvironmentLacks as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("size", BROAD, ids=str)
def test_spin_finds_exactly_our_states_and_steps(spin: None, size: Size) -> None:
    assert by_spin.counts(size) == our_counts(size)


def test_tlc_finds_exactly_our_states_and_steps(tlc: None) -> None:
    assert by_tlc.counts(LATE) == our_counts(LATE)


def test_tlc_finds_as_many_states_up_to_names(tlc: None) -> None:
    ours = our_counts(LATE, renamed=True)
    assert ours is not None
    assert by_tlc.counts(LATE, symmetric=True).states == ours.states


def test_two_leaders_are_eleven_steps_away_for_spin_and_for_us(spin: None) -> None:
    assert by_spin.ways(FLAW) == our_ways(FLAW) == {"one-leader": 11, "elected": 4, "not-elected": 3}


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(programs.SPIN, "/nowhere/spin")
    with pytest.raises(EnvironmentLacks, match="no /nowhere/spin .*Debian: spin"):
        programs.spin()


def test_a_difference_of_one_is_a_disagreement() -> None:
    found = Comparison(Size(2, 2, 1), whole={"ours": Counts(382, 2218), "Spin": Counts(382, 2218)})
    assert found.agrees
    found.whole["TLC"] = Counts(382, 2219)
    assert not found.agrees
