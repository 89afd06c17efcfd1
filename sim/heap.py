"""A binary heap over (time, order): what is next on an agenda. Each entry carries the place of its event there."""

from __future__ import annotations

from model.records import FAR_FUTURE_US, Record, instant, number

ENTRY = Record(
    "HeapEntry",
    "One event of an agenda.",
    [
        instant("t_us", "when it happens"),
        number("order", "events of one instant happen in this order", 0, FAR_FUTURE_US),
        number("place", "its place on the agenda", 0, FAR_FUTURE_US),
    ],
)


def push(heap, n, t_us, order, place):
    """Put an entry into a heap of n."""
    at = n
    while at > 0:
        up = (at - 1) >> 1
        if not _is_before(t_us, order, heap[up]):
            break
        _copy(heap[up], heap[at])
        at = up
    heap[at].t_us = t_us
    heap[at].order = order
    heap[at].place = place


def pop(heap, n):
    """Take the first entry off a heap of n; returns the new length.

    The hole goes down to the bottom along the earlier children, and the last entry up from there, where it mostly
    belongs: that leaves the processor nothing to guess on the way down.
    """
    n -= 1
    at = 0
    down = 1
    while down + 1 < n:
        right = heap[down + 1]
        down += _is_before(right.t_us, right.order, heap[down])
        _copy(heap[down], heap[at])
        at = down
        down = 2 * at + 1
    if down < n:
        _copy(heap[down], heap[at])
        at = down
    last = heap[n]
    push(heap, at, last.t_us, last.order, last.place)
    return n


def replace(heap, n, t_us, order, place):
    """Put an entry into a heap of n in place of the first one: what happens soon is at its place at once."""
    at = 0
    down = 1
    while down < n:
        if down + 1 < n:
            right = heap[down + 1]
            down += _is_before(right.t_us, right.order, heap[down])
        if _is_before(t_us, order, heap[down]):
            break
        _copy(heap[down], heap[at])
        at = down
        down = 2 * at + 1
    heap[at].t_us = t_us
    heap[at].order = order
    heap[at].place = place


def _is_before(t_us, order, entry):
    return (t_us < entry.t_us) | ((t_us == entry.t_us) & (order < entry.order))


def _copy(source, target):
    target.t_us = source.t_us
    target.order = source.order
    target.place = source.place
