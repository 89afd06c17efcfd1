"""What tests of the command line share."""

import pytest


@pytest.fixture
def in_the_checkout(monkeypatch, request):
    """The working folder is that of the project."""
    monkeypatch.chdir(request.config.rootpath)


@pytest.fixture
def conditions(tmp_path, request):
    """A file of what the test's module calls CONDITIONS."""
    path = tmp_path / "conditions.toml"
    path.write_text(request.module.CONDITIONS)
    return str(path)
