"""Generated files: what the scenario says comes back when they are read, and nothing odd gets into them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import UsageError
from model.scenario import Scenario, parse
from study.folders import to_toml
from study.lint import generate, options, read, understood
from study.lint.deployment import Deployment

SECRETS = generate.Secrets("r" * 32, "s" * 32)
RUNS_ON_A_HOST = ("redis", "sentinel", "registrar")


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any set-up: the first host runs everything, since a primary and a node must be somewhere."""
    count = draw(st.integers(3, 5))
    hosts = [
        {"name": f"host{number}", **{program: number == 1 or draw(st.booleans()) for program in RUNS_ON_A_HOST},
         "replica_priority": draw(st.integers(0, 1_000)), "srv_priority": draw(st.integers(0, 65_535)),
         "srv_weight": draw(st.integers(0, 65_535))}
        for number in range(1, count + 1)
    ]  # fmt: skip
    hosts = [host for host in hosts if any(host[program] for program in RUNS_ON_A_HOST)]
    sentinels = sum(host["sentinel"] for host in hosts)
    tables = {
        "schema": 1, "name": "drawn", "question": "Does it come back?", "host": hosts,
        "server": {"min_replicas_to_write": draw(st.integers(0, sum(host["redis"] for host in hosts) - 1)),
                   "min_replicas_max_lag_s": draw(st.integers(1, 3_600)),
                   "repl_timeout_s": draw(st.integers(11, 3_600)),
                   "diskless_sync_delay_ms": 1_000 * draw(st.integers(0, 60))},
        "sentinel": {"quorum": draw(st.integers(1, sentinels)), "down_after_ms": draw(st.integers(100, 600_000)),
                     "failover_timeout_ms": draw(st.integers(100, 3_600_000)),
                     "parallel_syncs": draw(st.integers(1, 7)),
                     "reboot_down_after_ms": draw(st.integers(0, 3_600_000))},
        "registrar": {"policy": "flexisip-2.6", "info_period_ms": 1_000 * draw(st.integers(1, 3_600))},
        "network": {"tcp_retries2": draw(st.integers(3, 14)), "tcp_syn_retries": draw(st.integers(1, 5))},
        "fault": [{"kind": "vanish", "host": "host1", "at_ms": 0}],
    }  # fmt: skip
    return parse(to_toml(tables), "drawn")


def read_back(files: dict[str, str]) -> Deployment:
    """What files say once they are on disk."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return read.deployment([Path(folder)])


@settings(max_examples=60, deadline=None)
@given(scenarios(), st.booleans())
def test_a_scenario_comes_back_from_its_files(scenario: Scenario, is_ipv6: bool) -> None:
    addresses = {host.name: f"2001:db8::{n}" if is_ipv6 else f"10.0.0.{n}" for n, host in enumerate(scenario.host, 1)}
    said = read_back(generate.files(scenario, SECRETS, "sip.example.org", addresses))
    assert not said.broken and said.addresses == {address: host for host, address in addresses.items()}
    back = understood.scenario(said)
    assert back is not None
    for section in ("sentinel", "server", "network"):
        assert getattr(back, section) == getattr(scenario, section)
    assert (back.registrar.policy, back.registrar.info_period_ms) == ("flexisip-2.6", scenario.registrar.info_period_ms)
    programs = {host.name: [getattr(host, program) for program in RUNS_ON_A_HOST] for host in scenario.host}
    assert {host.name: [getattr(host, program) for program in RUNS_ON_A_HOST] for host in back.host} == programs
    for wanted in scenario.host:
        found = next(host for host in back.host if host.name == wanted.name)
        if wanted.redis:
            assert found.replica_priority == wanted.replica_priority
        if wanted.registrar:
            assert (found.srv_priority, found.srv_weight) == (wanted.srv_priority, wanted.srv_weight)


def test_what_no_scenario_says_is_chosen_and_what_it_says_is_kept(scenario: Scenario) -> None:
    def sysctl(**changed: int) -> str:
        network = scenario.network.model_copy(update=changed)
        return generate.files(scenario.model_copy(update={"network": network}), SECRETS)["host1/90-hastudy.sysctl.conf"]

    for changed, retries, syn_retries in (({}, 5, 1), ({"tcp_retries2": 8}, 8, 1), ({"tcp_syn_retries": 3}, 5, 3)):
        values = re.findall(r"= (\d+)", sysctl(**changed))
        assert values == [str(retries), str(syn_retries)], changed


def test_times_are_rounded_up_to_what_the_programs_take(scenario: Scenario) -> None:
    changed = {"registrar": scenario.registrar.model_copy(update={"info_period_ms": 100}),
               "server": scenario.server.model_copy(update={"diskless_sync_delay_ms": 1_001})}  # fmt: skip
    files = generate.files(scenario.model_copy(update=changed), SECRETS)
    assert "redis-slave-check-period=1\n" in files["host1/flexisip.conf"]
    assert "repl-diskless-sync-delay 2\n" in files["host1/redis.conf"]


@pytest.mark.parametrize("domain", ["../example", "example.org/x", "a b.org", "example.org\nx", "", "-a.org", "org"])
def test_a_domain_is_one(scenario: Scenario, domain: str) -> None:
    with pytest.raises(UsageError, match="--domain is "):
        generate.files(scenario, SECRETS, domain)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"host4": "10.0.0.4"}, "no host is called host4"), ({"host2": "10.0.0.1"}, "two hosts with one address"),
     ({"host2": "2001:db8::2"}, "of IPv4 and of IPv6")],
)  # fmt: skip
def test_addresses_are_those_of_the_hosts(scenario: Scenario, changed: dict[str, str], said: str) -> None:
    addresses = {"host1": "10.0.0.1", "host2": "10.0.0.2", "host3": "10.0.0.3"} | changed
    with pytest.raises(UsageError, match=said):
        generate.files(scenario, SECRETS, addresses=addresses)


@pytest.mark.parametrize("secret", ['a"b', "a'b", "a b", "a#b", "a\\\\b", "", "ä"])
def test_a_password_that_a_file_would_change_is_refused_and_not_shown(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text(f"redis = '''{secret}'''\nsentinel = 'fine'\n", encoding="utf-8")
    with pytest.raises(UsageError, match="not two passwords") as refused:
        options.read_secrets(path)
    assert not secret or secret not in str(refused.value).replace("secrets.toml", "")


def test_passwords_mean_themselves_in_every_file(scenario: Scenario) -> None:
    secrets = generate.Secrets("a_.~+/=@%^-Z9", "b" * 20)
    files = generate.files(scenario, secrets)
    for name, text in files.items():
        if name.endswith("redis.conf"):
            said = read.server.read(text, name, "")[0]
            assert {said.last(each).words for each in ("requirepass", "masterauth")} == {(secrets.redis,)}
    said, _ = read.flexisip.read(files["host1/flexisip.conf"], "f", "")
    assert said.last("module::Registrar", "redis-auth-password").value == secrets.redis


def test_the_same_scenario_gives_the_same_files(scenario: Scenario) -> None:
    one, two = (generate.files(scenario, SECRETS) for _ in range(2))
    assert one == two
    other = generate.files(scenario, generate.Secrets("x" * 32, "y" * 32))
    assert sorted(one) == sorted(other) and one != other
