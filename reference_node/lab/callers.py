"""Calls SIP clients: is a client reached, and through which nodes?

A call is an OPTIONS to the client's address of record, sent over UDP to one node, which has to find the client's
binding and pass the request on, perhaps through the node that holds the client's connection. Every client is called
through every node periodically. A call is *answered* (2xx: the client's own), *refused* (another final answer: the
node's) or *unanswered*. Outcomes are settled in the order of calling and reported only when they change, where another
status is another outcome.

Nothing is sent twice: a call that is lost on a network that loses nothing is what we want to see.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reference_node.lab.recorder import wall_us
from reference_node.sip import message as sip
from reference_node.sip.message import Address
from reference_node.sip.transports import local_address

Report = Callable[[str, str, str, int, int, int], None]
"""Takes the client, the node's host, event, wall time and age of the call in µs, and status."""


@dataclass(slots=True)
class _Call:
    """A call whose outcome is not settled."""

    number: int
    sent: float
    ended: float = 0.0
    status: int = 0


class Callers:
    """Calls some clients through some nodes.

    Parameters
    ----------
    clients : sequence of str
        Names; their addresses of record are ``name@domain``.
    nodes : mapping of str to Address
        Address of each node by its host.
    domain : str
    period_ms, timeout_ms : int
        How often each client is called through each node; after how long a call counts as unanswered.
    rng : random.Random
        Of phases and ids.
    report : Report
        Is told when an outcome changes.
    """

    def __init__(
        self,
        clients: Sequence[str],
        nodes: Mapping[str, Address],
        domain: str,
        period_ms: int,
        timeout_ms: int,
        rng: random.Random,
        report: Report,
    ) -> None:
        self._period_s, self._rng = period_ms / 1_000, rng
        self._token = f"{rng.getrandbits(64):016x}"
        self._lines = [
            _Line(client, host, node, f"{client}@{domain}", f"{sip.COOKIE}{self._token}-{number}", timeout_ms, report)
            for number, (client, host, node) in enumerate(
                (client, host, node) for client in clients for host, node in nodes.items()
            )
        ]
        self._by_mark = {line.mark: line for line in self._lines}
        self.late_us = 0
        """Most that a call was late."""

    async def run(self, stop: asyncio.Event) -> None:
        """Call until `stop` is set; calls without an outcome by then are not counted."""
        if not self._lines:
            return
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(self), local_addr=("0.0.0.0", 0))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._call_periodically(line, transport)) for line in self._lines]
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            transport.close()

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Calls that have an outcome, and those of them that the client did not answer, by client and node."""
        return {(line.client, line.host): (line.settled, line.failed) for line in self._lines}

    def take(self, data: bytes) -> None:
        """Hand an answer to the line that waits for it."""
        response = sip.read_response(data)
        if response is None or response.status < 200:
            return
        mark, _, number = response.branch.rpartition("-")
        line = self._by_mark.get(mark)
        if line and number.isascii() and number.isdigit():
            line.take(int(number[:18]), response.status)

    async def _call_periodically(self, line: _Line, transport: asyncio.DatagramTransport) -> None:
        due = time.monotonic() + self._rng.uniform(0, self._period_s)
        port: int = transport.get_extra_info("sockname")[1]
        while True:
            await asyncio.sleep(due - time.monotonic())
            self.late_us = max(self.late_us, int((time.monotonic() - due) * 1e6))
            transport.sendto(line.call(port), line.node)
            due += self._period_s


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._callers.take(data)


class _Line:
    """The calls of one client through one node."""

    def __init__(
        self, client: str, host: str, node: Address, aor: str, mark: str, timeout_ms: int, report: Report
    ) -> None:
        self.client, self.host, self.node, self.mark = client, host, node, mark
        self.settled = self.failed = 0
        self._aor, self._timeout_s, self._report = aor, timeout_ms / 1_000, report
        self._here = local_address(node)
        self._open: deque[_Call] = deque()
        self._sent = 0
        self._last: tuple[str, int] | None = None

    def call(self, port: int) -> bytes:
        """The next call."""
        self._sent += 1
        self._open.append(_Call(self._sent, time.monotonic()))
        asyncio.get_running_loop().call_later(self._timeout_s, self._give_up)
        branch, here = f"{self.mark}-{self._sent}", f"{self._here}:{port}"
        lines = (
            f"OPTIONS sip:{self._aor} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};rport;branch={branch}",
            "Max-Forwards: 70",
            f"From: <sip:caller@{here}>;tag={branch.removeprefix(sip.COOKIE)}",
            f"To: <sip:{self._aor}>",
            f"Call-ID: {branch.removeprefix(sip.COOKIE)}",
            "CSeq: 1 OPTIONS",
            "User-Agent: hastudy-caller",
            "Content-Length: 0",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def take(self, number: int, status: int) -> None:
        """A final answer has come; the first one counts."""
        for call in self._open:
            if call.number == number and not call.ended:
                call.ended, call.status = time.monotonic(), status
        self._settle()

    def _give_up(self) -> None:
        now = time.monotonic()
        for call in self._open:
            # The loop may ring a little early; calls are given up in their order.
            if not call.ended and now - call.sent >= self._timeout_s - 0.001:
                call.ended = now
        self._settle()

    def _settle(self) -> None:
        while self._open and self._open[0].ended:
            call = self._open.popleft()
            self.settled += 1
            event = _event(call.status)
            self.failed += event != "call-answered"
            if self._last != (event, call.status):
                self._last = event, call.status
                age_s = call.ended - call.sent
                t_us = wall_us() - round((time.monotonic() - call.ended) * 1e6)
                self._report(self.client, self.host, event, t_us, round(age_s * 1e6), call.status)


def _event(status: int) -> str:
    if not status:
        return "call-unanswered"
    return "call-answered" if status < 300 else "call-refused"
