"""No run, simulated or real, is outside the closed-form bounds: random settings of all that they depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from model.bounds import KINDS, Range, bounds_of, cut_off, ranges_of, struck
from model.measures import WRITE_OUTAGE, Facts, measure
from model.scenario import Link, Scenario
from sim import batch
from sim.world import World
from study import catalog, matrix, stored

RUNS = 40

WAYS = st.sampled_from([None, None, (300, 500), (2_000, 0), (10_000, 5_000), (25_000, 0), (60_000, 20_000)])


@st.composite
def cases(draw, base: Scenario):
    """A cluster, its settings, a fault, and at times the return of the old primary."""
    count = draw(st.integers(1, 5))
    hosts = []
    for number in range(max(count, draw(st.integers(2, 4)))):
        changes = {"name": f"host{number + 1}", "registrar": False, "sentinel": number < count,
                   "redis": number < 2 or draw(st.booleans()),
                   "replica_priority": draw(st.sampled_from([100, 100, 100, 0]))}  # fmt: skip
        hosts.append(base.host[0].model_copy(update=changes))
    told = {
        "down_after_ms": round(10 ** draw(st.floats(2, 4.48))),
        "failover_timeout_ms": round(10 ** draw(st.floats(2, 4.6))),
        "quorum": draw(st.integers(1, count)),
        "flush_us": draw(st.sampled_from([0, 500, 500, 5_000, 20_000, 80_000])),
    }
    way = draw(WAYS)
    links = () if way is None else (_link("*", *way), _link(f"host{draw(st.integers(1, 2))}", way[0] // 3, way[1]))
    probe = base.probe.model_copy(update={"write_period_ms": draw(st.sampled_from([5, 20, 200]))})
    sentinel = base.sentinel.model_copy(update=told)
    case = base.model_copy(update={"host": tuple(hosts), "link": links, "sentinel": sentinel, "probe": probe})
    kind = draw(st.sampled_from(KINDS))
    return _with_horizon(struck(case, kind), kind, draw(st.booleans()))


def _link(source: str, delay_us: int, jitter_us: int) -> Link:
    return Link.model_validate({"from": source, "to": "*", "delay_us": delay_us, "jitter_us": jitter_us})


def _with_horizon(case: Scenario, kind, returns: bool):
    """The case, long enough for all that is bounded; with a return, if wanted, when the failover is over."""
    found = bounds_of(case, kind).ranges
    last_ms = max((each.high_ms for each in found.values()), default=case.sentinel.down_after_ms + 3_000)
    horizon_ms = last_ms + 1_500
    if returns and "switch_last" in found:
        back_ms = round(last_ms + case.sentinel.down_after_ms + 2_500)
        case, horizon_ms = struck(case, kind, back_ms), back_ms + 18_000
    run = case.run.model_copy(update={"horizon_ms": round(horizon_ms)})
    return case.model_copy(update={"run": run}), kind


def outside(times_ms: np.ndarray, limits: Range) -> np.ndarray:
    """Those that are."""
    return times_ms[(times_ms < limits.low_ms) | (times_ms > limits.high_ms)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_no_simulated_run_is_outside(scenario, data, seed):
    case, kind = data.draw(cases(scenario))
    found = batch.outcomes(case, seed, 0, RUNS)
    won = found[found["lost_election"] != 1]
    note(f"{kind}, seed {seed}, {len(won)} of {RUNS} won at once, {case.sentinel}, links {case.link}")
    for name, limits in bounds_of(case, kind).ranges.items():
        told = won[(won["redis_write_censored"] == 0) & (won["first_write"] >= 0)] if name == WRITE_OUTAGE else won
        times_ms = told[name][told[name] >= 0] / 1000
        assert not len(outside(times_ms, limits)), f"{name}: {outside(times_ms, limits)[:3]} outside {limits}"


def test_each_attempt_that_is_lost_adds_its_pause(scenario):
    """Long ways between two sentinels left: both stand for election at once, again and again."""
    hosts = tuple(host.model_copy(update={"registrar": False}) for host in scenario.host)
    told = scenario.sentinel.model_copy(update={"down_after_ms": 1_000, "failover_timeout_ms": 1_800})
    run = scenario.run.model_copy(update={"horizon_ms": 20_000})
    changes = {"host": hosts, "sentinel": told, "run": run, "link": (_link("*", 60_000, 0),)}
    case = struck(scenario.model_copy(update=changes), "host-killed")
    found = batch.outcomes(case, 1, 0, 200)
    lost = [int(each) for each in found["run"][found["lost_election"] == 1]]
    attempts = []
    for number in lost[:6]:
        trace = World(case, 1, number).trace()
        seen = measure(trace, Facts.of(case)).milestones
        starts = sorted(event.t_us for event in trace.events if event.event == "+try-failover")
        rounds = [t for n, t in enumerate(starts) if (n == 0 or t - starts[n - 1] > 1_800_000) and t < seen["elected"]]
        attempts.append(len(rounds) - 1)
        ranges = bounds_of(case, "host-killed", attempts[-1]).ranges
        for name in ("odown_first", "elected", "first_write", "promoted", "switch_first"):
            assert ranges[name].holds(seen[name] / 1000), f"run {number}, {attempts[-1]} lost, {name}: {seen[name]}"
    assert set(attempts) >= {1}, attempts


# --- real runs -------------------------------------------------------------------------------------------------------

CELLS = [cell for cell in matrix.load(catalog.folder()) if ranges_of(cell.scenario)]

PARTED = {("five_process_killed[quorum=5,6.2]", 0), ("five_process_killed[quorum=5,6.2]", 3)}
"""Runs in which the two resets of one sentinel came before and after its tick: it suspects a second later. Ways that
differ by some 10 µs are enough for that; simulated ways are even, unless they are said to jitter."""


def uneven(scenario: Scenario) -> Scenario:
    """The scenario with ways that differ by up to 0.1 ms."""
    plain = _link("*", scenario.network.delay_us, 100)
    links = [link.model_copy(update={"jitter_us": max(link.jitter_us, 100)}) for link in scenario.link]
    return scenario.model_copy(update={"link": (plain, *links)})


def test_no_stored_real_run_is_outside_but_for_known_ones():
    seen, found = 0, set()
    for cell in CELLS:
        even, wide, facts = ranges_of(cell.scenario), ranges_of(uneven(cell.scenario)), Facts.of(cell.scenario)
        for trace in stored.runs(cell.scenario):
            run = measure(trace, facts)
            if trace.stalled or run.branches["lost_election"]:
                continue
            times_ms = {name: t_us / 1000 for name, t_us in run.milestones.items()}
            if "first_write" in times_ms:
                times_ms[WRITE_OUTAGE] = run.outage_us(WRITE_OUTAGE) / 1000
            named = f"{cell.name}, run {trace.run}"
            assert all(wide[name].holds(t_ms) for name, t_ms in times_ms.items() if name in wide), named
            seen += len(times_ms.keys() & even.keys())
            if not all(even[name].holds(t_ms) for name, t_ms in times_ms.items() if name in even):
                found.add((cell.name, trace.run))
    assert found == PARTED
    assert seen > 6_000


def test_what_has_no_bound_says_why(scenario):
    short = scenario.sentinel.model_copy(update={"down_after_ms": 900})
    found = bounds_of(scenario.model_copy(update={"sentinel": short}), "host")
    assert "delay is so short" in found.missing["switch_last"]
    deaf = scenario.sentinel.model_copy(update={"quorum": 3})
    found = bounds_of(scenario.model_copy(update={"sentinel": deaf}), "host")
    assert found.missing["odown_first"].startswith("2 sentinels are left")
    assert not found.ranges.keys() & found.missing.keys()


@pytest.mark.parametrize(("kind", "undone"), [("partition", "heal"), ("vanish", "return")])
def test_a_time_line_is_told_by_its_fault(scenario, kind, undone):
    line = tuple(scenario.fault[0].model_copy(update={"kind": name, "at_ms": at_ms, "host": scenario.server.primary})
                 for name, at_ms in ((kind, 0), (undone, 60_000)))  # fmt: skip
    assert "demoted" in ranges_of(scenario.model_copy(update={"fault": line}))
    early = (line[0], line[1].model_copy(update={"at_ms": 11_000}))
    assert ranges_of(scenario.model_copy(update={"fault": early})) == {}
    more = (*line, line[0].model_copy(update={"at_ms": 70_000}))
    assert ranges_of(scenario.model_copy(update={"fault": more})) == {}


@pytest.mark.parametrize(("delay_ms", "replicas", "lag_s"), [(3_000, 0, 10), (3_000, 1, 10), (3_000, 1, 1)])
def test_cut_off_with_its_clients_there_are_two_primaries_for_no_longer_than_said(scenario, delay_ms, replicas, lag_s):
    heal_ms = 30_000
    line = tuple(scenario.fault[0].model_copy(update={"kind": kind, "at_ms": at_ms, "host": scenario.server.primary})
                 for kind, at_ms in (("partition", 0), ("heal", heal_ms)))  # fmt: skip
    hosts = tuple(host.model_copy(update={"registrar": False}) for host in scenario.host)
    server = {"min_replicas_to_write": replicas, "min_replicas_max_lag_s": lag_s}
    case = scenario.model_copy(update={
        "host": hosts, "fault": line, "claim": (), "run": scenario.run.model_copy(update={"horizon_ms": 50_000}),
        "sentinel": scenario.sentinel.model_copy(update={"down_after_ms": delay_ms}),
        "server": scenario.server.model_copy(update=server)})  # fmt: skip
    found = batch.outcomes(case, 1, 0, RUNS)
    longest_ms = found["two_writable"][found["lost_election"] == 0].max() / 1000
    while_cut_ms, after_ms = cut_off(case)
    limit_ms = min(while_cut_ms, heal_ms - delay_ms) + after_ms + scenario.probe.write_period_ms
    assert longest_ms <= limit_ms
    assert (longest_ms > 0) == (lag_s == 10)
