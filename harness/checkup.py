"""`doctor` and `clean`: what this machine has, and what dead runs left behind."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Missing
from harness.runtime import binaries, images, journal
from harness.runtime._engine import Engine
from harness.runtime.images import Images

ELSEWHERE = "run it on Linux: a virtual machine, WSL 2, or a Linux container on this machine"


@dataclass(frozen=True)
class Item:
    """One thing looked at: is it as the harness needs it, what was found, what to do where it is not."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


def examine(*, build: bool, say: Callable[[str], None]) -> list[Item]:
    """Looks at everything a run needs; with `build`, fetches or builds what can be had: binaries, and images."""
    return [
        _platform(),
        _python(),
        *_binaries(build, say),
        _engine(build, say),
        _ports(),
        _disk(),
        _state(),
        _leftovers(),
    ]


def _platform() -> Item:
    system = platform.system()
    return Item("platform", system == "Linux", f"{system} {platform.release()}, {platform.machine()}", ELSEWHERE)


def _python() -> Item:
    return Item("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer")


def _binaries(build: bool, say: Callable[[str], None]) -> list[Item]:
    if build:
        binaries.nats_server(progress=say)
        binaries.toxiproxy_server(say)
    return [
        Item(f"{one.name} {one.version}", one.path is not None, str(one.path or "not here yet"), one.how, needed=False)
        for one in binaries.found()
    ]


def _engine(build: bool, say: Callable[[str], None]) -> Item:
    """Only `--runtime containers` needs it."""
    name = "container engine"
    try:
        engine = Engine.connect()
    except Missing as error:
        return Item(name, False, error.what, error.fix, needed=False)
    try:
        if build:
            Images(engine, say).all(None)
        version = engine.api.version()["Version"]
    finally:
        engine.close()
    return Item(name, True, f"{version}, for --runtime containers")


def _ports() -> Item:
    first, last = (int(part) for part in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    free = first - 1024 + 65535 - last
    fix = "make it smaller: sysctl net.ipv4.ip_local_port_range='32768 60999'"
    return Item("ports", free >= 200, f"{free} outside the ephemeral range {first}-{last}", fix)


def _disk() -> Item:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Item("disk", free > 1, f"{free:.1f} GB free here", "a nightly writes some 100 MB: free 1 GB")


def _state() -> Item:
    folder = journal.journals_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Item("state", False, f"{folder}: {error.strerror}", "set NATS_HARNESS_STATE to a folder of yours")
    return Item("state", True, str(folder))


def _leftovers() -> Item:
    living, dead = journal.owners()
    found = f"{len(living)} runs going on, {len(dead)} dead ones to undo"
    return Item("left behind", not dead, found, "nats-harness clean", needed=False)


def clean(reports: Path, *, runs: bool, keep: int, built: bool = False) -> tuple[dict[str, int], list[str]]:
    """Undoes what dead runs left; how many of each, and what would not go, with the reason.

    With `runs` it removes all but the newest `keep` runs, with `built` the images that were built here and that no
    container uses. Raises Missing for these where no engine answers.
    """
    done = journal.sweep()
    removed = 0
    if runs and reports.is_dir():
        old = sorted(path.parent for path in reports.glob("*/plan.json"))
        for folder in old[: len(old) - keep]:
            shutil.rmtree(folder)
            removed += 1
        latest = reports / "latest"
        if latest.is_symlink() and not latest.exists():
            latest.unlink()
    counts = {
        "dead runs undone": sum(not one.left for one in done),
        "processes ended": sum(len(one.ended) for one in done),
        "locks, folders, containers and networks removed": sum(len(one.removed) for one in done),
        "things that would not go": sum(len(one.left) for one in done),
        "old runs removed": removed,
        "images removed": _remove_images() if built else 0,
    }
    return counts, [f"{one.journal}: {what}" for one in done for what in one.left]


def _remove_images() -> int:
    engine = Engine.connect()
    try:
        return images.remove_all(engine)
    finally:
        engine.close()
