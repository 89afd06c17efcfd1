"""What is counted when a run is over."""

from __future__ import annotations

from model import sentinel
from model.effects import COUNT_CONFIRMED, COUNT_LOST, COUNT_REFUSED, COUNT_UNKNOWN
from sim import calls
from sim.bindings import holds
from sim.state import PROBE_CLIENT, SENTINEL, actor, note


def harvest(world):
    """Report, for every node that was probed, how its registrations ended, and how many confirmed ones are lost.

    And, for every SIP client, how the calls to it ended.
    """
    final = world.redis[_last_primary(world)]
    lost_first = world.n_reports
    for host in range(world.hosts):
        if world.process[actor(PROBE_CLIENT, host)].exists == 1:
            client = world.probe_client[host]
            note(world, world.end_us, host, PROBE_CLIENT, COUNT_CONFIRMED, 0, 0, client.confirmed)
            note(world, world.end_us, host, PROBE_CLIENT, COUNT_REFUSED, 0, 0, client.refused)
            note(world, world.end_us, host, PROBE_CLIENT, COUNT_UNKNOWN, 0, 0, client.unknown)
            note(world, world.end_us, host, PROBE_CLIENT, COUNT_LOST, 0, 0, 0)
    for index in range(world.n_registrations):
        branch = world.registration_branch[index]
        if not holds(world, final.branch, final.offset, branch, world.registration_offset[index]):
            _count_lost(world, lost_first, world.registration_host[index])
    calls.count(world)


def _count_lost(world, first, host):
    for index in range(first, world.n_reports):
        row = world.report[index]
        if row.report == COUNT_LOST and row.host == host:
            row.code += 1


def _last_primary(world):
    """The primary that the newest configuration of any sentinel names."""
    best = world.first_primary
    newest = -1
    for host in range(world.hosts):
        process = world.process[actor(SENTINEL, host)]
        if process.exists == 1 and process.alive == 1 and world.sentinel[host].config_epoch > newest:
            newest = world.sentinel[host].config_epoch
            best = sentinel.current_primary(world.sentinel[host])
    return best
