"""The test of ranks against its definition: every way to deal the values, counted one by one."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gate import rank

SAMPLE = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=5)


def dealt(now: list[float], before: list[float]) -> float:
    """The share of all ways to choose len(now) of the values that rank as high or higher, by pairs won."""
    values = [*now, *before]

    def won(chosen: tuple[int, ...]) -> float:
        rest = [values[at] for at in range(len(values)) if at not in chosen]
        return sum((values[at] > other) + (values[at] == other) / 2 for at in chosen for other in rest)

    seen = won(tuple(range(len(now))))
    ways = list(combinations(range(len(values)), len(now)))
    return sum(won(way) >= seen for way in ways) / len(ways)


@given(SAMPLE, SAMPLE)
def test_it_is_the_share_of_all_ways_to_deal(now: list[float], before: list[float]) -> None:
    assert rank.chance(now, before) == pytest.approx(dealt(now, before))


def test_known_values() -> None:
    """Mann and Whitney's table: U = 0 of 5 and 5 is 1 / 252, of 3 and 3 it is 1 / 20."""
    assert rank.chance([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == pytest.approx(1 / 252)
    assert rank.chance([4, 5, 6], [1, 2, 3]) == pytest.approx(1 / 20)
    assert rank.chance([1, 2, 3], [4, 5, 6]) == 1
    assert rank.chance([1, 1], [1, 1]) == 1


@given(st.lists(st.integers(0, 20), min_size=2, max_size=10, unique=True), st.integers(1, 9), st.integers(0, 20))
def test_a_larger_value_is_never_less_sure(values: list[int], split: int, more: int) -> None:
    """Without ties: where two become one, or one two, the ways to deal them change as well."""
    now, before = values[: split % len(values)] or values[:1], values[split % len(values) or 1 :]
    larger = [now[0] + more + 0.5, *now[1:]]
    assert rank.chance(larger, before) <= rank.chance(now, before) + 1e-12
    assert rank.shift(larger, before) >= rank.shift(now, before)


@given(SAMPLE, SAMPLE, st.floats(0.001, 1000))
def test_a_unit_changes_nothing(now: list[float], before: list[float], scale: float) -> None:
    scaled = rank.chance([value * scale for value in now], [value * scale for value in before])
    assert scaled == pytest.approx(rank.chance(now, before))


def test_thirty_and_thirty_are_no_matter() -> None:
    assert rank.chance(range(30, 60), range(30)) == pytest.approx(1 / comb(60, 30))


def test_an_empty_sample_says_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        rank.chance([], [1.0])
