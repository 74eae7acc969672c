"""request: a message is published, and the first reply to it is the answer; whatever it says.

Nobody is asked what became of it afterwards; that the effects tell, where the system file has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from nats.aio.msg import Msg

from harness.load import outcomes
from harness.load._config import LoadConfig
from harness.load._operations import Operations
from harness.load.kinds._publishing import Publishing
from harness.load.outcomes import Answer


def make(workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup) -> Request:
    """The kind of one workload."""
    return Request(workload, operations, config, tasks)


class Request(Publishing):
    """One workload of requests; see `Kind`."""

    def answer(self, message: Msg) -> Answer:
        """A reply, or the broker's word that nobody listens there."""
        return outcomes.request(message.data, (message.headers or {}).get("Status", ""))
