from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import nats
import pytest
from nats.aio.client import Client as NatsConnection

from tests.telhawk.conftest import Broker, Stack, until


class Addresses(dict[str, str]):
    """The address of each service, by its name."""


@pytest.fixture
async def observer(broker: Broker) -> AsyncIterator[NatsConnection]:
    connection = await nats.connect(broker.url, reconnect_time_wait=0.1)
    yield connection
    await connection.close()


@pytest.fixture
async def addresses(stack: Stack) -> Addresses:
    """The hardened stack."""
    return await started(stack, "all")


async def ready(stack: Stack, probe: str) -> bool:
    async with stack.http.get(probe) as response:
        return response.status == 200


async def started(stack: Stack, hardening: str) -> Addresses:
    search = await stack.search(TELHAWK_HARDENING=hardening)
    await stack.web(TELHAWK_HARDENING=hardening, SEARCH_URL=search)
    for probe in (f"{search}/readyz", f"{stack.url}/api/ready"):
        await until(partial(ready, stack, probe))
    return Addresses(
        web=stack.url,
        search=search,
        authenticate=stack.env["AUTHENTICATE_SERVICE_URL"],
        eventstore=stack.env["EVENTSTORE_URL"],
    )
