"""Which counter-measure keeps a stranger's forged messages from a real sentinel and a real Redis server.

``python -m study.security`` starts a server and a sentinel of each family that is installed, under each measure of
`MEASURES`, in a network namespace that ends with it, and tries every door from a stranger's address there. Addresses of
other networks do not exist in that namespace. docs/security.md has the table.

Left out: what a peer sees of a wrong password, and data.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from tabulate import tabulate

from model.errors import EnvironmentLacks
from reference_node.lab import servers
from study import folders

STORED = Path(__file__).resolve().parents[1] / "reports" / "security" / "doors.json"
"""What `--json` printed for the four families."""

PRIVATE, PUBLIC, PEER, STRANGER = "10.77.3.1", "10.77.4.1", "10.77.3.2", "10.77.9.9"
"""Two addresses of the host, that of another one of the cluster, and that of somebody else. Kind: assumed."""

STRANGERS_PORT = 6380
"""Of what the forged hello names as primary. Kind: assumed (servers that listen everywhere have 6379)."""

SECRET = "lab-secret"
"""Password of the run. Kind: assumed."""

CHANNEL, GROUP = "__sentinel__:hello", "hastudy"
"""Kind: specified (sentinel.c), assumed."""

FORGED_ID, FORGED_EPOCH = "f" * 40, 1_000
"""Of the sentinel that does not exist. Kind: assumed."""

LIMIT_S = 1.0
"""Longest wait for a connection, an answer, or a sentinel that connects. Kind: assumed."""

_BOTH = [f"requirepass {SECRET}", "protected-mode no"]
_ACL = ["protected-mode no", "user default off"]
MEASURES: dict[str, tuple[list[str], list[str]]] = {
    "none": (["protected-mode no"], ["protected-mode no"]),
    "password on Redis alone": (_BOTH, ["protected-mode no"]),
    "password on sentinels alone": (["protected-mode no"], _BOTH),
    "password on both": (_BOTH, _BOTH),
    "ACL on both": (
        [*_ACL, f"user peer on >{SECRET} ~* &* +@all"],
        [*_ACL, f"user peer on >{SECRET} ~* &* +@all"],
    ),
    "protected-mode, no bind": (["protected-mode yes"], ["protected-mode yes"]),
    "protected-mode, bind": (
        ["protected-mode yes", f"bind {PRIVATE} {PUBLIC}"],
        ["protected-mode yes", f"bind {PRIVATE} {PUBLIC}"],
    ),
    "bind to the private address": (
        ["protected-mode no", f"bind {PRIVATE}"],
        ["protected-mode no", f"bind {PRIVATE}"],
    ),
    "whitelist (nftables)": (["protected-mode no"], ["protected-mode no"]),
}
"""Lines of redis.conf and of sentinel.conf under each measure."""

DOORS = ("forged hello", "forged vote", "hello by Redis", "write to Redis", "password leaked", "peer gets in")


def measure(server: servers.Server, name: str) -> dict[str, bool | None]:
    """What gets through under a measure: True or False by door, None where it cannot be told.

    Raises
    ------
    EnvironmentLacks
        A program does not start, or nft is missing.
    """
    with _whitelist(name), tempfile.TemporaryDirectory() as folder, _running(server, name, Path(folder)):
        heard: list[bytes] = []
        with _listener(heard):
            found: dict[str, bool | None] = {
                "peer gets in": _peer(name),
                "forged vote": _vote(),
                "write to Redis": _allowed(6379, "SET", "hastudy:stranger", "1"),
                "hello by Redis": _allowed(6379, "PUBLISH", CHANNEL, "stranger"),
                "forged hello": _hello(),
            }
            deadline = time.monotonic() + LIMIT_S
            while found["forged hello"] and not heard and time.monotonic() < deadline:
                time.sleep(0.01)
        has_secret = "Redis alone" in name or "both" in name
        found["password leaked"] = SECRET.encode() in b"".join(heard) if has_secret else None
    return {door: found[door] for door in DOORS}


@contextmanager
def _running(server: servers.Server, name: str, folder: Path) -> Iterator[None]:
    redis_lines, sentinel_lines = MEASURES[name]
    auth = [f"sentinel auth-pass {GROUP} {SECRET}"] if SECRET in " ".join(redis_lines) else []
    if "ACL" in name:
        auth.append(f"sentinel auth-user {GROUP} peer")
    monitor = [f"sentinel monitor {GROUP} {PRIVATE} 6379 1", *auth]
    (folder / "redis.conf").write_text("\n".join(["port 6379", 'save ""', *redis_lines, ""]))
    (folder / "sentinel.conf").write_text("\n".join(["port 26379", *sentinel_lines, *monitor, ""]))
    programs = []
    try:
        for kind in ("redis", "sentinel"):
            command = [str(server.path), str(folder / f"{kind}.conf"), *(["--sentinel"] if kind == "sentinel" else [])]
            with (folder / f"{kind}.log").open("wb") as log:
                programs.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
            _wait_for(26379 if kind == "sentinel" else 6379, folder / f"{kind}.log")
        time.sleep(LIMIT_S)  # the sentinel has seen its primary
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection((PRIVATE, port), LIMIT_S, (PEER, 0)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise EnvironmentLacks(f"no server on port {port}:\n{log.read_text(errors='replace')[-800:]}")


@contextmanager
def _whitelist(name: str) -> Iterator[None]:
    """Rules for as long as the measure is tried."""
    if "whitelist" not in name:
        yield
        return
    if not shutil.which("nft"):
        raise EnvironmentLacks("no nft\n\nhint: on Debian: apt-get install nftables")
    rules = (
        "table ip hastudy {\nchain input {\ntype filter hook input priority 0; policy accept;\n"
        f"tcp dport {{ 6379, 26379 }} ip saddr != {{ {PRIVATE}, {PEER} }} drop\n}}\n}}\n"
    )
    done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True)
    if done.returncode:
        raise EnvironmentLacks(f"nft is refused: {(done.stderr.splitlines() or ['no reason'])[0]}")
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "hastudy"], check=True)


@contextmanager
def _listener(heard: list[bytes]) -> Iterator[None]:
    """A server of the stranger's, that listens and never answers."""
    with socket.create_server((STRANGER, STRANGERS_PORT)) as line:
        line.settimeout(3 * LIMIT_S)

        def listen() -> None:
            try:
                while True:
                    connection, _ = line.accept()
                    connection.settimeout(LIMIT_S)
                    heard.append(connection.recv(4096))
            except OSError:
                pass

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield
        finally:
            line.shutdown(socket.SHUT_RDWR)  # or the thread would hold the port
            thread.join()


def _ask(port: int, *words: str | int, source: str = STRANGER, address: str = PUBLIC, password: str = "") -> str:
    """The answer's text to a command, as it comes; empty when there is none."""

    def packed(each: tuple[str | int, ...]) -> bytes:
        parts = [str(word).encode() for word in each]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

    try:
        with socket.create_connection((address, port), LIMIT_S, (source, 0)) as line:
            if password:
                line.sendall(packed(("AUTH", *password.split())))
                line.recv(4096)
            line.sendall(packed(words))
            return line.recv(4096).decode(errors="replace")
    except OSError:
        return ""


def _allowed(port: int, *words: str | int) -> bool:
    answer = _ask(port, *words)
    return bool(answer) and not answer.startswith("-")


def _vote() -> bool:
    words = ("SENTINEL", "IS-MASTER-DOWN-BY-ADDR", PRIVATE, 6379, FORGED_EPOCH, FORGED_ID)
    return FORGED_ID in _ask(26379, *words)


def _hello() -> bool:
    """True when the sentinel names the stranger's server as primary."""
    words = [STRANGER, 26379, FORGED_ID, FORGED_EPOCH + 1, GROUP, STRANGER, STRANGERS_PORT, FORGED_EPOCH + 1]
    return _allowed(26379, "PUBLISH", CHANNEL, ",".join(map(str, words)))


def _peer(name: str) -> bool:
    """Whether another sentinel, who knows what there is to know, gets an answer."""
    _, lines = MEASURES[name]
    password = ("peer " if "ACL" in name else "") + SECRET if SECRET in " ".join(lines) else ""
    return "PONG" in _ask(26379, "PING", source=PEER, address=PRIVATE, password=password)


def measure_all() -> dict[str, Any]:
    """What gets through, by family and measure: see `measure`.

    Raises
    ------
    EnvironmentLacks
        There are no namespaces here.
    """
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m", "study.security", "--inside"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.splitlines() or ["no reason"])[-1]
        raise EnvironmentLacks(f"it cannot be tried here: {reason}")
    return json.loads(done.stdout)


def _in_namespace() -> dict[str, Any]:
    """All families, all measures."""
    with IPRoute() as link:
        card = link.link_lookup(ifname="lo")[0]
        link.link("set", index=card, state="up")
        for address in (PRIVATE, PUBLIC, PEER, STRANGER):
            link.addr("add", index=card, address=address, prefixlen=32)
    found: dict[str, Any] = {}
    for server in servers.available():
        family = f"{server.flavour} {server.version}"
        if family not in found:
            found[family] = {name: _measured(server, name) for name in MEASURES}
    return found


def _measured(server: servers.Server, name: str) -> dict[str, bool | None] | str:
    try:
        return measure(server, name)
    except EnvironmentLacks as lacks:
        return f"not tried: {str(lacks).splitlines()[0]}"


def to_text(found: dict[str, Any]) -> str:
    """A line for each measure; families that differ have lines of their own."""
    words = {True: "yes", False: "no", None: "-"}
    rows = []
    for name in MEASURES:
        alike: dict[str, list[str]] = defaultdict(list)
        for family, measures in found.items():
            alike[json.dumps(measures[name])].append(family)
        for told, families in alike.items():
            seen = json.loads(told)
            cells = [words[seen[door]] for door in DOORS] if isinstance(seen, dict) else [seen]
            rows.append([name, "all" if len(alike) == 1 else ", ".join(families), *cells])
    return tabulate(rows, ["measure", "servers", *DOORS], "github")


def stored() -> dict[str, Any]:
    """What was measured, by family and measure."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def main(words: list[str] | None = None) -> int:
    """Run a command line."""
    parser = argparse.ArgumentParser(prog="python -m study.security", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print data")
    parser.add_argument("--stored", action="store_true", help="what was measured for the documentation")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.inside:
        print(json.dumps(_in_namespace()))
        return 0
    try:
        found = stored() if args.stored else measure_all()
    except EnvironmentLacks as lacks:
        print(f"error: {lacks}", file=sys.stderr)
        return lacks.exit_code
    print(folders.to_json(found) if args.json else to_text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
