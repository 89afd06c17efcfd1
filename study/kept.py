"""Whole simulated runs that stay in a folder: advice that was interrupted goes on where it was.

`tune` and `availability` ask for many small batches of runs, each of another scenario. With ``--out`` each batch that
is done is a file there, named by a digest of all that it depends on, source included; the same command finds it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from model.scenario import Scenario
from sim import batch
from study.blocks import whole_file

_folder: Path | None = None


@contextmanager
def kept_in(folder: Path | None) -> Iterator[None]:
    """Keep all that `outcomes` simulates meanwhile, on any thread, in this folder; None: keep nothing."""
    global _folder
    before, _folder = _folder, folder
    try:
        yield
    finally:
        _folder = before


def outcomes(scenario: Scenario, seed: int, first: int, count: int) -> np.ndarray:
    """`sim.batch.outcomes` of whole runs, from the folder of `kept_in` if they are there."""
    if _folder is None:
        return batch.outcomes(scenario, seed, first, count)
    told = f"{scenario.digest} {seed} {first} {count} {batch.fingerprint()}"
    path = _folder / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as data:
            return data["runs"]
    found = batch.outcomes(scenario, seed, first, count)
    _folder.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        np.savez_compressed(file, runs=found)
    return found
