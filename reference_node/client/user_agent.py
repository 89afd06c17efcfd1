"""The SIP of a client: REGISTER requests that it sends, what answers to them say, and answers to requests.

A client keeps its Call-ID and its instance id (RFC 5626 section 4.1) for as long as it runs and counts CSeq up; every
transaction has a branch with its number, so that an answer finds its transaction, and a retransmission is the same
bytes again.

Left out: everything but REGISTER on the way out; dialogs: INVITE is answered 405.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass

from reference_node.sip import message as sip
from reference_node.sip.credentials import Challenge
from reference_node.sip.fields import NameAddr, same_uri, split
from reference_node.sip.message import Address

ALLOW = "OPTIONS, MESSAGE"
"""What a client answers 200."""

SUPPORTED = ("path",)
"""SIP extensions of every client. Source: RFC 3327 section 5.1. Kind: recommended."""

CHALLENGES = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}
"""Headers of a challenge and of its answer, by status. Source: RFC 3261 section 22. Kind: specified."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One REGISTER transaction.

    Attributes
    ----------
    number : int
        Of the transaction.
    seconds : int
        Lifetime asked for, 0 = leave.
    local : Address
        Where the client is reached: this end of the flow.
    transport : str
    reg_id : int
        ``reg-id``: number of the flow, from 1; 0 = the client does without.
    challenge : int
        Status of the challenge to be answered, 0 = none.
    """

    number: int
    seconds: int
    local: Address
    transport: str
    reg_id: int = 0
    challenge: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a final answer says.

    Attributes
    ----------
    number : int
        Of the transaction.
    status : int
    seconds : int
        Lifetime granted (2xx), Min-Expires (423), else Retry-After; 0 = none.
    """

    number: int
    status: int
    seconds: int


class UserAgent:
    """What a client is on the wire.

    Parameters
    ----------
    name, domain : str
        Its address of record is ``name@domain``.
    product : str
        Its User-Agent.
    password : str
        For digest, empty = it has none.
    seed : int
        Of all ids.
    """

    def __init__(self, name: str, domain: str, product: str, password: str, seed: int) -> None:
        self.aor = f"{name}@{domain}"
        self._name, self._domain, self._product, self._password = name, domain, product, password
        self._random = random.Random(seed)
        self._instance = uuid.UUID(int=self._random.getrandbits(128), version=4)
        self._call_id = self._token()
        self._tag = self._token()
        self._branch = f"{sip.COOKIE}{self._token()}"
        self._cseq = 0
        self._challenges: dict[int, Challenge] = {}

    def register(self, wish: Wish) -> bytes:
        """A REGISTER; each call is a new transaction."""
        self._cseq += 1
        uri = f"sip:{self._domain}"
        here = f"{wish.local[0]}:{wish.local[1]}"
        extensions = (*SUPPORTED, "outbound") if wish.reg_id else SUPPORTED
        lines = [
            f"REGISTER {uri} SIP/2.0",
            f"Via: SIP/2.0/{wish.transport.upper()} {here};rport;branch={self._branch}-{wish.number}",
            "Max-Forwards: 70",
            f"From: <sip:{self.aor}>;tag={self._tag}",
            f"To: <sip:{self.aor}>",
            f"Call-ID: {self._call_id}",
            f"CSeq: {self._cseq} REGISTER",
            f"Contact: {self._contact(wish)}",
            f"Supported: {', '.join(extensions)}",
            f"User-Agent: {self._product}",
        ]
        challenge = self._challenges.get(wish.challenge)
        if challenge and self._password:
            answer = challenge.answer(self._name, self._password, "REGISTER", uri, self._token())
            lines.append(f"{CHALLENGES[wish.challenge][1]}: {answer}")
        return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()

    def verdict(self, data: bytes, wishes: dict[int, Wish]) -> Verdict | None:
        """What an answer says to one of the open wishes; None when it is not final, or of none of them."""
        response = sip.read_response(data)
        if response is None or response.status < 200 or response.method != "REGISTER":
            return None
        branch, _, number = response.branch.rpartition("-")
        if branch != self._branch or not (number.isascii() and number.isdigit()):
            return None
        wish = wishes.get(int(number[:18]))
        if wish is None:
            return None
        headers: dict[str, list[str]] = {}
        for name, _, value in response.fields:
            headers.setdefault(name, []).append(value)
        if response.status in CHALLENGES:
            challenge = Challenge.read(headers.get(CHALLENGES[response.status][0], [""])[0])
            if challenge:
                self._challenges[response.status] = challenge
        return Verdict(wish.number, response.status, self._seconds(response.status, headers, wish))

    def answer(self, data: bytes, source: Address) -> bytes | None:
        """The answer to a request; None when there is to be none."""
        try:
            request = sip.read(data, source)
        except sip.Rejected as rejected:
            return rejected.answer() if rejected.envelope else None
        if request.method == "ACK":
            return None
        if request.method in ALLOW.split(", "):
            return sip.answer(request.envelope, 200, "", ("Allow", ALLOW))
        return sip.answer(request.envelope, 405, "", ("Allow", ALLOW))

    def _contact(self, wish: Wish) -> str:
        value = f'<{self._contact_uri(wish)}>;+sip.instance="<urn:uuid:{self._instance}>"'
        if wish.reg_id:
            value += f";reg-id={wish.reg_id}"
        return f"{value};expires={wish.seconds}"

    def _contact_uri(self, wish: Wish) -> str:
        transport = "" if wish.transport == "udp" else f";transport={wish.transport}"
        return f"sip:{self._name}@{wish.local[0]}:{wish.local[1]}{transport}"

    def _seconds(self, status: int, headers: dict[str, list[str]], wish: Wish) -> int:
        if status < 300:
            return self._granted_s(headers, wish)
        return _number(headers, "min-expires" if status == 423 else "retry-after")

    def _granted_s(self, headers: dict[str, list[str]], wish: Wish) -> int:
        """Lifetime of the own contact (RFC 3261 section 10.2.4)."""
        for line in headers.get("contact", ()):
            try:
                contacts = [NameAddr.read(value) for value in split(line, ",")]
            except ValueError:
                continue
            for contact in contacts:
                expires = contact.parameter("expires") or ""
                if same_uri(contact.uri, self._contact_uri(wish)) and expires.isdigit():
                    return int(expires)
        return _number(headers, "expires") or wish.seconds

    def _token(self) -> str:
        return f"{self._random.getrandbits(64):016x}"


def _number(headers: dict[str, list[str]], name: str) -> int:
    """The number that a header begins with (Retry-After may have a comment), 0 when there is none."""
    digits = headers.get(name, [""])[0].partition(";")[0].partition("(")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0
