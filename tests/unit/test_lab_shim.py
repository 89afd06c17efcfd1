"""The law of a wrong clock, which programs need one, and lines that get their true time back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.scenario import parse
from reference_node.lab import shim
from reference_node.lab.recorder import Recorder
from reference_node.lab.shim import Law

HOSTS = "".join(f'[[host]]\nname = "host{number}"\n' for number in (1, 2, 3))
HEAD = f'schema = 1\nname = "try"\nquestion = "?"\n{HOSTS}'
NOON_US = 1_772_366_400_000_000  # 2026-03-01 12:00:00 UTC

instants = st.integers(0, 10**16)
laws = st.builds(Law, instants, st.integers(-(10**12), 10**12), st.integers(-100_000, 100_000))


def needing(fault: str) -> set[tuple[str, str]]:
    return shim.programs(parse(f"{HEAD}[[fault]]\nat_ms = 0\n{fault}"))


@given(laws, instants)
def test_a_law_and_its_inverse_agree_within_a_microsecond(law, true_us):
    assert abs(law.true_us(law.shown_us(true_us)) - true_us) <= 1


@given(laws, instants, st.integers(-(10**9), 10**9), st.integers(-100_000, 100_000))
def test_a_change_moves_the_clock_by_the_step_and_by_nothing_else(law, at_us, step_us, ppm):
    changed = law.changed(at_us, step_us, ppm)
    assert changed.shown_us(at_us) == law.shown_us(at_us) + step_us
    assert changed.ppm == ppm
    assert law.changed(at_us, step_us).ppm == law.ppm


def test_a_fast_clock_gains_its_rate():
    law = Law(1_000, 0, 50_000)
    assert law.shown_us(1_001_000) - 1_001_000 == 50_000


def test_only_programs_that_a_fault_concerns_get_the_library():
    assert needing('kind = "slow-disk"\nhost = "host2"\nflush_ms = 5') == {("host2", "sentinel")}
    assert needing('kind = "fail-saves"\nhost = "host2"') == {("host2", "redis")}
    assert needing('kind = "crash"\nhost = "host2"') == set()
    all_three = {("host1", "redis"), ("host1", "sentinel"), ("host1", "registrar")}
    assert needing('kind = "step"\nhost = "host1"\nstep_ms = 5') == all_three


def test_a_host_that_only_the_run_will_name_may_be_any():
    fault = '[[fault]]\nkind = "slow-disk"\nhost = "@leader"\nafter = "+elected-leader"\nat_ms = 0\nflush_ms = 9'
    scenario = parse(f'{HEAD}[[fault]]\nkind = "crash"\nhost = "host1"\nat_ms = 0\n{fault}')
    assert shim.programs(scenario) == {(host, "sentinel") for host in ("host1", "host2", "host3")}


def test_a_clock_that_is_wrong_from_the_start_needs_it_too():
    scenario = parse(HEAD.replace('"host3"\n', '"host3"\nclock_drift_ppm = 7\nclock_offset_ms = -2\n'))
    assert shim.programs(scenario) == {("host3", kind) for kind in ("redis", "sentinel", "registrar")}
    assert shim.first_law(scenario, "host3", 5) == Law(5, -2_000, 7)


def test_each_line_is_read_by_the_law_of_its_time():
    lines = [f"7:X 01 Mar 2026 12:00:{second:02}.000 # +tilt #tilt mode entered\n" for second in (0, 1, 8)]
    log = "".join(lines).encode()
    right, ahead = Law(NOON_US, 0, 0), Law(NOON_US, 5_000_000, 0)
    recorder = Recorder({})
    recorder.read_log("host1", "sentinel", log, {}, [(0, right), (len(lines[0]) * 2, ahead)])
    assert [event.t_us - NOON_US - 500 for event in recorder.events] == [0, 1_000_000, 3_000_000]


def test_a_node_stamps_by_its_own_clock_too():
    recorder = Recorder({})
    line = b'{"t_us": 7000000, "event": "writable", "about": "host1"}\n'
    recorder.read_log("host1", "registrar", line, {}, [(0, Law(0, 2_000_000, 0))])
    assert [event.t_us for event in recorder.events] == [5_000_000]
