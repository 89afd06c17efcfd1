"""A node's configuration, and what it says to a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.errors import UsageError
from reference_node import config_file
from reference_node.node.config import NodeConfig
from reference_node.node.registrar_hands import machine_state
from reference_node.node.service import main

GOOD = {
    "host": "host1",
    "host_index": 0,
    "sip": {"ip": "127.0.0.1", "port": 5060},
    "servers": [{"host": "host1", "ip": "127.0.0.1", "port": 6379}, None],
    "first_server": 0,
    "password": "secret",
    "domain": "example.org",
    "registrar": {"policy": "guide", "redis_timeout_ms": 700},
    "log": "events.ndjson",
    "seed": 3,
}


def write(folder: Path, **changes) -> Path:
    path = folder / "node.json"
    path.write_text(json.dumps({**GOOD, **changes}))
    return path


def test_settings_reach_the_machine_in_microseconds(tmp_path):
    state = machine_state(config_file.read(NodeConfig, write(tmp_path)).registrar)
    assert (state.redis_timeout_us, state.retry_pause_us) == (700_000, 1_000_000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"first_server": 1}, "first_server"),
        ({"first_server": 9}, "first_server"),
        ({"sip": {"ip": "127.0.0.1", "port": 70_000}}, "sip.port"),
        ({"passwort": "x"}, "passwort"),
        ({"seed": "1"}, "seed"),
        ({"registrar": {"redis_timeout_ms": -1}}, "registrar.redis_timeout_ms"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_key(tmp_path, capsys, changes, said):
    path = write(tmp_path, **changes)
    assert main([str(path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {path}: ") and said in message


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        config_file.read(NodeConfig, tmp_path / "none.json")
    (tmp_path / "broken.json").write_bytes(b"\xff{")
    with pytest.raises(UsageError, match=r"broken\.json"):
        config_file.read(NodeConfig, tmp_path / "broken.json")


def test_what_this_machine_lacks_ends_with_code_4(tmp_path, capsys):
    assert main([str(write(tmp_path, log=str(tmp_path / "none" / "log")))]) == 4
    elsewhere = {"ip": "192.0.2.1", "port": 5060}
    assert main([str(write(tmp_path, log=str(tmp_path / "log"), sip=elsewhere))]) == 4
    assert "cannot listen on UDP 192.0.2.1:5060" in capsys.readouterr().err


def test_a_node_needs_one_way_of_saying_where_it_listens():
    both = {**GOOD, "transports": ["sip:127.0.0.1"]}
    neither = {**GOOD, "sip": None}
    for wrong in (both, neither):
        with pytest.raises(ValueError, match="either `sip` or `transports`"):
            NodeConfig.model_validate(wrong)


def test_sip_listens_on_udp_and_tcp_and_says_its_address():
    points = NodeConfig.model_validate(GOOD).points()
    assert [(point.transport, point.uri) for point in points] == [
        ("udp", "sip:127.0.0.1:5060;transport=udp;lr"),
        ("tcp", "sip:127.0.0.1:5060;transport=tcp;lr"),
    ]


def test_users_are_taken_from_the_configuration_and_from_a_file(tmp_path):
    (tmp_path / "users").write_text("carl@example.org clrtxt:pw\n")
    auth = {"enabled": True, "users": {"dora@example.org": {"md5": "A" * 32}}, "users_file": str(tmp_path / "users")}
    users = NodeConfig.model_validate({**GOOD, "auth": auth}).users()
    assert set(users) == {"carl@example.org", "dora@example.org"}
    assert users["dora@example.org"].by_algorithm == {"MD5": "a" * 32}


def test_a_password_is_in_no_message(tmp_path, capsys):
    path = write(tmp_path, auth={"users": {"a@b": {"pasword": "hunter2"}}})
    assert main([str(path)]) == 2
    assert "hunter2" not in capsys.readouterr().err
