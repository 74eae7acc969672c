from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.terminal import Look, failure, night_lines, scenario_lines, summary_lines
from harness.report.text import plain

from . import verdicts
from .verdicts import JSON, finding, lost_finding, scenario

PLAIN = Look()


class Stream(io.TextIOWrapper):
    """A text stream that may say that it is a terminal."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "colour"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colour_only_where_it_is_wanted(terminal: bool, environ: dict[str, str], colour: bool) -> None:
    look = Look.of(Stream(terminal=terminal), environ)
    assert look.colour is colour
    assert (look.width > 0) is terminal
    text = "\n".join(summary_lines(verdicts.red(), look))
    assert ("\x1b" in text) is colour


@pytest.mark.parametrize(
    ("given_scenario", "says"),
    [
        (scenario("calm", findings=[finding("no_loss")]), ["ok   calm[hardened]", "holds", "as expected; 1 finding"]),
        (scenario("broker_crash"), ["as expected; nearest its bound: reconnects.works 1.91 s, bound 5 s", "14.2 s"]),
        (
            scenario("broker_crash", findings=[lost_finding()]),
            ["FAIL broker_crash[hardened]", "NOT AS EXPECTED; no_loss 1,204 operations, bound 0"],
        ),
        (
            scenario("broker_crash", "documented", exposes={"M3": "no_loss"}, findings=[lost_finding(87)]),
            ["ok   broker_crash[documented]", "violated", "as expected, reproduces M3; no_loss 87 operations"],
        ),
        (
            scenario("broker_crash", "documented", exposes={"M3": "no_loss"}),
            ["FAIL", "holds", "NOT AS EXPECTED; no_loss holds, and was to be violated"],
        ),
        (
            scenario("broker_crash", findings=[finding("no_loss", "inconclusive", reason="no evidence: x")]),
            ["??  ", "NOT AS EXPECTED; no_loss inconclusive: no evidence: x"],
        ),
        (scenario("broker_crash", findings=[]), ["??  ", "inconclusive", "NOT AS EXPECTED; nothing was judged"]),
    ],
)
def test_a_scenario_is_one_line(given_scenario: JSON, says: list[str]) -> None:
    [line] = scenario_lines(given_scenario, PLAIN)
    for words in says:
        assert words in line


def test_a_failure_says_what_why_and_how_to_run_it_again() -> None:
    said = failure(scenario("broker_crash", findings=[lost_finding()])).splitlines()
    assert said[0] == "FAIL broker_crash[hardened]: violated, not as expected"
    assert said[1].startswith("  no_loss violated: 1204 of 12431 accepted have no result")
    assert said[-1].startswith("  run it again: nats-harness replay")
    hidden = failure(scenario("broker_crash", "documented", exposes={"M3": "no_loss"}))
    assert "M3 was to show as no_loss violated; it holds" in hidden


def test_a_scenarios_own_file_will_do() -> None:
    one = scenario("broker_crash")
    assert scenario_lines({"schema": 1, **one}, PLAIN) == scenario_lines(one, PLAIN)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (verdicts.green, ["AS EXPECTED (exit 0", "3 of 3 planned scenarios judged, 1 skipped", "skipped: 1"]),
        (verdicts.red, ["NOT AS EXPECTED (exit 1", "measured 1,204 operations, bound 0, counted 12,431"]),
        (verdicts.red, ["7f3a9k2m-0-118, 7f3a9k2m-0-119, 7f3a9k2m-0-120 and 1,201 more", "never seen on search.jobs"]),
        (verdicts.red, ["measured 8.21 s, bound 5 s (164 % of its bound)", "run it again: nats-harness replay"]),
        (verdicts.inconclusive, ["INCONCLUSIVE (exit 2", "planned, but without a verdict: 1", "trouble: harness"]),
        (verdicts.inconclusive, ["no_loss, no_phantoms, effects", "1 of 2 faults with evidence"]),
        (verdicts.exposed, ["AS EXPECTED (exit 0", "weaknesses reproduced: 2 of 2: M3, C3"]),
        (verdicts.unexposed, ["NOT AS EXPECTED (exit 1", "M3 was not reproduced", "no_loss was to be violated"]),
        (verdicts.empty, ["no scenario left a verdict", "0 of 0 planned scenarios judged", "nothing was judged"]),
    ],
)  # fmt: skip
def test_the_summary_says(make: Callable[[], JSON], says: list[str]) -> None:
    text = "\n".join(summary_lines(make(), PLAIN, report="reports/latest/index.html"))
    for words in says:
        assert words in text
    assert text.endswith("report: reports/latest/index.html")


def test_the_three_that_say_most_are_told_and_where_the_others_are() -> None:
    doubted = [scenario(f"d{n}", findings=[finding("no_loss", "inconclusive", reason="x")]) for n in range(2)]
    broken = [scenario(f"b{n}", findings=[lost_finding()]) for n in range(8)]
    lines = summary_lines(verdicts.run([*doubted, *broken]), PLAIN, report="reports/latest/index.html")
    told = [line.partition(":")[0] for line in lines if line.endswith(", not as expected")]
    assert told == [f"FAIL b{n}[hardened]" for n in range(3)]
    assert "and 7 more that are not as expected, in full on the page: reports/latest/index.html" in lines
    for few in (1, 3):
        said = "\n".join(summary_lines(verdicts.run(broken[:few]), PLAIN, report="x"))
        assert (said.count("run it again"), "in full on the page" in said) == (few, False)


def test_only_one_story_is_told_and_the_page_has_the_rest() -> None:
    assert "what happened to 7f3a9k2m-0-119" not in "\n".join(summary_lines(verdicts.red(), PLAIN))


def test_what_was_expected_is_not_among_what_to_look_at() -> None:
    assert "run it again" not in "\n".join(summary_lines(verdicts.exposed(), PLAIN))


def test_what_was_not_judged_is_listed_with_the_line_to_add() -> None:
    """Once for each line: of every scenario, or with those that it is about."""
    line = 'effects = { attempt = "$.n" }'

    def listed(*blind: bool) -> list[str]:
        judged = [scenario(f"s{n}", not_judged={"redelivers": line} if one else {}) for n, one in enumerate(blind)]
        lines = summary_lines(verdicts.run(judged), PLAIN)
        at = [n for n, one in enumerate(lines) if one.startswith("not judged")]
        return lines[at[0] : at[0] + 2] if at else []

    title = "not judged, for want of a line in the system file: 1"
    assert listed(False, False) == []
    assert listed(True, True) == [title, f"  redelivers: add {line}"]
    assert listed(True, False) == [title, f"  redelivers: add {line} (in s0[hardened])"]
    several = listed(*[True] * 5, False)
    assert several == [title, f"  redelivers: add {line} (in s0[hardened], s1[hardened], s2[hardened] and 2 more)"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_lines_can_be_printed_and_do_nothing_else(encoding: str) -> None:
    hostile = verdicts.hostile()
    look = Look(encoding=encoding)
    lines = [*summary_lines(hostile, look, report="r\x1b\n"), *scenario_lines(hostile["scenarios"][0], look)]
    for line in lines:
        line.encode(encoding)
        assert plain(line, longest=10**6) == line


@given(st.text(alphabet=st.characters()))
def test_no_text_can_forge_a_line(evil: str) -> None:
    one = scenario("x", findings=[finding("no_loss", "violated", reason=evil, unit=evil)], repro=evil)
    count = len(summary_lines(verdicts.run([scenario("x", findings=[finding("no_loss", "violated")])]), PLAIN))
    run: dict[str, Any] = verdicts.run([one])
    lines = summary_lines(run, PLAIN)
    assert len(lines) == count
    assert all(plain(line) == line for line in lines)


def test_a_narrow_terminal_cuts_the_detail_and_nothing_else() -> None:
    [line] = scenario_lines(scenario("broker_crash"), Look(width=110))
    assert line.endswith("...")
    assert len(line) <= 110
    assert "broker_crash[hardened]" in line


def test_a_night() -> None:
    runs = [{"run": "r1", "system": "telhawk", "exit": 0}, {"run": "r2", "system": "bare", "exit": 64}]
    assert night_lines({"runs": runs, "exit": 64}, PLAIN) == [
        "As expected      telhawk  r1  exit 0",
        "Wrong usage      bare     r2  exit 64",
        "2 runs this night: Wrong usage (exit 64)",
    ]
    assert night_lines({"runs": [], "exit": 2}, PLAIN) == ["0 runs this night: Inconclusive (exit 2)"]
