"""The edges of observable: what an event is, whose it is, and what it takes to have told of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.history.rows import Outcome
from harness.verdict import Doubt, Finding, Verdict

from .observing import (
    BACK,
    LOST,
    METRICS,
    OUTPUT,
    POISONED,
    POISONS,
    READ,
    badly,
    changes,
    cut,
    ended,
    failed,
    poison,
    say,
    scrape,
    well,
)
from .synthetic import END, ENTRY, ENTRY_LINK, HEALED, HIT, HOLDS, INCONCLUSIVE, VIOLATED, WORKER, Story, story

LOGGED, COUNTED, HANDLER = ("observable.logged", "observable.counted", "observable.handler")
FIRST, SECOND, THIRD = "127.0.0.1:50001", "127.0.0.1:50002", "127.0.0.1:50003"
LATEST_MS, EARLIEST_MS, COUNTED_MS = 2_000, 500, 3_000


def judged(tell: Callable[[Story], None], **changed: Any) -> dict[str, Finding]:
    with story(**changes(**changed)) as told:
        tell(told)
        return told.judged()


def entry_alone(tell: Callable[[Story], None]) -> dict[str, Finding]:
    """The entry is cut off and comes back; what it told is the story's."""

    def whole(told: Story) -> None:
        cut(told, ENTRY_LINK)
        scrape(told, ENTRY, 100)
        tell(told)
        ended(told)

    return judged(whole)


def good_return(told: Story) -> None:
    say(told, ENTRY, BACK + 20, "info", "back")
    scrape(told, ENTRY, BACK + 300, lost=1.0, returned=1.0)


# ---- what each clause says ------------------------------------------------------------------------------------------


def test_all_is_told() -> None:
    found = judged(well)
    assert {name: (found[name].verdict, found[name].measured, found[name].counted) for name in (LOGGED, COUNTED)} == {
        LOGGED: (HOLDS, 0, 4),
        COUNTED: (HOLDS, 0, 4),
    }
    assert (found[HANDLER].verdict, found[HANDLER].counted) == (HOLDS, POISONS)


def test_nothing_is_told() -> None:
    found = judged(badly)
    assert [found[name].measured for name in (LOGGED, COUNTED, HANDLER)] == [4, 4, POISONS + 1]
    parts = found[LOGGED].reason.split("; ")
    assert parts[0].endswith(" lost its connection at +5.500 s: no line that says 'gone' in 2 s")
    assert parts[2].endswith(" was back at +8.300 s: no line that says 'back' in 2 s")
    assert found[COUNTED].reason.split("; ")[0].endswith(" lost its connection at +5.500 s: lost_total did not change")
    assert found[HANDLER].reason.endswith("; search-0 counted 0 of 3 messages that no handler takes")


@pytest.mark.parametrize(
    ("after", "verdict"),
    [(LATEST_MS, HOLDS), (LATEST_MS + 0.001, VIOLATED), (-EARLIEST_MS, HOLDS), (-EARLIEST_MS - 0.001, VIOLATED)],
)
def test_a_line_comes_within_two_seconds(after: float, verdict: Verdict) -> None:
    def tell(told: Story) -> None:
        say(told, ENTRY, LOST + after, "warning", "gone")
        good_return(told)

    assert entry_alone(tell)[LOGGED].verdict is verdict


@pytest.mark.parametrize(("off", "verdict"), [(2_000, HOLDS), (2_001, VIOLATED), (-2_000, HOLDS), (-2_001, VIOLATED)])
@pytest.mark.parametrize("stepped", [False, True])
def test_its_own_time_is_about_ours_unless_the_clock_was_set(off: float, verdict: Verdict, stepped: bool) -> None:
    def tell(told: Story) -> None:
        say(told, ENTRY, LOST, "warning", "gone", own=LOST + off)
        good_return(told)
        if stepped:
            told.trouble(Doubt.CLOCK_STEPPED)

    assert entry_alone(tell)[LOGGED].verdict is (HOLDS if stepped else verdict)


@pytest.mark.parametrize(
    ("lost", "returned", "untold"),
    [
        ("WARN", "INFO", 0),
        ("error", "notice", 0),
        ("FATAL", "info", 0),
        ("info", "info", 1),
        ("warn", "warn", 1),
        ("warning", "debug", 1),
        ("loud", "", 2),
        ("WARN+1", "INFO+2", 0),
    ],
)
def test_levels(lost: str, returned: str, untold: int) -> None:
    def tell(told: Story) -> None:
        say(told, ENTRY, LOST, lost, "Gone")
        say(told, ENTRY, BACK, returned, "BACK")

    finding = entry_alone(tell)[LOGGED]
    assert (finding.measured, finding.verdict) == (untold, VIOLATED if untold else HOLDS)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("gone: connection reset", "the line 'gone: connection reset' is no JSON"),
        ('["gone"]', "is no JSON"),
        (json.dumps({"msg": "gone", "level": "warning"}), "has no time of its own in 'ts'"),
        (json.dumps({"msg": "gone", "level": "warning", "ts": "1970-01-01 00:16:45"}), "has no time of its own"),
        (json.dumps({"msg": "gone", "level": "warning", "ts": None}), "has no time of its own"),
        (json.dumps({"msg": "gone", "level": "warning", "ts": 1005.5}), ""),
        (json.dumps({"msg": "gone", "level": {}, "ts": 1005.5}), "has level '{}', not warning or more"),
        (json.dumps({"msg": "lost", "level": "warning", "ts": 1005.5}), "no line that says 'gone'"),
    ],
)
def test_what_a_line_lacks(text: str, lacks: str) -> None:
    def tell(told: Story) -> None:
        told.line("output", LOST, node=ENTRY, text=text)
        good_return(told)

    finding = entry_alone(tell)[LOGGED]
    assert (finding.verdict is VIOLATED) is bool(lacks)
    assert lacks in finding.reason


def test_logfmt() -> None:
    def whole(told: Story) -> None:
        cut(told, ENTRY_LINK)
        for at, level, text in ((LOST, "WARN", 'msg="the \\"broker\\" is gone"'), (BACK, "INFO", "msg=back")):
            seconds = f"{(1_000_000 + at) % 60_000 / 1e3:06.3f}"
            told.line("output", at, node=ENTRY, text=f"time=1970-01-01T00:16:{seconds}Z level={level} {text}")
        ended(told)

    output = {**OUTPUT, "format": "logfmt", "time": "time"}
    found = judged(whole, observed={ENTRY: {"output": output, "metrics": {}}})
    assert found[LOGGED].verdict is HOLDS, found[LOGGED].reason


# ---- counting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "verdict"), [(COUNTED_MS + 1, HOLDS), (COUNTED_MS + 1.001, VIOLATED)])
def test_it_is_counted_by_the_scrapes_after_it(after: float, verdict: Verdict) -> None:
    """A scrape takes a millisecond here, and it is when it was asked that counts."""

    def whole(told: Story) -> None:
        told.load(0, END)
        told.fault(HIT, HEALED, "kill")
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=LOST)
        scrape(told, ENTRY, 100)
        scrape(told, ENTRY, LOST + after, lost=1.0)
        ended(told)

    assert judged(whole)[COUNTED].verdict is verdict


def test_a_metric_that_comes_with_its_first_event_has_changed() -> None:
    def tell(told: Story) -> None:
        scrape(told, ENTRY, 200, lost=None, returned=None)
        scrape(told, ENTRY, LOST + 300, lost=1.0, returned=None)
        scrape(told, ENTRY, BACK + 300, lost=1.0, returned=1.0)

    assert entry_alone(tell)[COUNTED].verdict is HOLDS


def test_a_scrape_that_fails_though_it_should_not_violates() -> None:
    def tell(told: Story) -> None:
        well_counted(told)
        failed(told, ENTRY, 12_000)
        failed(told, ENTRY, 12_500, "Connection refused")

    finding = entry_alone(tell)[COUNTED]
    assert (finding.verdict, finding.measured) == (VIOLATED, 1)
    assert finding.reason == "web-0 failed 2 scrapes, first at +11.999 s: status 404"


def well_counted(told: Story) -> None:
    scrape(told, ENTRY, LOST + 300, lost=1.0)
    scrape(told, ENTRY, BACK + 300, lost=1.0, returned=1.0)


@pytest.mark.parametrize(
    ("event", "at"),
    [("started", 11_000), ("paused", 11_000), ("resumed", 11_000), ("stopping", 11_900), ("exited", 12_100)],
)
def test_who_is_not_there_answers_no_scraper(event: str, at: float) -> None:
    def tell(told: Story) -> None:
        well_counted(told)
        told.line("node", at, node=ENTRY, event=event, expected=True)
        failed(told, ENTRY, 12_000)

    assert entry_alone(tell)[COUNTED].verdict is HOLDS


def test_what_nobody_scraped_is_a_gap() -> None:
    def whole(told: Story) -> None:
        cut(told, ENTRY_LINK)
        ended(told)

    finding = judged(whole)[COUNTED]
    assert finding.verdict is INCONCLUSIVE
    assert finding.reason == "gap: its metrics were not being read at 2 events"


def test_what_the_file_does_not_name_is_not_counted() -> None:
    def tell(told: Story) -> None:
        cut(told, ENTRY_LINK)
        scrape(told, ENTRY, 100)
        scrape(told, ENTRY, LOST + 300, lost=1.0)
        ended(told)

    found = judged(tell, observed={ENTRY: {"output": None, "metrics": {"lost": METRICS["lost"]}}})
    assert (found[COUNTED].verdict, found[COUNTED].counted) == (HOLDS, 1)
    assert found[LOGGED].verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("clause", "source"), [(LOGGED, "log lines"), (COUNTED, "metrics"), (HANDLER, "handler failures")]
)
def test_a_file_without_the_source_is_told_the_line_to_add(clause: str, source: str) -> None:
    from harness.guarantees import judge
    from harness.run.meta import SOURCES

    with story(**changes(sources=sorted(SOURCES.keys() - {source}))) as told:
        well(told)
        findings, not_judged = judge(told.ended())
    assert clause not in {finding.clause for finding in findings}
    assert not_judged[clause] == SOURCES[source]


# ---- handlers -------------------------------------------------------------------------------------------------------


def poisoned(lines: int, counted: float, *, text: str = "cannot") -> Finding:
    def tell(told: Story) -> None:
        told.load(0, END)
        ops = poison(told)
        scrape(told, WORKER, 100)
        for n in range(lines):
            marker = told.marker(ops[0])
            say(told, WORKER, POISONED + 50 + n, "error", text.replace("OP", marker))
        scrape(told, WORKER, POISONED + 400, failures=counted)
        ended(told)

    return judged(tell)[HANDLER]


@pytest.mark.parametrize(("lines", "counted", "untold"), [(3, 3, 0), (9, 9, 0), (2, 3, 1), (3, 2, 1), (0, 0, 4)])
def test_each_message_has_a_line_of_its_own_and_counts(lines: int, counted: float, untold: int) -> None:
    finding = poisoned(lines, counted)
    assert (finding.measured, finding.counted) == (untold, POISONS), finding.reason


def test_a_line_that_names_a_message_tells_of_no_other() -> None:
    finding = poisoned(3, 3, text="cannot take OP")
    assert (finding.measured, finding.counted) == (2, POISONS)


def test_where_no_connection_was_to_be_lost_only_handlers_are_asked() -> None:
    def tell(told: Story) -> None:
        told.load(0, END)
        poison(told)
        ended(told)

    found = judged(tell)
    assert {name: (found[name].verdict, found[name].bound) for name in (LOGGED, COUNTED)} == {
        LOGGED: (HOLDS, None),
        COUNTED: (HOLDS, None),
    }
    assert found[HANDLER].verdict is VIOLATED


def test_what_the_broker_did_not_take_no_handler_was_given() -> None:
    def tell(told: Story) -> None:
        cut(told, ENTRY_LINK)
        told.fault(POISONED, POISONED + 100, "poison", links=(), number=2)
        told.op(POISONED, Outcome.FAIL, workload="poison")
        ended(told)

    found = judged(tell)
    assert (found[HANDLER].verdict, found[HANDLER].bound) == (HOLDS, None)


# ---- what an event is, and whose ------------------------------------------------------------------------------------


def counts(tell: Callable[[Story], None], kind: str = "kill", **fault: Any) -> int:
    """How many events there are in a story of the entry's link."""

    def whole(told: Story) -> None:
        told.load(0, END)
        told.fault(HIT, HEALED, kind, **fault)
        tell(told)
        ended(told)

    return judged(whole)[LOGGED].counted


def lost_and_back(told: Story) -> None:
    told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=LOST)
    told.connection(ENTRY_LINK, SECOND, BACK - 10, reached=BACK)


def attempts(told: Story) -> None:
    """Besides, dials that never reached the broker, or were given up at once."""
    lost_and_back(told)
    told.connection(ENTRY_LINK, THIRD, HIT + 600, closed=HIT + 700)
    told.connection(ENTRY_LINK, THIRD, HIT + 800, reached=HEALED, closed=HEALED + 200)


def replaced(told: Story) -> None:
    """The client is back, and its connection makes way for another that is there already."""
    told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=LOST)
    told.connection(ENTRY_LINK, SECOND, BACK - 10, reached=BACK, closed=BACK + 900)
    told.connection(ENTRY_LINK, THIRD, BACK + 500, reached=BACK + 510)


def two_at_once(told: Story) -> None:
    """A client with two connections."""
    told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=LOST)
    told.connection(ENTRY_LINK, THIRD, 0, reached=1, closed=LOST + 5)
    told.connection(ENTRY_LINK, SECOND, BACK - 10, reached=BACK)


def lost_for_good(told: Story) -> None:
    told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=LOST)


def before_the_load(told: Story) -> None:
    told.connection(ENTRY_LINK, FIRST, -900, reached=-800, closed=-100)


def after_the_last_read(told: Story) -> None:
    told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=READ + 1)


@pytest.mark.parametrize(
    ("tell", "count"),
    [
        (lost_and_back, 2),
        (attempts, 2),
        (replaced, 2),
        (two_at_once, 3),
        (lost_for_good, 1),
        (before_the_load, 0),
        (after_the_last_read, 0),
    ],
)
def test_events(tell: Callable[[Story], None], count: int) -> None:
    assert counts(tell) == count


def test_what_was_dialled_while_nothing_crossed_is_established_with_the_healing() -> None:
    def tell(told: Story) -> None:
        told.connection(ENTRY_LINK, FIRST, 0, reached=1, closed=LOST)
        told.connection(ENTRY_LINK, THIRD, HIT + 600, reached=HIT + 610, closed=HIT + 1_500)
        told.connection(ENTRY_LINK, SECOND, HEALED - 500, reached=HEALED - 490)

    assert counts(tell, "silent") == 2
    assert counts(tell, "latency") == 4


def test_a_close_that_the_broker_alone_saw_is_no_loss() -> None:
    def tell(told: Story) -> None:
        told.connection(ENTRY_LINK, FIRST, 0, reached=1)
        ends: dict[str, Any] = {"source": ENTRY_LINK[0], "target": ENTRY_LINK[1], "client": FIRST}
        told.line("connection", LOST, event="closed", via="connz", by="upstream", **ends)

    assert counts(tell, "silent") == 0


@pytest.mark.parametrize(
    ("event", "at", "count"),
    [
        ("exited", LOST + 200, 0),
        ("exited", LOST + 201, 2),
        ("stopping", LOST - 1, 0),
        ("paused", LOST - 1, 0),
        ("started", LOST + 300, 1),
        ("started", LOST - 300, 2),
    ],
)
def test_what_a_replica_loses_as_it_ends_is_not_its_to_tell(event: str, at: float, count: int) -> None:
    def tell(told: Story) -> None:
        lost_and_back(told)
        told.line("node", at, node=ENTRY, event=event, expected=True)
        if event == "exited" and count:
            told.line("node", at + 1, node=ENTRY, event="ready")

    assert counts(tell) == count


def test_a_replica_under_a_fault_of_its_own_is_left_out() -> None:
    assert counts(lost_and_back, "pause", nodes=(ENTRY,)) == 0
    assert counts(lost_and_back, "pause", nodes=("broker-0",)) == 2


@pytest.mark.parametrize(("left", "verdict"), [(LATEST_MS, VIOLATED), (LATEST_MS - 1, INCONCLUSIVE)])
def test_what_may_be_told_yet_when_the_watching_ends(left: int, verdict: Verdict) -> None:
    def tell(told: Story) -> None:
        told.load(0, END)
        told.fault(HIT, HEALED, "kill")
        lost_for_good(told)
        told.read(LOST + left)
        told.expect("observable")

    finding = judged(tell)[LOGGED]
    assert finding.verdict is verdict
    assert finding.reason.startswith("too little: ") is (verdict is INCONCLUSIVE)
