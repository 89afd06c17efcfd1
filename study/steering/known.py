"""Paths that are steered by name: what the explorer finds, as data, so that steering needs no search.

Words are those of the explorer's election (`model.explorer`); a test walks each path of an election there, step by
step.
"""

from __future__ import annotations

from model.explorer.paths import Exchange, Path, Step

ONE_LEADER = "an epoch has at most one leader"
NOT_ELECTED = "an attempt ends without a leader"


def _starts(number: int, epoch: int) -> Step:
    me = _name(number)
    note = f"starts an attempt in epoch {epoch}, votes for {me} in epoch {epoch}"
    return Step(me, "act", f"{me} starts an attempt", (), ((me, note),))


def _counts(number: int, note: str) -> Step:
    me = _name(number)
    return Step(me, "act", f"{me} counts votes", (), ((me, note),))


def _waits(number: int) -> Step:
    return Step(_name(number), "wait", f"{_name(number)} waits")


def _asks(number: int, voter: int, epoch: int, before: str = "") -> Step:
    me, other = _name(number), _name(voter)
    note = f"{before}votes for {me} in epoch {epoch}"
    return Step(me, "ask", f"{me} asks {other} for its vote in epoch {epoch}",
                (Exchange(me, other, f"your vote in epoch {epoch}?"),), ((other, note),))  # fmt: skip


def _learns(number: int, voter: int, epoch: int) -> Step:
    me, other = _name(number), _name(voter)
    return Step(other, "vote", f"{me} learns of the vote of {other} in epoch {epoch}",
                (Exchange(other, me, f"my vote in epoch {epoch}: {me}"),))  # fmt: skip


def _hears(number: int, source: int, epoch: int) -> Step:
    me, other = _name(number), _name(source)
    return Step(other, "hello", f"{me} hears of epoch {epoch} from {other}",
                (Exchange(other, me, f"epoch {epoch}"),), ((me, f"is in epoch {epoch}"),))  # fmt: skip


def _loses(number: int, other: int, kind: str) -> Step:
    here, there = f"host {number}", f"host {other}"
    words = {"lose": "nothing that {} sends to {} arrives", "deliver": "what {} sends to {} arrives again"}[kind]
    return Step(here, kind, words.format(here, there), (Exchange(here, there, ""),))


def _name(number: int) -> str:
    return f"sentinel {number}"


def _names(count: int) -> tuple[str, ...]:
    return tuple(_name(number) for number in range(1, count + 1))


TWO_LEADERS_OF_FIVE = Path(
    "election of 5 sentinels, quorum 2, up to 2 epochs",
    ONE_LEADER,
    "counterexample",
    _names(5),
    (
        _starts(1, 1),
        _starts(2, 1),
        _asks(1, 3, 1, "is in epoch 1, "),
        _asks(1, 4, 1, "is in epoch 1, "),
        _learns(1, 3, 1),
        _learns(1, 4, 1),
        _counts(1, "elected for epoch 1"),
        _hears(5, 3, 1),
        _starts(5, 2),
        _hears(2, 5, 2),
        _asks(2, 3, 2, "is in epoch 2, "),
        _asks(2, 4, 2, "is in epoch 2, "),
        _learns(2, 3, 2),
        _learns(2, 4, 2),
        _counts(2, "elected for epoch 1"),
    ),
)
"""A vote of epoch 2 decides an attempt of epoch 1 that another sentinel has won (redis issue 11571)."""

SPLIT_VOTE_OF_THREE = Path(
    "election of 3 sentinels, quorum 2, 1 epoch",
    NOT_ELECTED,
    "witness",
    _names(3),
    (
        _starts(1, 1),
        _starts(2, 1),
        _starts(3, 1),
        _waits(1),
        _counts(1, "gives up"),
        _waits(2),
        _counts(2, "gives up"),
        _waits(3),
        _counts(3, "gives up"),
    ),
)
"""Three candidates, each with its own vote. The explorer's witness ends with the first who gives up."""

TWO_MANUAL_FAILOVERS = Path(
    "failover of 3 sentinels, asked for at two of them",
    "a configuration epoch names one primary",
    "counterexample",
    ("host 1", "host 2", "host 3"),
    (
        _loses(2, 3, "lose"),
        _loses(3, 2, "lose"),
        Step("host 2", "manual", "an operator asks sentinel 2 for a failover"),
        Step("host 3", "manual", "an operator asks sentinel 3 for a failover"),
        _loses(2, 3, "deliver"),
        _loses(3, 2, "deliver"),
    ),
)
"""Each of two sentinels reaches but the replica beside it, and neither hears of the other's attempt in time."""
