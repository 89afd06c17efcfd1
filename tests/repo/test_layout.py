"""The repository is in order: imports, style, links, scenario files, generated pages, task runner."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from model import scenario as scenarios
from model.trace import read_traces

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

MACHINE_PATHS = re.compile(r"(?<![\w.:/-])/(?:work|root|home|Users)/\w|/tmp/\w+/bin/|[A-Z]:[\\]Users")
REGISTRY_HOSTS = re.compile(
    r"\b(?:pypi[.]org|files[.]pythonhosted|registry[.]npmjs|deb[.]debian[.]org)|--(?:extra-)?index-url"
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def run(*command, **options):
    return subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=240, **options)


def files():
    """Files under version control, and new ones that are not ignored."""
    listing = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts():
    """(path, text) of every file that is text."""
    for path in files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def finds(pattern):
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
        for path, text in texts()
        for found in pattern.finditer(text)
    ]


def test_imports_point_one_way():
    """model <- sim, reference_node <- study; the contract stands in pyproject.toml."""
    result = run(BIN / "lint-imports", "--no-cache")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=" ".join)
def test_style(check):
    result = run(BIN / "ruff", *check, ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_tests_are_no_packages():
    """A tests/model/__init__.py would hide the real `model`."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("path", sorted(ROOT.glob("scenarios/*/*.toml")), ids=lambda path: path.stem)
def test_scenario_files_load_and_are_named_like_their_scenario(path):
    assert scenarios.load(path).name == path.stem


def test_scenario_names_are_unique():
    names = [path.stem for path in ROOT.glob("scenarios/*/*.toml")]
    assert names
    assert len(set(names)) == len(names)


def test_relative_links_lead_somewhere():
    dead = []
    for path, text in texts():
        if path.suffix == ".md":
            for target in LINK.findall(CODE_BLOCK.sub("", text)):
                if not re.match(r"[a-z]+:|#", target) and not (path.parent / target.partition("#")[0]).exists():
                    dead.append(f"{path.relative_to(ROOT)}: {target}")
    assert not dead


def test_every_page_of_docs_can_be_reached_from_its_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []


def test_no_file_names_a_path_of_somebodys_machine():
    assert finds(MACHINE_PATHS) == []


def test_no_file_names_a_package_registry():
    assert finds(REGISTRY_HOSTS) == []


def test_generated_pages_are_up_to_date():
    """Otherwise: ./dev docs."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    stale = [path.name for path, old, new in generate.pages() if old != new]
    assert not stale, "run ./dev docs"


def test_examples_in_the_documentation_are_legal(tmp_path):
    scenario = re.search(r"```toml\n(.*?)```", (ROOT / "docs/scenario.md").read_text(), re.DOTALL)[1]
    assert scenarios.parse(scenario, "docs/scenario.md").name == "my_case"
    trace = re.search(r"```json\n(.*?)```", (ROOT / "docs/trace.md").read_text(), re.DOTALL)[1]
    (tmp_path / "trace.ndjson").write_text(trace)
    assert [len(each.events) for each in read_traces(tmp_path / "trace.ndjson")] == [1]


def test_requirements_are_pinned_with_hashes():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith(" ")]
    assert all(re.match(r"[a-z0-9.-]+==[^\s]+( ; .+)? \\$", pin) for pin in pins)
    assert all("--hash=sha256:" in after for pin, after in zip(lines, lines[1:], strict=False) if pin in pins)


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert {re.match(r"[a-z0-9.-]+", each)[0] for each in wanted} <= pinned


# The task runner


def test_dev_without_arguments_lists_its_targets():
    result = run(ROOT / "dev")
    assert (result.returncode, result.stderr) == (0, "")
    listed = re.findall(r"^  (\w+) ", result.stdout, re.MULTILINE)
    defined = re.findall(r"^task_(\w+)\(\)", (ROOT / "dev").read_text(), re.MULTILINE)
    assert listed == defined
    assert {"setup", "main", "test", "quick", "lint", "notebooks", "report", "pins", "docs", "clean"} <= set(listed)


@pytest.mark.parametrize("target", ["fly", "main test", ".*", "--x"])
def test_dev_refuses_a_target_that_it_does_not_have(target):
    result = run(ROOT / "dev", target)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: no target named '{target}'\nusage: ./dev TARGET")
    assert result.stdout == ""


def test_dev_says_when_no_python_fits(tmp_path):
    """The script alone in an empty folder, with an interpreter that is too old to fit."""
    shutil.copy(ROOT / "dev", tmp_path)
    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old").chmod(0o755)
    result = run(tmp_path / "dev", "setup", env={**os.environ, "PYTHON": str(tmp_path / "old")})
    assert result.returncode == 4
    assert "error: no Python 3.11 to 3.13 found" in result.stderr


def test_ci_runs_what_the_readme_says():
    readme = (ROOT / "README.md").read_text()
    script = (ROOT / ".ci/run").read_text()
    assert "./dev main" in readme
    assert "./dev test" in readme
    assert "./dev test" in script
