"""What Locust runs for the kinds of workload that are ours. `driver` starts `python -m locust -f` this file.

One User with one task, which runs the load's asyncio program on gevent's hub: coroutines are many times cheaper than a
greenlet an operation (docs/decisions), and Locust's statistics, its limits and its way to end stay in place. With
`--processes N`, Locust's master gives each of its N workers one such User, and runs the crew that steers them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import traceback
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any

import asyncio_gevent
import gevent
from locust import User, events, runners, task
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from harness.load._config import CONTROL_VARIABLE, KINDS_VARIABLE, PROOF_VARIABLE
from harness.load._session import serve, totals_of
from harness.load._steering import MESSAGE, ORPHANED, Channel, Crew, Message, MessageChannel, SocketChannel
from harness.load.kinds import preload
from harness.runtime._proc import identity, members

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_MASTER = os.getpid()
"""Who imports this; Locust forks its workers later."""
_requests_reported: Counter[tuple[str, str]] = Counter()
_failures_reported: Counter[tuple[str, str]] = Counter()


class Offered(User):
    """The load, or a worker's part of it."""

    @task
    def offer(self) -> None:
        """Runs it to its end, and Locust with it. A worker waits for its master then, who would give its task on."""
        ends = not isinstance(self.environment.runner, WorkerRunner)
        _run(self._offer(), self.environment, ends=ends)
        self.environment.stop_timeout = 0  # nothing is under way any more
        while True:
            gevent.sleep(60)

    async def _offer(self) -> None:
        await serve(await _channel(self.environment.runner), self)

    def fire(self, kind: str, name: str, response_ms: float, exception: Exception | None) -> None:
        """Fires Locust's request event once."""
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=response_ms, response_length=0, exception=exception, context={}
        )

    def totals(self) -> Mapping[str, Any]:
        """Locust's own count of what was fired; what a worker has reported to its master, it counts anew."""
        entries = self.environment.stats.entries
        requests = Counter({key: entry.num_requests for key, entry in entries.items()}) + _requests_reported
        failures = Counter({key: entry.num_failures for key, entry in entries.items()}) + _failures_reported
        return totals_of({key: (requests[key], failures[key]) for key in requests})


def _begin(environment: Environment, runner: Runner, **_: object) -> None:
    if isinstance(runner, WorkerRunner):
        _die_with_the_master()
        hooks.report_to_master.add_listener(_reported)  # after Locust's own, which fills the report
        os.close(int(os.environ[CONTROL_VARIABLE]))  # the master's alone: its end must be seen by the runner
    elif isinstance(runner, MasterRunner):
        # Locust would give the work of a worker that was silent for 3 s to the others. We see its end by its process.
        runners.HEARTBEAT_LIVENESS = sys.maxsize
        gevent.spawn(_run, _lead(runner), environment)


def _reported(data: Mapping[str, Any], **_: object) -> None:
    for entry in data["stats"]:
        _requests_reported[entry["name"], entry["method"]] += entry["num_requests"]
        _failures_reported[entry["name"], entry["method"]] += entry["num_failures"]


preload(os.environ[KINDS_VARIABLE].split(","))
hooks: Any = events  # which carry no types
hooks.init.add_listener(_begin)


async def _channel(runner: Runner | None) -> Channel:
    if not isinstance(runner, WorkerRunner):
        control = socket.socket(fileno=int(os.environ[CONTROL_VARIABLE]))
        control.setblocking(False)
        return await SocketChannel.open(control)
    channel = MessageChannel(lambda message: runner.send_message(MESSAGE, message), os.environ[PROOF_VARIABLE])
    runner.register_message(MESSAGE, lambda environment, msg: channel.received(msg.data))
    return channel


async def _lead(runner: MasterRunner) -> None:
    def send(message: Message, worker: str) -> None:
        runner.send_message(MESSAGE, message, worker)

    crew = Crew(send, _forked(), os.environ[PROOF_VARIABLE])
    runner.register_message(MESSAGE, lambda environment, msg: crew.received(msg.node_id, msg.data))
    await crew.serve(await _channel(None))


def _run(program: Coroutine[Any, Any, None], environment: Environment, *, ends: bool = True) -> None:
    """Runs an asyncio program on gevent's hub; when it has failed, or if it `ends` Locust, so does Locust."""
    environment.process_exit_code = 1
    try:
        loop = asyncio_gevent.EventLoop()
        loop.run_until_complete(program)
        environment.process_exit_code = 0
    except Exception:
        ends = True
        traceback.print_exc()  # Locust would be gone before it says so itself
        raise
    finally:
        assert environment.runner is not None
        if ends:
            environment.runner.quit()


def _forked() -> list[int]:
    """The workers: we lead a session of our own, and nobody else is in it."""
    us = identity(os.getpid())
    assert us is not None
    return sorted(member.identity.pid for member in members([us]) if member.identity != us)


def _die_with_the_master() -> None:
    """It is killed by its pid, which does not reach those that Locust forked."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != _MASTER:  # it died before we could ask
        os._exit(ORPHANED)
