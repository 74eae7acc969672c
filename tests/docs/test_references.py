"""The references are as the code is: each part that is made from it, and the call of each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.faults import load_all

from . import references
from .pages import DOCS, section


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_is_as_the_code_is(page: Path) -> None:
    assert page.read_text("utf-8") == references.written(page), "run: python -m tests.docs.references"


def test_each_part_stands_in_one_page() -> None:
    assert {name: len(pages) for name, pages in references.places().items()} == dict.fromkeys(references.MADE, 1)


@pytest.mark.parametrize("kind", load_all())
def test_each_fault_has_a_section_with_its_call(kind: str) -> None:
    assert f"\n`{references.fault_call(kind)}`\n" in section(DOCS / "faults.md", kind)
