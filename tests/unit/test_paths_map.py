"""The graph of all states, and the drawn map of an election: counts, what can come of a state, and its folding."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import networkx as nx
import pytest

from model import sentinel
from model.errors import UsageError
from model.explorer.election import Election, Voter
from model.explorer.graph import Walked, ancestors_of, condensation, distances, dot, state_graph
from study.paths.map import ASKS, ELECTED, LOST, OPEN, WON, Seat, draw, fold


@pytest.fixture(scope="module")
def walked() -> Walked:
    return Walked(Election(3, 2, 1))


class Ring:
    """0 -> 1 <-> 2 -> 3, by two ways into 3."""

    def edges(self):
        return [(0, 1, "begins"), (1, 2, "goes"), (2, 1, "returns"), (2, 3, 'ends "well"'), (2, 3, "ends badly")]

    def describe(self, number: int) -> str:
        return f"state {number}"


def test_a_graph_has_words_labels_and_parallel_steps() -> None:
    graph = state_graph(Ring())
    assert [node["words"] for _, node in sorted(graph.nodes.items())] == [f"state {number}" for number in range(4)]
    assert {edge["label"] for edge in graph.get_edge_data(2, 3).values()} == {'ends "well"', "ends badly"}


def test_condensation_says_sizes_steps_and_where_everything_ends() -> None:
    parts = condensation(state_graph(Ring()))
    of = parts.graph["mapping"]
    assert of[1] == of[2]
    assert {tuple(node["members"]): (node["size"], node["is_final"]) for _, node in parts.nodes.items()} == {
        (0,): (1, False), (1, 2): (2, False), (3,): (1, True),
    }  # fmt: skip
    assert parts.edges[of[2], of[3]]["steps"] == 2


def test_distances_and_ancestors() -> None:
    graph = state_graph(Ring())
    assert distances(graph) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert distances(graph, 2) == {2: 0, 1: 1, 3: 1}
    assert ancestors_of(graph, [1]) == {0, 1, 2}


def test_dot_quotes_what_it_must() -> None:
    text = dot(state_graph(Ring()))
    assert text.startswith('digraph "states" {')
    assert r'2 -> 3 [label="ends \"well\""];' in text
    assert '1 [words="state 1", label="state 1"];' in text
    assert "2 states" in dot(condensation(state_graph(Ring())))


def test_the_states_are_those_of_the_search(walked: Walked) -> None:
    """1,936 states and 13 steps to the farthest: what the search says (`model.explorer.election`)."""
    graph = state_graph(walked)
    assert len(walked.states) == 1_936
    assert max(distances(graph).values()) == 13
    assert walked.describe(0) == "nothing has happened"
    assert "starts an attempt in epoch 1" in walked.describe(1)
    ends = condensation(graph)
    assert sum(node["size"] for node in ends.nodes.values()) == 1_936
    assert nx.is_directed_acyclic_graph(ends)


def test_too_large_a_model_is_refused() -> None:
    with pytest.raises(UsageError, match="more than 100 states"):
        Walked(Election(3, 2, 1), max_states=100)


def test_the_map_folds_all_states_and_each_arrow_leads_one_column_on(walked: Walked) -> None:
    made = fold(walked)
    assert (len(made.pictures), len(made.arrows), made.states) == (61, 121, 1_936)
    assert sum((each.outcomes for each in made.pictures.values()), Counter()) == {OPEN: 1_416, WON: 184, LOST: 336}
    assert sum(each.states for each in made.pictures.values()) == 1_936
    assert max(each.column for each in made.pictures.values()) == 6
    places = {(each.column, each.row) for each in made.pictures.values()}
    assert len(places) == 61


def test_won_is_as_many_as_are_elected_and_a_split_vote_is_lost(walked: Walked) -> None:
    made = fold(walked)
    elected = sum(any(Voter(*local).state == sentinel.SELECT for local in state) for state in walked.states)
    assert elected == 184
    split = next(each for each in made.pictures.values() if {seat.role for seat in each.course} == {ASKS}
                 and sorted(seat.vote for seat in each.course) == [1, 2, 3])  # fmt: skip
    assert set(split.outcomes) == {LOST}
    for course in made.pictures:
        for number, seat in enumerate(course, start=1):
            votes = sum(each.vote == number for each in course)
            assert seat.role != ELECTED or votes >= 2, course
    assert Seat(ELECTED, 0) not in {seat for course in made.pictures for seat in course}


def test_the_drawn_map_shows_every_picture_and_arrow_with_its_count(walked: Walked) -> None:
    made = fold(walked)
    root = ElementTree.fromstring(draw(made))
    tips = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert sum(tip.endswith(" states)") for tip in tips) == 61
    assert sorted(int(tip.split()[0]) for tip in tips if tip.endswith(" steps")) == sorted(made.arrows.values())
    assert "61 pictures of 1,936 states" in root.find("{http://www.w3.org/2000/svg}desc").text


def test_a_map_of_several_epochs_is_refused() -> None:
    with pytest.raises(UsageError, match="one epoch"):
        fold(Walked(Election(2, 2, 2)))
