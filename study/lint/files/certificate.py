"""PEM files: the first certificate, that of the node itself. A private key in the file is not looked at."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from study.lint.deployment import Broken, Certificate
from study.lint.findings import Place

_BEGIN = "-----BEGIN CERTIFICATE-----"


def is_mine(text: str) -> bool:
    """It holds something in PEM."""
    return "-----BEGIN " in text


def read(text: str, file: str, host: str) -> tuple[Certificate | None, list[Broken]]:
    """The first certificate of a file; None, and nothing broken, for a file with keys only."""
    if _BEGIN not in text:
        return None, []
    line = text[: text.index(_BEGIN)].count("\n") + 1
    try:
        found = x509.load_pem_x509_certificates(text.encode())[0]
    except ValueError as error:
        return None, [Broken(_BEGIN, f"not a certificate: {str(error).splitlines()[0]}", Place(file, line))]
    names = [str(each.value) for each in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return (
        Certificate(
            file=file,
            host=host,
            dns_names=tuple(name.lower() for name in _dns_names(found)),
            common_name=names[0] if names else "",
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            self_signed=found.issuer == found.subject,
            place=Place(file, line),
        ),
        [],
    )


def _dns_names(found: x509.Certificate) -> list[str]:
    try:
        extension = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)  # type: ignore[attr-defined]
