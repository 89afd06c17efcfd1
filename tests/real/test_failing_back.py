"""What an operator can do about two configurations of one epoch, tried on real servers.

The state is written into configuration files: two sentinels name server A in configuration epoch 2, the odd one names
its replica C in the same epoch. Loopback only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from reference_node.lab import servers

sys.path.insert(0, str(Path(__file__).parent))  # test folders are no packages

from ports import free_port

SERVERS, SENTINELS = ("A", "B", "C"), ("first", "second", "odd")
NAME = "watched"
SETTLED_S, LIMIT_S, STAYS_S = 8.0, 20.0, 8.0
"""Until everybody has heard of everybody; how long a remedy may take; how long one is watched that does not help."""

pytestmark = [pytest.mark.real, pytest.mark.slow]


class Cluster:
    """Three servers and three sentinels on ports of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports = {each: free_port() for each in (*SERVERS, *SENTINELS)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for number, name in enumerate((*SERVERS, *SENTINELS)):
            (folder / name).mkdir(parents=True)
            text = self._server(name) if name in SERVERS else self._sentinel(name, number)
            (folder / name / "conf").write_text("\n".join([*self._common(name), *text]) + "\n", encoding="utf-8")
            self.start(name)

    def _common(self, name: str) -> list[str]:
        return [f"port {self.ports[name]}", "bind 127.0.0.1", f"dir {self._folder / name}"]

    def _server(self, name: str) -> list[str]:
        follows = [] if name == "A" else [f"replicaof 127.0.0.1 {self.ports['A']}"]
        return ['save ""', "repl-diskless-sync yes", "repl-diskless-sync-delay 0", *follows]

    def _sentinel(self, name: str, number: int) -> list[str]:
        primary = "C" if name == "odd" else "A"
        replicas = [server for server in SERVERS if server != primary]
        return [
            f"sentinel myid {number:040d}",
            f"sentinel monitor {NAME} 127.0.0.1 {self.ports[primary]} 2",
            f"sentinel down-after-milliseconds {NAME} 2000",
            f"sentinel failover-timeout {NAME} 6000",
            f"sentinel config-epoch {NAME} 2", f"sentinel leader-epoch {NAME} 2", "sentinel current-epoch 2",
            *(f"sentinel known-replica {NAME} 127.0.0.1 {self.ports[each]}" for each in replicas),
            *(f"sentinel known-sentinel {NAME} 127.0.0.1 {self.ports[each]} {other:040d}"
              for other, each in enumerate(SENTINELS, start=len(SERVERS)) if each != name),
        ]  # fmt: skip

    def start(self, name: str) -> None:
        """Start a program with its file as it is."""
        words = [str(servers.choose().path), str(self._folder / name / "conf")]
        words += ["--sentinel"] if name in SENTINELS else []
        self._processes[name] = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self, name: str) -> None:
        """Kill a program."""
        self._processes[name].kill()
        self._processes[name].wait()

    def stop_all(self) -> None:
        """Kill all programs."""
        for name in self._processes:
            self.stop(name)

    def ask(self, name: str, *words: str | int) -> object:
        """A command to a sentinel."""
        with redis.Redis(port=self.ports[name]) as client:
            return client.execute_command(*words)

    def configurations(self) -> dict[str, tuple[str, int]]:
        """What each sentinel names, and its configuration epoch."""
        found = {}
        for name in SENTINELS:
            with redis.Redis(port=self.ports[name], decode_responses=True) as client:
                told = client.sentinel_master(NAME)
            named = next(server for server in SERVERS if self.ports[server] == told["port"])
            found[name] = (named, int(told["config-epoch"]))
        return found

    def agrees(self) -> bool:
        """One configuration at all sentinels."""
        return len(set(self.configurations().values())) == 1


@contextmanager
def _at_odds(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        time.sleep(SETTLED_S)
        assert cluster.configurations() == {"first": ("A", 2), "second": ("A", 2), "odd": ("C", 2)}
        yield cluster
    finally:
        cluster.stop_all()


def _failover_at_the_odd_one(cluster: Cluster) -> None:
    cluster.ask("odd", "SENTINEL", "FAILOVER", NAME)


def _failover_at_another_one(cluster: Cluster) -> None:
    cluster.ask("first", "SENTINEL", "FAILOVER", NAME)


def _monitor_anew(cluster: Cluster) -> None:
    cluster.ask("odd", "SENTINEL", "REMOVE", NAME)
    cluster.ask("odd", "SENTINEL", "MONITOR", NAME, "127.0.0.1", cluster.ports["A"], 2)


def _reset_everywhere(cluster: Cluster) -> None:
    for name in SENTINELS:
        cluster.ask(name, "SENTINEL", "RESET", NAME)


def _restart_the_odd_one(cluster: Cluster) -> None:
    cluster.stop("odd")
    cluster.start("odd")
    time.sleep(1)


@pytest.mark.parametrize("remedy", [_failover_at_the_odd_one, _failover_at_another_one, _monitor_anew])
def test_a_remedy_that_works(remedy: Callable[[Cluster], None], tmp_path: Path) -> None:
    with _at_odds(tmp_path) as cluster:
        remedy(cluster)
        limit_s = time.monotonic() + LIMIT_S
        while not cluster.agrees() and time.monotonic() < limit_s:
            time.sleep(0.2)
        assert cluster.agrees(), cluster.configurations()


@pytest.mark.parametrize("remedy", [_reset_everywhere, _restart_the_odd_one])
def test_what_does_not_help(remedy: Callable[[Cluster], None], tmp_path: Path) -> None:
    with _at_odds(tmp_path) as cluster:
        remedy(cluster)
        time.sleep(STAYS_S)
        assert cluster.configurations() == {"first": ("A", 2), "second": ("A", 2), "odd": ("C", 2)}
