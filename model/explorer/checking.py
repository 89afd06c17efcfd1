"""All properties of a model, decided in one search."""

from __future__ import annotations

from model.explorer.exploration import Progress, Result, Search
from model.explorer.liveness import Ending, Endings
from model.explorer.parts import Model, Property
from model.explorer.paths import Path
from model.explorer.verdicts import Verdict


def verdicts_of(search: Search) -> list[Verdict]:
    """The verdict on each property, as far as the search has come; *eventually* only when it is finished."""
    result = search.result()
    found = [_plain(each, result) for each in search.model.properties if each.kind != "eventually"]
    asked = [each for each in search.model.properties if each.kind == "eventually"]
    if asked and result.finished:
        endings = Endings(search)
        for each in asked:
            ending = endings.of(each)
            found.append(_verdict(each, result, ending.holds, _condition(ending), ending.path))
    order = [each.key for each in search.model.properties]
    return sorted(found, key=lambda verdict: order.index(verdict.key))


def check(model: Model, max_states: int = 20_000_000, progress: Progress | None = None) -> list[Verdict]:
    """Visit all states of a model and decide its properties."""
    search = Search(model, goes_on=True)
    search.run(max_states, progress)
    return verdicts_of(search)


def _plain(each: Property, result: Result) -> Verdict:
    """*always* holds when nothing shows, *sometimes* when something does."""
    shows = each.key in result.violations or each.key in result.witnesses
    return _verdict(each, result, shows == (each.kind == "sometimes"), "", result.paths.get(each.key))


def _verdict(each: Property, result: Result, holds: bool, condition: str, path: Path | None) -> Verdict:
    return Verdict(
        each.key, each.kind, each.sentence, each.source, holds, condition, result.states, result.transitions,
        result.finished, path,
    )  # fmt: skip


def _condition(ending: Ending) -> str:
    """What a reader must know besides yes or no."""
    parts = []
    if ending.can_be_put_off:
        parts.append("every step that is possible again and again is taken at last")
    if ending.at_bound:
        parts.append(f"{ending.at_bound} states at the highest epoch decide nothing")
    return "; ".join(parts)
