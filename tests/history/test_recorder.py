from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import HistoryError
from harness.history.lines import KINDS
from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Outcome, Step
from tests.history.histories import NONCE


def recorder(folder: Path, name: str = "load-0", writer: int | None = 0) -> Recorder:
    return Recorder(folder, name=name, nonce=NONCE, writer=writer)


def test_a_begun_operation_is_in_the_file_before_begin_returns(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    history = History.open(tmp_path)
    before = time.monotonic_ns()
    n = writing.begin("orders", 5, size=90)
    (begun,) = history.operations()
    assert (begun.id, begun.outcome, begun.end_ns, begun.size) == (OpId(0, n), Outcome.UNKNOWN, None, 90)
    assert before <= begun.start_ns <= time.monotonic_ns()
    writing.finish(n, Outcome.OK, ref="r-1", seq=3, status=202, error="late", duplicate=True)
    (done,) = history.operations()
    assert (done.outcome, done.ref, done.seq, done.status, done.error) == (Outcome.OK, "r-1", 3, 202, "late")
    assert (done.workload, done.intended_ns, done.start_ns, done.size, done.duplicate) == (
        "orders",
        5,
        begun.start_ns,
        90,
        True,
    )
    assert done.end_ns is not None
    assert done.end_ns >= done.start_ns


def test_an_operation_that_is_over_is_recorded_whole_among_the_others(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    first = writing.begin("orders", 5)
    n = writing.whole("shop", start_ns=7, end_ns=9, outcome=Outcome.FAIL, ref="r-1", status=503, error="full", size=3)
    last = writing.begin("orders", 6)
    assert (first, n, last) == (0, 1, 2)
    one = list(History.open(tmp_path).operations())[n]
    assert (one.workload, one.intended_ns, one.start_ns, one.end_ns, one.outcome) == ("shop", 7, 7, 9, Outcome.FAIL)
    assert (one.ref, one.status, one.error, one.size) == ("r-1", 503, "full", 3)
    with pytest.raises(HistoryError, match="is finished"):
        writing.finish(n, Outcome.OK)


def test_an_operation_is_finished_once_and_by_its_writer(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    n = writing.begin("orders", 1)
    writing.finish(n, Outcome.FAIL)
    with pytest.raises(HistoryError, match="is finished"):
        writing.finish(n, Outcome.OK)
    with pytest.raises(HistoryError, match="has no writer"):
        recorder(tmp_path, "runner", None).begin("orders", 1)


def test_a_name_and_a_writer_are_taken_once(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    with pytest.raises(HistoryError, match="another recorder has this name"):
        recorder(tmp_path)
    with pytest.raises(HistoryError, match="another recorder has this name"):
        recorder(tmp_path, "load-1", 0)
    writing.close()


def test_a_line_is_of_a_known_kind(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no kind of line"):
        recorder(tmp_path).line("outptu", text="x")


def test_whatever_a_line_holds_it_is_one_line_of_json(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    odd = {"a": float("nan"), "b": b"\xff", "c": Path("x"), 3: {"y"}, "d": "half \udc80 \ud83d\ude00\0\n", "e": [(1,)]}
    writing.line("output", node="web-0", text=odd)
    writing.line("output", node="web-0", text="half \udc80")
    odd_line, half_line = History.open(tmp_path).lines("output")
    assert odd_line["text"]["a"] == "nan"
    assert odd_line["text"]["3"] == "{'y'}"
    assert odd_line["text"]["e"] == [[1]]
    assert half_line["text"].encode() == b"half \\udc80"
    raw = (tmp_path / "lines-load-0.jsonl").read_bytes()
    assert raw.isascii()
    assert len(raw.splitlines()) == 3  # the anchor too


def test_a_secret_is_nowhere_in_the_folder(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    writing.secret('pa"ss/wörd')
    writing.secret("")
    n = writing.begin("orders", 1)
    writing.finish(n, Outcome.FAIL, ref='token=pa"ss/wörd', error='refused: pa"ss/wörd')
    writing.sight(Step.EFFECT, t_ns=1, source="effects", by='pa"ss/wörd', ref='x-pa"ss/wörd')
    writing.line("output", node="web-0", text=json.dumps({"password": 'pa"ss/wörd'}))
    for form in ("pa%22ss%2Fw%C3%B6rd", "cGEic3Mvd8O2cmQ="):
        writing.line("output", node="web-0", text=f"form {form}")
    writing.line(
        "output", node="web-0", text="GET /?p=pa%22ss%2Fw%C3%B6rd", more=[{'pa"ss/wörd': 'pa"ss/wörd'.encode()}]
    )
    writing.close()
    for path in tmp_path.iterdir():
        assert b"ss/w" not in path.read_bytes(), path
        assert b"ss%2Fw" not in path.read_bytes(), path
        assert b"cGEic3Mv" not in path.read_bytes(), path
    history = History.open(tmp_path)
    (done,) = history.operations()
    assert (done.ref, done.error) == ("token=[redacted]", "refused: [redacted]")
    (seen,) = history.sightings()
    assert (seen.by, seen.ref) == ("[redacted]", "x-[redacted]")


def test_numbers_that_do_not_fit_are_kept_as_the_largest(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    writing.sight(Step.EFFECT, t_ns=1, source="effects", op=OpId(2**40, 2**70), attempt=1000, seq=-1)
    (seen,) = History.open(tmp_path).sightings()
    assert seen.op == OpId(2**32 - 2, 2**32 - 1)
    assert (seen.attempt, seen.seq) == (255, 0)


def test_a_ref_that_is_polled_again_and_again_is_written_once(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    for t_ns in range(100):
        writing.sight(Step.PENDING, t_ns=t_ns, source="poll", op=OpId(0, 0), ref="r-1")
    assert (tmp_path / "sights-load-0.strings").read_text().count("r-1") == 1
    assert {seen.ref for seen in History.open(tmp_path).sightings()} == {"r-1"}


def test_closing_twice_does_nothing_and_anchors_stand_at_both_ends(tmp_path: Path) -> None:
    writing = recorder(tmp_path)
    writing.close()
    writing.close()
    history = History.open(tmp_path)
    assert len(history.lines("anchor")) == 2
    assert history.troubles() == []


def test_the_kinds_are_documented() -> None:
    assert all(KINDS.values())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def until_full(call: Callable[[], object]) -> int:
    """Calls until the disk is full; returns how often it went well."""
    done = 0

    def call_on() -> None:
        nonlocal done
        for done in range(100_000):  # noqa: B007
            call()

    with pytest.raises(HistoryError, match="No space left"):
        call_on()
    return done


def test_a_full_disk_refuses_begin_at_a_row_boundary_and_lets_all_in_flight_finish(small_disk: Path) -> None:
    writing = recorder(small_disk)
    begun = until_full(lambda: writing.begin("orders", 1))
    assert writing.full
    for n in range(begun):
        writing.finish(n, Outcome.OK, ref="r" * 50)
    until_full(lambda: writing.sight(Step.EFFECT, t_ns=1, source="effects", op=OpId(0, 0)))
    until_full(lambda: writing.line("output", node="web-0", text="x" * 1000))
    writing.close()
    history = History.open(small_disk)
    assert history.count() == history.count(outcome=Outcome.OK) == begun
    assert history.lines("anchor")
    assert {(told["name"], told["detail"].split(": ")[1]) for told in history.troubles()} == {
        ("history incomplete", "the disk was full")
    }


def test_a_disk_that_was_full_before_the_first_operation_refuses_it(small_disk: Path) -> None:
    writing = recorder(small_disk)
    until_full(lambda: writing.line("output", node="web-0", text="x" * 1000))
    until_full(lambda: writing.line("output", node="web-0", text=""))
    with pytest.raises(HistoryError, match="No space left"):
        writing.begin("orders", 1)
    writing.close()
    assert History.open(small_disk).count() == 0


def test_after_room_was_made_the_history_goes_on_whole(small_disk: Path) -> None:
    writing = recorder(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    until_full(lambda: writing.line("output", node="web-0", text="x" * 10_000))
    ballast.unlink()
    writing.line("output", node="web-0", text="after")
    n = writing.begin("orders", 1)
    writing.finish(n, Outcome.OK, ref="r-1")
    writing.close()
    history = History.open(small_disk)
    assert history.lines("output")[-1]["text"] == "after"
    assert [operation.ref for operation in history.operations()] == ["r-1"]
