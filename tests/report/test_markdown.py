"""summary.md: what it says, that nothing in it is markup that we did not write, and that it fits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.report.markdown import LONGEST, code, fitted, night_lines, prose, run_lines
from harness.report.text import plain

from . import verdicts
from .verdicts import HOSTILE, JSON, lost_finding, run, scenario

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = {"heading", "paragraph", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td", "strong"}
OURS |= {"text", "inline", "code_inline", "softbreak"}


def tokens(text: str) -> list[Token]:
    """All tokens of a text, those within lines as well."""
    found = []
    for token in READER.parse(text):
        found += [token, *(token.children or [])]
    return found


def kinds(text: str) -> set[str]:
    return {token.type.removesuffix("_open").removesuffix("_close") for token in tokens(text)}


def shown(text: str) -> str:
    """What a reader sees of a line."""
    return "".join(token.content for token in tokens(text) if token.type in ("text", "code_inline", "text_special"))


@pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
def test_it_has_only_the_markup_that_we_wrote(make: Callable[[], JSON]) -> None:
    lines = run_lines(make())
    assert kinds(fitted(lines)) <= OURS
    assert not [line for line in lines if "\n" in line or "\x1b" in line]
    assert all(len(token.children or []) >= 0 for token in tokens(fitted(lines)))


MARKUP = [
    "a | b",
    "`x` | y",
    "``",
    "[a](b)",
    "![a](b)",
    "<b>",
    "&lt;",
    "**b**",
    "_b_",
    "~~b~~",
    "# h",
    "- l",
    "1. l",
    "+ l",
]
MARKUP += [
    "www.evil.example",
    "http://evil.example",
    "a\\|b",
    "\\`",
    "> q",
    "===",
    "$x$",
    "@you",
    "<!-- x",
    "~~~",
    "***",
]


@pytest.mark.parametrize("text", [*MARKUP, *HOSTILE])
@pytest.mark.parametrize("write", [prose, code])
def test_foreign_text_shows_as_it_stands(text: str, write: Callable[[str], str]) -> None:
    expected = plain(text).strip()
    assert shown(f"- x {write(text)}").removeprefix("x ") == expected
    assert shown(f"- {write(text)}") == expected
    table = tokens(f"| a | b |\n| --- | --- |\n| {write(text)} | end |\n")
    assert [token.type for token in table].count("td_open") == 2
    assert kinds(f"| a | b |\n| --- | --- |\n| {write(text)} | end |\n") <= OURS


@pytest.mark.parametrize("text", ["@you", "a@example.com", "@@org/team @x", "`@you`", "\\@you"])
def test_whom_a_text_names_is_not_called(text: str) -> None:
    """GitHub looks for mentions and addresses in what is shown outside of code: there is no @ left."""
    outside = [child.content for token in tokens(prose(text)) for child in token.children or () if child.type == "text"]
    assert "@" not in "".join(outside)
    assert shown(prose(text)) == text


@given(st.text(max_size=60))
def test_any_text_shows_as_it_stands(text: str) -> None:
    for write in (prose, code):
        assert kinds(f"- x {write(text)}") <= OURS
        assert shown(f"- x {write(text)}").removeprefix("x").strip() == plain(text).strip()


def test_a_green_run_in_a_few_lines() -> None:
    text = fitted(run_lines(verdicts.green()))
    assert text.startswith("## telhawk: as expected (exit 0)\n\nEverything planned was judged")
    assert (
        "- 3 of 3 planned scenarios judged, 1 skipped, 0 missing; 1,299 operations offered; 2 of 2 faults with evidence"
        in text
    )
    assert "| `broker_crash[hardened]` | `reconnects.works` | 1.91 s | 5 s | 38 % of its bound |" in text
    assert "- `worker_killed[hardened]`: telhawk has no worker" in text
    assert "seed 20261125, runtime processes. nats-server 2.12.8" in text


def test_a_red_run_says_what_to_look_at_first() -> None:
    lines = run_lines(verdicts.red())
    at = lines.index("### broker_crash\\[hardened\\]: violated, not as expected")
    assert at < lines.index("### Scenarios")
    text = "\n".join(lines[at : at + 6])
    assert "- `no_loss` violated: 1204 of 12431 accepted have no result" in text
    assert "  - operations: `7f3a9k2m-0-118`, `7f3a9k2m-0-119`, `7f3a9k2m-0-120` and 1,201 more" in text
    assert "  - what happened to `7f3a9k2m-0-118`: offered at +3.120 s" in text
    assert "- run it again: `nats-harness replay 20261125-151200-ab12 'broker_crash[hardened]' --seed 20261125`" in text


def test_weaknesses_and_what_is_missing() -> None:
    assert "| M3 | Nothing is kept while the broker is away. | `broker_crash no_loss` | yes |" in run_lines(
        verdicts.exposed()
    )
    assert "| M3 | Nothing is kept while the broker is away. | `broker_crash no_loss` | **no** |" in run_lines(
        verdicts.unexposed()
    )
    lines = run_lines(verdicts.inconclusive())
    assert lines[0] == "## telhawk: inconclusive (exit 2)"
    assert lines[lines.index("### Planned, and without a verdict: 1") + 2] == "- `broker_paused[hardened]`"


def test_what_fits_is_whole() -> None:
    lines = run_lines(verdicts.large())
    text = fitted(lines)
    assert text == "\n".join(lines) + "\n"
    assert len(text) > 5000
    assert fitted(lines, len(text.encode())) == text


def test_two_hundred_bad_scenarios_are_cut_and_it_says_so() -> None:
    bad = lost_finding() | {"reason": "ü" * 4000}
    lines = run_lines(run([scenario(f"s{n}", findings=[bad]) for n in range(200)]))
    assert len("\n".join(lines).encode()) > LONGEST
    text = fitted(lines)
    assert LONGEST - 10_000 < len(text.encode()) <= LONGEST
    kept = text[: text.index("\n**Cut here")].splitlines()
    assert kept == lines[: len(kept)]
    assert text.endswith(
        f"\n**Cut here: {len(lines) - len(kept):,} more lines do not fit. The page, index.html, has everything.**\n"
    )


@given(st.lists(st.text(alphabet="aü\U0001f600", max_size=40), min_size=1, max_size=30), st.integers(-5, 900))
def test_it_is_never_longer_than_it_may_be(lines: list[str], longest: int) -> None:
    text = fitted(lines, longest)
    assert len(text.encode()) <= max(longest, 0)
    assert text in ("", "\n".join(lines) + "\n") or "**Cut here: " in text


def test_a_night_has_one_decision_over_its_runs() -> None:
    again = {"run": "three", "scenarios": ["calm[hardened]"], "exit": 0}
    night = {
        "runs": [
            {"run": "one", "system": "telhawk", "exit": 2, "again": again},
            {"run": "", "system": "bare", "exit": 2},
            {"run": "two", "system": "orders", "exit": 1},
        ],
        "unproven": ["the fault kill of bare's crash | never had evidence"],
        "exit": 1,
    }
    runs = [verdicts.green() | {"run": "one"}, verdicts.red() | {"run": "two", "system": "orders"}]
    lines = night_lines(night, runs)
    assert lines[0] == "## Night of 3 runs: not as expected (exit 1)"
    assert lines[4:8] == [
        "| `telhawk` | `one` | inconclusive (exit 2) |",
        "| `telhawk`, alone: `calm[hardened]` | `three` | as expected (exit 0) |",
        "| `bare` | `none` | inconclusive (exit 2) |",
        "| `orders` | `two` | not as expected (exit 1) |",
    ]
    assert "- unproven: the fault kill of bare's crash \\| never had evidence" in lines
    at = lines.index("- unproven: the fault kill of bare's crash \\| never had evidence")
    assert lines[at - 2].startswith("- orders: broker_crash\\[hardened\\]: no_loss violated: 1204 of 12431")
    assert [line for line in lines if line.startswith("### ")] == [
        "### orders: not as expected (exit 1)",
        "### telhawk: as expected (exit 0)",
    ]
    many = verdicts.red() | {"run": "two", "reasons": [f"reason {n}" for n in range(200)]}
    told = [line for line in night_lines(night, [many]) if line.startswith("- telhawk: ")]
    assert (len(told), told[-1]) == (7, "- telhawk: and 194 more")
    assert kinds(fitted(lines)) <= OURS
