"""One set-up in the circumstances that an architect asks about: the same hosts and settings, other faults.

Each is a scenario of its own, so that every number of the page can be made again with `hastudy simulate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.scenario import Scenario, parse
from study.folders import to_toml

AWAY_MS = 30_000
"""What fails stays away for the delay and this long. Kind: assumed (a failover is over by then)."""

WATCHED_MS = 20_000
"""Watched for so long after its return: a returned primary is demoted within 15 s (docs/bounds.md)."""

PHONES = ({"name": "linphone-tls", "class": "linphone-5.4", "transport": "tls"},
          {"name": "ideal-tcp", "class": "ideal", "transport": "tcp"})  # fmt: skip
"""Phones that are asked about where the scenario has none: the vendor's own, and one that does as the standards say."""

Make = Callable[[Scenario, int], list[dict[str, Any]]]
"""Faults of a set-up; what fails is back after so many ms."""


def _struck(kind: str, undone: str, process: str = "", replica: bool = False) -> Make:
    def faults(scenario: Scenario, away_ms: int) -> list[dict[str, Any]]:
        host = others(scenario)[0] if replica else scenario.server.primary
        both = {"host": host, **({"process": process} if process else {})}
        return [{"kind": kind, "at_ms": 0, **both}, {"kind": undone, "at_ms": away_ms, **both}]

    return faults


def _cut_off(scenario: Scenario, away_ms: int) -> list[dict[str, Any]]:
    primary = scenario.server.primary
    return [{"kind": "partition", "host": primary, "at_ms": 0}, {"kind": "heal", "host": primary,
             "at_ms": away_ms}]  # fmt: skip


def _two_hosts(scenario: Scenario, away_ms: int) -> list[dict[str, Any]]:
    hosts = (scenario.server.primary, others(scenario)[0])
    gone = [{"kind": "vanish", "host": host, "at_ms": 0} for host in hosts]
    return gone + [{"kind": "return", "host": host, "at_ms": away_ms} for host in hosts]


def _planned(scenario: Scenario, away_ms: int) -> list[dict[str, Any]]:
    return [{"kind": "failover", "host": others(scenario)[0], "at_ms": 0}]


def _quick_restart(scenario: Scenario, away_ms: int) -> list[dict[str, Any]]:
    both = {"host": scenario.server.primary, "process": "redis"}
    soon_ms = scenario.sentinel.down_after_ms // 2
    return [{"kind": "crash", "at_ms": 0, **both}, {"kind": "restart", "at_ms": soon_ms, **both}]


CIRCUMSTANCES: dict[str, tuple[str, Make]] = {
    "host_vanishes": ("the primary's host vanishes, and returns", _struck("vanish", "return")),
    "process_dies": ("the primary's Redis process is killed", _struck("crash", "restart", "redis")),
    "process_freezes": ("the primary's Redis process freezes", _struck("pause", "resume", "redis")),
    "replica_host_vanishes": ("a replica's host vanishes", _struck("vanish", "return", replica=True)),
    "node_dies": ("a registrar node is killed", _struck("crash", "restart", "registrar")),
    "cut_off": ("the primary's host is cut off from the others; phones still reach it", _cut_off),
    "two_hosts_vanish": ("the primary's host and another one vanish", _two_hosts),
    "restarts_at_once": ("the primary is restarted empty within the delay", _quick_restart),
    "planned": ("an operator asks for a failover", _planned),
}
"""What happens in words, and its faults."""


def others(scenario: Scenario) -> list[str]:
    """Hosts with Redis beside the primary's."""
    return [host.name for host in scenario.host if host.redis and host.name != scenario.server.primary]


def back_ms(scenario: Scenario) -> int:
    """When what failed is back."""
    return scenario.sentinel.down_after_ms + AWAY_MS


def is_possible(scenario: Scenario, name: str) -> bool:
    """The set-up has what fails: a second host with Redis, a node on the primary's host."""
    if name == "node_dies":
        return next(host.registrar for host in scenario.host if host.name == scenario.server.primary)
    return bool(others(scenario)) or name in ("host_vanishes", "process_dies", "process_freezes", "restarts_at_once")


def of(scenario: Scenario, name: str, away_ms: int | None = None) -> Scenario:
    """The set-up in a circumstance, with phones if it has none; `away_ms` in place of the delay and half a minute."""
    away_ms = away_ms or back_ms(scenario)
    words, make = CIRCUMSTANCES[name]
    told = scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)
    told |= {
        "name": name,
        "question": f"{words[0].upper()}{words[1:]}: for how long is what out?",
        "client": told.get("client") or _phones(scenario),
        "fault": make(scenario, away_ms),
        "run": {"horizon_ms": away_ms + WATCHED_MS},
    }
    for key in ("expects", "claim"):
        told.pop(key, None)
    return parse(to_toml(told), name)


def _phones(scenario: Scenario) -> list[dict[str, Any]]:
    """They begin on the node whose host is struck, where it has one: the worst place."""
    nodes = [host.name for host in scenario.host if host.registrar]
    start = scenario.server.primary if scenario.server.primary in nodes else nodes[0] if nodes else ""
    return [{**phone, "starts_on": start} for phone in PHONES] if nodes else []
