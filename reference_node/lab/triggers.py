"""Waits for what the programs say: the events that start the clocks of faults with ``after``.

The logs of servers and sentinels are followed while the run goes; the kernel tells when one of them grows. From the
stamp of a line to the strike pass 1 to 2 ms (measured).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from dataclasses import replace

from model.trace import Event
from reference_node.lab import kernel
from reference_node.lab.cluster import Cluster, Program
from reference_node.lab.recorder import Recorder

CHUNK = 1 << 16
"""Bytes that are read at once. Kind: assumed."""


class Triggers:
    """The first event of each name from now on, in true time. A context manager, inside a running loop.

    Parameters
    ----------
    names : collection of str
        Events to wait for.
    cluster : Cluster
    recorder : Recorder
        Knows how to read logs.
    """

    def __init__(self, names: Collection[str], cluster: Cluster, recorder: Recorder) -> None:
        self._found: dict[str, asyncio.Future[Event]] = {name: asyncio.Future() for name in names}
        programs = [program for program in cluster.programs if program.kind != "registrar"]
        self._logs = [_Log(program) for program in programs] if names else []
        self._cluster, self._recorder = cluster, recorder
        self._watch = kernel.watch_files(log.program.log for log in self._logs)

    def __enter__(self) -> Triggers:
        asyncio.get_running_loop().add_reader(self._watch, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        for log in self._logs:
            log.close()

    async def first(self, name: str) -> Event:
        """Wait for the first event of that name."""
        return await asyncio.shield(self._found[name])

    def _look(self) -> None:
        os.read(self._watch, CHUNK)
        for log in self._logs:
            self._take(log)

    def _take(self, log: _Log) -> None:
        program = log.program
        found = self._recorder.events_in(program.host, program.kind, log.new_lines(), self._cluster.sentinel_ids)
        for event in found:
            future = self._found.get(event.event)
            if future and not future.done():
                future.set_result(replace(event, t_us=program.true_us(event.t_us)))


class _Log:
    """What is added to a program's log."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._file = os.open(program.log, os.O_RDONLY)
        os.lseek(self._file, 0, os.SEEK_END)
        self._rest = b""

    def new_lines(self) -> list[str]:
        """Lines that were completed since the last call."""
        *lines, self._rest = (self._rest + os.read(self._file, CHUNK)).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def close(self) -> None:
        os.close(self._file)
