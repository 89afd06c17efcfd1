"""What SIP clients meet at each registrar node over time, taken from the trace of one run of the cluster.

A population of a hundred thousand clients does not bring about a failover; it only suffers it. So the cluster is run
once (or measured once), with the register probers watching every node, and the population is run over what they saw:
for each node a line of `Stretch`, each with one way in which the node treats whoever comes.

=========  =====================================================  ================================================
state      a REGISTER                                             a connect
=========  =====================================================  ================================================
SERVES     200 when the node gets to it                           accepted
REFUSES    `code` after `delay_us`                                accepted
HANGS      nothing (its Redis is silent)                          accepted
FROZEN     waits until the stretch is over                        TCP accepted by the kernel, no TLS handshake
SILENT     nothing arrives, nobody tells                          nothing comes back
DEAD       refused: ICMP, and reset flows when it begins          refused
=========  =====================================================  ================================================

Faults of hosts and nodes say when a node is FROZEN, SILENT or DEAD; how else it fares the prober says, by the time at
which it sent. That is late by up to its period. So when the node itself has said, within a period before, that it has
lost its Redis server, or that it is on one that takes registrations, the change was then. The resolution of the rest is
the period: a Redis server that falls silent (its node cannot know), one that goes on, and one that refuses to write.

Left out: probes that were answered late count with the age of the first of their outcome (in a real outage the age
shrinks towards its end); what calls meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.scenario import PROCESSES
from model.trace import Event, Trace

SERVES, REFUSES, HANGS, FROZEN, SILENT, DEAD = range(6)

_STRIKES = {"crash": DEAD, "pause": FROZEN, "vanish": SILENT}
_ENDS = {"restart": DEAD, "resume": FROZEN, "return": SILENT}
_ALL, _REGISTRAR = PROCESSES.index("all"), PROCESSES.index("registrar")


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when on a node treats clients in one way.

    Attributes
    ----------
    t_us : int
        Since the first fault; the first stretch of a node begins before every client.
    node : int
        Number of its host.
    state : int
        SERVES .. DEAD.
    code : int
        REFUSES: SIP status.
    delay_us : int
        REFUSES: how long the answer takes.
    ready_us : int
        SERVES: no answer before this instant (requests that were kept until the node could serve again).
    """

    t_us: int
    node: int
    state: int
    code: int = 0
    delay_us: int = 0
    ready_us: int = 0


def read(trace: Trace, hosts: Sequence[str], nodes: Sequence[str], period_us: int) -> list[Stretch]:
    """The lines of all nodes of a run, in order of time.

    Parameters
    ----------
    trace : Trace
        Of either arm, with register probers.
    hosts : sequence of str
        All hosts of the scenario: their order gives the numbers.
    nodes : sequence of str
        Hosts that run a registrar node.
    period_us : int
        Of the register probers.
    """
    lines = [stretch for node in nodes for stretch in _line(trace, hosts.index(node), node, period_us)]
    return sorted(lines, key=lambda stretch: (stretch.t_us, stretch.node))


def _line(trace: Trace, number: int, host: str, period_us: int) -> list[Stretch]:
    said = [event for event in trace.events if event.actor == "registrar" and event.host == host]
    # Before everything: a node that is struck at once did serve until then.
    start_us = min([0, *(event.t_us for event in trace.events)]) - 1
    probed = [Stretch(start_us, number, SERVES)]
    probed += [
        _seen(event, number, said, period_us)
        for event in trace.events
        if event.actor == "client" and _is_outcome(event, host)
    ]
    probed.sort(key=lambda stretch: stretch.t_us)
    struck = _struck(trace.events, host)
    changes = sorted({stretch.t_us for stretch in probed} | {t_us for t_us, _ in struck})
    line: list[Stretch] = []
    for t_us in changes:
        now = _at(t_us, number, probed, struck)
        if not line or _differs(now, line[-1]):
            line.append(now)
    return line


def _is_outcome(event: Event, host: str) -> bool:
    return event.host == host and event.event in ("confirmed", "refused", "unknown")


def _seen(event: Event, number: int, said: Sequence[Event], period_us: int) -> Stretch:
    """What the prober's change of outcome says of requests sent from then on."""
    sent_us = event.t_us - event.detail_us
    if event.event == "confirmed":
        since_us = _since_us("writable", "redis-lost", said, sent_us, period_us)
        # What was sent before the node could serve was kept until then.
        return Stretch(since_us, number, SERVES, ready_us=event.t_us if since_us == sent_us else since_us)
    since_us = _since_us("redis-lost", "writable", said, sent_us, period_us)
    if event.event == "refused":
        return Stretch(since_us, number, REFUSES, event.code, event.detail_us)
    return Stretch(since_us, number, HANGS)


def _since_us(begins: str, ends: str, said: Sequence[Event], sent_us: int, period_us: int) -> int:
    """When what a request met began: by the node's own word shortly before, else when the request was sent."""
    since_us = sent_us
    for event in said:
        if sent_us - period_us < event.t_us < sent_us and event.event in (begins, ends):
            since_us = min(since_us, event.t_us) if event.event == begins else sent_us
    return since_us


def _struck(events: Sequence[Event], host: str) -> list[tuple[int, frozenset[int]]]:
    """Which of FROZEN, SILENT and DEAD hold for a node, from when on."""
    holds: frozenset[int] = frozenset()
    found = []
    for event in events:
        if event.actor != "fault" or event.host != host or event.code not in (_ALL, _REGISTRAR):
            continue
        if event.event in _STRIKES:
            holds |= {_STRIKES[event.event]}
        elif event.event in _ENDS:
            holds -= {_ENDS[event.event]}
        else:
            continue
        found.append((event.t_us, holds))
    return found


def _at(t_us: int, number: int, probed: Sequence[Stretch], struck: Sequence[tuple[int, frozenset[int]]]) -> Stretch:
    """The worst that holds at an instant; what a prober saw of it counts only while nothing has struck the node."""
    holds: frozenset[int] = frozenset()
    for since_us, states in struck:
        if since_us <= t_us:
            holds = states
    # A silent host hides what its programs do, and a dead program cannot be frozen.
    for state in (SILENT, DEAD, FROZEN):
        if state in holds:
            return Stretch(t_us, number, state)
    last = [stretch for stretch in probed if stretch.t_us <= t_us][-1]
    return Stretch(t_us, number, last.state, last.code, last.delay_us, last.ready_us)


def _differs(one: Stretch, other: Stretch) -> bool:
    return (one.state, one.code, one.delay_us) != (other.state, other.code, other.delay_us)
