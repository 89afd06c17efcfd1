"""The scenario that a deployment describes: what the files say in the words of a scenario file.

The fault is the one that the guide tells of: the primary's host vanishes, and returns. Left out is what a scenario has
no word for (`Deployment.assumptions` and the findings say so): firewalls, persistence, ACL, eviction. A password is
never taken over: where there is one, the lab's stands for it.
"""

from __future__ import annotations

import re
from typing import Any

from model.errors import ScenarioError
from model.scenario import MAX_HOSTS, Scenario, parse
from study.folders import to_toml as _to_toml
from study.lint.deployment import Deployment, Directive, ServerFile
from study.lint.read import cluster_nodes

LAB_PASSWORD = "hastudy-lab"
"""Stands for whatever password there is."""

RETURN_MS, HORIZON_MARGIN_MS = 30_000, 18_000
"""The lost host is away for the delay and this long, and is watched for this long after its return, ms.
Kind: assumed (as in scenarios/host_loss: a failover is over, a returned primary demoted)."""

_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3_600, "d": 86_400}


def scenario(deployment: Deployment) -> Scenario | None:
    """What was understood; None where the files contradict what a cluster can be (the findings say what)."""
    try:
        return parse(_to_toml(_tables(deployment)), "the scenario understood")
    except ScenarioError:
        return None


def left_out(deployment: Deployment) -> tuple[str, ...]:
    """What the scenario does not say as the files do, in sentences; why there is none, if there is none."""
    said = []
    beyond = deployment.hosts[MAX_HOSTS:]
    if beyond:
        said.append(f"the scenario has {MAX_HOSTS} hosts at most: without {', '.join(beyond)}")
    names = scenario_names(deployment)
    said += [f"{host} is called {name} in the scenario" for host, name in names.items() if host != name]
    try:
        parse(_to_toml(_tables(deployment)), "the scenario understood")
    except ScenarioError as error:
        said.append(f"no scenario can be made of these files: {' '.join(str(error).split())}")
    return tuple(said)


def scenario_names(deployment: Deployment) -> dict[str, str]:
    """Name in the scenario by host: its own where a scenario may have it."""
    names: dict[str, str] = {}
    for number, host in enumerate(deployment.hosts[:MAX_HOSTS], start=1):
        name = re.sub(r"[^a-z0-9-]", "-", host.lower())
        usable = re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) and name not in names.values()
        names[host] = name if usable else f"host-{number}"
    return names


def _tables(deployment: Deployment) -> dict[str, Any]:
    names = scenario_names(deployment)
    primary = names[deployment.hosts[0]]
    down_after_ms = sentinel_number(deployment, "down-after-milliseconds", 30_000)
    return {
        "schema": 1,
        "name": "understood",
        "question": "The set-up that the configuration files describe: its primary's host vanishes and returns.",
        "host": [{"name": name, **_host(deployment, host)} for host, name in names.items()],
        "server": {"version": deployment.version, "primary": primary, **_server(deployment)},
        "sentinel": {
            "quorum": quorum(deployment) or 2,
            "down_after_ms": down_after_ms,
            "failover_timeout_ms": sentinel_number(deployment, "failover-timeout", 180_000),
            "parallel_syncs": sentinel_number(deployment, "parallel-syncs", 1),
            "reboot_down_after_ms": sentinel_number(deployment, "master-reboot-down-after-period", 0),
        },
        "registrar": _registrar(deployment),
        "network": _network(deployment),
        "fault": [
            {"kind": "vanish", "host": primary, "at_ms": 0},
            {"kind": "return", "host": primary, "at_ms": down_after_ms + RETURN_MS},
        ],
        "run": {"horizon_ms": down_after_ms + RETURN_MS + HORIZON_MARGIN_MS},
    }


def to_toml(understood: Scenario) -> str:
    """The text of a scenario file."""
    told = understood.model_dump(mode="json", by_alias=True, exclude_unset=True)
    head = "# Written by `hastudy lint`: what it understood of the configuration files.\n"
    return head + _to_toml(told)


def monitor(file: ServerFile) -> Directive | None:
    """The line that names the primary; None if there is none, or not one that Sentinel can read."""
    found = file.last("monitor")
    if found is None or len(found.words) != 4 or not (found.words[2].isdecimal() and found.words[3].isdecimal()):
        return None
    return found


def quorum(deployment: Deployment) -> int | None:
    """Of the first sentinel that says it; the guide's faulty line still ends with it."""
    for file in deployment.sentinels:
        found = file.last("monitor")
        if found and found.words and found.words[-1].isdecimal():
            return int(found.words[-1])
    return None


def sentinel_number(deployment: Deployment, name: str, default: int) -> int:
    """Value of a directive ``sentinel NAME PRIMARY VALUE`` in the first file that has it, for the primary judged."""
    for file in deployment.sentinels:
        watched = file.last("monitor")
        about = [found for found in file.all(name) if len(found.words) == 2 and found.words[1].isdecimal()
                 and (not watched or found.words[0] == watched.words[0])]  # fmt: skip
        if about:
            return int(about[-1].words[1])
    return default


def redis_number(files: tuple[ServerFile, ...], *names: str, default: int) -> int:
    """Value of a directive ``NAME VALUE`` in the first file that has it."""
    for file in files:
        found = file.last(*names)
        if found and found.words and found.words[0].isdecimal():
            return int(found.words[0])
    return default


def seconds(text: str) -> float | None:
    """A time of flexisip.conf; None if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d|)", text.strip())
    if not found:
        return None
    return float(found[1]) / 1_000 if found[2] == "ms" else float(found[1]) * _SECONDS[found[2]]


def of_host(files: tuple, host: str) -> tuple:
    """Files for a host: its own, else those for all."""
    own = tuple(file for file in files if file.host == host)
    return own or tuple(file for file in files if not file.host)


def srv(deployment: Deployment) -> list:
    """All SRV records that send phones somewhere."""
    return [record for zone in deployment.zones for record in zone.records if record.is_sip_srv]


def domain(deployment: Deployment) -> str:
    """The SIP domain: what SRV owners say after service and protocol; empty if there are none."""
    owners = [record.owner.split(".", 2)[2] for record in srv(deployment) if record.owner.count(".") >= 2]
    return owners[0] if owners else ""


def host_of(deployment: Deployment, target: str) -> str:
    """Host that a name or an address stands for; empty if none."""
    label = target.partition(".")[0]
    if target in deployment.addresses:
        return deployment.addresses[target]
    return label if label in deployment.hosts else ""


def runs_node(deployment: Deployment, host: str) -> bool:
    """A registrar node runs there, as far as the files tell."""
    if any(file.host == host for file in deployment.flexisip):
        return True
    listed = [node for file in deployment.flexisip for node in cluster_nodes(file)]
    if len(set(listed)) >= len(deployment.hosts):
        return True
    targets = {host_of(deployment, record.words[3]) for record in srv(deployment)}
    return host in targets or not targets or host in {host_of(deployment, node) for node in listed}


def _host(deployment: Deployment, host: str) -> dict[str, Any]:
    told: dict[str, Any] = {"registrar": runs_node(deployment, host)}
    for program, files in (("redis", deployment.redis), ("sentinel", deployment.sentinels)):
        if files and all(file.host for file in files):
            told[program] = host in {file.host for file in files}
    servers = of_host(deployment.redis, host)
    told["replica_priority"] = min(1_000, redis_number(servers, "replica-priority", "slave-priority", default=100))
    for record in srv(deployment):
        if host_of(deployment, record.words[3]) == host:
            told["srv_priority"], told["srv_weight"] = int(record.words[0]), int(record.words[1])
    if kind := _certificate(deployment, host):
        told["certificate"] = kind
    for clock in deployment.clocks:
        if clock.host == host:
            told["clock_offset_ms"] = round(clock.offset_s * 1_000)
    return told


def _certificate(deployment: Deployment, host: str) -> str:
    """Which of the scenario's kinds the host's certificate is; empty if it was not given."""
    name = domain(deployment)
    found = [each for each in deployment.certificates if each.host in ("", host)]
    if not found or not name:
        return ""
    names = found[-1].dns_names
    has_domain, has_host = name in names, f"{host}.{name}" in names
    if not has_domain and not has_host:
        return "wildcard" if f"*.{name}" in names else "unknown-ca"
    return "host-and-domain" if has_domain and has_host else "domain" if has_domain else "host"


def _server(deployment: Deployment) -> dict[str, Any]:
    files = deployment.redis
    has_password = any(file.last("requirepass") for file in files) or not files
    return {
        "password": LAB_PASSWORD if has_password else "",
        "min_replicas_to_write": redis_number(files, "min-replicas-to-write", "min-slaves-to-write", default=0),
        "min_replicas_max_lag_s": redis_number(files, "min-replicas-max-lag", "min-slaves-max-lag", default=10),
        "repl_timeout_s": redis_number(files, "repl-timeout", default=60),
        "diskless_sync_delay_ms": 1_000 * redis_number(files, "repl-diskless-sync-delay", default=5),
    }


def _registrar(deployment: Deployment) -> dict[str, Any]:
    if not deployment.flexisip:
        return {"policy": "guide"}
    told: dict[str, Any] = {"policy": _policy(deployment.flexisip_version)}
    period = deployment.flexisip[0].last("module::Registrar", "redis-slave-check-period")
    if period and (period_s := seconds(period.value)):
        told["info_period_ms"] = round(period_s * 1_000)
    return told


def _network(deployment: Deployment) -> dict[str, Any]:
    """What the kernels of the hosts are told, as far as all are told the same."""
    keys = {"net.ipv4.tcp_retries2": "tcp_retries2", "net.ipv4.tcp_syn_retries": "tcp_syn_retries"}
    values = [dict(kernel.values) for kernel in deployment.kernels]
    return {short: values[0][key] for key, short in keys.items()
            if values and len({each.get(key) for each in values}) == 1 and key in values[0]}  # fmt: skip


def _policy(version: str) -> str:
    """The policy of a version of Flexisip: the newest that is not newer."""
    known = {(2, 0): "flexisip-2.0", (2, 3): "flexisip-2.3", (2, 4): "flexisip-2.4", (2, 5): "flexisip-2.5",
             (2, 6): "flexisip-2.6"}  # fmt: skip
    given = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return next((name for least, name in sorted(known.items(), reverse=True) if given >= least), "flexisip-2.0")
