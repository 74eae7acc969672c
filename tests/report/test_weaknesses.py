"""The table of weaknesses: its rows are the system file's, its verdicts those of the last run that judged them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click.testing
import pytest

from harness import cli
from harness.errors import UsageError
from harness.report.weaknesses import BEGIN, END, table, write_between
from harness.system import SystemFile, load_system

FILE = """
[system]
name = "weak"
[broker]
version = "2.12.8"
[workloads.messages]
kind = "core"
rate = 10
publish = { url = "{broker.url}", subject = "a" }
[hardening]
variable = "WEAK"
switches = ["outbox"]
[states.old]
hardening = "none"
expect = "exposed"
exposes = { crash = { B = "no_loss", A = "no_loss" }, pause = { A = "reconnects.notices" } }
[states.new]
hardening = "all"
[weaknesses]
B = "It | <b>forgets</b>."
A = "It does not notice."
"""
AGAIN = "`nats-harness run --system weak.toml --all-states -k"


@pytest.fixture
def system(tmp_path: Path) -> SystemFile:
    (tmp_path / "weak.toml").write_text(FILE)
    return load_system(str(tmp_path / "weak.toml"))


def run(*where: tuple[str, str, str, str], weakness: str = "A", system: str = "weak") -> Any:
    words = ("scenario", "state", "clause", "verdict")
    places = [dict(zip(words, one, strict=True)) for one in where]
    return {"system": system, "weaknesses": {weakness: {"says": "", "reproduced": True, "where": places}}}


def test_a_row_for_each_scenario_that_shows_one_in_the_order_of_the_sentences(system: SystemFile) -> None:
    assert table(system, "weak.toml", []) == [
        "| weakness | what it is | scenario | clause | as old | as new | again |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        f"| B | It \\| \\<b\\>forgets\\</b\\>. | `crash` | `no_loss` | not judged | not judged | {AGAIN} crash` |",
        f"| A | It does not notice. | `crash` | `no_loss` | not judged | not judged | {AGAIN} crash` |",
        f"| A | It does not notice. | `pause` | `reconnects.notices` | not judged | not judged | {AGAIN} pause` |",
    ]


def test_the_last_run_that_has_it_counts(system: SystemFile) -> None:
    first = run(("crash", "old", "no_loss", "holds"), ("crash", "new", "no_loss", "holds"))
    second = run(("crash", "old", "no_loss", "violated"), ("pause", "old", "reconnects.notices", "missing"))
    others = [
        run(("crash", "old", "no_loss", "holds"), system="another"),
        run(("crash", "old", "effects", "holds")),
        run(("crash", "old", "no_loss", "inconclusive"), weakness="C"),
    ]
    _, _, of_b, *of_a = table(system, "weak.toml", [first, second, *others])
    assert [row.split(" | ")[4:6] for row in of_a] == [["violated", "holds"], ["not judged", "not judged"]]
    assert of_b.split(" | ")[4:6] == ["not judged", "not judged"]


def test_it_is_written_where_the_page_says(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for lines in (["| a |", "| b |"], ["| c |"]):
        write_between(page, lines)
    assert page.read_text() == f"before\n{BEGIN}\n| c |\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", None])
def test_a_page_that_does_not_say_where_is_told_and_left(tmp_path: Path, text: str | None) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    with pytest.raises(UsageError) as caught:
        write_between(page, ["| a |"])
    assert str(page) in str(caught.value)
    assert not page.exists() or page.read_text() == text


def test_the_command_prints_it_and_knows_what_has_none(system: SystemFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(system.path.parent)
    asked = click.testing.CliRunner().invoke(cli.main, ["weaknesses", "--system", "weak.toml"])
    assert asked.exit_code == 0, asked.output
    assert asked.output.splitlines() == table(system, "weak.toml", [])
    none = click.testing.CliRunner().invoke(cli.main, ["weaknesses", "--system", "bare"])
    assert none.exit_code == 64
    assert "no state of the system exposes a weakness" in none.output
