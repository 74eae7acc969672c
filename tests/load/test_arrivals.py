from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.arrivals import Arrivals

rates = st.floats(0.1, 100_000)
starts = st.integers(0, 10**18)


def test_arrivals_are_evenly_spaced_from_the_start_on() -> None:
    arrivals = Arrivals(4, 1_000)
    assert [arrivals.at_ns(k) for k in range(4)] == [1_000, 250_001_000, 500_001_000, 750_001_000]


def test_what_is_late_keeps_the_time_at_which_it_was_meant_to_be() -> None:
    arrivals = Arrivals(10, 0)
    late = 350_000_000
    assert [arrivals.take(late) for _ in range(5)] == [0, 100_000_000, 200_000_000, 300_000_000, None]
    assert arrivals.next_ns == 400_000_000


@given(rates, starts, st.integers(0, 10**10))
def test_as_many_were_intended_as_would_have_been_taken(rate: float, start_ns: int, passed_ns: int) -> None:
    until_ns = start_ns + min(passed_ns, int(200e9 / rate))  # a few hundred arrivals will do
    taken = Arrivals(rate, start_ns)
    while taken.take(until_ns - 1) is not None:
        pass
    assert Arrivals(rate, start_ns).intended(until_ns) == taken.taken


@given(rates, starts, st.integers(0, 10_000))
def test_times_never_go_back(rate: float, start_ns: int, k: int) -> None:
    arrivals = Arrivals(rate, start_ns)
    assert arrivals.at_ns(k) <= arrivals.at_ns(k + 1)


def test_nothing_was_intended_before_the_start() -> None:
    assert Arrivals(5, 100).intended(100) == 0
    assert Arrivals(5, 100).intended(0) == 0


@pytest.mark.parametrize("rate", [0, -1, 2e9, float("nan")])
def test_a_rate_must_make_sense(rate: float) -> None:
    with pytest.raises(ValueError, match="a rate is above 0"):
        Arrivals(rate, 0)


@given(rates, starts, st.integers(1, 500))
def test_a_burst_ends_by_itself(rate: float, start_ns: int, wanted: int) -> None:
    until_ns = Arrivals(rate, start_ns).at_ns(wanted)
    burst = Arrivals(rate, start_ns, until_ns=until_ns)
    taken = []
    while not burst.over:
        taken.append(burst.take(until_ns))
    assert taken == [Arrivals(rate, start_ns).at_ns(k) for k in range(burst.intended(until_ns + 10**9))]
    assert burst.take(until_ns + 10**9) is None


@given(rates, starts, st.integers(1, 5), st.integers(0, 10**10))
def test_processes_that_share_a_pace_offer_exactly_what_one_would(
    rate: float, start_ns: int, parts: int, passed_ns: int
) -> None:
    until_ns = start_ns + min(passed_ns, int(50e9 / rate))
    whole = Arrivals(rate, start_ns)
    shared = [Arrivals(rate, start_ns, part, parts) for part in range(parts)]
    count = whole.intended(until_ns)
    assert sum(one.intended(until_ns) for one in shared) == count
    taken = sorted(one.at_ns(k) for one in shared for k in range(one.intended(until_ns)))
    assert taken == [whole.at_ns(k) for k in range(count)]


@pytest.mark.parametrize("part", [-1, 2])
def test_a_part_is_one_of_its_parts(part: int) -> None:
    with pytest.raises(ValueError, match="is none of 2"):
        Arrivals(1, 0, part, 2)
