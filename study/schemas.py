"""JSON Schemas of the files that the kit reads and writes, from the code that reads them: for editors and for others.

``docs/schemas/`` holds them; ``./dev docs`` writes them anew. A schema says which keys there are, of what type and in
which range; that values do not contradict each other is checked on reading (`model.scenario.checks`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from model.scenario import Scenario
from model.trace import ACTORS, EVENTS, SCHEMA, Event, Trace

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Untitled(GenerateJsonSchema):
    """Without titles that only say a key once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def scenario() -> dict[str, Any]:
    """A scenario file; each default says its source and kind."""
    schema = Scenario.model_json_schema(schema_generator=_Untitled)
    schema["$defs"]["Client"]["required"].remove("name")  # the reader makes one from class and transport
    return {"$schema": DIALECT, "title": "Scenario of hastudy", **_without(schema, "title")}


def trace_line() -> dict[str, Any]:
    """One line of a trace file: the header of a run, or an event."""
    header = _without(TypeAdapter(Trace).json_schema(schema_generator=_Untitled), "title", "description", "$defs")
    header["properties"] = {"schema": {"const": SCHEMA}, **_without(header["properties"], "events")}
    header["required"] = ["schema", *header["required"]]
    event = _without(TypeAdapter(Event).json_schema(schema_generator=_Untitled), "title", "description")
    event["properties"]["actor"]["enum"] = list(ACTORS)
    event["properties"]["event"] = {"oneOf": [{"const": name, "description": text} for name, text in EVENTS.items()]}
    parts = [{"title": name, **part, "additionalProperties": False} for name, part in
             (("header of a run", header), ("event", event))]  # fmt: skip
    return {"$schema": DIALECT, "title": "Line of a trace of hastudy", "oneOf": parts}


def _without(schema: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}


FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "scenario.schema.json": scenario,
    "trace.schema.json": trace_line,
}
"""By their names in ``docs/schemas/``."""
