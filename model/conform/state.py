"""What a log lets one know about a sentinel: the state of the machine, with None for what cannot be known.

The states of a failover and of a replica's reconfiguration are those of `model.sentinel`. Times are stamps of the log
(ms, truncated). The machine holds more than a log shows (time of each PING, contents of INFO, the flags of its peers);
what is not here is left open, so a walk accepts every log for which *some* values of those exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.sentinel import NONE, WAIT_START

# How far a replica's reconfiguration is. The machine keeps flags, of which some go together; a log shows steps.
RECONF_NOT, RECONF_IS_SENT, RECONF_IS_INPROG, RECONF_IS_DONE = range(4)

STATES = ("NONE", "WAIT_START", "SELECT", "SEND_NO_ONE", "WAIT_PROMOTION", "RECONF", "UPDATE_CONFIG")
"""Names of the states of a failover, by number."""


@dataclass(slots=True)
class Settings:
    """Settings of one group, None where they are not known; times in ms."""

    quorum: int | None = None
    down_after: int | None = None
    failover_timeout: int | None = None
    parallel_syncs: int | None = None


@dataclass(slots=True)
class Instance:
    """A primary, a replica, or another sentinel as one sentinel sees it."""

    address: str
    created_ms: int | None = None
    """Not created before this."""
    s_down: bool | None = None
    s_down_ms: int | None = None
    up_ms: int | None = None
    """Last -sdown."""
    rebooted: bool = False
    reconf: int | None = RECONF_NOT
    reconf_ms: int | None = None
    given_up: bool = False
    """-slave-reconf-sent-timeout: counts as done."""


@dataclass(slots=True)
class Group:
    """One primary with its replicas, as one sentinel sees it."""

    name: str
    address: str
    settings: Settings
    primary: Instance
    replicas_known: bool = False
    """All replicas were announced in this log."""
    replicas: dict[str, Instance] = field(default_factory=dict)
    sentinels_known: bool = False
    sentinels: dict[str, Instance] = field(default_factory=dict)
    o_down: bool | None = None
    state: int | None = None
    state_ms: int | None = None
    moved_ms: int | None = None
    """Stamp of the tick that brought this state; None if no tick did."""
    forced: bool = False
    failover_epoch: int | None = None
    promoted: str | None = None
    voted: bool = False
    """A vote was cast in this attempt."""
    vote_epoch: int | None = None
    config_epoch: int = 0
    """Not smaller than this."""
    start_low: int | None = None
    start_high: int | None = None
    """Bounds of failover_start_time; None: not known, 0: never."""
    delay_logged: bool = False
    last_down_ms: int | None = None
    """When the primary was last subjectively down."""

    def enter(self, state: int, now_ms: int, by_tick: bool = True) -> None:
        """The failover goes to `state`."""
        self.state, self.state_ms = state, now_ms
        self.moved_ms = now_ms if by_tick else None

    def end(self) -> None:
        """No failover of ours any more."""
        self.state, self.state_ms, self.moved_ms = NONE, None, None
        self.forced, self.promoted, self.voted = False, None, False

    @property
    def waits(self) -> bool:
        """Candidate."""
        return self.state == WAIT_START


@dataclass(slots=True)
class Expected:
    """The next line that says anything must be one of these events, since one function writes both."""

    events: tuple[str, ...]
    group: str
    about: str
    """Address (of a sentinel: id) that it must name; empty for the group's primary or for none."""
    source: str


@dataclass(slots=True)
class RollCall:
    """The replicas that are announced anew after a switch."""

    group: str
    expected: set[str]
    complete: bool
    """`expected` is all of them."""
    since_ms: int
    called: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Tick:
    """The tick that the last line of a tick belongs to."""

    first_ms: int
    last_ms: int
    open: bool = True
    group: str = ""
    phase: int = 0
    groups_done: set[str] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Process:
    """One run of a sentinel's program, from its start (or the cut) to its end."""

    cut: bool
    """The log does not show its start."""
    fresh: bool
    """It started without anything known."""
    shows_notice: bool
    """The log has lines below the level of a warning."""
    shows_saved: bool
    """It has a line for each save of the configuration (7.0 and later)."""
    keeps_answers: bool = False
    """Valkey 9: answers of peers were seen to count long after their 5 s. Kind: measured (9.1.2)."""
    started_ms: int | None = None
    id: str | None = None
    current_epoch: int | None = None
    tilt: bool | None = None
    tilt_ms: int | None = None
    tilt_end_ms: int | None = None
    groups: dict[str, Group] = field(default_factory=dict)
    votes: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    """What peers were seen to vote: leader and epoch."""
    tries: set[int] = field(default_factory=set)
    """Epochs of own attempts."""
    tick: Tick | None = None
    expected: Expected | None = None
    roll_call: RollCall | None = None
    last_event: str = ""
    just_saved: bool = False
    last_ms: int | None = None

    @property
    def single(self) -> bool:
        """Only one group: lines that name none are about it."""
        return len(self.groups) <= 1
