"""Tables and pictures of traces written by hand."""

from __future__ import annotations

import csv

import numpy as np
from matplotlib.figure import Figure

from model.measures import Facts, measure
from study import folders, plots, tables
from study.compare import compare
from study.outcome import Arm


def test_summary_of_one_run_in_seconds(scenario, make_trace):
    text = tables.summary_text(Arm.of(scenario, [make_trace(spread_ms=0)]).summary)
    lines = [line.split() for line in text.splitlines()]
    assert ["elected", "leader", "elected", "1", "10.840", "10.840", "10.840", "10.840"] in lines
    assert ["register@host1", "1", *["40.100"] * 4, "0.000", "40.100"] in lines
    assert ["detect", "until", "a", "quorum", "suspects", "1", *["10.691"] * 4] in lines
    assert "registrations acknowledged and lost: median 40, p95 40 in a run" in text
    assert "two servers writable at once: median 10.500 s" in text


def test_a_milestone_that_never_happened_is_a_dash(scenario, make_trace):
    trace = make_trace()
    trace.events = [event for event in trace.events if event.event != "+convert-to-slave"]
    text = tables.milestones_table(Arm.of(scenario, [trace]).summary)
    assert text.splitlines()[-1].split()[-5:] == ["0", "-", "-", "-", "-"]


def test_comparison_shows_both_arms_interval_margin_and_verdict(scenario, make_trace):
    sim, real = [make_trace(n) for n in range(100)], [make_trace(n, arm="real") for n in range(6)]
    real[5].stalled = True
    result = compare(scenario, sim, real).to_json()
    text = tables.comparison_text(result, Arm.of(scenario, sim).summary, Arm.of(scenario, real).summary)
    assert "1 stalled real run kept in the folder, left out of the statistics" in text
    assert text.splitlines()[-1].startswith("verdict: AGREES - all ")
    row = next(line for line in text.splitlines() if line.startswith("elected"))
    assert row.split()[1] == "5" and row.endswith("few runs  agrees")


def test_clients_have_tables_of_their_own(scenario, make_trace):
    described = {"n": 1, "p50_ms": 1500.0}
    calls = {"phone": {"n": 400, "failed": 10, "per_million": 25_000, "blind_ms": {"host1": described},
                       "zombie_ms": {"host1": {"n": 1, "p50_ms": 0.0}}}}  # fmt: skip
    parts = {"phone": dict.fromkeys(("unaware", "give_up", "elsewhere", "refused", "done"), described)}
    summary = {**Arm.of(scenario, [make_trace()]).summary, "calls": calls, "client_parts": parts}
    lines = [line.split() for line in tables.summary_text(summary).splitlines()]
    assert ["phone", "1", *["1.500"] * 5] in lines
    assert ["phone", "400", "10", "25000", "host1", "1.500", "-"] in lines
    both = [line.split() for line in tables.both_calls_table(summary, {**summary, "calls": {}}).splitlines()]
    assert ["phone", "failed", "calls", "in", "a", "million", "-", "25000"] in both


def test_measures_file_has_a_line_for_every_run(scenario, make_trace, tmp_path):
    facts = Facts.of(scenario)
    runs = [measure(make_trace(n), facts) for n in range(3)]
    folders.write_measures(tmp_path / "measures.csv", {"sim": runs, "real": runs[:1]})
    lines = list(csv.DictReader((tmp_path / "measures.csv").open()))
    assert [line["arm"] for line in lines] == ["sim", "sim", "sim", "real"]
    assert float(lines[0]["elected"]) == runs[0].milestones["elected"] / 1000
    parts = [float(value) for name, value in lines[0].items() if name.endswith("@host2") and "register" not in name]
    assert sum(parts) == float(lines[0]["register@host2"])


def test_timeline_of_one_and_of_both_arms(scenario, make_trace, tmp_path):
    sim = Arm.of(scenario, [make_trace(n) for n in range(20)])
    real = Arm.of(scenario, [make_trace(n, arm="real") for n in range(3)])
    for arms in ((sim, None), (None, real), (sim, real)):
        plots.save_timeline(tmp_path, scenario, *arms)
        svg = (tmp_path / "timeline.svg").read_text()
        assert "host vanishes" in svg and "cannot register" in svg and "+elected-leader" in svg
    assert "20 simulated runs" in svg and "3 real runs" in svg


def test_the_typical_run_is_no_stalled_one(scenario, make_trace):
    traces = [make_trace(n) for n in range(5)]
    for trace in traces[:4]:
        trace.stalled = True
    assert plots.typical_run(Arm.of(scenario, traces))[0].run == 4


def test_every_outage_has_words():
    words = [plots._outage_words(name) for name in ("redis_write", "register@host2", "client:phone-tcp")]
    assert words == ["no Redis takes writes", "host2 registers nobody", "phone-tcp is out of reach"]


def test_ecdf_panel_draws_both_arms():
    ax = plots.ecdf_panel(Figure().add_subplot(), "elected", np.arange(100.0), np.array([40.0, 50.0, 60.0]))
    assert {text.get_text() for text in ax.texts} == {"predicted (100 runs)", "measured (3 runs)"}


def test_resolved_scenario_survives_toml(scenario, tmp_path):
    from model.scenario import parse

    assert parse(folders.to_toml(scenario.canonical())) == scenario
