"""What faults say in a trace, which strike together, and which hosts keep a snapshot or may tilt."""

from __future__ import annotations

import pytest

from model.scenario import Fault, parse
from model.trace import Event
from reference_node.lab import snapshots
from reference_node.lab.faults import hosts_with_old_data, in_words_of_the_trace, moments
from reference_node.lab.recorder import disturbed_hosts

HEAD = 'schema = 1\nname = "try"\nquestion = "?"\n' + "".join(
    f'[[host]]\nname = "host{number}"\nredis = {str(number < 3).lower()}\n' for number in (1, 2, 3)
)
CRASH = '[[fault]]\nkind = "crash"\nhost = "host1"\nat_ms = 0\n'


def fault(kind: str, **keys) -> Fault:
    return Fault(kind=kind, host="host1", at_ms=keys.pop("at_ms", 0), **keys)


@pytest.mark.parametrize(
    ("struck", "about", "detail_us", "code"),
    [
        (fault("crash"), "", 0, 0),
        (fault("restart", process="redis"), "", 0, 1),
        (fault("pause", process="sentinel"), "", 0, 2),
        (fault("resume", process="registrar"), "", 0, 3),
        (fault("vanish"), "", 0, 0),
        (fault("drop", to="host2", percent=30), "host2", 0, 30),
        (fault("drop"), "", 0, 100),
        (fault("deliver", to="host2"), "host2", 0, 0),
        (fault("delay", to="host2", delay_us=70, jitter_us=5), "host2", 70, 0),
        (fault("step", step_ms=60_000), "", 60_000_000, 0),
        (fault("step", step_ms=-5_000), "", 5_000_000, 1),
        (fault("drift", drift_ppm=40), "", 0, 40),
        (fault("drift", drift_ppm=-40), "", 1, 40),
        (fault("slow-disk", flush_ms=2_500), "", 2_500_000, 0),
        (fault("busy", busy_ms=20_000), "", 20_000_000, 0),
        (fault("fail-saves"), "", 0, 0),
    ],
)
def test_an_event_says_what_the_schema_wants(struck, about, detail_us, code):
    assert in_words_of_the_trace(struck) == (about, detail_us, code)


def test_faults_of_one_moment_keep_the_order_of_the_file():
    later = fault("restart", at_ms=5)
    both = [fault("crash", at_ms=5), fault("pause", at_ms=5)]
    follows = fault("crash", at_ms=0, after="+odown")
    assert moments([later, follows, fault("vanish"), *both]) == [
        ("", 0, [fault("vanish")]),
        ("", 5, [later, *both]),
        ("+odown", 0, [follows]),
    ]


@pytest.mark.parametrize(
    ("restart", "hosts"),
    [
        ('host = "host1"\nat_ms = 5\ndata = "old"', {"host1"}),
        ('host = "host1"\nat_ms = 5', set()),
        ('host = "@leader"\nat_ms = 5\nafter = "+odown"\ndata = "old"', {"host1", "host2"}),
    ],
)
def test_servers_that_may_be_asked_for_old_data_keep_a_snapshot(restart, hosts):
    first = CRASH.replace("host1", "@leader").replace("at_ms = 0", 'at_ms = 0\nafter = "+odown"')
    text = f'{HEAD}{CRASH}{first}[[fault]]\nkind = "restart"\n{restart}\n'
    assert hosts_with_old_data(parse(text)) == hosts


def test_a_sentinel_may_tilt_only_after_what_struck_it_itself():
    events = [
        Event(0, "host1", "fault", "pause", code=2),
        Event(0, "host2", "fault", "pause", code=1),
        Event(0, "host3", "fault", "slow-disk"),
        Event(0, "host4", "fault", "vanish"),
        Event(0, "host5", "fault", "crash"),
        Event(0, "host6", "sentinel", "+tilt"),
    ]
    assert disturbed_hosts(events) == {"host1", "host3", "host5"}


def test_an_empty_restart_leaves_nothing_to_load(tmp_path):
    (tmp_path / snapshots.SNAPSHOT).write_bytes(b"something")
    assert snapshots.prepare(tmp_path, "empty", 0) == []
    assert list(tmp_path.iterdir()) == []


def test_old_data_is_what_was_kept_however_often_it_is_used(tmp_path):
    (tmp_path / snapshots.KEPT).write_bytes(b"kept")
    for _ in range(2):
        (tmp_path / snapshots.SNAPSHOT).unlink(missing_ok=True)
        (tmp_path / snapshots.SNAPSHOT).write_bytes(b"of a later resync")
        assert snapshots.prepare(tmp_path, "old", 0) == []
        assert (tmp_path / snapshots.SNAPSHOT).read_bytes() == b"kept"


@pytest.mark.parametrize(("load_ms", "pause_us"), [(2_000, 44_000), (30, 24_000), (600_000, 1_494_000)])
def test_pauses_and_work_add_up_to_the_load_time(tmp_path, load_ms, pause_us):
    assert snapshots.prepare(tmp_path, "empty", load_ms) == ["--key-load-delay", str(pause_us)]
    steps = load_ms * 1_000 // (pause_us + snapshots.STEP_WORK_US)
    size = (tmp_path / snapshots.SNAPSHOT).stat().st_size
    assert steps * snapshots.EVENTS_INTERVAL < size < steps * (snapshots.EVENTS_INTERVAL + 100) + 100
