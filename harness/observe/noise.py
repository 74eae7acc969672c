"""Noise: what our own loop and this machine did to the measuring: its lag, and who used the cores."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from time import monotonic, monotonic_ns

from harness.history.recorder import Recorder

SLEEP_S = 0.005
EVERY_S = 1.0
LATE_MS = 50.0
"""Later than this our own loop spoils timing."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

Groups = Callable[[], Mapping[str, Iterable[int]]]
"""The processes of each group now: "broker" -> pids."""


class Noise:
    """Records a line of kind `noise` each second for the process it runs in, which is called `what`."""

    def __init__(self, recorder: Recorder, groups: Groups, *, what: str = "runner") -> None:
        self.source = "noise"
        self._recorder, self._groups, self._what = recorder, groups, what
        self._used: dict[int, int] = {}  # pid -> ticks of processor time, as read before

    async def watch(self) -> None:
        """Measures until cancelled: how much later than asked our loop wakes up, in milliseconds."""
        self._cores(1.0)
        while True:
            from_ns, lags = monotonic_ns(), list[float]()
            while monotonic_ns() - from_ns < EVERY_S * 1e9:
                due = monotonic() + SLEEP_S
                await asyncio.sleep(SLEEP_S)
                # What came during a stall waited as well: a stall of 50 ms counts for each 5 ms of it.
                lag_ms = (monotonic() - due) * 1e3
                lags += [lag_ms - past_ms for past_ms in range(0, max(int(lag_ms), 1), int(SLEEP_S * 1e3))]
            self._tell(from_ns, sorted(lags))

    async def final(self) -> None:
        """Nothing is left to read."""

    def _tell(self, from_ns: int, lags: list[float]) -> None:
        seconds = (monotonic_ns() - from_ns) / 1e9
        self._recorder.line(
            "noise",
            what=self._what,
            from_ns=from_ns,
            lag_p99_ms=round(lags[int(len(lags) * 0.99)], 3),
            lag_max_ms=round(lags[-1], 3),
            late_share=round(sum(lag > LATE_MS for lag in lags) / len(lags), 4),
            cpu=self._cores(seconds),
        )

    def _cores(self, seconds: float) -> dict[str, float]:
        """Cores that each group used since this was called last; a process counts from its second reading on."""
        cores, used = {}, {}
        for group, pids in self._groups().items():
            ticks = 0
            for pid in pids:
                used[pid] = _ticks(pid)
                ticks += max(used[pid] - self._used.get(pid, used[pid]), 0)
            cores[group] = round(ticks / TICKS_A_SECOND / seconds, 3)
        self._used = used
        return cores


def _ticks(pid: int) -> int:
    """Processor time of a process and the children that it reaped, in clock ticks (proc(5), fields 14 to 17)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))
