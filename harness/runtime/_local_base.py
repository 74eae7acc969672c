"""A base image out of this machine's own Python, where none can be pulled: its interpreter, and what it is linked to.

Some hundred megabytes, made in seconds: the interpreter and its standard library at the paths that it knows itself by,
each library that `ldd` names for it or for a package, a shell, and the files that name service and TLS need.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

LEFT_OUT = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"}
)
"""Folders of a standard library that nothing runs from."""
SYSTEM_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/services", "/etc/protocols")
ACCOUNTS = {"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\n"}
LDD_AT_ONCE = 200
PYTHON = "/usr/local/bin/python3"


def write(target: Path, packages: Sequence[Path]) -> None:
    """Writes the image's file system, as a tar; `packages` are folders whose libraries' needs are to be met."""
    interpreter = Path(sys.executable).resolve()
    standard = Path(sysconfig.get_paths()["stdlib"])
    binaries = [interpreter, *standard.glob("lib-dynload/*.so")]
    binaries += [path for folder in packages for path in folder.rglob("*.so*")]
    shell = shutil.which("sh")
    if shell:
        binaries.append(Path(shell))
    with tarfile.open(target, mode="w") as archive:
        for folder, mode in (("tmp", 0o1777), ("root", 0o755), ("etc", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        archive.add(interpreter, str(interpreter))
        archive.add(standard, str(standard), filter=_wanted)
        _link(archive, PYTHON, str(interpreter))
        for library in sorted(_linked(binaries)):
            archive.add(library.resolve(), str(library))
        if shell:
            archive.add(Path(shell).resolve(), "/bin/sh")
        for path in filter(lambda path: Path(path).is_file(), SYSTEM_FILES):
            archive.add(Path(path).resolve(), path)
        for path, text in ACCOUNTS.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = entry.name.rpartition("/")[2]
    return None if name in LEFT_OUT or name.startswith("config-") else entry


def _link(archive: tarfile.TarFile, path: str, target: str) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _linked(binaries: Sequence[Path]) -> set[Path]:
    """The libraries that these are linked to, at the paths at which the loader finds them; a package's own left out."""
    found: set[Path] = set()
    for start in range(0, len(binaries), LDD_AT_ONCE):
        listed = subprocess.run(
            ["ldd", *map(str, binaries[start : start + LDD_AT_ONCE])], capture_output=True, text=True, check=False
        )
        found.update(_paths(listed.stdout.splitlines()))
    return {path for path in found if "site-packages" not in path.parts and "dist-packages" not in path.parts}


def _paths(lines: Iterable[str]) -> Iterator[Path]:
    """`libc.so.6 => /lib/.../libc.so.6 (0x...)`, and the loader: `/lib64/ld-linux-x86-64.so.2 (0x...)`."""
    for line in lines:
        words = line.replace("=>", " ").split()
        paths = [word for word in words if word.startswith("/") and not word.endswith(":")]
        yield from map(Path, paths[-1:])
