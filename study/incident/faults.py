"""What broke, and when: from who could not hear whom, who was refused, and who went on writing meanwhile.

======================================  =======================================================================
what the lines show                     what is inferred
======================================  =======================================================================
a replica is refused by its primary     its process died, the host lives (``crash``); of the whole host if the
                                        sentinel there is not heard either
neither server nor sentinel is heard,   the host is cut off (``vanish``; several together: ``partition``)
nobody refused, and the sentinel there
hears nobody
the same, and the sentinel there        nobody can tell a dead host from a cut one (``vanish``); with a start
writes nothing                          later: power loss; with ``+tilt`` later: the host was frozen (``pause``)
the server is not heard, its sentinel   the process hangs (``pause`` of Redis); with a slow script in its log:
is, nobody refused                      ``busy``
only one sentinel does not hear it      the way between the two is broken (``drop``)
the sentinel alone is not heard         its process died (``crash`` of the sentinel)
``+tilt`` with nothing else             the clock was set (``step``), if stamps before and after say so; else
                                        the sentinel was held up (``pause`` of it)
======================================  =======================================================================

Times: a refused replica gives the instant of a death. Silence began between the last PING that was answered and the
first that was not: the delay before ``+sdown``, and up to a PING period earlier.

Left out: faults of registrar nodes and of phones, which sentinels do not see; a second fault of the same kind on the
same host; faults that ended before anybody noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import networkx as nx

from study.incident.clocks import Clocks
from study.incident.hosts import Cluster
from study.incident.logs import Entry, Evidence, Log, where
from study.incident.settings import TICKS_MS, Known

PING_MS = 1000
"""sentinel.c SENTINEL_PING_PERIOD. Kind: specified."""

SETTLE_MS = 1500
"""A sentinel that hears an instance again says so after a PING, its answer and a tick or two. Kind: assumed."""


STARTS_MS = 10_000
"""Programs of a host that is started anew come up within this. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """A fault, or what undid it.

    Attributes
    ----------
    kind, host, process : str
        As in a scenario.
    low_ms, high_ms : int
        When, by the reference clock, ms since the epoch.
    why : str
    lines : tuple of str
        Files and lines that show it.
    otherwise : tuple of str
        What else it could have been.
    to : str
        Of ``drop``: who no longer got packets.
    step_ms, side : int
        Of ``step`` and ``partition``.
    """

    kind: str
    host: str
    process: str
    low_ms: int
    high_ms: int
    why: str
    lines: tuple[str, ...]
    otherwise: tuple[str, ...] = ()
    to: str = "*"
    step_ms: int = 0
    side: int = 1

    @property
    def at_ms(self) -> int:
        """The middle."""
        return (self.low_ms + self.high_ms) // 2


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentinel (of host `by`) heard an instance of `about` no more, until it did again."""

    by: str
    about: str
    of_sentinel: bool
    begin: Entry
    end: Entry | None


@dataclass(slots=True)
class Scene:
    """Everything that inferences are made from."""

    evidence: Evidence
    cluster: Cluster
    clocks: Clocks
    delay: Known
    claims: list[Claim] = field(default_factory=list)
    sides: list[set[str]] = field(default_factory=list)

    @classmethod
    def of(cls, evidence: Evidence, cluster: Cluster, clocks: Clocks, delay: Known) -> Scene:
        """Collect claims, and who could hear whom."""
        scene = cls(evidence, cluster, clocks, delay)
        scene.claims = [claim for log in scene.logs("sentinel") for claim in _claims(log, cluster)]
        scene.sides = _sides(scene)
        return scene

    def logs(self, kind: str, host: str | None = None) -> list[Log]:
        """Logs of a kind, of one host or of all."""
        return [log for log in self.evidence.logs
                if log.kind == kind and host in (None, self.cluster.host_of_file[log.name])]  # fmt: skip

    def heard_by_others(self, host: str, of_sentinel: bool) -> list[Claim]:
        """Claims about a host by sentinels that count: those of the main side, and of no other host's."""
        return [claim for claim in self.claims if claim.about == host and claim.of_sentinel == of_sentinel
                and claim.by != host and (claim.by in self.sides[0] or host in self.side_of(claim.by))]  # fmt: skip

    def side_of(self, host: str) -> set[str]:
        return next((side for side in self.sides if host in side), {host})

    def by_own(self, host: str) -> list[Claim]:
        """Claims of the sentinel on a host about the server there."""
        return [claim for claim in self.claims if claim.by == claim.about == host and not claim.of_sentinel]

    def isolated(self, host: str) -> list[Claim]:
        """Claims of a host's sentinel about sentinels of the main side: it was alive, and heard them not."""
        return [claim for claim in self.claims
                if claim.by == host and claim.of_sentinel and claim.about in self.sides[0] - {host}]  # fmt: skip

    def span(self, entry: Entry) -> tuple[int, int]:
        """Time of an entry by the reference clock, with what is not known of its clock."""
        at_ms, half_ms = self.clocks.true_ms(entry), self.clocks.offset(entry).half_ms or 0
        return at_ms - half_ms, at_ms + half_ms


def _claims(log: Log, cluster: Cluster) -> Iterator[Claim]:
    by, open_ = cluster.host_of_file[log.name], {}
    for entry in log.entries:
        about = cluster.about(entry)
        key = about, entry.is_sentinel
        if entry.event == "+sdown" and about:
            open_.setdefault(key, entry)
        elif entry.event in ("-sdown", "+reboot", "+convert-to-slave") and key in open_:
            yield Claim(by, *key, open_.pop(key), entry)
    for (about, of_sentinel), begin in open_.items():
        yield Claim(by, about, of_sentinel, begin, None)


def _sides(scene: Scene) -> list[set[str]]:
    """Hosts whose sentinels heard each other throughout; the largest first, of two as large that of the old primary."""
    graph = nx.Graph()
    graph.add_nodes_from(scene.cluster.hosts)
    deaf = {frozenset((claim.by, claim.about)) for claim in scene.claims if claim.of_sentinel}
    hosts = scene.cluster.hosts
    graph.add_edges_from((a, b) for a in hosts for b in hosts if a < b and frozenset((a, b)) not in deaf)
    return sorted(nx.connected_components(graph),
                  key=lambda side: (-len(side), scene.cluster.primary not in side, min(side)))  # fmt: skip


def infer(scene: Scene) -> list[Inferred]:
    """All faults, and what undid them, in order of the latest instants at which they can have been."""
    found = _partition(scene)
    split = {each.host for each in found}
    for host in scene.cluster.hosts:
        if host not in split:
            found += _of_host(scene, host)
        found += _asked_for(scene, host)
    for host in scene.cluster.hosts:
        if not any(each.host == host and each.kind in ("pause", "busy") for each in found):
            found += _tilts(scene, host)
        found += _unnoticed(scene, host, [each for each in found if each.host == host and each.kind == "restart"])
    return sorted(_each_way_once(found), key=lambda each: (each.high_ms, each.host))


def _each_way_once(found: Iterable[Inferred]) -> Iterator[Inferred]:
    """A broken way is inferred from both its ends: the earlier one is kept, and what mends it."""
    kept: dict[frozenset[str], tuple[str, str]] = {}
    for each in sorted(found, key=lambda each: each.high_ms):
        way = each.host, each.to
        if each.kind not in ("drop", "deliver") or kept.setdefault(frozenset(way), way) == way:
            yield each


def _unnoticed(scene: Scene, host: str, known: list[Inferred]) -> Iterator[Inferred]:
    """Starts in the middle of a log that nothing else explains: the program had ended since the line before."""
    for kind in ("redis", "sentinel"):
        explained = [each.at_ms for each in known if each.process in ("all", kind)]
        for log in scene.logs(kind, host):
            for before, entry in zip(log.entries, log.entries[1:], strict=False):
                low_ms, high_ms = scene.span(entry)
                if entry.event == "start" and not any(abs(at_ms - low_ms) < STARTS_MS for at_ms in explained):
                    yield Inferred("crash", host, kind, scene.span(before)[0], high_ms, "its log shows a new start",
                                   (entry.place,), ("it was restarted on purpose",))  # fmt: skip
                    yield _restart(scene, host, kind, entry)


def _partition(scene: Scene) -> list[Inferred]:
    """Sides of several hosts, or several sides that all still lived: nothing but a split explains them."""
    away = scene.sides[1:]
    alive = [side for side in away if all(scene.isolated(host) for host in side)]
    if not alive or (len(alive) == 1 and len(alive[0]) == 1):
        return []
    found = []
    for number, side in enumerate(alive, 1):
        for host in sorted(side):
            claims = [*scene.heard_by_others(host, True), *scene.isolated(host)]
            low_ms, high_ms = _silence(scene, claims)
            found.append(Inferred(
                "partition", host, "all", low_ms, high_ms, "it and the main side did not hear each other, both lived",
                _places(claims), (f"{' and '.join(sorted(side))} cut off one by one",), side=number,
            ))  # fmt: skip
            found += _return(scene, claims, "heal", host, "all")
    return [each for each in found if each.kind != "heal"] + [each for each in found if each.kind == "heal"][:1]


def _of_host(scene: Scene, host: str) -> list[Inferred]:
    """What befell one host."""
    refusals = list(_refusals(scene, host))
    server, sentinel = scene.heard_by_others(host, False), scene.heard_by_others(host, True)
    own = scene.by_own(host)
    if refusals:
        return _died(scene, host, refusals, sentinel)
    if _is_one_way(scene, host, server + sentinel) and not own:
        return _one_way(scene, host, server + sentinel)
    if server and sentinel:
        return _silent_host(scene, host, server + sentinel)
    if sentinel:
        return _sentinel_died(scene, host, sentinel)
    return _hangs(scene, host, own + server) if own or server else []


def _is_one_way(scene: Scene, host: str, claims: list[Claim]) -> bool:
    """One sentinel alone hears it no more, and another one, not on the host itself, always did."""
    deaf = {claim.by for claim in claims}
    others = {scene.cluster.host_of_file[log.name] for log in scene.logs("sentinel")} - deaf - {host}
    return len(deaf) == 1 and bool(others & scene.side_of(host) & scene.side_of(min(deaf)))


def _died(scene: Scene, host: str, refusals: list[Entry], sentinel: list[Claim]) -> list[Inferred]:
    low_ms, high_ms = _meet([scene.span(entry) for entry in refusals])
    whole = bool(sentinel) and _fell_silent(scene, host, high_ms)
    process = "all" if whole else "redis"
    why = "its kernel refused connections to the server" + (", and its sentinel was not heard" if whole else "")
    other = ("its sentinel was cut off at the same time",) if whole else ("it was stopped on purpose (SHUTDOWN)",)
    found = [Inferred("crash", host, process, low_ms, high_ms, why, tuple(entry.place for entry in refusals[:4]),
                      other)]  # fmt: skip
    found += [_restart(scene, host, process, entry) for entry in _starts(scene, host, "redis", low_ms)[:1]]
    return found + (_sentinel_died(scene, host, sentinel) if sentinel and not whole else [])


def _fell_silent(scene: Scene, host: str, at_ms: int) -> bool:
    """The sentinel of a host wrote nothing after an instant, until it was started anew."""
    for log in scene.logs("sentinel", host):
        later = [entry for entry in log.entries if scene.span(entry)[0] > at_ms + TICKS_MS]
        if later and later[0].event != "start":
            return False
    return True


def _silent_host(scene: Scene, host: str, claims: list[Claim]) -> list[Inferred]:
    low_ms, high_ms = _silence(scene, claims)
    deaf = scene.isolated(host)
    starts = _starts(scene, host, "sentinel", low_ms)
    tilts = [entry for log in scene.logs("sentinel", host) for entry in where(log, "+tilt")
             if scene.span(entry)[1] > low_ms]  # fmt: skip
    lines = _places([*claims, *deaf])
    if deaf or not (starts or tilts):
        why = ("it heard nobody and nobody heard it, and no connection was refused" if deaf
               else "nobody heard it, and no connection was refused")  # fmt: skip
        other = ("packets lost in one direction only", "a partition with this host alone on its side") if deaf else (
            "a loss of power", "a frozen machine")  # fmt: skip
        if len(scene.side_of(host)) == len(scene.sides[0]):
            other = ("the other side, just as large, was the one cut off", *other)
        found = [Inferred("vanish", host, "all", low_ms, high_ms, why, lines, other)]
        return found + _return(scene, claims + deaf, "return", host, "all")
    if starts:
        why = "nobody heard it, no connection was refused, it wrote nothing and was started anew: power loss"
        other = ("a cable pulled, and a restart before it was plugged in",)
        found = [Inferred("vanish", host, "all", low_ms, high_ms, why, lines, other),
                 Inferred("crash", host, "all", low_ms, high_ms, why, lines, other)]  # fmt: skip
        back = _restart(scene, host, "all", starts[0])
        return [*found, Inferred("return", host, "all", back.low_ms, back.high_ms, back.why, back.lines), back]
    why = "nobody heard it, it wrote nothing, and found its clock jumped when it went on"
    found = [Inferred("pause", host, "all", low_ms, high_ms, why, lines, ("a machine moved live", "a slow disk"))]
    woke = scene.span(tilts[0])
    return [*found, Inferred("resume", host, "all", *woke, "it goes on", (tilts[0].place,))]


def _sentinel_died(scene: Scene, host: str, claims: list[Claim]) -> list[Inferred]:
    low_ms, high_ms = _silence(scene, claims)
    starts = _starts(scene, host, "sentinel", low_ms)
    other = ("its process hung", "the port of sentinels is blocked")
    found = [Inferred("crash", host, "sentinel", low_ms, high_ms, "its sentinel alone was not heard", _places(claims),
                      other)]  # fmt: skip
    return found + [_restart(scene, host, "sentinel", entry) for entry in starts[:1]]


def _hangs(scene: Scene, host: str, claims: list[Claim]) -> list[Inferred]:
    low_ms, high_ms = _silence(scene, claims)
    busy, misconf = ([entry for log in scene.logs("redis", host) for entry in where(log, event)]
                     for event in ("busy", "misconf"))  # fmt: skip
    if misconf:
        return [Inferred("fail-saves", host, "redis", *scene.span(misconf[0]),
                         "it could not save, and answers errors since (MISCONF)", (misconf[0].place,))]  # fmt: skip
    why = "its server did not answer, its sentinel did, and no connection was refused"
    if busy:
        end_ms = max((scene.span(claim.end)[0] for claim in claims if claim.end), default=high_ms)
        why += "; it ran a slow script"
        return [Inferred("busy", host, "redis", low_ms, high_ms, why, (*_places(claims), busy[0].place),
                         ("the process was stopped as well",), step_ms=max(end_ms - high_ms, 0))]  # fmt: skip
    other = ("a script or a fork that blocks it", "a swapping machine")
    if not scene.logs("redis"):
        other = ("its process died (logs of servers would tell)", *other)
    starts = _starts(scene, host, "redis", low_ms)
    found = [Inferred("pause", host, "redis", low_ms, high_ms, why, _places(claims), other)]
    return found + (
        [_restart(scene, host, "redis", starts[0])] if starts else _return(scene, claims, "resume", host, "redis")
    )


def _one_way(scene: Scene, host: str, claims: list[Claim]) -> list[Inferred]:
    deaf = claims[0].by
    low_ms, high_ms = _silence(scene, claims)
    why = f"only the sentinel of {deaf} did not hear it"
    found = [Inferred("drop", host, "all", low_ms, high_ms, why, _places(claims),
                      ("packets lost the other way", "it hung for little longer than the delay"), to=deaf)]  # fmt: skip
    back = _return(scene, claims, "deliver", host, "all")
    return found + [Inferred(each.kind, host, "all", each.low_ms, each.high_ms, each.why, each.lines, to=deaf)
                    for each in back]  # fmt: skip


def _asked_for(scene: Scene, host: str) -> Iterator[Inferred]:
    for log in scene.logs("sentinel", host):
        for entry in where(log, "forced"):
            yield Inferred("failover", host, "all", *scene.span(entry), "a user asked for it", (entry.place,))


def _tilts(scene: Scene, host: str) -> list[Inferred]:
    """A sentinel that found its clock jumped, where no pause of its host explains it."""
    tilts = [entry for log in scene.logs("sentinel", host) for entry in where(log, "+tilt")][:1]
    before, after = (scene.clocks.offsets.get((host, stretch)) for stretch in (0, 1))
    for entry in tilts:
        low_ms, high_ms = scene.span(entry)
        if scene.clocks.is_split and before and after and None not in (before.half_ms, after.half_ms):
            jump_ms = after.best_ms - before.best_ms
            if abs(jump_ms) > before.half_ms + after.half_ms:
                why = f"stamps before and after show that its clock was set by {jump_ms / 1000:+.3f} s"
                return [Inferred("step", host, "all", low_ms - PING_MS, high_ms, why, (entry.place,),
                                 step_ms=jump_ms)]  # fmt: skip
        why = "its sentinel was held up for 2 s or more, or its clock was set"
        return [Inferred("pause", host, "sentinel", low_ms - PING_MS, high_ms, why, (entry.place,),
                         ("the clock was set", "a slow disk")),
                Inferred("resume", host, "sentinel", low_ms, high_ms, "it goes on", (entry.place,))]  # fmt: skip
    return []


# When


def _refusals(scene: Scene, host: str) -> Iterator[Entry]:
    """Lines of replicas that had been in sync: the loss of this server (else the refusal), one for each replica."""
    for log in scene.logs("redis"):
        to, lost, synced = "", None, False
        for entry in log.entries:
            synced = synced or entry.event in ("synced", "link-up")
            if entry.event == "connects":
                to = scene.cluster.about(entry)
            elif entry.event == "link-down":
                lost = (entry, to)
            elif entry.event == "refused" and synced and to == host:
                yield lost[0] if lost and lost[1] == host else entry
                break


def _silence(scene: Scene, claims: Iterable[Claim]) -> tuple[int, int]:
    """When it began: each claim's delay earlier, and up to a PING period before that."""
    low, high = scene.delay.low, scene.delay.high
    first: dict[tuple[str, bool], Entry] = {}
    for claim in claims:
        first.setdefault((claim.by, claim.of_sentinel), claim.begin)
    spans = [(scene.span(entry)[0] - high - PING_MS - TICKS_MS, scene.span(entry)[1] - low) for entry in first.values()]
    return _meet(spans)


def _meet(spans: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """What all spans have in common; where they have nothing, the first of them."""
    ordered = sorted(spans)
    low, high = max(span[0] for span in ordered), min(span[1] for span in ordered)
    return (low, high) if low <= high else ordered[0]


def _starts(scene: Scene, host: str, kind: str, after_ms: int) -> list[Entry]:
    """Starts of a program after a fault; that which begins its log is a restart only if it follows a suspicion."""
    suspected_ms = min((scene.clocks.true_ms(claim.begin) for claim in scene.claims if claim.about == host),
                       default=after_ms)  # fmt: skip
    return [entry for log in scene.logs(kind, host) for entry in where(log, "start")
            if scene.span(entry)[1] > (suspected_ms if entry is log.entries[0] else after_ms)]  # fmt: skip


def _restart(scene: Scene, host: str, process: str, entry: Entry) -> Inferred:
    return Inferred("restart", host, process, *scene.span(entry), "it was started anew", (entry.place,))


def _return(scene: Scene, claims: Iterable[Claim], kind: str, host: str, process: str) -> list[Inferred]:
    """It was heard again: a little before somebody said so first."""
    ends = sorted((claim.end for claim in claims if claim.end), key=scene.clocks.true_ms)
    if not ends:
        return []
    low_ms, high_ms = scene.span(ends[0])
    return [Inferred(kind, host, process, low_ms - SETTLE_MS, high_ms, "it was heard again", (ends[0].place,))]


def _places(claims: Iterable[Claim]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(claim.begin.place for claim in claims))[:6]
