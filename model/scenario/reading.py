"""Reads scenario files, with overrides; every fault in a file becomes one clear `ScenarioError`."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pydantic

from model.errors import ScenarioError
from model.scenario.checks import check_together
from model.scenario.schema import Scenario
from model.scenario.words import describe, field_at, limits, show


def load(path: str | Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario file.

    Parameters
    ----------
    path : path
    overrides : sequence of str
        ``key=value`` with a dotted key (``sentinel.down_after_ms=2000``, ``fault.0.kind=vanish``). The value is read
        as TOML, or as a bare string where it is not TOML or the key holds text.

    Raises
    ------
    ScenarioError
        The file is missing, is not TOML, or says something that cannot be.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ScenarioError(
            str(path),
            "",
            f"cannot be read: {reason}",
            "a readable TOML file",
            "`hastudy scenarios` lists the ones that come with the kit",
        ) from None
    return parse(text, str(path), overrides)


def parse(text: str, where: str = "<text>", overrides: Sequence[str] = ()) -> Scenario:
    """Like `load`, from a string; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(where, "", f"not TOML: {error}", "TOML 1.0", "mend the line that is named") from None
    for override in overrides:
        where = _apply(data, override, where)
    try:
        scenario = Scenario.model_validate_json(json.dumps(data, default=str))
    except pydantic.ValidationError as error:
        raise _translate(error, where) from None
    check_together(scenario, where)
    return scenario


def _apply(data: dict[str, Any], override: str, where: str) -> str:
    """Put one ``key=value`` into `data`; return the new name of the source."""
    key, sign, raw = override.partition("=")
    source = f"--set {override}"
    if not sign or not key:
        raise ScenarioError(
            source, "", "not of the form key=value", "key=value", "for example --set sentinel.down_after_ms=2000"
        )
    value = _value_of(key, raw)
    target: Any = data
    *parents, last = key.split(".")
    for part in parents:
        target = _step(target, part, source, key)
    if isinstance(target, list):
        target[_index(target, last, source, key)] = value
    else:
        target[last] = value
    return f"{where} with --set" if " with --set" not in where else where


def _value_of(key: str, raw: str) -> Any:
    """`raw` as TOML; as it stands where it is not TOML, or where the key holds text (a version 7.0 is no number)."""
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
    info = field_at([part for part in key.split(".") if not part.isdecimal()])
    words = get_args(info.annotation) if info else ()
    holds_text = bool(info) and (info.annotation is str or (bool(words) and isinstance(words[0], str)))
    return raw if holds_text and not isinstance(value, str) else value


def _step(target: Any, part: str, source: str, key: str) -> Any:
    if isinstance(target, list):
        return target[_index(target, part, source, key)]
    inner = target.setdefault(part, {})
    if not isinstance(inner, (dict, list)):
        raise ScenarioError(
            source, key, "inside a plain value", "the path of a table's key", f"`{part}` has no keys of its own"
        )
    return inner


def _index(target: list, part: str, source: str, key: str) -> int:
    if part.isdecimal() and int(part) < len(target):
        return int(part)
    raise ScenarioError(
        source,
        key,
        f"entry {part!r} of a list",
        f"0 to {len(target) - 1}",
        "count the entries in the file, the first is 0",
    )


def _translate(error: pydantic.ValidationError, where: str) -> ScenarioError:
    """The first fault that pydantic found, in the words of a scenario file."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    given, context = fault["input"], fault.get("ctx", {})
    if fault["type"] == "extra_forbidden":
        known = _known_keys(fault["loc"][:-1])
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, 1)
        hint = f"did you mean `{close[0]}`?" if close else "remove it"
        return ScenarioError(where, key, f"unknown (value {show(given)})", "one of " + ", ".join(known), hint)
    if fault["type"] == "missing":
        return ScenarioError(where, key, "missing", "a value", describe(fault["loc"]))
    if fault["type"] in ("greater_than_equal", "less_than_equal"):
        low, high = limits(fault["loc"])
        return ScenarioError(where, key, show(given), f"{low} to {high}", describe(fault["loc"]))
    if fault["type"] == "literal_error":
        quotes = not isinstance(given, str) and f"'{given}'" in context["expected"]
        hint = f'write it in quotes: "{given}"' if quotes else describe(fault["loc"])
        return ScenarioError(where, key, show(given), context["expected"], hint)
    return ScenarioError(where, key, show(given), fault["msg"], describe(fault["loc"]))


def _known_keys(loc: Sequence[int | str]) -> list[str]:
    info = field_at(loc)
    model: Any = Scenario
    if info is not None:
        inner = get_args(info.annotation)
        model = inner[0] if inner else info.annotation
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]
