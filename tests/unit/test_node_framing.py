"""Messages are cut from a stream wherever the network cuts it, and a stream that cannot be read on is given up."""

from __future__ import annotations

import pytest

from reference_node.sip.framing import PING, Framer, Unframed
from reference_node.sip.message import MAX_BYTES, MAX_HEAD_BYTES


def message(body: bytes = b"", length: str | None = None) -> bytes:
    given = str(len(body)) if length is None else length
    return f"OPTIONS sip:h SIP/2.0\r\nCSeq: 1 OPTIONS\r\nContent-Length: {given}\r\n\r\n".encode() + body


@pytest.mark.parametrize("name", ["Content-Length: ", "content-length:", "l: ", "L :", "Content-Length:\r\n "])
def test_a_message_is_as_long_as_its_content_length_says(name: str):
    data = message(b"abc\r\n\r\n").replace(b"Content-Length: ", name.encode())
    assert list(Framer().feed(data + data)) == [data, data]


def test_line_ends_between_messages_are_passed_over_and_two_are_a_keep_alive():
    assert list(Framer().feed(b"\r\n" + message())) == [message()]
    assert list(Framer().feed(b"\r\n\r\n" + message() + b"\r\n\r\n")) == [PING, message(), PING]


def test_a_stream_is_inside_a_message_only_once_it_has_begun():
    framer = Framer()
    assert list(framer.feed(b"\r\n")) == [] and not framer.is_inside
    assert list(framer.feed(b"O")) == [] and framer.is_inside
    assert list(framer.feed(message()[1:])) == [message()] and not framer.is_inside


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"OPTIONS sip:h SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n", 400),
        (message(length="-1"), 400),
        (message(length="1x"), 400),
        (message(length=""), 400),
        (message(length="9999999999"), 400),
        (message(length="1").replace(b"CSeq", b"l: 2\r\nCSeq"), 400),
        (message(length=str(MAX_BYTES)), 513),
        (b"x" * (MAX_HEAD_BYTES + 1), 513),
        (b"x" * MAX_HEAD_BYTES + message(), 513),
        (b"\x00" * 20_000, 513),
    ],
)
def test_a_stream_that_cannot_be_read_on_says_why(data: bytes, status: int):
    with pytest.raises(Unframed) as error:
        list(Framer().feed(data))
    assert error.value.status == status
    assert len(error.value.head) <= MAX_HEAD_BYTES


def test_what_came_before_the_fault_is_served():
    served = []
    with pytest.raises(Unframed):
        for each in Framer().feed(message() + message(length="x")):
            served.append(each)
    assert served == [message()]


def test_a_head_of_the_greatest_length_passes():
    head = message()
    padded = head.replace(b"CSeq", b"Junk: " + b"y" * (MAX_HEAD_BYTES - len(head) - 4) + b"\r\nCSeq")
    assert len(padded) - 4 <= MAX_HEAD_BYTES
    assert list(Framer().feed(padded)) == [padded]


def test_a_stream_may_be_cut_anywhere():
    data = b"\r\n" + message(b"ab") + b"\r\n\r\n" + message()
    for cut in range(len(data) + 1):
        framer = Framer()
        assert [*framer.feed(data[:cut]), *framer.feed(data[cut:])] == [message(b"ab"), PING, message()], cut


def test_a_stream_may_come_byte_by_byte():
    framer = Framer()
    data = message(b"ab") + b"\r\n\r\n" + message()
    assert [each for at in range(len(data)) for each in framer.feed(data[at : at + 1])] == [
        message(b"ab"), PING, message(),
    ]  # fmt: skip
