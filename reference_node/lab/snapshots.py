"""With which dataset a server comes back after it was killed, and how long it takes to load it.

A server loads ``dump.rdb``, if there is one. What is there by itself is a matter of luck: a replica keeps what it got
with its last full resync, a primary nothing until its first save point. So a restart puts there what the scenario says:

* ``empty``: no file;
* ``old``: the snapshot that every server concerned was asked for just before the first fault. It is kept under a
  second name, since a resync may replace the file;
* a *load time*: the same with filler behind it. The server sleeps after each key that it loads (its own setting
  ``key-load-delay``) and looks after its clients each 2 MB, so the filler is a row of short-lived keys, each behind
  2 MB of nothing (an auxiliary field that servers skip, and a hole in the file).

Form of the file: Redis's ``rdb.h``, the same in Valkey. Filler keys expired long ago, so a primary does not even keep
them. Left out: append-only files.
"""

from __future__ import annotations

import os
from pathlib import Path

from redis.asyncio import Redis

from model.errors import EnvironmentLacks

SNAPSHOT, KEPT = "dump.rdb", "before-the-fault.rdb"
"""Names of the file that a server loads (vendor default), and of the copy that nobody touches (assumed)."""

EVENTS_INTERVAL = 2 * 1024 * 1024
"""Bytes of a snapshot after which a loading server looks after its clients. Kind: vendor default
(loading-process-events-interval-bytes; a constant in 6.2)."""

STEP_MS, MAX_STEPS = 50, 400
"""A server is deaf for one step at a time while it loads; longer loads have longer steps. Kind: assumed."""

STEP_WORK_US = 6_000
"""What a server works in a step beside its pause. Kind: measured (reading and summing 2 MB, on an idle machine)."""

DELAY_OPTION = "key-load-delay"
"""Pause after each key, µs, while loading; since 6.0, not shown by ``CONFIG GET *``. Kind: specified (config.c)."""

_HEADER = b"REDIS0009"
_AUX, _EXPIRY_MS, _STRING, _END = b"\xfa", b"\xfc", b"\x00", b"\xff"
_CHECKSUM = bytes(8)  # zero: not checked
_LONG_LENGTH = b"\x80"


async def keep(server: Redis, folder: Path) -> None:
    """Let a server write its snapshot now, and keep it."""
    await server.save()
    kept = folder / KEPT
    kept.unlink(missing_ok=True)
    os.link(folder / SNAPSHOT, kept)


async def check_can_load_slowly(server: Redis) -> None:
    """Refuse a server that cannot be slowed down while it loads.

    Raises
    ------
    EnvironmentLacks
    """
    if not await server.config_get(DELAY_OPTION):
        raise EnvironmentLacks(
            f"this server has no setting {DELAY_OPTION}, so load_ms cannot be had\n\nhint: take Redis"
        )


def prepare(folder: Path, data: str, load_ms: int) -> list[str]:
    """Put the dataset of a restart in its place.

    Parameters
    ----------
    folder : Path
        Where the server runs.
    data : str
        ``empty`` or ``old``.
    load_ms : int
        How long the server shall load.

    Returns
    -------
    list of str
        What to add to the server's command line.
    """
    target, kept = folder / SNAPSHOT, folder / KEPT
    target.unlink(missing_ok=True)
    if not load_ms:
        if data == "old":
            os.link(kept, target)
        return []
    steps = min(MAX_STEPS, -(-load_ms // STEP_MS))
    content = kept.read_bytes()[: -len(_END + _CHECKSUM)] if data == "old" else _HEADER
    _write_with_filler(target, content, steps)
    return [f"--{DELAY_OPTION}", str(max(0, load_ms * 1_000 // steps - STEP_WORK_US))]


def _write_with_filler(target: Path, content: bytes, steps: int) -> None:
    """`content`, then keys that expired long ago, each behind a hole, then the end of a snapshot."""
    with target.open("wb") as file:
        file.write(content)
        for number in range(steps):
            file.write(_AUX + _short(b"filler") + _LONG_LENGTH + EVENTS_INTERVAL.to_bytes(4, "big"))
            file.seek(EVENTS_INTERVAL, os.SEEK_CUR)
            long_ago = (1).to_bytes(8, "little")
            file.write(_EXPIRY_MS + long_ago + _STRING + _short(b"hastudy:filler:%d" % number) + _short(b""))
        file.write(_END + _CHECKSUM)


def _short(text: bytes) -> bytes:
    """A string of less than 64 bytes."""
    return bytes([len(text)]) + text
