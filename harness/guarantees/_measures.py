"""What is measured of millions of moments in a few kilobytes: quantiles, and the longest silence. Times are ns."""

from __future__ import annotations

import numpy as np

from harness.history._columns import Array

_PARTS_BITS = 6
_EXPONENTS = 58
_BIN_NS = 10_000_000


class Quantiles:
    """Durations counted in buckets that are 1.6 % wide at most; below 128 ns they are exact.

    A quantile is its bucket's upper end, so that none is told shorter than it was.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((_EXPONENTS + 1) << _PARTS_BITS, np.int64)

    def add(self, durations: Array) -> None:
        """Counts these."""
        whole = np.maximum(durations, 0)
        _, length = np.frexp(whole.astype(np.float64))  # of a whole number: how many bits it has
        exponent = np.maximum(length.astype(np.int64) - _PARTS_BITS - 1, 0)
        self._counts += np.bincount((exponent << _PARTS_BITS) + (whole >> exponent), minlength=len(self._counts))

    def of(self, share: float) -> int:
        """The shortest duration that at least this share were not above; 0 of none."""
        counted = np.cumsum(self._counts)
        if not counted[-1]:
            return 0
        bucket = int(np.searchsorted(counted, max(1, int(np.ceil(share * counted[-1])))))
        exponent = max((bucket >> _PARTS_BITS) - 1, 0)
        return ((bucket - (exponent << _PARTS_BITS) + 1) << exponent) - 1


class Silence:
    """The longest time without any of some moments between two edges, which count as moments.

    Kept are the first and the last moment of each 10 ms, so that a silence shorter than that may be told shorter yet.
    """

    def __init__(self, from_ns: int, to_ns: int) -> None:
        self._from_ns, self._to_ns = from_ns, max(from_ns, to_ns)
        bins = (self._to_ns - from_ns) // _BIN_NS + 1
        self._first = np.full(bins, np.iinfo(np.int64).max)
        self._last = np.full(bins, -1, np.int64)

    def add(self, moments: Array) -> None:
        """Takes these into account, those beyond the edges left out."""
        inside = moments[(moments >= self._from_ns) & (moments <= self._to_ns)]
        bins = (inside - self._from_ns) // _BIN_NS
        np.minimum.at(self._first, bins, inside)
        np.maximum.at(self._last, bins, inside)

    def longest(self) -> tuple[int, int]:
        """From when until when nothing was heard; the first such time of several."""
        heard = self._last >= 0
        begins = np.concatenate([[self._from_ns], self._last[heard]])
        ends = np.concatenate([self._first[heard], [self._to_ns]])
        longest = int(np.argmax(ends - begins))
        return int(begins[longest]), int(ends[longest])
