"""The project's own search, as the others are compared with it: nothing merged that they do not merge."""

from __future__ import annotations

import time
from itertools import permutations

from model.explorer.election import Election
from model.explorer.exploration import Search, explore
from study.crosscheck.sizes import Counts, Size, Ways


def our_counts(size: Size, renamed: bool = False, most: int = 100_000_000) -> Counts | None:
    """All states, nothing left out; None with more than `most`.

    Parameters
    ----------
    size : Size
    renamed : bool
        States that differ only by the sentinels' names are one.
    most : int
        Limit of states.
    """
    model = Election(size.sentinels, size.quorum, size.epochs, size.stalls, reduced=False)
    if renamed:
        model.renamings = tuple(permutations(range(size.sentinels)))
    before_s, before_cpu_s = time.monotonic(), time.process_time()
    search = Search(model, goes_on=True)
    search.run(most)
    wall_s, cpu_s = time.monotonic() - before_s, time.process_time() - before_cpu_s
    if not search.is_finished:
        return None
    # The search's arrays as they are, room for growth included.
    table_bytes = search.states.nbytes + search.parent.nbytes + search.table.nbytes
    return Counts(search["states"], search["transitions"], wall_s, cpu_s, 0, table_bytes)


def our_ways(size: Size) -> Ways:
    """Shortest paths; merging states changes none of their lengths."""
    found = explore(Election(size.sentinels, size.quorum, size.epochs, size.stalls), goes_on=True)
    return {**found.violations, **found.witnesses}
