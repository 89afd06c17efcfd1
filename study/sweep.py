"""One scenario under many settings: thousands of runs of each, one record a run, no traces.

Every setting is run with the same seed. Draws are counters keyed by (seed, run, entity, purpose), so run n of one
setting meets the same chance as run n of every other (common random numbers): differences between settings are known
far better than the settings themselves. Nothing depends on how many workers there are or which was faster.

Work is cut into blocks of runs. A finished block is a file of its own in a folder of its setting (Parquet where
pyarrow is installed, else NumPy's ``.npz``): a sweep that was interrupted, or that is asked for more runs, reads what
is there. The folder's name is a digest of the setting's scenario, the seed, `until`, and all source that a run depends
on, so nothing stale is ever read.

With `Width`, a setting gets as many blocks as it needs. The rule is fixed before the first run: after each block, in
order of run numbers, the interval of one quantile is looked at, and the first time it is narrow enough the setting is
done. Blocks that came back sooner are not counted. Looking repeatedly costs some of the confidence: an interval that
stops a sweep covers the truth in about 94 % of sweeps instead of 95 %, because blocks are large.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from model.errors import EnvironmentLacks, UsageError
from model.measures import MILESTONES, statistics
from model.scenario import Scenario, parse
from sim import batch
from study.blocks import Store
from study.compare import Sample
from study.folders import to_toml
from study.samples import (
    COURSES,
    columns_of,
    describe,
    is_count,
    is_quantity,
    is_time,
    odds_of,
    parts_of,
    quantile_interval,
    sample_of,
    to_ms,
    told_of,
)

SCHEMA = 1
"""Version of the JSON of a sweep."""

BLOCK = 1000
"""Runs of one block. Kind: assumed; a second of one core or so, for scenarios without SIP clients."""

AHEAD = 3
"""Blocks under way for each worker: none waits for the next. Kind: assumed."""

DASK_PATIENCE_S = 10
"""How long a scheduler may take to answer. Kind: assumed."""

Value = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Width:
    """When a setting has been run often enough.

    Parameters
    ----------
    quantity : str
        Name of a column that is a time, such as ``first_write`` or ``register@host2``.
    percent : float
        Which quantile of it, such as 95.
    ms : float
        Its 95 % interval shall be this wide, or less.
    """

    quantity: str
    percent: float
    ms: float

    def is_reached(self, values: Sample) -> bool:
        """True when the interval is narrow enough."""
        low, high = quantile_interval(values, self.percent / 100)
        return low is not None and high is not None and high - low <= self.ms


@dataclass(slots=True)
class Setting:
    """One setting of a sweep.

    Attributes
    ----------
    values : dict
        Key of the scenario to value.
    scenario : Scenario
        With these values.
    digest : str
        Names its finished blocks.
    runs : int
        Runs that count.
    """

    values: dict[str, Value]
    scenario: Scenario
    digest: str
    runs: int = 0


@dataclass(slots=True)
class Sweep:
    """Finished runs of all settings. They are read from their files when they are asked for.

    Attributes
    ----------
    scenario : Scenario
        As it was given, before any setting.
    seed : int
    until : tuple of str
    settings : list of Setting
        In the order of the grid or of the design.
    """

    scenario: Scenario
    seed: int
    until: tuple[str, ...]
    settings: list[Setting]
    store: Store = field(repr=False)

    @property
    def columns(self) -> list[str]:
        """Names of all that is known of a run, as `study.samples` explains them."""
        return list(dict.fromkeys(name for each in self.settings for name in columns_of(each.scenario, self.until)))

    @property
    def quantities(self) -> list[str]:
        """Names of the columns that `sample` takes: milestones, outages, and other times."""
        return [name for name in self.columns if is_quantity(name)]

    def load(self, number: int, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Columns of a setting: 64-bit integers, times in µs, -1 = did not happen, in order of run number.

        Parameters
        ----------
        number : int
            Which setting.
        names : sequence of str, optional
            Which columns; default: all.
        """
        setting = self.settings[number]
        wanted = self.columns if names is None else list(names)
        parts = [self.store.read(setting.digest, first, count, wanted) for first, count in _blocks(setting.runs)]
        return {name: np.concatenate([part[name] for part in parts]) for name in wanted}

    def column(self, number: int, name: str) -> np.ndarray:
        """One column of a setting, see `load`."""
        return self.load(number, [name])[name]

    def sample(self, number: int, name: str) -> Sample:
        """Values of a quantity of a setting in ms, with those that were cut off; runs without it are left out."""
        return sample_of(self.settings[number].scenario, name, self.load(number, parts_of(name)))

    def summary(self) -> list[dict[str, Any]]:
        """One entry a setting: its values, runs, quantiles with intervals, counts, odds with intervals."""
        return [self._describe(number) for number in range(len(self.settings))]

    def _describe(self, number: int) -> dict[str, Any]:
        setting, table = self.settings[number], self.load(number)
        samples = {name: sample_of(setting.scenario, name, table) for name in self.quantities}
        return {
            "values": setting.values,
            "digest": setting.scenario.digest,
            "runs": setting.runs,
            "quantities": {name: describe(values) for name, values in samples.items()},
            "counts": {name: statistics(told_of(table[name]).tolist()) for name in table if is_count(name)},
            "probabilities": {name: odds_of(table[name]) for name in COURSES if name in table},
        }

    def to_json(self) -> dict[str, Any]:
        """The whole sweep, as ``hastudy sweep --json`` prints it."""
        head = {"schema": SCHEMA, "scenario": self.scenario.name, "digest": self.scenario.digest, "seed": self.seed}
        return {**head, "until": list(self.until), "settings": self.summary()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row a setting, flat: the table of `write_csv`."""
        for number, entry in enumerate(self.summary()):
            row = {"setting": number, **entry["values"], "runs": entry["runs"]}
            for name, described in entry["quantities"].items():
                row |= {f"{name}_{key}": value for key, value in described.items()}
            for name, described in entry["counts"].items():
                row |= {f"{name}_{key}": value for key, value in described.items()}
            for name, odds in entry["probabilities"].items():
                row |= {f"{name}_{key}": value for key, value in odds.items()}
            yield row

    def write_csv(self, path: Path) -> None:
        """One line a setting; empty where something cannot be said."""
        _write_csv(path, self.rows())

    def write_runs_csv(self, path: Path) -> None:
        """One line a run; times in ms, empty where something did not happen."""
        _write_csv(path, self._run_rows())

    def _run_rows(self) -> Iterator[dict[str, Any]]:
        for number in range(len(self.settings)):
            yield from map(dict, _rows_of(self._table(number)))

    def _table(self, number: int) -> dict[str, np.ndarray]:
        """All columns of a setting, times in ms and NaN where they did not happen."""
        setting = self.settings[number]
        table = {"setting": np.full(setting.runs, number)}
        table |= {key: np.full(setting.runs, value) for key, value in setting.values.items()}
        for name, values in self.load(number).items():
            table |= {f"{name}_ms": to_ms(values)} if is_time(name) else {name: values}
        return table

    def to_pandas(self, runs: bool = True) -> Any:
        """A data frame with one row a run, or one row a setting.

        Raises
        ------
        EnvironmentLacks
            pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise EnvironmentLacks("pandas is not installed\n\nhint: `write_csv` needs nothing") from None
        if not runs:
            return pandas.DataFrame(self.rows())
        return pandas.concat([pandas.DataFrame(self._table(n)) for n in range(len(self.settings))], ignore_index=True)


# --- what is run -----------------------------------------------------------------------------------------------------


def grid_of(axes: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    """Every combination of values; the last key changes fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def latin_hypercube(ranges: Mapping[str, tuple[int, int]], size: int, seed: int) -> list[dict[str, Value]]:
    """A random design of whole numbers: of `size` equal parts of each range, every one is hit once.

    Parameters
    ----------
    ranges : mapping of str to (low, high)
        Key of the scenario, and the limits, both included.
    size : int
        Number of settings.
    seed : int
    """
    drawn = stats.qmc.LatinHypercube(len(ranges), seed=seed).random(size)
    return [
        {key: low + int(part * (high - low + 1)) for part, (key, (low, high)) in zip(row, ranges.items(), strict=True)}
        for row in drawn
    ]


def sweep(
    scenario: Scenario,
    grid: Mapping[str, Sequence[Value]] | None = None,
    design: Sequence[Mapping[str, Value]] | None = None,
    *,
    runs: int = 1000,
    seed: int = 1,
    jobs: int | None = None,
    on: str = "threads",
    until: Sequence[str] = (),
    width: Width | None = None,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Run a scenario under many settings.

    Parameters
    ----------
    scenario : Scenario
    grid : mapping of str to sequence, optional
        Keys of the scenario (``sentinel.down_after_ms``) and the values of each: all combinations.
    design : sequence of mapping, optional
        The settings one by one, instead of a grid; see `latin_hypercube`.
    runs : int
        Runs of each setting, numbered from 0; with `width` the most.
    seed : int
        Master seed, the same for every setting.
    jobs : int, optional
        Workers; default: all cores of this machine, or of the cluster.
    on : str
        ``threads``, or ``dask://HOST:PORT`` of a Dask scheduler whose workers have this same version installed.
    until : sequence of str, optional
        Milestones after which runs end, see `sim.batch.outcomes`: much faster, and nothing else is known then.
    width : Width, optional
        Stop a setting as soon as an interval is narrow enough.
    folder : Path, optional
        Where finished blocks are kept, and looked for; default: a temporary folder.
    progress : callable, optional
        Called as ``progress(done, all)`` with blocks; with `width` `all` is the most there can be.

    Returns
    -------
    Sweep
        The same for any `jobs` and `on`.

    Raises
    ------
    UsageError, ScenarioError
        The settings cannot be.
    EnvironmentLacks
        Dask, or its scheduler, is not there, or its workers run another version.
    """
    if (grid is None) == (design is None):
        raise UsageError("a sweep takes a grid or a design\n\nhint: grid={'sentinel.down_after_ms': [1000, 5000]}")
    wanted = [dict(each) for each in design] if design is not None else grid_of(grid or {})
    _check(scenario, until, width)
    if not wanted:
        raise UsageError("no setting to run\n\nhint: every key of a grid needs a value")
    store = Store(folder)
    source = batch.fingerprint()
    settings = [_setting(scenario, values, seed, until, source) for values in wanted]
    with _workers(on, jobs) as (executor, at_once):
        _Run(settings, runs, seed, tuple(until), width, store, progress).work(executor, at_once)
    return Sweep(scenario, seed, tuple(until), settings, store)


def _check(scenario: Scenario, until: Sequence[str], width: Width | None) -> None:
    for name in until:
        if name not in MILESTONES:
            raise UsageError(f"until is {name}\n  allowed: {', '.join(MILESTONES)}\n\nhint: milestones end a run")
    known = [name for name in columns_of(scenario, until) if is_quantity(name)]
    if width and width.quantity not in known:
        raise UsageError(
            f"width is of {width.quantity}\n  allowed: {', '.join(known)}\n\nhint: with `until` little else is known"
        )


def _setting(scenario: Scenario, values: dict[str, Value], seed: int, until: Sequence[str], source: str) -> Setting:
    changed = parse(
        to_toml(scenario.canonical()), scenario.name, [f"{key}={json.dumps(value)}" for key, value in values.items()]
    )
    told = f"{changed.digest} {seed} {sorted(set(until))} {source}"
    return Setting(values, changed, hashlib.sha256(told.encode()).hexdigest()[:16])


def _blocks(runs: int) -> list[tuple[int, int]]:
    """(first, count) of each block."""
    return [(first, min(BLOCK, runs - first)) for first in range(0, runs, BLOCK)]


# --- running ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """A sweep under way."""

    settings: list[Setting]
    runs: int
    seed: int
    until: tuple[str, ...]
    width: Width | None
    store: Store
    progress: Callable[[int, int], None] | None
    finished: list[dict[int, int]] = field(default_factory=list)
    samples: list[list[Sample]] = field(default_factory=list)
    is_done: list[bool] = field(default_factory=list)

    def work(self, executor: Executor, at_once: int) -> None:
        """Make all blocks that count. Those that were finished are kept whatever happens."""
        self.finished = [{} for _ in self.settings]
        self.samples = [[] for _ in self.settings]
        self.is_done = [False] * len(self.settings)
        todo = self._todo()
        under_way: dict[Future, tuple[int, int, int]] = {}
        try:
            while under_way or not all(self.is_done):
                for number, first, count in itertools.islice(todo, AHEAD * at_once - len(under_way)):
                    setting = self.settings[number]
                    future = executor.submit(make_block, setting.scenario, self.seed, first, count, self.until)
                    under_way[future] = (number, first, count)
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    number, first, count = under_way.pop(future)
                    self.store.write(self.settings[number].digest, first, count, future.result())
                    self._take(number, first, count)
        except BaseException:
            self._keep(under_way)
            raise

    def _keep(self, under_way: dict[Future, tuple[int, int, int]]) -> None:
        """After an interrupt or an error: nothing new begins, and what ends well is kept."""
        begun = [future for future in under_way if not future.cancel()]
        for future in begun:
            if future.exception() is None:
                number, first, count = under_way[future]
                self.store.write(self.settings[number].digest, first, count, future.result())

    def _todo(self) -> Iterator[tuple[int, int, int]]:
        """Blocks that are wanted and not there, those of all settings in turn."""
        for first, count in _blocks(self.runs):
            for number, setting in enumerate(self.settings):
                if self.is_done[number]:
                    continue
                if self.store.has(setting.digest, first, count):
                    self._take(number, first, count)
                else:
                    yield number, first, count

    def _take(self, number: int, first: int, count: int) -> None:
        """A block is there: count all that follow those counted, and see whether that is enough."""
        setting, waiting = self.settings[number], self.finished[number]
        waiting[first] = count
        while not self.is_done[number] and setting.runs in waiting:
            begun = setting.runs
            setting.runs += waiting.pop(begun)
            self.is_done[number] = setting.runs >= self.runs or self._is_narrow(number, begun)
        if self.progress:
            done = sum(len(_blocks(each.runs)) for each in self.settings)
            self.progress(done, len(self.settings) * len(_blocks(self.runs)))

    def _is_narrow(self, number: int, first: int) -> bool:
        """The rule of `Width`, after the block that begins with run `first`."""
        if self.width is None:
            return False
        setting, seen = self.settings[number], self.samples[number]
        table = self.store.read(setting.digest, first, setting.runs - first, parts_of(self.width.quantity))
        seen.append(sample_of(setting.scenario, self.width.quantity, table))
        together = Sample(np.concatenate([each.values_ms for each in seen]),
                          np.concatenate([each.is_censored for each in seen]))  # fmt: skip
        return self.width.is_reached(together)


def make_block(scenario: Scenario, seed: int, first: int, count: int, until: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Make one block, on whichever machine; returns its columns."""
    found = batch.outcomes(scenario, seed, first, count, until)
    return {
        name: np.ascontiguousarray(found[field_] if place is None else found[field_][:, place])
        for name, (field_, place) in columns_of(scenario, until).items()
    }


@contextmanager
def _workers(on: str, jobs: int | None) -> Iterator[tuple[Executor, int]]:
    """Where blocks are made, and how many at a time."""
    if on == "threads":
        at_once = jobs or os.cpu_count() or 1
        with ThreadPoolExecutor(at_once) as executor:
            yield executor, at_once
    elif on.startswith("dask://"):
        with _dask(on.removeprefix("dask://")) as (executor, cores):
            yield executor, jobs or cores
    else:
        raise UsageError(
            f"on is {on}\n  allowed: threads, dask://HOST:PORT\n\nhint: threads use all cores of one machine"
        )


@contextmanager
def _dask(address: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise EnvironmentLacks("Dask is not installed\n\nhint: install the extra `dask`") from None
    try:
        client = Client(f"tcp://{address}", timeout=DASK_PATIENCE_S, set_as_default=False)
    except OSError:
        raise EnvironmentLacks(
            f"no Dask scheduler answers at {address}\n\nhint: `dask scheduler` starts one, `dask worker` its workers"
        ) from None
    with client:
        cores = sum(client.nthreads().values())
        if not cores:
            raise EnvironmentLacks(f"the Dask scheduler at {address} has no workers\n\nhint: start `dask worker`")
        if not _is_ours(client):
            raise EnvironmentLacks("a worker has another version of hastudy\n\nhint: install the same on all workers")
        yield client.get_executor(pure=False), cores


def _is_ours(client: Any) -> bool:
    """True when all workers have this version installed."""
    try:
        return set(client.run(batch.fingerprint).values()) == {batch.fingerprint()}
    except (ImportError, AttributeError):
        return False


# --- tables ----------------------------------------------------------------------------------------------------------


def _rows_of(table: dict[str, np.ndarray]) -> Iterator[list[tuple[str, Any]]]:
    for values in zip(*(column.tolist() for column in table.values()), strict=True):
        yield list(zip(table, values, strict=True))


def _write_csv(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    head: list[str] = []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in rows:
            if not head:
                head = list(row)
                writer.writerow(head)
            writer.writerow([_cell(row.get(name)) for name in head])


def _cell(value: Any) -> Any:
    return "" if value is None or value != value else value
