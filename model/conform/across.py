"""What the logs of one run must agree on.

Clocks of hosts differ, so nothing here compares stamps of different files unless told that they come from one clock;
what counts is content: a vote has a candidate, a told vote was cast, a newer configuration came from somebody who had
it.

A log is held against another only where that one is known to reach: it shows the sentinel's first start, and its epoch
has come as far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from model.conform.walk import Fact, Finding, Walk

Found = tuple[str, Finding]
"""File, and what is impossible there."""

ORDERS = {
    "primary": ("+failover-state-wait-promotion",),
    "replica": ("+slave-reconf-sent", "+slave-reconf-sent-be", "+convert-to-slave", "+fix-slave-config"),
}
"""Events that a sentinel logs when it orders a change of role. Kind: specified (sentinel.c sentinelSendSlaveOf)."""

CONFIGURES = ("+promoted-slave", "+switch-master", "+monitor")
"""Events after which a sentinel takes the server that they name for the primary."""


def contradictions(walks: Mapping[str, Walk], same_clock: bool = False) -> list[Found]:
    """Every line that contradicts another log.

    Parameters
    ----------
    walks : mapping
        The walk of each file.
    same_clock : bool
        All stamps come from one clock: what causes must not come after what it causes.
    """
    sentinels = {walk.id: walk for walk in walks.values() if walk.kind == "sentinel" and walk.id}
    found: list[Found] = []
    for file, walk in walks.items():
        if walk.kind == "sentinel":
            for check in (_votes, _told_votes, _updates, _epochs, _addresses):
                found += ((file, each) for each in check(walk, sentinels, same_clock))
        else:
            found += ((file, each) for each in _orders(walk, sentinels))
    return found + list(_leaders(walks))


def _finding(fact: Fact, why: str, source: str) -> Finding:
    return Finding(fact.line, " ".join((fact.kind, *fact.words)), why, source)


def _votes(walk: Walk, sentinels: Mapping[str, Walk], same_clock: bool) -> Iterator[Finding]:
    """A vote for X in epoch e needs X's attempt in e, or in an older one with which it asks on when it hears of e."""
    for fact in _of(walk, "+vote-for-leader"):
        candidate = sentinels.get(fact.words[0])
        if candidate is None or candidate is walk:
            continue
        epoch = int(fact.words[1])
        tries = [each for each in _of(candidate, "+try-failover") if each.words[1] and int(each.words[1]) <= epoch]
        if not tries and _reaches(candidate, epoch, fact, same_clock):
            yield _finding(
                fact, f"the log of that sentinel has no +try-failover in epoch {epoch}", "sentinelVoteLeader"
            )
        elif tries and same_clock and fact.at_ms < tries[0].at_ms:
            yield _finding(fact, "it votes before the candidate's +try-failover", "sentinelVoteLeader")


def _told_votes(walk: Walk, sentinels: Mapping[str, Walk], same_clock: bool) -> Iterator[Finding]:
    """A vote that was told was cast."""
    for fact in _of(walk, "voted"):
        voter = sentinels.get(fact.words[0])
        if voter is None:
            continue
        cast = [each for each in _of(voter, "+vote-for-leader") if each.words == fact.words[1:]]
        if not cast and _reaches(voter, int(fact.words[2]), fact, same_clock):
            yield _finding(fact, "the log of that sentinel has no such vote", "sentinelReceiveIsMasterDownReply")
        elif cast and same_clock and fact.at_ms < cast[0].at_ms:
            yield _finding(fact, "the vote is told before it was cast", "sentinelReceiveIsMasterDownReply")


def _updates(walk: Walk, sentinels: Mapping[str, Walk], same_clock: bool) -> Iterator[Finding]:
    """A newer configuration comes from a sentinel that had it."""
    for update, switch in zip(walk.facts, walk.facts[1:], strict=False):
        source = sentinels.get(update.words[1]) if update.kind == "+config-update-from" else None
        if source is None or not source.whole or source.finding or switch.kind != "+switch-master":
            continue
        had = [each for each in source.facts if each.kind in CONFIGURES and each.words[:2] == switch.words]
        if not had:
            yield _finding(switch, "the sentinel it comes from never had that primary", "sentinelProcessHelloMessage")
        elif same_clock and switch.at_ms < had[0].at_ms:
            yield _finding(
                switch, "the sentinel it comes from had that primary only later", "sentinelProcessHelloMessage"
            )


def _epochs(walk: Walk, sentinels: Mapping[str, Walk], same_clock: bool) -> Iterator[Finding]:
    """Every epoch begins with an attempt; checked when the logs of all sentinels are given from their first start."""
    named = {each.words[1] for log in sentinels.values() for each in _of(log, "+sentinel")}
    if not named <= sentinels.keys() or not all(log.whole and log.finding is None for log in sentinels.values()):
        return
    begun = {each.words[1] for log in sentinels.values() for each in _of(log, "+try-failover")}
    for fact in _of(walk, "+new-epoch"):
        if fact.words[0] not in begun:
            yield _finding(fact, "no sentinel has a +try-failover in this epoch", "sentinelStartFailover")


def _addresses(walk: Walk, sentinels: Mapping[str, Walk], same_clock: bool) -> Iterator[Finding]:
    """All see a sentinel at the one address that its hellos tell."""
    for fact in _of(walk, "+sentinel"):
        told = [each.words[2] for log in sentinels.values() if log is not walk
                for each in _of(log, "+sentinel") if each.words[1] == fact.words[1]]  # fmt: skip
        if told and fact.words[2] not in told:
            yield _finding(fact, f"others know it at {told[0]}", "sentinelProcessHelloMessage")


def _orders(walk: Walk, sentinels: Mapping[str, Walk]) -> Iterator[Finding]:
    """A server changes its role on a sentinel's order: that one's log has it."""
    for fact in walk.facts:
        own, start = fact.words
        log = next((each for id_, each in sentinels.items() if id_.startswith(start)), None)
        if (
            log is None
            or not log.whole
            or log.finding
            or own not in {each.words[1] for each in log.facts if len(each.words) > 1}
        ):
            continue
        ordered = [each for each in log.facts if each.kind in ORDERS[fact.kind] and each.words[1] == own]
        changes = [each for each in walk.facts if each.kind == fact.kind and each.words == fact.words]
        if changes.index(fact) >= len(ordered):
            yield _finding(
                fact,
                f"the log of sentinel {start} has no such order ({' or '.join(ORDERS[fact.kind])})",
                "sentinelSendSlaveOf",
            )


def _leaders(walks: Mapping[str, Walk]) -> Iterator[Found]:
    """At most one leader a group and epoch, but for those whom votes of a newer epoch elected (redis issue 11571), or
    a user: these have no epoch here."""
    seen: dict[tuple[str, ...], str] = {}
    for file, walk in walks.items():
        for fact in _of(walk, "+elected-leader"):
            if _is_overtaken(walk, fact):
                continue
            if fact.words[1] and fact.words in seen and seen[fact.words] != file:
                why = f"{seen[fact.words]} has a leader of epoch {fact.words[1]} already (see redis issue 11571)"
                yield file, _finding(fact, why, "sentinelGetLeader")
            seen[fact.words] = file


def _is_overtaken(walk: Walk, elected: Fact) -> bool:
    """The leader had heard of a newer epoch than that of its attempt when it was elected."""
    known = [int(each.words[0]) for each in _of(walk, "+new-epoch") if each.line < elected.line]
    return elected.words[1] != "" and max(known, default=0) > int(elected.words[1])


def _of(walk: Walk, kind: str) -> list[Fact]:
    return [fact for fact in walk.facts if fact.kind == kind]


def _reaches(walk: Walk, epoch: int, fact: Fact, same_clock: bool) -> bool:
    """Whether that log must show what happened in `epoch`."""
    if not walk.whole or walk.finding:
        return False
    return walk.last_epoch >= epoch or (same_clock and walk.last_ms > fact.at_ms)
