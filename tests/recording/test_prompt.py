"""The prompt of a recording: what is typed at a terminal happens, and what becomes of it is told there."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import outage, recording
from harness.errors import HarnessError, UnknownName, UsageError
from harness.history.recorder import Recorder
from harness.outage import Event
from harness.recording.prompt import Prompt, Terminal
from harness.recording.written import outage as recorded
from harness.run import Run

WITHIN_S = 20.0


class Stub:
    """A run of which faults leave their lines and nothing else. `healing` is what may go wrong then."""

    def __init__(self, folder: Path) -> None:
        (folder / "history").mkdir()
        self.recorder = Recorder(folder / "history", name="runner", nonce="abcdefgh")
        self.setting = SimpleNamespace(folder=folder)
        self.faults = self
        self.broker, self.entry = "broker", None
        self.steadies = 0
        self.healing: HarnessError | None = None
        self.checks: HarnessError | None = None
        self._count = 0

    def where(self) -> list[str]:
        return ["  broker-0  up  \x1b[31mnats://127.0.0.1:4222"]

    def node(self, name: str) -> object:
        raise UnknownName(name, ["web-0"], kind="replica")

    async def steady(self, seconds: float) -> None:
        self.steadies += 1
        await asyncio.sleep(seconds)

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        @asynccontextmanager
        async def fault(*targets: object, **parameters: object) -> AsyncIterator[None]:
            self._count += 1
            if self.checks is not None:
                raise self.checks
            number = self._count
            self._line(number, "asked", fault=kind)
            self.recorder.line("probe", fault=number, link=["load", "broker-0"], way="to", n=1, sent_ns=1, got_ns=2)
            if parameters.get("configuration") == "bad":
                self._line(number, "failed", detail="no such key:\n  a")
            else:
                self._line(number, "effective")
            try:
                yield
            finally:
                self._line(number, "healing")
                await asyncio.sleep(float(cast(float, parameters.get("seconds", 0))))
                if self.healing is not None:
                    raise self.healing
                self._line(number, "healed")

        return fault

    def _line(self, number: int, event: str, **fields: Any) -> None:
        self.recorder.line("fault", id=number, event=event, **fields)


class Typist:
    """Who sits at the terminal."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self.shown = ""

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    async def sees(self, words: str) -> str:
        """What is shown from now until it is these words."""
        before, deadline = len(self.shown), time.monotonic() + WITHIN_S
        while words not in self.shown[before:]:
            assert time.monotonic() < deadline, self.shown
            try:
                self.shown += os.read(self._ours, 4096).decode().replace("\r\n", "\n")
            except BlockingIOError:
                await asyncio.sleep(0.005)
        return self.shown[before:]

    async def asks(self, line: str, answer: str) -> str:
        """What is shown from typing a line until its answer, and the next question."""
        self.types(f"{line}\n")
        shown = await self.sees(answer)
        return shown if shown.endswith("> ") else shown + await self.sees("> ")

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def typist() -> Iterator[Typist]:
    made = Typist()
    yield made
    made.close()


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    made = Stub(tmp_path)
    yield made
    made.recorder.close()


async def talked(
    stub: Stub, typist: Typist, types: Callable[[Prompt], Awaitable[None]], longest_s: float = WITHIN_S
) -> Prompt:
    """A prompt at which somebody types what they type, from the first question to its end."""
    prompt = Prompt(cast(Run, stub), Terminal(typist.theirs), lambda injected: None, longest_s)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(prompt.talk())
        await typist.sees("\n> ")
        await types(prompt)
    return prompt


def events(prompt: Prompt) -> list[Event]:
    """What the file would tell."""
    told = recorded(prompt.injected, "x", None)
    return [*told.events] if told else []


def kinds(prompt: Prompt) -> list[str]:
    return [event.what for event in events(prompt)]


async def test_a_fault_begins_as_it_is_typed_and_lasts_until_over(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        shown = await typist.asks("pause broker", "1 pause broker: on since 0.0 s")
        assert "ms after it was asked for\n" in shown
        await asyncio.sleep(0.3)
        assert prompt.injected[0].span.healed_ns is None
        shown = await typist.asks("over", "healed at")
        told = re.search(r"1 pause broker: over after (\S+) s, healed at (\S+) s\n", shown)
        span = prompt.injected[0].span
        assert span.effective_ns is not None
        assert span.healed_ns is not None
        lasted = f"{(span.healed_ns - span.effective_ns) / 1e9:.1f}"
        assert told is not None
        assert told.groups() == (lasted, lasted)
        assert float(lasted) >= 0.3
        lasts.append(float(lasted))
        typist.types("end\n")

    lasts: list[float] = []
    prompt = await talked(stub, typist, types)
    assert events(prompt) == [Event(what="pause", on="broker", at=0.0, for_s=lasts[0])]
    assert stub.steadies >= 1


async def test_several_are_on_and_each_is_ended_by_its_number(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        await typist.asks("pause broker", "1 pause broker: on")
        await typist.asks("kill broker", "2 kill broker: on")
        await typist.asks("silent entry -> broker way=to", "3 silent entry -> broker way=to: on")
        shown = await typist.asks("where", "  on: 3 silent entry -> broker way=to, since ")
        assert [line[:8] for line in shown.splitlines() if "  on:" in line] == ["  on: 1 ", "  on: 2 ", "  on: 3 "]
        await typist.asks("over 2", "2 kill broker: over")
        assert "over 2\n2 is not on; over, or over N with N of 1, 3\n" in await typist.asks("over 2", "is not on")
        assert "one two is not on" in await typist.asks("over one two", "is not on")
        await typist.asks("over", "3 silent entry -> broker way=to: over")
        await typist.asks("over", "1 pause broker: over")
        assert "nothing is on; type a fault, such as pause broker\n" in await typist.asks("over", "nothing is on")
        assert "  nothing is on\n" in await typist.asks("where", "nothing is on")
        typist.types("end\n")

    prompt = await talked(stub, typist, types)
    assert kinds(prompt) == ["pause", "kill", "silent"]


async def test_mistakes_are_told_in_a_line_and_end_nothing(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        await typist.asks("pause broker", "1 pause broker: on")
        for line, answer in {
            "paus broker": "no fault or word is called 'paus'; did you mean 'pause'?\n",
            "kill web-1": "no replica is called 'web-1'; did you mean 'web-0'?\n",
            "kill broker reopn=x": "no parameter of kill is called 'reopn'; did you mean 'reopen'?\n",
            "silent entry": "missing a required argument: 'provider'; type silent SOURCE -> PROVIDER [way=both]\n",
        }.items():
            shown = await typist.asks(line, answer.partition(";")[0])
            assert answer.partition(";")[2].strip() in shown
            assert shown.count("\n") == 2, shown
        stub.checks = UsageError("the broker\nis down", where="kill", fix="wait\x1b[2J")
        shown = await typist.asks("kill broker", "the broker is down; wait\\x1b[2J\n")
        assert "\x1b" not in shown
        await typist.asks("", "> ")
        stub.checks = None
        await typist.asks("kill broker", "2 kill broker: on")
        typist.types("end\n")

    prompt = await talked(stub, typist, types)
    assert kinds(prompt) == ["pause", "kill"]
    assert all(one.span.healed_ns for one in prompt.injected)


async def test_what_takes_no_effect_is_over_at_once_and_no_part_of_the_file(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        no = "it took no effect, so nothing can be judged of this run: no such key: a\n"
        await typist.asks("reload broker configuration=bad", f"1 reload broker configuration=bad: {no}")
        await typist.asks("where", "nothing is on")
        typist.types("end\n")

    assert kinds(await talked(stub, typist, types)) == []
    assert "1 reload broker configuration=bad: over" not in typist.shown


async def test_what_is_over_by_itself_is_told_when_it_is(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        await typist.asks("burst times=2 seconds=0.4", "1 burst times=2 seconds=0.4: on since 0.0 s")
        await typist.asks("pause broker", "2 pause broker: on")
        shown = await typist.sees("s\n> ")
        assert shown.startswith("\n1 burst times=2 seconds=0.4: over after 0.")
        typist.types("end\n")

    burst, _ = events(await talked(stub, typist, types))
    assert burst.what == "burst"
    assert 0.4 <= burst.for_s < 2


async def test_what_ends_meanwhile_is_no_end_of_it(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        await typist.asks("pause broker", "1 pause broker: on")
        await typist.asks("burst times=2 seconds=1", "2 burst times=2 seconds=1: on")
        await typist.asks("over 1", "1 pause broker: over")
        await typist.sees("2 burst times=2 seconds=1: over after 1.")
        typist.types("end\n")

    prompt = await talked(stub, typist, types)
    assert [one.span.id for one in prompt.injected] == [1, 2]
    pause, burst = events(prompt)
    assert pause.for_s < 1 <= burst.for_s


@pytest.mark.parametrize("ends", ["end\n", "\x04", "pau\x04\x04"])
async def test_its_end_heals_what_is_on_the_last_first(ends: str, stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        await typist.asks("pause broker", "1 pause broker: on")
        await typist.asks("kill broker", "2 kill broker: on")
        typist.types(ends)
        shown = await typist.sees("1 pause broker: over")
        assert 0 < shown.index("2 kill broker: over") < shown.index("1 pause broker: over")

    prompt = await talked(stub, typist, types)
    assert all(one.span.healed_ns for one in prompt.injected)


async def test_it_ends_by_itself_where_nobody_comes(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        await typist.asks("pause broker", "1 pause broker: on")
        await typist.sees("0.5 s are over: the recording ends\n1 pause broker: over")

    assert kinds(await talked(stub, typist, types, longest_s=0.5)) == ["pause"]


async def test_help_lists_every_fault_and_word(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        shown = await typist.asks("help", "  end    ends the recording, as Ctrl-D does\n")
        assert "\nlatency SOURCE -> PROVIDER latency_ms=... [jitter_ms=0.0] [way=both]\n" in shown
        assert "\n  where  tells where everything is" in shown
        typist.types("end\n")

    await talked(stub, typist, types)
    assert "\x1b" not in typist.shown
    assert "\\x1b[31mnats" in typist.shown


async def test_what_cannot_be_healed_ends_it_and_heals_the_others(stub: Stub, typist: Typist) -> None:
    async def types(prompt: Prompt) -> None:
        prompts.append(prompt)
        await typist.asks("pause broker", "1 pause broker: on")
        await typist.asks("kill broker", "2 kill broker: on")
        stub.healing = HarnessError("it does not start")
        typist.types("over\n")

    prompts: list[Prompt] = []
    with pytest.raises(ExceptionGroup) as raised:
        await talked(stub, typist, types)
    assert "it does not start" in str(raised.value.exceptions[0])
    assert kinds(prompts[0]) == ["pause", "kill"]
    assert "2 kill broker: over after 0." in await typist.sees("and not healed")


async def test_what_is_over_is_kept_at_once_and_an_interrupt_ends_the_rest(
    stub: Stub, typist: Typist, tmp_path: Path
) -> None:
    path, shown = tmp_path / "mine.outage.toml", Terminal(typist.theirs)
    asked = recording.Asked(path, None)
    prompt = Prompt(cast(Run, stub), shown, lambda injected: recording.write(asked, injected, "bare", shown))
    talk = asyncio.create_task(prompt.talk())
    await typist.sees("> ")
    await typist.asks("kill broker", "1 kill broker: on")
    await typist.asks("pause broker", "2 pause broker: on")
    assert not path.exists()
    await typist.asks("over 1", "1 kill broker: over")
    assert [event.what for event in outage.load(path).events] == ["kill"]
    await asyncio.sleep(0.2)
    talk.cancel()
    with pytest.raises(asyncio.CancelledError):
        await talk
    _, paused = outage.load(path).events
    assert (paused.what, paused.for_s) == ("pause", events(prompt)[1].for_s)
    assert 0.2 <= paused.for_s < 5


@pytest.mark.parametrize("way", [os.O_RDWR, os.O_WRONLY], ids=["nothing to read", "an error"])
async def test_a_terminal_that_is_gone_is_the_end(way: int, stub: Stub) -> None:
    ours, theirs = pty.openpty()
    gone = os.open(os.ttyname(theirs), way | os.O_NOCTTY)
    os.close(ours)
    await asyncio.wait_for(Prompt(cast(Run, stub), Terminal(gone), lambda injected: None).talk(), WITHIN_S)
    os.close(theirs)
    os.close(gone)


async def test_a_recording_that_cannot_be_written_is_shown(stub: Stub, typist: Typist, tmp_path: Path) -> None:
    async def types(prompt: Prompt) -> None:
        await typist.asks("pause broker", "1 pause broker: on")
        typist.types("end\n")

    prompt = await talked(stub, typist, types)
    asked = recording.Asked(tmp_path / "gone" / "mine.outage.toml", None)
    recording.write(asked, prompt.injected, "bare", Terminal(typist.theirs))
    shown = await typist.sees("for_s = ")
    assert "mine.outage.toml cannot be written: " in shown
    assert 'what = "pause"\n' in shown
