"""The documents, and what stands in them: fenced blocks, commands, sections, rows of tables."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "scenarios/README.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]

CONSOLES = ("console", "console there")
"""Tags of what is typed; the second one elsewhere, with the files that are named."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its tag of one or two words, the file that it is saved as, its text."""

    page: Path
    line: int
    tag: str
    file: str
    text: str

    @property
    def where(self) -> str:
        return f"{shown(self.page)}:{self.line}"


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(name: str) -> str:
    """A page of docs/."""
    return (DOCS / name).read_text("utf-8")


def blocks(*tags: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in re.finditer(r"^```(.*)\n((?:(?!```).*\n)*)```$", text, re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            words = match[1].split()
            found.append(Block(page, line, " ".join(words[:2]), " ".join(words[2:]), match[2]))
    return [block for block in found if not tags or block.tag in tags]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command line of a console block, by words, without the folder of its program."""
    for block in blocks(*CONSOLES):
        for line in block.text.splitlines():
            assert line.startswith("$ "), f"{block.where}: {line}"
            words = shlex.split(line[2:])
            yield block.where, [words[0].removeprefix(".venv/bin/"), *words[1:]]


def commands_of(program: str) -> list[tuple[str, list[str]]]:
    return [(where, words[1:]) for where, words in commands() if words[0] == program]


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next of the same level or a higher one."""
    text = page.read_text("utf-8")
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert match is not None, f"{shown(page)} has no heading {heading!r}"
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> dict[str, list[str]]:
    """The rows of its tables that begin with a word in code: the other cells by that word."""
    found = {}
    for line in filter(lambda line: line.startswith("|"), text.splitlines()):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if match := re.match(r"`([^`]+)`", cells[0]):
            found[match[1]] = cells[1:]
    return found


def documented(text: str, words: Iterable[object], where: str) -> None:
    """Each word stands in the text as code, alone or at the head of it."""
    lacking = [str(word) for word in words if not re.search(rf"`{re.escape(str(word))}[` =(\[]", text)]
    assert not lacking, f"{where} says nothing of {', '.join(lacking)}"


def links(page: Path) -> list[tuple[str, Path, str]]:
    """Each link to a file or heading: as it stands, the file, the heading's anchor."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        found.append((target, (page.parent / file).resolve() if file else page, anchor))
    return found


def spans(page: Path) -> set[str]:
    """What stands in code within the lines of a page, blocks aside."""
    lines = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", lines))


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def scenario_functions(text: str) -> list[ast.AsyncFunctionDef]:
    return [node for node in ast.parse(text).body if isinstance(node, ast.AsyncFunctionDef)]


def stock_scenarios() -> dict[str, list[str]]:
    """Each stock scenario's name, and what it needs."""
    found = {}
    for path in sorted((ROOT / "scenarios").rglob("test_*.py")):
        for function in scenario_functions(path.read_text("utf-8")):
            calls = [mark for mark in function.decorator_list if isinstance(mark, ast.Call)]
            needs = [arg for call in calls if ast.unparse(call.func) == "needs" for arg in call.args]
            found[function.name.removeprefix("test_")] = [ast.literal_eval(arg) for arg in needs]
    return found
