"""Datagrams to requests, and answers to datagrams: what the registrar node needs of SIP over UDP.

Whatever arrives ends in one of three ways: a `Request` whose mandatory headers are sound; a `Rejected` with a status,
when at least as much can be read as an answer must repeat (Via, Call-ID, CSeq); or a `Rejected` without an envelope,
which stays unanswered. Nothing else is raised, whatever the bytes.

Header lines are taken apart here, because `sipmessage` gives up the whole message for one bad line, and an answer
repeats Via, From, To, Call-ID and CSeq byte by byte. It builds the answers.

Left out: TCP, TLS and WebSocket; authentication; ``maddr`` and multicast in Via (an answer only ever goes back to the
address that the request came from, so that the node cannot be used to flood a third).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from email.utils import formatdate

import sipmessage

from reference_node.bindings import Registration
from reference_node.fields import (
    NameAddr,
    address_of_record,
    find,
    read_parameters,
    split,
    write_parameters,
)

MAX_BYTES = 8_192
"""Longest request that is looked at; longer ones are answered 513. A REGISTER with 12 contacts has 3 KB.
Kind: assumed (RFC 3261 section 18.1.1 lets datagrams have up to 65,535 bytes)."""

DEFAULT_PORT = 5060
"""Port of a Via that names none. Source: RFC 3261 section 19.1.2. Kind: specified."""

MAX_CSEQ = 2**31 - 1
"""Largest number of a CSeq. Source: RFC 3261 section 8.1.1.5 (less than 2**31). Kind: specified."""

ALLOW = "REGISTER, OPTIONS"
"""What this node serves."""

KNOWN_METHODS = frozenset(
    ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK")
    + ("SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO", "REFER", "MESSAGE", "UPDATE")
)
"""Methods that are answered 405 instead of 501. Source: IANA registry of SIP methods. Kind: specified."""

REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    420: "Bad Extension",
    481: "Call/Transaction Does Not Exist",
    500: "Server Internal Error",
    501: "Not Implemented",
    505: "Version Not Supported",
    513: "Message Too Large",
}
"""Reason phrases. Source: RFC 3261 section 21. Kind: specified."""

_COMPACT = {"i": "call-id", "m": "contact", "f": "from", "t": "to", "v": "via", "l": "content-length", "k": "supported"}
_REQUEST_LINE = re.compile(r"(?P<method>[A-Za-z0-9.!%*_+`'~-]+) (?P<uri>\S+) SIP/(?P<version>[0-9.]+)", re.ASCII)
_VIA = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*[A-Za-z]+\s+(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?:\s*:\s*(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_CSEQ = re.compile(r"(?P<number>[0-9]{1,10})[ \t]+(?P<method>\S+)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Address = tuple[str, int]
"""IP address and port."""

Headers = dict[str, list[str]]
"""Values by name in lower case, in order."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an answer repeats, and where it goes.

    Attributes
    ----------
    method : str
        Method of the request.
    vias : tuple of str
        Via values from the top, the first completed with ``received`` and ``rport``.
    sender, receiver : str
        From and To as they came; empty when they were missing.
    call_id, cseq : str
        As they came.
    destination : Address
        Where the answer goes.
    transaction : tuple of str
        Equal for retransmissions of one request, and for nothing else (RFC 3261 section 17.2.3; Call-ID and CSeq
        are in it for clients that repeat a branch).
    """

    method: str
    vias: tuple[str, ...]
    sender: str
    receiver: str
    call_id: str
    cseq: str
    destination: Address
    transaction: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request with sound mandatory headers.

    Attributes
    ----------
    envelope : Envelope
    aor : str
        Address of record: user and host of the From URI, as in Flexisip.
    cseq : int
        Number of the CSeq.
    headers : Headers
    """

    envelope: Envelope
    aor: str
    cseq: int
    headers: Headers = field(repr=False)

    @property
    def method(self) -> str:
        """Method of the request."""
        return self.envelope.method


class Rejected(Exception):
    """A datagram that is no request we could serve.

    Parameters
    ----------
    status : int
        SIP status of the answer.
    why : str
        Says what is wrong; becomes the reason phrase where the status is 400.
    envelope : Envelope or None
        None when there is to be no answer.
    """

    def __init__(self, status: int, why: str, envelope: Envelope | None = None) -> None:
        super().__init__(f"{status} {why}")
        self.status, self.why, self.envelope = status, why, envelope

    def answer(self) -> bytes:
        """The answer; only where there is an envelope."""
        assert self.envelope, "nothing that an answer could repeat"
        return answer(self.envelope, self.status, f"Bad Request: {self.why}" if self.status == 400 else "")


def read(data: bytes, source: Address) -> Request:
    """Read a datagram.

    Parameters
    ----------
    data : bytes
    source : Address
        Where it came from.

    Raises
    ------
    Rejected
        It is no request that could be served; the error knows the answer, if there is to be any.
    """
    head, end, body = data[:MAX_BYTES].partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(_text(first) or "")
    if line is None:
        raise Rejected(400, "no SIP request line")
    headers, faults = _read_headers(lines)
    envelope = _read_envelope(line["method"], headers, source)
    if envelope is None or line["method"] == "ACK":  # an ACK is never answered
        raise Rejected(400, "no Via, Call-ID or CSeq that an answer could repeat")
    if len(data) > MAX_BYTES:
        raise Rejected(513, "message too large", envelope)
    if line["version"] != "2.0":
        raise Rejected(505, "version not supported", envelope)
    if not end:
        faults.append("headers do not end")
    faults += _body_faults(headers, body)
    if faults:
        raise Rejected(400, faults[0], envelope)
    return _sound(envelope, headers)


def required(request: Request) -> set[str]:
    """SIP extensions that a request requires."""
    return {option.lower() for option in _listed(request.headers, "require", request.envelope)}


def registration(request: Request, own_path: str) -> Registration:
    """What a REGISTER asks for.

    Parameters
    ----------
    request : Request
    own_path : str
        URI under which this node is reached by its peers; becomes the first hop of the Path.

    Raises
    ------
    Rejected
        400: Contact, Expires or Path cannot be read or contradict each other.
    """
    headers, envelope = request.headers, request.envelope
    expires = headers.get("expires", [""])[0]
    contacts = _listed(headers, "contact", envelope)
    clears = "*" in contacts
    if clears and (len(contacts) > 1 or expires != "0"):
        # RFC 3261 section 10.3, step 6
        raise Rejected(400, "Contact * needs Expires 0 and no other Contact", envelope)
    paths = _addresses(_listed(headers, "path", envelope), "Path", envelope)
    return Registration(
        aor=request.aor,
        call_id=envelope.call_id,
        cseq=request.cseq,
        contacts=() if clears else _addresses(contacts, "Contact", envelope),
        clears=clears,
        expires_s=_expires_s(expires),
        path=(own_path, *(path.uri for path in paths)),
        accept=",".join(_listed(headers, "accept", envelope)),
        user_agent=headers.get("user-agent", [""])[0],
    )


def answer(envelope: Envelope, status: int, reason: str = "", *extra: tuple[str, str]) -> bytes:
    """Build an answer.

    Parameters
    ----------
    envelope : Envelope
        Of the request.
    status : int
    reason : str
        Reason phrase; empty for the usual one.
    *extra : (str, str)
        Further headers in order.
    """
    response = sipmessage.Response(status, reason or REASONS[status])
    headers = response.headers
    for via in envelope.vias:
        headers.add("Via", via)
    if envelope.sender:
        headers.add("From", envelope.sender)
    if envelope.receiver:
        headers.add("To", _tagged(envelope.receiver))
    headers.add("Call-ID", envelope.call_id)
    headers.add("CSeq", envelope.cseq)
    for name, value in extra:
        headers.add(name, value)
    headers.add("Content-Length", "0")
    return bytes(response)


def date_header() -> tuple[str, str]:
    """The Date that an answer to REGISTER should have (RFC 3261 section 10.3, step 8)."""
    return "Date", formatdate(usegmt=True)


def _read_headers(lines: list[bytes]) -> tuple[Headers, list[str]]:
    """Headers by name, and what is wrong with other lines."""
    headers: Headers = {}
    faults: list[str] = []
    for line in _unfold(lines):
        text = _text(line)
        name, colon, value = (text or "").partition(":")
        name = name.rstrip(" \t").lower()
        if not colon or not name:
            faults.append("a header line cannot be read")
            continue
        headers.setdefault(_COMPACT.get(name, name), []).append(value.strip(" \t"))
    return headers, faults


def _unfold(lines: list[bytes]) -> list[bytes]:
    """Join lines that begin with white space to the one before (RFC 3261 section 7.3.1)."""
    unfolded: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1].append(line.strip(b" \t"))
        else:
            unfolded.append([line])
    return [b" ".join(parts) for parts in unfolded]


def _text(line: bytes) -> str | None:
    """The line as text; None when it is not UTF-8 or has control characters, which an answer must never repeat."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _read_envelope(method: str, headers: Headers, source: Address) -> Envelope | None:
    call_id, cseq = (headers.get(name, [""])[0] for name in ("call-id", "cseq"))
    try:
        vias = [via for value in headers.get("via", []) for via in split(value, ",")]
        top, destination, key = _complete(vias[0], source)
    except (ValueError, IndexError):
        return None
    if not call_id or not cseq:
        return None
    return Envelope(
        method=method,
        vias=(top, *vias[1:]),
        sender=headers.get("from", [""])[0],
        receiver=headers.get("to", [""])[0],
        call_id=call_id,
        cseq=cseq,
        destination=destination,
        transaction=(*key, method, call_id, cseq),
    )


def _complete(via: str, source: Address) -> tuple[str, Address, tuple[str, str]]:
    """The top Via with ``received`` and ``rport`` filled in, where the answer goes, and branch and sent-by.

    RFC 3261 sections 18.2.1 and 18.2.2, RFC 3581 section 4.
    """
    sent_by, *rest = split(via, ";")
    match = _VIA.fullmatch(sent_by)
    if match is None:
        raise ValueError("not a Via")
    port = int(match["port"] or DEFAULT_PORT)
    if not 0 < port < 65_536:
        raise ValueError("no such port")
    given = read_parameters(rest)
    parameters = tuple(pair for pair in given if pair[0].lower() not in ("received", "rport"))
    wants_rport = find(given, "rport") is not None
    if wants_rport:
        port = source[1]
        parameters += (("rport", str(port)),)
    if wants_rport or match["host"].strip("[]").lower() != source[0]:
        parameters += (("received", source[0]),)
    branch = find(given, "branch") or ""
    return sent_by + write_parameters(parameters), (source[0], port), (branch, sent_by)


def _body_faults(headers: Headers, body: bytes) -> list[str]:
    """What is wrong with Content-Length. A datagram may be longer than it says (RFC 3261 section 18.3)."""
    lengths = headers.get("content-length", [])
    if not lengths:
        return []
    if not (lengths[0].isascii() and lengths[0].isdigit()) or len(lengths[0]) > 9:
        return ["Content-Length is no number"]
    return ["body shorter than Content-Length"] if len(body) < int(lengths[0]) else []


def _sound(envelope: Envelope, headers: Headers) -> Request:
    """Check what every request must have (RFC 3261 section 8.1.1), and read it."""
    match = _CSEQ.fullmatch(envelope.cseq)
    if match is None or int(match["number"]) > MAX_CSEQ or match["method"] != envelope.method:
        raise Rejected(400, "CSeq", envelope)
    for name in ("from", "to", "call-id", "cseq"):
        if len(headers.get(name, [])) != 1:
            raise Rejected(400, f"needs exactly one {name}", envelope)
    (sender,) = _addresses([envelope.sender], "From", envelope)
    _addresses([envelope.receiver], "To", envelope)
    return Request(envelope, address_of_record(sender.uri), int(match["number"]), headers)


def _listed(headers: Headers, name: str, envelope: Envelope) -> list[str]:
    """All values of a header that may have several, in lines of their own or behind commas."""
    try:
        return [value for line in headers.get(name, []) for value in split(line, ",") if value]
    except ValueError:
        raise Rejected(400, name.title(), envelope) from None


def _addresses(values: list[str], name: str, envelope: Envelope) -> tuple[NameAddr, ...]:
    try:
        return tuple(NameAddr.read(value) for value in values)
    except ValueError:
        raise Rejected(400, name, envelope) from None


def _expires_s(text: str) -> int | None:
    """Seconds of an Expires header; one that cannot be read counts as absent."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _tagged(receiver: str) -> str:
    """To with a tag (RFC 3261 section 8.2.6.2)."""
    try:
        tag = NameAddr.read(receiver).parameter("tag")
    except ValueError:
        tag = None
    return receiver if tag else f"{receiver};tag={secrets.token_hex(8)}"
