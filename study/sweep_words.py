"""A sweep on the command line: what ``--grid``, ``--random`` and ``--width`` mean, and the table that is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from model.errors import UsageError
from study.sweep import Value, Width, grid_of, latin_hypercube

_ALLOWED = "KEY=LOW:HIGH:COUNT, KEY=VALUE,VALUE,..., with --random KEY=LOW:HIGH"
_HINT = "for example --grid sentinel.down_after_ms=1000:20000:20"


def read_settings(axes: Sequence[str], size: int | None, seed: int) -> list[dict[str, Value]]:
    """The settings that ``--grid`` means, or the `size` random ones in its ranges.

    Raises
    ------
    UsageError
        One cannot be read.
    """
    split = dict(_key_and_values(axis) for axis in axes)
    if size is None:
        return grid_of({key: _axis(key, text) for key, text in split.items()})
    return latin_hypercube({key: _range(key, text) for key, text in split.items()}, size, seed)


def _key_and_values(axis: str) -> tuple[str, str]:
    key, sign, text = axis.partition("=")
    if not (key and sign and text):
        raise _wrong(axis)
    return key, text


def _axis(key: str, text: str) -> list[Value]:
    """Evenly spaced whole numbers, or values as they stand."""
    if ":" not in text:
        return [_value(each) for each in text.split(",")]
    low, high, count = _numbers(f"{key}={text}", text, 3)
    if count < 2 or high <= low:
        raise _wrong(f"{key}={text}")
    return [int(value) for value in np.unique(np.linspace(low, high, count).round())]


def _range(key: str, text: str) -> tuple[int, int]:
    low, high = _numbers(f"{key}={text}", text, 2)
    if high <= low:
        raise _wrong(f"{key}={text}")
    return low, high


def _numbers(given: str, text: str, count: int) -> list[int]:
    parts = text.split(":")
    if len(parts) != count or not all(part.removeprefix("-").isdecimal() for part in parts):
        raise _wrong(given)
    return [int(part) for part in parts]


def _value(text: str) -> Value:
    """A number or a truth value, else the text itself."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, int | float | bool | str) else text


def read_width(text: str | None) -> Width | None:
    """``QUANTITY:PERCENT:MS``, such as ``first_write:95:50``; the name may have colons of its own."""
    if text is None:
        return None
    try:
        quantity, percent, wide = text.rsplit(":", 2)
        width = Width(quantity, float(percent), float(wide))
    except ValueError:
        width = None
    if width is None or not (0 < width.percent < 100 and width.ms > 0):
        raise UsageError(
            f"--width {text} cannot be read\n  allowed: QUANTITY:PERCENT:MS\n\nhint: for example first_write:95:50"
        )
    return width


def _wrong(given: str) -> UsageError:
    return UsageError(f"--grid {given} cannot be read\n  allowed: {_ALLOWED}\n\nhint: {_HINT}")


def to_text(data: dict[str, Any]) -> str:
    """One line a setting: medians and 95 % quantiles with their intervals, and how often it failed over."""
    shown = [name for name in data["settings"][0]["quantities"] if _is_shown(name, data["until"])]
    keys = list(data["settings"][0]["values"])
    head = [*keys, "runs", *(f"{name} {what}" for name in shown for what in ("p50", "p95")), "failover"]
    rows = [
        [*(str(entry["values"][key]) for key in keys), entry["runs"],
         *(_cell(entry["quantities"][name], what) for name in shown for what in ("p50", "p95")),
         _share(entry["probabilities"].get("failover"))]
        for entry in data["settings"]
    ]  # fmt: skip
    title = f"{data['scenario']}: {len(rows)} settings, seed {data['seed']}; s, with 95 % intervals"
    return f"{title}\n\n{tabulate(rows, head, disable_numparse=True, stralign='right')}"


def _is_shown(name: str, until: Sequence[str]) -> bool:
    """Milestones that were asked for, else the outages."""
    return name in until if until else name == "redis_write" or name.startswith(("register@", "client:"))


def _cell(described: dict[str, Any], what: str) -> str:
    low, value, high = (described.get(f"{what}{part}_ms") for part in ("_low", "", "_high"))
    return f"{_seconds(value)} ({_seconds(low)}..{_seconds(high)})" if described["n"] else "-"


def _seconds(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms / 1000:.2f}"


def _share(odds: dict[str, Any] | None) -> str:
    return f"{odds['k']} of {odds['n']}" if odds else "-"
