"""One run, from an empty machine to a trace; started by `replay` as process 1 of its own namespaces.

Reads one line of JSON from standard input (a `task.Task`) and writes NDJSON to standard output: ``{"progress": text,
"fraction": x}`` lines, then one ``{"trace": …}``, or ``{"error": text, "kind": class}`` instead. It has one thread,
because network namespaces belong to threads. Whatever ends it, the kernel removes the rest (see `isolation`).
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from model.errors import EnvironmentLacks, HastudyError
from model.scenario import Scenario
from model.trace import Trace, event_to_json
from reference_node.lab import cluster as clusters
from reference_node.lab import config, kernel, phases
from reference_node.lab.clients import Clients
from reference_node.lab.cluster import Cluster
from reference_node.lab.expiry_prober import ExpiryProber
from reference_node.lab.faults import Faults
from reference_node.lab.isolation import KERNEL_SETTINGS, network_needs, require_network_faults
from reference_node.lab.network import LoopbackNetwork, NamespaceNetwork, Network
from reference_node.lab.recorder import Recorder, disturbed_hosts, stall_reasons, wall_us
from reference_node.lab.servers import Server
from reference_node.lab.task import Task
from reference_node.lab.wires import Shape
from reference_node.lab.write_prober import WriteProber
from reference_node.node import bindings
from reference_node.prober import Prober

STALL_US = 250_000
"""A loop of our own that is late by more marks the run as stalled. Kind: assumed (a quarter of a ping period)."""

PROBE_LEAD_S = 2.5
"""The probers start this long before the first fault: soon enough for a first outcome, late enough to spare the
processors while the cluster settles. Kind: assumed (the simulator does the same)."""

MEMORY_PLACES = ("/dev/shm", "/mnt")
"""Folders that exist everywhere and hold nothing a run needs; the first one is covered by a file system in memory."""

MEMORY_MB = 256
"""Size of that file system. Kind: assumed (a run writes a few MB)."""

PHONES_OF_THEIR_OWN = {"icmp_ratelimit": 0}
"""Kernel setting where there are clients: hosts send as many ICMP errors to one address as they should to many. All
clients, callers and probers share the observer's address, and the few errors that the kernel allows each second would
go to the probers. Kind: assumed."""

BATCH = 1_000
"""Keys that are looked up at once. Kind: assumed."""


def main() -> int:
    """Run the task given on standard input."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` clauses run in loopback mode
    line = sys.stdin.readline()
    if not line:
        return 1  # the parent is gone
    task = Task(**json.loads(line))
    try:
        trace = _run(task)
    except HastudyError as error:
        _say({"error": str(error), "kind": type(error).__name__})
        return 1
    _say({"trace": {**trace.header(), "events": [event_to_json(event) for event in trace.events]}})
    return 0


def _run(task: Task) -> Trace:
    scenario, server = task.parts()
    with _kept_folder(task.keep_logs) as keep, _work_folder(task.isolation) as folder:
        network = _make_network(task, scenario)
        if scenario.client and task.isolation == "namespaces":
            _name_hosts(scenario, network, folder / "hosts")
        try:
            return asyncio.run(_Run(task, scenario, server, network, folder).measure())
        finally:
            if keep:
                shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.rdb"))


class _Run:
    """One measurement and its parts."""

    def __init__(self, task: Task, scenario: Scenario, server: Server, network: Network, folder: Path) -> None:
        self._task, self._scenario, self._server, self._network = task, scenario, server, network
        self._rng = random.Random(f"{task.seed}/{task.run}")
        self._cluster = Cluster(scenario, network, server, folder, self._rng, _environment())
        self._recorder = Recorder(_hosts_by_address(scenario, network))
        self._clients = Clients(
            scenario,
            network,
            self._cluster.authorities,
            random.Random(f"{task.seed}/{task.run}/clients"),  # so that runs without clients draw what they always did
            self._recorder,
        )
        self._stop = asyncio.Event()
        self._phases: list[dict] = []

    async def measure(self) -> Trace:
        """Start, break, watch, and write down."""
        shift = _clock_shift_us()
        try:
            _progress("starting", 0.0)
            await self._cluster.start()
            await self._cluster.wait_until_steady(lambda text: _progress(text, 0.1))
            origin_us, late_us = await self._watch()
        finally:
            self._clients.end()
            self._cluster.end()
        for program in self._cluster.programs:
            if program.record.exists():
                laws = program.control.laws if program.control else ()
                data = program.record.read_bytes()
                self._recorder.read_log(program.host, program.kind, data, self._cluster.sentinel_ids, laws)
        return self._trace(origin_us, late_us, _clock_shift_us() - shift)

    async def _watch(self) -> tuple[int, dict[str, int]]:
        """Probe, strike the faults, count; return the origin of time and how late our loops were."""
        writes, expiry, sip = self._write_prober(), self._expiry_prober(), self._sip_prober()
        faults = Faults(self._scenario, self._cluster, self._clients.zone, self._recorder)
        pause_s = clusters.fault_moment_s(self._rng, self._clients.settling_s)
        horizon_s = self._scenario.run.horizon_ms / 1000
        begin = time.monotonic() + pause_s
        self._clients.start(pause_s)
        async with asyncio.TaskGroup() as group:
            ticker = group.create_task(_tick(pause_s + horizon_s))
            group.create_task(self._note_phases(pause_s - phases.LEAD_S))
            await asyncio.sleep(pause_s - PROBE_LEAD_S)
            self._network.forget_lateness()
            group.create_task(writes.run(self._stop))
            group.create_task(expiry.run(self._stop))
            group.create_task(sip.run(self._stop))
            group.create_task(self._clients.callers.run(self._stop))
            origin_us = await faults.run(begin, horizon_s)
            ticker.cancel()
            self._stop.set()
        end_us = origin_us + self._scenario.run.horizon_ms * 1000
        await self._count(sip, end_us)
        self._clients.note_counts(end_us)
        late_us = {
            "the write prober": writes.late_us,
            "the expiry prober": expiry.late_us,
            "a call": self._clients.callers.late_us,
            "a fault": faults.late_us,
            "a packet": self._network.late_us,
        }
        return origin_us, late_us

    async def _note_phases(self, pause_s: float) -> None:
        """Ask the sentinels for their phases shortly before the first fault."""
        await asyncio.sleep(pause_s)
        self._phases = await phases.snapshot(self._cluster)

    def _trace(self, origin_us: int, late_us: dict[str, int], clock_shift_us: int) -> Trace:
        horizon_us = self._scenario.run.horizon_ms * 1000
        events = self._recorder.trace_events(origin_us, horizon_us)
        reasons = stall_reasons(late_us, STALL_US, events, disturbed_hosts(events), clock_shift_us)
        return Trace(
            self._scenario.name,
            self._scenario.digest,
            "real",
            self._task.seed,
            self._task.run,
            horizon_us,
            stalled=bool(reasons),
            stall_reason="; ".join(reasons),
            versions=_versions(self._server, self._network),
            phases=phases.relative(self._phases, origin_us),
            events=events,
        )

    def _servers(self) -> dict[str, str]:
        """Client address of each Redis server."""
        return {host: self._network.client_address(host) for host in self._cluster.redis_hosts}

    def _expiry_prober(self) -> ExpiryProber:
        def report(host: str, event: str, t_us: int, detail_us: int) -> None:
            self._recorder.add(t_us, "client", "prober", event, host, detail_us)

        server, probe = self._scenario.server, self._scenario.probe
        return ExpiryProber(self._servers(), server.password, probe, self._cluster.redis, report)

    def _write_prober(self) -> WriteProber:
        def report(host: str, event: str, t_us: int) -> None:
            self._recorder.add(t_us, "client", "prober", event, host)

        return WriteProber(
            self._servers(), self._scenario.server.password, self._scenario.probe.write_period_ms, report
        )

    def _sip_prober(self) -> Prober:
        def emit(host: str, event: str, t_us: int, detail_us: int, code: int) -> None:
            self._recorder.add(t_us, host, "client", event, "", detail_us, code)

        targets = {
            host: (self._network.client_address(host), config.SIP_PORT) for host in self._cluster.registrar_hosts
        }
        probe = self._scenario.probe
        return Prober(
            targets,
            probe.register_period_ms,
            probe.register_timeout_ms,
            self._rng.getrandbits(32),
            config.SIP_DOMAIN,
            emit,
        )

    async def _count(self, sip: Prober, end_us: int) -> None:
        """Note how many registrations each node confirmed, and how many of those the last primary lacks."""
        for host, counts in sip.counts().items():
            for outcome, count in counts.items():
                self._recorder.add(end_us, host, "client", f"count-{outcome}", code=count)
        primary = await self._cluster.primary_now()
        if primary is None:
            return
        with suppress(RedisError, OSError):  # a primary that does not answer at the end: nobody can count
            async with self._cluster.redis(primary) as server:
                for host, aors in sip.confirmed_aors().items():
                    lost = len(aors) - await _held(server, aors)
                    self._recorder.add(end_us, host, "client", "count-lost", primary, code=lost)


async def _held(server: Redis, aors: list[str]) -> int:
    """How many of the registrations a server holds."""
    keys = [bindings.key(aor) for aor in aors]
    return sum([await server.exists(*keys[start : start + BATCH]) for start in range(0, len(keys), BATCH)])


def _make_network(task: Task, scenario: Scenario) -> Network:
    if task.isolation == "loopback":
        require_network_faults(task.isolation, network_needs(scenario))
        return LoopbackNetwork(scenario.host_names)
    seed = random.Random(f"{task.seed}/{task.run}/network").getrandbits(32)
    settings = {name: getattr(scenario.network, name) for name in KERNEL_SETTINGS}
    if scenario.client:
        settings |= PHONES_OF_THEIR_OWN
    shape = Shape.of(scenario, seed)
    return NamespaceNetwork(scenario.host_names, shape, settings, behind_routers=bool(scenario.client))


def _name_hosts(scenario: Scenario, network: Network, path: Path) -> None:
    """Let the programs of this run, and nobody else, find hosts by their names."""
    path.write_text(config.hosts_file(scenario, network), encoding="utf-8")
    kernel.cover_file("/etc/hosts", path)


@contextmanager
def _kept_folder(keep_logs: str | None) -> Iterator[Path | None]:
    """The folder for copies, reached through a descriptor: its name may soon be covered by a mount."""
    if keep_logs is None:
        yield None
        return
    descriptor = os.open(keep_logs, os.O_RDONLY | os.O_DIRECTORY)
    yield Path(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)


@contextmanager
def _work_folder(isolation: str) -> Iterator[Path]:
    """A folder in memory (sentinels stand still while a disk syncs) that ends with the run."""
    if isolation == "namespaces":
        place = next((place for place in MEMORY_PLACES if Path(place).is_dir()), None)
        if place is None:
            raise EnvironmentLacks(f"none of {', '.join(MEMORY_PLACES)} exists\n\nhint: make one of these folders")
        kernel.mount_memory(place, MEMORY_MB)
        yield Path(place)
        return
    parent = next((place for place in MEMORY_PLACES[:1] if os.access(place, os.W_OK)), None)
    with tempfile.TemporaryDirectory(prefix="hastudy-", dir=parent) as folder:
        yield Path(folder)


def _environment() -> dict[str, str]:
    """The programs' environment: log stamps in UTC."""
    return {**os.environ, "TZ": "UTC"}


def _hosts_by_address(scenario: Scenario, network: Network) -> dict[str, str]:
    names = scenario.host_names
    return {address(name): name for name in names for address in (network.address, network.client_address)}


def _versions(server: Server, network: Network) -> dict[str, str]:
    return {
        "redis": server.version,
        "flavour": server.flavour,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "isolation": network.isolation,
    }


def _clock_shift_us() -> int:
    """The wall clock against the monotonic one; changes when somebody sets the wall clock."""
    return wall_us() - time.monotonic_ns() // 1000


async def _tick(length_s: float) -> None:
    """Report progress once a second."""
    begin = time.monotonic()
    while True:
        passed = time.monotonic() - begin
        _progress(f"watching, {max(0.0, length_s - passed):.0f} s left", min(1.0, 0.2 + 0.8 * passed / length_s))
        await asyncio.sleep(1.0)


def _progress(text: str, fraction: float) -> None:
    _say({"progress": text, "fraction": round(fraction, 3)})


def _say(message: dict) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
