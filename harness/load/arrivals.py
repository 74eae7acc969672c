"""When work is due: pure arithmetic, no clock and no waiting.

Arrivals are open-loop: the times are fixed when the load starts and do not move, however slow the answers are. What
could not be sent in time is sent at once, and keeps the time at which it was meant to be.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Arrivals:
    """A constant pace: arrival k is due at `start_ns` + k / `rate` seconds. `taken` counts what was handed out."""

    rate: float
    start_ns: int
    taken: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1e9:
            raise ValueError(f"a rate is above 0 and at most 1e9 a second, not {self.rate}")

    def at_ns(self, k: int) -> int:
        """When arrival k is due."""
        return self.start_ns + int(k * 1_000_000_000 / self.rate)

    @property
    def next_ns(self) -> int:
        """When the next arrival that was not handed out is due."""
        return self.at_ns(self.taken)

    def take(self, now_ns: int) -> int | None:
        """Hands out the next intended time that is not after `now_ns`; None where nothing (more) is due."""
        intended_ns = self.at_ns(self.taken)
        if intended_ns > now_ns:
            return None
        self.taken += 1
        return intended_ns

    def intended(self, until_ns: int) -> int:
        """How many arrivals were due before `until_ns`, handed out or not."""
        if until_ns <= self.start_ns:
            return 0
        k = int((until_ns - self.start_ns) * self.rate / 1_000_000_000)
        while k > 0 and self.at_ns(k - 1) >= until_ns:  # floating point may be off by one, either way
            k -= 1
        while self.at_ns(k) < until_ns:
            k += 1
        return k
