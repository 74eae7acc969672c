from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest

from harness.system._lines import Lines, Path
from harness.system.loader import READY

from .orders import ORDERS

TRICKY = '''\
# [comment]
"a key" = 1
a.b.'c.d' = "x # no comment ]" # one
text = """
[not.a.table]
k = "v" \\" \\""""
literal = \'\'\'
no = 'escape' \\\'\'\'\'
after = 2020-01-01T00:00:00Z

[t . "u\\u0020v"]
list = [ # comment ]
  1, [2, "]"],
  { x = 1, y = { z = [
    1,
  ] } },
]
[[many]]
k = 1
[many.sub]
k = 2
[[many.deep]]
k = 3
[[many]]
k = 4
[[many.deep]]
k = 5
[[many.deep]]
inline = { "q.r" = true, s.t = \'\' }
'''

EXPECTED: dict[Path, int] = {
    (): 1,
    ("a key",): 2,
    ("a", "b", "c.d"): 3,
    ("a",): 3,
    ("text",): 4,
    ("literal",): 7,
    ("after",): 9,
    ("t", "u v"): 11,
    ("t", "u v", "list"): 12,
    ("t", "u v", "list", 0): 13,
    ("t", "u v", "list", 1, 1): 13,
    ("t", "u v", "list", 2, "x"): 14,
    ("t", "u v", "list", 2, "y", "z", 0): 15,
    ("many",): 18,
    ("many", 0, "k"): 19,
    ("many", 0, "sub"): 20,
    ("many", 0, "sub", "k"): 21,
    ("many", 0, "deep", 0, "k"): 23,
    ("many", 1): 24,
    ("many", 1, "k"): 25,
    ("many", 1, "deep", 0, "k"): 27,
    ("many", 1, "deep", 1): 28,
    ("many", 1, "deep", 1, "inline", "q.r"): 29,
    ("many", 1, "deep", 1, "inline", "s", "t"): 29,
}


@pytest.mark.parametrize("path", EXPECTED, ids=str)
def test_each_key_has_its_line(path: Path) -> None:
    assert Lines(TRICKY).of(path) == EXPECTED[path]


def test_what_is_not_there_has_the_line_of_the_table_around_it() -> None:
    assert Lines(TRICKY).of(("many", 1, "deep", 1, "inline", "absent", 3)) == 29
    assert Lines(TRICKY).of(("absent",)) == 1


def test_line_ends_of_windows_count_once() -> None:
    assert Lines("a = 1\r\n\r\nb = 2\r\n").of(("b",)) == 3


def _paths(tree: object, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from _paths(item, (*path, key))
    elif isinstance(tree, list):
        for number, item in enumerate(tree):
            yield from _paths(item, (*path, number))


@pytest.mark.parametrize(
    "text", [TRICKY, ORDERS, *(path.read_text() for path in sorted(READY.glob("*.toml")))], ids=lambda text: text[:20]
)
def test_the_walk_finds_exactly_what_tomllib_reads(text: str) -> None:
    assert set(Lines(text)._lines) == set(_paths(tomllib.loads(text)))


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing", "a = 1", "a = 1 # end", "[t]", "a = []", "a = {}", "a = [ ]\n"]
)
def test_small_texts(text: str) -> None:
    assert set(Lines(text)._lines) == set(_paths(tomllib.loads(text)))
