"""Each rule finds its own fault, and nothing else, in a set of files that is clean otherwise.

Simulated figures are canned here (`Canned`); tests/cli/test_lint.py has real ones.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from model.scenario import Scenario, load
from study.lint import check, generate, read, rules, understood
from study.lint.figures import Figures
from study.lint.findings import Finding, Severity
from study.lint.rules import certificates

ROOT = Path(__file__).parents[2]
SECRETS = generate.Secrets("r" * 32, "s" * 32)
Files = dict[str, str]
Edit = Callable[[Files], None]


class Canned(Figures):
    """Figures of which the simulated ones are made up: a node is back after 12 s."""

    def _summary(self, changes, committed=""):
        outage = {"p5_ms": 11_000.0, "p50_ms": self.outage_ms, "p95_ms": 13_000.0}
        share = {"k": 0, "n": 20, "low": 0.0, "high": 0.16}
        outages = {"redis_write": outage, "register@host2": outage, "client:linphone-5.4-tls": outage}
        courses = dict.fromkeys(("failover", "needless_failover"), share)
        losses = {"acknowledged_lost": {"p5": 200, "p50": 202, "p95": 205}}
        return {"outages": outages, "probabilities": courses, "milestones": {"first_write": outage}, "losses": losses}

    outage_ms = 12_000.0


def clean() -> Scenario:
    changes = ["server.min_replicas_to_write=1", "server.min_replicas_max_lag_s=5", "registrar.policy=flexisip-2.6"]
    return load(ROOT / "scenarios/host_loss/primary_host_vanishes.toml", changes)


def judged(folder: Path, files: Files, version: str = "7.0", figures: type[Canned] = Canned) -> tuple[Finding, ...]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    deployment = read.deployment([folder], version, "2.6")
    return rules.judge(deployment, figures(understood.scenario(deployment), None, 20))


def put(pattern: str, by: str, *names: str) -> Edit:
    """In every file whose path ends so (no name: in all), replace a pattern; it must be there."""

    def edit(files: Files) -> None:
        done = 0
        for name in [each for each in files if not names or each.endswith(names)]:
            files[name], count = re.subn(pattern, by, files[name], flags=re.MULTILINE)
            done += count
        assert done, f"{pattern} is nowhere"

    return edit


def add(line: str, *names: str) -> Edit:
    return put(r"\Z", f"{line}\n", *names)


def drop(pattern: str, *names: str) -> Edit:
    return put(f"^{pattern}.*\n", "", *names)


def without(*hosts: str) -> Edit:
    """Leave out all files of hosts, and their names in the others."""

    def edit(files: Files) -> None:
        for name in [each for each in files if each.split("/")[0] in hosts]:
            del files[name]
        for host in hosts:
            put(rf"^.*{host}.*\n", "", ".zone")(files)
            put(rf" ?192\.0\.2\.1{host[-1]}\b", "", "flexisip.conf")(files)

    return edit


def also(number: int) -> Edit:
    """One more host, a copy of host3."""

    def edit(files: Files) -> None:
        for name in [each for each in files if each.startswith("host3/")]:
            text = files[name].replace("host3", f"host{number}").replace("192.0.2.13", f"192.0.2.1{number}")
            files[name.replace("host3", f"host{number}")] = text
        put(r"^nodes=(.*)$", rf"nodes=192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.1{number}", "flexisip.conf")(files)
        put(r"^host3 (.*)13$", rf"host3 \g<1>13\nhost{number} \g<1>1{number}", ".zone")(files)
        put(r"^(_.*)host3(.*)$", rf"\g<0>\n\g<1>host{number}\g<2>", ".zone")(files)

    return edit


def certificate(*names: str, days: float = 300) -> Edit:
    """A real certificate for host1, for these names."""

    def edit(files: Files) -> None:
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        issued = trustme.CA().issue_cert(*names, not_after=ends)
        files["host1/node.pem"] = issued.cert_chain_pems[0].bytes().decode()

    return edit


def tracking(offset_s: float, leap: str = "Normal") -> Edit:
    def edit(files: Files) -> None:
        files["host1/tracking.txt"] = (
            "Reference ID    : C0000201 (ntp1)\nStratum         : 3\n"
            f"System time     : {abs(offset_s):.9f} seconds {'fast' if offset_s > 0 else 'slow'} of NTP time\n"
            f"Root delay      : 0.020000000 seconds\nRoot dispersion : 0.001000000 seconds\nLeap status     : {leap}\n"
        )

    return edit


S, R, F, Z = "sentinel.conf", "redis.conf", "flexisip.conf", ".zone"
NO_FIREWALL = put(r"26379, ", "", "nftables.conf")
CASES: dict[str, tuple[Edit, ...]] = {
    "unreadable-line": (add('maxclients "100', R),),
    "placeholder": (put(r"^min-replicas-max-lag.*", "min-replicas-max-lag 5\nlogfile <log>", "host1/redis.conf"),),
    "monitor-malformed": (put(r"(monitor flexi1) \S+", r"\1", "host1/sentinel.conf"),),
    "monitor-missing": (drop("sentinel monitor", "host1/sentinel.conf"),),
    "monitor-loopback": (put(r"(monitor flexi1) \S+", r"\1 127.0.0.1", S), drop("replicaof", R)),
    "monitors-differ": (put(r"monitor flexi1", "monitor flexi2", "host3/sentinel.conf"),),
    "quorum-differs": (put(r"(6379) 2$", r"\1 3", "host3/sentinel.conf"),),
    "quorum-over-sentinels": (put(r"(6379) 2$", r"\1 4", S),),
    "quorum-equals-sentinels": (put(r"(6379) 2$", r"\1 3", S),),
    "quorum-one": (put(r"(6379) 2$", r"\1 1", S),),
    "two-sentinels": (without("host3"), put(r"min-replicas-to-write 1", "min-replicas-to-write 0", R)),
    "even-sentinels": (also(4),),
    "failover-timeout-long": (put(r"(failover-timeout flexi1) \d+", r"\1 180000", S),),
    "failover-timeout-short": (put(r"(failover-timeout flexi1) \d+", r"\1 1000", S),),
    "down-after-short": (put(r"(down-after-milliseconds flexi1) \d+", r"\1 2000", S), put("max-lag 5", "max-lag 1", R)),
    "down-after-long": (put(r"(down-after-milliseconds flexi1) \d+", r"\1 30000", S),),
    "resolve-hostnames": (put(r"(monitor flexi1) \S+", r"\1 host1", S),),
    "bind-all-in-sentinel": (add("bind *", S),),
    "sentinel-open": (drop("requirepass", S), drop("sentinel sentinel-pass", S), NO_FIREWALL),
    "sentinel-protected": (drop("requirepass", S), drop("sentinel sentinel-pass", S), put("mode no", "mode yes", S)),
    "redis-without-password": (drop("requirepass", R), put("6379, ", "", "nftables.conf"), put("bind.*", "bind *", R)),
    "known-password": (put("r{32}", "foobared"),),
    "short-password": (put("r{32}", "eightchr"),),
    "no-min-replicas": (drop("min-replicas-to-write", R),),
    "min-replicas-too-many": (put("to-write 1", "to-write 2", R),),
    "min-replicas-late": (put("max-lag 5", "max-lag 10", R),),
    "restarts-empty": (put("appendonly yes", 'appendonly no\nsave ""', R),),
    "no-replica-eligible": (put("replica-priority 100", "replica-priority 0", R),),
    "replicates-itself": (put(r"replicaof \S+", "replicaof 192.0.2.13", "host3/redis.conf"),),
    "commands-renamed": (add("rename-command CONFIG hidden", R),),
    "registrations-evicted": (put("noeviction", "volatile-lru\nmaxmemory 1gb", R),),
    "no-expiry-events": (drop("notify-keyspace-events", R),),
    "passwords-differ": (put("r{32}", "q" * 32, "host3/redis.conf"),),
    "masterauth-missing": (drop("masterauth", "host1/redis.conf"),),
    "sentinel-password": (drop("sentinel auth-pass", "host2/sentinel.conf"),),
    "sentinels-passwords-differ": (put("sentinel-pass .*", f"sentinel-pass {'t' * 32}", "host2/sentinel.conf"),),
    "node-password": (put("redis-auth-password=.*", f"redis-auth-password={'t' * 32}", "host2/flexisip.conf"),),
    "registrations-not-shared": (put("db-implementation=redis", "db-implementation=internal", "host2/flexisip.conf"),),
    "late-info": (put("redis-slave-check-period=.*", "redis-slave-check-period=60", "host2/flexisip.conf"),),
    "silent-host": (),
    "timeout-without-effect": (add("[module::Registrar]\nredis-server-timeout=1500", F),),
    "replicas-not-used": (put("backup=true", "backup=false", F),),
    "cluster-nodes": (put(" 192.0.2.13", "", "host2/flexisip.conf"),),
    "transport-missing": (put(r" sips:.*", "", "host2/flexisip.conf"),),
    "owner-without-dot": (put(r"^_sip._udp ", "_sip._udp.example.org ", Z),),
    "single-target": (put(r"^(_sip._tcp.*) host[23]\.", r"\1 host1.", Z),),
    "node-not-in-dns": (put(r"^_sips._tcp.*host3.*\n", "", Z),),
    "target-without-address": (put(r"^host3 IN A.*\n", "", Z),),
    "target-is-alias": (put(r"^host3 IN A (.*)$", r"host3 IN CNAME other\nother IN A \1", Z),),
    "unequal-priorities": (put(r"^(_sips._tcp IN SRV) 0 (.*host[23].*)$", r"\1 10 \2", Z),),
    "weight-zero": (put(r"^(_sips._tcp IN SRV 0) 100 (.*host3.*)$", r"\1 0 \2", Z),),
    "ttl-long": (put(r"^\$TTL.*", "$TTL 86400", Z),),
    "ttl-short": (put(r"^\$TTL.*", "$TTL 5", Z),),
    "certificate-without-domain": (certificate("host1.example.org"),),
    "certificate-without-host": (certificate("example.org"),),
    "certificate-wildcard": (certificate("example.org", "host1.example.org", "*.example.org"),),
    "certificate-ended": (certificate("example.org", "host1.example.org", days=-1),),
    "certificate-ends-soon": (certificate("example.org", "host1.example.org", days=10),),
    "clock-unsynchronised": (tracking(0.0, "Not synchronised"),),
    "clock-wrong": (tracking(400.0),),
    "expires-short": (add("[module::Registrar]\nmax-expires=60", F),),
    "clock-unknown": (lambda files: [files.pop(name) for name in list(files) if "chrony" in name],),
}  # fmt: skip
ALSO = {"target-without-address": {"cluster-nodes"}}
"""What follows from the same fault: an address that is nobody's."""
VERSIONS = {"bind-all-in-sentinel": "6.2"}


class Silent(Canned):
    """Nodes are back after a quarter of an hour."""

    outage_ms = 933_000.0


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == set(rules.RULES)


def test_the_generated_set_is_clean(tmp_path: Path) -> None:
    assert judged(tmp_path, generate.files(clean(), SECRETS)) == ()


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_its_fault_and_nothing_else(name: str, tmp_path: Path) -> None:
    files = generate.files(clean(), SECRETS)
    for edit in CASES[name]:
        edit(files)
    found = judged(tmp_path, files, VERSIONS.get(name, "7.0"), Silent if name == "silent-host" else Canned)
    assert {each.rule for each in found} == {name} | ALSO.get(name, set())
    for each in found:
        assert each.severity == rules.RULES[name].severity or each.rule != name
        assert re.search(r"\d", each.figure.text) and each.figure.command and each.change


def test_lines_are_named(tmp_path: Path) -> None:
    files = generate.files(clean(), SECRETS)
    put(r"(6379) 2$", r"\1 3", S)(files)
    (found,) = judged(tmp_path, files)
    line = (tmp_path / "host1/sentinel.conf").read_text().splitlines()[found.place.line - 1]
    assert found.place.file.endswith("host1/sentinel.conf") and line.startswith("sentinel monitor")


def test_no_password_is_in_what_is_said(tmp_path: Path) -> None:
    files = generate.files(clean(), generate.Secrets("secret-of-redis", "secret-of-sentinel"))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    deployment = read.deployment([tmp_path])
    scenario = understood.scenario(deployment)
    found = rules.judge(deployment, Canned(scenario, None, 20))
    assert {each.rule for each in found} == {"short-password"}
    said = repr(found) + understood.to_toml(scenario) + repr([check.finding_to_json(each) for each in found])
    assert "secret-of" not in said


def test_the_present_decides_what_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = generate.files(clean(), SECRETS)
    certificate("example.org", "host1.example.org")(files)
    late = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=290)
    monkeypatch.setattr(certificates, "now", lambda: late)
    (found,) = judged(tmp_path, files)
    assert (found.rule, found.severity) == ("certificate-ends-soon", Severity.WARNING)
