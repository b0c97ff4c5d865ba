"""What all tests share: real parts of the stack, each started once for the tests that need it, stopped after them."""

from collections.abc import Iterator

import pytest

from local.azurite import azurite


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of an Azurite that serves the whole run; each test takes keys of its own in it."""
    with azurite(tmp_path_factory.mktemp("azurite") / "azurite.log") as connection_string:
        yield connection_string
