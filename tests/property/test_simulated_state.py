"""Every field of every machine stays inside its declared range in whole runs, and no run shows in the next."""

from __future__ import annotations

import pytest

from model import effects, redis_server, register_prober, registrar, sentinel, sip_client
from model.effects import MESSAGE
from model.scenario import load, parse
from sim import state
from sim.processes import copy_message
from sim.settings import settings_of
from sim.steady import prepare
from sim.world import World

MACHINES = {
    "redis": redis_server.REDIS,
    "sentinel": sentinel.SENTINEL,
    "registrar": registrar.REGISTRAR,
    "probe_client": register_prober.CLIENT,
    "ua": sip_client.CLIENT,
}
OVERRIDES = ["sentinel.down_after_ms=1000", "sentinel.failover_timeout_ms=3000", "run.horizon_ms=20000"]
CHANGES = {
    "plain": [],
    "a clock is set back": ["fault.1.kind=step", "fault.1.host=host2", "fault.1.step_ms=-3600000"],
    "a clock is set forward": ["fault.1.kind=step", "fault.1.host=host3", "fault.1.step_ms=7000"],
    "one way is dead": ["fault.1.kind=drop", "fault.1.host=host2", "fault.1.to=host3"],
    "a script blocks the new primary": ["fault.1.kind=busy", "fault.1.after=role-primary", "fault.1.host=@leader",
                                        "fault.1.at_ms=0", "fault.1.busy_ms=9000"],
}  # fmt: skip

ROUGH = """
schema = 1
name = "rough"
question = "what is left of it?"
server.primary = "host1"
server.min_replicas_to_write = 1
sentinel = { down_after_ms = 1000, failover_timeout_ms = 3000 }
run.horizon_ms = 14000
probe = { expiry_s = 3, expiry_refresh_s = 3 }
host = [{ name = "host1" }, { name = "host2" }, { name = "host3" }]
fault = [
    { kind = "crash", host = "host1", at_ms = 0 }, { kind = "step", host = "host2", step_ms = -9000, at_ms = 8000 },
    { kind = "drift", host = "host3", drift_ppm = 900, at_ms = 5000 },
    { kind = "fail-saves", host = "host3", at_ms = 9000 },
    { kind = "slow-disk", host = "host3", flush_ms = 50, at_ms = 7000 },
    { kind = "restart", host = "host1", data = "old", load_ms = 9000, at_ms = 5000 },
    { kind = "drop", host = "host3", to = "host1", at_ms = 7000 },
    { kind = "busy", host = "host2", busy_ms = 9000, at_ms = 6000 },
    { kind = "dns-remove", host = "host3", at_ms = 9500 }, { kind = "dns-stop", host = "dns", at_ms = 10000 },
]
client = [
    { class = "outbound", transport = "tls", expires_s = 10 },
    { class = "linphone-5.4", transport = "tcp", expires_s = 10 },
    { class = "pjsua", transport = "udp", expires_s = 10, starts_on = "host1" },
]
dns.ttl_s = 1
"""
"""A run at whose end many things are under way."""
RESET = (
    "way", "clock", "side", "attached", "seen", "parent", "fork_offset", "snapshot_branch", "held_binding",
    "held_until_ms", "looked_up", "unheard_us", "zone", "dns_is_silent", "transaction",
)  # fmt: skip
"""Fields of the world that a run reads."""


@pytest.mark.parametrize("name", ["primary_host_vanishes", "primary_process_crashes", "primary_process_freezes"])
@pytest.mark.parametrize("change", CHANGES)
def test_all_fields_stay_in_range(name: str, change: str) -> None:
    overrides = [*OVERRIDES, "fault.1.at_ms=6000"]
    if CHANGES[change]:
        overrides += ["fault.1.process=all", *CHANGES[change]]
    world = World(load(f"scenarios/host_loss/{name}.toml", overrides), seed=4, on_event=check_now_and_then)
    world.trace()
    check(world)


def test_fields_stay_in_range_in_a_rough_run_with_clients() -> None:
    world = World(parse(ROUGH), seed=5, on_event=check_now_and_then)
    world.trace()
    check(world)


def check_now_and_then(world: World, event) -> None:
    """A check costs as much as a hundred events."""
    if world.happened % 200 == 0:
        check(world)


def check(world: World) -> None:
    """Raise `ValueError` for the first field that is out of its range."""
    for name, record in MACHINES.items():
        for number in range(count(world.state, name)):
            record.check(getattr(world.state, name)[number])


def count(state, name: str) -> int:
    """How many machines of a kind the scenario has: one on each host, or the SIP clients."""
    return state.clients if name == "ua" else state.hosts


def test_the_state_of_one_run_does_not_show_in_the_next() -> None:
    """The batch engine uses one record for all its runs: whatever a run may read must be set at its start."""
    scenario = parse(ROUGH)
    used = World(scenario, seed=1)
    used.trace()
    fresh = World(scenario, seed=2).state
    prepare(used.state, settings_of(scenario), 2, 0)
    differing = [
        f"{name}[{number}].{path}"
        for name, record in MACHINES.items()
        for number in range(count(fresh, name))
        for (path, *_, value), (*_, other) in zip(
            leaves(record, getattr(fresh, name)[number]), leaves(record, getattr(used.state, name)[number]), strict=True
        )
        if value != other and not is_void(number, path)
    ]
    assert not differing
    for field in RESET:
        assert plain(fresh, field) == plain(used.state, field), field


def leaves(record, machine):
    """Yield (path, value) of all integers of a machine."""
    for path, _, holder, index in record.leaves(machine):
        yield path, holder[index] if isinstance(index, int) else getattr(holder, index)


def is_void(host: int, path: str) -> bool:
    """Fields that mean something only while another one, which is reset, says so; a sentinel's view of itself."""
    is_slot = path.split("[")[0] in ("source", "client", "is_query", "seconds", "sent_us", "ended_us", "code")
    return is_slot or path.startswith(f"peer[{host}]")


def plain(world, field: str) -> list:
    """A field of the world as plain values."""
    record = next(each for each in state.WORLD.fields if each.name == field).record
    values = getattr(world, field)
    if isinstance(values, int):
        return [values]
    return [[value for _, value in leaves(record, each)] for each in values] if record else list(values)


def test_a_message_is_copied_with_all_its_fields() -> None:
    message, copy = MESSAGE.new(), MESSAGE.new()
    for number, field in enumerate(MESSAGE.fields, start=1):
        setattr(message, field.name, number)
    copy_message(message, copy)
    assert [getattr(copy, field.name) for field in MESSAGE.fields] == list(range(1, len(MESSAGE.fields) + 1))
    effects.clear(copy)
    assert not any(getattr(copy, field.name) for field in MESSAGE.fields)
