"""What happened in a trace, for whoever draws it: events in words, states that last, and what caused what.

A trace has no messages. But some events can only be the effect of another one on another host: a vote follows its
request, a server turns primary when a leader has told it to. `messages` finds these pairs by what the events say, the
latest possible cause for each.

Left out: PINGs, INFO and client traffic leave no event of their own, so they are no messages here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model.scenario import PAIRS
from model.trace import ACTORS, Event, Trace


@dataclass(frozen=True, slots=True)
class Message:
    """The event with number `cause` sent what let the event with number `effect` happen."""

    cause: int
    effect: int
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """A state that lasted, in µs since the first fault; `open` when the run ended first."""

    host: str
    actor: str
    name: str
    begin_us: int
    end_us: int
    open: bool


@dataclass(frozen=True, slots=True)
class State:
    """A state of an actor: its name, the events that begin and those that end it.

    With `apart` each host that the events are about has a state of its own.
    """

    actor: str
    name: str
    begins: tuple[str, ...]
    ends: tuple[str, ...]
    apart: bool = False


_ABORTS = ("-failover-abort-not-elected", "-failover-abort-no-good-slave", "-failover-abort-slave-timeout")
_GIVES_UP = (*_ABORTS, "+switch-master")

STATES = (
    *(State("fault", begins, (begins,), (ends,), apart=True) for begins, ends in PAIRS.items()),
    State("sentinel", "sdown", ("+sdown",), ("-sdown", "+switch-master"), apart=True),
    State("sentinel", "odown", ("+odown",), ("-odown", "+switch-master"), apart=True),
    State("sentinel", "election", ("+try-failover",), ("+elected-leader", *_GIVES_UP)),
    State("sentinel", "failover", ("+elected-leader",), ("+failover-end", "+failover-end-for-timeout", *_GIVES_UP)),
    State("sentinel", "tilt", ("+tilt",), ("-tilt",)),
    State("redis", "link down", ("link-down",), ("link-up", "role-primary")),
    State("redis", "primary", ("role-primary",), ("role-replica",)),
    State("registrar", "no Redis", ("redis-lost",), ("redis-connected", "waiting", "writable")),
    State("registrar", "waiting", ("waiting",), ("writable", "redis-lost")),
    State("client", "refused", ("refused",), ("confirmed", "unknown")),
    State("client", "no answer", ("unknown",), ("confirmed", "refused")),
    State("prober", "refuses writes", ("write-refused",), ("write-accepted", "write-silent"), apart=True),
    State("prober", "does not answer", ("write-silent",), ("write-accepted", "write-refused"), apart=True),
    State("prober", "lacks the binding", ("binding-missing",), ("binding-found", "binding-unanswered"), apart=True),
    State("ua", "client out", ("flow-lost", "failed", "unresolved"), ("registered",)),
    State("caller", "cannot be called", ("call-refused", "call-unanswered"), ("call-answered",), apart=True),
)
"""What lasts. A switch ends what its sentinel thought of instances: it forgets them, and begins anew."""


def spans(trace: Trace) -> list[Span]:
    """All states of a trace, in order of their beginnings, what lasts longer first."""
    found: list[Span] = []
    for state in STATES:
        found += _spans_of(state, trace)
    return sorted(found, key=lambda span: (span.begin_us, -span.end_us, span.host, span.actor, span.name))


def _spans_of(state: State, trace: Trace) -> Iterator[Span]:
    begun: dict[tuple[str, str, int], int] = {}
    for event in trace.events:
        if event.actor != state.actor or event.event not in (*state.begins, *state.ends):
            continue
        is_begin = event.event in state.begins
        ended = [] if is_begin else [key for key in begun if _is_ended(state, key, event)]
        for key in ended:
            yield _span(state, key, begun.pop(key), event.t_us, False)
        if is_begin:
            begun.setdefault(_key(state, event), event.t_us)
    for key, begin_us in begun.items():
        yield _span(state, key, begin_us, max(trace.horizon_us, begin_us), True)


def _key(state: State, event: Event) -> tuple[str, str, int]:
    """Host, whom it is about, and which of its instances (or programs)."""
    return event.host, event.about if state.apart else "", event.code if state.name == "sdown" else 0


def _is_ended(state: State, key: tuple[str, str, int], event: Event) -> bool:
    if event.event == "heal":
        return True
    if event.event == "+switch-master":
        return key[0] == event.host and key[2] == 0
    return key == _key(state, event)


def _span(state: State, key: tuple[str, str, int], begin_us: int, end_us: int, is_open: bool) -> Span:
    host, about, code = key
    whose = f"sentinel of {about}" if code else about
    return Span(host, state.actor, f"{state.name} {whose}".strip(), begin_us, end_us, is_open)


def words(event: Event) -> str:
    """An event in a few words."""
    told = [event.event]
    if event.about:
        told.append(f"sentinel of {event.about}" if event.event in ("+sdown", "-sdown") and event.code else event.about)
    if event.event in ("+new-epoch", "+vote-for-leader"):
        told.append(f"in epoch {event.code}")
    elif event.code and event.event not in ("+sdown", "-sdown"):
        told.append(f"({event.code})")
    if event.detail_us:
        told.append(f"({event.detail_us / 1_000_000:.3f} s)")
    return " ".join(told)


def at(t_us: int) -> str:
    """An instant in s."""
    return f"{t_us / 1_000_000:.3f} s"


def actors(trace: Trace) -> list[tuple[str, str]]:
    """(host, actor) of all who speak: hosts in order of their names, the client side last."""
    seen = {(event.host, event.actor) for event in trace.events}
    return sorted(seen, key=lambda who: (who[1] in ("prober", "ua", "caller"), who[0], ACTORS.index(who[1])))


Pairing = tuple[str, tuple[str, ...], Callable[[Event, Event], bool]]

_CAUSES: dict[str, tuple[Pairing, ...]] = {
    "+vote-for-leader": (
        ("asks for a vote", ("+try-failover",), lambda cause, effect: cause.host == effect.about),
    ),
    "+elected-leader": (
        ("votes", ("+vote-for-leader",), lambda cause, effect: cause.about == effect.host),
    ),
    "+config-update-from": (
        ("hello", ("+promoted-slave", "+switch-master"), lambda cause, effect: cause.host == effect.about),
    ),
    "role-primary": (
        ("REPLICAOF NO ONE", ("+selected-slave",), lambda cause, effect: cause.about == effect.host),
    ),
    "role-replica": (
        ("REPLICAOF", ("+slave-reconf-sent", "+slave-reconf-sent-be", "+convert-to-slave", "+fix-slave-config"),
         lambda cause, effect: cause.about == effect.host),
    ),
    "+promoted-slave": (
        ("INFO", ("role-primary",), lambda cause, effect: cause.host == effect.about),
    ),
    "+slave-reconf-inprog": (
        ("INFO", ("role-replica",), lambda cause, effect: cause.host == effect.about),
    ),
    "+slave-reconf-done": (
        ("INFO", ("link-up",), lambda cause, effect: cause.host == effect.about),
    ),
    "writable": (
        ("INFO", ("role-primary",), lambda cause, effect: cause.host == effect.about),
    ),
}  # fmt: skip
"""For each effect: what is sent, the events that send it, and which of them can have been meant."""


def messages(events: Sequence[Event]) -> list[Message]:
    """Pairs of events on different hosts, or of different actors, of which one caused the other; in order of effects.

    An election has one for each vote; everything else at most one, from the latest event that can have caused it.
    """
    found: list[Message] = []
    for number, effect in enumerate(events):
        for label, kinds, fits in _CAUSES.get(effect.event, ()):
            causes = [earlier for earlier in range(number - 1, -1, -1)
                      if events[earlier].event in kinds and fits(events[earlier], effect)
                      and _who(events[earlier]) != _who(effect)]  # fmt: skip
            if effect.event == "+elected-leader":
                causes = _latest_votes(causes, events)
            found += [Message(cause, number, label) for cause in causes[: None if label == "votes" else 1]]
    return found


def _latest_votes(causes: Sequence[int], events: Sequence[Event]) -> list[int]:
    """Votes of the latest epoch, in order."""
    latest = max((events[cause].code for cause in causes), default=0)
    return sorted(cause for cause in causes if events[cause].code == latest)


def _who(event: Event) -> tuple[str, str]:
    return event.host, event.actor
