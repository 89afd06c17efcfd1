"""Writes to every Redis server all the time, and reports when the outcome changes.

One raw connection per server, over the client network: a client library would retry and hide what we look for. Every
slot a write goes out, whether or not earlier ones were answered. An answer is an acceptance or a refusal (an error
reply or a refused connection); *silence* is what lasts a second without any answer, dated back to the first write (or
connection attempt) that got none. While silent, a connection without answer is soon given up and tried anew, so that
the end of the silence is seen within about two slots, and not when the kernel's next retransmission is due.

A connection that ends with writes unanswered tells nothing about them; the next attempt does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping

from reference_node.lab.config import REDIS_PORT
from reference_node.lab.recorder import wall_us

SILENT_AFTER_US = 1_000_000
"""Silence is what lasts longer than this. Kind: specified (by the trace schema's write-silent)."""

ANSWER_PATIENCE_US = 200_000
"""While silent, a connection without answer is given up after this. Kind: assumed (a server that woke up works through
what a dozen sentinels and clients left for it first)."""

CONNECT_PATIENCE_US = 40_000
"""While silent, an attempt to connect is given up after this, so that a new SYN goes out instead of waiting for the
kernel's next retransmission. Kind: assumed (many times a round trip on one machine)."""

KEY = "hastudy:probe"
"""Key that is written. Kind: assumed."""

Report = Callable[[str, str, int], None]
"""Called with host, event and wall time in µs."""


class WriteProber:
    """Probes all servers until told to stop.

    Parameters
    ----------
    servers : mapping
        Client address of each host that runs Redis.
    password : str
    period_ms : int
        Time between two writes to one server.
    report : callable
    kind : type of Target, optional
        What is sent, if not writes.
    """

    def __init__(
        self,
        servers: Mapping[str, str],
        password: str,
        period_ms: int,
        report: Report,
        kind: type[Target] | None = None,
    ) -> None:
        self._period_s = period_ms / 1000
        self._targets = [(kind or Target)(host, address, password, report) for host, address in servers.items()]
        self.late_us = 0
        """Most that a slot came too late."""

    async def run(self, stop: asyncio.Event) -> None:
        """Probe until `stop` is set."""
        due, number = time.monotonic(), 0
        while not stop.is_set():
            for target in self._targets:
                target.slot(number)
            due, number = due + self._period_s, number + 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late = time.monotonic() - due
            self.late_us = max(self.late_us, int(late * 1e6))
            due += late // self._period_s * self._period_s  # slots that were missed are not made up for
        for target in self._targets:
            target.drop()


class Target:
    """One server: its connection, what is unanswered, and the last outcome."""

    silent = "write-silent"
    """The outcome of silence."""

    def __init__(self, host: str, address: str, password: str, report: Report) -> None:
        self._host, self._address, self._report = host, address, report
        self._hello = f"AUTH {password}\r\n".encode()
        self._outcome = ""
        self._unanswered_since = 0
        self._attempt: asyncio.Task | None = None
        self._line: _Line | None = None

    def command(self, number: int) -> bytes:
        """What is sent in a slot."""
        return f"SET {KEY} {number}\r\n".encode()

    def outcome(self, reply: bytes) -> str:
        """What the first line of a reply means, ``-`` being a refused connection."""
        return "write-accepted" if reply.startswith(b"+") else "write-refused"

    def slot(self, number: int) -> None:
        """Send one command, on a new connection if need be."""
        now = wall_us()
        if self._unanswered_since and now - self._unanswered_since > SILENT_AFTER_US:
            self._say(self.silent, self._unanswered_since)
        if self._outcome == self.silent and self._line and self._line.is_hopeless(now):
            self.drop()
        self._unanswered_since = self._unanswered_since or now
        command = self.command(number)
        if self._line and self._line.is_open:
            self._line.send(command, now)
        elif self._attempt is None:
            self._line = _Line(self, (self._hello, command))
            self._attempt = asyncio.create_task(self._connect(self._line))

    def answer(self, reply: bytes) -> None:
        """A command was answered."""
        self._unanswered_since = 0
        self._say(self.outcome(reply), wall_us())

    def drop(self) -> None:
        """Give up the connection or the attempt to make one."""
        if self._attempt:
            self._attempt.cancel()
        if self._line:
            self._line.close()
        self._attempt = self._line = None

    async def _connect(self, line: _Line) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: line, self._address, REDIS_PORT)
        except ConnectionRefusedError:
            self.answer(b"-")
        except OSError:
            pass  # no route and the like: an attempt without answer
        self._attempt = None

    def _say(self, event: str, t_us: int) -> None:
        if event != self._outcome:
            self._outcome = event
            self._report(self._host, event, t_us)


class _Line(asyncio.Protocol):
    """One connection: greets with AUTH and the first command, then counts what was sent against the replies."""

    def __init__(self, target: Target, greeting: tuple[bytes, bytes]) -> None:
        self._target, self._greeting = target, greeting
        self._transport: asyncio.Transport | None = None
        self._begun_us = wall_us()
        self._sent_us: deque[int] = deque()
        self._rest = b""
        self._greeted = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def is_hopeless(self, now_us: int) -> bool:
        """True when it got no answer for so long that a new one is the better bet."""
        if self._transport is None:
            return now_us - self._begun_us > CONNECT_PATIENCE_US
        return bool(self._sent_us) and now_us - self._sent_us[0] > ANSWER_PATIENCE_US

    def send(self, command: bytes, now_us: int) -> None:
        self._sent_us.append(now_us)
        self._transport.write(command)

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        for command in self._greeting:
            self.send(command, wall_us())

    def data_received(self, data: bytes) -> None:
        *replies, self._rest = (self._rest + data).split(b"\r\n")
        for reply in replies:
            self._sent_us.popleft()
            if self._greeted:
                self._target.answer(reply)
            self._greeted = True  # the first reply is that to AUTH
