"""`nats-harness init`: writes a system file, and a scenario, where none is yet."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.starting import _compose
from harness.starting._system_file import made_from
from harness.system.loader import load_system

SYSTEM_FILE = "nats-harness.toml"
SCENARIO = "scenarios/test_first.py"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Begun:
    """What was written; what was guessed and what is left open (whom it concerns, what); the commands to go on with."""

    written: list[Path]
    guessed: list[tuple[str, str]]
    open: list[tuple[str, str]]
    next: list[str]

    def lines(self) -> list[str]:
        """The same for a terminal."""
        told = [f"written: {', '.join(map(str, self.written))}"]
        for title, found in (("guessed", self.guessed), ("not known, marked TODO in the file", self.open)):
            told += [f"\n{title}:", *(f"  {whom}: {what}" for whom, what in found)] if found else []
        return [*told, "\nnext:", *(f"  {command}" for command in self.next)]


def begin(folder: Path, compose: Path | None, *, force: bool) -> Begun:
    """Writes the two files into `folder`; with `compose`, the system file is made from that.

    Paths of the compose file are taken from its folder, those of the system file from `folder`. Raises UsageError, and
    writes nothing, where the compose file or what was made of it cannot be used, or a file is there and `force` is off.
    """
    texts = {name: (TEMPLATES / Path(name).name).read_text("utf-8") for name in (SYSTEM_FILE, SCENARIO)}
    guessed: list[tuple[str, str]] = []
    unknown: list[tuple[str, str]] = []
    if compose is not None:
        made = made_from(_compose.read(compose), folder)
        texts[SYSTEM_FILE], guessed, unknown = made.text, made.guessed, made.open
    there = [name for name in texts if (folder / name).exists()]
    if there and not force:
        fix = "use --force to write over it, or another folder"
        raise UsageError(f"{' and '.join(there)} is there already", where=str(folder), fix=fix)
    if compose is not None:
        _check(texts[SYSTEM_FILE], folder, compose)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return Begun([Path(name) for name in texts], guessed, unknown, _next(compose is not None))


def _check(text: str, folder: Path, compose: Path) -> None:
    """Raises UsageError where a system file does not load, with the lines that are wrong; it is not left there."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".toml", "nats-harness-", folder)
    os.close(handle)
    path = Path(name)
    try:
        path.write_text(text, "utf-8")
        load_system(path)
    except UsageError as error:
        told = re.sub(rf"{re.escape(name)}:(\d+)", lambda match: repr(text.splitlines()[int(match[1]) - 1]), str(error))
        what = f"the system file made of it does not load: {told}"
        raise UsageError(what, where=str(compose), fix="change the compose file in a copy, and name that") from None
    finally:
        path.unlink()


def _next(from_compose: bool) -> list[str]:
    run = f"nats-harness run --system {SYSTEM_FILE}"
    runtime = " --runtime containers" if from_compose else ""
    return [
        f"nats-harness list --system {SYSTEM_FILE}",
        f"{run}{runtime} -k calm",
        f"{run}{runtime} --scenarios {SCENARIO}",
    ]
