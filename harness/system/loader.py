"""Reads a system file: TOML with line numbers, all mistakes at once, each with the nearest valid name."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import ValidationError

from harness.errors import SystemFileError, UnknownName, UsageError
from harness.system import _checks, _measures, _places
from harness.system._lines import Lines
from harness.system._mistakes import Mistake, listed, schema_mistakes
from harness.system._raw import Raw
from harness.system._written_out import written_out
from harness.system.model import SystemFile

READY = Path(__file__).parent / "ready"


def ready_systems() -> list[str]:
    """The names of the systems that come with the harness."""
    return sorted(path.stem for path in READY.glob("*.toml"))


def load_system(
    name_or_path: str | Path,
    *,
    check_env: bool = False,
    environ: Mapping[str, str] | None = None,
    clauses: Collection[str] | None = None,
) -> SystemFile:
    """The system of that name ("telhawk", "bare"), or in the file at that path.

    `check_env`: each {env:X} must be set in `environ` (None: this process' environment); collecting scenarios does
    not ask for it, a run does. `clauses`: the clauses that `exposes` may name (None: not checked).

    Raises UnknownName where no ready system has the name, SystemFileError with every mistake of the file, one a line.
    """
    path = _find(str(name_or_path))
    file = str(path)
    text = _read(path)
    data = _parse(text, file)
    lines = Lines(text)
    working = _checks.working_workloads(data)
    mistakes = [
        *_checks.check(data, path.resolve().parent, clauses),
        *_places.check(working, (os.environ if environ is None else environ) if check_env else None),
    ]
    system, wrong = _validated(working, data)
    mistakes += wrong
    if mistakes or system is None:
        raise SystemFileError("\n".join(listed(mistakes, file, lines)))
    return system.read_from(path.resolve(), file, lines)


def resolve_hardening(system: SystemFile, spec: str) -> str:
    """What the system's variable is given for "none", "all", "a,b" or "all,-x": none, all, or the measures that are on.

    Raises UsageError where the file names no measures, or the spelling names an unknown one or leaves a base off.
    """
    if system.hardening is None:
        fix = "add a table [hardening] with variable and switches, or leave --hardening out"
        raise UsageError(f"--hardening {spec}: the system names no measures", where=str(system.path), fix=fix)
    try:
        return _measures.resolve(spec, system.hardening.switches, system.hardening.needs)
    except UsageError as error:
        raise UsageError(f"--hardening {spec}: {error.what}", where=system.where("hardening"), fix=error.fix) from None


def env_values(system: SystemFile, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What to render each {env:X} of the file with: {"env:X": value}.

    Raises UsageError that names all that are not set in `environ` (None: this process' environment).
    """
    found = os.environ if environ is None else environ
    absent = [name for name in system.environment() if name not in found]
    if absent:
        fix = " ".join(["export", *(f"{name}=..." for name in absent)])
        raise UsageError(f"not set in the environment: {', '.join(absent)}", where=str(system.path), fix=fix)
    return {f"env:{name}": found[name] for name in system.environment()}


def secrets(system: SystemFile, environ: Mapping[str, str]) -> set[str]:
    """For redaction: the values of every {env:X} of the file that are set, and what is written out as a secret."""
    return {environ[name] for name in system.environment() if environ.get(name)} | written_out(system)


def _find(name: str) -> Path:
    """The file of a ready system's name or a path. A ready name wins, so that a folder `telhawk` does not hide it."""
    if name in ready_systems():
        return READY / f"{name}.toml"
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix != ".toml" and path.name == name:
        raise UnknownName(name, ready_systems(), kind="ready system")
    if path.is_dir():
        inside = sorted(path.glob("*.toml"))
        raise SystemFileError("is a folder", where=name, fix=f"name a file, such as {inside[0]}" if inside else "")
    known = {name: name for name in ready_systems()}
    known |= {found.name: str(found) for found in path.parent.glob("*.toml")}
    near = difflib.get_close_matches(path.name, known, n=1)
    fix = f"did you mean {known[near[0]]!r}?" if near else f"ready systems: {', '.join(ready_systems())}"
    raise SystemFileError("no such file", where=name, fix=fix)


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SystemFileError(f"cannot be read: {error.strerror}", where=str(path)) from error
    try:
        # tomllib reads a carriage return before a line feed as part of it; so does the count of lines.
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SystemFileError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from error


def _parse(text: str, file: str) -> Raw:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
        what, line = (match[1], match[2]) if match else (str(error), str(text.count("\n") + 1))
        column = f" (column {match[3]})" if match else ""
        raise SystemFileError(f"{file}:{line}: not TOML{column}: {what}") from None


def _validated(working: Raw, data: Raw) -> tuple[SystemFile | None, list[Mistake]]:
    try:
        return SystemFile.model_validate(working), []
    except ValidationError as error:
        # With every workload refused for its kind, "no workload" would be told for what is told already.
        refused = bool(data.get("workloads")) and not working.get("workloads")
        found = schema_mistakes(error.errors())
        return None, [mistake for mistake in found if not (refused and mistake.path == ("workloads",))]
