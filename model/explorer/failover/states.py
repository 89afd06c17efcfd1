"""What a state of a failover keeps of each part, and what the explored machines are told of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

KINDS = ("server", "sentinel", "host", "cut", "freeze", "tilt", "delay")
"""Kinds of faults."""
MAX_EPOCHS = 4
"""Most epochs: masks have so many bits for them. Kind: assumed."""

NOW_US = 1 << 40
LONG_PAST_US = 1
LIMIT_US = 1_000_000
"""Every time limit of the explored machines: only recent and long past are told apart."""

DOWN, UP, FROZEN = range(3)
"""What a process is."""
# What a host is; SERVER_IS_BACK: it is starting, its server has started, its sentinel has not.
HOST_UP, HOST_DOWN, SERVER_IS_BACK = range(3)


class Watcher(NamedTuple):
    """What a state keeps of a sentinel.

    `views` holds for each server: subjectively down, reconf; `votes` for each sentinel whether it has voted for this
    one in the current epoch; `orders` what leaves next: server, and 1 + number of the primary (0: NO ONE); `held` what
    is held up; `file` what a restart keeps: current epoch, configuration epoch, epoch of the vote, primary.
    `is_stray`: cut off, or in an attempt begun so. The rest are fields of the machine, and memories that only
    properties look at: `cast` (its vote in the current epoch), `led` (wins by epoch), `voted_twice`, `fell_back` (the
    configuration epoch was higher before), `is_hasty` (it has started an attempt without a quorum).
    """

    process: int
    tilt: int
    current_epoch: int
    config_epoch: int
    leader_epoch: int
    leader: int
    primary: int
    primary_role: int
    state: int
    in_progress: int
    failover_epoch: int
    promoted: int
    is_gated: int
    is_stray: int
    views: tuple[tuple[int, int], ...]
    votes: tuple[int, ...]
    orders: tuple[tuple[int, int], ...]
    held: tuple[tuple[int, int], ...]
    file: tuple[int, int, int, int]
    cast: int
    led: int
    voted_twice: int
    fell_back: int
    is_hasty: int


class Server(NamedTuple):
    """What a state keeps of a Redis server: `primary` is 1 + number, 0 for none; `is_linked`: in sync with it."""

    process: int
    role: int
    primary: int
    is_linked: int
    has_data: int


class Network(NamedTuple):
    """What hosts are, which are cut off (by host), and how many faults may still come."""

    hosts: tuple[int, ...]
    cut: tuple[int, ...]
    faults: int


@dataclass(frozen=True, slots=True)
class Setting:
    """Parameters of `model.explorer.failover.Failover`."""

    sentinels: int
    quorum: int
    epochs: int
    faults: int
    kinds: tuple[str, ...]
    keeps_data: bool
    restarts: bool
