"""How findings add up: to a scenario's verdict, to what was expected of it, to a run's exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from harness.guarantees import judge
from harness.history.reader import History
from harness.plan import Plan, Planned, merged, write_plan
from harness.run.judging import judge_scenario
from harness.verdict import Doubt, Expectation, Finding, Verdict, exit_code, merge, worst_exit

from .synthetic import HOLDS, INCONCLUSIVE, VIOLATED, Story, broken, kept, story

Tell = Callable[[Story], None]
WEAKNESS: Mapping[str, str] = {"M1": "no_loss"}


def doubtful(told: Story) -> None:
    """Everything was broken, and nothing of it can be trusted."""
    broken(told)
    told.trouble(Doubt.HARNESS_ERROR)


def lost_in_doubt(told: Story) -> None:
    """Only the timing can be trusted, and that is bad; what was counted is unclear."""
    broken(told)
    told.trouble(Doubt.IDS_UNCLEAR)


@dataclass(frozen=True)
class Part:
    """A scenario of a run: what happened in it (None: it left no verdict), and what was expected."""

    tell: Tell | None
    exposes: Mapping[str, str] = field(default_factory=dict)
    name: str = "crash"
    state: str = "default"


def run_of(folder: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """The verdict of a run with these scenarios, each of which was judged from a history of its own."""
    planned = []
    for number, part in enumerate(parts):
        name = part.name if part.name != "crash" else f"crash_{number}"
        planned.append(
            Planned(
                id=f"{name}[{part.state}]",
                scenario=name,
                state=part.state,
                expect="exposed" if part.exposes else "holds",
                exposes=part.exposes,
                file="test_ours.py",
                line=1,
                needs=(),
                calm=False,
                nodeid=f"test_ours.py::{name}",
            )
        )
        if part.tell is None:
            continue
        with story(id=planned[-1].id, scenario=name, state=part.state, exposes=part.exposes) as told:
            part.tell(told)
            told.judged()
            judge_scenario(told.folder.parent)
            verdict = (told.folder.parent / "verdict.json").read_bytes()
        kept_at = folder / "scenarios" / planned[-1].folder / "verdict.json"
        kept_at.parent.mkdir(parents=True)
        kept_at.write_bytes(verdict)
    folder.mkdir(exist_ok=True)
    plan = Plan(
        run=folder.name,
        system="telhawk",
        system_file="telhawk",
        runtime="processes",
        seed=1,
        hardening=None,
        scenarios="scenarios",
        states={"default": {"expect": "holds"}},
        planned=planned,
    )
    write_plan(folder, plan)
    return merged(folder, seconds=1.0)


RUNS: list[tuple[list[Part], Verdict, int]] = [
    ([], INCONCLUSIVE, 2),
    ([Part(None)], INCONCLUSIVE, 2),
    ([Part(kept)], HOLDS, 0),
    ([Part(kept), Part(kept)], HOLDS, 0),
    ([Part(kept), Part(None)], HOLDS, 2),
    ([Part(kept), Part(doubtful)], INCONCLUSIVE, 2),
    ([Part(doubtful)], INCONCLUSIVE, 2),
    ([Part(broken)], VIOLATED, 1),
    ([Part(kept), Part(broken)], VIOLATED, 1),
    ([Part(broken), Part(None)], VIOLATED, 1),
    ([Part(doubtful), Part(broken)], VIOLATED, 1),
    # A weakness that shows, whatever else is violated; that does not; that cannot be told; whose clause nobody asked.
    ([Part(broken, WEAKNESS)], VIOLATED, 0),
    ([Part(kept), Part(broken, WEAKNESS)], VIOLATED, 0),
    ([Part(kept, WEAKNESS)], HOLDS, 1),
    ([Part(doubtful, WEAKNESS)], INCONCLUSIVE, 2),
    ([Part(lost_in_doubt, WEAKNESS)], VIOLATED, 2),
    ([Part(lost_in_doubt, {"M2": "reconnects.works"})], VIOLATED, 0),
    ([Part(broken, {"M3": "ordered"})], VIOLATED, 2),
    ([Part(broken, {**WEAKNESS, "M3": "ordered"})], VIOLATED, 2),
    ([Part(doubtful, WEAKNESS), Part(kept, WEAKNESS)], INCONCLUSIVE, 1),
    ([Part(broken, WEAKNESS), Part(None)], VIOLATED, 2),
    ([Part(broken, WEAKNESS), Part(broken)], VIOLATED, 1),
]


@pytest.mark.parametrize(("parts", "verdict", "code"), RUNS, ids=range(len(RUNS)))
def test_a_run_is_what_its_scenarios_are(tmp_path: Path, parts: list[Part], verdict: Verdict, code: int) -> None:
    found = run_of(tmp_path / "run", parts)
    assert (found["verdict"], found["exit"], found["as_expected"]) == (verdict, code, code == 0)
    assert found["missing"] == [f"crash_{n}[default]" for n, part in enumerate(parts) if part.tell is None]
    assert len(found["scenarios"]) == sum(part.tell is not None for part in parts)
    assert found["reasons"]
    if not parts:
        assert found["reasons"] == ["nothing was judged"]


WHERE = [
    ([("documented", broken), ("hardened", kept)], True),
    ([("documented", kept), ("hardened", kept)], False),
    ([("documented", broken), ("hardened", broken)], False),
    ([("documented", broken), ("hardened", doubtful)], False),
    ([("documented", doubtful), ("hardened", kept)], False),
    ([("documented", broken), ("hardened", None)], False),
    ([("documented", None), ("hardened", kept)], False),
    ([("documented", broken)], True),
]


@pytest.mark.parametrize(("states", "reproduced"), WHERE, ids=range(len(WHERE)))
def test_a_weakness_is_reproduced_where_it_shows_and_nowhere_else(
    tmp_path: Path, states: list[tuple[str, Tell | None]], reproduced: bool
) -> None:
    parts = [Part(tell, WEAKNESS if state == "documented" else {}, "worker_killed", state) for state, tell in states]
    found = run_of(tmp_path / "run", parts)
    assert found["weaknesses"]["M1"]["reproduced"] is reproduced
    assert [(where["state"], where["wanted"]) for where in found["weaknesses"]["M1"]["where"]] == [
        (state, "violated" if state == "documented" else "holds") for state, _ in states
    ]
    assert (found["exit"] == 0) is reproduced


@pytest.mark.parametrize(("second", "reproduced"), [(broken, True), (kept, False), (doubtful, False), (None, False)])
def test_a_weakness_must_show_in_every_scenario_that_is_mapped_to_it(
    tmp_path: Path, second: Tell | None, reproduced: bool
) -> None:
    found = run_of(tmp_path / "run", [Part(broken, WEAKNESS), Part(second, WEAKNESS)])
    assert found["weaknesses"]["M1"]["reproduced"] is reproduced
    assert (found["exit"] == 0) is reproduced


def test_a_stored_history_is_judged_again_to_the_byte() -> None:
    with story() as told:
        broken(told)
        told.judged()
        judge_scenario(told.folder.parent)
        first = (told.folder.parent / "verdict.json").read_bytes()
        judge_scenario(told.folder.parent)
        assert (told.folder.parent / "verdict.json").read_bytes() == first
    assert json.loads(first)["reproduced"] == {}


def test_what_the_system_file_lacks_is_not_judged_and_says_what_to_add() -> None:
    with story(sources=["terminal"]) as told:
        kept(told)
        told.judged()
        findings, not_judged = judge(History.open(told.folder))
        lines = told.meta["lines_to_add"]
    assert {finding.guarantee for finding in findings} == {"no_loss", "available", "converges", "drains"}
    assert not_judged == {
        "no_phantoms": lines["enumerates"],
        "effects": lines["effects"],
        "reconnects": lines["clients"],
        "bounded": lines["clients"],
        "core_loss": lines["arrivals"],
        "redelivers.again": lines["hands"],
        "redelivers.bounded": lines["attempts"],
        "redelivers.dead_letters": lines["letters"],
        "redelivers.no_healthy": lines["dead"],
    }


# ---- the plain functions --------------------------------------------------------------------------------------------


def test_violated_beats_inconclusive_beats_holds() -> None:
    order = [HOLDS, INCONCLUSIVE, VIOLATED]
    for count in (1, 2, 3):
        for verdicts in product(order, repeat=count):
            assert merge(verdicts) is max(verdicts, key=order.index)
    assert merge([]) is INCONCLUSIVE


@pytest.mark.parametrize(
    ("unexpected", "judged", "missing", "code"),
    [
        ([], 1, 0, 0),
        ([], 0, 0, 2),
        ([], 1, 1, 2),
        ([INCONCLUSIVE], 1, 0, 2),
        ([VIOLATED], 1, 0, 1),
        ([INCONCLUSIVE, VIOLATED], 2, 3, 1),
        ([VIOLATED, INCONCLUSIVE], 2, 0, 1),
    ],
)
def test_exit_codes(unexpected: list[Verdict], judged: int, missing: int, code: int) -> None:
    assert exit_code(unexpected, judged=judged, missing=missing) == code


@pytest.mark.parametrize(
    ("codes", "worst"),
    [([], 2), ([0], 0), ([0, 2], 2), ([2, 1], 1), ([1, 64, 2], 64), ([0, 130], 1), ([3], 1), ([0, 0], 0)],
)
def test_the_worst_of_several_exits(codes: list[int], worst: int) -> None:
    assert worst_exit(codes) == worst


def test_what_is_unexpected_says_why() -> None:
    lost = Finding("no_loss", VIOLATED, reason="3 lost")
    late = Finding("reconnects.works", INCONCLUSIVE, reason="noise: late")
    fine = Finding("effects", HOLDS, 0, reason="fine")
    measured = Finding("available.failed", HOLDS, reason="fine; measured, not judged")
    all_three = [lost, late, fine]
    assert Expectation().unexpected([]) == [(INCONCLUSIVE, "nothing was judged")]
    assert Expectation(WEAKNESS).unexpected([]) == [(INCONCLUSIVE, "nothing was judged")]
    assert Expectation().unexpected([measured]) == [(INCONCLUSIVE, "nothing was judged")]
    assert Expectation().unexpected([fine, measured]) == []
    assert Expectation().unexpected(all_three) == [
        (VIOLATED, "no_loss violated: 3 lost"),
        (INCONCLUSIVE, "reconnects.works inconclusive: noise: late"),
    ]
    assert Expectation(WEAKNESS).unexpected(all_three) == []
    assert [
        how for how, _ in Expectation({"A": "effects", "B": "reconnects.works", "C": "drains"}).unexpected(all_three)
    ] == [
        VIOLATED,
        INCONCLUSIVE,
        INCONCLUSIVE,
    ]
    exposed = {"A": "no_loss", "B": "effects", "C": "reconnects.works", "D": "drains"}
    assert Expectation(exposed).reproduced(all_three) == {"A": True, "B": False, "C": False, "D": False}
