"""What a host's own files say of the network: a ruleset of nftables, a file of sysctl.d.

Of a ruleset only this is understood: its input chain drops by default, lines that accept a port for listed source
addresses, and lines that open what is none of these ports (another port, ``lo``, ICMP, established connections). Where
a line may open more than that, nothing is guarded: a firewall that cannot be read protects nobody on paper.
"""

from __future__ import annotations

import re

from study.lint.deployment import Firewall, Kernel

_SYSCTL = re.compile(r"^\s*(net\.[\w.]+|vm\.[\w.]+)\s*=\s*(-?\d+)\s*$", re.MULTILINE)
_SET = re.compile(r"\b(saddr|dport|state)\s+(!=\s*)?\{[^{}]*\}")
_CHAIN = re.compile(r"chain\s+\w+\s*\{[^;{}]*hook\s+input\b[^}]*?policy\s+drop\s*;(?P<body>(?:[^{}]|\{[^{}]*\})*)\}")
_PORTS = re.compile(r"\bdport\s+(\{[^}]*\}|[\d-]+)(?=\s)")
_HARMLESS = re.compile(r"\biif(name)?\s+\"?lo\"?\s|\bct\s+state\b(?!.*\bnew\b)|\bicmp|\bl4proto\s+\{?\s*(ipv6-)?icmp|"
                       r"\budp\s+[sd]port\b")  # fmt: skip


def is_firewall(text: str) -> bool:
    """It declares a table of nftables."""
    return re.search(r"^\s*table\s+(inet|ip|ip6)\s+\w+", text, re.MULTILINE) is not None


def is_kernel(text: str) -> bool:
    """Some line sets a value of the kernel."""
    return _SYSCTL.search(text) is not None


def read_firewall(text: str, file: str, host: str) -> Firewall:
    """Which ports are guarded."""
    said = _SET.sub(lambda found: found[0].replace("\n", " "), re.sub(r"#.*", "", text))
    chain = _CHAIN.search(said)
    guarded: set[int] = set()
    opened: set[int] = set()
    for line in re.split(r"[;\n]", chain["body"]) if chain else ():
        if _HARMLESS.search(line) or not re.search(r"\b(accept|jump|goto)\b", line):
            continue
        ports = _PORTS.search(line)
        if not ports or "accept" not in line:
            return Firewall(file, host, frozenset())
        is_listed = re.search(r"\bsaddr\s+(?!!)", line) and not re.search(r"[\s,{](0\.0\.0\.0|::)/0", line)
        (guarded if is_listed else opened).update(_numbers(ports[1]))
    return Firewall(file, host, frozenset(guarded - opened))


def _numbers(ports: str) -> set[int]:
    """Ports of a set; a range is all in it."""
    ends = (found.groups() for found in re.finditer(r"(\d+)(?:-(\d+))?", ports))
    return {port for first, last in ends for port in range(int(first), min(int(last or first), 65_535) + 1)}


def read_kernel(text: str, file: str, host: str) -> Kernel:
    """All settings that are whole numbers."""
    return Kernel(file, host, tuple((found[1], int(found[2])) for found in _SYSCTL.finditer(text)))
