# ruff: noqa: E501 - one case a line
"""Walking logs: one log that conforms, and what each small change to it must be told."""

import re

import pytest

from model.conform import Configuration, Settings, configuration, conform
from model.conform.lines import read
from model.conform.rules import RULES
from model.trace import EVENTS

ME, PEER, OTHER = "a" * 40, "b" * 40, "c" * 40
P, R2, R3 = (f"10.0.0.{n} 6379" for n in (1, 2, 3))
MASTER = f"master m {P}"


def replica(address, of=P):
    return f"slave {address.replace(' ', ':')} {address} @ m {of}"


def sentinel(id_, n, of=P):
    return f"sentinel {id_} 10.0.0.{n} 26379 @ m {of}"


LEADER = f"""\
00.000 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo
00.000 # Redis version=6.2.14, bits=64, commit=0, modified=0, pid=1, just started
00.001 # Sentinel ID is {ME}
00.001 # +monitor {MASTER} quorum 2
00.002 * +slave {replica(R2)}
00.002 * +slave {replica(R3)}
01.000 * +sentinel {sentinel(PEER, 2)}
02.000 * +sentinel {sentinel(OTHER, 3)}
20.000 # +sdown {MASTER}
20.060 # +odown {MASTER} #quorum 2/2
20.060 # +new-epoch 1
20.060 # +try-failover {MASTER}
20.061 # +vote-for-leader {ME} 1
20.063 # {PEER} voted for {ME} 1
20.130 # +elected-leader {MASTER}
20.130 # +failover-state-select-slave {MASTER}
20.200 # +selected-slave {replica(R2)}
20.200 * +failover-state-send-slaveof-noone {replica(R2)}
20.270 * +failover-state-wait-promotion {replica(R2)}
21.000 # +promoted-slave {replica(R2)}
21.000 # +failover-state-reconf-slaves {MASTER}
21.060 * +slave-reconf-sent {replica(R3)}
22.000 * +slave-reconf-inprog {replica(R3)}
22.000 * +slave-reconf-done {replica(R3)}
22.070 # -odown {MASTER}
22.070 # +failover-end {MASTER}
22.070 # +switch-master m {P} {R2}
22.070 * +slave {replica(R3, R2)}
22.070 * +slave {replica(P, R2)}
23.100 # +sdown {replica(P, R2)}
25.000 # -sdown {replica(P, R2)}
36.000 * +convert-to-slave {replica(P, R2)}
"""

FOLLOWER = f"""\
00.000 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo
00.001 # Sentinel ID is {PEER}
00.001 # +monitor {MASTER} quorum 2
00.002 * +slave {replica(R2)}
00.002 * +slave {replica(R3)}
01.000 * +sentinel {sentinel(ME, 1)}
02.000 * +sentinel {sentinel(OTHER, 3)}
20.030 # +sdown {MASTER}
20.062 # +new-epoch 1
20.062 # +vote-for-leader {ME} 1
20.100 # +odown {MASTER} #quorum 3/2
20.100 # Next failover delay: I will not start a failover before Wed Jan  1 10:00:28 2025
21.061 # +config-update-from {sentinel(ME, 1)}
21.061 # +switch-master m {P} {R2}
21.061 * +slave {replica(R3, R2)}
21.061 * +slave {replica(P, R2)}
"""

SETTINGS = Configuration("", {"m": Settings(2, 1000, 4000, 1)})


def log(text):
    return [f"1:X 01 Jan 2025 10:00:{line}" for line in text.splitlines()]


def walk(text, *configurations):
    return conform({"log": log(text)}, configurations or (SETTINGS,)).walks["log"]


@pytest.mark.parametrize("text", [LEADER, FOLLOWER], ids=["leader", "follower"])
def test_a_failover_conforms(text):
    found = walk(text)
    assert found.finding is None, found.finding
    assert (found.walked, found.ignored, found.off) == (len(text.splitlines()), 0, [])


WRONG = {
    "no +sdown before +odown": (LEADER, r"20.000 .*\n", "", "not subjectively down"),
    "no +odown before +try-failover": (LEADER, r"20.060 # \+odown.*\n", "", "not objectively down"),
    "no +new-epoch before +try-failover": (LEADER, r"20.060 # \+new-epoch.*\n", "", "writes +new-epoch directly"),
    "no +try-failover": (LEADER, r".*\+try-failover.*\n", "", "writes +new-epoch directly after +odown"),
    "no vote for itself": (LEADER, r".*\+vote-for-leader.*\n", "", "writes +vote-for-leader directly"),
    "too few votes": (LEADER, r".*voted for.*\n", "", "1 votes for it were seen, and it needs 2"),
    "no +elected-leader": (LEADER, r".*\+elected-leader.*\n", "", "needs state SELECT"),
    "no +selected-slave": (LEADER, r".*\+selected-slave.*\n", "", "needs state SEND_NO_ONE"),
    "no wait for promotion": (LEADER, r".*wait-promotion.*\n", "", "needs state WAIT_PROMOTION"),
    "no promotion": (LEADER, r".*\+promoted-slave.*\n", "", "needs state RECONF"),
    "no command to the replica": (LEADER, r".*reconf-sent.*\n", "", "not begun, and it must be sent"),
    "replica not yet in progress": (LEADER, r".*reconf-inprog.*\n", "", "it must be in progress"),
    "replica left behind": (LEADER, r".*reconf-done.*\n", "", "neither reconfigured nor down"),
    "no end": (LEADER, r".*\+failover-end .*\n", "", "neither +failover-end nor +config-update-from"),
    "replica not announced anew": (LEADER, r"22.070 \* \+slave slave 10.0.0.3.*\n", "", "10.0.0.3:6379 was not"),
    "up without having been down": (LEADER, r"23.100.*\n", "", "not subjectively down"),
    "down too early": (LEADER, r"23\.100", "22.500", "less than down-after-milliseconds (1000 ms); possible from 10:00:22.970"),
    "two states in a tick": (LEADER, r"20\.200", "20.131", "one state a tick"),
    "votes in the tick of the start": (LEADER, r"20\.130", "20.065", "of the same tick"),
    "demoted too early": (LEADER, r"36\.000", "29.000", "four hello periods"),
    "quorum not reached": (LEADER, "quorum 2/2", "quorum 1/2", "2 sentinels must agree"),
    "quorum of somebody else": (LEADER, "#quorum 2/2", "#quorum 3/3", "the quorum is 2"),
    "more than there are": (LEADER, "#quorum 2/2", "#quorum 4/2", "only 3 sentinels are known"),
    "an epoch skipped": (LEADER, r"\+new-epoch 1", "+new-epoch 2", "the epoch after the current one, 1"),
    "a vote of another epoch": (LEADER, rf"\+vote-for-leader {ME} 1", f"+vote-for-leader {ME} 2", "votes are of the current epoch, 1"),
    "another address": (LEADER, r"elected-leader master m 10.0.0.1", "elected-leader master m 10.0.0.9", "configured primary is 10.0.0.1:6379"),
    "another replica promoted": (LEADER, r"\+promoted-slave slave 10.0.0.2:6379 10.0.0.2", "+promoted-slave slave 10.0.0.3:6379 10.0.0.3", "the chosen replica is 10.0.0.2:6379"),
    "a switch to another": (LEADER, r"6379 10.0.0.2 6379\n22", "6379 10.0.0.3 6379\n22", "the promoted replica is 10.0.0.2:6379"),
    "time goes back": (LEADER, r"21\.060", "19.060", "before that of the line above"),
    "a line in between": (LEADER, r"(22.070 # \+failover-end.*\n)", r"\g<1>22.070 * +reboot slave 10.0.0.3:6379 10.0.0.3 6379 @ m 10.0.0.1 6379" + "\n", "+switch-master comes in the same tick"),
    "a switch without source": (FOLLOWER, r".*config-update.*\n", "", "neither +failover-end nor +config-update-from"),
    "a vote without its epoch": (FOLLOWER, r".*\+new-epoch.*\n", "", "votes are of the current epoch, 0"),
    "nothing voted, but a delay": (FOLLOWER, r".*(new-epoch|vote-for).*\n", "", "directly after +odown"),
    "a delay of something else": (FOLLOWER, "10:00:28", "10:00:31", "not 2 x failover-timeout"),
    "start before the gate": (FOLLOWER, r"20.100 # Next.*\n", f"20.100 # +new-epoch 2\n20.100 # +try-failover {MASTER}\n", "directly after +odown"),
    "a sentinel elsewhere": (FOLLOWER, rf"from sentinel {ME} 10.0.0.1", f"from sentinel {ME} 10.0.0.9", "its address is 10.0.0.1:26379"),
    "no newer configuration": (FOLLOWER, r"20.06.*\n", "", "directly after +odown|no newer configuration"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_an_impossible_log_is_refused_with_its_reason(case):
    text, pattern, instead, why = WRONG[case]
    changed = re.sub(pattern, instead, text)
    assert changed != text
    finding = walk(changed).finding
    assert finding is not None
    assert any(part in finding.why for part in why.split("|")), finding


def test_what_could_stand_there_is_named_with_its_earliest_time():
    finding = walk(LEADER.replace("23.100", "22.500")).finding
    assert (finding.line, finding.source) == (30, "sentinelCheckSubjectivelyDown")
    assert "+sdown m from 10:00:22.970 on" in finding.instead
    assert "+new-epoch" in finding.instead
    assert "failover NONE" in finding.state["m"]


def test_the_line_that_must_follow_is_the_only_continuation():
    finding = walk(re.sub(r".*\+failover-state-select-slave.*\n", "", LEADER)).finding
    assert finding.instead == ("+failover-state-select-slave",)


def test_tilt_lasts_30_s_and_decides_nothing():
    start = LEADER.split("20.000")[0]
    stop = "04.000 # +tilt #tilt mode entered\n"
    assert walk(start + stop + "34.000 # -tilt #tilt mode exited\n").finding is None
    assert "TILT lasts 30 s" in walk(start + stop + "33.000 # -tilt #tilt mode exited\n").finding.why
    assert "in TILT and decides nothing" in walk(start + stop + f"20.000 # +sdown {MASTER}\n").finding.why
    down = f"04.000 # +sdown {MASTER}\n04.500 # +tilt #tilt mode entered\n"
    assert "a gap of more than 2 s" in walk(start + down).finding.why


def test_a_clock_that_is_set_back_needs_tilt():
    start = LEADER.split("20.000")[0]
    back = f"20.000 # +sdown {MASTER}\n05.000 * +slave {replica('10.0.0.4 6379')}\n"
    assert walk(start + back + "05.100 # +tilt #tilt mode entered\n").finding is None
    assert "no +tilt says" in walk(start + back + f"05.100 # -sdown {MASTER}\n").finding.why


def test_candidates_wait_for_votes():
    tried = LEADER.split("20.063")[0]
    assert walk(tried + f"24.060 # -failover-abort-not-elected {MASTER}\n").finding is None
    assert "candidates wait 4000 ms" in walk(tried + f"24.059 # -failover-abort-not-elected {MASTER}\n").finding.why
    late = f"29.300 # -failover-abort-not-elected {MASTER}\n"
    assert "must have been followed by a line before" in walk(tried + late).finding.why


def test_the_next_attempt_waits_for_the_gate():
    again = LEADER.split("20.063")[0] + f"24.100 # -failover-abort-not-elected {MASTER}\n"
    start = f"{{0}} # +new-epoch 2\n{{0}} # +try-failover {MASTER}\n"
    assert walk(again + start.format("28.060")).finding is None
    assert "less than 2 x failover-timeout" in walk(again + start.format("28.059")).finding.why


def test_a_user_may_force_a_failover_without_votes():
    text = LEADER.split("20.000")[0] + (
        "20.000 # Executing user requested FAILOVER of 'm'\n20.000 # +new-epoch 1\n"
        f"20.000 # +try-failover {MASTER}\n20.050 # +vote-for-leader {ME} 1\n20.050 # +elected-leader {MASTER}\n"
        f"20.050 # +failover-state-select-slave {MASTER}\n"
    )
    assert walk(text).finding is None
    assert walk(text.replace("20.000 # Executing user requested FAILOVER of 'm'\n", "")).finding is not None


def test_parallel_syncs_bounds_the_replicas_under_way():
    fourth = replica("10.0.0.4 6379")
    text = LEADER.replace("01.000", f"00.500 * +slave {fourth}\n01.000")
    text = text.replace(
        "22.000 * +slave-reconf-inprog", f"21.200 * +slave-reconf-sent {fourth}\n22.000 * +slave-reconf-inprog", 1
    )
    assert "parallel-syncs is 1" in walk(text).finding.why
    two = Configuration("", {"m": Settings(2, 1000, 4000, 2)})
    assert "neither reconfigured" in walk(text, two).finding.why  # allowed now, but it is left behind later


def test_settings_come_from_the_log_too():
    text = LEADER.replace("01.000", f"00.900 # +set {MASTER} down-after-milliseconds 15000\n01.000", 1)
    assert walk(text, Configuration("", {})).finding.why.startswith(
        "it is known for less than down-after-milliseconds (15000 ms)"
    )


def test_unknown_settings_are_named_and_disable_their_checks():
    found = walk(LEADER.replace("23.100", "22.200"), Configuration("", {}))
    assert found.finding is None
    assert found.off == [
        "m: down-after-milliseconds, failover-timeout, parallel-syncs not known: what depends on it is not checked"
    ]


def test_a_cut_log_leaves_open_what_came_before():
    lines = LEADER.splitlines(keepends=True)
    for first in range(1, len(lines)):
        found = walk("".join(lines[first:]))
        assert found.finding is None, (first, found.finding)
    assert "does not begin with a start" in walk("".join(lines[9:])).off[0]
    assert (
        walk(
            "".join(lines[9:]).replace(
                "21.000 # +failover-state-reconf", "21.000 # +odd\n21.000 # +failover-state-reconf"
            )
        ).ignored
        == 1
    )


def test_two_groups_share_the_epoch():
    start = LEADER.split("20.000")[0]
    second = start.replace("00.001 # +monitor", "00.001 # +monitor master n 10.0.0.5 6379 quorum 1\n00.001 # +monitor")
    down = "20.000 # +sdown master n 10.0.0.5 6379\n20.000 # +odown master n 10.0.0.5 6379 #quorum 1/1\n"
    tries = "20.000 # +new-epoch {}\n20.000 # +try-failover master n 10.0.0.5 6379\n"
    assert walk(second + down + tries.format(1)).finding is None
    assert "the epoch after the current one" in walk(second + down + tries.format(2)).finding.why
    assert "no group of this name" in walk(start + down).finding.why


def test_a_quorum_of_one_is_objective_at_once():
    start = LEADER.split("20.000")[0].replace("quorum 2", "quorum 1")
    one = Configuration("", {"m": Settings(1, 1000, 4000, 1)})
    assert (
        "writes +odown directly after +sdown"
        in walk(start + f"20.000 # +sdown {MASTER}\n20.100 # -sdown {MASTER}\n", one).finding.why
    )


# Across files


def both(leader=LEADER, follower=FOLLOWER, **options):
    return conform({"leader": log(leader), "follower": log(follower)}, [SETTINGS], **options)


def test_two_logs_of_one_run_agree():
    assert both(same_clock=True).conforms


@pytest.mark.parametrize(
    ("leader", "follower", "file", "why"),
    [
        (LEADER, FOLLOWER.replace(f"vote-for-leader {ME}", f"vote-for-leader {OTHER}"), "leader", "has no such vote"),
        (LEADER.replace("sentinel " + OTHER + " 10.0.0.3", "sentinel " + OTHER + " 10.0.0.4"), FOLLOWER, "leader", "others know it at"),
        (LEADER, FOLLOWER.replace(f"{P} {R2}", f"{P} {R3}").replace(f"@ m {R2}", f"@ m {R3}").replace(replica(R3, R3), replica(R2, R3)),
         "follower", "never had that primary"),
    ],
)  # fmt: skip
def test_a_log_that_contradicts_another_is_found(leader, follower, file, why):
    verdict = both(leader, follower)
    assert all(each.finding is None for each in verdict.walks.values()), verdict.walks
    assert any(name == file and why in found.why for name, found in verdict.across), verdict.across


def test_one_clock_tells_a_vote_before_its_candidate():
    early = FOLLOWER.replace("20.062", "20.050")
    assert both(follower=early).conforms
    assert [found.why for _, found in both(follower=early, same_clock=True).across] == [
        "it votes before the candidate's +try-failover"
    ]


def test_two_leaders_of_one_epoch_are_found():
    twin = LEADER.replace(ME, "e" * 40)
    verdict = conform({"one": log(LEADER), "two": log(twin)}, [SETTINGS])
    assert [found.source for _, found in verdict.across] == ["sentinelGetLeader"]


# Servers

REDIS = """\
1:C 01 Jan 2025 10:00:00.000 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo
1:S 01 Jan 2025 10:00:00.001 * Connecting to MASTER 10.0.0.1:6379
1:M 01 Jan 2025 10:00:20.272 * MASTER MODE enabled (user request from 'id=3 addr=10.0.0.1:4 laddr=10.0.0.2:6379 fd=8 name=sentinel-aaaaaaaa-cmd age=2')
1:M 01 Jan 2025 10:00:20.273 # CONFIG REWRITE executed with success.
""".splitlines()  # fmt: skip


def test_a_server_changes_its_role_with_a_line():
    assert conform({"redis": REDIS}).walks["redis"].finding is None
    without = [*REDIS[:2], *REDIS[3:], *[REDIS[3]] * 10]
    assert "no line tells a change of its role" in conform({"redis": without}).walks["redis"].finding.why


def test_a_server_follows_whom_it_was_told_to():
    lines = [
        "1:S 01 Jan 2025 10:00:00.000 * REPLICAOF 10.0.0.1:6379 enabled",
        "1:S 01 Jan 2025 10:00:01.000 * Connecting to MASTER {}:6379",
    ]
    assert conform({"redis": [line.format("10.0.0.1") for line in lines]}).conforms
    assert (
        "told to follow 10.0.0.1:6379"
        in conform({"redis": [line.format("10.0.0.2") for line in lines]}).walks["redis"].finding.why
    )


def test_a_change_of_role_needs_the_order_of_its_sentinel():
    logs = {"leader": log(LEADER), "redis": REDIS}
    assert conform(logs, [SETTINGS]).conforms
    logs["redis"] = [line.replace("laddr=10.0.0.2", "laddr=10.0.0.3") for line in REDIS]
    assert [found.source for _, found in conform(logs, [SETTINGS]).across] == ["sentinelSendSlaveOf"]


# Parts


def test_configuration_files_are_read():
    lines = [
        "port 26379",
        "sentinel monitor m 10.0.0.1 6379 2",
        "sentinel failover-timeout m 4000",
        f"sentinel myid {ME}",
    ]
    assert configuration(lines) == Configuration(ME, {"m": Settings(2, 30_000, 4000, 1)})
    assert configuration(["port 6379"]) is None


def test_settings_of_another_sentinel_do_not_count():
    slow = Configuration(OTHER, {"m": Settings(2, 9000, 4000, 1)})
    assert walk(LEADER, slow).finding is None
    assert walk(LEADER, Configuration(ME, slow.groups)).finding is not None


def test_lines_that_are_no_log_lines_are_skipped():
    assert list(read(["", "garbage", "1:X 99 Jan 2025", "12:X 01 Jan 2025 10:00:00.123 # +sdown"]))[0].event == "+sdown"


def test_every_event_of_a_sentinel_in_a_trace_has_a_rule():
    assert {event for event in EVENTS if event[0] in "+-"} <= RULES.keys()
