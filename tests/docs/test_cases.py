"""docs/cases.md is the table of tests/cases, and each case has its two tests."""

from __future__ import annotations

from tests.cases.case import CASES, SYSTEMS

from .pages import DOCS, ROOT, rows


def test_the_table_is_that_of_the_tests() -> None:
    told = rows((DOCS / "cases.md").read_text("utf-8"))
    assert {name: [cells[0], *cells[2:6]] for name, cells in told.items()} == {
        name: [case.source, f"`{case.system}`", f"`{case.clause}`", case.reported, case.control]
        for name, case in CASES.items()
    }


def test_each_case_is_run_both_ways() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests/cases").glob("test_*.py"))
    for name in CASES:
        assert f'CASES["{name}"].as_reported(' in tests
        assert f'CASES["{name}"].as_control(' in tests
    assert {path.name for path in SYSTEMS.glob("*.toml")} == {case.system for case in CASES.values()}
