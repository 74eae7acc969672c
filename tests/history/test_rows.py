from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history import rows
from harness.history._rowform import row_dtype, sight_dtype
from harness.history.lines import fault_spans, gap_spans
from harness.history.rows import OpId, Step, find_markers, marker, new_nonce


def test_the_slots_are_of_the_sizes_that_keep_them_in_one_page() -> None:
    assert (rows.HEADER.size, rows.ROW.size, rows.SIGHT.size) == (64, 64, 32)
    assert struct.calcsize("<qqq") == rows.ROW_END_AT + 8
    assert rows.ROW_BEGUN.size == rows.ROW.size
    assert rows.ROW_BEGUN.pack(1, 2, 3, 4, 5, 6) == rows.ROW.pack(1, 2, 0, 0, 0, 3, 4, 0, 0, 5, 0, 0, 0, 6)
    assert (
        rows.ROW_END.pack(3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
        == rows.ROW.pack(0, 0, 3, 4, 5, 6, 7, 8, 9, 10, 0, 11, 0, 12)[rows.ROW_END_AT :]
    )
    assert rows.ROW_END.size == rows.ROW.size - rows.ROW_END_AT
    assert (row_dtype().itemsize, sight_dtype().itemsize) == (rows.ROW.size, rows.SIGHT.size)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_marker_is_found_again_wherever_it_stands(writer: int, n: int) -> None:
    nonce, op = new_nonce(), OpId(writer, n)
    assert find_markers(nonce, f'{{"note": "marker:{marker(nonce, op)}"}}') == ([op], [])
    assert find_markers(nonce, f"x_{marker(nonce, op)}, {marker(nonce, op)}") == ([op], [])


@pytest.mark.parametrize(
    ("text", "ours", "foreign"),
    [
        ("", [], []),
        ("a1b2c3d4-0-1 a1b2c3d4-1-0", [(0, 1), (1, 0)], []),
        ("a1b2c3d5-0-1", [], ["a1b2c3d5-0-1"]),
        ("note a1b2c3d5-0-1 and a1b2c3d4-0-2", [(0, 2)], ["a1b2c3d5-0-1"]),
        ("20251125-15-12", [], []),
        ("4b2f0a11-9d3c-4123-8123-123456789012 550e8400-1234-4123-8123-426614174000", [], []),
        ("a1b2c3d4-0", [], []),
        ("a1b2c3d4-0-" + "9" * 5000, [(0, int("9" * 20))], []),
    ],
)
def test_markers_of_this_run_and_of_others_are_told_apart(
    text: str, ours: list[tuple[int, int]], foreign: list[str]
) -> None:
    found = find_markers("a1b2c3d4", text)
    assert (found.ours, found.foreign) == (ours, foreign)


def test_every_nonce_could_be_recognised_as_foreign() -> None:
    assert all(find_markers("a1b2c3d4", f"{new_nonce()}-0-1").foreign for _ in range(200))


def test_a_step_as_text_is_its_word() -> None:
    assert [str(step) for step in (Step.DEAD_LETTER, Step.PENDING)] == ["dead_letter", "pending"]


def fault(event: str, t_ns: int, **fields: object) -> dict[str, object]:
    return {"kind": "fault", "id": 3, "fault": "silent", "target": "broker", "event": event, "t_ns": t_ns, **fields}


def test_a_fault_is_effective_and_healed_when_its_last_link_was() -> None:
    web, search = ["web-0", "broker-0"], ["search-0", "broker-0"]
    (span,) = fault_spans(
        [
            fault("asked", 10, how="timeout", links=[web, search], nodes=[]),
            fault("effective", 12, link=web),
            fault("effective", 15, link=search),
            fault("healed", 30, link=search),
            fault("healed", 31, link=web),
            fault("evidence", 40, evidence={"lost": 4.0}, bit=True),
        ]
    )
    assert (span.id, span.kind, span.target, span.how) == (3, "silent", "broker", "timeout")
    assert (span.asked_ns, span.effective_ns, span.healed_ns, span.bit) == (10, 15, 31, True)
    assert span.links == (("web-0", "broker-0"), ("search-0", "broker-0"))
    assert span.link_times == {("web-0", "broker-0"): (12, 31), ("search-0", "broker-0"): (15, 30)}
    assert span.evidence == {"lost": 4.0}


def test_a_fault_of_a_node_lends_its_times_to_its_links() -> None:
    (span,) = fault_spans(
        [fault("asked", 10, links=[["web-0", "broker-0"]], nodes=["broker-0"]), fault("effective", 11)]
    )
    assert (span.effective_ns, span.healed_ns, span.bit, span.nodes) == (11, None, False, ("broker-0",))
    assert span.link_times == {("web-0", "broker-0"): (11, None)}


def test_a_gap_told_at_both_ends_is_one() -> None:
    told = [
        {"source": "effects", "from_ns": 5, "to_ns": None},
        {"source": "effects", "from_ns": 5, "to_ns": 9},
        {"source": "taps", "from_ns": 1, "to_ns": 2},
        {"source": "effects", "from_ns": 3, "to_ns": None},
    ]
    assert gap_spans(told, "effects") == [(3, 2**63 - 1), (5, 9)]
