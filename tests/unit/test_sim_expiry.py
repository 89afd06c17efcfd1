"""What a version, a clock, a restart and a promotion do to one binding in the simulated world."""

from __future__ import annotations

import pytest

from model.measures import Facts, RunMeasures, measure
from model.scenario import ProbeSection, Scenario, load, parse
from sim.world import World

HEAD = """
schema = 1
name = "expiry"
question = "who finds it?"
server = {{ primary = "host1", version = "{version}", diskless_sync_delay_ms = 0 }}
sentinel.down_after_ms = 1000
sentinel.failover_timeout_ms = 4000
probe = {{ expiry_s = 10, expiry_refresh_s = 8, expiry_form = "{form}" }}
run.horizon_ms = 9000
host = [{{ name = "host1", registrar = false, clock_offset_ms = {first_ms} }},
        {{ name = "host2", registrar = false, replica_priority = 50, clock_offset_ms = {second_ms} }},
        {{ name = "host3", registrar = false }}]
fault = [{fault}]
"""
NOTHING = '{ kind = "crash", host = "host3", process = "sentinel", at_ms = 0 }'
CRASH = '{ kind = "crash", host = "host1", process = "redis", at_ms = 0 }'
SEED = 5


def scenario(form: str, version: str, first_s: int, second_s: int, fault: str) -> Scenario:
    text = HEAD.format(form=form, version=version, first_ms=first_s * 1000, second_ms=second_s * 1000, fault=fault)
    return parse(text)


def blind_s(
    form: str = "expireat", version: str = "7.0", first_s: int = 0, second_s: int = 0, fault: str = NOTHING
) -> dict[str, float]:
    """Blind time of each server in 9 s; the binding is written at -2.5 s and at 5.5 s."""
    run = measured(scenario(form, version, first_s, second_s, fault))
    return {host: time_us / 1e6 for host, time_us in run.blind.items()}


def measured(wanted: Scenario) -> RunMeasures:
    return measure(World(wanted, SEED).trace(), Facts.of(wanted))


def test_good_clocks_find_it_always() -> None:
    assert blind_s() == blind_s(form="expire") == {"host1": 0, "host2": 0, "host3": 0}


def test_a_replica_that_is_ahead_hides_it_from_itself_alone() -> None:
    found = blind_s(form="expire", second_s=5)
    # Hidden when 5 s old, at 2.5 s, until it is written again; then at 10.5 s, which is after the end.
    assert found == {"host1": 0, "host2": pytest.approx(3.0, abs=0.1), "host3": 0}


def test_a_primary_that_is_ahead_deletes_an_instant_everywhere() -> None:
    found = blind_s(first_s=5)
    # The life is written in whole seconds: 9 to 10 s.
    assert set(found) == {"host1", "host2", "host3"}
    assert all(2.9 <= each <= 4.1 for each in found.values())
    assert max(found.values()) - min(found.values()) < 0.2


def test_an_instant_in_the_past_is_deleted_at_once() -> None:
    assert blind_s(first_s=11) == {"host1": 9.0, "host2": 9.0, "host3": 9.0}


@pytest.mark.parametrize("first_s", [5, 11, -5])
def test_a_time_to_live_does_not_depend_on_the_clock_of_the_primary_alone(first_s) -> None:
    assert blind_s(form="expire", version="6.2", first_s=first_s) == {"host1": 0, "host2": 0, "host3": 0}


def test_a_primary_that_is_behind_gives_replicas_an_instant_too_early_from_7_0_on() -> None:
    assert blind_s(form="expire", version="7.0", first_s=-11) == {"host1": 0, "host2": 9.0, "host3": 9.0}
    assert blind_s(form="expire", version="6.2", first_s=-11) == {"host1": 0, "host2": 0, "host3": 0}


def test_a_promoted_server_that_is_ahead_deletes_what_it_hid() -> None:
    found = blind_s(form="expire", second_s=5, fault=CRASH)
    assert found == {"host1": 0, "host2": pytest.approx(3.0, abs=0.1), "host3": pytest.approx(3.0, abs=0.1)}


def test_a_time_to_live_that_came_by_a_full_resync_is_an_instant_even_in_6_2() -> None:
    restart = '{ kind = "crash", host = "host2", process = "redis", at_ms = 0 }, ' \
              '{ kind = "restart", host = "host2", process = "redis", at_ms = 100 }'  # fmt: skip
    stream = blind_s(form="expire", version="6.2", second_s=11, fault=NOTHING)
    resync = blind_s(form="expire", version="6.2", second_s=11, fault=restart)
    assert stream["host2"] == 0
    assert 5.0 < resync["host2"] < 5.6  # from its return, empty and then hidden, until it is written again at 5.5 s


def test_a_full_resync_makes_an_instant_of_what_was_held_as_a_time_to_live() -> None:
    """The primary of 6.2 comes back from its snapshot, and its replicas need a full resync."""
    restart = CRASH + ', { kind = "restart", host = "host1", process = "redis", data = "old", at_ms = 200 }'
    found = blind_s(form="expire", version="6.2", second_s=11, fault=restart)
    assert found["host1"] == found["host3"] == 0
    assert 3.0 < found["host2"] < 5.3  # from the resync until it is written again at 5.5 s


def test_a_dead_server_is_not_blind_and_an_empty_one_is() -> None:
    gone = '{ kind = "crash", host = "host2", process = "redis", at_ms = 0 }'
    back = gone + ', { kind = "restart", host = "host2", process = "redis", at_ms = 1000 }'
    assert blind_s(fault=gone)["host2"] == 0
    assert 0 < blind_s(fault=back)["host2"] < 1.5  # until its full resync


def test_off_it_changes_nothing() -> None:
    """Neither the digest, nor a single event of a run."""
    plain = load("scenarios/host_loss/primary_process_crashes.toml", ["run.horizon_ms=14000", "fault.1.at_ms=13000"])
    defaults = plain.model_copy(update={"probe": ProbeSection(expiry_s=0, expiry_refresh_s=30)})
    assert plain.digest == defaults.digest
    assert not [event for event in World(plain, SEED).trace().events if event.event.startswith("binding")]
