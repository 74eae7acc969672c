"""Stops for somebody who looks: before each fault, or before the system is taken down.

It speaks with the terminal itself, since pytest keeps a scenario's input and output.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

from harness.errors import UnknownName, UsageError
from harness.runtime.contract import Runtime

FAULTS, END = "faults", "end"
TERMINAL = "/dev/tty"
LONGEST_S = 1800
"""After that it goes on by itself: load goes on meanwhile, and a system that is kept for ever is one left behind."""


def asked(text: str, where: str = "--nats-hold") -> frozenset[str]:
    """Where to stop, of "faults,end", which `where` said.

    Raises UsageError for another word, and where there is no terminal to ask.
    """
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    for word in words - {FAULTS, END}:
        raise UnknownName(word, [FAULTS, END], kind="place to stop", where=where)
    if words:
        try:
            os.close(opened())
        except OSError as error:
            fix = "run it in a terminal"
            raise UsageError("there is no terminal to stop at", where=where, fix=fix) from error
    return words


async def hold(runtime: Runtime, before: str) -> None:
    """Tells where everything is, and waits for a line on the terminal, at most LONGEST_S."""
    terminal = opened()
    try:
        text = "\n".join(["", f"stopped before {before}", *where(runtime), "Enter goes on: "])
        os.write(terminal, text.encode())
        loop, line = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(terminal, line.set)
        try:
            await asyncio.wait_for(line.wait(), LONGEST_S)
            os.read(terminal, 1024)
        except TimeoutError:
            os.write(terminal, f"\nnobody came in {LONGEST_S} s: going on\n".encode())
        finally:
            loop.remove_reader(terminal)
    finally:
        os.close(terminal)


def opened() -> int:
    """The terminal that this process was started on. Raises OSError where it has none."""
    return os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def where(runtime: Runtime) -> Iterator[str]:
    """A line a node: its state, its address past the proxies, and its folder; and how to follow what they print."""
    width = max(map(len, runtime.nodes), default=0)
    for name, node in runtime.nodes.items():
        try:
            address = node.direct()
        except UsageError:
            address = "no port"
        yield f"  {name:{width}}  {'up  ' if node.alive else 'down'}  {address}  {node.dir}"
    for node in list(runtime.nodes.values())[:1]:
        yield f"  what they print: tail -f {node.dir.parent.parent}/history/lines-runner.jsonl"
