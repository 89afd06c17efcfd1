"""A node under a modest load of SIPp: every request is answered, rightly and once."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from model.errors import EnvironmentLacks
from reference_node.lab.servers import choose

pytestmark = [pytest.mark.real, pytest.mark.slow]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "node_load.py"


@pytest.fixture(scope="module")
def node_load():
    """The benchmark as a module: benchmarks are no package."""
    if shutil.which("sipp") is None:
        pytest.skip("no sipp on the path")
    try:
        choose()
    except EnvironmentLacks as lack:
        pytest.skip(str(lack))
    spec = importlib.util.spec_from_file_location("node_load", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["node_load"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "transport"), [("register", "udp"), ("register", "tcp"), ("lookup", "udp")])
def test_a_modest_load_is_answered_whole(node_load, kind: str, transport: str):
    load = node_load.measure(kind, rate=100, seconds=3, transport=transport)
    assert (load.sent, load.answered, load.failed) == (300, 300, 0)
    assert 0 < load.node_us < 1e6 and load.p50_ms <= load.p99_ms <= load.max_ms


def test_the_report_is_json(node_load, capsys):
    assert node_load.main(["--rate", "50", "--seconds", "1", "--json"]) == 0
    (load,) = json.loads(capsys.readouterr().out)
    assert (load["kind"], load["sent"], load["answered"]) == ("register", 50, 50)
