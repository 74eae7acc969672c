"""The journal: what a run is about to make on this machine, so that anybody can undo it, in whatever way the run ended.

One file a run in the user's state folder, one JSON object a line, each synced before the thing is made. Its owner
holds a lock on the file (flock, which dies with its holder). `undo` ends only what it can prove is of this journal: a
pid with its start time, members of a session that such a process led, folders with our mark, locks that nobody holds.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import platformdirs

from harness.errors import HarnessError, Missing
from harness.runtime import _nft, _proc
from harness.runtime._proc import Identity

END_WITHIN_S = 5.0
"""How long undo waits for what it killed to be dead. A process in an uninterruptible sleep may outlast it."""
FORKED_ENDS_WITHIN_S = 2.0
"""How long a child that was being forked may outlive its dead parent."""
ENGINE_MAKES_WITHIN_S = 5.0
"""How long after a line of a dead run's journal the engine may still make what that names."""
MARK = ".nats-harness"
"""A file in each folder that we made; it holds the name of the journal."""

Entry = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Undone:
    """What undoing one journal came to, in words: `left` is what would not go."""

    journal: str
    ended: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def journals_folder() -> Path:
    """Where journals lie: NATS_HARNESS_STATE, or the user's state folder."""
    state = os.environ.get("NATS_HARNESS_STATE")
    return Path(state or platformdirs.user_state_dir("nats-harness")) / "journals"


class Journal:
    """The journal of this process' run. All its methods write one synced line before they return."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self._fd = path, fd

    @classmethod
    def create(cls, run: str) -> Journal:
        """A new journal for the run of that name, owned and locked by this process.

        Raises Missing where the state folder cannot be written.
        """
        folder = journals_folder()
        owner = _proc.identity(os.getpid())
        assert owner is not None
        head = {"is": "owner", **owner._asdict(), "boot": _proc.boot_id(), "pids": _proc.pid_namespace()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(*_create_locked(folder, f"{run}-{owner.pid}", _encoded(head)))
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise Missing(
                f"the state folder cannot be written: {error.strerror}",
                where=str(folder),
                fix="set NATS_HARNESS_STATE to a folder of yours",
            ) from error

    @property
    def name(self) -> str:
        """The file's name, which marks what the run makes."""
        return self.path.name

    def starting(self, name: str, argv: Sequence[str]) -> None:
        """A process is about to be started. It has no pid yet; until it has one it dies with its parent."""
        self._write({"is": "starting", "name": name, "argv": list(argv)})

    def process(self, name: str, process: Identity) -> None:
        """The process that was about to start is this one; it leads a session of its own."""
        self._write({"is": "process", "name": name, **process._asdict()})

    def folder(self, path: Path) -> None:
        """Makes a new folder that goes with the run. Raises FileExistsError where there is one already."""
        self._write({"is": "folder", "path": str(path)})
        path.mkdir(parents=True)
        (path / MARK).write_text(self.path.name)

    def socket(self, path: Path) -> None:
        """A unix socket is about to be bound there."""
        self._write({"is": "socket", "path": str(path)})

    def locks(self, paths: Sequence[Path]) -> None:
        """Lock files that are about to be made, in one line; what nobody holds is removed."""
        self._write({"is": "locks", "paths": [str(path) for path in paths]})

    def container(self, name: str) -> None:
        """A container of this name, labelled with the journal's, is about to be made."""
        self._write({"is": "engine", "kind": "container", "name": name})

    def network(self, name: str) -> None:
        """The same for a network."""
        self._write({"is": "engine", "kind": "network", "name": name})

    def volume(self, name: str) -> None:
        """The same for a volume."""
        self._write({"is": "engine", "kind": "volume", "name": name})

    def nft(self, table: str) -> None:
        """A table of packet rules that is about to be made."""
        self._write({"is": "nft", "table": table})

    def note(self, text: str) -> None:
        """What is about to be done and leaves nothing to undo, for people who read the journal."""
        self._write({"is": "note", "text": text})

    def close(self) -> None:
        """Removes the journal; call it once undo left nothing."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Gives the journal up and leaves it there for the next sweep."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, entry: Entry) -> None:
        os.write(self._fd, _encoded(entry))
        os.fdatasync(self._fd)


def undo(path: Path) -> Undone:
    """Ends and removes all that is provably of this journal; the journal itself stays. It can be called twice.

    Whoever calls it owns the journal: its own run, or `sweep` with the lock of a dead one.
    """
    entries = list(_entries(path))
    done = Undone(path.name)
    if not entries:
        return done
    if entries[0].get("boot") == _proc.boot_id():
        _end_processes(entries, done)
    _remove_from_engine(entries, done)
    for entry in entries:
        match entry:
            case {"is": "folder", "path": str(folder)}:
                _remove_folder(Path(folder), path.name, done)
            case {"is": "socket", "path": str(socket)}:
                _remove_socket(Path(socket), done)
            case {"is": "locks", "paths": [*locks]}:
                for lock in locks:
                    remove_lock(Path(str(lock)))
            case {"is": "nft", "table": str(table)}:
                _remove_table(table, done)
    return done


def sweep() -> list[Undone]:
    """Undoes every journal whose owner is dead, and removes those of which nothing is left. Safe beside other sweeps.

    A journal whose owner lives, or that another sweep is at, is left alone.
    """
    swept = []
    deadline = time.monotonic() + FORKED_ENDS_WITHIN_S
    for path in _journals():
        fd = _lock(path)
        while fd is None and path.exists() and not _owner_may_live(path) and time.monotonic() < deadline:
            time.sleep(0.01)  # a child that its owner was just forking holds the lock until it dies with it
            fd = _lock(path)
        if fd is None:
            continue
        try:
            if _owner_may_live(path):
                continue
            _wait_for_the_engine(path)
            done = undo(path)
            if not done.left:
                path.unlink()
            swept.append(done)
        finally:
            os.close(fd)
    folder = journals_folder()
    for path in folder.glob("*.new") if folder.is_dir() else []:
        remove_lock(path)
    return swept


def _wait_for_the_engine(path: Path) -> None:
    """What a run asked the engine for as it died may still be made: it is waited for, or it would be left behind."""
    if any(entry["is"] == "engine" for entry in _entries(path)):
        while time.time() - path.stat().st_mtime < ENGINE_MAKES_WITHIN_S:
            time.sleep(0.05)


def owners() -> tuple[list[Path], list[Path]]:
    """The journals of living runs, and those of dead ones, which a sweep would undo."""
    living: list[Path] = []
    dead: list[Path] = []
    for path in _journals():
        (dead if _is_dead(path) else living).append(path)
    return living, dead


def remove_lock(path: Path) -> bool:
    """Removes a lock file that nobody holds; False where somebody does, or it is gone.

    It is removed under its own lock, and whoever locks a file checks afterwards that it is still the one by that
    name: else two could hold "the" lock.
    """
    fd = _lock(path)
    if fd is None:
        return False
    path.unlink()
    os.close(fd)
    return True


def take_lock(path: Path) -> int | None:
    """Locks a file, made if need be; its descriptor, which holds the lock until it is closed, or None if it is held."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if _is_still(fd, path):
            return fd
        os.close(fd)


def _journals() -> list[Path]:
    folder = journals_folder()
    return sorted(folder.glob("*.jsonl")) if folder.is_dir() else []


def _is_dead(path: Path) -> bool:
    fd = _lock(path)
    if fd is None:
        return False
    try:
        return not _owner_may_live(path)
    finally:
        os.close(fd)


def _lock(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    if _is_still(fd, path):
        return fd
    os.close(fd)
    return None


def _is_still(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _create_locked(folder: Path, name: str, head: bytes) -> tuple[Path, int]:
    """Makes the file under another name, so that no sweep meets it without its lock and its owner."""
    new = folder / f"{name}-{time.monotonic_ns()}.new"
    while (fd := take_lock(new)) is None:
        pass  # a sweep looks at it at this very moment, and lets go of it at once
    os.write(fd, head)
    os.fsync(fd)
    for n in count():
        path = folder / (f"{name}-{n}.jsonl" if n else f"{name}.jsonl")
        try:
            os.link(new, path)
            break
        except FileExistsError:
            continue
    new.unlink()
    os.set_inheritable(fd, False)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    return path, fd


def _encoded(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _entries(path: Path) -> Iterator[Entry]:
    whole, _, _torn = path.read_bytes().rpartition(b"\n")
    for line in whole.splitlines():
        entry = json.loads(line)
        if isinstance(entry, dict):
            yield entry


def _owner_may_live(path: Path) -> bool:
    """Beside the lock, which some network file systems do not keep: the owner's pid and start, in its own namespace.

    False where the journal is gone, which another sweep has undone meanwhile.
    """
    try:
        first = next(_entries(path), {})
    except FileNotFoundError:
        return False
    match first:
        case {"is": "owner", "pid": int(pid), "start": int(start), "boot": str(boot), "pids": int(pids)}:
            if boot != _proc.boot_id():
                return False
            return pids != _proc.pid_namespace() or _proc.alive(Identity(pid, start))
    return False


def _end_processes(entries: Sequence[Entry], done: Undone) -> None:
    leaders: dict[Identity, str] = {}
    for entry in entries:
        match entry:
            case {"is": "process", "name": str(name), "pid": int(pid), "start": int(start)}:
                leaders[Identity(pid, start)] = name
    names = {leader.pid: name for leader, name in leaders.items()}
    ended, left = _proc.end_sessions(leaders.keys(), within_s=END_WITHIN_S)
    done.ended.extend(f"{names[found.session]} (pid {found.identity.pid})" for found in ended)
    done.left.extend(f"{names[found.session]} (pid {found.identity.pid})" for found in left)


def _remove_from_engine(entries: Sequence[Entry], done: Undone) -> None:
    made = [(str(entry["kind"]), str(entry["name"])) for entry in entries if entry["is"] == "engine"]
    if not made:
        return
    from harness.runtime import _engine  # half a second, for runs in containers alone

    removed, left = _engine.remove(done.journal, [_engine.Made(*one) for one in dict.fromkeys(made)])
    done.removed.extend(removed)
    done.left.extend(left)


def _remove_folder(folder: Path, journal: str, done: Undone) -> None:
    mark = folder / MARK
    try:
        ours = mark.read_text() == journal
    except FileNotFoundError:
        # Between making a folder and marking it there is nothing in it.
        ours = False
    try:
        if ours:
            shutil.rmtree(folder)
        else:
            folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if not ours and error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            return
        done.left.append(f"{folder}: {error.strerror}")
        return
    done.removed.append(str(folder))


def _remove_socket(path: Path, done: Undone) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        path.unlink()
    except FileNotFoundError:
        return
    done.removed.append(str(path))


def _remove_table(table: str, done: Undone) -> None:
    try:
        if _nft.remove(table):
            done.removed.append(f"nft table {table}")
    except HarnessError as error:
        done.left.append(error.what)
