"""Is one small sample larger than another? An exact one-sided test of ranks, and how far the medians are apart."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np


def chance(now: Sequence[float], before: Sequence[float]) -> float:
    """How often `now` would rank as high or higher if all values were dealt at random: 1 / 252 at best for 5 and 5.

    This is the permutation test of the rank sum (Wilcoxon, Mann and Whitney), exact with ties too, which take their
    middle rank. It assumes no distribution. Raises ValueError where a sample is empty.
    """
    if not now or not before:
        raise ValueError("a sample is empty")
    ranks = _doubled_ranks([*now, *before])
    seen = sum(ranks[: len(now)])
    # ways[k, s]: in how many ways k of the values have the rank sum s.
    ways = np.zeros((len(now) + 1, sum(ranks) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    sums = ways[len(now)]
    return float(sums[seen:].sum() / sums.sum())


def shift(now: Sequence[float], before: Sequence[float]) -> float:
    """The median of `now` less that of `before`."""
    return median(now) - median(before)


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the middle rank of each value, so that ranks of ties are whole numbers."""
    order = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(order, start=1)))}
    last = {value: place for place, value in enumerate(order, start=1)}
    return [first[value] + last[value] for value in values]
