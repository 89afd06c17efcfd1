"""The node as a process, on a real Redis: it serves, keeps its word through faults, and follows the primary.

Waiting is always for something that happens, with a generous limit after which the test fails; nothing is asserted
about how long anything takes.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from model.errors import EnvironmentLacks
from reference_node.lab.servers import choose
from reference_node.prober import Prober

sys.path.insert(0, str(Path(__file__).parent))  # test folders are no packages

from node_lab import LIMIT_S, PASSWORD, Lab, NodeProcess, Server, wait_for, writes
from ports import free_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

SEED = 20_261_123


@pytest.fixture(scope="module")
def has_redis() -> None:
    try:
        choose()
    except EnvironmentLacks as lack:
        pytest.skip(str(lack))


@pytest.fixture
def lab(has_redis: None, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def server(lab: Lab) -> Server:
    """A server of the test's own, to be broken."""
    return lab.server()


@pytest.fixture
def node(lab: Lab, server: Server) -> NodeProcess:
    """A node on `server`."""
    node = lab.node([server])
    node.wait_until_writable(server)
    return node


@pytest.fixture(scope="module")
def steady(has_redis: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, Server]]:
    """A node and its server for tests that break nothing; each has users of its own."""
    lab = Lab(tmp_path_factory.mktemp("steady"))
    server = lab.server()
    node = lab.node([server])
    node.wait_until_writable(server)
    yield node, server
    lab.close()


def test_a_phone_registers_is_found_and_leaves(steady):
    node, server = steady
    answer = node.register("alice")
    assert (answer.code, len(answer.headers.getlist("Contact"))) == (200, 1)
    (contact,) = node.contacts("alice")
    assert re.fullmatch(r'<sip:alice@127.0.0.1:9>;expires=3[56]\d\d;\+sip.instance="<urn:uuid:alice>"', contact)
    node.register("alice", 'Contact: <sip:alice@127.0.0.1:9>;+sip.instance="<urn:uuid:alice>";expires=0')
    assert node.contacts("alice") == []
    assert not server.client.exists("fs:alice@example.org")


def test_the_record_in_redis_is_flexisips(steady):
    node, server = steady
    before_s = int(time.time())
    contact = "<sip:bob@127.0.0.1:9;transport=udp>"
    node.register("bob", f'Contact: {contact};+sip.instance="<urn:uuid:b>"', "Expires: 120", "User-Agent: P (1)")
    after_s = int(time.time())
    ((field, value),) = server.client.hgetall("fs:bob@example.org").items()
    assert field == b'"<urn:uuid:b>"'
    updated_s = int(value.partition(b"updatedAt=")[2].partition(b";")[0])
    assert before_s <= updated_s <= after_s
    assert value.decode() == (
        f"<sip:bob@127.0.0.1:9;transport=udp;callid=bob%40test;expires=120;cseq={node._sent};updatedAt={updated_s};"
        f"alias=no;usedAsRoute=no?path=%3Csip%3A127.0.0.1%3A{node.port}%3Btransport%3Dudp%3Blr%3E"
        '&accept=&user-agent=P%20(1)>;+sip.instance="<urn:uuid:b>";pub-gruu'
    )
    assert server.client.execute_command("TTL", "fs:bob@example.org") in range(1, 121)


def test_a_retransmitted_register_is_one_registration(steady):
    node, server = steady
    before = writes(server)
    request = node.request("carol", "Contact: <sip:carol@127.0.0.1:9>")
    first, again = node.ask(request), node.ask(request)
    assert bytes(first) == bytes(again)
    assert first.code == 200
    assert writes(server) == before + 1


def test_a_replayed_cseq_gets_400_and_contact_star_removes_all(steady):
    node, _ = steady
    assert node.ask(node.request("dan", "Contact: <sip:dan@127.0.0.1:9>", cseq=7)).code == 200
    assert node.ask(node.request("dan", "Contact: <sip:dan@127.0.0.1:9>", cseq=7)).code == 400
    assert node.ask(node.request("dan", "Contact: *", "Expires: 0")).code == 200
    assert node.contacts("dan") == []


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("OPTIONS", (), 200),
        ("INVITE", (), 404),
        ("CANCEL", (), 481),
        ("FROBNICATE", (), 404),
        ("OPTIONS", ("Max-Forwards: 0",), 200),
        ("MESSAGE", ("Max-Forwards: 0",), 483),
        ("MESSAGE", ("Max-Forwards: x",), 400),
        ("MESSAGE", ("Proxy-Require: magic",), 420),
        ("REGISTER", ("Require: path, teleport",), 420),
        ("REGISTER", ("Require: path",), 200),
        ("REGISTER", ("From: <sip:x@example.org>",), 400),
    ],
)
def test_what_is_not_for_redis_is_answered_at_once(steady, method, headers, status):
    node, _ = steady
    assert node.ask(node.request("eve", *headers, method=method)).code == status


def test_another_domain_is_not_served(steady):
    node, _ = steady
    assert node.ask(node.request("fay").replace(b"example.org", b"example.net")).code == 404


def test_a_record_of_the_wrong_type_gives_500_and_harms_nobody_else(steady):
    node, server = steady
    server.client.set("fs:gil@example.org", "not a hash")
    assert node.register("gil").code == 500
    assert node.register("hal").code == 200


def test_garbage_neither_stops_the_node_nor_costs_a_registration(steady):
    node, _ = steady
    node.register("ida")
    chance = random.Random(SEED)
    good = node.request("ida", "Contact: <sip:ida@127.0.0.1:9>")
    for _ in range(2_000):
        data = bytearray(good if chance.random() < 0.7 else chance.randbytes(chance.randrange(1_500)))
        for _ in range(chance.randrange(6)):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.randrange(20)] = chance.randbytes(chance.randrange(6))
        node.send(bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else data))
    node.send(b"x" * 65_000)
    node.send(good[:-4] + b"\r\nJunk: " + b"y" * 60_000 + b"\r\n\r\n")
    while node.receive():
        pass
    assert any("urn:uuid:ida" in contact for contact in node.contacts("ida")), f"seed {SEED}"
    assert node.process.poll() is None, f"seed {SEED}"


def test_the_prober_counts_what_redis_holds(steady):
    """Confirmed registrations are in Redis; outcomes are told when they change, with the host they belong to."""
    node, server = steady
    told: list[tuple] = []

    async def probe() -> Prober:
        prober = Prober(
            {"host1": ("127.0.0.1", node.port), "gone": ("127.0.0.1", free_port())},
            50, 500, SEED, "example.org", lambda *event: told.append(event),
        )  # fmt: skip
        stop = asyncio.Event()
        running = asyncio.create_task(prober.run(stop))
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until and (prober.counts()["host1"]["confirmed"] < 5 or len(told) < 2):
            await asyncio.sleep(0.05)
        stop.set()
        await running
        return prober

    before_us = time.time_ns() // 1_000
    prober = asyncio.run(probe())
    assert prober.counts()["host1"]["confirmed"] == len(prober.confirmed_aors()["host1"]) >= 5
    assert prober.confirmed_aors()["gone"] == []
    assert all(server.client.exists(f"fs:{aor}") for aor in prober.confirmed_aors()["host1"])
    assert {event[:2] for event in told} == {("host1", "confirmed"), ("gone", "unknown")}
    for host, _, wall_us, age_us, code in told:
        assert before_us <= wall_us - age_us <= wall_us <= time.time_ns() // 1_000
        assert code == (200 if host == "host1" else 0)


def test_a_killed_redis_costs_no_confirmed_registration(node: NodeProcess, server: Server):
    """What was answered 200 is there when Redis comes back; the others were answered 500, none was left hanging."""
    in_flight, outcome = 20, {}
    for count in range(400):
        node.send(node.request(f"u{count}", f"Contact: <sip:u{count}@127.0.0.1:9>;line={count}"))
        if count == 200:
            server.kill()
        if count >= in_flight and (answer := node.receive()):
            outcome[str(answer.from_address.uri.user)] = answer.code
    while len(outcome) < 400 and (answer := node.receive()):
        outcome[str(answer.from_address.uri.user)] = answer.code
    assert len(outcome) == 400
    assert set(outcome.values()) == {200, 500}
    lost = [event for event in node.events() if event[0] == "redis-lost"]
    assert lost
    since = len(node.events())
    server.start()
    node.wait_until_writable(server, since)
    confirmed = [user for user, code in outcome.items() if code == 200]
    assert [user for user in confirmed if not node.contacts(user)] == []
    assert node.register("late").code == 200


def test_a_silent_redis_is_given_up_and_taken_up_again(node: NodeProcess, server: Server):
    node.register("jon")
    since = len(node.events())
    server.process.send_signal(signal.SIGSTOP)
    assert node.register("jon").code == 500
    assert ("redis-lost", server.entry()["host"]) in node.events()[since:]
    server.process.send_signal(signal.SIGCONT)
    node.wait_until_writable(server, since)
    assert node.contacts("jon")


def test_a_wrong_password_is_a_lost_connection_not_a_crash(lab: Lab, server: Server):
    server.client.config_set("requirepass", "another")
    node = lab.node([server])
    wait_for(lambda: [event for event, _ in node.events()].count("redis-lost") >= 2, "the node tries again")
    assert node.register("kim").code == 500
    Redis(port=server.port, password="another").config_set("requirepass", PASSWORD)
    node.wait_until_writable(server)
    node.register_until_confirmed("kim")


def test_the_node_follows_a_promotion(lab: Lab):
    """What Sentinel does: REPLICAOF NO ONE and CLIENT KILL on the chosen replica, after the primary has died."""
    old = lab.server()
    new = lab.server(old)
    wait_for(lambda: new.client.info("replication")["master_link_status"] == "up", "the replica is in sync")
    node = lab.node([old, new], info_period_ms=200)
    node.wait_until_writable(old)
    wait_for(lambda: old.client.info("commandstats")["cmdstat_info"]["calls"] > 3, "the node has asked for replicas")
    assert node.register("lea").code == 200
    wait_for(lambda: new.client.exists("fs:lea@example.org"), "the registration is replicated")
    since = len(node.events())
    old.kill()
    name = new.entry()["host"]
    wait_for(lambda: ("waiting", name) in node.events()[since:], "the node waits on the replica")
    assert node.register("max").code == 500
    assert node.contacts("lea")
    new.client.execute_command("REPLICAOF", "NO", "ONE")
    new.client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    node.wait_until_writable(new, since)
    assert node.register("max").code == 200
    assert node.events()[since][0] == "redis-lost"


def test_a_demoted_primary_refuses_writes_and_the_node_moves_on(lab: Lab):
    """READONLY inside MULTI: the write is refused with 500, and the node asks at once who is primary now."""
    old = lab.server()
    new = lab.server(old)
    wait_for(lambda: new.client.info("replication")["master_link_status"] == "up", "the replica is in sync")
    node = lab.node([old, new], info_period_ms=600_000)
    node.wait_until_writable(old)
    new.client.execute_command("REPLICAOF", "NO", "ONE")
    old.client.execute_command("REPLICAOF", "127.0.0.1", str(new.port))
    since = len(node.events())
    assert node.register("ned").code == 500
    node.wait_until_writable(new, since)
    assert node.register("ned").code == 200


def test_sigterm_ends_the_node_cleanly_even_while_redis_is_silent(node: NodeProcess, server: Server):
    server.process.send_signal(signal.SIGSTOP)
    node.send(node.request("oli", "Contact: <sip:oli@127.0.0.1:9>"))
    node.process.terminate()
    assert node.process.wait(LIMIT_S) == 0
