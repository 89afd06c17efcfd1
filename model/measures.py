"""Milestones, outage windows and their causes, from a trace of either arm.

The easy way, "the n-th line that says +sdown", is wrong as soon as a cut-off sentinel talks to itself, a second
failover follows the first, or answers come back in another order than the requests were sent. So this module

* counts only sentinels that are *in touch*: running, reachable, and on the largest side of a split;
* keeps to the first failover away from the first primary; a second one is counted, not mixed in. The first failover is
  the one that was announced first: a promoted server that died before anybody announced it is an attempt that failed;
* orders what a client saw by the time of sending;
* treats what the horizon cut off as censored, not as absent.

It knows a trace and `Facts` (what the scenario lets every reader know), and cannot tell a simulated run from a real
one.

The parts of an outage window
-----------------------------
Seven parts follow each other, each ended by a boundary::

    detect     quorum-th sentinel's +sdown         announce   first +switch-master
    agree      first +odown                        discover   the node's own `writable` on the promoted server
    elect      +elected-leader                     retry      end of the window
    promote    the promoted server turns primary

Boundaries may come in another order (a node may find the promoted server before anybody announces it). The rule that
makes parts non-negative and add up exactly to the window: going back from the window's end, a boundary that lies after
a later boundary decided nothing and is left out, so its part is empty; the time between two remaining boundaries
belongs to the part that the later one ends; time after the last one belongs to the part that would have come next.

Blind time
----------
A binding is live from when it was sent to a server that accepted it until the end that was written, by true time; so
are all of them together, since each replaces the one before. A server is *blind* while it answers that there is none:
a registrar that asks it answers 404 for a registration that is live. A server that does not answer is not blind.

What callers see of SIP clients is measured in `model.reachability`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.reachability import CLIENT_PARTS, blind_us, client_parts, client_windows, lives, zombie_us
from model.scenario import PAIRS, PROCESSES, Scenario
from model.trace import Event, Trace
from model.windows import Change, Window, merged, overlap_us, windows

SCHEMA = 1
"""Version of the JSON summary."""

MILESTONES = (
    "sdown_first", "sdown_quorum", "odown_first", "elected", "first_write", "promoted", "switch_first", "switch_last",
    "demoted",
)  # fmt: skip
"""In the order in which they usually happen."""

PARTS = ("detect", "agree", "elect", "promote", "announce", "discover", "retry")

BRANCHES = ("failover", "lost_election", "needless_failover", "second_failover", "demoted", "tilt")
"""What a run can do or not do."""

WRITE_OUTAGE = "redis_write"

Z_95 = 1.959963984540054
"""Quantile of the normal law for a two-sided 95 % interval. Kind: specified."""

_UNDOES = {undo: do for do, undo in PAIRS.items()}
_PROGRAMS = PROCESSES[1:]


@dataclass(frozen=True, slots=True)
class Facts:
    """What every reader of a trace may know about its scenario.

    Attributes
    ----------
    hosts, sentinels, registrars : tuple of str
        Hosts, and those that run a sentinel or a registrar node.
    primary : str
        Host of the first primary.
    quorum : int
        Sentinels that must agree.
    sides : tuple of (host, side)
        Of the splits on the time line: which side the n-th split of a host moves it to. A trace does not tell.
    clients : tuple of str
        Names of the SIP clients.
    """

    hosts: tuple[str, ...]
    sentinels: tuple[str, ...]
    registrars: tuple[str, ...]
    primary: str
    quorum: int
    sides: tuple[tuple[str, int], ...] = ()
    clients: tuple[str, ...] = ()

    @classmethod
    def of(cls, scenario: Scenario) -> Facts:
        """The facts of a resolved scenario."""
        timeline = sorted(scenario.fault, key=lambda fault: fault.at_ms)
        return cls(
            hosts=scenario.host_names,
            sentinels=scenario.sentinel_hosts,
            registrars=tuple(host.name for host in scenario.host if host.registrar),
            primary=scenario.server.primary,
            quorum=scenario.sentinel.quorum,
            sides=tuple((fault.host, fault.side) for fault in timeline if fault.kind == "partition"),
            clients=tuple(client.name for client in scenario.client),
        )


@dataclass(frozen=True, slots=True)
class ClientMeasures:
    """What callers saw of one client in one run; its windows are with the others of the run.

    Attributes
    ----------
    parts : dict of str to int
        Of its longest window, in µs; empty when it was never out.
    blind, zombie : dict of str to int
        µs after the first fault in which each node answered 404 for the live registration, and in which it followed a
        binding that had ended (`model.reachability`).
    calls, failed : int
        Calls to it through all nodes, and those that it did not answer.
    """

    parts: dict[str, int]
    blind: dict[str, int]
    zombie: dict[str, int]
    calls: int
    failed: int


@dataclass(slots=True)
class RunMeasures:
    """What one run showed. All times in µs since the first fault (`demoted`: since the return).

    Attributes
    ----------
    milestones : dict of str to int
        Those that happened.
    cut_off : dict of str to int
        Milestones that were under way when the run ended, with how long they had been waited for.
    windows : dict of str to list of Window
        ``redis_write``, ``register@<host>`` and ``client:<name>``.
    parts : dict of str to dict of str to int
        Of the longest window of each node that no fault struck.
    last_node : str
        The node of `parts` that recovered last, empty when none had an outage.
    branches : dict of str to bool
        Those of `BRANCHES` that the run could answer.
    lost : int or None
        Registrations acknowledged and lost; None when the run did not count them.
    two_writable_us : int or None
        Time in which two servers or more accepted writes; None without write prober.
    blind : dict of str to int
        µs after the first fault in which each server lacked a live binding; empty without expiry prober.
    clients : dict of str to ClientMeasures
        What callers saw of each client; empty without clients.
    """

    run: int
    stalled: bool
    horizon_us: int
    promoted: str = ""
    milestones: dict[str, int] = field(default_factory=dict)
    cut_off: dict[str, int] = field(default_factory=dict)
    windows: dict[str, list[Window]] = field(default_factory=dict)
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    last_node: str = ""
    branches: dict[str, bool] = field(default_factory=dict)
    lost: int | None = None
    two_writable_us: int | None = None
    blind: dict[str, int] = field(default_factory=dict)
    clients: dict[str, ClientMeasures] = field(default_factory=dict)

    @property
    def blind_us(self) -> int | None:
        """Blind time of all servers together; None without expiry prober."""
        return sum(self.blind.values()) if self.blind else None

    @property
    def censored(self) -> bool:
        """True when the run ended inside an outage or a failover."""
        return bool(self.cut_off) or any(window.censored for windows in self.windows.values() for window in windows)

    def outage_us(self, name: str) -> int:
        """Total length of the windows of one kind."""
        return sum(window.length_us for window in self.windows.get(name, ()))

    def outage_is_censored(self, name: str) -> bool:
        """True when the last window of this kind was still open at the end."""
        return any(window.censored for window in self.windows.get(name, ()))


def measure(trace: Trace, facts: Facts) -> RunMeasures:
    """Measure one run."""
    by_name: dict[str, list[Event]] = defaultdict(list)
    for event in trace.events:
        by_name[event.event].append(event)
    struck = _Struck(trace.events, facts)
    run = RunMeasures(trace.run, trace.stalled, trace.horizon_us)
    run.promoted = _promoted(by_name, facts)
    _measure_failover(run, by_name, facts, struck)
    _measure_branches(run, by_name, facts, struck)
    _measure_return(run, by_name, facts, struck)
    _measure_writes(run, by_name, facts)
    _measure_registrations(run, by_name, facts)
    _measure_blindness(run, by_name)
    _measure_clients(run, trace.events, facts)
    _measure_parts(run, by_name, facts, struck)
    counts = by_name["count-lost"]
    run.lost = sum(event.code for event in counts) if counts else None
    return run


class _Struck:
    """Which programs were out of touch, and when.

    A program is struck while it is killed or stopped, its host is unreachable (vanished, or all its packets are lost
    both ways), or its host is not on the largest side of a split (of equal ones, side 0 counts as the larger). Faults
    that only slow, refuse or confuse strike nothing.
    """

    def __init__(self, events: Iterable[Event], facts: Facts) -> None:
        self._times: list[int] = []
        self._states: list[dict[str, frozenset[str]]] = []
        self.redis_since: dict[str, int] = {}
        self.ever: dict[str, set[str]] = {program: set() for program in _PROGRAMS}
        ill = _Ill(facts)
        for event in events:
            if event.actor == "fault":
                ill.strike(event)
                self._remember(event.t_us, ill)

    def _remember(self, t_us: int, ill: _Ill) -> None:
        away = ill.out_of_reach()
        state = {
            program: frozenset({host for _, host, which in ill.stopped if which == program} | away)
            for program in _PROGRAMS
        }
        self._times.append(t_us)
        self._states.append(state)
        for program, hosts in state.items():
            self.ever[program] |= hosts
        for host in state["redis"]:
            self.redis_since.setdefault(host, t_us)

    def at(self, t_us: int, program: str) -> frozenset[str]:
        """Hosts whose `program` is struck at an instant."""
        index = bisect_right(self._times, t_us) - 1
        return self._states[index][program] if index >= 0 else frozenset()

    def from_on(self, t_us: int, program: str) -> frozenset[str]:
        """Hosts whose `program` is struck at an instant or any time later."""
        later = self._states[bisect_right(self._times, t_us) :]
        return self.at(t_us, program).union(*(state[program] for state in later))

    def end_us(self, program: str, host: str) -> int | None:
        """When a struck program was back for good, None when it never was struck or never came back."""
        back = None
        was_struck = False
        for t_us, state in zip(self._times, self._states, strict=True):
            is_struck = host in state[program]
            if was_struck and not is_struck:
                back = t_us
            elif is_struck:
                back = None
            was_struck = is_struck
        return back


class _Ill:
    """What is wrong at one instant: programs that stand still, hosts that are gone, splits, and ways that lose all."""

    def __init__(self, facts: Facts) -> None:
        self._hosts = facts.hosts
        self._planned_sides = list(facts.sides)
        self.stopped: set[tuple[str, str, str]] = set()
        self._vanished: set[str] = set()
        self._side = dict.fromkeys(facts.hosts, 0)
        self._lossy: set[tuple[str, str]] = set()

    def strike(self, event: Event) -> None:
        """Apply one fault event."""
        kind, host = event.event, event.host
        if kind in ("crash", "pause"):
            self.stopped |= {(kind, host, program) for program in _programs(event.code)}
        elif kind in ("restart", "resume"):
            self.stopped -= {(_UNDOES[kind], host, program) for program in _programs(event.code)}
        elif kind == "vanish":
            self._vanished.add(host)
        elif kind == "return":
            self._vanished.discard(host)
        elif kind == "partition":
            self._side[host] = self._take_side(host)
        elif kind == "heal":
            self._side = dict.fromkeys(self._hosts, 0)
        elif kind in ("drop", "deliver"):
            ways = {(host, other) for other in ([event.about] if event.about else self._hosts) if other != host}
            loses_all = kind == "drop" and event.code == 100
            self._lossy = self._lossy | ways if loses_all else self._lossy - ways

    def _take_side(self, host: str) -> int:
        """Side of this host's next split; a host that was chosen in the run takes the next one so planned."""
        found = next((plan for plan in self._planned_sides if plan[0] == host), None)
        found = found or next((plan for plan in self._planned_sides if plan[0].startswith("@")), None)
        if found is None:
            return 1
        self._planned_sides.remove(found)
        return found[1]

    def out_of_reach(self) -> set[str]:
        """Hosts that the larger part of the others cannot talk to."""
        sizes = Counter(self._side.values())
        largest = min(sizes, key=lambda side: (-sizes[side], side))
        return (
            self._vanished
            | {host for host, side in self._side.items() if side != largest}
            | {host for host in self._hosts if self._is_mute_and_deaf(host)}
        )

    def _is_mute_and_deaf(self, host: str) -> bool:
        others = [other for other in self._hosts if other != host] if self._lossy else []
        return bool(others) and all({(host, other), (other, host)} <= self._lossy for other in others)


def _programs(code: int) -> tuple[str, ...]:
    """Programs that the code of a fault event means."""
    return (PROCESSES[code],) if code else _PROGRAMS


def _promoted(by_name: dict[str, list[Event]], facts: Facts) -> str:
    """Host that the first failover promoted, empty when none happened.

    It is the one that was announced first. Before any announcement it is the first one that showed a sign of being
    primary.
    """
    for names in (("+switch-master",), ("role-primary", "+promoted-slave", "write-accepted")):
        signs = [
            (event.t_us, event.host if name == "role-primary" else event.about)
            for name in names
            for event in by_name[name]
            if event.t_us >= 0
        ]
        signs = [(t_us, host) for t_us, host in signs if host and host != facts.primary]
        if signs:
            return min(signs)[1]
    return ""


def _measure_failover(run: RunMeasures, by_name: dict[str, list[Event]], facts: Facts, struck: _Struck) -> None:
    """The milestones up to the last +switch-master."""

    def seen(name: str, about: str) -> list[Event]:
        """Events after the fault by sentinels that are in touch."""
        return [
            event for event in by_name[name]
            if event.t_us >= 0 and event.about == about and event.host not in struck.at(event.t_us, "sentinel")
        ]  # fmt: skip

    found = run.milestones
    # Code 1 speaks of the sentinel on the primary's host, which may be found silent earlier than its Redis.
    sdown = sorted(_first_by_host([event for event in seen("+sdown", facts.primary) if event.code == 0]).values())
    if sdown:
        found["sdown_first"] = sdown[0]
    if len(sdown) >= facts.quorum:
        found["sdown_quorum"] = sdown[facts.quorum - 1]
    _put_first(found, "odown_first", seen("+odown", facts.primary))
    if run.promoted:
        _put_first(found, "first_write", [e for e in by_name["write-accepted"] if e.about == run.promoted])
        _put_first(found, "promoted", seen("+promoted-slave", run.promoted))
        switched = _first_by_host(seen("+switch-master", run.promoted))
        _put_switches(found, switched, facts, struck)
    elections = [event.t_us for event in seen("+elected-leader", facts.primary)]
    if elections:
        found["elected"] = _winning_election(elections, found)
    gone = struck.at(run.horizon_us, "sentinel")
    words = seen("+odown", facts.primary) + seen("-odown", facts.primary)
    _cut_off(run, [event for event in words if event.host not in gone])


def _first_by_host(events: list[Event]) -> dict[str, int]:
    first: dict[str, int] = {}
    for event in events:
        first.setdefault(event.host, event.t_us)
    return first


def _put_first(found: dict[str, int], name: str, events: list[Event]) -> None:
    after = [event.t_us for event in events if event.t_us >= 0]
    if after:
        found[name] = min(after)


def _put_switches(found: dict[str, int], switched: dict[str, int], facts: Facts, struck: _Struck) -> None:
    """First and last switch, the last one only when every sentinel that could switch has.

    Those could that were in touch at the first one, and were not struck before their own.
    """
    if not switched:
        return
    first = min(switched.values())
    found["switch_first"] = first
    waiting = set(facts.sentinels) - switched.keys() - struck.from_on(first, "sentinel")
    if not waiting:
        found["switch_last"] = max(switched[host] for host in switched.keys() - struck.at(first, "sentinel"))


def _winning_election(elections: list[int], found: dict[str, int]) -> int:
    """The last election before the promotion was seen; the first one when nobody was promoted."""
    seen = [found[name] for name in ("first_write", "promoted", "switch_first") if name in found]
    before = [t_us for t_us in elections if not seen or t_us <= min(seen)]
    return max(before) if seen and before else elections[0]


def _cut_off(run: RunMeasures, odowns: list[Event]) -> None:
    """Note what was under way at the horizon: a living sentinel's last word was +odown, and milestones are missing."""
    last_word = {event.host: event.event for event in sorted(odowns, key=lambda event: event.t_us)}
    if "+odown" in last_word.values():
        for name in MILESTONES[3:8]:
            if name not in run.milestones:
                run.cut_off[name] = run.horizon_us


def _measure_return(run: RunMeasures, by_name: dict[str, list[Event]], facts: Facts, struck: _Struck) -> None:
    """How long after its return the old primary was told to replicate."""
    back_us = struck.end_us("redis", facts.primary)
    if back_us is None or not run.promoted:
        return
    told = [e.t_us for e in by_name["+convert-to-slave"] if e.about == facts.primary and e.t_us >= back_us]
    if told:
        run.milestones["demoted"] = min(told) - back_us
    elif not run.branches["second_failover"]:
        run.cut_off["demoted"] = run.horizon_us - back_us
    run.branches["demoted"] = bool(told)


def _measure_branches(run: RunMeasures, by_name: dict[str, list[Event]], facts: Facts, struck: _Struck) -> None:
    """Which of several courses the run took."""
    paths = [path for path in _configurations(by_name["+switch-master"], facts).values() if path]
    run.branches["failover"] = bool(run.promoted)
    run.branches["lost_election"] = _lost_election(run, by_name, facts)
    run.branches["needless_failover"] = any(_needless(path, facts.primary, struck) for path in paths)
    run.branches["second_failover"] = any(len(path) > 1 for path in paths)
    run.branches["tilt"] = any(event.t_us >= 0 for event in by_name["+tilt"])


def _configurations(switches: list[Event], facts: Facts) -> dict[str, list[tuple[int, str]]]:
    """For each sentinel the primaries it followed, with when it began to, without repetitions."""
    paths: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for event in switches:
        path = paths[event.host]
        if event.about != (path[-1][1] if path else facts.primary):
            path.append((event.t_us, event.about))
    return paths


def _needless(path: list[tuple[int, str]], primary: str, struck: _Struck) -> bool:
    """True when a sentinel left a primary that nothing had struck before."""
    for t_us, following in path:
        if struck.redis_since.get(primary, t_us + 1) > t_us:
            return True
        primary = following
    return False


def _lost_election(run: RunMeasures, by_name: dict[str, list[Event]], facts: Facts) -> bool:
    """True when an attempt failed before the first success.

    Failed is an attempt that its sentinel gave up as not elected, or that it followed by another one without having
    won. Of two sentinels that try at the same time one may win at once: that costs nothing and does not count.
    """
    until_us = run.milestones.get("elected", run.horizon_us)
    if any(0 <= event.t_us < until_us for event in by_name["-failover-abort-not-elected"]):
        return True
    tries: dict[str, int] = defaultdict(int)
    for event in by_name["+try-failover"]:
        if event.about == facts.primary and 0 <= event.t_us <= until_us:
            tries[event.host] += 1
    return any(count > 1 for count in tries.values())


def _measure_writes(run: RunMeasures, by_name: dict[str, list[Event]], facts: Facts) -> None:
    """Write outage and time with two writable servers, from the write prober."""
    events = [event for name in ("write-accepted", "write-refused", "write-silent") for event in by_name[name]]
    if not events:
        return
    events.sort(key=lambda event: event.t_us)
    accepting = {facts.primary}
    two_us, before_us = 0, 0
    changes: list[Change] = []
    for event in events:
        if len(accepting) > 1:
            two_us += max(event.t_us, 0) - before_us
        before_us = max(event.t_us, 0)
        if event.event == "write-accepted":
            accepting.add(event.about)
        else:
            accepting.discard(event.about)
        outcome = "accepted" if accepting else event.event.removeprefix("write-")
        changes.append((outcome, event.t_us, event.t_us))
    if len(accepting) > 1:
        two_us += run.horizon_us - before_us
    run.two_writable_us = two_us
    run.windows[WRITE_OUTAGE] = windows(changes, "accepted", run.horizon_us)


def _measure_registrations(run: RunMeasures, by_name: dict[str, list[Event]], facts: Facts) -> None:
    """Register outages of every node, from its client.

    Answers may overtake each other (a silent request is given up long after a later one was confirmed), so changes are
    put in the order in which their requests were sent.
    """
    changes: dict[str, list[Change]] = {host: [] for host in facts.registrars}
    for outcome in ("confirmed", "refused", "unknown"):
        for event in by_name[outcome]:
            if event.actor == "client" and event.host in changes:
                changes[event.host].append((outcome, event.t_us - event.detail_us, event.t_us))
    for host, seen in changes.items():
        if seen:
            seen.sort(key=lambda change: change[1])
            run.windows[f"register@{host}"] = windows(seen, "confirmed", run.horizon_us)


def _measure_blindness(run: RunMeasures, by_name: dict[str, list[Event]]) -> None:
    """Time in which each server answered that there is no binding while one was live."""
    live = merged((event.t_us, event.t_us + event.detail_us) for event in by_name["binding-written"])
    names = ("binding-found", "binding-missing", "binding-unanswered")
    changes = sorted((event for name in names for event in by_name[name]), key=lambda event: event.t_us)
    missing_us: dict[str, int] = {}
    for event in changes:
        since_us = missing_us.pop(event.about, event.t_us)
        run.blind[event.about] = run.blind.get(event.about, 0) + overlap_us(since_us, event.t_us, live)
        if event.event == "binding-missing":
            missing_us[event.about] = event.t_us
    for host, since_us in missing_us.items():
        run.blind[host] += overlap_us(since_us, run.horizon_us, live)


def _measure_clients(run: RunMeasures, events: Sequence[Event], facts: Facts) -> None:
    """Outages of each client, their parts, and what its callers counted."""
    for name in facts.clients:
        calls = [event for event in events if event.actor == "caller" and event.host == name]
        if not calls:
            continue
        steps = [event for event in events if event.actor == "ua" and event.host == name]
        found = client_windows(calls, run.horizon_us)
        live = lives(steps)
        run.windows[f"client:{name}"] = found
        run.clients[name] = ClientMeasures(
            parts=client_parts(max(found, key=lambda each: each.length_us), steps) if found else {},
            blind=blind_us(calls, live, run.horizon_us),
            zombie=zombie_us(calls, live, run.horizon_us),
            calls=sum(event.code for event in calls if event.event == "count-calls"),
            failed=sum(event.code for event in calls if event.event == "count-calls-failed"),
        )


def _measure_parts(run: RunMeasures, by_name: dict[str, list[Event]], facts: Facts, struck: _Struck) -> None:
    """Cut the longest window of each node that no fault struck into its parts."""
    found = run.milestones
    turned = [e.t_us for e in by_name["role-primary"] if e.host == run.promoted and e.t_us >= 0]
    shared = [found.get("sdown_quorum"), found.get("odown_first"), found.get("elected"),
              min(turned) if turned else found.get("first_write"), found.get("switch_first")]  # fmt: skip
    latest = None
    for host in facts.registrars:
        windows = run.windows.get(f"register@{host}")
        if host in struck.ever["registrar"] or not windows:
            continue
        window = max(windows, key=lambda each: each.length_us)
        moved = [e.t_us for e in by_name["writable"] if e.host == host and e.about == run.promoted]
        run.parts[host] = cut(window, [*shared, min(moved, default=None)])
        if latest is None or window.end_us > latest:
            latest, run.last_node = window.end_us, host


def cut(window: Window, boundaries: Sequence[int | None]) -> dict[str, int]:
    """Divide a window among `PARTS`; see the module's head for the rule.

    Parameters
    ----------
    window : Window
    boundaries : sequence of int or None
        Ends of all parts but the last in µs, None where it did not happen.

    Returns
    -------
    dict of str to int
        µs of each part, none negative; their sum is the window's length.
    """
    parts = dict.fromkeys(PARTS, 0)
    kept: list[tuple[int, int]] = []
    limit_us = window.end_us
    for index in reversed(range(len(boundaries))):
        boundary = boundaries[index]
        if boundary is not None and boundary <= limit_us:
            limit_us = max(boundary, window.start_us)
            kept.append((index, limit_us))
    at_us, following = window.start_us, 0
    for index, boundary in reversed(kept):
        parts[PARTS[index]] = boundary - at_us
        at_us, following = boundary, index + 1
    parts[PARTS[following]] += window.end_us - at_us
    return parts


def summarise(traces: Sequence[Trace], runs: Sequence[RunMeasures]) -> dict[str, Any]:
    """The JSON summary of one arm: same keys for both, times in ms with three decimals.

    Parameters
    ----------
    traces : sequence of Trace
        At least one; only their headers are read.
    runs : sequence of RunMeasures
        One for each trace. Stalled runs are counted and left out of everything else.
    """
    head = traces[0]
    usable = [run for run in runs if not run.stalled]
    nodes = sorted({host for run in usable for host in run.parts})
    looked_up = sorted({host for run in usable for host in run.blind})
    clients = sorted({name for run in usable for name in run.clients})
    outages = sorted({name for run in usable for name in run.windows}, key=lambda name: (name != WRITE_OUTAGE, name))
    return {
        "schema": SCHEMA,
        "scenario": head.scenario,
        "digest": head.digest,
        "arm": head.arm,
        "seed": head.seed,
        "runs": len(runs),
        "stalled": len(runs) - len(usable),
        "censored": sum(run.censored for run in usable),
        "versions": dict(sorted(head.versions.items())),
        "milestones": {name: _milestone_quantiles(name, usable) for name in MILESTONES},
        "outages": {name: _outage_quantiles(name, usable) for name in outages},
        "outage_outcomes": {name: _outcome_quantiles(name, usable) for name in outages},
        "parts": _part_quantiles([run.parts[run.last_node] for run in usable if run.last_node]),
        "parts_by_node": {
            host: _part_quantiles([run.parts[host] for run in usable if host in run.parts]) for host in nodes
        },
        "probabilities": {name: _probability(usable, name) for name in BRANCHES},
        "losses": {
            "acknowledged_lost": statistics([run.lost for run in usable if run.lost is not None]),
            "two_writable_ms": quantiles([r.two_writable_us for r in usable if r.two_writable_us is not None]),
            "blind_ms": quantiles([run.blind_us for run in usable if run.blind_us is not None]),
            "blind_by_server_ms": {
                host: quantiles([run.blind[host] for run in usable if host in run.blind]) for host in looked_up
            },
        },
        "calls": {name: _client_calls(name, usable) for name in clients},
        "client_parts": {name: _client_part_quantiles(name, usable) for name in clients},
    }


def _client_calls(name: str, runs: Sequence[RunMeasures]) -> dict[str, Any]:
    """Calls to one client over all runs, the share that failed, and blind and zombie time through each node in a run.

    `per_million` is None when no call was counted.
    """
    seen = [run.clients[name] for run in runs if name in run.clients]
    n, failed = sum(each.calls for each in seen), sum(each.failed for each in seen)
    nodes = sorted({node for each in seen for node in each.blind})
    return {
        "n": n,
        "failed": failed,
        "per_million": round(1_000_000 * failed / n) if n else None,
        "blind_ms": {node: quantiles([each.blind.get(node, 0) for each in seen]) for node in nodes},
        "zombie_ms": {node: quantiles([each.zombie.get(node, 0) for each in seen]) for node in nodes},
    }


def _client_part_quantiles(name: str, runs: Sequence[RunMeasures]) -> dict[str, Any]:
    """Parts of a client's longest outage, over the runs in which it was out."""
    parts = [run.clients[name].parts for run in runs if name in run.clients and run.clients[name].parts]
    return {part: quantiles([each[part] for each in parts]) for part in CLIENT_PARTS}


def quantiles(values_us: Sequence[int]) -> dict[str, Any]:
    """Quantiles in ms of durations in µs; only ``n`` when there is none."""
    described = statistics([value / 1000 for value in values_us])
    return {key if key == "n" else f"{key}_ms": value for key, value in described.items()}


def statistics(values: Sequence[float]) -> dict[str, Any]:
    """n, p5, p50, p95, p99, mean, min and max, with three decimals (linear interpolation between order statistics)."""
    if not values:
        return {"n": 0}
    import numpy as np

    p5, p50, p95, p99 = np.percentile(values, [5, 50, 95, 99])
    named = {"p5": p5, "p50": p50, "p95": p95, "p99": p99, "mean": np.mean(values), "min": min(values),
             "max": max(values)}  # fmt: skip
    return {"n": len(values), **{name: round(float(value), 3) for name, value in named.items()}}


def _milestone_quantiles(name: str, runs: Sequence[RunMeasures]) -> dict[str, Any]:
    """Quantiles over the runs in which it happened; `censored` counts those that ended while it was waited for."""
    described = quantiles([run.milestones[name] for run in runs if name in run.milestones])
    return {**described, "censored": sum(name in run.cut_off for run in runs)}


def _outage_quantiles(name: str, runs: Sequence[RunMeasures]) -> dict[str, Any]:
    """Quantiles of the total per run; a censored one counts with what was seen of it."""
    watched = [run for run in runs if name in run.windows]
    described = quantiles([run.outage_us(name) for run in watched])
    return {**described, "censored": sum(run.outage_is_censored(name) for run in watched)}


def _part_quantiles(parts: Sequence[dict[str, int]]) -> dict[str, Any]:
    return {name: quantiles([each[name] for each in parts]) for name in PARTS}


def _outcome_quantiles(name: str, runs: Sequence[RunMeasures]) -> dict[str, Any]:
    """Time spent in each outcome of an outage: refused at once, or without a word."""
    outcomes = ("refused", "silent") if name == WRITE_OUTAGE else ("refused", "unknown")
    spent = [_time_by_outcome(run.windows[name]) for run in runs if name in run.windows]
    return {outcome: quantiles([each.get(outcome, 0) for each in spent]) for outcome in outcomes}


def _time_by_outcome(windows: Iterable[Window]) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for window in windows:
        for outcome, spent_us in window.time_by_outcome().items():
            total[outcome] += spent_us
    return total


def _probability(runs: Sequence[RunMeasures], name: str) -> dict[str, Any]:
    answers = [run.branches[name] for run in runs if name in run.branches]
    return proportion(sum(answers), len(answers))


def proportion(k: int, n: int) -> dict[str, Any]:
    """k of n with Wilson's 95 % interval; 0 to 1 when n is 0."""
    if not n:
        return {"k": 0, "n": 0, "low": 0.0, "high": 1.0}
    shift = Z_95**2 / (2 * n)
    centre = (k / n + shift) / (1 + 2 * shift)
    half = Z_95 * math.sqrt(k * (n - k) / n**3 + shift / (2 * n)) / (1 + 2 * shift)
    return {"k": k, "n": n, "low": round(max(0.0, centre - half), 6), "high": round(min(1.0, centre + half), 6)}
