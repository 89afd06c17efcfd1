"""The states of a model as a graph: for networkx, for Graphviz, and for pictures.

A search keeps no steps: it would need many times the memory. Here they are all kept, so this is for models of some
ten thousand states. Nodes carry the state in words, edges the step in words; state 0 is where everything begins.

`Walked` walks a model (`model.explorer.parts.Model`) interpreted and offers its states; `state_graph` takes these or
anything else that offers `edges` and `describe`. Whatever networkx knows of directed graphs can then be asked; what is
asked most is here: `condensation` (which states can be left for good, and where everything ends), `distances`,
`ancestors_of` (from where something is still possible), `dot`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import networkx as nx

from model.errors import UsageError
from model.explorer.parts import Local, Model
from model.explorer.walk import State, successors, under

Words = Callable[[Model, int, Local], str]
"""What a part's local state is in words: model, number of the part, local state."""


class Explored(Protocol):
    """States, numbered from 0, and steps between them."""

    def edges(self) -> Iterable[tuple[int, int, str]]:
        """Yield (source, target, what happens in words) of each step."""

    def describe(self, number: int) -> str:
        """A state in words."""


def changes(model: Model, part: int, local: Local) -> str:
    """What is no longer as it was in the beginning."""
    return model.note(part, model.first[part], local)


class Walked:
    """All states of a small model, walked in plain Python; states that differ by the hosts' names only are one.

    Parameters
    ----------
    model : Model
    max_states : int
        Refuse a model that has more.
    words : callable
        Of a local state; empty for what needs no words.

    Attributes
    ----------
    model : Model
    states : list of State
        In the order in which they are found: breadth first.

    Raises
    ------
    UsageError
        The model has more states.
    """

    def __init__(self, model: Model, max_states: int = 100_000, words: Words = changes) -> None:
        self.model, self._words = model, words
        self.states: list[State] = []
        self._number: dict[State, int] = {}
        self._edges: list[tuple[int, int, str]] = []
        self._file(model.first)
        waiting = deque([0])
        while waiting:
            known = len(self.states)
            self._expand(waiting.popleft())
            if len(self.states) > max_states:
                raise UsageError(f"{model.title}: more than {max_states} states are too many to keep every step")
            waiting.extend(range(known, len(self.states)))

    def _expand(self, number: int) -> None:
        state = self.states[number]
        for part, move, _, after in successors(self.model, state):
            self._edges.append((number, self._file(after), self.model.say(part, state[part], move)))

    def _file(self, state: State) -> int:
        """The number of a state, whatever the hosts are called."""
        named = min(under(self.model, state, renaming) for renaming in self.model.renamings)
        if named not in self._number:
            self._number[named] = len(self.states)
            self.states.append(named)
        return self._number[named]

    def edges(self) -> Iterator[tuple[int, int, str]]:
        """Steps that change something, with the names that the source is kept with."""
        return iter(self._edges)

    def describe(self, number: int) -> str:
        """What every part is doing; parts of which there is nothing to say are left out."""
        said = (
            (actor, self._words(self.model, part, local))
            for part, (actor, local) in enumerate(zip(self.model.actors, self.states[number], strict=True))
        )
        return "; ".join(f"{actor}: {words}" for actor, words in said if words) or "nothing has happened"


def state_graph(explored: Explored) -> nx.MultiDiGraph:
    """The graph: nodes with `words`, edges with `label`; one edge for each step, so some are parallel."""
    graph = nx.MultiDiGraph()
    graph.add_node(0)
    for source, target, label in explored.edges():
        graph.add_edge(source, target, label=label)
    for number, node in graph.nodes.items():
        node["words"] = explored.describe(number)
    return graph


def condensation(graph: nx.MultiDiGraph) -> nx.DiGraph:
    """The components: sets of states that lead to each other, so that the graph of them has no cycles.

    Returns
    -------
    DiGraph
        Each node has `members` (set of states), `size`, and `is_final`: no step leads out. Each edge has `steps`, how
        many lead from the one to the other. The graph has `mapping`, the component of each state.
    """
    made = nx.condensation(graph)
    for number, node in made.nodes.items():
        node["size"], node["is_final"] = len(node["members"]), made.out_degree(number) == 0
    nx.set_edge_attributes(made, 0, "steps")
    component = made.graph["mapping"]
    for source, target in graph.edges():
        if component[source] != component[target]:
            made.edges[component[source], component[target]]["steps"] += 1
    return made


def distances(graph: nx.MultiDiGraph, source: int = 0) -> dict[int, int]:
    """Fewest steps from a state to each one that can be reached from it."""
    return dict(nx.single_source_shortest_path_length(graph, source))


def ancestors_of(graph: nx.MultiDiGraph, targets: Iterable[int]) -> set[int]:
    """States from which any of these can be reached, themselves included."""
    found = set(targets)
    waiting = list(found)
    while waiting:
        new = set(graph.predecessors(waiting.pop())) - found
        found |= new
        waiting.extend(new)
    return found


def dot(graph: nx.Graph, name: str = "states") -> str:
    """The graph in Graphviz's language.

    Attributes of nodes and edges that are text or numbers are kept. What a picture shows as a node's text is its
    `words`, else its `size` and number.
    """
    lines = [f"digraph {_quoted(name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    for number, node in graph.nodes.items():
        label = node.get("words") or (f"{number}: {node['size']} states" if "size" in node else str(number))
        lines.append(f"  {number} [{_attributes({**node, 'label': label})}];")
    for source, target, edge in graph.edges(data=True):
        lines.append(f"  {source} -> {target} [{_attributes(edge)}];")
    return "\n".join([*lines, "}"]) + "\n"


def _attributes(values: dict[str, Any]) -> str:
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{name}={_quoted(str(value))}" for name, value in plain.items())


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
