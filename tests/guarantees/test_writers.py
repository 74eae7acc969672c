"""Several writers of operations in one history: every judge says what it says of one, out of rows and of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.guarantees import _sets
from harness.history.reader import History
from harness.history.rows import Outcome, Step
from harness.verdict import Finding

from .judges import columnar
from .synthetic import HEALED, HIT, HOLDS, Story, broken, by_clause, kept, story

WRITERS = [(0,), (0, 1), (0, 1, 2), (0, 5, 1001)]
"""One process; two and three of one load; a load of two, and a fault that publishes."""


def anonymous(findings: dict[str, Finding]) -> dict[str, Finding]:
    """Findings without the operations' names, which are the writers'; how many there are is kept."""
    return {name: replace(one, ops=(str(len(one.ops)),), stories=()) for name, one in findings.items()}


def in_columns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    """What is found of a history in columns of a hundred rows a file, by the way of the large ones."""
    history: History = columnar(folder, 100)
    monkeypatch.setattr(_sets, "PLAIN_MOST", 0)
    return by_clause(history)


@pytest.mark.parametrize("tell", [kept, broken])
@pytest.mark.parametrize("writers", WRITERS)
def test_every_clause_says_the_same_of_several_writers(
    tell: Callable[[Story], None], writers: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with story() as told:
        tell(told)
        of_one = told.judged()
    with story(writers=writers) as told:
        tell(told)
        of_several = told.judged()
        compacted = in_columns(told.folder, monkeypatch)
    assert anonymous(of_several) == anonymous(of_one)
    assert {name: replace(one, stories=()) for name, one in compacted.items()} == {
        name: replace(one, stories=()) for name, one in of_several.items()
    }


def test_an_operation_is_named_by_its_writer() -> None:
    """n alone names nobody: each of three writers has an operation 0, and the second one's is lost."""
    with story(writers=(0, 1, 7)) as told:
        told.load(0, 20_000)
        told.work(0, 20_000)
        told.fault(HIT, HEALED)
        lost = told.op(6_000)
        told.end(Step.PENDING, lost, 40_000)
        told.read(40_000)
        findings = told.judged()
    assert lost.writer == 1
    for clause in ("no_loss", "effects", "available.failed"):
        assert findings[clause].ops == (told.marker(lost),)


def poisons(told: Story, *, accepted: int, failed: int, dead: bool) -> None:
    """A fault's own messages: taken by the broker or refused, and dead-lettered or never seen again."""
    told.load(0, 20_000)
    told.work(0, 20_000)
    told.fault(HIT, HEALED)
    for n in range(accepted + failed):
        op = told.op(6_000 + n, Outcome.OK if n < accepted else Outcome.FAIL, workload="poison")
        if dead:
            told.effect(op, 7_000)
            told.effect(op, 7_500)
            told.end(Step.DEAD_LETTER, op, 8_000)
    told.expect("available", failed=0.0, latency_ms=500, silence_s=2)
    told.expect("converges")
    told.read(40_000)


@pytest.mark.parametrize(("accepted", "failed", "dead"), [(30, 0, True), (30, 0, False), (0, 30, False)])
def test_what_a_fault_published_is_offered_and_is_nobodys_promise(accepted: int, failed: int, dead: bool) -> None:
    """Its sightings are no phantoms; what becomes of it is neither loss nor a repeat nor a failure of the system."""
    with story() as told:
        poisons(told, accepted=accepted, failed=failed, dead=dead)
        findings = told.judged()
    assert {name: one.reason for name, one in findings.items() if one.verdict is not HOLDS} == {}
    assert findings["available.failed"].measured == 0
    assert findings["no_loss"].counted == 400


def test_work_of_a_fault_alone_is_no_work_of_the_systems() -> None:
    with story() as told:
        told.load(0, 20_000)
        told.fault(HIT, HEALED)
        for n in range(40):
            told.done(told.op(6_000 + n, workload="poison"), 6_000 + n)
        told.read(40_000)
        told.expect("available", failed=0.0, latency_ms=500, silence_s=2)
        told.expect("converges")
        findings = told.judged()
    about_work = {name for name, one in findings.items() if one.verdict is HOLDS}
    assert about_work <= {"no_phantoms"}
