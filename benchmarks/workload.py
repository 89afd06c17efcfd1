"""A small cluster for timing engines: links that ping, lose packets, miss answers, and agree that a server is down.

The bare bones of what the simulator does at every event, in the machines' own language (`model.compiled`): take the
earliest event, change some integers, draw, schedule. Three watchers ping five servers each once a second; the server
that all of them watch crashes, and a quorum agrees on it. 60 s of it are some 3,500 events.

Four engines run this very source (compiled; heapq; SimPy with callbacks, SimPy with processes); ``kernel.c`` beside it
says the same in C. `CLUSTER.digest` mixes every event in as it happens, so equal digests mean equal events in equal
order.
"""

from __future__ import annotations

from model import draws
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, nested, number
from sim import heap

WATCHERS, SERVERS = 3, 5
LINKS = WATCHERS * SERVERS
QUORUM = 2
PERIOD_US, TIMEOUT_US, DOWN_AFTER_US = 1_000_000, 500_000, 5_000_000
LEAST_US, SPREAD_US = 200, 4_800
LOSS_PERCENT = 1
CRASH_US, CRASH_SPREAD_US = 20_000_000, 20_000_000
END_US = 60_000_000
"""The workload: times in µs. Kind: assumed (Sentinel's period of pings, a local network)."""

MAX_EVENTS = 1 + 3 * LINKS
"""The crash; for each link a tick, a time-out, and a ping or its answer."""
TICK, PING, PONG, TIMEOUT, CRASH = range(5)
_DIGEST_BITS = (1 << 56) - 1

EVENT = Record(
    "PingEvent",
    "Something that will happen.",
    [
        instant("t_us", "when"),
        number("order", "events of one instant happen in this order", 0, FAR_FUTURE_US),
        number("kind", "TICK .. CRASH", 0, CRASH),
        number("link", "which link it concerns", 0, LINKS),
        number("ping", "number of the ping", 0, FAR_FUTURE_US),
    ],
)

LINK = Record(
    "PingLink",
    "One watcher's link to one server.",
    [
        nested("stream", "its draws", draws.STREAM),
        number("server", "where it leads", 0, SERVERS),
        number("sent", "pings so far", 0, FAR_FUTURE_US),
        number("answered", "number of the latest ping with an answer", 0, FAR_FUTURE_US),
        instant("heard_us", "when that came"),
        flag("is_down", "the watcher takes the server for down"),
    ],
)

CLUSTER = Record(
    "PingCluster",
    "The cluster, and the events to come.",
    [
        instant("now_us", "now"),
        nested("link", "all links", LINK, LINKS),
        flag("has_crashed", "server 0 is gone"),
        number("votes", "watchers that take it for down", 0, WATCHERS),
        instant("crashed_us", "when it goes"),
        instant("agreed_us", "when a quorum first agreed on that, 0 = not yet"),
        number("missed", "time-outs without an answer", 0, FAR_FUTURE_US),
        number("happened", "events so far", 0, FAR_FUTURE_US),
        number("digest", "of all that happened", 0, _DIGEST_BITS),
        number("order", "events scheduled so far", 0, FAR_FUTURE_US),
        nested("event", "the agenda", EVENT, MAX_EVENTS),
        number("n_free", "free places of it", 0, MAX_EVENTS),
        number("free", "which", 0, MAX_EVENTS, count=MAX_EVENTS),
        number("n_fresh", "events scheduled since the engine looked last", 0, MAX_EVENTS),
        number("fresh", "their places", 0, MAX_EVENTS, count=MAX_EVENTS),
    ],
)

TOTALS = Record(
    "PingTotals",
    "What all runs of a batch came to.",
    [
        number("events", "events", 0, FAR_FUTURE_US),
        number("missed", "time-outs without an answer", 0, FAR_FUTURE_US),
        duration("outage_us", "from the crash to the quorum"),
        number("digest", "digests, combined", 0, _DIGEST_BITS),
    ],
)


def prepare(cluster, seed, run):
    """Set a cluster to its start and put its first events on the agenda."""
    cluster.now_us = 0
    cluster.has_crashed = 0
    cluster.votes = 0
    cluster.agreed_us = 0
    cluster.missed = 0
    cluster.happened = 0
    cluster.digest = 0
    cluster.order = 0
    cluster.n_fresh = 0
    cluster.n_free = MAX_EVENTS
    for place in range(MAX_EVENTS):
        cluster.free[place] = place
    for index in range(LINKS):
        _prepare_link(cluster, cluster.link[index], index, seed, run)
    cluster.crashed_us = CRASH_US + draws.below(cluster.link[0].stream, CRASH_SPREAD_US)
    _schedule(cluster, cluster.crashed_us, CRASH, 0, 0)


def _prepare_link(cluster, link, index, seed, run):
    draws.start(link.stream, seed, run, index, 0)
    link.server = index % SERVERS
    link.sent = 0
    link.answered = 0
    link.heard_us = 0
    link.is_down = 0
    _schedule(cluster, draws.below(link.stream, PERIOD_US), TICK, index, 0)


def _schedule(cluster, t_us, kind, index, ping):
    cluster.n_free -= 1
    place = cluster.free[cluster.n_free]
    event = cluster.event[place]
    event.t_us = t_us
    event.order = cluster.order
    cluster.order += 1
    event.kind = kind
    event.link = index
    event.ping = ping
    cluster.fresh[cluster.n_fresh] = place
    cluster.n_fresh += 1


def happen(cluster, place):
    """The event at `place` of the agenda is due."""
    event = cluster.event[place]
    kind = event.kind
    index = event.link
    ping = event.ping
    cluster.now_us = event.t_us
    cluster.free[cluster.n_free] = place
    cluster.n_free += 1
    cluster.happened += 1
    cluster.digest = (cluster.digest * 31 + cluster.now_us + kind) & _DIGEST_BITS
    if kind == TICK:
        _tick(cluster, cluster.link[index], index)
    elif kind == PING:
        _answer(cluster, cluster.link[index], index, ping)
    elif kind == PONG:
        _hear(cluster, cluster.link[index], ping)
    elif kind == TIMEOUT:
        _time_out(cluster, cluster.link[index], ping)
    else:
        cluster.has_crashed = 1


def _tick(cluster, link, index):
    link.sent += 1
    _send(cluster, link, index, PING, link.sent)
    _schedule(cluster, cluster.now_us + TIMEOUT_US, TIMEOUT, index, link.sent)
    _schedule(cluster, cluster.now_us + PERIOD_US, TICK, index, 0)


def _answer(cluster, link, index, ping):
    if link.server != 0 or cluster.has_crashed == 0:
        _send(cluster, link, index, PONG, ping)


def _send(cluster, link, index, kind, ping):
    if draws.below(link.stream, 100) >= LOSS_PERCENT:
        _schedule(cluster, cluster.now_us + LEAST_US + draws.below(link.stream, SPREAD_US), kind, index, ping)


def _hear(cluster, link, ping):
    link.heard_us = cluster.now_us
    link.answered = max(link.answered, ping)
    if link.is_down == 1:
        link.is_down = 0
        if link.server == 0:
            cluster.votes -= 1


def _time_out(cluster, link, ping):
    if link.answered >= ping:
        return
    cluster.missed += 1
    if link.is_down == 0 and cluster.now_us - link.heard_us > DOWN_AFTER_US:
        link.is_down = 1
        if link.server == 0:
            cluster.votes += 1
            if cluster.votes >= QUORUM and cluster.agreed_us == 0:
                cluster.agreed_us = cluster.now_us


def note(cluster, totals):
    """Add a run that is over to the totals."""
    totals.events += cluster.happened
    totals.missed += cluster.missed
    totals.outage_us += cluster.agreed_us - cluster.crashed_us
    totals.digest = (totals.digest * 31 + cluster.digest) & _DIGEST_BITS


def batch(cluster, agenda, totals, seed, first, count):
    """Runs `first` .. `first + count - 1`, one after the other: the kernel to be compiled."""
    for run in range(first, first + count):
        prepare(cluster, seed, run)
        n = _push_fresh(cluster, agenda, 0)
        while agenda[0].t_us < END_US:
            place = agenda[0].place
            n = heap.pop(agenda, n)
            happen(cluster, place)
            n = _push_fresh(cluster, agenda, n)
        note(cluster, totals)


def _push_fresh(cluster, agenda, n):
    for index in range(cluster.n_fresh):
        place = cluster.fresh[index]
        event = cluster.event[place]
        heap.push(agenda, n, event.t_us, event.order, place)
        n += 1
    cluster.n_fresh = 0
    return n
