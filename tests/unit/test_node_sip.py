"""Datagrams to requests and answers, by the clauses of RFC 3261 and RFC 3581."""

from __future__ import annotations

import pytest
import sipmessage

from reference_node.node.registering import registration
from reference_node.sip import message as sip
from reference_node.sip.fields import NameAddr, address_of_record, same_uri, split

SOURCE = ("192.0.2.9", 40_000)

GOOD = {
    "Via": "SIP/2.0/UDP pc33.example.net:5070;branch=z9hG4bKone;rport",
    "From": "Alice <sip:alice@example.org>;tag=a",
    "To": "<sip:alice@example.org>",
    "Call-ID": "c1",
    "CSeq": "7 REGISTER",
    "Contact": "<sip:alice@phone7:5070>",
}


def datagram(line: str = "REGISTER sip:example.org SIP/2.0", body: str = "", **changes: str | None) -> bytes:
    """A good REGISTER with some headers changed, added, or (None) left out; ``_`` stands for ``-`` in names."""
    headers = dict(GOOD)
    for name, value in changes.items():
        headers[name.replace("_", "-")] = value  # type: ignore[assignment]
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def rejected(data: bytes) -> sip.Rejected:
    with pytest.raises(sip.Rejected) as caught:
        request = sip.read(data, SOURCE)
        registration(request, "sip:me;lr")
    return caught.value


def parsed_answer(data: bytes, source: tuple[str, int] = SOURCE) -> tuple[sipmessage.Response, sip.Envelope]:
    envelope = sip.read(data, source).envelope
    response = sipmessage.Message.parse(sip.answer(envelope, 200))
    assert isinstance(response, sipmessage.Response)
    return response, envelope


def test_a_register_is_read_whole():
    request = sip.read(datagram(Expires="60", User_Agent="P/1", Accept="text/plain, application/sdp"), SOURCE)
    asked = registration(request, "sip:me;lr")
    assert (asked.aor, asked.call_id, asked.cseq, asked.expires_s) == ("alice@example.org", "c1", 7, 60)
    assert (asked.accept, asked.user_agent) == ("text/plain,application/sdp", "P/1")
    assert asked.contacts == (NameAddr("", "sip:alice@phone7:5070"),)
    assert asked.path == ("sip:me;lr",)


def test_the_own_path_comes_before_those_of_the_request():
    request = sip.read(datagram(Path="<sip:p1;lr>, <sip:p2;lr>"), SOURCE)
    assert registration(request, "sip:me;lr").path == ("sip:me;lr", "sip:p1;lr", "sip:p2;lr")


def test_compact_names_folded_lines_and_spaces_before_the_colon_are_read():
    data = (
        b"REGISTER sip:example.org SIP/2.0\r\nv : SIP/2.0/UDP h;branch=z9hG4bK1\r\nf:<sip:a@b>\r\nt:<sip:a@b>\r\n"
        b"i:\r\n c1\r\ncseq: 1\r\n\tREGISTER\r\nm: <sip:a@h>,\r\n  <sip:a@g>\r\nl: 0\r\n\r\n"
    )
    request = sip.read(data, SOURCE)
    assert request.envelope.call_id == "c1"
    assert len(registration(request, "sip:me").contacts) == 2


def test_a_register_without_contact_is_a_query():
    assert registration(sip.read(datagram(Contact=None), SOURCE), "sip:me").is_query


# Answers.


def test_an_answer_repeats_via_from_call_id_and_cseq_and_tags_to():
    response, _ = parsed_answer(datagram())
    headers = response.headers
    assert (headers.get("From"), headers.get("Call-ID"), headers.get("CSeq")) == (
        GOOD["From"], GOOD["Call-ID"], GOOD["CSeq"],
    )  # fmt: skip
    assert headers["To"].startswith(GOOD["To"] + ";tag=")
    assert headers.get("Content-Length") == "0"


def test_a_tag_of_the_request_stays():
    response, _ = parsed_answer(datagram(To="<sip:alice@example.org>;tag=x"))
    assert response.headers.get("To") == "<sip:alice@example.org>;tag=x"


def test_rport_is_answered_with_the_source_port_and_address():
    """RFC 3581 section 4."""
    response, envelope = parsed_answer(datagram())
    top = response.via[0]
    assert (top.parameters["rport"], top.parameters["received"]) == ("40000", "192.0.2.9")
    assert envelope.destination == SOURCE


def test_without_rport_the_answer_goes_to_the_port_of_the_via():
    """RFC 3261 section 18.2.2."""
    response, envelope = parsed_answer(datagram(Via="SIP/2.0/UDP pc33.example.net:5070;branch=z9hG4bK1"))
    assert envelope.destination == ("192.0.2.9", 5070)
    assert response.via[0].parameters["received"] == "192.0.2.9"
    _, envelope = parsed_answer(datagram(Via="SIP/2.0/UDP pc33.example.net;branch=z9hG4bK1"))
    assert envelope.destination == ("192.0.2.9", 5060)


def test_received_is_left_out_where_the_via_tells_the_truth():
    """RFC 3261 section 18.2.1."""
    response, _ = parsed_answer(datagram(Via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1"))
    assert "received" not in response.via[0].parameters


def test_a_forged_received_or_maddr_does_not_send_the_answer_elsewhere():
    _, envelope = parsed_answer(datagram(Via="SIP/2.0/UDP 198.51.100.1:1;received=203.0.113.5;maddr=203.0.113.6"))
    assert envelope.destination[0] == SOURCE[0]
    assert "203.0.113.5" not in envelope.vias[0]


def test_further_vias_stay_as_they_are_below_the_top_one():
    response, _ = parsed_answer(datagram(Via="SIP/2.0/UDP p1;branch=z9hG4bK+1, SIP/2.0/UDP phone:9;x=%41"))
    assert response.headers.getlist("Via")[1] == "SIP/2.0/UDP phone:9;x=%41"
    assert "branch=z9hG4bK+1" in response.headers.getlist("Via")[0]


def test_retransmissions_have_one_transaction_and_others_another():
    first, again = (sip.read(datagram(), SOURCE).envelope.transaction for _ in range(2))
    other = sip.read(datagram(Via="SIP/2.0/UDP pc33.example.net:5070;branch=z9hG4bKtwo"), SOURCE).envelope.transaction
    assert first == again != other


# Refusals.


@pytest.mark.parametrize(
    "changes",
    [
        {"From": None},
        {"To": None},
        {"From": "nobody"},
        {"To": "<tel:+1>"},
        {"CSeq": "7 OPTIONS"},
        {"CSeq": "2147483648 REGISTER"},
        {"CSeq": "x REGISTER"},
        {"Contact": "<sip:a@b"},
        {"Contact": "<http://a>"},
        {"Contact": "*"},
        {"Contact": "*", "Expires": "60"},
        {"Contact": "*, <sip:a@b>", "Expires": "0"},
        {"Path": "<nowhere>"},
        {"Content_Length": "1"},
        {"Content_Length": "-1"},
        {"Content_Length": "9" * 5000},
        {"Junk": "a\x01b"},
        {"Junk": "a\nVia: b"},
        {"Self": None, "From": "<sip:a@b>;tag=1\x00"},
    ],
    ids=str,
)
def test_a_request_that_is_unsound_gets_400(changes: dict[str, str | None]):
    error = rejected(datagram(**changes))
    assert error.status == 400
    assert error.envelope
    assert error.answer().startswith(b"SIP/2.0 400 Bad Request")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x00" * 4,
        b"\xff" * 100,
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n",
        datagram(Via=None),
        datagram(Via="nonsense"),
        datagram(Via="SIP/2.0/UDP h:0"),
        datagram(Via="SIP/2.0/UDP h:99999"),
        datagram(Via='SIP/2.0/UDP h;a="'),
        datagram(Call_ID=None),
        datagram(CSeq=None),
        datagram(Call_ID="a\x00b"),
        datagram("ACK sip:example.org SIP/2.0", CSeq="8 REGISTER"),
        datagram("ACK sip:example.org SIP/2.0", CSeq="7 ACK", From=None),
    ],
)
def test_what_no_answer_could_match_is_met_with_silence(data: bytes):
    assert rejected(data).envelope is None


def test_the_headers_that_came_through_are_enough_for_a_400_to_a_truncated_datagram():
    assert rejected(datagram().removesuffix(b"\r\n\r\n")).status == 400


def test_a_datagram_longer_than_content_length_is_read_and_its_tail_dropped():
    """RFC 3261 section 18.3."""
    assert sip.read(datagram(body="xyz" * 100, Content_Length="3"), SOURCE).aor == "alice@example.org"


def test_a_request_that_is_too_large_gets_513():
    assert rejected(datagram(body="x" * 60_000)).status == 513
    assert rejected(datagram(Junk="x" * 60_000)).status == 513


def test_another_version_gets_505():
    assert rejected(datagram("REGISTER sip:example.org SIP/3.0")).status == 505


@pytest.mark.parametrize("text", ["soon", "-1", "99999999999", ""])
def test_an_expires_that_cannot_be_read_counts_as_absent(text: str):
    assert registration(sip.read(datagram(Expires=text), SOURCE), "sip:me").expires_s is None


# Field values.


def test_split_leaves_quotes_and_brackets_whole():
    assert split(r'a, "b,\",c" , <d,e>;f,', ",") == ["a", r'"b,\",c"', "<d,e>;f", ""]


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("sip:Alice@EXAMPLE.org:5060;transport=tcp", "Alice@example.org"),
        ("sip:%61lice:pw@h", "alice@h"),
        ("sip:a%2fb@h", "a%2Fb@h"),
        ("sips:h", "h"),
    ],
)
def test_the_address_of_record_is_user_and_host(uri: str, aor: str):
    assert address_of_record(uri) == aor


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        # From the lists of RFC 3261 section 19.1.4, with other names.
        ("sip:%62ob@h.example;transport=TCP", "sip:bob@H.example;Transport=tcp", True),
        ("sip:bob@h;newparam=5", "sip:bob@h;security=on", True),
        ("SIP:bob@h", "sip:Bob@h", False),
        ("sip:bob@h", "sip:bob@h:5060", False),
        ("sip:bob@h", "sip:bob@h;transport=udp", False),
        ("sip:bob@h;security=on", "sip:bob@h;security=off", False),
    ],
)
def test_uris_are_compared_as_the_standard_says(one: str, other: str, equal: bool):
    assert same_uri(one, other) is same_uri(other, one) is equal
