"""Wall clocks of simulated hosts: straight lines in integers, set and bent now and then."""

from sim import clocks
from sim.state import WORLD

HOST = 2
START_US = 10**12


_WORLD = WORLD.new()


def world_at(now_us):
    world = _WORLD
    world.now_us = now_us
    clocks.set_clock(world, HOST, 0, 0)
    return world


def test_an_offset_is_added():
    world = world_at(START_US)
    clocks.set_clock(world, HOST, -250_000, 0)
    world.now_us += 7
    assert clocks.wall_us(world, HOST) == START_US + 7 - 250_000


def test_a_fast_clock_gains_its_ppm_and_keeps_what_it_gained_when_its_rate_changes():
    world = world_at(START_US)
    clocks.drift(world, HOST, 100)
    world.now_us += 60_000_000
    assert clocks.wall_us(world, HOST) - world.now_us == 6_000
    clocks.drift(world, HOST, -50)
    world.now_us += 60_000_000
    assert clocks.wall_us(world, HOST) - world.now_us == 3_000


def test_a_step_moves_the_clock_once_and_leaves_its_rate():
    world = world_at(START_US)
    clocks.drift(world, HOST, 1_000)
    world.now_us += 1_000_000
    clocks.step(world, HOST, -86_400_000_000)
    assert clocks.wall_us(world, HOST) - world.now_us == 1_000 - 86_400_000_000
    world.now_us += 1_000_000
    assert clocks.wall_us(world, HOST) - world.now_us == 2_000 - 86_400_000_000


def test_an_instant_of_the_hosts_clock_is_told_in_true_time():
    world = world_at(START_US)
    clocks.step(world, HOST, 60_000_000)
    assert clocks.true_us(world, HOST, clocks.wall_us(world, HOST) + 1_500) == START_US + 1_500
