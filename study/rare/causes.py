"""What disturbs the cluster, from the conditions file of `hastudy tune`: each thing that can stall is a cause.

========== ==================================================================== =====================================
of         causes                                                               what stalls
========== ==================================================================== =====================================
redis      one                                                                  the primary's Redis process
host       one                                                                  all programs of the primary's host
network    one                                                                  the network of the primary's host
link       one for each other host with a sentinel, each as often as is given   the network between it and the
                                                                                primary's host, both ways
other-host one for each other host, each as often as is given                   all programs of that host
========== ==================================================================== =====================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.bounds import HOUR_MS, YEAR_MS
from model.effects import DELIVER_PACKETS, DROP_PACKETS, PAUSE, RESUME, RETURN, VANISH
from model.errors import UsageError
from model.scenario import Scenario
from sim.disturbances import Cause, Exponential, Lengths, LogNormal, Pareto, Sample, Strike
from sim.state import REDIS, REGISTRAR, SENTINEL
from study.tune.inputs import Conditions, StallLaw, Stalls, stalls_of

Pairs = tuple[tuple[Strike, Strike], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Causes that are alike: those of one ``[[stall]]``.

    Attributes
    ----------
    of, words : str
        What stalls; law of its length.
    causes : tuple of Cause
    """

    of: str
    words: str
    causes: tuple[Cause, ...]

    @property
    def per_hour(self) -> float:
        """Disturbances an hour, of all of them together."""
        return sum(cause.per_hour for cause in self.causes)


def groups_of(scenario: Scenario, conditions: Conditions, base: Path, measured: Sequence[Path] = ()) -> list[Group]:
    """All that is disturbed at all.

    Parameters
    ----------
    scenario : Scenario
    conditions : Conditions
    base : Path
        Folder of the conditions file.
    measured : sequence of Path
        Further files of measured stalls of Redis: they replace all other stalls of Redis.

    Raises
    ------
    UsageError
        Nothing is disturbed.
    """
    given = [each for each in conditions.stall if not (measured and each.of == "redis")]
    stalls = stalls_of(conditions, base, measured)
    laws = [*given, *[None] * (len(stalls) - len(given))]
    found = [_group(scenario, each, law) for each, law in zip(stalls, laws, strict=True) if each.per_year > 0]
    found = [group for group in found if group.causes]
    if not found:
        raise UsageError("nothing is ever disturbed\n\nhint: add a [[stall]] with per_year above 0 (docs/rare.md)")
    return found


def _group(scenario: Scenario, stalls: Stalls, law: StallLaw | None) -> Group:
    lengths = _lengths(stalls, law)
    per_hour = stalls.per_year * HOUR_MS / YEAR_MS
    causes = tuple(Cause(name, per_hour, lengths, pairs) for name, pairs in _struck(scenario, stalls.of))
    return Group(stalls.of, stalls.words, causes)


def _lengths(stalls: Stalls, law: StallLaw | None) -> Lengths:
    if stalls.is_measured or law is None:
        return Sample(tuple(stalls.lengths_ms))
    if law.law == "exponential":
        return Exponential(law.mean_ms or 0.0)
    if law.law == "lognormal":
        return LogNormal(law.median_ms or 0.0, law.sigma or 0.0)
    return Pareto(law.least_ms or 0.0, law.alpha or 0.0)


def _struck(scenario: Scenario, of: str) -> list[tuple[str, Pairs]]:
    """Name, and what happens, of each cause of this kind."""
    names = scenario.host_names
    primary = names.index(scenario.server.primary)
    others = [number for number in range(len(names)) if number != primary]
    if of == "redis":
        return [(of, (_paused(primary, REDIS),))]
    if of == "host":
        return [(of, _frozen(primary))]
    if of == "network":
        return [(of, ((Strike(VANISH, primary), Strike(RETURN, primary)),))]
    if of == "link":
        watching = [number for number in others if scenario.host[number].sentinel]
        return [(f"{of} {names[number]}", _cut(primary, number)) for number in watching]
    return [(f"host {names[number]}", _frozen(number)) for number in others]


def _paused(host: int, program: int) -> tuple[Strike, Strike]:
    return Strike(PAUSE, host, program), Strike(RESUME, host, program)


def _frozen(host: int) -> Pairs:
    return tuple(_paused(host, program) for program in (REDIS, SENTINEL, REGISTRAR))


def _cut(a: int, b: int) -> Pairs:
    """Packets are lost both ways."""
    return tuple(
        (Strike(DROP_PACKETS, here, to=there + 1, value=100), Strike(DELIVER_PACKETS, here, to=there + 1))
        for here, there in ((a, b), (b, a))
    )
