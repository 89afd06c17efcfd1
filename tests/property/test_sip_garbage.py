"""Whatever the network brings, reading it ends in a request, an answer or silence."""

from __future__ import annotations

import sipmessage
from hypothesis import example, given
from hypothesis import strategies as st

from reference_node.node.bindings import NameAddr
from reference_node.node.registering import registration
from reference_node.sip import message as sip

SOURCE = ("192.0.2.9", 40_000)

GOOD = (
    b"REGISTER sip:example.org SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP pc33.example.net:5070;branch=z9hG4bKone;rport\r\n"
    b'From: "A. Lice" <sip:alice@example.org>;tag=a\r\n'
    b"To: <sip:alice@example.org>\r\n"
    b"Call-ID: c1@pc33\r\n"
    b"CSeq: 7 REGISTER\r\n"
    b'Contact: <sip:alice@pc33:5070>;+sip.instance="<urn:uuid:1>", "x" <sip:b@c>;expires=4\r\n'
    b"Path: <sip:p;lr>\r\nExpires: 60\r\nAccept: text/plain\r\nUser-Agent: x\r\nContent-Length: 0\r\n\r\n"
)

# Pieces that parsers trip over, next to plain bytes.
pieces = st.sampled_from(
    [b'"', b"<", b">", b";", b"=", b",", b"*", b"%", b"\\", b"\r\n", b"\r\n\r\n", b"\n", b"\x00", b" ", b"@", b"\xff"]
    + [b";self=1", b"sip:", b"\xc2\x85", b"\xe2\x80\xa8", b"9" * 5000, b"Via: ", b"CSeq: 1 ACK", "٣".encode(), b"[::1]"]
)  # fmt: skip


@st.composite
def damaged(draw) -> bytes:
    data = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 30))] = draw(pieces | st.binary(max_size=4))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


def serve(data: bytes) -> bytes | None:
    """What the node would answer, as far as it does not concern Redis."""
    try:
        request = sip.read(data, SOURCE)
        sip.required(request)
        asked = registration(request, "sip:me;lr")
        for contact in asked.contacts:
            assert NameAddr.read(str(contact)) == contact
            asked.lifetime_s(contact)
        return sip.answer(request.envelope, 200)
    except sip.Rejected as rejected:
        if rejected.envelope is None:
            return None
        assert rejected.envelope.destination[0] == SOURCE[0]
        return rejected.answer()


def check(answer: bytes | None) -> None:
    if answer is None:
        return
    head, end, body = answer.partition(b"\r\n\r\n")
    assert end and not body
    assert answer.startswith(b"SIP/2.0 ")
    lines = head.decode().split("\r\n")
    assert all(": " in line and "\n" not in line and "\0" not in line for line in lines[1:])
    assert len(answer) < 2 * sip.MAX_BYTES


def test_the_undamaged_request_is_accepted():
    answer = serve(GOOD)
    assert answer and isinstance(sipmessage.Message.parse(answer), sipmessage.Response)
    assert answer.startswith(b"SIP/2.0 200 ")


@given(st.binary(max_size=500))
@example(b"")
@example(b"\r\n\r\n")
@example(b"\x00" * 65_507)
@example(b"REGISTER sip:a SIP/2.0\r\n" * 2_500)
def test_no_bytes_make_reading_fail(data: bytes):
    check(serve(data))


@given(damaged())
def test_no_damage_makes_reading_fail(data: bytes):
    check(serve(data))


@given(st.integers(0, len(GOOD)))
def test_no_truncation_makes_reading_fail_or_pass_for_whole(length: int):
    answer = serve(GOOD[:length])
    check(answer)
    if length < len(GOOD):
        assert answer is None or answer.startswith(b"SIP/2.0 400 ")
