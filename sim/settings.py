"""A scenario in the integers of the engines, and the engines' reports as traces."""

from __future__ import annotations

from typing import Any

from model import effects
from model.scenario import Scenario
from model.trace import Event, Trace
from sim.faults import ALL_PROGRAMS
from sim.state import CLIENT, CLIENT_SIDE, INJECTOR, PROBER, REDIS, REGISTRAR, SENTINEL
from sim.steady import SETTINGS

_PROGRAMS = {"redis": REDIS, "sentinel": SENTINEL, "registrar": REGISTRAR, "all": ALL_PROGRAMS}
_ACTORS = {REDIS: "redis", SENTINEL: "sentinel", REGISTRAR: "registrar", CLIENT: "client", PROBER: "prober",
           INJECTOR: "fault"}  # fmt: skip


def settings_of(scenario: Scenario) -> Any:
    """The scenario as a `SETTINGS` object: hosts become numbers, times become µs."""
    names = scenario.host_names
    settings = SETTINGS.new()
    settings.hosts = len(names)
    settings.primary = names.index(scenario.server.primary)
    for number, host in enumerate(scenario.host):
        settings.runs_redis[number] = int(host.redis)
        settings.runs_sentinel[number] = int(host.sentinel)
        settings.runs_registrar[number] = int(host.registrar)
        settings.priority[number] = host.replica_priority
    settings.sync_delay_us = scenario.server.diskless_sync_delay_ms * 1000
    settings.quorum = scenario.sentinel.quorum
    settings.down_after_us = scenario.sentinel.down_after_ms * 1000
    settings.failover_timeout_us = scenario.sentinel.failover_timeout_ms * 1000
    settings.parallel_syncs = scenario.sentinel.parallel_syncs
    settings.flush_us = scenario.sentinel.flush_us
    settings.redis_timeout_us = scenario.registrar.redis_timeout_ms * 1000
    settings.info_period_us = scenario.registrar.info_period_ms * 1000
    settings.wait_poll_us = scenario.registrar.wait_poll_ms * 1000
    settings.retry_pause_us = scenario.registrar.retry_pause_ms * 1000
    settings.delay_us = scenario.network.delay_us
    settings.register_period_us = scenario.probe.register_period_ms * 1000
    settings.register_timeout_us = scenario.probe.register_timeout_ms * 1000
    settings.write_period_us = scenario.probe.write_period_ms * 1000
    settings.horizon_us = scenario.run.horizon_ms * 1000
    settings.probes_nodes = 1
    for row, fault in zip(settings.fault, scenario.fault, strict=False):
        row.report = effects.REPORTS.index(fault.kind)
        row.host = names.index(fault.host)
        row.program = _PROGRAMS[fault.process]
        row.t_us = fault.at_ms * 1000
    settings.n_faults = len(scenario.fault)
    SETTINGS.check(settings)
    return settings


def trace_of(scenario: Scenario, seed: int, run: int, rows: list[tuple]) -> Trace:
    """The reports of one run as a trace.

    Parameters
    ----------
    rows : list of tuple
        Values of `sim.state.REPORT_ROW`, times relative to the first fault.
    """
    names = (*scenario.host_names, *[""] * effects.MAX_HOSTS)
    hosts = (*names[: effects.MAX_HOSTS], "client")
    assert hosts[CLIENT_SIDE] == "client"
    events = [
        Event(
            t_us,
            hosts[host],
            _ACTORS[program],
            effects.REPORTS[report],
            names[about - 1] if about and program != CLIENT else "",
            detail_us,
            code,
        )
        for t_us, host, program, report, about, detail_us, code in rows
    ]
    events.sort(key=lambda event: event.t_us)
    return Trace(
        scenario=scenario.name,
        digest=scenario.digest,
        arm="sim",
        seed=seed,
        run=run,
        horizon_us=scenario.run.horizon_ms * 1000,
        events=events,
    )
