"""The command line: ``hastudy VERB``, the same as ``python -m study VERB``.

Results go to stdout, talk and progress to stderr. `study.exits` says what the exit codes mean, `study.verbs` what the
verbs do.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import UsageError
from model.measures import MILESTONES
from sim.population import MAX_SIZE
from study import verbs
from study.arms import Voice
from study.exits import ExitCode, exit_code_of

MAX_RUNS = 1_000_000
"""Kind: assumed."""

VANISH = "scenarios/host_loss/primary_host_vanishes.toml"
CRASH = "scenarios/host_loss/primary_process_crashes.toml"
REPORT = "reports/host_loss/primary_host_vanishes"


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it does, an example that works, its own arguments, and its function."""

    does: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Voice], ExitCode]


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A whole number between two limits, refused with words otherwise."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: {low} to {high}")
        return int(text)

    return read


def _none(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def _scenario(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", help="a scenario file, or the name of one that comes with it")


def _runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=whole_number(1, MAX_RUNS), default=1000, help="simulated runs (default %(default)s)"
    )


def _engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=("batch", "world"), default="batch",
                        help="compiled or interpreted; both give the same runs (default %(default)s)")  # fmt: skip
    parser.add_argument("--jobs", type=whole_number(1, 1024), help="processes (default: one for each core)")


def _server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="PATH|NAME", help="which server, see `hastudy servers`")


def _simulate(parser: argparse.ArgumentParser) -> None:
    _scenario(parser)
    _runs(parser)
    _engine(parser)
    parser.add_argument(
        "--population", type=whole_number(1, MAX_SIZE), metavar="N",
        help="also let N clients, mixed as the scenario's, live through the first run",
    )  # fmt: skip


def _replay(parser: argparse.ArgumentParser) -> None:
    _scenario(parser)
    parser.add_argument("--runs", type=whole_number(1, 1000), default=5, help="real runs (default %(default)s)")
    _server(parser)


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scenario", metavar="SCENARIO|FOLDER", nargs="+",
        help="scenario files, names or folders; a folder with a matrix.toml means that matrix",
    )  # fmt: skip
    _runs(parser)
    _engine(parser)
    parser.add_argument("--real", type=whole_number(1, 1000), default=5, help="real runs (default %(default)s)")
    parser.add_argument("--stored", action="store_true", help="use stored real runs of the same scenario")
    parser.add_argument(
        "--conditional", action="store_true", help="also predict each real run from the phases that it tells"
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the verdicts as JUnit XML too")
    _server(parser)


def _sweep(parser: argparse.ArgumentParser) -> None:
    _scenario(parser)
    parser.add_argument(
        "--grid", action="append", required=True, metavar="KEY=LOW:HIGH:COUNT",
        help="values of a key, also KEY=VALUE,VALUE,...; repeatable: all combinations",
    )  # fmt: skip
    parser.add_argument(
        "--random", type=whole_number(1, 10_000), metavar="N",
        help="N settings of a Latin hypercube instead; --grid then names ranges, KEY=LOW:HIGH",
    )  # fmt: skip
    _runs(parser)
    parser.add_argument("--until", action="append", default=[], choices=MILESTONES, metavar="MILESTONE",
                        help="end runs there: faster, and only that is known; repeatable")  # fmt: skip
    parser.add_argument("--width", metavar="QUANTITY:PERCENT:MS",
                        help="end a setting when the interval of that quantile is so narrow")  # fmt: skip
    parser.add_argument("--jobs", type=whole_number(1, 1024), help="threads (default: one for each core)")
    parser.add_argument("--on", default="threads", metavar="dask://HOST:PORT", help="a Dask cluster instead of threads")


def _check(parser: argparse.ArgumentParser) -> None:
    from study.check.options import add

    add(parser, whole_number)


def _conform(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "log", metavar="LOG", type=Path, nargs="+",
        help="logs of the sentinels (and servers) of one run; a sentinel.conf among them tells settings",
    )  # fmt: skip
    parser.add_argument("--same-clock", action="store_true", help="all stamps come from one clock: compare them too")


def _tune(parser: argparse.ArgumentParser) -> None:
    from study.tune.options import add

    _scenario(parser)
    add(parser)


def _rare(parser: argparse.ArgumentParser) -> None:
    from study.rare.options import add

    _scenario(parser)
    add(parser, whole_number)


def _availability(parser: argparse.ArgumentParser) -> None:
    from study.availability.options import add

    _scenario(parser)
    add(parser)


def _lint(parser: argparse.ArgumentParser) -> None:
    from study.lint.options import add

    add(parser)


def _generate(parser: argparse.ArgumentParser) -> None:
    from study.lint.options import add_generate

    _scenario(parser)
    add_generate(parser)


def _review(parser: argparse.ArgumentParser) -> None:
    from study.review.options import add

    add(parser)


def _incident(parser: argparse.ArgumentParser) -> None:
    from study.incident.options import add

    add(parser, whole_number)


def _export(parser: argparse.ArgumentParser) -> None:
    from study.export.options import add

    add(parser, whole_number)


VERBS = {
    "scenarios": Verb("list the scenarios, each with its question", "hastudy scenarios", _none, verbs.scenarios),
    "simulate": Verb("predict: run a scenario in virtual time", f"hastudy simulate {VANISH} --runs 200",
                     _simulate, verbs.simulate),
    "replay": Verb("measure: run a scenario on real servers", f"hastudy replay {CRASH} --runs 2",
                   _replay, verbs.replay),
    "compare": Verb("predict and measure, and say whether they agree", f"hastudy compare {VANISH} --real 5",
                    _compare, verbs.compare),
    "sweep": Verb("predict one scenario under many settings",
                  f"hastudy sweep {VANISH} --grid sentinel.down_after_ms=1000:20000:20 --until switch_last",
                  _sweep, verbs.sweep),
    "tune": Verb("find the best down-after-milliseconds", f"hastudy tune {VANISH} --objective outage_p95",
                 _tune, verbs.tune),
    "availability": Verb("count the nines, and say what eats the error budget",
                         f"hastudy availability {VANISH} --service redis_write --objective 99.99",
                         _availability, verbs.availability),
    "rare": Verb("estimate failovers that nobody needed, however rare", f"hastudy rare {VANISH} --event needless",
                 _rare, verbs.rare),
    "check": Verb("visit every state, and decide what always, sometimes, and at last is true",
                  "hastudy check --part election --stalls", _check, verbs.check),
    "conform": Verb("walk real Sentinel logs through the model",
                    "hastudy conform tests/data/logs/redis-6.2.14-crashes/*", _conform, verbs.conform),
    "lint": Verb("find faults in configuration files, each with what it costs",
                 "hastudy lint tests/data/configuration/guide", _lint, verbs.lint),
    "generate": Verb("write the configuration files that a scenario describes",
                     f"hastudy generate {VANISH} --out configuration", _generate, verbs.generate),
    "review": Verb("write one page for an architecture review", f"hastudy review {VANISH} --out review.html",
                   _review, verbs.review),
    "incident": Verb("say from logs what broke, when, and how ordinary it was",
                     "hastudy incident tests/data/incidents/cut_off", _incident, verbs.incident),
    "export": Verb("write a trace for another tool", f"hastudy export {REPORT} --format perfetto --out run.json",
                   _export, verbs.export),
    "servers": Verb("list the real servers found, and what this machine allows", "hastudy servers",
                    _none, verbs.servers),
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others."""

    def error(self, message: str) -> None:
        raise UsageError(f"{message}\n\nhint: `{self.prog} --help` shows what is allowed")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON instead of tables")
    common.add_argument(
        "--seed", type=whole_number(0, 2**63 - 1), default=1, help="of all chance (default %(default)s)"
    )
    common.add_argument("--out", type=Path, metavar="DIR", help="folder for the results")
    common.add_argument("--quiet", action="store_true", help="no progress, no talk")
    common.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the scenario, such as sentinel.down_after_ms=2000; repeatable",
    )
    whole = _Parser(prog="hastudy", description="Predicts how long a SIP registrar cluster on Redis Sentinel is out, "
                    "and checks the prediction against real servers.",
                    epilog="exit codes: 0 agrees or done, 1 finding, 2 wrong use, 3 undecided, 4 environment lacks "
                    "something, 130 interrupted")  # fmt: skip
    below = whole.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        description = f"{verb.does[0].upper()}{verb.does[1:]}."
        one = below.add_parser(name, parents=[common], help=verb.does, description=description,
                               epilog=f"example:\n  {verb.example}",
                               formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
        verb.arguments(one)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    return exit_code_of(lambda: _run(given))


def _run(given: list[str]) -> ExitCode:
    _refuse_unknown_verb(given)
    args, rest = parser().parse_known_args(given)
    verb = VERBS[args.verb]
    if rest:
        raise UsageError(f"unknown argument {rest[0]}\n\nhint: `hastudy {args.verb} --help` shows what is allowed")
    args.command = given
    return verb.run(args, Voice(args.quiet))


def _refuse_unknown_verb(given: Sequence[str]) -> None:
    if not given:
        raise UsageError("a verb is missing: one of " + ", ".join(VERBS) + "\n\nhint: `hastudy --help` explains them")
    if given[0].startswith("-") or given[0] in VERBS:
        return
    close = difflib.get_close_matches(given[0], VERBS, 1)
    hint = f"did you mean `{close[0]}`?" if close else "`hastudy --help` explains them"
    raise UsageError(f"unknown verb {given[0]!r}\n  allowed: {', '.join(VERBS)}\n\nhint: {hint}")
