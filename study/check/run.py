"""Searches one after the other; an interrupt ends the one that is going on between two of its steps.

What is found is JSON: ``searches`` with their sizes, ``properties`` with their verdicts, paths beside it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path as File
from typing import Any

from model.errors import UsageError
from model.explorer.checking import verdicts_of
from model.explorer.exploration import Search
from model.explorer.paths import Path
from model.explorer.verdicts import Verdict
from study.check import SCHEMA
from study.check.options import Asked
from study.check.plan import Chosen, Job, Timed, jobs
from study.exits import ExitCode

Progress = Callable[[float, str], None]

HOLDS, FAILS, SEEN, NEVER_SEEN, UNDECIDED = "holds", "does not hold", "seen", "never seen", "undecided"


@dataclass
class Found:
    """What the searches have found.

    Attributes
    ----------
    data : dict
        As JSON.
    paths : dict
        Counterexamples and witnesses, by name of the search and of the property.
    interrupted : bool
    """

    data: dict[str, Any]
    paths: dict[str, Path] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """A finding outweighs what is undecided."""
        verdicts = {row["verdict"] for row in self.data["properties"]}
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if verdicts & {FAILS, NEVER_SEEN}:
            return ExitCode.FINDING
        is_whole = all(each["finished"] for each in self.data["searches"])
        return ExitCode.OK if is_whole and UNDECIDED not in verdicts else ExitCode.UNDECIDED


def check(asked: Asked, progress: Progress) -> Found:
    """Search for all that was asked; after an interrupt, what was found until then.

    Parameters
    ----------
    asked : Asked
    progress : callable
        Called with the done fraction and a short text.
    """
    found = Found({
        "schema": SCHEMA, "sentinels": asked.sentinels, "quorum": asked.quorum, "interrupted": False,
        "searches": [], "properties": [],
    })  # fmt: skip
    todo = jobs(asked)
    try:
        for number, job in enumerate(todo):
            _run(job, asked, found, _share(progress, number, len(todo), job.name))
    except KeyboardInterrupt:
        found.interrupted = found.data["interrupted"] = True
    return found


def _share(progress: Progress, number: int, count: int, name: str) -> Callable[[int, int], None]:
    """Progress of one search among all, from its states and its frontier."""

    def show(states: int, frontier: int) -> None:
        progress((number + 1 - frontier / states) / count, f"{name}: {states:,} states, frontier {frontier:,}")

    show(1, 1)
    return show


def _run(job: Job, asked: Asked, found: Found, show: Callable[[int, int], None]) -> None:
    if isinstance(job, Timed):
        _add(found, job, asked, [job.decide(job.max_states)], _TITLES[job.part])
        return
    search = Search(job.model, goes_on=True)
    if asked.resume:
        _take_up(search, asked.resume)
    with _interrupts_between_steps() as is_interrupted:
        _search(search, job, show, is_interrupted)
        if asked.resume:
            search.save(asked.resume)
    _add(found, job, asked, _verdicts(search), job.model.title, search)
    if is_interrupted():
        raise KeyboardInterrupt


_TITLES = {
    "registrar": "registrar nodes, in time",
    "client": "SIP clients, in time",
    "detection": "detection, in time",
}


def _take_up(search: Search, file: File) -> None:
    """Go on with what a file holds; without one, make it, so that a place that refuses is known before hours of work.

    Raises
    ------
    UsageError
        The file holds something else, or cannot be made.
    """
    if file.exists():
        search.load(file)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        search.save(file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}\n\nhint: --resume FILE names another") from None


class _Noted(Exception):
    """An interrupt was noted, and the search has come to the end of a step."""


def _search(search: Search, job: Chosen, show: Callable[[int, int], None], is_interrupted: Callable[[], bool]) -> None:
    """Search until all is found, the limit is reached, or an interrupt was noted."""

    def between_steps(states: int, frontier: int) -> None:
        show(states, frontier)
        if is_interrupted():
            raise _Noted

    with suppress(_Noted):
        search.run(job.max_states, between_steps)


@contextmanager
def _interrupts_between_steps() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C is only noted, so that a search is never left half-way; a second one is as always."""
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set
        return

    def note(_number: int, _frame: Any) -> None:
        noted.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _verdicts(search: Search) -> list[Verdict]:
    """One for each property: what an unfinished search cannot say of endings is undecided."""
    known = {each.key: each for each in verdicts_of(search)}
    open_ = (search["states"], search["transitions"], False)
    return [
        known.get(each.key) or Verdict(each.key, each.kind, each.sentence, each.source, True, "", *open_)
        for each in search.model.properties
    ]


def _add(
    found: Found, job: Job, asked: Asked, verdicts: list[Verdict], title: str, search: Search | None = None
) -> None:
    verdict = verdicts[0]
    found.data["searches"].append({
        "part": job.part, "name": job.name, "title": title, "states": verdict.states,
        "transitions": verdict.transitions, "finished": verdict.finished,
        "depth": search["deepest"] if search else None,
        "frontier": search["states"] - search["expanded"] if search else None,
    })  # fmt: skip
    for each in verdicts:
        if asked.properties and each.key not in asked.properties:
            continue
        found.data["properties"].append(_row(job, each))
        if each.path:
            found.paths[_name(job, each.key)] = each.path


def _name(job: Job, key: str) -> str:
    """Of a path: searches in time have one property, and its name."""
    return f"{job.name}-{key}" if isinstance(job, Chosen) else key


def _row(job: Job, verdict: Verdict) -> dict[str, Any]:
    return {
        "search": job.name, "key": verdict.key, "kind": verdict.kind, "sentence": verdict.sentence,
        "source": verdict.source, "verdict": _word(verdict), "steps": len(verdict.path.steps) if verdict.path else None,
        "condition": verdict.condition, "states": verdict.states, "finished": verdict.finished,
        "path": asdict(verdict.path) if verdict.path else None,
    }  # fmt: skip


def _word(verdict: Verdict) -> str:
    """Something seen is decided at once; that there is nothing, only at the end."""
    is_sometimes = verdict.kind == "sometimes"
    if verdict.holds == is_sometimes:
        if is_sometimes or verdict.path or verdict.finished:
            return SEEN if is_sometimes else FAILS
    elif verdict.finished:
        return NEVER_SEEN if is_sometimes else HOLDS
    return UNDECIDED
