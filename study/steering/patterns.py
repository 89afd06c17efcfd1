"""What a path comes to, told from a trace: an ordered list of marks that a simulated and a real run may show alike.

A mark names instants of a run: "a second sentinel is elected for an epoch that has a leader". A pattern shows in a run
that has an instant for each of its marks, none earlier than the one before. Marks that speak of the whole run ("nobody
ever starts a failover") have the end of the run as their instant.

Logs do not say for which epoch a sentinel is elected: it is the epoch of its last attempt, in both arms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from model.measures import proportion
from model.trace import Event, Trace


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing to be seen in a run.

    Attributes
    ----------
    text : str
        What it is, in words.
    instants : callable
        From a trace to the instants at which it is so, in µs after the first fault.
    """

    text: str
    instants: Callable[[Trace], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Marks in the order in which they must be seen."""

    marks: tuple[Mark, ...]

    def shows(self, trace: Trace) -> bool:
        """True if the run has an instant for each mark, none earlier than the one before."""
        reached_us: int | None = None
        for mark in self.marks:
            later = [t_us for t_us in mark.instants(trace) if reached_us is None or t_us >= reached_us]
            if not later:
                return False
            reached_us = min(later)
        return True

    def __str__(self) -> str:
        return "; then ".join(mark.text for mark in self.marks)


def share(pattern: Pattern, traces: Iterable[Trace]) -> dict[str, Any]:
    """How many runs show a pattern, with Wilson's 95 % interval; stalled runs do not count."""
    usable = [trace for trace in traces if not trace.stalled]
    return proportion(sum(pattern.shows(trace) for trace in usable), len(usable))


# --- marks -----------------------------------------------------------------------------------------------------------


def happens(event: str, host: str = "", about: str = "") -> Mark:
    """An event, of a certain host and about a certain one where they are given."""
    words = " ".join((event, *((f"about {about}",) if about else ()), *((f"at {host}",) if host else ())))

    def instants(trace: Trace) -> Iterator[int]:
        for each in _after_the_fault(trace, event):
            if host in ("", each.host) and about in ("", each.about):
                yield each.t_us

    return Mark(words, instants)


def never(event: str, host: str = "") -> Mark:
    """An event that does not happen from the first fault to the end of the run."""

    def instants(trace: Trace) -> list[int]:
        seen = any(host in ("", each.host) for each in _after_the_fault(trace, event))
        return [] if seen else [trace.horizon_us]

    return Mark(f"no {event}{f' at {host}' if host else ''} ever", instants)


def at_least(count: int, event: str) -> Mark:
    """So many different hosts have reported an event."""

    def instants(trace: Trace) -> list[int]:
        first: dict[str, int] = {}
        for each in _after_the_fault(trace, event):
            first.setdefault(each.host, each.t_us)
        return sorted(first.values())[count - 1 : count]

    return Mark(f"{event} at {count} sentinels", instants)


def two_leaders() -> Mark:
    """A second sentinel is elected for an epoch."""
    return Mark("two sentinels elected for one epoch", lambda trace: _second(_elections(trace)))


def two_configurations() -> Mark:
    """A second server is promoted in an epoch: two configurations of one epoch, of which none is newer."""
    return Mark("two servers promoted with one configuration epoch", lambda trace: _second(_promotions(trace)))


def two_writable() -> Mark:
    """A second server takes writes while another one does. It lasts, so its instants are those at which it ends."""

    def instants(trace: Trace) -> Iterator[int]:
        states = _takers(trace)
        ends = [*(t_us for t_us, _ in states[1:]), trace.horizon_us]
        yield from (end_us for (_, taking), end_us in zip(states, ends, strict=True) if len(taking) > 1)

    return Mark("two servers take writes", instants)


def at_odds() -> Mark:
    """Sentinels that have switched name different primaries when the run ends."""

    def instants(trace: Trace) -> list[int]:
        named = {each.host: each.about for each in _after_the_fault(trace, "+switch-master")}
        return [trace.horizon_us] if len(set(named.values())) > 1 else []

    return Mark("sentinels name different primaries at the end", instants)


def lost() -> Mark:
    """Confirmed registrations that the last primary does not hold."""

    def instants(trace: Trace) -> list[int]:
        return [each.t_us for each in trace.events if each.event == "count-lost" and each.code > 0]

    return Mark("confirmed registrations are lost", instants)


# --- from a trace ----------------------------------------------------------------------------------------------------


def _after_the_fault(trace: Trace, event: str) -> list[Event]:
    return [each for each in trace.events if each.event == event and each.t_us >= 0]


def _elections(trace: Trace) -> Iterator[tuple[int, int, str]]:
    """Instant, epoch and host of each election."""
    for t_us, epoch, event in _with_epochs(trace):
        if event.event == "+elected-leader":
            yield t_us, epoch, event.host


def _promotions(trace: Trace) -> Iterator[tuple[int, int, str]]:
    """Instant, epoch and server of each promotion that its leader has seen."""
    for t_us, epoch, event in _with_epochs(trace):
        if event.event == "+promoted-slave":
            yield t_us, epoch, event.about


def _with_epochs(trace: Trace) -> Iterator[tuple[int, int, Event]]:
    """What sentinels report, with the epoch of the reporter's last attempt."""
    current: dict[str, int] = defaultdict(int)
    of_attempt: dict[str, int] = defaultdict(int)
    for event in trace.events:
        if event.event == "+new-epoch":
            current[event.host] = event.code
        elif event.event == "+try-failover":
            of_attempt[event.host] = current[event.host]
        if event.actor == "sentinel":
            yield event.t_us, of_attempt[event.host], event


def _second(found: Iterable[tuple[int, int, str]]) -> list[int]:
    """Instants at which an epoch gets a second name."""
    names: dict[int, set[str]] = defaultdict(set)
    instants = []
    for t_us, epoch, name in found:
        names[epoch].add(name)
        if len(names[epoch]) > 1:
            instants.append(t_us)
    return instants


def _takers(trace: Trace) -> Sequence[tuple[int, frozenset[str]]]:
    """Which servers take writes, from instant to instant."""
    taking: set[str] = set()
    found = [(0, frozenset[str]())]
    for each in trace.events:
        if each.actor == "prober" and each.event.startswith("write-"):
            (taking.add if each.event == "write-accepted" else taking.discard)(each.about)
            found.append((each.t_us, frozenset(taking)))
    return found
