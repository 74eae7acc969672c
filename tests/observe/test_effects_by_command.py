"""Effects that a command prints: whatever it does wrong is a gap, and never a wrong answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Step
from harness.observe import _enumerations, effects
from harness.observe.effects import Direct, Effects
from harness.system.model import Effects as Table

from .lab import NONCE, until

WHOLE = Table(command=("cat", "{file}"), op="$.note", by="$.who", finished="$.end")
PAGED = Table(command=("sh", "-c", "tail -n +$(({cursor} + 1)) {file} | head -n 3"), op="$.note", next="$.n")


@dataclass
class Watched:
    effects: Effects
    folder: Path
    file: Path

    @property
    def history(self) -> History:
        return History.open(self.folder / "history")

    def seen(self, *steps: Step) -> list[OpId | None]:
        return [sighting.op for sighting in self.history.sightings(*steps)]

    def why(self) -> str:
        return str(self.history.lines("gap")[0]["why"])

    def add(self, *ops: int) -> None:
        """Adds a line for each, as one write."""
        count = len(self.file.read_text().splitlines())
        lines = [f'{{"note": "{NONCE}-0-{op}", "who": "w", "n": {count + at}}}\n' for at, op in enumerate(ops, 1)]
        with self.file.open("a") as file:
            file.write("".join(lines))


@asynccontextmanager
async def watched(folder: Path, table: Table = WHOLE, text: str = "") -> AsyncIterator[Watched]:
    recorder = Recorder(folder / "history", name="runner", nonce=NONCE)
    file = folder / "deeds"
    file.write_text(text)
    source = Effects(recorder, table, Direct({"file": str(file)}, folder))
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(source.watch())
        yield Watched(source, folder, file)
        watching.cancel()
    recorder.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "RUNS_EVERY_S", 0.05)
    monkeypatch.setattr(effects, "FINAL_READS_APART_S", 0.2)
    monkeypatch.setattr(effects, "FINAL_WITHIN_S", 2.0)


@pytest.mark.parametrize("table", [WHOLE, PAGED], ids=["whole", "paged"])
async def test_each_line_is_one_sighting(tmp_path: Path, table: Table) -> None:
    async with watched(tmp_path, table) as one:
        one.add(*range(5))
        await until(lambda: len(one.seen(Step.EFFECT)) == 5, within_s=10)
        one.add(5, 5)
        await one.effects.final()
        assert one.seen(Step.EFFECT) == [OpId(0, n) for n in (0, 1, 2, 3, 4, 5, 5)]
        [read] = one.history.lines("read")
        assert (read["source"], read["complete"], read["count"], read["why"]) == ("effects", True, 7, "")
        assert not one.history.lines("gap")


async def test_it_runs_where_the_system_file_is_with_little_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "x")
    text = f'printf "{{\\"note\\": \\"{NONCE}-0-1 $(pwd) $SECRET_OF_OURS\\"}}"'
    table = Table(command=("sh", "-c", text.replace("{", "{{").replace("}", "}}")), op="$.note", by="$.note")
    async with watched(tmp_path, table) as one:
        await until(lambda: one.seen(Step.EFFECT), within_s=10)
        [sighting] = one.history.sightings(Step.EFFECT)
        assert sighting.by == f"{NONCE}-0-1 {tmp_path} "


FAILS = {
    "fails": ("cat {file}; echo no such table >&2; exit 3", "sh exited with 3: no such table"),
    "is killed": ("cat {file}; kill -9 $$", "sh died of signal 9"),
    "hangs": ("cat {file}; sleep 60", "sh ran for more than 0.5 s"),
    "is cut in a line": ('cat {file}; printf "{{\\"note\\": \\"' + NONCE + '-0-9"', "no JSON object: '{"),
    "prints something else": ("echo 2 rows; cat {file}", "sh printed a line that is no JSON object: '2 rows'"),
    "prints a number": ("cat {file}; echo 12", "sh printed a line that is no JSON object: '12'"),
    "prints for ever": ("yes", "it prints more than 1000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("how", FAILS)
async def test_what_goes_wrong_is_a_gap_and_never_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(_enumerations, "COMMAND_WITHIN_S", 0.5)
    monkeypatch.setattr("harness.runtime._command.OUTPUT_LIMIT", 1000)
    script, told = FAILS[how]
    async with watched(tmp_path, Table(command=("sh", "-c", script), op="$.note")) as one:
        one.add(1)
        await until(lambda: one.history.lines("gap"), within_s=10)
        assert told in one.why()
        await one.effects.final()
        [read] = one.history.lines("read")
        assert not read["complete"]
        assert told in read["why"]
        assert one.seen(*Step) == []
        assert not one.history.lines("phantom")


async def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    async with watched(tmp_path, Table(command=("no-such-command",), op="$.note")) as one:
        await until(lambda: one.history.lines("gap"), within_s=10)
        assert one.why() == "ENOENT"


async def test_a_command_that_hung_leaves_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_enumerations, "COMMAND_WITHIN_S", 0.5)
    script = "echo $$ > {file}; sleep 60 & echo $! >> {file}; wait"
    async with watched(tmp_path, Table(command=("sh", "-c", script), op="$.note")) as one:
        await until(lambda: one.history.lines("gap"), within_s=10)
    pids = [int(word) for word in one.file.read_text().split()]
    assert len(pids) == 2
    deadline = monotonic() + 5
    while any(map(_runs, pids)):
        assert monotonic() < deadline
        await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_what_it_printed_before_must_stay(tmp_path: Path) -> None:
    """Rows in another order, or fewer: without an order of its own, a table's rows would be counted twice."""
    async with watched(tmp_path) as one:
        one.add(1, 2)
        await until(lambda: len(one.seen(Step.EFFECT)) == 2, within_s=10)
        one.file.write_text("")
        one.add(3, 1, 2)
        await until(lambda: one.history.lines("gap"), within_s=10)
        assert one.why() == "record 0 is not the one that it was: the enumeration must only grow"
        await one.effects.final()
        assert not one.history.lines("read")[0]["complete"]
