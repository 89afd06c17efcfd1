"""From one milestone to the next: least and greatest time, as sums of settings.

Nothing here compares or rounds: there are only sums, differences and absolute values. So a prover's symbols may stand
for the settings, and what is proved is proved of this text (`study.proofs.bounds`). The structure of steps that the
sums follow from is `model.bounds.steps`; `swift` says that answers come before the next tick even at their slowest.

A sentinel that rewrites its configuration file stands still for up to F, its `flush`; where several may follow each
other there are several F. How many is counted generously: they are half a ms each on a good disk.

Left out: lost packets, faults while the failover runs, TILT.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.bounds.group import Range
from model.laws import TICK_MS
from model.redis_server import REWRITE_US
from model.sentinel import FAST_INFO_PERIOD_US, INFO_PERIOD_US, MAX_DESYNC_MS, PUBLISH_PERIOD_US

FAST_INFO_MS, INFO_MS, HELLO_MS = FAST_INFO_PERIOD_US / 1000, INFO_PERIOD_US / 1000, PUBLISH_PERIOD_US / 1000
REWRITE_MS = REWRITE_US / 1000
DESYNC_MS = MAX_DESYNC_MS - 1


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast sentinels are, all times in ms.

    Attributes
    ----------
    delay_ms, period_ms : float
        Of silence until +sdown; of PINGs.
    between : Range
        One way between two sentinels.
    flush_ms : float
        Longest rewrite of the configuration file.
    tick : Range
        Time between two ticks.
    """

    delay_ms: float
    period_ms: float
    between: Range
    flush_ms: float
    tick: Range = Range(*TICK_MS)


def greatest(a: float, b: float) -> float:
    """The greater of two."""
    return (a + b + abs(a - b)) / 2


def least(a: float, b: float) -> float:
    """The smaller of two."""
    return (a + b - abs(a - b)) / 2


def silent(pace: Pace, forth: Range, back: Range) -> Range:
    """+sdown of one sentinel after a fault that leaves connections as they are: a host vanished, a program frozen.

    The clock starts at the first PING that finds nobody. It left at -forth at the earliest; at the latest a period and
    a tick after the last answer, which was sent before the fault.
    """
    first_ping = Range(-forth.high_ms, back.high_ms + pace.period_ms + pace.tick.high_ms)
    return first_ping + Range(pace.delay_ms, pace.delay_ms + pace.tick.high_ms)


def reset(pace: Pace, forth: Range, back: Range) -> Range:
    """+sdown of one sentinel after a fault that resets both its connections: a program killed.

    The clock starts at a PING that was under way, or at the first tick after the reset, which reconnects in vain.
    """
    first_ping = Range(-forth.high_ms, back.high_ms + pace.tick.high_ms)
    return first_ping + Range(pace.delay_ms, pace.delay_ms + pace.tick.high_ms)


def agreement(pace: Pace, swift: bool) -> Range:
    """From the quorum-th +sdown to the first +odown, where others have to be asked.

    The quorum-th asks in that tick and looks at the first tick after the answers. Another one's question may have come
    just after the quorum-th +sdown: then it left up to a way before, and that sentinel looks a tick after it left.
    """
    answers_ms = 0 if swift else 2 * pace.between.high_ms
    earliest_ms = greatest(pace.tick.low_ms - pace.between.high_ms, pace.between.low_ms)
    return Range(earliest_ms, answers_ms + pace.tick.high_ms)


def election(pace: Pace, live: int, swift: bool) -> Range:
    """From the first +odown to the first +elected-leader of an election that is won, where others have to vote.

    Asked in the tick of +odown; each voter rewrites its file twice, for each candidate in turn. A sentinel that starts
    before it has heard of the first one may win in its place.
    """
    flush_ms = pace.flush_ms
    rival_ms = pace.between.high_ms + 3 * flush_ms
    answers_ms = 0 if swift else 2 * pace.between.high_ms + (1 + 2 * live) * flush_ms
    earliest_ms = greatest(pace.tick.low_ms, 2 * pace.between.low_ms)
    return Range(earliest_ms, rival_ms + answers_ms + pace.tick.high_ms + 3 * flush_ms)


def turning(pace: Pace, way: Range) -> Range:
    """From +elected-leader to the promoted server's change of role: one state a tick, REPLICAOF NO ONE at the 2nd."""
    return Range(2 * pace.tick.low_ms, 2 * pace.tick.high_ms + 2 * pace.flush_ms) + way


def sighting(pace: Pace, way: Range) -> Range:
    """From the change of role to +promoted-slave: by the INFO of that tick, or a fast period after one just before."""
    latest_ms = way.high_ms + FAST_INFO_MS + pace.tick.high_ms + 2 * way.high_ms + REWRITE_MS + 3 * pace.flush_ms
    return Range(way.low_ms, latest_ms)


def next_tick_ms(pace: Pace, way: Range) -> float:
    """From +promoted-slave to the leader's next tick, at least: INFO was sent at a tick, a round trip before."""
    return greatest(0, pace.tick.low_ms - 2 * way.high_ms - REWRITE_MS - pace.flush_ms)


def hearing(pace: Pace, way: Range) -> Range:
    """From +promoted-slave to another sentinel's +switch-master.

    The hello leaves at the next tick; but if one was under way when the promotion was seen, its answer puts the next
    one off by a period.
    """
    latest_ms = 3 * pace.between.high_ms + HELLO_MS + pace.tick.high_ms + 4 * pace.flush_ms
    return Range(next_tick_ms(pace, way), latest_ms)


def own_switch(pace: Pace, way: Range, timeout_ms: float) -> Range:
    """From +promoted-slave to the leader's own +switch-master: when all other replicas follow, or after so long.

    `timeout_ms` is failover-timeout, 0 when there is no other replica to wait for.
    """
    return Range(next_tick_ms(pace, way), timeout_ms + pace.tick.high_ms + 2 * pace.flush_ms)


def retry(pace: Pace, timeout_ms: float) -> Range:
    """From the start of an attempt that is lost to the start of the next one.

    Everybody who started or voted waits for two failover-timeouts from then, plus up to a second that is drawn.
    """
    return Range(2 * timeout_ms, 2 * timeout_ms + DESYNC_MS + pace.tick.high_ms + 3 * pace.flush_ms)


def demotion(pace: Pace, way: Range, contact_ms: float) -> Range:
    """From an old primary's return to the first +convert-to-slave: its second INFO, a period after the first.

    `contact_ms` is the longest time from the return to the first answer to an INFO.
    """
    latest_ms = contact_ms + INFO_MS + pace.tick.high_ms + 2 * way.high_ms + pace.flush_ms
    return Range(INFO_MS, latest_ms)
