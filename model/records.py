"""The state of a machine, declared once.

Each machine declares its state as a `Record` of fields (name, range, unit, meaning, "is a time"). From that one
declaration come

* a slotted class for interpreted drivers (`Record.new`),
* a NumPy structured type for compiled drivers (`Record.dtype`),
* a byte codec (`Record.encode`, `Record.decode`),
* range checks (`Record.check`) and documentation (`Record.describe`).

Compiled fields are all 64 bits wide: a narrow field wraps silently when compiled and not when interpreted, so the
declared range bounds what is *allowed*, and only the byte codec uses it for width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

FAR_FUTURE_US = 1 << 60
"""Upper limit of every instant, in µs. Kind: assumed (36,000 years)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record.

    Parameters
    ----------
    name : str
    meaning : str
        One sentence.
    low, high : int
        Inclusive range of legal values.
    unit : str
        Unit of the number, empty for flags, indexes and enumerations.
    is_time : bool
        True for an instant of the host's clock; explorers may replace it by its age.
    count : int
        Length for an array field, 0 for a single value.
    record : Record or None
        Element type when the field is (an array of) another record.
    """

    name: str
    meaning: str
    low: int = 0
    high: int = 1
    unit: str = ""
    is_time: bool = False
    count: int = 0
    record: Record | None = None

    @property
    def byte_width(self) -> int:
        """Bytes that the codec needs for one value."""
        span = self.high - self.low
        return max(1, (span.bit_length() + 7) // 8)


def flag(name: str, meaning: str) -> Field:
    """A field that is 0 or 1."""
    return Field(name, meaning)


def number(name: str, meaning: str, low: int, high: int, unit: str = "", count: int = 0) -> Field:
    """A bounded integer, or an array of `count` of them."""
    return Field(name, meaning, low, high, unit, count=count)


def instant(name: str, meaning: str, count: int = 0) -> Field:
    """An instant of the host's own clock in µs; 0 means "never"."""
    return Field(name, meaning, 0, FAR_FUTURE_US, "us", is_time=True, count=count)


def duration(name: str, meaning: str) -> Field:
    """A length of time in µs."""
    return Field(name, meaning, 0, FAR_FUTURE_US, "us")


def nested(name: str, meaning: str, record: Record, count: int = 0) -> Field:
    """Another record, or an array of `count` of them."""
    return Field(name, meaning, record=record, count=count)


class Record:
    """A named set of fields and everything that follows from it.

    Parameters
    ----------
    name : str
        Class name of the interpreted object.
    meaning : str
        One sentence.
    fields : list of Field
    """

    def __init__(self, name: str, meaning: str, fields: list[Field]) -> None:
        names = [field.name for field in fields]
        assert len(set(names)) == len(names), f"{name}: a field is declared twice"
        self.name, self.meaning, self.fields = name, meaning, tuple(fields)
        self._class = type(name, (), {"__slots__": tuple(names), "__doc__": meaning})

    def new(self) -> Any:
        """A fresh slotted object with every value at 0, or at the limit nearest to 0."""
        state = self._class()
        for field in self.fields:
            if field.record:
                value = [field.record.new() for _ in range(field.count)] if field.count else field.record.new()
            else:
                start = min(max(0, field.low), field.high)
                value = [start] * field.count if field.count else start
            setattr(state, field.name, value)
        return state

    @cached_property
    def dtype(self) -> Any:
        """The NumPy structured type with the same fields, 64-bit integers throughout."""
        import numpy as np

        def kind(field: Field) -> tuple:
            base = field.record.dtype if field.record else np.int64
            return (field.name, base, (field.count,)) if field.count else (field.name, base)

        return np.dtype([kind(field) for field in self.fields], align=True)

    def leaves(self, state: Any, path: str = "") -> Iterator[tuple[str, Field, Any, Any]]:
        """Yield (path, field, holder, index) of every plain integer in `state`, in declaration order.

        The integer is ``holder[index]`` for an array and ``getattr(holder, index)`` otherwise.
        """
        for field in self.fields:
            value = getattr(state, field.name)
            here = f"{path}{field.name}"
            if field.record:
                elements = value if field.count else [value]
                for number_, element in enumerate(elements):
                    inner = f"{here}[{number_}]." if field.count else f"{here}."
                    yield from field.record.leaves(element, inner)
            elif field.count:
                for number_ in range(field.count):
                    yield f"{here}[{number_}]", field, value, number_
            else:
                yield here, field, state, field.name

    def check(self, state: Any) -> None:
        """Raise `ValueError` naming the first field outside its declared range."""
        for path, field, holder, index in self.leaves(state):
            value = _read(holder, index)
            if not field.low <= value <= field.high:
                allowed = f"{field.low}..{field.high} {field.unit}".rstrip()
                raise ValueError(f"{self.name}.{path} is {value}, allowed is {allowed}")

    def encode(self, state: Any) -> bytes:
        """The state as bytes: equal states have equal bytes."""
        return b"".join(
            (_read(holder, index) - field.low).to_bytes(field.byte_width, "little")
            for _, field, holder, index in self.leaves(state)
        )

    def decode(self, data: bytes) -> Any:
        """The state that `encode` was given."""
        state, at = self.new(), 0
        for _, field, holder, index in self.leaves(state):
            value = int.from_bytes(data[at : at + field.byte_width], "little") + field.low
            at += field.byte_width
            if isinstance(index, int):
                holder[index] = value
            else:
                setattr(holder, index, value)
        assert at == len(data), f"{self.name}: {len(data)} bytes given, {at} expected"
        return state

    def describe(self) -> str:
        """A Markdown table of the fields."""
        rows = [f"### {self.name}\n\n{self.meaning}\n", "| field | range | unit | meaning |", "|---|---|---|---|"]
        for field in self.fields:
            shape = f"[{field.count}]" if field.count else ""
            if field.record:
                span = f"`{field.record.name}`"
            else:
                high = "2^60" if field.high == FAR_FUTURE_US else field.high
                span = "instant" if field.is_time else f"{field.low}..{high}"
            rows.append(f"| `{field.name}{shape}` | {span} | {field.unit} | {field.meaning} |")
        return "\n".join(rows)


def _read(holder: Any, index: int | str) -> int:
    return holder[index] if isinstance(index, int) else getattr(holder, index)
