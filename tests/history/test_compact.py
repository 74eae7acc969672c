from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import whole
from harness.errors import HistoryError
from harness.history import _columns
from harness.history import compact as compacting
from harness.history.compact import compact
from harness.history.reader import History
from harness.history.recorder import Recorder
from harness.history.rows import OpId, Outcome, Step
from tests.history.histories import NONCE, answers


def written(folder: Path, count: int = 10) -> None:
    for writer in (0, 1):
        recorder = Recorder(folder, name=f"load-{writer}", nonce=NONCE, writer=writer)
        for i in range(count):
            n = recorder.begin("orders", i)
            recorder.finish(n, Outcome.OK if i % 3 else Outcome.FAIL, ref=f"r-{i}" if i % 3 else "", error=f"e{i}")
            recorder.sight(Step.EFFECT, t_ns=100 - i, source=f"s{i}", op=OpId(0, n), by=f"w-{i}")
            recorder.line("output", t_ns=50 - i, node="web-0", text=str(i))
        recorder.close()


def test_one_line_of_sql_reads_like_the_promise(tmp_path: Path) -> None:
    written(tmp_path)
    compact(tmp_path)
    history = History.open(tmp_path)
    lost = "SELECT writer, n FROM operations ANTI JOIN sightings USING (writer, n) WHERE outcome = 'ok'"
    assert history.sql(f"SELECT count(*) FROM ({lost})") == [(6,)]
    assert history.sql("SELECT DISTINCT step FROM sightings WHERE source = ?", "s3") == [("effect",)]


def test_files_hold_a_bounded_number_of_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    said = answers(History.open(tmp_path))
    operation_chunks, sighting_chunks = _columns.operation_chunks, _columns.sighting_chunks
    monkeypatch.setattr(_columns, "operation_chunks", lambda form, file: operation_chunks(form, file, 4))
    monkeypatch.setattr(_columns, "sighting_chunks", lambda form: sighting_chunks(form, 7))
    compact(tmp_path)
    assert sorted(path.name for path in (tmp_path / "operations").iterdir()) == [
        f"{writer:05}-{first:010}.parquet" for writer in (0, 1) for first in (0, 4, 8)
    ]
    assert len(list((tmp_path / "sightings").iterdir())) == 3
    history = History.open(tmp_path)
    assert [len(part["n"]) for part in history.ranges(3)] == [3, 1, 3, 1, 2] * 2
    assert {**answers(history), "ranges": None} == {**said, "ranges": None}


def test_a_history_still_being_written_is_left_alone(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, name="load-0", nonce=NONCE, writer=0)
    with pytest.raises(HistoryError, match="still being written: ops-0"):
        compact(tmp_path)
    recorder.close()
    compact(tmp_path)
    assert History.open(tmp_path).count() == 0


def test_what_cannot_be_read_is_not_removed(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "ops-1.strings").write_bytes(b"")
    with pytest.raises(HistoryError, match="not there"):
        compact(tmp_path)
    assert not (tmp_path / "columnar.json").exists()
    assert (tmp_path / "ops-1.rows").exists()


@pytest.mark.parametrize("at", ["_parquet", "_write_lines", "write_text", "sync_folder"])
def test_a_compaction_that_failed_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    written(tmp_path)
    said = answers(History.open(tmp_path))

    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(compacting if hasattr(compacting, at) else whole, at, fails)
        with pytest.raises(OSError, match="no more"):
            compact(tmp_path)
        assert answers(History.open(tmp_path)) == said
    compact(tmp_path)
    assert answers(History.open(tmp_path)) == said
    compact(tmp_path)
    assert answers(History.open(tmp_path)) == said
