"""Real logs of all servers conform, cut anywhere; so do logs written from simulated runs; broken ones do not."""

import functools
import gzip
import re
from pathlib import Path

import pytest

from model.conform import configuration, conform
from model.conform.lines import read
from model.scenario import load
from sim import simulate

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "tests/data/logs"
RUNS = sorted(path.name for path in LOGS.iterdir() if path.is_dir())
SCENARIO_RUNS = [name for name in RUNS if not name.endswith("operations")]
SENTINEL_LOGS = [path.relative_to(LOGS).as_posix() for path in sorted(LOGS.glob("*/*sentinel*.log.gz"))]
SEED = 4


@functools.cache
def lines_of(name):
    return gzip.decompress((LOGS / name).read_bytes()).decode().splitlines()


@functools.cache
def settings_of(run):
    return [configuration((LOGS / run / "sentinel.conf").read_text().splitlines())]


@functools.cache
def run_logs(run):
    return {path.name: lines_of(f"{run}/{path.name}") for path in sorted((LOGS / run).glob("*.log.gz"))}


def is_refused(name, lines):
    """Whether the changed log is refused alone, or for what the others of its run say."""
    run, _, file = name.partition("/")
    return not conform({**run_logs(run), file: lines}, settings_of(run), same_clock=True).conforms


@pytest.mark.parametrize("run", RUNS)
def test_logs_of_real_servers_conform(run):
    verdict = conform(run_logs(run), settings_of(run), same_clock=True)
    assert {name: walk.finding for name, walk in verdict.walks.items() if walk.finding} == {}
    assert verdict.across == []


@pytest.mark.parametrize("name", SENTINEL_LOGS)
def test_a_real_log_conforms_wherever_it_is_cut(name):
    lines = lines_of(name)
    for settings in (settings_of(name.partition("/")[0]), []):
        for cut in range(1, len(lines)):
            for part in (lines[cut:], lines[:cut]):
                finding = conform({name: part}, settings).walks[name].finding
                assert finding is None, (cut, part is not lines[cut:], finding)


@pytest.mark.parametrize("name", SENTINEL_LOGS)
def test_a_log_of_warnings_only_conforms(name):
    """As it is with ``loglevel warning``."""
    lines = [line for line in lines_of(name) if " # " in line[:40]]
    assert conform({name: lines}, settings_of(name.partition("/")[0])).walks[name].finding is None


# Broken logs

CHAIN = (
    "+odown", "+new-epoch", "+try-failover", "+elected-leader", "+failover-state-select-slave", "+selected-slave",
    "+failover-state-send-slaveof-noone", "+failover-state-wait-promotion", "+promoted-slave",
    "+failover-state-reconf-slaves", "+slave-reconf-sent", "+slave-reconf-inprog", "+slave-reconf-done",
    "+failover-end", "+config-update-from", "+switch-master", "+vote-for-leader", "delay", "+monitor",
)  # fmt: skip
"""Lines on which a later one depends, or that another one's function writes: none can be missing."""

INDEPENDENT = ("+sdown", "-sdown", "+sentinel", "+slave", "-odown", "voted", "saved")
"""What one instance or peer does may come before or after what another does."""

ADDRESS = re.compile(r"(\d+\.\d+\.\d+\.)(\d)")
STAMP = re.compile(r"^\d+:X \S+ \S+ \S+ \S+ \S ")


def relevant(lines):
    """Index and event of the lines that say anything."""
    return [(line.number - 1, line.event) for line in read(lines) if line.event not in ("", "start", "version", "id")]


def swapped(lines, first, second):
    """What two lines say changes places; their stamps stay."""
    one, two = STAMP.match(lines[first])[0], STAMP.match(lines[second])[0]
    changed = list(lines)
    changed[first], changed[second] = one + lines[second][len(two) :], two + lines[first][len(one) :]
    return changed


def of_scenarios():
    return [name for name in SENTINEL_LOGS if name.partition("/")[0] in SCENARIO_RUNS]


@pytest.mark.parametrize("name", of_scenarios())
def test_no_line_of_a_failover_can_be_removed(name):
    lines = lines_of(name)
    kept = [(index, event) for index, event in relevant(lines)
            if event in CHAIN and not is_refused(name, lines[:index] + lines[index + 1 :])]  # fmt: skip
    assert kept == []


@pytest.mark.parametrize("name", of_scenarios())
def test_dependent_neighbours_cannot_be_swapped(name):
    lines = lines_of(name)
    pairs = [(first, second, one, two)
             for (first, one), (second, two) in zip(relevant(lines), relevant(lines)[1:], strict=False)
             if one not in INDEPENDENT and two not in INDEPENDENT]  # fmt: skip
    kept = [pair for pair in pairs if not is_refused(name, swapped(lines, *pair[:2]))]
    assert kept == []


@pytest.mark.parametrize("name", of_scenarios())
def test_no_address_can_be_forged(name):
    lines = lines_of(name)
    kept = []
    for index, event in relevant(lines):
        for found in ADDRESS.finditer(lines[index]) if event != "+monitor" else ():
            forged = lines[index][: found.start(2)] + "9" + lines[index][found.end(2) :]
            if not is_refused(name, [*lines[:index], forged, *lines[index + 1 :]]):
                kept.append((index, forged))
    assert kept == []


@pytest.mark.parametrize("name", of_scenarios())
@pytest.mark.parametrize("by", [-1, 1])
def test_no_epoch_can_be_forged(name, by):
    lines = lines_of(name)
    kept = []
    for index, event in relevant(lines):
        if event in ("+new-epoch", "+vote-for-leader", "voted"):
            forged = re.sub(r"\d+$", lambda found: str(int(found[0]) + by), lines[index])
            if not is_refused(name, [*lines[:index], forged, *lines[index + 1 :]]):
                kept.append((index, forged))
    assert kept == []


@pytest.mark.parametrize("name", of_scenarios())
def test_steps_of_a_failover_cannot_be_moved_into_one_tick(name):
    """Election, selection and the order to the replica each take a tick of their own."""
    lines = lines_of(name)
    kept, before = [], None
    for index, event in relevant(lines):
        if event in ("+elected-leader", "+selected-slave", "+failover-state-wait-promotion"):
            moved = STAMP.match(lines[before])[0][:-2] + lines[index][STAMP.match(lines[index]).end() - 2 :]
            if not is_refused(name, [*lines[:index], moved, *lines[index + 1 :]]):
                kept.append((index, moved))
        before = index
    assert kept == []


# The machine itself

SMALL = ["sentinel.down_after_ms=1000", "sentinel.failover_timeout_ms=4000", "sentinel.flush_us=0"]
"""Flushes take no time: a trace orders events by their time, a log by the moment at which they are written."""
ID = {f"host{n}": str(n) * 40 for n in range(1, 6)}


def written(trace, host):
    """The log that a simulated sentinel would have written."""

    def server(name):
        return f"10.0.0.{name[4:]} 6379"

    def replica(name):
        return f"slave {server(name).replace(' ', ':')} {server(name)} @ m {server(primary)}"

    hosts = sorted({event.host for event in trace.events if event.actor == "sentinel"} | {"host1", "host2", "host3"})
    primary, out = "host1", []
    for event in trace.events:
        if event.host != host or event.actor != "sentinel":
            continue
        name, about, after = event.event, event.about, []
        if name == "+new-epoch":
            words = str(event.code)
        elif name == "+vote-for-leader":
            words = f"{ID[about]} {event.code}"
        elif name == "+switch-master":
            words = f"m {server(primary)} {server(about)}"
            primary = about
            after = [f"* +slave {replica(each)}" for each in hosts if each != primary]
        elif name == "+config-update-from" or (name in ("+sdown", "-sdown") and event.code == 1):
            words = f"sentinel {ID[about]} 10.0.0.{about[4:]} 26379 @ m {server(primary)}"
        elif name in ("+tilt", "-tilt"):
            words = "#"
        elif about == primary:
            words = f"master m {server(primary)}" + (" #quorum 2/2" if name == "+odown" else "")
        else:
            words = replica(about)
        out.append(f"{stamp(event.t_us)} # {name} {words}")
        if name == "+elected-leader":
            after = [f"# +failover-state-select-slave master m {server(primary)}"]
        elif name == "+selected-slave":
            after = [f"* +failover-state-send-slaveof-noone {replica(about)}"]
        elif name == "+promoted-slave":
            after = [f"# +failover-state-reconf-slaves master m {server(primary)}"]
        out += [f"{stamp(event.t_us)} {each}" for each in after]
    return out


def stamp(t_us):
    ms = t_us // 1000 + 600_000
    return f"7:X 01 Jan 2025 10:{ms // 60_000:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def with_order(lines):
    """The order to the promoted replica is no event of a trace: written a tick after its selection."""
    out, due = [], None
    for line in lines:
        if due and "+promoted-slave" in line:
            out.append(line.split(" # ")[0] + " * +failover-state-wait-promotion " + due)
            due = None
        if "+selected-slave" in line:
            due = line.split("+selected-slave ")[1]
        out.append(line)
    return out


@pytest.mark.parametrize("name", ["primary_process_crashes", "primary_host_vanishes", "primary_process_freezes"])
def test_simulated_runs_of_the_machine_conform(name):
    scenario = load(
        next(ROOT.glob(f"scenarios/**/{name}.toml")),
        SMALL,
    )
    settings = [configuration("sentinel monitor m 10.0.0.1 6379 2\nsentinel down-after-milliseconds m 1000\n"
                              "sentinel failover-timeout m 4000".splitlines())]  # fmt: skip
    walked = 0
    for trace in simulate(scenario, 6, SEED, "world", 1):
        for host in ("host1", "host2", "host3"):
            lines = with_order(written(trace, host))
            found = conform({host: lines}, settings).walks[host]
            assert found.finding is None, (SEED, trace.run, host, found.finding, lines)
            walked += found.walked
    assert walked > 150
