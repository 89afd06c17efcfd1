"""What a proxy makes of a request: where it goes, and how it looks then."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from reference_node.node import proxy as proxies
from reference_node.node.proxy import Proxy, RouterSettings, Target, forwarded, hops_left, loop_mark, new_branch, where
from reference_node.sip import message as sip
from reference_node.sip.transports import Point

UDP = Point("udp", "host1.example.org", "10.0.0.1", 5060)
TLS = Point("tls", "host1.example.org", "10.0.0.1", 5061)


def request(*lines: str, method: str = "INVITE") -> sip.Request:
    head = (
        f"{method} sip:bob@example.org SIP/2.0",
        "Via: SIP/2.0/UDP pc:5070;branch=z9hG4bK1",
        "v: SIP/2.0/UDP outer;branch=z9hG4bK0",
        "From: <sip:alice@example.org>;tag=a",
        "To: <sip:bob@example.org>",
        "Call-ID: c",
        f"CSeq: 1 {method}",
        *lines,
        "l: 3",
    )
    return sip.read(("\r\n".join(head) + "\r\n\r\nabc").encode(), ("192.0.2.9", 40_000))


@pytest.mark.parametrize(
    ("uri", "goes"),
    [
        ("sip:a@192.0.2.1", ("udp", "192.0.2.1", 5060)),
        ("sip:a@192.0.2.1:5070;transport=TCP", ("tcp", "192.0.2.1", 5070)),
        ("sips:a@h", ("tls", "h", 5061)),
        ("sip:a@h;transport=tls", ("tls", "h", 5061)),
        ("sip:a@[2001:db8::1]:99;lr", ("udp", "2001:db8::1", 99)),
    ],
)
def test_a_uri_says_where_it_goes(uri: str, goes: tuple):
    assert where(uri) == goes


@pytest.mark.parametrize("port", [0, 65_536, 99_999])
def test_a_port_that_does_not_exist_is_unreachable(port: int):
    with pytest.raises(OSError, match="no such port"):
        where(f"sip:a@192.0.2.1:{port}")


@pytest.mark.parametrize(
    ("lines", "left"),
    [((), 71), (("Max-Forwards: 0",), 0), (("Max-Forwards: 0068",), 68), (("Max-Forwards: x",), None),
     (("Max-Forwards: -1",), None), (("Max-Forwards: \u0663",), None)],
)  # fmt: skip
def test_the_hops_that_are_left_are_read(lines: tuple[str, ...], left: int | None):
    assert hops_left(request(*lines)) == left


def test_a_request_is_passed_on_as_the_standard_says():
    """RFC 3261 section 16.6: Via and Record-Route on top, one hop less, the Routes of the target."""
    original = request(
        "Max-Forwards: 9", "Route: <sip:host1.example.org;lr>", "X-Odd:  kept ", "Record-Route: <sip:r;lr>"
    )
    target = Target("sip:bob@192.0.2.1", ("sip:10.0.0.2;lr",))
    lines = forwarded(original, target, TLS, UDP, "z9hG4bKnew").decode().split("\r\n")
    assert lines == [
        "INVITE sip:bob@192.0.2.1 SIP/2.0",
        "Via: SIP/2.0/TLS host1.example.org:5061;rport;branch=z9hG4bKnew",
        "Via: SIP/2.0/UDP pc:5070;branch=z9hG4bK1;received=192.0.2.9",
        "Via: SIP/2.0/UDP outer;branch=z9hG4bK0",
        "Record-Route: <sips:host1.example.org:5061;lr>",
        "Record-Route: <sip:host1.example.org:5060;transport=udp;lr>",
        "Route: <sip:10.0.0.2;lr>",
        "Max-Forwards: 8",
        "From: <sip:alice@example.org>;tag=a",
        "To: <sip:bob@example.org>",
        "Call-ID: c",
        "CSeq: 1 INVITE",
        "X-Odd: kept",
        "Record-Route: <sip:r;lr>",
        "Content-Length: 3",
        "",
        "abc",
    ]


def test_a_message_gets_no_record_route():
    assert b"Record-Route" not in forwarded(request(method="MESSAGE"), Target("sip:b@h"), UDP, UDP, "z9hG4bKn")


def test_a_branch_is_new_each_time_and_shows_whether_the_request_is_the_same():
    one, other = request(), request("Route: <sip:h;lr>")
    first, second = new_branch(one), new_branch(one)
    assert first != second and first.endswith(loop_mark(one)) and second.endswith(loop_mark(one))
    assert loop_mark(one) != loop_mark(other)


def test_a_full_proxy_refuses_without_keeping_anything(monkeypatch):
    told = []
    core = SimpleNamespace(finish=lambda envelope, flow, status, answer: told.append((status, answer)))
    monkeypatch.setattr(proxies, "MAX_TRANSACTIONS", 0)
    proxy = Proxy(core, RouterSettings())
    proxy.forward(request(), SimpleNamespace(peer=("192.0.2.9", 1)))
    ((status, answer),) = told
    assert (status, proxy.n_open, b"Retry-After: 5" in answer) == (503, 0, True)
