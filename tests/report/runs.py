"""Run folders with histories beside their verdict, made up without starting anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from harness.history.compact import compact
from harness.history.rows import Outcome

from ..guarantees.synthetic import BROKER, ENTRY_LINK, HEALED, HIT, WORKER_LINK, Story, story, t
from . import verdicts
from .verdicts import HOSTILE, JSON

EVIL = " ".join(HOSTILE).encode("utf-8", "replace").decode()


def lossy(told: Story, lost: int = 40) -> list[str]:
    """Work that is lost while the broker is away; the ids of the lost."""
    told.load(0, 20_000)
    told.work(0, HIT)
    ops = [told.op(HIT + n * (HEALED - HIT) // lost, took=1 + n % 200) for n in range(lost)]
    told.work(HEALED, 20_000)
    told.op(HIT + 1, Outcome.FAIL, took=600, error=EVIL)
    told.op(HIT + 2, None)
    told.fault(HIT, HEALED, "kill", links=(ENTRY_LINK, WORKER_LINK), nodes=(BROKER,))
    told.came_back(ENTRY_LINK, HIT, HEALED)
    told.came_back(WORKER_LINK, HIT, HEALED)
    moments: dict[str, Any] = {"connections_ns": t(HEALED + 300), "answers_ns": t(HEALED + 500), "drained_ns": None}
    told.line("recovered", HEALED + 3_000, settled=True, healed_ns=t(HEALED), **moments)
    told.line("output", HIT + 1, node="web-0", text="NATS disconnected: nats: unexpected EOF")
    told.line("output", HIT + 2, node=EVIL, text=EVIL)
    told.line("connection", HIT, source=EVIL, target=EVIL, client="127.0.0.1:1", event="opened", via="proxy")
    told.line("gap", HIT, source=EVIL, from_ns=t(HIT), to_ns=None, why=EVIL)
    told.line("phase", 30_000, name="evidence", from_ns=t(30_000))
    return [told.marker(op) for op in ops]


def calm(told: Story) -> list[str]:
    """Work that goes well, past a fault."""
    told.load(0, 20_000)
    for at in range(0, 20_000, 20):
        told.done(told.op(at, took=1 + at % 300), at)
    told.fault(HIT, HEALED, "kill", links=(ENTRY_LINK, WORKER_LINK), nodes=(BROKER,))
    told.came_back(ENTRY_LINK, HIT, HEALED)
    told.line("phase", 30_000, name="evidence", from_ns=t(30_000))
    return []


def busy(told: Story) -> list[str]:
    """Work that goes well, in all latencies, with many an operation under way."""
    told.load(0, 20_000)
    chance = Random(1)
    for at in range(0, 20_000, 20):
        told.done(told.op(at, took=1 + chance.random() ** 4 * 3_000), at + chance.random() * 2_000)
    told.fault(HIT, HEALED, "kill", links=(ENTRY_LINK, WORKER_LINK), nodes=(BROKER,))
    told.came_back(ENTRY_LINK, HIT, HEALED)
    told.line("phase", 30_000, name="evidence", from_ns=t(30_000))
    return []


def written(
    folder: Path,
    names: Sequence[str] = ("broker_crash",),
    make: Callable[[Story], list[str]] = lossy,
    *,
    keep: bool = True,
    columnar: bool = True,
) -> JSON:
    """Writes a run with one history for all of `names`, in which the operations of `make` are lost; its verdict."""
    with story() as told:
        ops = make(told)
        told.ended()
        found = verdicts.lost_finding(len(ops)) | {
            "ops": ops[:20],
            "stories": [{"op": op, "lines": ["offered", "accepted"]} for op in ops[:3]],
        }
        lost = [found, *verdicts.good_findings()[1:]] if ops else verdicts.good_findings()
        run = verdicts.run([verdicts.scenario(name, findings=lost) for name in names])
        if columnar:
            compact(told.folder)
        for name in names if keep else ():
            shutil.copytree(told.folder, folder / "scenarios" / f"{name}-hardened" / "history")
    (folder / "verdict.json").write_text(json.dumps(run))
    return run
