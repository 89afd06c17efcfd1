"""What tests on real servers share."""

import pytest

from model.errors import EnvironmentLacks
from reference_node.lab import isolation


@pytest.fixture
def namespaces() -> None:
    """Skips where this machine refuses namespaces."""
    try:
        isolation.resolve("namespaces")
    except EnvironmentLacks as error:
        pytest.skip(str(error))
