"""What is read out of the probe's records."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.history import probes
from harness.history.reader import History
from harness.history.recorder import Recorder

LINK = ("web-0", "broker-0")
MS = 1_000_000


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Both ways answer in 1 and 3 ms; from 100 to 200 ms the way to is held, and arrives at 201; from answers on."""
    recorder = Recorder(tmp_path, name="probe", nonce="a1b2c3d4")

    def record(way: str, n: int, sent_ms: float, got_ms: float | None, fault: int = 1, **more: object) -> None:
        sent_ns, got_ns = int(sent_ms * MS), None if got_ms is None else int(got_ms * MS)
        recorder.line(
            "probe",
            t_ns=sent_ns,
            fault=fault,
            link=LINK,
            way=way,
            n=n,
            sent_ns=sent_ns,
            got_ns=got_ns,
            old=True,
            **more,
        )

    for n in range(30):
        sent = n * 10.0
        record("to", n, sent, 201 if 100 <= sent < 200 else sent + 1)
        record("from", n, sent, sent + 3)
        record("to", n, sent, None, fault=2, error="EOF")
        record("round", n, sent, sent + 5, fault=3)
    record("fresh", 0, 100, None, error="ECONNREFUSED")
    record("fresh", 1, 210, 212)
    recorder.close()
    return History.open(tmp_path)


def test_what_arrived_too_late_was_not_seen(history: History) -> None:
    assert probes.seen(history, 1, LINK, "to", 100 * MS, 199 * MS) == (10, 0)
    assert probes.seen(history, 1, LINK, "from", 100 * MS, 199 * MS) == (10, 10)
    assert probes.seen(history, 1, LINK, "to", 0, 95 * MS) == (10, 10)
    assert probes.seen(history, 1, ("a", "b"), "to", 0, 95 * MS) == (0, 0)


def test_all_ways_at_once(history: History) -> None:
    assert probes.counts(history, 1, LINK, 100 * MS, 199 * MS) == {"to": (10, 0), "from": (10, 10), "fresh": (1, 0)}
    assert probes.counts(history, 9, LINK, 0, 300 * MS) == {}


def test_the_round_trip_is_both_ways(history: History) -> None:
    assert probes.median_rtt_ms(history, 1, LINK, 0, 95 * MS) == (4.0, 10)
    assert probes.median_rtt_ms(history, 3, LINK, 0, 95 * MS) == (5.0, 10)
    assert probes.median_rtt_ms(history, 2, LINK, 0, 95 * MS) == (0.0, 0)


def test_first_silence_and_first_answer(history: History) -> None:
    assert probes.first_silent(history, 1, LINK, "to", 50 * MS, 200 * MS) == 100 * MS
    assert probes.first_silent(history, 1, LINK, "from", 50 * MS, 195 * MS) is None
    assert probes.first_answer_after(history, 1, LINK, 200 * MS, "to") == 201 * MS
    assert probes.first_answer_after(history, 1, LINK, 200 * MS, "fresh") == 212 * MS
    assert probes.first_answer_after(history, 1, LINK, 400 * MS) is None


def test_why_nothing_came(history: History) -> None:
    assert probes.errors(history, 1, LINK, "fresh", 0, 300 * MS) == {"ECONNREFUSED": 1}
    assert probes.errors(history, 2, LINK, "to", 0, 95 * MS) == {"EOF": 10}
