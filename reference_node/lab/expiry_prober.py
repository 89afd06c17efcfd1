"""Writes a binding that ends, looks it up on every server all the time, and reports when the answer changes.

What a registrar does with a registration, without the registrar: the binding goes to every server that takes writes, as
SET with EXPIREAT or EXPIRE in one transaction, and is written anew before it ends. The clock of the client, and so the
instant of EXPIREAT, is the true one. Lookups (EXISTS, which reads as GET does) go to every server, primary or replica,
on connections of their own kind (see `write_prober`): a server that does not answer, or answers with an error, has not
said that the binding is missing.

Left out: a retry of a write that nobody took; the next one comes a refresh later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from model.scenario import ProbeSection
from reference_node.lab.recorder import wall_us
from reference_node.lab.write_prober import Target, WriteProber

LOOKUP_PERIOD_MS = 50
"""Between two lookups on one server; the first comes half of it after the first write. Kind: assumed (the simulator
does the same)."""

ANSWER_S = 1.0
"""A write that was not answered for so long is given up. Kind: assumed (as long as what the write prober calls
silence)."""

KEY = "hastudy:binding"
"""Key of the binding. Kind: assumed."""

Connect = Callable[[str], AbstractAsyncContextManager[Redis]]
"""Gives a connection to the server of a host."""


class _Lookups(Target):
    """Looks the binding up on one server."""

    silent = "binding-unanswered"

    def command(self, number: int) -> bytes:
        return f"EXISTS {KEY}\r\n".encode()

    def outcome(self, reply: bytes) -> str:
        return {b":1": "binding-found", b":0": "binding-missing"}.get(reply, self.silent)


class ExpiryProber:
    """Writes and looks up until told to stop.

    Parameters
    ----------
    servers : mapping
        Client address of each host that runs Redis.
    password : str
    probe : ProbeSection
        Life, refresh and form of the binding.
    connect : callable
        For writes.
    report : callable
        Called with host, event, wall time and duration in us.
    """

    def __init__(
        self,
        servers: Mapping[str, str],
        password: str,
        probe: ProbeSection,
        connect: Connect,
        report: Callable[[str, str, int, int], None],
    ) -> None:
        self._hosts, self._probe, self._connect, self._report = tuple(servers), probe, connect, report
        self._lookups = WriteProber(servers, password, LOOKUP_PERIOD_MS, self._found, _Lookups)

    @property
    def late_us(self) -> int:
        """Most that a lookup came too late."""
        return self._lookups.late_us

    async def run(self, stop: asyncio.Event) -> None:
        """Write and look up until `stop` is set; nothing at all if the scenario gives no life."""
        if not self._probe.expiry_s:
            return
        async with asyncio.TaskGroup() as group:
            writes = group.create_task(self._write_all_the_time())
            await asyncio.sleep(LOOKUP_PERIOD_MS / 2000)
            await self._lookups.run(stop)
            writes.cancel()

    def _found(self, host: str, event: str, t_us: int) -> None:
        self._report(host, event, t_us, 0)

    async def _write_all_the_time(self) -> None:
        due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                for host in self._hosts:
                    group.create_task(self._write(host))
                due += self._probe.expiry_refresh_s
                await asyncio.sleep(due - time.monotonic())

    async def _write(self, host: str) -> None:
        """One write to one server, and a report if it was taken."""
        try:
            async with asyncio.timeout(ANSWER_S), self._connect(host) as server:
                sent_us = wall_us()
                until_s = sent_us // 1_000_000 + self._probe.expiry_s
                binding = server.pipeline(transaction=True).set(KEY, sent_us)
                if self._probe.expiry_form == "expireat":
                    await binding.expireat(KEY, until_s).execute()
                    life_us = until_s * 1_000_000 - sent_us
                else:
                    await binding.expire(KEY, self._probe.expiry_s).execute()
                    life_us = self._probe.expiry_s * 1_000_000
        except (RedisError, OSError, TimeoutError):
            return  # a replica, a primary that refuses, or nobody
        self._report(host, "binding-written", sent_us, life_us)
