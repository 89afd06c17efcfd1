"""What the tutorial shows is what its commands print: all of them are run, one after the other, in an empty folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def sessions():
    spec = importlib.util.spec_from_file_location("sessions", ROOT / "docs/sessions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_tutorial_prints_what_it_says() -> None:
    """Otherwise, after a look: python docs/sessions.py docs/tutorial.md."""
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    assert sessions().renewed(page).splitlines() == page.splitlines()


def test_another_output_is_noticed_and_a_failure_is_told() -> None:
    page = "```toml\n# x.toml\na = 1\n```\n\n```sh\ncat x.toml\n```\n\n```text\nsomething else\n```\n"
    assert "```text\n# x.toml\na = 1\n```" in sessions().renewed(page)
    with pytest.raises(RuntimeError, match="exit 3"):
        sessions().renewed("```sh\nexit 3\n```\n\n```text\n```\n")
    assert sessions().renewed("```sh\nexit 3\n```\n") == "```sh\nexit 3\n```\n", "without output: for the reader"
