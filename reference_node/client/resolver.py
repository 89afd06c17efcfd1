"""Looks the registrar nodes of a domain up: SRV records and the addresses of their targets, from one name server.

One call asks once, over UDP, and over TCP where the answer was cut off; it keeps nothing. When to ask again, and for
how long an answer is good, is for the client machine to decide. Silence is no answer: the call then never returns.

Addresses that do not come along as additional records are asked for one by one. A target without address is left out.

Left out: NAPTR (RFC 3263 section 4.1), addresses of the domain itself when it has no SRV records, CNAME, IPv6.
"""

from __future__ import annotations

from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
"""SRV service of each transport. Source: RFC 3263 section 4.1. Kind: specified."""


class Unanswered(Exception):
    """The name server refused or failed to answer, or what it said cannot be read."""


@dataclass(frozen=True, slots=True)
class Record:
    """One SRV record and its target's address.

    Attributes
    ----------
    target : str
        Host name in lower case, without the final dot.
    address : str
    port, priority, weight : int
    """

    target: str
    address: str
    port: int
    priority: int
    weight: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS says.

    Attributes
    ----------
    records : tuple of Record
        In the order of the answer; none when there is no such name, no data, or decidedly no service (target ".").
    ttl_s : int
        How long that may be kept.
    """

    records: tuple[Record, ...]
    ttl_s: int


async def look_up(domain: str, transport: str, server: str, port: int) -> Answer:
    """Ask for the nodes of a domain.

    Parameters
    ----------
    domain : str
    transport : str
        ``udp``, ``tcp`` or ``tls``.
    server : str
        IP address of the name server.
    port : int

    Raises
    ------
    Unanswered
    """
    name = dns.name.from_text(f"{SERVICES[transport]}.{domain}")
    reply = await _ask(name, dns.rdatatype.SRV, server, port)
    services = _records(reply, reply.answer, name, dns.rdatatype.SRV)
    if services is None or services[0].target == dns.name.root:
        return Answer((), services.ttl if services else _negative_ttl_s(reply))
    found, ttl_s = [], services.ttl
    for service in services:
        addresses = _records(reply, reply.additional, service.target, dns.rdatatype.A)
        if addresses is None:
            more = await _ask(service.target, dns.rdatatype.A, server, port)
            addresses = _records(more, more.answer, service.target, dns.rdatatype.A)
        if addresses is not None:
            ttl_s = min(ttl_s, addresses.ttl)
            host = service.target.to_text(omit_final_dot=True).lower()
            found.append(Record(host, addresses[0].address, service.port, service.priority, service.weight))
    return Answer(tuple(found), ttl_s)


async def _ask(name: dns.name.Name, kind: dns.rdatatype.RdataType, server: str, port: int) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    try:
        reply, _ = await dns.asyncquery.udp_with_fallback(query, server, port=port)
    except (OSError, EOFError, dns.exception.DNSException) as error:
        raise Unanswered(str(error) or type(error).__name__) from None
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise Unanswered(dns.rcode.to_text(reply.rcode()))
    return reply


def _records(reply: dns.message.Message, section: list, name: dns.name.Name, kind: dns.rdatatype.RdataType):
    """The record set of that name and type in a section of a reply, None when there is none."""
    return reply.get_rrset(section, name, dns.rdataclass.IN, kind)


def _negative_ttl_s(reply: dns.message.Message) -> int:
    """How long the absence of a record may be kept (RFC 2308 section 5); without SOA, not at all."""
    for found in reply.authority:
        if found.rdtype == dns.rdatatype.SOA:
            return min(found.ttl, found[0].minimum)
    return 0
