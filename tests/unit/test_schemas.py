"""The schemas for editors say what the readers say: all files of the kit fit, and mistakes do not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from model.trace import Trace, event_to_json, read_traces
from study import schemas

ROOT = Path(__file__).parents[2]
SCENARIOS = [path for path in sorted((ROOT / "scenarios").rglob("*.toml")) if path.name != "matrix.toml"]
MINIMAL = {"schema": 1, "name": "one", "question": "?", "host": [{"name": "host1"}], "fault": [], "claim": []}


@pytest.fixture(scope="module")
def scenario_file() -> Draft202012Validator:
    Draft202012Validator.check_schema(schemas.scenario())
    return Draft202012Validator(schemas.scenario())


@pytest.fixture(scope="module")
def trace_line() -> Draft202012Validator:
    Draft202012Validator.check_schema(schemas.trace_line())
    return Draft202012Validator(schemas.trace_line())


def test_every_scenario_of_the_kit_fits(scenario_file: Draft202012Validator) -> None:
    assert len(SCENARIOS) > 100
    for path in SCENARIOS:
        assert scenario_file.is_valid(tomllib.loads(path.read_text())), path


@pytest.mark.parametrize(
    "change",
    [{"hosts": []}, {"schema": 2}, {"sentinel": {"quorum": 0}}, {"sentinel": {"quorum": "2"}},
     {"fault": [{"kind": "explode", "host": "host1", "at_ms": 0}]}, {"host": [{"redis": True}]}],
)  # fmt: skip
def test_what_the_reader_refuses_the_schema_refuses(scenario_file: Draft202012Validator, change: dict) -> None:
    assert scenario_file.is_valid(MINIMAL)
    assert not scenario_file.is_valid(MINIMAL | change)


def test_every_line_of_a_stored_trace_fits(trace_line: Draft202012Validator) -> None:
    path = sorted((ROOT / "reports").glob("*/runs/*.ndjson.xz"))[0]
    trace: Trace = next(read_traces(path))
    lines = [trace.header(), *map(event_to_json, trace.events)]
    assert len(lines) > 20
    for line in lines:
        assert trace_line.is_valid(json.loads(json.dumps(line))), line


@pytest.mark.parametrize("change", [{"event": "+explode"}, {"t_us": 0.5}, {"actor": "nobody"}, {"when": 1}])
def test_a_wrong_line_of_a_trace_does_not(trace_line: Draft202012Validator, change: dict) -> None:
    line = {"t_us": 1, "host": "host1", "actor": "sentinel", "event": "+sdown"}
    assert trace_line.is_valid(line)
    assert not trace_line.is_valid(line | change)
