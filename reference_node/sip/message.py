"""Messages to requests, responses and back: what the node needs of SIP, without a socket.

Whatever arrives ends in one of three ways: a `Request` whose mandatory headers are sound; a `Rejected` with a status,
when at least as much can be read as an answer must repeat (Via, Call-ID, CSeq); or a `Rejected` without an envelope,
which stays unanswered. Nothing else is raised, whatever the bytes.

Header lines are taken apart here, because a library gives up the whole message for one bad line; because an answer
repeats Via, From, To, Call-ID and CSeq byte by byte; and because a node reads thousands a second: a message that is
as it should be takes one decode, one search for control characters and one partition for each line.

Left out: ``maddr`` and multicast in Via (an answer only ever goes back to the address that the request came from, so
that the node cannot be used to flood a third), URIs in From and To other than ``sip`` and ``sips``, WebSocket.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache

from reference_node.sip.fields import (
    NameAddr,
    address_of_record,
    find,
    match_uri,
    read_parameters,
    split,
    write_parameters,
)

MAX_HEAD_BYTES = 8_192
"""Longest start line and headers; longer ones are answered 513. A REGISTER with 12 contacts has 3 KB. Kind: assumed."""

MAX_BYTES = 32_768
"""Longest message that is looked at; longer ones are answered 513.
Kind: assumed (RFC 3261 section 18.1.1 lets datagrams have up to 65,535 bytes; an INVITE with SDP has 2 to 4 KB)."""

DEFAULT_PORT = 5060
"""Port of a Via that names none. Source: RFC 3261 section 19.1.2. Kind: specified."""

DEFAULT_TLS_PORT = 5061
"""The same for TLS. Source: RFC 3261 section 19.1.2. Kind: specified."""

MAX_CSEQ = 2**31 - 1
"""Largest number of a CSeq. Source: RFC 3261 section 8.1.1.5 (less than 2**31). Kind: specified."""

MAX_FORWARDS = 70
"""Hops of a request that names none. Source: RFC 3261 section 16.6, step 3. Kind: recommended."""

COOKIE = "z9hG4bK"
"""How branches begin. Source: RFC 3261 section 8.1.1.7. Kind: specified."""

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO, REFER, UPDATE, PRACK"
"""What this node serves or passes on."""

REASONS = {
    100: "Trying",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    487: "Request Terminated",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "Version Not Supported",
    513: "Message Too Large",
}
"""Reason phrases. Source: RFC 3261 section 21. Kind: specified."""

_COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "o": "event", "r": "refer-to", "s": "subject", "t": "to",
    "u": "allow-events", "v": "via", "x": "session-expires",
}  # fmt: skip
"""Compact names of headers. Source: IANA registry of SIP header fields. Kind: specified."""

_SINGLE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length")
"""Headers that must not come twice."""

_METHOD = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", re.ASCII)
_STATUS_LINE = re.compile(r"SIP/2\.0 (?P<status>[1-6][0-9]{2})(?: (?P<reason>.*))?", re.ASCII | re.IGNORECASE)
_VIA = re.compile(
    r"[sS][iI][pP]\s*/\s*[0-9.]+\s*/\s*[A-Za-z0-9.!%*_+`'~-]+\s+"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?:\s*:\s*(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_CSEQ = re.compile(r"(?P<number>[0-9]{1,10})[ \t]+(?P<method>\S+)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Address = tuple[str, int]
"""IP address and port."""

Headers = dict[str, list[str]]
"""Values by name in lower case, in order."""

Fields = list[tuple[str, str, str]]
"""Header lines in order: name in lower case and long form, name as written, value."""

Key = tuple[str, ...]
"""Names a transaction."""


@dataclass(slots=True)  # not frozen: that costs more than reading a header
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
        Where the answer goes when the connection that the request came on is none or is gone.
    transaction : tuple of str
        Equal for retransmissions of one request, and for nothing else (RFC 3261 section 17.2.3; Call-ID and CSeq
        are in it for clients that repeat a branch). The last part is the method.
    """

    method: str
    vias: tuple[str, ...]
    sender: str
    receiver: str
    call_id: str
    cseq: str
    destination: Address
    transaction: Key

    @property
    def invitation(self) -> Key:
        """The transaction of the INVITE that an ACK or a CANCEL belongs to."""
        return (*self.transaction[:-1], "INVITE")


@dataclass(slots=True)
class Request:
    """A request with sound mandatory headers.

    Attributes
    ----------
    envelope : Envelope
    uri : str
        Request-URI.
    sender, receiver : NameAddr
        From and To.
    cseq : int
        Number of the CSeq.
    headers : Headers
    fields : Fields
    body : bytes
    """

    envelope: Envelope
    uri: str
    sender: NameAddr
    receiver: NameAddr
    cseq: int
    headers: Headers = field(repr=False)
    fields: Fields = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def method(self) -> str:
        """Method of the request."""
        return self.envelope.method

    @property
    def aor(self) -> str:
        """Address of record that a REGISTER is about: user and host of the From URI, as in Flexisip."""
        return address_of_record(self.sender.uri)

    @property
    def in_dialog(self) -> bool:
        """True when the request has a To tag."""
        return bool(self.receiver.parameter("tag"))

    def listed(self, name: str) -> list[str]:
        """All values of a header that may have several, in lines of their own or behind commas.

        Raises
        ------
        Rejected
            400: they cannot be parted.
        """
        return _listed(self.headers, name, self.envelope)

    def uris(self, name: str) -> list[str]:
        """URIs of a header such as Route."""
        return [value.uri for value in addresses(self.listed(name), name.title(), self.envelope)]


@dataclass(frozen=True, slots=True)
class Response:
    """A response, as far as a proxy looks at it.

    Attributes
    ----------
    status : int
    reason : str
    vias : tuple of str
        Via values from the top.
    branch : str
        Of the top one.
    method : str
        Of the CSeq.
    fields : Fields
    body : bytes
    """

    status: int
    reason: str
    vias: tuple[str, ...]
    branch: str
    method: str
    fields: Fields = field(repr=False)
    body: bytes = field(repr=False)


class Rejected(Exception):
    """A message that is no request we could serve.

    Parameters
    ----------
    status : int
        SIP status of the answer.
    why : str
        Says what is wrong; becomes part of the reason phrase where the status is 400.
    envelope : Envelope or None
        None when there is to be no answer.
    *extra : (str, str)
        Further headers of the answer.
    """

    def __init__(self, status: int, why: str, envelope: Envelope | None = None, *extra: tuple[str, str]) -> None:
        super().__init__(f"{status} {why}")
        self.status, self.why, self.envelope, self.extra = status, why, envelope, extra

    def answer(self) -> bytes:
        """The answer; only where there is an envelope."""
        assert self.envelope, "nothing that an answer could repeat"
        reason = f"Bad Request: {self.why}" if self.status == 400 else ""
        return answer(self.envelope, self.status, reason, *self.extra)


def is_response(data: bytes) -> bool:
    """True when a message is a response, if it is anything."""
    return data[:4].upper() == b"SIP/"


def read(data: bytes, source: Address) -> Request:
    """Read a request.

    Parameters
    ----------
    data : bytes
        A datagram, or a message cut from a stream.
    source : Address
        Where it came from.

    Raises
    ------
    Rejected
        It is no request that could be served; the error knows the answer, if there is to be any.
    """
    head, end, body = data[:MAX_BYTES].partition(b"\r\n\r\n")
    first, fields, headers, faults = _read_head(head)
    method, _, rest = first.partition(" ")
    uri, _, version = rest.rpartition(" ")
    if not version.upper().startswith("SIP/") and " SIP/" not in first:
        raise Rejected(400, "no SIP request line")
    if _METHOD.fullmatch(method) is None:
        raise Rejected(400, "no SIP request line")
    envelope = _read_envelope(method, headers, source)
    if envelope is None:
        raise Rejected(400, "no Via, Call-ID or CSeq that an answer could repeat")
    try:
        if len(data) > MAX_BYTES or len(head) > MAX_HEAD_BYTES:
            raise Rejected(513, "message too large", envelope)
        if version.upper() != "SIP/2.0":
            status = 505 if re.fullmatch(r"SIP/[0-9]+\.[0-9]+", version, re.IGNORECASE) else 400
            raise Rejected(status, "version not supported", envelope)
        if not end:
            faults.append("headers do not end")
        faults += _body_faults(headers, body)
        if faults:
            raise Rejected(400, faults[0], envelope)
        return _sound(envelope, uri, headers, fields, _cut(body, headers))
    except Rejected as rejected:
        if method == "ACK":  # an ACK is never answered
            rejected.envelope = None
        raise


def read_response(data: bytes) -> Response | None:
    """Read a response; None when it is none that anybody could wait for."""
    head, end, body = data[:MAX_BYTES].partition(b"\r\n\r\n")
    first, fields, headers, faults = _read_head(head)
    line = _STATUS_LINE.fullmatch(first)
    if line is None or faults or not end or len(data) > MAX_BYTES:
        return None
    cseq = _CSEQ.fullmatch(headers.get("cseq", [""])[0])
    try:
        vias = tuple(via for value in headers.get("via", []) for via in split(value, ",") if via)
        sent_by, *rest = split(vias[0], ";")
        branch = find(read_parameters(rest), "branch") or ""
        NameAddr.read(headers["to"][0])
    except (ValueError, IndexError, KeyError):
        return None
    if cseq is None or int(cseq["number"]) > MAX_CSEQ or _VIA.fullmatch(sent_by) is None or _body_faults(headers, body):
        return None
    body = _cut(body, headers)
    return Response(int(line["status"]), line["reason"] or "", vias, branch, cseq["method"], fields, body)


def required(request: Request, name: str = "require") -> set[str]:
    """SIP extensions that a request requires."""
    return {option.lower() for option in request.listed(name)}


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
    lines = [f"SIP/2.0 {status} {reason or REASONS.get(status, 'Refused')}"]
    lines += [f"Via: {via}" for via in envelope.vias]
    if envelope.sender:
        lines.append(f"From: {envelope.sender}")
    if envelope.receiver:
        lines.append(f"To: {envelope.receiver if status == 100 else _tagged(envelope.receiver)}")
    lines += [f"Call-ID: {envelope.call_id}", f"CSeq: {envelope.cseq}"]
    lines += [f"{name}: {value}" for name, value in extra]
    lines.append("Content-Length: 0\r\n\r\n")
    return "\r\n".join(lines).encode()


def write(first: str, fields: Sequence[tuple[str, str, str]], body: bytes) -> bytes:
    """Put a message together again; Content-Length is written anew."""
    lines = [first, *(f"{written}: {value}" for name, written, value in fields if name != "content-length")]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}\r\n\r\n"]).encode() + body


def date_header() -> tuple[str, str]:
    """The Date that an answer to REGISTER should have (RFC 3261 section 10.3, step 8)."""
    return "Date", _date(int(time.time()))


@lru_cache(maxsize=1)
def _date(now_s: int) -> str:
    return formatdate(now_s, usegmt=True)


def via_parts(via: str) -> tuple[str, str]:
    """Host and port as written, and branch of a Via."""
    sent_by, *rest = split(via, ";")
    return sent_by.split()[-1], find(read_parameters(rest), "branch") or ""


def _read_head(head: bytes) -> tuple[str, Fields, Headers, list[str]]:
    """Start line, header lines, their values by name, and what is wrong with other lines."""
    try:
        text = head.decode()
        is_plain = "\r\n " not in text and "\r\n\t" not in text and not _CONTROL.search(text.replace("\r\n", ""))
    except UnicodeDecodeError:
        is_plain = False
    lines = text.split("\r\n") if is_plain else [_text(line) or "" for line in _unfold(head.split(b"\r\n"))]
    fields: Fields = []
    headers: Headers = {}
    faults: list[str] = []
    for line in lines[1:]:
        written, colon, value = line.partition(":")
        written = written.rstrip(" \t")
        if not colon or not written:
            faults.append("a header line cannot be read")
            continue
        name = written.lower()
        name = _COMPACT.get(name, name)
        value = value.strip(" \t")
        fields.append((name, written, value))
        if name in headers:
            headers[name].append(value)
        else:
            headers[name] = [value]
    return lines[0], fields, headers, faults


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
        transaction=(*key, call_id, cseq.split(None, 1)[0], method),
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


def _cut(body: bytes, headers: Headers) -> bytes:
    """The body as long as Content-Length says."""
    lengths = headers.get("content-length")
    return body[: int(lengths[0])] if lengths else body


def _sound(envelope: Envelope, uri: str, headers: Headers, fields: Fields, body: bytes) -> Request:
    """Check what every request must have (RFC 3261 section 8.1.1), and read it."""
    match = _CSEQ.fullmatch(envelope.cseq)
    if match is None or int(match["number"]) > MAX_CSEQ or match["method"] != envelope.method:
        raise Rejected(400, "CSeq", envelope)
    for name in _SINGLE:
        if len(headers.get(name, ())) != 1 and (name in headers or name in ("from", "to")):
            raise Rejected(400, f"needs exactly one {name}", envelope)
    target = match_uri(uri)
    if target is None:
        known = uri[:4].lower() in ("sip:", "sips") or _SCHEME.fullmatch(uri) is None
        raise Rejected(400 if known else 416, "Request-URI", envelope)
    if target["headers"] is not None:  # RFC 3261 section 19.1.1: not allowed there
        raise Rejected(400, "Request-URI with headers", envelope)
    (sender,) = addresses([envelope.sender], "From", envelope)
    (receiver,) = addresses([envelope.receiver], "To", envelope)
    return Request(envelope, uri, sender, receiver, int(match["number"]), headers, fields, body)


def _listed(headers: Headers, name: str, envelope: Envelope) -> list[str]:
    lines = headers.get(name)
    if lines is None:
        return []
    try:
        return [value for line in lines for value in split(line, ",") if value]
    except ValueError:
        raise Rejected(400, name.title(), envelope) from None


def addresses(values: list[str], name: str, envelope: Envelope) -> tuple[NameAddr, ...]:
    try:
        return tuple([NameAddr.read(value) for value in values])
    except ValueError:
        raise Rejected(400, name, envelope) from None


def _tagged(receiver: str) -> str:
    """To with a tag (RFC 3261 section 8.2.6.2)."""
    tag = None
    if "tag" in receiver.lower():
        with suppress(ValueError):
            tag = NameAddr.read(receiver).parameter("tag")
    return receiver if tag else f"{receiver};tag={secrets.token_hex(8)}"
