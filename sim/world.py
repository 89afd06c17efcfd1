"""The simulated world: the machines interpreted inside a SimPy environment. The engine to read, poke at and extend.

Every event of the agenda is one SimPy time-out with a callback (a process a message would be three times slower).
SimPy orders time-outs of one instant by the order of their creation, which is the agenda's own order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import simpy

from model.scenario import Scenario
from model.trace import Trace
from sim.dispatch import happen
from sim.harvest import harvest
from sim.settings import settings_of, trace_of
from sim.state import REPORT_ROW, WORLD, no_room
from sim.steady import prepare

_ROW = tuple(field.name for field in REPORT_ROW.fields)


class World:
    """One cluster in virtual time.

    Parameters
    ----------
    scenario : Scenario
    seed : int
        Master seed.
    run : int
        Number of the run.
    on_event : callable, optional
        Called as ``on_event(world, event)`` before each event happens; `event` is a `sim.state.EVENT`.
    phases : sequence of dict, optional
        Phases of one real run to start from, as in `model.trace.Trace.phases`.

    Attributes
    ----------
    env : simpy.Environment
        Its clock runs in µs.
    state : sim.state.WORLD
        Everything: ``state.sentinel[1].current_epoch``, ``state.redis[0].role``, ...

    Examples
    --------
    >>> from model.scenario import load
    >>> world = World(load("scenarios/host_loss/primary_host_vanishes.toml"), seed=1)
    >>> world.run_until(12_000_000)
    >>> world.state.sentinel[1].o_down
    1
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        run: int = 0,
        on_event: Callable[[Any, Any], None] | None = None,
        phases: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self.scenario, self.seed, self.run, self._on_event = scenario, seed, run, on_event
        self.state = WORLD.new()
        self.happened = 0
        prepare(self.state, settings_of(scenario, phases), seed, run)
        self.env = simpy.Environment(initial_time=self.state.now_us)
        self._take_up()

    def run_until(self, t_us: int) -> None:
        """Let everything happen up to `t_us` after the first fault."""
        self.env.run(until=self.state.origin_us + t_us + 1)

    def trace(self) -> Trace:
        """Let the run go to its end and return its trace."""
        self.env.run(until=self.state.end_us + 1)
        if self.state.overflow:
            raise no_room(self.scenario.name, self.seed, self.run)
        harvest(self.state)
        rows = [
            tuple(getattr(row, name) - (self.state.origin_us if name == "t_us" else 0) for name in _ROW)
            for row in self.state.report[: self.state.n_reports]
        ]
        return trace_of(self.scenario, self.seed, self.run, rows)

    def _take_up(self) -> None:
        """Hand the newly scheduled events to SimPy, in order."""
        state = self.state
        for place in state.fresh[: state.n_fresh]:
            timeout = self.env.timeout(state.event[place].t_us - self.env.now, value=place)
            timeout.callbacks.append(self._due)
        state.n_fresh = 0

    def _due(self, timeout: simpy.events.Event) -> None:
        if self.state.overflow:
            return
        if self._on_event:
            self._on_event(self, self.state.event[timeout.value])
        self.happened += 1
        happen(self.state, timeout.value)
        self._take_up()
