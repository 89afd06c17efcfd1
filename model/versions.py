"""What differs between the versions of Redis and Valkey, as far as failover feels it.

A *family* is a range of versions that behave alike here. Each difference names its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Version = Literal["6.2", "7.0", "7.2", "7.4", "8.0", "8.2", "valkey-7.2", "valkey-8.0", "valkey-8.1", "valkey-9.0",
                  "valkey-9.1"]  # fmt: skip
"""The families that a scenario may name."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What a family does its own way.

    Attributes
    ----------
    flush_syncs : int
        fsync calls of one rewrite of a sentinel's configuration file.
    relative_expiry : bool
        EXPIRE and SET EX travel to replicas as a time to live, not as an instant.
    """

    flush_syncs: int
    relative_expiry: bool


def family_of(flavour: str, version: str) -> Version | None:
    """Family of a server that says it is `flavour` (redis, valkey) `version` (7.0.15); None for an unknown one."""
    short = ".".join(version.split(".")[:2])
    name = short if flavour == "redis" else f"{flavour}-{short}"
    return name if name in get_args(Version) else None  # type: ignore[return-value]
