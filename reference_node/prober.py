"""Probes registrar nodes: the client machine of `model`, once for each node, over real UDP.

Each REGISTER is a transaction of its own, for an address of record of its own (``probe-host1-17@example.org``), so that
every one is a write and can be looked up in Redis afterwards. All probers share one socket that is not connected: a
connected one would take an ICMP error as a failure of the next datagram and swallow a probe.

An answer is recognised by its branch, which carries the host and the number of the request; so late ones, too, find
their request, and the machine decides what they are worth. Nothing is sent twice (see `model.register_prober`).

Left out: SRV, TCP, failing over: those are the business of client classes.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import sipmessage

from model import register_prober
from model.effects import MESSAGE, RESPONSE
from reference_node.driver import Driver, Hands
from reference_node.sip.transports import local_address

EXPIRES_S = 3_600
"""Lifetime that a probe asks for, s: longer than any run, so that no probe expires. Kind: assumed."""

COOKIE = "z9hG4bK"
"""Beginning of every branch. Source: RFC 3261 section 8.1.1.7. Kind: specified."""

US_PER_MS = 1_000

Emit = Callable[[str, str, int, int, int], None]
"""Takes host, event, time in µs since the Unix epoch, detail in µs, and code, see `model.trace.EVENTS`."""


class Prober(asyncio.DatagramProtocol):
    """Registers periodically through each of some nodes.

    Parameters
    ----------
    targets : mapping of str to (str, int)
        Address and port of each node by its host.
    period_ms, timeout_ms : int
        How often a REGISTER goes to each; after how long without final answer its outcome is unknown.
    seed : int
        Decides the phases and all names.
    domain : str
        Domain of the addresses of record.
    emit : Emit
        Is told when the outcome at a node changes.
    """

    def __init__(
        self,
        targets: Mapping[str, tuple[str, int]],
        period_ms: int,
        timeout_ms: int,
        seed: int,
        domain: str,
        emit: Emit,
    ) -> None:
        self._random = random.Random(seed)
        self.token = f"{self._random.getrandbits(64):016x}"
        self._period_us = period_ms * US_PER_MS
        self._probes = [
            _Probe(self, number, host, target, period_ms * US_PER_MS, timeout_ms * US_PER_MS, domain, emit)
            for number, (host, target) in enumerate(targets.items())
        ]
        self._by_mark = {probe.mark: probe for probe in self._probes}

    async def run(self, stop: asyncio.Event) -> None:
        """Probe until `stop` is set; what has no outcome by then is not counted."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("0.0.0.0", 0))
        self.port: int = self._transport.get_extra_info("sockname")[1]
        try:
            for probe in self._probes:
                probe.start(self._random.randrange(self._period_us))
            await stop.wait()
        finally:
            for probe in self._probes:
                probe.driver.stop()
            self._transport.close()

    def counts(self) -> dict[str, dict[str, int]]:
        """How many registrations were confirmed, refused and unknown, by host."""
        states = {probe.host: probe.driver.state for probe in self._probes}
        return {
            host: {"confirmed": state.confirmed, "refused": state.refused, "unknown": state.unknown}
            for host, state in states.items()
        }

    def confirmed_aors(self) -> dict[str, list[str]]:
        """Addresses of record of the registrations counted as confirmed, by host."""
        return {probe.host: [probe.aor(request) for request in probe.confirmed()] for probe in self._probes}

    def new_name(self) -> str:
        """A name for a device or a dialog that nobody else has."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def transmit(self, datagram: bytes, target: tuple[str, int]) -> None:
        """Send a datagram; whether it arrives is for the machine to find out."""
        self._transport.sendto(datagram, target)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Hand a final answer to the probe that it is for; whatever else arrives is dropped."""
        try:
            answer = sipmessage.Message.parse(data)
            mark, _, request = (answer.via[0].parameters.get("branch") or "").rpartition("-")
        except (ValueError, TypeError, IndexError):
            return
        probe = self._by_mark.get(mark)
        is_final = isinstance(answer, sipmessage.Response) and 200 <= answer.code < 700
        if probe and is_final and request.isascii() and request.isdigit():
            probe.on_answer(int(request[:18]), answer.code)


class _Probe(Hands):
    """The client of one node: hands of its machine."""

    def __init__(
        self,
        prober: Prober,
        number: int,
        host: str,
        target: tuple[str, int],
        period_us: int,
        timeout_us: int,
        domain: str,
        emit: Emit,
    ) -> None:
        self.host = host
        self.mark = f"{COOKIE}{prober.token}-{number}"
        self._confirmed: list[int] = []
        self._prober, self._target, self._domain, self._emit = prober, target, domain, emit
        state = register_prober.CLIENT.new()
        state.period_us, state.timeout_us, state.node = period_us, timeout_us, number
        self.driver = Driver(register_prober, state, self)
        self._noted = 0

    def start(self, delay_us: int) -> None:
        """Send the first REGISTER after a while, so that probes of several nodes do not march in step."""
        self._address = local_address(self._target)
        self.driver.set_timer(register_prober.TIMER_SEND, delay_us)

    def aor(self, request: int) -> str:
        """Address of record of a request."""
        return f"probe-{self.host}-{request}@{self._domain}"

    def confirmed(self) -> list[int]:
        """Requests that the machine has counted as confirmed."""
        self._note_confirmed()
        return self._confirmed

    def on_answer(self, request: int, code: int) -> None:
        """A final answer has come."""
        message = MESSAGE.new()
        message.kind, message.request, message.code = RESPONSE, request, code
        self.driver.deliver(register_prober.NODE_LINK, message)

    def _note_confirmed(self) -> None:
        """Read from the machine's books which requests it has settled as confirmed since the last time.

        Its slots are used again after MAX_OPEN requests, so every request sent is an occasion to look.
        """
        state = self.driver.state
        for request in range(self._noted, state.settled):
            if 200 <= state.code[request % register_prober.MAX_OPEN] < 300:
                self._confirmed.append(request)
        self._noted = state.settled

    def send(self, link: int, message: Any) -> None:
        """Send the REGISTER of that number."""
        self._note_confirmed()
        self._prober.transmit(self._register(message.request), self._target)

    def report(self, event: str, about: int, wall_us: int, detail_us: int, code: int) -> None:
        """Pass a change of outcome on."""
        self._emit(self.host, event, wall_us, detail_us, code)

    def _register(self, request: int) -> bytes:
        aor, here = self.aor(request), f"{self._address}:{self._prober.port}"
        register = sipmessage.Request("REGISTER", sipmessage.URI("sip", self._domain))
        headers = register.headers
        branch = f"{self.mark}-{request}"
        headers.add("Via", f"SIP/2.0/UDP {here};rport;branch={branch}")
        headers.add("Max-Forwards", "70")
        headers.add("From", f"<sip:{aor}>;tag={branch.removeprefix(COOKIE)}")
        headers.add("To", f"<sip:{aor}>")
        headers.add("Call-ID", self._prober.new_name())
        headers.add("CSeq", "1 REGISTER")
        user = aor.partition("@")[0]
        headers.add("Contact", f'<sip:{user}@{here}>;+sip.instance="<urn:uuid:{self._prober.new_name()}>"')
        headers.add("Expires", str(EXPIRES_S))
        headers.add("User-Agent", "hastudy-prober")
        headers.add("Content-Length", "0")
        return bytes(register)
