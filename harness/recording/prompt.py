"""The prompt of a recording: faults are typed, begin at once, and last until they are told to be over.

It speaks with the terminal itself, since pytest keeps a scenario's input and output.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import outage
from harness.errors import HarnessError, UsageError
from harness.faults import load_all
from harness.history.shown import escaped
from harness.recording.typed import WORDS, Typed, typed, usage
from harness.recording.written import NS, Injected
from harness.run import holding

if TYPE_CHECKING:
    from harness.run import Run

SIGN = "> "
PACE_S = 5.0
"""How often it is recorded whether work was offered as intended."""
EXAMPLES = "pause broker, silent entry -> broker, latency worker -> broker latency_ms=400"


class Terminal:
    """Lines to and from a terminal, which may be gone at any time."""

    def __init__(self, fd: int) -> None:
        self._fd, self._rest = fd, b""
        self._asking = False

    async def line(self) -> str | None:
        """Asks for a line; None at the end of what is typed."""
        self._write(SIGN)
        self._asking = True
        try:
            while b"\n" not in self._rest:
                got = await self._read()
                if not got:
                    self._write("\n")
                    return None
                self._rest += got
        finally:
            self._asking = False
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def say(self, *lines: str) -> None:
        """Shows lines, and asks again where it was asking."""
        text = "".join(f"{escaped(line)}\n" for line in lines)
        self._write(f"\n{text}{SIGN}" if self._asking else text)

    async def _read(self) -> bytes:
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, readable.set)
        try:
            await readable.wait()
            return os.read(self._fd, 4096)
        except OSError:
            return b""
        finally:
            loop.remove_reader(self._fd)

    def _write(self, text: str) -> None:
        left = text.encode()
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self._fd, left) :]


@contextmanager
def terminal() -> Iterator[Terminal]:
    """The terminal that this process was started on. Raises OSError where it has none."""
    fd = holding.opened()
    try:
        yield Terminal(fd)
    finally:
        os.close(fd)


class Prompt:
    """What is typed at a terminal, and becomes of it. `injected` are the faults in the order in which they began.

    `over` is called with them each time that one of them is over.
    """

    def __init__(
        self,
        run: Run,
        terminal: Terminal,
        over: Callable[[list[Injected]], None],
        longest_s: float = holding.LONGEST_S,
    ) -> None:
        self.injected: list[Injected] = []
        self._told_over = over
        self._run, self._terminal, self._longest_s = run, terminal, longest_s
        self._lines = _Tail(run.setting.folder / "history" / "lines-runner.jsonl")
        self._on: dict[int, _On] = {}

    async def talk(self) -> None:
        """Until the end, Ctrl-D, or `longest_s`. Whatever is on is healed on every way out.

        Raises HarnessError where a fault could not be healed.
        """
        about = f"recording: faults begin as you type them, such as {EXAMPLES}"
        self._terminal.say("", about, *_told(WORDS), *self._where())
        try:
            async with asyncio.TaskGroup() as tasks:
                pace = tasks.create_task(self._offered())
                try:
                    async with asyncio.timeout(self._longest_s):
                        await self._hear(tasks)
                except TimeoutError:
                    self._terminal.say("", f"{self._longest_s:g} s are over: the recording ends")
                for number in sorted(self._on, reverse=True):
                    await self._over(number)
                pace.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _offered(self) -> None:
        """Records whether work was offered as intended meanwhile."""
        while True:
            await self._run.steady(PACE_S)

    async def _hear(self, tasks: asyncio.TaskGroup) -> None:
        while (line := await self._terminal.line()) is not None:
            try:
                match line.split():
                    case []:
                        pass
                    case ["end"]:
                        return
                    case ["help"]:
                        self._terminal.say(*sorted(map(usage, load_all())), *_told(WORDS))
                    case ["where"]:
                        self._terminal.say(*self._where())
                    case ["over", *which]:
                        await self._over(self._number(which))
                    case _:
                        await self._begin(typed(line), tasks)
            except HarnessError as error:
                self._terminal.say(_line(f"{error.what}; {error.fix}").removesuffix(";"))

    def _number(self, which: list[str]) -> int:
        """The fault that is meant, of those that are on. Raises UsageError."""
        if not self._on:
            raise UsageError("nothing is on", fix=f"type a fault, such as {EXAMPLES.partition(',')[0]}")
        if not which:
            return max(self._on)
        number = int(which[0]) if len(which) == 1 and which[0].isdecimal() else 0
        if number not in self._on:
            fix = f"over, or over N with N of {', '.join(map(str, self._on))}"
            raise UsageError(f"{' '.join(which)} is not on", fix=fix)
        return number

    async def _over(self, number: int) -> None:
        one = self._on[number]
        one.over.set()
        await one.done.wait()

    async def _begin(self, asked: Typed, tasks: asyncio.TaskGroup) -> None:
        """Returns once it took effect, or did not. Raises HarnessError where it cannot be injected as things are."""
        one = _On(Injected(asked, load_all()[asked.what].LASTS))
        tasks.create_task(self._lives(one))
        await one.begun.wait()
        if one.refused is not None:
            raise one.refused

    async def _lives(self, one: _On) -> None:
        """The whole of a fault. Raises HarnessError where it could not be healed."""
        asked, one.read_from = one.injected.typed, self._lines.end()
        try:
            targets = [outage.target(self._run, word) for word in asked.targets]
            async with getattr(self._run.faults, asked.what)(*targets, **asked.parameters):
                await self._lasts(one)
        except HarnessError as error:
            if one.number:
                raise
            one.refused = error
        finally:
            if one.number:
                one.injected.lines += self._lines.since(one.read_from, one.id)
                del self._on[one.number]
                self._terminal.say(*self._ended(one))
                self._told_over(self.injected)
            one.begun.set()
            one.done.set()

    async def _lasts(self, one: _On) -> None:
        """While it is on."""
        self.injected.append(one.injected)
        one.number = len(self.injected)
        self._on[one.number] = one
        try:
            one.injected.lines = self._lines.since(one.read_from)
            one.id = one.injected.span.id
            self._terminal.say(self._began(one))
            one.begun.set()
            if one.injected.lasts and one.injected.span.effective_ns is not None:
                await one.over.wait()
        finally:
            one.read_from = self._lines.end()

    def _began(self, one: _On) -> str:
        span = one.injected.span
        if span.effective_ns is None:
            return _line(f"{one}: it took no effect, so nothing can be judged of this run: {one.injected.failed}")
        took_ms = (span.effective_ns - span.asked_ns) / 1e6
        return f"{one}: on since {self._s(span.effective_ns)}, {took_ms:.1f} ms after it was asked for"

    def _ended(self, one: _On) -> Iterator[str]:
        """A line; none of what took no effect."""
        span, ended_ns = one.injected.span, one.injected.ended_ns
        if span.effective_ns is not None and ended_ns is not None:
            healed = f"healed at {self._s(span.healed_ns)}" if span.healed_ns else "and not healed"
            yield f"{one}: over after {(ended_ns - span.effective_ns) / NS:.1f} s, {healed}"

    def _s(self, t_ns: int) -> str:
        """A moment in seconds after the first effect."""
        first = min(one.span.effective_ns or t_ns for one in self.injected)
        return f"{(t_ns - first) / NS:.1f} s"

    def _where(self) -> Iterator[str]:
        yield from self._run.where()
        for one in self._on.values():
            yield f"  on: {one}, since {self._s(one.injected.span.effective_ns or 0)}"
        if not self._on:
            yield "  nothing is on"


@dataclass
class _On:
    """A fault whose task goes on. `number` is 0, and it has no id, until it was injected."""

    injected: Injected
    over: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = 0
    id: int = 0
    read_from: int = 0
    refused: HarnessError | None = None

    def __str__(self) -> str:
        return f"{self.number} {self.injected.typed}"


@dataclass(frozen=True)
class _Tail:
    """The end of a file of lines that is written meanwhile. To read all of it again would make the load late."""

    path: Path

    def end(self) -> int:
        """Where what comes next will be."""
        return self.path.stat().st_size

    def since(self, offset: int, id_: int | None = None) -> list[Mapping[str, Any]]:
        """The lines from there on that tell of faults; of one fault."""
        with self.path.open("rb") as file:
            file.seek(offset)
            found = [json.loads(line) for line in file if b'"fault"' in line and line.endswith(b"\n")]
        return [line for line in found if line["kind"] == "fault" and id_ in (None, line["id"])]


def _line(text: str) -> str:
    """A text of several lines as one."""
    return " ".join(text.split())


def _told(words: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, words))
    return (f"  {word:{width}}  {does}" for word, does in words.items())
