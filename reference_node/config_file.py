"""Configuration of a program, checked by a pydantic model: a JSON file, or values read elsewhere. Errors: one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pydantic

from model.errors import UsageError

_Config = TypeVar("_Config", bound=pydantic.BaseModel)


def read(kind: type[_Config], path: Path) -> _Config:
    """Read a configuration file in JSON.

    Raises
    ------
    UsageError
        The file is missing, is not JSON, or says something that cannot be.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except pydantic.ValidationError as error:
        raise UsageError(_first_fault(str(path), error)) from None


def check(kind: type[_Config], where: str, values: Any) -> _Config:
    """Check values that were read from somewhere.

    Raises
    ------
    UsageError
        They say something that cannot be.
    """
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError(_first_fault(where, error)) from None


def _first_fault(where: str, error: pydantic.ValidationError) -> str:
    """The first thing that is wrong, with its place; values are left out, since one may be a password."""
    first = error.errors(include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return ": ".join(filter(None, [where, key, first["msg"]]))
