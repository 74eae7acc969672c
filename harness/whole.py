"""Files that are written whole or not at all, so that whoever reads never sees half of one.

A run keeps room on its disk for what it came to: a disk that fills up with histories takes no verdict along.
"""

from __future__ import annotations

import errno
import glob
import os
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a write is refused with where there is no room."""
ROOM = ".room"
ROOM_BYTES = 1 << 20


def write_text(path: Path, text: str, *, synced: bool = False) -> None:
    """Writes a file in place of the one that is there, or leaves that as it is. Raises OSError.

    On a full disk it takes the room that was kept in a folder above, if there is any left. `synced`: it is the old one
    or the new one after a power loss, too.
    """
    try:
        _write(path, text, synced=synced)
    except OSError as error:
        if error.errno not in FULL or not any(give_room(folder) for folder in path.parents):
            raise
        _write(path, text, synced=synced)


def keep_room(folder: Path) -> None:
    """Takes ROOM_BYTES of the disk, to be given back where a file of this folder does not fit."""
    with (folder / ROOM).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)


def give_room(folder: Path) -> bool:
    """Gives back what was kept; whether there was any."""
    try:
        (folder / ROOM).unlink()
    except FileNotFoundError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or removed in a folder survive a power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: Path, text: str, *, synced: bool) -> None:
    half = path.with_name(f".{path.name}.{os.getpid()}")
    _clear(path)
    try:
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        half.replace(path)
        if synced:
            sync_folder(path.parent)
    finally:
        half.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Removes what others, who were killed in the middle, left half written of this file."""
    for half in path.parent.glob(f".{glob.escape(path.name)}.*"):
        writer = half.suffix.removeprefix(".")
        if writer.isdigit() and not Path("/proc", writer).exists():
            half.unlink(missing_ok=True)
