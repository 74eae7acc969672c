from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HistoryError
from harness.history import _columnar
from harness.history._columnar import connect
from harness.history.compact import compact
from harness.history.lines import parse_lines
from harness.history.reader import History
from harness.history.recorder import Recorder, write_meta
from harness.history.rows import OpId, Outcome, Step
from tests.history import histories
from tests.history.histories import NONCE, OTHER_NONCE, Line, Op, Sight, answers, follow, new_folder


@settings(max_examples=25, deadline=None)
@given(
    st.lists(histories.ops | histories.sights | histories.lines, max_size=25),
    st.lists(histories.ops | histories.sights | histories.lines, max_size=25),
)
def test_rows_and_columns_give_the_same_answers(
    first: list[Op | Sight | Line], second: list[Op | Sight | Line]
) -> None:
    with new_folder() as folder:
        writers = [
            Recorder(folder, name="load-0", nonce=NONCE, writer=0),
            Recorder(folder, name="load-2", nonce=NONCE, writer=2),
            Recorder(folder, name="runner", nonce=NONCE),
        ]
        follow(writers[0], first)
        follow(writers[1], second)
        for recorder in writers:
            recorder.close()
        in_rows = History.open(folder)
        said = answers(in_rows)
        compact(folder)
        in_columns = History.open(folder)
        assert (in_rows.columnar, in_columns.columnar) == (False, True)
        assert answers(in_columns) == said
        assert said["count"] == sum(isinstance(step, Op) for step in first + second)


def test_an_open_history_follows_the_run(tmp_path: Path) -> None:
    writing = Recorder(tmp_path, name="load-0", nonce=NONCE, writer=0)
    history = History.open(tmp_path)
    for n in range(3):
        assert history.count() == n
        writing.begin(f"w{n}", 0)
        writing.sight(Step.EFFECT, t_ns=n, source=f"s{n}", op=OpId(0, n), ref=f"r{n}")
        writing.line("output", node="web-0", text=str(n))
        assert [operation.workload for operation in history.operations()] == [f"w{i}" for i in range(n + 1)]
        assert [(seen.source, seen.ref) for seen in history.sightings()] == [(f"s{i}", f"r{i}") for i in range(n + 1)]
        assert [line["text"] for line in history.lines("output")] == [str(i) for i in range(n + 1)]
        assert history.sql("SELECT count(*) FROM operations") == [(n + 1,)]
    assert history.troubles() == []  # its writer lives, so that nothing is missing


def test_a_line_whose_writer_died_in_it_is_dropped(tmp_path: Path) -> None:
    writing = Recorder(tmp_path, name="runner", nonce=NONCE)
    history = History.open(tmp_path)
    with (tmp_path / "lines-runner.jsonl").open("ab") as file:
        file.write(b'{"kind": "output", "t_ns": 5, "te')
        file.flush()
        assert [line["kind"] for line in history.lines()] == ["anchor"]
        file.write(b'xt": "x"}\n')
    assert [line["kind"] for line in history.lines("output")] == ["output"]
    writing.close()


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    Recorder(tmp_path, name="runner", nonce=NONCE).close()
    with (tmp_path / "lines-runner.jsonl").open("ab") as file:
        file.write(b'{"kind": "output", "t_ns": 5, "text": "\xc3\xa4"}\n{"kind": "\xff"}\n{"kind": "out')
    with pytest.raises(HistoryError, match="a line is no JSON") as raised:
        History.open(tmp_path).lines()
    where = (tmp_path / "lines-runner.jsonl").read_bytes().count(b"\n")
    assert f"lines-runner.jsonl:{where}" in str(raised.value)


def test_half_a_character_after_the_last_line_costs_nothing() -> None:
    half = '{"kind": "output", "t_ns": 5, "text": "ä"}\n{"kind": "ä'.encode()[:-1]
    assert [line["text"] for line in parse_lines(half, "here")] == ["ä"]


def test_histories_share_one_database_and_each_sees_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted() -> duckdb.DuckDBPyConnection:
        made.append(connect())
        return made[-1]

    monkeypatch.setattr(_columnar, "connect", counted)
    _columnar.database.cache_clear()
    histories = []
    for name, count in (("one", 3), ("two", 5)):
        recorder = Recorder(tmp_path / name, name="load-0", nonce=NONCE, writer=0)
        for n in range(count):
            recorder.begin(name, n)
        recorder.close()
        compact(tmp_path / name)
        histories.append(History.open(tmp_path / name))
    one, two = histories
    under_way = iter(one.form.rows("SELECT n FROM operations"))  # type: ignore[union-attr]
    next(under_way)
    assert two.sql("SELECT workload, count(*) FROM operations GROUP BY ALL") == [("two", 5)]
    assert len(list(under_way)) == 2
    assert one.columns("SELECT n FROM operations WHERE workload = ?", "one")["n"].tolist() == [0, 1, 2]
    del one, under_way, histories
    gc.collect()
    assert two.columns("SELECT count(*) AS many FROM operations")["many"].tolist() == [5]
    ((schemas,),) = two.sql("SELECT count(*) FROM duckdb_schemas() WHERE schema_name LIKE 'history_%'")
    assert schemas == 1
    assert len(made) == 1
    _columnar.database.cache_clear()


def test_wall_times_are_placed_by_the_anchor_taken_at_the_start(tmp_path: Path) -> None:
    writing = Recorder(tmp_path, name="runner", nonce=NONCE)
    history = History.open(tmp_path)
    (anchor,) = history.lines("anchor")
    assert history.t_of_wall(anchor["wall_ns"] + 7) == anchor["t_ns"] + 7
    assert history.wall_of_t(anchor["t_ns"]) == anchor["wall_ns"]
    write_meta(tmp_path, {"wall_minus_mono_ns": 100})
    assert History.open(tmp_path).t_of_wall(107) == 7
    writing.close()


def test_opening_imports_neither_numpy_nor_duckdb() -> None:
    package = "import sys, types; p = types.ModuleType('harness'); p.__path__ = ['harness']; sys.modules['harness'] = p"
    code = "import harness.history.reader; print([m for m in ('numpy', 'duckdb', 'pydantic') if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"{package}; {code}"], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def written(folder: Path, nonce: str = NONCE, name: str = "load-0", writer: int = 0) -> None:
    recorder = Recorder(folder, name=name, nonce=nonce, writer=writer)
    n = recorder.begin("orders", 1)
    recorder.finish(n, Outcome.OK, ref="r-1", error="e")
    recorder.sight(Step.EFFECT, t_ns=1, source="effects", ref="r-1")
    recorder.close()


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another format": (lambda folder: overwrite(folder / "ops-0.rows", 8, b"\x63\x00"), "format 99, this reads 1"),
    "no header": (lambda folder: overwrite(folder / "ops-0.rows", 0, b"PK"), "is no file of a history"),
    "cut": (lambda folder: os.truncate(folder / "ops-0.rows", 100), "36 bytes into row 0"),
    "cut header": (lambda folder: os.truncate(folder / "sights-load-0.rows", 10), "is no file of a history"),
    "another boot": (lambda folder: overwrite(folder / "ops-0.rows", 20, b"\0\0"), "different boots"),
    "another writer": (lambda folder: (folder / "ops-0.rows").rename(folder / "ops-7.rows"), "holds writer 0"),
    "another run": (lambda folder: written(folder, OTHER_NONCE, "x", 1), f"more than one run: {NONCE}, {OTHER_NONCE}"),
    "never begun": (lambda folder: overwrite(folder / "ops-0.rows", 127, b"\0"), "row 0 makes no sense"),
    "text gone": (lambda folder: (folder / "ops-0.strings").write_bytes(b""), "row 0 makes no sense"),
    "strange step": (lambda folder: overwrite(folder / "sights-load-0.rows", 95, b"\x7f"), "row 0 makes no sense"),
    "meta": (lambda folder: (folder / "meta.json").write_bytes(b"{"), "is no JSON"),
    "meta of another": (lambda folder: write_meta(folder, {"nonce": OTHER_NONCE}), "more than one run"),
    "line": (lambda folder: (folder / "lines-load-0.jsonl").write_bytes(b"{}\n"), "a line lacks kind"),
    "line no json": (lambda folder: (folder / "lines-load-0.jsonl").write_bytes(b"{\n"), "jsonl:1: a line is no JSON"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_says_where_and_what_to_do(tmp_path: Path, damage: str) -> None:
    write_meta(tmp_path, {"nonce": NONCE})
    written(tmp_path)
    do, message = DAMAGES[damage]
    do(tmp_path)
    with pytest.raises(HistoryError, match=message) as caught:
        answers(History.open(tmp_path))
    assert str(tmp_path) in caught.value.where
    assert caught.value.fix


def test_a_folder_without_a_history_is_none(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="there is no history"):
        History.open(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "columnar.json").write_bytes(b"[]"), "is no summary"),
        (lambda folder: (folder / "columnar.json").write_bytes(json.dumps({"version": 9}).encode()), "format 9, this"),
        (lambda folder: next((folder / "operations").iterdir()).unlink(), "is missing"),
        (lambda folder: next((folder / "operations").iterdir()).write_bytes(b"PAR1"), "cannot be read"),
    ],
)
def test_damaged_columns_say_where_and_what_to_do(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    written(tmp_path)
    compact(tmp_path)
    damage(tmp_path)
    with pytest.raises(HistoryError, match=message) as caught:
        list(History.open(tmp_path).operations())
    assert str(tmp_path) in caught.value.where
    assert caught.value.fix


def test_what_the_meta_of_another_version_lacks_is_told(tmp_path: Path) -> None:
    write_meta(tmp_path, {"nonce": NONCE})
    Recorder(tmp_path, name="runner", nonce=NONCE).close()
    with pytest.raises(HistoryError, match="does not say `promises`"):
        History.open(tmp_path).meta["promises"]
