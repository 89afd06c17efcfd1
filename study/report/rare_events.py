"""Failovers that nobody needed, however rare: how often, and is the splitting right?

Writes ``reports/rare_events/``:

=======================  ===========================================================================
``report.md``            question, answer, checks, limits
``tables/answer.csv``    what begins the cycles of the example, and what comes of it
``tables/closed.csv``    one kind of stall: splitting against the closed form of `model.bounds`
``tables/crude.csv``     several at once, and losses: splitting against crude simulation
``tables/chain.csv``     a Markov chain: splitting against exact solutions
``tables/coverage.csv``  how many of many intervals hold the truth
``tables/storm.csv``     made by ``python -m study.rare.storm``: the chain by Storm
``manifest.json``        command, seed, versions, machine
=======================  ===========================================================================
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy import stats

from model.bounds import HOUR_MS, YEAR_MS, group_of, start
from model.scenario import Scenario, load
from sim.splitting import LEVEL, choose_levels, interval, split
from study import catalog
from study.exits import ExitCode
from study.rare.causes import groups_of
from study.rare.chain import Chain, ChainWalk, solve
from study.rare.estimate import Event, Study, crude, prepare, replications
from study.rare.summary import summary
from study.report import pages
from study.report.pages import Order, Row, markdown
from study.tune.inputs import check
from study.tune.runs import without_nodes

TITLE = "Failovers that nobody needed, however rare"

RUNS = 20
"""Replications of each estimate. Kind: assumed."""
EFFORT = 200
"""Walks a level. Kind: assumed."""
CRUDE_CYCLES = 20_000
"""Kind: assumed (some twenty events or more)."""
SEEDS = 150
"""Estimates of the same probability whose intervals are counted. Kind: assumed (2.5 % of standard error)."""
COVERAGE_EFFORT, COVERAGE_RUNS = 100, 20
"""Of each of these. Kind: assumed (half the default effort)."""

MEANS_MS = (400.0, 300.0, 220.0, 170.0, 140.0, 110.0)
PER_YEAR = 500.0
DELAY_MS = 2_000
"""Delay of the checks: short, so that crude simulation sees something."""


def make(order: Order) -> ExitCode:
    """Find the numbers, write tables and text."""
    storm = read_storm(order.folder / "tables/storm.csv")
    runs = order.runs or RUNS
    parts = {
        "answer": lambda: answer(runs, order.seed),
        "closed": lambda: closed(runs, order.seed),
        "crude": lambda: against_crude(runs, order.seed),
        "chain": lambda: chains(storm, runs, order.seed),
        "coverage": lambda: coverage(storm, order.seed),
    }
    tables = {}
    with order.voice.progress("rare events") as progress:
        for number, (name, rows) in enumerate(parts.items()):
            progress(number / len(parts), name)
            tables[name] = rows()
    pages.write_tables(order.folder, tables)
    pages.finish(order, TITLE, text(tables), runs, [example(), quick(), with_losses()], {})
    return ExitCode.OK


# --- what is asked ---------------------------------------------------------------------------------------------------


def example() -> Scenario:
    """The deployment guide's three hosts, quorum of 2, and 10 s."""
    found = load(catalog.folder() / "host_loss/primary_host_vanishes.toml")
    return without_nodes(found).model_copy(update={"name": "deployment_guide"})


def quick() -> Scenario:
    """The same with the delay of the checks."""
    sentinel = example().sentinel.model_copy(update={"down_after_ms": DELAY_MS})
    return example().model_copy(update={"name": "delay_of_2s", "sentinel": sentinel})


def with_losses() -> Scenario:
    """The same with registrar nodes."""
    found = load(catalog.folder() / "host_loss/primary_host_vanishes.toml")
    return found.model_copy(update={"name": "delay_of_2s_nodes", "client": (), "sentinel": quick().sentinel})


def stall(of: str, per_year: float, **law: Any) -> Row:
    """A ``[[stall]]``."""
    return {"of": of, "per_year": per_year, **law}


def study(scenario: Scenario, stalls: list[Row], seed: int, event: Event = "needless") -> Study:
    """Ready to be estimated."""
    conditions = check({"schema": 1, "stall": stalls}, "report")
    return Study(scenario, groups_of(scenario, conditions, Path()), event, EFFORT, seed)


def estimated(asked: Study, runs: int) -> dict[str, Any]:
    """The JSON of `hastudy rare`."""
    ready = prepare(asked, lambda share, words: None)
    return summary(asked, ready, list(replications(asked, ready, runs, None)), 1.0)


EXAMPLE_STALLS = [
    stall("redis", 500.0, law="lognormal", median_ms=300.0, sigma=0.7),
    stall("host", 12.0, law="exponential", mean_ms=700.0),
    stall("link", 2_000.0, law="lognormal", median_ms=300.0, sigma=0.8),
    stall("other-host", 12.0, law="exponential", mean_ms=700.0),
]
"""Kind: assumed."""


# --- the tables ------------------------------------------------------------------------------------------------------


def answer(runs: int, seed: int) -> list[Row]:
    """Each kind of beginning, and all together."""
    data = estimated(study(example(), EXAMPLE_STALLS, seed), runs)
    rows = [
        {"begins_with": ", ".join(cause["causes"]), "length": cause["from"],
         "begins_per_hour": cause["beginnings_per_hour"], "in_a_cycle": cause["in_a_cycle"]["value"],
         **_spread(cause["per_hour"])}
        for cause in data["causes"]
    ]  # fmt: skip
    all_ = {"begins_with": "all", "length": "", "begins_per_hour": sum(row["begins_per_hour"] for row in rows)}
    work = {"crude_cycles": data["work"]["crude_cycles"], "simulated_h": data["work"]["simulated_h"]}
    nothing = dict.fromkeys(work)
    return [*(row | nothing for row in rows), all_ | {"in_a_cycle": None} | _spread(data["per_hour"]) | work]


def _spread(found: dict[str, float]) -> Row:
    return {"per_hour": found["value"], "low": found["low"], "high": found["high"]}


def closed(runs: int, seed: int) -> list[Row]:
    """Stalls of the primary's Redis alone, exponential, of shorter and shorter mean."""
    law = start(group_of(quick(), "frozen"))
    rows = []
    for mean_ms in MEANS_MS:
        exact = PER_YEAR * HOUR_MS / YEAR_MS * float(law.mass @ np.exp(-law.points_ms / mean_ms))
        stalls = [stall("redis", PER_YEAR, law="exponential", mean_ms=mean_ms)]
        found = estimated(study(quick(), stalls, seed), runs)
        rows.append({"mean_ms": mean_ms, "closed_form_per_hour": exact, **_spread(found["per_hour"]),
                     "ratio": found["per_hour"]["value"] / exact,
                     "levels": len(found["causes"][0]["levels"])})  # fmt: skip
    return rows


def against_crude(runs: int, seed: int) -> list[Row]:
    """Probability in a cycle that begins with the first of some stalls: splitting, and cycles as they come."""
    cut = [stall("link", 3e6, law="exponential", mean_ms=900.0), stall("redis", 1e5, law="exponential", mean_ms=200.0)]
    both = [stall("redis", 1e6, law="lognormal", median_ms=300.0, sigma=0.8),
            stall("other-host", 1e6, law="exponential", mean_ms=600.0),
            stall("link", 1e6, law="exponential", mean_ms=500.0)]  # fmt: skip
    redis = [stall("redis", PER_YEAR, law="exponential", mean_ms=500.0)]
    cases = [("two links cut at once", study(quick(), cut, seed)),
             ("stalls of Redis among others", study(quick(), both, seed)),
             ("registrations lost", study(with_losses(), redis, seed, "lost"))]  # fmt: skip
    rows = []
    for name, asked in cases:
        found = estimated(asked, runs)["causes"][0]["in_a_cycle"]
        mean, error = crude(asked, 0, CRUDE_CYCLES, None)
        half = float(stats.norm.ppf((1 + LEVEL) / 2)) * error
        rows.append({"case": name, "split": found["value"], "split_low": found["low"], "split_high": found["high"],
                     "crude": mean, "crude_low": mean - half, "crude_high": mean + half, "crude_cycles": CRUDE_CYCLES,
                     "overlap": found["low"] <= mean + half and mean - half <= found["high"]})  # fmt: skip
    return rows


def chains(storm: list[tuple[Chain, float]], runs: int, seed: int) -> list[Row]:
    """Probability in a cycle, three ways; and events an hour."""
    rows = []
    for number, (chain, by_storm) in enumerate(storm):
        exact = solve(chain)
        mean, low, high = interval(chain_values(chain, EFFORT, runs, np.random.SeedSequence((seed, number))))
        rows.append({"sentinels": chain.sentinels, "quorum": chain.quorum, "cut_per_h": chain.cut_per_h,
                     "mended_per_s": chain.mended_per_s, "stages": chain.stages, "storm": by_storm,
                     "equations": exact.probability, "split": mean, "low": low, "high": high,
                     "holds": low <= by_storm <= high, "per_hour": exact.per_hour})  # fmt: skip
    return rows


def chain_values(chain: Chain, effort: int, runs: int, seed: np.random.SeedSequence) -> list[float]:
    """Replications of one estimate, with a pilot of its own."""
    chance = np.random.default_rng(seed)
    walk = ChainWalk(chain, chance)
    levels = choose_levels(walk, effort, chance)
    return [split(walk, levels, effort, chance).value for _ in range(runs)]


def coverage(storm: list[tuple[Chain, float]], seed: int) -> list[Row]:
    """Of many intervals for the same probability: how many hold it."""
    rows = []
    for number in (1, 3):
        chain, exact = storm[number]
        tasks = (
            delayed(chain_values)(chain, COVERAGE_EFFORT, COVERAGE_RUNS, np.random.SeedSequence((seed, number, each)))
            for each in range(SEEDS)
        )
        found = [interval(values) for values in Parallel(n_jobs=-1)(tasks)]
        held = sum(low <= exact <= high for _, low, high in found)
        test = stats.binomtest(held, SEEDS).proportion_ci(LEVEL, method="wilson")
        means = np.array([mean for mean, _, _ in found])
        rows.append({"probability": exact, "estimates": SEEDS, "effort": COVERAGE_EFFORT, "runs": COVERAGE_RUNS,
                     "held": held, "share": held / SEEDS, "share_low": float(test.low), "share_high": float(test.high),
                     "mean_ratio": float(means.mean() / exact),
                     "mean_ratio_error": float(means.std(ddof=1) / exact / np.sqrt(SEEDS))})  # fmt: skip
    return rows


def read_storm(path: Path) -> list[tuple[Chain, float]]:
    """What ``python -m study.rare.storm`` has written."""
    whole = ("sentinels", "quorum", "stages")
    with path.open(encoding="utf-8") as file:
        return [
            (Chain(**{name: (int if name in whole else float)(row[name]) for name in Chain.__dataclass_fields__}),
             float(row["probability"]))
            for row in csv.DictReader(file)
        ]  # fmt: skip


# --- the text --------------------------------------------------------------------------------------------------------


def text(tables: dict[str, list[Row]]) -> list[str]:
    """Block by block."""
    whole = tables["answer"][-1]
    years = HOUR_MS / YEAR_MS / whole["per_hour"]
    checks = tables["crude"]
    chain_held = sum(row["holds"] for row in tables["chain"])
    return [
        "How often does a cluster fail over although its primary lives, when that is too rare to be simulated as it "
        "is? `hastudy rare` estimates it by importance splitting ([docs/rare.md](../../docs/rare.md)); here is an "
        "example, and what the method was checked with.",
        f"**The example**: with the deployment guide's three hosts, a delay of 10 s and assumed stalls (table), "
        f"{whole['per_hour']:.2g} needless failovers an hour (90 % interval {whole['low']:.2g} to "
        f"{whole['high']:.2g}), one in {years:.2g} years. To know it as well, crude simulation needs "
        f"{whole['crude_cycles']:.2g} disturbances; these took {whole['simulated_h']:.2g} h of simulated time.",
        markdown(tables["answer"]),
        "## One kind of stall: against the closed form",
        f"Stalls of the primary's Redis, {PER_YEAR:g} a year, exponential; delay {DELAY_MS / 1000:g} s. The closed "
        "form ([docs/tune.md](../../docs/tune.md)) works on a grid of 1 ms and leaves out an earlier detector that "
        "asks again.",
        markdown(tables["closed"]),
        "## Several at once, and losses: against crude simulation",
        f"Probability, or registrations lost by the probers, in a cycle that begins with the case's first kind of "
        f"stall. Intervals of 90 % overlap in {sum(row['overlap'] for row in checks)} of {len(checks)} cases.",
        markdown(checks),
        "## A Markov chain: against exact solutions",
        "Sentinels whose links are cut and mended, and suspect after some exponential stages (`study/rare/chain.py`): "
        "the same splitting code, with the same boost and weights, against Storm (exact arithmetic, one module a "
        f"sentinel) and against linear equations (chain lumped). The 90 % interval holds Storm's value in {chain_held} "
        f"of {len(tables['chain'])} cases.",
        markdown(tables["chain"]),
        "## Do the intervals hold what they say?",
        "The same estimate from many seeds, each with a pilot of its own; `share` should be 0.9, `mean ratio` 1.",
        markdown(tables["coverage"]),
        "## Limits",
        "Splitting is unbiased, but its estimates lean to the right: with little effort most are too low and few much "
        "too high, and the interval then holds less often than it says. Where two things must overlap, take more "
        "`--effort`. Laws of stalls are taken at their word: their tails decide everything, and no simulation knows "
        "them.",
    ]
