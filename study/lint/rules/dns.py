"""Zone files: can every phone find every node, and another one when it is gone?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from study.lint.deployment import Record
from study.lint.figures import bound, certain
from study.lint.findings import Severity
from study.lint.rules.registry import Case, Fault, rule
from study.lint.understood import host_of, runs_node, srv

LONGEST_TTL_S, SHORTEST_TTL_S = 3_600, 30
"""A record that is kept longer sends phones to a removed node for so long; a shorter one is asked for at each REGISTER.
Kind: recommended (RFC 2308 section 5: hours are sensible; the guide has an hour)."""


def _sets(case: Case) -> dict[str, list[Record]]:
    """SRV records by owner."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in srv(case.deployment):
        found[record.owner].append(record)
    return found


@rule("owner-without-dot", Severity.ERROR, "A name without a last dot is completed by the zone's own.",
      "RFC 1035 section 5.1")  # fmt: skip
def owner_without_dot(case: Case) -> Iterator[Fault]:
    """The guide's lines are so."""
    for record in srv(case.deployment):
        domain = record.words[3].partition(".")[2]
        if not record.written.endswith(".") and domain and record.written.lower().endswith(f".{domain}"):
            yield Fault(
                record.place,
                f"In a zone file this is the name {record.written}.{domain}: phones that ask for {record.written} are "
                "told that it does not exist.",
                certain("0 of 1 phones finds a node by SRV", "RFC 1035 section 5.1", 0.0),
                f"{record.written}. (with a dot at its end), or {'.'.join(record.written.split('.')[:2])}",
            )


@rule("single-target", Severity.ERROR, "A service has one node.", "RFC 3263 section 4.3")
def single_target(case: Case) -> Iterator[Fault]:
    """There is nowhere else to go."""
    for owner, records in _sets(case).items():
        if len({record.words[3] for record in records}) == 1:
            yield Fault(
                records[0].place,
                f"{owner} names one node: its phones are out for as long as it is.",
                bound("100 % of these phones, for as long as the node is away", 1.0, "probability", None, None,
                      "RFC 3263 section 4.3"),
                "an SRV record for each node",
            )  # fmt: skip


@rule("node-not-in-dns", Severity.WARNING, "A node is not in the SRV records.", "deployment guide; RFC 2782")
def not_in_dns(case: Case) -> Iterator[Fault]:
    """No phone comes to it by itself."""
    for owner, records in _sets(case).items():
        named = {host_of(case.deployment, record.words[3]) for record in records}
        missing = [host for host in case.deployment.hosts if runs_node(case.deployment, host) and host not in named]
        if missing and len(named) > 1:
            share, best = 1 / max(1, len(named)), 1 / (len(named) + len(missing))
            yield Fault(
                records[0].place,
                f"{owner} does not name {', '.join(missing)}: phones crowd on {len(named)} nodes, and more are "
                "out when one is lost.",
                bound(f"{share:.0%} of phones lose their node with one host, {best:.0%} if all were named", share,
                      "probability", best, share, "docs/clients.md"),
                f"an SRV record for {', '.join(missing)}",
            )  # fmt: skip


@rule("target-without-address", Severity.ERROR, "An SRV target has no address.", "RFC 2782: targets have addresses")
def without_address(case: Case) -> Iterator[Fault]:
    """Said only where the zone has any addresses, or is the target's own."""
    for zone in case.deployment.zones:
        has_addresses = any(record.type in ("A", "AAAA") for record in zone.records)
        owners = {record.owner for record in zone.records if record.type in ("A", "AAAA", "CNAME")}
        for record in zone.records:
            is_inside = bool(zone.origin) and record.type == "SRV" and record.words[3].endswith(zone.origin)
            if record.type == "SRV" and (has_addresses or is_inside) and record.words[3] not in owners:
                yield Fault(
                    record.place,
                    f"{record.words[3]} has no address here: phones that draw this record try the next one, those that "
                    "do not fail.",
                    certain("0 of 1 connections", "RFC 2782", 0.0, "connections"),
                    f"{record.words[3]}. IN A <address>",
                )


@rule("target-is-alias", Severity.WARNING, "An SRV target is an alias.", "RFC 2782: the name MUST NOT be an alias")
def target_is_alias(case: Case) -> Iterator[Fault]:
    """Some resolvers follow it, some do not."""
    aliases = {record.owner for zone in case.deployment.zones for record in zone.records if record.type == "CNAME"}
    for record in srv(case.deployment):
        if record.words[3] in aliases:
            yield Fault(
                record.place,
                f"{record.words[3]} is a CNAME: a phone that follows the standard may leave the record out.",
                certain("1 more question to the DNS, or 0 connections", "RFC 2782", 1.0, "queries"),
                "the name that has the address",
            )


@rule("unequal-priorities", Severity.WARNING, "All phones go to one node.", "RFC 2782; docs/clients.md")
def unequal_priorities(case: Case) -> Iterator[Fault]:
    """The guide wants active/active."""
    for owner, records in _sets(case).items():
        best = min(int(record.words[0]) for record in records)
        preferred = {record.words[3] for record in records if int(record.words[0]) == best}
        if len(preferred) == 1 < len({record.words[3] for record in records}):
            yield Fault(
                records[0].place,
                f"{owner} prefers {next(iter(preferred))}: all phones lose their node when it goes, and come back "
                "to it all at once.",
                bound("100 % of phones on one node", 1.0, "probability", None, None, "docs/clients.md"),
                "the same priority in all records",
            )


@rule("weight-zero", Severity.WARNING, "A node is hardly ever drawn.", "RFC 2782: weight 0 is drawn last")
def weight_zero(case: Case) -> Iterator[Fault]:
    """Among others with weight."""
    for records in _sets(case).values():
        for record in records:
            alike = [each for each in records if each.words[0] == record.words[0]]
            if int(record.words[1]) == 0 and any(int(each.words[1]) for each in alike):
                yield Fault(
                    record.place,
                    f"{record.words[3]} is drawn last, beside records with weight.",
                    certain("about 0 of its share of phones", "RFC 2782", 0.0, "probability"),
                    "the same weight in all records",
                )


@rule("ttl-long", Severity.WARNING, "A removed node is asked for long.", "RFC 2181 section 8; docs/clients.md")
def ttl_long(case: Case) -> Iterator[Fault]:
    """The first record of a service speaks for all."""
    for owner, records in _sets(case).items():
        if (records[0].ttl_s or 0) > LONGEST_TTL_S:
            yield Fault(
                records[0].place,
                f"{owner} may be kept for {records[0].ttl_s} s: so long phones still go to a node that you took out.",
                bound(f"up to {records[0].ttl_s} s", float(records[0].ttl_s or 0), "s", 0.0,
                      float(records[0].ttl_s or 0), "docs/clients.md"),
                "a time to live of 300 to 3600 s",
            )  # fmt: skip


@rule("ttl-short", Severity.NOTE, "Every registration asks the DNS.", "docs/clients.md")
def ttl_short(case: Case) -> Iterator[Fault]:
    """Then the DNS must be as available as the registrar."""
    for owner, records in _sets(case).items():
        if records[0].ttl_s is not None and records[0].ttl_s < SHORTEST_TTL_S:
            yield Fault(
                records[0].place,
                f"{owner} is asked anew nearly each time: a DNS outage of {records[0].ttl_s} s is one for phones.",
                bound(f"{records[0].ttl_s} s without the DNS are survived", float(records[0].ttl_s), "s", None, None,
                      "docs/clients.md"),
                "a time to live of 300 to 3600 s",
            )  # fmt: skip
