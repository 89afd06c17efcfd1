"""flexisip.conf: where registrations are kept, how soon a node follows a failover, whom it trusts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from study.lint.deployment import Deployment
from study.lint.figures import Changes, bound, certain
from study.lint.findings import Severity
from study.lint.read import cluster_nodes
from study.lint.rules.registry import Case, Fault, rule
from study.lint.understood import host_of, of_host, runs_node, seconds, srv

REGISTRAR = "module::Registrar"
INFO_PERIOD_S = 60.0
"""Default of redis-slave-check-period. Kind: vendor default."""

LONG_INFO_PERIOD_S = 10.0
"""A longer period is worth a warning: it can add as much as the recommended delay. Kind: assumed."""

LONG_LOOK: Changes = (("fault.1.at_ms", 1_100_000), ("run.horizon_ms", 1_118_000))
"""The host stays away until every kernel has given up: 933 s with Linux's defaults."""

SHORT_PERIOD_MS = 5_000
"""What the change is compared with. Kind: recommended (docs/flexisip.md: a few seconds)."""

LATE = "scenarios/registrar/crash_flexisip_2_3.toml"
LONG_SILENCE_S = 30.0
"""A lost host that nodes notice later is worth a warning. Kind: assumed."""


def crash(deployment: Deployment) -> Changes:
    """The understood scenario with a killed process in place of a lost host."""
    return (("fault.0.kind", "crash"), ("fault.0.process", "redis"), ("fault.1.kind", "restart"),
            ("fault.1.process", "redis"))  # fmt: skip


@rule("registrations-not-shared", Severity.ERROR, "A node keeps registrations in its own memory.",
      "docs/flexisip.md: db-implementation is `internal` by default")  # fmt: skip
def not_shared(case: Case) -> Iterator[Fault]:
    """Then there is no high availability at all, whatever Redis does."""
    nodes = max(2, sum(runs_node(case.deployment, host) for host in case.deployment.hosts))
    for file in case.deployment.flexisip:
        found = file.last(REGISTRAR, "db-implementation")
        if not found or not found.value.startswith("redis"):
            share = 1 - 1 / nodes
            yield Fault(
                file.place(REGISTRAR, "db-implementation"),
                "Registrations stay in this node: calls that come in through another node get 404, and all are gone "
                "when it stops.",
                bound(f"{share:.0%} of calls get 404, if they come in through {nodes} nodes evenly: 1 - 1/{nodes}",
                      share, "probability", None, None, "docs/lint.md"),
                "db-implementation=redis, redis-server-domain=<address>, redis-server-port=6379 in [module::Registrar]",
            )  # fmt: skip


@rule("late-info", Severity.WARNING, "A node may follow a failover up to a minute late.",
      "docs/flexisip.md: a waiting node asks only every redis-slave-check-period")  # fmt: skip
def late_info(case: Case) -> Iterator[Fault]:
    """It happens to nodes whose replica is re-pointed a moment after they asked."""
    for file in case.deployment.flexisip:
        if not (file.last(REGISTRAR, "db-implementation") or file.last(REGISTRAR, "redis-slave-check-period")):
            continue
        found = file.last(REGISTRAR, "redis-slave-check-period")
        period_s = (seconds(found.value) if found else INFO_PERIOD_S) or INFO_PERIOD_S
        if period_s > LONG_INFO_PERIOD_S:
            yield Fault(
                file.place(REGISTRAR, "redis-slave-check-period"),
                f"A node on a replica that is not in sync yet asks again only after {period_s:.0f} s; until then every "
                "REGISTER through it gets 500.",
                bound(f"up to {period_s:.0f} s more after a failover, with a chance that depends on version and "
                      "password", period_s, "s", 0.0, period_s, f"hastudy simulate {LATE}"),
                f"redis-slave-check-period={SHORT_PERIOD_MS // 1_000}",
            )  # fmt: skip


@rule("silent-host", Severity.ERROR, "Nodes notice a vanished Redis host only when the kernel gives up.",
      "docs/flexisip.md: Flexisip has no time-out on Redis connections")  # fmt: skip
def silent_host(case: Case) -> Iterator[Fault]:
    """Two sysctls are what an operator can turn."""
    nodes = [host for host in case.deployment.hosts if runs_node(case.deployment, host)]
    if not case.deployment.flexisip or not nodes:
        return
    primary = case.figures.scenario.server.primary
    # With a quorum that works: a failover that never comes is another rule's subject.
    quorum: Changes = (("sentinel.quorum", len(case.figures.scenario.sentinel_hosts) // 2 + 1),)
    found = case.figures.last_node_back("nobody registers through a node that is left", quorum, primary)
    if found.value - case.figures.scenario.sentinel.down_after_ms / 1_000 > LONG_SILENCE_S:
        found = case.figures.last_node_back(
            "nobody registers through a node that is left", (*quorum, *LONG_LOOK), primary
        )
        file = case.deployment.flexisip[0]
        yield Fault(
            file.place(REGISTRAR, "redis-server-timeout"),
            "When a host vanishes (power, cable) no reset comes: nodes wait on dead connections, 15 minutes with the "
            "kernel's defaults. `redis-server-timeout` has no effect.",
            found,
            "net.ipv4.tcp_retries2 = 5 and net.ipv4.tcp_syn_retries = 1 in a file of /etc/sysctl.d on every node",
        )


@rule("timeout-without-effect", Severity.NOTE, "redis-server-timeout does nothing.", "docs/flexisip.md")
def timeout_without_effect(case: Case) -> Iterator[Fault]:
    """It is read and never used, in all versions."""
    for file in case.deployment.flexisip:
        if found := file.last(REGISTRAR, "redis-server-timeout"):
            yield Fault(
                found.place,
                "Flexisip reads this value and never uses it.",
                certain("0 s shorter", "docs/flexisip.md", 0.0, "s"),
                "leave it out; see silent-host for what helps",
            )


@rule("replicas-not-used", Severity.ERROR, "A node never looks for another server.",
      "docs/flexisip.md: redis-use-slaves-as-backup")  # fmt: skip
def replicas_not_used(case: Case) -> Iterator[Fault]:
    """It tries the address that it was given, for ever."""
    for file in case.deployment.flexisip:
        found = file.last(REGISTRAR, "redis-use-slaves-as-backup")
        if found and found.value in ("false", "0", "no"):
            yield Fault(
                found.place,
                "After the loss of the primary this node tries its old address for ever: no REGISTER until that host "
                "is back.",
                certain("0 of 1 failovers is followed", "docs/flexisip.md", 0.0),
                "redis-use-slaves-as-backup=true",
            )


@rule("cluster-nodes", Severity.WARNING, "The list of cluster nodes is not that of the hosts.",
      "docs/flexisip.md: nodes= are trusted; others are challenged")  # fmt: skip
def cluster_nodes_differ(case: Case) -> Iterator[Fault]:
    """A peer that is not listed is treated as a stranger."""
    count = sum(runs_node(case.deployment, host) for host in case.deployment.hosts)
    for file in case.deployment.flexisip:
        nodes = cluster_nodes(file)
        unknown = [node for node in nodes if case.deployment.addresses and not host_of(case.deployment, node)]
        if count < 2 or (len(nodes) == count and not unknown):
            continue
        missing = max(0, count - len(nodes) + len(unknown))
        share = missing / count
        yield Fault(
            file.place("cluster", "nodes"),
            f"{len(nodes)} addresses for {count} nodes"
            + (f", unknown: {', '.join(unknown)}" if unknown else "")
            + ": calls from a node that is not listed are challenged or throttled, and fail.",
            bound(f"{share:.0%} of calls between nodes come from one that is not listed ({missing} of {count})", share,
                  "probability", None, None, "docs/lint.md"),
            "nodes=<addresses of all nodes> in [cluster]",
        )  # fmt: skip


@rule("transport-missing", Severity.ERROR, "DNS names a port and protocol on which a node does not listen.",
      "RFC 3263 section 4; docs/flexisip.md: transports")  # fmt: skip
def transport_missing(case: Case) -> Iterator[Fault]:
    """Phones that are sent there are refused."""
    for record in srv(case.deployment):
        service, protocol = record.owner.split(".")[:2]
        host = host_of(case.deployment, record.words[3])
        for file in of_host(case.deployment.flexisip, host):
            said = file.last("global", "transports")
            if _listens(said.value if said else "sip:*", service, protocol, record.words[2]):
                continue
            yield Fault(
                said.place if said else file.place("global", "transports"),
                f"{record.owner} sends phones to port {record.words[2]}, where no transport of this node listens"
                + ("." if said else " (without `transports`: UDP and TCP on 5060)."),
                certain("0 of 1 connections is accepted", "RFC 3263 section 4", 0.0, "connections"),
                f"transports={'sips' if service == '_sips' else 'sip'}:{record.words[3]}:{record.words[2]}",
                (record.place,),
            )


def _listens(transports: str, service: str, protocol: str, port: str) -> bool:
    for uri in transports.split():
        found = re.match(r"(sips?):([^:;]+)(?::(\d+))?(.*)", uri)
        if not found:
            continue
        scheme, listens_on = found[1], found[3] or ("5061" if found[1] == "sips" else "5060")
        only = re.search(r"transport=(\w+)", found[4])
        is_tls = scheme == "sips" or (only is not None and only[1].lower() == "tls")
        wants_tls = service == "_sips" or protocol == "_tls"
        fits = not only or is_tls or f"_{only[1].lower()}" == protocol
        if listens_on == port and is_tls == wants_tls and fits:
            return True
    return False
