"""A thousand to a million SIP clients that live through one run of the cluster.

The cluster's run gives the time line of every node (`sim.timeline`); on it each client runs the one client machine, and
all of them share the nodes' capacity (`sim.population_kernel`, compiled). What comes out are curves over time: who is
out of service, what the nodes are asked, how long their queues get; and how many calls fail.

>>> from model.scenario import load
>>> from sim.runs import simulate
>>> scenario = load("scenarios/phone/phones_host_vanishes.toml")
>>> curves = simulate_population(scenario, simulate(scenario, runs=1, seed=1)[0], size=1000, seed=1)
>>> bool(0.3 < curves.share_out.max() < 0.4)
True
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from model import sip_client
from model.client_classes import CLASSES, configure
from model.compiled import compile_function, to_numpy
from model.errors import HastudyError
from model.scenario import Client, Scenario
from model.trace import Trace
from sim import network, timeline
from sim import population_kernel as kernel
from sim.heap import ENTRY
from sim.settings import CERTIFICATES, TRANSPORTS
from sim.sleepers import SLEEPER, SPILL
from sim.steady import START_US

MAX_SIZE = 1_000_000
"""Most members: 0.1 KB of memory each, and more while they are busy. Kind: assumed."""

EVENTS_PER_MEMBER = 16
"""Places of the agenda for each member: what is under way between it and the nodes. Only those that are ever needed
take memory. Kind: assumed."""

CHUNKS_PER_MEMBER = 8
"""Chunks for what does not fit into a sleeper, likewise. Kind: assumed."""

SPARE_EVENTS = 10_000

HEADROOM_US = 2_000_000
"""The population starts this long before the first fault. Kind: assumed."""

FAR_US = 1 << 59

ALIKE = ("client.behaviour", "client.answer_", "client.me", "client.hash_key", "client.stream.key", "kind")
"""Of a member: the same for all of its kind, or told by its number."""

SECOND_FLOW = ("client.flow[1]", "flow[1]", *(f"timer_us[{which}]" for which in range(5, 10)))
"""Of a member: what only those have that keep two flows."""

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
    kinds = _turns([client.share for client in mix], size)
    counts = np.zeros((kernel.ROWS_BEFORE_KINDS + len(mix), seconds), np.int64)
    shared = _shared(scenario, trace, capacity, seconds * US_PER_S, seed)
    stretches = _stretches(scenario, trace, seconds * US_PER_S)
    lives = _live(shared, stretches, _prototypes(scenario, mix, stretches), kinds, counts)
    if shared["overflow"]:
        raise HastudyError(
            f"{scenario.name}, run {trace.run}, seed {seed}: a population of {size} has more under way than there is "
            f"room for ({EVENTS_PER_MEMBER} messages and {CHUNKS_PER_MEMBER} chunks each)\n\n"
            "hint: fewer members, a shorter horizon, or clients without keep-alives"
        )
    return _curves(mix, kinds, lives, counts)


def _live(
    shared: Any, stretches: np.ndarray, prototypes: np.ndarray, kinds: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Run the kernel: fills `counts`, returns what became of each member."""
    size, seconds = len(kinds), counts.shape[1]
    places = list(_places(shared["hosts"], prototypes["client"]["flows"].max()))
    shared["string"]["places"] = len(places)
    shared["string"]["place"][: len(places)] = places
    member = np.zeros(1, kernel.MEMBER.dtype)
    sleepers = np.zeros(size, SLEEPER.dtype)
    sleepers["word"][:, 0] = kinds
    spill = np.zeros(CHUNKS_PER_MEMBER * size, SPILL.dtype)
    events = np.zeros(EVENTS_PER_MEMBER * size + len(stretches) + SPARE_EVENTS, kernel.EVENT.dtype)
    slots, beds = np.zeros((2, seconds * US_PER_S // kernel.SLOT_US), np.int64)
    heap = np.zeros(len(events) + size, ENTRY.dtype)
    lives = np.zeros(size, kernel.LIFE.dtype)
    words, models = member.view(np.int64), prototypes.view(np.int64)
    _compiled()(
        shared, member[0:1].reshape(()), words, models, sleepers, spill, stretches, events, slots, beds, heap,
        counts.ravel(), lives,
    )  # fmt: skip
    return lives


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


def _shared(scenario: Scenario, trace: Trace, capacity: Capacity, length_us: int, seed: int) -> Any:
    population = np.zeros((), kernel.POPULATION.dtype)
    population["seed"] = seed
    population["start_us"], population["end_us"] = START_US, START_US + length_us
    for name in ("service_us", "handshake_us", "queue_limit", "round_trip_us"):
        population[name] = getattr(capacity, name)
    population["retry_after_s"] = scenario.registrar.retry_after_s
    population["answers_ping"] = int(scenario.registrar.pong_while_unavailable)
    population["hosts"], population["seconds"] = len(scenario.host), length_us // US_PER_S
    outages = {event.event: event.t_us for event in trace.events if event.event in ("dns-stop", "dns-start")}
    for name, key in (("dns_stops_us", "dns-stop"), ("dns_starts_us", "dns-start")):
        population[name] = START_US + HEADROOM_US + outages[key] if key in outages else FAR_US
    population["give_up_us"] = network.give_up_us(scenario.network.tcp_retries2)
    population["connect_give_up_us"] = network.syn_give_up_us(scenario.network.tcp_syn_retries)
    for number, host in enumerate(scenario.host):
        population["node"][number]["certificate"] = CERTIFICATES[host.certificate]
    return population


def _places(hosts: int, flows: int) -> Iterator[int]:
    """Integers of a member that differ from member to member, for `sim.sleepers`."""
    for place, (path, each, _, index) in enumerate(kernel.MEMBER.leaves(kernel.MEMBER.new())):
        is_of_no_host = path.startswith(("client.list_host", "client.avoid")) and index >= hosts
        is_of_no_flow = path.startswith(SECOND_FLOW) and flows < sip_client.MAX_FLOWS
        if not path.startswith(ALIKE) and not is_of_no_host and not is_of_no_flow:
            yield 2 * place + each.is_time


def _prototypes(scenario: Scenario, mix: Sequence[Client], stretches: np.ndarray) -> np.ndarray:
    """A member of each kind, in the state that most of them are in most of the time: registered."""
    nodes = sorted(set(stretches["node"].tolist()))
    prototypes = []
    for number, client in enumerate(mix):
        member = kernel.MEMBER.new()
        configure(member.client, CLASSES[client.class_], TRANSPORTS[client.transport], client.expires_s, 0, 0)
        member.kind = number
        member.answer_code, member.answer_seconds = 200, client.expires_s
        _fill_answer(member.client, scenario, nodes)
        for flow in member.client.flow[: member.client.flows]:
            flow.phase, flow.link, flow.is_registered = sip_client.IDLE, sip_client.OPEN, 1
            flow.asked_s = flow.granted_s = client.expires_s
        prototypes.append(member)
    return to_numpy(kernel.MEMBER, prototypes)


def _fill_answer(client: Any, scenario: Scenario, nodes: Sequence[int]) -> None:
    """What the DNS answers: it never changes."""
    client.answer_ttl_s = scenario.dns.ttl_s
    client.answer_count = client.list_count = len(nodes)
    for place, node in enumerate(nodes):
        client.answer_host[place] = node
        client.answer_priority[place] = scenario.host[node].srv_priority
        client.answer_weight[place] = scenario.host[node].srv_weight


def _turns(shares: Sequence[int], size: int) -> np.ndarray:
    """Kind of each member: at every point the parts are as close to their shares as whole numbers allow."""
    numbers = np.arange(1, size + 1)
    ends = np.cumsum(shares) / sum(shares)
    # A low-discrepancy sequence instead of chance: the golden ratio.
    points = (numbers * 0.6180339887498949) % 1.0
    return np.minimum(np.searchsorted(ends, points, side="right"), len(shares) - 1).astype(np.uint8)


def _curves(mix: Sequence[Client], kinds: np.ndarray, lives: np.ndarray, counts: np.ndarray) -> Curves:
    size = len(kinds)
    sizes = np.maximum(np.bincount(kinds, minlength=len(mix)), 1)
    started_us = START_US + HEADROOM_US
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
        outage_s=lives["out_us"] / US_PER_S,
        back_s=np.where(lives["back_us"] > 0, (lives["back_us"] - started_us) / US_PER_S, np.nan),
    )
