"""The few Linux calls that Python 3.11 does not offer: namespaces and mounts, settings of cards and timers.

`os.unshare` and `os.setns` came with 3.12. A namespace is kept as an open file descriptor and never gets a name, so
nothing is left behind when its last holder ends. A network namespace belongs to the calling *thread*: callers are
single-threaded.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
"""Flag of unshare(2) and setns(2). Kind: specified (linux/sched.h)."""

_MS_BIND = 0x1000  # linux/mount.h
_SIOCETHTOOL = 0x8946  # linux/sockios.h
_ETHTOOL_STXCSUM = 0x17  # linux/ethtool.h
_PR_SET_TIMERSLACK = 29  # linux/prctl.h

IN_MODIFY = 0x2
"""Flag of inotify_add_watch(2). Kind: specified (linux/inotify.h)."""

_libc = ctypes.CDLL(None, use_errno=True)


def current_network() -> int:
    """A descriptor of the calling thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter_network(descriptor: int) -> None:
    """Move the calling thread to a network namespace."""
    _check(_libc.setns(descriptor, CLONE_NEWNET), "setns")


def new_network() -> int:
    """Make an empty network namespace and return its descriptor; the caller stays where it is."""
    home = current_network()
    _check(_libc.unshare(CLONE_NEWNET), "unshare")
    made = current_network()
    enter_network(home)
    os.close(home)
    return made


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Spend the block in another network namespace; sockets and children made there stay there."""
    home = current_network()
    enter_network(descriptor)
    try:
        yield
    finally:
        enter_network(home)
        os.close(home)


def mount_memory(place: str, megabytes: int) -> None:
    """Mount an empty file system in memory over `place`, seen by this mount namespace only."""
    options = f"size={megabytes}m,mode=0755".encode()
    _check(_libc.mount(b"hastudy", place.encode(), b"tmpfs", 0, options), "mount")


def cover_file(path: str, by: Path) -> None:
    """Have another file in place of one, for this mount namespace only."""
    _check(_libc.mount(os.fsencode(by), path.encode(), None, _MS_BIND, None), "mount")


def finish_checksums(card: str) -> None:
    """Have a card's packets carry finished checksums and no more than its MTU, as on a wire.

    The kernel cuts long packets itself for a card that makes no checksums.
    """
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", card.encode(), ctypes.addressof(value)))


def sharpen_timers() -> None:
    """Have this thread's sleeps end on time; the kernel may else be 50 µs late to save wake-ups."""
    _check(_libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def watch_files(paths: Iterable[Path]) -> int:
    """A descriptor that becomes readable whenever something is written to one of these files."""
    watch = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    _check(watch < 0, "inotify_init1")
    for path in paths:
        _check(_libc.inotify_add_watch(watch, os.fsencode(path), IN_MODIFY) < 0, "inotify_add_watch")
    return watch


def _check(result: int, call: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
