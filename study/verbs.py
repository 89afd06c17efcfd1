"""What each verb of the command line does. Heavy parts are imported where they are used: ``--help`` stays quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from model import scenario as scenarios_
from model.errors import EnvironmentLacks, UsageError
from model.scenario import Scenario
from model.trace import Trace
from study import arms, catalog, folders, matrix, populations, tables
from study.arms import RealRuns, Voice
from study.exits import ExitCode, worst
from study.outcome import Arm, Outcome, compare_one


def scenarios(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """List what comes with the kit."""
    found = [(path, scenarios_.load(path)) for path in catalog.files(catalog.folder())]
    data = [{"name": each.name, "question": each.question, "claims": len(each.claim), "file": str(path)}
            for path, each in found]  # fmt: skip
    width = max((len(each.name) for _, each in found), default=0)
    text = "\n".join(f"{each.name:{width}}  {len(each.claim):2} claims  {each.question}" for _, each in found)
    _show(args, "scenarios", data, text)
    return ExitCode.OK


def servers(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """List real servers and what the machine allows."""
    from reference_node.lab import isolation
    from reference_node.lab import servers as found_servers

    found = found_servers.available()
    allowed = isolation.capabilities()
    data = {
        "servers": [{"name": each.name, "flavour": each.flavour, "version": each.version, "path": str(each.path)}
                    for each in found],
        "machine": [{"name": each.name, "allowed": each.allowed, "reason": each.reason} for each in allowed],
    }  # fmt: skip
    lines = [f"{each.name}: {each.flavour} {each.version}, {each.path}" for each in found] or ["no server found"]
    lines += [f"{each.name}: {'yes' if each.allowed else 'no, ' + each.reason}" for each in allowed]
    _show(args, "servers", data, "\n".join(lines))
    if not found:
        voice.say(f"hint: {found_servers.HINT}")
    return ExitCode.OK if found else ExitCode.ENVIRONMENT


def simulate(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Predict."""
    scenario = _load(args.scenario, args, voice)
    traces = arms.simulate(scenario, args.runs, args.seed, voice, args.engine, args.jobs)
    arm = Arm.of(scenario, traces)
    data, text = arm.summary, tables.summary_text(arm.summary)
    if args.population:
        found = populations.summary(scenario, traces[0], args.population, args.seed)
        data, text = {**data, "population": found}, f"{text}\n\n{populations.text(found)}"
    _print(args, data, text)
    if args.out:
        _keep(args, scenario, Outcome(scenario, arm, None), voice)
    return ExitCode.OK


def sweep(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Predict under many settings. With ``--out`` finished blocks are kept there, and taken up by the next call."""
    from study import sweep_words
    from study.sweep import sweep as run

    scenario = _load(args.scenario, args, voice)
    design = sweep_words.read_settings(args.grid, args.random, args.seed)
    width = sweep_words.read_width(args.width)
    with voice.progress(f"simulating {len(design)} settings") as progress:
        found = run(scenario, design=design, runs=args.runs, seed=args.seed, jobs=args.jobs, on=args.on,
                    until=args.until, width=width, folder=_blocks(args),
                    progress=lambda done, all_: progress(done / all_))  # fmt: skip
    data = found.to_json()
    _show(args, "sweep", data, sweep_words.to_text(data))
    if args.out:
        found.write_csv(args.out / "settings.csv")
        found.write_runs_csv(args.out / "runs.csv")
    return ExitCode.OK


def replay(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Measure."""
    scenario, server = arms.on_real_server(_load(args.scenario, args, voice), args.server, voice)
    real = RealRuns([])
    stopped: BaseException | None = None
    try:
        real.measure(scenario, args.runs, args.seed, voice, server)
    except (EnvironmentLacks, KeyboardInterrupt) as error:
        stopped = error
    if real.traces:
        arm = Arm.of(scenario, real.traces)
        _print(args, arm.summary, tables.summary_text(arm.summary))
        _keep(args, scenario, Outcome(scenario, None, arm), voice)
    if stopped:
        raise stopped
    return ExitCode.OK


def compare(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Predict, measure, compare: scenarios one by one, or a whole matrix."""
    matrices = [wanted for wanted in args.scenario if matrix.has_matrix(Path(wanted))]
    if matrices:
        return _compare_matrix(args, voice)
    paths = [path for wanted in args.scenario for path in catalog.find(wanted)]
    # All are read before the first one runs: a mistake in the last file shows at once.
    loaded = [_load(path, args, voice) for path in paths]
    outcomes: list[Outcome] = []
    for scenario in loaded:
        outcome = compare_one(scenario, args, voice)
        outcomes.append(outcome)
        if not args.json:
            print(("\n\n" if len(outcomes) > 1 else "") + outcome.text(), flush=True)
        if outcome.lacks:
            print(f"error: {outcome.lacks}", file=sys.stderr)
        _keep(args, outcome.scenario, outcome, voice, within=scenario.name if len(loaded) > 1 else "")
        if outcome.code == ExitCode.INTERRUPTED:
            break
    if args.json:
        data = [outcome.to_json() for outcome in outcomes]
        print(folders.to_json(data[0] if len(loaded) == 1 else {"schema": 1, "comparisons": data}))
    if args.junit:
        from study import junit

        junit.write(args.junit, outcomes)
    return worst([outcome.code for outcome in outcomes])


def _compare_matrix(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Judge the cells of a pre-registered matrix."""
    from study import junit, regression, stored

    if len(args.scenario) > 1 or args.set:
        raise UsageError(
            f"{args.scenario[0]}: a matrix is compared alone and as it is registered\n\n"
            "hint: name the files of its scenarios to compare some of them, or with --set"
        )
    cells = matrix.load(Path(args.scenario[0]))
    if not cells:
        raise UsageError(f"{args.scenario[0]}: the matrix has no cell\n\nhint: add a [[block]] to {matrix.FILE}")
    folder = stored.FOLDER if args.stored else _collect(cells, args, voice)
    runs_of = partial(stored.runs, folder=folder)
    with voice.progress(f"comparing {len(cells)} cells") as progress:
        found = regression.run(cells, runs_of, args.runs, args.seed, args.engine, args.jobs, progress)
    data = {**found.to_json(), "sim_runs": args.runs, "seed": args.seed, "conditional": None}
    if args.conditional:
        with voice.progress("predicting single runs") as progress:
            data["conditional"] = regression.predict_each(cells, runs_of, args.seed, args.engine, args.jobs, progress)
    _show(args, "regression", data, tables.regression_text(data))
    if args.junit:
        junit.write_cells(args.junit, found.cells)
    return found.code


def _collect(cells: list[matrix.Cell], args: argparse.Namespace, voice: Voice) -> Path:
    """Measure what is missing of all cells whose server is here; returns the folder of the runs."""
    from reference_node.lab import replay
    from study import collect

    folder = (args.out or Path("runs") / "matrix") / "runs"
    servers_ = collect.servers_by_family([args.server] if args.server else [])
    collect.collect(cells, servers_, folder, replay.default_parallel(), voice)
    return folder


def check(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Decide properties by visiting all states."""
    from study.check import options, run, text

    scenario = _load(args.scenario, args, voice) if args.scenario else None
    asked = options.read(args, scenario)
    with voice.progress("exploring") as progress:
        found = run.check(asked, progress)
    _print(args, found.data, text.text(found))
    if args.out:
        text.write(found, args.out)
        if scenario:
            _dump_manifest(args, args.out, scenario)
    if found.interrupted:
        raise KeyboardInterrupt
    return found.exit_code


def conform(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Walk real logs."""
    from study import conforming

    archived = [path for path in args.log if conforming.is_archive(path)]
    if archived:
        if len(archived) < len(args.log):
            raise UsageError("archives of stored runs and single logs\n\nhint: walk them one after the other")
        archives = [conforming.check_archive(path, args.same_clock) for path in archived]
        _show(args, "conform", conforming.archives_to_json(archives), conforming.archives_to_text(archives))
        return ExitCode.FINDING if any(archive.refused for archive in archives) else ExitCode.OK
    verdict = conforming.check(args.log, args.same_clock)
    _show(args, "conform", conforming.to_json(verdict), conforming.to_text(verdict))
    return ExitCode.OK if verdict.conforms else ExitCode.FINDING


def tune(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Advise on the delay. With ``--out`` finished runs are kept there, and taken up by the next call."""
    from study.kept import kept_in
    from study.tune import options, picture, text

    asked = options.read(args)
    scenario = _load(args.scenario, args, voice)
    with voice.progress("tuning") as progress, kept_in(_blocks(args)):
        data, curve = options.run(scenario, asked, args.seed, progress)
    _show(args, "tune", data, text.text(data))
    if args.out:
        text.write_tables(args.out, data)
        picture.save(args.out, data, curve)
        _dump_manifest(args, args.out, scenario)
    return ExitCode.OK if data["best"] else ExitCode.FINDING


def rare(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Estimate what hardly ever happens."""
    from study.rare import options, text

    scenario = _load(args.scenario, args, voice)
    with voice.progress("splitting") as progress:
        found = options.run(scenario, args, progress)
    if found.data:
        _show(args, "rare", found.data, text.text(found.data))
        if args.out:
            _dump_manifest(args, args.out, scenario)
    if found.interrupted:
        raise KeyboardInterrupt
    return ExitCode.OK if found.data and found.data["per_hour"]["low"] > 0 else ExitCode.UNDECIDED


def availability(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Count the nines. With ``--out`` finished runs are kept there, and taken up by the next call."""
    from study.availability import options, picture, text
    from study.kept import kept_in

    asked = options.read(args)
    scenario = _load(args.scenario, args, voice)
    with voice.progress("reckoning") as progress, kept_in(_blocks(args)):
        data = options.run(scenario, asked, args.seed, progress)
    _show(args, "availability", data, text.text(data))
    if args.out:
        text.write_tables(args.out, data)
        picture.save(args.out, data)
        _dump_manifest(args, args.out, scenario)
    verdict = data["objective"]["verdict"] if data["objective"] else "kept"
    return {"kept": ExitCode.OK, "exceeded": ExitCode.FINDING, "undecided": ExitCode.UNDECIDED}[verdict]


def lint(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Judge configuration files. With ``--out`` the scenario understood is written there."""
    from study.lint import check, options, sarif, text, understood
    from study.lint.findings import Severity

    options.check_versions(args)
    with voice.progress("judging") as progress:
        report = check.lint(args.file, args.server_version, args.flexisip_version, args.runs, args.seed, args.out,
                            progress)  # fmt: skip
    _show(args, "lint", check.to_json(report), text.text(report))
    if args.out and report.scenario:
        (args.out / "scenario.toml").write_text(understood.to_toml(report.scenario), encoding="utf-8")
    if args.sarif:
        folders.dump(args.sarif, sarif.sarif(report))
    return ExitCode.FINDING if (check.worst(report) or 0) > Severity.NOTE else ExitCode.OK


def generate(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Write configuration files, readable for their owner only: passwords are in them."""
    from study.lint import options
    from study.lint.generate import files

    if not args.out:
        raise UsageError("generate writes files\n\nhint: --out DIR names the folder")
    scenario = _load(args.scenario, args, voice)
    made = files(scenario, options.read_secrets(args.secrets), args.domain, options.read_addresses(args.address))
    for name, text in made.items():
        path = args.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    _print(args, {"schema": 1, "folder": str(args.out), "files": sorted(made)},
           "\n".join(str(args.out / name) for name in made))  # fmt: skip
    return ExitCode.OK


def review(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Write a page with its scenarios and data beside it."""
    from study.review import options

    with voice.progress("reviewing") as progress:
        asked = options.read(args, progress)
        data = options.run(asked, args.runs, args.seed, progress)
    _print(args, data, "\n".join([*data["verdict"], "", f"page: {asked.page}"]))
    return ExitCode.OK


def incident(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Read logs of what happened, and simulate it. With ``--out`` the scenario and the trace are written there."""
    from study.incident import options, text

    with voice.progress("simulating") as progress:
        found = options.run(args, progress)
    _show(args, "incident", found.data, text.text(found.data))
    if args.out:
        text.write(args.out, found)
    return ExitCode.OK if found.data["faults"] else ExitCode.UNDECIDED


def export(args: argparse.Namespace, voice: Voice) -> ExitCode:
    """Write a run in another tool's format; without ``--out`` print it."""
    from study.export import options

    text = options.run(args)
    print(args.out if text is None else text, end="\n" if text is None else "", flush=True)
    return ExitCode.OK


def _blocks(args: argparse.Namespace) -> Path | None:
    """Where finished runs are kept, and looked for."""
    return args.out / "blocks" if args.out else None


def _load(wanted: str | Path, args: argparse.Namespace, voice: Voice) -> Scenario:
    """Read a scenario and say what is dangerous about it."""
    scenario = catalog.load_one(str(wanted), args.set)
    for warning in scenarios_.warnings(scenario):
        voice.say(f"warning: {scenario.name}: {warning}")
    return scenario


def _show(args: argparse.Namespace, name: str, data: Any, text: str) -> None:
    """Print a result, and write it to ``--out``."""
    _print(args, data, text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        folders.dump(args.out / f"{name}.json", data)


def _print(args: argparse.Namespace, data: Any, text: str) -> None:
    print(folders.to_json(data) if args.json else text, flush=True)


def _keep(args: argparse.Namespace, scenario: Scenario, outcome: Outcome, voice: Voice, within: str = "") -> None:
    """Write the run's folder, and name it last: on stdout for people, on stderr beside JSON."""
    folder = folders.new_folder(scenario, args.out / within if args.out else None)
    arms_ = {name: arm for name, arm in (("sim", outcome.sim), ("real", outcome.real)) if arm}
    traces = {name: arm.traces for name, arm in arms_.items()}
    folders.write_inputs(folder, scenario, traces.get("sim", ()), traces.get("real", ()))
    folders.write_measures(folder / "measures.csv", {name: arm.runs for name, arm in arms_.items()})
    for name, arm in arms_.items():
        folders.dump(folder / f"{name}.json", arm.summary)
    if outcome.comparison:
        folders.dump(folder / "comparison.json", outcome.comparison)
    _dump_manifest(args, folder, scenario, traces.get("real", ()))
    _draw(folder, scenario, outcome)
    if args.json:
        voice.say(f"folder: {folder}")
    else:
        print(f"\nfolder: {folder}", flush=True)


def _dump_manifest(args: argparse.Namespace, folder: Path, scenario: Scenario, real: Sequence[Trace] = ()) -> None:
    """Write what is needed to make a folder again."""
    manifest = folders.manifest(scenario, args.seed, ["hastudy", *args.command], real)
    folders.dump(folder / "manifest.json", manifest)


def _draw(folder: Path, scenario: Scenario, outcome: Outcome) -> None:
    from study import plots

    plots.save_timeline(folder, scenario, outcome.sim, outcome.real)
