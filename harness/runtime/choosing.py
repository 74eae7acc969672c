"""Which runtime a system runs in. Nothing heavy is imported here: collecting scenarios asks too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UnknownName

if TYPE_CHECKING:
    from harness.runtime._runtime import SystemRuntime
    from harness.system.model import SystemFile

AUTO, CONTAINERS, PROCESSES = "auto", "containers", "processes"
RUNTIMES = (AUTO, CONTAINERS, PROCESSES)


def known(asked: str) -> str:
    """`asked`, where it is one of RUNTIMES. Raises UnknownName."""
    if asked not in RUNTIMES:
        raise UnknownName(asked, RUNTIMES, kind="runtime", where="--runtime")
    return asked


def chosen(asked: str, system: SystemFile) -> str:
    """The runtime that `auto` means: containers, where the system can run in them and an engine answers."""
    if asked != AUTO:
        return asked
    if not all(service.image or "{python}" in "".join(service.command) for service in system.services.values()):
        return PROCESSES
    from harness.runtime import _engine

    return PROCESSES if _engine.why_not() else CONTAINERS


def runtime_of(kind: str) -> type[SystemRuntime]:
    """The class of a runtime that was chosen."""
    if kind == CONTAINERS:
        from harness.runtime.containers import Containers

        return Containers
    from harness.runtime.processes import Processes

    return Processes
