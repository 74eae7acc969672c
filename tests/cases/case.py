"""The cases: what users of NATS reported, each as a small system, a scenario and two verdicts.

A case is run twice. As reported it gives one verdict; its control, the same system with one thing changed, gives the
other. The table is docs/cases.md in code; the tests beside it say which operations are named, and how many.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.history.reader import History
from harness.history.rows import Operation, Outcome, Step
from harness.runtime import binaries
from harness.system.loader import load_system
from tests.controls.control import Came, Scenario, came_of

SYSTEMS = Path(__file__).with_name("systems")


@dataclass(frozen=True)
class Case:
    """One report: `system` is a file in systems/, `change` what stands in it and what the control has instead.

    `clause` is `reported` (violated or holds) in the system as it stands, and the opposite in the control. `calm`: it
    needs no fault.
    """

    id: str
    source: str
    system: str
    change: tuple[str, str]
    clause: str
    reported: str
    calm: bool = False

    @property
    def control(self) -> str:
        """The verdict of the control."""
        return "holds" if self.reported == "violated" else "violated"

    async def as_reported(self, scenario: Scenario, folder: Path) -> Came:
        """Runs it as users met it; its clause must come out as reported."""
        came = await self._came(scenario, folder, (SYSTEMS / self.system).read_text("utf-8"))
        came.must(self.reported, self.clause)
        return came

    async def as_control(self, scenario: Scenario, folder: Path) -> Came:
        """Runs it with the one thing changed; its clause must come out the other way."""
        text, (old, new) = (SYSTEMS / self.system).read_text("utf-8"), self.change
        assert text.count(old) == 1, f"{self.system} has {old!r} {text.count(old)} times"
        came = await self._came(scenario, folder, text.replace(old, new))
        came.must(self.control, self.clause)
        return came

    async def _came(self, scenario: Scenario, folder: Path, text: str) -> Came:
        """The system runs in a folder of its own, where its book is."""
        place = folder / "system"
        place.mkdir()
        for beside in [*SYSTEMS.glob("*.py"), *SYSTEMS.glob("*.conf")]:
            shutil.copy(beside, place)
        (place / self.system).write_text(text, "utf-8")
        if "./nats-server" in text:
            (place / "nats-server").symlink_to(binaries.nats_server())
        for version in re.findall(r'"nats-py-([0-9.]+)"', text):
            install(version, place / f"nats-py-{version}")
        settles_s = load_system(str(place / self.system)).promises.settles_s
        came = await came_of(
            scenario, folder, sins=None, calm=self.calm, settles_s=settles_s, system=place / self.system
        )
        assert not came.verdict["troubles"], came.verdict["troubles"]
        return came


def install(version: str, folder: Path) -> None:
    """Another version of nats-py, in a folder of its own; the file of that name has its hashes."""
    command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    wanted = ["--target", str(folder), "--requirements", str(SYSTEMS / f"nats-py-{version}.txt")]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"nats-py {version} cannot be had: {done.stderr}"


def told(came: Came, word: str) -> list[str]:
    """The operations that a line "WORD NOTE" of a service's output names, in order."""
    lines = (text.split() for text in outputs(came))
    return [words[1] for words in lines if len(words) == 2 and words[0] == word]


def outputs(came: Came, node: str = "") -> list[str]:
    """The lines that a node has printed, or all have."""
    lines = History.open(came.folder / "history").lines("output")
    return [line["text"] for line in lines if not node or line["node"] == node]


def accepted(came: Came) -> list[Operation]:
    """The operations that were accepted, in the order of their numbers."""
    found = History.open(came.folder / "history").operations()
    return sorted((operation for operation in found if operation.outcome is Outcome.OK), key=lambda o: o.id)


def refused(came: Came) -> set[str]:
    """The operations that were refused."""
    return came.of_history(lambda operation: operation.outcome is Outcome.FAIL)


def done(came: Came) -> Counter[str]:
    """How often each operation was done, by the effects that the harness saw."""
    return seen(came, Step.EFFECT)


def seen(came: Came, step: Step) -> Counter[str]:
    """How often each operation was seen at this step."""
    history = History.open(came.folder / "history")
    return Counter(history.marker(sighting.op) for sighting in history.sightings(step) if sighting.op is not None)


def stream_of(came: Came, name: str) -> dict[str, Any]:
    """What the broker's monitoring said last of a stream: its messages and its consumers."""
    last = list(History.open(came.folder / "history").lines("broker"))[-1]
    found: dict[str, Any] = last["streams"][name]
    return found


def markers(came: Came, operations: list[Operation]) -> list[str]:
    """Their ids as texts."""
    history = History.open(came.folder / "history")
    return [history.marker(operation.id) for operation in operations]


CASES = {
    case.id: case
    for case in (
        Case(
            "CB-03",
            "synadia-io/nex#521",
            "credentials.toml",
            ('CLOSED = "for good"', 'CLOSED = "renewed"'),
            "reconnects.reconnects",
            "violated",
        ),
        Case(
            "CB-04",
            "automagik-dev/omni#807",
            "budget.toml",
            ("max_reconnect_attempts=4", "max_reconnect_attempts=-1"),
            "reconnects.reconnects",
            "violated",
        ),
        Case(
            "CB-04, health",
            "automagik-dev/omni#807",
            "green.toml",
            ('HEALTHY = "always"', 'HEALTHY = "connected"'),
            "degrades.health",
            "violated",
        ),
        Case(
            "CB-12",
            "nats-io/nats.py#806",
            "untold.toml",
            ('PYTHONPATH = "nats-py-2.14.0"', 'PYTHONPATH = "."'),
            "observable.logged",
            "violated",
        ),
        Case(
            "CB-17",
            "Kazmirchuk/nats-tcl#33",
            "crowd.toml",
            ('JITTER_S = "0"', 'JITTER_S = "3"'),
            "bounded.returns",
            "violated",
        ),
        Case(
            "CB-18",
            "nats-io/nats.java#140",
            "buffered.toml",
            ("max_reconnect_attempts=-1", "max_reconnect_attempts=4"),
            "no_loss",
            "holds",
        ),
        Case(
            "CB-19",
            "nats-io/nats.py#510",
            "watcher.toml",
            ('TAKES = "watched"', 'TAKES = "pulled"'),
            "reconnects.works",
            "violated",
        ),
        Case(
            "CB-32",
            "nats-io/nats-server#754",
            "producer-first.toml",
            ('SENDS = "core"', 'SENDS = "requested"'),
            "no_loss",
            "violated",
        ),
        Case(
            "CB-35",
            "nats-io/nats-server#7564",
            "killed.toml",
            ('storage = "file"', 'storage = "memory"'),
            "no_loss",
            "holds",
        ),
        Case(
            "CB-37",
            "argoproj/argo-events#3150",
            "discard.toml",
            ('discard = "old"', 'discard = "new"'),
            "no_loss",
            "violated",
            calm=True,
        ),
        Case(
            "CB-38",
            "nats-io/nats.py#599",
            "per-subject.toml",
            ("discard_new_per_subject = false", "discard_new_per_subject = true"),
            "no_loss",
            "violated",
            calm=True,
        ),
        Case(
            "CB-41",
            "nuts-foundation/nuts-node#2401",
            "slow-consumer.toml",
            ('LIMIT = "20"', 'LIMIT = "5000"'),
            "no_loss",
            "violated",
            calm=True,
        ),
        Case(
            "CB-42",
            "nats-io/nats-server#5142",
            "same-id.toml",
            ('"the-job"', '"{op}"'),
            "no_loss",
            "violated",
            calm=True,
        ),
        Case(
            "CB-43",
            "nats-io/nats.node#628",
            "lost-acks.toml",
            ('IDS = "off"', 'IDS = "on"'),
            "effects",
            "violated",
        ),
        Case(
            "CB-45",
            "nats-io/nats-server#7302",
            "window.toml",
            ('duplicate_window = "900ms"', 'duplicate_window = "2m"'),
            "effects",
            "violated",
            calm=True,
        ),
        Case(
            "CB-46",
            "nats-io/nats.go#1929",
            "prefetch.toml",
            ('BATCH = "10"', 'BATCH = "1"'),
            "effects",
            "violated",
            calm=True,
        ),
        Case(
            "CB-48",
            "nats-io/nats-server#4716",
            "held.toml",
            ("redelivers_s = 1", "redelivers_s = 6"),
            "redelivers.again",
            "violated",
        ),
        Case(
            "CB-49",
            "nats-io/nats-server#5564",
            "max-deliver.toml",
            ('ADVISORIES = "unheard"', 'ADVISORIES = "heard"'),
            "no_loss",
            "violated",
            calm=True,
        ),
        Case(
            "CB-53",
            "nats-io/nats.java#1420",
            "drain.toml",
            ("drain_timeout=0.3", "drain_timeout=30"),
            "drains.finishes",
            "violated",
        ),
        Case(
            "CB-56",
            "nats-io/nats.py#868",
            "roll.toml",
            ('PYTHONPATH = "nats-py-2.14.0"', 'PYTHONPATH = "."'),
            "reconnects.notices",
            "violated",
        ),
    )
}
