"""What is steered or tied by name: a property, its path, the scenario file, and the pattern by which a run shows it.

A case with a path had its file written by ``python -m study.steering NAME --out FILE``. A case without one names a
scenario that was there before and goes that way by itself: all it needs is the pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as File

from model.explorer.paths import Path
from model.scenario import Scenario, load, parse
from study import catalog, matrix
from study.steering import known
from study.steering.patterns import (
    Pattern,
    at_least,
    at_odds,
    happens,
    lost,
    never,
    two_configurations,
    two_leaders,
    two_writable,
)


@dataclass(frozen=True, slots=True)
class Case:
    """One property that a run can show.

    Attributes
    ----------
    name : str
        Of the case and of its scenario.
    sentence : str
        The property, and whether runs contradict it or show it.
    folder : str
        Of the scenario, below ``scenarios/``.
    pattern : Pattern
    low : float
        Least share of simulated runs that show it. Kind: assumed for steered ones (what was asked of the search), else
        from the rules of Sentinel.
    path : Path or None
    base : str
        Settings to begin the steering with, as TOML.
    question, expects : str
        For the scenario's file.
    claims : tuple of (str, str, float, float)
        For the same: quantity, statistic, low, high.
    real_runs : int
        Usable real runs that are stored.
    """

    name: str
    sentence: str
    folder: str
    pattern: Pattern
    low: float
    path: Path | None = None
    base: str = ""
    question: str = ""
    expects: str = ""
    claims: tuple[tuple[str, str, float, float], ...] = ()
    real_runs: int = 3

    @property
    def file(self) -> File:
        """Where its scenario stands."""
        return catalog.folder() / self.folder / f"{self.name}.toml"

    def scenario(self) -> Scenario:
        """The committed scenario."""
        return load(self.file)

    def real_scenario(self) -> Scenario:
        """The same on the family of servers that comes with the kit: what stored runs were made of."""
        return self.scenario().on_version(matrix.FAMILY)

    def base_scenario(self) -> Scenario:
        """What the steering begins with."""
        return parse(self.base, f"base of {self.name}")


def _base(name: str, hosts: int, down_after_ms: int, failover_timeout_ms: int, horizon_ms: int) -> str:
    return "\n".join([
        "schema = 1", f'name = "{name}"', 'question = "?"',
        *(f'[[host]]\nname = "host{number}"\nregistrar = false' for number in range(1, hosts + 1)),
        "[server]", 'primary = "host1"',
        "[sentinel]", "quorum = 2", f"down_after_ms = {down_after_ms}", f"failover_timeout_ms = {failover_timeout_ms}",
        "[run]", f"horizon_ms = {horizon_ms}",
    ])  # fmt: skip


CASES = (
    Case(
        "two_leaders_of_one_epoch",
        "against: an epoch has at most one leader",
        "proofs",
        Pattern((two_leaders(), two_configurations(), two_writable(), at_odds())),
        0.9,
        known.TWO_LEADERS_OF_FIVE,
        _base("two_leaders_of_one_epoch", 5, 20_000, 20_000, 60_000),
        "Five sentinels over slow ways: can two of them win the same epoch, and what becomes of two primaries?",
        "Yes, it is a known flaw (redis issue 11571): votes of the current epoch decide an attempt of an older one. "
        "Sentinels 1 and 2 try in epoch 1, and 1 wins. Sentinel 5 has heard of epoch 1 without being asked, and begins "
        "epoch 2; sentinel 2 hears of that, asks on in epoch 2, and the votes that it gets elect it for epoch 1, too. "
        "Each promotes a server that the other does not know of. Both configurations have epoch 1, so neither is newer "
        "and they stay at odds when all ways are short again. Both servers take writes until one side tells the other "
        "side's server to replicate; what it took is lost.",
        (("two_writable", "p50", 15, 60), ("failover", "probability", 0.98, 1)),
        12,
    ),
    Case(
        "split_vote_of_three",
        "shown: an attempt ends without a leader",
        "proofs",
        Pattern((at_least(3, "+try-failover"), at_least(3, "-failover-abort-not-elected"))),
        0.9,
        known.SPLIT_VOTE_OF_THREE,
        _base("split_vote_of_three", 3, 2_000, 6_000, 22_000),
        "Three sentinels 0.8 s apart, one way: does anybody win the first election?",
        "No. All three give the primary up within a tenth of a second and have voted for themselves before a request "
        "can arrive. The attempts end after the failover timeout (6 s) and up to 1 s of jitter; the next begin twice "
        "the timeout after the first, apart by their jitter, and many are lost again. At the earliest somebody takes "
        "writes after 2.05 (delay) + 1.6 (to agree) + 12 + 1.6 (votes) + 0.2 (ticks) + 0.8 (the order) = 18.3 s.",
        (("lost_election", "probability", 0.9, 1), ("first_write", "p5", 18.2, 19)),
        6,
    ),
    Case(
        "two_manual_failovers_at_once",
        "against: a configuration epoch names one primary",
        "proofs",
        Pattern((two_leaders(), two_configurations(), two_writable(), at_odds())),
        0.9,
        known.TWO_MANUAL_FAILOVERS,
        _base("two_manual_failovers_at_once", 3, 6_000, 6_000, 40_000),
        "Two operators ask two sentinels for a failover at the same time: which primary counts?",
        "Both. A failover that is asked for needs no votes, so each sentinel takes epoch 1 for itself and promotes the "
        "replica that it reaches. Neither configuration is newer; the sentinels stay at odds when the ways between "
        "them are mended.",
        (("two_writable", "p50", 5, 40), ("failover", "probability", 0.98, 1)),
        6,
    ),
    Case("all_of_three_host_vanishes", "always: with a quorum of all sentinels a lost host is never failed over",
         "quorum", Pattern((never("+odown"), never("+try-failover"))), 1.0),
    Case("all_of_three_process_dies", "always: with a quorum of all sentinels a dead process is failed over",
         "quorum", Pattern((happens("+elected-leader"), happens("+switch-master"))), 0.98),
    Case("four_hosts_split_in_half", "always: no failover without a majority of the known sentinels",
         "partition", Pattern((happens("+try-failover"), never("+elected-leader"))), 0.98),
    Case("killed_primary_returns_with_old_data", "shown: a returned primary takes writes beside the new one",
         "return", Pattern((happens("+switch-master"), happens("restart"), two_writable())), 0.98),
    Case("leader_dies_after_promotion", "shown: a promoted server that no configuration names",
         "second_failure", Pattern((happens("role-primary"), happens("+promoted-slave"), happens("crash"),
                                    happens("+try-failover"), happens("+switch-master"))), 0.98),
    Case("killed_while_replicas_lag", "against: a confirmed registration survives a failover, unless it was replicated",
         "replication", Pattern((happens("+switch-master"), lost())), 0.98),
)  # fmt: skip

BY_NAME = {case.name: case for case in CASES}
