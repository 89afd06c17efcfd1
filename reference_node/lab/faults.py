"""Strikes the faults of a scenario, on time, and writes down when they really struck.

Times count from the moment at which the first fault struck. The schedule follows the monotonic clock, stamps follow
the wall clock, as the logs of the servers do.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from model.scenario import Fault, Scenario
from reference_node.lab.cluster import Cluster
from reference_node.lab.recorder import Recorder, wall_us

SIGNALS = {"crash": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}
"""What a fault sends to the programs it strikes."""


class Faults:
    """The time line of one run.

    Parameters
    ----------
    scenario : Scenario
    cluster : Cluster
    recorder : Recorder
        Gets an event for each fault.
    """

    def __init__(self, scenario: Scenario, cluster: Cluster, recorder: Recorder) -> None:
        self._faults = sorted(scenario.fault, key=lambda fault: fault.at_ms)
        self._cluster, self._recorder = cluster, recorder
        self.late_us = 0
        """Most that a fault came too late."""

    async def run(self, begin: float, horizon_s: float) -> int:
        """Strike all faults and wait for the horizon.

        Parameters
        ----------
        begin : float
            When the first fault is due, on the monotonic clock.
        horizon_s : float
            End, after the first fault.

        Returns
        -------
        int
            Wall time of the first fault in µs (of `begin`, when there is none).
        """
        await self._sleep_until(begin)
        begin, origin = time.monotonic(), wall_us()
        for fault in self._faults:
            await self._sleep_until(begin + fault.at_ms / 1000)
            stamp = origin if fault is self._faults[0] else wall_us()
            self._strike(fault)
            self._recorder.add(stamp, fault.host, "fault", fault.kind)
        await self._sleep_until(begin + horizon_s)
        return origin

    async def _sleep_until(self, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        self.late_us = max(self.late_us, int((time.monotonic() - due) * 1e6))

    def _strike(self, fault: Fault) -> None:
        network: dict[str, Callable[[str], None]] = {
            "vanish": self._cluster.network.detach,
            "return": self._cluster.network.attach,
            "partition": self._cluster.network.cut,
            "heal": lambda _host: self._cluster.network.heal(),
        }
        if fault.kind in network:
            network[fault.kind](fault.host)
            return
        programs = self._cluster.on_host(fault.host, fault.process)
        for program in programs:
            if fault.kind == "restart":
                self._cluster.start_program(program)
            else:
                program.signal(SIGNALS[fault.kind])
        if fault.kind == "crash":
            for program in programs:  # after all signals: the programs of a host die together
                program.process.wait()
