"""Keeps a scenario's cluster up on loopback addresses, for phones of one's own: no faults, no probers, until Ctrl-C.

Run it with ``python -m reference_node.lab.serve SCENARIO``. It tells where everything is; what to break, and when, is
up to whoever runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from model.errors import HastudyError
from model.scenario import Scenario, load
from reference_node.dns_server import NameServer
from reference_node.lab import clients, config, servers
from reference_node.lab.certificates import AUTHORITIES
from reference_node.lab.cluster import Cluster
from reference_node.lab.network import LoopbackNetwork


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m reference_node.lab.serve``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reference_node.lab.serve",
        description="Keeps the cluster of a scenario up on loopback addresses until Ctrl-C, for phones of your own.",
        epilog="example: python -m reference_node.lab.serve scenarios/host_loss/primary_process_crashes.toml",
    )
    parser.add_argument("scenario", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replaces a value of the file")
    parser.add_argument("--server", help="which Redis server, as for `hastudy replay`")
    options = parser.parse_args(arguments)
    try:
        scenario = load(options.scenario, options.set)
        with tempfile.TemporaryDirectory(prefix="hastudy-") as folder:
            asyncio.run(_serve(scenario, servers.choose(options.server), Path(folder)))
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


async def _serve(scenario: Scenario, server: servers.Server, folder: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    network = LoopbackNetwork(scenario.host_names)
    cluster = Cluster(
        scenario, network, server, folder, random.Random(), {**os.environ, "TZ": "UTC"}, serves_clients=True
    )
    names = NameServer(clients.zone_of(scenario, network), *network.name_server)
    names.start()
    starting = asyncio.create_task(_start(cluster))
    ending = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _tell(cluster, names, folder)
            await ending
    finally:
        starting.cancel()
        cluster.end()
        names.close()


async def _start(cluster: Cluster) -> None:
    await cluster.start()
    await cluster.wait_until_steady(lambda text: print(text, file=sys.stderr))


def _tell(cluster: Cluster, names: NameServer, folder: Path) -> None:
    """Say where everything is."""
    print(f"domain {config.SIP_DOMAIN}, name server {names.ip}:{names.port}, authority {folder / AUTHORITIES}")
    for host in cluster.registrar_hosts:
        address = cluster.network.client_address(host)
        print(f"{host}: node on udp, tcp {address}:{config.SIP_PORT}, tls {address}:{config.TLS_PORT}")
    for program in cluster.programs:
        print(f"{program.host}: {program.kind} has process id {program.process.pid}")
    print("Ctrl-C ends all of it", flush=True)


if __name__ == "__main__":
    sys.exit(main())
