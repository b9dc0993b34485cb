"""An account that the tests of a module share, emptied before each."""

from collections.abc import Iterator

import pytest

from tests.functional import cloud


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as world:
        yield world


@pytest.fixture
def world(account: cloud.World) -> cloud.World:
    account.server.reset()
    account.server.world.settings = cloud.QUICK  # which a test may have slowed down
    account.renew()
    return account
