"""A thousand to a million SIP clients that live through one run of the cluster.

The cluster's run gives the time line of every node (`sim.timeline`); on it each client runs the one client machine, and
all of them share the nodes' capacity (`sim.population_kernel`, compiled). What comes out are curves over time: who is
out of service, what the nodes are asked, how long their queues get; and how many calls fail.

>>> from model.scenario import load
>>> from sim.runs import simulate
>>> scenario = load("scenarios/phone/host_vanishes.toml")
>>> curves = simulate_population(scenario, simulate(scenario, runs=1, seed=1)[0], size=1000, seed=1)
>>> bool(0.3 < curves.share_out.max() < 0.4)
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from model import srv
from model.client_classes import CLASSES, configure
from model.compiled import compile_function, to_numpy
from model.scenario import Client, Scenario
from model.trace import Trace
from sim import network, timeline
from sim import population_kernel as kernel
from sim.heap import ENTRY
from sim.settings import CERTIFICATES, TRANSPORTS
from sim.steady import START_US

MAX_SIZE = 1_000_000
"""Most members: 2 KB of memory each, and as much again for the agenda. Kind: assumed."""

EVENTS_PER_MEMBER = 6
"""Places of the agenda for each member: its timers, its binding, and what is under way. Kind: assumed."""

SPARE_EVENTS = 10_000

HEADROOM_US = 2_000_000
"""The population starts this long before the first fault. Kind: assumed."""

FAR_US = 1 << 59

US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one node can do.

    Attributes
    ----------
    service_us : int
        Processor time of a REGISTER, µs; 0 = no limit. Kind: measured (``python benchmarks/node_load.py --capacity
        --seconds 20``, at 1220/s, the highest rate that our node kept up with, on a virtual core of an AMD EPYC: 667
        to 703 µs). It goes with the speed of one core, and is another for another registrar.
    handshake_us : int
        Processor time of a TLS handshake, µs.
    queue_limit : int
        Requests by UDP that wait in the socket's buffer; more are lost.
    round_trip_us : int
        Between a client and a node, µs.
    """

    service_us: int = 700
    handshake_us: int = 400
    queue_limit: int = 256
    round_trip_us: int = 20_000


@dataclass(frozen=True, slots=True)
class Curves:
    """What became of a population. Curves have one value for each second, from `start_s` on.

    Attributes
    ----------
    kinds : tuple of str
        Names of the parts of the mix.
    size : int
    start_s : int
        Beginning of the first second, relative to the first fault.
    share_out : ndarray, shape (seconds,)
        Share of the members out of service at the end of each second.
    share_out_by_kind : ndarray, shape (kinds, seconds)
        The same of each part.
    share_unanswerable : ndarray, shape (seconds,)
        Share of the bindings at nodes whose Redis does not answer, so that they cannot look anybody up.
    asked_per_s, confirmed_per_s, lost_per_s : ndarray, shape (seconds,)
        REGISTER requests that reached nodes (copies of one included), those of them that were confirmed, and those that
        found the queue of a node full.
    longest_wait_s : ndarray, shape (seconds,)
        Longest wait for a node's processor that a request met.
    kind_of, outage_s, back_s : ndarray, shape (size,)
        Of each member: its part of the mix; its time out of service, s; when it last came back, s after the first
        fault, NaN if it was never out or never came back.
    """

    kinds: tuple[str, ...]
    size: int
    start_s: int
    share_out: np.ndarray
    share_out_by_kind: np.ndarray
    share_unanswerable: np.ndarray
    asked_per_s: np.ndarray
    confirmed_per_s: np.ndarray
    lost_per_s: np.ndarray
    longest_wait_s: np.ndarray
    kind_of: np.ndarray = field(repr=False)
    outage_s: np.ndarray = field(repr=False)
    back_s: np.ndarray = field(repr=False)

    @property
    def calls_failed_per_million(self) -> float:
        """Calls between members that fail, of a million spread evenly over members and the time from the fault on.

        A call fails when the called one is out of service, or the caller is, or the caller's node cannot look up.
        """
        from_fault = slice(max(-self.start_s, 0), None)
        reached = 1.0 - self.share_out[from_fault]
        asks = np.maximum(reached - self.share_unanswerable[from_fault], 0.0)
        return float(1e6 * np.mean(1.0 - reached * asks))


def simulate_population(
    scenario: Scenario,
    trace: Trace,
    size: int,
    seed: int,
    capacity: Capacity | None = None,
    mix: Sequence[Client] | None = None,
) -> Curves:
    """Let a population live through one run of the cluster.

    Parameters
    ----------
    scenario : Scenario
        Of the cluster: its SRV records, certificates and limits count.
    trace : Trace
        One run of it, of either arm.
    size : int
        Members, 1 to `MAX_SIZE`.
    seed : int
        Master seed: the same gives the same curves.
    capacity : Capacity, optional
        Of each node; default: measured (see docs/node.md).
    mix : sequence of Client, optional
        Classes and their shares; default: the scenario's clients.

    Returns
    -------
    Curves

    Raises
    ------
    ValueError
        `size` is out of range, or there is no mix.
    """
    mix = tuple(mix or scenario.client)
    if not 1 <= size <= MAX_SIZE or not mix:
        raise ValueError(f"a population has 1 to {MAX_SIZE} members and at least one class, not {size} and {len(mix)}")
    capacity = capacity or Capacity()
    seconds = -(-(trace.horizon_us + HEADROOM_US) // US_PER_S)
    population = np.zeros((), kernel.POPULATION.dtype)
    stretches = _stretches(scenario, trace, seconds * US_PER_S)
    _fill(population, scenario, trace, capacity, seconds * US_PER_S)
    members = _members(mix, size)
    events = np.zeros(EVENTS_PER_MEMBER * size + len(stretches) + SPARE_EVENTS, kernel.EVENT.dtype)
    slots = np.zeros(seconds * US_PER_S // kernel.SLOT_US, np.int64)
    heap = np.zeros(len(events), ENTRY.dtype)
    counts = np.zeros((kernel.ROWS_BEFORE_KINDS + len(mix), seconds), np.int64)
    _compiled()(population, members, stretches, events, slots, heap, counts.ravel(), seed)
    assert population["overflow"] == 0, f"EVENTS_PER_MEMBER is too small: seed {seed}"
    return _curves(mix, members, counts)


@cache
def _compiled() -> Any:
    return compile_function(kernel.run)


def _stretches(scenario: Scenario, trace: Trace, length_us: int) -> np.ndarray:
    nodes = [host.name for host in scenario.host if host.registrar]
    lines = timeline.read(trace, scenario.host_names, nodes, scenario.probe.register_period_ms * 1_000)
    first = {stretch.node: stretch for stretch in reversed(lines)}
    rows, next_us = [], {}
    for stretch in reversed(lines):
        row = kernel.STRETCH.new()
        begins_us = START_US + HEADROOM_US + stretch.t_us
        row.t_us, row.ready_us = max(START_US, begins_us), START_US + HEADROOM_US + stretch.ready_us
        if stretch is first[stretch.node]:
            row.t_us = row.ready_us = START_US
        row.end_us = next_us.get(stretch.node, START_US + 2 * length_us)
        row.node, row.state, row.code = stretch.node, stretch.state, stretch.code
        row.delay_us = stretch.delay_us
        next_us[stretch.node] = row.t_us
        rows.append(row)
    return to_numpy(kernel.STRETCH, rows[::-1])


def _fill(population: Any, scenario: Scenario, trace: Trace, capacity: Capacity, length_us: int) -> None:
    population["start_us"], population["end_us"] = START_US, START_US + length_us
    for name in ("service_us", "handshake_us", "queue_limit", "round_trip_us"):
        population[name] = getattr(capacity, name)
    population["retry_after_s"] = scenario.registrar.retry_after_s
    population["answers_ping"] = int(scenario.registrar.pong_while_unavailable)
    population["ttl_s"] = scenario.dns.ttl_s
    population["hosts"], population["seconds"] = len(scenario.host), length_us // US_PER_S
    outages = {event.event: event.t_us for event in trace.events if event.event in ("dns-stop", "dns-start")}
    for name, key in (("dns_stops_us", "dns-stop"), ("dns_starts_us", "dns-start")):
        population[name] = START_US + HEADROOM_US + outages[key] if key in outages else FAR_US
    population["give_up_us"] = network.give_up_us(scenario.network.tcp_retries2)
    population["connect_give_up_us"] = network.syn_give_up_us(scenario.network.tcp_syn_retries)
    for number, host in enumerate(scenario.host):
        node = population["node"][number]
        node["priority"], node["weight"] = host.srv_priority, host.srv_weight
        node["certificate"] = CERTIFICATES[host.certificate]


def _members(mix: Sequence[Client], size: int) -> np.ndarray:
    """Members by turns: any number of them has about the shares that were asked for."""
    kinds = _turns([client.share for client in mix], size)
    prototypes = []
    for number, client in enumerate(mix):
        member = kernel.MEMBER.new()
        configure(member.client, CLASSES[client.class_], TRANSPORTS[client.transport], client.expires_s, 0, 0)
        member.kind = number
        prototypes.append(member)
    members = to_numpy(kernel.MEMBER, prototypes)[kinds]
    numbers = np.arange(size)
    members["client"]["me"] = numbers % 255
    # What a program draws once for all its life differs from member to member.
    members["client"]["hash_key"] = numbers * 2_654_435_761 % srv.HASH_KEYS
    return members


def _turns(shares: Sequence[int], size: int) -> np.ndarray:
    """Kind of each member: at every point the parts are as close to their shares as whole numbers allow."""
    numbers = np.arange(1, size + 1)
    ends = np.cumsum(shares) / sum(shares)
    # A low-discrepancy sequence instead of chance: the golden ratio.
    points = (numbers * 0.6180339887498949) % 1.0
    return np.minimum(np.searchsorted(ends, points, side="right"), len(shares) - 1)


def _curves(mix: Sequence[Client], members: np.ndarray, counts: np.ndarray) -> Curves:
    size = len(members)
    kinds = members["kind"]
    sizes = np.maximum(np.bincount(kinds, minlength=len(mix)), 1)
    started_us = START_US + HEADROOM_US
    came_back = (members["back_us"] > 0) & (members["is_out"] == 0) & (members["first_out_us"] > 0)
    return Curves(
        kinds=tuple(client.name for client in mix),
        size=size,
        start_s=-(HEADROOM_US // US_PER_S),
        share_out=np.cumsum(counts[kernel.OUT_OF_SERVICE]) / size,
        share_out_by_kind=np.cumsum(counts[kernel.ROWS_BEFORE_KINDS :], axis=1) / sizes[:, None],
        share_unanswerable=counts[kernel.UNANSWERABLE] / size,
        asked_per_s=counts[kernel.ARRIVED],
        confirmed_per_s=counts[kernel.CONFIRMED],
        lost_per_s=counts[kernel.LOST],
        longest_wait_s=counts[kernel.LONGEST_WAIT] / US_PER_S,
        kind_of=kinds,
        outage_s=members["out_us"] / US_PER_S,
        back_s=np.where(came_back, (members["back_us"] - started_us) / US_PER_S, np.nan),
    )
