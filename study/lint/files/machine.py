"""What a host's own files say of the network: a ruleset of nftables, a file of sysctl.d.

Of a ruleset only this is understood: its input chain drops by default, and lines that accept a port for listed source
addresses. Anything else is as if it were not there: a firewall that cannot be read protects nobody on paper.
"""

from __future__ import annotations

import re

from study.lint.deployment import Firewall, Kernel

_SYSCTL = re.compile(r"^\s*(net\.[\w.]+|vm\.[\w.]+)\s*=\s*(-?\d+)\s*$", re.MULTILINE)
_ACCEPTS = re.compile(r"^.*\bsaddr\b.*\bdport\b\s*(\{[^}]*\}|\d+).*\baccept\b", re.MULTILINE)


def is_firewall(text: str) -> bool:
    """It declares a table of nftables."""
    return re.search(r"^\s*table\s+(inet|ip|ip6)\s+\w+", text, re.MULTILINE) is not None


def is_kernel(text: str) -> bool:
    """Some line sets a value of the kernel."""
    return _SYSCTL.search(text) is not None


def read_firewall(text: str, file: str, host: str) -> Firewall:
    """Which ports are guarded."""
    said = re.sub(r"#.*", "", text)
    drops = re.search(r"hook\s+input\b[^}]*policy\s+drop", said) is not None
    ports = {int(port) for found in _ACCEPTS.finditer(said) for port in re.findall(r"\d+", found[1])}
    return Firewall(file, host, frozenset(ports) if drops else frozenset())


def read_kernel(text: str, file: str, host: str) -> Kernel:
    """All settings that are whole numbers."""
    return Kernel(file, host, tuple((found[1], int(found[2])) for found in _SYSCTL.finditer(text)))
