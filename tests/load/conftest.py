from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.load.lab import Broker, broker


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("store")) as made:
        yield made
