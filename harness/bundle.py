"""A run as one file that travels: everything under its folder and the scenarios that it judged, with checksums.

What a run writes is without secrets already, and so is what is packed here. A bundle is data from elsewhere: whatever
is not exactly what its list says is refused, before anything of it lies where people look.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness import outage, plan, whole
from harness.errors import UsageError
from harness.gate.baseline import FOLDER as BASELINE
from harness.gate.runs import NIGHT

JSON = dict[str, Any]
SCHEMA = 1
LIST, PLAN = "bundle.json", "plan.json"
SCENARIOS = "judged"
"""The folder of the scenarios' own files, as they were."""
SUFFIX = ".bundle.zip"
TAKEN = (BASELINE, NIGHT, "latest")
"""What stands for other than one run under reports/; what else lies there beside the runs has a dot in its name."""
LIST_BYTES = 16 * 1024 * 1024
CHUNK = 1024 * 1024
UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
"""What the standard library raises on an archive that is none, or no more."""
NOT_AS_MADE = "ask for it again: it is not what `nats-harness bundle` made"
BOMB_BYTES, BOMB_TIMES = 64_000_000, 100
"""What is larger than both, unpacked, is no run: histories are packed already, and logs become a tenth or twentieth."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A run's bundle, or the folder that one was opened into. `digest` is that of its list, and so of all of it."""

    path: Path
    digest: str


def is_bundle(name: str) -> bool:
    """Whether a run is named by the file of its bundle."""
    return name.endswith(SUFFIX) or zipfile.is_zipfile(name)


def make(folder: Path, into: Path | None = None) -> Bundle:
    """Packs a run's folder into `into` (a file), or beside it. Replaces a bundle that is there, whole or not at all."""
    made = plan.read_plan(folder)
    if not _a_run(folder.name):
        what = f"a run called {folder.name!r} cannot be opened under reports/"
        raise UsageError(what, where=str(folder), fix="rename its folder: no dot, and not " + ", ".join(TAKEN))
    target = into or folder.with_name(f"{folder.name}{SUFFIX}")
    half = target.with_name(f".{target.name}.{os.getpid()}")
    files = dict(_files(folder, Path(made.scenarios)))
    told = {name: {"bytes": path.stat().st_size, "sha256": _digest(path)} for name, path in files.items()}
    text = json.dumps({"schema": SCHEMA, "run": folder.name, "files": told}, indent=1) + "\n"
    try:
        with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(LIST), text, zipfile.ZIP_DEFLATED)
            for name, path in files.items():
                archive.write(path, name)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
    return Bundle(target, hashlib.sha256(text.encode()).hexdigest())


def _files(folder: Path, scenarios: Path) -> Iterator[tuple[str, Path]]:
    """What is packed, by its name in the bundle."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        ours = name not in (LIST, whole.ROOM) and not name.startswith(f"{SCENARIOS}/")
        if ours and path.is_file() and not path.is_symlink():
            yield name, path
    kept = folder / SCENARIOS
    root = kept if kept.is_dir() else scenarios
    for name in sorted(_sources(root)):
        yield f"{SCENARIOS}/{name}", root / name


def _sources(root: Path) -> Iterator[str]:
    """The Python and the outages below a folder of scenarios, which may be a whole project: no environment of it."""
    for at, folders, names in os.walk(root):
        folders[:] = [one for one in folders if one[0] != "." and not Path(at, one, "pyvenv.cfg").exists()]
        for name in names:
            if name.endswith((".py", outage.SUFFIX)):
                yield Path(at, name).relative_to(root).as_posix()


def open_(path: Path, reports: Path) -> Bundle:
    """Unpacks a bundle to reports/<run>, once all of it is as its list says; one that is there already is left alone.

    Raises UsageError, which names the file that is not as it should be.
    """
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path), fix="name a file that `nats-harness bundle` made")
    try:
        with zipfile.ZipFile(path) as archive:
            listed, text = _list(archive, path)
            digest = hashlib.sha256(text).hexdigest()
            folder = reports.absolute() / listed["run"]
            if folder.exists():
                return _there(folder, listed["files"], digest, path)
            _judge_room(archive, folder.parent, path)
            half = folder.with_name(f".{folder.name}.{os.getpid()}")
            try:
                _unpack(archive, listed["files"], half, path)
                (half / LIST).write_bytes(text)
                _judge_plan(half, path)
                half.replace(folder)
            finally:
                shutil.rmtree(half, ignore_errors=True)
    except UNREADABLE as error:
        raise UsageError(f"it cannot be read: {error}", where=str(path), fix=NOT_AS_MADE) from error
    return Bundle(folder, digest)


def opened(folder: Path) -> bool:
    """Whether a run came out of a bundle, so that its scenarios lie in its own folder."""
    return (folder / LIST).exists() and (folder / SCENARIOS).is_dir()


def _list(archive: zipfile.ZipFile, path: Path) -> tuple[JSON, bytes]:
    """The bundle's list, and that the archive holds these files and no others."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if names[:1] != [LIST] or infos[0].file_size > LIST_BYTES:
        raise UsageError(f"it does not begin with {LIST}", where=str(path), fix=NOT_AS_MADE)
    with archive.open(infos[0]) as file:
        text = file.read(LIST_BYTES + 1)
    try:
        listed = json.loads(text)
        schema, run, files = listed["schema"], listed["run"], listed["files"]
        sizes = {name: (told["bytes"], told["sha256"]) for name, told in files.items()}
        if any(type(size) is not int for size, _ in sizes.values()):
            raise TypeError("a size is no whole number")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{LIST} is no list of a bundle", where=str(path), fix=NOT_AS_MADE) from error
    if schema != SCHEMA:
        fix = "open it with the version that made it"
        raise UsageError(f"it has schema {schema!r:.40}, this harness reads {SCHEMA}", where=str(path), fix=fix)
    if not isinstance(run, str) or not _a_run(run):
        raise UsageError(f"its run is called {run!r:.80}", where=str(path), fix=NOT_AS_MADE)
    for info in infos[1:]:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not _plain(info.filename) or kind not in (0, stat.S_IFREG) or info.filename == LIST:
            raise UsageError(f"{info.filename!r:.200} is no file of a run", where=str(path), fix=NOT_AS_MADE)
        if info.filename not in sizes or names.count(info.filename) != 1:
            raise UsageError(f"{info.filename!r:.200} is not in its list once", where=str(path), fix=NOT_AS_MADE)
        if info.file_size != sizes[info.filename][0]:
            raise _tampered(info.filename, path)
    for name in sizes.keys() - set(names):
        raise UsageError(f"{name!r:.200} is missing", where=str(path), fix=NOT_AS_MADE)
    return listed, text


def _judge_room(archive: zipfile.ZipFile, into: Path, path: Path) -> None:
    """That there is room where it is unpacked, a folder that may not be there yet, and that it is no archive bomb."""
    needed = sum(info.file_size for info in archive.infolist())
    packed = sum(info.compress_size for info in archive.infolist())
    if needed > BOMB_BYTES and needed > BOMB_TIMES * packed:
        what = f"unpacked it is {needed / 1e6:,.0f} MB, {needed / max(packed, 1):,.0f} times as large: no run is"
        raise UsageError(what, where=str(path), fix=NOT_AS_MADE)
    there = next(folder for folder in (into, *into.parents) if folder.exists())
    if needed > shutil.disk_usage(there).free:
        what = f"unpacked it is {needed / 1e9:.1f} GB, more than is free in {there}"
        raise UsageError(what, where=str(path), fix="make room there, or open it in another folder")


def _judge_plan(folder: Path, path: Path) -> None:
    """That what was unpacked is a run."""
    try:
        plan.read_plan(folder)
    except (UsageError, LookupError, TypeError) as error:
        raise UsageError(f"'{PLAN}' is no plan of a run: {error}", where=str(path), fix=NOT_AS_MADE) from error


def _unpack(archive: zipfile.ZipFile, files: Mapping[str, JSON], folder: Path, path: Path) -> None:
    folder.mkdir(parents=True)
    for name, told in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, left = hashlib.sha256(), told["bytes"]
        with archive.open(name) as source, target.open("xb") as out:
            while chunk := source.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:  # it says that it is smaller than it is
                    raise _tampered(name, path)
                digest.update(chunk)
                out.write(chunk)
        if left or digest.hexdigest() != told["sha256"]:
            raise _tampered(name, path)


def _there(folder: Path, files: Mapping[str, JSON], digest: str, path: Path) -> Bundle:
    """A run of that name which is here: the same bundle, opened before, or what was packed; else it is in the way."""
    opened_, packed = folder / LIST, folder / PLAN
    if opened_.exists() and _digest(opened_) == digest:
        return Bundle(folder, digest)
    if not opened_.exists() and packed.exists() and _digest(packed) == files.get(PLAN, {}).get("sha256"):
        return Bundle(folder, digest)
    fix = "move it away, or open the bundle in another folder"
    raise UsageError(f"another run is called {folder.name} here", where=str(path), fix=fix)


def _tampered(name: str, path: Path) -> UsageError:
    return UsageError(f"{name!r:.200} is not what it was when the bundle was made", where=str(path), fix=NOT_AS_MADE)


def _a_run(name: str) -> bool:
    """Whether a folder of this name under reports/ is a run and nothing else, on every platform."""
    return _plain(name) and not {"/", "."} & set(name) and name.casefold() not in TAKEN


def _plain(name: str) -> bool:
    """A relative name that stays where it is put, on every platform, and shows as it is."""
    parts = PurePosixPath(name).parts
    clean = name.isprintable() and not set(name) & set('\\:*?"<>|') and name == "/".join(parts)
    return bool(parts) and clean and not name.startswith("/") and not {".", ".."} & set(parts)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
