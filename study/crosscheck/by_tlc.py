"""The election in TLA+, searched by TLC."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import model.explorer
from study.crosscheck import programs
from study.crosscheck.programs import Done
from study.crosscheck.sizes import ALWAYS, Counts, Size, Ways

SOURCE = Path(model.explorer.__file__).parent / "tla" / "SentinelElection.tla"
_INVARIANTS = {
    "one-vote": "OneVotePerEpoch",
    "one-leader": "OneLeaderPerEpoch",
    "elected": "NobodyIsElected",
    "not-elected": "NoAttemptFails",
}


def counts(size: Size, symmetric: bool = False, workers: int = 1) -> Counts:
    """All states, violations or not."""
    done = _search(size, ALWAYS, symmetric, workers, "-continue")
    # The last such line; those before it tell of progress.
    found = re.findall(r"^(\d+) states generated, (\d+) distinct states found, 0 states left", done.text, re.MULTILINE)
    assert found, done.text
    generated, states = map(int, found[-1])
    return Counts(states, generated - 1, done.wall_s, done.cpu_s, done.peak_bytes)


def ways(size: Size) -> Ways:
    """Shortest paths, by breadth-first search that ends at the first invariant that fails."""
    found = {}
    for sought in (ALWAYS, ("elected",), ("not-elected",)):
        text = _search(size, sought, symmetric=True, workers=1).text
        violated = re.search(r"Invariant (\w+) is violated", text)
        if violated:
            key = next(key for key, name in _INVARIANTS.items() if name == violated[1])
            found[key] = len(re.findall(r"^State \d+:", text, re.MULTILINE)) - 1
        else:
            assert "No error has been found" in text, text
    return found


def configuration(size: Size, sought: tuple[str, ...], symmetric: bool) -> str:
    """What TLC is told. With symmetry the sentinels are names without order, so of equals any may be first."""
    names = ", ".join(f"{'s' if symmetric else ''}{number + 1}" for number in range(size.sentinels))
    return "\n".join(
        (
            "SPECIFICATION Spec",
            f"CONSTANTS Sentinel = {{{names}}} Quorum = {size.quorum} MaxEpoch = {size.epochs} None = None",
            f"Stalls = {str(size.stalls).upper()} AnyOrder = {str(symmetric).upper()}",
            "SYMMETRY Symmetry" if symmetric else "",
            "INVARIANTS " + " ".join(_INVARIANTS[key] for key in sought),
        )
    )


def _search(size: Size, sought: tuple[str, ...], symmetric: bool, workers: int, *options: str) -> Done:
    java, jar = programs.tlc()
    with tempfile.TemporaryDirectory(prefix="hastudy-tlc-") as name:
        folder = Path(name)
        shutil.copy(SOURCE, folder)
        (folder / "size.cfg").write_text(configuration(size, sought, symmetric))
        command = (java, "-XX:+UseParallelGC", "-cp", jar, "tlc2.TLC", "-workers", str(workers), *options)
        return programs.run((*command, "-config", "size.cfg", SOURCE.name), folder)
