"""core: a message is published, and nobody answers. What arrives is seen by taps and effects alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from harness.load._config import LoadConfig
from harness.load._operations import Operations
from harness.load.kinds._publishing import Publishing


def make(workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup) -> Core:
    """The kind of one workload."""
    return Core(workload, operations, config, tasks)


class Core(Publishing):
    """One workload of messages; see `Kind`."""

    answered: ClassVar[bool] = False
