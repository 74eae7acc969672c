"""What was injected by hand becomes a file that an outage is read from as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import outage
from harness.faults import load_all
from harness.recording.typed import Value, typed
from harness.recording.written import Injected
from harness.recording.written import outage as recorded
from harness.recording.written import text as written

MS = 1_000_000
SAYS = "Recorded by hand."


def injected(line: str, *moments_s: float | None, failed: str = "") -> Injected:
    """A fault with its moments: asked, effective, healing, healed; None where there was none."""
    fault = typed(line)
    names = ("asked", "effective", "healing", "healed")
    lines: list[Mapping[str, Any]] = [
        {"kind": "fault", "id": 1, "event": name, "t_ns": round(moment * 1000) * MS}
        for name, moment in zip(names, moments_s, strict=False)
        if moment is not None
    ]
    if failed:
        lines.append({"kind": "fault", "id": 1, "event": "failed", "t_ns": 0, "detail": failed})
    return Injected(fault, load_all()[fault.what].LASTS, lines)


def events(*faults: Injected) -> list[dict[str, Any]]:
    """The events of the file that these become."""
    told = recorded(faults, SAYS, None)
    return [event.model_dump(exclude_unset=True) for event in told.events] if told else []


def test_times_count_from_the_first_effect_and_last_until_it_was_told_to_be_over() -> None:
    kill = injected("kill broker", 99.5, 100.0, 105.04, 106.3)
    slow = injected("latency entry -> broker latency_ms=400", 102.0, 102.26, 112.3, 112.3)
    assert events(kill, slow) == [
        {"what": "kill", "at": 0.0, "on": "broker", "for_s": 5.0},
        {"what": "latency", "latency_ms": 400, "at": 2.3, "on": "entry -> broker", "for_s": 10.0},
    ]
    assert [event["what"] for event in events(slow, kill)] == ["kill", "latency"]


def test_what_is_hard_on_the_heels_of_another_follows_it() -> None:
    """At its time it could come before the other is over, whose healing may take longer than then."""
    first = injected("kill broker", 0, 0.0, 5.0, 6.0)
    assert [event.get("at") for event in events(first, injected("pause broker", 6.9, 7.2, 9, 9))] == [0.0, None]
    assert [event.get("at") for event in events(first, injected("pause broker", 7.0, 7.2, 9, 9))] == [0.0, 7.2]
    assert [event.get("at") for event in events(first, injected("pause broker", 5.9, 6.2, 9, 9))] == [0.0, 6.2]


def test_what_is_over_by_itself_lasts_until_then() -> None:
    roll = injected("rolling_restart workers", 0, 1.0, 1.001, 7.53)
    poison = injected("poison", 0, 1.0, 1.001, 1.002)
    assert [(event["what"], event["for_s"]) for event in events(roll, poison)] == [
        ("rolling_restart", 6.5),
        ("poison", 0.1),
    ]
    assert "on" not in events(poison)[0]
    assert {kind for kind, fault in load_all().items() if not fault.LASTS} == {
        *("burst", "poison", "oversize", "rolling_restart")
    }


def test_what_took_no_effect_is_no_event() -> None:
    failed = injected("reload broker configuration=x", 0, failed="no such key")
    assert (events(failed), failed.failed) == ([], "no such key")
    assert [event["at"] for event in events(failed, injected("kill broker", 3, 4, 5, 6))] == [0.0]


def test_what_was_not_healed_lasted_until_healing_began() -> None:
    assert [event["for_s"] for event in events(injected("kill broker", 0, 1, 3, None))] == [2.0]
    assert [event["for_s"] for event in events(injected("burst times=2 seconds=9", 0, 1, 3, None))] == [2.0]


def test_what_is_still_on_is_left_out() -> None:
    on = injected("pause broker", 0, 1)
    assert [event["at"] for event in events(on, injected("kill broker", 3, 4, 5, 6))] == [0.0]
    assert events(on) == []


def test_a_file_has_a_place_for_a_sentence_and_the_rate() -> None:
    told = recorded([injected("kill broker", 0, 1, 3, 4)], SAYS, 30.0)
    assert told is not None
    assert written(told) == (
        "# What happened, in a sentence, in the place of this one:\n"
        'says = "Recorded by hand."\n'
        "rate = 30.0\n"
        "\n"
        "[[events]]\n"
        "at = 0.0\n"
        'what = "kill"\n'
        'on = "broker"\n'
        "for_s = 2.0\n"
    )


WORD = st.from_regex(r"[^\s=\"'#-]{1,9}", fullmatch=True)
VALUES = st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
NODES = sorted(kind for kind, fault in load_all().items() if "node" in fault.__dataclass_fields__ and kind != "reload")


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A line that may be typed: a fault of a node, of a link, or of nothing, with any values."""

    def value() -> str:
        return _toml(draw(VALUES))

    return draw(
        st.sampled_from(
            [
                f"{draw(st.sampled_from(NODES))} {draw(WORD)}",
                f"kill {draw(WORD)} reopen={value()}",
                f"reload broker configuration={value()}",
                f"silent {draw(WORD)} -> {draw(WORD)}",
                f"flapping {draw(WORD)} -> {draw(WORD)} down_s={value()} cut={value()}",
                f"poison subject={value()} times={value()} payload={value()}",
            ]
        )
    )


def _toml(value: Value) -> str:
    from harness.recording.typed import _shown

    return _shown(value)


MOMENTS = st.tuples(*[st.integers(0, 400_000).map(lambda ms: ms / 1000)] * 4).map(sorted)


@settings(deadline=None)
@given(
    faults=st.lists(st.tuples(lines(), MOMENTS), min_size=1, max_size=5),
    says=st.text(min_size=1),
    rate=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
)
def test_every_event_that_can_be_typed_is_read_as_it_was(
    faults: list[tuple[str, list[float]]], says: str, rate: float | None, tmp_path_factory: Any
) -> None:
    told = recorded([injected(line, *moments) for line, moments in faults], says, rate)
    assert told is not None
    path = Path(tmp_path_factory.getbasetemp() / "any" / f"any{outage.SUFFIX}")
    path.parent.mkdir(exist_ok=True)
    path.write_text(written(told), "utf-8")
    again = outage.load(path)
    assert again == told
    assert (len(again.events), again.says, again.rate) == (len(faults), says, rate)
    by_what = sorted((event.what, event.on, repr(sorted(event.parameters.items()))) for event in again.events)
    asked = [typed(line) for line, _ in faults]
    assert by_what == sorted((one.what, one.on, repr(sorted(one.parameters.items()))) for one in asked)
