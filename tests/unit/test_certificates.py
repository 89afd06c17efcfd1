"""Each kind of certificate as three see it: openssl, the client's own look, and the machine that decides."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from model.errors import UsageError
from model.scenario import Certificate
from model.sip_client import IS_VALID, NAMES_BY_WILDCARD, NAMES_DOMAIN, NAMES_HOST
from reference_node.lab import certificates
from reference_node.lab.certificates import Authority
from reference_node.sip import peer_certificate

DOMAIN, HOST = "example.org", "host1.example.org"
WHAT_IT_IS: dict[Certificate, int] = {
    "host-and-domain": NAMES_DOMAIN | NAMES_HOST | IS_VALID,
    "host": NAMES_HOST | IS_VALID,
    "domain": NAMES_DOMAIN | IS_VALID,
    "wildcard": NAMES_BY_WILDCARD | IS_VALID,
    "expired": NAMES_DOMAIN | NAMES_HOST,
    "unknown-ca": NAMES_DOMAIN | NAMES_HOST,
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def chain(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


def look_at(pem: bytes, authority: Authority, domain: str = DOMAIN, host: str = HOST) -> int:
    trusted = peer_certificate.read_authorities(authority.pem)
    return peer_certificate.describe(chain(pem), trusted, domain, host, datetime.now(UTC))


def test_every_kind_is_known():
    assert set(WHAT_IT_IS) == set(get_args(Certificate))


@pytest.mark.parametrize("kind", WHAT_IT_IS)
def test_a_certificate_is_what_its_kind_says(kind, authority):
    assert look_at(authority.issue(kind, HOST, DOMAIN), authority) == WHAT_IT_IS[kind]


@pytest.mark.parametrize(
    ("kind", "why"), [("expired", "has expired"), ("unknown-ca", "unable to get local issuer"), ("host", "")]
)
def test_openssl_sees_the_same(kind, why, authority, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl; apt install openssl")
    certificates.write(authority, tmp_path, {"host1": kind}, DOMAIN)
    path = certificates.path_of(tmp_path, "host1")
    command = ["openssl", "verify", "-CAfile", tmp_path / certificates.AUTHORITIES, path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == (why == "")
    assert why in done.stderr


def test_private_keys_are_for_nobody_else(authority, tmp_path):
    certificates.write(authority, tmp_path, {"host1": "host"}, DOMAIN)
    assert certificates.path_of(tmp_path, "host1").stat().st_mode & 0o077 == 0


def test_names_of_other_hosts_and_domains_do_not_count(authority):
    pem = authority.issue("host-and-domain", HOST, DOMAIN)
    assert look_at(pem, authority, "example.com", "host1.example.com") == IS_VALID
    assert look_at(pem, authority, DOMAIN, "host2.example.org") == NAMES_DOMAIN | IS_VALID
    wildcard = authority.issue("wildcard", HOST, DOMAIN)
    assert look_at(wildcard, authority, DOMAIN, "a.host1.example.org") == IS_VALID, "a wildcard is for one label"
    assert look_at(wildcard, authority, DOMAIN, DOMAIN) == IS_VALID, "nor for the domain itself"


def test_names_have_no_case(authority):
    pem = authority.issue("host-and-domain", HOST, DOMAIN)
    assert look_at(pem, authority, "Example.ORG", "HOST1.example.org") == WHAT_IT_IS["host-and-domain"]


def test_nobody_is_trusted_without_authorities(authority):
    pem = authority.issue("host", HOST, DOMAIN)
    assert peer_certificate.describe(chain(pem), [], DOMAIN, HOST, datetime.now(UTC)) == NAMES_HOST
    assert peer_certificate.describe([], [], DOMAIN, HOST, datetime.now(UTC)) == 0
    with pytest.raises(UsageError):
        peer_certificate.read_authorities(b"nothing")


@pytest.mark.parametrize(
    ("uri", "names"), [("sip:example.org", {DOMAIN}), ("sip:bob@example.org", set()), ("https://example.org", set())]
)
def test_a_sip_uri_without_user_names_a_domain(uri, names):
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([]), datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    assert peer_certificate.names_of(certificate) == names
