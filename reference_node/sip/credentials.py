"""Digest credentials as a SIP client gives them (RFC 3261 section 22, RFC 7616); `digest` has the other side.

Algorithms MD5 and SHA-256, with `qop` ``auth`` or none (RFC 2069). Left out: ``auth-int``, session algorithms,
Authentication-Info.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference_node.sip.digest import HASHES
from reference_node.sip.fields import find, read_parameters, split


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants to see proved.

    Attributes
    ----------
    realm, nonce, opaque, algorithm : str
    wants_qop : bool
        Whether it offers `qop` ``auth``.
    """

    realm: str
    nonce: str
    opaque: str
    algorithm: str
    wants_qop: bool

    @classmethod
    def read(cls, header: str) -> Challenge | None:
        """Take a WWW-Authenticate or Proxy-Authenticate apart; None when it is nothing that we can answer."""
        scheme, _, rest = header.partition(" ")
        try:
            given = read_parameters(split(rest, ","))
        except ValueError:
            return None
        values = {name: (find(given, name) or "").strip('"') for name in ("realm", "nonce", "opaque", "qop")}
        algorithm = (find(given, "algorithm") or "MD5").strip('"').upper()
        offered = [each.strip() for each in values["qop"].split(",") if each]
        if scheme.lower() != "digest" or algorithm not in HASHES or (offered and "auth" not in offered):
            return None
        return cls(values["realm"], values["nonce"], values["opaque"], algorithm, bool(offered))

    def answer(self, user: str, password: str, method: str, uri: str, client_nonce: str) -> str:
        """Value of Authorization (or Proxy-Authorization); each challenge is answered once."""

        def digest(*parts: str) -> str:
            return HASHES[self.algorithm](":".join(parts).encode()).hexdigest()

        secret, request = digest(user, self.realm, password), digest(method, uri)
        extra = ("00000001", client_nonce, "auth") if self.wants_qop else ()
        parts = [f'username="{user}"', f'realm="{self.realm}"', f'nonce="{self.nonce}"', f'uri="{uri}"']
        parts += [f'response="{digest(secret, self.nonce, *extra, request)}"', f"algorithm={self.algorithm}"]
        if self.wants_qop:
            parts += ["qop=auth", "nc=00000001", f'cnonce="{client_nonce}"']
        if self.opaque:
            parts.append(f'opaque="{self.opaque}"')
        return "Digest " + ", ".join(parts)
