"""Simulated runs for `tune`: what is out, for how long, and what is lost. The same seed everywhere.

Run number i has the same phases whatever the delay or another setting is (common random numbers): differences between
settings are far better known than the values themselves, and curves are smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.bounds import Kind, struck
from model.errors import UsageError
from model.laws import Floats
from model.scenario import Scenario
from study import kept

Service = Literal["redis_write", "register", "client"]
"""Whose outage counts: a write to Redis; a registration at a node that still runs; a call to a phone."""

MEANING = {
    "redis_write": "no Redis server takes writes",
    "register": "a node that still runs cannot register",
    "client": "no call reaches a phone",
}

DEMOTED_MS = 15_000
"""An old primary takes writes for 10 to 11 s after it is back; then its clients are thrown off, and these writes are
lost. Kind: specified."""

TAIL_MS = 10_000
"""How long runs are watched after the delay, besides the longest period of the nodes. Phones may notice much later,
when they register again: for them the scenario's own horizon says how long. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Runs:
    """What simulated runs of one setting showed.

    Attributes
    ----------
    outage_s : array
        A row for each run, a column for each member: nodes, or clients.
    share : array
        Of each member; they add up to 1.
    censored : float
        Share of outages that the end of the run cut off; they count with what was seen.
    lost_s : array
        Registrations confirmed and lost in each run, in seconds of the probers' rate; 0 without nodes.
    failed_over : array
        1 for each run with a failover, else 0.
    """

    outage_s: Floats
    share: Floats
    censored: float
    lost_s: Floats
    failed_over: Floats


def service_of(scenario: Scenario) -> Service:
    """What counts when nothing was asked for: phones if there are any, else nodes, else Redis."""
    if scenario.client:
        return "client"
    return "register" if any(host.registrar for host in scenario.host) else "redis_write"


def check_service(scenario: Scenario, service: Service) -> None:
    """Refuse a service that the scenario does not have."""
    lacks = {"register": not any(host.registrar for host in scenario.host), "client": not scenario.client}
    if lacks.get(service):
        what = {"register": "host with registrar = true", "client": "[[client]]"}[service]
        raise UsageError(f"{scenario.name}: --service {service}, but the scenario has no {what}\n\n"
                         f"hint: add one, or take --service {service_of(scenario)}")  # fmt: skip


def lean(scenario: Scenario, service: Service, counts_losses: bool) -> Scenario:
    """The scenario without what nobody looks at: simulated faster, the same for what is left."""
    if service == "redis_write" and not counts_losses:
        return without_nodes(scenario)
    return scenario if service == "client" else scenario.model_copy(update={"client": ()})


def without_nodes(scenario: Scenario) -> Scenario:
    """The scenario without registrar nodes and phones: Redis and Sentinel do not depend on them."""
    hosts = tuple(host.model_copy(update={"registrar": False}) for host in scenario.host)
    return scenario.model_copy(update={"host": hosts, "client": ()})


def crashed(scenario: Scenario, kind: Kind) -> Scenario:
    """The scenario with a crash of its primary, observed long enough."""
    found = struck(scenario, kind)
    policy = scenario.registrar.resolved
    horizon_ms = scenario.sentinel.down_after_ms + TAIL_MS + max(policy.info_period_ms, policy.wait_poll_ms)
    if scenario.client:
        horizon_ms = max(horizon_ms, scenario.sentinel.down_after_ms + scenario.run.horizon_ms)
    return found.model_copy(update={"run": found.run.model_copy(update={"horizon_ms": horizon_ms})})


def observe(scenario: Scenario, service: Service, runs: int, seed: int, first: int = 0) -> Runs:
    """Simulate `runs` runs from number `first` on."""
    found = kept.outcomes(scenario, seed, first, runs)
    outage_us, share, censored = outages_of(found, scenario, service)
    nodes = sum(host.registrar for host in scenario.host)
    per_s = nodes * 1000 / scenario.probe.register_period_ms
    return Runs(
        outage_s=outage_us / 1e6,
        share=share,
        censored=censored,
        lost_s=np.maximum(found["lost"], 0) / per_s if nodes else np.zeros(runs),
        failed_over=(found["failover"] == 1).astype(float),
    )


def outages_of(
    found: np.ndarray, scenario: Scenario, service: Service, everybody: bool = False
) -> tuple[Floats, Floats, float]:
    """Outages of a service in records of whole runs.

    Parameters
    ----------
    found : structured array
        Of `sim.batch.outcomes`.
    scenario : Scenario
    service : str
    everybody : bool
        Nodes on hosts that are lost count too.

    Returns
    -------
    outage_us : array, shape (runs, members)
    share : array, shape (members,)
        Of each member; they add up to 1.
    censored : float
        Share of outages that the end of the run cut off.
    """
    members, share = _members(scenario, service, everybody)
    outage, cut = (found[name].reshape(len(found), -1)[:, members] for name in (service, f"{service}_censored"))
    return np.maximum(outage, 0), np.array(share) / sum(share), float((cut == 1).mean())


def _members(scenario: Scenario, service: Service, everybody: bool) -> tuple[list[int], list[float]]:
    """Places of those whose outage counts, and their shares: nodes that run, or all phones."""
    if service == "redis_write":
        return [0], [1.0]
    if service == "client":
        return list(range(len(scenario.client))), [float(client.share) for client in scenario.client]
    gone = set() if everybody else {fault.host for fault in scenario.fault if fault.process == "all"}
    nodes = [number for number, host in enumerate(scenario.host) if host.registrar]
    left = [number for number in nodes if scenario.host[number].name not in gone] or nodes
    return left, [1.0] * len(left)
