from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.clock import Anchor, parse_time, take_anchor

WALL_NS = 1_764_083_520_123_456_789  # 2025-11-25T15:12:00.123456789Z


@pytest.mark.parametrize(
    ("value", "wall_ns"),
    [
        ("2025-11-25T15:12:00.123456789Z", WALL_NS),
        ("2025-11-25t16:12:00.123456789+01:00", WALL_NS),
        ("2025-11-25 10:12:00.123456789-0500", WALL_NS),
        ("2025-11-25T15:12:00.12345678912345Z", WALL_NS),
        ("2025-11-25T15:12:00Z", 1_764_083_520 * 10**9),
        ("1764083520", 1_764_083_520 * 10**9),
        (1_764_083_520, 1_764_083_520 * 10**9),
        (1_764_083_520.5, 1_764_083_520_500_000_000),
        ("1764083520.123456789", WALL_NS),
        (1_764_083_520_123, 1_764_083_520_123_000_000),
        (1_764_083_520_123_456, 1_764_083_520_123_456_000),
        (WALL_NS, WALL_NS),
        (1.7e18, 17 * 10**17),
        (0, 0),
        (-1, -(10**9)),
    ],
)
def test_times_are_read_to_the_nanosecond(value: str | int | float, wall_ns: int) -> None:
    assert parse_time(value) == wall_ns


@pytest.mark.parametrize(
    "value", ["", "soon", "2025-11-25T15:12:00", "2025-13-25T15:12:00Z", "15:12:00Z", True, float("nan"), float("inf")]
)
def test_what_could_mean_any_hour_is_refused(value: str | float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_time(value)


@given(st.datetimes(datetime(1974, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_every_rfc3339_time_is_read_as_datetime_reads_it(moment: datetime) -> None:
    expected = int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
    assert parse_time(moment.isoformat()) == expected


def test_an_anchor_converts_wall_times_and_tells_a_step() -> None:
    anchor = take_anchor()
    assert abs(anchor.t_of_wall(time.time_ns()) - time.monotonic_ns()) < 50_000_000
    assert not anchor.stepped(Anchor(anchor.t_ns + 10**9, anchor.wall_ns + 10**9 + 4_000_000))
    assert anchor.stepped(Anchor(anchor.t_ns + 10**9, anchor.wall_ns + 10**9 - 6_000_000))
