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
    assert server.split("a b\"c d\" e'f g'") == ["a", "bc d", "ef g"]
    assert server.split('a b"c') is None and server.split(r"a 'b\\'") is None
    assert server.split("a\tb\u2028c\x0bd\u00a0e\r") == ["a", "b\u2028c\x0bd\u00a0e"], "only blanks separate"


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


def test_a_line_of_flexisip_does_not_go_on() -> None:
    """lpconfig.cc reads line by line: what stands behind a backslash is lost, and nobody says so."""
    conf, broken = flexisip.read("[global]\n# x\ntransports=sip:a \\\n  sips:b\n\nwhat\n", "f", "")
    assert [(s.section, s.key, s.value, s.place.line) for s in conf.settings] == [
        ("global", "transports", "sip:a \\", 3)]  # fmt: skip
    assert [(each.text, each.place.line) for each in broken] == [("...", 4), ("...", 6)]


def test_names_of_flexisip_are_read_as_flexisip_reads_them() -> None:
    conf, broken = flexisip.read("[ Cluster ] here\nNodes = a b\n[GLOBAL]\nkey with=1\nnodes=c\n", "f", "")
    assert conf.last("cluster", "nodes").value == "a b" and conf.last("Global", "NODES").value == "c"
    assert conf.last("global", "key").value == "1" and not broken


def test_a_key_of_flexisip_stands_once() -> None:
    conf, broken = flexisip.read("[global]\na=1\n[cluster]\na=2\n[global]\nA=my-secret\n", "f", "")
    assert [each.value for each in conf.settings] == ["1", "2"]
    assert [(each.text, each.place.line) for each in broken] == [("A=...", 6)] and "line 2" in broken[0].why


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


def test_an_empty_password_is_none() -> None:
    conf, _ = server.read('requirepass secret\nmasterauth secret\nrequirepass ""\n', "f", "")
    assert conf.last("requirepass") is None and conf.last("masterauth") is not None


def test_a_directive_without_value_is_broken_but_for_save() -> None:
    conf, broken = server.read("save\nbind\nsentinel monitor\nport 1\n", "f", "")
    assert [each.name for each in conf.directives] == ["save", "port"]
    assert [(each.text, each.place.line) for each in broken] == [("bind", 2), ("sentinel monitor", 3)]


@pytest.mark.parametrize(
    "line",
    ['requirepass "my secret', "requirepass'my secret", 'sentinel auth-pass m "my secret', 'user a on >my "secret',
     "redis-auth-password: my secret", "redis-auth-password my secret", "  masterauth 'my secret",
     "redis-auth-password=\\\n  secret", "requirepass \\\nsecret"],
)  # fmt: skip
def test_a_line_that_cannot_be_read_does_not_give_away_its_password(line: str) -> None:
    for reader in (server.read, flexisip.read):
        if reader is server.read and ":" in line:
            continue
        _, broken = reader(line, "f", "")
        assert "secret" not in "".join(f"{each.text}{each.why}" for each in broken)


def test_quotes_of_a_zone_file_protect_comments_and_parentheses() -> None:
    lines = ["$ORIGIN example.org.", '@ IN TXT "v=DMARC1; p=none ("', "host1 IN A 192.0.2.1 ; ( a comment",
             "host2 IN A 192.0.2.2"]  # fmt: skip
    found, broken = zone.read("\n".join(lines), "zone")
    assert not broken and [(r.owner, r.place.line) for r in found.records if r.type == "A"] == [
        ("host1.example.org", 3), ("host2.example.org", 4)]  # fmt: skip


def test_times_and_origins_of_a_zone_file() -> None:
    lines = ["$TTL soon", "$ORIGIN example.org.", "$ORIGIN voice", "host1 1h30m IN A 192.0.2.1", "$ORIGIN a..b",
             "host2 IN A 192.0.2.2"]  # fmt: skip
    found, broken = zone.read("\n".join(lines), "zone")
    assert [(r.owner, r.ttl_s) for r in found.records] == [
        ("host1.voice.example.org", 5_400), ("host2.voice.example.org", None)]  # fmt: skip
    assert [each.place.line for each in broken] == [1, 5]


@pytest.mark.parametrize("name", ["example.org.zone", "db.example.org", "example.org", "example.org.db"])
def test_a_zone_without_origin_is_named_by_its_file_and_that_is_said(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("@ 60 IN SOA ns host 1 2 3 4 5\n_sip._udp 60 IN SRV 0 1 5060 host1\n")
    found = read.deployment([path])
    assert found.zones[0].origin == understood.domain(found) == "example.org"
    assert any("its name says so" in each for each in found.assumptions)
    path.write_text(f"$ORIGIN example.com.\n{path.read_text()}")
    found = read.deployment([path])
    assert understood.domain(found) == "example.com" and not any("its name" in each for each in found.assumptions)


def test_other_services_and_services_not_offered_are_no_nodes(tmp_path: Path) -> None:
    lines = ["$ORIGIN example.org.", "_sip._udp 60 IN SRV 0 1 5060 host1", "_sips._tcp 60 IN SRV 0 0 0 .",
             "_ldap._tcp 60 IN SRV 0 0 389 dc", "host1 60 IN A 192.0.2.1", "sip 60 IN A 192.0.2.1"]  # fmt: skip
    (tmp_path / "zone").write_text("\n".join(lines) + "\n")
    found = read.deployment([tmp_path])
    assert found.hosts == ("host1",) and found.addresses == {"192.0.2.1": "host1"}
    assert [record.words[3] for record in understood.srv(found)] == ["host1.example.org"]


CSV = "C0000201,192.0.2.1,3,1700000000.1,0.000123456,-0.1,0.1,-1.5,0.0,0.02,0.020,0.001,64.2,Normal\n"


def test_reports_of_clocks_in_other_forms() -> None:
    found = clock.read(CSV, "t", "host1")
    assert clock.is_mine(CSV)
    assert (found.synchronised, found.offset_s, found.uncertainty_s) == (True, -0.000123456, pytest.approx(0.011))
    assert not clock.read(CSV.replace("Normal", "Not synchronised"), "t", "").synchronised
    signed = clock.read(NTPQ.replace("   2.000", "  +2.000"), "t", "")
    assert signed.synchronised and signed.offset_s == -0.002


FIREWALL = """table inet f {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state { established, related } accept
        iif "lo" accept
        ip saddr {
            10.0.0.1,
            10.0.0.2 } tcp dport { 6379, 26379 } accept
        LINE
    }
    chain output { type filter hook output priority filter; policy accept; }
}
"""


@pytest.mark.parametrize(
    ("line", "guarded"),
    [("tcp dport 22 accept", {6379, 26379}), ("udp dport 5060 accept", {6379, 26379}),
     ("tcp dport 6379 accept", {26379}), ("tcp dport 6000-7000 accept", {26379}),
     ("ip saddr 0.0.0.0/0 tcp dport 26379 accept", {6379}), ("ip saddr != 10.0.0.3 tcp dport 26379 accept", {6379}),
     ("accept", set()), ("jump others", set()), ("ip protocol tcp accept", set())],
)  # fmt: skip
def test_a_port_that_another_line_opens_is_not_guarded(line: str, guarded: set[int]) -> None:
    assert machine.read_firewall(FIREWALL.replace("LINE", line), "f", "").guarded == guarded


def test_a_folder_may_hold_what_is_no_text_and_old_encodings(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_bytes("# d\u00e9faut\nport 1\ninclude other.conf\n".encode("latin-1"))
    (tmp_path / "dump.rdb").write_bytes(b"REDIS\0\xff")
    found = read.deployment([tmp_path, tmp_path / "redis.conf"])
    assert len(found.redis) == 1, "it was named twice"
    said = "\n".join(found.assumptions)
    assert "dump.rdb says nothing" in said and "redis.conf:3 includes other.conf: not read" in said


def test_settings_of_a_sentinel_are_those_of_the_primary_that_is_judged(tmp_path: Path) -> None:
    lines = [f"sentinel {word} {name} {value}" for name, ms in (("a", 1_000), ("b", 2_000))
             for word, value in (("monitor", "10.0.0.1 6379 2"), ("down-after-milliseconds", ms))]  # fmt: skip
    (tmp_path / "sentinel.conf").write_text("\n".join([*lines, "sentinel down-after-milliseconds a 3000"]) + "\n")
    found = read.deployment([tmp_path])
    assert understood.scenario(found).sentinel.down_after_ms == 2_000
    assert any("watches a, b: judged is b" in each for each in found.assumptions)


def test_what_a_scenario_cannot_hold_is_said(tmp_path: Path) -> None:
    for host in ("10.0.0.1", "SIP 2", *(f"h{number}" for number in range(7))):
        (tmp_path / host).mkdir()
        (tmp_path / host / "redis.conf").write_text("port 6379\n")
    found = read.deployment([tmp_path])
    names = understood.scenario(found).host_names
    assert names == ("host-1", "sip-2", "h0", "h1", "h2", "h3", "h4")
    said = "\n".join(understood.left_out(found))
    assert "without h5, h6" in said and "10.0.0.1 is called host-1" in said and "SIP 2 is called sip-2" in said
    (tmp_path / "sentinel.conf").write_text("sentinel monitor m 10.0.0.1 6379 99\n")
    found = read.deployment([tmp_path])
    assert understood.scenario(found) is None and "quorum" in understood.left_out(found)[-1]
