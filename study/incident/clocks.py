"""By how much the clock of each host was ahead, from what caused what.

A cause comes before its effect, whatever the clocks of the two hosts show. So each pair of lines, one the cause of the
other, bounds the difference of two clocks from one side; a message there and its answer back bound it from both. All
bounds together are a system of difference constraints: the tightest bounds between two clocks are shortest paths in the
graph that has an edge for each, and a negative cycle means that no constant offsets explain the stamps.

Pairs (each kind with the function of the real programs that makes it so):

* a candidate's ``+try-failover``, a vote for it, the candidate's line that tells this vote (sentinel.c
  sentinelAskMasterStateToOtherSentinels, sentinelVoteLeader, sentinelReceiveIsMasterDownReply);
* a leader's order, the server's change of role, the leader's line that has seen it in INFO (sentinelSendSlaveOf,
  replicaofCommand, sentinelRefreshInstanceInfo);
* a newer configuration, at its source and where it is heard (sentinelProcessHelloMessage);
* a replica's PSYNC, the primary's line about it, the replica's line about the answer (replication.c);
* a server turned primary, and a registrar node that has seen it.

A clock that was set meanwhile has two offsets. Where constant ones contradict each other, logs are split where a
sentinel says ``+tilt`` or stamps go back, and what still contradicts is named and left out.

Left out: drift; a span of a night drifts by some 10 ms at 1 ppm. Simultaneity, such as two replicas that lose the same
primary: nearly always true, but no cause.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import networkx as nx

from study.incident.hosts import Cluster
from study.incident.logs import Entry, Evidence, Log, where

TRUNCATION_MS = 1
"""Stamps are truncated to the millisecond. Kind: specified (server.c serverLogRaw)."""

FAR_MS = 10 * 86_400_000
"""Bound of what nothing bounds: clocks (and time zones) are less than this apart. Kind: assumed."""

JUMP_MS = 1000
"""Stamps that go back by this much tell that the clock was set. Kind: assumed."""

TILT_MS = 200
"""Lines of a host's other logs from so long before a ``+tilt`` on count as after it: ticks come every 100 ms."""

Clock = tuple[str, int]
"""A host, and which of its clock's stretches: 0 until it is set for the first time."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A line that caused another one."""

    cause: Entry
    effect: Entry
    why: str


@dataclass(frozen=True, slots=True)
class Offset:
    """By how much a clock is ahead of the reference, ms. A limit is None where nothing bounds it on that side."""

    low_ms: int | None
    high_ms: int | None

    @property
    def best_ms(self) -> int:
        """The middle; with one limit that nearest to no offset at all; 0 with none."""
        if self.low_ms is None or self.high_ms is None:
            return max(self.low_ms or 0, 0) if self.high_ms is None else min(self.high_ms, 0)
        return (self.low_ms + self.high_ms) // 2

    @property
    def half_ms(self) -> int | None:
        """Half the width, rounded up; None if it is open."""
        if self.low_ms is None or self.high_ms is None:
            return None
        return max(self.high_ms - self.best_ms, self.best_ms - self.low_ms)


@dataclass(slots=True)
class Clocks:
    """All clocks against one of them.

    Attributes
    ----------
    reference : str
        Host whose clock is the measure.
    offsets : dict of Clock to Offset
    contradictions : list of list of Pair
        Lines that no constant offsets explain; the last pair of each was left out.
    """

    reference: str
    offsets: dict[Clock, Offset]
    contradictions: list[list[Pair]] = field(default_factory=list)
    _breaks: dict[str, list[int]] = field(default_factory=dict)
    _host_of_file: dict[str, str] = field(default_factory=dict)

    def clock(self, entry: Entry) -> Clock:
        """The clock that stamped an entry."""
        stretch = sum(entry.number >= line for line in self._breaks.get(entry.file, ()))
        return self._host_of_file[entry.file], stretch

    def offset(self, entry: Entry) -> Offset:
        """Of the clock that stamped an entry."""
        return self.offsets.get(self.clock(entry), Offset(None, None))

    def true_ms(self, entry: Entry) -> int:
        """Its time by the reference clock, ms since the epoch; the middle of what is possible."""
        return entry.at_ms - self.offset(entry).best_ms

    @property
    def is_split(self) -> bool:
        """Some clock was set meanwhile."""
        return any(self._breaks.values())


def align(evidence: Evidence, cluster: Cluster, reference: str = "") -> Clocks:
    """Estimate all offsets.

    Parameters
    ----------
    evidence : Evidence
    cluster : Cluster
    reference : str
        Host whose clock is the measure; default: the host of the first leader, else of the first sentinel's log.
    """
    found = pairs(evidence, cluster)
    reference = reference or _reference(evidence, cluster)
    constant = Clocks(reference, {}, [], {}, cluster.host_of_file)
    if not _solve(constant, found):
        return constant
    split = Clocks(reference, {}, [], _breaks(evidence, cluster), cluster.host_of_file)
    left = list(found)
    while cycle := _solve(split, left):
        split.contradictions.append(cycle)
        left.remove(cycle[-1])
    return split


def _reference(evidence: Evidence, cluster: Cluster) -> str:
    sentinels = [log for log in evidence.logs if log.kind == "sentinel"]
    leads = [entry for log in sentinels for entry in where(log, "+elected-leader")]
    return cluster.host_of_file[min(leads, key=lambda lead: lead.at_ms).file if leads else sentinels[0].name]


def _solve(clocks: Clocks, found: Sequence[Pair]) -> list[Pair]:
    """Fill in the offsets; pairs of a negative cycle, those of the latest effect last, if there is one."""
    graph = nx.DiGraph()
    source = (clocks.reference, 0)
    graph.add_node(source)
    for pair in found:
        before, after = clocks.clock(pair.cause), clocks.clock(pair.effect)
        room = pair.effect.at_ms - pair.cause.at_ms + TRUNCATION_MS
        if before == after:
            continue
        if not graph.has_edge(before, after) or graph[before][after]["weight"] > room:
            graph.add_edge(before, after, weight=room, pair=pair)
    far = [(host, stretch) for host in set(clocks._host_of_file.values())
           for stretch in range(1 + max([len(lines) for file, lines in clocks._breaks.items()
                                         if clocks._host_of_file[file] == host], default=0))]  # fmt: skip
    for node in far:
        for edge in ((source, node), (node, source)):
            if node != source and not graph.has_edge(*edge):
                graph.add_edge(*edge, weight=FAR_MS, pair=None)
    if nx.negative_edge_cycle(graph):
        cycle = nx.find_negative_cycle(graph, source)
        told = [graph[a][b]["pair"] for a, b in zip(cycle, cycle[1:], strict=False)]
        return sorted((pair for pair in told if pair), key=lambda pair: pair.effect.at_ms)
    highs = nx.single_source_bellman_ford_path_length(graph, source)
    lows = nx.single_source_bellman_ford_path_length(graph.reverse(copy=False), source)
    clocks.offsets = {node: Offset(_near(-lows[node]), _near(highs[node])) for node in graph}
    return []


def _near(limit_ms: int) -> int | None:
    """A limit, None if it leans on `FAR_MS`."""
    return None if abs(limit_ms) > FAR_MS // 2 else limit_ms


def _breaks(evidence: Evidence, cluster: Cluster) -> dict[str, list[int]]:
    """Numbers of the lines of each file from which on another stretch of its host's clock counts."""
    tilts: dict[str, list[int]] = defaultdict(list)
    for log in evidence.logs:
        for entry in where(log, "+tilt"):
            tilts[cluster.host_of_file[log.name]].append(entry.at_ms)
    return {log.name: list(_breaks_of(log, tilts[cluster.host_of_file[log.name]])) for log in evidence.logs}


def _breaks_of(log: Log, tilts_ms: Sequence[int]) -> Iterator[int]:
    for tilt_ms in tilts_ms:
        before = None
        for entry in log.entries:
            is_back = before is not None and entry.at_ms < before - JUMP_MS
            if is_back or entry.event == "+tilt" or entry.at_ms >= tilt_ms - TILT_MS and not _goes_back(log):
                yield entry.number
                break
            before = entry.at_ms


def _goes_back(log: Log) -> bool:
    stamps = [entry.at_ms for entry in log.entries]
    return any(later < earlier - JUMP_MS for earlier, later in zip(stamps, stamps[1:], strict=False))


# Pairs


def pairs(evidence: Evidence, cluster: Cluster) -> list[Pair]:
    """All pairs of lines of different hosts of which one caused the other."""
    sentinels = [log for log in evidence.logs if log.kind == "sentinel"]
    servers = [log for log in evidence.logs if log.kind == "redis"]
    nodes = [log for log in evidence.logs if log.kind == "registrar"]
    found = [*_votes(sentinels), *_updates(sentinels, cluster), *_orders(sentinels, servers, cluster),
             *_syncs(servers, cluster), *_seen_by_nodes(servers, nodes, cluster)]  # fmt: skip
    return [pair for pair in found if cluster.of(pair.cause) != cluster.of(pair.effect)]


def _votes(sentinels: Sequence[Log]) -> Iterator[Pair]:
    by_id = {log.id: log for log in sentinels if log.id}
    for log in sentinels:
        for vote in where(log, "+vote-for-leader"):
            candidate = by_id.get(vote.words[0])
            if candidate is None or candidate is log:
                continue
            tries = [each for each in _attempts(candidate) if each[1] == vote.words[1]]
            if tries:
                yield Pair(tries[0][0], vote, "a vote follows its request")
            told = where(candidate, "voted", about=lambda entry, log=log, vote=vote:
                         entry.words == (log.id, *vote.words))  # fmt: skip
            if told:
                yield Pair(vote, told[0], "a vote is told after it was given")


def _attempts(log: Log) -> Iterator[tuple[Entry, str]]:
    """Attempts of a sentinel and their epochs."""
    epoch = ""
    for entry in where(log, "+new-epoch", "+try-failover"):
        if entry.event == "+new-epoch":
            epoch = entry.words[0]
        else:
            yield entry, epoch


def _updates(sentinels: Sequence[Log], cluster: Cluster) -> Iterator[Pair]:
    """A newer configuration was there before it was heard: at its source, where the promotion was seen or heard of."""
    by_id = {log.id: log for log in sentinels if log.id}
    for log in sentinels:
        for update, switch in zip(log.entries, log.entries[1:], strict=False):
            if update.event != "+config-update-from" or switch.event != "+switch-master":
                continue
            source = by_id.get(update.words[1])
            had = where(source, "+promoted-slave", "+switch-master") if source else []
            had = [entry for entry in had if entry.address == switch.address]
            heard = len([each for each in where(log, "+config-update-from") if each.number <= update.number])
            if had and heard == 1:
                yield Pair(had[0], switch, "a configuration is heard of after it was made")


ORDERS = {
    "role-primary": (("+failover-state-wait-promotion",), ("+promoted-slave",)),
    "role-replica": (("+slave-reconf-sent", "+slave-reconf-sent-be", "+convert-to-slave", "+fix-slave-config"),
                     ("+slave-reconf-inprog",)),
}  # fmt: skip
"""A change of role: lines of the sentinel that orders it (written before the order leaves), and that it has seen it."""


def _orders(sentinels: Sequence[Log], servers: Sequence[Log], cluster: Cluster) -> Iterator[Pair]:
    for server in servers:
        for role, (orders, sights) in ORDERS.items():
            changes = where(server, role)
            for log in sentinels:
                given = [
                    entry for entry in where(log, *orders) if cluster.about(entry) == cluster.of(server.entries[0])
                ]
                own = [change for change in changes if change.words and log.id.startswith(change.words[0])]
                if len(given) != len(own):
                    continue
                for order, change in zip(given, own, strict=True):
                    yield Pair(order, change, "a server obeys an order")
                    seen = [entry for entry in where(log, *sights)
                            if entry.number > order.number and cluster.about(entry) == cluster.of(change)]  # fmt: skip
                    if seen and order.event not in ("+convert-to-slave", "+fix-slave-config"):
                        yield Pair(change, seen[0], "a change of role is seen after it was made")


def _syncs(servers: Sequence[Log], cluster: Cluster) -> Iterator[Pair]:
    """A replica asks, the primary notes it, the replica has the answer."""
    by_host = {cluster.host_of_file[log.name]: log for log in servers}
    for replica in servers:
        own = cluster.host_of_file[replica.name]
        asked = _requests(replica, cluster)
        for host, requests in asked.items():
            primary = by_host.get(host)
            noted = where(primary, "asked", about=lambda entry, own=own: cluster.about(entry) == own) if primary else []
            if len(noted) != len(requests):
                continue
            for (request, answer), note in zip(requests, noted, strict=True):
                yield Pair(request, note, "a primary notes what a replica asks")
                if answer:
                    yield Pair(note, answer, "a replica has its answer")


def _requests(replica: Log, cluster: Cluster) -> dict[str, list[tuple[Entry, Entry | None]]]:
    """PSYNCs of a replica by the primary that it asks, each with the line that tells the answer."""
    found: dict[str, list[tuple[Entry, Entry | None]]] = defaultdict(list)
    host, pending = "", False
    for entry in replica.entries:
        if entry.event == "connects":
            host, pending = cluster.about(entry), False
        elif entry.event == "psync" and host:
            found[host].append((entry, None))
            pending = True
        elif entry.event == "synced" and pending:
            found[host][-1] = (found[host][-1][0], entry)
            pending = False
    return found


def _seen_by_nodes(servers: Sequence[Log], nodes: Sequence[Log], cluster: Cluster) -> Iterator[Pair]:
    """A node finds a primary after that server has turned into one."""
    for server in servers:
        own = cluster.host_of_file[server.name]
        for change in where(server, "role-primary")[:1]:
            for node in nodes:
                seen = [entry for entry in where(node, "writable") if cluster.about(entry) == own]
                if seen and own != cluster.primary:
                    yield Pair(change, seen[0], "a node finds a primary after it has become one")
