"""Somebody who goes through a page from top to bottom, saves and types what stands there, and compares."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.survival.harness_process import run
from tests.survival.terminal import WITHIN_S, terminal

from .pages import CONSOLES, Block, blocks
from .shown import differs

HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
ASKS = {"--step": "stopped before the fault", "--keep": "stopped before the system is taken down"}


def headings(page: Path) -> list[tuple[int, str]]:
    """The line and the words of each heading of the second level."""
    text = page.read_text("utf-8")
    return [(text.count("\n", 0, match.start()) + 1, match[1]) for match in HEADING.finditer(text)]


def steps(page: Path) -> dict[str, list[Block]]:
    """The blocks below each heading that has a number, in order."""
    found: dict[str, list[Block]] = {name: [] for _, name in headings(page) if name[0].isdigit()}
    for block in (block for block in blocks() if block.page == page):
        name = [name for line, name in headings(page) if line < block.line][-1:]
        if name and name[0] in found:
            found[name[0]].append(block)
    return found


class Reader:
    """Who has come as far as `done` says, in a folder of their own."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.steps, self.folder = steps(page), folder
        self.done: list[str] = []

    def goes_through(self, step: str) -> None:
        """Saves and types what stands there, after all that stands before."""
        names = list(self.steps)
        for before in names[: names.index(step)]:
            if before not in self.done:
                self.goes_through(before)
        output = ""
        for block in self.steps[step]:
            if block.file:
                (self.folder / block.file).write_text(block.text, "utf-8")
            elif block.tag in CONSOLES:
                lines = [line.removeprefix("$ ") for line in block.text.splitlines()]
                folder = self.there(lines) if block.tag == "console there" else self.folder
                output = "".join(self.types(line, folder, block.where) for line in lines)
            elif not block.tag:
                assert not (told := differs(block.text, output)), f"{block.where}: {told}\n\nwhat came back:\n{output}"
        self.done.append(step)

    def there(self, lines: list[str]) -> Path:
        """Another folder, with the files that are named."""
        folder = self.folder / "there"
        folder.mkdir(exist_ok=True)
        for word in {word for line in lines for word in shlex.split(line)}:
            if (self.folder / word).is_file():
                shutil.copy(self.folder / word, folder)
        return folder

    def types(self, line: str, folder: Path, where: str) -> str:
        """What comes back; the exit must be the one that it tells, or else 0."""
        program, *words = shlex.split(line)
        if set(ASKS) & set(words):
            output, code = self.stops(words, folder)
        elif program == "python":
            command = [sys.executable, *words]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
            output, code = done.stdout + done.stderr, done.returncode
        else:
            assert program == "nats-harness", f"{where}: {line}"
            done = run(folder, *words)
            output, code = done.stdout + done.stderr, done.returncode
        assert "inconclusive: noise: " not in output, f"THIS MACHINE WAS TOO BUSY to judge timing: {output}"
        exits = re.findall(r"\(exit (\d+)[,)]", output)
        assert code == int(exits[-1] if exits else 0), f"{where}: {line}: {output}"
        return output

    def stops(self, words: list[str], folder: Path) -> tuple[str, int]:
        """The same on a terminal, with Enter wherever it is asked for."""
        with terminal(folder, *words, TERM="dumb") as opened:
            for asked in (asked for option, asked in ASKS.items() if option in words):
                assert asked in opened.read_until("Enter goes on: ")
                opened.press_enter()
            opened.read_until("report: ")
            return opened.shown, opened.process.wait(WITHIN_S)
