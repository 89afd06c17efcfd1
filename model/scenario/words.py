"""How errors speak of keys and values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from model.scenario.schema import Scenario


def show(value: Any) -> str:
    """A value as it stands in a file, shortened."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def field_at(loc: Sequence[int | str]) -> Any:
    """The pydantic field (or model) that a location speaks of."""
    model: Any = Scenario
    info: Any = None
    for part in loc:
        if isinstance(part, int):
            continue
        info = next((i for n, i in model.model_fields.items() if part in (n, i.alias)), None)
        if info is None:
            return None
        inner = get_args(info.annotation)
        model = inner[0] if inner and isinstance(inner[0], type) else info.annotation
    return info


def limits(loc: Sequence[int | str]) -> tuple[Any, Any]:
    """Least and greatest value of a key."""
    low: Any = "any"
    high: Any = "any"
    for constraint in getattr(field_at(loc), "metadata", ()):
        low = getattr(constraint, "ge", low)
        high = getattr(constraint, "le", high)
    return low, high


def describe(loc: Sequence[int | str]) -> str:
    """What a key means, with its unit."""
    info = field_at(loc)
    if info is None or not info.description:
        return "see docs/scenario.md"
    unit = (info.json_schema_extra or {}).get("unit", "") if isinstance(info.json_schema_extra, dict) else ""
    return info.description + (f", in {unit}" if unit else "")
