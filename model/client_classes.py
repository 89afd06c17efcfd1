"""Classes of SIP clients: their behaviour as data for the one machine (`model.sip_client`).

`ideal` does what RFC 3261, 3263, 2782 and 5922 ask, `outbound` also what RFC 5626 does; the others do what the software
of that name does with its default settings. Each value stands here with its kind and its source (`FACTS`); what was
measured on the real client wins over what was read. docs/clients.md shows all of it as a table and says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from model import sip_client, srv

ClassName = Literal["ideal", "outbound", "linphone-5.1", "linphone-5.4", "baresip", "pjsua", "twinkle"]

Transport = Literal["udp", "tcp", "tls"]
SrvOrder = Literal["rfc2782", "modulo", "hash", "scatter", "first"]
Scope = Literal["flow", "request"]
Reaction = Literal["stay", "next later", "next at once", "afresh"]
PongRule = Literal["not needed", "needed once seen", "needed"]
Notice = Literal["not", "at once", "at next ping"]
CertificateName = Literal["domain", "host", "wildcard"]
Pause = int | Literal["retry law", "never"]

Kind = Literal["specified", "vendor default", "recommended", "measured", "assumed"]

FOR_EVER_MS = sip_client.FAR_FUTURE_US // 1_000
"""Stands for "no limit", in ms. Kind: assumed."""


def _knob(meaning: str) -> Any:
    return field(metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a class of clients does its own way; the meaning of each knob stands beside it. Times in ms.

    A `Pause` is a length, "retry law" (below), or "never": then the client does not try again by itself.
    """

    transports: tuple[Transport, ...] = _knob("transports that it knows")
    flows: int = _knob("flows to different nodes at once (RFC 5626)")

    srv_order: SrvOrder = _knob("order of an SRV answer: model/srv.py")
    dns_timeout_ms: int = _knob("the DNS is given up after this")
    draws_anew: Scope = _knob("when the answer is put in order anew: for each new flow, or for each request")
    caches: bool = _knob("an answer also serves later flows and requests, until its TTL ends")
    cache_limit_ms: int = _knob("an answer is kept no longer than this")
    keeps_ttl_0: bool = _knob("an answer with TTL 0 never gets old for an open flow")
    absence_limit_ms: int = _knob("the absence of records is known no longer than this, 0 = asked anew each time")
    uses_stale: bool = _knob("an answer whose TTL has ended still serves while the DNS fails")
    keeps_node: bool = _knob("stays with its node as long as that is listed; else each request prefers the first")

    on_timeout: Reaction = _knob("when a REGISTER gets no final answer in 32 s (Timer F)")
    on_no_connection: Reaction = _knob("when a connection is refused, too slow or not trusted, or an ICMP error comes")
    on_closed: Reaction = _knob("when the connection ends while a REGISTER is open; afresh: also an idle one")
    on_unavailable: Reaction = _knob("when a node answers 503")
    on_server_error: Reaction = _knob("when a node answers 500")
    silence_ms: int = _knob("Timer F counts against the node only if nothing came from it for this long")

    connect_limit_ms: int = _knob("a connection must be open by then, 0 = Timer F covers it, too")
    checks_certificate: bool = _knob("a node's certificate must be valid and name it in one of the accepted ways")
    accepted_names: tuple[CertificateName, ...] = _knob("the accepted ways: the domain, the SRV target, a wildcard")
    notices_close: Notice = _knob("when it notices that its idle connection has ended, and registers anew")
    notices_icmp: bool = _knob("notices ICMP errors over UDP")

    ping_min_ms: int = _knob("shortest pause between keep-alives over TCP and TLS")
    ping_max_ms: int = _knob("longest one, 0 = no keep-alives")
    udp_ping_min_ms: int = _knob("shortest pause between keep-alives over UDP")
    udp_ping_max_ms: int = _knob("longest one, 0 = no keep-alives")
    pong_limit_ms: int = _knob("an answer to a keep-alive is overdue after this")
    pong_rule: PongRule = _knob("whether a TCP or TLS flow without an answer is dead (over UDP nothing answers CRLF)")

    refresh_low_percent: int = _knob("earliest refresh, as a part of the granted lifetime")
    refresh_high_percent: int = _knob("latest refresh; uniform in between")
    refresh_margin_ms: int = _knob("and this much earlier")

    retry_first_ms: int = _knob("retry law: longest pause after the first failure in a row")
    retry_next_ms: int = _knob("retry law: after the second one, doubled for each further one")
    retry_limit_ms: int = _knob("retry law: up to this")
    retry_beside_ms: int = _knob("retry law: after the first one while the other flow is up, doubled as well")
    retry_low_percent: int = _knob("retry law: shortest pause, as a part of the longest; uniform in between")
    retry_spread_ms: int = _knob("retry law: the range reaches this much further on both sides")
    lost_flow_pause_ms: Pause = _knob("pause after the loss of an idle flow")
    timeout_pause_ms: Pause = _knob("pause after Timer F")
    unavailable_pause_ms: Pause = _knob("pause after a 503 without Retry-After")
    error_pause_ms: Pause = _knob("pause after a 404, 480 or 500 without Retry-After")
    refused_pause_ms: Pause = _knob("pause after any other final answer, also after a second 401")
    global_pause_ms: Pause = _knob("pause after 501, 505 and 6xx")
    obeys_retry_after: bool = _knob("Retry-After of 404, 480, 500 and 503 is the pause")
    avoids_unavailable: bool = _knob("leaves a node that answers 503 out for as long as Retry-After says")


class Fact(NamedTuple):
    """The value of a knob, and where it is from."""

    value: Any
    kind: Kind
    source: str


def _from(kind: Kind, source: str) -> Callable[[Any], Fact]:
    return lambda value: Fact(value, kind, source)


def _rfc(place: str) -> Callable[[Any], Fact]:
    return _from("specified", f"RFC {place}")


def _recommended(place: str) -> Callable[[Any], Fact]:
    return _from("recommended", f"RFC {place}")


def _read(place: str) -> Callable[[Any], Fact]:
    return _from("vendor default", place)


_assumed = _from("assumed", "")
_without_effect = _from("assumed", "without effect here")

_law_5626 = _recommended("5626 section 4.5")
_failure_3263 = _rfc("3263 section 4.3")

_IDEAL = {
    "transports": _rfc("3261 section 18, 26.2.1")(("udp", "tcp", "tls")),
    "flows": _rfc("3261")(1),
    "srv_order": _rfc("2782")("rfc2782"),
    "dns_timeout_ms": _read("resolv.conf(5): 2 tries of 5 s")(10_000),
    "draws_anew": _from("assumed", "RFC 2782 and 3263 allow both")("flow"),
    "caches": _rfc("1035 section 3.2.1")(True),
    "cache_limit_ms": _recommended("8767 section 4: 7 days")(604_800_000),
    "keeps_ttl_0": _rfc("1035 section 3.2.1")(False),
    "absence_limit_ms": _recommended("2308 section 5: 3 hours")(10_800_000),
    "uses_stale": _recommended("8767")(True),
    "keeps_node": _from("assumed", "RFC 3263 says nothing of later requests")(True),
    "on_timeout": _failure_3263("next at once"),
    "on_no_connection": _failure_3263("next at once"),
    "on_closed": _failure_3263("next at once"),
    "on_unavailable": _failure_3263("next at once"),
    "on_server_error": _failure_3263("stay"),
    "silence_ms": _failure_3263(0),
    "connect_limit_ms": _rfc("3261 section 17.1.2.2: Timer F starts with the transaction")(0),
    "checks_certificate": _rfc("5922 section 7")(True),
    "accepted_names": _rfc("5922 section 7.2, 7.3")(("domain",)),
    "notices_close": _rfc("3261 section 18.4")("at once"),
    "notices_icmp": _rfc("3261 section 18.4")(True),
    "ping_min_ms": _rfc("3261 has none")(0),
    "ping_max_ms": _rfc("3261 has none")(0),
    "udp_ping_min_ms": _rfc("3261 has none")(0),
    "udp_ping_max_ms": _rfc("3261 has none")(0),
    "pong_limit_ms": _without_effect(10_000),
    "pong_rule": _without_effect("not needed"),
    "refresh_low_percent": _from("assumed", "RFC 3261 section 10.2.4: before expiry")(90),
    "refresh_high_percent": _from("assumed", "RFC 3261 section 10.2.4: before expiry")(90),
    "refresh_margin_ms": _assumed(0),
    "retry_first_ms": _law_5626(30_000),
    "retry_next_ms": _law_5626(60_000),
    "retry_limit_ms": _law_5626(1_800_000),
    "retry_beside_ms": _law_5626(90_000),
    "retry_low_percent": _law_5626(50),
    "retry_spread_ms": _law_5626(0),
    "lost_flow_pause_ms": _assumed(0),
    "timeout_pause_ms": _law_5626("retry law"),
    "unavailable_pause_ms": _law_5626("retry law"),
    "error_pause_ms": _law_5626("retry law"),
    "refused_pause_ms": _rfc("3261 section 21.4.1, 21.4.4, 22.2")("never"),
    "global_pause_ms": _rfc("3261 section 21.6")("never"),
    "obeys_retry_after": _rfc("3261 section 20.33")(True),
    "avoids_unavailable": _rfc("3261 section 21.5.4")(True),
}

_keep_alive = _rfc("5626 section 4.4.1")
_stun = _rfc("5626 section 4.4.2")

_OUTBOUND = {
    **_IDEAL,
    "flows": _rfc("5626 section 4.2")(2),
    "ping_min_ms": _keep_alive(95_000),
    "ping_max_ms": _keep_alive(120_000),
    "udp_ping_min_ms": _stun(24_000),
    "udp_ping_max_ms": _stun(29_000),
    "pong_limit_ms": _keep_alive(10_000),
    "pong_rule": _keep_alive("needed"),
    "lost_flow_pause_ms": _law_5626("retry law"),
}

_linphone = _from("measured", "linphonec 5.1.65")
_resolver = _read("belle-sip src/belle_sip_resolver.c")
_channel = _read("belle-sip src/channel.c")
_refresher = _read("belle-sip src/refresher.c")
_stack = _read("belle-sip src/sipstack.c")

_LINPHONE_5_1 = {
    "transports": _read("liblinphone")(("udp", "tcp", "tls")),
    "flows": _read("liblinphone: +sip.instance, no reg-id")(1),
    "srv_order": _linphone("modulo"),
    "dns_timeout_ms": _linphone(10_000),
    "draws_anew": _linphone("flow"),
    "caches": _linphone(False),
    "cache_limit_ms": _channel(FOR_EVER_MS),
    "keeps_ttl_0": _channel(True),
    "absence_limit_ms": _channel(0),
    "uses_stale": _channel(False),
    "keeps_node": _linphone(True),
    "on_timeout": _linphone("next later"),
    "on_no_connection": _linphone("next at once"),
    "on_closed": _linphone("afresh"),
    "on_unavailable": _linphone("next later"),
    "on_server_error": _linphone("next later"),
    "silence_ms": _linphone(60_000),
    "connect_limit_ms": _linphone(63_000),
    "checks_certificate": _linphone(True),
    "accepted_names": _linphone(("domain",)),
    "notices_close": _linphone("at once"),
    "notices_icmp": _linphone(False),
    "ping_min_ms": _linphone(30_000),
    "ping_max_ms": _linphone(30_000),
    "udp_ping_min_ms": _linphone(30_000),
    "udp_ping_max_ms": _linphone(30_000),
    "pong_limit_ms": _without_effect(10_000),
    "pong_rule": _linphone("not needed"),
    "refresh_low_percent": _linphone(90),
    "refresh_high_percent": _linphone(90),
    "refresh_margin_ms": _linphone(0),
    "retry_first_ms": _linphone(0),
    "retry_next_ms": _linphone(60_000),
    "retry_limit_ms": _linphone(60_000),
    "retry_beside_ms": _without_effect(0),
    "retry_low_percent": _linphone(100),
    "retry_spread_ms": _refresher(0),
    "lost_flow_pause_ms": _linphone("retry law"),
    "timeout_pause_ms": _linphone(2_000),
    "unavailable_pause_ms": _read("belle-sip src/refresher.c: milliseconds taken for seconds")(60_000_000),
    "error_pause_ms": _linphone("never"),
    "refused_pause_ms": _linphone(60_000),
    "global_pause_ms": _linphone("never"),
    "obeys_retry_after": _linphone(True),
    "avoids_unavailable": _refresher(False),
}

_alike = "belle-sip of June 2025, read: as linphonec 5.1.65, which was measured"

_LINPHONE_5_4 = {
    **{
        knob: Fact(fact.value, "vendor default", _alike) if fact.kind == "measured" else fact
        for knob, fact in _LINPHONE_5_1.items()
    },
    "connect_limit_ms": _read("liblinphone 5.3.0 on, transport_timeout")(15_000),
    "pong_limit_ms": _read("liblinphone 5.4.0 on, pong_timeout")(10_000),
    "pong_rule": _read("liblinphone 5.4.0 on, ping_pong_verification; if outbound is negotiated")("needed once seen"),
}

_baresip = _from("measured", "baresip 4.10.0, also 1.0.0")
_request = _read("libre src/sip/request.c")
_transport = _read("libre src/sip/transp.c")
_registration = _read("libre src/sipreg/reg.c")
_libre_dns = _read("libre src/dns/client.c")

_BARESIP = {
    "transports": _transport(("udp", "tcp", "tls")),
    "flows": _read("baresip src/account.c: outbound is off")(1),
    "srv_order": _baresip("hash"),
    "dns_timeout_ms": _baresip(7_000),
    "draws_anew": _baresip("request"),
    "caches": _baresip(True),
    "cache_limit_ms": _libre_dns(1_800_000),
    "keeps_ttl_0": _libre_dns(False),
    "absence_limit_ms": _libre_dns(1_800_000),
    "uses_stale": _libre_dns(False),
    "keeps_node": _baresip(False),
    "on_timeout": _baresip("next at once"),
    "on_no_connection": _baresip("next at once"),
    "on_closed": _request("next at once"),
    "on_unavailable": _baresip("next at once"),
    "on_server_error": _baresip("stay"),
    "silence_ms": _baresip(0),
    "connect_limit_ms": _baresip(0),
    "checks_certificate": _from("measured", "baresip 4.10.0 and 1.0.0; sip_verify_server with a CA file: checked")(
        False
    ),
    "accepted_names": _transport(("domain",)),
    "notices_close": _baresip("not"),
    "notices_icmp": _baresip(False),
    "ping_min_ms": _baresip(0),
    "ping_max_ms": _baresip(0),
    "udp_ping_min_ms": _baresip(0),
    "udp_ping_max_ms": _baresip(0),
    "pong_limit_ms": _without_effect(10_000),
    "pong_rule": _without_effect("not needed"),
    "refresh_low_percent": _baresip(90),
    "refresh_high_percent": _baresip(90),
    "refresh_margin_ms": _baresip(0),
    "retry_first_ms": _baresip(60_000),
    "retry_next_ms": _baresip(120_000),
    "retry_limit_ms": _registration(1_800_000),
    "retry_beside_ms": _without_effect(0),
    "retry_low_percent": _baresip(50),
    "retry_spread_ms": _registration(0),
    "lost_flow_pause_ms": _without_effect("retry law"),
    "timeout_pause_ms": _registration("retry law"),
    "unavailable_pause_ms": _baresip("retry law"),
    "error_pause_ms": _baresip("retry law"),
    "refused_pause_ms": _baresip("retry law"),
    "global_pause_ms": _registration("retry law"),
    "obeys_retry_after": _baresip(False),
    "avoids_unavailable": _request(False),
}

_pjsua = _from("measured", "pjsua2 2.15.1")
_account = _read("pjsip src/pjsua-lib/pjsua_acc.c")
_pj_resolver = _read("pjlib-util include/pjlib-util/config.h, src/pjlib-util/resolver.c")
_pj_registration = _read("pjsip src/pjsip-ua/sip_reg.c")
_pj_send = _read("pjsip src/pjsip/sip_util.c")
_pj_settings = _read("pjsip include/pjsip/sip_config.h")

_PJSUA = {
    "transports": _read("pjsip")(("udp", "tcp", "tls")),
    "flows": _account(1),
    "srv_order": _pjsua("rfc2782"),
    "dns_timeout_ms": _pjsua(10_000),
    "draws_anew": _pjsua("request"),
    "caches": _pjsua(True),
    "cache_limit_ms": _pjsua(300_000),
    "keeps_ttl_0": _pj_resolver(False),
    "absence_limit_ms": _pj_resolver(60_000),
    "uses_stale": _pj_resolver(False),
    "keeps_node": _pjsua(False),
    "on_timeout": _pjsua("stay"),
    "on_no_connection": _pjsua("next at once"),
    "on_closed": _pj_send("stay"),
    "on_unavailable": _pjsua("stay"),
    "on_server_error": _pjsua("stay"),
    "silence_ms": _pjsua(0),
    "connect_limit_ms": _pjsua(0),
    "checks_certificate": _pjsua(False),
    "accepted_names": _without_effect(()),
    "notices_close": _pjsua("at once"),
    "notices_icmp": _pjsua(False),
    "ping_min_ms": _pjsua(91_000),
    "ping_max_ms": _pjsua(91_000),
    "udp_ping_min_ms": _pjsua(12_000),
    "udp_ping_max_ms": _pjsua(14_000),
    "pong_limit_ms": _without_effect(10_000),
    "pong_rule": _pjsua("not needed"),
    "refresh_low_percent": _pjsua(100),
    "refresh_high_percent": _pjsua(100),
    "refresh_margin_ms": _pjsua(5_000),
    "retry_first_ms": _pjsua(0),
    "retry_next_ms": _pjsua(300_000),
    "retry_limit_ms": _pjsua(300_000),
    "retry_beside_ms": _without_effect(0),
    "retry_low_percent": _account(100),
    "retry_spread_ms": _pjsua(10_000),
    "lost_flow_pause_ms": _pjsua("retry law"),
    "timeout_pause_ms": _pjsua("retry law"),
    "unavailable_pause_ms": _pjsua("retry law"),
    "error_pause_ms": _from("measured", "pjsua2 2.15.1 (404: never)")("retry law"),
    "refused_pause_ms": _from("measured", "pjsua2 2.15.1 (408: retry law)")("never"),
    "global_pause_ms": _pjsua("retry law"),
    "obeys_retry_after": _pjsua(False),
    "avoids_unavailable": _account(False),
}

_twinkle = _from("measured", "twinkle 1.10.2")
_user = _read("twinkle src/phone_user.cpp")
_srv_lookup = _read("twinkle src/sockets/dnssrv.cpp")
_sender = _read("twinkle src/sender.cpp")
_twinkle_numbers = _read("twinkle src/protocol.h")

_TWINKLE = {
    "transports": _read("twinkle src/user.cpp")(("udp", "tcp")),
    "flows": _user(1),
    "srv_order": _twinkle("scatter"),
    "dns_timeout_ms": _twinkle(20_000),
    "draws_anew": _twinkle("request"),
    "caches": _twinkle(False),
    "cache_limit_ms": _without_effect(0),
    "keeps_ttl_0": _without_effect(False),
    "absence_limit_ms": _srv_lookup(0),
    "uses_stale": _srv_lookup(False),
    "keeps_node": _twinkle(False),
    "on_timeout": _twinkle("stay"),
    "on_no_connection": _twinkle("next at once"),
    "on_closed": _sender("stay"),
    "on_unavailable": _twinkle("next at once"),
    "on_server_error": _twinkle("stay"),
    "silence_ms": _twinkle(0),
    "connect_limit_ms": _twinkle(0),
    "checks_certificate": _without_effect(False),
    "accepted_names": _without_effect(()),
    "notices_close": _from("measured", "twinkle 1.10.2 (a reset: at once)")("at next ping"),
    "notices_icmp": _twinkle(True),
    "ping_min_ms": _twinkle(30_000),
    "ping_max_ms": _twinkle(30_000),
    "udp_ping_min_ms": _twinkle(0),
    "udp_ping_max_ms": _twinkle(0),
    "pong_limit_ms": _without_effect(10_000),
    "pong_rule": _twinkle("not needed"),
    "refresh_low_percent": _twinkle(100),
    "refresh_high_percent": _twinkle(100),
    "refresh_margin_ms": _twinkle(5_000),
    "retry_first_ms": _twinkle(30_000),
    "retry_next_ms": _twinkle(30_000),
    "retry_limit_ms": _twinkle(30_000),
    "retry_beside_ms": _without_effect(0),
    "retry_low_percent": _twinkle(100),
    "retry_spread_ms": _twinkle(0),
    "lost_flow_pause_ms": _twinkle(0),
    "timeout_pause_ms": _twinkle("retry law"),
    "unavailable_pause_ms": _user("retry law"),
    "error_pause_ms": _twinkle("retry law"),
    "refused_pause_ms": _twinkle("retry law"),
    "global_pause_ms": _user("retry law"),
    "obeys_retry_after": _twinkle(False),
    "avoids_unavailable": _user(False),
}

SOFTWARE: dict[ClassName, str] = {
    "ideal": "no software: what RFC 1035, 2308, 2782, 3261, 3263, 5922 and 8767 ask for",
    "outbound": "no software: `ideal` with RFC 5626",
    "linphone-5.1": "linphonec 5.1.65 measured; belle-sip 5.1.64 and liblinphone 5.1.65 read",
    "linphone-5.4": "liblinphone and belle-sip of June 2025 read",
    "baresip": "baresip 4.10.0 measured (and 1.0.0, which keeps no DNS answers); baresip and libre of July 2026 read",
    "pjsua": "pjsua2 2.15.1 measured, a name server given (else it asks for no SRV); pjproject of August 2026 read",
    "twinkle": "twinkle 1.10.2 measured; its source of April 2026 read",
}
"""What a class describes."""

FACTS: dict[ClassName, dict[str, Fact]] = {
    "ideal": _IDEAL,
    "outbound": _OUTBOUND,
    "linphone-5.1": _LINPHONE_5_1,
    "linphone-5.4": _LINPHONE_5_4,
    "baresip": _BARESIP,
    "pjsua": _PJSUA,
    "twinkle": _TWINKLE,
}
"""Every knob of every class, with where its value is from."""

CLASSES: dict[ClassName, Behaviour] = {
    name: Behaviour(**{knob: fact.value for knob, fact in facts.items()}) for name, facts in FACTS.items()
}


def knobs() -> list[tuple[str, str]]:
    """Name and meaning of every knob, in order."""
    return [(each.name, each.metadata["meaning"]) for each in fields(Behaviour)]


def configure(state: Any, behaviour: Behaviour, transport: int, expires_s: int, me: int, starts_on: int) -> None:
    """Make a fresh state (`model.sip_client.CLIENT`) one of a client of some class.

    Parameters
    ----------
    state : SipClient
        Its stream is left to the driver.
    behaviour : Behaviour
    transport : int
        `sip_client.UDP`, `TCP` or `TLS`.
    expires_s : int
        Lifetime that it asks for, in s.
    me : int
        Number of the client.
    starts_on : int
        1 + number of the host that its first selection takes, 0 = as drawn.
    """
    state.me, state.transport, state.expires_s, state.starts_on = me, transport, expires_s, starts_on
    state.flows = behaviour.flows
    state.has_credentials = 1
    state.hash_key = srv.hash_of(me)
    for knob in sip_client.BEHAVIOUR.fields:
        setattr(state.behaviour, knob.name, _as_number(behaviour, knob.name, transport == sip_client.UDP))


_WORDS = get_type_hints(Behaviour)
_PAUSES = {"retry law": sip_client.BY_RETRY_LAW, "never": sip_client.NEVER}


def _as_number(behaviour: Behaviour, knob: str, is_udp: bool) -> int:
    """A knob as the machine has it: µs instead of ms, numbers instead of words, UDP's own value where there is one."""
    name = f"{knob.removesuffix('_us')}_ms" if knob.endswith("_us") else knob
    if is_udp and name == "pong_rule":
        return sip_client.NO_PONG_NEEDED
    if is_udp and hasattr(behaviour, f"udp_{name}"):
        name = f"udp_{name}"
    value = getattr(behaviour, name)
    if name == "accepted_names":
        return sum(1 << get_args(CertificateName).index(word) for word in value)
    if value in _PAUSES:
        return _PAUSES[value]
    if isinstance(value, str):
        return get_args(_WORDS[name]).index(value)
    return value * 1_000 if name.endswith("_ms") else int(value)
