"""What a clock daemon reports: the output of ``chronyc tracking`` (with or without ``-c``) or ``ntpq -p`` of one host.

Source: chrony 4, client.c (process_cmd_tracking). With ``-c`` the same fields stand in one line, separated by commas,
and the sign of the system time is chrony's own: positive is slow.
"""

from __future__ import annotations

import re

from study.lint.deployment import ClockReport
from study.lint.findings import Place

_FIELD = re.compile(r"^(?P<name>[A-Z][A-Za-z ]+?)\s*: (?P<value>.*)$", re.MULTILINE)
_SYSTEM_TIME, _ROOT_DELAY, _ROOT_DISPERSION = 4, 10, 11
_CSV = re.compile(r"^[0-9A-F]{1,8},[^,\n]*,\d+,[-\d.]+(,[-+\d.]+){9},(?P<leap>[^,\n]+)$", re.MULTILINE)
_PEER = re.compile(r"^(?P<tally>[ *o+#x.-])\S+\s+\S+\s+\d+\s+\S+\s+\S+\s+\d+\s+\d+\s+(?P<delay>[-+\d.]+)\s+"
                   r"(?P<offset>[-+\d.]+)\s+(?P<jitter>[-+\d.]+)\s*$", re.MULTILINE)  # fmt: skip
_UNSYNCHRONISED = "Not synchronised"


def is_mine(text: str) -> bool:
    """It has the head of one of the two."""
    head = re.search(r"^(Reference ID\s*:|\s+remote\s+refid\s+st)", text, re.MULTILINE)
    return head is not None or _CSV.search(text) is not None


def is_configuration(text: str) -> bool:
    """A chrony.conf or ntp.conf: it names servers of time."""
    return re.search(r"^\s*(pool|server|peer)\s+\S+.*\biburst\b", text, re.MULTILINE) is not None


def read(text: str, file: str, host: str) -> ClockReport:
    """The report of a file."""
    if "Reference ID" in text:
        return _chrony(text, file, host)
    if line := _CSV.search(text):
        return _chrony_csv(line, text, file, host)
    return _ntpq(text, file, host)


def _chrony(text: str, file: str, host: str) -> ClockReport:
    fields = {found["name"]: found["value"] for found in _FIELD.finditer(text)}
    offset_s, word = _number(fields.get("System time", "")), fields.get("System time", "")
    return ClockReport(
        file=file,
        host=host,
        synchronised=fields.get("Leap status", _UNSYNCHRONISED).strip() != _UNSYNCHRONISED,
        offset_s=-offset_s if "slow" in word else offset_s,
        uncertainty_s=_number(fields.get("Root dispersion", "")) + _number(fields.get("Root delay", "")) / 2,
        place=Place(file, _line(text, "System time")),
    )


def _chrony_csv(line: re.Match[str], text: str, file: str, host: str) -> ClockReport:
    fields = line[0].split(",")
    return ClockReport(
        file=file,
        host=host,
        synchronised=line["leap"] != _UNSYNCHRONISED,
        offset_s=-_number(fields[_SYSTEM_TIME]),
        uncertainty_s=_number(fields[_ROOT_DISPERSION]) + _number(fields[_ROOT_DELAY]) / 2,
        place=Place(file, text[: line.start()].count("\n") + 1),
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
        offset_s=-_number(peer["offset"]) / 1_000,
        uncertainty_s=(_number(peer["delay"]) / 2 + _number(peer["jitter"])) / 1_000,
        place=Place(file, text[: peer.start()].count("\n") + 1),
    )


def _number(text: str) -> float:
    found = re.search(r"-?\d+(\.\d+)?", text)
    return float(found[0]) if found else 0.0


def _line(text: str, beginning: str) -> int:
    return next((n for n, line in enumerate(text.splitlines(), 1) if line.startswith(beginning)), 0)
