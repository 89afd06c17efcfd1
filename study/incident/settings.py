"""What the lines of sentinels tell of their settings, as intervals; a ``sentinel.conf`` counts for more.

* quorum: ``+monitor`` and ``+odown`` say it.
* down-after: after a switch the old primary is a new instance for every sentinel, its silence counted from then. If it
  is really gone, ``+sdown`` comes the delay later, and the next tick or two. So the shortest such gap is an upper bound
  for certain, and a lower bound when it is diminished by `TICKS_MS`.
  Without such a gap it is at most what had been logged of an instance before its first ``+sdown``.
* failover-timeout: who has voted, or tried, says when it may try again: 2 x failover-timeout after a start to which
  Sentinel adds up to a second at random; the line is rounded down to whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from model.conform.lines import until_ms
from study.incident.hosts import Cluster
from study.incident.logs import Evidence, Log

TICKS_MS = 230
"""Two ticks of a sentinel (10 Hz, jittered) and 30 ms of a busy machine. Kind: specified, and assumed for the rest."""

JITTER_MS = 1000
"""sentinel.c SENTINEL_MAX_DESYNC. Kind: specified."""

ESTIMATED = "from the lines"

LEAST_MS = 100
"""The least down-after that a scenario may have."""

DEFAULTS = {"quorum": 2, "down_after_ms": 30_000, "failover_timeout_ms": 180_000}
"""Where nothing is known: vendor defaults, and the deployment guide's quorum."""


@dataclass(frozen=True, slots=True)
class Known:
    """A setting: the value that is used, the limits within which it must be, and where from."""

    value: int
    low: int
    high: int
    source: str
    lines: tuple[str, ...] = ()


def settings(evidence: Evidence, cluster: Cluster) -> dict[str, Known]:
    """Quorum, down-after and failover-timeout (ms)."""
    sentinels = [log for log in evidence.logs if log.kind == "sentinel"]
    told = {
        "quorum": _quorum(sentinels),
        "down_after_ms": _narrowest(_down_after(sentinels)) or _at_most(sentinels),
        "failover_timeout_ms": _common(_failover_timeout(sentinels)),
    }
    given = _configured(evidence, cluster.group)
    return {name: given.get(name) or told[name] or _default(name) for name in DEFAULTS}


def _configured(evidence: Evidence, group: str) -> dict[str, Known]:
    for each in evidence.configurations:
        found = each.groups.get(group)
        if found:
            values = {"quorum": found.quorum, "down_after_ms": found.down_after,
                      "failover_timeout_ms": found.failover_timeout}  # fmt: skip
            return {name: Known(value, value, value, "sentinel.conf") for name, value in values.items() if value}
    return {}


def _default(name: str) -> Known:
    value = DEFAULTS[name]
    return Known(value, 1, 2**31 - 1, "assumed: no line tells")


def _quorum(sentinels: Iterable[Log]) -> Known | None:
    for log in sentinels:
        for entry in log.entries:
            if entry.event == "+monitor" and entry.words[-2:-1] == ("quorum",):
                value = int(entry.words[-1])
            elif entry.event == "+odown" and entry.words[-1].partition("/")[2].isdecimal():
                value = int(entry.words[-1].partition("/")[2])
            else:
                continue
            return Known(value, value, value, "told", (entry.place,))
    return None


Limits = tuple[int, int, str]
"""Least and greatest value, and the line that tells."""


def _down_after(sentinels: Iterable[Log]) -> Iterator[Limits]:
    for log in sentinels:
        switched: dict[str, int] = {}
        for entry in log.entries:
            if entry.event == "+switch-master":
                switched = {f"{entry.words[1]}:{entry.words[2]}": entry.at_ms}
            elif entry.event == "+sdown" and not entry.is_sentinel and entry.address in switched:
                gap = entry.at_ms - switched.pop(entry.address)
                yield max(gap - TICKS_MS, 1), gap, entry.place


def _at_most(sentinels: Iterable[Log]) -> Known | None:
    """The delay is no longer than the log that leads to the first suspicion."""
    gaps = [(entry.at_ms - log.entries[0].at_ms, entry.place) for log in sentinels for entry in log.entries
            if entry.event == "+sdown" and entry.at_ms > log.entries[0].at_ms + LEAST_MS]  # fmt: skip
    if not gaps:
        return None
    high, place = min(gaps)
    value = min(DEFAULTS["down_after_ms"], roundest(LEAST_MS, high))
    return Known(value, LEAST_MS, high, "assumed within what the lines allow", (place,))


def _failover_timeout(sentinels: Iterable[Log]) -> Iterator[Limits]:
    for log in sentinels:
        start = None
        for entry in log.entries:
            if entry.event in ("+try-failover", "+vote-for-leader"):
                start = entry.at_ms
            elif entry.event == "delay" and start is not None:
                until = until_ms(" ".join(entry.words))
                if until is not None:
                    yield ceil((until - start - JITTER_MS) / 2), (until + 999 - start) // 2, entry.place


def _narrowest(limits: Iterable[Limits]) -> Known | None:
    """From the least upper bound: others may be of an instance that was there for a while."""
    found = min(limits, key=lambda each: each[1], default=None)
    return _known([found]) if found else None


def _common(limits: Iterable[Limits]) -> Known | None:
    """From all of them."""
    found = list(limits)
    return _known(found) if found else None


def _known(limits: Sequence[Limits]) -> Known | None:
    low, high = max(each[0] for each in limits), min(each[1] for each in limits)
    if low > high:
        return None
    return Known(roundest(low, high), low, high, ESTIMATED, tuple(each[2] for each in limits))


def roundest(low: int, high: int) -> int:
    """The number between two limits that somebody would have written into a file: with most zeros at its end."""
    unit = 10 ** len(str(high))
    while unit > 1:
        for step in (unit, unit // 2):
            if high // step * step >= max(low, 1):
                return high // step * step
        unit //= 10
    return high
