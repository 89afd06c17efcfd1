"""A scenario file is either a resolved scenario or one clear error: where, what, what is allowed, what next."""

import json
from pathlib import Path
from typing import get_args

import pytest

from model import scenario as scenarios
from model.errors import ScenarioError
from model.policies import POLICIES, PolicyName

FILES = sorted(Path(__file__).parents[2].glob("scenarios/*/*.toml"))

THREE_HOSTS = """
schema = 1
name = "three_hosts"
question = "What happens?"

[[host]]
name = "host1"

[[host]]
name = "host2"

[[host]]
name = "host3"
registrar = false
"""

POLICY_NUMBERS = ("redis_timeout_ms", "info_period_ms", "wait_poll_ms", "retry_pause_ms")

CLIENTS = """
[[client]]
class = "linphone-5.4"
transport = "tcp"
starts_on = "host1"

[[client]]
class = "baresip"
transport = "udp"
"""

LINK = """
[[link]]
from = "host1"
to = "*"
"""

CLAIM = """
[[claim]]
quantity = "first_write"
statistic = "p50"
low = 10.8
high = 11.2
"""

CRASH = """
[[fault]]
kind = "crash"
host = "host1"
process = "redis"
at_ms = 0
"""


def parse(text="", *overrides):
    return scenarios.parse(THREE_HOSTS + text, "test.toml", overrides)


def refusal(text="", *overrides, whole=False):
    """The error that a text (added to three hosts, or `whole`) meets."""
    with pytest.raises(ScenarioError) as caught:
        scenarios.parse(text if whole else THREE_HOSTS + text, "test.toml", overrides)
    error = caught.value
    assert error.exit_code == 2
    assert all([error.where, error.given, error.allowed, error.hint]), "a part of the message is empty"
    return error


def event(kind, host="host1", at_ms=0, **keys):
    """A [[fault]] with all the keys given."""
    lines = [f'kind = "{kind}"', f'host = "{host}"', f"at_ms = {at_ms}"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "[[fault]]\n" + "\n".join(lines) + "\n"


def parts(error):
    return error.key, error.given, error.allowed, error.hint


# What a scenario is


def test_defaults_are_the_deployment_guides():
    made = parse()
    assert (made.sentinel.quorum, made.sentinel.down_after_ms, made.sentinel.failover_timeout_ms) == (2, 10_000, 20_000)
    assert made.host_names == ("host1", "host2", "host3")
    assert made.server.primary == "host1"


def test_sentinel_hosts_are_those_that_run_one():
    assert parse('[[host]]\nname = "host4"\nsentinel = false\n').sentinel_hosts == ("host1", "host2", "host3")


@pytest.mark.parametrize(("delay_ms", "given_ms", "margin_ms"), [(1000, 0, 150), (30_000, 0, 600), (1000, 750, 750)])
def test_margin_is_the_files_else_150_ms_or_2_percent(delay_ms, given_ms, margin_ms):
    made = parse("", f"sentinel.down_after_ms={delay_ms}", f"compare.margin_ms={given_ms}")
    assert made.margin_ms == margin_ms


def test_a_scenario_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        parse().sentinel.quorum = 1


# Digest


def test_digest_does_not_depend_on_order_or_on_spelled_out_defaults():
    spelled_out = parse("[run]\nhorizon_ms = 60000\n[sentinel]\ndown_after_ms = 10000\nquorum = 2\n")
    assert spelled_out.digest == parse().digest


def settings(*tables):
    """(key, default) of every whole number that may be set freely in these tables."""
    return [
        (key, default)
        for key, default, *_ in scenarios.assumptions()
        if type(default) is int and key.split(".")[0] in tables and key != "registrar.unavailable_status"
    ]


def test_digest_depends_on_every_setting_that_a_run_depends_on():
    found = settings("server", "sentinel", "registrar", "dns", "network", "probe", "run")
    changes = [f"{key}={default + 1}" for key, default in found]
    changes += [f"{key.replace('host.', 'host.0.')}={default + 1}" for key, default in settings("host")]
    changes += [f"registrar.{key}=123" for key in POLICY_NUMBERS]
    changes += ["registrar.policy=flexisip-2.6", "registrar.unavailable_status=503", "registrar.follow_sentinel=true"]
    changes += ["name=other", "server.version=6.2", "host.1.sentinel=false", "host.1.certificate=host"]
    digests = {parse("", change).digest for change in changes}
    assert len(digests | {parse().digest}) == len(changes) + 1


def test_digest_depends_on_every_key_of_a_fault_and_of_a_link():
    text = LINK + event("failover", host="host2") + event("drop", to="host2") + event("delay") + event("partition")
    text += event("restart", at_ms=5) + event("crash") + event("step", step_ms=1) + event("drift")
    text += event("slow-disk", flush_ms=1) + event("busy", busy_ms=1)
    changes = [
        "link.0.from=host2", "link.0.to=host2", "link.0.delay_us=61", "link.0.jitter_us=1", "link.0.loss_percent=1",
        "fault.0.host=host3", "fault.0.at_ms=1", "fault.0.after=+odown", "fault.1.to=host3", "fault.1.percent=99",
        "fault.2.delay_us=61", "fault.2.jitter_us=1", "fault.3.side=2", "fault.4.data=old", "fault.4.load_ms=1",
        "fault.6.step_ms=2", "fault.7.drift_ppm=1", "fault.8.flush_ms=2", "fault.9.busy_ms=2",
    ]  # fmt: skip
    named = {change.split(".")[2].split("=")[0] for change in changes}
    known = {key.split(".")[1] for key, *_ in scenarios.assumptions() if key.startswith(("fault.", "link."))}
    assert known - named == {"process"}, "a key without a change"
    digests = {parse(text, change).digest for change in changes}
    assert len(digests | {parse(text).digest}) == len(changes) + 1


def test_digest_does_not_depend_on_what_the_policy_says_anyhow():
    for policy in get_args(PolicyName):
        plain = parse("", f"registrar.policy={policy}")
        spelled_out = [f"registrar.{key}={getattr(POLICIES[policy], key)}" for key in POLICY_NUMBERS]
        assert parse("", f"registrar.policy={policy}", *spelled_out).digest == plain.digest
        assert plain.registrar.resolved == POLICIES[policy]


def test_a_number_of_a_policy_can_be_replaced():
    assert parse("", "registrar.redis_timeout_ms=0").registrar.resolved.redis_timeout_ms == 0


@pytest.mark.parametrize(
    "text",
    [
        '[server]\nversion = "7.0"\nmin_replicas_to_write = 0\nmin_replicas_max_lag_s = 10\nrepl_timeout_s = 60\n',
        "[network]\ndelay_us = 60\n[run]\nhorizon_ms = 60000\n[probe]\nwrite_period_ms = 20\n",
    ],
)
def test_digest_does_not_depend_on_the_newer_keys_spelled_out(text):
    assert parse(text).digest == parse().digest


@pytest.mark.parametrize("key", ["clock_offset_ms", "clock_drift_ppm"])
def test_digest_does_not_depend_on_a_right_clock_spelled_out(key):
    assert parse("", f"host.0.{key}=0").digest == parse().digest


@pytest.mark.parametrize(
    "spelled_out", ["after=", "process=all", "data=empty", "load_ms=0", "side=1", "to=*", "percent=100", "delay_us=60",
                    "jitter_us=0", "step_ms=0", "drift_ppm=0", "flush_ms=0", "busy_ms=0"],
)  # fmt: skip
def test_digest_does_not_depend_on_a_faults_defaults_spelled_out(spelled_out):
    assert parse(event("crash"), f"fault.0.{spelled_out}").digest == parse(event("crash")).digest


def test_digest_of_the_guides_case_stays_as_it_is():
    """Stored real runs are found by it: whoever changes it raises SCHEMA."""
    path = next(path for path in FILES if path.stem == "primary_host_vanishes")
    assert scenarios.load(path).digest == "cc23f927a4207502"


def test_digest_does_not_depend_on_words_margins_and_claims():
    changes = ["question=another", "expects=nothing", "compare.margin_ms=5", "compare.register_margin_ms=5"]
    assert {parse(CLAIM, change).digest for change in changes} == {parse().digest}


# --set


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("sentinel.down_after_ms=2000", lambda s: s.sentinel.down_after_ms == 2000),
        ("fault.0.kind=pause", lambda s: s.fault[0].kind == "pause"),
        ('fault.0.kind="pause"', lambda s: s.fault[0].kind == "pause"),
        ("host.1.sentinel=false", lambda s: s.sentinel_hosts == ("host1", "host3")),
        ("question=a=b", lambda s: s.question == "a=b"),
        ("question=7", lambda s: s.question == "7"),
        ("server.version=7.2", lambda s: s.server.version == "7.2"),
        ('server.version="7.2"', lambda s: s.server.version == "7.2"),
    ],
)
def test_set_changes_one_value(override, read):
    assert read(parse(CRASH, override))


def test_later_sets_win():
    assert parse("", "run.horizon_ms=1000", "run.horizon_ms=2000").run.horizon_ms == 2000


@pytest.mark.parametrize(
    ("override", "where", "key", "given"),
    [
        ("sentinel.down_after_ms", "--set sentinel.down_after_ms", "", "not of the form key=value"),
        ("=1", "--set =1", "", "not of the form key=value"),
        ("fault.7.kind=pause", "--set fault.7.kind=pause", "fault.7.kind", "entry '7' of a list"),
        ("fault.x.kind=pause", "--set fault.x.kind=pause", "fault.x.kind", "entry 'x' of a list"),
        ("name.first=x", "--set name.first=x", "name.first", "inside a plain value"),
        ("sentinel.quorum=5", "test.toml with --set", "sentinel.quorum", "5, but only 3 sentinels are defined"),
        ("sentinel.quorum=two", "test.toml with --set", "sentinel.quorum", '"two"'),
        ("sentinel=1", "test.toml with --set", "sentinel", "1"),
    ],
)
def test_set_is_checked_like_the_file(override, where, key, given):
    error = refusal(CRASH, override)
    assert (error.where, error.key, error.given) == (where, key, given)


# What is refused


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError) as caught:
        scenarios.load(tmp_path / "none.toml")
    assert str(caught.value).startswith(f"{tmp_path}/none.toml: cannot be read: No such file")


def test_a_folder_or_binary_file_is_refused(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "binary.toml"):
        with pytest.raises(ScenarioError, match="cannot be read"):
            scenarios.load(path)


def test_broken_toml_names_the_line():
    error = refusal("schema = 1\nname =\n", whole=True)
    assert error.given.startswith("not TOML: ")
    assert "line 2" in error.given


def test_the_message_says_where_what_allowed_and_what_next():
    assert str(refusal("[sentinel]\nquorum = 5\n")).splitlines() == [
        "test.toml: sentinel.quorum is 5, but only 3 sentinels are defined",
        "  allowed: 1 to 3 (a quorum counts sentinels)",
        "",
        "hint: set `sentinel.quorum = 2`, or add hosts with `sentinel = true`",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[sentinel]\ndown_afer_ms = 1000\n",
            ("sentinel.down_afer_ms", "unknown (value 1000)",
             "one of quorum, down_after_ms, failover_timeout_ms, reboot_down_after_ms, parallel_syncs, flush_us, "
             "password",
             "did you mean `down_after_ms`?"),
        ),
        (
            "[sentinel]\ndown_after_ms = 50\n",
            ("sentinel.down_after_ms", "50", "100 to 600000",
             "silence after which a sentinel alone calls an instance down, in ms"),
        ),
        (
            "[run]\nhorizon_ms = -1\n",
            ("run.horizon_ms", "-1", "100 to 86400000", "end of observation after the first fault, in ms"),
        ),
        (
            '[[fault]]\nkind = "crash"\nhost = "host4"\nat_ms = 0\n',
            ("fault.0.host", '"host4"', "one of host1, host2, host3", "did you mean `host3`?"),
        ),
        (
            '[[fault]]\nkind = "crash"\nhost = "host3"\nprocess = "registrar"\nat_ms = 0\n',
            ("fault.0.process", '"registrar"', "one of all, redis, sentinel", "host3 does not run it"),
        ),
        (
            '[[fault]]\nkind = "vanish"\nhost = "host1"\nprocess = "redis"\nat_ms = 0\n',
            ("fault.0.process", '"redis"', "no `process` for this kind of fault",
             "`vanish` concerns the host as a whole"),
        ),
        (
            '[[fault]]\nkind = "crash"\nhost = "host1"\nat_ms = -5\n',
            ("fault.0.at_ms", "-5", "0 to 86400000",
             "when, after the first fault; with `after`, so long after that event"),
        ),
        (
            '[[fault]]\nkind = "crash"\nhost = "host1"\nat_ms = 5\n',
            ("fault", "without an entry at 0", "times that start at 0",
             "at_ms counts from the first fault: give that one `at_ms = 0`"),
        ),
        (
            "[server]\nprimary = \"host9\"\n",
            ("server.primary", '"host9"', "one of host1, host2, host3", "name a host that runs Redis"),
        ),
        (
            '[[host]]\nname = "host1"\n',
            ("host", "host1 twice", "different names", "rename one of them"),
        ),
        (
            "[[fault]]\nkind = \"crash\"\nhost = \"host1\"\nat_ms = 0\n"
            "[[fault]]\nkind = \"restart\"\nhost = \"host1\"\nat_ms = 70000\n",
            ("fault.1.at_ms", "70000", "0 to 60000", "the run ends at run.horizon_ms"),
        ),
        (
            "[probe]\nregister_period_ms = 20\nregister_timeout_ms = 2600\n",
            ("probe.register_timeout_ms", "2600", "at most 2520 (126 open requests)",
             "probe less often: raise `probe.register_period_ms`"),
        ),
        (
            "[[host]]\n",
            ("host.3.name", "missing", "a value", "name used in faults and results"),
        ),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_clear_error(text, expected):
    error = refusal(text)
    assert error.where == "test.toml"
    assert parts(error) == expected


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[fault]]\nkind = "explode"\nhost = "host1"\nat_ms = 0\n', "fault.0.kind"),
        ('[sentinel]\nquorum = "2"\n', "sentinel.quorum"),
        ("[sentinel]\nquorum = 2.0\n", "sentinel.quorum"),
        ("[sentinel]\nquorum = true\n", "sentinel.quorum"),
        ("[sentinel]\nquorum = nan\n", "sentinel.quorum"),
        ("[sentinel]\nquorum = 1979-05-27\n", "sentinel.quorum"),
        ('[[host]]\nname = "Host 4"\n', "host.3.name"),
        ('[server]\npassword = "two words"\n', "server.password"),
        ("[[sentinel]]\nquorum = 2\n", "sentinel"),
        ('[server]\nprimary = ""\n', "server.primary"),
        ("[sentinels]\nquorum = 2\n", "sentinels"),
    ],
)
def test_wrong_kinds_of_values_are_refused(text, key):
    assert refusal(text).key == key


def test_a_version_that_reads_like_a_number_is_told_to_be_text():
    error = refusal("[server]\nversion = 7.2\n")
    assert (error.key, error.given, error.hint) == ("server.version", "7.2", 'write it in quotes: "7.2"')


@pytest.mark.parametrize("schema", [0, 2, '"1"'])
def test_only_the_known_schema_is_read(schema):
    assert refusal(THREE_HOSTS.replace("schema = 1", f"schema = {schema}"), whole=True).key == "schema"


def test_an_empty_file_lacks_something():
    assert refusal("", whole=True).given == "missing"


def test_the_number_of_hosts_and_faults_is_bounded():
    hosts = "".join(f'[[host]]\nname = "more{number}"\n' for number in range(scenarios.MAX_HOSTS - 2))
    assert refusal(hosts).key == "host"
    assert refusal(CRASH * (scenarios.MAX_FAULTS + 1)).key == "fault"


# Fault pairs


AMOUNT = {"slow-disk": {"flush_ms": 500}}
"""What a kind of fault does nothing without."""


@pytest.mark.parametrize(("do", "undo"), scenarios.PAIRS.items())
def test_what_undoes_a_fault_needs_the_fault_before_it(do, undo):
    host = scenarios.DNS if do == "dns-stop" else "host1"
    assert parse(event(do, host, **AMOUNT.get(do, {})) + event(undo, host, at_ms=1000)).fault[1].kind == undo
    error = refusal(event(undo, host))
    assert (error.key, error.given) == ("fault.0.kind", f'"{undo}"')
    assert f'kind = "{do}"' in error.hint


def test_a_fault_of_another_host_process_or_way_or_of_later_undoes_nothing():
    assert refusal(event("crash") + event("restart", "host2", 1000)).key == "fault.1.kind"
    assert refusal(event("crash", process="redis") + event("restart", at_ms=1000)).key == "fault.1.kind"
    assert refusal(event("pause") + event("restart") + event("crash", at_ms=1000)).key == "fault.1.kind"
    assert refusal(event("drop", to="host2") + event("deliver", to="host3")).key == "fault.1.kind"


@pytest.mark.parametrize(("dropped", "delivered"), [("*", "*"), ("host2", "*"), ("*", "host2"), ("host2", "host2")])
def test_deliver_ends_a_drop_of_the_same_way_or_of_all(dropped, delivered):
    assert len(parse(event("drop", to=dropped) + event("deliver", at_ms=9, to=delivered)).fault) == 2


def test_one_heal_ends_all_partitions():
    text = event("partition", "host1") + event("partition", "host2", side=2) + event("heal", "host3", 9)
    assert len(parse(text).fault) == 3


def test_a_triggered_fault_may_undo_one_of_the_time_line():
    assert parse(event("crash") + event("restart", after="+switch-master")).fault[1].after == "+switch-master"


# Keys of the kinds of faults

OWN_KEYS = [
    ("restart", {"data": "old", "load_ms": 100}),
    ("partition", {"side": 2}),
    ("drop", {"to": "host2", "percent": 30}),
    ("deliver", {"to": "host2"}),
    ("delay", {"to": "host2", "delay_us": 1000, "jitter_us": 500}),
    ("step", {"step_ms": -60000}),
    ("drift", {"drift_ppm": 500}),
    ("slow-disk", {"flush_ms": 500}),
    ("busy", {"busy_ms": 7000}),
    ("forge-hello", {"to": "host2"}),
    ("forge-vote", {"to": "host2"}),
]


@pytest.mark.parametrize(("kind", "keys"), OWN_KEYS, ids=lambda each: each if isinstance(each, str) else "")
def test_each_kind_has_its_own_keys(kind, keys):
    before = {"restart": event("crash"), "deliver": event("drop")}.get(kind, "")
    made = parse(before + event(kind, **keys)).fault[-1]
    assert {key: getattr(made, key) for key in keys} == keys


@pytest.mark.parametrize(
    ("key", "value", "kinds"),
    [
        (key, value, [kind for kind, own in OWN_KEYS if key in own])
        for _, keys in OWN_KEYS
        for key, value in keys.items()
    ],
)
def test_a_key_of_another_kind_is_refused(key, value, kinds):
    error = refusal(event("crash", **{key: value}))
    assert (error.key, error.given) == (f"fault.0.{key}", json.dumps(value))
    assert error.allowed == f"`{key}` only with kind = {', '.join(kinds)}"


@pytest.mark.parametrize(("kind", "key"), [("step", "step_ms"), ("slow-disk", "flush_ms"), ("busy", "busy_ms")])
def test_a_fault_that_would_do_nothing_is_refused(kind, key):
    error = refusal(event(kind))
    assert parts(error)[:3] == (f"fault.0.{key}", "0", "another value")
    assert kind in error.hint


def test_only_a_redis_server_comes_back_with_data():
    crash = event("crash", process="sentinel")
    assert parse(crash + event("restart", process="sentinel")).fault[1].data == "empty"
    for keys in ({"data": "old"}, {"load_ms": 100}):
        assert refusal(crash + event("restart", process="sentinel", **keys)).key == "fault.1.process"


@pytest.mark.parametrize(
    ("kind", "needs", "keys"),
    [("slow-disk", "sentinel", {"flush_ms": 1}), ("failover", "sentinel", {}),
     ("forge-vote", "sentinel", {"to": "host1"}), ("fail-saves", "redis", {}),
     ("busy", "redis", {"busy_ms": 1})],
)  # fmt: skip
def test_a_fault_of_a_program_that_the_host_does_not_run_is_refused(kind, needs, keys):
    assert parse(event(kind, "host3", **keys)).fault[0].kind == kind
    error = refusal(event(kind, "host3", **keys), f"host.2.{needs}=false")
    assert parts(error) == ("fault.0.host", '"host3"', f"a host that runs a {needs}", "host3 does not run it")


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [("percent", 101, "0 to 100"), ("side", 0, "1 to 6"), ("delay_us", 0, "1 to 10000000"),
     ("jitter_us", -1, "0 to 10000000"), ("drift_ppm", 100_001, "-100000 to 100000"),
     ("step_ms", 86_400_001, "-86400000 to 86400000"), ("load_ms", -1, "0 to 600000"),
     ("flush_ms", 60_001, "0 to 60000"), ("busy_ms", -1, "0 to 600000")],
)  # fmt: skip
def test_amounts_of_faults_are_bounded(key, value, allowed):
    error = refusal(event("crash", **{key: value}))
    assert parts(error)[:3] == (f"fault.0.{key}", str(value), allowed)


# Triggers

TRIGGERS = [trigger for trigger in scenarios.Trigger.__args__ if trigger]


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_every_trigger_knows_its_reporter(trigger):
    made = parse(event("crash") + event("crash", "@leader", 70, after=trigger, process="sentinel")).fault[1]
    assert (made.after, made.host, made.at_ms) == (trigger, "@leader", 70)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_only_some_triggers_know_who_is_promoted(trigger):
    text = event("crash") + event("crash", "@promoted", after=trigger)
    if trigger in ("+odown", "+try-failover", "+elected-leader"):
        error = refusal(text)
        assert error.key == "fault.1.host"
        assert error.allowed.endswith("= +selected-slave, role-primary, +promoted-slave, +switch-master")
    else:
        assert parse(text).fault[1].host == "@promoted"


@pytest.mark.parametrize("host", ["@leader", "@promoted"])
def test_a_host_of_the_run_needs_a_trigger(host):
    error = refusal(event("crash") + event("crash", host))
    assert (error.key, error.given) == ("fault.1.host", f'"{host}" without `after`')


@pytest.mark.parametrize("key", ["after", "host"])
def test_unknown_triggers_and_hosts_are_refused(key):
    assert refusal(event("crash") + event("crash", **{key: "@nobody"}, at_ms=1)).key == f"fault.1.{key}"


def test_the_time_line_needs_a_first_fault_that_no_event_triggers():
    assert refusal(event("crash", after="+odown")).given == "without an entry at 0"
    assert parse(event("failover") + event("crash", "host2", after="+switch-master")).fault[1].at_ms == 0


def test_a_triggered_fault_later_than_the_run_is_refused():
    assert refusal(event("crash") + event("crash", "host2", 70_000, after="+odown")).key == "fault.1.at_ms"


# Ways between hosts


def test_a_link_names_a_way_and_what_is_different_there():
    link = parse('[[link]]\nfrom = "*"\nto = "host3"\ndelay_us = 20000\njitter_us = 500\nloss_percent = 5\n').link[0]
    assert (link.from_, link.to, link.delay_us, link.jitter_us, link.loss_percent) == ("*", "host3", 20_000, 500, 5)


@pytest.mark.parametrize("end", ["from", "to"])
def test_both_ends_of_a_link_are_hosts_of_the_scenario(end):
    error = refusal(LINK, f"link.0.{end}=host4")
    assert parts(error)[:3] == (f"link.0.{end}", '"host4"', "one of host1, host2, host3")
    assert refusal(LINK, f"link.0.{end}=@leader").key == f"link.0.{end}"


@pytest.mark.parametrize("text", [LINK.replace("*", "host1"), event("drop", to="host1"), event("delay", to="host1")])
def test_a_way_leads_to_another_host(text):
    error = refusal(text)
    assert error.key.endswith(".0.to")
    assert error.allowed == "another host than the sending one"


def test_the_receiver_of_a_way_is_a_host_of_the_scenario():
    assert refusal(event("drop", to="host4")).key == "fault.0.to"


def test_the_number_of_links_is_bounded():
    assert len(parse(LINK * scenarios.MAX_LINKS).link) == scenarios.MAX_LINKS
    assert refusal(LINK * (scenarios.MAX_LINKS + 1)).key == "link"


# Claims


def test_a_claim_is_an_interval():
    assert parse(CLAIM).claim[0].high == 11.2
    error = refusal(CLAIM, "claim.0.low=12")
    assert parts(error)[:3] == ("claim.0.low", "12", "at most its `high`, 11.2")
    assert refusal(CLAIM, "claim.0.high=nan").key == "claim.0.low"


def test_a_claims_statistic_is_a_known_one():
    assert refusal(CLAIM, "claim.0.statistic=p42").key == "claim.0.statistic"


# Warnings and assumptions


def test_the_guides_case_has_no_warning():
    assert scenarios.warnings(parse()) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sentinel.quorum=3", "nothing fails over"),
        ("host.2.sentinel=false", "two sentinels"),
        ("server.min_replicas_to_write=3", "no primary ever takes a write"),
        ("server.min_replicas_to_write=1", "beside the new one"),
        ("probe.register_timeout_ms=1500", "counts as unknown"),
        ("probe.expiry_s=29", "ends before it is written anew"),
    ],
)
def test_legal_and_dangerous_settings_are_warned_of(override, words):
    assert any(words in warning for warning in scenarios.warnings(parse("", override)))


def test_replicas_that_cannot_be_promoted_are_warned_of():
    overrides = ["host.1.replica_priority=0", "host.2.replica_priority=0"]
    assert any("nobody can be promoted" in warning for warning in scenarios.warnings(parse("", *overrides)))
    assert scenarios.warnings(parse("", overrides[0])) == []


def test_min_replicas_with_a_short_lag_has_no_warning():
    overrides = ["server.min_replicas_to_write=1", "server.min_replicas_max_lag_s=9"]
    assert scenarios.warnings(parse("", *overrides)) == []


def test_every_setting_says_where_its_default_comes_from():
    found = list(scenarios.assumptions())
    kinds = set(scenarios.Kind.__args__)
    assert {"sentinel.down_after_ms", "host.sentinel", "fault.process", "link.delay_us"} <= {key for key, *_ in found}
    for key, _default, _unit, kind, source, meaning in found:
        assert kind in kinds, key
        assert source, key
        assert meaning, key
    units = ("_ms", "_us", "_s", "_ppm", "percent")
    assert all(unit for key, _, unit, *_ in found if key.endswith(units)), "a number without its unit"


# The files that come with the kit


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario_files_resolve(path):
    made = scenarios.load(path)
    assert made.name == path.stem
    assert made.question.endswith("?")
    assert made.expects.strip()
    assert path.read_text().startswith("# "), "the case in one or two sentences at the top"
    assert scenarios.parse(path.read_text()).digest == made.digest


def test_names_of_scenario_files_are_unique():
    names = [path.stem for path in FILES]
    assert len(set(names)) == len(names)


def test_a_binding_is_not_written_more_often_than_there_is_room_for():
    settings = ["probe.expiry_s=60", "run.horizon_ms=600000"]
    parse("", *settings, "probe.expiry_refresh_s=10")
    with pytest.raises(ScenarioError) as refusal:
        parse("", *settings, "probe.expiry_refresh_s=2")
    assert refusal.value.key == "probe.expiry_refresh_s"
    parse("", *settings, "probe.expiry_refresh_s=" + refusal.value.allowed.split()[2])


# Clients


def test_a_client_is_named_after_its_class_and_transport():
    assert [client.name for client in parse(CLIENTS).client] == ["linphone-5.4-tcp", "baresip-udp"]


def test_two_clients_of_one_name_are_refused():
    error = refusal(CLIENTS + CLIENTS)
    assert "linphone-5.4-tcp twice" in str(error) and "name" in str(error)


def test_a_client_cannot_start_on_a_host_without_node():
    assert "host1, host2" in str(refusal(CLIENTS, "client.0.starts_on=host3"))


def test_a_client_has_the_transports_of_its_class():
    error = refusal(CLIENTS, "client.0.class=twinkle", "client.0.transport=tls")
    assert (error.key, error.allowed) == ("client.0.transport", "one of udp, tcp")


def test_clients_need_a_node():
    assert "registrar" in str(
        refusal(CLIENTS, "host.0.registrar=false", "host.1.registrar=false", "client.0.starts_on=")
    )


def test_the_name_server_is_on_no_host():
    assert '"dns"' in str(refusal(event("dns-stop")))
    assert parse(event("dns-stop", host="dns")).fault[0].host == "dns"


def test_records_can_only_be_removed_of_a_node():
    assert "registrar" in str(refusal(event("dns-remove", host="host3")))


@pytest.mark.parametrize(
    ("kind", "keys", "key", "given"),
    [
        ("forge-hello", {}, "to", '"*"'),
        ("forge-vote", {}, "to", '"*"'),
        ("forge-hello", {"to": "host2", "process": "registrar"}, "process", '"registrar"'),
        ("forge-vote", {"to": "host2", "process": "redis"}, "process", '"redis"'),
    ],
)
def test_a_forged_message_names_somebody_and_comes_in_by_a_door(kind, keys, key, given):
    error = refusal(event(kind, **keys))
    assert parts(error)[:2] == (f"fault.0.{key}", given)
