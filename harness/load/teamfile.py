"""What Locust loads before a team's own locustfile, which stays as it is: no User here, only what records and steers.

Locust imports this file, then theirs, then reads its options, then fires `init`. Their file finds its host, its
variables and its folder as the system file says, so that this import waits until the runner has told them. Locust would
read options from files in the working folder: while it does, that is the scenario's own. From `init` on the load is
steered as ours is; Locust's own start and end are never reached.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

import asyncio_gevent
import gevent
from locust import events
from locust.env import Environment
from locust.runners import Runner

from harness.errors import UsageError
from harness.history.clock import now_ns
from harness.history.recorder import Recorder
from harness.load._config import CONTROL_VARIABLE, LoadConfig, is_elsewhere
from harness.load._session import conduct, totals_of
from harness.load._steering import SocketChannel
from harness.load._team import Team

_OUT_OF_TIME = 5
"""The exit code of a load that ran longer than it may."""


def _told(control: socket.socket) -> LoadConfig:
    """Says that Locust is up, and waits for the first command; the runner sends no more before it is answered."""
    control.sendall(json.dumps({"is": "ready", "t_ns": now_ns()}).encode() + b"\n")
    line = b""
    while not line.endswith(b"\n"):
        data = control.recv(1 << 16)
        if not data:
            sys.exit("the runner went away")
        line += data
    return LoadConfig.from_json(json.loads(line)["config"])


_control = socket.socket(fileno=int(os.environ.pop(CONTROL_VARIABLE)))
_config = _told(_control)
[(_name, _table)] = _config.workloads.items()
_scenario = os.getcwd()
os.environ.update(_table["env"])
os.chdir(_table["folder"])


def _read_no_options(**_: object) -> None:
    os.chdir(_scenario)


def _begin(environment: Environment, runner: Runner, **_: object) -> None:
    os.chdir(_table["folder"])
    options = environment.parsed_options
    assert options is not None
    gevent.spawn_later(options.run_time, os._exit, _OUT_OF_TIME)
    environment.host = options.host = _table.get("host")
    environment.stop_timeout = float(_table["answers_s"]) + 1
    for user in environment.user_classes:
        host = environment.host or user.host
        if host and is_elsewhere(host):
            raise UsageError(
                f"load is offered on this machine only, and {host!r} is not its loopback",
                where=f"{_table['file']}: {user.__name__}.host",
                fix='write host = "{web.url}" in the workload, so that the work crosses a link',
            )
    users = _Users(environment, runner)
    loop = asyncio_gevent.EventLoop()
    loop.run_until_complete(_serve(users))
    hooks.quitting.fire(environment=environment, reverse=True)
    hooks.quit.fire(exit_code=0)
    sys.exit(0)


async def _serve(users: _Users) -> None:
    _control.setblocking(False)

    def make(config: LoadConfig, recorder: Recorder, tasks: asyncio.TaskGroup) -> Team:
        team = Team(config, recorder, tasks, users)
        hooks.request.add_listener(team.heard)
        return team

    await conduct(await SocketChannel.open(_control), _config, make)


class _Users:
    """See `_team.Users`."""

    def __init__(self, environment: Environment, runner: Runner) -> None:
        self._environment, self._runner = environment, runner

    async def start(self, times: float) -> int:
        if self._environment.shape_class:
            self._runner.start_shape()
            return 0
        users: int = max(1, round(_table["users"] * times))
        self._runner.start(users, float(_table["spawn_rate"]))
        return users

    async def stop(self) -> bool:
        from_s = time.monotonic()
        await asyncio_gevent.greenlet_to_future(gevent.spawn(self._runner.stop))
        return time.monotonic() - from_s < self._environment.stop_timeout

    def totals(self) -> Mapping[str, Any]:
        entries = self._environment.stats.entries
        return totals_of({key: (entry.num_requests, entry.num_failures) for key, entry in entries.items()})


hooks: Any = events  # which carry no types
hooks.init_command_line_parser.add_listener(_read_no_options)
hooks.init.add_listener(_begin)
