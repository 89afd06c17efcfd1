"""Wrong clocks and bad disks for single programs: a preloaded library (``shim.c``) and the file that steers it.

The wall clock of a machine cannot be set for one host of a run only, and a disk that is slow on demand needs rights
that a run does not have. So the programs of the hosts that need it, and no others, are started with a library of our
own before the C library; both sides map a file, and what is written there holds from the program's next call on.

A program whose clock is wrong also stamps its log wrong. `Control` remembers how long the log was whenever the clock
changed, so that every line can be given its true time.

The library is built by the machine's own C compiler when it is first needed, and kept.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import mmap
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from model import cache
from model.errors import EnvironmentLacks
from model.scenario import LEADER, PROMOTED, Scenario

SOURCE = Path(__file__).with_name("shim.c")

COMPILERS = ("cc", "gcc", "clang")
"""Names of a C compiler, in this order. Kind: specified (cc: POSIX), then assumed."""

FLAGS = ("-O2", "-shared", "-fPIC")

BUILD_LIMIT_S = 60.0
"""A compiler that takes longer hangs. Kind: assumed."""

HINT = "install a C compiler (Debian: `apt install gcc libc6-dev`)"

KINDS = {
    "step": ("redis", "sentinel", "registrar"),
    "drift": ("redis", "sentinel", "registrar"),
    "slow-disk": ("sentinel",),
    "fail-saves": ("redis",),
}
"""Faults that need the library, and in which programs of the host."""


@dataclass(frozen=True, slots=True)
class Law:
    """What a wall clock shows: true + offset + (true - base) · ppm / 10⁶, all in µs since the Unix epoch.

    Attributes
    ----------
    base_us : int
        When this law began.
    offset_us : int
        By how much the clock was ahead then.
    ppm : int
        By how much it runs too fast.
    """

    base_us: int
    offset_us: int
    ppm: int

    def shown_us(self, true_us: int) -> int:
        """What the clock shows at a true time."""
        return true_us + self.offset_us + (true_us - self.base_us) * self.ppm // 1_000_000

    def true_us(self, shown_us: int) -> int:
        """When the clock showed that, to the nearest microsecond."""
        rate = 1_000_000 + self.ppm
        return self.base_us + ((shown_us - self.base_us - self.offset_us) * 1_000_000 + rate // 2) // rate

    def changed(self, at_us: int, step_us: int = 0, ppm: int | None = None) -> Law:
        """The law from `at_us` on, after the clock was set by `step_us` and, unless None, given another rate."""
        ahead_us = self.shown_us(at_us) - at_us + step_us
        return Law(at_us, ahead_us, self.ppm if ppm is None else ppm)


class _Law(ctypes.Structure):
    _fields_ = [("base_ns", ctypes.c_int64), ("offset_ns", ctypes.c_int64), ("ppm", ctypes.c_int64)]


class _Fields(ctypes.Structure):
    """Layout of the file: `struct control` of ``shim.c``."""

    _fields_ = [
        ("turn", ctypes.c_uint64),
        ("laws", _Law * 2),
        ("sync_delay_ns", ctypes.c_int64),
        ("sync_error", ctypes.c_int64),
        ("syncs", ctypes.c_uint64),
        ("loaded", ctypes.c_uint64),
    ]


class Control:
    """Steers the library inside one program.

    Parameters
    ----------
    library, path : Path
        The library; the file to make and to share.
    law : Law
        Of the program's clock from its start on.
    """

    def __init__(self, library: Path, path: Path, law: Law) -> None:
        path.write_bytes(bytes(ctypes.sizeof(_Fields)))
        with path.open("r+b") as file:
            self._fields = _Fields.from_buffer(mmap.mmap(file.fileno(), 0))
        self.env = {"LD_PRELOAD": str(library), "HASTUDY_SHIM": str(path)}
        """What the program's environment must have."""
        self.laws: list[tuple[int, Law]] = []
        """Each law with the number of bytes that the program had written before it."""
        self._obey(law, 0)

    @property
    def is_loaded(self) -> bool:
        """True when the program runs with the library."""
        return bool(self._fields.loaded)

    @property
    def syncs(self) -> int:
        """How often the program has synced a file so far."""
        return self._fields.syncs

    def change_clock(self, at_us: int, written: int, step_us: int = 0, ppm: int | None = None) -> None:
        """Set the clock, or give it another rate.

        Parameters
        ----------
        at_us : int
            Now.
        written : int
            Bytes that the program has written until now.
        step_us, ppm : int
            See `Law.changed`.
        """
        self._obey(self.laws[-1][1].changed(at_us, step_us, ppm), written)

    def slow_syncs(self, delay_us: int) -> None:
        """Let each sync wait so long first."""
        self._fields.sync_delay_ns = delay_us * 1_000

    def fail_child_syncs(self, fail: bool) -> None:
        """Let syncs in child processes fail, or work again."""
        self._fields.sync_error = errno.EIO if fail else 0

    def _obey(self, law: Law, written: int) -> None:
        self.laws.append((written, law))
        turn = self._fields.turn + 1
        self._fields.laws[turn % 2] = _Law(law.base_us * 1_000, law.offset_us * 1_000, law.ppm)
        self._fields.turn = turn


def programs(scenario: Scenario) -> set[tuple[str, str]]:
    """The programs that need the library, as (host, kind of program)."""
    found = set()
    for host in scenario.host:
        if host.clock_offset_ms or host.clock_drift_ppm:
            found |= {(host.name, kind) for kind in KINDS["step"]}
    for fault in scenario.fault:
        hosts = scenario.host_names if fault.host in (LEADER, PROMOTED) else (fault.host,)
        found |= {(host, kind) for host in hosts for kind in KINDS.get(fault.kind, ())}
    return found


def first_law(scenario: Scenario, host: str, at_us: int) -> Law:
    """Of a host's clock from the start of the run on."""
    section = scenario.host[scenario.host_names.index(host)]
    return Law(at_us, section.clock_offset_ms * 1_000, section.clock_drift_ppm)


def compiler() -> str | None:
    """Path of a C compiler, None when there is none."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def build() -> Path:
    """The library, built now if it never was.

    Raises
    ------
    EnvironmentLacks
        There is no C compiler, or it fails.
    """
    program = compiler()
    if program is None:
        raise EnvironmentLacks(f"clocks and disks of single hosts need a C compiler, and there is none\n\nhint: {HINT}")
    salt = " ".join((program, *FLAGS, platform.machine())).encode()
    mark = hashlib.sha256(salt + SOURCE.read_bytes()).hexdigest()[:16]
    library = cache.folder("shim").absolute() / f"shim-{mark}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        temporary = library.with_suffix(f".{os.getpid()}.tmp")
        _compile(program, temporary)
        temporary.replace(library)
    return library


def _compile(program: str, target: Path) -> None:
    command = [program, *FLAGS, "-o", str(target), str(SOURCE)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLacks(f"{program} does not compile: {error}\n\nhint: {HINT}") from None
    if answer.returncode:
        raise EnvironmentLacks(f"{program} does not compile shim.c:\n{answer.stderr.strip()}\n\nhint: {HINT}")
