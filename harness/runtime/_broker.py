"""The broker as a node: the configuration that we write, and how it is known to be ready."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import Missing, StartError
from harness.runtime import binaries
from harness.runtime._node import Port, ProcessNode, Recipe, base_environment
from harness.runtime._ready import all_of, by_http, by_port, by_sign_in
from harness.runtime.contract import Recorder
from harness.runtime.journal import Journal
from harness.system.model import BROKER, Role, SystemFile

SYSTEM_USER = "nats-harness"
PASSWORD_VARIABLE = "NATS_HARNESS_PASSWORD"
CONFIGURATION = "nats-server.conf"
OBSERVER = f"{{ user: {SYSTEM_USER}, password: ${PASSWORD_VARIABLE} }}"
ONE_CREDENTIAL = ("Can not have a single user/pass and", "Can not have a token and")
"""What nats-server says of an `authorization` with which it takes no accounts, so no system account of ours either."""
CHECK_WITHIN_S = 10.0
REFUSED_OBSERVER = (
    "the included configuration has `accounts` of its own, which replace ours; add our observer to them:"
    f" accounts {{ $SYS {{ users: [ {OBSERVER} ] }} }}"
)


class BrokerNode(ProcessNode):
    """A nats-server. Beside what a node has: `monitor_url`, and the system account's user for our observer."""

    def __init__(
        self, name: str, *, folder: Path, port: int, monitor_port: int, journal: Journal, recorder: Recorder
    ) -> None:
        ports = {"client": Port(port, "nats"), "monitor": Port(monitor_port)}
        super().__init__(name, BROKER, Role.BROKER, folder=folder, ports=ports, journal=journal, recorder=recorder)
        self.storage = folder / "jetstream"
        self.sys_user: str | None = SYSTEM_USER
        """None where an included configuration leaves no room for a system account: no advisories then."""
        self.sys_password = f"p{secrets.token_hex(16)}"
        recorder.secret(self.sys_password)

    @property
    def monitor_url(self) -> str:
        """The monitoring's address, past the proxies."""
        return self.direct("monitor")

    async def prepare(self, system: SystemFile) -> None:
        """Finds the binary, writes the configuration, and checks an included one. Raises Missing or StartError."""
        usual = await _binary(system.broker.version)
        configuration = self.dir / CONFIGURATION
        environment = {**base_environment(), PASSWORD_VARIABLE: self.sys_password}
        include = _included(system, self.dir)
        text = self._configuration(system, include)
        if include is not None:
            configuration.write_text(text)
            if await _has_one_credential(usual, configuration, environment):
                self.sys_user = None
                text = self._configuration(system, include)

        async def argv(version: str | None) -> Sequence[str]:
            binary = usual if version is None else await _binary(version)
            return [str(binary), "-c", str(configuration)]

        port = self.ports["client"].number
        signs_in = by_port(port) if self.sys_user is None else by_sign_in(port, self.sys_user, self.sys_password)
        self.recipe = Recipe(
            argv,
            environment,
            system.path.parent,
            files={CONFIGURATION: text},
            ready=all_of(by_http(f"{self.monitor_url}/healthz"), signs_in),
            fixes={f'authentication error - User "{SYSTEM_USER}"': REFUSED_OBSERVER},
        )

    def _configuration(self, system: SystemFile, include: str | None) -> str:
        """Of two entries of one name nats-server takes the later: theirs over our accounts, ours over their ports."""
        listen, monitor = self.ports["client"].number, self.ports["monitor"].number
        store = system.broker.jetstream
        lines = [
            "# Written by nats-harness before each start.",
            *([f"accounts {{ $SYS {{ users: [ {OBSERVER} ] }} }}"] if self.sys_user else []),
            *([f'include "{include}"'] if include else []),
            f'server_name: "{self.name}"',
            f'listen: "127.0.0.1:{listen}"',
            f'http: "127.0.0.1:{monitor}"',
            "logtime: false",
            f'jetstream {{ store_dir: "{self.storage}", sync_interval: "{store.sync_interval}" }}',
        ]
        return "\n".join(lines) + "\n"


async def _binary(version: str | None) -> Path:
    found = binaries.find_nats_server(version)
    return found if found is not None else await asyncio.to_thread(binaries.nats_server, version)


def _included(system: SystemFile, folder: Path) -> str | None:
    """The included file as nats-server takes it: relative to the file that includes it, even where it is absolute."""
    if system.broker.include is None:
        return None
    path = (system.path.parent / system.broker.include).resolve()
    if not path.is_file():
        raise Missing(f"there is no {path}", where=system.where("broker", "include"), fix="correct broker.include")
    return os.path.relpath(path, folder.resolve())


async def _has_one_credential(binary: Path, configuration: Path, environment: Mapping[str, str]) -> bool:
    """Whether it is refused since it names one user or a token for all. Raises StartError where it is refused else."""

    def check() -> subprocess.CompletedProcess[str]:
        command = [str(binary), "-t", "-c", str(configuration)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CHECK_WITHIN_S)

    done = await asyncio.to_thread(check)
    if done.returncode == 0:
        return False
    if any(words in done.stderr for words in ONE_CREDENTIAL):
        return True
    raise StartError(f"the configuration is refused: {done.stderr.strip()}", where=BROKER, fix="correct broker.include")
