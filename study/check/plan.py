"""Which searches answer what was asked.

Two kinds, as the explorer has them: by choice instead of by time, many machines at once (`Chosen`), and in time, one
machine in an environment (`Timed`). A search of the first kind decides all properties of its model, one of the second a
single property.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

from model.client_classes import CLASSES, ClassName, Transport
from model.errors import UsageError
from model.explorer.client_world import MANNERS, check_client
from model.explorer.election import Election
from model.explorer.failover import Failover
from model.explorer.parts import Model
from model.explorer.registrar_world import CASES, check_registrar
from model.explorer.verdicts import Verdict
from model.policies import PolicyName
from study.check import detection
from study.check.options import MAX_STATES, MAX_TIMED_STATES, Asked

ELECTION_EPOCHS, FAILOVER_EPOCHS = 2, 1
"""Epochs of each if none are asked for: seconds. Kind: assumed."""

FIRST_CASES = ("idle", "asked", "restarted", "away")
"""Cases of a registrar node that are searched without being named: seconds each. Kind: assumed."""

FIRST_MANNERS = ("refuses", "is silent", "answers 503", "answers 503 with Retry-After")
"""What another node does, after which RFC 3263 section 4.3 sends a client to the next. Kind: specified."""

_STATE_BYTES, _PART_BYTES = 20, 4
"""Of a state of `model.explorer.exploration`, and for each part of it more. Kind: specified (its head)."""

_TIMED_STATE_BYTES = 1_500
"""Of a state in time. Kind: measured (0.7 to 1.3 KB)."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A search by choice; `name` is fit for a file."""

    part: str
    name: str
    model: Model
    max_states: int

    @property
    def keys(self) -> tuple[str, ...]:
        """Its properties."""
        return tuple(each.key for each in self.model.properties)


@dataclass(frozen=True, slots=True)
class Timed:
    """A search in time for the property `name`."""

    part: str
    name: str
    decide: Callable[[int], Verdict]
    max_states: int

    @property
    def keys(self) -> tuple[str, ...]:
        """Its property."""
        return (self.name,)


Job = Chosen | Timed


def jobs(asked: Asked) -> list[Job]:
    """The searches to be made, in order.

    Raises
    ------
    UsageError
        No search has such a property, or more than one would have to go on from one file.
    """
    found = list(_usual(asked))
    if asked.properties:
        usual = {key for job in found for key in job.keys}
        found += [job for job in _others(asked) if job.name not in usual]
        _refuse_unknown(asked.properties, list(dict.fromkeys(key for job in found for key in job.keys)))
        found = [job for job in found if set(job.keys) & set(asked.properties)]
    if asked.resume and [type(job) for job in found] != [Chosen]:
        raise UsageError(
            f"--resume keeps one search, of the election or of failovers; asked for: {len(found)}\n\n"
            "hint: --part election, or --part failover --kinds server"
        )
    return found


def _refuse_unknown(wanted: tuple[str, ...], known: list[str]) -> None:
    for key in wanted:
        if key not in known:
            close = difflib.get_close_matches(key, known, 3) or known[:3]
            raise UsageError(f"--property is {key!r}: no search that was asked for has it\n\n"
                             f"hint: there are for example {', '.join(close)}")  # fmt: skip


def _usual(asked: Asked) -> Iterator[Job]:
    """What is searched when no property is named."""
    if "election" in asked.parts:
        yield _election(asked)
    if "failover" in asked.parts:
        yield from (_failover(asked, kinds) for kinds in asked.kinds)
    if "registrar" in asked.parts:
        yield from (_registrar(asked, asked.policy, case, asked.follows_sentinel) for case in FIRST_CASES)
    if "client" in asked.parts:
        for class_name, transport in asked.clients:
            yield from (_client(asked, class_name, transport, manner) for manner in FIRST_MANNERS)
    if "detection" in asked.parts:
        yield from (_detection(asked, name) for name in detection.CASES)


def _others(asked: Asked) -> Iterator[Job]:
    """All other policies, cases, classes, transports and manners: searched when they are named."""
    if "registrar" in asked.parts:
        for policy in get_args(PolicyName):
            for case in CASES:
                yield from (_registrar(asked, policy, case, follows) for follows in (False, True))
    if "client" in asked.parts:
        for class_name in get_args(ClassName):
            for transport in (each for each in get_args(Transport) if each in CLASSES[class_name].transports):
                yield from (_client(asked, class_name, transport, manner) for manner in MANNERS[1:])


def _election(asked: Asked) -> Chosen:
    model = Election(asked.sentinels, asked.quorum, asked.epochs or ELECTION_EPOCHS, asked.stalls)
    return Chosen("election", "election", model, _limit(asked, model))


def _failover(asked: Asked, kinds: tuple[str, ...]) -> Chosen:
    model = Failover(
        asked.sentinels, asked.quorum, asked.epochs or FAILOVER_EPOCHS, asked.faults, kinds, asked.keeps_data,
        asked.restarts,
    )  # fmt: skip
    name = "failover-" + "-".join(kinds)
    return Chosen("failover", name, model, _limit(asked, model))


def _limit(asked: Asked, model: Model) -> int:
    state_bytes = _STATE_BYTES + _PART_BYTES * len(model.actors)
    return _lesser(asked, MAX_STATES, state_bytes)


def _registrar(asked: Asked, policy: str, case: str, follows: bool) -> Timed:
    name = "-".join(["registrar", policy, *(["sentinel"] if follows else []), case])
    return _timed(asked, "registrar", name,
                  lambda most: check_registrar(policy, case, follows, asked.faults, max_states=most))  # fmt: skip


def _client(asked: Asked, class_name: str, transport: str, manner: str) -> Timed:
    name = "-".join(["client", class_name, transport, manner.replace(" ", "-")])
    return _timed(asked, "client", name, lambda most: check_client(class_name, transport, manner, most))


def _detection(asked: Asked, name: str) -> Timed:
    return _timed(asked, "detection", name, lambda most: detection.check(name, most))


def _timed(asked: Asked, part: str, name: str, decide: Callable[[int], Verdict]) -> Timed:
    return Timed(part, name, decide, _lesser(asked, MAX_TIMED_STATES, _TIMED_STATE_BYTES))


def _lesser(asked: Asked, usual: int, state_bytes: int) -> int:
    """Most states: as many as asked for, and as fit into the memory; the usual number if neither is said."""
    limits = [asked.max_states] if asked.max_states else []
    limits += [max(1, asked.memory_mib * 2**20 // state_bytes)] if asked.memory_mib else []
    return min(limits, default=usual)
