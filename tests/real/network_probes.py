"""Probes of the lab's cluster network, for `test_lab_network`: real programs on the hosts of a real network.

``python network_probes.py NAME`` carries out the function `NAME` inside the namespaces of a run and prints what came of
it as JSON. ``echo``, ``ask``, ``stream`` and ``trust`` are what it starts on the hosts; these need the standard library
only.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PORT = 7000
HOSTS = ("host1", "host2", "host3")
SEED = 5
LIMIT_S = 60.0
DELAY_US = 20_000
STREAM_BYTES = 1_000_000


# --- what runs on the hosts -------------------------------------------------------------------------------------------


def echo() -> None:
    """Send back datagrams, count streams' bytes, and tell on request from whom how many datagrams came."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", PORT))
    streams = socket.create_server(("", PORT))
    heard: dict[str, int] = {}
    while True:
        ready, _, _ = select.select([datagrams, streams], [], [])
        if streams in ready:
            stream, _ = streams.accept()
            with stream:
                count = sum(iter(lambda stream=stream: len(stream.recv(1 << 16)), 0))
                stream.sendall(str(count).encode())
        if datagrams in ready:
            data, sender = datagrams.recvfrom(2048)
            if data == b"heard?":
                data = json.dumps(heard).encode()
            else:
                heard[sender[0]] = heard.get(sender[0], 0) + 1
            with suppress(OSError):  # "no route to host" of an earlier datagram
                datagrams.sendto(data, sender)


def ask(target: str, count: str, gap: str) -> list[int | None]:
    """Round trips of datagrams, `gap` µs apart, in µs; None for one that is not back a second after the last."""
    packets, gap_us = int(count), int(gap)
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent: list[int] = []
    back: list[int | None] = [None] * packets
    next_us = now_us()
    while None in back:
        wait_us = next_us - now_us()
        if wait_us > 0:
            if select.select([line], [], [], wait_us / 1e6)[0]:
                number = int(line.recv(2048))
                back[number] = now_us() - sent[number]
        elif len(sent) < packets:
            sent.append(now_us())
            with suppress(OSError):
                line.sendto(str(len(sent) - 1).encode(), (target, PORT))
            next_us += gap_us if len(sent) < packets else 1_000_000
        else:
            break
    return back


def stream(target: str) -> int:
    """How many bytes of a stream arrived."""
    with socket.create_connection((target, PORT), LIMIT_S) as line:
        line.sendall(bytes(STREAM_BYTES))
        line.shutdown(socket.SHUT_WR)
        return int(line.recv(99))


def now_us() -> int:
    return time.monotonic_ns() // 1000


def trust() -> None:
    """Ask no neighbour for its address again once it is known."""
    for setting in Path("/proc/sys/net/ipv4/neigh").glob("cluster*/delay_first_probe_time"):
        setting.write_text("1000")


# --- the hosts seen from the observer ---------------------------------------------------------------------------------


class Lab:
    """Three hosts, each with an echo.

    Parameters
    ----------
    folder : Path
        For what the hosts' programs say.
    delay_us : int or None
        One-way delay; None for the kernel's bridges, which shape nothing.
    links : mapping
        `Link`s, as in a scenario.
    """

    def __init__(self, folder: Path, delay_us: int | None, *links: dict) -> None:
        from model.scenario import Link  # here, so that the hosts' programs start quickly
        from reference_node.lab.network import NamespaceNetwork
        from reference_node.lab.wires import Shape

        shape = None if delay_us is None else Shape(delay_us, tuple(Link(**link) for link in links), SEED)
        self.network, self._folder, self._started = NamespaceNetwork(HOSTS, shape), folder, 0
        for host in HOSTS:
            self._start(host, "echo")
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.settimeout(0.1)
        for host in HOSTS:
            self.heard(host)

    def ask(self, host: str, to: str, packets: int, gap_us: int) -> list[int | None]:
        """Round trips from one host to another."""
        return _answer(self._start(host, "ask", self.network.address(to), str(packets), str(gap_us)))

    def stream(self, host: str, to: str) -> int:
        return _answer(self._start(host, "stream", self.network.address(to)))

    def reach(self) -> list[list[str]]:
        """Pairs of hosts that answer each other."""
        pairs = [[a, b] for a in HOSTS for b in HOSTS if a < b]
        asked = [self._start(a, "ask", self.network.address(b), "2", "1000") for a, b in pairs]
        return [pair for pair, program in zip(pairs, asked, strict=True) if _answer(program) != [None, None]]

    def meet(self) -> None:
        """Have all hosts learn each other's hardware addresses, however many frames are lost."""
        deadline = time.monotonic() + LIMIT_S
        while len(self.reach()) < len(HOSTS):
            assert time.monotonic() < deadline, "the hosts do not find each other"

    def heard(self, host: str) -> dict[str, int]:
        """From whom the echo of `host` heard how many datagrams; asked on the client network until it answers."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            self._line.sendto(b"heard?", (self.network.client_address(host), PORT))
            with suppress(OSError):
                counts = json.loads(self._line.recv(2048))
                return {name: counts.get(self.network.address(name), 0) for name in HOSTS}
        raise AssertionError(f"the echo of {host} does not answer")

    def trust(self, host: str) -> None:
        """Have a host believe in its neighbours for longer than any probe takes."""
        self._start(host, "trust")[0].wait(LIMIT_S)

    def _start(self, host: str, *argv: str) -> tuple[subprocess.Popen, Path]:
        self._started += 1
        log = self._folder / f"{self._started}.log"
        return self.network.spawn(host, [sys.executable, __file__, *argv], self._folder, log, os.environ), log


def _answer(started: tuple[subprocess.Popen, Path]):
    program, log = started
    assert program.wait(LIMIT_S) == 0, log.read_text()
    return json.loads(log.read_text())


# --- the probes -------------------------------------------------------------------------------------------------------


def delay(folder: Path) -> dict:
    """Round trips on a way of the common delay, and where one direction is another."""
    lab = Lab(folder, DELAY_US, {"from": "*", "to": "host3", "delay_us": 5_000})
    lab.meet()
    trips, other = (lab.ask("host1", to, 100, 3_000) for to in ("host2", "host3"))
    return {"trips": trips, "other": other, "late_us": lab.network.late_us}


def jitter(folder: Path) -> dict:
    """Round trips with jitter in one direction."""
    lab = Lab(folder, 100, {"from": "*", "to": "host2", "delay_us": 5_000, "jitter_us": 30_000})
    lab.meet()
    return {"trips": lab.ask("host1", "host2", 100, 40_000)}


def loss(folder: Path) -> dict:
    """How many of 2000 got lost, and how many arrived."""
    lab = Lab(folder, 100, {"from": "host1", "to": "host2", "loss_percent": 30})
    lab.meet()
    before = lab.heard("host2")["host1"]
    trips = lab.ask("host1", "host2", 2_000, 500)
    return {"lost": trips.count(None), "heard": lab.heard("host2")["host1"] - before}


def one_way(folder: Path) -> dict:
    """What arrives while one way is dropped, and after."""
    lab = Lab(folder, 100)
    lab.trust("host2")  # else its own address queries, whose answers get lost, soon end the other way too
    lab.meet()
    before = {host: lab.heard(host) for host in HOSTS}
    lab.network.drop("host1", "host2", 100)
    answers = [trip for pair in (("host1", "host2"), ("host2", "host1")) for trip in lab.ask(*pair, 20, 1000)]
    after = {host: lab.heard(host) for host in HOSTS}
    reach = lab.reach()
    lab.network.deliver("host1", "host2")
    return {
        "answers": answers,
        "there": after["host2"]["host1"] - before["host2"]["host1"],
        "back": after["host1"]["host2"] - before["host1"]["host2"],
        "reach": reach,
        "delivered": lab.reach(),
    }


def slower(folder: Path) -> dict:
    """Round trips before and after a delay begins."""
    lab = Lab(folder, 100)
    lab.meet()
    quick = lab.ask("host1", "host2", 50, 1000)
    lab.network.delay("host1", "*", DELAY_US, 0)
    return {"quick": quick, "slow": lab.ask("host1", "host2", 50, 1000)}


def walk_through_faults(lab: Lab) -> dict:
    """Who reaches whom as hosts are moved, lost and brought back."""
    network, seen = lab.network, {"at first": lab.reach()}
    network.cut("host1")
    seen["two sides"] = lab.reach()
    network.cut("host2", 2)
    seen["three sides"] = lab.reach()
    network.cut("host2", 1)
    seen["together"] = lab.reach()
    network.detach("host2")
    network.heal()
    seen["one gone"] = lab.reach()
    network.attach("host2")
    seen["healed"] = lab.reach()
    return seen


def faults_of_bridges(folder: Path) -> dict:
    return walk_through_faults(Lab(folder, None))


def faults_of_a_switch(folder: Path) -> dict:
    return walk_through_faults(Lab(folder, 1_000))


def streams(folder: Path) -> dict:
    """A transfer that a card would like to cut up itself."""
    lab = Lab(folder, 2_000)
    return {"bytes": lab.stream("host1", "host2")}


def neighbour(folder: Path) -> str:
    """What becomes of a connection from the observer to a host that is gone."""
    from reference_node.lab.network import NamespaceNetwork

    return _connect_to_lost(NamespaceNetwork(HOSTS))


def far_away(folder: Path) -> str:
    """The same with routers in between."""
    from reference_node.lab.network import NamespaceNetwork

    return _connect_to_lost(NamespaceNetwork(HOSTS, behind_routers=True))


def _connect_to_lost(network) -> str:
    network.detach("host1")
    try:
        socket.create_connection((network.client_address("host1"), PORT), 10.0)
    except TimeoutError:
        return "silent"
    except OSError as error:
        return error.strerror


def kernel_settings(folder: Path) -> list[str]:
    """A setting as the observer, and as a program on a host, sees it."""
    from reference_node.lab.network import NamespaceNetwork

    network = NamespaceNetwork(HOSTS, settings={"tcp_retries2": 5, "tcp_syn_retries": 6})
    path = "/proc/sys/net/ipv4/tcp_retries2"
    network.spawn("host2", ["cat", path], folder, folder / "log", os.environ).wait(LIMIT_S)
    return [Path(path).read_text().strip(), (folder / "log").read_text().strip()]


def main(name: str, *argv: str) -> None:
    """Run one of the functions of this file."""
    if name in ("echo", "ask", "stream", "trust"):
        print(json.dumps(globals()[name](*argv)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(globals()[name](Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
