"""Every notebook runs from top to bottom on a fresh kernel, and is the twin of its text file."""

from pathlib import Path

import jupytext
import nbclient
import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(ROOT.glob("notebooks/*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_runs_on_a_fresh_kernel(source, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    nbclient.NotebookClient(
        jupytext.read(source), timeout=240, resources={"metadata": {"path": str(source.parent)}}
    ).execute()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_committed_notebook_is_the_twin_of_its_text(source):
    """Otherwise: ./dev notebooks."""
    text, notebook = jupytext.read(source), jupytext.read(source.with_suffix(".ipynb"))
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ]


def test_there_is_a_notebook():
    assert SOURCES
