"""The pre-registered matrix: what a file means, and what is refused."""

import pytest

from model.errors import ScenarioError
from study import matrix

SCENARIO = """
schema = 1
name = "small"
question = "q"
host = [{ name = "host1" }, { name = "host2" }, { name = "host3" }]
fault = [{ kind = "vanish", host = "host1", at_ms = 0 }]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.toml").write_text(SCENARIO)

    def with_matrix(text):
        (tmp_path / matrix.FILE).write_text(text)
        return tmp_path

    return with_matrix


def test_a_block_is_every_variant_with_every_version(folder):
    cells = matrix.load(
        folder("""
        [[block]]
        scenario = "small"
        real_runs = 12
        main = true
        variants = [{}, { "sentinel.down_after_ms" = 1000, "run.horizon_ms" = 9000 }]
        versions = ["6.2", "valkey-9.1"]
        """)
    )
    assert [cell.name for cell in cells] == [
        "small[6.2]",
        "small[valkey-9.1]",
        "small[down_after_ms=1000,6.2]",
        "small[down_after_ms=1000,valkey-9.1]",
    ]
    last = cells[-1]
    assert (last.scenario.sentinel.down_after_ms, last.scenario.run.horizon_ms) == (1000, 9000)
    assert (last.scenario.server.version, last.real_runs, last.main, last.fault_class) == (
        "valkey-9.1",
        12,
        True,
        "small",
    )
    assert len({cell.scenario.digest for cell in cells}) == 4


def test_defaults_of_a_block(folder):
    (cell,) = matrix.load(folder('[[block]]\nscenario = "small"'))
    assert (cell.scenario.server.version, cell.real_runs, cell.main, cell.cause) == (matrix.FAMILY, 10, False, "")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[block]]\nscenario = "other"', "block.0.scenario"),
        ('[[block]]\nscenario = "small"\nruns = 3', "block.0.runs"),
        ('[[block]]\nscenario = "small"\nreal_runs = "3"', "block.0.real_runs"),
        ('[[block]]\nscenario = "small"\nversions = ["5.0"]', "block.0.versions"),
        ('[[block]]\nscenario = "small"\nvariants = [{ "sentinel.quorum" = 9 }]', "sentinel.quorum"),
        ('[[block]]\nscenario = "small"\n[[block]]\nscenario = "small"', "small[6.2]"),
        ("[[block]", ""),
    ],
)
def test_what_cannot_be_is_refused(folder, text, key):
    with pytest.raises(ScenarioError) as refusal:
        matrix.load(folder(text))
    assert refusal.value.key == key
