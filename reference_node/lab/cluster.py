"""Starts the programs of a scenario on their hosts and waits until the cluster is in steady state.

A fresh cluster is not in steady state, and faults that strike too early measure the start. So

* servers start within their 1 s cron period of each other, sentinels and registrar nodes within 10 s (the INFO period
  of both), each at a random moment: their timers keep independent phases;
* the cluster is steady when all replicas are in sync, every sentinel knows every replica and every other sentinel,
  and every registrar node answers;
* the first fault comes 11 to 21 s after that, uniformly: one INFO period so that each sentinel has seen the
  replication as it is now, and a second one so that the phase of that timer at the fault is uniform.

Left out: a cluster that is broken from the start.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Connection, Redis
from redis.exceptions import RedisError

from model.errors import EnvironmentLacks
from model.scenario import Host, Scenario
from reference_node.lab import certificates, config, shim, snapshots
from reference_node.lab.network import Network
from reference_node.lab.servers import Server

REDIS_SPREAD_S = 1.0
"""Servers start within this time: the period of their replication cron. Kind: specified (replication.c)."""

TIMER_SPREAD_S = 10.0
"""Sentinels and registrar nodes start within this time: the INFO period. Kind: specified (sentinel.c)."""

FAULT_EARLIEST_S, FAULT_LATEST_S = 11.0, 21.0
"""The first fault comes at a uniformly random moment in this range after steady state. Kind: assumed."""

STEADY_LIMIT_S = 60.0
"""A cluster that is not steady after this time never will be. Kind: assumed."""

POLL_S = 0.2
"""Pause between two looks at a cluster that is not steady yet. Kind: assumed."""

ANSWER_S = 1.0
"""Longest wait for one answer while looking. Kind: assumed."""

NODE_MODULE = "reference_node.node"
"""What runs as a registrar node."""

NODE_RECORD = "events.ndjson"
"""What a registrar node writes its events to."""

CONTROL_FILE = "control"
"""What steers the preloaded library of a program."""

PROGRAMS = ("redis", "sentinel", "registrar")
"""What may run on a host; keys of a scenario's hosts, and their order of start."""


@dataclass(slots=True)
class Program:
    """One program of one host.

    Attributes
    ----------
    host, kind : str
        Where, and which of `PROGRAMS`.
    argv : list of str
        Command; a restart uses the same, and the configuration file as it is then on disk.
    folder, log : Path
        Its working folder, and where its output goes.
    control : shim.Control or None
        Steers the preloaded library of a program that has a clock or a disk of its own.
    process : subprocess.Popen or None
        None before the first start.
    """

    host: str
    kind: str
    argv: list[str]
    folder: Path
    log: Path
    control: shim.Control | None = None
    process: subprocess.Popen | None = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a program that has ended already is left alone."""
        if self.process:
            self.process.send_signal(number)

    @property
    def record(self) -> Path:
        """The file that tells what happened to it: its log, or the NDJSON of a registrar node."""
        return self.folder / NODE_RECORD if self.kind == "registrar" else self.log

    @property
    def written(self) -> int:
        """Bytes in that file."""
        return self.record.stat().st_size if self.record.exists() else 0

    def true_us(self, shown_us: int) -> int:
        """When the clock of this program, as it runs now, showed that."""
        return self.control.laws[-1][1].true_us(shown_us) if self.control else shown_us

    @property
    def has_ended(self) -> bool:
        """True when it was started and is no more."""
        return self.process is not None and self.process.poll() is not None


class Cluster:
    """All programs of a run.

    Parameters
    ----------
    scenario : Scenario
    network : Network
    server : Server
        The program to run as server and as sentinel.
    folder : Path
        Where each program gets a folder of its own.
    rng : random.Random
        Source of the start moments.
    env : mapping
        Environment of the programs.
    serves_clients : bool or None
        Whether nodes are set up for clients and not only for probers; None: if the scenario has any.

    Attributes
    ----------
    authorities : Path
        Certificates that clients trust, if there are clients.
    """

    def __init__(
        self,
        scenario: Scenario,
        network: Network,
        server: Server,
        folder: Path,
        rng: random.Random,
        env: Mapping[str, str],
        *,
        serves_clients: bool | None = None,
    ) -> None:
        self.scenario, self.network = scenario, network
        serves_clients = bool(scenario.client) if serves_clients is None else serves_clients
        self._env, self._rng = dict(env), rng
        self.authorities = folder / certificates.AUTHORITIES
        if serves_clients:
            kinds = {host.name: host.certificate for host in scenario.host if host.registrar}
            certificates.write(certificates.Authority(), folder, kinds, config.SIP_DOMAIN)
        self.programs = [
            _install(scenario, network, server, folder, host, kind, rng, serves_clients)
            for kind in PROGRAMS
            for host in scenario.host
            if getattr(host, kind)
        ]
        self._add_controls()
        self.redis_hosts = [host.name for host in scenario.host if host.redis]
        self.registrar_hosts = [program.host for program in self.programs if program.kind == "registrar"]
        self.sentinel_ids: dict[str, str] = {}

    def start_program(self, program: Program, options: Sequence[str] = ()) -> None:
        """Start, or start again after the process was killed; one that runs is left alone."""
        if program.process is None or program.has_ended:
            env = {**self._env, **program.control.env} if program.control else self._env
            program.process = self.network.spawn(
                program.host, [*program.argv, *options], program.folder, program.log, env
            )

    def end(self) -> None:
        """Kill every program, so that nothing writes to the folder any more."""
        started = [program.process for program in self.programs if program.process]
        for process in started:
            process.kill()
        for process in started:
            process.wait()

    def on_host(self, host: str, kind: str) -> list[Program]:
        """The programs of `host`; `kind` is one of `PROGRAMS` or ``all``."""
        return [program for program in self.programs if program.host == host and kind in ("all", program.kind)]

    async def start(self) -> None:
        """Start everything, each at its random moment."""
        moments = [
            (self._rng.uniform(0, REDIS_SPREAD_S if program.kind == "redis" else TIMER_SPREAD_S), program)
            for program in self.programs
        ]
        begin = time.monotonic()
        for moment, program in sorted(moments, key=lambda pair: pair[0]):
            await asyncio.sleep(begin + moment - time.monotonic())
            self.start_program(program)

    async def wait_until_steady(self, report: Callable[[str], None]) -> None:
        """Wait for the steady state, then learn the ids of the sentinels.

        Parameters
        ----------
        report : callable
            Gets what is still missing, whenever that changes.

        Raises
        ------
        EnvironmentLacks
            A program ended, or the limit passed.
        """
        deadline, missing = time.monotonic() + STEADY_LIMIT_S, ""
        while now_missing := await self._missing():
            if now_missing != missing:
                missing = now_missing
                report(f"waiting: {missing}")
            if time.monotonic() > deadline:
                raise EnvironmentLacks(f"the cluster is not steady after {STEADY_LIMIT_S:.0f} s: {missing}")
            await asyncio.sleep(POLL_S)
        for host in self.scenario.sentinel_hosts:
            async with self.sentinel(host) as sentinel:
                self.sentinel_ids[await sentinel.execute_command("SENTINEL MYID")] = host
        await self._check_abilities()

    @asynccontextmanager
    async def redis(self, host: str) -> AsyncIterator[Redis]:
        """A connection to the server of `host`, over the client network."""
        async with _client(
            self.network.client_address(host), config.REDIS_PORT, self.scenario.server.password
        ) as client:
            yield client

    @asynccontextmanager
    async def sentinel(self, host: str) -> AsyncIterator[Redis]:
        """A connection to the sentinel of `host`, over the client network."""
        async with _client(
            self.network.client_address(host), config.SENTINEL_PORT, self._password_of("sentinel")
        ) as client:
            yield client

    async def connect(self, host: str, kind: str, *, authenticated: bool = True) -> Connection:
        """An open connection to the ``redis`` or ``sentinel`` of `host`, with or without its password."""
        is_redis = kind == "redis"
        connection = Connection(
            host=self.network.client_address(host),
            port=config.REDIS_PORT if is_redis else config.SENTINEL_PORT,
            password=self._password_of(kind) if authenticated else None,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
        )
        await connection.connect()
        return connection

    def _password_of(self, kind: str) -> str | None:
        section = self.scenario.server if kind == "redis" else self.scenario.sentinel
        return section.password or None

    async def keep_snapshots(self, hosts: Collection[str]) -> None:
        """Let the servers of `hosts` write their snapshots now, for a restart with old data."""
        for program in self.programs:
            if program.kind == "redis" and program.host in hosts:
                async with self.redis(program.host) as server:
                    await snapshots.keep(server, program.folder)

    async def syncs_of_a_rewrite(self, program: Program) -> int:
        """How often a sentinel syncs when it rewrites its configuration file once; it does that now to find out."""
        before = program.control.syncs
        async with self.sentinel(program.host) as sentinel:
            await sentinel.execute_command("SENTINEL FLUSHCONFIG")
        return program.control.syncs - before

    async def primary_now(self) -> str | None:
        """Host that most sentinels within reach call the primary; None when none can be reached."""
        votes = [vote for host in self.scenario.sentinel_hosts if (vote := await self._primary_by(host))]
        return max(sorted(set(votes)), key=votes.count) if votes else None

    async def _primary_by(self, host: str) -> str | None:
        hosts = {self.network.address(name): name for name in self.redis_hosts}
        try:
            async with self.sentinel(host) as sentinel:
                address, _ = await sentinel.sentinel_get_master_addr_by_name(config.MASTER_NAME)
        except (RedisError, OSError):
            return None
        return hosts.get(address)

    def _add_controls(self) -> None:
        """Give the programs that need it a clock and a disk of their own."""
        needing = shim.programs(self.scenario)
        library = shim.build() if needing else None
        now_us = time.time_ns() // 1_000
        for program in self.programs:
            if library and (program.host, program.kind) in needing:
                law = shim.first_law(self.scenario, program.host, now_us)
                program.control = shim.Control(library, program.folder / CONTROL_FILE, law)

    async def _check_abilities(self) -> None:
        """Refuse servers that cannot do what the scenario's faults ask of them."""
        deaf = next((each for each in self.programs if each.control and not each.control.is_loaded), None)
        if deaf:
            raise EnvironmentLacks(
                f"{deaf.argv[0]} runs without the preloaded library that its clock and disk need\n\n"
                "hint: take a server that is linked dynamically, and keep HASTUDY_CACHE out of /dev/shm and /mnt"
            )
        if any(fault.load_ms for fault in self.scenario.fault):
            async with self.redis(self.scenario.server.primary) as server:
                await snapshots.check_can_load_slowly(server)

    async def _missing(self) -> str:
        """What the steady state still lacks, empty when nothing."""
        ended = next((program for program in self.programs if program.has_ended), None)
        if ended:
            raise EnvironmentLacks(f"{ended.kind} of {ended.host} ended at its start:\n{_tail(ended.log)}")
        for host in self.redis_hosts:
            if not await _holds(self._is_in_sync(host)):
                return f"redis of {host} in sync"
        for host in self.scenario.sentinel_hosts:
            if not await _holds(self._knows_all(host)):
                return f"sentinel of {host} knowing all others"
        for host in self.registrar_hosts:
            if not await _holds(_answers_options(self.network.client_address(host))):
                return f"registrar of {host} answering"
        return ""

    async def _is_in_sync(self, host: str) -> bool:
        async with self.redis(host) as server:
            info = await server.info("replication")
        if host != self.scenario.server.primary:
            return info["role"] == "slave" and info["master_link_status"] == "up"
        online = [key for key in info if key.removeprefix("slave").isdigit() and info[key]["state"] == "online"]
        return info["role"] == "master" and len(online) == len(self.redis_hosts) - 1

    async def _knows_all(self, host: str) -> bool:
        async with self.sentinel(host) as sentinel:
            primary = await sentinel.sentinel_master(config.MASTER_NAME)
            replicas = await sentinel.sentinel_slaves(config.MASTER_NAME)
            others = await sentinel.sentinel_sentinels(config.MASTER_NAME)
        # Any other flag means that a link is not up yet, or that the instance is thought down.
        flags = [instance["flags"] for instance in (primary, *replicas, *others)]
        return (
            set(flags) <= {"master", "slave", "sentinel"}
            and len(replicas) == len(self.redis_hosts) - 1
            and len(others) == len(self.scenario.sentinel_hosts) - 1
        )


def _install(
    scenario: Scenario,
    network: Network,
    server: Server,
    folder: Path,
    host: Host,
    kind: str,
    rng: random.Random,
    serves_clients: bool,
) -> Program:
    """Make the folder and the configuration file of one program."""
    own = folder / host.name / kind
    own.mkdir(parents=True)
    match kind:
        case "redis":
            path, text = own / "redis.conf", config.redis_conf(scenario, network, host.name)
            argv = [str(server.path), str(path)]
        case "sentinel":
            path, text = own / "sentinel.conf", config.sentinel_conf(scenario, network, host.name)
            argv = [str(server.path), str(path), "--sentinel"]
        case _:
            path = own / "node.json"
            certificate = str(certificates.path_of(folder, host.name)) if serves_clients else ""
            text = config.node_json(
                scenario, network, host.name, str(own / NODE_RECORD), rng.getrandbits(32), certificate
            )
            argv = [sys.executable, "-m", NODE_MODULE, str(path)]
    path.write_text(text, encoding="utf-8")
    return Program(host.name, kind, argv, own, own / f"{kind}.log")


@asynccontextmanager
async def _client(address: str, port: int, password: str | None) -> AsyncIterator[Redis]:
    client = Redis(
        host=address,
        port=port,
        password=password,
        decode_responses=True,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
    )
    try:
        yield client
    finally:
        await client.aclose()


async def _holds(claim) -> bool:
    """The truth of a claim about a program; False while the program does not answer."""
    try:
        return await claim
    except (RedisError, OSError, TimeoutError):
        return False


async def _answers_options(address: str) -> bool:
    """True when the SIP node at `address` answers OPTIONS over UDP (any final answer shows that it is up)."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.connect((address, config.SIP_PORT))
        own, port = line.getsockname()
        await loop.sock_sendall(line, _options(address, own, port))
        answer = await asyncio.wait_for(loop.sock_recv(line, 4096), ANSWER_S)
    return answer.startswith(b"SIP/2.0 ")


def _options(address: str, own: str, port: int) -> bytes:
    mark = f"{port}-{time.monotonic_ns()}"
    lines = (
        f"OPTIONS sip:{address}:{config.SIP_PORT} SIP/2.0",
        f"Via: SIP/2.0/UDP {own}:{port};branch=z9hG4bK{mark}",
        "Max-Forwards: 70",
        f"From: <sip:lab@{config.SIP_DOMAIN}>;tag={mark}",
        f"To: <sip:{address}>",
        f"Call-ID: {mark}@{own}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _tail(log: Path, lines: int = 10) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def fault_moment_s(rng: random.Random, clients_s: float = 0.0) -> float:
    """Seconds from the steady state to the first fault.

    Parameters
    ----------
    rng : random.Random
    clients_s : float
        How long clients need to be as if they had always been there; they have started just now.
    """
    return max(0.0, clients_s - FAULT_EARLIEST_S) + rng.uniform(FAULT_EARLIEST_S, FAULT_LATEST_S)
