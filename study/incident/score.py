"""How well incidents are understood: stored runs whose faults are known, their clocks made wrong on purpose.

``python -m study.incident.score`` takes some runs of every cell of the matrix and of the reports, moves the stamps of
each host by a random number of seconds of up to an hour, and asks: do the intervals of the offsets contain the truth,
and is the fault inferred that was made? It prints the two tables of docs/incident.md.

Faults that look alike in logs are one class (`CLASSES`): what cannot be told apart is not scored as if it could.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tabulate import tabulate

from model.conform import configuration
from model.scenario import load
from model.trace import Event, Trace, read_traces
from study import catalog, stored
from study.incident import clocks, faults, hosts, logs, settings

REPORTS = Path(__file__).resolve().parents[2] / "reports"

MOST_S = 3600
"""Clocks are moved by up to so many whole seconds, either way. Kind: assumed (a forgotten time zone); whole ones since
the line that tells when a sentinel may try again tells no fractions."""

CLASSES = {
    ("crash", "redis"): "process killed",
    ("crash", "all"): "host killed",
    ("crash", "sentinel"): "sentinel killed",
    ("vanish", "all"): "cut off",
    ("partition", "all"): "cut off",
    ("drop", "all"): "one way lost",
    ("pause", "redis"): "process hangs",
    ("busy", "redis"): "process hangs",
    ("pause", "all"): "host frozen",
    ("fail-saves", "redis"): "saves fail",
    ("pause", "sentinel"): "tilt",
    ("step", "all"): "tilt",
    ("failover", "all"): "asked for",
}
"""What kinds of faults look like in logs."""

NONE = "nothing"
PROGRAMS = ("all", "redis", "sentinel", "registrar")
LINKED = re.compile(r"sync: (?:(?:Master|Primary) accepted a Partial Res|Finished with success)", re.IGNORECASE)
STAMP = re.compile(r"^(\d+:[A-Z] )(\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3})")
UNTIL = re.compile(r"(I will not start a failover before )(.+)$")
DAY = "%a %b %d %H:%M:%S %Y"
FORMAT = "%d %b %Y %H:%M:%S.%f"


@dataclass(slots=True)
class Score:
    """What came of all runs.

    Attributes
    ----------
    classes : Counter of (str, str)
        Class of the first fault, made and inferred.
    contained, wrong, open : int
        Offsets whose interval has the truth, has not, or is open to a side.
    widths_ms : list of int
        Of closed intervals.
    misses : list of str
        Runs whose class was not inferred.
    first_right, spurious : int
        Runs whose very first inference, whatever it is about, is of a host that was struck and of the right class; runs
        with an inference about a host that nobody struck.
    settings : Counter of (str, str)
        By setting: how often it was estimated (``told``), in the limits (``within``), and right (``right``).
    """

    classes: Counter[tuple[str, str]] = field(default_factory=Counter)
    contained: int = 0
    wrong: int = 0
    open: int = 0
    widths_ms: list[int] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    first_right: int = 0
    spurious: int = 0
    settings: Counter[tuple[str, str]] = field(default_factory=Counter)


def score(folder: Path, runs: int, seed: int, only: str = "") -> Score:
    """Score the first `runs` runs of each archive below a folder whose name contains `only`."""
    total = Score()
    for path in sorted(folder.rglob("*.logs.xz")):
        if only in path.name:
            traces = {
                trace.run: trace for trace in read_traces(path.with_name(path.name.replace(".logs.", ".ndjson.")))
            }
            true = _true_settings(path)
            for run, texts in runs_of(path, runs):
                _score_run(total, path.name, texts, traces[run], true, random.Random(f"{seed} {path.name} {run}"))
    return total


def runs_of(path: Path, most: int) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Logs of each run by host and program."""
    by_run: dict[int, dict[str, list[str]]] = defaultdict(dict)
    for entry in stored.logs(path):
        if entry["program"] != stored.SETTINGS:
            by_run[entry["run"]][f"{entry['host']}/{entry['program']}.log"] = entry["text"].splitlines()
    for run in sorted(by_run)[:most]:
        yield run, by_run[run]


def _true_settings(path: Path) -> dict[str, int]:
    lines = next(stored.logs(path))["text"].splitlines()
    group = next(iter(configuration(lines).groups.values()))
    return {"down_after_ms": group.down_after, "failover_timeout_ms": group.failover_timeout}


def _score_run(
    total: Score,
    name: str,
    texts: dict[str, list[str]],
    trace: Trace,
    true: dict[str, int],
    chance: random.Random,
) -> None:
    of_file = {file: file.partition("/")[0] for file in texts}
    own_ms = _own_ms(trace, set(of_file.values()))
    moved_ms = {host: 1000 * chance.randint(-MOST_S, MOST_S) for host in sorted(own_ms)}
    ended_ms = _ended_ms(texts, trace, own_ms)
    texts = {file: moved(_until(lines, ended_ms + own_ms[of_file[file]]), moved_ms[of_file[file]])
             for file, lines in texts.items()}  # fmt: skip
    given = logs.evidence(texts)
    cluster = hosts.identify(given)
    found = clocks.align(given, cluster)
    if not any(event.event in ("step", "drift") for event in trace.events):
        _score_clocks(total, found, {host: moved_ms[host] + own for host, own in own_ms.items()})
    known = settings.settings(given, cluster)
    for setting, value in true.items():
        if known[setting].source == settings.ESTIMATED:
            total.settings[setting, "told"] += 1
            total.settings[setting, "within"] += known[setting].low <= value <= known[setting].high
            total.settings[setting, "right"] += known[setting].value == value
    inferred = faults.infer(faults.Scene.of(given, cluster, found, known["down_after_ms"]))
    pair = made(trace.events), told(inferred, trace.events)
    total.classes[pair] += 1
    struck = _struck(trace.events)
    total.spurious += any(not {each.host, each.to} & struck for each in inferred)
    about = {inferred[0].host, inferred[0].to} if inferred else struck
    total.first_right += bool(about & struck or not struck) and made(trace.events) == told(inferred, ())
    if pair[0] != pair[1]:
        total.misses.append(f"{name.partition('.')[0]} run {trace.run}: {pair[0]}, inferred {pair[1]}")


def _own_ms(trace: Trace, names: set[str]) -> dict[str, int]:
    """By how much the scenario had set the clocks of hosts wrong."""
    known = {path.stem: path for path in catalog.files(catalog.folder())}
    path = known.get(trace.scenario)
    offsets = {host.name: host.clock_offset_ms for host in load(path).host} if path else {}
    return {name: offsets.get(name, 0) for name in names}


def _ended_ms(texts: dict[str, list[str]], trace: Trace, own_ms: dict[str, int]) -> int:
    """When the run ended and its servers were taken down, which is not part of it: ms by the true clock."""
    linked = next(event for event in trace.events if event.event == "link-up")
    line = next(line for line in texts[f"{linked.host}/redis.log"] if LINKED.search(line))
    return stamp_ms(line) - own_ms[linked.host] + (trace.horizon_us - linked.t_us) // 1000


def _until(lines: Sequence[str], end_ms: int) -> list[str]:
    return [line for line in lines if stamp_ms(line) <= end_ms]


def stamp_ms(line: str) -> int:
    """Stamp of a line, ms since the epoch; 0 without one."""
    found = STAMP.match(line)
    return round(datetime.strptime(found[2], FORMAT).replace(tzinfo=UTC).timestamp() * 1000) if found else 0


def _score_clocks(total: Score, found: clocks.Clocks, true_ms: dict[str, int]) -> None:
    for (host, stretch), offset in found.offsets.items():
        if host not in true_ms or host == found.reference or stretch:
            continue
        truth = true_ms[host] - true_ms[found.reference]
        low, high = offset.low_ms, offset.high_ms
        if low is None or high is None:
            total.open += 1
        else:
            total.widths_ms.append(high - low)
        is_in = (low is None or low <= truth) and (high is None or truth <= high)
        total.contained += is_in
        total.wrong += not is_in


def moved(lines: Sequence[str], by_ms: int) -> list[str]:
    """Lines of a log as a clock that is ahead by so much would have stamped them (one line tells a time itself)."""
    return [UNTIL.sub(lambda found: found[1] + _later_day(found[2], by_ms),
                      STAMP.sub(lambda found: found[1] + _later(found[2], by_ms), line)) for line in lines]  # fmt: skip


def _later_day(told: str, by_ms: int) -> str:
    moment = datetime.strptime(told, DAY).replace(tzinfo=UTC) + timedelta(milliseconds=by_ms)
    return moment.strftime(DAY)


def _later(stamp: str, by_ms: int) -> str:
    moment = datetime.strptime(stamp, FORMAT).replace(tzinfo=UTC) + timedelta(milliseconds=by_ms)
    return moment.strftime("%d %b %Y %H:%M:%S.") + f"{moment.microsecond // 1000:03}"


def made(events: Sequence[Event]) -> str:
    """Class of the first fault that was made; none if no sentinel and no server wrote a word about it."""
    struck = [event for event in events if event.actor == "fault"]
    if not any(event.actor in ("sentinel", "redis") and event.t_us > 0 for event in events):
        return NONE
    found = (CLASSES.get((_kind(event, struck), _process(event))) for event in struck)
    return next((kind for kind in found if kind), NONE)


def _kind(event: Event, struck: Sequence[Event]) -> str:
    """All ways from, or to, one host lost: it is cut off."""
    ways = {frozenset((each.host, each.about)) for each in struck if each.event == "drop"}
    return "vanish" if event.event == "drop" and (not event.about or len(ways) > 1) else event.event


def _process(event: Event) -> str:
    if event.event in ("busy", "fail-saves"):
        return "redis"
    return PROGRAMS[event.code] if event.event in ("crash", "pause") else "all"


def _struck(events: Sequence[Event]) -> set[str]:
    """Hosts that any fault was about."""
    found = {name for event in events if event.actor == "fault" for name in (event.host, event.about)}
    return found - {""}


def told(inferred: Sequence[faults.Inferred], events: Sequence[Event]) -> str:
    """Class of the first fault that was inferred of the host that was struck first; else of the first one."""
    struck = next(({event.host, event.about} for event in events if event.actor == "fault"), set())
    own = [each for each in inferred if each.host in struck or each.to in struck]
    found = (CLASSES.get((each.kind, each.process)) for each in own or inferred)
    return next((kind for kind in found if kind), NONE)


def table(total: Score) -> str:
    """Made against inferred, and how good the clocks are; Markdown."""
    kinds = [kind for kind in (*dict.fromkeys(CLASSES.values()), NONE) if any(kind in pair for pair in total.classes)]
    rows = [[kind, *(total.classes[kind, other] or "" for other in kinds)] for kind in kinds]
    widths = sorted(total.widths_ms)
    told_ = [["offsets whose interval contains the truth", f"{total.contained} of {total.contained + total.wrong}"],
             ["open to one side (the host wrote too little)", total.open]]  # fmt: skip
    told_ += [[f"width of closed intervals, {percent} % quantile", f"{widths[(len(widths) - 1) * percent // 100]} ms"]
              for percent in (50, 90, 95)]  # fmt: skip
    runs = sum(total.classes.values())
    told_.append(
        ["first inference right in class and host, whatever else was inferred", f"{total.first_right} of {runs}"]
    )
    told_.append(["runs with an inference about a host that nobody struck", f"{total.spurious} of {runs}"])
    for setting in sorted({name for name, _ in total.settings}):
        told, within, right = (total.settings[setting, what] for what in ("told", "within", "right"))
        told_.append([f"{setting} estimated from the lines: within the limits, exactly right",
                      f"{within}, {right} of {told}"])  # fmt: skip
    return "\n\n".join([tabulate(rows, ["made \\ inferred", *kinds], tablefmt="github"),
                        tabulate(told_, ["clocks, first inferences, settings", ""], tablefmt="github")])  # fmt: skip


def main() -> None:
    """Print the tables, and the runs that were not understood."""
    parser = argparse.ArgumentParser(prog="python -m study.incident.score", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each archive (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the wrong clocks (default %(default)s)")
    parser.add_argument("--only", default="", help="archives whose name contains this")
    args = parser.parse_args()
    total = score(REPORTS, args.runs, args.seed, args.only)
    print(table(total))
    print("\n".join(["", *total.misses]))


if __name__ == "__main__":
    main()
