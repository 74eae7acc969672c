"""A policy file: where it is looked for, and what is said of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.gate.policy import Policy
from harness.gate.policy_file import load

KNOWN = '[[gate.known]]\nclause = "no_loss"\nowner = "Ada"\nreason = "why"\nexpires = 2026-12-31\n'
MISTAKES = {
    "[gate]\nmust_hold = ['no_los']": ("gate.toml:2", "gate.must_hold[0]", "did you mean 'no_loss'?"),
    "[gate]\nmust_hold = []": ("gate.toml:2", "gate.must_hold", "give at least one"),
    "[gate]\ninconclusive = 'go'": ("gate.toml:2", "should be one of cannot-say, no-go, unless-judged"),
    "[gate]\ninconclusiv = 'no-go'": ("gate.toml:2", "unknown key", "did you mean 'inconclusive'?"),
    "[gate.least]\nscenarios = '3'": ("gate.toml:2", "gate.least.scenarios", "write 3 without quotes"),
    "[gate.least]\nfaults = -1": ("gate.toml:2", "gate.least.faults", "at least 0"),
    "[gate.repetitions]\nmay_fail = 1": ("gate.toml:1", "may_fail is not less than least", "write least = 2 or more"),
    "[gate.regression]\nsamples = 4": ("gate.toml:2", "gate.regression.samples", "at least 5"),
    "[gate.regression]\nchance = 0.9": ("gate.toml:2", "gate.regression.chance", "at most 0.5"),
    "[gate.regression]\nshift_s = inf": ("gate.toml:2", "gate.regression.shift_s", "finite"),
    "[gate.regression]\nclauses = ['reconnect']": (
        "gate.toml:2",
        "gate.regression.clauses[0]",
        "did you mean 'reconnects'?",
    ),
    "[[gate.bounds]]\nclause = 'reconnects'\nmost = 2": ("gate.toml:2", "no clause is called so", "reconnects.works"),
    "[[gate.budgets]]\nclause = 'no_loss'\nmost = 2": ("gate.toml:2", "a loss is never averaged", "must_hold"),
    KNOWN.replace('owner = "Ada"\n', ""): ("gate.toml:1", "gate.known[0].owner", "missing", "add owner = ..."),
    KNOWN.replace('"why"', '" "'): ("gate.toml:4", "gate.known[0].reason"),
    KNOWN.replace("2026-12-31", "'soon'"): ("gate.toml:5", "gate.known[0].expires"),
    KNOWN.replace("no_loss", "no_los"): ("gate.toml:2", "gate.known[0].clause", "did you mean 'no_loss'?"),
    "gate = 3": ("gate.toml:1", "gate", "should be a table"),
    "[gate": ("gate.toml", "not TOML"),
    "[gates]\n": ("gate.toml", "has no table [gate]"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_each_mistake_is_told_with_its_line_and_what_to_write(text: str, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text(text)
    with pytest.raises(UsageError) as told:
        load(tmp_path / "gate.toml", tmp_path)
    assert [word for word in MISTAKES[text] if word not in str(told.value)] == [], told.value


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text("[gate]\nmust_hold = ['a', 'b']\n")
    with pytest.raises(UsageError, match=r"must_hold\[0\](?s:.*)must_hold\[1\]"):
        load(None, tmp_path)


@pytest.mark.parametrize("text", ["", "[gates]", "must_hold = ['no_loss']", "[tool.nats_harness.gate]"])
def test_a_gate_toml_without_a_policy_was_meant_to_be_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text(text)
    with pytest.raises(UsageError, match=r"gate.toml: has no table \[gate\]"):
        load(None, tmp_path)
    (tmp_path / "gate.toml").rename(tmp_path / "pyproject.toml")
    assert load(None, tmp_path)[0] == Policy(), "which is there for much else"


def test_it_is_in_gate_toml_or_in_pyproject(tmp_path: Path) -> None:
    assert load(None, tmp_path) == (Policy(), "no policy: what the exit of a run says")
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "x"\n')
    assert load(None, tmp_path)[0] == Policy(), "a pyproject.toml without a policy is none"
    for table in ("gate", "tool.nats-harness.gate"):
        project.write_text(f"[{table}.least]\nfaults = 7\n")
        policy, where = load(None, tmp_path)
        assert (policy.least.faults, where) == (7, "pyproject.toml")
    (tmp_path / "gate.toml").write_text("[gate.least]\nfaults = 8\n")
    with pytest.raises(UsageError, match=r"two policies, in gate.toml and pyproject.toml"):
        load(None, tmp_path)
    assert load(tmp_path / "gate.toml", tmp_path)[0].least.faults == 8


def test_a_line_of_pyproject_is_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.nats-harness.gate.least]\nfaults = 1\nfault = 1\n")
    with pytest.raises(UsageError, match=r"pyproject.toml:3: tool.nats-harness.gate.least.fault"):
        load(None, tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_told(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="not UTF-8" if content else "cannot be read: No such file"):
        load(path, tmp_path)


def test_two_tables_in_one_file_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[gate]\n[tool.nats-harness.gate]\n")
    with pytest.raises(UsageError, match="keep one of them"):
        load(None, tmp_path)
