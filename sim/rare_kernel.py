"""One leg of a cycle, compiled: the cluster from one change of its surroundings to the next, or to a level.

`sim.rare_cycles` calls `advance`. It differs from `sim.kernel` in what may happen between two legs: disturbances begin
and end when the caller says so, a copy of a saved world gets chance of its own, and the agenda stays as it is.

The *score* says how far the group is on its way to a failover. While nobody has started one it is for how long the
`quorum` sentinels that have waited longest wait for the primary, added up, the last of them `LAST` times: all depends
on that one, and the others must hold out so long. Each counts up to the instant at which it must suspect, and in
hundredths of that, so that answers which are just under way count for nothing. The score is looked at after every
event, and events are a few ms apart: what it says between is not missed.

What was reported is thrown away at the next leg: nobody reads a trace of these runs.
"""

from __future__ import annotations

from model import draws
from model.effects import COUNT_LOST, MAX_HOSTS, PRIMARY, REPLICA
from model.records import FAR_FUTURE_US, Record, duration, flag, instant, number
from sim import clocks, faults
from sim.harvest import harvest
from sim.kernel import push_fresh, step
from sim.state import MAX_FAULTS, REDIS, SENTINEL, actor
from sim.steady import prepare

STEPS = 100
"""A sentinel's share of the score when it must suspect."""
LAST = 4
"""How much the last sentinel of the quorum counts. Kind: assumed (tried with 1: of two cuts that must overlap, the
second came too late)."""
STARTED = 1 << 50
"""Score once a sentinel has started a failover: above all silences."""
FAILED_OVER = 1 << 51
"""Score once another server is primary."""

_COPY = 9
"""Purpose of the draws of copies; their entities are 0, the network, and the actors of sentinels."""

# What ends a leg besides its time and its level.
NOTHING, CALM, DEMOTED = 0, 1, 2

_ANY = FAR_FUTURE_US

LEG = Record(
    "Leg",
    "What a leg is told, and what it tells.",
    [
        flag("is_first", "the world is prepared anew and runs up to its origin"),
        flag("parts", "it goes on from a copy: with other draws than its original"),
        number("seed", "of the draws", 0, _ANY),
        number("number", "number of the run; of the copy", 0, _ANY),
        number("strikes", "so many rows of the time line happen first", 0, MAX_FAULTS),
        instant("strikes_us", "and when"),
        instant("until_us", "end"),
        number("level", "score at which it ends before", 0, _ANY),
        number("stop", "NOTHING, CALM, DEMOTED: what else ends it", 0, 2),
        flag("counts", "count what was lost when it is over"),
        duration("enough_us", "silence that makes a sentinel suspect"),
        number("waiting", "entries of the heap, before and after", 0, _ANY),
        number("score", "at its end", 0, _ANY),
        number("highest", "highest score on it", 0, _ANY),
        flag("has_stopped", "1 = it ended because of `stop`"),
        number("lost", "confirmed registrations that the last primary does not have", 0, _ANY),
        number("silence", "work: silences, longest first", 0, STEPS, count=MAX_HOSTS),
    ],
)  # fmt: skip


def advance(world, settings, heap, leg):
    """Carry out a leg. Returns 0, or 1 when a bound of `sim.state` was too small."""
    if leg.is_first == 1:
        prepare(world, settings, leg.seed, leg.number)
        leg.until_us = world.origin_us
        leg.waiting = push_fresh(world, heap, 0, 0)
    if leg.parts == 1:
        _part(world, leg)
    world.n_reports = 0
    _strike(world, heap, leg)
    leg.has_stopped = 0
    leg.score = _score(world, leg)
    leg.highest = leg.score
    _run(world, heap, leg)
    if leg.counts == 1:
        leg.lost = _count_lost(world)
    return world.overflow


def _part(world, leg):
    """From here on other draws: the ways of two copies part at their next one."""
    draws.start(world.stream, leg.seed, leg.number, 0, _COPY)
    for host in range(world.hosts):
        draws.start(world.sentinel[host].stream, leg.seed, leg.number, actor(SENTINEL, host), _COPY)


def _strike(world, heap, leg):
    if leg.strikes == 0:
        return
    world.now_us = leg.strikes_us
    for index in range(leg.strikes):
        faults.strike(world, index)
    leg.waiting = push_fresh(world, heap, leg.waiting, 0)


def _run(world, heap, leg):
    n = leg.waiting
    while n > 0 and world.overflow == 0 and leg.score < leg.level:
        if leg.stop == CALM and _is_calm(world) or leg.stop == DEMOTED and _is_demoted(world):
            leg.has_stopped = 1
            break
        if heap[0].t_us > leg.until_us:
            world.now_us = leg.until_us
            break
        n = step(world, heap, n)
        leg.score = _score(world, leg)
        leg.highest = max(leg.highest, leg.score)
    leg.waiting = n


# --- how far it is ---------------------------------------------------------------------------------------------------


def _score(world, leg):
    if _has_failed_over(world):
        return FAILED_OVER
    n = 0
    quorum = 0
    for host in range(world.hosts):
        if world.process[actor(SENTINEL, host)].alive == 1:
            if world.sentinel[host].in_progress == 1:
                return STARTED
            quorum = world.sentinel[host].quorum
            _insert(leg, n, min(_silence_us(world, host) * STEPS // leg.enough_us, STEPS))
            n += 1
    total = 0
    for rank in range(min(n, quorum)):
        total += leg.silence[rank] * (LAST if rank == quorum - 1 else 1)
    return total


def _insert(leg, n, silence):
    """Put a silence among n that are in order."""
    at = n
    while at > 0 and leg.silence[at - 1] < silence:
        leg.silence[at] = leg.silence[at - 1]
        at -= 1
    leg.silence[at] = silence


def _silence_us(world, host):
    """For how long a sentinel has waited for the primary, as it sees it itself."""
    watch = world.sentinel[host].server[world.first_primary].watch
    now_us = clocks.wall_us(world, host)
    if watch.ping_us != 0:
        return max(now_us - watch.ping_us, 0)
    if watch.connected == 0:
        return max(now_us - watch.avail_us, 0)
    return 0


def _has_failed_over(world):
    """True when another server than the first is primary."""
    for host in range(world.hosts):
        is_other = host != world.first_primary and world.process[actor(REDIS, host)].exists == 1
        if is_other and world.redis[host].role == PRIMARY:
            return True
    return False


def _is_calm(world):
    """True when no sentinel waits for the primary, suspects it or wants to replace it."""
    for host in range(world.hosts):
        if world.process[actor(SENTINEL, host)].alive == 1:
            node = world.sentinel[host]
            if node.in_progress == 1 or node.server[world.first_primary].watch.s_down == 1:
                return False
            if _silence_us(world, host) > 0:
                return False
    return True


def _is_demoted(world):
    """True when the first primary is a replica."""
    return world.redis[world.first_primary].role == REPLICA


def _count_lost(world):
    world.n_reports = 0
    harvest(world)
    lost = 0
    for index in range(world.n_reports):
        if world.report[index].report == COUNT_LOST:
            lost += world.report[index].code
    return lost
