"""Carries out experiments on the foreign clients that are installed, and writes ``measured.json``.

``python tests/foreign/measure.py`` does all, side by side, in about an hour; ``--only CLIENT.TRANSPORT.EXPERIMENT``
with shell wildcards does some and replaces their entries. Each entry of the file has

``client``, ``version``, ``transport``, ``experiment``
    What was measured.
``n``, ``runs``
    How often, and what each run showed:

    ``struck``
        Host that the fault struck; null where there was none.
    ``registers``
        Every REGISTER that was no retransmission: seconds since the fault (else since the start of the client), host,
        and status of the answer (null for silence; ``lost`` if the host was not there).
    ``copies``
        Retransmissions.
    ``connections``
        Every connection: seconds, host, and ``opened``, ``closed`` (as the host sees it) or ``tried`` (to a host that
        was not there or refused it).
    ``pings``
        Every keep-alive: seconds, host, bytes.
    ``look_ups``
        Seconds of every query for SRV records.

    Each list ends after `MOST` items.

`history` makes a run out of what a rig has seen.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from operator import itemgetter
from pathlib import Path
from typing import IO

from clients import CLIENTS
from experiments import EXPERIMENTS

from reference_node.lab import isolation

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("experiments.py")
MEASURED = Path(__file__).with_name("measured.json")
SIDE_BY_SIDE = 60
"""Runs at once. Kind: assumed (each takes 100 MB)."""

MOST = 32
"""Items of each list that are kept. Kind: assumed."""

START_EVERY_S = 3.0
"""Pause between starts, so that they do not disturb each other. Kind: assumed (a start costs about 2 s of a core)."""

Event = dict[str, object]
History = dict[str, object]


def history(events: Sequence[Event], experiment: str) -> History:
    """What a run showed.

    Parameters
    ----------
    events : sequence of Event
        What the rig has seen.
    experiment : str
    """
    faults = [event for event in events if event["event"] == "step" and event["what"] == experiment]
    begin = (faults or events)[0]["t"]

    def seen(*kinds: str) -> Iterator[tuple[float, Event]]:
        return ((round(event["t"] - begin, 2), event) for event in events if event["event"] in kinds)

    registers = [(t, event) for t, event in seen("request") if event["method"] == "REGISTER"]
    knocks = [(t, event) for t, event in seen("knock") if not event["ping"]]
    answered = [[t, event["host"], event["answer"]] for t, event in registers if event["copy"] == 0]
    lost = [[t, event["host"], "lost"] for t, event in knocks if event["copy"] == 0 and event["transport"] == "udp"]
    streams = [[t, event["host"], event["event"]] for t, event in seen("opened", "closed")]
    tried = [[t, event["host"], "tried"] for t, event in knocks if event["copy"] == 0 and event["transport"] != "udp"]
    return {
        "struck": faults[0]["host"] if faults else None,
        "registers": sorted(answered + lost, key=itemgetter(0))[:MOST],
        "copies": sum(event["copy"] > 0 for _, event in registers + knocks),
        "connections": sorted(streams + tried, key=itemgetter(0))[:MOST],
        "pings": [[t, event["host"], event["kind"]] for t, event in seen("ping")][:MOST],
        "look_ups": [t for t, event in seen("query") if event["type"] == "SRV"][:MOST],
    }


def entry(lines: Sequence[Event]) -> dict[str, object]:
    """One run's entry of the file, from what `experiments` wrote."""
    about, *events = lines
    return {**about, "n": 1, "runs": [history(events, about["experiment"])]}


def merge(entries: Sequence[dict]) -> list[dict]:
    """Entries of the same experiment become one."""
    merged: dict[tuple, dict] = {}
    for one in entries:
        key = (one["client"], one["transport"], one["experiment"], one["version"])
        if key in merged:
            merged[key]["runs"] += one["runs"]
            merged[key]["n"] += one["n"]
        else:
            merged[key] = one
    return [merged[key] for key in sorted(merged)]


def write(entries: Sequence[dict]) -> None:
    """Write the file: one line a run, so that changes can be read."""
    blocks = []
    for one in entries:
        head = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in one.items() if key != "runs")
        runs = ",\n  ".join(json.dumps(run) for run in one["runs"])
        blocks.append(f'{{{head}, "runs": [\n  {runs}]}}')
    MEASURED.write_text("[\n" + ",\n".join(blocks) + "\n]\n")


def run(client: str, transport: str, experiment: str, output: IO[str]) -> subprocess.Popen:
    """Start one experiment in namespaces of its own, which writes what was seen to `output`."""
    what = [sys.executable, str(SCRIPT), client, transport, experiment]
    command = isolation.worker_command("namespaces", what)
    return subprocess.Popen(command, stdout=output, env={**os.environ, "PYTHONPATH": str(ROOT)})


def chosen(patterns: Sequence[str]) -> list[tuple[str, str, str]]:
    """Client, transport and experiment of every run that fits a pattern, the longest first."""
    runs = [
        (client.name, transport, name)
        for client in CLIENTS.values()
        if client.version()
        for name, experiment in EXPERIMENTS.items()
        for transport in client.transports
        if transport in experiment.transports
        if any(fnmatch(f"{client.name}.{transport}.{name}", pattern) for pattern in patterns)
    ]
    return sorted(runs, key=lambda one: -EXPERIMENTS[one[2]].watch_s)


def carry_out(runs: Sequence[tuple[str, str, str]]) -> Iterator[dict]:
    """Do runs side by side; entries come as they end."""
    waiting, going = list(runs), {}
    while waiting or going:
        if waiting and len(going) < SIDE_BY_SIDE:
            output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the run
            going[run(*waiting.pop(0), output)] = output
        time.sleep(START_EVERY_S)
        for process in [process for process in going if process.poll() is not None]:
            with going.pop(process) as output:
                output.seek(0)
                lines = [json.loads(line) for line in output]
            if process.returncode == 0:  # else it has said why
                yield entry(lines)
        if sys.stderr.isatty():
            print(f"\r{len(waiting)} to start, {len(going)} going ", end="", file=sys.stderr)


def main() -> None:
    """Measure, and write what was measured into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="CLIENT.TRANSPORT.EXPERIMENT", help="shell wildcards")
    parser.add_argument("--runs", type=int, default=1, help="of each experiment")
    arguments = parser.parse_args()
    isolation.resolve("namespaces")
    runs = chosen(arguments.only or ["*"])
    fresh = merge(list(carry_out(runs * arguments.runs)))
    known = json.loads(MEASURED.read_text()) if MEASURED.exists() else []
    kept = [one for one in known if (one["client"], one["transport"], one["experiment"]) not in set(runs)]
    write(merge(kept + fresh))


if __name__ == "__main__":
    main()
