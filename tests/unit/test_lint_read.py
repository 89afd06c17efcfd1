"""Readers of configuration files: nothing is lost, lines are counted right, nonsense is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import UsageError
from study.lint import read, understood
from study.lint.files import clock, flexisip, machine, server, zone

GUIDE = Path(__file__).parents[1] / "data/configuration/guide"


def test_words_of_redis_are_split_as_redis_splits_them() -> None:
    assert server.split("a \"b c\" 'd e' f#g") == ["a", "b c", "d e", "f#g"]
    assert server.split(r'requirepass "x\x41\n\"y"') == ["requirepass", 'xA\n"y']
    assert server.split(r"user 'it\'s'") == ["user", "it's"]
    assert server.split('save ""') == ["save", ""]
    assert server.split('a "b') is None
    assert server.split('a "b"c') is None


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1), min_size=1))
def test_quoted_words_come_back(words: list[str]) -> None:
    quoted = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    assert server.split(quoted) == words


@given(st.text())
def test_no_text_breaks_a_reader(text: str) -> None:
    for reader in (server.read, flexisip.read):
        conf, broken = reader(text, "file", "")
        assert conf.file == "file" and all(each.place.line > 0 for each in broken)
    zone.read(text, "file")
    clock.read(text, "file", "")
    machine.read_firewall(text, "file", "")
    machine.read_kernel(text, "file", "")


def test_directives_that_nobody_knows_are_kept() -> None:
    conf, broken = server.read("# a\n\nport 1\nFuture-Thing a b\nport 2\n", "redis.conf", "host1")
    assert [(each.name, each.words, each.place.line) for each in conf.directives] == [
        ("port", ("1",), 3), ("future-thing", ("a", "b"), 4), ("port", ("2",), 5)]  # fmt: skip
    assert conf.last("port").words == ("2",) and not broken


def test_lines_of_flexisip_that_go_on_are_joined() -> None:
    conf, broken = flexisip.read("[global]\n# x\ntransports=sip:a \\\n  sips:b\n\nwhat\n", "f", "")
    assert [(s.section, s.key, s.value, s.place.line) for s in conf.settings] == [
        ("global", "transports", "sip:a sips:b", 3)]  # fmt: skip
    assert [(each.text, each.place.line) for each in broken] == [("what", 6)]


ZONE = """$ORIGIN example.org.
$TTL 1h
@ IN SOA ns hostmaster (
    1 2h ; serial, refresh
    15m 2w 5m )
_sip._udp 60 IN SRV 0 100 5060 host1
          IN 60 SRV 0 100 5060 host2.example.org.
host1 A 192.0.2.1
bad IN SRV 0 100 host1
host2 IN A not-an-address
$INCLUDE other
"""


def test_a_zone_file_is_read_record_by_record() -> None:
    found, broken = zone.read(ZONE, "zone")
    srv = [(r.owner, r.ttl_s, r.words, r.place.line) for r in found.records if r.type == "SRV"]
    assert srv == [("_sip._udp.example.org", 60, ("0", "100", "5060", "host1.example.org"), 6),
                   ("_sip._udp.example.org", 60, ("0", "100", "5060", "host2.example.org"), 7)]  # fmt: skip
    assert [(r.owner, r.ttl_s) for r in found.records if r.type in ("A", "SOA")] == [
        ("example.org", 3600), ("host1.example.org", 3600)]  # fmt: skip
    assert [each.place.line for each in broken] == [9, 10, 11]


CHRONY = """Reference ID    : C0000201 (ntp1.example.org)
Stratum         : 3
System time     : 0.000123456 seconds slow of NTP time
Root delay      : 0.020000000 seconds
Root dispersion : 0.001000000 seconds
Leap status     : Normal
"""
NTPQ = """     remote           refid      st t when poll reach   delay   offset  jitter
==============================================================================
*192.0.2.1       .GPS.            1 u   33   64  377    0.500    2.000   0.100
+192.0.2.2       192.0.2.9        2 u   13   64  377    0.600   -1.000   0.200
"""


def test_reports_of_clocks() -> None:
    found = clock.read(CHRONY, "t", "host1")
    assert (found.synchronised, found.offset_s, found.place.line) == (True, -0.000123456, 3)
    assert found.uncertainty_s == pytest.approx(0.011)
    found = clock.read(NTPQ, "t", "host1")
    assert (found.synchronised, found.offset_s, found.place.line) == (True, -0.002, 3)
    assert not clock.read(NTPQ.replace("*", " "), "t", "").synchronised
    assert not clock.read(CHRONY.replace("Normal", "Not synchronised"), "t", "").synchronised


def test_a_firewall_guards_only_if_all_else_is_dropped() -> None:
    head = "table inet f {\n chain input {\n type filter hook input priority 0; policy drop;\n"
    rules = (
        f"{head} ip saddr {{ 10.0.0.1, 10.0.0.2 }} tcp dport {{ 6379, 26379 }} accept\n tcp dport 22 accept\n }}\n}}\n"
    )
    assert machine.read_firewall(rules, "f", "").guarded == {6379, 26379}
    assert machine.read_firewall(rules.replace("policy drop", "policy accept"), "f", "").guarded == set()


def test_the_guides_samples_are_understood() -> None:
    found = read.deployment([GUIDE])
    assert (len(found.redis), len(found.sentinels), len(found.flexisip), len(found.zones)) == (2, 1, 1, 1)
    assert (found.hosts, found.sentinel_count, found.broken) == (("host1", "host2", "host3"), 3, ())
    scenario = understood.scenario(found)
    assert (scenario.sentinel.quorum, scenario.sentinel.down_after_ms, scenario.sentinel.failover_timeout_ms) == (
        2, 10_000, 20_000)  # fmt: skip
    assert "Complicated" not in understood.to_toml(scenario)


def test_hosts_come_from_folders_and_the_primary_is_first(tmp_path: Path) -> None:
    for host, lines in {"b": "replicaof c 6379", "c": "port 6379", "a": "replicaof c 6379"}.items():
        (tmp_path / host).mkdir()
        (tmp_path / host / "redis.conf").write_text(f"{lines}\n")
    assert read.deployment([tmp_path]).hosts == ("c", "a", "b")
    files = [tmp_path / host / "redis.conf" for host in "abc"]
    assert read.deployment(files).hosts == ("c", "a", "b")


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear all,\nnothing here.\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    (tmp_path / "empty").mkdir()
    for path, said in (("letter.txt", "neither redis.conf"), ("picture.png", "not text"), ("no", "No such file"),
                       ("empty", "no configuration file")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            read.deployment([tmp_path / path])
