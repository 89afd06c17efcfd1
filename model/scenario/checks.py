"""Contradictions between keys of a scenario are refused; settings that are legal and dangerous get a warning."""

from __future__ import annotations

import difflib
from typing import get_args

from model.client_classes import CLASSES
from model.errors import ScenarioError
from model.register_prober import MAX_OPEN
from model.scenario.base import MAX_BINDINGS
from model.scenario.faults import (
    DNS,
    FAULT_KEYS,
    FORGES,
    LEADER,
    NAMES_PROMOTED,
    NEEDED_KEYS,
    PAIRS,
    PROCESSES,
    PROMOTED,
    Fault,
    Trigger,
)
from model.scenario.schema import Scenario
from model.scenario.sections import Claim
from model.scenario.words import describe, show


def warnings(scenario: Scenario) -> list[str]:
    """Settings that are legal and dangerous, each with its consequence."""
    found = []
    sentinels = len(scenario.sentinel_hosts)
    if sentinels > 1 and scenario.sentinel.quorum == sentinels:
        found.append("sentinel.quorum equals the number of sentinels: one lost sentinel and nothing fails over")
    if sentinels == 2:
        found.append("with two sentinels the majority is 2: when either host is lost, nothing fails over")
    if scenario.probe.register_timeout_ms <= scenario.registrar.resolved.redis_timeout_ms:
        found.append(
            "probe.register_timeout_ms is not above registrar.redis_timeout_ms: a 500 would come too late "
            "to be seen, and counts as unknown"
        )
    if 0 < scenario.probe.expiry_s < scenario.probe.expiry_refresh_s:
        found.append("probe.expiry_refresh_s is above probe.expiry_s: the binding ends before it is written anew")
    servers = [host for host in scenario.host if host.redis]
    if scenario.server.min_replicas_to_write >= len(servers):
        found.append("server.min_replicas_to_write is above the number of replicas: no primary ever takes a write")
    if scenario.server.min_replicas_to_write and _lag_outlasts_delay(scenario):
        found.append(
            "server.min_replicas_max_lag_s is not below sentinel.down_after_ms: a cut-off primary takes writes "
            "beside the new one"
        )
    if len(servers) > 1 and not any(h.replica_priority for h in servers if h.name != scenario.server.primary):
        found.append("replica_priority is 0 on all replicas: nobody can be promoted")
    return found


def _lag_outlasts_delay(scenario: Scenario) -> bool:
    return scenario.server.min_replicas_max_lag_s * 1000 >= scenario.sentinel.down_after_ms


def check_together(scenario: Scenario, where: str) -> None:
    """Contradictions between keys."""
    names = scenario.host_names
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(where, "host", f"{name} twice", "different names", "rename one of them")
    servers = [host.name for host in scenario.host if host.redis]
    if scenario.server.primary not in servers:
        raise ScenarioError(
            where,
            "server.primary",
            show(scenario.server.primary),
            "one of " + ", ".join(servers or ["(no host has redis = true)"]),
            "name a host that runs Redis",
        )
    sentinels = len(scenario.sentinel_hosts)
    if scenario.sentinel.quorum > sentinels:
        raise ScenarioError(
            where,
            "sentinel.quorum",
            f"{scenario.sentinel.quorum}, but only {sentinels} sentinels are defined",
            f"1 to {sentinels} (a quorum counts sentinels)",
            f"set `sentinel.quorum = {sentinels // 2 + 1}`, or add hosts with `sentinel = true`",
        )
    if scenario.sentinel.reboot_down_after_ms and scenario.server.version == "6.2":
        raise ScenarioError(
            where,
            "sentinel.reboot_down_after_ms",
            str(scenario.sentinel.reboot_down_after_ms),
            '0 with server.version = "6.2"',
            "master-reboot-down-after-period came with 7.0",
        )
    longest_ms = scenario.probe.register_period_ms * (MAX_OPEN - 2)
    if scenario.probe.register_timeout_ms > longest_ms:
        raise ScenarioError(
            where,
            "probe.register_timeout_ms",
            str(scenario.probe.register_timeout_ms),
            f"at most {longest_ms} ({MAX_OPEN - 2} open requests)",
            "probe less often: raise `probe.register_period_ms`",
        )
    _check_expiry(scenario, where)
    for number, link in enumerate(scenario.link):
        if link.from_ != "*":
            _check_host(scenario, where, f"link.{number}.from", link.from_)
        _check_receiver(scenario, where, f"link.{number}.to", link.from_, link.to)
    _check_clients(scenario, where)
    for number, claim in enumerate(scenario.claim):
        _check_claim(where, f"claim.{number}", claim)
    for number, fault in enumerate(scenario.fault):
        _check_fault(scenario, where, number, fault)
    if scenario.fault and min((fault.at_ms for fault in scenario.fault if not fault.after), default=1) != 0:
        raise ScenarioError(
            where,
            "fault",
            "without an entry at 0",
            "times that start at 0",
            "at_ms counts from the first fault: give that one `at_ms = 0`",
        )


def _check_clients(scenario: Scenario, where: str) -> None:
    """Refuse clients of one name, and such that start on a host without a node."""
    names = [client.name for client in scenario.client]
    nodes = [host.name for host in scenario.host if host.registrar]
    for number, client in enumerate(scenario.client):
        if names.count(client.name) > 1:
            raise ScenarioError(
                where, f"client.{number}.name", f"{client.name} twice", "different names", "give them a `name` each"
            )
        transports = CLASSES[client.class_].transports
        if client.transport not in transports:
            raise ScenarioError(
                where,
                f"client.{number}.transport",
                show(client.transport),
                "one of " + ", ".join(transports),
                f"`{client.class_}` has no other",
            )
        if client.starts_on and client.starts_on not in nodes:
            raise ScenarioError(
                where,
                f"client.{number}.starts_on",
                show(client.starts_on),
                "one of " + ", ".join(nodes or ["(no host has registrar = true)"]),
                "name a host that runs a registrar node",
            )
    if names and not nodes:
        raise ScenarioError(
            where, "client", "clients, but no host has registrar = true", "clients with nodes", "add a registrar node"
        )


def _check_expiry(scenario: Scenario, where: str) -> None:
    """Refuse more writes of the probed binding than the simulator has room for: each server may take each of them."""
    probe = scenario.probe
    horizon_s, hosts = scenario.run.horizon_ms // 1000, len(scenario.host)
    if probe.expiry_s and (horizon_s // probe.expiry_refresh_s + 2) * hosts > MAX_BINDINGS:
        raise ScenarioError(
            where,
            "probe.expiry_refresh_s",
            str(probe.expiry_refresh_s),
            f"at least {horizon_s // (MAX_BINDINGS // hosts - 2) + 1} with this horizon and so many hosts",
            "write the binding less often, or shorten run.horizon_ms",
        )


def _check_host(scenario: Scenario, where: str, key: str, name: str) -> None:
    names = scenario.host_names
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        raise ScenarioError(
            where,
            key,
            show(name),
            "one of " + ", ".join(names),
            f"did you mean `{close[0]}`?" if close else "name a host of this scenario",
        )


def _check_receiver(scenario: Scenario, where: str, key: str, sender: str, receiver: str) -> None:
    """Refuse a way that does not lead to another host."""
    if receiver == "*":
        return
    _check_host(scenario, where, key, receiver)
    if receiver == sender:
        raise ScenarioError(
            where, key, show(receiver), "another host than the sending one", "a way leads from one host to another"
        )


def _check_claim(where: str, key: str, claim: Claim) -> None:
    if not claim.low <= claim.high:
        raise ScenarioError(
            where, f"{key}.low", f"{claim.low:g}", f"at most its `high`, {claim.high:g}", "swap them, if that is meant"
        )


def _check_fault(scenario: Scenario, where: str, number: int, fault: Fault) -> None:
    key = f"fault.{number}"
    if fault.kind in ("dns-stop", "dns-start"):
        if fault.host != DNS:
            raise ScenarioError(
                where, f"{key}.host", show(fault.host), show(DNS), "the name server is on no host of the cluster"
            )
    elif fault.host in (LEADER, PROMOTED):
        _check_trigger(where, key, fault)
    else:
        _check_host(scenario, where, f"{key}.host", fault.host)
        _check_runs(scenario, where, key, fault)
    _check_keys(where, key, fault)
    _check_receiver(scenario, where, f"{key}.to", fault.host, fault.to)
    if fault.at_ms > scenario.run.horizon_ms:
        raise ScenarioError(
            where, f"{key}.at_ms", str(fault.at_ms), f"0 to {scenario.run.horizon_ms}", "the run ends at run.horizon_ms"
        )
    if fault.kind in FORGES:
        _check_forged(scenario, where, key, fault)
    _check_undoes(scenario, where, key, fault)


def _check_forged(scenario: Scenario, where: str, key: str, fault: Fault) -> None:
    """Refuse forged messages that name nobody, or that nobody is there to believe."""
    if fault.to == "*":
        what = "the host that is named as primary" if fault.kind == "forge-hello" else "the host that gets the vote"
        raise ScenarioError(where, f"{key}.to", show(fault.to), f"a host: {what}", f"`{fault.kind}` names one")
    if fault.kind == "forge-vote" and fault.to not in scenario.sentinel_hosts:
        raise ScenarioError(
            where, f"{key}.to", show(fault.to), "a host that runs a sentinel", "votes are for sentinels"
        )
    door = "redis" if fault.process == "redis" else "sentinel"
    struck = [host for host in scenario.host if host.name == fault.host]  # none, as long as only a trigger tells it
    if fault.process == "registrar" or not all(getattr(host, door) for host in struck):
        raise ScenarioError(
            where,
            f"{key}.process",
            show(fault.process),
            "redis, sentinel or all, which the host runs",
            "the message comes in at a sentinel, or by a Redis server's channel",
        )
    if len(scenario.sentinel_hosts) < 2:
        raise ScenarioError(
            where,
            f"{key}.kind",
            show(fault.kind),
            "a scenario with two sentinels or more",
            "the message passes as one of another sentinel",
        )


def _check_trigger(where: str, key: str, fault: Fault) -> None:
    """Refuse a host that only an event can name, where no event does."""
    allowed = [trigger for trigger in get_args(Trigger) if trigger]
    if fault.host == PROMOTED:
        allowed = [trigger for trigger in allowed if trigger in NAMES_PROMOTED]
    if fault.after not in allowed:
        after = f"`after` = {show(fault.after)}" if fault.after else "without `after`"
        raise ScenarioError(
            where,
            f"{key}.host",
            f"{show(fault.host)} {after}",
            f"{show(fault.host)} with `after` = {', '.join(allowed)}",
            "name a host, or an event that tells which one",
        )


def _check_keys(where: str, key: str, fault: Fault) -> None:
    """Refuse keys that this kind of fault does not have."""
    if not (fault.strikes_process or fault.kind == "forge-hello") and fault.process != "all":
        raise ScenarioError(
            where,
            f"{key}.process",
            show(fault.process),
            "no `process` for this kind of fault",
            f"`{fault.kind}` concerns the host as a whole",
        )
    own = FAULT_KEYS.get(fault.kind, ())
    for name in sorted({name for names in FAULT_KEYS.values() for name in names} - set(own)):
        value = getattr(fault, name)
        if value != type(fault).model_fields[name].default:
            kinds = ", ".join(kind for kind, names in FAULT_KEYS.items() if name in names)
            raise ScenarioError(
                where,
                f"{key}.{name}",
                show(value),
                f"`{name}` only with kind = {kinds}",
                f"remove it, or change the kind `{fault.kind}`",
            )
    needed = NEEDED_KEYS.get(fault.kind)
    if needed and not getattr(fault, needed):
        raise ScenarioError(where, f"{key}.{needed}", "0", "another value", describe(("fault", needed)))
    if fault.kind == "restart" and fault.process not in ("all", "redis") and (fault.data != "empty" or fault.load_ms):
        raise ScenarioError(
            where,
            f"{key}.process",
            show(fault.process),
            "all, redis with `data` or `load_ms`",
            "only a Redis server has a dataset",
        )


def _check_runs(scenario: Scenario, where: str, key: str, fault: Fault) -> None:
    """Refuse a fault of a program that the host does not run."""
    host = scenario.host[scenario.host_names.index(fault.host)]
    if fault.process != "all" and not getattr(host, fault.process):
        runs = [name for name in PROCESSES[1:] if getattr(host, name)]
        raise ScenarioError(
            where,
            f"{key}.process",
            show(fault.process),
            "one of " + ", ".join(["all", *runs]),
            f"{host.name} does not run it",
        )
    needs = {
        "slow-disk": "sentinel", "failover": "sentinel", "forge-vote": "sentinel",
        "fail-saves": "redis", "busy": "redis",
        "dns-remove": "registrar", "dns-add": "registrar",
    }.get(fault.kind)  # fmt: skip
    if needs and not getattr(host, needs):
        raise ScenarioError(
            where, f"{key}.host", show(fault.host), f"a host that runs a {needs}", f"{host.name} does not run it"
        )


def _check_undoes(scenario: Scenario, where: str, key: str, fault: Fault) -> None:
    """Refuse an end of something that never began."""
    undoes = {undo: do for do, undo in PAIRS.items()}.get(fault.kind)
    if undoes and not any(
        other.kind == undoes
        and (other.at_ms <= fault.at_ms or bool(other.after) != bool(fault.after))
        and (other.kind == "partition" or (other.host == fault.host and other.process == fault.process))
        and (other.to == fault.to or "*" in (other.to, fault.to))
        for other in scenario.fault
    ):
        raise ScenarioError(
            where,
            f"{key}.kind",
            show(fault.kind),
            f"after a `{undoes}` of the same host and process",
            f'add a [[fault]] with kind = "{undoes}" before it, or remove this one',
        )
