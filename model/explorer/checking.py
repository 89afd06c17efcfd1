"""All properties of a model, decided in one search."""

from __future__ import annotations

from model.explorer.exploration import Progress, Result, Search
from model.explorer.liveness import Ending, check_ending
from model.explorer.parts import Model, Property
from model.explorer.verdicts import Verdict


def verdicts_of(search: Search) -> list[Verdict]:
    """The verdict on each property, as far as the search has come; *eventually* only when it is finished."""
    result = search.result()
    found = []
    for each in search.model.properties:
        if each.kind != "eventually":
            found.append(_plain(each, result))
        elif result.finished:
            ending = check_ending(search, each, search.model.bound)
            found.append(_verdict(each, result, ending.holds, _condition(ending), ending.path))
    return found


def check(model: Model, max_states: int = 20_000_000, progress: Progress | None = None) -> list[Verdict]:
    """Visit all states of a model and decide its properties."""
    search = Search(model, goes_on=True)
    search.run(max_states, progress)
    return verdicts_of(search)


def _plain(each: Property, result: Result) -> Verdict:
    """*always* holds when nothing shows, *sometimes* when something does."""
    shows = each.key in result.violations or each.key in result.witnesses
    return _verdict(each, result, shows == (each.kind == "sometimes"), "", result.paths.get(each.key))


def _verdict(each: Property, result: Result, holds: bool, condition: str, path: object) -> Verdict:
    return Verdict(
        each.key, each.kind, each.sentence, each.source, holds, condition, result.states, result.transitions,
        result.finished, path,  # type: ignore[arg-type]
    )  # fmt: skip


def _condition(ending: Ending) -> str:
    """What a reader must know besides yes or no."""
    parts = []
    if ending.can_be_put_off:
        parts.append("every step that is possible again and again is taken at last")
    if ending.at_bound:
        parts.append(f"{ending.at_bound} states at the highest epoch decide nothing")
    return "; ".join(parts)
