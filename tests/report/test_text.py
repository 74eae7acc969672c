from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report import text

ANY_TEXT = st.text(alphabet=st.characters())  # lone surrogates included


@given(ANY_TEXT)
def test_plain_leaves_nothing_that_moves_hides_or_recolours(given_text: str) -> None:
    shown = text.plain(given_text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")
    assert text.plain(shown) == shown


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_plain_keeps_ordinary_text_of_any_language(given_text: str) -> None:
    assert text.plain(given_text) == given_text


def test_plain_shows_what_it_escapes() -> None:
    assert text.plain("a\x1b[31mred\r\nb\u202egnp\ud800") == r"a\x1b[31mred\r\nb\u202egnp\ud800"


def test_plain_cuts_what_nobody_reads() -> None:
    assert text.plain("x" * 4100) == "x" * 4000 + "... (100 characters more)"


def test_plain_tree_reaches_keys_and_leaves_numbers() -> None:
    assert text.plain_tree({"a\n": ["\x07", 1, None, True, {"b": "\r"}]}) == {
        "a\\n": ["\\x07", 1, None, True, {"b": "\\r"}]
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (87, "87"),
        (1204.0, "1,204"),
        (12345.6, "12,346"),
        (1.2104, "1.21"),
        (0.0123, "0.0123"),
        (0.00001, "1.0e-05"),
        (99.96, "100"),
        (-3.5, "-3.5"),
        (float("inf"), "without end"),
        (float("nan"), "not a number"),
    ],
)
def test_number(value: float, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.4, "0.40 s"), (14.237, "14.2 s"), (59.99, "60.0 s"), (187.42, "3 min 07 s")]
)
def test_seconds(value: float, shown: str) -> None:
    assert text.seconds(value) == shown


def test_quantity() -> None:
    assert text.quantity(1.21, "s") == "1.21 s"
    assert text.quantity(3, "") == "3"
    assert text.quantity(0.0214, "share") == "2.14 %"
    assert text.quantity(0.07, "share") == "7 %"
    assert text.quantity(None, "s", missing="no value") == "no value"


def test_only_a_time_has_a_margin() -> None:
    assert text.of_bound(1.2, 5, "s") == "24 % of its bound"
    assert text.of_bound(8.2, 5, "s") == "164 % of its bound"
    assert text.of_bound(87, 5, "operations") == ""
    assert text.of_bound(None, 5, "s") == ""
    assert text.of_bound(1, None, "s") == text.of_bound(1, 0, "s") == ""
