"""What a page shows is compared to the word: each of these would be seen."""

from __future__ import annotations

import pytest

from .shown import differs

OUTPUT = """ok   kept[default]  holds  8.66 s

2 of 3 faults, 181 operations
lost: uf8sa46h-0-0
report: reports/20261129-120948-acc4/index.html
"""
OTHER = """ok   kept[default]     holds      1 min 15 s

2 of 3 faults, 1,088 operations
lost: 70kjc70d-1-12
report: reports/20250101-000000-ffff/index.html"""


@pytest.mark.parametrize(
    "shown",
    [
        OUTPUT,
        OTHER,
        "ok   kept[default]  ...\n...\nreport: ...",
        "...\n2 of 3 faults, 24 operations\n...",
    ],
)
def test_what_no_two_runs_share_may_be_another(shown: str) -> None:
    assert differs(shown, OUTPUT) == ""


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (OUTPUT.replace("holds", "violated"), "did not come back"),
        (OUTPUT.replace("2 of 3", "3 of 3"), "did not come back"),
        (OUTPUT.replace("report: ", "page: "), "did not come back"),
        (OUTPUT + "one more", "nothing more"),
        ("ok   kept[default]  ...\n...\n2 of 3 faults, 24 operations", "is not shown"),
        ("...\nreport: ...\n2 of 3 faults, 24 operations", "did not come back"),
        ("", "is not shown"),
    ],
)
def test_anything_else_is_told(shown: str, told: str) -> None:
    assert told in differs(shown, OUTPUT)
