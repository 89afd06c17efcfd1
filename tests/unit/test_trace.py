"""Trace files: what is written is what is read, and a bad line is named."""

import json
from dataclasses import replace

import pytest

from model import effects
from model.errors import TraceError
from model.trace import EVENTS, SCHEMA, Event, Trace, read_traces, write_traces

EVENT = Event(10_401_233, "host2", "sentinel", "+sdown", "host1", 5, 1)
TRACE = Trace("name", "0123456789abcdef", "sim", 1, 0, 58_000_000, versions={"redis": "7.4.1"}, events=[EVENT])


def lines(*objects):
    return "".join(json.dumps(each) + "\n" for each in objects)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "trace.ndjson"


def test_what_is_written_is_what_is_read(file):
    bare = Event(-5, "client", "fault", "vanish")
    stalled = replace(TRACE, arm="real", run=1, stalled=True, stall_reason="late", events=[bare, EVENT])
    traces = [TRACE, stalled, replace(TRACE, run=2, events=[])]
    write_traces(file, traces)
    assert list(read_traces(file)) == traces


def test_equal_traces_give_equal_bytes(file, tmp_path):
    write_traces(file, [TRACE, TRACE])
    write_traces(tmp_path / "again", [replace(TRACE, events=[replace(EVENT)])] * 2)
    assert file.read_bytes() == (tmp_path / "again").read_bytes()


def test_empty_parts_of_an_event_are_left_out(file):
    write_traces(file, [replace(TRACE, events=[Event(0, "host1", "fault", "vanish")])])
    assert json.loads(file.read_text().splitlines()[1]) == {
        "t_us": 0, "host": "host1", "actor": "fault", "event": "vanish",
    }  # fmt: skip


def test_an_empty_file_holds_no_trace(file):
    file.touch()
    assert list(read_traces(file)) == []


GOOD = {"t_us": 1, "host": "host1", "actor": "fault", "event": "crash"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{not json}\n", "line 1 is not JSON"),
        (lines(GOOD), "line 1: an event comes before the header"),
        (lines([1, 2]), "line 1 is not a JSON object"),
        (lines({**TRACE.header(), "schema": SCHEMA + 1}), f"line 1: only trace schema {SCHEMA} can be read"),
        (lines({**TRACE.header(), "colour": "red"}), "line 1: got an unexpected keyword argument 'colour'"),
        (lines({"schema": SCHEMA}), "line 1: missing 6 required positional arguments"),
        (lines(TRACE.header(), {**GOOD, "event": "explode"}), "line 2: unknown actor or event: fault explode"),
        (lines(TRACE.header(), {**GOOD, "actor": "ghost"}), "line 2: unknown actor or event: ghost crash"),
        (lines(TRACE.header(), {**GOOD, "colour": "red"}), "line 2: got an unexpected keyword argument 'colour'"),
        (lines(TRACE.header(), {"actor": "fault", "event": "crash"}), "line 2: missing 2 required"),
        (lines(TRACE.header(), {**GOOD, "t_us": "soon"}), "line 2: times and codes are integers"),
        (lines(TRACE.header(), GOOD)[:-10], "line 2 is not JSON"),
    ],
)
def test_a_bad_line_is_named(file, text, complaint):
    file.write_text(text)
    with pytest.raises(TraceError) as error:
        list(read_traces(file))
    assert str(error.value).startswith(f"{file}: {complaint}")


def test_a_file_that_cannot_be_read_is_named(file, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (file, tmp_path, tmp_path / "binary"):
        with pytest.raises(TraceError, match=str(path)):
            list(read_traces(path))


def test_machines_report_by_the_names_of_the_trace():
    """`effects.REPORTS` numbers the events for compiled code; the trace schema names and explains them."""
    assert set(effects.REPORTS[1:]) == set(EVENTS)
    assert len(set(effects.REPORTS)) == len(effects.REPORTS)
    assert effects.REPORTS[effects.SWITCH_MASTER] == "+switch-master"
    assert effects.REPORTS[effects.COUNT_LOST] == "count-lost"
