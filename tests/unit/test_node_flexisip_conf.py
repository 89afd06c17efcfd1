"""A node's configuration from a flexisip.conf: shared keys taken over, the others spoken about."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import UsageError
from reference_node.node.flexisip_conf import read_flexisip_conf
from reference_node.node.service import main

CERTIFICATE = "tls-certificates-file=/etc/flexisip/agent.pem"

TEXT = f"""# the guide's own case
[global]
transports=sip:host1.example.org:5060;maddr=10.0.0.1 sips:host1.example.org:5061;maddr=10.0.0.1;{CERTIFICATE}
aliases=example.org sip.example.org
idle-timeout=600
log-level=debug

[module::Registrar]
reg-domains=example.org example.net
db-implementation=redis
redis-server-domain=127.0.0.1
redis-server-port=6380
redis-auth-password=hunter2
redis-slave-check-period=5
max-expires=1h
default-expires=20 min
redis-server-timeout=1500

[cluster]
enabled=true
nodes=10.0.0.1 10.0.0.2
internal-transport=sip:10.0.0.1:5059;transport=tcp
cluster-domain=cluster.example.org

[module::Router]
call-fork-timeout=30

[module::PushNotification]
enabled=false
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "flexisip.conf"
    path.write_text(text)
    return path


def test_shared_keys_are_taken_over(tmp_path):
    config, _ = read_flexisip_conf(write(tmp_path, TEXT))
    points = [(point.transport, point.host, point.ip, point.port) for point in config.points()]
    assert points == [
        ("udp", "host1.example.org", "10.0.0.1", 5060),
        ("tcp", "host1.example.org", "10.0.0.1", 5060),
        ("tls", "host1.example.org", "10.0.0.1", 5061),
    ]
    assert config.points()[2].certificate == "/etc/flexisip/agent.pem"
    assert config.aliases == ["example.org", "sip.example.org"]
    assert config.domain_names() == {"example.org", "example.net"}
    (server,) = config.servers
    assert server and (server.ip, server.port, config.password) == ("127.0.0.1", 6380, "hunter2")
    assert config.registrar.info_period_ms == 5_000
    assert (config.limits.max_expires_s, config.limits.default_expires_s, config.limits.min_expires_s) == (
        3600,
        1200,
        60,
    )
    internal = config.internal_point()
    assert internal and (internal.transport, internal.port) == ("tcp", 5059)
    assert (config.streams.idle_s, config.router.fork_s, config.learns_servers) == (600, 30, True)


def test_what_has_no_effect_here_is_said(tmp_path):
    path = write(tmp_path, TEXT)
    assert read_flexisip_conf(path)[1] == [
        f"{path}: [global] log-level has no effect here",
        f"{path}: [module::Registrar] redis-server-timeout has no effect here",
        f"{path}: [cluster] cluster-domain has no effect here",
        f"{path}: [module::PushNotification] has no effect here",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max-expire=5", "[module::Registrar] max-expire is unknown to this node; did you mean max-expires?"),
        ("[module::Registar]\nx=1", "[module::Registar] is unknown to this node; did you mean [module::Registrar]?"),
        ("[gloval]", "[gloval] is unknown to this node; did you mean [global]?"),
    ],
)
def test_a_slip_of_the_pen_is_warned_about_with_what_may_be_meant(tmp_path, line, said):
    path = write(tmp_path, "[module::Registrar]\ndb-implementation=redis\n" + line)
    assert f"{path}: {said}" in read_flexisip_conf(path)[1]


def test_force_expires_sets_all_three(tmp_path):
    text = "[module::Registrar]\ndb-implementation=redis\nforce-expires=120\n"
    limits = read_flexisip_conf(write(tmp_path, text))[0].limits
    assert (limits.min_expires_s, limits.max_expires_s, limits.default_expires_s) == (120, 120, 120)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "[module::Registrar] db-implementation is '(not given)'"),
        ("db-implementation=internal", "this node keeps registrations in Redis only"),
        ("db-implementation=redis\nredis-connection=tls-mutual", "TLS to Redis"),
        ("db-implementation=redis\nredis-server-port=six", "redis-server-port is 'six'\n  allowed: a whole number"),
        ("db-implementation=redis\nmax-expires=5 weeks", "max-expires is '5 weeks'"),
        ("db-implementation=redis\nredis-server-port=70000", "servers.0.port"),
        ("db-implementation=redis\n[cluster]\nenabled=perhaps", "[cluster] enabled is 'perhaps'"),
        ("db-implementation=redis\n[global]\ntransports=sip:a@b", "is no transport"),
        ("db-implementation=redis\n[global]\ntransports=sips:host1", "needs a certificate"),
        ("db-implementation=redis\n[global]\ntransports=sip:h;transport=sctp", "unknown transport"),
        ("no key", "allowed: [section] and key=value lines"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key_and_a_way_out(tmp_path, capsys, text, said):
    path = write(tmp_path, f"[module::Registrar]\n{text}\n")
    assert main([str(path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path}: ") and said in message


def test_a_password_is_in_no_message(tmp_path):
    wrong = "[module::Registrar]\ndb-implementation=redis\nredis-auth-password=hunter2\nmax-expires=x\n"
    with pytest.raises(UsageError) as error:
        read_flexisip_conf(write(tmp_path, wrong))
    assert "hunter2" not in str(error.value)
    _, remarks = read_flexisip_conf(write(tmp_path, TEXT))
    assert "hunter2" not in " ".join(remarks)
