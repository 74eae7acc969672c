"""The edges of no_phantoms: what belongs to nobody, and when that can be told."""

from __future__ import annotations

import pytest

from harness.history.rows import OpId, Outcome, Step
from harness.verdict import Doubt, Verdict

from .synthetic import END, HEALED, HIT, HOLDS, INCONCLUSIVE, VIOLATED, begin, came_out, named, story


@pytest.mark.parametrize(
    ("writer", "beyond", "found"), [(0, -1, 0), (0, 0, 1), (0, 2**32, 1), (1, -10_000, 1), (4_000_000_000, 0, 1)]
)
@pytest.mark.parametrize("step", [Step.EFFECT, Step.PUBLISHED, Step.RESULT, Step.DEAD_LETTER, Step.REPEAT])
def test_a_marker_beyond_what_was_offered_is_a_phantom(writer: int, beyond: int, found: int, step: Step) -> None:
    with story() as told:
        begin(told)
        last = told.done(told.op(9_000), 9_000)
        ghost = OpId(writer, max(0, last.n + 1 + beyond))
        told.effect(ghost, 9_500, step=step)
        finding = came_out(told, "no_phantoms")
    assert (finding.verdict, finding.measured) == ((VIOLATED, 1) if found else (HOLDS, 0))
    assert len(finding.ops) == finding.ops_total == found


@pytest.mark.parametrize("outcome", [*Outcome, None])
def test_what_was_offered_is_no_phantom_whatever_came_of_it(outcome: Outcome | None) -> None:
    with story() as told:
        begin(told)
        told.effect(told.op(6_000, outcome), 6_100)
        assert came_out(told, "no_phantoms").verdict is HOLDS


def test_records_of_nobody_and_results_of_others_are_phantoms() -> None:
    with story() as told:
        begin(told)
        op, other = (told.done(told.op(at), at) for at in (9_000, 9_100))
        crossed = f"crossed: the result of {told.marker(op)} carries {told.marker(other)}"
        told.line("phantom", 9_200, source="poll", text=crossed)
        told.line("phantom", 9_300, source="effects", text="whose is this?")
        finding = came_out(told, "no_phantoms")
    assert (finding.verdict, finding.measured) == (VIOLATED, 2)
    assert (finding.ops, finding.ops_total) == (named(told, op), 1)
    assert "1 without a marker of this run; 1 a result of another operation" in finding.reason


def test_a_crossed_result_is_one_whatever_other_records_leave_unclear() -> None:
    """It stood where that operation's own result stands; a ref that was given twice is nobody's own."""
    for twice, verdict in ((False, VIOLATED), (True, INCONCLUSIVE)):
        with story() as told:
            begin(told)
            op, *_ = [told.done(told.op(at, ref="r" if twice else str(at)), at) for at in (9_000, 9_100)]
            told.line("phantom", 9_200, source="poll", text=f"crossed: the result of {told.marker(op)} carries that")
            told.trouble(Doubt.IDS_UNCLEAR)
            told.read(40_000)
            findings = told.judged()
        assert findings["no_phantoms"].verdict is verdict
        assert findings["no_phantoms"].ops == named(told, op)
        assert {findings[name].verdict for name in ("no_loss", "effects")} == {INCONCLUSIVE}


@pytest.mark.parametrize("known", [True, False])
def test_a_record_with_a_ref_alone_is_no_phantom_if_an_answer_gave_that_ref(known: bool) -> None:
    with story() as told:
        begin(told)
        told.done(told.op(6_000, ref="r1"), 6_000)
        told.effect(None, 6_100, ref="r1" if known else "r2")
        finding = came_out(told, "no_phantoms")
    assert finding.verdict is (HOLDS if known else VIOLATED)


def test_a_ref_whose_answer_may_have_been_lost_is_no_phantom() -> None:
    """The operation was done, and its answer, which held the ref, never came: it is in U, and U is part of O."""
    with story() as told:
        begin(told)
        told.op(6_000, Outcome.UNKNOWN)
        told.effect(None, 6_100, ref="r2")
        finding = came_out(told, "no_phantoms")
    assert finding.verdict is INCONCLUSIVE
    assert finding.reason.startswith("ids unclear: ")


def test_a_phantom_is_one_whatever_is_unclear_besides() -> None:
    with story() as told:
        begin(told)
        told.op(6_000, Outcome.UNKNOWN)
        told.effect(None, 6_100, ref="r2")
        told.effect(OpId(0, 10_000), 6_200)
        finding = came_out(told, "no_phantoms")
    assert (finding.verdict, finding.measured, finding.ops) == (VIOLATED, 1, named(told, OpId(0, 10_000)))


@pytest.mark.parametrize(
    ("sources", "verdict"),
    [
        ({"effects": False, "taps": False}, INCONCLUSIVE),
        ({"poll": True, "connections": True}, INCONCLUSIVE),
        ({"effects": False, "taps": True}, HOLDS),
        ({"stream": True}, HOLDS),
    ],
)
def test_one_source_that_was_read_to_its_end_is_enough(sources: dict[str, bool], verdict: Verdict) -> None:
    with story() as told:
        begin(told)
        for source, complete in sources.items():
            told.read(40_000, source, complete=complete)
        assert told.judged()["no_phantoms"].verdict is verdict


@pytest.mark.parametrize(("offered", "verdict"), [(19, INCONCLUSIVE), (20, HOLDS)])
def test_phantoms_are_looked_for_among_twenty_operations(offered: int, verdict: Verdict) -> None:
    with story() as told:
        told.load(0, END)
        told.fault(HIT, HEALED)
        for n in range(offered):
            told.done(told.op(n), n)
        assert came_out(told, "no_phantoms").verdict is verdict
