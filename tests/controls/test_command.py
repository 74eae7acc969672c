"""The same through the command: exit codes, weaknesses that show or do not, and that no clause is without a control."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.guarantees import clause_names, judged_clauses

from .control import SYSTEM

SCENARIO = '''
from harness import Run, calm

@calm
async def test_short(run: Run) -> None:
    """Two seconds of work, and no fault."""
    async with run.load():
        await run.steady(2)
'''


def judged(folder: Path, *chosen: str) -> tuple[int, Mapping[str, Any]]:
    """The exit of `nats-harness run` on the small system, and the verdict that it wrote."""
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "test_short.py").write_text(SCENARIO)
    command = [sys.executable, "-c", "from harness.cli import main; main()", "run", "--json", "--system", str(SYSTEM)]
    ended = subprocess.run(
        [*command, "--scenarios", "scenarios", *chosen], cwd=folder, capture_output=True, text=True, check=False
    )
    verdicts = list(folder.glob("reports/*/verdict.json"))
    assert verdicts, f"exit {ended.returncode}: {ended.stdout}{ended.stderr}"
    return ended.returncode, json.loads(verdicts[0].read_text())


def test_a_weakness_that_shows_is_as_expected(tmp_path: Path) -> None:
    exit_, verdict = judged(tmp_path, "--states", "pure,sinful")
    assert (exit_, verdict["as_expected"], verdict["exit"]) == (0, True, 0), verdict["reasons"]
    shown = {"pure": "holds", "sinful": "violated"}
    assert {found["state"]: found["verdict"] for found in verdict["scenarios"]} == shown
    assert verdict["weaknesses"]["S1"]["reproduced"]
    assert {where["state"]: where["verdict"] for where in verdict["weaknesses"]["S1"]["where"]} == shown


def test_a_weakness_that_does_not_show_is_not(tmp_path: Path) -> None:
    exit_, verdict = judged(tmp_path, "--states", "feigned")
    assert (exit_, verdict["as_expected"], verdict["exit"]) == (1, False, 1), verdict["reasons"]
    assert verdict["verdict"] == "holds"
    assert not verdict["weaknesses"]["S2"]["reproduced"]


def test_no_clause_is_without_a_positive_and_a_negative_control() -> None:
    """Read off the tests themselves: a guarantee that is added without its controls is found here."""
    positive: set[str] = set()
    negative: set[str] = set()
    tests = Path(__file__).parents[1]
    for path in [*tests.glob("controls/test_*.py"), *tests.glob("cases/test_*.py")]:
        tree = ast.parse(path.read_text())
        named = _names(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            what = ast.unparse(call.func)
            if what in ("came.must_name", "came.must_blame", "found.must_name", "of_links", "of_nodes", "at_once"):
                positive |= _clauses(call.args, named)
            elif what in ("came.must", "found.must") and ast.literal_eval(call.args[0]) == "holds":
                negative |= _clauses(call.args[1:], named)
    assert clause_names() - judged_clauses() == {"core_loss"}  # that it measures rightly is shown in tests/work
    violated, kept = "came.must_name(CLAUSE, ...) or came.must_blame", 'came.must("holds", CLAUSE)'
    assert judged_clauses() - positive == set(), f"no control finds these violated: {violated}"
    assert judged_clauses() - negative == set(), f"no control finds that these hold: {kept}"


def _names(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """The module's constants that hold clauses: NAME = "a.b", or A, B = ("a.b", "a.c")."""
    named: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple | ast.Constant):
            value, target = ast.literal_eval(node.value), node.targets[0]
            if isinstance(target, ast.Tuple):
                named |= {ast.unparse(name): (text,) for name, text in zip(target.elts, value, strict=True)}
            else:
                named[ast.unparse(target)] = value if isinstance(value, tuple) else (value,)
    return named


def _clauses(arguments: list[ast.expr], named: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    for argument in arguments:
        text = ast.unparse(argument).strip("*'\"")
        found |= {text, *named.get(text, ())}
    return found & clause_names()
