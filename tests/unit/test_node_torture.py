"""RFC 4475: what is allowed is read, what is not is refused or dropped, and nothing breaks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reference_node.node.registering import registration
from reference_node.sip import message as sip
from reference_node.sip.framing import Framer, Unframed

DATA = Path(__file__).parents[1] / "data" / "sip_torture.txt"
SOURCE = ("192.0.2.9", 40_000)


def messages() -> list:
    """Name, bytes and what may come of it, of each message of the file."""
    text = re.sub(r"\A(#.*\n)+", "", DATA.read_text(encoding="utf-8"))
    found = []
    for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        name, verdicts, _ = (word.strip() for word in title.split("|"))
        head, _, rest = body.rstrip("\n").partition("\n\n")
        lines = head.replace("\n", "\r\n") + "\r\n\r\n" + rest.replace("\n", "\r\n")
        data = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), lines.encode())
        found.append(pytest.param(data, verdicts.split(), id=name))
    return found


def verdict(data: bytes) -> str:
    """What comes of a datagram."""
    if sip.is_response(data):
        return "read" if sip.read_response(data) else "drop"
    try:
        request = sip.read(data, SOURCE)
        sip.required(request)
        if request.method == "REGISTER":
            registration(request, "sip:me;lr")
        return "read"
    except sip.Rejected as rejected:
        return str(rejected.status) if rejected.envelope else "drop"


def test_the_file_holds_all_of_the_rfcs_messages():
    assert len(messages()) == 49 + 1  # one in two versions


@pytest.mark.parametrize(("data", "verdicts"), messages())
def test_a_datagram_of_the_torture_test_is_met_as_the_rfc_says(data: bytes, verdicts: list[str]):
    assert verdict(data) in verdicts


@pytest.mark.parametrize(("data", "verdicts"), messages())
def test_over_a_stream_it_is_framed_or_given_up_but_never_misread(data: bytes, verdicts: list[str]):
    framer = Framer()
    try:
        cut = list(framer.feed(data + data))
    except Unframed as error:
        assert error.status in (400, 513)
        return
    assert all(verdict(message) in [*verdicts, "400", "drop"] for message in cut if message.strip())


def test_the_odd_message_is_read_for_what_it_says():
    (data,) = [param.values[0] for param in messages() if param.id == "wsinv"]
    request = sip.read(data, SOURCE)
    assert (request.cseq, request.envelope.call_id, request.receiver.parameter("tag")) == (11, "ws1 @192.0.2.5", "771q")
    assert request.headers["max-forwards"] == ["0070"] and request.body == b"v=0"[: len(request.body)]
    assert [via.split()[-1] for via in request.envelope.vias[1:]] != []
    assert request.uris("route") == ["sip:edge.example.org;lr;a=b;c"]
