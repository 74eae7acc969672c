"""The container engine, through testcontainers: asked in threads of its own, its failures told as ours.

Nothing of it is imported before an engine is wanted: that costs half a second. testcontainers' own clean-up (Ryuk) is
off, since it needs an image of a registry; ours is the journal and a label on whatever is made.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from harness.errors import HarnessError, Missing, StartError

if TYPE_CHECKING:
    from testcontainers.core.docker_client import DockerClient

T = TypeVar("T")

JOURNAL_LABEL = "nats-harness.journal"
"""The journal of the run that made a container, a network or a volume."""
IMAGE_LABEL = "nats-harness.image"
"""What an image of ours is, so that it can be found and removed."""
ANSWERS_WITHIN_S = 30.0
"""Of every call but a build: an engine that takes longer is taken for gone."""
THREADS = 8
SOCKET = "unix:///var/run/docker.sock"
"""Where the engine listens unless the user's environment says otherwise."""
FIX = "start it (systemctl start docker), or use --runtime processes"


class Engine:
    """One connection to the engine of this machine. `tools` is testcontainers' client, `api` docker-py's plain one."""

    def __init__(self, tools: DockerClient, url: str) -> None:
        self.tools, self.api, self._url = tools, tools.client.api, url
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="engine")

    @classmethod
    def connect(cls) -> Engine:
        """Raises Missing where no engine answers, or it refuses this user."""
        import docker.errors
        import requests.exceptions
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.docker_client import DockerClient, get_docker_host

        testcontainers_config.ryuk_disabled = True
        try:
            url = get_docker_host() or SOCKET
            _knock(url)
            engine = cls(DockerClient(timeout=ANSWERS_WITHIN_S), url)
            engine.api.ping()
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise missing(error) from error
        return engine

    async def do(self, work: Callable[[], T], *, where: str = "container engine") -> T:
        """The result of `work`, done in a thread; whoever is cancelled meanwhile waits for it all the same.

        Raises HarnessError, in the engine's words, where it did not do it.
        """
        from harness.runtime._together import to_its_end

        async def done() -> T:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: self.ask(work, where=where))

        return await to_its_end(done())

    def ask(self, work: Callable[[], T], *, where: str = "container engine") -> T:
        """The same, here."""
        import docker.errors
        import requests.exceptions

        try:
            _knock(self._url)
            return work()
        except docker.errors.ImageNotFound as error:
            raise Missing(said(error), where=where, fix="pull or build it, or name another image") from error
        except docker.errors.APIError as error:
            raise StartError(said(error), where=where) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise missing(error) from error

    @functools.cached_property
    def cgroup_parent(self) -> str | None:
        """The parent of containers' groups, if their weights are to count beside our own processes' groups.

        None is the engine's own group, which all containers share, or, where systemd keeps the groups, its slice.
        """
        return "/" if self.api.info()["CgroupDriver"] == "cgroupfs" else None

    def close(self) -> None:
        """Ends its threads and connections."""
        self._threads.shutdown(wait=False)
        self.tools.client.close()


def why_not() -> str:
    """Why containers cannot be run here; empty where they can."""
    try:
        Engine.connect().close()
    except Missing as error:
        return str(error)
    return ""


def _knock(url: str) -> None:
    """Raises OSError where nobody listens: docker-py would leave its socket open then."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.connect(url.removeprefix("unix://"))


def missing(error: BaseException) -> Missing:
    """What keeps the engine from answering, and what to do."""
    cause = _os_error(error)
    if cause is not None and cause.errno in (errno.EACCES, errno.EPERM):
        what = "the container engine refuses this user"
        fix = "add the user to its group (usermod -aG docker NAME, then log in again), or use --runtime processes"
        return Missing(what, where=_address(), fix=fix)
    if cause is not None and cause.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return Missing("no container engine answers", where=_address(), fix=FIX)
    return Missing(f"the container engine does not answer: {error}", where=_address(), fix=FIX)


def said(error: BaseException) -> str:
    """The engine's own words, without docker-py's."""
    return str(getattr(error, "explanation", None) or error).strip()


def _address() -> str:
    import os

    return os.environ.get("DOCKER_HOST") or "/var/run/docker.sock"


def _os_error(error: BaseException) -> OSError | None:
    """The system's error at the bottom; requests and urllib3 carry it as an argument of an argument."""
    import requests.exceptions

    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or not isinstance(one, BaseException):
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno and not isinstance(one, requests.exceptions.RequestException):
            return one
        waiting += [*one.args, one.__cause__, one.__context__, getattr(one, "reason", None)]
    return None


class Made(NamedTuple):
    """What a journal says was made in the engine: "container", "network" or "volume", and its name."""

    kind: str
    name: str


ORDER = ("container", "network", "volume")
"""A network goes once its node is out of it, a volume once nobody has it."""


def remove(journal: str, made: Sequence[Made]) -> tuple[list[str], list[str]]:
    """Removes what is named and bears the journal's label; what went, and what would not, each with the reason."""
    try:
        engine = Engine.connect()
    except Missing as error:
        return [], [f"{len(made)} containers, networks and volumes of the engine: {error.what}"]
    try:
        return _removed(engine, journal, made)
    finally:
        engine.close()


def _removed(engine: Engine, journal: str, made: Sequence[Made]) -> tuple[list[str], list[str]]:
    gone: list[str] = []
    left: list[str] = []

    def one(kind: str, name: str) -> None:
        try:
            if engine.ask(lambda: _remove_one(engine, journal, kind, name)):
                gone.append(f"{kind} {name}")
        except HarnessError as error:
            left.append(f"{kind} {name}: {error.what}")

    def all_of(name: str) -> None:
        for kind in ORDER:
            if Made(kind, name) in made:
                one(kind, name)

    # Node by node, side by side; then the hub, which was put out of each network: all its ends at once take longer.
    networks = {entry.name for entry in made if entry.kind == "network"}
    names = dict.fromkeys(entry.name for entry in made)
    with ThreadPoolExecutor(THREADS) as threads:
        for alike in ([name for name in names if name in networks], [name for name in names if name not in networks]):
            list(threads.map(all_of, alike))
    return gone, left


def _remove_one(engine: Engine, journal: str, kind: str, name: str) -> bool:
    """Removes it; False where there is none of that name, or it is not ours."""
    import docker.errors

    client = engine.tools.client
    try:
        match kind:
            case "container":
                container = client.containers.get(name)
                if container.labels.get(JOURNAL_LABEL) != journal:
                    return False
                container.remove(force=True, v=True)
            case "network":
                network = client.networks.get(name)
                if (network.attrs["Labels"] or {}).get(JOURNAL_LABEL) != journal:
                    return False
                for member in network.attrs["Containers"]:
                    network.disconnect(member, force=True)
                network.remove()
            case _:
                volume = client.volumes.get(name)
                if (volume.attrs["Labels"] or {}).get(JOURNAL_LABEL) != journal:
                    return False
                volume.remove(force=True)
    except docker.errors.NotFound:
        return False
    except docker.errors.APIError as error:
        if error.status_code == 409 and "already in progress" in said(error):
            return True  # another undo is at it
        raise
    return True
