"""Strikes the faults of a scenario, on time, and writes down when they really struck.

Times count from the moment at which the first fault struck. The schedule follows the monotonic clock, stamps follow
the wall clock, as the logs of the servers do. Faults of one moment strike in the order of the file; entries with
`after` wait for their event (see `triggers`) and never strike when it does not come.

Most faults hold from the instant of their stamp. A server whose saves fail says so only after it has tried, which
takes it up to 0.1 s; that fault is stamped when the server has turned.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress

from redis.asyncio import Connection
from redis.exceptions import RedisError, ResponseError

from model.scenario import LEADER, PROCESSES, PROMOTED, Fault, Scenario
from model.scenario.faults import FORGED_EPOCH_STEP
from model.trace import Event
from reference_node.dns_server import ClusterZone
from reference_node.lab import snapshots
from reference_node.lab.cluster import Cluster, Program
from reference_node.lab.config import MASTER_NAME, REDIS_PORT, SENTINEL_PORT
from reference_node.lab.recorder import Recorder, wall_us
from reference_node.lab.triggers import Triggers

SIGNALS = {"crash": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}
"""What a fault sends to the programs it strikes."""

SNAPSHOT_LEAD_S = 0.8
"""Servers save this long before the first fault: recent, and over by then. Kind: assumed."""

SAVES_LIMIT_S = 2.0
"""A server has tried to save by then, or never will. Kind: assumed (its cron looks for the child each 0.1 s)."""

SAVES_POLL_S = 0.001
"""Pause between two questions whether it has. Kind: assumed (precision of the stamp)."""

HELLO_CHANNEL = "__sentinel__:hello"
"""Where sentinels tell of themselves. Kind: specified (sentinel.c)."""

SCRIPT_LIMIT_MS = 5_000
"""For so long a script leaves everybody without an answer. Kind: vendor default (lua-time-limit)."""

SCRIPT = """
local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end
local stop = now() + tonumber(ARGV[1])
repeat until now() >= stop
"""
"""Runs for ARGV[1] ms and writes nothing, so that it can be killed."""


def in_words_of_the_trace(fault: Fault) -> tuple[str, int, int]:
    """What the event of a fault says: about, detail in µs, code (see `model.trace.EVENTS`)."""
    about = "" if fault.to == "*" else fault.to
    match fault.kind:
        case "crash" | "restart" | "pause" | "resume":
            return "", 0, PROCESSES.index(fault.process)
        case "drop":
            return about, 0, fault.percent
        case "deliver":
            return about, 0, 0
        case "delay":
            return about, fault.delay_us, 0
        case "step":
            return "", abs(fault.step_ms) * 1_000, int(fault.step_ms < 0)
        case "drift":
            return "", int(fault.drift_ppm < 0), abs(fault.drift_ppm)
        case "forge-hello":
            return about, 0, PROCESSES.index(fault.process)
        case "forge-vote":
            return about, 0, 0
        case "slow-disk":
            return "", fault.flush_ms * 1_000, 0
        case "busy":
            return "", fault.busy_ms * 1_000, 0
        case _:
            return "", 0, 0


def moments(faults: Sequence[Fault]) -> list[tuple[str, int, list[Fault]]]:
    """Faults that strike together, in the order of the file: (after, at_ms, faults), in order of time."""
    found: dict[tuple[str, int], list[Fault]] = defaultdict(list)
    for fault in faults:
        found[fault.after, fault.at_ms].append(fault)
    return [(after, at_ms, found[after, at_ms]) for after, at_ms in sorted(found)]


def hosts_with_old_data(scenario: Scenario) -> set[str]:
    """Hosts whose server may be restarted with the data from before the first fault."""
    servers = {host.name for host in scenario.host if host.redis}
    found: set[str] = set()
    for fault in scenario.fault:
        if fault.kind == "restart" and fault.data == "old" and fault.process in ("all", "redis"):
            found |= servers if fault.host in (LEADER, PROMOTED) else servers & {fault.host}
    return found


class Faults:
    """The time line of one run.

    Parameters
    ----------
    scenario : Scenario
    cluster : Cluster
    zone : ClusterZone or None
        What the clients' name server serves; None in a run without
        clients, where faults of the DNS are noted and strike nothing.
    recorder : Recorder
        Gets an event for each fault.
    """

    def __init__(self, scenario: Scenario, cluster: Cluster, zone: ClusterZone | None, recorder: Recorder) -> None:
        self._scenario, self._cluster, self._zone, self._recorder = scenario, cluster, zone, recorder
        self._syncs: dict[str, int] = {}
        self._connections: list[Connection] = []
        self._dying: list[Program] = []
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task] = []
        self.late_us = 0
        """Most that a fault came too late."""

    async def run(self, begin: float, horizon_s: float) -> int:
        """Strike all faults and wait for the horizon.

        Parameters
        ----------
        begin : float
            When the first fault is due, on the monotonic clock.
        horizon_s : float
            End, after the first fault.

        Returns
        -------
        int
            Wall time of the first fault in µs (of `begin`, when there is none).
        """
        await self._prepare(begin)
        await self._sleep_until(begin)
        names = {fault.after for fault in self._scenario.fault if fault.after}
        with Triggers(names, self._cluster, self._recorder) as triggers:
            async with self._group:
                origin = await self._strike_all(triggers, horizon_s)
                for task in self._tasks:
                    task.cancel()
        for connection in self._connections:
            await connection.disconnect(nowait=True)
        return origin

    async def _prepare(self, begin: float) -> None:
        """What must be known or kept from the time before the first fault."""
        if any(fault.kind == "slow-disk" for fault in self._scenario.fault):
            for program in self._cluster.programs:
                if program.kind == "sentinel" and program.control:
                    self._syncs[program.host] = await self._cluster.syncs_of_a_rewrite(program)
        old = hosts_with_old_data(self._scenario)
        if old:
            await self._sleep_until(begin - SNAPSHOT_LEAD_S)
            await self._cluster.keep_snapshots(old)

    async def _strike_all(self, triggers: Triggers, horizon_s: float) -> int:
        """Strike the first fault, plan the others from its stamp, and wait for the horizon."""
        origin = wall_us()
        first, *others = moments(self._scenario.fault) or [("", 0, [])]
        for number, fault in enumerate(first[2]):
            stamp = await self._strike(fault, fault.host)
            origin = origin if number else stamp
        begin = time.monotonic() - (wall_us() - origin) / 1e6
        for moment in others:
            self._plan(self._follow(triggers, origin, begin, *moment))
        await self._sleep_until(begin + horizon_s)
        return origin

    async def _follow(
        self, triggers: Triggers, origin: int, begin: float, after: str, at_ms: int, faults: Sequence[Fault]
    ) -> None:
        """Strike the faults of one moment."""
        event = await triggers.first(after) if after else None
        start = begin + (event.t_us - origin) / 1e6 if event else begin
        await self._sleep_until(start + at_ms / 1000)
        for fault in faults:
            await self._strike(fault, _host(fault, event))

    async def _sleep_until(self, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        self.late_us = max(self.late_us, int((time.monotonic() - due) * 1e6))

    async def _strike(self, fault: Fault, host: str) -> int:
        """Strike now; note, and return, when it took effect."""
        stamp = wall_us()
        match fault.kind:
            case "crash" | "pause" | "resume":
                self._signal(fault, host)
            case "restart":
                self._restart(fault, host)
            case "step" | "drift":
                self._set_clock(fault, host)
            case "slow-disk" | "fast-disk":
                self._set_disk(host, fault.flush_ms if fault.kind == "slow-disk" else 0)
            case "fail-saves" | "mend-saves":
                stamp = await self._set_saves(host, fails=fault.kind == "fail-saves")
            case "busy":
                stamp = await self._keep_busy(host, fault.busy_ms)
            case "failover":
                stamp = await self._tell(host, "sentinel", "SENTINEL", "FAILOVER", MASTER_NAME)
            case "forge-hello" | "forge-vote":
                stamp = await self._forge(fault, host)
            case "dns-stop" | "dns-start" | "dns-remove" | "dns-add":
                self._strike_names(fault.kind, host)
            case _:
                self._strike_network(fault, host)
        self._recorder.add(stamp, host, "fault", fault.kind, *in_words_of_the_trace(fault))
        return stamp

    def _strike_names(self, kind: str, host: str) -> None:
        zone = self._zone
        if zone is None:
            return
        match kind:
            case "dns-stop":
                zone.is_silent = True
            case "dns-start":
                zone.is_silent = False
            case "dns-remove":
                zone.remove(host)
            case "dns-add":
                zone.add(host)

    def _strike_network(self, fault: Fault, host: str) -> None:
        network = self._cluster.network
        match fault.kind:
            case "vanish":
                network.detach(host)
            case "return":
                network.attach(host)
            case "partition":
                network.cut(host, fault.side)
            case "heal":
                network.heal()
            case "drop":
                network.drop(host, fault.to, fault.percent)
            case "deliver":
                network.deliver(host, fault.to)
            case "delay":
                network.delay(host, fault.to, fault.delay_us, fault.jitter_us)

    def _signal(self, fault: Fault, host: str) -> None:
        for program in self._cluster.on_host(host, fault.process):
            program.signal(SIGNALS[fault.kind])
            if fault.kind == "crash":
                self._dying.append(program)  # waiting for its end would hold up the faults of the same moment

    def _restart(self, fault: Fault, host: str) -> None:
        while self._dying:
            self._dying.pop().process.wait()
        for program in self._cluster.on_host(host, fault.process):
            if program.kind == "redis" and program.has_ended:
                options = snapshots.prepare(program.folder, fault.data, fault.load_ms)
                self._cluster.start_program(program, options)
                if fault.load_ms:
                    self._plan(self._end_loading(host, fault.load_ms / 1000))
            else:
                self._cluster.start_program(program)

    async def _end_loading(self, host: str, load_s: float) -> None:
        """Have a server that loads slowly go at full speed in the end.

        On a busy machine it needs longer than planned, and what it loads later shall not be slow at all. It answers
        once in a pause, so the connection is made well before.
        """
        end = time.monotonic() + load_s
        await asyncio.sleep(load_s / 2)
        with suppress(RedisError, OSError):
            connection = await self._open(host, "redis")
            await asyncio.sleep(end - time.monotonic())
            await connection.send_command("CONFIG", "SET", snapshots.DELAY_OPTION, 0)

    def _set_clock(self, fault: Fault, host: str) -> None:
        for program in self._controlled(host, "all"):
            if fault.kind == "step":
                program.control.change_clock(wall_us(), program.written, step_us=fault.step_ms * 1_000)
            else:
                program.control.change_clock(wall_us(), program.written, ppm=fault.drift_ppm)

    def _set_disk(self, host: str, flush_ms: int) -> None:
        for program in self._controlled(host, "sentinel"):
            program.control.slow_syncs(flush_ms * 1_000 // self._syncs[host])

    async def _set_saves(self, host: str, fails: bool) -> int:
        """Let snapshots fail or succeed, ask for one, and return when the server turned (or was last seen not to)."""
        for program in self._controlled(host, "redis"):
            program.control.fail_child_syncs(fails)
        wanted, stamp, deadline = "err" if fails else "ok", wall_us(), time.monotonic() + SAVES_LIMIT_S
        with suppress(RedisError, OSError):  # a server that cannot be asked turns when it next saves by itself
            async with self._cluster.redis(host) as server:
                while time.monotonic() < deadline:
                    info = await server.info("persistence")
                    if info["rdb_last_bgsave_status"] == wanted:
                        break
                    stamp = wall_us()
                    if not info["rdb_bgsave_in_progress"]:
                        with suppress(ResponseError):  # another child of the server is at work
                            await server.bgsave()
                    await asyncio.sleep(SAVES_POLL_S)
        return stamp

    async def _keep_busy(self, host: str, busy_ms: int) -> int:
        """Run a script on a server.

        One that ends before anybody gets an answer is played by stopping the server: it is the same to all others,
        and scripts cannot tell the time at first (since 7.2).
        """
        if busy_ms > SCRIPT_LIMIT_MS:
            return await self._tell(host, "redis", "EVAL", SCRIPT, 0, busy_ms)
        stamp = wall_us()
        for program in self._cluster.on_host(host, "redis"):
            program.signal(signal.SIGSTOP)
            self._plan(_wake(program, busy_ms / 1000))
        return stamp

    async def _tell(self, host: str, kind: str, *words: str | int) -> int:
        """Send a command, leave its answer, and return when it was sent; a program out of reach is no error."""
        with suppress(RedisError, OSError):
            connection = await self._open(host, kind)
            stamp = wall_us()
            await connection.send_command(*words)
            return stamp
        return wall_us()

    async def _forge(self, fault: Fault, host: str) -> int:
        """Say what no sentinel of this cluster has said, without a password; return when.

        Whom it is about, and whom it pretends to be, is known from the lab. Whoever is let in could ask for all of it.
        """
        number = next(place for place, each in enumerate(self._scenario.fault, 1) if each is fault)
        epoch = number * FORGED_EPOCH_STEP
        door = "redis" if fault.process == "redis" else "sentinel"
        stamp = wall_us()
        with suppress(RedisError, OSError):
            connection = await self._cluster.connect(host, door, authenticated=False)
            self._connections.append(connection)
            if fault.kind == "forge-hello":
                words = ["PUBLISH", HELLO_CHANNEL, self._forged_hello(host, fault.to, epoch)]
            else:
                await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
                ip, port = await connection.read_response()
                words = ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", ip, port, epoch, self._sentinel_id(fault.to)]
            stamp = wall_us()
            await connection.send_command(*words)
        return stamp

    def _forged_hello(self, host: str, named: str, epoch: int) -> str:
        """As from another sentinel: its address, port, id, epoch; group; address, port and epoch of the primary."""
        network = self._cluster.network
        sender = next(each for each in self._scenario.sentinel_hosts if each != host)
        own = [network.address(sender), SENTINEL_PORT, self._sentinel_id(sender), epoch]
        return ",".join(map(str, [*own, MASTER_NAME, network.address(named), REDIS_PORT, epoch]))

    def _sentinel_id(self, host: str) -> str:
        return next(number for number, each in self._cluster.sentinel_ids.items() if each == host)

    async def _open(self, host: str, kind: str) -> Connection:
        """A connection that stays open until the end of the run."""
        connection = await self._cluster.connect(host, kind)
        self._connections.append(connection)
        return connection

    def _controlled(self, host: str, kind: str) -> list[Program]:
        return [program for program in self._cluster.on_host(host, kind) if program.control]

    def _plan(self, action: Coroutine[None, None, None]) -> None:
        """Do something while the run goes on; the horizon ends it."""
        self._tasks.append(self._group.create_task(action))


async def _wake(program: Program, pause_s: float) -> None:
    """Let a stopped program go on after a pause."""
    await asyncio.sleep(pause_s)
    program.signal(signal.SIGCONT)


def _host(fault: Fault, event: Event | None) -> str:
    """The host that a fault strikes, with `LEADER` and `PROMOTED` resolved."""
    match fault.host, event:
        case (host, Event() as told) if host == LEADER:
            return told.host
        case (host, Event() as told) if host == PROMOTED:
            return told.host if told.event == "role-primary" else told.about
    return fault.host
