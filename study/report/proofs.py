"""What can happen in a failover, and what cannot: every search of the explorer, and what ties it to reality.

Writes ``reports/proofs/``:

=======================  =============================================================================
``report.md``            question, answer, tables, pictures, limits
``tables/*.csv``         searches, verdicts, mutants, bounds, crosscheck, real: every number of the text
``paths/NAME.*``         counterexamples and witnesses: text, space-time diagram, Mermaid, ShiViz, JSON
``map.svg``              every way that an election of three sentinels can go
``kept/*.json``          what was found; written after each search, so that an interrupted report goes on
``manifest.json``        command, versions, machine
=======================  =============================================================================

With ``--stored`` what is kept is not made again. There is no chance in any of it, so no seed: on every
machine the same states are counted, only seconds differ. Mutants are those of ``tests/explorer/test_mutants.py``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path as File
from typing import Any

from model.errors import EnvironmentLacks
from model.explorer import Election, Search
from model.explorer.checking import verdicts_of
from model.explorer.graph import Walked
from model.explorer.parts import Model
from study import catalog, folders, paths
from study.crosscheck.compare import Comparison, compare
from study.crosscheck.sizes import Size
from study.exits import ExitCode
from study.paths.map import draw, fold
from study.report import pages, searches
from study.report.pages import Order, Row, Table, markdown, the, where
from study.report.searches import LARGE, SEARCHES, Case, Found, path_of

TITLE = "What can happen in a failover, and what cannot"

SIZES = (Size(2, 2, 2, stalls=True), Size(3, 2, 1))
"""Elections that Spin and TLC search as well; docs/crosscheck.md has larger ones."""

MOST_WHOLE = 200_000
"""States up to which Spin and TLC count whole spaces. Kind: assumed (seconds)."""

MUTANTS = catalog.folder().parent / "tests/explorer/test_mutants.py"

SHOWN = (
    ("two_leaders", "election, 2 epochs, all may be late", "one-leader"),
    ("lost_host", "for good: host", "fails-over"),
    ("quorum_of_all", "quorum 3: host, for good", "accepts-writes"),
    ("two_hosts_lost", "for good: two hosts", "accepts-writes"),
    ("two_writable", "one fault: host", "two-writable"),
    ("empty_restart", "server restarts empty", "data-survives"),
    ("two_primaries_of_one_configuration", LARGE.name, "one-primary-per-configuration"),
)  # fmt: skip
"""Paths that are drawn: name, search, property."""


def make(order: Order) -> ExitCode:
    """Search, prove, compare, and write it all down."""
    order.folder.mkdir(parents=True, exist_ok=True)
    found = explored(order)
    tables = {
        "searches": search_rows(found), "verdicts": verdict_rows(found), "mutants": kept(order, "mutants", mutants),
        "bounds": kept(order, "bounds", bounds), "crosscheck": kept(order, "crosscheck", crosscheck), "real": real(),
    }  # fmt: skip
    pages.write_tables(order.folder, tables)
    for name, search, key in SHOWN:
        write_path(order.folder / "paths", name, found[search].paths[key])
    (order.folder / "map.svg").write_text(draw(fold(Walked(Election(epochs=1)))), encoding="utf-8")
    made = manifest(order)
    folders.dump(order.folder / "manifest.json", made)
    (order.folder / "report.md").write_text("\n\n".join(text(order, tables, made)) + "\n", encoding="utf-8")
    return ExitCode.OK if all(row["verdict"] == row["expected"] for row in tables["mutants"]) else ExitCode.FINDING


# --- what is found ---------------------------------------------------------------------------------------------------


def explored(order: Order) -> dict[str, Found]:
    """What each search found, by name; kept after each."""
    file = order.folder / "kept" / "searches.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    found = read_searches(file) if order.stored and file.exists() else {}
    for case in (*SEARCHES, LARGE):
        if case.name not in found:
            found[case.name] = _look(case, order)
            folders.dump(file, [asdict(each) for each in found.values()])
    return {case.name: found[case.name] for case in (*SEARCHES, LARGE)}


def kept(order: Order, name: str, work: Callable[[], list[Row]]) -> list[Row]:
    """Rows of a table, made now or, if asked for, read; an empty table is always made now."""
    file = order.folder / "kept" / f"{name}.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if order.stored and file.exists() else []
    if not rows:
        order.voice.say(name)
        rows = work()
        file.parent.mkdir(exist_ok=True)
        folders.dump(file, rows)
    return rows


def read_searches(file: File) -> dict[str, Found]:
    """Searches that were kept."""
    return {each["name"]: Found(**each) for each in json.loads(file.read_text(encoding="utf-8"))}


def _look(case: Case, order: Order) -> Found:
    order.voice.say(case.name)
    with order.voice.progress(case.name) as show:
        return searches.look(case, lambda states, frontier: show(states / case.most, f"frontier {frontier:,}"))


def search_rows(found: Mapping[str, Found]) -> list[Row]:
    """A row a search."""
    return [
        {"search": each.name, "states": each.states, "steps": each.transitions, "depth": each.depth,
         "frontier": each.frontier, "finished": "yes" if each.finished else "no", "cpu_s": each.seconds,
         "states_per_s": round(each.states / each.seconds) if each.states >= 100_000 else None,
         "bytes_a_state": each.bytes_per_state if each.states >= 100_000 else None, "model": each.title}
        for each in found.values()
    ]  # fmt: skip


def verdict_rows(found: Mapping[str, Found]) -> list[Row]:
    """A row a property of a search."""
    return [
        {"search": each.name, **{name: verdict[name] for name in ("key", "kind", "verdict", "steps", "condition")},
         "sentence": verdict["sentence"], "source": verdict["source"]}
        for each in found.values() for verdict in each.verdicts
    ]  # fmt: skip


def mutants() -> list[Row]:
    """Machines broken on purpose: which property catches each, after how many steps."""
    spec = importlib.util.spec_from_file_location("broken_machines", MUTANTS)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return [_mutant(each) for each in module.MUTANTS]


def _mutant(mutant: Any) -> Row:
    whole = getattr(mutant.module, mutant.name)
    setattr(mutant.module, mutant.name, mutant.broken)
    try:
        model = mutant.model()
        caught, steps = first_caught(model)
    finally:
        setattr(mutant.module, mutant.name, whole)
    return {"mutant": mutant.broken.__name__.replace("_", " "),
            "function": f"{mutant.module.__name__.rpartition('.')[2]}.{mutant.name}", "expected": mutant.caught_by,
            "verdict": caught, "steps": steps, "model": model.title}  # fmt: skip


def first_caught(model: Model) -> tuple[str, int | None]:
    """The property that is violated first, or else the first that does not hold; and the steps of its path."""
    search = Search(model)
    search.run(searches.MOST)
    result = search.result()
    if result.violation:
        return result.violation, result.violations[result.violation]
    for verdict in verdicts_of(search):
        if not verdict.holds:
            return verdict.key, len(verdict.path.steps) if verdict.path else None
    return "", None


def bounds() -> list[Row]:
    """Closed forms and what the solver says of them; empty without it."""
    from study.proofs.bounds import prove_all

    try:
        proofs = list(prove_all())
    except EnvironmentLacks:
        return []
    return [
        {"stage": each.key, "sentence": each.sentence, "outside": "none" if each.holds else "FOUND",
         "least": _reached(each.least), "greatest": _reached(each.greatest)}
        for each in proofs
    ]  # fmt: skip


def _reached(end: bool | None) -> str:
    return {True: "reached", False: "NOT REACHED", None: ""}[end]


def crosscheck() -> list[Row]:
    """The same elections by other tools."""
    return [row for size in SIZES for row in _cross_rows(compare(size, MOST_WHOLE))]


def _cross_rows(found: Comparison) -> Iterator[Row]:
    for tool, ways in found.ways.items():
        whole, named = found.whole.get(tool), found.renamed.get(tool)
        yield {"election": str(found.size), "tool": tool, "states": whole.states if whole else None,
               "steps": whole.transitions if whole else None, "states_up_to_names": named.states if named else None,
               **{f"steps_to_{key}": ways.get(key) for key in ("one-leader", "elected", "not-elected")},
               "agrees": "yes" if found.agrees else "NO"}  # fmt: skip
    for tool, why in found.skipped.items():
        yield {"election": str(found.size), "tool": tool, **dict.fromkeys(
            ("states", "steps", "states_up_to_names", "steps_to_one-leader", "steps_to_elected",
             "steps_to_not-elected")), "agrees": f"skipped: {why.splitlines()[0]}"}  # fmt: skip


def real() -> list[Row]:
    """Steered scenarios on real servers, as `python -m study.steering --measure` has stored them."""
    file = catalog.folder().parent / "reports/steering/shares.json"
    if not file.exists():
        return []
    return [
        {"case": each["case"], "sentence": each["sentence"], "simulated": each["sim"]["k"],
         "of_simulated": each["sim"]["n"], "real": each["real"]["k"], "of_real": each["real"]["n"],
         "stalled": each["stalled"], **_difference(each["difference"])}
        for each in json.loads(file.read_text(encoding="utf-8"))
    ]  # fmt: skip


def _difference(found: Mapping[str, float] | None) -> Row:
    """Real share less simulated share: its interval; nothing without real runs."""
    return {f"difference_{end}": round(found[end], 3) if found else None for end in ("low", "high")}


def write_path(folder: File, name: str, data: Mapping[str, Any]) -> None:
    """Every form of a path, and its data."""
    paths.write(path_of(dict(data)), folder, name)
    folders.dump(folder / f"{name}.json", data)


def manifest(order: Order) -> dict[str, Any]:
    """What it was made with; no scenario, no seed."""
    anything = catalog.load_one("primary_host_vanishes", ())
    made = folders.manifest(anything, order.seed, order.command, ())
    return {name: made[name] for name in ("command", "made", "commit", "versions", "machine")}


# --- words -----------------------------------------------------------------------------------------------------------


def text(order: Order, tables: Mapping[str, Table], made: Mapping[str, Any]) -> list[str]:
    """The report, block by block; every number is read from a table."""
    return [
        f"# {TITLE}",
        "## Answer\n\n" + "\n".join(f"- {line}" for line in answer(tables)),
        "The guide's claims one by one: [docs/claims.md](../../docs/claims.md). What is explored, and which "
        "abstractions make more possible than reality does: the heads of `model/explorer/`.",
        "## Every search",
        _SEARCHES,
        markdown(tables["searches"], SEARCH_COLUMNS),
        "## Every verdict",
        _VERDICTS,
        markdown(matrix(tables["verdicts"])),
        "Conditions that go with them:",
        markdown([row for row in tables["verdicts"] if row["condition"]],
                 {"search": "search", "key": "property", "condition": "condition"}),
        "## All elections of three sentinels, one epoch",
        "![map of an election](map.svg)",
        "How to read it: [docs/paths.md](../../docs/paths.md).",
        "## Counterexamples and witnesses",
        *shown(order.folder / "paths"),
        "## Machines broken on purpose",
        f"{len(tables['mutants'])} machines with one function replaced (`tests/explorer/test_mutants.py`): the "
        "property that catches each, and the steps of the shortest path to where it shows (none where it shows by the "
        "lack of a state).",
        markdown(tables["mutants"], MUTANT_COLUMNS),
        "## Bounds in time",
        _bounds_words(tables["bounds"]),
        markdown(tables["bounds"]),
        "## The same by other tools",
        "Spin and TLC on models of their own, nothing merged but what all merge: states and steps of the whole space, "
        "states up to the sentinels' names, and steps of shortest paths (empty: never).",
        markdown(tables["crosscheck"]),
        "## On real servers",
        _real_words(tables["real"]),
        markdown(tables["real"]),
        _LIMITS,
        *_made_with(made, order),
    ]  # fmt: skip


def answer(tables: Mapping[str, Table]) -> list[str]:
    """What a reader in a hurry wants to know."""
    verdicts, runs = tables["verdicts"], tables["searches"]
    flaw = the(verdicts, search=LARGE.name, key="one-primary-per-configuration")
    late = the(verdicts, search="election, 2 epochs, all may be late", key="one-leader")
    ended = [row for row in runs if row["finished"] == "yes"]
    settles = where(verdicts, key="settles")
    lost = [case.name for case in (*searches.NOTHING_RETURNS, *searches.QUORUMS) if "for good" in case.name]
    writes = [row for row in where(verdicts, key="accepts-writes") if row["search"] in lost]
    broken = [f"*{row['search']}* ({row['key']}, {row['steps']} steps)" for row in verdicts
              if row["kind"] == "always" and row["verdict"] == "does not hold"]  # fmt: skip
    return [
        f"{len(ended)} of {len(runs)} searches visited all states, {sum(row['states'] for row in ended):,} together; "
        f"the others ({', '.join('*' + row['search'] + '*' for row in runs if row['finished'] == 'no')}) prove nothing "
        "of what must always hold.",
        f"**What must always hold** does not in {len(broken)} searches: {'; '.join(broken)}. In all other finished "
        "ones an epoch has one leader, a sentinel one vote an epoch, a configuration one primary.",
        f"**After the faults** one primary, all replicas on it, all sentinels agreed: at the end of "
        f"{_count(settles, 'holds')} of {len(settles)} finished searches whose faults may return.",
        f"**Late messages**: two leaders of one epoch after {late['steps']} steps, the known flaw of counting votes.",
        f"**Two servers killed, two epochs**: two primaries with one configuration epoch after {flaw['steps']} steps, "
        f"found after {the(runs, search=LARGE.name)['states']:,} states. "
        "All messages are delivered at once; what it takes is a leader that has not finished yet.",
        f"**Lost for good**: in the end some server takes writes in {_names(writes, 'holds')}; not in "
        f"{_names(writes, 'does not hold')}. With a single epoch: runs that lose its election decide nothing.",
        f"**Data**: an empty restart loses everything after "
        f"{the(verdicts, search='server restarts empty', key='data-survives')['steps']} steps, without any failover.",
        _on_real_servers(tables["real"]),
        f"Of {len(tables['mutants'])} machines broken on purpose "
        f"{sum(row['verdict'] == row['expected'] for row in tables['mutants'])} are caught by the property meant.",
    ]  # fmt: skip


def _on_real_servers(rows: Table) -> str:
    known = [row for row in rows if row["of_real"]]
    went = sum(row["real"] > 0 for row in known)
    return (
        f"**On real servers** {went} of {len(known)} paths that were steered, or go by themselves, were taken; "
        f"{len(_apart(known))} of them less or more often than simulated."
    )


def _names(rows: Table, verdict: str) -> str:
    return ", ".join(f"*{row['search']}*" for row in where(rows, verdict=verdict))


def _count(rows: Table, verdict: str) -> int:
    return sum(row["verdict"] == verdict for row in rows)


def matrix(rows: Table) -> list[Row]:
    """A row a search, a column a property."""
    keys = list(dict.fromkeys(row["key"] for row in rows))
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = found.setdefault(row["search"], {"search": row["search"], **dict.fromkeys(keys)})
        steps = f": {row['steps']}" if row["steps"] is not None else ""
        line[row["key"]] = row["verdict"] + steps
    return list(found.values())


def shown(folder: File) -> Iterator[str]:
    """Each path with its picture and its words."""
    for name, search, _ in SHOWN:
        path = path_of(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        yield f"### {path.verdict.capitalize()}: {path.sentence}\n\nIn *{search}*, {len(path.steps)} steps."
        yield f"![{name.replace('_', ' ')}](paths/{name}.svg)"
        yield f"```text\n{paths.text(path).rstrip()}\n```"


def _bounds_words(rows: Table) -> str:
    if not rows:
        return "Not proved in this run: the solver z3 is not installed."
    return (
        f"{len(rows)} proofs for all settings ([docs/bounds.md](../../docs/bounds.md)): no run outside in "
        f"{sum(row['outside'] == 'none' for row in rows)} of them; `reached` says that a bound cannot be narrowed."
    )


def _real_words(rows: Table) -> str:
    if not rows:
        return "No stored shares of steered scenarios: `python -m study.steering --measure` makes them."
    apart = _apart(rows)
    told = "; ".join(f"*{row['case']}*, {row['real']} of {row['of_real']} real runs and {row['simulated']} of "
                     f"{row['of_simulated']} simulated ones" for row in apart)  # fmt: skip
    return (
        "Scenarios that are steered along a path, or go that way by themselves (`study/steering`): how many runs take "
        "it, and the interval of real less simulated share. "
        + (f"**They differ** in {told}: possible on real servers as well, but not as often as predicted."
           if apart else "They differ in none.")
    )  # fmt: skip


def _apart(rows: Table) -> list[Row]:
    """Cases whose real share differs from the simulated one."""
    return [row for row in rows if row["difference_low"] is not None
            and not row["difference_low"] <= 0 <= row["difference_high"]]  # fmt: skip


def _made_with(made: Mapping[str, Any], order: Order) -> Iterator[str]:
    versions, machine = made["versions"], made["machine"]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield (
        f"## Made with\n\n- No seed: nothing is drawn by lot but the simulated runs of the last table.\n- {told}.\n"
        f"- {machine['system']} {machine['kernel']}, {machine['processor']}, {machine['cores']} cores, of which each "
        "search uses one."
    )
    yield f"## Make it again\n\n```sh\n{' '.join(order.command)}\n```\n\nWith `--stored`, kept searches are used."


SEARCH_COLUMNS = {
    "search": "search", "states": "states", "steps": "steps", "depth": "depth", "finished": "finished",
    "frontier": "frontier", "cpu_s": "CPU s", "states_per_s": "states/s", "bytes_a_state": "bytes a state",
}  # fmt: skip

MUTANT_COLUMNS = {
    "mutant": "it", "function": "function", "verdict": "caught by", "steps": "steps", "model": "in",
}  # fmt: skip

_SEARCHES = """Three hosts and a quorum of 2 if nothing else is said; failovers with one epoch if no other number is
said. *steps*: steps out of all states that were expanded. *depth*: the longest of the shortest paths. *frontier*:
states that were found and not expanded, 0 in a finished search. *states/s* and *bytes a state* where there are 100,000
states or more; the time has the making of the tables in it. *for good*: what has failed does not return."""

_VERDICTS = f"""Number: steps of the shortest path. *holds*, *never seen*: in all states, of finished searches alone.
*undecided*: not shown so far, in a search that was not finished; empty: not asked. *settles* is not
asked where nothing returns. The search *{LARGE.name}* ends at the first violation."""

_LIMITS = """## Limits

Bounds are bounds: of faults, of epochs, of states. A search that is not finished has proved nothing of *always*.
Messages between sentinels arrive at once or never in failovers (late ones are the subject of elections); priorities,
operators' commands and hosts that hear some and not others are left out. *eventually* holds for fair runs: what is
possible again and again happens at last. How likely something is, no search can tell: simulation does."""
