"""Histories to write in tests: a plan of calls, drawn by Hypothesis, and a recorder that follows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st

from harness.history.reader import History
from harness.history.recorder import Recorder, write_meta
from harness.history.rows import OpId, Outcome, Step

NONCE = "a1b2c3d4"
OTHER_NONCE = "zz9zz9zz"

# Any text, half characters and NUL included: error messages and log lines are not ours to choose.
texts = st.text(st.characters(), max_size=12)


@dataclass(frozen=True)
class Op:
    workload: str
    size: int
    finish: dict[str, Any] | None  # None: begun and never finished


@dataclass(frozen=True)
class Sight:
    fields: dict[str, Any]


@dataclass(frozen=True)
class Line:
    t_ns: int
    fields: dict[str, Any]


finishes = st.fixed_dictionaries(
    {"outcome": st.sampled_from(Outcome)},
    optional={
        "ref": texts,
        "seq": st.integers(0, 2**63),
        "status": st.integers(0, 599),
        "error": texts,
        "duplicate": st.booleans(),
    },
)
ops = st.builds(Op, st.sampled_from(["orders", "it's", "a\0b"]), st.integers(0, 2**31), st.none() | finishes)
op_ids = st.builds(OpId, st.integers(0, 3), st.integers(0, 9))
sights = st.builds(
    Sight,
    st.fixed_dictionaries(
        {"step": st.sampled_from(Step), "t_ns": st.integers(1, 20), "source": st.sampled_from(["effects", "tap"])},
        optional={
            "op": op_ids,
            "ref": texts,
            "by": texts,
            "seq": st.integers(0, 2**63),
            "attempt": st.integers(0, 255),
            "proved": st.booleans(),
        },
    ),
)
lines = st.builds(Line, st.integers(0, 20), st.fixed_dictionaries({"node": texts, "text": texts}))


def follow(recorder: Recorder, plan: Iterable[Op | Sight | Line]) -> None:
    for step in plan:
        if isinstance(step, Op):
            n = recorder.begin(step.workload, 7, size=step.size)
            if step.finish is not None:
                recorder.finish(n, **step.finish)
        elif isinstance(step, Sight):
            recorder.sight(**step.fields)
        else:
            recorder.line("output", t_ns=step.t_ns, **step.fields)


def answers(history: History) -> dict[str, Any]:
    """Everything that a history can be asked."""
    return {
        "operations": list(history.operations()),
        "of one": list(history.operations("orders")),
        "sightings": list(history.sightings()),
        "effects": list(history.sightings(Step.EFFECT, Step.REPEAT)),
        "lines": history.lines(),
        "troubles": history.troubles(),
        "count": history.count(),
        "ok": history.count(outcome=Outcome.OK),
        "writers": history.writers(),
        "workloads": history.workloads(),
        "ranges": [{name: array.tolist() for name, array in part.items()} for part in history.ranges(3)],
        "sql": history.sql("SELECT * FROM operations ORDER BY writer, n"),
        "sql of sightings": sorted(history.sql("SELECT * FROM sightings"), key=repr),
        "nonce": history.nonce,
    }


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder for one history, with its meta; for tests that Hypothesis runs many times."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "history"
        write_meta(folder, {"nonce": NONCE})
        yield folder
