"""What stands when a run starts: programs and connections."""

from __future__ import annotations

from sim.state import LINKS, OPEN, actor

LONG_AGO_US = 600_000_000
"""Age of what has long been so: connections. Kind: assumed."""


def begin(world, program, host):
    """A program runs."""
    process = world.process[actor(program, host)]
    process.exists = 1
    process.alive = 1


def join(world, owner, link, target):
    """A connection that has long been open; returns its number."""
    number_ = owner * LINKS + link
    connection = world.connection[number_]
    connection.state = OPEN
    connection.target = target
    connection.open_us = world.now_us - LONG_AGO_US
    return number_
