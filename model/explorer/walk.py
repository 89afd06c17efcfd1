"""The product of parts said once more, in plain Python: to walk paths with names and words, and to check the search."""

from __future__ import annotations

from collections.abc import Iterator

from model.explorer.parts import Local, Model, Move, Pattern, Property, place
from model.explorer.paths import Exchange, Path, Step

State = tuple[Local, ...]


def guards(model: Model, state: State) -> int:
    """Guards of all parts."""
    joined = 0
    for part, local in enumerate(state):
        joined |= model.guards(part, local)
    return joined


def is_open(move: Move, joined: int) -> bool:
    """True when a move's masks allow it."""
    if move.without & joined or move.with_all & joined != move.with_all:
        return False
    return not move.with_any or move.with_any & joined != 0


def successors(model: Model, state: State) -> Iterator[tuple[int, Move, tuple, State]]:
    """All steps that change something.

    Yields
    ------
    tuple
        Who moves; the move; the answer of the receiver (empty if none); the state after it, simplified.
    """
    joined = guards(model, state)
    urgent = [part for part, local in enumerate(state) if model.is_urgent(part, local)][-1:]
    for part in urgent or range(len(state)):
        local = state[part]
        for move in model.moves(part, local):
            if not is_open(move, joined):
                continue
            after, answer = list(state), ()
            after[part] = move.after
            if move.to >= 0:
                got = model.receive(move.to, state[move.to], move.message)
                if got is None:
                    continue
                after[move.to], answer = got.after, got.answer
                back = model.receive(part, move.after, answer) if answer else None
                after[part] = back.after if back else move.after
            if tuple(after) != state:
                yield part, move, answer, simplified(model, tuple(after))


def simplified(model: Model, state: State) -> State:
    """Each part without what no other will read."""
    if not model.read_bits:
        return state
    reads = [model.reads(part, local) for part, local in enumerate(state)]
    dropped = []
    for part, local in enumerate(state):
        read = 0
        for other, mask in enumerate(reads):
            read |= mask if other != part else 0
        dropped.append(model.simplified(part, local, read))
    return tuple(dropped)


def under(model: Model, state: State, renaming: tuple[int, ...]) -> State:
    """The state under other names of the hosts."""
    return tuple(
        model.renamed(source, state[source], renaming)
        for source in (place(model, part, renaming) for part in range(len(state)))
    )


def are_alike(model: Model, one: State, other: State) -> bool:
    """True if the states differ by names of hosts only."""
    return any(under(model, one, renaming) == other for renaming in model.renamings)


def shows(model: Model, state: State, patterns: tuple[Pattern, ...]) -> bool:
    """True if any of the patterns holds."""
    joined = doubled = 0
    for part, local in enumerate(state):
        marks = model.marks(part, local)
        doubled |= joined & marks
        joined |= marks
    return any(pattern.shows(joined, doubled) for pattern in patterns)


def path_through(model: Model, way: list[State], property_: Property) -> Path:
    """The steps along states that are given up to names: everybody keeps his name.

    Raises
    ------
    AssertionError
        The states do not follow each other.
    """
    state = model.first
    assert are_alike(model, state, way[0]), "the way begins elsewhere"
    steps = []
    for target in way[1:]:
        part, move, answer, after = next(
            (found for found in successors(model, state) if are_alike(model, found[3], target)),
            (-1, None, (), state),
        )
        assert move is not None, "the way has a gap"
        steps.append(_step(model, state, part, move, answer, after))
        state = after
    verdict = "witness" if property_.kind == "sometimes" else "counterexample"
    return Path(model.title, property_.sentence, verdict, model.actors, tuple(steps))


def _step(model: Model, state: State, part: int, move: Move, answer: tuple, after: State) -> Step:
    exchanges = []
    if move.to >= 0:
        exchanges.append(Exchange(model.actors[part], model.actors[move.to], model.label(move.message)))
        if answer:
            exchanges.append(Exchange(model.actors[move.to], model.actors[part], model.label(answer)))
    notes = [
        (model.actors[who], note)
        for who in dict.fromkeys((part, move.to))
        if who >= 0 and (note := model.note(who, state[who], after[who]))
    ]
    return Step(model.actors[part], move.kind, model.say(part, state[part], move), tuple(exchanges), tuple(notes))
