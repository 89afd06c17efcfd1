"""Logs become events: names, hosts, codes and instants, from short logs of the two programs' forms."""

from __future__ import annotations

from datetime import UTC, datetime

from reference_node.lab.recorder import (
    Recorder,
    redis_events,
    registrar_events,
    sentinel_events,
    stall_reasons,
)

HOSTS = {"10.77.1.1": "host1", "10.77.1.2": "host2", "10.77.1.3": "host3"}
IDS = {"a" * 40: "host1", "b" * 40: "host2"}
NOON_US = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1e6)


def sentinel_log(*texts: str) -> list[str]:
    """One line for each text, a millisecond apart from noon on."""
    return [f"7:X 01 Mar 2026 12:00:00.{number:03} # {text}" for number, text in enumerate(texts)]


def redis_log(*texts: str) -> list[str]:
    return [f"9:S 01 Mar 2026 12:00:00.{number:03} * {text}" for number, text in enumerate(texts)]


def brief(events) -> list[tuple]:
    return [(event.event, event.about, event.code) for event in events]


def test_sentinel_lines_name_the_host_of_the_instance():
    lines = sentinel_log(
        "+sdown master hastudy 10.77.1.1 6379",
        "+odown master hastudy 10.77.1.1 6379 #quorum 2/2",
        "+new-epoch 3",
        f"+vote-for-leader {'b' * 40} 3",
        "+selected-slave slave 10.77.1.3:6379 10.77.1.3 6379 @ hastudy 10.77.1.1 6379",
        f"+config-update-from sentinel {'b' * 40} 10.77.1.2 26379 @ hastudy 10.77.1.1 6379",
        "+switch-master hastudy 10.77.1.1 6379 10.77.1.3 6379",
        "+tilt #tilt mode entered",
    )
    assert brief(sentinel_events("host2", lines, HOSTS, IDS)) == [
        ("+sdown", "host1", 0),
        ("+odown", "host1", 0),
        ("+new-epoch", "", 3),
        ("+vote-for-leader", "host2", 3),
        ("+selected-slave", "host3", 0),
        ("+config-update-from", "host2", 0),
        ("+switch-master", "host3", 0),
        ("+tilt", "", 0),
    ]


def test_a_sentinel_that_is_down_is_told_from_the_server_on_its_host():
    lines = sentinel_log(f"+sdown sentinel {'a' * 40} 10.77.1.1 26379 @ hastudy 10.77.1.1 6379")
    assert brief(sentinel_events("host2", lines, HOSTS, IDS)) == [("+sdown", "host1", 1)]


def test_other_masters_are_left_out():
    lines = sentinel_log(
        "+sdown master other 10.99.0.1 6379",
        "+sdown slave 10.99.0.2:6379 10.99.0.2 6379 @ other 10.99.0.1 6379",
        "+switch-master other 10.99.0.1 6379 10.99.0.2 6379",
        "+slave slave 10.77.1.2:6379 10.77.1.2 6379 @ hastudy 10.77.1.1 6379",
        "Sentinel ID is " + "a" * 40,
    )
    assert brief(sentinel_events("host2", lines, HOSTS, IDS)) == []


def test_stamps_get_the_half_millisecond_that_truncation_took():
    (event,) = sentinel_events("host2", sentinel_log("+tilt #tilt mode entered"), HOSTS, IDS)
    assert event.t_us == NOON_US + 500


def test_banner_and_torn_lines_are_skipped():
    assert list(redis_events("host1", ["   _._    ", "9:S 01 Mar 2026", ""], HOSTS)) == []


def test_redis_lines_of_old_and_new_wording():
    lines = redis_log(
        "Connecting to MASTER 10.77.1.1:6379",
        "MASTER <-> REPLICA sync: Finished with success",
        "Connection with master lost.",
        "REPLICAOF 10.77.1.3:6379 enabled (user request from 'id=7 addr=10.77.1.2:40000')",
        "Connecting to PRIMARY 10.77.1.3:6379",
        "PRIMARY <-> REPLICA sync: Primary accepted a Partial Resynchronization.",
        "MASTER MODE enabled (user request from 'id=9 addr=10.77.1.1:40000')",
    )
    assert brief(redis_events("host2", lines, HOSTS)) == [
        ("link-up", "host1", 1),
        ("link-down", "host1", 0),
        ("role-replica", "host3", 0),
        ("link-up", "host3", 0),
        ("role-primary", "", 0),
    ]


def test_registrar_log_cut_off_by_a_kill():
    lines = ['{"t_us": 5, "event": "writable", "about": "host1"}', '{"t_us": 9, "ev']
    assert brief(registrar_events("host1", lines)) == [("writable", "host1", 0)]


def test_trace_is_sorted_counts_from_the_fault_and_ends_at_the_horizon():
    recorder = Recorder(HOSTS)
    recorder.read_log("host2", "sentinel", "\n".join(sentinel_log("+tilt #", "-tilt #", "+tilt #")).encode(), IDS)
    recorder.add(NOON_US + 1_000, "host1", "fault", "crash")
    events = recorder.trace_events(NOON_US + 1_000, 500)
    assert [(event.t_us, event.event) for event in events] == [(-500, "+tilt"), (0, "crash"), (500, "-tilt")]


def test_a_run_is_stalled_by_lateness_by_tilt_of_an_undisturbed_sentinel_and_by_a_set_clock():
    (tilt,) = sentinel_events("host2", sentinel_log("+tilt #"), HOSTS, IDS)
    assert stall_reasons({"a fault": 250_000}, 250_000, [tilt], {"host2"}, 0) == []
    assert stall_reasons({"a fault": 250_001}, 250_000, [], set(), 0) == ["a fault was late by 250 ms"]
    assert stall_reasons({}, 250_000, [tilt], {"host1"}, 0) == ["sentinel of host2 said +tilt"]
    assert stall_reasons({}, 250_000, [], set(), -3_000_000) == ["the wall clock was set by -3000 ms"]
