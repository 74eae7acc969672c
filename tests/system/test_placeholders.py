from __future__ import annotations

import pytest
from pydantic import JsonValue

from harness.errors import UnknownName, UsageError
from harness.system.placeholders import (
    Address,
    address,
    environment_name,
    link_placeholders,
    names,
    render,
    render_tree,
    stray_brace,
    strings,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", []),
        ("{broker.url}", ["broker.url"]),
        ("{port} {port} {env:X}", ["port", "env:X"]),
        ("{{port}}", []),
        ("{{{port}}}", ["port"]),
        ('{{"nats": "{broker.url}"}}', ["broker.url"]),
        ("{}", [""]),
        ("${HOME}", ["HOME"]),
        ("{ and }", [" and "]),
        ("} {", []),
    ],
)
def test_names(text: str, found: list[str]) -> None:
    assert names(text) == found


@pytest.mark.parametrize(
    ("text", "brace"), [("{a} {{ }}", None), ("{", "{"), ("a}", "}"), ("{a} {b", "{"), ("{{a}", "}"), ("{a}}", "}")]
)
def test_stray_brace(text: str, brace: str | None) -> None:
    assert stray_brace(text) == brace


def test_render_replaces_and_unescapes() -> None:
    values = {"broker.url": "nats://127.0.0.1:1", "port": "{port}"}
    assert render('{{"nats": "{broker.url}"}} {port}', values) == '{"nats": "nats://127.0.0.1:1"} {port}'


def test_render_names_an_unknown_placeholder_and_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no placeholder is called 'brokr.url'\n  fix: did you mean 'broker.url'"):
        render("x {brokr.url}", {"broker.url": "", "port": ""})


def test_render_refuses_a_stray_brace() -> None:
    with pytest.raises(UsageError, match=r"stray \{ in .*\n  fix: double it"):
        render("{port} {", {"port": "1"})


def test_render_tree_renders_texts_and_leaves_the_rest() -> None:
    tree: JsonValue = {"{op}": ["{op}", {"deep": "marker:{op}"}], "n": 1, "f": 0.5, "yes": True, "no": None}
    assert render_tree(tree, {"op": "r-0-1"}) == {
        "{op}": ["r-0-1", {"deep": "marker:r-0-1"}],
        "n": 1,
        "f": 0.5,
        "yes": True,
        "no": None,
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("web.url", Address("web", "", "url")),
        ("web.http.port", Address("web", "http", "port")),
        ("web.urls", Address("web", "", "urls")),
        ("port.http", None),
        ("port", None),
        ("web", None),
        ("web.http", None),
        ("a.b.c.url", None),
    ],
)
def test_address(name: str, found: Address | None) -> None:
    assert address(name) == found


def test_link_placeholders_are_the_addresses_once_each() -> None:
    text = "{broker.url} {replica} {web.http.url} {broker.url} {{store.url}}"
    assert link_placeholders(text) == [Address("broker", "", "url"), Address("web", "http", "url")]


@pytest.mark.parametrize(
    ("name", "variable"), [("env:X_1", "X_1"), ("env:", None), ("env:1X", None), ("env:a b", None), ("env", None)]
)
def test_environment_name(name: str, variable: str | None) -> None:
    assert environment_name(name) == variable


def test_strings_are_those_of_the_values() -> None:
    assert list(strings({"a": "1", "b": ["2", ("3", {"c": "4"}), 5, None]})) == ["1", "2", "3", "4"]
