"""A thread that sleeps for moments and sees how late it wakes: what tests that wait for others are excused by.

A test that fails while this machine held everybody up says nothing of the code: `make test` asks it again, and no
other, and names it at its end.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic, sleep

MOMENT_S = 0.01
LATE_S = 0.25
"""A test may be excused from here on. What tests wait for, they give twice the time, or half a second."""
AGAIN = ["--reruns", "2", "--only-rerun", "THIS MACHINE WAS TOO BUSY"]
"""How pytest is told to ask again who was excused, or who says so of a verdict's own noise, and nobody else."""
GIVES_WAY = 5
"""As nice as services of a system are, which wait for a core before we do."""


class TooBusy(AssertionError):
    """A test failed while nobody got a core; what it failed by is its cause."""

    def __init__(self, late_s: float) -> None:
        super().__init__(f"THIS MACHINE WAS TOO BUSY: what asked to wake after 10 ms did {late_s * 1000:,.0f} ms later")


class Witness:
    """Watches as long as its process lives; `latest_s` is the most that it woke too late."""

    def __init__(self) -> None:
        self.latest_s = 0.0
        self._late: deque[tuple[float, float]] = deque(maxlen=1000)
        threading.Thread(target=self._watch, name="witness", daemon=True).start()

    @contextmanager
    def excuses(self) -> Generator[None]:
        """Raises TooBusy for a failure of its body during which it woke LATE_S too late or more."""
        began = monotonic()
        try:
            yield
        except Exception as error:
            sleep(2 * MOMENT_S)  # a stall that ends just now is seen as well
            late_s = max((late for when, late in self._late if when >= began), default=0.0)
            if late_s < LATE_S:
                raise
            raise TooBusy(late_s) from error

    def _watch(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + GIVES_WAY)
        while True:
            asked = monotonic() + MOMENT_S
            sleep(MOMENT_S)
            late = monotonic() - asked
            self.latest_s = max(self.latest_s, late)
            if late >= LATE_S:
                self._late.append((monotonic(), late))
