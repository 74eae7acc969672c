"""junit.xml: its colour is the exit code's, its names are unique, and the readers that people use can read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from harness.report import junit
from harness.verdict import Expectation, Finding, Verdict, exit_code

from . import verdicts
from .verdicts import JSON, calm, finding, good_findings, lost_finding, run, scenario

KNOWN = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname", "time"}, {"skipped", "error", "failure", "system-out"}),
    "skipped": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "failure": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}
"""The elements that Jenkins' schema has, their attributes and children, as far as ours uses them."""


def red(text: str) -> tuple[int, int]:
    """How many cases fail, and how many are in error, as a reader counts them."""
    results = [result for suite in JUnitXml.fromstring(text.encode()) for case in suite for result in case.result]
    return sum(isinstance(one, Failure) for one in results), sum(isinstance(one, Error) for one in results)


def cases(verdict: JSON) -> dict[str, Any]:
    """Each case by its name."""
    found = [case for suite in JUnitXml.fromstring(junit.document([verdict]).encode()) for case in suite]
    return {case.name: case for case in found}


def said(case: Any) -> tuple[type, str]:
    [result] = case.result
    return type(result), result.message


@pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
def test_it_is_red_exactly_where_the_run_does_not_exit_0(make: Callable[[], JSON]) -> None:
    verdict = make()
    failures, errors = red(junit.document([verdict]))
    assert {0: (0, 0), 1: (1, errors > 0), 2: (0, 1)}[verdict["exit"]] == (failures > 0, errors > 0)


VERDICTS = st.sampled_from(["holds", "violated", "inconclusive"])
FINDINGS = st.dictionaries(
    st.sampled_from(["no_loss", "effects", "available.failed", "reconnects.notices", "reconnects.works"]),
    st.tuples(VERDICTS, st.sampled_from([None, 0.0, 5.0])),
)
EXPOSES = st.dictionaries(
    st.sampled_from(["C3", "M3"]), st.sampled_from(["no_loss", "reconnects.works", "drains.exits"])
)


@st.composite
def runs(draw: st.DrawFn) -> JSON:
    """A run of scenarios in which anything came out; its exit is made as a run makes it, from `Expectation`."""
    found, bad = [], []
    for n in range(draw(st.integers(0, 3))):
        exposes = draw(EXPOSES)
        findings = [finding(clause, verdict, bound=bound) for clause, (verdict, bound) in draw(FINDINGS).items()]
        one = scenario(f"s{n}", "documented" if exposes else "hardened", exposes=exposes, findings=findings)
        found.append(one)
        typed = [Finding(f["clause"], Verdict(f["verdict"]), f["bound"], reason=f["reason"]) for f in findings]
        bad += [verdict for verdict, _ in Expectation(exposes).unexpected(typed)]
    missing = draw(st.lists(st.sampled_from(["a[b]", "c[d]"]), unique=True))
    code = exit_code(bad, judged=len(found), missing=len(missing))
    return run(found, missing=missing) | {"exit": code, "as_expected": code == 0}


@given(runs())
def test_whatever_came_out_its_colour_is_that_of_the_exit(verdict: JSON) -> None:
    failures, errors = red(junit.document([verdict]))
    assert (failures > 0) is (verdict["exit"] == 1)
    assert (failures + errors > 0) is (verdict["exit"] != 0)


def test_an_exit_that_no_scenario_explains_is_red_all_the_same() -> None:
    assert red(junit.document([verdicts.green() | {"exit": 1, "reasons": ["somebody knows"]}])) == (1, 0)
    assert red(junit.document([verdicts.green() | {"exit": 2}])) == (0, 1)


def test_a_case_is_called_the_same_in_each_run() -> None:
    """By its name a reader knows since when it fails."""
    for make in (verdicts.red, lambda: verdicts.green() | {"exit": 2}):
        verdict = make()
        assert list(cases(verdict)) == list(cases(verdict | {"run": "20261126-030000-0001", "seed": 7}))


@pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
def test_it_has_only_what_jenkins_knows_and_its_numbers_add_up(make: Callable[[], JSON]) -> None:
    root = Xml.fromstring(junit.document([make()]))
    for element in root.iter():
        attributes, children = KNOWN[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
        if element.tag == "testcase":
            assert len([child for child in element if child.tag != "system-out"]) <= 1, "one result a case"
        if "time" in element.attrib:
            assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
        if "timestamp" in element.attrib:
            assert element.attrib["timestamp"] == "2026-11-25T15:12:00"
    for suite in root:
        for name, tag in (
            ("tests", "testcase"),
            ("failures", "*/failure"),
            ("errors", "*/error"),
            ("skipped", "*/skipped"),
        ):
            assert int(suite.attrib[name]) == len(suite.findall(tag))
        assert sum(float(case.attrib["time"]) for case in suite.iter("testcase")) == pytest.approx(
            float(suite.attrib["time"]), abs=0.01
        )
    assert int(root.attrib["tests"]) == sum(int(suite.attrib["tests"]) for suite in root)
    assert int(root.attrib["failures"]) == sum(int(suite.attrib["failures"]) for suite in root)


@pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
def test_no_two_cases_are_called_alike(make: Callable[[], JSON]) -> None:
    names = [case.attrib["name"] for case in Xml.fromstring(junit.document([make()])).iter("testcase")]
    assert len(names) == len(set(names))


def test_a_case_for_each_scenario_state_and_guarantee() -> None:
    verdict = run([calm("hardened"), calm("documented"), scenario("broker_crash")])
    guarantees = dict.fromkeys(one["clause"].partition(".")[0] for one in good_findings())
    assert [name for name in cases(verdict) if name.startswith("broker_crash")] == [
        f"broker_crash[hardened] {guarantee}" for guarantee in guarantees
    ]
    assert {"calm[hardened] no_loss", "calm[documented] no_loss"} <= set(cases(verdict))


def test_two_scenarios_of_one_id_are_told_apart() -> None:
    names = [name for name in cases(run([calm(), calm()])) if "no_loss" in name]
    assert names == ["calm[hardened] no_loss", "calm[hardened] no_loss (2)"]


def test_what_is_violated_fails_with_its_story_and_its_replay() -> None:
    case = cases(verdicts.red())["broker_crash[hardened] no_loss"]
    kind, message = said(case)
    assert (kind, message) == (Failure, f"no_loss violated: {lost_finding()['reason']}")
    [result] = case.result
    assert result.text.startswith(message), "the message is not shown everywhere"
    assert result.text.count(message) == 1
    assert "operations: 7f3a9k2m-0-118, 7f3a9k2m-0-119" in result.text
    assert "(1,204 in all)" in result.text
    assert "    never seen on search.jobs.query\n" in result.text
    assert "fault 1: kill of broker-0, bit: connections_lost 3" in result.text
    assert result.text.endswith(
        "run it again: nats-harness replay 20261125-151200-ab12 'broker_crash[hardened]' --seed 20261125"
    )


@pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
def test_a_reader_that_shows_result_and_output_shows_nothing_twice(make: Callable[[], JSON]) -> None:
    """GitLab and Jenkins put the output of what failed below its text."""
    for case in Xml.fromstring(junit.document([make()])).iter("testcase"):
        told = case.findtext("system-out")
        assert told is None or "run it again: " in told
        assert (told is None) or not (case.findall("failure") + case.findall("error"))


def test_what_is_inconclusive_and_fails_the_run_is_an_error() -> None:
    found = cases(verdicts.inconclusive())
    kind, message = said(found["broker_crash[hardened] no_loss"])
    assert (kind, "no evidence: kill of broker-0" in message) == (Error, True)
    assert said(found["broker_paused[hardened] (scenario)"]) == (Error, "planned, and without a verdict")
    assert said(found["entry_silent[hardened] (scenario)"]) == (Error, "nothing was judged")
    [result] = found["entry_silent[hardened] (scenario)"].result
    assert "harness error: StartError" in result.text


def test_a_weakness_that_shows_passes_and_says_so() -> None:
    case = cases(verdicts.exposed())["broker_crash[documented] no_loss"]
    assert case.result == []
    assert "as expected, reproduces M3: no_loss violated" in case.system_out


def test_a_weakness_that_does_not_show_fails() -> None:
    kind, message = said(cases(verdicts.unexposed())["broker_crash[documented] no_loss"])
    assert (kind, message.startswith("M3 was to show as no_loss violated; it holds: ")) == (Failure, True)


@pytest.mark.parametrize("findings", [[], [finding("no_loss", "inconclusive", reason="noise: late")]])
def test_a_weakness_that_was_not_judged_is_an_error(findings: Sequence[JSON]) -> None:
    only = scenario("crash", "documented", exposes={"M3": "no_loss"}, findings=[finding("effects"), *findings])
    kind, message = said(cases(run([only]))["crash[documented] no_loss"])
    assert (kind, "not judged" in message or "noise: late" in message) == (Error, True)


def test_what_decides_nothing_is_skipped_and_says_why() -> None:
    aside = cases(verdicts.exposed())["broker_crash[documented] converges"]
    kind, message = said(aside)
    assert (kind, message) == (Skipped, "decides nothing here: converges.drained violated: > 15 s")
    verdict = verdicts.green()
    found = cases(verdict)
    assert said(found["calm[hardened] available"]) == (Skipped, "measured alone: it decides nothing")
    line = 'not judged; the system file would need: effects = { attempt = "$.n" }'
    assert said(found["broker_paused[hardened] redelivers"]) == (Skipped, line)
    assert said(found["worker_killed[hardened] (scenario)"]) == (Skipped, verdict["skipped"][0]["reason"])


def test_properties_say_with_what_it_was_run() -> None:
    suite = next(iter(JUnitXml.fromstring(junit.document([verdicts.green()]).encode())))
    told = {one.name: one.value for one in suite.properties()}  # type: ignore[no-untyped-call]
    assert told["seed"] == "20261125"
    assert told["runtime"] == "processes"
    assert told["version nats-server"] == "2.12.8"
    assert (suite.name, suite.time) == ("telhawk.calm[hardened]", 8.02)


def test_hostile_text_is_text() -> None:
    evil = "]]> <x> & \" ' \x00\x1b[31m \ufffe \ud800 [[ATTACHMENT|../../etc/passwd]] ::error::x"
    lost = finding("no_loss", "violated", reason=evil, ops=[evil], ops_total=1, stories=[{"op": evil, "lines": [evil]}])
    text = junit.document([run([scenario(evil, findings=[lost])], system=evil)])
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    [case] = Xml.fromstring(text).iter("testcase")
    assert "]]> <x> & \" ' \\x00\\x1b[31m \\ufffe \\ud800" in case.attrib["name"]


@pytest.mark.parametrize("verdict", ["holds", "violated"])
def test_no_text_names_a_file_to_attach(verdict: str) -> None:
    said = finding("no_loss", verdict, reason="[[ATTACHMENT|../../etc/passwd]]")
    [case] = Xml.fromstring(junit.document([run([scenario("crash", findings=[said])])])).iter("testcase")
    texts = "".join(case.itertext())
    assert "ATTACHMENT|../../etc/passwd" in texts
    assert "[[ATTACHMENT" not in texts
