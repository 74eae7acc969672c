from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.guarantees import _sets, _sets_columns, _swaps
from harness.guarantees._sets import Named, Rules, Sets, Swap, plain_sets, sets
from harness.guarantees._sets_columns import columnar_sets
from harness.history import _columnar
from harness.history.rows import Operation, OpId, Outcome, Sighting, Step
from tests.guarantees.judges import accepted, brute_sets, columnar, write

WORKLOADS = ["polled", "read", "neither"]
REFS = st.none() | st.sampled_from(["r0", "r1", "r2", "r3"])


@st.composite
def operations(draw: st.DrawFn) -> list[Operation]:
    """Up to seven operations of each of three writers, of which one may have none."""
    found = []
    for writer in (0, 1, 5):
        for n in range(draw(st.integers(0, 7))):
            start = draw(st.integers(1, 12))
            outcome = draw(st.sampled_from([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN]))
            unfinished = outcome is Outcome.UNKNOWN and draw(st.booleans())
            found.append(
                Operation(
                    OpId(writer, n),
                    draw(st.sampled_from(WORKLOADS)),
                    1,
                    start,
                    None if unfinished else start + draw(st.integers(0, 6)),
                    outcome,
                    None if unfinished else draw(REFS),
                    0 if unfinished else draw(st.sampled_from([*range(7), 2**40])),
                    duplicate=not unfinished and draw(st.integers(0, 9)) == 0,
                )
            )
    return found


ids = st.builds(OpId, st.sampled_from([0, 1, 5, 5, 2, 9]), st.integers(0, 7))
times = st.sampled_from([1, 2, 2, 2, 255, 256, 257])  # counts that go round in a byte


@st.composite
def sightings(draw: st.DrawFn) -> list[Sighting]:
    found = []
    for _ in range(draw(st.integers(0, 12))):
        seen = Sighting(
            draw(st.integers(1, 40)),
            "effects",
            draw(st.none() | ids | ids | ids),
            draw(REFS),
            proved=draw(st.booleans()),
            step=draw(st.sampled_from([*Step, Step.EFFECT, Step.EFFECT, Step.RESULT, Step.RESULT, Step.PENDING])),
        )
        found += [seen] * (draw(times) if draw(st.integers(0, 9)) == 0 else 1)
    return found


rules = st.builds(
    Rules,
    settles_ns=st.integers(0, 12),
    healed_ns=st.integers(0, 25),
    polled=st.just(("polled",)) | st.just(()),
    read=st.fixed_dictionaries({}, optional={"read": st.none() | st.integers(0, 40)}),
    effects_of=st.none() | st.lists(st.sampled_from(WORKLOADS)),
    least=st.integers(0, 2),
    most=st.none() | st.integers(1, 2),
    window=st.none() | st.tuples(st.integers(0, 15), st.integers(0, 15)),
    named=st.sampled_from([1, 2, 1000]),
)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is done in parts is, with a handful of operations."""
    monkeypatch.setattr(_sets_columns, "_SUSPECTS", 2)
    monkeypatch.setattr(_sets_columns, "_HASHES", 3)
    monkeypatch.setattr(_columnar, "_PIECE", 2)
    monkeypatch.setattr(_swaps, "_WINDOW", 3)


@pytest.mark.usefixtures("small_parts")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations(), sightings(), rules, st.integers(1, 6))
@example([], [], Rules(1), 1)
@example([], [Sighting(1, "effects", OpId(0, 0))], Rules(1), 1)
def test_three_judges_agree(
    offered: Sequence[Operation], seen: Sequence[Sighting], rules: Rules, file_rows: int
) -> None:
    expected = brute_sets(offered, seen, rules)
    with TemporaryDirectory() as name:
        assert plain_sets(write(Path(name), offered, seen), rules) == expected
        history = columnar(Path(name), file_rows)
        assert plain_sets(history, rules) == expected
        assert columnar_sets(history, rules) == expected


POLLED = Rules(settles_ns=10, healed_ns=20, polled=["polled"])


def judged(tmp_path: Path, offered: Sequence[Operation], seen: Sequence[Sighting], rules: Rules = POLLED) -> Sets:
    """What both ways say."""
    found = plain_sets(write(tmp_path, offered, seen), rules)
    assert columnar_sets(columnar(tmp_path, 1000), rules) == found
    return found


def seen_as(step: Step, t_ns: int = 25, n: int = 0, *, proved: bool = True) -> Sighting:
    return Sighting(t_ns, "poll", OpId(0, n), proved=proved, step=step)


ONE = Named(1, (OpId(0, 0),))


@pytest.mark.parametrize(
    ("seen", "lost", "undetermined"),
    [
        ([], Named(), ONE),
        ([seen_as(Step.PENDING, 29)], Named(), ONE),
        ([seen_as(Step.PENDING, 30)], ONE, Named()),
        ([seen_as(Step.GONE, 30), seen_as(Step.PENDING, 25)], ONE, Named()),
        ([seen_as(Step.RESULT, 28), seen_as(Step.PENDING, 30)], Named(), Named()),
        ([seen_as(Step.RESULT, 28, proved=False), seen_as(Step.PENDING, 30)], ONE, Named()),
        ([seen_as(Step.FAILURE, 28, proved=False)], Named(), Named()),
        ([seen_as(Step.DEAD_LETTER, 28), seen_as(Step.PENDING, 30)], Named(), Named()),
        ([seen_as(Step.EFFECT, 28), seen_as(Step.PENDING, 30)], ONE, Named()),
    ],
)
def test_lost_is_what_was_asked_for_after_everything_had_time_to_settle(
    tmp_path: Path, seen: Sequence[Sighting], lost: Named, undetermined: Named
) -> None:
    found = judged(tmp_path, [accepted(0)], seen)
    assert (found.lost, found.undetermined) == (lost, undetermined)


def test_what_was_not_accepted_is_never_lost(tmp_path: Path) -> None:
    offered = [accepted(0, outcome=Outcome.FAIL), accepted(1, outcome=Outcome.UNKNOWN, end_ns=None)]
    found = judged(tmp_path, offered, [seen_as(Step.PENDING, 90, n) for n in (0, 1)])
    assert (found.lost, found.undetermined, found.unknown) == (Named(), Named(), 1)


@pytest.mark.parametrize(("end", "lost"), [(None, False), (29, False), (30, True)])
def test_a_final_read_settles_what_is_not_polled(tmp_path: Path, end: int | None, lost: bool) -> None:
    offered = [accepted(0, workload="read"), accepted(1, workload="read"), accepted(2, workload="core")]
    found = judged(tmp_path, offered, [seen_as(Step.EFFECT, n=1)], replace(POLLED, read={"read": end}))
    assert (found.lost, found.undetermined) == ((ONE, Named()) if lost else (Named(), ONE))


def test_a_failed_operation_may_have_no_effect_and_an_open_one_may_have_it_yet(tmp_path: Path) -> None:
    offered = [accepted(n) for n in range(4)]
    seen = [seen_as(Step.FAILURE, n=0), seen_as(Step.RESULT, n=1), seen_as(Step.PENDING, 90, n=3)]
    assert judged(tmp_path, offered, seen).missing == Named(2, (OpId(0, 1), OpId(0, 3)))


def test_a_byte_that_counts_round_is_counted_again(tmp_path: Path) -> None:
    seen = [seen_as(Step.EFFECT)] * 257 + [seen_as(Step.EFFECT, n=1)] * 2
    found = judged(tmp_path, [accepted(0), accepted(1), accepted(2)], [*seen, seen_as(Step.EFFECT, n=2)])
    assert (found.duplicates, found.effects) == (Named(2, (OpId(0, 0), OpId(0, 1))), 260)


def test_a_ref_stands_for_its_operation_and_an_unknown_one_is_a_phantom(tmp_path: Path) -> None:
    offered = [accepted(0, ref="r-0"), accepted(1, ref="r-1")]
    seen = [Sighting(25, "effects", None, ref) for ref in ("r-0", "r-9", None)] + [Sighting(26, "dlq", OpId(3, 7))]
    found = judged(tmp_path, offered, seen)
    assert (found.phantoms, found.unknown_refs, found.effects) == (3, 1, 1)
    assert found.phantom_ops == Named(1, (OpId(3, 7),))


def test_one_message_put_back_by_thousands_is_one_swap(tmp_path: Path) -> None:
    def publish(n: int, seq: int) -> Operation:
        return accepted(n, workload="read", seq=seq, start_ns=10 * n + 1, end_ns=10 * n + 5)

    offered = [publish(n, n + 1) for n in range(2000)] + [publish(2000, 1)]
    found = judged(tmp_path, offered, [])
    assert found.out_of_order == 2000
    assert found.swaps == (Swap("read", OpId(0, 2000), OpId(0, 0), 2000),)


def test_publishes_in_flight_together_have_no_order(tmp_path: Path) -> None:
    offered = [accepted(n, seq=9 - n, start_ns=1 + n, end_ns=10) for n in range(8)]
    assert judged(tmp_path, offered, []).out_of_order == 0


def test_the_way_is_chosen_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [accepted(0)], [])
    history = columnar(tmp_path, 1000)
    assert sets(history, POLLED).undetermined == ONE
    monkeypatch.setattr(_sets, "PLAIN_MOST", 0)
    monkeypatch.setattr(_sets, "plain_sets", None)
    assert sets(history, POLLED).undetermined == ONE
