"""What the report on proofs explores: models by name, what a search of each finds, and how that is kept.

Nothing here depends on chance. `SEARCHES` says what is searched in which order and up to which number of states; `look`
searches and gives plain data (`Found`), its paths included, so that a report can be made again from a file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from model.explorer import Election, Failover, Search
from model.explorer.checking import verdicts_of
from model.explorer.exploration import Progress
from model.explorer.parts import Model
from model.explorer.paths import Exchange, Path, Step
from model.explorer.verdicts import Verdict

MOST = 12_000_000
"""States of a search at most: it is not finished then, and says so. Kind: assumed (half a minute of a core)."""

MOST_OF_FIVE = 5_000_000
"""The same for elections of five sentinels, whose names have 120 orders. Kind: assumed (a minute and a half)."""

MOST_OF_ALL = 100_000_000
"""The same for the one large search: 6 GiB. Kind: assumed."""

FLAW = "two servers killed, two epochs"
"""The large search, which ends at the first violation."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model and how it is searched.

    Attributes
    ----------
    name : str
        In a few words, for tables and files.
    model : callable
    most : int
        States at most.
    goes_on : bool
        A violation does not end the search.
    """

    name: str
    model: Callable[[], Model]
    most: int = MOST
    goes_on: bool = True


@dataclass(slots=True)
class Found:
    """What came of a search: plain data.

    Attributes
    ----------
    name, title : str
        Of the case, and the model with its bounds.
    finished : bool
    states, transitions, depth, frontier : int
        As in `model.explorer.Result`.
    seconds, bytes_per_state : float
        Processor time of the search alone; memory of its arrays, room for growth included.
    verdicts : list of dict
        `key`, `kind`, `sentence`, `source`, `verdict` (in words), `steps`, `condition`.
    paths : dict
        By property.
    """

    name: str
    title: str
    finished: bool
    states: int
    transitions: int
    depth: int
    frontier: int
    seconds: float
    bytes_per_state: float
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    paths: dict[str, dict[str, Any]] = field(default_factory=dict)


def _failover(name: str, *kinds: str, **bounds: Any) -> Case:
    given: dict[str, Any] = {"faults": 1, "epochs": 1, **bounds}
    return Case(name, lambda: Failover(kinds=kinds, **given))


def _election(name: str, *bounds: int, stalls: bool = False, most: int = MOST) -> Case:
    return Case(name, lambda: Election(*bounds, stalls=stalls), most)


def _pairs() -> Iterator[Case]:
    """Two faults: of one kind, and of two."""
    for kind in ("server", "host", "cut", "freeze"):
        yield _failover(f"two faults: {kind}", kind, faults=2)
    for one, other in (("server", "host"), ("server", "cut"), ("server", "sentinel"), ("server", "tilt"),
                       ("server", "delay"), ("host", "cut"), ("host", "sentinel")):  # fmt: skip
        yield _failover(f"two faults: {one}, {other}", one, other, faults=2)


ELECTIONS = (
    _election("election, 1 epoch", 3, 2, 1),
    *(_election(f"election, {epochs} epochs", 3, 2, epochs) for epochs in (2, 3)),
    *(_election(f"election, {epochs} epochs, all may be late", 3, 2, epochs, stalls=True) for epochs in (2, 3)),
    _election("election of 4, 1 epoch", 4, 2, 1),
    _election("election of 5, 1 epoch", 5, 2, 1, most=MOST_OF_FIVE),
)
"""Three sentinels to the end, five as far as it goes."""

ONE_FAULT = (
    *(_failover(f"one fault: {kind}", kind) for kind in ("server", "host", "cut", "freeze")),
    _failover("one fault: any", "server", "sentinel", "host", "cut", "freeze", "tilt", "delay"),
    _failover("one fault: host, two epochs", "host", epochs=2),
    _failover("server restarts empty", "server", keeps_data=False),
    _failover("host returns empty", "host", keeps_data=False),
)

NOTHING_RETURNS = (
    _failover("for good: server", "server", restarts=False),
    _failover("for good: host", "host", restarts=False),
    _failover("for good: frozen server", "freeze", restarts=False),
    _failover("for good: two hosts", "host", faults=2, restarts=False),
    _failover("for good: two servers", "server", faults=2, restarts=False),
    _failover("for good: sentinel and server", "server", "sentinel", faults=2, restarts=False),
)
"""What has failed is lost: where does the cluster take writes all the same?"""

QUORUMS = (
    _failover("quorum 3: host, for good", "host", quorum=3, restarts=False),
    _failover("quorum 3: host", "host", quorum=3),
    _failover("quorum 3: server, for good", "server", quorum=3, restarts=False),
    _failover("quorum 1: server", "server", quorum=1),
    _failover("quorum 1: host, for good", "host", quorum=1, restarts=False),
)

SEARCHES = (*ELECTIONS, *ONE_FAULT, *NOTHING_RETURNS, *QUORUMS, *_pairs())
"""All but the large one."""

LARGE = Case(FLAW, lambda: Failover(epochs=2, faults=2, kinds=("server",)), MOST_OF_ALL, goes_on=False)


def look(case: Case, progress: Progress | None = None) -> Found:
    """Search, and decide what can be decided."""
    model = case.model()
    search, before = Search(model, goes_on=case.goes_on), time.process_time()
    search.run(case.most, progress)
    seconds = time.process_time() - before
    used = search.states.nbytes + search.parent.nbytes + search.table.nbytes
    result = search.result()
    verdicts = verdicts_of(search)
    return Found(
        case.name, result.title, result.finished, result.states, result.transitions, result.depth, result.frontier,
        round(seconds, 2), round(used / result.states, 1), [_told(each) for each in verdicts],
        {each.key: asdict(each.path) for each in verdicts if each.path},
    )  # fmt: skip


def _told(verdict: Verdict) -> dict[str, Any]:
    steps = len(verdict.path.steps) if verdict.path else None
    return {"key": verdict.key, "kind": verdict.kind, "sentence": verdict.sentence, "source": verdict.source,
            "verdict": word_of(verdict), "steps": steps, "condition": verdict.condition}  # fmt: skip


def word_of(verdict: Verdict) -> str:
    """The verdict in a word or three; an *always* without a counterexample holds only when all states were visited."""
    if verdict.kind == "sometimes" and verdict.holds:
        return "seen"
    if verdict.kind != "sometimes" and not verdict.holds:
        return "does not hold"
    if not verdict.finished:
        return "undecided"
    return "never seen" if verdict.kind == "sometimes" else "holds"


def path_of(data: dict[str, Any]) -> Path:
    """A path that was kept as plain data."""
    steps = tuple(
        Step(each["actor"], each["kind"], each["text"], tuple(Exchange(**told) for told in each["exchanges"]),
             tuple((actor, note) for actor, note in each["notes"]))
        for each in data["steps"]
    )  # fmt: skip
    return Path(data["model"], data["sentence"], data["verdict"], tuple(data["actors"]), steps, data["loop"])
