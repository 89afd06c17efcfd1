"""Who can reach servers and sentinels, and what anybody who does may do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from study.lint.deployment import Deployment, ServerFile
from study.lint.figures import bound, certain
from study.lint.findings import Place, Severity
from study.lint.rules.registry import Case, Fault, rule
from study.lint.understood import of_host, sentinel_number

REDIS_PORT, SENTINEL_PORT = 6379, 26379
"""Kind: vendor default."""

KNOWN_PASSWORDS = ("ComplicatedPassWord123456789", "foobared", "password", "redis", "changeme")
"""Passwords that stand on public pages: the guide's, redis.conf's, and what is tried first."""

SHORTEST_PASSWORD = 20
"""Characters. Redis answers a wrong AUTH at once and never locks anybody out. Kind: assumed."""

_SECRETS = ("requirepass", "masterauth", "auth-pass", "sentinel-pass")


def is_guarded(deployment: Deployment, host: str, port: int) -> bool:
    """A firewall lets only listed addresses reach the port."""
    found = of_host(deployment.firewalls, host)
    return bool(found) and all(port in each.guarded for each in found)


def is_from_7_on(deployment: Deployment) -> bool:
    """Protected mode asks for a password whatever `bind` says: Redis from 7.0 on, and Valkey."""
    return deployment.version != "6.2"


def _listens_inside_only(file: ServerFile) -> bool:
    """Every address it binds is of a private network (RFC 1918, RFC 4193) or the host itself."""
    found = file.last("bind")
    private = re.compile(r"-?(127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|::1$|f[cd][0-9a-f]{2}:)")
    return bool(found and found.words) and all(private.match(word) for word in found.words)


@rule("sentinel-open", Severity.ERROR, "Anybody who reaches a sentinel's port may command it.",
      "redis 7.0.15, sentinel.c, each way tried on real servers")  # fmt: skip
def sentinel_open(case: Case) -> Iterator[Fault]:
    """No password, no firewall, no private address."""
    pause_s = 2 * sentinel_number(case.deployment, "failover-timeout", 180_000) / 1_000
    for file in case.deployment.sentinels:
        is_protected = (file.last("protected-mode") or None) and file.last("protected-mode").words[:1] == ("yes",)
        if file.last("requirepass") or is_protected or _listens_inside_only(file):
            continue
        if is_guarded(case.deployment, file.host, SENTINEL_PORT):
            continue
        yield Fault(
            file.place("protected-mode"),
            "Sentinel asks for no password: one forged hello moves the primary to any address, and all sentinels then "
            "send the password of Redis there; one forged vote blocks failovers.",
            bound(f"1 message is enough; a forged vote blocks failovers for {pause_s:.0f} s and can be repeated",
                  pause_s, "s", pause_s, pause_s + 1, "python -m study.proofs"),
            "requirepass <password> and sentinel sentinel-pass <password> in every sentinel.conf (from 6.2 on); or a "
            "firewall that lets only the hosts reach port 26379",
        )  # fmt: skip


@rule("sentinel-protected", Severity.ERROR, "Protected mode keeps the sentinels from each other.",
      "redis 7.0.15, sentinel.c, verified; docs/claims.md 25")  # fmt: skip
def sentinel_protected(case: Case) -> Iterator[Fault]:
    """From 7.0 on an explicit bind does not lift it; up to 6.2 it does."""
    for file in case.deployment.sentinels:
        mode = file.last("protected-mode")
        if not mode or mode.words[:1] != ("yes",) or file.last("requirepass"):
            continue
        if is_from_7_on(case.deployment) or not file.last("bind"):
            yield Fault(
                mode.place,
                "Other sentinels are answered -DENIED: they do not find each other, and nobody is ever elected.",
                certain("0 failovers of 1 lost primary (tried with 7.0.15)",
                        "redis-cli -p 26379 sentinel ckquorum NAME", 0.0, kind="measured"),
                "requirepass <password> and sentinel sentinel-pass <password>; protected mode then lets peers in",
            )  # fmt: skip


@rule("redis-without-password", Severity.ERROR, "Anybody who reaches Redis may write, and command it.",
      "redis 7.0.15, sentinel.c; deployment guide")  # fmt: skip
def redis_open(case: Case) -> Iterator[Fault]:
    """With protected mode on it is closed to others instead, replicas included."""
    for file in case.deployment.redis:
        if file.last("requirepass") or file.last("user", "aclfile"):
            continue
        if _listens_inside_only(file) or is_guarded(case.deployment, file.host, REDIS_PORT):
            continue
        yield Fault(
            file.place("protected-mode", "bind"),
            "Redis asks for no password: registrations can be read, forged and deleted, and a forged hello on it moves "
            "the primary. (Where protected mode is on it refuses everybody instead, replicas and nodes too.)",
            certain("1 message is enough", "redis-cli -h <host> FLUSHALL", 1.0, "messages"),
            "requirepass <password> and masterauth <password>, the same on all servers",
        )


@rule("known-password", Severity.ERROR, "A password that stands on a public page.", "deployment guide, samples")
def known_password(case: Case) -> Iterator[Fault]:
    """The first that anybody tries."""
    for place, secret in _secrets(case.deployment):
        if secret in KNOWN_PASSWORDS:
            yield Fault(
                place,
                "This password stands in a public sample: it keeps nobody out.",
                certain("found at guess 1", "deployment guide, sample configurations", 1.0, "guesses"),
                "a random one: openssl rand -hex 32",
            )


@rule("short-password", Severity.WARNING, "A password that can be guessed.", "Redis documentation, AUTH")
def short_password(case: Case) -> Iterator[Fault]:
    """Redis is fast, also at refusing."""
    for place, secret in _secrets(case.deployment):
        if secret not in KNOWN_PASSWORDS and len(secret) < SHORTEST_PASSWORD and "<" not in secret:
            yield Fault(
                place,
                f"{len(secret)} characters: Redis answers wrong guesses at once and locks nobody out.",
                certain(f"{len(secret)} characters of {SHORTEST_PASSWORD}", "redis-cli AUTH", len(secret),
                        "characters"),
                "a random one: openssl rand -hex 32",
            )  # fmt: skip


def _secrets(deployment: Deployment) -> Iterator[tuple[Place, str]]:
    for file in (*deployment.redis, *deployment.sentinels):
        for directive in file.directives:
            if directive.name in _SECRETS and directive.words:
                yield directive.place, directive.words[-1]
    for conf in deployment.flexisip:
        for setting in conf.settings:
            if setting.key == "redis-auth-password" and setting.value:
                yield setting.place, setting.value
