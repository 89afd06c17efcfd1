"""Runs a scenario on real servers: the real arm.

Each run is a worker process of its own (see `isolation`), a few at a time. The parent only reads what the workers say;
it has no threads, and when it ends, by whatever cause, so do they. Two runs of one seed start their programs and
strike their faults at the same moments, but the programs are real: the traces differ.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import model
from model import errors
from model.errors import EnvironmentLacks
from model.scenario import Scenario
from model.trace import Event, Trace
from reference_node.lab import isolation as isolations
from reference_node.lab import servers, shim
from reference_node.lab.task import Task

END_LIMIT_S = 10.0
"""A worker that was told to end is gone after this. Kind: assumed."""

STDERR_TAIL = 1_500
"""Characters of a failed worker's own words that are shown. Kind: assumed."""

Progress = Callable[[float, str], None]
"""Called with the done fraction of all runs and a short text."""

OnError = Callable[[Task, errors.HastudyError], None]
"""Called with a run that failed, and why."""


def replay(
    scenario: Scenario,
    runs: int,
    seed: int,
    server: str | None = None,
    parallel: int | None = None,
    isolation: isolations.Isolation = "auto",
    keep_logs: Path | None = None,
    progress: Progress | None = None,
) -> list[Trace]:
    """All traces in order of their runs; parameters and errors as for `iter_replay`."""
    traces = iter_replay(scenario, runs, seed, server, parallel, isolation, keep_logs, progress)
    return sorted(traces, key=lambda trace: trace.run)


def iter_replay(
    scenario: Scenario,
    runs: int,
    seed: int,
    server: str | None = None,
    parallel: int | None = None,
    isolation: isolations.Isolation = "auto",
    keep_logs: Path | None = None,
    progress: Progress | None = None,
    first: int = 0,
) -> Iterator[Trace]:
    """Yield the trace of each run as it ends.

    An interrupt (or closing the iterator) ends all runs and removes all their parts; what was yielded stays yours.

    Parameters
    ----------
    scenario : Scenario
    runs : int
    seed : int
        Decides when programs start and when the first fault strikes.
    server : str or None
        Which server, see `servers.choose`.
    parallel : int or None
        Runs at once; None takes `default_parallel`.
    isolation : str
        ``auto``, ``namespaces`` or ``loopback``.
    keep_logs : Path or None
        Gets a folder ``run-0000`` with all configuration files and logs for each run.
    progress : callable or None
    first : int
        Number of the first run.

    Raises
    ------
    EnvironmentLacks
        No server, no namespaces where the scenario needs them, or a run could not be carried out.
    """
    chosen = servers.choose(server)
    resolved = isolations.resolve(isolation)
    tasks = make_tasks(scenario, range(first, first + runs), seed, chosen, resolved, keep_logs)
    for _, trace in iter_tasks(tasks, parallel, progress):
        yield trace


def make_tasks(
    scenario: Scenario,
    numbers: Sequence[int],
    seed: int,
    server: servers.Server,
    isolation: Literal["namespaces", "loopback"],
    keep_logs: Path | None,
) -> list[Task]:
    """A task for each run number, after making sure that this machine can carry them out.

    Parameters are those of `iter_replay`, with the server and the isolation that were chosen.

    Raises
    ------
    EnvironmentLacks
        It cannot.
    """
    isolations.require_network_faults(isolation, isolations.network_needs(scenario))
    if (
        scenario.sentinel.password
        and scenario.registrar.follow_sentinel
        and any(each.registrar for each in scenario.host)
    ):
        raise EnvironmentLacks(
            "registrar nodes that follow sentinels do not know the sentinels' password\n\n"
            "hint: simulate it, or leave out `sentinel.password` or `registrar.follow_sentinel`"
        )
    if shim.programs(scenario):
        shim.build()  # now, so that a machine that cannot says so before anything starts
    return [Task.make(scenario, run, seed, server, isolation, _log_folder(keep_logs, run)) for run in numbers]


def iter_tasks(
    tasks: Sequence[Task],
    parallel: int | None = None,
    progress: Progress | None = None,
    on_error: OnError | None = None,
) -> Iterator[tuple[Task, Trace]]:
    """Carry out any tasks, of several scenarios maybe, and yield each with its trace as it ends.

    Parameters
    ----------
    tasks : sequence of Task
    parallel, progress
        As for `iter_replay`.
    on_error : callable or None
        Told of a run that could not be carried out, instead of ending all.
    """
    yield from _Pool(deque(tasks), parallel or default_parallel(), progress, on_error).traces()


def default_parallel() -> int:
    """Runs at once that leave the probers on time: 3 with two cores or more, else 1. Kind: measured."""
    return 3 if (os.cpu_count() or 1) >= 2 else 1


class _Pool:
    """Keeps up to `size` workers busy."""

    def __init__(
        self, waiting: deque[Task], size: int, progress: Progress | None, on_error: OnError | None = None
    ) -> None:
        self._waiting, self._size, self._progress, self._on_error = waiting, size, progress, on_error
        self._runs, self._done = len(waiting), 0
        self._active: set[_Worker] = set()
        self._selector = selectors.DefaultSelector()

    def traces(self) -> Iterator[tuple[Task, Trace]]:
        try:
            while self._waiting or self._active:
                while self._waiting and len(self._active) < self._size:
                    self._start(self._waiting.popleft())
                for key, _ in self._selector.select():
                    trace = self._hear(key.data)
                    if trace:
                        yield key.data.task, trace
        finally:
            for worker in self._active:
                worker.end()
            self._selector.close()

    def _start(self, task: Task) -> None:
        worker = _Worker(task)
        self._active.add(worker)
        self._selector.register(worker.output, selectors.EVENT_READ, worker)

    def _hear(self, worker: _Worker) -> Trace | None:
        """Take what a worker says; the trace when it was the last word."""
        trace = None
        for message in worker.messages():
            if "trace" in message:
                trace = _trace(message["trace"])
            elif "error" in message:
                worker.trace_missing = False
                self._fail(worker, _error(worker, message))
            else:
                worker.fraction = message["fraction"]
                self._report(f"run {worker.task.run}: {message['progress']}")
        if worker.has_ended:
            self._selector.unregister(worker.output)
            self._active.discard(worker)
            worker.end()
            if worker.trace_missing:
                self._fail(worker, EnvironmentLacks(worker.failure("ended without a word")))
            self._done += 1
            self._report(f"run {worker.task.run}: done")
        return trace

    def _fail(self, worker: _Worker, error: errors.HastudyError) -> None:
        if self._on_error is None:
            raise error
        self._on_error(worker.task, error)

    def _report(self, text: str) -> None:
        if self._progress:
            fraction = (self._done + sum(worker.fraction for worker in self._active)) / self._runs
            self._progress(fraction, text)


class _Worker:
    """One worker process seen from the parent."""

    def __init__(self, task: Task) -> None:
        self.task, self.fraction = task, 0.0
        self.has_ended, self.trace_missing = False, True
        self._rest = b""
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        command = isolations.worker_command(task.isolation, [sys.executable, "-m", "reference_node.lab.worker"])
        # A session of its own: an interrupt from the terminal reaches the parent only, which then ends the worker.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=_environment(),
            start_new_session=True,
        )
        self.output = self._process.stdout
        with suppress(BrokenPipeError):  # it ended already; its silence is reported as such
            self._process.stdin.write(task.to_line().encode())
            self._process.stdin.flush()

    def messages(self) -> Iterator[dict]:
        """What it said since the last call."""
        data = os.read(self.output.fileno(), 1 << 16)
        self.has_ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            self.trace_missing = self.trace_missing and "trace" not in message
            yield message

    def end(self) -> None:
        """End it and everything it started."""
        if self.task.isolation == "loopback":
            self._process.terminate()  # it removes its files itself
        else:
            self._process.kill()  # unshare(1) ignores SIGTERM, and the kernel removes everything
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()

    def failure(self, reason: str) -> str:
        """A message for a run that failed, with what the worker itself wrote."""
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip()[-STDERR_TAIL:]
        text = f"run {self.task.run} {reason}"
        if words:
            text += f"\n{words}"
        kept = self.task.keep_logs
        return text + ("" if kept is None else f"\n\nhint: the logs of its programs are in {kept}")


def _error(worker: _Worker, message: dict) -> errors.HastudyError:
    kind = getattr(errors, message["kind"], EnvironmentLacks)
    return kind(worker.failure(f"failed: {message['error']}"))


def _trace(data: dict) -> Trace:
    del data["schema"]
    events = [Event(**event) for event in data.pop("events")]
    return Trace(**data, events=events)


def _log_folder(keep_logs: Path | None, run: int) -> Path | None:
    if keep_logs is None:
        return None
    folder = Path(keep_logs).absolute() / f"run-{run:04}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _environment() -> dict[str, str]:
    """The worker's environment: it imports the same packages as the parent."""
    root = str(Path(model.__file__).parents[1])
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, *known])}
