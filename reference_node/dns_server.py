"""An authoritative name server for one zone: what SIP clients look their registrar nodes up in.

It answers over UDP and TCP from records in memory: what is there, *no data* or *no such name* with the SOA of the zone
(RFC 2308: how long that may be kept), and REFUSED for names outside. The addresses of SRV targets come along as
additional records (RFC 2782). The records may change while it runs, and it can fall silent: it then takes queries and
never answers, which is what a client sees of a name server that is gone.

Run it by hand with ``python -m reference_node.dns_server ZONE --listen 127.0.0.1:5353``, where ZONE is a zone file in
the usual form (RFC 1035 section 5); SIGHUP reads it anew, SIGSTOP and SIGCONT make it silent and let it answer again::

    $ORIGIN example.org.
    $TTL 60
    @           IN SOA ns hostmaster ( 1 3600 600 86400 30 )
    _sip._udp   IN SRV 0 100 5060 host1
    host1       IN A   127.0.0.1

Left out: delegation, CNAME and wildcard records, zone transfer, DNSSEC, IPv6 as transport.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.zone
from dnslib import AAAA, NS, QTYPE, RCODE, RR, SOA, SRV, A, DNSError, DNSLabel, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from model.errors import EnvironmentLacks, HastudyError, UsageError

DNS_PORT = 53
"""Port of a name server. Source: RFC 1035 section 4.2. Kind: specified."""

MAX_UDP_BYTES = 512
"""Longest answer over UDP; the rest is asked for over TCP. Source: RFC 1035 section 2.3.4. Kind: specified (clients
that say they take more are not believed, which costs them a connection)."""

POLL_S = 0.1
"""Pause between two looks whether the server shall end. Kind: assumed."""

SERVICES = {"udp": ("_sip._udp", 5060), "tcp": ("_sip._tcp", 5060), "tls": ("_sips._tcp", 5061)}
"""SRV service and port of each transport. Source: RFC 3263 section 4.1, RFC 3261 section 19.1.2. Kind: specified."""


@dataclass(frozen=True, slots=True)
class Target:
    """A registrar node in the zone.

    Attributes
    ----------
    address : str
    priority, weight : int
        Of its SRV records.
    """

    address: str
    priority: int = 0
    weight: int = 100


class Zone(BaseResolver):
    """Records of one domain.

    Parameters
    ----------
    records : iterable of dnslib.RR
        All of one domain, its SOA among them.
    """

    def __init__(self, records: Iterable[RR]) -> None:
        self.is_silent = False
        self.replace(records)

    def replace(self, records: Iterable[RR]) -> None:
        """Answer from these records from now on."""
        found: dict[DNSLabel, list[RR]] = {}
        for record in records:
            found.setdefault(DNSLabel(str(record.rname).lower()), []).append(record)
        soas = [record for each in found.values() for record in each if record.rtype == QTYPE.SOA]
        if len(soas) != 1:
            raise UsageError(f"a zone has one SOA record, here are {len(soas)}")
        self._soa, self._records = soas[0], found

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        """Answer a query; called by the server for each, in a thread of its own."""
        if self.is_silent:
            raise DNSError("silent")  # the one way to have the server answer nothing
        reply = self._reply(request)
        if handler.protocol == "udp" and len(reply.pack()) > MAX_UDP_BYTES:
            reply.rr, reply.auth, reply.ar = [], [], []  # dnslib's own `truncate` drops the question, too
            reply.header.tc = 1
        return reply

    def _reply(self, request: DNSRecord) -> DNSRecord:
        reply = request.reply(ra=0)
        name, kind = DNSLabel(str(request.q.qname).lower()), request.q.qtype
        records = self._records  # `replace` may come between
        if not name.matchSuffix(self._soa.rname):
            reply.header.aa, reply.header.rcode = 0, RCODE.REFUSED
            return reply
        found = [record for record in records.get(name, ()) if kind in (record.rtype, QTYPE.ANY)]
        if found:
            reply.add_answer(*found)
            reply.add_ar(*_addresses_of_targets(found, records))
            return reply
        if not any(other.matchSuffix(name) for other in records):
            reply.header.rcode = RCODE.NXDOMAIN
        reply.add_auth(self._soa)
        return reply


def _addresses_of_targets(found: Iterable[RR], records: Mapping[DNSLabel, Sequence[RR]]) -> list[RR]:
    targets = {DNSLabel(str(record.rdata.target).lower()) for record in found if record.rtype == QTYPE.SRV}
    return [
        record
        for target in sorted(targets, key=str)
        for record in records.get(target, ())
        if record.rtype in (QTYPE.A, QTYPE.AAAA)
    ]


class ClusterZone(Zone):
    """The zone of a cluster: SRV records of each node for each transport, and the addresses of all hosts.

    Parameters
    ----------
    domain : str
    targets : mapping of str to Target
        By host.
    ttl_s, negative_ttl_s : int
        How long an answer, and the absence of a record, may be kept.
    """

    def __init__(self, domain: str, targets: Mapping[str, Target], ttl_s: int, negative_ttl_s: int) -> None:
        self._domain, self._targets = domain, dict(targets)
        self._ttl_s, self._negative_ttl_s = ttl_s, negative_ttl_s
        self._removed: set[str] = set()
        super().__init__(self._build())

    def remove(self, host: str) -> None:
        """Take the SRV records of a host out; its address stays."""
        self._removed.add(host)
        self.replace(self._build())

    def add(self, host: str) -> None:
        """Put them back."""
        self._removed.discard(host)
        self.replace(self._build())

    def _build(self) -> list[RR]:
        domain, ttl_s = self._domain, self._ttl_s
        times = (1, 3_600, 600, 86_400, self._negative_ttl_s)  # serial, refresh, retry, expire, minimum
        soa = SOA(f"ns.{domain}", f"hostmaster.{domain}", times)
        records = [RR(domain, QTYPE.SOA, ttl=self._negative_ttl_s, rdata=soa)]
        records.append(RR(domain, QTYPE.NS, ttl=ttl_s, rdata=NS(f"ns.{domain}")))
        for host, target in self._targets.items():
            name, address = f"{host}.{domain}", target.address
            kind, data = (QTYPE.AAAA, AAAA(address)) if ":" in address else (QTYPE.A, A(address))
            records.append(RR(name, kind, ttl=ttl_s, rdata=data))
            if host not in self._removed:
                for service, port in SERVICES.values():
                    data = SRV(target.priority, target.weight, port, name)
                    records.append(RR(f"{service}.{domain}", QTYPE.SRV, ttl=ttl_s, rdata=data))
        return records


class NameServer:
    """A server for one zone, in threads of its own.

    Parameters
    ----------
    zone : Zone
    ip : str
        IPv4 address to listen on, with both UDP and TCP.
    port : int
        0 takes any free one.

    Raises
    ------
    EnvironmentLacks
        The address cannot be had.
    """

    def __init__(self, zone: Zone, ip: str, port: int = DNS_PORT) -> None:
        self.zone = zone
        quiet = DNSLogger(log="-request,-reply,-truncated,-error")
        try:
            datagrams = DNSServer(zone, ip, port, logger=quiet).server
            self.ip, self.port = datagrams.server_address[:2]
            self._servers = (datagrams, DNSServer(zone, ip, self.port, tcp=True, logger=quiet).server)
        except OSError as error:
            hint = f"\n\nhint: take a port above 1023 instead of {port}" if isinstance(error, PermissionError) else ""
            raise EnvironmentLacks(f"cannot serve DNS on {ip}:{port}: {error.strerror}{hint}") from None

    def start(self) -> None:
        """Answer from now on."""
        for each in self._servers:
            threading.Thread(target=each.serve_forever, args=(POLL_S,), daemon=True).start()

    def close(self) -> None:
        """End, and free the port."""
        for each in self._servers:
            each.shutdown()
            each.server_close()


def read_zone(path: Path) -> list[RR]:
    """Records of a zone file.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    try:
        zone = dns.zone.from_text(path.read_text(encoding="utf-8"), relativize=False, check_origin=False)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (dns.exception.DNSException, ValueError) as error:
        raise UsageError(f"{path}: not a zone file: {error or type(error).__name__}") from None
    return RR.fromZone(zone.to_text(relativize=False))  # dnslib itself leaves the targets of SRV records relative


def address_and_port(text: str) -> tuple[str, int]:
    """``IP:PORT`` of a command line; `ValueError` when it is none."""
    ip, _, port = text.rpartition(":")
    if not ip or not 0 <= int(port) < 65_536:
        raise ValueError(text)
    return ip, int(port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m reference_node.dns_server``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reference_node.dns_server",
        description="An authoritative name server for one zone.",
        epilog="example: python -m reference_node.dns_server example.org.zone --listen 127.0.0.1:5353",
    )
    parser.add_argument("zone", type=Path, help="zone file (RFC 1035 section 5); read again on SIGHUP")
    parser.add_argument(
        "--listen", type=address_and_port, default=("127.0.0.1", DNS_PORT), metavar="IP:PORT", help="127.0.0.1:53"
    )
    options = parser.parse_args(arguments)
    try:
        server = NameServer(Zone(read_zone(options.zone)), *options.listen)
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    stop = _stopped_by_signal(server, options.zone)
    server.start()
    print(f"serving {options.zone} on {server.ip}:{server.port}", file=sys.stderr)  # a signal is heard from here on
    stop.wait()
    server.close()
    return 0


def _stopped_by_signal(server: NameServer, path: Path) -> threading.Event:
    """Set by SIGINT and SIGTERM; SIGHUP reads the zone again."""
    stop = threading.Event()

    def read_again(*_: object) -> None:
        try:
            server.zone.replace(read_zone(path))
        except UsageError as error:
            print(f"error: {error}; the old records stay", file=sys.stderr)

    signal.signal(signal.SIGHUP, read_again)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    sys.exit(main())
