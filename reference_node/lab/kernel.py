"""The few Linux calls that Python 3.11 does not offer: namespaces and mounts.

`os.unshare` and `os.setns` came with 3.12. A namespace is kept as an open file descriptor and never gets a name, so
nothing is left behind when its last holder ends. A network namespace belongs to the calling *thread*: callers are
single-threaded.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
"""Flag of unshare(2) and setns(2). Kind: specified (linux/sched.h)."""

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


def _check(result: int, call: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
