"""What is typed at the prompt of a recording, and what is said of a mistake."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.faults import load_all
from harness.outage import Event
from harness.recording.typed import Typed, Value, typed, usage
from tests.docs.pages import DOCS, section


@pytest.mark.parametrize(
    ("line", "what", "on", "parameters"),
    [
        ("pause broker", "pause", "broker", {}),
        ("  silent   entry ->  broker\r", "silent", "entry -> broker", {}),
        ("silent entry->broker way=to", "silent", "entry -> broker", {"way": "to"}),
        ("latency worker -> broker latency_ms=400", "latency", "worker -> broker", {"latency_ms": 400}),
        ("latency latency_ms = 0.5 jitter_ms=1e-1 a -> b", "latency", "a -> b", {"latency_ms": 0.5, "jitter_ms": 0.1}),
        ("restart worker by=terminate", "restart", "worker", {"by": "terminate"}),
        ('kill web-0 reopen="entry first"', "kill", "web-0", {"reopen": "entry first"}),
        ("kill web-0 reopen='entry first'", "kill", "web-0", {"reopen": "entry first"}),
        (
            r'reload broker configuration="a: \"b\" # c = \\"',
            "reload",
            "broker",
            {"configuration": r'a: "b" # c = \ '[:-1]},
        ),
        ("restart broker version=2.12.8", "restart", "broker", {"version": "2.12.8"}),
        ("restart broker version=2.12", "restart", "broker", {"version": 2.12}),
        ("poison subject=a#b payload=", "poison", "", {"subject": "a#b", "payload": ""}),
        (
            "poison payload=1#2 subject=[1] times=true",
            "poison",
            "",
            {"payload": "1#2", "subject": "[1]", "times": True},
        ),
        ("burst times=nan seconds=1e999", "burst", "", {"times": "nan", "seconds": "1e999"}),
    ],
)
def test_words_are_those_of_an_outage_file(line: str, what: str, on: str, parameters: dict[str, Value]) -> None:
    found = typed(line)
    assert (found.what, found.on, found.parameters) == (what, on, parameters)
    assert Event.model_validate({"what": what, "on": found.on, "for_s": 1}).targets == list(found.targets)
    assert [type(value) for value in found.parameters.values()] == [type(value) for value in parameters.values()]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("paus broker", "no fault or word is called 'paus'\n  fix: did you mean 'pause'?"),
        ("ovr", "no fault or word is called 'ovr'\n  fix: did you mean 'over'?"),
        ("by=kill", "no fault or word is called ''"),
        ("silent entry", "missing a required argument: 'provider'\n  fix: type silent SOURCE -> PROVIDER [way=both]"),
        ("silent entry broker", "missing a required argument: 'provider'"),
        ("pause entry -> broker", "too many positional arguments\n  fix: type pause NODE"),
        ("latency entry -> broker", "missing a required argument: 'latency_ms'"),
        ("kill broker reopn=x", "no parameter of kill is called 'reopn'\n  fix: did you mean 'reopen'?"),
        ("pause broker for_s=3", "for_s is not typed here"),
        ("pause on=broker", "on is not typed here"),
        ("kill broker reopen=a reopen=b", "reopen is given twice"),
        ('poison payload="a b', "the text of payload has no end, or an escape that there is not"),
        (r'poison payload="\q"', "the text of payload has no end, or an escape that there is not"),
        ('poison payload="a"b', "the text of payload has no end"),
    ],
)
def test_a_mistake_is_told_with_the_fix(line: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        typed(line)
    assert str(refused.value).startswith(told)
    assert refused.value.fix


@given(st.text())
def test_whatever_is_typed_is_a_fault_or_told(line: str) -> None:
    with suppress(UsageError):
        assert str(typed(line))


PARAMETERS = st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)


@given(PARAMETERS, PARAMETERS)
def test_it_is_shown_as_it_may_be_typed_again(payload: Value, times: Value) -> None:
    given_ = Typed("poison", (), {"payload": payload, "times": times})
    again = typed(str(given_))
    assert again == given_
    assert [type(value) for value in again.parameters.values()] == [type(payload), type(times)]


@pytest.mark.parametrize("kind", load_all())
def test_each_fault_is_typed_as_its_usage_says(kind: str) -> None:
    words = usage(kind).replace("[", "").replace("]", "").replace("...", "1")
    told = typed(words)
    call = section(DOCS / "faults.md", kind).split("`")[1]
    names = {one.split("=")[0] for one in call.partition("(")[2].removesuffix(")").split(", ")}
    assert {*map(str.lower, told.targets), *told.parameters} == names
