"""http: work is offered by one HTTP request, and its answer is all that the entry is asked for.

What became of it afterwards the effects tell, where the system file has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from harness.load._config import LoadConfig
from harness.load._operations import Operations
from harness.load.kinds._submitting import Submitting


def make(
    workload: Mapping[str, Any], operations: Operations, config: LoadConfig, tasks: asyncio.TaskGroup
) -> Submitting:
    """The kind of one workload."""
    return Submitting(workload, operations, tasks)
