"""The steps of a failover as conditions on instants: what a run may do, whatever the settings.

Each function says which conditions the instants of one stage meet, in words and as truth values. With numbers these are
true or false: recorded runs of the machines are held against them. With a prover's symbols they are formulas: it looks
for a run that meets them all and lies outside the limits of `model.bounds.limits`, for all settings at once.

A `run` has its instants, and the single delays, as attributes in ms; instant 0 is where the stage begins.

Left out: as in `model.bounds.limits`; and who votes for whom. An election that is won needs some answers, and the
slowest of those that were needed counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.bounds.group import Range
from model.bounds.limits import DESYNC_MS, FAST_INFO_MS, HELLO_MS, INFO_MS, REWRITE_MS, Pace

Condition = tuple[str, Any]
"""Words, and a truth value or a formula."""


def _takes(words: str, value: Any, limits: Range) -> Iterator[Condition]:
    yield f"{words} takes its least time or more", value >= limits.low_ms
    yield f"{words} takes its greatest time or less", value <= limits.high_ms


def _first_tick(words: str, before: Any, tick: Any, due: Any, pace: Pace) -> Iterator[Condition]:
    """`tick` is the first one *more* than due; at the one before it was not yet."""
    yield f"{words}: not yet at the tick before", before <= due
    yield f"{words}: due at this tick", tick > due
    yield from _takes(f"{words}: a tick", tick - before, pace.tick)


def _suspicion(pace: Pace, run: Any) -> Iterator[Condition]:
    yield "the PING left before the tick before", run.ping <= run.before_down
    yield from _first_tick("+sdown", run.before_down, run.down, run.ping + pace.delay_ms, pace)


def silent_steps(pace: Pace, forth: Range, back: Range, run: Any) -> Iterator[Condition]:
    """Up to +sdown after a fault at 0 that leaves connections as they are.

    `answered`: when the last PING left that was answered, after `forth` and `back`. `ping`: when the next one left, due
    at a tick; it arrived `lost` later. `down`: +sdown.
    """
    yield from _takes("the way of the answered PING", run.forth, forth)
    yield from _takes("its answer", run.back, back)
    yield from _takes("the way of the other PING", run.lost, forth)
    yield "the last answered PING arrived before the fault", run.answered + run.forth <= 0
    yield "the tick before the other PING comes later", run.answered <= run.before_ping
    due = run.answered + run.forth + run.back + pace.period_ms
    yield from _first_tick("PING", run.before_ping, run.ping, due, pace)
    yield "it finds nobody", run.ping + run.lost >= 0
    yield from _suspicion(pace, run)


def reset_steps(pace: Pace, back: Range, run: Any) -> Iterator[Condition]:
    """Up to +sdown after a fault at 0 that resets connections while no PING is under way.

    `reset`: when the sentinel hears of it. `ping`: the next tick, which reconnects in vain.
    """
    yield from _takes("the reset", run.reset, back)
    yield "not yet at the tick before", run.before_ping <= run.reset
    yield "at the first tick after the reset", run.ping >= run.reset
    yield from _takes("a tick", run.ping - run.before_ping, pace.tick)
    yield from _suspicion(pace, run)


def caught_steps(pace: Pace, forth: Range, back: Range, run: Any) -> Iterator[Condition]:
    """Up to +sdown after a fault at 0 that resets connections while a PING is under way, or leaves before the reset."""
    yield from _takes("the way of the PING", run.lost, forth)
    yield from _takes("the reset", run.reset, back)
    yield "it finds nobody", run.ping + run.lost >= 0
    yield "it leaves before the sentinel hears of the fault", run.ping <= run.reset
    yield from _suspicion(pace, run)


def _looks(words: str, began: Any, before: Any, tick: Any, last: Any, pace: Pace) -> Iterator[Condition]:
    """`tick` is the first after the last answer that counts, of those that follow the tick at which asking began."""
    yield (
        f"{words}: the tick before is that of asking or a later one",
        ((before == began) | (before >= began + pace.tick.low_ms)),
    )
    yield f"{words}: the last answer is not there at the tick before", before <= last
    yield f"{words}: it is there", tick >= last


def latest_agreement_steps(pace: Pace, run: Any) -> Iterator[Condition]:
    """From the quorum-th +sdown at 0 to this sentinel's +odown: `forth` and `back` are of its slowest answer."""
    yield from _takes("the way of the question", run.forth, pace.between)
    yield from _takes("the way of the answer", run.back, pace.between)
    yield from _looks("+odown", 0, run.before, run.odown, run.forth + run.back, pace)
    yield from _takes("+odown: a tick", run.odown - run.before, pace.tick)


def earliest_agreement_steps(pace: Pace, run: Any) -> Iterator[Condition]:
    """Any first +odown after the quorum-th +sdown at 0, of a sentinel that `asked` and got a yes, both down by then.

    `down` is its own +sdown, `other` that of the one who says yes. The later of both is the quorum-th, or after it.
    """
    yield from _takes("the way of the question", run.forth, pace.between)
    yield from _takes("the way of the answer", run.back, pace.between)
    yield "who asks suspects", run.asked >= run.down
    yield "who says yes suspects", run.asked + run.forth >= run.other
    yield "the later one is the quorum-th or comes after it", (run.down >= 0) | (run.other >= 0)
    yield "+odown comes after the answer", run.odown >= run.asked + run.forth + run.back
    yield "+odown comes at a later tick", run.odown >= run.asked + pace.tick.low_ms


def election_steps(pace: Pace, live: int, run: Any) -> Iterator[Condition]:
    """From the first +odown at 0 to the +elected-leader of who wins.

    `start`: the winner's own start, at once or before it has heard of the first one (`heard` later). `forth`, `back`:
    ways of the slowest vote that was needed; `stood`, `voter`, `lag`: for how long the winner, that voter, and the
    winner once more stood still in rewrites.
    """
    flush = Range(0, pace.flush_ms)
    yield from _takes("the first one's request to the winner", run.heard, Range(0, pace.between.high_ms))
    yield from _takes("flushes before it is heard", run.before_heard, Range(0, 3 * flush.high_ms))
    yield "nobody starts before the first", run.start >= 0
    yield "nobody starts who has heard of the first", run.start <= run.heard + run.before_heard
    yield from _takes("the way of the request", run.forth, pace.between)
    yield from _takes("the way of the vote", run.back, pace.between)
    yield from _takes("the winner's own vote", run.stood, flush)
    yield from _takes("rewrites of the voter", run.voter, Range(0, 2 * live * flush.high_ms))
    yield from _takes("rewrites of the winner", run.lag, Range(0, 2 * flush.high_ms))
    vote = run.start + run.stood + run.forth + run.voter + run.back
    yield from _looks("+elected-leader", run.start, run.before, run.elected, vote, pace)
    limits = Range(pace.tick.low_ms, pace.tick.high_ms + run.lag + run.stood)
    yield from _takes("+elected-leader: a tick", run.elected - run.before, limits)


def turning_steps(pace: Pace, way: Range, run: Any) -> Iterator[Condition]:
    """From +elected-leader at 0 to the promoted server's change of role."""
    limits = Range(pace.tick.low_ms, pace.tick.high_ms + pace.flush_ms)
    yield from _takes("the tick that selects", run.selected, limits)
    yield from _takes("the tick that promotes", run.sent - run.selected, limits)
    yield from _takes("the way of REPLICAOF", run.turned - run.sent, way)


def sighting_steps(pace: Pace, way: Range, run: Any) -> Iterator[Condition]:
    """From the change of role at 0 to +promoted-slave, seen by the INFO that is the next after one that came too early.

    `early`: when that one left; `info`: when the next one did, at a tick.
    """
    for words, value in (("INFO", run.forth), ("its answer", run.back), ("next INFO", run.again),
                         ("next answer", run.seen_after)):  # fmt: skip
        yield from _takes(words, value, way)
    yield "the early one came before the change", run.early + run.forth <= 0
    yield from _takes("the file of the server", run.held, Range(0, REWRITE_MS))
    yield from _takes("flushes", run.lag, Range(0, 3 * pace.flush_ms))
    due = run.early + run.forth + run.back + FAST_INFO_MS
    yield from _first_tick("INFO", run.before, run.info, due, pace)
    yield "the next one comes after it", run.info + run.again + run.held >= 0
    yield "+promoted-slave", run.promoted == run.info + run.again + run.held + run.seen_after + run.lag


def hearing_steps(pace: Pace, way: Range, run: Any) -> Iterator[Condition]:
    """From +promoted-slave at 0 to another sentinel's switch, the hello having been put off or not.

    `info`: the tick that sent the INFO which showed the promotion; `tick`: the leader's next one; `publish`: when a
    hello left that was still under way; `hello`: the tick that sends the new configuration.
    """
    yield from _takes("ways of that INFO", -run.info, Range(0, 2 * way.high_ms + REWRITE_MS + pace.flush_ms))
    yield "the next tick comes after the promotion was seen", run.tick >= 0
    yield "and a tick's time after that INFO", run.tick >= run.info + pace.tick.low_ms
    yield from _takes("ways of the hello under way", run.answered - run.publish, Range(0, 2 * pace.between.high_ms))
    yield "it left before the promotion was seen", run.publish <= 0
    yield from _takes("flushes", run.lag, Range(0, 4 * pace.flush_ms))
    yield "a hello leaves at a tick", run.hello >= run.tick
    yield (
        "a hello leaves a period after the last answer at the latest",
        (run.hello <= run.answered + HELLO_MS + pace.tick.high_ms),
    )
    yield from _takes("the way of the hello", run.way, Range(0, pace.between.high_ms))
    yield "+switch-master", run.switched == run.hello + run.way + run.lag


def retry_steps(pace: Pace, timeout_ms: Any, run: Any) -> Iterator[Condition]:
    """From the start at 0 of an attempt that is lost to the first start of the next one.

    `drawn`: what the one who started first drew; `again`: its first tick that may start again; `start`: the first of
    all, by one who drew `other` when it voted or started at `voted`.
    """
    yield from _takes("the part that is drawn", run.drawn, Range(0, DESYNC_MS))
    yield from _takes("the other's part", run.other, Range(0, DESYNC_MS))
    yield from _takes("flushes", run.lag, Range(0, 3 * pace.flush_ms))
    yield "nobody votes before the first start", run.voted >= 0
    yield "two time-outs are over", run.start >= run.voted + run.other + 2 * timeout_ms
    yield "the tick before it was too early", run.before < run.drawn + 2 * timeout_ms
    yield from _takes("a tick", run.again - run.before - run.lag, pace.tick)
    yield "the first one is at least as early as he who started first", run.start <= run.again


def demotion_steps(pace: Pace, way: Range, contact_ms: Any, run: Any) -> Iterator[Condition]:
    """From an old primary's return at 0 to the first +convert-to-slave, at the second INFO."""
    yield from _takes("the first contact", run.contact, Range(0, contact_ms))
    yield from _first_tick("INFO", run.before, run.info, run.contact + INFO_MS, pace)
    yield from _takes("ways of INFO", run.ways, Range(0, 2 * way.high_ms))
    yield from _takes("flushes", run.lag, Range(0, pace.flush_ms))
    yield "+convert-to-slave", run.told == run.info + run.ways + run.lag
