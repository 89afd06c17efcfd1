"""The phases that real sentinels told become the start of simulated runs."""

from model import sentinel
from model.effects import MAX_HOSTS
from model.scenario import load
from sim import simulate
from sim.settings import settings_of
from sim.steady import LEAD_US, MEAN_RESIDUAL_US
from sim.world import World

SCENARIO = "scenarios/host_loss/primary_process_freezes.toml"


def entry(host, kind, about, t_us, pong_age_us, pending_us=0, info_age_us=None):
    told = {"host": host, "kind": kind, "about": about, "t_us": t_us, "pong_age_us": pong_age_us,
            "ok_age_us": pong_age_us, "ping_pending_us": pending_us}  # fmt: skip
    return told if info_age_us is None else {**told, "info_age_us": info_age_us}


PHASES = [
    entry("host2", "server", "host1", -31_250, 412_000, info_age_us=3_512_000),
    entry("host2", "sentinel", "host3", -31_250, 90_000),
    entry("host3", "server", "host1", -30_250, 500, info_age_us=700),
    entry("host3", "sentinel", "host2", -30_250, 950_000, pending_us=80),
]


def phase_of(settings, sentinel_on, host):
    return settings.phase[sentinel_on * MAX_HOSTS + host]


def test_without_phases_everything_is_drawn_and_the_usual_lead_is_kept():
    settings = settings_of(load(SCENARIO))
    assert settings.lead_us == LEAD_US
    assert all(phase.pong_us == phase.info_us == phase.peer_pong_us == 0 for phase in settings.phase)


def test_ages_are_brought_to_the_instant_of_the_first_answer():
    settings = settings_of(load(SCENARIO), PHASES)
    assert settings.lead_us == 31_250
    assert phase_of(settings, 1, 0).pong_us == 412_000
    assert phase_of(settings, 1, 0).info_us == 3_512_000
    assert phase_of(settings, 1, 2).peer_pong_us == 90_000
    assert phase_of(settings, 0, 1).pong_us == 0


def test_what_came_after_the_start_is_put_a_period_earlier():
    settings = settings_of(load(SCENARIO), PHASES)
    assert phase_of(settings, 2, 0).pong_us == 500 - 1_000 + sentinel.PING_PERIOD_US + MEAN_RESIDUAL_US
    assert phase_of(settings, 2, 0).info_us == 700 - 1_000 + sentinel.INFO_PERIOD_US + MEAN_RESIDUAL_US


def test_a_ping_under_way_counts_as_answered():
    settings = settings_of(load(SCENARIO), PHASES)
    assert phase_of(settings, 2, 1).peer_pong_us == sentinel.PING_PERIOD_US + MEAN_RESIDUAL_US - 1_000


def test_the_run_starts_from_them():
    world = World(load(SCENARIO), seed=5, phases=PHASES).state
    assert world.origin_us - world.now_us == 31_250
    assert world.now_us - world.sentinel[1].server[0].watch.pong_us == 412_000
    assert world.now_us - world.sentinel[1].server[0].info_us == 3_512_000
    assert world.now_us - world.sentinel[1].peer[2].watch.pong_us == 90_000


def test_detection_follows_the_phase_of_the_ping():
    """A frozen server is down a delay after the first PING without an answer: a second after its last answer."""

    def first_down_us(pong_age_us):
        phases = [entry("host2", "server", "host1", -31_250, pong_age_us, info_age_us=3_512_000)]
        scenario = load(SCENARIO, ["run.horizon_ms=12500", "fault.1.at_ms=12400"])
        (trace,) = simulate(scenario, 1, 1, engine="world", jobs=1, phases=phases)
        return next(event.t_us for event in trace.events if event.event == "+sdown" and event.host == "host2")

    for pong_age_us in (100_000, 500_000, 900_000):
        ping_us = 1_000_000 - pong_age_us - 31_250
        assert 0 <= first_down_us(pong_age_us) - 10_000_000 - ping_us <= 203_000
