"""What the node reads from INFO, and how a connection ends that is none to a Redis server."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from redis.exceptions import RedisError, ResponseError

from reference_node.node.config import Server
from reference_node.node.store import REASONS, Patience, Replication, Store, read_replication, refusal

SERVERS = [Server(host=f"host{n}", ip=f"10.0.0.{n}", port=6379) for n in (1, 2, 3)] + [None]


def info(*lines: str) -> bytes:
    return "\r\n".join(["# Replication", *lines, ""]).encode()


def test_a_primary_lists_its_replicas_in_order_and_unknown_ones_are_passed_over():
    reply = info(
        "role:master",
        "connected_slaves:4",
        "slave0:ip=10.0.0.3,port=6379,state=online,offset=14,lag=1",
        "slave1:ip=10.0.0.9,port=6379,state=online,offset=14,lag=1",
        "slave2:ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0",
        "slave3:ip=10.0.0.3,port=6380,state=online,offset=14,lag=1",
    )
    assert read_replication(reply, SERVERS) == Replication(True, replicas=0x23)


def test_a_replica_names_its_primary_and_when_it_last_heard_of_it():
    reply = info(
        "role:slave",
        "master_host:10.0.0.2",
        "master_port:6379",
        "master_link_status:up",
        "master_last_io_seconds_ago:7",
    )
    assert read_replication(reply, SERVERS) == Replication(False, primary=2, link_up=True, heard_s=7)


def test_a_replica_without_link_has_heard_nothing():
    reply = info(
        "role:slave",
        "master_host:192.0.2.1",
        "master_port:6379",
        "master_link_status:down",
        "master_last_io_seconds_ago:-1",
    )
    assert read_replication(reply, SERVERS) == Replication(False)


def test_more_replicas_than_a_message_can_hold_are_cut():
    lines = [f"slave{n}:ip=10.0.0.1,port=6379,state=online" for n in range(40)]
    reply = read_replication(info("role:master", "connected_slaves:40", *lines), SERVERS)
    assert reply and reply.replicas == 0x111_1111_1111_1111


@pytest.mark.parametrize("reply", [b"", b"role:sentinel\r\n", ValueError("NOAUTH"), None, 1, b"\xff\xfe"])
def test_an_answer_without_a_role_is_none(reply):
    assert read_replication(reply, SERVERS) is None


class Events:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.end = asyncio.Event()

    def opened(self) -> None:
        self.told.append("opened")

    def closed(self) -> None:
        self.told.append("closed")
        self.end.set()

    def answered(self, tag, replies) -> None:
        self.told.append("answered")


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":x\r\n", b"+OK\r\n", b"*2\r\n:1\r\n", b""])
def test_a_program_that_is_no_redis_counts_as_closed(greeting: bytes):
    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async def scenario() -> list[str]:
        events = Events()
        async with await asyncio.start_server(stranger, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            store = Store([Server(host="h", ip="127.0.0.1", port=port)], "", events)
            store.open(0)
            await events.end.wait()
        return events.told

    assert asyncio.run(scenario()) == ["opened", "closed"]


def test_a_connection_that_was_closed_on_purpose_tells_nothing_more():
    async def scenario() -> list[str]:
        first, second = Events(), Events()
        async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as server:
            here = [Server(host="h", ip="127.0.0.1", port=server.sockets[0].getsockname()[1])]
            store = Store(here, "", first)
            store.open(0)
            store.close()
            Store(here, "", second).open(0)
            await second.end.wait()
        return first.told

    assert asyncio.run(scenario()) == []


class Answers(Events):
    """A listener that asks one thing and keeps the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: list = []

    def opened(self) -> None:
        self.store.ask("tag", [(b"GET", b"x"), (b"GET", b"y")])

    def answered(self, tag, replies) -> None:
        self.replies += replies
        self.end.set()


async def talk(said: bytes, password: str = "") -> Answers:
    """What becomes of one question when the server says these bytes."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        await reader.read()
        writer.close()

    answers = Answers()
    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        here = Server(host="h", ip="127.0.0.1", port=server.sockets[0].getsockname()[1])
        answers.store = Store([here], password, answers)
        answers.store.open(0)
        await answers.end.wait()
        answers.store.close()
    return answers


@pytest.mark.parametrize("code", ["LOADING", "READONLY", "MASTERDOWN", "NOAUTH", "EXECABORT", "OOM", "ERR", "NEWCODE"])
def test_an_error_that_redis_says_is_an_answer_and_the_next_one_follows(code: str):
    answers = asyncio.run(talk(f"-{code} it says\r\n$1\r\nv\r\n".encode()))
    assert answers.told == []
    assert [isinstance(answers.replies[0], RedisError), answers.replies[1]] == [True, b"v"]


def test_the_answer_to_auth_is_nobody_elses():
    answers = asyncio.run(talk(b"+OK\r\n$1\r\nu\r\n$1\r\nv\r\n", "secret"))
    assert answers.replies == [b"u", b"v"]


@pytest.mark.parametrize("code", ["WRONGPASS", "ERR"])
def test_a_refused_password_counts_as_closed(code: str):
    answers = asyncio.run(talk(f"-{code} no\r\n-NOAUTH\r\n-NOAUTH\r\n".encode(), "wrong"))
    assert (answers.told, answers.replies) == (["closed"], [])


@pytest.mark.parametrize("closes_on", ["opened", "answered"])
def test_a_listener_that_closes_hears_nothing_more(closes_on: str):
    """Not even of answers that have already arrived, nor of the end of the connection."""

    class Closing(Answers):
        def opened(self) -> None:
            self.told.append("opened")
            self.store.ask("first", [(b"GET", b"x")])
            self.store.ask("second", [(b"GET", b"y")])
            self._close("opened")

        def answered(self, tag, replies) -> None:
            self.told.append(tag)
            self._close("answered")

        def _close(self, here: str) -> None:
            if here == closes_on:
                self.store.close()

    assert asyncio.run(talk_until_quiet(Closing())) == ["opened", "first"][: 1 + (closes_on == "answered")]


async def talk_until_quiet(answers: Answers) -> list[str]:
    """What a listener has heard by the time the server sees the connection end."""
    ended = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"$1\r\nu\r\n$1\r\nv\r\n")
        with contextlib.suppress(ConnectionError):  # a socket that is closed with unread data resets its connection
            await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        here = Server(host="h", ip="127.0.0.1", port=server.sockets[0].getsockname()[1])
        answers.store = Store([here], "", answers)
        answers.store.open(0)
        await ended.wait()
    return answers.told


class Reader(Answers):
    """A listener that subscribes, and ends with the first message."""

    def __init__(self) -> None:
        super().__init__()
        self.published_texts: list[tuple[str, str]] = []

    def opened(self) -> None:
        self.store.ask("subscribe", [(b"SUBSCRIBE", b"news")])
        self.store.ask("ping", [(b"PING",)])

    def answered(self, tag, replies) -> None:
        self.told.append(tag)

    def published(self, channel: str, text: str) -> None:
        self.published_texts.append((channel, text))
        self.end.set()


def test_messages_are_no_answers():
    said = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    message = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"

    async def scenario() -> Reader:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(said + message)
            await reader.read()
            writer.close()

        reader = Reader()
        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            here = Server(host="h", ip="127.0.0.1", port=server.sockets[0].getsockname()[1])
            reader.store = Store([here], "", reader, subscribes=True)
            reader.store.open(0)
            await reader.end.wait()
            reader.store.close()
        return reader

    reader = asyncio.run(scenario())
    assert (reader.told, reader.published_texts) == (["subscribe", "ping"], [("news", "hi")])


@pytest.mark.parametrize("code", sorted(REASONS))
def test_the_reason_of_a_refusal_is_that_of_its_first_error(code: str):
    first = ResponseError("no", status_code=code)
    aborted = ResponseError("EXECABORT discarded", status_code="EXECABORT")
    assert refusal([b"OK", first, aborted]) == REASONS[code]
    assert refusal([b"OK", aborted]) == 0


def test_the_patience_of_a_kernel_is_what_the_scenario_says():
    async def scenario() -> dict[str, int]:
        found = asyncio.get_running_loop().create_future()

        class Looking(Events):
            def opened(self) -> None:
                line = store._session._connection._writer.get_extra_info("socket")
                options = {"keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE)}
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"):
                    options[name] = (socket.IPPROTO_TCP, getattr(socket, name))
                found.set_result({name: line.getsockopt(*option) for name, option in options.items()})

        async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0) as server:
            here = Server(host="h", ip="127.0.0.1", port=server.sockets[0].getsockname()[1])
            store = Store([here], "", Looking(), Patience(7, 3_000))
            store.open(0)
            options = await found
            store.close()
        return options

    expected = {"keepalive": 1, "TCP_KEEPIDLE": 7, "TCP_KEEPINTVL": 7, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 3_000}
    assert asyncio.run(scenario()) == expected
