"""How one run is shut off from the machine, and how it is certain to leave nothing behind.

A run starts a dozen programs, breaks some of them, and may itself be killed at any time. Undoing all that step by step
would fail exactly when something already went wrong. So the run is a *worker* process in namespaces of its own, and
the kernel cleans up: the worker is process 1 of a PID namespace, so whatever ends it ends every program of the run;
with the last process go the network namespaces and the file system in memory that holds the run's files. And the
worker dies with its parent::

    caller ──► setpriv --pdeathsig ──► unshare --kill-child ──► worker (process 1) ──► redis-server, sentinels, nodes

The command is the same for root and for an ordinary user: ``--user --map-root-user`` gives the rights to make networks
inside. Where user namespaces are refused, root does without. Where that is refused too there is the *loopback* mode:
plain processes on 127.0.0.0/8, enough for faults of processes but not of networks.

The parent's death signal is sent when the *thread* that started the worker ends, so runs belong to the thread that
iterates over them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from model.errors import EnvironmentLacks
from model.scenario import NetworkSection, Scenario
from reference_node.lab import shim

Isolation = Literal["auto", "namespaces", "loopback"]
"""What a caller may ask for."""

PROBE_TIMEOUT_S = 10.0
"""Longest time for making and leaving a set of namespaces. Kind: assumed."""

PRIVATE = ("--net", "--mount", "--pid")
"""What a run has of its own, as flags of unshare(1)."""

LEASH = ("--fork", "--kill-child")
"""Process 1 of the new PID namespace is a child, and dies with unshare(1)."""

KERNEL_SETTINGS = ("tcp_retries2", "tcp_syn_retries")
"""Keys of a scenario's network section that are settings of the kernel, by the same name below net.ipv4."""

AS_USER = ("--user", "--map-root-user")


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing this machine allows or refuses.

    Attributes
    ----------
    name : str
    allowed : bool
    reason : str
        The system's own words when it is refused.
    """

    name: str
    allowed: bool
    reason: str = ""


def capabilities() -> list[Capability]:
    """What the lab needs and whether this machine allows it; tries each thing for real."""
    single = {
        "user namespace": (*AS_USER,),
        "network namespace": (*_user_flags(), "--net"),
        "PID namespace": (*_user_flags(), "--pid", *LEASH),
        "mount namespace": (*_user_flags(), "--mount"),
        "all of them together": (*_user_flags(), *PRIVATE, *LEASH),
    }
    found = [Capability(name, not (reason := _refusal(flags)), reason) for name, flags in single.items()]
    reason = "" if shim.compiler() else "none found; " + shim.HINT
    return [*found, Capability("C compiler for the clock and disk shim", not reason, reason)]


def resolve(wanted: Isolation) -> Literal["namespaces", "loopback"]:
    """Turn ``auto`` into what this machine allows.

    Raises
    ------
    EnvironmentLacks
        Namespaces were asked for and are refused, or setpriv(1) is missing.
    """
    if not shutil.which("setpriv"):
        raise EnvironmentLacks("setpriv is missing\n\nhint: it is part of util-linux (`apt install util-linux`)")
    if wanted == "loopback":
        return "loopback"
    reason = _refusal((*_user_flags(), *PRIVATE, *LEASH))
    if not reason:
        return "namespaces"
    if wanted == "namespaces":
        raise EnvironmentLacks(f"this machine refuses namespaces: {reason}\n\nhint: {_NAMESPACE_HINT}")
    return "loopback"


def shaping(scenario: Scenario) -> list[str]:
    """What of a scenario asks for delay or loss on the ways between hosts, in its own words."""
    found = ["[[link]]"] if scenario.link else []
    if scenario.network.delay_us != NetworkSection().delay_us:
        found.append("network.delay_us")
    return found + [fault.kind for fault in scenario.fault if fault.kind in ("drop", "delay")]


def network_needs(scenario: Scenario) -> list[str]:
    """What of a scenario needs a network of its own: faults of the network, shaping, settings of the kernel."""
    faults = [fault.kind for fault in scenario.fault if fault.strikes_network]
    own, default = scenario.network, NetworkSection()
    changed = [f"network.{name}" for name in KERNEL_SETTINGS if getattr(own, name) != getattr(default, name)]
    return faults + shaping(scenario) + changed


def require_network_faults(isolation: str, kinds: Sequence[str]) -> None:
    """Refuse faults of the network and its shaping where there is no network to break.

    Raises
    ------
    EnvironmentLacks
        `isolation` is ``loopback`` and `kinds` (see `network_needs`) has any.
    """
    if isolation == "loopback" and kinds:
        raise EnvironmentLacks(
            f"`{kinds[0]}` needs network namespaces, and this run is on loopback addresses\n\nhint: {_NAMESPACE_HINT}"
        )


def worker_command(isolation: Literal["namespaces", "loopback"], argv: Sequence[str]) -> list[str]:
    """`argv` shut off as `isolation` says, dying with the calling thread."""
    if isolation == "loopback":
        # SIGTERM, not SIGKILL: without a mount namespace the worker must remove its files itself.
        return ["setpriv", "--pdeathsig", "TERM", *argv]
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *_user_flags(), *PRIVATE, *LEASH, *argv]


_NAMESPACE_HINT = (
    "run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
    "user.max_user_namespaces above 0, kernel.apparmor_restrict_unprivileged_userns=0; "
    "in a container: --security-opt seccomp=unconfined)"
)


@lru_cache(maxsize=1)
def _user_flags() -> tuple[str, ...]:
    """Flags for a user namespace; none for a root who may not have one."""
    return () if os.geteuid() == 0 and _refusal(AS_USER) else AS_USER


@lru_cache(maxsize=16)
def _refusal(flags: tuple[str, ...]) -> str:
    """Why unshare(1) cannot do this, empty when it can."""
    try:
        answer = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S)
    except FileNotFoundError:
        return "unshare (util-linux) is missing"
    except subprocess.TimeoutExpired:
        return "unshare does not return"
    return "" if answer.returncode == 0 else answer.stderr.strip() or f"exit code {answer.returncode}"
