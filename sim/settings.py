"""A scenario in the integers of the engines, and the engines' reports as traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from model import client_classes, effects, sip_client
from model.policies import configure
from model.scenario import DNS, LEADER, PROCESSES, PROMOTED, Fault, Scenario
from model.trace import Event, Trace
from model.versions import DIFFERENCES
from sim.faults import ALL_PROGRAMS
from sim.network import give_up_us, syn_give_up_us
from sim.phases import condition
from sim.state import (
    AT_LEADER,
    AT_PROMOTED,
    CALLER,
    CLIENT_SIDE,
    INJECTOR,
    NAME_SERVER,
    PLACES,
    PROBE_CLIENT,
    PROBER,
    REDIS,
    REGISTRAR,
    SENTINEL,
    UA,
)
from sim.steady import SETTINGS
from sim.ways import UNSHAPED_US

_PROGRAMS = {"redis": REDIS, "sentinel": SENTINEL, "registrar": REGISTRAR, "all": ALL_PROGRAMS}
_ACTORS = {REDIS: "redis", SENTINEL: "sentinel", REGISTRAR: "registrar", PROBE_CLIENT: "client", PROBER: "prober",
           INJECTOR: "fault", UA: "ua", CALLER: "caller"}  # fmt: skip
TRANSPORTS = {"udp": sip_client.UDP, "tcp": sip_client.TCP, "tls": sip_client.TLS}
"""Transports of clients, as their machine numbers them."""
CERTIFICATES = {
    "host-and-domain": sip_client.NAMES_DOMAIN | sip_client.NAMES_HOST | sip_client.IS_VALID,
    "host": sip_client.NAMES_HOST | sip_client.IS_VALID,
    "domain": sip_client.NAMES_DOMAIN | sip_client.IS_VALID,
    "wildcard": sip_client.NAMES_BY_WILDCARD | sip_client.IS_VALID,
    "expired": sip_client.NAMES_DOMAIN | sip_client.NAMES_HOST,
    "unknown-ca": sip_client.NAMES_DOMAIN | sip_client.NAMES_HOST,
}
"""What the certificates of a scenario are to the machine of a client."""


def settings_of(scenario: Scenario, phases: Sequence[dict[str, Any]] | None = None) -> Any:
    """The scenario as a `SETTINGS` object: hosts become numbers, times become µs.

    Parameters
    ----------
    scenario : Scenario
    phases : sequence of dict, optional
        Phases of one real run to start from, as in `model.trace.Trace.phases`.
    """
    names = scenario.host_names
    settings = SETTINGS.new()
    settings.hosts = len(names)
    settings.primary = names.index(scenario.server.primary)
    for number, host in enumerate(scenario.host):
        settings.runs_redis[number] = int(host.redis)
        settings.runs_sentinel[number] = int(host.sentinel)
        settings.runs_registrar[number] = int(host.registrar)
        settings.priority[number] = host.replica_priority
        settings.clock_offset_us[number] = host.clock_offset_ms * 1000
        settings.clock_ppm[number] = host.clock_drift_ppm
    settings.sync_delay_us = scenario.server.diskless_sync_delay_ms * 1000
    settings.repl_timeout_s = scenario.server.repl_timeout_s
    settings.min_replicas_to_write = scenario.server.min_replicas_to_write
    settings.min_replicas_max_lag_s = scenario.server.min_replicas_max_lag_s
    differences = DIFFERENCES[scenario.server.version]
    settings.restart_forgets_history = int(differences.restart_forgets_history)
    settings.misconf_spares_replicas = int(differences.misconf_spares_replicas)
    settings.demotion_drops_replicas = int(differences.demotion_drops_replicas)
    settings.quorum = scenario.sentinel.quorum
    settings.down_after_us = scenario.sentinel.down_after_ms * 1000
    settings.failover_timeout_us = scenario.sentinel.failover_timeout_ms * 1000
    settings.reboot_down_after_us = scenario.sentinel.reboot_down_after_ms * 1000
    settings.parallel_syncs = scenario.sentinel.parallel_syncs
    settings.flush_us = scenario.sentinel.flush_us
    settings.redis_is_open = int(scenario.server.password == "")
    settings.sentinel_is_open = int(scenario.sentinel.password == "")
    configure(settings.registrar, scenario.registrar, scenario.server.password != "")
    settings.keepalive_us = scenario.registrar.tcp_keepalive_s * 1_000_000
    settings.user_timeout_us = scenario.registrar.tcp_user_timeout_ms * 1000
    settings.give_up_us = give_up_us(scenario.network.tcp_retries2)
    settings.syn_give_up_us = syn_give_up_us(scenario.network.tcp_syn_retries)
    settings.register_period_us = scenario.probe.register_period_ms * 1000
    settings.register_timeout_us = scenario.probe.register_timeout_ms * 1000
    settings.write_period_us = scenario.probe.write_period_ms * 1000
    settings.expiry_s = scenario.probe.expiry_s
    settings.expiry_refresh_us = scenario.probe.expiry_refresh_s * 1_000_000
    settings.expiry_is_absolute = int(scenario.probe.expiry_form == "expireat")
    settings.expiry_travels_relative = int(scenario.probe.expiry_form == "expire" and differences.relative_expiry)
    form = scenario.registrar.expiry_form
    settings.registrations_are_absolute = int(form == "expireat")
    settings.registrations_travel_relative = int(form == "expire" and differences.relative_expiry)
    settings.call_period_us = scenario.probe.call_period_ms * 1000
    settings.call_timeout_us = scenario.probe.call_timeout_ms * 1000
    settings.horizon_us = scenario.run.horizon_ms * 1000
    settings.probes_nodes = 1
    _fill_sip(settings, scenario)
    for row, fault in zip(settings.fault, scenario.fault, strict=False):
        _fill_fault(row, fault, names)
    settings.n_faults = len(scenario.fault)
    _fill_ways(settings, scenario)
    condition(settings, names, phases)
    SETTINGS.check(settings)
    return settings


def _fill_sip(settings: Any, scenario: Scenario) -> None:
    """The zone, the nodes' certificates, the clients."""
    settings.ttl_s, settings.negative_ttl_s = scenario.dns.ttl_s, scenario.dns.negative_ttl_s
    for number, host in enumerate(scenario.host):
        record = settings.zone[number]
        record.is_listed, record.priority, record.weight = int(host.registrar), host.srv_priority, host.srv_weight
        settings.certificate[number] = CERTIFICATES[host.certificate]
    settings.clients = len(scenario.client)
    for me, client in enumerate(scenario.client):
        starts_on = 1 + scenario.host_names.index(client.starts_on) if client.starts_on else 0
        transport = TRANSPORTS[client.transport]
        client_classes.configure(
            settings.ua[me], client_classes.CLASSES[client.class_], transport, client.expires_s, me, starts_on
        )


def _fill_fault(row: Any, fault: Fault, names: Sequence[str]) -> None:
    """`FAULT_ROW` says which field means what for which kind."""
    row.report = effects.REPORTS.index(fault.kind)
    row.after = effects.REPORTS.index(fault.after)
    nobody = {LEADER: AT_LEADER, PROMOTED: AT_PROMOTED, DNS: NAME_SERVER}
    row.host = nobody.get(fault.host) or names.index(fault.host)
    row.t_us = fault.at_ms * 1000
    row.program = _PROGRAMS[fault.process]
    row.code = PROCESSES.index(fault.process)
    row.to = 0 if fault.to == "*" else 1 + names.index(fault.to)
    amounts = {"restart": fault.load_ms * 1000, "delay": fault.delay_us, "step": fault.step_ms * 1000,
               "slow-disk": fault.flush_ms * 1000, "busy": fault.busy_ms * 1000}  # fmt: skip
    row.amount_us = amounts.get(fault.kind, 0)
    row.jitter_us = fault.jitter_us
    values = {"restart": int(fault.data == "old"), "partition": fault.side, "drop": fault.percent,
              "drift": fault.drift_ppm}  # fmt: skip
    row.value = values.get(fault.kind, 0)


def _fill_ways(settings: Any, scenario: Scenario) -> None:
    """Only the network between hosts is shaped: what stays within a host or goes to the client side is not."""
    for way in settings.way:
        way.delay_us = UNSHAPED_US
    for number in _ways(scenario, "*", "*"):
        settings.way[number].delay_us = scenario.network.delay_us
    for link in scenario.link:
        for number in _ways(scenario, link.from_, link.to):
            way = settings.way[number]
            way.delay_us, way.jitter_us, way.loss_percent = link.delay_us, link.jitter_us, link.loss_percent


def _ways(scenario: Scenario, source: str, to: str) -> Iterator[int]:
    """Numbers of the ways between two hosts, ``*`` being any."""
    for a, name in enumerate(scenario.host_names):
        for b, other in enumerate(scenario.host_names):
            if a != b and source in ("*", name) and to in ("*", other):
                yield a * PLACES + b


def trace_of(scenario: Scenario, seed: int, run: int, rows: list[tuple]) -> Trace:
    """The reports of one run as a trace.

    Parameters
    ----------
    rows : list of tuple
        Values of `sim.state.REPORT_ROW`, times relative to the first fault.
    """
    names = scenario.host_names
    places = {**dict(enumerate(names)), CLIENT_SIDE: "client", NAME_SERVER: DNS}
    clients = [client.name for client in scenario.client]
    events = [
        Event(
            t_us,
            clients[host] if program in (UA, CALLER) else places[host],
            _ACTORS[program],
            effects.REPORTS[report],
            names[about - 1] if about and program != PROBE_CLIENT else "",
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
