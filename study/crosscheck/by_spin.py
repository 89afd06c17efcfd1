"""The election in Promela, searched by Spin."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import model.explorer
from study.crosscheck import programs
from study.crosscheck.programs import Done
from study.crosscheck.sizes import Counts, Size, Ways

SOURCE = Path(model.explorer.__file__).parent / "promela" / "election.pml"
WHOLE = ("-DSAFETY", "-DNOREDUCE")
"""Flags of the exhaustive search: no acceptance cycles, no partial-order reduction."""


def counts(size: Size, flags: tuple[str, ...] = WHOLE, deepest: int = 1_000_000, hash_bits: int = 20) -> Counts:
    """All states, by depth-first search; assertions are not looked at."""
    done = _search(size, ("-O2", *flags), (), ("-A", f"-m{deepest}", f"-w{hash_bits}"))
    assert "max search depth too small" not in done.text, done.text
    states, transitions = _number(r"(\d+) states, stored", done), _number(r"(\d+) transitions", done)
    table_mb = float(re.findall(r"([\d.]+)\s+actual memory usage for states", done.text)[0]) if states else 0.0
    # The first state is no step's result, but Spin counts it as one.
    return Counts(states, transitions - 1, done.wall_s, done.cpu_s, done.peak_bytes, round(table_mb * 2**20))


def ways(size: Size) -> Ways:
    """Shortest paths, by breadth-first search that ends at the first assertion that fails."""
    found = {}
    for key, sought in (("", ()), ("elected", ("-DSEEK_LEADER",)), ("not-elected", ("-DSEEK_FAILURE",))):
        text = _search(size, ("-O1", *WHOLE, "-DBFS"), sought, ()).text
        violated = re.search(r"assertion violated (.*) \(at depth (\d+)\)", text)
        if violated:
            found[key or ("one-vote" if "cast" in violated[1] else "one-leader")] = int(violated[2]) + 1
        else:
            assert "errors: 0" in text, text
    return found


def _search(size: Size, flags: tuple[str, ...], sought: tuple[str, ...], options: tuple[str, ...]) -> Done:
    """Let Spin write a search in C, compile it, run it."""
    spin, cc = programs.spin()
    sizes = (f"-DN={size.sentinels}", f"-DQUORUM={size.quorum}", f"-DEPOCHS={size.epochs}")
    with tempfile.TemporaryDirectory(prefix="hastudy-spin-") as name:
        folder = Path(name)
        written = programs.run((spin, *sizes, f"-DSTALLS={int(size.stalls)}", *sought, "-a", str(SOURCE)), folder)
        assert (folder / "pan.c").exists(), written.text
        compiled = programs.run((cc, "-w", *flags, "-o", "pan", "pan.c"), folder)
        assert (folder / "pan").exists(), compiled.text
        return programs.run(("./pan", *options), folder)


def _number(pattern: str, done: Done) -> int:
    found = re.search(pattern, done.text)
    assert found, done.text
    return int(found[1])
