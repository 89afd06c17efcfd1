"""A scenario file is either a resolved scenario or one clear error: where, what, what is allowed, what next."""

from pathlib import Path

import pytest

from model import scenario as scenarios
from model.errors import ScenarioError

FILES = sorted(Path(__file__).parents[2].glob("scenarios/**/*.toml"))

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


def test_digest_depends_on_every_setting_that_a_run_depends_on():
    changes = [
        f"{key}={default + 1}"
        for key, default, *_ in scenarios.assumptions()
        if type(default) is int and not key.startswith(("host.", "compare."))
    ]
    digests = {parse("", change).digest for change in [*changes, "host.0.replica_priority=1", "name=other"]}
    assert len(digests | {parse().digest}) == len(changes) + 3


def test_digest_does_not_depend_on_words_and_margins():
    changes = ["question=another", "expects=nothing", "compare.margin_ms=5", "compare.register_margin_ms=5"]
    assert {parse("", change).digest for change in changes} == {parse().digest}


# --set


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("sentinel.down_after_ms=2000", lambda s: s.sentinel.down_after_ms == 2000),
        ("fault.0.kind=pause", lambda s: s.fault[0].kind == "pause"),
        ('fault.0.kind="pause"', lambda s: s.fault[0].kind == "pause"),
        ("host.1.sentinel=false", lambda s: s.sentinel_hosts == ("host1", "host3")),
        ("question=a=b", lambda s: s.question == "a=b"),
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
             "one of quorum, down_after_ms, failover_timeout_ms, parallel_syncs, flush_us",
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
             "`vanish` concerns the host's network as a whole"),
        ),
        (
            '[[fault]]\nkind = "crash"\nhost = "host1"\nat_ms = -5\n',
            ("fault.0.at_ms", "-5", "0 to 86400000", "when, after the first fault"),
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


def fault(kind, at_ms, host="host1", process="all"):
    return f'[[fault]]\nkind = "{kind}"\nhost = "{host}"\nprocess = "{process}"\nat_ms = {at_ms}\n'


@pytest.mark.parametrize(("do", "undo"), scenarios.PAIRS.items())
def test_what_undoes_a_fault_needs_the_fault_before_it(do, undo):
    assert parse(fault(do, 0) + fault(undo, 1000)).fault[1].kind == undo
    error = refusal(fault(undo, 0))
    assert (error.key, error.given) == ("fault.0.kind", f'"{undo}"')
    assert f'kind = "{do}"' in error.hint


def test_a_fault_of_another_host_or_process_or_of_later_undoes_nothing():
    assert refusal(fault("crash", 0) + fault("restart", 1000, host="host2")).key == "fault.1.kind"
    assert refusal(fault("crash", 0, process="redis") + fault("restart", 1000)).key == "fault.1.kind"
    assert refusal(fault("pause", 0) + fault("restart", 0) + fault("crash", 1000)).key == "fault.1.kind"


def test_one_heal_ends_all_partitions():
    text = fault("partition", 0, host="host1") + fault("partition", 0, host="host2") + fault("heal", 9, host="host3")
    assert len(parse(text).fault) == 3


# Warnings and assumptions


def test_the_guides_case_has_no_warning():
    assert scenarios.warnings(parse()) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sentinel.quorum=3", "nothing fails over"),
        ("host.2.sentinel=false", "two sentinels"),
        ("probe.register_timeout_ms=1500", "counts as unknown"),
    ],
)
def test_legal_and_dangerous_settings_are_warned_of(override, words):
    assert any(words in warning for warning in scenarios.warnings(parse("", override)))


def test_every_setting_says_where_its_default_comes_from():
    found = list(scenarios.assumptions())
    kinds = set(scenarios.Kind.__args__)
    assert {"sentinel.down_after_ms", "host.sentinel", "fault.process"} <= {key for key, *_ in found}
    for key, _default, _unit, kind, source, meaning in found:
        assert kind in kinds, key
        assert source, key
        assert meaning, key
    assert all(unit for key, _, unit, *_ in found if key.endswith(("_ms", "_us"))), "a time without its unit"


# The files that come with the kit


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario_files_resolve(path):
    made = scenarios.load(path)
    assert made.name == path.stem
    assert made.question.endswith("?")
    assert scenarios.parse(path.read_text()).digest == made.digest
