"""Wall clocks of the hosts: true time and an offset, with a rate of their own.

The world runs in true time, which is also the observer's and the clients'. A program sees its host's wall clock and
nothing else: so does its machine. Between two changes a clock is a straight line through the point at which it was
last set.

Timers are relative, on a monotonic clock, as in the real programs: a step does not touch them. Left out: the drift of
timers, and slewing.
"""

from __future__ import annotations


def wall_us(world, place):
    """What the wall clock of a place shows now."""
    clock = world.clock[place]
    passed_us = world.now_us - clock.base_true_us
    return clock.base_wall_us + passed_us + passed_us * clock.ppm // 1_000_000


def true_us(world, place, at_us):
    """True time of an instant near now that a machine of this place speaks of; drift since then does not matter."""
    return world.now_us + at_us - wall_us(world, place)


def set_clock(world, place, offset_us, ppm):
    """A clock is that far ahead of true time, and from now on runs that much too fast."""
    clock = world.clock[place]
    clock.base_true_us = world.now_us
    clock.base_wall_us = world.now_us + offset_us
    clock.ppm = ppm


def step(world, place, amount_us):
    """Somebody sets a clock forward (backward when negative)."""
    clock = world.clock[place]
    set_clock(world, place, wall_us(world, place) + amount_us - world.now_us, clock.ppm)


def drift(world, place, ppm):
    """From now on a clock runs that much too fast."""
    set_clock(world, place, wall_us(world, place) - world.now_us, ppm)
