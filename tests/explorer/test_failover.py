"""All states of failovers with one fault: what holds, what does not, and what can be seen."""

from __future__ import annotations

import random

import pytest

from model.errors import UsageError
from model.explorer import Failover, explore
from model.explorer.walk import State, successors, under

SEED = 20261123


def test_what_can_happen_when_a_host_is_lost() -> None:
    result = explore(Failover(epochs=1, kinds=("host",)), goes_on=True)
    assert (result.finished, result.states, result.violations) == (True, 30_342, {})
    assert result.witnesses == {"fails-over": 10, "two-writable": 11}


def test_with_a_quorum_of_all_the_loss_of_a_host_is_never_agreed_on() -> None:
    """The deployment guide: "the election process will never be initiated"."""
    lost = explore(Failover(quorum=3, epochs=1, kinds=("host",), restarts=False), goes_on=True)
    assert (lost.finished, lost.witnesses) == (True, {})


def test_with_a_quorum_of_all_the_death_of_the_process_alone_is() -> None:
    killed = explore(Failover(quorum=3, epochs=1, kinds=("server",), restarts=False), goes_on=True)
    assert (killed.finished, killed.witnesses) == (True, {"fails-over": 12})


def test_a_minority_of_sentinels_never_fails_over() -> None:
    """Two of three sentinels are killed, and then the server: nobody is elected."""
    alone = explore(Failover(epochs=1, faults=3, kinds=("sentinel", "server"), restarts=False), 3_000_000, goes_on=True)
    assert alone.violations == {}


def test_data_is_lost_with_a_server_that_restarts_empty_before_it_is_missed() -> None:
    result = explore(Failover(epochs=1, kinds=("server",), keeps_data=False))
    assert result.violation == "data-survives"
    assert [step.text for step in result.paths["data-survives"].steps][:2] == [
        "server 1 is killed",
        "server 1 starts again",
    ]


def _walk(model: Failover, steps: int) -> list[State]:
    chance, walked = random.Random(SEED), [model.first]
    for _ in range(steps):
        found = [after for _, _, _, after in successors(model, walked[-1])]
        walked.append(chance.choice(found) if found else model.first)
    return walked


def test_states_that_differ_by_names_only_lead_to_states_that_do() -> None:
    model = Failover(epochs=2, faults=2)
    for state in _walk(model, 200)[::10]:
        led_to = {
            frozenset(
                min(under(model, after, each) for each in model.renamings)
                for _, _, _, after in successors(model, under(model, state, renaming))
            )
            for renaming in model.renamings
        }
        assert len(led_to) == 1, f"seed {SEED}"


def test_what_is_kept_of_a_sentinel_is_what_is_put_back() -> None:
    model = Failover(epochs=2, faults=2)
    sentinels = model._rows[0]
    locals_ = {(part, state[part]) for state in _walk(model, 300) for part in range(3) if state[part].process}
    assert len(locals_) > 50
    for part, local in locals_:
        assert sentinels._after(part, local, lambda node: None) == local, f"seed {SEED}"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sentinels": 6}, "2 to 5 sentinels"),
        ({"epochs": 5}, "1 to 4 epochs"),
        ({"kinds": ("fire",)}, "no such fault: fire"),
        ({"sentinels": 5, "epochs": 4}, "at most 3 epochs"),
    ],
)
def test_more_than_there_is_room_for_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Failover(**wrong)
