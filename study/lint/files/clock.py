"""What a clock daemon reports: the output of ``chronyc tracking`` or ``ntpq -p`` of one host."""

from __future__ import annotations

import re

from study.lint.deployment import ClockReport
from study.lint.findings import Place

_FIELD = re.compile(r"^(?P<name>[A-Z][A-Za-z ]+?)\s*: (?P<value>.*)$", re.MULTILINE)
_PEER = re.compile(r"^(?P<tally>[ *o+#x.-])\S+\s+\S+\s+\d+\s+\S+\s+\S+\s+\d+\s+\d+\s+(?P<delay>[-\d.]+)\s+"
                   r"(?P<offset>[-\d.]+)\s+(?P<jitter>[-\d.]+)\s*$", re.MULTILINE)  # fmt: skip


def is_mine(text: str) -> bool:
    """It has the head of one of the two."""
    return re.search(r"^(Reference ID\s*:|\s+remote\s+refid\s+st)", text, re.MULTILINE) is not None


def is_configuration(text: str) -> bool:
    """A chrony.conf or ntp.conf: it names servers of time."""
    return re.search(r"^\s*(pool|server|peer)\s+\S+.*\biburst\b", text, re.MULTILINE) is not None


def read(text: str, file: str, host: str) -> ClockReport:
    """The report of a file."""
    if "Reference ID" in text:
        return _chrony(text, file, host)
    return _ntpq(text, file, host)


def _chrony(text: str, file: str, host: str) -> ClockReport:
    fields = {found["name"]: found["value"] for found in _FIELD.finditer(text)}
    offset_s, word = _number(fields.get("System time", "")), fields.get("System time", "")
    return ClockReport(
        file=file,
        host=host,
        synchronised=fields.get("Leap status", "Not synchronised").strip() != "Not synchronised",
        offset_s=-offset_s if "slow" in word else offset_s,
        uncertainty_s=_number(fields.get("Root dispersion", "")) + _number(fields.get("Root delay", "")) / 2,
        place=Place(file, _line(text, "System time")),
    )


def _ntpq(text: str, file: str, host: str) -> ClockReport:
    """The peer that is followed (``*``, or ``o`` with a pulse) tells by how much it is ahead of this host, in ms."""
    followed = [found for found in _PEER.finditer(text) if found["tally"] in "*o"]
    if not followed:
        return ClockReport(file, host, synchronised=False, offset_s=0.0, uncertainty_s=0.0, place=Place(file))
    peer = followed[0]
    return ClockReport(
        file=file,
        host=host,
        synchronised=True,
        offset_s=-float(peer["offset"]) / 1_000,
        uncertainty_s=(float(peer["delay"]) / 2 + float(peer["jitter"])) / 1_000,
        place=Place(file, text[: peer.start()].count("\n") + 1),
    )


def _number(text: str) -> float:
    found = re.search(r"[-\d.]+", text)
    return float(found[0]) if found else 0.0


def _line(text: str, beginning: str) -> int:
    return next((n for n, line in enumerate(text.splitlines(), 1) if line.startswith(beginning)), 0)
