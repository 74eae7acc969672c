"""What Locust runs: the only module that imports it. `driver` starts `python -m locust -f` this file.

One User with one task, which runs the load's asyncio program on gevent's hub: coroutines are many times cheaper than a
greenlet an operation (docs/decisions), and Locust's statistics, its limits and its way to end stay in place.
"""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Mapping
from typing import Any

import asyncio_gevent
from locust import User, task

from harness.load._config import CONTROL_VARIABLE
from harness.load._session import serve, totals_of


class Offered(User):
    """The load."""

    @task
    def offer(self) -> None:
        """Runs the load to its end, and Locust with it."""
        self.environment.process_exit_code = 1
        try:
            control = socket.socket(fileno=int(os.environ[CONTROL_VARIABLE]))
            control.setblocking(False)
            loop = asyncio_gevent.EventLoop()
            loop.run_until_complete(serve(control, self))
            self.environment.process_exit_code = 0
        except Exception:
            traceback.print_exc()  # Locust would be gone before it says so itself
            raise
        finally:
            self.environment.runner.quit()

    def fire(self, kind: str, name: str, response_ms: float, exception: Exception | None) -> None:
        """Fires Locust's request event once."""
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=response_ms, response_length=0, exception=exception, context={}
        )

    def totals(self) -> Mapping[str, Any]:
        """Locust's own count of what was fired."""
        entries = self.environment.stats.entries
        return totals_of({key: (entry.num_requests, entry.num_failures) for key, entry in entries.items()})
