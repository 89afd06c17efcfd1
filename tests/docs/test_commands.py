"""Every command that a page tells a reader to run can be run: verbs, arguments, properties, files, modules, targets.

The tutorial's commands are run, and their output compared (test_tutorial.py); the others are read by the parsers that
would read them, since some take hours.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from model.errors import HastudyError
from study import catalog, cli, report
from study.check import options, plan

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")),
         *sorted((ROOT / "reports").glob("*/report.md")), *sorted(ROOT.glob("*/README.md"))]  # fmt: skip
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```toml\n(?=# (\S+\.toml)\n)(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\.venv/bin/)?(?:hastudy|python|\./dev) [^`]*)`")
STANDS_FOR = {
    "SCENARIO": "scenarios/host_loss/primary_host_vanishes.toml",
    "VERB": "simulate",
    "FOLDER": "scenarios/baseline",
    "TARGET": "main",
}
"""What a reader puts in the place of these words."""
PROGRAMS = ("hastudy", "python", "dev")


def commands(page: Path) -> list[str]:
    """Commands of ``sh`` blocks and in the text, in order, each once."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    inline = [" ".join(each.split()) for each in INLINE.findall(BLOCK.sub("", text))]
    found = [re.split("  #| [|>] ", line)[0].removeprefix("$ ").strip() for line in [*lines, *inline]]
    return [each for each in dict.fromkeys(found) if program(each) in PROGRAMS]


def program(command: str) -> str:
    """Its name without folders."""
    return command.partition(" ")[0].rpartition("/")[2]


def files(page: Path) -> dict[str, str]:
    """Files that a page gives its reader, by name: blocks whose first line is ``# NAME``."""
    return dict(FILE.findall(page.read_text(encoding="utf-8")))


ALL = [(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in commands(page)]


def check(command: str) -> None:
    """Read a command as the program would.

    Raises
    ------
    HastudyError, AssertionError
        It would be refused.
    """
    words = shlex.split(command)
    words = [STANDS_FOR.get(word, word) for word in words[1:]]
    match program(command), words:
        case "dev", [target, *_]:
            assert f"\ntask_{target}() " in (ROOT / "dev").read_text()
        case "hastudy", [verb, *rest] if rest or verb.startswith("-"):
            _check_verb(words)
        case "hastudy", [verb]:
            assert verb in cli.VERBS
        case "python", ["-m", "study.report", name, *_]:
            assert name in report.REPORTS
        case "python", ["-m", module, *_]:
            assert module == "venv" or importlib.util.find_spec(module)
        case "python", [file, *_]:
            assert (ROOT / file).is_file()


def _check_verb(words: list[str]) -> None:
    try:
        args = cli.parser().parse_args(words)
    except SystemExit as end:  # --help
        assert end.code == 0
        return
    named = getattr(args, "scenario", None) or []
    loaded = [scenario for each in ([named] if isinstance(named, str) else named) for scenario in _load(each, args.set)]
    if args.verb == "check":
        assert plan.jobs(options.read(args, *(loaded or [None])))


def _load(named: str, changes: list[str]) -> list:
    return [catalog.load_one(str(path), changes) for path in catalog.find(named)]


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{page}: {command}" for page, command in ALL])
def test_the_command_can_be_run(page: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    for name, body in files(ROOT / page).items():
        (tmp_path / name).write_text(body)
        command = command.replace(f" {name}", f" {tmp_path / name}")
    check(command)


def test_pages_have_commands() -> None:
    assert len(ALL) > 100


@pytest.mark.parametrize(
    "command",
    ["hastudy simulat x", "hastudy simulate scenarios/no_such.toml", "hastudy tune SCENARIO --objektive x",
     "hastudy check --property no-such-property", "./dev fly", "python -m study.no_such", "python no_such.py",
     "hastudy simulate SCENARIO --set sentinel.quorom=2"],
)  # fmt: skip
def test_a_command_that_cannot_be_run_is_noticed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises((HastudyError, AssertionError)):
        check(command)
