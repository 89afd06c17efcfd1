"""The node as registrar and proxy on real sockets: connections, TLS, calls, messages, and a second node.

Nothing is asserted about how long anything takes.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sipmessage
import trustme

from model.errors import EnvironmentLacks
from reference_node.lab.servers import choose

sys.path.insert(0, str(Path(__file__).parent))  # test folders are no packages

from node_lab import Lab, NodeProcess, Phone, Server, wait_for
from ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

MakePhone = Callable[..., Phone]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def running(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[NodeProcess, Server, int]]:
    """A node on UDP, TCP and TLS, its Redis, and its port for TLS."""
    try:
        choose()
    except EnvironmentLacks as lack:
        pytest.skip(str(lack))
    folder = tmp_path_factory.mktemp("proxy")
    certificate = folder / "node.pem"
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    lab = Lab(folder)
    server = lab.server()
    port, tls_port = free_port(), free_port()
    changes = {
        "sip": None,
        "transports": [f"sip:127.0.0.1:{port}", f"sips:localhost:{tls_port};maddr=127.0.0.1"],
        "tls": {"certificate": str(certificate)},
        "router": {"fork_s": 20.0, "group_s": 1.0},
    }
    node = lab.node([server], changes)
    node.port = port
    node.wait_until_writable(server)
    yield node, server, tls_port
    lab.close()


@pytest.fixture
def phone(running: tuple[NodeProcess, Server, int], authority: trustme.CA) -> Iterator[MakePhone]:
    """Makes phones of the running node."""
    made: list[Phone] = []

    def make(user: str, transport: str = "udp") -> Phone:
        node, _, tls_port = running
        context = ssl.create_default_context()
        authority.configure_trust(context)
        port = tls_port if transport == "tls" else node.port
        made.append(Phone(user, port, transport, context if transport == "tls" else None))
        return made[-1]

    yield make
    for each in made:
        each.close()


def invite(caller: Phone, callee: str, **changes: str) -> sipmessage.Request:
    """Send an INVITE; gives it back."""
    headers = (f"Contact: <{caller.contact}>",)
    data = caller.request("INVITE", f"sip:{callee}@example.org", *headers, body=b"v=0\r\n", **changes)
    caller.send(data)
    request = sipmessage.Message.parse(data)
    assert isinstance(request, sipmessage.Request)
    return request


# The registrar over connections.


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_registration_over_a_connection_is_stored_with_its_name_and_path(running, phone, transport):
    node, server, tls_port = running
    ann = phone(f"ann-{transport}", transport)
    answer = ann.register()
    assert (answer.code, "fs-conn-id" in answer.headers["Contact"]) == (200, False)
    (value,) = server.client.hgetall(f"fs:ann-{transport}@example.org").values()
    own = f"sip%3A127.0.0.1%3A{node.port}%3Btransport%3Dtcp%3Blr"
    assert re.search(rb";transport=(tcp|tls);fs-conn-id=[0-9a-f]{16};callid=", value)
    assert (own if transport == "tcp" else f"sips%3Alocalhost%3A{tls_port}%3Blr").encode() in value


def test_only_the_first_contact_carries_the_connection(running, phone):
    _, server, _ = running
    bob = phone("bob2", "tcp")
    bob.register("Contact: <sip:bob2@127.0.0.1:1>;line=1, <sip:bob2@127.0.0.1:2>;line=2")
    values = server.client.hgetall("fs:bob2@example.org")
    assert [b"fs-conn-id" in values[name] for name in (b"1", b"2")] == [True, False]


def test_several_requests_in_one_segment_and_one_in_many_are_served(phone):
    cat = phone("cat", "tcp")
    first = cat.request("OPTIONS", "sip:example.org")
    second = cat.request("OPTIONS", "sip:example.org", body=b"x" * 100)
    cat.send(first + b"\r\n" + second)
    assert [cat.final().code, cat.final().code] == [200, 200]
    for byte in second.replace(b"z9hG4bK", b"z9hG4bKagain"):
        cat.send(bytes([byte]))
    assert cat.final().code == 200


def test_a_keep_alive_is_answered_with_one_line_end(phone):
    dan = phone("dan", "tcp")
    dan.send(b"\r\n\r\n")
    assert dan.socket.recv(100) == b"\r\n"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Content-Length: 0\r\n", b""), b"400"),
        ((b"Content-Length: 0", b"Content-Length: -1"), b"400"),
        ((b"Content-Length: 0", b"Content-Length: 99999999"), b"513"),
        ((b"Max-Forwards: 70", b"Max-Forwards: 70\r\nJunk: " + b"y" * 20_000), b"513"),
    ],
)
def test_a_stream_that_cannot_be_read_on_is_answered_and_closed(phone, change, status):
    eve = phone("eve", "tcp")
    eve.send(eve.request("OPTIONS", "sip:example.org").replace(*change))
    said = b""
    try:
        while data := eve.socket.recv(65_535):
            said += data
    except ConnectionResetError:
        pass  # closed with something of ours unread
    assert said.startswith(b"SIP/2.0 " + status) or (status == b"513" and said == b"")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(running, authority):
    _, _, tls_port = running
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", tls_port)) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname="localhost")


# Calls and messages.


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_call_is_made_held_and_ended_through_the_node(running, phone, transport):
    node, _, tls_port = running
    fay, gil = phone(f"fay-{transport}"), phone(f"gil-{transport}", transport)
    gil.register()
    sent = invite(fay, gil.user)
    ringing = gil.asked()
    assert str(ringing.uri).startswith(f"sip:{gil.user}@{gil.here}") and "fs-conn-id" not in str(ringing.uri)
    assert ringing.headers["Max-Forwards"] == "69" and ringing.body == sent.body
    routes = ringing.headers.getlist("Record-Route")
    assert routes[-1] == f"<sip:127.0.0.1:{node.port};transport=udp;lr>"
    assert len(routes) == (1 if transport == "udp" else 2)
    gil.answer(ringing, 180)
    gil.answer(ringing, 200)
    seen = [fay.receive() for _ in range(3)]
    assert [answer.code for answer in seen] == [100, 180, 200]
    assert len(seen[2].headers.getlist("Via")) == 1
    route_set = [f"Route: {route}" for route in reversed(seen[2].headers.getlist("Record-Route"))]
    to, uri = seen[2].headers["To"], str(seen[2].contact[0].uri)
    fay.send(fay.request("ACK", uri, *route_set, to=to, cseq=sent.headers["CSeq"].split()[0]))
    assert gil.asked().method == "ACK"
    fay.send(fay.request("BYE", uri, *route_set, to=to))
    bye = gil.asked()
    assert bye.method == "BYE" and bye.headers.getlist("Route") == []
    gil.answer(bye, 200)
    assert fay.final().code == 200


def test_a_message_goes_to_all_devices_and_one_200_comes_back(phone):
    hal, ida, ida2 = phone("hal"), phone("ida"), phone("ida", "tcp")
    ida.register()
    ida2.register()
    hal.send(hal.request("MESSAGE", "sip:ida@example.org", "Content-Type: text/plain", body=b"hi"))
    for device in (ida, ida2):
        request = device.asked()
        assert (request.method, request.body) == ("MESSAGE", b"hi")
        device.answer(request, 200)
    assert hal.final().code == 200


def test_a_user_without_registration_is_404_and_one_whose_registration_has_ended_too(running, phone):
    _, server, _ = running
    jon = phone("jon")
    assert jon.ask(jon.request("MESSAGE", "sip:nobody@example.org")).code == 404
    ended = "<sip:old@127.0.0.1:9;callid=c;expires=60;cseq=1;updatedAt=1700000000;alias=no;usedAsRoute=no>"
    server.client.hset("fs:old@example.org", "x", ended)
    assert jon.ask(jon.request("MESSAGE", "sip:old@example.org")).code == 404


def test_an_options_to_a_user_reaches_his_device(phone):
    kim, lea = phone("kim"), phone("lea")
    lea.register()
    kim.send(kim.request("OPTIONS", "sip:lea@example.org"))
    lea.answer(lea.asked(), 200, "Supported: lea")
    assert kim.final().headers["Supported"] == "lea"


def test_a_refused_call_is_acknowledged_hop_by_hop_and_the_best_answer_goes_back(phone):
    max_, ned, ned2 = phone("max"), phone("ned"), phone("ned", "tcp")
    ned.register()
    ned2.register()
    invite(max_, "ned")
    ned.answer(ned.asked(), 503)
    assert ned.asked().method == "ACK"
    ned2.answer(ned2.asked(), 486)
    assert ned2.asked().method == "ACK"
    assert max_.final().code == 486


def test_who_answers_first_gets_the_call_and_the_others_stop_ringing(phone):
    oli, pam, pam2 = phone("oli"), phone("pam"), phone("pam", "tcp")
    pam.register()
    pam2.register()
    invite(oli, "pam")
    ringing, ringing2 = pam.asked(), pam2.asked()
    pam2.answer(ringing2, 180)
    pam.answer(ringing, 200)
    cancel = pam2.asked()
    assert cancel.method == "CANCEL"
    pam2.answer(cancel, 200)
    pam2.answer(ringing2, 487)
    assert pam2.asked().method == "ACK"
    assert oli.final().code == 200


def test_a_cancelled_call_stops_ringing_and_ends_with_487(phone):
    quin, ron = phone("quin"), phone("ron")
    ron.register()
    sent = invite(quin, "ron", branch="z9hG4bKcancelled")
    ringing = ron.asked()
    ron.answer(ringing, 180)
    while quin.receive().code != 180:
        pass
    cseq = sent.headers["CSeq"].split()[0]
    quin.send(quin.request("CANCEL", "sip:ron@example.org", branch="z9hG4bKcancelled", cseq=cseq))
    assert quin.final().code == 200
    cancel = ron.asked()
    assert cancel.method == "CANCEL"
    ron.answer(cancel, 200)
    ron.answer(ringing, 487)
    assert ron.asked().method == "ACK"
    assert quin.final().code == 487


def test_a_lower_q_gets_its_turn_when_the_higher_has_failed(phone):
    sue, tom, tom2 = phone("sue"), phone("tom"), phone("tom")
    tom.register(contact=f"<{tom.contact}>;q=0.9;line=1")
    tom2.register(contact=f"<{tom2.contact}>;q=0.1;line=2")
    sue.send(sue.request("MESSAGE", "sip:tom@example.org"))
    tom.answer(tom.asked(), 486)
    tom2.answer(tom2.asked(), 200)
    assert sue.final().code == 200


def test_a_retransmitted_invite_rings_once(phone):
    uma, vic = phone("uma"), phone("vic")
    vic.register()
    sent = invite(uma, "vic")
    ringing = vic.asked()
    uma.send(bytes(sent))
    assert uma.receive().code == uma.receive().code == 100
    vic.answer(ringing, 486)
    assert vic.asked().method == "ACK"
    assert uma.final().code == 486


def test_a_phone_whose_connection_is_gone_is_503(phone):
    wes, xia = phone("wes"), phone("xia", "tcp")
    xia.register()
    xia.close()
    answer = wait_for(
        lambda: (code := wes.ask(wes.request("MESSAGE", "sip:xia@example.org")).code) == 503 and code, "503"
    )
    assert answer == 503


def test_a_phone_that_hangs_up_its_connection_before_it_answers_is_503(phone):
    wes, xia = phone("wes2"), phone("xia2", "tcp")
    xia.register()
    wes.send(wes.request("MESSAGE", "sip:xia2@example.org"))
    assert xia.asked().method == "MESSAGE"
    xia.close()
    assert wes.final().code == 503


def test_a_request_that_comes_back_is_a_loop(running, phone):
    node, _, _ = running
    yul = phone("yul")
    yul.register(contact="<sip:yul@example.org>;line=1")
    again = phone("again")
    again.register(contact=f"<sip:again@127.0.0.1:{node.port}>;line=1")
    sent = again.request("MESSAGE", "sip:yul@example.org", f"Route: <sip:127.0.0.1:{node.port};lr>")
    assert again.ask(sent).code in (482, 503)  # 503 where nobody resolves example.org
    assert again.ask(again.request("MESSAGE", "sip:zoe@example.com")).code in (404, 408, 503)


def test_strangers_are_not_passed_on_to_strangers(phone):
    zed = phone("zed")
    data = zed.request("MESSAGE", "sip:a@198.51.100.1").replace(b"<sip:zed@example.org>", b"<sip:zed@example.com>")
    assert zed.ask(data).code == 403


# A second node.


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[list[NodeProcess], Server]]:
    """Two nodes of a cluster, with internal transports."""
    lab = Lab(tmp_path)
    server = lab.server()
    nodes = []
    for _ in range(2):
        port, inside = free_port(), free_port()
        changes = {
            "sip": None,
            "transports": [f"sip:127.0.0.1:{port}"],
            "cluster": {
                "enabled": True, "nodes": ["127.0.0.1"], "internal_transport": f"sip:127.0.0.1:{inside};transport=tcp",
            },
        }  # fmt: skip
        node = lab.node([server], changes)
        node.port = port
        node.inside = inside  # type: ignore[attr-defined]
        nodes.append(node)
    for node in nodes:
        node.wait_until_writable(server)
    yield nodes, server
    lab.close()


def test_a_call_reaches_a_phone_that_is_connected_to_the_other_node(cluster):
    (here, there), server = cluster
    amy, ben = Phone("amy", here.port), Phone("ben", there.port, "tcp")
    ben.register()
    (value,) = server.client.hgetall("fs:ben@example.org").values()
    assert f"path=%3Csip%3A127.0.0.1%3A{there.inside}%3Btransport%3Dtcp%3E".encode() in value
    sent = invite(amy, "ben")
    ringing = ben.asked()
    assert "fs-conn-id" not in str(ringing.uri) and len(ringing.headers.getlist("Via")) == 3
    ben.answer(ringing, 200)
    answer = amy.final()
    assert answer.code == 200
    routes = [f"Route: {route}" for route in reversed(answer.headers.getlist("Record-Route"))]
    to = answer.headers["To"]
    amy.send(amy.request("ACK", str(answer.contact[0].uri), *routes, to=to, cseq=sent.headers["CSeq"].split()[0]))
    assert ben.asked().method == "ACK"
    ben.close()
    wait_for(lambda: amy.ask(amy.request("MESSAGE", "sip:ben@example.org")).code == 503, "the other node says 503")
    there.process.kill()
    there.process.wait()
    assert amy.ask(amy.request("MESSAGE", "sip:ben@example.org")).code == 503
    there.stop = lambda: None
    amy.close()
