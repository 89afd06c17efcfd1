"""Digest authentication as a server (RFC 8760, RFC 7616): who may write an address of record.

A challenge offers SHA-256 first and MD5 for phones that know nothing else. Nonces are not kept: each carries the time
of its making and a mark that only this process can make, so a flood of challenges costs no memory. What is kept is the
last count of each nonce that was used, so that an answer cannot be sent twice.

Left out: ``auth-int``, SHA-512-256, ``userhash``, and sharing nonces between nodes (a phone that fails over is
challenged anew).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reference_node.sip.fields import address_of_record, split

Algorithm = Literal["SHA-256", "MD5"]

NONCE_S = 3_600
"""How long a nonce may be used, s. Source: Flexisip, nonce-expires. Kind: vendor default."""

MAX_COUNTS = 100_000
"""Most nonces whose counts are kept; when one is forgotten, those not younger need a new challenge. Kind: assumed."""

HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
"""Hash of each algorithm, the stronger first, as challenges are. Source: RFC 7616 section 3.3. Kind: specified."""

_STORED = {"md5": ("MD5", 32), "sha256": ("SHA-256", 64)}
_HEX = re.compile(r"[0-9a-fA-F]+")
_COUNT = re.compile(r"[0-9a-fA-F]{8}")
_NONCE = re.compile(r"([0-9a-f]{12})([0-9a-f]{16})([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Secrets:
    """HA1 of a user by algorithm: the hash of ``user:realm:password``, in hex."""

    by_algorithm: Mapping[str, str]

    @classmethod
    def of_password(cls, user: str, realm: str, password: str) -> Secrets:
        """All hashes of a password."""
        text = f"{user}:{realm}:{password}".encode()
        return cls({name: make(text).hexdigest() for name, make in HASHES.items()})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a request.

    Attributes
    ----------
    user : str
        Who it is from, ``user@realm``; empty when that is not shown.
    is_stale : bool
        The credentials were right, but for the age of the nonce.
    """

    user: str = ""
    is_stale: bool = False


class Digest:
    """Challenges, and checks what comes back.

    Parameters
    ----------
    realm : str
    users : mapping
        Secrets by user, ``user@domain``.
    algorithms : sequence of str
        Offered in this order.
    nonce_s : int
        How long a nonce may be used, s.
    """

    def __init__(
        self, realm: str, users: Mapping[str, Secrets], algorithms: Sequence[Algorithm], nonce_s: int = NONCE_S
    ) -> None:
        self._realm, self._users, self._algorithms, self._nonce_s = realm, users, tuple(algorithms), nonce_s
        self._mark = secrets.token_bytes(32)
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._forgotten_s = 0

    def challenges(self, now_s: int, is_stale: bool = False) -> list[str]:
        """Values of WWW-Authenticate or Proxy-Authenticate, the preferred one first (RFC 8760 section 2.3)."""
        nonce = self._new_nonce(now_s)
        stale = ", stale=true" if is_stale else ""
        return [
            f'Digest realm="{self._realm}", nonce="{nonce}", qop="auth", algorithm={algorithm}{stale}'
            for algorithm in self._algorithms
        ]

    def check(self, credentials: Sequence[str], method: str, now_s: int) -> Verdict:
        """Check the values of Authorization or Proxy-Authorization.

        Parameters
        ----------
        credentials : sequence of str
        method : str
        now_s : int
            Unix seconds.
        """
        for line in credentials:
            given = read_credentials(line)
            if given and given.get("realm") == self._realm:
                return self._check(given, method, now_s)
        return Verdict()

    def _check(self, given: Mapping[str, str], method: str, now_s: int) -> Verdict:
        algorithm = given.get("algorithm", "MD5").upper()
        user = given.get("username", "")
        aor = user if "@" in user else f"{user}@{self._realm}"
        known = self._users.get(aor)
        first = known.by_algorithm.get(algorithm) if known else None
        nonce, count = given.get("nonce", ""), given.get("nc", "")
        if first is None or algorithm not in self._algorithms or given.get("qop") != "auth":
            return Verdict()
        if not self._is_mine(nonce) or _COUNT.fullmatch(count) is None:
            return Verdict()
        made = HASHES[algorithm]
        second = made(f"{method}:{given.get('uri', '')}".encode()).hexdigest()
        expected = made(f"{first}:{nonce}:{count}:{given.get('cnonce', '')}:auth:{second}".encode()).hexdigest()
        if not hmac.compare_digest(expected.encode(), given.get("response", "").lower().encode()):
            return Verdict()
        age_s = now_s - _made_s(nonce)
        if not 0 <= age_s <= self._nonce_s or not self._is_next(nonce, int(count, 16)):
            return Verdict(is_stale=True)
        return Verdict(user=aor)

    def _new_nonce(self, now_s: int) -> str:
        head = f"{now_s:012x}{secrets.token_hex(8)}"
        return head + self._sign(head)

    def _sign(self, head: str) -> str:
        return hmac.new(self._mark, head.encode(), hashlib.sha256).hexdigest()[:32]

    def _is_mine(self, nonce: str) -> bool:
        return _NONCE.fullmatch(nonce) is not None and hmac.compare_digest(self._sign(nonce[:28]), nonce[28:])

    def _is_next(self, nonce: str, count: int) -> bool:
        """Whether a count was not used before with this nonce."""
        used = self._counts.get(nonce)
        if count <= (used or 0) or (used is None and _made_s(nonce) <= self._forgotten_s):
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        if len(self._counts) > MAX_COUNTS:
            forgotten, _ = self._counts.popitem(last=False)
            self._forgotten_s = max(self._forgotten_s, _made_s(forgotten))
        return True


def _made_s(nonce: str) -> int:
    """When a nonce was made, Unix seconds."""
    return int(nonce[:12], 16)


def read_credentials(text: str) -> dict[str, str] | None:
    """Parameters of Digest credentials, names in lower case, quotes taken off; None when they are none."""
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "digest":
        return None
    given: dict[str, str] = {}
    try:
        parts = split(rest, ",")
    except ValueError:
        return None
    for part in parts:
        name, equals, value = part.partition("=")
        name, value = name.strip(" \t").lower(), value.strip(" \t")
        if not equals or name in given:
            return None
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        given[name] = value
    return given


def may_write(user: str, uri: str) -> bool:
    """Whether a user may write the address of record of a URI: only his own."""
    name, at, domain = user.rpartition("@")
    return f"{name}{at}{domain.lower()}" == address_of_record(uri)


def read_users(text: str, realm: str) -> dict[str, Secrets]:
    """Users of a file: a line each, ``user@domain`` and then any of ``clrtxt:…``, ``md5:…`` and ``sha256:…``.

    A first line ``version:1`` and lines that begin with ``#`` are passed over, and so is what follows a semicolon,
    in the manner of Flexisip's file. The hashes are HA1: of ``user:realm:password``.

    Raises
    ------
    ValueError
        A line is none of these; the message names its number, and nothing of what stands in it.
    """
    users: dict[str, Secrets] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition(";")[0].split()
        if not words or words[0].startswith("#") or words[0] == "version:1":
            continue
        name, *given = words
        user = name.rpartition("@")[0]
        if not user or not given:
            raise ValueError(f"line {number}: needs user@domain, and a password or a hash")
        hashes: dict[str, str] = {}
        for item in given:
            kind, colon, value = item.partition(":")
            if kind == "clrtxt" and colon:
                hashes.update(Secrets.of_password(user, realm, value).by_algorithm)
            elif kind in _STORED and len(value) == _STORED[kind][1] and _HEX.fullmatch(value):
                hashes[_STORED[kind][0]] = value.lower()
            else:
                raise ValueError(f"line {number}: allowed are clrtxt:, md5: and sha256:, hashes in hex")
        users[name] = Secrets(hashes)
    return users
