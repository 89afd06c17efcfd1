"""What Redis servers hold of registrations: versions, clocks, histories."""

from __future__ import annotations

import random

import pytest

from model import sip_client
from model.effects import FULL_RESYNC, MESSAGE, REPLICATE
from model.measures import Facts, RunMeasures, measure
from model.scenario import Scenario, parse
from sim import bindings, clocks
from sim.settings import settings_of
from sim.state import CONNECTIONS, KEYS, LINKS, UA, WORLD, actor
from sim.steady import prepare
from sim.world import World

LIFE_S, PERIOD_S = 60, 54
SEED = 5
HEAD = """
schema = 1
name = "bindings"
question = "who holds it?"
server = {{ primary = "a", version = "{version}", diskless_sync_delay_ms = 0 }}
sentinel.quorum = 1
registrar.expiry_form = "{form}"
probe = {{ register_period_ms = 60_000, write_period_ms = 10_000, call_period_ms = 100 }}
run.horizon_ms = {horizon_ms}
host = [{{ name = "a", clock_offset_ms = {a} }},
        {{ name = "b", sentinel = false, clock_offset_ms = {b} }},
        {{ name = "c", redis = false, sentinel = false, clock_offset_ms = {c} }}]
client = [{{ class = "ideal", transport = "udp", name = "phone", expires_s = 60, starts_on = "c" }}]
fault = [{fault}]
"""


TWO_FLOWS = HEAD.replace('class = "ideal", transport = "udp"', 'class = "outbound", transport = "tcp"').format(
    a=0, b=0, c=0, form="expireat", version="7.0", horizon_ms=20_000, fault=""
)


def scenario(
    a_s: float = 0, b_s: float = 0, c_s: float = 0, *, form: str = "expireat", version: str = "7.0",
    horizon_s: float = PERIOD_S, fault: str = ""
) -> Scenario:  # fmt: skip
    """Redis on a (primary) and b, nodes on all, the phone on c; clocks ahead by so much."""
    offsets = {"a": round(a_s * 1000), "b": round(b_s * 1000), "c": round(c_s * 1000)}
    return parse(HEAD.format(**offsets, form=form, version=version, horizon_ms=round(horizon_s * 1000), fault=fault))


def blind_s(wanted: Scenario, seed: int = SEED) -> dict[str, float]:
    """For how long each node answers 404 in one refresh period."""
    return {node: time_us / 1e6 for node, time_us in run_of(wanted, seed).clients["phone"].blind.items()}


def run_of(wanted: Scenario, seed: int = SEED) -> RunMeasures:
    return measure(World(wanted, seed).trace(), Facts.of(wanted))


def all_nodes(low_s: float, high_s: float | None = None):
    """Each of the three nodes, about so long."""
    middle = (low_s + (high_s if high_s is not None else low_s)) / 2
    return dict.fromkeys("abc", pytest.approx(middle, abs=(high_s or low_s) - middle + 0.3))


# --- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["expireat", "expire"])
def test_good_clocks_find_it_always(form):
    assert blind_s(scenario(form=form)) == all_nodes(0)


@pytest.mark.parametrize("ahead_s", [20, 40, 55])
def test_a_primary_that_is_ahead_shortens_every_life(ahead_s):
    """By its advance, and by the fraction of a second that EXPIREAT drops."""
    gap_s = PERIOD_S - (LIFE_S - ahead_s)
    assert blind_s(scenario(ahead_s)) == all_nodes(gap_s, gap_s + 1)


def test_a_primary_that_is_ahead_by_less_than_the_reserve_does_no_harm():
    assert blind_s(scenario(LIFE_S - PERIOD_S - 1)) == all_nodes(0)


def test_a_primary_that_is_ahead_by_more_than_a_life_makes_it_dead_on_arrival():
    wanted = scenario(LIFE_S + 1, horizon_s=2 * PERIOD_S)
    run = run_of(wanted)
    assert blind_s(wanted) == all_nodes(2 * PERIOD_S)
    trace = World(wanted, SEED).trace()
    assert [event.event for event in trace.events if event.actor == "ua" and event.t_us > 0].count("registered") == 2
    assert run.outage_us("client:phone") / 1e6 == 2 * PERIOD_S


def test_a_replica_that_is_ahead_concerns_its_own_node_alone():
    assert blind_s(scenario(b_s=40)) == {"a": 0, "b": pytest.approx(34.5, abs=0.8), "c": 0}


def test_the_node_that_registers_and_is_behind_shortens_the_lives_that_it_writes():
    assert blind_s(scenario(c_s=-40)) == all_nodes(34, 35)


def test_everybody_ahead_by_the_same_is_nobody_ahead():
    assert blind_s(scenario(3_600, 3_600, 3_600)) == all_nodes(0)


def test_a_node_that_is_ahead_keeps_its_own_registrations_too_long_and_misses_no_call():
    assert blind_s(scenario(c_s=100)) == all_nodes(0)


def test_expire_counts_on_the_clock_of_the_primary_but_nodes_look_at_their_own():
    assert blind_s(scenario(100, form="expire")) == {"a": pytest.approx(PERIOD_S), "b": 0, "c": 0}


def test_a_deletion_outlives_the_wrong_clock():
    """The primary is ahead for one second: what it deletes then is gone until the next REGISTER."""
    fault = '{ kind = "step", host = "a", at_ms = 0, step_ms = 60_000 }, ' \
            '{ kind = "step", host = "a", at_ms = 1000, step_ms = -60_000 }'  # fmt: skip
    wanted = scenario(fault=fault)
    events = World(wanted, SEED).trace().events
    renewed_s = next(event.t_us for event in events if event.event == "registered" and event.t_us > 0) / 1e6
    assert renewed_s > 2
    assert blind_s(wanted) == all_nodes(renewed_s)


def test_a_promotion_of_a_server_that_is_ahead_shortens_every_life_from_then_on():
    """Nodes follow when the old primary is told, at the latest after a period of INFO (10 s) and some ticks."""
    fault = '{ kind = "failover", host = "a", at_ms = 0 }'
    found = blind_s(scenario(b_s=40, fault=fault, horizon_s=2 * PERIOD_S))
    assert found["b"] == pytest.approx(69, abs=1.5)
    assert all(69 - 12 < found[node] < 70 for node in "ac")


# --- how it travels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "ahead_s"), [("6.2", 0), ("7.0", 40)])
def test_a_time_to_live_begins_anew_on_replicas_up_to_6_2(version, ahead_s):
    """b is 40 s behind a: from 7.0 on it keeps for 40 s longer what a sets, up to 6.2 it does not."""
    world = World(scenario(a_s=40, form="expire", version=version), SEED)
    world.run_until(round(PERIOD_S * 1e6))
    ends_ms = [bindings.end_ms(world.state, host, 1) - clocks.wall_us(world.state, host) // 1000 for host in (0, 1)]
    assert ends_ms[1] - ends_ms[0] == pytest.approx(ahead_s * 1000, abs=10)


def test_a_full_resync_carries_the_instant_of_the_primary():
    world = World(scenario(a_s=40, form="expire", version="6.2"), SEED).state
    bindings.follow(world, 1, FULL_RESYNC)
    assert bindings.held(world, 1, 1) == bindings.held(world, 0, 1)
    assert bindings.end_ms(world, 1, 1) == bindings.end_ms(world, 0, 1)


# --- registrations ---------------------------------------------------------------------------------------------------


def message(job: int, seconds: int = LIFE_S):
    made = MESSAGE.new()
    made.client, made.job, made.seconds = 1, job, seconds
    return made


def stored(world, job: int, seconds: int = LIFE_S):
    """The version that a registration through the node on c makes."""
    bindings.ask(world, 2, message(job, seconds))
    world.redis[0].offset += 1
    bindings.store(world, 0, 2, message(job, seconds))
    return world.binding[world.n_bindings - 1]


def test_a_registration_says_when_it_began_by_the_clock_of_its_node():
    world = World(scenario(c_s=7), SEED).state
    version = stored(world, 9)
    assert (version.node, version.life_s) == (2, LIFE_S)
    assert (
        version.updated_s == world.now_us // 1_000_000 + 7
        or version.updated_s == (world.now_us + 7_000_000) // 1_000_000
    )
    assert version.until_ms == (version.updated_s + LIFE_S) * 1000


def test_a_write_that_is_tried_again_is_as_old_as_the_first_try():
    world = World(scenario(), SEED).state
    first = stored(world, 9).updated_s
    world.now_us += 5_000_000
    assert stored(world, 9).updated_s == first
    assert stored(world, 10).updated_s == first + 5


def test_who_leaves_is_gone():
    world = World(scenario(), SEED).state
    assert bindings.found(world, 0, 1)
    stored(world, 9, seconds=0)
    assert not bindings.found(world, 0, 1)


def test_an_instant_in_the_past_is_deleted_in_the_same_transaction():
    world = World(scenario(a_s=61), SEED).state
    version = stored(world, 9)
    assert version.until_ms == 0
    assert not bindings.found(world, 0, 1)


def test_a_replica_has_it_when_it_has_heard_of_it():
    world = World(scenario(), SEED).state
    stored(world, 9)
    bindings.follow(world, 1, 0)
    assert bindings.held(world, 1, 1) == world.n_bindings - 1
    world.redis[1].offset = world.redis[0].offset
    bindings.follow(world, 1, REPLICATE)
    assert bindings.held(world, 1, 1) == world.n_bindings


def test_of_two_flows_the_binding_is_that_of_the_one_that_registered_last():
    """As in Flexisip and in the node: one for each device (+sip.instance)."""
    world, setting = World(parse(TWO_FLOWS), SEED).state, settings_of(parse(TWO_FLOWS))
    found = set()
    for run in range(30):
        prepare(world, setting, SEED, run)
        phone, version = world.ua[0], world.binding[bindings.held(world, 0, 1) - 1]
        newest = sip_client.newest_flow(phone)
        assert version.node == phone.flow[newest].host - 1, f"run {run}"
        assert version.flow % CONNECTIONS == actor(UA, 0) * LINKS + newest, f"run {run}"
        assert bindings.held(world, 0, 1) == bindings.held(world, 1, 1)
        found.add(newest)
    assert found == {sip_client.FLOW, sip_client.SECOND_FLOW}


@pytest.mark.parametrize("seed", range(4))
def test_the_flow_that_registered_before_does_not_save_a_phone(seed):
    """Calls go to where the last registration came from, until the other flow is refreshed."""
    wanted = parse(TWO_FLOWS.replace("fault = []", 'fault = [{ kind = "vanish", host = "c", at_ms = 0 }]'))
    world = World(wanted, seed)
    was_on_c = world.state.binding[0].node == 2
    windows = measure(world.trace(), Facts.of(wanted)).windows.get("client:phone")
    assert bool(windows) == was_on_c, f"seed {seed}"


# --- histories -------------------------------------------------------------------------------------------------------


def test_what_is_held_is_the_newest_version_that_the_history_holds():
    """Against the definition, over random histories: writes, promotions, replication, resyncs."""
    for seed in range(60):
        chance = random.Random(seed)
        world, primaries = _two_servers(), [True, False]
        for _ in range(60):
            _happen(world, chance, primaries)
            for host in range(2):
                found = [bindings.held(world, host, key) for key in range(3)]
                assert found == [_newest(world, host, key) for key in range(3)], f"seed {seed}"


_WORLD = WORLD.new()


def _two_servers():
    world = _WORLD
    world.hosts, world.clients, world.now_us, world.n_bindings = 2, 2, 10**12, 0
    world.parent[:] = [0] * len(world.parent)
    world.held_binding[:] = [0] * (len(world.held_binding) // KEYS * KEYS)
    for host in range(2):
        clocks.set_clock(world, host, 0, 0)
        server = world.redis[host]
        server.branch, server.offset, server.primary = 1, 10, 2 - host
    bindings.clear(world)
    return world


def _happen(world, chance: random.Random, primaries: list[bool]) -> None:
    """Only a primary writes, and nobody else writes into its history."""
    host = chance.randrange(2)
    server, other = world.redis[host], world.redis[1 - host]
    what = chance.choice(("write", "write", "promotion", "resync", "replicate", "replicate"))
    kind = 0
    if what == "write" and primaries[host]:
        server.offset += 1
        bindings.put(world, host, chance.randrange(3), chance.choice((0, 10**10)))
    elif what == "promotion":
        branch = 1 + max(world.redis[0].branch, world.redis[1].branch)
        world.parent[branch], world.fork_offset[branch] = server.branch, server.offset
        server.branch = branch
        primaries[host] = True
    elif what == "resync":
        primaries[host] = False
        server.branch, server.offset, kind = other.branch, other.offset, FULL_RESYNC
    elif what == "replicate" and server.branch == other.branch and server.offset < other.offset:
        server.offset, kind = chance.randint(server.offset + 1, other.offset), REPLICATE
    bindings.follow(world, host, kind)


def _newest(world, host: int, key: int) -> int:
    server = world.redis[host]
    numbers = [
        number
        for number, version in enumerate(world.binding[: world.n_bindings], start=1)
        if version.key == key and bindings.holds(world, server.branch, server.offset, version.branch, version.offset)
    ]
    return max(numbers, default=0)
