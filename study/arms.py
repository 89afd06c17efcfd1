"""Both arms behind one face: a scenario goes in, traces come out, progress is shown on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from model.scenario import Scenario
from model.trace import Trace

START_S = 25
"""Real seconds a run takes besides its horizon: start, steady state, random time of the fault. Kind: measured."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Voice:
    """What is said besides results; all of it on stderr.

    Parameters
    ----------
    quiet : bool
        Say nothing, show no progress.
    """

    quiet: bool = False

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """A bar, on a terminal only; the function given takes the done fraction and a short text."""
        from tqdm import tqdm

        shown = "{desc} {percentage:3.0f} % |{bar}| {elapsed} < {remaining} {postfix}"
        silent = self.quiet or not sys.stderr.isatty()
        with tqdm(total=1.0, desc=title, file=sys.stderr, disable=silent, leave=False, bar_format=shown) as bar:

            def show(fraction: float, text: str = "") -> None:
                bar.set_postfix_str(text, refresh=False)
                bar.update(min(fraction, 1.0) - bar.n)

            yield show


def simulate(
    scenario: Scenario, runs: int, seed: int, voice: Voice, engine: str = "batch", jobs: int | None = None
) -> list[Trace]:
    """Predict."""
    import sim

    with voice.progress(f"simulating {runs} runs") as progress:
        return sim.simulate(scenario, runs, seed, engine, jobs, lambda done, all_: progress(done / all_))


def on_real_server(scenario: Scenario, server: str | None, voice: Voice) -> tuple[Scenario, str]:
    """The scenario with the family of the server that will replay it, and the path of that server.

    Raises
    ------
    EnvironmentLacks
        There is no such server.
    """
    from reference_node.lab import servers

    chosen = servers.choose(server, scenario.server.version)
    if chosen.family is None:
        voice.say(f"warning: {chosen.flavour} {chosen.version} is of no family that is modelled; predicted as "
                  f"{scenario.server.version}")  # fmt: skip
    elif chosen.family != scenario.server.version:
        voice.say(f"server.version is {chosen.family}, as that of the server found ({scenario.server.version} asked)")
        scenario = scenario.on_version(chosen.family)
    return scenario, str(chosen.path)


@dataclass(slots=True)
class RealRuns:
    """Real runs of a scenario; those that ended are kept whatever happens next.

    Attributes
    ----------
    traces : list of Trace
        In order of their runs.
    """

    traces: list[Trace]

    def measure(
        self, scenario: Scenario, runs: int, seed: int, voice: Voice, server: str | None = None, make_up: bool = False
    ) -> None:
        """Run the scenario on real servers and fill `traces`.

        With `make_up` each stalled run is made up for by one more, which may stall as well, until as many again were
        made as were asked for. Stalled ones are kept.
        """
        self._measure(scenario, runs, seed, voice, server)
        while make_up and (missing := self._missing(runs)):
            voice.say(f"{missing} stalled run{'s' * (missing > 1)} to be made up for")
            self._measure(scenario, missing, seed, voice, server)

    def _missing(self, runs: int) -> int:
        """Usable runs that are missing and may still be made."""
        usable = sum(not trace.stalled for trace in self.traces)
        return min(runs - usable, 2 * runs - len(self.traces))

    def _measure(self, scenario: Scenario, runs: int, seed: int, voice: Voice, server: str | None) -> None:
        from reference_node.lab import replay, servers

        chosen = servers.choose(server)
        at_once = min(replay.default_parallel(), runs)
        seconds = -(-runs // at_once) * (scenario.run.horizon_ms / 1000 + START_S)
        voice.say(f"replaying {runs} runs on {chosen.flavour} {chosen.version}, {at_once} at once: "
                  f"about {seconds / 60:.0f} min")  # fmt: skip
        with voice.progress("replaying") as progress:
            first = 1 + max((trace.run for trace in self.traces), default=-1)
            for trace in replay.iter_replay(scenario, runs, seed, server, progress=progress, first=first):
                self.traces.append(trace)
                self.traces.sort(key=lambda each: each.run)
