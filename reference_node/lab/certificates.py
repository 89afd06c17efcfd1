"""Certificates of a lab: an authority that its clients trust, and what each node shows them.

Every kind of certificate that a scenario may give a host is a good one but for what its name says. Keys and
certificates live as long as a run.

Left out: revocation, intermediate authorities.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from model.scenario import Certificate

LIFE = timedelta(days=7)
"""How long certificates are good. Kind: assumed (longer than any run)."""

OVER = timedelta(days=1)
"""For how long an expired one has been so. Kind: assumed."""

AUTHORITIES = "ca.pem"
"""File with what clients trust."""


class Authority:
    """Issues the certificates of one lab."""

    def __init__(self) -> None:
        self._known, self._unknown = trustme.CA(), trustme.CA(organization_name="nobody knows")

    @property
    def pem(self) -> bytes:
        """Its own certificate: what clients trust."""
        return self._known.cert_pem.bytes()

    def issue(self, kind: Certificate, host: str, domain: str) -> bytes:
        """A private key and its certificate, in PEM.

        Parameters
        ----------
        kind : str
            See `model.scenario.Certificate`.
        host : str
            Full name of the host.
        domain : str
            The SIP domain.
        """
        names = {"host": [host], "domain": [domain], "wildcard": [f"*.{domain}"]}.get(kind, [domain, host])
        now = datetime.now(UTC)
        end = now - OVER if kind == "expired" else now + LIFE
        authority = self._unknown if kind == "unknown-ca" else self._known
        leaf = authority.issue_cert(*names, common_name=host, not_before=now - LIFE, not_after=end)
        return leaf.private_key_and_cert_chain_pem.bytes()


def path_of(folder: Path, host: str) -> Path:
    """Where `write` puts the private key and certificate of a host."""
    return folder / f"{host}.pem"


def write(authority: Authority, folder: Path, kinds: Mapping[str, Certificate], domain: str) -> None:
    """Write `AUTHORITIES`, and a file for each host.

    Parameters
    ----------
    authority : Authority
    folder : Path
        Exists.
    kinds : mapping
        What each host has.
    domain : str
    """
    (folder / AUTHORITIES).write_bytes(authority.pem)
    for host, kind in kinds.items():
        path = path_of(folder, host)
        path.touch(mode=0o600)
        path.write_bytes(authority.issue(kind, f"{host}.{domain}", domain))
