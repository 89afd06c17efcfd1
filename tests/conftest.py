"""Traces written by hand, for tests that need one without simulating or starting anything."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from model.scenario import Scenario, load
from model.trace import Event, Trace

VANISH = "scenarios/host_loss/primary_host_vanishes.toml"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the batch engine before workers start, lest each of them compile it."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        from sim import batch

        batch.warm_up(load(session.config.rootpath / VANISH))


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """The deployment guide's own case."""
    return load(request.config.rootpath / VANISH)


@pytest.fixture
def make_trace() -> Callable[..., Trace]:
    """`trace_of_host_loss`, as a fixture because test folders are no packages."""
    return trace_of_host_loss


def trace_of_host_loss(run: int = 0, *, arm: str = "sim", shift_ms: float = 0.0, spread_ms: float = 300.0) -> Trace:
    """A run of the guide's own case as it usually goes; the same `run` gives the same trace.

    Parameters
    ----------
    run : int
        Number of the run, and seed of its jitter.
    arm : str
        Written into the header.
    shift_ms, spread_ms : float
        Moves the detection, and with it all that follows; standard deviation of the detection.
    """
    chance = random.Random(f"{arm} {run}")
    seen = round(10_700_000 + 1000 * (shift_ms + chance.gauss(0, spread_ms)))
    found = {"host2": seen - 300_000, "host3": seen}
    events = [
        Event(-20_000, "client", "prober", "write-accepted", "host1"),
        Event(-20_000, "client", "prober", "write-refused", "host2"),
        Event(-20_000, "client", "prober", "write-refused", "host3"),
        *(Event(-100_000, f"host{n}", "client", "confirmed", f"host{n}", 2_000, 200) for n in (1, 2, 3)),
        Event(0, "host1", "fault", "vanish"),
        Event(8_000, "client", "prober", "write-silent", "host1"),
        *(Event(t_us, host, "sentinel", "+sdown", "host1") for host, t_us in found.items()),
        Event(found["host2"] + 30_000, "host1", "sentinel", "+sdown", "host2"),
        Event(seen + 70_000, "host3", "sentinel", "+odown", "host1"),
        Event(seen + 70_000, "host3", "sentinel", "+try-failover", "host1"),
        Event(seen + 140_000, "host3", "sentinel", "+elected-leader", "host1"),
        Event(seen + 210_000, "host3", "sentinel", "+selected-slave", "host2"),
        Event(seen + 280_000, "host2", "redis", "role-primary"),
        Event(seen + 290_000, "client", "prober", "write-accepted", "host2"),
        Event(seen + 1_000_000, "host3", "sentinel", "+promoted-slave", "host2"),
        Event(seen + 1_080_000, "host2", "sentinel", "+switch-master", "host2"),
        Event(seen + 2_100_000, "host3", "sentinel", "+switch-master", "host2"),
        Event(40_000_000, "host1", "fault", "return"),
        Event(40_010_000, "client", "prober", "write-accepted", "host1"),
        Event(40_080_000, "host1", "sentinel", "+switch-master", "host2"),
        Event(50_500_000, "host3", "sentinel", "+convert-to-slave", "host1"),
        Event(50_510_000, "client", "prober", "write-refused", "host1"),
    ]
    for host, writable_us in {"host2": seen + 400_000, "host3": seen + 900_000}.items():
        events += [
            Event(1_510_000, host, "client", "refused", host, 1_501_000, 500),
            Event(1_500_000, host, "registrar", "waiting", "host3"),
            Event(writable_us, host, "registrar", "writable", "host2"),
            Event(writable_us + 100_000, host, "client", "confirmed", host, 2_000, 200),
        ]
    events += [
        Event(2_050_000, "host1", "client", "unknown", "host1", 2_000_000),
        Event(40_150_000, "host1", "client", "confirmed", "host1", 3_000, 200),
        *(Event(58_000_000, f"host{n}", "client", "count-lost", code=40 if n == 1 else 0) for n in (1, 2, 3)),
    ]
    events.sort(key=lambda event: event.t_us)
    return Trace("primary_host_vanishes", "0" * 16, arm, 1, run, 58_000_000, versions={"test": "1"}, events=events)
