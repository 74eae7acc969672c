from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.history.recorder import Recorder
from harness.history.rows import OpId, Outcome, Step
from harness.load.live import Counts, LiveView

NONCE = "7f3a9k2m"


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path, name="load-0", nonce=NONCE, writer=3)


@pytest.fixture
def live(tmp_path: Path) -> LiveView:
    return LiveView(tmp_path, writers=[3], sights=["load-0", "runner"])


def test_before_anything_is_written_there_is_nothing(live: LiveView) -> None:
    live.update()
    assert live.counts() == Counts()
    assert live.offered == live.settled() == 0
    assert live.open() == []
    assert live.first_ok(0) is None
    assert not live.last_second_ok(time.monotonic_ns())


def test_a_row_is_followed_until_it_is_finished(recorder: Recorder, live: LiveView) -> None:
    first, second, third = (recorder.begin("a", 0) for _ in range(3))
    live.update()
    assert live.counts() == Counts(in_flight=3)
    recorder.finish(second, Outcome.OK, ref="x")
    live.update()
    assert live.counts() == Counts(ok=1, in_flight=2)
    recorder.finish(first, Outcome.FAIL)
    for _ in range(5_000):
        recorder.finish(recorder.begin("a", 0), Outcome.OK)
    recorder.finish(third, Outcome.UNKNOWN)
    live.update()
    assert live.counts() == Counts(ok=5_001, fail=1, unknown=1)
    assert live.offered == 5_003


def test_an_accepted_operation_is_open_until_its_first_terminal_sighting(
    recorder: Recorder, live: LiveView, tmp_path: Path
) -> None:
    for outcome in (Outcome.OK, Outcome.OK, Outcome.OK, Outcome.OK, Outcome.UNKNOWN, Outcome.OK):
        recorder.finish(recorder.begin("a", 0), outcome)
    between_ns = time.monotonic_ns()
    recorder.finish(recorder.begin("a", 0), Outcome.OK)
    runner = Recorder(tmp_path, name="runner", nonce=NONCE)
    for step, n, proved in (
        (Step.RESULT, 0, True),
        (Step.RESULT, 1, False),
        (Step.PENDING, 2, False),
        (Step.FAILURE, 3, False),
    ):
        recorder.sight(step, t_ns=10 + n, source="poll", op=OpId(3, n), proved=proved)
    recorder.sight(Step.RESULT, t_ns=20, source="poll", op=OpId(3, 0), proved=True)
    recorder.sight(Step.RESULT, t_ns=20, source="poll", op=OpId(2, 1), proved=True)  # another writer's
    recorder.sight(Step.RESULT, t_ns=20, source="poll", op=OpId(3, 4_000_000_000), proved=True)  # nobody's
    runner.sight(Step.DEAD_LETTER, t_ns=30, source="dead", op=OpId(3, 5))
    live.update()
    assert [one.op.n for one in live.open()] == [1, 2, 6]
    assert len(live.open_before(between_ns)) == 2
    assert tuple(live.settled_ns(OpId(3, n)) for n in (0, 1, 99)) == (10, None, None)
    assert live.settled() == 3


def test_what_becomes_of_some_workloads_is_not_seen_meanwhile(recorder: Recorder, tmp_path: Path) -> None:
    live = LiveView(tmp_path, writers=[3], followed=["b"])
    for workload in ("a", "b", "a"):
        recorder.finish(recorder.begin(workload, 0), Outcome.OK)
    live.update()
    assert [one.op.n for one in live.open()] == [1]


def test_an_effect_is_the_end_where_nobody_asks_after_the_work(recorder: Recorder, tmp_path: Path) -> None:
    live = LiveView(tmp_path, writers=[3], sights=["load-0"], followed=["a", "b"], done=["b"])
    for workload in ("a", "b", "a", "b", "b"):
        recorder.finish(recorder.begin(workload, 0), Outcome.OK)
    for n in (0, 1, 5):  # the last of an operation whose row comes later than its effect
        recorder.sight(Step.EFFECT, t_ns=10, source="effects", op=OpId(3, n))
    recorder.sight(Step.RESULT, t_ns=20, source="poll", op=OpId(3, 2), proved=True)
    live.update()
    assert [one.op.n for one in live.open()] == [0, 3, 4]
    recorder.finish(recorder.begin("b", 0), Outcome.OK)
    recorder.sight(Step.DEAD_LETTER, t_ns=30, source="dead", op=OpId(3, 3))
    live.update()
    assert [one.op.n for one in live.open()] == [0, 4]


def test_the_last_second(recorder: Recorder, live: LiveView) -> None:
    def ok(later_s: float = 0) -> bool:
        live.update()
        return live.last_second_ok(time.monotonic_ns() + int(later_s * 1e9))

    recorder.finish(recorder.begin("a", 0), Outcome.OK)
    assert ok()
    assert not ok(later_s=2)  # nothing was accepted in that second
    hanging = recorder.begin("a", 0)
    assert ok()
    assert not ok(later_s=0.9) or ok()
    recorder.finish(hanging, Outcome.UNKNOWN)
    assert not ok()


def test_begun_and_ended_in_a_window(recorder: Recorder, live: LiveView) -> None:
    early = recorder.begin("a", 0)
    middle_ns = time.monotonic_ns()
    recorder.finish(recorder.begin("a", 0), Outcome.OK)
    recorder.finish(early, Outcome.FAIL)
    live.update()
    end_ns = time.monotonic_ns()
    assert live.begun(0, middle_ns) == Counts(fail=1)
    assert live.begun(middle_ns, end_ns) == Counts(ok=1)
    assert live.ended(middle_ns, end_ns) == Counts(ok=1, fail=1)
    first = live.first_ok(middle_ns)
    assert first is not None
    assert middle_ns < first < end_ns
    assert live.first_ok(end_ns) is None


def test_looking_at_a_long_history_again_costs_little(recorder: Recorder, live: LiveView) -> None:
    for n in range(20_000):
        recorder.finish(recorder.begin("a", 0), Outcome.OK)
        recorder.sight(Step.RESULT, t_ns=n + 1, source="poll", op=OpId(3, n), proved=True)
    live.update()
    before_s = time.process_time()
    for _ in range(20):
        live.update()
        assert not live.open()
    assert (time.process_time() - before_s) / 20 < 0.01
