"""Two configurations of one epoch after failing back: how often, for how long, and what the servers do meanwhile.

``python -m study.failing_back`` prints how often `SCENARIO` comes to it, simulated and in the stored real runs, and
what follows; ``--variant`` takes other servers or settings (`VARIANTS`), ``--measure N`` makes real runs until N usable
ones are stored, ``--set`` and ``--sweep`` ask the simulation alone. docs/failing_back.md tells what it is about.

The clash is told from logs, which do not say the epoch of a configuration: a sentinel ends its own failover, though one
of a later epoch has promoted another server for at least a hello period. It has heard of that, takes over the epoch and
keeps its own primary. The next promotion ends the clash: its epoch is higher than both.

Left out: clashes that begin in other ways (two leaders of one epoch, two operators: `study.steering`).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from model.errors import HastudyError
from model.measures import proportion
from model.scenario import Scenario, load
from model.sentinel import PUBLISH_PERIOD_US
from model.trace import Event, Trace
from sim import simulate
from study import catalog, collect, folders, matrix, stored
from study.arms import Voice
from study.compare import newcombe

SCENARIO = catalog.folder() / "proofs" / "failing_back_while_the_first_leader_is_busy.toml"
RUNS = Path(__file__).resolve().parents[1] / "reports" / "failing_back" / "runs"
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    matrix.FAMILY: (matrix.FAMILY, ()),
    "8.2": ("8.2", ()),
    "valkey-9.1": ("valkey-9.1", ()),
    "quiet": (matrix.FAMILY, ("sentinel.failover_timeout_ms=60000", "run.horizon_ms=120000")),
}
"""Family of servers and changed settings of what was measured; quiet: host2 is demoted before the first leader ends."""
SEED = 20_261_125
"""Of the simulated runs. Kind: assumed."""


@dataclass(frozen=True, slots=True)
class Clash:
    """Two configurations of one epoch.

    Attributes
    ----------
    begin_us, end_us : int
        From the switch of the sentinel that was late to the next promotion, or to the end of the run; after the first
        fault.
    sentinel : str
        The one that was late.
    named, other : str
        The primary that it names, and the one that the later failover promoted.
    healed : bool
        A later failover came.
    """

    begin_us: int
    end_us: int
    sentinel: str
    named: str
    other: str
    healed: bool

    @property
    def lasts_s(self) -> float:
        """Seconds."""
        return (self.end_us - self.begin_us) / 1e6


def clash_of(trace: Trace) -> Clash | None:
    """The first clash of a run, None if there is none."""
    promotions: list[tuple[int, int, str]] = []
    for epoch, event in _with_epochs(trace):
        if event.event == "+promoted-slave":
            promotions.append((event.t_us, epoch, event.about))
        elif event.event == "+switch-master" and epoch:
            later = [
                (since_us, server) for since_us, number, server in promotions
                if number > epoch and server != event.about and event.t_us - since_us >= PUBLISH_PERIOD_US
            ]  # fmt: skip
            if later:
                return _until_the_next(trace, event, later[-1][1])
    return None


def _with_epochs(trace: Trace) -> Iterator[tuple[int, Event]]:
    """What sentinels report, with the epoch of the reporter's failover while one is in progress, else 0."""
    current: dict[str, int] = defaultdict(int)
    attempt: dict[str, int] = defaultdict(int)
    for event in trace.events:
        if event.actor != "sentinel" or event.t_us < 0:
            continue
        if event.event == "+new-epoch":
            current[event.host] = event.code
        elif event.event == "+try-failover":
            attempt[event.host] = current[event.host]
        elif event.event == "+config-update-from" or event.event.startswith("-failover-abort"):
            attempt[event.host] = 0
        yield attempt[event.host], event
        if event.event == "+switch-master":
            attempt[event.host] = 0


def _until_the_next(trace: Trace, switch: Event, other: str) -> Clash:
    ends = [e.t_us for e in trace.events if e.event == "+promoted-slave" and e.t_us > switch.t_us]
    end_us = min(ends, default=trace.horizon_us)
    return Clash(switch.t_us, end_us, switch.host, switch.about, other, bool(ends))


def writable_s(trace: Trace, clash: Clash) -> dict[int, float]:
    """How long so many servers took writes while the clash lasted, in s."""
    taking: set[str] = set()
    spent: dict[int, float] = defaultdict(float)
    reached_us = clash.begin_us
    probes = [event for event in trace.events if event.actor == "prober" and event.event.startswith("write-")]
    for event in probes:
        now_us = min(max(event.t_us, clash.begin_us), clash.end_us)
        spent[len(taking)] += (now_us - reached_us) / 1e6
        reached_us = now_us
        (taking.add if event.event == "write-accepted" else taking.discard)(event.about)
    spent[len(taking)] += (clash.end_us - reached_us) / 1e6
    return spent


def summary(traces: Iterable[Trace]) -> dict[str, Any]:
    """Share of runs with a clash, and what follows in these; stalled runs do not count."""
    usable = [trace for trace in traces if not trace.stalled]
    found = [(trace, clash) for trace in usable if (clash := clash_of(trace))]
    spent = [writable_s(trace, clash) for trace, clash in found]
    orders = [_orders(trace, clash) for trace, clash in found]
    return {
        "clash": proportion(len(found), len(usable)),
        "healed": proportion(sum(clash.healed for _, clash in found), len(found)),
        "lasts_s": _span([clash.lasts_s for _, clash in found]),
        "nobody_writable_s": _span([each[0] for each in spent]),
        "two_writable_s": _span([sum(s for count, s in each.items() if count > 1) for each in spent]),
        "orders": _span([float(each.total()) for each in orders]),
        "demoted": dict(Counter(" and ".join(sorted(each)) or "nobody" for each in orders)),
    }


def _orders(trace: Trace, clash: Clash) -> Counter[str]:
    """+convert-to-slave while the clash lasts, by the server that was told."""
    return Counter(
        event.about for event in trace.events
        if event.event == "+convert-to-slave" and clash.begin_us <= event.t_us <= clash.end_us
    )  # fmt: skip


def _span(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    return {"min": ordered[0], "p50": ordered[len(ordered) // 2], "max": ordered[-1]}


def real_scenario(variant: str = matrix.FAMILY) -> Scenario:
    """What stored runs of a variant were made of."""
    family, changes = VARIANTS[variant]
    return load(SCENARIO, list(changes)).on_version(family)


def measure(variant: str, runs: int, voice: Voice) -> None:
    """Make the real runs that are missing.

    Raises
    ------
    EnvironmentLacks
        They cannot be made here.
    """
    scenario = real_scenario(variant)
    cell = matrix.Cell(f"{scenario.name}[{variant}]", scenario, runs, main=False, fault_class=scenario.name, cause="")
    collect.collect([cell], collect.servers_by_family([]), RUNS, 2, voice)


def compared(variant: str, runs: int, seed: int) -> dict[str, Any]:
    """Both arms of a variant, and the difference of their shares."""
    scenario = real_scenario(variant)
    sim = summary(simulate(scenario, runs, seed))
    real = summary(stored.runs(scenario, RUNS))
    difference = newcombe(real["clash"], sim["clash"]) if real["clash"]["n"] else None
    return {"simulated": sim, "real": real, "difference": difference}


def to_text(found: dict[str, dict[str, Any]]) -> str:
    """A column for each arm."""
    names = next(iter(found.values()))
    rows = [[name.replace("_", " "), *(_words(arm[name]) for arm in found.values())] for name in names]
    return tabulate(rows, ["", *found], "github")


def _words(value: Any) -> str:
    if not value:
        return "-"
    if "k" in value:
        return f"{value['k']}/{value['n']} ({value['low']:.3f} to {value['high']:.3f})" if value["n"] else "-"
    if "p50" in value:
        return f"{value['p50']:.1f} ({value['min']:.1f} to {value['max']:.1f})"
    return ", ".join(f"{name}: {count}" for name, count in value.items())


def main(words: list[str] | None = None) -> int:
    """Run a command line."""
    parser = argparse.ArgumentParser(prog="python -m study.failing_back", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="simulated runs (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S")
    parser.add_argument("--measure", type=int, default=0, metavar="N", help="real runs to have in store")
    parser.add_argument("--variant", choices=VARIANTS, default=matrix.FAMILY, help="default %(default)s")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="simulate with other settings")
    parser.add_argument("--sweep", metavar="KEY=V,V,...", help="simulate once for each value; simulation only")
    parser.add_argument("--json", action="store_true", help="print data")
    args = parser.parse_args(words)
    try:
        if args.measure:
            measure(args.variant, args.measure, Voice())
        found = _asked(args)
    except HastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was measured is stored", file=sys.stderr)
        return 130
    print(folders.to_json(found) if args.json else to_text({k: arm for k, arm in found.items() if k != "difference"}))
    return 0


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """Both arms; or the simulation alone, with other settings, for each value of a sweep."""
    if not args.set and not args.sweep:
        return compared(args.variant, args.runs, args.seed)
    key, _, values = (args.sweep or "").partition("=")
    changes = {f"{key}={value}": [*args.set, f"{key}={value}"] for value in values.split(",")} if key else {}
    return {
        name: summary(simulate(load(SCENARIO, change), args.runs, args.seed))
        for name, change in (changes or {"simulated": args.set}).items()
    }


if __name__ == "__main__":
    sys.exit(main())
