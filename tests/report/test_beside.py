"""What stands beside the page, and what of a night counts."""

from __future__ import annotations

from pathlib import Path

from harness.report import beside, counting

from . import verdicts
from .test_junit import red
from .verdicts import JSON, calm, finding, run, scenario

NOISY = scenario("crash", findings=[finding("reconnects.works", "inconclusive", reason="noise: late")])


def busy(**given: str) -> JSON:
    """A run in which noise kept one scenario from being judged."""
    return run([calm(), NOISY], **given)


def nightly(*, again: int | None = 0, unproven: tuple[str, ...] = ()) -> JSON:
    one: JSON = {"run": "one", "system": "telhawk", "exit": 2}
    if again is not None:
        one["again"] = {"run": "two", "scenarios": ["crash[hardened]"], "exit": again}
    return {"runs": [one], "unproven": list(unproven), "exit": 0}


def written(folder: Path, night_: JSON, *runs: JSON) -> tuple[int, int]:
    beside.write_night(folder, night_, runs)
    return red((folder / "junit.xml").read_text("utf-8"))


def test_a_run_has_three_files_and_no_half_ones(tmp_path: Path) -> None:
    beside.write(tmp_path, verdicts.red())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "metrics.txt", "summary.md"]
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    beside.write(tmp_path, verdicts.red())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_was_asked_again_counts(tmp_path: Path) -> None:
    first = busy(run="one")
    good = run([scenario("crash")], run="two")
    assert written(tmp_path, nightly(), first, good) == (0, 0)
    assert written(tmp_path, nightly(again=2), first, run([NOISY], run="two")) == (0, 1)
    assert written(tmp_path, nightly(again=None), first) == (0, 1)
    names = (tmp_path / "junit.xml").read_text("utf-8")
    assert names.count('name="crash[hardened] reconnects"') == 1


def test_the_first_run_without_it_is_as_expected() -> None:
    one, two = counting.counted(nightly(), [busy(run="one"), run([scenario("crash")], run="two")])
    assert ([found["id"] for found in one["scenarios"]], one["exit"]) == (["calm[hardened]"], 0)
    assert one["reasons"] == ["asked again, alone: crash[hardened]"]
    assert two["run"] == "two"
    only = run([NOISY], run="one")
    assert [one["run"] for one in counting.counted(nightly(), [only, run([scenario("crash")], run="two")])] == ["two"]


def test_what_is_in_no_verdict_is_red_too(tmp_path: Path) -> None:
    good = run([calm()], run="one")
    assert written(tmp_path, nightly(again=None, unproven=("a | fault never had evidence",)), good) == (0, 1)
    assert written(tmp_path, nightly(again=None)) == (0, 1)
    assert "a run of telhawk left no verdict (exit 2)" in (tmp_path / "junit.xml").read_text("utf-8")
    assert "| `telhawk` | `one` | inconclusive (exit 2) |" in (tmp_path / "summary.md").read_text("utf-8")
    assert written(tmp_path, nightly(again=2), busy(run="one")) == (0, 2)
    interrupted = {"runs": [{"run": "one", "system": "telhawk", "exit": 130}], "exit": 1}
    assert written(tmp_path, interrupted, good) == (0, 1)
    assert "the run one of telhawk was interrupted (exit 130)" in (tmp_path / "junit.xml").read_text("utf-8")
