"""What all tables of a scenario file share: declared keys with sourced defaults, and common names."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict

SCHEMA = 1
"""Version of the scenario schema."""

MAX_HOSTS = 7
"""Most hosts of a scenario: bound of all arrays in the machines. Kind: assumed."""

MAX_FAULTS = 16
"""Most faults of a scenario. Kind: assumed."""

MAX_BINDINGS = 256
"""Most writes of the expiry prober in a run, by all servers together. Kind: assumed."""

MAX_LINKS = 64
"""Most entries for links of a scenario. Kind: assumed."""

MAX_CLIENTS = 16
"""Most clients of a scenario. Kind: assumed."""

NAME = r"^[a-z][a-z0-9.-]{0,30}$"
"""What a host or client may be called; results and traces name them so."""

Kind = Literal["specified", "vendor default", "recommended", "measured", "assumed"]


def setting(default: Any, meaning: str, *, kind: Kind, source: str, unit: str = "", **limits: Any) -> Any:
    """Declare one key: its default, meaning, unit, limits, and where the default comes from."""
    extra = {"kind": kind, "source": source, "unit": unit}
    return pydantic.Field(default, description=meaning, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """Base of all tables of a scenario file: unknown keys are refused, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
