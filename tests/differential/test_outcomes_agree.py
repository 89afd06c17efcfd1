"""What compiled code reads off a run's reports is what `model.measures` reads off its trace, run by run and exactly."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from model import effects
from model.measures import BRANCHES, MILESTONES, WRITE_OUTAGE, Facts, RunMeasures, measure
from model.scenario import Scenario, load, parse
from sim import simulate
from sim.batch import outcomes
from sim.outcome_records import ABSENT, NOT_ASKED, OUTCOME, WORK, facts_of
from sim.outcomes import measure as measure_outcomes
from sim.settings import trace_of
from sim.state import CALLER, CLIENT_SIDE, INJECTOR, PROBE_CLIENT, PROBER, REDIS, REPORT_ROW, SENTINEL

sys.path.insert(0, str(Path(__file__).parent))
from test_engines_agree import scenarios

FILES = sorted(Path("scenarios").rglob("*/*.toml"))
RUNS = 8
SEED = 11


def reference(scenario: Scenario, runs: int, seed: int) -> list[dict[str, int]]:
    """Outcomes of the first runs by way of their traces; arrays as ``name[place]``."""
    facts = Facts.of(scenario)
    return [_plain(scenario, measure(trace, facts)) for trace in simulate(scenario, runs, seed, jobs=1)]


def _plain(scenario: Scenario, run: RunMeasures) -> dict[str, int]:
    names = scenario.host_names
    plain = {"run": run.run, "ended": run.horizon_us}
    plain |= {name: run.milestones.get(name, ABSENT) for name in MILESTONES}
    plain |= {"cut_off": sum(1 << MILESTONES.index(name) for name in run.cut_off)}
    plain |= {"new_primary": 1 + names.index(run.promoted) if run.promoted else 0}
    plain |= _windows(run, WRITE_OUTAGE, "redis_write")
    for number in range(7):
        name = f"register@{names[number]}" if number < len(names) else ""
        plain |= _windows(run, name, "register", f"[{number}]")
    for number in range(16):
        name = scenario.client[number].name if number < len(scenario.client) else ""
        plain |= _windows(run, f"client:{name}", "client", f"[{number}]")
        client = run.clients.get(name)
        plain[f"calls[{number}]"] = client.calls if client else ABSENT
        plain[f"calls_failed[{number}]"] = client.failed if client else ABSENT
    plain |= {"two_writable": ABSENT if run.two_writable_us is None else run.two_writable_us}
    plain |= {"lost": ABSENT if run.lost is None else run.lost}
    courses = {name: int(run.branches[name]) if name in run.branches else ABSENT for name in BRANCHES}
    demotion = courses.pop("demoted")
    return {**plain, **courses, "demotion": demotion}


def _windows(run: RunMeasures, name: str, field: str, place: str = "") -> dict[str, int]:
    fields = (f"{field}{place}", f"{field}_longest{place}", f"{field}_censored{place}")
    if name not in run.windows:
        return dict.fromkeys(fields, ABSENT)
    longest = max((window.length_us for window in run.windows[name]), default=0)
    return dict(zip(fields, (run.outage_us(name), longest, int(run.outage_is_censored(name))), strict=True))


def compiled(found: np.ndarray) -> list[dict[str, int]]:
    return [_row(row) for row in found]


def _row(row: np.void) -> dict[str, int]:
    plain = {}
    for field in OUTCOME.fields:
        if field.count:
            plain |= {f"{field.name}[{place}]": int(value) for place, value in enumerate(row[field.name])}
        else:
            plain[field.name] = int(row[field.name])
    back_us, demoted_us = plain.pop("back"), plain["demoted"]
    assert demoted_us < 0 or back_us >= 0  # the reference keeps it to itself
    return plain


def assert_same(scenario: Scenario, seed: int, runs: int) -> None:
    expected = reference(scenario, runs, seed)
    for run, plain in enumerate(compiled(outcomes(scenario, seed, 0, runs))):
        differing = {
            name: (value, expected[run][name]) for name, value in plain.items() if value != expected[run][name]
        }
        assert not differing, f"{scenario.name}, seed {seed}, run {run}: (compiled, reference) {differing}"
        assert plain.keys() == expected[run].keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outcomes_are_those_of_the_traces(path: Path) -> None:
    assert_same(load(path), SEED, RUNS)


@given(scenario=scenarios(), seed=st.integers(0, 2**62))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
def test_outcomes_of_any_scenario_are_those_of_its_traces(scenario: Scenario, seed: int) -> None:
    note(f"seed {seed}, scenario {json.dumps(scenario.canonical())}")
    assert_same(scenario, seed, 3)


# --- ended early -----------------------------------------------------------------------------------------------------


def known(until: Sequence[str]) -> set[str]:
    """What `sim.batch.outcomes` promises to know."""
    names = set(until)
    if "elected" in until:
        names.add("lost_election")
    if "demoted" in until:
        names |= {"back", "demotion"}
    if names & set(MILESTONES[3:]):
        names |= {"failover", "new_primary"}
    return names


def assert_early_is_same(scenario: Scenario, seed: int, runs: int, until: Sequence[str]) -> np.ndarray:
    whole = outcomes(scenario, seed, 0, runs)
    early = outcomes(scenario, seed, 0, runs, until)
    mask = sum(1 << MILESTONES.index(name) for name in until)
    assert (early["cut_off"] == whole["cut_off"] & mask).all()
    assert (early["run"] == whole["run"]).all()
    assert (early["ended"] <= whole["ended"]).all()
    for name in set(OUTCOME.dtype.names) - {"cut_off", "run", "ended"}:
        expected = whole[name] if name in known(until) else NOT_ASKED
        assert (early[name] == expected).all(), f"{scenario.name}, seed {seed}, until {until}: {name}"
    return early


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_run_that_ends_early_says_the_same(path: Path) -> None:
    scenario = load(path)
    for until in (
        MILESTONES,
        ["switch_last"],
        ["sdown_quorum", "odown_first"],
        ["elected", "first_write"],
        ["demoted"],
    ):
        assert_early_is_same(scenario, SEED, RUNS, until)


@given(scenario=scenarios(), seed=st.integers(0, 2**62), until=st.sets(st.sampled_from(MILESTONES), min_size=1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
def test_any_run_that_ends_early_says_the_same(scenario: Scenario, seed: int, until: set[str]) -> None:
    note(f"seed {seed}, until {until}, scenario {json.dumps(scenario.canonical())}")
    assert_early_is_same(scenario, seed, 3, sorted(until))


FAR = """
[[link]]
from = "*"
to = "host4"
delay_us = 300000

[[fault]]
kind = "crash"
host = "host4"
process = "sentinel"
after = "+switch-master"
at_ms = 0

[[fault]]
kind = "restart"
host = "host4"
process = "sentinel"
after = "+switch-master"
at_ms = 4000

[[host]]
name = "host4"
redis = false
registrar = false
"""


def test_a_sentinel_that_comes_back_may_be_the_last_to_switch() -> None:
    """It is not waited for when it dies before its switch, and counts when it switches later."""
    scenario = parse(Path("scenarios/host_loss/primary_host_vanishes.toml").read_text() + FAR)
    early = assert_early_is_same(scenario, SEED, 40, ["switch_last"])
    first = outcomes(scenario, SEED, 0, 40)["switch_first"]
    assert (early["switch_last"] > first + 4_000_000).any()


def test_a_return_is_not_known_before_all_faults_have_struck() -> None:
    """Demoted once, the first primary may be struck again: then only its last return counts."""
    again = ["vanish", "return"]
    scenario = parse(
        Path("scenarios/host_loss/primary_host_vanishes.toml").read_text()
        + "".join(
            f'[[fault]]\nkind = "{kind}"\nhost = "host1"\nat_ms = {54000 + 1000 * n}\n' for n, kind in enumerate(again)
        )
    )
    early = assert_early_is_same(scenario, SEED, 40, ["demoted"])
    assert (early["ended"] > 54_000_000).all()


def test_a_run_does_end_early() -> None:
    scenario = load("scenarios/host_loss/primary_host_vanishes.toml")
    early = assert_early_is_same(scenario, SEED, 100, ["switch_last"])
    assert (early["ended"] < 15_000_000).all()
    assert (early["ended"] >= early["switch_last"]).all()


# --- any reports at all ----------------------------------------------------------------------------------------------
# Reports that no run leaves: at one instant, in odd orders, past the horizon, of faults that contradict each other.

STEP_US = 500_000
ODD = parse(
    """
schema = 1
name = "odd"
question = "Do both readers agree on any reports?"
[run]
horizon_ms = 5000
[server]
primary = "host-z"
[sentinel]
quorum = 2
"""
    + "".join(f'[[host]]\nname = "{name}"\n' for name in ("host-z", "host-b", "host-a", "host-c"))
    + '[[client]]\nname = "phone"\nclass = "pjsua"\ntransport = "udp"\n'
    + '[[fault]]\nkind = "partition"\nhost = "host-z"\nside = 1\nat_ms = 0\n'
    + '[[fault]]\nkind = "partition"\nhost = "@leader"\nafter = "+elected-leader"\nside = 2\nat_ms = 100\n'
    + '[[fault]]\nkind = "partition"\nhost = "host-z"\nside = 2\nat_ms = 200\n'
)
NOTHING = st.just(0)
CLIENT = st.just(CLIENT_SIDE)
HOSTS = st.integers(0, 3)
ABOUT = st.integers(1, 4)
TIMES = st.sampled_from([-1, 0, 1, 2, 3, 9, 10, 11]).map(lambda step: step * STEP_US)  # the horizon is at 10


def row(program: int, *kinds: int, host=HOSTS, about=ABOUT, detail=NOTHING, code=NOTHING) -> st.SearchStrategy:
    return st.tuples(TIMES, host, st.just(program), st.sampled_from(kinds), about, detail, code)


AGE = st.integers(0, 4).map(lambda step: step * STEP_US)
SPLITS = row(INJECTOR, effects.PARTITION, about=NOTHING)
FAULTS = st.one_of(
    SPLITS,
    row(INJECTOR, effects.CRASH, effects.RESTART, effects.PAUSE, effects.RESUME, about=NOTHING, code=st.integers(0, 3)),
    row(INJECTOR, effects.VANISH, effects.RETURN, effects.PARTITION, effects.HEAL, effects.BUSY, about=NOTHING),
    row(INJECTOR, effects.DROP_PACKETS, about=st.integers(0, 4), code=st.sampled_from([50, 100])),
    row(INJECTOR, effects.DELIVER_PACKETS, about=st.integers(0, 4)),
)
WORDS = st.one_of(
    row(SENTINEL, effects.SDOWN, about=st.just(1), code=st.integers(0, 1)),
    row(SENTINEL, effects.ODOWN, effects.ODOWN_END, effects.TRY_FAILOVER, effects.ELECTED_LEADER, about=st.just(1)),
    row(SENTINEL, effects.PROMOTED_SLAVE, effects.SWITCH_MASTER, effects.CONVERT_TO_SLAVE, effects.ELECTED_LEADER),
    row(SENTINEL, effects.ABORT_NOT_ELECTED, effects.TILT),
    row(REDIS, effects.ROLE_PRIMARY, about=NOTHING),
)
ODOWNS = row(SENTINEL, effects.ODOWN, effects.ODOWN_END, about=st.just(1))
WRITES = row(PROBER, effects.WRITE_ACCEPTED, effects.WRITE_REFUSED, effects.WRITE_SILENT, host=CLIENT)
NODES = st.one_of(
    row(PROBE_CLIENT, effects.CONFIRMED, effects.REFUSED, effects.UNKNOWN, about=NOTHING, detail=AGE),
    row(PROBE_CLIENT, effects.COUNT_LOST, effects.COUNT_CONFIRMED, about=NOTHING, code=st.integers(0, 9)),
)
CALLS = st.one_of(
    row(CALLER, effects.CALL_ANSWERED, effects.CALL_REFUSED, effects.CALL_UNANSWERED, host=NOTHING, detail=AGE,
        about=st.integers(1, 2)),
    row(CALLER, effects.COUNT_CALLS, effects.COUNT_CALLS_FAILED, host=NOTHING, code=st.integers(0, 9)),
)  # fmt: skip


@cache
def work() -> Any:
    return WORK.new()


@pytest.mark.parametrize(
    "kinds",
    [WORDS, ODOWNS, WRITES, NODES, CALLS, WORDS | WRITES | NODES | CALLS],
    ids=["words", "odowns", "writes", "nodes", "calls", "all"],
)
@given(data=st.data(), faults=st.lists(FAULTS, max_size=8))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_reports_are_read_alike(kinds: st.SearchStrategy, data: st.DataObject, faults: list[tuple]) -> None:
    """Interpreted: the same source that is compiled elsewhere."""
    reports = data.draw(st.lists(kinds, max_size=40))
    rows = sorted(faults + reports, key=lambda each: each[0] // (4 * STEP_US))  # half in order
    names = [field.name for field in REPORT_ROW.fields]
    noted = [SimpleNamespace(**dict(zip(names, each, strict=True))) for each in rows]
    world = SimpleNamespace(report=noted, n_reports=len(noted), origin_us=0)
    outcome = OUTCOME.new()
    measure_outcomes(world, facts_of(ODD), work(), outcome)
    outcome.run, outcome.ended = 0, ODD.run.horizon_ms * 1000
    expected = _plain(ODD, measure(trace_of(ODD, 1, 0, rows), Facts.of(ODD)))
    found = {}
    for field in OUTCOME.fields:
        value = getattr(outcome, field.name)
        found |= {f"{field.name}[{n}]": each for n, each in enumerate(value)} if field.count else {field.name: value}
    del found["back"]
    assert {name: (value, expected[name]) for name, value in found.items() if value != expected[name]} == {}
