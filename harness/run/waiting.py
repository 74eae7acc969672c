"""The waits of a scenario: on conditions, with deadlines, each moment recorded. None of them raises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic_ns

from harness.history.recorder import Recorder
from harness.load.live import LiveView

NS = 1_000_000_000
EVERY_S = 0.05
LONGER_S = 10.0
"""How much longer than asked for `steady` waits for the load."""
LEAST_OFFERED = 0.95
LinkKey = tuple[str, str]


@dataclass
class Waiting:
    """What the waits look at. `rate` is all workloads' operations a second, at the load's `times`."""

    recorder: Recorder
    live: LiveView
    alive: Callable[[LinkKey], int]
    """Connections of a link that are open now."""
    clients: tuple[LinkKey, ...]
    settles_s: float
    within_s: float
    rate: float = 0.0
    had: Mapping[LinkKey, int] | None = None
    healed_ns: int = 0

    def before_fault(self) -> None:
        """Remembers how many connections each client link has, once: before the first fault."""
        if self.had is None:
            self.had = {link: self.alive(link) for link in self.clients}

    def healed(self, at_ns: int) -> None:
        """A fault was healed: `recovered` counts from the last one."""
        self.healed_ns = max(self.healed_ns, at_ns)

    async def steady(self, seconds: float) -> None:
        """See Run.steady."""
        start = monotonic_ns()
        intended = round(self.rate * seconds)
        end, deadline = start + int(seconds * NS), start + int((seconds + LONGER_S) * NS)
        while (now := monotonic_ns()) < end or (now < deadline and self._offered(start) < LEAST_OFFERED * intended):
            await asyncio.sleep(min(EVERY_S, max((end - now) / NS, 0.001)))
        offered = self._offered(start)
        self.recorder.line("phase", name="steady", from_ns=start, to_ns=now, offered=offered, intended=intended)

    def _offered(self, from_ns: int) -> int:
        self.live.update()
        return self.live.begun(from_ns, monotonic_ns()).offered

    async def recovered(self, within_s: float | None) -> None:
        """See Run.recovered."""
        start = monotonic_ns()
        deadline = start + int((within_s if within_s is not None else self.within_s) * NS)
        moments: dict[str, int | None] = {"connections_ns": None, "answers_ns": None, "drained_ns": None}
        settled = False
        while (now := monotonic_ns()) < deadline:
            self.live.update()
            state = {
                "connections_ns": all(self.alive(link) >= count for link, count in (self.had or {}).items()),
                "answers_ns": self.live.last_second_ok(now),
                "drained_ns": not self.live.open_before(self.healed_ns or now),
            }
            for name, true in state.items():
                moments[name] = (moments[name] or now) if true else None
            settled = self._settled(now, self.live.open_before(self.healed_ns or now))
            if state["connections_ns"] and state["answers_ns"] and (state["drained_ns"] or settled):
                break
            await asyncio.sleep(EVERY_S)
        self.recorder.line("recovered", **moments, settled=settled, healed_ns=self.healed_ns)
        self.recorder.line("phase", name="recovered", from_ns=start, to_ns=now)

    async def settled(self, poisons: Callable[[], list[int]] = list) -> None:
        """Waits until nothing that was accepted is open, or it is all settled; bounded by what settling takes.

        `poisons`: when each poison was taken that is no dead letter yet; they are open too.
        """
        deadline = monotonic_ns() + int((self.settles_s + LONGER_S) * NS)
        while (now := monotonic_ns()) < deadline:
            self.live.update()
            still_open = [*(operation.end_ns for operation in self.live.open()), *poisons()]
            if not still_open or self._settled(now, still_open):
                return
            await asyncio.sleep(EVERY_S)

    def _settled(self, now: int, still_open: list[int]) -> bool:
        """Each is older than what the system needs to settle, counted from its acceptance and from the healing."""
        return all(now - max(accepted, self.healed_ns) > self.settles_s * NS for accepted in still_open)
