"""The name server, asked by a resolver of another make (dnspython), over UDP and TCP."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from model.errors import UsageError
from reference_node import dns_server
from reference_node.client import resolver
from reference_node.dns_server import ClusterZone, NameServer, Target, Zone

ROOT = Path(__file__).parents[2]
DOMAIN = "example.org"
HOSTS = {"host1": Target("10.0.0.1", 0, 75), "host2": Target("10.0.0.2", 10, 25)}
LIMIT_S = 20.0

ZONE = """
$ORIGIN example.org.
$TTL 60
@           IN SOA ns hostmaster ( 1 3600 600 86400 30 )
_sip._udp   IN SRV 0 100 5060 host1
            IN SRV 1 100 5070 Host2.elsewhere.example.
host1       IN A   127.0.0.1
"""


@contextmanager
def serving(zone: Zone) -> Iterator[NameServer]:
    server = NameServer(zone, "127.0.0.1", 0)
    server.start()
    try:
        yield server
    finally:
        server.close()


def cluster_zone(hosts: dict[str, Target] | None = None) -> ClusterZone:
    return ClusterZone(DOMAIN, hosts or HOSTS, 3600, 30)


def ask(server: NameServer, name: str, kind: str, over=dns.query.udp) -> dns.message.Message:
    return over(dns.message.make_query(name, kind), server.ip, port=server.port, timeout=LIMIT_S)


def texts(section) -> list[str]:
    return [text for rrset in section for text in rrset.to_text().splitlines()]


@pytest.mark.parametrize("over", [dns.query.udp, dns.query.tcp], ids=["udp", "tcp"])
@pytest.mark.parametrize(("service", "port"), [("_sip._udp", 5060), ("_sip._tcp", 5060), ("_sips._tcp", 5061)], ids=str)
def test_every_transport_has_its_srv_records_and_the_addresses_come_along(service, port, over):
    with serving(cluster_zone()) as server:
        reply = ask(server, f"{service}.{DOMAIN}", "SRV", over)
    assert reply.flags & dns.flags.AA
    assert texts(reply.answer) == [
        f"{service}.{DOMAIN}. 3600 IN SRV 0 75 {port} host1.{DOMAIN}.",
        f"{service}.{DOMAIN}. 3600 IN SRV 10 25 {port} host2.{DOMAIN}.",
    ]
    assert texts(reply.additional) == [f"host{n}.{DOMAIN}. 3600 IN A 10.0.0.{n}" for n in (1, 2)]


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nobody.example.org", "A", dns.rcode.NXDOMAIN),
        ("host1.example.org", "SRV", dns.rcode.NOERROR),
        ("_udp.example.org", "SRV", dns.rcode.NOERROR),  # something is below it, so it exists
    ],
)
def test_absence_comes_with_the_soa_and_its_negative_ttl(name, kind, rcode):
    with serving(cluster_zone()) as server:
        reply = ask(server, name, kind)
    assert (reply.rcode(), reply.answer) == (rcode, [])
    (soa,) = reply.authority
    assert (soa.ttl, soa[0].minimum) == (30, 30)


def test_names_of_others_are_refused():
    with serving(cluster_zone()) as server:
        reply = ask(server, "example.com", "A")
    assert (reply.rcode(), reply.authority) == (dns.rcode.REFUSED, [])


def test_names_have_no_case():
    with serving(cluster_zone()) as server:
        assert texts(ask(server, "HOST1.Example.ORG", "A").answer)


def test_removed_records_are_gone_until_they_are_added_again():
    zone = cluster_zone()
    with serving(zone) as server:
        zone.remove("host1")
        assert "host1" not in str(ask(server, f"_sip._tcp.{DOMAIN}", "SRV"))
        assert texts(ask(server, f"host1.{DOMAIN}", "A").answer), "the host itself has not gone"
        zone.remove("host2")
        assert ask(server, f"_sip._tcp.{DOMAIN}", "SRV").answer == []
        zone.add("host1")
        assert "host1" in str(ask(server, f"_sip._tcp.{DOMAIN}", "SRV"))


def test_a_silent_server_answers_nobody_until_it_speaks_again():
    zone = cluster_zone()
    with serving(zone) as server:
        zone.is_silent = True
        with pytest.raises(dns.exception.Timeout):
            dns.query.udp(dns.message.make_query(DOMAIN, "SOA"), server.ip, port=server.port, timeout=0.5)
        zone.is_silent = False
        assert texts(ask(server, DOMAIN, "SOA").answer)


def test_an_answer_too_long_for_a_datagram_is_cut_off_and_had_over_tcp():
    hosts = {f"a-very-long-name-of-a-host-{n}": Target(f"10.0.0.{n}") for n in range(1, 8)}
    zone = cluster_zone(hosts)
    with serving(zone) as server:
        reply = ask(server, f"_sip._udp.{DOMAIN}", "SRV")
        assert reply.flags & dns.flags.TC
        answer = asyncio.run(resolver.look_up(DOMAIN, "udp", server.ip, server.port))
    assert [record.address for record in answer.records] == [f"10.0.0.{n}" for n in range(1, 8)]


# The resolver of the client


def test_the_resolver_gives_records_in_the_order_of_the_answer_and_the_least_ttl():
    with serving(cluster_zone()) as server:
        answer = asyncio.run(resolver.look_up(DOMAIN, "tls", server.ip, server.port))
    found = [(record.target, record.address, record.port, record.priority, record.weight) for record in answer.records]
    assert found == [("host1.example.org", "10.0.0.1", 5061, 0, 75), ("host2.example.org", "10.0.0.2", 5061, 10, 25)]
    assert answer.ttl_s == 3600


def test_the_resolver_tells_absence_from_failure():
    zone = cluster_zone()
    with serving(zone) as server:
        zone.remove("host1")
        zone.remove("host2")
        answer = asyncio.run(resolver.look_up(DOMAIN, "udp", server.ip, server.port))
        assert (answer.records, answer.ttl_s) == ((), 30)
        with pytest.raises(resolver.Unanswered, match="REFUSED"):
            asyncio.run(resolver.look_up("example.com", "udp", server.ip, server.port))


def test_the_resolver_waits_for_ever_for_a_silent_server():
    async def wait() -> None:
        async with asyncio.timeout(0.5):
            await resolver.look_up(DOMAIN, "udp", server.ip, server.port)

    zone = cluster_zone()
    with serving(zone) as server:
        zone.is_silent = True
        with pytest.raises(TimeoutError):
            asyncio.run(wait())


@pytest.mark.parametrize("record", ["_sip._udp 60 IN SRV 0 0 5060 .", "_sip._udp 60 IN SRV 0 0 5060 nobody"])
def test_a_service_that_is_decidedly_absent_or_has_no_address_has_no_records(record, tmp_path):
    path = tmp_path / "zone"
    path.write_text(f"$ORIGIN {DOMAIN}.\n@ 60 IN SOA ns hostmaster 1 3600 600 86400 30\n{record}\n")
    with serving(Zone(dns_server.read_zone(path))) as server:
        assert asyncio.run(resolver.look_up(DOMAIN, "udp", server.ip, server.port)).records == ()


# Zone files and the program


def test_a_zone_file_is_served_with_its_names_made_full(tmp_path):
    path = tmp_path / "zone"
    path.write_text(ZONE)
    with serving(Zone(dns_server.read_zone(path))) as server:
        reply = ask(server, f"_sip._udp.{DOMAIN}", "SRV")
    assert texts(reply.answer) == [
        f"_sip._udp.{DOMAIN}. 60 IN SRV 0 100 5060 host1.{DOMAIN}.",
        f"_sip._udp.{DOMAIN}. 60 IN SRV 1 100 5070 Host2.elsewhere.example.",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nonsense", "not a zone file"),
        ("$ORIGIN example.org.\nhost1 60 IN A 300.1.1.1\n", "not a zone file"),
        ("$ORIGIN example.org.\nhost1 60 IN A 127.0.0.1\n", "one SOA record, here are 0"),
    ],
)
def test_a_file_that_is_no_zone_is_refused_in_one_line(text, what, tmp_path):
    path = tmp_path / "zone"
    path.write_text(text)
    with pytest.raises(UsageError, match=what):
        Zone(dns_server.read_zone(path))
    done = subprocess.run(
        [sys.executable, "-m", "reference_node.dns_server", path], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_the_program_serves_and_ends_on_sigterm(tmp_path):
    path = tmp_path / "zone"
    path.write_text(ZONE)
    command = [sys.executable, "-m", "reference_node.dns_server", path, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        port = int(process.stderr.readline().rpartition(":")[2])
        query = dns.message.make_query(f"host1.{DOMAIN}", "A")
        assert texts(dns.query.udp(query, "127.0.0.1", port=port, timeout=LIMIT_S).answer)
        process.terminate()
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
