"""Ctrl-C: the first ends a run in order; those after it, which would only keep it from that, change nothing."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

ENDING = "interrupted: what was started is being ended; another Ctrl-C changes nothing"


class Interrupts:
    """SIGINT of this process, where Python's own handler has it: not in the background, and no other's."""

    def __init__(self) -> None:
        self.on_ending: Callable[[], None] = lambda: None
        """Called once, in the event loop, where a coroutine is ended; never in the signal's handler."""
        self._pressed = False
        self._end: Callable[[], object] | None = None

    def take(self) -> bool:
        """From now on; whether it was taken by this call."""
        if threading.current_thread() is not threading.main_thread():
            return False
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return False
        signal.signal(signal.SIGINT, self._press)
        return True

    def take_cancelling(self) -> None:
        """SIGTERM, too, by which CI systems cancel; unless SIGINT is ignored, as in background."""
        if self.take():
            signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """As asyncio.run. Where it was interrupted, KeyboardInterrupt once all of it has ended."""
        taken = self.take()

        async def interruptible() -> T:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None

            def end() -> None:
                self.on_ending()
                task.cancel()

            self._end = lambda: loop.call_soon_threadsafe(end)
            return await main

        try:
            result = asyncio.run(interruptible())
        except BaseException as error:
            if self._pressed:
                raise KeyboardInterrupt from error
            raise
        else:
            if self._pressed:
                raise KeyboardInterrupt
            return result
        finally:
            self._end = None
            if taken:  # what comes after is none of ours
                self._pressed = False
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, *_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # also for what is started to end it, and as the interpreter ends
        self._pressed = True
        if self._end is None:
            raise KeyboardInterrupt
        self._end()


INTERRUPTS = Interrupts()
