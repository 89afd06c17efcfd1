"""What a registrar node costs: latency under a given load, CPU time a request, and the rate at which queues grow.

    python benchmarks/node_load.py                      # 500 REGISTER/s for 60 s, over UDP
    python benchmarks/node_load.py --kind lookup        # the same for look-ups of a user: MESSAGE, answered 404
    python benchmarks/node_load.py --capacity --json    # raise the rate until it does not keep up

One node and one Redis server run as processes on loopback; SIPp (https://sipp.sourceforge.net, on the path as ``sipp``)
makes the load. The number to lean on is the CPU time a request, user and system, of the node alone, at the highest rate
that it keeps up with: other work on the machine moves it by some ten percent, and latency by a factor. At lower rates a
request costs more, because each turn of the event loop serves fewer of them.

Exit codes: 0; 1 when an answer was lost or wrong; 4 when this machine has no sipp or no redis-server.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from model.errors import EnvironmentLacks
from reference_node.lab.servers import choose

LIMIT_S = 20.0
"""Longest wait for a program to start. Kind: assumed."""

FIRST_RATE, STEP = 500, 1.25
"""Rates that the search for the capacity tries: the first in 1/s, and the factor to the next. Kind: assumed."""

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="load"><send retrans="500" start_rtd="1"><![CDATA[
"""
_TAIL = """
]]></send>
<recv response="100" optional="true"/>
<recv response="{status}" rtd="1"/>
</scenario>
"""
_COMMON = """Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]
Max-Forwards: 70
From: <sip:u[call_number]@example.org>;tag=t[call_number]
To: <sip:u[call_number]@example.org>
Call-ID: [call_id]
"""
MESSAGES = {
    "register": (
        "REGISTER sip:example.org SIP/2.0\n" + _COMMON + "CSeq: 1 REGISTER\n"
        "Contact: <sip:u[call_number]@[local_ip]:[local_port]>;"
        '+sip.instance="<urn:uuid:00000000-0000-1000-8000-[call_number]>"\n'
        "Expires: 3600\nUser-Agent: load/1.0\nAccept: application/sdp, text/plain\nSupported: outbound, path\n"
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE\nContent-Length: 0",
        200,
    ),
    "lookup": (
        "MESSAGE sip:nobody[call_number]@example.org SIP/2.0\n" + _COMMON + "CSeq: 1 MESSAGE\n"
        "Content-Type: text/plain\nContent-Length: 0",
        404,
    ),
}


@dataclass(frozen=True, slots=True)
class Load:
    """What a load did.

    Attributes
    ----------
    kind : str
    transport : str
    rate : int
        Requests a second asked for.
    seconds : float
        How long.
    sent, answered, failed, repeated : int
        Requests; with the right answer; without one; retransmissions.
    p50_ms, p99_ms, max_ms : float
        Latency.
    node_us, redis_us : float
        CPU time a request, µs.
    """

    kind: str
    transport: str
    rate: int
    seconds: float
    sent: int
    answered: int
    failed: int
    repeated: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    node_us: float
    redis_us: float

    @property
    def keeps_up(self) -> bool:
        """True when nothing was lost and hardly anything had to be sent again."""
        return self.failed == 0 and self.repeated <= self.sent // 100


@contextlib.contextmanager
def running(folder: Path, transport: str) -> Iterator[tuple[int, subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """A Redis server and a node on it; gives the node's port and both processes.

    Raises
    ------
    EnvironmentLacks
        There is no redis-server, or something does not start.
    """
    redis_port, port = _free_port(), _free_port()
    redis_options = ["--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    config = {
        "host": "host1",
        "host_index": 0,
        "sip": {"ip": "127.0.0.1", "port": port},
        "servers": [{"host": "host1", "ip": "127.0.0.1", "port": redis_port}],
        "first_server": 0,
        "domain": "example.org",
        "log": str(folder / "events.ndjson"),
        "seed": 1,
    }
    (folder / "node.json").write_text(json.dumps(config))
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(_process([str(choose().path), *redis_options], folder / "redis.log"))
        _wait_for(lambda: _answers(redis_port), "Redis answers")
        command = [sys.executable, "-m", "reference_node.node", str(folder / "node.json")]
        node = stack.enter_context(_process(command, folder / "node.log"))
        events = folder / "events.ndjson"
        _wait_for(lambda: events.exists() and '"writable"' in events.read_text(), "the node is writable")
        yield port, node, redis


def measure(kind: str, rate: int, seconds: float, transport: str = "udp") -> Load:
    """Put a node of its own under load.

    Parameters
    ----------
    kind : str
        ``register`` or ``lookup``.
    rate : int
        Requests a second.
    seconds : float
    transport : str
        ``udp`` or ``tcp`` (one connection for all).

    Raises
    ------
    EnvironmentLacks
        sipp or redis-server is missing.
    """
    sipp = shutil.which("sipp")
    if sipp is None:
        raise EnvironmentLacks("no sipp on the path; on Debian: apt-get install sip-tester")
    message, status = MESSAGES[kind]
    count = round(rate * seconds)
    with tempfile.TemporaryDirectory(prefix="hastudy-load-") as name, running(Path(name), transport) as programs:
        folder = Path(name)
        port, node, redis = programs
        scenario = folder / "load.xml"
        scenario.write_text(_HEAD + message.replace("\n", "\r\n") + "\r\n" + _TAIL.format(status=status))
        command = [
            sipp, "-sf", str(scenario), f"127.0.0.1:{port}", "-i", "127.0.0.1", "-m", str(count), "-r", str(rate),
            "-l", "100000", "-nostdin", "-trace_stat", "-trace_rtt", "-rtt_freq", "1", "-recv_timeout", "32000",
            "-t", "t1" if transport == "tcp" else "u1", "-timeout", f"{seconds + 120:.0f}s",
        ]  # fmt: skip
        before = _cpu_s(node.pid), _cpu_s(redis.pid)
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        after = _cpu_s(node.pid), _cpu_s(redis.pid)
        try:
            totals = _last_row(next(folder.glob("load_*_.csv")))
        except StopIteration:
            raise EnvironmentLacks(f"sipp says: {done.stderr.decode(errors='replace').strip()[-300:]}") from None
        latency_ms = sorted(_latencies_ms(next(folder.glob("load_*_rtt.csv")))) or [0.0]
    answered = int(totals["SuccessfulCall(C)"])
    sent = int(totals["TotalCallCreated"])
    cuts = statistics.quantiles(latency_ms, n=100, method="inclusive") if len(latency_ms) > 1 else latency_ms * 99
    return Load(
        kind, transport, rate, seconds, sent, answered, sent - answered, int(totals["Retransmissions(C)"]),
        round(cuts[49], 3), round(cuts[98], 3), round(latency_ms[-1], 3),
        round(1e6 * (after[0] - before[0]) / sent, 1), round(1e6 * (after[1] - before[1]) / sent, 1),
    )  # fmt: skip


def capacity(kind: str, seconds: float, transport: str = "udp") -> list[Load]:
    """Loads of rising rate, up to the first that the node does not keep up with."""
    loads = [measure(kind, FIRST_RATE, seconds, transport)]
    while loads[-1].keeps_up:
        loads.append(measure(kind, round(loads[-1].rate * STEP), seconds, transport))
    return loads


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the script; the exit code."""
    parser = argparse.ArgumentParser(description="What a registrar node costs under load.")
    parser.add_argument("--kind", choices=sorted(MESSAGES), default="register", help="what is asked (register)")
    parser.add_argument("--rate", type=int, default=500, help="requests a second (500)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, each rate (60)")
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp")
    parser.add_argument("--capacity", action="store_true", help="raise the rate until the node does not keep up")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    asked = parser.parse_args(arguments)
    try:
        if asked.capacity:
            loads = capacity(asked.kind, asked.seconds, asked.transport)
        else:
            loads = [measure(asked.kind, asked.rate, asked.seconds, asked.transport)]
    except EnvironmentLacks as lack:
        print(f"error: {lack}", file=sys.stderr)
        return lack.exit_code
    if asked.json:
        print(json.dumps([{**asdict(load), "keeps_up": load.keeps_up} for load in loads]))
    else:
        for load in loads:
            print(_line(load))
    return 0 if asked.capacity or loads[0].failed == 0 else 1


def _line(load: Load) -> str:
    return (
        f"{load.rate:6d} {load.kind}/s over {load.transport}: {load.answered} of {load.sent} answered, "
        f"{load.repeated} repeated; p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms, max {load.max_ms:.0f} ms; "
        f"CPU {load.node_us:.0f} µs each (Redis {load.redis_us:.0f} µs)"
    )


@contextlib.contextmanager
def _process(command: list[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def _wait_for(what, said: str) -> None:
    until_s = time.monotonic() + LIMIT_S
    while not what():
        if time.monotonic() > until_s:
            raise EnvironmentLacks(f"not within {LIMIT_S:.0f} s: {said}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        with Redis(port=port) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far, s."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def _last_row(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return list(csv.DictReader(file, delimiter=";"))[-1]


def _latencies_ms(path: Path) -> list[float]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [float(row[1]) for row in csv.reader(file, delimiter=";") if len(row) > 1 and row[1][:1].isdigit()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
