"""Real logs walked through the rules of the sentinel machine.

A log of a real Sentinel is a path, and the machine must be able to walk it. What is walked is a *relation*, not the
machine itself: a log shows neither the times of PINGs nor the contents of INFO, nor the random parts. So `rules` says
for each event in which states it can come next, `guards` from when on, `effects` what it changes and which line the
same function writes directly after it, `ticks` in which order one tick writes. States, periods and time-outs are
those of `model.sentinel`; each rule names its function in ``sentinel.c``. Held from both sides: logs written from
simulated runs of the machine conform, and so do logs of real servers (tests).

A walk refuses only what no run could have logged, given that the clock is not set back by less than a tick (more is
TILT, and is seen), a program is not held up for more than 100 ms between reading its clock and writing the line
(`guards`), the periods are the vendor's (no ``SENTINEL DEBUG``), and addresses are not hostnames that change.

Some changes cannot be noticed for that reason, since nothing depends on the line: see docs/conform.md.

Left out: scripts, ``SENTINEL SIMULATE-FAILURE``, Valkey's coordinated failover (its events are ignored and make the
state of that failover unknown), Redis before 6.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from model.conform.across import contradictions
from model.conform.lines import Line, is_sentinel, read
from model.conform.servers import walk_server
from model.conform.state import Settings
from model.conform.walk import Fact, Finding, Walk, walk

__all__ = ["Configuration", "Fact", "Finding", "Settings", "Verdict", "Walk", "configuration", "conform"]

OPTIONS = {
    "down-after-milliseconds": "down_after",
    "failover-timeout": "failover_timeout",
    "parallel-syncs": "parallel_syncs",
}
DEFAULTS = {"down_after": 30_000, "failover_timeout": 180_000, "parallel_syncs": 1}
"""What a group has unless its file says otherwise. sentinel.c sentinel_default_*. Kind: vendor default."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a ``sentinel.conf`` says: the id of the sentinel (empty if none has rewritten it) and its groups."""

    id: str
    groups: dict[str, Settings]


@dataclass(slots=True)
class Verdict:
    """The walk of each file, and lines that contradict another file."""

    walks: dict[str, Walk]
    across: list[tuple[str, Finding]] = field(default_factory=list)

    @property
    def conforms(self) -> bool:
        """No impossible line in any file."""
        return not self.across and all(each.finding is None for each in self.walks.values())


def conform(
    logs: Mapping[str, Iterable[str]], configurations: Iterable[Configuration] = (), same_clock: bool = False
) -> Verdict:
    """Walk the logs of one run.

    Parameters
    ----------
    logs : mapping
        Lines of each log (of sentinels, and of Redis servers), by name of the file.
    configurations : iterable of Configuration
        Of any of the sentinels. One without an id counts for all, one with an id for that sentinel's log. What no file
        and no line says disables the checks that need it.
    same_clock : bool
        All stamps come from one clock, so their order across files counts too.
    """
    known = list(configurations)
    walks: dict[str, Walk] = {}
    for name, raw in logs.items():
        lines = list(read(raw))
        walks[name] = walk(lines, _settings(lines, known)) if is_sentinel(lines) else walk_server(lines)
    return Verdict(walks, contradictions(walks, same_clock))


def _settings(lines: Sequence[Line], configurations: Iterable[Configuration]) -> dict[str, Settings]:
    """Settings of the groups of the sentinel that wrote these lines."""
    ids = {line.words[0] for line in lines if line.event == "id"}
    found: dict[str, Settings] = {}
    for each in sorted(configurations, key=lambda each: each.id):
        if not each.id or each.id in ids:
            found |= each.groups
    return found


def configuration(lines: Iterable[str]) -> Configuration | None:
    """What the lines of a ``sentinel.conf`` say; None if they are no such file."""
    groups: dict[str, Settings] = {}
    given: list[tuple[str, str, int]] = []
    own_id = ""
    for line in lines:
        words = line.split()
        if words[:1] != ["sentinel"]:
            continue
        if len(words) == 6 and words[1] == "monitor" and words[5].isdecimal():
            groups[words[2]] = Settings(quorum=int(words[5]), **DEFAULTS)
        elif len(words) == 3 and words[1] == "myid":
            own_id = words[2]
        elif len(words) == 4 and words[1] in OPTIONS and words[3].isdecimal():
            given.append((words[2], OPTIONS[words[1]], int(words[3])))
    for name, option, value in given:
        if name in groups:
            setattr(groups[name], option, value)
    return Configuration(own_id, groups) if groups else None
