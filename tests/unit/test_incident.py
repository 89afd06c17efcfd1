"""Incidents from real logs: clocks, settings, faults, and what was likely."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model.conform import configuration
from model.errors import UsageError
from model.measures import Facts, measure
from study.incident import clocks, faults, hosts, likely, logs, options, score, settings, text, timeline
from study.incident.clocks import Offset

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests/data/incidents/cut_off").rglob("*.log"))
AHEAD_MS = {"host1": -1_234_567, "host2": 2_500, "host3": 0}
"""By how much the clocks in these files are ahead."""


@pytest.fixture
def texts() -> dict[str, list[str]]:
    return {f"{path.parent.name}/{path.name}": path.read_text().splitlines() for path in FILES}


def stamped(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d %b %Y %H:%M:%S.") + f"{at_ms % 1000:03}"


def scene_of(texts: dict[str, list[str]], reference: str = "") -> faults.Scene:
    return options.scene(logs.evidence(texts), reference)


# Who is who


def test_hosts_are_told_by_what_others_call_them(texts):
    cluster = hosts.identify(logs.evidence(texts))
    assert cluster.host_of_file == {name: name.partition("/")[0] for name in texts}
    assert (cluster.group, cluster.primary, cluster.unknown) == ("hastudy", "host1", [])


def test_hosts_are_told_without_folders_too(texts):
    flat = {name.replace("/", "-"): lines for name, lines in texts.items()}
    cluster = hosts.identify(logs.evidence(flat))
    assert cluster.host_of_file == {name: name.partition("-")[0] for name in flat}


# Clocks


def test_offsets_contain_the_truth_within_milliseconds(texts):
    scene = scene_of(texts, "host3")
    assert not scene.clocks.contradictions
    for host, ahead_ms in AHEAD_MS.items():
        offset = scene.clocks.offsets[host, 0]
        assert offset.low_ms <= ahead_ms <= offset.high_ms
        assert offset.high_ms - offset.low_ms <= 10


def test_a_moved_stamp_moves_no_offset_out_of_its_bounds_without_being_named(texts):
    """A vote 60 s early: no offset explains it and the lines around it, and each contradiction names it."""
    lines = texts["host2/sentinel.log"]
    number = next(n for n, line in enumerate(lines) if "+vote-for-leader" in line)
    stamp = score.STAMP.match(lines[number])[2]
    lines[number] = lines[number].replace(stamp, stamped(score.stamp_ms(lines[number]) - 60_000))
    cycles = scene_of(texts, "host3").clocks.contradictions
    assert cycles
    for cycle in cycles:
        named = {each.place for pair in cycle for each in (pair.cause, pair.effect)}
        assert f"host2/sentinel.log:{number + 1}" in named


def test_a_clock_that_nothing_bounds_from_above_says_so(texts):
    at_us = 1_795_427_031_500_000
    node = [json.dumps({"t_us": at_us, "host": "sip", "event": "writable", "about": "host3"})]
    scene = scene_of({**texts, "node/registrar.log": node}, "host3")
    offset = scene.clocks.offsets["node", 0]
    assert offset.high_ms is None and offset.low_ms is None or offset.half_ms is None
    promoted = next(e for log in scene.logs("redis", "host3") for e in log.entries if e.event == "role-primary")
    assert offset.high_ms == at_us // 1000 - promoted.at_ms + clocks.TRUNCATION_MS
    assert offset.best_ms == min(offset.high_ms, 0)


def test_the_best_of_an_interval():
    assert Offset(-3, 5).best_ms == 1 and Offset(-3, 5).half_ms == 4
    assert [Offset(None, None).best_ms, Offset(7, None).best_ms, Offset(-7, None).best_ms] == [0, 7, 0]
    assert [Offset(None, 7).best_ms, Offset(None, -7).best_ms, Offset(None, 7).half_ms] == [0, -7, None]


def test_a_clock_that_was_set_has_two_offsets():
    [path] = (ROOT / "reports").rglob("one_sentinel_steps_forward_60s-*.logs.xz")
    _, texts = next(score.runs_of(path, 1))
    scene = scene_of(texts)
    before, after = scene.clocks.offsets["host2", 0], scene.clocks.offsets["host2", 1]
    assert before.low_ms <= 0 <= before.high_ms
    assert after.low_ms <= 60_000 <= after.high_ms
    [step] = [each for each in faults.infer(scene) if each.kind == "step"]
    assert step.host == "host2" and abs(step.step_ms - 60_000) <= before.half_ms + after.half_ms


# Settings


@pytest.mark.parametrize(
    ("low", "high", "value"),
    [
        (1770, 2046, 2000),
        (5040, 6040, 6000),
        (4832, 5052, 5000),
        (29_770, 30_100, 30_000),
        (1400, 1630, 1500),
        (7, 7, 7),
    ],
)
def test_the_roundest_number(low, high, value):
    assert settings.roundest(low, high) == value


def test_settings_are_estimated_from_lines_and_taken_from_a_file(texts):
    scene = scene_of(texts)
    known = settings.settings(scene.evidence, scene.cluster)
    assert {name: each.value for name, each in known.items()} == {
        "quorum": 2, "down_after_ms": 2000, "failover_timeout_ms": 6000,
    }  # fmt: skip
    assert known["down_after_ms"].high - known["down_after_ms"].low == settings.TICKS_MS
    scene.evidence.configurations.append(
        configuration(["sentinel monitor hastudy 10.77.1.1 6379 3", "sentinel down-after-milliseconds hastudy 1234"])
    )
    given = settings.settings(scene.evidence, scene.cluster)
    assert (given["quorum"].value, given["down_after_ms"].value) == (3, 1234)
    assert given["failover_timeout_ms"].value == 180_000, "the file's default"


def test_a_switch_is_what_the_delay_is_read_from(texts):
    """Without the old primary's second +sdown only an upper limit is known."""
    short = {name: [line for line in lines if "+sdown slave" not in line] for name, lines in texts.items()}
    scene = scene_of(short)
    known = settings.settings(scene.evidence, scene.cluster)["down_after_ms"]
    assert known.low == settings.LEAST_MS and known.high > 20_000 and known.source != settings.ESTIMATED


# Faults


def test_stored_runs_are_understood():
    """One run of every archive, clocks moved; see docs/incident.md for all runs."""
    total = score.score(ROOT / "reports", 1, seed=5)
    assert total.misses == []
    assert total.wrong == 0 and total.contained > 200
    assert len(total.classes) >= 10
    for name in ("down_after_ms", "failover_timeout_ms"):
        assert total.settings[name, "told"] == total.settings[name, "within"] > 50


def test_a_cut_off_host_is_found_with_its_return(texts):
    first, second = faults.infer(scene_of(texts, "host3"))
    assert (first.kind, first.host, second.kind, second.host) == ("vanish", "host1", "return", "host1")
    assert first.high_ms - first.low_ms < 1000
    assert 8000 in range(second.low_ms - first.high_ms, second.high_ms - first.low_ms + 1), "8 s, as it was made"
    assert first.lines and all(line.rpartition(":")[0] in texts for line in first.lines)
    assert "packets lost in one direction only" in first.otherwise


def test_of_two_hosts_that_do_not_hear_each_other_either_may_be_cut_off():
    [path] = (ROOT / "reports").rglob("two_host_vanishes-*.logs.xz")
    _, texts = next(score.runs_of(path, 1))
    [first] = faults.infer(scene_of(texts))
    assert first.kind == "vanish"
    assert first.otherwise[0] == "the other side, just as large, was the one cut off"


def test_without_logs_of_servers_a_dead_process_may_be_a_hanging_one():
    [path] = (ROOT / "reports").rglob("process_killed-b0f66641*.logs.xz")
    _, texts = next(score.runs_of(path, 1))
    [first, *_] = faults.infer(scene_of({name: lines for name, lines in texts.items() if "sentinel" in name}))
    assert (first.kind, first.process) == ("pause", "redis")
    assert first.otherwise[0] == "its process died (logs of servers would tell)"


def test_every_fault_has_words():
    pairs = set(score.CLASSES) | {("restart", "all"), ("return", "all"), ("resume", "redis"), ("heal", "all")}
    assert pairs <= text.FAULT_WORDS.keys()


# Timeline


def test_the_timeline_is_on_one_clock(texts):
    scene = scene_of(texts, "host3")
    found = timeline.timeline(scene.evidence, scene.cluster, scene.clocks)
    assert [each.at_ms for each in found] == sorted(each.at_ms for each in found)
    order = [each.text for each in found]
    asked, voted = order.index("starts a failover of host1"), order.index("is told that host2 voted for host3")
    votes = [n for n, each in enumerate(found) if each.text == "votes for host3 in epoch 1" and each.host == "host2"]
    assert asked < votes[0] <= voted
    assert found[asked].half_ms == 0 and found[votes[0]].half_ms <= 5


def test_a_line_that_repeats_is_shown_once(texts):
    scene = scene_of(texts)
    shown = [each for each in timeline.timeline(scene.evidence, scene.cluster, scene.clocks) if each.event == "refused"]
    assert len(shown) == len({(each.host, each.actor) for each in shown})


# Flexisip


FLEXISIP = """\
2026-11-23 09:43:40:100 flexisip-message-RedisClient - Connecting to Redis server tcp://10.77.1.1:6379 ...
2026-11-23 09:43:40:105 flexisip-debug-RedisClient - Redis server is a master
2026-11-23 09:43:51:200 flexisip-message-RedisClient - Disconnected, was in state: Ready()
2026-11-23 09:43:51:201 flexisip-warning-RedisClient - Connection failed or lost to 10.77.1.1:6379, trying a known slave
2026-11-23 09:43:51:202 flexisip-message-RedisClient - Connecting to Redis server tcp://10.77.1.3:6379 ...
2026-11-23 09:43:51:300 flexisip-message-RedisClient - Our redis instance is a slave of 10.77.1.1:6379
2026-11-23 09:44:01:300 flexisip-debug-RedisClient - Redis server is a master
"""


def test_lines_of_flexisip_tell_of_its_redis(texts):
    given = logs.evidence({**texts, "host2/flexisip.log": FLEXISIP.splitlines()})
    cluster = hosts.identify(given)
    [log] = [log for log in given.logs if log.name.endswith("flexisip.log")]
    told = [(entry.event, cluster.about(entry)) for entry in log.entries]
    assert told == [
        ("redis-connected", "host1"), ("writable", "host1"), ("redis-lost", "host1"), ("redis-lost", "host1"),
        ("redis-connected", "host3"), ("waiting", "host1"), ("writable", "host3"),
    ]  # fmt: skip
    assert cluster.host_of_file["host2/flexisip.log"] == "host2"


# Likely


def test_the_scenario_is_that_of_the_run(texts):
    scene = scene_of(texts)
    known = settings.settings(scene.evidence, scene.cluster)
    built, why = likely.scenario(scene, known, faults.infer(scene))
    assert why == ""
    assert (built.server.version, built.server.primary, built.host_names) == (
        "6.2",
        "host1",
        ("host1", "host2", "host3"),
    )
    assert (built.sentinel.quorum, built.sentinel.down_after_ms) == (2, 2000)
    assert [(fault.kind, fault.host) for fault in built.fault] == [("vanish", "host1"), ("return", "host1")]


def test_the_incident_is_measured_as_the_run_was(texts):
    """The stored trace of the same run, whose fault is known to the microsecond, has the same milestones."""
    from model.trace import read_traces

    scene = scene_of(texts)
    inferred = faults.infer(scene)
    built, _ = likely.scenario(scene, settings.settings(scene.evidence, scene.cluster), inferred)
    mine = measure(likely.trace(scene, built, inferred), Facts.of(built))
    [path] = (ROOT / "reports").rglob("host_vanishes_and_back-*.ndjson.xz")
    trace = next(trace for trace in read_traces(path) if trace.run == 3)
    true = measure(trace, Facts.of(built))
    room_us = 500 * (inferred[0].high_ms - inferred[0].low_ms) + 2000
    for name in ("sdown_first", "odown_first", "elected", "promoted", "switch_first", "switch_last"):
        assert abs(mine.milestones[name] - true.milestones[name]) <= room_us
    assert abs((mine.milestones["switch_last"] - mine.milestones["sdown_first"])
               - (true.milestones["switch_last"] - true.milestones["sdown_first"])) <= 10_000  # fmt: skip
    assert mine.promoted == true.promoted


def test_an_ordinary_incident_lies_among_runs_that_went_alike(texts):
    scene = scene_of(texts)
    inferred = faults.infer(scene)
    built, _ = likely.scenario(scene, settings.settings(scene.evidence, scene.cluster), inferred)
    data = likely.likely(built, likely.trace(scene, built, inferred), inferred, [4000], 120, 1, "batch", 1)
    assert data["conditions"] == ["failover: yes", "lost election: no", f"promoted: {data['promoted']}"]
    assert 30 <= data["alike"] < data["runs"] == 120
    row = next(row for row in data["milestones"] if row["milestone"] == data["main"])
    assert row["p5_ms"] - row["room_ms"] <= row["measured_ms"] <= row["p95_ms"] + row["room_ms"]
    assert row["percentile_low"] < row["percentile_high"]
    demoted = next(row for row in data["milestones"] if row["milestone"] == "demoted")
    assert demoted["room_ms"] == (inferred[1].high_ms - inferred[1].low_ms + 1) // 2, "it counts from the return"
    [slower] = data["what_if"]
    assert 1500 < slower["p50_ms"] - row["p50_ms"] < 2500, "2 s more delay, about 2 s more"
    assert data["outages"]["register@host2"]["p50_ms"] > 1000


def test_conditions_that_leave_too_few_runs_are_dropped():
    from model.measures import RunMeasures

    def run(number, promoted):
        return RunMeasures(number, False, 1, promoted=promoted, branches={"failover": True})

    runs = [run(n, "host2") for n in range(100)] + [run(100, "host3")]
    alike, conditions = likely._alike(run(0, "host3"), runs)
    assert (len(alike), conditions) == (101, ["failover: yes"])


# Errors


def test_what_is_no_log_is_refused():
    with pytest.raises(UsageError, match="x.txt: no line of a Redis or Sentinel log"):
        logs.evidence({"x.txt": ["hello"]})


def test_a_sentinels_log_is_needed(texts):
    with pytest.raises(UsageError, match="no sentinel's log"):
        logs.evidence({"host1/redis.log": texts["host1/redis.log"]})


def test_an_unknown_reference_is_refused(texts):
    with pytest.raises(UsageError, match=r"--reference is mars\n  allowed: host1, host2, host3"):
        scene_of(texts, "mars")
