"""The compiled search is the product of parts that `model.explorer.walk` says in plain Python."""

from __future__ import annotations

from pathlib import Path as File

import numpy as np
import pytest

from model.errors import UsageError
from model.explorer import Election, Failover, Search
from model.explorer.checking import verdicts_of
from model.explorer.liveness import Endings
from model.explorer.parts import Model, Pattern, Property
from model.explorer.walk import State, shows, successors, under

MODELS = {
    "election": lambda: Election(2, 2, 2, stalls=True),
    "whole election": lambda: Election(2, 2, 1, reduced=False),
    "failover": lambda: Failover(2, 1, 1, 1, ("server", "cut", "delay")),
}


def _searched(model: Model, checks: bool = False) -> Search:
    search = Search(model, goes_on=True, checks=checks)
    search.run(1_000_000)
    return search


def _smallest(model: Model, state: State) -> State:
    return min(under(model, state, renaming) for renaming in model.renamings)


def _layers(model: Model) -> list[set[State]]:
    """States by their distance, by a search of its own."""
    layers = [{_smallest(model, model.first)}]
    known = set(layers[0])
    while layers[-1]:
        after = {_smallest(model, found) for state in layers[-1] for _, _, _, found in successors(model, state)}
        layers.append(after - known)
        known |= after
    return layers[:-1]


@pytest.mark.parametrize("name", MODELS)
def test_compiled_and_plain_search_find_the_same_states_at_the_same_distances(name: str) -> None:
    model = MODELS[name]()
    search, layers = _searched(model, checks=True), _layers(model)
    assert search["states"] == sum(map(len, layers))
    assert search["deepest"] == len(layers) - 1
    found = [_smallest(model, search.locals_of(number)) for number in range(search["states"])]
    at = 0
    for layer in layers:
        assert set(found[at : at + len(layer)]) == layer
        at += len(layer)


@pytest.mark.parametrize("name", MODELS)
def test_listed_steps_are_those_of_the_plain_search(name: str) -> None:
    model = MODELS[name]()
    search = _searched(model)
    number = {_smallest(model, search.locals_of(each)): each for each in range(search["states"])}
    starts, targets = search.edges()
    assert len(starts) == search["states"] + 1
    for each in range(0, search["states"], 1 + search["states"] // 300):
        after = successors(model, search.locals_of(each))
        expected = {number[_smallest(model, found)] for _, _, _, found in after}
        listed = targets[starts[each] : starts[each + 1]]
        assert set(listed.tolist()) == expected


@pytest.mark.parametrize("name", MODELS)
def test_marks_are_noted_where_they_show_first(name: str) -> None:
    model = MODELS[name]()
    search = _searched(model)
    states = [search.locals_of(number) for number in range(search["states"])]
    for number, each in enumerate(model.properties):
        if each.kind != "eventually":
            first = next((at for at, state in enumerate(states) if shows(model, state, each.patterns)), None)
            seen = bool(search["seen"] >> number & 1)
            assert seen == (first is not None)
            assert not seen or search["seen_at"][number] == first


def test_a_search_goes_on_where_it_was_saved(tmp_path: File) -> None:
    model, file = Election(3, 2, 2), tmp_path / "search"
    half = Search(model)
    half.run(5_000)
    half.save(file)
    rest = Search(model)
    rest.load(file)
    rest.run(1_000_000)
    whole = _searched(model)
    assert rest.is_finished
    assert rest["transitions"] == whole["transitions"]
    assert np.array_equal(rest.rows(), whole.rows())


def test_a_saved_search_of_another_model_is_refused(tmp_path: File) -> None:
    half, file = Search(Election(2, 2, 1)), tmp_path / "search"
    half.save(file)
    with pytest.raises(UsageError, match="wanted: election of 3 sentinels"):
        Search(Election(3, 2, 1)).load(file)


def test_a_promise_that_is_not_kept_comes_with_its_way_round() -> None:
    """Nobody is elected for ever: after one, nothing is left to do; and unfair runs can put an election off."""
    search = _searched(Election(2, 2, 1))
    elected = next(each for each in search.model.properties if each.key == "elected")
    never = Property(
        "never", "eventually", "nobody is ever elected", "made up", (Pattern(none_of=elected.patterns[0].all_of),)
    )
    ending = Endings(search).of(never)
    assert not ending.holds
    assert ending.bad > 0
    assert ending.path is not None
    assert ending.path.steps[-1].notes[-1][1] == "elected for epoch 1"


def test_nothing_is_said_of_endings_before_all_states_are_visited() -> None:
    search = Search(Failover(3, 2, 1, 1, ("host",)))
    search.run(5_000)
    assert not search.is_finished
    assert [each.key for each in verdicts_of(search) if each.kind == "eventually"] == []
    with pytest.raises(ValueError, match="not all states were visited"):
        Endings(search)
