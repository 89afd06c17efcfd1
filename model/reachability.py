"""Can a client be called? Outages, their parts, blind and zombie time, from the events of phones and callers.

Callers ask every node for every client at a fixed period (actor ``caller``), and the client says what it does (actor
``ua``).

Outage
------
A client is out while a call to it fails through *every* node: from the sending of the first such call to the answer of
the next good one. A call through a dead node fails, but nobody has to ask that node. What lies before the first fault
is cut off: a clock that is wrong all the time makes outages of its own, and arms begin to look at different times.

The parts of a client's outage
------------------------------
The longest window of a client is walked through from its start; its time belongs, one after the other, to

===========  ==========================================================================================================
unaware      while the client takes itself for registered: until it starts the attempt (REGISTER) that then fails, or
             notices that a flow is lost; or, if it never fails, until it is registered anew
give_up      from there until that first attempt has failed: status, no final answer in time, no connection
elsewhere    after a failure without a word of a node (no answer, no connection, certificate, no answer of the DNS), and
             after the loss of a flow: further attempts, limits of connects, look-ups, pauses
refused      after a failure by the answer of a node: it lives but cannot store; the client waits, or tries again
done         after a 200: the registration is on its way to the nodes, or hidden from them
===========  ==========================================================================================================

The window begins with the first call that fails, and calls are half a second apart: a client that was told of a lost
flow may have been refused elsewhere before. So what a window begins with is what the client has met last: `unaware`
after a 200, else the part that its last failure began.

From the first failure on each event decides what the time after it is: *failed* with a status of a node begins
`refused`, every other failure and a lost flow `elsewhere`, *registered* `done`; attempts and answers of the DNS
change nothing. After `done`, the start of an attempt that fails begins `give_up` again. An attempt fails if the next
word about it (same client, same node) is a failure, or if there is none before the window ends. One under way when
the window began counts as started then. So the parts are never negative and add up exactly to the window.

Blind and zombie
----------------
A registration is *live* from the 200 for as long as that granted, by true time; each 200 begins anew. A node is *blind*
for a client while it answers 404 although the registration is live. It holds a *zombie* while it does anything else but
404 although no registration is live: it delivers the call, to a phone that may be gone, or fails to. A node that does
not answer, and one that answers 500 because it has no Redis, is neither. These times run from the sending of the first
call that fared so to that of the first which fared otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from model.trace import Event
from model.windows import Change, Span, Window, common, merged, overlap_us, windows

CLIENT_PARTS = ("unaware", "give_up", "elsewhere", "refused", "done")

NOT_FOUND, NO_REDIS = 404, 500
"""What a node answers when it finds no live binding; when it cannot ask. Kind: specified (docs/node.md)."""
NO_ANSWER, NO_CONNECTION = 408, 0
"""Codes of a failed attempt without a word of the node. Kind: specified (model/trace.py)."""

_SILENCE = 0
_OUTCOMES = {"call-answered": "answered", "call-refused": "refused", "call-unanswered": "unknown"}


def client_windows(calls: Iterable[Event], horizon_us: int) -> list[Window]:
    """Times in which one client could be reached through no node.

    Parameters
    ----------
    calls : iterable of Event
        Events of the caller about this client, in any order.
    horizon_us : int
        End of the run.
    """
    by_node = _changes_by_node(calls)
    found = common([windows(changes, "answered", horizon_us) for changes in by_node.values()])
    return [window.from_on(0) for window in found]


def _changes_by_node(calls: Iterable[Event]) -> dict[str, list[Change]]:
    """Outcomes of calls through each node, in the order of sending."""
    by_node: dict[str, list[Change]] = defaultdict(list)
    for event in sorted(calls, key=lambda event: event.t_us - event.detail_us):
        if event.event in _OUTCOMES:
            by_node[event.about].append((_OUTCOMES[event.event], event.t_us - event.detail_us, event.t_us))
    return by_node


def client_parts(window: Window, steps: Sequence[Event]) -> dict[str, int]:
    """Divide an outage among `CLIENT_PARTS`; see the module's head for the rule.

    Parameters
    ----------
    window : Window
    steps : sequence of Event
        Events of the client itself (actor ``ua``), in order of time.

    Returns
    -------
    dict of str to int
        µs of each part, none negative; their sum is the window's length.
    """
    parts = dict.fromkeys(CLIENT_PARTS, 0)
    at_us, part = window.start_us, _part_at(window.start_us, steps)
    for t_us, following in _turns(window, steps):
        if following == "give_up" and part not in ("unaware", "done"):
            continue
        parts[part] += t_us - at_us
        at_us, part = t_us, following
    parts[part] += window.end_us - at_us
    return parts


def _part_at(start_us: int, steps: Sequence[Event]) -> str:
    """What a window of a client begins with, by what the client has met before."""
    part = "unaware"
    for step in steps:
        if step.t_us >= start_us:
            break
        part = "unaware" if step.event == "registered" else _part_after(step) or part
    return part


def _turns(window: Window, steps: Sequence[Event]) -> Iterable[tuple[int, str]]:
    """Instants of a window at which another part may begin, and which."""
    for index, step in enumerate(steps):
        if step.t_us >= window.end_us:
            return
        if step.event == "attempt":
            ended_us = _failed_us(index, steps, window.end_us)
            if ended_us is not None and ended_us > window.start_us:
                yield max(step.t_us, window.start_us), "give_up"
        elif step.t_us >= window.start_us:
            following = _part_after(step)
            if following:
                yield step.t_us, following


def _failed_us(index: int, steps: Sequence[Event], end_us: int) -> int | None:
    """When an attempt failed; the end when nothing was heard of it by then; None when it was confirmed."""
    attempt = steps[index]
    for step in steps[index + 1 :]:
        if step.t_us > end_us:
            break
        if step.about == attempt.about and step.event in ("failed", "flow-lost", "untrusted"):
            return step.t_us
        if step.about == attempt.about and step.event == "registered":
            return None
    return end_us


def _part_after(step: Event) -> str:
    """What the time after an event of the client belongs to; empty when that is as it was."""
    if step.event == "registered":
        return "done"
    if step.event == "failed":
        return "elsewhere" if step.code in (NO_ANSWER, NO_CONNECTION) else "refused"
    return "elsewhere" if step.event in ("flow-lost", "untrusted", "unresolved") else ""


def lives(steps: Iterable[Event]) -> list[Span]:
    """When a client's registration was live, by its 200s."""
    return merged((step.t_us, step.t_us + step.detail_us) for step in steps if step.event == "registered")


def blind_us(calls: Iterable[Event], live: Sequence[Span], horizon_us: int) -> dict[str, int]:
    """Time after the first fault in which each node answered 404 for a client whose registration was live, in µs."""
    return _spent_us(calls, live, horizon_us, lambda code: code == NOT_FOUND)


def zombie_us(calls: Iterable[Event], live: Sequence[Span], horizon_us: int) -> dict[str, int]:
    """Time after the first fault in which each node still followed a binding that had ended, in µs."""
    bounds = [0, *(bound for span in live for bound in span), horizon_us]
    dead = [(start, end) for start, end in zip(bounds[::2], bounds[1::2], strict=True) if start < end]
    return _spent_us(calls, dead, horizon_us, lambda code: code not in (_SILENCE, NOT_FOUND, NO_REDIS))


def _spent_us(
    calls: Iterable[Event], spans: Sequence[Span], horizon_us: int, counts: Callable[[int], bool]
) -> dict[str, int]:
    """For each node, how much of some spans it spent answering with a status that counts, in the order of sending."""
    by_node: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in calls:
        if event.event in _OUTCOMES:
            code = _SILENCE if event.event == "call-unanswered" else event.code
            by_node[event.about].append((event.t_us - event.detail_us, code))
    return {
        node: sum(
            overlap_us(since_us, until_us, spans)
            for (since_us, code), (until_us, _) in pairwise([*sorted(seen), (horizon_us, _SILENCE)])
            if counts(code)
        )
        for node, seen in by_node.items()
    }
