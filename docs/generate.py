"""Writes the tables in docs/ that follow from the code, and the JSON Schemas.

A page keeps its own words; between ``<!-- generated: NAME -->`` and ``<!-- end -->`` stands what the function of that
name in `TABLES` returns. ``./dev docs`` rewrites the pages, ``./dev docs --check`` only says which ones are out of date
(a test does the same).
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

import model
from model.client_classes import FACTS, FOR_EVER_MS, SOFTWARE, knobs
from model.explorer import Election, Failover, client_world, registrar_world
from model.records import Record
from model.scenario import Scenario, Section, assumptions
from model.trace import EVENTS
from model.versions import DIFFERENCES, names_of_differences
from study import schemas
from study.check import detection
from study.lint import rules as lint_rules

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SECTION = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
KIND = re.compile(r"\bKind: (specified|vendor default|recommended|measured|assumed)\b[.\s]*")


def settings() -> str:
    """Every default of a scenario, with its source and kind."""
    return _table(
        ["key", "default", "unit", "kind", "source"],
        [[f"`{key}`", _toml(default), unit, kind, source] for key, default, unit, kind, source, _ in assumptions()],
    )


def constants() -> str:
    """Every constant of the code whose docstring says its kind."""
    rows = []
    for package in ("model", "sim", "reference_node", "study"):
        for path in sorted((ROOT / package).rglob("*.py")):
            rows += [[f"`{path.relative_to(ROOT)}`", *row] for row in _documented_constants(path)]
    return _table(["where", "constant", "value", "kind", "meaning"], rows)


def _documented_constants(path: Path) -> Iterator[list[str]]:
    """Yield [name, value, kind, meaning] of ``NAME = value`` followed by a docstring with a kind."""
    source = path.read_text(encoding="utf-8")
    body = ast.parse(source).body
    for assignment, comment in zip(body, body[1:], strict=False):
        match assignment, comment:
            case ast.Assign([ast.Name(name)], value), ast.Expr(ast.Constant(str(text))):
                kind = KIND.search(text)
                if kind:
                    meaning = " ".join(KIND.sub("", text).split())
                    yield [f"`{name}`", f"`{ast.get_source_segment(source, value)}`", kind[1], meaning]


def keys() -> str:
    """Every key of a scenario file, table by table."""
    parts = [_keys_of("Top of the file", Scenario)]
    for name, field in Scenario.model_fields.items():
        table = _table_of(field.annotation)
        if table is not None:
            parts.append(_keys_of(f"`[{name}]`" if table is field.annotation else f"`[[{name}]]`", table))
    return "\n\n".join(parts)


def _table_of(annotation: Any) -> type[Section] | None:
    """The table that a key holds, alone or as a list; None for a plain value."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def _keys_of(title: str, table: type[Section]) -> str:
    rows = [
        [f"`{field.alias or name}`", _default(field), _allowed(field), field.description or ""]
        for name, field in table.model_fields.items()
        if _table_of(field.annotation) is None
    ]
    return f"### {title}\n\n" + _table(["key", "default", "allowed", "meaning"], rows)


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else _toml(field.default)


def _allowed(field: FieldInfo) -> str:
    words = get_args(field.annotation)
    if words:
        return ", ".join(f"`{word}`" for word in words)
    limits = {name: getattr(part, name) for part in field.metadata for name in ("ge", "le") if hasattr(part, name)}
    if limits:
        unit = (field.json_schema_extra or {}).get("unit", "")
        return f"{limits['ge']} to {limits['le']} {unit}".strip()
    return "`true`, `false`" if field.annotation is bool else "text"


def events() -> str:
    """Every event name of a trace."""
    return _table(["event", "meaning"], [[f"`{name}`", meaning] for name, meaning in EVENTS.items()])


def records() -> str:
    """Every record of the machines, under the module that declares it."""
    parts, seen = [], set()
    for name in ["effects", *(module.name for module in pkgutil.iter_modules(model.__path__) if not module.ispkg)]:
        module = importlib.import_module(f"model.{name}")
        own = [value for value in vars(module).values() if isinstance(value, Record) and id(value) not in seen]
        seen.update(map(id, own))
        if own:
            head = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
            parts.append(f"## [model/{name}.py](../model/{name}.py)\n\n{head}")
            parts += [record.describe() for record in own]
    return "\n\n".join(parts)


def versions() -> str:
    """Every family of servers: where its description comes from, and what it does its own way."""
    rows = [
        [f"`{family}`", each.source, each.kind, *(str(getattr(each, name)).lower() for name in names_of_differences())]
        for family, each in DIFFERENCES.items()
    ]
    return _table(["family", "source", "kind", *(f"`{name}`" for name in names_of_differences())], rows)


def client_classes() -> str:
    """Every knob of every class of SIP clients: meaning and values, each with the first letter of its kind."""
    rows = [
        [f"`{knob}`", meaning, *(_valued(knob, *facts[knob][:2]) for facts in FACTS.values())]
        for knob, meaning in knobs()
    ]
    return _table(["knob", "meaning", *(f"`{name}`" for name in FACTS)], rows)


def _valued(knob: str, value: Any, kind: str) -> str:
    return f"{_in_words(knob, value)} <sup>{kind[0]}</sup>"


def _in_words(knob: str, value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(value) or "none"
        case int() if knob.endswith("_ms"):
            return "no limit" if value == FOR_EVER_MS else f"{value / 1000:,g} s"
        case int() if knob.endswith("_percent"):
            return f"{value} %"
        case _:
            return str(value)


def client_sources() -> str:
    """For every class of SIP clients which knobs are from which source."""
    parts = []
    for name, facts in FACTS.items():
        told: dict[tuple[str, str], list[str]] = {}
        for knob, fact in facts.items():
            told.setdefault((fact.kind, fact.source or "-"), []).append(f"`{knob}`")
        rows = [[kind, source, ", ".join(named)] for (kind, source), named in sorted(told.items())]
        parts.append(
            f"### {name}\n\nWhat it describes: {SOFTWARE[name]}.\n\n" + _table(["kind", "source", "knobs"], rows)
        )
    return "\n\n".join(parts)


def properties() -> str:
    """Every property that the explorer decides, and who says so."""
    rows = []
    for part, model_ in (("election", Election()), ("failover", Failover())):
        rows += [[part, f"`{each.key}`", each.sentence, each.kind, each.source] for each in model_.properties]
    rows.append(["registrar", "`registrar-POLICY-CASE`", registrar_world.SENTENCE, "eventually",
                 registrar_world.SOURCE])  # fmt: skip
    rows.append(["client", "`client-CLASS-TRANSPORT-MANNER`", client_world.SENTENCE, "eventually",
                 client_world.SOURCE])  # fmt: skip
    keys_ = ", ".join(f"`{key}`" for key in detection.CASES)
    sentence = detection.SENTENCE.format(what="a dead primary", whom="")
    return _table(
        ["part", "key", "property", "kind", "source"],
        [*rows, ["detection", keys_, sentence, "always", detection.SOURCE]],
    )


def rules() -> str:
    """Every rule of `lint`."""
    return _table(["rule", "severity", "subject", "source"], lint_rules.table())


TABLES = {
    each.__name__: each
    for each in (
        settings,
        constants,
        keys,
        events,
        records,
        versions,
        client_classes,
        client_sources,
        properties,
        rules,
    )
}


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _toml(value: Any) -> str:
    return f"`{json.dumps(value)}`"  # what the values of scenarios look like in JSON is TOML too


def pages() -> Iterator[tuple[Path, str, str]]:
    """Yield (path, text as it is, text as it should be) of every page with a generated section, and of the schemas."""
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if SECTION.search(text):
            yield path, text, SECTION.sub(lambda part: f"{part[1]}{TABLES[part[2]]()}\n{part[3]}", text)
    for name, make in schemas.FILES.items():
        path = DOCS / "schemas" / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        yield path, text, json.dumps(make(), indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Rewrite the pages, or with ``--check`` name those that are out of date (exit 1)."""
    stale = [(path, new) for path, old, new in pages() if old != new]
    for path, new in stale:
        if "--check" not in arguments:
            path.write_text(new, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of date' if '--check' in arguments else 'rewritten'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
