"""Exports, each read back by somebody who knows nothing of how it was written."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from model.errors import EnvironmentLacks, TraceError, UsageError
from model.measures import Facts, measure
from model.trace import EVENTS, Event, Trace, read_traces
from study import junit
from study.export import drawn, sources, tidy
from study.export.perfetto import perfetto
from study.export.story import messages, spans
from study.paths.shiviz import PARSER

ROOT = Path(__file__).parents[2]
STORED = next((ROOT / "reports/validity/runs").glob("host_vanishes_and_back-*.ndjson.xz"))
FOLDER = ROOT / "reports/host_loss/primary_host_vanishes"


@pytest.fixture(scope="module")
def real() -> Trace:
    return next(read_traces(STORED))


# Perfetto


def slices_of(data: dict) -> dict[tuple[int, int], list[dict]]:
    found: dict[tuple[int, int], list[dict]] = {}
    for each in data["traceEvents"]:
        if each["ph"] == "X":
            found.setdefault((each["pid"], each["tid"]), []).append(each)
    return found


def test_perfetto_has_the_fields_that_the_format_asks_for(real):
    data = json.loads(json.dumps(perfetto(real)))
    where = {"name", "cat", "pid", "tid", "ts"}
    needed = {"M": {"name", "pid", "args"}, "X": where | {"dur"}, "s": where | {"id"}, "f": where | {"id", "bp"}}
    assert {each["ph"] for each in data["traceEvents"]} == set(needed)
    for each in data["traceEvents"]:
        assert needed[each["ph"]] <= each.keys()
        assert each.get("ts", 0) >= 0 and each.get("dur", 0) >= 0


def test_perfetto_has_a_process_for_each_host_and_a_thread_for_each_actor(real):
    data = perfetto(real)["traceEvents"]
    processes = {each["pid"]: each["args"]["name"] for each in data if each["name"] == "process_name"}
    threads = {(processes[each["pid"]], re.sub(r" \(\d+\)", "", each["args"]["name"]))
               for each in data if each["name"] == "thread_name"}  # fmt: skip
    assert threads == {(event.host, event.actor) for event in real.events}
    assert len(set(processes.values())) == len(processes)


def test_slices_of_a_perfetto_thread_nest(real):
    """Otherwise the viewer drops them."""
    for slices in slices_of(perfetto(real)).values():
        open_: list[int] = []
        for each in slices:
            while open_ and open_[-1] <= each["ts"]:
                open_.pop()
            end = each["ts"] + each["dur"]
            assert not open_ or end <= open_[-1], each
            open_.append(end)


def test_perfetto_keeps_every_event_at_its_time(real):
    data = perfetto(real)
    zero = data["otherData"]["first_fault_at_us"]
    kept = Counter(each["ts"] - zero for each in data["traceEvents"] if each.get("cat") == "event")
    assert kept == Counter(event.t_us for event in real.events)


def test_perfetto_arrows_begin_and_end_in_slices_and_go_forward(real):
    data = perfetto(real)
    slices = slices_of(data)
    ends = {each["id"]: each for each in data["traceEvents"] if each["ph"] == "f"}
    begins = [each for each in data["traceEvents"] if each["ph"] == "s"]
    assert len(begins) == len(ends) > 5
    for begin in begins:
        end = ends[begin["id"]]
        assert begin["ts"] <= end["ts"]
        for each in (begin, end):
            assert any(s["ts"] <= each["ts"] < s["ts"] + s["dur"] for s in slices[each["pid"], each["tid"]])


# States and messages


def test_states_last_from_their_beginning_to_their_end(make_trace):
    trace = make_trace(spread_ms=0)
    found = {(span.host, span.name): span for span in spans(trace)}
    assert (found["host1", "vanish"].begin_us, found["host1", "vanish"].end_us) == (0, 40_000_000)
    election = found["host3", "election"]
    assert (election.begin_us, election.end_us, election.open) == (10_770_000, 10_840_000, False)
    failover = found["host3", "failover"]
    assert failover.end_us == 12_800_000, "the leader's own switch ends it"
    assert found["host2", "sdown host1"].end_us == 11_780_000, "a switch makes a sentinel forget"
    assert found["host2", "waiting"].end_us - found["host2", "waiting"].begin_us == 9_600_000
    assert found["host1", "no answer"].end_us == 40_150_000


def test_a_state_that_nothing_ends_is_open_up_to_the_horizon(make_trace):
    trace = make_trace()
    trace.events = [event for event in trace.events if event.event != "return"]
    vanish = next(span for span in spans(trace) if span.name == "vanish")
    assert (vanish.end_us, vanish.open) == (trace.horizon_us, True)


def test_messages_lead_from_a_cause_to_its_effect(real):
    told = [
        (real.events[each.cause].event, real.events[each.effect].event, each.label) for each in messages(real.events)
    ]
    assert ("+try-failover", "+vote-for-leader", "asks for a vote") in told
    assert ("+selected-slave", "role-primary", "REPLICAOF NO ONE") in told
    assert ("+convert-to-slave", "role-replica", "REPLICAOF") in told
    for each in messages(real.events):
        cause, effect = real.events[each.cause], real.events[each.effect]
        assert cause.t_us <= effect.t_us and (cause.host, cause.actor) != (effect.host, effect.actor)


def test_a_leader_is_elected_by_the_votes_of_its_last_epoch():
    events = [Event(0, "host2", "sentinel", "+vote-for-leader", "host1", code=1),
              Event(9, "host2", "sentinel", "+vote-for-leader", "host1", code=2),
              Event(9, "host3", "sentinel", "+vote-for-leader", "host1", code=2),
              Event(12, "host1", "sentinel", "+elected-leader", "host1")]  # fmt: skip
    assert [(each.cause, each.effect) for each in messages(events)] == [(1, 3), (2, 3)]


# ShiViz and Mermaid


def test_shiviz_reads_every_event_with_a_clock_that_knows_its_causes(real):
    text = drawn.shiviz(real)
    first, _, rest = text.partition("\n")
    assert first == PARSER
    parsed = list(re.finditer(first.replace("(?<", "(?P<"), rest))
    assert len(parsed) == len(real.events)
    clocks = [json.loads(each["clock"]) for each in parsed]
    ticks: Counter[str] = Counter()
    for each, clock in zip(parsed, clocks, strict=True):
        ticks[each["host"]] += 1
        assert clock[each["host"]] == ticks[each["host"]], "each event is one tick of its own actor"
        assert all(clock[host] <= ticks[host] for host in clock), "nobody knows what has not happened"
    for message in messages(real.events):
        sender = parsed[message.cause]["host"]
        assert clocks[message.effect][sender] >= clocks[message.cause][sender]


def test_mermaid_names_every_actor_and_draws_every_message(real):
    lines = drawn.mermaid(real).splitlines()
    assert lines[0] == "sequenceDiagram"
    named = {found[1] for line in lines if (found := re.match(r"    participant (\w+) as ", line))}
    used = {who for line in lines for found in re.findall(r"(a\d+)->>(a\d+):|[Nn]ote (?:over|right of) (a\d+)", line)
            for who in found if who}  # fmt: skip
    assert used == named and len(named) == len({(event.host, event.actor) for event in real.events})
    assert sum("->>" in line for line in lines) == len(messages(real.events))
    assert sum(line.strip().startswith("rect") for line in lines) == sum(line.strip() == "end" for line in lines) == 2


# Tables


def test_csv_of_events_is_the_trace(real):
    text = tidy.to_csv("events", tidy.rows("events", [real], None))
    read = [
        Event(int(row["t_us"]), row["host"], row["actor"], row["event"], row["about"], int(row["detail_us"]),
              int(row["code"]))
        for row in csv.DictReader(io.StringIO(text))
    ]  # fmt: skip
    assert read == real.events
    assert {row["event"] for row in csv.DictReader(io.StringIO(text))} <= EVENTS.keys()


@pytest.mark.parametrize("table", ["milestones", "outages"])
def test_tables_of_measures_say_what_the_measures_say(scenario, make_trace, table):
    traces = [make_trace(n) for n in range(3)]
    found = tidy.rows(table, traces, Facts.of(scenario))
    for trace in traces:
        run = measure(trace, Facts.of(scenario))
        own = [row for row in found if row["run"] == trace.run]
        if table == "milestones":
            assert {row["milestone"]: row["t_us"] for row in own if not row["censored"]} == run.milestones
            assert {row["milestone"]: row["t_us"] for row in own if row["censored"]} == run.cut_off
        else:
            totals = Counter()
            for row in own:
                totals[row["outage"]] += row["length_us"]
                assert row["end_us"] - row["start_us"] == row["length_us"]
            assert totals == {name: run.outage_us(name) for name in run.windows if run.windows[name]}


@pytest.mark.parametrize("table", ["events", "milestones", "outages"])
def test_parquet_is_the_same_table_with_types(scenario, make_trace, tmp_path, table):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the package pyarrow")
    found = tidy.rows(table, [make_trace()], Facts.of(scenario))
    tidy.write_parquet(tmp_path / "t.parquet", table, found)
    read = parquet.read_table(tmp_path / "t.parquet")
    assert read.to_pylist() == found
    types = {name: str(kind) for name, kind in zip(read.schema.names, read.schema.types, strict=True)}
    assert types["stalled"] == "bool" and types["run"] == "int64" and types["scenario"] == "string"


def test_parquet_without_pyarrow_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(EnvironmentLacks, match=r"pyarrow.*\n\nhint: pip install 'hastudy\[tables\]'") as caught:
        tidy.write_parquet(tmp_path / "t.parquet", "events", [])
    assert caught.value.exit_code == 4


# JUnit


def test_junit_has_a_case_for_each_quantity():
    comparison = sources.comparison(FOLDER)
    suite = ElementTree.fromstring(junit.comparison_text(comparison))
    assert suite.tag == "testsuite" and int(suite.get("tests")) == len(comparison["rows"]) > 0
    assert [case.get("name") for case in suite] == [row["name"] for row in comparison["rows"]]
    assert suite.get("failures") == suite.get("skipped") == "0"


@pytest.mark.parametrize(("verdict", "tag"), [("disagrees", "failure"), ("undecided", "skipped")])
def test_junit_says_what_does_not_agree(verdict, tag):
    comparison = sources.comparison(FOLDER)
    comparison["rows"][2] |= {"verdict": verdict, "shift_low_ms": None}
    suite = ElementTree.fromstring(junit.comparison_text(comparison))
    [told] = suite[2]
    assert told.tag == tag and told.get("message").startswith(f"{verdict}: real - simulated unknown to ")
    assert suite.get({"failure": "failures", "skipped": "skipped"}[tag]) == "1"


# Where from


def test_a_folder_has_both_arms_the_real_one_first():
    found = sources.traces(FOLDER)
    assert found[0].arm == "real"
    assert {trace.arm for trace in sources.traces(FOLDER, "real")} == {"real"}


def test_the_first_run_that_is_not_stalled_is_shown(make_trace):
    traces = [make_trace(n) for n in range(3)]
    traces[0].stalled = True
    assert sources.one(traces, None).run == 1
    assert sources.one(traces, 0).run == 0
    with pytest.raises(UsageError, match=r"--run is 7\n  allowed: 0 to 2"):
        sources.one(traces, 7)


def test_the_scenario_of_stored_runs_is_found_on_any_server_version(monkeypatch, real):
    monkeypatch.chdir(ROOT)
    found = sources.scenario(STORED, real, None, ())
    assert (found.digest, found.server.version) == (real.digest, "6.2")


def test_another_scenario_is_refused(monkeypatch, real):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UsageError, match=f"no scenario with the digest of these traces, {real.digest}"):
        sources.scenario(STORED, real, "scenarios/host_loss/primary_host_vanishes.toml", ())


def test_what_is_no_trace_and_no_comparison_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no traces\n  allowed: a trace file, or a folder with real.ndjson"):
        sources.traces(tmp_path)
    with pytest.raises(TraceError, match="cannot be read"):
        sources.traces(tmp_path / "nothing.ndjson")
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(UsageError, match="no comparison"):
        sources.comparison(tmp_path / "x.json")
