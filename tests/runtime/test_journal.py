from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import Missing
from harness.runtime import _proc, journal
from harness.runtime._proc import Identity
from harness.runtime.journal import Journal


@pytest.fixture
def kept() -> Iterator[Journal]:
    made = Journal.create("abc")
    yield made
    made.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def identity(process: subprocess.Popen[bytes]) -> Identity:
    found = _proc.identity(process.pid)
    assert found is not None
    return found


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_a_dead_owner(made: Journal) -> Path:
    """The journal as its owner's death would leave it: no lock on it, and another start time."""
    owner, *rest = entries(made.path)
    owner["start"] = 1
    made.path.write_text("".join(json.dumps(entry) + "\n" for entry in [owner, *rest]))
    made.release()
    return made.path


def test_its_first_line_names_owner_and_boot(kept: Journal) -> None:
    kept.note("a")
    owner, line = entries(kept.path)
    assert owner["is"] == "owner"
    assert Identity(owner["pid"], owner["start"]) == _proc.identity(os.getpid())  # type: ignore[arg-type]
    assert owner["boot"] == _proc.boot_id()
    assert line == {"is": "note", "text": "a"}
    assert kept.path.name == f"abc-{os.getpid()}.jsonl"


def test_two_of_one_run_and_process_get_names_of_their_own(kept: Journal) -> None:
    other = Journal.create("abc")
    assert other.path != kept.path
    other.close()


def test_undo_ends_what_is_provably_ours(kept: Journal, sleeper: subprocess.Popen[bytes]) -> None:
    true = identity(sleeper)
    kept.process("other", Identity(true.pid, true.start - 1))
    assert journal.undo(kept.path).ended == []
    assert sleeper.poll() is None
    kept.process("sleeper", true)
    assert journal.undo(kept.path).ended == [f"sleeper (pid {sleeper.pid})"]
    assert sleeper.wait() == -signal.SIGKILL
    assert journal.undo(kept.path).ended == []


def test_undo_ends_a_stopped_process(kept: Journal, sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.send_signal(signal.SIGSTOP)
    kept.process("sleeper", identity(sleeper))
    assert journal.undo(kept.path).ended
    assert sleeper.wait() == -signal.SIGKILL


def test_undo_of_another_boot_ends_no_process(kept: Journal, sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    kept.process("sleeper", identity(sleeper))
    kept.folder(tmp_path / "nodes")
    owner, *rest = entries(kept.path)
    owner["boot"] = "another"
    kept.path.write_text("".join(json.dumps(entry) + "\n" for entry in [owner, *rest]))
    done = journal.undo(kept.path)
    assert done.ended == []
    assert done.removed == [str(tmp_path / "nodes")]
    assert sleeper.poll() is None


def test_undo_removes_our_folders_and_no_other(kept: Journal, tmp_path: Path) -> None:
    ours, theirs, marked = tmp_path / "ours", tmp_path / "theirs", tmp_path / "marked"
    kept.folder(ours)
    (ours / "deep").mkdir()
    (ours / "deep" / "file").write_text("x")
    theirs.mkdir()
    (theirs / "file").write_text("x")
    with pytest.raises(FileExistsError):
        kept.folder(theirs)
    marked.mkdir()
    (marked / journal.MARK).write_text("of-another.jsonl")
    with pytest.raises(FileExistsError):
        kept.folder(marked)
    assert journal.undo(kept.path).removed == [str(ours)]
    assert (theirs / "file").exists()
    assert (marked / journal.MARK).exists()


def test_undo_removes_sockets_and_locks_that_nobody_holds(kept: Journal, tmp_path: Path) -> None:
    path, file = tmp_path / "s", tmp_path / "f"
    file.write_text("x")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    held, free = tmp_path / "held", tmp_path / "free"
    free.touch()
    fd = journal.take_lock(held)
    assert fd is not None
    kept.socket(path)
    kept.socket(file)
    kept.locks([held, free, tmp_path / "never made"])
    assert str(path) in journal.undo(kept.path).removed
    assert [one.exists() for one in (path, file, held, free)] == [False, True, True, False]
    os.close(fd)


def test_a_torn_last_line_is_dropped(kept: Journal, sleeper: subprocess.Popen[bytes]) -> None:
    kept.process("sleeper", identity(sleeper))
    with kept.path.open("a") as file:
        file.write('{"is": "proc')
    assert journal.undo(kept.path).ended


def test_sweep_leaves_the_living_alone(kept: Journal, sleeper: subprocess.Popen[bytes]) -> None:
    kept.process("sleeper", identity(sleeper))
    assert journal.sweep() == []
    assert journal.owners() == ([kept.path], [])
    kept.release()  # a lock that a file system lost: the owner's pid and start still speak for it
    assert journal.sweep() == []
    assert sleeper.poll() is None


def test_sweep_undoes_the_dead_once_however_many_sweep(sleeper: subprocess.Popen[bytes]) -> None:
    made = Journal.create("dead")
    made.process("sleeper", identity(sleeper))
    path = of_a_dead_owner(made)
    assert journal.owners() == ([], [path])
    done: list[journal.Undone] = []
    threads = [threading.Thread(target=lambda: done.extend(journal.sweep())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.ended for one in done] == [[f"sleeper (pid {sleeper.pid})"]]
    assert not path.exists()
    assert journal.owners() == ([], [])


def test_a_journal_that_another_sweep_has_removed_meanwhile_has_no_owner(tmp_path: Path) -> None:
    """Between this one's seeing it and its reading it; what it makes of that is to look again, and see it gone."""
    assert not journal._owner_may_live(tmp_path / "gone.jsonl")


def test_sweep_keeps_a_journal_of_which_something_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Journal.create("dead")
    made.folder(tmp_path / "nodes")
    path = of_a_dead_owner(made)
    with monkeypatch.context() as patched:

        def refuses(folder: Path) -> None:
            raise PermissionError(13, "Permission denied")

        patched.setattr("shutil.rmtree", refuses)
        (done,) = journal.sweep()
    assert done.left == [f"{tmp_path / 'nodes'}: Permission denied"]
    assert path.exists()
    (done,) = journal.sweep()
    assert done.left == []
    assert not path.exists()


def test_a_journal_is_locked_and_whole_from_the_first_moment(state: Path) -> None:
    script = "import os, signal\nfrom harness.runtime.journal import Journal\nJournal.create('x')\n" * 2
    script += "os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", script], cwd=Path(journal.__file__).parents[2], check=False)
    (state / "journals" / "half-made.new").touch()
    assert len(journal.owners()[1]) == 2
    assert len(journal.sweep()) == 2
    assert list((state / "journals").iterdir()) == []


def test_a_state_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NATS_HARNESS_STATE", str(tmp_path / "file"))
    with pytest.raises(Missing, match="NATS_HARNESS_STATE"):
        Journal.create("x")
