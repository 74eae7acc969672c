from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.report import page

from . import verdicts
from .verdicts import JSON

EVERY = pytest.mark.parametrize("make", verdicts.ALL.values(), ids=verdicts.ALL)
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Parsed(HTMLParser):
    """What is in a page: tags with their attributes, the texts, and whether all tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@EVERY
def test_is_one_self_contained_well_formed_file(make: Callable[[], JSON]) -> None:
    parsed = Parsed(page.render(make()))
    assert parsed.open == []
    names = {name for name, _ in parsed.tags}
    assert not names & {"img", "link", "iframe", "object", "form", "base"}
    assert parsed.all("script") == [{}]
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"style", "src"}]
    for link in parsed.all("a"):
        assert str(link["href"]).startswith(("#", "scenarios/"))


@EVERY
def test_is_accessible(make: Callable[[], JSON]) -> None:
    parsed = Parsed(page.render(make()))
    assert parsed.all("html") == [{"lang": "en"}]
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all("scope" in heading for heading in parsed.all("th"))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {str(link["href"])[1:] for link in parsed.all("a") if str(link["href"]).startswith("#")}
    wanted |= {str(section["aria-labelledby"]) for section in parsed.all("section")}
    assert wanted <= set(ids)
    levels = [int(name[1]) for name, _ in parsed.tags if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def _within(html: str, tag: str) -> tuple[str, str]:
    """What stands in a page's one such tag, and its hash."""
    inner = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return inner, base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()


def test_the_policy_allows_its_one_style_its_one_script_and_nothing_else() -> None:
    html = page.render(verdicts.red())
    (style, of_style), (script, of_script) = _within(html, "style"), _within(html, "script")
    assert "\n" in style
    assert "\n" in script
    [policy] = [tag["content"] for tag in Parsed(html).all("meta") if tag.get("http-equiv")]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{of_style}'; script-src 'sha256-{of_script}'; base-uri 'none';"
        " form-action 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_texts_are_shown_and_do_nothing() -> None:
    html = page.render(verdicts.hostile())
    assert html.count("<script") == 1
    assert "<img" not in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", html)
    html.encode("utf-8")
    parsed = Parsed(html)
    for shown in ("<script>alert(1)</script>", "{{ 7 * 7 }}", r"\x1b[2J", r"\u202egnp.exe", r"\ud800 lone"):
        assert shown in parsed.text
    [folder] = [str(link["href"]) for link in parsed.all("a") if str(link["href"]).startswith("scenarios/")]
    assert re.fullmatch(r"scenarios/[A-Za-z0-9._~%-]+/", folder)
    assert len(html) < 200_000


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (verdicts.green, ["GO As expected Everything planned was judged", "Exit code 0", "telhawk has no worker"]),
        (verdicts.red, ["NO-GO Not as expected", "Exit code 1", "20 of 1,204 shown", "offered at +3.120 s to web-0"]),
        (verdicts.red, ["The broker dies with queries in flight, and comes back."]),
        (verdicts.red, ["8.21 s (164 % of its bound)", "nats-harness replay", "partition of web-0 to broker-0"]),
        (verdicts.inconclusive, ["CANNOT SAY Inconclusive"]),
        (verdicts.inconclusive, ["Exit code 2", "2 of 4", "1 planned but missing", "1 not seen to bite"]),
        (verdicts.inconclusive, ["Incomplete: 1 of 4 planned scenarios left no verdict"]),
        (verdicts.inconclusive, ["StartError: search-1 was not ready in 10 s", "broker_paused[hardened]"]),
        (verdicts.exposed, ["verdict over all scenarios: violated, which is what was expected", "2 of 2 reproduced"]),
        (verdicts.exposed, ["Nothing is kept while the broker is away."]),
        (verdicts.exposed, ["as expected: a weakness reproduced: M3", "decides nothing here", "V*", "V°"]),
        (verdicts.unexposed, ["1 of 2 reproduced", "M3 was to show as no_loss violated; it holds", "H!"]),
        (verdicts.exposed, ["Controls that fired 2 of 7", "2 of 2 weaknesses showed"]),
        (verdicts.unexposed, ["Controls that fired 1 of 6", "1 of 2 weaknesses showed"]),
        (verdicts.green, ["Controls that fired 0 of 6 promises: none was to be broken here on purpose"]),
        (verdicts.empty, ["Nothing was judged. This run says nothing", "Exit code 2", "0 of 0"]),
    ],
)  # fmt: skip
def test_says(make: Callable[[], JSON], says: list[str]) -> None:
    text = Parsed(page.render(make())).text
    for words in says:
        assert words in text


def test_what_is_unexpected_comes_before_the_rest() -> None:
    text = Parsed(page.render(verdicts.red())).text
    order = [
        "NO-GO",
        "Exit code 1",
        "How much this rests on",
        "What was promised",
        "One row a scenario",
        "Operations that it names",
        "What holds, and should",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_scenario_leads_to_its_folder() -> None:
    assert '<a href="scenarios/broker_crash-hardened/">' in page.render(verdicts.red())


def test_the_lost_ids_are_all_there() -> None:
    text = Parsed(page.render(verdicts.red())).text
    assert all(f"7f3a9k2m-0-{n}" in text for n in range(118, 138))


def test_the_same_verdict_gives_the_same_page() -> None:
    assert page.render(verdicts.exposed()) == page.render(json.loads(json.dumps(verdicts.exposed())))


def test_two_scenarios_may_look_alike() -> None:
    twins = [verdicts.scenario("a_b"), verdicts.scenario("a-b"), verdicts.scenario("a.b"), verdicts.scenario("a_b")]
    ids = re.findall(r' id="(scenario-[^"]*)"', page.render(verdicts.run(twins)))
    assert ids == ["scenario-a-b-hardened", *(f"scenario-a-b-hardened.{n}" for n in (2, 3, 4))]


def test_write_puts_the_page_beside_the_verdict(tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text(json.dumps(verdicts.green()))
    assert page.write(tmp_path) == tmp_path / "index.html"
    assert (tmp_path / "index.html").read_text() == page.render(verdicts.green())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.html", "verdict.json"]


@pytest.mark.parametrize("content", [None, "{", '{"schema": 1}', "[]", "null"])
def test_write_refuses_what_is_no_verdict(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "verdict.json").write_text(content)
    with pytest.raises(HarnessError, match=r"verdict\.json"):
        page.write(tmp_path)
    assert not (tmp_path / "index.html").exists()


def _luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_read(scheme: int) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 for text."""
    style = (Path(page.__file__).parent / "page.css").read_text()
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style.split(":root {")[1 + scheme].split("}")[0]))
    pairs = [(ink, ground) for ink in ("ink", "quiet", "link") for ground in ("paper", "shade")]
    pairs += [(kind, f"{kind}-bg") for kind in ("good", "bad", "doubt", "shown")]
    pairs += [(ink, f"{kind}-bg") for kind in ("good", "bad", "doubt") for ink in ("ink", "quiet")]
    contrasts = {pair: _contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: contrast for pair, contrast in contrasts.items() if contrast < 4.5} == {}
