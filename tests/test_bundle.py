"""A run as one file: what comes out is what went in, and what is not exactly that is refused with its name."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import bundle
from harness.errors import UsageError
from harness.plan import Plan, write_plan

RUN = "20260101-000000-abcd"
LOG = "scenarios/calm-default/logs/broker-0.log"
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return bundle.make(_run(tmp_path_factory.mktemp("there")))


def _run(at: Path) -> Path:
    """A run's folder with a log and a page, and one scenario beside a module that it uses."""
    (at / "mine" / "deep").mkdir(parents=True)
    for name, text in {
        "test_mine.py": "import deep.words",
        "deep/words.py": "",
        "deep/mine.outage.toml": "",
        "notes.txt": "not mine",
        ".hidden/one.py": "",
        "environment/pyvenv.cfg": "",
        "environment/lib/one.py": "",
    }.items():
        (at / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (at / "mine" / name).write_text(text)
    folder = at / "reports" / RUN
    (folder / LOG).parent.mkdir(parents=True)
    (folder / LOG).write_text("a line\n" * 1000)
    (folder / "index.html").write_text("<p>as expected")
    (folder / "link").symlink_to("/etc/passwd")
    write_plan(folder, Plan(RUN, "bare", "bare", "processes", 1, None, str(at / "mine"), {}))
    return folder


def _inside(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _again(packed: bundle.Bundle, at: Path, change: Callable[[Files], object]) -> Path:
    """The bundle with its files changed, its list as it was or as the change leaves it."""
    with zipfile.ZipFile(packed.path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(at / "changed.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return at / "changed.zip"


def _refused(path: Path, at: Path) -> str:
    """Why it is not opened; nothing of it lies there then."""
    with pytest.raises(UsageError) as refused:
        bundle.open_(path, at / "reports")
    assert not _inside(at / "reports")
    assert not list(at.glob("reports/.*"))
    return str(refused.value)


def test_what_comes_out_is_what_went_in(packed: bundle.Bundle, tmp_path: Path) -> None:
    opened = bundle.open_(packed.path, tmp_path)
    assert (opened.path, opened.digest) == (tmp_path / RUN, packed.digest)
    there, here = _inside(packed.path.parent / RUN), _inside(opened.path)
    del there["link"]  # it leads out of the run
    assert here.pop(bundle.LIST)
    scenarios = {name: here.pop(name) for name in [*here] if name.startswith(f"{bundle.SCENARIOS}/")}
    assert here == there
    assert scenarios == {
        "judged/test_mine.py": b"import deep.words",
        "judged/deep/words.py": b"",
        "judged/deep/mine.outage.toml": b"",
    }
    assert bundle.open_(packed.path, tmp_path) == opened, "a second time it is there already"
    assert bundle.make(opened.path, tmp_path / "b.zip").digest == packed.digest, "packed again, the same"


def test_a_run_of_that_name_is_never_written_over(packed: bundle.Bundle, tmp_path: Path) -> None:
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "index.html").write_text("mine")
    with pytest.raises(UsageError, match=f"another run is called {RUN} here"):
        bundle.open_(packed.path, tmp_path)
    assert _inside(tmp_path) == {f"{RUN}/index.html": b"mine"}


def test_beside_the_run_itself_it_is_that_run(packed: bundle.Bundle, tmp_path: Path) -> None:
    shutil.copytree(packed.path.parent / RUN, tmp_path / RUN, symlinks=True)
    (tmp_path / RUN / "index.html").write_text("<p>judged again")
    assert bundle.open_(packed.path, tmp_path) == bundle.Bundle(tmp_path / RUN, packed.digest)
    assert (tmp_path / RUN / "index.html").read_text() == "<p>judged again"
    (tmp_path / RUN / bundle.PLAN).write_text("{}")
    with pytest.raises(UsageError, match=f"another run is called {RUN} here"):
        bundle.open_(packed.path, tmp_path)


def test_a_run_that_could_not_be_opened_is_not_packed(tmp_path: Path) -> None:
    folder = _run(tmp_path)
    folder = folder.rename(folder.with_name("night"))
    with pytest.raises(UsageError, match=r"a run called 'night' cannot be opened.*\n  fix: rename its folder"):
        bundle.make(folder)
    assert not list(folder.parent.glob("*.zip"))


def _listed(files: Files, name: str, content: bytes = b"x") -> None:
    """Puts a file into the bundle and into its list, as whoever wants to deceive would."""
    told = json.loads(files[bundle.LIST])
    told["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files[bundle.LIST] = json.dumps(told).encode()
    files[name] = content


def _told(files: Files, word: str, value: object) -> None:
    files[bundle.LIST] = json.dumps({**json.loads(files[bundle.LIST]), word: value}).encode()


def _sized(files: Files, kind: Callable[[int], object]) -> None:
    told = json.loads(files[bundle.LIST])["files"]
    _told(files, "files", {name: {**one, "bytes": kind(one["bytes"])} for name, one in told.items()})


def _emptied(files: Files) -> None:
    _told(files, "files", {})
    for name in [*files][1:]:
        del files[name]


def _called(name: str) -> Callable[[Files], None]:
    return lambda files: _listed(files, name)


def _named(run: str) -> Callable[[Files], None]:
    return lambda files: _told(files, "run", run)


CHANGES: dict[str, tuple[Callable[[Files], object], str]] = {
    "another line": (lambda f: f.update({LOG: f[LOG].replace(b"a", b"b")}), f"'{LOG}' is not what it was"),
    "a longer one": (lambda f: f.update({LOG: f[LOG] + b"b"}), f"'{LOG}' is not what it was"),
    "a file less": (lambda f: f.pop(LOG), f"'{LOG}' is missing"),
    "a file more": (lambda f: f.update({"more": b""}), "'more' is not in its list once"),
    "no plan": (_emptied, "'plan.json' is no plan of a run"),
    "a plan that is none": (lambda f: _listed(f, "plan.json", b'{"schema": 1}'), "'plan.json' is no plan of a run"),
    "no list": (lambda f: f.pop(bundle.LIST), "it does not begin with bundle.json"),
    "a list that is none": (lambda f: f.update({bundle.LIST: b"[]"}), "bundle.json is no list"),
    "a list that is no JSON": (lambda f: f.update({bundle.LIST: b"{"}), "bundle.json is no list"),
    "sizes that are none": (lambda f: _sized(f, float), "bundle.json is no list"),
    "sizes in words": (lambda f: _sized(f, str), "bundle.json is no list"),
    "no checksum": (lambda f: _told(f, "files", {LOG: {"bytes": 1}}), "bundle.json is no list"),
    "another schema": (lambda f: _told(f, "schema", 2), "it has schema 2, this harness reads 1"),
    "a run elsewhere": (lambda f: _told(f, "run", "../run"), "its run is called '../run'"),
    "a run of no name": (lambda f: _told(f, "run", ""), "its run is called ''"),
    **{
        f"a run called {name!r}": (_named(name), f"its run is called {name!r}")
        for name in ("baseline", "latest", "Night", "trend.sqlite", "nightly.json", ".latest-x", "x.bundle.zip")
    },
    **{
        f"a file called {name!r}": (_called(name), f"{name!r} is no file of a run")
        for name in ("../out", "a/../../out", "/etc/out", "a//b", "a/./b", "a\\b", "C:out", "a\nb", "\x1b[31m", "a/")
    },
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_what_was_tampered_with_is_refused_by_name(
    packed: bundle.Bundle, tmp_path: Path, change: Callable[[Files], object], told: str
) -> None:
    assert told in _refused(_again(packed, tmp_path, change), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"changed.zip", "reports"}


def test_a_link_is_no_file(packed: bundle.Bundle, tmp_path: Path) -> None:
    path = _again(packed, tmp_path, lambda files: _listed(files, "link", b"/etc/passwd"))
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name != "link"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(info, b"/etc/passwd")
    assert "'link' is no file of a run" in _refused(path, tmp_path)


def test_a_file_that_is_there_twice_is_refused(packed: bundle.Bundle, tmp_path: Path) -> None:
    path = _again(packed, tmp_path, lambda _: None)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(LOG, b"another")
    assert f"'{LOG}' is not in its list once" in _refused(path, tmp_path)


def test_what_is_larger_than_it_says_is_not_unpacked(packed: bundle.Bundle, tmp_path: Path) -> None:
    """An archive bomb: a file of 64 MB that both the list and the archive call one of 10 bytes."""
    zeros = b"\0" * 64_000_000
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(packed.path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    _listed(files, "bomb", zeros[:10])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, zeros if name == "bomb" else content)
    path.write_bytes(path.read_bytes().replace(len(zeros).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert "bomb" in _refused(path, tmp_path)


def test_a_bomb_that_is_listed_as_it_is_is_not_unpacked(packed: bundle.Bundle, tmp_path: Path) -> None:
    path, zeros = tmp_path / "bomb.zip", b"\0" * 70_000_000
    with zipfile.ZipFile(packed.path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    _listed(files, "bomb", zeros)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (files | {"bomb": zeros}).items():
            archive.writestr(name, content)
    assert "times as large: no run is" in _refused(path, tmp_path)


def test_what_the_disk_does_not_hold_is_not_begun(
    packed: bundle.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4000))
    assert "more than is free" in _refused(packed.path, tmp_path)


def test_room_is_needed_where_it_is_unpacked_and_nowhere_else(
    packed: bundle.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(path: Path) -> SimpleNamespace:
        path.stat()  # it is asked of what is there
        return SimpleNamespace(free=4000 if path.is_relative_to(tmp_path / "full") else 10**9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    (tmp_path / "full").mkdir()
    shutil.copyfile(packed.path, tmp_path / "full/x.zip")
    opened = bundle.open_(tmp_path / "full/x.zip", tmp_path / "empty/reports")
    assert opened.digest == packed.digest
    with pytest.raises(UsageError, match="more than is free"):
        bundle.open_(packed.path, tmp_path / "full/reports")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["x.zip"]


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"x{bundle.SUFFIX}").write_bytes(content)
    assert bundle.is_bundle(str(tmp_path / f"x{bundle.SUFFIX}"))
    assert "is not what `nats-harness bundle` made" in _refused(tmp_path / f"x{bundle.SUFFIX}", tmp_path)


@given(where=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_whatever_byte_is_changed_it_is_refused_or_the_same(
    packed: bundle.Bundle, tmp_path_factory: pytest.TempPathFactory, where: float, flipped: int
) -> None:
    """Some say nothing of the files, such as when each was packed."""
    at = tmp_path_factory.mktemp("flipped")
    content = bytearray(packed.path.read_bytes())
    content[int(where * len(content))] ^= flipped
    (at / "x.zip").write_bytes(content)
    try:
        opened = bundle.open_(at / "x.zip", at / "reports")
    except UsageError:
        assert not _inside(at / "reports")
    else:
        assert opened.digest == packed.digest
        assert _inside(opened.path) == _inside(bundle.open_(packed.path, at / "whole").path)
