"""SIP clients in the simulated world, against closed forms: what a fault costs which kind of client.

Redis and its Sentinel are on host a; a, b and c have nodes. Clients have registered through b, for 60 s at a time, when
something happens at 0 s. All times in seconds.
"""

from __future__ import annotations

import json

import pytest

from model import effects, sip_client
from model.scenario import parse
from sim import dns, flows, transactions
from sim.settings import settings_of
from sim.state import REGISTRAR, UA, actor
from sim.steady import prepare
from sim.world import World

PERIOD_S = 54.0
"""Refresh period: 90 % of the lifetime."""
TIMER_F_S = 32.0
A_MOMENT_S = 0.05
"""Longer than a few round trips, shorter than any timer."""
HOSTS = {"a": {}, "b": {"redis": False, "sentinel": False}, "c": {"redis": False, "sentinel": False}}


def client(class_, transport, **keys):
    return {"class": class_, "transport": transport, "expires_s": 60, "starts_on": "b", **keys}


def scenario(clients, faults, hosts=("a", "b"), horizon_s=100, **tables):
    """Little else is probed than the clients."""
    data = {
        "schema": 1,
        "name": "clients",
        "question": "when are they back?",
        "server": {"primary": "a"},
        "sentinel": {"quorum": 1},
        "probe": {"register_period_ms": 60_000, "write_period_ms": 10_000, "call_period_ms": 60_000},
        "run": {"horizon_ms": round(horizon_s * 1_000)},
        "host": [{"name": name, **HOSTS[name], **tables.pop(name, {})} for name in hosts],
        "client": [{"name": f"phone{number}", **each} for number, each in enumerate(clients)],
        "fault": [
            {"kind": kind, "host": host, "at_ms": round(at_s * 1_000), **more} for kind, host, at_s, more in faults
        ],
        **tables,
    }
    return parse("\n".join(f"{key} = {_toml(value)}" for key, value in data.items()))


def _toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def run(*args, seed=1, **keys):
    """What the clients report, as (s, number of the client, event, about, code)."""
    world = World(scenario(*args, **keys), seed)
    return [
        (event.t_us / 1e6, int(event.host.removeprefix("phone")), event.event, event.about, event.code)
        for event in world.trace().events
        if event.actor == "ua"
    ]


def firsts(rows, event, after_s=0.0, **fields):
    """The first such event of each client after an instant, in the order of the clients."""
    found = {}
    for row in rows:
        t_s, number, name, about, code = row
        if t_s > after_s and name == event and fields.get("about", about) == about and fields.get("code", code) == code:
            found.setdefault(number, t_s)
    return [found[number] for number in sorted(found)]


def node(kind, host, t_s):
    """A fault of a node's process."""
    return (kind, host, t_s, {"process": "registrar"})


CRASH = node("crash", "b", 0)
VANISH = ("vanish", "b", 0, {})


# --- datagrams -------------------------------------------------------------------------------------------------------


def test_a_silent_node_costs_a_client_over_udp_its_refresh_and_timer_f():
    """SC C2: uniform over a refresh period, and 32 s."""
    rows = run([client("ideal", "udp")] * 16, [VANISH])
    refreshed = firsts(rows, "attempt", about="b")
    back = firsts(rows, "registered", about="a")
    assert [end - start for start, end in zip(refreshed, back, strict=True)] == pytest.approx(
        [TIMER_F_S] * 16, abs=A_MOMENT_S
    )
    assert all(0 <= t_s <= PERIOD_S for t_s in refreshed)
    assert sum(refreshed) / 16 == pytest.approx(PERIOD_S / 2, abs=4 * PERIOD_S / (12 * 16) ** 0.5)
    assert len({round(t_s) for t_s in refreshed}) > 8


def test_a_dead_node_on_a_live_host_is_noticed_by_icmp_and_only_by_who_looks_for_it():
    rows = run([client("ideal", "udp"), client("linphone-5.1", "udp")], [CRASH])
    refreshed, back = firsts(rows, "attempt", about="b"), firsts(rows, "registered", about="a")
    assert back[0] - refreshed[0] == pytest.approx(0, abs=A_MOMENT_S)
    assert back[1] - refreshed[1] >= TIMER_F_S


def test_a_vanished_host_sends_no_icmp():
    rows = run([client("ideal", "udp")], [VANISH])
    assert not firsts(rows, "flow-lost")
    assert firsts(rows, "failed", code=408)


def test_a_stopped_node_that_goes_on_works_once_on_what_was_sent_again():
    """The client is there again when the node is, and Redis has one write of it, not one for each copy."""
    setting = scenario(
        [client("ideal", "udp")],
        [node("pause", "b", 0), node("resume", "b", 70)],
        hosts=("a", "b"),
        horizon_s=75,
    )
    world = World(setting, 1)
    world.trace()
    written = [world.state.binding[number].node for number in range(world.state.n_bindings)]
    assert written.count(1) <= 2  # the one it had at first, and one after 70 s


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_killed_node_resets_connections_and_who_notices_is_back_at_once(transport):
    rows = run([client("linphone-5.4", transport)] * 4, [CRASH])
    assert firsts(rows, "flow-lost", after_s=-1, code=sip_client.CLOSED) == pytest.approx([0] * 4, abs=A_MOMENT_S)
    assert firsts(rows, "registered", about="a") == pytest.approx([0] * 4, abs=1)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_who_does_not_notice_a_reset_is_back_at_its_refresh(transport):
    rows = run([client("baresip", transport)] * 8, [CRASH])
    assert not firsts(rows, "flow-lost")
    back = firsts(rows, "registered", about="a")
    assert len(back) == 8
    assert all(0 < t_s < PERIOD_S + 1 for t_s in back)
    assert max(back) > PERIOD_S / 2


def test_a_vanished_host_is_silent_to_a_connect_however_long_it_has_been_gone():
    """No neighbour of a client tells it that there is no route: the client's own limit ends the connect."""
    rows = run([client("ideal", "tcp", starts_on="a")], [VANISH, node("crash", "a", 60)])
    (lost,) = firsts(rows, "flow-lost", after_s=59)
    (failed,) = firsts(rows, "failed", after_s=60, about="b")
    assert failed - lost == pytest.approx(TIMER_F_S, abs=A_MOMENT_S)


def test_a_frozen_node_accepts_tcp_and_shakes_no_hands():
    """Over TCP the client waits for an answer to its REGISTER, over TLS it does not come so far."""
    faults = [node("pause", "b", 0), node("crash", "a", 1)]
    over_tcp = run([client("ideal", "tcp", starts_on="a")], faults)
    over_tls = run([client("ideal", "tls", starts_on="a")], faults)
    assert firsts(over_tcp, "attempt", about="b")
    assert firsts(over_tcp, "failed", about="b", code=408)
    assert not firsts(over_tls, "attempt", about="b")
    (failed,) = firsts(over_tls, "failed", about="b")
    assert failed - 1 == pytest.approx(TIMER_F_S, abs=A_MOMENT_S)


def test_a_frozen_node_that_goes_on_shakes_hands():
    faults = [node("pause", "b", 0), node("crash", "a", 1), node("resume", "b", 3)]
    (back,) = firsts(run([client("ideal", "tls", starts_on="a")], faults), "registered", about="b")
    assert back == pytest.approx(3, abs=A_MOMENT_S)


def test_an_idle_connection_to_a_vanished_host_ends_when_the_kernel_gives_the_first_keep_alive_up():
    """SC B5: 924.6 s and a bit after the first unacknowledged data, which is sent within 30 s."""
    rows = run([client("linphone-5.1", "tcp", expires_s=3600)] * 3, [VANISH], horizon_s=970)
    lost = [t_s for t_s, number, event, *_ in rows if event == "flow-lost" and not _tried(rows, number, t_s)]
    assert lost
    assert all(924.6 < t_s < 924.6 + 30 + 10 for t_s in lost)


def _tried(rows, number, before_s):
    return any(0 < t_s < before_s and who == number and event == "attempt" for t_s, who, event, *_ in rows)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_what_a_stopped_node_was_sent_is_written_when_it_goes_on_although_the_client_has_left(transport):
    """By then the client has registered through another node: the late write names a flow that is gone."""
    faults = [node("pause", "b", 0), node("resume", "b", 95)]
    world = World(scenario([client("ideal", transport)], faults), 1)
    back = [event for event in world.trace().events if event.event == "registered" and event.t_us > 0]
    assert [event.about for event in back] == ["a"]
    last = world.state.binding[world.state.n_bindings - 1]
    assert last.node == 1
    assert flows.is_over(world.state, last.flow)


@pytest.mark.parametrize(
    ("certificate", "is_accepted"),
    [("host-and-domain", True), ("domain", True), ("host", False), ("wildcard", False), ("expired", False),
     ("unknown-ca", False)],
)  # fmt: skip
def test_a_client_looks_at_the_certificate_of_the_node_it_comes_to(certificate, is_accepted):
    """RFC 5922: the domain, in date, by a known authority, no wildcard."""
    rows = run([client("ideal", "tls", starts_on="a")], [node("crash", "a", 0)], b={"certificate": certificate})
    assert bool(firsts(rows, "registered", about="b")) == is_accepted
    assert bool(firsts(rows, "untrusted", about="b")) != is_accepted


def test_no_client_has_registered_through_a_node_that_it_does_not_trust():
    rows = run([client("ideal", "tls")], [VANISH], b={"certificate": "expired"})
    assert not firsts(rows, "failed")
    alone = run([client("ideal", "tls")], [VANISH], a={"certificate": "host"}, b={"certificate": "expired"})
    assert firsts(alone, "untrusted", after_s=-10) and not firsts(alone, "registered", after_s=-10)


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "moves"), [(503, True), (500, False)])
def test_a_node_without_redis_sends_a_client_away_by_503_and_keeps_it_by_500(status, moves):
    """SC C3.4; b is cut off from Redis, not from the client."""
    rows = run([client("ideal", "tcp")], [("partition", "b", 0, {})], registrar={"unavailable_status": status})
    assert firsts(rows, "failed", about="b", code=status)
    assert bool(firsts(rows, "registered", about="a")) == moves


# --- the DNS ---------------------------------------------------------------------------------------------------------


def test_a_client_whose_answer_is_old_waits_for_the_name_server():
    faults = [("dns-stop", "dns", 0, {}), node("crash", "b", 5), ("dns-start", "dns", 40, {})]
    rows = run([client("linphone-5.4", "tcp")], faults, dns={"ttl_s": 1})
    assert firsts(rows, "unresolved", after_s=5)
    (resolved,) = firsts(rows, "resolved", after_s=5)
    (back,) = firsts(rows, "registered", after_s=5)
    assert resolved > 40
    assert back == pytest.approx(resolved, abs=A_MOMENT_S)


def test_a_client_with_a_fresh_answer_needs_no_name_server():
    rows = run([client("ideal", "tcp")], [("dns-stop", "dns", 0, {}), node("crash", "b", 5)], dns={"ttl_s": 3600})
    assert not firsts(rows, "unresolved")
    assert firsts(rows, "registered", after_s=5, about="a")


@pytest.mark.parametrize(("ttl_s", "moves"), [(1, True), (3600, False)])
def test_a_removed_record_drives_a_client_away_once_its_answer_is_old(ttl_s, moves):
    rows = run([client("ideal", "udp")], [("dns-remove", "b", 0, {})], dns={"ttl_s": ttl_s})
    assert bool(firsts(rows, "registered", about="a")) == moves
    assert bool(firsts(rows, "registered", about="b")) != moves


def test_a_record_that_is_back_is_found_again():
    faults = [("dns-remove", "b", 0, {}), ("dns-add", "b", 1, {})]
    rows = run([client("ideal", "udp")], faults, dns={"ttl_s": 1})
    assert not firsts(rows, "registered", about="a")


def test_the_dns_answers_with_the_records_that_it_has():
    world = World(scenario([client("ideal", "udp")], [VANISH], hosts=("a", "b", "c"), c={"srv_priority": 7}), 1).state
    phone = world.ua[0]
    world.zone[0].is_listed = 0
    assert dns.fill(world, phone) == sip_client.FOUND
    assert phone.answer_host[: phone.answer_count] == [1, 2]
    assert phone.answer_priority[: phone.answer_count] == [0, 7]
    world.zone[1].is_listed = world.zone[2].is_listed = 0
    assert dns.fill(world, phone) == sip_client.NO_NAME
    assert phone.answer_ttl_s == 300


# --- below the machines ----------------------------------------------------------------------------------------------


def test_a_transaction_is_worked_on_once_and_answered_as_often_as_asked():
    transaction, out, message = transactions.TRANSACTION.new(), effects.OUT.new(), effects.MESSAGE.new()
    message.kind, message.request = effects.REGISTER, 7
    assert transactions.absorbs(transaction, 1, message, out) == 0
    assert transactions.absorbs(transaction, 1, message, out) == 1
    assert out.n == 0
    message.kind, message.code, message.seconds = effects.RESPONSE, 200, 60
    transactions.end(transaction, message)
    message.kind = effects.REGISTER
    assert transactions.absorbs(transaction, 1, message, out) == 1
    answer = out.effects[0].message
    assert (out.n, answer.request, answer.code, answer.seconds) == (1, 7, 200, 60)
    message.request = 8
    assert transactions.absorbs(transaction, 1, message, out) == 0


def test_an_answer_finds_the_life_of_a_flow_that_it_belongs_to_and_no_later_one():
    world = World(scenario([client("ideal", "tcp")], [VANISH]), 1).state
    number = actor(UA, 0) * flows.LINKS
    source = flows.source_of(number, world.connection[number].generation)
    assert not flows.is_over(world, source)
    flows.connect(world, number, 1, world.now_us)
    assert world.connection[number].target == actor(REGISTRAR, 1)
    assert flows.is_over(world, source)


# --- the start -------------------------------------------------------------------------------------------------------


def test_clients_start_anywhere_in_their_refresh_period_through_nodes_of_their_choice():
    setting = settings_of(
        scenario([client("ideal", "udp", starts_on="")] * 16, [VANISH], a={"srv_weight": 75}, b={"srv_weight": 25})
    )
    world = World(scenario([client("ideal", "udp")], [VANISH]), 1).state
    ages, nodes = [], []
    for run_ in range(40):
        prepare(world, setting, 3, run_)
        for phone in world.ua[: world.clients]:
            ages.append((world.now_us - phone.flow[0].registered_us) / 1e6)
            nodes.append(phone.flow[0].host - 1)
    assert 0 <= min(ages) < 1 and PERIOD_S - 1 < max(ages) <= PERIOD_S
    assert sum(ages) / len(ages) == pytest.approx(PERIOD_S / 2, abs=4 * PERIOD_S / (12 * len(ages)) ** 0.5)
    # RFC 2782 draws from 0 to 100, both ends included.
    assert nodes.count(0) / len(nodes) == pytest.approx(76 / 101, abs=4 * (0.25 * 0.75 / len(nodes)) ** 0.5)
