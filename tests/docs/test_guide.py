"""The guide, and the page of one's own stack as far as its services are there, are gone through as a reader would."""

from __future__ import annotations

import re

import pytest

from .pages import DOCS
from .reader import Reader, headings, steps

GUIDE, OWN = DOCS / "guide.md", DOCS / "your-own-stack.md"
OF_OWN = list(steps(OWN))[:2]
"""What comes after these needs services that only who reads it has."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(GUIDE, tmp_path_factory.mktemp("guide"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(OWN, tmp_path_factory.mktemp("own"))


@pytest.mark.timed
@pytest.mark.parametrize("step", steps(GUIDE))
def test_a_step_of_the_guide(step: str, reader: Reader) -> None:
    reader.goes_through(step)


@pytest.mark.timed
@pytest.mark.parametrize("step", OF_OWN)
def test_a_step_to_a_stack_of_ones_own(step: str, other: Reader) -> None:
    other.goes_through(step)


def test_the_guide_lists_its_steps_and_shows_what_comes_back() -> None:
    listed = re.findall(r"^(\d+\. )\[(.*)\]\(", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert [number + name for number, name in listed] == list(steps(GUIDE))
    assert [name for _, name in headings(GUIDE)][-1] == "From here"
    *typed, last = steps(GUIDE).items()
    assert [name for name, found in typed if not any(not block.tag for block in found)] == []
    assert last == ("11. In a pipeline", [])
