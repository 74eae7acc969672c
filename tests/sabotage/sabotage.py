"""What a tired engineer ships: a change to telhawk, started as it stands, and judged by stock scenarios.

`patches.toml` says of each what it does, and which clause of which scenario must catch it; `patches/NAME.diff` is the
change. A copy of telhawk lies beside a copy of its system file, and a service's working folder is the system file's: so
`python -m telhawk.web` is the copy. Nothing but Python is needed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.controls.control import Came

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCENARIOS = ROOT / "scenarios"
CALM = "calm"
STATE = "hardened"
SETTLES_S = 8
"""Nothing that the hardened stack does takes longer: three tries with their pauses, two AckWaits of 3 s."""
HARDENED = "\n[states.hardened]\n"
RATE, HALF = "\nrate = 30 ", "\nrate = 15 "
"""Half the load, so that two run side by side on two cores."""
RUNS_WITHIN_S = 240
AGAIN = "make the change again, and write it with `git diff`"


@dataclass(frozen=True)
class Patch:
    """A change to telhawk, and who catches it.

    The clause must be violated either on the operations that `wronged` (a function of that module) finds in the
    history, but for so many at the `edges`; or by the nodes that it `blames`, and of each its reason `says` so.
    """

    name: str
    tells: str
    scenario: str
    clause: str
    wronged: str = ""
    edges: int = 0
    blames: tuple[str, ...] = ()
    says: str = ""

    @property
    def diff(self) -> str:
        """The change, as a unified diff."""
        return (HERE / "patches" / f"{self.name}.diff").read_text("utf-8")


def patches() -> list[Patch]:
    """All of the table."""
    table = tomllib.loads((HERE / "patches.toml").read_text("utf-8"))
    return [Patch(name, **{**row, "blames": tuple(row.get("blames", ()))}) for name, row in table.items()]


def of(*scenarios: str) -> list[Patch]:
    """Those that are caught in these scenarios."""
    return [patch for patch in patches() if patch.scenario in scenarios]


def apply(diff: str, folder: Path) -> None:
    """Makes a unified diff's changes to the files in `folder`, all or none. Each place must be there once, wherever it
    has moved to.

    Raises ValueError, which says what does not apply.
    """
    parts = re.split(r"^--- a/.*\n\+\+\+ b/(.*)\n", diff, flags=re.MULTILINE)
    if len(parts) < 3:
        raise ValueError(f"there is no change in it: {AGAIN}")
    texts: dict[Path, str] = {}
    for name, hunks in zip(parts[1::2], parts[2::2], strict=True):
        path = folder / name.strip()
        text = path.read_text("utf-8")
        for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE)[1:]:
            lines = [line for line in hunk.splitlines(keepends=True) if line[0] in " +-"]
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            if text.count(before) != 1:
                raise ValueError(f"{name} has this {text.count(before)} times, not once:\n{before}\n{AGAIN}")
            text = text.replace(before, after)
        texts[path] = text
    for path, text in texts.items():
        path.write_text(text, "utf-8")


def together(of: Iterable[Patch]) -> list[list[Patch]]:
    """As few groups of these as there can be without two that change the same lines in one of them."""
    groups: list[tuple[Path, list[Patch]]] = []
    with TemporaryDirectory() as folder:
        for patch in of:
            for copy, group in groups:
                with suppress(ValueError):
                    apply(patch.diff, copy)
                    group.append(patch)
                    break
            else:
                copy = Path(folder, str(len(groups)))
                made(copy, patch)
                groups.append((copy, [patch]))
    return [group for _, group in groups]


def made(folder: Path, *with_: Patch) -> Path:
    """A system file in `folder`, of a telhawk with these changes."""
    shutil.copytree(ROOT / "telhawk", folder / "telhawk", ignore=shutil.ignore_patterns("__pycache__"))
    for patch in with_:
        apply(patch.diff, folder)
    system = folder / "telhawk.toml"
    told = (ROOT / "harness" / "system" / "ready" / "telhawk.toml").read_text("utf-8")
    for words in (RATE, HARDENED):
        assert told.count(words) == 1, (
            f"the file of telhawk does not say {words.strip()!r} any more: say here what it says"
        )
    told = told.replace(RATE, HALF).replace(HARDENED, f"{HARDENED}settles_s = {SETTLES_S}\n")
    system.write_text(told, "utf-8")
    return system


def file_of(scenario: str) -> Path:
    """Where a stock scenario is."""
    (found,) = [path for path in SCENARIOS.glob("test_*.py") if f"def test_{scenario}(" in path.read_text("utf-8")]
    return found


def judged(folder: Path, system: Path, scenario: str) -> Came:
    """What came of this scenario in the hardened state."""
    said = _pytest(folder, system, f"{file_of(scenario)}::test_{scenario}[{STATE}]")
    paths = list(folder.glob("reports/*-*/scenarios/*/verdict.json"))
    assert len(paths) == 1, said
    return Came(json.loads(paths[0].read_text("utf-8")), paths[0].parent)


def holds(came: Came) -> None:
    """Everything that was asked for held."""
    came.must("holds", *(finding["clause"] for finding in came.verdict["findings"]))
    assert came.verdict["as_expected"]


def _pytest(folder: Path, system: Path, nodeid: str) -> str:
    """Scenarios are tests of pytest, and so it is run; what it said."""
    plugins = ("locust", "cacheprovider", "hypothesispytest", "rerunfailures", "xdist")
    off = [word for name in plugins for word in ("-p", f"no:{name}")]
    modes = ["-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"]
    ours = ["--nats-system", str(system), "--nats-states", STATE, "--nats-reports", str(folder / "reports")]
    where = ["-c", os.devnull, "--rootdir", str(SCENARIOS)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", nodeid, *where, *off, *modes, *ours, "-q", "--nats-seed", "1"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUNS_WITHIN_S,
    )
    return done.stdout
