"""Callers: what becomes of a call, in the order of calling, and only when it changes."""

from __future__ import annotations

import asyncio
import random

from reference_node.lab.callers import Callers
from reference_node.sip import message as sip

LIMIT_S = 20.0


class Peer(asyncio.DatagramProtocol):
    """A node that answers each OPTIONS with what comes next; None is silence, the last one stays."""

    def __init__(self, *statuses: int | None) -> None:
        self._statuses = list(statuses)
        self.seen: list[sip.Request] = []

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data, addr) -> None:
        request = sip.read(data, addr)
        self.seen.append(request)
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if status is not None:
            self._transport.sendto(sip.answer(request.envelope, 100), addr)
            self._transport.sendto(sip.answer(request.envelope, status), addr)


def call(peer: Peer, until: int, timeout_ms: int = 200) -> tuple[list[tuple], dict]:
    """Call one client through one peer until that many outcomes were reported."""
    told: list[tuple] = []

    async def play() -> dict:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        transport, _ = await loop.create_datagram_endpoint(lambda: peer, local_addr=("127.0.0.1", 0))

        def report(*words) -> None:
            told.append(words)
            if len(told) >= until:
                stop.set()

        nodes = {"host1": transport.get_extra_info("sockname")}
        callers = Callers(["alice"], nodes, "example.org", 20, timeout_ms, random.Random(1), report)
        async with asyncio.timeout(LIMIT_S):
            await callers.run(stop)
        transport.close()
        return callers.counts()

    counts = asyncio.run(play())
    return [(client, host, event, status) for client, host, event, _, _, status in told], counts


def test_outcomes_are_told_when_they_change_and_another_status_is_a_change():
    told, counts = call(Peer(200, 200, 480, 480, 404, 200), 4)
    assert told == [
        ("alice", "host1", "call-answered", 200),
        ("alice", "host1", "call-refused", 480),
        ("alice", "host1", "call-refused", 404),
        ("alice", "host1", "call-answered", 200),
    ]
    assert counts == {("alice", "host1"): (6, 3)}


def test_silence_is_an_outcome_of_its_own():
    told, counts = call(Peer(200, None), 2)
    assert told == [("alice", "host1", "call-answered", 200), ("alice", "host1", "call-unanswered", 0)]
    assert counts["alice", "host1"] == (2, 1)


def test_a_later_call_does_not_overtake_an_earlier_one():
    told, _ = call(Peer(None, 200), 2, timeout_ms=300)
    assert [event for _, _, event, _ in told] == ["call-unanswered", "call-answered"]


def test_a_call_is_an_options_to_the_client_through_the_node():
    peer = Peer(200)
    call(peer, 1)
    request = peer.seen[0]
    assert (request.method, request.uri) == ("OPTIONS", "sip:alice@example.org")


def test_without_clients_nobody_calls():
    async def play() -> None:
        callers = Callers([], {}, "example.org", 20, 200, random.Random(1), lambda *_: None)
        await callers.run(asyncio.Event())
        assert callers.counts() == {}

    asyncio.run(play())
