"""Every field of every machine stays inside its declared range, in whole simulated runs."""

from __future__ import annotations

import pytest

from model import redis_server, registrar, sentinel, sip_client
from model.scenario import load
from sim.world import World

MACHINES = {
    "redis": redis_server.REDIS,
    "sentinel": sentinel.SENTINEL,
    "registrar": registrar.REGISTRAR,
    "client": sip_client.CLIENT,
}
OVERRIDES = ["sentinel.down_after_ms=1000", "sentinel.failover_timeout_ms=3000", "run.horizon_ms=20000"]


@pytest.mark.parametrize("name", ["primary_host_vanishes", "primary_process_crashes", "primary_process_freezes"])
@pytest.mark.parametrize("seed", range(3))
def test_all_fields_stay_in_range(name: str, seed: int) -> None:
    undone_at = ["fault.1.at_ms=6000"]
    world = World(load(f"scenarios/host_loss/{name}.toml", [*OVERRIDES, *undone_at]), seed, on_event=check_now_and_then)
    world.trace()
    check(world)


def check_now_and_then(world: World, event) -> None:
    """A check costs as much as a hundred events."""
    if world.happened % 200 == 0:
        check(world)


def check(world: World) -> None:
    """Raise `ValueError` for the first field that is out of its range."""
    for host in range(world.state.hosts):
        for name, record in MACHINES.items():
            record.check(getattr(world.state, name)[host])
