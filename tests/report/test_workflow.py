"""Annotations: read as GitHub's runner reads them, few, at the scenario's line."""

from __future__ import annotations

import pytest

from harness.report import workflow
from harness.report.workflow import MOST, TITLE, Place

from . import verdicts
from .verdicts import HOSTILE, JSON, RUN, finding, lost_finding, run, scenario


def read(line: str) -> tuple[str, dict[str, str], str]:
    """A command as the runner takes it: its name, its properties, its message."""
    assert line.startswith("::")
    assert "\n" not in line
    assert "\r" not in line
    head, _, message = line[2:].partition("::")
    level, _, given = head.partition(" ")
    properties = dict(part.split("=", 1) for part in given.split(",")) if given else {}
    for code, char in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        message = message if code in ("%3A", "%2C") else message.replace(code, char)
        properties = {name: value.replace(code, char) for name, value in properties.items()}
    return level, properties, message


def told(verdict: JSON, places: dict[tuple[str, str], Place] | None = None) -> list[tuple[str, dict[str, str], str]]:
    return [read(line) for line in workflow.lines([verdict], places or {})]


def test_a_run_as_expected_says_nothing() -> None:
    assert told(verdicts.green()) == []
    assert told(verdicts.exposed()) == []


def test_what_is_violated_is_an_error_at_its_line() -> None:
    places = {(RUN, "broker_crash[hardened]"): Place("scenarios/test_broker.py", 12)}
    [(level, properties, message), (_, elsewhere, _)] = told(verdicts.red(), places)
    assert level == "error"
    assert properties == {
        "file": "scenarios/test_broker.py",
        "line": "12",
        "title": "telhawk: broker_crash[hardened] violated, not as expected",
    }
    assert message.splitlines() == [
        f"no_loss violated: {lost_finding()['reason']}",
        f"run it again: nats-harness replay {RUN} 'broker_crash[hardened]' --seed 20261125",
    ]
    assert elsewhere == {"title": "telhawk: entry_frozen[hardened] violated, not as expected"}


def test_a_place_is_of_its_run_alone() -> None:
    [(_, properties, _), _] = told(verdicts.red(), {("another", "broker_crash[hardened]"): Place("a.py", 1)})
    assert "file" not in properties


def test_a_weakness_that_does_not_show_is_an_error() -> None:
    [(level, _, message)] = told(verdicts.unexposed())
    assert (level, message.startswith("M3 was to show as no_loss violated; it holds")) == ("error", True)


def test_what_is_inconclusive_or_missing_is_a_warning() -> None:
    places = {(RUN, "broker_paused[hardened]"): Place("a.py", 3)}
    found = told(verdicts.inconclusive(), places)
    assert [level for level, _, _ in found] == ["warning"] * 3
    assert found[1][2].startswith("nothing was judged\n")
    title = "telhawk: broker_paused[hardened] has no verdict"
    assert found[2] == ("warning", {"file": "a.py", "line": "3", "title": title}, "it was planned")


@pytest.mark.parametrize(("bad", "shown", "last"), [(10, 10, None), (11, 10, 2), (200, 10, 191)])
def test_the_tenth_of_too_many_says_how_many_there_are(bad: int, shown: int, last: int | None) -> None:
    found = told(run([scenario(f"s{n}", findings=[lost_finding()]) for n in range(bad)]))
    assert (len(found), MOST) == (shown, 10)
    if last is not None:
        assert found[-1][1]["title"] == f"{last} more scenarios are not as expected"


def test_errors_and_warnings_are_counted_apart() -> None:
    doubtful = finding("no_loss", "inconclusive", reason="noise: late")
    scenarios = [
        scenario(f"{kind}{n}", findings=[one])
        for kind, one in (("a", lost_finding()), ("b", doubtful))
        for n in range(15)
    ]
    levels = [level for level, _, _ in told(run(scenarios))]
    assert levels == ["error"] * 10 + ["warning"] * 10


def test_a_long_reason_is_cut_before_github_cuts_it() -> None:
    many = [finding(f"c{n}", "violated", reason=f"{n}" + "x" * 9000) for n in range(9)]
    long = scenario("crash", findings=many, id="s" * 3000, repro="r" * 3000)
    [line] = workflow.lines([run([long], system="n" * 3000)], {})
    _, properties, message = read(line)
    assert len(message) < 4096
    assert len(properties["title"]) < TITLE + 40
    assert "%0Aand 6 more reasons%0Arun it again: " in line


@pytest.mark.parametrize(
    "evil",
    [*HOSTILE, "::error::x", "##[error]x", "a,file=b.py", "a::b", "100%25", "%0A::error::x", "\n::stop-commands::x"],
)
def test_hostile_text_is_neither_a_command_nor_a_property(evil: str) -> None:
    bad = scenario(evil, findings=[finding(evil, "violated", reason=evil)], repro=evil)
    [(level, properties, message)] = told(run([bad], system=evil))
    assert (level, list(properties)) == ("error", ["title"])
    assert len(message.splitlines()) == 2
    if evil.isprintable() and evil.isascii():
        assert properties["title"] == f"{evil}: {evil}[hardened] violated, not as expected"
        assert message.endswith(f"run it again: {evil}")
