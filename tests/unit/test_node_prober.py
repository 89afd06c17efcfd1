"""The prober against a node that answers oddly: every probe ends in one of three outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import sipmessage

from reference_node.prober import Prober

LIMIT_S = 20.0

Answering = Callable[[sipmessage.Request, Callable[[bytes], None]], None]


def answer(request: sipmessage.Request, code: int, **changes: str) -> bytes:
    """An answer to a request, with some headers changed."""
    response = sipmessage.Response(code, "Because")
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        response.headers.add(name, changes.get(name, request.headers[name]))
    return bytes(response)


class Peer(asyncio.DatagramProtocol):
    """Hands each REGISTER to `answering`, with a way to send datagrams back."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data, addr) -> None:
        request = sipmessage.Message.parse(data)
        assert isinstance(request, sipmessage.Request)
        self._answering(request, lambda datagram: self._transport.sendto(datagram, addr))


def probe(answering: Answering, settled: int, timeout_ms: int = 5_000) -> tuple[Prober, list[tuple]]:
    """Probe a peer until that many registrations have an outcome."""
    told: list[tuple] = []

    async def scenario() -> Prober:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Peer(answering), local_addr=("127.0.0.1", 0))
        target = transport.get_extra_info("sockname")
        prober = Prober({"host1": target}, 20, timeout_ms, 1, "example.org", lambda *event: told.append(event))
        stop = asyncio.Event()
        running = asyncio.create_task(prober.run(stop))
        async with asyncio.timeout(LIMIT_S):
            while sum(prober.counts()["host1"].values()) < settled:
                await asyncio.sleep(0.01)
        stop.set()
        await running
        transport.close()
        return prober

    return asyncio.run(scenario()), told


def test_a_provisional_answer_is_none_and_the_final_one_counts():
    def answering(request, send):
        send(answer(request, 100))
        send(answer(request, 503))

    prober, told = probe(answering, 5)
    counts = prober.counts()["host1"]
    assert (counts["confirmed"], counts["unknown"]) == (0, 0)
    assert [(host, event, code) for host, event, _, _, code in told] == [("host1", "refused", 503)]


def test_only_the_first_final_answer_counts():
    def answering(request, send):
        send(answer(request, 200))
        send(answer(request, 500))

    prober, told = probe(answering, 5)
    assert prober.counts()["host1"]["refused"] == 0
    assert len(prober.confirmed_aors()["host1"]) == prober.counts()["host1"]["confirmed"]
    assert len(told) == 1


def test_garbage_and_answers_to_others_are_no_answers():
    def answering(request, send):
        send(b"\xff\x00")
        send(b"SIP/2.0 200 OK\r\n\r\n")
        send(bytes(request))
        for branch in ("z9hG4bKother-0-0", "", "z9hG4bK;self=1"):
            send(answer(request, 200, Via=f"SIP/2.0/UDP h.example;branch={branch}"))
        own = request.via[0].parameters["branch"] or ""
        for forged in (own + "9" * 5_000, own.rpartition("-")[0] + "-x", own.replace("-0-", "-7-")):
            send(answer(request, 200, Via=f"SIP/2.0/UDP h.example;branch={forged}"))

    prober, told = probe(answering, 5, timeout_ms=100)
    counts = prober.counts()["host1"]
    assert (counts["confirmed"], counts["refused"]) == (0, 0)
    assert [event[1] for event in told] == ["unknown"]


def test_an_answer_that_comes_too_late_leaves_the_outcome_unknown():
    kept: list[sipmessage.Request] = []

    def answering(request, send):
        kept.append(request)
        if len(kept) > 60:
            send(answer(kept.pop(0), 200))  # 60 periods of 20 ms after its request, which waits for 100 ms

    prober, _ = probe(answering, 80, timeout_ms=100)
    assert prober.counts()["host1"]["confirmed"] == 0
    assert prober.confirmed_aors() == {"host1": []}


def test_every_probe_is_a_new_registration_of_its_own():
    seen: list[tuple[str, ...]] = []

    def answering(request, send):
        seen.append((request.via[0].parameters["branch"], request.call_id, str(request.from_address.uri)))
        send(answer(request, 200))

    prober, _ = probe(answering, 5)
    assert all(len(set(column)) == len(seen) for column in zip(*seen, strict=True))
    assert set(prober.confirmed_aors()["host1"]) <= {uri.removeprefix("sip:") for _, _, uri in seen}
