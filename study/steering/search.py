"""Finds the delays with which a scenario shows a pattern most often.

Free are the delays of ways that are long on purpose (`LEAST_US` and above), static ones and those of faults. Delays
that are equal are one number: they were given the same part to play. Climbed is one number at a time, up and down, by
factors that shrink; every attempt is judged by the same runs (common random numbers), so the result depends on the
seed alone.

Left out: instants of faults, and settings of the sentinels: they are part of the question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from model.scenario import Scenario, parse
from sim import simulate
from study.folders import to_toml
from study.steering.patterns import Pattern, share

LEAST_US = 10_000
"""Shorter delays are what the network is like. Kind: assumed."""
MOST_US = 10_000_000
"""Longest delay that a scenario may have. Kind: specified (model.scenario)."""
MOST_STATIC_US = 2_800_000
"""Longest delay of a way that is so from the start: there and back it stays below the 3 s in which a kernel must learn
a neighbour's address. Kind: assumed; at 4 s a sentinel in one of two real runs heard no more of a live primary."""
FACTORS = (1.6, 1.25, 1.1)
"""Steps of the climb. Kind: assumed."""
GRAIN_US = 10_000
"""Delays are rounded to this, for files that a person reads. Kind: assumed."""

Progress = Callable[[float, str], None]


def steer(
    scenario: Scenario, pattern: Pattern, runs: int, seed: int, progress: Progress | None = None, engine: str = "batch"
) -> tuple[Scenario, dict[str, Any]]:
    """The same scenario with better delays, and the share of its runs that show the pattern.

    Parameters
    ----------
    scenario : Scenario
    pattern : Pattern
    runs : int
        Simulated runs by which each attempt is judged.
    seed : int
    progress : callable, optional
        Called as ``progress(share of the search that is done, text)``.
    engine : {"batch", "world"}

    Returns
    -------
    Scenario
        The best one; `scenario` itself if nothing is better.
    dict
        ``k`` of ``n`` runs with Wilson's 95 % interval. They were chosen by, so judge anew with another seed.
    """
    best, found = scenario, _judge(scenario, pattern, runs, seed, engine)
    for done, factor in enumerate(FACTORS):
        for number in range(len(delays(scenario))):
            better = [(each, judged) for each in _neighbours(best, number, factor)
                      if (judged := _judge(each, pattern, runs, seed, engine))["k"] > found["k"]]  # fmt: skip
            if better:
                best, found = max(better, key=lambda pair: pair[1]["k"])
            if progress:
                progress((done + (number + 1) / len(delays(scenario))) / len(FACTORS), f"{found['k']} of {found['n']}")
    return best, found


def delays(scenario: Scenario) -> list[int]:
    """The different long delays of a scenario in µs, in the order in which they first stand there."""
    told = [each.delay_us for each in (*scenario.link, *scenario.fault)]
    return list(dict.fromkeys(delay_us for delay_us in told if delay_us >= LEAST_US))


def with_delay(scenario: Scenario, old_us: int, new_us: int) -> Scenario:
    """Every delay that is `old_us` becomes `new_us`."""
    data = scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for table in (*data.get("link", ()), *data.get("fault", ())):
        if table.get("delay_us") == old_us:
            table["delay_us"] = new_us
    return parse(to_toml(data), scenario.name)


def _neighbours(scenario: Scenario, number: int, factor: float) -> Iterator[Scenario]:
    """One delay longer, and shorter, unless it would then be another one."""
    known = delays(scenario)
    if number >= len(known):
        return
    is_static = any(link.delay_us == known[number] for link in scenario.link)
    for scale in (factor, 1 / factor):
        new_us = min(round(known[number] * scale / GRAIN_US) * GRAIN_US, MOST_STATIC_US if is_static else MOST_US)
        if new_us not in known and new_us >= LEAST_US:
            yield with_delay(scenario, known[number], new_us)


def _judge(scenario: Scenario, pattern: Pattern, runs: int, seed: int, engine: str) -> dict[str, Any]:
    return share(pattern, simulate(scenario, runs, seed, engine, jobs=1))
