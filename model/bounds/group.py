"""What decides about a detection: a fault of the primary, and the sentinels, ways and settings that it leaves.

Left out: time lines with more than a fault of the primary and its end (`fault_of` says None); lost packets (refused).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from model.errors import UsageError
from model.scenario import PAIRS, STRIKES_PROCESS, Fault, Scenario

Kind = Literal["host", "redis", "frozen", "host-killed", "host-frozen"]
"""What happens to the primary: its host vanishes, its process is killed, its process freezes, all programs of its host
are killed, or freeze."""

KINDS: tuple[Kind, ...] = get_args(Kind)

YEAR_MS = 365.25 * 86_400_000
HOUR_MS = 3_600_000

LOCAL_MS = 0.06
"""One way within a host. Kind: measured (lab, namespaces)."""

_FAULTS = {
    "host": ("vanish", "all"), "redis": ("crash", "redis"), "frozen": ("pause", "redis"),
    "host-killed": ("crash", "all"), "host-frozen": ("pause", "all"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest possible value, in ms. (A prover's symbols will do as well as numbers.)"""

    low_ms: float
    high_ms: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low_ms + other.low_ms, self.high_ms + other.high_ms)

    def holds(self, t_ms: float) -> bool:
        """True when a value lies within."""
        return self.low_ms <= t_ms <= self.high_ms

    @property
    def middle_ms(self) -> float:
        """Half-way."""
        return (self.low_ms + self.high_ms) / 2


def ranked(ranges: tuple[Range, ...], rank: int) -> Range:
    """Bounds of the `rank`-th smallest of values that each have bounds: of lows and of highs the `rank`-th."""
    lows, highs = sorted(each.low_ms for each in ranges), sorted(each.high_ms for each in ranges)
    return Range(lows[rank - 1], highs[rank - 1])


@dataclass(frozen=True, slots=True)
class Group:
    """What decides about a detection: a scenario as seen by the sentinels that a fault leaves.

    Attributes
    ----------
    down_after_ms : float
    quorum, voters : int
        Voters are all sentinels, dead ones too.
    forth, back : tuple of Range
        One way between each live sentinel and the primary, in ms.
    between : Range
        One way between two live sentinels.
    flush_ms : float
        One rewrite of a sentinel's configuration file.
    is_reset : bool
        The fault resets connections: somebody's kernel is still there to do so.
    """

    down_after_ms: float
    quorum: int
    voters: int
    forth: tuple[Range, ...]
    back: tuple[Range, ...]
    between: Range
    flush_ms: float
    is_reset: bool

    @property
    def live(self) -> int:
        """Sentinels that the fault leaves."""
        return len(self.forth)

    @property
    def votes(self) -> int:
        """Votes that a leader needs."""
        return max(self.quorum, self.voters // 2 + 1)

    @property
    def fails_over(self) -> bool:
        """True when the sentinels left are enough."""
        return self.live >= self.votes

    def round_trip(self, index: int) -> Range:
        """From a live sentinel to the primary and back."""
        return self.forth[index] + self.back[index]


def struck(scenario: Scenario, kind: Kind, length_ms: int | None = None) -> Scenario:
    """The scenario with one fault of its primary in place of its own time line; with a length it ends by itself.

    Parameters
    ----------
    scenario : Scenario
    kind : Kind
    length_ms : int, optional
        What is frozen runs on after so long, a vanished host returns; what is killed is not started again.
    """
    does, process = _FAULTS[kind]
    host = scenario.server.primary
    faults = [Fault(kind=does, host=host, at_ms=0, process=process)]
    undo = {"pause": "resume", "vanish": "return"}.get(does)
    if length_ms is not None and undo:
        faults.append(Fault(kind=undo, host=host, at_ms=length_ms, process=process))
    return scenario.model_copy(update={"fault": tuple(faults), "claim": ()})


def fault_of(scenario: Scenario) -> tuple[Kind, float | None] | None:
    """The kind of fault that a scenario's own time line is, and when it is undone (None: never).

    A host whose ways all die is, for the sentinels that can still talk to each other, a host that vanished. None when
    the time line is anything else than a fault of the primary and its end.
    """
    primary = scenario.server.primary
    line = sorted(scenario.fault, key=lambda fault: fault.at_ms)
    if not line or len(line) > 2 or any(each.after or each.host != primary for each in line) or line[0].at_ms:
        return None
    first = line[0]
    does = "vanish" if first.kind == "partition" else first.kind
    process = first.process if first.kind in STRIKES_PROCESS else "all"
    kind: Any = next((name for name, fault in _FAULTS.items() if fault == (does, process)), None)
    undone = [each for each in line[1:] if each.kind == PAIRS.get(first.kind) and each.process == first.process]
    if kind is None or len(undone) < len(line) - 1:
        return None
    return kind, float(undone[0].at_ms) if undone else None


def group_of(scenario: Scenario, kind: Kind) -> Group:
    """What a fault of this kind leaves of the scenario's sentinels.

    Raises
    ------
    UsageError
        Packets are lost at random: then no closed form holds.
    """
    if any(link.loss_percent for link in scenario.link):
        raise UsageError(
            f"{scenario.name}: link.loss_percent is not 0, and closed forms know no lost packets\n\n"
            "hint: simulate it, or set the loss to 0"
        )
    primary = scenario.server.primary
    hosts = [host for host in scenario.sentinel_hosts if host != primary or kind in ("redis", "frozen")]
    return Group(
        down_after_ms=scenario.sentinel.down_after_ms,
        quorum=scenario.sentinel.quorum,
        voters=len(scenario.sentinel_hosts),
        forth=tuple(way(scenario, host, primary) for host in hosts),
        back=tuple(way(scenario, primary, host) for host in hosts),
        between=hull([way(scenario, a, b) for a in hosts for b in hosts if a != b]),
        flush_ms=scenario.sentinel.flush_us / 1000,
        is_reset=kind in ("redis", "host-killed"),
    )


def way(scenario: Scenario, source: str, to: str) -> Range:
    """One way between two hosts: a later link wins; within a host nothing is shaped."""
    if source == to:
        return Range(LOCAL_MS, LOCAL_MS)
    found = Range(scenario.network.delay_us / 1000, scenario.network.delay_us / 1000)
    for link in scenario.link:
        if link.from_ in ("*", source) and link.to in ("*", to):
            found = Range(link.delay_us / 1000, (link.delay_us + link.jitter_us) / 1000)
    return found


def hull(ranges: list[Range]) -> Range:
    """The least range that holds all of these; 0 of none."""
    ranges = ranges or [Range(0, 0)]
    return Range(min(each.low_ms for each in ranges), max(each.high_ms for each in ranges))
