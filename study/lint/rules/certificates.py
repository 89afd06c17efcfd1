"""Certificates of the nodes: the names that phones check, and until when."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from study.lint.deployment import Certificate
from study.lint.figures import certain
from study.lint.findings import Severity
from study.lint.rules.registry import Case, Fault, rule
from study.lint.understood import domain

SOON_DAYS = 30
"""A certificate that ends sooner is worth a warning. Kind: recommended (certificate authorities write at 30 days)."""

WHO_CHECKS = "docs/clients.md: ideal and linphone check names; baresip, pjsua and twinkle do not by default"
WRONG_CERTIFICATE = "scenarios/clients/tls_others_expired.toml"


def now() -> datetime.datetime:
    """The present, for what ends; tests put another one in its place."""
    return datetime.datetime.now(datetime.UTC)


@rule("certificate-without-domain", Severity.ERROR, "A certificate does not name the SIP domain.",
      "RFC 5922 section 7.2; deployment guide")  # fmt: skip
def without_domain(case: Case) -> Iterator[Fault]:
    """Phones compare it with the domain that they asked for, not with the host."""
    name = domain(case.deployment)
    for each in case.deployment.certificates:
        if name and name not in each.dns_names:
            yield _names(each, f"{name} (the SIP domain)", "refuse the connection")


@rule("certificate-without-host", Severity.WARNING, "A certificate does not name its node.",
      "deployment guide: Record-Route has the host's name")  # fmt: skip
def without_host(case: Case) -> Iterator[Fault]:
    """Requests of a dialog go to the host by its name."""
    name = domain(case.deployment)
    for each in case.deployment.certificates:
        wanted = f"{each.host}.{name}"
        if name and each.host and wanted not in each.dns_names:
            yield _names(each, f"{wanted} (the node, as Record-Route names it)", "refuse requests within a call")


def _names(each: Certificate, missing: str, what: str) -> Fault:
    return Fault(
        each.place,
        f"The certificate is for {', '.join(each.dns_names) or each.common_name or 'nobody'}, not for {missing}: "
        f"phones that check it {what}.",
        certain("0 of 1 connections of a phone that checks", WHO_CHECKS, 0.0, "connections"),
        f"a subject alternative name DNS:{missing.partition(' ')[0]}",
    )


@rule("certificate-wildcard", Severity.WARNING, "A certificate has a wildcard.", "RFC 5922 section 7.2: not matched")
def wildcard(case: Case) -> Iterator[Fault]:
    """SIP clients must not match it."""
    for each in case.deployment.certificates:
        if any(name.startswith("*.") for name in each.dns_names):
            yield Fault(
                each.place,
                "A SIP client that follows RFC 5922 does not match `*`: it refuses the connection.",
                certain("0 of 1 connections of a phone that checks", WHO_CHECKS, 0.0, "connections"),
                "one name for the domain and one for each node",
            )


@rule("certificate-ended", Severity.ERROR, "A certificate is not valid now.", "RFC 5280 section 4.1.2.5")
def ended(case: Case) -> Iterator[Fault]:
    """Phones that check go elsewhere, or give up."""
    for each in case.deployment.certificates:
        if not each.not_before <= now() <= each.not_after:
            yield Fault(
                each.place,
                f"Valid from {each.not_before:%Y-%m-%d} to {each.not_after:%Y-%m-%d}: phones that check it refuse the "
                "connection.",
                case.figures.outage("client:linphone-5.4-tls", "a phone is out whose other nodes have such a "
                                    "certificate", committed=WRONG_CERTIFICATE),
                "renew it",
            )  # fmt: skip


@rule("certificate-ends-soon", Severity.WARNING, "A certificate ends within a month.", "RFC 5280 section 4.1.2.5")
def ends_soon(case: Case) -> Iterator[Fault]:
    """It is the outage with the best-known date."""
    for each in case.deployment.certificates:
        days = (each.not_after - now()).total_seconds() / 86_400
        if 0 <= days < SOON_DAYS and each.not_before <= now():
            yield Fault(
                each.place,
                f"Valid until {each.not_after:%Y-%m-%d}: then phones that check refuse the node, all at once.",
                certain(f"{days:.0f} days are left", "openssl x509 -enddate", round(days), "days"),
                "renew it",
            )
