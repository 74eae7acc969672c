"""When work is due: pure arithmetic, no clock and no waiting.

Arrivals are open-loop: the times are fixed when the load starts and do not move, however slow the answers are. What
could not be sent in time is sent at once, and keeps the time at which it was meant to be.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Arrivals:
    """A constant pace: arrival k is due at `start_ns` + k / `rate` seconds. `taken` counts what was handed out.

    Of `parts` processes that share the pace, number `part` has the arrivals part, part + parts, part + 2 parts ...: all
    of them together offer exactly what one would. Nothing is due from `until_ns` on (None: it goes on for ever).
    """

    rate: float
    start_ns: int
    part: int = 0
    parts: int = 1
    taken: int = 0
    until_ns: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1e9:
            raise ValueError(f"a rate is above 0 and at most 1e9 a second, not {self.rate}")
        if not 0 <= self.part < self.parts:
            raise ValueError(f"part {self.part} is none of {self.parts}")

    def at_ns(self, k: int) -> int:
        """When this process' arrival k is due."""
        return self.start_ns + int((self.part + k * self.parts) * 1_000_000_000 / self.rate)

    @property
    def next_ns(self) -> int:
        """When the next arrival that was not handed out is due."""
        return self.at_ns(self.taken)

    @property
    def over(self) -> bool:
        """Whether all that will ever be due was handed out."""
        return self.until_ns is not None and self.next_ns >= self.until_ns

    def take(self, now_ns: int) -> int | None:
        """Hands out the next intended time that is not after `now_ns`; None where nothing (more) is due."""
        intended_ns = self.at_ns(self.taken)
        if intended_ns > now_ns or self.over:
            return None
        self.taken += 1
        return intended_ns

    def intended(self, until_ns: int) -> int:
        """How many arrivals were due before `until_ns`, handed out or not."""
        if self.until_ns is not None:
            until_ns = min(until_ns, self.until_ns)
        if until_ns <= self.start_ns:
            return 0
        k = int((until_ns - self.start_ns) * self.rate / 1_000_000_000) // self.parts
        while k > 0 and self.at_ns(k - 1) >= until_ns:  # floating point may be off by one, either way
            k -= 1
        while self.at_ns(k) < until_ns:
            k += 1
        return k
