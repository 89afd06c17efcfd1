"""Ports that nobody takes between their choice and their use.

Tests run side by side, and a port that the kernel gave to a socket that is closed again may be anybody's a moment
later: a client's, or another test's. So each process of tests has a range of its own, below the kernel's.
"""

from __future__ import annotations

import itertools
import os
import socket

FIRST, PER_PROCESS = 20_000, 1_000
"""Linux gives 32768 to 60999 to clients (``ip_local_port_range``). Kind: vendor default."""

_OFFSETS = itertools.cycle(range(PER_PROCESS))


def free_port() -> int:
    """A port of 127.0.0.1 that is free for TCP and UDP."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for _ in range(PER_PROCESS):
        port = FIRST + process * PER_PROCESS + next(_OFFSETS)
        if all(_is_free(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port
    raise AssertionError(f"no port is free from {FIRST + process * PER_PROCESS} on")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
