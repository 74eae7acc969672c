"""The broker as a node: the configuration that we write, and how it is known to be ready."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic_ns

from harness.errors import HarnessError, Missing, StartError
from harness.runtime import binaries
from harness.runtime._http import LOOPBACK, request
from harness.runtime._node import LOOK_EVERY_S, NodeHost, Port, Recipe, SystemNode
from harness.runtime._ready import all_of, by_http, by_port, by_sign_in
from harness.runtime.contract import Recorder
from harness.system.model import BROKER, Role, SystemFile

SYSTEM_USER = "nats-harness"
PASSWORD_VARIABLE = "NATS_HARNESS_PASSWORD"
CONFIGURATION = "nats-server.conf"
RELOADED = "reloaded.conf"
RELOADS_WITHIN_S = 1.5
CLIENT_SCHEME = "nats"
OBSERVER = f"{{ user: {SYSTEM_USER}, password: ${PASSWORD_VARIABLE} }}"
ONE_CREDENTIAL = ("Can not have a single user/pass and", "Can not have a token and")
"""What nats-server says of an `authorization` with which it takes no accounts, so no system account of ours either."""
CHECK_WITHIN_S = 10.0
REFUSED_OBSERVER = (
    "the included configuration has `accounts` of its own, which replace ours; add our observer to them:"
    f" accounts {{ $SYS {{ users: [ {OBSERVER} ] }} }}"
)


@dataclass(frozen=True)
class Setup:
    """How a broker is run where it runs."""

    argv: Callable[[str | None], Awaitable[Sequence[str]]]
    """What the path of its configuration is put after, for a version asked for or the usual one."""
    listens_on: str
    included: str | None
    """The file that its configuration includes, as its configuration has to name it."""
    env: Mapping[str, str] = field(default_factory=dict)
    image: Callable[[str | None], Awaitable[str]] | None = None
    mounts: Mapping[Path, str] = field(default_factory=dict)


class BrokerNode(SystemNode):
    """A nats-server. Beside what a node has: `monitor_url`, and the system account's user for our observer."""

    def __init__(self, name: str, *, host: NodeHost, client: Port, monitor: Port, recorder: Recorder) -> None:
        ports = {"client": client, "monitor": monitor}
        super().__init__(name, BROKER, Role.BROKER, host=host, ports=ports, recorder=recorder)
        self.storage = self.dir / "jetstream"
        self.sys_user: str | None = SYSTEM_USER
        """None where an included configuration leaves no room for a system account: no advisories then."""
        self.sys_password = f"p{secrets.token_hex(16)}"
        recorder.secret(self.sys_password)
        self._include: str | None = None
        self._text: Callable[[str | None], str]

    @property
    def monitor_url(self) -> str:
        """The monitoring's address, past the proxies."""
        return self.direct("monitor")

    async def prepare(self, system: SystemFile, setup: Setup) -> None:
        """Writes the configuration, and checks an included one. Raises Missing or StartError."""
        environment = {**setup.env, PASSWORD_VARIABLE: self.sys_password}
        if setup.included is not None and await self._has_one_credential(system, environment):
            self.sys_user = None

        async def argv(version: str | None) -> Sequence[str]:
            return [*await setup.argv(version), "-c", str(self.dir / CONFIGURATION)]

        client, there = self.address("client"), partial(self.listens, "client")
        if self.sys_user is None:
            signs_in = by_port(client, there)
        else:
            signs_in = by_sign_in(client, there, self.sys_user, self.sys_password)
        self._include = setup.included
        self._text = partial(self._configuration, system, listens_on=setup.listens_on, store_dir=self.storage)
        self.recipe = Recipe(
            argv,
            environment,
            system.path.parent,
            files={CONFIGURATION: self._text(self._include)},
            ready=all_of(by_http(f"{self.monitor_url}/healthz", partial(self.listens, "monitor")), signs_in),
            fixes={f'authentication error - User "{SYSTEM_USER}"': REFUSED_OBSERVER},
            image=setup.image,
            mounts=setup.mounts,
        )

    async def reload(self, configuration: str | None = None) -> int:
        """See Node."""
        assert self.recipe is not None
        before, process = await self._loaded(), self._running
        files = {CONFIGURATION: self._text(RELOADED if configuration is not None else self._include)}
        if configuration is not None:
            files[RELOADED] = f"{configuration}\n"
        await self.host.write(files)
        await process.ask(signal.SIGHUP)
        try:
            async with asyncio.timeout(RELOADS_WITHIN_S):
                while await self._loaded() == before:
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError as error:
            lines = "\n    ".join(self.last_lines(5))
            await self.host.write(self.recipe.files)
            what = f"it did not take the configuration; its last lines:\n    {lines}"
            raise HarnessError(what, where=self.name) from error
        self.recipe = replace(self.recipe, files=files)
        return monotonic_ns()

    async def _loaded(self) -> object:
        """When it read its configuration, as its monitoring tells."""
        try:
            _, body = await request("GET", self.address("monitor"), "/varz", within_s=RELOADS_WITHIN_S)
        except (OSError, TimeoutError) as error:
            raise HarnessError(f"its monitoring does not answer: {error!r}", where=self.name) from error
        return json.loads(body)["config_load_time"]

    async def _has_one_credential(self, system: SystemFile, environment: Mapping[str, str]) -> bool:
        """Whether an included file names one user or a token for all. Raises StartError where it is refused else."""
        binary = await binary_of(system.broker.version)
        with tempfile.TemporaryDirectory(prefix="nats-harness-") as folder:
            configuration = Path(folder) / CONFIGURATION
            include = included_from(system, Path(folder))
            configuration.write_text(self._configuration(system, include, LOOPBACK, Path(folder)))
            return await asyncio.to_thread(_refused_for_accounts, binary, configuration, environment)

    def _configuration(self, system: SystemFile, include: str | None, listens_on: str, store_dir: Path) -> str:
        """Of two entries of one name nats-server takes the later: theirs over our accounts, ours over their ports."""
        listen, monitor = self.ports["client"].number, self.ports["monitor"].number
        store = system.broker.jetstream
        lines = [
            "# Written by nats-harness before each start.",
            *([f"accounts {{ $SYS {{ users: [ {OBSERVER} ] }} }}"] if self.sys_user else []),
            *([f'include "{include}"'] if include else []),
            f'server_name: "{self.name}"',
            f'listen: "{listens_on}:{listen}"',
            f'http: "{listens_on}:{monitor}"',
            "logtime: false",
            f'jetstream {{ store_dir: "{store_dir}", sync_interval: "{store.sync_interval}" }}',
        ]
        return "\n".join(lines) + "\n"


async def binary_of(version: str | None) -> Path:
    """The nats-server of that version, fetched where it is not here. Raises Missing."""
    found = binaries.find_nats_server(version)
    return found if found is not None else await asyncio.to_thread(binaries.nats_server, version)


def included(system: SystemFile) -> Path | None:
    """The file of `broker.include`, or None. Raises Missing where it is not there."""
    if system.broker.include is None:
        return None
    path = (system.path.parent / system.broker.include).resolve()
    if not path.is_file():
        raise Missing(f"there is no {path}", where=system.where("broker", "include"), fix="correct broker.include")
    return path


def included_from(system: SystemFile, folder: Path) -> str | None:
    """The same as nats-server takes it: relative to the folder of what includes it, even where it is absolute."""
    path = included(system)
    return None if path is None else os.path.relpath(path, folder.resolve())


def _refused_for_accounts(binary: Path, configuration: Path, environment: Mapping[str, str]) -> bool:
    command = [str(binary), "-t", "-c", str(configuration)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CHECK_WITHIN_S)
    if done.returncode == 0:
        return False
    if any(words in done.stderr for words in ONE_CREDENTIAL):
        return True
    raise StartError(f"the configuration is refused: {done.stderr.strip()}", where=BROKER, fix="correct broker.include")
