"""Where in their periods a run's sentinels are just before the first fault, in their own words.

``SENTINEL MASTER``, ``REPLICAS`` and ``SENTINELS`` tell how long ago each instance was pinged, answered, and sent its
INFO. From these ages the course of *this* run can be predicted far more closely than that of any run: the clock of a
silent instance starts at the next PING, and that one is due when the last answer is a second old.

What sentinels do not tell, and a prediction must leave open: when their next tick is, and when they say hello.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from reference_node.lab.cluster import Cluster
from reference_node.lab.config import MASTER_NAME
from reference_node.lab.recorder import wall_us

LEAD_S = 0.02
"""The sentinels are asked so long before the first fault; their answers take a few ms. Kind: assumed."""


async def snapshot(cluster: Cluster) -> list[dict[str, Any]]:
    """Ask all sentinels at once; one that does not answer is left out.

    Returns
    -------
    list of dict
        For each sentinel and each instance that it watches: ``host`` of the sentinel, ``kind`` (server or sentinel)
        and host (``about``) of the instance, ``t_us`` (wall time of the answer), and ages at that time in µs, cut down
        to whole ms: ``pong_age_us`` and ``ok_age_us`` (last answer and last valid answer to a PING),
        ``ping_pending_us`` (oldest PING without an answer, 0 = none), ``info_age_us`` (servers only).
    """
    found = await asyncio.gather(*(_of_sentinel(cluster, host) for host in cluster.scenario.sentinel_hosts))
    return [entry for entries in found for entry in entries]


def relative(phases: list[dict[str, Any]], origin_us: int) -> list[dict[str, Any]]:
    """The same with instants counted from `origin_us`."""
    return [{**entry, "t_us": entry["t_us"] - origin_us} for entry in phases]


async def _of_sentinel(cluster: Cluster, host: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    with suppress(RedisError, OSError):
        async with cluster.sentinel(host) as sentinel:
            servers = [await sentinel.sentinel_master(MASTER_NAME), *await sentinel.sentinel_slaves(MASTER_NAME)]
            others = await sentinel.sentinel_sentinels(MASTER_NAME)
        t_us = wall_us()
        hosts = {cluster.network.address(name): name for name in cluster.scenario.host_names}
        for kind, instances in (("server", servers), ("sentinel", others)):
            entries += [_entry(host, kind, hosts[each["ip"]], t_us, each) for each in instances]
    return entries


def _entry(host: str, kind: str, about: str, t_us: int, told: dict[str, Any]) -> dict[str, Any]:
    ages = {
        "pong_age_us": "last-ping-reply",
        "ok_age_us": "last-ok-ping-reply",
        "ping_pending_us": "last-ping-sent",
        "info_age_us": "info-refresh",
    }
    known = {key: int(told[name]) * 1000 for key, name in ages.items() if name in told}
    return {"host": host, "kind": kind, "about": about, "t_us": t_us, **known}
