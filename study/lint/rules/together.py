"""What files must say alike: passwords, first of all."""

from __future__ import annotations

from collections.abc import Iterator

from study.lint.figures import certain
from study.lint.findings import Place, Severity
from study.lint.rules.registry import Case, Fault, rule


def _passwords(case: Case, name: str) -> list[tuple[str, Place]]:
    return [(found.words[-1], found.place) for file in case.deployment.redis
            if (found := file.last(name)) and found.words]  # fmt: skip


@rule("passwords-differ", Severity.ERROR, "Servers have different passwords, or masterauth is another.",
      "redis 7.0.15, replication.c; deployment guide")  # fmt: skip
def passwords_differ(case: Case) -> Iterator[Fault]:
    """Roles swap: every server must let in every other."""
    asked = _passwords(case, "requirepass")
    given = _passwords(case, "masterauth")
    if not asked:
        return
    first, first_place = asked[0]
    for secret, place in (*asked[1:], *given):
        if secret != first:
            yield Fault(
                place,
                "A server with another password cannot replicate the primary, or is refused once it is one itself: its "
                "replication link never comes up, and after a failover to it the others follow nobody.",
                certain("0 of 1 replication links comes up", "redis-cli info replication", 0.0, "links"),
                "requirepass and masterauth with one password in every redis.conf",
                (first_place,),
            )


@rule("masterauth-missing", Severity.ERROR, "A server asks for a password and does not send one.",
      "redis 7.0.15, replication.c; deployment guide")  # fmt: skip
def masterauth_missing(case: Case) -> Iterator[Fault]:
    """The primary's file needs it too: it will be a replica one day."""
    if not _passwords(case, "requirepass"):
        return
    for file in case.deployment.redis:
        if not file.last("masterauth"):
            yield Fault(
                Place(file.file),
                "As a replica this server is answered NOAUTH and copies nothing. The first primary becomes a replica "
                "when it returns from its first failure.",
                certain("0 of 1 replication links comes up", "redis-cli info replication", 0.0, "links"),
                "masterauth <the password of requirepass>",
            )


@rule("sentinel-password", Severity.ERROR, "Sentinel does not know the password of Redis.",
      "redis 7.0.15, sentinel.c: a wrong auth-pass makes every instance look down")  # fmt: skip
def sentinel_password(case: Case) -> Iterator[Fault]:
    """All sentinels see everything down, elect, and find nobody to promote."""
    asked = _passwords(case, "requirepass")
    for file in case.deployment.sentinels:
        found = file.last("auth-pass")
        if (asked and not found) or (asked and found and found.words[-1] != asked[0][0]):
            yield Fault(
                found.place if found else file.place("monitor"),
                "PING is answered NOAUTH: this sentinel holds all servers for down. If enough do, they begin failovers "
                "that end with -failover-abort-no-good-slave, for ever; if one does, a vote is missing.",
                certain("0 of 1 failovers succeeds", "redis-cli -p 26379 sentinel masters", 0.0),
                "sentinel auth-pass <name> <the password of requirepass>",
                (asked[0][1],),
            )


@rule("sentinels-passwords-differ", Severity.ERROR, "Sentinels do not know each other's password.",
      "redis 6.2, sentinel.c: sentinel-pass, else requirepass, is sent to other sentinels")  # fmt: skip
def sentinels_differ(case: Case) -> Iterator[Fault]:
    """Then each counts the others as down, and the quorum is gone."""
    asked = [(found.words[-1], found.place) for file in case.deployment.sentinels
             if (found := file.last("requirepass")) and found.words]  # fmt: skip
    if not asked:
        return
    for file in case.deployment.sentinels:
        own, sent = file.last("requirepass"), file.last("sentinel-pass")
        sends = (sent or own).words[-1] if (sent or own) and (sent or own).words else ""
        if sends != asked[0][0]:
            yield Fault(
                sent.place if sent else file.place("requirepass"),
                "This sentinel is refused by the others: they hold it for down, and its vote is missing.",
                certain("0 answers from the other sentinels", "redis-cli -p 26379 sentinel sentinels", 0.0, "answers"),
                "requirepass and sentinel sentinel-pass with one password in every sentinel.conf",
                (asked[0][1],),
            )


@rule("node-password", Severity.ERROR, "A node does not know the password of Redis.", "docs/flexisip.md")
def node_password(case: Case) -> Iterator[Fault]:
    """Every REGISTER through it is answered 500."""
    asked = _passwords(case, "requirepass")
    for file in case.deployment.flexisip:
        found = file.last("module::Registrar", "redis-auth-password")
        if asked and file.last("module::Registrar", "db-implementation") and (
            not found or found.value != asked[0][0]
        ):  # fmt: skip
            yield Fault(
                found.place if found else file.place("module::Registrar", "db-implementation"),
                "Redis refuses the node: every REGISTER through it gets 500.",
                certain("0 of 1 registrations is stored", "docs/flexisip.md", 0.0),
                "redis-auth-password=<the password of requirepass>",
                (asked[0][1],),
            )
