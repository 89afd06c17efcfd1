"""What protects a node and tells about it: credentials, bounds on strangers, health, logs, an orderly end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from model.errors import EnvironmentLacks
from reference_node.lab.servers import choose
from reference_node.sip.digest import read_credentials

sys.path.insert(0, str(Path(__file__).parent))  # test folders are no packages

from node_lab import LIMIT_S, PASSWORD, Lab, NodeProcess, Phone, Server, wait_for
from ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

SECRET = "hunter2-of-anna"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    try:
        choose()
    except EnvironmentLacks as lack:
        pytest.skip(str(lack))
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def started(lab: Lab, changes: dict) -> tuple[NodeProcess, Server]:
    server = lab.server()
    node = lab.node([server], changes)
    node.wait_until_writable(server)
    return node, server


def http(port: int, path: str) -> tuple[int, str]:
    """Status and text of a GET."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def credentials(challenge: str, user: str, password: str, nc: int = 1) -> str:
    """An Authorization for a REGISTER."""
    given = read_credentials(challenge)
    assert given
    made = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[given["algorithm"]]

    def hashed(text: str) -> str:
        return made(text.encode()).hexdigest()

    first, second = hashed(f"{user}:{given['realm']}:{password}"), hashed("REGISTER:sip:example.org")
    response = hashed(f"{first}:{given['nonce']}:{nc:08x}:cn:auth:{second}")
    return (
        f'Authorization: Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", qop=auth, '
        f'uri="sip:example.org", nc={nc:08x}, cnonce="cn", algorithm={given["algorithm"]}, response="{response}"'
    )


def test_only_the_owner_of_an_address_of_record_writes_it_and_no_secret_is_logged(lab):
    users = {"anna@example.org": {"password": SECRET}, "berta@example.org": {"password": "other"}}
    node, server = started(lab, {"auth": {"enabled": True, "users": users}})
    anna = Phone("anna", node.port)
    contact = f"Contact: <{anna.contact}>;line=1"
    challenged = anna.register(contact)
    assert challenged.code == 401
    offered = challenged.headers.getlist("WWW-Authenticate")
    assert ["SHA-256" in offered[0], "MD5" in offered[1]] == [True, True]
    for wrong in ("wrong", ""):
        assert anna.register(contact, credentials(offered[0], "anna", wrong)).code == 401
    assert anna.register(contact, credentials(offered[0], "berta", "other")).code == 403
    assert anna.register("Contact: *", "Expires: 0").code == 401
    assert not server.client.exists("fs:anna@example.org")
    good = credentials(offered[1], "anna", SECRET, nc=2)  # the first count went to berta
    assert anna.register(contact, good).code == 200
    replayed = anna.register(contact, good)
    assert replayed.code == 401 and "stale=true" in replayed.headers["WWW-Authenticate"]
    assert anna.ask(anna.request("MESSAGE", "sip:nobody@example.org")).code == 407
    logs = node.program_log.read_text() + node.errors.read_text() + node.log.read_text()
    assert '"user-refused"' in logs and '"credentials-refused"' in logs
    for secret in (SECRET, PASSWORD, read_credentials(offered[0])["nonce"], "cnonce"):
        assert secret not in logs
    assert all(json.loads(line)["host"] == "host1" for line in node.program_log.read_text().splitlines())


def test_an_unfinished_message_ends_its_connection_and_others_are_served(lab):
    node, _ = started(lab, {"streams": {"message_s": 1.0, "max_connections": 20}})
    slow = [Phone(f"slow{number}", node.port, "tcp") for number in range(5)]
    for each in slow:
        each.send(each.request("OPTIONS", "sip:example.org")[:50])
    assert Phone("quick", node.port, "tcp").register().code == 200
    for each in slow:
        while each.socket.recv(100):
            pass
    assert "message not completed in time" in node.program_log.read_text()


def test_more_connections_than_allowed_are_closed(lab):
    node, _ = started(lab, {"streams": {"max_connections": 2}})
    first, second = Phone("a", node.port, "tcp"), Phone("b", node.port, "tcp")
    assert first.register().code == second.register().code == 200
    third = socket.create_connection(("127.0.0.1", node.port), timeout=LIMIT_S)
    with contextlib.suppress(ConnectionResetError):
        assert third.recv(1) == b""
    assert "too many connections" in node.program_log.read_text()
    first.close()
    wait_for(lambda: _is_served(node.port), "there is room again")


def test_idle_connections_are_closed(lab):
    node, _ = started(lab, {"streams": {"idle_s": 1.0}})
    idle = Phone("idle", node.port, "tcp")
    while idle.socket.recv(100):
        pass
    assert '"why": "idle"' in node.program_log.read_text()


def test_a_peer_that_does_not_read_is_cut_off(lab):
    node, _ = started(lab, {})
    deaf = Phone("deaf", node.port, "tcp")
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    data = deaf.request("OPTIONS", "sip:example.org", *(f"Via: SIP/2.0/UDP h{n};branch={n}" for n in range(200)))
    with pytest.raises((ConnectionError, TimeoutError)):
        for _ in range(20_000):
            deaf.send(data)
    assert Phone("other", node.port, "tcp").register().code == 200


def test_health_tells_whether_registrations_are_taken_and_metrics_count_them(lab):
    http_port = free_port()
    node, server = started(lab, {"http": {"port": http_port}})
    phone = Phone("dora", node.port)
    assert phone.register().code == 200
    assert http(http_port, "/healthz") == (200, "ok\n")
    assert http(http_port, "/livez") == (200, "ok\n")
    assert http(http_port, "/elsewhere")[0] == 404
    metrics = http(http_port, "/metrics")[1]
    assert 'hastudy_sip_answers_total{method="REGISTER",status="200"} 1.0' in metrics
    assert "hastudy_register_seconds_count 1.0" in metrics and "hastudy_writable 1.0" in metrics
    server.kill()
    status, reason = wait_for(lambda: (said := http(http_port, "/healthz"))[0] == 503 and said, "not healthy")
    assert status == 503 and reason.startswith("no writable Redis: ")
    assert http(http_port, "/livez")[0] == 200


def test_nothing_that_strangers_say_to_the_http_port_does_harm(lab):
    http_port = free_port()
    started(lab, {"http": {"port": http_port}})
    for said in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"x" * 10_000,
        b"POST /metrics HTTP/1.1\r\n\r\n",
        b"\xff\x00\r\n\r\n",
        b"",
    ):
        stranger = socket.create_connection(("127.0.0.1", http_port), timeout=LIMIT_S)
        with stranger, contextlib.suppress(ConnectionError):
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(1_000):
                pass
    assert http(http_port, "/livez")[0] == 200


def test_a_registration_is_published_under_its_address_of_record(lab):
    node, server = started(lab, {})
    listener = server.client.pubsub()
    listener.subscribe("emil@example.org")
    wait_for(lambda: listener.get_message(timeout=1), "subscribed")
    phone = Phone("emil", node.port)
    phone.register("Contact: <sip:emil@127.0.0.1:9>;line=7")
    message = wait_for(lambda: listener.get_message(timeout=1), "published")
    assert message["data"] == b"7"
    listener.close()


@pytest.mark.parametrize("mode", ["refuse", "silent"])
def test_a_node_that_shuts_down_lets_calls_end_and_takes_no_new_ones(lab, mode):
    node, _ = started(lab, {"shutdown": {"mode": mode, "drain_s": 60, "retry_after_s": 7}})
    frida, gerd, late = (Phone(name, node.port) for name in ("frida", "gerd", "late"))
    gerd.register()
    frida.send(frida.request("INVITE", "sip:gerd@example.org", f"Contact: <{frida.contact}>"))
    ringing = gerd.asked()
    node.process.send_signal(signal.SIGTERM)
    wait_for(lambda: _refuses_connections(node.port), "it does not listen any more")
    if mode == "refuse":
        refused = late.register()
        assert (refused.code, refused.headers["Retry-After"]) == (503, "7")
    else:
        late.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            late.register()
    gerd.answer(ringing, 486)
    while (again := gerd.asked()).method != "ACK":
        assert again.method == "INVITE"  # sent again meanwhile
    assert frida.final().code == 486
    assert node.process.wait(LIMIT_S) == 0


def _is_served(port: int) -> bool:
    try:
        return Phone("c", port, "tcp").register().code == 200
    except (AssertionError, ConnectionError):
        return False


def _refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_short_lifetimes_are_refused_where_that_is_asked_for(lab):
    node, _ = started(lab, {"limits": {"min_expires_action": "423", "min_expires_s": 120}})
    phone = Phone("hans", node.port)
    answer = phone.register(f"Contact: <{phone.contact}>", "Expires: 60")
    assert (answer.code, answer.headers["Min-Expires"]) == (423, "120")
    assert phone.register(f"Contact: <{phone.contact}>;expires=60").code == 423
    assert phone.register(f"Contact: <{phone.contact}>;expires=120").code == 200
    assert phone.register(f"Contact: <{phone.contact}>", "Expires: 0").code == 200


def test_a_flexisip_conf_starts_a_node_that_learns_the_replicas(lab, tmp_path):
    primary = lab.server()
    lab.server(primary)
    port = free_port()
    conf = tmp_path / "flexisip.conf"
    conf.write_text(
        f"[global]\ntransports=sip:127.0.0.1:{port}\n[module::Registrar]\nreg-domains=example.org\n"
        f"db-implementation=redis\nredis-server-domain=127.0.0.1\nredis-server-port={primary.port}\n"
        f"redis-auth-password={PASSWORD}\nredis-slave-check-period=1\nmax-expire=3\n"
    )
    node = lab.node_of(conf)
    wait_for(lambda: '"writable"' in node.errors.read_text(), "writable")
    assert "warning" in node.errors.read_text() and "did you mean max-expires?" in node.errors.read_text()
    assert PASSWORD not in node.errors.read_text()
    phone = Phone("ida", port, "tcp")
    assert phone.register().code == 200
    assert Redis(port=primary.port, password=PASSWORD).exists("fs:ida@example.org")
