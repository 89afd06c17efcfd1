"""The command line of `check`: its arguments, and what was asked for. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.errors import UsageError
from model.scenario import Scenario

PARTS = ("election", "failover", "registrar", "client", "detection")

MAX_STATES = 5_000_000
"""Most states of elections and failovers: some 500 MB, a minute. Kind: assumed."""

MAX_TIMED_STATES = 200_000
"""Most states of registrars and clients, in time: about 300 MB, a quarter of a minute. Kind: assumed."""

KINDS_EACH_ALONE = (("server",), ("host",))
"""Kinds of faults that are searched when none are named, each by itself. Kind: assumed (all at once takes long)."""


def add(parser: argparse.ArgumentParser, whole_number: Callable[[int, int], Callable[[str], int]]) -> None:
    """Declare the arguments."""
    parser.add_argument("scenario", metavar="SCENARIO", nargs="?",
                        help="its sentinels and quorum, its nodes' policy, its clients' classes count")  # fmt: skip
    parser.add_argument("--part", action="append", choices=PARTS, help="explore only this; repeatable (default: all)")
    parser.add_argument("--property", action="append", default=[], metavar="KEY",
                        help="decide only this property; repeatable")  # fmt: skip
    parser.add_argument("--epochs", type=whole_number(1, 7),
                        help="attempts start below so many epochs (default: election 2, failover 1)")  # fmt: skip
    parser.add_argument("--stalls", action="store_true",
                        help="messages and sentinels of an election may be later than failover-timeout")  # fmt: skip
    parser.add_argument("--faults", type=whole_number(0, 9), default=1,
                        help="at most so many, in failovers and around nodes (default %(default)s)")  # fmt: skip
    parser.add_argument("--kinds", metavar="KIND,KIND,...",
                        help="kinds of faults in failovers, together: server, sentinel, host, cut, freeze, tilt, delay "
                        "(default: server alone, and host alone)")  # fmt: skip
    parser.add_argument("--no-restarts", action="store_true", help="what has failed in a failover stays away")
    parser.add_argument("--restarts-empty", action="store_true", help="a server that restarts has lost its data")
    parser.add_argument("--max-states", type=whole_number(1, 2**31 - 1), metavar="N",
                        help=f"most states of a search (default {MAX_STATES}, in time {MAX_TIMED_STATES})")  # fmt: skip
    parser.add_argument("--memory-mib", type=whole_number(1, 2**20), metavar="N", help="most memory for the states")
    parser.add_argument("--resume", type=Path, metavar="FILE",
                        help="keep a search of the election or of failovers here, and go on with it")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for.

    Attributes
    ----------
    parts, properties : tuple of str
        Empty `properties`: all that the parts have.
    sentinels, quorum : int
    policy, follows_sentinel
        Of registrar nodes.
    clients : tuple of (str, str)
        Class and transport of each kind of client.
    epochs : int or None
        None: as each part has it.
    stalls, faults, kinds, restarts, keeps_data
        See `model.explorer`; `kinds` has one tuple for each search.
    max_states, memory_mib : int or None
    resume : Path or None
    """

    parts: tuple[str, ...] = PARTS
    properties: tuple[str, ...] = ()
    sentinels: int = 3
    quorum: int = 2
    policy: str = "guide"
    follows_sentinel: bool = False
    clients: tuple[tuple[str, str], ...] = (("ideal", "udp"),)
    epochs: int | None = None
    stalls: bool = False
    faults: int = 1
    kinds: tuple[tuple[str, ...], ...] = KINDS_EACH_ALONE
    restarts: bool = True
    keeps_data: bool = True
    max_states: int | None = None
    memory_mib: int | None = None
    resume: Path | None = None


def read(args: argparse.Namespace, scenario: Scenario | None) -> Asked:
    """Check the arguments.

    Raises
    ------
    UsageError
        There is no such kind of fault.
    """
    return Asked(
        parts=tuple(part for part in PARTS if part in (args.part or PARTS)),
        properties=tuple(args.property),
        epochs=args.epochs,
        stalls=args.stalls,
        faults=args.faults,
        kinds=_kinds(args.kinds),
        restarts=not args.no_restarts,
        keeps_data=not args.restarts_empty,
        max_states=args.max_states,
        memory_mib=args.memory_mib,
        resume=args.resume,
        **(_of_scenario(scenario) if scenario else {}),
    )


def _kinds(text: str | None) -> tuple[tuple[str, ...], ...]:
    from model.explorer.failover import KINDS

    if text is None:
        return KINDS_EACH_ALONE
    named = tuple(text.split(","))
    if wrong := [each for each in named if each not in KINDS]:
        raise UsageError(f"--kinds has {wrong[0]!r}\n  allowed: {', '.join(KINDS)}\n\nhint: --kinds server,cut")
    return (tuple(kind for kind in KINDS if kind in named),)


def _of_scenario(scenario: Scenario) -> dict:
    found = {
        "sentinels": len(scenario.sentinel_hosts),
        "quorum": scenario.sentinel.quorum,
        "policy": scenario.registrar.policy,
        "follows_sentinel": scenario.registrar.follow_sentinel,
    }
    clients = dict.fromkeys((each.class_, each.transport) for each in scenario.client)
    return {**found, "clients": tuple(clients)} if clients else found
