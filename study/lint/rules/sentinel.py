"""sentinel.conf: what is watched, who must agree, how long everything takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from study.lint.figures import bound, certain
from study.lint.findings import Place, Severity
from study.lint.rules.registry import Case, Fault, rule
from study.lint.understood import monitor, quorum, sentinel_number

LONG_PAUSE_MS = 60_000
"""A pause after a lost election that is worth a warning: six times the recommended delay. Kind: assumed."""

SHORTEST_TIMEOUT_MS = 3_000
"""Below this a failover is given up while it is well under way: promotion and INFO take up to 2.2 s after the
election (docs/bounds.md). Kind: assumed."""

MOST_NEEDLESS = 1.0
"""Needless failovers a year that need no warning. Kind: assumed."""

LONG_DELAY_MS = 30_000
"""Redis's own default for down-after-milliseconds; longer is worth a warning. Kind: vendor default."""


def _monitors(case: Case) -> list:
    return [(file, found) for file in case.deployment.sentinels if (found := file.last("monitor"))]


def place_of(case: Case, name: str) -> Place:
    """Where the first sentinel says something; else its monitor line; else the file."""
    for file in case.deployment.sentinels:
        if found := file.last(name) or file.last("monitor"):
            return found.place
    return Place(case.deployment.sentinels[0].file) if case.deployment.sentinels else Place("(no sentinel.conf)")


def majority(count: int) -> int:
    """Votes that elect a leader."""
    return count // 2 + 1


@rule("monitor-malformed", Severity.ERROR, "The monitor line is not name, address, port, quorum.",
      "redis 6.2 to 8.2 and valkey, sentinel.c; tried with real servers")  # fmt: skip
def monitor_malformed(case: Case) -> Iterator[Fault]:
    """The guide's own line lacks the address."""
    for file, found in _monitors(case):
        if monitor(file) is None and not any("<" in word for word in found.words):
            name = found.words[0] if found.words else "flexi1"
            yield Fault(
                found.place,
                "Sentinel ends at once with a fatal configuration error. Without it nobody fails over: when the "
                "primary is lost, no registration is accepted until a person steps in.",
                certain("Sentinel starts in 0 of 1 tries (each of Redis 6.2.14, 8.2.3, Valkey 8.1, 9.1)",
                        "redis-server sentinel.conf --sentinel", 0.0, kind="measured"),
                f"sentinel monitor {name} <address of the primary> 6379 {quorum(case.deployment) or 2}",
            )  # fmt: skip


@rule("monitor-missing", Severity.ERROR, "A sentinel watches nothing.", "redis 7.0.15, sentinel.c")
def monitor_missing(case: Case) -> Iterator[Fault]:
    """It runs, and never votes on anything."""
    for file in case.deployment.sentinels:
        if not file.last("monitor"):
            yield Fault(
                Place(file.file),
                "This sentinel watches no primary: it neither suspects nor votes.",
                certain("it takes part in 0 of 1 elections", "redis-cli -p 26379 sentinel masters", 0.0),
                "sentinel monitor flexi1 <address of the primary> 6379 2",
            )


@rule("monitor-loopback", Severity.ERROR, "A sentinel watches the server of its own host.",
      "redis 7.0.15, sentinel.c: sentinels find each other by the address they watch")  # fmt: skip
def monitor_loopback(case: Case) -> Iterator[Fault]:
    """127.0.0.1 is another server on each host."""
    for file, found in _monitors(case):
        if monitor(file) and re.match(r"127\.|localhost$|::1$", found.words[1]) and len(case.deployment.hosts) > 1:
            yield Fault(
                found.place,
                "Each sentinel watches another server, and tells the others of an address that means themselves: they "
                "never agree that one primary is down.",
                certain("0 failovers of 1 lost primary: nobody else watches the same address",
                        "redis-cli -p 26379 sentinel masters", 0.0),
                f"sentinel monitor {found.words[0]} <address that all hosts reach> {' '.join(found.words[2:])}",
            )  # fmt: skip


@rule("monitors-differ", Severity.ERROR, "Sentinels watch different primaries, or under different names.",
      "redis 7.0.15, sentinel.c: hello messages name the primary")  # fmt: skip
def monitors_differ(case: Case) -> Iterator[Fault]:
    """Then they are no group."""
    said = [(found.words[:3], found.place) for file, found in _monitors(case) if monitor(file)]
    for words, place in said:
        if words != said[0][0]:
            yield Fault(
                place,
                f"This sentinel watches {' '.join(words)}, the first one {' '.join(said[0][0])}: they do not find each "
                "other, and each counts as lost for the other.",
                certain("0 votes from the other group", "redis-cli -p 26379 sentinel sentinels", 0.0, "votes"),
                "the same name, address and port in every sentinel.conf",
                (said[0][1],),
            )


@rule("quorum-differs", Severity.WARNING, "Sentinels have different quorums.", "redis 7.0.15, sentinel.c")
def quorum_differs(case: Case) -> Iterator[Fault]:
    """Whoever asks for least starts alone."""
    said = [(int(found.words[3]), found.place) for file, found in _monitors(case) if monitor(file)]
    for value, place in said:
        if value != said[0][0]:
            yield Fault(
                place,
                f"Quorum {value} here, {said[0][0]} there: who asks for fewer starts an election that the others have "
                "not agreed to.",
                bound(f"{min(value, said[0][0])} sentinel(s) are enough", min(value, said[0][0]), "sentinels",
                      None, None, "docs/bounds.md"),
                "the same quorum everywhere",
                (said[0][1],),
            )  # fmt: skip


@rule("quorum-over-sentinels", Severity.ERROR, "The quorum is larger than the number of sentinels.",
      "redis 7.0.15, sentinel.c; docs/claims.md 20")  # fmt: skip
def quorum_over(case: Case) -> Iterator[Fault]:
    """A deadlock from the beginning."""
    wanted, count = quorum(case.deployment), case.deployment.sentinel_count
    if wanted and wanted > count:
        yield Fault(
            place_of(case, "monitor"),
            f"{wanted} sentinels must agree, and there are {count}: no failover ever, not even of a killed process.",
            certain(f"{count} of {wanted} needed", "hastudy check --part failover --property fails-over", 0.0),
            f"quorum {majority(count)}",
        )


@rule("quorum-equals-sentinels", Severity.ERROR, "The quorum is the number of sentinels.", "docs/claims.md 20 and 21")
def quorum_equals(case: Case) -> Iterator[Fault]:
    """A lost host takes a sentinel with it that had to agree."""
    wanted, count = quorum(case.deployment), case.deployment.sentinel_count
    if wanted and wanted == count and count > 2:
        yield Fault(
            place_of(case, "monitor"),
            "When the primary's host is lost, its sentinel cannot agree any more: no failover. (A process that dies "
            "alone is failed over.)",
            case.figures.share("failover", "failed over"),
            f"quorum {majority(count)}",
        )


@rule("quorum-one", Severity.WARNING, "One sentinel alone may start a failover.", "docs/claims.md 19")
def quorum_one(case: Case) -> Iterator[Fault]:
    """It is half a second faster, and believes anybody."""
    if quorum(case.deployment) == 1 and case.deployment.sentinel_count > 2:
        yield Fault(
            place_of(case, "monitor"),
            "One sentinel with a bad network card replaces a healthy primary.",
            case.figures.share("needless_failover", "a healthy primary was replaced",
                               committed="scenarios/quorum/confused_sentinel_quorum_1.toml"),
            f"quorum {majority(case.deployment.sentinel_count)}: 0.5 s later at most",
        )  # fmt: skip


@rule("two-sentinels", Severity.ERROR, "There are fewer than three sentinels.", "docs/claims.md 30")
def two_sentinels(case: Case) -> Iterator[Fault]:
    """A majority of two is two."""
    count = case.deployment.sentinel_count
    if case.deployment.sentinels and count < 3:
        yield Fault(
            place_of(case, "monitor"),
            f"A majority of {count} is {majority(count)}: when the primary's host is lost with its sentinel, nobody "
            "can be elected.",
            case.figures.share("failover", "failed over", committed="scenarios/baseline/two_host_vanishes.toml"),
            "a third sentinel on a third host; it needs no Redis there",
        )


@rule("even-sentinels", Severity.WARNING, "The number of sentinels is even.", "docs/claims.md; reports/quorum")
def even_sentinels(case: Case) -> Iterator[Fault]:
    """The last one is one more that can fail, and adds nothing."""
    count = case.deployment.sentinel_count
    if count >= 4 and count % 2 == 0:
        spare = count - majority(count)
        yield Fault(
            place_of(case, "monitor"),
            f"{count} sentinels survive the loss of {spare}, as {count - 1} do; and a network that splits in halves "
            "elects nobody on either side.",
            bound(f"{spare} may be lost, with {count - 1} as well", spare, "sentinels", None, None, "docs/claims.md"),
            f"{count - 1} or {count + 1} sentinels",
        )


@rule("failover-timeout-long", Severity.WARNING, "A lost election costs more than a minute.",
      "redis 7.0.15, sentinel.c; docs/bounds.md, proved for all settings")  # fmt: skip
def timeout_long(case: Case) -> Iterator[Fault]:
    """Everybody who tried or voted pauses for twice the failover-timeout."""
    timeout_ms = sentinel_number(case.deployment, "failover-timeout", 180_000)
    if case.deployment.sentinels and 2 * timeout_ms > LONG_PAUSE_MS:
        pause_s = 2 * timeout_ms / 1_000
        yield Fault(
            place_of(case, "failover-timeout"),
            "When an election is lost (two candidates, a late vote, a forged one), nobody tries again before the "
            "pause is over.",
            bound(f"{pause_s:.0f} to {pause_s + 1:.0f} s more without a primary", pause_s, "s", pause_s, pause_s + 1,
                  "python -m study.proofs"),
            "sentinel failover-timeout flexi1 20000",
        )  # fmt: skip


@rule("failover-timeout-short", Severity.WARNING, "A failover is given up while it is under way.",
      "redis 7.0.15, sentinel.c; docs/bounds.md")  # fmt: skip
def timeout_short(case: Case) -> Iterator[Fault]:
    """It bounds every state of a failover."""
    timeout_ms = sentinel_number(case.deployment, "failover-timeout", 180_000)
    if case.deployment.sentinels and timeout_ms < SHORTEST_TIMEOUT_MS:
        yield Fault(
            place_of(case, "failover-timeout"),
            "Election and promotion must each end within it; slow disks and long ways then end failovers half-done.",
            case.figures.share("failover", "failed over"),
            "sentinel failover-timeout flexi1 20000",
        )


@rule("down-after-short", Severity.WARNING, "Stalls cause failovers that nobody needed.", "docs/tune.md; docs/rare.md")
def down_after_short(case: Case) -> Iterator[Fault]:
    """Each costs an outage, and what was confirmed meanwhile."""
    from study.tune.inputs import load, stalls_of
    from study.tune.needless import Needless

    if not case.deployment.sentinels:
        return
    conditions, _ = load(None)
    scenario = case.figures.scenario
    rate = Needless(scenario, [each for each in stalls_of(conditions, Path()) if each.of == "redis"], 1, 1).at(
        scenario.sentinel.down_after_ms
    )
    if rate.per_year > MOST_NEEDLESS:
        yield Fault(
            place_of(case, "down-after-milliseconds"),
            "A stall of the primary (fork, swap, a moved virtual machine) that outlasts the delay replaces it.",
            bound(f"{rate.per_year:.2g} needless failovers a year under the stalls that are assumed where none were "
                  "measured", rate.per_year, "per year", None, None,
                  case.figures.command("tune", "--objective needless --no-knobs")),
            "sentinel down-after-milliseconds flexi1 5000; or measure your stalls: docs/tune.md",
        )  # fmt: skip


@rule("down-after-long", Severity.WARNING, "A failure is noticed late.", "docs/bounds.md")
def down_after_long(case: Case) -> Iterator[Fault]:
    """The outage is the delay and a second."""
    delay_ms = sentinel_number(case.deployment, "down-after-milliseconds", 30_000)
    if case.deployment.sentinels and delay_ms >= LONG_DELAY_MS:
        yield Fault(
            place_of(case, "down-after-milliseconds"),
            "Nothing is written for the delay and about a second more after the loss of the primary.",
            case.figures.milestone("first_write", "a new primary takes writes after"),
            "sentinel down-after-milliseconds flexi1 10000; `hastudy tune` finds what suits you",
        )


@rule("resolve-hostnames", Severity.ERROR, "A primary is named by a host name that Sentinel does not resolve.",
      "redis 6.2, sentinel.c: resolve-hostnames is off by default")  # fmt: skip
def resolve_hostnames(case: Case) -> Iterator[Fault]:
    """Names are allowed from 6.2 on, and only when told."""
    for file, found in _monitors(case):
        if monitor(file) is None or re.fullmatch(r"[\d.]+|[0-9a-fA-F:]+", found.words[1]):
            continue
        if file.last("resolve-hostnames") and file.last("resolve-hostnames").words[-1:] == ("yes",):
            continue
        yield Fault(
            found.place,
            f"`{found.words[1]}` is no address: Sentinel ends at once with a fatal configuration error.",
            certain("Sentinel starts in 0 of 1 tries", "redis-server sentinel.conf --sentinel", 0.0),
            "the address; or `sentinel resolve-hostnames yes` before the monitor line (from 6.2 on)",
        )


@rule("bind-all-in-sentinel", Severity.ERROR, "`bind *` in sentinel.conf of Redis 6.2.",
      "docs/lab.md: measured with 6.2.14")  # fmt: skip
def bind_all(case: Case) -> Iterator[Fault]:
    """6.2 takes the first bind address as the source of its own connections."""
    for file in case.deployment.sentinels:
        found = file.last("bind")
        if found and found.words[:1] == ("*",) and case.deployment.version == "6.2":
            yield Fault(
                found.place,
                "Sentinel 6.2 uses the first bind address as the source of its own connections and reaches nobody.",
                certain("0 connections to any server or sentinel (6.2.14)", "redis-server sentinel.conf --sentinel",
                        0.0, "connections", "measured"),
                "leave `bind` out of sentinel.conf, or give a real address",
            )  # fmt: skip
