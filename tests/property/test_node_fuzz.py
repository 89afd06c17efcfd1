"""A whole node, but for its sockets and its Redis, under whatever bytes come, as datagrams and as pieces of a stream.

``HASTUDY_FUZZ=1000000`` runs that many mutated messages instead of a few thousand, and ten times as many of Hypothesis'
examples, which cost far more each.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_node.node import bindings
from reference_node.node.config import NodeConfig
from reference_node.node.service import Node
from reference_node.node.telemetry import Journal
from reference_node.sip import message as sip
from reference_node.sip.framing import PING, Framer, Unframed
from reference_node.sip.transports import Point

N_MESSAGES = int(os.environ.get("HASTUDY_FUZZ", "5000"))
BATCH = 50
SEED = 20_261_123
fuzzed = settings(
    max_examples=max(200, N_MESSAGES // 500),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
)

METHODS = b"REGISTER INVITE ACK CANCEL MESSAGE OPTIONS BYE NOTIFY FOO".split()
TARGETS = b"sip:example.org sip:bob@example.org sips:bob@example.org sip:127.0.0.1:5060 sip:b@192.0.2.1".split()
LINES = rb"""Contact: <sip:alice@pc33:5070>;+sip.instance="<urn:uuid:1>";q=0.3
Contact: *
Expires: 0
Expires: 60
Route: <sip:127.0.0.1:5060;lr>
Route: <sip:192.0.2.7;lr>
Path: <sip:p;lr>
Require: path
Proxy-Require: x
Max-Forwards: 0
Max-Forwards: x
Max-Forwards: 70
Supported: outbound
Content-Type: text/plain
Authorization: Digest realm="example.org", nonce="1", username="alice"
Record-Route: <sip:r;lr>
Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1.0123456789abcdef
Accept: a/b
User-Agent: x""".split(b"\n")
PIECES = [
    *rb"""" < > ; = , * % %00 \ @ ;lr ;fs-conn-id=1 ;tag=1 sip: SIP/2.0 Via: [::1] -1""".split(),
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\x00", b" ", b"\xff", b"\r\n ", b"\xd9\xa3", b"9" * 300),
]


@st.composite
def requests(draw) -> bytes:
    """A request that may well be sound, then perhaps damaged."""
    method, uri = draw(st.sampled_from(METHODS)), draw(st.sampled_from(TARGETS))
    number, body = draw(st.integers(0, 9)), draw(st.binary(max_size=10))
    tag = draw(st.sampled_from([b"", b";tag=x"]))
    lines = [
        b"%s %s SIP/2.0" % (method, uri),
        b"Via: SIP/2.0/UDP pc33.example.net:5070;rport;branch=z9hG4bK%d" % number,
        b"From: <sip:alice@example.org>;tag=a",
        b"To: <%s>%s" % (uri, tag),
        b"Call-ID: c%d" % number,
        b"CSeq: %d %s" % (number, method),
        *draw(st.lists(st.sampled_from(LINES), max_size=5)),
        b"Content-Length: %d" % len(body),
    ]
    data = bytearray(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 12))] = draw(st.sampled_from(PIECES) | st.binary(max_size=4))
    return bytes(data)


class Redis:
    """Hands without a machine: one stored contact, and answers at once."""

    is_writable, answers_ping, open_jobs, phase = True, True, 0, "on-primary"

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, job: Any) -> None:
        self.asked += 1
        stored = b"<sip:bob@192.0.2.1:5062;expires=9999999999;updatedAt=1>"
        done = job.found([binding for binding in [bindings.decode(b"f", stored)] if binding])
        job.end(200 if done is not None and self.asked % 5 else 500)

    def publish(self, topic: str, text: str) -> None:
        assert "\r" not in topic + text

    def stop(self) -> None:
        pass


class Wire:
    """A flow that keeps what is sent."""

    point, peer, id = Point("udp", "127.0.0.1", "127.0.0.1", 5060), ("192.0.2.9", 40_000), ""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> bool:
        self.sent.append(data)
        return True


class Bench:
    """A node on a wire."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        config = NodeConfig.model_validate(
            {
                "host": "h", "host_index": 0, "sip": {"ip": "127.0.0.1", "port": 5060}, "log": "", "seed": 1,
                "servers": [{"host": "h", "ip": "127.0.0.1", "port": 1}], "first_server": 0, "domain": "example.org",
            }
        )  # fmt: skip
        self.node = Node(config, lambda *report: None, Journal("", "h"))
        self.node.hands = Redis()  # type: ignore[assignment]
        self.node.transports.points.append(Wire.point)
        self.wire = Wire()
        self.node.transports.flow_at_hand = lambda *where: self.wire  # type: ignore[method-assign]
        self.node._proxy.reach = self._nowhere  # type: ignore[method-assign]
        self.node._names = frozenset([("127.0.0.1", 5060)])

    async def _nowhere(self, target: Any) -> Any:
        raise OSError("names are not looked up in a test")

    def take(self, messages: Sequence[bytes]) -> list[bytes]:
        """What the node sends when these messages come."""
        self.wire.sent.clear()
        self.loop.run_until_complete(self._take(messages))
        return list(self.wire.sent)

    async def _take(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.node.received(message, self.wire)
        await asyncio.sleep(0)

    def close(self) -> None:
        self.node.stop()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def check(sent: Sequence[bytes]) -> None:
    """What a node sends is sound: itself could read it."""
    for data in sent:
        if sip.is_response(data):
            head, end, _ = data.partition(b"\r\n\r\n")
            assert end and all(b": " in line for line in head.split(b"\r\n")[1:]), data
            assert b"\x00" not in head and b"\n" not in head.replace(b"\r\n", b""), data
        else:
            sip.read(data, ("192.0.2.1", 5060))


@fuzzed
@given(data=requests())
def test_a_request_in_whatever_shape_gets_a_sound_answer_or_none(bench: Bench, data: bytes):
    check(bench.take([data]))


@fuzzed
@given(
    data=requests(),
    damage=st.binary(max_size=6),
    status=st.sampled_from([b"100", b"180", b"200", b"302", b"486", b"600"]),
)
def test_a_response_in_whatever_shape_does_no_harm(bench: Bench, data: bytes, damage: bytes, status: bytes):
    """Responses to what the node has just passed on, perhaps damaged."""
    passed_on = [sent for sent in bench.take([data]) if not sip.is_response(sent)]
    answers = []
    for sent in passed_on:
        _, _, rest = sent.partition(b"\r\n")
        answer = b"SIP/2.0 " + status + b" x\r\n" + rest
        at = len(damage) * len(answer) // 7
        answers.append(answer[:at] + damage + answer[at:])
    check(bench.take(answers))


@fuzzed
@given(
    parts=st.lists(requests() | st.binary(max_size=20) | st.just(PING), max_size=4), cuts=st.lists(st.integers(1, 60))
)
def test_a_stream_means_the_same_wherever_it_is_cut(bench: Bench, parts: list[bytes], cuts: list[int]):
    data = b"".join(parts)
    whole, pieces, at = [], [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    pieces.append(data[at:])
    ends = []
    for result, chunks in ((whole, [data]), (again := [], pieces)):
        framer, end = Framer(), "open"
        try:
            for chunk in chunks:
                result.extend(framer.feed(chunk))
        except Unframed as error:
            end = error.why
        ends.append(end)
    assert (whole, ends[0]) == (again, ends[1])
    check(bench.take([message for message in whole if message is not PING]))


def mutated(chance: random.Random, corpus: Sequence[bytes]) -> bytes:
    """A message of the corpus with a few cuts, copies and insertions."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            del data[at : at + chance.randrange(30)]
        elif kind == 1:
            data[at:at] = chance.choice(PIECES)
        elif kind == 2:
            data[at : at + 1] = chance.randbytes(1)
        elif kind == 3:
            other = chance.choice(corpus)
            begin = chance.randrange(len(other))
            data[at:at] = other[begin : begin + chance.randrange(80)]
        else:
            data[at:at] = b"\r\n" + chance.choice(LINES)
    return bytes(data)


@pytest.mark.timeout(0)
def test_no_mutation_of_odd_and_usual_messages_does_harm(bench: Bench):
    """Requests, and responses to what the node has passed on; a failure names the seed and the batch."""
    chance = random.Random(SEED)
    corpus = [*torture(), *usual()]
    for batch in range(-(-N_MESSAGES // BATCH)):
        try:
            sent = bench.take([mutated(chance, corpus) for _ in range(BATCH)])
            check(sent)
            requests_sent = [data for data in sent if not sip.is_response(data)]
            answers = [b"SIP/2.0 486 x\r\n" + data.partition(b"\r\n")[2] for data in requests_sent]
            check(bench.take([mutated(chance, answers) for _ in answers]))
        except BaseException:
            print(f"seed {SEED}, batch {batch} of {BATCH}")
            raise


def torture() -> list[bytes]:
    """The messages of RFC 4475."""
    text = (Path(__file__).parents[1] / "data" / "sip_torture.txt").read_text(encoding="utf-8")
    bodies = [part.partition("\n")[2].strip("\n") for part in re.split("^== ", text, flags=re.MULTILINE)[1:]]
    return [(body + "\n\n").replace("\n", "\r\n").encode() for body in bodies]


def usual() -> list[bytes]:
    """A request of every method to every target."""
    return [
        b"%s %s SIP/2.0\r\nVia: SIP/2.0/UDP h:5070;rport;branch=z9hG4bK%d\r\nFrom: <sip:alice@example.org>;tag=a\r\n"
        b"To: <%s>\r\nCall-ID: c%d\r\nCSeq: %d %s\r\nContact: <sip:alice@h:5070>\r\nContent-Length: 0\r\n\r\n"
        % (method, target, number, target, number, number, method)
        for number, (method, target) in enumerate(itertools.product(METHODS, TARGETS))
    ]
