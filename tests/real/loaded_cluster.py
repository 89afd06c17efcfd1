"""A real cluster under a steady load of REGISTERs while faults strike, for `test_redis_killed_under_load`.

``python loaded_cluster.py SCENARIO RATE`` starts the cluster of a scenario inside the namespaces of a run, sends RATE
REGISTERs a second to the first registrar node, each for an address of record of its own, lets the faults strike, and
prints as JSON what became of every registration.

The load is open: requests leave on a fixed schedule, whatever the answers do, and nothing is sent twice. When the
primary carried a registration out is asked of itself (MONITOR), so how long node and prober take does not blur it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from model.scenario import Scenario, load
from reference_node.lab import cluster as clusters
from reference_node.lab import config, kernel, servers, worker
from reference_node.lab.cluster import Cluster
from reference_node.lab.faults import Faults
from reference_node.lab.network import NamespaceNetwork
from reference_node.lab.recorder import Recorder, wall_us
from reference_node.lab.wires import Shape
from reference_node.node import bindings
from reference_node.sip.transports import local_address

SEED = 7
WARM_UP_S = 4.0
"""Load before the first fault, so that the congestion windows of the replication have grown to it."""

LOOK_BACK_S = 0.15
"""The replicas are asked what they hold this long before the primary is killed."""

FAILOVER_LIMIT_S = 60.0
"""Two elections may be lost before one is won."""


class Load(asyncio.DatagramProtocol):
    """Sends REGISTERs at a steady rate and notes when each was sent and answered, by the wall clock in µs."""

    def __init__(self, target: tuple[str, int], rate: int) -> None:
        self._target, self._period_s = target, 1 / rate
        self.sent: list[int] = []
        self.answered: dict[int, tuple[int, int]] = {}
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        head, _, rest = data.partition(b"\r\n")
        status = int(head.split(b" ")[1])
        if status >= 200:
            number = int(rest.partition(b";branch=z9hG4bK-")[2].partition(b"\r\n")[0].partition(b";")[0])
            self.answered.setdefault(number, (wall_us(), status))

    def has_confirmed_since(self, us: int) -> bool:
        """Whether a request that was sent since then is confirmed."""
        return any(status == 200 and self.sent[number] > us for number, (_, status) in self.answered.items())

    async def run(self) -> None:
        """Send until the task is cancelled."""
        due = time.monotonic()
        while True:
            await asyncio.sleep(due - time.monotonic())
            self._transport.sendto(self._register(len(self.sent)), self._target)
            self.sent.append(wall_us())
            due += self._period_s

    def _register(self, number: int) -> bytes:
        here = "{}:{}".format(*self._transport.get_extra_info("sockname"))
        lines = (
            f"REGISTER sip:{config.SIP_DOMAIN} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};rport;branch=z9hG4bK-{number}",
            "Max-Forwards: 70",
            f"From: <sip:{aor(number)}>;tag={number}",
            f"To: <sip:{aor(number)}>",
            f"Call-ID: {number}@load",
            "CSeq: 1 REGISTER",
            f'Contact: <sip:{number}@{here}>;+sip.instance="<urn:uuid:{number}>"',
            "Expires: 3600",
            "Content-Length: 0",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def aor(number: int) -> str:
    """Address of record of a request."""
    return f"load-{number}@{config.SIP_DOMAIN}"


class Executions:
    """Notes when the primary carried out each registration, by its own (the wall) clock in µs."""

    LINE = re.compile(rb'\+(\d+)\.(\d{6}) \[.*?\] "HMSET" "fs:load-(\d+)@')

    def __init__(self) -> None:
        self.at_us: dict[int, int] = {}

    async def listen(self, address: str, password: str) -> None:
        """Read until the primary is gone."""
        reader, writer = await asyncio.open_connection(address, config.REDIS_PORT)
        writer.write(f"AUTH {password}\r\nMONITOR\r\n".encode())
        with suppress(OSError):
            async for line in reader:
                match = self.LINE.match(line)
                if match:
                    seconds, micros, number = map(int, match.groups())
                    self.at_us[number] = 1_000_000 * seconds + micros
        writer.close()


class Drops:
    """Notes between which instants packets to each host began to be dropped."""

    def __init__(self, network: NamespaceNetwork) -> None:
        self.within_us: dict[str, tuple[int, int]] = {}
        self._drop, network.drop = network.drop, self._note  # type: ignore[method-assign]

    def _note(self, host: str, to: str, percent: int) -> None:
        begin_us = wall_us()
        self._drop(host, to, percent)
        self.within_us[to] = begin_us, wall_us()


async def measure(scenario: Scenario, cluster: Cluster, rate: int) -> dict[str, Any]:
    """Start the cluster, load it, strike, count."""
    try:
        await cluster.start()
        await cluster.wait_until_steady(lambda text: None)
        return await _strike_under_load(scenario, cluster, rate)
    finally:
        cluster.end()


async def _strike_under_load(scenario: Scenario, cluster: Cluster, rate: int) -> dict[str, Any]:
    target = cluster.network.client_address(cluster.registrar_hosts[0]), config.SIP_PORT
    loop = asyncio.get_running_loop()
    transport, load_ = await loop.create_datagram_endpoint(
        lambda: Load(target, rate), local_addr=(local_address(target), 0)
    )
    recorder, executions, drops = Recorder({}), Executions(), Drops(cluster.network)
    server = scenario.server
    begin, horizon_s = time.monotonic() + WARM_UP_S, scenario.run.horizon_ms / 1000
    kill_s = max(fault.at_ms for fault in scenario.fault) / 1000
    cluster.network.forget_lateness()
    async with asyncio.TaskGroup() as group:
        group.create_task(executions.listen(cluster.network.client_address(server.primary), server.password))
        sending = group.create_task(load_.run())
        before = group.create_task(_look_back(cluster, begin + kill_s - LOOK_BACK_S))
        await Faults(scenario, cluster, None, recorder).run(begin, horizon_s)
        primary = await _new_primary(cluster)
        async with asyncio.timeout(FAILOVER_LIMIT_S):
            while not load_.has_confirmed_since(wall_us() - 1_000_000):
                await asyncio.sleep(0.2)
        sending.cancel()
    await asyncio.sleep(1.0)  # for the last answers
    transport.close()
    return {
        "killed_us": next(event.t_us for event in recorder.events if event.event == "crash"),
        "dropped_us": drops.within_us,
        "sent_us": load_.sent,
        "answers": [load_.answered.get(number, (0, 0)) for number in range(len(load_.sent))],
        "executed_us": [executions.at_us.get(number, 0) for number in range(len(load_.sent))],
        "held_before": before.result(),
        "primary": primary,
        "held": await _held(cluster, primary),
        "packet_late_us": cluster.network.late_us,
    }


async def _new_primary(cluster: Cluster) -> str:
    """Host that the sentinels have failed over to: perhaps after the horizon, when an election was lost."""
    async with asyncio.timeout(FAILOVER_LIMIT_S):
        while (primary := await cluster.primary_now()) in (None, cluster.scenario.server.primary):
            await asyncio.sleep(0.2)
    return primary


async def _look_back(cluster: Cluster, due: float) -> dict[str, list[int]]:
    """Registrations that each replica holds before the kill."""
    await asyncio.sleep(due - time.monotonic())
    replicas = [host for host in cluster.redis_hosts if host != cluster.scenario.server.primary]
    return {host: await _held(cluster, host) for host in replicas}


async def _held(cluster: Cluster, host: str) -> list[int]:
    """Requests whose registrations a server holds."""
    start, end = bindings.key(aor(0)).decode().split("0")
    async with cluster.redis(host) as server:
        keys = await server.keys(start + "*")
    return sorted(int(key.removeprefix(start).removesuffix(end)) for key in keys)


def main(path: str, rate: str) -> None:
    """Measure, and print what came of it."""
    clusters.TIMER_SPREAD_S = clusters.REDIS_SPREAD_S  # no time of an outage is measured: phases do not matter
    scenario, chance = load(path), random.Random(SEED)
    folder = next(place for place in worker.MEMORY_PLACES if Path(place).is_dir())
    kernel.mount_memory(folder, worker.MEMORY_MB)
    network = NamespaceNetwork(scenario.host_names, Shape.of(scenario, SEED))
    cluster = Cluster(scenario, network, servers.choose(), Path(folder), chance, {**os.environ, "TZ": "UTC"})
    print(json.dumps(asyncio.run(measure(scenario, cluster, int(rate)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
