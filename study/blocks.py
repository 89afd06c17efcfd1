"""Finished blocks of a sweep in files: Parquet where pyarrow is installed, else NumPy's ``.npz``.

One file a block, not one for a setting: a file is there as a whole or not at all, whatever happens meanwhile, and a
folder of Parquet files is what other programs read as one table.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sim.outcome_records import ABSENT


class Store:
    """A folder for each setting, a file for each block.

    Parameters
    ----------
    folder : Path or None
        None: a temporary one, gone with this object.
    """

    def __init__(self, folder: Path | None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="hastudy-sweep-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary else Path(folder or ".")

    def has(self, digest: str, first: int, count: int) -> bool:
        """True when a block of exactly these runs is there."""
        return any(path.exists() for path in self._paths(digest, first, count))

    def read(self, digest: str, first: int, count: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Some columns of a block; -1 throughout what the block has no column for (a node of another setting)."""
        parquet, npz = self._paths(digest, first, count)
        absent = {name: np.full(count, ABSENT) for name in names}
        if parquet.exists():
            file = parquet_module().ParquetFile(parquet)
            table = file.read([name for name in names if name in file.schema_arrow.names])
            return {**absent, **{name: table[name].to_numpy() for name in table.column_names}}
        with np.load(npz, allow_pickle=False) as data:
            return {**absent, **{name: data[name] for name in names if name in data}}

    def write(self, digest: str, first: int, count: int, columns: dict[str, np.ndarray]) -> None:
        """Keep a block."""
        parquet, npz = self._paths(digest, first, count)
        npz.parent.mkdir(parents=True, exist_ok=True)
        pyarrow = parquet_module()
        path = parquet if pyarrow else npz
        with whole_file(path) as file:
            if pyarrow:
                import pyarrow as arrow

                pyarrow.write_table(arrow.table(columns), file)
            else:
                np.savez(file, **columns)

    def _paths(self, digest: str, first: int, count: int) -> tuple[Path, Path]:
        stem = f"{first:09}-{first + count - 1:09}"
        return self.folder / digest / f"{stem}.parquet", self.folder / digest / f"{stem}.npz"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that is there as a whole, once it is closed, or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("wb") as file:
        yield file
    unfinished.replace(path)


def parquet_module() -> Any:
    """The module `pyarrow.parquet`, None where it is not installed."""
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        return None
    return pyarrow.parquet
