"""What a node's certificate is, for the client machine to judge: which names it has, and whether it is good.

A TLS library refuses what it does not like; clients differ in what they like (`model.client_classes`). So the library
is told to take anything, and the certificate is looked at here: as RFC 5922 sections 7.1 and 7.2 say (DNS entries, and
URI entries with scheme ``sip`` and no user; whole names, whatever their case), with wildcards told apart, because only
some clients take them. Whether the chain ends at an authority that is trusted, and is in date, is checked as a browser
would (RFC 5280), by `cryptography`.

Left out: CN of the subject (RFC 5922 has it as a last resort), revocation. Before Python 3.13, intermediate
certificates cannot be had from the TLS library: a chain is then the leaf alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from model.errors import UsageError
from model.sip_client import IS_VALID, NAMES_BY_WILDCARD, NAMES_DOMAIN, NAMES_HOST
from reference_node.sip.fields import URI


def client_context() -> ssl.SSLContext:
    """A TLS context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def read_authorities(pem: bytes) -> list[x509.Certificate]:
    """Certificates of trusted authorities.

    Raises
    ------
    UsageError
        There are none, or they cannot be read.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise UsageError(f"no certificates of authorities: {error}") from None


def chain_of(connection: ssl.SSLObject) -> list[x509.Certificate]:
    """Certificates that the peer has shown, its own first."""
    if hasattr(connection, "get_unverified_chain"):
        chain = connection.get_unverified_chain()
    else:
        chain = [connection.getpeercert(binary_form=True)]
    return [x509.load_der_x509_certificate(each) for each in chain if each]


def describe(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], domain: str, host: str, now: datetime
) -> int:
    """What a certificate is: the sum of NAMES_DOMAIN, NAMES_HOST, NAMES_BY_WILDCARD and IS_VALID.

    Parameters
    ----------
    chain : sequence of x509.Certificate
        What the peer has shown.
    authorities : sequence of x509.Certificate
        Who is trusted.
    domain, host : str
        SIP domain, and target of the SRV record.
    now : datetime
        With its zone.
    """
    if not chain:
        return 0
    names = names_of(chain[0])
    found = 0
    if domain.lower() in names:
        found |= NAMES_DOMAIN
    if host.lower() in names:
        found |= NAMES_HOST
    if f"*.{host.lower().partition('.')[2]}" in names:
        found |= NAMES_BY_WILDCARD
    if _is_valid(chain, authorities, now):
        found |= IS_VALID
    return found


def names_of(certificate: x509.Certificate) -> set[str]:
    """Domains and hosts that a certificate is for, in lower case."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    names = {name.lower() for name in alternative.get_values_for_type(x509.DNSName)}
    for text in alternative.get_values_for_type(x509.UniformResourceIdentifier):
        uri = URI.fullmatch(text)
        if uri and uri["scheme"].lower() == "sip" and not uri["user"]:
            names.add(uri["host"].lower())
    return names


def _is_valid(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], now: datetime) -> bool:
    """True when the chain is good. Of the leaf's extensions none matters here: names are the caller's business."""
    if not authorities:
        return False
    policy = PolicyBuilder().store(Store(list(authorities))).time(now)
    policy = policy.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    try:
        policy.build_client_verifier().verify(chain[0], list(chain[1:]))
    except (VerificationError, ValueError):
        return False
    return True
